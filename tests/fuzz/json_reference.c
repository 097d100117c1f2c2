#include "tests/fuzz/json_reference.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/limits.h"
#include "tests/fuzz/fuzz.h"

struct reader {
    const unsigned char *at, *end;
    unsigned depth;
};

/* A string's meaning: at most as long as its text. */
struct meaning {
    char *bytes;
    size_t len;
};

static int next(struct reader *r)
{
    return r->at < r->end ? *r->at++ : -1;
}

static bool take(struct reader *r, int byte)
{
    if (r->at == r->end || *r->at != byte)
        return false;
    r->at++;
    return true;
}

static void space(struct reader *r)
{
    while (take(r, ' ') || take(r, '\t') || take(r, '\n') || take(r, '\r'))
        ;
}

static void mean(struct meaning *meaning, uint32_t code)
{
    if (code < 0x80) {
        meaning->bytes[meaning->len++] = (char)code;
        return;
    }
    unsigned rest = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char leads[] = {0, 0xc0, 0xe0, 0xf0};

    meaning->bytes[meaning->len++] = (char)(leads[rest] | code >> (6 * rest));
    while (rest-- > 0)
        meaning->bytes[meaning->len++] = (char)(0x80 | (code >> (6 * rest) & 0x3f));
}

static bool hex4(struct reader *r, uint32_t *ret_code)
{
    *ret_code = 0;
    for (int i = 0; i < 4; i++) {
        static const char digits[] = "0123456789abcdefABCDEF";
        int byte = next(r);
        const char *digit = byte > 0 ? strchr(digits, byte) : NULL;

        if (digit == NULL)
            return false;
        *ret_code = *ret_code * 16 + (uint32_t)(digit - digits < 16 ? digit - digits : digit - digits - 6);
    }
    return true;
}

static bool unicode_escape(struct reader *r, struct meaning *meaning)
{
    uint32_t code, low;

    if (!hex4(r, &code) || code == 0)
        return false;
    if (code >= 0xd800 && code <= 0xdfff) {
        if (code >= 0xdc00 || !take(r, '\\') || !take(r, 'u') || !hex4(r, &low) || low < 0xdc00 || low > 0xdfff)
            return false;
        code = 0x10000 + (code - 0xd800) * 0x400 + (low - 0xdc00);
    }
    mean(meaning, code);
    return true;
}

static bool escape(struct reader *r, struct meaning *meaning)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    int letter = next(r);
    const char *place = letter > 0 ? strchr(letters, letter) : NULL;

    if (letter == 'u')
        return unicode_escape(r, meaning);
    if (place == NULL)
        return false;
    mean(meaning, (uint32_t)meanings[place - letters]);
    return true;
}

/* A character of more than one byte: decoded, then encoded again; only the shortest form comes out the same. */
static bool wide(struct reader *r, struct meaning *meaning, unsigned lead)
{
    unsigned rest = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
    uint32_t code = lead & (0x3fu >> rest);
    const unsigned char *from = r->at - 1;
    size_t before = meaning->len;

    if (rest == 0 || lead > 0xf7)
        return false;
    for (unsigned i = 0; i < rest; i++) {
        int byte = next(r);

        if (byte < 0x80 || byte > 0xbf)
            return false;
        code = code << 6 | ((uint32_t)byte & 0x3f);
    }
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return false;
    mean(meaning, code);
    return meaning->len - before == rest + 1 && memcmp(meaning->bytes + before, from, rest + 1) == 0;
}

/* At most so many bytes it can mean: up to where it ends, if it ends. */
static size_t room_for_string(const struct reader *r)
{
    const unsigned char *at = r->at + 1;

    while (at < r->end && *at != '"')
        at += *at == '\\' ? 2 : 1;
    return (size_t)(at - r->at) + 4;
}

static bool string(struct reader *r, struct meaning *ret_meaning)
{
    struct meaning meaning = {fuzz_alloc(room_for_string(r), 1), 0};
    bool good = take(r, '"');

    while (good) {
        int byte = next(r);

        if (byte == '"')
            break;
        if (byte < 0x20)
            good = false;
        else if (byte == '\\')
            good = escape(r, &meaning);
        else if (byte < 0x80)
            mean(&meaning, (uint32_t)byte);
        else
            good = wide(r, &meaning, (unsigned)byte);
    }
    *ret_meaning = meaning;
    return good;
}

static bool digits(struct reader *r)
{
    const unsigned char *from = r->at;

    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return r->at > from;
}

static bool number(struct reader *r)
{
    const unsigned char *first;

    (void)take(r, '-');
    first = r->at;
    if (!digits(r) || (*first == '0' && r->at - first > 1))
        return false;
    if (take(r, '.') && !digits(r))
        return false;
    if (take(r, 'e') || take(r, 'E')) {
        if (!take(r, '+'))
            (void)take(r, '-');
        return digits(r);
    }
    return true;
}

static bool literal(struct reader *r, const char *word)
{
    for (; *word != '\0'; word++) {
        if (!take(r, *word))
            return false;
    }
    return true;
}

static bool value(struct reader *r);

static bool is_new(const struct meaning *names, size_t count, struct meaning name)
{
    for (size_t i = 0; i < count; i++) {
        if (names[i].len == name.len && memcmp(names[i].bytes, name.bytes, name.len) == 0)
            return false;
    }
    return true;
}

static bool member(struct reader *r, struct meaning *names, size_t *count)
{
    struct meaning name;

    space(r);
    bool good = string(r, &name) && *count < HB_JSON_MEMBERS_MAX && is_new(names, *count, name);

    if (good)
        names[(*count)++] = name;
    else
        free(name.bytes);
    if (!good)
        return false;
    space(r);
    return take(r, ':') && value(r);
}

static bool object(struct reader *r)
{
    struct meaning *names = fuzz_alloc(HB_JSON_MEMBERS_MAX, sizeof *names);
    size_t count = 0;
    bool good = true;

    space(r);
    if (!take(r, '}')) {
        do
            good = member(r, names, &count);
        while (good && take(r, ','));
        good = good && take(r, '}');
    }
    while (count > 0)
        free(names[--count].bytes);
    free(names);
    return good;
}

static bool array(struct reader *r)
{
    bool good;

    space(r);
    if (take(r, ']'))
        return true;
    do
        good = value(r);
    while (good && take(r, ','));
    return good && take(r, ']');
}

static bool bare_value(struct reader *r)
{
    struct meaning unused;
    bool good;

    if (take(r, '{'))
        return r->depth <= HB_JSON_DEPTH_MAX && object(r);
    if (take(r, '['))
        return r->depth <= HB_JSON_DEPTH_MAX && array(r);
    if (r->at < r->end && *r->at == '"') {
        good = string(r, &unused);
        free(unused.bytes);
        return good;
    }
    if (r->at < r->end && (*r->at == '-' || (*r->at >= '0' && *r->at <= '9')))
        return number(r);
    return literal(r, r->at == r->end ? "-" : *r->at == 't' ? "true" : *r->at == 'f' ? "false" : "null");
}

static bool value(struct reader *r)
{
    bool good;

    r->depth++;
    space(r);
    good = bare_value(r);
    space(r);
    r->depth--;
    return good;
}

bool json_reference_accepts(struct hb_text json)
{
    const unsigned char *begin = (const unsigned char *)(json.len > 0 ? json.bytes : "");
    struct reader r = {.at = begin, .end = begin + json.len};

    return value(&r) && r.at == r.end;
}
