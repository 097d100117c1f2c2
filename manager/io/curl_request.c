#include "manager/io/curl_request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_SIZE 4096 /* answers are short, and each request under way has such a buffer */

/* ---- what an end means ---- */

/* libcurl 7.88 knows of a connection (CURLINFO_CONNECT_TIME_T) only after its TLS handshake: so on_close_socket looks.
 */
static enum hb_poll_outcome late_outcome(const struct hb_curl_request *request)
{
    curl_off_t resolved_us = 0;

    curl_easy_getinfo(request->easy, CURLINFO_NAMELOOKUP_TIME_T, &resolved_us);
    if (resolved_us == 0)
        return HB_POLL_UNRESOLVED;
    return request->connected ? HB_POLL_TIMED_OUT : HB_POLL_UNREACHABLE;
}

static enum hb_poll_outcome connect_outcome(const struct hb_curl_request *request)
{
    long error = 0;

    if (request->blocked && !request->connecting)
        return HB_POLL_BLOCKED;
    curl_easy_getinfo(request->easy, CURLINFO_OS_ERRNO, &error);
    return error == ECONNREFUSED ? HB_POLL_REFUSED : HB_POLL_UNREACHABLE;
}

static bool is_tls_fault(CURLcode code)
{
    static const CURLcode faults[] = {
        CURLE_SSL_CONNECT_ERROR,  CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CERTPROBLEM,       CURLE_SSL_CIPHER,
        CURLE_SSL_CACERT_BADFILE, CURLE_SSL_ISSUER_ERROR,         CURLE_SSL_INVALIDCERTSTATUS, CURLE_USE_SSL_FAILED,
    };

    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        if (faults[i] == code)
            return true;
    }
    return false;
}

/* libcurl is content with a head that ends in the middle when the connection ends there too. */
static enum hb_poll_outcome whole_outcome(const struct hb_curl_request *request)
{
    long status = 0; /* stays 0 where only a connection was wanted */

    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    return status == 0 || request->head_whole ? HB_POLL_ANSWERED : HB_POLL_BROKEN;
}

static enum hb_poll_outcome outcome_of(const struct hb_curl_request *request, CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return whole_outcome(request);
    case CURLE_WRITE_ERROR: /* we stopped it: the status is known, and the body too long to be read */
        return request->body_over ? HB_POLL_ANSWERED : HB_POLL_BROKEN;
    case CURLE_COULDNT_CONNECT:
        return connect_outcome(request);
    case CURLE_OPERATION_TIMEDOUT:
        return late_outcome(request);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_URL_MALFORMAT:
        return HB_POLL_UNRESOLVED;
    default: /* half an answer is BROKEN too: nobody can tell what the other half would have been */
        return is_tls_fault(code) ? HB_POLL_TLS_FAILED : HB_POLL_BROKEN;
    }
}

static bool is_ours(const struct hb_curl_request *request, CURLcode code)
{
    if (code == CURLE_OUT_OF_MEMORY || code == CURLE_FAILED_INIT)
        return true;
    if (code == CURLE_COULDNT_CONNECT && !request->connecting && request->socket_error != 0)
        return true;
    if (code == CURLE_COULDNT_RESOLVE_HOST && request->starved)
        return true;
    return request->stalled && code == CURLE_OPERATION_TIMEDOUT;
}

struct hb_curl_answer hb_curl_request_answer(const struct hb_curl_request *request, CURLcode code)
{
    struct hb_curl_answer answer = {.outcome = outcome_of(request, code), .ours = is_ours(request, code)};
    curl_off_t total_us = 0;
    long status = 0;

    curl_easy_getinfo(request->easy, CURLINFO_TOTAL_TIME_T, &total_us);
    answer.latency_us = total_us < UINT32_MAX ? (uint32_t)total_us : UINT32_MAX;
    if (answer.outcome != HB_POLL_ANSWERED)
        return answer;
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    answer.code = (uint16_t)status;
    if (!request->body_over)
        answer.body =
            request->body.bytes != NULL ? (struct hb_text){request->body.bytes, request->body.len} : HB_TEXT("");
    return answer;
}

/* ---- what libcurl asks in its course ---- */

/* The type is libcurl's. NOLINTNEXTLINE(readability-non-const-parameter) */
static size_t on_head(char *bytes, size_t size, size_t count, void *data)
{
    struct hb_curl_request *request = data;

    if (bytes[0] == '\r' || bytes[0] == '\n')
        request->head_whole = true;
    else if (count >= 5 && memcmp(bytes, "HTTP/", 5) == 0)
        request->head_whole = false; /* what came before was a 1xx; lines behind the body are trailers */
    request->head_len += size * count;
    return request->head_len <= HB_CURL_HEAD_MAX ? size * count : 0;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *data)
{
    struct hb_curl_request *request = data;

    hb_buf_append(&request->body, bytes, size * count);
    if (hb_buf_status(&request->body) == HB_OK)
        return size * count;
    request->body_over = true;
    return 0;
}

