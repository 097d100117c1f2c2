/*
 * conf: each type, each source, each sentence word for word. An operator meets these sentences first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/conf.h"

struct values {
    char *redis_host;
    int64_t redis_port;
    char *redis_password;
    int64_t timeout_ms;
    int64_t drain_ms;
    double error_rate;
    bool access_log;
    int level;
    char *id;
    int64_t offset;
    int64_t at_least;
};

static const char *const levels[] = {"debug", "info", "warn", "error", NULL};

static const char *check_id(const char *value)
{
    return strchr(value, ' ') ? "must be made of letters, digits and . _ : -" : NULL;
}

#define FIELD(name) offsetof(struct values, name)

static const struct hb_conf_option options[] = {
    {"REDIS_HOST", HB_CONF_TEXT, FIELD(redis_host), "localhost", 1, 255, NULL, 0, NULL, NULL, "where Redis listens"},
    {"REDIS_PORT", HB_CONF_INTEGER, FIELD(redis_port), "6379", 1, 65535, NULL, 0, "--port", NULL, "its port"},
    {"REDIS_PASSWORD", HB_CONF_TEXT, FIELD(redis_password), NULL, 4, 4096, NULL, HB_CONF_SECRET | HB_CONF_FROM_FILE,
     NULL, NULL, "password of the user"},
    {"HEARTBEAT_TIMEOUT", HB_CONF_DURATION, FIELD(timeout_ms), "15", 0.1, 86400, NULL, 0, NULL, NULL,
     "silence that means down"},
    {"DRAIN_SECONDS", HB_CONF_DURATION, FIELD(drain_ms), NULL, 0, 0, NULL, 0, NULL, NULL, "time to drain"},
    {"ERROR_RATE", HB_CONF_NUMBER, FIELD(error_rate), "0.1", 0, 1, NULL, 0, NULL, NULL, "share that is degraded"},
    {"ACCESS_LOG", HB_CONF_BOOL, FIELD(access_log), "0", 0, 0, NULL, 0, NULL, NULL, "log requests a|b"},
    {"LOG_LEVEL", HB_CONF_WORD, FIELD(level), "info", 0, 0, levels, 0, NULL, NULL, "least level logged"},
    {"MANAGER_ID", HB_CONF_TEXT, FIELD(id), NULL, 1, 16, NULL, 0, NULL, check_id, "name of this one"},
    {"OFFSET", HB_CONF_INTEGER, FIELD(offset), NULL, 0, 0, NULL, 0, NULL, NULL, "any whole number"},
    {"AT_LEAST", HB_CONF_INTEGER, FIELD(at_least), "10", 10, 0, NULL, 0, NULL, NULL, "ten or more"},
};

static void check_values(const void *values, struct hb_buf *sentences)
{
    const struct values *v = values;
    if (v->drain_ms > v->timeout_ms)
        hb_buf_append_str(sentences, "DRAIN_SECONDS: must not be above HEARTBEAT_TIMEOUT\n");
    if (v->offset == 13)
        hb_buf_append_str(sentences, "OFFSET=13: brings\x1b[2J bad luck\n");
}

static const struct hb_conf conf = {
    .program = "heartbeat-manager",
    .version = "0.1.0",
    .summary = "Knows which workers are alive.",
    .examples = "Examples:\n  REDIS_HOST=redis heartbeat-manager\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .check = check_values,
};

static struct values values;
static enum hb_conf_outcome outcome;
static char *out_text, *err_text;

/* Clean environment, nothing loaded. */
static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < conf.option_count; i++)
        unsetenv(options[i].name);
    unsetenv("REDIS_PASSWORD_FILE");
    memset(&values, 0, sizeof values);
    out_text = err_text = NULL;
    return 0;
}

static void forget(void)
{
    hb_conf_free(&conf, &values);
    memset(&values, 0, sizeof values);
    free(out_text);
    free(err_text);
    out_text = err_text = NULL;
}

static int tear_down(void **state)
{
    (void)state;
    forget();
    return 0;
}

