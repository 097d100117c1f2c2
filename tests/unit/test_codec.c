/*
 * codec: PROTOCOL.md's examples byte for byte in both directions, the lists of what is refused, and the edges between.
 *
 * The examples are read out of PROTOCOL.md itself: blocks fenced as ```json vector=<name>. Every one of them must have
 * its test below, so that the document cannot say what nobody checks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/wire/codec.h"
#include "proto/wire/json_strict.h"
#include "proto/wire/limits.h"
#include "proto/wire/utf8.h"

#define FENCE "```json vector="

static struct hb_decoder *decoder;
static char *protocol; /* PROTOCOL.md */

static char *read_file(const char *path)
{
    struct hb_buf buf;
    char part[4096];
    size_t len;
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fail_msg("cannot read %s", path);
        return NULL;
    }
    hb_buf_init(&buf, 1 << 20);
    while ((len = fread(part, 1, sizeof part, file)) > 0)
        hb_buf_append(&buf, part, len);
    fclose(file);
    return hb_buf_take(&buf);
}

static int set_up(void **state)
{
    (void)state;
    decoder = hb_decoder_new();
    protocol = read_file(HB_PROTOCOL_MD);
    return decoder == NULL || protocol == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    hb_decoder_free(decoder);
    free(protocol);
    return 0;
}

/* The one line of the block with that name. */
static struct hb_text vector(const char *name)
{
    char fence[80];
    snprintf(fence, sizeof fence, "\n" FENCE "%s\n", name);
    const char *start = strstr(protocol, fence);
    const char *end = start != NULL ? strstr(start + strlen(fence), "\n```") : NULL;
    if (end == NULL) {
        fail_msg("PROTOCOL.md has no vector %s", name);
        return HB_TEXT("");
    }
    start += strlen(fence);
    return (struct hb_text){start, (size_t)(end - start)};
}

static void assert_text(struct hb_text text, const char *expected)
{
    if (expected == NULL) {
        assert_null(text.bytes);
        return;
    }
    assert_non_null(text.bytes);
    if (text.len != strlen(expected) || memcmp(text.bytes, expected, text.len) != 0)
        fail_msg("\"%.*s\" is not \"%s\"", (int)text.len, text.bytes, expected);
}

/* What an encoder wrote is the vector, and is JSON that we would take ourselves. */
static void assert_wrote(struct hb_buf *buf, const char *name)
{
    struct hb_text expected = vector(name);
    assert_int_equal(hb_buf_status(buf), HB_OK);
    assert_null(hb_json_strict_check((struct hb_text){buf->bytes, buf->len}, NULL));
    if (buf->len != expected.len || memcmp(buf->bytes, expected.bytes, buf->len) != 0)
        fail_msg("%s:\n%s\nis not\n%.*s", name, buf->bytes, (int)expected.len, expected.bytes);
    hb_buf_free(buf);
}

static struct hb_registration read_registration(struct hb_text json)
{
    struct hb_registration registration;
    enum hb_err err = hb_decode_registration(decoder, json, &registration);
    if (err != HB_OK)
        fail_msg("%s: %.*s", hb_decoder_error(decoder), (int)json.len, json.bytes);
    assert_string_equal(hb_decoder_error(decoder), "");
    return registration;
}

static struct hb_beat read_beat(struct hb_text json)
{
    struct hb_beat beat;
    enum hb_err err = hb_decode_beat(decoder, json, &beat);
    if (err != HB_OK)
        fail_msg("%s: %.*s", hb_decoder_error(decoder), (int)json.len, json.bytes);
    return beat;
}

/* ---- the vectors ---- */

static void test_registration_seed(void)
{
    struct hb_registration r = read_registration(vector("registration.seed"));
    assert_text(r.id, "worker-0001");
    assert_text(r.name, "Worker 1");
    assert_text(r.host, "10.1.2.3");
    assert_int_equal(r.port, 8001);
    assert_text(r.url, NULL);
    assert_text(r.attributes, NULL);
    assert_int_equal(r.timeout_ms, 0);
    assert_int_equal(r.interval_ms, 0);
    assert_int_equal(r.poll_interval_ms, 0);
}

static void test_registration_url(void)
{
    struct hb_registration r = read_registration(vector("registration.url"));
    assert_text(r.id, "billing");
    assert_text(r.name, NULL);
    assert_text(r.host, NULL);
    assert_int_equal(r.port, 0);
    assert_text(r.url, "http://10.1.2.4:9000/health");
    assert_text(r.attributes, "{\"zone\":\"eu-1\",\"weight\":10,\"canary\":false}");
    assert_int_equal(r.poll_interval_ms, 2500);
}

