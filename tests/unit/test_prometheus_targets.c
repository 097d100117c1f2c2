/*
 * prometheus_targets: which workers Prometheus is told of, where they are, and labels out of anything they may say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/app/ingest.h"
#include "manager/app/prometheus_targets.h"
#include "manager/app/report.h"
#include "proto/base/log.h"

#define WALL_MS 1795203000000

struct fixture {
    struct hb_manager *manager;
    struct hb_ingest *ingest;
    struct hb_buf json;
};

static const struct hb_moment now = {{1000}, {WALL_MS}};

static int set_up(void **state)
{
    const struct hb_registry_rules rules = {.timeout_ms = 15000, .max_workers = 100};
    struct fixture *fixture = calloc(1, sizeof *fixture);

    fixture->manager = hb_manager_new(HB_TEXT("m1"), &rules, now);
    fixture->ingest = hb_ingest_new(fixture->manager);
    assert_non_null(fixture->ingest);
    hb_buf_init(&fixture->json, 65536);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    hb_buf_free(&fixture->json);
    hb_ingest_free(fixture->ingest);
    hb_manager_free(fixture->manager);
    free(fixture);
    return 0;
}

static void registered(struct fixture *fixture, const char *json)
{
    const struct hb_worker *worker;

    assert_int_equal(hb_ingest_register(fixture->ingest, hb_text_of(json), HB_TEXT("10.0.0.1"), now, &worker), HB_OK);
}

static const char *targets(struct fixture *fixture)
{
    const struct hb_scrape scrape = {.manager = fixture->manager};
    struct hb_report *report = hb_report_new(HB_REPORT_TARGETS, &scrape);

    assert_non_null(report);
    while (hb_report_go_on(report, SIZE_MAX))
        ;
    hb_buf_free(&fixture->json);
    fixture->json = *hb_report_bytes(report);
    hb_buf_init(hb_report_bytes(report), 0);
    hb_report_free(report);
    assert_int_equal(hb_buf_status(&fixture->json), HB_OK);
    return fixture->json.bytes;
}

static void test_nobody(void **state)
{
    assert_string_equal(targets(*state), "[]\n");
    registered(*state, "{\"worker_id\":\"w1\"}");                          /* no port */
    registered(*state, "{\"id\":\"db\",\"url\":\"tcp://10.0.0.3:5432\"}"); /* does not speak HTTP */
    assert_string_equal(targets(*state), "[]\n");
}

static void test_groups(void **state)
{
    struct fixture *fixture = *state;

    registered(fixture, "{\"worker_id\":\"w1\",\"worker_name\":\"W\\\"1\\\\\",\"host\":\"10.1.2.3\",\"port\":8001}");
    registered(fixture, "{\"id\":\"billing\",\"url\":\"https://billing.example/health?deep=1\","
                        "\"attributes\":{\"zone\":\"eu-1\",\"weight\":1.50,\"canary\":false}}");
    assert_int_equal(hb_ingest_beat(fixture->ingest, HB_TEXT("w1"), NULL, HB_TEXT("{}"), HB_TEXT("10.0.0.1"), now),
                     HB_OK);
    assert_string_equal(
        targets(fixture),
        "[\n"
        "{\"targets\":[\"billing.example:443\"],\"labels\":{\"worker_id\":\"billing\",\"worker_name\":\"billing\","
        "\"__scheme__\":\"https\",\"__meta_heartbeat_status\":\"registered\",\"__meta_heartbeat_health\":\"unknown\","
        "\"__meta_heartbeat_serving\":\"false\","
        "\"__meta_heartbeat_url\":\"https://billing.example/health?deep=1\","
        "\"__meta_heartbeat_attribute_zone\":\"eu-1\",\"__meta_heartbeat_attribute_weight\":\"1.50\","
        "\"__meta_heartbeat_attribute_canary\":\"false\"}},\n"
        "{\"targets\":[\"10.1.2.3:8001\"],\"labels\":{\"worker_id\":\"w1\",\"worker_name\":\"W\\\"1\\\\\","
        "\"__meta_heartbeat_status\":\"alive\",\"__meta_heartbeat_health\":\"unknown\","
        "\"__meta_heartbeat_serving\":\"true\"}}\n"
        "]\n");
}

