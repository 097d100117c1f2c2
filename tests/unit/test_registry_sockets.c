/*
 * registry, sockets: one live socket per id, the newest wins, and too many claims to one id are a conflict.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/script.h"
#include "tests/unit/timeline.h"

static void the_newest_socket_wins(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(1, "open w1/s2");
    expect("close s1 4000"); /* and nothing else: alive stays alive */
    row("w1", "status=alive serving=yes heard=1.000 seq=3");
    assert_ptr_equal(timeline_worker("w1")->socket, script_socket(2));
    at(2, "beat w1/s2");
    row("w1", "heard=2.000");
    heard("w1", "up");
}

static void the_old_socket_is_not_heard_any_more(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(1, "open w1/s2");
    expect("close s1 4000");
    at(3, "beat w1/s1 requests=5"); /* it was on its way */
    expect("! stale");
    row("w1", "heard=1.000 requests=-1");
    at(4, "beat w1/s1 draining");
    expect("! stale");
    at(5, "beat w1/s1 bye");
    expect("! stale");
    at(6, "close w1/s1 4000");
    expect("! stale");
    row("w1", "status=alive serving=yes draining=no");
    assert_ptr_equal(timeline_worker("w1")->socket, script_socket(2));
    later(16.001, "w1 alive -> not_responding (heartbeat_timeout) server:down"); /* from the new socket's arrival */
}

static void the_connected_stays_connected(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(1, "open w1/s1");
    expect("w1 registered -> connected (socket_opened)");
    at(2, "open w1/s2");
    expect("close s1 4000");
    row("w1", "status=connected heard=2.000");
}

