/*
 * codec: registrations, heartbeats and the answer to a registration, read from JSON. codec_row.c reads rows and
 * codec_encode.c writes everything; fields.c stands below all of them.
 *
 * Each message is an enum of places and a table of names in the same order; decoding is one line per member. Members
 * that are in no table are ignored, so that newer clients may send more.
 */
#include "proto/wire/codec.h"

#include "proto/wire/fields.h"
#include "proto/wire/limits.h"
#include "proto/wire/rules.h"

enum {
    REGISTRATION_WORKER_ID,
    REGISTRATION_ID,
    REGISTRATION_WORKER_NAME,
    REGISTRATION_NAME,
    REGISTRATION_HOST,
    REGISTRATION_PORT,
    REGISTRATION_URL,
    REGISTRATION_ATTRIBUTES,
    REGISTRATION_TIMEOUT,
    REGISTRATION_INTERVAL,
    REGISTRATION_POLL_INTERVAL,
    REGISTRATION_FIELDS,
};

static const struct hb_text registration_names[REGISTRATION_FIELDS] = {
    [REGISTRATION_WORKER_ID] = HB_FIELD("worker_id"),
    [REGISTRATION_ID] = HB_FIELD("id"),
    [REGISTRATION_WORKER_NAME] = HB_FIELD("worker_name"),
    [REGISTRATION_NAME] = HB_FIELD("name"),
    [REGISTRATION_HOST] = HB_FIELD("host"),
    [REGISTRATION_PORT] = HB_FIELD("port"),
    [REGISTRATION_URL] = HB_FIELD("url"),
    [REGISTRATION_ATTRIBUTES] = HB_FIELD("attributes"),
    [REGISTRATION_TIMEOUT] = HB_FIELD("heartbeat_timeout"),
    [REGISTRATION_INTERVAL] = HB_FIELD("heartbeat_interval"),
    [REGISTRATION_POLL_INTERVAL] = HB_FIELD("poll_interval_sec"),
};

/* Two spellings of one thing. Both may be sent when they agree. */
static struct hb_text take_either(struct hb_decoder *decoder, size_t field, size_t alias,
                                  const struct hb_text_rule *rule, const char *differ)
{
    struct hb_text text = hb_take_text(decoder, field, rule);
    struct hb_text other = hb_take_text(decoder, alias, rule);
    if (text.bytes != NULL && other.bytes != NULL && !hb_text_equal(text, other))
        hb_field_refuse(decoder, alias, differ);
    return text.bytes != NULL ? text : other;
}

enum hb_err hb_decode_registration(struct hb_decoder *decoder, struct hb_text json,
                                   struct hb_registration *ret_registration)
{
    enum hb_err err = hb_fields_open(decoder, json, registration_names, REGISTRATION_FIELDS);
    if (err != HB_OK)
        return err;
    struct hb_registration registration = {0};
    registration.id = take_either(decoder, REGISTRATION_WORKER_ID, REGISTRATION_ID, &hb_rule_id,
                                  "differs from worker_id; one of them is enough");
    if (registration.id.bytes == NULL)
        hb_decoder_refuse(decoder, "worker_id: it is missing; a registration must have it, or id");
    registration.name = take_either(decoder, REGISTRATION_WORKER_NAME, REGISTRATION_NAME, &hb_rule_name,
                                    "differs from worker_name; one of them is enough");
    registration.host = hb_take_text(decoder, REGISTRATION_HOST, &hb_rule_host);
    registration.port = (uint16_t)hb_take_integer(decoder, REGISTRATION_PORT, &hb_rule_port, 0);
    registration.url = hb_take_text(decoder, REGISTRATION_URL, &hb_rule_url);
    registration.attributes = hb_take_flat(decoder, REGISTRATION_ATTRIBUTES, &hb_flat_attributes);
    registration.timeout_ms = hb_take_ms(decoder, REGISTRATION_TIMEOUT, &hb_rule_timeout);
    registration.interval_ms = hb_take_ms(decoder, REGISTRATION_INTERVAL, &hb_rule_interval);
    registration.poll_interval_ms = hb_take_ms(decoder, REGISTRATION_POLL_INTERVAL, &hb_rule_timeout);
    err = hb_decoder_status(decoder);
    if (err == HB_OK)
        *ret_registration = registration;
    return err;
}

