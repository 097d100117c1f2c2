/*
 * redis_client: the connection to the simulated Redis, in the place of redis_link.c.
 *
 * A command is executed after a while and its answer arrives after another; a connection may break before, between and
 * after, and what was sent on it may then be executed all the same, at once or seconds later.
 */
#ifndef HB_SIM_REDIS_CLIENT_H
#define HB_SIM_REDIS_CLIENT_H

#include "tests/sim/sim.h"

void client_open(struct sim *sim);
void client_close(void);
int64_t client_next(void); /* when something is to be done; INT64_MAX: nothing */
void client_run(void);     /* everything that is due */
bool client_is_idle(void); /* nobody waits for an answer */
void client_report(void);

#endif
