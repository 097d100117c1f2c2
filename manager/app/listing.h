/*
 * listing: the rows of many workers as one JSON object, id to row, ordered by id bytewise.
 *
 * The rows are the mirror's bytes, copied as they are, each on a line of its own. A page is found by its place in the
 * order, O(log n), and not by a cursor that somebody would have to keep: so a walk of `limit` and `after` shows nobody
 * twice and misses nobody who was there all the time, whoever comes and goes meanwhile.
 */
#ifndef HB_APP_LISTING_H
#define HB_APP_LISTING_H

#include "manager/app/listing_query.h"
#include "manager/core/registry.h"

/*
 * Appends the object and a line feed; the buffer's status tells of failure. The id to go on after when the limit left
 * something out, else absent; it is the worker's own, valid until the registry changes.
 * Cost: O(workers) with filters (a page looks no further than it must), O(rows shown) without.
 */
struct hb_text hb_listing_write(struct hb_buf *json, const struct hb_registry *registry,
                                const struct hb_listing_query *query);

#endif
