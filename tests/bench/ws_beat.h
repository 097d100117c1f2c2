/*
 * ws_beat: the heartbeats that the ingest bench sends, as the small Python worker writes them: json.dumps of
 * timestamp, worker_id, worker_name, status and metrics, about 180 bytes, no two alike.
 */
#ifndef HB_BENCH_WS_BEAT_H
#define HB_BENCH_WS_BEAT_H

#include <stddef.h>
#include <stdint.h>

struct hb_beat_maker {
    const char *id_prefix;
    uint64_t random;     /* xorshift state: the same run sends the same metrics */
    int64_t clock_sec;   /* the second that clock_text spells */
    char clock_text[24]; /* "2026-11-20T19:45:00" */
};

void hb_beat_maker_init(struct hb_beat_maker *maker, const char *id_prefix);
uint64_t hb_beat_maker_random(struct hb_beat_maker *maker);
/* Writes the beat of worker <prefix>-<index>, NUL-terminated; returns its length. 0 when it does not fit. */
size_t hb_beat_maker_write(struct hb_beat_maker *maker, uint32_t index, char *out, size_t out_size);

#endif
