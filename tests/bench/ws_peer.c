#include "tests/bench/ws_peer.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEEK_BYTES 16384
#define FRAME_BYTES_MAX 4096

/* The key and its answer are RFC 6455's own example (section 1.3): verifying it needs no SHA-1. */
#define UPGRADE_KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define UPGRADE_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

enum { OP_TEXT = 1, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

int hb_peer_dial(const struct sockaddr_in *to, in_addr_t source)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0) {
        return -1;
    }
    int on = 1;
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    if (source != 0) {
        struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = source};
        (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
        if (bind(fd, (struct sockaddr *)&from, sizeof(from)) != 0) {
            close(fd);
            return -1;
        }
    }
    if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) != 0 && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

bool hb_peer_send_upgrade(int fd, const char *host, const char *path)
{
    char head[512];
    int len = snprintf(head, sizeof(head),
                       "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Key: " UPGRADE_KEY "\r\nSec-WebSocket-Version: 13\r\n\r\n",
                       path, host);
    return len > 0 && (size_t)len < sizeof(head) && send(fd, head, (size_t)len, MSG_NOSIGNAL) == len;
}

/* Peeks; *ret_len is set when there are bytes. The end of the stream is BAD. */
static enum hb_peer_answer peek(int fd, char *bytes, size_t size, size_t *ret_len)
{
    ssize_t got = recv(fd, bytes, size, MSG_PEEK);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return HB_PEER_PENDING;
    }
    if (got <= 0) {
        return HB_PEER_BAD;
    }
    *ret_len = (size_t)got;
    return HB_PEER_GOOD;
}

static bool consume(int fd, size_t len)
{
    char bytes[PEEK_BYTES];
    return recv(fd, bytes, len, 0) == (ssize_t)len;
}

/* A whole HTTP head, NUL-terminated in head[0..*ret_len], is at the front of the stream; more bytes may follow it. */
static enum hb_peer_answer peek_head(int fd, char head[PEEK_BYTES], size_t *ret_len, size_t *ret_available)
{
    size_t len = 0;
    enum hb_peer_answer answer = peek(fd, head, PEEK_BYTES - 1, &len);
    if (answer != HB_PEER_GOOD) {
        return answer;
    }
    char *end = memmem(head, len, "\r\n\r\n", 4);
    if (!end) {
        return len < PEEK_BYTES - 1 ? HB_PEER_PENDING : HB_PEER_BAD;
    }
    end[3] = '\0'; /* the last line feed: what is before it is still a text of whole lines */
    *ret_len = (size_t)(end + 4 - head);
    *ret_available = len;
    return HB_PEER_GOOD;
}

static void keep_first_line(const char *head, char *refusal, size_t refusal_size)
{
    if (refusal && refusal[0] == '\0') {
        snprintf(refusal, refusal_size, "%.*s", (int)strcspn(head, "\r\n\"\\"), head);
    }
}

enum hb_peer_answer hb_peer_read_upgrade(int fd, char *refusal, size_t refusal_size)
{
    char head[PEEK_BYTES];
    size_t len, available;
    enum hb_peer_answer answer = peek_head(fd, head, &len, &available);
    if (answer != HB_PEER_GOOD) {
        return answer;
    }
    if (strncmp(head, "HTTP/1.1 101", 12) != 0 || !strstr(head, UPGRADE_ACCEPT)) {
        keep_first_line(head, refusal, refusal_size);
        return HB_PEER_BAD;
    }
    return consume(fd, len) ? HB_PEER_GOOD : HB_PEER_BAD;
}

enum hb_peer_answer hb_peer_read_response(int fd, char *refusal, size_t refusal_size)
{
    char head[PEEK_BYTES];
    size_t len, available;
    enum hb_peer_answer answer = peek_head(fd, head, &len, &available);
    if (answer != HB_PEER_GOOD) {
        return answer;
    }
    const char *length_line = strcasestr(head, "\r\ncontent-length:");
    if (strncmp(head, "HTTP/1.1 2", 10) != 0 || !length_line) {
        keep_first_line(head, refusal, refusal_size);
        return HB_PEER_BAD;
    }
    len += strtoul(length_line + sizeof("\r\ncontent-length:") - 1, NULL, 10);
    if (len > available) {
        return len < PEEK_BYTES ? HB_PEER_PENDING : HB_PEER_BAD;
    }
    return consume(fd, len) ? HB_PEER_GOOD : HB_PEER_BAD;
}

