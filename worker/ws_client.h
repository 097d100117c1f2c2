/*
 * ws_client: the worker's side of the wire to the manager: POST /register, and the WebSocket that carries the beats.
 *
 * One request or one socket exists at a time. What comes of it is told through the callbacks of struct
 * hb_ws_client_events, from inside lws: they may note what they hear, but must not call back into this module. After
 * hb_ws_client_abort nothing more is told.
 *
 * A manager that vanishes without a close (power, cable, a firewall that forgets) is noticed by TCP: with
 * TCP_USER_TIMEOUT at two intervals, at least one second, the kernel ends a socket whose beat was not acknowledged for
 * so long, at most three intervals after the last sign of life. A worker that is silent (frozen) has keepalive probes
 * instead. Pings were not taken: they would also drop a manager that is only stopped for a moment and will go on.
 *
 * Cost: one message waits at most; a newer one replaces it, so that a manager that does not read makes nothing grow.
 */
#ifndef HB_WORKER_WS_CLIENT_H
#define HB_WORKER_WS_CLIENT_H

#include <libwebsockets.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "worker/lws_host.h"

struct hb_ws_client_target {
    const char *address; /* numeric, so that lws has nothing to resolve, which would block */
    int port;
    const char *name; /* what the manager is called by people: for the Host header */
};

struct hb_ws_client_events {
    void *owner;
    void (*on_answer)(void *owner, unsigned http_status, struct hb_text body); /* of POST /register */
    void (*on_register_failed)(void *owner, const char *reason);               /* no HTTP answer */
    void (*on_connected)(void *owner);
    void (*on_connect_failed)(void *owner, const char *reason);
    void (*on_message)(void *owner, struct hb_text message); /* at most its first kilobyte */
    void (*on_closed)(void *owner, int close_code, struct hb_text reason);
};

struct hb_ws_client;

/* interval_ms: of the beats. NULL when out of memory or lws refuses; hb_ws_client_free frees it. */
struct hb_ws_client *hb_ws_client_new(struct hb_lws_host *host, int64_t interval_ms,
                                      const struct hb_ws_client_events *events);
void hb_ws_client_free(struct hb_ws_client *client); /* after hb_lws_host_free; accepts NULL */

/* The body is copied. HB_ERR_FULL when it is too long, HB_ERR_IO when the request could not even start. */
enum hb_err hb_ws_client_register(struct hb_ws_client *client, const struct hb_ws_client_target *target,
                                  struct hb_text body) HB_MUST_CHECK;
enum hb_err hb_ws_client_connect(struct hb_ws_client *client, const struct hb_ws_client_target *target,
                                 const char *path) HB_MUST_CHECK;
/* HB_ERR_FULL when the message is longer than a beat may be, HB_ERR_REFUSED when no socket is open. */
enum hb_err hb_ws_client_send(struct hb_ws_client *client, struct hb_text message) HB_MUST_CHECK;
void hb_ws_client_close(struct hb_ws_client *client); /* close code 1000; on_closed follows */
void hb_ws_client_abort(struct hb_ws_client *client); /* at once, nothing follows */

#endif
