/*
 * codec_row: rows of the Redis hash `workers`, read back. Ours, and those that the small Python project writes: they
 * end after last_heartbeat, and their port may be a text of digits.
 */
#include <string.h>

#include "proto/wire/codec.h"
#include "proto/wire/fields.h"
#include "proto/wire/rules.h"

#define WORD(name, text) text,
#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const char *const statuses[] = {HB_STATUS_MAP(WORD)};
static const char *const healths[] = {HB_HEALTH_MAP(WORD)};
static const char *const announcements[] = {HB_ANNOUNCED_MAP(WORD)};
static const char *const reasons[] = {HB_REASON_MAP(WORD)};

#define ROW_FIELD_MAP(X)                                                                                               \
    X(WORKER_ID, "worker_id")                                                                                          \
    X(WORKER_NAME, "worker_name")                                                                                      \
    X(HOST, "host")                                                                                                    \
    X(PORT, "port")                                                                                                    \
    X(STATUS, "status")                                                                                                \
    X(LAST_HEARTBEAT, "last_heartbeat")                                                                                \
    X(SINCE, "since")                                                                                                  \
    X(REASON, "reason")                                                                                                \
    X(SERVING, "serving")                                                                                              \
    X(ANNOUNCED, "announced")                                                                                          \
    X(UNVERIFIED, "unverified")                                                                                        \
    X(BEATS, "beats")                                                                                                  \
    X(READY, "ready")                                                                                                  \
    X(HEALTH, "health")                                                                                                \
    X(URL, "url")                                                                                                      \
    X(ATTRIBUTES, "attributes")                                                                                        \
    X(METRICS, "metrics")                                                                                              \
    X(REPORTED_STATUS, "reported_status")                                                                              \
    X(REQUESTS, "requests")                                                                                            \
    X(ERRORS, "errors")                                                                                                \
    X(TIMEOUT, "heartbeat_timeout")                                                                                    \
    X(INTERVAL, "heartbeat_interval")                                                                                  \
    X(POLL_INTERVAL, "poll_interval_sec")                                                                              \
    X(DRAINING, "draining")                                                                                            \
    X(MAINTENANCE, "maintenance")                                                                                      \
    X(MAINTENANCE_UNTIL, "maintenance_until")                                                                          \
    X(MAINTENANCE_REASON, "maintenance_reason")                                                                        \
    X(FLAPPING, "flapping")                                                                                            \
    X(ID_CONFLICT, "id_conflict")                                                                                      \
    X(MANAGER, "manager")                                                                                              \
    X(EPOCH, "epoch")                                                                                                  \
    X(SEQ, "seq")

enum row_field {
#define ROW_FIELD_ENUM(name, text) ROW_##name,
    ROW_FIELD_MAP(ROW_FIELD_ENUM) ROW_FIELDS
};

#define ROW_FIELD_NAME(name, text) HB_FIELD(text),
static const struct hb_text row_names[ROW_FIELDS] = {ROW_FIELD_MAP(ROW_FIELD_NAME)};

_Static_assert(ROW_FIELDS <= HB_FIELDS_MAX, "the decoder has a place for each of a row's fields");

static hb_wall_ms take_time(struct hb_decoder *decoder, enum row_field field)
{
    hb_wall_ms time = {0};
    struct hb_text text = hb_take_text(decoder, field, &hb_rule_time);
    if (text.bytes != NULL && hb_wall_parse(text.bytes, text.len, &time) != HB_OK)
        return (hb_wall_ms){0}; /* the rule has refused the message then */
    return time;
}

/* A word of a closed vocabulary. */
static size_t take_known(struct hb_decoder *decoder, enum row_field field, const char *const *words, size_t count)
{
    size_t place = hb_take_word(decoder, field, words, count, 0);
    if (place < count)
        return place;
    hb_field_refuse(decoder, field, "is none of the words that are known here");
    return 0;
}

/* Which of them a worker without a row has ("unknown", "removed") makes no difference: it is none of ours. */
static enum hb_status take_status(struct hb_decoder *decoder)
{
    enum hb_status status = (enum hb_status)take_known(decoder, ROW_STATUS, statuses, COUNT(statuses));
    if (hb_field_kind(decoder, ROW_STATUS) == HB_JSON_ABSENT)
        hb_decoder_refuse(decoder, "status: it is missing; a row must have it");
    else if (status == HB_STATUS_UNKNOWN || status == HB_STATUS_REMOVED)
        hb_field_refuse(decoder, ROW_STATUS, "is no status of a row");
    return status;
}

static uint16_t take_port(struct hb_decoder *decoder, bool seed_shape)
{
    if (seed_shape && hb_field_kind(decoder, ROW_PORT) == HB_JSON_STRING)
        return hb_port_of_digits(hb_take_text(decoder, ROW_PORT, &hb_rule_port_digits));
    return (uint16_t)hb_take_integer(decoder, ROW_PORT, &hb_rule_port, 0);
}

