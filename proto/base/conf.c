/*
 * conf: from argv and the environment to one struct.
 *
 *   argv ──► per option: the flag, or the flag of its file ─┐
 *   getenv ──────────────────────────────────────────────────┼─► pick one source ─► conf_value reads and judges it
 *   default ─────────────────────────────────────────────────┘
 *
 * Errors go to err as they are found, and the work goes on, so one run shows all of them. What a secret holds is never
 * printed, nor what any file holds: a wrong path may name somebody's key.
 */
#include "proto/base/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/conf_help.h"
#include "proto/base/conf_value.h"

#define SECRET_FILE_MAX 4096
#define RULES_TEXT_MAX 16384

enum origin { FROM_DEFAULT, FROM_ENVIRONMENT, FROM_FLAG };

/* A value as somebody gave it. text NULL: nobody did. */
struct given {
    const char *label; /* "REDIS_PORT", or the flag as typed */
    size_t label_len;
    const char *text;
};

struct setting {
    struct given flag, flag_file;
    enum origin origin;
    const char *file; /* where it was read from, or NULL */
};

struct load {
    const struct hb_conf *conf;
    void *values;
    FILE *out, *err;
    struct setting *settings; /* one per option */
    bool asked[HB_CONF_BUILTIN_COUNT];
    bool usage_wrong;
    bool values_wrong;
};

static FILE *begin_sentence(struct load *load)
{
    fprintf(load->err, "%s: ", load->conf->program);
    return load->err;
}

/* ---- argv ---- */

static bool same(const char *name, const char *typed, size_t typed_len)
{
    return strlen(name) == typed_len && memcmp(name, typed, typed_len) == 0;
}

/* A flag of the table, or of the file that one reads. option NULL: neither. */
struct found {
    const struct hb_conf_option *option;
    struct given *given; /* where its value goes */
    bool file;
};

static struct found find_flag(struct load *load, const char *typed, size_t len)
{
    char name[HB_CONF_NAME_SIZE];
    for (size_t i = 0; i < load->conf->option_count; i++) {
        const struct hb_conf_option *option = &load->conf->options[i];
        hb_conf_flag_name(option, "", name);
        if (same(name, typed, len) || (option->alias && same(option->alias, typed, len)))
            return (struct found){option, &load->settings[i].flag, false};
        hb_conf_flag_name(option, "-file", name);
        if (option->flags & HB_CONF_FROM_FILE && same(name, typed, len))
            return (struct found){option, &load->settings[i].flag_file, true};
    }
    return (struct found){.option = NULL};
}

static void complain_usage(struct load *load, const char *typed, size_t len, const char *fault)
{
    FILE *err = begin_sentence(load);
    char shown[HB_CONF_NAME_SIZE];
    snprintf(shown, sizeof shown, "%.*s", (int)(len < sizeof shown ? len : sizeof shown), typed);
    hb_conf_print_shown(shown, HB_CONF_SHOWN_MAX, err);
    fprintf(err, ": %s\n", fault);
    load->usage_wrong = true;
}

static void complain_unknown(struct load *load, const char *typed, size_t len)
{
    char name[HB_CONF_NAME_SIZE], fault[HB_CONF_NAME_SIZE + 64];
    if (hb_conf_nearest_flag(load->conf, typed, len, name))
        snprintf(fault, sizeof fault, "is not an option, did you mean %s?", name);
    else
        snprintf(fault, sizeof fault, "is not an option");
    complain_usage(load, typed, len, fault);
}

/* A bool flag may stand alone: the next word is its value only if it can be one. */
static const char *text_of_next(const struct found *found, const char *next)
{
    bool value;
    const struct hb_conf_option probe = {.type = HB_CONF_BOOL};
    if (found->option->type == HB_CONF_BOOL && !found->file)
        return next && hb_conf_value_set(&probe, next, &value) == HB_OK ? next : NULL;
    return next && strncmp(next, "--", 2) != 0 ? next : NULL;
}

/* One flag and its value. Returns how many words of argv they took. */
static int take_flag(struct load *load, const char *word, const char *next)
{
    size_t len = strcspn(word, "=");
    const char *text = word[len] == '=' ? word + len + 1 : NULL;
    enum hb_conf_builtin builtin = hb_conf_find_builtin(word, len);
    struct found found = find_flag(load, word, len);
    int taken = 1;
    if (builtin != HB_CONF_BUILTIN_COUNT) {
        load->asked[builtin] = true;
        if (text)
            complain_usage(load, word, len, "takes no value");
    } else if (!found.option) {
        complain_unknown(load, word, len);
        taken += !text && next && strncmp(next, "--", 2) != 0; /* its value, most likely: one mistake, one sentence */
    } else {
        if (!text) {
            text = text_of_next(&found, next);
            taken += text != NULL;
        }
        if (!text && found.option->type == HB_CONF_BOOL && !found.file)
            text = "true";
        if (text)
            *found.given = (struct given){word, len, text}; /* the last of several wins */
        else
            complain_usage(load, word, len, "needs a value");
    }
    return taken;
}

