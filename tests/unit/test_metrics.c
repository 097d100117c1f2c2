/*
 * metrics: what a manager counts of what happens to it, and the exact texts that GET /metrics is answered with.
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
#include "manager/app/metrics_query.h"
#include "manager/app/report.h"
#include "proto/base/log.h"

#define WALL_MS 1795203000000
#define TEXT_BYTES 262144

struct scene {
    struct hb_manager *manager;
    struct hb_ingest *ingest;
    struct hb_moment now;
    struct hb_buf text;
};

static int set_up(void **state)
{
    const struct hb_registry_rules rules = {.timeout_ms = 15000,
                                            .disconnect_grace_ms = 2000,
                                            .restart_grace_ms = 30000,
                                            .max_workers = 100,
                                            .polling = true,
                                            .poll_interval_ms = 10000,
                                            .poll_fast_ms = 1000,
                                            .poll_concurrency = 5,
                                            .poll_fall = 3,
                                            .poll_rise = 2,
                                            .degraded_error_rate = 0.1};
    struct scene *scene = calloc(1, sizeof *scene);

    scene->now = (struct hb_moment){{1000}, {WALL_MS}};
    scene->manager = hb_manager_new(HB_TEXT("m1"), &rules, scene->now);
    scene->ingest = hb_ingest_new(scene->manager);
    assert_non_null(scene->ingest);
    hb_buf_init(&scene->text, TEXT_BYTES);
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;

    hb_buf_free(&scene->text);
    hb_ingest_free(scene->ingest);
    hb_manager_free(scene->manager);
    free(scene);
    return 0;
}

static const struct hb_metrics *counted(const struct scene *scene)
{
    return hb_manager_metrics(scene->manager);
}

static void pass(struct scene *scene, int64_t ms)
{
    scene->now.mono.ms += ms;
    scene->now.wall.ms += ms;
}

/* As the loop's timer does, late by so much. */
static void expire(struct scene *scene, int64_t late_ms)
{
    pass(scene, hb_mono_between(scene->now.mono, hb_manager_next_deadline(scene->manager)) + late_ms);
    hb_manager_expire(scene->manager, scene->now, 100);
}

static void registered(struct scene *scene, const char *json)
{
    const struct hb_worker *worker;

    assert_int_equal(hb_ingest_register(scene->ingest, hb_text_of(json), HB_TEXT("10.0.0.1"), scene->now, &worker),
                     HB_OK);
}

/* socket 0: over HTTP */
static void beats(struct scene *scene, const char *id, uintptr_t socket, const char *json)
{
    assert_int_equal(hb_ingest_beat(scene->ingest, hb_text_of(id), (void *)socket, hb_text_of(json),
                                    HB_TEXT("10.0.0.1"), scene->now),
                     HB_OK);
}

static enum hb_err opens(struct scene *scene, const char *id, uintptr_t socket)
{
    return hb_ingest_socket_opened(scene->ingest, hb_text_of(id), (void *)socket, scene->now);
}

/* The next poll that is due, whosoever it is, ends so. */
static void polled(struct scene *scene, struct hb_poll_result result)
{
    struct hb_input input = {.kind = HB_INPUT_POLLED, .poll = &result};
    const struct hb_worker *worker;
    char id[HB_ID_MAX + 1];

    assert_true(hb_registry_take_poll(hb_manager_registry(scene->manager), scene->now, &worker, &input.ticket));
    strcpy(id, worker->id);
    input.id = hb_text_of(id);
    assert_int_equal(hb_manager_apply(scene->manager, &input, scene->now), HB_OK);
}

static struct hb_scrape scrape_of(const struct scene *scene)
{
    return (struct hb_scrape){.manager = scene->manager,
                              .now = hb_manager_registry_time(scene->manager, scene->now.mono),
                              .process = {-1, -1, -1, -1, -1},
                              .process_start_ms = -1};
}

