/*
 * time: formatting held against the C library day by day, reading back, and everything that must be refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proto/base/time.h"

#define FIRST_MS INT64_C(-62167219200000)
#define LAST_MS INT64_C(253402300799999)

static void assert_formats(int64_t ms, const char *expected)
{
    char text[HB_WALL_TEXT_SIZE];
    hb_wall_format((hb_wall_ms){ms}, text);
    assert_string_equal(text, expected);
}

static void test_format(void **state)
{
    (void)state;
    assert_formats(0, "1970-01-01T00:00:00.000Z");
    assert_formats(-1, "1969-12-31T23:59:59.999Z");
    assert_formats(INT64_C(1795203900123), "2026-11-20T19:45:00.123Z");
    assert_formats(INT64_C(951782400000), "2000-02-29T00:00:00.000Z");
    assert_formats(INT64_C(4107542400000), "2100-03-01T00:00:00.000Z");
    assert_formats(FIRST_MS, "0000-01-01T00:00:00.000Z");
    assert_formats(LAST_MS, "9999-12-31T23:59:59.999Z");
}

static void test_format_clamps(void **state)
{
    (void)state;
    assert_formats(FIRST_MS - 1, "0000-01-01T00:00:00.000Z");
    assert_formats(INT64_MIN, "0000-01-01T00:00:00.000Z");
    assert_formats(LAST_MS + 1, "9999-12-31T23:59:59.999Z");
    assert_formats(INT64_MAX, "9999-12-31T23:59:59.999Z");
}

/* Every 23 h 59 min 58.877 s from year 0 to 9999: each day of every month, at ever other times of day. */
static void test_all_days_against_libc(void **state)
{
    (void)state;
    for (int64_t ms = FIRST_MS; ms <= LAST_MS; ms += 86398877) {
        char text[HB_WALL_TEXT_SIZE], expected[64];
        int64_t rest = ((ms % 1000) + 1000) % 1000;
        time_t seconds = (time_t)((ms - rest) / 1000);
        struct tm tm;
        gmtime_r(&seconds, &tm);
        snprintf(expected, sizeof expected, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)rest);
        hb_wall_format((hb_wall_ms){ms}, text);
        if (strcmp(text, expected) != 0)
            assert_string_equal(text, expected);
        hb_wall_ms back = {.ms = -1};
        if (hb_wall_parse(text, strlen(text), &back) != HB_OK || back.ms != ms)
            fail_msg("%s was read as %lld", text, (long long)back.ms);
    }
}

static void test_parse(void **state)
{
    (void)state;
    const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"1970-01-01T00:00:00", 0},
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:00.5", 500},
        {"1970-01-01T00:00:00.123456", 123},
        {"1970-01-01T00:00:00.123999999Z", 123},
        {"1970-01-01T00:00:00.12+00:00", 120},
        {"1970-01-01T01:00:00+01:00", 0},
        {"1970-01-01T00:00:00+05:45", -20700000},
        {"1969-12-31T18:30:00.001-05:30", 1},
        {"2026-11-20T19:45:00.123456+00:00", INT64_C(1795203900123)},
        {"2000-02-29T23:59:59Z", INT64_C(951868799000)},
        {"0000-01-01T00:00:00Z", FIRST_MS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hb_wall_ms t = {.ms = -77};
        assert_int_equal(hb_wall_parse(cases[i].text, strlen(cases[i].text), &t), HB_OK);
        assert_int_equal(t.ms, cases[i].ms);
    }
}

static void test_parse_refuses(void **state)
{
    (void)state;
    const char *const bad[] = {
        "",
        "yesterday",
        "2026-11-20",
        "2026-11-20T19:45",
        "2026-11-20 19:45:00",
        "2026-11-20t19:45:00",
        "26-11-20T19:45:00",
        "2026-1-20T19:45:00",
        "2026-00-20T19:45:00",
        "2026-13-20T19:45:00",
        "2026-11-00T19:45:00",
        "2026-11-31T19:45:00",
        "2026-02-29T19:45:00",
        "1900-02-29T19:45:00",
        "2026-11-20T24:00:00",
        "2026-11-20T19:60:00",
        "2026-11-20T19:45:60",
        "2026-11-20T19:45:00.",
        "2026-11-20T19:45:00.Z",
        "2026-11-20T19:45:00.1234567890",
        "2026-11-20T19:45:00,5",
        "2026-11-20T19:45:00z",
        "2026-11-20T19:45:00ZZ",
        "2026-11-20T19:45:00 Z",
        "2026-11-20T19:45:00+0100",
        "2026-11-20T19:45:00+01",
        "2026-11-20T19:45:00+24:00",
        "2026-11-20T19:45:00+01:60",
        "2026-11-20T19:45:00+01:00x",
        "-026-11-20T19:45:00",
        "+026-11-20T19:45:00",
        "2026-11-20T19:4 :00",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        hb_wall_ms t = {.ms = -77};
        if (hb_wall_parse(bad[i], strlen(bad[i]), &t) != HB_ERR_INVALID)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_int_equal(t.ms, -77); /* untouched on failure */
    }
}

/* Cut after any byte, the text is read as far as it goes, or refused; nothing behind len is looked at. */
static void test_parse_stops_at_len(void **state)
{
    (void)state;
    const char text[] = "2026-11-20T19:45:00.123+01:00";
    for (size_t len = 0; len < sizeof text - 1; len++) {
        hb_wall_ms t;
        int good = len == 19 || (len >= 21 && len <= 23);
        assert_int_equal(hb_wall_parse(text, len, &t), good ? HB_OK : HB_ERR_INVALID);
    }
    hb_wall_ms t;
    assert_int_equal(hb_wall_parse("2026-11-20T19:45:00Z\0", 21, &t), HB_ERR_INVALID);
}

static void test_clocks(void **state)
{
    (void)state;
    hb_mono_ms before = hb_mono_now();
    time_t wall_before = time(NULL);
    struct hb_moment moment = hb_moment_now();
    assert_true(hb_mono_between(before, moment.mono) >= 0);
    assert_true(hb_mono_between(moment.mono, hb_mono_now()) >= 0);
    assert_true(moment.wall.ms / 1000 >= (int64_t)wall_before - 1 && hb_wall_now().ms >= moment.wall.ms);
}

static void test_mono_arithmetic(void **state)
{
    (void)state;
    assert_int_equal(hb_mono_add((hb_mono_ms){40}, 2).ms, 42);
    assert_int_equal(hb_mono_add((hb_mono_ms){INT64_MAX - 1}, 2).ms, HB_MONO_NEVER.ms);
    assert_int_equal(hb_mono_add(HB_MONO_NEVER, 1000).ms, HB_MONO_NEVER.ms);
    assert_int_equal(hb_mono_between((hb_mono_ms){40}, (hb_mono_ms){42}), 2);
    assert_int_equal(hb_mono_earlier((hb_mono_ms){40}, (hb_mono_ms){42}).ms, 40);
    assert_int_equal(hb_mono_earlier(HB_MONO_NEVER, (hb_mono_ms){42}).ms, 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_format_clamps),
        cmocka_unit_test(test_all_days_against_libc),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_parse_stops_at_len),
        cmocka_unit_test(test_clocks),
        cmocka_unit_test(test_mono_arithmetic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
