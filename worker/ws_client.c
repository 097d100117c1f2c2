#include "worker/ws_client.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/limits.h"
#include "proto/wire/message.h"

#define ANSWER_BYTES_MAX 16384
#define MESSAGE_BYTES_MAX 1024     /* of what the manager says on the socket; the rest is dropped */
#define CLOSE_REASON_BYTES_MAX 123 /* RFC 6455: a control frame holds 125, two of them the code */
#define USER_TIMEOUT_MIN_MS 1000
#define HOST_HEADER_SIZE 116

/* What the one connection is for; NONE while there is none, or none that anybody still wants to hear of. */
enum purpose { PURPOSE_NONE, PURPOSE_REGISTER, PURPOSE_SOCKET };

#define PROTOCOL_NAME "heartbeat-client" /* ours, never sent */
#define CLIENT_MAGIC 0x77736363u

struct hb_ws_client {
    uint32_t magic;
    struct hb_ws_client_events events;
    struct lws_vhost *vhost;
    struct lws *wsi; /* NULL in PURPOSE_NONE; callbacks of any other wsi are ignored */
    struct lws_context *context;
    enum purpose purpose;
    bool open; /* PURPOSE_SOCKET: the handshake is done */
    unsigned user_timeout_ms;
    /* POST /register */
    unsigned http_status;
    struct hb_buf answer;
    size_t request_len;
    /* WebSocket */
    size_t message_len; /* 0: nothing waits to be sent */
    size_t received_len;
    int close_code;
    size_t close_reason_len;
    char close_reason[CLOSE_REASON_BYTES_MAX];
    char received[MESSAGE_BYTES_MAX];
    unsigned char request[LWS_PRE + HB_BODY_BYTES_MAX];
    unsigned char message[LWS_PRE + HB_BEAT_BYTES_MAX];
};

/* --- common ------------------------------------------------------------------------------------------------------ */

/* From here on lws may say about this connection what it likes. Called before the owner is told. */
static void let_go(struct hb_ws_client *client)
{
    client->wsi = NULL;
    client->purpose = PURPOSE_NONE;
    client->open = false;
    client->message_len = 0;
}

/* lws 4.1.6 cuts the Host line at 127 bytes, its end included; a name that would not fit is replaced by the address. */
static void format_host(const struct hb_ws_client_target *target, char host[HOST_HEADER_SIZE])
{
    const char *name = strlen(target->name) < HOST_HEADER_SIZE - 16 ? target->name : target->address;
    bool six = strchr(name, ':') != NULL;
    snprintf(host, HOST_HEADER_SIZE, six ? "[%s]:%d" : "%s:%d", name, target->port);
}

static enum hb_err start(struct hb_ws_client *client, const struct hb_ws_client_target *target, const char *method,
                         const char *path, enum purpose purpose)
{
    struct lws_client_connect_info info;
    char host[HOST_HEADER_SIZE];
    format_host(target, host);
    memset(&info, 0, sizeof info);
    info.context = client->context;
    info.vhost = client->vhost;
    info.address = target->address;
    info.port = target->port;
    info.host = host;
    info.path = path;
    info.method = method;                     /* NULL makes it a WebSocket */
    info.local_protocol_name = PROTOCOL_NAME; /* or lws 4.1.6 binds no protocol and swallows the answer's body */
    info.ssl_connection = LCCSCF_HTTP_NO_FOLLOW_REDIRECT;
    info.pwsi = &client->wsi; /* set before the first callback */
    client->purpose = purpose;
    client->http_status = 0;
    bool started = lws_client_connect_via_info(&info) != NULL;
    if (started || client->purpose == PURPOSE_NONE) /* NONE: it failed at once, and the owner was told */
        return HB_OK;
    let_go(client);
    return HB_ERR_IO;
}

static void on_failed(struct hb_ws_client *client, const void *in, size_t len)
{
    char reason[128] = "connection refused or lost";
    if (client->purpose == PURPOSE_SOCKET && client->http_status != 0 && client->http_status != 101)
        lws_snprintf(reason, sizeof reason, "the manager answered HTTP %u", client->http_status);
    else if (len > 0 && !hb_text_equal((struct hb_text){in, strnlen(in, len)}, HB_TEXT("closed before established")))
        lws_snprintf(reason, sizeof reason, "%.*s", (int)len, (const char *)in);
    enum purpose purpose = client->purpose;
    let_go(client);
    if (purpose == PURPOSE_REGISTER)
        client->events.on_register_failed(client->events.owner, reason);
    else
        client->events.on_connect_failed(client->events.owner, reason);
}

/* --- POST /register ---------------------------------------------------------------------------------------------- */

enum hb_err hb_ws_client_register(struct hb_ws_client *client, const struct hb_ws_client_target *target,
                                  struct hb_text body)
{
    if (body.len > HB_BODY_BYTES_MAX)
        return HB_ERR_FULL;
    memcpy(client->request + LWS_PRE, body.bytes, body.len);
    client->request_len = body.len;
    hb_buf_clear(&client->answer);
    return start(client, target, "POST", "/register", PURPOSE_REGISTER);
}

