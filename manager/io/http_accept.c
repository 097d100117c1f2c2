#include "manager/io/http_accept.h"

#include <string.h>
#include <strings.h>

#define NOT_NAMED (-1)
#define BAD_WEIGHT (-2)

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct hb_text trimmed(const char *at, const char *end)
{
    while (at < end && is_blank(*at))
        at++;
    while (end > at && is_blank(end[-1]))
        end--;
    return (struct hb_text){at, (size_t)(end - at)};
}

/* The next separator outside quotes, or the end. */
static const char *find_outside_quotes(const char *at, const char *end, char separator)
{
    bool quoted = false;

    for (; at < end && (quoted || *at != separator); at++) {
        if (quoted && *at == '\\' && at + 1 < end)
            at++;
        else if (*at == '"')
            quoted = !quoted;
    }
    return at;
}

/* Cuts the first element off *rest, empty ones included. False: there is none. */
static bool next_element(struct hb_text *rest, char separator, struct hb_text *ret_element)
{
    const char *end, *stop;

    if (rest->bytes == NULL)
        return false;
    end = rest->bytes + rest->len;
    stop = find_outside_quotes(rest->bytes, end, separator);
    *ret_element = trimmed(rest->bytes, stop);
    *rest = stop < end ? (struct hb_text){stop + 1, (size_t)(end - stop - 1)} : (struct hb_text){NULL, 0};
    return true;
}

static bool is_word(struct hb_text text, const char *word)
{
    return text.len == strlen(word) && strncasecmp(text.bytes, word, text.len) == 0;
}

/* "1", "0.5", "1.000": at most three decimals, at most one. */
static int weight_of(struct hb_text text)
{
    int weight;
    int unit = 100;

    if (text.len == 0 || text.len > 5 || (text.bytes[0] != '0' && text.bytes[0] != '1') ||
        (text.len > 1 && text.bytes[1] != '.'))
        return BAD_WEIGHT;
    weight = (text.bytes[0] - '0') * 1000;
    for (size_t i = 2; i < text.len; i++, unit /= 10) {
        if (text.bytes[i] < '0' || text.bytes[i] > '9')
            return BAD_WEIGHT;
        weight += (text.bytes[i] - '0') * unit;
    }
    return weight <= 1000 ? weight : BAD_WEIGHT;
}

/* Splits `name;a=b;q=0.5`: the name, and its weight, 1000 when none is given. */
static int split_weight(struct hb_text element, struct hb_text *ret_name)
{
    struct hb_text part;
    int weight = 1000;

    *ret_name = (struct hb_text){"", 0};
    (void)next_element(&element, ';', ret_name);
    while (next_element(&element, ';', &part)) {
        if (part.len >= 2 && (part.bytes[0] == 'q' || part.bytes[0] == 'Q') && part.bytes[1] == '=')
            weight = weight_of((struct hb_text){part.bytes + 2, part.len - 2});
    }
    return weight;
}

/* ---- Accept-Encoding ---- */

enum hb_gzip_wish hb_accept_gzip(struct hb_text accept_encoding)
{
    int gzip = NOT_NAMED, identity = NOT_NAMED, others = NOT_NAMED;
    struct hb_text element;

    while (next_element(&accept_encoding, ',', &element)) {
        struct hb_text name;
        int weight = split_weight(element, &name);

        if (weight == BAD_WEIGHT)
            continue;
        if (is_word(name, "gzip") || is_word(name, "x-gzip"))
            gzip = weight > gzip ? weight : gzip;
        else if (is_word(name, "identity"))
            identity = weight;
        else if (is_word(name, "*"))
            others = weight;
    }
    if (gzip == NOT_NAMED)
        gzip = others;
    if (gzip <= 0 || gzip < identity)
        return HB_GZIP_NO;
    return identity == 0 || (identity == NOT_NAMED && others == 0) ? HB_GZIP_ALWAYS : HB_GZIP_YES;
}

/* ---- Accept ---- */

/* How exactly a media range names a type. */
enum { RANGE_OTHER, RANGE_ALL, RANGE_MAIN_TYPE, RANGE_ITSELF };

static int exactness(struct hb_text range, const char *type)
{
    size_t main_len = (size_t)(strchr(type, '/') - type) + 1;

    if (is_word(range, type))
        return RANGE_ITSELF;
    if (range.len == main_len + 1 && range.bytes[main_len] == '*' && strncasecmp(range.bytes, type, main_len) == 0)
        return RANGE_MAIN_TYPE;
    return is_word(range, "*/*") ? RANGE_ALL : RANGE_OTHER;
}

/* The weight that the most exact of the ranges gives the type, of those that are at least so exact. */
static int weight_of_type(struct hb_text accept, const char *type, int least)
{
    struct hb_text element;
    int best = least;
    int found = 0;

    while (next_element(&accept, ',', &element)) {
        struct hb_text range;
        int weight = split_weight(element, &range);
        int exact = exactness(range, type);

        if (weight == BAD_WEIGHT || exact < best)
            continue;
        found = exact == best && found > weight ? found : weight;
        best = exact;
    }
    return found;
}

int hb_accept_weight(struct hb_text accept, const char *type)
{
    return weight_of_type(accept, type, RANGE_ALL);
}

int hb_accept_named_weight(struct hb_text accept, const char *type)
{
    return weight_of_type(accept, type, RANGE_ITSELF);
}

bool hb_accept_prefers_html(struct hb_text accept)
{
    return hb_accept_weight(accept, "text/html") > hb_accept_weight(accept, "application/json");
}

/* ---- If-None-Match ---- */

bool hb_etag_listed(struct hb_text if_none_match, struct hb_text etag)
{
    struct hb_text element;

    while (next_element(&if_none_match, ',', &element)) {
        if (is_word(element, "*"))
            return true;
        if (element.len > 2 && element.bytes[0] == 'W' && element.bytes[1] == '/')
            element = (struct hb_text){element.bytes + 2, element.len - 2};
        if (hb_text_equal(element, etag))
            return true;
    }
    return false;
}
