#include "manager/core/timeline.h"

#include <stdlib.h>

#define FIRST_CAP 3 /* registered, connected, alive */

static uint8_t next_cap(uint8_t cap)
{
    if (cap == 0)
        return FIRST_CAP;
    return cap > HB_TIMELINE_MAX / 2 ? HB_TIMELINE_MAX : (uint8_t)(2 * cap);
}

/* A wider ring, its items in order from the start. False: it stays as it is. */
static bool grow(struct hb_timeline *timeline, struct hb_timeline_budget *budget)
{
    uint8_t cap = next_cap(timeline->cap);
    size_t more_bytes = (size_t)(cap - timeline->cap) * sizeof *timeline->items;
    struct hb_transition *items;

    if (timeline->cap == HB_TIMELINE_MAX || budget->used_bytes + more_bytes > budget->most_bytes)
        return false;
    items = malloc(cap * sizeof *items);
    if (items == NULL)
        return false;
    for (size_t i = 0; i < timeline->count; i++)
        items[i] = *hb_timeline_at(timeline, i);
    free(timeline->items);
    timeline->items = items;
    timeline->cap = cap;
    timeline->first = 0;
    budget->used_bytes += more_bytes;
    return true;
}

void hb_timeline_push(struct hb_timeline *timeline, struct hb_timeline_budget *budget,
                      const struct hb_transition *transition)
{
    if (timeline->count == timeline->cap && !grow(timeline, budget)) {
        if (timeline->cap == 0)
            return;
        timeline->first = (uint8_t)((timeline->first + 1) % timeline->cap);
        timeline->count--;
    }
    timeline->items[(timeline->first + timeline->count) % timeline->cap] = *transition;
    timeline->count++;
}

void hb_timeline_free(struct hb_timeline *timeline, struct hb_timeline_budget *budget)
{
    budget->used_bytes -= timeline->cap * sizeof *timeline->items;
    free(timeline->items);
    *timeline = (struct hb_timeline){0};
}

const struct hb_transition *hb_timeline_at(const struct hb_timeline *timeline, size_t place)
{
    return &timeline->items[(timeline->first + place) % timeline->cap];
}

uint64_t hb_timeline_seq(const struct hb_transition *transition, uint64_t last_seq)
{
    return last_seq - (uint32_t)((uint32_t)last_seq - transition->seq_low);
}
