/*
 * err: every code has its own text, and a stray number has one too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "proto/base/err.h"

static void test_known_codes(void **state)
{
    (void)state;
    assert_string_equal(hb_err_text(HB_OK), "ok");
    assert_string_equal(hb_err_text(HB_ERR_NO_MEMORY), "out of memory");
    assert_string_equal(hb_err_text(HB_ERR_IO), "input or output failed");
}

static void test_texts_differ(void **state)
{
    (void)state;
    for (int a = HB_OK; a <= HB_ERR_IO; a++)
        for (int b = a + 1; b <= HB_ERR_IO; b++)
            assert_string_not_equal(hb_err_text((enum hb_err)a), hb_err_text((enum hb_err)b));
}

static void test_unknown_code(void **state)
{
    (void)state;
    assert_string_equal(hb_err_text((enum hb_err)15), "no such error code");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_codes),
        cmocka_unit_test(test_texts_differ),
        cmocka_unit_test(test_unknown_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
