#include "manager/app/histogram.h"

/* Counts instead of searching: 16 comparisons without a jump are a handful of vector instructions. */
static size_t bucket_of(const struct hb_histogram_scale *scale, int32_t value)
{
    size_t bucket = 0;

    for (size_t i = 0; i < HB_HISTOGRAM_BOUNDS; i++)
        bucket += scale->bounds[i] < value;
    return bucket;
}

void hb_histogram_add(struct hb_histogram *histogram, int64_t value)
{
    if (value < 0)
        value = 0;
    histogram->sum += (uint64_t)value;
    histogram->counts[bucket_of(histogram->scale, value < INT32_MAX ? (int32_t)value : INT32_MAX)]++;
}

uint64_t hb_histogram_at_most(const struct hb_histogram *histogram, size_t place)
{
    uint64_t count = 0;

    for (size_t i = 0; i <= place; i++)
        count += histogram->counts[i];
    return count;
}
