/*
 * ws_peer: the least of a WebSocket client that a load generator needs. For the bench only.
 *
 * A peer is nothing but a non-blocking socket: incoming bytes are peeked at and consumed only as whole heads or whole
 * frames, so that no buffer per socket exists and 18,000 of them cost the generator nothing. What a server sends here
 * (pings, errors, a close) is far below the peeking buffer's size; a longer frame counts as a broken peer.
 */
#ifndef HB_BENCH_WS_PEER_H
#define HB_BENCH_WS_PEER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hb_peer_answer {
    HB_PEER_PENDING, /* not all of it is here */
    HB_PEER_GOOD,
    HB_PEER_BAD, /* refused, malformed or closed */
};

enum hb_peer_sent {
    HB_PEER_SENT,
    HB_PEER_BACKLOG, /* the socket's buffer is full: nothing was sent */
    HB_PEER_BROKEN,
};

/* What came in over all peers. */
struct hb_peer_tally {
    uint64_t pings;
    uint64_t errors;       /* text messages: the manager sends none but {"error":...} */
    uint64_t closes;       /* close frames, and connections that ended without one */
    uint16_t first_close;  /* the status of the first close frame, 0 while none */
    char first_error[256]; /* the first text message, cut and made printable */
};

/* A connecting socket, or -1 with errno. source 0 leaves the choice to the kernel; closing it resets, so that no
 * TIME_WAIT piles up from one round of a bench to the next. */
int hb_peer_dial(const struct sockaddr_in *to, in_addr_t source);
bool hb_peer_send_upgrade(int fd, const char *host, const char *path);
/* Expects 101 and the right Sec-WebSocket-Accept. The status line of a refusal goes to `refusal`, if not NULL. */
enum hb_peer_answer hb_peer_read_upgrade(int fd, char *refusal, size_t refusal_size);
/* Expects 2xx with a Content-Length and consumes the body too. */
enum hb_peer_answer hb_peer_read_response(int fd, char *refusal, size_t refusal_size);
/* One masked text frame; len < 65536. */
enum hb_peer_sent hb_peer_send_text(int fd, const char *text, size_t len, uint32_t mask);
/* Takes in every whole frame that is there; answers pings. False when the peer is over: the caller closes fd. */
bool hb_peer_receive(int fd, struct hb_peer_tally *tally);

#endif
