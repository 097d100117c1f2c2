#include "tests/bench/ws_beat.h"

#include <stdio.h>
#include <time.h>

void hb_beat_maker_init(struct hb_beat_maker *maker, const char *id_prefix)
{
    *maker = (struct hb_beat_maker){.id_prefix = id_prefix, .random = 0x9e3779b97f4a7c15u, .clock_sec = -1};
}

/* Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8(14), 2003. */
uint64_t hb_beat_maker_random(struct hb_beat_maker *maker)
{
    maker->random ^= maker->random << 13;
    maker->random ^= maker->random >> 7;
    maker->random ^= maker->random << 17;
    return maker->random;
}

size_t hb_beat_maker_write(struct hb_beat_maker *maker, uint32_t index, char *out, size_t out_size)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != maker->clock_sec) {
        struct tm utc;
        gmtime_r(&now.tv_sec, &utc);
        strftime(maker->clock_text, sizeof(maker->clock_text), "%Y-%m-%dT%H:%M:%S", &utc);
        maker->clock_sec = now.tv_sec;
    }
    uint64_t random = hb_beat_maker_random(maker);
    unsigned cpu = (unsigned)(random % 1000), memory = (unsigned)((random >> 32) % 1000);
    int len = snprintf(out, out_size,
                       "{\"timestamp\": \"%s.%06ld\", \"worker_id\": \"%s-%u\", "
                       "\"worker_name\": \"Heartbeat ingest worker %05u\", \"status\": \"alive\", "
                       "\"metrics\": {\"cpu\": %u.%u, \"memory\": %u.%u}}",
                       maker->clock_text, now.tv_nsec / 1000, maker->id_prefix, index, index, cpu / 10, cpu % 10,
                       memory / 10, memory % 10);
    return len > 0 && (size_t)len < out_size ? (size_t)len : 0;
}
