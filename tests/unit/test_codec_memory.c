/*
 * codec when memory runs out: each allocation of a run fails once, and then all from one on. json-c's own count too,
 * which is why this program brings its own malloc in front of glibc's. Sanitizers, valgrind and other libcs bring
 * theirs: there the tests are skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/wire/codec.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(SANITIZED)
#define OWN_MALLOC
#endif

static volatile bool armed;
static volatile bool from_then_on; /* or only that one */
static volatile long countdown;    /* allocations that still succeed */
static volatile bool failed;
static volatile long alive; /* allocations not yet freed; volatile, for compilers know that malloc touches no globals */

#ifdef OWN_MALLOC
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t nmemb, size_t size);
void *__libc_realloc(void *ptr, size_t size);
void __libc_free(void *ptr);

static bool must_fail(void)
{
    if (!armed)
        return false;
    if (countdown > 0) {
        countdown--;
        return false;
    }
    bool fails = from_then_on || !failed;
    failed = true;
    return fails;
}

static void *counted(void *memory)
{
    alive += memory != NULL;
    return memory;
}

__attribute__((visibility("default"))) void *malloc(size_t size)
{
    return must_fail() ? NULL : counted(__libc_malloc(size));
}

__attribute__((visibility("default"))) void *calloc(size_t nmemb, size_t size)
{
    return must_fail() ? NULL : counted(__libc_calloc(nmemb, size));
}

__attribute__((visibility("default"))) void *realloc(void *ptr, size_t size)
{
    if (must_fail())
        return NULL;
    void *memory = __libc_realloc(ptr, size);
    alive += ptr == NULL && memory != NULL;
    return memory;
}

__attribute__((visibility("default"))) void free(void *ptr)
{
    alive -= ptr != NULL;
    __libc_free(ptr);
}
#endif

static const char beat_json[] = "{\"worker_name\":\"Worker 1\",\"status\":\"busy\",\"metrics\":{\"cpu\":12.5},"
                                "\"requests\":12,\"errors\":1,\"attributes\":{\"zone\":\"eu\"}}";
/* Long enough for json-c's string buffer to grow, had it not been made to before. */
#define LONG_URL "http://h/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
static const char registration_json[] = "{\"worker_id\":\"a\",\"host\":\"h\",\"port\":80,\"heartbeat_timeout\":1.5,"
                                        "\"url\":\"" LONG_URL "\",\"attributes\":{\"zone\":\"eu\"}}";
static const char row_json[] = "{\"worker_id\":\"a\",\"status\":\"alive\",\"serving\":true,\"epoch\":1,\"seq\":2}";

static bool equals(struct hb_text text, const char *expected)
{
    return text.bytes != NULL && text.len == strlen(expected) && memcmp(text.bytes, expected, text.len) == 0;
}

/* Right, or said to be out of memory: never a piece of a message. */
static bool good_or_no_memory(enum hb_err err, bool right)
{
    return err == HB_ERR_NO_MEMORY || (err == HB_OK && right);
}

static bool decode_all(struct hb_decoder *decoder)
{
    struct hb_beat beat = {0};
    struct hb_registration r = {0};
    struct hb_row row = {0};
    bool seed_shape = true;
    enum hb_err err = hb_decode_beat(decoder, HB_TEXT(beat_json), &beat);
    bool good = good_or_no_memory(err, equals(beat.name, "Worker 1") && equals(beat.status_text, "busy") &&
                                           equals(beat.metrics, "{\"cpu\":12.5}") && beat.requests == 12 &&
                                           beat.errors == 1 && equals(beat.attributes, "{\"zone\":\"eu\"}"));
    err = hb_decode_registration(decoder, HB_TEXT(registration_json), &r);
    good &= good_or_no_memory(err, equals(r.id, "a") && equals(r.host, "h") && r.port == 80 && r.timeout_ms == 1500 &&
                                       equals(r.url, LONG_URL));
    err = hb_decode_row(decoder, HB_TEXT(row_json), &row, &seed_shape);
    good &= good_or_no_memory(err, equals(row.id, "a") && row.serving && row.epoch == 1 && row.seq == 2);
    return good;
}

/* One life of a decoder, in which allocation number `which` fails. Returns whether there was such a one. */
static bool live(long which, bool all_later_too)
{
    long before = alive;
    struct hb_beat beat;
    armed = true;
    failed = false;
    from_then_on = all_later_too;
    countdown = which;
    struct hb_decoder *decoder = hb_decoder_new();
    bool good = decoder == NULL || decode_all(decoder);
    armed = false;
    assert_true(good);
    if (decoder != NULL) { /* with memory it works again */
        assert_int_equal(hb_decode_beat(decoder, HB_TEXT(beat_json), &beat), HB_OK);
        assert_true(equals(beat.name, "Worker 1") && beat.requests == 12);
    } else {
        assert_true(failed);
    }
    hb_decoder_free(decoder);
    if (alive != before)
        fail_msg("allocation %ld failed, and %ld were not freed", which, alive - before);
    return failed;
}

static bool malloc_is_ours(void)
{
    long before = alive;
    void *volatile memory = malloc(1);
    bool counted_it = alive != before;
    free(memory);
    return counted_it;
}

static void run_out_at_each(bool all_later_too)
{
    long which = 0;
    if (!malloc_is_ours())
        skip();
    while (live(which, all_later_too))
        which++;
    assert_in_range(which, 20, 10000); /* the injection did reach the library */
}

static void test_one_allocation_fails(void **state)
{
    (void)state;
    run_out_at_each(false);
}

static void test_all_allocations_fail_from_one_on(void **state)
{
    (void)state;
    run_out_at_each(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_allocation_fails),
        cmocka_unit_test(test_all_allocations_fail_from_one_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
