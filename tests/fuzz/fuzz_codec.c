/*
 * fuzz_codec: every decoder of proto/wire/codec.h.
 *
 * The first byte chooses the decoder, the rest is what it is given, in memory of exactly that size. Held against:
 *
 *   - json_reference.h: SYNTAX is answered if and only if the text is not what PROTOCOL.md calls JSON;
 *   - json-c: it too takes every text that was accepted, and its members are the values that were decoded;
 *   - PROTOCOL.md's table for beats, written down a second time here: accepted if and only if all its rules are kept;
 *   - the encoders: what is decoded, encoded and decoded again is the same;
 *   - a failure leaves its result untouched and one sentence behind, and nothing of one message is left in the next.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/codec.h"
#include "proto/wire/limits.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/json_reference.h"

#define UNTOUCHED 0x5a

union message {
    struct hb_registration registration;
    struct hb_beat beat;
    struct hb_maintenance maintenance;
    struct hb_row row;
    int64_t timeout_ms;
};

static bool seed_shape;
static bool written; /* the message in hand was written by an encoder: a row's absent objects are {} there */

/* ---- what json-c says of the same text ---- */

/* NULL when it is absent, or null. */
static struct json_object *member(struct json_object *root, const char *name)
{
    return json_object_object_get(root, name);
}

static struct hb_text text_of(struct json_object *value)
{
    return (struct hb_text){json_object_get_string(value), (size_t)json_object_get_string_len(value)};
}

static void same_text(struct json_object *root, const char *name, struct hb_text text)
{
    struct json_object *value = member(root, name);

    if (value == NULL) {
        FUZZ_CHECK(text.bytes == NULL, "%s is absent, yet decoded", name);
        return;
    }
    FUZZ_CHECK(json_object_is_type(value, json_type_string), "%s is no string, yet accepted", name);
    FUZZ_CHECK(hb_text_equal(text, text_of(value)), "%s is decoded as '%.*s'", name, (int)text.len, text.bytes);
}

static void same_either(struct json_object *root, const char *name, const char *alias, struct hb_text text)
{
    struct json_object *value = member(root, name);

    if (value != NULL && member(root, alias) != NULL)
        FUZZ_CHECK(hb_text_equal(text_of(value), text_of(member(root, alias))), "%s and %s differ", name, alias);
    same_text(root, value != NULL ? name : alias, text);
}

static void same_integer(struct json_object *root, const char *name, int64_t number, int64_t absent)
{
    struct json_object *value = member(root, name);

    FUZZ_CHECK(value == NULL || json_object_is_type(value, json_type_int), "%s is no integer, yet accepted", name);
    FUZZ_CHECK(number == (value != NULL ? json_object_get_int64(value) : absent), "%s is decoded as %lld", name,
               (long long)number);
}

static void same_seconds(struct json_object *root, const char *name, int64_t ms)
{
    struct json_object *value = member(root, name);
    double exact;

    if (value == NULL) {
        FUZZ_CHECK(ms == 0, "%s is absent, yet decoded", name);
        return;
    }
    exact = json_object_get_double(value) * 1000;
    FUZZ_CHECK(ms >= 1 && ((double)ms - exact <= 0.5001 || ms == 1) && exact - (double)ms <= 0.5001,
               "%s is decoded as %lld ms", name, (long long)ms);
    FUZZ_CHECK(ms <= HB_TIMEOUT_MAX_MS, "%s is decoded as %lld ms", name, (long long)ms);
}

/* A copied object means what it meant in the message, pairs that are null left out. */
static void same_object(struct json_object *root, const char *name, struct hb_text text)
{
    struct json_object *value = member(root, name), *copy;
    size_t pairs = 0;

    if (value == NULL) {
        FUZZ_CHECK(text.bytes == NULL || (written && hb_text_equal(text, HB_TEXT("{}"))), "%s is absent, yet decoded",
                   name);
        return;
    }
    FUZZ_CHECK(json_reference_accepts(text), "%s is decoded as something that is not JSON: %.*s", name, (int)text.len,
               text.bytes);
    char *terminated = strndup(text.bytes, text.len);
    copy = json_tokener_parse(terminated);
    json_object_object_foreach(value, key, pair)
    {
        struct json_object *copied = json_object_object_get(copy, key);

        pairs += pair != NULL;
        FUZZ_CHECK(json_object_equal(copied, pair), "%s: %s is decoded as %s", name, key,
                   json_object_to_json_string(copied));
    }
    FUZZ_CHECK((size_t)json_object_object_length(copy) == pairs, "%s has %zu pairs, decoded as %s", name, pairs,
               terminated);
    json_object_put(copy);
    free(terminated);
}

