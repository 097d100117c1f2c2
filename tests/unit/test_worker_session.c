/*
 * The worker's session on simulated time. Each test reads as a timeline: at(ms) is the clock, expect() the actions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "proto/wire/message.h"
#include "worker/session.h"

#define INTERVAL 5000
#define CEILING 5000

static struct hb_session session;
static hb_mono_ms now;
static uint32_t next_random;

static unsigned step(enum hb_session_input_kind kind, unsigned address_count, int close_code)
{
    struct hb_session_input input = {
        .kind = kind, .address_count = address_count, .close_code = close_code, .random = next_random};
    return hb_session_step(&session, &input, now);
}

static unsigned on(enum hb_session_input_kind kind)
{
    return step(kind, 1, 0);
}

static unsigned closed(int code)
{
    return step(HB_SESSION_CLOSED, 0, code);
}

static unsigned at(int64_t ms)
{
    now.ms = ms;
    return on(HB_SESSION_TICK);
}

static unsigned at_deadline(void)
{
    return at(hb_session_deadline(&session).ms);
}

static void begin_with(struct hb_session_config config)
{
    now.ms = 1000000;
    next_random = 0;
    hb_session_init(&session, &config);
}

static struct hb_session_config plain(void)
{
    return (struct hb_session_config){.interval_ms = INTERVAL, .reconnect_max_ms = CEILING};
}

static void go_online(void)
{
    assert_int_equal(on(session.state == HB_SESSION_IDLE ? HB_SESSION_START : HB_SESSION_TICK), HB_SESSION_DO_RESOLVE);
    assert_int_equal(on(HB_SESSION_RESOLVED), HB_SESSION_DO_REGISTER);
    assert_int_equal(on(HB_SESSION_REGISTERED), HB_SESSION_DO_CONNECT);
    assert_int_equal(on(HB_SESSION_CONNECTED) & ~(unsigned)HB_SESSION_DO_SEND_BEAT, 0);
    assert_int_equal(session.state, HB_SESSION_ONLINE);
}

static int64_t delay(void)
{
    assert_int_equal(session.state, HB_SESSION_WAITING);
    return hb_session_deadline(&session).ms - now.ms;
}

/* --- beats ------------------------------------------------------------------------------------------------------- */

static void test_first_beat_at_once(void **state)
{
    (void)state;
    begin_with(plain());
    assert_int_equal(hb_session_deadline(&session).ms, HB_MONO_NEVER.ms);
    assert_int_equal(on(HB_SESSION_START), HB_SESSION_DO_RESOLVE);
    assert_int_equal(on(HB_SESSION_RESOLVED), HB_SESSION_DO_REGISTER);
    assert_int_equal(on(HB_SESSION_REGISTERED), HB_SESSION_DO_CONNECT);
    assert_int_equal(on(HB_SESSION_CONNECTED), HB_SESSION_DO_SEND_BEAT);
    assert_int_equal(hb_session_deadline(&session).ms, now.ms + INTERVAL);
}

static void test_cadence_does_not_drift(void **state)
{
    (void)state;
    begin_with(plain());
    go_online();
    int64_t start = now.ms;
    for (int i = 1; i <= 1000; i++) { /* each turn 7 ms late */
        assert_int_equal(at(start + (int64_t)i * INTERVAL - 1), 0);
        assert_int_equal(at(start + (int64_t)i * INTERVAL + 7), HB_SESSION_DO_SEND_BEAT);
        assert_int_equal(hb_session_deadline(&session).ms, start + (int64_t)(i + 1) * INTERVAL);
    }
}

static void test_no_burst_after_a_pause(void **state)
{
    (void)state;
    begin_with(plain());
    go_online();
    int64_t start = now.ms;
    assert_int_equal(at(start + 10 * INTERVAL + 300), HB_SESSION_DO_SEND_BEAT);
    assert_int_equal(at(start + 10 * INTERVAL + 301), 0);
    assert_int_equal(hb_session_deadline(&session).ms, start + 11 * INTERVAL);
}

