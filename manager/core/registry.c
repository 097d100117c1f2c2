/*
 * The table of all workers, its ordered view, the one function that turns a difference into a transition, and time.
 * What each input means stands in registry_apply.c.
 */
#include "manager/core/registry.h"

#include <stdlib.h>
#include <string.h>

#include "manager/core/deadline.h"
#include "manager/core/registry_internal.h"

struct hb_registry *hb_registry_new(const struct hb_registry_rules *rules)
{
    struct hb_registry *registry = calloc(1, sizeof *registry);

    if (registry == NULL)
        return NULL;
    registry->rules = *rules;
    registry->texts.most_bytes = rules->text_bytes_max != 0 ? rules->text_bytes_max : SIZE_MAX;
    registry->timelines.most_bytes = rules->timeline_bytes_max != 0 ? rules->timeline_bytes_max : SIZE_MAX;
    hb_heap_init(&registry->deadlines);
    hb_poll_schedule_init(&registry->polls, rules->poll_concurrency);
    registry->by_id = hb_map_new(rules->hash_seed);
    if (registry->by_id == NULL) {
        free(registry);
        return NULL;
    }
    return registry;
}

void hb_registry_free(struct hb_registry *registry)
{
    struct hb_heap_node *node;

    if (registry == NULL)
        return;
    /* Every entry that can ever change by time is in the heap; the visible others are in the index. */
    while (registry->visible > 0)
        hb_entry_destroy(registry, registry->ordered[registry->visible - 1]);
    while ((node = hb_heap_min(&registry->deadlines)) != NULL)
        hb_entry_destroy(registry, (struct hb_worker *)node);
    hb_heap_free(&registry->deadlines);
    hb_poll_schedule_free(&registry->polls);
    hb_gone_ids_free(&registry->gone);
    hb_map_free(registry->by_id);
    free(registry->ordered);
    free(registry);
}

/* ---- entries ---- */

static enum hb_err ordered_reserve(struct hb_registry *registry, size_t count)
{
    size_t cap = registry->ordered_cap == 0 ? 64 : registry->ordered_cap;
    struct hb_worker **ordered;

    if (count <= registry->ordered_cap)
        return HB_OK;
    while (cap < count)
        cap *= 2;
    ordered = realloc(registry->ordered, cap * sizeof *ordered);
    if (ordered == NULL)
        return HB_ERR_NO_MEMORY;
    registry->ordered = ordered;
    registry->ordered_cap = cap;
    return HB_OK;
}

