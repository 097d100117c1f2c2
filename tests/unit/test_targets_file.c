/*
 * TARGETS_FILE: what its entries become, and what is said about a file with faults. HEALTH_STATUS_FILE: what it says of
 * which worker.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "manager/app/health_status.h"
#include "manager/app/targets_file.h"
#include "proto/base/log.h"

#define WALL_MS 1795203000000
#define MOST 1000

struct fixture {
    struct hb_manager *manager;
    struct hb_moment now;
    struct hb_buf sentences;
};

static int set_up(void **state)
{
    const struct hb_registry_rules rules = {
        .timeout_ms = 15000,
        .max_workers = MOST,
        .polling = true,
        .poll_interval_ms = 10000,
        .poll_fast_ms = 1000,
        .poll_concurrency = 5,
        .poll_fall = 3,
        .poll_rise = 2,
        .degraded_error_rate = 0.1,
        .reap_after_ms = 60000,
    };
    struct fixture *fixture = calloc(1, sizeof *fixture);

    fixture->now = (struct hb_moment){{1000}, {WALL_MS}};
    fixture->manager = hb_manager_new(HB_TEXT("m1"), &rules, fixture->now);
    hb_buf_init(&fixture->sentences, 16384); /* what the configuration lends */
    assert_non_null(fixture->manager);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    hb_manager_free(fixture->manager);
    hb_buf_free(&fixture->sentences);
    free(fixture);
    return 0;
}

/* In a copy that ends with its last byte, so that a sanitizer or valgrind sees a read beyond it. */
static enum hb_err apply(struct fixture *fixture, const char *json, size_t *ret_count)
{
    struct hb_text text = {NULL, strlen(json)};
    char *copy = malloc(text.len > 0 ? text.len : 1);
    enum hb_err err;

    assert_non_null(copy);
    memcpy(copy, json, text.len);
    text.bytes = copy;
    hb_buf_clear(&fixture->sentences);
    err = hb_targets_apply(text, "targets.json", MOST, fixture->manager, fixture->now, &fixture->sentences, ret_count);
    free(copy);
    return err;
}

static void must_apply(struct fixture *fixture, const char *json, size_t count)
{
    size_t found = 0;
    enum hb_err err = apply(fixture, json, &found);

    if (err != HB_OK)
        fail_msg("%s", fixture->sentences.bytes);
    assert_int_equal(found, count);
    assert_int_equal(fixture->sentences.len, 0);
}

static void must_refuse(struct fixture *fixture, const char *json, const char *sentences)
{
    size_t count = 77;

    assert_int_equal(apply(fixture, json, &count), HB_ERR_INVALID);
    assert_string_equal(fixture->sentences.bytes, sentences);
    assert_int_equal(count, 77);
    assert_int_equal(hb_registry_count(hb_manager_registry(fixture->manager)), 0);
}

static const struct hb_worker *worker(struct fixture *fixture, const char *id)
{
    const struct hb_worker *found = hb_registry_find(hb_manager_registry(fixture->manager), hb_text_of(id));

    if (found == NULL)
        fail_msg("%s is not known", id);
    return found;
}

/* ---- what entries become ---- */

static void the_small_projects_file_is_understood(void **state)
{
    struct fixture *fixture = *state;
    const struct hb_worker *first;

    must_apply(fixture,
               "{\n  \"server_list\": [\n"
               "    {\"id\": 1, \"host\": \"127.0.0.1\", \"port\": 5001},\n"
               "    {\"id\": 2, \"host\": \"127.0.0.1\", \"port\": 5002},\n"
               "    {\"id\": 3, \"host\": \"127.0.0.1\", \"port\": 5003}\n  ]\n}\n",
               3);
    first = worker(fixture, "1");
    assert_string_equal(first->name, "server1");
    assert_string_equal(first->host, "127.0.0.1");
    assert_int_equal(first->port, 5001);
    assert_string_equal(first->url, "http://127.0.0.1:5001");
    assert_int_equal(first->status, HB_STATUS_REGISTERED);
    assert_true(first->fixed);
    assert_false(first->beats);
    assert_string_equal(worker(fixture, "3")->url, "http://127.0.0.1:5003");
}

