/*
 * Rows of an earlier life: what the hash says about a worker, read at the start.
 *
 * A worker that was up comes back unverified, still serving, with a full grace to beat again; one that was down stays
 * down. An id that is in memory already wins over its row, but for what listeners were told of it.
 */
#include "manager/core/own_text.h"
#include "manager/core/registry_internal.h"

/* Clocks of two lives meet here: what the wall says of the silence, but never a time to come. */
static hb_mono_ms contact_of_row(const struct hb_turn *turn, const struct hb_row *row)
{
    int64_t silence_ms = row->last_heartbeat.ms != 0 ? turn->wall.ms - row->last_heartbeat.ms : 0;

    return (hb_mono_ms){turn->now.ms - (silence_ms > 0 ? silence_ms : 0)};
}

/* Of a transition that a row itself brings about: the reason it gives, if it gives one that is known here. */
static enum hb_reason reason_of(const struct hb_worker *worker)
{
    return worker->reason != HB_REASON_NONE ? (enum hb_reason)worker->reason : HB_REASON_REGISTERED;
}

/* What is left of its time; all there can be, where the row does not say. */
static enum hb_err restore_maintenance(struct hb_turn *turn, struct hb_worker *worker, const struct hb_row *row)
{
    int64_t left_ms = row->maintenance_until.ms - turn->wall.ms;

    if (!row->maintenance)
        return HB_OK;
    if (row->maintenance_until.ms == 0 || left_ms > HB_MAINTENANCE_MAX_MS)
        left_ms = HB_MAINTENANCE_MAX_MS;
    if (left_ms < 0) /* over while nobody looked: it ends like any other, with a transition */
        left_ms = 0;
    return hb_maintenance_begin(turn, worker, &(struct hb_maintenance){left_ms, row->maintenance_reason});
}

static void restore_facts(struct hb_turn *turn, struct hb_worker *worker, const struct hb_input *input)
{
    const struct hb_row *row = input->row;
    bool was_up = row->announced == HB_ANNOUNCED_UP && row->status != HB_STATUS_NOT_RESPONDING;

    worker->status = row->status;
    worker->announced = row->announced;
    worker->reason = row->reason;
    worker->since = row->since.ms != 0 ? row->since : turn->wall;
    worker->last_heartbeat = row->last_heartbeat;
    worker->port = row->port;
    worker->ready = row->ready;
    worker->health = row->health;
    worker->draining = row->draining;
    worker->requests = row->requests;
    worker->errors = row->errors;
    worker->epoch = row->epoch;
    worker->seq = row->seq;
    if (row->timeout_ms != 0)
        worker->timeout_ms = (uint32_t)row->timeout_ms;
    worker->interval_ms = (uint32_t)row->interval_ms;
    worker->poll_interval_ms = (uint32_t)row->poll_interval_ms;
    worker->beats = row->beats || worker->url == NULL || worker->socket != NULL || row->status == HB_STATUS_CONNECTED ||
                    row->status == HB_STATUS_DISCONNECTED;
    worker->said_goodbye = row->reason == HB_REASON_GOODBYE;
    worker->serving = was_up;
    worker->poll_up = was_up;
    worker->unverified = was_up || row->status == HB_STATUS_ALIVE || row->status == HB_STATUS_CONNECTED;
    worker->last_contact =
        worker->unverified || row->status == HB_STATUS_REGISTERED ? turn->now : contact_of_row(turn, row);
    if (worker->socket != NULL) {
        worker->last_contact = turn->now;
        if (worker->status != HB_STATUS_ALIVE)
            worker->status = HB_STATUS_CONNECTED;
    }
}

/*
 * Nothing is announced: what listeners were told last stands in the row. Only where the row itself does not hold
 * together any more (serving without an address) does a transition follow.
 */
static enum hb_err restore_entry(struct hb_turn *turn, struct hb_worker *worker, const struct hb_input *input,
                                 bool to_remove)
{
    const struct hb_row *row = input->row;
    struct hb_identity identity = {row->name, row->host, row->url, row->attributes};
    struct hb_before before;
    enum hb_err err;

    if (identity.name.bytes == NULL)
        identity.name = (struct hb_text){worker->id, worker->id_len};
    err = row->url.bytes != NULL ? hb_poll_admit(turn, worker) : HB_OK;
    if (err == HB_OK)
        err = hb_worker_set_identity(worker, &identity, &turn->registry->texts);
    if (err == HB_ERR_FULL && to_remove)
        err = HB_OK; /* listeners hear of it, with or without its texts */
    if (err == HB_OK)
        err = restore_maintenance(turn, worker, row);
    if (err != HB_OK) {
        hb_poll_give_up(turn->registry, worker);
        return err;
    }
    hb_worker_set_figures(worker, &(struct hb_beat){.metrics = row->metrics, .requests = -1, .errors = -1},
                          &turn->registry->texts);
    restore_facts(turn, worker, input);
    hb_entry_show(turn->registry, worker);
    if (to_remove)
        return HB_OK; /* its removal is all there is to tell */
    before = hb_turn_before(turn, worker);
    before.status = (uint8_t)row->status; /* it may have a socket by now */
    hb_turn_settle_row(turn, worker, &before,
                       worker->status != row->status ? HB_REASON_SOCKET_OPENED : reason_of(worker), false);
    return HB_OK;
}

/* ---- a worker that came back before its row was read ---- */

