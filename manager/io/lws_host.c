#include "manager/io/lws_host.h"

#include <arpa/inet.h>
#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "manager/io/ws_handshake.h"
#include "proto/base/log.h"
#include "proto/wire/names.h"

#define SESSION_MAGIC 0x68625753u /* every pointer that comes back from the library is checked */
#define FDS_KEPT 512              /* descriptors left for everything that is not a client */
#define FDS_MOST 1048576
#define HEADER_TIME_S 10
#define LIBRARY_TIME_S 15 /* longer than ours: whoever is late gets our answer first */
#define KEEPALIVE_TIME_S 60
#define CLOSING_LOOK_MS 10

/* What the library keeps per connection: an HTTP line, or a WebSocket session. */
struct connection {
    uint32_t magic;
    struct hb_http_line line;
    struct hb_ws_session session;
};

struct hb_lws_host {
    struct lws_context *context;
    struct hb_ws_endpoint *endpoint;
    const struct hb_exchange_handler *http;
    struct hb_lws_host_config config;
    struct lws_protocols protocols[2];
    void *loops[1];
    size_t connections;
    size_t connections_max;
    uv_timer_t closing; /* runs while peers may still answer our close frames */
    hb_mono_ms closing_until;
    bool full; /* said so already */
};

static struct hb_lws_host *host_of(struct lws *wsi)
{
    return lws_context_user(lws_get_context(wsi));
}

/* NULL when the connection has no memory of ours yet. */
static struct connection *connection_of(void *user)
{
    struct connection *connection = user;

    if (connection != NULL && connection->magic == 0)
        connection->magic = SESSION_MAGIC; /* fresh, zeroed by the library */
    return connection != NULL && connection->magic == SESSION_MAGIC ? connection : NULL;
}

/* ---- how many may connect ---- */

/* Nonzero refuses. Accepting until the descriptors run out would make the library spin on accept. */
static int filter_connection(struct hb_lws_host *host)
{
    if (host->connections < host->connections_max) {
        host->full = false;
        return 0;
    }
    if (!host->full)
        hb_log(HB_LOG_ERROR, "connections_full", HB_LI("limit", host->connections_max),
               HB_LS("rule", "the descriptor limit (ulimit -n) less what the manager itself needs"));
    host->full = true;
    return 1;
}

/* ---- the callback ---- */

static int established(struct hb_lws_host *host, struct lws *wsi, struct connection *connection)
{
    char text[256];
    struct hb_text id = hb_ws_handshake_id(wsi, text, sizeof text);

    if (id.bytes == NULL)
        id = (struct hb_text){"", 0};
    return hb_ws_established(host->endpoint, &connection->session, wsi, id);
}

/* For the reasons that come without a connection of ours. */
static int without_connection(struct hb_lws_host *host, struct lws *wsi, enum lws_callback_reasons reason)
{
    switch (reason) {
    case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
        return filter_connection(host);
    case LWS_CALLBACK_WSI_CREATE:
        host->connections++;
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        host->connections--;
        return 0;
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return hb_ws_handshake_confirm(wsi, host->config.allowed_origins);
    case LWS_CALLBACK_RAW_ADOPT: /* a method that the library does not know; CONNECT would be a tunnel for ever */
        hb_http_refuse(wsi, 405, "Allow: GET, HEAD, POST, DELETE\r\n",
                       "method: GET, HEAD, POST and DELETE are known here");
        return -1;
    case LWS_CALLBACK_RAW_RX:
        return -1;
    default:
        return 0;
    }
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct hb_lws_host *host = host_of(wsi);
    struct connection *connection;

    switch (reason) {
    case LWS_CALLBACK_HTTP:
    case LWS_CALLBACK_HTTP_BODY:
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
    case LWS_CALLBACK_HTTP_WRITEABLE:
    case LWS_CALLBACK_TIMER:
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_ESTABLISHED:
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
    case LWS_CALLBACK_CLOSED:
        break;
    default:
        return without_connection(host, wsi, reason);
    }

    connection = connection_of(user);
    if (connection == NULL)
        return 0;
    switch (reason) {
    case LWS_CALLBACK_HTTP:
        return hb_exchange_begin(&connection->line, wsi, host->http, (struct hb_text){in, len});
    case LWS_CALLBACK_HTTP_BODY:
        return hb_exchange_piece(connection->line.exchange, (struct hb_text){in, len});
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return hb_exchange_body_end(&connection->line);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return hb_exchange_writable(&connection->line);
    case LWS_CALLBACK_TIMER:
        return hb_exchange_timer(&connection->line);
    case LWS_CALLBACK_CLOSED_HTTP:
        hb_exchange_end(&connection->line);
        return 0;
    case LWS_CALLBACK_ESTABLISHED:
        return established(host, wsi, connection);
    case LWS_CALLBACK_RECEIVE:
        return hb_ws_received(host->endpoint, &connection->session, (struct hb_text){in, len});
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return hb_ws_writable(host->endpoint, &connection->session);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        hb_ws_peer_closing(&connection->session, in, len);
        return 0;
    default: /* LWS_CALLBACK_CLOSED */
        hb_exchange_end(&connection->line);
        hb_ws_closed(host->endpoint, &connection->session);
        return 0;
    }
}

/* ---- setting up ---- */

static void on_library_log(int level, const char *line)
{
    size_t len = strcspn(line, "\n");

    hb_log(level == LLL_ERR ? HB_LOG_WARN : HB_LOG_DEBUG, "lws", HB_LT("message", ((struct hb_text){line, len})));
}

