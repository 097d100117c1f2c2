/*
 * metrics_scrape: everything that one answer to GET /metrics is written from, gathered at one moment.
 */
#ifndef HB_APP_METRICS_SCRAPE_H
#define HB_APP_METRICS_SCRAPE_H

#include "manager/app/manager.h"
#include "manager/app/process_figures.h"

/* What the store counts; its adapter lends it. */
struct hb_redis_figures {
    bool up, in_step;
    uint64_t commands, batches, rows, events, failures, rewrites, bytes;
};

struct hb_scrape {
    struct hb_manager *manager; /* only read */
    hb_mono_ms now;             /* registry time */
    struct hb_process_figures process;
    int64_t process_start_ms; /* since 1970; -1 not known */
    struct hb_redis_figures redis;
    bool per_worker; /* Prometheus gets series of each worker too */
};

/* Workers lie all over the memory, and waiting for it would be most of a walk: asks for those to come. */
void hb_scrape_fetch_ahead(const struct hb_registry *registry, size_t place);
/* Milliseconds from then to now, never negative. */
int64_t hb_scrape_age_ms(const struct hb_scrape *scrape, hb_mono_ms then);

#endif
