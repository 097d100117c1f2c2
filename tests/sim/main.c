/*
 * sim: simulated years of workers' lives, held against a naive model.
 *
 * A run is a function of its options: the same seed gives the same run. When an invariant breaks, the run is done once
 * more with the worker concerned under observation, and what happened to it is printed.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/sim/memory.h"
#include "tests/sim/shell.h"
#include "tests/sim/stack.h"
#include "tests/sim/witness.h"
#include "tests/sim/world.h"

#define MONO_START 1000000
#define WALL_START 1795203000000
#define FAILS_ONE_IN 300 /* allocations */
#define HOUR_MS 3600000.0

static const char help[] =
    "sim: simulates workers and their manager, and holds the manager against a naive model\n"
    "\n"
    "  --seed N      which run (1)\n"
    "  --workers N   how many workers (10000)\n"
    "  --hours N     worker-hours, all workers together (250000)\n"
    "  --store       the whole manager over a simulated Redis, not the registry alone\n"
    "  --quiet       no stalls, no restarts, no trouble: only the workers' own fates\n"
    "  --trace ID    print everything that happens to one worker, as in w17\n"
    "  --help\n"
    "\n"
    "10^7 worker-hours: sim --hours 1e7. Exit code 0, or 1 when an invariant broke: then its seed, the moment and the\n"
    "timeline of the worker concerned are printed.\n";

/* ---- one run ---- */

static void draw_rules(struct sim *sim)
{
    static const int64_t graces_ms[] = {0, 500, 2000, 2000, 5000};

    sim->rules = (struct hb_registry_rules){
        .timeout_ms = 15000,
        .disconnect_grace_ms = graces_ms[random_below(&sim->random, sizeof graces_ms / sizeof graces_ms[0])],
        .restart_grace_ms = 30000,
        .reap_after_ms = 2 * 3600 * 1000,
        .max_workers = 2 * sim->options.workers + 100,
        .timeline_bytes_max = (size_t)sim->options.workers * 400,
        .hash_seed = {random_next(&sim->random), random_next(&sim->random)},
    };
}

static void run(struct sim *sim, const struct sim_options *options, uint32_t observed, bool at_once)
{
    *sim = (struct sim){.options = *options, .random = {options->seed}, .now = MONO_START};
    sim->start = sim->now;
    sim->end = sim->now + (int64_t)ceil(options->worker_hours / options->workers * HOUR_MS);
    sim->wall_offset_ms = WALL_START;
    for (size_t i = 0; i < SIM_STALLS_KEPT; i++)
        sim->stalls[i].at = INT64_MIN / 2;
    timeline_open(&sim->timeline, observed, at_once);
    memory_open(options->seed, options->faults ? FAILS_ONE_IN : 0);
    draw_rules(sim);
    witness_open(sim);
    world_open(sim);
    shell_open(sim);
    shell_run(sim);
    shell_close(sim);
    world_close(sim);
}

/* ---- what is printed ---- */

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void report(const struct sim *sim, double seconds)
{
    const struct sim_counts *counts = &sim->counts;
    double hours = (double)(sim->now - sim->start) / HOUR_MS * sim->options.workers;

    printf("seed %" PRIu64 ": %.0f worker-hours of %" PRIu32
           " workers in %.1f s of CPU: %.0f worker-hours per second\n",
           sim->options.seed, hours, sim->options.workers, seconds, hours / seconds);
    printf("  %" PRIu64 " beats, %" PRIu64 " transitions, %" PRIu64 " down, %" PRIu64 " recovered, %" PRIu64
           " timed out, %" PRIu64 " reaped\n",
           counts->beats, counts->transitions, counts->downs, counts->recoveries, counts->timeouts, counts->reaped);
    printf("  %" PRIu64 " crashes, %" PRIu64 " freezes, %" PRIu64 " flaps, %" PRIu64 " half-open, %" PRIu64
           " takeovers, %" PRIu64 " refused as conflicts\n",
           counts->crashes, counts->freezes, counts->flaps, counts->half_opens, counts->takeovers, counts->conflicts);
    printf("  %" PRIu64 " goodbyes, %" PRIu64 " drained, %" PRIu64 " deleted, %" PRIu64 " maintenances, %" PRIu64
           " moved, %" PRIu64 " times packets held up\n",
           counts->byes, counts->drains, counts->deletes, counts->maintenances, counts->moves, counts->late_packets);
    printf("  %" PRIu64 " stalls (%.0f s), %" PRIu64 " restarts, %" PRIu64 " steps of the wall clock, %" PRIu64
           " allocations refused\n",
           counts->stalls, (double)counts->stall_ms / 1000, counts->restarts, counts->wall_steps,
           counts->memory_failures);
    printf("  %" PRIu64 " false downs; the latest deadline was handled %" PRId64 " ms late\n", counts->false_downs,
           counts->latest_ms);
    if (sim->options.store)
        stack_report(sim);
}