static size_t frame_put(unsigned char *frame, int opcode, const char *payload, size_t len, uint32_t mask)
{
    size_t at = 0;
    unsigned char key[4];
    memcpy(key, &mask, sizeof(key));
    frame[at++] = (unsigned char)(0x80 | opcode);
    if (len < 126) {
        frame[at++] = (unsigned char)(0x80 | len);
    } else {
        frame[at++] = 0x80 | 126;
        frame[at++] = (unsigned char)(len >> 8);
        frame[at++] = (unsigned char)len;
    }
    memcpy(frame + at, key, sizeof(key));
    at += sizeof(key);
    for (size_t i = 0; i < len; i++) {
        frame[at + i] = (unsigned char)payload[i] ^ key[i & 3];
    }
    return at + len;
}

/* A frame that fits in part would break the stream, so its rest is waited for; that is rare enough to block on. */
static enum hb_peer_sent send_whole(int fd, const unsigned char *bytes, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t sent = send(fd, bytes + done, len - done, MSG_NOSIGNAL);
        if (sent >= 0) {
            done += (size_t)sent;
        } else if (errno == EAGAIN && done == 0) {
            return HB_PEER_BACKLOG;
        } else if (errno == EAGAIN) {
            struct pollfd writable = {.fd = fd, .events = POLLOUT};
            (void)poll(&writable, 1, 1000);
        } else if (errno != EINTR) {
            return HB_PEER_BROKEN;
        }
    }
    return HB_PEER_SENT;
}

enum hb_peer_sent hb_peer_send_text(int fd, const char *text, size_t len, uint32_t mask)
{
    unsigned char frame[FRAME_BYTES_MAX + 8];
    if (len > FRAME_BYTES_MAX) {
        return HB_PEER_BROKEN;
    }
    return send_whole(fd, frame, frame_put(frame, OP_TEXT, text, len, mask));
}

static void tally_text(struct hb_peer_tally *tally, const unsigned char *payload, size_t len)
{
    if (tally->errors++ > 0) {
        return;
    }
    size_t kept = len < sizeof(tally->first_error) - 1 ? len : sizeof(tally->first_error) - 1;
    for (size_t i = 0; i < kept; i++) {
        bool plain = isprint(payload[i]) && payload[i] != '"' && payload[i] != '\\';
        tally->first_error[i] = (char)(plain ? payload[i] : '\'');
    }
    tally->first_error[kept] = '\0';
}

/* False ends the peer. */
static bool frame_take(int fd, int opcode, const unsigned char *payload, size_t len, struct hb_peer_tally *tally)
{
    unsigned char pong[8 + 125];
    switch (opcode) {
    case OP_TEXT:
        tally_text(tally, payload, len);
        return true;
    case OP_PING:
        tally->pings++;
        return len <= 125 &&
               send_whole(fd, pong, frame_put(pong, OP_PONG, (const char *)payload, len, 0)) != HB_PEER_BROKEN;
    case OP_CLOSE:
        if (tally->first_close == 0 && len >= 2) {
            tally->first_close = (uint16_t)(payload[0] << 8 | payload[1]);
        }
        return false;
    default:
        return true;
    }
}

/* How many bytes the frame at the front takes, 0 when that cannot be told yet. Server frames carry no mask. */
static size_t frame_extent(const unsigned char *bytes, size_t available, size_t *ret_head)
{
    if (available < 2) {
        return 0;
    }
    size_t len = bytes[1] & 127;
    *ret_head = len == 126 ? 4 : len == 127 ? 10 : 2;
    if (available < *ret_head) {
        return 0;
    }
    if (len == 126) {
        len = (size_t)bytes[2] << 8 | bytes[3];
    } else if (len == 127) {
        return SIZE_MAX; /* nothing that long is ever sent to a worker */
    }
    return *ret_head + len;
}

bool hb_peer_receive(int fd, struct hb_peer_tally *tally)
{
    unsigned char bytes[PEEK_BYTES];
    size_t available = 0, at = 0;
    enum hb_peer_answer answer = peek(fd, (char *)bytes, sizeof(bytes), &available);
    bool alive = answer != HB_PEER_BAD;
    while (alive && answer == HB_PEER_GOOD) {
        size_t head = 0;
        size_t extent = frame_extent(bytes + at, available - at, &head);
        if (extent > sizeof(bytes)) {
            alive = false;
        } else if (extent == 0 || extent > available - at) {
            break;
        } else {
            alive = frame_take(fd, bytes[at] & 15, bytes + at + head, extent - head, tally);
            at += extent;
        }
    }
    if (alive && at > 0) {
        alive = consume(fd, at);
    }
    tally->closes += !alive;
    return alive;
}
