#include "tests/unit/watch.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/core/deadline.h"
#include "proto/wire/limits.h"

/* What a listener remembers of one id. */
struct seen {
    char id[HB_ID_MAX + 1];
    bool visible, unverified;
    enum hb_announced announced;
    enum hb_status status;
    uint64_t seq;
    char facts[1024];         /* what only a transition may change */
    char row[WATCH_ROW_TEXT]; /* everything a row shows */
};

struct watch {
    struct hb_registry *registry;
    struct hb_registry_rules rules;
    int64_t skew_ms;
    uint64_t seq;
    size_t entries, count;
    struct seen **seen;
    size_t seen_count, seen_cap;
    char fault[512];
};

struct watch *watch_new(const struct hb_registry_rules *rules)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL)
        return NULL;
    watch->rules = *rules;
    watch->registry = hb_registry_new(rules);
    if (watch->registry == NULL) {
        free(watch);
        return NULL;
    }
    return watch;
}

void watch_free(struct watch *watch)
{
    if (watch == NULL)
        return;
    hb_registry_free(watch->registry);
    for (size_t i = 0; i < watch->seen_count; i++)
        free(watch->seen[i]);
    free(watch->seen);
    free(watch);
}

struct hb_registry *watch_registry(struct watch *watch)
{
    return watch->registry;
}

const char *watch_fault(const struct watch *watch)
{
    return watch->fault[0] != '\0' ? watch->fault : NULL;
}

int64_t watch_skewed_ms(const struct watch *watch)
{
    return watch->skew_ms;
}

/* The first fault is the interesting one: what follows is often its shadow. */
static void fault(struct watch *watch, const char *format, ...) HB_PRINTF(2, 3);
static void fault(struct watch *watch, const char *format, ...)
{
    if (watch->fault[0] != '\0')
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(watch->fault, sizeof watch->fault, format, arguments);
    va_end(arguments);
}

/* ---- words ---- */

const char *watch_err_word(enum hb_err err)
{
    switch (err) {
    case HB_OK:
        return "ok";
    case HB_ERR_NO_MEMORY:
        return "no_memory";
    case HB_ERR_FULL:
        return "full";
    case HB_ERR_UNKNOWN:
        return "unknown";
    case HB_ERR_STALE:
        return "stale";
    case HB_ERR_REFUSED:
        return "refused";
    case HB_ERR_CONFLICT:
        return "conflict";
    default:
        return hb_err_text(err);
    }
}

static const char *text_or_dash(struct hb_text text)
{
    return text.bytes != NULL ? text.bytes : "-"; /* texts of a row point into the worker, NUL-terminated */
}

static const char *yes_no(bool value)
{
    return value ? "yes" : "no";
}

void watch_row_text(const struct hb_worker *worker, char out[WATCH_ROW_TEXT])
{
    struct hb_row row = hb_worker_row(worker);
    snprintf(out, WATCH_ROW_TEXT,
             " name=%s host=%s port=%u url=%s status=%s reason=%s serving=%s announced=%s unverified=%s ready=%s"
             " health=%s draining=%s maintenance=%s id_conflict=%s timeout=%.3f interval=%.3f poll_interval=%.3f"
             " requests=%" PRId64 " errors=%" PRId64 " heard=%.3f since=%.3f epoch=%" PRIu64 " seq=%" PRIu64
             " beats=%s attributes=%s metrics=%s said=%s until=%.3f words=%s ",
             text_or_dash(row.name), text_or_dash(row.host), (unsigned)row.port, text_or_dash(row.url),
             hb_status_text(row.status), hb_reason_text(row.reason), yes_no(row.serving),
             hb_announced_text(row.announced), yes_no(row.unverified), yes_no(row.ready), hb_health_text(row.health),
             yes_no(row.draining), yes_no(row.maintenance), yes_no(row.id_conflict), (double)row.timeout_ms / 1000,
             (double)row.interval_ms / 1000, (double)row.poll_interval_ms / 1000, row.requests, row.errors,
             (double)(row.last_heartbeat.ms - WATCH_WALL_START) / 1000,
             (double)(row.since.ms - WATCH_WALL_START) / 1000, row.epoch, row.seq, yes_no(row.beats),
             text_or_dash(row.attributes), text_or_dash(row.metrics), text_or_dash(row.reported_status),
             row.maintenance_until.ms != 0 ? (double)(row.maintenance_until.ms - WATCH_WALL_START) / 1000 : 0,
             text_or_dash(row.maintenance_reason));
}

