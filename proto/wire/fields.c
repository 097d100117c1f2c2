/*
 * fields: see the header. One decoder serves one message at a time; after the first messages of a size it allocates
 * nothing of its own.
 */
#include "proto/wire/fields.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/codec.h"
#include "proto/wire/json_strict.h"
#include "proto/wire/json_string.h"
#include "proto/wire/limits.h"
#include "proto/wire/utf8.h"

#define MESSAGE_BYTES_MAX HB_ROW_BYTES_MAX /* the longest thing anybody decodes */
#define SHOWN_MAX 40                       /* bytes of a value that a sentence shows */
#define LENIENT_DIGITS_MAX 18              /* beyond 64 bits json-c clamps (0.16) or refuses (later) */

struct field {
    enum hb_json_kind kind;
    struct hb_text raw;        /* as written in the message */
    struct json_object *value; /* of strings and numbers; lives in the decoder's values */
};

struct hb_decoder {
    struct json_tokener *tokener;
    struct json_object *values; /* of the last message; what the takes hand out lives in here or in scratch */
    char *scratch;
    size_t scratch_cap, scratch_len;
    const struct hb_text *names;
    struct field fields[HB_FIELDS_MAX];
    struct hb_json_outline outline;
    bool lenient; /* what a take refuses is forgotten */
    enum hb_err err;
    char error[256];
};

/*
 * json-c 0.16 doesn't notice when its own string buffer fails to grow, and would hand out shortened texts. So that
 * buffer grows here, once, to the longest message; it keeps its size from then on.
 */
static bool grow_tokener(struct json_tokener *tokener)
{
    const size_t len = MESSAGE_BYTES_MAX;
    char *string = malloc(len);
    if (string == NULL)
        return false;
    memset(string, 'x', len);
    string[0] = string[len - 1] = '"';
    struct json_object *parsed = json_tokener_parse_ex(tokener, string, (int)len);
    bool whole = json_object_get_string_len(parsed) == (int)len - 2;
    json_object_put(parsed);
    free(string);
    return whole;
}