static void load_argv(int argc, char **argv)
{
    size_t out_size, err_size;
    forget();
    FILE *out = open_memstream(&out_text, &out_size);
    FILE *err = open_memstream(&err_text, &err_size);
    assert_true(out && err);
    outcome = hb_conf_load(&conf, argc, argv, &values, out, err);
    fclose(out);
    fclose(err);
}

/* load("--a", "b"): as if typed after the program's name. */
#define load(...)                                                                                                      \
    do {                                                                                                               \
        const char *words[] = {"heartbeat-manager", __VA_ARGS__};                                                      \
        char *copies[sizeof words / sizeof words[0] + 1] = {NULL};                                                     \
        for (size_t w = 0; w < sizeof words / sizeof words[0]; w++)                                                    \
            copies[w] = strdup(words[w]);                                                                              \
        load_argv((int)(sizeof words / sizeof words[0]), copies);                                                      \
        for (size_t w = 0; w < sizeof words / sizeof words[0]; w++)                                                    \
            free(copies[w]);                                                                                           \
    } while (0)

static void load_plain(void)
{
    char name[] = "heartbeat-manager", *argv[] = {name, NULL};
    load_argv(1, argv);
}

#define AFTERWORD "Run 'heartbeat-manager --help' to see all options.\n"

static void assert_refused(enum hb_conf_outcome expected, const char *sentences)
{
    char whole[4096];
    snprintf(whole, sizeof whole, "%s" AFTERWORD, sentences);
    assert_string_equal(err_text, whole);
    assert_string_equal(out_text, "");
    assert_int_equal(outcome, expected);
}

static void assert_runs(void)
{
    assert_string_equal(err_text, "");
    assert_string_equal(out_text, "");
    assert_int_equal(outcome, HB_CONF_RUN);
}

/* One variable with one bad value, and the sentence that it earns. */
static void assert_bad(const char *name, const char *value, const char *rule)
{
    char sentence[1024];
    setenv(name, value, 1);
    load_plain();
    snprintf(sentence, sizeof sentence, "heartbeat-manager: %s=%s: %s\n", name, value, rule);
    assert_refused(HB_CONF_EXIT_CONFIG, sentence);
    unsetenv(name);
}

static void test_defaults(void **state)
{
    (void)state;
    load_plain();
    assert_runs();
    assert_string_equal(values.redis_host, "localhost");
    assert_int_equal(values.redis_port, 6379);
    assert_null(values.redis_password);
    assert_int_equal(values.timeout_ms, 15000);
    assert_int_equal(values.drain_ms, 0);
    assert_true(values.error_rate == 0.1);
    assert_false(values.access_log);
    assert_int_equal(values.level, 1);
    assert_null(values.id);
}

static void test_precedence(void **state)
{
    (void)state;
    setenv("REDIS_HOST", "from-env", 1);
    setenv("REDIS_PORT", "7000", 1);
    load("--redis-port=7001", "--heartbeat-timeout", "2.5");
    assert_runs();
    assert_string_equal(values.redis_host, "from-env");
    assert_int_equal(values.redis_port, 7001);
    assert_int_equal(values.timeout_ms, 2500);

    setenv("REDIS_PORT", "not looked at", 1);
    load("--redis-port=1", "--redis-port=2");
    assert_runs();
    assert_int_equal(values.redis_port, 2); /* the last one wins */
}

static void test_alias(void **state)
{
    (void)state;
    load("--port", "7002");
    assert_runs();
    assert_int_equal(values.redis_port, 7002);
    load("--port=0");
    assert_refused(HB_CONF_EXIT_CONFIG, "heartbeat-manager: --port=0: must be a whole number between 1 and 65535\n");
}

static void test_empty_variable_is_not_set(void **state)
{
    (void)state;
    for (size_t i = 0; i < conf.option_count; i++)
        setenv(options[i].name, "", 1);
    setenv("REDIS_PASSWORD_FILE", "", 1);
    load_plain();
    assert_runs();
    assert_string_equal(values.redis_host, "localhost");
    assert_int_equal(values.redis_port, 6379);
    assert_null(values.redis_password);
}

