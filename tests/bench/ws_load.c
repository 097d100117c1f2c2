/*
 * ws_load: N workers in one process, to load a WebSocket server with heartbeats at a rate that is kept.
 *
 *   [POST /register for each] -> connect all, one beat at once each -> "connected" -> phases -> "total"
 *
 * Each step prints one line of JSON. After "connected" it takes commands from standard input, one per line:
 * `beat <per second> <seconds> [tick us]` runs a timed phase, `quit` or the end of input ends it. With --rate and
 * --seconds one phase runs at once instead. Between commands it idles, but answers pings and counts closes.
 *
 * Beat k is due at k / rate after the phase's start, whatever happened before (no coordinated omission). It leaves
 * then, or at the next multiple of the tick: 0 spreads the beats evenly, so that nearly each one wakes the server; a
 * tick of 1 ms makes bursts, as a network card that collects its interrupts or a busy server sees them. The order of
 * sockets is shuffled once, so that neither side profits from memory laid out in that order.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/ws_beat.h"
#include "tests/bench/ws_peer.h"
#include "tests/bench/ws_register.h"

#define NS_PER_SEC INT64_C(1000000000)
#define EVENTS_PER_WAIT 256
#define BEATS_PER_TURN 64 /* when behind: read what came in after so many */
#define CONNECT_STALL_NS (10 * NS_PER_SEC)
#define COMMANDS_INDEX UINT32_MAX

enum conn_state { CONN_NONE, CONN_CONNECTING, CONN_UPGRADING, CONN_OPEN, CONN_CLOSED };

struct conn {
    int fd;
    enum conn_state state;
};

struct load_options {
    const char *host;
    const char *id_prefix;
    uint32_t port, sockets, in_flight, rate, seconds, tick_us;
    uint32_t sources; /* source addresses 127.0.0.2...; one has 28,000 ports and searches them slowly when half used */
    int with_register;
};

struct load {
    struct load_options options;
    struct sockaddr_in to;
    int epfd;
    struct conn *conns;
    uint32_t *order; /* the order in which sockets beat */
    uint32_t order_at;
    uint32_t dialled, opened, failed;
    uint64_t sent, backlogged;
    struct hb_beat_maker maker;
    struct hb_peer_tally tally;
    char refusal[128];
    int quit;
};

static int64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

static void conn_drop(struct load *load, struct conn *conn)
{
    if (conn->state == CONN_CONNECTING || conn->state == CONN_UPGRADING) {
        load->failed++;
    }
    close(conn->fd);
    conn->fd = -1;
    conn->state = CONN_CLOSED;
}

static void conn_watch(struct load *load, uint32_t index, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u32 = index};
    (void)epoll_ctl(load->epfd, operation, load->conns[index].fd, &event);
}

static void conn_dial(struct load *load, uint32_t index)
{
    struct conn *conn = &load->conns[index];
    in_addr_t source = load->options.sources ? htonl(INADDR_LOOPBACK + 1 + index % load->options.sources) : 0;
    conn->fd = hb_peer_dial(&load->to, source);
    if (conn->fd < 0) {
        snprintf(load->refusal, sizeof(load->refusal), "connect: %s", strerror(errno));
        conn->state = CONN_CLOSED;
        load->failed++;
        return;
    }
    conn->state = CONN_CONNECTING;
    conn_watch(load, index, EPOLL_CTL_ADD, EPOLLOUT);
}

static void conn_beat(struct load *load, uint32_t index)
{
    char text[1024];
    struct conn *conn = &load->conns[index];
    size_t len = hb_beat_maker_write(&load->maker, index, text, sizeof(text));
    switch (hb_peer_send_text(conn->fd, text, len, (uint32_t)hb_beat_maker_random(&load->maker))) {
    case HB_PEER_SENT:
        load->sent++;
        break;
    case HB_PEER_BACKLOG:
        load->backlogged++;
        break;
    case HB_PEER_BROKEN:
        load->tally.closes++;
        conn_drop(load, conn);
        break;
    }
}

static void conn_connected(struct load *load, uint32_t index)
{
    char host[64], path[192];
    struct conn *conn = &load->conns[index];
    snprintf(host, sizeof(host), "%s:%u", load->options.host, load->options.port);
    snprintf(path, sizeof(path), "/ws/%s-%u", load->options.id_prefix, index);
    if (!hb_peer_send_upgrade(conn->fd, host, path)) {
        snprintf(load->refusal, sizeof(load->refusal), "connect: %s", strerror(errno));
        conn_drop(load, conn);
        return;
    }
    conn->state = CONN_UPGRADING;
    conn_watch(load, index, EPOLL_CTL_MOD, EPOLLIN);
}