enum {
    BEAT_STATUS,
    BEAT_METRICS,
    BEAT_WORKER_NAME,
    BEAT_ATTRIBUTES,
    BEAT_REQUESTS,
    BEAT_ERRORS,
    BEAT_FIELDS,
};

static const struct hb_text beat_names[BEAT_FIELDS] = {
    [BEAT_STATUS] = HB_FIELD("status"),           [BEAT_METRICS] = HB_FIELD("metrics"),
    [BEAT_WORKER_NAME] = HB_FIELD("worker_name"), [BEAT_ATTRIBUTES] = HB_FIELD("attributes"),
    [BEAT_REQUESTS] = HB_FIELD("requests"),       [BEAT_ERRORS] = HB_FIELD("errors"),
};

static enum hb_beat_kind beat_kind(struct hb_text status)
{
    if (hb_text_equal(status, HB_TEXT("alive")))
        return HB_BEAT_ALIVE;
    if (hb_text_equal(status, HB_TEXT("draining")))
        return HB_BEAT_DRAINING;
    if (hb_text_equal(status, HB_TEXT("bye")))
        return HB_BEAT_BYE;
    return HB_BEAT_PLAIN;
}

enum hb_err hb_decode_beat(struct hb_decoder *decoder, struct hb_text json, struct hb_beat *ret_beat)
{
    enum hb_err err = hb_fields_open(decoder, json, beat_names, BEAT_FIELDS);
    if (err != HB_OK)
        return err;
    struct hb_beat beat;
    beat.status_text = hb_take_text(decoder, BEAT_STATUS, &hb_rule_status);
    beat.kind = beat_kind(beat.status_text);
    beat.name = hb_take_text(decoder, BEAT_WORKER_NAME, &hb_rule_name);
    beat.metrics = hb_take_flat(decoder, BEAT_METRICS, &hb_flat_metrics);
    beat.attributes = hb_take_flat(decoder, BEAT_ATTRIBUTES, &hb_flat_attributes);
    beat.requests = hb_take_integer(decoder, BEAT_REQUESTS, &hb_rule_count, -1);
    beat.errors = hb_take_integer(decoder, BEAT_ERRORS, &hb_rule_count, -1);
    err = hb_decoder_status(decoder);
    if (err == HB_OK)
        *ret_beat = beat;
    return err;
}

enum {
    MAINTENANCE_TTL,
    MAINTENANCE_REASON,
    MAINTENANCE_FIELDS,
};

static const struct hb_text maintenance_names[MAINTENANCE_FIELDS] = {
    [MAINTENANCE_TTL] = HB_FIELD("ttl"),
    [MAINTENANCE_REASON] = HB_FIELD("reason"),
};

enum hb_err hb_decode_maintenance(struct hb_decoder *decoder, struct hb_text json,
                                  struct hb_maintenance *ret_maintenance)
{
    enum hb_err err = hb_fields_open(decoder, json, maintenance_names, MAINTENANCE_FIELDS);
    if (err != HB_OK)
        return err;
    struct hb_maintenance maintenance;
    maintenance.ttl_ms = hb_take_ms(decoder, MAINTENANCE_TTL, &hb_rule_timeout);
    maintenance.reason = hb_take_text(decoder, MAINTENANCE_REASON, &hb_rule_name);
    if (maintenance.ttl_ms == 0)
        maintenance.ttl_ms = HB_MAINTENANCE_MAX_MS;
    err = hb_decoder_status(decoder);
    if (err == HB_OK)
        *ret_maintenance = maintenance;
    return err;
}

enum hb_err hb_decode_register_answer(struct hb_decoder *decoder, struct hb_text json, int64_t *ret_timeout_ms)
{
    static const struct hb_text names[] = {HB_FIELD("heartbeat_timeout")};
    enum hb_err err = hb_fields_open(decoder, json, names, 1);
    if (err != HB_OK)
        return err;
    int64_t timeout_ms = hb_take_ms(decoder, 0, &hb_rule_timeout);
    err = hb_decoder_status(decoder);
    if (err == HB_OK)
        *ret_timeout_ms = timeout_ms;
    return err;
}
