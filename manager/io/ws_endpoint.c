#include "manager/io/ws_endpoint.h"

#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>

#include "manager/io/peer.h"
#include "proto/base/log.h"
#include "proto/wire/codec.h"

#define CLOSE_REASON_MAX 123 /* RFC 6455: a control frame holds 125 bytes, two of them the code */
#define REPLY_MAX 2048       /* a sentence of 256 bytes, every one of them escaped */

struct hb_ws_endpoint {
    struct hb_ingest *ingest;
    struct hb_ws_session *first;
    struct hb_ws_session *current; /* the one whose callback runs */
    size_t count;
    bool stopping;
};

struct hb_ws_endpoint *hb_ws_endpoint_new(struct hb_ingest *ingest)
{
    struct hb_ws_endpoint *endpoint = calloc(1, sizeof *endpoint);

    if (endpoint != NULL)
        endpoint->ingest = ingest;
    return endpoint;
}

void hb_ws_endpoint_free(struct hb_ws_endpoint *endpoint)
{
    free(endpoint);
}

size_t hb_ws_endpoint_count(const struct hb_ws_endpoint *endpoint)
{
    return endpoint->count;
}

/* ---- closing ---- */

static const char *why_of(uint16_t close_code)
{
    switch (close_code) {
    case HB_CLOSE_NORMAL:
        return "goodbye";
    case HB_CLOSE_POLICY:
        return "no valid heartbeat within the timeout";
    case HB_CLOSE_RESTART:
        return "the manager is going away: connect again";
    case HB_CLOSE_REPLACED:
        return "replaced by a newer connection of the same worker id";
    case HB_CLOSE_REMOVED:
        return "this worker was removed";
    case HB_CLOSE_CONFLICT:
        return "several processes claim this worker id";
    default:
        return "";
    }
}

static void set_close_reason(struct hb_ws_session *session, uint16_t close_code, const char *why)
{
    unsigned char reason[CLOSE_REASON_MAX];
    size_t len = strlen(why);

    if (len > sizeof reason)
        len = sizeof reason;
    while (len > 0 && len < strlen(why) && ((unsigned char)why[len] & 0xC0) == 0x80)
        len--; /* never half a character */
    memcpy(reason, why, len);
    lws_close_reason(session->wsi, (enum lws_close_status)close_code, reason, len);
}

