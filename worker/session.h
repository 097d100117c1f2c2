/*
 * session: when a worker resolves, registers, connects, beats, waits and leaves. Pure: no I/O, no clock, no randomness.
 *
 *   input, now ──► hb_session_step ──► actions, next deadline
 *
 * Whoever drives it carries the actions out, reports what came of them as the next input, and calls it with
 * HB_SESSION_TICK when the deadline has passed. Invariant: at most one attempt or socket exists at a time, and one step
 * never asks for the same thing twice. A step costs O(1) and allocates nothing.
 *
 * Back-off is "full jitter": a delay drawn evenly from 0 to min(ceiling, 0.5 s * 2^failures). Source: M. Brooker,
 * "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. It spreads ten thousand workers that lose the same
 * manager at the same moment, which a fixed or a half-jittered delay does not.
 */
#ifndef HB_WORKER_SESSION_H
#define HB_WORKER_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/time.h"

#define HB_SESSION_ATTEMPT_MS 3000      /* resolve, register and connect together */
#define HB_SESSION_BYE_MS 300           /* how long a goodbye waits for the manager's close */
#define HB_SESSION_CLOSE_MS 200         /* and then, how long our own close waits for the manager's */
#define HB_SESSION_BACKOFF_FIRST_MS 500 /* ceiling of the first delay */
#define HB_SESSION_REMOVED_MS 10000     /* an operator removed this id: the manager refuses its beats for so long */
#define HB_SESSION_CONFLICT_MS 60000    /* two workers fight for this id: the manager refuses newcomers for so long */

enum hb_session_state {
    HB_SESSION_IDLE,        /* not started */
    HB_SESSION_RESOLVING,   /* the manager's name is being looked up */
    HB_SESSION_REGISTERING, /* POST /register is under way at one of the manager's addresses */
    HB_SESSION_CONNECTING,  /* the WebSocket handshake is under way at the address that answered */
    HB_SESSION_ONLINE,      /* the socket is open and beats go out */
    HB_SESSION_WAITING,     /* nothing is open; the next attempt starts at the deadline */
    HB_SESSION_LEAVING,     /* the goodbye was sent; waiting for the manager to close */
    HB_SESSION_CLOSING,     /* it did not, so it does not know the goodbye: our close frame was sent instead */
    HB_SESSION_STOPPED,     /* over; every further input is ignored */
};

enum hb_session_input_kind {
    HB_SESSION_START,
    HB_SESSION_TICK,     /* the deadline may have passed */
    HB_SESSION_RESOLVED, /* address_count of them, at least one */
    HB_SESSION_RESOLVE_FAILED,
    HB_SESSION_REGISTERED,       /* the manager took the registration */
    HB_SESSION_REGISTER_FAILED,  /* no HTTP answer from this address: the next one may do */
    HB_SESSION_REGISTER_REFUSED, /* an HTTP answer other than 200: another address would say the same */
    HB_SESSION_CONNECTED,
    HB_SESSION_CONNECT_FAILED,
    HB_SESSION_CLOSED,         /* the open socket ended, with close_code */
    HB_SESSION_STOP_REQUESTED, /* SIGTERM or SIGINT; the second one stops at once */
};

struct hb_session_input {
    enum hb_session_input_kind kind;
    unsigned address_count; /* HB_SESSION_RESOLVED */
    int close_code;         /* HB_SESSION_CLOSED; enum hb_close_code, HB_CLOSE_ABNORMAL when there was no close frame */
    uint32_t random;        /* fresh, evenly drawn: used when this input starts a back-off */
};

/* What to do now, in this order. An action that was aborted reports nothing any more. */
enum hb_session_action {
    HB_SESSION_DO_ABORT = 1 << 0,     /* drop the request or socket under way, without any goodbye */
    HB_SESSION_DO_RESOLVE = 1 << 1,   /* look the manager's name up */
    HB_SESSION_DO_REGISTER = 1 << 2,  /* POST /register at address number `address` */
    HB_SESSION_DO_CONNECT = 1 << 3,   /* open the WebSocket at address number `address` */
    HB_SESSION_DO_SEND_BEAT = 1 << 4, /* "draining" when hb_session_draining, else "alive" */
    HB_SESSION_DO_SEND_BYE = 1 << 5,
    HB_SESSION_DO_CLOSE = 1 << 6, /* end the socket with close code 1000 */
    HB_SESSION_DO_STOP = 1 << 7,  /* the program may end; the state is HB_SESSION_STOPPED */
};

struct hb_session_config {
    int64_t interval_ms;      /* between beats */
    int64_t reconnect_max_ms; /* ceiling of the back-off */
    int64_t drain_ms;         /* from the first stop request to the goodbye; 0 says goodbye at once */
    int64_t beats_max;        /* goes silent after so many beats, socket kept; 0: never */
    int64_t online_max_ms;    /* drops the socket abnormally after so long; 0: never */
};

struct hb_session {
    struct hb_session_config config;
    enum hb_session_state state;
    unsigned address, address_count; /* of the manager: the one in use, and how many there are */
    unsigned failures;               /* delays since the last connection that lasted */
    bool draining;
    int64_t beats_sent;
    hb_mono_ms attempt_until; /* RESOLVING, REGISTERING, CONNECTING: the attempt is given up */
    hb_mono_ms address_until; /* REGISTERING: this address is given up for the next one */
    hb_mono_ms online_since;  /* ONLINE */
    hb_mono_ms beat_due;      /* ONLINE: the next beat */
    hb_mono_ms retry_at;      /* WAITING: the next attempt */
    hb_mono_ms drain_until;   /* while draining: the goodbye */
    hb_mono_ms leave_until;   /* LEAVING, CLOSING: no longer waited for */
};

void hb_session_init(struct hb_session *session, const struct hb_session_config *config);

/* The one transition function. Returns a set of enum hb_session_action; inputs that do not fit the state are ignored.
 */
unsigned hb_session_step(struct hb_session *session, const struct hb_session_input *input, hb_mono_ms now);

/* When to call with HB_SESSION_TICK; HB_MONO_NEVER when only something from outside can happen. */
hb_mono_ms hb_session_deadline(const struct hb_session *session);

#endif
