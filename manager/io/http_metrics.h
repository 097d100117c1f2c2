/*
 * http_metrics: GET /metrics and GET /sd/prometheus.
 *
 * Built per request: figures are new each time. Where there are many workers, a few thousand in each turn of the loop,
 * one answer after the other, with the figures of when its first turn comes. Compressing large ones is the thread
 * pool's, as for all documents.
 *
 * Ceilings: that of all documents, looked at when asked and again at the first turn, so that those who wait hold
 * nothing and cannot all pass it; and 64 that wait or are being made. Beyond either 503 with Retry-After.
 */
#ifndef HB_IO_HTTP_METRICS_H
#define HB_IO_HTTP_METRICS_H

#include "manager/app/manager.h"
#include "manager/app/work_port.h"
#include "manager/io/http_document.h"
#include "manager/io/redis_store.h"

struct hb_http_metrics;

struct hb_http_metrics_config {
    bool default_prometheus; /* METRICS_DEFAULT_FORMAT */
    bool per_worker;         /* METRICS_PER_WORKER */
    /* What the store counts, kept up by it and alive as long as this; NULL: zeros are shown. */
    const struct hb_redis_store_counters *redis;
    struct hb_work_port work; /* begin NULL: answers are made in one go */
};

/* All must outlive it. Until configured: JSON, nothing per worker. NULL when out of memory. */
struct hb_http_metrics *hb_http_metrics_new(struct hb_manager *manager, struct hb_redis_store *store,
                                            struct hb_documents *documents);
void hb_http_metrics_configure(struct hb_http_metrics *metrics, const struct hb_http_metrics_config *config);
void hb_http_metrics_free(struct hb_http_metrics *metrics); /* accepts NULL */

void hb_http_metrics_answer(struct hb_http_metrics *metrics, struct hb_exchange *exchange);
void hb_http_targets_answer(struct hb_http_metrics *metrics, struct hb_exchange *exchange);

#endif
