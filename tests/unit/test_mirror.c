/*
 * mirror: each edge of its diagram, what happens without memory, and 10^5 random steps against a pretended Redis, which
 * must hold exactly the rows' bytes whenever everything was acknowledged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/app/mirror.h"

#define WORKERS 40
#define STEPS 100000
#define FIRST_WALL_MS 1795203000000

/* ---- memory that can run out ---- */

static bool no_memory;

void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_calloc(size_t count, size_t size)
{
    return no_memory ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return no_memory ? NULL : __real_realloc(old, size);
}

/* ---- a registry, a mirror, and a clock that moves 1 ms with every input ---- */

struct fixture {
    struct hb_registry *registry;
    struct hb_mirror *mirror;
    struct hb_moment now;
};

static int set_up(void **state)
{
    const struct hb_registry_rules rules = {.timeout_ms = 15000, .max_workers = 1000};
    struct fixture *fixture = calloc(1, sizeof *fixture);

    fixture->registry = hb_registry_new(&rules);
    fixture->mirror = hb_mirror_new(HB_TEXT("m1"), fixture->registry);
    fixture->now = (struct hb_moment){{1000}, {FIRST_WALL_MS}};
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    hb_mirror_free(fixture->mirror);
    hb_registry_free(fixture->registry);
    free(fixture);
    return 0;
}

static struct hb_worker *step(struct fixture *fixture, const char *id, struct hb_input input)
{
    struct hb_effects effects;
    size_t place = 0;

    input.id = hb_text_of(id);
    input.peer_host = HB_TEXT("10.0.0.1");
    fixture->now.mono.ms++;
    fixture->now.wall.ms++;
    assert_int_equal(hb_registry_step(fixture->registry, &input, fixture->now, &effects), HB_OK);
    while (strcmp(hb_registry_at(fixture->registry, place)->id, id) != 0)
        place++;
    return hb_registry_worker_at(fixture->registry, place);
}

static struct hb_worker *beat(struct fixture *fixture, const char *id)
{
    const struct hb_beat plain = {.kind = HB_BEAT_PLAIN, .requests = -1, .errors = -1};

    return step(fixture, id, (struct hb_input){.kind = HB_INPUT_BEAT, .beat = &plain});
}

static struct hb_worker *rename_to(struct fixture *fixture, const char *id, const char *name)
{
    const struct hb_registration registration = {.name = hb_text_of(name)};

    return step(fixture, id, (struct hb_input){.kind = HB_INPUT_REGISTER, .registration = &registration});
}

static void forget(struct fixture *fixture, struct hb_worker *worker)
{
    const struct hb_input input = {.kind = HB_INPUT_REMOVE, .id = {worker->id, worker->id_len}};
    struct hb_effects effects;

    hb_mirror_drop(fixture->mirror, worker);
    assert_int_equal(hb_registry_step(fixture->registry, &input, fixture->now, &effects), HB_OK);
}

static void change(struct fixture *fixture, struct hb_worker *worker)
{
    assert_int_equal(hb_mirror_change(fixture->mirror, worker), HB_OK);
}

static void touch(struct fixture *fixture, struct hb_worker *worker)
{
    assert_int_equal(hb_mirror_touch(fixture->mirror, worker), HB_OK);
}

/* Whether the row's bytes hold the text: rows are not NUL-terminated. */
static bool row_has(const struct hb_worker *worker, const char *text)
{
    struct hb_text row = hb_mirror_row(worker);

    return memmem(row.bytes, row.len, text, strlen(text)) != NULL;
}

static bool row_has_last_heartbeat(const struct hb_worker *worker)
{
    char text[HB_WALL_TEXT_SIZE];

    hb_wall_format(worker->last_heartbeat, text);
    return row_has(worker, text);
}

/* A worker whose row Redis has. */
static struct hb_worker *clean_worker(struct fixture *fixture, const char *id)
{
    struct hb_worker *worker = beat(fixture, id);