static void facts_text(const struct hb_worker *worker, char out[1024])
{
    struct hb_row row = hb_worker_row(worker);
    snprintf(out, 1024, "%s, serving %s, ready %s, health %s, draining %s, maintenance %s, at %s:%u %s",
             hb_status_text(row.status), yes_no(row.serving), yes_no(row.ready), hb_health_text(row.health),
             yes_no(row.draining), yes_no(row.maintenance), text_or_dash(row.host), (unsigned)row.port,
             text_or_dash(row.url));
}

void watch_effect_text(const struct hb_effect *effect, const char *socket_name, char *out, size_t size)
{
    const char *id = effect->worker != NULL ? effect->worker->id : "-";
    switch (effect->kind) {
    case HB_EFFECT_TRANSITION: {
        enum hb_status status = (enum hb_status)effect->worker->status;
        const char *channel = hb_edge_channel(effect->edge);
        const char *gap = channel[0] != '\0' ? " " : "";
        if (status == effect->previous)
            snprintf(out, size, "%s %s (%s)%s%s", id, hb_status_text(status), hb_reason_text(effect->reason), gap,
                     channel);
        else
            snprintf(out, size, "%s %s -> %s (%s)%s%s", id, hb_status_text(effect->previous), hb_status_text(status),
                     hb_reason_text(effect->reason), gap, channel);
        break;
    }
    case HB_EFFECT_ROW_CHANGED:
        snprintf(out, size, "%s row", id);
        break;
    case HB_EFFECT_PROBE:
        snprintf(out, size, "probe %s", id);
        break;
    case HB_EFFECT_CLOSE_SOCKET:
        snprintf(out, size, "close %s %u", socket_name, (unsigned)effect->close_code);
        break;
    }
}

/* ---- what listeners remember ---- */

static struct seen *seen_of(struct watch *watch, const char *id)
{
    for (size_t i = 0; i < watch->seen_count; i++)
        if (strcmp(watch->seen[i]->id, id) == 0)
            return watch->seen[i];
    if (watch->seen_count == watch->seen_cap) {
        size_t cap = watch->seen_cap > 0 ? 2 * watch->seen_cap : 64;
        struct seen **grown = realloc(watch->seen, cap * sizeof *grown);
        if (grown == NULL)
            abort();
        watch->seen = grown;
        watch->seen_cap = cap;
    }
    struct seen *seen = calloc(1, sizeof *seen);
    if (seen == NULL)
        abort();
    snprintf(seen->id, sizeof seen->id, "%s", id);
    watch->seen[watch->seen_count++] = seen;
    return seen;
}

static void remember(struct seen *seen, const struct hb_worker *worker)
{
    seen->visible = worker != NULL;
    seen->unverified = worker != NULL && worker->unverified;
    seen->status = worker != NULL ? (enum hb_status)worker->status : HB_STATUS_UNKNOWN;
    seen->seq = worker != NULL ? worker->seq : 0;
    seen->facts[0] = seen->row[0] = '\0';
    if (worker != NULL) {
        facts_text(worker, seen->facts);
        watch_row_text(worker, seen->row);
    }
}

/* ---- one effect ---- */

