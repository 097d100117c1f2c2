#include "tests/sim/timeline.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void timeline_open(struct timeline *timeline, uint32_t observed, bool at_once)
{
    *timeline = (struct timeline){.observed = observed, .at_once = at_once, .broken_worker = TIMELINE_NOBODY};
    if (observed != TIMELINE_NOBODY && !at_once)
        timeline->lines = calloc(TIMELINE_LINES, sizeof *timeline->lines);
}

void timeline_close(struct timeline *timeline)
{
    free(timeline->lines);
}

static void write_line(struct timeline *timeline, int64_t now, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

static void write_line(struct timeline *timeline, int64_t now, const char *format, va_list arguments)
{
    char line[TIMELINE_LINE_SIZE];
    int len = snprintf(line, sizeof line, "at %" PRId64 ".%03d s: ", now / 1000, (int)(now % 1000));

    vsnprintf(line + len, sizeof line - (size_t)len, format, arguments);
    if (timeline->at_once)
        puts(line);
    else if (timeline->lines != NULL)
        snprintf(timeline->lines[timeline->count % TIMELINE_LINES], TIMELINE_LINE_SIZE, "%s", line);
    timeline->count++;
}

static void write_usual(struct timeline *timeline, int64_t now, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void write_usual(struct timeline *timeline, int64_t now, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    write_line(timeline, now, format, arguments);
    va_end(arguments);
}

void timeline_beat(struct timeline *timeline, int64_t now)
{
    timeline->usual++;
    timeline->usual_at = now;
}

void timeline_note(struct timeline *timeline, uint32_t worker, int64_t now, const char *format, ...)
{
    uint64_t usual = timeline->usual;
    va_list arguments;

    if (!timeline_observes(timeline, worker))
        return;
    timeline->usual = 0;
    if (usual > 0)
        write_usual(timeline, timeline->usual_at, "the last of %" PRIu64 " beats that changed nothing", usual);
    va_start(arguments, format);
    write_line(timeline, now, format, arguments);
    va_end(arguments);
}

void timeline_break(struct timeline *timeline, uint32_t worker, int64_t now, const char *format, ...)
{
    va_list arguments;

    if (timeline->broken)
        return;
    timeline->broken = true;
    timeline->broken_at = now;
    timeline->broken_worker = worker;
    va_start(arguments, format);
    vsnprintf(timeline->verdict, sizeof timeline->verdict, format, arguments);
    va_end(arguments);
}

void timeline_print(const struct timeline *timeline)
{
    uint64_t from = timeline->count > TIMELINE_LINES ? timeline->count - TIMELINE_LINES : 0;

    for (uint64_t i = from; timeline->lines != NULL && i < timeline->count; i++)
        puts(timeline->lines[i % TIMELINE_LINES]);
}
