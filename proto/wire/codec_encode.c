/*
 * codec_encode: messages written as JSON, by hand: each member is one literal, comma and colon included, and its value.
 *
 * The order of members is part of the contract (PROTOCOL.md), so the same facts always give the same bytes, and an ETag
 * of them means something. Texts must be UTF-8; metrics and attributes are JSON already and are copied as they are.
 * Cost: about one memcpy per literal and per value.
 */
#include <inttypes.h>

#include "proto/wire/codec.h"
#include "proto/wire/names.h"

#define PUT(buf, literal) hb_buf_append((buf), (literal), sizeof(literal) - 1)

static void put_text_or_null(struct hb_buf *buf, struct hb_text text)
{
    if (text.bytes != NULL)
        hb_buf_append_json(buf, text);
    else
        PUT(buf, "null");
}

/* Words from the tables of message.h need no escape. */
static void put_word(struct hb_buf *buf, const char *word)
{
    hb_buf_append_char(buf, '"');
    hb_buf_append_str(buf, word);
    hb_buf_append_char(buf, '"');
}

static void put_bool(struct hb_buf *buf, bool value)
{
    if (value)
        PUT(buf, "true");
    else
        PUT(buf, "false");
}

static void put_u64(struct hb_buf *buf, uint64_t value)
{
    if (value <= INT64_MAX)
        hb_buf_append_i64(buf, (int64_t)value);
    else
        hb_buf_printf(buf, "%" PRIu64, value);
}

static void put_time_or_null(struct hb_buf *buf, hb_wall_ms time)
{
    char text[HB_WALL_TEXT_SIZE + 1];
    if (time.ms == 0) {
        PUT(buf, "null");
        return;
    }
    text[0] = '"';
    hb_wall_format(time, text + 1);
    text[HB_WALL_TEXT_SIZE] = '"';
    hb_buf_append(buf, text, sizeof text);
}

static void put_port_or_null(struct hb_buf *buf, uint16_t port)
{
    if (port != 0)
        hb_buf_append_i64(buf, port);
    else
        PUT(buf, "null");
}

/* An object that is JSON already. */
static void put_object(struct hb_buf *buf, struct hb_text object)
{
    if (object.bytes != NULL)
        hb_buf_append_text(buf, object);
    else
        PUT(buf, "{}");
}

/* Members that are left out when there is nothing to say. `member` is `,"name":`. */

static void put_text_member(struct hb_buf *buf, const char *member, struct hb_text text)
{
    if (text.bytes == NULL)
        return;
    hb_buf_append_str(buf, member);
    hb_buf_append_json(buf, text);
}

static void put_seconds_member(struct hb_buf *buf, const char *member, int64_t ms)
{
    if (ms == 0)
        return;
    hb_buf_append_str(buf, member);
    hb_buf_append_seconds(buf, ms);
}

static void put_count_member(struct hb_buf *buf, const char *member, int64_t count)
{
    if (count < 0)
        return;
    hb_buf_append_str(buf, member);
    hb_buf_append_i64(buf, count);
}

static void put_flag_member(struct hb_buf *buf, const char *member_and_true, bool flag)
{
    if (flag)
        hb_buf_append_str(buf, member_and_true);
}

/* What a row and an event say of an owner's place in the order of transitions. */
static void put_order(struct hb_buf *buf, struct hb_text manager, uint64_t epoch, uint64_t seq)
{
    PUT(buf, ",\"manager\":");
    put_text_or_null(buf, manager);
    PUT(buf, ",\"epoch\":");
    put_u64(buf, epoch);
    PUT(buf, ",\"seq\":");
    put_u64(buf, seq);
}

static void put_identity(struct hb_buf *buf, struct hb_text id, struct hb_text name, struct hb_text host, uint16_t port)
{
    hb_buf_append_json(buf, id);
    PUT(buf, ",\"worker_name\":");
    put_text_or_null(buf, name);
    PUT(buf, ",\"host\":");
    put_text_or_null(buf, host);
    PUT(buf, ",\"port\":");
    put_port_or_null(buf, port);
}

static void put_row_verdict(struct hb_buf *buf, const struct hb_row *row)
{
    PUT(buf, ",\"since\":");
    put_time_or_null(buf, row->since);
    PUT(buf, ",\"reason\":");
    put_word(buf, hb_reason_text(row->reason));
    PUT(buf, ",\"serving\":");
    put_bool(buf, row->serving);
    PUT(buf, ",\"announced\":");
    put_word(buf, hb_announced_text(row->announced));
    put_flag_member(buf, ",\"unverified\":true", row->unverified);
    if (row->url.bytes != NULL) { /* who has none can only beat */
        PUT(buf, ",\"beats\":");
        put_bool(buf, row->beats);
    }
    PUT(buf, ",\"ready\":");
    put_bool(buf, row->ready);
    PUT(buf, ",\"health\":");
    put_word(buf, hb_health_text(row->health));
}

