/*
 * histogram: what falls where, what is at most what, and what a text of it says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "manager/app/exposition.h"

static const struct hb_histogram_scale scale_ms = {
    3, {1, 2, 5, 10, 15, 20, 30, 50, 75, 100, 150, 250, 500, 1000, 2500, 10000}};

static struct hb_histogram histogram_of(size_t count, const int64_t *values)
{
    struct hb_histogram histogram = {.scale = &scale_ms};

    for (size_t i = 0; i < count; i++)
        hb_histogram_add(&histogram, values[i]);
    return histogram;
}

/* The bucket of a value, by looking through all bounds: what is to be compared with. */
static size_t naive_bucket(int64_t value)
{
    size_t bucket = 0;

    while (bucket < HB_HISTOGRAM_BOUNDS && value > scale_ms.bounds[bucket])
        bucket++;
    return bucket;
}

static void test_bounds_are_inclusive(void **state)
{
    (void)state;
    for (int64_t value = 0; value <= 10002; value++) {
        struct hb_histogram histogram = histogram_of(1, &value);

        for (size_t i = 0; i <= HB_HISTOGRAM_BOUNDS; i++)
            assert_int_equal(histogram.counts[i], i == naive_bucket(value));
        assert_int_equal(histogram.sum, value);
    }
}

static void test_out_of_range(void **state)
{
    const int64_t values[] = {-1, INT64_MIN, (int64_t)INT32_MAX + 1, (int64_t)1 << 40};
    struct hb_histogram histogram = histogram_of(4, values);

    (void)state;
    assert_int_equal(histogram.counts[0], 2); /* nothing takes less than no time */
    assert_int_equal(histogram.counts[HB_HISTOGRAM_BOUNDS], 2);
    assert_int_equal(histogram.sum, (uint64_t)INT32_MAX + 1 + ((uint64_t)1 << 40));
}

static void test_at_most_grows(void **state)
{
    const int64_t values[] = {0, 1, 2, 3, 9999, 10000, 10001, 10002};
    struct hb_histogram histogram = histogram_of(8, values);

    (void)state;
    assert_int_equal(hb_histogram_at_most(&histogram, 0), 2);
    assert_int_equal(hb_histogram_at_most(&histogram, 1), 3);
    assert_int_equal(hb_histogram_at_most(&histogram, 2), 4);
    assert_int_equal(hb_histogram_at_most(&histogram, HB_HISTOGRAM_BOUNDS - 1), 6);
    assert_int_equal(hb_histogram_at_most(&histogram, HB_HISTOGRAM_BOUNDS), 8);
    for (size_t i = 1; i <= HB_HISTOGRAM_BOUNDS; i++)
        assert_true(hb_histogram_at_most(&histogram, i) >= hb_histogram_at_most(&histogram, i - 1));
}

static void test_text(void **state)
{
    const int64_t values[] = {1, 7, 7, 700, 20000};
    struct hb_histogram histogram = histogram_of(5, values);
    struct hb_buf text;

    (void)state;
    hb_buf_init(&text, 4096);
    hb_exposition_histogram(&text, "delay_seconds", "How late.", &histogram);
    assert_int_equal(hb_buf_status(&text), HB_OK);
    assert_string_equal(text.bytes, "# HELP delay_seconds How late.\n"
                                    "# TYPE delay_seconds histogram\n"
                                    "delay_seconds_bucket{le=\"0.001\"} 1\n"
                                    "delay_seconds_bucket{le=\"0.002\"} 1\n"
                                    "delay_seconds_bucket{le=\"0.005\"} 1\n"
                                    "delay_seconds_bucket{le=\"0.01\"} 3\n"
                                    "delay_seconds_bucket{le=\"0.015\"} 3\n"
                                    "delay_seconds_bucket{le=\"0.02\"} 3\n"
                                    "delay_seconds_bucket{le=\"0.03\"} 3\n"
                                    "delay_seconds_bucket{le=\"0.05\"} 3\n"
                                    "delay_seconds_bucket{le=\"0.075\"} 3\n"
                                    "delay_seconds_bucket{le=\"0.1\"} 3\n"
                                    "delay_seconds_bucket{le=\"0.15\"} 3\n"
                                    "delay_seconds_bucket{le=\"0.25\"} 3\n"
                                    "delay_seconds_bucket{le=\"0.5\"} 3\n"
                                    "delay_seconds_bucket{le=\"1\"} 4\n"
                                    "delay_seconds_bucket{le=\"2.5\"} 4\n"
                                    "delay_seconds_bucket{le=\"10\"} 4\n"
                                    "delay_seconds_bucket{le=\"+Inf\"} 5\n"
                                    "delay_seconds_sum 20.715\n"
                                    "delay_seconds_count 5\n");
    hb_buf_free(&text);
}

static void test_decimals(void **state)
{
    static const struct {
        uint64_t value;
        unsigned decimals;
        const char *text;
    } cases[] = {
        {0, 0, "0"},
        {0, 3, "0"},
        {5, 0, "5"},
        {1500, 3, "1.5"},
        {1000, 3, "1"},
        {1, 6, "0.000001"},
        {10, 6, "0.00001"},
        {1000001, 6, "1.000001"},
        {UINT64_MAX, 0, "18446744073709551615"},
        {UINT64_MAX, 6, "18446744073709.551615"},
        {100, 0, "100"},
    };
    struct hb_buf text;

    (void)state;
    hb_buf_init(&text, 64);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hb_buf_clear(&text);
        hb_append_decimal(&text, cases[i].value, cases[i].decimals);
        assert_string_equal(text.bytes, cases[i].text);
    }
    hb_buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds_are_inclusive),
        cmocka_unit_test(test_out_of_range),
        cmocka_unit_test(test_at_most_grows),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_decimals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
