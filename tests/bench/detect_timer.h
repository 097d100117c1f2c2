/*
 * detect_timer: what no detection can beat here: a thread that sleeps to deadlines on a bare timerfd, on the CPU of the
 * manager, and tells Redis when it wakes. Same machine, same moment, same Redis, same subscriber.
 */
#ifndef HB_BENCH_DETECT_TIMER_H
#define HB_BENCH_DETECT_TIMER_H

#include "tests/bench/detect_ear.h"

struct hb_bare_timer {
    pthread_t thread;
    int fd; /* to Redis */
    int cpu;
    atomic_bool recording, stop;
    struct hb_samples woken; /* when it woke, less the deadline */
};

/* cpu -1: any. */
bool hb_bare_timer_start(struct hb_bare_timer *timer, uint16_t redis_port, int cpu, uint32_t capacity);
void hb_bare_timer_stop(struct hb_bare_timer *timer); /* woken.values stay until the process ends */

#endif
