#include "manager/app/metrics_query.h"

#include <string.h>

#define SAID_MAX 32 /* bytes of a value that an error repeats */

/* In quotes, and so that it can stand in a log line and in JSON, whatever it was. */
static void put_said(struct hb_buf *sentence, struct hb_text said)
{
    size_t len = said.len < SAID_MAX ? said.len : SAID_MAX;

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

static enum hb_err take_format(struct hb_metrics_query *query, struct hb_text value, struct hb_buf *sentence)
{
    if (query->format != HB_METRICS_UNSAID)
        return refuse(sentence, "format", value, " comes a second time; it must be given at most once");
    if (hb_text_equal(value, HB_TEXT("json")))
        query->format = HB_METRICS_JSON;
    else if (hb_text_equal(value, HB_TEXT("prometheus")))
        query->format = HB_METRICS_PROMETHEUS;
    else
        return refuse(sentence, "format", value, " is not a format; it must be prometheus or json");
    return HB_OK;
}

static enum hb_err take_per_worker(struct hb_metrics_query *query, struct hb_text value, struct hb_buf *sentence)
{
    if (query->per_worker_said)
        return refuse(sentence, "per_worker", value, " comes a second time; it must be given at most once");
    query->per_worker_said = true;
    query->per_worker = hb_text_equal(value, HB_TEXT("1"));
    if (!query->per_worker && !hb_text_equal(value, HB_TEXT("0")))
        return refuse(sentence, "per_worker", value, " is neither; it must be 1 or 0");
    return HB_OK;
}

enum hb_err hb_metrics_query_add(struct hb_metrics_query *query, struct hb_text parameter, struct hb_buf *sentence)
{
    const char *equals = memchr(parameter.bytes, '=', parameter.len);
    size_t name_len = equals != NULL ? (size_t)(equals - parameter.bytes) : parameter.len;
    struct hb_text name = {parameter.bytes, name_len};
    struct hb_text value = {"", 0};

    if (equals != NULL)
        value = (struct hb_text){equals + 1, parameter.len - name_len - 1};
    if (hb_text_equal(name, HB_TEXT("format")))
        return take_format(query, value, sentence);
    if (hb_text_equal(name, HB_TEXT("per_worker")))
        return take_per_worker(query, value, sentence);
    return refuse(sentence, "query", name, " is not a parameter here; it must be one of format, per_worker");
}
