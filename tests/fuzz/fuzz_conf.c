/*
 * fuzz_conf: environment and argv to a configuration, for the manager's table, the worker's, and one of all types.
 *
 * The input is a script of lines:
 *
 *   m | w | t          which table; the last one counts
 *   e NAME=value       an environment variable of that table (others are left out)
 *   a word             a word of argv
 *   s e|f|c|= value    the table's secret: as variable, as flag, as content of its file, as --flag=value
 *
 * Promises: either a configuration whose every value keeps its rule, with nothing on the error output, or at least one
 * sentence for each fault, that names where the value came from. What a secret holds is never printed. For the table of
 * all types "keeps its rule" is worked out a second time here, with strtod.
 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#include "manager/config.h"
#include "tests/fuzz/fuzz.h"
#include "worker/config.h"

#define WORDS_MAX 32
#define TEXT_MAX 8192
#define MARK "Zq7#" /* how every secret begins, and nothing else */

/* ---- the table of all types ---- */

struct typed {
    char *text;
    char *secret;
    int64_t integer;
    int64_t duration;
    double number;
    bool flag;
    int word;
    int64_t plain_duration;
};

static const char *const words[] = {"debug", "info", "I", NULL};

#define AT(field) offsetof(struct typed, field)
static const struct hb_conf_option typed_options[] = {
    {.name = "T_TEXT",
     .type = HB_CONF_TEXT,
     .offset = AT(text),
     .default_value = "text",
     .min = 2,
     .max = 5,
     .help = "text|"},
    {.name = "T_SECRET",
     .type = HB_CONF_TEXT,
     .offset = AT(secret),
     .min = 6,
     .max = 40,
     .flags = HB_CONF_SECRET | HB_CONF_FROM_FILE,
     .help = "secret"},
    {.name = "T_PORT",
     .type = HB_CONF_INTEGER,
     .offset = AT(integer),
     .default_value = "7",
     .min = 1,
     .max = 65535,
     .help = "h"},
    {.name = "T_DURATION",
     .type = HB_CONF_DURATION,
     .offset = AT(duration),
     .default_value = "1",
     .min = 0.1,
     .max = 60,
     .help = "h"},
    {.name = "T_NUMBER",
     .type = HB_CONF_NUMBER,
     .offset = AT(number),
     .default_value = "0",
     .min = -1.5,
     .max = 2.5,
     .help = "h"},
    {.name = "T_FLAG", .type = HB_CONF_BOOL, .offset = AT(flag), .alias = "--tf", .help = "h"},
    {.name = "T_WORD", .type = HB_CONF_WORD, .offset = AT(word), .default_value = "info", .words = words, .help = "h"},
    {.name = "T_PLAIN", .type = HB_CONF_DURATION, .offset = AT(plain_duration), .help = "h"},
};

static const struct hb_conf typed_conf = {
    .program = "typed",
    .version = "1",
    .summary = "All types.",
    .options = typed_options,
    .option_count = sizeof typed_options / sizeof typed_options[0],
};

/* ---- the environment: of its own, since glibc never gives back what setenv took ---- */

#define VARIABLES_MAX 32

static struct {
    char *name, *value;
} environment[VARIABLES_MAX];

char *__wrap_getenv(const char *name);
char *__real_getenv(const char *name);

char *__wrap_getenv(const char *name)
{
    for (size_t i = 0; i < VARIABLES_MAX && environment[i].name != NULL; i++) {
        if (strcmp(environment[i].name, name) == 0)
            return environment[i].value;
    }
    return strncmp(name, "HB_FUZZ_", 8) == 0 || strncmp(name, "ASAN_", 5) == 0 ? __real_getenv(name) : NULL;
}

static void set_environment(const char *name, const char *value)
{
    size_t i = 0;

    while (i < VARIABLES_MAX - 1 && environment[i].name != NULL && strcmp(environment[i].name, name) != 0)
        i++;
    free(environment[i].name);
    free(environment[i].value);
    environment[i].name = strdup(name);
    environment[i].value = strdup(value);
    fuzz_trace("%s='%s'", name, value);
}

static void clear_environment(void)
{
    for (size_t i = 0; i < VARIABLES_MAX; i++) {
        free(environment[i].name);
        free(environment[i].value);
        environment[i].name = environment[i].value = NULL;
    }
}

/* ---- one load ---- */

