/*
 * ws_handshake: whether a request to upgrade becomes a WebSocket, decided before libwebsockets decides.
 *
 * 4.1.6 goes on with a connection it has already closed when the upgrade token is unknown (use after free from the
 * network), takes any version and key, drops an unknown subprotocol without a word, and ignores Origin. So nothing
 * reaches its own handshake but what is sound.
 */
#ifndef HB_IO_WS_HANDSHAKE_H
#define HB_IO_WS_HANDSHAKE_H

#include "proto/base/buf.h"

struct lws;

/* For HTTP_CONFIRM_UPGRADE: 0 go on, -1 close; then the refusal has been written, if there was anybody to read it. */
int hb_ws_handshake_confirm(struct lws *wsi, const char *allowed_origins);
/* The id in the path /ws/<id>; absent when it is another path. The text is in out. */
struct hb_text hb_ws_handshake_id(struct lws *wsi, char *out, size_t size);

#endif
