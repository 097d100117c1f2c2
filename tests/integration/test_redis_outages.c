/*
 * The store in bad weather: Redis is emptied, killed, frozen, read-only, full, misused by others, or answers into the
 * void. Whatever happens, memory goes on, and afterwards Redis has every row, and every event once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/integration/store_rig.h"

/* ---- Redis loses everything ---- */

static bool is_rewritten(struct rig *rig)
{
    return rig_counters(rig)->rewrites > 0 && rig_in_step(rig);
}

static void test_flushall_is_repaired(void **state)
{
    struct rig *rig = *state;

    rig_start_with_workers(rig, 700);
    real_redis_ask(&rig->redis, "FLUSHALL"); /* nothing happens in the manager: its idle look must find out */
    rig_until(rig, is_rewritten);
    rig_assert_mirrored(rig, 0);
    assert_int_equal(rig_stored_seq(rig), rig_seq(rig));
    assert_int_equal(real_redis_ask(&rig->redis, "XLEN workers:events")->integer, 0); /* nothing is told twice */
}

static void test_an_older_copy_is_repaired(void **state)
{
    struct rig *rig = *state;

    rig_start_with_workers(rig, 10);
    rig_add_row(rig, "theirs", "m2", HB_STATUS_ALIVE);
    rig_add_row(rig, "ghost", RIG_MANAGER, HB_STATUS_ALIVE);
    real_redis_ask(&rig->redis, "HDEL workers w0003");
    real_redis_ask(&rig->redis, "HSET workers:meta " RIG_MANAGER ":seq 3");
    rig_until(rig, is_rewritten);
    rig_assert_mirrored(rig, 1);
    assert_int_equal(real_redis_ask(&rig->redis, "HEXISTS workers ghost")->integer, 0);
    assert_int_equal(real_redis_ask(&rig->redis, "HEXISTS workers theirs")->integer, 1);
    rig_assert_stream_gapless(rig);
}

/* What has no seq counts as well: the number of the batch tells. */
static void test_a_copy_that_lacks_the_last_rows_is_repaired(void **state)
{
    struct rig *rig = *state;

    rig_start_with_workers(rig, 10);
    real_redis_ask(&rig->redis, "HINCRBY workers:meta " RIG_MANAGER ":batch -1");
    rig_until(rig, is_rewritten);
    rig_assert_mirrored(rig, 0);
}

static void test_killed_and_started_empty(void **state)
{
    struct rig *rig = *state;

    rig_start_with_workers(rig, 100);
    real_redis_kill(&rig->redis);
    rig_until(rig, rig_is_away);
    rig_remove(rig, "w0000");
    rig_beat(rig, "w0001", HB_BEAT_DRAINING);
    real_redis_start(&rig->redis);
    rig_until(rig, rig_in_step);
    rig_assert_mirrored(rig, 0);
    assert_int_equal(rig_stored_seq(rig), rig_seq(rig));
    assert_int_equal(real_redis_ask(&rig->redis, "XLEN workers:events")->integer, 2); /* what it had not confirmed */
}

/* ---- rows go, and meta stays ---- */

/* All of these workers are silent: nothing but the idle look can find out. */
static void test_a_deleted_hash_is_repaired(void **state)
{
    struct rig *rig = *state;

    rig_start_with_workers(rig, 700);
    real_redis_listen(&rig->redis);
    real_redis_ask(&rig->redis, "DEL workers");
    rig_until(rig, is_rewritten);
    rig_assert_mirrored(rig, 0);
    rig_assert_stream_gapless(rig);
    assert_null(real_redis_heard(&rig->redis)); /* nothing has changed, so nothing is told */
    assert_int_equal(rig_counters(rig)->rewrites, 1);
}

static void test_a_single_deleted_row_is_repaired(void **state)
{
    struct rig *rig = *state;

    rig_start_with_workers(rig, 10);
    real_redis_ask(&rig->redis, "HDEL workers w0007");
    rig_until(rig, is_rewritten);
    rig_assert_mirrored(rig, 0);
    assert_int_equal(rig_counters(rig)->rewrites, 1);
}

