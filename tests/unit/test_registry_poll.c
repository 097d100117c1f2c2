/*
 * registry, polling: ready and health as they are, serving by fall and rise, presence of those that cannot beat.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/script.h"
#include "tests/unit/timeline.h"

/* Turns that the scenario is not about: the registered one's first poll, and its answer. */
#define FIRST_POLL(id, answer)                                                                                         \
    do {                                                                                                               \
        at(0, "register " id " url=http://h:9000/");                                                                   \
        expect(id " unknown -> registered (registered)");                                                              \
        expect("poll " id);                                                                                            \
        at(0, "polled " id " " answer);                                                                                \
    } while (0)

static void one_answer_is_enough_for_a_newcomer(void **state)
{
    (void)state;
    given("polling poll=1000");
    FIRST_POLL("w1", "200");
    expect("w1 registered -> alive (poll) server:up");
    row("w1", "status=alive ready=yes health=healthy serving=yes beats=no heard=0.000");
}

static void what_each_answer_means(void **state)
{
    static const struct {
        const char *answer, *row;
    } cases[] = {
        {"200", "ready=yes health=healthy"},
        {"200 requests=100 errors=10", "ready=yes health=healthy requests=100 errors=10"},
        {"200 requests=100 errors=11", "ready=yes health=degraded"},
        {"200 requests=0 errors=0", "ready=yes health=healthy"},
        {"200 requests=0 errors=5", "ready=yes health=healthy"}, /* no rate to speak of */
        {"answered", "ready=yes health=healthy"},                /* tcp:// took the connection */
        {"204", "ready=no health=unhealthy"},
        {"301", "ready=no health=unhealthy"},
        {"404", "ready=no health=unhealthy"},
        {"500 requests=100 errors=0", "ready=no health=unhealthy"},
        {"503", "ready=no health=unhealthy"},
        {"refused", "ready=no health=dead"},
        {"unreachable", "ready=no health=dead"},
        {"timed_out", "ready=no health=dead"},
        {"unresolved", "ready=no health=dead"},
        {"tls_failed", "ready=no health=dead"},
        {"blocked", "ready=no health=dead"},
        {"broken", "ready=no health=dead"},
    };
    char line[128], id[8];

    (void)state;
    given("polling poll=1000 concurrency=100");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(id, sizeof id, "w%zu", i);
        snprintf(line, sizeof line, "register %s url=http://h:%zu/", id, 9000 + i);
        at(0, line);
        expect("w* (*)*");
        expect("poll w*");
        snprintf(line, sizeof line, "polled %s %s", id, cases[i].answer);
        at(0, line);
        expect("w* (poll)*");
        row(id, cases[i].row);
    }
}

static void a_degraded_one_still_serves(void **state)
{
    (void)state;
    given("polling poll=1000");
    FIRST_POLL("w1", "200 requests=10 errors=9");
    expect("w1 registered -> alive (poll) server:up");
    row("w1", "health=degraded serving=yes");
}

/* Up at 0, its next poll under way at 1000. */
static void up_and_polled_at_1000(void)
{
    given("polling poll=1000 fast=1 fall=3 rise=2");
    FIRST_POLL("w1", "200");
    expect("w1 registered -> alive (poll) server:up");
    between(0.001, 1000, "poll w1");
}

static void raw_at_once_serving_by_and_by(void **state)
{
    (void)state;
    up_and_polled_at_1000();
    at(1000, "polled w1 503");
    expect("w1 alive (poll)");
    row("w1", "ready=no health=unhealthy serving=yes status=alive");
    later(1001, "poll w1"); /* it differs: looked at again soon */
    at(1001, "polled w1 500");
    later(1002, "poll w1");
    at(1002, "polled w1 503");
    expect("w1 alive (poll) server:down"); /* there, but not well */
    between(1010, 2002, "poll w1");        /* decided: at its next turn */
    at(2010, "polled w1 200");
    expect("w1 alive (poll)");
    row("w1", "ready=yes health=healthy serving=no");
    later(2011, "poll w1");
    at(2011, "polled w1 200");
    expect("w1 alive (poll) server:recovery");
    heard("w1", "up down recovery");
}

static void a_relapse_counts_from_the_start(void **state)
{
    (void)state;
    up_and_polled_at_1000();
    at(1000, "polled w1 503");
    expect("w1 alive (poll)");
    later(1001, "poll w1");
    at(1001, "polled w1 503");
    later(1002, "poll w1");
    at(1002, "polled w1 200");
    expect("w1 alive (poll)");
    between(1010, 2002, "poll w1"); /* well again: no hurry */
    at(2010, "polled w1 503");
    expect("w1 alive (poll)");
    later(2011, "poll w1");
    at(2011, "polled w1 503");
    row("w1", "serving=yes");
    heard("w1", "up");
}

