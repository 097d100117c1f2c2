#include "tests/sim/restart.h"

#include <stdlib.h>

#include "tests/sim/memory.h"
#include "tests/sim/shell.h"
#include "tests/sim/stack.h"
#include "tests/sim/witness.h"
#include "tests/sim/world.h"

#define LIFE_MEAN_MS (2 * 3600 * 1000)
#define STORE_LIFE_MEAN_MS (15 * 60 * 1000)
#define PAGE 500
#define LOST_OF_1000 100 /* restarts that find Redis empty */

/* The life that was: its registry is kept for the rows that the next one reads. */
static struct {
    struct hb_registry *registry;
    size_t next_row;
    int64_t up_at, load_at, die_at;
    bool ending; /* gracefully */
} last;

bool restart_is_loading(const struct sim *sim)
{
    return sim->options.store ? !stack_is_loaded(sim) : last.registry != NULL;
}

static void draw_life(struct sim *sim)
{
    int64_t mean_ms = sim->options.store ? STORE_LIFE_MEAN_MS : LIFE_MEAN_MS;

    if (!sim->options.faults) {
        last.die_at = INT64_MAX;
        return;
    }
    last.die_at = sim->now + (random_chance(&sim->random, 200) ? random_between(&sim->random, 1, 60000)
                                                               : random_between(&sim->random, 1, 2 * mean_ms));
}

static void begin_life(struct sim *sim)
{
    sim->registry = NULL;
    witness_new_life(sim);
    if (sim->options.store) {
        stack_begin_life(sim);
    } else {
        memory_inside(true);
        while (sim->registry == NULL)
            sim->registry = hb_registry_new(&sim->rules);
        memory_inside(false);
        hb_registry_set_restoring(sim->registry, last.registry != NULL);
        hb_registry_set_epoch(sim->registry, (uint64_t)(sim->now + sim->wall_offset_ms));
    }
    sim->armed_for = INT64_MAX;
    sim->looked_ms = INT64_MIN;
    draw_life(sim);
}

static void forget_last(void)
{
    hb_registry_free(last.registry);
    last.registry = NULL;
}

static void be_down(struct sim *sim)
{
    sim_note(sim, TIMELINE_NOBODY, "the manager is gone");
    last.ending = false;
    last.up_at = sim->now + random_spread(&sim->random, 100, 30000);
    last.load_at = last.up_at + random_spread(&sim->random, 1, 5000);
    world_manager_died(sim);
    if (sim->options.store && random_chance(&sim->random, 200)) /* set while it was down, even back */
        sim->wall_offset_ms += random_between(&sim->random, -3600000, 600000);
}

static void die(struct sim *sim)
{
    sim->counts.restarts++;
    if (sim->options.store) {
        last.ending = !stack_end_life(sim, random_chance(&sim->random, 300));
        if (!last.ending)
            be_down(sim);
        return;
    }
    forget_last();
    last.registry = sim->registry;
    last.next_row = 0;
    sim->registry = NULL;
    be_down(sim);
}

/* Nobody remembers what was announced. */
static void lose_rows(struct sim *sim)
{
    sim_note(sim, TIMELINE_NOBODY, "its rows are lost");
    forget_last();
    hb_registry_set_restoring(sim->registry, false);
    for (uint32_t i = 0; i < sim->options.workers; i++)
        sim->workers[i].listener = HB_ANNOUNCED_NONE;
}

static void restore(struct sim *sim, const struct hb_worker *worker)
{
    struct hb_row row = hb_worker_row(worker);
    const struct hb_input input = {.kind = HB_INPUT_RESTORE, .id = row.id, .row = &row};

    (void)!shell_apply(sim, &input);
}

static void load_page(struct sim *sim)
{
    size_t count = hb_registry_count(last.registry);

    for (size_t left = PAGE; left > 0 && last.next_row < count; left--)
        restore(sim, hb_registry_at(last.registry, last.next_row++));
    if (last.next_row < count)
        return;
    forget_last();
    hb_registry_set_restoring(sim->registry, false);
}

/* When there is something to do next. */
static int64_t next_turn(const struct sim *sim)
{
    if (sim->registry == NULL)
        return last.up_at;
    if (last.ending)
        return sim->now;
    return last.registry != NULL ? last.load_at : last.die_at;
}

void restart_turn(struct sim *sim)
{
    if (sim->registry == NULL) {
        begin_life(sim);
        sim_note(sim, TIMELINE_NOBODY, "the manager is back");
        if (!sim->options.store && random_chance(&sim->random, LOST_OF_1000))
            lose_rows(sim);
    } else if (last.ending) {
        if (stack_has_ended(sim))
            be_down(sim);
    } else if (last.registry != NULL) {
        load_page(sim);
    } else {
        die(sim);
    }
    sim->next_restart = next_turn(sim);
}

void restart_open(struct sim *sim)
{
    last.ending = false;
    if (sim->options.store)
        stack_open(sim);
    begin_life(sim);
    sim->next_restart = next_turn(sim);
}

void restart_close(struct sim *sim)
{
    if (sim->options.store) {
        stack_close(sim);
        return;
    }
    forget_last();
    hb_registry_free(sim->registry);
}
