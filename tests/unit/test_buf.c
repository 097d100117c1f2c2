/*
 * buf: growth, the ceiling to the byte, errors that stick, and each way of writing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"

/* A test asks for more memory than there is: the sanitizers should answer as malloc does. They look these names up. */
#define SANITIZER_HOOK __attribute__((visibility("default"))) const char *

SANITIZER_HOOK __asan_default_options(void);
SANITIZER_HOOK __asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

SANITIZER_HOOK __tsan_default_options(void);
SANITIZER_HOOK __tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void assert_holds(const struct hb_buf *buf, const char *expected)
{
    assert_int_equal(hb_buf_status(buf), HB_OK);
    assert_string_equal(buf->bytes, expected);
    assert_int_equal(buf->len, strlen(expected));
}

static void test_text(void **state)
{
    (void)state;
    struct hb_text absent = hb_text_of(NULL);
    assert_null(absent.bytes);
    assert_int_equal(hb_text_of("abc").len, 3);
    assert_true(hb_text_equal(HB_TEXT("abc"), hb_text_of("abc")));
    assert_false(hb_text_equal(HB_TEXT("abc"), HB_TEXT("abd")));
    assert_false(hb_text_equal(HB_TEXT("abc"), HB_TEXT("ab")));
    assert_true(hb_text_equal(absent, absent));
    assert_false(hb_text_equal(absent, HB_TEXT("")));
    assert_false(hb_text_equal(HB_TEXT(""), absent));
}

static void test_growth_keeps_bytes(void **state)
{
    (void)state;
    struct hb_buf buf;
    hb_buf_init(&buf, 100000);
    assert_null(buf.bytes);
    for (int i = 0; i < 100000; i++)
        hb_buf_append_char(&buf, (char)('a' + i % 26));
    assert_int_equal(hb_buf_status(&buf), HB_OK);
    assert_int_equal(buf.len, 100000);
    assert_int_equal(buf.bytes[buf.len], '\0');
    for (int i = 0; i < 100000; i++)
        assert_int_equal(buf.bytes[i], 'a' + i % 26);
    hb_buf_free(&buf);
}

static void test_growth_doubles(void **state)
{
    (void)state;
    struct hb_buf buf;
    hb_buf_init(&buf, SIZE_MAX);
    hb_buf_append_char(&buf, 'x');
    assert_int_equal(buf.cap, 64);
    int steps = 0;
    for (size_t cap = buf.cap, i = 0; i < 1000000; i++) {
        hb_buf_append_char(&buf, 'x');
        if (buf.cap != cap) {
            assert_int_equal(buf.cap, cap * 2);
            cap = buf.cap;
            steps++;
        }
    }
    assert_int_equal(steps, 14); /* 64 * 2^14 is the first above 10^6 */
    hb_buf_free(&buf);
}

static void test_ceiling_to_the_byte(void **state)
{
    (void)state;
    for (size_t ceiling = 0; ceiling < 200; ceiling++) {
        struct hb_buf buf;
        hb_buf_init(&buf, ceiling);
        for (size_t i = 0; i < ceiling; i++)
            hb_buf_append_char(&buf, 'x');
        assert_int_equal(hb_buf_status(&buf), HB_OK);
        assert_int_equal(buf.len, ceiling);
        hb_buf_append(&buf, "", 0);
        assert_int_equal(hb_buf_status(&buf), HB_OK);
        assert_true(buf.cap <= ceiling + 1);
        hb_buf_append_char(&buf, 'x');
        assert_int_equal(hb_buf_status(&buf), HB_ERR_FULL);
        assert_int_equal(buf.len, ceiling);
        hb_buf_free(&buf);
    }
}

static void test_errors_stick_until_clear(void **state)
{
    (void)state;
    struct hb_buf buf;
    hb_buf_init(&buf, 4);
    hb_buf_append_str(&buf, "ab");
    hb_buf_append_str(&buf, "cde");
    assert_int_equal(hb_buf_status(&buf), HB_ERR_FULL);
    hb_buf_append_char(&buf, 'c'); /* would fit, but the error came before */
    hb_buf_append_i64(&buf, 1);
    hb_buf_printf(&buf, "%d", 1);
    hb_buf_append_json(&buf, HB_TEXT(""));
    assert_string_equal(buf.bytes, "ab");
    hb_buf_clear(&buf);
    assert_string_equal(buf.bytes, "");
    hb_buf_append_str(&buf, "wxyz");
    assert_holds(&buf, "wxyz");
    hb_buf_free(&buf);
    assert_null(buf.bytes);
    assert_int_equal(buf.ceiling, 4);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct hb_buf buf;
    hb_buf_init(&buf, SIZE_MAX);
    hb_buf_append_str(&buf, "kept");
    hb_buf_append(&buf, "", SIZE_MAX / 8);
    assert_int_equal(hb_buf_status(&buf), HB_ERR_NO_MEMORY);
    assert_string_equal(buf.bytes, "kept");
    hb_buf_clear(&buf);
    hb_buf_append(&buf, "", SIZE_MAX); /* len + 1 would overflow */
    assert_int_equal(hb_buf_status(&buf), HB_ERR_FULL);
    assert_null(hb_buf_take(&buf));
    assert_null(buf.bytes);
}

