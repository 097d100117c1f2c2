/*
 * conf_help: what --help and --help-markdown print, and the flags' names. Part of conf; nobody else includes it.
 */
#ifndef HB_BASE_CONF_HELP_H
#define HB_BASE_CONF_HELP_H

#include "proto/base/conf.h"

#define HB_CONF_NAME_SIZE 96 /* of a flag or variable and its NUL; longer names are cut */

/* "REDIS_PASSWORD" gives "--redis-password"; suffix is "" or "-file". */
void hb_conf_flag_name(const struct hb_conf_option *option, const char *suffix, char ret_name[HB_CONF_NAME_SIZE]);

void hb_conf_print_help(const struct hb_conf *conf, FILE *out);
void hb_conf_print_markdown(const struct hb_conf *conf, FILE *out);

/* The known flag nearest to one that was mistyped, or false when none is near. */
bool hb_conf_nearest_flag(const struct hb_conf *conf, const char *typed, size_t typed_len,
                          char ret_name[HB_CONF_NAME_SIZE]);

/* Flags that every program has. */
enum hb_conf_builtin {
    HB_CONF_BUILTIN_HELP,
    HB_CONF_BUILTIN_VERSION,
    HB_CONF_BUILTIN_CHECK,
    HB_CONF_BUILTIN_HEALTH,
    HB_CONF_BUILTIN_MARKDOWN,
    HB_CONF_BUILTIN_COUNT,
};

enum hb_conf_builtin hb_conf_find_builtin(const char *typed, size_t typed_len); /* HB_CONF_BUILTIN_COUNT: none */

#endif
