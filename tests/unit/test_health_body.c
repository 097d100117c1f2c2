/* What is read out of the body of a /health, and how its attributes join those that the worker registered with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/wire/fields.h"
#include "proto/wire/health_body.h"
#include "proto/wire/json_strict.h"
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

/* Reads a copy that ends with its last byte, so that a sanitizer or valgrind sees a read beyond it. */
static struct hb_health_body read_body(const char *bytes, size_t len)
{
    struct hb_health_body health;
    char *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    hb_health_body_read(decoder, (struct hb_text){copy, len}, &health);
    free(copy); /* so what is handed out lies in the decoder */
    return health;
}

struct expected {
    const char *body;
    int64_t uptime_ms, requests, errors;
    const char *attributes;
};

static void must_say(const struct expected *expected)
{
    struct hb_health_body health = read_body(expected->body, strlen(expected->body));
    if (health.uptime_ms != expected->uptime_ms || health.requests != expected->requests ||
        health.errors != expected->errors || !hb_text_equal(health.attributes, hb_text_of(expected->attributes)))
        fail_msg("%s\nsays uptime %lld ms, %lld requests, %lld errors, attributes %.*s", expected->body,
                 (long long)health.uptime_ms, (long long)health.requests, (long long)health.errors,
                 (int)health.attributes.len, health.attributes.bytes != NULL ? health.attributes.bytes : "");
}

