/*
 * witness: sees every call of the registry, whoever makes it, and holds it against the model and against what the world
 * knows.
 *
 * The linker sends hb_registry_step, _expire, _skew and _set_restoring through it (see CMakeLists.txt). What it
 * demands:
 *
 *   each call tells what the model tells, and leaves the worker as the model has it
 *   nothing happens by time before its deadline, and nothing later than one tick after it
 *   nobody is given up who was heard within its timeout, by the world's own knowledge: a false down
 *   for each listener, down and recovery alternate, and down follows up
 *   each transition takes the next seq; a refused allocation changes nothing
 *   one entry among the deadlines for each worker, no later than the model's
 */
#ifndef HB_SIM_WITNESS_H
#define HB_SIM_WITNESS_H

#include "tests/sim/sim.h"

void witness_open(struct sim *sim);
/* A new manager that knows nobody. */
void witness_new_life(struct sim *sim);
/* Looks at all workers: is any of them overdue, is any unlike its model? */
void witness_overdue(struct sim *sim);
void witness_compare_all(struct sim *sim);

#endif
