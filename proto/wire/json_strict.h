/*
 * json_strict: one pass over JSON text that accepts exactly RFC 8259, and less where PROTOCOL.md says so.
 *
 * Refused beyond the RFC: more than HB_JSON_DEPTH_MAX levels, duplicate keys (compared after unescaping), more than
 * HB_JSON_MEMBERS_MAX members in an object, invalid UTF-8, lone surrogates, \u0000. It allocates nothing. json-c 0.16
 * lets duplicates, NaN, single quotes, \u0000 and lone surrogates pass, which is why this stands before it.
 */
#ifndef HB_WIRE_JSON_STRICT_H
#define HB_WIRE_JSON_STRICT_H

#include "proto/base/buf.h"

/* NULL when the text is good; else a static sentence: what is wrong. *ret_at (may be NULL) is the byte offset. */
const char *hb_json_strict_check(struct hb_text json, size_t *ret_at);

#endif
