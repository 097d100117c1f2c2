/*
 * map: text keys to pointers. Open addressing with linear probing, kept at most 3/4 full.
 *
 * The key is not copied: it must live inside the value, or at least as long as it. Keys come from the network, so the
 * hash is SipHash-1-3 (Aumasson and Bernstein) under a seed that the caller draws at random: nobody outside can aim for
 * collisions. Look-up, insertion and removal are O(1); one insertion in n rehashes all.
 */
#ifndef HB_BASE_MAP_H
#define HB_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

struct hb_map;

struct hb_map *hb_map_new(const uint64_t seed[2]); /* NULL when out of memory; hb_map_free frees it */
void hb_map_free(struct hb_map *map);              /* accepts NULL; values are the caller's */

void *hb_map_get(const struct hb_map *map, const char *key, size_t key_len); /* NULL when absent */
/* Inserts a key that is not there yet; HB_ERR_INVALID when it is, or for a NULL value. A failure leaves the map as is.
 */
enum hb_err hb_map_insert(struct hb_map *map, const char *key, size_t key_len, void *value) HB_MUST_CHECK;
void *hb_map_remove(struct hb_map *map, const char *key, size_t key_len); /* the value, or NULL when absent */
size_t hb_map_count(const struct hb_map *map);

/* SipHash-1-3 as the map uses it; public so that it can be held against other implementations. */
uint64_t hb_map_hash(const uint64_t seed[2], const void *key, size_t key_len);

#endif
