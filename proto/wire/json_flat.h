/*
 * json_flat: objects of names and plain values that are passed on as text: a worker's metrics and attributes.
 *
 * Nobody here needs their values as numbers, so they are never turned into any: the pairs are checked and copied with
 * exactly the bytes they were sent with, without the whitespace between them. 40.10 stays 40.10, and a 19-digit counter
 * keeps its last digit.
 */
#ifndef HB_WIRE_JSON_FLAT_H
#define HB_WIRE_JSON_FLAT_H

#include <stdbool.h>

#include "proto/base/buf.h"

struct hb_flat_rule {
    size_t pairs_max;
    bool numbers_only;    /* and nulls, whose pairs are left out; else strings, numbers and booleans */
    const char *too_many; /* the fault's words when there are more pairs */
    const char *wrong_type;
};

extern const struct hb_flat_rule hb_flat_metrics;
extern const struct hb_flat_rule hb_flat_attributes;

/*
 * Copies a good JSON object (json_strict has passed it) to out, which has room for object.len bytes. NULL when every
 * pair follows the rule, and *ret_len is what was written; else a static phrase that says what is wrong, and *ret_name
 * is the name of the pair as written, quotes included, or absent when no single pair is at fault.
 */
const char *hb_flat_copy(struct hb_text object, const struct hb_flat_rule *rule, char *out, size_t *ret_len,
                         struct hb_text *ret_name);

#endif
