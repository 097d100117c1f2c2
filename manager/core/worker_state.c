#include "manager/core/worker_state.h"

bool hb_worker_visible(const struct hb_worker *worker)
{
    return worker->status != HB_STATUS_UNKNOWN && worker->status != HB_STATUS_REMOVED;
}

bool hb_worker_has_address(const struct hb_worker *worker)
{
    return worker->url != NULL || (worker->host != NULL && worker->port != 0);
}

bool hb_worker_is_polled(const struct hb_worker *worker, const struct hb_registry_rules *rules)
{
    return rules->polling && worker->url != NULL;
}

bool hb_worker_should_serve(const struct hb_worker *worker, const struct hb_registry_rules *rules)
{
    if (!hb_worker_visible(worker) || !hb_worker_has_address(worker) || worker->draining || worker->maintenance)
        return false;
    if (worker->unverified || worker->hold_until.ms != HB_MONO_NEVER.ms)
        return worker->serving;
    if (worker->beats && worker->status != HB_STATUS_ALIVE)
        return false;
    if (hb_worker_is_polled(worker, rules))
        return worker->poll_up;
    return worker->beats; /* neither beating nor polled: nothing vouches for it */
}

int64_t hb_worker_patience(const struct hb_worker *worker, const struct hb_registry_rules *rules)
{
    if (worker->unverified && rules->restart_grace_ms > (int64_t)worker->timeout_ms)
        return rules->restart_grace_ms;
    return worker->timeout_ms;
}

bool hb_worker_can_time_out(const struct hb_worker *worker)
{
    switch ((enum hb_status)worker->status) {
    case HB_STATUS_REGISTERED:
    case HB_STATUS_CONNECTED:
    case HB_STATUS_ALIVE:
    case HB_STATUS_DISCONNECTED:
        return worker->beats || (worker->unverified && worker->poll == NULL); /* else its polls decide */
    case HB_STATUS_UNKNOWN: /* the registry closes a nameless socket itself: no status moves */
    case HB_STATUS_NOT_RESPONDING:
    case HB_STATUS_REMOVED:
        break;
    }
    return false;
}

enum hb_edge hb_worker_edge(const struct hb_worker *worker, bool address_changed)
{
    switch ((enum hb_announced)worker->announced) {
    case HB_ANNOUNCED_NONE:
        return worker->serving ? HB_EDGE_UP : HB_EDGE_NONE;
    case HB_ANNOUNCED_UP:
        if (worker->status == HB_STATUS_REMOVED)
            return HB_EDGE_REMOVED;
        if (!worker->serving)
            return HB_EDGE_DOWN;
        return address_changed ? HB_EDGE_UP : HB_EDGE_NONE;
    case HB_ANNOUNCED_DOWN:
        return worker->serving ? HB_EDGE_RECOVERY : HB_EDGE_NONE;
    }
    return HB_EDGE_NONE;
}

struct hb_row hb_worker_row(const struct hb_worker *worker)
{
    bool in_maintenance = worker->maintenance && worker->rare != NULL;

    return (struct hb_row){
        .id = {worker->id, worker->id_len},
        .name = hb_text_of(worker->name),
        .host = hb_text_of(worker->host),
        .port = worker->port,
        .status = (enum hb_status)worker->status,
        .last_heartbeat = worker->last_heartbeat,
        .since = worker->since,
        .reason = (enum hb_reason)worker->reason,
        .serving = worker->serving,
        .announced = (enum hb_announced)worker->announced,
        .unverified = worker->unverified,
        .beats = worker->beats,
        .ready = worker->ready,
        .health = (enum hb_health)worker->health,
        .url = hb_text_of(worker->url),
        .attributes = hb_text_of(worker->attributes),
        .metrics = hb_text_of(worker->metrics),
        .reported_status = hb_text_of(worker->rare != NULL ? worker->rare->reported_status : NULL),
        .requests = worker->requests,
        .errors = worker->errors,
        .timeout_ms = worker->timeout_ms,
        .interval_ms = worker->interval_ms,
        .poll_interval_ms = worker->poll_interval_ms,
        .draining = worker->draining,
        .maintenance = worker->maintenance,
        .maintenance_until = in_maintenance ? worker->rare->maintenance_until_wall : (hb_wall_ms){0},
        .maintenance_reason = hb_text_of(in_maintenance ? worker->rare->maintenance_reason : NULL),
        .id_conflict = worker->id_conflict,
        .epoch = worker->epoch,
        .seq = worker->seq,
    };
}
