/*
 * detect_ear: a subscriber of server:down on a thread of its own, so that the moment at which it hears is not delayed
 * by whoever sends beats. For each detection it computes how late it is; the bench's own bare timer (detect_timer) is
 * heard on the same connection.
 */
#ifndef HB_BENCH_DETECT_EAR_H
#define HB_BENCH_DETECT_EAR_H

#include <pthread.h>

#include "tests/bench/detect_crowd.h"

#define HB_EAR_TIMER_CHANNEL "bench:timer"

/* Nanoseconds, each one detection or timer; beyond the capacity they are dropped, and counted. */
struct hb_samples {
    int64_t *values;
    uint32_t capacity;
    _Atomic uint32_t count;
    uint32_t dropped;
};

struct hb_ear {
    int fd;
    pthread_t thread;
    struct hb_crowd *crowd;
    int64_t timeout_ns;
    atomic_bool recording;
    struct hb_samples heard;       /* when the subscriber heard, less (last beat sent + timeout) */
    struct hb_samples at;          /* the same by the event's own `at`, a wall clock in whole milliseconds */
    struct hb_samples timer;       /* when the subscriber heard of the bare timer, less its deadline */
    _Atomic uint32_t wave;         /* silent ones heard of, since the count was set to 0 */
    _Atomic uint32_t twice;        /* heard of again though still silent */
    _Atomic uint32_t late_senders; /* down because the crowd itself was late: right, but not asked for */
    _Atomic uint32_t false_downs;  /* down though their beats were never a timeout apart */
    bool broken;                   /* the connection ended */
};

bool hb_samples_init(struct hb_samples *samples, uint32_t capacity);
void hb_samples_add(struct hb_samples *samples, int64_t value);

/* A blocking connection to Redis on the loopback, or -1. */
int hb_ear_connect(uint16_t redis_port);
/* Subscribes, and listens from then on. False when that is not possible. The crowd may open later. */
bool hb_ear_start(struct hb_ear *ear, uint16_t redis_port, struct hb_crowd *crowd, int64_t timeout_ns,
                  uint32_t capacity);
void hb_ear_stop(struct hb_ear *ear);

#endif