static void test_registration_full(void)
{
    struct hb_buf buf;
    struct hb_registration r = read_registration(vector("registration.full"));
    assert_text(r.id, "w.1:a_b-c");
    assert_text(r.name, "W\xc3\xb6rker \"1\"");
    assert_text(r.host, "2001:db8::1");
    assert_int_equal(r.port, 65535);
    assert_text(r.url, "https://[2001:db8::1]:8443/health?deep=1");
    assert_text(r.attributes, "{\"zone\":\"eu-1\",\"weight\":1.50,\"build\":12345678901234567890,"
                              "\"note\":\"caf\\u00e9 \\ud83d\\ude00\"}");
    assert_int_equal(r.timeout_ms, 1500);
    assert_int_equal(r.interval_ms, 250);
    assert_int_equal(r.poll_interval_ms, 500);
    hb_buf_init(&buf, HB_BODY_BYTES_MAX);
    hb_encode_registration(&buf, &r);
    assert_wrote(&buf, "registration.full");
}

static void test_register_answer(void)
{
    struct hb_buf buf;
    int64_t timeout_ms = -1;
    hb_buf_init(&buf, 1024);
    hb_encode_register_answer(&buf, HB_TEXT("worker-0001"), 15000, true);
    assert_wrote(&buf, "register_answer");
    assert_int_equal(hb_decode_register_answer(decoder, vector("register_answer"), &timeout_ms), HB_OK);
    assert_int_equal(timeout_ms, 15000);
}

static void test_error(void)
{
    struct hb_buf buf;
    struct hb_registration registration;
    hb_buf_init(&buf, 1024);
    assert_int_equal(hb_decode_registration(decoder, HB_TEXT("{\"worker_id\":\"a\",\"port\":\"8080\"}"), &registration),
                     HB_ERR_SHAPE);
    hb_encode_error(&buf, hb_decoder_error(decoder));
    assert_wrote(&buf, "error");
}

static void test_beat_seed(void)
{
    struct hb_beat beat = read_beat(vector("beat.seed"));
    assert_int_equal(beat.kind, HB_BEAT_ALIVE);
    assert_text(beat.name, "Worker 1");
    assert_text(beat.status_text, "alive");
    assert_text(beat.metrics, "{\"cpu\":12.5,\"memory\":40.1}");
    assert_text(beat.attributes, NULL);
    assert_int_equal(beat.requests, -1);
    assert_int_equal(beat.errors, -1);
}

static void test_beat_full(void)
{
    struct hb_beat beat = read_beat(vector("beat.full"));
    assert_int_equal(beat.kind, HB_BEAT_PLAIN);
    assert_text(beat.name, "Worker 1");
    assert_text(beat.status_text, "warming up");
    assert_text(beat.metrics, "{\"cpu\":12.50,\"load\":1e-3}");
    assert_text(beat.attributes, "{\"zone\":\"eu-1\"}");
    assert_int_equal(beat.requests, 120);
    assert_int_equal(beat.errors, 3);
}

static hb_wall_ms at(const char *text)
{
    hb_wall_ms time;
    assert_int_equal(hb_wall_parse(text, strlen(text), &time), HB_OK);
    return time;
}

static const struct hb_text manager = {"manager-1-8000", 14};

/* Reads a vector as a row and writes it again: the bytes must be the same, so that no member got lost. */
static struct hb_row row_of(const char *name)
{
    struct hb_buf buf;
    struct hb_row row;
    bool seed_shape = true;
    if (hb_decode_row(decoder, vector(name), &row, &seed_shape) != HB_OK)
        fail_msg("%s: %s", name, hb_decoder_error(decoder));
    assert_false(seed_shape);
    hb_buf_init(&buf, HB_ROW_BYTES_MAX);
    hb_encode_row(&buf, &row);
    assert_wrote(&buf, name);
    return row;
}

