#include "tests/sim/witness.h"

#include <inttypes.h>
#include <string.h>

#include "manager/core/registry_internal.h"
#include "manager/io/loop.h"
#include "tests/sim/compare.h"
#include "tests/sim/memory.h"
#include "tests/sim/restart.h"
#include "tests/sim/world.h"

#define TICK_MS HB_LOOP_NAP_MS
#define LATEST_MS (HB_LOOP_NAP_MS + HB_LOOP_LATE_MS) /* made due right after the loop armed its timer */

static struct sim *witness; /* of the one run that there is */

enum hb_err __real_hb_registry_step(struct hb_registry *registry, const struct hb_input *input, struct hb_moment now,
                                    struct hb_effects *effects);
bool __real_hb_registry_expire(struct hb_registry *registry, struct hb_moment now, struct hb_effects *effects);
void __real_hb_registry_skew(struct hb_registry *registry, int64_t gap_ms);
void __real_hb_registry_set_restoring(struct hb_registry *registry, bool restoring);
enum hb_err __wrap_hb_registry_step(struct hb_registry *registry, const struct hb_input *input, struct hb_moment now,
                                    struct hb_effects *effects);
bool __wrap_hb_registry_expire(struct hb_registry *registry, struct hb_moment now, struct hb_effects *effects);
void __wrap_hb_registry_skew(struct hb_registry *registry, int64_t gap_ms);
void __wrap_hb_registry_set_restoring(struct hb_registry *registry, bool restoring);

void witness_open(struct sim *sim)
{
    witness = sim;
}

void witness_new_life(struct sim *sim)
{
    hb_model_init(&sim->model, &sim->rules);
    memset(sim->modelled, 0, sim->options.workers * sizeof *sim->modelled);
    for (uint32_t i = 0; i < sim->options.workers; i++)
        sim->workers[i].restored_ms = INT64_MIN;
}

/* Ids are a letter and a number. */
static uint32_t index_of(struct hb_text id)
{
    uint32_t index = 0;

    for (size_t i = 1; i < id.len; i++)
        index = index * 10 + (uint32_t)(id.bytes[i] - '0');
    return index;
}

/* ---- what listeners hear ---- */

static void listen(struct sim *sim, uint32_t index, enum hb_edge edge)
{
    struct sim_worker *worker = &sim->workers[index];

    switch (edge) {
    case HB_EDGE_NONE:
        return;
    case HB_EDGE_UP:
        worker->listener = HB_ANNOUNCED_UP;
        return;
    case HB_EDGE_DOWN:
        sim->counts.downs++;
        if (worker->listener != HB_ANNOUNCED_UP)
            timeline_break(&sim->timeline, index, sim->now, "announced down, but listeners had not heard it was up");
        worker->listener = HB_ANNOUNCED_DOWN;
        return;
    case HB_EDGE_RECOVERY:
        sim->counts.recoveries++;
        if (worker->listener != HB_ANNOUNCED_DOWN)
            timeline_break(&sim->timeline, index, sim->now, "a recovery that follows no down");
        worker->listener = HB_ANNOUNCED_UP;
        return;
    case HB_EDGE_REMOVED:
        if (worker->listener != HB_ANNOUNCED_UP)
            timeline_break(&sim->timeline, index, sim->now, "announced removed, but listeners had not heard it was up");
        worker->listener = HB_ANNOUNCED_NONE;
        return;
    }
}

/* Whether what the manager says of a worker, by time, is what the world knows. */
static void judge(struct sim *sim, uint32_t index, const struct hb_effect *effect)
{
    const struct sim_worker *worker = &sim->workers[index];
    /* The grace of one that was up before the restart is for a beat: a socket does not prolong it. */
    bool beats_only = effect->reason == HB_REASON_RESTART_GRACE;
    int64_t silence_ms = sim->now - world_heard(sim, index, beats_only);
    bool right = true;

    if (effect->worker->status == HB_STATUS_NOT_RESPONDING) {
        sim->counts.timeouts++;
        /* Of one that was gone before the restart, only two wall clocks know for how long. */
        right = silence_ms > sim->modelled[index].timeout_ms ||
                (effect->edge == HB_EDGE_NONE && worker->restored_ms >= sim->now - silence_ms);
    } else if (effect->edge == HB_EDGE_DOWN && effect->reason == HB_REASON_CONNECTION_CLOSED) {
        right = worker->closed_ms != INT64_MIN && world_heard(sim, index, true) <= worker->closed_ms;
    }
    if (right)
        return;
    sim->counts.false_downs += effect->edge == HB_EDGE_DOWN;
    timeline_break(&sim->timeline, index, sim->now,
                   "given up (%s), but something of it was delivered %" PRId64 " ms ago and its timeout is %" PRId64
                   " ms",
                   hb_reason_text(effect->reason), silence_ms, sim->modelled[index].timeout_ms);
}

