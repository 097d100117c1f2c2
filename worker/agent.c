#include "worker/agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/log.h"
#include "proto/wire/codec.h"
#include "proto/wire/limits.h"
#include "proto/wire/message.h"
#include "proto/wire/names.h"
#include "worker/behaviour.h"
#include "worker/identity.h"
#include "worker/messages.h"
#include "worker/process_stats.h"
#include "worker/resolver.h"
#include "worker/session.h"
#include "worker/ws_client.h"

/* Inputs that one turn of the loop can bring: a socket that connects and closes again. With room to spare. */
#define NOTED_MAX 4

struct hb_agent {
    uv_loop_t *loop;
    uv_timer_t timer;
    const struct hb_worker_config *config;
    struct hb_http_service *service;
    struct hb_session session;
    struct hb_resolver resolver;
    struct hb_ws_client *client;
    struct hb_decoder *decoder;
    struct hb_process_stats stats;
    struct hb_buf body; /* of the message being made */
    struct hb_session_input noted[NOTED_MAX];
    unsigned noted_count;
    int64_t timeout_ms; /* of the manager, as last told; 0: not told */
    char local_host[HB_ADDRESS_TEXT_SIZE];
    char socket_path[sizeof HB_WS_PATH_PREFIX + HB_ID_MAX];
    void (*on_stopped)(void *owner);
    void *owner;
};

static void take(struct hb_agent *agent, struct hb_session_input input);

/* --- inputs ------------------------------------------------------------------------------------------------------ */

static void on_timer(uv_timer_t *timer);

static void arm_timer(struct hb_agent *agent)
{
    hb_mono_ms deadline = hb_session_deadline(&agent->session);
    if (agent->session.state == HB_SESSION_STOPPED)
        return; /* hb_agent_close may have closed the timer already */
    int64_t wait_ms = hb_mono_between(hb_mono_now(), deadline);
    if (agent->noted_count > 0 || wait_ms < 0)
        wait_ms = 0;
    uv_update_time(agent->loop);
    uv_timer_start(&agent->timer, on_timer, (uint64_t)wait_ms, 0);
}

/* From inside a libwebsockets callback. */
static void note(struct hb_agent *agent, struct hb_session_input input)
{
    if (agent->noted_count == NOTED_MAX)
        return;
    agent->noted[agent->noted_count++] = input;
    arm_timer(agent);
}

static void on_timer(uv_timer_t *timer)
{
    struct hb_agent *agent = timer->data;
    struct hb_session_input input;
    while (agent->noted_count > 0 && agent->session.state != HB_SESSION_STOPPED) {
        input = agent->noted[0];
        agent->noted_count--;
        memmove(agent->noted, agent->noted + 1, agent->noted_count * sizeof agent->noted[0]);
        take(agent, input);
    }
    take(agent, (struct hb_session_input){.kind = HB_SESSION_TICK});
}

static void on_resolved(void *owner, const struct hb_address *addresses, unsigned count, const char *error)
{
    struct hb_agent *agent = owner;
    (void)addresses;
    if (count == 0) {
        hb_log(HB_LOG_WARN, "resolve_failed", HB_LS("manager", agent->config->manager_host), HB_LS("error", error));
        take(agent, (struct hb_session_input){.kind = HB_SESSION_RESOLVE_FAILED});
        return;
    }
    take(agent, (struct hb_session_input){.kind = HB_SESSION_RESOLVED, .address_count = count});
}

/* --- registering ------------------------------------------------------------------------------------------------- */

static const struct hb_address *address_in_use(const struct hb_agent *agent)
{
    return &agent->resolver.addresses[agent->session.address];
}

static struct hb_ws_client_target target_in_use(const struct hb_agent *agent)
{
    return (struct hb_ws_client_target){
        .address = address_in_use(agent)->text,
        .port = (int)agent->config->manager_port,
        .name = agent->config->manager_host,
    };
}

