#include "manager/io/http_exchange.h"

#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/codec.h"
#include "proto/wire/limits.h"

#define CHUNK_BYTES 65536
#define HEAD_BYTES_MAX 1024
#define DISCARD_BYTES_MAX 65536 /* an unwanted body up to this size is read and dropped, a larger one cut off */
#define JSON_TYPE "application/json; charset=utf-8"

enum stage { STAGE_READING, STAGE_THINKING, STAGE_WRITING };

struct hb_exchange {
    struct lws *wsi;
    const struct hb_exchange_handler *handler;
    enum stage stage;
    enum hb_http_method method;
    bool close_after;
    bool head_written;
    bool held; /* its input is held back */
    char *path;
    struct hb_buf request;
    struct hb_buf head;
    struct hb_shared_body *answer;
    size_t written;
    void (*abandoned)(void *self);
    void *abandoned_self;
};

/* ---- shared bodies ---- */

struct hb_shared_body *hb_shared_body_new(struct hb_buf *buf)
{
    struct hb_shared_body *body = malloc(sizeof *body);

    if (body == NULL)
        return NULL;
    body->users = 1;
    body->len = buf->len;
    body->bytes = hb_buf_take(buf);
    return body;
}

struct hb_shared_body *hb_shared_body_keep(struct hb_shared_body *body)
{
    body->users++;
    return body;
}

void hb_shared_body_drop(struct hb_shared_body *body)
{
    if (body == NULL || --body->users > 0)
        return;
    free(body->bytes);
    free(body);
}

/* ---- what a handler sees ---- */

enum hb_http_method hb_exchange_method(const struct hb_exchange *exchange)
{
    return exchange->method;
}

struct hb_text hb_exchange_path(const struct hb_exchange *exchange)
{
    return hb_text_of(exchange->path);
}

struct hb_text hb_exchange_body(const struct hb_exchange *exchange)
{
    return (struct hb_text){exchange->request.len > 0 ? exchange->request.bytes : "", exchange->request.len};
}

struct lws *hb_exchange_wsi(const struct hb_exchange *exchange)
{
    return exchange->wsi;
}

static struct hb_text copy_header(struct lws *wsi, enum lws_token_indexes token, char *out, size_t size)
{
    int len = lws_hdr_total_length(wsi, token) > 0 ? lws_hdr_copy(wsi, out, (int)size, token) : -1;

    return len < 0 ? (struct hb_text){NULL, 0} : (struct hb_text){out, (size_t)len};
}

struct hb_text hb_exchange_content_type(const struct hb_exchange *exchange, char *out, size_t size)
{
    return copy_header(exchange->wsi, WSI_TOKEN_HTTP_CONTENT_TYPE, out, size);
}

void hb_exchange_on_abandon(struct hb_exchange *exchange, void (*abandoned)(void *self), void *self)
{
    exchange->abandoned = abandoned;
    exchange->abandoned_self = self;
}

bool hb_exchange_answered(const struct hb_exchange *exchange)
{
    return exchange->stage == STAGE_WRITING;
}

/* ---- answers ---- */

static const char *status_phrase(unsigned status)
{
    switch (status) {
    case 200:
        return "OK";
    case 304:
        return "Not Modified";
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 411:
        return "Length Required";
    case 413:
        return "Content Too Large";
    case 415:
        return "Unsupported Media Type";
    case 422:
        return "Unprocessable Content";
    case 426:
        return "Upgrade Required";
    case 500:
        return "Internal Server Error";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Unknown";
    }
}

static void write_head(struct hb_buf *head, unsigned status, const char *content_type, const char *extra,
                       size_t body_len, bool close)
{
    hb_buf_printf(head, "HTTP/1.1 %u %s\r\n", status, status_phrase(status));
    if (content_type != NULL)
        hb_buf_printf(head, "Content-Type: %s\r\n", content_type);
    if (status != 304)
        hb_buf_printf(head, "Content-Length: %zu\r\n", body_len);
    hb_buf_append_str(head, "Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n");
    if (extra != NULL)
        hb_buf_append_str(head, extra);
    hb_buf_append_str(head, close ? "Connection: close\r\n\r\n" : "Connection: keep-alive\r\n\r\n");
}

void hb_exchange_answer(struct hb_exchange *exchange, unsigned status, const char *content_type, const char *extra,
                        struct hb_shared_body *body)
{
    write_head(&exchange->head, status, content_type, extra, body != NULL ? body->len : 0, exchange->close_after);
    exchange->answer = body;
    exchange->stage = STAGE_WRITING;
    exchange->abandoned = NULL;
    lws_set_timer_usecs(exchange->wsi, LWS_SET_TIMER_USEC_CANCEL);
    if (exchange->held)
        lws_rx_flow_control(exchange->wsi, 1);
    lws_callback_on_writable(exchange->wsi);
}

void hb_exchange_answer_buf(struct hb_exchange *exchange, unsigned status, const char *extra, struct hb_buf *json)
{
    struct hb_shared_body *body = hb_buf_status(json) == HB_OK ? hb_shared_body_new(json) : NULL;

    if (body == NULL) {
        hb_exchange_answer(exchange, 503, NULL, "Retry-After: 1\r\n", NULL);
        hb_buf_free(json);
        return;
    }
    hb_exchange_answer(exchange, status, JSON_TYPE, extra, body);
}

