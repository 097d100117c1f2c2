#include "manager/io/http_metrics.h"

#include <stdlib.h>

#include "manager/app/exposition.h"
#include "manager/app/metrics_json.h"
#include "manager/app/metrics_prometheus.h"
#include "manager/app/metrics_query.h"
#include "manager/app/prometheus_targets.h"
#include "manager/io/http_accept.h"
#include "manager/io/http_head.h"

#define PARAMETER_BYTES 256 /* a longer one breaks its rule whatever it is */
#define SENTENCE_BYTES 512
#define ACCEPT_BYTES 4096

struct hb_http_metrics {
    struct hb_manager *manager;
    struct hb_redis_store *store;
    struct hb_documents *documents;
    struct hb_http_metrics_config config;
    int64_t process_start_ms;
};

struct hb_http_metrics *hb_http_metrics_new(struct hb_manager *manager, struct hb_redis_store *store,
                                            struct hb_documents *documents)
{
    struct hb_http_metrics *metrics = calloc(1, sizeof *metrics);

    if (metrics == NULL)
        return NULL;
    metrics->manager = manager;
    metrics->store = store;
    metrics->documents = documents;
    metrics->process_start_ms = hb_process_start_ms();
    return metrics;
}

void hb_http_metrics_configure(struct hb_http_metrics *metrics, const struct hb_http_metrics_config *config)
{
    metrics->config = *config;
}

void hb_http_metrics_free(struct hb_http_metrics *metrics)
{
    free(metrics);
}

/* ---- what is asked for ---- */

/* False: it broke a rule and was told so. */
static bool read_query(struct hb_exchange *exchange, struct hb_metrics_query *query)
{
    char text[PARAMETER_BYTES];
    struct hb_text parameter;
    struct hb_buf sentence;
    enum hb_err err = HB_OK;

    hb_buf_init(&sentence, SENTENCE_BYTES);
    for (int i = 0; err == HB_OK && hb_head_parameter(hb_exchange_wsi(exchange), i, text, sizeof text, &parameter);
         i++) {
        if (parameter.len > 0)
            err = hb_metrics_query_add(query, parameter, &sentence);
    }
    if (err != HB_OK)
        hb_exchange_answer_error(exchange, 422, NULL,
                                 hb_buf_status(&sentence) == HB_OK ? sentence.bytes : "query: not valid");
    hb_buf_free(&sentence);
    return err == HB_OK;
}

/*
 * Whether Prometheus' text is what is wanted: format= first, then what Accept gives more weight. OpenMetrics is not
 * spoken, but whoever names it is a scraper that understands text/plain too. No preference: the default.
 */
static bool wants_prometheus(const struct hb_http_metrics *metrics, const struct hb_exchange *exchange,
                             const struct hb_metrics_query *query)
{
    char value[ACCEPT_BYTES];
    struct hb_text accept = hb_head_value(hb_exchange_wsi(exchange), WSI_TOKEN_HTTP_ACCEPT, value, sizeof value);
    int json = hb_accept_weight(accept, "application/json");
    int text = hb_accept_weight(accept, "text/plain");
    int openmetrics = hb_accept_named_weight(accept, "application/openmetrics-text");

    if (query->format != HB_METRICS_UNSAID)
        return query->format == HB_METRICS_PROMETHEUS;
    text = openmetrics > text ? openmetrics : text;
    return text == json ? metrics->config.default_prometheus : text > json;
}

/* ---- answers ---- */

static struct hb_redis_figures redis_figures(const struct hb_http_metrics *metrics)
{
    const struct hb_redis_store_counters *counters = metrics->config.redis;
    enum hb_redis_state state = hb_redis_store_state(metrics->store);
    struct hb_redis_figures figures = {.up = state != HB_REDIS_AWAY, .in_step = state == HB_REDIS_IN_STEP};

    if (counters == NULL)
        return figures;
    figures.commands = counters->commands;
    figures.batches = counters->batches;
    figures.rows = counters->rows;
    figures.events = counters->events;
    figures.failures = counters->failures;
    figures.rewrites = counters->rewrites;
    figures.bytes = counters->bytes;
    return figures;
}

static struct hb_scrape gather(const struct hb_http_metrics *metrics, const struct hb_metrics_query *query)
{
    return (struct hb_scrape){
        .manager = metrics->manager,
        .now = hb_manager_registry_time(metrics->manager, hb_mono_now()),
        .process = hb_process_figures_read(),
        .process_start_ms = metrics->process_start_ms,
        .redis = redis_figures(metrics),
        .per_worker = query->per_worker_said ? query->per_worker : metrics->config.per_worker,
    };
}

void hb_http_metrics_answer(struct hb_http_metrics *metrics, struct hb_exchange *exchange)
{
    struct hb_metrics_query query = {0};
    struct hb_scrape scrape;
    struct hb_buf bytes;

    if (!read_query(exchange, &query) || hb_documents_refuse(metrics->documents, exchange))
        return;
    scrape = gather(metrics, &query);
    hb_buf_init(&bytes, SIZE_MAX / 2);
    if (wants_prometheus(metrics, exchange, &query)) {
        hb_metrics_prometheus_write(&bytes, &scrape);
        hb_documents_answer_fresh(metrics->documents, exchange, &bytes, HB_EXPOSITION_TYPE);
    } else {
        hb_metrics_json_write(&bytes, &scrape);
        hb_documents_answer_fresh(metrics->documents, exchange, &bytes, NULL);
    }
}

void hb_http_targets_answer(struct hb_http_metrics *metrics, struct hb_exchange *exchange)
{
    struct hb_buf json;

    if (hb_documents_refuse(metrics->documents, exchange))
        return;
    hb_buf_init(&json, SIZE_MAX / 2);
    hb_prometheus_targets_write(&json, hb_manager_registry(metrics->manager));
    hb_documents_answer_fresh(metrics->documents, exchange, &json, NULL);
}
