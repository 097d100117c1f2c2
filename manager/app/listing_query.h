/*
 * listing_query: what GET /workers?status=&serving=&q=&limit=&after= asks for, strictly.
 *
 * A parameter that is unknown, comes twice or breaks its rule is an error with a sentence of its own: who misspells a
 * filter must not be shown everybody.
 */
#ifndef HB_APP_LISTING_QUERY_H
#define HB_APP_LISTING_QUERY_H

#include "manager/core/worker_state.h"
#include "proto/wire/limits.h"

#define HB_SEARCH_MAX 128    /* bytes of q */
#define HB_LIMIT_MAX 10000   /* rows of one page */
#define HB_QUERY_SAID_MAX 32 /* bytes of a value that an error repeats */

struct hb_listing_query {
    unsigned seen;     /* parameters, a bit each */
    unsigned statuses; /* 1 << enum hb_status each; 0: any */
    bool by_serving, serving;
    uint32_t limit; /* 0: no paging */
    uint8_t after_len, search_len;
    char after[HB_ID_MAX];
    char search[HB_SEARCH_MAX]; /* in lower case */
};

/* Adds one parameter, decoded: `name=value`. A zeroed query asks for everything. HB_ERR_INVALID with one sentence. */
enum hb_err hb_listing_query_add(struct hb_listing_query *query, struct hb_text parameter,
                                 struct hb_buf *sentence) HB_MUST_CHECK;

bool hb_listing_query_is_all(const struct hb_listing_query *query);
/* Whether the filters let it through; limit and after are the caller's. */
bool hb_listing_query_fits(const struct hb_listing_query *query, const struct hb_worker *worker);
/* Appends the same question about what follows `after`, percent-encoded: `status=alive&limit=100&after=w1`. */
void hb_listing_query_next(const struct hb_listing_query *query, struct hb_text after, struct hb_buf *out);

#endif
