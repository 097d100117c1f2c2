/*
 * mirror: every visible worker's serialised row, and which of them Redis has yet to see.
 *
 * The hash `workers`, GET /workers, its ETag and the live feed all use the same bytes. A row is built again at once on
 * a transition, and for beats when hb_mirror_refresh runs (once per flush interval), so a beat costs a flag here.
 *
 *      touch ──► beaten ──refresh──► dirty ──take──► in flight ──acked──► clean
 *      change ─────────────────────────┘  ▲                 └──failed──► dirty
 *                                         └─ changed again while in flight
 *
 * Memory: one allocation per worker, the row's length plus a header. The slot hangs on worker->shell.
 */
#ifndef HB_APP_MIRROR_H
#define HB_APP_MIRROR_H

#include "manager/core/registry.h"

struct hb_mirror;

/* NULL when out of memory. Keeps a copy of the name; the registry outlives the mirror. */
struct hb_mirror *hb_mirror_new(struct hb_text manager_id, struct hb_registry *registry);
void hb_mirror_free(struct hb_mirror *mirror); /* also the slots that hang on the registry's workers */

/* The row shows something new that can wait for the next refresh: a beat. O(1), allocates on a worker's first. */
enum hb_err hb_mirror_touch(struct hb_mirror *mirror, struct hb_worker *worker) HB_MUST_CHECK;
/* The row shows something that cannot wait: builds it now and makes it dirty. */
enum hb_err hb_mirror_change(struct hb_mirror *mirror, struct hb_worker *worker) HB_MUST_CHECK;
/* As hb_mirror_change for a row that Redis has already, as after loading it: builds, but leaves it clean. */
enum hb_err hb_mirror_adopt(struct hb_mirror *mirror, struct hb_worker *worker) HB_MUST_CHECK;
/* The worker is gone: gives up its slot, also when in flight. */
void hb_mirror_drop(struct hb_mirror *mirror, struct hb_worker *worker);

/*
 * Builds the rows of all that were touched since the last refresh and makes them dirty; also of those for whose first
 * row there was no memory.
 */
void hb_mirror_refresh(struct hb_mirror *mirror);
/* The same, but at most so many rows: true while there are more. Out of memory it gives up until the next time. */
bool hb_mirror_refresh_some(struct hb_mirror *mirror, size_t most);
/* Makes every row dirty: Redis lost them. */
void hb_mirror_dirty_all(struct hb_mirror *mirror);

/* The row's bytes as built last; absent when it has none (out of memory when it was to be built). */
struct hb_text hb_mirror_row(const struct hb_worker *worker);
/* Redis has exactly these bytes. */
bool hb_mirror_is_clean(const struct hb_worker *worker);
/* Grows with every change of any row's bytes and of the set of rows. */
uint64_t hb_mirror_version(const struct hb_mirror *mirror);
size_t hb_mirror_dirty_count(const struct hb_mirror *mirror);
/* Workers of whom Redis has some row, as far as we know: acked, and not lost since (hb_mirror_dirty_all). */
size_t hb_mirror_stored_count(const struct hb_mirror *mirror);

/*
 * Moves one particular row, whatever its state, to in flight. False when it is there already, or when there is no
 * memory for the bytes that it must show; hb_mirror_in_flight tells which.
 */
bool hb_mirror_take_one(struct hb_mirror *mirror, const struct hb_worker *worker);
bool hb_mirror_in_flight(const struct hb_worker *worker);
/* Moves the oldest dirty row to in flight; NULL when none is dirty. */
struct hb_worker *hb_mirror_take(struct hb_mirror *mirror);
/* The batch arrived: in flight becomes clean, or dirty again where the row changed meanwhile. */
void hb_mirror_acked(struct hb_mirror *mirror);
/* The batch may not have arrived: all in flight is dirty again, before the rest. */
void hb_mirror_failed(struct hb_mirror *mirror);

#endif
