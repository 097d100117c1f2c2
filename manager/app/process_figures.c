#include "manager/app/process_figures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STAT_BYTES 1024
#define START_FIELD 22 /* of /proc/self/stat, counted from 1 as proc(5) does */

static int64_t cpu_us(void)
{
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return -1;
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

static void read_memory(struct hb_process_figures *figures)
{
    long page = sysconf(_SC_PAGESIZE);
    long long size, resident;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file == NULL)
        return;
    if (fscanf(file, "%lld %lld", &size, &resident) == 2) {
        figures->virtual_bytes = size * page;
        figures->resident_bytes = resident * page;
    }
    fclose(file);
}

static void read_descriptors(struct hb_process_figures *figures)
{
    struct rlimit limit;
    struct stat folder;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < INT64_MAX)
        figures->max_fds = (int64_t)limit.rlim_cur;
    if (stat("/proc/self/fd", &folder) == 0 && folder.st_size > 0)
        figures->open_fds = folder.st_size;
}

/* The field that says how many clock ticks after the machine this process has started; 0 when it is not there. The
 * second field is the program's name in parentheses, and may hold anything. */
static unsigned long long start_ticks(const char *stat)
{
    const char *at = strrchr(stat, ')');

    for (int field = 2; at != NULL && field < START_FIELD; field++) {
        at = strchr(at, ' ');
        if (at != NULL)
            at++;
    }
    return at != NULL ? strtoull(at, NULL, 10) : 0;
}

int64_t hb_process_start_ms(void)
{
    char stat[STAT_BYTES];
    size_t len;
    unsigned long long ticks;
    struct timespec wall, since_boot;
    FILE *file = fopen("/proc/self/stat", "re");

    if (file == NULL)
        return -1;
    len = fread(stat, 1, sizeof stat - 1, file);
    fclose(file);
    stat[len] = '\0';
    ticks = start_ticks(stat);
    if (ticks == 0 || clock_gettime(CLOCK_REALTIME, &wall) != 0 || clock_gettime(CLOCK_BOOTTIME, &since_boot) != 0)
        return -1;
    return (wall.tv_sec - since_boot.tv_sec) * 1000 + (wall.tv_nsec - since_boot.tv_nsec) / 1000000 +
           (int64_t)(ticks * 1000 / (unsigned long long)sysconf(_SC_CLK_TCK));
}

struct hb_process_figures hb_process_figures_read(void)
{
    struct hb_process_figures figures = {cpu_us(), -1, -1, -1, -1};

    read_memory(&figures);
    read_descriptors(&figures);
    return figures;
}
