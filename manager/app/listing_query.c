#include "manager/app/listing_query.h"

#include <string.h>

static const enum hb_status listed[] = {HB_STATUS_REGISTERED, HB_STATUS_CONNECTED, HB_STATUS_ALIVE,
                                        HB_STATUS_NOT_RESPONDING, HB_STATUS_DISCONNECTED};

#define LISTED_COUNT (sizeof listed / sizeof listed[0])

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* ---- one value ---- */

/* In quotes, and so that it can stand in a log line and in JSON, whatever it was. */
static void put_said(struct hb_buf *sentence, struct hb_text said)
{
    size_t len = said.len < HB_QUERY_SAID_MAX ? said.len : HB_QUERY_SAID_MAX;

    hb_buf_append_char(sentence, '"');
    for (size_t i = 0; i < len; i++)
        hb_buf_append_char(sentence, said.bytes[i] < ' ' || said.bytes[i] > '~' ? '?' : said.bytes[i]);
    hb_buf_append_str(sentence, len < said.len ? "...\"" : "\"");
}

static enum hb_err refuse(struct hb_buf *sentence, const char *name, struct hb_text said, const char *rule)
{
    hb_buf_append_str(sentence, name);
    hb_buf_append_str(sentence, ": ");
    put_said(sentence, said);
    hb_buf_append_str(sentence, rule);
    return HB_ERR_INVALID;
}

static enum hb_err add_status(struct hb_listing_query *query, struct hb_text word, struct hb_buf *sentence)
{
    for (size_t i = 0; i < LISTED_COUNT; i++) {
        if (hb_text_equal(word, hb_text_of(hb_status_text(listed[i])))) {
            query->statuses |= 1u << listed[i];
            return HB_OK;
        }
    }
    return refuse(sentence, "status", word,
                  " is not a status; it must be one of registered, connected, alive, not_responding, disconnected, or "
                  "several of them separated by commas");
}

static enum hb_err take_status(struct hb_listing_query *query, struct hb_text value, struct hb_buf *sentence)
{
    const char *at = value.bytes;
    const char *end = value.bytes + value.len;

    for (;;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma != NULL ? comma : end;
        enum hb_err err = add_status(query, (struct hb_text){at, (size_t)(stop - at)}, sentence);

        if (err != HB_OK || comma == NULL)
            return err;
        at = comma + 1;
    }
}

static enum hb_err take_serving(struct hb_listing_query *query, struct hb_text value, struct hb_buf *sentence)
{
    query->by_serving = true;
    query->serving = hb_text_equal(value, HB_TEXT("true"));
    if (query->serving || hb_text_equal(value, HB_TEXT("false")))
        return HB_OK;
    return refuse(sentence, "serving", value, " is neither; it must be true or false");
}

static enum hb_err take_search(struct hb_listing_query *query, struct hb_text value, struct hb_buf *sentence)
{
    if (value.len > HB_SEARCH_MAX)
        return refuse(sentence, "q", value, " is too long; it must be at most 128 bytes");
    for (size_t i = 0; i < value.len; i++)
        query->search[i] = (char)lower(value.bytes[i]);
    query->search_len = (uint8_t)value.len;
    return HB_OK;
}

static enum hb_err take_limit(struct hb_listing_query *query, struct hb_text value, struct hb_buf *sentence)
{
    uint32_t limit = 0;

    for (size_t i = 0; i < value.len && limit <= HB_LIMIT_MAX; i++)
        limit = value.bytes[i] < '0' || value.bytes[i] > '9' ? HB_LIMIT_MAX + 1
                                                             : limit * 10 + (uint32_t)(value.bytes[i] - '0');
    if (limit == 0 || limit > HB_LIMIT_MAX)
        return refuse(sentence, "limit", value, " is not a number of rows; it must be an integer between 1 and 10000");
    query->limit = limit;
    return HB_OK;
}

static enum hb_err take_after(struct hb_listing_query *query, struct hb_text value, struct hb_buf *sentence)
{
    if (!hb_id_valid(value))
        return refuse(sentence, "after", value,
                      " is not a worker id; it must be the last id of the page before, 1 to 64 characters of "
                      "A-Z a-z 0-9 . _ : -");
    memcpy(query->after, value.bytes, value.len);
    query->after_len = (uint8_t)value.len;
    return HB_OK;
}

