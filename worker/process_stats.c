#include "worker/process_stats.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* The first bytes of a small file as text. Returns 0 on success. */
static int read_small_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t len = read(fd, text, size - 1);
    close(fd);
    if (len < 0)
        return -1;
    text[len] = '\0';
    return 0;
}

static int64_t machine_memory_bytes(void)
{
    char text[256];
    long long kib = 0;
    if (read_small_file("/proc/meminfo", text, sizeof text) == 0 && sscanf(text, "MemTotal: %lld kB", &kib) == 1)
        return (int64_t)kib * 1024;
    return 0;
}

/* The limit of our control group, version 2 or 1; 0 for none. */
static int64_t group_memory_bytes(void)
{
    static const char *const paths[] = {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    char text[64];
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        if (read_small_file(paths[i], text, sizeof text) != 0)
            continue;
        int64_t limit = strtoll(text, NULL, 10); /* the word "max" gives 0 */
        if (limit > 0)
            return limit;
    }
    return 0;
}

static int64_t cpu_time_us(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
    return ((int64_t)usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_usec;
}

static int64_t resident_bytes(void)
{
    char text[128];
    long long size = 0, resident = 0;
    if (read_small_file("/proc/self/statm", text, sizeof text) != 0 || sscanf(text, "%lld %lld", &size, &resident) != 2)
        return 0;
    return (int64_t)resident * sysconf(_SC_PAGESIZE);
}

void hb_process_stats_init(struct hb_process_stats *stats, hb_mono_ms now)
{
    int64_t machine = machine_memory_bytes(), group = group_memory_bytes();
    *stats = (struct hb_process_stats){
        .memory_total_bytes = group > 0 && (machine == 0 || group < machine) ? group : machine,
        .cpu_us = cpu_time_us(),
        .sampled_at = now,
    };
}

struct hb_process_sample hb_process_stats_sample(struct hb_process_stats *stats, hb_mono_ms now)
{
    struct hb_process_sample sample = {.rss_bytes = resident_bytes()};
    int64_t cpu_us = cpu_time_us(), elapsed_ms = hb_mono_between(stats->sampled_at, now);
    if (elapsed_ms > 0)
        sample.cpu_percent = (double)(cpu_us - stats->cpu_us) / (double)elapsed_ms / 10.0;
    if (stats->memory_total_bytes > 0)
        sample.memory_percent = 100.0 * (double)sample.rss_bytes / (double)stats->memory_total_bytes;
    stats->cpu_us = cpu_us;
    stats->sampled_at = now;
    return sample;
}
