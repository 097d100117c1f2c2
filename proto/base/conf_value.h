/*
 * conf_value: one option's written form, read, judged and shown. Part of conf; nobody else includes it.
 */
#ifndef HB_BASE_CONF_VALUE_H
#define HB_BASE_CONF_VALUE_H

#include "proto/base/conf.h"

#define HB_CONF_SHOWN_MAX 80 /* bytes of a value that an error sentence repeats */

/* Reads text into the option's field. HB_ERR_INVALID: it breaks the rule; HB_ERR_NO_MEMORY. The field is as before. */
enum hb_err hb_conf_value_set(const struct hb_conf_option *option, const char *text, void *values) HB_MUST_CHECK;
/* Prints the rule that text breaks: "must be ...". */
void hb_conf_value_print_rule(const struct hb_conf_option *option, const char *text, FILE *out);
/* Prints the range of good values, "1 to 65535", or nothing when there is none to tell. Returns whether it printed. */
bool hb_conf_value_print_range(const struct hb_conf_option *option, const char *before, FILE *out);
/* Prints the field as it stands; a secret as ***, an absent text as -. */
void hb_conf_value_print(const struct hb_conf_option *option, const void *values, FILE *out);
void hb_conf_value_free(const struct hb_conf_option *option, void *values);

/* Prints a number with a point, whatever the locale, and at most nine decimals. */
void hb_conf_print_number(double number, FILE *out);
/* Prints bytes that came from outside: control characters escaped, cut after max bytes. */
void hb_conf_print_shown(const char *text, size_t max, FILE *out);

#endif
