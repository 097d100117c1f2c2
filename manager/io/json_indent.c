#include "manager/io/json_indent.h"

#include <stdbool.h>
#include <string.h>

#define DEPTH_MAX 16 /* deeper levels are not moved further in; rows have three */

static void new_line(struct hb_buf *out, unsigned depth)
{
    static const char spaces[] = "\n                                ";

    hb_buf_append(out, spaces, 1 + 2 * (size_t)(depth < DEPTH_MAX ? depth : DEPTH_MAX));
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && is_space(*at))
        at++;
    return at;
}

/* Behind the string that begins at `at`, or the end. */
static const char *string_end(const char *at, const char *end)
{
    for (at++; at < end; at++) {
        if (*at == '\\')
            at++;
        else if (*at == '"')
            return at + 1;
    }
    return end;
}

/* Behind a number or a word. */
static const char *word_end(const char *at, const char *end)
{
    while (at < end && !is_space(*at) && strchr("{}[],:\"", *at) == NULL) /* JSON holds no NUL */
        at++;
    return at;
}

/* Writes the opening bracket, and an empty object or array whole. Returns what comes next. */
static const char *open_bracket(struct hb_buf *out, const char *at, const char *end, unsigned *depth)
{
    const char *inside = skip_space(at + 1, end);

    hb_buf_append_char(out, *at);
    if (inside < end && (*inside == '}' || *inside == ']')) {
        hb_buf_append_char(out, *inside);
        return inside + 1;
    }
    new_line(out, ++*depth);
    return inside;
}

void hb_json_indent(struct hb_buf *out, struct hb_text json)
{
    const char *end = json.bytes + json.len;
    const char *at = json.bytes;
    unsigned depth = 0;

    while (at < end) {
        const char *next = at + 1;

        switch (*at) {
        case '{':
        case '[':
            next = open_bracket(out, at, end, &depth);
            break;
        case '}':
        case ']':
            depth -= depth > 0;
            new_line(out, depth);
            hb_buf_append_char(out, *at);
            break;
        case ',':
            hb_buf_append_char(out, ',');
            new_line(out, depth);
            break;
        case ':':
            hb_buf_append_str(out, ": ");
            break;
        case ' ':
        case '\t':
        case '\r':
        case '\n':
            if (depth == 0)
                hb_buf_append_char(out, *at);
            break;
        default:
            next = *at == '"' ? string_end(at, end) : word_end(at, end);
            next = next < end ? next : end;
            hb_buf_append(out, at, (size_t)(next - at));
            break;
        }
        at = next;
    }
}
