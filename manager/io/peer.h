/*
 * peer: the address at the other end of a connection, as text.
 */
#ifndef HB_IO_PEER_H
#define HB_IO_PEER_H

#include "proto/base/buf.h"

#define HB_PEER_TEXT_SIZE 64

struct lws;

/* An IPv4 address in IPv6 clothes ("::ffff:10.0.0.3") is written as IPv4. Absent when the socket has no
 * address that others could use. */
struct hb_text hb_peer_host(struct lws *wsi, char out[HB_PEER_TEXT_SIZE]);

#endif
