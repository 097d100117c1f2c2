#include "tests/sim/calendar.h"

#include <stdio.h>
#include <stdlib.h>

#define SLOTS 65536

static void *need(void *memory)
{
    if (memory == NULL) {
        fputs("sim: out of memory\n", stderr);
        exit(70);
    }
    return memory;
}

void calendar_open(struct calendar *calendar, int32_t fixed, int64_t now)
{
    *calendar = (struct calendar){.fixed = fixed, .cap = fixed, .cursor = now};
    calendar->slots = need(malloc(SLOTS * sizeof *calendar->slots));
    calendar->events = need(calloc((size_t)fixed, sizeof *calendar->events));
    for (int32_t i = 0; i < SLOTS; i++)
        calendar->slots[i] = CALENDAR_NONE;
    calendar->ready_first = calendar->ready_last = calendar->unused = CALENDAR_NONE;
}

void calendar_close(struct calendar *calendar)
{
    free(calendar->slots);
    free(calendar->events);
}

static void push_ready(struct calendar *calendar, int32_t place)
{
    calendar->events[place].next = CALENDAR_NONE;
    if (calendar->ready_first == CALENDAR_NONE)
        calendar->ready_first = place;
    else
        calendar->events[calendar->ready_last].next = place;
    calendar->ready_last = place;
}

void calendar_add_fixed(struct calendar *calendar, int32_t place, int64_t at)
{
    struct event *event = &calendar->events[place];
    int32_t *slot = &calendar->slots[at % SLOTS];

    event->at = at;
    if (at <= calendar->cursor) {
        push_ready(calendar, place);
        return;
    }
    event->next = *slot;
    *slot = place;
}

static int32_t unused(struct calendar *calendar)
{
    int32_t place = calendar->unused;

    if (place == CALENDAR_NONE) {
        int32_t cap = calendar->cap + calendar->cap / 2 + 64;

        calendar->events = need(realloc(calendar->events, (size_t)cap * sizeof *calendar->events));
        for (place = cap - 1; place >= calendar->cap; place--)
            calendar_drop(calendar, place);
        calendar->cap = cap;
        place = calendar->unused;
    }
    calendar->unused = calendar->events[place].next;
    return place;
}

void calendar_add(struct calendar *calendar, struct event event)
{
    int32_t place = unused(calendar);

    calendar->events[place] = event;
    calendar_add_fixed(calendar, place, event.at);
}

void calendar_drop(struct calendar *calendar, int32_t place)
{
    calendar->events[place].next = calendar->unused;
    calendar->unused = place;
}

/* Takes what is due out of the cursor's list; what waits for another turn of the wheel stays. */
static void collect(struct calendar *calendar)
{
    int32_t *link = &calendar->slots[calendar->cursor % SLOTS];

    while (*link != CALENDAR_NONE) {
        int32_t place = *link;

        if (calendar->events[place].at > calendar->cursor) {
            link = &calendar->events[place].next;
            continue;
        }
        *link = calendar->events[place].next;
        push_ready(calendar, place);
    }
}

int64_t calendar_advance(struct calendar *calendar, int64_t until)
{
    while (calendar->ready_first == CALENDAR_NONE && calendar->cursor < until) {
        calendar->cursor++;
        collect(calendar);
    }
    return calendar->ready_first != CALENDAR_NONE ? calendar->events[calendar->ready_first].at : until;
}

int32_t calendar_foresee(const struct calendar *calendar, int64_t at)
{
    return calendar->slots[at % SLOTS];
}

int32_t calendar_take(struct calendar *calendar, int64_t now)
{
    int32_t place;

    calendar_advance(calendar, now);
    place = calendar->ready_first;
    if (place != CALENDAR_NONE)
        calendar->ready_first = calendar->events[place].next;
    return place;
}