static const char *report_of(struct scene *scene, enum hb_report_kind kind, const struct hb_scrape *scrape, size_t most)
{
    struct hb_report *report = hb_report_new(kind, scrape);

    assert_non_null(report);
    while (hb_report_go_on(report, most))
        ;
    assert_int_equal(hb_buf_status(hb_report_bytes(report)), HB_OK);
    hb_buf_clear(&scene->text);
    hb_buf_append_text(&scene->text, (struct hb_text){hb_report_bytes(report)->bytes, hb_report_bytes(report)->len});
    assert_int_equal(hb_buf_status(&scene->text), HB_OK);
    hb_report_free(report);
    return scene->text.bytes;
}

static const char *json_of(struct scene *scene)
{
    struct hb_scrape scrape = scrape_of(scene);

    return report_of(scene, HB_REPORT_JSON, &scrape, SIZE_MAX);
}

static const char *prometheus_of(struct scene *scene, const struct hb_scrape *scrape)
{
    return report_of(scene, HB_REPORT_PROMETHEUS, scrape, SIZE_MAX);
}

static void assert_line(const char *text, const char *line)
{
    char whole[512];

    snprintf(whole, sizeof whole, "\n%s\n", line);
    if (strstr(text, whole) == NULL)
        fail_msg("no line \"%s\" in\n%s", line, text);
}

/* ---- counting ---- */

static void test_beat_intervals(void **state)
{
    struct scene *scene = *state;
    const struct hb_histogram *intervals = &counted(scene)->beat_interval;

    assert_int_equal(opens(scene, "w1", 1), HB_OK);
    pass(scene, 300);
    beats(scene, "w1", 1, "{}"); /* follows no other */
    assert_int_equal(hb_histogram_at_most(intervals, HB_HISTOGRAM_BOUNDS), 0);
    pass(scene, 5000);
    beats(scene, "w1", 1, "{}");
    pass(scene, 4000);
    beats(scene, "w1", 1, "{\"status\":\"draining\"}"); /* a transition, and a heartbeat as any */
    assert_int_equal(intervals->sum, 9000);
    assert_int_equal(hb_histogram_at_most(intervals, HB_HISTOGRAM_BOUNDS), 2);
    expire(scene, 0);
    pass(scene, 5000);
    beats(scene, "w1", 1, "{}"); /* late: that is what the histogram is for */
    assert_int_equal(intervals->sum, 9000 + 20001);
    beats(scene, "w2", 0, "{}"); /* the first one of somebody new, over HTTP */
    pass(scene, 50);
    beats(scene, "w2", 0, "");
    assert_int_equal(intervals->sum, 9000 + 20001 + 50);
    assert_int_equal(intervals->counts[0], 1);
    assert_int_equal(hb_histogram_at_most(intervals, HB_HISTOGRAM_BOUNDS), 4);
    assert_int_equal(hb_manager_counters(scene->manager)->beats, 6);
}

static void test_detection_delay(void **state)
{
    struct scene *scene = *state;
    const struct hb_histogram *delays = &counted(scene)->detection_delay;

    beats(scene, "w1", 0, "{}");
    expire(scene, 0); /* at the first moment at which the silence is longer than the timeout */
    assert_int_equal(delays->sum, 1);
    registered(scene, "{\"worker_id\":\"w2\",\"heartbeat_timeout\":3}");
    expire(scene, 40);
    assert_int_equal(delays->sum, 42);
    assert_int_equal(hb_histogram_at_most(delays, HB_HISTOGRAM_BOUNDS), 2);
    assert_int_equal(counted(scene)->transitions[HB_REASON_HEARTBEAT_TIMEOUT], 1);
    assert_int_equal(counted(scene)->transitions[HB_REASON_NEVER_BEAT], 1);
}

