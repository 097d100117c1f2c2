/*
 * fuzz_core: any sequence of inputs, in any order, at any times, held against tests/sim's naive model.
 *
 * Few ids and few sockets, so that they meet. Each operation is one byte that says which, and a few that say with what:
 * so nearly every change of an input means something. Time passes between operations; whether the deadlines that passed
 * are handled before the next input is the input's choice, as it is the loop's in truth.
 *
 * After each call: the errors are the same, the effects are what the model says must be told, the worker is what it
 * says; the next deadline is not later than the earliest that it knows; the view is ordered. In every second input each
 * call also goes through tests/unit/watch.h, which knows the registry's inner promises.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/sim/compare.h"
#include "tests/unit/watch.h"

#define IDS 4
#define SOCKETS 7
#define OPERATIONS_MAX 400

static const char *const ids[IDS] = {"a", "a:", "b", "worker-0001"};

struct world {
    struct fuzz_input input;
    struct watch *watch; /* NULL: every second input goes without */
    struct hb_registry *registry;
    struct hb_model model;
    struct hb_model_worker workers[IDS];
    bool used[SOCKETS]; /* the shell has it */
    struct hb_moment now;
    uint64_t epoch;
};

static char sockets[SOCKETS]; /* their addresses are the sockets */

/* ---- choices ---- */

static int64_t pick(struct world *world, const int64_t *values, size_t count)
{
    return values[fuzz_below(&world->input, (uint8_t)count)];
}