struct table {
    char letter;
    const char *program;
    const char *secret; /* the variable; NULL none */
    const char *const *names;
    enum hb_conf_outcome (*load)(void *values, int argc, char **argv, FILE *out, FILE *err);
    void (*check)(const void *values);
    void (*free)(void *values);
};

struct load {
    const struct table *table;
    int argc;
    char *argv[WORDS_MAX + 1];
    int file; /* the secret's content; -1 none */
    char *out, *err;
    size_t out_len, err_len;
    enum hb_conf_outcome outcome;
    union {
        struct hb_manager_config manager;
        struct hb_worker_config worker;
        struct typed typed;
    } values;
};

static enum hb_conf_outcome load_manager(void *values, int argc, char **argv, FILE *out, FILE *err)
{
    return hb_manager_config_load(values, argc, argv, out, err);
}

static void between(const char *what, int64_t value, int64_t min, int64_t max)
{
    FUZZ_CHECK(value >= min && value <= max, "%s is %lld", what, (long long)value);
}

static void check_manager(const void *values)
{
    const struct hb_manager_config *c = values;

    between("REDIS_PORT", c->redis_port, 1, 65535);
    between("MANAGER_PORT", c->manager_port, 1, 65535);
    between("HEARTBEAT_TIMEOUT", c->heartbeat_timeout_ms, 100, 86400000);
    between("RESTART_GRACE", c->restart_grace_ms, 100, 2 * 86400000);
    between("DISCONNECT_GRACE", c->disconnect_grace_ms, 0, 86400000);
    between("REDIS_FLUSH_INTERVAL", c->redis_flush_interval_ms, 50, 60000);
    between("MAX_WORKERS", c->max_workers, 1, 10000000);
    FUZZ_CHECK(c->reap_after_ms == 0 || c->reap_after_ms >= c->heartbeat_timeout_ms, "REAP_AFTER below the timeout");
    FUZZ_CHECK(c->redis_username == NULL || c->redis_password != NULL, "a user without a password");
    FUZZ_CHECK(c->manager_id != NULL && strlen(c->manager_id) <= 64 && strpbrk(c->manager_id, " /\"") == NULL, "id");
    FUZZ_CHECK(c->redis_host != NULL && c->redis_host[0] != '\0' && c->bind_host != NULL, "no host");
}

static void free_manager(void *values)
{
    hb_manager_config_free(values);
}

static enum hb_conf_outcome load_worker(void *values, int argc, char **argv, FILE *out, FILE *err)
{
    return hb_worker_config_load(values, argc, argv, out, err);
}

static void check_worker(const void *values)
{
    const struct hb_worker_config *c = values;

    between("WORKER_PORT", c->worker_port, 1, 65535);
    between("MANAGER_PORT", c->manager_port, 1, 65535);
    between("HEARTBEAT_INTERVAL", c->heartbeat_interval_ms, 100, 86400000);
    between("RECONNECT_MAX", c->reconnect_max_ms, 100, 3600000);
    between("DRAIN_SECONDS", c->drain_ms, 0, 3600000);
    FUZZ_CHECK(c->worker_name != NULL && strlen(c->worker_name) <= 128 && c->worker_name[0] != '\0', "name");
    FUZZ_CHECK(c->worker_id != NULL && strlen(c->worker_id) <= 64 && strpbrk(c->worker_id, " /\"") == NULL, "id");
    FUZZ_CHECK(c->attributes_json != NULL && c->attributes_json[0] == '{', "attributes");
}

static void free_worker(void *values)
{
    hb_worker_config_free(values);
}

static enum hb_conf_outcome load_typed(void *values, int argc, char **argv, FILE *out, FILE *err)
{
    return hb_conf_load(&typed_conf, argc, argv, values, out, err);
}

static void check_typed(const void *values)
{
    const struct typed *t = values;

    FUZZ_CHECK(strlen(t->text) >= 2 && strlen(t->text) <= 5, "T_TEXT is '%s'", t->text);
    FUZZ_CHECK(t->secret == NULL || (strlen(t->secret) >= 6 && strlen(t->secret) <= 40), "T_SECRET");
    between("T_PORT", t->integer, 1, 65535);
    between("T_DURATION", t->duration, 100, 60000);
    FUZZ_CHECK(t->number >= -1.5 && t->number <= 2.5, "T_NUMBER is %g", t->number);
    between("T_WORD", t->word, 0, 2);
    between("T_PLAIN", t->plain_duration, 0, INT64_C(1000000000000));
}

