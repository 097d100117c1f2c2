/*
 * deadline: when a worker of a given state may next change by time alone. Exact where DESIGN is: strictly age >
 * timeout.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "manager/core/deadline.h"

#define CONTACT 1000000
#define NEVER INT64_MAX

static const struct hb_registry_rules rules = {
    .timeout_ms = 15000, .disconnect_grace_ms = 2000, .restart_grace_ms = 30000, .max_workers = 10};

static struct hb_worker worker_of(enum hb_status status)
{
    struct hb_worker worker = {
        .deadline = {.place = HB_HEAP_OUTSIDE},
        .last_contact = {CONTACT},
        .hold_until = HB_MONO_NEVER,
        .timeout_ms = 15000,
        .status = (uint8_t)status,
        .beats = true,
    };
    return worker;
}

static int64_t due(const struct hb_worker *worker, const struct hb_registry_rules *with)
{
    int64_t ms = hb_deadline_of(worker, with).ms;
    return ms == NEVER ? NEVER : ms - CONTACT;
}

static void silence_is_too_long_one_millisecond_after_the_timeout(void **state)
{
    static const enum hb_status waiting[] = {HB_STATUS_REGISTERED, HB_STATUS_CONNECTED, HB_STATUS_ALIVE,
                                             HB_STATUS_DISCONNECTED};
    (void)state;
    for (size_t i = 0; i < sizeof waiting / sizeof *waiting; i++) {
        struct hb_worker worker = worker_of(waiting[i]);
        assert_int_equal(due(&worker, &rules), 15001);
        worker.timeout_ms = 100;
        assert_int_equal(due(&worker, &rules), 101);
        worker.timeout_ms = 86400000;
        assert_int_equal(due(&worker, &rules), 86400001);
    }
}

static void who_is_not_responding_waits_for_nothing(void **state)
{
    (void)state;
    struct hb_worker worker = worker_of(HB_STATUS_NOT_RESPONDING);
    assert_int_equal(due(&worker, &rules), NEVER);
}

static void who_does_not_beat_cannot_miss_one(void **state)
{
    (void)state;
    char url[] = "http://10.0.0.5:9000/";
    struct hb_worker worker = worker_of(HB_STATUS_REGISTERED);
    worker.beats = false;
    worker.url = url;
    assert_int_equal(due(&worker, &rules), NEVER);
    assert_false(hb_worker_can_time_out(&worker));
}

static void a_nameless_socket_has_a_timeout_too(void **state)
{
    (void)state;
    char socket = 0;
    struct hb_worker worker = worker_of(HB_STATUS_UNKNOWN);
    worker.socket = &socket;
    worker.beats = false;
    assert_int_equal(due(&worker, &rules), 15001);
}

static void the_end_of_a_hold_comes_first(void **state)
{
    (void)state;
    struct hb_worker worker = worker_of(HB_STATUS_DISCONNECTED);
    worker.serving = true;
    worker.hold_until.ms = CONTACT + 7000;
    assert_in_range(due(&worker, &rules), 7000, 7001);
    worker.hold_until.ms = CONTACT + 16000;
    assert_int_equal(due(&worker, &rules), 15001);
}

static void the_unverified_has_the_greater_of_grace_and_timeout(void **state)
{
    (void)state;
    struct hb_worker worker = worker_of(HB_STATUS_ALIVE);
    worker.serving = worker.unverified = true;
    assert_int_equal(due(&worker, &rules), 30001);
    assert_int_equal(hb_worker_patience(&worker, &rules), 30000);
    worker.timeout_ms = 60000;
    assert_int_equal(due(&worker, &rules), 60001);
    worker.unverified = false;
    worker.timeout_ms = 15000;
    assert_int_equal(due(&worker, &rules), 15001);
}

static void reaping_counts_from_the_last_contact(void **state)
{
    (void)state;
    struct hb_registry_rules reaping = rules;
    reaping.reap_after_ms = 100000;
    struct hb_worker worker = worker_of(HB_STATUS_NOT_RESPONDING);
    assert_in_range(due(&worker, &reaping), 100000, 100001);
    worker.status = HB_STATUS_ALIVE;
    assert_int_equal(due(&worker, &reaping), 15001);
    worker.status = HB_STATUS_REGISTERED;
    worker.beats = false;
    assert_in_range(due(&worker, &reaping), 100000, 100001);
}

static void the_unverified_is_not_reaped(void **state)
{
    (void)state;
    struct hb_registry_rules reaping = rules;
    reaping.reap_after_ms = 10000;
    struct hb_worker worker = worker_of(HB_STATUS_ALIVE);
    worker.serving = worker.unverified = true;
    assert_int_equal(due(&worker, &reaping), 30001);
    assert_int_equal(hb_deadline_reap(&worker, &reaping).ms, NEVER);
}

static void reap_after_may_be_as_long_as_it_likes(void **state)
{
    (void)state;
    struct hb_registry_rules reaping = rules;
    reaping.reap_after_ms = INT64_MAX - 1; /* must not wrap around */
    struct hb_worker worker = worker_of(HB_STATUS_ALIVE);
    assert_int_equal(due(&worker, &reaping), 15001);
    worker.status = HB_STATUS_NOT_RESPONDING;
    assert_true(hb_deadline_of(&worker, &reaping).ms > INT64_MAX / 2);
}

static void the_end_of_a_conflict_is_a_deadline(void **state)
{
    (void)state;
    struct hb_worker_rare rare = {.conflict_until = {CONTACT + 5000}};
    struct hb_worker worker = worker_of(HB_STATUS_NOT_RESPONDING);
    worker.rare = &rare;
    assert_int_equal(due(&worker, &rules), NEVER); /* none yet: the time means nothing */
    worker.id_conflict = true;
    assert_in_range(due(&worker, &rules), 5000, 5001);
    worker.status = HB_STATUS_ALIVE;
    assert_in_range(due(&worker, &rules), 5000, 5001);
    rare.conflict_until.ms = CONTACT + 20000;
    assert_int_equal(due(&worker, &rules), 15001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_is_too_long_one_millisecond_after_the_timeout),
        cmocka_unit_test(who_is_not_responding_waits_for_nothing),
        cmocka_unit_test(who_does_not_beat_cannot_miss_one),
        cmocka_unit_test(a_nameless_socket_has_a_timeout_too),
        cmocka_unit_test(the_end_of_a_hold_comes_first),
        cmocka_unit_test(the_unverified_has_the_greater_of_grace_and_timeout),
        cmocka_unit_test(reaping_counts_from_the_last_contact),
        cmocka_unit_test(the_unverified_is_not_reaped),
        cmocka_unit_test(reap_after_may_be_as_long_as_it_likes),
        cmocka_unit_test(the_end_of_a_conflict_is_a_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
