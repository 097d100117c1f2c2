/*
 * deadline: when something may next happen to one worker, in registry time.
 *
 * Each worker has one entry in the registry's heap, keyed by the earliest of: silence beyond its patience, the end of
 * a hold, of maintenance, of a conflict, of a removal, reaping. A beat only moves last_contact and leaves the entry
 * where it is; an entry that fires too early finds nothing to do and is armed again. So a beat costs O(1), and the heap
 * sees one operation per worker and timeout, however fast it beats. The alternative, a timer wheel, would save the
 * logarithm and pay for it with a fixed granularity and slots to walk; at 10^5 workers the heap's share is not
 * measurable.
 */
#ifndef HB_CORE_DEADLINE_H
#define HB_CORE_DEADLINE_H

#include "manager/core/worker_state.h"

/* When its silence is long enough to forget it; HB_MONO_NEVER: never, as things are. */
hb_mono_ms hb_deadline_reap(const struct hb_worker *worker, const struct hb_registry_rules *rules);

/* HB_MONO_NEVER when nothing can happen to it by time alone. */
hb_mono_ms hb_deadline_of(const struct hb_worker *worker, const struct hb_registry_rules *rules);

#endif
