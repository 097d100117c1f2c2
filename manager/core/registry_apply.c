/*
 * What each input means: DESIGN's status table, one function per trigger. Each one looks at the worker, changes it and
 * ends in hb_turn_settle, which derives `serving` and tells what changed.
 */
#include <stdlib.h>
#include <string.h>

#include "manager/core/own_text.h"
#include "manager/core/registry_internal.h"

/* ---- POST /register ---- */

static bool address_differs(const struct hb_worker *worker, const struct hb_registration *registration,
                            struct hb_text host)
{
    return (host.bytes != NULL && !hb_text_is_own(worker->host, host)) ||
           (registration->port != 0 && registration->port != worker->port) ||
           (registration->url.bytes != NULL && !hb_text_is_own(worker->url, registration->url));
}

/* The host it named; else where it calls from, unless it named one before. */
static struct hb_text host_of(const struct hb_worker *worker, struct hb_text named, struct hb_text peer)
{
    if (named.bytes != NULL)
        return named;
    return worker->host == NULL || worker->host_from_peer ? peer : (struct hb_text){NULL, 0};
}

static void set_numbers(struct hb_worker *worker, const struct hb_registration *registration)
{
    if (registration->port != 0)
        worker->port = registration->port;
    if (registration->timeout_ms != 0)
        worker->timeout_ms = (uint32_t)registration->timeout_ms;
    if (registration->interval_ms != 0)
        worker->interval_ms = (uint32_t)registration->interval_ms;
    if (registration->poll_interval_ms != 0)
        worker->poll_interval_ms = (uint32_t)registration->poll_interval_ms;
}

/* From nothing, or from a socket that has not said who it is, to a worker. */
static void introduce(struct hb_turn *turn, struct hb_worker *worker)
{
    worker->status = worker->socket != NULL ? HB_STATUS_CONNECTED : HB_STATUS_REGISTERED;
    worker->last_contact = turn->now;
    worker->last_heartbeat = turn->wall;
}

static enum hb_err register_entry(struct hb_turn *turn, struct hb_worker *worker, const struct hb_input *input)
{
    const struct hb_registration *registration = input->registration;
    struct hb_text host = host_of(worker, registration->host, input->peer_host);
    struct hb_text own_id = {worker->id, worker->id_len};
    struct hb_identity identity = {registration->name, host, registration->url, registration->attributes};
    bool address_changed = hb_worker_visible(worker) && address_differs(worker, registration, host);
    bool url_changed = registration->url.bytes != NULL && !hb_text_is_own(worker->url, registration->url);
    struct hb_before before = hb_turn_before(turn, worker);
    enum hb_err err;

    if (identity.name.bytes == NULL && worker->name == NULL)
        identity.name = own_id;
    err = identity.url.bytes != NULL ? hb_poll_admit(turn, worker) : HB_OK;
    if (err == HB_OK)
        err = hb_worker_set_identity(worker, &identity, &turn->registry->texts);
    if (err != HB_OK) {
        hb_poll_settle(turn, worker);
        return err;
    }
    if (host.bytes != NULL)
        worker->host_from_peer = registration->host.bytes == NULL;
    if (url_changed ||
        (registration->poll_interval_ms != 0 && registration->poll_interval_ms != (int64_t)worker->poll_interval_ms))
        hb_poll_renew(turn, worker, url_changed);
    set_numbers(worker, registration);
    worker->draining = false;
    if (worker->url == NULL)
        worker->beats = true;
    worker->fixed |= input->fixed;
    if (!hb_worker_visible(worker))
        introduce(turn, worker);
    hb_turn_settle_row(turn, worker, &before, address_changed ? HB_REASON_ADDRESS_CHANGED : HB_REASON_REGISTERED,
                       address_changed);
    return HB_OK;
}

static enum hb_err apply_register(struct hb_turn *turn, struct hb_worker *worker, const struct hb_input *input)
{
    bool created = worker == NULL;
    enum hb_err err;

    if (created) {
        err = hb_entry_create(turn, input->id, &worker);
        if (err != HB_OK)
            return err;
    } else if (worker->status == HB_STATUS_REMOVED) {
        hb_mono_ms removed_at = worker->last_contact;
        hb_entry_reset(turn, worker);
        err = register_entry(turn, worker, input);
        if (err != HB_OK) {
            worker->status = HB_STATUS_REMOVED;
            worker->last_contact = removed_at;
        }
        return err;
    }
    err = register_entry(turn, worker, input);
    if (err != HB_OK && !hb_worker_visible(worker) && worker->socket == NULL)
        hb_entry_destroy(turn->registry, worker);
    return err;
}

/* ---- sockets ---- */

/* Whether one more takeover now would be one too many; if not, remembers it. */
static enum hb_err count_takeover(struct hb_turn *turn, struct hb_worker *worker)
{
    struct hb_worker_rare *rare = hb_entry_rare(worker);
    hb_mono_ms oldest;

