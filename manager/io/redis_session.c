/*
 * The conversation with Redis, one step at a time; nothing overlaps, so an answer always belongs to the phase:
 *
 *   DOWN ──up──► SCRIPT ──► META ──first time──► FENCE ──► READ (restore) ──► FLOW ◄─► one batch in flight
 *                             ├──gone or behind──────────► READ (ghosts) ──────┘ ▲
 *                             └──where we left it────────────────────────────────┘
 *
 * Any step may be refused: then PAUSED, and the retry timer takes it up where it was, or at META for a pass over the
 * hash. A batch that is answered BEHIND goes to READ (ghosts), and so does one that found fewer fields in the hash than
 * rows were stored; one whose script is unknown goes to SCRIPT.
 */
#include "manager/io/redis_session.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "manager/io/redis_batch.h"
#include "manager/io/redis_load.h"
#include "manager/io/redis_script.h"
#include "manager/io/redis_trouble.h"
#include "proto/base/log.h"
#include "proto/wire/limits.h"
#include "proto/wire/names.h"

#define FENCED_RETRY_MS 5000
#define CHECK_MS 1000 /* an idle store looks so often whether meta and rows are still there */
#define SHA_LEN 40
#define FIELD_SIZE (HB_HOST_MAX + 16)

enum phase { DOWN, SCRIPT, META, FENCE, READ, FLOW, PAUSED, CLOSED };

struct hb_redis_session {
    uv_timer_t retry; /* ends PAUSED */
    struct hb_manager *manager;
    struct hb_registry *registry;
    struct hb_redis_session_events events;
    struct hb_redis_link *link;
    struct hb_redis_load *load;
    struct hb_redis_batch *batch;
    struct hb_redis_store_counters counters;
    enum phase phase;
    enum phase resume;               /* what PAUSED returns to */
    struct hb_redis_trouble trouble; /* until a batch succeeds */
    bool loaded;
    bool in_flight;       /* of FLOW */
    bool begin;           /* the next batch makes meta ours */
    bool check;           /* the next batch is sent even if it is empty */
    bool more_ghosts;     /* than fit into one pass */
    uint64_t acked_seq;   /* the last known to be stored in this epoch */
    uint64_t acked_batch; /* the last known to have written anything */
    uint64_t sent_batches;
    uint64_t fenced_epoch;   /* meta may show this one because we have put it there; 0 none */
    uint64_t reconciled_seq; /* the hash was compared with memory when this was the registry's seq */
    hb_mono_ms last_batch;
    char sha[SHA_LEN + 1];
};

static void flow(struct hb_redis_session *session);
static void enter(struct hb_redis_session *session, enum phase phase);

static enum hb_err command(struct hb_redis_session *session, int argc, const struct hb_text *argv, hb_redis_reply_fn fn)
{
    session->counters.commands++;
    return hb_redis_link_command(session->link, argc, argv, fn, session);
}

/* ---- trouble ---- */

static void pause_until(struct hb_redis_session *session, enum phase resume, int64_t delay_ms);

static const char *error_of(const struct redisReply *reply, const char *otherwise)
{
    return reply->type == REDIS_REPLY_ERROR ? reply->str : otherwise;
}

static void refused(struct hb_redis_session *session, const char *error, enum phase resume)
{
    hb_redis_trouble_refused(&session->trouble, error);
    pause_until(session, resume, HB_REDIS_RETRY_MS);
}

static void fenced(struct hb_redis_session *session, enum phase resume)
{
    hb_redis_trouble_fenced(&session->trouble, hb_manager_id(session->manager));
    pause_until(session, resume, FENCED_RETRY_MS);
}

/* ---- writing everything again ---- */

/* First a pass over the hash, for rows of workers that are no more; then all rows, then what events are left. */
static void rewrite(struct hb_redis_session *session, const char *cause)
{
    session->counters.rewrites++;
    session->begin = true;
    session->more_ghosts = false;
    session->reconciled_seq = hb_registry_seq(session->registry);
    hb_log(HB_LOG_WARN, "redis_rewrite", HB_LS("cause", cause), HB_LI("workers", hb_registry_count(session->registry)));
    hb_redis_batch_forget_ghosts(session->batch);
    enter(session, READ);
}

static bool on_ghost(void *self, struct hb_text id)
{
    struct hb_redis_session *session = self;

    session->more_ghosts = !hb_redis_batch_add_ghost(session->batch, id);
    return !session->more_ghosts;
}

