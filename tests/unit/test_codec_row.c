/*
 * codec, rows: what is a row of ours, what is one of the small Python project, and what is neither and left alone.
 * (The whole rows, byte for byte, are PROTOCOL.md's vectors: see test_codec.c.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/wire/codec.h"
#include "proto/wire/limits.h"

static struct hb_decoder *decoder;

static int set_up(void **state)
{
    (void)state;
    decoder = hb_decoder_new();
    return decoder == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    hb_decoder_free(decoder);
    return 0;
}

static enum hb_err decode(const char *json, struct hb_row *ret_row, bool *ret_seed_shape)
{
    return hb_decode_row(decoder, hb_text_of(json), ret_row, ret_seed_shape);
}

/* A row of ours with one more member. */
static const char *ours_with(const char *member)
{
    static char json[2048];
    snprintf(json, sizeof json, "{\"worker_id\":\"a\",\"status\":\"alive\",\"serving\":true%s%s}",
             member[0] != '\0' ? "," : "", member);
    return json;
}

static void test_the_least_row(void **state)
{
    struct hb_row row;
    bool seed_shape = true;
    (void)state;
    assert_int_equal(decode(ours_with(""), &row, &seed_shape), HB_OK);
    assert_false(seed_shape);
    assert_true(row.serving && row.beats);
    assert_int_equal(row.announced, HB_ANNOUNCED_NONE);
    assert_int_equal(row.health, HB_HEALTH_UNKNOWN);
    assert_int_equal(row.reason, HB_REASON_NONE);
    assert_null(row.name.bytes);
    assert_null(row.attributes.bytes);
    assert_null(row.metrics.bytes);
    assert_int_equal(row.requests, -1);
    assert_int_equal(row.errors, -1);
}

static void test_unknown_reason_and_unknown_member_pass(void **state)
{
    struct hb_row row;
    bool seed_shape;
    (void)state;
    assert_int_equal(decode(ours_with("\"reason\":\"moon_phase\",\"lease\":[1]"), &row, &seed_shape), HB_OK);
    assert_int_equal(row.reason, HB_REASON_NONE);
}

/* A polled worker beats only where its row says so; without a url there is nothing else it could do. */
static void test_who_beats(void **state)
{
    struct hb_row row;
    bool seed_shape;
    (void)state;
    assert_int_equal(decode(ours_with("\"url\":\"http://a\",\"beats\":true"), &row, &seed_shape), HB_OK);
    assert_true(row.beats);
    assert_int_equal(decode(ours_with("\"url\":\"http://a\",\"beats\":false"), &row, &seed_shape), HB_OK);
    assert_false(row.beats);
    assert_int_equal(decode(ours_with("\"url\":\"http://a\""), &row, &seed_shape), HB_OK);
    assert_false(row.beats);
    assert_int_equal(decode(ours_with("\"beats\":false"), &row, &seed_shape), HB_OK);
    assert_true(row.beats);
}

static void test_big_numbers(void **state)
{
    struct hb_row row;
    bool seed_shape;
    (void)state;
    assert_int_equal(decode(ours_with("\"epoch\":18446744073709551614,\"seq\":0"), &row, &seed_shape), HB_OK);
    assert_true(row.epoch == UINT64_MAX - 1);
    struct hb_buf buf;
    hb_buf_init(&buf, HB_ROW_BYTES_MAX);
    hb_encode_row(&buf, &row);
    assert_non_null(strstr(buf.bytes, "\"epoch\":18446744073709551614,\"seq\":0}"));
    hb_buf_free(&buf);
}

static void test_a_row_with_a_wrong_member_is_not_ours(void **state)
{
    static const char *const bad[] = {
        "\"worker_name\":7",
        "\"worker_name\":\"\"",
        "\"host\":true",
        "\"host\":\"a b\"",
        "\"port\":\"8080\"",
        "\"port\":0",
        "\"port\":80.5",
        "\"last_heartbeat\":\"yesterday\"",
        "\"last_heartbeat\":1795203900",
        "\"since\":{}",
        "\"reason\":1",
        "\"announced\":\"maybe\"",
        "\"announced\":true",
        "\"unverified\":\"yes\"",
        "\"beats\":1",
        "\"ready\":0",
        "\"health\":\"fine\"",
        "\"health\":null,\"url\":\"a\"",
        "\"attributes\":[]",
        "\"attributes\":{\"a\":{}}",
        "\"metrics\":{\"a\":\"1\"}",
        "\"reported_status\":1",
        "\"requests\":-1",
        "\"errors\":1.5",
        "\"heartbeat_timeout\":0",
        "\"heartbeat_timeout\":\"15\"",
        "\"heartbeat_interval\":-1",
        "\"poll_interval_sec\":true",
        "\"draining\":1",
        "\"maintenance\":\"\"",
        "\"flapping\":{}",
        "\"id_conflict\":[]",
        "\"manager\":1",
        "\"epoch\":-1",
        "\"epoch\":\"1\"",
        "\"seq\":1.0",
        "\"seq\":18446744073709551616",
    };
    struct hb_row row;
    bool seed_shape;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        enum hb_err err = decode(ours_with(bad[i]), &row, &seed_shape);
        if (err != HB_ERR_SHAPE)
            fail_msg("%s gives \"%s\"", bad[i], hb_err_text(err));
        assert_true(hb_decoder_error(decoder)[0] != '\0');
    }
}