static void test_frozen_goes_silent_and_keeps_its_socket(void **state)
{
    (void)state;
    struct hb_session_config config = plain();
    config.beats_max = 3;
    begin_with(config);
    go_online();
    assert_int_equal(at_deadline(), HB_SESSION_DO_SEND_BEAT);
    assert_int_equal(at_deadline(), HB_SESSION_DO_SEND_BEAT);
    for (int i = 0; i < 100; i++)
        assert_int_equal(at_deadline(), 0);
    assert_int_equal(session.state, HB_SESSION_ONLINE);
    closed(HB_CLOSE_ABNORMAL);
    now = hb_session_deadline(&session);
    go_online();
    assert_int_equal(session.beats_sent, 3); /* still silent on the next socket */
}

static void test_flapping_drops_its_socket_and_returns(void **state)
{
    (void)state;
    struct hb_session_config config = plain();
    config.online_max_ms = 4000;
    begin_with(config);
    go_online();
    int64_t start = now.ms;
    assert_int_equal(hb_session_deadline(&session).ms, start + 4000);
    assert_int_equal(at(start + 3999), 0);
    assert_int_equal(at(start + 4000), HB_SESSION_DO_ABORT);
    assert_int_equal(delay(), 0); /* random 0 */
    assert_int_equal(at_deadline(), HB_SESSION_DO_RESOLVE);
}

/* --- attempts and back-off --------------------------------------------------------------------------------------- */

/* One failed attempt; returns the delay that follows. */
static int64_t fail_once(uint32_t random)
{
    if (session.state == HB_SESSION_IDLE)
        assert_int_equal(on(HB_SESSION_START), HB_SESSION_DO_RESOLVE);
    else
        assert_int_equal(at_deadline(), HB_SESSION_DO_RESOLVE);
    next_random = random;
    assert_int_equal(on(HB_SESSION_RESOLVE_FAILED), 0);
    return delay();
}

static void test_backoff_is_full_jitter_under_a_doubling_ceiling(void **state)
{
    static const int64_t ceilings[] = {500, 1000, 2000, 4000, 5000, 5000, 5000};
    (void)state;
    begin_with(plain());
    for (size_t i = 0; i < sizeof ceilings / sizeof ceilings[0]; i++)
        assert_int_equal(fail_once(UINT32_MAX), ceilings[i]); /* the largest draw */
    assert_int_equal(fail_once(0), 0);                        /* the smallest */
    int64_t middle = fail_once(UINT32_MAX / 2);
    assert_true(middle >= 2499 && middle <= 2501);
    for (int i = 0; i < 10000; i++) /* never beyond, however long it fails */
        assert_int_equal(fail_once(UINT32_MAX), CEILING);
}

static void test_small_ceiling_caps_the_first_delay(void **state)
{
    (void)state;
    struct hb_session_config config = plain();
    config.reconnect_max_ms = 100;
    begin_with(config);
    assert_int_equal(fail_once(UINT32_MAX), 100);
    assert_int_equal(fail_once(UINT32_MAX), 100);
}

static void test_each_way_to_fail_backs_off(void **state)
{
    (void)state;
    begin_with(plain());
    on(HB_SESSION_START);
    on(HB_SESSION_RESOLVED);
    assert_int_equal(on(HB_SESSION_REGISTER_REFUSED), 0);
    delay();
    at_deadline();
    on(HB_SESSION_RESOLVED);
    on(HB_SESSION_REGISTERED);
    assert_int_equal(on(HB_SESSION_CONNECT_FAILED), 0);
    delay();
    at_deadline();
    on(HB_SESSION_RESOLVED);
    assert_int_equal(on(HB_SESSION_REGISTER_FAILED), 0); /* the only address */
    delay();
    assert_int_equal(session.failures, 3);
}

static void test_attempt_has_one_deadline_for_all_its_parts(void **state)
{
    (void)state;
    for (int reached = HB_SESSION_RESOLVING; reached <= HB_SESSION_CONNECTING; reached++) {
        begin_with(plain());
        int64_t start = now.ms;
        on(HB_SESSION_START);
        now.ms += 1000;
        if (reached >= HB_SESSION_REGISTERING)
            on(HB_SESSION_RESOLVED);
        now.ms += 1000;
        if (reached >= HB_SESSION_CONNECTING)
            on(HB_SESSION_REGISTERED);
        assert_int_equal(session.state, reached);
        assert_int_equal(hb_session_deadline(&session).ms, start + HB_SESSION_ATTEMPT_MS);
        assert_int_equal(at(start + HB_SESSION_ATTEMPT_MS - 1), 0);
        assert_int_equal(at(start + HB_SESSION_ATTEMPT_MS), HB_SESSION_DO_ABORT);
        assert_int_equal(session.state, HB_SESSION_WAITING);
    }
}

