#include "tests/integration/store_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/log.h"
#include "proto/wire/codec.h"

#define PATIENCE_MS 30000
#define TICK_MS 5
#define FLUSH_MS 100

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

int rig_set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);

    signal(SIGPIPE, SIG_IGN);
    hb_log_open("test", HB_LOG_ERROR, HB_LOG_LOGFMT);
    real_redis_start(&rig->redis);
    uv_loop_init(&rig->loop);
    uv_timer_init(&rig->loop, &rig->tick);
    uv_timer_start(&rig->tick, on_tick, TICK_MS, TICK_MS);
    rig->config.link.host = "127.0.0.1";
    rig->config.link.port = rig->redis.port;
    rig->config.flush_interval_ms = FLUSH_MS;
    *state = rig;
    return 0;
}

int rig_tear_down(void **state)
{
    struct rig *rig = *state;

    rig_stop_manager(rig);
    uv_close((uv_handle_t *)&rig->tick, NULL);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&rig->loop), 0);
    real_redis_kill(&rig->redis);
    hb_log_close();
    free(rig);
    return 0;
}

void rig_start_manager(struct rig *rig)
{
    const struct hb_registry_rules rules = {
        .timeout_ms = 15000, .disconnect_grace_ms = 2000, .restart_grace_ms = 30000, .max_workers = 100000};

    rig->manager = hb_manager_new(HB_TEXT(RIG_MANAGER), &rules, hb_moment_now());
    assert_non_null(rig->manager);
    rig->store = hb_redis_store_new(&rig->loop, &rig->config, rig->manager);
    assert_non_null(rig->store);
    hb_redis_store_start(rig->store);
}

void rig_close_store(struct rig *rig)
{
    if (rig->store != NULL)
        hb_redis_store_close(rig->store);
    rig->store = NULL;
}

void rig_stop_manager(struct rig *rig)
{
    if (rig->manager == NULL)
        return;
    rig_close_store(rig);
    rig_turns(rig, 3);
    hb_manager_free(rig->manager);
    rig->manager = NULL;
}

void rig_wait(struct rig *rig, rig_condition condition, const char *name, const char *file, int line)
{
    hb_mono_ms begun = hb_mono_now();

    while (!condition(rig)) {
        if (hb_mono_between(begun, hb_mono_now()) > PATIENCE_MS) {
            print_error("%s was never so (store: %s)\n", name,
                        rig->store == NULL ? "closed" : hb_redis_store_state_text(hb_redis_store_state(rig->store)));
            _fail(file, line);
        }
        uv_run(&rig->loop, UV_RUN_ONCE);
    }
}

void rig_turns(struct rig *rig, int count)
{
    while (count-- > 0)
        uv_run(&rig->loop, UV_RUN_ONCE);
}

/* ---- conditions ---- */

bool rig_in_step(struct rig *rig)
{
    struct hb_mirror *mirror = hb_manager_mirror(rig->manager);
    struct hb_registry *registry = hb_manager_registry(rig->manager);

    if (hb_redis_store_state(rig->store) != HB_REDIS_IN_STEP || hb_mirror_dirty_count(mirror) > 0 ||
        hb_outbox_count(hb_manager_outbox(rig->manager)) > 0 || hb_outbox_lost(hb_manager_outbox(rig->manager)) > 0)
        return false;
    for (size_t i = 0; i < hb_registry_count(registry); i++) {
        if (!hb_mirror_is_clean(hb_registry_at(registry, i)))
            return false;
    }
    return true;
}

bool rig_is_refusing(struct rig *rig)
{
    return hb_redis_store_state(rig->store) == HB_REDIS_REFUSING;
}

bool rig_is_away(struct rig *rig)
{
    return hb_redis_store_state(rig->store) == HB_REDIS_AWAY;
}

bool rig_is_fenced(struct rig *rig)
{
    return hb_redis_store_state(rig->store) == HB_REDIS_FENCED;
}

bool rig_is_loaded(struct rig *rig)
{
    return hb_redis_store_loaded(rig->store);
}

/* ---- inputs ---- */