static void test_foreign_fields_are_left_alone(void **state)
{
    static const char *const foreign[] = {
        "{}",
        "[]",
        "\"alive\"",
        "7",
        "{\"name\":\"a\"}",
        "{\"worker_id\":\"a\"}",
        "{\"status\":\"alive\"}",
        "{\"worker_id\":\"a b\",\"status\":\"alive\"}",
        "{\"worker_id\":1,\"status\":\"alive\"}",
        "{\"worker_id\":\"a\",\"status\":\"sleeping\"}",
        "{\"worker_id\":\"a\",\"status\":1}",
        "{\"worker_id\":\"a\",\"status\":\"unknown\"}",
        "{\"worker_id\":\"a\",\"status\":\"removed\"}",
        "{\"worker_id\":\"a\",\"status\":\"alive\",\"port\":\"\"}",
        "{\"worker_id\":\"a\",\"status\":\"alive\",\"port\":\"http\"}",
        "{\"worker_id\":\"a\",\"status\":\"alive\",\"port\":\"65536\"}",
        "{\"worker_id\":\"a\",\"status\":\"alive\",\"port\":\"00000000080\"}",
    };
    struct hb_row untouched, row;
    bool seed_shape = true;
    (void)state;
    memset(&untouched, 0x5a, sizeof untouched);
    memset(&row, 0x5a, sizeof row);
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        enum hb_err err = decode(foreign[i], &row, &seed_shape);
        if (err != HB_ERR_SHAPE)
            fail_msg("%s gives \"%s\"", foreign[i], hb_err_text(err));
    }
    assert_int_equal(decode("not json", &row, &seed_shape), HB_ERR_SYNTAX);
    assert_memory_equal(&row, &untouched, sizeof row);
}

static void test_rows_of_the_python_project(void **state)
{
    static const struct {
        const char *status;
        bool serving;
        enum hb_announced announced;
    } cases[] = {
        {"registered", false, HB_ANNOUNCED_NONE},   {"connected", true, HB_ANNOUNCED_UP},
        {"alive", true, HB_ANNOUNCED_UP},           {"not_responding", false, HB_ANNOUNCED_DOWN},
        {"disconnected", false, HB_ANNOUNCED_DOWN},
    };
    static const char *const ports[] = {"8001", "\"8001\"", "null"};
    static const char *const times[] = {"", ",\"last_heartbeat\":null",
                                        ",\"last_heartbeat\":\"2026-11-20T19:45:00.123456\"",
                                        ",\"last_heartbeat\":\"2026-11-20T19:45:00\""};
    char json[256];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0] * 3 * 4; i++) {
        size_t which = i / 12, port = i / 4 % 3, time = i % 4;
        struct hb_row row;
        bool seed_shape = false;
        snprintf(json, sizeof json,
                 "{\"worker_id\":\"a\",\"worker_name\":\"A\",\"host\":\"h\",\"port\":%s,\"status\":\"%s\"%s}",
                 ports[port], cases[which].status, times[time]);
        assert_int_equal(decode(json, &row, &seed_shape), HB_OK);
        assert_true(seed_shape);
        assert_string_equal(hb_status_text(row.status), cases[which].status);
        assert_int_equal(row.serving, cases[which].serving);
        assert_int_equal(row.announced, cases[which].announced);
        assert_int_equal(row.port, port < 2 ? 8001 : 0);
        assert_int_equal(row.last_heartbeat.ms != 0, time >= 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_least_row),
        cmocka_unit_test(test_unknown_reason_and_unknown_member_pass),
        cmocka_unit_test(test_who_beats),
        cmocka_unit_test(test_big_numbers),
        cmocka_unit_test(test_a_row_with_a_wrong_member_is_not_ours),
        cmocka_unit_test(test_foreign_fields_are_left_alone),
        cmocka_unit_test(test_rows_of_the_python_project),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
