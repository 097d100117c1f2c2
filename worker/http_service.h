/*
 * http_service: what the worker serves: /, /ping, /health, and any other path as /.
 *
 * Every answer carries its length and leaves in one write; connections are kept alive. Nothing here takes a request
 * body and nothing can be upgraded to, so such requests are refused and their connection closed: that is also what
 * closes the holes of lws 4.1.6 that begin with an upgrade, a CONNECT or a body that never ends.
 *
 * Cost: one small struct per connection, no allocation per request. Connections beyond the host's ceiling are closed as
 * they are accepted.
 */
#ifndef HB_WORKER_HTTP_SERVICE_H
#define HB_WORKER_HTTP_SERVICE_H

#include <stdint.h>

#include "proto/base/err.h"
#include "worker/behaviour.h"
#include "worker/lws_host.h"

struct hb_http_service;

struct hb_http_service_config {
    const char *bind_host; /* "::" falls back to IPv4 where there is no IPv6 */
    int port;
    const char *worker_id, *worker_name, *attributes_json; /* must outlive the service */
};

/* All requests answered since the start, and how many of them with 4xx or 5xx; played failures count as both. */
struct hb_http_counts {
    int64_t requests;
    int64_t errors;
};

/*
 * Listens. The behaviour is the caller's and must outlive the service. HB_ERR_IO when the address cannot be listened
 * on: *ret_reason is then a static text that says why.
 */
enum hb_err hb_http_service_open(struct hb_lws_host *host, const struct hb_http_service_config *config,
                                 struct hb_behaviour *behaviour, struct hb_http_service **ret_service,
                                 const char **ret_reason) HB_MUST_CHECK;
void hb_http_service_free(struct hb_http_service *service); /* after hb_lws_host_free; accepts NULL */

struct hb_http_counts hb_http_service_counts(struct hb_http_service *service);

#endif
