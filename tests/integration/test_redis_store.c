/*
 * The store against a real redis-server in good weather: what it writes and in which order, what it reads at the start,
 * who is told when a row is stored, and how it ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/integration/store_rig.h"

/* ---- writing ---- */

static void test_rows_events_and_meta(void **state)
{
    struct rig *rig = *state;

    rig_start_with_workers(rig, 3);
    rig_assert_mirrored(rig, 0);
    rig_assert_stream_gapless(rig);
    assert_int_equal(rig_meta(rig, "schema"), 1);
    assert_int_equal(rig_meta(rig, RIG_MANAGER ":epoch"), hb_registry_epoch(hb_manager_registry(rig->manager)));
    assert_int_equal(rig_stored_seq(rig), 6);
    rig_remove(rig, "w0001");
    rig_until(rig, rig_in_step);
    rig_assert_mirrored(rig, 0);
    rig_assert_stream_gapless(rig);
}

/* Also the last of a thousand events of one turn is told only after its row can be read. */
static void test_state_before_announcement(void **state)
{
    struct rig *rig = *state;
    struct real_redis *redis = &rig->redis;
    uint64_t batches;
    unsigned heard = 0;
    redisReply *message;

    rig_start_manager(rig);
    rig_until(rig, rig_in_step);
    real_redis_listen(redis);
    batches = rig_counters(rig)->batches;
    for (int i = 0; i < 1000; i++) {
        char id[16];

        snprintf(id, sizeof id, "w%04d", i);
        rig_register(rig, id);
        rig_beat(rig, id, HB_BEAT_ALIVE);
    }
    while (!rig_in_step(rig)) {
        rig_turns(rig, 1);
        while ((message = real_redis_heard(redis)) != NULL) {
            char id[16];
            const redisReply *row;

            assert_string_equal(message->element[2]->str, "server:up");
            assert_int_equal(sscanf(message->element[3]->str, "{\"server_id\":\"%5s\"", id), 1);
            row = real_redis_ask(redis, "HGET workers %s", id);
            assert_int_equal(row->type, REDIS_REPLY_STRING);
            assert_true(rig_number_in(row->str, "seq") >= rig_number_in(message->element[3]->str, "seq"));
            freeReplyObject(message);
            heard++;
        }
    }
    while ((message = real_redis_heard(redis)) != NULL) {
        freeReplyObject(message);
        heard++;
    }
    assert_int_equal(heard, 1000);
    assert_in_range(rig_counters(rig)->batches - batches, 1,
                    25); /* 2000 events, 128 at a time, and an idle look or two */
    rig_assert_stream_gapless(rig);
}

static uint64_t beats_before;

static bool beats_were_flushed(struct rig *rig)
{
    return rig_counters(rig)->rows >= beats_before + 50 && rig_in_step(rig);
}

static void test_beats_go_with_the_flush(void **state)
{
    struct rig *rig = *state;
    uint64_t batches, events;
    char id[16];

    rig_start_with_workers(rig, 50);
    beats_before = rig_counters(rig)->rows;
    batches = rig_counters(rig)->batches;
    events = rig_counters(rig)->events;
    for (int i = 0; i < 50; i++) {
        snprintf(id, sizeof id, "w%04d", i);
        rig_beat(rig, id, HB_BEAT_PLAIN);
        rig_turns(rig, 1);
    }
    rig_until(rig, beats_were_flushed);
    assert_in_range(rig_counters(rig)->batches - batches, 1, 20);
    assert_int_equal(rig_counters(rig)->events, events);
    rig_assert_mirrored(rig, 0);
}

/* ---- reading at the start ---- */

static void test_restores_ours_and_the_seeds(void **state)
{
    struct rig *rig = *state;
    static const char seed[] = "{\"worker_id\":\"seed\",\"worker_name\":\"Seed\",\"host\":\"h\",\"port\":1,"
                               "\"status\":\"alive\",\"last_heartbeat\":\"2026-11-20T19:45:00.123456\"}";

    rig_add_row(rig, "up", RIG_MANAGER, HB_STATUS_ALIVE);
    rig_add_row(rig, "down", RIG_MANAGER, HB_STATUS_NOT_RESPONDING);
    rig_add_row(rig, "theirs", "m2", HB_STATUS_ALIVE);
    rig_add_row(rig, "elsewhere", RIG_MANAGER, HB_STATUS_ALIVE);
    real_redis_ask(&rig->redis, "HSET workers seed %s", seed);
    real_redis_ask(&rig->redis, "HSET workers note %s", "not a row");
    real_redis_ask(&rig->redis, "HSET workers {bad} %s", seed);
    real_redis_ask(&rig->redis, "HSET workers alias %s", seed); /* another's row */
    real_redis_ask(&rig->redis, "HDEL workers elsewhere");
    rig_start_manager(rig);
    rig_register(rig, "early"); /* served at once, though nothing is loaded yet */
    rig_until(rig, rig_in_step);
    assert_non_null(rig_worker(rig, "early"));
    assert_true(rig_worker(rig, "up")->unverified);
    assert_true(rig_worker(rig, "up")->serving);
    assert_false(rig_worker(rig, "down")->serving);
    assert_true(rig_worker(rig, "seed")->unverified);
    assert_null(rig_worker(rig, "theirs"));
    assert_null(rig_worker(rig, "note"));
    assert_null(rig_worker(rig, "alias"));
    rig_assert_mirrored(rig, 4);
    assert_string_equal(real_redis_ask(&rig->redis, "HGET workers note")->str, "not a row");
    assert_string_equal(real_redis_ask(&rig->redis, "HGET workers alias")->str, seed);
}

