/*
 * redis_session: the conversation with Redis, one step at a time, over as many connections as it takes.
 *
 * It loads the script, compares meta with what is known, reads the hash when it must, and then sends one batch after
 * the other. The store decides when there is something to send; this decides whether it may be sent, and what an answer
 * means.
 */
#ifndef HB_IO_REDIS_SESSION_H
#define HB_IO_REDIS_SESSION_H

#include "manager/io/redis_store.h"

struct hb_redis_session;

struct hb_redis_session_events {
    void *self;
    void (*stored)(void *self);   /* a batch arrived */
    void (*troubled)(void *self); /* the link went down, or Redis refused, or we are fenced: see the state */
};

struct hb_redis_session *hb_redis_session_new(struct uv_loop_s *loop, const struct hb_redis_link_config *config,
                                              struct hb_manager *manager,
                                              struct hb_redis_session_events events); /* NULL when out of memory */
void hb_redis_session_start(struct hb_redis_session *session);
/* No callbacks from here on; frees itself when libuv has closed its handles. */
void hb_redis_session_close(struct hb_redis_session *session);

/* Sends the next batch if there is something to send and none is under way. */
void hb_redis_session_flow(struct hb_redis_session *session);
/* The same, and an empty batch if none was sent for a second: its answer tells whether meta and rows are there. */
void hb_redis_session_check(struct hb_redis_session *session);
bool hb_redis_session_is_drained(const struct hb_redis_session *session); /* Redis has everything */

enum hb_redis_state hb_redis_session_state(const struct hb_redis_session *session);
bool hb_redis_session_loaded(const struct hb_redis_session *session);
const struct hb_redis_store_counters *hb_redis_session_counters(const struct hb_redis_session *session);

#endif
