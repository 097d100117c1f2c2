/*
 * How hiredis ends a context decides the shape of this file. A context that fails is freed by hiredis: after the
 * connect callback has said so, or with on_disconnected when it was connected. One that we end (end_context) is freed
 * by redisAsyncFree, which from inside a reply's callback waits until that has returned; until then the state is ENDING
 * and no command is accepted. Each way passes through attempt_over or on_disconnected exactly once.
 */
#include "manager/io/redis_link.h"

#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "manager/app/list.h"
#include "manager/io/hiredis_uv.h"
#include "proto/base/log.h"
#include "proto/base/time.h"

#define PING_EVERY_MS 1000
#define LATE_MS 250 /* a timer that fires later than this was held up by ourselves */
#define REPRIEVE_MS 50
#define COMMAND_BYTES_MAX (16u << 20)
#define CAUSE_SIZE 160

enum link_state {
    WAITING,    /* no connection; the timer starts the next attempt */
    RESOLVING,  /* the name is being looked up */
    CONNECTING, /* a context exists, its socket is not connected yet */
    GREETING,   /* connected: AUTH, SELECT, PING are under way */
    UP,         /* commands are accepted */
    ENDING,     /* we gave the connection up; hiredis has yet to let go of the context */
    CLOSED,     /* no callbacks any more; waiting for libuv to let go of the handles */
};

/* A command that has no answer yet. */
struct pending {
    struct hb_link link; /* the first member; in the link's `pending`, oldest first */
    hb_redis_reply_fn reply_fn;
    void *self;
    hb_mono_ms sent;
    uint64_t sent_ns;
};

struct hb_redis_link {
    uv_timer_t timer; /* retry, connect timeout, watchdog: whatever the state needs */
    uv_getaddrinfo_t lookup;
    uv_loop_t *loop;
    struct hb_redis_link_config config;
    struct hb_redis_link_events events;
    enum link_state state;
    bool timer_open, lookup_busy, announced, reprieved;
    struct addrinfo *addresses, *next_address;
    redisAsyncContext *context;
    struct hb_link pending;
    hb_mono_ms timer_due, last_heard;
    struct hb_buf wire;          /* the command under construction */
    char cause[CAUSE_SIZE];      /* why the connection is being ended */
    char last_cause[CAUSE_SIZE]; /* what was logged last, so that it is not logged every 500 ms */
};

static void attempt(struct hb_redis_link *link);
static void on_timer(uv_timer_t *timer);

static void arm(struct hb_redis_link *link, int64_t delay_ms)
{
    link->timer_due = hb_mono_add(hb_mono_now(), delay_ms);
    uv_update_time(link->loop); /* libuv counts from the start of the loop's turn, which may be long ago */
    uv_timer_start(&link->timer, on_timer, (uint64_t)delay_ms, 0);
}

/* ---- the end of attempts and connections ---- */

static void forget_addresses(struct hb_redis_link *link)
{
    if (link->addresses != NULL)
        uv_freeaddrinfo(link->addresses);
    link->addresses = NULL;
    link->next_address = NULL;
}

static void log_unreachable(struct hb_redis_link *link, const char *cause)
{
    if (strcmp(link->last_cause, cause) == 0)
        return;
    snprintf(link->last_cause, sizeof link->last_cause, "%s", cause);
    hb_log(HB_LOG_WARN, "redis_unreachable", HB_LS("host", link->config.host), HB_LI("port", link->config.port),
           HB_LS("cause", cause));
}

/* One address did not lead to a usable connection: on to the next, or to a pause. */
static void attempt_over(struct hb_redis_link *link, const char *cause)
{
    link->state = WAITING;
    link->context = NULL;
    if (link->next_address != NULL) {
        arm(link, 0);
        return;
    }
    forget_addresses(link);
    log_unreachable(link, cause);
    arm(link, HB_REDIS_RETRY_MS);
}

static void went_down(struct hb_redis_link *link, const char *cause)
{
    link->announced = false;
    link->state = WAITING;
    link->context = NULL;
    forget_addresses(link);
    arm(link, HB_REDIS_RETRY_MS);
    hb_log(HB_LOG_WARN, "redis_disconnected", HB_LS("host", link->config.host), HB_LI("port", link->config.port),
           HB_LS("cause", cause));
    link->events.down(link->events.self, cause);
}

