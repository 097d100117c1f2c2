/*
 * What a flush of 10,000 rows costs: every worker has beaten once since the last one. Prints microseconds of this
 * process's CPU per row, and of the server's, over several flushes.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

#include "tests/integration/store_rig.h"

#define WORKERS 10000
#define FLUSHES 20

static double own_cpu_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static double server_cpu_us(struct rig *rig)
{
    const char *info = real_redis_ask(&rig->redis, "INFO cpu")->str;

    return (strtod(strstr(info, "used_cpu_sys:") + 13, NULL) + strtod(strstr(info, "used_cpu_user:") + 14, NULL)) * 1e6;
}

static void beat_all(struct rig *rig)
{
    char id[16];

    for (int i = 0; i < WORKERS; i++) {
        snprintf(id, sizeof id, "w%05d", i);
        rig_beat(rig, id, HB_BEAT_ALIVE);
    }
}

static void measure(void **state)
{
    struct rig *rig = *state;
    uint64_t rows, batches, bytes;
    double own = 0, refresh = 0, server, begun;

    rig->config.flush_interval_ms = 3600000; /* by hand, below */
    rig_start_manager(rig);
    beat_all(rig);
    rig_until(rig, rig_in_step);
    rows = hb_redis_store_counters(rig->store)->rows;
    batches = hb_redis_store_counters(rig->store)->batches;
    bytes = hb_redis_store_counters(rig->store)->bytes;
    server = server_cpu_us(rig);
    for (int i = 0; i < FLUSHES; i++) {
        beat_all(rig);
        begun = own_cpu_us();
        hb_mirror_refresh(hb_manager_mirror(rig->manager));
        refresh += own_cpu_us() - begun;
        rig_register(rig, "w00000"); /* wakes the store */
        while (hb_mirror_dirty_count(hb_manager_mirror(rig->manager)) > 0)
            rig_turns(rig, 1);
        own += own_cpu_us() - begun;
        rig_until(rig, rig_in_step);
    }
    server = server_cpu_us(rig) - server;
    rows = hb_redis_store_counters(rig->store)->rows - rows;
    batches = hb_redis_store_counters(rig->store)->batches - batches;
    bytes = hb_redis_store_counters(rig->store)->bytes - bytes;
    printf("%" PRIu64 " rows of %" PRIu64 " bytes in %" PRIu64 " batches\n", rows, bytes / rows, batches);
    printf("client %.2f us/row, of which building the row %.2f; server %.2f us/row\n", own / (double)rows,
           refresh / (double)rows, server / (double)rows);
}

int main(void)
{
    const struct CMUnitTest once[] = {cmocka_unit_test_setup_teardown(measure, rig_set_up, rig_tear_down)};

    return cmocka_run_group_tests(once, NULL, NULL);
}
