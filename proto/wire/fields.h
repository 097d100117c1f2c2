/*
 * fields: the members of one JSON object, taken by place in a table of names, with their types and bounds checked.
 *
 *   bytes ──► json_strict (good or not, outline) ──► wanted members ──► json-c ──► hb_take_*
 *
 * json-c is the parser of every value that becomes a C value, and fields.c the only file that knows it. It is handed
 * the wanted strings and numbers as one array, not the whole message: members that nobody asked for, and objects that
 * are only passed on as text, cost no object, no hash table and no copy of a name. That is a quarter of the time.
 *
 * Errors stick, as in buf.h: after the first one each take returns "absent", and hb_decoder_status tells. null counts
 * as absent everywhere.
 */
#ifndef HB_WIRE_FIELDS_H
#define HB_WIRE_FIELDS_H

#include <stdbool.h>

#include "proto/base/buf.h"
#include "proto/wire/json_flat.h"

struct hb_decoder;

enum hb_json_kind { HB_JSON_ABSENT, HB_JSON_STRING, HB_JSON_NUMBER, HB_JSON_BOOL, HB_JSON_OBJECT, HB_JSON_ARRAY };

#define HB_FIELDS_MAX 32 /* wanted members of one message; json-c's arrays start with room for as many */

/* Static tables: {"name", 4}. */
#define HB_FIELD(literal)                                                                                              \
    {                                                                                                                  \
        (literal), sizeof(literal) - 1                                                                                 \
    }

/* What a text must be. */
struct hb_text_rule {
    const char *must;                          /* "a string of ...", for values of another type */
    const char *(*fault)(struct hb_text text); /* NULL when it is good, else what is wrong with it: "is empty" */
    char hidden_by; /* a text that holds this byte may hold a secret and is not shown; 0: all are shown */
};

struct hb_number_rule {
    double min, max;
    const char *must; /* "an integer between 1 and 65535" */
};

/*
 * Starts a message: checks the JSON and finds the members called names[0..count). The names must outlive the decoder's
 * use of them. On HB_OK the takes may follow; on anything else the sentence is set.
 */
enum hb_err hb_fields_open(struct hb_decoder *decoder, struct hb_text json, const struct hb_text *names,
                           size_t count) HB_MUST_CHECK;
/*
 * The same for a message whose members count one by one: what a take refuses is absent and nothing more, and so is an
 * integer of more digits than any rule allows. Only a message that is no JSON object, or too long, is refused.
 */
enum hb_err hb_fields_open_lenient(struct hb_decoder *decoder, struct hb_text json, const struct hb_text *names,
                                   size_t count) HB_MUST_CHECK;
enum hb_err hb_decoder_status(const struct hb_decoder *decoder) HB_MUST_CHECK;

enum hb_json_kind hb_field_kind(const struct hb_decoder *decoder, size_t field);
struct hb_text hb_take_text(struct hb_decoder *decoder, size_t field, const struct hb_text_rule *rule);
/* Integers are those written as such: 8080.0 and 8e3 are refused. Any rule lies within 0 and 2^53. */
int64_t hb_take_integer(struct hb_decoder *decoder, size_t field, const struct hb_number_rule *rule, int64_t absent);
/* However it is written: 12, 12.0 and 1.2e1 are one. */
double hb_take_number(struct hb_decoder *decoder, size_t field, const struct hb_number_rule *rule, double absent);
uint64_t hb_take_u64(struct hb_decoder *decoder, size_t field); /* 0 when absent */
/* Seconds, handed out in milliseconds, at least 1; 0 when absent. */
int64_t hb_take_ms(struct hb_decoder *decoder, size_t field, const struct hb_number_rule *rule);
bool hb_take_bool(struct hb_decoder *decoder, size_t field);
/* The compact text of an object of plain values. */
struct hb_text hb_take_flat(struct hb_decoder *decoder, size_t field, const struct hb_flat_rule *rule);
/* The place of a word among count words; `absent` when it is absent, count when it is none of them. */
size_t hb_take_word(struct hb_decoder *decoder, size_t field, const char *const *words, size_t count, size_t absent);

/* Refuse the message for a rule that only the caller knows. The value is shown in the sentence before the fault. */
void hb_field_refuse(struct hb_decoder *decoder, size_t field, const char *fault);
void hb_decoder_refuse(struct hb_decoder *decoder, const char *sentence);

#endif
