#include "tests/sim/stack.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/app/manager.h"
#include "manager/io/redis_store.h"
#include "proto/base/log.h"
#include "tests/sim/memory.h"
#include "tests/sim/redis_client.h"
#include "tests/sim/redis_server.h"
#include "tests/sim/subscriber.h"
#include "tests/sim/uv_simulated.h"
#include "tests/sim/world.h"

#define DRAIN_MS 500      /* as main.c has it */
#define CATCH_UP_MS 15000 /* after trouble: a fenced store looks every 5 s, a refused one every 0.5 s */

static struct {
    struct sim *sim;
    struct hb_manager *manager;
    struct hb_redis_store *store;
    size_t outbox_ceiling;
    bool ending, drained, compare_next;
    int64_t began_at, drained_at; /* when all was stored the last time */
    uint64_t looks, compared, drains;
} stack;

/* ---- the clocks and the log, of which the product has only one ---- */

hb_mono_ms __wrap_hb_mono_now(void);
hb_wall_ms __wrap_hb_wall_now(void);
struct hb_moment __wrap_hb_moment_now(void);
bool __wrap_hb_log_enabled(enum hb_log_level level);

hb_mono_ms __wrap_hb_mono_now(void)
{
    return sim_moment(stack.sim).mono;
}

hb_wall_ms __wrap_hb_wall_now(void)
{
    return sim_moment(stack.sim).wall;
}

struct hb_moment __wrap_hb_moment_now(void)
{
    return sim_moment(stack.sim);
}

bool __wrap_hb_log_enabled(enum hb_log_level level)
{
    (void)level;
    return false;
}

/* An outbox that overflows in an outage of minutes, not days. */
struct hb_outbox *__real_hb_outbox_new(size_t ceiling);
struct hb_outbox *__wrap_hb_outbox_new(size_t ceiling);

struct hb_outbox *__wrap_hb_outbox_new(size_t ceiling)
{
    return __real_hb_outbox_new(stack.outbox_ceiling < ceiling ? stack.outbox_ceiling : ceiling);
}

/* ---- inputs and time ---- */

static void close_socket(void *self, void *socket, uint16_t close_code)
{
    bool inside = memory_inside(false);

    world_closed(self, (uint64_t)(uintptr_t)socket, close_code);
    memory_inside(inside);
}

enum hb_err stack_apply(struct sim *sim, const struct hb_input *input)
{
    /* Which ids were removed is not remembered when memory is short: what follows could not be foreseen. */
    bool inside = memory_inside(input->kind != HB_INPUT_REMOVE);
    enum hb_err err = hb_manager_apply(stack.manager, input, sim_moment(sim));

    memory_inside(inside);
    return err;
}

void stack_expire(struct sim *sim, unsigned most)
{
    bool inside = memory_inside(true);

    (void)hb_manager_expire(stack.manager, sim_moment(sim), most);
    memory_inside(inside);
}

void stack_stalled(struct sim *sim, int64_t gap_ms)
{
    (void)sim;
    hb_manager_stalled(stack.manager, gap_ms);
}

/* ---- turns ---- */

void stack_begin_turn(const struct sim *sim)
{
    uv_simulated_set_time(sim->now);
}

int64_t stack_next_timer(void)
{
    return uv_simulated_next();
}

void stack_run_timer(void)
{
    bool inside = memory_inside(true);

    uv_simulated_run_timer();
    memory_inside(inside);
}

int64_t stack_next_packet(const struct sim *sim)
{
    (void)sim;
    return client_next();
}

void stack_read(struct sim *sim)
{
    uv_simulated_set_time(sim->now);
    client_run();
}

/* ---- lives ---- */

bool stack_is_loaded(const struct sim *sim)
{
    return sim->registry != NULL && hb_redis_store_loaded(stack.store);
}

static bool open_life(struct sim *sim)
{
    static const struct hb_redis_store_config config = {.link = {.host = "simulated"}, .flush_interval_ms = 1000};

    stack.manager = hb_manager_new(HB_TEXT("m1"), &sim->rules, sim_moment(sim));
    if (stack.manager == NULL)
        return false;
    stack.store = hb_redis_store_new(NULL, &config, stack.manager);
    if (stack.store != NULL)
        return true;
    uv_simulated_run_closing();
    hb_manager_free(stack.manager);
    return false;
}

void stack_begin_life(struct sim *sim)
{
    bool inside = memory_inside(true);

    uv_simulated_set_time(sim->now);
    while (!open_life(sim))
        sim->counts.retries++;
    hb_manager_set_sockets(stack.manager, (struct hb_socket_port){.self = sim, .close = close_socket});
    hb_redis_store_start(stack.store);
    memory_inside(inside);
    stack.ending = stack.drained = stack.compare_next = false;
    stack.began_at = stack.drained_at = sim->now;
    sim->registry = hb_manager_registry(stack.manager);
    subscriber_new_life(sim);
}

static void on_drained(void *self)
{
    (void)self;
    stack.drained = true;
}

static void end(struct sim *sim)
{
    hb_redis_store_close(stack.store);
    uv_simulated_run_closing();
    if (uv_simulated_open_handles() != 0)
        timeline_break(&sim->timeline, TIMELINE_NOBODY, sim->now, "%d handles of the store are still open",
                       uv_simulated_open_handles());
    hb_manager_free(stack.manager);
    sim->registry = NULL;
}

bool stack_end_life(struct sim *sim, bool graceful)
{
    bool inside;

    if (!graceful) {
        end(sim);
        return true;
    }
    stack.ending = true;
    stack.drains++;
    inside = memory_inside(true);
    hb_redis_store_drain(stack.store, DRAIN_MS, on_drained, NULL);
    memory_inside(inside);
    return false;
}

