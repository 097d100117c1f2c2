#include "manager/io/redis_batch.h"

#include <stdlib.h>
#include <string.h>

#include "proto/wire/limits.h"
#include "proto/wire/names.h"

#define EVENTS_MAX 128                 /* of the outbox, in one batch */
#define BYTES_ENOUGH (256u * 1024)     /* a batch that has so much takes no more */
#define GHOSTS_MAX 512                 /* deletions without an event, in one batch */
#define GHOST_BYTES_MAX (1024u * 1024) /* of ids noted at a time, each with a NUL */

struct hb_redis_batch {
    struct hb_manager *manager;
    struct hb_registry *registry;
    struct hb_mirror *mirror;
    struct hb_outbox *outbox;
    struct hb_script_args *args;
    size_t rows_first;    /* so many rows go before any event */
    struct hb_buf ghosts; /* ids, each followed by a NUL; those before ghosts_done are deleted */
    size_t ghosts_done, ghosts_taken;
    struct hb_buf reset;
};

struct hb_redis_batch *hb_redis_batch_new(struct hb_manager *manager)
{
    struct hb_redis_batch *batch = calloc(1, sizeof *batch);

    if (batch == NULL)
        return NULL;
    batch->manager = manager;
    batch->registry = hb_manager_registry(manager);
    batch->mirror = hb_manager_mirror(manager);
    batch->outbox = hb_manager_outbox(manager);
    batch->args = hb_script_args_new();
    hb_buf_init(&batch->ghosts, GHOST_BYTES_MAX);
    hb_buf_init(&batch->reset, HB_ROW_BYTES_MAX);
    if (batch->args == NULL) {
        free(batch);
        return NULL;
    }
    return batch;
}

void hb_redis_batch_free(struct hb_redis_batch *batch)
{
    if (batch == NULL)
        return;
    hb_script_args_free(batch->args);
    hb_buf_free(&batch->ghosts);
    hb_buf_free(&batch->reset);
    free(batch);
}

struct hb_script_args *hb_redis_batch_args(struct hb_redis_batch *batch)
{
    return batch->args;
}

/* ---- events ---- */

/* A row, or its deletion, so that the state is stored before its event is told. False: not now, for want of memory. */
static bool add_state(struct hb_redis_batch *batch, struct hb_text id)
{
    const struct hb_worker *worker = hb_registry_find(batch->registry, id);

    if (worker == NULL) {
        hb_script_add_gone(batch->args, id);
        return true;
    }
    if (!hb_mirror_take_one(batch->mirror, worker))
        return hb_mirror_in_flight(worker); /* an earlier event of this batch has brought it */
    hb_script_add_row(batch->args, id, hb_mirror_row(worker));
    return true;
}

static bool add_transition(struct hb_redis_batch *batch, const struct hb_outbox_item *item)
{
    struct hb_text json = {item->bytes + item->id_len + 1, item->event_len};

    if (!add_state(batch, (struct hb_text){item->bytes, item->id_len}))
        return false;
    hb_script_add_event(batch->args, item->seq, json, hb_text_of(hb_edge_channel(item->edge)));
    return true;
}

static bool add_reset(struct hb_redis_batch *batch)
{
    struct hb_buf *json = &batch->reset;
    uint64_t seq = hb_outbox_lost_seq(batch->outbox);

    hb_buf_clear(json);
    hb_buf_append_str(json, "{\"event\":\"reset\",\"manager\":");
    hb_buf_append_json(json, hb_manager_id(batch->manager));
    hb_buf_append_str(json, ",\"epoch\":");
    hb_buf_append_i64(json, (int64_t)hb_registry_epoch(batch->registry));
    hb_buf_append_str(json, ",\"seq\":");
    hb_buf_append_i64(json, (int64_t)seq);
    hb_buf_append_str(json, ",\"lost\":");
    hb_buf_append_i64(json, (int64_t)hb_outbox_lost(batch->outbox));
    hb_buf_append_char(json, '}');
    if (hb_buf_status(json) != HB_OK)
        return false;
    hb_script_add_event(batch->args, seq, (struct hb_text){json->bytes, json->len}, HB_TEXT(HB_CHANNEL_RESET));
    return true;
}

