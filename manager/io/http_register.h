/*
 * http_register: POST /register, whose answer waits a little for Redis.
 */
#ifndef HB_IO_HTTP_REGISTER_H
#define HB_IO_HTTP_REGISTER_H

#include "manager/app/ingest.h"
#include "manager/io/http_exchange.h"
#include "manager/io/redis_store.h"

#define HB_PERSIST_WAIT_MS 500 /* then it says persisted:false */

void hb_http_register_answer(struct hb_ingest *ingest, struct hb_redis_store *store, struct hb_exchange *exchange);

#endif