    change(fixture, worker);
    assert_ptr_equal(hb_mirror_take(fixture->mirror), worker);
    hb_mirror_acked(fixture->mirror);
    assert_true(hb_mirror_is_clean(worker));
    return worker;
}

/* ---- the edges ---- */

static void test_a_beat_waits_for_the_refresh(void **state)
{
    struct fixture *fixture = *state;
    struct hb_worker *worker = beat(fixture, "w1");

    touch(fixture, worker);
    assert_null(hb_mirror_row(worker).bytes);
    assert_false(hb_mirror_is_clean(worker));
    assert_int_equal(hb_mirror_dirty_count(fixture->mirror), 0);
    hb_mirror_refresh(fixture->mirror);
    assert_true(row_has(worker, "\"worker_id\":\"w1\""));
    assert_true(row_has(worker, "\"manager\":\"m1\""));
    assert_int_equal(hb_mirror_dirty_count(fixture->mirror), 1);
}

static void test_a_change_is_built_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct hb_worker *worker = beat(fixture, "w1");
    uint64_t version = hb_mirror_version(fixture->mirror);

    change(fixture, worker);
    assert_true(row_has(worker, "\"status\":\"alive\""));
    assert_true(hb_mirror_version(fixture->mirror) > version);
    assert_int_equal(hb_mirror_dirty_count(fixture->mirror), 1);
    version = hb_mirror_version(fixture->mirror);
    change(fixture, worker); /* nothing new in it */
    assert_int_equal(hb_mirror_version(fixture->mirror), version);
    assert_int_equal(hb_mirror_dirty_count(fixture->mirror), 1);
}

static void test_an_adopted_row_is_clean(void **state)
{
    struct fixture *fixture = *state;
    struct hb_worker *worker = beat(fixture, "w1");

    assert_int_equal(hb_mirror_adopt(fixture->mirror, worker), HB_OK);
    assert_true(hb_mirror_is_clean(worker));
    assert_null(hb_mirror_take(fixture->mirror));
}

static void test_dirty_rows_go_in_order_and_come_back_in_front(void **state)
{
    struct fixture *fixture = *state;
    struct hb_worker *workers[4];

    for (int i = 0; i < 4; i++) {
        char id[] = {'w', (char)('0' + i), '\0'};

        workers[i] = beat(fixture, id);
        change(fixture, workers[i]);
    }
    assert_ptr_equal(hb_mirror_take(fixture->mirror), workers[0]);
    assert_ptr_equal(hb_mirror_take(fixture->mirror), workers[1]);
    hb_mirror_failed(fixture->mirror);
    assert_int_equal(hb_mirror_dirty_count(fixture->mirror), 4);
    for (int i = 0; i < 4; i++)
        assert_ptr_equal(hb_mirror_take(fixture->mirror), workers[i]);
    assert_null(hb_mirror_take(fixture->mirror));
}

static void test_changed_in_flight_is_dirty_again(void **state)
{
    struct fixture *fixture = *state;
    struct hb_worker *worker = beat(fixture, "w1");

    change(fixture, worker);
    hb_mirror_take(fixture->mirror);
    rename_to(fixture, "w1", "other");
    change(fixture, worker);
    assert_int_equal(hb_mirror_dirty_count(fixture->mirror), 0);
    hb_mirror_acked(fixture->mirror);
    assert_false(hb_mirror_is_clean(worker));
    assert_ptr_equal(hb_mirror_take(fixture->mirror), worker);
    assert_true(row_has(worker, "other"));
    hb_mirror_acked(fixture->mirror);
    assert_true(hb_mirror_is_clean(worker));
}

static void test_touched_in_flight_waits_for_the_next_refresh(void **state)
{
    struct fixture *fixture = *state;
    struct hb_worker *worker = beat(fixture, "w1");

    change(fixture, worker);
    hb_mirror_take(fixture->mirror);
    beat(fixture, "w1");
    touch(fixture, worker);
    hb_mirror_acked(fixture->mirror);
    assert_true(hb_mirror_is_clean(worker)); /* Redis has these bytes; there will be newer ones */
    assert_null(hb_mirror_take(fixture->mirror));
    hb_mirror_refresh(fixture->mirror);
    assert_false(hb_mirror_is_clean(worker));
    assert_ptr_equal(hb_mirror_take(fixture->mirror), worker);
}

