/*
 * redis_batch: decides what the next call of the script carries, and what its answer means for mirror and outbox.
 *
 * A batch takes the oldest events of the outbox, for each of them the row of its worker (or its deletion, when the
 * worker is gone), and fills up with dirty rows. So no event goes out before the state that it announces.
 *
 * When everything is written again, and when events were lost, all rows go first; only then follows the `reset` event,
 * in the place of the last lost one, that tells listeners to read the hash again, and then the events that are left.
 */
#ifndef HB_IO_REDIS_BATCH_H
#define HB_IO_REDIS_BATCH_H

#include "manager/app/manager.h"
#include "manager/io/redis_script.h"

struct hb_redis_batch;

struct hb_redis_batch *hb_redis_batch_new(struct hb_manager *manager); /* NULL when out of memory */
void hb_redis_batch_free(struct hb_redis_batch *batch);                /* accepts NULL */

/* Takes what fits; false when there is nothing to send. The previous batch must have been acked or have failed. */
bool hb_redis_batch_fill(struct hb_redis_batch *batch);
struct hb_script_args *hb_redis_batch_args(struct hb_redis_batch *batch);
void hb_redis_batch_acked(struct hb_redis_batch *batch, uint64_t stored_seq);
void hb_redis_batch_failed(struct hb_redis_batch *batch);

/* Something is left to send, not counting what waits for the next refresh. */
bool hb_redis_batch_is_due(const struct hb_redis_batch *batch);

/* From here on every row is to be written, before any event. */
void hb_redis_batch_rewrite(struct hb_redis_batch *batch);
/* A row to delete though no event says so. False when there is no room: ask again once these are deleted. */
bool hb_redis_batch_add_ghost(struct hb_redis_batch *batch, struct hb_text id);
void hb_redis_batch_forget_ghosts(struct hb_redis_batch *batch);
bool hb_redis_batch_has_ghosts(const struct hb_redis_batch *batch);

#endif
