/*
 * conf_checks: rules for option values that more than one program has, as conf.h's `check`: NULL when the value is
 * good, else the rule that it breaks.
 */
#ifndef HB_WIRE_CONF_CHECKS_H
#define HB_WIRE_CONF_CHECKS_H

const char *hb_check_id(const char *value);
const char *hb_check_name(const char *value);
const char *hb_check_host(const char *value);      /* to connect to: a name or an address, no port */
const char *hb_check_bind_host(const char *value); /* to listen on: an address */

/* Words of LOG_LEVEL and LOG_FORMAT, in the order of log.h's enums; NULL-terminated. */
extern const char *const hb_log_level_words[];
extern const char *const hb_log_format_words[];

#endif