/* While Redis is away rows stay dirty, but whoever reads them sees the latest beat all the same. */
static void test_a_refresh_builds_what_is_dirty_or_in_flight(void **state)
{
    struct fixture *fixture = *state;
    struct hb_worker *in_flight = beat(fixture, "w1");
    struct hb_worker *dirty = beat(fixture, "w2");
    uint64_t version;

    change(fixture, in_flight);
    hb_mirror_take(fixture->mirror);
    change(fixture, dirty);
    touch(fixture, beat(fixture, "w1"));
    touch(fixture, beat(fixture, "w2"));
    version = hb_mirror_version(fixture->mirror);
    hb_mirror_refresh(fixture->mirror);
    assert_int_equal(hb_mirror_version(fixture->mirror), version + 2);
    hb_mirror_acked(fixture->mirror);
    assert_false(hb_mirror_is_clean(in_flight)); /* its bytes moved on after they were sent */
    assert_int_equal(hb_mirror_dirty_count(fixture->mirror), 2);
}

static void test_one_particular_row(void **state)
{
    struct fixture *fixture = *state;
    struct hb_worker *worker = clean_worker(fixture, "w1");

    beat(fixture, "w1");
    touch(fixture, worker);
    assert_true(hb_mirror_take_one(fixture->mirror, worker));
    assert_true(row_has_last_heartbeat(worker));
    assert_false(hb_mirror_take_one(fixture->mirror, worker));
    assert_true(hb_mirror_in_flight(worker));
    hb_mirror_acked(fixture->mirror);
    assert_true(hb_mirror_is_clean(worker));
    hb_mirror_refresh(fixture->mirror); /* the beat went along */
    assert_null(hb_mirror_take(fixture->mirror));
}

static void test_dropped_in_every_state(void **state)
{
    struct fixture *fixture = *state;
    struct hb_worker *clean = clean_worker(fixture, "w1");
    struct hb_worker *in_flight = beat(fixture, "w2");
    struct hb_worker *dirty = beat(fixture, "w3");
    struct hb_worker *touched = beat(fixture, "w4");
    uint64_t version;

    change(fixture, in_flight);
    hb_mirror_take(fixture->mirror);
    change(fixture, dirty);
    touch(fixture, dirty);
    touch(fixture, touched);
    version = hb_mirror_version(fixture->mirror);
    forget(fixture, clean);
    forget(fixture, in_flight);
    forget(fixture, dirty);
    forget(fixture, touched);
    assert_int_equal(hb_mirror_version(fixture->mirror), version + 3); /* the touched one had no row */
    hb_mirror_acked(fixture->mirror);
    hb_mirror_refresh(fixture->mirror);
    assert_int_equal(hb_mirror_dirty_count(fixture->mirror), 0);
}

static void test_all_dirty_when_redis_lost_them(void **state)
{
    struct fixture *fixture = *state;
    struct hb_worker *clean = clean_worker(fixture, "w1");
    struct hb_worker *in_flight = beat(fixture, "w2");

    change(fixture, in_flight);
    hb_mirror_take(fixture->mirror);
    beat(fixture, "w3"); /* of which the mirror was never told */
    hb_mirror_dirty_all(fixture->mirror);
    assert_int_equal(hb_mirror_dirty_count(fixture->mirror), 2);
    hb_mirror_acked(fixture->mirror);
    assert_int_equal(hb_mirror_dirty_count(fixture->mirror), 3);
    assert_false(hb_mirror_is_clean(clean));
}

/* ---- without memory ---- */