/* Who and where it is, memory knows better; but what it did not say this time, the row still knows. */
static enum hb_err fill_identity(struct hb_turn *turn, struct hb_worker *worker, const struct hb_row *row)
{
    struct hb_text own_id = {worker->id, worker->id_len};
    bool place_known = worker->url != NULL || worker->port != 0;
    struct hb_identity identity = {{NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}};
    enum hb_err err;

    if (hb_text_is_own(worker->name, own_id))
        identity.name = row->name;
    if (!place_known) {
        identity.host = row->host;
        identity.url = row->url;
    }
    if (worker->attributes == NULL)
        identity.attributes = row->attributes;
    err = identity.url.bytes != NULL ? hb_poll_admit(turn, worker) : HB_OK;
    if (err == HB_OK)
        err = hb_worker_set_identity(worker, &identity, &turn->registry->texts);
    if (err != HB_OK)
        hb_poll_settle(turn, worker);
    if (err != HB_OK || place_known)
        return err;
    worker->port = row->port;
    if (row->host.bytes != NULL)
        worker->host_from_peer = false;
    if (row->timeout_ms != 0 && worker->timeout_ms == turn->registry->rules.timeout_ms)
        worker->timeout_ms = (uint32_t)row->timeout_ms;
    return HB_OK;
}

static bool is_elsewhere(const struct hb_worker *worker, const struct hb_row *row)
{
    return worker->port != row->port || !hb_text_equal(hb_text_of(worker->url), row->url) ||
           (row->host.bytes != NULL && !hb_text_is_own(worker->host, row->host));
}

/* Listeners hold it for up: unless it has said goodbye since, it has its grace like any other that is restored. */
static void hold_for_up(struct hb_turn *turn, struct hb_worker *worker)
{
    bool waits = worker->status == HB_STATUS_REGISTERED || worker->status == HB_STATUS_CONNECTED ||
                 worker->status == HB_STATUS_DISCONNECTED;

    if (!waits || worker->said_goodbye)
        return;
    worker->unverified = true;
    worker->serving = true;
    worker->poll_up = true;
    worker->last_contact = turn->now;
}

/*
 * Listeners remember what they were told in the earlier life, and an operator what he asked for: both are taken over.
 * Without it nobody would be told of the end of one that is gone again before its first beat.
 */
static enum hb_err join_earlier_life(struct hb_turn *turn, struct hb_worker *worker, const struct hb_row *row,
                                     bool removed_between)
{
    struct hb_before before = hb_turn_before(turn, worker);
    bool told = worker->announced == HB_ANNOUNCED_NONE && row->announced != HB_ANNOUNCED_NONE;
    bool was_up = told && row->announced == HB_ANNOUNCED_UP;
    bool maintained = row->maintenance && !worker->maintenance_said && !removed_between;
    enum hb_err err = HB_OK;

    if (!told && !maintained)
        return HB_ERR_STALE;
    if (maintained)
        err = restore_maintenance(turn, worker, row);
    if (err == HB_OK && !removed_between)
        err = fill_identity(turn, worker, row);
    if (err != HB_OK && err != HB_ERR_FULL) { /* what listeners were told counts also when there is no room for texts */
        if (maintained)
            hb_maintenance_end(worker);
        return err;
    }
    if (told)
        worker->announced = row->announced;
    if (was_up && !removed_between)
        hold_for_up(turn, worker);
    hb_turn_settle_row(turn, worker, &before, maintained ? HB_REASON_MAINTENANCE : reason_of(worker),
                       was_up && is_elsewhere(worker, row));
    return HB_OK;
}

static enum hb_err restore_new(struct hb_turn *turn, struct hb_worker *worker, const struct hb_input *input,
                               bool to_remove)
{
    bool created = worker == NULL;
    enum hb_err err = created ? hb_entry_create(turn, input->id, &worker) : HB_OK;

    if (err != HB_OK)
        return err;
    if (worker->status == HB_STATUS_REMOVED)
        hb_entry_reset(turn, worker);
    err = restore_entry(turn, worker, input, to_remove);
    if (err != HB_OK && worker->socket == NULL)
        hb_entry_destroy(turn->registry, worker);
    return err;
}

/* It was removed before its row was read, and listeners hold it for up from its earlier life: they are told now. */
static enum hb_err tell_removal(struct hb_turn *turn, struct hb_worker *worker, const struct hb_input *input)
{
    enum hb_err err = restore_new(turn, worker, input, true);

    if (err != HB_OK)
        return err;
    worker = hb_map_get(turn->registry->by_id, input->id.bytes, input->id.len);
    hb_turn_remove(turn, worker, HB_REASON_REMOVED);
    return HB_OK;
}

enum hb_err hb_apply_restore(struct hb_turn *turn, struct hb_worker *worker, const struct hb_input *input)
{
    bool told = false;
    bool removed = hb_gone_ids_ask(&turn->registry->gone, input->id, &told);

    if (removed && told)
        return HB_ERR_STALE; /* listeners know better than the row */
    if (worker != NULL && hb_worker_visible(worker))
        return join_earlier_life(turn, worker, input->row, removed);
    if (input->row->status == HB_STATUS_UNKNOWN || input->row->status == HB_STATUS_REMOVED)
        return HB_ERR_INVALID;
    if (removed && (worker == NULL || worker->socket == NULL))
        return input->row->announced == HB_ANNOUNCED_UP ? tell_removal(turn, worker, input) : HB_ERR_STALE;
    if (worker != NULL && worker->status == HB_STATUS_REMOVED)
        return HB_ERR_STALE; /* memory is the truth */
    return restore_new(turn, worker, input, false);
}