static void test_whole_address_list_is_tried(void **state)
{
    (void)state;
    begin_with(plain());
    on(HB_SESSION_START);
    assert_int_equal(step(HB_SESSION_RESOLVED, 3, 0), HB_SESSION_DO_REGISTER);
    assert_int_equal(session.address, 0);
    assert_int_equal(on(HB_SESSION_REGISTER_FAILED), HB_SESSION_DO_REGISTER);
    assert_int_equal(session.address, 1);
    assert_int_equal(on(HB_SESSION_REGISTER_FAILED), HB_SESSION_DO_REGISTER);
    assert_int_equal(session.address, 2);
    assert_int_equal(on(HB_SESSION_REGISTERED), HB_SESSION_DO_CONNECT);
    assert_int_equal(session.address, 2); /* connects where it registered */
}

static void test_silent_address_leaves_time_for_the_next(void **state)
{
    (void)state;
    begin_with(plain());
    int64_t start = now.ms;
    on(HB_SESSION_START);
    step(HB_SESSION_RESOLVED, 2, 0);
    assert_int_equal(hb_session_deadline(&session).ms, start + HB_SESSION_ATTEMPT_MS / 2);
    assert_int_equal(at_deadline(), HB_SESSION_DO_ABORT | HB_SESSION_DO_REGISTER);
    assert_int_equal(session.address, 1);
    assert_int_equal(hb_session_deadline(&session).ms, start + HB_SESSION_ATTEMPT_MS);
    assert_int_equal(at_deadline(), HB_SESSION_DO_ABORT);
    assert_int_equal(session.state, HB_SESSION_WAITING);
}

static void test_refusal_does_not_try_other_addresses(void **state)
{
    (void)state;
    begin_with(plain());
    on(HB_SESSION_START);
    step(HB_SESSION_RESOLVED, 3, 0);
    assert_int_equal(on(HB_SESSION_REGISTER_REFUSED), 0);
    assert_int_equal(session.state, HB_SESSION_WAITING);
}

/* --- losses ------------------------------------------------------------------------------------------------------ */

static void test_close_codes(void **state)
{
    static const struct {
        int code;
        int64_t smallest, largest;
    } cases[] = {
        {HB_CLOSE_RESTART, 0, 500},       {HB_CLOSE_REPLACED, CEILING, CEILING},
        {HB_CLOSE_REMOVED, 10000, 10000}, {HB_CLOSE_CONFLICT, 60000, 60000},
        {HB_CLOSE_ABNORMAL, 0, 500},      {HB_CLOSE_NORMAL, 0, 500},
        {HB_CLOSE_GOING_AWAY, 0, 500},    {HB_CLOSE_POLICY, 0, 500},
        {HB_CLOSE_TOO_BIG, 0, 500},       {HB_CLOSE_BAD_UTF8, 0, 500},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int largest = 0; largest <= 1; largest++) {
            begin_with(plain());
            go_online();
            now.ms += 60000;
            next_random = largest ? UINT32_MAX : 0;
            assert_int_equal(closed(cases[i].code), 0);
            assert_int_equal(delay(), largest ? cases[i].largest : cases[i].smallest);
            assert_int_equal(at_deadline(), HB_SESSION_DO_RESOLVE); /* registers before each connect */
        }
    }
}

static void test_connection_that_lasted_forgets_failures(void **state)
{
    (void)state;
    begin_with(plain());
    for (int i = 0; i < 6; i++)
        fail_once(UINT32_MAX);
    now = hb_session_deadline(&session);
    go_online();
    now.ms += CEILING;
    closed(HB_CLOSE_ABNORMAL);
    assert_int_equal(delay(), 500);
}

static void test_connection_dropped_at_once_keeps_backing_off(void **state)
{
    static const int64_t ceilings[] = {500, 1000, 2000, 4000, 5000};
    (void)state;
    begin_with(plain());
    for (size_t i = 0; i < sizeof ceilings / sizeof ceilings[0]; i++) {
        next_random = UINT32_MAX;
        go_online();
        closed(HB_CLOSE_POLICY);
        assert_int_equal(delay(), ceilings[i]);
        now = hb_session_deadline(&session);
    }
}