    if (rare == NULL)
        return HB_ERR_NO_MEMORY;
    oldest = rare->takeovers[rare->takeover_next];
    if (oldest.ms != HB_MONO_NEVER.ms && hb_mono_between(oldest, turn->now) <= HB_TAKEOVER_WINDOW_MS) {
        worker->id_conflict = true;
        rare->conflict_until = hb_mono_add(turn->now, HB_CONFLICT_MS);
        if (hb_worker_visible(worker))
            hb_turn_row_changed(turn, worker);
        hb_entry_arm(turn->registry, worker);
        return HB_ERR_CONFLICT;
    }
    rare->takeovers[rare->takeover_next] = turn->now;
    rare->takeover_next = (uint8_t)((rare->takeover_next + 1) % HB_TAKEOVERS_MAX);
    return HB_OK;
}

/* The newest socket wins, unless several processes claim the id in turn. */
static enum hb_err take_over(struct hb_turn *turn, struct hb_worker *worker)
{
    enum hb_err err;

    if (worker->id_conflict)
        return HB_ERR_CONFLICT;
    err = count_takeover(turn, worker);
    if (err == HB_OK)
        hb_turn_close_socket(turn, worker, HB_CLOSE_REPLACED);
    return err;
}

static enum hb_err apply_socket_opened(struct hb_turn *turn, struct hb_worker *worker, const struct hb_input *input)
{
    struct hb_before before;
    enum hb_err err;

    if (worker == NULL) {
        err = hb_entry_create(turn, input->id, &worker);
        if (err != HB_OK)
            return err;
    } else if (worker->status == HB_STATUS_REMOVED) {
        return HB_ERR_REFUSED;
    } else if (worker->socket != NULL) {
        err = take_over(turn, worker);
        if (err != HB_OK)
            return err;
    }
    before = hb_turn_before(turn, worker);
    worker->socket = input->socket;
    if (!worker->unverified) /* its grace ends without a beat, however often it connects */
        worker->last_contact = turn->now;
    worker->beats = true;
    if (!hb_worker_visible(worker)) {
        hb_entry_arm(turn->registry, worker);
        return HB_OK;
    }
    worker->last_heartbeat = turn->wall;
    worker->draining = false;
    if (worker->status != HB_STATUS_ALIVE)
        worker->status = HB_STATUS_CONNECTED;
    hb_turn_settle_row(turn, worker, &before, HB_REASON_SOCKET_OPENED, false);
    return HB_OK;
}

static enum hb_err apply_socket_closed(struct hb_turn *turn, struct hb_worker *worker, const struct hb_input *input)
{
    bool clean = input->close_code == HB_CLOSE_NORMAL || input->close_code == HB_CLOSE_GOING_AWAY;
    int64_t grace_ms = turn->registry->rules.disconnect_grace_ms;
    struct hb_before before;

    if (worker == NULL || worker->socket != input->socket)
        return HB_ERR_STALE;
    worker->socket = NULL;
    worker->last_close = input->close_code;
    worker->said_goodbye = clean;
    if (worker->status == HB_STATUS_UNKNOWN) {
        hb_entry_destroy(turn->registry, worker);
        return HB_OK;
    }
    before = hb_turn_before(turn, worker);
    if (worker->status == HB_STATUS_ALIVE || worker->status == HB_STATUS_CONNECTED)
        worker->status = HB_STATUS_DISCONNECTED;
    if (clean) {
        worker->hold_until = HB_MONO_NEVER;
        worker->unverified = false;
    } else if (before.status == HB_STATUS_ALIVE && worker->serving && !worker->unverified && grace_ms > 0) {
        worker->hold_until = hb_mono_add(turn->now, grace_ms);
        hb_poll_ask_probe(turn, worker);
    }
    hb_turn_settle(turn, worker, &before, clean ? HB_REASON_GOODBYE : HB_REASON_CONNECTION_CLOSED, false);
    return HB_OK;
}

/* ---- beats ---- */

static void set_reported_status(struct hb_worker *worker, const struct hb_beat *beat)
{
    struct hb_worker_rare *rare;
    struct hb_own_text text;

    if (beat->kind != HB_BEAT_PLAIN || beat->status_text.bytes == NULL) {
        if (worker->rare != NULL) {
            free(worker->rare->reported_status);
            worker->rare->reported_status = NULL;
        }
        return;
    }
    rare = hb_entry_rare(worker);
    if (rare != NULL && hb_own_text_prepare(&text, &rare->reported_status, beat->status_text))
        hb_own_text_commit(&text);
}

/* A clean goodbye in so many words: not a beat. */
static void say_goodbye(struct hb_turn *turn, struct hb_worker *worker)
{
    struct hb_before before = hb_turn_before(turn, worker);

    if (worker->socket != NULL)
        hb_turn_close_socket(turn, worker, HB_CLOSE_NORMAL);
    worker->last_close = HB_CLOSE_NORMAL;
    worker->said_goodbye = true;
    worker->beats = true;
    worker->hold_until = HB_MONO_NEVER;
    worker->unverified = false;
    if (worker->status != HB_STATUS_NOT_RESPONDING)
        worker->status = HB_STATUS_DISCONNECTED;
    hb_turn_settle_row(turn, worker, &before, HB_REASON_GOODBYE, false);
}

