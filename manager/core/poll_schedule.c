#include "manager/core/poll_schedule.h"

#define SLOT_MS 16
#define SLOTS_LEAST 64

void hb_poll_schedule_init(struct hb_poll_schedule *schedule, uint32_t concurrency)
{
    *schedule = (struct hb_poll_schedule){.concurrency = concurrency};
    hb_heap_init(&schedule->waiting);
}

void hb_poll_schedule_free(struct hb_poll_schedule *schedule)
{
    hb_heap_free(&schedule->waiting);
}

enum hb_err hb_poll_schedule_add(struct hb_poll_schedule *schedule, struct hb_poll_target *target, hb_mono_ms now)
{
    /* Room for those under way too: they come back, and that must not fail. */
    enum hb_err err = hb_heap_reserve(&schedule->waiting, schedule->waiting.count + schedule->under_way + 1);

    if (err != HB_OK)
        return err;
    target->due.place = HB_HEAP_OUTSIDE;
    target->ticket = 0;
    target->checked = HB_MONO_NEVER;
    hb_heap_set(&schedule->waiting, &target->due, now.ms);
    return HB_OK;
}

void hb_poll_schedule_hasten(struct hb_poll_schedule *schedule, struct hb_poll_target *target, hb_mono_ms now)
{
    if (target->ticket == 0)
        hb_heap_set(&schedule->waiting, &target->due, now.ms);
}

void hb_poll_schedule_remove(struct hb_poll_schedule *schedule, struct hb_poll_target *target)
{
    hb_heap_remove(&schedule->waiting, &target->due);
    target->ticket = 0;
}

struct hb_poll_target *hb_poll_schedule_take(struct hb_poll_schedule *schedule, hb_mono_ms now)
{
    struct hb_heap_node *node = hb_heap_min(&schedule->waiting);
    struct hb_poll_target *target = (struct hb_poll_target *)node; /* its first member */

    if (node == NULL || node->key > now.ms || schedule->under_way >= schedule->concurrency)
        return NULL;
    hb_heap_remove(&schedule->waiting, node);
    target->ticket = ++schedule->last_ticket;
    target->begun = now;
    schedule->under_way++;
    return target;
}

void hb_poll_schedule_ended(struct hb_poll_schedule *schedule)
{
    schedule->under_way--;
}

/*
 * Where in its interval the target's turns are: rounded down to slots, so that polls begin a few at a time. Waking up
 * for each one alone costs a third more than the poll itself. An interval has at least 64 slots, so short ones stay
 * spread.
 */
static int64_t phase_ms_of(const struct hb_poll_target *target, int64_t interval_ms)
{
    int64_t phase_ms = (int64_t)(((uint64_t)target->phase * (uint64_t)interval_ms) >> 32);
    int64_t slot_ms = interval_ms / SLOTS_LEAST < SLOT_MS ? interval_ms / SLOTS_LEAST : SLOT_MS;

    return slot_ms > 1 ? phase_ms - phase_ms % slot_ms : phase_ms;
}

/*
 * The first moment after its last poll began that lies a whole number of intervals and the target's phase from zero. If
 * that poll took longer, it is over already: then the next is late, and due at once.
 */
static int64_t next_turn(const struct hb_poll_target *target, int64_t interval_ms)
{
    int64_t beyond = (target->begun.ms - phase_ms_of(target, interval_ms)) % interval_ms;

    if (beyond < 0)
        beyond += interval_ms;
    return target->begun.ms + interval_ms - beyond;
}

void hb_poll_schedule_again(struct hb_poll_schedule *schedule, struct hb_poll_target *target, int64_t interval_ms,
                            int64_t fast_ms, hb_mono_ms now)
{
    int64_t turn = next_turn(target, interval_ms);

    target->ticket = 0;
    if (fast_ms > 0 && now.ms + fast_ms < turn)
        turn = now.ms + fast_ms;
    hb_heap_set(&schedule->waiting, &target->due, turn);
}

hb_mono_ms hb_poll_schedule_next(const struct hb_poll_schedule *schedule)
{
    const struct hb_heap_node *node = hb_heap_min(&schedule->waiting);

    if (node == NULL || schedule->under_way >= schedule->concurrency)
        return HB_MONO_NEVER;
    return (hb_mono_ms){node->key};
}