static void test_restores_many_pages(void **state)
{
    struct rig *rig = *state;
    char id[16];

    for (int i = 0; i < 3000; i++) {
        snprintf(id, sizeof id, "w%04d", i);
        rig_add_row(rig, id, RIG_MANAGER, HB_STATUS_ALIVE);
    }
    rig_start_manager(rig);
    rig_until(rig, rig_in_step);
    assert_int_equal(hb_registry_count(hb_manager_registry(rig->manager)), 3000);
    rig_assert_mirrored(rig, 0);
}

static bool has_read_a_page(struct rig *rig)
{
    return hb_registry_count(hb_manager_registry(rig->manager)) > 0;
}

/* The connection ends between two pages: the pass begins again, and what was restored already is not restored twice. */
static void test_interrupted_while_it_reads(void **state)
{
    struct rig *rig = *state;
    char id[16];

    for (int i = 0; i < 3000; i++) {
        snprintf(id, sizeof id, "w%04d", i);
        rig_add_row(rig, id, RIG_MANAGER, HB_STATUS_ALIVE);
    }
    rig_start_manager(rig);
    rig_until(rig, has_read_a_page);
    assert_false(hb_redis_store_loaded(rig->store));
    real_redis_ask(&rig->redis, "CLIENT KILL TYPE normal SKIPME yes");
    rig_until(rig, rig_is_away);
    assert_false(hb_redis_store_loaded(rig->store));
    rig_until(rig, rig_in_step);
    assert_int_equal(hb_registry_count(hb_manager_registry(rig->manager)), 3000);
    assert_int_equal(rig_seq(rig), 0); /* nothing has happened to any of them */
    assert_int_equal(rig_counters(rig)->rewrites, 0);
    rig_assert_mirrored(rig, 0);
}

static void test_the_epoch_only_grows(void **state)
{
    struct rig *rig = *state;
    uint64_t ahead = (uint64_t)hb_wall_now().ms + 1000000; /* the clock was ahead last time */

    real_redis_ask(&rig->redis, "HSET workers:meta " RIG_MANAGER ":epoch %llu " RIG_MANAGER ":seq 99",
                   (unsigned long long)ahead);
    rig_start_manager(rig);
    rig_register(rig, "early"); /* under the epoch that is about to be given up */
    rig_until(rig, rig_in_step);
    assert_int_equal(hb_registry_epoch(hb_manager_registry(rig->manager)), ahead + 1);
    assert_int_equal(rig_meta(rig, RIG_MANAGER ":epoch"), ahead + 1);
    assert_int_equal(rig_stored_seq(rig), rig_seq(rig));
    rig_assert_mirrored(rig, 0);
}

static void test_a_second_start_goes_on(void **state)
{
    struct rig *rig = *state;
    uint64_t epoch;

    rig_start_with_workers(rig, 5);
    epoch = hb_registry_epoch(hb_manager_registry(rig->manager));
    rig_stop_manager(rig);
    rig_start_manager(rig);
    rig_until(rig, rig_in_step);
    assert_true(hb_registry_epoch(hb_manager_registry(rig->manager)) > epoch);
    assert_int_equal(hb_registry_count(hb_manager_registry(rig->manager)), 5);
    rig_beat(rig, "w0000", HB_BEAT_DRAINING);
    rig_until(rig, rig_in_step);
    rig_assert_stream_gapless(rig);
    rig_assert_mirrored(rig, 0);
}

/* ---- tickets ---- */

static int stored, not_stored;

static void on_persisted(void *self, bool persisted)
{
    (void)self;
    if (persisted)
        stored++;
    else
        not_stored++;
}

