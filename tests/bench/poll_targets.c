/*
 * poll_targets: the services that the polling bench has checked: all of them in one process, on one thread.
 *
 *   bench_poll_targets <targets> <interval ms>
 *
 * Listens on one port of every loopback address (never of another device) and prints {"event":"listening","port":N}.
 * Target n is /t/<n>/health, by whatever address it is asked for, and answers as the project's own worker does.
 * Commands on standard input, each answered with one line of JSON; its end is the end:
 *
 *   watch <ms>     what came in during so many milliseconds from now, and since when each target has been waiting
 *
 * A connection is closed behind the answer when the request says `Connection: close` (or is HTTP/1.0), else kept. So
 * whoever checks decides which side closes first, and thereby which one keeps the TIME_WAIT.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define HEAD_BYTES 2048
#define EVENTS 256
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_SEC INT64_C(1000000000)

struct connection {
    int fd;
    uint32_t len, requests;
    char head[HEAD_BYTES];
};

struct target {
    int64_t asked_ns; /* the last time; 0 never */
    uint64_t requests;
};

/* What is counted from the beginning of a watch to its end. */
struct watch {
    int64_t begun_ns;
    uint64_t requests, connections, reused, bad, closed_here, closed_there;
    uint32_t open_most;
    int64_t longest_ns, shortest_ns; /* between two requests for one target */
};

struct targets {
    int epfd, listener, timer;
    uint32_t count, seen, open;
    int64_t interval_ns, started_ns;
    struct target *all;
    struct watch watch;
    bool watching, done;
};

/* Marks in epoll's data for what is no connection. */
static char listener_mark, timer_mark, command_mark;

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

/* ---- connections ---- */

static void drop(struct targets *targets, struct connection *connection)
{
    close(connection->fd);
    free(connection);
    targets->open--;
}

