/*
 * store_rig: a manager with a store on its own libuv loop, against a real Redis, and what tests ask of them.
 *
 * Nothing here sleeps: rig_until turns the loop until a condition holds, and fails the test after 30 s.
 */
#ifndef HB_TESTS_INTEGRATION_STORE_RIG_H
#define HB_TESTS_INTEGRATION_STORE_RIG_H

#include <stdbool.h>
#include <uv.h>

#include "manager/io/redis_store.h"
#include "tests/integration/real_redis.h"

#define RIG_MANAGER "m1"

struct rig {
    struct real_redis redis;
    uv_loop_t loop;
    uv_timer_t tick; /* so that conditions are looked at while nothing happens */
    struct hb_redis_store_config config;
    struct hb_manager *manager;
    struct hb_redis_store *store;
};

/* A Redis, and nothing else yet; tears down whatever there is, and fails when a handle of the loop was left open. */
int rig_set_up(void **state);
int rig_tear_down(void **state);

void rig_start_manager(struct rig *rig);
void rig_close_store(struct rig *rig); /* also from within a callback */
void rig_stop_manager(struct rig *rig);

typedef bool (*rig_condition)(struct rig *rig);
#define rig_until(rig, condition) rig_wait((rig), (condition), #condition, __FILE__, __LINE__)
void rig_wait(struct rig *rig, rig_condition condition, const char *name, const char *file, int line);
void rig_turns(struct rig *rig, int count); /* of the loop */

bool rig_in_step(struct rig *rig); /* state in_step and everything written */
bool rig_is_refusing(struct rig *rig);
bool rig_is_away(struct rig *rig);
bool rig_is_fenced(struct rig *rig);
bool rig_is_loaded(struct rig *rig);

void rig_register(struct rig *rig, const char *id); /* with a port, so that it serves once it beats */
void rig_beat(struct rig *rig, const char *id, enum hb_beat_kind kind);
void rig_remove(struct rig *rig, const char *id);
const struct hb_worker *rig_worker(struct rig *rig, const char *id); /* NULL when memory has none */

void rig_flip(struct rig *rig,
              int i); /* worker w0001 starts to drain when i is even, and serves again when it is odd */

/* A row in the hash as an earlier life of some manager left it, seq 1 of epoch 1. */
void rig_add_row(struct rig *rig, const char *id, const char *manager, enum hb_status status);
/* A manager in step with workers w0000, w0001, ... that serve: two transitions each. */
void rig_start_with_workers(struct rig *rig, int count);

uint64_t rig_seq(struct rig *rig);        /* of memory */
uint64_t rig_stored_seq(struct rig *rig); /* of Redis */
uint64_t rig_meta(struct rig *rig, const char *field);
const struct hb_redis_store_counters *rig_counters(struct rig *rig);

/* The hash holds exactly the rows' bytes, and of nobody else but `strangers` fields. */
void rig_assert_mirrored(struct rig *rig, size_t strangers);
/* The stream's events of the present epoch: one for each seq from 1 to the registry's, in order. */
void rig_assert_stream_gapless(struct rig *rig);
uint64_t rig_number_in(const char *json, const char *member); /* the first "member":number; fails without one */

#endif
