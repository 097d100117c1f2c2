/*
 * persist_tickets: when each is answered, and with what; callbacks that add and cancel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "manager/app/mirror.h"
#include "manager/app/persist_tickets.h"

#define NOW_MS 1000

struct fixture {
    struct hb_registry *registry;
    struct hb_mirror *mirror;
    struct hb_persist_tickets *tickets;
    unsigned stored, not_stored;
};

static int set_up(void **state)
{
    const struct hb_registry_rules rules = {.timeout_ms = 15000, .max_workers = 1000};
    struct fixture *fixture = calloc(1, sizeof *fixture);

    fixture->registry = hb_registry_new(&rules);
    fixture->mirror = hb_mirror_new(HB_TEXT("m1"), fixture->registry);
    fixture->tickets = hb_persist_tickets_new(fixture->registry);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    hb_persist_tickets_free(fixture->tickets);
    hb_mirror_free(fixture->mirror);
    hb_registry_free(fixture->registry);
    free(fixture);
    return 0;
}

/* A worker whose row is dirty. */
static void add_worker(struct fixture *fixture, const char *id)
{
    const struct hb_registration registration = {.port = 8001};
    const struct hb_input input = {.kind = HB_INPUT_REGISTER,
                                   .id = hb_text_of(id),
                                   .registration = &registration,
                                   .peer_host = HB_TEXT("10.0.0.1")};
    struct hb_effects effects;

    assert_int_equal(hb_registry_step(fixture->registry, &input, (struct hb_moment){{NOW_MS}, {1}}, &effects), HB_OK);
    assert_int_equal(hb_mirror_change(fixture->mirror, effects.items[0].worker), HB_OK);
}

static void store_rows(struct fixture *fixture, unsigned count)
{
    while (count-- > 0)
        assert_non_null(hb_mirror_take(fixture->mirror));
    hb_mirror_acked(fixture->mirror);
    hb_persist_tickets_stored(fixture->tickets);
}

static void on_answer(void *self, bool persisted)
{
    struct fixture *fixture = self;

    if (persisted)
        fixture->stored++;
    else
        fixture->not_stored++;
}

static struct hb_persist_ticket *await(struct fixture *fixture, const char *id, int64_t wait_ms)
{
    hb_mono_ms deadline = {NOW_MS + wait_ms};

    return hb_persist_tickets_add(fixture->tickets, hb_text_of(id), deadline, false, on_answer, fixture);
}

static void assert_answers(struct fixture *fixture, unsigned stored, unsigned not_stored)
{
    hb_persist_tickets_answer(fixture->tickets);
    assert_int_equal(fixture->stored, stored);
    assert_int_equal(fixture->not_stored, not_stored);
    assert_false(hb_persist_tickets_answerable(fixture->tickets));
}

static void test_answered_when_the_row_has_arrived(void **state)
{
    struct fixture *fixture = *state;

    add_worker(fixture, "w1");
    add_worker(fixture, "w2");
    await(fixture, "w1", 500);
    await(fixture, "w2", 500);
    assert_false(hb_persist_tickets_answerable(fixture->tickets));
    store_rows(fixture, 1);
    assert_int_equal(fixture->stored, 0); /* not before they are to be called */
    assert_answers(fixture, 1, 0);
    store_rows(fixture, 1);
    assert_answers(fixture, 2, 0);
    assert_int_equal(hb_persist_tickets_deadline(fixture->tickets).ms, HB_MONO_NEVER.ms);
}

static void test_a_row_that_is_there_already(void **state)
{
    struct fixture *fixture = *state;

    add_worker(fixture, "w1");
    store_rows(fixture, 1);
    await(fixture, "w1", 500);
    assert_int_equal(fixture->stored, 0);
    assert_answers(fixture, 1, 0);
}