/* Why the registration could not be sent; NULL when it is under way. */
static const char *send_registration(struct hb_agent *agent)
{
    const char *host = agent->config->worker_host;
    struct hb_ws_client_target target = target_in_use(agent);
    if (host == NULL) {
        if (hb_address_local(address_in_use(agent), agent->local_host) != HB_OK)
            return "no route to this address";
        host = agent->local_host;
    }
    hb_buf_clear(&agent->body);
    hb_message_registration(&agent->body, agent->config, host);
    enum hb_err err = hb_buf_status(&agent->body);
    if (err == HB_OK)
        err = hb_ws_client_register(agent->client, &target, (struct hb_text){agent->body.bytes, agent->body.len});
    return err == HB_OK ? NULL : hb_err_text(err);
}

static void on_register_failed(void *owner, const char *reason)
{
    struct hb_agent *agent = owner;
    hb_log(HB_LOG_WARN, "register_failed", HB_LS("manager", agent->config->manager_host),
           HB_LS("address", address_in_use(agent)->text), HB_LI("port", agent->config->manager_port),
           HB_LS("error", reason));
    note(agent, (struct hb_session_input){.kind = HB_SESSION_REGISTER_FAILED});
}

/* Said once per timeout that the manager tells, not at each reconnect. */
static void check_interval(struct hb_agent *agent, int64_t timeout_ms)
{
    if (timeout_ms == agent->timeout_ms)
        return;
    agent->timeout_ms = timeout_ms;
    if (timeout_ms > 0 && agent->config->heartbeat_interval_ms * 3 > timeout_ms)
        hb_log(HB_LOG_WARN, "interval_too_long", HB_LD("heartbeat_interval", agent->config->heartbeat_interval_ms),
               HB_LD("heartbeat_timeout", timeout_ms),
               HB_LS("rule", "HEARTBEAT_INTERVAL should be at most a third of the manager's timeout"));
}

static void on_answer(void *owner, unsigned http_status, struct hb_text body)
{
    struct hb_agent *agent = owner;
    int64_t timeout_ms = 0;
    if (http_status != 200) {
        hb_log(http_status < 500 ? HB_LOG_ERROR : HB_LOG_WARN, "register_failed",
               HB_LS("manager", agent->config->manager_host), HB_LI("status", http_status), HB_LT("answer", body));
        note(agent, (struct hb_session_input){.kind = HB_SESSION_REGISTER_REFUSED});
        return;
    }
    /* An answer that is not understood still means that the registration was taken. */
    if (hb_decode_register_answer(agent->decoder, body, &timeout_ms) != HB_OK)
        timeout_ms = 0;
    hb_log(HB_LOG_INFO, "registered", HB_LS("worker", agent->config->worker_id),
           HB_LS("manager", agent->config->manager_host), HB_LS("address", address_in_use(agent)->text),
           HB_LD("heartbeat_timeout", timeout_ms));
    check_interval(agent, timeout_ms);
    note(agent, (struct hb_session_input){.kind = HB_SESSION_REGISTERED});
}

/* --- the socket -------------------------------------------------------------------------------------------------- */

static void on_connected(void *owner)
{
    struct hb_agent *agent = owner;
    hb_log(HB_LOG_INFO, "connected", HB_LS("worker", agent->config->worker_id),
           HB_LS("manager", agent->config->manager_host), HB_LS("address", address_in_use(agent)->text));
    note(agent, (struct hb_session_input){.kind = HB_SESSION_CONNECTED});
}

static void on_connect_failed(void *owner, const char *reason)
{
    struct hb_agent *agent = owner;
    hb_log(HB_LOG_WARN, "connect_failed", HB_LS("manager", agent->config->manager_host),
           HB_LS("address", address_in_use(agent)->text), HB_LS("error", reason));
    note(agent, (struct hb_session_input){.kind = HB_SESSION_CONNECT_FAILED});
}

static void on_message(void *owner, struct hb_text message)
{
    struct hb_agent *agent = owner;
    hb_log(HB_LOG_WARN, "manager_says", HB_LS("worker", agent->config->worker_id), HB_LT("message", message));
}

/* What a close code means to whoever runs this worker. */
static const char *close_advice(int close_code)
{
    switch (close_code) {
    case HB_CLOSE_REPLACED:
        return "another worker connected with this id: give each its own WORKER_ID";
    case HB_CLOSE_CONFLICT:
        return "several workers fight for this id: give each its own WORKER_ID";
    case HB_CLOSE_REMOVED:
        return "an operator removed this worker; it registers again";
    case HB_CLOSE_RESTART:
        return "the manager restarts";
    default:
        return NULL;
    }
}