static bool is_answered(struct rig *rig)
{
    (void)rig;
    return stored + not_stored > 0;
}

static void await(struct rig *rig, const char *id, int64_t wait_ms)
{
    stored = 0;
    not_stored = 0;
    assert_non_null(hb_redis_store_await(rig->store, hb_text_of(id), wait_ms, on_persisted, NULL));
    assert_int_equal(stored + not_stored, 0);
}

static void test_tickets(void **state)
{
    struct rig *rig = *state;

    rig_start_with_workers(rig, 1);
    rig_register(rig, "w1");
    await(rig, "w1", 30000);
    rig_until(rig, is_answered);
    assert_int_equal(stored, 1);
    assert_int_equal(real_redis_ask(&rig->redis, "HEXISTS workers w1")->integer, 1);
    await(rig, "w1", 30000); /* is there already */
    rig_until(rig, is_answered);
    assert_int_equal(stored, 1);

    real_redis_freeze(&rig->redis);
    rig_register(rig, "w2");
    await(rig, "w2", 100); /* the deadline */
    rig_until(rig, is_answered);
    assert_int_equal(not_stored, 1);
    assert_false(rig_is_away(rig));
    await(rig, "w2", 60000); /* the link goes down meanwhile */
    rig_until(rig, is_answered);
    assert_int_equal(not_stored, 1);
    assert_true(rig_is_away(rig));
    await(rig, "w2", 60000); /* away */
    rig_until(rig, is_answered);
    assert_int_equal(not_stored, 1);
    real_redis_thaw(&rig->redis);
    rig_until(rig, rig_in_step);

    real_redis_freeze(&rig->redis);
    rig_register(rig, "w3");
    await(rig, "w3", 60000); /* the store is closed meanwhile: who waits holds a ticket that is gone then */
    rig_stop_manager(rig);
    assert_int_equal(not_stored, 1);
    assert_int_equal(stored, 0);
    real_redis_thaw(&rig->redis);
}

/* ---- the end ---- */

static void on_drained(void *self)
{
    struct rig *rig = self;

    stored++;
    rig_close_store(rig); /* what a program does then */
}

static void test_drain_writes_everything(void **state)
{
    struct rig *rig = *state;
    char before[25], after[25];

    rig->config.flush_interval_ms = 3600000;
    rig_start_with_workers(rig, 600);
    hb_wall_format(rig_worker(rig, "w0001")->last_heartbeat, before);
    do {
        rig_beat(rig, "w0001", HB_BEAT_PLAIN); /* waits for the flush, which is an hour away */
        hb_wall_format(rig_worker(rig, "w0001")->last_heartbeat, after);
    } while (strcmp(before, after) == 0);
    stored = 0;
    not_stored = 0;
    hb_redis_store_drain(rig->store, 30000, on_drained, rig);
    assert_int_equal(stored, 0);
    rig_until(rig, is_answered);
    assert_non_null(strstr(real_redis_ask(&rig->redis, "HGET workers w0001")->str, after));
}

static void test_drain_gives_up(void **state)
{
    struct rig *rig = *state;

    rig_start_with_workers(rig, 1);
    real_redis_kill(&rig->redis);
    rig_until(rig, rig_is_away);
    stored = 0;
    not_stored = 0;
    hb_redis_store_drain(rig->store, 50, on_drained, rig);
    rig_until(rig, is_answered);
}

/* Closed in the middle of each phase, with whatever is under way: the teardown finds every handle closed. */
static void test_closed_at_any_moment(void **state)
{
    struct rig *rig = *state;

    for (int turns = 0; turns < 40; turns++) {
        rig_start_manager(rig);
        rig_register(rig, "w1");
        hb_redis_store_await(rig->store, HB_TEXT("w1"), 500, on_persisted, NULL);
        rig_turns(rig, turns);
        rig_stop_manager(rig);
    }
    rig->config.link.host = "name.invalid";
    rig_start_manager(rig);
    rig_turns(rig, 1);
    rig_stop_manager(rig);
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_set_up, rig_tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(test_rows_events_and_meta),
        WITH_RIG(test_state_before_announcement),
        WITH_RIG(test_beats_go_with_the_flush),
        WITH_RIG(test_restores_ours_and_the_seeds),
        WITH_RIG(test_restores_many_pages),
        WITH_RIG(test_interrupted_while_it_reads),
        WITH_RIG(test_the_epoch_only_grows),
        WITH_RIG(test_a_second_start_goes_on),
        WITH_RIG(test_tickets),
        WITH_RIG(test_drain_writes_everything),
        WITH_RIG(test_drain_gives_up),
        WITH_RIG(test_closed_at_any_moment),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
