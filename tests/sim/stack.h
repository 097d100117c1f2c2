/*
 * stack: the whole manager on simulated time: the real manager, mirror, outbox and store, over a libuv
 * (uv_simulated.c), a connection (redis_client.c) and a Redis (redis_server.c) that are put in their places by the
 * linker.
 */
#ifndef HB_SIM_STACK_H
#define HB_SIM_STACK_H

#include "tests/sim/sim.h"

void stack_open(struct sim *sim);
void stack_close(struct sim *sim);

void stack_begin_life(struct sim *sim);
/* It asks for a graceful end; false: it is killed, and over at once. */
bool stack_end_life(struct sim *sim, bool graceful);
bool stack_has_ended(struct sim *sim);
bool stack_is_loaded(const struct sim *sim);

enum hb_err stack_apply(struct sim *sim, const struct hb_input *input);
void stack_expire(struct sim *sim, unsigned most);
void stack_stalled(struct sim *sim, int64_t gap_ms);

/* The parts of a turn that are not the deadline's. */
void stack_begin_turn(const struct sim *sim); /* the loop reads its clock */
int64_t stack_next_timer(void);
void stack_run_timer(void);
void stack_prepare(struct sim *sim);
int64_t stack_next_packet(const struct sim *sim);
void stack_read(struct sim *sim);

/* Whether Redis has what memory has, when there was time enough. */
void stack_look(struct sim *sim);
void stack_report(const struct sim *sim);

#endif
