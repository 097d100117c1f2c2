/*
 * json_strict: see the header for what is refused.
 *
 * A loop with two questions, "which value stands here?" and "what follows it?", and a stack of at most
 * HB_JSON_DEPTH_MAX open containers: no recursion, so the depth of hostile text costs nothing but the refusal.
 *
 * Duplicate names: each open object keeps, per member, where its name starts and a 32-bit hash of the unescaped name; a
 * new name is compared with bytes only where the hash agrees. The hash is a filter and has no seed: someone who makes
 * names collide only forces comparisons, whose number the ceiling of members bounds. Names of closed objects are
 * forgotten, so the two arrays (16 KiB on the stack, touched only as far as used) can never overflow:
 * HB_JSON_DEPTH_MAX times HB_JSON_MEMBERS_MAX is the most that can be open.
 *
 * Cost: O(bytes + members of an object squared / 2). A heartbeat of 150 bytes takes 0.1 to 0.2 microseconds. A hash
 * table per object was not taken: below 32 members, which is all that real messages have, a scan of adjacent integers
 * is faster.
 */
#include "proto/wire/json_strict.h"

#include <string.h>

#include "proto/wire/json_string.h"
#include "proto/wire/utf8.h"

#define TEXT_OF_NUMBER(number) #number
#define TEXT_OF(limit) TEXT_OF_NUMBER(limit)
#define OPEN_MEMBERS_MAX (HB_JSON_DEPTH_MAX * HB_JSON_MEMBERS_MAX)

struct names {
    uint32_t hashes[OPEN_MEMBERS_MAX];
    uint32_t starts[OPEN_MEMBERS_MAX]; /* offset behind the opening quote */
};

struct scan {
    const unsigned char *begin, *at, *end;
    const char *fault;               /* NULL while all is well; `at` then is where it went wrong */
    struct hb_json_outline *outline; /* may be NULL */
    struct names *names;
    uint32_t name_count; /* of all open objects */
    unsigned depth;
    struct {
        bool is_object;
        uint32_t first_name;
    } levels[HB_JSON_DEPTH_MAX];
};

static bool fail(struct scan *s, const char *fault)
{
    s->fault = fault;
    return false;
}

/* For what is missing rather than wrong. */
static bool fail_expecting(struct scan *s, const char *fault)
{
    return fail(s, s->at == s->end ? "the text ends too early" : fault);
}

static void skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
        s->at++;
}

/* -1 stands for the end of the text. */
static int peek(const struct scan *s)
{
    return s->at < s->end ? *s->at : -1;
}

/* A byte that stands for itself inside a string. */
static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* Four hexadecimal digits at `at`; -1 when they are not. */
static int32_t read_hex4(const struct scan *s, const unsigned char *at)
{
    int32_t code = 0;
    if (s->end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        unsigned char c = at[i], letter = (unsigned char)(c | 0x20);
        if (c >= '0' && c <= '9')
            code = code << 4 | (c - '0');
        else if (letter >= 'a' && letter <= 'f')
            code = code << 4 | (letter - 'a' + 10);
        else
            return -1;
    }
    return code;
}

/* `at` is on the backslash of a \u escape. */
static bool take_unicode_escape(struct scan *s)
{
    int32_t code = read_hex4(s, s->at + 2);
    if (code < 0)
        return fail(s, "a \\u escape is not four hexadecimal digits");
    if (code == 0)
        return fail(s, "\\u0000 is not allowed");
    if (code >= 0xdc00 && code <= 0xdfff)
        return fail(s, "half a surrogate pair stands alone");
    if (code >= 0xd800 && code <= 0xdbff) {
        const unsigned char *second = s->at + 6;
        int32_t low = s->end - second >= 2 && second[0] == '\\' && second[1] == 'u' ? read_hex4(s, second + 2) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return fail(s, "half a surrogate pair stands alone");
        s->at += 6;
    }
    s->at += 6;
    return true;
}

/* Inside a string, at a byte that does not stand for itself and does not end the string. */
static bool take_special(struct scan *s)
{
    unsigned char c = *s->at;
    if (c == '\\') {
        int letter = s->end - s->at > 1 ? s->at[1] : 0;
        if (letter == 'u')
            return take_unicode_escape(s);
        if (letter == 0 || strchr("\"\\/bfnrt", letter) == NULL)
            return fail(s, "a string holds an unknown escape");
        s->at += 2;
        return true;
    }
    if (c < 0x20)
        return fail(s, "a string holds a control character that is not escaped");
    unsigned len = hb_utf8_length(s->at, (size_t)(s->end - s->at));
    if (len == 0)
        return fail(s, "a string is not UTF-8");
    s->at += len;
    return true;
}

