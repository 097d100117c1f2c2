#include "manager/io/http_listing.h"

#include <stdlib.h>

#include "manager/app/listing.h"
#include "manager/io/http_head.h"

#define PARAMETER_BYTES 1024 /* a longer one breaks its rule whatever it is */
#define SENTENCE_BYTES 512
#define TARGET_BYTES 1024

struct hb_http_listing {
    struct hb_manager *manager;
    struct hb_documents *documents;
    struct hb_document *whole; /* everybody, as of version; NULL none */
    uint64_t version;
};

struct hb_http_listing *hb_http_listing_new(struct hb_manager *manager, struct hb_documents *documents)
{
    struct hb_http_listing *listing = calloc(1, sizeof *listing);

    if (listing == NULL)
        return NULL;
    listing->manager = manager;
    listing->documents = documents;
    return listing;
}

void hb_http_listing_free(struct hb_http_listing *listing)
{
    if (listing == NULL)
        return;
    hb_document_drop(listing->whole);
    free(listing);
}

/* False: it broke a rule and was told so. */
static bool read_query(struct hb_exchange *exchange, struct hb_listing_query *query)
{
    char text[PARAMETER_BYTES];
    struct hb_text parameter;
    struct hb_buf sentence;
    enum hb_err err = HB_OK;

    hb_buf_init(&sentence, SENTENCE_BYTES);
    for (int i = 0; err == HB_OK && hb_head_parameter(hb_exchange_wsi(exchange), i, text, sizeof text, &parameter);
         i++) {
        if (parameter.len > 0)
            err = hb_listing_query_add(query, parameter, &sentence);
    }
    if (err != HB_OK)
        hb_exchange_answer_error(exchange, 422, NULL,
                                 hb_buf_status(&sentence) == HB_OK ? sentence.bytes : "query: not valid");
    hb_buf_free(&sentence);
    return err == HB_OK;
}

/* What to go on with: the target of the Link header. */
static void write_target(const struct hb_listing_query *query, struct hb_text after, struct hb_buf *target)
{
    if (after.bytes == NULL)
        return;
    hb_buf_append_str(target, "/workers?");
    hb_listing_query_next(query, after, target);
}

static void answer_part(struct hb_http_listing *listing, const struct hb_listing_query *query,
                        struct hb_exchange *exchange)
{
    struct hb_buf json, target;

    if (hb_documents_full(listing->documents)) { /* perhaps of what is only kept for the next one who asks */
        hb_document_drop(listing->whole);
        listing->whole = NULL;
    }
    if (hb_documents_refuse(listing->documents, exchange))
        return;
    hb_buf_init(&json, SIZE_MAX / 2);
    hb_buf_init(&target, TARGET_BYTES);
    write_target(query, hb_listing_write(&json, hb_manager_registry(listing->manager), query), &target);
    if (hb_buf_status(&target) != HB_OK)
        json.err = hb_buf_status(&target);
    hb_documents_answer_once(listing->documents, exchange, &json, target.bytes);
    hb_buf_free(&target);
}

/* In the place of the one before. False: refused, and told so. */
static bool make_whole(struct hb_http_listing *listing, uint64_t version, struct hb_exchange *exchange)
{
    const struct hb_listing_query all = {0};
    struct hb_buf json;
    bool refused;

    hb_buf_init(&json, SIZE_MAX / 2);
    hb_document_recycle(listing->whole, &json);
    listing->whole = NULL;
    refused = hb_documents_refuse(listing->documents, exchange);
    if (!refused) {
        (void)hb_listing_write(&json, hb_manager_registry(listing->manager), &all);
        listing->whole = hb_document_new_version(listing->documents, &json, version);
        listing->version = version;
    }
    hb_buf_free(&json);
    return !refused;
}

static void answer_whole(struct hb_http_listing *listing, struct hb_exchange *exchange)
{
    uint64_t version = hb_mirror_version(hb_manager_mirror(listing->manager));

    if ((listing->whole != NULL && listing->version == version) || make_whole(listing, version, exchange))
        hb_document_answer(listing->whole, exchange);
}

void hb_http_listing_answer(struct hb_http_listing *listing, struct hb_exchange *exchange)
{
    struct hb_listing_query query = {0};

    if (!read_query(exchange, &query))
        return;
    if (hb_listing_query_is_all(&query))
        answer_whole(listing, exchange);
    else
        answer_part(listing, &query, exchange);
}
