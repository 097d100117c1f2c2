/*
 * fate: what befalls workers. Each has one misfortune after the other, of a kind and at a time that the seed draws.
 */
#ifndef HB_SIM_FATE_H
#define HB_SIM_FATE_H

#include "tests/sim/sim.h"

/* Its next misfortune happens now; draws the one after that. */
void fate_strike(struct sim *sim, uint32_t index);
int64_t fate_draw(struct sim *sim);

#endif