static void a_frozen_socket_is_taken_over(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    later(15.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
    at(20, "open w1/s2");
    expect("w1 not_responding -> connected (socket_opened)");
    expect("close s1 4000");
    at(21, "beat w1/s2");
    expect("w1 connected -> alive (beat) server:recovery");
}

static void nameless_sockets_replace_each_other_too(void **state)
{
    (void)state;
    at(0, "open w1/s1");
    at(5, "open w1/s2");
    expect("close s1 4000");
    assert_int_equal(hb_registry_entries(timeline_registry()), 1);
    at(6, "close w1/s1 4000");
    expect("! stale");
    at(7, "beat w1/s1");
    expect("! stale");
    no_row("w1");
    between(15.001, 20.001, "close s2 1008");
    assert_int_equal(hb_registry_entries(timeline_registry()), 0);
}

static void beats_without_a_socket_of_its_own(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(1, "close w1/s1 1000");
    expect("w1 alive -> disconnected (goodbye) server:down");
    at(2, "beat w1/s1"); /* closed is closed */
    expect("! stale");
    at(3, "close w1/s1");
    expect("! stale");
    row("w1", "status=disconnected reason=goodbye");
    at(4, "close w9/s1");
    expect("! stale");
    at(4, "beat w9/s1"); /* a socket that the registry never accepted */
    expect("! stale");
    no_row("w9");
    later(15.001, "w1 disconnected -> not_responding (goodbye)");
}

/* ---- conflict ---- */

/* Up on s1, then taken over three times: s4 is the live socket, at the moment given. */
static void three_takeovers(double seconds)
{
    comes_up(seconds, "w1/s1");
    at(seconds, "open w1/s2");
    expect("close s1 4000");
    at(seconds, "open w1/s3");
    expect("close s2 4000");
    at(seconds, "open w1/s4");
    expect("close s3 4000");
    row("w1", "id_conflict=no");
}

static void the_fourth_takeover_in_a_minute_is_refused(void **state)
{
    (void)state;
    three_takeovers(0);
    at(10, "open w1/s5");
    expect("! conflict");
    row("w1", "id_conflict=yes status=alive serving=yes heard=0.000");
    assert_ptr_equal(timeline_worker("w1")->socket, script_socket(4));
    at(11, "beat w1/s4"); /* who has it keeps it */
    row("w1", "heard=11.000 id_conflict=yes");
    at(12, "beat w1/s5");
    expect("! stale");
    at(12, "close w1/s5 4009");
    expect("! stale");
    heard("w1", "up");
}

static void newcomers_are_refused_for_a_minute(void **state)
{
    (void)state;
    given("timeout=1000");
    three_takeovers(0);
    at(10, "open w1/s5");
    expect("! conflict");
    at(30, "open w1/s6"); /* knocking again does not prolong it */
    expect("! conflict");
    at(69.999, "open w1/s7");
    expect("! conflict");
    row("w1", "id_conflict=yes");
    nothing_until(70.001);
    row("w1", "id_conflict=no");
    at(70.002, "open w1/s8");
    expect("close s4 4000");
    row("w1", "id_conflict=no status=alive seq=3");
}

static void the_end_of_a_conflict_shows_without_anybody_knocking(void **state)
{
    struct hb_effects effects;
    (void)state;
    given("timeout=1000");
    three_takeovers(0);
    at(10, "open w1/s5");
    expect("! conflict");
    assert_int_equal(hb_registry_next_deadline(timeline_registry()).ms / 10, (WATCH_MONO_START + 70000) / 10);
    while (watch_expire(timeline_watch(), timeline_moment(70.001), &effects))
        if (effects.count > 0)
            break;
    assert_int_equal(effects.count, 1);
    assert_int_equal(effects.items[0].kind, HB_EFFECT_ROW_CHANGED);
    row("w1", "id_conflict=no");
}

static void takeovers_count_within_a_minute_only(void **state)
{
    (void)state;
    given("timeout=1000");
    comes_up(0, "w1/s0");
    for (unsigned i = 1; i <= 20; i++) { /* one every 21 s: never more than three in sixty */
        char line[64], close[64];
        snprintf(line, sizeof line, "open w1/s%u", i);
        snprintf(close, sizeof close, "close s%u 4000", i - 1);
        at(i * 21, line);
        expect(close);
    }
    row("w1", "id_conflict=no status=alive");
}

static void the_window_slides(void **state)
{
    (void)state;
    given("timeout=1000");
    comes_up(0, "w1/s1");
    at(0, "open w1/s2");
    expect("close s1 4000");
    at(30, "open w1/s3");
    expect("close s2 4000");
    at(59, "open w1/s4");
    expect("close s3 4000");
    at(61, "open w1/s5"); /* 30, 59, 61 */
    expect("close s4 4000");
    at(89, "open w1/s6"); /* 30, 59, 61, 89: one too many */
    expect("! conflict");
    row("w1", "id_conflict=yes");
}

static void coming_back_after_a_close_is_no_takeover(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    for (int i = 0; i < 20; i++) {
        at(1 + i, "close w1/s1");
        expect("w1 alive -> disconnected (connection_closed)");
        at(1 + i, "open w1/s1");
        expect("w1 disconnected -> connected (socket_opened)");
        at(1 + i, "beat w1/s1");
        expect("w1 connected -> alive (beat)");
    }
    row("w1", "id_conflict=no");
    heard("w1", "up");
}

static void a_conflict_refuses_nobody_once_the_owner_is_gone(void **state)
{
    (void)state;
    three_takeovers(0);
    at(10, "open w1/s5");
    expect("! conflict");
    at(11, "beat w1/s4");
    at(12, "close w1/s4 1000");
    expect("w1 alive -> disconnected (goodbye) server:down");
    at(13, "open w1/s6");
    expect("w1 disconnected -> connected (socket_opened)");
    row("w1", "id_conflict=yes");
    at(14, "open w1/s7"); /* now it has an owner again */
    expect("! conflict");
    assert_ptr_equal(timeline_worker("w1")->socket, script_socket(6));
}

static void a_conflict_leaves_http_alone(void **state)
{
    (void)state;
    three_takeovers(0);
    at(10, "open w1/s5");
    expect("! conflict");
    at(11, "beat w1");
    row("w1", "heard=11.000 id_conflict=yes");
    at(12, "register w1 name=other");
    row("w1", "name=other");
}

static void a_conflict_ends_with_the_worker(void **state)
{
    (void)state;
    given("timeout=1000");
    three_takeovers(0);
    at(10, "open w1/s5");
    expect("! conflict");
    at(11, "remove w1");
    expect("w1 alive -> removed (removed) server:removed");
    expect("close s4 4001");
    at(12, "register w1 :8001");
    expect("w1 * -> registered (registered)");
    row("w1", "id_conflict=no");
    at(13, "open w1/s6");
    expect("w1 registered -> connected (socket_opened)");
    at(14, "open w1/s7");
    expect("close s6 4000");
}

/* There is no row to show a conflict in, so listeners must not hear of one. */
static void nameless_sockets_may_be_in_conflict_too(void **state)
{
    (void)state;
    at(0, "open w1/s1");
    at(1, "open w1/s2");
    expect("close s1 4000");
    at(2, "open w1/s3");
    expect("close s2 4000");
    at(3, "open w1/s4");
    expect("close s3 4000");
    at(4, "open w1/s5");
    expect("! conflict");
    no_row("w1");
    at(5, "beat w1/s4");
    expect("w1 unknown -> alive (beat)");
    row("w1", "id_conflict=yes");
    nothing_until(20);
    later(20.001, "w1 alive -> not_responding (heartbeat_timeout)");
    nothing_until(64.001);
    row("w1", "id_conflict=no");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENARIO(the_newest_socket_wins),
        SCENARIO(the_old_socket_is_not_heard_any_more),
        SCENARIO(the_connected_stays_connected),
        SCENARIO(a_frozen_socket_is_taken_over),
        SCENARIO(nameless_sockets_replace_each_other_too),
        SCENARIO(beats_without_a_socket_of_its_own),
        SCENARIO(the_fourth_takeover_in_a_minute_is_refused),
        SCENARIO(newcomers_are_refused_for_a_minute),
        SCENARIO(the_end_of_a_conflict_shows_without_anybody_knocking),
        SCENARIO(takeovers_count_within_a_minute_only),
        SCENARIO(the_window_slides),
        SCENARIO(coming_back_after_a_close_is_no_takeover),
        SCENARIO(a_conflict_refuses_nobody_once_the_owner_is_gone),
        SCENARIO(a_conflict_leaves_http_alone),
        SCENARIO(a_conflict_ends_with_the_worker),
        SCENARIO(nameless_sockets_may_be_in_conflict_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
