/*
 * world: a manager and its ingest on a fake clock, and the promises about them that hold whatever a client sends.
 */
#ifndef HB_TESTS_FUZZ_WORLD_H
#define HB_TESTS_FUZZ_WORLD_H

#include "manager/app/ingest.h"

struct world {
    struct hb_manager *manager;
    struct hb_ingest *ingest;
    struct hb_decoder *decoder;
    struct hb_registry *registry;
    uint64_t checked; /* version of the mirror whose rows were found good */
};

void world_init(struct world *world, const struct hb_registry_rules *rules);
void world_free(struct world *world);
void world_pass(struct world *world, int64_t ms); /* time passes, and what is due expires */
void world_check(struct world *world);

#endif
