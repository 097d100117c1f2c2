/*
 * log: builds a line in one kept buffer and hands it to the kernel in one write, so lines never interleave.
 *
 * Invariant: whatever a field holds, a line is one line of valid UTF-8 without control characters. Both formats escape
 * alike, as JSON does, so logfmt's quoted values and JSON's strings come from the same function.
 * Cost: one write(2) a line. The rate limit is a table of 64 counters, cleared once a second.
 */
#include "proto/base/log.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/time.h"

#define LINE_MAX_BYTES 16384
#define TEXT_SHOWN_MAX 2048
#define WINDOW_MS 1000
#define COUNTER_MAX 64 /* the last one is shared by every event that found no place */
#define COUNTER_NAME_SIZE 48

struct counter {
    char event[COUNTER_NAME_SIZE]; /* a copy, cut if need be: who logs may have built the name */
    uint32_t written;
    uint64_t suppressed;
};

static struct {
    const char *component;
    enum hb_log_level level;
    enum hb_log_format format;
    hb_mono_ms window_start;
    struct counter counters[COUNTER_MAX];
    size_t counter_count;
    struct hb_buf line;
} logger = {.component = "none", .level = HB_LOG_INFO, .line = {.ceiling = LINE_MAX_BYTES}};

/* How long the valid UTF-8 sequence at bytes is (RFC 3629), or 0. */
static size_t utf8_length(const unsigned char *bytes, size_t left)
{
    unsigned char first = bytes[0];
    if (first < 0x80)
        return 1;
    size_t len = first >= 0xc2 && first <= 0xdf   ? 2
                 : (first & 0xf0) == 0xe0         ? 3
                 : first >= 0xf0 && first <= 0xf4 ? 4
                                                  : 0;
    if (len == 0 || len > left)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    /* Overlong forms, surrogates and what lies beyond U+10FFFF show in the second byte. */
    if ((first == 0xe0 && bytes[1] < 0xa0) || (first == 0xed && bytes[1] > 0x9f) ||
        (first == 0xf0 && bytes[1] < 0x90) || (first == 0xf4 && bytes[1] > 0x8f))
        return 0;
    return len;
}

static bool ascii_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* DEL and the C1 controls U+0080 to U+009F are legal in JSON, but a terminal may obey them. */
static bool control_above_ascii(const unsigned char *bytes, size_t len)
{
    return bytes[0] == 0x7f || (len == 2 && bytes[0] == 0xc2 && bytes[1] < 0xa0);
}

/* One character that is not plain ASCII. Returns how many bytes of the text it took. */
static size_t append_special(struct hb_buf *line, const unsigned char *bytes, size_t left)
{
    size_t len = utf8_length(bytes, left);
    if (len == 0) {
        hb_buf_append_str(line, "\\ufffd");
        return 1;
    }
    if (control_above_ascii(bytes, len)) {
        hb_buf_printf(line, "\\u00%02x", (unsigned)bytes[len - 1]);
    } else if (len > 1) {
        hb_buf_append(line, bytes, len);
    } else {
        switch (bytes[0]) {
        case '"':
            hb_buf_append_str(line, "\\\"");
            break;
        case '\\':
            hb_buf_append_str(line, "\\\\");
            break;
        case '\n':
            hb_buf_append_str(line, "\\n");
            break;
        case '\r':
            hb_buf_append_str(line, "\\r");
            break;
        case '\t':
            hb_buf_append_str(line, "\\t");
            break;
        default:
            hb_buf_printf(line, "\\u%04x", (unsigned)bytes[0]);
        }
    }
    return len;
}

static void append_quoted(struct hb_buf *line, struct hb_text text)
{
    const unsigned char *bytes = (const unsigned char *)text.bytes;
    size_t shown = text.len;
    if (shown > TEXT_SHOWN_MAX) {
        shown = TEXT_SHOWN_MAX;
        while (shown > 0 && (bytes[shown] & 0xc0) == 0x80)
            shown--; /* not in the middle of a character */
    }
    hb_buf_append_char(line, '"');
    for (size_t at = 0; at < shown;) {
        size_t run = at;
        while (run < shown && ascii_plain(bytes[run]))
            run++;
        hb_buf_append(line, bytes + at, run - at);
        at = run;
        if (at < shown)
            at += append_special(line, bytes + at, shown - at);
    }
    hb_buf_append_str(line, shown < text.len ? "...\"" : "\"");
}

/* A value that logfmt reads back as it is, without quotes. */
static bool bare(struct hb_text text)
{
    if (text.len == 0 || text.len > TEXT_SHOWN_MAX)
        return false;
    for (size_t at = 0; at < text.len; at++) {
        unsigned char c = (unsigned char)text.bytes[at];
        if (!ascii_plain(c) || c == ' ' || c == '=')
            return false;
    }
    return true;
}

static void append_text(struct hb_buf *line, struct hb_text text)
{
    if (logger.format == HB_LOG_LOGFMT && bare(text))
        hb_buf_append_text(line, text);
    else
        append_quoted(line, text);
}