static void print_verdict(const struct sim *sim, const struct sim_options *options)
{
    uint32_t worker = sim->timeline.broken_worker;

    printf("BROKEN at %" PRId64 ".%03d s, seed %" PRIu64, sim->timeline.broken_at / 1000,
           (int)(sim->timeline.broken_at % 1000), options->seed);
    if (worker != TIMELINE_NOBODY)
        printf(", worker w%" PRIu32, worker);
    printf(": %s\n", sim->timeline.verdict);
}

/* Once more, with the worker concerned under observation. */
static void explain(struct sim *sim, const struct sim_options *options)
{
    uint32_t worker = sim->timeline.broken_worker;

    print_verdict(sim, options);
    timeline_close(&sim->timeline);
    if (worker == TIMELINE_NOBODY)
        return;
    run(sim, options, worker, false);
    timeline_print(&sim->timeline);
    print_verdict(sim, options);
}

/* ---- options ---- */

static bool number(const char *text, double least, double most, double *ret_number)
{
    char *end;

    errno = 0;
    *ret_number = strtod(text, &end);
    return errno == 0 && *text != '\0' && *end == '\0' && *ret_number >= least && *ret_number <= most;
}

static bool take_option(struct sim_options *options, int letter, const char *value)
{
    double read = 0;

    switch (letter) {
    case 's':
        if (!number(value, 0, 9e15, &read))
            return false;
        options->seed = (uint64_t)read;
        return true;
    case 'w':
        if (!number(value, 1, SIM_WORKERS_MAX, &read))
            return false;
        options->workers = (uint32_t)read;
        return true;
    case 'h':
        return number(value, 0, 1e12, &options->worker_hours);
    case 'r':
        options->store = true;
        return true;
    case 'q':
        options->faults = false;
        return true;
    case 't':
        if (value[0] != 'w' || !number(value + 1, 0, SIM_WORKERS_MAX, &read))
            return false;
        options->trace = (uint32_t)read;
        return true;
    default:
        return false;
    }
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"seed", required_argument, NULL, 's'},  {"workers", required_argument, NULL, 'w'},
        {"hours", required_argument, NULL, 'h'}, {"store", no_argument, NULL, 'r'},
        {"quiet", no_argument, NULL, 'q'},       {"trace", required_argument, NULL, 't'},
        {"help", no_argument, NULL, '?'},        {NULL, 0, NULL, 0},
    };
    static struct sim sim;
    struct sim_options options = {
        .seed = 1, .workers = 10000, .worker_hours = 250000, .faults = true, .trace = TIMELINE_NOBODY};
    double started = seconds_now();
    int letter;

    while ((letter = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (letter != '?' && take_option(&options, letter, optarg))
            continue;
        fputs(help, letter == '?' && argc == 2 ? stdout : stderr);
        return letter == '?' && argc == 2 && strcmp(argv[1], "--help") == 0 ? EXIT_SUCCESS : 64;
    }
    run(&sim, &options, options.trace, true);
    report(&sim, seconds_now() - started);
    if (sim.timeline.broken) {
        explain(&sim, &options);
        timeline_close(&sim.timeline);
        return EXIT_FAILURE;
    }
    timeline_close(&sim.timeline);
    return EXIT_SUCCESS;
}