/* New managers may know more reasons than this one does. */
static enum hb_reason take_reason(struct hb_decoder *decoder)
{
    size_t place = hb_take_word(decoder, ROW_REASON, reasons, COUNT(reasons), HB_REASON_NONE);
    return place < COUNT(reasons) ? (enum hb_reason)place : HB_REASON_NONE;
}

static void take_seed_part(struct hb_decoder *decoder, struct hb_row *row, bool seed_shape)
{
    row->id = hb_take_text(decoder, ROW_WORKER_ID, &hb_rule_id);
    if (row->id.bytes == NULL)
        hb_decoder_refuse(decoder, "worker_id: it is missing; a row must have it");
    row->name = hb_take_text(decoder, ROW_WORKER_NAME, &hb_rule_name);
    row->host = hb_take_text(decoder, ROW_HOST, &hb_rule_host);
    row->port = take_port(decoder, seed_shape);
    row->status = take_status(decoder);
    row->last_heartbeat = take_time(decoder, ROW_LAST_HEARTBEAT);
}

static void take_verdict(struct hb_decoder *decoder, struct hb_row *row)
{
    row->since = take_time(decoder, ROW_SINCE);
    row->reason = take_reason(decoder);
    row->serving = hb_take_bool(decoder, ROW_SERVING);
    row->announced = (enum hb_announced)take_known(decoder, ROW_ANNOUNCED, announcements, COUNT(announcements));
    row->unverified = hb_take_bool(decoder, ROW_UNVERIFIED);
    row->ready = hb_take_bool(decoder, ROW_READY);
    row->health = (enum hb_health)take_known(decoder, ROW_HEALTH, healths, COUNT(healths));
    row->draining = hb_take_bool(decoder, ROW_DRAINING);
    row->maintenance = hb_take_bool(decoder, ROW_MAINTENANCE);
    row->maintenance_until = take_time(decoder, ROW_MAINTENANCE_UNTIL);
    row->maintenance_reason = hb_take_text(decoder, ROW_MAINTENANCE_REASON, &hb_rule_name);
    row->flapping = hb_take_bool(decoder, ROW_FLAPPING);
    row->id_conflict = hb_take_bool(decoder, ROW_ID_CONFLICT);
}

static void take_facts(struct hb_decoder *decoder, struct hb_row *row)
{
    row->url = hb_take_text(decoder, ROW_URL, &hb_rule_url);
    row->beats = hb_take_bool(decoder, ROW_BEATS) || row->url.bytes == NULL;
    row->attributes = hb_take_flat(decoder, ROW_ATTRIBUTES, &hb_flat_attributes);
    row->metrics = hb_take_flat(decoder, ROW_METRICS, &hb_flat_metrics);
    row->reported_status = hb_take_text(decoder, ROW_REPORTED_STATUS, &hb_rule_status);
    row->requests = hb_take_integer(decoder, ROW_REQUESTS, &hb_rule_count, -1);
    row->errors = hb_take_integer(decoder, ROW_ERRORS, &hb_rule_count, -1);
    row->timeout_ms = hb_take_ms(decoder, ROW_TIMEOUT, &hb_rule_timeout);
    row->interval_ms = hb_take_ms(decoder, ROW_INTERVAL, &hb_rule_interval);
    row->poll_interval_ms = hb_take_ms(decoder, ROW_POLL_INTERVAL, &hb_rule_timeout);
    row->manager = hb_take_text(decoder, ROW_MANAGER, &hb_rule_any);
    row->epoch = hb_take_u64(decoder, ROW_EPOCH);
    row->seq = hb_take_u64(decoder, ROW_SEQ);
}

/*
 * That project serves whoever is alive or connected and has announced the others down; a worker that only registered
 * has not been announced at all.
 */
static void judge_seed_row(struct hb_row *row)
{
    row->serving = row->status == HB_STATUS_ALIVE || row->status == HB_STATUS_CONNECTED;
    if (row->serving)
        row->announced = HB_ANNOUNCED_UP;
    else
        row->announced = row->status == HB_STATUS_REGISTERED ? HB_ANNOUNCED_NONE : HB_ANNOUNCED_DOWN;
}

enum hb_err hb_decode_row(struct hb_decoder *decoder, struct hb_text json, struct hb_row *ret_row, bool *ret_seed_shape)
{
    enum hb_err err = hb_fields_open(decoder, json, row_names, ROW_FIELDS);
    if (err != HB_OK)
        return err;
    bool seed_shape = hb_field_kind(decoder, ROW_SERVING) == HB_JSON_ABSENT;
    struct hb_row row = {0};
    take_seed_part(decoder, &row, seed_shape);
    take_verdict(decoder, &row);
    take_facts(decoder, &row);
    if (seed_shape)
        judge_seed_row(&row);
    err = hb_decoder_status(decoder);
    if (err == HB_OK) {
        *ret_row = row;
        *ret_seed_shape = seed_shape;
    }
    return err;
}