static void free_typed(void *values)
{
    hb_conf_free(&typed_conf, values);
}

static const char *const manager_names[] = {
    "REDIS_HOST",  "REDIS_PORT",      "REDIS_DB",   "REDIS_USERNAME",   "REDIS_FLUSH_INTERVAL", "HEARTBEAT_TIMEOUT",
    "BIND_HOST",   "MANAGER_PORT",    "MANAGER_ID", "DISCONNECT_GRACE", "RESTART_GRACE",        "REAP_AFTER",
    "MAX_WORKERS", "ALLOWED_ORIGINS", "LOG_LEVEL",  "LOG_FORMAT",       "REDIS_PASSWORD",       "REDIS_PASSWORD_FILE",
    NULL};
static const char *const worker_names[] = {"WORKER_NAME",        "WORKER_PORT", "MANAGER_HOST",     "MANAGER_PORT",
                                           "HEARTBEAT_INTERVAL", "WORKER_ID",   "WORKER_HOST",      "BIND_HOST",
                                           "WORKER_ATTRIBUTES",  "WORKER_POLL", "WORKER_BEHAVIOUR", "RECONNECT_MAX",
                                           "DRAIN_SECONDS",      "LOG_LEVEL",   "LOG_FORMAT",       NULL};
static const char *const typed_names[] = {"T_TEXT", "T_PORT",  "T_DURATION", "T_NUMBER",      "T_FLAG",
                                          "T_WORD", "T_PLAIN", "T_SECRET",   "T_SECRET_FILE", NULL};

static const struct table tables[] = {
    {'m', "heartbeat-manager", "REDIS_PASSWORD", manager_names, load_manager, check_manager, free_manager},
    {'w', "heartbeat-worker", NULL, worker_names, load_worker, check_worker, free_worker},
    {'t', "typed", "T_SECRET", typed_names, load_typed, check_typed, free_typed},
};

/* ---- what the types mean, once more ---- */

/* [-]digits[.digits] as a double; false when it is written in another way. */
static bool decimal(const char *text, double *ret_number)
{
    const char *at = text + (*text == '-');
    size_t whole = strspn(at, "0123456789"), fraction = 0;

    at += whole;
    if (*at == '.')
        fraction = strspn(++at, "0123456789"), at += fraction;
    *ret_number = strtod(text, NULL);
    return *at == '\0' && whole + fraction > 0;
}

static bool one_of(const char *text, const char *const *list)
{
    for (; *list != NULL; list++) {
        if (strcasecmp(text, *list) == 0)
            return true;
    }
    return false;
}

/* 1 good, 0 faulty, -1 too near to a bound for this arithmetic to tell. */
static int judge(const char *name, const char *text)
{
    static const char *const bools[] = {"0", "1", "true", "false", "yes", "no", "on", "off", NULL};
    double number;
    bool plain = decimal(text, &number);

    if (strcmp(name, "T_TEXT") == 0)
        return strlen(text) >= 2 && strlen(text) <= 5;
    if (strcmp(name, "T_PORT") == 0) {
        size_t sign = text[0] == '-';

        return text[sign] != '\0' && strspn(text + sign, "0123456789") == strlen(text + sign) && number >= 1 &&
               number <= 65535;
    }
    if (strcmp(name, "T_FLAG") == 0)
        return one_of(text, bools);
    if (strcmp(name, "T_WORD") == 0)
        return one_of(text, words);
    if (strcmp(name, "T_NUMBER") == 0)
        return fabs(number + 1.5) < 1e-8 || fabs(number - 2.5) < 1e-8 ? -1 : plain && number > -1.5 && number < 2.5;
    if (text[0] == '-')
        return 0; /* no time runs backwards */
    if (strcmp(name, "T_DURATION") == 0)
        return fabs(number - 0.1) < 1e-8 || fabs(number - 60) < 1e-3 ? -1 : plain && number > 0.1 && number < 60;
    return fabs(number - 1e9) < 1 ? -1 : plain && number < 1e9;
}

/* Whether a sentence is about that variable: a value may repeat the words. */
static bool complains_of(const struct load *load, const char *name)
{
    char label[64];

    snprintf(label, sizeof label, "typed: %s=", name);
    for (const char *line = load->err; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, label, strlen(label)) == 0)
            return true;
    }
    return false;
}

