/*
 * curl_loop: HTTP requests by libcurl on the libuv loop. libuv and libcurl.
 *
 *   hb_curl_start ──► libcurl multi_socket ◄── uv_poll per socket, one uv_timer
 *                          │
 *                          └──► hb_curl_fn(self, answer), exactly once, never before hb_curl_start has returned
 *
 * Each request has a connection of its own, which is closed behind it: a service with a single thread must not be held.
 * No redirects are followed, no proxies asked, nothing but http and https spoken, and the address is judged before each
 * connect. A request is over by its timeout, and a second timer of ours sees to that when libcurl's does not.
 *
 * What is our own fault says nothing about the service: no descriptor or memory was left, or this process was stopped
 * or blocked and found the answer late. Then `ours` is set, and the outcome means nothing.
 *
 * Names are resolved by libcurl, on threads of its own, anew for each request. A thread that waits for a silent DNS
 * server stays behind when its request ends, until the C library gives up (about 10 s).
 *
 * Memory: about 15 KiB for each request under way, up to 64 KiB more for a long body.
 */
#ifndef HB_IO_CURL_LOOP_H
#define HB_IO_CURL_LOOP_H

#include <stdbool.h>

#include "proto/base/buf.h"
#include "proto/wire/message.h"

#define HB_CURL_BODY_MAX 65536  /* bytes; a longer one is cut off, and counts as none */
#define HB_CURL_HEAD_MAX 65536  /* bytes; beyond it the answer is HB_POLL_BROKEN */
#define HB_CURL_OVERTIME_MS 250 /* that a request may take beyond its timeout */

struct uv_loop_s;
struct sockaddr;
struct hb_curl_loop;

struct hb_curl_config {
    const char *user_agent; /* copied, as everything here */
    uint32_t concurrency;   /* requests at a time that memory is kept for; there may be more */
    void *self;
    bool (*may_connect)(void *self, const struct sockaddr *address); /* false: the outcome is HB_POLL_BLOCKED */
};

struct hb_curl_answer {
    enum hb_poll_outcome outcome;
    uint16_t code;       /* HTTP status when ANSWERED; 0 for a tcp:// target */
    uint32_t latency_us; /* from start to end */
    struct hb_text body; /* when ANSWERED; absent when it was longer than HB_CURL_BODY_MAX. Valid during the call */
    bool ours;
};

typedef void (*hb_curl_fn)(void *self, const struct hb_curl_answer *answer);

struct hb_curl_loop *hb_curl_loop_new(struct uv_loop_s *uv, const struct hb_curl_config *config); /* NULL: no memory */

/*
 * GET url; for tcp://host:port only a connection. The url is copied. Callbacks may start further requests, but not
 * close. HB_ERR_NO_MEMORY: it does not begin, and ended is not called.
 */
enum hb_err hb_curl_start(struct hb_curl_loop *loop, const char *url, int64_t timeout_ms, hb_curl_fn ended,
                          void *self) HB_MUST_CHECK;

/* Ends every request without a callback, and closes the handles; frees itself when libuv has closed the last. */
void hb_curl_loop_close(struct hb_curl_loop *loop);

#endif