/* In the order of seq, the reset in the place of the last lost one. */
static void add_events(struct hb_redis_batch *batch)
{
    bool reset_waits = hb_outbox_lost(batch->outbox) > 0;
    uint64_t lost_seq = hb_outbox_lost_seq(batch->outbox);
    size_t count = hb_outbox_count(batch->outbox);
    size_t place = 0;

    for (; place < count && place < EVENTS_MAX && hb_script_bytes(batch->args) < BYTES_ENOUGH; place++) {
        const struct hb_outbox_item *item = hb_outbox_at(batch->outbox, place);

        if (reset_waits && item->seq > lost_seq) {
            if (!add_reset(batch))
                return;
            reset_waits = false;
        }
        if (!add_transition(batch, item))
            return;
    }
    if (reset_waits && place == count && !add_reset(batch))
        return; /* without memory for it, it stays due */
}

/* ---- rows and ghosts ---- */

static void add_dirty_rows(struct hb_redis_batch *batch)
{
    while (hb_script_row_count(batch->args) < HB_SCRIPT_ROWS_MAX && hb_script_bytes(batch->args) < BYTES_ENOUGH) {
        const struct hb_worker *worker = hb_mirror_take(batch->mirror);

        if (worker == NULL)
            return;
        hb_script_add_row(batch->args, (struct hb_text){worker->id, worker->id_len}, hb_mirror_row(worker));
    }
}

static void add_ghosts(struct hb_redis_batch *batch)
{
    size_t at = batch->ghosts_done;

    while (at < batch->ghosts.len && hb_script_gone_count(batch->args) < GHOSTS_MAX) {
        struct hb_text id = hb_text_of(batch->ghosts.bytes + at);

        if (hb_registry_find(batch->registry, id) == NULL) /* or it has come back since */
            hb_script_add_gone(batch->args, id);
        at += id.len + 1;
    }
    batch->ghosts_taken = at;
    if (hb_script_gone_count(batch->args) == 0)
        batch->ghosts_done = at;
}

bool hb_redis_batch_has_ghosts(const struct hb_redis_batch *batch)
{
    return batch->ghosts_done < batch->ghosts.len;
}

bool hb_redis_batch_add_ghost(struct hb_redis_batch *batch, struct hb_text id)
{
    struct hb_buf *ghosts = &batch->ghosts;
    size_t len = ghosts->len;

    hb_buf_append_text(ghosts, id);
    hb_buf_append_char(ghosts, '\0');
    if (hb_buf_status(ghosts) == HB_OK)
        return true;
    ghosts->err = HB_OK; /* full: what was noted before stays good */
    ghosts->len = len;
    return false;
}

void hb_redis_batch_forget_ghosts(struct hb_redis_batch *batch)
{
    hb_buf_clear(&batch->ghosts);
    batch->ghosts_done = 0;
    batch->ghosts_taken = 0;
}

/* ---- the whole ---- */

bool hb_redis_batch_fill(struct hb_redis_batch *batch)
{
    hb_script_args_clear(batch->args);
    add_ghosts(batch);
    if (hb_mirror_dirty_count(batch->mirror) == 0)
        batch->rows_first = 0; /* some were removed before their turn came */
    if (batch->rows_first == 0 && batch->ghosts_taken == batch->ghosts.len)
        add_events(batch);
    add_dirty_rows(batch);
    return hb_script_bytes(batch->args) > 0;
}

void hb_redis_batch_acked(struct hb_redis_batch *batch, uint64_t stored_seq)
{
    size_t rows = hb_script_row_count(batch->args);

    hb_mirror_acked(batch->mirror);
    hb_outbox_confirm(batch->outbox, stored_seq);
    if (hb_outbox_lost(batch->outbox) > 0 && hb_outbox_lost_seq(batch->outbox) <= stored_seq)
        hb_outbox_loss_told(batch->outbox);
    batch->rows_first -= rows < batch->rows_first ? rows : batch->rows_first;
    batch->ghosts_done = batch->ghosts_taken;
    if (!hb_redis_batch_has_ghosts(batch))
        hb_redis_batch_forget_ghosts(batch);
}

void hb_redis_batch_failed(struct hb_redis_batch *batch)
{
    hb_mirror_failed(batch->mirror);
    batch->ghosts_taken = batch->ghosts_done;
}

bool hb_redis_batch_is_due(const struct hb_redis_batch *batch)
{
    return hb_outbox_count(batch->outbox) > 0 || hb_outbox_lost(batch->outbox) > 0 ||
           hb_mirror_dirty_count(batch->mirror) > 0 || hb_redis_batch_has_ghosts(batch);
}

void hb_redis_batch_rewrite(struct hb_redis_batch *batch)
{
    hb_mirror_dirty_all(batch->mirror);
    batch->rows_first = hb_mirror_dirty_count(batch->mirror);
}
