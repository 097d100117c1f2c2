/*
 * process_stats: what this process uses, as its beats report it.
 *
 * CPU is the share of one core since the last sample, from getrusage. Memory is the resident set against the machine's
 * memory, or against the control group's limit where there is a smaller one (in a container the machine's size says
 * nothing). A sample costs one system call and one read of a file in /proc, a few microseconds.
 */
#ifndef HB_WORKER_PROCESS_STATS_H
#define HB_WORKER_PROCESS_STATS_H

#include <stdint.h>

#include "proto/base/time.h"

struct hb_process_stats {
    int64_t memory_total_bytes; /* 0 when it could not be learnt */
    int64_t cpu_us;             /* user and system time at the last sample */
    hb_mono_ms sampled_at;
};

struct hb_process_sample {
    double cpu_percent;    /* 100 is one core fully used */
    double memory_percent; /* 0 when the total is not known */
    int64_t rss_bytes;     /* 0 when it could not be read */
};

void hb_process_stats_init(struct hb_process_stats *stats, hb_mono_ms now);
struct hb_process_sample hb_process_stats_sample(struct hb_process_stats *stats, hb_mono_ms now);

#endif
