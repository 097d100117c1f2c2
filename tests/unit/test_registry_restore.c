/*
 * registry, restart: rows that the store remembers come back, nobody who was up is announced down without cause, and
 * what is in memory already wins. The ceiling on entries is here too: restored rows count like all others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/timeline.h"

/* ---- rows that were up ---- */

static void who_was_up_is_unverified_and_serves_on(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=10.0.0.1 name=first status=alive serving announced=up epoch=7 seq=42 requests=9 "
          "attributes={\"a\":1} metrics={\"cpu\":1}");
    row("w1", "status=alive serving=yes announced=up unverified=yes name=first host=10.0.0.1 port=8001 timeout=15.000");
    row("w1", "epoch=7 seq=42 requests=9 errors=-1 attributes={\"a\":1} metrics={\"cpu\":1}");
    assert_null(timeline_worker("w1")->socket);
    assert_int_equal(hb_registry_seq(timeline_registry()), 0); /* restoring is no transition */
    nothing_until(30);
}

static void the_grace_ends_without_a_beat(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=10.0.0.1 status=alive serving announced=up");
    nothing_until(30);
    later(30.001, "w1 alive -> not_responding (restart_grace) server:down");
    row("w1", "unverified=no reason=restart_grace announced=down");
    nothing_until(1000);
    at(1000, "beat w1");
    expect("w1 not_responding -> alive (beat) server:recovery");
    heard("w1", "down recovery");
}

static void the_grace_counts_from_the_restart(void **state)
{
    (void)state; /* however long the manager was gone: that was not the worker's silence */
    at(0, "restore w1 :8001 host=10.0.0.1 status=alive serving announced=up heard=-14");
    at(0, "restore w2 :8001 host=10.0.0.1 status=alive serving announced=up heard=-86400");
    at(0, "restore w3 :8001 host=10.0.0.1 status=disconnected serving announced=up heard=-10");
    row("w1", "heard=-14.000");
    nothing_until(30);
    later(30.001, "w1 alive -> not_responding (restart_grace) server:down");
    expect("w2 alive -> not_responding (restart_grace) server:down");
    expect("w3 disconnected -> not_responding (*) server:down");
}

static void the_grace_is_never_shorter_than_the_timeout(void **state)
{
    (void)state;
    given("restart=30");
    at(0, "restore w1 :8001 host=10.0.0.1 status=alive serving announced=up timeout=60");
    at(0, "restore w2 :8001 host=10.0.0.1 status=alive serving announced=up timeout=1");
    row("w1", "timeout=60.000");
    later(30.001, "w2 alive -> not_responding (restart_grace) server:down");
    nothing_until(60);
    later(60.001, "w1 alive -> not_responding (restart_grace) server:down");
}

static void back_within_the_grace_nobody_hears_of_it(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=10.0.0.1 status=alive serving announced=up");
    at(3, "register w1 :8001 host=10.0.0.1");
    row("w1", "unverified=yes");
    at(3, "open w1/s1");
    row("w1", "status=alive unverified=yes serving=yes"); /* a socket is no proof of life yet */
    at(4, "beat w1/s1");
    row("w1", "status=alive unverified=no serving=yes");
    nothing_until(19);
    heard("w1", "");
    later(19.001, "w1 alive -> not_responding (heartbeat_timeout) server:down"); /* its own timeout counts again */
}

