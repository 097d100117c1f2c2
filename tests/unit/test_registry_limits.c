/*
 * registry, limits: what happens when all workers together say more than there is room for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/timeline.h"

#define TEN "0123456789"
#define FORTY TEN TEN TEN TEN

static void a_registration_beyond_the_budget_is_refused_whole(void **state)
{
    (void)state;
    given("texts=100"); /* each text counts its NUL */
    at(0, "register w1 :8001 name=" FORTY " host=h");
    expect("w1 unknown -> registered (registered)");
    at(1, "register w2 :8002 name=" FORTY TEN TEN " host=h");
    expect("! full");
    no_row("w2");
    at(1, "register w2 :8002 name=" FORTY " host=h");
    expect("w2 unknown -> registered (registered)");
    at(2, "register w1 :8001 name=" FORTY TEN TEN); /* what it has counts: 20 more is too much */
    expect("! full");
    row("w1", "name=" FORTY);
    at(3, "register w1 :8001 name=" FORTY TEN);
    row("w1", "name=" FORTY TEN);
    at(4, "register w1 :8001 name=short"); /* less is always possible, and makes room */
    at(5, "register w2 :8002 name=" FORTY TEN TEN TEN);
    row("w2", "name=" FORTY TEN TEN TEN);
    later(15.001, "w1 registered -> not_responding (never_beat)");
    later(16.001, "w2 registered -> not_responding (never_beat)");
}

static void a_socket_outlives_the_refusal_of_its_registration(void **state)
{
    (void)state;
    given("texts=20");
    at(0, "open w1/s1");
    at(1, "register w1 :8001 name=" FORTY);
    expect("! full");
    at(2, "register w1 :8001 name=one host=h poll_interval=5");
    expect("w1 unknown -> connected (registered)");
    row("w1", "poll_interval=5.000");
    at(3, "beat w1/s1");
    expect("w1 connected -> alive (beat) server:up");
    later(18.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
}

static void a_beat_counts_though_its_words_do_not_fit(void **state)
{
    (void)state;
    given("texts=60");
    at(0, "register w1 :8001 name=one host=h");
    expect("w1 unknown -> registered (registered)");
    at(1, "beat w1 attributes={\"zone\":\"a\"} metrics={\"cpu\":1}");
    expect("w1 registered -> alive (beat) server:up");
    row("w1", "attributes={\"zone\":\"a\"} metrics={\"cpu\":1}");
    at(10, "beat w1 attributes={\"zone\":\"" FORTY "\"} metrics={\"cpu\":1,\"memory\":" FORTY "} requests=7");
    row("w1", "attributes={\"zone\":\"a\"} metrics={\"cpu\":1} requests=7 heard=10.000");
    at(11, "beat w1 attributes={\"zone\":\"bb\"} metrics={\"cpu\":2}");
    row("w1", "attributes={\"zone\":\"bb\"} metrics={\"cpu\":2}");
    later(26.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
}

static void removed_ones_give_their_room_back(void **state)
{
    (void)state;
    given("texts=50");
    at(0, "register w1 :8001 name=" FORTY " host=h");
    expect("w1 unknown -> registered (registered)");
    at(1, "register w2 :8002 name=two host=h");
    expect("w2 unknown -> registered (registered)");
    at(1, "register w3 :8003 name=three host=h");
    expect("! full");
    at(2, "remove w1");
    expect("w1 registered -> removed (removed)");
    at(12, "register w3 :8003 name=" TEN TEN TEN " host=h"); /* 10 s later: its beats are no longer refused */
    expect("w3 unknown -> registered (registered)");
    at(12, "restore w4 :8004 host=h name=" TEN TEN " status=not_responding announced=down");
    expect("! full");
    at(12, "beat w5 name=" TEN TEN);
    expect("! full"); /* not even its name */
    no_row("w5");
    later(16.001, "w2 registered -> not_responding (never_beat)");
    later(27.001, "w3 registered -> not_responding (never_beat)");
}

static void freeing_nothing_is_fine(void **state)
{
    (void)state;
    hb_registry_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENARIO(a_registration_beyond_the_budget_is_refused_whole),
        SCENARIO(a_socket_outlives_the_refusal_of_its_registration),
        cmocka_unit_test(freeing_nothing_is_fine),
        SCENARIO(a_beat_counts_though_its_words_do_not_fit),
        SCENARIO(removed_ones_give_their_room_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
