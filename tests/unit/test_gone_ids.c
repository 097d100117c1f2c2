/*
 * gone_ids: remembered up to a ceiling, the oldest forgotten first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "manager/core/gone_ids.h"

static void test_remembers_whether_it_was_told(void **state)
{
    struct hb_gone_ids gone = {0};
    bool told = true;

    (void)state;
    assert_false(hb_gone_ids_ask(&gone, HB_TEXT("w1"), &told));
    hb_gone_ids_add(&gone, "w1", false);
    hb_gone_ids_add(&gone, "w22", true);
    assert_true(hb_gone_ids_ask(&gone, HB_TEXT("w1"), &told));
    assert_false(told);
    assert_true(hb_gone_ids_ask(&gone, HB_TEXT("w22"), &told));
    assert_true(told);
    assert_false(hb_gone_ids_ask(&gone, HB_TEXT("w2"), &told));
    assert_false(hb_gone_ids_ask(&gone, HB_TEXT("w3"), &told));
    hb_gone_ids_add(&gone, "w1", true); /* removed again */
    assert_true(hb_gone_ids_ask(&gone, HB_TEXT("w1"), &told) && told);
    hb_gone_ids_add(&gone, "w1", false);
    assert_true(hb_gone_ids_ask(&gone, HB_TEXT("w1"), &told) && told);
    assert_int_equal(gone.count, 2);
    hb_gone_ids_free(&gone);
    assert_false(hb_gone_ids_ask(&gone, HB_TEXT("w1"), &told));
    hb_gone_ids_free(&gone);
}

static void test_forgets_the_oldest(void **state)
{
    struct hb_gone_ids gone = {0};
    char id[16];
    bool told;

    (void)state;
    for (unsigned i = 0; i < HB_GONE_IDS_MAX + 3; i++) {
        snprintf(id, sizeof id, "w%u", i);
        hb_gone_ids_add(&gone, id, false);
    }
    assert_int_equal(gone.count, HB_GONE_IDS_MAX);
    assert_false(hb_gone_ids_ask(&gone, HB_TEXT("w2"), &told));
    assert_true(hb_gone_ids_ask(&gone, HB_TEXT("w3"), &told));
    assert_true(hb_gone_ids_ask(&gone, hb_text_of(id), &told));
    hb_gone_ids_free(&gone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_remembers_whether_it_was_told),
        cmocka_unit_test(test_forgets_the_oldest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
