#include "worker/http_service.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/time.h"
#include "proto/wire/limits.h"
#include "worker/identity.h"

#define ANSWER_BYTES_MAX 32768 /* the attributes are the only part that is not small */
#define HEADER_BYTES_MAX 512
#define KEEPALIVE_SECONDS 75

#define SERVICE_MAGIC 0x68747370u

struct hb_http_service {
    uint32_t magic;
    struct hb_http_service_config config;
    struct hb_behaviour *behaviour;
    struct lws_vhost *vhost;
    hb_mono_ms started_at;
    struct hb_http_counts counts;
    unsigned connections, connections_max;
    struct hb_buf body; /* of the answer being made */
    struct hb_buf out;  /* header and body, after LWS_PRE bytes */
};

enum route { ROUTE_ROOT, ROUTE_PING, ROUTE_HEALTH };

/* lws keeps one per connection, and does not clear it between requests. */
struct request {
    enum route route;
    bool head;
};

/* --- answers ----------------------------------------------------------------------------------------------------- */

static enum route route_of(const char *path, size_t len)
{
    struct hb_text text = {path, len};
    if (hb_text_equal(text, HB_TEXT("/ping")))
        return ROUTE_PING;
    if (hb_text_equal(text, HB_TEXT("/health")))
        return ROUTE_HEALTH;
    return ROUTE_ROOT;
}

static void append_member(struct hb_buf *body, const char *key, const char *value)
{
    hb_buf_printf(body, "\"%s\":", key);
    hb_buf_append_json(body, hb_text_of(value));
    hb_buf_append_char(body, ',');
}

static void append_root(const struct hb_http_service *service, struct hb_buf *body)
{
    char message[sizeof "Hello from " + HB_NAME_MAX];
    snprintf(message, sizeof message, "Hello from %s", service->config.worker_name);
    hb_buf_append_char(body, '{');
    append_member(body, "message", message);
    append_member(body, "worker_id", service->config.worker_id);
    append_member(body, "worker_name", service->config.worker_name);
    hb_buf_append_str(body, "\"status\":\"running\"}");
}

static void append_health(const struct hb_http_service *service, struct hb_buf *body, bool healthy, hb_mono_ms now)
{
    struct hb_http_counts counts = service->counts;
    double rate = counts.requests > 0 ? (double)counts.errors / (double)counts.requests : 0;
    hb_buf_append_char(body, '{');
    append_member(body, "status", healthy ? "healthy" : "unhealthy");
    append_member(body, "worker_id", service->config.worker_id);
    append_member(body, "worker_name", service->config.worker_name);
    hb_buf_append_str(body, "\"uptime\":");
    hb_buf_append_seconds(body, hb_mono_between(service->started_at, now));
    hb_buf_printf(body, ",\"request_count\":%lld,\"error_count\":%lld,\"error_rate\":%.4f,\"attributes\":",
                  (long long)counts.requests, (long long)counts.errors, rate);
    hb_buf_append_str(body, service->config.attributes_json);
    hb_buf_append_char(body, '}');
}

static void count_played_failures(struct hb_http_service *service, hb_mono_ms now)
{
    int64_t failures = hb_behaviour_new_failures(service->behaviour, now);
    service->counts.requests += failures;
    service->counts.errors += failures;
}

struct hb_http_counts hb_http_service_counts(struct hb_http_service *service)
{
    count_played_failures(service, hb_mono_now());
    return service->counts;
}

/* Header lines that only refusals have. */
struct extra {
    const char *allow; /* or NULL */
    bool close;
};

static bool append_header(struct lws *wsi, unsigned status, const char *type, size_t body_len, struct extra extra,
                          struct hb_buf *out)
{
    unsigned char bytes[HEADER_BYTES_MAX];
    unsigned char *at = bytes, *end = bytes + sizeof bytes;
    if (lws_add_http_common_headers(wsi, status, type, body_len, &at, end))
        return false;
    if (extra.allow != NULL &&
        lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_ALLOW, (const unsigned char *)extra.allow,
                                     (int)strlen(extra.allow), &at, end))
        return false;
    if (extra.close &&
        lws_add_http_header_by_token(wsi, WSI_TOKEN_CONNECTION, (const unsigned char *)"close", 5, &at, end))
        return false;
    if (lws_finalize_http_header(wsi, &at, end))
        return false;
    hb_buf_append(out, bytes, (size_t)(at - bytes));
    return true;
}