static void test_row(void)
{
    struct hb_buf buf;
    struct hb_row row = {
        .id = HB_TEXT("worker-0001"),
        .name = HB_TEXT("Worker 1"),
        .host = HB_TEXT("10.1.2.3"),
        .port = 8001,
        .status = HB_STATUS_ALIVE,
        .last_heartbeat = at("2026-11-20T19:45:00.123Z"),
        .since = at("2026-11-20T19:00:00Z"),
        .reason = HB_REASON_BEAT,
        .serving = true,
        .announced = HB_ANNOUNCED_UP,
        .metrics = HB_TEXT("{\"cpu\":12.5,\"memory\":40.1}"),
        .requests = -1,
        .errors = -1,
        .timeout_ms = 15000,
        .manager = manager,
        .epoch = 1795203000000,
        .seq = 7,
    };
    hb_buf_init(&buf, HB_ROW_BYTES_MAX);
    hb_encode_row(&buf, &row);
    assert_wrote(&buf, "row");
    struct hb_row again = row_of("row");
    assert_true(again.beats); /* without url it can do nothing else */
    assert_false(again.unverified || again.ready || again.draining || again.maintenance || again.flapping ||
                 again.id_conflict);
    assert_int_equal(again.requests, -1);
    assert_int_equal(again.errors, -1);
}

static void test_row_full(void)
{
    struct hb_row row = row_of("row.full");
    assert_text(row.id, "billing");
    assert_text(row.name, "Billing \"A\"");
    assert_text(row.host, "2001:db8::1");
    assert_int_equal(row.port, 9000);
    assert_int_equal(row.status, HB_STATUS_DISCONNECTED);
    assert_int_equal(row.last_heartbeat.ms, at("2026-11-20T19:45:00.001Z").ms);
    assert_int_equal(row.since.ms, at("2026-11-20T19:45:01.500Z").ms);
    assert_int_equal(row.reason, HB_REASON_CONNECTION_CLOSED);
    assert_false(row.serving);
    assert_int_equal(row.announced, HB_ANNOUNCED_DOWN);
    assert_int_equal(row.health, HB_HEALTH_DEGRADED);
    assert_true(row.unverified && row.beats && row.ready && row.draining && row.maintenance && row.flapping &&
                row.id_conflict);
    assert_int_equal(row.maintenance_until.ms, at("2026-11-20T20:15:00Z").ms);
    assert_text(row.maintenance_reason, "new disks");
    assert_text(row.url, "http://[2001:db8::1]:9000/health");
    assert_text(row.attributes, "{\"zone\":\"eu-1\",\"weight\":1.50}");
    assert_text(row.metrics, "{\"cpu\":99}");
    assert_text(row.reported_status, "warming up");
    assert_int_equal(row.requests, 120);
    assert_int_equal(row.errors, 0);
    assert_int_equal(row.timeout_ms, 1500);
    assert_int_equal(row.interval_ms, 250);
    assert_int_equal(row.poll_interval_ms, 2500);
    assert_text(row.manager, "manager-1-8000");
    assert_true(row.epoch == 1795203000000 && row.seq == UINT64_C(9007199254740993));
}

static void test_maintenance(void)
{
    struct hb_maintenance maintenance;
    enum hb_err err = hb_decode_maintenance(decoder, vector("maintenance"), &maintenance);
    if (err != HB_OK)
        fail_msg("%s", hb_decoder_error(decoder));
    assert_int_equal(maintenance.ttl_ms, 600500);
    assert_text(maintenance.reason, "new disks");
}

static void test_row_registered(void)
{
    struct hb_row row = row_of("row.registered");
    assert_int_equal(row.status, HB_STATUS_REGISTERED);
    assert_text(row.host, NULL);
    assert_int_equal(row.port, 0);
    assert_int_equal(row.last_heartbeat.ms, 0);
    assert_int_equal(row.announced, HB_ANNOUNCED_NONE);
}

static void test_row_seed(void)
{
    struct hb_row row;
    bool seed_shape = false;
    assert_int_equal(hb_decode_row(decoder, vector("row.seed"), &row, &seed_shape), HB_OK);
    assert_true(seed_shape);
    assert_text(row.id, "worker-7");
    assert_text(row.name, "Worker 7");
    assert_text(row.host, "localhost");
    assert_int_equal(row.port, 8007);
    assert_int_equal(row.status, HB_STATUS_ALIVE);
    assert_int_equal(row.last_heartbeat.ms, at("2026-11-20T19:45:00.123Z").ms);
    assert_true(row.serving && row.beats);
    assert_int_equal(row.announced, HB_ANNOUNCED_UP);
    assert_int_equal(row.since.ms, 0);
    assert_int_equal(row.timeout_ms, 0);
    assert_true(row.epoch == 0 && row.seq == 0);
}

