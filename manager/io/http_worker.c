#include "manager/io/http_worker.h"

#include "manager/app/timeline_view.h"
#include "manager/io/http_answers.h"
#include "manager/io/peer.h"

#define TIMELINE_BYTES_MAX 131072

static const struct hb_worker *find(struct hb_ingest *ingest, struct hb_text id)
{
    return hb_registry_find(hb_manager_registry(hb_ingest_manager(ingest)), id);
}

/* ---- the row ---- */

static void answer_row(struct hb_ingest *ingest, struct hb_documents *documents, struct hb_exchange *exchange,
                       struct hb_text id)
{
    const struct hb_worker *worker = find(ingest, id);
    struct hb_buf json;

    if (worker == NULL) {
        hb_answer_not_known(exchange, id);
        return;
    }
    hb_buf_init(&json, HB_ROW_BYTES_MAX + 1);
    if (hb_mirror_row(worker).bytes == NULL)
        json.err = HB_ERR_NO_MEMORY; /* it could not be built yet */
    hb_buf_append_text(&json, hb_mirror_row(worker));
    hb_buf_append_char(&json, '\n');
    hb_documents_answer_once(documents, exchange, &json, NULL);
}

static void remove_worker(struct hb_ingest *ingest, struct hb_exchange *exchange, struct hb_text id)
{
    enum hb_err err = hb_ingest_remove(ingest, id, hb_moment_now());

    if (err == HB_ERR_UNKNOWN)
        hb_answer_not_known(exchange, id);
    else if (err != HB_OK)
        hb_answer_failure(exchange, ingest, err);
    else
        hb_answer_done(exchange, id);
}

void hb_http_worker_answer(struct hb_ingest *ingest, struct hb_documents *documents, struct hb_exchange *exchange,
                           struct hb_text id)
{
    if (hb_exchange_method(exchange) == HB_HTTP_DELETE)
        remove_worker(ingest, exchange, id);
    else
        answer_row(ingest, documents, exchange, id);
}

/* ---- below it ---- */

void hb_http_heartbeat_answer(struct hb_ingest *ingest, struct hb_exchange *exchange, struct hb_text id)
{
    char peer[HB_PEER_TEXT_SIZE];
    struct hb_text body = hb_exchange_body(exchange);
    enum hb_err err;

    if (body.len > HB_BEAT_BYTES_MAX) {
        hb_exchange_answer_error(exchange, 413, NULL, "body: a heartbeat is at most 4096 bytes");
        return;
    }
    err = hb_ingest_beat(ingest, id, NULL, body, hb_peer_host(hb_exchange_wsi(exchange), peer), hb_moment_now());
    if (err != HB_OK)
        hb_answer_failure(exchange, ingest, err);
    else
        hb_answer_done(exchange, id);
}

void hb_http_timeline_answer(struct hb_ingest *ingest, struct hb_documents *documents, struct hb_exchange *exchange,
                             struct hb_text id)
{
    const struct hb_worker *worker = find(ingest, id);
    struct hb_buf json;

    if (worker == NULL) {
        hb_answer_not_known(exchange, id);
        return;
    }
    hb_buf_init(&json, TIMELINE_BYTES_MAX);
    hb_timeline_view(&json, worker, hb_registry_epoch(hb_manager_registry(hb_ingest_manager(ingest))));
    hb_buf_append_char(&json, '\n');
    hb_documents_answer_once(documents, exchange, &json, NULL);
}

/* Says how long it is out of traffic now, and why, as the row does. */
static void answer_maintenance(struct hb_exchange *exchange, const struct hb_worker *worker)
{
    struct hb_row row = hb_worker_row(worker);
    char until[HB_WALL_TEXT_SIZE];
    struct hb_buf json;

    hb_buf_init(&json, HB_BODY_BYTES_MAX);
    hb_buf_append_str(&json, "{\"status\":\"success\",\"worker_id\":");
    hb_buf_append_json(&json, row.id);
    hb_buf_append_str(&json, row.maintenance ? ",\"maintenance\":true" : ",\"maintenance\":false");
    if (row.maintenance) {
        hb_wall_format(row.maintenance_until, until);
        hb_buf_printf(&json, ",\"maintenance_until\":\"%s\"", until);
    }
    if (row.maintenance && row.maintenance_reason.bytes != NULL) {
        hb_buf_append_str(&json, ",\"maintenance_reason\":");
        hb_buf_append_json(&json, row.maintenance_reason);
    }
    hb_buf_append_str(&json, "}\n");
    hb_exchange_answer_buf(exchange, 200, NULL, &json);
}

void hb_http_maintenance_answer(struct hb_ingest *ingest, struct hb_exchange *exchange, struct hb_text id)
{
    struct hb_moment now = hb_moment_now();
    enum hb_err err;

    if (hb_exchange_method(exchange) == HB_HTTP_DELETE)
        err = hb_ingest_end_maintenance(ingest, id, now);
    else
        err = hb_ingest_maintenance(ingest, id, hb_exchange_body(exchange), now);
    if (err == HB_ERR_UNKNOWN)
        hb_answer_not_known(exchange, id);
    else if (err != HB_OK)
        hb_answer_failure(exchange, ingest, err);
    else
        answer_maintenance(exchange, find(ingest, id));
}
