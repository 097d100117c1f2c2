/*
 * The store decides when: it collects what a turn of the loop yields, keeps the flush timer, the tickets' deadlines and
 * the drain. What is said to Redis is redis_session's. Callbacks to others are made from on_turn and from the drain's
 * timer only, so that whoever is called may close the store.
 */
#include "manager/io/redis_store.h"

#include <stdlib.h>
#include <uv.h>

#include "manager/app/persist_tickets.h"
#include "manager/io/redis_session.h"

#define REFRESH_MOST 1024 /* rows built in one go: about half a millisecond, so that nobody's deadline waits longer */
#define REFRESH_PAUSE_MS 1

struct hb_redis_store {
    uv_prepare_t turn;   /* runs once after it was asked for, before the loop waits again */
    uv_timer_t flush;    /* rows that only beats have changed, and the look at meta */
    uv_timer_t deadline; /* of the earliest ticket */
    uv_timer_t drain;    /* ends the wait of hb_redis_store_drain */
    unsigned open_handles;
    bool closed;
    struct hb_manager *manager;
    struct hb_redis_session *session;
    struct hb_persist_tickets *tickets;
    int64_t flush_interval_ms;
    void (*drained)(void *self);
    void *drained_self;
};

/* ---- the end of a turn ---- */

static void end_drain(struct hb_redis_store *store)
{
    void (*drained)(void *self) = store->drained;

    uv_timer_stop(&store->drain);
    store->drained = NULL;
    drained(store->drained_self);
}

static void on_turn(uv_prepare_t *turn)
{
    struct hb_redis_store *store = turn->data;

    uv_prepare_stop(turn);
    hb_redis_session_flow(store->session);
    hb_persist_tickets_answer(store->tickets);
    if (store->closed) /* by one of them */
        return;
    if (hb_persist_tickets_answerable(store->tickets))
        uv_prepare_start(turn, on_turn);
    if (store->drained != NULL && hb_redis_session_is_drained(store->session))
        end_drain(store);
}

/*
 * A prepare handle runs after the timers of a turn and before the loop waits for the next one: whatever has woken the
 * store by then goes out together, and nothing waits longer than that.
 */
static void ask_turn(void *self)
{
    struct hb_redis_store *store = self;

    uv_prepare_start(&store->turn, on_turn);
}

static void after_close(void *self)
{
    (void)self;
}

/* ---- what the session tells ---- */

static void on_stored(void *self)
{
    struct hb_redis_store *store = self;

    hb_persist_tickets_stored(store->tickets);
    if (hb_persist_tickets_answerable(store->tickets) || store->drained != NULL)
        ask_turn(store);
}

static void on_troubled(void *self)
{
    struct hb_redis_store *store = self;

    hb_persist_tickets_give_up(store->tickets);
    ask_turn(store);
}

/* ---- timers ---- */

static void on_flush(uv_timer_t *timer)
{
    struct hb_redis_store *store = timer->data;

    if (hb_mirror_refresh_some(hb_manager_mirror(store->manager), REFRESH_MOST))
        uv_timer_start(timer, on_flush, REFRESH_PAUSE_MS, (uint64_t)store->flush_interval_ms);
    hb_redis_session_check(store->session);
}

static void on_deadline(uv_timer_t *timer);

static void arm_deadline(struct hb_redis_store *store)
{
    hb_mono_ms deadline = hb_persist_tickets_deadline(store->tickets);
    int64_t left_ms = hb_mono_between(hb_mono_now(), deadline);

    if (deadline.ms != HB_MONO_NEVER.ms)
        uv_timer_start(&store->deadline, on_deadline, left_ms > 0 ? (uint64_t)left_ms : 0, 0);
}

static void on_deadline(uv_timer_t *timer)
{
    struct hb_redis_store *store = timer->data;

    hb_persist_tickets_expire(store->tickets, hb_mono_now());
    arm_deadline(store);
    ask_turn(store);
}

static void on_drain_over(uv_timer_t *timer)
{
    end_drain(timer->data);
}

/* ---- what others ask ---- */