static void accept_all(struct targets *targets)
{
    int fd;
    while ((fd = accept4(targets->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *connection = calloc(1, sizeof(*connection));
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        if (!connection || epoll_ctl(targets->epfd, EPOLL_CTL_ADD, fd, &event) != 0) {
            close(fd);
            free(connection);
            continue;
        }
        connection->fd = fd;
        targets->watch.connections++;
        if (++targets->open > targets->watch.open_most) {
            targets->watch.open_most = targets->open;
        }
    }
}

/* ---- requests ---- */

static void note_request(struct targets *targets, struct target *target)
{
    struct watch *watch = &targets->watch;
    int64_t now = now_ns();
    watch->requests++;
    if (target->requests++ == 0) {
        targets->seen++;
    } else {
        int64_t gap = now - target->asked_ns;
        watch->longest_ns = gap > watch->longest_ns ? gap : watch->longest_ns;
        watch->shortest_ns = gap < watch->shortest_ns ? gap : watch->shortest_ns;
    }
    target->asked_ns = now;
}

/* The answer of a healthy worker. Fits into an empty socket's buffer, so that it leaves as a whole. */
static bool answer(struct targets *targets, const struct connection *connection, uint32_t index, bool close_after)
{
    char body[512], message[1024];
    double uptime = (double)(now_ns() - targets->started_ns) / (double)NS_PER_SEC;
    int body_len =
        snprintf(body, sizeof(body),
                 "{\"status\":\"healthy\",\"worker_id\":\"target-%u\",\"worker_name\":\"Polled target %05u\","
                 "\"uptime\":%.3f,\"request_count\":%" PRIu64 ",\"error_count\":0,\"error_rate\":0,"
                 "\"attributes\":{\"zone\":\"eu-1\"}}",
                 index, index, uptime, targets->all[index].requests);
    int len = snprintf(message, sizeof(message),
                       "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                       "Connection: %s\r\n\r\n%s",
                       body_len, close_after ? "close" : "keep-alive", body);
    return send(connection->fd, message, (size_t)len, MSG_NOSIGNAL) == len;
}

/* Whether the head, a NUL-terminated text, asks for the end of the connection. */
static bool wants_close(const char *head)
{
    const char *field = strcasestr(head, "\r\nconnection:");
    const char *end = field ? strstr(field + 2, "\r\n") : NULL;
    const char *word = field ? strcasestr(field, "close") : NULL;
    return strstr(head, " HTTP/1.0\r\n") || (word && word < end);
}

/* One whole head is there. False: the connection is to be closed. */
static bool serve(struct targets *targets, struct connection *connection)
{
    unsigned index;
    int past = 0;
    if (sscanf(connection->head, "GET /t/%u/health%n", &index, &past) != 1 || past == 0 || index >= targets->count) {
        targets->watch.bad++;
        return false;
    }
    bool close_after = wants_close(connection->head);
    targets->watch.reused += connection->requests++ > 0;
    note_request(targets, &targets->all[index]);
    connection->len = 0;
    if (!answer(targets, connection, index, close_after)) {
        targets->watch.bad++;
        return false;
    }
    targets->watch.closed_here += close_after;
    return !close_after;
}

static void on_readable(struct targets *targets, struct connection *connection)
{
    size_t room = sizeof(connection->head) - 1 - connection->len;
    ssize_t got = recv(connection->fd, connection->head + connection->len, room, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        targets->watch.closed_there++;
        drop(targets, connection);
        return;
    }
    connection->len += (uint32_t)got;
    connection->head[connection->len] = '\0';
    bool whole = connection->len >= 4 && memcmp(connection->head + connection->len - 4, "\r\n\r\n", 4) == 0;
    if (whole ? !serve(targets, connection) : connection->len == sizeof(connection->head) - 1) {
        drop(targets, connection);
    }
}

/* ---- commands ---- */

static void begin_watch(struct targets *targets, int64_t span_ms)
{
    struct itimerspec when = {.it_value = {.tv_sec = span_ms / 1000, .tv_nsec = span_ms % 1000 * NS_PER_MS}};
    targets->watch = (struct watch){.begun_ns = now_ns(), .open_most = targets->open, .shortest_ns = INT64_MAX};
    targets->watching = true;
    timerfd_settime(targets->timer, 0, &when, NULL);
}

/* How long the target that has waited longest for its next request is waiting by now. */
static int64_t longest_wait(const struct targets *targets)
{
    int64_t first = INT64_MAX;
    for (uint32_t i = 0; i < targets->count; i++) {
        if (targets->all[i].asked_ns != 0 && targets->all[i].asked_ns < first) {
            first = targets->all[i].asked_ns;
        }
    }
    return first == INT64_MAX ? 0 : now_ns() - first;
}

static double cpu_seconds(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / (double)NS_PER_SEC;
}

static void end_watch(struct targets *targets)
{
    const struct watch *watch = &targets->watch;
    int64_t waiting = longest_wait(targets);
    int64_t longest = watch->longest_ns > waiting ? watch->longest_ns : waiting;
    int64_t shortest = watch->shortest_ns == INT64_MAX ? 0 : watch->shortest_ns;
    targets->watching = false;
    printf("{\"event\":\"watched\",\"seconds\":%.6f,\"seen\":%u,\"requests\":%" PRIu64 ",\"connections\":%" PRIu64
           ",\"reused\":%" PRIu64 ",\"bad\":%" PRIu64 ",\"closed_here\":%" PRIu64 ",\"closed_there\":%" PRIu64
           ",\"open_most\":%u,\"shortest_ms\":%.3f,\"beyond_ms\":%.3f,\"cpu_seconds\":%.6f}\n",
           (double)(now_ns() - watch->begun_ns) / (double)NS_PER_SEC, targets->seen, watch->requests,
           watch->connections, watch->reused, watch->bad, watch->closed_here, watch->closed_there, watch->open_most,
           (double)shortest / (double)NS_PER_MS, (double)(longest - targets->interval_ns) / (double)NS_PER_MS,
           cpu_seconds());
    fflush(stdout);
}

static void on_command(struct targets *targets)
{
    char line[64];
    long long span_ms;
    ssize_t got = read(STDIN_FILENO, line, sizeof(line) - 1);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    line[got > 0 ? got : 0] = '\0';
    if (sscanf(line, "watch %lld", &span_ms) == 1 && span_ms > 0 && !targets->watching) {
        begin_watch(targets, span_ms);
    } else {
        targets->done = true;
    }
}

static void on_timer(struct targets *targets)
{
    uint64_t expirations;
    if (read(targets->timer, &expirations, sizeof(expirations)) == sizeof(expirations) && targets->watching) {
        end_watch(targets);
    }
}

/* ---- the program ---- */

static int listen_on_loopback(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) != 0 ||
        bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, SOMAXCONN) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
        return -1;
    }
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static bool watch_fd(const struct targets *targets, int fd, void *mark)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = mark};
    return epoll_ctl(targets->epfd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void run(struct targets *targets)
{
    struct epoll_event events[EVENTS];
    while (!targets->done) {
        int ready = epoll_wait(targets->epfd, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            void *of = events[i].data.ptr;
            if (of == &listener_mark) {
                accept_all(targets);
            } else if (of == &timer_mark) {
                on_timer(targets);
            } else if (of == &command_mark) {
                on_command(targets);
            } else {
                on_readable(targets, of);
            }
        }
    }
}

int main(int argc, char **argv)
{
    static struct targets targets;
    struct rlimit limit;
    uint16_t port = 0;
    targets.count = argc == 3 ? (uint32_t)atoi(argv[1]) : 0;
    targets.interval_ns = argc == 3 ? atoll(argv[2]) * NS_PER_MS : 0;
    if (targets.count < 1 || targets.count > 60000 || targets.interval_ns < 0) {
        fprintf(stderr, "usage: bench_poll_targets <targets, at most 60000> <interval ms>\n");
        return 64;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    targets.started_ns = now_ns();
    targets.all = calloc(targets.count, sizeof(*targets.all));
    targets.epfd = epoll_create1(EPOLL_CLOEXEC);
    targets.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    targets.listener = listen_on_loopback(&port);
    (void)fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    if (!targets.all || targets.listener < 0 || !watch_fd(&targets, targets.listener, &listener_mark) ||
        !watch_fd(&targets, targets.timer, &timer_mark) || !watch_fd(&targets, STDIN_FILENO, &command_mark)) {
        fprintf(stderr, "bench_poll_targets: cannot listen: %s\n", strerror(errno));
        return 69;
    }
    printf("{\"event\":\"listening\",\"port\":%u}\n", port);
    fflush(stdout);
    run(&targets);
    free(targets.all);
    return 0;
}
