/*
 * poll_schedule: on simulated time, what is promised of every target, whatever the others do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "manager/core/poll_schedule.h"

#define TARGETS 200

struct simulated {
    struct hb_poll_target target;
    int64_t interval_ms, added_ms, begun_ms, ends_ms;
    int64_t last_window; /* of its last turn; INT64_MIN: none yet */
    unsigned polls;
    bool slow; /* down: it uses up the whole time */
    bool late; /* its last poll ended after its next turn */
};

struct world {
    struct hb_poll_schedule schedule;
    struct simulated targets[TARGETS];
    size_t count;
    int64_t now_ms;
    uint64_t random;
    unsigned under_way, most_under_way;
};

static uint32_t draw(struct world *world, uint32_t below)
{
    world->random = world->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((world->random >> 33) % below);
}

static void add(struct world *world, int64_t interval_ms)
{
    struct simulated *one = &world->targets[world->count++];

    *one = (struct simulated){.interval_ms = interval_ms, .added_ms = world->now_ms, .last_window = INT64_MIN};
    one->target.phase = (uint32_t)(world->count * 2654435761u);
    assert_int_equal(hb_poll_schedule_add(&world->schedule, &one->target, (hb_mono_ms){world->now_ms}), HB_OK);
}

/* Number of the target's interval in which a moment lies. */
static int64_t window_of(const struct simulated *one, int64_t ms)
{
    int64_t phase_ms = (int64_t)(((uint64_t)one->target.phase * (uint64_t)one->interval_ms) >> 32);
    int64_t slot_ms = one->interval_ms / 64 > 16 ? 16 : one->interval_ms / 64 > 1 ? one->interval_ms / 64 : 1;

    phase_ms -= phase_ms % slot_ms; /* a few begin at a time */
    return (ms - phase_ms + 1000 * one->interval_ms) / one->interval_ms;
}

static void begin(struct world *world, struct hb_poll_target *target, int64_t lasts_ms)
{
    struct simulated *one = (struct simulated *)target;

    assert_int_equal(one->begun_ms, 0); /* never two of one target */
    one->begun_ms = world->now_ms;
    one->ends_ms = world->now_ms + lasts_ms;
    one->polls++;
    world->under_way++;
    if (world->under_way > world->most_under_way)
        world->most_under_way = world->under_way;
}

static void end(struct world *world, struct simulated *one, int64_t fast_ms)
{
    one->late = window_of(one, world->now_ms) > window_of(one, one->begun_ms);
    one->begun_ms = 0;
    one->target.down = one->slow;
    world->under_way--;
    hb_poll_schedule_ended(&world->schedule);
    hb_poll_schedule_again(&world->schedule, &one->target, one->interval_ms, fast_ms, (hb_mono_ms){world->now_ms});
}

static struct simulated *next_to_end(struct world *world)
{
    struct simulated *next = NULL;

    for (size_t i = 0; i < world->count; i++) {
        struct simulated *one = &world->targets[i];

        if (one->begun_ms != 0 && (next == NULL || one->ends_ms < next->ends_ms))
            next = one;
    }
    return next;
}

/* Runs until then; polls last up to `longest_ms`. took is told of each that begins. */
static void run(struct world *world, int64_t until_ms, uint32_t longest_ms,
                void (*took)(struct world *world, struct simulated *one))
{
    for (;;) {
        struct simulated *ending = next_to_end(world);
        int64_t next_ms = hb_poll_schedule_next(&world->schedule).ms;
        struct hb_poll_target *target;

        if (ending != NULL && ending->ends_ms < next_ms)
            next_ms = ending->ends_ms;
        if (next_ms > until_ms)
            break;
        if (next_ms > world->now_ms)
            world->now_ms = next_ms;
        if (ending != NULL && ending->ends_ms <= world->now_ms)
            end(world, ending, 0);
        while ((target = hb_poll_schedule_take(&world->schedule, (hb_mono_ms){world->now_ms})) != NULL) {
            begin(world, target, ((struct simulated *)target)->slow ? longest_ms : 1 + draw(world, longest_ms));
            took(world, (struct simulated *)target);
        }
    }
    world->now_ms = until_ms;
}