static void test_a_replaced_hash_is_repaired(void **state)
{
    struct rig *rig = *state;

    rig_start_with_workers(rig, 10);
    real_redis_ask(&rig->redis, "HSET other a 1 b 2 c 3");
    real_redis_ask(&rig->redis, "RENAME other workers");
    rig_until(rig, is_rewritten);
    rig_assert_mirrored(rig, 3);
}

/* Rows that were restored, and not written since, count as well. */
static void test_restored_rows_that_go_are_repaired(void **state)
{
    struct rig *rig = *state;

    rig_add_row(rig, "w0001", RIG_MANAGER, HB_STATUS_ALIVE);
    rig_add_row(rig, "w0002", RIG_MANAGER, HB_STATUS_NOT_RESPONDING);
    rig_start_manager(rig);
    rig_until(rig, rig_is_loaded);
    rig_until(rig, rig_in_step);
    real_redis_ask(&rig->redis, "HDEL workers w0002");
    rig_until(rig, is_rewritten);
    rig_assert_mirrored(rig, 0);
}

static uint64_t batches_before;

static bool was_looked_at_again(struct rig *rig)
{
    return rig_counters(rig)->batches >= batches_before + 2 && rig_in_step(rig);
}

static void let_it_look(struct rig *rig)
{
    batches_before = rig_counters(rig)->batches;
    rig_until(rig, was_looked_at_again);
}

/* Fields of others, and removals of our own, are no reason to write everything again. */
static void test_what_others_add_and_take_away(void **state)
{
    struct rig *rig = *state;

    rig_start_with_workers(rig, 10);
    for (int round = 0; round < 2; round++) {
        real_redis_ask(&rig->redis, "HSET workers theirs 1 others 2");
        let_it_look(rig);
        real_redis_ask(&rig->redis, "HDEL workers theirs others");
        let_it_look(rig);
        rig_remove(rig, round == 0 ? "w0003" : "w0004");
        let_it_look(rig);
        rig_register(rig, "w0003");
        let_it_look(rig);
    }
    assert_int_equal(rig_counters(rig)->rewrites, 0);
    rig_assert_mirrored(rig, 0);
}

/* A hash of a wrong type is refused though there is nothing to write; afterwards all rows are there again. */
static void test_a_hash_that_was_overwritten(void **state)
{
    struct rig *rig = *state;

    rig_start_with_workers(rig, 10);
    real_redis_ask(&rig->redis, "SET workers nonsense");
    rig_until(rig, rig_is_refusing);
    real_redis_ask(&rig->redis, "DEL workers");
    rig_until(rig, is_rewritten);
    rig_assert_mirrored(rig, 0);
}

/* ---- Redis refuses ---- */

/* Refused: nothing was written and nobody was told. Accepted again: everything once. */
static void refuse_and_return(struct rig *rig, const char *refuse, const char *accept)
{
    struct real_redis *redis = &rig->redis;
    redisReply *message;
    uint64_t stored;

    rig_start_with_workers(rig, 10);
    real_redis_listen(redis);
    stored = rig_stored_seq(rig);
    real_redis_ask(redis, refuse);
    rig_beat(rig, "w0001", HB_BEAT_DRAINING);
    rig_remove(rig, "w0002");
    rig_until(rig, rig_is_refusing);
    assert_null(real_redis_heard(redis));
    assert_int_equal(rig_stored_seq(rig), stored);
    assert_int_equal(real_redis_ask(redis, "HEXISTS workers w0002")->integer, 1);
    real_redis_ask(redis, accept);
    rig_until(rig, rig_in_step);
    rig_assert_mirrored(rig, 0);
    rig_assert_stream_gapless(rig);
    message = real_redis_heard(redis);
    assert_string_equal(message->element[2]->str, "server:down");
    freeReplyObject(message);
    message = real_redis_heard(redis);
    assert_string_equal(message->element[2]->str, "server:removed");
    freeReplyObject(message);
    assert_null(real_redis_heard(redis));
}