static void append_field(struct hb_buf *line, const struct hb_log_field *field)
{
    if (field->type == HB_FIELD_TEXT && !field->text.bytes)
        return;
    bool json = logger.format == HB_LOG_JSON;
    hb_buf_append_str(line, json ? ",\"" : " ");
    hb_buf_append_str(line, field->key);
    hb_buf_append_str(line, json ? "\":" : "=");
    switch (field->type) {
    case HB_FIELD_TEXT:
        append_text(line, field->text);
        break;
    case HB_FIELD_INT:
        hb_buf_append_i64(line, field->number);
        break;
    case HB_FIELD_SECONDS:
        hb_buf_append_seconds(line, field->number);
        break;
    case HB_FIELD_BOOL:
        hb_buf_append_str(line, field->number ? "true" : "false");
        break;
    }
}

static const char *level_text(enum hb_log_level level)
{
    static const char *const texts[] = {"debug", "info", "warn", "error"};
    return texts[level];
}

static void append_head(struct hb_buf *line, enum hb_log_level level, const char *event)
{
    char ts[HB_WALL_TEXT_SIZE];
    hb_wall_format(hb_wall_now(), ts);
    bool json = logger.format == HB_LOG_JSON;
    hb_buf_append_str(line, json ? "{\"ts\":\"" : "ts=");
    hb_buf_append_str(line, ts);
    hb_buf_append_str(line, json ? "\"" : "");
    const struct hb_log_field rest[] = {HB_LS("level", level_text(level)), HB_LS("component", logger.component),
                                        HB_LS("event", event)};
    for (size_t i = 0; i < sizeof rest / sizeof rest[0]; i++)
        append_field(line, &rest[i]);
}

/* Nobody can be told when standard error is gone or full: the rest of the line is dropped. */
static void write_out(const struct hb_buf *line)
{
    size_t done = 0;
    while (done < line->len) {
        ssize_t now = write(STDERR_FILENO, line->bytes + done, line->len - done);
        if (now < 0 && errno == EINTR)
            continue;
        if (now <= 0)
            return;
        done += (size_t)now;
    }
}

/* Reports whether a whole line went out. */
static bool emit(enum hb_log_level level, const char *event, const struct hb_log_field *fields, size_t count)
{
    struct hb_buf *line = &logger.line;
    hb_buf_clear(line);
    append_head(line, level, event);
    for (size_t i = 0; i < count; i++)
        append_field(line, &fields[i]);
    hb_buf_append_str(line, logger.format == HB_LOG_JSON ? "}\n" : "\n");
    if (hb_buf_status(line))
        return false;
    write_out(line);
    return true;
}

static void report_suppressed(void)
{
    for (size_t i = 0; i < logger.counter_count; i++) {
        struct counter *counter = &logger.counters[i];
        if (counter->suppressed == 0)
            continue;
        const struct hb_log_field fields[] = {HB_LS("of", counter->event), HB_LI("count", counter->suppressed)};
        if (emit(HB_LOG_WARN, "log_suppressed", fields, sizeof fields / sizeof fields[0]))
            counter->suppressed = 0; /* else said at the next occasion */
    }
}

/* One window for all events: names that were quiet in it give their places back. */
static void turn_window(void)
{
    hb_mono_ms now = hb_mono_now();
    if (hb_mono_between(logger.window_start, now) < WINDOW_MS)
        return;
    report_suppressed();
    size_t kept = 0;
    for (size_t i = 0; i < logger.counter_count; i++) {
        if (logger.counters[i].suppressed > 0)
            logger.counters[kept++] = logger.counters[i];
    }
    for (size_t i = 0; i < kept; i++)
        logger.counters[i].written = 0;
    logger.counter_count = kept;
    logger.window_start = now;
}

static struct counter *counter_of(const char *event)
{
    for (size_t i = 0; i < logger.counter_count; i++)
        if (strncmp(logger.counters[i].event, event, COUNTER_NAME_SIZE - 1) == 0)
            return &logger.counters[i];
    if (logger.counter_count == COUNTER_MAX)
        return &logger.counters[COUNTER_MAX - 1];
    struct counter *counter = &logger.counters[logger.counter_count++];
    *counter = (struct counter){.written = 0};
    strncpy(counter->event, logger.counter_count == COUNTER_MAX ? "others" : event, COUNTER_NAME_SIZE - 1);
    return counter;
}

void hb_log_open(const char *component, enum hb_log_level level, enum hb_log_format format)
{
    logger.component = component;
    logger.level = level;
    logger.format = format;
    logger.counter_count = 0;
    logger.window_start = hb_mono_now();
}

void hb_log_close(void)
{
    report_suppressed();
    logger.counter_count = 0;
    hb_buf_free(&logger.line);
}

bool hb_log_enabled(enum hb_log_level level)
{
    return level >= logger.level;
}

void hb_log_write(enum hb_log_level level, const char *event, const struct hb_log_field *fields, size_t count)
{
    if (!hb_log_enabled(level))
        return;
    turn_window();
    struct counter *counter = counter_of(event);
    if (counter->written >= HB_LOG_BURST || !emit(level, event, fields, count))
        counter->suppressed++;
    else
        counter->written++;
}
