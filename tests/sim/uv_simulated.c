#include "tests/sim/uv_simulated.h"

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#define HANDLES_MAX 16

struct handle {
    void *uv; /* NULL: a free place */
    uv_timer_cb on_timer;
    uv_prepare_cb on_prepare;
    uv_close_cb on_closed;
    int64_t due; /* INT64_MAX: not running */
    int64_t repeat;
    uint64_t order; /* of starting */
    int closing;
};

static struct handle handles[HANDLES_MAX];
static int64_t loop_time;
static uint64_t starts;

static struct handle *find(const void *uv)
{
    for (size_t i = 0; i < HANDLES_MAX; i++) {
        if (handles[i].uv == uv)
            return &handles[i];
    }
    fputs("sim: too many handles, or one that nobody opened\n", stderr);
    abort();
}

static int open_handle(void *uv)
{
    *find(NULL) = (struct handle){.uv = uv, .due = INT64_MAX};
    return 0;
}

int uv_timer_init(uv_loop_t *loop, uv_timer_t *timer)
{
    (void)loop;
    return open_handle(timer);
}

int uv_timer_start(uv_timer_t *timer, uv_timer_cb callback, uint64_t timeout, uint64_t repeat)
{
    struct handle *handle = find(timer);

    handle->on_timer = callback;
    handle->due = loop_time + (int64_t)timeout;
    handle->repeat = (int64_t)repeat;
    handle->order = ++starts;
    return 0;
}

int uv_timer_stop(uv_timer_t *timer)
{
    find(timer)->due = INT64_MAX;
    return 0;
}

int uv_prepare_init(uv_loop_t *loop, uv_prepare_t *prepare)
{
    (void)loop;
    return open_handle(prepare);
}

int uv_prepare_start(uv_prepare_t *prepare, uv_prepare_cb callback)
{
    find(prepare)->on_prepare = callback;
    return 0;
}

int uv_prepare_stop(uv_prepare_t *prepare)
{
    find(prepare)->on_prepare = NULL;
    return 0;
}

void uv_close(uv_handle_t *uv, uv_close_cb callback)
{
    struct handle *handle = find(uv);

    handle->closing = 1;
    handle->due = INT64_MAX;
    handle->on_prepare = NULL;
    handle->on_closed = callback;
}

/* ---- the loop's side ---- */

void uv_simulated_set_time(int64_t now)
{
    loop_time = now;
}

static struct handle *next_timer(void)
{
    struct handle *next = NULL;

    for (size_t i = 0; i < HANDLES_MAX; i++) {
        struct handle *handle = &handles[i];

        if (handle->uv != NULL && handle->due != INT64_MAX &&
            (next == NULL || handle->due < next->due || (handle->due == next->due && handle->order < next->order)))
            next = handle;
    }
    return next;
}

int64_t uv_simulated_next(void)
{
    const struct handle *next = next_timer();

    return next == NULL ? INT64_MAX : next->due;
}

void uv_simulated_run_timer(void)
{
    struct handle *handle = next_timer();

    if (handle == NULL)
        return;
    handle->due = handle->repeat > 0 ? loop_time + handle->repeat : INT64_MAX;
    handle->order = ++starts;
    handle->on_timer(handle->uv);
}

void uv_simulated_prepare(void)
{
    for (size_t i = 0; i < HANDLES_MAX; i++) {
        if (handles[i].uv != NULL && handles[i].on_prepare != NULL)
            handles[i].on_prepare(handles[i].uv);
    }
}

void uv_simulated_run_closing(void)
{
    for (size_t i = 0; i < HANDLES_MAX; i++) {
        struct handle closed = handles[i];

        if (closed.uv == NULL || !closed.closing)
            continue;
        handles[i].uv = NULL;
        if (closed.on_closed != NULL)
            closed.on_closed(closed.uv);
    }
}

int uv_simulated_open_handles(void)
{
    int count = 0;

    for (size_t i = 0; i < HANDLES_MAX; i++)
        count += handles[i].uv != NULL;
    return count;
}
