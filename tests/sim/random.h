/*
 * random: the one source of chance of a run, so that a seed replays it. splitmix64 (Steele, Lea, Flood, "Fast
 * splittable pseudorandom number generators", OOPSLA 2014).
 */
#ifndef HB_SIM_RANDOM_H
#define HB_SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* 0 to bound - 1; bound up to 2^32. */
static inline int64_t random_below(struct random *random, int64_t bound)
{
    return (int64_t)(((random_next(random) >> 32) * (uint64_t)bound) >> 32);
}

/* Both ends included. */
static inline int64_t random_between(struct random *random, int64_t from, int64_t to)
{
    return from + random_below(random, to - from + 1);
}

/* Every order of magnitude between the ends is as likely as another. */
static inline int64_t random_spread(struct random *random, int64_t from, int64_t to)
{
    int64_t octaves = 1;
    int64_t low;

    while (from << octaves < to)
        octaves++;
    low = from << random_below(random, octaves);
    return random_between(random, low, low * 2 < to ? low * 2 : to);
}

static inline bool random_chance(struct random *random, int64_t of_1000)
{
    return random_below(random, 1000) < of_1000;
}

#endif
