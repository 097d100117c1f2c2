#include "manager/io/http_metrics.h"

#include <stdlib.h>

#include "manager/app/exposition.h"
#include "manager/app/list.h"
#include "manager/app/metrics_query.h"
#include "manager/app/report.h"
#include "manager/io/http_accept.h"
#include "manager/io/http_head.h"

#define PARAMETER_BYTES 256 /* a longer one breaks its rule whatever it is */
#define SENTENCE_BYTES 512
#define ACCEPT_BYTES 4096
#define TURN_WORKERS 4000 /* visited in one turn of the loop: 2 to 4 ms */
#define ANSWERS_MAX 64    /* who comes then would wait for a second and more */

/* What to make. */
struct wish {
    enum hb_report_kind kind;
    bool per_worker;
};

/* An answer that is being made, turn by turn, or waits for its turns. */
struct answer {
    struct hb_link link; /* the first member */
    struct hb_http_metrics *metrics;
    struct hb_exchange *exchange;
    struct wish wish;
    struct hb_report *report; /* NULL: its first turn has not come, and it holds nothing */
};

struct hb_http_metrics {
    struct hb_manager *manager;
    struct hb_redis_store *store;
    struct hb_documents *documents;
    struct hb_http_metrics_config config;
    int64_t process_start_ms;
    struct hb_link answers; /* the first one is being made */
    unsigned answer_count;
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
    hb_link_init(&metrics->answers);
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

/* The more welcome of the two by name: OpenMetrics is not spoken, but who names it understands text/plain as well. */
static int named_text_weight(struct hb_text accept)
{
    int plain = hb_accept_named_weight(accept, "text/plain");
    int openmetrics = hb_accept_named_weight(accept, "application/openmetrics-text");

    return openmetrics > plain ? openmetrics : plain;
}

/* What Accept gives more weight; where that is equal what it names, JSON first; where it names neither, the default. */
static bool accepts_prometheus(struct hb_text accept, bool default_prometheus)
{
    int named_json = hb_accept_named_weight(accept, "application/json");
    int named_text = named_text_weight(accept);
    int json = hb_accept_weight(accept, "application/json");
    int text = hb_accept_weight(accept, "text/plain");

    text = named_text > text ? named_text : text;
    if (text != json)
        return text > json;
    return named_json > 0 ? false : named_text > 0 || default_prometheus;
}

static bool wants_prometheus(const struct hb_http_metrics *metrics, const struct hb_exchange *exchange,
                             const struct hb_metrics_query *query)
{
    char value[ACCEPT_BYTES];

    if (query->format != HB_METRICS_UNSAID)
        return query->format == HB_METRICS_PROMETHEUS;
    return accepts_prometheus(hb_head_value(hb_exchange_wsi(exchange), WSI_TOKEN_HTTP_ACCEPT, value, sizeof value),
                              metrics->config.default_prometheus);
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

static struct hb_scrape gather(const struct hb_http_metrics *metrics, bool per_worker)
{
    return (struct hb_scrape){
        .manager = metrics->manager,
        .now = hb_manager_registry_time(metrics->manager, hb_mono_now()),
        .process = hb_process_figures_read(),
        .process_start_ms = metrics->process_start_ms,
        .redis = redis_figures(metrics),
        .per_worker = per_worker,
    };
}

/* With the figures of now. NULL when out of memory. */
static struct hb_report *start_report(const struct hb_http_metrics *metrics, struct wish wish)
{
    struct hb_scrape scrape = {.manager = metrics->manager};

    if (wish.kind != HB_REPORT_TARGETS)
        scrape = gather(metrics, wish.per_worker);
    return hb_report_new(wish.kind, &scrape);
}

/* Takes the report; NULL: there was no memory for it. */
static void send_report(struct hb_http_metrics *metrics, struct hb_exchange *exchange, enum hb_report_kind kind,
                        struct hb_report *report)
{
    struct hb_buf none = {.err = HB_ERR_NO_MEMORY};

    hb_documents_answer_fresh(metrics->documents, exchange, report != NULL ? hb_report_bytes(report) : &none,
                              kind == HB_REPORT_PROMETHEUS ? HB_EXPOSITION_TYPE : NULL);
    hb_report_free(report);
}

/* ---- turns ---- */

static void answer_free(struct answer *answer)
{
    hb_link_remove(&answer->link);
    answer->metrics->answer_count--;
    free(answer);
}

static void forget(void *self)
{
    struct answer *answer = self;

    hb_report_free(answer->report);
    answer_free(answer);
}

/*
 * The first of its turns. What those before it hold was not known when it was asked for, so the ceiling is looked at
 * again. True: it is answered, with a refusal.
 */
static bool start(struct answer *answer)
{
    if (hb_documents_refuse(answer->metrics->documents, answer->exchange))
        return true;
    answer->report = start_report(answer->metrics, answer->wish);
    if (answer->report == NULL)
        send_report(answer->metrics, answer->exchange, answer->wish.kind, NULL);
    return answer->report == NULL;
}

/* One of those that follow. True: it is answered. */
static bool continue_with(struct answer *answer)
{
    if (hb_report_go_on(answer->report, TURN_WORKERS))
        return false;
    send_report(answer->metrics, answer->exchange, answer->wish.kind, answer->report);
    return true;
}

/* One turn. False: no answer is to be made any more. */
static bool go_on(void *self)
{
    struct hb_http_metrics *metrics = self;
    struct answer *first = (struct answer *)metrics->answers.next;

    if (hb_link_is_alone(&metrics->answers))
        return false;
    if (first->report == NULL ? start(first) : continue_with(first))
        answer_free(first);
    return !hb_link_is_alone(&metrics->answers);
}

static void wait_for_turns(struct hb_http_metrics *metrics, struct hb_exchange *exchange, struct wish wish)
{
    struct answer *answer;

    if (metrics->answer_count == ANSWERS_MAX) {
        hb_exchange_answer_error(exchange, 503, "Retry-After: 1\r\n", "too many others wait for answers as long");
        return;
    }
    answer = calloc(1, sizeof *answer);
    if (answer == NULL) {
        send_report(metrics, exchange, wish.kind, NULL);
        return;
    }
    *answer = (struct answer){.metrics = metrics, .exchange = exchange, .wish = wish};
    hb_link_init(&answer->link);
    hb_link_insert(&metrics->answers, &answer->link);
    metrics->answer_count++;
    hb_exchange_on_abandon(exchange, forget, answer);
    metrics->config.work.begin(metrics->config.work.self, go_on, metrics);
}

/* ---- requests ---- */

static void answer_with(struct hb_http_metrics *metrics, struct hb_exchange *exchange, struct wish wish)
{
    bool many = hb_registry_count(hb_manager_registry(metrics->manager)) > TURN_WORKERS;
    struct hb_report *report;

    if (hb_documents_refuse(metrics->documents, exchange))
        return;
    if (many && metrics->config.work.begin != NULL) {
        wait_for_turns(metrics, exchange, wish);
        return;
    }
    report = start_report(metrics, wish);
    while (report != NULL && hb_report_go_on(report, SIZE_MAX))
        ;
    send_report(metrics, exchange, wish.kind, report);
}

void hb_http_metrics_answer(struct hb_http_metrics *metrics, struct hb_exchange *exchange)
{
    struct hb_metrics_query query = {0};
    struct wish wish = {.kind = HB_REPORT_JSON};

    if (!read_query(exchange, &query))
        return;
    if (wants_prometheus(metrics, exchange, &query))
        wish.kind = HB_REPORT_PROMETHEUS;
    wish.per_worker = query.per_worker_said ? query.per_worker : metrics->config.per_worker;
    answer_with(metrics, exchange, wish);
}

void hb_http_targets_answer(struct hb_http_metrics *metrics, struct hb_exchange *exchange)
{
    answer_with(metrics, exchange, (struct wish){.kind = HB_REPORT_TARGETS});
}
