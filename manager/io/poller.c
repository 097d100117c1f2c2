#include "manager/io/poller.h"

#include <ifaddrs.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uv.h>

#include "manager/app/address_rules.h"
#include "manager/app/list.h"
#include "manager/io/address_watch.h"
#include "manager/io/curl_loop.h"
#include "proto/base/log.h"
#include "proto/wire/health_body.h"
#include "proto/wire/limits.h"

#define HEALTH_PATH "/health"
#define URL_SIZE (HB_URL_MAX + sizeof HEALTH_PATH)
#define ATTRIBUTES_BYTES_MAX 32768
#define PROBES_MOST 3 /* of one socket's end, while they come back broken */

/* One poll or probe: by id, for the worker may be gone before it ends. */
struct check {
    struct hb_link link; /* the first member; in `under_way`, `repeats` or `unused` */
    struct hb_poller *poller;
    uint64_t ticket; /* 0: a probe */
    uint64_t hold;   /* of a probe: the end of the grace that it may cut short */
    uint8_t broken;  /* of a probe: how often in a row */
    uint8_t id_len;
    char id[HB_ID_MAX];
};

struct hb_poller {
    uv_prepare_t turn_end;
    uv_timer_t due;   /* wakes the loop up when a poll is due: turn_end begins it */
    uv_timer_t again; /* for those in `repeats` */
    struct hb_manager *manager;
    struct hb_poller_config config;
    struct hb_curl_loop *curl;
    struct hb_address_rules *rules;
    struct hb_address_watch *watch;
    struct hb_decoder *decoder;
    struct hb_buf attributes;
    struct hb_link under_way, repeats, unused;
    struct hb_poller_counters counters;
    hb_mono_ms armed_for; /* HB_MONO_NEVER: the timer is not armed */
    uint32_t probes;      /* under way */
    bool knows_forbidden, closed;
};

static struct hb_text id_of(const struct check *check)
{
    return (struct hb_text){check->id, check->id_len};
}

/* ---- urls ---- */

/* A base url has no path at all: "http://host:1". Whoever means the root writes "http://host:1/". */
static void complete_url(const char *url, char out[URL_SIZE])
{
    const char *authority = strstr(url, "://") + 3;
    const char *rest = authority + strcspn(authority, "/?#");
    bool http = strncasecmp(url, "tcp", 3) != 0;

    snprintf(out, URL_SIZE, "%.*s%s%s", (int)(rest - url), url, http && *rest != '/' ? HEALTH_PATH : "", rest);
}

/* Where to ask it: its url, or else its address. */
static void url_of(const struct hb_worker *worker, char out[URL_SIZE])
{
    bool v6;

    if (worker->url != NULL) {
        complete_url(worker->url, out);
        return;
    }
    v6 = strchr(worker->host, ':') != NULL;
    snprintf(out, URL_SIZE, "http://%s%s%s:%u" HEALTH_PATH, v6 ? "[" : "", worker->host, v6 ? "]" : "",
             (unsigned)worker->port);
}

/* ---- checks ---- */

/* Makes sure that new_check has one to give. */
static bool reserve_check(struct hb_poller *poller)
{
    struct check *check;

    if (!hb_link_is_alone(&poller->unused))
        return true;
    check = calloc(1, sizeof *check);
    if (check == NULL)
        return false;
    hb_link_init(&check->link);
    hb_link_insert(&poller->unused, &check->link);
    return true;
}

static struct check *new_check(struct hb_poller *poller, const struct hb_worker *worker, uint64_t ticket)
{
    struct check *check = (struct check *)poller->unused.next; /* its first member */

    hb_link_remove(&check->link);
    check->poller = poller;
    check->ticket = ticket;
    check->broken = 0;
    check->id_len = worker->id_len;
    memcpy(check->id, worker->id, worker->id_len);
    hb_link_insert(&poller->under_way, &check->link);
    return check;
}

static void end_check(struct check *check)
{
    struct hb_poller *poller = check->poller;

    hb_link_remove(&check->link);
    hb_link_insert(&poller->unused, &check->link);
}

