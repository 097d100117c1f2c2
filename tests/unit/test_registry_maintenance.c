/*
 * registry, maintenance: out of traffic without a change of status, for a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/timeline.h"

static void takes_it_out_and_puts_it_back(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(1, "maintain w1 ttl=100 reason=upgrade");
    expect("w1 alive (maintenance) server:down");
    row("w1", "status=alive serving=no maintenance=yes until=101.000 words=upgrade announced=down");
    at(2, "beat w1/s1");
    at(3, "maintain w1 off");
    expect("w1 alive (maintenance) server:recovery");
    row("w1", "serving=yes maintenance=no until=0.000 words=-");
    at(4, "maintain w1 off"); /* again: nothing to tell */
    heard("w1", "up down recovery");
    at(4, "remove w1");
    expect("close s1 4001");
    expect("w1 alive -> removed (removed) server:removed");
}

static void ends_by_itself(void **state)
{
    (void)state;
    given("timeout=60");
    comes_up(0, "w1/s1");
    at(1, "maintain w1 ttl=10");
    expect("w1 alive (maintenance) server:down");
    later(11, "w1 alive (maintenance) server:recovery");
    row("w1", "serving=yes maintenance=no");
    heard("w1", "up down recovery");
    later(60.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
}

static void a_second_one_replaces_the_first(void **state)
{
    (void)state;
    given("timeout=60");
    comes_up(0, "w1/s1");
    at(1, "maintain w1 ttl=10 reason=first");
    expect("w1 alive (maintenance) server:down");
    at(2, "maintain w1 ttl=30");
    row("w1", "maintenance=yes until=32.000 words=-");
    at(3, "maintain w1 ttl=2 reason=last");
    row("w1", "until=5.000 words=last");
    later(5, "w1 alive (maintenance) server:recovery");
    heard("w1", "up down recovery");
    later(60.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
}

static void status_goes_on_meanwhile(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(1, "maintain w1 ttl=100");
    expect("w1 alive (maintenance) server:down");
    later(15.001, "w1 alive -> not_responding (heartbeat_timeout)");
    at(20, "beat w1/s1");
    expect("w1 not_responding -> alive (beat)");
    row("w1", "serving=no announced=down");
    at(21, "close w1/s1");
    expect("w1 alive -> disconnected (connection_closed)");
    later(35.001, "w1 disconnected -> not_responding (connection_closed)");
    later(101, "w1 not_responding (maintenance)"); /* over, but there is nobody to serve */
    heard("w1", "up down");
}

static void survives_registration_and_sockets(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(1, "maintain w1 ttl=100");
    expect("w1 alive (maintenance) server:down");
    at(2, "register w1 :9001");
    expect("w1 alive (address_changed)");
    at(3, "open w1/s2");
    expect("close s1 4000");
    at(4, "beat w1/s2 alive");
    row("w1", "maintenance=yes serving=no port=9001");
    heard("w1", "up down");
    at(5, "maintain w1 off");
    expect("w1 alive (maintenance) server:recovery");
    at(5, "beat w1/s2 bye");
    expect("close s2 1000");
    expect("w1 alive -> disconnected (goodbye) server:down");
    later(19.001, "w1 disconnected -> not_responding (goodbye)");
}

static void does_not_survive_removal(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(1, "maintain w1 ttl=100");
    expect("w1 alive (maintenance) server:down");
    at(2, "remove w1");
    expect("close s1 4001");
    expect("w1 alive -> removed (removed)");
    at(3, "maintain w1 ttl=100");
    expect("! unknown");
    at(4, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    row("w1", "maintenance=no");
    later(19.001, "w1 registered -> not_responding (never_beat)");
}

static void one_that_never_served_is_not_announced_down(void **state)
{
    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(1, "maintain w1 ttl=5");
    expect("w1 registered (maintenance)");
    at(2, "open w1/s1");
    expect("w1 registered -> connected (socket_opened)");
    at(2, "beat w1/s1");
    expect("w1 connected -> alive (beat)");
    later(6, "w1 alive (maintenance) server:up");
    heard("w1", "up");
    later(17.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
}

static void nobody_knows_it(void **state)
{
    (void)state;
    at(0, "maintain w1 ttl=5");
    expect("! unknown");
    at(1, "open w2/s1"); /* a nameless socket has no row either */
    at(2, "maintain w2 ttl=5");
    expect("! unknown");
    at(3, "close w2/s1");
}

static void ends_a_hold(void **state)
{
    (void)state;
    given("grace=8");
    comes_up(0, "w1/s1");
    at(1, "close w1/s1");
    expect("w1 alive -> disconnected (connection_closed)"); /* serving is held */
    at(2, "maintain w1 ttl=3");
    expect("w1 disconnected (maintenance) server:down");
    between(5, 9, "w1 disconnected (maintenance)"); /* not back in traffic: it was taken out while nobody vouched */
    heard("w1", "up down");
    later(15.001, "w1 disconnected -> not_responding (connection_closed)");
}

static void is_restored_with_what_is_left(void **state)
{
    (void)state;
    at(100, "restore w1 :8001 host=h status=alive announced=down maintenance until=130 words=disks heard=99");
    row("w1", "maintenance=yes until=130.000 words=disks serving=no unverified=yes");
    at(101, "open w1/s1");
    at(102, "beat w1/s1");
    row("w1", "serving=no unverified=no");
    at(116, "beat w1/s1");
    at(129, "beat w1/s1");
    later(130, "w1 alive (maintenance) server:recovery");
    later(144.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
}

static void is_over_when_restored_too_late(void **state)
{
    (void)state;
    at(100, "restore w1 :8001 status=not_responding announced=down maintenance until=90 heard=1");
    later(100, "w1 not_responding (maintenance)");
    row("w1", "maintenance=no serving=no");
}

static void a_row_without_its_end_has_the_longest(void **state)
{
    (void)state;
    at(100, "restore w1 :8001 status=not_responding announced=down maintenance heard=1");
    row("w1", "maintenance=yes until=86500.000");
    at(101, "restore w2 :8001 status=not_responding announced=down maintenance until=1000000 heard=1");
    row("w2", "maintenance=yes until=86501.000");
    at(102, "maintain w1 off");
    expect("w1 not_responding (maintenance)");
    at(102, "maintain w2 off");
    expect("w2 not_responding (maintenance)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENARIO(takes_it_out_and_puts_it_back),
        SCENARIO(ends_by_itself),
        SCENARIO(a_second_one_replaces_the_first),
        SCENARIO(status_goes_on_meanwhile),
        SCENARIO(survives_registration_and_sockets),
        SCENARIO(does_not_survive_removal),
        SCENARIO(one_that_never_served_is_not_announced_down),
        SCENARIO(nobody_knows_it),
        SCENARIO(ends_a_hold),
        SCENARIO(is_restored_with_what_is_left),
        SCENARIO(is_over_when_restored_too_late),
        SCENARIO(a_row_without_its_end_has_the_longest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