static void test_event(void)
{
    struct hb_buf buf;
    struct hb_event event = {
        .id = HB_TEXT("worker-0001"),
        .name = HB_TEXT("Worker 1"),
        .host = HB_TEXT("10.1.2.3"),
        .port = 8001,
        .status = HB_STATUS_NOT_RESPONDING,
        .previous = HB_STATUS_ALIVE,
        .reason = HB_REASON_HEARTBEAT_TIMEOUT,
        .edge = HB_EDGE_DOWN,
        .manager = manager,
        .epoch = 1795203000000,
        .seq = 8,
        .at = at("2026-11-20T19:45:15.124Z"),
    };
    hb_buf_init(&buf, HB_ROW_BYTES_MAX);
    hb_encode_event(&buf, &event);
    assert_wrote(&buf, "event");
}

static void test_event_url(void)
{
    struct hb_buf buf;
    struct hb_event event = {
        .id = HB_TEXT("billing"),
        .name = HB_TEXT("billing"),
        .url = HB_TEXT("http://10.1.2.4:9000/health"),
        .status = HB_STATUS_ALIVE,
        .previous = HB_STATUS_REGISTERED,
        .serving = true,
        .ready = true,
        .health = HB_HEALTH_HEALTHY,
        .reason = HB_REASON_POLL,
        .edge = HB_EDGE_UP,
        .manager = manager,
        .epoch = 1795203000000,
        .seq = 9,
        .at = at("2026-11-20T19:45:16Z"),
    };
    hb_buf_init(&buf, HB_ROW_BYTES_MAX);
    hb_encode_event(&buf, &event);
    assert_wrote(&buf, "event.url");
}

static const struct {
    const char *name;
    void (*test)(void);
} vectors[] = {
    {"error", test_error},
    {"registration.seed", test_registration_seed},
    {"registration.url", test_registration_url},
    {"registration.full", test_registration_full},
    {"register_answer", test_register_answer},
    {"beat.seed", test_beat_seed},
    {"beat.full", test_beat_full},
    {"row", test_row},
    {"row.full", test_row_full},
    {"maintenance", test_maintenance},
    {"row.registered", test_row_registered},
    {"row.seed", test_row_seed},
    {"event", test_event},
    {"event.url", test_event_url},
};

#define VECTOR_COUNT (sizeof vectors / sizeof vectors[0])

static void test_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < VECTOR_COUNT; i++)
        vectors[i].test();
}

static void test_every_block_is_a_vector_and_has_its_test(void **state)
{
    size_t fences = 0, marked = 0;
    (void)state;
    for (const char *block = protocol; (block = strstr(block, "\n```json")) != NULL; block++)
        fences++;
    for (const char *block = protocol; (block = strstr(block, "\n" FENCE)) != NULL; block++) {
        const char *name = block + 1 + strlen(FENCE);
        size_t len = strcspn(name, "\n"), i = 0;
        while (i < VECTOR_COUNT && (strlen(vectors[i].name) != len || memcmp(vectors[i].name, name, len) != 0))
            i++;
        if (i == VECTOR_COUNT)
            fail_msg("no test for vector %.*s", (int)len, name);
        marked++;
    }
    assert_int_equal(fences, marked);
    assert_int_equal(marked, VECTOR_COUNT);
}

/* ---- the lists of what is refused ---- */

static enum hb_err decode_as_registration(struct hb_text json)
{
    struct hb_registration untouched, registration;
    memset(&registration, 0x5a, sizeof registration);
    memset(&untouched, 0x5a, sizeof untouched);
    enum hb_err err = hb_decode_registration(decoder, json, &registration);
    assert_memory_equal(&registration, &untouched, sizeof untouched);
    return err;
}

static enum hb_err decode_as_beat(struct hb_text json)
{
    struct hb_beat untouched, beat;
    memset(&beat, 0x5a, sizeof beat);
    memset(&untouched, 0x5a, sizeof untouched);
    enum hb_err err = hb_decode_beat(decoder, json, &beat);
    assert_memory_equal(&beat, &untouched, sizeof untouched);
    return err;
}

static enum hb_err decode_as_maintenance(struct hb_text json)
{
    struct hb_maintenance untouched, maintenance;
    memset(&maintenance, 0x5a, sizeof maintenance);
    memset(&untouched, 0x5a, sizeof untouched);
    enum hb_err err = hb_decode_maintenance(decoder, json, &maintenance);
    assert_memory_equal(&maintenance, &untouched, sizeof untouched);
    return err;
}

/* Ends with its last byte, so that a sanitizer or valgrind sees a read beyond it. */
static char *exact_copy(struct hb_text text)
{
    char *copy = malloc(text.len);
    assert_non_null(copy);
    memcpy(copy, text.bytes, text.len);
    return copy;
}

