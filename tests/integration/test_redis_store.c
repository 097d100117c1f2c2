/*
 * The store against a real redis-server: what it writes, in which order, and what becomes of it when Redis is emptied,
 * killed, frozen, read-only, full, misused by others, or answers into the void.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/io/redis_script.h"
#include "proto/wire/codec.h"
#include "tests/integration/store_rig.h"

static void add_row(struct rig *rig, const char *id, const char *manager, enum hb_status status)
{
    const struct hb_row row = {
        .id = hb_text_of(id),
        .name = HB_TEXT("from before"),
        .host = HB_TEXT("10.0.0.1"),
        .port = 8001,
        .status = status,
        .last_heartbeat = {1795203000000},
        .since = {1795203000000},
        .reason = HB_REASON_BEAT,
        .serving = status == HB_STATUS_ALIVE,
        .announced = status == HB_STATUS_ALIVE ? HB_ANNOUNCED_UP : HB_ANNOUNCED_DOWN,
        .timeout_ms = 15000,
        .requests = -1,
        .errors = -1,
        .manager = hb_text_of(manager),
        .epoch = 1,
        .seq = 1,
    };
    struct hb_buf json;

    hb_buf_init(&json, 4096);
    hb_encode_row(&json, &row);
    real_redis_ask(&rig->redis, "HSET workers %s %b", id, json.bytes, json.len);
    hb_buf_free(&json);
}

/* A manager in step with some workers that serve. */
static void start_with_workers(struct rig *rig, int count)
{
    char id[16];

    rig_start_manager(rig);
    for (int i = 0; i < count; i++) {
        snprintf(id, sizeof id, "w%04d", i);
        rig_register(rig, id);
        rig_beat(rig, id, HB_BEAT_ALIVE);
    }
    rig_until(rig, rig_in_step);
}

static uint64_t meta(struct rig *rig, const char *field)
{
    const redisReply *reply = real_redis_ask(&rig->redis, "HGET workers:meta %s", field);

    return reply->type == REDIS_REPLY_STRING ? strtoull(reply->str, NULL, 10) : 0;
}

static uint64_t stored_seq(struct rig *rig)
{
    return meta(rig, RIG_MANAGER ":seq");
}

static uint64_t seq(struct rig *rig)
{
    return hb_registry_seq(hb_manager_registry(rig->manager));
}

static const struct hb_redis_store_counters *counters(struct rig *rig)
{
    return hb_redis_store_counters(rig->store);
}

/* ---- in good weather ---- */

static void test_rows_events_and_meta(void **state)
{
    struct rig *rig = *state;

    start_with_workers(rig, 3);
    rig_assert_mirrored(rig, 0);
    rig_assert_stream_gapless(rig);
    assert_int_equal(meta(rig, "schema"), 1);
    assert_int_equal(meta(rig, RIG_MANAGER ":epoch"), hb_registry_epoch(hb_manager_registry(rig->manager)));
    assert_int_equal(stored_seq(rig), 6);
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
    batches = counters(rig)->batches;
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
    assert_in_range(counters(rig)->batches - batches, 1, 25); /* 2000 events, 128 at a time, and an idle look or two */
    rig_assert_stream_gapless(rig);
}

static uint64_t beats_before;

static bool beats_were_flushed(struct rig *rig)
{
    return counters(rig)->rows >= beats_before + 50 && rig_in_step(rig);
}

static void test_beats_go_with_the_flush(void **state)
{
    struct rig *rig = *state;
    uint64_t batches, events;
    char id[16];

    start_with_workers(rig, 50);
    beats_before = counters(rig)->rows;
    batches = counters(rig)->batches;
    events = counters(rig)->events;
    for (int i = 0; i < 50; i++) {
        snprintf(id, sizeof id, "w%04d", i);
        rig_beat(rig, id, HB_BEAT_PLAIN);
        rig_turns(rig, 1);
    }
    rig_until(rig, beats_were_flushed);
    assert_in_range(counters(rig)->batches - batches, 1, 20);
    assert_int_equal(counters(rig)->events, events);
    rig_assert_mirrored(rig, 0);
}