static void a_beat_over_http_verifies_too(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=10.0.0.1 status=alive serving announced=up");
    at(20, "beat w1");
    row("w1", "unverified=no status=alive");
    later(35.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
}

static void a_socket_without_a_beat_does_not_save_it(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=10.0.0.1 status=alive serving announced=up");
    at(5, "open w1/s1");
    between(30.001, 35.001, "w1 * -> not_responding (restart_grace) server:down");
    row("w1", "unverified=no");
}

static void an_abnormal_close_within_the_grace_changes_the_status_only(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=10.0.0.1 status=alive serving announced=up");
    at(1, "open w1/s1");
    at(2, "close w1/s1");
    expect("w1 alive -> disconnected (connection_closed)");
    row("w1", "serving=yes announced=up unverified=yes");
    nothing_until(30);
    row("w1", "serving=yes");
    between(30.001, 31.001, "w1 disconnected -> not_responding (*) server:down");
    nothing_until(100);
    heard("w1", "down");
}

static void back_after_a_close_within_the_grace(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=10.0.0.1 status=alive serving announced=up");
    at(1, "open w1/s1");
    at(2, "close w1/s1");
    expect("w1 alive -> disconnected (connection_closed)");
    at(20, "open w1/s2");
    expect("w1 disconnected -> connected (socket_opened)");
    at(21, "beat w1/s2");
    expect("w1 connected -> alive (beat)");
    nothing_until(36);
    heard("w1", "");
}

static void a_goodbye_within_the_grace_counts_at_once(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=10.0.0.1 status=alive serving announced=up");
    at(1, "open w1/s1");
    at(2, "close w1/s1 1000");
    expect("w1 alive -> disconnected (goodbye) server:down");
    row("w1", "unverified=no serving=no");
    between(15.001, 31.001, "w1 disconnected -> not_responding (goodbye)");
}

static void a_drain_within_the_grace_counts_at_once(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=10.0.0.1 status=alive serving announced=up");
    at(1, "beat w1 draining");
    expect("w1 alive (draining) server:down");
    row("w1", "unverified=no draining=yes");
}

static void a_removal_within_the_grace_counts_at_once(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=10.0.0.1 status=alive serving announced=up");
    at(1, "remove w1");
    expect("w1 alive -> removed (removed) server:removed");
    nothing_until(100);
}

static void a_new_address_within_the_grace(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=10.0.0.1 status=alive serving announced=up");
    at(1, "register w1 :8002 host=10.0.0.1");
    expect("w1 alive (address_changed) server:up");
    row("w1", "unverified=yes serving=yes port=8002");
}

static void one_that_was_held_when_the_manager_stopped(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=10.0.0.1 status=disconnected serving announced=up reason=connection_closed");
    row("w1", "status=disconnected serving=yes unverified=yes");
    nothing_until(30);
    between(30.001, 30.001, "w1 disconnected -> not_responding (*) server:down");
    nothing_until(100);
}

static void one_that_was_held_and_connected_again(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=10.0.0.1 status=connected serving announced=up");
    row("w1", "status=connected serving=yes unverified=yes");
    at(10, "beat w1");
    expect("w1 connected -> alive (beat)");
    nothing_until(25);
}

static void a_second_restart_gives_a_new_grace(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=10.0.0.1 status=alive serving announced=up unverified");
    row("w1", "unverified=yes");
    later(30.001, "w1 alive -> not_responding (restart_grace) server:down");
}

static void reaping_waits_for_the_grace(void **state)
{
    (void)state;
    given("reap=10 restart=30");
    at(0, "restore w1 :8001 host=10.0.0.1 status=alive serving announced=up");
    nothing_until(30);
    later(30.001, "w1 alive -> not_responding (restart_grace) server:down");
    between(30.001, 40.002, "w1 not_responding -> removed (reaped)");
    heard("w1", "down");
}

static void a_stall_moves_the_grace(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=10.0.0.1 status=alive serving announced=up");
    nothing_until(10);
    stall(50);
    nothing_until(80);
    later(80.001, "w1 alive -> not_responding (restart_grace) server:down");
}

/* ---- rows that were not up ---- */

static void who_was_down_stays_down(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=10.0.0.1 status=not_responding announced=down reason=heartbeat_timeout "
          "since=-100 heard=-115");
    row("w1", "status=not_responding serving=no announced=down unverified=no reason=heartbeat_timeout");
    row("w1", "since=-100.000 heard=-115.000");
    nothing_until(100000);
    at(100000, "beat w1");
    expect("w1 not_responding -> alive (beat) server:recovery");
}

static void who_had_said_goodbye_stays_away(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=10.0.0.1 status=disconnected announced=down reason=goodbye heard=-5");
    row("w1", "status=disconnected serving=no unverified=no heard=-5.000");
    between(10.001, 30.001, "w1 disconnected -> not_responding (goodbye)");
    heard("w1", "");
}

static void who_seems_to_have_been_heard_in_the_future(void **state)
{
    (void)state; /* the wall clock was set back between the two lives: no more patience than usual */
    at(0, "restore w1 :8001 host=10.0.0.1 status=disconnected announced=down reason=goodbye heard=86400");
    between(0, 30.001, "w1 disconnected -> not_responding (goodbye)");
}