/* One line: <code> TAB <sentence> TAB <json>. */
static void check_line(char *line, enum hb_err (*decode)(struct hb_text))
{
    char *sentence = strchr(line, '\t');
    assert_non_null(sentence);
    *sentence++ = '\0';
    char *json = strchr(sentence, '\t');
    assert_non_null(json);
    *json++ = '\0';
    enum hb_err expected = strcmp(line, "SYNTAX") == 0 ? HB_ERR_SYNTAX : HB_ERR_SHAPE;
    assert_string_equal(line, expected == HB_ERR_SYNTAX ? "SYNTAX" : "SHAPE");
    char *copy = exact_copy(hb_text_of(json));
    enum hb_err err = decode((struct hb_text){copy, strlen(json)});
    free(copy);
    if (err != expected || strcmp(hb_decoder_error(decoder), sentence) != 0)
        fail_msg("%s\nis refused with %s: %s\nbut should be with %s", json, hb_err_text(err), hb_decoder_error(decoder),
                 sentence);
    assert_int_not_equal(hb_utf8_check(sentence, strlen(sentence)), HB_UTF8_BROKEN);
}

static void check_list(const char *path, enum hb_err (*decode)(struct hb_text), int at_least)
{
    char *list = read_file(path), *rest = list, *line;
    int lines = 0;
    while ((line = strsep(&rest, "\n")) != NULL) {
        if (line[0] == '\0' || line[0] == '#')
            continue;
        check_line(line, decode);
        lines++;
    }
    free(list);
    assert_in_range(lines, at_least, INT32_MAX);
}

static void test_bad_registrations(void **state)
{
    (void)state;
    check_list(HB_VECTORS_DIR "/bad_registrations.txt", decode_as_registration, 100);
}

static void test_bad_beats(void **state)
{
    (void)state;
    check_list(HB_VECTORS_DIR "/bad_beats.txt", decode_as_beat, 40);
}

static void test_bad_maintenances(void **state)
{
    (void)state;
    check_list(HB_VECTORS_DIR "/bad_maintenances.txt", decode_as_maintenance, 11);
}

static void test_maintenance_defaults(void **state)
{
    struct hb_maintenance maintenance;
    (void)state;
    assert_int_equal(hb_decode_maintenance(decoder, HB_TEXT("{}"), &maintenance), HB_OK);
    assert_int_equal(maintenance.ttl_ms, HB_MAINTENANCE_MAX_MS);
    assert_null(maintenance.reason.bytes);
    assert_int_equal(hb_decode_maintenance(decoder, HB_TEXT("{\"ttl\":null,\"reason\":null}"), &maintenance), HB_OK);
    assert_int_equal(maintenance.ttl_ms, HB_MAINTENANCE_MAX_MS);
}

static void test_empty_text_is_no_json(void **state)
{
    (void)state;
    assert_int_equal(decode_as_beat((struct hb_text){NULL, 0}), HB_ERR_SYNTAX);
    assert_int_equal(decode_as_beat(HB_TEXT("")), HB_ERR_SYNTAX);
    assert_string_equal(hb_decoder_error(decoder), "not JSON: the text is empty at byte 0");
}

/* ---- the edges of what is accepted ---- */

static void test_null_is_absent(void **state)
{
    (void)state;
    struct hb_registration r = read_registration(
        HB_TEXT("{\"worker_id\":null,\"id\":\"a\",\"worker_name\":null,\"name\":null,\"host\":null,\"port\":null,"
                "\"url\":null,\"attributes\":null,\"heartbeat_timeout\":null,\"heartbeat_interval\":null,"
                "\"poll_interval_sec\":null}"));
    assert_text(r.id, "a");
    assert_text(r.name, NULL);
    assert_text(r.host, NULL);
    assert_text(r.url, NULL);
    assert_text(r.attributes, NULL);
    assert_int_equal(r.port + r.timeout_ms + r.interval_ms + r.poll_interval_ms, 0);
    struct hb_beat beat = read_beat(HB_TEXT("{\"status\":null,\"worker_name\":null,\"metrics\":null,"
                                            "\"attributes\":null,\"requests\":null,\"errors\":null}"));
    assert_int_equal(beat.kind, HB_BEAT_PLAIN);
    assert_text(beat.status_text, NULL);
    assert_text(beat.name, NULL);
    assert_text(beat.metrics, NULL);
    assert_text(beat.attributes, NULL);
    assert_int_equal(beat.requests, -1);
    assert_int_equal(beat.errors, -1);
}

