/*
 * message: the texts of the closed vocabularies, and what an id and a name may be made of.
 *
 * The tables come from the X-macros in the header, so a word and its meaning cannot drift apart. A number that is in no
 * table gives the text of its zero, never NULL: these texts go straight into answers and log lines.
 */
#include "proto/wire/message.h"

#include <stddef.h>

#include "proto/wire/limits.h"
#include "proto/wire/utf8.h"

#define TEXT_OF(name, text) text,
#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const char *const status_texts[] = {HB_STATUS_MAP(TEXT_OF)};
static const char *const health_texts[] = {HB_HEALTH_MAP(TEXT_OF)};
static const char *const announced_texts[] = {HB_ANNOUNCED_MAP(TEXT_OF)};
static const char *const outcome_texts[] = {HB_POLL_OUTCOME_MAP(TEXT_OF)};
static const char *const edge_channels[] = {HB_EDGE_MAP(TEXT_OF)};
static const char *const reason_texts[] = {HB_REASON_MAP(TEXT_OF)};

static const char *text_at(const char *const *texts, size_t count, size_t place)
{
    return texts[place < count ? place : 0];
}

const char *hb_status_text(enum hb_status status)
{
    return text_at(status_texts, COUNT(status_texts), (size_t)status);
}

const char *hb_health_text(enum hb_health health)
{
    return text_at(health_texts, COUNT(health_texts), (size_t)health);
}

const char *hb_announced_text(enum hb_announced announced)
{
    return text_at(announced_texts, COUNT(announced_texts), (size_t)announced);
}

const char *hb_poll_outcome_text(enum hb_poll_outcome outcome)
{
    return text_at(outcome_texts, COUNT(outcome_texts), (size_t)outcome);
}

const char *hb_edge_channel(enum hb_edge edge)
{
    return text_at(edge_channels, COUNT(edge_channels), (size_t)edge);
}

const char *hb_reason_text(enum hb_reason reason)
{
    return text_at(reason_texts, COUNT(reason_texts), (size_t)reason);
}

/* Not isalnum: that follows the locale, and an id is a key in Redis, a path and a log field. */
static bool is_id_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == ':' || c == '-';
}

bool hb_id_valid(struct hb_text id)
{
    if (id.bytes == NULL || id.len < 1 || id.len > HB_ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        if (!is_id_byte(id.bytes[i]))
            return false;
    }
    /* A path cannot name these two: every server and client takes /workers/.. for another one. */
    return !hb_text_equal(id, HB_TEXT(".")) && !hb_text_equal(id, HB_TEXT(".."));
}

bool hb_name_valid(struct hb_text name)
{
    return name.bytes != NULL && name.len >= 1 && name.len <= HB_NAME_MAX &&
           hb_utf8_check(name.bytes, name.len) == HB_UTF8_PLAIN;
}