static void test_empty_flag(void **state)
{
    (void)state;
    setenv("MANAGER_ID", "m1", 1);
    load("--manager-id=");
    assert_runs();
    assert_null(values.id); /* back to none */
    load("--redis-host=", "--redis-port=");
    assert_refused(HB_CONF_EXIT_CONFIG,
                   "heartbeat-manager: --redis-host=: must not be empty\n"
                   "heartbeat-manager: --redis-port=: must be a whole number between 1 and 65535\n");
}

static void test_integers(void **state)
{
    (void)state;
    const char *rule = "must be a whole number between 1 and 65535";
    const char *const bad[] = {
        "0", "65536", "-1", "abc", "80a", " 80", "80 ", "+80", "0x50", "8.0", "1e3", "-", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_bad("REDIS_PORT", bad[i], rule);
    assert_bad("OFFSET", "x", "must be a whole number");
    assert_bad("OFFSET", "9223372036854775808", "must be a whole number");
    assert_bad("AT_LEAST", "9", "must be a whole number, 10 or more");
    setenv("OFFSET", "-9223372036854775808", 1);
    setenv("REDIS_PORT", "00080", 1);
    setenv("AT_LEAST", "123456789012", 1);
    load_plain();
    assert_runs();
    assert_true(values.offset == INT64_MIN);
    assert_int_equal(values.redis_port, 80);
    assert_true(values.at_least == INT64_C(123456789012));
}

static void test_durations(void **state)
{
    (void)state;
    const char *rule = "must be a number of seconds between 0.1 and 86400";
    const char *const bad[] = {"abc",
                               "nan",
                               "inf",
                               "-inf",
                               "0x10",
                               "1e1",
                               "15s",
                               "15 ",
                               " 15",
                               "+15",
                               "-15",
                               "-0.5",
                               ".",
                               "-",
                               "1..5",
                               "1.5.",
                               "1,5",
                               "0",
                               "0.0",
                               "0.09",
                               "--1",
                               "0.0999999999",
                               "86400.001",
                               "86400.0000000001",
                               "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_bad("HEARTBEAT_TIMEOUT", bad[i], rule);
    const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0.1", 100},    {"86400", 86400000}, {"1.5", 1500}, {".5", 500},    {"5.", 5000},
                {"0015", 15000}, {"2.0015", 2002},    {"0.25", 250}, {"0.999", 999}, {"2.50000000000000", 2500}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        setenv("HEARTBEAT_TIMEOUT", good[i].text, 1);
        load_plain();
        assert_runs();
        assert_int_equal(values.timeout_ms, good[i].ms);
    }
}

static void test_unbounded_duration(void **state)
{
    (void)state;
    assert_bad("DRAIN_SECONDS", "-1", "must be a number of seconds between 0 and 1000000000");
    assert_bad("DRAIN_SECONDS", "1000000000.1", "must be a number of seconds between 0 and 1000000000");
    setenv("DRAIN_SECONDS", "0.0000000000001", 1); /* above 0 never becomes 0, which often means "off" */
    load_plain();
    assert_runs();
    assert_int_equal(values.drain_ms, 1);
}

static void test_numbers(void **state)
{
    (void)state;
    const char *const bad[] = {"1.1", "-0.1", "nan", "inf", "ten", "0,5", "1e-1", "0x1p-1", "0.5%"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_bad("ERROR_RATE", bad[i], "must be a number between 0 and 1");
    setenv("ERROR_RATE", "0.25", 1);
    load_plain();
    assert_runs();
    assert_true(values.error_rate == 0.25);
}

/* In German 0.5 is written 0,5; a configuration is not German. */
static void test_locale_changes_nothing(void **state)
{
    (void)state;
    const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8", "tr_TR.UTF-8"};
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !found; i++)
        found = setlocale(LC_ALL, names[i]) != NULL;
    if (!found)
        skip(); /* this machine knows no such locale */
    assert_bad("ERROR_RATE", "0,5", "must be a number between 0 and 1");
    assert_bad("HEARTBEAT_TIMEOUT", "0,5", "must be a number of seconds between 0.1 and 86400");
    setenv("ERROR_RATE", "0.5", 1);
    setenv("LOG_LEVEL", "INFO", 1);
    load_plain();
    setlocale(LC_ALL, "C");
    assert_runs();
    assert_true(values.error_rate == 0.5);
}

static void test_bools(void **state)
{
    (void)state;
    const char *const yes[] = {"1", "true", "TRUE", "Yes", "on"};
    const char *const no[] = {"0", "false", "False", "no", "OFF"};
    for (size_t i = 0; i < 5; i++) {
        setenv("ACCESS_LOG", yes[i], 1);
        load_plain();
        assert_runs();
        assert_true(values.access_log);
        setenv("ACCESS_LOG", no[i], 1);
        load_plain();
        assert_runs();
        assert_false(values.access_log);
    }
    assert_bad("ACCESS_LOG", "2", "must be true or false (or 1/0, yes/no, on/off)");
    assert_bad("ACCESS_LOG", "truely", "must be true or false (or 1/0, yes/no, on/off)");
}

static void test_bool_flag(void **state)
{
    (void)state;
    load("--access-log");
    assert_runs();
    assert_true(values.access_log);
    load("--access-log", "--redis-port", "1");
    assert_runs();
    assert_true(values.access_log);
    load("--access-log", "off", "--redis-port", "1");
    assert_runs();
    assert_false(values.access_log);
    load("--access-log=no");
    assert_runs();
    assert_false(values.access_log);
    load("--access-log", "maybe");
    assert_refused(HB_CONF_EXIT_USAGE, "heartbeat-manager: maybe: is not expected here, options start with --\n");
}

static void test_words(void **state)
{
    (void)state;
    assert_bad("LOG_LEVEL", "loud", "must be one of debug, info, warn, error");
    assert_bad("LOG_LEVEL", "inf", "must be one of debug, info, warn, error");
    setenv("LOG_LEVEL", "Error", 1);
    load_plain();
    assert_runs();
    assert_int_equal(values.level, 3);
}

static void test_texts(void **state)
{
    (void)state;
    assert_bad("MANAGER_ID", "two words", "must be made of letters, digits and . _ : -");
    assert_bad("MANAGER_ID", "seventeen-letters", "must be at most 16 bytes long");
    setenv("MANAGER_ID", "sixteen--letters", 1);
    load_plain();
    assert_runs();
    assert_string_equal(values.id, "sixteen--letters");
}

static void test_service_link(void **state)
{
    (void)state;
    const char *rule =
        "looks like a Kubernetes service link, not a port: set REDIS_PORT to a number between 1 and 65535, "
        "or enableServiceLinks: false on the pod";
    assert_bad("REDIS_PORT", "tcp://10.0.0.3:6379", rule);
    assert_bad("REDIS_PORT", "udp://10.0.0.3:6379", rule);
    assert_bad("OFFSET", "tcp://10.0.0.3:6379", "must be a whole number"); /* is no port */
    load("--redis-port=tcp://10.0.0.3:6379");                              /* nobody but a person writes flags */
    assert_refused(HB_CONF_EXIT_CONFIG, "heartbeat-manager: --redis-port=tcp://10.0.0.3:6379: must be a whole number "
                                        "between 1 and 65535\n");
}

static void test_all_errors_at_once(void **state)
{
    (void)state;
    setenv("HEARTBEAT_TIMEOUT", "abc", 1);
    setenv("LOG_LEVEL", "loud", 1);
    load("--redis-port=70000", "--manager-id", "a b");
    assert_refused(HB_CONF_EXIT_CONFIG,
                   "heartbeat-manager: --redis-port=70000: must be a whole number between 1 and 65535\n"
                   "heartbeat-manager: HEARTBEAT_TIMEOUT=abc: must be a number of seconds between 0.1 and 86400\n"
                   "heartbeat-manager: LOG_LEVEL=loud: must be one of debug, info, warn, error\n"
                   "heartbeat-manager: --manager-id=a b: must be made of letters, digits and . _ : -\n");
    load("--redis-prot=1", "--redis-port=70000");
    assert_refused(HB_CONF_EXIT_USAGE,
                   "heartbeat-manager: --redis-prot: is not an option, did you mean --redis-port?\n"
                   "heartbeat-manager: --redis-port=70000: must be a whole number between 1 and 65535\n"
                   "heartbeat-manager: HEARTBEAT_TIMEOUT=abc: must be a number of seconds between 0.1 and 86400\n"
                   "heartbeat-manager: LOG_LEVEL=loud: must be one of debug, info, warn, error\n");
}

static void test_rules_across(void **state)
{
    (void)state;
    setenv("DRAIN_SECONDS", "20", 1);
    setenv("OFFSET", "13", 1);
    load_plain();
    assert_refused(HB_CONF_EXIT_CONFIG, "heartbeat-manager: DRAIN_SECONDS: must not be above HEARTBEAT_TIMEOUT\n"
                                        "heartbeat-manager: OFFSET=13: brings\\x1b[2J bad luck\n");
    setenv("REDIS_PORT", "0", 1); /* asked only when every single value is good */
    load_plain();
    assert_refused(HB_CONF_EXIT_CONFIG,
                   "heartbeat-manager: REDIS_PORT=0: must be a whole number between 1 and 65535\n");
}

static void test_usage(void **state)
{
    (void)state;
    load("--redis-port");
    assert_refused(HB_CONF_EXIT_USAGE, "heartbeat-manager: --redis-port: needs a value\n");
    load("--redis-host", "--access-log");
    assert_refused(HB_CONF_EXIT_USAGE, "heartbeat-manager: --redis-host: needs a value\n");
    load("stray", "-p", "--", "");
    assert_refused(HB_CONF_EXIT_USAGE, "heartbeat-manager: stray: is not expected here, options start with --\n"
                                       "heartbeat-manager: -p: is not expected here, options start with --\n"
                                       "heartbeat-manager: --: is not expected here, options start with --\n"
                                       "heartbeat-manager: : is not expected here, options start with --\n");
    load("--check-config=yes");
    assert_refused(HB_CONF_EXIT_USAGE, "heartbeat-manager: --check-config: takes no value\n");
}

static void test_unknown_flag(void **state)
{
    (void)state;
    load("--hearbeat-timeout=3", "--REDIS-HOST", "--redis-password-fil=x", "--prt", "--chek-config", "--heal", "--zzz");
    assert_refused(HB_CONF_EXIT_USAGE,
                   "heartbeat-manager: --hearbeat-timeout: is not an option, did you mean --heartbeat-timeout?\n"
                   "heartbeat-manager: --REDIS-HOST: is not an option\n"
                   "heartbeat-manager: --redis-password-fil: is not an option, did you mean --redis-password-file?\n"
                   "heartbeat-manager: --prt: is not an option, did you mean --port?\n"
                   "heartbeat-manager: --chek-config: is not an option, did you mean --check-config?\n"
                   "heartbeat-manager: --heal: is not an option, did you mean --help?\n" /* --health is as near */
                   "heartbeat-manager: --zzz: is not an option\n");

    load("--redis-prot", "7000", "--zzz=1", "stray"); /* one mistake, one sentence */
    assert_refused(HB_CONF_EXIT_USAGE, "heartbeat-manager: --redis-prot: is not an option, did you mean --redis-port?\n"
                                       "heartbeat-manager: --zzz: is not an option\n"
                                       "heartbeat-manager: stray: is not expected here, options start with --\n");
}

static void test_long_and_hostile_values_in_sentences(void **state)
{
    (void)state;
    char value[201], flag[301] = "--", sentence[512];
    memset(value, 'x', 200);
    value[200] = '\0';
    memcpy(value + 79, "\xe2\x82\xac", 3); /* not cut in the middle of a character */
    setenv("REDIS_PORT", value, 1);
    load_plain();
    snprintf(sentence, sizeof sentence,
             "heartbeat-manager: REDIS_PORT=%.82s...: must be a whole number between 1 and 65535\n", value);
    assert_refused(HB_CONF_EXIT_CONFIG, sentence);
    setenv("REDIS_PORT", "8\n\x1b[2J0", 1);
    load_plain();
    assert_refused(HB_CONF_EXIT_CONFIG,
                   "heartbeat-manager: REDIS_PORT=8\\x0a\\x1b[2J0: must be a whole number between 1 and 65535\n");
    unsetenv("REDIS_PORT");
    memset(flag + 2, 'f', 298);
    load(flag);
    snprintf(sentence, sizeof sentence, "heartbeat-manager: %.80s...: is not an option\n", flag);
    assert_refused(HB_CONF_EXIT_USAGE, sentence);
}

/* A file of its own, with these bytes. */
static void write_file(char path[32], const char *bytes, size_t len)
{
    strcpy(path, "/tmp/hb-test-conf-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
}

static void test_secret_from_file(void **state)
{
    (void)state;
    const struct {
        const char *bytes;
        const char *password;
    } cases[] = {
        {"hunter2", "hunter2"},       {"hunter2\n", "hunter2"},     {"hunter2\r\n", "hunter2"},
        {"hunter2\n\n", "hunter2\n"}, {" hunter2 \n", " hunter2 "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[32];
        write_file(path, cases[i].bytes, strlen(cases[i].bytes));
        setenv("REDIS_PASSWORD_FILE", path, 1);
        load_plain();
        unlink(path);
        assert_runs();
        assert_string_equal(values.redis_password, cases[i].password);
    }
}

static void test_secret_file_flag_wins(void **state)
{
    (void)state;
    char path[32];
    write_file(path, "hunter2", 7);
    setenv("REDIS_PASSWORD", "from-env", 1);
    load("--redis-password-file", path);
    unlink(path);
    assert_runs();
    assert_string_equal(values.redis_password, "hunter2");
}

static void assert_bad_file(const char *path, const char *fault)
{
    char sentence[256];
    setenv("REDIS_PASSWORD_FILE", path, 1);
    load_plain();
    snprintf(sentence, sizeof sentence, "heartbeat-manager: REDIS_PASSWORD_FILE=%s: %s\n", path, fault);
    assert_refused(HB_CONF_EXIT_CONFIG, sentence);
    assert_null(values.redis_password);
}

static void test_bad_secret_files(void **state)
{
    (void)state;
    assert_bad_file("/nonexistent/secret", "cannot be read: No such file or directory");
    assert_bad_file("/", "cannot be read: Is a directory");
    const struct {
        const char *bytes;
        size_t len;
        const char *fault;
    } cases[] = {
        {"", 0, "is empty"},
        {"\n", 1, "is empty"},
        {"hun\0ter", 7, "holds a NUL byte"},
        {"abc", 3, "its content must be 4 to 4096 bytes long"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[32];
        write_file(path, cases[i].bytes, cases[i].len);
        assert_bad_file(path, cases[i].fault);
        unlink(path);
    }
}

static void test_secret_file_size(void **state)
{
    (void)state;
    static char bytes[6000];
    memset(bytes, 's', sizeof bytes);
    const struct {
        size_t len;
        const char *end;
        bool good;
    } cases[] = {{4096, "", true},    {4096, "\n", true},    {4096, "\r\n", true}, {4097, "", false},
                 {4097, "\n", false}, {4097, "\r\n", false}, {5000, "", false},    {4096, "\n\n", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[32];
        memset(bytes, 's', sizeof bytes);
        memcpy(bytes + cases[i].len, cases[i].end, strlen(cases[i].end));
        write_file(path, bytes, cases[i].len + strlen(cases[i].end));
        if (cases[i].good) {
            setenv("REDIS_PASSWORD_FILE", path, 1);
            load_plain();
            assert_runs();
            assert_int_equal(strlen(values.redis_password), 4096);
        } else {
            assert_bad_file(path, "holds more than 4096 bytes");
        }
        unlink(path);
    }
}

static void test_secret_twice(void **state)
{
    (void)state;
    setenv("REDIS_PASSWORD", "hunter2", 1);
    setenv("REDIS_PASSWORD_FILE", "/run/secrets/redis", 1);
    load_plain();
    assert_refused(HB_CONF_EXIT_CONFIG, "heartbeat-manager: REDIS_PASSWORD and REDIS_PASSWORD_FILE: both are set, "
                                        "set only one of them\n");
    load("--redis-password=a", "--redis-password-file=b");
    assert_refused(HB_CONF_EXIT_CONFIG, "heartbeat-manager: --redis-password and --redis-password-file: both are set, "
                                        "set only one of them\n");
}

static void test_secrets_never_print(void **state)
{
    (void)state;
    setenv("REDIS_PASSWORD", "pw!", 1);
    load_plain();
    assert_refused(HB_CONF_EXIT_CONFIG, "heartbeat-manager: REDIS_PASSWORD=***: must be 4 to 4096 bytes long\n");
    load("--redis-password=pw!");
    assert_refused(HB_CONF_EXIT_CONFIG, "heartbeat-manager: --redis-password=***: must be 4 to 4096 bytes long\n");
    load("--redis-passwort=hunter2"); /* a typing error must not show it either */
    assert_refused(HB_CONF_EXIT_USAGE,
                   "heartbeat-manager: --redis-passwort: is not an option, did you mean --redis-password?\n"
                   "heartbeat-manager: REDIS_PASSWORD=***: must be 4 to 4096 bytes long\n");
}

static void test_check_config(void **state)
{
    (void)state;
    char path[32], expected[2048];
    write_file(path, "hunter2", 7);
    setenv("REDIS_PASSWORD_FILE", path, 1);
    setenv("REDIS_HOST", "redis", 1);
    setenv("HEARTBEAT_TIMEOUT", "2.50", 1);
    setenv("LOG_LEVEL", "WARN", 1);
    load("--check-config", "--port=7000", "--access-log");
    unlink(path);
    snprintf(expected, sizeof expected,
             "REDIS_HOST         environment  redis\n"
             "REDIS_PORT         flag         7000\n"
             "REDIS_PASSWORD     file         *** (%s)\n"
             "HEARTBEAT_TIMEOUT  environment  2.5\n"
             "DRAIN_SECONDS      default      0\n"
             "ERROR_RATE         default      0.1\n"
             "ACCESS_LOG         flag         true\n"
             "LOG_LEVEL          environment  warn\n"
             "MANAGER_ID         default      -\n"
             "OFFSET             default      0\n"
             "AT_LEAST           default      10\n"
             "configuration ok\n",
             path);
    assert_string_equal(out_text, expected);
    assert_string_equal(err_text, "");
    assert_int_equal(outcome, HB_CONF_EXIT_OK);

    setenv("REDIS_PORT", "x", 1);
    unsetenv("REDIS_PASSWORD_FILE");
    load("--check-config");
    assert_refused(HB_CONF_EXIT_CONFIG,
                   "heartbeat-manager: REDIS_PORT=x: must be a whole number between 1 and 65535\n");
}

static void test_version_and_health(void **state)
{
    (void)state;
    load("--version");
    assert_string_equal(out_text, "heartbeat-manager 0.1.0\n");
    assert_int_equal(outcome, HB_CONF_EXIT_OK);
    load("--health", "--redis-port=1");
    assert_string_equal(out_text, "");
    assert_int_equal(outcome, HB_CONF_HEALTH);
    assert_int_equal(values.redis_port, 1);
}

static const char help[] =
    "heartbeat-manager 0.1.0\n"
    "Knows which workers are alive.\n"
    "\n"
    "Usage: heartbeat-manager [options]\n"
    "\n"
    "Each option is a flag or an environment variable; the flag wins. Durations are seconds, decimals allowed.\n"
    "\n"
    "  flag                         variable             default    meaning\n"
    "  --redis-host TEXT            REDIS_HOST           localhost  where Redis listens\n"
    "  --redis-port, --port N       REDIS_PORT           6379       its port (1 to 65535)\n"
    "  --redis-password TEXT        REDIS_PASSWORD       -          password of the user\n"
    "  --redis-password-file FILE   REDIS_PASSWORD_FILE  -          File that holds REDIS_PASSWORD.\n"
    "  --heartbeat-timeout SECONDS  HEARTBEAT_TIMEOUT    15         silence that means down (0.1 to 86400 s)\n"
    "  --drain-seconds SECONDS      DRAIN_SECONDS        -          time to drain\n"
    "  --error-rate N               ERROR_RATE           0.1        share that is degraded (0 to 1)\n"
    "  --access-log                 ACCESS_LOG           0          log requests a|b\n"
    "  --log-level WORD             LOG_LEVEL            info       least level logged (debug, info, warn, error)\n"
    "  --manager-id TEXT            MANAGER_ID           -          name of this one\n"
    "  --offset N                   OFFSET               -          any whole number\n"
    "  --at-least N                 AT_LEAST             10         ten or more\n"
    "\n"
    "  --help                       print this and exit (also -h)\n"
    "  --version                    print the version and exit\n"
    "  --check-config               print every value and where it came from, and exit\n"
    "  --health                     ask the one that runs here: exit 0 when it is well, else 1\n"
    "  --help-markdown              print the options as a markdown table and exit\n"
    "\n"
    "Exit codes:\n"
    "   0  clean stop\n"
    "  64  wrong usage\n"
    "  69  cannot listen\n"
    "  70  internal error\n"
    "  78  wrong configuration\n"
    "\n"
    "Examples:\n"
    "  REDIS_HOST=redis heartbeat-manager\n";

static void test_help(void **state)
{
    (void)state;
    load("--help");
    assert_string_equal(out_text, help);
    assert_int_equal(outcome, HB_CONF_EXIT_OK);
    load("--nonsense", "--redis-port=x", "-h"); /* whatever else is wrong */
    assert_string_equal(out_text, help);
    assert_string_equal(err_text, "");
    assert_int_equal(outcome, HB_CONF_EXIT_OK);
}

static void test_help_markdown(void **state)
{
    (void)state;
    load("--help-markdown");
    assert_string_equal(out_text, "| variable | default | meaning |\n"
                                  "|---|---|---|\n"
                                  "| `REDIS_HOST` | `localhost` | where Redis listens |\n"
                                  "| `REDIS_PORT` | `6379` | its port (1 to 65535) |\n"
                                  "| `REDIS_PASSWORD` | – | password of the user |\n"
                                  "| `REDIS_PASSWORD_FILE` | – | File that holds `REDIS_PASSWORD`. |\n"
                                  "| `HEARTBEAT_TIMEOUT` | `15` | silence that means down (0.1 to 86400 s) |\n"
                                  "| `DRAIN_SECONDS` | – | time to drain |\n"
                                  "| `ERROR_RATE` | `0.1` | share that is degraded (0 to 1) |\n"
                                  "| `ACCESS_LOG` | `0` | log requests a\\|b |\n"
                                  "| `LOG_LEVEL` | `info` | least level logged (debug, info, warn, error) |\n"
                                  "| `MANAGER_ID` | – | name of this one |\n"
                                  "| `OFFSET` | – | any whole number |\n"
                                  "| `AT_LEAST` | `10` | ten or more |\n");
    assert_int_equal(outcome, HB_CONF_EXIT_OK);
}

#define conf_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        conf_test(test_defaults),
        conf_test(test_precedence),
        conf_test(test_alias),
        conf_test(test_empty_variable_is_not_set),
        conf_test(test_empty_flag),
        conf_test(test_integers),
        conf_test(test_durations),
        conf_test(test_unbounded_duration),
        conf_test(test_numbers),
        conf_test(test_locale_changes_nothing),
        conf_test(test_bools),
        conf_test(test_bool_flag),
        conf_test(test_words),
        conf_test(test_texts),
        conf_test(test_service_link),
        conf_test(test_all_errors_at_once),
        conf_test(test_rules_across),
        conf_test(test_usage),
        conf_test(test_unknown_flag),
        conf_test(test_long_and_hostile_values_in_sentences),
        conf_test(test_secret_from_file),
        conf_test(test_secret_file_flag_wins),
        conf_test(test_bad_secret_files),
        conf_test(test_secret_file_size),
        conf_test(test_secret_twice),
        conf_test(test_secrets_never_print),
        conf_test(test_check_config),
        conf_test(test_version_and_health),
        conf_test(test_help),
        conf_test(test_help_markdown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
