/*
 * gzip: what comes out is what went in, at every size around the pieces it is made in, and failures are told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "manager/io/gzip.h"

#define NO_CEILING (SIZE_MAX / 2)

/* Bytes that no compressor gets smaller, from a fixed seed. */
static char *noise(size_t len)
{
    char *bytes = malloc(len + 1);
    uint32_t state = 2463534242u;

    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes[i] = (char)(state >> 24);
    }
    return bytes;
}

static char *rows(size_t len)
{
    static const char row[] = "\"worker-0001\":{\"status\":\"alive\",\"serving\":true},\n";
    char *bytes = malloc(len + 1);

    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = row[i % (sizeof row - 1)];
    return bytes;
}

/* By zlib's own reader, which checks the sum and the length at the end. */
static void assert_unpacks_to(const struct hb_buf *packed, const char *bytes, size_t len)
{
    z_stream stream = {0};
    Bytef *out = malloc(len + 1);

    assert_non_null(out);
    assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
    stream.next_in = (Bytef *)packed->bytes;
    stream.avail_in = (uInt)packed->len;
    stream.next_out = out;
    stream.avail_out = (uInt)len + 1;
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(stream.total_out, len);
    assert_int_equal(stream.avail_in, 0);
    assert_memory_equal(out, bytes, len);
    inflateEnd(&stream);
    free(out);
}

static void assert_round_trip(char *bytes, size_t len)
{
    struct hb_buf packed, again;

    hb_buf_init(&packed, NO_CEILING);
    hb_buf_init(&again, NO_CEILING);
    assert_int_equal(hb_gzip(&packed, (struct hb_text){bytes, len}), HB_OK);
    assert_unpacks_to(&packed, bytes, len);
    assert_int_equal(hb_gzip(&again, (struct hb_text){bytes, len}), HB_OK);
    assert_int_equal(again.len, packed.len); /* entity tags rely on it */
    assert_memory_equal(again.bytes, packed.bytes, packed.len);
    hb_buf_free(&packed);
    hb_buf_free(&again);
    free(bytes);
}

static void test_every_size(void **state)
{
    static const size_t sizes[] = {0, 1, 2, 1023, 1024, 16383, 16384, 16385, 32768, 65535, 65536, 300000};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_round_trip(rows(sizes[i]), sizes[i]);
        assert_round_trip(noise(sizes[i]), sizes[i]); /* comes out larger than a piece: more than one round */
    }
}

static void test_rows_get_small(void **state)
{
    char *bytes = rows(100000);
    struct hb_buf packed;

    (void)state;
    hb_buf_init(&packed, NO_CEILING);
    assert_int_equal(hb_gzip(&packed, (struct hb_text){bytes, 100000}), HB_OK);
    assert_true(packed.len < 10000);
    hb_buf_free(&packed);
    free(bytes);
}

static void test_it_appends(void **state)
{
    struct hb_buf packed;

    (void)state;
    hb_buf_init(&packed, NO_CEILING);
    hb_buf_append_str(&packed, "before");
    assert_int_equal(hb_gzip(&packed, HB_TEXT("x")), HB_OK);
    assert_memory_equal(packed.bytes, "before\x1f\x8b", 8);
    hb_buf_free(&packed);
}

static void test_a_ceiling_is_told(void **state)
{
    char *bytes = noise(200000);
    struct hb_buf packed;

    (void)state;
    hb_buf_init(&packed, 50000);
    assert_int_equal(hb_gzip(&packed, (struct hb_text){bytes, 200000}), HB_ERR_FULL);
    hb_buf_free(&packed);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_size),
        cmocka_unit_test(test_rows_get_small),
        cmocka_unit_test(test_it_appends),
        cmocka_unit_test(test_a_ceiling_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
