/*
 * http_listing: GET /workers.
 *
 * The whole listing is built once per version of the mirror and kept, with every form that somebody asked for; so a
 * client that has it already costs a comparison, and a hundred that have not share one copy. Filtered and paged ones
 * are built per request.
 */
#ifndef HB_IO_HTTP_LISTING_H
#define HB_IO_HTTP_LISTING_H

#include "manager/app/manager.h"
#include "manager/io/http_document.h"

struct hb_http_listing;

/* Both must outlive it. NULL when out of memory. */
struct hb_http_listing *hb_http_listing_new(struct hb_manager *manager, struct hb_documents *documents);
void hb_http_listing_free(struct hb_http_listing *listing); /* accepts NULL */

void hb_http_listing_answer(struct hb_http_listing *listing, struct hb_exchange *exchange);

#endif
