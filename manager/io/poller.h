/*
 * poller: asks services over HTTP, when the core says so.
 *
 *   hb_registry_take_poll ──► curl_loop ──► answer ──► /health read, attributes merged ──► HB_INPUT_POLLED
 *   HB_EFFECT_PROBE       ──► curl_loop ──► answer ──────────────────────────────────────► HB_INPUT_PROBED
 *
 * Whom, when and how many is the core's: here polls are begun at the end of each turn of the loop, when everything that
 * could make one due has happened. What an answer means is the core's too. Polls begin up to HB_POLLER_GATHER_MS late,
 * together: waking up costs as much as a check does, and those that begin together are mostly answered together.
 *
 * A poll that failed by our own fault (no descriptor left, this process was stopped meanwhile) says nothing of the
 * service: it is begun again after HB_POLLER_AGAIN_MS and stays under way until then.
 *
 * Probes: at most POLL_CONCURRENCY under way beside the polls; what is beyond is dropped, for a probe only spares its
 * worker the rest of a grace. One that came back broken may have met a process that is about to die: it is begun again
 * twice, like a poll.
 *
 * Polling waits until the addresses of Redis, which must not be polled, were looked up once, or could not be.
 */
#ifndef HB_IO_POLLER_H
#define HB_IO_POLLER_H

#include "manager/app/manager.h"

#define HB_POLLER_AGAIN_MS 200
#define HB_POLLER_BEGIN_MOST 64 /* in one turn of the loop */
#define HB_POLLER_GATHER_MS 25  /* that a poll may be late, to begin together with others */

struct uv_loop_s;
struct hb_poller;

struct hb_poller_config {
    const char *version;        /* of the manager, for User-Agent */
    const char *allow_cidrs;    /* POLL_ALLOW_CIDRS; NULL none. Good: the configuration was checked */
    const char *forbidden_host; /* Redis */
    uint16_t forbidden_port;
    int64_t timeout_ms;   /* POLL_TIMEOUT */
    uint32_t concurrency; /* POLL_CONCURRENCY */
};

struct hb_poller_counters {
    uint64_t probes_dropped; /* too many were under way */
    uint64_t begun_again;    /* polls and probes */
};

/* NULL when out of memory. Sets the manager's poller port. */
struct hb_poller *hb_poller_new(struct uv_loop_s *loop, const struct hb_poller_config *config,
                                struct hb_manager *manager);
void hb_poller_start(struct hb_poller *poller); /* after hb_loop_start: see poller.c */
const struct hb_poller_counters *hb_poller_counters(const struct hb_poller *poller);

/* Cancels what is under way and closes its handles; probes are ignored from here on. Accepts NULL, and twice. */
void hb_poller_close(struct hb_poller *poller);
void hb_poller_free(struct hb_poller *poller); /* accepts NULL; after the loop has closed the handles */

#endif
