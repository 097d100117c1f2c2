#include "tests/sim/model.h"

#include <string.h>

#include "proto/wire/limits.h"

#define NEVER INT64_MAX

void hb_model_init(struct hb_model *model, const struct hb_registry_rules *rules)
{
    *model = (struct hb_model){.rules = *rules, .swept_ms = INT64_MIN};
}

void hb_model_skew(struct hb_model *model, int64_t gap_ms)
{
    model->skew_ms += gap_ms;
}

void hb_model_set_restoring(struct hb_model *model, bool restoring)
{
    model->restoring = restoring;
}

void hb_model_swept(struct hb_model *model, hb_mono_ms to)
{
    int64_t to_ms = to.ms - model->skew_ms;

    if (to_ms > model->swept_ms)
        model->swept_ms = to_ms;
}

/* ---- what follows from the facts ---- */

bool hb_model_visible(const struct hb_model_worker *worker)
{
    return worker->place == HB_MODEL_KNOWN;
}

/* FNV-1a; never 0 for a text that is there. */
static uint64_t hash_of(struct hb_text text)
{
    uint64_t hash = 14695981039346656037u;

    if (text.bytes == NULL)
        return 0;
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.bytes[i]) * 1099511628211u;
    return hash | 1;
}

static bool has_address(const struct hb_model_worker *worker)
{
    return worker->url != 0 || (worker->host != 0 && worker->port != 0);
}

static bool is_held(const struct hb_model_worker *worker)
{
    return worker->hold_until_ms != NEVER;
}

static bool should_serve(const struct hb_model_worker *worker)
{
    if (worker->place != HB_MODEL_KNOWN || !has_address(worker) || worker->draining || worker->maintenance)
        return false;
    if (worker->unverified || is_held(worker))
        return worker->serving;
    return worker->status == HB_STATUS_ALIVE;
}

/* Longer than this is too long, and then it is given up. */
static int64_t patience_ms(const struct hb_model *model, const struct hb_model_worker *worker)
{
    int64_t grace_ms = model->rules.restart_grace_ms;

    return worker->unverified && grace_ms > worker->timeout_ms ? grace_ms : worker->timeout_ms;
}

static bool can_time_out(const struct hb_model_worker *worker)
{
    if (worker->place != HB_MODEL_KNOWN || worker->status == HB_STATUS_NOT_RESPONDING)
        return false;
    return worker->beats || worker->unverified;
}

static int64_t timeout_at(const struct hb_model *model, const struct hb_model_worker *worker)
{
    return can_time_out(worker) ? worker->contact_ms + patience_ms(model, worker) + 1 : NEVER;
}

