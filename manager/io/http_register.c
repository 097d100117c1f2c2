#include "manager/io/http_register.h"

#include <stdlib.h>
#include <string.h>

#include "manager/io/http_answers.h"
#include "manager/io/peer.h"
#include "proto/wire/codec.h"

/* A registration whose answer waits for Redis. */
struct pending_answer {
    struct hb_exchange *exchange;
    struct hb_persist_ticket *ticket;
    int64_t timeout_ms;
    size_t id_len;
    char id[HB_ID_MAX];
};

static void answer_registered(struct pending_answer *pending, bool persisted)
{
    struct hb_buf json;

    hb_buf_init(&json, HB_BODY_BYTES_MAX);
    hb_encode_register_answer(&json, (struct hb_text){pending->id, pending->id_len}, pending->timeout_ms, persisted);
    hb_buf_append_char(&json, '\n');
    hb_exchange_answer_buf(pending->exchange, 200, NULL, &json);
    free(pending);
}

static void on_persisted(void *self, bool persisted)
{
    answer_registered(self, persisted);
}

static void on_abandoned(void *self)
{
    struct pending_answer *pending = self;

    hb_persist_ticket_cancel(pending->ticket);
    free(pending);
}

void hb_http_register_answer(struct hb_ingest *ingest, struct hb_redis_store *store, struct hb_exchange *exchange)
{
    char peer[HB_PEER_TEXT_SIZE];
    struct pending_answer *pending = calloc(1, sizeof *pending);
    const struct hb_worker *worker = NULL;
    enum hb_err err;

    if (pending == NULL) {
        hb_exchange_answer_error(exchange, 503, "Retry-After: 1\r\n", "out of memory");
        return;
    }
    err = hb_ingest_register(ingest, hb_exchange_body(exchange), hb_peer_host(hb_exchange_wsi(exchange), peer),
                             hb_moment_now(), &worker);
    if (err != HB_OK) {
        free(pending);
        hb_answer_failure(exchange, ingest, err);
        return;
    }
    pending->exchange = exchange;
    pending->timeout_ms = worker->timeout_ms;
    pending->id_len = worker->id_len;
    memcpy(pending->id, worker->id, worker->id_len);
    pending->ticket = hb_redis_store_await(store, (struct hb_text){pending->id, pending->id_len}, HB_PERSIST_WAIT_MS,
                                           on_persisted, pending);
    if (pending->ticket == NULL)
        answer_registered(pending, false);
    else
        hb_exchange_on_abandon(exchange, on_abandoned, pending);
}
