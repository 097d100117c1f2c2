#include "manager/io/http_exchange.h"

#include <linux/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "manager/io/http_head.h"
#include "proto/wire/codec.h"
#include "proto/wire/limits.h"

#define CHUNK_BYTES 65536
#define HEAD_BYTES_MAX 2048
#define DISCARD_BYTES_MAX 65536 /* an unwanted body up to this size is read and dropped, a larger one cut off */
#define READER_LOOK_MS 100
#define FIN_COUNTS 1 /* the end of the stream counts as a byte received */
#define JSON_TYPE "application/json; charset=utf-8"

enum stage { STAGE_READING, STAGE_THINKING, STAGE_WRITING };

struct hb_exchange {
    struct lws *wsi;
    const struct hb_exchange_handler *handler;
    enum stage stage;
    enum hb_http_method method;
    bool close_after;
    bool head_written;
    bool held;  /* its input is held back */
    bool paced; /* its answer takes more than one write */
    char *path;
    struct hb_buf request;
    struct hb_buf head;
    struct hb_shared_body *answer;
    size_t written, written_at_look;
    void (*abandoned)(void *self);
    void *abandoned_self;
};

/* ---- shared bodies ---- */

struct hb_shared_body *hb_shared_body_new(struct hb_buf *buf, size_t *account)
{
    struct hb_shared_body *body = malloc(sizeof *body);
    bool roomy = buf->cap / 2 > buf->len;
    char *trimmed;

    if (body == NULL)
        return NULL;
    body->users = 1;
    body->len = buf->len;
    body->bytes = hb_buf_take(buf);
    trimmed = roomy ? realloc(body->bytes, body->len + 1) : NULL; /* memory of a larger one before it */
    if (trimmed != NULL)
        body->bytes = trimmed;
    body->account = account;
    if (account != NULL)
        *account += body->len;
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
    if (body->account != NULL)
        *body->account -= body->len;
    free(body->bytes);
    free(body);
}

void hb_shared_body_recycle(struct hb_shared_body *body, struct hb_buf *buf)
{
    if (body->users == 1 && body->len <= buf->ceiling) {
        buf->bytes = body->bytes;
        buf->cap = body->len + 1; /* with the NUL behind them */
        body->bytes = NULL;
        hb_buf_clear(buf);
    }
    hb_shared_body_drop(body);
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

struct hb_text hb_exchange_content_type(const struct hb_exchange *exchange, char *out, size_t size)
{
    return hb_head_value(exchange->wsi, WSI_TOKEN_HTTP_CONTENT_TYPE, out, size);
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
    if (exchange->held)
        lws_rx_flow_control(exchange->wsi, 1);
    lws_callback_on_writable(exchange->wsi);
}

void hb_exchange_answer_buf(struct hb_exchange *exchange, unsigned status, const char *extra, struct hb_buf *json)
{
    struct hb_shared_body *body = hb_buf_status(json) == HB_OK ? hb_shared_body_new(json, NULL) : NULL;

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

/*
 * The bytes that libwebsockets has taken from the socket so far: those that the kernel has received, less the unread.
 */
static uint64_t taken_from(struct lws *wsi)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    int unread = 0;
    int fd = lws_get_socket_fd(wsi);

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || ioctl(fd, FIONREAD, &unread) != 0)
        return 0;
    return info.tcpi_bytes_received - (uint64_t)unread;
}

/* In the library's pointer for us, because it clears what a connection keeps otherwise after each request. */
static void remember_taken(struct lws *wsi)
{
    lws_set_opaque_user_data(wsi, (void *)(uintptr_t)taken_from(wsi)); /* NOLINT(performance-no-int-to-ptr) */
}

static bool came_behind_another(struct lws *wsi)
{
    uintptr_t answered_at = (uintptr_t)lws_get_opaque_user_data(wsi);

    return answered_at != 0 && (uintptr_t)taken_from(wsi) - answered_at <= FIN_COUNTS;
}

static bool may_have_body(struct lws *wsi, enum hb_http_method method, int64_t length)
{
    /* Of these libwebsockets expects a body even when none was announced. */
    return length > 0 || method == HB_HTTP_POST || method == HB_HTTP_OTHER ||
           lws_hdr_total_length(wsi, WSI_TOKEN_PUT_URI) > 0;
}

/* NULL when out of memory. */
static struct hb_exchange *exchange_new(struct lws *wsi, const struct hb_exchange_handler *handler, struct hb_text path)
{
    struct hb_exchange *exchange = calloc(1, sizeof *exchange);

    if (exchange == NULL)
        return NULL;
    exchange->wsi = wsi;
    exchange->handler = handler;
    exchange->method = method_of(wsi);
    hb_buf_init(&exchange->request, HB_BODY_BYTES_MAX);
    hb_buf_init(&exchange->head, HEAD_BYTES_MAX);
    exchange->path = strndup(path.bytes, path.len);
    if (exchange->path == NULL) {
        free(exchange);
        return NULL;
    }
    return exchange;
}

/* Everything that is refused before the body: the head itself, then by the handler. */
static void admit(struct hb_exchange *exchange, int64_t length)
{
    unsigned status;
    const char *fault = hb_head_fault(exchange->wsi, &status);

    if (fault != NULL) {
        hb_exchange_close_after(exchange);
        hb_exchange_answer_error(exchange, status, NULL, fault);
        return;
    }
    if (length > DISCARD_BYTES_MAX)
        hb_exchange_close_after(exchange);
    exchange->handler->admit(exchange->handler->self, exchange);
    if (!hb_exchange_answered(exchange) && length > HB_BODY_BYTES_MAX)
        hb_exchange_answer_error(exchange, 413, NULL, "body: must be at most 16384 bytes");
}

