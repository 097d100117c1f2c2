/*
 * The ring holds pointers, so that growing it moves 8 bytes per item; an item is one allocation that nothing moves.
 */
#include "manager/app/outbox.h"

#include <stdlib.h>
#include <string.h>

#include "proto/wire/codec.h"
#include "proto/wire/limits.h"

#define FIRST_CAP 64

struct hb_outbox {
    struct hb_outbox_item **ring;
    size_t cap;
    size_t first, count;
    size_t ceiling;
    uint64_t lost, lost_ever;
    uint64_t lost_seq;
    struct hb_buf event; /* the event under construction */
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
    hb_buf_free(&outbox->event);
    free(outbox->ring);
    free(outbox);
}

static struct hb_outbox_item **place_of(const struct hb_outbox *outbox, size_t place)
{
    return &outbox->ring[(outbox->first + place) % outbox->cap];
}

static void drop_first(struct hb_outbox *outbox)
{
    free(*place_of(outbox, 0));
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

/* Room for one more: by growing up to the ceiling, then at the cost of the oldest. */
static enum hb_err make_room(struct hb_outbox *outbox)
{
    if (outbox->count < outbox->cap)
        return HB_OK;
    if (outbox->cap < outbox->ceiling)
        return grow(outbox);
    lose_first(outbox);
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
    item = malloc(sizeof *item + event->id.len + 1 + json->len);
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

    if (item == NULL || make_room(outbox) != HB_OK) {
        free(item);
        count_loss(outbox, event->seq);
        return;
    }
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
