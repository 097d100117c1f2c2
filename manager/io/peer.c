#include "manager/io/peer.h"

#include <arpa/inet.h>
#include <libwebsockets.h>
#include <string.h>
#include <sys/socket.h>

struct hb_text hb_peer_host(struct lws *wsi, char out[HB_PEER_TEXT_SIZE])
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    const char *text = NULL;

    if (getpeername(lws_get_socket_fd(wsi), (struct sockaddr *)&address, &len) != 0)
        return (struct hb_text){NULL, 0};
    if (address.ss_family == AF_INET) {
        text = inet_ntop(AF_INET, &((struct sockaddr_in *)&address)->sin_addr, out, HB_PEER_TEXT_SIZE);
    } else if (address.ss_family == AF_INET6) {
        const struct in6_addr *v6 = &((struct sockaddr_in6 *)&address)->sin6_addr;

        if (IN6_IS_ADDR_LINKLOCAL(v6))
            return (struct hb_text){NULL, 0}; /* means nothing without the interface, and nothing to others */
        if (IN6_IS_ADDR_V4MAPPED(v6))
            text = inet_ntop(AF_INET, v6->s6_addr + 12, out, HB_PEER_TEXT_SIZE);
        else
            text = inet_ntop(AF_INET6, v6, out, HB_PEER_TEXT_SIZE);
    }
    return hb_text_of(text);
}