/* ---- PROTOCOL.md's rules once more ---- */

/* Characters that are none for people to read. The text is UTF-8: json-c and the reference have seen to it. */
static bool has_control(struct hb_text text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.bytes[i];

        if (byte < 0x20 || byte == 0x7f || (byte == 0xc2 && (unsigned char)text.bytes[i + 1] < 0xa0))
            return true;
    }
    return false;
}

static bool text_good(struct json_object *value, size_t min, size_t max)
{
    struct hb_text text;

    if (value == NULL)
        return true;
    if (!json_object_is_type(value, json_type_string))
        return false;
    text = text_of(value);
    return text.len >= min && text.len <= max && !has_control(text);
}

static bool count_good(struct json_object *value)
{
    return value == NULL || (json_object_is_type(value, json_type_int) && json_object_get_int64(value) >= 0 &&
                             json_object_get_int64(value) <= INT64_C(9007199254740992));
}

static bool is_number(struct json_object *value)
{
    return json_object_is_type(value, json_type_int) || json_object_is_type(value, json_type_double);
}

static bool pairs_good(struct json_object *object, bool numbers_only, size_t most)
{
    size_t pairs = 0;

    if (object == NULL)
        return true;
    if (!json_object_is_type(object, json_type_object))
        return false;
    json_object_object_foreach(object, key, value)
    {
        struct hb_text name = hb_text_of(key);
        bool good = is_number(value) || (!numbers_only && (json_object_is_type(value, json_type_boolean) ||
                                                           json_object_is_type(value, json_type_string)));

        if (name.len < 1 || name.len > 64 || has_control(name) || !(good || (numbers_only && value == NULL)))
            return false;
        if (json_object_is_type(value, json_type_string) && json_object_get_string_len(value) > 256)
            return false;
        pairs += value != NULL;
    }
    return pairs <= most;
}

static bool beat_good(struct json_object *root)
{
    return json_object_is_type(root, json_type_object) && text_good(member(root, "status"), 0, 64) &&
           text_good(member(root, "worker_name"), 1, 128) && pairs_good(member(root, "metrics"), true, 16) &&
           pairs_good(member(root, "attributes"), false, 32) && count_good(member(root, "requests")) &&
           count_good(member(root, "errors"));
}

static void id_good(struct hb_text id)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-";

    FUZZ_CHECK(id.len >= 1 && id.len <= 64, "an id of %zu bytes", id.len);
    for (size_t i = 0; i < id.len; i++)
        FUZZ_CHECK(id.bytes[i] != '\0' && strchr(allowed, id.bytes[i]) != NULL, "an id with %d in it", id.bytes[i]);
    FUZZ_CHECK(!hb_text_equal(id, HB_TEXT(".")) && !hb_text_equal(id, HB_TEXT("..")), "an id that no path can name");
}

static void name_good(struct hb_text name)
{
    FUZZ_CHECK(name.bytes == NULL || (name.len >= 1 && name.len <= 128 && !has_control(name)), "bad name accepted");
}

static void host_good(struct hb_text host)
{
    FUZZ_CHECK(host.bytes == NULL || (host.len >= 1 && host.len <= 255), "a host of %zu bytes", host.len);
    for (size_t i = 0; i < host.len; i++)
        FUZZ_CHECK(strchr(" /[]@\"\\\r\n\t%?#", host.bytes[i]) == NULL, "a host with %d in it", host.bytes[i]);
}

/* Rows are public, so no credentials; a poller will connect to it, so no way to smuggle a line into its request. */
static void url_good(struct hb_text url)
{
    size_t authority = 0;

    if (url.bytes == NULL)
        return;
    FUZZ_CHECK(url.len <= 2048 && !has_control(url) && memchr(url.bytes, ' ', url.len) == NULL, "bad url: %.*s",
               (int)url.len, url.bytes);
    for (; authority < url.len && url.bytes[authority] != '/'; authority++)
        ;
    authority += 2;
    FUZZ_CHECK(authority < url.len && url.bytes[authority - 1] == '/', "a url without a host: %.*s", (int)url.len,
               url.bytes);
    for (size_t i = authority; i < url.len && strchr("/?#", url.bytes[i]) == NULL; i++)
        FUZZ_CHECK(url.bytes[i] != '@', "a url with credentials: %.*s", (int)url.len, url.bytes);
}