static void on_read(void *self, const char *error)
{
    struct hb_redis_session *session = self;

    if (session->phase == CLOSED)
        return;
    if (error != NULL) {
        refused(session, error, META);
        return;
    }
    if (session->loaded) {
        hb_redis_batch_rewrite(session->batch);
    } else {
        hb_manager_stored_epoch(session->manager, hb_redis_load_epoch(session->load));
        hb_manager_restored(session->manager);
    }
    session->loaded = true;
    enter(session, FLOW);
}

/* ---- batches ---- */

/* A rewrite has forgotten what was stored before, so its own first batches are never short of anything. */
static bool rows_are_missing(const struct hb_redis_session *session, const struct hb_script_result *result)
{
    return result->fields < hb_mirror_stored_count(hb_manager_mirror(session->manager));
}

static void batch_done(struct hb_redis_session *session, const struct hb_script_result *result)
{
    struct hb_script_args *args = hb_redis_batch_args(session->batch);

    session->counters.batches++;
    session->counters.rows += hb_script_row_count(args);
    session->counters.events += hb_script_event_count(args);
    session->counters.bytes += hb_script_bytes(args);
    session->acked_seq = result->seq;
    if (session->begin || hb_script_bytes(args) > 0)
        session->acked_batch = session->sent_batches;
    session->begin = false;
    session->last_batch = hb_mono_now();
    hb_redis_batch_acked(session->batch, result->seq);
    hb_redis_trouble_over(&session->trouble, hb_outbox_count(hb_manager_outbox(session->manager)));
    session->events.stored(session->events.self);
    if (rows_are_missing(session, result))
        rewrite(session, "rows are missing from the hash");
    else
        flow(session);
}

static void on_batch(void *self, const struct redisReply *reply)
{
    struct hb_redis_session *session = self;
    struct hb_script_result result;
    enum hb_script_answer answer;

    session->in_flight = false;
    answer = reply == NULL ? HB_SCRIPT_REFUSED : hb_script_read(reply, &result);
    if (answer == HB_SCRIPT_DONE) {
        batch_done(session, &result);
        return;
    }
    session->counters.failures++;
    hb_redis_batch_failed(session->batch);
    if (reply == NULL) /* whether it was executed is unknown; the link tells that it is down */
        return;
    switch (answer) {
    case HB_SCRIPT_BEHIND:
        rewrite(session, "the mirror in Redis was emptied or is an older copy");
        break;
    case HB_SCRIPT_FENCED:
        fenced(session, FLOW);
        break;
    case HB_SCRIPT_UNLOADED:
        enter(session, SCRIPT);
        break;
    case HB_SCRIPT_DONE:
    case HB_SCRIPT_REFUSED:
        refused(session, error_of(reply, "the script was not answered as expected"), FLOW);
        break;
    }
}

static bool events_were_lost(const struct hb_redis_session *session)
{
    const struct hb_outbox *outbox = hb_manager_outbox(session->manager);

    return hb_outbox_lost(outbox) > 0 && hb_outbox_lost_seq(outbox) > session->reconciled_seq;
}

static enum hb_err call_script(struct hb_redis_session *session, hb_redis_reply_fn fn)
{
    const struct hb_script_head head = {
        .sha = hb_text_of(session->sha),
        .manager = hb_manager_id(session->manager),
        .epoch = hb_registry_epoch(session->registry),
        .seq = session->acked_seq,
        .batch = session->acked_batch,
        .number = ++session->sent_batches,
        .begin = session->begin,
    };
    const struct hb_text *argv;
    int argc = hb_script_command(hb_redis_batch_args(session->batch), &head, &argv);

    return command(session, argc, argv, fn);
}

static void send_batch(struct hb_redis_session *session)
{
    session->check = false;
    if (call_script(session, on_batch) == HB_OK) {
        session->in_flight = true;
        return;
    }
    hb_redis_batch_failed(session->batch);
    hb_redis_link_reset(session->link, "a batch could not be sent");
}

/* Whether Redis takes anything at all now, before the whole hash is read for it. */
static void send_probe(struct hb_redis_session *session)
{
    hb_script_args_clear(hb_redis_batch_args(session->batch));
    session->begin = true;
    send_batch(session);
}

