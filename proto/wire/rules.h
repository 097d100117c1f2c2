/*
 * rules: what ids, names, hosts, URLs and numbers of each kind may be, with the words for those that are not.
 */
#ifndef HB_WIRE_RULES_H
#define HB_WIRE_RULES_H

#include "proto/wire/fields.h"

extern const struct hb_text_rule hb_rule_id;     /* hb_id_valid */
extern const struct hb_text_rule hb_rule_name;   /* hb_name_valid */
extern const struct hb_text_rule hb_rule_host;   /* a DNS name, an IPv4 or an IPv6 address: which one is not asked */
extern const struct hb_text_rule hb_rule_url;    /* http, https or tcp, with a host, without credentials */
extern const struct hb_text_rule hb_rule_status; /* a beat's own status word */
extern const struct hb_text_rule hb_rule_port_digits; /* "8080": only rows of the Python project write a port as text */
extern const struct hb_text_rule hb_rule_time;        /* ISO 8601 */
extern const struct hb_text_rule hb_rule_any;

extern const struct hb_number_rule hb_rule_port;
extern const struct hb_number_rule hb_rule_count;
extern const struct hb_number_rule hb_rule_timeout;  /* seconds; of a poll interval and of maintenance too */
extern const struct hb_number_rule hb_rule_interval; /* seconds */

uint16_t hb_port_of_digits(struct hb_text text); /* 0 when it is no port */

#endif