static void put_row_facts(struct hb_buf *buf, const struct hb_row *row)
{
    put_text_member(buf, ",\"url\":", row->url);
    PUT(buf, ",\"attributes\":");
    put_object(buf, row->attributes);
    PUT(buf, ",\"metrics\":");
    put_object(buf, row->metrics);
    put_text_member(buf, ",\"reported_status\":", row->reported_status);
    put_count_member(buf, ",\"requests\":", row->requests);
    put_count_member(buf, ",\"errors\":", row->errors);
    put_seconds_member(buf, ",\"heartbeat_timeout\":", row->timeout_ms);
    put_seconds_member(buf, ",\"heartbeat_interval\":", row->interval_ms);
    put_seconds_member(buf, ",\"poll_interval_sec\":", row->poll_interval_ms);
}

static void put_maintenance(struct hb_buf *buf, const struct hb_row *row)
{
    if (!row->maintenance)
        return;
    PUT(buf, ",\"maintenance\":true");
    if (row->maintenance_until.ms != 0) {
        PUT(buf, ",\"maintenance_until\":");
        put_time_or_null(buf, row->maintenance_until);
    }
    put_text_member(buf, ",\"maintenance_reason\":", row->maintenance_reason);
}

void hb_encode_row(struct hb_buf *buf, const struct hb_row *row)
{
    PUT(buf, "{\"worker_id\":");
    put_identity(buf, row->id, row->name, row->host, row->port);
    PUT(buf, ",\"status\":");
    put_word(buf, hb_status_text(row->status));
    PUT(buf, ",\"last_heartbeat\":");
    put_time_or_null(buf, row->last_heartbeat);
    put_row_verdict(buf, row);
    put_row_facts(buf, row);
    put_flag_member(buf, ",\"draining\":true", row->draining);
    put_maintenance(buf, row);
    put_flag_member(buf, ",\"flapping\":true", row->flapping);
    put_flag_member(buf, ",\"id_conflict\":true", row->id_conflict);
    put_order(buf, row->manager, row->epoch, row->seq);
    hb_buf_append_char(buf, '}');
}

void hb_encode_event(struct hb_buf *buf, const struct hb_event *event)
{
    PUT(buf, "{\"server_id\":");
    put_identity(buf, event->id, event->name, event->host, event->port);
    put_text_member(buf, ",\"url\":", event->url);
    PUT(buf, ",\"status\":");
    put_word(buf, hb_status_text(event->status));
    PUT(buf, ",\"previous\":");
    put_word(buf, hb_status_text(event->previous));
    PUT(buf, ",\"serving\":");
    put_bool(buf, event->serving);
    PUT(buf, ",\"ready\":");
    put_bool(buf, event->ready);
    PUT(buf, ",\"health\":");
    put_word(buf, hb_health_text(event->health));
    PUT(buf, ",\"reason\":");
    put_word(buf, hb_reason_text(event->reason));
    put_order(buf, event->manager, event->epoch, event->seq);
    PUT(buf, ",\"at\":");
    put_time_or_null(buf, event->at);
    hb_buf_append_char(buf, '}');
}

void hb_encode_registration(struct hb_buf *buf, const struct hb_registration *registration)
{
    PUT(buf, "{\"worker_id\":");
    hb_buf_append_json(buf, registration->id);
    put_text_member(buf, ",\"worker_name\":", registration->name);
    put_text_member(buf, ",\"host\":", registration->host);
    if (registration->port != 0)
        put_count_member(buf, ",\"port\":", registration->port);
    put_text_member(buf, ",\"url\":", registration->url);
    put_seconds_member(buf, ",\"poll_interval_sec\":", registration->poll_interval_ms);
    if (registration->attributes.bytes != NULL) {
        PUT(buf, ",\"attributes\":");
        hb_buf_append_text(buf, registration->attributes);
    }
    put_seconds_member(buf, ",\"heartbeat_timeout\":", registration->timeout_ms);
    put_seconds_member(buf, ",\"heartbeat_interval\":", registration->interval_ms);
    hb_buf_append_char(buf, '}');
}

void hb_encode_register_answer(struct hb_buf *buf, struct hb_text id, int64_t timeout_ms, bool persisted)
{
    PUT(buf, "{\"status\":\"success\",\"worker_id\":");
    hb_buf_append_json(buf, id);
    PUT(buf, ",\"ws\":\"" HB_WS_PATH_PREFIX);
    hb_buf_append_text(buf, id); /* an id needs no escape, neither in JSON nor in a path */
    PUT(buf, "\",\"heartbeat_timeout\":");
    hb_buf_append_seconds(buf, timeout_ms);
    PUT(buf, ",\"persisted\":");
    put_bool(buf, persisted);
    hb_buf_append_char(buf, '}');
}

void hb_encode_error(struct hb_buf *buf, const char *sentence)
{
    PUT(buf, "{\"status\":\"error\",\"error\":");
    hb_buf_append_json(buf, hb_text_of(sentence));
    hb_buf_append_char(buf, '}');
}
