/*
 * redis_store: keeps the Redis hash `workers`, the stream and the pub/sub channels in step with memory.
 *
 *   mirror (dirty rows) ─┐
 *   outbox (transitions) ┴─► one batch in flight ─► script ─► HSET/HDEL rows, XADD, PUBLISH, meta ─► ack
 *
 * One idempotent Lua script writes a batch: it skips the events that (epoch, seq) in meta says were done already, then
 * writes rows, appends and publishes events, and advances meta; so nobody hears of a state that was not stored, or
 * hears it twice, though a reply was lost. Beats refresh rows once per flush interval with the same script, and each of
 * its answers tells when meta has vanished or fallen behind, or rows are missing: then the whole mirror is written
 * again.
 *
 * While Redis is away or refuses, nothing is lost but what the outbox's ceiling drops, and everything is sent on
 * return.
 */
#ifndef HB_IO_REDIS_STORE_H
#define HB_IO_REDIS_STORE_H

#include "manager/app/manager.h"
#include "manager/app/persist_tickets.h"
#include "manager/io/redis_link.h"

struct hb_redis_store;

enum hb_redis_state {
    HB_REDIS_AWAY,     /* no connection */
    HB_REDIS_LOADING,  /* reading the hash, at start or because the mirror must be written again */
    HB_REDIS_IN_STEP,  /* batches flow */
    HB_REDIS_REFUSING, /* connected, but writes fail (read-only, out of memory, disk full, no permission) */
    HB_REDIS_FENCED,   /* another manager with the same MANAGER_ID has started later */
};

struct hb_redis_store_config {
    struct hb_redis_link_config link;
    int64_t flush_interval_ms;
};

struct hb_redis_store_counters {
    uint64_t batches, commands, rows, events, failures, rewrites, bytes;
};

struct hb_redis_store *
hb_redis_store_new(struct uv_loop_s *loop, const struct hb_redis_store_config *config,
                   struct hb_manager *manager); /* NULL when out of memory; sets the store port */
void hb_redis_store_start(struct hb_redis_store *store);

enum hb_redis_state hb_redis_store_state(const struct hb_redis_store *store);
const char *hb_redis_store_state_text(enum hb_redis_state state);
bool hb_redis_store_loaded(const struct hb_redis_store *store); /* the hash was read since the start */
const struct hb_redis_store_counters *hb_redis_store_counters(const struct hb_redis_store *store);

/*
 * Calls back once, when Redis has the row of that worker as it is now (persisted true), or after wait_ms, or at once
 * when Redis is away (false). Never calls back before it returns. Until then hb_persist_ticket_cancel forgets it.
 */
struct hb_persist_ticket *hb_redis_store_await(struct hb_redis_store *store, struct hb_text id, int64_t wait_ms,
                                               void (*done)(void *self, bool persisted),
                                               void *self); /* NULL: no memory */

/* Tries for at most wait_ms to get everything written, then calls back; for a graceful stop. */
void hb_redis_store_drain(struct hb_redis_store *store, int64_t wait_ms, void (*done)(void *self), void *self);
/* Answers all who wait with false, closes the link and its handles; frees itself when libuv has closed the last. */
void hb_redis_store_close(struct hb_redis_store *store);

#endif
