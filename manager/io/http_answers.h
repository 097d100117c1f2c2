/*
 * http_answers: answers that several calls give alike.
 */
#ifndef HB_IO_HTTP_ANSWERS_H
#define HB_IO_HTTP_ANSWERS_H

#include "manager/app/ingest.h"
#include "manager/io/http_exchange.h"

/* The status that an error of ingest means, with ingest's sentence. */
void hb_answer_failure(struct hb_exchange *exchange, const struct hb_ingest *ingest, enum hb_err err);
/* 404 */
void hb_answer_not_known(struct hb_exchange *exchange, struct hb_text id);
/* {"status":"success","worker_id":…} */
void hb_answer_done(struct hb_exchange *exchange, struct hb_text id);

#endif
