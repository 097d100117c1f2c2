/*
 * cidr: a range of IP addresses, as "10.0.0.0/8", "fd00::/8" or a single "192.0.2.7".
 *
 * Addresses are kept in the 16 bytes of IPv6, those of IPv4 as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2): so one
 * comparison holds for both. A range of IPv6 holds no IPv4 address unless it lies within ::ffff:0:0/96: "::/0" is all
 * of IPv6 and nothing else.
 */
#ifndef HB_BASE_CIDR_H
#define HB_BASE_CIDR_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"

struct hb_cidr {
    uint8_t bytes[16];
    uint8_t bits; /* how many of them an address must share: 0 to 128 */
};

/* HB_ERR_INVALID: it is none, or has bits set behind its prefix (10.1.2.3/8), which hides a slip. */
enum hb_err hb_cidr_parse(struct hb_text text, struct hb_cidr *ret_cidr) HB_MUST_CHECK;
bool hb_cidr_holds(const struct hb_cidr *cidr, const uint8_t address[16]);
bool hb_cidr_is_v4(const uint8_t address[16]); /* in its IPv6 clothes */

/* The next entry of a list separated by commas, blanks around it dropped, empty ones skipped; *at moves behind it.
 * Absent: there is none left. */
struct hb_text hb_cidr_list_next(const char **at);

#endif