static void read_argv(struct load *load, int argc, char **argv)
{
    for (int i = 1; i < argc;) {
        if (strncmp(argv[i], "--", 2) == 0 && argv[i][2] != '\0') {
            i += take_flag(load, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
        } else {
            complain_usage(load, argv[i], strlen(argv[i]), "is not expected here, options start with --");
            i++;
        }
    }
}

/* ---- one option ---- */

static void print_given(const struct given *given, bool secret, FILE *out)
{
    fprintf(out, "%.*s=", (int)given->label_len, given->label);
    if (secret)
        fputs("***", out);
    else
        hb_conf_print_shown(given->text, HB_CONF_SHOWN_MAX, out);
    fputs(": ", out);
}

/* Kubernetes sets <SERVICE>_PORT=tcp://10.0.0.3:6379 in every pod of a namespace that has a service of that name. */
static bool is_service_link(const struct hb_conf_option *option, const char *text)
{
    size_t len = strlen(option->name);
    return option->type == HB_CONF_INTEGER && option->max > 0 && len > 5 &&
           strcmp(option->name + len - 5, "_PORT") == 0 &&
           (strncmp(text, "tcp://", 6) == 0 || strncmp(text, "udp://", 6) == 0 || strncmp(text, "sctp://", 7) == 0);
}

static void complain_service_link(const struct hb_conf_option *option, FILE *err)
{
    fprintf(err, "looks like a Kubernetes service link, not a port: set %s to a number between ", option->name);
    hb_conf_print_number(option->min, err);
    fputs(" and ", err);
    hb_conf_print_number(option->max, err);
    fputs(", or enableServiceLinks: false on the pod\n", err);
}

/* text is what given says, or what the file holds that it names. */
static void set_value(struct load *load, const struct hb_conf_option *option, const struct setting *setting,
                      const struct given *given, const char *text)
{
    enum hb_err error = hb_conf_value_set(option, text, load->values);
    if (!error)
        return;
    load->values_wrong = true;
    FILE *err = begin_sentence(load);
    print_given(given, option->flags & HB_CONF_SECRET && !setting->file, err);
    if (error != HB_ERR_INVALID) {
        fprintf(err, "%s\n", hb_err_text(error));
    } else if (setting->origin == FROM_ENVIRONMENT && !setting->file && is_service_link(option, text)) {
        complain_service_link(option, err);
    } else {
        fputs(setting->file ? "its content " : "", err);
        hb_conf_value_print_rule(option, text, err);
        fputc('\n', err);
    }
}

static ssize_t read_whole(int fd, char *bytes, size_t size)
{
    size_t len = 0;
    while (len < size) {
        ssize_t now = read(fd, bytes + len, size - len);
        if (now < 0 && errno == EINTR)
            continue;
        if (now < 0)
            return -1;
        if (now == 0)
            break;
        len += (size_t)now;
    }
    return (ssize_t)len;
}

/* The file's text without its last newline. Returns what is wrong with it, or NULL; then *ret_errno may tell. */
static const char *read_secret(const char *path, char text[SECRET_FILE_MAX + 3], int *ret_errno)
{
    *ret_errno = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t len = fd >= 0 ? read_whole(fd, text, SECRET_FILE_MAX + 3) : -1;
    if (len < 0)
        *ret_errno = errno;
    if (fd >= 0)
        close(fd);
    if (len < 0)
        return NULL;
    if (len > 0 && text[len - 1] == '\n')
        len -= len > 1 && text[len - 2] == '\r' ? 2 : 1;
    if (len > SECRET_FILE_MAX)
        return "holds more than 4096 bytes";
    if (len == 0)
        return "is empty";
    text[len] = '\0';
    return strlen(text) == (size_t)len ? NULL : "holds a NUL byte";
}

static void set_from_file(struct load *load, const struct hb_conf_option *option, const struct setting *setting,
                          const struct given *given)
{
    char text[SECRET_FILE_MAX + 3];
    int error;
    const char *fault = read_secret(given->text, text, &error);
    if (fault || error) {
        load->values_wrong = true;
        FILE *err = begin_sentence(load);
        print_given(given, false, err);
        fprintf(err, "%s%s\n", fault ? fault : "cannot be read: ", fault ? "" : strerror(error));
    } else {
        set_value(load, option, setting, given, text);
    }
    explicit_bzero(text, sizeof text);
}

/* An empty variable counts as not set: compose files pass empty ones through. */
static struct given from_environment(const char *name)
{
    const char *text = getenv(name);
    return (struct given){name, strlen(name), text && text[0] != '\0' ? text : NULL};
}

static void resolve(struct load *load, const struct hb_conf_option *option, struct setting *setting)
{
    char file_name[HB_CONF_NAME_SIZE];
    snprintf(file_name, sizeof file_name, "%s_FILE", option->name);
    struct given plain = setting->flag, file = setting->flag_file;
    setting->origin = FROM_FLAG;
    if (!plain.text && !file.text) {
        setting->origin = FROM_ENVIRONMENT;
        plain = from_environment(option->name);
        if (option->flags & HB_CONF_FROM_FILE)
            file = from_environment(file_name);
    }
    if (plain.text && file.text) {
        fprintf(begin_sentence(load), "%.*s and %.*s: both are set, set only one of them\n", (int)plain.label_len,
                plain.label, (int)file.label_len, file.label);
        load->values_wrong = true;
    } else if (file.text) {
        setting->file = file.text;
        set_from_file(load, option, setting, &file);
    } else if (plain.text) {
        set_value(load, option, setting, &plain, plain.text);
    } else {
        setting->origin = FROM_DEFAULT;
        plain.text = option->default_value;
        if (plain.text)
            set_value(load, option, setting, &plain, plain.text);
    }
}

/* ---- the whole ---- */

static void check_across(struct load *load)
{
    if (!load->conf->check)
        return;
    struct hb_buf sentences;
    hb_buf_init(&sentences, RULES_TEXT_MAX);
    load->conf->check(load->values, &sentences);
    enum hb_err error = hb_buf_status(&sentences);
    for (char *at = sentences.bytes; at && *at != '\0';) {
        char *next = at + strcspn(at, "\n");
        if (*next == '\n')
            *next++ = '\0';
        FILE *err = begin_sentence(load);
        hb_conf_print_shown(at, SIZE_MAX, err); /* a rule may repeat a value from outside */
        fputc('\n', err);
        load->values_wrong = true;
        at = next;
    }
    if (error) {
        fprintf(begin_sentence(load), "the rules of the configuration could not be checked: %s\n", hb_err_text(error));
        load->values_wrong = true;
    }
    hb_buf_free(&sentences);
}

static const char *origin_text(const struct setting *setting)
{
    if (setting->file)
        return "file";
    static const char *const texts[] = {"default", "environment", "flag"};
    return texts[setting->origin];
}

static void print_values(const struct load *load)
{
    int width = 0;
    for (size_t i = 0; i < load->conf->option_count; i++) {
        int len = (int)strlen(load->conf->options[i].name);
        width = len > width ? len : width;
    }
    for (size_t i = 0; i < load->conf->option_count; i++) {
        const struct hb_conf_option *option = &load->conf->options[i];
        const struct setting *setting = &load->settings[i];
        fprintf(load->out, "%-*s  %-11s  ", width, option->name, origin_text(setting));
        hb_conf_value_print(option, load->values, load->out);
        if (setting->file) {
            fputs(" (", load->out);
            hb_conf_print_shown(setting->file, SIZE_MAX, load->out);
            fputc(')', load->out);
        }
        fputc('\n', load->out);
    }
    fputs("configuration ok\n", load->out);
}

/* Help and version answer at once, whatever else is wrong: that may be why somebody asks. */
static bool print_asked(const struct load *load, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        switch (hb_conf_find_builtin(argv[i], strlen(argv[i]))) {
        case HB_CONF_BUILTIN_HELP:
            hb_conf_print_help(load->conf, load->out);
            return true;
        case HB_CONF_BUILTIN_MARKDOWN:
            hb_conf_print_markdown(load->conf, load->out);
            return true;
        case HB_CONF_BUILTIN_VERSION:
            fprintf(load->out, "%s %s\n", load->conf->program, load->conf->version);
            return true;
        default:
            break;
        }
    }
    return false;
}