static void every_spelling_is_taken(void **state)
{
    struct fixture *fixture = *state;

    must_apply(fixture,
               "{\"other\":[[]],\"server_list\":["
               "{\"id\":\"7\",\"host\":\"::1\",\"port\":\"8080\",\"unknown\":{\"deep\":[1,\"]\"]}} ,"
               "{\"id\":\"db.main\",\"url\":\"tcp://10.0.0.7:5432\",\"attributes\":{\"zone\":\"eu\"}},"
               "{\"id\":0,\"name\":\"Front \\\"A\\\" ]}\",\"url\":\"https://a.example/ping\",\"host\":\"b\",\"port\":9,"
               "\"poll_interval_sec\":2.5}\n],\"more\":1}",
               3);
    assert_string_equal(worker(fixture, "7")->url, "http://[::1]:8080");
    assert_string_equal(worker(fixture, "7")->name, "server7");
    assert_string_equal(worker(fixture, "db.main")->name, "db.main");
    assert_string_equal(worker(fixture, "db.main")->attributes, "{\"zone\":\"eu\"}");
    assert_null(worker(fixture, "db.main")->host);
    assert_string_equal(worker(fixture, "0")->name, "Front \"A\" ]}");
    assert_string_equal(worker(fixture, "0")->url, "https://a.example/ping");
    assert_int_equal(worker(fixture, "0")->port, 9);
    assert_int_equal(worker(fixture, "0")->poll_interval_ms, 2500);
}

static void an_empty_list_is_good(void **state)
{
    must_apply(*state, "{\"server_list\":[]}", 0);
    must_apply(*state, " {\"server_\\u006cist\" : [ ] } ", 0);
}

static void they_are_polled_at_once_and_never_reaped(void **state)
{
    struct fixture *fixture = *state;
    const struct hb_worker *polled;
    uint64_t ticket;

    must_apply(fixture, "{\"server_list\":[{\"id\":1,\"host\":\"a\",\"port\":1}]}", 1);
    assert_true(hb_registry_take_poll(hb_manager_registry(fixture->manager), fixture->now, &polled, &ticket));
    assert_ptr_equal(polled, worker(fixture, "1"));

    const struct hb_registration other = {.url = HB_TEXT("http://b:1")};
    const struct hb_input input = {.kind = HB_INPUT_REGISTER, .id = HB_TEXT("other"), .registration = &other};
    assert_int_equal(hb_manager_apply(fixture->manager, &input, fixture->now), HB_OK);
    fixture->now.mono.ms += 61000;
    assert_false(hb_manager_expire(fixture->manager, fixture->now, 10));
    assert_null(hb_registry_find(hb_manager_registry(fixture->manager), HB_TEXT("other")));
    (void)worker(fixture, "1");
}

/* ---- what is refused ---- */

