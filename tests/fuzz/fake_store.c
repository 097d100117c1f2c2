#include "tests/fuzz/fake_store.h"

#include <stdlib.h>

#include "tests/fuzz/fake_clock.h"
#include "tests/fuzz/fuzz.h"

struct hb_redis_store {
    struct hb_manager *manager;
    struct hb_persist_tickets *tickets;
    enum hb_redis_state state;
};

struct hb_redis_store *fake_store_new(struct hb_manager *manager)
{
    struct hb_redis_store *store = fuzz_alloc(1, sizeof *store);

    store->manager = manager;
    store->tickets = hb_persist_tickets_new(hb_manager_registry(manager));
    store->state = HB_REDIS_IN_STEP;
    return store;
}

void fake_store_free(struct hb_redis_store *store)
{
    hb_persist_tickets_give_up(store->tickets);
    hb_persist_tickets_answer(store->tickets);
    hb_persist_tickets_free(store->tickets);
    free(store);
}

void fake_store_set_state(struct hb_redis_store *store, enum hb_redis_state state)
{
    store->state = state;
    if (state == HB_REDIS_IN_STEP)
        return;
    hb_persist_tickets_give_up(store->tickets);
    hb_persist_tickets_answer(store->tickets);
}

void fake_store_batch(struct hb_redis_store *store, bool arrives)
{
    struct hb_mirror *mirror = hb_manager_mirror(store->manager);
    struct hb_outbox *outbox = hb_manager_outbox(store->manager);

    hb_mirror_refresh(mirror);
    while (hb_mirror_take(mirror) != NULL)
        ;
    if (!arrives) {
        hb_mirror_failed(mirror);
        return;
    }
    if (hb_outbox_count(outbox) > 0)
        hb_outbox_confirm(outbox, hb_outbox_at(outbox, hb_outbox_count(outbox) - 1)->seq);
    hb_mirror_acked(mirror);
    hb_persist_tickets_stored(store->tickets);
    hb_persist_tickets_answer(store->tickets);
}

void fake_store_time(struct hb_redis_store *store)
{
    hb_persist_tickets_expire(store->tickets, fake_now.mono);
    hb_persist_tickets_answer(store->tickets);
}

/* ---- what http_api calls ---- */

enum hb_redis_state hb_redis_store_state(const struct hb_redis_store *store)
{
    return store->state;
}

const char *hb_redis_store_state_text(enum hb_redis_state state)
{
    return state == HB_REDIS_IN_STEP ? "in_step" : "away";
}

bool hb_redis_store_loaded(const struct hb_redis_store *store)
{
    (void)store;
    return true;
}

struct hb_persist_ticket *hb_redis_store_await(struct hb_redis_store *store, struct hb_text id, int64_t wait_ms,
                                               void (*done)(void *self, bool persisted), void *self)
{
    return hb_persist_tickets_add(store->tickets, id, hb_mono_add(fake_now.mono, wait_ms),
                                  store->state != HB_REDIS_IN_STEP, done, self);
}
