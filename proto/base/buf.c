/*
 * buf: growth by doubling, and the few ways of writing that serialisers need.
 *
 * Invariant: once bytes exist, len < cap, bytes[len] is NUL, and cap <= ceiling + 1. A failed append leaves the bytes
 * before it as they were.
 * Cost: an append is a bounds check and a memcpy; numbers and JSON strings are written by hand because rows go through
 * here tens of thousands of times a second, where snprintf would be most of the bill.
 */
#include "proto/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 64
#define I64_TEXT_MAX 20 /* "-9223372036854775808" */

struct hb_text hb_text_of(const char *nul_terminated)
{
    return (struct hb_text){nul_terminated, nul_terminated ? strlen(nul_terminated) : 0};
}

int hb_text_equal(struct hb_text a, struct hb_text b)
{
    if (!a.bytes || !b.bytes)
        return !a.bytes && !b.bytes;
    return a.len == b.len && memcmp(a.bytes, b.bytes, a.len) == 0;
}

void hb_buf_init(struct hb_buf *buf, size_t ceiling)
{
    /* One byte is always kept for the NUL, so a ceiling of SIZE_MAX would overflow. */
    *buf = (struct hb_buf){.ceiling = ceiling < SIZE_MAX ? ceiling : SIZE_MAX - 1};
}

void hb_buf_free(struct hb_buf *buf)
{
    free(buf->bytes);
    hb_buf_init(buf, buf->ceiling);
}

void hb_buf_clear(struct hb_buf *buf)
{
    buf->len = 0;
    buf->err = HB_OK;
    if (buf->bytes)
        buf->bytes[0] = '\0';
}

enum hb_err hb_buf_status(const struct hb_buf *buf)
{
    return buf->err;
}

/* Makes room for `more` bytes and the NUL. Reports whether the caller may write them. */
static int reserve(struct hb_buf *buf, size_t more)
{
    if (buf->err)
        return 0;
    if (more < buf->cap - buf->len)
        return 1;
    if (more > buf->ceiling - buf->len) {
        buf->err = HB_ERR_FULL;
        return 0;
    }
    size_t need = buf->len + more + 1;
    size_t cap = buf->cap ? buf->cap : FIRST_CAP;
    while (cap < need)
        cap = cap <= SIZE_MAX / 2 ? cap * 2 : need;
    if (cap > buf->ceiling + 1)
        cap = buf->ceiling + 1;
    char *bytes = realloc(buf->bytes, cap);
    if (!bytes) {
        buf->err = HB_ERR_NO_MEMORY;
        return 0;
    }
    buf->bytes = bytes;
    buf->cap = cap;
    return 1;
}

/* Only after reserve has said yes. */
static void put(struct hb_buf *buf, const void *bytes, size_t len)
{
    if (len > 0)
        memcpy(buf->bytes + buf->len, bytes, len);
    buf->len += len;
    buf->bytes[buf->len] = '\0';
}

char *hb_buf_take(struct hb_buf *buf)
{
    char *bytes = NULL;
    if (reserve(buf, 0)) { /* an empty buffer gives an empty string, a failed one gives NULL */
        buf->bytes[buf->len] = '\0';
        bytes = buf->bytes;
        buf->bytes = NULL;
    }
    hb_buf_free(buf);
    return bytes;
}

void hb_buf_append(struct hb_buf *buf, const void *bytes, size_t len)
{
    if (reserve(buf, len))
        put(buf, bytes, len);
}

void hb_buf_append_text(struct hb_buf *buf, struct hb_text text)
{
    hb_buf_append(buf, text.bytes, text.len);
}

void hb_buf_append_str(struct hb_buf *buf, const char *nul_terminated)
{
    hb_buf_append(buf, nul_terminated, strlen(nul_terminated));
}

void hb_buf_append_char(struct hb_buf *buf, char c)
{
    hb_buf_append(buf, &c, 1);
}

/* Writes backwards from end and returns the first character. */
static char *decimal(uint64_t value, char *end)
{
    do {
        *--end = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return end;
}

static uint64_t magnitude(int64_t value)
{
    return value < 0 ? 0 - (uint64_t)value : (uint64_t)value; /* INT64_MIN has no positive twin in int64_t */
}

void hb_buf_append_i64(struct hb_buf *buf, int64_t value)
{
    char text[I64_TEXT_MAX];
    char *end = text + sizeof text;
    char *at = decimal(magnitude(value), end);
    if (value < 0)
        *--at = '-';
    hb_buf_append(buf, at, (size_t)(end - at));
}

void hb_buf_append_seconds(struct hb_buf *buf, int64_t ms)
{
    char text[I64_TEXT_MAX + 1];
    char *end = text + sizeof text;
    char *at = end;
    uint64_t rest = magnitude(ms) % 1000;
    if (rest > 0) {
        for (int digit = 0; digit < 3; digit++, rest /= 10) {
            *--at = (char)('0' + rest % 10);
            if (at == end - 1 && *at == '0')
                end = at; /* a trailing zero: forget it */
        }
        *--at = '.';
    }
    at = decimal(magnitude(ms) / 1000, at);
    if (ms < 0)
        *--at = '-';
    hb_buf_append(buf, at, (size_t)(end - at));
}

void hb_buf_printf(struct hb_buf *buf, const char *format, ...)
{
    if (!reserve(buf, 0))
        return;
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    size_t room = buf->cap - buf->len;
    int len = vsnprintf(buf->bytes + buf->len, room, format, args);
    if (len < 0) {
        buf->err = HB_ERR_INVALID;
    } else if ((size_t)len < room) {
        buf->len += (size_t)len;
    } else if (reserve(buf, (size_t)len)) {
        vsnprintf(buf->bytes + buf->len, (size_t)len + 1, format, again);
        buf->len += (size_t)len;
    }
    buf->bytes[buf->len] = '\0'; /* after a failure too: the first try may have written past len */
    va_end(again);
    va_end(args);
}

/* What RFC 8259 section 7 wants escaped. */
static int json_plain(unsigned char c)
{
    return c >= 0x20 && c != '"' && c != '\\';
}

static void append_json_escape(struct hb_buf *buf, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    size_t len = 2;
    switch (c) {
    case '"':
    case '\\':
        escape[1] = (char)c;
        break;
    case '\b':
        escape[1] = 'b';
        break;
    case '\f':
        escape[1] = 'f';
        break;
    case '\n':
        escape[1] = 'n';
        break;
    case '\r':
        escape[1] = 'r';
        break;
    case '\t':
        escape[1] = 't';
        break;
    default:
        len = sizeof escape;
    }
    hb_buf_append(buf, escape, len);
}

void hb_buf_append_json(struct hb_buf *buf, struct hb_text text)
{
    hb_buf_append_char(buf, '"');
    size_t at = 0;
    while (at < text.len) {
        /* Nearly every text is one plain run: copy it whole. */
        size_t run = at;
        while (run < text.len && json_plain((unsigned char)text.bytes[run]))
            run++;
        hb_buf_append(buf, text.bytes + at, run - at);
        at = run;
        if (at < text.len)
            append_json_escape(buf, (unsigned char)text.bytes[at++]);
    }
    hb_buf_append_char(buf, '"');
}
