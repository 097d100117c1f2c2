/*
 * status_file, where the moment counts: what changes while a write is under way, and a disk that fails. fsync is
 * replaced by one that waits for the test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <unistd.h>
#include <uv.h>

#include "manager/io/status_file.h"
#include "proto/base/log.h"

#define LIMIT_MS 20000 /* for what never happens */

static uv_sem_t may_sync;     /* one post for each fsync */
static atomic_int syncs;      /* that have begun */
static atomic_int under_way;  /* now */
static atomic_int most;       /* at a time, ever */
static atomic_int next_error; /* of the next one */

int __wrap_fsync(int fd);

int __wrap_fsync(int fd)
{
    int now = atomic_fetch_add(&under_way, 1) + 1;

    (void)fd;
    if (now > atomic_load(&most))
        atomic_store(&most, now);
    atomic_fetch_add(&syncs, 1);
    uv_sem_wait(&may_sync);
    atomic_fetch_sub(&under_way, 1);
    errno = atomic_exchange(&next_error, 0);
    return errno == 0 ? 0 : -1;
}

struct fixture {
    char directory[40], path[60];
    uv_loop_t loop;
    uv_timer_t limit;
    struct hb_manager *manager;
    struct hb_status_file *file;
};

static void on_limit(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("waited %d ms in vain", LIMIT_MS);
}

static int set_up(void **state)
{
    const struct hb_registry_rules rules = {.timeout_ms = 15000, .max_workers = 1000};
    struct fixture *fixture = calloc(1, sizeof *fixture);

    strcpy(fixture->directory, "/tmp/heartbeat-status-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    snprintf(fixture->path, sizeof fixture->path, "%s/status.json", fixture->directory);
    assert_int_equal(uv_sem_init(&may_sync, 0), 0);
    syncs = most = next_error = 0;
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    uv_timer_init(&fixture->loop, &fixture->limit);
    uv_timer_start(&fixture->limit, on_limit, LIMIT_MS, 0);
    uv_unref((uv_handle_t *)&fixture->limit);
    fixture->manager = hb_manager_new(HB_TEXT("m1"), &rules, hb_moment_now());
    fixture->file = hb_status_file_new(&fixture->loop, fixture->path, fixture->manager);
    assert_non_null(fixture->file);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    char temporary[70];

    hb_status_file_close(fixture->file);
    uv_close((uv_handle_t *)&fixture->limit, NULL);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    hb_status_file_free(fixture->file);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    hb_manager_free(fixture->manager);
    snprintf(temporary, sizeof temporary, "%s.tmp", fixture->path);
    assert_int_equal(access(temporary, F_OK), -1);
    unlink(fixture->path);
    assert_int_equal(rmdir(fixture->directory), 0);
    uv_sem_destroy(&may_sync);
    free(fixture);
    return 0;
}

static void registers(struct fixture *fixture, const char *id)
{
    const struct hb_registration registration = {0};
    const struct hb_input input = {.kind = HB_INPUT_REGISTER, .id = hb_text_of(id), .registration = &registration};

    assert_int_equal(hb_manager_apply(fixture->manager, &input, hb_moment_now()), HB_OK);
}

static void run_until_sync(struct fixture *fixture, int count)
{
    while (atomic_load(&syncs) < count)
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
}

static const char *content(const struct fixture *fixture)
{
    static char text[200];
    FILE *file = fopen(fixture->path, "r");

    if (file == NULL)
        return "";
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void run_until_it_says(struct fixture *fixture, const char *expected)
{
    while (strcmp(content(fixture), expected) != 0)
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
}

static void what_changes_during_a_write_is_written_after_it(void **state)
{
    struct fixture *fixture = *state;

    registers(fixture, "a");
    run_until_sync(fixture, 1);
    registers(fixture, "b");
    registers(fixture, "c");
    for (int i = 0; i < 20; i++)
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    assert_string_equal(content(fixture), ""); /* nothing is there before it is whole */
    uv_sem_post(&may_sync);
    run_until_it_says(fixture, "{\"a\":false}\n");
    run_until_sync(fixture, 2);
    uv_sem_post(&may_sync);
    run_until_it_says(fixture, "{\"a\":false,\"b\":false,\"c\":false}\n");
    assert_int_equal(most, 1);
}

static void a_close_waits_for_the_last_state(void **state)
{
    struct fixture *fixture = *state;

    registers(fixture, "a");
    run_until_sync(fixture, 1);
    registers(fixture, "b");
    hb_status_file_close(fixture->file);
    registers(fixture, "c"); /* nobody's business any more, but the state is what it is when it is written */
    uv_sem_post(&may_sync);
    uv_sem_post(&may_sync);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_string_equal(content(fixture), "{\"a\":false,\"b\":false,\"c\":false}\n");
    assert_int_equal(syncs, 2);
}

static void a_disk_that_fails_leaves_the_file_as_it_was(void **state)
{
    struct fixture *fixture = *state;

    registers(fixture, "a");
    uv_sem_post(&may_sync);
    run_until_it_says(fixture, "{\"a\":false}\n");
    registers(fixture, "b");
    run_until_sync(fixture, 2);
    atomic_store(&next_error, EIO);
    uv_sem_post(&may_sync);
    while (atomic_load(&under_way) > 0 || atomic_load(&next_error) != 0)
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    assert_string_equal(content(fixture), "{\"a\":false}\n");
    registers(fixture, "c"); /* with the next change it is tried again */
    uv_sem_post(&may_sync);
    run_until_it_says(fixture, "{\"a\":false,\"b\":false,\"c\":false}\n");
}

static void what_the_file_says_already_is_not_written_again(void **state)
{
    struct fixture *fixture = *state;
    const struct hb_input gone = {.kind = HB_INPUT_REMOVE, .id = HB_TEXT("b")};

    registers(fixture, "a");
    uv_sem_post(&may_sync);
    run_until_it_says(fixture, "{\"a\":false}\n");
    registers(fixture, "b"); /* and gone, before the loop turns */
    assert_int_equal(hb_manager_apply(fixture->manager, &gone, hb_moment_now()), HB_OK);
    hb_status_file_close(fixture->file);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(syncs, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_changes_during_a_write_is_written_after_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_close_waits_for_the_last_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_disk_that_fails_leaves_the_file_as_it_was, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_the_file_says_already_is_not_written_again, set_up, tear_down),
    };

    hb_log_open("test", HB_LOG_ERROR, HB_LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
