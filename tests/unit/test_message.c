/* The vocabularies' texts, and what an id and a name may be made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "proto/wire/limits.h"
#include "proto/wire/message.h"

#define WORD(name, text) text,
#define COUNT(map) (sizeof((const char *const[]){map(WORD)}) / sizeof(const char *))

static void every_word_has_its_text(void **state)
{
    (void)state;
#define CHECK_STATUS(name, text) assert_string_equal(hb_status_text(HB_STATUS_##name), text);
    HB_STATUS_MAP(CHECK_STATUS)
#define CHECK_HEALTH(name, text) assert_string_equal(hb_health_text(HB_HEALTH_##name), text);
    HB_HEALTH_MAP(CHECK_HEALTH)
#define CHECK_ANNOUNCED(name, text) assert_string_equal(hb_announced_text(HB_ANNOUNCED_##name), text);
    HB_ANNOUNCED_MAP(CHECK_ANNOUNCED)
#define CHECK_EDGE(name, text) assert_string_equal(hb_edge_channel(HB_EDGE_##name), text);
    HB_EDGE_MAP(CHECK_EDGE)
#define CHECK_REASON(name, text) assert_string_equal(hb_reason_text(HB_REASON_##name), text);
    HB_REASON_MAP(CHECK_REASON)
}

/* Clients switch on these: a change here is a change of the contract. */
static void the_words_that_clients_know_stay(void **state)
{
    (void)state;
    assert_string_equal(hb_status_text(HB_STATUS_NOT_RESPONDING), "not_responding");
    assert_string_equal(hb_edge_channel(HB_EDGE_DOWN), "server:down");
    assert_string_equal(hb_edge_channel(HB_EDGE_RECOVERY), "server:recovery");
    assert_string_equal(hb_reason_text(HB_REASON_HEARTBEAT_TIMEOUT), "heartbeat_timeout");
    assert_string_equal(hb_health_text(HB_HEALTH_DEGRADED), "degraded");
}

static void a_number_outside_the_tables_gives_the_text_of_zero(void **state)
{
    (void)state;
    assert_string_equal(hb_status_text((enum hb_status)COUNT(HB_STATUS_MAP)), "unknown");
    assert_string_equal(hb_health_text((enum hb_health)COUNT(HB_HEALTH_MAP)), "unknown");
    assert_string_equal(hb_announced_text((enum hb_announced)COUNT(HB_ANNOUNCED_MAP)), "none");
    assert_string_equal(hb_edge_channel((enum hb_edge)COUNT(HB_EDGE_MAP)), "");
    assert_string_equal(hb_reason_text((enum hb_reason)COUNT(HB_REASON_MAP)), "");
}

static bool is_in(const char *set, int byte)
{
    return byte != 0 && strchr(set, byte) != NULL;
}

static void an_id_has_only_its_characters(void **state)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-";
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char middle[3] = {'a', (char)byte, 'z'};
        assert_int_equal(hb_id_valid((struct hb_text){middle, 3}), is_in(allowed, byte));
    }
}

static void an_id_has_1_to_64_bytes(void **state)
{
    char id[HB_ID_MAX + 1];
    (void)state;
    memset(id, 'a', sizeof id);
    assert_false(hb_id_valid((struct hb_text){NULL, 0}));
    assert_false(hb_id_valid((struct hb_text){id, 0}));
    assert_false(hb_id_valid(HB_TEXT(".")));
    assert_false(hb_id_valid(HB_TEXT("..")));
    assert_true(hb_id_valid(HB_TEXT("...")));
    assert_true(hb_id_valid((struct hb_text){id, 1}));
    assert_true(hb_id_valid((struct hb_text){id, HB_ID_MAX}));
    assert_false(hb_id_valid((struct hb_text){id, HB_ID_MAX + 1}));
}

static void a_name_has_1_to_128_bytes(void **state)
{
    char name[HB_NAME_MAX + 1];
    (void)state;
    memset(name, 'n', sizeof name);
    assert_false(hb_name_valid((struct hb_text){NULL, 0}));
    assert_false(hb_name_valid((struct hb_text){name, 0}));
    assert_true(hb_name_valid((struct hb_text){name, 1}));
    assert_true(hb_name_valid((struct hb_text){name, HB_NAME_MAX}));
    assert_false(hb_name_valid((struct hb_text){name, HB_NAME_MAX + 1}));
}

static void a_name_is_utf8(void **state)
{
    static const char *const good[] = {"Worker 1",         "W\xc3\xb6rker", "\xe2\x82\xac",
                                       "\xed\x9f\xbf",     "\xee\x80\x80",  "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf", "\xc2\xa0",      " "};
    static const char *const bad[] = {
        "\x80",             /* starts in the middle */
        "\xc3",             /* ends in the middle */
        "\xc3z",            /* no continuation */
        "\xc0\xaf",         /* an overlong slash */
        "\xe0\x9f\xbf",     /* overlong */
        "\xed\xa0\x80",     /* a surrogate */
        "\xf0\x8f\xbf\xbf", /* overlong */
        "\xf4\x90\x80\x80", /* above U+10FFFF */
        "\xf5\x80\x80\x80",
        "\xff",
        "\xe2\x82",
        "\xf0\x9f\x98",
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(hb_name_valid(hb_text_of(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(hb_name_valid(hb_text_of(bad[i])));
}

static void a_name_has_no_control_characters(void **state)
{
    (void)state;
    for (int byte = 0; byte < 0x80; byte++) {
        char name[3] = {'a', (char)byte, 'z'};
        assert_int_equal(hb_name_valid((struct hb_text){name, 3}), byte >= 0x20 && byte != 0x7f);
    }
    assert_false(hb_name_valid(HB_TEXT("\xc2\x80"))); /* C1 */
    assert_false(hb_name_valid(HB_TEXT("\xc2\x9f")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_word_has_its_text),
        cmocka_unit_test(the_words_that_clients_know_stay),
        cmocka_unit_test(a_number_outside_the_tables_gives_the_text_of_zero),
        cmocka_unit_test(an_id_has_only_its_characters),
        cmocka_unit_test(an_id_has_1_to_64_bytes),
        cmocka_unit_test(a_name_has_1_to_128_bytes),
        cmocka_unit_test(a_name_is_utf8),
        cmocka_unit_test(a_name_has_no_control_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
