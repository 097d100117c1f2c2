/*
 * json_flat: see the header. One pass, O(bytes); stops at the first container, so nothing nested is ever walked.
 */
#include "proto/wire/json_flat.h"

#include <string.h>

#include "proto/wire/json_string.h"
#include "proto/wire/limits.h"

#define TEXT_OF_NUMBER(number) #number
#define TEXT_OF(limit) TEXT_OF_NUMBER(limit)

const struct hb_flat_rule hb_flat_metrics = {
    .pairs_max = HB_METRICS_MAX,
    .numbers_only = true,
    .too_many = "more than " TEXT_OF(HB_METRICS_MAX) " numbers were sent",
    .wrong_type = "has a value that is no number",
};

const struct hb_flat_rule hb_flat_attributes = {
    .pairs_max = HB_ATTRIBUTES_MAX,
    .numbers_only = false,
    .too_many = "more than " TEXT_OF(HB_ATTRIBUTES_MAX) " pairs were sent",
    .wrong_type = "has a value that is no string, number or boolean",
};

struct pair {
    struct hb_text name;  /* quotes included */
    struct hb_text value; /* of a container only its first byte */
};

static const char *skip_space(const char *at)
{
    while (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')
        at++;
    return at;
}

/* The end of a value that is no container. */
static const char *scalar_end(const char *at)
{
    if (*at == '"')
        return hb_json_string_close(at) + 1;
    while (*at != ',' && *at != '}' && *at != ' ' && *at != '\n' && *at != '\r' && *at != '\t')
        at++;
    return at;
}

static bool is_container(struct pair pair)
{
    return pair.value.bytes[0] == '{' || pair.value.bytes[0] == '[';
}

/* Reads the pair whose name starts at `at`; returns where the value ends. */
static const char *read_pair(const char *at, struct pair *ret_pair)
{
    const char *name_end = hb_json_string_close(at) + 1;
    ret_pair->name = (struct hb_text){at, (size_t)(name_end - at)};
    at = skip_space(skip_space(name_end) + 1);
    const char *value_end = *at == '{' || *at == '[' ? at + 1 : scalar_end(at);
    ret_pair->value = (struct hb_text){at, (size_t)(value_end - at)};
    return value_end;
}

static struct hb_text unquoted(struct hb_text string)
{
    return (struct hb_text){string.bytes + 1, string.len - 2};
}

static const char *check_pair(struct pair pair, const struct hb_flat_rule *rule)
{
    char first = pair.value.bytes[0];
    bool number = first == '-' || (first >= '0' && first <= '9');
    if (is_container(pair) || (rule->numbers_only ? !number && first != 'n' : first == 'n'))
        return rule->wrong_type;
    if (first == '"' && hb_json_string_length(unquoted(pair.value)) > HB_ATTRIBUTE_VALUE_MAX)
        return "has a value of more than " TEXT_OF(HB_ATTRIBUTE_VALUE_MAX) " bytes";
    struct hb_text name = unquoted(pair.name);
    size_t name_len = hb_json_string_length(name);
    if (name_len == 0)
        return "is an empty name";
    if (name_len > HB_ATTRIBUTE_KEY_MAX)
        return "is a name of more than " TEXT_OF(HB_ATTRIBUTE_KEY_MAX) " bytes";
    if (hb_json_string_has_control(name))
        return "is a name with a control character";
    return NULL;
}

static char *put(char *out, struct hb_text text)
{
    memcpy(out, text.bytes, text.len);
    return out + text.len;
}

const char *hb_flat_copy(struct hb_text object, const struct hb_flat_rule *rule, char *out, size_t *ret_len,
                         struct hb_text *ret_name)
{
    char *to = out;
    size_t pairs = 0;
    *to++ = '{';
    const char *at = skip_space(object.bytes + 1);
    while (*at != '}') {
        struct pair pair;
        at = skip_space(read_pair(at, &pair));
        const char *fault = check_pair(pair, rule);
        *ret_name = pair.name;
        if (fault != NULL)
            return fault;
        if (pair.value.bytes[0] != 'n') {
            if (pairs++ == rule->pairs_max) {
                *ret_name = (struct hb_text){0};
                return rule->too_many;
            }
            if (pairs > 1)
                *to++ = ',';
            to = put(to, pair.name);
            *to++ = ':';
            to = put(to, pair.value);
        }
        if (*at == ',')
            at = skip_space(at + 1);
    }
    *to++ = '}';
    *ret_len = (size_t)(to - out);
    return NULL;
}
