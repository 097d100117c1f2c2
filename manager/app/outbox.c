/*
 * The ring holds pointers, so that growing it moves 8 bytes per item. The items themselves lie in blocks, filled and
 * given back in order: when 18,000 workers connect at once, 54,000 events wait here for a moment, and as allocations of
 * their own they would leave as many holes between the workers that stay.
 */
#include "manager/app/outbox.h"

#include <stdlib.h>
#include <string.h>

#include "proto/wire/codec.h"
#include "proto/wire/limits.h"

#define FIRST_CAP 64
#define BLOCK_BYTES ((size_t)128 * 1024) /* several of the largest events, hundreds of the usual ones */

struct block {
    struct block *next; /* filled after this one */
    size_t used;        /* bytes */
    size_t items;       /* not yet dropped */
    _Alignas(struct hb_outbox_item) char bytes[BLOCK_BYTES];
};

struct hb_outbox {
    struct hb_outbox_item **ring;
    size_t cap;
    size_t first, count;
    size_t ceiling;
    size_t bytes; /* of all items */
    uint64_t lost, lost_ever;
    uint64_t lost_seq;
    struct block *oldest, *newest; /* newest stays when it is empty */
    struct hb_buf event;           /* the event under construction */
};

struct hb_outbox *hb_outbox_new(size_t ceiling)
{
    struct hb_outbox *outbox = calloc(1, sizeof *outbox);

    if (outbox == NULL)
        return NULL;
    outbox->ceiling = ceiling < 1 ? 1 : ceiling > HB_OUTBOX_MAX ? HB_OUTBOX_MAX : ceiling;
    hb_buf_init(&outbox->event, HB_ROW_BYTES_MAX);
    return outbox;
}

void hb_outbox_free(struct hb_outbox *outbox)
{
    if (outbox == NULL)
        return;
    hb_outbox_confirm(outbox, UINT64_MAX);
    free(outbox->newest);
    hb_buf_free(&outbox->event);
    free(outbox->ring);
    free(outbox);
}

static struct hb_outbox_item **place_of(const struct hb_outbox *outbox, size_t place)
{
    return &outbox->ring[(outbox->first + place) % outbox->cap];
}

/* ---- blocks ---- */

static void *block_take(struct hb_outbox *outbox, size_t size)
{
    size_t align = _Alignof(struct hb_outbox_item);
    struct block *block = outbox->newest;
    void *at;

    size = (size + align - 1) / align * align;
    if (block == NULL || BLOCK_BYTES - block->used < size) {
        block = malloc(sizeof *block);
        if (block == NULL)
            return NULL;
        block->next = NULL;
        block->used = block->items = 0;
        if (outbox->newest != NULL)
            outbox->newest->next = block;
        else
            outbox->oldest = block;
        outbox->newest = block;
    }
    at = block->bytes + block->used;
    block->used += size;
    block->items++;
    return at;
}

/* Gives back what was taken first. */
static void block_give_back(struct hb_outbox *outbox)
{
    struct block *block = outbox->oldest;

    while (block->items == 0) { /* left behind empty when the next one was begun */
        outbox->oldest = block->next;
        free(block);
        block = outbox->oldest;
    }
    if (--block->items > 0)
        return;
    if (block == outbox->newest) {
        block->used = 0;
        return;
    }
    outbox->oldest = block->next;
    free(block);
}

/* ---- the ring ---- */

static size_t size_of(const struct hb_outbox_item *item)
{
    return sizeof *item + item->id_len + 1 + item->event_len;
}

static void drop_first(struct hb_outbox *outbox)
{
    outbox->bytes -= size_of(*place_of(outbox, 0));
    block_give_back(outbox);
    outbox->first = (outbox->first + 1) % outbox->cap;
    outbox->count--;
}

static void count_loss(struct hb_outbox *outbox, uint64_t seq)
{
    outbox->lost++;
    outbox->lost_ever++;
    if (seq > outbox->lost_seq) /* one that found no memory is newer than those that the ceiling drops */
        outbox->lost_seq = seq;
}

static void lose_first(struct hb_outbox *outbox)
{
    count_loss(outbox, (*place_of(outbox, 0))->seq);
    drop_first(outbox);
}

/* A wider ring, its items in order from the start. */
static enum hb_err grow(struct hb_outbox *outbox)
{
    size_t cap = outbox->cap == 0 ? FIRST_CAP : 2 * outbox->cap;
    struct hb_outbox_item **ring;

    if (cap > outbox->ceiling)
        cap = outbox->ceiling;
    ring = malloc(cap * sizeof(struct hb_outbox_item *));
    if (ring == NULL)
        return HB_ERR_NO_MEMORY;
    for (size_t i = 0; i < outbox->count; i++)
        ring[i] = *place_of(outbox, i);
    free(outbox->ring);
    outbox->ring = ring;
    outbox->cap = cap;
    outbox->first = 0;
    return HB_OK;
}

static struct hb_outbox_item *item_new(struct hb_outbox *outbox, const struct hb_event *event)
{
    struct hb_buf *json = &outbox->event;
    struct hb_outbox_item *item;

    hb_buf_clear(json);
    hb_encode_event(json, event);
    if (hb_buf_status(json) != HB_OK || event->id.len > UINT8_MAX)
        return NULL;
    if (outbox->count == outbox->cap && outbox->cap < outbox->ceiling && grow(outbox) != HB_OK)
        return NULL;
    item = block_take(outbox, sizeof *item + event->id.len + 1 + json->len);
    if (item == NULL)
        return NULL;
    item->seq = event->seq;
    item->edge = event->edge;
    item->event_len = (uint16_t)json->len;
    item->id_len = (uint8_t)event->id.len;
    memcpy(item->bytes, event->id.bytes, event->id.len);
    item->bytes[event->id.len] = '\0';
    memcpy(item->bytes + event->id.len + 1, json->bytes, json->len);
    return item;
}

void hb_outbox_push(struct hb_outbox *outbox, const struct hb_event *event)
{
    struct hb_outbox_item *item = item_new(outbox, event);

    if (item == NULL) {
        count_loss(outbox, event->seq);
        return;
    }
    outbox->bytes += size_of(item);
    while (outbox->count == outbox->cap || (outbox->bytes > HB_OUTBOX_BYTES_MAX && outbox->count > 0))
        lose_first(outbox); /* a ceiling: at the cost of the oldest */
    *place_of(outbox, outbox->count) = item;
    outbox->count++;
}

size_t hb_outbox_count(const struct hb_outbox *outbox)
{
    return outbox->count;
}

const struct hb_outbox_item *hb_outbox_at(const struct hb_outbox *outbox, size_t place)
{
    return *place_of(outbox, place);
}

void hb_outbox_confirm(struct hb_outbox *outbox, uint64_t seq)
{
    while (outbox->count > 0 && hb_outbox_at(outbox, 0)->seq <= seq)
        drop_first(outbox);
}

void hb_outbox_clear(struct hb_outbox *outbox)
{
    while (outbox->count > 0)
        lose_first(outbox);
}

uint64_t hb_outbox_lost(const struct hb_outbox *outbox)
{
    return outbox->lost;
}

uint64_t hb_outbox_lost_seq(const struct hb_outbox *outbox)
{
    return outbox->lost_seq;
}

void hb_outbox_loss_told(struct hb_outbox *outbox)
{
    outbox->lost = 0;
}

uint64_t hb_outbox_lost_ever(const struct hb_outbox *outbox)
{
    return outbox->lost_ever;
}
