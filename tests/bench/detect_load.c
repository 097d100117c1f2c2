/*
 * detect_load: lets workers fall silent in waves, and measures when a subscriber hears that they are down.
 *
 * Loaded: all beat once per interval; a wave keeps silent until all of it was heard of, then beats again. Idle: nobody
 * beats but a wave, each of it once. Both go on until so many expiries were seen. A wave that is not heard of within
 * 30 seconds beyond its timeout is lost.
 *
 * Prints one line of JSON. Exit code 0 measured, 1 could not measure, 64 usage.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "tests/bench/detect_timer.h"

#define NS_PER_MS INT64_C(1000000)
#define LOST_AFTER_NS (30000 * NS_PER_MS) /* far beyond what a machine may pause */
#define SETTLE_NS (300 * NS_PER_MS)       /* recoveries reach the manager and Redis */
#define SPARE 1000                        /* samples more than asked for: a wave is not cut short */
#define TIMERS_MOST 200000
#define WAVES_MOST 10000
#define QUIET_NS (10 * NS_PER_MS) /* a bare timer later than this: somebody else had the CPU */

struct detect {
    unsigned port, redis_port, sockets, timeout_ms, interval_ms, wave, expiries;
    int timer_cpu;
    bool idle;
    struct hb_crowd crowd;
    struct hb_ear ear;
    struct hb_bare_timer timer;
    uint32_t *chosen;
    uint32_t lost, waves;
    double latest_ms[WAVES_MOST]; /* of each wave, the last that was heard of */
    struct hb_samples quiet;      /* of what was heard, the waves in which the bare timer itself woke in time */
    uint32_t quiet_waves;
};

static void run_for(struct detect *detect, int64_t span_ns)
{
    int64_t until = hb_crowd_now_ns() + span_ns;
    while (hb_crowd_now_ns() < until) {
        hb_crowd_run(&detect->crowd);
    }
}

/* Everybody gets one turn, however late the crowd is. */
static void run_round(struct detect *detect)
{
    uint64_t until = detect->crowd.turn + detect->crowd.count;
    while (detect->crowd.turn < until) {
        hb_crowd_run(&detect->crowd);
    }
}

/* Different ones, by marking: silent while being chosen. */
static void choose(struct detect *detect)
{
    for (uint32_t i = 0; i < detect->wave; i++) {
        uint32_t index = hb_crowd_pick(&detect->crowd);
        while (atomic_load(&detect->crowd.workers[index].silent)) {
            index = (index + 1) % detect->crowd.count;
        }
        detect->chosen[i] = index;
        hb_crowd_silence(&detect->crowd, index, true);
    }
}

static void silence_all(struct detect *detect, bool silent)
{
    for (uint32_t i = 0; i < detect->crowd.count; i++) {
        hb_crowd_silence(&detect->crowd, i, silent);
    }
}

static void silence_chosen(struct detect *detect, bool silent)
{
    for (uint32_t i = 0; i < detect->wave; i++) {
        hb_crowd_silence(&detect->crowd, detect->chosen[i], silent);
    }
}

static void await_wave(struct detect *detect)
{
    int64_t until = hb_crowd_now_ns() + (int64_t)detect->timeout_ms * NS_PER_MS + LOST_AFTER_NS;
    while (atomic_load(&detect->ear.wave) < detect->wave && hb_crowd_now_ns() < until) {
        hb_crowd_run(&detect->crowd);
    }
    detect->lost += detect->wave - atomic_load(&detect->ear.wave);
}

static void loaded_wave(struct detect *detect)
{
    atomic_store(&detect->ear.wave, 0);
    choose(detect);
    await_wave(detect);
    silence_chosen(detect, false);
    run_round(detect);
    run_for(detect, SETTLE_NS);
}

/* All are silent; the chosen ones get one turn each. */
static void idle_wave(struct detect *detect)
{
    silence_all(detect, false);
    choose(detect);
    silence_all(detect, true);
    atomic_store(&detect->ear.wave, 0);
    silence_chosen(detect, false);
    run_round(detect);
    silence_chosen(detect, true);
    await_wave(detect);
}

