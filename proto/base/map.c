/*
 * map: one flat array of slots, a power of two long.
 *
 * A slot keeps the upper half of its key's hash as a tag. The tag's low bits choose the home slot and the whole tag is
 * compared before any key, so a probe past strangers, growth and removal never touch a key's memory.
 * Removal shifts the rest of the run back (Knuth, TAOCP 3, 6.4, algorithm R) instead of leaving a tombstone: look-ups
 * stay as short after a year of comings and goings as on the first day.
 * The array doubles at 3/4 and never shrinks. 24 bytes a slot; at most 2^31 slots, which is HB_ERR_FULL beyond.
 */
#include "proto/base/map.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 16
#define LAST_CAP ((size_t)1 << 31)

struct slot {
    const char *key;
    void *value; /* NULL: the slot is free */
    uint32_t key_len;
    uint32_t tag;
};

struct hb_map {
    struct slot *slots; /* NULL until the first insertion */
    size_t cap;         /* a power of two, or 0 */
    size_t count;
    uint64_t seed[2];
};

static uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* Up to eight bytes as a little-endian number, whatever the machine. */
static uint64_t load_le(const unsigned char *bytes, size_t count)
{
    uint64_t word = 0;
    for (size_t i = 0; i < count; i++)
        word |= (uint64_t)bytes[i] << (8 * i);
    return word;
}

uint64_t hb_map_hash(const uint64_t seed[2], const void *key, size_t key_len)
{
    uint64_t v[4] = {
        seed[0] ^ UINT64_C(0x736f6d6570736575), /* "somepseudorandomlygeneratedbytes" */
        seed[1] ^ UINT64_C(0x646f72616e646f6d),
        seed[0] ^ UINT64_C(0x6c7967656e657261),
        seed[1] ^ UINT64_C(0x7465646279746573),
    };
    const unsigned char *bytes = key;
    size_t whole = key_len & ~(size_t)7;
    for (size_t at = 0; at < whole; at += 8) {
        uint64_t word = load_le(bytes + at, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)key_len << 56;
    if (key_len > whole)
        last |= load_le(bytes + whole, key_len - whole);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int round = 0; round < 3; round++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct hb_map *hb_map_new(const uint64_t seed[2])
{
    struct hb_map *map = calloc(1, sizeof *map);
    if (map)
        memcpy(map->seed, seed, sizeof map->seed);
    return map;
}

void hb_map_free(struct hb_map *map)
{
    if (map)
        free(map->slots);
    free(map);
}

static uint32_t tag_of(const struct hb_map *map, const char *key, size_t key_len)
{
    return (uint32_t)(hb_map_hash(map->seed, key, key_len) >> 32);
}

/* The key's slot, or the free slot where it would go. There always is a free one: at most 3/4 are taken. */
static struct slot *find(const struct hb_map *map, const char *key, size_t key_len, uint32_t tag)
{
    size_t mask = map->cap - 1;
    for (size_t at = tag & mask;; at = (at + 1) & mask) {
        struct slot *slot = &map->slots[at];
        if (!slot->value)
            return slot;
        if (slot->tag == tag && slot->key_len == key_len && (key_len == 0 || memcmp(slot->key, key, key_len) == 0))
            return slot;
    }
}

void *hb_map_get(const struct hb_map *map, const char *key, size_t key_len)
{
    if (map->count == 0)
        return NULL;
    return find(map, key, key_len, tag_of(map, key, key_len))->value;
}

static enum hb_err grow(struct hb_map *map)
{
    if (map->cap == LAST_CAP)
        return HB_ERR_FULL;
    size_t cap = map->cap ? map->cap * 2 : FIRST_CAP;
    struct slot *slots = calloc(cap, sizeof *slots);
    if (!slots)
        return HB_ERR_NO_MEMORY;
    for (size_t from = 0; from < map->cap; from++) {
        if (!map->slots[from].value)
            continue;
        size_t at = map->slots[from].tag & (cap - 1);
        while (slots[at].value)
            at = (at + 1) & (cap - 1);
        slots[at] = map->slots[from];
    }
    free(map->slots);
    map->slots = slots;
    map->cap = cap;
    return HB_OK;
}

enum hb_err hb_map_insert(struct hb_map *map, const char *key, size_t key_len, void *value)
{
    if (!value || key_len > UINT32_MAX)
        return HB_ERR_INVALID;
    uint32_t tag = tag_of(map, key, key_len);
    /* Looked up before growing: a key that is there already must not cost an allocation. */
    if (map->count > 0 && find(map, key, key_len, tag)->value)
        return HB_ERR_INVALID;
    if ((map->count + 1) * 4 > map->cap * 3) {
        enum hb_err err = grow(map);
        if (err)
            return err;
    }
    *find(map, key, key_len, tag) = (struct slot){key, value, (uint32_t)key_len, tag};
    map->count++;
    return HB_OK;
}

/* Closes the gap: each later slot of the run moves into it unless that would put it before its home. */
static void shift_back(struct hb_map *map, size_t gap)
{
    size_t mask = map->cap - 1;
    for (size_t at = (gap + 1) & mask; map->slots[at].value; at = (at + 1) & mask) {
        size_t from_home = (at - map->slots[at].tag) & mask;
        size_t from_gap = (at - gap) & mask;
        if (from_home >= from_gap) {
            map->slots[gap] = map->slots[at];
            gap = at;
        }
    }
    map->slots[gap] = (struct slot){.value = NULL};
}

void *hb_map_remove(struct hb_map *map, const char *key, size_t key_len)
{
    if (map->count == 0)
        return NULL;
    struct slot *slot = find(map, key, key_len, tag_of(map, key, key_len));
    void *value = slot->value;
    if (value) {
        shift_back(map, (size_t)(slot - map->slots));
        map->count--;
    }
    return value;
}

size_t hb_map_count(const struct hb_map *map)
{
    return map->count;
}