/* What may be announced after what; a worker that is gone starts anew. */
static void check_edge(struct watch *watch, struct seen *seen, enum hb_edge edge, bool gone)
{
    enum hb_announced before = seen->announced;
    bool legal = true;
    switch (edge) {
    case HB_EDGE_NONE:
        legal = !(gone && before == HB_ANNOUNCED_UP);
        break;
    case HB_EDGE_UP: /* for the first time, or again at a new address */
        legal = !gone && before != HB_ANNOUNCED_DOWN;
        seen->announced = HB_ANNOUNCED_UP;
        break;
    case HB_EDGE_DOWN:
        legal = !gone && before == HB_ANNOUNCED_UP;
        seen->announced = HB_ANNOUNCED_DOWN;
        break;
    case HB_EDGE_RECOVERY:
        legal = !gone && before == HB_ANNOUNCED_DOWN;
        seen->announced = HB_ANNOUNCED_UP;
        break;
    case HB_EDGE_REMOVED:
        legal = gone && before == HB_ANNOUNCED_UP;
        break;
    }
    if (!legal)
        fault(watch, "%s%s: '%s' cannot follow announced %s", seen->id, gone ? " is gone" : "", hb_edge_channel(edge),
              hb_announced_text(before));
    if (gone)
        seen->announced = HB_ANNOUNCED_NONE;
}

static void check_transition(struct watch *watch, const struct hb_effect *effect)
{
    struct hb_worker *worker = effect->worker;
    struct seen *seen = seen_of(watch, worker->id);
    char facts[1024];
    facts_text(worker, facts);

    if (effect->seq != watch->seq + 1)
        fault(watch, "%s: seq %" PRIu64 " after %" PRIu64, worker->id, effect->seq, watch->seq);
    watch->seq = effect->seq;
    if (worker->seq != effect->seq || worker->epoch != hb_registry_epoch(watch->registry))
        fault(watch, "%s: the worker is stamped %" PRIu64 "-%" PRIu64 ", its transition has seq %" PRIu64, worker->id,
              worker->epoch, worker->seq, effect->seq);
    if (effect->previous != seen->status && (seen->visible || effect->previous != HB_STATUS_REMOVED))
        fault(watch, "%s: previous is %s, it was %s", worker->id, hb_status_text(effect->previous),
              hb_status_text(seen->status));
    if (effect->silence_ms < 0)
        fault(watch, "%s: silent for %" PRId64 " ms", worker->id, effect->silence_ms);
    if (effect->gone != !hb_worker_visible(worker) || effect->gone != (worker->status == HB_STATUS_REMOVED))
        fault(watch, "%s: gone %s, but visible %s and %s", worker->id, yes_no(effect->gone),
              yes_no(hb_worker_visible(worker)), hb_status_text((enum hb_status)worker->status));
    if (!effect->gone && worker->reason != effect->reason)
        fault(watch, "%s: the row's reason is %s, the transition's %s", worker->id,
              hb_reason_text((enum hb_reason)worker->reason), hb_reason_text(effect->reason));
    if (effect->reason == HB_REASON_NONE)
        fault(watch, "%s: a transition without a reason", worker->id);
    if (!effect->gone && seen->visible && effect->edge == HB_EDGE_NONE && strcmp(seen->facts, facts) == 0)
        fault(watch, "%s: a transition, but nothing changed: %s", worker->id, facts);
    check_edge(watch, seen, effect->edge, effect->gone);
    remember(seen, effect->gone ? NULL : worker);
}

static void check_row_changed(struct watch *watch, const struct hb_effect *effect, bool restoring)
{
    struct seen *seen = seen_of(watch, effect->worker->id);
    char facts[1024];
    facts_text(effect->worker, facts);
    if (!hb_worker_visible(effect->worker))
        fault(watch, "%s: its row changed, but it has none", effect->worker->id);
    if (!restoring && strcmp(seen->facts, facts) != 0)
        fault(watch, "%s: no transition for [%s] -> [%s]", seen->id, seen->facts, facts);
    remember(seen, effect->worker);
    if (restoring)
        seen->announced = (enum hb_announced)effect->worker->announced;
}

static void check_probe(struct watch *watch, const struct hb_effect *effect)
{
    const struct hb_worker *worker = effect->worker;
    if (worker->socket != NULL || worker->hold_until.ms == INT64_MAX || !worker->serving)
        fault(watch, "%s: to be probed, but it is not held", worker->id);
}

static void check_close(struct watch *watch, const struct hb_effect *effect)
{
    if (effect->socket == NULL)
        fault(watch, "a socket is to be closed, but it is NULL");
    if (effect->worker != NULL && effect->worker->socket == effect->socket)
        fault(watch, "%s: told to close a socket that it still has", effect->worker->id);
    switch (effect->close_code) {
    case HB_CLOSE_NORMAL:
    case HB_CLOSE_POLICY:
    case HB_CLOSE_REPLACED:
    case HB_CLOSE_REMOVED:
        break;
    default:
        fault(watch, "a socket is to be closed with %u", (unsigned)effect->close_code);
    }
}