/* ---- one decoder after the other ---- */

static enum hb_err decode_registration(struct hb_decoder *decoder, struct hb_text json, union message *message)
{
    return hb_decode_registration(decoder, json, &message->registration);
}

static void check_registration(struct json_object *root, union message *message)
{
    const struct hb_registration *r = &message->registration;

    same_either(root, "worker_id", "id", r->id);
    same_either(root, "worker_name", "name", r->name);
    same_text(root, "host", r->host);
    same_text(root, "url", r->url);
    same_integer(root, "port", r->port, 0);
    FUZZ_CHECK(member(root, "port") == NULL || r->port != 0, "port 0 accepted");
    same_object(root, "attributes", r->attributes);
    same_seconds(root, "heartbeat_timeout", r->timeout_ms);
    same_seconds(root, "heartbeat_interval", r->interval_ms);
    same_seconds(root, "poll_interval_sec", r->poll_interval_ms);
    id_good(r->id);
    name_good(r->name);
    host_good(r->host);
    url_good(r->url);
}

static void encode_registration(struct hb_buf *buf, const union message *message)
{
    hb_encode_registration(buf, &message->registration);
}

static enum hb_err decode_beat(struct hb_decoder *decoder, struct hb_text json, union message *message)
{
    return hb_decode_beat(decoder, json, &message->beat);
}

static void check_beat(struct json_object *root, union message *message)
{
    const struct hb_beat *b = &message->beat;
    struct hb_text status = b->status_text;
    enum hb_beat_kind kind = hb_text_equal(status, HB_TEXT("alive"))      ? HB_BEAT_ALIVE
                             : hb_text_equal(status, HB_TEXT("draining")) ? HB_BEAT_DRAINING
                             : hb_text_equal(status, HB_TEXT("bye"))      ? HB_BEAT_BYE
                                                                          : HB_BEAT_PLAIN;

    same_text(root, "status", status);
    FUZZ_CHECK(b->kind == kind, "status '%.*s' is taken for kind %d", (int)status.len, status.bytes, (int)b->kind);
    same_text(root, "worker_name", b->name);
    same_object(root, "metrics", b->metrics);
    same_object(root, "attributes", b->attributes);
    same_integer(root, "requests", b->requests, -1);
    same_integer(root, "errors", b->errors, -1);
}

static enum hb_err decode_maintenance(struct hb_decoder *decoder, struct hb_text json, union message *message)
{
    return hb_decode_maintenance(decoder, json, &message->maintenance);
}

static void check_maintenance(struct json_object *root, union message *message)
{
    const struct hb_maintenance *m = &message->maintenance;

    same_text(root, "reason", m->reason);
    name_good(m->reason);
    if (member(root, "ttl") != NULL)
        same_seconds(root, "ttl", m->ttl_ms);
    else
        FUZZ_CHECK(m->ttl_ms == HB_MAINTENANCE_MAX_MS, "without a ttl: %lld ms", (long long)m->ttl_ms);
    FUZZ_CHECK(m->ttl_ms > 0 && m->ttl_ms <= HB_MAINTENANCE_MAX_MS, "a ttl of %lld ms", (long long)m->ttl_ms);
}

static enum hb_err decode_row(struct hb_decoder *decoder, struct hb_text json, union message *message)
{
    return hb_decode_row(decoder, json, &message->row, &seed_shape);
}

static void check_row(struct json_object *root, union message *message)
{
    struct hb_row *row = &message->row;

    same_text(root, "worker_id", row->id);
    same_text(root, "worker_name", row->name);
    same_text(root, "host", row->host);
    same_text(root, "url", row->url);
    same_text(root, "reported_status", row->reported_status);
    same_text(root, "manager", row->manager);
    same_object(root, "attributes", row->attributes);
    same_object(root, "metrics", row->metrics);
    same_integer(root, "requests", row->requests, -1);
    same_integer(root, "errors", row->errors, -1);
    same_seconds(root, "heartbeat_timeout", row->timeout_ms);
    id_good(row->id);
    name_good(row->name);
    host_good(row->host);
    url_good(row->url);
    FUZZ_CHECK(seed_shape == (member(root, "serving") == NULL), "taken for the wrong project's row");
    FUZZ_CHECK(row->status != HB_STATUS_UNKNOWN && row->status != HB_STATUS_REMOVED, "a row of status %d", row->status);
    FUZZ_CHECK(hb_text_equal(text_of(member(root, "status")), hb_text_of(hb_status_text(row->status))), "status");
    if (!row->maintenance) /* written only beside it */
        row->maintenance_until.ms = 0, row->maintenance_reason = (struct hb_text){NULL, 0};
}

