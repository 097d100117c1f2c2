#include "manager/io/loop.h"

#include <signal.h>
#include <stdlib.h>
#include <uv.h>

struct hb_loop {
    uv_loop_t uv;
    uv_timer_t deadline;
    uv_prepare_t turn_end;
    uv_signal_t signals[2];
    struct hb_manager *manager;
    hb_mono_ms armed_for; /* when the timer should fire; HB_MONO_NEVER: it is not armed */
    void (*stop)(void *self, bool again);
    void *stop_self;
    bool stopping;
};

static void on_deadline(uv_timer_t *timer)
{
    struct hb_loop *loop = timer->data;
    struct hb_moment now = hb_moment_now();
    int64_t late_ms = hb_mono_between(loop->armed_for, now.mono);

    loop->armed_for = HB_MONO_NEVER;
    if (late_ms > HB_LOOP_LATE_MS) {
        hb_manager_stalled(loop->manager, late_ms);
        return; /* sockets are read before the timer is due again */
    }
    hb_manager_expire(loop->manager, now, HB_LOOP_EXPIRE_MOST);
}

/* Runs right before the loop waits, when everything that could move a deadline has happened. */
static void on_turn_end(uv_prepare_t *prepare)
{
    struct hb_loop *loop = prepare->data;
    hb_mono_ms now = hb_mono_now();
    hb_mono_ms next = hb_mono_earlier(hb_manager_next_deadline(loop->manager), hb_mono_add(now, HB_LOOP_NAP_MS));

    if (loop->armed_for.ms <= next.ms)
        return; /* fires early enough already */
    loop->armed_for = next.ms > now.ms ? next : now;
    uv_update_time(&loop->uv);
    uv_timer_start(&loop->deadline, on_deadline, (uint64_t)hb_mono_between(now, loop->armed_for), 0);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct hb_loop *loop = handle->data;
    bool again = loop->stopping;

    (void)number;
    loop->stopping = true;
    if (loop->stop != NULL)
        loop->stop(loop->stop_self, again);
}

struct hb_loop *hb_loop_new(struct hb_manager *manager)
{
    struct hb_loop *loop = calloc(1, sizeof *loop);

    if (loop == NULL)
        return NULL;
    if (uv_loop_init(&loop->uv) != 0) {
        free(loop);
        return NULL;
    }
    loop->manager = manager;
    loop->armed_for = HB_MONO_NEVER;
    uv_timer_init(&loop->uv, &loop->deadline);
    uv_prepare_init(&loop->uv, &loop->turn_end);
    uv_signal_init(&loop->uv, &loop->signals[0]);
    uv_signal_init(&loop->uv, &loop->signals[1]);
    loop->deadline.data = loop->turn_end.data = loop->signals[0].data = loop->signals[1].data = loop;
    return loop;
}

struct uv_loop_s *hb_loop_uv(struct hb_loop *loop)
{
    return &loop->uv;
}

void hb_loop_on_stop(struct hb_loop *loop, void (*stop)(void *self, bool again), void *self)
{
    loop->stop = stop;
    loop->stop_self = self;
}

void hb_loop_start(struct hb_loop *loop)
{
    uv_signal_start(&loop->signals[0], on_signal, SIGTERM);
    uv_signal_start(&loop->signals[1], on_signal, SIGINT);
    uv_prepare_start(&loop->turn_end, on_turn_end);
}

void hb_loop_run(struct hb_loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void hb_loop_stop_timers(struct hb_loop *loop)
{
    uv_handle_t *handles[] = {(uv_handle_t *)&loop->deadline, (uv_handle_t *)&loop->turn_end,
                              (uv_handle_t *)&loop->signals[0], (uv_handle_t *)&loop->signals[1]};

    for (size_t i = 0; i < sizeof handles / sizeof handles[0]; i++) {
        if (!uv_is_closing(handles[i]))
            uv_close(handles[i], NULL);
    }
}

int hb_loop_close(struct hb_loop *loop)
{
    int busy;

    hb_loop_stop_timers(loop);
    uv_run(&loop->uv, UV_RUN_DEFAULT); /* the close callbacks */
    busy = uv_loop_close(&loop->uv);
    if (busy == 0)
        free(loop);
    return busy;
}