static void test_both_spellings(void **state)
{
    (void)state;
    struct hb_registration r =
        read_registration(HB_TEXT("{\"name\":\"N\",\"id\":\"\\u0061\",\"worker_id\":\"a\",\"worker_name\":\"N\"}"));
    assert_text(r.id, "a");
    assert_text(r.name, "N");
    assert_text(read_registration(HB_TEXT("{\"id\":\"a\",\"name\":\"N\"}")).name, "N");
    assert_text(read_registration(HB_TEXT("{\"worker\\u005fid\":\"b\"}")).id, "b");
}

static void test_unknown_members_are_ignored(void **state)
{
    (void)state;
    struct hb_registration r = read_registration(
        HB_TEXT("{\"worker_id\":\"a\",\"status\":7,\"last_heartbeat\":{},\"x\":[[[[[[[1]]]]]]],\"Port\":\"x\"}"));
    assert_text(r.id, "a");
    struct hb_beat beat = read_beat(HB_TEXT("{\"timestamp\":12,\"worker_id\":[],\"id\":{\"a\":1}}"));
    assert_int_equal(beat.kind, HB_BEAT_PLAIN);
}

static void test_kinds_of_beats(void **state)
{
    (void)state;
    assert_int_equal(read_beat(HB_TEXT("{}")).kind, HB_BEAT_PLAIN);
    assert_int_equal(read_beat(HB_TEXT("{\"status\":\"alive\"}")).kind, HB_BEAT_ALIVE);
    assert_int_equal(read_beat(HB_TEXT("{\"status\":\"al\\u0069ve\"}")).kind, HB_BEAT_ALIVE);
    assert_int_equal(read_beat(HB_TEXT("{\"status\":\"draining\"}")).kind, HB_BEAT_DRAINING);
    assert_int_equal(read_beat(HB_TEXT("{\"status\":\"bye\"}")).kind, HB_BEAT_BYE);
    assert_int_equal(read_beat(HB_TEXT("{\"status\":\"Bye\"}")).kind, HB_BEAT_PLAIN);
    assert_int_equal(read_beat(HB_TEXT("{\"status\":\"\"}")).kind, HB_BEAT_PLAIN);
    assert_text(read_beat(HB_TEXT("{\"status\":\"\"}")).status_text, "");
}

static void test_numbers_at_their_bounds(void **state)
{
    (void)state;
    assert_int_equal(read_registration(HB_TEXT("{\"id\":\"a\",\"port\":1}")).port, 1);
    assert_int_equal(read_registration(HB_TEXT("{\"id\":\"a\",\"heartbeat_timeout\":0.1}")).timeout_ms, 100);
    assert_int_equal(read_registration(HB_TEXT("{\"id\":\"a\",\"heartbeat_timeout\":86400}")).timeout_ms, 86400000);
    assert_int_equal(read_registration(HB_TEXT("{\"id\":\"a\",\"heartbeat_timeout\":1.5e1}")).timeout_ms, 15000);
    assert_int_equal(read_registration(HB_TEXT("{\"id\":\"a\",\"heartbeat_timeout\":0.1236}")).timeout_ms, 124);
    assert_int_equal(read_registration(HB_TEXT("{\"id\":\"a\",\"heartbeat_interval\":1e-9}")).interval_ms, 1);
    assert_int_equal(read_registration(HB_TEXT("{\"id\":\"a\",\"heartbeat_interval\":8.64e4}")).interval_ms, 86400000);
    assert_true(read_beat(HB_TEXT("{\"requests\":9007199254740992,\"errors\":0}")).requests ==
                INT64_C(9007199254740992));
    assert_int_equal(read_beat(HB_TEXT("{\"requests\":-0}")).requests, 0);
}

static void test_texts_at_their_bounds(void **state)
{
    char json[1200], text[HB_HOST_MAX + 1];
    (void)state;
    memset(text, 'a', sizeof text);
    snprintf(json, sizeof json, "{\"id\":\"%.*s\",\"name\":\"%.*s\",\"host\":\"%.*s\"}", HB_ID_MAX, text, HB_NAME_MAX,
             text, HB_HOST_MAX, text);
    struct hb_registration r = read_registration(hb_text_of(json));
    assert_int_equal(r.id.len, HB_ID_MAX);
    assert_int_equal(r.name.len, HB_NAME_MAX);
    assert_int_equal(r.host.len, HB_HOST_MAX);
    /* Six bytes of escape are one byte of status. */
    struct hb_buf buf;
    hb_buf_init(&buf, 1024);
    hb_buf_append_str(&buf, "{\"status\":\"");
    for (int i = 0; i < HB_STATUS_TEXT_MAX; i++)
        hb_buf_append_str(&buf, "\\u0061");
    hb_buf_append_str(&buf, "\"}");
    assert_int_equal(read_beat((struct hb_text){buf.bytes, buf.len}).status_text.len, HB_STATUS_TEXT_MAX);
    hb_buf_free(&buf);
}

