#include "manager/app/metrics_json.h"

#include "manager/app/exposition.h"

#define MICRO 1000000.0
#define MICROS_MAX 1e18 /* of a rate: beyond it is nonsense, and no 64-bit number */

static void put_bool(struct hb_buf *json, const char *name, bool value)
{
    hb_buf_append_str(json, name);
    hb_buf_append_str(json, value ? "true" : "false");
}

static void put_number(struct hb_buf *json, const char *name, int64_t value)
{
    hb_buf_append_str(json, name);
    hb_buf_append_i64(json, value > 0 ? value : 0);
}

static void put_seconds(struct hb_buf *json, const char *name, int64_t ms)
{
    hb_buf_append_str(json, name);
    hb_buf_append_seconds(json, ms > 0 ? ms : 0);
}

/* The word needs no escape. */
static void put_word(struct hb_buf *json, const char *name, const char *word)
{
    hb_buf_append_str(json, name);
    hb_buf_append_char(json, '"');
    hb_buf_append_str(json, word);
    hb_buf_append_char(json, '"');
}

/* The share of its requests that failed, to six decimals. */
static void put_error_rate(struct hb_buf *json, const struct hb_worker *worker)
{
    double micros = 0;

    if (worker->requests > 0 && worker->errors > 0)
        micros = (double)worker->errors * MICRO / (double)worker->requests + 0.5;
    hb_buf_append_str(json, ",\"error_rate\":");
    hb_append_decimal(json, (uint64_t)(micros < MICROS_MAX ? micros : MICROS_MAX), 6);
}

static void put_last_checked(struct hb_buf *json, const struct hb_scrape *scrape, const struct hb_poll_target *poll)
{
    if (poll == NULL || poll->checked.ms == HB_MONO_NEVER.ms)
        hb_buf_append_str(json, ",\"last_checked_age\":null");
    else
        put_seconds(json, ",\"last_checked_age\":", hb_scrape_age_ms(scrape, poll->checked));
}

/* What the last poll saw. */
static void put_poll(struct hb_buf *json, const struct hb_poll_target *poll)
{
    put_bool(json, ",\"polled\":", poll != NULL);
    if (poll == NULL || poll->checked.ms == HB_MONO_NEVER.ms)
        return;
    put_word(json, ",\"outcome\":", hb_poll_outcome_text((enum hb_poll_outcome)poll->outcome));
    put_number(json, ",\"code\":", poll->code);
    hb_buf_append_str(json, ",\"latency\":");
    hb_append_decimal(json, poll->latency_us, 6);
}

void hb_metrics_json_worker(struct hb_buf *json, const struct hb_scrape *scrape, const struct hb_worker *worker)
{
    const struct hb_poll_target *poll = worker->poll;

    hb_buf_append_char(json, '"');
    hb_buf_append(json, worker->id, worker->id_len); /* its characters need no escape */
    put_bool(json, "\":{\"ready\":", worker->ready);
    put_word(json, ",\"health\":", hb_health_text((enum hb_health)worker->health));
    put_seconds(json, ",\"uptime\":", poll != NULL ? poll->uptime_ms : 0);
    put_number(json, ",\"request_count\":", worker->requests);
    put_number(json, ",\"error_count\":", worker->errors);
    put_error_rate(json, worker);
    hb_buf_append_str(json, ",\"attributes\":");
    hb_buf_append_str(json, worker->attributes != NULL ? worker->attributes : "{}");
    put_last_checked(json, scrape, poll);
    hb_buf_append_str(json, ",\"worker_name\":");
    hb_buf_append_json(json, hb_text_of(worker->name));
    put_word(json, ",\"status\":", hb_status_text((enum hb_status)worker->status));
    put_bool(json, ",\"serving\":", worker->serving);
    if (worker->last_heartbeat.ms != 0)
        put_seconds(json, ",\"last_heartbeat_age\":", hb_scrape_age_ms(scrape, worker->last_contact));
    else
        hb_buf_append_str(json, ",\"last_heartbeat_age\":null");
    put_poll(json, poll);
    hb_buf_append_char(json, '}');
}