/* A beat that was counted may move figures and times in the row; whatever else it changes needs an effect. */
static void check_beat(struct watch *watch, const struct hb_worker *worker)
{
    struct seen *seen = seen_of(watch, worker->id);
    char facts[1024];
    facts_text(worker, facts);
    if (!hb_worker_visible(worker) || !seen->visible || strcmp(seen->facts, facts) != 0 ||
        seen->unverified != worker->unverified)
        fault(watch, "%s: a beat changed it untold: [%s] -> [%s]", worker->id, seen->facts, facts);
    else
        remember(seen, worker);
}

static void check_effects(struct watch *watch, const struct hb_effects *effects, bool restoring)
{
    size_t transitions = 0;
    if (effects->count > HB_EFFECTS_MAX) {
        fault(watch, "%zu effects of one call", effects->count);
        return;
    }
    for (size_t i = 0; i < effects->count; i++) {
        const struct hb_effect *effect = &effects->items[i];
        switch (effect->kind) {
        case HB_EFFECT_TRANSITION:
            transitions++;
            check_transition(watch, effect);
            break;
        case HB_EFFECT_ROW_CHANGED:
            check_row_changed(watch, effect, restoring);
            break;
        case HB_EFFECT_PROBE:
            check_probe(watch, effect);
            break;
        case HB_EFFECT_CLOSE_SOCKET:
            check_close(watch, effect);
            break;
        }
    }
    if (transitions > 1)
        fault(watch, "%zu transitions of one call", transitions);
    if (effects->worker != NULL)
        check_beat(watch, effects->worker);
}

/* ---- the whole registry ---- */

/* Silence that it is allowed, from DESIGN: its timeout, or while unverified the greater of that and RESTART_GRACE. */
static int64_t patience_of(const struct watch *watch, const struct hb_worker *worker)
{
    int64_t timeout = worker->timeout_ms;
    return worker->unverified && watch->rules.restart_grace_ms > timeout ? watch->rules.restart_grace_ms : timeout;
}

static bool silence_counts(const struct hb_worker *worker)
{
    switch (worker->status) {
    case HB_STATUS_REGISTERED:
        return worker->beats;
    case HB_STATUS_ALIVE:
        return worker->beats || (worker->unverified && worker->poll == NULL); /* else its polls decide */
    case HB_STATUS_CONNECTED:
    case HB_STATUS_DISCONNECTED:
        return true;
    default:
        return false;
    }
}

static void check_deadline(struct watch *watch, const struct hb_worker *worker, uint8_t *places, size_t entries)
{
    hb_mono_ms due = hb_deadline_of(worker, &watch->rules);
    hb_mono_ms next = hb_registry_next_deadline(watch->registry);
    const struct hb_heap_node *node = &worker->deadline;

    if (node->place == HB_HEAP_OUTSIDE) {
        if (due.ms != INT64_MAX)
            fault(watch, "%s: due, but it has no deadline entry", worker->id);
    } else if (node->place >= entries || places[node->place]++ != 0) {
        fault(watch, "%s: its deadline entry is at place %" PRIu32 " of %zu, which is not its own", worker->id,
              node->place, entries);
    } else if (node->key > due.ms) {
        fault(watch, "%s: its deadline entry is %" PRId64 " ms too late", worker->id, node->key - due.ms);
    }
    if (!silence_counts(worker))
        return;
    int64_t latest = worker->last_contact.ms + patience_of(watch, worker) + 1 + watch->skew_ms;
    if (next.ms > latest)
        fault(watch, "%s: the next deadline is %" PRId64 " ms later than its own", worker->id, next.ms - latest);
}