static void test_urls(void **state)
{
    static const char *const good[] = {
        "http://a",       "HTTP://a/b",   "https://a.example:443/x?y#z", "tcp://redis:6379", "http://[::1]",
        "http://[::1]:1", "http://a?x@y", "http://1.2.3.4:65535/p@th",   "http://a/\xc3\xb6"};
    char json[128];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        snprintf(json, sizeof json, "{\"id\":\"a\",\"url\":\"%s\"}", good[i]);
        assert_text(read_registration(hb_text_of(json)).url, good[i]);
    }
}

static void test_objects_are_compacted_and_otherwise_kept(void **state)
{
    (void)state;
    assert_text(read_beat(HB_TEXT("{\"metrics\":{}}")).metrics, "{}");
    assert_text(read_beat(HB_TEXT("{\"metrics\": {\t} }")).metrics, "{}");
    assert_text(read_beat(HB_TEXT("{\"metrics\":{\"a\":null,\"b\":null}}")).metrics, "{}");
    assert_text(read_beat(HB_TEXT("{\"metrics\":{ \"a\" : -0 , \"b\":null , \"c\"\n:\r1E5 }}")).metrics,
                "{\"a\":-0,\"c\":1E5}");
    assert_text(read_beat(HB_TEXT("{\"metrics\":{\"a\":123456789012345678901234567890.10}}")).metrics,
                "{\"a\":123456789012345678901234567890.10}");
    struct hb_beat beat = read_beat(HB_TEXT("{\"attributes\": { \"a b\" : \"{ \\\"x\\\" : 1, }\" , \"t\": true } , "
                                            "\"metrics\" : { \"m\\u00f6\" : 1 }}"));
    assert_text(beat.attributes, "{\"a b\":\"{ \\\"x\\\" : 1, }\",\"t\":true}");
    assert_text(beat.metrics, "{\"m\\u00f6\":1}");
}

static void test_pairs_at_their_bounds(void **state)
{
    struct hb_buf buf;
    (void)state;
    hb_buf_init(&buf, HB_BODY_BYTES_MAX);
    hb_buf_append_str(&buf, "{\"metrics\":{");
    for (int i = 0; i < HB_METRICS_MAX; i++)
        hb_buf_printf(&buf, "\"m%d\":%d,\"none%d\":null,", i, i, i);
    hb_buf_append_str(&buf, "\"last\":null},\"attributes\":{");
    for (int i = 0; i < HB_ATTRIBUTES_MAX; i++)
        hb_buf_printf(&buf, "%s\"%064d\":\"%0256d\"", i > 0 ? "," : "", i, i);
    hb_buf_append_str(&buf, "}}");
    struct hb_beat beat = read_beat((struct hb_text){buf.bytes, buf.len});
    assert_null(hb_json_strict_check(beat.metrics, NULL));
    assert_null(hb_json_strict_check(beat.attributes, NULL));
    assert_int_equal(beat.attributes.len, 1 + HB_ATTRIBUTES_MAX * (64 + 256 + 6));
    hb_buf_free(&buf);
}

static void test_texts_live_until_the_next_call(void **state)
{
    char json[] = "{\"worker_name\":\"Worker 1\",\"status\":\"busy\",\"metrics\":{\"a\":1}}";
    (void)state;
    struct hb_beat beat = read_beat((struct hb_text){json, sizeof json - 1});
    memset(json, '!', sizeof json); /* nothing that was handed out lies in the source */
    assert_text(beat.name, "Worker 1");
    assert_text(beat.status_text, "busy");
    assert_text(beat.metrics, "{\"a\":1}");
}

static void test_a_refusal_does_not_spoil_the_next_message(void **state)
{
    (void)state;
    assert_int_equal(decode_as_beat(HB_TEXT("{\"status\":\"al")), HB_ERR_SYNTAX);
    assert_int_equal(decode_as_beat(HB_TEXT("{\"status\":1}")), HB_ERR_SHAPE);
    test_beat_seed();
    assert_string_equal(hb_decoder_error(decoder), "");
}

