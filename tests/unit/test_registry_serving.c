/*
 * registry, serving: the derived and debounced verdict, and the edges that listeners hear of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/timeline.h"

/* ---- up, down, recovery ---- */

static void first_up_then_down_then_recovery(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    later(15.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
    row("w1", "serving=no announced=down");
    at(20, "beat w1/s1");
    expect("w1 not_responding -> alive (beat) server:recovery");
    row("w1", "serving=yes announced=up");
    later(35.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
    at(40, "beat w1/s1");
    expect("w1 not_responding -> alive (beat) server:recovery");
    heard("w1", "up down recovery down recovery");
}

static void the_connected_does_not_serve(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(0, "open w1/s1");
    expect("w1 registered -> connected (socket_opened)");
    row("w1", "serving=no announced=none");
    nothing_until(15);
    at(15, "beat w1/s1");
    expect("w1 connected -> alive (beat) server:up");
}

static void never_up_is_never_announced_down(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(0, "open w1/s1");
    expect("w1 registered -> connected (socket_opened)");
    at(1, "close w1/s1");
    expect("w1 connected -> disconnected (connection_closed)");
    later(15.001, "w1 disconnected -> not_responding (connection_closed)");
    at(20, "remove w1");
    expect("w1 not_responding -> removed (removed)");
    heard("w1", "");
}

static void without_an_address_it_never_serves(void **state)
{
    (void)state;
    at(0, "beat w1");
    expect("w1 unknown -> alive (beat)");
    at(5, "beat w1 alive");
    at(10, "beat w1 draining");
    expect("w1 alive (draining)");
    later(25.001, "w1 alive -> not_responding (heartbeat_timeout)");
    at(30, "remove w1");
    expect("w1 not_responding -> removed (removed)");
    heard("w1", "");
}

static void a_url_is_an_address(void **state)
{
    (void)state;
    at(0, "register w1 url=http://10.0.0.5:9000/");
    expect("w1 unknown -> registered (registered)");
    at(1, "open w1/s1");
    expect("w1 registered -> connected (socket_opened)");
    at(2, "beat w1/s1");
    expect("w1 connected -> alive (beat) server:up");
}

/* ---- the hold after an abnormal close ---- */

static void an_abnormal_close_is_held_for_the_grace(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(10, "beat w1/s1");
    at(12, "close w1/s1");
    expect("w1 alive -> disconnected (connection_closed)");
    row("w1", "status=disconnected serving=yes announced=up");
    nothing_until(13.999);
    between(14, 14.001, "w1 disconnected (connection_closed) server:down");
    row("w1", "status=disconnected serving=no announced=down since=12.000");
    nothing_until(25);
    later(25.001, "w1 disconnected -> not_responding (connection_closed)"); /* announces nothing new */
    row("w1", "reason=connection_closed announced=down");
    heard("w1", "up down");
}

static void back_within_the_grace_nobody_hears_of_it(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(5, "close w1/s1");
    expect("w1 alive -> disconnected (connection_closed)");
    at(6, "register w1 :8001"); /* as workers do before each connect */
    at(6, "open w1/s2");
    expect("w1 disconnected -> connected (socket_opened)");
    row("w1", "serving=yes announced=up");
    at(6.5, "beat w1/s2");
    expect("w1 connected -> alive (beat)");
    nothing_until(21.5);
    heard("w1", "up");
    later(21.501, "w1 alive -> not_responding (heartbeat_timeout) server:down");
}

static void a_beat_over_http_ends_the_hold_too(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(5, "close w1/s1");
    expect("w1 alive -> disconnected (connection_closed)");
    at(6, "beat w1");
    expect("w1 disconnected -> alive (beat)");
    nothing_until(21);
    heard("w1", "up");
}

static void connected_again_without_a_beat_the_hold_ends(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(5, "close w1/s1");
    expect("w1 alive -> disconnected (connection_closed)");
    at(6, "open w1/s2");
    expect("w1 disconnected -> connected (socket_opened)");
    nothing_until(6.999);
    between(7, 7.001, "w1 connected (connection_closed) server:down");
    row("w1", "status=connected serving=no");
    at(8, "beat w1/s2");
    expect("w1 connected -> alive (beat) server:recovery");
}

static void a_second_close_does_not_prolong_the_hold(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(5, "close w1/s1");
    expect("w1 alive -> disconnected (connection_closed)");
    at(6, "open w1/s2");
    expect("w1 disconnected -> connected (socket_opened)");
    at(6.5, "close w1/s2");
    expect("w1 connected -> disconnected (connection_closed)");
    between(7, 7.001, "w1 disconnected (connection_closed) server:down");
    heard("w1", "up down");
}

static void each_close_of_the_alive_has_its_own_hold(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(5, "close w1/s1");
    expect("w1 alive -> disconnected (connection_closed)");
    at(6, "open w1/s2");
    expect("w1 disconnected -> connected (socket_opened)");
    at(6, "beat w1/s2");
    expect("w1 connected -> alive (beat)");
    at(6.5, "close w1/s2");
    expect("w1 alive -> disconnected (connection_closed)");
    nothing_until(8.499);
    between(8.5, 8.501, "w1 disconnected (connection_closed) server:down");
}

static void one_that_did_not_serve_is_not_held(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(1, "beat w1/s1 draining");
    expect("w1 alive (draining) server:down");
    at(2, "close w1/s1");
    expect("w1 alive -> disconnected (connection_closed)");
    row("w1", "serving=no");
    later(16.001, "w1 disconnected -> not_responding (connection_closed)");
}

static void without_grace_down_comes_with_the_close(void **state)
{
    (void)state;
    given("grace=0");
    comes_up(0, "w1/s1");
    at(5, "close w1/s1");
    expect("w1 alive -> disconnected (connection_closed) server:down");
}

static void when_the_timeout_is_shorter_than_the_hold(void **state)
{
    (void)state;
    given("timeout=1 grace=2");
    comes_up(0, "w1/s1");
    at(0.5, "close w1/s1");
    expect("w1 alive -> disconnected (connection_closed)");
    between(1.001, 1.001, "w1 disconnected -> not_responding (connection_closed)*");
    at(1.5, "beat w1 requests=1"); /* whatever is left of the hold: it is back */
    expect("w1 not_responding -> alive (beat)*");
    row("w1", "serving=yes announced=up");
}

static void when_the_timeout_is_shorter_than_the_hold_down_comes_once(void **state)
{
    (void)state;
    given("timeout=1 grace=2");
    comes_up(0, "w1/s1");
    at(0.5, "close w1/s1");
    expect("w1 alive -> disconnected (connection_closed)");
    between(1.001, 1.001, "w1 disconnected -> not_responding (connection_closed)*");
    if (timeline_worker("w1")->serving)
        between(2.5, 2.501, "w1 not_responding (connection_closed) server:down");
    nothing_until(100);
    heard("w1", "up down");
}

/* ---- goodbye ---- */

static void a_goodbye_is_not_held(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(5, "close w1/s1 1000");
    expect("w1 alive -> disconnected (goodbye) server:down");
    row("w1", "reason=goodbye serving=no announced=down");
    at(6, "open w1/s2");
    expect("w1 disconnected -> connected (socket_opened)");
    at(6, "close w1/s2 1001");
    expect("w1 connected -> disconnected (goodbye)");
    later(21.001, "w1 disconnected -> not_responding (goodbye)"); /* the socket at 6 s was the last contact */
    heard("w1", "up down");
}

static void a_goodbye_ends_a_hold(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(5, "close w1/s1");
    expect("w1 alive -> disconnected (connection_closed)");
    at(5.5, "open w1/s2");
    expect("w1 disconnected -> connected (socket_opened)");
    at(6, "close w1/s2 1000");
    expect("w1 connected -> disconnected (goodbye) server:down");
}

static void bye_over_the_socket_is_answered_with_a_close(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(5, "beat w1/s1 bye");
    expect("w1 alive -> disconnected (goodbye) server:down");
    expect("close s1 1000");
    assert_null(timeline_worker("w1")->socket);
    at(5.1, "close w1/s1 1000");
    expect("! stale");
    row("w1", "status=disconnected reason=goodbye");
    between(15.001, 20.001, "w1 disconnected -> not_responding (goodbye)");
}

static void bye_over_http_needs_no_close(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(1, "beat w1");
    expect("w1 registered -> alive (beat) server:up");
    at(5, "beat w1 bye");
    expect("w1 alive -> disconnected (goodbye) server:down");
}

static void bye_of_one_that_was_only_polled(void **state)
{
    (void)state;
    at(0, "register w1 url=http://10.0.0.5:9000/");
    expect("w1 unknown -> registered (registered)");
    at(10, "beat w1 bye"); /* who speaks, beats; and who is disconnected does not stay so */
    expect("w1 registered -> disconnected (goodbye)");
    between(15.001, 25.001, "w1 disconnected -> not_responding (goodbye)");
    heard("w1", "");
}

static void bye_of_one_that_is_not_responding(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    later(15.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
    at(20, "beat w1/s1 bye");
    expect("close s1 1000");
    row("w1", "status=not_responding");
    heard("w1", "up down");
}

static void bye_before_anything_else(void **state)
{
    (void)state;
    at(0, "open w1/s1");
    at(1, "beat w1/s1 bye");
    expect("close s1 1000");
    no_row("w1");
    assert_int_equal(hb_registry_entries(timeline_registry()), 0);
}

/* ---- draining ---- */

static void draining_takes_it_out_at_once_and_sticks(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(1, "beat w1/s1 draining");
    expect("w1 alive (draining) server:down");
    row("w1", "status=alive reason=draining serving=no draining=yes announced=down");
    at(2, "beat w1/s1 draining");
    at(3, "beat w1/s1");
    at(4, "beat w1/s1 status=busy");
    row("w1", "draining=yes serving=no");
    later(19.001, "w1 alive -> not_responding (heartbeat_timeout)"); /* down was said already */
    at(20, "beat w1/s1");
    expect("w1 not_responding -> alive (beat)");
    row("w1", "draining=yes serving=no");
    heard("w1", "up down");
}

static void draining_ends_when_a_beat_says_alive(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(1, "beat w1/s1 draining");
    expect("w1 alive (draining) server:down");
    at(2, "beat w1/s1 alive");
    expect("w1 alive (beat) server:recovery");
    row("w1", "draining=no serving=yes");
}

static void draining_ends_with_a_new_socket(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(1, "beat w1/s1 draining");
    expect("w1 alive (draining) server:down");
    at(2, "open w1/s2");
    expect("w1 alive (socket_opened) server:recovery");
    expect("close s1 4000");
    row("w1", "draining=no serving=yes");
}

static void draining_ends_with_a_new_registration(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(1, "beat w1/s1 draining");
    expect("w1 alive (draining) server:down");
    at(2, "register w1 :8001");
    expect("w1 alive (registered) server:recovery");
    row("w1", "draining=no serving=yes");
}

static void a_drained_worker_that_comes_back_serves_again(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(1, "beat w1/s1 draining");
    expect("w1 alive (draining) server:down");
    at(2, "close w1/s1 1000");
    expect("w1 alive -> disconnected (goodbye)");
    row("w1", "draining=yes");
    at(5, "open w1/s2");
    expect("w1 disconnected -> connected (socket_opened)");
    row("w1", "draining=no");
    at(6, "beat w1/s2");
    expect("w1 connected -> alive (beat) server:recovery");
}

static void the_first_beat_may_ask_for_no_traffic(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(1, "open w1/s1");
    expect("w1 registered -> connected (socket_opened)");
    at(2, "beat w1/s1 draining");
    expect("w1 connected -> alive (draining)");
    at(3, "beat w1/s1 alive");
    expect("w1 alive (beat) server:up");
}

static void draining_ends_a_hold(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(1, "close w1/s1");
    expect("w1 alive -> disconnected (connection_closed)");
    at(2, "beat w1 draining");
    expect("w1 disconnected -> alive (draining) server:down");
}

static void the_first_beat_ends_the_hold_for_good(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(1, "close w1/s1");
    expect("w1 alive -> disconnected (connection_closed)");
    at(1.5, "beat w1 draining");
    expect("w1 disconnected -> alive (draining) server:down");
    at(2, "beat w1 alive"); /* within what was left of the hold */
    expect("w1 alive (beat) server:recovery");
    nothing_until(17);
}

/* ---- address ---- */

static void a_new_address_while_up_is_up_again(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(1, "register w1 :8002");
    expect("w1 alive (address_changed) server:up");
    row("w1", "port=8002 serving=yes announced=up reason=address_changed");
    at(2, "register w1 :8002 host=10.0.0.8");
    expect("w1 alive (address_changed) server:up");
    at(3, "register w1 url=http://10.0.0.8:8002/");
    expect("w1 alive (address_changed) server:up");
    row("w1", "host=10.0.0.8 port=8002 url=http://10.0.0.8:8002/");
    heard("w1", "up up up up");
}

static void the_same_address_again_is_no_news(void **state)
{
    (void)state;
    at(0, "register w1 :8001 host=10.0.0.1 url=http://10.0.0.1:8001/");
    expect("w1 unknown -> registered (registered)");
    at(0, "beat w1");
    expect("w1 registered -> alive (beat) server:up");
    at(1, "register w1 :8001 host=10.0.0.1 url=http://10.0.0.1:8001/");
    at(2, "register w1 name=other attributes={\"a\":1}"); /* what is absent stays as it was */
    at(3, "register w1");
    row("w1", "name=other attributes={\"a\":1} host=10.0.0.1 port=8001 url=http://10.0.0.1:8001/ seq=2");
    heard("w1", "up");
}

static void who_named_no_host_moves_with_its_address(void **state)
{
    (void)state;
    at(0, "register w1 :8001 from=10.0.0.7");
    expect("w1 unknown -> registered (registered)");
    at(0, "beat w1 from=10.0.0.7");
    expect("w1 registered -> alive (beat) server:up");
    at(1, "register w1 :8001 from=10.0.0.8");
    expect("w1 alive (address_changed) server:up");
    row("w1", "host=10.0.0.8");
    at(2, "register w1 :8001 host=worker.example from=10.0.0.8");
    expect("w1 alive (address_changed) server:up");
    at(3, "register w1 :8001 from=10.0.0.9"); /* the name given once stays */
    row("w1", "host=worker.example");
}

static void a_new_address_while_down_is_told_without_an_edge(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    later(15.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
    at(16, "register w1 :8002");
    expect("w1 not_responding (address_changed)");
    row("w1", "port=8002 serving=no announced=down");
    at(17, "beat w1/s1");
    expect("w1 not_responding -> alive (beat) server:recovery");
}

static void a_new_address_before_the_first_beat(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(1, "register w1 :8002");
    expect("w1 registered (address_changed)");
    at(2, "beat w1");
    expect("w1 registered -> alive (beat) server:up");
    heard("w1", "up");
}

static void a_new_address_while_held(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(5, "close w1/s1");
    expect("w1 alive -> disconnected (connection_closed)");
    at(6, "register w1 :8002"); /* it was started anew on another port */
    expect("w1 disconnected (address_changed) server:up");
    at(6.1, "open w1/s2");
    expect("w1 disconnected -> connected (socket_opened)");
    at(6.2, "beat w1/s2");
    expect("w1 connected -> alive (beat)");
    nothing_until(21);
    heard("w1", "up up");
}

/* ---- who is not touched ---- */

static void workers_do_not_touch_each_other(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    comes_up(1, "w2/s2");
    at(2, "close w1/s1 1000");
    expect("w1 alive -> disconnected (goodbye) server:down");
    at(3, "close w1/s2"); /* not its socket */
    expect("! stale");
    at(3, "beat w1/s2");
    expect("! stale");
    row("w2", "status=alive serving=yes heard=1.000");
    later(15.001, "w1 disconnected -> not_responding (goodbye)");
    later(16.001, "w2 alive -> not_responding (heartbeat_timeout) server:down");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENARIO(first_up_then_down_then_recovery),
        SCENARIO(the_connected_does_not_serve),
        SCENARIO(never_up_is_never_announced_down),
        SCENARIO(without_an_address_it_never_serves),
        SCENARIO(a_url_is_an_address),
        SCENARIO(an_abnormal_close_is_held_for_the_grace),
        SCENARIO(back_within_the_grace_nobody_hears_of_it),
        SCENARIO(a_beat_over_http_ends_the_hold_too),
        SCENARIO(connected_again_without_a_beat_the_hold_ends),
        SCENARIO(a_second_close_does_not_prolong_the_hold),
        SCENARIO(each_close_of_the_alive_has_its_own_hold),
        SCENARIO(one_that_did_not_serve_is_not_held),
        SCENARIO(without_grace_down_comes_with_the_close),
        SCENARIO(when_the_timeout_is_shorter_than_the_hold),
        SCENARIO(when_the_timeout_is_shorter_than_the_hold_down_comes_once),
        SCENARIO(a_goodbye_is_not_held),
        SCENARIO(a_goodbye_ends_a_hold),
        SCENARIO(bye_over_the_socket_is_answered_with_a_close),
        SCENARIO(bye_over_http_needs_no_close),
        SCENARIO(bye_of_one_that_was_only_polled),
        SCENARIO(bye_of_one_that_is_not_responding),
        SCENARIO(bye_before_anything_else),
        SCENARIO(draining_takes_it_out_at_once_and_sticks),
        SCENARIO(draining_ends_when_a_beat_says_alive),
        SCENARIO(draining_ends_with_a_new_socket),
        SCENARIO(draining_ends_with_a_new_registration),
        SCENARIO(a_drained_worker_that_comes_back_serves_again),
        SCENARIO(the_first_beat_may_ask_for_no_traffic),
        SCENARIO(draining_ends_a_hold),
        SCENARIO(the_first_beat_ends_the_hold_for_good),
        SCENARIO(a_new_address_while_up_is_up_again),
        SCENARIO(the_same_address_again_is_no_news),
        SCENARIO(who_named_no_host_moves_with_its_address),
        SCENARIO(a_new_address_while_down_is_told_without_an_edge),
        SCENARIO(a_new_address_before_the_first_beat),
        SCENARIO(a_new_address_while_held),
        SCENARIO(workers_do_not_touch_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
