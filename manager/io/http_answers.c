#include "manager/io/http_answers.h"

#include <stdio.h>

void hb_answer_failure(struct hb_exchange *exchange, const struct hb_ingest *ingest, enum hb_err err)
{
    const char *sentence = hb_ingest_error(ingest);

    switch (err) {
    case HB_ERR_SYNTAX:
        hb_exchange_answer_error(exchange, 400, NULL, sentence);
        break;
    case HB_ERR_SHAPE:
    case HB_ERR_INVALID:
        hb_exchange_answer_error(exchange, 422, NULL, sentence);
        break;
    case HB_ERR_UNKNOWN:
        hb_exchange_answer_error(exchange, 404, NULL, sentence);
        break;
    case HB_ERR_REFUSED:
    case HB_ERR_CONFLICT:
    case HB_ERR_STALE:
        hb_exchange_answer_error(exchange, 409, NULL, sentence);
        break;
    case HB_ERR_FULL:
    case HB_ERR_NO_MEMORY:
        hb_exchange_answer_error(exchange, 503, "Retry-After: 5\r\n", sentence);
        break;
    default:
        hb_exchange_answer_error(exchange, 500, NULL, sentence);
        break;
    }
}

void hb_answer_not_known(struct hb_exchange *exchange, struct hb_text id)
{
    char sentence[128];

    snprintf(sentence, sizeof sentence, "worker %.*s is not known", (int)id.len, id.bytes);
    hb_exchange_answer_error(exchange, 404, NULL, sentence);
}

void hb_answer_done(struct hb_exchange *exchange, struct hb_text id)
{
    struct hb_buf json;

    hb_buf_init(&json, HB_BODY_BYTES_MAX);
    hb_buf_append_str(&json, "{\"status\":\"success\",\"worker_id\":");
    hb_buf_append_json(&json, id);
    hb_buf_append_str(&json, "}\n");
    hb_exchange_answer_buf(exchange, 200, NULL, &json);
}