static void on_disconnected(const redisAsyncContext *context, int status)
{
    struct hb_redis_link *link = context->data;
    char cause[CAUSE_SIZE];

    (void)status;
    if (link == NULL) /* closed */
        return;
    snprintf(cause, sizeof cause, "%s", link->state == ENDING ? link->cause : context->errstr);
    if (link->announced)
        went_down(link, cause);
    else
        attempt_over(link, cause);
}

/* Gives up the present connection, also from inside one of its callbacks. */
static void end_context(struct hb_redis_link *link, const char *cause)
{
    bool was_connecting = link->state == CONNECTING;

    snprintf(link->cause, sizeof link->cause, "%s", cause);
    link->state = ENDING;
    redisAsyncFree(link->context);
    if (was_connecting) /* then on_disconnected is not called */
        attempt_over(link, link->cause);
}

/* ---- commands ---- */

static void on_reply(redisAsyncContext *context, void *reply, void *data)
{
    struct hb_redis_link *link = context->data;
    struct pending *pending = data;
    struct pending answered = *pending;

    hb_link_remove(&pending->link);
    free(pending);
    if (link == NULL)
        return;
    link->last_heard = hb_mono_now();
    if (link->config.round_trips != NULL && reply != NULL)
        hb_histogram_add(link->config.round_trips, (int64_t)((uv_hrtime() - answered.sent_ns) / 1000));
    answered.reply_fn(answered.self, link->state == ENDING ? NULL : reply);
}

static void append_bulk(struct hb_buf *wire, struct hb_text text)
{
    hb_buf_append_char(wire, '$');
    hb_buf_append_i64(wire, (int64_t)text.len);
    hb_buf_append(wire, "\r\n", 2);
    hb_buf_append_text(wire, text);
    hb_buf_append(wire, "\r\n", 2);
}

/* Formats the command straight from the caller's texts: hiredis would first want two arrays of them, then copy too. */
static enum hb_err format(struct hb_redis_link *link, int argc, const struct hb_text *argv)
{
    struct hb_buf *wire = &link->wire;

    hb_buf_clear(wire);
    hb_buf_append_char(wire, '*');
    hb_buf_append_i64(wire, argc);
    hb_buf_append(wire, "\r\n", 2);
    for (int i = 0; i < argc; i++)
        append_bulk(wire, argv[i]);
    return hb_buf_status(wire);
}

static enum hb_err send_command(struct hb_redis_link *link, int argc, const struct hb_text *argv,
                                hb_redis_reply_fn reply_fn, void *self)
{
    enum hb_err err = format(link, argc, argv);
    struct pending *pending;

    if (err != HB_OK)
        return err;
    pending = malloc(sizeof *pending);
    if (pending == NULL)
        return HB_ERR_NO_MEMORY;
    *pending = (struct pending){.reply_fn = reply_fn, .self = self, .sent = hb_mono_now(), .sent_ns = uv_hrtime()};
    hb_link_init(&pending->link);
    if (redisAsyncFormattedCommand(link->context, on_reply, pending, link->wire.bytes, link->wire.len) != REDIS_OK) {
        free(pending);
        return HB_ERR_IO;
    }
    hb_link_insert(&link->pending, &pending->link);
    return HB_OK;
}

enum hb_err hb_redis_link_command(struct hb_redis_link *link, int argc, const struct hb_text *argv,
                                  hb_redis_reply_fn reply_fn, void *self)
{
    if (link->state != UP)
        return HB_ERR_IO;
    return send_command(link, argc, argv, reply_fn, self);
}

/* ---- the greeting: AUTH, SELECT and PING in one go ---- */

static void on_greeted(void *self, const redisReply *reply)
{
    struct hb_redis_link *link = self;

    if (reply != NULL && reply->type == REDIS_REPLY_ERROR)
        end_context(link, reply->str);
}

/* Whatever the answer to PING says, the link is up: errors (LOADING, NOAUTH) are for the level above to see and tell.
 */