/* Sends the next batch if there is something to send. */
static void flow(struct hb_redis_session *session)
{
    if (session->phase != FLOW || session->in_flight)
        return;
    if (events_were_lost(session) && session->trouble.state != HB_REDIS_IN_STEP)
        send_probe(session);
    else if (events_were_lost(session))
        rewrite(session, "events were lost");
    else if (session->more_ghosts && !hb_redis_batch_has_ghosts(session->batch))
        rewrite(session, "there are more stale rows");
    else if (hb_redis_batch_fill(session->batch) || session->begin || session->check)
        send_batch(session);
}

/* ---- the way to batches ---- */

static void on_script(void *self, const struct redisReply *reply)
{
    struct hb_redis_session *session = self;

    if (reply == NULL)
        return;
    if (reply->type != REDIS_REPLY_STRING || reply->len != SHA_LEN) {
        refused(session, error_of(reply, "SCRIPT LOAD was not answered with a digest"), SCRIPT);
        return;
    }
    memcpy(session->sha, reply->str, SHA_LEN);
    enter(session, META);
}

static enum hb_err load_script(struct hb_redis_session *session)
{
    const struct hb_text argv[] = {HB_TEXT("SCRIPT"), HB_TEXT("LOAD"), hb_script_text()};

    return command(session, 3, argv, on_script);
}

static uint64_t number_of(const struct redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING ? strtoull(reply->str, NULL, 10) : 0;
}

static void on_meta(void *self, const struct redisReply *reply)
{
    struct hb_redis_session *session = self;
    uint64_t epoch = hb_registry_epoch(session->registry);
    uint64_t stored_epoch, stored_seq, stored_batch;

    if (reply == NULL)
        return;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) {
        refused(session, error_of(reply, "HMGET was not answered with three fields"), META);
        return;
    }
    stored_epoch = number_of(reply->element[0]);
    stored_seq = number_of(reply->element[1]);
    stored_batch = number_of(reply->element[2]);
    if (!session->loaded) {
        if (stored_epoch != session->fenced_epoch)
            hb_manager_stored_epoch(session->manager, stored_epoch);
        session->begin = true;
        session->reconciled_seq = hb_registry_seq(session->registry);
        enter(session, FENCE);
    } else if (stored_epoch > epoch) {
        fenced(session, META);
    } else if (session->begin) {
        rewrite(session, "the last attempt was not finished");
    } else if (stored_epoch == epoch && stored_seq >= session->acked_seq && stored_batch >= session->acked_batch) {
        enter(session, FLOW);
    } else {
        rewrite(session, "the mirror in Redis was emptied or is an older copy");
    }
}

static enum hb_err ask_meta(struct hb_redis_session *session)
{
    struct hb_text manager = hb_manager_id(session->manager);
    char epoch[FIELD_SIZE], seq[FIELD_SIZE], batch[FIELD_SIZE];
    struct hb_text argv[5] = {HB_TEXT("HMGET"), HB_TEXT(HB_KEY_META)};

    snprintf(epoch, sizeof epoch, "%.*s:epoch", (int)manager.len, manager.bytes);
    snprintf(seq, sizeof seq, "%.*s:seq", (int)manager.len, manager.bytes);
    snprintf(batch, sizeof batch, "%.*s:batch", (int)manager.len, manager.bytes);
    argv[2] = hb_text_of(epoch);
    argv[3] = hb_text_of(seq);
    argv[4] = hb_text_of(batch);
    return command(session, 5, argv, on_meta);
}

/*
 * Before rows of an earlier life are read, meta becomes ours: a batch of that life which Redis has held up would else
 * change them behind our back. Where Redis takes no writes there is nothing that could, and the rows are read all the
 * same.
 */
static void on_fenced_off(void *self, const struct redisReply *reply)
{
    struct hb_redis_session *session = self;
    struct hb_script_result unused;
    enum hb_script_answer answer;

    if (reply == NULL)
        return;
    answer = hb_script_read(reply, &unused);
    if (answer == HB_SCRIPT_FENCED)
        fenced(session, META);
    else if (answer == HB_SCRIPT_UNLOADED)
        enter(session, SCRIPT);
    else
        enter(session, READ);
}

static enum hb_err fence_off(struct hb_redis_session *session)
{
    hb_script_args_clear(hb_redis_batch_args(session->batch));
    session->fenced_epoch = hb_registry_epoch(session->registry);
    return call_script(session, on_fenced_off);
}

static enum hb_err read_hash(struct hb_redis_session *session)
{
    return session->loaded ? hb_redis_load_find_ghosts(session->load) : hb_redis_load_restore(session->load);
}