static void bodies_say_what_the_table_says(void **state)
{
    static const struct expected table[] = {
        /* our own worker, and the small projects */
        {"{\"status\":\"healthy\",\"worker_id\":\"w\",\"worker_name\":\"W\",\"uptime\":12.345,\"request_count\":7,"
         "\"error_count\":1,\"error_rate\":0.142,\"attributes\":{\"zone\":\"eu-1\"}}",
         12345, 7, 1, "{\"zone\":\"eu-1\"}"},
        {"{\"uptime_seconds\":42,\"requestCount\":9,\"errorCount\":0,\"attributes\":{\"v\":1.50}}", 42000, 9, 0,
         "{\"v\":1.50}"},

        /* every spelling */
        {"{\"uptime\":1}", 1000, -1, -1, NULL},
        {"{\"uptime_sec\":1}", 1000, -1, -1, NULL},
        {"{\"uptime_seconds\":1}", 1000, -1, -1, NULL},
        {"{\"requests\":2}", -1, 2, -1, NULL},
        {"{\"request_count\":2}", -1, 2, -1, NULL},
        {"{\"requestCount\":2}", -1, 2, -1, NULL},
        {"{\"total_requests\":2}", -1, 2, -1, NULL},
        {"{\"errors\":3}", -1, -1, 3, NULL},
        {"{\"error_count\":3}", -1, -1, 3, NULL},
        {"{\"errorCount\":3}", -1, -1, 3, NULL},
        {"{\"total_errors\":3}", -1, -1, 3, NULL},
        {"{\"up\\u0074ime\":1}", 1000, -1, -1, NULL},
        {"{\"Uptime\":1,\"Requests\":1,\"ERRORS\":1}", -1, -1, -1, NULL},

        /* numbers, however they are written */
        {"{\"uptime\":0,\"requests\":0,\"errors\":0}", 0, 0, 0, NULL},
        {"{\"uptime\":0.0004,\"requests\":12.0,\"errors\":1.2e1}", 0, 12, 12, NULL},
        {"{\"uptime\":1e3,\"requests\":9007199254740992,\"errors\":-0}", 1000000, 9007199254740992, 0, NULL},

        /* what is not good is not said, and what stands beside it counts */
        {"{\"uptime\":\"3 days\",\"uptime_sec\":259200}", 259200000, -1, -1, NULL},
        {"{\"uptime\":-1,\"requests\":5}", -1, 5, -1, NULL},
        {"{\"uptime\":1732190000000,\"requests\":5}", -1, 5, -1, NULL},
        {"{\"uptime\":1e999,\"requests\":1e999,\"errors\":5}", -1, -1, 5, NULL},
        {"{\"requests\":12.5,\"total_requests\":13,\"errors\":5}", -1, 13, 5, NULL},
        {"{\"requests\":\"12\",\"errors\":5}", -1, -1, 5, NULL},
        {"{\"requests\":9007199254740994,\"errors\":5}", -1, -1, 5, NULL},
        {"{\"requests\":123456789012345678901234567890,\"errors\":5}", -1, -1, 5, NULL},
        {"{\"requests\":-123456789012345678901234567890,\"errors\":5}", -1, -1, 5, NULL},
        {"{\"requests\":-5,\"errors\":[5],\"uptime\":{\"s\":5}}", -1, -1, -1, NULL},
        {"{\"uptime\":null,\"uptime_sec\":1,\"requests\":true,\"errors\":false}", 1000, -1, -1, NULL},
        {"{\"requests\":5,\"attributes\":[\"zone\"]}", -1, 5, -1, NULL},
        {"{\"requests\":5,\"attributes\":{\"nested\":{}}}", -1, 5, -1, NULL},
        {"{\"attributes\":{\"a\":null},\"requests\":5}", -1, 5, -1, NULL},
        {"{\"attributes\":\"zone=eu\",\"requests\":5}", -1, 5, -1, NULL},
        {"{\"attributes\":{ \"a\" : true , \"b\":\"\\u00e9\" } }", -1, -1, -1, "{\"a\":true,\"b\":\"\\u00e9\"}"},
        {"{\"attributes\":{}}", -1, -1, -1, "{}"},

        /* what is no JSON object, or one that two readers could understand differently, says nothing at all */
        {"", -1, -1, -1, NULL},
        {"OK", -1, -1, -1, NULL},
        {"pong\n", -1, -1, -1, NULL},
        {"<html><body>up</body></html>", -1, -1, -1, NULL},
        {"[{\"requests\":5}]", -1, -1, -1, NULL},
        {"5", -1, -1, -1, NULL},
        {"null", -1, -1, -1, NULL},
        {"{\"requests\":5", -1, -1, -1, NULL},
        {"{\"requests\":5}{", -1, -1, -1, NULL},
        {"{\"requests\":5,}", -1, -1, -1, NULL},
        {"{'requests':5}", -1, -1, -1, NULL},
        {"{\"requests\":5,\"load\":NaN}", -1, -1, -1, NULL},
        {"{\"requests\":5,\"requests\":6}", -1, -1, -1, NULL},
        {"{\"requests\":5,\"note\":\"\xff\"}", -1, -1, -1, NULL},
        {"{\"requests\":5,\"deep\":[[[[[[[[]]]]]]]]}", -1, -1, -1, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        must_say(&table[i]);
}

static void a_body_without_bytes_says_nothing(void **state)
{
    struct hb_health_body health;
    (void)state;
    hb_health_body_read(decoder, (struct hb_text){0}, &health);
    assert_int_equal(health.uptime_ms, -1);
    assert_int_equal(health.requests, -1);
    assert_int_equal(health.errors, -1);
    assert_null(health.attributes.bytes);
}

/* {"pad":"aaa...","requests":5}, so that it has len bytes. */
static struct hb_health_body read_padded(size_t len)
{
    static const char head[] = "{\"pad\":\"", tail[] = "\",\"requests\":5}";
    struct hb_buf body;
    hb_buf_init(&body, len + 1);
    hb_buf_append_str(&body, head);
    while (body.len < len - (sizeof tail - 1))
        hb_buf_append_char(&body, 'a');
    hb_buf_append_str(&body, tail);
    assert_int_equal(hb_buf_status(&body), HB_OK);
    struct hb_health_body health = read_body(body.bytes, body.len);
    hb_buf_free(&body);
    return health;
}

static void the_ceiling_of_a_message_holds_here_too(void **state)
{
    (void)state;
    assert_int_equal(read_padded(HB_ROW_BYTES_MAX).requests, 5);
    assert_int_equal(read_padded(HB_ROW_BYTES_MAX + 1).requests, -1);
    assert_int_equal(read_padded(2 * HB_ROW_BYTES_MAX).requests, -1);
}

/* One decoder serves lenient and strict messages by turns: a refusal that was forgotten stays forgotten, others not. */
static void a_lenient_message_leaves_the_decoder_strict(void **state)
{
    struct hb_beat beat;
    (void)state;
    assert_int_equal(read_body("{\"requests\":\"5\",\"errors\":1}", 27).errors, 1);
    assert_int_equal(hb_decode_beat(decoder, HB_TEXT("{\"requests\":\"5\"}"), &beat), HB_ERR_SHAPE);
    assert_string_equal(hb_decoder_error(decoder),
                        "requests: \"5\" is a string; it must be an integer between 0 and 2^53");
    assert_int_equal(read_body("{\"requests\":6}", 14).requests, 6);
}

/* ---- whatever comes ---- */

static void must_be_sound(struct hb_health_body health)
{
    static char copy[HB_ROW_BYTES_MAX];
    struct hb_text name;
    size_t len;
    assert_true(health.uptime_ms >= -1 && health.uptime_ms < INT64_C(1) << 52);
    assert_true(health.requests >= -1 && health.requests <= INT64_C(1) << 53);
    assert_true(health.errors >= -1 && health.errors <= INT64_C(1) << 53);
    if (health.attributes.bytes == NULL)
        return;
    assert_null(hb_json_strict_check(health.attributes, NULL));
    assert_null(hb_flat_copy(health.attributes, &hb_flat_attributes, copy, &len, &name));
    assert_int_equal(len, health.attributes.len);
}

/* Every body that differs from a good one in one byte, or ends early. */
static void any_damage_is_survived(void **state)
{
    static const char good[] = "{\"uptime\": 1.5e2,\"requestCount\":12,\"errors\":123456789012345678,"
                               "\"attributes\":{\"a\":\"\\u00e9\xc3\xa9\",\"b\":-1.50,\"c\":true}, \"x\":[null,{}]}";
    char body[sizeof good];
    (void)state;
    for (size_t len = 0; len < sizeof good; len++)
        must_be_sound(read_body(good, len));
    for (size_t at = 0; at < sizeof good - 1; at++) {
        memcpy(body, good, sizeof good);
        for (int byte = 0; byte < 256; byte++) {
            body[at] = (char)byte;
            must_be_sound(read_body(body, sizeof good - 1));
        }
    }
}

/* ---- merging ---- */

static void must_merge(const char *mine, const char *theirs, const char *expected)
{
    struct hb_buf out;
    hb_buf_init(&out, HB_ROW_BYTES_MAX);
    hb_attributes_merge(&out, hb_text_of(mine), hb_text_of(theirs));
    assert_int_equal(hb_buf_status(&out), HB_OK);
    assert_string_equal(out.bytes, expected);
    hb_buf_free(&out);
}

static void theirs_win_and_the_order_stays(void **state)
{
    (void)state;
    must_merge(NULL, NULL, "{}");
    must_merge("{}", "{}", "{}");
    must_merge("{\"a\":1}", NULL, "{\"a\":1}");
    must_merge(NULL, "{\"a\":1}", "{\"a\":1}");
    must_merge("{\"a\":1,\"b\":\"x\"}", "{\"c\":true,\"a\":2.50}", "{\"a\":2.50,\"b\":\"x\",\"c\":true}");
    must_merge("{\"z\":1,\"y\":2}", "{\"y\":3,\"z\":4}", "{\"z\":4,\"y\":3}");
    /* escapes resolved */
    must_merge("{\"\\u0061\":1,\"b\":\"}\"}", "{\"a\":\"\\\"\"}", "{\"a\":\"\\\"\",\"b\":\"}\"}");
}

/* {"<letter>0":0,...} with count pairs */
static char *object_of(char letter, int count)
{
    struct hb_buf out;
    hb_buf_init(&out, HB_ROW_BYTES_MAX);
    hb_buf_append_char(&out, '{');
    for (int i = 0; i < count; i++)
        hb_buf_printf(&out, "%s\"%c%d\":%d", i > 0 ? "," : "", letter, i, i);
    hb_buf_append_char(&out, '}');
    return hb_buf_take(&out);
}

static void beyond_the_ceiling_mine_are_left_out(void **state)
{
    char *mine = object_of('m', HB_ATTRIBUTES_MAX), *many = object_of('t', HB_ATTRIBUTES_MAX),
         *few = object_of('t', 30);
    (void)state;
    must_merge(mine, many, many);
    must_merge(mine, "{}", mine);
    /* two of mine, the first ones, fit beside thirty of theirs */
    struct hb_buf expected;
    hb_buf_init(&expected, HB_ROW_BYTES_MAX);
    hb_buf_printf(&expected, "{\"m0\":0,\"m1\":1,%s", few + 1);
    must_merge(mine, few, expected.bytes);
    /* the same again, as after the next poll: nothing moves */
    must_merge(expected.bytes, few, expected.bytes);
    /* one that both have takes no room of mine, and keeps its place */
    hb_buf_clear(&expected);
    hb_buf_printf(&expected, "{\"m0\":0,\"t0\":0,\"m1\":1,%s", few + sizeof "{\"t0\":0," - 1);
    must_merge("{\"m0\":0,\"t0\":9,\"m1\":1,\"m2\":2}", few, expected.bytes);
    hb_buf_free(&expected);
    free(mine);
    free(many);
    free(few);
}

static void memory_that_runs_out_is_told(void **state)
{
    struct hb_buf out;
    (void)state;
    hb_buf_init(&out, 10);
    hb_attributes_merge(&out, HB_TEXT("{\"a\":1}"), HB_TEXT("{\"b\":2}"));
    assert_int_equal(hb_buf_status(&out), HB_ERR_FULL);
    hb_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_say_what_the_table_says),
        cmocka_unit_test(a_body_without_bytes_says_nothing),
        cmocka_unit_test(the_ceiling_of_a_message_holds_here_too),
        cmocka_unit_test(a_lenient_message_leaves_the_decoder_strict),
        cmocka_unit_test(any_damage_is_survived),
        cmocka_unit_test(theirs_win_and_the_order_stays),
        cmocka_unit_test(beyond_the_ceiling_mine_are_left_out),
        cmocka_unit_test(memory_that_runs_out_is_told),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