/* Sends service->body. Returns what the lws callback must return. */
static int send_answer(struct hb_http_service *service, struct lws *wsi, unsigned status, const char *type, bool head,
                       struct extra extra)
{
    static const char pre[LWS_PRE];
    struct hb_buf *out = &service->out;
    service->counts.requests++;
    if (status >= 400)
        service->counts.errors++;
    hb_buf_clear(out);
    hb_buf_append(out, pre, sizeof pre);
    if (!append_header(wsi, status, type, service->body.len, extra, out))
        return -1;
    if (!head)
        hb_buf_append(out, service->body.bytes, service->body.len);
    if (hb_buf_status(&service->body) != HB_OK || hb_buf_status(out) != HB_OK)
        return -1;
    size_t len = out->len - sizeof pre;
    if (lws_write(wsi, (unsigned char *)out->bytes + sizeof pre, len, LWS_WRITE_HTTP_HEADERS) < (int)len)
        return -1;
    return extra.close || lws_http_transaction_completed(wsi) ? -1 : 0;
}

static int answer(struct hb_http_service *service, struct lws *wsi, const struct request *request)
{
    static const char json[] = "application/json";
    hb_mono_ms now = hb_mono_now();
    struct hb_buf *body = &service->body;
    struct extra none = {0};
    hb_buf_clear(body);
    count_played_failures(service, now);
    switch (request->route) {
    case ROUTE_PING:
        hb_buf_append_str(body, "pong");
        return send_answer(service, wsi, 200, "text/plain; charset=utf-8", request->head, none);
    case ROUTE_HEALTH: {
        bool healthy = hb_behaviour_healthy(service->behaviour, now, hb_identity_random());
        append_health(service, body, healthy, now);
        return send_answer(service, wsi, healthy ? 200 : 503, json, request->head, none);
    }
    case ROUTE_ROOT:
        break;
    }
    append_root(service, body);
    return send_answer(service, wsi, 200, json, request->head, none);
}

static int refuse(struct hb_http_service *service, struct lws *wsi, unsigned status, const char *allow,
                  const char *sentence)
{
    hb_buf_clear(&service->body);
    hb_buf_append_str(&service->body, "{\"status\":\"error\",\"error\":");
    hb_buf_append_json(&service->body, hb_text_of(sentence));
    hb_buf_append_char(&service->body, '}');
    return send_answer(service, wsi, status, "application/json", false, (struct extra){.allow = allow, .close = true});
}

/* --- requests ---------------------------------------------------------------------------------------------------- */

static bool announces_body(struct lws *wsi)
{
    char length[4];
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0)
        return true;
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) <= 0)
        return false;
    return lws_hdr_copy(wsi, length, sizeof length, WSI_TOKEN_HTTP_CONTENT_LENGTH) != 1 || length[0] != '0';
}

static int on_request(struct hb_http_service *service, struct lws *wsi, struct request *request, const char *path,
                      size_t path_len)
{
    bool get = lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) > 0;
    bool head = lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0;
    if (!get && !head)
        return refuse(service, wsi, 405, "GET, HEAD", "This method is not allowed here; use GET or HEAD.");
    if (announces_body(wsi))
        return refuse(service, wsi, 400, NULL, "A GET or HEAD request must not have a body.");
    *request = (struct request){.route = route_of(path, path_len), .head = head};
    int64_t delay_ms = request->route == ROUTE_PING ? 0 : hb_behaviour_answer_delay_ms(service->behaviour);
    if (delay_ms == 0)
        return answer(service, wsi, request);
    lws_set_timer_usecs(wsi, delay_ms * 1000);
    return 0;
}

