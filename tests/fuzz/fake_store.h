/*
 * fake_store: what http_api asks of the Redis store, with the target in Redis's place.
 *
 * Tickets are the real ones. Nothing is stored until the target says so.
 */
#ifndef HB_TESTS_FUZZ_FAKE_STORE_H
#define HB_TESTS_FUZZ_FAKE_STORE_H

#include "manager/io/redis_store.h"

struct hb_redis_store *fake_store_new(struct hb_manager *manager);
void fake_store_free(struct hb_redis_store *store);

void fake_store_set_state(struct hb_redis_store *store, enum hb_redis_state state);
void fake_store_batch(struct hb_redis_store *store, bool arrives); /* everything that is dirty, in one batch */
void fake_store_time(struct hb_redis_store *store);                /* the clock has moved */

#endif
