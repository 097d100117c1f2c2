#include "tests/bench/detect_timer.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_NS INT64_C(10300000) /* in no step with whole milliseconds */
#define NS_PER_SEC INT64_C(1000000000)

static bool publish(int fd, int64_t deadline)
{
    char payload[32], command[128], answer[64];
    int payload_len = snprintf(payload, sizeof(payload), "%lld", (long long)deadline);
    int len = snprintf(command, sizeof(command),
                       "*3\r\n$7\r\nPUBLISH\r\n$11\r\n" HB_EAR_TIMER_CHANNEL "\r\n$%d\r\n%s\r\n", payload_len, payload);
    return send(fd, command, (size_t)len, MSG_NOSIGNAL) == len && recv(fd, answer, sizeof(answer), 0) > 0;
}

static bool sleep_until(int fd, int64_t deadline)
{
    uint64_t expirations;
    struct itimerspec when = {.it_value = {.tv_sec = deadline / NS_PER_SEC, .tv_nsec = deadline % NS_PER_SEC}};
    return timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL) == 0 &&
           read(fd, &expirations, sizeof(expirations)) == sizeof(expirations);
}

static void *run(void *self)
{
    struct hb_bare_timer *timer = self;
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (timer->cpu >= 0) {
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        CPU_SET((size_t)timer->cpu, &cpus);
        (void)sched_setaffinity(0, sizeof(cpus), &cpus);
    }
    int64_t deadline = hb_crowd_now_ns() + PERIOD_NS;
    while (!atomic_load(&timer->stop) && sleep_until(fd, deadline)) {
        int64_t now = hb_crowd_now_ns();
        if (atomic_load(&timer->recording)) {
            hb_samples_add(&timer->woken, now - deadline);
        }
        if (!publish(timer->fd, deadline)) {
            break;
        }
        while (deadline <= hb_crowd_now_ns()) {
            deadline += PERIOD_NS;
        }
    }
    close(fd);
    return NULL;
}

bool hb_bare_timer_start(struct hb_bare_timer *timer, uint16_t redis_port, int cpu, uint32_t capacity)
{
    timer->cpu = cpu;
    timer->fd = hb_ear_connect(redis_port);
    return timer->fd >= 0 && hb_samples_init(&timer->woken, capacity) &&
           pthread_create(&timer->thread, NULL, run, timer) == 0;
}

void hb_bare_timer_stop(struct hb_bare_timer *timer)
{
    atomic_store(&timer->stop, true);
    pthread_join(timer->thread, NULL);
    close(timer->fd);
}