static void a_bad_file_is_refused_with_its_line(void **state)
{
    static const struct {
        const char *json, *sentence;
    } table[] = {
        {"", "targets.json: line 1: not JSON: the text is empty\n"},
        {"server1: up\n", "targets.json: line 1: not JSON: a value is expected\n"},
        {"{\n\"server_list\":\n[{]\n}",
         "targets.json: line 3: not JSON: a member's name in double quotes is expected\n"},
        {"{\n\n\n\"server_list\":[],}",
         "targets.json: line 4: not JSON: a member's name in double quotes is expected\n"},
        {"{\"server_list\":[{\"id\":1,\n\"id\":2}]}",
         "targets.json: line 2: not JSON: two members of an object have the same name\n"},
        {"[]", "targets.json: line 1: the file has no server_list; it must be an object like "
               "{\"server_list\":[{\"id\":1,\"host\":\"127.0.0.1\",\"port\":5001}]}\n"},
        {"{\"servers\":[]}", "targets.json: line 1: the file has no server_list; it must be an object like "
                             "{\"server_list\":[{\"id\":1,\"host\":\"127.0.0.1\",\"port\":5001}]}\n"},
        {"{\n\"a\":1,\n\"server_list\":{}}", "targets.json: line 3: server_list must be an array of objects\n"},
        {"{\"server_list\":null}", "targets.json: line 1: server_list must be an array of objects\n"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        must_refuse(*state, table[i].json, table[i].sentence);
}

/* tests/vectors/bad_targets.txt */
static void every_bad_entry_has_its_sentence(void **state)
{
    FILE *vectors = fopen(HB_VECTORS_DIR "/bad_targets.txt", "r");
    char line[1024], json[1200], sentence[1200];
    int count = 0;

    assert_non_null(vectors);
    while (fgets(line, sizeof line, vectors) != NULL) {
        char *tab = strchr(line, '\t');

        if (line[0] == '#' || tab == NULL)
            continue;
        *tab = '\0';
        tab[1 + strcspn(tab + 1, "\n")] = '\0';
        snprintf(json, sizeof json, "{\"server_list\":[\n%s]}", tab + 1);
        snprintf(sentence, sizeof sentence, "targets.json: line 2: entry 1: %s\n", line);
        must_refuse(*state, json, sentence);
        count++;
    }
    fclose(vectors);
    assert_true(count > 30);
}

static void all_bad_entries_are_named(void **state)
{
    must_refuse(*state,
                "{\"server_list\":[\n"
                "{\"id\":1,\"host\":\"a\",\"port\":0},\n"
                "{\"id\":2,\"host\":\"a\",\"port\":1},\n"
                "\n"
                "{\"id\":2,\"host\":\"a\",\"port\":2},{\"host\":\"a\"},\n"
                "{\"id\":\"2\",\"host\":\"b\",\"port\":3}]}",
                "targets.json: line 2: entry 1: port: 0 is out of range; it must be an integer between 1 and 65535\n"
                "targets.json: line 5: entry 3: id: 2 is that of entry 2 in line 3 already\n"
                "targets.json: line 5: entry 4: id: it is missing; each entry must have one\n"
                "targets.json: line 6: entry 5: id: 2 is that of entry 2 in line 3 already\n");
}

/* {"server_list":[...]} with entries first..first+count, each bad when `bad`. */
static char *list_of(size_t count, bool bad)
{
    struct hb_buf out;

    hb_buf_init(&out, HB_TARGETS_BYTES_MAX);
    hb_buf_append_str(&out, "{\"server_list\":[");
    for (size_t i = 0; i < count; i++)
        hb_buf_printf(&out, "%s\n{\"id\":%zu,\"host\":\"%s\",\"port\":1}", i > 0 ? "," : "", i, bad ? "?" : "a");
    hb_buf_append_str(&out, "]}");
    return hb_buf_take(&out);
}

static size_t lines_of(const char *text)
{
    size_t lines = 0;

    for (; *text != '\0'; text++)
        lines += *text == '\n';
    return lines;
}

static void very_many_bad_entries_are_counted(void **state)
{
    struct fixture *fixture = *state;
    char *json = list_of(500, true);
    size_t count;

    assert_int_equal(apply(fixture, json, &count), HB_ERR_INVALID);
    assert_int_equal(hb_buf_status(&fixture->sentences), HB_OK);
    assert_int_equal(lines_of(fixture->sentences.bytes), HB_TARGETS_FAULTS_MAX + 1);
    assert_non_null(strstr(fixture->sentences.bytes, "targets.json: line 31: entry 30: host: \"?\""));
    assert_non_null(strstr(fixture->sentences.bytes, "targets.json: 470 more entries are wrong\n"));
    free(json);
}

static void there_are_at_most_max_workers(void **state)
{
    struct fixture *fixture = *state;
    char *json = list_of(MOST + 1, false), *good = list_of(MOST, false);

    must_refuse(fixture, json, "targets.json: it has 1001 entries; at most 1000 may be known (MAX_WORKERS)\n");
    must_apply(fixture, good, MOST);
    free(json);
    free(good);
}

/* ---- files ---- */

static void a_file_that_cannot_be_read_is_named(void **state)
{
    struct fixture *fixture = *state;
    static const char good[] = "{\"server_list\":[{\"id\":1,\"host\":\"a\",\"port\":1}]}";
    char path[] = "/tmp/heartbeat-targets-XXXXXX", expected[200];
    int fd = mkstemp(path);
    size_t count = 0;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, good, sizeof good - 1), sizeof good - 1);
    assert_int_equal(hb_targets_file_apply(path, MOST, fixture->manager, fixture->now, &fixture->sentences, &count),
                     HB_OK);
    assert_int_equal(count, 1);
    assert_string_equal(worker(fixture, "1")->name, "server1");
    hb_targets_file_check(path, MOST, &fixture->sentences);
    assert_int_equal(fixture->sentences.len, 0);

    assert_int_equal(ftruncate(fd, (off_t)HB_TARGETS_BYTES_MAX + 1), 0);
    hb_targets_file_check(path, MOST, &fixture->sentences);
    snprintf(expected, sizeof expected, "TARGETS_FILE=%s: has 16777217 bytes; must have at most 16777216\n", path);
    assert_string_equal(fixture->sentences.bytes, expected);

    hb_buf_clear(&fixture->sentences);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(hb_targets_file_apply(path, MOST, fixture->manager, fixture->now, &fixture->sentences, &count),
                     HB_ERR_INVALID);
    snprintf(expected, sizeof expected, "TARGETS_FILE=%s: cannot be read: No such file or directory\n", path);
    assert_string_equal(fixture->sentences.bytes, expected);

    hb_buf_clear(&fixture->sentences);
    hb_targets_file_check("/tmp", MOST, &fixture->sentences);
    assert_string_equal(fixture->sentences.bytes, "TARGETS_FILE=/tmp: must be a file\n");

    hb_buf_clear(&fixture->sentences);
    assert_int_equal(mkfifo(path, 0600), 0);
    hb_targets_file_check(path, MOST, &fixture->sentences);
    snprintf(expected, sizeof expected, "TARGETS_FILE=%s: must be a file\n", path);
    assert_string_equal(fixture->sentences.bytes, expected);
    unlink(path);
    close(fd);
}

/* ---- HEALTH_STATUS_FILE ---- */

