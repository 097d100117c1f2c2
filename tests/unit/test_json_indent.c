/*
 * json_indent: the same value, for people.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "manager/io/json_indent.h"

static void assert_indents(const char *json, const char *expected)
{
    struct hb_buf out;

    hb_buf_init(&out, SIZE_MAX / 2);
    hb_json_indent(&out, hb_text_of(json));
    assert_int_equal(hb_buf_status(&out), HB_OK);
    assert_string_equal(out.len > 0 ? out.bytes : "", expected);
    hb_buf_free(&out);
}

static void test_values(void **state)
{
    (void)state;
    assert_indents("", "");
    assert_indents("true", "true");
    assert_indents("-1.50e+3\n", "-1.50e+3\n");
    assert_indents("\"text\"", "\"text\"");
    assert_indents("{}\n", "{}\n");
    assert_indents("[]", "[]");
    assert_indents("{\"a\":1}", "{\n  \"a\": 1\n}");
    assert_indents("[1,2]", "[\n  1,\n  2\n]");
    assert_indents("{\"a\":{},\"b\":[],\"c\":null}", "{\n  \"a\": {},\n  \"b\": [],\n  \"c\": null\n}");
    assert_indents("{\"a\":{\"b\":[1,{\"c\":2}]}}",
                   "{\n  \"a\": {\n    \"b\": [\n      1,\n      {\n        \"c\": 2\n      }\n    ]\n  }\n}");
}

static void test_white_space_of_a_listing(void **state)
{
    (void)state;
    assert_indents("{\n\"w1\":{\"a\":1},\n\"w2\":{}\n}\n", "{\n  \"w1\": {\n    \"a\": 1\n  },\n  \"w2\": {}\n}\n");
    assert_indents("{ \t\r\n}\n", "{}\n");
    assert_indents("{\"a\" : [ 1 , 2 ]}", "{\n  \"a\": [\n    1,\n    2\n  ]\n}");
}

static void test_strings_are_left_alone(void **state)
{
    (void)state;
    assert_indents("{\"a{\":\"}],[:{\"}", "{\n  \"a{\": \"}],[:{\"\n}");
    assert_indents("[\"\\\"{\\\"\"]", "[\n  \"\\\"{\\\"\"\n]");
    assert_indents("[\"\\\\\",\"\\\\\\\"\",1]", "[\n  \"\\\\\",\n  \"\\\\\\\"\",\n  1\n]");
    assert_indents("[\"a  b\\n\\u007b\"]", "[\n  \"a  b\\n\\u007b\"\n]");
    assert_indents("[\"W\xc3\xb6rker\"]", "[\n  \"W\xc3\xb6rker\"\n]");
}

/* Never our own output, but nothing may be read or written beyond the bytes. */
static void test_what_is_not_json_does_no_harm(void **state)
{
    static const char *const odd[] = {"}",      "]]]]",    "{",       "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
                                      "\"",     "\"\\",    "\"a\\\"", "{]",
                                      ":",      ",,",      "\\",      "a\"b",
                                      "{\"a\"", "\x01\xff"};

    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        struct hb_buf out;

        hb_buf_init(&out, 4096);
        hb_json_indent(&out, hb_text_of(odd[i]));
        assert_int_equal(hb_buf_status(&out), HB_OK);
        hb_buf_free(&out);
    }
}

static void test_a_ceiling_is_told(void **state)
{
    struct hb_buf out;

    (void)state;
    hb_buf_init(&out, 10);
    hb_json_indent(&out, HB_TEXT("[1,2,3,4,5,6]"));
    assert_int_equal(hb_buf_status(&out), HB_ERR_FULL);
    hb_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_white_space_of_a_listing),
        cmocka_unit_test(test_strings_are_left_alone),
        cmocka_unit_test(test_what_is_not_json_does_no_harm),
        cmocka_unit_test(test_a_ceiling_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