/* An absurdly high limit, as containers may have, makes the library fall back to a small table: clamp it. */
static size_t limit_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    limit.rlim_cur = limit.rlim_max < FDS_MOST ? limit.rlim_max : FDS_MOST;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        hb_log(HB_LOG_WARN, "descriptor_limit", HB_LI("limit", limit.rlim_cur), HB_LS("cause", "cannot be set"));
    return limit.rlim_cur;
}

static bool have_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
    bool good = fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof any) == 0;

    if (fd >= 0)
        close(fd);
    return good;
}

static const lws_retry_bo_t no_pings; /* zeroed: no ping timer per connection */

static bool create_context(struct hb_lws_host *host)
{
    struct lws_context_creation_info info = {0};

    info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_VALIDATE_UTF8;
    info.foreign_loops = host->loops;
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.retry_and_idle_policy = &no_pings;
    info.fd_limit_per_thread = 0;
    info.max_http_header_data2 = 16384;
    info.timeout_secs = LIBRARY_TIME_S; /* read from the context only */
    info.timeout_secs_ah_idle = HEADER_TIME_S;
    info.user = host;
    info.gid = (gid_t)-1;
    info.uid = (uid_t)-1;
    host->context = lws_create_context(&info);
    return host->context != NULL;
}

static bool create_vhost(struct hb_lws_host *host)
{
    const struct hb_lws_host_config *config = &host->config;
    struct lws_context_creation_info info = {0};
    struct in_addr v4;
    bool everywhere = strcmp(config->bind_host, "::") == 0;
    bool v6 = everywhere ? have_ipv6() : inet_pton(AF_INET, config->bind_host, &v4) != 1;

    host->protocols[0] = (struct lws_protocols){
        .name = HB_WS_SUBPROTOCOL,
        .callback = callback,
        .per_session_data_size = sizeof(struct connection),
        .rx_buffer_size =
            320, /* a usual heartbeat fits, a longer one comes in pieces; zero would mean 4 KiB a socket */
        .tx_packet_size = 65536,
    };
    /* What is no HTTP falls to the raw role, and so to us, instead of to a page of the library's own. */
    info.options = LWS_SERVER_OPTION_VALIDATE_UTF8 | LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND |
                   LWS_SERVER_OPTION_FALLBACK_TO_APPLY_LISTEN_ACCEPT_CONFIG | (v6 ? 0 : LWS_SERVER_OPTION_DISABLE_IPV6);
    info.port = config->port;
    info.iface = everywhere ? NULL : config->bind_host;
    info.protocols = host->protocols;
    info.vhost_name = "manager";
    info.retry_and_idle_policy = &no_pings;
    info.keepalive_timeout = KEEPALIVE_TIME_S;
    info.ka_time = 60;
    info.ka_probes = 3;
    info.ka_interval = 10;
    return lws_create_vhost(host->context, &info) != NULL;
}

static void take_down(struct hb_lws_host *host)
{
    uv_close((uv_handle_t *)&host->closing, NULL);
    lws_context_destroy(host->context);
}

struct hb_lws_host *hb_lws_host_new(struct uv_loop_s *loop, const struct hb_lws_host_config *config,
                                    struct hb_ws_endpoint *endpoint, const struct hb_exchange_handler *http)
{
    struct hb_lws_host *host = calloc(1, sizeof *host);

    if (host == NULL)
        return NULL;
    host->config = *config;
    host->endpoint = endpoint;
    host->http = http;
    host->loops[0] = loop;
    uv_timer_init(loop, &host->closing);
    host->closing.data = host;
    return host;
}

enum hb_err hb_lws_host_listen(struct hb_lws_host *host)
{
    size_t limit = limit_descriptors();
    size_t kept = FDS_KEPT + host->config.descriptors_kept;

    host->connections_max = limit > 2 * kept ? limit - kept : limit / 2;
    lws_set_log_level(LLL_ERR | LLL_WARN, on_library_log);
    if (!create_context(host)) {
        hb_log(HB_LOG_ERROR, "lws_not_started",
               HB_LS("cause", "libwebsockets has no context; is the package libwebsockets-evlib-uv installed?"));
        return HB_ERR_IO;
    }
    if (!create_vhost(host)) {
        hb_log(HB_LOG_ERROR, "cannot_listen", HB_LS("host", host->config.bind_host), HB_LI("port", host->config.port),
               HB_LS("cause", "the address is in use or not of this machine (BIND_HOST, MANAGER_PORT)"));
        return HB_ERR_IO;
    }
    return HB_OK;
}

/* Before the close frames are out the context must not go: libwebsockets writes them when a socket is writable. */
static void on_closing(uv_timer_t *timer)
{
    struct hb_lws_host *host = timer->data;

    if (hb_ws_endpoint_count(host->endpoint) == 0 || hb_mono_now().ms >= host->closing_until.ms)
        take_down(host);
}

void hb_lws_host_stop(struct hb_lws_host *host)
{
    hb_ws_endpoint_stop(host->endpoint);
    host->closing_until = hb_mono_add(hb_mono_now(), HB_CLOSING_MS);
    uv_timer_start(&host->closing, on_closing, 0, CLOSING_LOOK_MS);
}

void hb_lws_host_free(struct hb_lws_host *host)
{
    if (host == NULL)
        return;
    lws_context_destroy(host->context);
    free(host);
}