static int append_request_headers(struct hb_ws_client *client, struct lws *wsi, unsigned char **at, size_t room)
{
    static const char type[] = "application/json";
    unsigned char *end = *at + room;
    char length[24];
    int length_len = lws_snprintf(length, sizeof length, "%zu", client->request_len);
    if (lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE, (const unsigned char *)type, sizeof type - 1, at,
                                     end) ||
        lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, (const unsigned char *)length, length_len, at,
                                     end))
        return -1;
    lws_client_http_body_pending(wsi, 1);
    lws_callback_on_writable(wsi);
    return 0;
}

static int send_request_body(struct hb_ws_client *client, struct lws *wsi)
{
    if (client->request_len == 0) /* a spurious WRITEABLE after it was sent */
        return 0;
    size_t len = client->request_len;
    client->request_len = 0;
    lws_client_http_body_pending(wsi, 0);
    return lws_write(wsi, client->request + LWS_PRE, len, LWS_WRITE_HTTP_FINAL) < 0 ? -1 : 0;
}

/* lws hands the body out through a second callback; it is cut off at its ceiling, which no answer of ours comes near.
 */
static int read_answer(struct lws *wsi)
{
    char bytes[LWS_PRE + 2048];
    char *at = bytes + LWS_PRE;
    int len = sizeof bytes - LWS_PRE;
    return lws_http_client_read(wsi, &at, &len) < 0 ? -1 : 0;
}

static void answer_complete(struct hb_ws_client *client)
{
    if (client->http_status == 0) {
        on_failed(client, NULL, 0);
        return;
    }
    let_go(client);
    client->events.on_answer(
        client->events.owner, client->http_status,
        (struct hb_text){client->answer.bytes != NULL ? client->answer.bytes : "", client->answer.len});
}

static int on_register_callback(struct hb_ws_client *client, struct lws *wsi, enum lws_callback_reasons reason,
                                void *in, size_t len)
{
    switch (reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
        return append_request_headers(client, wsi, in, len);
    case LWS_CALLBACK_CLIENT_HTTP_WRITEABLE:
        return send_request_body(client, wsi);
    case LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP:
        client->http_status = lws_http_client_http_response(wsi);
        return 0;
    case LWS_CALLBACK_RECEIVE_CLIENT_HTTP:
        return read_answer(wsi);
    case LWS_CALLBACK_RECEIVE_CLIENT_HTTP_READ:
        hb_buf_append(&client->answer, in, len);
        return 0;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        on_failed(client, in, len);
        return 0;
    case LWS_CALLBACK_COMPLETED_CLIENT_HTTP:
    case LWS_CALLBACK_CLOSED_CLIENT_HTTP:
        answer_complete(client);
        return reason == LWS_CALLBACK_COMPLETED_CLIENT_HTTP ? -1 : 0; /* one request per connection */
    default:
        return 0;
    }
}

/* --- the WebSocket ----------------------------------------------------------------------------------------------- */

enum hb_err hb_ws_client_connect(struct hb_ws_client *client, const struct hb_ws_client_target *target,
                                 const char *path)
{
    client->close_code = HB_CLOSE_ABNORMAL;
    client->close_reason_len = 0;
    client->received_len = 0;
    return start(client, target, NULL, path, PURPOSE_SOCKET);
}

enum hb_err hb_ws_client_send(struct hb_ws_client *client, struct hb_text message)
{
    if (!client->open)
        return HB_ERR_REFUSED;
    if (message.len > HB_BEAT_BYTES_MAX)
        return HB_ERR_FULL;
    memcpy(client->message + LWS_PRE, message.bytes, message.len);
    client->message_len = message.len;
    return lws_callback_on_writable(client->wsi) < 0 ? HB_ERR_IO : HB_OK;
}

static int send_message(struct hb_ws_client *client, struct lws *wsi)
{
    size_t len = client->message_len;
    if (len == 0)
        return 0;
    client->message_len = 0;
    return lws_write(wsi, client->message + LWS_PRE, len, LWS_WRITE_TEXT) < (int)len ? -1 : 0;
}

static void on_established(struct hb_ws_client *client, struct lws *wsi)
{
    /* Failing here costs only how fast a vanished manager is noticed. */
    (void)setsockopt(lws_get_socket_fd(wsi), IPPROTO_TCP, TCP_USER_TIMEOUT, &client->user_timeout_ms,
                     sizeof client->user_timeout_ms);
    client->open = true;
    client->events.on_connected(client->events.owner);
}

static void on_received(struct hb_ws_client *client, struct lws *wsi, const void *in, size_t len)
{
    if (lws_is_first_fragment(wsi))
        client->received_len = 0;
    size_t room = sizeof client->received - client->received_len;
    size_t kept = len < room ? len : room;
    memcpy(client->received + client->received_len, in, kept);
    client->received_len += kept;
    if (lws_is_final_fragment(wsi) && lws_remaining_packet_payload(wsi) == 0)
        client->events.on_message(client->events.owner, (struct hb_text){client->received, client->received_len});
}

