/*
 * http_accept: which form of an answer a client wants, by its header fields (RFC 9110, sections 12 and 13). Pure text.
 */
#ifndef HB_IO_HTTP_ACCEPT_H
#define HB_IO_HTTP_ACCEPT_H

#include <stdbool.h>

#include "proto/base/buf.h"

/* Weights as the wire has them, in thousandths: 0 not wanted, 1000 wanted most. Elements with a bad weight are skipped.
 */

enum hb_gzip_wish {
    HB_GZIP_NO,    /* not named, refused, or less welcome than the bytes as they are */
    HB_GZIP_YES,   /* where it is worth the while */
    HB_GZIP_ALWAYS /* the bytes as they are were refused */
};

/* Of Accept-Encoding; absent means no. */
enum hb_gzip_wish hb_accept_gzip(struct hb_text accept_encoding);

/* Of Accept: whether HTML is more welcome than JSON, as only browsers say. Absent means no. */
bool hb_accept_prefers_html(struct hb_text accept);

/* Of Accept: the weight that the most exact of its ranges gives to a type, as `text/plain`. Absent means 0. */
int hb_accept_weight(struct hb_text accept, const char *type);
/* The same of those ranges alone that name the type itself. */
int hb_accept_named_weight(struct hb_text accept, const char *type);

/* Whether If-None-Match holds the entity tag (with its quotes), compared weakly, or is `*`. Absent means no. */
bool hb_etag_listed(struct hb_text if_none_match, struct hb_text etag);

#endif