static void test_false_at_the_deadline(void **state)
{
    struct fixture *fixture = *state;

    add_worker(fixture, "w1");
    await(fixture, "w1", 500);
    await(fixture, "w1", 200);
    assert_int_equal(hb_persist_tickets_deadline(fixture->tickets).ms, NOW_MS + 200);
    hb_persist_tickets_expire(fixture->tickets, (hb_mono_ms){NOW_MS + 199});
    assert_answers(fixture, 0, 0);
    hb_persist_tickets_expire(fixture->tickets, (hb_mono_ms){NOW_MS + 200});
    assert_answers(fixture, 0, 1);
    assert_int_equal(hb_persist_tickets_deadline(fixture->tickets).ms, NOW_MS + 500);
}

static void test_false_when_there_is_no_hope(void **state)
{
    struct fixture *fixture = *state;

    add_worker(fixture, "w1");
    hb_persist_tickets_add(fixture->tickets, HB_TEXT("w1"), HB_MONO_NEVER, true, on_answer, fixture);
    assert_answers(fixture, 0, 1);
    await(fixture, "w1", 500);
    await(fixture, "nobody", 500);
    hb_persist_tickets_give_up(fixture->tickets);
    assert_answers(fixture, 0, 3);
}

static void test_a_cancelled_one_is_never_called(void **state)
{
    struct fixture *fixture = *state;
    struct hb_persist_ticket *waiting, *answerable;

    add_worker(fixture, "w1");
    waiting = await(fixture, "w1", 500);
    hb_persist_ticket_cancel(waiting);
    store_rows(fixture, 1);
    answerable = await(fixture, "w1", 500);
    hb_persist_ticket_cancel(answerable);
    assert_answers(fixture, 0, 0);
    assert_int_equal(hb_persist_tickets_deadline(fixture->tickets).ms, HB_MONO_NEVER.ms);
}

/* One ticket whose row never arrives must not keep the others waiting, however many stand behind it. */
static void test_those_behind_a_stuck_one(void **state)
{
    struct fixture *fixture = *state;
    char id[8];

    await(fixture, "nobody", 500);
    for (int i = 0; i < 600; i++) {
        snprintf(id, sizeof id, "w%03d", i);
        add_worker(fixture, id);
        await(fixture, id, 500);
    }
    store_rows(fixture, 600);
    assert_answers(fixture, 600, 0);
}

static void test_beyond_the_ceiling(void **state)
{
    struct fixture *fixture = *state;

    add_worker(fixture, "w1");
    for (int i = 0; i < HB_TICKETS_MAX + 3; i++)
        assert_non_null(await(fixture, "w1", 500));
    assert_answers(fixture, 0, 3);
    store_rows(fixture, 1);
    assert_answers(fixture, HB_TICKETS_MAX, 3);
}

static void add_another(void *self, bool persisted)
{
    struct fixture *fixture = self;

    on_answer(self, persisted);
    hb_persist_tickets_add(fixture->tickets, HB_TEXT("w1"), HB_MONO_NEVER, true, on_answer, fixture);
}

static void clear_all(void *self, bool persisted)
{
    struct fixture *fixture = self;

    on_answer(self, persisted);
    hb_persist_tickets_clear(fixture->tickets);
}

static void test_callbacks_that_add_and_clear(void **state)
{
    struct fixture *fixture = *state;

    hb_persist_tickets_add(fixture->tickets, HB_TEXT("w1"), HB_MONO_NEVER, true, add_another, fixture);
    hb_persist_tickets_answer(fixture->tickets);
    assert_int_equal(fixture->not_stored, 1);
    assert_true(hb_persist_tickets_answerable(fixture->tickets));
    assert_answers(fixture, 0, 2);
    for (int i = 0; i < 3; i++)
        hb_persist_tickets_add(fixture->tickets, HB_TEXT("w1"), HB_MONO_NEVER, true, clear_all, fixture);
    assert_answers(fixture, 0, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answered_when_the_row_has_arrived, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_row_that_is_there_already, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_false_at_the_deadline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_false_when_there_is_no_hope, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_cancelled_one_is_never_called, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_those_behind_a_stuck_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_beyond_the_ceiling, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_callbacks_that_add_and_clear, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
