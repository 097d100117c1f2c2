/*
 * fake_clock: hb_mono_now, hb_wall_now and hb_moment_now of a target that is linked with --wrap for them.
 */
#ifndef HB_TESTS_FUZZ_FAKE_CLOCK_H
#define HB_TESTS_FUZZ_FAKE_CLOCK_H

#include "proto/base/time.h"

extern struct hb_moment fake_now;

void fake_clock_reset(void);
void fake_clock_pass(int64_t ms);

#endif
