/*
 * metrics_json: GET /metrics in JSON, one object per worker; PROTOCOL.md tells its members.
 *
 *   {"svc1":{"ready":true,"health":"healthy","uptime":12.5,"request_count":120,"error_count":3,"error_rate":0.025,
 *            "attributes":{"env":"prod"},"last_checked_age":1.25,…}}
 *
 * The first eight are what the small polling monitor in Go showed, and keep their types whatever is known: numbers are
 * 0 until the service has said more. Cost: about 0.4 microseconds for each worker.
 */
#ifndef HB_APP_METRICS_JSON_H
#define HB_APP_METRICS_JSON_H

#include "manager/app/metrics_scrape.h"

/* One worker of them, as `"id":{…}`. */
void hb_metrics_json_worker(struct hb_buf *json, const struct hb_scrape *scrape, const struct hb_worker *worker);

#endif