static void apply(struct check *check, enum hb_input_kind kind, const struct hb_poll_result *result)
{
    const struct hb_input input = {.kind = kind,
                                   .id = id_of(check),
                                   .ticket = kind == HB_INPUT_PROBED ? check->hold : check->ticket,
                                   .poll = result};
    enum hb_err err = hb_manager_apply(check->poller->manager, &input, hb_moment_now());

    if (err != HB_OK && err != HB_ERR_STALE) /* stale: it is gone, or was heard of meanwhile */
        hb_log(HB_LOG_ERROR, "poll_not_applied", HB_LT("worker", id_of(check)), HB_LS("cause", hb_err_text(err)));
}

/* What the service says of itself, beside what is known of it. */
static void read_health(struct hb_poller *poller, const struct hb_worker *worker, struct hb_text body,
                        struct hb_poll_result *result)
{
    struct hb_health_body health = {.uptime_ms = -1, .requests = -1, .errors = -1};

    if (body.len > 0)
        hb_health_body_read(poller->decoder, body, &health);
    result->uptime_ms = health.uptime_ms;
    result->requests = health.requests;
    result->errors = health.errors;
    if (health.attributes.bytes == NULL)
        return;
    hb_buf_clear(&poller->attributes);
    hb_attributes_merge(&poller->attributes, hb_text_of(worker->attributes), health.attributes);
    if (hb_buf_status(&poller->attributes) == HB_OK)
        result->attributes = (struct hb_text){poller->attributes.bytes, poller->attributes.len};
}

static void log_polled(const struct hb_worker *worker, const struct hb_curl_answer *answer)
{
    bool news = worker->poll == NULL || worker->poll->outcome != (uint8_t)answer->outcome;

    hb_log(answer->outcome == HB_POLL_BLOCKED && news ? HB_LOG_WARN : HB_LOG_DEBUG, "polled",
           HB_LS("worker", worker->id), HB_LS("url", worker->url),
           HB_LS("outcome", hb_poll_outcome_text(answer->outcome)), HB_LI("code", answer->code),
           HB_LI("latency_us", answer->latency_us));
}

static void finish_poll(struct check *check, const struct hb_curl_answer *answer)
{
    struct hb_poller *poller = check->poller;
    const struct hb_worker *worker = hb_registry_find(hb_manager_registry(poller->manager), id_of(check));
    struct hb_poll_result result = {.outcome = answer->outcome,
                                    .code = answer->code,
                                    .latency_us = answer->latency_us,
                                    .uptime_ms = -1,
                                    .requests = -1,
                                    .errors = -1};

    if (worker != NULL) {
        log_polled(worker, answer);
        read_health(poller, worker, answer->body, &result);
    }
    apply(check, HB_INPUT_POLLED, &result);
}

static void finish_probe(struct check *check, const struct hb_curl_answer *answer)
{
    const struct hb_poll_result result = {.outcome = answer->outcome,
                                          .code = answer->code,
                                          .latency_us = answer->latency_us,
                                          .uptime_ms = -1,
                                          .requests = -1,
                                          .errors = -1};

    check->poller->probes--;
    hb_log(HB_LOG_DEBUG, "probed", HB_LT("worker", id_of(check)),
           HB_LS("outcome", hb_poll_outcome_text(answer->outcome)), HB_LI("code", answer->code));
    apply(check, HB_INPUT_PROBED, &result);
}

/* ---- again ---- */

static void on_again(uv_timer_t *timer);

static void later(struct check *check)
{
    struct hb_poller *poller = check->poller;

    poller->counters.begun_again++;
    hb_link_remove(&check->link);
    hb_link_insert(&poller->repeats, &check->link);
    if (!uv_is_active((uv_handle_t *)&poller->again))
        uv_timer_start(&poller->again, on_again, HB_POLLER_AGAIN_MS, 0);
}

/*
 * A process that dies closes its sockets one after the other: a probe that comes in between is taken by the kernel and
 * then dropped.
 */
static bool may_be_dying(struct check *check, const struct hb_curl_answer *answer)
{
    return check->ticket == 0 && answer->outcome == HB_POLL_BROKEN && ++check->broken < PROBES_MOST;
}

static void on_ended(void *self, const struct hb_curl_answer *answer)
{
    struct check *check = self;

    if (answer->ours || may_be_dying(check, answer)) {
        later(check);
        return;
    }
    if (check->ticket == 0)
        finish_probe(check, answer);
    else
        finish_poll(check, answer);
    end_check(check);
}

