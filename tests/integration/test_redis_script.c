/*
 * The script alone, as a client calls it that is too late, of an earlier life, or lacks a beginning.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "manager/io/redis_script.h"
#include "tests/integration/store_rig.h"

static const redisReply *run_script(struct rig *rig, struct hb_script_args *args, const struct hb_script_head *head)
{
    const struct hb_text *argv;
    int argc = hb_script_command(args, head, &argv);
    const char *texts[32];
    size_t lens[32];
    static redisReply *reply;

    assert_in_range(argc, 0, 32);
    for (int i = 0; i < argc; i++) {
        texts[i] = argv[i].bytes;
        lens[i] = argv[i].len;
    }
    if (reply != NULL)
        freeReplyObject(reply);
    reply = redisCommandArgv(rig->redis.client, argc, texts, lens);
    assert_non_null(reply);
    return reply;
}

static void assert_row(struct rig *rig, const char *expected)
{
    assert_string_equal(real_redis_ask(&rig->redis, "HGET workers w1")->str, expected);
}

/* A batch that was held up on a connection that was given up must not undo what came after it. */
static void test_a_late_batch_changes_nothing(void **state)
{
    struct rig *rig = *state;
    struct hb_script_args *args = hb_script_args_new();
    struct hb_text script = hb_script_text();
    char sha[41];
    struct hb_script_head head = {.manager = HB_TEXT("m9"), .epoch = 5, .begin = true};
    struct hb_script_result done;

    memcpy(sha, real_redis_ask(&rig->redis, "SCRIPT LOAD %b", script.bytes, script.len)->str, sizeof sha);
    head.sha = hb_text_of(sha);
    head.number = 1;
    hb_script_add_row(args, HB_TEXT("w1"), HB_TEXT("first"));
    hb_script_add_event(args, 1, HB_TEXT("{}"), HB_TEXT(""));
    assert_int_equal(hb_script_read(run_script(rig, args, &head), &done), HB_SCRIPT_DONE);
    assert_int_equal(done.seq, 1);
    assert_int_equal(done.fields, 1);
    head.begin = false;
    head.seq = 1;
    head.batch = 1;

    head.number = 3;
    hb_script_args_clear(args);
    hb_script_add_row(args, HB_TEXT("w1"), HB_TEXT("third"));
    assert_int_equal(hb_script_read(run_script(rig, args, &head), &done), HB_SCRIPT_DONE);
    head.number = 2;
    hb_script_args_clear(args);
    hb_script_add_row(args, HB_TEXT("w1"), HB_TEXT("second"));
    assert_int_equal(hb_script_read(run_script(rig, args, &head), &done), HB_SCRIPT_FENCED);
    assert_row(rig, "third");

    head.number = 4; /* of an earlier life */
    head.epoch = 4;
    assert_int_equal(hb_script_read(run_script(rig, args, &head), &done), HB_SCRIPT_FENCED);
    head.epoch = 6; /* of a later one, which has not begun properly */
    assert_int_equal(hb_script_read(run_script(rig, args, &head), &done), HB_SCRIPT_BEHIND);
    assert_row(rig, "third");
    hb_script_args_free(args);
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_set_up, rig_tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(test_a_late_batch_changes_nothing),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
