#include "tests/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/fate.h"
#include "tests/sim/shell.h"

#define FORESIGHT_MS 6

/* ---- plans ---- */

void world_plan_socket(struct sim *sim, uint32_t index, enum event_kind kind, int64_t delay_ms, uint64_t socket,
                       uint16_t code)
{
    calendar_add(&sim->calendar, (struct event){.at = sim->now + delay_ms,
                                                .worker = index,
                                                .life = sim->workers[index].life,
                                                .code = code,
                                                .kind = (uint8_t)kind,
                                                .socket = socket});
}

void world_plan(struct sim *sim, uint32_t index, enum event_kind kind, int64_t delay_ms)
{
    world_plan_socket(sim, index, kind, delay_ms, 0, 0);
}

/* Full jitter, the first within 0.5 s, as our own worker does it. */
static void plan_connect(struct sim *sim, uint32_t index)
{
    struct sim_worker *worker = &sim->workers[index];
    int64_t window_ms = 500;

    for (uint8_t i = 0; i < worker->tries && window_ms < SIM_RECONNECT_MAX_MS; i++)
        window_ms *= 2;
    if (window_ms > SIM_RECONNECT_MAX_MS)
        window_ms = SIM_RECONNECT_MAX_MS;
    if (worker->tries < UINT8_MAX)
        worker->tries++;
    world_plan(sim, index, EVENT_CONNECT, random_below(&sim->random, window_ms) + 1);
}

void world_stop(struct sim *sim, uint32_t index, int64_t away_ms)
{
    struct sim_worker *worker = &sim->workers[index];

    worker->state = SIM_ABSENT;
    worker->socket = 0;
    worker->life++;
    world_plan(sim, index, EVENT_START, away_ms);
}

/* ---- what workers send ---- */

static struct hb_input input_of(const struct sim *sim, uint32_t index, enum hb_input_kind kind, uint64_t socket)
{
    const struct sim_worker *worker = &sim->workers[index];

    return (struct hb_input){.kind = kind,
                             .id = {worker->id, worker->id_len},
                             .socket = (void *)(uintptr_t)socket,
                             .peer_host = HB_TEXT("10.0.0.1")};
}

void world_register(struct sim *sim, uint32_t index)
{
    struct sim_worker *worker = &sim->workers[index];
    struct hb_input input = input_of(sim, index, HB_INPUT_REGISTER, 0);
    char attributes[32];
    int len = snprintf(attributes, sizeof attributes, "{\"build\":%u}", (unsigned)worker->life % 10);
    const struct hb_registration registration = {
        .name = {worker->id, worker->id_len},
        .attributes = {attributes, (size_t)len},
        .port = worker->port,
        .timeout_ms = 3 * (int64_t)worker->interval_ms,
        .interval_ms = worker->interval_ms,
    };
    bool is_new = !hb_model_visible(&sim->modelled[index]);

    input.registration = &registration;
    if (shell_apply(sim, &input) == HB_OK && is_new) /* registering again proves nothing */
        worker->opened_ms = sim->now;
}

void world_beat(struct sim *sim, uint32_t index, uint64_t socket, enum hb_beat_kind kind, int64_t at)
{
    static const struct hb_beat beats[] = {
        [HB_BEAT_ALIVE] = {.kind = HB_BEAT_ALIVE, .requests = -1, .errors = -1},
        [HB_BEAT_PLAIN] = {.kind = HB_BEAT_PLAIN, .requests = -1, .errors = -1},
        [HB_BEAT_DRAINING] = {.kind = HB_BEAT_DRAINING, .requests = -1, .errors = -1},
        [HB_BEAT_BYE] = {.kind = HB_BEAT_BYE, .requests = -1, .errors = -1},
    };
    struct hb_input input = input_of(sim, index, HB_INPUT_BEAT, socket);

    sim->counts.beats++;
    input.beat = &beats[kind];
    if (shell_apply(sim, &input) == HB_OK && kind != HB_BEAT_BYE)
        sim->workers[index].beat_ms = at;
}

static void beat_now(struct sim *sim, uint32_t index, int64_t at)
{
    const struct sim_worker *worker = &sim->workers[index];
    enum hb_beat_kind kind = worker->draining ? HB_BEAT_DRAINING : worker->plain ? HB_BEAT_PLAIN : HB_BEAT_ALIVE;

    if (worker->state != SIM_RUNNING || !shell_is_up(sim))
        return;
    if (worker->socket != 0 ? worker->profile != SIM_SILENT : worker->profile == SIM_HTTP)
        world_beat(sim, index, worker->socket, kind, at);
    if (at >= worker->fate_at)
        fate_strike(sim, index);
}

