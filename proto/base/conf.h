/*
 * conf: one const table per program drives environment, flags, --help, --check-config and the README.
 *
 * Each option is one environment variable NAME and one flag --name (lower case, dashes for underscores; "--name value"
 * or "--name=value"; a bool flag may stand alone). A flag wins over the variable, the variable over the default.
 * conf.c is the only file that calls getenv. All errors are found in one go, each a sentence that names the variable
 * (or flag), the value and the rule.
 */
#ifndef HB_BASE_CONF_H
#define HB_BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

enum hb_conf_type {
    HB_CONF_TEXT,     /* char *; min and max bound its length */
    HB_CONF_INTEGER,  /* int64_t; min and max bound it */
    HB_CONF_DURATION, /* int64_t milliseconds; written in seconds, decimals allowed; min and max in seconds */
    HB_CONF_NUMBER,   /* double */
    HB_CONF_BOOL,     /* bool: 1/0, true/false, yes/no, on/off, in any case */
    HB_CONF_WORD,     /* int: place of the value in words; in any case */
};

enum hb_conf_flags {
    HB_CONF_SECRET = 1 << 0,    /* never printed */
    HB_CONF_FROM_FILE = 1 << 1, /* NAME_FILE names a file to read it from (one trailing newline dropped) */
};

struct hb_conf_option {
    const char *name; /* environment variable: "REDIS_PORT" */
    enum hb_conf_type type;
    size_t offset;             /* of the field in the program's struct */
    const char *default_value; /* in the written form; NULL: a text stays NULL, others zero */
    double min, max;           /* both 0: no bounds (a duration stays below 10^9 s); max below min: no upper bound */
    const char *const *words;  /* HB_CONF_WORD: NULL-terminated */
    unsigned flags;
    const char *alias; /* another flag, "--port", or NULL */
    /* A further rule for texts: NULL when the value is good, else the rule it breaks ("must be ..."). May be NULL. */
    const char *(*check)(const char *value);
    const char *help; /* one line */
};

struct hb_conf {
    const char *program; /* "heartbeat-manager" */
    const char *version;
    const char *summary;  /* one or two sentences for --help */
    const char *examples; /* block of text at the end of --help, or NULL */
    const struct hb_conf_option *options;
    size_t option_count;
    /*
     * Rules across options, called when every single one was good: append one sentence per broken rule, each ended by a
     * newline. May be NULL.
     */
    void (*check)(const void *values, struct hb_buf *sentences);
};

/* What main should do next. Printing was done already. */
enum hb_conf_outcome {
    HB_CONF_RUN,
    HB_CONF_EXIT_OK,     /* --help, --version, --check-config with a good configuration */
    HB_CONF_EXIT_USAGE,  /* unknown flag, flag without value, stray word: exit 64 */
    HB_CONF_EXIT_CONFIG, /* values that break a rule: exit 78 */
    HB_CONF_HEALTH,      /* --health: the program asks its running sibling and exits 0 or 1 */
};

#define HB_EXIT_USAGE 64
#define HB_EXIT_UNAVAILABLE 69 /* cannot listen */
#define HB_EXIT_INTERNAL 70
#define HB_EXIT_CONFIG 78

/*
 * Fills values (a zeroed struct of the program's) from defaults, environment and argv. Help and version go to out,
 * errors to err. Texts are allocated: hb_conf_free gives them back, also after a failure.
 * --help-markdown prints the README's table of options; --check-config prints every value (secrets as ***), where each
 * came from, and "configuration ok".
 *
 * An empty environment variable counts as not set. An empty flag value takes a text that has no default back to NULL;
 * a text with a default is never NULL and never empty. NAME and NAME_FILE both set is an error; a flag of either kind
 * wins over both variables.
 */
enum hb_conf_outcome hb_conf_load(const struct hb_conf *conf, int argc, char **argv, void *values, FILE *out,
                                  FILE *err);
void hb_conf_free(const struct hb_conf *conf, void *values);

#endif
