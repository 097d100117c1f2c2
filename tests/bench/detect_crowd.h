/*
 * detect_crowd: the workers of the detection bench: sockets that beat in turn, each once per interval, unless told to
 * be silent; a silent one keeps its socket, as a frozen process does. Of each it is known when its last beat was sent.
 *
 * Beats leave evenly spread over the interval, gathered to the millisecond. One thread drives the crowd; what another
 * one may read is atomic.
 */
#ifndef HB_BENCH_DETECT_CROWD_H
#define HB_BENCH_DETECT_CROWD_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/ws_beat.h"
#include "tests/bench/ws_peer.h"

#define HB_CROWD_PREFIX "worker"

enum hb_crowd_state { HB_CROWD_CONNECTING, HB_CROWD_UPGRADING, HB_CROWD_OPEN, HB_CROWD_CLOSED };

struct hb_crowd_worker {
    int fd;
    enum hb_crowd_state state;
    _Atomic int64_t last_ns, before_ns; /* monotonic: taken right before its last two beats were sent; 0 none */
    atomic_bool silent;
    atomic_bool heard; /* its detection was heard since it fell silent */
};

struct hb_crowd {
    uint32_t count;
    struct hb_crowd_worker *workers;
    uint32_t *order; /* in which they beat */
    int64_t interval_ns, start_ns;
    uint64_t turn; /* whose turn is next, counted from start_ns */
    struct sockaddr_in to;
    int epfd;
    uint32_t opened, failed;
    uint64_t sent, backlogged;
    int64_t late_max_ns; /* how far behind its own schedule the crowd was at worst */
    struct hb_beat_maker maker;
    struct hb_peer_tally tally;
    char refusal[128];
};

int64_t hb_crowd_now_ns(void); /* CLOCK_MONOTONIC */
/* Registers and connects all; each beats once. False: refusal says why. */
bool hb_crowd_open(struct hb_crowd *crowd, const struct sockaddr_in *to, uint32_t count, int64_t interval_ns);
void hb_crowd_start(struct hb_crowd *crowd); /* the first turn is now */
/* Beats whose turn has come leave, what came in is read, and at most a millisecond passes. */
void hb_crowd_run(struct hb_crowd *crowd);
void hb_crowd_silence(struct hb_crowd *crowd, uint32_t index, bool silent);
uint32_t hb_crowd_pick(struct hb_crowd *crowd); /* any of them, at random */
void hb_crowd_close(struct hb_crowd *crowd);    /* accepts one that did not open */

#endif