static void apply(struct rig *rig, const char *id, struct hb_input input)
{
    input.id = hb_text_of(id);
    input.peer_host = HB_TEXT("127.0.0.1");
    assert_int_equal(hb_manager_apply(rig->manager, &input, hb_moment_now()), HB_OK);
}

void rig_register(struct rig *rig, const char *id)
{
    const struct hb_registration registration = {.name = HB_TEXT("a worker"), .port = 8001};

    apply(rig, id, (struct hb_input){.kind = HB_INPUT_REGISTER, .registration = &registration});
}

void rig_beat(struct rig *rig, const char *id, enum hb_beat_kind kind)
{
    const struct hb_beat beat = {.kind = kind, .requests = -1, .errors = -1};

    apply(rig, id, (struct hb_input){.kind = HB_INPUT_BEAT, .beat = &beat});
}

void rig_remove(struct rig *rig, const char *id)
{
    apply(rig, id, (struct hb_input){.kind = HB_INPUT_REMOVE});
}

const struct hb_worker *rig_worker(struct rig *rig, const char *id)
{
    return hb_registry_find(hb_manager_registry(rig->manager), hb_text_of(id));
}

/* ---- scenes and figures ---- */

void rig_add_row(struct rig *rig, const char *id, const char *manager, enum hb_status status)
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
void rig_start_with_workers(struct rig *rig, int count)
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

uint64_t rig_meta(struct rig *rig, const char *field)
{
    const redisReply *reply = real_redis_ask(&rig->redis, "HGET workers:meta %s", field);

    return reply->type == REDIS_REPLY_STRING ? strtoull(reply->str, NULL, 10) : 0;
}

uint64_t rig_stored_seq(struct rig *rig)
{
    return rig_meta(rig, RIG_MANAGER ":seq");
}

uint64_t rig_seq(struct rig *rig)
{
    return hb_registry_seq(hb_manager_registry(rig->manager));
}

const struct hb_redis_store_counters *rig_counters(struct rig *rig)
{
    return hb_redis_store_counters(rig->store);
}

void rig_flip(struct rig *rig, int i)
{
    rig_beat(rig, "w0001", i % 2 == 0 ? HB_BEAT_DRAINING : HB_BEAT_ALIVE);
}

/* ---- what Redis holds ---- */

void rig_assert_mirrored(struct rig *rig, size_t strangers)
{
    struct hb_registry *registry = hb_manager_registry(rig->manager);
    size_t count = hb_registry_count(registry);

    assert_int_equal(real_redis_ask(&rig->redis, "HLEN workers")->integer, count + strangers);
    for (size_t i = 0; i < count; i++) {
        const struct hb_worker *worker = hb_registry_at(registry, i);
        struct hb_text row = hb_mirror_row(worker);
        const redisReply *reply = real_redis_ask(&rig->redis, "HGET workers %s", worker->id);

        assert_int_equal(reply->type, REDIS_REPLY_STRING);
        assert_int_equal(reply->len, row.len);
        assert_memory_equal(reply->str, row.bytes, row.len);
    }
}

uint64_t rig_number_in(const char *json, const char *member)
{
    char key[32];
    const char *at;

    snprintf(key, sizeof key, "\"%s\":", member);
    at = strstr(json, key);
    if (at == NULL)
        fail_msg("no %s in %s", member, json);
    return strtoull(at + strlen(key), NULL, 10);
}

void rig_assert_stream_gapless(struct rig *rig)
{
    const redisReply *stream = real_redis_ask(&rig->redis, "XRANGE workers:events - +");
    uint64_t epoch = hb_registry_epoch(hb_manager_registry(rig->manager));
    uint64_t seq = 0;

    for (size_t i = 0; i < stream->elements; i++) {
        const char *event = stream->element[i]->element[1]->element[1]->str;

        if (rig_number_in(event, "epoch") != epoch)
            continue;
        assert_int_equal(rig_number_in(event, "seq"), seq + 1);
        seq++;
    }
    assert_int_equal(seq, hb_registry_seq(hb_manager_registry(rig->manager)));
}
