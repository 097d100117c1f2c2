/*
 * log: one line per event, as logfmt or as JSON, on standard error.
 *
 *   ts=2026-11-20T19:45:00.123Z level=info component=manager event=worker_status worker=w1 from=alive to=disconnected
 *
 * A line is a stable event name and typed fields, subject first. Values are quoted where logfmt needs it and control
 * characters are escaped, so nothing that a client sends can forge a line. Lines are rate-limited per event name:
 * beyond HB_LOG_BURST in one second further ones of that event are counted, and one line `event=log_suppressed
 * of=<event> count=<n>` says so before the next line after that second (or at hb_log_close). Errors are limited like
 * the rest. Counts are kept for 63 event names; beyond that the newcomers share one count, shown as `of=others`.
 * A line that could not be built (out of memory, over 16 KiB) counts as suppressed. A text shows its first 2048 bytes.
 *
 * The log is the one piece of state that belongs to the process and not to an object: every adapter may write to it.
 * It is not thread-safe: call it from the loop's thread only.
 */
#ifndef HB_BASE_LOG_H
#define HB_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"

#define HB_LOG_BURST 50

enum hb_log_level { HB_LOG_DEBUG, HB_LOG_INFO, HB_LOG_WARN, HB_LOG_ERROR };
enum hb_log_format { HB_LOG_LOGFMT, HB_LOG_JSON };

struct hb_log_field {
    const char *key; /* [a-z_]+ */
    enum { HB_FIELD_TEXT, HB_FIELD_INT, HB_FIELD_SECONDS, HB_FIELD_BOOL } type;
    struct hb_text text; /* absent text fields are left out of the line */
    int64_t number;      /* the int, the milliseconds shown as seconds, or the bool */
};

#define HB_LT(k, v) ((struct hb_log_field){.key = (k), .type = HB_FIELD_TEXT, .text = (v)})
#define HB_LS(k, v) ((struct hb_log_field){.key = (k), .type = HB_FIELD_TEXT, .text = hb_text_of(v)})
#define HB_LI(k, v) ((struct hb_log_field){.key = (k), .type = HB_FIELD_INT, .number = (int64_t)(v)})
#define HB_LD(k, ms) ((struct hb_log_field){.key = (k), .type = HB_FIELD_SECONDS, .number = (int64_t)(ms)})
#define HB_LB(k, v) ((struct hb_log_field){.key = (k), .type = HB_FIELD_BOOL, .number = (v) ? 1 : 0})

/* component is the program's part of the name ("manager"); it must outlive the log. */
void hb_log_open(const char *component, enum hb_log_level level, enum hb_log_format format);
void hb_log_close(void); /* writes what was suppressed and not yet said */
bool hb_log_enabled(enum hb_log_level level);

void hb_log_write(enum hb_log_level level, const char *event, const struct hb_log_field *fields, size_t count);

/* hb_log(HB_LOG_INFO, "redis_connected", HB_LS("host", host), HB_LI("port", port)); at least one field. */
#define hb_log(level, event, ...)                                                                                      \
    do {                                                                                                               \
        if (hb_log_enabled(level)) {                                                                                   \
            const struct hb_log_field hb_log_fields_[] = {__VA_ARGS__};                                                \
            hb_log_write((level), (event), hb_log_fields_, sizeof hb_log_fields_ / sizeof hb_log_fields_[0]);          \
        }                                                                                                              \
    } while (0)

#endif