/* Of the typed table, when no flag interferes: each faulty variable has its sentence, and if none is, none is refused.
 */
static void check_judgement(const struct load *load)
{
    bool unsure = false, faulty = false;

    for (const char *const *name = typed_names; *name != NULL && strcmp(*name, "T_SECRET") != 0; name++) {
        const char *text = getenv(*name);
        int verdict = text == NULL || text[0] == '\0' ? 1 : judge(*name, text);
        bool complaint = complains_of(load, *name);

        FUZZ_CHECK(verdict != 0 || complaint, "no sentence for %s=%s", *name, text);
        FUZZ_CHECK(verdict != 1 || !complaint, "%s=%s is good, yet: %s", *name, text, load->err);
        unsure |= verdict < 0;
        faulty |= verdict == 0;
    }
    if (getenv("T_SECRET") == NULL && getenv("T_SECRET_FILE") == NULL && !unsure)
        FUZZ_CHECK((load->outcome == HB_CONF_EXIT_CONFIG) == faulty, "outcome %d: %s", (int)load->outcome, load->err);
}

/* ---- the script ---- */

static bool known(const struct table *table, struct hb_text name)
{
    for (const char *const *at = table->names; *at != NULL; at++) {
        if (hb_text_equal(hb_text_of(*at), name))
            return true;
    }
    return false;
}

static bool has_mark(struct hb_text text)
{
    return memmem(text.bytes, text.len, MARK, sizeof MARK - 1) != NULL;
}

static void set_variable(const struct table *table, struct hb_text assignment)
{
    const char *equals = memchr(assignment.bytes, '=', assignment.len);
    struct hb_text name = {assignment.bytes, equals != NULL ? (size_t)(equals - assignment.bytes) : assignment.len};
    char *copy;

    if (equals == NULL || !known(table, name) || has_mark(assignment))
        return;
    /* A file's path is the harness's to choose: what lies on this machine is nobody's business. */
    if (name.len > 5 && memcmp(name.bytes + name.len - 5, "_FILE", 5) == 0)
        return;
    if (table->secret != NULL && hb_text_equal(name, hb_text_of(table->secret)))
        return;
    copy = strndup(assignment.bytes, assignment.len);
    copy[name.len] = '\0';
    set_environment(copy, copy + name.len + 1);
    free(copy);
}

static void add_word(struct load *load, struct hb_text word)
{
    struct hb_text name = {word.bytes, 0};

    while (name.len < word.len && word.bytes[name.len] != '=')
        name.len++;
    if (load->argc == WORDS_MAX || has_mark(word) || (name.len > 5 && memmem(name.bytes, name.len, "-file", 5) != NULL))
        return;
    load->argv[load->argc++] = strndup(word.bytes, word.len);
    fuzz_trace("argv: '%s'", load->argv[load->argc - 1]);
}

/* "REDIS_PASSWORD" gives "--redis-password" */
static void flag_of(const char *name, char out[64])
{
    size_t len = (size_t)snprintf(out, 64, "--%s", name);

    for (size_t i = 0; i < len; i++)
        out[i] = out[i] == '_' ? '-' : (char)tolower((unsigned char)out[i]);
}

static void write_secret_file(struct load *load, const char *secret)
{
    char name[64], path[32];

    if (load->file >= 0)
        return;
    load->file = memfd_create("secret", MFD_CLOEXEC);
    FUZZ_CHECK(load->file >= 0 && write(load->file, secret, strlen(secret)) == (ssize_t)strlen(secret), "memfd");
    snprintf(path, sizeof path, "/proc/self/fd/%d", load->file);
    snprintf(name, sizeof name, "%s_FILE", load->table->secret);
    set_environment(name, path);
}

