/*
 * fake_pool: libuv's thread pool, as far as the manager's adapters use it: work runs when the target says so.
 */
#ifndef HB_TESTS_FUZZ_FAKE_POOL_H
#define HB_TESTS_FUZZ_FAKE_POOL_H

#include <stdbool.h>

void fake_pool_refuse(bool refuse); /* uv_queue_work fails from now on, or no longer */
void fake_pool_run(void);           /* does what is queued, and calls back */

#endif
