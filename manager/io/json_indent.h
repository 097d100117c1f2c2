/*
 * json_indent: JSON for people: the same value with two spaces per level, a member or element per line.
 *
 * For JSON that is sound by construction, our own; anything else comes out as some bytes, without harm. One pass, no
 * memory of its own. The alternative, parsing and printing with json-c, would cost thirty times as much and might spell
 * numbers differently.
 */
#ifndef HB_IO_JSON_INDENT_H
#define HB_IO_JSON_INDENT_H

#include "proto/base/buf.h"

/* Appends; the buffer's status tells of failure. White space after the value (its line feed) stays. */
void hb_json_indent(struct hb_buf *out, struct hb_text json);

#endif
