/*
 * lws_host: the libwebsockets context that the worker's HTTP service and its connection to the manager share.
 *
 * It lives on our libuv loop as a foreign loop. lws would size its tables by the limit on file descriptors, so that is
 * lowered first to what a worker needs; this also bounds what it can be made to hold open.
 *
 * Shutdown: hb_lws_host_close while the loop runs, let uv_run return by itself, then hb_lws_host_free. In 4.1.6 both
 * halves are needed, with turns of the loop between them; any other order crashes or leaks.
 */
#ifndef HB_WORKER_LWS_HOST_H
#define HB_WORKER_LWS_HOST_H

#include <libwebsockets.h>
#include <uv.h>

#include "proto/base/err.h"

#define HB_WORKER_FILES_MAX 4096  /* soft limit on file descriptors */
#define HB_WORKER_FILES_SPARE 512 /* of these, never used for incoming connections */

struct hb_lws_host {
    struct lws_context *context;
    unsigned connections_max; /* incoming ones */
};

/* HB_ERR_IO when lws cannot start: most likely its libuv plug-in is not installed. */
enum hb_err hb_lws_host_open(struct hb_lws_host *host, uv_loop_t *loop) HB_MUST_CHECK;
void hb_lws_host_close(struct hb_lws_host *host);
void hb_lws_host_free(struct hb_lws_host *host);

/* Ends a connection now, from outside its own callbacks, without a close frame unless lws_close_reason was called. */
void hb_lws_kill(struct lws *wsi);

#endif