static void on_closed(void *owner, int close_code, struct hb_text reason)
{
    struct hb_agent *agent = owner;
    bool conflict = close_code == HB_CLOSE_REPLACED || close_code == HB_CLOSE_CONFLICT;
    if (reason.len == 0)
        reason.bytes = NULL; /* absent, not empty */
    bool leaving = agent->session.state == HB_SESSION_LEAVING || agent->session.state == HB_SESSION_CLOSING;
    if (leaving)
        hb_log(HB_LOG_INFO, "connection_closed", HB_LS("worker", agent->config->worker_id), HB_LI("code", close_code));
    else
        hb_log(conflict ? HB_LOG_ERROR : HB_LOG_WARN, "connection_lost", HB_LS("worker", agent->config->worker_id),
               HB_LI("code", close_code), HB_LT("reason", reason), HB_LS("meaning", close_advice(close_code)));
    note(agent, (struct hb_session_input){.kind = HB_SESSION_CLOSED, .close_code = close_code});
}

static void send_body(struct hb_agent *agent)
{
    enum hb_err err = hb_buf_status(&agent->body);
    if (err == HB_OK)
        err = hb_ws_client_send(agent->client, (struct hb_text){agent->body.bytes, agent->body.len});
    if (err != HB_OK)
        hb_log(HB_LOG_WARN, "beat_not_sent", HB_LS("worker", agent->config->worker_id),
               HB_LS("error", hb_err_text(err)));
}

static void send_beat(struct hb_agent *agent)
{
    struct hb_message_beat beat = {
        .draining = agent->session.draining,
        .at = hb_wall_now(),
        .usage = hb_process_stats_sample(&agent->stats, hb_mono_now()),
        .counts = hb_http_service_counts(agent->service),
    };
    hb_buf_clear(&agent->body);
    hb_message_beat(&agent->body, agent->config, &beat);
    send_body(agent);
}

static void send_bye(struct hb_agent *agent)
{
    hb_buf_clear(&agent->body);
    hb_message_bye(&agent->body);
    send_body(agent);
}

/* --- actions ----------------------------------------------------------------------------------------------------- */

static void do_abort(struct hb_agent *agent)
{
    hb_resolver_forget(&agent->resolver);
    hb_ws_client_abort(agent->client);
    agent->noted_count = 0; /* they came from what was just dropped */
}

static void do_resolve(struct hb_agent *agent)
{
    if (hb_resolver_start(&agent->resolver, agent->config->manager_host, (int)agent->config->manager_port) != HB_OK) {
        hb_log(HB_LOG_WARN, "resolve_failed", HB_LS("manager", agent->config->manager_host),
               HB_LS("error", "the look-up cannot start"));
        note(agent, (struct hb_session_input){.kind = HB_SESSION_RESOLVE_FAILED});
    }
}

static void do_connect(struct hb_agent *agent)
{
    struct hb_ws_client_target target = target_in_use(agent);
    enum hb_err err = hb_ws_client_connect(agent->client, &target, agent->socket_path);
    if (err != HB_OK)
        on_connect_failed(agent, hb_err_text(err));
}

static void do_register(struct hb_agent *agent)
{
    const char *failure = send_registration(agent);
    if (failure != NULL)
        on_register_failed(agent, failure);
}

static void carry_out(struct hb_agent *agent, unsigned actions)
{
    if (actions & HB_SESSION_DO_ABORT)
        do_abort(agent);
    if (actions & HB_SESSION_DO_RESOLVE)
        do_resolve(agent);
    if (actions & HB_SESSION_DO_REGISTER)
        do_register(agent);
    if (actions & HB_SESSION_DO_CONNECT)
        do_connect(agent);
    if (actions & HB_SESSION_DO_SEND_BEAT)
        send_beat(agent);
    if (actions & HB_SESSION_DO_SEND_BYE)
        send_bye(agent);
    if (actions & HB_SESSION_DO_CLOSE)
        hb_ws_client_close(agent->client);
    if (actions & HB_SESSION_DO_STOP)
        agent->on_stopped(agent->owner);
}

