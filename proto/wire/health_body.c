/*
 * health_body: see the header. Of several spellings of one thing the first that is good counts, in the order of the
 * table; an uptime of "3 days" does not hide the uptime_seconds beside it.
 */
#include "proto/wire/health_body.h"

#include "proto/wire/fields.h"
#include "proto/wire/json_strict.h"
#include "proto/wire/json_string.h"
#include "proto/wire/limits.h"
#include "proto/wire/rules.h"

enum {
    UPTIME,
    REQUESTS = UPTIME + 3,
    ERRORS = REQUESTS + 4,
    ATTRIBUTES = ERRORS + 4,
    FIELDS,
};

static const struct hb_text names[FIELDS] = {
    [UPTIME] = HB_FIELD("uptime"), HB_FIELD("uptime_sec"),
    HB_FIELD("uptime_seconds"),    [REQUESTS] = HB_FIELD("requests"),
    HB_FIELD("request_count"),     HB_FIELD("requestCount"),
    HB_FIELD("total_requests"),    [ERRORS] = HB_FIELD("errors"),
    HB_FIELD("error_count"),       HB_FIELD("errorCount"),
    HB_FIELD("total_errors"),      [ATTRIBUTES] = HB_FIELD("attributes"),
};

/* A century: what is more is a time of day, or counts something else than seconds. */
static const struct hb_number_rule uptime_rule = {0, 100 * 366 * 86400.0, "a number of seconds"};

/* The first good number of the fields from..end; -1 when there is none. */
static double first_number(struct hb_decoder *decoder, size_t from, size_t end, const struct hb_number_rule *rule,
                           bool whole)
{
    for (size_t i = from; i < end; i++) {
        double number = hb_take_number(decoder, i, rule, -1);
        if (number >= 0 && (!whole || number == (double)(int64_t)number))
            return number;
    }
    return -1;
}

void hb_health_body_read(struct hb_decoder *decoder, struct hb_text body, struct hb_health_body *ret_health)
{
    *ret_health = (struct hb_health_body){.uptime_ms = -1, .requests = -1, .errors = -1};
    if (hb_fields_open_lenient(decoder, body, names, FIELDS) != HB_OK)
        return;
    double uptime = first_number(decoder, UPTIME, REQUESTS, &uptime_rule, false);
    if (uptime >= 0)
        ret_health->uptime_ms = (int64_t)(uptime * 1000 + 0.5);
    ret_health->requests = (int64_t)first_number(decoder, REQUESTS, ERRORS, &hb_rule_count, true);
    ret_health->errors = (int64_t)first_number(decoder, ERRORS, ATTRIBUTES, &hb_rule_count, true);
    ret_health->attributes = hb_take_flat(decoder, ATTRIBUTES, &hb_flat_attributes);
}

/* ---- merging ---- */

struct object {
    const char *bytes;
    struct hb_json_outline outline; /* no members: absent, or empty */
};

static void open_object(struct object *object, struct hb_text json)
{
    object->bytes = json.bytes;
    if (json.bytes == NULL || hb_json_strict_outline(json, &object->outline, NULL) != NULL)
        object->outline.count = 0;
}

static struct hb_text key_of(const struct object *object, const struct hb_json_member *member)
{
    return (struct hb_text){object->bytes + member->key_at, member->key_len};
}

static const struct hb_json_member *find(const struct object *object, struct hb_text key)
{
    for (uint32_t i = 0; i < object->outline.count; i++) {
        if (hb_json_string_equal(key_of(object, &object->outline.members[i]), key))
            return &object->outline.members[i];
    }
    return NULL;
}

/* With the quotes of its name, which stand around the key. */
static void put(struct hb_buf *out, const struct object *object, const struct hb_json_member *member, bool first)
{
    if (!first)
        hb_buf_append_char(out, ',');
    hb_buf_append(out, object->bytes + member->key_at - 1, member->key_len + 2);
    hb_buf_append_char(out, ':');
    hb_buf_append(out, object->bytes + member->value_at, member->value_len);
}

/*
 * Mine keep their places, with their value where they have the name; theirs that are new follow. So the same answer
 * to every poll gives the same bytes every time.
 */
void hb_attributes_merge(struct hb_buf *out, struct hb_text mine, struct hb_text theirs)
{
    struct object my, their;
    size_t written = 0, room;
    open_object(&my, mine);
    open_object(&their, theirs);
    room = their.outline.count < HB_ATTRIBUTES_MAX ? HB_ATTRIBUTES_MAX - their.outline.count : 0;

    hb_buf_append_char(out, '{');
    for (uint32_t i = 0; i < my.outline.count; i++) {
        const struct hb_json_member *member = &my.outline.members[i];
        const struct hb_json_member *newer = find(&their, key_of(&my, member));
        if (newer != NULL)
            put(out, &their, newer, written++ == 0);
        else if (room > 0) {
            put(out, &my, member, written++ == 0);
            room--;
        }
    }
    for (uint32_t i = 0; i < their.outline.count; i++) {
        const struct hb_json_member *member = &their.outline.members[i];
        if (find(&my, key_of(&their, member)) == NULL)
            put(out, &their, member, written++ == 0);
    }
    hb_buf_append_char(out, '}');
}