/* The high bit of each byte of the word that is not plain; exact in its lowest set bit, which is all that is asked. */
static uint64_t special_bytes(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = UINT64_C(0x8080808080808080);
    uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\');
    return (((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | ((word - ones * 0x20) & ~word) | word) &
           highs;
}

/* Plain bytes, eight at a time while there are eight. */
static void skip_plain(struct scan *s)
{
    const unsigned char *at = s->at, *end = s->end;
    while (end - at >= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        uint64_t special = special_bytes(word);
        if (special != 0) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            s->at = at + (__builtin_ctzll(special) >> 3);
            return;
#else
            break;
#endif
        }
        at += 8;
    }
    while (at < end && is_plain(*at))
        at++;
    s->at = at;
}

static bool take_string(struct scan *s)
{
    s->at++;
    for (;;) {
        skip_plain(s);
        if (s->at == s->end)
            return fail(s, "a string is not closed");
        if (*s->at == '"')
            break;
        if (!take_special(s))
            return false;
    }
    s->at++;
    return true;
}

static uint32_t mix(uint32_t hash, unsigned char byte)
{
    return (hash << 5 | hash >> 27) ^ byte;
}

/* The same hash for the same text, however it is escaped. */
static uint32_t mix_special(uint32_t hash, const unsigned char *from, const unsigned char *to)
{
    char bytes[4];
    for (const char *at = (const char *)from; at < (const char *)to;) {
        unsigned len = hb_json_string_next(&at, bytes);
        for (unsigned i = 0; i < len; i++)
            hash = mix(hash, (unsigned char)bytes[i]);
    }
    return hash;
}

static bool take_name_text(struct scan *s, uint32_t *ret_hash)
{
    uint32_t hash = 0;
    s->at++;
    for (;;) {
        const unsigned char *at = s->at;
        for (; at < s->end && is_plain(*at); at++)
            hash = mix(hash, *at);
        s->at = at;
        if (at == s->end)
            return fail(s, "a string is not closed");
        if (*at == '"')
            break;
        if (!take_special(s))
            return false;
        hash = mix_special(hash, at, s->at);
    }
    s->at++;
    *ret_hash = hash;
    return true;
}

static struct hb_text name_content(const struct scan *s, uint32_t start)
{
    const char *open = (const char *)s->begin + start - 1;
    return (struct hb_text){open + 1, (size_t)(hb_json_string_close(open) - open - 1)};
}

static bool remember_name(struct scan *s, uint32_t start, uint32_t hash)
{
    uint32_t first = s->levels[s->depth - 1].first_name;
    if (s->name_count - first == HB_JSON_MEMBERS_MAX)
        return fail(s, "an object has more than " TEXT_OF(HB_JSON_MEMBERS_MAX) " members");
    for (uint32_t i = first; i < s->name_count; i++) {
        if (s->names->hashes[i] == hash &&
            hb_json_string_equal(name_content(s, s->names->starts[i]), name_content(s, start)))
            return fail(s, "two members of an object have the same name");
    }
    s->names->hashes[s->name_count] = hash;
    s->names->starts[s->name_count] = start;
    s->name_count++;
    return true;
}

/* A member's name and its colon; the value comes next. */
static bool take_name(struct scan *s)
{
    if (peek(s) != '"')
        return fail_expecting(s, "a member's name in double quotes is expected");
    const unsigned char *open = s->at;
    uint32_t start = (uint32_t)(open + 1 - s->begin), hash;
    if (!take_name_text(s, &hash))
        return false;
    const unsigned char *behind = s->at;
    s->at = open; /* where a duplicate is reported */
    if (!remember_name(s, start, hash))
        return false;
    s->at = behind;
    if (s->depth == 1 && s->outline != NULL) {
        struct hb_json_member *member = &s->outline->members[s->outline->count++];
        member->key_at = start;
        member->key_len = (uint32_t)(behind - 1 - s->begin) - start;
    }
    skip_space(s);
    if (peek(s) != ':')
        return fail_expecting(s, "a colon is expected");
    s->at++;
    return true;
}

static bool take_digits(struct scan *s)
{
    const unsigned char *from = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return s->at > from;
}

static bool take_number(struct scan *s)
{
    if (*s->at == '-')
        s->at++;
    if (peek(s) == '0')
        s->at++; /* nothing may follow but a fraction or an exponent */
    else if (!take_digits(s))
        return fail_expecting(s, "a value is expected");
    if (peek(s) == '.') {
        s->at++;
        if (!take_digits(s))
            return fail_expecting(s, "a number has no digits behind its point");
    }
    if (peek(s) == 'e' || peek(s) == 'E') {
        s->at++;
        if (peek(s) == '+' || peek(s) == '-')
            s->at++;
        if (!take_digits(s))
            return fail_expecting(s, "a number has no digits in its exponent");
    }
    return true;
}

static bool take_word(struct scan *s, const char *word, size_t len)
{
    if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
        return fail_expecting(s, "a value is expected");
    s->at += len;
    return true;
}

static void close_container(struct scan *s)
{
    s->at++;
    s->depth--;
    if (s->levels[s->depth].is_object)
        s->name_count = s->levels[s->depth].first_name;
}

/* An opening brace or bracket. *ret_value: whether a value comes next, or the container was empty. */
static bool open_container(struct scan *s, bool is_object, bool *ret_value)
{
    if (s->depth == HB_JSON_DEPTH_MAX)
        return fail(s, "the nesting is deeper than " TEXT_OF(HB_JSON_DEPTH_MAX) " levels");
    if (s->depth == 0 && s->outline != NULL)
        s->outline->is_object = is_object;
    s->levels[s->depth].is_object = is_object;
    s->levels[s->depth].first_name = s->name_count;
    s->depth++;
    s->at++;
    skip_space(s);
    *ret_value = peek(s) != (is_object ? '}' : ']');
    if (!*ret_value) {
        close_container(s);
        return true;
    }
    return is_object ? take_name(s) : true;
}

static bool take_value(struct scan *s, bool *ret_value)
{
    skip_space(s);
    if (s->depth == 1 && s->levels[0].is_object && s->outline != NULL)
        s->outline->members[s->outline->count - 1].value_at = (uint32_t)(s->at - s->begin);
    int c = peek(s);
    if (c == '{' || c == '[')
        return open_container(s, c == '{', ret_value);
    *ret_value = false;
    switch (c) {
    case '"':
        return take_string(s);
    case 't':
        return take_word(s, "true", 4);
    case 'f':
        return take_word(s, "false", 5);
    case 'n':
        return take_word(s, "null", 4);
    default:
        if (c == '-' || (c >= '0' && c <= '9'))
            return take_number(s);
        return fail_expecting(s, "a value is expected");
    }
}

/* What may stand behind a value inside a container: a comma or the container's end. */
static bool take_separator(struct scan *s, bool *ret_value)
{
    bool is_object = s->levels[s->depth - 1].is_object;
    if (s->depth == 1 && is_object && s->outline != NULL) {
        struct hb_json_member *member = &s->outline->members[s->outline->count - 1];
        member->value_len = (uint32_t)(s->at - s->begin) - member->value_at;
    }
    skip_space(s);
    int c = peek(s);
    if (c == ',') {
        s->at++;
        *ret_value = true;
        if (!is_object)
            return true;
        skip_space(s);
        return take_name(s);
    }
    if (c != (is_object ? '}' : ']'))
        return fail_expecting(s, is_object ? "a comma or a closing brace is expected"
                                           : "a comma or a closing bracket is expected");
    close_container(s);
    *ret_value = false;
    return true;
}

static bool take_document(struct scan *s)
{
    skip_space(s);
    if (s->at == s->end)
        return fail(s, "the text is empty");
    bool value_next = true;
    do {
        if (!(value_next ? take_value(s, &value_next) : take_separator(s, &value_next)))
            return false;
    } while (value_next || s->depth > 0);
    skip_space(s);
    return s->at == s->end ? true : fail(s, "something follows the value");
}

const char *hb_json_strict_outline(struct hb_text json, struct hb_json_outline *ret_outline, size_t *ret_at)
{
    struct names names; /* left unset: the counts say how far it is filled */
    const unsigned char *begin = (const unsigned char *)(json.len > 0 ? json.bytes : "");
    struct scan s = {.begin = begin, .at = begin, .end = begin + json.len, .outline = ret_outline, .names = &names};
    if (ret_outline != NULL) {
        ret_outline->is_object = false;
        ret_outline->count = 0;
    }
    bool good = json.len < UINT32_MAX ? take_document(&s) : fail(&s, "the text is longer than 4 GiB");
    if (!good && ret_at != NULL)
        *ret_at = (size_t)(s.at - s.begin);
    return s.fault;
}

const char *hb_json_strict_check(struct hb_text json, size_t *ret_at)
{
    return hb_json_strict_outline(json, NULL, ret_at);
}