static void test_a_change_without_memory_is_owed(void **state)
{
    struct fixture *fixture = *state;
    struct hb_worker *worker = clean_worker(fixture, "w1");
    char longer[300]; /* more than a slot has in reserve */

    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    rename_to(fixture, "w1", longer);
    no_memory = true;
    assert_int_equal(hb_mirror_change(fixture->mirror, worker), HB_ERR_NO_MEMORY);
    assert_false(row_has(worker, longer));
    assert_true(row_has(worker, "\"worker_name\":\"w1\""));
    assert_false(hb_mirror_is_clean(worker));
    assert_false(hb_mirror_take_one(fixture->mirror, worker)); /* its event must not go out before it */
    assert_false(hb_mirror_in_flight(worker));
    hb_mirror_refresh(fixture->mirror);
    assert_null(hb_mirror_take(fixture->mirror));
    no_memory = false;
    hb_mirror_refresh(fixture->mirror);
    assert_ptr_equal(hb_mirror_take(fixture->mirror), worker);
    assert_true(row_has(worker, longer));
}

static void test_a_first_row_without_memory(void **state)
{
    struct fixture *fixture = *state;
    struct hb_worker *worker = beat(fixture, "w1");

    no_memory = true;
    assert_int_equal(hb_mirror_change(fixture->mirror, worker), HB_ERR_NO_MEMORY);
    assert_int_equal(hb_mirror_touch(fixture->mirror, worker), HB_ERR_NO_MEMORY);
    assert_false(hb_mirror_take_one(fixture->mirror, worker));
    hb_mirror_dirty_all(fixture->mirror);
    assert_null(hb_mirror_row(worker).bytes);
    no_memory = false;
    assert_true(hb_mirror_take_one(fixture->mirror, worker));
    assert_non_null(hb_mirror_row(worker).bytes);
}

/* ---- against a pretended Redis ---- */

struct pretended {
    char *row[WORKERS];    /* what it holds, NUL-terminated */
    char *flying[WORKERS]; /* what is on its way */
};

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * UINT64_C(2685821657736338717);
}

static size_t number_of(const struct hb_worker *worker)
{
    return (size_t)atoi(worker->id + 1);
}

static void send_row(struct pretended *redis, const struct hb_worker *worker)
{
    struct hb_text row = hb_mirror_row(worker);
    size_t number = number_of(worker);

    assert_null(redis->flying[number]);
    redis->flying[number] = strndup(row.bytes, row.len);
}

static void arrive(struct pretended *redis, bool answered)
{
    for (size_t i = 0; i < WORKERS; i++) {
        if (redis->flying[i] == NULL)
            continue;
        if (answered) {
            free(redis->row[i]);
            redis->row[i] = redis->flying[i];
        } else {
            free(redis->flying[i]);
        }
        redis->flying[i] = NULL;
    }
}

static void random_step(struct fixture *fixture, struct pretended *redis, uint64_t random)
{
    char id[8], name[64];
    const struct hb_worker *taken;
    struct hb_worker *worker;

    snprintf(id, sizeof id, "w%u", (unsigned)(random % WORKERS));
    snprintf(name, sizeof name, "%.*s", (int)(random >> 20) % 60 + 1,
             "a name of any length, so that slots have to grow now and then");
    switch ((random >> 40) % 12) {
    case 0:
        change(fixture, rename_to(fixture, id, name));
        break;
    case 1:
    case 2:
        taken = hb_mirror_take(fixture->mirror);
        if (taken != NULL)
            send_row(redis, taken);
        break;
    case 3:
        worker = beat(fixture, id);
        if (hb_mirror_take_one(fixture->mirror, worker))
            send_row(redis, worker);
        touch(fixture, worker);
        break;
    case 4:
        arrive(redis, true);
        hb_mirror_acked(fixture->mirror);
        break;
    case 5:
        arrive(redis, false);
        hb_mirror_failed(fixture->mirror);
        break;
    case 6:
        if (random >> 63 != 0)
            hb_mirror_refresh(fixture->mirror);
        else
            (void)hb_mirror_refresh_some(fixture->mirror, 3);
        break;
    case 7:
        no_memory = (random >> 30) % 4 == 0;
        worker = beat(fixture, id);
        if (worker->shell != NULL && hb_mirror_change(fixture->mirror, worker) != HB_OK)
            assert_true(no_memory);
        no_memory = false;
        break;
    case 8:
        if ((random >> 32) % 64 == 0)
            hb_mirror_dirty_all(fixture->mirror);
        break;
    default:
        touch(fixture, beat(fixture, id));
    }
}

