/*
 * redis_load: reads the whole hash `workers` once, page by page, one page per turn of the loop.
 *
 *   at the start      our rows and rows of the seed's shape ──► RESTORE inputs to the manager
 *   before a rewrite  our rows whose worker memory no longer has ──► ghosts, to be deleted
 *
 * Fields of anybody else (another manager's, an invalid id, a value that is not a row, a row under another's id) are
 * counted and left alone.
 */
#ifndef HB_IO_REDIS_LOAD_H
#define HB_IO_REDIS_LOAD_H

#include "manager/app/manager.h"
#include "manager/io/redis_link.h"

struct hb_redis_load;

struct hb_redis_load_events {
    void *self;
    /* False: there is no room for another one now; the pass ends early, as if it were complete. */
    bool (*ghost)(void *self, struct hb_text id);
    /* error is NULL, or what Redis answered. Not called when the link went down. */
    void (*done)(void *self, const char *error);
};

struct hb_redis_load *hb_redis_load_new(struct hb_redis_link *link, struct hb_manager *manager,
                                        struct hb_redis_load_events events); /* NULL when out of memory */
void hb_redis_load_free(struct hb_redis_load *load); /* accepts NULL; no answer of the link may be outstanding */

/* Each starts a pass from the beginning. HB_ERR_IO when the link is down. */
enum hb_err hb_redis_load_restore(struct hb_redis_load *load) HB_MUST_CHECK;
enum hb_err hb_redis_load_find_ghosts(struct hb_redis_load *load) HB_MUST_CHECK;

uint64_t hb_redis_load_epoch(const struct hb_redis_load *load); /* the highest in any row of ours */

#endif