static void encode_row(struct hb_buf *buf, const union message *message)
{
    hb_encode_row(buf, &message->row);
}

static enum hb_err decode_answer(struct hb_decoder *decoder, struct hb_text json, union message *message)
{
    return hb_decode_register_answer(decoder, json, &message->timeout_ms);
}

static void check_answer(struct json_object *root, union message *message)
{
    same_seconds(root, "heartbeat_timeout", message->timeout_ms);
}

static const struct codec {
    char letter;
    enum hb_err (*decode)(struct hb_decoder *decoder, struct hb_text json, union message *message);
    void (*check)(struct json_object *root, union message *message);
    bool (*good)(struct json_object *root); /* NULL: only one direction is held against PROTOCOL.md */
    void (*encode)(struct hb_buf *buf, const union message *message); /* NULL none */
} codecs[] = {
    {'r', decode_registration, check_registration, NULL, encode_registration},
    {'b', decode_beat, check_beat, beat_good, NULL},
    {'m', decode_maintenance, check_maintenance, NULL, NULL},
    {'w', decode_row, check_row, NULL, encode_row},
    {'a', decode_answer, check_answer, NULL, NULL},
};

/* ---- the promises ---- */

static void check_refusal(const struct hb_decoder *decoder, enum hb_err err, struct hb_text json)
{
    FUZZ_CHECK(err == HB_ERR_SYNTAX || err == HB_ERR_SHAPE, "refused with '%s'", hb_err_text(err));
    fuzz_check_sentence(hb_text_of(hb_decoder_error(decoder)));
    if (json.len > HB_ROW_BYTES_MAX)
        return;
    FUZZ_CHECK((err == HB_ERR_SYNTAX) == !json_reference_accepts(json), "the reference says otherwise than '%s'",
               hb_decoder_error(decoder));
}

/* What json-c makes of a text that is JSON; the caller gives it back. */
static struct json_object *parse(struct hb_text json)
{
    struct json_tokener *tokener = json_tokener_new_ex(HB_JSON_DEPTH_MAX + 2);
    char *terminated = strndup(json.bytes, json.len);
    struct json_object *root;
    enum json_tokener_error fault;

    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    root = json_tokener_parse_ex(tokener, terminated, (int)json.len + 1);
    fault = json_tokener_get_error(tokener);
    FUZZ_CHECK(fault == json_tokener_success, "json-c refuses it: %s", json_tokener_error_desc(fault));
    json_tokener_free(tokener);
    free(terminated);
    return root;
}

/* What a row says beyond the texts and figures that json-c is asked for. */
static void same_row(const struct hb_row *a, const struct hb_row *b)
{
    FUZZ_CHECK(a->port == b->port && a->status == b->status && a->last_heartbeat.ms == b->last_heartbeat.ms &&
                   a->since.ms == b->since.ms && a->reason == b->reason && a->serving == b->serving &&
                   a->announced == b->announced && a->unverified == b->unverified && a->beats == b->beats &&
                   a->ready == b->ready && a->health == b->health && a->interval_ms == b->interval_ms &&
                   a->poll_interval_ms == b->poll_interval_ms && a->draining == b->draining &&
                   a->maintenance == b->maintenance && a->maintenance_until.ms == b->maintenance_until.ms &&
                   a->flapping == b->flapping && a->id_conflict == b->id_conflict && a->epoch == b->epoch &&
                   a->seq == b->seq,
               "another row after a round trip");
}

/* What is decoded again says of the message just what the first decoding said. */
static void check_round_trip(const struct codec *codec, struct hb_decoder *decoder, const union message *message,
                             struct json_object *root)
{
    bool of_seed = codec->decode == decode_row && seed_shape;
    union message first = *message; /* its texts die with the next decoding */
    struct hb_buf once, twice;
    union message again;
    enum hb_err err;