struct hb_persist_ticket *hb_redis_store_await(struct hb_redis_store *store, struct hb_text id, int64_t wait_ms,
                                               void (*done)(void *self, bool persisted), void *self)
{
    enum hb_redis_state state = hb_redis_store_state(store);
    bool hopeless = state != HB_REDIS_IN_STEP && state != HB_REDIS_LOADING;
    hb_mono_ms deadline = hb_mono_add(hb_mono_now(), wait_ms);
    struct hb_persist_ticket *ticket = hb_persist_tickets_add(store->tickets, id, deadline, hopeless, done, self);

    if (ticket == NULL)
        return NULL;
    if (hb_persist_tickets_answerable(store->tickets))
        ask_turn(store);
    arm_deadline(store);
    return ticket;
}

void hb_redis_store_drain(struct hb_redis_store *store, int64_t wait_ms, void (*done)(void *self), void *self)
{
    store->drained = done;
    store->drained_self = self;
    hb_mirror_refresh(hb_manager_mirror(store->manager));
    uv_timer_start(&store->drain, on_drain_over, (uint64_t)wait_ms, 0);
    ask_turn(store);
}

enum hb_redis_state hb_redis_store_state(const struct hb_redis_store *store)
{
    return hb_redis_session_state(store->session);
}

const char *hb_redis_store_state_text(enum hb_redis_state state)
{
    switch (state) {
    case HB_REDIS_AWAY:
        return "away";
    case HB_REDIS_LOADING:
        return "loading";
    case HB_REDIS_IN_STEP:
        return "in_step";
    case HB_REDIS_REFUSING:
        return "refusing";
    case HB_REDIS_FENCED:
        return "fenced";
    }
    return "unknown";
}

bool hb_redis_store_loaded(const struct hb_redis_store *store)
{
    return hb_redis_session_loaded(store->session);
}

const struct hb_redis_store_counters *hb_redis_store_counters(const struct hb_redis_store *store)
{
    return hb_redis_session_counters(store->session);
}

/* ---- life ---- */

static void open_handles(struct hb_redis_store *store, struct uv_loop_s *loop)
{
    uv_prepare_init(loop, &store->turn);
    uv_timer_init(loop, &store->flush);
    uv_timer_init(loop, &store->deadline);
    uv_timer_init(loop, &store->drain);
    store->turn.data = store;
    store->flush.data = store;
    store->deadline.data = store;
    store->drain.data = store;
    store->open_handles = 4;
}

struct hb_redis_store *hb_redis_store_new(struct uv_loop_s *loop, const struct hb_redis_store_config *config,
                                          struct hb_manager *manager)
{
    struct hb_redis_store *store = calloc(1, sizeof *store);
    struct hb_redis_session_events events = {store, on_stored, on_troubled};

    if (store == NULL)
        return NULL;
    store->manager = manager;
    store->flush_interval_ms = config->flush_interval_ms;
    store->tickets = hb_persist_tickets_new(hb_manager_registry(manager));
    if (store->tickets != NULL)
        store->session = hb_redis_session_new(loop, &config->link, manager, events);
    if (store->session == NULL) {
        hb_persist_tickets_free(store->tickets);
        free(store);
        return NULL;
    }
    open_handles(store, loop);
    hb_manager_set_store(manager, (struct hb_store_port){store, ask_turn});
    return store;
}

void hb_redis_store_start(struct hb_redis_store *store)
{
    uint64_t interval_ms = (uint64_t)store->flush_interval_ms;

    uv_timer_start(&store->flush, on_flush, interval_ms, interval_ms);
    hb_redis_session_start(store->session);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct hb_redis_store *store = handle->data;

    if (--store->open_handles > 0)
        return;
    hb_persist_tickets_free(store->tickets);
    free(store);
}

/* The manager may live on for a while, closing its sockets: its wake-ups then go nowhere. */
void hb_redis_store_close(struct hb_redis_store *store)
{
    store->closed = true;
    store->drained = NULL;
    hb_manager_set_store(store->manager, (struct hb_store_port){NULL, after_close});
    hb_persist_tickets_give_up(store->tickets);
    hb_persist_tickets_answer(store->tickets);
    hb_redis_session_close(store->session);
    uv_close((uv_handle_t *)&store->turn, on_handle_closed);
    uv_close((uv_handle_t *)&store->flush, on_handle_closed);
    uv_close((uv_handle_t *)&store->deadline, on_handle_closed);
    uv_close((uv_handle_t *)&store->drain, on_handle_closed);
}