static struct world *world_new(uint32_t concurrency)
{
    struct world *world = calloc(1, sizeof *world);

    assert_non_null(world);
    world->now_ms = 100000;
    world->random = 7;
    hb_poll_schedule_init(&world->schedule, concurrency);
    return world;
}

static void world_free(struct world *world)
{
    assert_in_range(world->most_under_way, 1, world->schedule.concurrency);
    hb_poll_schedule_free(&world->schedule);
    free(world);
}

/* At once when it is new, then exactly once in each of its intervals, at the same place of it. */
static void check_turn(struct world *world, struct simulated *one)
{
    int64_t window = window_of(one, world->now_ms);

    if (one->polls == 1) {
        assert_int_equal(world->now_ms, one->added_ms);
        one->last_window = window;
        return;
    }
    assert_int_equal(window, one->last_window + 1);
    assert_true(window_of(one, world->now_ms - 1) == window - 1 || one->late); /* at its start, if it can */
    one->late = false;
    one->last_window = window;
}

static void test_once_in_each_interval(void **state)
{
    static const int64_t intervals_ms[] = {100, 999, 10000, 60000};
    struct world *world = world_new(TARGETS);

    (void)state;
    for (size_t i = 0; i < TARGETS; i++) {
        add(world, intervals_ms[i % 4]);
        run(world, world->now_ms + draw(world, 50), 80, check_turn);
    }
    run(world, 100000 + 3600 * 1000, 80, check_turn);
    for (size_t i = 0; i < TARGETS; i++)
        assert_in_range(world->targets[i].polls, 3590 * 1000 / intervals_ms[i % 4],
                        3602 * 1000 / intervals_ms[i % 4] + 2);
    world_free(world);
}

static void count_second(struct world *world, struct simulated *one)
{
    static unsigned counts[10];

    (void)one;
    counts[world->now_ms / 1000 % 10]++;
    assert_in_range(counts[world->now_ms / 1000 % 10], 0, 10 * TARGETS / 10 + 10 * TARGETS / 20);
}

/* 200 targets of 10 s: about 20 in each second, though all came at the same moment. */
static void test_spread_over_the_interval(void **state)
{
    struct world *world = world_new(TARGETS);

    (void)state;
    for (size_t i = 0; i < TARGETS; i++)
        add(world, 10000);
    run(world, world->now_ms + 1, 1, check_turn);
    run(world, world->now_ms + 100000, 5, count_second);
    world_free(world);
}

static void nothing(struct world *world, struct simulated *one)
{
    (void)world;
    (void)one;
}

/* Ten times more to do than may be done: all get their turn, none of them twice in an interval. */
static void check_no_backlog(struct world *world, struct simulated *one)
{
    int64_t window = window_of(one, world->now_ms);

    assert_true(one->last_window == INT64_MIN || window > one->last_window);
    one->last_window = window;
}

static void test_overload_is_fair_and_leaves_no_backlog(void **state)
{
    struct world *world = world_new(2);
    unsigned least = UINT32_MAX, most = 0;

    (void)state;
    for (size_t i = 0; i < TARGETS; i++)
        add(world, 1000);
    run(world, world->now_ms + 1000 * 1000, 100, check_no_backlog); /* about 40 polls a second are possible */
    assert_int_equal(world->most_under_way, 2);
    for (size_t i = 0; i < TARGETS; i++) {
        least = world->targets[i].polls < least ? world->targets[i].polls : least;
        most = world->targets[i].polls > most ? world->targets[i].polls : most;
    }
    assert_in_range(most - least, 0, 2);
    assert_in_range(most, 150, 250);
    world->schedule.concurrency = TARGETS; /* room at last: what was missed is not made up for */
    run(world, world->now_ms + 5000, 1, check_no_backlog);
    world_free(world);
}

