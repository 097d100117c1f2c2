#include "tests/fuzz/fake_lws.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "tests/fuzz/fake_clock.h"
#include "tests/fuzz/fuzz.h"

static struct lws *connections[FAKE_CONNECTIONS]; /* by descriptor */

struct lws *fake_lws_new(unsigned number)
{
    struct lws *wsi = fuzz_alloc(1, sizeof *wsi);

    wsi->number = number;
    wsi->timer_at_ms = wsi->timeout_at_ms = INT64_MAX;
    wsi->close_code = -1;
    wsi->keeps = true;
    hb_buf_init(&wsi->out, FAKE_OUT_MAX);
    connections[number] = wsi;
    return wsi;
}

void fake_lws_free(struct lws *wsi)
{
    connections[wsi->number] = NULL;
    fake_lws_clear_headers(wsi);
    hb_buf_free(&wsi->out);
    free(wsi);
}

/* ---- headers ---- */

void fake_lws_clear_headers(struct lws *wsi)
{
    while (wsi->header_count > 0)
        free(wsi->headers[--wsi->header_count].value);
}

void fake_lws_add_header(struct lws *wsi, enum lws_token_indexes token, struct hb_text value)
{
    if (wsi->header_count == FAKE_HEADERS_MAX)
        return;
    wsi->headers[wsi->header_count].token = token;
    wsi->headers[wsi->header_count].len = value.len;
    wsi->headers[wsi->header_count].value = fuzz_alloc(value.len + 1, 1);
    if (value.len > 0)
        memcpy(wsi->headers[wsi->header_count].value, value.bytes, value.len);
    wsi->header_count++;
}

int fake_lws_token(struct hb_text name)
{
    static const struct {
        const char *name;
        enum lws_token_indexes token;
    } names[] = {
        {"Host", WSI_TOKEN_HOST},
        {"Connection", WSI_TOKEN_CONNECTION},
        {"Origin", WSI_TOKEN_ORIGIN},
        {"Accept", WSI_TOKEN_HTTP_ACCEPT},
        {"Accept-Encoding", WSI_TOKEN_HTTP_ACCEPT_ENCODING},
        {"If-None-Match", WSI_TOKEN_HTTP_IF_NONE_MATCH},
        {"Content-Length", WSI_TOKEN_HTTP_CONTENT_LENGTH},
        {"Content-Type", WSI_TOKEN_HTTP_CONTENT_TYPE},
        {"Transfer-Encoding", WSI_TOKEN_HTTP_TRANSFER_ENCODING},
        {"Sec-Fetch-Site", FAKE_TOKEN_SEC_FETCH_SITE},
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i].name) == name.len && strncasecmp(names[i].name, name.bytes, name.len) == 0)
            return (int)names[i].token;
    }
    return -1;
}

/* The place of a token's fragment; header_count when there is none. */
static size_t fragment(const struct lws *wsi, enum lws_token_indexes token, int index)
{
    size_t i = 0;

    for (; i < wsi->header_count; i++) {
        if (wsi->headers[i].token == token && index-- == 0)
            break;
    }
    return i;
}

int lws_hdr_total_length(struct lws *wsi, enum lws_token_indexes token)
{
    size_t total = 0;

    for (size_t i = 0; i < wsi->header_count; i++) {
        if (wsi->headers[i].token == token)
            total += wsi->headers[i].len + (total > 0 ? 1 : 0);
    }
    return (int)total;
}

int lws_hdr_fragment_length(struct lws *wsi, enum lws_token_indexes token, int index)
{
    size_t place = fragment(wsi, token, index);

    return place < wsi->header_count ? (int)wsi->headers[place].len : 0;
}

/* Fragments joined: parameters by &, all others by a comma. */
int lws_hdr_copy(struct lws *wsi, char *out, int size, enum lws_token_indexes token)
{
    int total = lws_hdr_total_length(wsi, token);
    char *to = out;

    *out = '\0';
    if (total == 0)
        return 0;
    if (total >= size)
        return -1;
    for (size_t i = 0; i < wsi->header_count; i++) {
        if (wsi->headers[i].token != token)
            continue;
        if (to > out)
            *to++ = token == WSI_TOKEN_HTTP_URI_ARGS ? '&' : ',';
        memcpy(to, wsi->headers[i].value, wsi->headers[i].len);
        to += wsi->headers[i].len;
    }
    *to = '\0';
    return total;
}

int lws_hdr_copy_fragment(struct lws *wsi, char *out, int size, enum lws_token_indexes token, int index)
{
    size_t place = fragment(wsi, token, index);

    if (place == wsi->header_count || wsi->headers[place].len >= (size_t)size)
        return -1;
    memcpy(out, wsi->headers[place].value, wsi->headers[place].len + 1);
    return (int)wsi->headers[place].len;
}