static void must_show(struct fixture *fixture, const char *expected)
{
    struct hb_buf out;

    hb_buf_init(&out, HB_HEALTH_STATUS_BYTES_MAX);
    assert_int_equal(hb_health_status_write(hb_manager_registry(fixture->manager), &out), HB_OK);
    assert_string_equal(out.bytes, expected);
    hb_buf_free(&out);
}

static void beats(struct fixture *fixture, const char *id, const char *name)
{
    const struct hb_registration registration = {.name = hb_text_of(name), .host = HB_TEXT("a"), .port = 1};
    const struct hb_beat beat = {.kind = HB_BEAT_ALIVE, .requests = -1, .errors = -1};
    struct hb_input input = {.kind = HB_INPUT_REGISTER, .id = hb_text_of(id), .registration = &registration};

    assert_int_equal(hb_manager_apply(fixture->manager, &input, fixture->now), HB_OK);
    input = (struct hb_input){.kind = HB_INPUT_BEAT, .id = hb_text_of(id), .beat = &beat};
    assert_int_equal(hb_manager_apply(fixture->manager, &input, fixture->now), HB_OK);
}

static void the_status_says_who_serves(void **state)
{
    struct fixture *fixture = *state;

    must_show(fixture, "{}\n");
    must_apply(fixture, "{\"server_list\":[{\"id\":2,\"host\":\"a\",\"port\":2},{\"id\":1,\"host\":\"a\",\"port\":1}]}",
               2);
    beats(fixture, "w", "Worker \"W\"");
    must_show(fixture, "{\"server1\":false,\"server2\":false,\"Worker \\\"W\\\"\":true}\n");

    const struct hb_input gone = {.kind = HB_INPUT_REMOVE, .id = HB_TEXT("w")};
    assert_int_equal(hb_manager_apply(fixture->manager, &gone, fixture->now), HB_OK);
    must_show(fixture, "{\"server1\":false,\"server2\":false}\n");
}

static void a_name_that_is_taken_gives_way_to_the_id(void **state)
{
    struct fixture *fixture = *state;

    beats(fixture, "0-first", "server1"); /* before the listed one by id, and yet it does not get its name */
    beats(fixture, "a", "same");
    beats(fixture, "b", "same");
    beats(fixture, "c", "a"); /* another's id */
    beats(fixture, "d", "d");
    must_apply(fixture, "{\"server_list\":[{\"id\":1,\"host\":\"a\",\"port\":1}]}", 1);
    must_show(fixture, "{\"server1\":false,\"0-first\":true,\"same\":true,\"b\":true,\"c\":true,\"d\":true}\n");
}

/* ---- listeners ---- */

struct ear {
    unsigned transitions, rows, gone;
    char last[80];
};

static void on_changed(void *self, const struct hb_effect *effect, struct hb_moment now)
{
    struct ear *ear = self;

    ear->transitions += effect->kind == HB_EFFECT_TRANSITION;
    ear->rows += effect->kind == HB_EFFECT_ROW_CHANGED;
    ear->gone += effect->gone;
    snprintf(ear->last, sizeof ear->last, "%s %s at %lld", effect->worker->id,
             hb_status_text((enum hb_status)effect->worker->status), (long long)now.wall.ms - WALL_MS);
}

static void every_listener_hears_every_change(void **state)
{
    struct fixture *fixture = *state;
    struct ear ears[HB_LISTENERS_MAX] = {0};

    for (size_t i = 0; i < HB_LISTENERS_MAX; i++)
        hb_manager_add_listener(fixture->manager, (struct hb_listener_port){&ears[i], on_changed});
    beats(fixture, "w", "W");  /* registered, alive */
    beats(fixture, "w", "W2"); /* registered again: its row; a beat like any other: nothing */
    fixture->now.wall.ms += 5;
    const struct hb_input gone = {.kind = HB_INPUT_REMOVE, .id = HB_TEXT("w")};
    assert_int_equal(hb_manager_apply(fixture->manager, &gone, fixture->now), HB_OK);
    for (size_t i = 0; i < HB_LISTENERS_MAX; i++) {
        assert_int_equal(ears[i].transitions, 3);
        assert_int_equal(ears[i].rows, 1);
        assert_int_equal(ears[i].gone, 1);
        assert_string_equal(ears[i].last, "w removed at 5");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_small_projects_file_is_understood, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_spelling_is_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_list_is_good, set_up, tear_down),
        cmocka_unit_test_setup_teardown(they_are_polled_at_once_and_never_reaped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_bad_file_is_refused_with_its_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_bad_entry_has_its_sentence, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_bad_entries_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(very_many_bad_entries_are_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(there_are_at_most_max_workers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_cannot_be_read_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_status_says_who_serves, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_that_is_taken_gives_way_to_the_id, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_listener_hears_every_change, set_up, tear_down),
    };

    hb_log_open("test", HB_LOG_ERROR, HB_LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