static void test_take(void **state)
{
    (void)state;
    struct hb_buf buf;
    hb_buf_init(&buf, 100);
    char *empty = hb_buf_take(&buf);
    assert_string_equal(empty, "");
    free(empty);
    hb_buf_append_text(&buf, HB_TEXT("mine now"));
    char *taken = hb_buf_take(&buf);
    assert_string_equal(taken, "mine now");
    assert_null(buf.bytes);
    assert_int_equal(buf.cap, 0);
    hb_buf_append_str(&buf, "again");
    assert_holds(&buf, "again");
    assert_string_equal(taken, "mine now");
    free(taken);
    hb_buf_free(&buf);
}

static void test_i64(void **state)
{
    (void)state;
    const int64_t values[] = {0, 1, -1, 9, 10, -10, 99, 100, 1234567890, INT32_MIN, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char expected[32];
        snprintf(expected, sizeof expected, "%" PRId64, values[i]);
        struct hb_buf buf;
        hb_buf_init(&buf, 100);
        hb_buf_append_i64(&buf, values[i]);
        assert_holds(&buf, expected);
        hb_buf_free(&buf);
    }
}

static void test_seconds(void **state)
{
    (void)state;
    const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "0"},         {2000, "2"},
        {1500, "1.5"},    {1, "0.001"},
        {10, "0.01"},     {100, "0.1"},
        {1010, "1.01"},   {1001, "1.001"},
        {-1, "-0.001"},   {-1500, "-1.5"},
        {-2000, "-2"},    {86400000, "86400"},
        {12340, "12.34"}, {999, "0.999"},
        {100000, "100"},  {INT64_MAX, "9223372036854775.807"},
        {120, "0.12"},    {INT64_MIN, "-9223372036854775.808"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hb_buf buf;
        hb_buf_init(&buf, 100);
        hb_buf_append_seconds(&buf, cases[i].ms);
        assert_holds(&buf, cases[i].text);
        hb_buf_free(&buf);
    }
}

static void test_printf(void **state)
{
    (void)state;
    struct hb_buf buf;
    hb_buf_init(&buf, 300);
    hb_buf_printf(&buf, "%s-%d", "short", 7);
    assert_holds(&buf, "short-7");
    hb_buf_printf(&buf, "%0200d", 1); /* longer than the room that was left */
    assert_int_equal(buf.len, 207);
    assert_int_equal(buf.bytes[206], '1');
    hb_buf_printf(&buf, "%0100d", 1); /* over the ceiling: nothing of it may stay */
    assert_int_equal(hb_buf_status(&buf), HB_ERR_FULL);
    assert_int_equal(buf.len, 207);
    assert_int_equal(strlen(buf.bytes), 207);
    hb_buf_free(&buf);

    for (int len = 60; len < 132; len++) { /* around the first capacities */
        char expected[200];
        snprintf(expected, sizeof expected, "%0*d", len, 7);
        hb_buf_init(&buf, 300);
        hb_buf_printf(&buf, "%0*d", len, 7);
        assert_holds(&buf, expected);
        hb_buf_free(&buf);
    }

    for (size_t ceiling = 60; ceiling < 70; ceiling++) {
        hb_buf_init(&buf, ceiling);
        hb_buf_printf(&buf, "%065d", 0); /* around the first capacity */
        assert_int_equal(hb_buf_status(&buf), ceiling >= 65 ? HB_OK : HB_ERR_FULL);
        hb_buf_free(&buf);
    }
}

static void test_json(void **state)
{
    (void)state;
    const struct {
        struct hb_text text;
        const char *json;
    } cases[] = {
        {HB_TEXT(""), "\"\""},
        {HB_TEXT("plain text/with:all{sorts}"), "\"plain text/with:all{sorts}\""},
        {HB_TEXT("\"\\"), "\"\\\"\\\\\""},
        {HB_TEXT("a\b\f\n\r\tz"), "\"a\\b\\f\\n\\r\\tz\""},
        {HB_TEXT("\x01\x1f\x20\x7f"), "\"\\u0001\\u001f \x7f\""},
        {HB_TEXT("a\0b"), "\"a\\u0000b\""},
        {HB_TEXT("Gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x92\x93"),
         "\"Gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x92\x93\""},
        {HB_TEXT("\nstart and end\n"), "\"\\nstart and end\\n\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hb_buf buf;
        hb_buf_init(&buf, 200);
        hb_buf_append_json(&buf, cases[i].text);
        assert_holds(&buf, cases[i].json);
        hb_buf_free(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_growth_keeps_bytes),
        cmocka_unit_test(test_growth_doubles),
        cmocka_unit_test(test_ceiling_to_the_byte),
        cmocka_unit_test(test_errors_stick_until_clear),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_take),
        cmocka_unit_test(test_i64),
        cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_printf),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