static void test_addresses(void **state)
{
    static const struct {
        const char *registration, *target;
    } cases[] = {
        {"{\"worker_id\":\"w\",\"host\":\"web-1.example\",\"port\":80}", "[\"web-1.example:80\"]"},
        {"{\"worker_id\":\"w\",\"host\":\"2001:db8::1\",\"port\":65535}", "[\"[2001:db8::1]:65535\"]"},
        {"{\"id\":\"w\",\"url\":\"http://10.0.0.9\"}", "[\"10.0.0.9:80\"]"},
        {"{\"id\":\"w\",\"url\":\"http://10.0.0.9:8080\"}", "[\"10.0.0.9:8080\"]"},
        {"{\"id\":\"w\",\"url\":\"http://10.0.0.9:8080/a:b/c\"}", "[\"10.0.0.9:8080\"]"},
        {"{\"id\":\"w\",\"url\":\"http://[2001:db8::2]/health\"}", "[\"[2001:db8::2]:80\"]"},
        {"{\"id\":\"w\",\"url\":\"https://[2001:db8::2]:8443\"}", "[\"[2001:db8::2]:8443\"]"},
        {"{\"id\":\"w\",\"url\":\"https://a.example\"}", "[\"a.example:443\"]"},
        {"{\"id\":\"w\",\"url\":\"https://a.example/x\",\"host\":\"10.0.0.4\",\"port\":9000}", "[\"10.0.0.4:9000\"]"},
        {"{\"id\":\"w\",\"url\":\"tcp://10.0.0.9:1\",\"host\":\"10.0.0.4\",\"port\":9000}", "[\"10.0.0.4:9000\"]"},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *json;
        char begin[128];

        registered(fixture, cases[i].registration);
        json = targets(fixture);
        snprintf(begin, sizeof begin, "[\n{\"targets\":%s,\"labels\":{\"worker_id\":\"w\",", cases[i].target);
        assert_memory_equal(json, begin, strlen(begin));
        assert_int_equal(hb_ingest_remove(fixture->ingest, HB_TEXT("w"), now), HB_OK);
    }
}

static void test_attributes(void **state)
{
#define LABEL(name, value) ",\"__meta_heartbeat_attribute_" name "\":\"" value "\""
    static const struct {
        const char *attributes, *labels;
    } cases[] = {
        {NULL, ""},
        {"{}", ""},
        {"{\"zone\":\"eu-1\"}", LABEL("zone", "eu-1")},
        {"{\"a\":1e3,\"b\":true,\"c\":-0.50}", LABEL("a", "1e3") LABEL("b", "true") LABEL("c", "-0.50")},
        {"{\"a.b/c d\":\"x\"}", LABEL("a_b_c_d", "x")},
        {"{\"w\xC3\xB6rk\":\"\xC3\xB6\"}", LABEL("w_rk", "\xC3\xB6")},
        {"{\"w\\u00f6rk\":\"caf\\u00e9 \\\"x\\\",}\"}", LABEL("w_rk", "caf\\u00e9 \\\"x\\\",}")},
        {"{\"a\\\"b\\\\c\":\"\\\\\"}", LABEL("a_b_c", "\\\\")},
        {"{\"a.b\":\"first\",\"a-b\":\"second\",\"c\":\"third\"}", LABEL("a_b", "first") LABEL("c", "third")},
        {"{\"a\":\"cut", ""},
        {"{\"a\"", ""},
        {"{\"a", ""},
        {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hb_buf json;

        hb_buf_init(&json, 4096);
        hb_buf_append_str(&json, "");
        hb_prometheus_attributes_write(&json, cases[i].attributes);
        assert_string_equal(json.bytes, cases[i].labels);
        hb_buf_free(&json);
    }
}

/* As many as a worker may have, each name as long as it may be. */
static void test_most_attributes(void **state)
{
    struct hb_buf attributes, json;

    (void)state;
    hb_buf_init(&attributes, 65536);
    hb_buf_init(&json, 65536);
    hb_buf_append_char(&attributes, '{');
    for (int i = 0; i < HB_ATTRIBUTES_MAX; i++)
        hb_buf_printf(&attributes, "%s\"%0*d\":%d", i == 0 ? "" : ",", HB_ATTRIBUTE_KEY_MAX, i, i);
    hb_buf_append_char(&attributes, '}');
    hb_prometheus_attributes_write(&json, attributes.bytes);
    assert_non_null(strstr(json.bytes, "31\":\"31\""));
    hb_buf_free(&attributes);
    hb_buf_free(&json);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_nobody),
        CASE(test_groups),
        CASE(test_addresses),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_most_attributes),
    };

    hb_log_open("test", HB_LOG_ERROR, HB_LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