static curl_socket_t on_open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct hb_curl_request *request = data;
    const struct hb_curl_config *config = request->config;
    int fd;

    (void)purpose;
    if (!config->may_connect(config->self, &address->addr)) {
        request->blocked = true;
        return CURL_SOCKET_BAD;
    }
    fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol);
    /* A machine without IPv6 is nobody's fault: then the name's other addresses are tried. */
    if (fd < 0 && errno != EAFNOSUPPORT)
        request->socket_error = errno;
    else if (fd >= 0)
        request->connecting = true;
    return fd >= 0 ? fd : CURL_SOCKET_BAD;
}

static int on_close_socket(void *data, curl_socket_t fd)
{
    struct hb_curl_request *request = data;
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;

    if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0)
        request->connected = true;
    return close(fd);
}

/* ---- handles ---- */

/* What holds for every request that this handle will make. */
static bool set_up(struct hb_curl_request *request, struct curl_slist *headers)
{
    CURL *easy = request->easy;
    CURLcode bad = CURLE_OK;

#define SET(option, value) (bad = bad != CURLE_OK ? bad : curl_easy_setopt(easy, option, value))
    SET(CURLOPT_PRIVATE, request);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* else a resolver that hangs is waited for: the whole loop stood for 10 s */
    SET(CURLOPT_FRESH_CONNECT, 1L);
    SET(CURLOPT_FORBID_REUSE, 1L);
    SET(CURLOPT_DNS_CACHE_TIMEOUT, 0L); /* a container that comes back has another address; and looking through a
                                           long cache at each end costs more than resolving an address again */
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_CAPATH,
        NULL); /* the bundle alone is read once and kept (CURLOPT_CA_CACHE_TIMEOUT), folders never are */
    SET(CURLOPT_BUFFERSIZE, (long)RECEIVE_SIZE);
    SET(CURLOPT_USERAGENT, request->config->user_agent);
    SET(CURLOPT_HTTPHEADER, headers);
    SET(CURLOPT_HEADERFUNCTION, on_head);
    SET(CURLOPT_HEADERDATA, request);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, request);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    SET(CURLOPT_OPENSOCKETDATA, request);
    SET(CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    SET(CURLOPT_CLOSESOCKETDATA, request);
#undef SET
    return bad == CURLE_OK;
}

void hb_curl_request_free(struct hb_curl_request *request)
{
    curl_easy_cleanup(request->easy);
    hb_buf_free(&request->body);
    free(request);
}

struct hb_curl_request *hb_curl_request_new(const struct hb_curl_config *config, struct curl_slist *headers)
{
    struct hb_curl_request *request = calloc(1, sizeof *request);

    if (request == NULL)
        return NULL;
    request->config = config;
    request->overtime.place = HB_HEAP_OUTSIDE;
    hb_link_init(&request->link);
    hb_buf_init(&request->body, HB_CURL_BODY_MAX);
    request->easy = curl_easy_init();
    if (request->easy == NULL || !set_up(request, headers)) {
        hb_curl_request_free(request);
        return NULL;
    }
    return request;
}

bool hb_curl_request_aim(struct hb_curl_request *request, const char *url, int64_t timeout_ms)
{
    static const char tcp[] = "tcp://", http[] = "http://";
    bool connect_only = strncasecmp(url, tcp, sizeof tcp - 1) == 0;
    CURLcode bad = CURLE_OK;

    hb_buf_clear(&request->body);
    request->head_len = 0;
    request->socket_error = 0;
    request->blocked = request->connecting = request->connected = request->body_over = false;
    request->head_whole = request->starved = request->stalled = false;
    if (connect_only) {
        struct hb_buf as_http;

        hb_buf_init(&as_http, sizeof http + strlen(url));
        hb_buf_append_str(&as_http, http);
        hb_buf_append_str(&as_http, url + sizeof tcp - 1);
        bad = hb_buf_status(&as_http) == HB_OK ? curl_easy_setopt(request->easy, CURLOPT_URL, as_http.bytes)
                                               : CURLE_OUT_OF_MEMORY;
        hb_buf_free(&as_http);
    } else {
        bad = curl_easy_setopt(request->easy, CURLOPT_URL, url);
    }
    curl_easy_setopt(request->easy, CURLOPT_CONNECT_ONLY, connect_only ? 1L : 0L);
    curl_easy_setopt(request->easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(request->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)timeout_ms);
    return bad == CURLE_OK;
}