static void conn_upgrading(struct load *load, uint32_t index)
{
    struct conn *conn = &load->conns[index];
    switch (hb_peer_read_upgrade(conn->fd, load->refusal, sizeof(load->refusal))) {
    case HB_PEER_PENDING:
        break;
    case HB_PEER_GOOD:
        conn->state = CONN_OPEN;
        load->opened++;
        conn_beat(load, index);
        break;
    case HB_PEER_BAD:
        conn_drop(load, conn);
        break;
    }
}

static void conn_event(struct load *load, uint32_t index)
{
    struct conn *conn = &load->conns[index];
    if (conn->state == CONN_CONNECTING) {
        conn_connected(load, index);
    } else if (conn->state == CONN_UPGRADING) {
        conn_upgrading(load, index);
    } else if (conn->state == CONN_OPEN && !hb_peer_receive(conn->fd, &load->tally)) {
        conn_drop(load, conn);
    }
}

/* One wait of at most wait_ns. True when standard input has a command; sockets are served here. */
static bool serve(struct load *load, int64_t wait_ns)
{
    struct epoll_event events[EVENTS_PER_WAIT];
    struct timespec wait = {.tv_sec = wait_ns / NS_PER_SEC, .tv_nsec = wait_ns % NS_PER_SEC};
    int ready = epoll_pwait2(load->epfd, events, EVENTS_PER_WAIT, &wait, NULL);
    if (ready < 0 && errno == ENOSYS) { /* Linux before 5.11, valgrind: to the millisecond, rounded up */
        ready = epoll_wait(load->epfd, events, EVENTS_PER_WAIT, (int)((wait_ns + 999999) / 1000000));
    }
    bool command = false;
    for (int i = 0; i < ready; i++) {
        if (events[i].data.u32 == COMMANDS_INDEX) {
            command = true;
        } else {
            conn_event(load, events[i].data.u32);
        }
    }
    return command;
}

static void connect_all(struct load *load)
{
    uint32_t settled = 0;
    int64_t progress_ns = now_ns(CLOCK_MONOTONIC);
    while (settled < load->options.sockets) {
        while (load->dialled < load->options.sockets && load->dialled - settled < load->options.in_flight) {
            conn_dial(load, load->dialled++);
        }
        serve(load, NS_PER_SEC / 10);
        int64_t now = now_ns(CLOCK_MONOTONIC);
        if (load->opened + load->failed != settled) {
            settled = load->opened + load->failed;
            progress_ns = now;
        } else if (now - progress_ns > CONNECT_STALL_NS) {
            snprintf(load->refusal, sizeof(load->refusal), "no handshake finished for 10 s");
            load->failed = load->options.sockets - load->opened;
            return;
        }
    }
}

static void next_beat(struct load *load)
{
    uint32_t index = load->order[load->order_at];
    load->order_at = (load->order_at + 1) % load->options.sockets;
    if (load->conns[index].state == CONN_OPEN) {
        conn_beat(load, index);
    }
}

/* When beat k of a phase is due, counted from its start. */
static int64_t beat_due_ns(uint64_t k, uint32_t rate)
{
    return (int64_t)(k / rate) * NS_PER_SEC + (int64_t)(k % rate) * NS_PER_SEC / rate;
}

/* How long from `elapsed` until a beat due at `due` may leave: with a tick, at the first multiple of it from then on.
 */
static int64_t beat_wait_ns(uint32_t tick_us, int64_t due, int64_t elapsed)
{
    int64_t tick = (int64_t)tick_us * 1000;
    int64_t leaves = tick > 0 ? (due + tick - 1) / tick * tick : due;
    return leaves > elapsed ? leaves - elapsed : 0;
}