static int64_t latest_from(const struct hb_samples *samples, uint32_t first)
{
    int64_t latest = 0;
    for (uint32_t i = first; i < atomic_load(&samples->count); i++) {
        latest = samples->values[i] > latest ? samples->values[i] : latest;
    }
    return latest;
}

static void note_wave(struct detect *detect, uint32_t first, uint32_t first_timer)
{
    detect->latest_ms[detect->waves++] = (double)latest_from(&detect->ear.heard, first) / (double)NS_PER_MS;
    if (latest_from(&detect->timer.woken, first_timer) > QUIET_NS) {
        return;
    }
    detect->quiet_waves++;
    for (uint32_t i = first; i < atomic_load(&detect->ear.heard.count); i++) {
        hb_samples_add(&detect->quiet, detect->ear.heard.values[i]);
    }
}

static bool measure(struct detect *detect)
{
    int64_t timeout_ns = (int64_t)detect->timeout_ms * NS_PER_MS;
    hb_crowd_start(&detect->crowd);
    if (detect->idle) { /* whoever beat when it connected is to be forgotten first */
        silence_all(detect, true);
        run_for(detect, timeout_ns + 2 * detect->crowd.interval_ns);
    } else {
        run_for(detect, 2 * timeout_ns);
    }
    atomic_store(&detect->ear.recording, true);
    atomic_store(&detect->timer.recording, true);
    detect->crowd.late_max_ns = 0;
    while (atomic_load(&detect->ear.heard.count) < detect->expiries && detect->lost == 0 && !detect->ear.broken &&
           detect->waves < WAVES_MOST) {
        uint32_t first = atomic_load(&detect->ear.heard.count);
        uint32_t first_timer = atomic_load(&detect->timer.woken.count);
        (detect->idle ? idle_wave : loaded_wave)(detect);
        note_wave(detect, first, first_timer);
    }
    atomic_store(&detect->ear.recording, false);
    atomic_store(&detect->timer.recording, false);
    return !detect->ear.broken;
}

/* ---- what was found ---- */

static int by_value(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static double ms_at(const struct hb_samples *samples, uint32_t count, double share)
{
    return (double)samples->values[(uint32_t)(share * (double)(count - 1))] / (double)NS_PER_MS;
}

static void print_samples(const char *name, struct hb_samples *samples)
{
    uint32_t count = atomic_load(&samples->count);
    printf(",\"%s\":{\"count\":%u", name, count);
    if (count > 0) {
        qsort(samples->values, count, sizeof(*samples->values), by_value);
        printf(",\"earliest\":%.3f,\"p50\":%.3f,\"p99\":%.3f,\"p99.9\":%.3f,\"latest\":%.3f", ms_at(samples, count, 0),
               ms_at(samples, count, 0.5), ms_at(samples, count, 0.99), ms_at(samples, count, 0.999),
               ms_at(samples, count, 1));
    }
    printf("}");
}

static void report(struct detect *detect, double seconds)
{
    struct hb_ear *ear = &detect->ear;
    printf("{\"event\":\"measured\",\"mode\":\"%s\",\"sockets\":%u,\"waves\":%u,\"seconds\":%.1f,\"beats\":%llu,"
           "\"backlogged\":%llu,\"closes\":%llu,\"load_late_max_ms\":%.1f,\"lost\":%u,\"twice\":%u,"
           "\"late_senders\":%u,\"false_downs\":%u,\"quiet_waves\":%u",
           detect->idle ? "idle" : "loaded", detect->sockets, detect->waves, seconds,
           (unsigned long long)detect->crowd.sent, (unsigned long long)detect->crowd.backlogged,
           (unsigned long long)detect->crowd.tally.closes, (double)detect->crowd.late_max_ns / (double)NS_PER_MS,
           detect->lost, atomic_load(&ear->twice), atomic_load(&ear->late_senders), atomic_load(&ear->false_downs),
           detect->quiet_waves);
    printf(",\"wave_latest_ms\":[");
    for (uint32_t i = 0; i < detect->waves; i++) {
        printf("%s%.1f", i > 0 ? "," : "", detect->latest_ms[i]);
    }
    printf("]");
    print_samples("heard", &ear->heard);
    print_samples("quiet", &detect->quiet);
    print_samples("at", &ear->at);
    print_samples("timer_woken", &detect->timer.woken);
    print_samples("timer_heard", &ear->timer);
    printf("}\n");
}

static bool run(struct detect *detect)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)detect->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    detect->chosen = calloc(detect->wave, sizeof(*detect->chosen));
    if (!detect->chosen ||
        !hb_crowd_open(&detect->crowd, &to, detect->sockets, (int64_t)detect->interval_ms * NS_PER_MS)) {
        fprintf(stderr, "bench_detect_load: %s\n", detect->crowd.refusal);
        return false;
    }
    if (!hb_ear_start(&detect->ear, (uint16_t)detect->redis_port, &detect->crowd,
                      (int64_t)detect->timeout_ms * NS_PER_MS, detect->expiries + detect->wave + SPARE) ||
        !hb_bare_timer_start(&detect->timer, (uint16_t)detect->redis_port, detect->timer_cpu, TIMERS_MOST)) {
        fprintf(stderr, "bench_detect_load: no connection to Redis, or no thread\n");
        return false;
    }
    if (!hb_samples_init(&detect->quiet, detect->expiries + detect->wave + SPARE)) {
        return false;
    }
    int64_t start = hb_crowd_now_ns();
    bool good = measure(detect);
    double seconds = (double)(hb_crowd_now_ns() - start) / 1e9;
    hb_bare_timer_stop(&detect->timer);
    report(detect, seconds);
    hb_ear_stop(&detect->ear);
    free(detect->timer.woken.values);
    free(detect->quiet.values);
    return good;
}