static void test_read_only(void **state)
{
    refuse_and_return(*state, "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE");
}

static void test_not_enough_replicas(void **state)
{
    refuse_and_return(*state, "CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0");
}

static void test_no_permission_to_write(void **state)
{
    refuse_and_return(*state, "ACL SETUSER default -hdel", "ACL SETUSER default +hdel");
}

/* HDEL needs no memory and is the first write, so only a batch without it is refused. */
static void test_out_of_memory(void **state)
{
    struct rig *rig = *state;

    rig_start_with_workers(rig, 10);
    real_redis_ask(&rig->redis, "CONFIG SET maxmemory 1");
    rig_beat(rig, "w0001", HB_BEAT_DRAINING);
    rig_until(rig, rig_is_refusing);
    assert_int_equal(rig_stored_seq(rig), 20);
    rig_beat(rig, "w0001", HB_BEAT_ALIVE);
    rig_remove(rig, "w0002");
    real_redis_ask(&rig->redis, "CONFIG SET maxmemory 0");
    rig_until(rig, rig_in_step);
    rig_assert_mirrored(rig, 0);
    rig_assert_stream_gapless(rig);
}

static void test_a_batch_that_frees_memory_is_done_whole(void **state)
{
    struct rig *rig = *state;

    rig_start_with_workers(rig, 10);
    real_redis_ask(&rig->redis, "CONFIG SET maxmemory 1");
    rig_remove(rig, "w0002");
    rig_beat(rig, "w0001", HB_BEAT_DRAINING);
    rig_until(rig, rig_in_step);
    rig_assert_mirrored(rig, 0);
    rig_assert_stream_gapless(rig);
}

/* The rows may be written then; but nothing was told, and nothing is told twice. */
static void test_a_stream_of_a_wrong_type(void **state)
{
    struct rig *rig = *state;

    rig_start_manager(rig);
    rig_until(rig, rig_in_step);
    real_redis_listen(&rig->redis);
    real_redis_ask(&rig->redis, "SET workers:events nonsense");
    rig_register(rig, "w0001");
    rig_beat(rig, "w0001", HB_BEAT_ALIVE);
    rig_until(rig, rig_is_refusing);
    assert_null(real_redis_heard(&rig->redis));
    real_redis_ask(&rig->redis, "DEL workers:events");
    rig_until(rig, rig_in_step);
    rig_assert_stream_gapless(rig);
    freeReplyObject(real_redis_heard(&rig->redis));
    assert_null(real_redis_heard(&rig->redis));
}

static unsigned failures_before;

static bool was_refused_again(struct rig *rig)
{
    return rig_counters(rig)->failures >= failures_before + 2;
}

static void test_a_channel_without_permission(void **state)
{
    struct rig *rig = *state;

    rig_start_manager(rig);
    rig_until(rig, rig_in_step);
    real_redis_ask(&rig->redis, "ACL SETUSER default resetchannels");
    rig_register(rig, "w0001");
    rig_beat(rig, "w0001", HB_BEAT_ALIVE);
    rig_until(rig, rig_is_refusing);
    failures_before = (unsigned)rig_counters(rig)->failures;
    rig_until(rig, was_refused_again);
    assert_int_equal(real_redis_ask(&rig->redis, "EXISTS workers:events")->integer, 0);
    real_redis_ask(&rig->redis, "ACL SETUSER default allchannels");
    rig_until(rig, rig_in_step);
    rig_assert_stream_gapless(rig);
}

static void test_a_hash_of_a_wrong_type(void **state)
{
    struct rig *rig = *state;

    real_redis_ask(&rig->redis, "SET workers nonsense");
    rig_start_manager(rig);
    rig_until(rig, rig_is_refusing);
    assert_false(hb_redis_store_loaded(rig->store));
    real_redis_ask(&rig->redis, "DEL workers");
    rig_until(rig, rig_is_loaded);
    rig_register(rig, "w0001");
    rig_until(rig, rig_in_step);
    rig_assert_mirrored(rig, 0);
}

