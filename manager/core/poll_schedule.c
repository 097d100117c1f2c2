#include "manager/core/poll_schedule.h"

#define SLOT_MS 16
#define SLOTS_LEAST 64
#define DOWN_SHARE 4

static struct hb_heap *heap_of(struct hb_poll_schedule *schedule, const struct hb_poll_target *target)
{
    return target->down ? &schedule->down : &schedule->waiting;
}

void hb_poll_schedule_init(struct hb_poll_schedule *schedule, uint32_t concurrency)
{
    *schedule = (struct hb_poll_schedule){.concurrency = concurrency};
    hb_heap_init(&schedule->waiting);
    hb_heap_init(&schedule->down);
}

void hb_poll_schedule_free(struct hb_poll_schedule *schedule)
{
    hb_heap_free(&schedule->waiting);
    hb_heap_free(&schedule->down);
}

enum hb_err hb_poll_schedule_add(struct hb_poll_schedule *schedule, struct hb_poll_target *target, hb_mono_ms now)
{
    /* Room for every target in either heap: they change sides, and that must not fail. */
    uint32_t count = schedule->waiting.count + schedule->down.count + schedule->under_way + 1;
    enum hb_err err = hb_heap_reserve(&schedule->waiting, count);

    if (err == HB_OK)
        err = hb_heap_reserve(&schedule->down, count);
    if (err != HB_OK)
        return err;
    target->due.place = HB_HEAP_OUTSIDE;
    target->ticket = 0;
    target->checked = HB_MONO_NEVER;
    target->down = false;
    hb_heap_set(&schedule->waiting, &target->due, now.ms);
    return HB_OK;
}

void hb_poll_schedule_hasten(struct hb_poll_schedule *schedule, struct hb_poll_target *target, hb_mono_ms now)
{
    if (target->ticket == 0)
        hb_heap_set(heap_of(schedule, target), &target->due, now.ms);
}

void hb_poll_schedule_remove(struct hb_poll_schedule *schedule, struct hb_poll_target *target)
{
    hb_heap_remove(heap_of(schedule, target), &target->due);
    target->ticket = 0;
}

static bool is_due(const struct hb_heap *heap, hb_mono_ms now)
{
    const struct hb_heap_node *node = hb_heap_min(heap);

    return node != NULL && node->key <= now.ms;
}

struct hb_poll_target *hb_poll_schedule_take(struct hb_poll_schedule *schedule, hb_mono_ms now)
{
    bool others = is_due(&schedule->waiting, now);
    bool down = is_due(&schedule->down, now) && (!others || schedule->last_ticket % DOWN_SHARE == 0);
    struct hb_heap *heap = down ? &schedule->down : &schedule->waiting;
    struct hb_poll_target *target = (struct hb_poll_target *)hb_heap_min(heap); /* its first member */

    if ((!others && !down) || schedule->under_way >= schedule->concurrency)
        return NULL;
    hb_heap_remove(heap, &target->due);
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
    hb_heap_set(heap_of(schedule, target), &target->due, turn);
}

hb_mono_ms hb_poll_schedule_next(const struct hb_poll_schedule *schedule)
{
    const struct hb_heap_node *first = hb_heap_min(&schedule->waiting);
    const struct hb_heap_node *down = hb_heap_min(&schedule->down);
    hb_mono_ms next = first != NULL ? (hb_mono_ms){first->key} : HB_MONO_NEVER;

    if (schedule->under_way >= schedule->concurrency)
        return HB_MONO_NEVER;
    return down != NULL ? hb_mono_earlier(next, (hb_mono_ms){down->key}) : next;
}
