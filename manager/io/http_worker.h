/*
 * http_worker: the calls about one worker, /workers/<id> and what is below it.
 *
 * Each takes a valid id and answers at once.
 */
#ifndef HB_IO_HTTP_WORKER_H
#define HB_IO_HTTP_WORKER_H

#include "manager/app/ingest.h"
#include "manager/io/http_document.h"

/* GET shows the row, DELETE removes the worker. */
void hb_http_worker_answer(struct hb_ingest *ingest, struct hb_documents *documents, struct hb_exchange *exchange,
                           struct hb_text id);
/* GET or POST: a beat without a socket. */
void hb_http_heartbeat_answer(struct hb_ingest *ingest, struct hb_exchange *exchange, struct hb_text id);
/* GET: its last transitions. */
void hb_http_timeline_answer(struct hb_ingest *ingest, struct hb_documents *documents, struct hb_exchange *exchange,
                             struct hb_text id);
/* POST takes it out of traffic for a while, DELETE puts it back. */
void hb_http_maintenance_answer(struct hb_ingest *ingest, struct hb_exchange *exchange, struct hb_text id);

#endif
