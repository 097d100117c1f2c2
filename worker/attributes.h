/*
 * attributes: WORKER_ATTRIBUTES, "k=v,k=v", as the JSON object that goes on the wire. All values are strings.
 */
#ifndef HB_WORKER_ATTRIBUTES_H
#define HB_WORKER_ATTRIBUTES_H

#include "proto/base/buf.h"

/* Bytes of the object: 32 pairs as long as can be, some of it escaped, and room left in a registration for the rest. */
#define HB_ATTRIBUTES_JSON_MAX 12288

/* Appends the object ("{}" for NULL) to an empty buffer. NULL when all is well, else the rule that is broken ("must be
 * ..."). */
const char *hb_attributes_encode(struct hb_buf *buf, const char *pairs);

#endif
