/*
 * redis_link: one connection to Redis that keeps itself up. libuv and hiredis.
 *
 *   WAITING ──500 ms──► RESOLVING ──► CONNECTING ──AUTH, SELECT──► UP ──error, silence──► WAITING
 *
 * hiredis 0.14 has no timeouts, blocks in DNS and its packaged libuv adapter never reports a refused connection; so
 * this file brings its own adapter, resolves with uv_getaddrinfo, tries every address, and gives up on a connection
 * when a connect or the oldest command has had no answer for HB_REDIS_TIMEOUT_MS. A link with nothing in flight sends
 * PING every second, so that a peer that vanished without a word is noticed as soon. Nothing here ever blocks the loop.
 */
#ifndef HB_IO_REDIS_LINK_H
#define HB_IO_REDIS_LINK_H

#include <stdbool.h>

#include "manager/app/histogram.h"
#include "proto/base/buf.h"

#define HB_REDIS_RETRY_MS 500
#define HB_REDIS_TIMEOUT_MS 2000

struct uv_loop_s;
struct redisReply;
struct hb_redis_link;

struct hb_redis_link_config {
    const char *host, *username, *password; /* username and password may be NULL; all outlive the link */
    uint16_t port;
    int db;
    struct hb_histogram *round_trips; /* us from a command to its answer are added to it; NULL: nobody wants to know */
};

struct hb_redis_link_events {
    void *self;
    void (*up)(void *self);                      /* authenticated, database selected */
    void (*down)(void *self, const char *cause); /* was up; every command in flight has been answered with NULL */
};

/* reply is NULL when the link went down first: whether Redis executed the command is then unknown. */
typedef void (*hb_redis_reply_fn)(void *self, const struct redisReply *reply);

struct hb_redis_link *hb_redis_link_new(struct uv_loop_s *loop, const struct hb_redis_link_config *config,
                                        struct hb_redis_link_events events); /* NULL when out of memory */
void hb_redis_link_start(struct hb_redis_link *link);
bool hb_redis_link_is_up(const struct hb_redis_link *link);
/* HB_ERR_IO when the link is not up; reply_fn is then not called. */
enum hb_err hb_redis_link_command(struct hb_redis_link *link, int argc, const struct hb_text *argv,
                                  hb_redis_reply_fn reply_fn, void *self) HB_MUST_CHECK;
/* Something is wrong on a level above: drop the connection and start over after the usual pause. */
void hb_redis_link_reset(struct hb_redis_link *link, const char *cause);
/* No callbacks from here on; closes its handles. It frees itself when libuv has closed the last one. */
void hb_redis_link_close(struct hb_redis_link *link);

#endif
