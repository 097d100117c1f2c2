/*
 * poll_driver: asks a server for something about each target in turn, over connections that are kept open.
 *
 *   bench_poll_driver register <port> <connections> <targets> <target port> <interval s>
 *       POST /register once for each target; prints {"event":"registered",...} and ends
 *   bench_poll_driver probe <port> <connections> <targets> <target port> <rate>
 *       GET /probe for one target after the other, `rate` times a second in all, evenly; 0: as fast as answers come.
 *       Until standard input ends; then prints {"event":"probed",...}
 *
 * Target n has an address of its own, as services have: 127.1.<n / 250>.<n % 250 + 1>. A probe is bad when its answer
 * is not 200 or holds no "probe_success 1". When all connections are busy the next is late: nothing is left out.
 */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MOST 1000
#define ANSWER_BYTES 16384
#define STALL_MS 10000
#define NS_PER_SEC INT64_C(1000000000)

struct connection {
    int fd;
    uint32_t len;
    char bytes[ANSWER_BYTES];
};

struct driver {
    bool probes; /* else registrations */
    unsigned port, connection_count, targets, target_port;
    const char *interval; /* seconds, as it is sent */
    int64_t period_ns;    /* between two requests; 0: none */
    int epfd;
    struct connection *connections;
    uint32_t idle[CONNECTIONS_MOST], idle_count;
    uint64_t sent, answered, bad;
    int64_t begun_ns, late_ns;
    bool stop;
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

/* ---- requests ---- */

static int write_request(const struct driver *driver, unsigned target, char *out, size_t size)
{
    char url[96], body[256];
    snprintf(url, sizeof(url), "http://127.1.%u.%u:%u/t/%u/health", target / 250, target % 250 + 1, driver->target_port,
             target);
    if (driver->probes) {
        return snprintf(out, size, "GET /probe?module=bench&target=%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", url,
                        driver->port);
    }
    int len = snprintf(body, sizeof(body), "{\"id\":\"target-%u\",\"url\":\"%s\",\"poll_interval_sec\":%s}", target,
                       url, driver->interval);
    return snprintf(out, size,
                    "POST /register HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: application/json\r\n"
                    "Content-Length: %d\r\n\r\n%s",
                    driver->port, len, body);
}

static bool send_next(struct driver *driver, struct connection *connection)
{
    char request[1024];
    int len = write_request(driver, (unsigned)(driver->sent % driver->targets), request, sizeof(request));
    driver->sent++;
    return send(connection->fd, request, (size_t)len, MSG_NOSIGNAL) == len;
}

static bool more_to_send(const struct driver *driver)
{
    return !driver->stop && (driver->probes || driver->sent < driver->targets);
}

/* Sends whatever is due, as far as there are connections. */
static bool send_due(struct driver *driver)
{
    while (driver->idle_count > 0 && more_to_send(driver)) {
        int64_t late = now_ns() - driver->begun_ns - (int64_t)driver->sent * driver->period_ns;
        if (late < 0) {
            break;
        }
        if (driver->period_ns > 0 && late > driver->late_ns) {
            driver->late_ns = late;
        }
        if (!send_next(driver, &driver->connections[driver->idle[--driver->idle_count]])) {
            return false;
        }
    }
    return true;
}

/* ---- answers ---- */

/* Whether all of the answer is there: by Content-Length, or a last chunk. Its text is NUL-terminated. */
static bool is_whole(const struct connection *connection)
{
    const char *text = connection->bytes, *end = strstr(text, "\r\n\r\n");
    const char *field = end ? strcasestr(text, "\r\ncontent-length:") : NULL;
    if (!end) {
        return false;
    }
    if (field && field < end) {
        return connection->len >= (size_t)(end + 4 - text) + strtoul(field + 17, NULL, 10);
    }
    return connection->len >= 7 && memcmp(text + connection->len - 7, "\r\n0\r\n\r\n", 7) == 0;
}

/* A chunk may begin in the middle of a word: takes the sizes out of the whole answer's body. */
static void join_chunks(char *text)
{
    char *out = strstr(text, "\r\n\r\n") + 4, *in = out, *end;
    unsigned long size;
    while ((size = strtoul(in, &end, 16)) > 0 && strncmp(end, "\r\n", 2) == 0 && strlen(end) >= size + 4) {
        memmove(out, end + 2, size);
        out += size;
        in = end + 2 + size + 2;
    }
    *out = '\0';
}

static void judge(struct driver *driver, struct connection *connection)
{
    if (strcasestr(connection->bytes, "\r\ntransfer-encoding: chunked\r\n")) {
        join_chunks(connection->bytes);
    }
    const char *text = connection->bytes;
    bool good = strncmp(text, "HTTP/1.1 200", 12) == 0 && (!driver->probes || strstr(text, "\nprobe_success 1"));
    driver->answered++;
    if (!good && driver->bad++ == 0) {
        fprintf(stderr, "bench_poll_driver: the first bad answer:\n%s\n", text);
    }
}

static bool on_readable(struct driver *driver, uint32_t index)
{
    struct connection *connection = &driver->connections[index];
    size_t room = sizeof(connection->bytes) - 1 - connection->len;
    ssize_t got = recv(connection->fd, connection->bytes + connection->len, room, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    if (got <= 0) {
        fprintf(stderr, "bench_poll_driver: the server closed a connection\n");
        return false;
    }
    connection->len += (uint32_t)got;
    connection->bytes[connection->len] = '\0';
    if (is_whole(connection)) {
        judge(driver, connection);
        connection->len = 0;
        driver->idle[driver->idle_count++] = index;
    }
    return true;
}

/* ---- the program ---- */

static bool dial(struct driver *driver, uint32_t index)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)driver->port)};
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    driver->connections[index].fd = fd;
    driver->idle[driver->idle_count++] = index;
    return fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
           setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
           epoll_ctl(driver->epfd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool dial_all(struct driver *driver)
{
    struct epoll_event command = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
    driver->epfd = epoll_create1(EPOLL_CLOEXEC);
    driver->connections = calloc(driver->connection_count, sizeof(*driver->connections));
    for (uint32_t i = 0; driver->connections && i < driver->connection_count; i++) {
        if (!dial(driver, i)) {
            return false;
        }
    }
    return driver->connections &&
           (!driver->probes || epoll_ctl(driver->epfd, EPOLL_CTL_ADD, STDIN_FILENO, &command) == 0);
}

/* Milliseconds until the next is due, rounded up; STALL_MS while only answers are waited for. */
static int patience(const struct driver *driver)
{
    if (driver->idle_count == 0 || !more_to_send(driver)) {
        return STALL_MS;
    }
    int64_t wait = driver->begun_ns + (int64_t)driver->sent * driver->period_ns - now_ns();
    return wait <= 0 ? 0 : (int)((wait + 999999) / 1000000);
}

static bool run(struct driver *driver)
{
    struct epoll_event events[CONNECTIONS_MOST];
    driver->begun_ns = now_ns();
    while (more_to_send(driver) || driver->answered < driver->sent) {
        if (!send_due(driver)) {
            return false;
        }
        int wait_ms = patience(driver);
        int ready = epoll_wait(driver->epfd, events, CONNECTIONS_MOST, wait_ms);
        if (ready == 0 && wait_ms == STALL_MS) {
            fprintf(stderr, "bench_poll_driver: no answer for 10 s\n");
            return false;
        }
        for (int i = 0; i < ready; i++) {
            if (events[i].data.u32 == UINT32_MAX) {
                driver->stop = true;
                epoll_ctl(driver->epfd, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
            } else if (!on_readable(driver, events[i].data.u32)) {
                return false;
            }
        }
    }
    return true;
}

static bool parse(struct driver *driver, int argc, char **argv)
{
    if (argc != 7) {
        return false;
    }
    driver->probes = strcmp(argv[1], "probe") == 0;
    driver->port = (unsigned)atoi(argv[2]);
    driver->connection_count = (unsigned)atoi(argv[3]);
    driver->targets = (unsigned)atoi(argv[4]);
    driver->target_port = (unsigned)atoi(argv[5]);
    driver->interval = argv[6];
    if (driver->probes && atoi(argv[6]) > 0) {
        driver->period_ns = NS_PER_SEC / atoi(argv[6]);
    }
    return (driver->probes || strcmp(argv[1], "register") == 0) && driver->connection_count >= 1 &&
           driver->connection_count <= CONNECTIONS_MOST && driver->targets >= 1 && driver->targets <= 60000;
}

int main(int argc, char **argv)
{
    static struct driver driver;
    if (!parse(&driver, argc, argv)) {
        fprintf(stderr,
                "usage: bench_poll_driver register|probe <port> <connections, at most %d> "
                "<targets, at most 60000> <target port> <interval s>|<rate>\n",
                CONNECTIONS_MOST);
        return 64;
    }
    if (!dial_all(&driver) || !run(&driver)) {
        perror("bench_poll_driver");
        return 1;
    }
    printf("{\"event\":\"%s\",\"requests\":%" PRIu64 ",\"bad\":%" PRIu64 ",\"seconds\":%.6f,\"late_max_ms\":%.3f}\n",
           driver.probes ? "probed" : "registered", driver.answered, driver.bad,
           (double)(now_ns() - driver.begun_ns) / (double)NS_PER_SEC, (double)driver.late_ns / 1e6);
    free(driver.connections);
    return 0;
}
