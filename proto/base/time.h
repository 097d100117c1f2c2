/*
 * time: two clocks, two types, so that the compiler refuses to mix them.
 *
 * Deadlines and ages are monotonic; what people read is wall clock. A step of the wall clock must change nothing but
 * what is shown. Both count milliseconds. The pure core takes time as an argument and never calls the *_now functions.
 */
#ifndef HB_BASE_TIME_H
#define HB_BASE_TIME_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

typedef struct {
    int64_t ms;
} hb_mono_ms;

typedef struct {
    int64_t ms; /* since 1970-01-01T00:00:00Z */
} hb_wall_ms;

/* One reading of both clocks: taken once per callback at the edge and handed down. */
struct hb_moment {
    hb_mono_ms mono;
    hb_wall_ms wall;
};

#define HB_MONO_NEVER ((hb_mono_ms){INT64_MAX})
#define HB_WALL_TEXT_SIZE 25 /* "2026-11-20T19:45:00.123Z" and its NUL */

hb_mono_ms hb_mono_now(void); /* CLOCK_MONOTONIC: stands still while the machine is suspended */
hb_wall_ms hb_wall_now(void);
struct hb_moment hb_moment_now(void);

static inline hb_mono_ms hb_mono_add(hb_mono_ms t, int64_t ms)
{
    return (hb_mono_ms){t.ms > INT64_MAX - ms ? INT64_MAX : t.ms + ms};
}

static inline int64_t hb_mono_between(hb_mono_ms earlier, hb_mono_ms later)
{
    return later.ms - earlier.ms;
}

static inline hb_mono_ms hb_mono_earlier(hb_mono_ms a, hb_mono_ms b)
{
    return a.ms < b.ms ? a : b;
}

/* Writes ISO 8601 UTC with milliseconds, always 24 bytes and a NUL. Years outside 0000-9999 are clamped. */
void hb_wall_format(hb_wall_ms t, char out[HB_WALL_TEXT_SIZE]);

/*
 * Reads what hb_wall_format writes, and what Python's datetime.isoformat() writes: 0 to 9 digits of fraction, zone
 * absent (taken as UTC), "Z", "+hh:mm" or "-hh:mm". Digits beyond the millisecond are cut. HB_ERR_INVALID for anything
 * else.
 */
enum hb_err hb_wall_parse(const char *text, size_t len, hb_wall_ms *ret_t) HB_MUST_CHECK;

#endif
