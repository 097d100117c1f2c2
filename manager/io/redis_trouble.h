/*
 * redis_trouble: what keeps writes from succeeding on a connection that stands, and what was said of it in the log.
 *
 * A refusal is logged once for each cause, not with every attempt, being fenced every 10 s, and the first success after
 * either once.
 */
#ifndef HB_IO_REDIS_TROUBLE_H
#define HB_IO_REDIS_TROUBLE_H

#include "manager/io/redis_store.h"

#define HB_REFUSAL_SIZE 256

struct hb_redis_trouble {
    enum hb_redis_state state;     /* REFUSING or FENCED; IN_STEP when there is none */
    char refusal[HB_REFUSAL_SIZE]; /* logged last; empty when all is well */
    hb_mono_ms fenced_logged;      /* ms 0: never */
};

void hb_redis_trouble_init(struct hb_redis_trouble *trouble);
void hb_redis_trouble_refused(struct hb_redis_trouble *trouble, const char *error); /* as Redis sent it */
void hb_redis_trouble_fenced(struct hb_redis_trouble *trouble, struct hb_text manager_id);
/* The connection is gone: the next one may do better. What was logged is remembered. */
void hb_redis_trouble_forget(struct hb_redis_trouble *trouble);
void hb_redis_trouble_over(struct hb_redis_trouble *trouble, size_t events_waiting); /* a batch was written */

#endif