static void metronome(struct sim *sim, uint32_t index, int64_t at)
{
    struct sim_worker *worker = &sim->workers[index];

    beat_now(sim, index, at);
    worker->send_at += worker->interval_ms;
    if (worker->send_at < at)
        worker->send_at = at;
    calendar_add_fixed(&sim->calendar, (int32_t)index,
                       worker->send_at + (int64_t)(random_next(&sim->random) >> 40) % worker->jitter_ms + 1);
}

/* ---- connecting ---- */

static void opened(struct sim *sim, uint32_t index, uint64_t socket)
{
    struct sim_worker *worker = &sim->workers[index];
    int64_t delay_ms = random_spread(&sim->random, 1, 100);

    worker->socket = socket;
    worker->tries = 0;
    worker->draining = false;
    worker->opened_ms = sim->now;
    if (worker->profile == SIM_SILENT)
        return;
    worker->first_beat_at = sim->now + delay_ms;
    worker->first_beat_via = socket;
    world_plan_socket(sim, index, EVENT_FIRST_BEAT, delay_ms, socket, 0);
}

static enum hb_err open_socket(struct sim *sim, uint32_t index)
{
    uint64_t socket = ++sim->sockets * SIM_WORKERS_MAX | index;
    struct hb_input input = input_of(sim, index, HB_INPUT_SOCKET_OPENED, socket);
    enum hb_err err = shell_apply(sim, &input);

    if (err == HB_OK)
        opened(sim, index, socket);
    return err;
}

static void connect(struct sim *sim, uint32_t index)
{
    struct sim_worker *worker = &sim->workers[index];
    enum hb_err err;

    if (worker->state != SIM_RUNNING)
        return;
    if (!shell_is_up(sim)) {
        plan_connect(sim, index);
        return;
    }
    if (worker->profile == SIM_STEADY || worker->profile == SIM_SHY)
        world_register(sim, index);
    if (worker->profile == SIM_SHY || worker->profile == SIM_HTTP) {
        return;
    }
    err = open_socket(sim, index);
    if (err == HB_OK)
        return;
    if (err == HB_ERR_CONFLICT)
        sim->counts.conflicts++;
    world_plan(sim, index, EVENT_CONNECT, random_spread(&sim->random, 500, 70000));
}

/* A second socket while the first is still there; what comes on that one later is stale. */
static void take_over(struct sim *sim, uint32_t index)
{
    struct sim_worker *worker = &sim->workers[index];
    uint64_t old = worker->socket;
    enum hb_err err;

    if (worker->state != SIM_RUNNING || old == 0 || !shell_is_up(sim))
        return;
    if (worker->profile == SIM_STEADY && random_chance(&sim->random, 700))
        world_register(sim, index);
    sim->counts.takeovers++;
    err = open_socket(sim, index);
    if (err == HB_ERR_CONFLICT)
        sim->counts.conflicts++;
    if (err != HB_OK)
        return;
    if (random_chance(&sim->random, 500))
        world_plan_socket(sim, index, EVENT_LATE_BEAT, random_spread(&sim->random, 1, 20000), old, 0);
    world_plan_socket(sim, index, EVENT_CLOSED, random_spread(&sim->random, 1, 30000), old, HB_CLOSE_ABNORMAL);
}

static void lose(struct sim *sim, uint32_t index)
{
    struct sim_worker *worker = &sim->workers[index];

    if (worker->state != SIM_RUNNING || worker->socket == 0)
        return;
    world_plan_socket(sim, index, EVENT_CLOSED, random_spread(&sim->random, 1, 200), worker->socket, HB_CLOSE_ABNORMAL);
    worker->socket = 0;
    plan_connect(sim, index);
}

/* ---- sockets that end ---- */

static void arrive_closed(struct sim *sim, const struct event *event)
{
    struct sim_worker *worker = &sim->workers[event->worker];
    struct hb_input input = input_of(sim, event->worker, HB_INPUT_SOCKET_CLOSED, event->socket);

    if (!shell_is_up(sim))
        return;
    input.close_code = event->code;
    if (shell_apply(sim, &input) == HB_OK && event->code == HB_CLOSE_ABNORMAL)
        worker->closed_ms = event->at;
}

