#include "manager/io/hiredis_uv.h"

#include <hiredis/async.h>
#include <stdlib.h>
#include <uv.h>

struct watch {
    uv_poll_t poll;             /* the first member */
    redisAsyncContext *context; /* NULL once hiredis has given up the socket */
    int events;
};

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = (struct watch *)poll;

    if (status < 0) { /* libuv has stopped watching: reading finds the error, of the connect too */
        redisAsyncHandleRead(watch->context);
        return;
    }
    if (events & UV_READABLE)
        redisAsyncHandleRead(watch->context);
    if (watch->context != NULL && (events & UV_WRITABLE))
        redisAsyncHandleWrite(watch->context);
}

static void rearm(struct watch *watch, int events)
{
    if (events == watch->events && uv_is_active((uv_handle_t *)&watch->poll))
        return;
    watch->events = events;
    if (events != 0)
        uv_poll_start(&watch->poll, events, on_ready);
    else
        uv_poll_stop(&watch->poll);
}

static void add_read(void *data)
{
    struct watch *watch = data;

    rearm(watch, watch->events | UV_READABLE);
}

static void delete_read(void *data)
{
    struct watch *watch = data;

    rearm(watch, watch->events & ~UV_READABLE);
}

static void add_write(void *data)
{
    struct watch *watch = data;

    rearm(watch, watch->events | UV_WRITABLE);
}

static void delete_write(void *data)
{
    struct watch *watch = data;

    rearm(watch, watch->events & ~UV_WRITABLE);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void clean_up(void *data)
{
    struct watch *watch = data;

    watch->context = NULL;
    uv_close((uv_handle_t *)&watch->poll, on_closed);
}

enum hb_err hb_hiredis_uv_attach(struct uv_loop_s *loop, struct redisAsyncContext *context)
{
    struct watch *watch = calloc(1, sizeof *watch);

    if (watch == NULL)
        return HB_ERR_NO_MEMORY;
    if (uv_poll_init(loop, &watch->poll, context->c.fd) != 0) {
        free(watch);
        return HB_ERR_IO;
    }
    watch->context = context;
    context->ev.data = watch;
    context->ev.addRead = add_read;
    context->ev.delRead = delete_read;
    context->ev.addWrite = add_write;
    context->ev.delWrite = delete_write;
    context->ev.cleanup = clean_up;
    return HB_OK;
}
