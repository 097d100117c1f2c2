/*
 * metrics_prometheus: GET /metrics as Prometheus' text: the manager's own figures, and series of each worker.
 * PROTOCOL.md names the families.
 *
 * Cost: one walk over all workers, for the gauges (0.2 ms for 10,000); about 0.7 microseconds for each one's series.
 */
#ifndef HB_APP_METRICS_PROMETHEUS_H
#define HB_APP_METRICS_PROMETHEUS_H

#include "manager/app/metrics_scrape.h"

void hb_metrics_prometheus_write(struct hb_buf *text, const struct hb_scrape *scrape);

/* heartbeat_worker_*, under construction (metrics_workers.c): add all workers, then join until it says false. */
struct hb_worker_series;

struct hb_worker_series *hb_worker_series_new(void);         /* NULL when out of memory */
void hb_worker_series_free(struct hb_worker_series *series); /* accepts NULL */
void hb_worker_series_add(struct hb_worker_series *series, const struct hb_scrape *scrape,
                          const struct hb_worker *worker);
/* Appends the next family, whose memory it gives back. False: there is none left. */
bool hb_worker_series_join(struct hb_worker_series *series, struct hb_buf *text);

#endif
