/*
 * timeline of a worker: what it keeps, what it drops, what it may take, and how it reads as JSON.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "manager/app/timeline_view.h"
#include "tests/unit/timeline.h"

static const struct hb_transition *entry(const char *id, size_t place)
{
    const struct hb_timeline *timeline = &timeline_worker(id)->timeline;

    assert_in_range(place, 0, timeline->count - 1);
    return hb_timeline_at(timeline, place);
}

static uint64_t seq_of(const char *id, size_t place)
{
    return hb_timeline_seq(entry(id, place), timeline_worker(id)->seq);
}

/* From alive to disconnected and back, twice two transitions. */
static void flap(double seconds)
{
    at(seconds, "close w1/s1");
    expect("w1 alive -> disconnected (connection_closed)");
    at(seconds, "open w1/s1");
    expect("w1 disconnected -> connected (socket_opened)");
    at(seconds, "beat w1/s1");
    expect("w1 connected -> alive (beat)");
}

static void tells_what_and_why(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(4, "beat w1/s1");
    at(10, "close w1/s1 1001");
    expect("w1 alive -> disconnected (goodbye) server:down");
    later(19.001, "w1 disconnected -> not_responding (goodbye)");
    assert_int_equal(timeline_worker("w1")->timeline.count, 5);
    assert_int_equal(entry("w1", 0)->status, HB_STATUS_REGISTERED);
    assert_int_equal(entry("w1", 0)->previous, HB_STATUS_UNKNOWN);
    assert_int_equal(entry("w1", 2)->edge, HB_EDGE_UP);
    assert_true(entry("w1", 2)->serving);
    assert_int_equal(entry("w1", 3)->reason, HB_REASON_GOODBYE);
    assert_int_equal(entry("w1", 3)->close_code, 1001);
    assert_int_equal(entry("w1", 3)->silence_ms, 6000);
    assert_int_equal(entry("w1", 3)->edge, HB_EDGE_DOWN);
    assert_int_equal(entry("w1", 4)->silence_ms, 15001);
    assert_int_equal(entry("w1", 4)->at.ms, WATCH_WALL_START + 19001);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(seq_of("w1", i), i + 1);
}

static void keeps_the_last_of_many(void **state)
{
    (void)state;
    given("grace=10");
    comes_up(0, "w1/s1");
    for (int i = 0; i < 100; i++)
        flap(i * 0.01);
    assert_int_equal(timeline_worker("w1")->timeline.count, HB_TIMELINE_MAX);
    for (size_t i = 0; i < HB_TIMELINE_MAX; i++)
        assert_int_equal(seq_of("w1", i), 303 - HB_TIMELINE_MAX + 1 + i);
    later(15.991, "w1 alive -> not_responding (heartbeat_timeout) server:down");
    assert_int_equal(entry("w1", HB_TIMELINE_MAX - 1)->reason, HB_REASON_HEARTBEAT_TIMEOUT);
}

static void all_together_have_a_ceiling(void **state)
{
    (void)state;
    given("grace=10 timelines=240"); /* ten transitions: nine of w1, none left for w2 */
    comes_up(0, "w1/s1");
    flap(1);
    flap(2);
    assert_int_equal(timeline_worker("w1")->timeline.count, 6); /* the next size would be too much */
    assert_int_equal(seq_of("w1", 0), 4);
    at(3, "register w2 :8002");
    expect("w2 unknown -> registered (registered)");
    assert_int_equal(timeline_worker("w2")->timeline.count, 1);
    at(3, "register w3 :8003");
    expect("w3 unknown -> registered (registered)");
    assert_int_equal(timeline_worker("w3")->timeline.count, 0); /* no room at all: told, but not kept */
    at(4, "remove w1");                                         /* its timeline goes with its entry, 10 s later */
    expect("close s1 4001");
    expect("w1 alive -> removed (removed) server:removed");
    later(18.001, "w2 registered -> not_responding (never_beat)");
    expect("w3 registered -> not_responding (never_beat)");
    assert_int_equal(entry("w3", 0)->reason, HB_REASON_NEVER_BEAT);
    at(19, "beat w3");
    expect("w3 not_responding -> alive (beat) server:up");
    assert_int_equal(timeline_worker("w3")->timeline.count, 2);
    later(34.001, "w3 alive -> not_responding (heartbeat_timeout) server:down");
}

static void starts_anew_after_removal(void **state)
{
    (void)state;
    comes_up(0, "w1/s1");
    at(1, "remove w1");
    expect("close s1 4001");
    expect("w1 alive -> removed (removed) server:removed");
    at(2, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    assert_int_equal(timeline_worker("w1")->timeline.count, 1);
    assert_int_equal(seq_of("w1", 0), 5);
    later(17.001, "w1 registered -> not_responding (never_beat)");
}

static void a_very_long_silence_is_that_long_or_longer(void **state)
{
    (void)state;
    at(0, "register w1 :8001 host=h timeout=86400");
    expect("w1 unknown -> registered (registered)");
    at(1, "open w1/s1");
    expect("w1 registered -> connected (socket_opened)");
    later(86401.001, "w1 connected -> not_responding (never_beat)");
    at(5e6, "beat w1/s1");
    expect("w1 not_responding -> alive (beat) server:up");
    assert_int_equal(entry("w1", 3)->silence_ms, UINT32_MAX);
    later(5086400.001, "w1 alive -> not_responding (heartbeat_timeout) server:down");
}

static void whole_seqs_come_back(void **state)
{
    const struct hb_transition before_the_wrap = {.seq_low = UINT32_MAX - 1};
    const struct hb_transition after_it = {.seq_low = 1};

    (void)state;
    assert_int_equal(hb_timeline_seq(&before_the_wrap, 0x200000001), 0x1FFFFFFFE);
    assert_int_equal(hb_timeline_seq(&after_it, 0x200000001), 0x200000001);
}

static void reads_as_json(void **state)
{
    const char *wanted = "{\"worker_id\":\"w1\",\"transitions\":["
                         "{\"at\":\"2026-09-21T14:13:20.000Z\",\"status\":\"registered\",\"previous\":\"unknown\","
                         "\"reason\":\"registered\",\"serving\":false,\"ready\":false,\"health\":\"unknown\","
                         "\"evidence\":{\"silence\":0},\"epoch\":7,\"seq\":1},"
                         "{\"at\":\"2026-09-21T14:13:21.500Z\",\"status\":\"registered\",\"previous\":\"registered\","
                         "\"reason\":\"maintenance\",\"serving\":false,\"ready\":false,\"health\":\"unknown\","
                         "\"maintenance\":true,\"evidence\":{\"silence\":1.5},\"epoch\":7,\"seq\":2}]}";
    struct hb_buf json;

    (void)state;
    at(0, "register w1 :8001");
    expect("w1 unknown -> registered (registered)");
    at(1.5, "maintain w1 ttl=3600");
    expect("w1 registered (maintenance)");
    hb_buf_init(&json, 4096);
    hb_timeline_view(&json, timeline_worker("w1"), 7);
    assert_int_equal(hb_buf_status(&json), HB_OK);
    hb_buf_append_char(&json, '\0');
    assert_string_equal(json.bytes, wanted);
    hb_buf_free(&json);
    later(15.001, "w1 registered -> not_responding (never_beat)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENARIO(tells_what_and_why),
        SCENARIO(keeps_the_last_of_many),
        SCENARIO(all_together_have_a_ceiling),
        SCENARIO(starts_anew_after_removal),
        SCENARIO(a_very_long_silence_is_that_long_or_longer),
        SCENARIO(whole_seqs_come_back),
        SCENARIO(reads_as_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
