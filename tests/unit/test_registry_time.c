/*
 * registry, time: never early, by whose clock, how much per call, and what moves when the manager itself was away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/script.h"
#include "tests/unit/timeline.h"

/* ---- what counts as contact ---- */

static void at_the_timeout_it_still_lives(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(5, "beat w1/s1");
    nothing_until(20); /* age == timeout */
    row("w1", "status=alive serving=yes");
    at(20, "beat w1/s1");
    nothing_until(35);
    later(35.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
}

/* The entry armed by an older contact fires in the very millisecond in which the age equals the timeout. */
static void at_the_timeout_it_still_lives_whoever_asks(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(0.001, "beat w1/s1");
    nothing_until(15.001);
    later(15.002, "w1 alive -> not_responding (heartbeat_timeout) server:down");
    silent_for(15.001);
}

static void registering_again_never_extends(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(10, "register w1 :8001");
    at(14.9, "register w1 :8001");
    row("w1", "heard=0.000 since=0.000 seq=1");
    later(15.001, "w1 registered -> not_responding (never_beat)");
    at(20, "register w1 :8001"); /* nor does it revive */
    row("w1", "status=not_responding heard=0.000");
    comes_up(30, "w2/s2");
    at(40, "register w2 :8001");
    row("w2", "heard=30.000");
    later(45.001, "w2 alive -> not_responding (heartbeat_timeout) server:down");
    at(50, "close w2/s2");
    at(51, "register w2 :8001");
    row("w2", "status=not_responding");
}

static void registering_again_does_not_revive_the_disconnected(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(5, "close w1/s1 1000");
    expect("w1 alive -> disconnected (goodbye) server:down");
    at(10, "register w1 :8001");
    row("w1", "status=disconnected reason=goodbye heard=0.000");
    later(15.001, "w1 disconnected -> not_responding (goodbye)");
}

static void an_accepted_socket_is_contact(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(10, "open w1/s1");
    expect("w1 registered -> connected (socket_opened)");
    at(20, "open w1/s2");
    expect("close s1 4000");
    nothing_until(35);
    later(35.001, "w1 connected -> not_responding (never_beat)");
}

static void a_close_is_no_contact(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(14, "close w1/s1 1000");
    expect("w1 alive -> disconnected (goodbye) server:down");
    later(15.001, "w1 disconnected -> not_responding (goodbye)");
    silent_for(15.001);
}

/* ---- whose timeout ---- */

static void each_worker_may_bring_its_own_timeout(void **state)
{
    (void)state;
    at(0, "register w1 :8001 timeout=5");
    expect("w1 unknown -> registered (registered)");
    at(0, "register w2 :8001 timeout=0.1");
    expect("w2 unknown -> registered (registered)");
    at(0, "register w3 :8001 timeout=60");
    expect("w3 unknown -> registered (registered)");
    at(0, "register w4 :8001");
    expect("w4 unknown -> registered (registered)");
    row("w2", "timeout=0.100");
    later(0.101, "w2 registered -> not_responding (never_beat)");
    later(5.001, "w1 registered -> not_responding (never_beat)");
    later(15.001, "w4 registered -> not_responding (never_beat)");
    later(60.001, "w3 registered -> not_responding (never_beat)");
}

static void a_longer_timeout_holds_from_now_on(void **state)
{
    (void)state;
    at(0, "register w1 :8001 timeout=5");
    expect("w1 unknown -> registered (registered)");
    at(4, "register w1 timeout=30");
    row("w1", "timeout=30.000");
    later(30.001, "w1 registered -> not_responding (never_beat)");
}

static void a_shorter_timeout_holds_from_now_on(void **state)
{
    (void)state;
    at(0, "register w1 :8001 timeout=30");
    expect("w1 unknown -> registered (registered)");
    at(1, "register w1 timeout=3");
    later(3.001, "w1 registered -> not_responding (never_beat)");
}

static void a_timeout_that_is_over_already_is_over_at_once(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(10, "register w1 timeout=3");
    expect("w1 alive -> not_responding (heartbeat_timeout) server:down");
    silent_for(10);
}

static void registering_without_a_timeout_keeps_the_one_it_had(void **state)
{
    (void)state;
    at(0, "register w1 :8001 timeout=5 interval=1");
    expect("w1 unknown -> registered (registered)");
    at(1, "register w1 :8001");
    row("w1", "timeout=5.000 interval=1.000");
    later(5.001, "w1 registered -> not_responding (never_beat)");
}

/* ---- reaping ---- */

static void who_is_silent_too_long_is_forgotten(void **state)
{
    (void)state;
    given("reap=100");
    comes_up(0, "w1/s1");
    at(1, "beat w1/s1");
    later(16.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
    nothing_until(101);
    between(101, 101.001, "w1 not_responding -> removed (reaped)");
    expect("close s1 4001"); /* it never closed: its worker was frozen all that time */
    no_row("w1");
    heard("w1", "up down");
    at(102, "beat w1/s1");
    expect("! *");
    at(105, "beat w1");
    expect("! refused");
    nothing_until(200);
    assert_int_equal(hb_registry_entries(timeline_registry()), 0);
}

static void contact_puts_reaping_off(void **state)
{
    (void)state;
    given("reap=100");
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    later(15.001, "w1 registered -> not_responding (never_beat)");
    at(90, "open w1/s1");
    expect("w1 not_responding -> connected (socket_opened)");
    at(91, "close w1/s1");
    expect("w1 connected -> disconnected (connection_closed)");
    later(105.001, "w1 disconnected -> not_responding (connection_closed)");
    between(190, 190.001, "w1 not_responding -> removed (reaped)");
}

static void who_is_only_polled_is_reaped_like_the_rest(void **state)
{
    (void)state;
    given("reap=100");
    at(0, "register w1 url=http://10.0.0.5:9000/");
    expect("w1 unknown -> registered (registered)");
    nothing_until(99.999);
    between(100, 100.001, "w1 registered -> removed (reaped)");
}

static void nobody_is_reaped_within_the_timeout(void **state)
{
    (void)state;
    given("reap=5");
    comes_up(0, "w1/s1");
    nothing_until(15);
    between(15.001, 15.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
    between(15.001, 15.002, "w1 not_responding -> removed (reaped)");
    expect("close s1 4001");
}

static void reap_after_zero_is_never(void **state)
{
    (void)state;
    given("reap=0");
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    later(15.001, "w1 registered -> not_responding (never_beat)");
    assert_int_equal(hb_registry_next_deadline(timeline_registry()).ms, INT64_MAX);
    nothing_until(1e9);
    row("w1", "status=not_responding");
}

/* ---- the deadline ---- */

static void an_empty_registry_waits_for_nothing(void **state)
{
    struct hb_effects effects;
    (void)state;
    assert_int_equal(hb_registry_next_deadline(timeline_registry()).ms, INT64_MAX);
    assert_false(hb_registry_expire(timeline_registry(), timeline_moment(1e9), &effects));
}

static void a_beat_leaves_the_deadline_entry_alone(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    int64_t key = timeline_worker("w1")->deadline.key;
    for (int second = 1; second <= 14; second++) {
        at(second, "beat w1/s1");
        assert_int_equal(timeline_worker("w1")->deadline.key, key);
    }
    nothing_until(29); /* it fires too early, finds nothing to do, and is armed again */
    later(29.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
}

static void one_call_handles_one_worker(void **state)
{
    struct hb_effects effects;
    size_t transitions = 0, calls = 0;
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        char line[64], outcome[64];
        snprintf(line, sizeof line, "register w%u :8001", i);
        snprintf(outcome, sizeof outcome, "w%u unknown -> registered (registered)", i);
        at(0, line);
        expect(outcome);
    }
    struct hb_moment late = timeline_moment(1000);
    for (; watch_expire(timeline_watch(), late, &effects); calls++) {
        assert_true(effects.count <= 1);
        transitions += effects.count;
        assert_true(hb_registry_next_deadline(timeline_registry()).ms <= late.mono.ms || transitions == 100);
    }
    assert_int_equal(transitions, 100);
    assert_in_range(calls, 100, 200);
    assert_null(watch_fault(timeline_watch()));
}

static void who_beats_in_the_nick_of_time_is_spared(void **state)
{
    struct hb_effects effects;
    (void)state;
    comes_up(0, "w1/s1");
    struct hb_beat beat = {.kind = HB_BEAT_PLAIN, .requests = -1, .errors = -1};
    struct hb_input input = {.kind = HB_INPUT_BEAT, .id = HB_TEXT("w1"), .socket = script_socket(1), .beat = &beat};
    /* The beat was read before the timer had its turn, long after the timeout. */
    assert_int_equal(watch_step(timeline_watch(), &input, timeline_moment(40), &effects), HB_OK);
    assert_int_equal(effects.count, 0);
    while (watch_expire(timeline_watch(), timeline_moment(40), &effects))
        assert_int_equal(effects.count, 0);
    assert_null(watch_fault(timeline_watch()));
}

/* ---- the manager was away ---- */

static void a_stall_moves_every_deadline(void **state)
{
    (void)state;
    given("reap=100");
    comes_up(0, "w1/s1");
    comes_up(1, "w2/s2");
    at(2, "open w3/s3"); /* nameless */
    at(9, "close w2/s2");
    expect("w2 alive -> disconnected (connection_closed)");
    at(10, "beat w1/s1");
    stall(30); /* 10 s to 40 s */
    between(41, 41.001, "w2 disconnected (connection_closed) server:down");
    later(46.001, "w2 disconnected -> not_responding (connection_closed)");
    silent_for(15.001);
    later(47.001, "close s3 1008");
    nothing_until(55);
    later(55.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
    between(131, 131.001, "w2 not_responding -> removed (reaped)");
    between(140, 140.001, "w1 not_responding -> removed (reaped)");
    expect("close s1 4001");
}

static void what_happens_after_a_stall_counts_from_then(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    stall(30);
    at(31, "beat w1/s1");
    comes_up(32, "w2/s2");
    stall(0.5);
    later(46.501, "w1 alive -> not_responding (heartbeat_timeout) server:down");
    later(47.501, "w2 alive -> not_responding (heartbeat_timeout) server:down");
}

static void a_stall_lengthens_conflict_and_removal(void **state)
{
    (void)state;
    given("timeout=1000");
    comes_up(0, "w1/s1");
    at(0, "open w1/s2");
    expect("close s1 4000");
    at(0, "open w1/s3");
    expect("close s2 4000");
    at(0, "open w1/s4");
    expect("close s3 4000");
    at(0, "open w1/s5");
    expect("! conflict");
    comes_up(1, "w2/s6");
    at(1, "remove w2");
    expect("w2 alive -> removed (removed) server:removed");
    expect("close s6 4001");
    stall(20);
    at(30.9, "beat w2");
    expect("! refused");
    at(31.1, "beat w2");
    expect("w2 unknown -> alive (beat)");
    at(79.9, "open w1/s7");
    expect("! conflict");
    nothing_until(80.001);
    row("w1", "id_conflict=no");
}

/* ---- the wall clock ---- */

static void a_step_of_the_wall_clock_changes_nothing(void **state)
{
    (void)state;
    given("reap=100");
    comes_up(0, "w1/s1");
    comes_up(0, "w2/s2");
    wall_step(-86400);
    at(5, "beat w1/s1");
    row("w1", "heard=-86395.000 since=0.000"); /* for people only */
    wall_step(2 * 86400);
    at(10, "beat w1/s1");
    row("w1", "heard=86410.000");
    later(15.001, "w2 alive -> not_responding (heartbeat_timeout) server:down");
    silent_for(15.001);
    later(25.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
    silent_for(15.001);
    wall_step(-1e9);
    between(100, 100.001, "w2 not_responding -> removed (reaped)");
    expect("close s2 4001");
    between(110, 110.001, "w1 not_responding -> removed (reaped)");
    expect("close s1 4001");
}

/* ---- the stamp ---- */

static void each_transition_takes_the_next_seq_of_its_epoch(void **state)
{
    (void)state;
    hb_registry_set_epoch(timeline_registry(), 1790000000123);
    assert_int_equal(hb_registry_seq(timeline_registry()), 0);
    comes_up(0, "w1/s1");
    at(1, "beat w1/s1"); /* takes none */
    comes_up(1, "w2/s2");
    at(2, "beat w3/s9");
    expect("! stale"); /* nor does what fails */
    at(2, "remove w1");
    expect("w1 alive -> removed (removed) server:removed");
    expect("close s1 4001");
    row("w2", "epoch=1790000000123 seq=6");
    assert_int_equal(hb_registry_seq(timeline_registry()), 7);
}

static void a_new_epoch_stamps_what_the_old_one_had(void **state)
{
    (void)state;
    hb_registry_set_epoch(timeline_registry(), 100);
    struct hb_row stored = {.name = HB_TEXT("w0"), .status = HB_STATUS_NOT_RESPONDING, .epoch = 7, .seq = 9};
    struct hb_input restore = {.kind = HB_INPUT_RESTORE, .id = HB_TEXT("w0"), .row = &stored};
    struct hb_effects effects;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    assert_int_equal(hb_registry_step(timeline_registry(), &restore, timeline_moment(0), &effects), HB_OK);
    hb_registry_set_epoch(timeline_registry(), 200);
    row("w1", "epoch=200 seq=1");
    row("w0", "epoch=7 seq=9"); /* of another life */
    assert_int_equal(hb_registry_epoch(timeline_registry()), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENARIO(at_the_timeout_it_still_lives),
        SCENARIO(at_the_timeout_it_still_lives_whoever_asks),
        SCENARIO(registering_again_never_extends),
        SCENARIO(registering_again_does_not_revive_the_disconnected),
        SCENARIO(an_accepted_socket_is_contact),
        SCENARIO(a_close_is_no_contact),
        SCENARIO(each_worker_may_bring_its_own_timeout),
        SCENARIO(a_longer_timeout_holds_from_now_on),
        SCENARIO(a_shorter_timeout_holds_from_now_on),
        SCENARIO(a_timeout_that_is_over_already_is_over_at_once),
        SCENARIO(registering_without_a_timeout_keeps_the_one_it_had),
        SCENARIO(who_is_silent_too_long_is_forgotten),
        SCENARIO(contact_puts_reaping_off),
        SCENARIO(who_is_only_polled_is_reaped_like_the_rest),
        SCENARIO(nobody_is_reaped_within_the_timeout),
        SCENARIO(reap_after_zero_is_never),
        SCENARIO(an_empty_registry_waits_for_nothing),
        SCENARIO(a_beat_leaves_the_deadline_entry_alone),
        SCENARIO(one_call_handles_one_worker),
        SCENARIO(who_beats_in_the_nick_of_time_is_spared),
        SCENARIO(a_stall_moves_every_deadline),
        SCENARIO(what_happens_after_a_stall_counts_from_then),
        SCENARIO(a_stall_lengthens_conflict_and_removal),
        SCENARIO(a_step_of_the_wall_clock_changes_nothing),
        SCENARIO(each_transition_takes_the_next_seq_of_its_epoch),
        SCENARIO(a_new_epoch_stamps_what_the_old_one_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