static int64_t reap_at(const struct hb_model *model, const struct hb_model_worker *worker)
{
    int64_t after_ms = model->rules.reap_after_ms;

    if (after_ms == 0 || worker->unverified)
        return NEVER;
    return worker->contact_ms + (after_ms > patience_ms(model, worker) ? after_ms : patience_ms(model, worker)) + 1;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t due_at(const struct hb_model *model, const struct hb_model_worker *worker)
{
    int64_t due = NEVER;

    switch ((enum hb_model_place)worker->place) {
    case HB_MODEL_NOBODY:
        return NEVER;
    case HB_MODEL_NAMELESS:
        return worker->contact_ms + worker->timeout_ms + 1;
    case HB_MODEL_REMOVED:
        due = worker->contact_ms + HB_REMOVED_FOR_MS;
        return due <= model->swept_ms ? NEVER : due;
    case HB_MODEL_KNOWN:
        break;
    }
    due = earlier(timeout_at(model, worker), reap_at(model, worker));
    if (worker->serving || worker->hold_until_ms > model->swept_ms)
        due = earlier(due, worker->hold_until_ms);
    if (worker->conflict)
        due = earlier(due, worker->conflict_until_ms);
    if (worker->maintenance)
        due = earlier(due, worker->maintenance_until_ms);
    return due;
}

static hb_mono_ms to_mono(const struct hb_model *model, int64_t ms)
{
    return ms == NEVER ? HB_MONO_NEVER : (hb_mono_ms){ms + model->skew_ms};
}

hb_mono_ms hb_model_due(const struct hb_model *model, const struct hb_model_worker *worker)
{
    return to_mono(model, due_at(model, worker));
}

hb_mono_ms hb_model_timeout_at(const struct hb_model *model, const struct hb_model_worker *worker)
{
    return to_mono(model, timeout_at(model, worker));
}

/* ---- transitions ---- */

/* What listeners care about, as it was before an input. */
struct before {
    uint8_t status;
    bool serving, draining, maintenance;
    int64_t silence_ms;
};

static struct before before_of(const struct hb_model_worker *worker, int64_t now_ms)
{
    return (struct before){worker->status, worker->serving, worker->draining, worker->maintenance,
                           now_ms - worker->contact_ms};
}

static enum hb_edge edge_of(const struct hb_model_worker *worker, bool address_changed)
{
    if (worker->announced == HB_ANNOUNCED_NONE)
        return worker->serving ? HB_EDGE_UP : HB_EDGE_NONE;
    if (worker->announced == HB_ANNOUNCED_DOWN)
        return worker->serving ? HB_EDGE_RECOVERY : HB_EDGE_NONE;
    if (worker->place == HB_MODEL_REMOVED)
        return HB_EDGE_REMOVED;
    if (!worker->serving)
        return HB_EDGE_DOWN;
    return address_changed ? HB_EDGE_UP : HB_EDGE_NONE;
}

static void settle(struct hb_model *model, struct hb_model_worker *worker, const struct before *before,
                   enum hb_reason reason, bool address_changed, struct hb_model_told *told)
{
    enum hb_edge edge;

    worker->serving = should_serve(worker);
    edge = edge_of(worker, address_changed); /* listeners may be owed one though nothing else has changed */
    if (edge == HB_EDGE_NONE && worker->status == before->status && worker->serving == before->serving &&
        worker->draining == before->draining && worker->maintenance == before->maintenance && !address_changed)
        return;
    told->transition = true;
    told->previous = (enum hb_status)before->status;
    told->status = (enum hb_status)worker->status;
    told->edge = edge;
    told->reason = reason;
    told->silence_ms = before->silence_ms;
    if (reason == HB_REASON_CONNECTION_CLOSED || reason == HB_REASON_GOODBYE)
        told->socket_code = worker->last_close;
    told->gone = worker->place == HB_MODEL_REMOVED;
    told->seq = ++model->seq;
    worker->seq = told->seq;
    worker->reason = reason;
    if (told->edge == HB_EDGE_UP || told->edge == HB_EDGE_RECOVERY)
        worker->announced = HB_ANNOUNCED_UP;
    else if (told->edge == HB_EDGE_DOWN)
        worker->announced = HB_ANNOUNCED_DOWN;
    else if (told->edge == HB_EDGE_REMOVED)
        worker->announced = HB_ANNOUNCED_NONE;
}

static void close_socket(struct hb_model_worker *worker, uint16_t code, struct hb_model_told *told)
{
    told->closed = worker->socket;
    told->close_code = code;
    worker->socket = NULL;
}

/* ---- entries ---- */

static void forget(struct hb_model_worker *worker)
{
    bool gone = worker->gone;
    bool gone_told = worker->gone_told;

    memset(worker, 0, sizeof *worker);
    worker->gone = gone;
    worker->gone_told = gone_told;
}

static void begin(const struct hb_model *model, struct hb_model_worker *worker, int64_t now_ms)
{
    forget(worker);
    worker->timeout_ms = model->rules.timeout_ms;
    worker->contact_ms = now_ms;
    worker->hold_until_ms = NEVER;
    for (size_t i = 0; i < HB_TAKEOVERS_MAX; i++)
        worker->takeovers_ms[i] = INT64_MIN;
}

/* ---- inputs ---- */

static void apply_register(struct hb_model *model, struct hb_model_worker *worker, const struct hb_input *input,
                           int64_t now_ms, struct hb_model_told *told)
{
    const struct hb_registration *said = input->registration;
    bool address_changed = worker->place == HB_MODEL_KNOWN;
    uint64_t host = hash_of(said->host);
    struct before before;

    if (worker->place == HB_MODEL_NOBODY || worker->place == HB_MODEL_REMOVED)
        begin(model, worker, now_ms);
    before = before_of(worker, now_ms);
    if (host == 0 && (worker->host == 0 || worker->host_from_peer))
        host = hash_of(input->peer_host);
    address_changed =
        address_changed && ((host != 0 && host != worker->host) || (said->port != 0 && said->port != worker->port) ||
                            (said->url.bytes != NULL && hash_of(said->url) != worker->url));
    if (host != 0) {
        worker->host = host;
        worker->host_from_peer = said->host.bytes == NULL;
    }
    if (said->port != 0)
        worker->port = said->port;
    if (said->url.bytes != NULL)
        worker->url = hash_of(said->url);
    if (said->timeout_ms != 0)
        worker->timeout_ms = said->timeout_ms;
    worker->draining = false;
    if (worker->url == 0)
        worker->beats = true;
    if (worker->place != HB_MODEL_KNOWN) {
        worker->place = HB_MODEL_KNOWN;
        worker->status = worker->socket != NULL ? HB_STATUS_CONNECTED : HB_STATUS_REGISTERED;
        worker->contact_ms = now_ms;
    }
    settle(model, worker, &before, address_changed ? HB_REASON_ADDRESS_CHANGED : HB_REASON_REGISTERED, address_changed,
           told);
}

/* More than HB_TAKEOVERS_MAX within the window is a conflict. */
static bool too_many_takeovers(const struct hb_model_worker *worker, int64_t now_ms)
{
    int64_t oldest_ms = worker->takeovers_ms[HB_TAKEOVERS_MAX - 1];

    return oldest_ms != INT64_MIN && now_ms - oldest_ms <= HB_TAKEOVER_WINDOW_MS;
}

static enum hb_err take_over(struct hb_model_worker *worker, int64_t now_ms, struct hb_model_told *told)
{
    if (worker->conflict)
        return HB_ERR_CONFLICT;
    if (too_many_takeovers(worker, now_ms)) {
        worker->conflict = true;
        worker->conflict_until_ms = now_ms + HB_CONFLICT_MS;
        return HB_ERR_CONFLICT;
    }
    memmove(worker->takeovers_ms + 1, worker->takeovers_ms, (HB_TAKEOVERS_MAX - 1) * sizeof worker->takeovers_ms[0]);
    worker->takeovers_ms[0] = now_ms;
    close_socket(worker, HB_CLOSE_REPLACED, told);
    return HB_OK;
}

static enum hb_err apply_opened(struct hb_model *model, struct hb_model_worker *worker, const struct hb_input *input,
                                int64_t now_ms, struct hb_model_told *told)
{
    struct before before;
    enum hb_err err;

    if (worker->place == HB_MODEL_REMOVED)
        return HB_ERR_REFUSED;
    if (worker->place == HB_MODEL_NOBODY) {
        begin(model, worker, now_ms);
        worker->place = HB_MODEL_NAMELESS;
    } else if (worker->socket != NULL) {
        err = take_over(worker, now_ms, told);
        if (err != HB_OK)
            return err;
    }
    before = before_of(worker, now_ms);
    worker->socket = input->socket;
    if (!worker->unverified) /* its grace is for a beat */
        worker->contact_ms = now_ms;
    worker->beats = true;
    if (worker->place == HB_MODEL_NAMELESS)
        return HB_OK;
    worker->draining = false;
    if (worker->status != HB_STATUS_ALIVE)
        worker->status = HB_STATUS_CONNECTED;
    settle(model, worker, &before, HB_REASON_SOCKET_OPENED, false, told);
    return HB_OK;
}

static enum hb_err apply_closed(struct hb_model *model, struct hb_model_worker *worker, const struct hb_input *input,
                                int64_t now_ms, struct hb_model_told *told)
{
    bool clean = input->close_code == HB_CLOSE_NORMAL || input->close_code == HB_CLOSE_GOING_AWAY;
    int64_t grace_ms = model->rules.disconnect_grace_ms;
    struct before before = before_of(worker, now_ms);

    if (worker->place == HB_MODEL_NOBODY || worker->socket != input->socket)
        return HB_ERR_STALE;
    if (worker->place == HB_MODEL_NAMELESS) {
        forget(worker);
        return HB_OK;
    }
    worker->socket = NULL;
    worker->last_close = input->close_code;
    worker->said_goodbye = clean;
    if (clean) {
        worker->hold_until_ms = NEVER;
        worker->unverified = false;
    } else if (worker->status == HB_STATUS_ALIVE && worker->serving && !worker->unverified && grace_ms > 0) {
        worker->hold_until_ms = now_ms + grace_ms;
    }
    if (worker->status == HB_STATUS_ALIVE || worker->status == HB_STATUS_CONNECTED)
        worker->status = HB_STATUS_DISCONNECTED;
    settle(model, worker, &before, clean ? HB_REASON_GOODBYE : HB_REASON_CONNECTION_CLOSED, false, told);
    return HB_OK;
}

static void apply_bye(struct hb_model *model, struct hb_model_worker *worker, int64_t now_ms,
                      struct hb_model_told *told)
{
    struct before before = before_of(worker, now_ms);

    if (worker->socket != NULL)
        close_socket(worker, HB_CLOSE_NORMAL, told);
    if (worker->place == HB_MODEL_NAMELESS) {
        forget(worker);
        return;
    }
    worker->last_close = HB_CLOSE_NORMAL;
    worker->said_goodbye = true;
    worker->beats = true;
    worker->hold_until_ms = NEVER;
    worker->unverified = false;
    if (worker->status != HB_STATUS_NOT_RESPONDING)
        worker->status = HB_STATUS_DISCONNECTED;
    settle(model, worker, &before, HB_REASON_GOODBYE, false, told);
}

static enum hb_err apply_beat(struct hb_model *model, struct hb_model_worker *worker, const struct hb_input *input,
                              int64_t now_ms, struct hb_model_told *told)
{
    enum hb_beat_kind kind = input->beat->kind;
    struct before before;

    if (worker->place == HB_MODEL_REMOVED)
        return HB_ERR_REFUSED;
    if (input->socket != NULL && worker->socket != input->socket)
        return HB_ERR_STALE;
    if (kind == HB_BEAT_BYE) {
        if (worker->place == HB_MODEL_NOBODY)
            return HB_ERR_UNKNOWN;
        apply_bye(model, worker, now_ms, told);
        return HB_OK;
    }
    if (worker->place == HB_MODEL_NOBODY)
        begin(model, worker, now_ms);
    before = before_of(worker, now_ms);
    if (worker->place != HB_MODEL_KNOWN) {
        worker->place = HB_MODEL_KNOWN;
        worker->host = hash_of(input->peer_host);
        worker->host_from_peer = true;
    }
    worker->contact_ms = now_ms;
    worker->hold_until_ms = NEVER;
    worker->unverified = false;
    worker->beats = true;
    worker->status = HB_STATUS_ALIVE;
    if (kind != HB_BEAT_PLAIN)
        worker->draining = kind == HB_BEAT_DRAINING;
    told->beat = true;
    settle(model, worker, &before, worker->draining && !before.draining ? HB_REASON_DRAINING : HB_REASON_BEAT, false,
           told);
    return HB_OK;
}

static void remove_it(struct hb_model *model, struct hb_model_worker *worker, int64_t now_ms, enum hb_reason reason,
                      struct hb_model_told *told)
{
    struct before before = before_of(worker, now_ms);

    if (worker->socket != NULL)
        close_socket(worker, HB_CLOSE_REMOVED, told);
    worker->place = HB_MODEL_REMOVED;
    if (model->restoring) {
        worker->gone = true;
        worker->gone_told |= worker->announced != HB_ANNOUNCED_NONE;
    }
    worker->status = HB_STATUS_REMOVED;
    worker->contact_ms = now_ms;
    settle(model, worker, &before, reason, false, told);
}

static void apply_maintenance(struct hb_model *model, struct hb_model_worker *worker, int64_t ttl_ms, int64_t now_ms,
                              struct hb_model_told *told)
{
    struct before before = before_of(worker, now_ms);

    worker->maintenance_said = true;
    worker->maintenance = ttl_ms > 0;
    worker->maintenance_until_ms = now_ms + ttl_ms;
    settle(model, worker, &before, HB_REASON_MAINTENANCE, false, told);
}

/* How long it had been silent when its row was written, as far as two wall clocks can tell. */
static int64_t contact_of_row(const struct hb_row *row, int64_t now_ms, hb_wall_ms wall)
{
    if (row->last_heartbeat.ms == 0 || row->last_heartbeat.ms > wall.ms)
        return now_ms;
    return now_ms - (wall.ms - row->last_heartbeat.ms);
}

/* All there can be when the row does not say; nothing when it ended while nobody looked. */
static int64_t maintenance_left_ms(const struct hb_row *row, hb_wall_ms wall)
{
    int64_t left_ms = row->maintenance_until.ms - wall.ms;

    if (row->maintenance_until.ms == 0 || left_ms > HB_MAINTENANCE_MAX_MS)
        return HB_MAINTENANCE_MAX_MS;
    return left_ms > 0 ? left_ms : 0;
}

static void take_row(struct hb_model_worker *worker, const struct hb_row *row)
{
    bool was_up = row->announced == HB_ANNOUNCED_UP && row->status != HB_STATUS_NOT_RESPONDING;

    worker->place = HB_MODEL_KNOWN;
    worker->status = (uint8_t)row->status;
    worker->announced = (uint8_t)row->announced;
    worker->reason = (uint8_t)row->reason;
    worker->serving = was_up;
    worker->unverified = was_up || row->status == HB_STATUS_ALIVE || row->status == HB_STATUS_CONNECTED;
    worker->beats = row->beats || row->url.bytes == NULL || worker->socket != NULL ||
                    row->status == HB_STATUS_CONNECTED || row->status == HB_STATUS_DISCONNECTED;
    worker->said_goodbye = row->reason == HB_REASON_GOODBYE;
    worker->host = hash_of(row->host);
    worker->port = row->port;
    worker->url = hash_of(row->url);
    worker->draining = row->draining;
    worker->seq = row->seq;
    if (row->timeout_ms != 0)
        worker->timeout_ms = row->timeout_ms;
}

/* What it did not say in this life, its row still knows. */
static void fill_address(const struct hb_model *model, struct hb_model_worker *worker, const struct hb_row *row)
{
    if (worker->url != 0 || worker->port != 0)
        return;
    worker->port = row->port;
    if (row->host.bytes != NULL) {
        worker->host = hash_of(row->host);
        worker->host_from_peer = false;
    }
    if (row->url.bytes != NULL)
        worker->url = hash_of(row->url);
    if (row->timeout_ms != 0 && worker->timeout_ms == model->rules.timeout_ms)
        worker->timeout_ms = row->timeout_ms;
}

static bool is_elsewhere(const struct hb_model_worker *worker, const struct hb_row *row)
{
    return worker->port != row->port || worker->url != hash_of(row->url) ||
           (row->host.bytes != NULL && worker->host != hash_of(row->host));
}

/* The reason that a row gives, for what it brings about itself. */
static enum hb_reason reason_of(const struct hb_model_worker *worker)
{
    return worker->reason == HB_REASON_NONE ? HB_REASON_REGISTERED : (enum hb_reason)worker->reason;
}

/*
 * It came back before its row was read: what listeners were told, and maintenance, are taken over from the row. Of one
 * that was removed meanwhile only the former: the rest is another's.
 */
static enum hb_err join(struct hb_model *model, struct hb_model_worker *worker, const struct hb_row *row, bool removed,
                        struct hb_moment now, int64_t now_ms, struct hb_model_told *told)
{
    struct before before = before_of(worker, now_ms);
    bool heard = worker->announced == HB_ANNOUNCED_NONE && row->announced != HB_ANNOUNCED_NONE;
    bool was_up = heard && row->announced == HB_ANNOUNCED_UP;
    bool maintained = row->maintenance && !worker->maintenance_said && !removed;

    if (!heard && !maintained)
        return HB_ERR_STALE;
    if (!removed)
        fill_address(model, worker, row);
    if (maintained) {
        worker->maintenance = true;
        worker->maintenance_until_ms = now_ms + maintenance_left_ms(row, now.wall);
    }
    if (heard)
        worker->announced = (uint8_t)row->announced;
    if (was_up && !removed && !worker->said_goodbye && worker->status != HB_STATUS_ALIVE &&
        worker->status != HB_STATUS_NOT_RESPONDING) {
        worker->unverified = true;
        worker->serving = true;
        worker->contact_ms = now_ms;
    }
    settle(model, worker, &before, maintained ? HB_REASON_MAINTENANCE : reason_of(worker),
           was_up && is_elsewhere(worker, row), told);
    return HB_OK;
}

static void bring_back(struct hb_model *model, struct hb_model_worker *worker, const struct hb_row *row,
                       struct hb_moment now, int64_t now_ms)
{
    if (worker->place != HB_MODEL_NAMELESS)
        begin(model, worker, now_ms);
    take_row(worker, row);
    worker->contact_ms = worker->unverified || row->status == HB_STATUS_REGISTERED || worker->socket != NULL
                             ? now_ms
                             : contact_of_row(row, now_ms, now.wall);
    if (worker->socket != NULL && worker->status != HB_STATUS_ALIVE)
        worker->status = HB_STATUS_CONNECTED;
    worker->maintenance = row->maintenance;
    worker->maintenance_until_ms = now_ms + maintenance_left_ms(row, now.wall);
}

/* A row that contradicts itself is set right. */
static void settle_row(struct hb_model *model, struct hb_model_worker *worker, const struct hb_row *row, int64_t now_ms,
                       struct hb_model_told *told)
{
    struct before before = before_of(worker, now_ms);

    before.status = (uint8_t)row->status;
    settle(model, worker, &before, worker->status != row->status ? HB_REASON_SOCKET_OPENED : reason_of(worker), false,
           told);
}

static enum hb_err apply_restore(struct hb_model *model, struct hb_model_worker *worker, const struct hb_input *input,
                                 struct hb_moment now, int64_t now_ms, struct hb_model_told *told)
{
    const struct hb_row *row = input->row;
    bool removed = model->restoring && worker->gone;

    if (removed && worker->gone_told)
        return HB_ERR_STALE;
    if (worker->place == HB_MODEL_KNOWN)
        return join(model, worker, row, removed, now, now_ms, told);
    if (row->status == HB_STATUS_UNKNOWN || row->status == HB_STATUS_REMOVED)
        return HB_ERR_INVALID;
    if (removed && worker->socket == NULL) {
        if (row->announced != HB_ANNOUNCED_UP)
            return HB_ERR_STALE;
        bring_back(model, worker, row, now, now_ms); /* only to be told away */
        remove_it(model, worker, now_ms, HB_REASON_REMOVED, told);
        return HB_OK;
    }
    if (worker->place == HB_MODEL_REMOVED)
        return HB_ERR_STALE;
    bring_back(model, worker, row, now, now_ms);
    settle_row(model, worker, row, now_ms, told);
    return HB_OK;
}

void hb_model_refresh(const struct hb_model *model, struct hb_model_worker *worker)
{
    if (worker->place == HB_MODEL_REMOVED && worker->contact_ms + HB_REMOVED_FOR_MS <= model->swept_ms)
        forget(worker);
    if (worker->place == HB_MODEL_KNOWN && !worker->serving && worker->hold_until_ms <= model->swept_ms)
        worker->hold_until_ms = NEVER;
}

enum hb_err hb_model_step(struct hb_model *model, struct hb_model_worker *worker, const struct hb_input *input,
                          struct hb_moment now, struct hb_model_told *ret_told)
{
    int64_t now_ms = now.mono.ms - model->skew_ms;

    *ret_told = (struct hb_model_told){0};
    hb_model_refresh(model, worker);
    switch (input->kind) {
    case HB_INPUT_REGISTER:
        apply_register(model, worker, input, now_ms, ret_told);
        return HB_OK;
    case HB_INPUT_SOCKET_OPENED:
        return apply_opened(model, worker, input, now_ms, ret_told);
    case HB_INPUT_BEAT:
        return apply_beat(model, worker, input, now_ms, ret_told);
    case HB_INPUT_SOCKET_CLOSED:
        return apply_closed(model, worker, input, now_ms, ret_told);
    case HB_INPUT_REMOVE:
        if (worker->place != HB_MODEL_KNOWN)
            return HB_ERR_UNKNOWN;
        remove_it(model, worker, now_ms, HB_REASON_REMOVED, ret_told);
        return HB_OK;
    case HB_INPUT_RESTORE:
        return apply_restore(model, worker, input, now, now_ms, ret_told);
    case HB_INPUT_MAINTENANCE:
        if (worker->place != HB_MODEL_KNOWN)
            return HB_ERR_UNKNOWN;
        apply_maintenance(model, worker, input->maintenance->ttl_ms, now_ms, ret_told);
        return HB_OK;
    case HB_INPUT_POLLED: /* nobody polls in here */
    case HB_INPUT_PROBED:
        break;
    }
    return HB_ERR_INVALID;
}

/* ---- time ---- */

static void time_out(struct hb_model *model, struct hb_model_worker *worker, int64_t now_ms, struct hb_model_told *told)
{
    struct before before = before_of(worker, now_ms);
    enum hb_reason reason = HB_REASON_NEVER_BEAT;

    if (worker->unverified)
        reason = HB_REASON_RESTART_GRACE;
    else if (worker->status == HB_STATUS_DISCONNECTED)
        reason = worker->said_goodbye ? HB_REASON_GOODBYE : HB_REASON_CONNECTION_CLOSED;
    else if (worker->status == HB_STATUS_ALIVE)
        reason = HB_REASON_HEARTBEAT_TIMEOUT;
    worker->unverified = false;
    worker->hold_until_ms = NEVER;
    worker->status = HB_STATUS_NOT_RESPONDING;
    settle(model, worker, &before, reason, false, told);
}

/* A time-out goes before the end of maintenance: who is silent must not recover for a moment. */
static void expire_known(struct hb_model *model, struct hb_model_worker *worker, int64_t now_ms,
                         struct hb_model_told *told)
{
    struct before before = before_of(worker, now_ms);

    if (worker->conflict && worker->conflict_until_ms <= now_ms) {
        worker->conflict = false;
    } else if (timeout_at(model, worker) <= now_ms) {
        time_out(model, worker, now_ms, told);
    } else if (worker->hold_until_ms <= now_ms) {
        worker->hold_until_ms = NEVER;
        settle(model, worker, &before, HB_REASON_CONNECTION_CLOSED, false, told);
    } else if (worker->maintenance && worker->maintenance_until_ms <= now_ms) {
        worker->maintenance = false;
        settle(model, worker, &before, HB_REASON_MAINTENANCE, false, told);
    } else {
        remove_it(model, worker, now_ms, HB_REASON_REAPED, told);
    }
}

bool hb_model_expire(struct hb_model *model, struct hb_model_worker *worker, struct hb_moment now,
                     struct hb_model_told *ret_told)
{
    int64_t now_ms = now.mono.ms - model->skew_ms;

    *ret_told = (struct hb_model_told){0};
    hb_model_refresh(model, worker);
    if (due_at(model, worker) > now_ms)
        return false;
    if (worker->place == HB_MODEL_KNOWN) {
        expire_known(model, worker, now_ms, ret_told);
        return true;
    }
    if (worker->socket != NULL)
        close_socket(worker, HB_CLOSE_POLICY, ret_told);
    forget(worker);
    return true;
}
