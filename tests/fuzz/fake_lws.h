/*
 * fake_lws: the few functions of libwebsockets that the manager's adapters call, over memory instead of sockets.
 *
 * A `struct lws` is one connection: the target fills in what a peer sent (headers, frame flags) and reads what the
 * adapters did with it (bytes written, timers, close codes). The behaviour is that of 4.1.6 as the code relies on it:
 * headers come decoded and in fragments, timers fire once, one write per writable callback. A connection is freed when
 * it is closed, so that a use after that is seen. A function that an adapter newly calls is missing at link time: it is
 * added here.
 *
 * Also here: what the adapters ask the kernel about a connection's descriptor.
 */
#ifndef HB_TESTS_FUZZ_FAKE_LWS_H
#define HB_TESTS_FUZZ_FAKE_LWS_H

#include <libwebsockets.h>
#include <stdbool.h>

#include "proto/base/buf.h"

#define FAKE_HEADERS_MAX 32
#define FAKE_OUT_MAX (4u << 20)
#define FAKE_FD_BASE 100000 /* connection n has descriptor FAKE_FD_BASE + n */
#define FAKE_CONNECTIONS 8

/* Headers that the library knows by their names alone have tokens here that it does not use. */
#define FAKE_TOKEN_SEC_FETCH_SITE WSI_TOKEN_COUNT

struct lws {
    unsigned number; /* below FAKE_CONNECTIONS */

    /* What the peer sent. */
    struct {
        enum lws_token_indexes token;
        size_t len;
        char *value; /* NUL-terminated */
    } headers[FAKE_HEADERS_MAX];
    size_t header_count;
    uint64_t received; /* bytes, by the kernel */
    int unread;        /* of those, not yet taken by the library */
    bool final, binary;
    size_t frame_left; /* of this frame's payload, behind what is handed over */

    /* What the adapters did. */
    struct hb_buf out;
    unsigned writes; /* since the target last set it to 0 */
    bool wants_write, input_held, write_fails;
    int64_t timer_at_ms;   /* on the fake clock; INT64_MAX: none */
    int64_t timeout_at_ms; /* likewise: the library closes then */
    void *opaque;
    unsigned completed; /* transactions */
    bool keeps;         /* whether the library keeps the connection after a transaction */
    int close_code;     /* -1: none was set */
    size_t close_reason_len;
    unsigned char close_reason[125];
    bool kill; /* lws_set_timeout(LWS_TO_KILL_SYNC) */
};

struct lws *fake_lws_new(unsigned number);
void fake_lws_free(struct lws *wsi);
void fake_lws_add_header(struct lws *wsi, enum lws_token_indexes token, struct hb_text value);
void fake_lws_clear_headers(struct lws *wsi);

/* The token of a header's name, without its colon, in any case; -1 when the adapters know nothing of it. */
int fake_lws_token(struct hb_text name);

#endif