/* A beat from an id that nobody registered: it is registered from what the beat says. */
static enum hb_err introduce_by_beat(struct hb_turn *turn, struct hb_worker *worker, const struct hb_input *input)
{
    struct hb_text own_id = {worker->id, worker->id_len};
    struct hb_identity identity = {
        .name = input->beat->name.bytes != NULL ? input->beat->name : own_id,
        .host = input->peer_host,
    };
    enum hb_err err = hb_worker_set_identity(worker, &identity, &turn->registry->texts);

    if (err == HB_OK)
        worker->host_from_peer = true;
    return err;
}

static enum hb_err beat_entry(struct hb_turn *turn, struct hb_worker *worker, const struct hb_input *input)
{
    const struct hb_beat *beat = input->beat;
    struct hb_before before = hb_turn_before(turn, worker);
    bool news = worker->unverified || !worker->beats; /* its silence means something else from here on */
    enum hb_reason reason;
    enum hb_err err;

    if (!hb_worker_visible(worker)) {
        err = introduce_by_beat(turn, worker, input);
        if (err != HB_OK)
            return err;
    }
    hb_worker_set_figures(worker, beat, &turn->registry->texts);
    set_reported_status(worker, beat);
    worker->last_contact = turn->now;
    worker->last_heartbeat = turn->wall;
    worker->hold_until = HB_MONO_NEVER;
    worker->unverified = false;
    worker->beats = true;
    worker->status = HB_STATUS_ALIVE;
    if (beat->kind == HB_BEAT_ALIVE)
        worker->draining = false;
    else if (beat->kind == HB_BEAT_DRAINING)
        worker->draining = true;
    turn->effects->worker = worker;
    turn->effects->interval_ms = before.silence_ms;
    reason = worker->draining && !before.draining ? HB_REASON_DRAINING : HB_REASON_BEAT;
    if (news)
        hb_turn_settle_row(turn, worker, &before, reason, false);
    else
        hb_turn_settle(turn, worker, &before, reason, false); /* the usual beat: nothing to tell, nothing to arm */
    return HB_OK;
}

static enum hb_err apply_goodbye(struct hb_turn *turn, struct hb_worker *worker)
{
    if (worker == NULL)
        return HB_ERR_UNKNOWN;
    if (!hb_worker_visible(worker)) {
        hb_turn_close_socket(turn, worker, HB_CLOSE_NORMAL);
        hb_entry_destroy(turn->registry, worker);
        return HB_OK;
    }
    say_goodbye(turn, worker);
    return HB_OK;
}

static enum hb_err apply_beat(struct hb_turn *turn, struct hb_worker *worker, const struct hb_input *input)
{
    bool created = false;
    enum hb_err err;

    if (worker != NULL && worker->status == HB_STATUS_REMOVED)
        return HB_ERR_REFUSED;
    if (input->socket != NULL && (worker == NULL || worker->socket != input->socket))
        return HB_ERR_STALE;
    if (input->beat->kind == HB_BEAT_BYE)
        return apply_goodbye(turn, worker);
    if (worker == NULL) {
        err = hb_entry_create(turn, input->id, &worker);
        if (err != HB_OK)
            return err;
        created = true;
    }
    err = beat_entry(turn, worker, input);
    if (err != HB_OK && created)
        hb_entry_destroy(turn->registry, worker);
    return err;
}

/* ---- removal ---- */

static enum hb_err apply_remove(struct hb_turn *turn, struct hb_worker *worker)
{
    if (worker == NULL || !hb_worker_visible(worker))
        return HB_ERR_UNKNOWN;
    hb_turn_remove(turn, worker, HB_REASON_REMOVED);
    return HB_OK;
}

/* ---- the one door ---- */

enum hb_err hb_registry_step(struct hb_registry *registry, const struct hb_input *input, struct hb_moment now,
                             struct hb_effects *effects)
{
    struct hb_turn turn = {registry, {now.mono.ms - registry->skew_ms}, now.wall, effects};
    struct hb_worker *worker = hb_map_get(registry->by_id, input->id.bytes, input->id.len);

    effects->count = 0;
    effects->worker = NULL;
    effects->interval_ms = 0;
    switch (input->kind) {
    case HB_INPUT_REGISTER:
        return apply_register(&turn, worker, input);
    case HB_INPUT_SOCKET_OPENED:
        return apply_socket_opened(&turn, worker, input);
    case HB_INPUT_BEAT:
        return apply_beat(&turn, worker, input);
    case HB_INPUT_SOCKET_CLOSED:
        return apply_socket_closed(&turn, worker, input);
    case HB_INPUT_REMOVE:
        return apply_remove(&turn, worker);
    case HB_INPUT_RESTORE:
        return hb_apply_restore(&turn, worker, input);
    case HB_INPUT_MAINTENANCE:
        return hb_apply_maintenance(&turn, worker, input->maintenance);
    case HB_INPUT_POLLED:
        return hb_apply_polled(&turn, worker, input);
    case HB_INPUT_PROBED:
        return hb_apply_probed(&turn, worker, input);
    }
    return HB_ERR_INVALID;
}