/* ---- what a call told ---- */

static void take_transition(struct sim *sim, uint32_t index, const struct hb_effect *effect, bool by_time)
{
    sim->counts.transitions++;
    if (effect->reason == HB_REASON_REAPED)
        sim->counts.reaped++;
    sim_note(sim, index, "  %s -> %s, reason %s, serving %d, silent for %" PRId64 " ms, seq %" PRIu64 " %s",
             hb_status_text(effect->previous), hb_status_text((enum hb_status)effect->worker->status),
             hb_reason_text(effect->reason), effect->worker->serving, effect->silence_ms, effect->seq,
             hb_edge_channel(effect->edge));
    listen(sim, index, effect->edge);
    if (effect->gone && !restart_is_loading(sim)) /* else what was told in the earlier life is told away later */
        sim->workers[index].listener = HB_ANNOUNCED_NONE;
    if (by_time)
        judge(sim, index, effect);
}

static void compare(struct sim *sim, uint32_t index, const struct hb_model_told *told, const struct hb_effects *effects,
                    bool by_time)
{
    char text[HB_COMPARE_TEXT];
    struct hb_text id = {sim->workers[index].id, sim->workers[index].id_len};
    const struct hb_worker *worker = hb_registry_find(sim->registry, id);

    sim->hints[index] = (const char *)worker;
    hb_model_refresh(&sim->model, &sim->modelled[index]);
    for (size_t i = 0; i < effects->count; i++) {
        if (effects->items[i].kind == HB_EFFECT_TRANSITION)
            take_transition(sim, index, &effects->items[i], by_time);
    }
    if (!hb_compare_effects(told, effects, text) || !hb_compare_worker(&sim->modelled[index], worker, text))
        timeline_break(&sim->timeline, index, sim->now, "registry and model differ: %s", text);
}

/* What an input made due in hindsight (a row of long ago, a goodbye that ends a grace) is late only since then. */
static int64_t late_by(const struct sim *sim, uint32_t index, int64_t due)
{
    int64_t changed = sim->workers[index].changed_ms + sim->model.skew_ms;

    return due == INT64_MAX ? 0 : sim->now - (due > changed ? due : changed);
}

static void judge_lateness(struct sim *sim, uint32_t index, int64_t due)
{
    int64_t late_ms = late_by(sim, index, due);

    if (late_ms > sim->counts.latest_ms)
        sim->counts.latest_ms = late_ms;
    if (late_ms > LATEST_MS)
        timeline_break(&sim->timeline, index, sim->now, "handled %" PRId64 " ms after its deadline", late_ms);
}

static const char *kind_text(enum hb_input_kind kind)
{
    static const char *const texts[] = {"registration", "socket opened", "beat", "socket closed", "removal",
                                        "row restored", "maintenance",   "poll", "probe"};

    return texts[kind];
}

static void watch_step(struct sim *sim, uint32_t index, const struct hb_input *input, struct hb_moment now,
                       const struct hb_effects *effects, enum hb_err err)
{
    struct hb_model_told told = {0};
    enum hb_err should;

    if (err == HB_ERR_NO_MEMORY || err == HB_ERR_FULL) {
        sim_note(sim, index, "%s: %s", kind_text(input->kind), hb_err_text(err));
        compare(sim, index, &told, effects, false);
        return;
    }
    should = hb_model_step(&sim->model, &sim->modelled[index], input, now, &told);
    if (told.beat && !told.transition && err == should && effects->count == 0 && effects->worker != NULL) {
        if (timeline_observes(&sim->timeline, index))
            timeline_beat(&sim->timeline, sim->now);
        return; /* the usual beat: looked at with all others, from time to time */
    }
    sim->workers[index].changed_ms = sim->now - sim->model.skew_ms;
    if (input->kind == HB_INPUT_RESTORE)
        sim->workers[index].restored_ms = sim->now;
    sim_note(sim, index, "%s, socket %p: %s", kind_text(input->kind), input->socket, hb_err_text(err));
    if (err != should)
        timeline_break(&sim->timeline, index, sim->now, "%s was answered \"%s\" and should be \"%s\"",
                       kind_text(input->kind), hb_err_text(err), hb_err_text(should));
    compare(sim, index, &told, effects, false);
}