/* ---- the parameters ---- */

static const struct parameter {
    const char *name;
    enum hb_err (*take)(struct hb_listing_query *query, struct hb_text value, struct hb_buf *sentence);
} parameters[] = {
    {"status", take_status}, {"serving", take_serving}, {"q", take_search},
    {"limit", take_limit},   {"after", take_after},
};

#define PARAMETER_COUNT (sizeof parameters / sizeof parameters[0])

enum hb_err hb_listing_query_add(struct hb_listing_query *query, struct hb_text parameter, struct hb_buf *sentence)
{
    const char *equals = memchr(parameter.bytes, '=', parameter.len);
    size_t name_len = equals != NULL ? (size_t)(equals - parameter.bytes) : parameter.len;
    struct hb_text name = {parameter.bytes, name_len};
    struct hb_text value = {"", 0};

    if (equals != NULL)
        value = (struct hb_text){equals + 1, parameter.len - name_len - 1};
    for (size_t i = 0; i < PARAMETER_COUNT; i++) {
        if (!hb_text_equal(name, hb_text_of(parameters[i].name)))
            continue;
        if ((query->seen & 1u << i) != 0)
            return refuse(sentence, parameters[i].name, value, " comes a second time; it must be given at most once");
        query->seen |= 1u << i;
        return parameters[i].take(query, value, sentence);
    }
    return refuse(sentence, "query", name,
                  " is not a parameter here; it must be one of status, serving, q, limit, after");
}

/* ---- asking ---- */

bool hb_listing_query_is_all(const struct hb_listing_query *query)
{
    return query->statuses == 0 && !query->by_serving && query->search_len == 0 && query->limit == 0 &&
           query->after_len == 0;
}

static bool same_in_lower(const char *text, const char *lowered, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (lower(text[i]) != (unsigned char)lowered[i])
            return false;
    }
    return true;
}

/* Both are short, so the plain way: no table to set up for each of 100,000 workers. */
static bool holds(const char *text, size_t len, const struct hb_listing_query *query)
{
    const size_t search_len = query->search_len;
    const char first = query->search[0];
    const char capital = (char)(first >= 'a' && first <= 'z' ? first - 'a' + 'A' : first);

    for (size_t at = 0; at + search_len <= len; at++) {
        if ((text[at] == first || text[at] == capital) &&
            same_in_lower(text + at + 1, query->search + 1, search_len - 1))
            return true;
    }
    return false;
}

bool hb_listing_query_fits(const struct hb_listing_query *query, const struct hb_worker *worker)
{
    if (query->statuses != 0 && (query->statuses & 1u << worker->status) == 0)
        return false;
    if (query->by_serving && query->serving != worker->serving)
        return false;
    return query->search_len == 0 || holds(worker->id, worker->id_len, query) ||
           (worker->name != NULL && holds(worker->name, strlen(worker->name), query)) ||
           (worker->host != NULL && holds(worker->host, strlen(worker->host), query));
}

static void put_encoded(struct hb_buf *out, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     (c != '\0' && strchr("-._~", c) != NULL);

        if (plain)
            hb_buf_append_char(out, (char)c);
        else
            hb_buf_printf(out, "%%%02X", c);
    }
}

void hb_listing_query_next(const struct hb_listing_query *query, struct hb_text after, struct hb_buf *out)
{
    const char *before = "status=";

    for (size_t i = 0; i < LISTED_COUNT; i++) {
        if ((query->statuses & 1u << listed[i]) == 0)
            continue;
        hb_buf_printf(out, "%s%s", before, hb_status_text(listed[i]));
        before = ",";
    }
    if (query->statuses != 0)
        hb_buf_append_char(out, '&');
    if (query->by_serving)
        hb_buf_append_str(out, query->serving ? "serving=true&" : "serving=false&");
    if (query->search_len > 0) {
        hb_buf_append_str(out, "q=");
        put_encoded(out, query->search, query->search_len);
        hb_buf_append_char(out, '&');
    }
    hb_buf_printf(out, "limit=%u&after=", query->limit);
    put_encoded(out, after.bytes, after.len);
}