/* A hundred that take their time to say nothing, and two that answer: those have their turns all the same. */
static void test_those_that_are_down_wait_behind(void **state)
{
    struct world *world = world_new(5);
    unsigned least = UINT32_MAX;

    (void)state;
    for (size_t i = 0; i < 100; i++) {
        add(world, 1000);
        world->targets[i].slow = true;
    }
    for (size_t i = 0; i < 2; i++)
        add(world, 1000);
    run(world, world->now_ms + 60000, 2000, nothing); /* all of them once, at first */
    for (size_t i = 0; i < 102; i++)
        world->targets[i].polls = 0;
    run(world, world->now_ms + 600000, 2000, nothing);
    assert_in_range(world->targets[100].polls, 250, 601); /* of 600 turns, with five places that are mostly taken */
    assert_in_range(world->targets[101].polls, 250, 601);
    for (size_t i = 0; i < 100; i++)
        least = world->targets[i].polls < least ? world->targets[i].polls : least;
    assert_in_range(least, 5, 600); /* and nobody is given up */
    world_free(world);
}

static void test_fast_until_decided(void **state)
{
    struct world *world = world_new(1);
    struct simulated *one = world->targets;
    int64_t turn_ms;

    (void)state;
    add(world, 10000);
    assert_ptr_equal(hb_poll_schedule_take(&world->schedule, (hb_mono_ms){world->now_ms}), &one->target);
    begin(world, &one->target, 0);
    end(world, one, 0);
    turn_ms = hb_poll_schedule_next(&world->schedule).ms;
    assert_in_range(turn_ms, world->now_ms + 1, world->now_ms + 10000);
    world->now_ms = turn_ms;
    assert_non_null(hb_poll_schedule_take(&world->schedule, (hb_mono_ms){world->now_ms}));
    assert_int_equal(hb_poll_schedule_next(&world->schedule).ms, HB_MONO_NEVER.ms); /* its only one is under way */
    begin(world, &one->target, 0);
    end(world, one, 1000);
    assert_int_equal(hb_poll_schedule_next(&world->schedule).ms, turn_ms + 1000);
    hb_poll_schedule_hasten(&world->schedule, &one->target, (hb_mono_ms){turn_ms + 5});
    assert_int_equal(hb_poll_schedule_next(&world->schedule).ms, turn_ms + 5);
    world->now_ms = turn_ms + 9500;
    assert_non_null(hb_poll_schedule_take(&world->schedule, (hb_mono_ms){world->now_ms}));
    begin(world, &one->target, 0);
    end(world, one, 1000); /* its own turn comes before that */
    assert_int_equal(hb_poll_schedule_next(&world->schedule).ms, turn_ms + 10000);
    world_free(world);
}

static void test_removed_while_under_way(void **state)
{
    struct world *world = world_new(1);

    (void)state;
    add(world, 1000);
    add(world, 1000);
    assert_ptr_equal(hb_poll_schedule_take(&world->schedule, (hb_mono_ms){world->now_ms}), &world->targets[0].target);
    world->most_under_way = 1;
    hb_poll_schedule_remove(&world->schedule, &world->targets[0].target);
    assert_null(hb_poll_schedule_take(&world->schedule, (hb_mono_ms){world->now_ms})); /* it still takes a place */
    hb_poll_schedule_ended(&world->schedule);
    assert_ptr_equal(hb_poll_schedule_take(&world->schedule, (hb_mono_ms){world->now_ms}), &world->targets[1].target);
    hb_poll_schedule_remove(&world->schedule, &world->targets[1].target);
    hb_poll_schedule_ended(&world->schedule);
    run(world, world->now_ms + 10000, 1, nothing);
    assert_int_equal(hb_poll_schedule_next(&world->schedule).ms, HB_MONO_NEVER.ms);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once_in_each_interval),
        cmocka_unit_test(test_spread_over_the_interval),
        cmocka_unit_test(test_overload_is_fair_and_leaves_no_backlog),
        cmocka_unit_test(test_those_that_are_down_wait_behind),
        cmocka_unit_test(test_fast_until_decided),
        cmocka_unit_test(test_removed_while_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
