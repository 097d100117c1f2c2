/*
 * heap: sifting moves a hole, not pairs, so each level costs one pointer write and one back reference.
 *
 * Invariant: nodes[node->place] == node for every node inside, and no child's key is below its parent's. Nodes of equal
 * key come out in no particular order.
 */
#include "proto/base/heap.h"

#include <stdlib.h>

#define FIRST_CAP 16

void hb_heap_init(struct hb_heap *heap)
{
    *heap = (struct hb_heap){.nodes = NULL};
}

void hb_heap_free(struct hb_heap *heap)
{
    free(heap->nodes);
    hb_heap_init(heap);
}

enum hb_err hb_heap_reserve(struct hb_heap *heap, uint32_t count)
{
    if (count <= heap->cap)
        return HB_OK;
    if (count == HB_HEAP_OUTSIDE)
        return HB_ERR_FULL; /* the last place would read as "in no heap" */
    /* At least doubling, so that reserving one more before each push stays amortised O(1). */
    size_t cap = heap->cap ? (size_t)heap->cap * 2 : FIRST_CAP;
    if (cap < count)
        cap = count;
    if (cap >= HB_HEAP_OUTSIDE)
        cap = HB_HEAP_OUTSIDE - 1;
    struct hb_heap_node **nodes = reallocarray(heap->nodes, cap, sizeof(struct hb_heap_node *));
    if (!nodes)
        return HB_ERR_NO_MEMORY;
    heap->nodes = nodes;
    heap->cap = (uint32_t)cap;
    return HB_OK;
}

static void seat(struct hb_heap *heap, struct hb_heap_node *node, uint32_t place)
{
    heap->nodes[place] = node;
    node->place = place;
}

/* Moves the hole towards the root while the parent is larger than the node that is to fill it. */
static void sift_up(struct hb_heap *heap, struct hb_heap_node *node, uint32_t hole)
{
    while (hole > 0) {
        uint32_t parent = (hole - 1) / 2;
        if (heap->nodes[parent]->key <= node->key)
            break;
        seat(heap, heap->nodes[parent], hole);
        hole = parent;
    }
    seat(heap, node, hole);
}

/* Moves the hole towards the leaves while a child is smaller than the node that is to fill it. */
static void sift_down(struct hb_heap *heap, struct hb_heap_node *node, uint32_t hole)
{
    for (;;) {
        size_t child = (size_t)hole * 2 + 1; /* may pass UINT32_MAX */
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && heap->nodes[child + 1]->key < heap->nodes[child]->key)
            child++;
        if (heap->nodes[child]->key >= node->key)
            break;
        seat(heap, heap->nodes[child], hole);
        hole = (uint32_t)child;
    }
    seat(heap, node, hole);
}

static void sift(struct hb_heap *heap, struct hb_heap_node *node, uint32_t hole)
{
    if (hole > 0 && heap->nodes[(hole - 1) / 2]->key > node->key)
        sift_up(heap, node, hole);
    else
        sift_down(heap, node, hole);
}

void hb_heap_set(struct hb_heap *heap, struct hb_heap_node *node, int64_t key)
{
    node->key = key;
    if (node->place == HB_HEAP_OUTSIDE) {
        if (heap->count == heap->cap)
            abort(); /* the caller forgot hb_heap_reserve; going on would write past the array */
        sift_up(heap, node, heap->count++);
    } else {
        sift(heap, node, node->place);
    }
}

void hb_heap_remove(struct hb_heap *heap, struct hb_heap_node *node)
{
    uint32_t hole = node->place;
    if (hole == HB_HEAP_OUTSIDE)
        return;
    node->place = HB_HEAP_OUTSIDE;
    struct hb_heap_node *last = heap->nodes[--heap->count];
    if (last != node)
        sift(heap, last, hole);
}

struct hb_heap_node *hb_heap_min(const struct hb_heap *heap)
{
    return heap->count > 0 ? heap->nodes[0] : NULL;
}