static void silence_of_two_lives_adds_up_to_reaping(void **state)
{
    (void)state;
    given("reap=100");
    at(0, "restore w1 :8001 host=10.0.0.1 status=not_responding announced=down heard=-60");
    nothing_until(39.999);
    between(40, 100.001, "w1 not_responding -> removed (reaped)");
    heard("w1", "");
}

static void who_had_never_been_up(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=10.0.0.1 status=registered announced=none reason=registered");
    at(0, "restore w2 :8001 host=10.0.0.1 status=connected announced=none reason=socket_opened");
    row("w1", "status=registered serving=no announced=none unverified=no");
    row("w2", "status=connected serving=no announced=none");
    at(1, "beat w1");
    expect("w1 registered -> alive (beat) server:up");
    at(1, "beat w2");
    expect("w2 connected -> alive (beat) server:up");
}

static void who_had_never_been_up_and_stays_silent(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=10.0.0.1 status=registered announced=none reason=registered");
    between(15.001, 30.001, "w1 registered -> not_responding (never_beat)");
    at(40, "restore w2 :8001 host=10.0.0.1 status=connected announced=none reason=socket_opened");
    between(40, 70.001, "w2 connected -> not_responding (*)");
    heard("w1", "");
    heard("w2", "");
}

static void who_was_draining_still_drains(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=10.0.0.1 status=alive draining announced=down reason=draining");
    row("w1", "status=alive draining=yes serving=no announced=down");
    at(1, "beat w1");
    row("w1", "status=alive draining=yes serving=no unverified=no");
    at(2, "beat w1 alive");
    expect("w1 alive (beat) server:recovery");
}

static void a_goodbye_takes_its_grace_from_who_was_draining(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=10.0.0.1 status=alive draining announced=down reason=draining");
    at(1, "open w1/s1");
    expect("w1 alive (socket_opened)"); /* which ends draining; but it has not beaten yet */
    at(2, "close w1/s1");
    expect("w1 alive -> disconnected (connection_closed)");
    at(3, "beat w1 bye");
    row("w1", "status=disconnected unverified=no");
    later(15.001, "w1 disconnected -> not_responding (*)"); /* a socket without a beat has proved nothing */
    heard("w1", "");
}

static void who_was_in_maintenance_stays_in_it(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=10.0.0.1 status=alive maintenance announced=down reason=maintenance");
    at(1, "beat w1 alive");
    row("w1", "status=alive maintenance=yes serving=no");
}

static void who_was_only_polled_is_not_expected_to_beat(void **state)
{
    (void)state;
    at(0, "restore w1 status=registered url=http://10.0.0.5:9000/");
    row("w1", "beats=no url=http://10.0.0.5:9000/");
    nothing_until(100000);
}

static void who_had_beaten_beside_its_url_is_expected_to_beat(void **state)
{
    (void)state;
    at(0, "restore w1 status=alive serving announced=up url=http://10.0.0.5:9000/ beats");
    row("w1", "beats=yes unverified=yes");
    later(30.001, "w1 alive -> not_responding (restart_grace) server:down");
}

/* ---- rows of the seed's shape: no serving in them; whoever reads them says so from the status ---- */

