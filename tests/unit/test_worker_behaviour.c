/*
 * The faults a worker plays, on simulated time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/behaviour.h"

static hb_mono_ms ms(int64_t value)
{
    return (hb_mono_ms){value};
}

static void test_healthy_plays_nothing(void **state)
{
    (void)state;
    struct hb_behaviour behaviour;
    hb_behaviour_init(&behaviour, HB_BEHAVIOUR_HEALTHY, ms(0));
    for (int64_t t = 0; t < 3600000; t += 1000)
        assert_true(hb_behaviour_healthy(&behaviour, ms(t), 0));
    assert_int_equal(hb_behaviour_new_failures(&behaviour, ms(3600000)), 0);
    assert_int_equal(hb_behaviour_answer_delay_ms(&behaviour), 0);
    assert_int_equal(hb_behaviour_online_max_ms(HB_BEHAVIOUR_HEALTHY), 0);
    assert_int_equal(hb_behaviour_beats_max(HB_BEHAVIOUR_HEALTHY), 0);
}

static void test_random_draws_and_holds(void **state)
{
    (void)state;
    struct hb_behaviour behaviour;
    hb_behaviour_init(&behaviour, HB_BEHAVIOUR_RANDOM, ms(0));
    assert_false(hb_behaviour_healthy(&behaviour, ms(0), 0)); /* unhealthy, held the shortest time */
    assert_false(hb_behaviour_healthy(&behaviour, ms(HB_BEHAVIOUR_HOLD_MIN_MS - 1), UINT32_MAX));
    assert_true(hb_behaviour_healthy(&behaviour, ms(HB_BEHAVIOUR_HOLD_MIN_MS), UINT32_MAX)); /* held the longest */
    int64_t over = HB_BEHAVIOUR_HOLD_MIN_MS + HB_BEHAVIOUR_HOLD_MAX_MS;
    assert_true(hb_behaviour_healthy(&behaviour, ms(over - 1), 0));
    assert_false(hb_behaviour_healthy(&behaviour, ms(over), 0));
}

/* All high halves once each: the share is exact, with no luck in it. */
static void test_random_is_unhealthy_a_fifth_of_the_time(void **state)
{
    (void)state;
    struct hb_behaviour behaviour;
    hb_behaviour_init(&behaviour, HB_BEHAVIOUR_RANDOM, ms(0));
    int unhealthy = 0;
    for (uint32_t high = 0; high < 0x10000; high++)
        unhealthy += !hb_behaviour_healthy(&behaviour, behaviour.held_until, high << 16);
    assert_int_equal((unhealthy * 1000 + 0x8000) / 0x10000, 200); /* per mille */
}

static void test_degrading_counts_each_failure_once(void **state)
{
    (void)state;
    struct hb_behaviour behaviour;
    hb_behaviour_init(&behaviour, HB_BEHAVIOUR_DEGRADING, ms(0));
    assert_int_equal(hb_behaviour_new_failures(&behaviour, ms(HB_BEHAVIOUR_FAILURE_MS - 1)), 0);
    assert_int_equal(hb_behaviour_new_failures(&behaviour, ms(HB_BEHAVIOUR_FAILURE_MS)), 1);
    assert_int_equal(hb_behaviour_new_failures(&behaviour, ms(HB_BEHAVIOUR_FAILURE_MS)), 0);
    int64_t total = 1;
    for (int64_t t = HB_BEHAVIOUR_FAILURE_MS; t <= 600000; t += 777) /* however unevenly it is asked */
        total += hb_behaviour_new_failures(&behaviour, ms(t));
    total += hb_behaviour_new_failures(&behaviour, ms(600000));
    assert_int_equal(total, 600000 / HB_BEHAVIOUR_FAILURE_MS);
    assert_true(hb_behaviour_healthy(&behaviour, ms(600000), 0)); /* it still answers 200 */
}

static void test_each_other_fault_is_its_own(void **state)
{
    (void)state;
    for (int kind = HB_BEHAVIOUR_HEALTHY; kind <= HB_BEHAVIOUR_FROZEN; kind++) {
        struct hb_behaviour behaviour;
        hb_behaviour_init(&behaviour, (enum hb_behaviour_kind)kind, ms(0));
        assert_int_equal(hb_behaviour_answer_delay_ms(&behaviour), kind == HB_BEHAVIOUR_SLOW ? 3000 : 0);
        assert_int_equal(hb_behaviour_online_max_ms(behaviour.kind), kind == HB_BEHAVIOUR_FLAPPING ? 4000 : 0);
        assert_int_equal(hb_behaviour_beats_max(behaviour.kind), kind == HB_BEHAVIOUR_FROZEN ? 3 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_healthy_plays_nothing),
        cmocka_unit_test(test_random_draws_and_holds),
        cmocka_unit_test(test_random_is_unhealthy_a_fifth_of_the_time),
        cmocka_unit_test(test_degrading_counts_each_failure_once),
        cmocka_unit_test(test_each_other_fault_is_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
