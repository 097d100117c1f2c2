/*
 * timeline: what happened to one worker, line by line, and the first invariant that broke.
 *
 * Nothing is written down in the usual run, which is what makes it fast; a run that broke is run again from its seed
 * with the worker concerned under observation.
 */
#ifndef HB_SIM_TIMELINE_H
#define HB_SIM_TIMELINE_H

#include <stdbool.h>
#include <stdint.h>

#define TIMELINE_NOBODY UINT32_MAX
#define TIMELINE_LINES 100
#define TIMELINE_LINE_SIZE 320

struct timeline {
    uint32_t observed; /* a worker, or TIMELINE_NOBODY */
    bool at_once;      /* print each line; else keep the last TIMELINE_LINES */
    char (*lines)[TIMELINE_LINE_SIZE];
    uint64_t count;
    uint64_t usual; /* beats since the last line: counted, not written */
    int64_t usual_at;

    bool broken;
    int64_t broken_at;
    uint32_t broken_worker; /* or TIMELINE_NOBODY */
    char verdict[TIMELINE_LINE_SIZE];
};

void timeline_open(struct timeline *timeline, uint32_t observed, bool at_once);
void timeline_close(struct timeline *timeline);
/* For the observed worker; for everybody when worker is TIMELINE_NOBODY. */
void timeline_note(struct timeline *timeline, uint32_t worker, int64_t now, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A beat that changed nothing. */
void timeline_beat(struct timeline *timeline, int64_t now);
/* The first one counts. */
void timeline_break(struct timeline *timeline, uint32_t worker, int64_t now, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void timeline_print(const struct timeline *timeline);

static inline bool timeline_observes(const struct timeline *timeline, uint32_t worker)
{
    return timeline->observed != TIMELINE_NOBODY && (worker == timeline->observed || worker == TIMELINE_NOBODY);
}

#endif
