/*
 * outbox: order, confirmation, the ceiling, and what counts as lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "manager/app/outbox.h"
#include "proto/wire/limits.h"

static bool no_memory;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
    return no_memory ? NULL : __real_malloc(size);
}

static void push(struct hb_outbox *outbox, uint64_t seq)
{
    const struct hb_event event = {
        .id = HB_TEXT("w1"),
        .name = HB_TEXT("one"),
        .status = HB_STATUS_ALIVE,
        .reason = HB_REASON_BEAT,
        .edge = HB_EDGE_UP,
        .manager = HB_TEXT("m1"),
        .epoch = 1,
        .seq = seq,
    };

    hb_outbox_push(outbox, &event);
}

static void assert_holds(const struct hb_outbox *outbox, uint64_t from, uint64_t to)
{
    assert_int_equal(hb_outbox_count(outbox), to - from + 1);
    for (uint64_t seq = from; seq <= to; seq++)
        assert_int_equal(hb_outbox_at(outbox, seq - from)->seq, seq);
}

static void test_an_item_is_id_and_event(void **state)
{
    struct hb_outbox *outbox = hb_outbox_new(10);
    const struct hb_outbox_item *item;

    (void)state;
    push(outbox, 7);
    item = hb_outbox_at(outbox, 0);
    assert_int_equal(item->edge, HB_EDGE_UP);
    assert_int_equal(item->id_len, 2);
    assert_string_equal(item->bytes, "w1");
    assert_memory_equal(item->bytes + 3, "{\"server_id\":\"w1\"", 17);
    assert_int_equal(item->bytes[3 + item->event_len - 1], '}');
    hb_outbox_free(outbox);
}

static void test_confirmed_ones_leave_in_order(void **state)
{
    struct hb_outbox *outbox = hb_outbox_new(1000);

    (void)state;
    for (uint64_t seq = 1; seq <= 300; seq++)
        push(outbox, seq);
    assert_holds(outbox, 1, 300);
    hb_outbox_confirm(outbox, 0);
    assert_holds(outbox, 1, 300);
    hb_outbox_confirm(outbox, 120);
    assert_holds(outbox, 121, 300);
    for (uint64_t seq = 301; seq <= 900; seq++) /* the ring wraps, then grows */
        push(outbox, seq);
    assert_holds(outbox, 121, 900);
    hb_outbox_confirm(outbox, 2000);
    assert_int_equal(hb_outbox_count(outbox), 0);
    assert_int_equal(hb_outbox_lost_ever(outbox), 0);
    hb_outbox_free(outbox);
}

static void test_the_oldest_are_lost_at_the_ceiling(void **state)
{
    struct hb_outbox *outbox = hb_outbox_new(100);

    (void)state;
    for (uint64_t seq = 1; seq <= 130; seq++)
        push(outbox, seq);
    assert_holds(outbox, 31, 130);
    assert_int_equal(hb_outbox_lost(outbox), 30);
    assert_int_equal(hb_outbox_lost_seq(outbox), 30);
    hb_outbox_loss_told(outbox);
    assert_int_equal(hb_outbox_lost(outbox), 0);
    assert_int_equal(hb_outbox_lost_ever(outbox), 30);
    push(outbox, 131);
    assert_int_equal(hb_outbox_lost(outbox), 1);
    assert_int_equal(hb_outbox_lost_seq(outbox), 31);
    hb_outbox_free(outbox);
}

static void test_the_oldest_are_lost_at_the_ceiling_of_bytes(void **state)
{
    static char url[HB_URL_MAX];
    struct hb_outbox *outbox = hb_outbox_new(HB_OUTBOX_MAX);
    struct hb_event event = {.id = HB_TEXT("w1"), .url = {url, sizeof url}, .epoch = 1};
    size_t each, kept;

    (void)state;
    memset(url, 'u', sizeof url);
    for (event.seq = 1; event.seq < HB_OUTBOX_MAX && hb_outbox_lost(outbox) == 0; event.seq++)
        hb_outbox_push(outbox, &event);
    kept = hb_outbox_count(outbox);
    each = sizeof(struct hb_outbox_item) + 3 + hb_outbox_at(outbox, 0)->event_len;
    assert_int_equal(hb_outbox_lost(outbox), 1);
    assert_in_range(kept * each, HB_OUTBOX_BYTES_MAX - (1 << 20), HB_OUTBOX_BYTES_MAX); /* seqs grow by some digits */
    assert_int_equal(hb_outbox_at(outbox, 0)->seq, 2);
    hb_outbox_confirm(outbox, event.seq / 2); /* half of it is room again */
    for (size_t i = 0; i < kept / 3; i++, event.seq++)
        hb_outbox_push(outbox, &event);
    assert_int_equal(hb_outbox_lost(outbox), 1);
    hb_outbox_free(outbox);
}

static void test_what_is_given_up_is_lost(void **state)
{
    struct hb_outbox *outbox = hb_outbox_new(100);

    (void)state;
    hb_outbox_clear(outbox);
    assert_int_equal(hb_outbox_lost(outbox), 0);
    for (uint64_t seq = 1; seq <= 5; seq++)
        push(outbox, seq);
    hb_outbox_clear(outbox);
    assert_int_equal(hb_outbox_count(outbox), 0);
    assert_int_equal(hb_outbox_lost(outbox), 5);
    assert_int_equal(hb_outbox_lost_seq(outbox), 5);
    push(outbox, 6);
    assert_holds(outbox, 6, 6);
    hb_outbox_free(outbox);
}

static void test_without_memory_the_new_one_is_lost(void **state)
{
    struct hb_outbox *outbox = hb_outbox_new(HB_OUTBOX_MAX);
    uint64_t seq = 1;

    (void)state;
    push(outbox, seq);
    no_memory = true;
    while (hb_outbox_lost(outbox) == 0 && seq < HB_OUTBOX_MAX)
        push(outbox, ++seq); /* until what was allocated at once is used up */
    no_memory = false;
    assert_holds(outbox, 1, seq - 1);
    assert_int_equal(hb_outbox_lost(outbox), 1);
    assert_int_equal(hb_outbox_lost_seq(outbox), seq);
    hb_outbox_clear(outbox); /* older ones are lost too, but the highest stays */
    assert_int_equal(hb_outbox_lost(outbox), seq);
    assert_int_equal(hb_outbox_lost_seq(outbox), seq);
    hb_outbox_free(outbox);
}

static void test_a_ceiling_of_one(void **state)
{
    struct hb_outbox *outbox = hb_outbox_new(0);

    (void)state;
    push(outbox, 1);
    push(outbox, 2);
    assert_holds(outbox, 2, 2);
    hb_outbox_free(outbox);
    hb_outbox_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_item_is_id_and_event),
        cmocka_unit_test(test_confirmed_ones_leave_in_order),
        cmocka_unit_test(test_the_oldest_are_lost_at_the_ceiling),
        cmocka_unit_test(test_the_oldest_are_lost_at_the_ceiling_of_bytes),
        cmocka_unit_test(test_what_is_given_up_is_lost),
        cmocka_unit_test(test_without_memory_the_new_one_is_lost),
        cmocka_unit_test(test_a_ceiling_of_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
