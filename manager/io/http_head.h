/*
 * http_head: what a request's head says, read through libwebsockets, and what 4.1.6 lets pass and no server should.
 */
#ifndef HB_IO_HTTP_HEAD_H
#define HB_IO_HTTP_HEAD_H

#include <libwebsockets.h>
#include <stdbool.h>

#include "proto/base/buf.h"

/* A header's value: absent when it was not sent, present but of length 0 when it does not fit in `size`. */
struct hb_text hb_head_value(struct lws *wsi, enum lws_token_indexes token, char *out, size_t size);
bool hb_head_has(struct lws *wsi, enum lws_token_indexes token);
/* Whether a comma-separated list holds the token, in any case. */
bool hb_head_lists(struct hb_text list, const char *token);

/*
 * The place-th parameter of the query, `name=value`, which libwebsockets has split at `&` and `;` and decoded. What
 * does not fit comes as "?", which is no parameter of anything. False: there are no more.
 */
bool hb_head_parameter(struct lws *wsi, int place, char *out, size_t size, struct hb_text *ret_parameter);

#define HB_LENGTH_NONE (-1)
#define HB_LENGTH_BAD (-2)
/* The announced length of the body; one beyond 18 digits is INT64_MAX. */
int64_t hb_head_content_length(struct lws *wsi);

/* Version, Host, and how the body is announced: NULL when sound, else the sentence, with its HTTP status. */
const char *hb_head_fault(struct lws *wsi, unsigned *ret_status);

/*
 * Browsers let any page send requests anywhere, and say from where in Origin: it must be this host, or one of the
 * allowed ones (separated by commas; NULL none). Without it Sec-Fetch-Site tells whether the page is another's.
 * Neither: no browser.
 */
bool hb_head_origin_allowed(struct lws *wsi, const char *allowed);

/* Whether it was sent more than once, with a value each time. */
bool hb_head_repeated(struct lws *wsi, enum lws_token_indexes token);

#endif
