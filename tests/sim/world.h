/*
 * world: the workers as they really are, and the network between them and the manager.
 *
 * What a worker sends is an event at the moment of its arrival; the shell takes it when it looks at its sockets, which
 * may be later. A worker's beats go on by their own clock whatever happens to the manager.
 */
#ifndef HB_SIM_WORLD_H
#define HB_SIM_WORLD_H

#include "tests/sim/sim.h"

#define SIM_RECONNECT_MAX_MS 5000

enum event_kind {
    EVENT_BEAT,       /* of the metronome: the worker's own event */
    EVENT_CONNECT,    /* it tries to */
    EVENT_FIRST_BEAT, /* on a new socket */
    EVENT_CLOSED,     /* its socket's end arrives at the manager */
    EVENT_LATE_BEAT,  /* on a socket that is not its own any more */
    EVENT_NOTICE,     /* it learns that the manager has closed its socket */
    EVENT_START,      /* its process starts again */
    EVENT_THAW,
    EVENT_LOSE,      /* its connection breaks */
    EVENT_TAKE_OVER, /* another socket for the same id */
    EVENT_OPERATOR,  /* ends its maintenance, or renews it: code in seconds */
};

void world_open(struct sim *sim);
void world_close(struct sim *sim);

/* One packet, or whatever else was due; at most those that have arrived by now. False: there is none. */
bool world_read(struct sim *sim);
/* The manager closes a socket. */
void world_closed(struct sim *sim, uint64_t socket, uint16_t code);
/* The manager has died, and all its sockets with it. */
void world_manager_died(struct sim *sim);

/* When something of it was delivered last that the manager had to count, read or not: a beat, or a socket too. */
int64_t world_heard(const struct sim *sim, uint32_t index, bool beats_only);

/* For fates. */
void world_plan(struct sim *sim, uint32_t index, enum event_kind kind, int64_t delay_ms);
void world_plan_socket(struct sim *sim, uint32_t index, enum event_kind kind, int64_t delay_ms, uint64_t socket,
                       uint16_t code);
void world_stop(struct sim *sim, uint32_t index, int64_t away_ms); /* its process ends, and starts again later */
void world_beat(struct sim *sim, uint32_t index, uint64_t socket, enum hb_beat_kind kind, int64_t at);
void world_register(struct sim *sim, uint32_t index);

#endif
