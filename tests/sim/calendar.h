/*
 * calendar: what will happen when, in whole milliseconds.
 *
 * A wheel of one list per millisecond; an event further away than one turn of the wheel stays in its list until its
 * turn has come. Adding and taking are O(1), and finding the next one is a walk over empty lists that a busy world
 * hardly ever does: this, not the registry, would otherwise be the cost of a simulated beat.
 *
 * Events 0 to fixed - 1 belong to the caller, one for each worker; the rest is a pool that grows.
 */
#ifndef HB_SIM_CALENDAR_H
#define HB_SIM_CALENDAR_H

#include <stddef.h>
#include <stdint.h>

#define CALENDAR_NONE (-1)

struct event {
    int64_t at;
    int32_t next;
    uint32_t worker;
    uint32_t life; /* of the worker when it was planned */
    uint16_t code;
    uint8_t kind;
    uint64_t socket;
};

struct calendar {
    struct event *events;
    int32_t *slots;
    int32_t ready_first, ready_last; /* due, in order */
    int32_t unused;
    int32_t fixed, cap;
    int64_t cursor; /* everything due by then is ready or taken */
};

void calendar_open(struct calendar *calendar, int32_t fixed, int64_t now);
void calendar_close(struct calendar *calendar);
void calendar_add_fixed(struct calendar *calendar, int32_t place, int64_t at);
void calendar_add(struct calendar *calendar, struct event event);
/* The time of the next event, or `until` if there is none before. */
int64_t calendar_advance(struct calendar *calendar, int64_t until);
/* An event that will probably happen at that time, soon, or CALENDAR_NONE: worth fetching from memory. */
int32_t calendar_foresee(const struct calendar *calendar, int64_t at);
/* The next event due at `now` or before, or CALENDAR_NONE. One of the pool is given back with calendar_drop. */
int32_t calendar_take(struct calendar *calendar, int64_t now);
void calendar_drop(struct calendar *calendar, int32_t place);

#endif