static void run_phase(struct load *load, uint32_t rate, uint32_t seconds, uint32_t tick_us)
{
    uint64_t due = 0, total = (uint64_t)rate * seconds, sent_before = load->sent, backlog_before = load->backlogged;
    int64_t start = now_ns(CLOCK_MONOTONIC), cpu_start = now_ns(CLOCK_PROCESS_CPUTIME_ID), late_max = 0;
    while (due < total) {
        int64_t elapsed = now_ns(CLOCK_MONOTONIC) - start;
        int64_t due_ns = beat_due_ns(due, rate);
        late_max = elapsed - due_ns > late_max ? elapsed - due_ns : late_max;
        for (int i = 0; i < BEATS_PER_TURN && due < total && due_ns <= elapsed; i++) {
            next_beat(load);
            due_ns = beat_due_ns(++due, rate);
        }
        elapsed = now_ns(CLOCK_MONOTONIC) - start;
        serve(load, due_ns <= elapsed ? 0 : beat_wait_ns(tick_us, due_ns, elapsed));
    }
    double took = (double)(now_ns(CLOCK_MONOTONIC) - start) / (double)NS_PER_SEC;
    double cpu = (double)(now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_start) / (double)NS_PER_SEC;
    uint64_t sent = load->sent - sent_before;
    printf("{\"event\":\"phase\",\"rate\":%u,\"seconds\":%.4f,\"sent\":%llu,\"backlogged\":%llu,"
           "\"achieved_rate\":%.1f,\"late_max_ms\":%.2f,\"client_cpu_seconds\":%.3f,\"closes\":%llu,"
           "\"errors\":%llu}\n",
           rate, took, (unsigned long long)sent, (unsigned long long)(load->backlogged - backlog_before),
           (double)sent / took, (double)late_max / 1e6, cpu, (unsigned long long)load->tally.closes,
           (unsigned long long)load->tally.errors);
}

static void run_command(struct load *load)
{
    char line[128];
    unsigned rate, seconds, tick_us = 0;
    if (!fgets(line, sizeof(line), stdin) || strncmp(line, "quit", 4) == 0) {
        load->quit = 1;
    } else if (sscanf(line, "beat %u %u %u", &rate, &seconds, &tick_us) >= 2 && rate > 0 && seconds > 0) {
        run_phase(load, rate, seconds, tick_us);
    } else {
        printf("{\"event\":\"refused\",\"rule\":\"beat <per second> <seconds> [tick us], or quit\"}\n");
    }
}

/*
 * Standard input is unbuffered, so that epoll and fgets agree on whether a line waits; and reported once per line, so
 * that a line waiting behind a running phase does not make that phase spin.
 */
static void run_commands(struct load *load)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.u32 = COMMANDS_INDEX};
    setvbuf(stdin, NULL, _IONBF, 0);
    if (epoll_ctl(load->epfd, EPOLL_CTL_ADD, STDIN_FILENO, &event) != 0) {
        while (!load->quit) { /* a plain file: always readable, which epoll refuses to watch */
            run_command(load);
        }
    }
    while (!load->quit) {
        if (serve(load, NS_PER_SEC)) {
            run_command(load);
            (void)epoll_ctl(load->epfd, EPOLL_CTL_MOD, STDIN_FILENO, &event);
        }
    }
}

static void shuffle_order(struct load *load)
{
    for (uint32_t i = 0; i < load->options.sockets; i++) {
        uint32_t other = (uint32_t)(hb_beat_maker_random(&load->maker) % (i + 1));
        load->order[i] = load->order[other];
        load->order[other] = i;
    }
}

static bool load_init(struct load *load)
{
    struct rlimit files;
    load->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)load->options.port)};
    if (inet_pton(AF_INET, load->options.host, &load->to.sin_addr) != 1) {
        fprintf(stderr, "bench_ws_load: --host %s: must be an IPv4 address\n", load->options.host);
        return false;
    }
    if (ntohl(load->to.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET) {
        load->options.sources = 0;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    (void)prctl(PR_SET_TIMERSLACK, 1L, 0L, 0L, 0L); /* the default of 50 us is the whole gap between two beats */
    hb_beat_maker_init(&load->maker, load->options.id_prefix);
    load->epfd = epoll_create1(EPOLL_CLOEXEC);
    load->conns = calloc(load->options.sockets, sizeof(*load->conns));
    load->order = calloc(load->options.sockets, sizeof(*load->order));
    if (load->epfd < 0 || !load->conns || !load->order) {
        return false;
    }
    shuffle_order(load);
    return true;
}

static void load_free(struct load *load)
{
    for (uint32_t i = 0; load->conns && i < load->options.sockets; i++) {
        if (load->conns[i].state != CONN_NONE && load->conns[i].fd >= 0) {
            close(load->conns[i].fd);
        }
    }
    free(load->conns);
    free(load->order);
    close(load->epfd);
}

static const char usage[] =
    "usage: bench_ws_load --port PORT [--host 127.0.0.1] [--sockets 1000] [--id-prefix worker] [--register]\n"
    "                     [--in-flight 128] [--sources 4] [--tick-us 0] [--rate BEATS_PER_SECOND --seconds SECONDS]\n"
    "Without --rate it takes commands from standard input: beat <per second> <seconds> [tick us], quit\n";

static bool parse_number(const char *text, uint32_t *ret_value)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || value > 10000000) {
        return false;
    }
    *ret_value = (uint32_t)value;
    return true;
}