/* A row of an earlier life has the longer of its timeout and the grace. */
static void test_detection_delay_after_a_restart(void **state)
{
    struct scene *scene = *state;
    struct hb_row row = {.name = HB_TEXT("w1"),
                         .host = HB_TEXT("10.0.0.1"),
                         .port = 8001,
                         .status = HB_STATUS_ALIVE,
                         .last_heartbeat = {WALL_MS},
                         .serving = true,
                         .announced = HB_ANNOUNCED_UP,
                         .requests = -1,
                         .errors = -1,
                         .timeout_ms = 15000,
                         .epoch = 1,
                         .seq = 1};
    struct hb_input input = {.kind = HB_INPUT_RESTORE, .id = HB_TEXT("w1"), .row = &row};

    assert_int_equal(hb_manager_apply(scene->manager, &input, scene->now), HB_OK);
    expire(scene, 9);
    assert_int_equal(counted(scene)->transitions[HB_REASON_RESTART_GRACE], 1);
    assert_int_equal(hb_histogram_at_most(&counted(scene)->detection_delay, HB_HISTOGRAM_BOUNDS), 1);
    assert_int_equal(counted(scene)->detection_delay.sum, 10);
}

/* Only silence has a timeout that a verdict can be late for. */
static void test_what_is_no_detection(void **state)
{
    struct scene *scene = *state;

    registered(scene, "{\"id\":\"svc\",\"url\":\"http://10.0.0.9/\"}");
    for (int i = 0; i < 3; i++) {
        polled(scene, (struct hb_poll_result){HB_POLL_REFUSED, 0, 100, -1, -1, -1, {NULL, 0}});
        pass(scene, 1000);
    }
    assert_int_equal(hb_registry_find(hb_manager_registry(scene->manager), HB_TEXT("svc"))->status,
                     HB_STATUS_NOT_RESPONDING);
    assert_int_equal(hb_histogram_at_most(&counted(scene)->detection_delay, HB_HISTOGRAM_BOUNDS), 0);
}

static void test_transitions_and_announcements(void **state)
{
    struct scene *scene = *state;

    registered(scene, "{\"worker_id\":\"w1\",\"host\":\"10.0.0.1\",\"port\":8001}");
    beats(scene, "w1", 0, "{}");
    expire(scene, 0);
    beats(scene, "w1", 0, "{}");
    assert_int_equal(hb_ingest_remove(scene->ingest, HB_TEXT("w1"), scene->now), HB_OK);
    assert_int_equal(counted(scene)->transitions[HB_REASON_REGISTERED], 1);
    assert_int_equal(counted(scene)->transitions[HB_REASON_BEAT], 2);
    assert_int_equal(counted(scene)->transitions[HB_REASON_HEARTBEAT_TIMEOUT], 1);
    assert_int_equal(counted(scene)->transitions[HB_REASON_REMOVED], 1);
    for (int edge = HB_EDGE_UP; edge < HB_EDGES; edge++)
        assert_int_equal(counted(scene)->announcements[edge], 1);
    assert_int_equal(counted(scene)->announcements[HB_EDGE_NONE], 0);
}

static void test_takeovers_and_conflicts(void **state)
{
    struct scene *scene = *state;

    for (uintptr_t socket = 1; socket <= 4; socket++)
        assert_int_equal(opens(scene, "w1", socket), HB_OK);
    assert_int_equal(opens(scene, "w1", 5), HB_ERR_CONFLICT);
    assert_int_equal(counted(scene)->takeovers, 3);
    assert_int_equal(counted(scene)->id_conflicts, 1);
}

static void test_polls_and_probes(void **state)
{
    struct scene *scene = *state;
    const struct hb_poll_result refused = {HB_POLL_REFUSED, 0, 90, -1, -1, -1, {NULL, 0}};
    const struct hb_input probed = {.kind = HB_INPUT_PROBED, .id = HB_TEXT("svc"), .poll = &refused};
    const struct hb_input overtaken = {.kind = HB_INPUT_POLLED, .id = HB_TEXT("svc"), .poll = &refused, .ticket = 99};

    registered(scene, "{\"id\":\"svc\",\"url\":\"http://10.0.0.9/\"}");
    polled(scene, (struct hb_poll_result){HB_POLL_ANSWERED, 200, 1500, -1, -1, -1, {NULL, 0}});
    assert_int_equal(hb_manager_apply(scene->manager, &probed, scene->now), HB_ERR_STALE);
    assert_int_equal(hb_manager_apply(scene->manager, &overtaken, scene->now), HB_ERR_STALE);
    assert_int_equal(counted(scene)->polls[HB_POLL_ANSWERED], 1);
    assert_int_equal(counted(scene)->polls[HB_POLL_REFUSED], 0); /* its answer meant nothing any more */
    assert_int_equal(counted(scene)->probes[HB_POLL_REFUSED], 1);
    assert_int_equal(counted(scene)->poll_duration.sum, 1500);
}