void hb_exchange_answer_error(struct hb_exchange *exchange, unsigned status, const char *extra, const char *sentence)
{
    struct hb_buf json;

    hb_buf_init(&json, HB_BODY_BYTES_MAX);
    hb_encode_error(&json, sentence);
    hb_buf_append_char(&json, '\n');
    hb_exchange_answer_buf(exchange, status, extra, &json);
}

void hb_exchange_close_after(struct hb_exchange *exchange)
{
    exchange->close_after = true;
}

void hb_http_refuse(struct lws *wsi, unsigned status, const char *extra, const char *sentence)
{
    unsigned char bytes[LWS_PRE + HEAD_BYTES_MAX * 2];
    struct hb_buf json, all;

    hb_buf_init(&json, HEAD_BYTES_MAX);
    hb_buf_init(&all, HEAD_BYTES_MAX * 2);
    hb_encode_error(&json, sentence);
    write_head(&all, status, JSON_TYPE, extra, json.len, true);
    hb_buf_append(&all, json.bytes, json.len);
    if (hb_buf_status(&json) == HB_OK && hb_buf_status(&all) == HB_OK) {
        memcpy(bytes + LWS_PRE, all.bytes, all.len);
        /* The caller closes next, so whether it arrives cannot change anything. */
        (void)!lws_write(wsi, bytes + LWS_PRE, all.len, LWS_WRITE_HTTP);
    }
    hb_buf_free(&json);
    hb_buf_free(&all);
}

/* ---- the head of a request ---- */

static enum hb_http_method method_of(struct lws *wsi)
{
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0)
        return HB_HTTP_HEAD; /* libwebsockets sets GET_URI beside it */
    if (lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) > 0)
        return HB_HTTP_GET;
    if (lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI) > 0)
        return HB_HTTP_POST;
    if (lws_hdr_total_length(wsi, WSI_TOKEN_DELETE_URI) > 0)
        return HB_HTTP_DELETE;
    return HB_HTTP_OTHER;
}

static bool repeated(struct lws *wsi, enum lws_token_indexes token)
{
    return lws_hdr_fragment_length(wsi, token, 1) > 0;
}

/* The announced length: -1 none, -2 not a number. */
static int64_t content_length(struct lws *wsi)
{
    char text[20];
    struct hb_text value;
    int64_t length = 0;

    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) <= 0)
        return -1;
    value = copy_header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, text, sizeof text);
    if (value.bytes == NULL || value.len == 0 || repeated(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH))
        return -2;
    for (size_t i = 0; i < value.len; i++) {
        if (value.bytes[i] < '0' || value.bytes[i] > '9')
            return -2;
        length = length * 10 + (value.bytes[i] - '0');
    }
    return length;
}

static bool known_version(struct lws *wsi)
{
    char text[12];
    struct hb_text version = copy_header(wsi, WSI_TOKEN_HTTP, text, sizeof text);

    return hb_text_equal(version, HB_TEXT("HTTP/1.1")) || hb_text_equal(version, HB_TEXT("HTTP/1.0"));
}

/* What libwebsockets 4.1.6 lets pass and no server should. Answers and returns false. */
static bool head_is_sound(struct hb_exchange *exchange, int64_t length)
{
    struct lws *wsi = exchange->wsi;
    bool encoded = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0;
    const char *sentence = NULL;
    unsigned status = 400;

    if (!known_version(wsi)) {
        status = 505;
        sentence = "HTTP version: must be HTTP/1.1 or HTTP/1.0";
    } else if (lws_hdr_total_length(wsi, WSI_TOKEN_HOST) <= 0 || repeated(wsi, WSI_TOKEN_HOST)) {
        sentence = "Host: must be sent exactly once";
    } else if (length == -2) {
        sentence = "Content-Length: must be one decimal number";
    } else if (encoded && length >= 0) {
        sentence = "Transfer-Encoding and Content-Length must not be sent together";
    } else if (encoded) {
        status = 411;
        sentence = "Transfer-Encoding: a request body must be announced with Content-Length";
    }
    if (sentence == NULL)
        return true;
    hb_exchange_close_after(exchange);
    hb_exchange_answer_error(exchange, status, NULL, sentence);
    return false;
}

/* ---- reading ---- */

/*
 * The request is complete: decide. While the answer is awaited no input is taken; when it is there the input must be
 * open again, for libwebsockets 4.1.6 gives a held connection no chance to write either.
 */
static void handle(struct hb_exchange *exchange)
{
    exchange->stage = STAGE_THINKING;
    exchange->handler->handle(exchange->handler->self, exchange);
    if (exchange->stage == STAGE_THINKING) {
        exchange->held = true;
        lws_rx_flow_control(exchange->wsi, 0);
    }
}

