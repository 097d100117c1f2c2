/*
 * conf_help: one row per flag, made from the option table, printed as an aligned table or as markdown.
 *
 * The table is walked twice: once to measure the columns, once to print them. Nothing is allocated.
 */
#include "proto/base/conf_help.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/conf_value.h"

static const struct {
    const char *name;
    const char *help;
} builtins[HB_CONF_BUILTIN_COUNT] = {
    [HB_CONF_BUILTIN_HELP] = {"--help", "print this and exit (also -h)"},
    [HB_CONF_BUILTIN_VERSION] = {"--version", "print the version and exit"},
    [HB_CONF_BUILTIN_CHECK] = {"--check-config", "print every value and where it came from, and exit"},
    [HB_CONF_BUILTIN_HEALTH] = {"--health", "ask the one that runs here: exit 0 when it is well, else 1"},
    [HB_CONF_BUILTIN_MARKDOWN] = {"--help-markdown", "print the options as a markdown table and exit"},
};

enum hb_conf_builtin hb_conf_find_builtin(const char *typed, size_t typed_len)
{
    if (typed_len == 2 && memcmp(typed, "-h", 2) == 0)
        return HB_CONF_BUILTIN_HELP;
    int place = 0;
    while (place < HB_CONF_BUILTIN_COUNT &&
           !(strlen(builtins[place].name) == typed_len && memcmp(builtins[place].name, typed, typed_len) == 0))
        place++;
    return (enum hb_conf_builtin)place;
}

void hb_conf_flag_name(const struct hb_conf_option *option, const char *suffix, char ret_name[HB_CONF_NAME_SIZE])
{
    snprintf(ret_name, HB_CONF_NAME_SIZE, "--%s%s", option->name, suffix);
    for (char *at = ret_name; *at != '\0'; at++) {
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at + ('a' - 'A'));
        else if (*at == '_')
            *at = '-';
    }
}

struct row {
    const struct hb_conf_option *option;
    bool file; /* the NAME_FILE row of the option */
    char flag[2 * HB_CONF_NAME_SIZE];
    char variable[HB_CONF_NAME_SIZE];
    const char *default_value; /* NULL: none to show */
};

static const char *placeholder(const struct row *row)
{
    if (row->file)
        return " FILE";
    switch (row->option->type) {
    case HB_CONF_TEXT:
        return " TEXT";
    case HB_CONF_INTEGER:
    case HB_CONF_NUMBER:
        return " N";
    case HB_CONF_DURATION:
        return " SECONDS";
    case HB_CONF_WORD:
        return " WORD";
    case HB_CONF_BOOL:
        break;
    }
    return "";
}

/* Fills the row after the one in *row (option NULL: the first). Reports whether there is one. */
static bool next_row(const struct hb_conf *conf, struct row *row)
{
    if (row->option && !row->file && row->option->flags & HB_CONF_FROM_FILE) {
        row->file = true;
    } else {
        row->option = row->option ? row->option + 1 : conf->options;
        row->file = false;
    }
    if (row->option == conf->options + conf->option_count)
        return false;
    const struct hb_conf_option *option = row->option;
    char name[HB_CONF_NAME_SIZE];
    hb_conf_flag_name(option, row->file ? "-file" : "", name);
    bool alias = option->alias && !row->file;
    snprintf(row->flag, sizeof row->flag, "%s%s%s%s", name, alias ? ", " : "", alias ? option->alias : "",
             placeholder(row));
    snprintf(row->variable, sizeof row->variable, "%s%s", option->name, row->file ? "_FILE" : "");
    bool hidden = row->file || option->flags & HB_CONF_SECRET || (option->default_value && !option->default_value[0]);
    row->default_value = hidden ? NULL : option->default_value;
    return true;
}

static void print_meaning(const struct row *row, FILE *out)
{
    if (row->file) {
        fprintf(out, "File that holds %s.", row->option->name);
        return;
    }
    fputs(row->option->help, out);
    if (hb_conf_value_print_range(row->option, " (", out))
        fputc(')', out);
}

static int widest(int width, const char *text)
{
    int len = (int)strlen(text);
    return len > width ? len : width;
}