static void set_secret(struct load *load, struct hb_text how, struct hb_text value)
{
    char flag[64];
    struct hb_buf buf;

    if (load->table->secret == NULL || load->argc + 2 > WORDS_MAX || how.len != 1)
        return;
    hb_buf_init(&buf, TEXT_MAX);
    flag_of(load->table->secret, flag);
    if (how.bytes[0] == '=')
        hb_buf_printf(&buf, "%s=", flag);
    hb_buf_append_str(&buf, MARK);
    hb_buf_append(&buf, value.bytes, strnlen(value.bytes, value.len));
    if (hb_buf_status(&buf) == HB_OK) {
        fuzz_trace("secret (%c): '%s'", how.bytes[0], buf.bytes);
        switch (how.bytes[0]) {
        case 'e':
            set_environment(load->table->secret, buf.bytes);
            break;
        case 'f':
            load->argv[load->argc++] = strdup(flag);
            load->argv[load->argc++] = strdup(buf.bytes);
            break;
        case '=':
            load->argv[load->argc++] = strdup(buf.bytes);
            break;
        case 'c':
            write_secret_file(load, buf.bytes);
            break;
        default:
            break;
        }
    }
    hb_buf_free(&buf);
}

static void choose_table(struct load *load, struct fuzz_input input)
{
    struct hb_text line;

    while (fuzz_line(&input, &line)) {
        for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
            if (line.len == 1 && line.bytes[0] == tables[i].letter)
                load->table = &tables[i];
        }
    }
}

static void read_script(struct load *load, struct fuzz_input input)
{
    struct hb_text line;

    while (fuzz_line(&input, &line)) {
        struct hb_text verb;

        if (memchr(line.bytes, '\0', line.len) != NULL)
            continue;
        verb = fuzz_word(&line);
        if (hb_text_equal(verb, HB_TEXT("e")))
            set_variable(load->table, line);
        else if (hb_text_equal(verb, HB_TEXT("a")))
            add_word(load, line);
        else if (hb_text_equal(verb, HB_TEXT("s")))
            set_secret(load, fuzz_word(&line), line);
    }
}

/* ---- the promises ---- */

/* Every line is a sentence of the program's, or the advice at the end. */
static void check_errors(const struct load *load)
{
    size_t sentences = 0;

    for (const char *at = load->err; *at != '\0';) {
        size_t len = strcspn(at, "\n"), program = strlen(load->table->program);

        for (size_t i = 0; i < len; i++)
            FUZZ_CHECK((unsigned char)at[i] >= 0x20 && at[i] != 0x7f, "control character %d on the error output",
                       at[i]);
        if (strncmp(at, load->table->program, program) == 0 && strncmp(at + program, ": ", 2) == 0)
            sentences++;
        else
            FUZZ_CHECK(strncmp(at, "Run '", 5) == 0, "what is this: %.*s", (int)len, at);
        FUZZ_CHECK(at[len] == '\n', "the last line is not ended");
        at += len + 1;
    }
    FUZZ_CHECK(sentences > 0, "refused without a sentence");
}

static void check(const struct load *load)
{
    fuzz_trace("outcome %d\n%s%s", (int)load->outcome, load->out, load->err);
    FUZZ_CHECK(strstr(load->out, MARK) == NULL && strstr(load->err, MARK) == NULL, "a secret was printed: %s%s",
               load->out, load->err);
    switch (load->outcome) {
    case HB_CONF_RUN:
    case HB_CONF_HEALTH:
        FUZZ_CHECK(load->out_len == 0 && load->err_len == 0, "printed, yet good: %s%s", load->out, load->err);
        if (load->outcome == HB_CONF_RUN)
            load->table->check(&load->values);
        break;
    case HB_CONF_EXIT_OK:
        FUZZ_CHECK(load->out_len > 0 && load->err_len == 0, "EXIT_OK with '%s'", load->err);
        break;
    default:
        FUZZ_CHECK(load->out_len == 0, "refused, yet printed: %s", load->out);
        check_errors(load);
        break;
    }
    if (load->table->letter == 't' && load->argc == 1)
        check_judgement(load);
}

void fuzz_one(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, data + size};
    struct load load = {.table = &tables[2], .file = -1};
    FILE *out, *err;

    choose_table(&load, input);
    load.argv[load.argc++] = strdup(load.table->program);
    read_script(&load, input);
    out = open_memstream(&load.out, &load.out_len);
    err = open_memstream(&load.err, &load.err_len);
    load.outcome = load.table->load(&load.values, load.argc, load.argv, out, err);
    fclose(out);
    fclose(err);
    check(&load);
    load.table->free(&load.values);
    free(load.out);
    free(load.err);
    for (int i = 0; i < load.argc; i++)
        free(load.argv[i]);
    if (load.file >= 0)
        close(load.file);
    clear_environment();
}
