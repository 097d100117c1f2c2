#include "tests/sim/fate.h"

#include "tests/sim/shell.h"
#include "tests/sim/world.h"

/* Between two misfortunes of one worker; more of them where there are fewer worker-hours. */
#define MEAN_MS (40 * 60 * 1000)
#define STORE_MEAN_MS (8 * 60 * 1000)

int64_t fate_draw(struct sim *sim)
{
    return sim->now + random_between(&sim->random, 1, 2 * (sim->options.store ? STORE_MEAN_MS : MEAN_MS));
}

static int64_t away_ms(struct sim *sim)
{
    return random_chance(&sim->random, 20) ? random_between(&sim->random, 3600000, 3 * 3600000)
                                           : random_spread(&sim->random, 100, 1200000);
}

static void crash(struct sim *sim, uint32_t index)
{
    uint64_t socket = sim->workers[index].socket;

    sim->counts.crashes++;
    if (socket != 0)
        world_plan_socket(sim, index, EVENT_CLOSED, random_spread(&sim->random, 1, 200), socket, HB_CLOSE_ABNORMAL);
    world_stop(sim, index, away_ms(sim));
}

static void freeze(struct sim *sim, uint32_t index)
{
    sim->counts.freezes++;
    sim->workers[index].state = SIM_FROZEN;
    world_plan(sim, index, EVENT_THAW, random_spread(&sim->random, 500, 1200000));
}

static void flap(struct sim *sim, uint32_t index)
{
    int64_t at = 1;

    sim->counts.flaps++;
    for (int64_t left = random_between(&sim->random, 3, 12); left > 0; left--) {
        world_plan(sim, index, EVENT_LOSE, at);
        at += random_spread(&sim->random, 50, 6000);
    }
}

/* Its end of the connection is gone, and the manager hears nothing of that, or much later. */
static void half_open(struct sim *sim, uint32_t index)
{
    struct sim_worker *worker = &sim->workers[index];

    sim->counts.half_opens++;
    if (random_chance(&sim->random, 500))
        world_plan_socket(sim, index, EVENT_CLOSED, random_spread(&sim->random, 1000, 120000), worker->socket,
                          HB_CLOSE_ABNORMAL);
    worker->socket = 0;
    world_plan(sim, index, EVENT_CONNECT, random_spread(&sim->random, 1, 60000));
}

static void say_bye(struct sim *sim, uint32_t index)
{
    struct sim_worker *worker = &sim->workers[index];
    uint64_t socket = worker->socket;

    sim->counts.byes++;
    if (socket == 0 || random_chance(&sim->random, 500))
        world_beat(sim, index, socket, HB_BEAT_BYE, sim->now);
    else
        world_plan_socket(sim, index, EVENT_CLOSED, random_spread(&sim->random, 1, 50), socket,
                          random_chance(&sim->random, 500) ? HB_CLOSE_NORMAL : HB_CLOSE_GOING_AWAY);
    world_stop(sim, index, away_ms(sim));
}

static void drain(struct sim *sim, uint32_t index)
{
    struct sim_worker *worker = &sim->workers[index];

    sim->counts.drains++;
    worker->draining = true;
    world_beat(sim, index, worker->socket, HB_BEAT_DRAINING, sim->now);
    if (random_chance(&sim->random, 500)) {
        worker->draining = false; /* until it says that it is alive; a plain beat does not */
        return;
    }
    if (worker->socket != 0)
        world_plan_socket(sim, index, EVENT_CLOSED, random_spread(&sim->random, 1000, 60000), worker->socket,
                          HB_CLOSE_NORMAL);
    world_stop(sim, index, away_ms(sim));
}

static void remove_it(struct sim *sim, uint32_t index)
{
    const struct sim_worker *worker = &sim->workers[index];
    const struct hb_input input = {.kind = HB_INPUT_REMOVE, .id = {worker->id, worker->id_len}};

    sim->counts.deletes++;
    (void)!shell_apply(sim, &input);
}

static void maintain(struct sim *sim, uint32_t index)
{
    int64_t seconds = random_spread(&sim->random, 1, 7200);

    sim->counts.maintenances++;
    world_plan_socket(sim, index, EVENT_OPERATOR, 1, 0, (uint16_t)seconds);
    if (random_chance(&sim->random, 300)) /* again, with another ttl */
        world_plan_socket(sim, index, EVENT_OPERATOR, random_between(&sim->random, 1, seconds * 1500), 0,
                          (uint16_t)random_spread(&sim->random, 1, 600));
    if (random_chance(&sim->random, 300))
        world_plan_socket(sim, index, EVENT_OPERATOR, random_between(&sim->random, 1, seconds * 1500), 0, 0);
    if (random_chance(&sim->random, 200)) /* something else, at the same time */
        world_plan(sim, index, EVENT_LOSE, random_between(&sim->random, 1, seconds * 1500));
}

static void move(struct sim *sim, uint32_t index)
{
    struct sim_worker *worker = &sim->workers[index];

    sim->counts.moves++;
    worker->port++;
    if (worker->profile == SIM_STEADY || worker->profile == SIM_SHY)
        world_register(sim, index);
}

/* Its packets are held up for a while, and arrive too late perhaps; often just before or after its timeout. */
static void be_late(struct sim *sim, uint32_t index)
{
    struct sim_worker *worker = &sim->workers[index];
    int64_t until = worker->beat_ms + sim->modelled[index].timeout_ms + random_between(&sim->random, -300, 50);

    sim->counts.late_packets++;
    if (until > sim->now && random_chance(&sim->random, 700))
        worker->send_at = until - worker->interval_ms; /* the metronome adds that */
    else
        worker->send_at += random_spread(&sim->random, 100, 5 * (int64_t)worker->interval_ms);
}

static void take_over(struct sim *sim, uint32_t index)
{
    /* Some fight: more sockets for one id than anybody should have. */
    int64_t left = random_chance(&sim->random, 250) ? random_between(&sim->random, 2, 8) : 1;
    int64_t at = 1;

    for (; left > 0; left--) {
        world_plan(sim, index, EVENT_TAKE_OVER, at);
        at += random_spread(&sim->random, 1, 20000);
    }
}

void fate_strike(struct sim *sim, uint32_t index)
{
    struct sim_worker *worker = &sim->workers[index];
    static void (*const fates[])(struct sim * sim, uint32_t index) = {
        crash, freeze, flap, crash, freeze, take_over, half_open, say_bye, drain, remove_it, maintain, move, be_late,
    };
    int64_t which = random_below(&sim->random, sizeof fates / sizeof fates[0]);

    worker->fate_at = fate_draw(sim);
    if (worker->socket == 0 && (fates[which] == half_open || fates[which] == flap))
        which = 0;
    fates[which](sim, index);
}