/* ---- JSON ---- */

static void test_json_of_nobody(void **state)
{
    assert_string_equal(json_of(*state), "{}\n");
}

static void test_json(void **state)
{
    struct scene *scene = *state;

    registered(scene,
               "{\"id\":\"svc1\",\"url\":\"http://10.0.0.9:9001\",\"attributes\":{\"service\":\"user\",\"n\":1.50}}");
    polled(scene, (struct hb_poll_result){HB_POLL_ANSWERED, 200, 1234, 12500, 120, 3, {NULL, 0}});
    registered(scene, "{\"id\":\"svc2\",\"url\":\"http://10.0.0.9:9002\"}");
    polled(scene, (struct hb_poll_result){HB_POLL_ANSWERED, 503, 70, 0, 3, 7, {NULL, 0}});
    registered(scene, "{\"id\":\"svc3\",\"url\":\"http://10.0.0.9:9003\"}"); /* not looked at yet */
    beats(scene, "1", 0, "{\"worker_name\":\"W\\u00f6rk \\\"1\\\" \\\\\",\"requests\":8,\"errors\":1}");
    pass(scene, 1250);
    assert_string_equal(
        json_of(scene),
        "{\n"
        "\"1\":{\"ready\":false,\"health\":\"unknown\",\"uptime\":0,\"request_count\":8,\"error_count\":1,"
        "\"error_rate\":0.125,\"attributes\":{},\"last_checked_age\":null,\"worker_name\":\"W\xC3\xB6rk \\\"1\\\" "
        "\\\\\","
        "\"status\":\"alive\",\"serving\":false,\"last_heartbeat_age\":1.25,\"polled\":false},\n"
        "\"svc1\":{\"ready\":true,\"health\":\"healthy\",\"uptime\":12.5,\"request_count\":120,\"error_count\":3,"
        "\"error_rate\":0.025,\"attributes\":{\"service\":\"user\",\"n\":1.50},\"last_checked_age\":1.25,"
        "\"worker_name\":\"svc1\",\"status\":\"alive\",\"serving\":true,\"last_heartbeat_age\":1.25,\"polled\":true,"
        "\"outcome\":\"answered\",\"code\":200,\"latency\":0.001234},\n"
        "\"svc2\":{\"ready\":false,\"health\":\"unhealthy\",\"uptime\":0,\"request_count\":3,\"error_count\":7,"
        "\"error_rate\":2.333333,\"attributes\":{},\"last_checked_age\":1.25,"
        "\"worker_name\":\"svc2\",\"status\":\"alive\",\"serving\":false,\"last_heartbeat_age\":1.25,\"polled\":true,"
        "\"outcome\":\"answered\",\"code\":503,\"latency\":0.00007},\n"
        "\"svc3\":{\"ready\":false,\"health\":\"unknown\",\"uptime\":0,\"request_count\":0,\"error_count\":0,"
        "\"error_rate\":0,\"attributes\":{},\"last_checked_age\":null,"
        "\"worker_name\":\"svc3\",\"status\":\"registered\",\"serving\":false,\"last_heartbeat_age\":1.25,"
        "\"polled\":true}\n"
        "}\n");
}

/* A stall moves every deadline; ages tell how long the manager has listened in vain, not how long it was away. */
static void test_ages_leave_stalls_out(void **state)
{
    struct scene *scene = *state;

    beats(scene, "w1", 0, "{}");
    pass(scene, 2000);
    hb_manager_stalled(scene->manager, 1500);
    assert_non_null(strstr(json_of(scene), "\"last_heartbeat_age\":0.5,"));
}