static enum hb_conf_outcome load_values(struct load *load, int argc, char **argv)
{
    read_argv(load, argc, argv);
    for (size_t i = 0; i < load->conf->option_count; i++)
        resolve(load, &load->conf->options[i], &load->settings[i]);
    if (!load->usage_wrong && !load->values_wrong && !load->asked[HB_CONF_BUILTIN_HEALTH])
        check_across(load); /* who only asks its sibling needs to know where it listens, and no more */
    if (load->usage_wrong || load->values_wrong) {
        fprintf(load->err, "Run '%s --help' to see all options.\n", load->conf->program);
        return load->usage_wrong ? HB_CONF_EXIT_USAGE : HB_CONF_EXIT_CONFIG;
    }
    if (load->asked[HB_CONF_BUILTIN_CHECK]) {
        print_values(load);
        return HB_CONF_EXIT_OK;
    }
    return load->asked[HB_CONF_BUILTIN_HEALTH] ? HB_CONF_HEALTH : HB_CONF_RUN;
}

enum hb_conf_outcome hb_conf_load(const struct hb_conf *conf, int argc, char **argv, void *values, FILE *out, FILE *err)
{
    struct load load = {.conf = conf, .values = values, .out = out, .err = err};
    if (print_asked(&load, argc, argv))
        return HB_CONF_EXIT_OK;
    load.settings = calloc(conf->option_count + 1, sizeof *load.settings); /* never of size 0 */
    if (!load.settings) {
        fprintf(begin_sentence(&load), "%s\n", hb_err_text(HB_ERR_NO_MEMORY));
        return HB_CONF_EXIT_CONFIG;
    }
    enum hb_conf_outcome outcome = load_values(&load, argc, argv);
    free(load.settings);
    return outcome;
}

void hb_conf_free(const struct hb_conf *conf, void *values)
{
    for (size_t i = 0; i < conf->option_count; i++)
        hb_conf_value_free(&conf->options[i], values);
}