#define PICK(world, ...)                                                                                               \
    pick((world), (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

/* One of the texts, or absent. */
static struct hb_text pick_text(struct world *world, const char *const *texts)
{
    size_t count = 0;

    while (texts[count] != NULL)
        count++;
    return hb_text_of(texts[fuzz_below(&world->input, (uint8_t)(count + 1))]);
}

static const char *const hosts[] = {"h1", "h2", "10.0.0.3", NULL};
static const char *const urls[] = {"http://h1/health", "http://h2:9/", NULL};
static const char *const names[] = {"n", "a name", NULL};
static const char *const objects[] = {"{}", "{\"a\":1}", "{\"zone\":1234567890123456789012345678901234567890}", NULL};
static const char *const statuses[] = {"alive", "draining", "warming up", "", NULL};

static int64_t pick_timeout(struct world *world)
{
    return PICK(world, 0, 100, 1000, 15000, 86400000);
}

static struct hb_registry_rules pick_rules(struct world *world)
{
    return (struct hb_registry_rules){
        .timeout_ms = PICK(world, 15000, 1000, 100, 86400000),
        .disconnect_grace_ms = PICK(world, 2000, 0, 20000, 86400000),
        .restart_grace_ms = PICK(world, 30000, 100, 1000),
        .reap_after_ms = PICK(world, 0, 60000, 15000, 86400000),
        .max_workers = (uint32_t)PICK(world, 1000, 1, 3, IDS),
        .text_bytes_max = (size_t)PICK(world, 0, 100, 400),
        .timeline_bytes_max = (size_t)PICK(world, 0, 1, 500),
        .hash_seed = {1, 2},
    };
}

/* ---- what must hold after every call ---- */

static void check_worker(struct world *world, size_t id)
{
    char text[HB_COMPARE_TEXT];
    const struct hb_worker *worker = hb_registry_find(world->registry, hb_text_of(ids[id]));

    FUZZ_CHECK(hb_compare_worker(&world->workers[id], worker, text), "%s: %s", ids[id], text);
}

static void check_timeline(const struct hb_worker *worker)
{
    uint64_t last = 0;

    for (size_t i = 0; i < worker->timeline.count; i++) {
        uint64_t seq = hb_timeline_seq(hb_timeline_at(&worker->timeline, i), worker->seq);

        FUZZ_CHECK(seq > last && seq <= worker->seq, "%s: seq %" PRIu64 " after %" PRIu64 " in its timeline",
                   worker->id, seq, last);
        last = seq;
    }
}

static void check_view(struct world *world)
{
    size_t visible = 0;

    for (size_t i = 0; i < IDS; i++) {
        check_worker(world, i);
        visible += hb_model_visible(&world->workers[i]);
    }
    FUZZ_CHECK(hb_registry_count(world->registry) == visible, "%zu listed, %zu visible",
               hb_registry_count(world->registry), visible);
    for (size_t i = 0; i < visible; i++) {
        const struct hb_worker *worker = hb_registry_at(world->registry, i);

        FUZZ_CHECK(i == 0 || strcmp(hb_registry_at(world->registry, i - 1)->id, worker->id) < 0, "not in order");
        check_timeline(worker);
    }
}

static void check_next_deadline(struct world *world)
{
    hb_mono_ms next = hb_registry_next_deadline(world->registry);

    for (size_t i = 0; i < IDS; i++) {
        int64_t due = hb_model_due(&world->model, &world->workers[i]).ms;

        FUZZ_CHECK(next.ms <= due, "%s is due %" PRId64 " ms before the next deadline", ids[i], next.ms - due);
    }
}

static void check_watch(const struct world *world)
{
    if (world->watch != NULL)
        FUZZ_CHECK(watch_fault(world->watch) == NULL, "%s", watch_fault(world->watch));
}

static void trace_effects(const struct hb_effects *effects)
{
    for (size_t i = 0; i < effects->count; i++) {
        char text[512];

        watch_effect_text(&effects->items[i], "a socket", text, sizeof text);
        fuzz_trace("      %s", text);
    }
}

/* The shell closes what it is told to close. */
static void close_sockets(struct world *world, const struct hb_effects *effects)
{
    for (size_t i = 0; i < effects->count; i++) {
        if (effects->items[i].kind == HB_EFFECT_CLOSE_SOCKET)
            world->used[(char *)effects->items[i].socket - sockets] = false;
    }
}

static bool told_anything(const struct hb_model_told *told)
{
    return told->beat || told->transition || told->closed != NULL;
}

/* ---- time ---- */

/* Which id the effects are about; IDS when they name none. */
static size_t named(const struct world *world, const struct hb_effects *effects)
{
    for (size_t i = 0; i < effects->count; i++) {
        for (size_t id = 0; id < IDS; id++) {
            const struct hb_effect *effect = &effects->items[i];

            if (effect->worker != NULL ? strcmp(effect->worker->id, ids[id]) == 0
                                       : effect->socket == world->workers[id].socket)
                return id;
        }
    }
    return IDS;
}

static void expired(struct world *world, const struct hb_effects *effects)
{
    size_t id = named(world, effects);
    struct hb_model_told told;
    char text[HB_COMPARE_TEXT];

    FUZZ_CHECK(effects->count == 0 || id < IDS, "something expired that nobody knows");
    if (id == IDS)
        return;
    do {
        FUZZ_CHECK(hb_model_expire(&world->model, &world->workers[id], world->now, &told),
                   "%s: nothing was due, yet something was told", ids[id]);
    } while (!told_anything(&told) && !hb_compare_effects(&told, effects, text)); /* what has nothing to tell */
    FUZZ_CHECK(hb_compare_effects(&told, effects, text), "%s expires: %s", ids[id], text);
    close_sockets(world, effects);
}

/* Handles everything that is due. */
static void sweep(struct world *world)
{
    struct hb_effects effects;
    struct hb_model_told told;

    while (world->watch != NULL ? watch_expire(world->watch, world->now, &effects)
                                : hb_registry_expire(world->registry, world->now, &effects)) {
        trace_effects(&effects);
        check_watch(world);
        expired(world, &effects);
    }
    for (size_t i = 0; i < IDS; i++) {
        while (hb_model_due(&world->model, &world->workers[i]).ms <= world->now.mono.ms) {
            FUZZ_CHECK(hb_model_expire(&world->model, &world->workers[i], world->now, &told), "model");
            FUZZ_CHECK(!told_anything(&told), "%s: %s to %s (%s) is due and was not told", ids[i],
                       hb_status_text(told.previous), hb_status_text(told.status), hb_reason_text(told.reason));
        }
    }
    hb_model_swept(&world->model, world->now.mono);
    if (world->watch != NULL)
        watch_settled(world->watch, world->now);
    check_watch(world);
    FUZZ_CHECK(hb_registry_next_deadline(world->registry).ms > world->now.mono.ms, "swept, yet something is due");
    check_view(world);
}

static void pass(struct world *world, int64_t ms)
{
    fuzz_trace("+%" PRId64 " ms", ms);
    world->now.mono.ms += ms;
    world->now.wall.ms += ms;
}

static void pass_time(struct world *world)
{
    int64_t to_deadline = hb_registry_next_deadline(world->registry).ms - world->now.mono.ms;
    uint8_t how = fuzz_byte(&world->input);

    if (to_deadline < 0 || to_deadline > INT64_C(100000000000))
        to_deadline = 0;
    switch (how % 8) {
    case 0:
        pass(world, to_deadline);
        break;
    case 1:
        pass(world, to_deadline > 0 ? to_deadline - 1 : 0);
        break;
    case 2:
        pass(world, to_deadline + 1);
        break;
    case 3:
        pass(world, PICK(world, 1, 999, 1000, 2000, 10000, 15000, 15001, 60000, 60001, 86400000));
        break;
    case 4:
        pass(world, fuzz_u32(&world->input));
        break;
    case 5:
        world->now.wall.ms += PICK(world, 1, -1, 3600000, -3600000, 400000000000, -400000000000);
        break;
    default:
        pass(world, (int64_t)fuzz_byte(&world->input) * 64);
        break;
    }
    if (how < 192)
        sweep(world);
}

static void stall(struct world *world)
{
    int64_t gap = PICK(world, 250, 1000, 15000, 3600000);

    pass(world, gap);
    fuzz_trace("skew %" PRId64, gap);
    if (world->watch != NULL)
        watch_skew(world->watch, gap);
    else
        hb_registry_skew(world->registry, gap);
    hb_model_skew(&world->model, gap);
    check_watch(world);
}

static void new_epoch(struct world *world)
{
    if (world->watch != NULL) /* it sees every row change and no effect that says so */
        return;
    fuzz_trace("epoch %" PRIu64, ++world->epoch);
    hb_registry_set_epoch(world->registry, world->epoch);
}

/* The load of an earlier life begins or ends: who was removed within it is forgotten with it. */
static void set_restoring(struct world *world, bool restoring)
{
    fuzz_trace("restoring %d", restoring);
    hb_registry_set_restoring(world->registry, restoring);
    hb_model_set_restoring(&world->model, restoring);
    for (size_t i = 0; !restoring && i < IDS; i++)
        world->workers[i].gone = world->workers[i].gone_told = false;
}

/* ---- inputs ---- */

static void step(struct world *world, size_t id, struct hb_input *input)
{
    struct hb_effects effects;
    struct hb_model_told told;
    char text[HB_COMPARE_TEXT];
    enum hb_err err, expected;

    input->id = hb_text_of(ids[id]);
    err = world->watch != NULL ? watch_step(world->watch, input, world->now, &effects)
                               : hb_registry_step(world->registry, input, world->now, &effects);
    fuzz_trace("    -> %s", hb_err_text(err));
    trace_effects(&effects);
    check_watch(world);
    if (err != HB_ERR_FULL && err != HB_ERR_NO_MEMORY) {
        expected = hb_model_step(&world->model, &world->workers[id], input, world->now, &told);
        FUZZ_CHECK(err == expected, "%s: '%s', should be '%s'", ids[id], hb_err_text(err), hb_err_text(expected));
        FUZZ_CHECK(hb_compare_effects(&told, &effects, text), "%s: %s", ids[id], text);
    }
    if (err == HB_OK && input->kind == HB_INPUT_SOCKET_OPENED)
        world->used[(char *)input->socket - sockets] = true;
    if (input->kind == HB_INPUT_SOCKET_CLOSED)
        world->used[(char *)input->socket - sockets] = false;
    close_sockets(world, &effects);
    check_worker(world, id);
    check_next_deadline(world);
}

static void do_register(struct world *world, size_t id)
{
    struct hb_registration registration = {
        .name = pick_text(world, names),
        .host = pick_text(world, hosts),
        .url = pick_text(world, urls),
        .attributes = pick_text(world, objects),
        .port = (uint16_t)PICK(world, 0, 8001, 8002),
        .timeout_ms = pick_timeout(world),
        .interval_ms = PICK(world, 0, 5000, 86400000),
        .poll_interval_ms = PICK(world, 0, 100),
    };

    fuzz_trace("register %s host %s port %u url %s timeout %" PRId64, ids[id], registration.host.bytes,
               registration.port, registration.url.bytes, registration.timeout_ms);
    step(world, id,
         &(struct hb_input){
             .kind = HB_INPUT_REGISTER, .registration = &registration, .peer_host = pick_text(world, hosts)});
}

static void do_open(struct world *world, size_t id)
{
    for (size_t i = 0; i < SOCKETS; i++) {
        if (world->used[i])
            continue;
        fuzz_trace("open %s socket %zu", ids[id], i);
        step(world, id, &(struct hb_input){.kind = HB_INPUT_SOCKET_OPENED, .socket = &sockets[i]});
        return;
    }
}

/* Mostly the worker's own; else any, which is stale then. */
static void *pick_socket(struct world *world, size_t id)
{
    uint8_t which = fuzz_below(&world->input, 2 * SOCKETS);

    if (which >= SOCKETS && world->workers[id].socket != NULL)
        return world->workers[id].socket;
    return &sockets[which % SOCKETS];
}

static void do_beat(struct world *world, size_t id)
{
    struct hb_beat beat = {
        .kind = (enum hb_beat_kind)PICK(world, HB_BEAT_PLAIN, HB_BEAT_ALIVE, HB_BEAT_DRAINING, HB_BEAT_BYE),
        .name = pick_text(world, names),
        .status_text = pick_text(world, statuses),
        .metrics = pick_text(world, objects),
        .attributes = pick_text(world, objects),
        .requests = PICK(world, -1, 0, 9007199254740992),
        .errors = PICK(world, -1, 7),
    };
    void *socket = fuzz_below(&world->input, 4) > 0 ? pick_socket(world, id) : NULL;

    fuzz_trace("beat %s kind %d socket %td", ids[id], (int)beat.kind, socket != NULL ? (char *)socket - sockets : -1);
    step(world, id,
         &(struct hb_input){
             .kind = HB_INPUT_BEAT, .socket = socket, .beat = &beat, .peer_host = pick_text(world, hosts)});
}

static void do_close(struct world *world, size_t id)
{
    void *socket = pick_socket(world, id);
    uint16_t code = (uint16_t)PICK(world, HB_CLOSE_ABNORMAL, HB_CLOSE_NORMAL, HB_CLOSE_GOING_AWAY, HB_CLOSE_TOO_BIG, 0);

    if (world->workers[id].socket != socket) /* it may be another worker's live one: the shell would know */
        for (size_t i = 0; i < IDS; i++)
            if (world->workers[i].socket == socket)
                return;
    fuzz_trace("close %s socket %td code %u", ids[id], (char *)socket - sockets, (unsigned)code);
    step(world, id, &(struct hb_input){.kind = HB_INPUT_SOCKET_CLOSED, .socket = socket, .close_code = code});
}

static void do_remove(struct world *world, size_t id)
{
    fuzz_trace("remove %s", ids[id]);
    step(world, id, &(struct hb_input){.kind = HB_INPUT_REMOVE});
}

/* As hb_wall_parse gives them: any year from 0 to 9999. */
static hb_wall_ms pick_wall(struct world *world)
{
    static const int64_t year_0 = INT64_C(-62167219200000), year_9999 = INT64_C(253402300799999);
    int64_t wall = world->now.wall.ms;

    return (hb_wall_ms){PICK(world, 0, wall, wall - 1000, wall + 1000, wall - 15001, wall - 86400001, wall + 90000000,
                             year_0, year_9999)};
}

/* Any row that the codec lets through. */
static struct hb_row pick_row(struct world *world, size_t id)
{
    uint8_t flags = fuzz_byte(&world->input);

    return (struct hb_row){
        .id = hb_text_of(ids[id]),
        .name = pick_text(world, names),
        .host = pick_text(world, hosts),
        .port = (uint16_t)PICK(world, 0, 8001, 8002),
        .status = (enum hb_status)fuzz_below(&world->input, HB_STATUS_REMOVED + 1),
        .last_heartbeat = pick_wall(world),
        .since = pick_wall(world),
        .reason = (enum hb_reason)fuzz_below(&world->input, HB_REASON_PROBE_REFUSED + 1), /* or none that is known */
        .serving = flags & 1,
        .announced = (enum hb_announced)fuzz_below(&world->input, HB_ANNOUNCED_DOWN + 1),
        .unverified = flags & 2,
        .beats = flags & 4,
        .ready = flags & 8,
        .url = pick_text(world, urls),
        .attributes = pick_text(world, objects),
        .metrics = pick_text(world, objects),
        .requests = -1,
        .errors = -1,
        .timeout_ms = pick_timeout(world),
        .draining = flags & 16,
        .maintenance = flags & 32,
        .maintenance_until = pick_wall(world),
        .maintenance_reason = pick_text(world, names),
        .id_conflict = flags & 64,
        .epoch = 1,
        .seq = fuzz_byte(&world->input),
    };
}

/*
 * One that is there takes over what listeners were told even where its row's texts find no room. Whether they do, the
 * model does not know.
 */
static void leave_texts_out(struct hb_row *row)
{
    row->name = row->host = row->url = row->attributes = row->maintenance_reason = (struct hb_text){NULL, 0};
}

static void do_restore(struct world *world, size_t id)
{
    struct hb_row row = pick_row(world, id);
    bool coherent;

    if (world->model.rules.text_bytes_max > 0 && hb_model_visible(&world->workers[id]))
        leave_texts_out(&row);
    coherent = (row.url.bytes != NULL || (row.host.bytes != NULL && row.port != 0)) && !row.draining &&
               !row.maintenance && row.status != HB_STATUS_NOT_RESPONDING;

    /* A row that contradicts itself is set right with a transition; of that the watch knows nothing. */
    if (world->watch != NULL && !coherent && row.announced == HB_ANNOUNCED_UP)
        row.announced = HB_ANNOUNCED_DOWN;
    fuzz_trace("restore %s %s announced %s host %s port %u url %s heard %" PRId64 " maintenance %d until %" PRId64,
               ids[id], hb_status_text(row.status), hb_announced_text(row.announced), row.host.bytes, row.port,
               row.url.bytes, row.last_heartbeat.ms, row.maintenance, row.maintenance_until.ms);
    step(world, id, &(struct hb_input){.kind = HB_INPUT_RESTORE, .row = &row});
}

static void do_maintenance(struct world *world, size_t id)
{
    struct hb_maintenance maintenance = {
        .ttl_ms = PICK(world, 0, 1, 1000, 15000, HB_MAINTENANCE_MAX_MS),
        .reason = pick_text(world, names),
    };

    fuzz_trace("maintenance %s for %" PRId64, ids[id], maintenance.ttl_ms);
    step(world, id, &(struct hb_input){.kind = HB_INPUT_MAINTENANCE, .maintenance = &maintenance});
}

static void operate(struct world *world)
{
    uint8_t operation = fuzz_byte(&world->input);
    size_t id = operation >> 6;

    switch (operation % 16) {
    case 0:
    case 1:
        do_register(world, id);
        break;
    case 2:
    case 3:
        do_open(world, id);
        break;
    case 4:
    case 5:
    case 6:
        do_beat(world, id);
        break;
    case 7:
    case 8:
        do_close(world, id);
        break;
    case 9:
        do_remove(world, id);
        break;
    case 10:
        do_restore(world, id);
        break;
    case 11:
        do_maintenance(world, id);
        break;
    case 12:
        stall(world);
        break;
    case 13:
        if (operation & 16)
            set_restoring(world, operation & 32);
        else
            new_epoch(world);
        break;
    default:
        pass_time(world);
        break;
    }
}

void fuzz_one(const uint8_t *data, size_t size)
{
    struct world world = {.input = {data, data + size}, .now = {{WATCH_MONO_START}, {WATCH_WALL_START}}, .epoch = 1};
    bool watched = fuzz_byte(&world.input) & 1;
    struct hb_registry_rules rules = pick_rules(&world);

    fuzz_trace("timeout %" PRId64 " grace %" PRId64 " restart %" PRId64 " reap %" PRId64 " workers %u texts %zu",
               rules.timeout_ms, rules.disconnect_grace_ms, rules.restart_grace_ms, rules.reap_after_ms,
               rules.max_workers, rules.text_bytes_max);
    if (watched)
        world.watch = watch_new(&rules);
    world.registry = watched ? watch_registry(world.watch) : hb_registry_new(&rules);
    hb_model_init(&world.model, &rules);
    for (int i = 0; i < OPERATIONS_MAX && world.input.at < world.input.end; i++)
        operate(&world);
    sweep(&world);
    if (watched)
        watch_free(world.watch);
    else
        hb_registry_free(world.registry);
}