static void test_the_script_was_forgotten(void **state)
{
    struct rig *rig = *state;

    rig_start_with_workers(rig, 10);
    real_redis_ask(&rig->redis, "SCRIPT FLUSH");
    rig_beat(rig, "w0001", HB_BEAT_DRAINING);
    rig_until(rig, rig_in_step);
    rig_assert_stream_gapless(rig);
    assert_int_equal(rig_counters(rig)->rewrites, 0);
}

/* ---- answers into the void ---- */

static void assert_heard_once(struct rig *rig, unsigned from)
{
    unsigned last = from;
    redisReply *message;

    while ((message = real_redis_heard(&rig->redis)) != NULL) {
        assert_int_equal(rig_number_in(message->element[3]->str, "seq"), last + 1);
        last++;
        freeReplyObject(message);
    }
    assert_int_equal(last, rig_seq(rig));
}

static void test_connections_killed_under_load(void **state)
{
    struct rig *rig = *state;

    rig_start_with_workers(rig, 3);
    real_redis_listen(&rig->redis);
    for (int i = 0; i < 400; i++) {
        rig_flip(rig, i);
        rig_turns(rig, 1 + i % 3);
        if (i % 20 == 19) {
            real_redis_ask(&rig->redis, "CLIENT KILL TYPE normal SKIPME yes");
            rig_flip(rig, 1 - i % 2);
            rig_flip(rig, i);
        }
        if (i % 40 == 39)
            rig_until(rig, rig_in_step);
    }
    rig_until(rig, rig_in_step);
    rig_assert_stream_gapless(rig);
    assert_heard_once(rig, 6);
    rig_assert_mirrored(rig, 0);
    assert_int_equal(rig_counters(rig)->rewrites, 0);
}

/*
 * The batch reaches a server that is stopped; the link gives up; when the server goes on it executes the batch, of
 * which nobody awaits the answer. Meanwhile the state has changed.
 */
static void test_a_server_that_was_stopped(void **state)
{
    struct rig *rig = *state;

    rig_start_with_workers(rig, 3);
    real_redis_listen(&rig->redis);
    for (int round = 0; round < 2; round++) {
        real_redis_freeze(&rig->redis);
        rig_flip(rig, 0);
        rig_until(rig, rig_is_away);
        rig_flip(rig, 1);
        rig_remove(rig, round == 0 ? "w0000" : "w0002");
        real_redis_thaw(&rig->redis);
        rig_until(rig, rig_in_step);
        rig_assert_mirrored(rig, 0);
    }
    rig_assert_stream_gapless(rig);
    assert_heard_once(rig, 6);
    assert_int_equal(rig_counters(rig)->rewrites, 0);
}

/* ---- too much, and too many ---- */

static bool stream_is_ordered(const redisReply *stream, uint64_t lost, unsigned *ret_resets)
{
    uint64_t last = 0;

    for (size_t i = 0; i < stream->elements; i++) {
        const char *event = stream->element[i]->element[1]->element[1]->str;
        uint64_t at = rig_number_in(event, "seq");

        if (strstr(event, "\"event\":\"reset\"") != NULL) {
            *ret_resets += 1;
            assert_int_equal(rig_number_in(event, "lost"), lost);
            assert_int_equal(at, last + lost);
        } else if (last != 0 && at != last + 1) {
            return false;
        }
        last = at;
    }
    return true;
}

/* Whoever reads the hash again on hearing the reset finds all of it up to date. */
static void hear_reset(struct rig *rig)
{
    unsigned heard = 0;
    redisReply *message;

    while (!rig_in_step(rig)) {
        rig_turns(rig, 1);
        while ((message = real_redis_heard(&rig->redis)) != NULL) {
            if (heard++ == 0) {
                assert_string_equal(message->element[2]->str, "server:reset");
                rig_assert_mirrored(rig, 0);
            }
            freeReplyObject(message);
        }
    }
    assert_true(heard > 0);
}

/* More transitions than the outbox holds: among those that are dropped a removal, and the last change of most workers.
 */
