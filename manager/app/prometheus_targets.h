/*
 * prometheus_targets: GET /sd/prometheus, the workers as Prometheus' HTTP service discovery wants them.
 *
 *   [{"targets":["10.1.2.3:8001"],"labels":{"worker_id":"w1","worker_name":"Worker
 * 1","__meta_heartbeat_status":"alive",…}}]
 *
 * One group for each worker that has an address: host and port, else those of its url (http and https only). Labels
 * that begin with __ are for relabelling and end there; worker_id and worker_name stay on the series.
 */
#ifndef HB_APP_PROMETHEUS_TARGETS_H
#define HB_APP_PROMETHEUS_TARGETS_H

#include "manager/core/registry.h"
#include "proto/base/buf.h"

/* The group of one worker, behind `before`. False: it has no address, and nothing was written. */
bool hb_prometheus_target_write(struct hb_buf *json, const char *before, const struct hb_worker *worker);

/*
 * Appends `"__meta_heartbeat_attribute_<name>":"<value>"` for each pair, each behind a comma. In names, what a label
 * may not have becomes an underscore; of names that are then alike the first counts. attributes: a compact object of
 * plain values, as workers hold it; NULL for none.
 */
void hb_prometheus_attributes_write(struct hb_buf *json, const char *attributes);

#endif