static void check_place(struct watch *watch, size_t place, const struct hb_worker *worker)
{
    struct hb_text id = {worker->id, worker->id_len};
    if (strlen(worker->id) != worker->id_len || hb_registry_find(watch->registry, id) != worker)
        fault(watch, "%s is listed but cannot be found", worker->id);
    if (hb_registry_after(watch->registry, id) != place + 1)
        fault(watch, "after %s comes place %zu, not %zu", worker->id, hb_registry_after(watch->registry, id),
              place + 1);
    if (place > 0 && strcmp(hb_registry_at(watch->registry, place - 1)->id, worker->id) >= 0)
        fault(watch, "%s is listed after %s", worker->id, hb_registry_at(watch->registry, place - 1)->id);
    if (!hb_worker_visible(worker) || worker->name == NULL)
        fault(watch, "%s is listed without being visible, or has no name", worker->id);
}

static void check_memory_of(struct watch *watch, const struct hb_worker *worker)
{
    struct seen *seen = seen_of(watch, worker->id);
    char row[WATCH_ROW_TEXT];
    watch_row_text(worker, row);
    if (!seen->visible || strcmp(seen->row, row) != 0)
        fault(watch, "%s changed untold: [%s] -> [%s]", worker->id, seen->row, row);
    if (worker->announced != seen->announced)
        fault(watch, "%s: its row says announced %s, listeners heard %s", worker->id,
              hb_announced_text((enum hb_announced)worker->announced), hb_announced_text(seen->announced));
    if (worker->serving != (worker->announced == HB_ANNOUNCED_UP))
        fault(watch, "%s: serving %s, announced %s", worker->id, yes_no(worker->serving),
              hb_announced_text((enum hb_announced)worker->announced));
}

static void check_registry(struct watch *watch)
{
    const struct hb_registry *registry = watch->registry;
    size_t count = hb_registry_count(registry);
    size_t entries = hb_registry_entries(registry);
    uint8_t *places = calloc(entries + 1, 1);
    if (places == NULL)
        abort();
    if (count > entries || entries > watch->rules.max_workers)
        fault(watch, "%zu workers in %zu entries of %" PRIu32, count, entries, watch->rules.max_workers);
    for (size_t place = 0; place < count && watch->fault[0] == '\0'; place++) {
        const struct hb_worker *worker = hb_registry_at(registry, place);
        check_place(watch, place, worker);
        check_memory_of(watch, worker);
        check_deadline(watch, worker, places, entries);
    }
    free(places);
    size_t visible = 0;
    for (size_t i = 0; i < watch->seen_count; i++)
        visible += watch->seen[i]->visible;
    if (visible != count)
        fault(watch, "%zu workers are listed, listeners know of %zu", count, visible);
    if (hb_registry_seq(registry) != watch->seq)
        fault(watch, "the registry's seq is %" PRIu64 ", the last transition had %" PRIu64, hb_registry_seq(registry),
              watch->seq);
    watch->entries = entries;
    watch->count = count;
}

/* ---- the calls ---- */

/* A refused newcomer may show a conflict in the row; nothing else may come of a call that failed. */
static void check_failure(struct watch *watch, const struct hb_effects *effects, enum hb_err err, size_t entries,
                          size_t count)
{
    for (size_t i = 0; i < effects->count; i++)
        if (effects->items[i].kind != HB_EFFECT_ROW_CHANGED || err != HB_ERR_CONFLICT)
            fault(watch, "%s, but not without effect", watch_err_word(err));
    if (hb_registry_entries(watch->registry) != entries || hb_registry_count(watch->registry) != count)
        fault(watch, "%s, but there are %zu entries now, and were %zu", watch_err_word(err),
              hb_registry_entries(watch->registry), entries);
    if (effects->worker != NULL)
        fault(watch, "%s, but the beat was counted", watch_err_word(err));
}

/* What listeners were told in an earlier life of the manager, of one whom they have heard nothing of in this one. */
static void hear_of_earlier_life(struct watch *watch, const struct hb_input *input)
{
    char id[HB_ID_MAX + 1];
    snprintf(id, sizeof id, "%.*s", (int)input->id.len, input->id.bytes);
    struct seen *seen = seen_of(watch, id);
    if (seen->announced == HB_ANNOUNCED_NONE)
        seen->announced = input->row->announced;
    if (!seen->visible)
        seen->status = input->row->status;
}