static void enter(struct hb_redis_session *session, enum phase phase)
{
    enum hb_err err = HB_OK;

    session->phase = phase;
    switch (phase) {
    case SCRIPT:
        err = load_script(session);
        break;
    case META:
        err = ask_meta(session);
        break;
    case FENCE:
        err = fence_off(session);
        break;
    case READ:
        err = read_hash(session);
        break;
    case FLOW:
        flow(session);
        break;
    case DOWN:
    case PAUSED:
    case CLOSED:
        break;
    }
    if (err != HB_OK)
        hb_redis_link_reset(session->link, hb_err_text(err));
}

/* ---- what happens ---- */

static void on_retry(uv_timer_t *timer)
{
    struct hb_redis_session *session = timer->data;

    if (session->phase != PAUSED)
        return;
    session->check = true;
    enter(session, session->resume);
}

static void pause_until(struct hb_redis_session *session, enum phase resume, int64_t delay_ms)
{
    session->phase = PAUSED;
    session->resume = resume;
    uv_timer_start(&session->retry, on_retry, (uint64_t)delay_ms, 0);
    session->events.troubled(session->events.self);
}

static void on_up(void *self)
{
    enter(self, SCRIPT);
}

static void on_down(void *self, const char *cause)
{
    struct hb_redis_session *session = self;

    (void)cause; /* the link has logged it */
    session->phase = DOWN;
    hb_redis_trouble_forget(&session->trouble);
    uv_timer_stop(&session->retry);
    session->events.troubled(session->events.self);
}

/* ---- what the store asks ---- */

void hb_redis_session_flow(struct hb_redis_session *session)
{
    flow(session);
}

void hb_redis_session_check(struct hb_redis_session *session)
{
    if (hb_mono_between(session->last_batch, hb_mono_now()) >= CHECK_MS)
        session->check = true;
    flow(session);
}

bool hb_redis_session_is_drained(const struct hb_redis_session *session)
{
    return session->phase == FLOW && !session->in_flight && !session->begin && !hb_redis_batch_is_due(session->batch);
}

enum hb_redis_state hb_redis_session_state(const struct hb_redis_session *session)
{
    if (session->phase == DOWN || session->phase == CLOSED)
        return HB_REDIS_AWAY;
    if (session->trouble.state != HB_REDIS_IN_STEP)
        return session->trouble.state;
    return session->phase == FLOW && !session->begin ? HB_REDIS_IN_STEP : HB_REDIS_LOADING;
}

bool hb_redis_session_loaded(const struct hb_redis_session *session)
{
    return session->loaded;
}

const struct hb_redis_store_counters *hb_redis_session_counters(const struct hb_redis_session *session)
{
    return &session->counters;
}

/* ---- life ---- */

struct hb_redis_session *hb_redis_session_new(struct uv_loop_s *loop, const struct hb_redis_link_config *config,
                                              struct hb_manager *manager, struct hb_redis_session_events events)
{
    struct hb_redis_session *session = calloc(1, sizeof *session);
    struct hb_redis_link_config link_config = *config;

    if (session == NULL)
        return NULL;
    link_config.round_trips = &hb_manager_metrics(manager)->redis_round_trip;
    session->manager = manager;
    session->registry = hb_manager_registry(manager);
    session->events = events;
    hb_redis_trouble_init(&session->trouble);
    session->batch = hb_redis_batch_new(manager);
    session->link = hb_redis_link_new(loop, &link_config, (struct hb_redis_link_events){session, on_up, on_down});
    if (session->link != NULL)
        session->load =
            hb_redis_load_new(session->link, manager, (struct hb_redis_load_events){session, on_ghost, on_read});
    uv_timer_init(loop, &session->retry);
    session->retry.data = session;
    if (session->batch == NULL || session->load == NULL) {
        hb_redis_session_close(session);
        return NULL;
    }
    return session;
}

void hb_redis_session_start(struct hb_redis_session *session)
{
    hb_redis_link_start(session->link);
}

static void on_retry_closed(uv_handle_t *handle)
{
    struct hb_redis_session *session = handle->data;

    hb_redis_load_free(session->load);
    hb_redis_batch_free(session->batch);
    free(session);
}

void hb_redis_session_close(struct hb_redis_session *session)
{
    session->phase = CLOSED;
    if (session->link != NULL)
        hb_redis_link_close(session->link);
    uv_close((uv_handle_t *)&session->retry, on_retry_closed);
}
