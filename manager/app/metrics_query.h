/*
 * metrics_query: what GET /metrics?format=&per_worker= asks for, strictly.
 */
#ifndef HB_APP_METRICS_QUERY_H
#define HB_APP_METRICS_QUERY_H

#include <stdbool.h>

#include "proto/base/buf.h"

enum hb_metrics_format { HB_METRICS_UNSAID, HB_METRICS_JSON, HB_METRICS_PROMETHEUS };

struct hb_metrics_query {
    enum hb_metrics_format format;
    bool per_worker_said, per_worker;
};

/* Adds one parameter, decoded: `format=json|prometheus`, `per_worker=0|1`, each at most once. A zeroed query says
 * nothing. HB_ERR_INVALID with one sentence. */
enum hb_err hb_metrics_query_add(struct hb_metrics_query *query, struct hb_text parameter,
                                 struct hb_buf *sentence) HB_MUST_CHECK;

#endif