static void test_extreme_rates(void **state)
{
    struct scene *scene = *state;

    beats(scene, "a", 0, "{\"requests\":1,\"errors\":9007199254740992}");
    beats(scene, "b", 0, "{\"requests\":9007199254740992,\"errors\":1}");
    beats(scene, "c", 0, "{\"requests\":0,\"errors\":5}");
    beats(scene, "d", 0, "{\"requests\":3,\"errors\":1}");
    json_of(scene);
    assert_non_null(strstr(scene->text.bytes, "\"error_rate\":1000000000000,")); /* the ceiling */
    assert_non_null(strstr(scene->text.bytes, "\"error_rate\":0.333333,"));
}

/* ---- Prometheus ---- */

static void test_prometheus_lines(void **state)
{
    static const char *const lines[] = {
        "# TYPE heartbeat_manager_build_info gauge",
        "heartbeat_manager_build_info{version=\"" HB_VERSION "\",manager=\"m1\"} 1",
        "# TYPE heartbeat_manager_workers gauge",
        "heartbeat_manager_workers{status=\"registered\"} 1",
        "heartbeat_manager_workers{status=\"connected\"} 1",
        "heartbeat_manager_workers{status=\"alive\"} 2",
        "heartbeat_manager_workers{status=\"not_responding\"} 0",
        "heartbeat_manager_workers{status=\"disconnected\"} 0",
        "heartbeat_manager_workers_health{health=\"unknown\"} 3",
        "heartbeat_manager_workers_health{health=\"degraded\"} 1",
        "heartbeat_manager_workers_serving 2",
        "heartbeat_manager_workers_draining 0",
        "heartbeat_manager_workers_maintenance 0",
        "heartbeat_manager_workers_unverified 0",
        "heartbeat_manager_workers_polled 1",
        "heartbeat_manager_connections 1",
        "# TYPE heartbeat_manager_beats_total counter",
        "heartbeat_manager_beats_total 2",
        "heartbeat_manager_transitions_total{reason=\"registered\"} 4",
        "heartbeat_manager_transitions_total{reason=\"poll\"} 1",
        "heartbeat_manager_announcements_total{channel=\"server:up\"} 2",
        "heartbeat_manager_polls_total{outcome=\"answered\"} 1",
        "heartbeat_manager_polls_total{outcome=\"timed_out\"} 0",
        "heartbeat_manager_poll_duration_seconds_bucket{le=\"0.0025\"} 1",
        "heartbeat_manager_poll_duration_seconds_sum 0.0015",
        "heartbeat_manager_beat_interval_seconds_bucket{le=\"0.05\"} 0",
        "heartbeat_manager_beat_interval_seconds_bucket{le=\"0.1\"} 1",
        "heartbeat_manager_beat_interval_seconds_count 1",
        "heartbeat_manager_outbox_lost_total 0",
        "heartbeat_manager_redis_up 1",
        "heartbeat_manager_redis_in_step 0",
        "heartbeat_manager_redis_commands_total 17",
        "heartbeat_manager_redis_written_bytes_total 18446744073709551615",
        "process_cpu_seconds_total 1.5",
        "process_start_time_seconds 1795203000.25",
        "process_resident_memory_bytes 4096",
        "process_max_fds 1024",
    };
    struct scene *scene = *state;
    struct hb_scrape scrape;
    const char *text;

    registered(scene, "{\"worker_id\":\"w1\",\"port\":8001}");
    beats(scene, "w1", 0, "{}");
    pass(scene, 70);
    beats(scene, "w1", 0, "{}");
    registered(scene, "{\"worker_id\":\"w2\"}");
    registered(scene, "{\"worker_id\":\"w3\"}");
    assert_int_equal(opens(scene, "w3", 3), HB_OK);
    registered(scene, "{\"id\":\"svc\",\"url\":\"http://10.0.0.9/\"}");
    polled(scene, (struct hb_poll_result){HB_POLL_ANSWERED, 200, 1500, -1, 10, 2, {NULL, 0}});
    scrape = scrape_of(scene);
    scrape.redis = (struct hb_redis_figures){.up = true, .commands = 17, .bytes = UINT64_MAX};
    scrape.process = (struct hb_process_figures){1500000, 4096, 8192, -1, 1024};
    scrape.process_start_ms = WALL_MS + 250;
    text = prometheus_of(scene, &scrape);
    assert_null(strstr(text, "process_open_fds"));  /* not known */
    assert_null(strstr(text, "heartbeat_worker_")); /* not asked for */
    assert_null(strstr(text, "\"\"}"));             /* the reason, outcome or channel that is none */
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        assert_line(text, lines[i]);
}

