/*
 * shell: what manager/io/loop.c and the libuv under it do, on simulated time.
 *
 *      timers (all that are due) ──► prepare (arm the deadline) ──► wait for the next timer or packet ──► packets
 *
 * Kept in step with loop.c by hand: on_deadline, expire_until and arm_deadline there are those of the same name here,
 * with the same constants from loop.h. Left out is the gathering of beats under load, which only makes turns rarer by 2
 * ms.
 */
#ifndef HB_SIM_SHELL_H
#define HB_SIM_SHELL_H

#include "tests/sim/sim.h"

void shell_open(struct sim *sim);
void shell_close(struct sim *sim);
/* Until sim->end, or until something broke. */
void shell_run(struct sim *sim);

/* An input from the world, retried while memory is short, as a client would. */
enum hb_err shell_apply(struct sim *sim, const struct hb_input *input);
bool shell_is_up(const struct sim *sim);

#endif