void world_closed(struct sim *sim, uint64_t socket, uint16_t code)
{
    uint32_t index = sim_worker_of_socket(socket);

    sim_note(sim, index, "  the manager closes socket %p with %u", (void *)(uintptr_t)socket, (unsigned)code);
    if (sim->workers[index].socket == socket)
        world_plan_socket(sim, index, EVENT_NOTICE, random_spread(&sim->random, 1, 200), socket, code);
    if (random_chance(&sim->random, 300)) /* its own end may still be on its way */
        world_plan_socket(sim, index, EVENT_CLOSED, random_spread(&sim->random, 1, 2000), socket, HB_CLOSE_ABNORMAL);
}

static void notice(struct sim *sim, const struct event *event)
{
    struct sim_worker *worker = &sim->workers[event->worker];

    if (worker->socket != event->socket || event->life != worker->life)
        return;
    worker->socket = 0;
    if (worker->state != SIM_RUNNING)
        return; /* it will see when it thaws */
    if (event->code == HB_CLOSE_REMOVED && random_chance(&sim->random, 500))
        world_stop(sim, event->worker, random_spread(&sim->random, 1000, 3600000));
    else
        plan_connect(sim, event->worker);
}

void world_manager_died(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->options.workers; i++) {
        struct sim_worker *worker = &sim->workers[i];

        if (worker->socket != 0)
            world_plan_socket(sim, i, EVENT_NOTICE, random_spread(&sim->random, 1, 200), worker->socket,
                              HB_CLOSE_RESTART);
        worker->first_beat_at = INT64_MAX;
        worker->closed_ms = INT64_MIN;
    }
}

/* ---- processes ---- */

static void start(struct sim *sim, uint32_t index)
{
    struct sim_worker *worker = &sim->workers[index];

    worker->state = SIM_RUNNING;
    worker->draining = false;
    worker->tries = 0;
    if (worker->profile == SIM_HTTP && random_chance(&sim->random, 500) && shell_is_up(sim))
        world_register(sim, index);
    if (worker->profile != SIM_HTTP)
        plan_connect(sim, index);
}

static void thaw(struct sim *sim, uint32_t index)
{
    struct sim_worker *worker = &sim->workers[index];

    worker->state = SIM_RUNNING;
    if (worker->socket == 0 && worker->profile != SIM_HTTP)
        plan_connect(sim, index);
}

static void operate(struct sim *sim, const struct event *event)
{
    const struct hb_maintenance maintenance = {.ttl_ms = (int64_t)event->code * 1000, .reason = HB_TEXT("upgrade")};
    struct hb_input input = input_of(sim, event->worker, HB_INPUT_MAINTENANCE, 0);

    input.maintenance = &maintenance;
    if (shell_is_up(sim))
        (void)!shell_apply(sim, &input);
}

static void first_beat(struct sim *sim, const struct event *event)
{
    struct sim_worker *worker = &sim->workers[event->worker];

    if (worker->first_beat_via == event->socket)
        worker->first_beat_at = INT64_MAX;
    if (worker->state != SIM_RUNNING || worker->socket != event->socket || !shell_is_up(sim))
        return;
    world_beat(sim, event->worker, event->socket, worker->plain ? HB_BEAT_PLAIN : HB_BEAT_ALIVE, event->at);
}

/* ---- time ---- */

static void happen(struct sim *sim, const struct event *event)
{
    static const char *const texts[] = {"beats",   "connects", "first beat", "its socket's end arrives", "a late beat",
                                        "notices", "starts",   "thaws",      "loses its connection",     "takes over",
                                        "operator"};

    sim_note(sim, event->worker, "%s (arrived at %lld.%03lld)", texts[event->kind], (long long)event->at / 1000,
             (long long)event->at % 1000);
    switch ((enum event_kind)event->kind) {
    case EVENT_CLOSED: /* packets arrive whatever became of their sender */
        arrive_closed(sim, event);
        return;
    case EVENT_LATE_BEAT:
        if (shell_is_up(sim))
            world_beat(sim, event->worker, event->socket, HB_BEAT_ALIVE, event->at);
        return;
    case EVENT_OPERATOR:
        operate(sim, event);
        return;
    case EVENT_NOTICE:
        notice(sim, event);
        return;
    default:
        break;
    }
    if (event->life != sim->workers[event->worker].life)
        return;
    switch ((enum event_kind)event->kind) {
    case EVENT_CONNECT:
        connect(sim, event->worker);
        break;
    case EVENT_FIRST_BEAT:
        first_beat(sim, event);
        break;
    case EVENT_START:
        start(sim, event->worker);
        break;
    case EVENT_THAW:
        thaw(sim, event->worker);
        break;
    case EVENT_LOSE:
        lose(sim, event->worker);
        break;
    case EVENT_TAKE_OVER:
        take_over(sim, event->worker);
        break;
    default:
        break;
    }
}

