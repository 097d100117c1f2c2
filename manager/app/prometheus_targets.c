#include "manager/app/prometheus_targets.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "proto/wire/limits.h"

/* ---- where it is ---- */

/* Where a worker answers HTTP. */
struct place {
    struct hb_text host;   /* without brackets; absent: nowhere */
    struct hb_text port;   /* digits */
    struct hb_text scheme; /* absent: nobody has said */
};

static struct hb_text span(const char *at, const char *end)
{
    return (struct hb_text){at, (size_t)(end - at)};
}

/* Of an authority, `host`, `host:port`, `[v6]` or `[v6]:port`; the port stays as it is when there is none. */
static void split_authority(const char *at, const char *end, struct place *place)
{
    const char *host_end, *colon;

    if (at < end && *at == '[') {
        host_end = memchr(at, ']', (size_t)(end - at));
        if (host_end == NULL)
            return;
        place->host = span(at + 1, host_end);
        colon = host_end + 1;
    } else {
        colon = memchr(at, ':', (size_t)(end - at));
        host_end = colon != NULL ? colon : end;
        place->host = span(at, host_end);
    }
    if (colon != NULL && colon < end && *colon == ':' && colon + 1 < end)
        place->port = span(colon + 1, end);
}

/* A good url: proto/wire has seen to that. */
static struct place place_of_url(const char *url)
{
    const struct {
        struct hb_text prefix, scheme, port;
    } schemes[] = {{HB_TEXT("http://"), HB_TEXT("http"), HB_TEXT("80")},
                   {HB_TEXT("https://"), HB_TEXT("https"), HB_TEXT("443")}};
    struct place place = {{NULL, 0}, {NULL, 0}, {NULL, 0}};

    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        const char *at = url + schemes[i].prefix.len;

        if (strncasecmp(url, schemes[i].prefix.bytes, schemes[i].prefix.len) != 0)
            continue;
        place.scheme = schemes[i].scheme;
        place.port = schemes[i].port;
        split_authority(at, at + strcspn(at, "/?#"), &place);
    }
    return place;
}

static struct place place_of(const struct hb_worker *worker, char port[8])
{
    struct place place = {hb_text_of(worker->host), {port, 0}, {NULL, 0}};

    if (worker->host == NULL || worker->port == 0)
        return worker->url != NULL ? place_of_url(worker->url) : (struct place){{NULL, 0}, {NULL, 0}, {NULL, 0}};
    place.port.len = (size_t)snprintf(port, 8, "%u", worker->port);
    return place;
}

/* ---- attributes ---- */

struct label_name {
    char text[HB_ATTRIBUTE_KEY_MAX];
    size_t len;
};

/* What is inside a JSON string that begins at `at`; *ret_end is behind its closing quote, or NULL when there is none.
 */
static struct hb_text string_at(const char *at, const char **ret_end)
{
    const char *end = at + 1;

    while (*end != '"' && *end != '\0')
        end += *end == '\\' && end[1] != '\0' ? 2 : 1;
    *ret_end = *at == '"' && *end == '"' ? end + 1 : NULL;
    return span(at + 1, end);
}

static bool fits_a_label(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* One underscore for each character that does not fit, however many bytes or escapes it takes. */
static struct label_name label_of(struct hb_text name)
{
    struct label_name label = {.len = 0};

    for (size_t i = 0; i < name.len && label.len < sizeof label.text; i++) {
        char c = name.bytes[i];

        if (((unsigned char)c & 0xC0) == 0x80)
            continue; /* the rest of a character */
        label.text[label.len++] = fits_a_label(c) ? c : '_';
        if (c == '\\')
            i += i + 1 < name.len && name.bytes[i + 1] == 'u' ? 5 : 1;
    }
    return label;
}

static bool is_among(const struct label_name *labels, size_t count, const struct label_name *label)
{
    for (size_t i = 0; i < count; i++) {
        if (labels[i].len == label->len && memcmp(labels[i].text, label->text, label->len) == 0)
            return true;
    }
    return false;
}

/* A string's own bytes are good JSON; a number or a boolean has nothing to escape. */
static void put_attribute(struct hb_buf *json, const struct label_name *label, struct hb_text value)
{
    hb_buf_append_str(json, ",\"__meta_heartbeat_attribute_");
    hb_buf_append(json, label->text, label->len);
    hb_buf_append_str(json, "\":\"");
    hb_buf_append_text(json, value);
    hb_buf_append_char(json, '"');
}

void hb_prometheus_attributes_write(struct hb_buf *json, const char *attributes)
{
    struct label_name labels[HB_ATTRIBUTES_MAX];
    const char *at = attributes;

    for (size_t count = 0; at != NULL && (*at == '{' || *at == ',') && count < HB_ATTRIBUTES_MAX;) {
        struct hb_text name = string_at(at + 1, &at);
        struct hb_text value;

        if (at == NULL || *at != ':') /* as in {} */
            return;
        labels[count] = label_of(name);
        if (*++at == '"') {
            value = string_at(at, &at);
        } else {
            value = span(at, at + strcspn(at, ",}"));
            at += value.len;
        }
        if (at != NULL && !is_among(labels, count, &labels[count]))
            put_attribute(json, &labels[count++], value);
    }
}

/* ---- one worker ---- */

static void put_target(struct hb_buf *json, const struct place *place)
{
    char target[HB_URL_MAX + 16];
    bool v6 = memchr(place->host.bytes, ':', place->host.len) != NULL;
    int len = snprintf(target, sizeof target, v6 ? "[%.*s]:%.*s" : "%.*s:%.*s", (int)place->host.len, place->host.bytes,
                       (int)place->port.len, place->port.bytes);

    hb_buf_append_json(json, (struct hb_text){target, (size_t)len});
}

static void put_label(struct hb_buf *json, const char *name, struct hb_text value)
{
    hb_buf_append_str(json, name);
    hb_buf_append_json(json, value);
}

static void put_worker(struct hb_buf *json, const struct hb_worker *worker, const struct place *place)
{
    hb_buf_append_str(json, "{\"targets\":[");
    put_target(json, place);
    put_label(json, "],\"labels\":{\"worker_id\":", (struct hb_text){worker->id, worker->id_len});
    put_label(json, ",\"worker_name\":", hb_text_of(worker->name));
    if (place->scheme.bytes != NULL)
        put_label(json, ",\"__scheme__\":", place->scheme);
    put_label(json, ",\"__meta_heartbeat_status\":", hb_text_of(hb_status_text((enum hb_status)worker->status)));
    put_label(json, ",\"__meta_heartbeat_health\":", hb_text_of(hb_health_text((enum hb_health)worker->health)));
    put_label(json, ",\"__meta_heartbeat_serving\":", worker->serving ? HB_TEXT("true") : HB_TEXT("false"));
    if (worker->url != NULL)
        put_label(json, ",\"__meta_heartbeat_url\":", hb_text_of(worker->url));
    hb_prometheus_attributes_write(json, worker->attributes);
    hb_buf_append_str(json, "}}");
}

bool hb_prometheus_target_write(struct hb_buf *json, const char *before, const struct hb_worker *worker)
{
    char port[8];
    struct place place = place_of(worker, port);

    if (place.host.bytes == NULL || place.host.len == 0)
        return false;
    hb_buf_append_str(json, before);
    put_worker(json, worker, &place);
    return true;
}
