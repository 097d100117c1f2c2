/*
 * heap: a binary min-heap of nodes that live inside their owners.
 *
 * Only the array of pointers is the heap's own. A node knows its place, so any node can be moved or removed in
 * O(log n); the smallest is read in O(1). Source: Williams, "Algorithm 232: Heapsort", CACM 7(6), 1964; the back
 * reference is what libevent's min_heap does.
 */
#ifndef HB_BASE_HEAP_H
#define HB_BASE_HEAP_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

#define HB_HEAP_OUTSIDE UINT32_MAX

struct hb_heap_node {
    int64_t key;
    uint32_t place; /* HB_HEAP_OUTSIDE while in no heap; set it so before first use */
};

struct hb_heap {
    struct hb_heap_node **nodes;
    uint32_t count;
    uint32_t cap;
};

void hb_heap_init(struct hb_heap *heap);
void hb_heap_free(struct hb_heap *heap); /* the nodes are their owners' */

/* Room for count nodes in all, so that the next pushes cannot fail. */
enum hb_err hb_heap_reserve(struct hb_heap *heap, uint32_t count) HB_MUST_CHECK;
/* Puts a node in, or moves one that is in already. Needs room from hb_heap_reserve when it is new. */
void hb_heap_set(struct hb_heap *heap, struct hb_heap_node *node, int64_t key);
void hb_heap_remove(struct hb_heap *heap, struct hb_heap_node *node); /* nothing happens when it is in no heap */
struct hb_heap_node *hb_heap_min(const struct hb_heap *heap);         /* NULL when empty */

#endif
