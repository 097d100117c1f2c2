/*
 * registry, the status table: one scenario for each row of DESIGN's table, and for what lies between the rows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/timeline.h"

/* ---- unknown ---- */

static void registering_makes_it_registered(void **state)
{
    (void)state;
    at(0, "register w1 :8001 host=10.0.0.1 name=first interval=5 attributes={\"zone\":\"a\"}");
    expect("w1 unknown -> registered (registered)");
    row("w1", "status=registered reason=registered name=first host=10.0.0.1 port=8001 timeout=15.000 interval=5.000");
    row("w1", "serving=no announced=none unverified=no draining=no health=unknown seq=1 heard=0.000 since=0.000");
    row("w1", "attributes={\"zone\":\"a\"} requests=-1 errors=-1");
}

static void who_names_no_host_lives_where_it_called_from(void **state)
{
    (void)state;
    at(0, "register w1 :8001 from=10.0.0.7");
    expect("w1 unknown -> registered (registered)");
    row("w1", "host=10.0.0.7 port=8001");
    assert_string_equal(timeline_worker("w1")->name, "w1");
}

static void a_socket_alone_is_no_worker(void **state)
{
    (void)state;
    at(0, "open w1/s1");
    no_row("w1");
    assert_int_equal(hb_registry_count(timeline_registry()), 0);
    assert_int_equal(hb_registry_entries(timeline_registry()), 1);
    later(15.001, "close s1 1008");
    assert_int_equal(hb_registry_entries(timeline_registry()), 0);
    assert_int_equal(hb_registry_next_deadline(timeline_registry()).ms, INT64_MAX);
    at(15.002, "close w1/s1 1008"); /* the shell tells what became of it */
    expect("! stale");
}

static void a_nameless_socket_may_close_again(void **state)
{
    (void)state;
    at(0, "open w1/s1");
    at(3, "close w1/s1");
    assert_int_equal(hb_registry_entries(timeline_registry()), 0);
    nothing_until(100);
}

static void a_nameless_socket_becomes_a_worker_when_it_beats(void **state)
{
    (void)state;
    at(0, "open w1/s1");
    at(14, "beat w1/s1 name=first requests=10 errors=1 metrics={\"cpu\":0.5} from=10.0.0.7");
    expect("w1 unknown -> alive (beat)");
    row("w1", "name=first host=10.0.0.7 port=0 serving=no announced=none requests=10 errors=1 metrics={\"cpu\":0.5}");
    assert_int_equal(hb_registry_entries(timeline_registry()), 1);
    nothing_until(29);
    later(29.001, "w1 alive -> not_responding (heartbeat_timeout)"); /* and nobody closes its socket now */
    heard("w1", "");
}

static void registering_gives_a_nameless_socket_its_worker(void **state)
{
    (void)state;
    at(0, "open w1/s1");
    at(1, "register w1 :8001");
    expect("w1 unknown -> connected (registered)"); /* its socket is open, no beat on it yet */
    assert_non_null(timeline_worker("w1")->socket);
    at(2, "beat w1/s1");
    expect("w1 connected -> alive (beat) server:up");
    nothing_until(17);
}

static void an_unknown_id_that_beats_over_http_is_registered(void **state)
{
    (void)state;
    at(0, "beat w1 from=10.0.0.7");
    expect("w1 unknown -> alive (beat)");
    row("w1", "name=w1 host=10.0.0.7 port=0 serving=no");
    later(15.001, "w1 alive -> not_responding (heartbeat_timeout)");
    heard("w1", "");
}

static void a_port_makes_a_beating_worker_serve(void **state)
{
    (void)state;
    at(0, "beat w1 from=10.0.0.7");
    expect("w1 unknown -> alive (beat)");
    at(1, "register w1 :8001");
    expect("w1 alive (*) server:up");
    row("w1", "port=8001 serving=yes announced=up");
}

/* ---- a socket is accepted ---- */

static void a_socket_connects_the_registered(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(1, "open w1/s1");
    expect("w1 registered -> connected (socket_opened)");
    row("w1", "serving=no announced=none heard=1.000 since=1.000 seq=2");
}

