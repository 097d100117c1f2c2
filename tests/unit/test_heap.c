/*
 * heap: single steps, then 10^5 random ones against an array that is searched whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "proto/base/heap.h"

#define NODES 500
#define STEPS 100000

/* xorshift64*: the same steps on every machine. */
static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * UINT64_C(2685821657736338717);
}

static void test_empty(void **state)
{
    (void)state;
    struct hb_heap heap;
    struct hb_heap_node outsider = {.place = HB_HEAP_OUTSIDE};
    hb_heap_init(&heap);
    assert_null(hb_heap_min(&heap));
    hb_heap_remove(&heap, &outsider);
    assert_int_equal(heap.count, 0);
    hb_heap_free(&heap);
    hb_heap_free(&heap);
}

static void test_comes_out_sorted(void **state)
{
    (void)state;
    struct hb_heap heap;
    struct hb_heap_node nodes[64];
    uint64_t seed = 7;
    hb_heap_init(&heap);
    assert_int_equal(hb_heap_reserve(&heap, 64), HB_OK);
    for (int i = 0; i < 64; i++) {
        nodes[i].place = HB_HEAP_OUTSIDE;
        hb_heap_set(&heap, &nodes[i], (int64_t)next_random(&seed)); /* negative keys too */
    }
    int64_t last = INT64_MIN;
    for (int i = 0; i < 64; i++) {
        struct hb_heap_node *min = hb_heap_min(&heap);
        assert_true(min->key >= last);
        last = min->key;
        hb_heap_remove(&heap, min);
        assert_int_equal(min->place, HB_HEAP_OUTSIDE);
    }
    assert_null(hb_heap_min(&heap));
    hb_heap_free(&heap);
}

static void test_reserve(void **state)
{
    (void)state;
    struct hb_heap heap;
    struct hb_heap_node node = {.place = HB_HEAP_OUTSIDE};
    hb_heap_init(&heap);
    assert_int_equal(hb_heap_reserve(&heap, 0), HB_OK);
    assert_int_equal(hb_heap_reserve(&heap, 1000), HB_OK);
    assert_true(heap.cap >= 1000);
    hb_heap_set(&heap, &node, 5);
    int growths = 0;
    for (uint32_t cap = heap.cap, count = 1; count < 100000; count++) {
        assert_int_equal(hb_heap_reserve(&heap, count), HB_OK);
        growths += heap.cap != cap;
        cap = heap.cap;
    }
    assert_true(growths <= 10); /* one by one, it still grows in strides */
    assert_int_equal(hb_heap_reserve(&heap, UINT32_MAX), HB_ERR_FULL);
    assert_ptr_equal(hb_heap_min(&heap), &node);
    hb_heap_free(&heap);
}

static void assert_is_heap(const struct hb_heap *heap)
{
    for (uint32_t i = 0; i < heap->count; i++) {
        assert_int_equal(heap->nodes[i]->place, i);
        if (i > 0)
            assert_true(heap->nodes[(i - 1) / 2]->key <= heap->nodes[i]->key);
    }
}

static void test_against_naive_model(void **state)
{
    (void)state;
    struct hb_heap heap;
    static struct hb_heap_node nodes[NODES];
    static int64_t model[NODES]; /* key of each node; INT64_MAX: outside */
    uint64_t seed = 20261120;
    uint32_t inside = 0;
    hb_heap_init(&heap);
    for (int i = 0; i < NODES; i++) {
        nodes[i].place = HB_HEAP_OUTSIDE;
        model[i] = INT64_MAX;
    }
    for (int step = 0; step < STEPS; step++) {
        int i = (int)(next_random(&seed) >> 33) % NODES;
        if ((next_random(&seed) >> 33) % 3 == 0) {
            inside -= model[i] != INT64_MAX;
            model[i] = INT64_MAX;
            hb_heap_remove(&heap, &nodes[i]);
        } else {
            /* Few different keys, so that many are equal. */
            int64_t key = (int64_t)((next_random(&seed) >> 33) % 300) - 150;
            inside += model[i] == INT64_MAX;
            model[i] = key;
            assert_int_equal(hb_heap_reserve(&heap, inside), HB_OK);
            hb_heap_set(&heap, &nodes[i], key);
        }
        int64_t least = INT64_MAX;
        for (int j = 0; j < NODES; j++)
            least = model[j] < least ? model[j] : least;
        assert_int_equal(heap.count, inside);
        assert_true(inside == 0 ? hb_heap_min(&heap) == NULL : hb_heap_min(&heap)->key == least);
        if (step % 100 == 0)
            assert_is_heap(&heap);
    }
    for (int j = 0; j < NODES; j++)
        assert_true(model[j] == INT64_MAX ? nodes[j].place == HB_HEAP_OUTSIDE : nodes[j].key == model[j]);
    hb_heap_free(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_comes_out_sorted),
        cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_against_naive_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