static void on_first_pong(void *self, const redisReply *reply)
{
    struct hb_redis_link *link = self;

    if (reply == NULL)
        return;
    link->state = UP;
    link->announced = true;
    link->last_cause[0] = '\0';
    arm(link, PING_EVERY_MS);
    hb_log(HB_LOG_INFO, "redis_connected", HB_LS("host", link->config.host), HB_LI("port", link->config.port));
    link->events.up(link->events.self);
}

static enum hb_err greet_auth(struct hb_redis_link *link)
{
    const struct hb_redis_link_config *config = &link->config;
    struct hb_text argv[3] = {HB_TEXT("AUTH")};
    int argc = 1;

    if (config->password == NULL)
        return HB_OK;
    if (config->username != NULL)
        argv[argc++] = hb_text_of(config->username);
    argv[argc++] = hb_text_of(config->password);
    return send_command(link, argc, argv, on_greeted, link);
}

static enum hb_err greet_select(struct hb_redis_link *link)
{
    char db[16];
    struct hb_text argv[2] = {HB_TEXT("SELECT")};

    if (link->config.db == 0)
        return HB_OK;
    snprintf(db, sizeof db, "%d", link->config.db);
    argv[1] = hb_text_of(db);
    return send_command(link, 2, argv, on_greeted, link);
}

/*
 * A stopped server still accepts connections, by its kernel; so it takes an answer to call the link up. What cannot be
 * sent for want of memory is not answered either, and ends in the watchdog.
 */
static void greet(struct hb_redis_link *link)
{
    /* What could not be sent is never answered: the timeout then ends this attempt. */
    if (greet_auth(link) != HB_OK || greet_select(link) != HB_OK ||
        send_command(link, 1, &HB_TEXT("PING"), on_first_pong, link) != HB_OK)
        hb_log(HB_LOG_WARN, "redis_not_greeted", HB_LS("cause", hb_err_text(HB_ERR_NO_MEMORY)));
    link->state = GREETING;
    link->last_heard = hb_mono_now();
    arm(link, HB_REDIS_TIMEOUT_MS);
}

/* ---- connecting ---- */

static void on_connected(const redisAsyncContext *context, int status)
{
    struct hb_redis_link *link = context->data;

    if (link == NULL)
        return;
    if (status == REDIS_OK) /* the context must not be freed in here, whatever happens */
        greet(link);
    else
        attempt_over(link, context->c.errstr);
}

static void connect_to(struct hb_redis_link *link, const char *address)
{
    redisAsyncContext *context = redisAsyncConnect(address, link->config.port);
    char cause[CAUSE_SIZE] = "out of memory";

    if (context != NULL && context->err == 0 && hb_hiredis_uv_attach(link->loop, context) == HB_OK) {
        context->data = link;
        link->context = context;
        link->state = CONNECTING;
        arm(link, HB_REDIS_TIMEOUT_MS);
        redisAsyncSetDisconnectCallback(context, on_disconnected);
        redisAsyncSetConnectCallback(context, on_connected);
        return;
    }
    if (context != NULL) {
        if (context->err != 0)
            snprintf(cause, sizeof cause, "%s", context->errstr);
        redisAsyncFree(context);
    }
    attempt_over(link, cause);
}

static void connect_next(struct hb_redis_link *link)
{
    const struct addrinfo *address = link->next_address;
    char text[NI_MAXHOST];

    link->next_address = address->ai_next;
    if (getnameinfo(address->ai_addr, address->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) != 0)
        attempt_over(link, "the name has an address of an unknown kind");
    else
        connect_to(link, text);
}

static void release(struct hb_redis_link *link)
{
    if (link->timer_open || link->lookup_busy)
        return;
    hb_buf_free(&link->wire);
    free(link);
}

static void on_looked_up(uv_getaddrinfo_t *lookup, int status, struct addrinfo *addresses)
{
    struct hb_redis_link *link = lookup->data;

    link->lookup_busy = false;
    if (link->state == CLOSED) {
        uv_freeaddrinfo(addresses);
        release(link);
    } else if (status < 0) {
        attempt_over(link, uv_strerror(status));
    } else {
        link->addresses = addresses;
        link->next_address = addresses;
        connect_next(link);
    }
}

