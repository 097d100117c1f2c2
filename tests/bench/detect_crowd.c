#include "tests/bench/detect_crowd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/ws_register.h"

#define NS_PER_SEC INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
#define EVENTS_PER_WAIT 256
#define IN_FLIGHT 128
#define SOURCES 4 /* addresses 127.0.0.2...: one has 28,000 ports and searches them slowly when half used */
#define CONNECT_STALL_NS (10 * NS_PER_SEC)

int64_t hb_crowd_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

static void drop(struct hb_crowd *crowd, struct hb_crowd_worker *worker)
{
    crowd->failed += worker->state != HB_CROWD_OPEN;
    close(worker->fd);
    worker->fd = -1;
    worker->state = HB_CROWD_CLOSED;
}

static void watch(struct hb_crowd *crowd, uint32_t index, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u32 = index};
    (void)epoll_ctl(crowd->epfd, operation, crowd->workers[index].fd, &event);
}

/* The time is taken before the beat leaves, so that a detection can only ever seem later than it is. */
static void beat(struct hb_crowd *crowd, uint32_t index)
{
    char text[1024];
    struct hb_crowd_worker *worker = &crowd->workers[index];
    size_t len = hb_beat_maker_write(&crowd->maker, index, text, sizeof(text));
    int64_t now = hb_crowd_now_ns();
    switch (hb_peer_send_text(worker->fd, text, len, (uint32_t)hb_beat_maker_random(&crowd->maker))) {
    case HB_PEER_SENT:
        atomic_store(&worker->before_ns, atomic_load(&worker->last_ns));
        atomic_store(&worker->last_ns, now);
        crowd->sent++;
        break;
    case HB_PEER_BACKLOG:
        crowd->backlogged++;
        break;
    case HB_PEER_BROKEN:
        crowd->tally.closes++;
        drop(crowd, worker);
        break;
    }
}

/* ---- connecting ---- */

static void dial(struct hb_crowd *crowd, uint32_t index)
{
    struct hb_crowd_worker *worker = &crowd->workers[index];
    worker->fd = hb_peer_dial(&crowd->to, htonl(INADDR_LOOPBACK + 1 + index % SOURCES));
    worker->state = HB_CROWD_CONNECTING;
    if (worker->fd < 0) {
        snprintf(crowd->refusal, sizeof(crowd->refusal), "connect: %s", strerror(errno));
        worker->state = HB_CROWD_CLOSED;
        crowd->failed++;
        return;
    }
    watch(crowd, index, EPOLL_CTL_ADD, EPOLLOUT);
}

static void connected(struct hb_crowd *crowd, uint32_t index)
{
    char host[32], path[64];
    struct hb_crowd_worker *worker = &crowd->workers[index];
    snprintf(host, sizeof(host), "127.0.0.1:%u", ntohs(crowd->to.sin_port));
    snprintf(path, sizeof(path), "/ws/" HB_CROWD_PREFIX "-%u", index);
    if (!hb_peer_send_upgrade(worker->fd, host, path)) {
        drop(crowd, worker);
        return;
    }
    worker->state = HB_CROWD_UPGRADING;
    watch(crowd, index, EPOLL_CTL_MOD, EPOLLIN);
}

static void upgrading(struct hb_crowd *crowd, uint32_t index)
{
    struct hb_crowd_worker *worker = &crowd->workers[index];
    switch (hb_peer_read_upgrade(worker->fd, crowd->refusal, sizeof(crowd->refusal))) {
    case HB_PEER_PENDING:
        break;
    case HB_PEER_GOOD:
        worker->state = HB_CROWD_OPEN;
        crowd->opened++;
        beat(crowd, index);
        break;
    case HB_PEER_BAD:
        drop(crowd, worker);
        break;
    }
}

static void on_event(struct hb_crowd *crowd, uint32_t index)
{
    struct hb_crowd_worker *worker = &crowd->workers[index];
    if (worker->state == HB_CROWD_CONNECTING) {
        connected(crowd, index);
    } else if (worker->state == HB_CROWD_UPGRADING) {
        upgrading(crowd, index);
    } else if (worker->state == HB_CROWD_OPEN && !hb_peer_receive(worker->fd, &crowd->tally)) {
        drop(crowd, worker);
    }
}

