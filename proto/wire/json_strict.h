/*
 * json_strict: one pass over JSON text that accepts exactly RFC 8259, and less where PROTOCOL.md says so.
 *
 * Refused beyond the RFC: more than HB_JSON_DEPTH_MAX levels, duplicate keys (compared after unescaping), more than
 * HB_JSON_MEMBERS_MAX members in an object, invalid UTF-8, lone surrogates, \u0000. It allocates nothing. json-c 0.16
 * lets duplicates, NaN, single quotes, \u0000 and lone surrogates pass, which is why this stands before it.
 *
 * On the way it can note where the members of the outermost object stand, so that what is only passed on (metrics,
 * attributes) keeps the bytes it was sent with, and what nobody asked for is never parsed.
 */
#ifndef HB_WIRE_JSON_STRICT_H
#define HB_WIRE_JSON_STRICT_H

#include <stdbool.h>

#include "proto/base/buf.h"
#include "proto/wire/limits.h"

/* NULL when the text is good; else a static sentence: what is wrong. *ret_at (may be NULL) is the byte offset. */
const char *hb_json_strict_check(struct hb_text json, size_t *ret_at);

struct hb_json_outline {
    bool is_object; /* the outermost value is an object; else there are no members */
    uint32_t count;
    struct hb_json_member {
        uint32_t key_at, key_len; /* without its quotes, escapes as written */
        uint32_t value_at, value_len;
    } members[HB_JSON_MEMBERS_MAX];
};

/* The same check; the outline is whole only when it returns NULL. */
const char *hb_json_strict_outline(struct hb_text json, struct hb_json_outline *ret_outline, size_t *ret_at);

#endif
