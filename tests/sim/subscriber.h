/*
 * subscriber: reads the stream and hears the channels, and says what should not have been said.
 *
 *   every transition stands in the stream once, in order; what is missing was told as lost by a reset
 *   nothing is told of a state that is not stored
 *   of each worker, down and recovery alternate
 *
 * What Redis itself has lost, emptied or restored from an older copy, a subscriber cannot hold against the manager.
 */
#ifndef HB_SIM_SUBSCRIBER_H
#define HB_SIM_SUBSCRIBER_H

#include "tests/sim/sim.h"

void subscriber_open(struct sim *sim);
void subscriber_close(void);
void subscriber_read(struct sim *sim, struct hb_text event);                         /* XADD */
void subscriber_hear(struct sim *sim, struct hb_text channel, struct hb_text event); /* PUBLISH */
/* Redis has lost something: the stream may repeat itself, and rows say less than was told. */
void subscriber_set_back(struct sim *sim);
/*
 * A batch of an earlier life was executed late, when the next one had begun and had not yet written anything itself:
 * nothing can fence that one off, and it may have read the rows before or after.
 */
void subscriber_late_batch(struct sim *sim);
/* A manager begins its life: from here on what the hash says was announced counts. */
void subscriber_new_life(struct sim *sim);
uint64_t subscriber_missing(void); /* events that are missing and not told yet */
void subscriber_report(void);

/* What a row says was announced: enum hb_announced. */
uint8_t subscriber_announced(struct hb_text row);

#endif
