#include "tests/sim/shell.h"

#include <stdlib.h>

#include "manager/io/loop.h"
#include "tests/sim/memory.h"
#include "tests/sim/restart.h"
#include "tests/sim/stack.h"
#include "tests/sim/witness.h"
#include "tests/sim/world.h"

#define STALL_MEAN_MS (30 * 1000)
#define TURNS_MAX 1000000 /* without any time passing */
#define WALL_STEP_MEAN_MS (3600 * 1000)
#define LOOK_EVERY_MS 15000
#define COMPARE_EVERY 4 /* looks */
#define NEVER INT64_MAX

bool shell_is_up(const struct sim *sim)
{
    return sim->registry != NULL;
}

/* ---- manager.c's part: effects ---- */

static void fan_out(struct sim *sim, const struct hb_effects *effects)
{
    for (size_t i = 0; i < effects->count; i++) {
        const struct hb_effect *effect = &effects->items[i];

        if (effect->kind == HB_EFFECT_CLOSE_SOCKET)
            world_closed(sim, (uint64_t)(uintptr_t)effect->socket, effect->close_code);
    }
}

static enum hb_err apply(struct sim *sim, const struct hb_input *input)
{
    struct hb_effects effects;
    enum hb_err err;

    if (sim->options.store)
        return stack_apply(sim, input);
    memory_inside(input->kind != HB_INPUT_REMOVE); /* see stack_apply */
    err = hb_registry_step(sim->registry, input, sim_moment(sim), &effects);
    memory_inside(false);
    fan_out(sim, &effects);
    return err;
}

enum hb_err shell_apply(struct sim *sim, const struct hb_input *input)
{
    enum hb_err err = apply(sim, input);

    while (err == HB_ERR_NO_MEMORY) {
        sim->counts.retries++;
        err = apply(sim, input);
    }
    return err;
}

static void expire_one(struct sim *sim)
{
    struct hb_effects effects;
    bool more;

    if (sim->options.store) {
        stack_expire(sim, 1);
        return;
    }
    memory_inside(true);
    more = hb_registry_expire(sim->registry, sim_moment(sim), &effects);
    memory_inside(false);
    if (more)
        fan_out(sim, &effects);
}

/* ---- loop.c's part ---- */

static void expire_until(struct sim *sim, int64_t until)
{
    for (unsigned i = 0; i < HB_LOOP_EXPIRE_MOST && hb_registry_next_deadline(sim->registry).ms <= until; i++)
        expire_one(sim);
}

static void on_deadline(struct sim *sim)
{
    int64_t late_ms = sim->now - sim->armed_for;

    sim->armed_for = NEVER;
    if (late_ms > HB_LOOP_LATE_MS) {
        if (sim->options.store)
            stack_stalled(sim, late_ms);
        else
            hb_registry_skew(sim->registry, late_ms);
        return;
    }
    expire_until(sim, sim->looked_ms);
    if (hb_registry_next_deadline(sim->registry).ms <= sim->now)
        sim->looked_ms = sim->now;
}

static void arm_deadline(struct sim *sim)
{
    int64_t next = sim->now + HB_LOOP_NAP_MS;
    int64_t deadline = hb_registry_next_deadline(sim->registry).ms;

    if (deadline < next)
        next = deadline;
    if (sim->armed_for <= next)
        return;
    sim->armed_for = next > sim->now ? next : sim->now;
}

/* ---- the manager is kept from running ---- */

static int64_t draw_gap(struct random *random)
{
    int64_t of_100 = random_below(random, 100);

    return of_100 < 70   ? random_between(random, 20, 250)
           : of_100 < 82 ? random_between(random, 251, 260)
           : of_100 < 96 ? random_between(random, 261, 3000)
           : of_100 < 98 ? 30000
                         : random_between(random, 3000, 120000);
}

static void stall(struct sim *sim)
{
    int64_t gap_ms = draw_gap(&sim->random);

    sim->stalls[sim->counts.stalls % SIM_STALLS_KEPT].at = sim->now;
    sim->stalls[sim->counts.stalls % SIM_STALLS_KEPT].gap_ms = gap_ms;
    sim->counts.stalls++;
    sim->counts.stall_ms += (uint64_t)gap_ms;
    sim_note(sim, TIMELINE_NOBODY, "the manager stalls for %lld ms", (long long)gap_ms);
    sim->now += gap_ms;
    sim->last_stall = sim->now;
    /* Often the next one comes before it has caught its breath. */
    sim->next_stall =
        sim->now + (random_chance(&sim->random, 300) ? random_spread(&sim->random, 1, 40000)
                                                     : random_between(&sim->random, 1, 2 * STALL_MEAN_MS));
}

