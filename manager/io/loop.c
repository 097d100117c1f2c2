#include "manager/io/loop.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <uv.h>

#define MS_NS 1000000u
#define RATE_WINDOW_NS (100u * MS_NS)

struct hb_loop {
    uv_loop_t uv;
    uv_timer_t deadline;
    uv_prepare_t turn_end;
    uv_idle_t working; /* active while there is work */
    uv_signal_t signals[3];
    struct hb_manager *manager;
    bool (*work)(void *self);
    void *work_self;
    hb_mono_ms armed_for; /* when the timer should fire; HB_MONO_NEVER: it is not armed */
    void (*stop)(void *self, bool again);
    void *stop_self;
    bool stopping;
    hb_mono_ms looked; /* whatever was due by then has had its sockets read since */

    bool gathering;           /* beats came fast in the last window */
    uint64_t last_look_ns;    /* when sockets were looked at last */
    uint64_t window_start_ns; /* of the measurement of their rate */
    uint64_t window_beats;
};

static void expire_until(struct hb_loop *loop, hb_mono_ms until, struct hb_moment now)
{
    for (unsigned i = 0; i < HB_LOOP_EXPIRE_MOST && hb_manager_next_deadline(loop->manager).ms <= until.ms; i++)
        hb_manager_expire(loop->manager, now, 1);
}

static void on_deadline(uv_timer_t *timer)
{
    struct hb_loop *loop = timer->data;
    struct hb_moment now = hb_moment_now();
    int64_t late_ms = hb_mono_between(loop->armed_for, now.mono);

    loop->armed_for = HB_MONO_NEVER;
    hb_histogram_add(&hb_manager_metrics(loop->manager)->loop_lag, late_ms);
    if (late_ms > HB_LOOP_LATE_MS) {
        hb_manager_stalled(loop->manager, late_ms);
        return; /* sockets are read before the timer is due again */
    }
    /*
     * A beat may lie there unread: only what was due before the sockets were read last is expired, and what has become
     * due since then has its look first.
     */
    expire_until(loop, loop->looked, now);
    if (hb_manager_next_deadline(loop->manager).ms <= now.mono.ms)
        loop->looked = now.mono;
}

static void measure_rate(struct hb_loop *loop, uint64_t now_ns)
{
    uint64_t beats = hb_manager_counters(loop->manager)->beats;
    uint64_t elapsed_ns = now_ns - loop->window_start_ns;

    if (elapsed_ns < RATE_WINDOW_NS)
        return;
    loop->gathering = (beats - loop->window_beats) * 1000 * MS_NS >= HB_LOOP_GATHER_RATE * elapsed_ns;
    loop->window_start_ns = now_ns;
    loop->window_beats = beats;
}

/* Lets beats pile up for a moment, but never beyond a timer's time. */
static void gather(struct hb_loop *loop)
{
    uint64_t now_ns = uv_hrtime();
    uint64_t nap_ns = loop->last_look_ns + HB_LOOP_GATHER_MS * MS_NS - now_ns;
    int timer_ms = uv_backend_timeout(&loop->uv);

    measure_rate(loop, now_ns);
    loop->last_look_ns = now_ns;
    if (!loop->gathering || nap_ns > HB_LOOP_GATHER_MS * MS_NS) /* the latter also when it is due already */
        return;
    if (timer_ms >= 0 && nap_ns > (uint64_t)timer_ms * MS_NS)
        nap_ns = (uint64_t)timer_ms * MS_NS;
    nanosleep(&(struct timespec){.tv_nsec = (long)nap_ns}, NULL); /* a signal ends it early, which is welcome */
    uv_update_time(&loop->uv);
    loop->last_look_ns = uv_hrtime();
}

static void arm_deadline(struct hb_loop *loop)
{
    hb_mono_ms now = hb_mono_now();
    hb_mono_ms next = hb_mono_earlier(hb_manager_next_deadline(loop->manager), hb_mono_add(now, HB_LOOP_NAP_MS));

    if (loop->armed_for.ms <= next.ms)
        return; /* fires early enough already */
    loop->armed_for = next.ms > now.ms ? next : now;
    uv_update_time(&loop->uv);
    uv_timer_start(&loop->deadline, on_deadline, (uint64_t)hb_mono_between(now, loop->armed_for), 0);
}

/* Runs right before the loop waits, when everything that could move a deadline has happened. */
static void on_turn_end(uv_prepare_t *prepare)
{
    struct hb_loop *loop = prepare->data;

    arm_deadline(loop);
    gather(loop);
}

static void on_working(uv_idle_t *idle)
{
    struct hb_loop *loop = idle->data;

    if (!loop->work(loop->work_self))
        uv_idle_stop(idle);
}

static void begin_work(void *self, bool (*work)(void *work_self), void *work_self)
{
    struct hb_loop *loop = self;

    loop->work = work;
    loop->work_self = work_self;
    if (!uv_is_closing((uv_handle_t *)&loop->working))
        uv_idle_start(&loop->working, on_working);
}

struct hb_work_port hb_loop_work_port(struct hb_loop *loop)
{
    return (struct hb_work_port){loop, begin_work};
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
    loop->looked.ms = INT64_MIN;
    uv_timer_init(&loop->uv, &loop->deadline);
    uv_prepare_init(&loop->uv, &loop->turn_end);
    uv_idle_init(&loop->uv, &loop->working);
    uv_signal_init(&loop->uv, &loop->signals[0]);
    uv_signal_init(&loop->uv, &loop->signals[1]);
    uv_signal_init(&loop->uv, &loop->signals[2]);
    loop->deadline.data = loop->turn_end.data = loop->working.data = loop->signals[0].data = loop->signals[1].data =
        loop->signals[2].data = loop;
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
    uv_signal_start(&loop->signals[2], on_signal, SIGHUP); /* its terminal is gone */
    uv_prepare_start(&loop->turn_end, on_turn_end);
}

void hb_loop_run(struct hb_loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void hb_loop_stop_timers(struct hb_loop *loop)
{
    uv_handle_t *handles[] = {(uv_handle_t *)&loop->deadline,   (uv_handle_t *)&loop->turn_end,
                              (uv_handle_t *)&loop->working,    (uv_handle_t *)&loop->signals[0],
                              (uv_handle_t *)&loop->signals[1], (uv_handle_t *)&loop->signals[2]};

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
