/*
 * http_document: the body of one answer, in each form that clients ask for, and whether they have it already.
 *
 *   bytes ──► document ──answer──► If-None-Match holds it ──► 304
 *                                  the form is there ──► 200
 *                                  small ──► made at once ──► 200
 *                                  large ──► made on the thread pool while the exchange waits ──► 200
 *                                  large, and the pool makes another ──► 200, as the bytes are
 *
 * A form is any of: indented (for a browser: one whose Accept prefers HTML), gzipped (by Accept-Encoding), both, none.
 * Each is made when first asked for, once, and kept as long as its document. One large form is made at a time, so
 * neither the loop nor the pool, which also resolves names, waits for long; and nobody is shown an older state than the
 * one he asked about.
 *
 * The entity tag stands for the bytes, the Link beside them, and the form. Where somebody counts the versions of the
 * bytes it is that count, behind a number drawn at random at each start: no restart uses a tag again, and no two
 * versions can share one. Else it is a hash: SipHash, keyed with the versions of this program and of zlib, which decide
 * how a form looks; that two texts share one is 1 in 2^64. (The hash alone would do, and take as long for a listing of
 * 10,000 workers as making it.)
 *
 * Ceiling: HB_DOCUMENTS_BYTES_MAX for all forms that somebody holds. Beyond it no further forms are made, and whoever
 * makes large documents asks hb_documents_refuse first: 503 until readers have read or were cut off. Small ones, a row
 * or a timeline, are bounded by the number of connections.
 */
#ifndef HB_IO_HTTP_DOCUMENT_H
#define HB_IO_HTTP_DOCUMENT_H

#include "manager/io/http_exchange.h"

#define HB_DOCUMENTS_BYTES_MAX ((size_t)256 << 20) /* one document alone may be larger */

struct uv_loop_s;
struct hb_documents; /* what all documents share: the account, the place on the thread pool */
struct hb_document;

/* The loop must outlive it, and must have come to its end before it is freed. NULL when out of memory. */
struct hb_documents *hb_documents_new(struct uv_loop_s *loop);
void hb_documents_free(struct hb_documents *documents); /* accepts NULL */

bool hb_documents_full(const struct hb_documents *documents); /* the ceiling is reached */
/* Answers 503 when the ceiling is reached. True: it did. To be asked before the bytes are made. */
bool hb_documents_refuse(const struct hb_documents *documents, struct hb_exchange *exchange);

/* Both take the buffer's bytes, JSON, and give NULL when out of memory or when the buffer failed. */
/* link: the target of rel="next", or NULL. */
struct hb_document *hb_document_new(struct hb_documents *documents, struct hb_buf *json, const char *link);
/* No two documents of one version that differ, in all that share `documents`. */
struct hb_document *hb_document_new_version(struct hb_documents *documents, struct hb_buf *json, uint64_t version);
void hb_document_drop(struct hb_document *document); /* accepts NULL; answers under way keep what they need */

/* Drops it, and leaves its memory to the buffer, which is as after init: a listing that is made anew in the same place
 * costs the system no fresh pages, which would be a third of the whole. Accepts NULL. */
void hb_document_recycle(struct hb_document *document, struct hb_buf *json);

/* 200 or 304, or 503 when document is NULL (out of memory). */
void hb_document_answer(struct hb_document *document, struct hb_exchange *exchange);

/* For a body that nobody else will ask for: document, answer, drop. */
void hb_documents_answer_once(struct hb_documents *documents, struct hb_exchange *exchange, struct hb_buf *json,
                              const char *link);
/*
 * For what is new each time, as figures are: no entity tag, so nothing is hashed and nobody gets 304. type: of the
 * content, a static text, and then never indented; NULL is JSON.
 */
void hb_documents_answer_fresh(struct hb_documents *documents, struct hb_exchange *exchange, struct hb_buf *bytes,
                               const char *type);

#endif