enum hb_err __wrap_hb_registry_step(struct hb_registry *registry, const struct hb_input *input, struct hb_moment now,
                                    struct hb_effects *effects)
{
    struct sim *sim = witness;
    uint32_t index = index_of(input->id);
    enum hb_err err = __real_hb_registry_step(registry, input, now, effects);
    bool inside = memory_inside(false);

    watch_step(sim, index, input, now, effects, err);
    memory_inside(inside);
    return err;
}

/* The worker that something happened to by time; false: to none. */
static bool expired_worker(const struct hb_effects *effects, uint32_t *ret_index)
{
    for (size_t i = 0; i < effects->count; i++) {
        const struct hb_effect *effect = &effects->items[i];

        *ret_index = effect->worker != NULL ? index_of((struct hb_text){effect->worker->id, effect->worker->id_len})
                                            : sim_worker_of_socket((uint64_t)(uintptr_t)effect->socket);
        return true;
    }
    return false;
}

static void watch_expire(struct sim *sim, uint32_t index, struct hb_moment now, const struct hb_effects *effects)
{
    int64_t due = hb_model_due(&sim->model, &sim->modelled[index]).ms;
    struct hb_model_told told;

    sim_note(sim, index, "time: %" PRId64 " ms after its deadline", now.mono.ms - due);
    if (!hb_model_expire(&sim->model, &sim->modelled[index], now, &told))
        timeline_break(&sim->timeline, index, sim->now, "something happened %" PRId64 " ms before its deadline",
                       due - now.mono.ms);
    compare(sim, index, &told, effects, true);
    judge_lateness(sim, index, due);
}

bool __wrap_hb_registry_expire(struct hb_registry *registry, struct hb_moment now, struct hb_effects *effects)
{
    struct sim *sim = witness;
    bool more = __real_hb_registry_expire(registry, now, effects);
    hb_mono_ms next = hb_registry_next_deadline(registry);
    bool inside = memory_inside(false);
    uint32_t index;

    if (more && expired_worker(effects, &index))
        watch_expire(sim, index, now, effects);
    hb_model_swept(&sim->model, more && next.ms <= now.mono.ms ? (hb_mono_ms){next.ms - 1} : now.mono);
    memory_inside(inside);
    return more;
}

void __wrap_hb_registry_skew(struct hb_registry *registry, int64_t gap_ms)
{
    __real_hb_registry_skew(registry, gap_ms);
    hb_model_skew(&witness->model, gap_ms);
    sim_note(witness, TIMELINE_NOBODY, "skew %" PRId64 " ms", gap_ms);
}

void __wrap_hb_registry_set_restoring(struct hb_registry *registry, bool restoring)
{
    __real_hb_registry_set_restoring(registry, restoring);
    hb_model_set_restoring(&witness->model, restoring);
}

/* ---- all workers ---- */

/* Stalls that began after `from`: so much later may its silence be noticed. */
static int64_t stalled_since(const struct sim *sim, int64_t from)
{
    int64_t sum = 0;

    for (size_t i = 0; i < SIM_STALLS_KEPT; i++) {
        if (sim->stalls[i].at + sim->stalls[i].gap_ms >= from)
            sum += sim->stalls[i].gap_ms;
    }
    return sum;
}

