/*
 * metrics_prometheus: GET /metrics as Prometheus' text: the manager's own figures, and with per_worker series of each
 * worker. PROTOCOL.md names the families.
 *
 * Cost: one walk over all workers, for the gauges; about 0.5 microseconds for each of them with per_worker.
 */
#ifndef HB_APP_METRICS_PROMETHEUS_H
#define HB_APP_METRICS_PROMETHEUS_H

#include "manager/app/metrics_scrape.h"

void hb_metrics_prometheus_write(struct hb_buf *text, const struct hb_scrape *scrape);

/* The series of each worker, heartbeat_worker_*: the second half of it (metrics_workers.c). */
void hb_metrics_workers_write(struct hb_buf *text, const struct hb_scrape *scrape);

#endif
