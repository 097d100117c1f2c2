/*
 * timeline: the last transitions of one worker, each with its reason and its evidence.
 *
 * A ring that starts small and doubles up to HB_TIMELINE_MAX, because most workers see three transitions in a month;
 * 24 bytes for each. All rings together stay below a budget: once that is spent they keep the size they have, and the
 * oldest transition makes room for the newest.
 */
#ifndef HB_CORE_TIMELINE_H
#define HB_CORE_TIMELINE_H

#include <stddef.h>

#include "proto/base/time.h"
#include "proto/wire/message.h"

#define HB_TIMELINE_MAX 128

/* What a worker was after a transition, what it had been, and why. */
struct hb_transition {
    hb_wall_ms at;
    uint32_t seq_low;    /* the low half of its seq: hb_timeline_seq gives the whole */
    uint32_t silence_ms; /* evidence: time since the last contact; UINT32_MAX: that long or longer */
    uint16_t close_code; /* evidence: how its socket ended; 0: no socket ended */
    uint16_t poll_code;  /* evidence: the last HTTP status; 0: none */
    uint32_t status : 4, previous : 4, edge : 3, reason : 6, health : 3, outcome : 4; /* the enums of message.h */
    uint32_t serving : 1, ready : 1, draining : 1, maintenance : 1;
};

struct hb_timeline {
    struct hb_transition *items; /* NULL none */
    uint8_t cap, count, first;
};

/* What all timelines of a registry may take. */
struct hb_timeline_budget {
    size_t used_bytes, most_bytes;
};

/* Never fails: what does not fit pushes out the oldest; without any room (no memory, budget spent) it is not kept. */
void hb_timeline_push(struct hb_timeline *timeline, struct hb_timeline_budget *budget,
                      const struct hb_transition *transition);
void hb_timeline_free(struct hb_timeline *timeline, struct hb_timeline_budget *budget);
/* 0 is the oldest. */
const struct hb_transition *hb_timeline_at(const struct hb_timeline *timeline, size_t place);
/* The whole seq of an entry; last_seq is that of the worker's last transition. */
uint64_t hb_timeline_seq(const struct hb_transition *transition, uint64_t last_seq);

#endif