static void test_reports_that_come_too_late_change_nothing(void **state)
{
    static const enum hb_session_input_kind late[] = {
        HB_SESSION_START,      HB_SESSION_RESOLVED,        HB_SESSION_RESOLVE_FAILED,
        HB_SESSION_REGISTERED, HB_SESSION_REGISTER_FAILED, HB_SESSION_REGISTER_REFUSED,
        HB_SESSION_CONNECTED,  HB_SESSION_CONNECT_FAILED,  HB_SESSION_CLOSED,
    };
    (void)state;
    begin_with(plain());
    go_online();
    for (size_t i = 0; i + 1 < sizeof late / sizeof late[0]; i++) /* all but the close, which is real here */
        assert_int_equal(on(late[i]), 0);
    assert_int_equal(session.state, HB_SESSION_ONLINE);
    closed(HB_CLOSE_ABNORMAL);
    next_random = UINT32_MAX;
    hb_mono_ms retry_at = hb_session_deadline(&session);
    for (size_t i = 0; i < sizeof late / sizeof late[0]; i++)
        assert_int_equal(on(late[i]), 0);
    assert_int_equal(session.state, HB_SESSION_WAITING);
    assert_int_equal(hb_session_deadline(&session).ms, retry_at.ms);
}

/* --- leaving ----------------------------------------------------------------------------------------------------- */

static void test_bye_and_the_managers_close(void **state)
{
    (void)state;
    begin_with(plain());
    go_online();
    assert_int_equal(on(HB_SESSION_STOP_REQUESTED), HB_SESSION_DO_SEND_BYE);
    assert_int_equal(closed(HB_CLOSE_NORMAL), HB_SESSION_DO_STOP);
    assert_int_equal(session.state, HB_SESSION_STOPPED);
    assert_int_equal(hb_session_deadline(&session).ms, HB_MONO_NEVER.ms);
    assert_int_equal(on(HB_SESSION_STOP_REQUESTED), 0);
}

static void test_bye_without_an_answer_ends_within_half_a_second(void **state)
{
    (void)state;
    begin_with(plain());
    go_online();
    int64_t start = now.ms;
    on(HB_SESSION_STOP_REQUESTED);
    assert_int_equal(at(start + HB_SESSION_BYE_MS - 1), 0);
    assert_int_equal(at(start + HB_SESSION_BYE_MS), HB_SESSION_DO_CLOSE);
    assert_int_equal(at_deadline(), HB_SESSION_DO_ABORT | HB_SESSION_DO_STOP);
    assert_true(now.ms - start <= 500);
}

static void test_own_close_answered(void **state)
{
    (void)state;
    begin_with(plain());
    go_online();
    on(HB_SESSION_STOP_REQUESTED);
    assert_int_equal(at_deadline(), HB_SESSION_DO_CLOSE);
    assert_int_equal(closed(HB_CLOSE_NORMAL), HB_SESSION_DO_STOP);
}

static void test_stop_while_offline(void **state)
{
    (void)state;
    begin_with(plain());
    on(HB_SESSION_START);
    assert_int_equal(on(HB_SESSION_STOP_REQUESTED), HB_SESSION_DO_ABORT | HB_SESSION_DO_STOP);
    begin_with(plain());
    fail_once(UINT32_MAX);
    assert_int_equal(on(HB_SESSION_STOP_REQUESTED), HB_SESSION_DO_STOP);
    begin_with(plain());
    assert_int_equal(on(HB_SESSION_STOP_REQUESTED), HB_SESSION_DO_STOP); /* before it ever started */
}

static void test_second_signal_stops_at_once(void **state)
{
    (void)state;
    begin_with(plain());
    go_online();
    on(HB_SESSION_STOP_REQUESTED);
    assert_int_equal(on(HB_SESSION_STOP_REQUESTED), HB_SESSION_DO_ABORT | HB_SESSION_DO_STOP);
    struct hb_session_config config = plain();
    config.drain_ms = 30000;
    begin_with(config);
    go_online();
    assert_int_equal(on(HB_SESSION_STOP_REQUESTED), HB_SESSION_DO_SEND_BEAT);
    assert_int_equal(on(HB_SESSION_STOP_REQUESTED), HB_SESSION_DO_ABORT | HB_SESSION_DO_STOP);
}