static void a_socket_connects_the_disconnected(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(1, "open w1/s1");
    expect("w1 registered -> connected (socket_opened)");
    at(2, "close w1/s1");
    expect("w1 connected -> disconnected (connection_closed)");
    at(3, "open w1/s2");
    expect("w1 disconnected -> connected (socket_opened)");
}

static void a_socket_connects_the_not_responding(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    later(15.001, "w1 registered -> not_responding (never_beat)");
    at(20, "open w1/s1");
    expect("w1 not_responding -> connected (socket_opened)");
}

static void a_socket_leaves_alive_what_beats_over_http(void **state)
{
    (void)state;
    at(0, "beat w1");
    expect("w1 unknown -> alive (beat)");
    at(1, "open w1/s1");
    row("w1", "status=alive heard=1.000");
}

/* ---- a valid beat: from any of them to alive ---- */

static void a_beat_makes_the_registered_alive(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(1, "beat w1");
    expect("w1 registered -> alive (beat) server:up");
}

static void a_beat_makes_the_connected_alive(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(1, "open w1/s1");
    expect("w1 registered -> connected (socket_opened)");
    at(2, "beat w1/s1");
    expect("w1 connected -> alive (beat) server:up");
    silent_for(1);
    row("w1", "serving=yes announced=up heard=2.000 since=2.000 seq=3");
}

static void a_beat_makes_the_disconnected_alive(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(0, "open w1/s1");
    expect("w1 registered -> connected (socket_opened)");
    at(1, "close w1/s1");
    expect("w1 connected -> disconnected (connection_closed)");
    at(2, "beat w1");
    expect("w1 disconnected -> alive (beat) server:up");
}