bool stack_has_ended(struct sim *sim)
{
    if (!stack.ending || !stack.drained)
        return false;
    end(sim);
    return true;
}

/* ---- is the mirror what memory is? ---- */

static bool is_drained(void)
{
    const struct hb_outbox *outbox = hb_manager_outbox(stack.manager);

    return hb_redis_store_state(stack.store) == HB_REDIS_IN_STEP && hb_redis_store_loaded(stack.store) &&
           hb_outbox_count(outbox) == 0 && hb_outbox_lost(outbox) == 0 &&
           hb_mirror_dirty_count(hb_manager_mirror(stack.manager)) == 0 && client_is_idle();
}

/* Of one whose row is known to be stored. */
static void compare_row(struct sim *sim, uint32_t index, const struct hb_worker *worker)
{
    struct hb_text row = hb_mirror_row(worker);
    struct hb_text stored = server_row(index);
    char tail[96];
    char status[48];

    stack.compared++;
    if (!hb_text_equal(row, stored)) {
        timeline_break(&sim->timeline, index, sim->now, "Redis has %.*s, the mirror %.*s", (int)stored.len,
                       stored.bytes == NULL ? "" : stored.bytes, (int)row.len, row.bytes);
        return;
    }
    snprintf(tail, sizeof tail, "\"epoch\":%" PRIu64 ",\"seq\":%" PRIu64 "}", worker->epoch, worker->seq);
    snprintf(status, sizeof status, "\"status\":\"%s\"", hb_status_text((enum hb_status)worker->status));
    if (row.len < strlen(tail) || memcmp(row.bytes + row.len - strlen(tail), tail, strlen(tail)) != 0 ||
        memmem(row.bytes, row.len, status, strlen(status)) == NULL)
        timeline_break(&sim->timeline, index, sim->now, "memory has %s%s, the mirror %.*s", status, tail, (int)row.len,
                       row.bytes);
}

static void compare_mirror(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->options.workers; i++) {
        struct hb_text id = {sim->workers[i].id, sim->workers[i].id_len};
        const struct hb_worker *worker = hb_registry_find(sim->registry, id);

        if (worker == NULL && server_row(i).bytes != NULL)
            timeline_break(&sim->timeline, i, sim->now, "memory does not know it, Redis has %.*s",
                           (int)server_row(i).len, server_row(i).bytes);
        else if (worker != NULL && hb_mirror_is_clean(worker))
            compare_row(sim, i, worker);
        else if (worker != NULL)
            timeline_break(&sim->timeline, i, sim->now, "nothing is left to send, but its row is not stored");
    }
    if (subscriber_missing() != 0)
        timeline_break(&sim->timeline, TIMELINE_NOBODY, sim->now, "%" PRIu64 " events are missing from the stream",
                       subscriber_missing());
}

static int64_t latest(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t quiet_since(const struct sim *sim)
{
    return latest(server_troubled_at(sim), latest(stack.began_at, sim->last_stall));
}

/* Between two turns; what was asked for by a look is compared at the next moment when all is stored. */
static void watch(struct sim *sim)
{
    if (stack.ending || !is_drained())
        return;
    stack.drained_at = sim->now;
    if (!stack.compare_next)
        return;
    stack.compare_next = false;
    if (sim->now - quiet_since(sim) < CATCH_UP_MS)
        return;
    stack.looks++;
    compare_mirror(sim);
}

void stack_look(struct sim *sim)
{
    int64_t since = quiet_since(sim);

    stack.compare_next = true;
    if (!server_foreign_intact())
        timeline_break(&sim->timeline, TIMELINE_NOBODY, sim->now, "a field of somebody else was written");
    if (!stack.ending && sim->now - latest(stack.drained_at, since) > CATCH_UP_MS)
        timeline_break(&sim->timeline, TIMELINE_NOBODY, sim->now,
                       "Redis has been well for %" PRId64 " ms and does not have everything: state %s, %zu events and "
                       "%zu rows wait, %" PRIu64 " lost",
                       sim->now - since, hb_redis_store_state_text(hb_redis_store_state(stack.store)),
                       hb_outbox_count(hb_manager_outbox(stack.manager)),
                       hb_mirror_dirty_count(hb_manager_mirror(stack.manager)),
                       hb_outbox_lost(hb_manager_outbox(stack.manager)));
}

void stack_prepare(struct sim *sim)
{
    bool inside = memory_inside(true);

    uv_simulated_set_time(sim->now); /* loop.c brings it up to date as it arms its timer */
    uv_simulated_prepare();
    memory_inside(inside);
    uv_simulated_run_closing();
    watch(sim);
}

void stack_report(const struct sim *sim)
{
    (void)sim;
    printf("  the mirror was compared %" PRIu64 " times, %" PRIu64 " rows; %" PRIu64 " graceful ends\n", stack.looks,
           stack.compared, stack.drains);
    subscriber_report();
    server_report();
    client_report();
}

/* ---- the beginning and the end ---- */

void stack_open(struct sim *sim)
{
    memset(&stack, 0, sizeof stack);
    stack.sim = sim;
    stack.outbox_ceiling = (size_t)random_spread(&sim->random, 20, HB_OUTBOX_MAX);
    subscriber_open(sim);
    server_open(sim);
    client_open(sim);
}

void stack_close(struct sim *sim)
{
    if (sim->registry != NULL)
        end(sim);
    client_close();
    server_close();
    subscriber_close();
}