/* HELP, TYPE, then nothing but samples of that family; no family twice. */
static void assert_well_ordered(char *text)
{
    char families[128][80];
    size_t count = 0;

    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strncmp(line, "# HELP ", 7) == 0) {
            assert_true(count < 128);
            assert_int_equal(sscanf(line + 7, "%79s", families[count]), 1);
            for (size_t i = 0; i < count; i++)
                assert_string_not_equal(families[i], families[count]);
            line = strtok(NULL, "\n");
            assert_non_null(line);
            assert_memory_equal(line, "# TYPE ", 7);
            assert_memory_equal(line + 7, families[count], strlen(families[count]));
            count++;
        } else {
            assert_true(count > 0);
            assert_memory_equal(line, families[count - 1], strlen(families[count - 1]));
        }
    }
    assert_true(count > 30);
}

static void test_families_stand_together(void **state)
{
    struct scene *scene = *state;
    struct hb_scrape scrape;

    registered(scene, "{\"id\":\"svc\",\"url\":\"http://10.0.0.9/\"}");
    polled(scene, (struct hb_poll_result){HB_POLL_ANSWERED, 200, 1500, 7, 10, 2, {NULL, 0}});
    beats(scene, "w1", 0, "{\"requests\":1,\"errors\":0}");
    scrape = scrape_of(scene);
    scrape.process = hb_process_figures_read();
    scrape.process_start_ms = hb_process_start_ms();
    scrape.per_worker = true;
    prometheus_of(scene, &scrape);
    assert_well_ordered(scene->text.bytes);
}

static void test_series_of_workers(void **state)
{
    struct scene *scene = *state;
    struct hb_scrape scrape;
    const char *text;

    registered(scene, "{\"id\":\"svc\",\"url\":\"http://10.0.0.9/\"}");
    polled(scene, (struct hb_poll_result){HB_POLL_ANSWERED, 503, 1500, 7250, 10, 2, {NULL, 0}});
    beats(scene, "w1", 0, "{\"worker_name\":\"a\\\"b\\\\c {x=\\\"1\\\"} \\u00e9\"}");
    pass(scene, 4200);
    scrape = scrape_of(scene);
    scrape.per_worker = true;
    text = strstr(prometheus_of(scene, &scrape), "# HELP heartbeat_worker_");
    assert_non_null(text);
#define W1 "{worker_id=\"w1\",worker_name=\"a\\\"b\\\\c {x=\\\"1\\\"} \xC3\xA9\"} "
#define SVC "{worker_id=\"svc\",worker_name=\"svc\"} "
    assert_string_equal(text, "# HELP heartbeat_worker_up Whether the worker is alive.\n"
                              "# TYPE heartbeat_worker_up gauge\n"
                              "heartbeat_worker_up" SVC "1\n"
                              "heartbeat_worker_up" W1 "1\n"
                              "# HELP heartbeat_worker_serving Whether the worker may get traffic.\n"
                              "# TYPE heartbeat_worker_serving gauge\n"
                              "heartbeat_worker_serving" SVC "0\n"
                              "heartbeat_worker_serving" W1 "0\n"
                              "# HELP heartbeat_worker_last_heartbeat_age_seconds Time since the last contact.\n"
                              "# TYPE heartbeat_worker_last_heartbeat_age_seconds gauge\n"
                              "heartbeat_worker_last_heartbeat_age_seconds" SVC "4.2\n"
                              "heartbeat_worker_last_heartbeat_age_seconds" W1 "4.2\n"
                              "# HELP heartbeat_worker_requests_total Requests, as the worker counts them.\n"
                              "# TYPE heartbeat_worker_requests_total counter\n"
                              "heartbeat_worker_requests_total" SVC "10\n"
                              "# HELP heartbeat_worker_errors_total Failed requests, as the worker counts them.\n"
                              "# TYPE heartbeat_worker_errors_total counter\n"
                              "heartbeat_worker_errors_total" SVC "2\n"
                              "# HELP heartbeat_worker_ready Whether the last HTTP check was answered with 200.\n"
                              "# TYPE heartbeat_worker_ready gauge\n"
                              "heartbeat_worker_ready" SVC "0\n"
                              "# HELP heartbeat_worker_last_checked_age_seconds Time since the last HTTP check ended.\n"
                              "# TYPE heartbeat_worker_last_checked_age_seconds gauge\n"
                              "heartbeat_worker_last_checked_age_seconds" SVC "4.2\n"
                              "# HELP heartbeat_worker_poll_status_code HTTP status of the last check; 0: no answer.\n"
                              "# TYPE heartbeat_worker_poll_status_code gauge\n"
                              "heartbeat_worker_poll_status_code" SVC "503\n"
                              "# HELP heartbeat_worker_poll_duration_seconds Time that the last HTTP check took.\n"
                              "# TYPE heartbeat_worker_poll_duration_seconds gauge\n"
                              "heartbeat_worker_poll_duration_seconds" SVC "0.0015\n"
                              "# HELP heartbeat_worker_uptime_seconds Time since its start, as the worker says.\n"
                              "# TYPE heartbeat_worker_uptime_seconds gauge\n"
                              "heartbeat_worker_uptime_seconds" SVC "7.25\n");
}