static void silence_of_one_that_is_only_polled(void **state)
{
    (void)state;
    up_and_polled_at_1000();
    at(1000, "polled w1 refused");
    expect("w1 alive (poll)");
    row("w1", "health=dead ready=no status=alive serving=yes heard=0.000");
    later(1001, "poll w1");
    at(1001, "polled w1 timed_out");
    later(1002, "poll w1");
    at(1002, "polled w1 unreachable");
    expect("w1 alive -> not_responding (poll) server:down");
    between(1010, 2002, "poll w1");
    at(2010, "polled w1 200");
    expect("w1 not_responding -> alive (poll)"); /* there at once, serving after two */
    later(2011, "poll w1");
    at(2011, "polled w1 200");
    expect("w1 alive (poll) server:recovery");
}

static void any_answer_is_presence(void **state)
{
    (void)state;
    up_and_polled_at_1000();
    at(1000, "polled w1 refused");
    expect("w1 alive (poll)");
    later(1001, "poll w1");
    at(1001, "polled w1 refused");
    later(1002, "poll w1");
    at(1002, "polled w1 500");
    expect("w1 alive (poll) server:down"); /* the third that is not ready, but not silent */
    row("w1", "status=alive health=unhealthy");
}

static void one_that_never_answers(void **state)
{
    (void)state;
    given("polling poll=1000 fast=1 fall=3");
    FIRST_POLL("w1", "refused");
    expect("w1 registered (poll)");
    row("w1", "health=dead status=registered");
    later(1, "poll w1");
    at(1, "polled w1 refused");
    later(2, "poll w1");
    at(2, "polled w1 refused");
    expect("w1 registered -> not_responding (poll)");
    heard("w1", "");
}

/* Beats and polls: both count, neither overwrites the other. */
static void one_that_beats_too(void **state)
{
    (void)state;
    given("polling poll=1000 fast=1 timeout=4000");
    FIRST_POLL("w1", "200");
    expect("w1 registered -> alive (poll) server:up");
    at(1, "open w1/s1");
    at(1, "beat w1/s1");
    between(2, 1000, "poll w1");
    at(1000, "polled w1 refused");
    expect("w1 alive (poll)");
    later(1001, "poll w1");
    at(1001, "polled w1 refused");
    later(1002, "poll w1");
    at(1002, "polled w1 refused");
    expect("w1 alive (poll) server:down");
    row("w1", "status=alive serving=no health=dead"); /* it beats: it is there */
    between(1010, 2002, "poll w1");
    at(2010, "polled w1 200");
    expect("w1 alive (poll)");
    later(2011, "poll w1");
    at(2011, "polled w1 200");
    expect("w1 alive (poll) server:recovery");
}