static int compare_ids(struct hb_text a, struct hb_text b)
{
    int order = memcmp(a.bytes, b.bytes, a.len < b.len ? a.len : b.len);

    if (order != 0)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

/* The first place whose id is greater than `id`, or not less with or_equal. */
static size_t ordered_find(const struct hb_registry *registry, struct hb_text id, bool or_equal)
{
    size_t low = 0;
    size_t high = registry->visible;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct hb_worker *worker = registry->ordered[middle];
        int order = compare_ids((struct hb_text){worker->id, worker->id_len}, id);

        if (order < 0 || (order == 0 && !or_equal))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void hb_entry_show(struct hb_registry *registry, struct hb_worker *worker)
{
    size_t place = ordered_find(registry, (struct hb_text){worker->id, worker->id_len}, true);
    struct hb_worker **slot = registry->ordered + place;

    memmove(slot + 1, slot, (registry->visible - place) * sizeof *slot);
    *slot = worker;
    registry->visible++;
}

static void ordered_remove(struct hb_registry *registry, const struct hb_worker *worker)
{
    size_t place = ordered_find(registry, (struct hb_text){worker->id, worker->id_len}, true);
    struct hb_worker **slot = registry->ordered + place;

    registry->visible--;
    memmove(slot, slot + 1, (registry->visible - place) * sizeof *slot);
}

static void set_initial(struct hb_worker *worker, const struct hb_turn *turn)
{
    worker->status = HB_STATUS_UNKNOWN;
    worker->timeout_ms = (uint32_t)turn->registry->rules.timeout_ms;
    worker->last_contact = turn->now;
    worker->hold_until = HB_MONO_NEVER;
    worker->requests = -1;
    worker->errors = -1;
}

enum hb_err hb_entry_create(struct hb_turn *turn, struct hb_text id, struct hb_worker **ret_worker)
{
    struct hb_registry *registry = turn->registry;
    size_t count = hb_map_count(registry->by_id) + 1;
    struct hb_worker *worker;
    enum hb_err err;

    if (count > registry->rules.max_workers)
        return HB_ERR_FULL;
    err = ordered_reserve(registry, count);
    if (err == HB_OK)
        err = hb_heap_reserve(&registry->deadlines, (uint32_t)count);
    if (err != HB_OK)
        return err;
    worker = calloc(1, sizeof *worker + id.len + 1);
    if (worker == NULL)
        return HB_ERR_NO_MEMORY;
    memcpy(worker->id, id.bytes, id.len);
    worker->id_len = (uint8_t)id.len;
    worker->deadline.place = HB_HEAP_OUTSIDE;
    set_initial(worker, turn);
    err = hb_map_insert(registry->by_id, worker->id, worker->id_len, worker);
    if (err != HB_OK) {
        free(worker);
        return err;
    }
    *ret_worker = worker;
    return HB_OK;
}

static void free_parts(struct hb_registry *registry, struct hb_worker *worker)
{
    hb_worker_free_texts(worker, &registry->texts);
    hb_timeline_free(&worker->timeline, &registry->timelines);
    hb_poll_give_up(registry, worker);
    if (worker->rare != NULL) {
        free(worker->rare->reported_status);
        free(worker->rare->maintenance_reason);
    }
    free(worker->rare);
}

void hb_entry_reset(struct hb_turn *turn, struct hb_worker *worker)
{
    struct hb_heap_node deadline = worker->deadline;
    size_t fixed = offsetof(struct hb_worker, id_len);

    free_parts(turn->registry, worker);
    memset(worker, 0, fixed);
    worker->deadline = deadline;
    set_initial(worker, turn);
}

void hb_entry_destroy(struct hb_registry *registry, struct hb_worker *worker)
{
    if (hb_worker_visible(worker))
        ordered_remove(registry, worker);
    hb_heap_remove(&registry->deadlines, &worker->deadline);
    hb_map_remove(registry->by_id, worker->id, worker->id_len);
    free_parts(registry, worker);
    free(worker);
}

struct hb_worker_rare *hb_entry_rare(struct hb_worker *worker)
{
    if (worker->rare == NULL) {
        worker->rare = calloc(1, sizeof *worker->rare);
        if (worker->rare != NULL) {
            for (size_t i = 0; i < HB_TAKEOVERS_MAX; i++)
                worker->rare->takeovers[i] = HB_MONO_NEVER;
        }
    }
    return worker->rare;
}

void hb_entry_arm(struct hb_registry *registry, struct hb_worker *worker)
{
    hb_mono_ms deadline = hb_deadline_of(worker, &registry->rules);

    if (deadline.ms == HB_MONO_NEVER.ms)
        hb_heap_remove(&registry->deadlines, &worker->deadline);
    else
        hb_heap_set(&registry->deadlines, &worker->deadline, deadline.ms);
}

/* ---- one transition ---- */

struct hb_effect *hb_turn_push(struct hb_turn *turn, enum hb_effect_kind kind, struct hb_worker *worker)
{
    struct hb_effect *effect = &turn->effects->items[turn->effects->count++];

    *effect = (struct hb_effect){.kind = kind, .worker = worker};
    return effect;
}

struct hb_before hb_turn_before(const struct hb_turn *turn, const struct hb_worker *worker)
{
    return (struct hb_before){
        .status = worker->status,
        .health = worker->health,
        .serving = worker->serving,
        .ready = worker->ready,
        .draining = worker->draining,
        .maintenance = worker->maintenance,
        .visible = hb_worker_visible(worker),
        .silence_ms = hb_mono_between(worker->last_contact, turn->now),
    };
}

static enum hb_announced announced_after(enum hb_edge edge, uint8_t announced)
{
    switch (edge) {
    case HB_EDGE_UP:
    case HB_EDGE_RECOVERY:
        return HB_ANNOUNCED_UP;
    case HB_EDGE_DOWN:
        return HB_ANNOUNCED_DOWN;
    case HB_EDGE_REMOVED:
        return HB_ANNOUNCED_NONE;
    case HB_EDGE_NONE:
        break;
    }
    return (enum hb_announced)announced;
}

static bool differs(const struct hb_worker *worker, const struct hb_before *before)
{
    return worker->status != before->status || worker->serving != before->serving || worker->ready != before->ready ||
           worker->health != before->health || worker->draining != before->draining ||
           worker->maintenance != before->maintenance;
}

/* How its socket ended, where that is the reason. */
static uint16_t socket_code_of(const struct hb_worker *worker, enum hb_reason reason)
{
    return reason == HB_REASON_CONNECTION_CLOSED || reason == HB_REASON_GOODBYE ? worker->last_close : 0;
}

static void remember(struct hb_registry *registry, struct hb_worker *worker, const struct hb_effect *effect,
                     hb_wall_ms at)
{
    const struct hb_transition transition = {
        .at = at,
        .seq_low = (uint32_t)effect->seq,
        .silence_ms = effect->silence_ms < UINT32_MAX ? (uint32_t)effect->silence_ms : UINT32_MAX,
        .close_code = effect->socket_code,
        .poll_code = effect->poll_code,
        .outcome = worker->poll != NULL ? worker->poll->outcome : HB_POLL_NONE,
        .status = worker->status,
        .previous = effect->previous,
        .edge = effect->edge,
        .reason = effect->reason,
        .health = worker->health,
        .serving = worker->serving,
        .ready = worker->ready,
        .draining = worker->draining,
        .maintenance = worker->maintenance,
    };

    hb_timeline_push(&worker->timeline, &registry->timelines, &transition);
}

bool hb_turn_settle(struct hb_turn *turn, struct hb_worker *worker, const struct hb_before *before,
                    enum hb_reason reason, bool address_changed)
{
    struct hb_registry *registry = turn->registry;
    struct hb_effect *effect;
    enum hb_edge edge;

    worker->serving = hb_worker_should_serve(worker, &registry->rules);
    edge = hb_worker_edge(worker, address_changed);
    if (!differs(worker, before) && !address_changed && edge == HB_EDGE_NONE)
        return false;
    if (!before->visible && hb_worker_visible(worker))
        hb_entry_show(registry, worker);
    worker->announced = announced_after(edge, worker->announced);
    if (worker->status != before->status)
        worker->since = turn->wall;
    worker->reason = reason;
    worker->epoch = registry->epoch;
    worker->seq = ++registry->seq;

    effect = hb_turn_push(turn, HB_EFFECT_TRANSITION, worker);
    effect->seq = worker->seq;
    effect->previous = (enum hb_status)before->status;
    effect->edge = edge;
    effect->reason = reason;
    effect->silence_ms = before->silence_ms;
    effect->socket_code = socket_code_of(worker, reason);
    effect->poll_code = worker->poll != NULL ? worker->poll->code : 0;
    effect->gone = worker->status == HB_STATUS_REMOVED;
    remember(registry, worker, effect, turn->wall);
    hb_entry_arm(registry, worker);
    return true;
}

void hb_turn_settle_row(struct hb_turn *turn, struct hb_worker *worker, const struct hb_before *before,
                        enum hb_reason reason, bool address_changed)
{
    if (hb_turn_settle(turn, worker, before, reason, address_changed))
        return;
    hb_turn_row_changed(turn, worker);
    hb_entry_arm(turn->registry, worker);
}

void hb_turn_close_socket(struct hb_turn *turn, struct hb_worker *worker, uint16_t close_code)
{
    struct hb_effect *effect = hb_turn_push(turn, HB_EFFECT_CLOSE_SOCKET, NULL);

    effect->socket = worker->socket;
    effect->close_code = close_code;
    worker->socket = NULL;
}

void hb_turn_row_changed(struct hb_turn *turn, struct hb_worker *worker)
{
    hb_turn_push(turn, HB_EFFECT_ROW_CHANGED, worker);
}

void hb_turn_remove(struct hb_turn *turn, struct hb_worker *worker, enum hb_reason reason)
{
    struct hb_before before = hb_turn_before(turn, worker);

    if (worker->socket != NULL)
        hb_turn_close_socket(turn, worker, HB_CLOSE_REMOVED);
    if (turn->registry->restoring)
        hb_gone_ids_add(&turn->registry->gone, worker->id, worker->announced != HB_ANNOUNCED_NONE);
    ordered_remove(turn->registry, worker);
    hb_poll_give_up(turn->registry, worker);
    worker->status = HB_STATUS_REMOVED;
    worker->last_contact = turn->now; /* from here on: when it was removed */
    hb_turn_settle(turn, worker, &before, reason, false);
}

/* ---- time ---- */

static void time_out(struct hb_turn *turn, struct hb_worker *worker)
{
    struct hb_before before = hb_turn_before(turn, worker);
    enum hb_reason reason;

    if (worker->unverified)
        reason = HB_REASON_RESTART_GRACE;
    else if (worker->status == HB_STATUS_DISCONNECTED)
        reason = worker->said_goodbye ? HB_REASON_GOODBYE : HB_REASON_CONNECTION_CLOSED;
    else
        reason = worker->status == HB_STATUS_ALIVE ? HB_REASON_HEARTBEAT_TIMEOUT : HB_REASON_NEVER_BEAT;
    if (worker->unverified)
        worker->poll_up = false; /* that was the earlier life's verdict */
    worker->unverified = false;
    worker->hold_until = HB_MONO_NEVER;
    worker->status = HB_STATUS_NOT_RESPONDING;
    hb_turn_settle(turn, worker, &before, reason, false);
}

static void end_hold(struct hb_turn *turn, struct hb_worker *worker)
{
    struct hb_before before = hb_turn_before(turn, worker);

    worker->hold_until = HB_MONO_NEVER;
    hb_turn_settle(turn, worker, &before, HB_REASON_CONNECTION_CLOSED, false);
}

static void end_maintenance(struct hb_turn *turn, struct hb_worker *worker)
{
    struct hb_before before = hb_turn_before(turn, worker);

    hb_maintenance_end(worker);
    hb_turn_settle(turn, worker, &before, HB_REASON_MAINTENANCE, false);
}

/* Does what is due for a visible worker. What is not due stays; the entry is armed again by the caller. */
static void expire_worker(struct hb_turn *turn, struct hb_worker *worker)
{
    const struct hb_registry_rules *rules = &turn->registry->rules;
    int64_t silence_ms = hb_mono_between(worker->last_contact, turn->now);

    if (worker->id_conflict && worker->rare->conflict_until.ms <= turn->now.ms) {
        worker->id_conflict = false;
        hb_turn_row_changed(turn, worker);
    } else if (hb_worker_can_time_out(worker) && silence_ms > hb_worker_patience(worker, rules)) {
        time_out(turn, worker);
    } else if (worker->hold_until.ms <= turn->now.ms) {
        end_hold(turn, worker);
    } else if (worker->maintenance && worker->rare->maintenance_until.ms <= turn->now.ms) {
        end_maintenance(turn, worker);
    } else if (hb_deadline_reap(worker, rules).ms <= turn->now.ms) {
        hb_turn_remove(turn, worker, HB_REASON_REAPED);
    }
    hb_entry_arm(turn->registry, worker);
}

bool hb_registry_expire(struct hb_registry *registry, struct hb_moment now, struct hb_effects *effects)
{
    struct hb_turn turn = {registry, {now.mono.ms - registry->skew_ms}, now.wall, effects};
    struct hb_heap_node *node = hb_heap_min(&registry->deadlines);
    struct hb_worker *worker = (struct hb_worker *)node; /* its first member */

    effects->count = 0;
    effects->worker = NULL;
    effects->interval_ms = 0;
    if (node == NULL || node->key > turn.now.ms)
        return false;
    if (hb_worker_visible(worker)) {
        expire_worker(&turn, worker);
    } else { /* nothing moves the deadline of these without arming them anew */
        if (worker->socket != NULL)
            hb_turn_close_socket(&turn, worker, HB_CLOSE_POLICY);
        hb_entry_destroy(registry, worker);
    }
    return true;
}

hb_mono_ms hb_registry_next_deadline(const struct hb_registry *registry)
{
    const struct hb_heap_node *node = hb_heap_min(&registry->deadlines);

    return node == NULL ? HB_MONO_NEVER : hb_mono_add((hb_mono_ms){node->key}, registry->skew_ms);
}

bool hb_registry_take_poll(struct hb_registry *registry, struct hb_moment now, const struct hb_worker **ret_worker,
                           uint64_t *ret_ticket)
{
    struct hb_poll_target *target =
        hb_poll_schedule_take(&registry->polls, (hb_mono_ms){now.mono.ms - registry->skew_ms});

    if (target == NULL)
        return false;
    *ret_worker = target->worker;
    *ret_ticket = target->ticket;
    return true;
}

hb_mono_ms hb_registry_next_poll(const struct hb_registry *registry)
{
    return hb_mono_add(hb_poll_schedule_next(&registry->polls), registry->skew_ms);
}

void hb_registry_set_restoring(struct hb_registry *registry, bool restoring)
{
    registry->restoring = restoring;
    if (!restoring)
        hb_gone_ids_free(&registry->gone);
}

void hb_registry_skew(struct hb_registry *registry, int64_t gap_ms)
{
    registry->skew_ms += gap_ms;
}

void hb_registry_set_epoch(struct hb_registry *registry, uint64_t epoch)
{
    for (size_t i = 0; i < registry->visible; i++) {
        if (registry->ordered[i]->epoch == registry->epoch)
            registry->ordered[i]->epoch = epoch;
    }
    registry->epoch = epoch;
}

struct hb_worker *hb_registry_worker_at(struct hb_registry *registry, size_t place)
{
    return registry->ordered[place];
}

/* ---- the view ---- */

const struct hb_registry_rules *hb_registry_rules(const struct hb_registry *registry)
{
    return &registry->rules;
}

uint64_t hb_registry_epoch(const struct hb_registry *registry)
{
    return registry->epoch;
}

uint64_t hb_registry_seq(const struct hb_registry *registry)
{
    return registry->seq;
}

size_t hb_registry_count(const struct hb_registry *registry)
{
    return registry->visible;
}

size_t hb_registry_entries(const struct hb_registry *registry)
{
    return hb_map_count(registry->by_id);
}

const struct hb_worker *hb_registry_find(const struct hb_registry *registry, struct hb_text id)
{
    const struct hb_worker *worker = hb_map_get(registry->by_id, id.bytes, id.len);

    return worker != NULL && hb_worker_visible(worker) ? worker : NULL;
}

const struct hb_worker *hb_registry_at(const struct hb_registry *registry, size_t place)
{
    return registry->ordered[place];
}

size_t hb_registry_after(const struct hb_registry *registry, struct hb_text after)
{
    return ordered_find(registry, after, false);
}