static void log_state(struct hb_agent *agent, enum hb_session_state before, unsigned actions)
{
    if (actions & HB_SESSION_DO_ABORT && before != HB_SESSION_IDLE && agent->session.state != HB_SESSION_STOPPED)
        hb_log(HB_LOG_WARN, before == HB_SESSION_ONLINE ? "connection_dropped" : "attempt_timed_out",
               HB_LS("worker", agent->config->worker_id), HB_LS("manager", agent->config->manager_host));
    if (agent->session.state == HB_SESSION_WAITING && before != HB_SESSION_WAITING)
        hb_log(HB_LOG_INFO, "reconnecting", HB_LS("worker", agent->config->worker_id),
               HB_LD("in", hb_mono_between(hb_mono_now(), agent->session.retry_at)),
               HB_LI("failures", agent->session.failures));
}

static void take(struct hb_agent *agent, struct hb_session_input input)
{
    enum hb_session_state before = agent->session.state;
    input.random = hb_identity_random();
    unsigned actions = hb_session_step(&agent->session, &input, hb_mono_now());
    log_state(agent, before, actions);
    carry_out(agent, actions);
    arm_timer(agent);
}

/* --- life -------------------------------------------------------------------------------------------------------- */

struct hb_agent *hb_agent_new(uv_loop_t *loop, const struct hb_worker_config *config, struct hb_lws_host *host,
                              struct hb_http_service *service)
{
    struct hb_agent *agent = calloc(1, sizeof *agent);
    if (agent == NULL)
        return NULL;
    struct hb_ws_client_events events = {
        .owner = agent,
        .on_answer = on_answer,
        .on_register_failed = on_register_failed,
        .on_connected = on_connected,
        .on_connect_failed = on_connect_failed,
        .on_message = on_message,
        .on_closed = on_closed,
    };
    struct hb_session_config session_config = {
        .interval_ms = config->heartbeat_interval_ms,
        .reconnect_max_ms = config->reconnect_max_ms,
        .drain_ms = config->drain_ms,
        .beats_max = hb_behaviour_beats_max((enum hb_behaviour_kind)config->worker_behaviour),
        .online_max_ms = hb_behaviour_online_max_ms((enum hb_behaviour_kind)config->worker_behaviour),
    };
    agent->loop = loop;
    agent->config = config;
    agent->service = service;
    hb_session_init(&agent->session, &session_config);
    hb_resolver_init(&agent->resolver, loop, on_resolved, agent);
    hb_process_stats_init(&agent->stats, hb_mono_now());
    hb_buf_init(&agent->body, HB_BODY_BYTES_MAX);
    snprintf(agent->socket_path, sizeof agent->socket_path, "%s%s", HB_WS_PATH_PREFIX, config->worker_id);
    agent->decoder = hb_decoder_new();
    agent->client = hb_ws_client_new(host, config->heartbeat_interval_ms, &events);
    if (agent->decoder == NULL || agent->client == NULL) {
        hb_agent_free(agent);
        return NULL;
    }
    return agent;
}

void hb_agent_start(struct hb_agent *agent, void (*on_stopped)(void *owner), void *owner)
{
    agent->on_stopped = on_stopped;
    agent->owner = owner;
    uv_timer_init(agent->loop, &agent->timer);
    agent->timer.data = agent;
    take(agent, (struct hb_session_input){.kind = HB_SESSION_START});
}

void hb_agent_request_stop(struct hb_agent *agent)
{
    hb_log(HB_LOG_INFO, "stopping", HB_LS("worker", agent->config->worker_id),
           HB_LD("drain", agent->session.draining ? 0 : agent->config->drain_ms));
    take(agent, (struct hb_session_input){.kind = HB_SESSION_STOP_REQUESTED});
}

bool hb_agent_close(struct hb_agent *agent)
{
    hb_ws_client_abort(agent->client);
    uv_close((uv_handle_t *)&agent->timer, NULL);
    return hb_resolver_cancel(&agent->resolver);
}

void hb_agent_free(struct hb_agent *agent)
{
    if (agent == NULL)
        return;
    hb_ws_client_free(agent->client);
    hb_decoder_free(agent->decoder);
    hb_buf_free(&agent->body);
    free(agent);
}
