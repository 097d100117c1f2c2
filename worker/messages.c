#include "worker/messages.h"

#include <stdio.h>
#include <string.h>

#include "proto/wire/codec.h"
#include "proto/wire/limits.h"
#include "proto/wire/message.h"

void hb_message_registration(struct hb_buf *buf, const struct hb_worker_config *config, const char *host)
{
    char url[HB_HOST_MAX + 32];
    struct hb_registration registration = {
        .id = hb_text_of(config->worker_id),
        .name = hb_text_of(config->worker_name),
        .host = hb_text_of(host),
        .attributes = hb_text_of(config->attributes_json),
        .port = (uint16_t)config->worker_port,
        .interval_ms = config->heartbeat_interval_ms,
    };
    if (config->worker_poll) {
        bool six = strchr(host, ':') != NULL;
        snprintf(url, sizeof url, six ? "http://[%s]:%d" : "http://%s:%d", host, (int)config->worker_port);
        registration.url = hb_text_of(url);
    }
    hb_encode_registration(buf, &registration);
}

void hb_message_beat(struct hb_buf *buf, const struct hb_worker_config *config, const struct hb_message_beat *beat)
{
    char at[HB_WALL_TEXT_SIZE];
    hb_wall_format(beat->at, at);
    hb_buf_printf(buf, "{\"timestamp\":\"%s\",\"worker_id\":", at);
    hb_buf_append_json(buf, hb_text_of(config->worker_id));
    hb_buf_append_str(buf, ",\"worker_name\":");
    hb_buf_append_json(buf, hb_text_of(config->worker_name));
    hb_buf_printf(buf, ",\"status\":\"%s\",\"metrics\":{\"cpu\":%.2f,\"memory\":%.3f,\"rss\":%lld}",
                  beat->draining ? "draining" : "alive", beat->usage.cpu_percent, beat->usage.memory_percent,
                  (long long)beat->usage.rss_bytes);
    hb_buf_printf(buf, ",\"requests\":%lld,\"errors\":%lld}", (long long)beat->counts.requests,
                  (long long)beat->counts.errors);
}

void hb_message_bye(struct hb_buf *buf)
{
    hb_buf_append_str(buf, "{\"status\":\"bye\"}");
}
