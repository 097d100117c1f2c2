#include "manager/io/ws_handshake.h"

#include <string.h>

#include "manager/io/http_exchange.h"
#include "manager/io/http_head.h"
#include "proto/wire/message.h"
#include "proto/wire/names.h"

#define VALUE_SIZE 256
#define PATH_SIZE 16384 /* a whole head: who sends a long id is to hear that it is too long */
#define KEY_LEN 24      /* 16 bytes in base64 */
#define BASE64 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

struct hb_text hb_ws_handshake_id(struct lws *wsi, char *out, size_t size)
{
    struct hb_text path = hb_head_value(wsi, WSI_TOKEN_GET_URI, out, size);
    size_t prefix = sizeof HB_WS_PATH_PREFIX - 1;

    if (path.len < prefix || memcmp(path.bytes, HB_WS_PATH_PREFIX, prefix) != 0)
        return (struct hb_text){NULL, 0};
    return (struct hb_text){path.bytes + prefix, path.len - prefix};
}

/* ---- the rules, each true when it is kept ---- */

static bool path_is_ours(struct lws *wsi)
{
    char text[PATH_SIZE];

    return hb_ws_handshake_id(wsi, text, sizeof text).bytes != NULL;
}

static bool id_is_valid(struct lws *wsi)
{
    char text[PATH_SIZE];

    return hb_id_valid(hb_ws_handshake_id(wsi, text, sizeof text));
}

static bool has_no_body(struct lws *wsi)
{
    return hb_head_content_length(wsi) <= 0;
}

static bool connection_upgrades(struct lws *wsi)
{
    char text[VALUE_SIZE];

    return hb_head_lists(hb_head_value(wsi, WSI_TOKEN_CONNECTION, text, sizeof text), "upgrade");
}

static bool version_is_13(struct lws *wsi)
{
    char text[VALUE_SIZE];

    return hb_text_equal(hb_head_value(wsi, WSI_TOKEN_VERSION, text, sizeof text), HB_TEXT("13"));
}

static bool key_is_sound(struct lws *wsi)
{
    char text[VALUE_SIZE];
    struct hb_text key = hb_head_value(wsi, WSI_TOKEN_KEY, text, sizeof text);

    return key.len == KEY_LEN && strspn(key.bytes, BASE64) == KEY_LEN - 2 && strcmp(key.bytes + KEY_LEN - 2, "==") == 0;
}

static bool subprotocol_is_spoken(struct lws *wsi)
{
    char text[VALUE_SIZE];

    return !hb_head_has(wsi, WSI_TOKEN_PROTOCOL) ||
           hb_head_lists(hb_head_value(wsi, WSI_TOKEN_PROTOCOL, text, sizeof text), HB_WS_SUBPROTOCOL);
}

static const struct {
    bool (*kept)(struct lws *wsi);
    unsigned status;
    const char *extra;
    const char *sentence;
} rules[] = {
    {path_is_ours, 404, NULL, "path: WebSockets are at /ws/<worker id>"},
    {id_is_valid, 422, NULL, "worker id: must be 1 to 64 characters of A-Z a-z 0-9 . _ : -"},
    {has_no_body, 400, NULL, "Content-Length: an upgrade has no body"},
    {connection_upgrades, 400, NULL, "Connection: must name Upgrade"},
    {version_is_13, 426, "Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Version: must be 13"},
    {key_is_sound, 400, NULL, "Sec-WebSocket-Key: must be 16 bytes in base64"},
    {subprotocol_is_spoken, 400, NULL, "Sec-WebSocket-Protocol: none is needed, " HB_WS_SUBPROTOCOL " is spoken"},
};

int hb_ws_handshake_confirm(struct lws *wsi, const char *allowed_origins)
{
    char text[VALUE_SIZE];
    struct hb_text upgrade = hb_head_value(wsi, WSI_TOKEN_UPGRADE, text, sizeof text);
    const char *fault;
    unsigned status;

    /* Without this header the library's own pointer to it must not be touched; another token is not ours to answer. */
    if (!hb_head_lists(upgrade, "websocket")) {
        if (upgrade.len > 0)
            hb_http_refuse(wsi, 400, NULL, "Upgrade: only websocket is spoken here");
        return -1;
    }
    fault = hb_head_fault(wsi, &status);
    if (fault != NULL) {
        hb_http_refuse(wsi, status, NULL, fault);
        return -1;
    }
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (!rules[i].kept(wsi)) {
            hb_http_refuse(wsi, rules[i].status, rules[i].extra, rules[i].sentence);
            return -1;
        }
    }
    if (!hb_head_origin_allowed(wsi, allowed_origins)) {
        hb_http_refuse(wsi, 403, NULL, "Origin: must be this host or one of ALLOWED_ORIGINS");
        return -1;
    }
    return 0;
}