static bool wants_close(struct lws *wsi)
{
    char text[64];

    return hb_head_lists(hb_head_value(wsi, WSI_TOKEN_CONNECTION, text, sizeof text), "close");
}

int hb_exchange_begin(struct hb_http_line *line, struct lws *wsi, const struct hb_exchange_handler *handler,
                      struct hb_text path)
{
    int64_t length = hb_head_content_length(wsi);
    struct hb_exchange *exchange;

    hb_exchange_end(line);
    /*
     * A request with a body that came right behind an earlier one waits in a buffer of the library's, and 4.1.6 would
     * go round in circles over it for ever. It is recognised by this: since the earlier one was answered, nothing was
     * taken from the socket. What came later is read afresh, and sound. (A client may always have to send again what it
     * sent behind a request without waiting: RFC 9112, section 9.3.2.)
     */
    if (may_have_body(wsi, method_of(wsi), length) && came_behind_another(wsi))
        return -1;
    exchange = exchange_new(wsi, handler, path);
    if (exchange == NULL)
        return -1;
    line->exchange = exchange;
    exchange->close_after = wants_close(wsi);
    /* Without a length libwebsockets waits for a body that never comes: that connection cannot be used again. */
    if (length < 0 && may_have_body(wsi, exchange->method, length))
        hb_exchange_close_after(exchange);
    line->body_until.ms = 0;
    if (length > 0) { /* absolute, and also for a body that is not wanted: it comes in time, or the connection ends */
        line->body_until = hb_mono_add(hb_mono_now(), HB_BODY_TIME_MS);
        lws_set_timer_usecs(wsi, (lws_usec_t)(HB_BODY_TIME_MS + 1) * 1000);
    }
    admit(exchange, length);
    if (!hb_exchange_answered(exchange) && length <= 0)
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

int hb_exchange_body_end(struct hb_http_line *line)
{
    if (line->exchange != NULL && line->exchange->stage == STAGE_READING) {
        line->body_until.ms = 0;
        handle(line->exchange);
    }
    return 0;
}

/*
 * A reader that takes nothing of its answer while it goes on sending would keep the loop awake: libwebsockets neither
 * reads nor stops looking then.
 */
static int look_at_reader(struct hb_exchange *exchange)
{
    int unread = 0;
    bool stuck = exchange->written == exchange->written_at_look;

    if (stuck && ioctl(lws_get_socket_fd(exchange->wsi), FIONREAD, &unread) == 0 && unread > 0)
        return -1;
    exchange->written_at_look = exchange->written;
    lws_set_timer_usecs(exchange->wsi, (lws_usec_t)READER_LOOK_MS * 1000);
    return 0;
}

/* The library's timer cannot be taken back in 4.1.6, so it may mean nothing any more. */
int hb_exchange_timer(struct hb_http_line *line)
{
    struct hb_exchange *exchange = line->exchange;

    if (exchange != NULL && exchange->paced)
        return look_at_reader(exchange);
    if (line->body_until.ms == 0 || hb_mono_now().ms < line->body_until.ms)
        return 0;
    if (exchange == NULL || exchange->stage != STAGE_READING)
        return -1; /* a body that nobody wanted has not come to its end */
    hb_exchange_close_after(exchange);
    hb_exchange_answer_error(exchange, 408, NULL, "body: must arrive within 5 seconds");
    return 0;
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

int hb_exchange_writable(struct hb_http_line *line)
{
    static unsigned char chunk[LWS_PRE + CHUNK_BYTES]; /* the loop's one thread; too large for its stack */
    struct hb_exchange *exchange = line->exchange;
    struct lws *wsi;
    bool close;
    size_t len;

    if (exchange == NULL || exchange->stage != STAGE_WRITING)
        return 0;
    wsi = exchange->wsi;
    if (hb_buf_status(&exchange->head) != HB_OK)
        return -1;
    len = next_chunk(exchange, chunk + LWS_PRE);
    lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, HB_READER_TIME_S);
    if (lws_write(wsi, chunk + LWS_PRE, len, LWS_WRITE_HTTP) < (int)len)
        return -1;
    if (!all_written(exchange)) {
        if (!exchange->paced)
            lws_set_timer_usecs(wsi, (lws_usec_t)READER_LOOK_MS * 1000);
        exchange->paced = true;
        lws_callback_on_writable(wsi);
        return 0;
    }
    close = exchange->close_after;
    hb_exchange_end(line);
    if (close)
        return -1;
    remember_taken(wsi);
    return lws_http_transaction_completed(wsi) != 0 ? -1 : 0;
}

void hb_exchange_end(struct hb_http_line *line)
{
    struct hb_exchange *exchange = line->exchange;

    if (exchange == NULL)
        return;
    line->exchange = NULL;
    if (exchange->abandoned != NULL)
        exchange->abandoned(exchange->abandoned_self);
    free(exchange->path);
    hb_buf_free(&exchange->request);
    hb_buf_free(&exchange->head);
    hb_shared_body_drop(exchange->answer);
    free(exchange);
}
