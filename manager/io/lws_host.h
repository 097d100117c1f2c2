/*
 * lws_host: libwebsockets on the loop: one context, one vhost, one protocol; and the guards that 4.1.6 needs.
 *
 * The protocol callback is a switch whose cases call http_exchange and ws_endpoint. All of it is protocol index 0:
 * libwebsockets gives plain HTTP and clients that name no subprotocol to that one.
 */
#ifndef HB_IO_LWS_HOST_H
#define HB_IO_LWS_HOST_H

#include "manager/io/http_exchange.h"
#include "manager/io/ws_endpoint.h"

struct uv_loop_s;
struct hb_lws_host;

#define HB_CLOSING_MS 300

struct hb_lws_host_config {
    const char *bind_host; /* "::" listens on IPv6 and IPv4, or on IPv4 alone where there is no IPv6 */
    uint16_t port;
    size_t descriptors_kept;     /* for what else this program opens while it runs: polls, files */
    const char *allowed_origins; /* separated by commas; NULL none but the own host */
};

/* NULL when out of memory. Everything handed in outlives the host. */
struct hb_lws_host *hb_lws_host_new(struct uv_loop_s *loop, const struct hb_lws_host_config *config,
                                    struct hb_ws_endpoint *endpoint, const struct hb_exchange_handler *http);
/* HB_ERR_IO: nothing listens (logged). Stop and free the host in any case. */
enum hb_err hb_lws_host_listen(struct hb_lws_host *host) HB_MUST_CHECK;
/*
 * The shutdown: closes every WebSocket with 1012, and when all peers have answered, or HB_CLOSING_MS are over, takes
 * the context down. The loop then ends by itself.
 */
void hb_lws_host_stop(struct hb_lws_host *host);
void hb_lws_host_free(struct hb_lws_host *host); /* after the loop has ended */

#endif
