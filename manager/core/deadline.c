#include "manager/core/deadline.h"

static hb_mono_ms silence_beyond(const struct hb_worker *worker, int64_t patience_ms)
{
    return hb_mono_add(worker->last_contact, patience_ms + 1); /* strictly older, in whole milliseconds */
}

hb_mono_ms hb_deadline_reap(const struct hb_worker *worker, const struct hb_registry_rules *rules)
{
    int64_t patience_ms = hb_worker_patience(worker, rules);

    bool answers = !worker->beats && worker->status == HB_STATUS_ALIVE; /* its polls, however rare they are */

    if (rules->reap_after_ms == 0 || worker->unverified || worker->fixed || answers)
        return HB_MONO_NEVER;
    return silence_beyond(worker, rules->reap_after_ms > patience_ms ? rules->reap_after_ms : patience_ms);
}

hb_mono_ms hb_deadline_of(const struct hb_worker *worker, const struct hb_registry_rules *rules)
{
    hb_mono_ms earliest;

    if (worker->status == HB_STATUS_UNKNOWN)
        return silence_beyond(worker, worker->timeout_ms);
    if (worker->status == HB_STATUS_REMOVED)
        return hb_mono_add(worker->last_contact, HB_REMOVED_FOR_MS);

    earliest = hb_mono_earlier(worker->hold_until, hb_deadline_reap(worker, rules));
    if (hb_worker_can_time_out(worker))
        earliest = hb_mono_earlier(earliest, silence_beyond(worker, hb_worker_patience(worker, rules)));
    if (worker->maintenance)
        earliest = hb_mono_earlier(earliest, worker->rare->maintenance_until);
    if (worker->id_conflict)
        earliest = hb_mono_earlier(earliest, worker->rare->conflict_until);
    return earliest;
}