/* By the world's own knowledge: silent for longer than anything allows, and still said to be there? */
static void unnoticed(struct sim *sim, uint32_t index)
{
    const struct hb_model_worker *modelled = &sim->modelled[index];
    int64_t heard_ms = world_heard(sim, index, false);
    int64_t patience_ms = modelled->timeout_ms;
    bool there = modelled->status == HB_STATUS_ALIVE || modelled->status == HB_STATUS_CONNECTED || modelled->serving;

    if (!there || modelled->place != HB_MODEL_KNOWN || sim->now - heard_ms <= patience_ms + 2 * TICK_MS)
        return;
    if (heard_ms < sim->workers[index].restored_ms)
        heard_ms = sim->workers[index].restored_ms;
    if (sim->workers[index].beat_ms < sim->workers[index].restored_ms && patience_ms < sim->rules.restart_grace_ms)
        patience_ms = sim->rules.restart_grace_ms;
    if (sim->now - heard_ms > patience_ms + 2 * TICK_MS + stalled_since(sim, heard_ms))
        timeline_break(&sim->timeline, index, sim->now, "silent for %" PRId64 " ms and nobody noticed",
                       sim->now - heard_ms);
}

void witness_overdue(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->options.workers; i++) {
        int64_t late_ms = late_by(sim, i, hb_model_due(&sim->model, &sim->modelled[i]).ms);

        if (late_ms > LATEST_MS)
            timeline_break(&sim->timeline, i, sim->now, "overdue by %" PRId64 " ms", late_ms);
        unnoticed(sim, i);
    }
}

/* The heap's own entry of a worker, and no later than the model's deadline. */
static void look_at_deadline(struct sim *sim, uint32_t index, const struct hb_worker *worker)
{
    const struct hb_heap *heap = &sim->registry->deadlines;
    int64_t due = hb_model_due(&sim->model, &sim->modelled[index]).ms;
    bool in = worker->deadline.place != HB_HEAP_OUTSIDE;

    if (in && (worker->deadline.place >= heap->count || heap->nodes[worker->deadline.place] != &worker->deadline))
        timeline_break(&sim->timeline, index, sim->now, "its entry among the deadlines is not its own");
    if (due != INT64_MAX && (!in || worker->deadline.key > due - sim->model.skew_ms))
        timeline_break(&sim->timeline, index, sim->now, "its entry among the deadlines is later than its deadline");
}

/* What it takes for told is what listeners heard. */
static void look_at_announced(struct sim *sim, uint32_t index, const struct hb_worker *worker)
{
    uint8_t heard = sim->workers[index].listener;

    if (restart_is_loading(sim) || worker->announced == heard)
        return;
    if (worker->announced == HB_ANNOUNCED_NONE && heard == HB_ANNOUNCED_DOWN)
        return; /* deleted while down, of which no channel tells, and back since */
    timeline_break(&sim->timeline, index, sim->now, "announced is %s, but listeners heard %s last",
                   hb_announced_text((enum hb_announced)worker->announced),
                   hb_announced_text((enum hb_announced)heard));
}

void witness_compare_all(struct sim *sim)
{
    size_t visible = hb_registry_count(sim->registry);
    size_t modelled = 0;
    char text[HB_COMPARE_TEXT];

    for (size_t i = 0; i < visible; i++) {
        const struct hb_worker *worker = hb_registry_at(sim->registry, i);
        uint32_t index = index_of((struct hb_text){worker->id, worker->id_len});

        hb_model_refresh(&sim->model, &sim->modelled[index]);
        if (!hb_compare_worker(&sim->modelled[index], worker, text))
            timeline_break(&sim->timeline, index, sim->now, "registry and model differ: %s", text);
        look_at_announced(sim, index, worker);
        look_at_deadline(sim, index, worker);
    }
    for (uint32_t i = 0; i < sim->options.workers; i++)
        modelled += hb_model_visible(&sim->modelled[i]);
    if (modelled != visible)
        timeline_break(&sim->timeline, TIMELINE_NOBODY, sim->now, "%zu workers are visible and should be %zu", visible,
                       modelled);
    if (sim->registry->deadlines.count > hb_registry_entries(sim->registry))
        timeline_break(&sim->timeline, TIMELINE_NOBODY, sim->now, "%u deadlines of %zu workers",
                       sim->registry->deadlines.count, hb_registry_entries(sim->registry));
    if (hb_registry_seq(sim->registry) != sim->model.seq)
        timeline_break(&sim->timeline, TIMELINE_NOBODY, sim->now, "seq is %" PRIu64 " and should be %" PRIu64,
                       hb_registry_seq(sim->registry), sim->model.seq);
}