static void test_overflow_tells_to_read_again(void **state)
{
    struct rig *rig = *state;
    unsigned resets = 0;
    uint64_t lost;
    char id[16];

    rig_start_with_workers(rig, 600);
    real_redis_listen(&rig->redis);
    real_redis_ask(&rig->redis, "REPLICAOF 127.0.0.1 1");
    rig_remove(rig, "w0000");
    rig_until(rig, rig_is_refusing);
    for (int i = 2; i < 600; i++) {
        snprintf(id, sizeof id, "w%04d", i);
        rig_beat(rig, id, HB_BEAT_DRAINING);
    }
    for (int i = 0; i < HB_OUTBOX_MAX; i++)
        rig_flip(rig, i);
    failures_before = (unsigned)rig_counters(rig)->failures;
    rig_until(rig, was_refused_again);
    rig_flip(rig, 0);
    rig_flip(rig, 1);
    lost = hb_outbox_lost(hb_manager_outbox(rig->manager));
    assert_int_equal(lost, 1 + 598 + 2);
    assert_int_equal(rig_counters(rig)->rewrites, 0); /* not while it would be refused */
    real_redis_ask(&rig->redis, "REPLICAOF NO ONE");
    hear_reset(rig);
    rig_assert_mirrored(rig, 0);
    assert_int_equal(rig_counters(rig)->rewrites, 1);
    assert_true(stream_is_ordered(real_redis_ask(&rig->redis, "XRANGE workers:events - +"), lost, &resets));
    assert_int_equal(resets, 1);
}

static void test_fenced_by_a_later_life(void **state)
{
    struct rig *rig = *state;
    uint64_t later;

    rig_start_with_workers(rig, 3);
    later = rig_meta(rig, RIG_MANAGER ":epoch") + 5;
    real_redis_ask(&rig->redis, "HSET workers:meta " RIG_MANAGER ":epoch %llu", (unsigned long long)later);
    real_redis_ask(&rig->redis, "HSET workers w0001 theirs");
    rig_beat(rig, "w0001", HB_BEAT_DRAINING);
    rig_until(rig, rig_is_fenced);
    assert_string_equal(real_redis_ask(&rig->redis, "HGET workers w0001")->str, "theirs");
    real_redis_ask(&rig->redis, "CLIENT KILL TYPE normal SKIPME yes");
    rig_until(rig, rig_is_away);
    rig_until(rig, rig_is_fenced); /* a new connection does not help */
    real_redis_ask(&rig->redis, "FLUSHALL");
    rig_until(rig, rig_in_step);
    rig_assert_mirrored(rig, 0);
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_set_up, rig_tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(test_flushall_is_repaired),
        WITH_RIG(test_an_older_copy_is_repaired),
        WITH_RIG(test_a_copy_that_lacks_the_last_rows_is_repaired),
        WITH_RIG(test_killed_and_started_empty),
        WITH_RIG(test_a_deleted_hash_is_repaired),
        WITH_RIG(test_a_single_deleted_row_is_repaired),
        WITH_RIG(test_a_replaced_hash_is_repaired),
        WITH_RIG(test_restored_rows_that_go_are_repaired),
        WITH_RIG(test_what_others_add_and_take_away),
        WITH_RIG(test_a_hash_that_was_overwritten),
        WITH_RIG(test_read_only),
        WITH_RIG(test_not_enough_replicas),
        WITH_RIG(test_no_permission_to_write),
        WITH_RIG(test_out_of_memory),
        WITH_RIG(test_a_batch_that_frees_memory_is_done_whole),
        WITH_RIG(test_a_stream_of_a_wrong_type),
        WITH_RIG(test_a_channel_without_permission),
        WITH_RIG(test_a_hash_of_a_wrong_type),
        WITH_RIG(test_the_script_was_forgotten),
        WITH_RIG(test_connections_killed_under_load),
        WITH_RIG(test_a_server_that_was_stopped),
        WITH_RIG(test_overflow_tells_to_read_again),
        WITH_RIG(test_fenced_by_a_later_life),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
