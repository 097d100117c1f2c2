/*
 * agent: drives the session. It turns the session's actions into look-ups, requests and messages, and what comes of
 * them into the session's inputs.
 *
 *   resolver ──┐                     ┌──► resolver, ws_client
 *   ws_client ─┤ input      actions  │
 *   signals ───┼──────► session ─────┼──► log
 *   timer ─────┘                     └──► on_stopped
 *
 * What ws_client tells arrives inside a libwebsockets callback, where nothing may be started or ended; so it is noted
 * and taken on the loop's next turn. All other inputs are taken at once.
 */
#ifndef HB_WORKER_AGENT_H
#define HB_WORKER_AGENT_H

#include <uv.h>

#include "worker/config.h"
#include "worker/http_service.h"
#include "worker/lws_host.h"

struct hb_agent;

/* config, host and service must outlive the agent. NULL when it cannot be made; hb_agent_free frees it. */
struct hb_agent *hb_agent_new(uv_loop_t *loop, const struct hb_worker_config *config, struct hb_lws_host *host,
                              struct hb_http_service *service);
void hb_agent_free(struct hb_agent *agent); /* after hb_lws_host_free; accepts NULL */

/* on_stopped is called once, when the session is over; the caller then closes the agent and the loop's other handles.
 */
void hb_agent_start(struct hb_agent *agent, void (*on_stopped)(void *owner), void *owner);
void hb_agent_request_stop(struct hb_agent *agent); /* a second call stops at once */

/* Closes its handles. False when a look-up hangs in the thread pool, which would keep the loop alive for long. */
bool hb_agent_close(struct hb_agent *agent);

#endif
