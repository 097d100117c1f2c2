#include "tests/bench/ws_register.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/ws_peer.h"

#define CONNECTIONS 32
#define STALL_MS 10000

struct registrar {
    const char *id_prefix;
    uint32_t count, next, answered;
    int epfd;
    int fds[CONNECTIONS];
    char *refusal;
    size_t refusal_size;
};

static bool send_next(struct registrar *registrar, int fd)
{
    char body[512], request[1024];
    uint32_t index = registrar->next++;
    int body_len = snprintf(body, sizeof(body),
                            "{\"worker_id\":\"%s-%u\",\"worker_name\":\"Heartbeat ingest worker %05u\","
                            "\"host\":\"127.0.0.1\",\"port\":%u}",
                            registrar->id_prefix, index, index, 20000 + index % 40000);
    int len = snprintf(request, sizeof(request),
                       "POST /register HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                       "Content-Length: %d\r\n\r\n%s",
                       body_len, body);
    return send(fd, request, (size_t)len, MSG_NOSIGNAL) == len;
}

static bool on_readable(struct registrar *registrar, int fd)
{
    switch (hb_peer_read_response(fd, registrar->refusal, registrar->refusal_size)) {
    case HB_PEER_PENDING:
        return true;
    case HB_PEER_GOOD:
        registrar->answered++;
        return registrar->next >= registrar->count || send_next(registrar, fd);
    default:
        if (registrar->refusal[0] == '\0') {
            snprintf(registrar->refusal, registrar->refusal_size, "connection closed in answer to POST /register");
        }
        return false;
    }
}

/* The sockets connect without waiting; the first writability of each starts its chain of requests. */
static bool dial(struct registrar *registrar, const struct sockaddr_in *to, int *ret_fd)
{
    int fd = hb_peer_dial(to, 0);
    struct epoll_event event = {.events = EPOLLOUT, .data.fd = fd};
    if (fd < 0) {
        return false;
    }
    *ret_fd = fd;
    return epoll_ctl(registrar->epfd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool on_event(struct registrar *registrar, const struct epoll_event *event)
{
    int fd = event->data.fd;
    if (!(event->events & EPOLLOUT)) {
        return on_readable(registrar, fd);
    }
    struct epoll_event readable = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(registrar->epfd, EPOLL_CTL_MOD, fd, &readable) == 0 &&
           (registrar->next >= registrar->count || send_next(registrar, fd));
}

static bool run(struct registrar *registrar)
{
    struct epoll_event events[CONNECTIONS];
    while (registrar->answered < registrar->count) {
        int ready = epoll_wait(registrar->epfd, events, CONNECTIONS, STALL_MS);
        if (ready <= 0) {
            snprintf(registrar->refusal, registrar->refusal_size, "no answer to POST /register for 10 s");
            return false;
        }
        for (int i = 0; i < ready; i++) {
            if (!on_event(registrar, &events[i])) {
                return false;
            }
        }
    }
    return true;
}

bool hb_register_all(const struct sockaddr_in *to, const char *id_prefix, uint32_t count, char *refusal,
                     size_t refusal_size)
{
    struct registrar registrar = {
        .id_prefix = id_prefix, .count = count, .refusal = refusal, .refusal_size = refusal_size};
    int opened = 0;
    bool good = true;
    registrar.epfd = epoll_create1(EPOLL_CLOEXEC);
    memset(registrar.fds, -1, sizeof(registrar.fds));
    while (good && opened < CONNECTIONS) {
        good = dial(&registrar, to, &registrar.fds[opened++]);
    }
    good = good && run(&registrar);
    for (int i = 0; i < CONNECTIONS; i++) {
        if (registrar.fds[i] >= 0) {
            close(registrar.fds[i]);
        }
    }
    close(registrar.epfd);
    return good;
}