static void test_drain_beats_on_then_says_bye(void **state)
{
    (void)state;
    struct hb_session_config config = plain();
    config.drain_ms = 12000;
    begin_with(config);
    go_online();
    int64_t online = now.ms;
    now.ms += 1000;
    assert_int_equal(on(HB_SESSION_STOP_REQUESTED), HB_SESSION_DO_SEND_BEAT); /* says draining at once */
    assert_true(session.draining);
    assert_int_equal(at(online + 5000), HB_SESSION_DO_SEND_BEAT);
    assert_int_equal(at(online + 10000), HB_SESSION_DO_SEND_BEAT);
    assert_int_equal(hb_session_deadline(&session).ms, online + 13000);
    assert_int_equal(at(online + 13000), HB_SESSION_DO_SEND_BYE);
    assert_int_equal(closed(HB_CLOSE_NORMAL), HB_SESSION_DO_STOP);
}

static void test_drain_survives_a_lost_socket(void **state)
{
    (void)state;
    struct hb_session_config config = plain();
    config.drain_ms = 12000;
    begin_with(config);
    go_online();
    on(HB_SESSION_STOP_REQUESTED);
    int64_t start = now.ms;
    now.ms += 1000;
    closed(HB_CLOSE_ABNORMAL);
    now = hb_session_deadline(&session);
    assert_int_equal(on(HB_SESSION_TICK), HB_SESSION_DO_RESOLVE);
    on(HB_SESSION_RESOLVED);
    on(HB_SESSION_REGISTERED);
    assert_int_equal(on(HB_SESSION_CONNECTED), HB_SESSION_DO_SEND_BEAT);
    assert_true(session.draining); /* so that this beat says draining too */
    assert_int_equal(at(start + 12000), HB_SESSION_DO_SEND_BYE);
}

static void test_drain_ends_offline_too(void **state)
{
    (void)state;
    struct hb_session_config config = plain();
    config.drain_ms = 12000;
    begin_with(config);
    go_online();
    closed(HB_CLOSE_CONFLICT); /* waits 60 s */
    int64_t start = now.ms;
    assert_int_equal(on(HB_SESSION_STOP_REQUESTED), 0);
    assert_int_equal(hb_session_deadline(&session).ms, start + 12000);
    assert_int_equal(at_deadline(), HB_SESSION_DO_STOP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_beat_at_once),
        cmocka_unit_test(test_cadence_does_not_drift),
        cmocka_unit_test(test_no_burst_after_a_pause),
        cmocka_unit_test(test_frozen_goes_silent_and_keeps_its_socket),
        cmocka_unit_test(test_flapping_drops_its_socket_and_returns),
        cmocka_unit_test(test_backoff_is_full_jitter_under_a_doubling_ceiling),
        cmocka_unit_test(test_small_ceiling_caps_the_first_delay),
        cmocka_unit_test(test_each_way_to_fail_backs_off),
        cmocka_unit_test(test_attempt_has_one_deadline_for_all_its_parts),
        cmocka_unit_test(test_whole_address_list_is_tried),
        cmocka_unit_test(test_silent_address_leaves_time_for_the_next),
        cmocka_unit_test(test_refusal_does_not_try_other_addresses),
        cmocka_unit_test(test_close_codes),
        cmocka_unit_test(test_connection_that_lasted_forgets_failures),
        cmocka_unit_test(test_connection_dropped_at_once_keeps_backing_off),
        cmocka_unit_test(test_reports_that_come_too_late_change_nothing),
        cmocka_unit_test(test_bye_and_the_managers_close),
        cmocka_unit_test(test_bye_without_an_answer_ends_within_half_a_second),
        cmocka_unit_test(test_own_close_answered),
        cmocka_unit_test(test_stop_while_offline),
        cmocka_unit_test(test_second_signal_stops_at_once),
        cmocka_unit_test(test_drain_beats_on_then_says_bye),
        cmocka_unit_test(test_drain_survives_a_lost_socket),
        cmocka_unit_test(test_drain_ends_offline_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
