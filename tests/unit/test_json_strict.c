/* What JSON text is accepted, where a refusal points, and what the outline says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/wire/json_strict.h"
#include "proto/wire/json_string.h"
#include "proto/wire/limits.h"

/* Checks a copy that ends with its last byte, so that a sanitizer or valgrind sees a read beyond it. */
static const char *check(const char *bytes, size_t len, size_t *ret_at)
{
    char *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    if (len > 0)
        memcpy(copy, bytes, len);
    const char *fault = hb_json_strict_check((struct hb_text){copy, len}, ret_at);
    free(copy);
    return fault;
}

static void must_pass(const char *text)
{
    size_t at = 0;
    const char *fault = check(text, strlen(text), &at);
    if (fault != NULL)
        fail_msg("%s at %zu: %s", fault, at, text);
}

static void must_fail(const char *text, const char *fault, size_t where)
{
    size_t at = 0;
    const char *found = check(text, strlen(text), &at);
    if (found == NULL)
        fail_msg("accepted: %s", text);
    assert_string_equal(found, fault);
    assert_int_equal(at, where);
}

static void the_rfc_is_accepted(void **state)
{
    static const char *const good[] = {
        "{}",
        "[]",
        "null",
        "true",
        "false",
        "0",
        "-0",
        "\"\"",
        " \t\r\n{ } \t\r\n",
        "[ ]",
        "[[],{},[[]]]",
        "1",
        "-12",
        "1.5",
        "-0.0",
        "0.10",
        "1e5",
        "1E+5",
        "1e-05",
        "0e0",
        "123456789012345678901234567890",
        "1.7976931348623157e309",
        "[1,2,3]",
        "[ 1 , 2 , \"3\" ]",
        "{\"a\":1}",
        "{ \"a\" : 1 , \"b\" : [ ] }",
        "{\"\":0}",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u0001\\uFfFf\\ud7ff\\ue000\"",
        "\"\\ud83d\\ude00\"",
        "\"\\uDBFF\\uDFFF\"",
        "\"\x7f\"",
        "\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\"",
        "\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"",
        "\"12345678\"",
        "\"1234567\\n\"",
        "\"12345678\\n90\xc3\xb6\"",
        "[true,false,null,\"\",{}]",
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        must_pass(good[i]);
}

static void a_refusal_says_what_and_where(void **state)
{
    static const struct {
        const char *text, *fault;
        size_t at;
    } bad[] = {
        {"", "the text is empty", 0},
        {" \n ", "the text is empty", 3},
        {"\xef\xbb\xbf{}", "a value is expected", 0},
        {"{} {}", "something follows the value", 3},
        {"1 2", "something follows the value", 2},
        {"nul", "a value is expected", 0},
        {"nulL", "a value is expected", 0},
        {"True", "a value is expected", 0},
        {"NaN", "a value is expected", 0},
        {"Infinity", "a value is expected", 0},
        {"-Infinity", "a value is expected", 1},
        {"undefined", "a value is expected", 0},
        {"'a'", "a value is expected", 0},
        {"//\n1", "a value is expected", 0},
        {"01", "something follows the value", 1},
        {"-01", "something follows the value", 2},
        {"+1", "a value is expected", 0},
        {".5", "a value is expected", 0},
        {"-", "the text ends too early", 1},
        {"1.", "the text ends too early", 2},
        {"[1.]", "a number has no digits behind its point", 3},
        {"[1e]", "a number has no digits in its exponent", 3},
        {"[1e+]", "a number has no digits in its exponent", 4},
        {"1e", "the text ends too early", 2},
        {"[", "the text ends too early", 1},
        {"[,1]", "a value is expected", 1},
        {"[1,]", "a value is expected", 3},
        {"[1 2]", "a comma or a closing bracket is expected", 3},
        {"[1}", "a comma or a closing bracket is expected", 2},
        {"]", "a value is expected", 0},
        {"{\"a\":1]", "a comma or a closing brace is expected", 6},
        {"{\"a\":1,}", "a member's name in double quotes is expected", 7},
        {"{,}", "a member's name in double quotes is expected", 1},
        {"{a:1}", "a member's name in double quotes is expected", 1},
        {"{1:1}", "a member's name in double quotes is expected", 1},
        {"{\"a\"}", "a colon is expected", 4},
        {"{\"a\":}", "a value is expected", 5},
        {"{\"a\"", "the text ends too early", 4},
        {"{\"a", "a string is not closed", 3},
        {"\"abc", "a string is not closed", 4},
        {"\"12345678", "a string is not closed", 9},
        {"\"a\\", "a string holds an unknown escape", 2},
        {"\"a\\x\"", "a string holds an unknown escape", 2},
        {"\"a\\U0041\"", "a string holds an unknown escape", 2},
        {"\"\\u\"", "a \\u escape is not four hexadecimal digits", 1},
        {"\"\\u12\"", "a \\u escape is not four hexadecimal digits", 1},
        {"\"\\u12g4\"", "a \\u escape is not four hexadecimal digits", 1},
        {"\"\\u004", "a \\u escape is not four hexadecimal digits", 1},
        {"\"\\u0000\"", "\\u0000 is not allowed", 1},
        {"{\"\\u0000\":1}", "\\u0000 is not allowed", 2},
        {"\"\\udc00\"", "half a surrogate pair stands alone", 1},
        {"\"\\ud800\"", "half a surrogate pair stands alone", 1},
        {"\"\\ud800\\n\"", "half a surrogate pair stands alone", 1},
        {"\"\\ud800\\u0041\"", "half a surrogate pair stands alone", 1},
        {"\"\\ud800\\ud800\"", "half a surrogate pair stands alone", 1},
        {"\"\\ud800\\udc", "half a surrogate pair stands alone", 1},
        {"\"a\tb\"", "a string holds a control character that is not escaped", 2},
        {"\"a\x1f\"", "a string holds a control character that is not escaped", 2},
        {"\"1234567\n\"", "a string holds a control character that is not escaped", 8},
        {"\"\x80\"", "a string is not UTF-8", 1},
        {"\"\xc0\xaf\"", "a string is not UTF-8", 1},
        {"\"a\xc3\"", "a string is not UTF-8", 2},
        {"\"\xed\xa0\x80\"", "a string is not UTF-8", 1},
        {"\"\xf4\x90\x80\x80\"", "a string is not UTF-8", 1},
        {"\"\xe2\x82", "a string is not UTF-8", 1},
        {"{\"\xff\":1}", "a string is not UTF-8", 2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        must_fail(bad[i].text, bad[i].fault, bad[i].at);
}

static void a_nul_byte_is_nowhere_allowed(void **state)
{
    (void)state;
    assert_non_null(check("\0", 1, NULL));
    assert_non_null(check("{}\0", 3, NULL));
    assert_non_null(check("\"a\0b\"", 5, NULL));
    assert_non_null(check("\"\\\0\"", 4, NULL));
}

static void names_are_compared_after_unescaping(void **state)
{
    static const char *const twice[] = {
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"b\":2,\"\\u0061\":3}",
        "{\"\":1,\"\":2}",
        "{\"\\/\":1,\"/\":2}",
        "{\"\\n\":1,\"\\u000a\":2}",
        "{\"\xc3\xb6\":1,\"\\u00f6\":2}",
        "{\"\xe2\x82\xac\":1,\"\\u20AC\":2}",
        "{\"\xf0\x9f\x98\x80\":1,\"\\ud83d\\ude00\":2}",
        "{\"x\":{\"a\":1,\"b\":{},\"a\":2}}",
        "[[{\"k\":1,\"k\":1}]]",
    };
    static const char *const once[] = {
        "{\"a\":1,\"A\":2}",
        "{\"a\":{\"a\":{\"a\":1}}}",
        "[{\"a\":1},{\"a\":1}]",
        "{\"x\":{\"a\":1},\"y\":{\"a\":1},\"a\":{\"x\":1,\"y\":2}}",
        "{\"a\":1,\"aa\":2,\"\\u0061\\u0061\\u0061\":3}",
        "{\"\\\\u0061\":1,\"a\":2}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof twice / sizeof twice[0]; i++) {
        const char *fault = check(twice[i], strlen(twice[i]), NULL);
        if (fault == NULL)
            fail_msg("accepted: %s", twice[i]);
        assert_string_equal(fault, "two members of an object have the same name");
    }
    for (size_t i = 0; i < sizeof once / sizeof once[0]; i++)
        must_pass(once[i]);
}

/* "Aa" and "@A" have the same hash: only their bytes can tell them apart. */
static void names_of_one_hash_are_told_apart(void **state)
{
    (void)state;
    must_pass("{\"Aa\":1,\"@A\":2}");
    must_pass("{\"AaAa\":1,\"@A@A\":2,\"Aa@A\":3,\"@AAa\":4}");
    must_fail("{\"Aa\":1,\"@A\":2,\"A\\u0061\":3}", "two members of an object have the same name", 15);
}

static void nested(char *out, size_t levels, char open, const char *inside, char close)
{
    for (size_t i = 0; i < levels; i++)
        *out++ = open;
    out = stpcpy(out, inside);
    for (size_t i = 0; i < levels; i++)
        *out++ = close;
    *out = '\0';
}

static void eight_levels_and_no_more(void **state)
{
    static char text[200100];
    (void)state;
    nested(text, HB_JSON_DEPTH_MAX, '[', "1", ']');
    must_pass(text);
    nested(text, HB_JSON_DEPTH_MAX, '[', "", ']');
    must_pass(text);
    nested(text, HB_JSON_DEPTH_MAX - 1, '[', "{\"a\":[]}", ']');
    must_fail(text, "the nesting is deeper than 8 levels", HB_JSON_DEPTH_MAX - 1 + 5);
    nested(text, HB_JSON_DEPTH_MAX + 1, '[', "", ']');
    must_fail(text, "the nesting is deeper than 8 levels", HB_JSON_DEPTH_MAX);
    nested(text, 100000, '[', "", ']');
    must_fail(text, "the nesting is deeper than 8 levels", HB_JSON_DEPTH_MAX);
}

/* An object of count members, the value of the last one being `last`. */
static char *put_object(char *to, int count, const char *last)
{
    *to++ = '{';
    for (int i = 0; i < count; i++)
        to += sprintf(to, "%s\"m%d\":%s", i > 0 ? "," : "", i, i == count - 1 ? last : "0");
    to = stpcpy(to, "}");
    return to;
}

static void two_hundred_fifty_six_members_and_no_more(void **state)
{
    static char text[HB_JSON_MEMBERS_MAX * 16];
    (void)state;
    put_object(text, HB_JSON_MEMBERS_MAX, "1");
    must_pass(text);
    put_object(text, HB_JSON_MEMBERS_MAX + 1, "1");
    size_t last_name = (size_t)(strstr(text, "\"m256\"") - text);
    must_fail(text, "an object has more than 256 members", last_name);
}

/* The most names that can be open at a time, and then some more behind them. */
static void full_objects_may_be_nested(void **state)
{
    static char text[2][HB_JSON_DEPTH_MAX * HB_JSON_MEMBERS_MAX * 16];
    (void)state;
    text[0][0] = '1';
    for (int level = 0; level < HB_JSON_DEPTH_MAX; level++) {
        put_object(text[1], HB_JSON_MEMBERS_MAX, text[0]);
        memcpy(text[0], text[1], sizeof text[0]);
    }
    must_pass(text[0]);
}

static const char sample[] =
    "{\"a\":\"x\\u00f6\\ud83d\\ude00\\n\",\"b\":[1,-2.5e+3,true,null,{\"c\":{}}],\"\\u0064\":\"12345678\xc3\xb6\"}";

static void no_beginning_of_a_text_passes(void **state)
{
    (void)state;
    must_pass(sample);
    for (size_t len = 0; len < sizeof sample - 1; len++) {
        size_t at = SIZE_MAX;
        assert_non_null(check(sample, len, &at));
        assert_in_range(at, 0, len);
    }
}

/* Whatever byte is put wherever: no read outside the text, and a refusal that points into it. */
static void any_byte_anywhere_is_survived(void **state)
{
    char text[sizeof sample];
    int passed = 0;
    (void)state;
    for (size_t i = 0; i < sizeof sample - 1; i++) {
        for (int byte = 0; byte < 256; byte++) {
            size_t at = 0;
            memcpy(text, sample, sizeof sample);
            text[i] = (char)byte;
            if (check(text, sizeof sample - 1, &at) == NULL)
                passed++;
            assert_in_range(at, 0, sizeof sample - 1);
        }
    }
    assert_true(passed > (int)sizeof sample); /* at least each byte's own value */
}

static void assert_piece(struct hb_text json, uint32_t at, uint32_t len, const char *expected)
{
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(json.bytes + at, expected, len);
}

static void the_outline_tells_where_members_stand(void **state)
{
    struct hb_json_outline outline;
    struct hb_text json =
        HB_TEXT(" { \"a\" : 1 , \"\\u0062\":{ \"x\":[1, 2] } ,\"c\":\"s\\\"t\" , \"\":null, \"d\":[{}]\n}");
    static const char *const expected[][2] = {
        {"a", "1"}, {"\\u0062", "{ \"x\":[1, 2] }"}, {"c", "\"s\\\"t\""}, {"", "null"}, {"d", "[{}]"}};
    (void)state;
    assert_null(hb_json_strict_outline(json, &outline, NULL));
    assert_true(outline.is_object);
    assert_int_equal(outline.count, 5);
    for (uint32_t i = 0; i < outline.count; i++) {
        assert_piece(json, outline.members[i].key_at, outline.members[i].key_len, expected[i][0]);
        assert_piece(json, outline.members[i].value_at, outline.members[i].value_len, expected[i][1]);
    }
}

static void only_objects_have_an_outline(void **state)
{
    struct hb_json_outline outline;
    (void)state;
    assert_null(hb_json_strict_outline(HB_TEXT("[{\"a\":1},2]"), &outline, NULL));
    assert_false(outline.is_object);
    assert_int_equal(outline.count, 0);
    assert_null(hb_json_strict_outline(HB_TEXT("\"a\""), &outline, NULL));
    assert_false(outline.is_object);
    assert_null(hb_json_strict_outline(HB_TEXT("{}"), &outline, NULL));
    assert_true(outline.is_object);
    assert_int_equal(outline.count, 0);
}

static void strings_are_measured_unescaped(void **state)
{
    (void)state;
    assert_int_equal(hb_json_string_length(HB_TEXT("")), 0);
    assert_int_equal(hb_json_string_length(HB_TEXT("abc")), 3);
    assert_int_equal(hb_json_string_length(HB_TEXT("a\\n\\\\b")), 4);
    assert_int_equal(hb_json_string_length(HB_TEXT("\\u0041\\u00f6\\u20ac\\ud83d\\ude00")), 1 + 2 + 3 + 4);
    assert_true(hb_json_string_has_control(HB_TEXT("a\\tb")));
    assert_true(hb_json_string_has_control(HB_TEXT("a\\u007F")));
    assert_true(hb_json_string_has_control(HB_TEXT("\\u0080")));
    assert_true(hb_json_string_has_control(HB_TEXT("\x7f")));
    assert_true(hb_json_string_has_control(HB_TEXT("\\/\xc2\x9f")));
    assert_false(hb_json_string_has_control(HB_TEXT("\\\"\\\\ \\u00a0\xc2\xa0\xf0\x9f\x98\x80")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rfc_is_accepted),
        cmocka_unit_test(a_refusal_says_what_and_where),
        cmocka_unit_test(a_nul_byte_is_nowhere_allowed),
        cmocka_unit_test(names_are_compared_after_unescaping),
        cmocka_unit_test(names_of_one_hash_are_told_apart),
        cmocka_unit_test(eight_levels_and_no_more),
        cmocka_unit_test(two_hundred_fifty_six_members_and_no_more),
        cmocka_unit_test(full_objects_may_be_nested),
        cmocka_unit_test(no_beginning_of_a_text_passes),
        cmocka_unit_test(any_byte_anywhere_is_survived),
        cmocka_unit_test(the_outline_tells_where_members_stand),
        cmocka_unit_test(only_objects_have_an_outline),
        cmocka_unit_test(strings_are_measured_unescaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
