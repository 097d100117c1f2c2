/*
 * restart: the manager's lives. Between two of them it is down for a while; what it reads at the start of the next is
 * what its rows were at the end of the last, or nothing at all when Redis has lost them.
 *
 * With a store, the real one reads them, from whatever became of Redis meanwhile.
 *
 *      up ──draw──► down (0.1 to 30 s) ──► up, empty ──rows, a page per turn, while workers come back──► up
 */
#ifndef HB_SIM_RESTART_H
#define HB_SIM_RESTART_H

#include "tests/sim/sim.h"

void restart_open(struct sim *sim); /* the first life */
void restart_close(struct sim *sim);
void restart_turn(struct sim *sim);
bool restart_is_loading(const struct sim *sim); /* it is up, and has not read all its rows */

#endif
