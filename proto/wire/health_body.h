/*
 * health_body: what a service says of itself when its /health is asked, as far as it says anything that is known here.
 *
 * Nothing in a body is an error: one that is no JSON, or of another shape, just says nothing. Each member counts on its
 * own, in the spellings of PROTOCOL.md.
 */
#ifndef HB_WIRE_HEALTH_BODY_H
#define HB_WIRE_HEALTH_BODY_H

#include "proto/wire/codec.h"

struct hb_health_body {
    int64_t uptime_ms; /* -1: not said, here and below */
    int64_t requests, errors;
    struct hb_text
        attributes; /* a compact JSON object by the rules of attributes; absent: none, or none that keep them */
};

/* The texts live until the decoder's next call. */
void hb_health_body_read(struct hb_decoder *decoder, struct hb_text body, struct hb_health_body *ret_health);

/*
 * Both objects in one, compact: where both have a name, theirs wins. Either may be absent. Beyond HB_ATTRIBUTES_MAX
 * pairs the rest of mine is left out. Both must be objects as the decoder gives them. The buffer's status tells of
 * failure.
 */
void hb_attributes_merge(struct hb_buf *out, struct hb_text mine, struct hb_text theirs);

#endif
