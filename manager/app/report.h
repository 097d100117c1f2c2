/*
 * report: one long answer under construction, worker by worker in the order of ids, so that it can be made in many
 * short turns of the loop. A worker that comes or goes meanwhile is in it or not; none is in it twice.
 */
#ifndef HB_APP_REPORT_H
#define HB_APP_REPORT_H

#include "manager/app/metrics_scrape.h"

enum hb_report_kind {
    HB_REPORT_JSON,       /* GET /metrics, by metrics_json */
    HB_REPORT_PROMETHEUS, /* GET /metrics, by metrics_prometheus */
    HB_REPORT_TARGETS,    /* GET /sd/prometheus, by prometheus_targets */
};

struct hb_report;

/*
 * Keeps a copy of the scrape; its manager must outlive the report. NULL when out of memory. For Prometheus it counts
 * all workers in one go: to be made when its turn comes, not when it is asked for.
 */
struct hb_report *hb_report_new(enum hb_report_kind kind, const struct hb_scrape *scrape);
void hb_report_free(struct hb_report *report); /* accepts NULL */

/* Goes on by at most so many workers. False: it is finished. */
bool hb_report_go_on(struct hb_report *report, size_t most);
/* The finished bytes, whose status tells of failure; still the report's. */
struct hb_buf *hb_report_bytes(struct hb_report *report);

#endif