static void look_up(struct hb_redis_link *link)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    int err = uv_getaddrinfo(link->loop, &link->lookup, on_looked_up, link->config.host, NULL, &hints);

    if (err < 0) {
        attempt_over(link, uv_strerror(err));
        return;
    }
    link->state = RESOLVING;
    link->lookup_busy = true;
}

static void attempt(struct hb_redis_link *link)
{
    if (link->next_address != NULL)
        connect_next(link);
    else
        look_up(link);
}

/* ---- the timer ---- */

static void on_pong(void *self, const redisReply *reply)
{
    (void)self; /* that it came is what counts, and last_heard has it */
    (void)reply;
}

/* When the connection is to be given up if nothing is heard; or, with nothing to hear, when to ask. */
static hb_mono_ms watch_deadline(const struct hb_redis_link *link)
{
    if (hb_link_is_alone(&link->pending))
        return hb_mono_add(link->last_heard, PING_EVERY_MS);
    return hb_mono_add(((const struct pending *)link->pending.next)->sent, HB_REDIS_TIMEOUT_MS);
}

static void watch(struct hb_redis_link *link)
{
    hb_mono_ms now = hb_mono_now();
    int64_t left_ms = hb_mono_between(now, watch_deadline(link));

    if (left_ms <= 0 && !hb_link_is_alone(&link->pending)) {
        end_context(link, "no answer");
        return;
    }
    if (left_ms <= 0 && send_command(link, 1, &HB_TEXT("PING"), on_pong, link) != HB_OK)
        left_ms = HB_REDIS_RETRY_MS; /* no memory for it: ask again soon */
    arm(link, left_ms > 0 && left_ms < PING_EVERY_MS ? left_ms : PING_EVERY_MS);
}

static void on_timer(uv_timer_t *timer)
{
    struct hb_redis_link *link = timer->data;
    bool late = hb_mono_between(link->timer_due, hb_mono_now()) > LATE_MS;

    /* It was us who were away, not Redis: libuv runs timers first, so let the sockets be read before judging. */
    if (late && !link->reprieved && link->state != WAITING) {
        link->reprieved = true;
        arm(link, REPRIEVE_MS);
        return;
    }
    link->reprieved = false;
    switch (link->state) {
    case WAITING:
        attempt(link);
        break;
    case CONNECTING:
        end_context(link, "connect timed out");
        break;
    case GREETING:
        end_context(link, "no answer");
        break;
    case UP:
        watch(link);
        break;
    case RESOLVING:
    case ENDING:
    case CLOSED:
        break;
    }
}

/* ---- life ---- */

struct hb_redis_link *hb_redis_link_new(struct uv_loop_s *loop, const struct hb_redis_link_config *config,
                                        struct hb_redis_link_events events)
{
    struct hb_redis_link *link = calloc(1, sizeof *link);

    if (link == NULL)
        return NULL;
    link->loop = loop;
    link->config = *config;
    link->events = events;
    link->state = WAITING;
    hb_link_init(&link->pending);
    hb_buf_init(&link->wire, COMMAND_BYTES_MAX);
    uv_timer_init(loop, &link->timer);
    link->timer.data = link;
    link->timer_open = true;
    link->lookup.data = link;
    return link;
}

void hb_redis_link_start(struct hb_redis_link *link)
{
    arm(link, 0);
}

bool hb_redis_link_is_up(const struct hb_redis_link *link)
{
    return link->state == UP;
}

void hb_redis_link_reset(struct hb_redis_link *link, const char *cause)
{
    if (link->state == UP)
        end_context(link, cause);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct hb_redis_link *link = handle->data;

    link->timer_open = false;
    release(link);
}

void hb_redis_link_close(struct hb_redis_link *link)
{
    redisAsyncContext *context = link->context;

    link->state = CLOSED;
    link->context = NULL;
    if (context != NULL) {
        context->data = NULL; /* from here on its callbacks are silent */
        redisAsyncFree(context);
    }
    forget_addresses(link);
    if (link->lookup_busy)
        uv_cancel((uv_req_t *)&link->lookup); /* one that is running already is waited for */
    uv_close((uv_handle_t *)&link->timer, on_timer_closed);
}
