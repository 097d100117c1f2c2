/*
 * http_exchange: one HTTP request and its answer on a libwebsockets connection; the mechanics, no decisions.
 *
 *   READING ──whole body──► THINKING ──answer──► WRITING ──last byte──► done (keep-alive) or close
 *      └──────── an error: answer ──────────────────┘
 *
 * Answers are written by hand, head and first bytes in one write, then at most 64 KiB per writable callback; a body
 * is shared and counted, so a hundred readers of the same listing hold it once. While an answer is awaited the
 * connection's input is held back: libwebsockets would take pipelined bytes for more body.
 *
 * Ceilings: a request body HB_BODY_BYTES_MAX, all of it within HB_BODY_TIME_MS; a reader that takes nothing for
 * HB_READER_TIME_S is closed.
 */
#ifndef HB_IO_HTTP_EXCHANGE_H
#define HB_IO_HTTP_EXCHANGE_H

#include <stdbool.h>

#include "proto/base/buf.h"
#include "proto/base/time.h"

#define HB_BODY_TIME_MS 5000
#define HB_READER_TIME_S 30

struct lws;
struct hb_exchange;

enum hb_http_method { HB_HTTP_GET, HB_HTTP_HEAD, HB_HTTP_POST, HB_HTTP_DELETE, HB_HTTP_OTHER };

/* Bytes that several answers may share. */
struct hb_shared_body {
    unsigned users;
    size_t len;
    char *bytes;
    size_t *account; /* of all bodies of a kind that are in use, in bytes; NULL: not counted */
};

/* Takes the buffer's bytes. account may be NULL; else it outlives the body. NULL when out of memory. */
struct hb_shared_body *hb_shared_body_new(struct hb_buf *buf, size_t *account);
struct hb_shared_body *hb_shared_body_keep(struct hb_shared_body *body);
void hb_shared_body_drop(struct hb_shared_body *body); /* accepts NULL */
/* Drops it too; if nobody else uses it, its memory goes to the buffer, which is as after init, for what is next. */
void hb_shared_body_recycle(struct hb_shared_body *body, struct hb_buf *buf);

/* What the decisions are made by. Both may answer at once, or keep the exchange and answer later. */
struct hb_exchange_handler {
    void *self;
    /* The head is here; answer to refuse before the body is read. */
    void (*admit)(void *self, struct hb_exchange *exchange);
    /* The whole request is here. */
    void (*handle)(void *self, struct hb_exchange *exchange);
};

enum hb_http_method hb_exchange_method(const struct hb_exchange *exchange);
struct hb_text hb_exchange_path(const struct hb_exchange *exchange); /* decoded, without the query */
struct hb_text hb_exchange_body(const struct hb_exchange *exchange);
struct lws *hb_exchange_wsi(const struct hb_exchange *exchange);
/* Absent when it was not sent, of length 0 when it does not fit. */
struct hb_text hb_exchange_content_type(const struct hb_exchange *exchange, char *out, size_t size);

/* Called if the connection ends before the answer is given; then hb_exchange_answer must not be called any more. */
void hb_exchange_on_abandon(struct hb_exchange *exchange, void (*abandoned)(void *self), void *self);

/* extra: whole header lines, each with its CRLF, or NULL. Takes over the caller's use of body; NULL body is empty. */
void hb_exchange_answer(struct hb_exchange *exchange, unsigned status, const char *content_type, const char *extra,
                        struct hb_shared_body *body);
/* As above with a body that is not shared: takes the buffer's bytes. A failed buffer becomes a 503. */
void hb_exchange_answer_buf(struct hb_exchange *exchange, unsigned status, const char *extra, struct hb_buf *json);
void hb_exchange_answer_error(struct hb_exchange *exchange, unsigned status, const char *extra, const char *sentence);
void hb_exchange_close_after(struct hb_exchange *exchange); /* the connection ends with this answer */
bool hb_exchange_answered(const struct hb_exchange *exchange);

/* A connection while a request is in progress; zeroed at first. */
struct hb_http_line {
    struct hb_exchange *exchange; /* NULL none */
    hb_mono_ms body_until;        /* when an announced body must be here; ms 0: none is awaited */
};

/* The callbacks. Nonzero: close the connection. */
int hb_exchange_begin(struct hb_http_line *line, struct lws *wsi, const struct hb_exchange_handler *handler,
                      struct hb_text path);
int hb_exchange_piece(struct hb_exchange *exchange, struct hb_text piece);
int hb_exchange_body_end(struct hb_http_line *line);
int hb_exchange_writable(struct hb_http_line *line);
int hb_exchange_timer(struct hb_http_line *line);
void hb_exchange_end(struct hb_http_line *line); /* the connection closed */

/*
 * A refusal written right now, for a request that never becomes an exchange (an upgrade). The caller closes.
 */
void hb_http_refuse(struct lws *wsi, unsigned status, const char *extra, const char *sentence);

#endif
