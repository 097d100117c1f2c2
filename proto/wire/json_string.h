/*
 * json_string: reads the content of JSON strings that json_strict has found good, one character at a time, without a
 * copy. Good means: every escape is complete, surrogates come in pairs, UTF-8 is well-formed. On anything else these
 * functions read out of bounds.
 */
#ifndef HB_WIRE_JSON_STRING_H
#define HB_WIRE_JSON_STRING_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"

/*
 * Writes the UTF-8 of the next piece to out and moves *at behind it: one escape's character, or one byte as it stands.
 * Returns how many bytes it wrote, 1 to 4.
 */
unsigned hb_json_string_next(const char **at, char out[4]);

/* Do the two contents (no quotes) mean the same text, escapes resolved? */
bool hb_json_string_equal(struct hb_text a, struct hb_text b);

/* How many bytes the content has once escapes are resolved. */
size_t hb_json_string_length(struct hb_text content);

/* Does it hold, once escapes are resolved, a control character? */
bool hb_json_string_has_control(struct hb_text content);

/* The closing quote of the string whose opening quote is at `open`. */
const char *hb_json_string_close(const char *open);

#endif