static void step_wall(struct sim *sim)
{
    sim->counts.wall_steps++;
    sim->wall_offset_ms += random_between(&sim->random, -7200000, 7200000);
    sim->next_wall_step = sim->now + random_between(&sim->random, 1, 2 * WALL_STEP_MEAN_MS);
}

static void look(struct sim *sim)
{
    if (shell_is_up(sim) && sim->armed_for < sim->now)
        return; /* it has been stalled, and does not know it yet */
    sim->next_look = sim->now + LOOK_EVERY_MS;
    if (!shell_is_up(sim))
        return;
    witness_overdue(sim);
    if (sim->options.store)
        stack_look(sim);
    if (sim->now / LOOK_EVERY_MS % COMPARE_EVERY == 0)
        witness_compare_all(sim);
}

/* ---- turns ---- */

/* All that are due, in their order. */
static void run_timers(struct sim *sim)
{
    int64_t other = sim->options.store ? stack_next_timer() : NEVER;

    if (sim->options.store)
        stack_begin_turn(sim);
    while (sim->armed_for <= sim->now || other <= sim->now) {
        if (sim->armed_for <= other) {
            on_deadline(sim);
            if (!sim->options.store)
                return;
        } else {
            stack_run_timer();
        }
        other = stack_next_timer();
    }
}

static int64_t next_timer(const struct sim *sim)
{
    int64_t next = sim->armed_for;

    if (sim->options.store && stack_next_timer() < next)
        next = stack_next_timer();
    return next;
}

/* Waits for whatever comes first. */
static void wait_until(struct sim *sim, int64_t until)
{
    if (sim->options.store && stack_next_packet(sim) < until)
        until = stack_next_packet(sim);
    until = calendar_advance(&sim->calendar, until);
    if (until > sim->now)
        sim->now = until;
}

static void read_packets(struct sim *sim)
{
    bool redis_first = sim->options.store && random_chance(&sim->random, 500);

    if (redis_first)
        stack_read(sim);
    while (world_read(sim)) {
    }
    if (sim->options.store && !redis_first)
        stack_read(sim);
}

static void turn(struct sim *sim)
{
    bool up = shell_is_up(sim);
    int64_t until = sim->next_restart;

    if (up) {
        run_timers(sim);
        if (sim->now >= sim->next_stall && random_chance(&sim->random, 500))
            stall(sim); /* before it looks at its sockets, or after */
        if (sim->options.store)
            stack_prepare(sim);
        arm_deadline(sim);
        until = next_timer(sim);
    }
    wait_until(sim, until);
    read_packets(sim);
    if (up && sim->now >= sim->next_stall)
        stall(sim);
}

void shell_open(struct sim *sim)
{
    sim->next_stall = sim->options.faults ? sim->now + STALL_MEAN_MS : NEVER;
    sim->next_wall_step = sim->options.faults ? sim->now + WALL_STEP_MEAN_MS : NEVER;
    sim->next_look = sim->now + LOOK_EVERY_MS;
    restart_open(sim);
}

void shell_run(struct sim *sim)
{
    int64_t turned_at = sim->now;
    unsigned turns = 0;

    while (sim->now < sim->end && !sim->timeline.broken) {
        turn(sim);
        turns = sim->now == turned_at ? turns + 1 : 0;
        turned_at = sim->now;
        if (turns > TURNS_MAX)
            timeline_break(&sim->timeline, TIMELINE_NOBODY, sim->now, "the loop turns and turns, and no time passes");
        if (sim->now >= sim->next_restart)
            restart_turn(sim);
        if (sim->now >= sim->next_look)
            look(sim);
        if (sim->now >= sim->next_wall_step)
            step_wall(sim);
    }
    sim->counts.memory_failures = memory_failures();
}

void shell_close(struct sim *sim)
{
    restart_close(sim);
}