static int on_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct lws_vhost *vhost = wsi != NULL ? lws_get_vhost(wsi) : NULL;
    struct hb_http_service *service = vhost != NULL ? lws_get_vhost_user(vhost) : NULL;
    if (service == NULL || service->magic != SERVICE_MAGIC)
        return 0;
    switch (reason) {
    case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
        return service->connections >= service->connections_max ? 1 : 0;
    case LWS_CALLBACK_WSI_CREATE:
        service->connections++;
        return 0;
    case LWS_CALLBACK_WSI_DESTROY: /* also said of the listening socket, which was never counted */
        service->connections -= service->connections > 0 ? 1 : 0;
        return 0;
    /*
     * Nothing can be upgraded to. In 4.1.6 `in` may be freed memory here (an unknown upgrade on a connection that was
     * kept alive), so it is not looked at.
     */
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
    case LWS_CALLBACK_RAW_ADOPT: /* CONNECT would make it raw, and never time out */
    case LWS_CALLBACK_RAW_RX:
        return -1;
    case LWS_CALLBACK_HTTP:
        return on_request(service, wsi, user, in, len);
    case LWS_CALLBACK_TIMER:
        return answer(service, wsi, user);
    case LWS_CALLBACK_HTTP_BODY: /* was refused before */
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return -1;
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[] = {
    {.name = "http",
     .callback = on_callback,
     .per_session_data_size = sizeof(struct request),
     .rx_buffer_size = 512,
     .tx_packet_size = 65536},
    {.name = NULL},
};

/* --- listening --------------------------------------------------------------------------------------------------- */

/*
 * Binds and closes again, because lws says neither why it cannot listen nor that there is no IPv6. Returns 0 or errno.
 */
static int try_to_bind(const char *host, int port)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    bool is_six = inet_pton(AF_INET6, host, &six.sin6_addr) == 1;
    if (!is_six && inet_pton(AF_INET, host, &four.sin_addr) != 1)
        return EINVAL;
    const struct sockaddr *address = is_six ? (const struct sockaddr *)&six : (const struct sockaddr *)&four;
    socklen_t size = is_six ? sizeof six : sizeof four;
    int yes = 1, failure = 0;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 || bind(fd, address, size) != 0 ||
        listen(fd, 1) != 0)
        failure = errno;
    close(fd);
    return failure;
}

static bool lacks_ipv6(int failure)
{
    return failure == EAFNOSUPPORT || failure == EADDRNOTAVAIL;
}

static bool listen_on(struct hb_http_service *service, struct hb_lws_host *host, const char *bind_host, int port)
{
    struct lws_context_creation_info info;
    memset(&info, 0, sizeof info);
    info.vhost_name = "worker";
    info.port = port;
    info.iface = strcmp(bind_host, "::") == 0 || strcmp(bind_host, "0.0.0.0") == 0 ? NULL : bind_host;
    info.protocols = protocols;
    info.user = service;
    info.keepalive_timeout = KEEPALIVE_SECONDS;
    info.ka_time = 60;
    info.ka_interval = 10;
    info.ka_probes = 3;
    if (strchr(bind_host, ':') == NULL)
        info.options |= LWS_SERVER_OPTION_DISABLE_IPV6;
    service->vhost = lws_create_vhost(host->context, &info);
    return service->vhost != NULL;
}

enum hb_err hb_http_service_open(struct hb_lws_host *host, const struct hb_http_service_config *config,
                                 struct hb_behaviour *behaviour, struct hb_http_service **ret_service,
                                 const char **ret_reason)
{
    const char *bind_host = config->bind_host;
    int failure = try_to_bind(bind_host, config->port);
    if (lacks_ipv6(failure) && strcmp(bind_host, "::") == 0) {
        bind_host = "0.0.0.0";
        failure = try_to_bind(bind_host, config->port);
    }
    if (failure != 0) {
        *ret_reason = strerror(failure);
        return HB_ERR_IO;
    }
    struct hb_http_service *service = calloc(1, sizeof *service);
    if (service == NULL)
        return HB_ERR_NO_MEMORY;
    service->magic = SERVICE_MAGIC;
    service->config = *config;
    service->behaviour = behaviour;
    service->started_at = hb_mono_now();
    service->connections_max = host->connections_max;
    hb_buf_init(&service->body, ANSWER_BYTES_MAX);
    hb_buf_init(&service->out, LWS_PRE + HEADER_BYTES_MAX + ANSWER_BYTES_MAX);
    if (!listen_on(service, host, bind_host, config->port)) {
        *ret_reason = "libwebsockets cannot listen there";
        hb_http_service_free(service);
        return HB_ERR_IO;
    }
    *ret_service = service;
    return HB_OK;
}

void hb_http_service_free(struct hb_http_service *service)
{
    if (service == NULL)
        return;
    hb_buf_free(&service->body);
    hb_buf_free(&service->out);
    service->magic = 0;
    free(service);
}