/* ---- in turns ---- */

static void test_turns_make_no_difference(void **state)
{
    static const enum hb_report_kind kinds[] = {HB_REPORT_JSON, HB_REPORT_PROMETHEUS, HB_REPORT_TARGETS};
    struct scene *scene = *state;
    struct hb_scrape scrape = scrape_of(scene);
    char json[128];

    scrape.per_worker = true;
    for (int count = 0; count < 7; count++) {
        for (size_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++) {
            char *whole = strdup(report_of(scene, kinds[kind], &scrape, SIZE_MAX));

            for (size_t most = 1; most < 8; most++)
                assert_string_equal(report_of(scene, kinds[kind], &scrape, most), whole);
            free(whole);
        }
        /* every other one has no port, and so is no target */
        snprintf(json, sizeof json, "{\"worker_id\":\"w%d\"%s}", 7 * count % 10, count % 2 ? ",\"port\":80" : "");
        registered(scene, json);
    }
}

/* Between two turns anybody may come and go. */
static void test_workers_that_come_and_go_between_turns(void **state)
{
    struct scene *scene = *state;
    struct hb_scrape scrape = scrape_of(scene);
    struct hb_report *report;

    for (int i = 1; i <= 8; i += 2) {
        char json[64];

        snprintf(json, sizeof json, "{\"worker_id\":\"w%d\"}", i);
        registered(scene, json);
    }
    scrape.per_worker = true;
    report = hb_report_new(HB_REPORT_PROMETHEUS, &scrape);
    assert_non_null(report);
    assert_true(hb_report_go_on(report, 2)); /* w1, w3 */
    assert_int_equal(hb_ingest_remove(scene->ingest, HB_TEXT("w3"), scene->now), HB_OK);
    assert_int_equal(hb_ingest_remove(scene->ingest, HB_TEXT("w5"), scene->now), HB_OK);
    registered(scene, "{\"worker_id\":\"w2\"}"); /* behind us */
    registered(scene, "{\"worker_id\":\"w6\"}"); /* before us */
    assert_true(hb_report_go_on(report, 9));     /* w6, w7 */
    registered(scene, "{\"worker_id\":\"w8\"}"); /* too late: families are being joined */
    while (hb_report_go_on(report, 9))
        ;
    hb_buf_append_char(hb_report_bytes(report), '\n');
    for (int i = 1; i <= 8; i++) {
        static const bool shown[] = {false, true, false, true, false, false, true, true, false};
        char sample[64];
        const char *first;

        snprintf(sample, sizeof sample, "heartbeat_worker_up{worker_id=\"w%d\"", i);
        first = strstr(hb_report_bytes(report)->bytes, sample);
        assert_int_equal(first != NULL, shown[i]);
        assert_true(first == NULL || strstr(first + 1, sample) == NULL);
    }
    hb_report_free(report);
}

