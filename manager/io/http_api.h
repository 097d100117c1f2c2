/*
 * http_api: the routes of PROTOCOL.md, from a whole request to an answer.
 *
 * One const table says which path takes which methods and who answers. Adding a call is adding a row.
 */
#ifndef HB_IO_HTTP_API_H
#define HB_IO_HTTP_API_H

#include "manager/app/ingest.h"
#include "manager/io/http_exchange.h"
#include "manager/io/http_metrics.h"
#include "manager/io/redis_store.h"

struct uv_loop_s;
struct hb_http_api;

/*
 * allowed_origins as the configuration has it. Everything that is given outlives the api, and the loop has come to its
 * end before it is freed. NULL when out of memory.
 */
struct hb_http_api *hb_http_api_new(struct uv_loop_s *loop, struct hb_ingest *ingest, struct hb_redis_store *store,
                                    const char *allowed_origins);
/* How /metrics is to look: once, at start. */
void hb_http_api_configure_metrics(struct hb_http_api *api, const struct hb_http_metrics_config *config);
/* From here on everything but /livez is answered with 503 and a close, and the store is not used any more. */
void hb_http_api_stop(struct hb_http_api *api);
void hb_http_api_free(struct hb_http_api *api);
const struct hb_exchange_handler *hb_http_api_handler(struct hb_http_api *api);

#endif
