/*
 * codec_bench: what a message costs, in nanoseconds of processor time.
 *
 *   codec_bench [rounds]
 *
 * Each case runs in several rounds; the best one is printed, because everything that disturbs a measurement makes it
 * longer. One line per case: name, bytes, nanoseconds, megabytes per second. json-c alone on the same heartbeat is
 * printed beside ours, so that the numbers of another machine can be judged.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/wire/codec.h"
#include "proto/wire/json_strict.h"
#include "proto/wire/limits.h"

#define CALLS_PER_ROUND 50000

static const char beat_text[] =
    "{\"timestamp\":\"2026-11-20T19:45:00.123456\",\"worker_id\":\"worker-0001\",\"worker_name\":\"Worker 1\","
    "\"status\":\"alive\",\"metrics\":{\"cpu\":12.5,\"memory\":40.1}}";
static const char long_beat_text[] =
    "{\"timestamp\": \"2026-11-20T19:45:00.123456\", \"worker_id\": \"worker-0001\", \"worker_name\": \"Worker 1\", "
    "\"status\": \"alive\", \"metrics\": {\"cpu\": 12.5, \"memory\": 40.1}, \"requests\": 12345, \"errors\": 12}";

struct bench {
    struct hb_decoder *decoder;
    struct json_tokener *tokener;
    struct hb_buf buf;
    struct hb_row row;
    struct hb_event event;
    struct hb_text row_text;
};

static void must(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "codec_bench: %s failed\n", what);
        exit(1);
    }
}

static double cpu_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static size_t check_strict(struct bench *bench, struct hb_text text)
{
    (void)bench;
    must(hb_json_strict_check(text, NULL) == NULL, "hb_json_strict_check");
    return text.len;
}

static size_t decode_beat(struct bench *bench, struct hb_text text)
{
    struct hb_beat beat;
    must(hb_decode_beat(bench->decoder, text, &beat) == HB_OK, "hb_decode_beat");
    return text.len;
}

static size_t parse_with_json_c(struct bench *bench, struct hb_text text)
{
    json_tokener_reset(bench->tokener);
    struct json_object *object = json_tokener_parse_ex(bench->tokener, text.bytes, (int)text.len);
    must(object != NULL, "json_tokener_parse_ex");
    json_object_put(object);
    return text.len;
}

static size_t encode_row(struct bench *bench, struct hb_text text)
{
    (void)text;
    hb_buf_clear(&bench->buf);
    hb_encode_row(&bench->buf, &bench->row);
    must(hb_buf_status(&bench->buf) == HB_OK, "hb_encode_row");
    return bench->buf.len;
}

static size_t encode_event(struct bench *bench, struct hb_text text)
{
    (void)text;
    hb_buf_clear(&bench->buf);
    hb_encode_event(&bench->buf, &bench->event);
    must(hb_buf_status(&bench->buf) == HB_OK, "hb_encode_event");
    return bench->buf.len;
}

static size_t decode_row(struct bench *bench, struct hb_text text)
{
    struct hb_row row;
    bool seed_shape;
    (void)text;
    must(hb_decode_row(bench->decoder, bench->row_text, &row, &seed_shape) == HB_OK, "hb_decode_row");
    return bench->row_text.len;
}

static void run(struct bench *bench, const char *name, size_t (*call)(struct bench *, struct hb_text),
                struct hb_text text, int rounds)
{
    double best = 0;
    size_t bytes = 0;
    for (int round = 0; round < rounds; round++) {
        double start = cpu_now_ns();
        for (int i = 0; i < CALLS_PER_ROUND; i++)
            bytes = call(bench, text);
        double each = (cpu_now_ns() - start) / CALLS_PER_ROUND;
        if (round == 0 || each < best)
            best = each;
    }
    printf("%-28s %5zu bytes %7.0f ns %7.0f MB/s\n", name, bytes, best, (double)bytes / best * 1000);
}

static void fill(struct bench *bench)
{
    hb_wall_ms now = {INT64_C(1795203900123)};
    bench->row = (struct hb_row){
        .id = HB_TEXT("worker-0001"),
        .name = HB_TEXT("Worker 1"),
        .host = HB_TEXT("10.1.2.3"),
        .port = 8001,
        .status = HB_STATUS_ALIVE,
        .last_heartbeat = now,
        .since = now,
        .reason = HB_REASON_BEAT,
        .serving = true,
        .announced = HB_ANNOUNCED_UP,
        .attributes = HB_TEXT("{\"zone\":\"eu-1\",\"version\":\"1.4.2\",\"weight\":10}"),
        .metrics = HB_TEXT("{\"cpu\":12.5,\"memory\":40.1,\"rss\":41943040}"),
        .requests = 123456,
        .errors = 12,
        .timeout_ms = 15000,
        .interval_ms = 5000,
        .manager = HB_TEXT("manager-1-8000"),
        .epoch = 1795203000000,
        .seq = 4711,
    };
    bench->event = (struct hb_event){
        .id = bench->row.id,
        .name = bench->row.name,
        .host = bench->row.host,
        .port = bench->row.port,
        .status = HB_STATUS_NOT_RESPONDING,
        .previous = HB_STATUS_ALIVE,
        .reason = HB_REASON_HEARTBEAT_TIMEOUT,
        .manager = bench->row.manager,
        .epoch = bench->row.epoch,
        .seq = bench->row.seq,
        .at = now,
    };
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 20;
    struct hb_buf row_buf;
    struct bench bench = {.decoder = hb_decoder_new(), .tokener = json_tokener_new_ex(HB_JSON_DEPTH_MAX + 1)};
    must(bench.decoder != NULL && bench.tokener != NULL, "allocation");
    json_tokener_set_flags(bench.tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    hb_buf_init(&bench.buf, HB_ROW_BYTES_MAX);
    hb_buf_init(&row_buf, HB_ROW_BYTES_MAX);
    fill(&bench);
    hb_encode_row(&row_buf, &bench.row);
    bench.row_text = (struct hb_text){row_buf.bytes, row_buf.len};

    run(&bench, "strict check, beat", check_strict, HB_TEXT(beat_text), rounds);
    run(&bench, "strict check, longer beat", check_strict, HB_TEXT(long_beat_text), rounds);
    run(&bench, "strict check, row", check_strict, bench.row_text, rounds);
    run(&bench, "json-c alone, beat", parse_with_json_c, HB_TEXT(beat_text), rounds);
    run(&bench, "json-c alone, longer beat", parse_with_json_c, HB_TEXT(long_beat_text), rounds);
    run(&bench, "decode beat", decode_beat, HB_TEXT(beat_text), rounds);
    run(&bench, "decode longer beat", decode_beat, HB_TEXT(long_beat_text), rounds);
    run(&bench, "decode row", decode_row, bench.row_text, rounds);
    run(&bench, "encode row", encode_row, (struct hb_text){0}, rounds);
    run(&bench, "encode event", encode_event, (struct hb_text){0}, rounds);

    hb_buf_free(&row_buf);
    hb_buf_free(&bench.buf);
    json_tokener_free(bench.tokener);
    hb_decoder_free(bench.decoder);
    return 0;
}