static void a_beat_makes_the_not_responding_alive(void **state)
{
    (void)state;
    comes_up(1, "w1/s1");
    later(16.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
    at(60, "beat w1/s1"); /* it was frozen, and thawed */
    expect("w1 not_responding -> alive (beat) server:recovery");
    row("w1", "since=60.000 heard=60.000 announced=up");
}

static void a_beat_of_the_alive_is_no_transition(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(0, "beat w1");
    expect("w1 registered -> alive (beat) server:up");
    at(5, "beat w1 requests=7 errors=2 status=busy metrics={\"cpu\":1} attributes={\"zone\":\"b\"}");
    row("w1", "status=alive since=0.000 heard=5.000 seq=2 requests=7 errors=2 said=busy metrics={\"cpu\":1}");
    row("w1", "attributes={\"zone\":\"b\"}");
    at(6, "beat w1"); /* says nothing: all of it stays */
    row("w1", "requests=7 errors=2 metrics={\"cpu\":1} attributes={\"zone\":\"b\"}");
}

/* ---- silence ---- */

static void the_registered_that_never_beats(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    nothing_until(15);
    later(15.001, "w1 registered -> not_responding (never_beat)");
    silent_for(15.001);
    heard("w1", "");
    nothing_until(100000);
}

static void the_connected_that_never_beats(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(10, "open w1/s1");
    expect("w1 registered -> connected (socket_opened)");
    nothing_until(25);
    later(25.001, "w1 connected -> not_responding (never_beat)");
    silent_for(15.001);
    heard("w1", "");
}

static void the_alive_that_freezes(void **state)
{
    (void)state;
    comes_up(1, "w1/s1");
    at(6, "beat w1/s1");
    nothing_until(21);
    later(21.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
    silent_for(15.001);
    row("w1", "reason=heartbeat_timeout serving=no announced=down heard=6.000 since=21.001");
    assert_non_null(timeline_worker("w1")->socket); /* it may thaw */
}

static void who_is_only_polled_has_no_heartbeat_to_miss(void **state)
{
    (void)state;
    at(0, "register w1 url=http://10.0.0.5:9000/");
    expect("w1 unknown -> registered (registered)");
    row("w1", "url=http://10.0.0.5:9000/ beats=no");
    nothing_until(1000000);
    row("w1", "status=registered");
}

static void once_connected_it_beats_in_spite_of_its_url(void **state)
{
    (void)state;
    at(0, "register w1 url=http://10.0.0.5:9000/");
    expect("w1 unknown -> registered (registered)");
    at(100, "open w1/s1");
    expect("w1 registered -> connected (socket_opened)");
    row("w1", "beats=yes");
    later(115.001, "w1 connected -> not_responding (never_beat)");
}

static void once_it_beat_over_http_it_beats_in_spite_of_its_url(void **state)
{
    (void)state;
    at(0, "register w1 url=http://10.0.0.5:9000/");
    expect("w1 unknown -> registered (registered)");
    at(100, "beat w1");
    expect("w1 registered -> alive (beat) server:up");
    later(115.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
}

/* ---- a socket closes ---- */

static void a_close_disconnects_at_once(void **state)
{
    (void)state;
    comes_up(1, "w1/s1");
    at(4, "close w1/s1 1000");
    expect("w1 alive -> disconnected (goodbye) server:down");
    silent_for(3);
    row("w1", "heard=1.000 since=4.000");
    assert_null(timeline_worker("w1")->socket);
    nothing_until(16);
    later(16.001, "w1 disconnected -> not_responding (goodbye)"); /* counted from the last beat; the reason stays */
    silent_for(15.001);
    heard("w1", "up down");
}

static void a_close_of_the_connected_disconnects_too(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(1, "open w1/s1");
    expect("w1 registered -> connected (socket_opened)");
    at(4, "close w1/s1");
    expect("w1 connected -> disconnected (connection_closed)");
    later(16.001, "w1 disconnected -> not_responding (connection_closed)");
    heard("w1", "");
}

static void the_not_responding_stays_so_when_it_closes(void **state)
{
    (void)state;
    comes_up(1, "w1/s1");
    later(16.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
    at(20, "close w1/s1");
    row("w1", "status=not_responding reason=heartbeat_timeout since=16.001");
    assert_null(timeline_worker("w1")->socket);
    nothing_until(100000);
}

static void every_code_but_two_is_abnormal(void **state)
{
    static const struct {
        const char *line, *outcome;
    } closes[] = {
        {"close w1/s1 1000", "w1 connected -> disconnected (goodbye)"},
        {"close w1/s1 1001", "w1 connected -> disconnected (goodbye)"},
        {"close w1/s1 1002", "w1 connected -> disconnected (connection_closed)"},
        {"close w1/s1 1006", "w1 connected -> disconnected (connection_closed)"},
        {"close w1/s1 1011", "w1 connected -> disconnected (connection_closed)"},
        {"close w1/s1 1012", "w1 connected -> disconnected (connection_closed)"},
        {"close w1/s1 4999", "w1 connected -> disconnected (connection_closed)"},
    };
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    for (size_t i = 0; i < sizeof closes / sizeof *closes; i++) {
        at((double)i, "open w1/s1");
        expect("w1 * -> connected (socket_opened)");
        at((double)i, closes[i].line);
        expect(closes[i].outcome);
    }
}

/* ---- removal ---- */

static void removing_the_registered(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(1, "remove w1");
    expect("w1 registered -> removed (removed)");
    no_row("w1");
    assert_int_equal(hb_registry_count(timeline_registry()), 0);
    at(2, "remove w1");
    expect("! unknown");
    heard("w1", "");
}

static void removing_the_unknown(void **state)
{
    (void)state;
    at(0, "remove w1");
    expect("! unknown");
}

static void removing_the_alive_closes_its_socket(void **state)
{
    (void)state;
    comes_up(1, "w1/s1");
    at(3, "remove w1");
    expect("w1 alive -> removed (removed) server:removed");
    silent_for(2);
    expect("close s1 4001");
    no_row("w1");
    at(3, "close w1/s1 4001"); /* the shell did as it was told */
    expect("! stale");
    nothing_until(100);
}

static void one_that_is_down_is_removed_unannounced(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(0, "beat w1");
    expect("w1 registered -> alive (beat) server:up");
    later(15.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
    at(16, "remove w1");
    expect("w1 not_responding -> removed (removed)");
    heard("w1", "up down");
}

static void one_that_is_held_is_removed_announced(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(1, "close w1/s1");
    expect("w1 alive -> disconnected (connection_closed)");
    at(2, "remove w1");
    expect("w1 disconnected -> removed (removed) server:removed");
    nothing_until(100);
    heard("w1", "up removed");
}

static void beats_of_the_removed_are_refused_for_ten_seconds(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(0, "open w1/s1");
    expect("w1 registered -> connected (socket_opened)");
    at(1, "remove w1");
    expect("w1 connected -> removed (removed)");
    expect("close s1 4001");
    at(1, "beat w1/s1"); /* it was on its way */
    expect("! *");
    at(2, "beat w1");
    expect("! refused");
    at(3, "open w1/s2");
    expect("! refused");
    at(10.999, "beat w1");
    expect("! refused");
    no_row("w1");
    at(11.002, "beat w1");
    expect("w1 unknown -> alive (beat)");
}

static void sockets_of_the_removed_are_welcome_after_ten_seconds(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(1, "remove w1");
    expect("w1 registered -> removed (removed)");
    nothing_until(11.002);
    assert_int_equal(hb_registry_entries(timeline_registry()), 0);
    at(11.002, "open w1/s2");
    no_row("w1");
    later(26.003, "close s2 1008");
}

static void a_registration_revives_the_removed(void **state)
{
    (void)state;
    at(0, "register w1 :8001 host=10.0.0.1 name=first timeout=5 attributes={\"zone\":\"a\"}");
    expect("w1 unknown -> registered (registered)");
    at(0, "beat w1 requests=5");
    expect("w1 registered -> alive (beat) server:up");
    at(1, "remove w1");
    expect("w1 alive -> removed (removed) server:removed");
    at(2, "register w1 :8002 from=10.0.0.7");
    expect("w1 * -> registered (registered)");
    row("w1",
        "host=10.0.0.7 port=8002 name=w1 timeout=15.000 attributes=- requests=-1 announced=none"); /* a new life */
    at(3, "beat w1");
    expect("w1 registered -> alive (beat) server:up");
    nothing_until(18); /* what its first life left behind is over at 11 s */
    heard("w1", "up removed up");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENARIO(registering_makes_it_registered),
        SCENARIO(who_names_no_host_lives_where_it_called_from),
        SCENARIO(a_socket_alone_is_no_worker),
        SCENARIO(a_nameless_socket_may_close_again),
        SCENARIO(a_nameless_socket_becomes_a_worker_when_it_beats),
        SCENARIO(registering_gives_a_nameless_socket_its_worker),
        SCENARIO(an_unknown_id_that_beats_over_http_is_registered),
        SCENARIO(a_port_makes_a_beating_worker_serve),
        SCENARIO(a_socket_connects_the_registered),
        SCENARIO(a_socket_connects_the_disconnected),
        SCENARIO(a_socket_connects_the_not_responding),
        SCENARIO(a_socket_leaves_alive_what_beats_over_http),
        SCENARIO(a_beat_makes_the_registered_alive),
        SCENARIO(a_beat_makes_the_connected_alive),
        SCENARIO(a_beat_makes_the_disconnected_alive),
        SCENARIO(a_beat_makes_the_not_responding_alive),
        SCENARIO(a_beat_of_the_alive_is_no_transition),
        SCENARIO(the_registered_that_never_beats),
        SCENARIO(the_connected_that_never_beats),
        SCENARIO(the_alive_that_freezes),
        SCENARIO(who_is_only_polled_has_no_heartbeat_to_miss),
        SCENARIO(once_connected_it_beats_in_spite_of_its_url),
        SCENARIO(once_it_beat_over_http_it_beats_in_spite_of_its_url),
        SCENARIO(a_close_disconnects_at_once),
        SCENARIO(a_close_of_the_connected_disconnects_too),
        SCENARIO(the_not_responding_stays_so_when_it_closes),
        SCENARIO(every_code_but_two_is_abnormal),
        SCENARIO(removing_the_registered),
        SCENARIO(removing_the_unknown),
        SCENARIO(removing_the_alive_closes_its_socket),
        SCENARIO(one_that_is_down_is_removed_unannounced),
        SCENARIO(one_that_is_held_is_removed_announced),
        SCENARIO(beats_of_the_removed_are_refused_for_ten_seconds),
        SCENARIO(sockets_of_the_removed_are_welcome_after_ten_seconds),
        SCENARIO(a_registration_revives_the_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
