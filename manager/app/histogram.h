/*
 * histogram: how often a measured value fell into which of a fixed set of buckets, as Prometheus wants it.
 *
 * Values are whole numbers in units of the scale (milliseconds, microseconds), so that adding one is a few comparisons
 * without a branch and no floating point: below 3 ns. Bounds are inclusive; what lies above the last one is counted
 * there, in the bucket +Inf.
 */
#ifndef HB_APP_HISTOGRAM_H
#define HB_APP_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HB_HISTOGRAM_BOUNDS 16

struct hb_histogram_scale {
    unsigned decimals;                   /* of a second: 3 for milliseconds, 6 for microseconds */
    int32_t bounds[HB_HISTOGRAM_BOUNDS]; /* ascending, in units */
};

struct hb_histogram {
    const struct hb_histogram_scale *scale; /* outlives the histogram */
    uint64_t sum;                           /* in units */
    uint64_t counts[HB_HISTOGRAM_BOUNDS + 1];
};

/* A negative value counts as 0. */
void hb_histogram_add(struct hb_histogram *histogram, int64_t value);
/* Values that were at most bound `place`; with place HB_HISTOGRAM_BOUNDS, all of them. */
uint64_t hb_histogram_at_most(const struct hb_histogram *histogram, size_t place);

#endif
