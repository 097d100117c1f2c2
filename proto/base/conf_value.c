/*
 * conf_value: every number is scanned by hand. strtod would take "nan", "0x10" and "1e9", and read "0,5" in one locale
 * and "0.5" in another; what a configuration means must not hang on the environment's language.
 */
#include "proto/base/conf_value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WHOLE_MAX UINT64_C(1000000000) /* of a duration or number; times 10^9 it still fits int64_t */
#define NANO UINT64_C(1000000000)

static bool has_lower(const struct hb_conf_option *option)
{
    return option->min != 0 || option->max != 0;
}

static bool has_upper(const struct hb_conf_option *option)
{
    return has_lower(option) && option->max >= option->min;
}

static bool in_bounds(const struct hb_conf_option *option, double number)
{
    return (!has_lower(option) || number >= option->min) && (!has_upper(option) || number <= option->max);
}

/* sign, whole and fraction of "[-]digits[.digits]"; what the ninth decimal cuts off is remembered as `more`. */
struct decimal {
    bool negative;
    bool more;
    uint64_t whole;
    uint64_t nanos;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool scan_decimal(const char *text, struct decimal *ret_decimal)
{
    struct decimal decimal = {.negative = *text == '-'};
    const char *at = decimal.negative ? text + 1 : text;
    bool any = is_digit(*at);
    for (; is_digit(*at); at++) {
        decimal.whole = decimal.whole * 10 + (uint64_t)(*at - '0');
        if (decimal.whole > WHOLE_MAX)
            return false;
    }
    if (*at == '.') {
        at++;
        any = any || is_digit(*at);
        for (uint64_t worth = NANO / 10; is_digit(*at); at++, worth /= 10) {
            decimal.nanos += (uint64_t)(*at - '0') * worth;
            decimal.more = decimal.more || (worth == 0 && *at != '0');
        }
    }
    if (!any || *at != '\0')
        return false;
    *ret_decimal = decimal;
    return true;
}

/* One division of an exact integer rounds once, so "0.1" is the same double as in C source. */
static double double_of(struct decimal decimal)
{
    double number = (double)(decimal.whole * NANO + decimal.nanos) / (double)NANO;
    return decimal.negative ? -number : number;
}

static bool read_number(const struct hb_conf_option *option, const char *text, double *ret_number)
{
    struct decimal decimal;
    if (!scan_decimal(text, &decimal) || !in_bounds(option, double_of(decimal)))
        return false;
    *ret_number = double_of(decimal);
    return true;
}

static bool read_duration(const struct hb_conf_option *option, const char *text, int64_t *ret_ms)
{
    struct decimal decimal;
    if (!scan_decimal(text, &decimal) || decimal.negative || !in_bounds(option, double_of(decimal)))
        return false;
    /* Rounded up: 0 often means "off", so nothing above it may become it; nor may a value just above max pass. */
    bool rest = decimal.nanos % 1000000 != 0 || decimal.more;
    int64_t ms = (int64_t)(decimal.whole * 1000 + decimal.nanos / 1000000 + rest);
    if (ms > (int64_t)(WHOLE_MAX * 1000) || !in_bounds(option, (double)ms / 1000))
        return false;
    *ret_ms = ms;
    return true;
}

static bool read_integer(const struct hb_conf_option *option, const char *text, int64_t *ret_integer)
{
    if (!is_digit(text[0] == '-' ? text[1] : text[0]))
        return false; /* strtoimax would skip blanks and take a plus */
    char *end;
    errno = 0;
    intmax_t integer = strtoimax(text, &end, 10);
    if (errno != 0 || *end != '\0' || !in_bounds(option, (double)integer))
        return false;
    *ret_integer = integer;
    return true;
}

/* ASCII only: strcasecmp follows the locale, where I and i may not be a pair. */
static bool same_word(const char *a, const char *b)
{
    for (;; a++, b++) {
        char lower_a = (char)(*a >= 'A' && *a <= 'Z' ? *a + ('a' - 'A') : *a);
        char lower_b = (char)(*b >= 'A' && *b <= 'Z' ? *b + ('a' - 'A') : *b);
        if (lower_a != lower_b)
            return false;
        if (lower_a == '\0')
            return true;
    }
}

static bool find_word(const char *const *words, const char *text, int *ret_place)
{
    for (int place = 0; words[place]; place++) {
        if (same_word(words[place], text)) {
            *ret_place = place;
            return true;
        }
    }
    return false;
}

static bool read_bool(const char *text, bool *ret_value)
{
    static const char *const words[] = {"0", "1", "false", "true", "no", "yes", "off", "on", NULL};
    int place;
    if (!find_word(words, text, &place))
        return false;
    *ret_value = place % 2 == 1;
    return true;
}

static bool may_be_empty(const struct hb_conf_option *option)
{
    return !option->default_value || option->default_value[0] == '\0';
}

static char **text_field(const struct hb_conf_option *option, void *values)
{
    return (char **)(void *)((char *)values + option->offset);
}

static enum hb_err set_text(const struct hb_conf_option *option, const char *text, void *values)
{
    char *copy = NULL;
    if (text[0] == '\0') {
        if (!may_be_empty(option))
            return HB_ERR_INVALID;
        text = option->default_value; /* none, or the empty one */
    } else if (!in_bounds(option, (double)strlen(text)) || (option->check && option->check(text))) {
        return HB_ERR_INVALID;
    }
    if (text) {
        copy = strdup(text);
        if (!copy)
            return HB_ERR_NO_MEMORY;
    }
    hb_conf_value_free(option, values);
    *text_field(option, values) = copy;
    return HB_OK;
}

enum hb_err hb_conf_value_set(const struct hb_conf_option *option, const char *text, void *values)
{
    void *field = (char *)values + option->offset;
    bool good = false;
    switch (option->type) {
    case HB_CONF_TEXT:
        return set_text(option, text, values);
    case HB_CONF_INTEGER:
        good = read_integer(option, text, field);
        break;
    case HB_CONF_DURATION:
        good = read_duration(option, text, field);
        break;
    case HB_CONF_NUMBER:
        good = read_number(option, text, field);
        break;
    case HB_CONF_BOOL:
        good = read_bool(text, field);
        break;
    case HB_CONF_WORD:
        good = find_word(option->words, text, field);
        break;
    }
    return good ? HB_OK : HB_ERR_INVALID;
}

static void print_bounded(const struct hb_conf_option *option, const char *noun, FILE *out)
{
    fprintf(out, "must be %s", noun);
    if (has_upper(option)) {
        fputs(" between ", out);
        hb_conf_print_number(option->min, out);
        fputs(" and ", out);
        hb_conf_print_number(option->max, out);
    } else if (has_lower(option)) {
        fputs(", ", out);
        hb_conf_print_number(option->min, out);
        fputs(" or more", out);
    }
}

static void print_text_rule(const struct hb_conf_option *option, const char *text, FILE *out)
{
    const char *rule = text[0] != '\0' && option->check ? option->check(text) : NULL;
    if (text[0] == '\0')
        fputs("must not be empty", out);
    else if (in_bounds(option, (double)strlen(text)) && rule)
        fputs(rule, out);
    else if (has_upper(option) && option->min > 1)
        fprintf(out, "must be %.0f to %.0f bytes long", option->min, option->max);
    else if (has_upper(option))
        fprintf(out, "must be at most %.0f bytes long", option->max);
    else
        fprintf(out, "must be at least %.0f bytes long", option->min);
}

static void print_words(const struct hb_conf_option *option, FILE *out)
{
    for (size_t i = 0; option->words[i]; i++)
        fprintf(out, "%s%s", i > 0 ? ", " : "", option->words[i]);
}

void hb_conf_value_print_rule(const struct hb_conf_option *option, const char *text, FILE *out)
{
    switch (option->type) {
    case HB_CONF_TEXT:
        print_text_rule(option, text, out);
        break;
    case HB_CONF_INTEGER:
        print_bounded(option, "a whole number", out);
        break;
    case HB_CONF_DURATION:
        if (has_lower(option))
            print_bounded(option, "a number of seconds", out);
        else
            fprintf(out, "must be a number of seconds between 0 and %" PRIu64, WHOLE_MAX);
        break;
    case HB_CONF_NUMBER:
        print_bounded(option, "a number", out);
        break;
    case HB_CONF_BOOL:
        fputs("must be true or false (or 1/0, yes/no, on/off)", out);
        break;
    case HB_CONF_WORD:
        fputs("must be one of ", out);
        print_words(option, out);
        break;
    }
}

bool hb_conf_value_print_range(const struct hb_conf_option *option, const char *before, FILE *out)
{
    if (option->type == HB_CONF_WORD) {
        fputs(before, out);
        print_words(option, out);
        return true;
    }
    if (!has_upper(option) || option->type == HB_CONF_TEXT || option->type == HB_CONF_BOOL)
        return false;
    fputs(before, out);
    hb_conf_print_number(option->min, out);
    fputs(" to ", out);
    hb_conf_print_number(option->max, out);
    if (option->type == HB_CONF_DURATION)
        fputs(" s", out);
    return true;
}

void hb_conf_value_print(const struct hb_conf_option *option, const void *values, FILE *out)
{
    const void *field = (const char *)values + option->offset;
    const char *text = option->type == HB_CONF_TEXT ? *(char *const *)field : "";
    if (!text) {
        fputs("-", out);
        return;
    }
    if (option->flags & HB_CONF_SECRET) {
        fputs("***", out);
        return;
    }
    switch (option->type) {
    case HB_CONF_TEXT:
        hb_conf_print_shown(text, SIZE_MAX, out);
        break;
    case HB_CONF_INTEGER:
        fprintf(out, "%" PRId64, *(const int64_t *)field);
        break;
    case HB_CONF_DURATION:
        hb_conf_print_number((double)*(const int64_t *)field / 1000, out);
        break;
    case HB_CONF_NUMBER:
        hb_conf_print_number(*(const double *)field, out);
        break;
    case HB_CONF_BOOL:
        fputs(*(const bool *)field ? "true" : "false", out);
        break;
    case HB_CONF_WORD:
        fputs(option->words[*(const int *)field], out);
        break;
    }
}

void hb_conf_value_free(const struct hb_conf_option *option, void *values)
{
    if (option->type != HB_CONF_TEXT)
        return;
    char **field = text_field(option, values);
    if (*field && option->flags & HB_CONF_SECRET)
        explicit_bzero(*field, strlen(*field));
    free(*field);
    *field = NULL;
}

void hb_conf_print_number(double number, FILE *out)
{
    if (number < 0) {
        fputc('-', out);
        number = -number;
    }
    if (number > (double)WHOLE_MAX) { /* only bounds of integers are this large, and those are whole */
        fprintf(out, "%.0f", number);
        return;
    }
    uint64_t nanos = (uint64_t)(number * (double)NANO + 0.5);
    fprintf(out, "%" PRIu64, nanos / NANO);
    char digits[11];
    int len = snprintf(digits, sizeof digits, ".%09u", (unsigned)(nanos % NANO));
    while (len > 0 && (digits[len - 1] == '0' || digits[len - 1] == '.'))
        len--;
    fwrite(digits, 1, (size_t)len, out);
}

void hb_conf_print_shown(const char *text, size_t max, FILE *out)
{
    size_t at = 0;
    /* The cut never falls inside a UTF-8 character. */
    for (; text[at] != '\0' && (at < max || ((unsigned char)text[at] & 0xc0) == 0x80); at++) {
        unsigned char c = (unsigned char)text[at];
        if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\x%02x", c);
        else
            fputc(c, out);
    }
    if (text[at] != '\0')
        fputs("...", out);
}