void hb_ws_close(struct hb_ws_session *session, uint16_t close_code, const char *why)
{
    set_close_reason(session, close_code, why != NULL ? why : why_of(close_code));
    lws_set_timeout(session->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
}

void hb_ws_endpoint_stop(struct hb_ws_endpoint *endpoint)
{
    struct hb_ws_session *session = endpoint->first;

    endpoint->stopping = true;
    while (session != NULL) {
        struct hb_ws_session *next = session->next;

        session->forgotten = true;
        hb_ws_close(session, HB_CLOSE_RESTART, NULL);
        session = next;
    }
}

/* The core lets go of a socket. */
static void on_core_closes(void *self, void *socket, uint16_t close_code)
{
    struct hb_ws_endpoint *endpoint = self;
    struct hb_ws_session *session = socket;

    session->forgotten = true;
    if (session == endpoint->current)
        session->close_code = close_code;
    else
        hb_ws_close(session, close_code, NULL);
}

struct hb_socket_port hb_ws_endpoint_port(struct hb_ws_endpoint *endpoint)
{
    return (struct hb_socket_port){.self = endpoint, .close = on_core_closes};
}

/* What a callback returns when it is done with the session. */
static int end_callback(struct hb_ws_endpoint *endpoint, struct hb_ws_session *session, const char *why)
{
    endpoint->current = NULL;
    if (session->close_code == 0)
        return 0;
    set_close_reason(session, session->close_code, why != NULL ? why : why_of(session->close_code));
    return -1;
}

static int end_with(struct hb_ws_endpoint *endpoint, struct hb_ws_session *session, uint16_t close_code,
                    const char *why)
{
    session->close_code = close_code;
    return end_callback(endpoint, session, why);
}

/* ---- opening ---- */

static void link_session(struct hb_ws_endpoint *endpoint, struct hb_ws_session *session)
{
    session->next = endpoint->first;
    if (endpoint->first != NULL)
        endpoint->first->prev = session;
    endpoint->first = session;
    endpoint->count++;
}

static void unlink_session(struct hb_ws_endpoint *endpoint, struct hb_ws_session *session)
{
    if (session->prev != NULL)
        session->prev->next = session->next;
    else
        endpoint->first = session->next;
    if (session->next != NULL)
        session->next->prev = session->prev;
    session->prev = session->next = NULL;
    endpoint->count--;
}

static uint16_t refusal_code(enum hb_err err)
{
    switch (err) {
    case HB_ERR_CONFLICT:
        return HB_CLOSE_CONFLICT;
    case HB_ERR_REFUSED:
        return HB_CLOSE_REMOVED;
    default:
        return HB_CLOSE_TRY_LATER; /* full, out of memory */
    }
}

int hb_ws_established(struct hb_ws_endpoint *endpoint, struct hb_ws_session *session, struct lws *wsi,
                      struct hb_text id)
{
    enum hb_err err;

    session->wsi = wsi;
    session->established = true;
    session->forgotten = true;
    link_session(endpoint, session);
    if (endpoint->stopping) /* the core still holds the sockets that were closed: it must not be asked about them */
        return end_with(endpoint, session, HB_CLOSE_RESTART, NULL);
    if (!hb_id_valid(id))
        return end_with(endpoint, session, HB_CLOSE_POLICY, "bad worker id");
    memcpy(session->id, id.bytes, id.len);
    session->id[id.len] = '\0';
    session->id_len = (uint8_t)id.len;
    endpoint->current = session;
    err = hb_ingest_socket_opened(endpoint->ingest, id, session, hb_moment_now());
    if (err != HB_OK) {
        hb_log(HB_LOG_WARN, "socket_refused", HB_LS("worker", session->id),
               HB_LS("cause", hb_ingest_error(endpoint->ingest)));
        return end_with(endpoint, session, refusal_code(err), NULL);
    }
    session->forgotten = false;
    return end_callback(endpoint, session, NULL);
}

/* ---- messages ---- */

static void queue_reply(struct hb_ws_session *session, const char *sentence)
{
    struct hb_buf buf;

    hb_buf_init(&buf, REPLY_MAX);
    hb_buf_append_str(&buf, "{\"error\":");
    hb_buf_append_json(&buf, hb_text_of(sentence));
    hb_buf_append_char(&buf, '}');
    if (hb_buf_status(&buf) == HB_OK) {
        free(session->reply);
        session->reply = hb_buf_take(&buf);
        lws_callback_on_writable(session->wsi);
    }
    hb_buf_free(&buf);
}

static int bad_message(struct hb_ws_endpoint *endpoint, struct hb_ws_session *session, const char *sentence)
{
    hb_log(HB_LOG_WARN, "bad_message", HB_LS("worker", session->id), HB_LS("cause", sentence));
    if (++session->bad_in_row >= HB_BAD_MESSAGES_MAX)
        return end_with(endpoint, session, HB_CLOSE_POLICY, sentence);
    queue_reply(session, sentence);
    return end_callback(endpoint, session, NULL);
}

static int beat(struct hb_ws_endpoint *endpoint, struct hb_ws_session *session, struct hb_text message)
{
    struct hb_text id = {session->id, session->id_len};
    struct hb_text peer = {NULL, 0};
    char peer_text[HB_PEER_TEXT_SIZE];
    enum hb_err err;

    if (!session->introduced)
        peer = hb_peer_host(session->wsi, peer_text);
    err = hb_ingest_beat(endpoint->ingest, id, session, message, peer, hb_moment_now());
    switch (err) {
    case HB_OK:
        session->bad_in_row = 0;
        session->introduced = true;
        return end_callback(endpoint, session, NULL);
    case HB_ERR_SYNTAX:
    case HB_ERR_SHAPE:
        return bad_message(endpoint, session, hb_ingest_error(endpoint->ingest));
    case HB_ERR_REFUSED:
        return end_with(endpoint, session, HB_CLOSE_REMOVED, NULL);
    default:
        queue_reply(session, hb_ingest_error(endpoint->ingest));
        return end_callback(endpoint, session, NULL);
    }
}

/* Keeps a piece until the rest has come. False: out of memory. */
static bool keep_piece(struct hb_ws_session *session, struct hb_text piece)
{
    char *grown = realloc(session->partial, session->partial_len + piece.len + 1);

    if (grown == NULL)
        return false;
    if (piece.len > 0)
        memcpy(grown + session->partial_len, piece.bytes, piece.len);
    session->partial = grown;
    session->partial_len = (uint16_t)(session->partial_len + piece.len);
    return true;
}

static void drop_pieces(struct hb_ws_session *session)
{
    free(session->partial);
    session->partial = NULL;
    session->partial_len = 0;
}

int hb_ws_received(struct hb_ws_endpoint *endpoint, struct hb_ws_session *session, struct hb_text piece)
{
    bool whole = lws_is_final_fragment(session->wsi) && lws_remaining_packet_payload(session->wsi) == 0;
    size_t announced = session->partial_len + piece.len + lws_remaining_packet_payload(session->wsi);
    int result;

    if (session->forgotten || session->close_code != 0 || session->peer_code != 0)
        return 0; /* nothing counts behind a close, whoever sent it */
    endpoint->current = session;
    if (announced > HB_BEAT_BYTES_MAX)
        return end_with(endpoint, session, HB_CLOSE_TOO_BIG, "a heartbeat is at most 4096 bytes");
    if (lws_frame_is_binary(session->wsi)) {
        session->partial_len = whole ? 0 : (uint16_t)(session->partial_len + piece.len); /* counted, not kept */
        if (!whole)
            return end_callback(endpoint, session, NULL);
        return bad_message(endpoint, session, "a heartbeat is a text message, this one is binary");
    }
    if (whole && session->partial == NULL)
        return beat(endpoint, session, piece); /* the usual case: nothing is copied */
    if (!keep_piece(session, piece))
        return end_with(endpoint, session, HB_CLOSE_TRY_LATER, "out of memory");
    if (!whole)
        return end_callback(endpoint, session, NULL);
    result = beat(endpoint, session, (struct hb_text){session->partial, session->partial_len});
    drop_pieces(session);
    return result;
}

int hb_ws_writable(struct hb_ws_endpoint *endpoint, struct hb_ws_session *session)
{
    unsigned char frame[LWS_PRE + REPLY_MAX];
    size_t len;

    (void)endpoint;
    if (session->reply == NULL || session->close_code != 0 || session->forgotten)
        return 0; /* nothing is said behind a close */
    len = strlen(session->reply);
    memcpy(frame + LWS_PRE, session->reply, len);
    free(session->reply);
    session->reply = NULL;
    return lws_write(session->wsi, frame + LWS_PRE, len, LWS_WRITE_TEXT) < (int)len ? -1 : 0;
}

/* ---- the end ---- */

void hb_ws_peer_closing(struct hb_ws_session *session, const unsigned char *payload, size_t len)
{
    /* A close frame without a code is what a browser's close() sends: as orderly a goodbye as 1000. */
    session->peer_code = len >= 2 ? (uint16_t)(payload[0] << 8 | payload[1]) : HB_CLOSE_NORMAL;
}

void hb_ws_closed(struct hb_ws_endpoint *endpoint, struct hb_ws_session *session)
{
    uint16_t code = session->peer_code != 0 ? session->peer_code : HB_CLOSE_ABNORMAL;

    if (!session->established)
        return;
    session->established = false;
    unlink_session(endpoint, session);
    if (!session->forgotten) {
        session->forgotten = true;
        hb_ingest_socket_closed(endpoint->ingest, (struct hb_text){session->id, session->id_len}, session, code,
                                hb_moment_now());
    }
    drop_pieces(session);
    free(session->reply);
    session->reply = NULL;
}