static void begin(struct check *check, const struct hb_worker *worker)
{
    struct hb_poller *poller = check->poller;
    char url[URL_SIZE];

    url_of(worker, url);
    if (!poller->knows_forbidden ||
        hb_curl_start(poller->curl, url, poller->config.timeout_ms, on_ended, check) != HB_OK)
        later(check);
}

static bool is_still_wanted(const struct check *check, const struct hb_worker *worker)
{
    if (worker == NULL)
        return false;
    if (check->ticket == 0)
        return worker->socket == NULL && worker->hold_until.ms != HB_MONO_NEVER.ms && hb_worker_has_address(worker);
    return worker->poll != NULL && worker->poll->ticket == check->ticket;
}

/* A ticket must come back whatever happens: nobody waits for it when its worker is gone or polled no more. */
static void give_up(struct check *check)
{
    const struct hb_poll_result nothing = {.outcome = HB_POLL_NONE, .uptime_ms = -1, .requests = -1, .errors = -1};

    if (check->ticket == 0)
        check->poller->probes--;
    else
        apply(check, HB_INPUT_POLLED, &nothing);
    end_check(check);
}

static void on_again(uv_timer_t *timer)
{
    struct hb_poller *poller = timer->data;
    struct hb_link now;

    /* Those that fail again wait for the next time. */
    hb_link_init(&now);
    while (!hb_link_is_alone(&poller->repeats)) {
        struct hb_link *link = poller->repeats.next;

        hb_link_remove(link);
        hb_link_insert(&now, link);
    }
    while (!hb_link_is_alone(&now)) {
        struct check *check = (struct check *)now.next; /* its first member */
        const struct hb_worker *worker = hb_registry_find(hb_manager_registry(poller->manager), id_of(check));

        hb_link_remove(&check->link);
        hb_link_insert(&poller->under_way, &check->link);
        if (is_still_wanted(check, worker))
            begin(check, worker);
        else
            give_up(check);
    }
}

/* ---- when ---- */

static void on_due(uv_timer_t *timer)
{
    struct hb_poller *poller = timer->data;

    poller->armed_for = HB_MONO_NEVER;
}

/* When the next one is to begin; HB_MONO_NEVER: not before a poll has ended. */
static hb_mono_ms next_turn(const struct hb_poller *poller)
{
    return hb_mono_add(hb_registry_next_poll(hb_manager_registry(poller->manager)), HB_POLLER_GATHER_MS);
}

static void arm(struct hb_poller *poller, hb_mono_ms now)
{
    hb_mono_ms next = next_turn(poller);

    if (poller->armed_for.ms <= next.ms)
        return; /* fires early enough already, or there is nothing to wait for */
    poller->armed_for = next.ms > now.ms ? next : now;
    uv_update_time(poller->due.loop);
    uv_timer_start(&poller->due, on_due, (uint64_t)hb_mono_between(now, poller->armed_for), 0);
}

/*
 * Runs right before the loop waits. libuv calls the one that was started last first: so polls begin before the loop's
 * own turn_end, which may sleep a little to gather work, asks how long it may.
 */
static void on_turn_end(uv_prepare_t *prepare)
{
    struct hb_poller *poller = prepare->data;
    hb_mono_ms next = next_turn(poller);
    const struct hb_worker *worker;
    struct hb_moment now;
    uint64_t ticket;

    if (!poller->knows_forbidden || next.ms == HB_MONO_NEVER.ms)
        return;
    now = hb_moment_now();
    for (int begun = 0; begun < HB_POLLER_BEGIN_MOST && next.ms <= now.mono.ms; begun++) {
        if (!reserve_check(poller) ||
            !hb_registry_take_poll(hb_manager_registry(poller->manager), now, &worker, &ticket))
            break;
        begin(new_check(poller, worker, ticket), worker);
    }
    arm(poller, now.mono);
}

static void on_probe(void *self, const struct hb_worker *worker)
{
    struct hb_poller *poller = self;
    struct check *check;

    if (poller->closed)
        return;
    if (poller->probes >= poller->config.concurrency || !reserve_check(poller)) {
        poller->counters.probes_dropped++;
        return;
    }
    poller->probes++;
    check = new_check(poller, worker, 0);
    check->hold = (uint64_t)worker->hold_until.ms;
    begin(check, worker);
}

/* ---- what may not be polled ---- */