/*
 * lws 4.1.6, as a client, shows the codes 1012 to 1015 as 1002. We break no rule of the protocol, so 1002 stands for
 * the one of them that a manager sends.
 */
static int true_close_code(int shown)
{
    return shown == LWS_CLOSE_STATUS_PROTOCOL_ERR ? HB_CLOSE_RESTART : shown;
}

static void on_peer_close(struct hb_ws_client *client, const unsigned char *in, size_t len)
{
    if (len < 2) { /* a close frame without a code stands for an orderly end */
        client->close_code = HB_CLOSE_NORMAL;
        return;
    }
    client->close_code = true_close_code(in[0] << 8 | in[1]);
    client->close_reason_len = len - 2 < CLOSE_REASON_BYTES_MAX ? len - 2 : CLOSE_REASON_BYTES_MAX;
    memcpy(client->close_reason, in + 2, client->close_reason_len);
}

static void on_closed(struct hb_ws_client *client)
{
    bool was_open = client->open;
    if (!was_open) {
        on_failed(client, NULL, 0);
        return;
    }
    let_go(client);
    client->events.on_closed(client->events.owner, client->close_code,
                             (struct hb_text){client->close_reason, client->close_reason_len});
}

static int on_socket_callback(struct hb_ws_client *client, struct lws *wsi, enum lws_callback_reasons reason, void *in,
                              size_t len)
{
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP: /* the answer to the handshake, before lws judges it */
        client->http_status = lws_http_client_http_response(wsi);
        return 0;
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        on_established(client, wsi);
        return 0;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        on_failed(client, in, len);
        return 0;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return send_message(client, wsi);
    case LWS_CALLBACK_CLIENT_RECEIVE:
        on_received(client, wsi, in, len);
        return 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        on_peer_close(client, in, len);
        return 0;
    case LWS_CALLBACK_CLIENT_CLOSED:
        on_closed(client);
        return 0;
    default:
        return 0;
    }
}

void hb_ws_client_close(struct hb_ws_client *client)
{
    if (client->wsi == NULL)
        return;
    client->close_code = HB_CLOSE_NORMAL; /* lws does not show the answer to a close of our own */
    lws_close_reason(client->wsi, LWS_CLOSE_STATUS_NORMAL, NULL, 0);
    hb_lws_kill(client->wsi);
}

/* --- life -------------------------------------------------------------------------------------------------------- */

static int on_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    (void)user;
    struct lws_vhost *vhost = wsi != NULL ? lws_get_vhost(wsi) : NULL;
    struct hb_ws_client *client = vhost != NULL ? lws_get_vhost_user(vhost) : NULL;
    if (client == NULL || client->magic != CLIENT_MAGIC || client->purpose == PURPOSE_NONE)
        return 0;
    if (client->wsi == NULL) /* lws may call back before it has filled pwsi in */
        client->wsi = wsi;
    if (client->wsi != wsi)
        return 0;
    if (client->purpose == PURPOSE_REGISTER)
        return on_register_callback(client, wsi, reason, in, len);
    return on_socket_callback(client, wsi, reason, in, len);
}

static const struct lws_protocols protocols[] = {
    {.name = PROTOCOL_NAME, .callback = on_callback, .rx_buffer_size = 512},
    {.name = NULL},
};

void hb_ws_client_abort(struct hb_ws_client *client)
{
    struct lws *wsi = client->wsi;
    let_go(client);
    if (wsi != NULL)
        hb_lws_kill(wsi);
}

struct hb_ws_client *hb_ws_client_new(struct hb_lws_host *host, int64_t interval_ms,
                                      const struct hb_ws_client_events *events)
{
    struct hb_ws_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return NULL;
    client->magic = CLIENT_MAGIC;
    client->events = *events;
    client->context = host->context;
    client->user_timeout_ms = (unsigned)(2 * interval_ms < USER_TIMEOUT_MIN_MS ? USER_TIMEOUT_MIN_MS : 2 * interval_ms);
    hb_buf_init(&client->answer, ANSWER_BYTES_MAX);

    struct lws_context_creation_info info;
    memset(&info, 0, sizeof info);
    info.vhost_name = "manager";
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.protocols = protocols;
    info.user = client;
    info.ka_time = (int)((interval_ms + 999) / 1000);
    info.ka_interval = info.ka_time;
    info.ka_probes = 2;
    client->vhost = lws_create_vhost(host->context, &info);
    if (client->vhost == NULL) {
        hb_ws_client_free(client);
        return NULL;
    }
    return client;
}

void hb_ws_client_free(struct hb_ws_client *client)
{
    if (client == NULL)
        return;
    hb_buf_free(&client->answer);
    client->magic = 0;
    free(client);
}