static void serve(struct hb_crowd *crowd, int64_t wait_ns)
{
    struct epoll_event events[EVENTS_PER_WAIT];
    struct timespec wait = {.tv_sec = wait_ns / NS_PER_SEC, .tv_nsec = wait_ns % NS_PER_SEC};
    int ready = epoll_pwait2(crowd->epfd, events, EVENTS_PER_WAIT, &wait, NULL);
    for (int i = 0; i < ready; i++) {
        on_event(crowd, events[i].data.u32);
    }
}

static bool connect_all(struct hb_crowd *crowd)
{
    uint32_t dialled = 0, settled = 0;
    int64_t progress_ns = hb_crowd_now_ns();
    while (settled < crowd->count) {
        while (dialled < crowd->count && dialled - settled < IN_FLIGHT) {
            dial(crowd, dialled++);
        }
        serve(crowd, NS_PER_SEC / 10);
        if (crowd->opened + crowd->failed != settled) {
            settled = crowd->opened + crowd->failed;
            progress_ns = hb_crowd_now_ns();
        } else if (hb_crowd_now_ns() - progress_ns > CONNECT_STALL_NS) {
            snprintf(crowd->refusal, sizeof(crowd->refusal), "no handshake finished for 10 s");
            return false;
        }
    }
    return crowd->failed == 0;
}

static void shuffle(struct hb_crowd *crowd)
{
    for (uint32_t i = 0; i < crowd->count; i++) {
        uint32_t other = (uint32_t)(hb_beat_maker_random(&crowd->maker) % (i + 1));
        crowd->order[i] = crowd->order[other];
        crowd->order[other] = i;
    }
}

bool hb_crowd_open(struct hb_crowd *crowd, const struct sockaddr_in *to, uint32_t count, int64_t interval_ns)
{
    crowd->to = *to;
    crowd->count = count;
    crowd->interval_ns = interval_ns;
    crowd->epfd = epoll_create1(EPOLL_CLOEXEC);
    crowd->workers = calloc(count, sizeof(*crowd->workers));
    crowd->order = calloc(count, sizeof(*crowd->order));
    hb_beat_maker_init(&crowd->maker, HB_CROWD_PREFIX);
    if (crowd->epfd < 0 || !crowd->workers || !crowd->order) {
        snprintf(crowd->refusal, sizeof(crowd->refusal), "out of memory or descriptors");
        return false;
    }
    shuffle(crowd);
    return hb_register_all(to, HB_CROWD_PREFIX, count, crowd->refusal, sizeof(crowd->refusal)) && connect_all(crowd);
}

/* ---- beating ---- */

static int64_t turn_due_ns(const struct hb_crowd *crowd, uint64_t turn)
{
    int64_t rounds = (int64_t)(turn / crowd->count), place = (int64_t)(turn % crowd->count);
    return crowd->start_ns + rounds * crowd->interval_ns + place * crowd->interval_ns / crowd->count;
}

void hb_crowd_start(struct hb_crowd *crowd)
{
    crowd->turn = 0;
    crowd->start_ns = hb_crowd_now_ns();
}

void hb_crowd_run(struct hb_crowd *crowd)
{
    int64_t now = hb_crowd_now_ns();
    int64_t behind = now - turn_due_ns(crowd, crowd->turn);
    crowd->late_max_ns = behind > crowd->late_max_ns ? behind : crowd->late_max_ns;
    while (turn_due_ns(crowd, crowd->turn) <= now) {
        uint32_t index = crowd->order[crowd->turn++ % crowd->count];
        struct hb_crowd_worker *worker = &crowd->workers[index];
        if (worker->state == HB_CROWD_OPEN && !atomic_load(&worker->silent)) {
            beat(crowd, index);
        }
    }
    int64_t left = now + NS_PER_MS - hb_crowd_now_ns();
    serve(crowd, left > 0 ? left : 0);
}

void hb_crowd_silence(struct hb_crowd *crowd, uint32_t index, bool silent)
{
    atomic_store(&crowd->workers[index].heard, false);
    atomic_store(&crowd->workers[index].silent, silent);
}

uint32_t hb_crowd_pick(struct hb_crowd *crowd)
{
    return (uint32_t)(hb_beat_maker_random(&crowd->maker) % crowd->count);
}

void hb_crowd_close(struct hb_crowd *crowd)
{
    for (uint32_t i = 0; crowd->workers && i < crowd->count; i++) {
        if (crowd->workers[i].fd > 0) {
            close(crowd->workers[i].fd);
        }
    }
    free(crowd->workers);
    free(crowd->order);
    if (crowd->epfd > 0) {
        close(crowd->epfd);
    }
}
