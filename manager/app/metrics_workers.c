/*
 * All samples of a family stand together, but a worker is visited once: each family grows in a buffer of its own, and
 * they are joined at the end.
 */
#include <stdlib.h>

#include "manager/app/exposition.h"
#include "manager/app/metrics_prometheus.h"
#include "proto/wire/limits.h"

enum family {
    UP,
    SERVING,
    HEARTBEAT_AGE,
    REQUESTS,
    ERRORS,
    READY,
    CHECKED_AGE,
    POLL_CODE,
    POLL_DURATION,
    UPTIME,
    FAMILIES,
};

struct family_words {
    const char *name, *type, *help;
};

static const struct family_words words[FAMILIES] = {
    [UP] = {"heartbeat_worker_up", "gauge", "Whether the worker is alive."},
    [SERVING] = {"heartbeat_worker_serving", "gauge", "Whether the worker may get traffic."},
    [HEARTBEAT_AGE] = {"heartbeat_worker_last_heartbeat_age_seconds", "gauge", "Time since the last contact."},
    [REQUESTS] = {"heartbeat_worker_requests_total", "counter", "Requests, as the worker counts them."},
    [ERRORS] = {"heartbeat_worker_errors_total", "counter", "Failed requests, as the worker counts them."},
    [READY] = {"heartbeat_worker_ready", "gauge", "Whether the last HTTP check was answered with 200."},
    [CHECKED_AGE] = {"heartbeat_worker_last_checked_age_seconds", "gauge", "Time since the last HTTP check ended."},
    [POLL_CODE] = {"heartbeat_worker_poll_status_code", "gauge", "HTTP status of the last check; 0: no answer."},
    [POLL_DURATION] = {"heartbeat_worker_poll_duration_seconds", "gauge", "Time that the last HTTP check took."},
    [UPTIME] = {"heartbeat_worker_uptime_seconds", "gauge", "Time since its start, as the worker says."},
};

struct hb_worker_series {
    struct hb_buf samples[FAMILIES];
    struct hb_buf labels; /* of the worker at hand, with braces */
    int joined;           /* families that were given away */
};

struct hb_worker_series *hb_worker_series_new(void)
{
    struct hb_worker_series *series = calloc(1, sizeof *series);

    if (series == NULL)
        return NULL;
    for (int family = 0; family < FAMILIES; family++)
        hb_buf_init(&series->samples[family], SIZE_MAX / 2);
    hb_buf_init(&series->labels, HB_ROW_BYTES_MAX);
    return series;
}

void hb_worker_series_free(struct hb_worker_series *series)
{
    if (series == NULL)
        return;
    for (int family = 0; family < FAMILIES; family++)
        hb_buf_free(&series->samples[family]);
    hb_buf_free(&series->labels);
    free(series);
}

static void add(struct hb_worker_series *series, enum family family, int64_t value, unsigned decimals)
{
    struct hb_buf *samples = &series->samples[family];

    hb_buf_append_str(samples, words[family].name);
    hb_buf_append(samples, series->labels.bytes, series->labels.len);
    hb_append_decimal(samples, (uint64_t)value, decimals);
    hb_buf_append_char(samples, '\n');
}

static void add_polled(struct hb_worker_series *series, const struct hb_scrape *scrape, const struct hb_worker *worker)
{
    const struct hb_poll_target *poll = worker->poll;

    if (poll == NULL || poll->checked.ms == HB_MONO_NEVER.ms)
        return;
    add(series, READY, worker->ready, 0);
    add(series, CHECKED_AGE, hb_scrape_age_ms(scrape, poll->checked), 3);
    add(series, POLL_CODE, poll->code, 0);
    add(series, POLL_DURATION, poll->latency_us, 6);
    if (poll->uptime_ms >= 0)
        add(series, UPTIME, poll->uptime_ms, 3);
}

void hb_worker_series_add(struct hb_worker_series *series, const struct hb_scrape *scrape,
                          const struct hb_worker *worker)
{
    hb_buf_clear(&series->labels);
    hb_buf_append_char(&series->labels, '{');
    hb_exposition_label(&series->labels, "worker_id", (struct hb_text){worker->id, worker->id_len});
    hb_buf_append_char(&series->labels, ',');
    hb_exposition_label(&series->labels, "worker_name", hb_text_of(worker->name));
    hb_buf_append_str(&series->labels, "} ");
    add(series, UP, worker->status == HB_STATUS_ALIVE, 0);
    add(series, SERVING, worker->serving, 0);
    if (worker->last_heartbeat.ms != 0)
        add(series, HEARTBEAT_AGE, hb_scrape_age_ms(scrape, worker->last_contact), 3);
    if (worker->requests >= 0)
        add(series, REQUESTS, worker->requests, 0);
    if (worker->errors >= 0)
        add(series, ERRORS, worker->errors, 0);
    add_polled(series, scrape, worker);
}

/* A head without samples says nothing: it is left out. */
static void join(const struct family_words *family, struct hb_buf *samples, struct hb_buf *text)
{
    if (hb_buf_status(samples) != HB_OK)
        text->err = hb_buf_status(samples);
    if (samples->len > 0)
        hb_exposition_head(text, family->name, family->type, family->help);
    hb_buf_append(text, samples->bytes, samples->len);
    hb_buf_free(samples);
}

bool hb_worker_series_join(struct hb_worker_series *series, struct hb_buf *text)
{
    if (hb_buf_status(&series->labels) != HB_OK)
        text->err = hb_buf_status(&series->labels);
    if (series->joined == FAMILIES)
        return false;
    join(&words[series->joined], &series->samples[series->joined], text);
    series->joined++;
    return true;
}
