#include "worker/attributes.h"

#include <string.h>

#include "proto/wire/json_strict.h"
#include "proto/wire/limits.h"

static struct hb_text trimmed(const char *from, const char *to)
{
    while (from < to && (*from == ' ' || *from == '\t'))
        from++;
    while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
        to--;
    return (struct hb_text){from, (size_t)(to - from)};
}

static const char *append_pair(struct hb_buf *buf, struct hb_text pair)
{
    const char *equals = memchr(pair.bytes, '=', pair.len);
    if (equals == NULL)
        return "must be pairs of the form key=value, with commas between them";
    struct hb_text key = trimmed(pair.bytes, equals), value = trimmed(equals + 1, pair.bytes + pair.len);
    if (key.len == 0 || key.len > HB_ATTRIBUTE_KEY_MAX)
        return "must have keys of 1 to 64 bytes";
    if (value.len > HB_ATTRIBUTE_VALUE_MAX)
        return "must have values of at most 256 bytes";
    hb_buf_append_json(buf, key);
    hb_buf_append_char(buf, ':');
    hb_buf_append_json(buf, value);
    return NULL;
}

static const char *append_pairs(struct hb_buf *buf, const char *pairs)
{
    const char *end = pairs + strlen(pairs);
    unsigned count = 0;
    for (const char *at = pairs; at < end;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        struct hb_text pair = trimmed(at, comma != NULL ? comma : end);
        at = comma != NULL ? comma + 1 : end;
        if (pair.len == 0) /* a comma at the end, or two in a row */
            continue;
        if (++count > HB_ATTRIBUTES_MAX)
            return "must be at most 32 pairs";
        if (count > 1)
            hb_buf_append_char(buf, ',');
        const char *rule = append_pair(buf, pair);
        if (rule != NULL)
            return rule;
    }
    return NULL;
}

const char *hb_attributes_encode(struct hb_buf *buf, const char *pairs)
{
    hb_buf_append_char(buf, '{');
    const char *rule = pairs != NULL ? append_pairs(buf, pairs) : NULL;
    hb_buf_append_char(buf, '}');
    if (rule != NULL)
        return rule;
    if (hb_buf_status(buf) != HB_OK)
        return "must take at most 12288 bytes as JSON";
    /* Finds what is left: keys that are there twice, and bytes that are not UTF-8. */
    if (hb_json_strict_check((struct hb_text){buf->bytes, buf->len}, NULL) != NULL)
        return "must be UTF-8, each key only once";
    return NULL;
}