static void start_body(struct hb_exchange *exchange, int64_t length)
{
    if (length > HB_BODY_BYTES_MAX) {
        if (length > DISCARD_BYTES_MAX)
            hb_exchange_close_after(exchange);
        hb_exchange_answer_error(exchange, 413, NULL, "body: must be at most 16384 bytes");
        return;
    }
    lws_set_timer_usecs(exchange->wsi, (lws_usec_t)HB_BODY_TIME_MS * 1000);
}

int hb_exchange_begin(struct hb_exchange **slot, struct lws *wsi, const struct hb_exchange_handler *handler,
                      struct hb_text path)
{
    struct hb_exchange *exchange = calloc(1, sizeof *exchange);
    int64_t length = content_length(wsi);

    hb_exchange_end(slot);
    if (exchange == NULL)
        return -1;
    exchange->wsi = wsi;
    exchange->handler = handler;
    exchange->method = method_of(wsi);
    exchange->path = strndup(path.bytes, path.len);
    hb_buf_init(&exchange->request, HB_BODY_BYTES_MAX);
    hb_buf_init(&exchange->head, HEAD_BYTES_MAX);
    *slot = exchange;
    if (exchange->path == NULL)
        return -1;
    /* Without a length libwebsockets waits for a body that never comes: that connection cannot be used again. */
    if (length < 0 && (exchange->method == HB_HTTP_POST || exchange->method == HB_HTTP_OTHER))
        hb_exchange_close_after(exchange);
    if (!head_is_sound(exchange, length))
        return 0;
    handler->admit(handler->self, exchange);
    if (hb_exchange_answered(exchange)) {
        if (length > DISCARD_BYTES_MAX)
            hb_exchange_close_after(exchange);
        return 0;
    }
    if (length > 0)
        start_body(exchange, length);
    else
        handle(exchange);
    return 0;
}

int hb_exchange_piece(struct hb_exchange *exchange, struct hb_text piece)
{
    if (exchange == NULL || exchange->stage != STAGE_READING)
        return 0;
    hb_buf_append_text(&exchange->request, piece);
    if (hb_buf_status(&exchange->request) != HB_OK) {
        hb_exchange_close_after(exchange);
        hb_exchange_answer_error(exchange, 503, "Retry-After: 1\r\n", "out of memory");
    }
    return 0;
}

int hb_exchange_body_end(struct hb_exchange *exchange)
{
    if (exchange != NULL && exchange->stage == STAGE_READING) {
        lws_set_timer_usecs(exchange->wsi, LWS_SET_TIMER_USEC_CANCEL);
        handle(exchange);
    }
    return 0;
}

void hb_exchange_timer(struct hb_exchange *exchange)
{
    if (exchange == NULL || exchange->stage != STAGE_READING)
        return;
    hb_exchange_close_after(exchange);
    hb_exchange_answer_error(exchange, 408, NULL, "body: must arrive within 5 seconds");
}

/* ---- writing ---- */

static size_t next_chunk(struct hb_exchange *exchange, unsigned char *out)
{
    const struct hb_shared_body *answer = exchange->method != HB_HTTP_HEAD ? exchange->answer : NULL;
    size_t total = answer != NULL ? answer->len : 0;
    size_t room = CHUNK_BYTES;
    size_t used = 0;
    size_t len;

    if (!exchange->head_written) {
        memcpy(out, exchange->head.bytes, exchange->head.len);
        used = exchange->head.len;
        room -= used;
        exchange->head_written = true;
    }
    len = total - exchange->written < room ? total - exchange->written : room;
    if (answer != NULL)
        memcpy(out + used, answer->bytes + exchange->written, len);
    exchange->written += len;
    return used + len;
}

static bool all_written(const struct hb_exchange *exchange)
{
    return exchange->method == HB_HTTP_HEAD || exchange->answer == NULL || exchange->written == exchange->answer->len;
}

int hb_exchange_writable(struct hb_exchange **slot)
{
    static unsigned char chunk[LWS_PRE + CHUNK_BYTES]; /* the loop's one thread; too large for its stack */
    struct hb_exchange *exchange = *slot;
    struct lws *wsi;
    bool close;
    size_t len;

    if (exchange == NULL || exchange->stage != STAGE_WRITING)
        return 0;
    wsi = exchange->wsi;
    if (hb_buf_status(&exchange->head) != HB_OK)
        return -1;
    len = next_chunk(exchange, chunk + LWS_PRE);
    if (lws_write(wsi, chunk + LWS_PRE, len, LWS_WRITE_HTTP) < (int)len)
        return -1;
    if (!all_written(exchange)) {
        lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, HB_READER_TIME_S);
        lws_callback_on_writable(wsi);
        return 0;
    }
    close = exchange->close_after;
    hb_exchange_end(slot);
    if (close)
        return -1;
    return lws_http_transaction_completed(wsi) != 0 ? -1 : 0;
}

void hb_exchange_end(struct hb_exchange **slot)
{
    struct hb_exchange *exchange = *slot;

    if (exchange == NULL)
        return;
    *slot = NULL;
    if (exchange->abandoned != NULL)
        exchange->abandoned(exchange->abandoned_self);
    free(exchange->path);
    hb_buf_free(&exchange->request);
    hb_buf_free(&exchange->head);
    hb_shared_body_drop(exchange->answer);
    free(exchange);
}
