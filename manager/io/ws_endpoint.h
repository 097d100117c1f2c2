/*
 * ws_endpoint: the WebSocket /ws/<id>, from frames to beats and from decisions to close codes.
 *
 * A session is one accepted socket; its pointer is the handle the core knows. When the core lets a socket go (taken
 * over, removed, goodbye) the session is `forgotten`: what still arrives on it is ignored. A socket is never closed
 * inside its own callback: there the code is noted and the callback returns it to libwebsockets.
 */
#ifndef HB_IO_WS_ENDPOINT_H
#define HB_IO_WS_ENDPOINT_H

#include "manager/app/ingest.h"
#include "manager/app/ports.h"

#define HB_BAD_MESSAGES_MAX 3 /* in a row; then the socket is closed with 1008 */

struct lws;
struct hb_ws_endpoint;

struct hb_ws_session {
    struct lws *wsi;
    struct hb_ws_session *prev, *next; /* all established sessions */
    char *partial;                     /* a message in several pieces: its bytes so far; NULL none */
    char *reply;                       /* one error answer that waits for the socket; NULL none */
    uint16_t partial_len;
    uint16_t close_code; /* to close with when the callback returns; 0 none */
    uint16_t peer_code;  /* the close code the peer sent; 0 none */
    uint8_t bad_in_row;
    bool established : 1;
    bool forgotten : 1;  /* the core does not know it, or no longer */
    bool introduced : 1; /* a beat of it was counted: the peer's address is of no interest any more */
    uint8_t id_len;
    char id[HB_ID_MAX + 1];
};

struct hb_ws_endpoint *hb_ws_endpoint_new(struct hb_ingest *ingest); /* NULL when out of memory */
void hb_ws_endpoint_free(struct hb_ws_endpoint *endpoint);
struct hb_socket_port hb_ws_endpoint_port(struct hb_ws_endpoint *endpoint);
size_t hb_ws_endpoint_count(const struct hb_ws_endpoint *endpoint);
/*
 * The process ends: closes every session with 1012, and from here on newcomers too. The core is told of none of it: no
 * worker has left.
 */
void hb_ws_endpoint_stop(struct hb_ws_endpoint *endpoint);

/* The callbacks. Nonzero: libwebsockets closes the socket, with the reason that was set. */
int hb_ws_established(struct hb_ws_endpoint *endpoint, struct hb_ws_session *session, struct lws *wsi,
                      struct hb_text id);
int hb_ws_received(struct hb_ws_endpoint *endpoint, struct hb_ws_session *session, struct hb_text piece);
int hb_ws_writable(struct hb_ws_endpoint *endpoint, struct hb_ws_session *session);
void hb_ws_peer_closing(struct hb_ws_session *session, const unsigned char *payload, size_t len);
void hb_ws_closed(struct hb_ws_endpoint *endpoint, struct hb_ws_session *session);
/* Closes one that is not in its own callback. */
void hb_ws_close(struct hb_ws_session *session, uint16_t close_code, const char *why);

#endif