static void test_process_figures(void **state)
{
    struct hb_process_figures figures = hb_process_figures_read();
    int64_t start_ms = hb_process_start_ms();

    (void)state;
    assert_true(figures.cpu_us >= 0);
    assert_true(figures.resident_bytes > 65536 && figures.resident_bytes <= figures.virtual_bytes);
    assert_true(figures.max_fds >= 3 && figures.open_fds <= figures.max_fds);
    assert_true(start_ms > WALL_MS - (int64_t)365 * 86400000 && start_ms <= hb_wall_now().ms + 1000);
}

/* ---- the query ---- */

static void test_query(void **state)
{
    static const struct {
        const char *parameters[2], *sentence;
        struct hb_metrics_query query;
    } cases[] = {
        {{"format=json"}, NULL, {.format = HB_METRICS_JSON}},
        {{"format=prometheus", "per_worker=1"}, NULL, {HB_METRICS_PROMETHEUS, true, true}},
        {{"per_worker=0"}, NULL, {HB_METRICS_UNSAID, true, false}},
        {{"format=xml"}, "format: \"xml\" is not a format; it must be prometheus or json", {0}},
        {{"format=JSON"}, "format: \"JSON\" is not a format; it must be prometheus or json", {0}},
        {{"format"}, "format: \"\" is not a format; it must be prometheus or json", {0}},
        {{"format=json", "format=json"}, "format: \"json\" comes a second time; it must be given at most once", {0}},
        {{"per_worker=yes"}, "per_worker: \"yes\" is neither; it must be 1 or 0", {0}},
        {{"per_worker=1", "per_worker=1"}, "per_worker: \"1\" comes a second time; it must be given at most once", {0}},
        {{"fromat=json"}, "query: \"fromat\" is not a parameter here; it must be one of format, per_worker", {0}},
        {{"?"}, "query: \"?\" is not a parameter here; it must be one of format, per_worker", {0}},
        {{"format=\x1b[31m\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
         "format: \"?[31m\"aaaaaaaaaaaaaaaaaaaaaaaaaa...\" is not a format; it must be prometheus or json",
         {0}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hb_metrics_query query = {0};
        enum hb_err err = HB_OK;
        struct hb_buf sentence;

        hb_buf_init(&sentence, 512);
        for (size_t k = 0; k < 2 && cases[i].parameters[k] != NULL && err == HB_OK; k++)
            err = hb_metrics_query_add(&query, hb_text_of(cases[i].parameters[k]), &sentence);
        if (cases[i].sentence != NULL) {
            assert_int_equal(err, HB_ERR_INVALID);
            assert_string_equal(sentence.bytes, cases[i].sentence);
        } else {
            assert_int_equal(err, HB_OK);
            assert_memory_equal(&query, &cases[i].query, sizeof query);
        }
        hb_buf_free(&sentence);
    }
}

#define SCENE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(test_beat_intervals),
        SCENE(test_detection_delay),
        SCENE(test_detection_delay_after_a_restart),
        SCENE(test_what_is_no_detection),
        SCENE(test_transitions_and_announcements),
        SCENE(test_takeovers_and_conflicts),
        SCENE(test_polls_and_probes),
        SCENE(test_json_of_nobody),
        SCENE(test_json),
        SCENE(test_ages_leave_stalls_out),
        SCENE(test_extreme_rates),
        SCENE(test_prometheus_lines),
        SCENE(test_families_stand_together),
        SCENE(test_series_of_workers),
        SCENE(test_turns_make_no_difference),
        SCENE(test_workers_that_come_and_go_between_turns),
        cmocka_unit_test(test_process_figures),
        cmocka_unit_test(test_query),
    };

    hb_log_open("test", HB_LOG_ERROR, HB_LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
