#include "manager/app/metrics_scrape.h"

#define AHEAD_WORKER 16
#define AHEAD_TEXTS 8

void hb_scrape_fetch_ahead(const struct hb_registry *registry, size_t place)
{
    const struct hb_worker *worker;

    if (place + AHEAD_WORKER >= hb_registry_count(registry))
        return;
    worker = hb_registry_at(registry, place + AHEAD_WORKER);
    __builtin_prefetch(&worker->last_contact);
    __builtin_prefetch(&worker->name);
    __builtin_prefetch(&worker->status);
    worker = hb_registry_at(registry, place + AHEAD_TEXTS);
    __builtin_prefetch(worker->name);
    __builtin_prefetch(worker->attributes);
    __builtin_prefetch(worker->poll);
}

int64_t hb_scrape_age_ms(const struct hb_scrape *scrape, hb_mono_ms then)
{
    int64_t age_ms = hb_mono_between(then, scrape->now);

    return age_ms > 0 ? age_ms : 0;
}