/* Ten thousand workers do not fit into a cache, but it is known whose turn is next. */
static void prefetch(struct sim *sim)
{
    if (sim->foreseen < sim->calendar.cursor)
        sim->foreseen = sim->calendar.cursor;
    while (sim->foreseen < sim->calendar.cursor + FORESIGHT_MS) {
        int32_t place = calendar_foresee(&sim->calendar, ++sim->foreseen);
        const char *hint;

        if (place < 0 || place >= sim->calendar.fixed)
            continue;
        __builtin_prefetch(&sim->calendar.events[place]);
        __builtin_prefetch(&sim->workers[place]);
        __builtin_prefetch(&sim->modelled[place]);
        hint = sim->hints[place];
        for (size_t at = 0; hint != NULL && at < sizeof(struct hb_worker); at += 64)
            __builtin_prefetch(hint + at);
    }
}

bool world_read(struct sim *sim)
{
    int32_t place = calendar_take(&sim->calendar, sim->now);
    struct event event;

    prefetch(sim);
    if (place == CALENDAR_NONE)
        return false;
    if (place < sim->calendar.fixed) {
        metronome(sim, (uint32_t)place, sim->calendar.events[place].at);
        return true;
    }
    event = sim->calendar.events[place];
    calendar_drop(&sim->calendar, place);
    happen(sim, &event);
    return true;
}

int64_t world_heard(const struct sim *sim, uint32_t index, bool beats_only)
{
    const struct sim_worker *worker = &sim->workers[index];
    int64_t unread = sim->calendar.events[index].at;
    int64_t heard_ms = beats_only || worker->beat_ms > worker->opened_ms ? worker->beat_ms : worker->opened_ms;

    if (worker->state != SIM_RUNNING || worker->socket == 0)
        return heard_ms;
    if (worker->profile != SIM_SILENT && unread <= sim->now && unread > heard_ms &&
        sim->modelled[index].socket == (void *)(uintptr_t)worker->socket)
        heard_ms = unread;
    if (worker->first_beat_at <= sim->now && worker->first_beat_at > heard_ms)
        heard_ms = worker->first_beat_at;
    return heard_ms;
}

/* ---- the beginning ---- */

static int32_t draw_interval(struct random *random)
{
    int64_t of_100 = random_below(random, 100);

    return of_100 < 1 ? 2000 : of_100 < 11 ? 5000 : of_100 < 51 ? 10000 : of_100 < 80 ? 20000 : 30000;
}

static enum sim_profile draw_profile(struct random *random)
{
    int64_t of_100 = random_below(random, 100);

    return of_100 < 88   ? SIM_STEADY
           : of_100 < 93 ? SIM_NAMELESS
           : of_100 < 97 ? SIM_HTTP
           : of_100 < 99 ? SIM_SILENT
                         : SIM_SHY;
}

/* Zeroed, and in whole cache lines. */
static void *lines(size_t count, size_t size)
{
    void *memory = aligned_alloc(64, count * size);

    if (memory == NULL)
        abort();
    return memset(memory, 0, count * size);
}

void world_open(struct sim *sim)
{
    uint32_t count = sim->options.workers;

    sim->workers = lines(count, sizeof *sim->workers);
    sim->modelled = lines(count, sizeof *sim->modelled);
    sim->hints = calloc(count, sizeof *sim->hints);
    if (sim->hints == NULL)
        abort();
    calendar_open(&sim->calendar, (int32_t)count, sim->now);
    for (uint32_t i = 0; i < count; i++) {
        struct sim_worker *worker = &sim->workers[i];

        worker->id_len = (uint8_t)snprintf(worker->id, sizeof worker->id, "w%u", i);
        worker->profile = (uint8_t)draw_profile(&sim->random);
        worker->interval_ms = draw_interval(&sim->random);
        worker->jitter_ms = random_chance(&sim->random, 700) ? 5 : worker->interval_ms / 4;
        worker->plain = random_chance(&sim->random, 300);
        worker->port = 8000;
        worker->closed_ms = INT64_MIN;
        worker->first_beat_at = INT64_MAX;
        worker->send_at = sim->now + random_below(&sim->random, worker->interval_ms);
        worker->fate_at = fate_draw(sim);
        calendar_add_fixed(&sim->calendar, (int32_t)i, worker->send_at + 1);
        world_plan(sim, i, EVENT_START, random_below(&sim->random, 10000) + 1);
    }
}

void world_close(struct sim *sim)
{
    calendar_close(&sim->calendar);
    free(sim->workers);
    free(sim->modelled);
    free(sim->hints);
}