int lws_hdr_custom_copy(struct lws *wsi, char *out, int size, const char *name, int name_len)
{
    FUZZ_CHECK(hb_text_equal((struct hb_text){name, (size_t)name_len}, HB_TEXT("sec-fetch-site:")), "header %s", name);
    return lws_hdr_copy_fragment(wsi, out, size, FAKE_TOKEN_SEC_FETCH_SITE, 0);
}

/* ---- writing ---- */

int lws_callback_on_writable(struct lws *wsi)
{
    wsi->wants_write = true;
    return 1;
}

int lws_write(struct lws *wsi, unsigned char *bytes, size_t len, enum lws_write_protocol protocol)
{
    (void)protocol;
    memset(bytes - LWS_PRE, 0xee, LWS_PRE); /* as the library does: the room in front is its own */
    wsi->writes++;
    if (wsi->write_fails)
        return -1;
    hb_buf_append(&wsi->out, bytes, len);
    return (int)len;
}

int lws_rx_flow_control(struct lws *wsi, int enable)
{
    wsi->input_held = (enable & 1) == 0;
    return 0;
}

int lws_http_transaction_completed(struct lws *wsi)
{
    wsi->completed++;
    return wsi->keeps ? 0 : 1;
}

/* ---- time ---- */

void lws_set_timer_usecs(struct lws *wsi, lws_usec_t us)
{
    wsi->timer_at_ms = us < 0 ? INT64_MAX : fake_now.mono.ms + (us + 999) / 1000;
}

void lws_set_timeout(struct lws *wsi, enum pending_timeout reason, int seconds)
{
    (void)reason;
    if (seconds == LWS_TO_KILL_SYNC)
        wsi->kill = true;
    else
        wsi->timeout_at_ms = seconds == 0 ? INT64_MAX : fake_now.mono.ms + (int64_t)seconds * 1000;
}

/* ---- the connection itself ---- */

lws_sockfd_type lws_get_socket_fd(struct lws *wsi)
{
    return FAKE_FD_BASE + (int)wsi->number;
}

void lws_set_opaque_user_data(struct lws *wsi, void *data)
{
    wsi->opaque = data;
}

void *lws_get_opaque_user_data(const struct lws *wsi)
{
    return wsi->opaque;
}

/* ---- WebSocket ---- */

void lws_close_reason(struct lws *wsi, enum lws_close_status status, unsigned char *reason, size_t len)
{
    FUZZ_CHECK(len <= 123, "a close reason of %zu bytes", len);
    wsi->close_code = (int)status;
    wsi->close_reason_len = len;
    if (len > 0)
        memcpy(wsi->close_reason, reason, len);
}

int lws_is_final_fragment(struct lws *wsi)
{
    return wsi->frame_left == 0 && wsi->final;
}

size_t lws_remaining_packet_payload(struct lws *wsi)
{
    return wsi->frame_left;
}

int lws_frame_is_binary(struct lws *wsi)
{
    return wsi->binary;
}

/* ---- the kernel ---- */

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_getpeername(int fd, struct sockaddr *address, socklen_t *size);

static struct lws *of_descriptor(int fd)
{
    FUZZ_CHECK(fd >= FAKE_FD_BASE && fd < FAKE_FD_BASE + FAKE_CONNECTIONS && connections[fd - FAKE_FD_BASE] != NULL,
               "descriptor %d of no connection", fd);
    return connections[fd - FAKE_FD_BASE];
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    struct tcp_info info = {.tcpi_bytes_received = of_descriptor(fd)->received};

    FUZZ_CHECK(level == IPPROTO_TCP && name == TCP_INFO && *size >= sizeof info, "getsockopt %d", name);
    memcpy(value, &info, sizeof info);
    return 0;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;

    FUZZ_CHECK(request == FIONREAD, "ioctl %lu", request);
    va_start(arguments, request);
    *va_arg(arguments, int *) = of_descriptor(fd)->unread;
    va_end(arguments);
    return 0;
}

/* One kind of address for each connection: IPv4, IPv4 in IPv6 clothes, IPv6, link-local, and none any more. */
int __wrap_getpeername(int fd, struct sockaddr *address, socklen_t *size)
{
    static const char *const texts[] = {NULL, "::ffff:10.0.0.3", "2001:db8::1", "fe80::1"};
    unsigned kind = of_descriptor(fd)->number % 5;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    FUZZ_CHECK(*size >= sizeof v6, "room for %u bytes of address", (unsigned)*size);
    if (kind == 4)
        return -1;
    if (kind == 0) {
        v4.sin_addr.s_addr = htonl(0x0a000001);
        memcpy(address, &v4, sizeof v4);
        return 0;
    }
    FUZZ_CHECK(inet_pton(AF_INET6, texts[kind], &v6.sin6_addr) == 1, "address");
    memcpy(address, &v6, sizeof v6);
    return 0;
}
