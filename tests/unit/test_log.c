/*
 * log: exact lines in both formats, values that try to forge a line, and the rate limit. Standard error goes to a file
 * while a test writes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "proto/base/time.h"

static FILE *captured;
static int saved_stderr;

static void begin_capture(enum hb_log_level level, enum hb_log_format format)
{
    captured = tmpfile();
    assert_non_null(captured);
    saved_stderr = dup(STDERR_FILENO);
    assert_true(saved_stderr >= 0 && dup2(fileno(captured), STDERR_FILENO) >= 0);
    hb_log_open("manager", level, format);
}

/* What was written, to be freed. The log is closed first. */
static char *end_capture(void)
{
    hb_log_close();
    assert_true(dup2(saved_stderr, STDERR_FILENO) >= 0);
    close(saved_stderr);
    long size = lseek(fileno(captured), 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(pread(fileno(captured), text, (size_t)size, 0), size);
    fclose(captured);
    return text;
}

/* One line: its time must be a time, the rest is compared. */
static void assert_line(const char *text, const char *before_ts, const char *after_ts)
{
    size_t before = strlen(before_ts);
    hb_wall_ms ts;
    assert_memory_equal(text, before_ts, before);
    assert_true(strlen(text) > before + 24);
    assert_int_equal(hb_wall_parse(text + before, 24, &ts), HB_OK);
    assert_true(ts.ms <= hb_wall_now().ms);
    assert_string_equal(text + before + 24, after_ts);
}

static void assert_logfmt(char *text, const char *after_ts)
{
    assert_line(text, "ts=", after_ts);
    free(text);
}

static void assert_json(char *text, const char *after_ts)
{
    assert_line(text, "{\"ts\":\"", after_ts);
    free(text);
}

static void write_every_type(void)
{
    hb_log(HB_LOG_INFO, "worker_status", HB_LS("worker", "w1"), HB_LT("from", HB_TEXT("alive")), HB_LS("to", NULL),
           HB_LI("seq", INT64_MIN), HB_LD("age", 15250), HB_LB("serving", 1 == 1), HB_LB("ready", 0));
}

static void test_logfmt_types(void **state)
{
    (void)state;
    begin_capture(HB_LOG_INFO, HB_LOG_LOGFMT);
    write_every_type();
    assert_logfmt(end_capture(), " level=info component=manager event=worker_status worker=w1 from=alive "
                                 "seq=-9223372036854775808 age=15.25 serving=true ready=false\n");
}

static void test_json_types(void **state)
{
    (void)state;
    begin_capture(HB_LOG_INFO, HB_LOG_JSON);
    write_every_type();
    assert_json(end_capture(),
                "\",\"level\":\"info\",\"component\":\"manager\",\"event\":\"worker_status\",\"worker\":\"w1\","
                "\"from\":\"alive\",\"seq\":-9223372036854775808,\"age\":15.25,\"serving\":true,\"ready\":false}\n");
}

static void test_levels(void **state)
{
    (void)state;
    begin_capture(HB_LOG_WARN, HB_LOG_LOGFMT);
    hb_log(HB_LOG_DEBUG, "no", HB_LI("n", 1));
    hb_log(HB_LOG_INFO, "no", HB_LI("n", 2));
    hb_log_write(HB_LOG_INFO, "no", NULL, 0);
    hb_log(HB_LOG_WARN, "yes", HB_LI("n", 3));
    assert_false(hb_log_enabled(HB_LOG_INFO));
    assert_true(hb_log_enabled(HB_LOG_ERROR));
    assert_logfmt(end_capture(), " level=warn component=manager event=yes n=3\n");

    begin_capture(HB_LOG_DEBUG, HB_LOG_LOGFMT);
    hb_log_write(HB_LOG_DEBUG, "bare", NULL, 0);
    assert_logfmt(end_capture(), " level=debug component=manager event=bare\n");
}

#define BYTES(literal)                                                                                                 \
    {                                                                                                                  \
        (literal), sizeof(literal) - 1                                                                                 \
    } /* HB_TEXT is no constant expression */

/* What comes in, and how each format shows it. */
static const struct {
    struct hb_text in;
    const char *logfmt;
    const char *json; /* NULL: as logfmt */
} hostile[] = {
    {BYTES(""), "\"\"", NULL},
    {BYTES("10.0.0.3:80/x?"), "10.0.0.3:80/x?", "\"10.0.0.3:80/x?\""},
    {BYTES("two words"), "\"two words\"", NULL},
    {BYTES("a=b"), "\"a=b\"", NULL},
    {BYTES("say \"hi\""), "\"say \\\"hi\\\"\"", NULL},
    {BYTES("back\\slash"), "\"back\\\\slash\"", NULL},
    {BYTES("x\nts=2026-11-20T19:45:00.123Z level=error event=forged"),
     "\"x\\nts=2026-11-20T19:45:00.123Z level=error event=forged\"", NULL},
    {BYTES("x\",\"level\":\"error"), "\"x\\\",\\\"level\\\":\\\"error\"", NULL},
    {BYTES("\r\t\b\x1b[31mred"), "\"\\r\\t\\u0008\\u001b[31mred\"", NULL},
    {BYTES("a\0b\x7f"), "\"a\\u0000b\\u007f\"", NULL},
    {BYTES("\xc2\x9b"
           "31m"),
     "\"\\u009b31m\"", NULL},
    {BYTES("Gr\xc3\xbc\xc3\x9f"
           "e \xe2\x82\xac\xf0\x9f\x92\x93"),
     "\"Gr\xc3\xbc\xc3\x9f"
     "e \xe2\x82\xac\xf0\x9f\x92\x93\"",
     NULL},
    {BYTES("a\xff\xfez"), "\"a\\ufffd\\ufffdz\"", NULL},
    {BYTES("\xc3"), "\"\\ufffd\"", NULL},                                  /* cut short */
    {BYTES("\xe2\x82"), "\"\\ufffd\\ufffd\"", NULL},                       /* cut short */
    {BYTES("\xc0\xaf"), "\"\\ufffd\\ufffd\"", NULL},                       /* overlong */
    {BYTES("\xe0\x80\xaf"), "\"\\ufffd\\ufffd\\ufffd\"", NULL},            /* overlong */
    {BYTES("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\"", NULL},            /* surrogate */
    {BYTES("\xf4\x90\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\"", NULL}, /* beyond U+10FFFF */
    {BYTES("\xf0\x8f\xbf\xbf"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\"", NULL}, /* overlong */
    {BYTES("\xe2\x28\xa1"), "\"\\ufffd(\\ufffd\"", NULL},                  /* no continuation */
};

static void test_hostile_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        char expected[512];
        begin_capture(HB_LOG_INFO, HB_LOG_LOGFMT);
        hb_log(HB_LOG_INFO, "e", HB_LT("v", hostile[i].in), HB_LI("n", 1));
        snprintf(expected, sizeof expected, " level=info component=manager event=e v=%s n=1\n", hostile[i].logfmt);
        assert_logfmt(end_capture(), expected);

        begin_capture(HB_LOG_INFO, HB_LOG_JSON);
        hb_log(HB_LOG_INFO, "e", HB_LT("v", hostile[i].in), HB_LI("n", 1));
        snprintf(expected, sizeof expected,
                 "\",\"level\":\"info\",\"component\":\"manager\",\"event\":\"e\",\"v\":%s,\"n\":1}\n",
                 hostile[i].json ? hostile[i].json : hostile[i].logfmt);
        assert_json(end_capture(), expected);
    }
}

static void test_long_text_is_cut(void **state)
{
    (void)state;
    char value[3001], expected[3000];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    memcpy(value + 2047, "\xe2\x82\xac", 3); /* the cut would fall into it */
    begin_capture(HB_LOG_INFO, HB_LOG_LOGFMT);
    hb_log(HB_LOG_INFO, "e", HB_LS("v", value));
    snprintf(expected, sizeof expected, " level=info component=manager event=e v=\"%.2047s...\"\n", value);
    assert_logfmt(end_capture(), expected);
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        count++;
    return count;
}

static void test_line_over_the_ceiling_is_counted(void **state)
{
    (void)state;
    char value[2001];
    memset(value, '\x01', sizeof value - 1); /* each becomes six characters */
    value[sizeof value - 1] = '\0';
    begin_capture(HB_LOG_INFO, HB_LOG_LOGFMT);
    hb_log(HB_LOG_INFO, "huge", HB_LS("a", value), HB_LS("b", value));
    hb_log(HB_LOG_INFO, "small", HB_LI("n", 1));
    char *text = end_capture();
    assert_int_equal(count_of(text, "\n"), 2);
    assert_int_equal(count_of(text, " event=small n=1\n"), 1);
    assert_int_equal(count_of(text, " level=warn component=manager event=log_suppressed of=huge count=1\n"), 1);
    free(text);
}

/* The sum of count=<n> of all log_suppressed lines. */
static unsigned long suppressed_in(const char *text)
{
    unsigned long sum = 0;
    for (const char *at = text; (at = strstr(at, " event=log_suppressed of=")); at++)
        sum += strtoul(strstr(at, "count=") + strlen("count="), NULL, 10);
    return sum;
}

/* Writes lines of one event and returns them; tells whether all fell into one second. */
static char *burst_of(int lines, bool *ret_within_a_second)
{
    begin_capture(HB_LOG_INFO, HB_LOG_LOGFMT);
    hb_mono_ms before = hb_mono_now();
    for (int i = 0; i < lines; i++)
        hb_log(HB_LOG_ERROR, "burst", HB_LI("n", i));
    *ret_within_a_second = hb_mono_between(before, hb_mono_now()) < 900;
    return end_capture();
}

static void test_burst(void **state)
{
    (void)state;
    bool within = false;
    char *text = NULL;
    while (!within) { /* on a machine that stalls in the middle: once more */
        free(text);
        text = burst_of(HB_LOG_BURST, &within);
    }
    assert_int_equal(count_of(text, " event=burst "), HB_LOG_BURST);
    assert_int_equal(suppressed_in(text), 0);
    within = false;
    while (!within) {
        free(text);
        text = burst_of(HB_LOG_BURST + 3, &within);
    }
    assert_int_equal(count_of(text, " event=burst "), HB_LOG_BURST);
    assert_non_null(strstr(text, " level=warn component=manager event=log_suppressed of=burst count=3\n"));
    free(text);
}

/* Seconds may turn while this runs, so it is the sum that must come out: no line is lost unsaid. */
static void test_suppression_adds_up(void **state)
{
    (void)state;
    enum { LINES = 20000 };
    begin_capture(HB_LOG_INFO, HB_LOG_LOGFMT);
    for (int i = 0; i < LINES; i++)
        hb_log(HB_LOG_ERROR, "flood", HB_LI("n", i));
    hb_log(HB_LOG_INFO, "quiet", HB_LI("n", 1)); /* another event is not held back */
    char *text = end_capture();
    size_t written = count_of(text, " event=flood ");
    assert_true(written >= HB_LOG_BURST && written < LINES);
    assert_int_equal(written + suppressed_in(text), LINES);
    assert_int_equal(count_of(text, " event=quiet n=1\n"), 1);
    free(text);
}

static void test_suppressed_json(void **state)
{
    (void)state;
    begin_capture(HB_LOG_INFO, HB_LOG_JSON);
    for (int i = 0; i < 20000; i++)
        hb_log(HB_LOG_INFO, "flood", HB_LI("n", i));
    char *text = end_capture();
    assert_true(count_of(text, "\"level\":\"warn\",\"component\":\"manager\",\"event\":\"log_suppressed\","
                               "\"of\":\"flood\",\"count\":") >= 1);
    free(text);
}

/* Once the second is over, the count comes before the next line, and the event may write again. */
static void test_window_turns(void **state)
{
    (void)state;
    begin_capture(HB_LOG_INFO, HB_LOG_LOGFMT);
    for (int i = 0; i < 20000; i++)
        hb_log(HB_LOG_INFO, "flood", HB_LI("n", i));
    hb_mono_ms flooded = hb_mono_now();
    while (hb_mono_between(flooded, hb_mono_now()) < 1001)
        ;
    hb_log(HB_LOG_INFO, "flood", HB_LS("n", "after"));
    char *text = end_capture();
    char *after = strstr(text, " event=flood n=after\n");
    assert_non_null(after);
    assert_string_equal(after, " event=flood n=after\n"); /* nothing is left to be said at the close */
    char *said = strstr(text, " event=log_suppressed of=flood count=");
    assert_true(said && said < after);
    free(text);
}

static void test_many_events_share(void **state)
{
    (void)state;
    enum { EVENTS = 200, EACH = 100 };
    begin_capture(HB_LOG_INFO, HB_LOG_LOGFMT);
    for (int i = 0; i < EVENTS; i++) {
        char event[32];
        snprintf(event, sizeof event, "event_%d", i);
        for (int n = 0; n < EACH; n++)
            hb_log(HB_LOG_INFO, event, HB_LI("n", n));
    }
    char *text = end_capture();
    size_t written = count_of(text, " event=event_");
    assert_int_equal(written + suppressed_in(text), EVENTS * EACH);
    assert_true(suppressed_in(text) > 0);
    assert_int_equal(count_of(text, " of=others "), count_of(text, " of=others count="));
    assert_true(count_of(text, " of=others ") >= 1);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logfmt_types),
        cmocka_unit_test(test_json_types),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_hostile_values),
        cmocka_unit_test(test_long_text_is_cut),
        cmocka_unit_test(test_line_over_the_ceiling_is_counted),
        cmocka_unit_test(test_burst),
        cmocka_unit_test(test_suppression_adds_up),
        cmocka_unit_test(test_suppressed_json),
        cmocka_unit_test(test_window_turns),
        cmocka_unit_test(test_many_events_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
