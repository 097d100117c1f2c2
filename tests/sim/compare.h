/*
 * compare: where the registry and the model differ, in words.
 */
#ifndef HB_SIM_COMPARE_H
#define HB_SIM_COMPARE_H

#include "tests/sim/model.h"

#define HB_COMPARE_TEXT 256

/* worker: as hb_registry_find gives it, NULL when it is not visible. False: they differ, and `text` says how. */
bool hb_compare_worker(const struct hb_model_worker *model, const struct hb_worker *worker, char text[HB_COMPARE_TEXT]);
/* What one call of the registry told, against what it had to tell. */
bool hb_compare_effects(const struct hb_model_told *told, const struct hb_effects *effects, char text[HB_COMPARE_TEXT]);

#endif
