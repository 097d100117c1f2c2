#include "proto/wire/health_probe.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/time.h"

#define PROBE_MS 1000

static bool wait_until(int fd, short events, hb_mono_ms deadline)
{
    int64_t left_ms = hb_mono_between(hb_mono_now(), deadline);
    struct pollfd pollfd = {.fd = fd, .events = events};
    return left_ms > 0 && poll(&pollfd, 1, (int)left_ms) == 1;
}

/* The socket does not block, so that one deadline holds for connecting, writing and reading together. */
static int connect_until(const struct addrinfo *address, hb_mono_ms deadline)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int failure = connect(fd, address->ai_addr, address->ai_addrlen) == 0 ? 0 : errno;
    if (failure == EINPROGRESS && wait_until(fd, POLLOUT, deadline)) {
        socklen_t size = sizeof failure;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size) != 0)
            failure = errno;
    }
    if (failure == 0)
        return fd;
    close(fd);
    return -1;
}

static bool answers_200(int fd, const char *path, hb_mono_ms deadline)
{
    char request[128];
    int request_len =
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    char status[sizeof "HTTP/1.1 200"] = "";
    size_t have = 0;
    if (send(fd, request, (size_t)request_len, MSG_NOSIGNAL) != request_len)
        return false;
    while (have < sizeof status - 1) {
        if (!wait_until(fd, POLLIN, deadline))
            return false;
        ssize_t got = recv(fd, status + have, sizeof status - 1 - have, 0);
        if (got <= 0)
            return false;
        have += (size_t)got;
    }
    return strcmp(status, "HTTP/1.1 200") == 0;
}

static bool probe_address(const struct addrinfo *address, const char *path, hb_mono_ms deadline)
{
    int fd = connect_until(address, deadline);
    if (fd < 0)
        return false;
    bool well = answers_200(fd, path, deadline);
    close(fd);
    return well;
}

static bool probe_host(const char *host, const char *port, const char *path, hb_mono_ms deadline)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    if (getaddrinfo(host, port, &hints, &list) != 0)
        return false;
    bool well = false;
    for (const struct addrinfo *at = list; at != NULL && !well; at = at->ai_next)
        well = probe_address(at, path, deadline);
    freeaddrinfo(list);
    return well;
}

bool hb_health_probe(const char *bind_host, int64_t port, const char *path)
{
    hb_mono_ms deadline = hb_mono_add(hb_mono_now(), PROBE_MS);
    char port_text[8];
    snprintf(port_text, sizeof port_text, "%u", (unsigned)(uint16_t)port);
    bool wildcard = strcmp(bind_host, "::") == 0 || strcmp(bind_host, "0.0.0.0") == 0;
    if (!wildcard)
        return probe_host(bind_host, port_text, path, deadline);
    return probe_host("127.0.0.1", port_text, path, deadline) || probe_host("::1", port_text, path, deadline);
}