static void test_a_sentence_is_utf8_whatever_was_sent(void **state)
{
    char json[128];
    (void)state;
    for (int ascii = 0; ascii < 4; ascii++) { /* so that the cut falls on each byte of a character */
        snprintf(json, sizeof json, "{\"port\":\"%.*s%s\",\"id\":\"a\"}", ascii, "abc",
                 "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80"
                 "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\x7f");
        assert_int_equal(decode_as_registration(hb_text_of(json)), HB_ERR_SHAPE);
        const char *sentence = hb_decoder_error(decoder);
        assert_int_equal(hb_utf8_check(sentence, strlen(sentence)), HB_UTF8_PLAIN);
        assert_non_null(strstr(sentence, "..."));
    }
    assert_int_equal(decode_as_registration(HB_TEXT("{\"id\":\"\x7f\"}")), HB_ERR_SHAPE);
    assert_string_equal(hb_decoder_error(decoder), "id: \"?\" has a character outside [A-Za-z0-9._:-]");
}

static void test_messages_have_a_ceiling(void **state)
{
    char *json = malloc(HB_ROW_BYTES_MAX + 1);
    (void)state;
    assert_non_null(json);
    memset(json, ' ', HB_ROW_BYTES_MAX + 1);
    json[0] = '{';
    json[1] = '}';
    assert_int_equal(read_beat((struct hb_text){json, HB_ROW_BYTES_MAX}).kind, HB_BEAT_PLAIN);
    assert_int_equal(decode_as_beat((struct hb_text){json, HB_ROW_BYTES_MAX + 1}), HB_ERR_SHAPE);
    assert_string_equal(hb_decoder_error(decoder), "the message has 32769 bytes; at most 32768 are taken");
    free(json);
}

static void test_register_answers(void **state)
{
    int64_t timeout_ms = -1;
    (void)state;
    assert_int_equal(hb_decode_register_answer(decoder, HB_TEXT("{\"status\":\"success\"}"), &timeout_ms), HB_OK);
    assert_int_equal(timeout_ms, 0);
    assert_int_equal(hb_decode_register_answer(decoder, HB_TEXT("{\"heartbeat_timeout\":0.25}"), &timeout_ms), HB_OK);
    assert_int_equal(timeout_ms, 250);
    assert_int_equal(hb_decode_register_answer(decoder, HB_TEXT("{\"heartbeat_timeout\":\"x\"}"), &timeout_ms),
                     HB_ERR_SHAPE);
    assert_int_equal(hb_decode_register_answer(decoder, HB_TEXT("<html>"), &timeout_ms), HB_ERR_SYNTAX);
    assert_int_equal(timeout_ms, 250);
}

static void test_a_registration_of_an_id_alone(void **state)
{
    struct hb_buf buf;
    (void)state;
    hb_buf_init(&buf, 1024);
    hb_encode_registration(&buf, &(struct hb_registration){.id = HB_TEXT("a")});
    assert_string_equal(buf.bytes, "{\"worker_id\":\"a\"}");
    hb_buf_free(&buf);
}

static void test_an_encoder_says_when_there_is_no_room(void **state)
{
    struct hb_buf buf;
    (void)state;
    hb_buf_init(&buf, 40);
    hb_encode_error(&buf, "a sentence that is longer than forty bytes");
    assert_int_equal(hb_buf_status(&buf), HB_ERR_FULL);
    hb_buf_free(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_every_block_is_a_vector_and_has_its_test),
        cmocka_unit_test(test_bad_registrations),
        cmocka_unit_test(test_bad_beats),
        cmocka_unit_test(test_bad_maintenances),
        cmocka_unit_test(test_maintenance_defaults),
        cmocka_unit_test(test_empty_text_is_no_json),
        cmocka_unit_test(test_null_is_absent),
        cmocka_unit_test(test_both_spellings),
        cmocka_unit_test(test_unknown_members_are_ignored),
        cmocka_unit_test(test_kinds_of_beats),
        cmocka_unit_test(test_numbers_at_their_bounds),
        cmocka_unit_test(test_texts_at_their_bounds),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_objects_are_compacted_and_otherwise_kept),
        cmocka_unit_test(test_pairs_at_their_bounds),
        cmocka_unit_test(test_texts_live_until_the_next_call),
        cmocka_unit_test(test_a_refusal_does_not_spoil_the_next_message),
        cmocka_unit_test(test_a_sentence_is_utf8_whatever_was_sent),
        cmocka_unit_test(test_messages_have_a_ceiling),
        cmocka_unit_test(test_register_answers),
        cmocka_unit_test(test_a_registration_of_an_id_alone),
        cmocka_unit_test(test_an_encoder_says_when_there_is_no_room),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