enum hb_err watch_step(struct watch *watch, const struct hb_input *input, struct hb_moment now,
                       struct hb_effects *effects)
{
    memset(effects, 0x5a, sizeof *effects); /* nothing may depend on what was in there */
    size_t entries = watch->entries, count = watch->count;
    enum hb_err err = hb_registry_step(watch->registry, input, now, effects);
    bool restored = err == HB_OK && input->kind == HB_INPUT_RESTORE;
    if (restored)
        hear_of_earlier_life(watch, input);
    check_effects(watch, effects, restored);
    if (restored) {
        const struct hb_worker *worker = hb_registry_find(watch->registry, input->id);
        struct seen *seen = seen_of(watch, worker != NULL ? worker->id : "");
        bool told_gone = effects->count > 0 && effects->items[effects->count - 1].kind == HB_EFFECT_TRANSITION &&
                         effects->items[effects->count - 1].gone;
        if (worker == NULL && !told_gone)
            fault(watch, "restored, but it cannot be found");
        remember(seen, worker);
        seen->announced = worker != NULL ? (enum hb_announced)worker->announced : HB_ANNOUNCED_NONE;
    }
    if (err != HB_OK)
        check_failure(watch, effects, err, entries, count);
    check_registry(watch);
    return err;
}

bool watch_expire(struct watch *watch, struct hb_moment now, struct hb_effects *effects)
{
    memset(effects, 0x5a, sizeof *effects);
    bool handled = hb_registry_expire(watch->registry, now, effects);
    check_effects(watch, effects, false);
    for (size_t i = 1; i < effects->count; i++)
        if (effects->items[i].worker != NULL && effects->items[0].worker != NULL &&
            effects->items[i].worker != effects->items[0].worker)
            fault(watch, "one call handled two workers");
    if (!handled && effects->count > 0)
        fault(watch, "nothing was due, yet it has effects");
    check_registry(watch);
    return handled;
}

void watch_skew(struct watch *watch, int64_t gap_ms)
{
    hb_registry_skew(watch->registry, gap_ms);
    watch->skew_ms += gap_ms;
    check_registry(watch);
}

static void check_settled(struct watch *watch, const struct hb_worker *worker, int64_t registry_now)
{
    bool held = worker->hold_until.ms != INT64_MAX;
    bool address = (worker->host != NULL && worker->port != 0) || worker->url != NULL;
    bool allowed = !worker->draining && !worker->maintenance && address;
    bool polled = watch->rules.polling && worker->url != NULL;
    bool should = allowed && (worker->beats || polled) && (!worker->beats || worker->status == HB_STATUS_ALIVE) &&
                  (!polled || worker->poll_up);
    int64_t silence = registry_now - worker->last_contact.ms;

    if (silence_counts(worker) && silence > patience_of(watch, worker))
        fault(watch, "%s: %s, yet silent for %" PRId64 " ms", worker->id,
              hb_status_text((enum hb_status)worker->status), silence);
    if (held && worker->serving && worker->status != HB_STATUS_ALIVE && worker->hold_until.ms < registry_now)
        fault(watch, "%s: held beyond its hold", worker->id);
    if (worker->unverified && worker->status == HB_STATUS_NOT_RESPONDING)
        fault(watch, "%s: unverified beyond its grace", worker->id);
    bool keeps = (held && worker->status != HB_STATUS_ALIVE) || worker->unverified;
    if (worker->serving && !(keeps ? allowed : should))
        fault(watch, "%s serves, and should not: %s", worker->id, hb_status_text((enum hb_status)worker->status));
    if (!worker->serving && should && !keeps)
        fault(watch, "%s should serve, and does not", worker->id);
}

void watch_settled(struct watch *watch, struct hb_moment now)
{
    hb_mono_ms next = hb_registry_next_deadline(watch->registry);
    if (next.ms <= now.mono.ms)
        fault(watch, "expire says that nothing is due, next_deadline that it was %" PRId64 " ms ago",
              now.mono.ms - next.ms);
    for (size_t place = 0; place < hb_registry_count(watch->registry); place++)
        check_settled(watch, hb_registry_at(watch->registry, place), now.mono.ms - watch->skew_ms);
}