/* A Redis that listens on loopback mostly listens on the machine's other addresses too. */
static void forbid_own(struct hb_address_rules *rules)
{
    struct ifaddrs *own;

    if (getifaddrs(&own) != 0)
        return;
    for (const struct ifaddrs *at = own; at != NULL; at = at->ifa_next) {
        if (at->ifa_addr != NULL)
            hb_address_rules_forbid_own(rules, at->ifa_addr);
    }
    freeifaddrs(own);
}

static void on_forbidden_found(void *self, const struct addrinfo *list)
{
    struct hb_poller *poller = self;

    poller->knows_forbidden = true;
    if (list == NULL)
        return;
    hb_address_rules_forget(poller->rules);
    for (; list != NULL; list = list->ai_next)
        hb_address_rules_forbid(poller->rules, list->ai_addr);
    forbid_own(poller->rules);
}

static bool may_connect(void *self, const struct sockaddr *address)
{
    struct hb_poller *poller = self;

    return hb_address_rules_may_poll(poller->rules, address);
}

/* ---- life ---- */

static bool open_parts(struct hb_poller *poller, struct uv_loop_s *loop)
{
    const struct hb_poller_config *config = &poller->config;
    char user_agent[64];

    snprintf(user_agent, sizeof user_agent, "heartbeat-manager/%s", config->version);
    poller->rules = hb_address_rules_new(config->allow_cidrs);
    poller->decoder = hb_decoder_new();
    poller->curl = hb_curl_loop_new(loop, &(struct hb_curl_config){.user_agent = user_agent,
                                                                   .concurrency = config->concurrency,
                                                                   .self = poller,
                                                                   .may_connect = may_connect});
    poller->watch =
        hb_address_watch_new(loop, config->forbidden_host, config->forbidden_port, on_forbidden_found, poller);
    return poller->rules != NULL && poller->decoder != NULL && poller->curl != NULL && poller->watch != NULL;
}

struct hb_poller *hb_poller_new(struct uv_loop_s *loop, const struct hb_poller_config *config,
                                struct hb_manager *manager)
{
    struct hb_poller *poller = calloc(1, sizeof *poller);

    if (poller == NULL)
        return NULL;
    poller->manager = manager;
    poller->config = *config;
    poller->armed_for = HB_MONO_NEVER;
    hb_link_init(&poller->under_way);
    hb_link_init(&poller->repeats);
    hb_link_init(&poller->unused);
    hb_buf_init(&poller->attributes, ATTRIBUTES_BYTES_MAX);
    uv_prepare_init(loop, &poller->turn_end);
    uv_timer_init(loop, &poller->due);
    uv_timer_init(loop, &poller->again);
    poller->turn_end.data = poller->due.data = poller->again.data = poller;
    if (!open_parts(poller, loop)) {
        hb_poller_close(poller);
        uv_run(loop, UV_RUN_NOWAIT); /* the close callbacks: nothing else is running yet */
        hb_poller_free(poller);
        return NULL;
    }
    hb_manager_set_poller(manager, (struct hb_poller_port){poller, on_probe});
    return poller;
}

void hb_poller_start(struct hb_poller *poller)
{
    hb_address_watch_start(poller->watch);
    uv_prepare_start(&poller->turn_end, on_turn_end);
}

const struct hb_poller_counters *hb_poller_counters(const struct hb_poller *poller)
{
    return &poller->counters;
}

void hb_poller_close(struct hb_poller *poller)
{
    if (poller == NULL || poller->closed)
        return;
    poller->closed = true;
    uv_close((uv_handle_t *)&poller->turn_end, NULL);
    uv_close((uv_handle_t *)&poller->due, NULL);
    uv_close((uv_handle_t *)&poller->again, NULL);
    if (poller->curl != NULL)
        hb_curl_loop_close(poller->curl);
    if (poller->watch != NULL)
        hb_address_watch_close(poller->watch);
}

static void free_checks(struct hb_link *checks)
{
    while (!hb_link_is_alone(checks)) {
        struct hb_link *link = checks->next;

        hb_link_remove(link);
        free(link); /* the check's first member */
    }
}

void hb_poller_free(struct hb_poller *poller)
{
    if (poller == NULL)
        return;
    free_checks(&poller->under_way);
    free_checks(&poller->repeats);
    free_checks(&poller->unused);
    hb_buf_free(&poller->attributes);
    hb_decoder_free(poller->decoder);
    hb_address_rules_free(poller->rules);
    free(poller);
}
