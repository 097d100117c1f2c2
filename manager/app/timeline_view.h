/*
 * timeline_view: a worker's timeline as JSON, what GET /workers/<id>/timeline answers.
 */
#ifndef HB_APP_TIMELINE_VIEW_H
#define HB_APP_TIMELINE_VIEW_H

#include "manager/core/registry.h"

/*
 * Appends {"worker_id":…,"transitions":[…]}, the oldest first; the buffer's status tells of failure. At most
 * HB_TIMELINE_MAX entries of some 300 bytes each.
 */
void hb_timeline_view(struct hb_buf *json, const struct hb_worker *worker, uint64_t epoch);

#endif
