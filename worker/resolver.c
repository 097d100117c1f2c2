#include "worker/resolver.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void hb_resolver_init(struct hb_resolver *resolver, uv_loop_t *loop, hb_resolver_done *done, void *owner)
{
    memset(resolver, 0, sizeof *resolver);
    resolver->loop = loop;
    resolver->done = done;
    resolver->owner = owner;
    resolver->request.data = resolver;
}

static socklen_t sockaddr_size(const struct sockaddr_storage *sockaddr)
{
    return sockaddr->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

static bool address_text(const struct sockaddr_storage *sockaddr, char text[HB_ADDRESS_TEXT_SIZE])
{
    return getnameinfo((const struct sockaddr *)sockaddr, sockaddr_size(sockaddr), text, HB_ADDRESS_TEXT_SIZE, NULL, 0,
                       NI_NUMERICHOST) == 0;
}

static void keep_addresses(struct hb_resolver *resolver, const struct addrinfo *list)
{
    resolver->count = 0;
    for (const struct addrinfo *at = list; at != NULL && resolver->count < HB_RESOLVER_ADDRESSES_MAX;
         at = at->ai_next) {
        struct hb_address *address = &resolver->addresses[resolver->count];
        if (at->ai_family != AF_INET && at->ai_family != AF_INET6)
            continue;
        memcpy(&address->sockaddr, at->ai_addr, at->ai_addrlen);
        if (address_text(&address->sockaddr, address->text))
            resolver->count++;
    }
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct hb_resolver *resolver = request->data;
    resolver->running = false;
    bool wanted = resolver->wanted;
    resolver->wanted = false;
    keep_addresses(resolver, status == 0 ? list : NULL);
    uv_freeaddrinfo(list);
    if (!wanted)
        return;
    const char *error = NULL;
    if (resolver->count == 0)
        error = status != 0 ? uv_strerror(status) : "no usable address";
    resolver->done(resolver->owner, resolver->addresses, resolver->count, error);
}

enum hb_err hb_resolver_start(struct hb_resolver *resolver, const char *host, int port)
{
    if (!resolver->running) {
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
        char service[8];
        snprintf(service, sizeof service, "%u", (unsigned)(uint16_t)port);
        if (uv_getaddrinfo(resolver->loop, &resolver->request, on_resolved, host, service, &hints) != 0)
            return HB_ERR_IO;
        resolver->running = true;
    }
    resolver->wanted = true;
    return HB_OK;
}

void hb_resolver_forget(struct hb_resolver *resolver)
{
    resolver->wanted = false;
}

bool hb_resolver_cancel(struct hb_resolver *resolver)
{
    resolver->wanted = false;
    return !resolver->running || uv_cancel((uv_req_t *)&resolver->request) == 0;
}

enum hb_err hb_address_local(const struct hb_address *towards, char ret_text[HB_ADDRESS_TEXT_SIZE])
{
    struct sockaddr_storage local = {0};
    socklen_t size = sizeof local;
    char text[HB_ADDRESS_TEXT_SIZE];
    int fd = socket(towards->sockaddr.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return HB_ERR_IO;
    bool known = connect(fd, (const struct sockaddr *)&towards->sockaddr, sockaddr_size(&towards->sockaddr)) == 0 &&
                 getsockname(fd, (struct sockaddr *)&local, &size) == 0 && address_text(&local, text);
    close(fd);
    if (!known)
        return HB_ERR_IO;
    memcpy(ret_text, text, sizeof text);
    return HB_OK;
}