static void the_seeds_alive_count_as_up(void **state)
{
    (void)state;
    at(0, "restore w1 seed :8001 host=10.0.0.1 status=alive serving announced=up");
    row("w1", "status=alive serving=yes announced=up unverified=yes");
    at(1, "beat w1");
    row("w1", "unverified=no");
    later(16.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
    heard("w1", "down");
}

static void the_seeds_silent_ones_get_the_grace(void **state)
{
    (void)state;
    at(0, "restore w1 seed :8001 host=10.0.0.1 status=alive serving announced=up");
    at(0, "restore w2 seed :8001 host=10.0.0.1 status=connected serving announced=up");
    at(0, "restore w3 seed :8001 host=10.0.0.1 status=not_responding");
    row("w2", "status=connected unverified=yes");
    row("w3", "status=not_responding serving=no unverified=no");
    nothing_until(30);
    later(30.001, "w1 alive -> not_responding (restart_grace) server:down");
    expect("w2 connected -> not_responding (restart_grace) server:down");
    nothing_until(1000);
}

/* ---- memory and store ---- */

static void memory_wins(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(1, "restore w1 :8002 host=10.0.0.2 status=not_responding announced=down timeout=3 name=other");
    expect("! stale");
    row("w1", "name=w1 host=10.0.0.9 port=8001 status=alive serving=yes timeout=15.000");
    at(2, "register w2 :8001");
    expect("w2 unknown -> registered (registered)");
    at(2, "remove w2");
    expect("w2 registered -> removed (removed)");
    at(3, "restore w2 :8001 host=h status=alive serving announced=up");
    expect("! stale");
    no_row("w2");
    later(15.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
}

/* Redis was away for longer than a removed id is refused: its row must not bring it back. */
static void the_removed_stay_removed(void **state)
{
    (void)state;
    hb_registry_set_restoring(timeline_registry(), true);
    comes_up(0, "w1/s1");
    at(1, "remove w1");
    expect("close s1 4001");
    expect("w1 alive -> removed (removed) server:removed");
    at(10, "beat w1");
    expect("! refused");
    at(40, "restore w1 :8001 host=h status=alive serving announced=up");
    expect("! stale");
    no_row("w1");
    at(41, "beat w1"); /* but it may come back by itself */
    expect("w1 unknown -> alive (beat)");
    at(55, "restore w1 :8001 host=h status=alive serving announced=up"); /* of before its removal */
    expect("! stale");
    row("w1", "serving=no announced=none port=0");
    hb_registry_set_restoring(timeline_registry(), false);
    later(56.001, "w1 alive -> not_responding (heartbeat_timeout)");
}

/* Listeners heard of it in the earlier life only: its row is the only one who can tell that they hold it for up. */
static void the_removal_of_one_that_was_up_is_told_with_its_row(void **state)
{
    (void)state;
    hb_registry_set_restoring(timeline_registry(), true);
    at(2, "register w2 :8002 host=h");
    expect("w2 unknown -> registered (registered)");
    at(3, "remove w2");
    expect("w2 registered -> removed (removed)");
    at(4, "restore w2 :8002 host=h status=alive serving announced=up");
    expect("w2 alive -> removed (removed) server:removed");
    no_row("w2");
    at(5, "restore w2 :8002 host=h status=alive serving announced=up");
    expect("! stale");
    at(20, "register w3 :8003 host=h");
    expect("w3 unknown -> registered (registered)");
    at(21, "remove w3");
    expect("w3 registered -> removed (removed)");
    at(40, "restore w3 :8003 host=h status=alive serving announced=up"); /* its entry is gone as well */
    expect("w3 alive -> removed (removed) server:removed");
    at(41, "register w4 :8004 host=h");
    expect("w4 unknown -> registered (registered)");
    at(41, "remove w4");
    expect("w4 registered -> removed (removed)");
    at(42, "register w4 :8004 host=h");
    expect("w4 unknown -> registered (registered)");
    at(43, "restore w4 :8004 host=h status=alive serving announced=up maintenance until=1000");
    expect("w4 registered (registered) server:down"); /* back, but not heard of: no grace after a removal */
    row("w4", "maintenance=no");
    at(43.5, "remove w4");
    expect("w4 registered -> removed (removed)");
    at(43.6, "restore w4 :8004 host=h status=alive serving announced=up");
    expect("! stale");    /* told by now */
    at(44, "open w6/s6"); /* removed, and back with a socket: no row yet */
    at(44, "register w6 :8006 host=h");
    expect("w6 unknown -> connected (registered)");
    at(44, "remove w6");
    expect("close s6 4001");
    expect("w6 connected -> removed (removed)");
    at(55, "open w6/s7");
    at(55, "restore w6 :8006 host=h status=alive serving announced=up");
    row("w6", "serving=yes unverified=yes");
    at(55, "remove w6");
    expect("close s7 4001");
    expect("w6 alive -> removed (removed) server:removed");
    at(56, "register w5 :8005 host=h");
    expect("w5 unknown -> registered (registered)");
    at(56, "remove w5");
    expect("w5 registered -> removed (removed)");
    at(57, "restore w5 :8005 host=h status=not_responding announced=down");
    expect("! stale");
}

static void maintenance_that_was_ended_stays_ended(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(1, "maintain w1 off"); /* nothing to end that is known here, but the operator has spoken */
    at(2, "restore w1 :8001 host=10.0.0.9 status=alive announced=down maintenance until=1000");
    expect("! stale");
    row("w1", "maintenance=no serving=yes");
    later(15.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
}

/* One that connects and dies over and over: its grace ends all the same. */
static void connecting_does_not_prolong_the_grace(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=h status=alive serving announced=up");
    at(10, "open w1/s1");
    at(11, "close w1/s1");
    expect("w1 alive -> disconnected (connection_closed)");
    at(20, "open w1/s2");
    expect("w1 disconnected -> connected (socket_opened)");
    at(29, "close w1/s2");
    expect("w1 connected -> disconnected (connection_closed)");
    later(30.001, "w1 disconnected -> not_responding (restart_grace) server:down");
}

static void without_room_for_words_it_is_held_for_up_all_the_same(void **state)
{
    (void)state;
    given("texts=30");
    at(0, "register w1 :8001 host=h");
    expect("w1 unknown -> registered (registered)");
    at(1, "restore w1 :8001 host=h name=a-name-that-is-much-too-long-for-the-room status=alive serving announced=up");
    expect("w1 registered (registered)");
    row("w1", "name=w1 serving=yes unverified=yes");
    later(31.001, "w1 registered -> not_responding (restart_grace) server:down");
}

/* ---- who came back before its row was read: listeners still know what they were told ---- */

static void registered_again_it_is_held_for_up(void **state)
{
    (void)state;
    at(0, "register w1 :8001 host=h");
    expect("w1 unknown -> registered (registered)");
    at(1, "restore w1 :8001 host=h status=alive serving announced=up");
    expect("w1 registered (registered)"); /* it serves: nothing to announce */
    row("w1", "serving=yes announced=up unverified=yes");
    at(2, "open w1/s1");
    expect("w1 registered -> connected (socket_opened)");
    at(3, "beat w1/s1");
    expect("w1 connected -> alive (beat)");
    row("w1", "serving=yes unverified=no");
    later(18.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
}

static void registered_again_and_gone_it_is_told_once(void **state)
{
    (void)state;
    at(0, "register w1 :8001 host=h");
    expect("w1 unknown -> registered (registered)");
    at(1, "open w1/s1");
    expect("w1 registered -> connected (socket_opened)");
    at(2, "close w1/s1");
    expect("w1 connected -> disconnected (connection_closed)");
    at(3, "restore w1 :8001 host=h status=alive serving announced=up");
    expect("w1 disconnected (connection_closed)");
    row("w1", "serving=yes announced=up unverified=yes");
    later(33.001, "w1 disconnected -> not_responding (restart_grace) server:down");
    heard("w1", "down");
}

static void a_goodbye_before_the_row_is_told_with_it(void **state)
{
    (void)state;
    at(0, "register w1 :8001 host=h");
    expect("w1 unknown -> registered (registered)");
    at(1, "beat w1 bye");
    expect("w1 registered -> disconnected (goodbye)");
    at(2, "restore w1 :8001 host=h status=alive serving announced=up");
    expect("w1 disconnected (goodbye) server:down");
    later(15.001, "w1 disconnected -> not_responding (goodbye)");
}

static void too_late_for_a_grace_it_is_told_at_once(void **state)
{
    (void)state;
    at(0, "register w1 :8001 host=h");
    expect("w1 unknown -> registered (registered)");
    later(15.001, "w1 registered -> not_responding (never_beat)");
    at(16, "restore w1 :8001 host=h status=alive serving announced=up");
    expect("w1 not_responding (never_beat) server:down");
    at(17, "beat w1");
    expect("w1 not_responding -> alive (beat) server:recovery");
    later(32.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
}

static void registered_elsewhere_the_new_address_is_told(void **state)
{
    (void)state;
    at(0, "register w1 :8002 host=h");
    expect("w1 unknown -> registered (registered)");
    at(1, "restore w1 :8001 host=h status=alive serving announced=up");
    expect("w1 registered (registered) server:up");
    row("w1", "port=8002 serving=yes unverified=yes");
    later(31.001, "w1 registered -> not_responding (restart_grace) server:down");
}

/* A beat alone does not say where it comes from: the row does. */
static void a_beat_before_the_row_gets_its_place_from_it(void **state)
{
    (void)state;
    at(0, "open w1/s1");
    at(0, "beat w1/s1");
    expect("w1 unknown -> alive (beat)");
    row("w1", "serving=no port=0 name=w1 timeout=15.000");
    at(1, "restore w1 :8001 host=h name=One timeout=20 attributes={\"a\":1} status=alive serving announced=up");
    expect("w1 alive (beat)");
    row("w1", "serving=yes announced=up host=h port=8001 name=One timeout=20.000 attributes={\"a\":1} unverified=no");
    at(2, "register w1 from=10.0.0.8"); /* it says no host either: the row's stays */
    row("w1", "host=h");
    later(20.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
}

static void from_a_row_with_a_url_too(void **state)
{
    (void)state;
    at(0, "beat w1 from=10.0.0.7");
    expect("w1 unknown -> alive (beat)");
    at(1, "restore w1 url=http://h:9000/ timeout=20 status=alive serving announced=up");
    expect("w1 alive (beat)");
    row("w1", "serving=yes url=http://h:9000/ host=10.0.0.7 timeout=20.000");
    at(1, "register w2 timeout=5");
    expect("w2 unknown -> registered (registered)");
    at(2, "restore w2 :8001 host=h status=alive serving announced=up timeout=20");
    row("w2", "timeout=5.000 port=8001 serving=yes");
    expect("w2 registered (registered)");
    later(20.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
    later(32.001, "w2 registered -> not_responding (restart_grace) server:down");
}

static void one_that_was_down_recovers(void **state)
{
    (void)state;
    at(0, "register w1 :8001 host=h");
    expect("w1 unknown -> registered (registered)");
    at(1, "restore w1 :8001 host=h status=not_responding announced=down");
    row("w1", "status=registered serving=no announced=down unverified=no");
    at(2, "beat w1");
    expect("w1 registered -> alive (beat) server:recovery");
    later(17.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
}

static void maintenance_outlives_it_too(void **state)
{
    (void)state;
    comes_up(100, "w1/s1");
    at(101, "restore w1 :8001 host=10.0.0.9 status=alive announced=down maintenance until=110 words=disks");
    expect("w1 alive (maintenance) server:down");
    row("w1", "maintenance=yes until=110.000 words=disks");
    later(110, "w1 alive (maintenance) server:recovery");
    later(115.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
}

static void a_row_is_restored_once(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=10.0.0.1 status=alive serving announced=up");
    at(1, "restore w1 :8002 host=10.0.0.1 status=not_responding announced=down");
    expect("! stale");
    row("w1", "port=8001 status=alive");
}

/* A worker came back while Redis was still being asked: its socket has no row yet, so the stored one is welcome. */
static void a_socket_that_came_before_the_row(void **state)
{
    (void)state;
    at(0, "open w1/s1");
    at(1, "restore w1 :8001 host=10.0.0.1 status=alive serving announced=up");
    row("w1", "status=alive serving=yes unverified=yes port=8001");
    at(2, "beat w1/s1");
    row("w1", "unverified=no serving=yes");
    heard("w1", "");
    at(3, "close w1/s1 1000");
    expect("w1 alive -> disconnected (goodbye) server:down");
}

static void a_socket_that_came_before_the_row_of_one_that_was_down(void **state)
{
    (void)state;
    at(0, "open w1/s1");
    at(1, "restore w1 :8001 host=10.0.0.1 status=not_responding announced=down");
    expect("w1 not_responding -> connected (socket_opened)");
    row("w1", "serving=no announced=down");
    at(2, "beat w1/s1");
    expect("w1 connected -> alive (beat) server:recovery");
}

static void the_removed_does_not_come_back_from_the_store(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(1, "remove w1");
    expect("w1 registered -> removed (removed)");
    at(2, "restore w1 :8001 host=10.0.0.1 status=alive serving announced=up");
    expect("! stale");
    no_row("w1");
}

static void the_view_is_ordered_whatever_came_first(void **state)
{
    static const char *const ids[] = {"-", "A", "a", "a.b", "a1", "ab", "b"};
    (void)state;
    at(0, "restore b :1 status=not_responding announced=down");
    at(0, "restore a :1 status=not_responding announced=down");
    at(0, "restore ab :1 status=not_responding announced=down");
    at(0, "register a1 :1");
    expect("a1 unknown -> registered (registered)");
    at(0, "register A :1");
    expect("A unknown -> registered (registered)");
    at(0, "beat a.b");
    expect("a.b unknown -> alive (beat)");
    at(0, "open -/s1");
    at(0, "beat -/s1");
    expect("- unknown -> alive (beat)");
    at(0, "open aa/s2"); /* nameless: not in the view */

    struct hb_registry *registry = timeline_registry();
    assert_int_equal(hb_registry_count(registry), sizeof ids / sizeof *ids);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        assert_string_equal(hb_registry_at(registry, i)->id, ids[i]);
    assert_int_equal(hb_registry_after(registry, HB_TEXT("")), 0);
    assert_int_equal(hb_registry_after(registry, HB_TEXT("a")), 3);
    assert_int_equal(hb_registry_after(registry, HB_TEXT("aa")), 5);
    assert_int_equal(hb_registry_after(registry, HB_TEXT("b")), 7);
    assert_int_equal(hb_registry_after(registry, HB_TEXT("zzz")), 7);
    at(1, "remove a.b");
    expect("a.b alive -> removed (removed)");
    assert_int_equal(hb_registry_after(registry, HB_TEXT("a")), 3);
    assert_string_equal(hb_registry_at(registry, 3)->id, "a1");
    assert_null(timeline_worker("a.b"));
    assert_null(timeline_worker("aa"));
}

/* ---- the ceiling ---- */

static void beyond_max_workers_nobody_new_gets_in(void **state)
{
    (void)state;
    given("max=2 timeout=1000");
    at(0, "restore w1 :8001 host=10.0.0.1 status=not_responding announced=down");
    at(0, "open w2/s2");
    at(1, "register w3 :8001");
    expect("! full");
    at(1, "beat w3");
    expect("! full");
    at(1, "open w3/s3");
    expect("! full");
    at(1, "restore w3 :8001 status=alive serving announced=up");
    expect("! full");
    no_row("w3");
    at(2, "beat w2/s2"); /* those who are in go on */
    expect("w2 unknown -> alive (beat)");
    at(2, "register w1 :8002");
    expect("w1 not_responding (address_changed)");
    at(3, "close w2/s2 1000");
    expect("w2 alive -> disconnected (goodbye)");
    at(3, "open w2/s4");
    expect("w2 disconnected -> connected (socket_opened)");
}

static void a_removed_id_keeps_its_place_for_ten_seconds(void **state)
{
    (void)state;
    given("max=1");
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(1, "remove w1");
    expect("w1 registered -> removed (removed)");
    at(2, "register w2 :8001");
    expect("! full");
    at(3, "register w1 :8001"); /* its own place */
    expect("w1 * -> registered (registered)");
    at(4, "remove w1");
    expect("w1 registered -> removed (removed)");
    nothing_until(14.002);
    at(14.002, "register w2 :8001");
    expect("w2 unknown -> registered (registered)");
}

static void a_nameless_socket_that_closes_gives_its_place_back(void **state)
{
    (void)state;
    given("max=1");
    at(0, "open w1/s1");
    at(1, "open w2/s2");
    expect("! full");
    at(2, "close w1/s1");
    at(3, "open w2/s2");
    at(4, "register w2 :8001");
    expect("w2 unknown -> *");
}

static void a_row_that_contradicts_itself_is_told_down(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=h status=not_responding announced=up reason=heartbeat_timeout");
    expect("w1 not_responding (heartbeat_timeout) server:down");
    row("w1", "serving=no unverified=no");
    nothing_until(1000);
}

static void a_row_that_is_none(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 status=removed");
    expect("! not valid");
    no_row("w1");
}

static void a_row_without_a_name_has_its_id(void **state)
{
    (void)state;
    at(0, "restore w1 :8001 host=h nameless status=not_responding announced=down");
    row("w1", "name=w1");
}

/* Who has a url and was never heard of on a socket is waited for by its polls alone. */
static void one_that_never_beat_needs_not_to(void **state)
{
    (void)state;
    given("polling concurrency=0"); /* none of them is polled yet */
    at(0, "restore w1 url=http://h:1/ status=alive serving announced=up");
    row("w1", "beats=no serving=yes unverified=yes");
    at(0, "restore w2 url=http://h:2/ status=not_responding announced=down");
    row("w2", "beats=no serving=no");
    at(0, "restore w3 url=http://h:3/ status=disconnected announced=down");
    row("w3", "beats=yes serving=no");
    at(0, "restore w4 url=http://h:4/ status=connected announced=down");
    row("w4", "beats=yes serving=no");
    at(0, "beat w5");
    expect("w5 unknown -> alive (beat)");
    row("w5", "beats=yes serving=no"); /* no port: no address */
    at(0, "register w5 :8005 host=h");
    expect("w5 alive (address_changed) server:up");
    later(15.001, "w3 disconnected -> not_responding (connection_closed)");
    expect("w5 alive -> not_responding (heartbeat_timeout) server:down");
    later(30.001, "w4 connected -> not_responding (restart_grace)");
    nothing_until(1000); /* w1 waits for its first poll, however long that takes */
    row("w1", "serving=yes unverified=yes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENARIO(who_was_up_is_unverified_and_serves_on),
        SCENARIO(the_grace_ends_without_a_beat),
        SCENARIO(a_row_that_contradicts_itself_is_told_down),
        SCENARIO(a_row_that_is_none),
        SCENARIO(a_row_without_a_name_has_its_id),
        SCENARIO(one_that_never_beat_needs_not_to),
        SCENARIO(the_grace_counts_from_the_restart),
        SCENARIO(the_grace_is_never_shorter_than_the_timeout),
        SCENARIO(back_within_the_grace_nobody_hears_of_it),
        SCENARIO(a_beat_over_http_verifies_too),
        SCENARIO(a_socket_without_a_beat_does_not_save_it),
        SCENARIO(an_abnormal_close_within_the_grace_changes_the_status_only),
        SCENARIO(back_after_a_close_within_the_grace),
        SCENARIO(a_goodbye_within_the_grace_counts_at_once),
        SCENARIO(a_drain_within_the_grace_counts_at_once),
        SCENARIO(a_removal_within_the_grace_counts_at_once),
        SCENARIO(a_new_address_within_the_grace),
        SCENARIO(one_that_was_held_when_the_manager_stopped),
        SCENARIO(one_that_was_held_and_connected_again),
        SCENARIO(a_second_restart_gives_a_new_grace),
        SCENARIO(reaping_waits_for_the_grace),
        SCENARIO(a_stall_moves_the_grace),
        SCENARIO(who_was_down_stays_down),
        SCENARIO(who_had_said_goodbye_stays_away),
        SCENARIO(who_seems_to_have_been_heard_in_the_future),
        SCENARIO(silence_of_two_lives_adds_up_to_reaping),
        SCENARIO(who_had_never_been_up),
        SCENARIO(who_had_never_been_up_and_stays_silent),
        SCENARIO(who_was_draining_still_drains),
        SCENARIO(a_goodbye_takes_its_grace_from_who_was_draining),
        SCENARIO(who_was_in_maintenance_stays_in_it),
        SCENARIO(who_was_only_polled_is_not_expected_to_beat),
        SCENARIO(who_had_beaten_beside_its_url_is_expected_to_beat),
        SCENARIO(the_seeds_alive_count_as_up),
        SCENARIO(the_seeds_silent_ones_get_the_grace),
        SCENARIO(memory_wins),
        SCENARIO(the_removed_stay_removed),
        SCENARIO(the_removal_of_one_that_was_up_is_told_with_its_row),
        SCENARIO(maintenance_that_was_ended_stays_ended),
        SCENARIO(connecting_does_not_prolong_the_grace),
        SCENARIO(without_room_for_words_it_is_held_for_up_all_the_same),
        SCENARIO(registered_again_it_is_held_for_up),
        SCENARIO(registered_again_and_gone_it_is_told_once),
        SCENARIO(a_goodbye_before_the_row_is_told_with_it),
        SCENARIO(too_late_for_a_grace_it_is_told_at_once),
        SCENARIO(registered_elsewhere_the_new_address_is_told),
        SCENARIO(a_beat_before_the_row_gets_its_place_from_it),
        SCENARIO(from_a_row_with_a_url_too),
        SCENARIO(one_that_was_down_recovers),
        SCENARIO(maintenance_outlives_it_too),
        SCENARIO(a_row_is_restored_once),
        SCENARIO(a_socket_that_came_before_the_row),
        SCENARIO(a_socket_that_came_before_the_row_of_one_that_was_down),
        SCENARIO(the_removed_does_not_come_back_from_the_store),
        SCENARIO(the_view_is_ordered_whatever_came_first),
        SCENARIO(beyond_max_workers_nobody_new_gets_in),
        SCENARIO(a_removed_id_keeps_its_place_for_ten_seconds),
        SCENARIO(a_nameless_socket_that_closes_gives_its_place_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