static void print_options(const struct hb_conf *conf, FILE *out)
{
    int flag = 0, variable = 0, value = 0;
    struct row row = {.option = NULL};
    while (next_row(conf, &row)) {
        flag = widest(flag, row.flag);
        variable = widest(variable, row.variable);
        value = widest(value, row.default_value ? row.default_value : "-");
    }
    for (int i = 0; i < HB_CONF_BUILTIN_COUNT; i++)
        flag = widest(flag, builtins[i].name);
    flag = widest(flag, "flag");
    variable = widest(variable, "variable");
    value = widest(value, "default");

    fprintf(out, "  %-*s  %-*s  %-*s  meaning\n", flag, "flag", variable, "variable", value, "default");
    row = (struct row){.option = NULL};
    while (next_row(conf, &row)) {
        fprintf(out, "  %-*s  %-*s  %-*s  ", flag, row.flag, variable, row.variable, value,
                row.default_value ? row.default_value : "-");
        print_meaning(&row, out);
        fputc('\n', out);
    }
    fputc('\n', out);
    for (int i = 0; i < HB_CONF_BUILTIN_COUNT; i++)
        fprintf(out, "  %-*s  %s\n", flag, builtins[i].name, builtins[i].help);
}

void hb_conf_print_help(const struct hb_conf *conf, FILE *out)
{
    fprintf(out, "%s %s\n%s\n\nUsage: %s [options]\n\n", conf->program, conf->version, conf->summary, conf->program);
    fputs(
        "Each option is a flag or an environment variable; the flag wins. Durations are seconds, decimals allowed.\n\n",
        out);
    print_options(conf, out);
    fprintf(out,
            "\nExit codes:\n"
            "  %2d  clean stop\n"
            "  %2d  wrong usage\n"
            "  %2d  cannot listen\n"
            "  %2d  internal error\n"
            "  %2d  wrong configuration\n",
            0, HB_EXIT_USAGE, HB_EXIT_UNAVAILABLE, HB_EXIT_INTERNAL, HB_EXIT_CONFIG);
    if (conf->examples) {
        size_t len = strlen(conf->examples);
        fprintf(out, "\n%s%s", conf->examples, len > 0 && conf->examples[len - 1] == '\n' ? "" : "\n");
    }
}

/* A bar would end the table's cell. */
static void print_cell(const char *text, FILE *out)
{
    for (; *text != '\0'; text++) {
        if (*text == '|')
            fputc('\\', out);
        fputc(*text, out);
    }
}

void hb_conf_print_markdown(const struct hb_conf *conf, FILE *out)
{
    fputs("| variable | default | meaning |\n|---|---|---|\n", out);
    struct row row = {.option = NULL};
    while (next_row(conf, &row)) {
        fprintf(out, "| `%s` | ", row.variable);
        if (row.default_value) {
            fputc('`', out);
            print_cell(row.default_value, out);
            fputs("` | ", out);
        } else {
            fputs("– | ", out);
        }
        if (row.file)
            fprintf(out, "File that holds `%s`.", row.option->name);
        else
            print_cell(row.option->help, out);
        if (!row.file && hb_conf_value_print_range(row.option, " (", out))
            fputc(')', out);
        fputs(" |\n", out);
    }
}

/* Levenshtein's distance, row by row (Wagner and Fischer, 1974). Both are shorter than HB_CONF_NAME_SIZE. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t row[HB_CONF_NAME_SIZE];
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            size_t removed = row[j] + 1;
            size_t added = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = removed < added ? removed : added;
            if (replaced < row[j])
                row[j] = replaced;
        }
    }
    return row[b_len];
}

struct search {
    const char *typed;
    size_t typed_len;
    size_t distance; /* of the nearest so far */
    char *name;
};

static void consider(struct search *search, const char *name)
{
    size_t len = strlen(name);
    if (len >= HB_CONF_NAME_SIZE)
        return;
    size_t distance = edit_distance(search->typed, search->typed_len, name, len);
    if (distance < search->distance) {
        search->distance = distance;
        memcpy(search->name, name, len + 1);
    }
}

bool hb_conf_nearest_flag(const struct hb_conf *conf, const char *typed, size_t typed_len,
                          char ret_name[HB_CONF_NAME_SIZE])
{
    if (typed_len >= HB_CONF_NAME_SIZE)
        return false;
    /* A third of it may be wrong; a wilder guess would only puzzle. */
    char name[HB_CONF_NAME_SIZE], nearest[HB_CONF_NAME_SIZE] = "";
    struct search search = {typed, typed_len, typed_len / 3 + 1, nearest};
    for (size_t i = 0; i < conf->option_count; i++) {
        const struct hb_conf_option *option = &conf->options[i];
        hb_conf_flag_name(option, "", name);
        consider(&search, name);
        if (option->flags & HB_CONF_FROM_FILE) {
            hb_conf_flag_name(option, "-file", name);
            consider(&search, name);
        }
        if (option->alias)
            consider(&search, option->alias);
    }
    for (int i = 0; i < HB_CONF_BUILTIN_COUNT; i++)
        consider(&search, builtins[i].name);
    if (nearest[0] == '\0')
        return false;
    memcpy(ret_name, nearest, sizeof nearest);
    return true;
}