static void silent_on_its_socket_but_polls_succeed(void **state)
{
    (void)state;
    given("polling poll=1000 timeout=15");
    FIRST_POLL("w1", "200");
    expect("w1 registered -> alive (poll) server:up");
    at(1, "open w1/s1");
    at(1, "beat w1/s1");
    between(16.001, 16.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
    row("w1", "status=not_responding ready=yes health=healthy");
    assert_int_equal(hb_timeline_at(&timeline_worker("w1")->timeline, 2)->poll_code, 200);
}

static void a_new_address_is_polled_at_once(void **state)
{
    (void)state;
    given("polling poll=1000");
    FIRST_POLL("w1", "200");
    expect("w1 registered -> alive (poll) server:up");
    at(1, "register w1 url=http://h:9001/");
    expect("w1 alive (address_changed) server:up");
    expect("poll w1");
    at(2, "register w1 url=http://h:9002/"); /* while one is under way */
    expect("w1 alive (address_changed) server:up");
    at(3, "polled w1 503"); /* that of the old address: it means nothing, and only now comes the new one */
    expect("! stale");
    expect("poll w1");
    at(4, "polled w1 200");
    row("w1", "heard=4.000 ready=yes");
}

static void an_answer_to_what_nobody_asks_any_more(void **state)
{
    (void)state;
    given("polling poll=1000 concurrency=1");
    at(0, "register w1 url=http://h:9000/");
    expect("w1 unknown -> registered (registered)");
    expect("poll w1");
    at(1, "register w2 url=http://h:9001/");
    expect("w2 unknown -> registered (registered)"); /* one at a time: it waits */
    at(2, "remove w1");
    expect("w1 registered -> removed (removed)");
    at(3, "polled w1 200");
    expect("! stale");
    expect("poll w2"); /* but its place is free again */
    at(4, "polled w2 200");
    expect("w2 registered -> alive (poll) server:up");
}

static void what_a_service_says_of_itself(void **state)
{
    (void)state;
    given("polling poll=1000");
    FIRST_POLL("w1", "200 requests=7 errors=0 uptime=12.5 latency=1500 attributes={\"a\":1}");
    expect("w1 registered -> alive (poll) server:up");
    row("w1", "requests=7 errors=0 attributes={\"a\":1}");
    assert_int_equal(timeline_worker("w1")->poll->uptime_ms, 12500);
    assert_int_equal(timeline_worker("w1")->poll->latency_us, 1500);
    assert_int_equal(timeline_worker("w1")->poll->code, 200);
}

static void restored_ones_are_polled_at_once(void **state)
{
    (void)state;
    given("polling poll=1000 fast=1");
    at(0, "restore w1 url=http://h:1/ status=alive serving announced=up");
    expect("poll w1");
    row("w1", "serving=yes unverified=yes");
    at(0, "restore w2 url=http://h:2/ status=not_responding announced=down");
    expect("poll w2");
    at(1, "polled w1 200");
    expect("w1 alive (poll)");
    row("w1", "serving=yes unverified=no ready=yes");
    at(1, "polled w2 200");
    expect("w2 not_responding -> alive (poll)"); /* it was down: rises after two */
    later(2, "poll w2");
    at(2, "polled w2 200");
    expect("w2 alive (poll) server:recovery");
}

static void another_interval_counts_at_once(void **state)
{
    (void)state;
    given("polling poll=80000");
    FIRST_POLL("w1", "200");
    expect("w1 registered -> alive (poll) server:up");
    at(1, "register w1 poll_interval=5");
    expect("poll w1");
    at(1, "polled w1 200");
    between(1.001, 6, "poll w1");
}

/* However rarely it is polled: as long as it answers it is not forgotten. */
static void one_that_answers_is_not_reaped(void **state)
{
    (void)state;
    given("polling poll=1000 reap=100");
    FIRST_POLL("w1", "200");
    expect("w1 registered -> alive (poll) server:up");
    between(200, 1000, "poll w1");
    at(1000, "polled w1 200");
    row("w1", "heard=1000.000");
}

/* An answer to the end before last must not cut the grace of the last one short. */
static void a_probe_belongs_to_one_end(void **state)
{
    (void)state;
    given("polling grace=2");
    comes_up(0, "w1/s1");
    at(2, "close w1/s1");
    expect("probe w1");
    expect("w1 alive -> disconnected (connection_closed)");
    at(2.5, "open w1/s2");
    expect("w1 disconnected -> connected (socket_opened)");
    at(2.5, "beat w1/s2");
    expect("w1 connected -> alive (beat)");
    struct script late;
    struct hb_effects effects;
    assert_null(script_parse(&late, "probed w1 refused"));
    late.input.ticket = (uint64_t)(WATCH_MONO_START + 4000);
    at(3.5, "close w1/s2");
    expect("probe w1");
    expect("w1 alive -> disconnected (connection_closed)");
    assert_int_equal(watch_step(timeline_watch(), &late.input, timeline_moment(3.6), &effects), HB_ERR_STALE);
    at(3.7, "probed w1 refused");
    expect("w1 disconnected (probe_refused) server:down");
    later(17.501, "w1 disconnected -> not_responding (connection_closed)");
}

/* The ids that everybody uses: numbered ones. */
static void numbered_ids_are_spread(void **state)
{
    uint32_t tenths = 0;
    char line[96], id[32];

    (void)state;
    given("polling poll=1000 concurrency=0");
    for (unsigned i = 1; i <= 20; i++) {
        snprintf(id, sizeof id, "worker-%04u", i);
        snprintf(line, sizeof line, "register %s url=http://h:9000/", id);
        at(0, line);
        expect("worker-* unknown -> registered (registered)");
        tenths |= 1u << (timeline_worker(id)->poll->phase / (UINT32_MAX / 10 + 1));
    }
    assert_in_range(__builtin_popcount(tenths), 6, 10); /* of the ten parts of an interval, with 20 ids */
}

/* It registered before its row was read: it is up already, and one good poll is no recovery. */
static void joined_with_its_row_it_stays_up(void **state)
{
    (void)state;
    given("polling poll=1000 fast=1");
    at(0, "register w1 url=http://h:1/");
    expect("w1 unknown -> registered (registered)");
    expect("poll w1");
    at(0, "restore w1 url=http://h:1/ status=alive serving announced=up");
    expect("w1 registered (registered)");
    at(1, "polled w1 200");
    expect("w1 registered -> alive (poll)");
    row("w1", "serving=yes announced=up unverified=no");
    heard("w1", "");
}

static void restored_and_gone_it_falls_after_three(void **state)
{
    (void)state;
    given("polling poll=1000 fast=1");
    at(0, "restore w1 url=http://h:1/ status=alive serving announced=up");
    expect("poll w1");
    at(0, "polled w1 refused");
    expect("w1 alive (poll)");
    row("w1", "serving=yes unverified=no");
    later(1, "poll w1");
    at(1, "polled w1 refused");
    later(2, "poll w1");
    at(2, "polled w1 refused");
    expect("w1 alive -> not_responding (poll) server:down");
}

static void fixed_ones_are_never_reaped(void **state)
{
    (void)state;
    given("polling poll=10000 fast=0.5 reap=100 fall=1");
    at(0, "register w1 url=http://h:1/ fixed");
    expect("w1 unknown -> registered (registered)");
    expect("poll w1");
    at(0, "polled w1 refused");
    expect("w1 registered -> not_responding (poll)");
    at(0, "register w2 url=http://h:2/");
    expect("w2 unknown -> registered (registered)");
    expect("poll w2");
    at(0, "polled w2 refused");
    expect("w2 registered -> not_responding (poll)");
    later(100.001, "w2 not_responding -> removed (reaped)");
    at(100.001, "register w1 :1");                 /* also when others register it again */
    expect("w1 not_responding (address_changed)"); /* its url is the same: nothing to ask anew */
}

/* ---- confirm before condemning ---- */

static void a_refused_probe_ends_the_hold(void **state)
{
    (void)state;
    given("polling grace=2");
    comes_up(0, "w1/s1");
    at(1, "close w1/s1");
    expect("probe w1");
    expect("w1 alive -> disconnected (connection_closed)");
    row("w1", "serving=yes");
    at(1.1, "probed w1 refused");
    expect("w1 disconnected (probe_refused) server:down");
    at(1.2, "probed w1 refused");
    expect("! stale");
    later(15.001, "w1 disconnected -> not_responding (connection_closed)");
}

static void one_that_answers_waits_it_out(void **state)
{
    (void)state;
    given("polling grace=2");
    comes_up(0, "w1/s1");
    at(1, "close w1/s1");
    expect("probe w1");
    expect("w1 alive -> disconnected (connection_closed)");
    at(1.1, "probed w1 200");
    later(3, "w1 disconnected (connection_closed) server:down");
    later(15.001, "w1 disconnected -> not_responding (connection_closed)");
}

static void one_that_is_back_is_not_condemned(void **state)
{
    (void)state;
    given("polling grace=2");
    comes_up(0, "w1/s1");
    at(1, "close w1/s1");
    expect("probe w1");
    expect("w1 alive -> disconnected (connection_closed)");
    at(1.1, "open w1/s2");
    expect("w1 disconnected -> connected (socket_opened)");
    at(1.2, "probed w1 refused");
    expect("! stale");
    at(1.3, "beat w1/s2");
    expect("w1 connected -> alive (beat)");
    heard("w1", "up");
    later(16.301, "w1 alive -> not_responding (heartbeat_timeout) server:down");
}

static void nobody_is_probed_without_a_reason(void **state)
{
    (void)state;
    given("polling grace=2");
    comes_up(0, "w1/s1");
    at(1, "close w1/s1 1000"); /* a goodbye */
    expect("w1 alive -> disconnected (goodbye) server:down");
    at(1, "open w2/s2");
    at(1, "beat w2/s2");
    expect("w2 unknown -> alive (beat)");
    at(2, "close w2/s2"); /* no port: no address, not serving */
    expect("w2 alive -> disconnected (connection_closed)");
    at(2, "probed w3 refused");
    expect("! stale");
    later(15.001, "w1 disconnected -> not_responding (goodbye)");
    later(16.001, "w2 disconnected -> not_responding (connection_closed)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENARIO(one_answer_is_enough_for_a_newcomer),
        SCENARIO(what_each_answer_means),
        SCENARIO(a_degraded_one_still_serves),
        SCENARIO(raw_at_once_serving_by_and_by),
        SCENARIO(a_relapse_counts_from_the_start),
        SCENARIO(silence_of_one_that_is_only_polled),
        SCENARIO(any_answer_is_presence),
        SCENARIO(one_that_never_answers),
        SCENARIO(one_that_beats_too),
        SCENARIO(silent_on_its_socket_but_polls_succeed),
        SCENARIO(a_new_address_is_polled_at_once),
        SCENARIO(an_answer_to_what_nobody_asks_any_more),
        SCENARIO(what_a_service_says_of_itself),
        SCENARIO(restored_ones_are_polled_at_once),
        SCENARIO(another_interval_counts_at_once),
        SCENARIO(one_that_answers_is_not_reaped),
        SCENARIO(a_probe_belongs_to_one_end),
        SCENARIO(numbered_ids_are_spread),
        SCENARIO(joined_with_its_row_it_stays_up),
        SCENARIO(restored_and_gone_it_falls_after_three),
        SCENARIO(fixed_ones_are_never_reaped),
        SCENARIO(a_refused_probe_ends_the_hold),
        SCENARIO(one_that_answers_waits_it_out),
        SCENARIO(one_that_is_back_is_not_condemned),
        SCENARIO(nobody_is_probed_without_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
