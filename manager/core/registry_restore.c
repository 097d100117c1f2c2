/*
 * Rows of an earlier life: what the hash says about a worker, read at the start.
 *
 * A worker that was up comes back unverified, still serving, with a full grace to beat again; one that was down stays
 * down. An id that is in memory already wins over its row.
 */
#include "manager/core/own_text.h"
#include "manager/core/registry_internal.h"

/* Clocks of two lives meet here: what the wall says of the silence, but never a time to come. */
static hb_mono_ms contact_of_row(const struct hb_turn *turn, const struct hb_row *row)
{
    int64_t silence_ms = row->last_heartbeat.ms != 0 ? turn->wall.ms - row->last_heartbeat.ms : 0;

    return (hb_mono_ms){turn->now.ms - (silence_ms > 0 ? silence_ms : 0)};
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
    bool was_up = row->announced == HB_ANNOUNCED_UP;

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
static enum hb_err restore_entry(struct hb_turn *turn, struct hb_worker *worker, const struct hb_input *input)
{
    const struct hb_row *row = input->row;
    struct hb_identity identity = {row->name, row->host, row->url, row->attributes};
    struct hb_before before;
    enum hb_err err;

    if (identity.name.bytes == NULL)
        identity.name = (struct hb_text){worker->id, worker->id_len};
    err = hb_worker_set_identity(worker, &identity, &turn->registry->texts);
    if (err == HB_OK)
        err = restore_maintenance(turn, worker, row);
    if (err != HB_OK)
        return err;
    hb_worker_set_figures(worker, &(struct hb_beat){.metrics = row->metrics, .requests = -1, .errors = -1},
                          &turn->registry->texts);
    restore_facts(turn, worker, input);
    hb_entry_show(turn->registry, worker);
    before = hb_turn_before(turn, worker);
    hb_turn_settle_row(turn, worker, &before, (enum hb_reason)worker->reason, false);
    return HB_OK;
}

enum hb_err hb_apply_restore(struct hb_turn *turn, struct hb_worker *worker, const struct hb_input *input)
{
    bool created = false;
    enum hb_err err;

    if (worker != NULL && worker->status != HB_STATUS_UNKNOWN)
        return HB_ERR_STALE; /* memory is the truth */
    if (input->row->status == HB_STATUS_UNKNOWN || input->row->status == HB_STATUS_REMOVED)
        return HB_ERR_INVALID;
    if (worker == NULL) {
        err = hb_entry_create(turn, input->id, &worker);
        if (err != HB_OK)
            return err;
        created = true;
    }
    err = restore_entry(turn, worker, input);
    if (err != HB_OK && created)
        hb_entry_destroy(turn->registry, worker);
    return err;
}