/* ---- the command line ---- */

static const char usage[] =
    "usage: bench_detect_load --port PORT --redis-port PORT --sockets N --timeout-ms N --interval-ms N --wave N\n"
    "                         --expiries N [--timer-cpu N] [--idle]\n";

static bool parse_number(const char *text, unsigned *ret_value)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || value == 0 || value > 10000000) {
        return false;
    }
    *ret_value = (unsigned)value;
    return true;
}

static bool parse_options(int argc, char **argv, struct detect *detect)
{
    unsigned *const numbers[] = {&detect->port,        &detect->redis_port, &detect->sockets, &detect->timeout_ms,
                                 &detect->interval_ms, &detect->wave,       &detect->expiries};
    static const struct option flags[] = {
        {"port", required_argument, NULL, 0},
        {"redis-port", required_argument, NULL, 1},
        {"sockets", required_argument, NULL, 2},
        {"timeout-ms", required_argument, NULL, 3},
        {"interval-ms", required_argument, NULL, 4},
        {"wave", required_argument, NULL, 5},
        {"expiries", required_argument, NULL, 6},
        {"timer-cpu", required_argument, NULL, 7},
        {"idle", no_argument, NULL, 8},
        {NULL, 0, NULL, 0},
    };
    int flag;
    bool good = true;
    while (good && (flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        if (flag == 7) {
            detect->timer_cpu = atoi(optarg);
        } else if (flag == 8) {
            detect->idle = true;
        } else {
            good = flag < 7 && parse_number(optarg, numbers[flag]);
        }
    }
    for (size_t i = 0; good && i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        good = *numbers[i] > 0;
    }
    return good && optind == argc && detect->wave <= detect->sockets && detect->interval_ms < detect->timeout_ms;
}

int main(int argc, char **argv)
{
    static struct detect detect;
    struct rlimit files;
    detect.timer_cpu = -1;
    if (!parse_options(argc, argv, &detect)) {
        fputs(usage, stderr);
        return 64;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    (void)prctl(PR_SET_TIMERSLACK, 1L, 0L, 0L, 0L);
    bool good = run(&detect);
    hb_crowd_close(&detect.crowd);
    free(detect.chosen);
    return good ? 0 : 1;
}