static bool parse_options(int argc, char **argv, struct load_options *options)
{
    static const struct option flags[] = {
        {"host", required_argument, NULL, 'h'},
        {"port", required_argument, NULL, 'p'},
        {"sockets", required_argument, NULL, 'n'},
        {"id-prefix", required_argument, NULL, 'i'},
        {"in-flight", required_argument, NULL, 'f'},
        {"rate", required_argument, NULL, 'r'},
        {"seconds", required_argument, NULL, 's'},
        {"sources", required_argument, NULL, 'o'},
        {"tick-us", required_argument, NULL, 't'},
        {"register", no_argument, NULL, 'g'},
        {NULL, 0, NULL, 0},
    };
    int flag;
    bool good = true;
    while (good && (flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        switch (flag) {
        case 'h':
            options->host = optarg;
            break;
        case 'i':
            options->id_prefix = optarg;
            good = strlen(optarg) <= 40;
            break;
        case 'g':
            options->with_register = 1;
            break;
        case 'p':
            good = parse_number(optarg, &options->port);
            break;
        case 'n':
            good = parse_number(optarg, &options->sockets);
            break;
        case 'f':
            good = parse_number(optarg, &options->in_flight);
            break;
        case 'r':
            good = parse_number(optarg, &options->rate);
            break;
        case 's':
            good = parse_number(optarg, &options->seconds);
            break;
        case 't':
            good = parse_number(optarg, &options->tick_us);
            break;
        case 'o':
            good = parse_number(optarg, &options->sources) && options->sources <= 200;
            break;
        default:
            good = false;
        }
    }
    return good && optind == argc && options->port > 0 && options->port < 65536 && options->sockets > 0 &&
           options->in_flight > 0 && !options->rate == !options->seconds;
}

static double seconds_since(int64_t start_ns)
{
    return (double)(now_ns(CLOCK_MONOTONIC) - start_ns) / (double)NS_PER_SEC;
}

/* Registers, connects and says so. False when not every worker is in. */
static bool bring_up(struct load *load)
{
    double register_seconds = 0;
    const struct load_options *options = &load->options;
    if (options->with_register) {
        int64_t start = now_ns(CLOCK_MONOTONIC);
        if (!hb_register_all(&load->to, options->id_prefix, options->sockets, load->refusal, sizeof(load->refusal))) {
            load->failed = options->sockets;
        }
        register_seconds = seconds_since(start);
    }
    int64_t start = now_ns(CLOCK_MONOTONIC);
    if (load->failed == 0) {
        connect_all(load);
    }
    printf("{\"event\":\"connected\",\"sockets\":%u,\"open\":%u,\"failed\":%u,\"register_seconds\":%.3f,"
           "\"connect_seconds\":%.3f,\"refusal\":\"%s\"}\n",
           options->sockets, load->opened, load->failed, register_seconds, seconds_since(start), load->refusal);
    return load->failed == 0;
}

int main(int argc, char **argv)
{
    static struct load load;
    load.options = (struct load_options){
        .host = "127.0.0.1", .id_prefix = "worker", .sockets = 1000, .in_flight = 128, .sources = 4};
    if (!parse_options(argc, argv, &load.options)) {
        fputs(usage, stderr);
        return 64;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!load_init(&load)) {
        load_free(&load);
        return 70;
    }
    bool good = bring_up(&load);
    if (good && load.options.rate > 0) {
        run_phase(&load, load.options.rate, load.options.seconds, load.options.tick_us);
    } else if (good) {
        run_commands(&load);
    }
    printf("{\"event\":\"total\",\"sent\":%llu,\"backlogged\":%llu,\"closes\":%llu,\"first_close\":%u,"
           "\"errors\":%llu,\"first_error\":\"%s\",\"pings\":%llu}\n",
           (unsigned long long)load.sent, (unsigned long long)load.backlogged, (unsigned long long)load.tally.closes,
           load.tally.first_close, (unsigned long long)load.tally.errors, load.tally.first_error,
           (unsigned long long)load.tally.pings);
    load_free(&load);
    return good ? 0 : 1;
}