static void settle(struct fixture *fixture, struct pretended *redis)
{
    const struct hb_worker *taken;

    arrive(redis, true);
    hb_mirror_acked(fixture->mirror);
    hb_mirror_refresh(fixture->mirror);
    while ((taken = hb_mirror_take(fixture->mirror)) != NULL)
        send_row(redis, taken);
    arrive(redis, true);
    hb_mirror_acked(fixture->mirror);
    assert_int_equal(hb_mirror_stored_count(fixture->mirror), hb_registry_count(fixture->registry));
    for (size_t i = 0; i < hb_registry_count(fixture->registry); i++) {
        const struct hb_worker *worker = hb_registry_at(fixture->registry, i);
        struct hb_text row = hb_mirror_row(worker);

        assert_true(row_has_last_heartbeat(worker));
        assert_true(hb_mirror_is_clean(worker));
        assert_int_equal(strlen(redis->row[number_of(worker)]), row.len);
        assert_memory_equal(redis->row[number_of(worker)], row.bytes, row.len);
    }
}

static void test_redis_ends_up_with_every_row(void **state)
{
    struct fixture *fixture = *state;
    struct pretended redis = {{NULL}, {NULL}};
    uint64_t seed = 11;

    for (int i = 0; i < STEPS; i++) {
        random_step(fixture, &redis, next_random(&seed));
        if (i % 1000 == 999)
            settle(fixture, &redis);
    }
    for (size_t i = 0; i < WORKERS; i++)
        free(redis.row[i]);
}

/* One whose very first row found no memory is not forgotten. */
static void test_missing_rows_come_with_the_next_refresh(void **state)
{
    struct fixture *fixture = *state;
    struct hb_worker *first = rename_to(fixture, "w1", "one");
    struct hb_worker *second = rename_to(fixture, "w2", "two");

    no_memory = true;
    assert_int_equal(hb_mirror_change(fixture->mirror, first), HB_ERR_NO_MEMORY);
    assert_int_equal(hb_mirror_touch(fixture->mirror, second), HB_ERR_NO_MEMORY);
    hb_mirror_refresh(fixture->mirror); /* still none */
    assert_null(hb_mirror_row(first).bytes);
    no_memory = false;
    hb_mirror_refresh(fixture->mirror);
    assert_non_null(hb_mirror_row(first).bytes);
    assert_non_null(hb_mirror_row(second).bytes);
    assert_int_equal(hb_mirror_dirty_count(fixture->mirror), 2);
}

static void test_a_refresh_in_slices(void **state)
{
    struct fixture *fixture = *state;
    char id[16];

    for (unsigned i = 0; i < 10; i++) {
        snprintf(id, sizeof id, "w%u", i);
        touch(fixture, beat(fixture, id));
    }
    assert_true(hb_mirror_refresh_some(fixture->mirror, 4));
    assert_int_equal(hb_mirror_dirty_count(fixture->mirror), 4);
    assert_true(hb_mirror_refresh_some(fixture->mirror, 4));
    assert_false(hb_mirror_refresh_some(fixture->mirror, 4));
    assert_int_equal(hb_mirror_dirty_count(fixture->mirror), 10);
    assert_false(hb_mirror_refresh_some(fixture->mirror, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_beat_waits_for_the_refresh, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_missing_rows_come_with_the_next_refresh, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_refresh_in_slices, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_change_is_built_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_adopted_row_is_clean, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dirty_rows_go_in_order_and_come_back_in_front, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changed_in_flight_is_dirty_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_touched_in_flight_waits_for_the_next_refresh, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_refresh_builds_what_is_dirty_or_in_flight, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_particular_row, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dropped_in_every_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_all_dirty_when_redis_lost_them, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_change_without_memory_is_owed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_first_row_without_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_redis_ends_up_with_every_row, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
