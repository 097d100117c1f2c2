#include "tests/bench/detect_ear.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_BYTES (1 << 20)
#define NS_PER_SEC INT64_C(1000000000)

static const char subscribe[] = "*3\r\n$9\r\nSUBSCRIBE\r\n$11\r\nserver:down\r\n$11\r\n" HB_EAR_TIMER_CHANNEL "\r\n";

bool hb_samples_init(struct hb_samples *samples, uint32_t capacity)
{
    samples->values = calloc(capacity, sizeof(*samples->values));
    samples->capacity = capacity;
    return samples->values != NULL;
}

void hb_samples_add(struct hb_samples *samples, int64_t value)
{
    uint32_t place = atomic_load(&samples->count);
    if (place == samples->capacity) {
        samples->dropped++;
        return;
    }
    samples->values[place] = value;
    atomic_store(&samples->count, place + 1);
}

/* The wall clock less the monotonic one. */
static int64_t wall_offset_ns(void)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    return wall.tv_sec * NS_PER_SEC + wall.tv_nsec - hb_crowd_now_ns();
}

/* "2026-11-20T19:45:15.124Z" in nanoseconds, 0 when it is not one. */
static int64_t wall_ns(const char *text)
{
    struct tm utc = {0};
    int ms;
    if (sscanf(text, "%d-%d-%dT%d:%d:%d.%dZ", &utc.tm_year, &utc.tm_mon, &utc.tm_mday, &utc.tm_hour, &utc.tm_min,
               &utc.tm_sec, &ms) != 7) {
        return 0;
    }
    utc.tm_year -= 1900;
    utc.tm_mon -= 1;
    return timegm(&utc) * NS_PER_SEC + ms * INT64_C(1000000);
}

/* A detection of one that goes on beating: only right when the crowd itself had let the timeout pass. */
static void unasked(struct hb_ear *ear, int64_t last, int64_t before, int64_t now)
{
    if (now - last > ear->timeout_ns || last - before > ear->timeout_ns) {
        atomic_fetch_add(&ear->late_senders, 1);
    } else {
        atomic_fetch_add(&ear->false_downs, 1);
    }
}

static void on_down(struct hb_ear *ear, const char *event, int64_t now)
{
    static const char id_mark[] = "\"server_id\":\"" HB_CROWD_PREFIX "-", at_mark[] = "\"at\":\"";
    const char *id = strstr(event, id_mark), *at = strstr(event, at_mark);
    unsigned long index = id ? strtoul(id + sizeof(id_mark) - 1, NULL, 10) : UINT32_MAX;
    if (!atomic_load(&ear->recording) || index >= ear->crowd->count || !at) {
        return;
    }
    struct hb_crowd_worker *worker = &ear->crowd->workers[index];
    int64_t last = atomic_load(&worker->last_ns);
    if (!atomic_load(&worker->silent)) {
        unasked(ear, last, atomic_load(&worker->before_ns), now);
    } else if (atomic_exchange(&worker->heard, true)) {
        atomic_fetch_add(&ear->twice, 1);
    } else {
        int64_t due = last + ear->timeout_ns;
        hb_samples_add(&ear->heard, now - due);
        hb_samples_add(&ear->at, wall_ns(at + sizeof(at_mark) - 1) - wall_offset_ns() - due);
        atomic_fetch_add(&ear->wave, 1);
    }
}

static void on_message(struct hb_ear *ear, const char *channel, const char *payload, int64_t now)
{
    if (strcmp(channel, "server:down") == 0) {
        on_down(ear, payload, now);
    } else if (strcmp(channel, HB_EAR_TIMER_CHANNEL) == 0 && atomic_load(&ear->recording)) {
        hb_samples_add(&ear->timer, now - strtoll(payload, NULL, 10));
    }
}

/* One RESP bulk string at *at, NUL-terminated in place; NULL when it is not all there. */
static char *take_bulk(char **at, char *end)
{
    char *line_end = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;
    if (!line_end || **at != '$') {
        return NULL;
    }
    size_t len = strtoul(*at + 1, NULL, 10);
    char *text = line_end + 1;
    if ((size_t)(end - text) < len + 2 || text > end) {
        return NULL;
    }
    *at = text + len + 2;
    return text;
}

/* One message (three bulk strings) at `at`; what follows it, or NULL when it is not all there. */
static char *take_message(struct hb_ear *ear, char *at, char *end, int64_t now)
{
    char *line_end = memchr(at, '\n', (size_t)(end - at));
    if (!line_end) {
        return NULL;
    }
    char *next = line_end + 1;
    char *kind = take_bulk(&next, end);
    char *channel = kind ? take_bulk(&next, end) : NULL;
    char *channel_end = next;
    if (channel && next < end && *next == ':') { /* the answer to SUBSCRIBE ends with a number */
        line_end = memchr(next, '\n', (size_t)(end - next));
        return line_end ? line_end + 1 : NULL;
    }
    char *payload = channel ? take_bulk(&next, end) : NULL;
    if (!payload) {
        return NULL;
    }
    channel_end[-2] = '\0';
    next[-2] = '\0';
    on_message(ear, channel, payload, now);
    return next;
}

static void *listen_on(void *self)
{
    struct hb_ear *ear = self;
    char *buffer = malloc(BUFFER_BYTES);
    size_t used = 0;
    ssize_t got;
    while (buffer && (got = recv(ear->fd, buffer + used, BUFFER_BYTES - used, 0)) > 0) {
        int64_t now = hb_crowd_now_ns();
        char *at = buffer, *end = buffer + used + got, *next;
        while (at < end && (next = take_message(ear, at, end, now)) != NULL) {
            at = next;
        }
        used = (size_t)(end - at);
        memmove(buffer, at, used);
    }
    ear->broken = true;
    free(buffer);
    return NULL;
}

int hb_ear_connect(uint16_t redis_port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(redis_port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0) {
        return fd;
    }
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

bool hb_ear_start(struct hb_ear *ear, uint16_t redis_port, struct hb_crowd *crowd, int64_t timeout_ns,
                  uint32_t capacity)
{
    ear->crowd = crowd;
    ear->timeout_ns = timeout_ns;
    ear->fd = hb_ear_connect(redis_port);
    return ear->fd >= 0 && hb_samples_init(&ear->heard, capacity) && hb_samples_init(&ear->at, capacity) &&
           hb_samples_init(&ear->timer, capacity) &&
           send(ear->fd, subscribe, sizeof(subscribe) - 1, MSG_NOSIGNAL) == (ssize_t)sizeof(subscribe) - 1 &&
           pthread_create(&ear->thread, NULL, listen_on, ear) == 0;
}

void hb_ear_stop(struct hb_ear *ear)
{
    shutdown(ear->fd, SHUT_RDWR);
    pthread_join(ear->thread, NULL);
    close(ear->fd);
    free(ear->heard.values);
    free(ear->at.values);
    free(ear->timer.values);
}
