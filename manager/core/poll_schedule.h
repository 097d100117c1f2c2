/*
 * poll_schedule: which target is to be polled when, and how many at a time.
 *
 *   waiting (in the heap, by when it is due) ──take──► under way (ticket) ──done──► waiting
 *
 * Each target has its turn once per interval, at a phase of its own within it, so that many targets spread evenly; a
 * new one is polled at once besides. There is no backlog: who is late is polled once, at once, and next at its next
 * turn. A target that starts to differ from its verdict is looked at again after the fast interval. Never are two polls
 * of one target under way, never more than `concurrency` in all. Targets that are known to be down, and take their time
 * to say nothing, get at most every fourth place while others are due: they must not keep those waiting.
 *
 * Times are registry time. Cost: O(log n) for each poll, 80 bytes for each target.
 */
#ifndef HB_CORE_POLL_SCHEDULE_H
#define HB_CORE_POLL_SCHEDULE_H

#include <stdbool.h>

#include "proto/base/heap.h"
#include "proto/base/time.h"

struct hb_worker;

/* What polling knows of one worker: allocated for those that are polled. */
struct hb_poll_target {
    struct hb_heap_node due; /* the first member; outside the heap while under way */
    struct hb_worker *worker;
    uint64_t ticket;     /* of the poll under way; 0 none */
    hb_mono_ms begun;    /* when its last poll began */
    uint32_t phase;      /* spreads targets over the interval: any number, the same for the same id */
    uint32_t latency_us; /* of the last poll */
    hb_mono_ms checked;  /* when the last poll ended; HB_MONO_NEVER: never polled */
    int64_t uptime_ms;   /* as the service last said; -1 never */
    bool down;           /* its verdict: it waits behind the others */
    uint16_t code;       /* HTTP status of the last poll; 0: no answer */
    uint8_t outcome;     /* enum hb_poll_outcome of the last poll */
    uint8_t fails;       /* polls in a row that were not ready, and in a row that were; each stays at 255 */
    uint8_t passes;
    bool outdated;  /* the poll under way asks an address that is no longer its own: the answer means nothing */
    uint8_t silent; /* polls in a row without any HTTP answer; stays at 255 */
};

struct hb_poll_schedule {
    struct hb_heap waiting; /* but for those that are down */
    struct hb_heap down;
    uint64_t last_ticket;
    uint32_t under_way, concurrency;
};

void hb_poll_schedule_init(struct hb_poll_schedule *schedule, uint32_t concurrency);
void hb_poll_schedule_free(struct hb_poll_schedule *schedule); /* targets are their owners' */

/* A new target, due at once. HB_ERR_NO_MEMORY: it is not in. */
enum hb_err hb_poll_schedule_add(struct hb_poll_schedule *schedule, struct hb_poll_target *target,
                                 hb_mono_ms now) HB_MUST_CHECK;
/* It is to be polled at once, whatever was planned; nothing happens to one whose poll is under way. */
void hb_poll_schedule_hasten(struct hb_poll_schedule *schedule, struct hb_poll_target *target, hb_mono_ms now);
/* No longer a target. A poll of it that is under way counts until hb_poll_schedule_ended. */
void hb_poll_schedule_remove(struct hb_poll_schedule *schedule, struct hb_poll_target *target);

/* The target that is due first, now under way with a ticket; NULL: none is due, or enough are under way. */
struct hb_poll_target *hb_poll_schedule_take(struct hb_poll_schedule *schedule, hb_mono_ms now);
/* A poll has ended: its place is free. Exactly once for each that was taken, whatever became of its target. */
void hb_poll_schedule_ended(struct hb_poll_schedule *schedule);
/* Puts a target whose poll has ended back: after fast_ms, or, when that is 0, at its next turn. Its `down` counts. */
void hb_poll_schedule_again(struct hb_poll_schedule *schedule, struct hb_poll_target *target, int64_t interval_ms,
                            int64_t fast_ms, hb_mono_ms now);

/* When hb_poll_schedule_take may give the next one; HB_MONO_NEVER: not before a poll ends or a target is added. */
hb_mono_ms hb_poll_schedule_next(const struct hb_poll_schedule *schedule);

#endif