    hb_buf_init(&once, 4 * (size_t)HB_ROW_BYTES_MAX);
    hb_buf_init(&twice, 4 * (size_t)HB_ROW_BYTES_MAX);
    codec->encode(&once, message);
    FUZZ_CHECK(hb_buf_status(&once) == HB_OK, "what was decoded cannot be encoded");
    if (once.len <= HB_ROW_BYTES_MAX) { /* absent members are written as null, escapes in another way: it may grow */
        err = codec->decode(decoder, (struct hb_text){once.bytes, once.len}, &again);
        FUZZ_CHECK(err == HB_OK, "what was encoded is refused: %s: %s", hb_decoder_error(decoder), once.bytes);
        written = codec->decode == decode_row;
        if (!of_seed)
            codec->check(root, &again);
        written = false;
        if (codec->decode == decode_row)
            same_row(&first.row, &again.row);
        codec->encode(&twice, &again);
        FUZZ_CHECK(once.len == twice.len && memcmp(once.bytes, twice.bytes, once.len) == 0,
                   "decoded and encoded twice: %s and %s", once.bytes, twice.bytes);
    }
    hb_buf_free(&once);
    hb_buf_free(&twice);
}

static void check_acceptance(const struct codec *codec, struct hb_decoder *decoder, struct hb_text json,
                             union message *message)
{
    struct json_object *root;

    FUZZ_CHECK(json_reference_accepts(json), "the reference refuses it");
    root = parse(json);
    FUZZ_CHECK(json_object_is_type(root, json_type_object), "no object, yet accepted");
    codec->check(root, message);
    FUZZ_CHECK(codec->good == NULL || codec->good(root), "against PROTOCOL.md, yet accepted");
    if (codec->encode != NULL)
        check_round_trip(codec, decoder, message, root);
    json_object_put(root);
}

static void check_needless_refusal(const struct codec *codec, enum hb_err err, struct hb_text json,
                                   const char *sentence)
{
    struct json_object *root;

    if (codec->good == NULL || err != HB_ERR_SHAPE || json.len > HB_ROW_BYTES_MAX)
        return;
    root = parse(json);
    FUZZ_CHECK(!codec->good(root), "PROTOCOL.md allows it, yet: %s", sentence);
    json_object_put(root);
}

/* A decoder that has seen another message, good or bad, answers as a fresh one. */
static void check_reuse(const struct codec *codec, struct hb_decoder *decoder, struct hb_text json, enum hb_err err,
                        const char *sentence)
{
    union message message;
    struct hb_beat beat;

    FUZZ_CHECK(hb_decode_beat(decoder, HB_TEXT("{\"status\":\"x\",\"errors\":-1}"), &beat) == HB_ERR_SHAPE, "fixed");
    FUZZ_CHECK(codec->decode(decoder, json, &message) == err, "the second time it is not '%s'", hb_err_text(err));
    FUZZ_CHECK(err == HB_OK || strcmp(sentence, hb_decoder_error(decoder)) == 0, "first '%s', then '%s'", sentence,
               hb_decoder_error(decoder));
}

void fuzz_one(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, data + size};
    const struct codec *codec = &codecs[0];
    uint8_t letter = fuzz_byte(&input);
    struct hb_text given = {(const char *)input.at, (size_t)(input.end - input.at)};
    struct hb_text json = {fuzz_copy(given), given.len};
    struct hb_decoder *decoder = hb_decoder_new();
    union message message, untouched;
    char sentence[1024];
    enum hb_err err;

    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++) {
        if (codecs[i].letter == (char)letter)
            codec = &codecs[i];
    }
    memset(&message, UNTOUCHED, sizeof message);
    memset(&untouched, UNTOUCHED, sizeof untouched);
    err = codec->decode(decoder, json, &message);
    snprintf(sentence, sizeof sentence, "%s", hb_decoder_error(decoder));
    fuzz_trace("%c: %s %s", codec->letter, hb_err_text(err), sentence);
    if (err != HB_OK) {
        FUZZ_CHECK(memcmp(&message, &untouched, sizeof message) == 0, "a failure has changed its result");
        check_refusal(decoder, err, json);
        check_needless_refusal(codec, err, json, sentence);
    } else {
        check_acceptance(codec, decoder, json, &message);
    }
    check_reuse(codec, decoder, json, err, sentence);
    hb_decoder_free(decoder);
    free((char *)(uintptr_t)json.bytes);
}