/* ---- starting over ---- */

static void test_restores_ours_and_the_seeds(void **state)
{
    struct rig *rig = *state;
    static const char seed[] = "{\"worker_id\":\"seed\",\"worker_name\":\"Seed\",\"host\":\"h\",\"port\":1,"
                               "\"status\":\"alive\",\"last_heartbeat\":\"2026-11-20T19:45:00.123456\"}";

    add_row(rig, "up", RIG_MANAGER, HB_STATUS_ALIVE);
    add_row(rig, "down", RIG_MANAGER, HB_STATUS_NOT_RESPONDING);
    add_row(rig, "theirs", "m2", HB_STATUS_ALIVE);
    add_row(rig, "elsewhere", RIG_MANAGER, HB_STATUS_ALIVE);
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
        add_row(rig, id, RIG_MANAGER, HB_STATUS_ALIVE);
    }
    rig_start_manager(rig);
    rig_until(rig, rig_in_step);
    assert_int_equal(hb_registry_count(hb_manager_registry(rig->manager)), 3000);
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
    assert_int_equal(meta(rig, RIG_MANAGER ":epoch"), ahead + 1);
    assert_int_equal(stored_seq(rig), seq(rig));
    rig_assert_mirrored(rig, 0);
}

static void test_a_second_start_goes_on(void **state)
{
    struct rig *rig = *state;
    uint64_t epoch;

    start_with_workers(rig, 5);
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

/* ---- Redis loses everything ---- */

static bool is_rewritten(struct rig *rig)
{
    return counters(rig)->rewrites > 0 && rig_in_step(rig);
}

static void test_flushall_is_repaired(void **state)
{
    struct rig *rig = *state;

    start_with_workers(rig, 700);
    real_redis_ask(&rig->redis, "FLUSHALL"); /* nothing happens in the manager: its idle look must find out */
    rig_until(rig, is_rewritten);
    rig_assert_mirrored(rig, 0);
    assert_int_equal(stored_seq(rig), seq(rig));
    assert_int_equal(real_redis_ask(&rig->redis, "XLEN workers:events")->integer, 0); /* nothing is told twice */
}

static void test_an_older_copy_is_repaired(void **state)
{
    struct rig *rig = *state;

    start_with_workers(rig, 10);
    add_row(rig, "theirs", "m2", HB_STATUS_ALIVE);
    add_row(rig, "ghost", RIG_MANAGER, HB_STATUS_ALIVE);
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

    start_with_workers(rig, 10);
    real_redis_ask(&rig->redis, "HINCRBY workers:meta " RIG_MANAGER ":batch -1");
    rig_until(rig, is_rewritten);
    rig_assert_mirrored(rig, 0);
}

static void test_killed_and_started_empty(void **state)
{
    struct rig *rig = *state;

    start_with_workers(rig, 100);
    real_redis_kill(&rig->redis);
    rig_until(rig, rig_is_away);
    rig_remove(rig, "w0000");
    rig_beat(rig, "w0001", HB_BEAT_DRAINING);
    real_redis_start(&rig->redis);
    rig_until(rig, rig_in_step);
    rig_assert_mirrored(rig, 0);
    assert_int_equal(stored_seq(rig), seq(rig));
    assert_int_equal(real_redis_ask(&rig->redis, "XLEN workers:events")->integer, 2); /* what it had not confirmed */
}

/* ---- Redis refuses ---- */

/* Refused: nothing was written and nobody was told. Accepted again: everything once. */
static void refuse_and_return(struct rig *rig, const char *refuse, const char *accept)
{
    struct real_redis *redis = &rig->redis;
    redisReply *message;
    uint64_t stored;

    start_with_workers(rig, 10);
    real_redis_listen(redis);
    stored = stored_seq(rig);
    real_redis_ask(redis, refuse);
    rig_beat(rig, "w0001", HB_BEAT_DRAINING);
    rig_remove(rig, "w0002");
    rig_until(rig, rig_is_refusing);
    assert_null(real_redis_heard(redis));
    assert_int_equal(stored_seq(rig), stored);
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

    start_with_workers(rig, 10);
    real_redis_ask(&rig->redis, "CONFIG SET maxmemory 1");
    rig_beat(rig, "w0001", HB_BEAT_DRAINING);
    rig_until(rig, rig_is_refusing);
    assert_int_equal(stored_seq(rig), 20);
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

    start_with_workers(rig, 10);
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
    return counters(rig)->failures >= failures_before + 2;
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
    failures_before = (unsigned)counters(rig)->failures;
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

    start_with_workers(rig, 10);
    real_redis_ask(&rig->redis, "SCRIPT FLUSH");
    rig_beat(rig, "w0001", HB_BEAT_DRAINING);
    rig_until(rig, rig_in_step);
    rig_assert_stream_gapless(rig);
    assert_int_equal(counters(rig)->rewrites, 0);
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
    assert_int_equal(last, seq(rig));
}

static void flip(struct rig *rig, int i)
{
    rig_beat(rig, "w0001", i % 2 == 0 ? HB_BEAT_DRAINING : HB_BEAT_ALIVE);
}

static void test_connections_killed_under_load(void **state)
{
    struct rig *rig = *state;

    start_with_workers(rig, 3);
    real_redis_listen(&rig->redis);
    for (int i = 0; i < 400; i++) {
        flip(rig, i);
        rig_turns(rig, 1 + i % 3);
        if (i % 20 == 19) {
            real_redis_ask(&rig->redis, "CLIENT KILL TYPE normal SKIPME yes");
            flip(rig, 1 - i % 2);
            flip(rig, i);
        }
        if (i % 40 == 39)
            rig_until(rig, rig_in_step);
    }
    rig_until(rig, rig_in_step);
    rig_assert_stream_gapless(rig);
    assert_heard_once(rig, 6);
    rig_assert_mirrored(rig, 0);
    assert_int_equal(counters(rig)->rewrites, 0);
}

/*
 * The batch reaches a server that is stopped; the link gives up; when the server goes on it executes the batch, of
 * which nobody awaits the answer. Meanwhile the state has changed.
 */
static void test_a_server_that_was_stopped(void **state)
{
    struct rig *rig = *state;

    start_with_workers(rig, 3);
    real_redis_listen(&rig->redis);
    for (int round = 0; round < 2; round++) {
        real_redis_freeze(&rig->redis);
        flip(rig, 0);
        rig_until(rig, rig_is_away);
        flip(rig, 1);
        rig_remove(rig, round == 0 ? "w0000" : "w0002");
        real_redis_thaw(&rig->redis);
        rig_until(rig, rig_in_step);
        rig_assert_mirrored(rig, 0);
    }
    rig_assert_stream_gapless(rig);
    assert_heard_once(rig, 6);
    assert_int_equal(counters(rig)->rewrites, 0);
}

/* ---- the script alone ---- */

static const redisReply *run_script(struct rig *rig, struct hb_script_args *args, const struct hb_script_head *head)
{
    const struct hb_text *argv;
    int argc = hb_script_command(args, head, &argv);
    const char *texts[32];
    size_t lens[32];
    static redisReply *reply;

    assert_in_range(argc, 0, 32);
    for (int i = 0; i < argc; i++) {
        texts[i] = argv[i].bytes;
        lens[i] = argv[i].len;
    }
    if (reply != NULL)
        freeReplyObject(reply);
    reply = redisCommandArgv(rig->redis.client, argc, texts, lens);
    assert_non_null(reply);
    return reply;
}

static void assert_row(struct rig *rig, const char *expected)
{
    assert_string_equal(real_redis_ask(&rig->redis, "HGET workers w1")->str, expected);
}

/* A batch that was held up on a connection that was given up must not undo what came after it. */
static void test_a_late_batch_changes_nothing(void **state)
{
    struct rig *rig = *state;
    struct hb_script_args *args = hb_script_args_new();
    struct hb_text script = hb_script_text();
    char sha[41];
    struct hb_script_head head = {.manager = HB_TEXT("m9"), .epoch = 5, .begin = true};
    uint64_t done = 0;

    memcpy(sha, real_redis_ask(&rig->redis, "SCRIPT LOAD %b", script.bytes, script.len)->str, sizeof sha);
    head.sha = hb_text_of(sha);
    head.number = 1;
    hb_script_add_row(args, HB_TEXT("w1"), HB_TEXT("first"));
    hb_script_add_event(args, 1, HB_TEXT("{}"), HB_TEXT(""));
    assert_int_equal(hb_script_read(run_script(rig, args, &head), &done), HB_SCRIPT_DONE);
    assert_int_equal(done, 1);
    head.begin = false;
    head.seq = 1;
    head.batch = 1;

    head.number = 3;
    hb_script_args_clear(args);
    hb_script_add_row(args, HB_TEXT("w1"), HB_TEXT("third"));
    assert_int_equal(hb_script_read(run_script(rig, args, &head), &done), HB_SCRIPT_DONE);
    head.number = 2;
    hb_script_args_clear(args);
    hb_script_add_row(args, HB_TEXT("w1"), HB_TEXT("second"));
    assert_int_equal(hb_script_read(run_script(rig, args, &head), &done), HB_SCRIPT_FENCED);
    assert_row(rig, "third");

    head.number = 4; /* of an earlier life */
    head.epoch = 4;
    assert_int_equal(hb_script_read(run_script(rig, args, &head), &done), HB_SCRIPT_FENCED);
    head.epoch = 6; /* of a later one, which has not begun properly */
    assert_int_equal(hb_script_read(run_script(rig, args, &head), &done), HB_SCRIPT_BEHIND);
    assert_row(rig, "third");
    hb_script_args_free(args);
    run_script(rig, args = hb_script_args_new(), &head);
    hb_script_args_free(args);
}

/* ---- others ---- */

static void test_fenced_by_a_later_life(void **state)
{
    struct rig *rig = *state;
    uint64_t later;

    start_with_workers(rig, 3);
    later = meta(rig, RIG_MANAGER ":epoch") + 5;
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

static bool is_overfull(struct rig *rig)
{
    return hb_outbox_lost(hb_manager_outbox(rig->manager)) > 0 && rig_is_refusing(rig);
}

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

/* More transitions than the outbox holds, the removal of a worker among those that are dropped. */
static void test_overflow_tells_to_read_again(void **state)
{
    struct rig *rig = *state;
    unsigned resets = 0;
    uint64_t lost;
    redisReply *message;

    start_with_workers(rig, 600);
    real_redis_listen(&rig->redis);
    real_redis_ask(&rig->redis, "CONFIG SET client-output-buffer-limit %s", "pubsub 0 0 0");
    real_redis_ask(&rig->redis, "REPLICAOF 127.0.0.1 1");
    rig_remove(rig, "w0000");
    for (int i = 0; i < HB_OUTBOX_MAX; i++)
        flip(rig, i);
    rig_until(rig, is_overfull);
    failures_before = (unsigned)counters(rig)->failures;
    rig_until(rig, was_refused_again);
    flip(rig, 0);
    flip(rig, 1);
    lost = hb_outbox_lost(hb_manager_outbox(rig->manager));
    assert_int_equal(lost, 3);
    assert_int_equal(counters(rig)->rewrites, 0); /* not while it would be refused */
    real_redis_ask(&rig->redis, "REPLICAOF NO ONE");
    rig_until(rig, rig_in_step);
    rig_assert_mirrored(rig, 0);
    assert_int_equal(counters(rig)->rewrites, 1);
    assert_true(stream_is_ordered(real_redis_ask(&rig->redis, "XRANGE workers:events - +"), lost, &resets));
    assert_int_equal(resets, 1);
    message = real_redis_heard(&rig->redis);
    assert_string_equal(message->element[2]->str, "server:reset");
    freeReplyObject(message);
    while ((message = real_redis_heard(&rig->redis)) != NULL)
        freeReplyObject(message);
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

    start_with_workers(rig, 1);
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
    await(rig, "w1", 60000);
    stored = not_stored = -1; /* the teardown closes the store, and nobody may be called after that */
}

/* ---- drain ---- */

static void on_drained(void *self)
{
    struct rig *rig = self;

    stored++;
    rig_stop_manager(rig); /* what a program does then */
}

static void test_drain_writes_everything(void **state)
{
    struct rig *rig = *state;
    char before[25], after[25];

    rig->config.flush_interval_ms = 3600000;
    start_with_workers(rig, 600);
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

    start_with_workers(rig, 1);
    real_redis_kill(&rig->redis);
    rig_until(rig, rig_is_away);
    stored = 0;
    not_stored = 0;
    hb_redis_store_drain(rig->store, 50, on_drained, rig);
    rig_until(rig, is_answered);
}

/* ---- the link ---- */

static void test_a_name_with_several_addresses(void **state)
{
    struct rig *rig = *state;

    rig->config.link.host = "localhost"; /* may be ::1 first, where nobody listens */
    start_with_workers(rig, 1);
    rig_assert_mirrored(rig, 0);
}

static void test_password_and_database(void **state)
{
    struct rig *rig = *state;

    real_redis_ask(&rig->redis, "ACL SETUSER beat on >secret ~* &* +@all");
    rig->config.link.username = "beat";
    rig->config.link.password = "secret";
    rig->config.link.db = 3;
    start_with_workers(rig, 2);
    assert_int_equal(real_redis_ask(&rig->redis, "DBSIZE")->integer, 0);
    real_redis_ask(&rig->redis, "SELECT 3");
    rig_assert_mirrored(rig, 0);
}

static int turns_left;

static bool turned_enough(struct rig *rig)
{
    (void)rig;
    return --turns_left < 0;
}

static void test_a_wrong_password(void **state)
{
    struct rig *rig = *state;

    rig->config.link.password = "wrong";
    real_redis_ask(&rig->redis, "CONFIG SET requirepass right");
    rig_start_manager(rig);
    rig_register(rig, "w1");
    turns_left = 300;
    rig_until(rig, turned_enough);
    assert_true(rig_is_away(rig));
    real_redis_ask(&rig->redis, "CONFIG SET requirepass wrong");
    rig_until(rig, rig_in_step);
}

static void test_no_password_where_one_is_needed(void **state)
{
    struct rig *rig = *state;

    real_redis_ask(&rig->redis, "CONFIG SET requirepass secret");
    rig_start_manager(rig);
    rig_until(rig, rig_is_refusing);
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
        WITH_RIG(test_the_epoch_only_grows),
        WITH_RIG(test_a_second_start_goes_on),
        WITH_RIG(test_flushall_is_repaired),
        WITH_RIG(test_an_older_copy_is_repaired),
        WITH_RIG(test_a_copy_that_lacks_the_last_rows_is_repaired),
        WITH_RIG(test_killed_and_started_empty),
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
        WITH_RIG(test_a_late_batch_changes_nothing),
        WITH_RIG(test_fenced_by_a_later_life),
        WITH_RIG(test_overflow_tells_to_read_again),
        WITH_RIG(test_tickets),
        WITH_RIG(test_drain_writes_everything),
        WITH_RIG(test_drain_gives_up),
        WITH_RIG(test_a_name_with_several_addresses),
        WITH_RIG(test_password_and_database),
        WITH_RIG(test_a_wrong_password),
        WITH_RIG(test_no_password_where_one_is_needed),
        WITH_RIG(test_closed_at_any_moment),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
