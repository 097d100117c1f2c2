/*
 * outbox: the transitions that Redis has not confirmed yet, in order, each as the bytes of its event.
 *
 * A ring with two ceilings (HB_OUTBOX_MAX items, HB_OUTBOX_BYTES_MAX of limits.h): beyond them the oldest are dropped
 * and counted, and hb_outbox_lost says so until the store has told listeners with one `reset` event to read the hash
 * again.
 */
#ifndef HB_APP_OUTBOX_H
#define HB_APP_OUTBOX_H

#include "proto/wire/message.h"

#define HB_OUTBOX_MAX 100000

struct hb_outbox_item {
    uint64_t seq;
    enum hb_edge edge;
    uint16_t event_len;
    uint8_t id_len;
    char bytes[]; /* the id, a NUL, the event's JSON */
};

struct hb_outbox;

struct hb_outbox *hb_outbox_new(size_t ceiling); /* NULL when out of memory; items, 1 to HB_OUTBOX_MAX */
void hb_outbox_free(struct hb_outbox *outbox);

/* Out of memory counts as a loss, like the ceiling. */
void hb_outbox_push(struct hb_outbox *outbox, const struct hb_event *event);
size_t hb_outbox_count(const struct hb_outbox *outbox);
const struct hb_outbox_item *hb_outbox_at(const struct hb_outbox *outbox, size_t place); /* 0 is the oldest */
/* Drops what is confirmed: everything up to and with seq. */
void hb_outbox_confirm(struct hb_outbox *outbox, uint64_t seq);
void hb_outbox_clear(struct hb_outbox *outbox); /* gives up what waits; it counts as lost */

uint64_t hb_outbox_lost(const struct hb_outbox *outbox);     /* dropped since the last hb_outbox_loss_told */
uint64_t hb_outbox_lost_seq(const struct hb_outbox *outbox); /* the highest seq ever lost */
void hb_outbox_loss_told(struct hb_outbox *outbox);
uint64_t hb_outbox_lost_ever(const struct hb_outbox *outbox);

#endif