struct hb_decoder *hb_decoder_new(void)
{
    struct hb_decoder *decoder = calloc(1, sizeof *decoder);
    if (decoder == NULL)
        return NULL;
    decoder->tokener = json_tokener_new_ex(2); /* the array and what is in it */
    if (decoder->tokener == NULL)
        goto fail;
    json_tokener_set_flags(decoder->tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    if (!grow_tokener(decoder->tokener))
        goto fail;
    return decoder;
fail:
    hb_decoder_free(decoder);
    return NULL;
}

void hb_decoder_free(struct hb_decoder *decoder)
{
    if (decoder == NULL)
        return;
    json_object_put(decoder->values);
    if (decoder->tokener != NULL)
        json_tokener_free(decoder->tokener);
    free(decoder->scratch);
    free(decoder);
}

const char *hb_decoder_error(const struct hb_decoder *decoder)
{
    return decoder->error;
}

enum hb_err hb_decoder_status(const struct hb_decoder *decoder)
{
    return decoder->err;
}

static enum hb_err refuse(struct hb_decoder *decoder, enum hb_err err, const char *format, ...) HB_PRINTF(3, 4);

static enum hb_err refuse(struct hb_decoder *decoder, enum hb_err err, const char *format, ...)
{
    va_list values;
    if (decoder->err != HB_OK)
        return decoder->err;
    va_start(values, format);
    vsnprintf(decoder->error, sizeof decoder->error, format, values);
    va_end(values);
    if (!decoder->lenient)
        decoder->err = err;
    return err;
}

void hb_decoder_refuse(struct hb_decoder *decoder, const char *sentence)
{
    (void)refuse(decoder, HB_ERR_SHAPE, "%s", sentence);
}

/* The beginning of what was sent, as it was escaped there; cut between characters, control characters replaced. */
static const char *show(struct hb_text raw, char out[SHOWN_MAX + 4])
{
    size_t len = 0;
    while (len < raw.len) {
        unsigned step = hb_utf8_length((const unsigned char *)raw.bytes + len, raw.len - len);
        if (len + step > SHOWN_MAX)
            break;
        memcpy(out + len, raw.bytes + len, step);
        if (hb_utf8_check(out + len, step) != HB_UTF8_PLAIN)
            memset(out + len, '?', step);
        len += step;
    }
    if (len < raw.len)
        memcpy(out + len, "...", sizeof "...");
    else
        out[len] = '\0';
    return out;
}

void hb_field_refuse(struct hb_decoder *decoder, size_t field, const char *fault)
{
    char shown[SHOWN_MAX + 4];
    (void)refuse(decoder, HB_ERR_SHAPE, "%s: %s %s", decoder->names[field].bytes,
                 show(decoder->fields[field].raw, shown), fault);
}

static void refuse_kind(struct hb_decoder *decoder, size_t field, const char *must)
{
    static const char *const kinds[] = {"absent", "a string", "a number", "a boolean", "an object", "an array"};
    const struct field *f = &decoder->fields[field];
    char shown[SHOWN_MAX + 4];
    if (f->kind == HB_JSON_OBJECT || f->kind == HB_JSON_ARRAY)
        (void)refuse(decoder, HB_ERR_SHAPE, "%s: %s was sent; it must be %s", decoder->names[field].bytes,
                     kinds[f->kind], must);
    else
        (void)refuse(decoder, HB_ERR_SHAPE, "%s: %s is %s; it must be %s", decoder->names[field].bytes,
                     show(f->raw, shown), kinds[f->kind], must);
}

static enum hb_json_kind kind_of(char first)
{
    switch (first) {
    case '"':
        return HB_JSON_STRING;
    case '{':
        return HB_JSON_OBJECT;
    case '[':
        return HB_JSON_ARRAY;
    case 't':
    case 'f':
        return HB_JSON_BOOL;
    case 'n':
        return HB_JSON_ABSENT;
    default:
        return HB_JSON_NUMBER;
    }
}

/* Frees what the last message left and makes room for this one's texts. */
static enum hb_err start(struct hb_decoder *decoder, size_t message_len)
{
    json_object_put(decoder->values);
    decoder->values = NULL;
    decoder->scratch_len = 0;
    decoder->lenient = false;
    decoder->err = HB_OK;
    decoder->error[0] = '\0';
    if (message_len > MESSAGE_BYTES_MAX)
        return refuse(decoder, HB_ERR_SHAPE, "the message has %zu bytes; at most %d are taken", message_len,
                      MESSAGE_BYTES_MAX);
    size_t needed = message_len + 2; /* the wanted values in brackets, or the compact objects, are never longer */
    if (needed > decoder->scratch_cap) {
        size_t cap = needed > 512 ? needed : 512;
        char *scratch = realloc(decoder->scratch, cap);
        if (scratch == NULL)
            return refuse(decoder, HB_ERR_NO_MEMORY, "out of memory");
        decoder->scratch = scratch;
        decoder->scratch_cap = cap;
    }
    return HB_OK;
}

/* The place of a member among the wanted names; count when nobody wants it. */
static size_t find_name(const struct hb_text *names, size_t count, struct hb_text key)
{
    size_t i = 0;
    if (memchr(key.bytes, '\\', key.len) != NULL) {
        while (i < count && !hb_json_string_equal(key, names[i]))
            i++;
        return i;
    }
    while (i < count && (names[i].len != key.len || memcmp(names[i].bytes, key.bytes, key.len) != 0))
        i++;
    return i;
}

/* Notes where the wanted members are. A message may hold hundreds of others. */
static void locate(struct hb_decoder *decoder, struct hb_text json, size_t count)
{
    for (size_t i = 0; i < count; i++)
        decoder->fields[i] = (struct field){.kind = HB_JSON_ABSENT};
    for (size_t m = 0; m < decoder->outline.count; m++) {
        const struct hb_json_member *member = &decoder->outline.members[m];
        struct hb_text key = {json.bytes + member->key_at, member->key_len};
        size_t place = find_name(decoder->names, count, key);
        if (place == count)
            continue;
        struct field *field = &decoder->fields[place];
        field->raw = (struct hb_text){json.bytes + member->value_at, member->value_len};
        field->kind = kind_of(field->raw.bytes[0]);
    }
}

/* What json-c's refusal of values that json_strict has passed means. */
static enum hb_err refuse_values(struct hb_decoder *decoder)
{
    enum json_tokener_error fault = json_tokener_get_error(decoder->tokener);
    switch (fault) {
    case json_tokener_success: /* what 0.16 says when it could not allocate */
#if JSON_C_VERSION_NUM >= (17 << 8)
    case json_tokener_error_memory:
#endif
        return refuse(decoder, HB_ERR_NO_MEMORY, "out of memory");
    case json_tokener_error_parse_number: /* 0.16 clamps it, and then it is out of range */
        return refuse(decoder, HB_ERR_SHAPE, "a number has more than 64 bits");
    default:
        return refuse(decoder, HB_ERR_SYNTAX, "not JSON: %s", json_tokener_error_desc(fault));
    }
}

/* Hands the wanted strings and numbers to json-c as one array, in the order of the names. */
static enum hb_err parse_values(struct hb_decoder *decoder, size_t count)
{
    char *to = decoder->scratch;
    size_t wanted = 0, taken = 0;
    for (size_t i = 0; i < count; i++) {
        const struct field *field = &decoder->fields[i];
        if (field->kind != HB_JSON_STRING && field->kind != HB_JSON_NUMBER)
            continue;
        *to++ = wanted++ == 0 ? '[' : ',';
        memcpy(to, field->raw.bytes, field->raw.len);
        to += field->raw.len;
    }
    if (wanted == 0)
        return HB_OK;
    *to++ = ']';
    json_tokener_reset(decoder->tokener);
    decoder->values = json_tokener_parse_ex(decoder->tokener, decoder->scratch, (int)(to - decoder->scratch));
    /* An array that lacks something: it could not grow. */
    if (decoder->values == NULL || json_object_array_length(decoder->values) != wanted)
        return refuse_values(decoder);
    for (size_t i = 0; i < count; i++) {
        struct field *field = &decoder->fields[i];
        if (field->kind == HB_JSON_STRING || field->kind == HB_JSON_NUMBER)
            field->value = json_object_array_get_idx(decoder->values, taken++);
    }
    return HB_OK;
}

/* Up to and without the values. */
static enum hb_err open_outline(struct hb_decoder *decoder, struct hb_text json, const struct hb_text *names,
                                size_t count)
{
    size_t at = 0;
    if (start(decoder, json.len) != HB_OK)
        return decoder->err;
    const char *fault = hb_json_strict_outline(json, &decoder->outline, &at);
    if (fault != NULL)
        return refuse(decoder, HB_ERR_SYNTAX, "not JSON: %s at byte %zu", fault, at);
    if (!decoder->outline.is_object)
        return refuse(decoder, HB_ERR_SHAPE, "the message is not an object; it must be a JSON object");
    decoder->names = names;
    locate(decoder, json, count);
    return HB_OK;
}

enum hb_err hb_fields_open(struct hb_decoder *decoder, struct hb_text json, const struct hb_text *names, size_t count)
{
    enum hb_err err = open_outline(decoder, json, names, count);
    return err == HB_OK ? parse_values(decoder, count) : err;
}

static bool has_many_digits(const struct field *field)
{
    return field->kind == HB_JSON_NUMBER && field->raw.len > LENIENT_DIGITS_MAX &&
           strspn(field->raw.bytes, "-0123456789") >= field->raw.len;
}

enum hb_err hb_fields_open_lenient(struct hb_decoder *decoder, struct hb_text json, const struct hb_text *names,
                                   size_t count)
{
    enum hb_err err = open_outline(decoder, json, names, count);
    if (err != HB_OK)
        return err;
    for (size_t i = 0; i < count; i++) {
        if (has_many_digits(&decoder->fields[i]))
            decoder->fields[i].kind = HB_JSON_ABSENT;
    }
    err = parse_values(decoder, count);
    decoder->lenient = err == HB_OK;
    return err;
}

/* Is the field there and of this kind? When it is of another, the message is refused. */
static bool is_there(struct hb_decoder *decoder, size_t field, enum hb_json_kind kind, const char *must)
{
    enum hb_json_kind sent = decoder->fields[field].kind;
    if (decoder->err != HB_OK || sent == HB_JSON_ABSENT)
        return false;
    if (sent != kind)
        refuse_kind(decoder, field, must);
    return sent == kind;
}

enum hb_json_kind hb_field_kind(const struct hb_decoder *decoder, size_t field)
{
    return decoder->fields[field].kind;
}

struct hb_text hb_take_text(struct hb_decoder *decoder, size_t field, const struct hb_text_rule *rule)
{
    const struct hb_text absent = {0};
    if (!is_there(decoder, field, HB_JSON_STRING, rule->must))
        return absent;
    struct json_object *value = decoder->fields[field].value;
    struct hb_text text = {json_object_get_string(value), (size_t)json_object_get_string_len(value)};
    const char *fault = rule->fault(text);
    if (fault == NULL)
        return text;
    if (rule->hidden_by != 0 && text.len > 0 && memchr(text.bytes, rule->hidden_by, text.len) != NULL)
        (void)refuse(decoder, HB_ERR_SHAPE, "%s: it %s", decoder->names[field].bytes, fault);
    else
        hb_field_refuse(decoder, field, fault);
    return absent;
}

static void refuse_number(struct hb_decoder *decoder, size_t field, const char *fault, const char *must)
{
    char whole[160];
    snprintf(whole, sizeof whole, "%s; it must be %s", fault, must);
    hb_field_refuse(decoder, field, whole);
}

int64_t hb_take_integer(struct hb_decoder *decoder, size_t field, const struct hb_number_rule *rule, int64_t absent)
{
    if (!is_there(decoder, field, HB_JSON_NUMBER, rule->must))
        return absent;
    struct json_object *value = decoder->fields[field].value;
    int64_t number = json_object_get_int64(value); /* clamped, if need be: out of range all the same */
    if (!json_object_is_type(value, json_type_int))
        refuse_number(decoder, field, "is not written as an integer", rule->must);
    else if (number < (int64_t)rule->min || number > (int64_t)rule->max)
        refuse_number(decoder, field, "is out of range", rule->must);
    else
        return number;
    return absent;
}

double hb_take_number(struct hb_decoder *decoder, size_t field, const struct hb_number_rule *rule, double absent)
{
    if (!is_there(decoder, field, HB_JSON_NUMBER, rule->must))
        return absent;
    double number = json_object_get_double(decoder->fields[field].value);
    if (number >= rule->min && number <= rule->max)
        return number;
    refuse_number(decoder, field, "is out of range", rule->must);
    return absent;
}

uint64_t hb_take_u64(struct hb_decoder *decoder, size_t field)
{
    static const char must[] = "an integer from 0 on, of at most 64 bits";
    if (!is_there(decoder, field, HB_JSON_NUMBER, must))
        return 0;
    struct json_object *value = decoder->fields[field].value;
    uint64_t number = json_object_get_uint64(value);
    if (!json_object_is_type(value, json_type_int))
        refuse_number(decoder, field, "is not written as an integer", must);
    else if (json_object_get_int64(value) < 0 || number == UINT64_MAX) /* the largest one is what json-c clamps to */
        refuse_number(decoder, field, "is out of range", must);
    else
        return number;
    return 0;
}

int64_t hb_take_ms(struct hb_decoder *decoder, size_t field, const struct hb_number_rule *rule)
{
    if (!is_there(decoder, field, HB_JSON_NUMBER, rule->must))
        return 0;
    double seconds = json_object_get_double(decoder->fields[field].value);
    if (!(seconds > 0 && seconds >= rule->min && seconds <= rule->max)) {
        refuse_number(decoder, field, "is out of range", rule->must);
        return 0;
    }
    int64_t ms = (int64_t)(seconds * 1000 + 0.5);
    return ms > 0 ? ms : 1;
}

bool hb_take_bool(struct hb_decoder *decoder, size_t field)
{
    return is_there(decoder, field, HB_JSON_BOOL, "true or false") && decoder->fields[field].raw.bytes[0] == 't';
}

struct hb_text hb_take_flat(struct hb_decoder *decoder, size_t field, const struct hb_flat_rule *rule)
{
    if (!is_there(decoder, field, HB_JSON_OBJECT, "an object"))
        return (struct hb_text){0};
    /* The array for json-c was there before, and is not needed any more. */
    char *to = decoder->scratch + decoder->scratch_len;
    struct hb_text text = {.bytes = to}, name = {0};
    const char *fault = hb_flat_copy(decoder->fields[field].raw, rule, to, &text.len, &name);
    if (fault != NULL) {
        char shown[SHOWN_MAX + 4];
        (void)refuse(decoder, HB_ERR_SHAPE, "%s: %s%s%s", decoder->names[field].bytes,
                     name.bytes != NULL ? show(name, shown) : "", name.bytes != NULL ? " " : "", fault);
        return (struct hb_text){0};
    }
    decoder->scratch_len += text.len;
    return text;
}

size_t hb_take_word(struct hb_decoder *decoder, size_t field, const char *const *words, size_t count, size_t absent)
{
    if (!is_there(decoder, field, HB_JSON_STRING, "a string"))
        return absent;
    const char *word = json_object_get_string(decoder->fields[field].value);
    size_t place = 0;
    while (place < count && strcmp(words[place], word) != 0)
        place++;
    return place;
}
