/*
 * Maintenance: an operator takes a worker out of traffic for a while, whatever it says of itself. Status goes on as
 * ever; serving ends, and comes back when the time is over or the operator says so.
 */
#include <stdlib.h>

#include "manager/core/own_text.h"
#include "manager/core/registry_internal.h"

enum hb_err hb_maintenance_begin(struct hb_turn *turn, struct hb_worker *worker,
                                 const struct hb_maintenance *maintenance)
{
    struct hb_worker_rare *rare = hb_entry_rare(worker);
    struct hb_own_text reason;

    if (rare == NULL || !hb_own_text_prepare(&reason, &rare->maintenance_reason, maintenance->reason))
        return HB_ERR_NO_MEMORY;
    if (maintenance->reason.bytes == NULL) {
        free(rare->maintenance_reason);
        rare->maintenance_reason = NULL;
    }
    hb_own_text_commit(&reason);
    rare->maintenance_until = hb_mono_add(turn->now, maintenance->ttl_ms);
    rare->maintenance_until_wall.ms = turn->wall.ms + maintenance->ttl_ms;
    worker->maintenance = true;
    return HB_OK;
}

void hb_maintenance_end(struct hb_worker *worker)
{
    if (!worker->maintenance)
        return;
    worker->maintenance = false;
    free(worker->rare->maintenance_reason);
    worker->rare->maintenance_reason = NULL;
}

enum hb_err hb_apply_maintenance(struct hb_turn *turn, struct hb_worker *worker,
                                 const struct hb_maintenance *maintenance)
{
    struct hb_before before;
    enum hb_err err = HB_OK;

    if (worker == NULL || !hb_worker_visible(worker))
        return HB_ERR_UNKNOWN;
    before = hb_turn_before(turn, worker);
    if (maintenance->ttl_ms == 0)
        hb_maintenance_end(worker);
    else
        err = hb_maintenance_begin(turn, worker, maintenance);
    if (err != HB_OK)
        return err;
    worker->maintenance_said = true;
    if (before.maintenance || worker->maintenance)
        hb_turn_settle_row(turn, worker, &before, HB_REASON_MAINTENANCE, false);
    return HB_OK;
}
