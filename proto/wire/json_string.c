/*
 * json_string: see the header. Everything is O(bytes) and has a short way for content without a backslash, which is
 * nearly all there is.
 */
#include "proto/wire/json_string.h"

#include <string.h>

#include "proto/wire/utf8.h"

static unsigned hex_value(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

static uint32_t hex4(const char *at)
{
    return hex_value(at[0]) << 12 | hex_value(at[1]) << 8 | hex_value(at[2]) << 4 | hex_value(at[3]);
}

static unsigned write_utf8(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

static char short_escape(char letter)
{
    switch (letter) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return letter; /* quote, backslash, slash */
    }
}

unsigned hb_json_string_next(const char **at, char out[4])
{
    const char *p = *at;
    if (p[0] != '\\') {
        out[0] = p[0];
        *at = p + 1;
        return 1;
    }
    if (p[1] != 'u') {
        out[0] = short_escape(p[1]);
        *at = p + 2;
        return 1;
    }
    uint32_t code = hex4(p + 2);
    p += 6;
    if (code >= 0xd800 && code <= 0xdbff) { /* its other half follows */
        code = 0x10000 + ((code - 0xd800) << 10) + (hex4(p + 2) - 0xdc00);
        p += 6;
    }
    *at = p;
    return write_utf8(code, out);
}

static bool has_escape(struct hb_text content)
{
    return content.len > 0 && memchr(content.bytes, '\\', content.len) != NULL;
}

/* One byte of content after the other, escapes resolved. */
struct reader {
    const char *at, *end;
    char held[4];
    unsigned held_count, held_at;
};

static int read_byte(struct reader *reader)
{
    if (reader->held_at == reader->held_count) {
        if (reader->at == reader->end)
            return -1;
        reader->held_count = hb_json_string_next(&reader->at, reader->held);
        reader->held_at = 0;
    }
    return (unsigned char)reader->held[reader->held_at++];
}

bool hb_json_string_equal(struct hb_text a, struct hb_text b)
{
    if (!has_escape(a) && !has_escape(b))
        return a.len == b.len && (a.len == 0 || memcmp(a.bytes, b.bytes, a.len) == 0);
    struct reader left = {.at = a.bytes, .end = a.bytes + a.len};
    struct reader right = {.at = b.bytes, .end = b.bytes + b.len};
    int byte;
    do {
        byte = read_byte(&left);
        if (byte != read_byte(&right))
            return false;
    } while (byte != -1);
    return true;
}

size_t hb_json_string_length(struct hb_text content)
{
    if (!has_escape(content))
        return content.len;
    size_t len = 0;
    char out[4];
    for (const char *at = content.bytes, *end = at + content.len; at < end;)
        len += hb_json_string_next(&at, out);
    return len;
}

bool hb_json_string_has_control(struct hb_text content)
{
    if (!has_escape(content))
        return hb_utf8_check(content.bytes, content.len) != HB_UTF8_PLAIN;
    char out[4];
    for (const char *at = content.bytes, *end = at + content.len; at < end;) {
        const char *before = at;
        unsigned len = hb_json_string_next(&at, out);
        if (*before != '\\') { /* a whole sequence, so that C1 is seen */
            len = hb_utf8_length((const unsigned char *)before, (size_t)(end - before));
            at = before + len;
            if (hb_utf8_check(before, len) != HB_UTF8_PLAIN)
                return true;
        } else if (hb_utf8_check(out, len) != HB_UTF8_PLAIN) {
            return true;
        }
    }
    return false;
}

const char *hb_json_string_close(const char *open)
{
    const char *at = open + 1;
    while (*at != '"')
        at += *at == '\\' ? 2 : 1;
    return at;
}
