/*
 * message: what the programs say to each other, as plain structs. No JSON here; codec.h turns them into bytes.
 *
 * Every word that crosses a process border is in one of the tables below, beside what it means.
 */
#ifndef HB_WIRE_MESSAGE_H
#define HB_WIRE_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/time.h"

/* Is it there? */
#define HB_STATUS_MAP(X)                                                                                               \
    X(UNKNOWN, "unknown")               /* never seen, or a socket that has not said who it is: no row */              \
    X(REGISTERED, "registered")         /* announced by POST /register, no sign of life yet */                         \
    X(CONNECTED, "connected")           /* its socket is open, no beat on it yet */                                    \
    X(ALIVE, "alive")                   /* its last beat is younger than its timeout */                                \
    X(NOT_RESPONDING, "not_responding") /* nothing heard for longer than its timeout */                                \
    X(DISCONNECTED, "disconnected")     /* its socket closed, timeout not over yet */                                  \
    X(REMOVED, "removed")               /* deleted or reaped: only in events, and while its beats are refused */

enum hb_status {
#define HB_STATUS_ENUM(name, text) HB_STATUS_##name,
    HB_STATUS_MAP(HB_STATUS_ENUM)
#undef HB_STATUS_ENUM
};

/* Is it well? What polling saw last. */
#define HB_HEALTH_MAP(X)                                                                                               \
    X(UNKNOWN, "unknown")     /* never polled */                                                                       \
    X(HEALTHY, "healthy")     /* HTTP 200, few errors */                                                               \
    X(DEGRADED, "degraded")   /* HTTP 200, high error rate */                                                          \
    X(UNHEALTHY, "unhealthy") /* another HTTP status */                                                                \
    X(DEAD, "dead")           /* no HTTP answer */

enum hb_health {
#define HB_HEALTH_ENUM(name, text) HB_HEALTH_##name,
    HB_HEALTH_MAP(HB_HEALTH_ENUM)
#undef HB_HEALTH_ENUM
};

/* What listeners were told last. One that was never up is never announced down. */
#define HB_ANNOUNCED_MAP(X)                                                                                            \
    X(NONE, "none")                                                                                                    \
    X(UP, "up")                                                                                                        \
    X(DOWN, "down")

enum hb_announced {
#define HB_ANNOUNCED_ENUM(name, text) HB_ANNOUNCED_##name,
    HB_ANNOUNCED_MAP(HB_ANNOUNCED_ENUM)
#undef HB_ANNOUNCED_ENUM
};

/* The edge of `serving` that a transition announces: the text is the pub/sub channel. */
#define HB_EDGE_MAP(X)                                                                                                 \
    X(NONE, "")                                                                                                        \
    X(UP, "server:up")             /* serves for the first time, or at a new address */                                \
    X(DOWN, "server:down")         /* no longer */                                                                     \
    X(RECOVERY, "server:recovery") /* serves again */                                                                  \
    X(REMOVED, "server:removed")   /* gone while up */

enum hb_edge {
#define HB_EDGE_ENUM(name, text) HB_EDGE_##name,
    HB_EDGE_MAP(HB_EDGE_ENUM)
#undef HB_EDGE_ENUM
};

/* How a poll ended. A closed vocabulary too. */
#define HB_POLL_OUTCOME_MAP(X)                                                                                         \
    X(NONE, "none")               /* never polled */                                                                   \
    X(ANSWERED, "answered")       /* an HTTP status came; of a tcp:// target: it took the connection */                \
    X(REFUSED, "refused")         /* nobody listens there */                                                           \
    X(UNREACHABLE, "unreachable") /* no way there, or no answer to the attempt to connect */                           \
    X(TIMED_OUT, "timed_out")     /* connected, but no whole answer within POLL_TIMEOUT */                             \
    X(UNRESOLVED, "unresolved")   /* the name has no address, or nobody would say */                                   \
    X(TLS_FAILED, "tls_failed")   /* its certificate or its TLS is not to be trusted */                                \
    X(BLOCKED, "blocked")         /* its address may not be polled */                                                  \
    X(BROKEN, "broken")           /* what came is not HTTP, or ended halfway */

enum hb_poll_outcome {
#define HB_POLL_OUTCOME_ENUM(name, text) HB_POLL_##name,
    HB_POLL_OUTCOME_MAP(HB_POLL_OUTCOME_ENUM)
#undef HB_POLL_OUTCOME_ENUM
};

/* Why a transition happened. A closed vocabulary: clients may switch on it. */
#define HB_REASON_MAP(X)                                                                                               \
    X(NONE, "")                                                                                                        \
    X(REGISTERED, "registered")               /* POST /register */                                                     \
    X(SOCKET_OPENED, "socket_opened")         /* WebSocket accepted */                                                 \
    X(BEAT, "beat")                           /* a valid heartbeat */                                                  \
    X(HEARTBEAT_TIMEOUT, "heartbeat_timeout") /* had beaten, then nothing for longer than the timeout */               \
    X(NEVER_BEAT, "never_beat")               /* registered or connected, and not one beat within the timeout */       \
    X(CONNECTION_CLOSED, "connection_closed") /* the socket ended without a goodbye */                                 \
    X(GOODBYE, "goodbye")                     /* the socket ended with "bye", 1000 or 1001 */                          \
    X(DRAINING, "draining")                   /* the worker asked for no more traffic */                               \
    X(ADDRESS_CHANGED, "address_changed")     /* registered again with another host, port or url */                    \
    X(RESTART_GRACE, "restart_grace")         /* was up before the manager restarted, and did not come back */         \
    X(REMOVED, "removed")                     /* DELETE /workers/<id> */                                               \
    X(REAPED, "reaped")                       /* nothing heard for REAP_AFTER */                                       \
    X(MAINTENANCE, "maintenance")             /* an operator took it out of traffic, or put it back */                 \
    X(POLL, "poll")                           /* an HTTP check changed the verdict */                                  \
    X(PROBE_REFUSED, "probe_refused")         /* its socket had closed and its address refuses connections */

enum hb_reason {
#define HB_REASON_ENUM(name, text) HB_REASON_##name,
    HB_REASON_MAP(HB_REASON_ENUM)
#undef HB_REASON_ENUM
};

/* Why a WebSocket ended (RFC 6455 section 7.4; 4000 and up are ours). */
enum hb_close_code {
    HB_CLOSE_NORMAL = 1000,
    HB_CLOSE_GOING_AWAY = 1001,
    HB_CLOSE_ABNORMAL = 1006, /* never sent: what a vanished peer counts as */
    HB_CLOSE_BAD_UTF8 = 1007,
    HB_CLOSE_POLICY = 1008,
    HB_CLOSE_TOO_BIG = 1009,
    HB_CLOSE_RESTART = 1012,
    HB_CLOSE_TRY_LATER = 1013,
    HB_CLOSE_REPLACED = 4000,
    HB_CLOSE_REMOVED = 4001,
    HB_CLOSE_CONFLICT = 4009,
};

const char *hb_status_text(enum hb_status status);
const char *hb_health_text(enum hb_health health);
const char *hb_announced_text(enum hb_announced announced);
const char *hb_poll_outcome_text(enum hb_poll_outcome outcome);
const char *hb_edge_channel(enum hb_edge edge);
const char *hb_reason_text(enum hb_reason reason);

bool hb_id_valid(struct hb_text id);     /* [A-Za-z0-9._:-]{1,64}, but not "." or ".." */
bool hb_name_valid(struct hb_text name); /* 1 to 128 bytes of UTF-8 without control characters */

/* POST /register. Absent texts have bytes == NULL, absent numbers are 0: what was known before stays. */
struct hb_registration {
    struct hb_text id;
    struct hb_text name;
    struct hb_text host;
    struct hb_text url;
    struct hb_text attributes; /* a compact JSON object */
    uint16_t port;
    int64_t timeout_ms;
    int64_t interval_ms;
    int64_t poll_interval_ms;
};

enum hb_beat_kind {
    HB_BEAT_ALIVE,    /* "status":"alive", which also ends draining */
    HB_BEAT_PLAIN,    /* no status, or one that is only kept */
    HB_BEAT_DRAINING, /* "status":"draining" */
    HB_BEAT_BYE,      /* "status":"bye" */
};

/* A heartbeat, over WebSocket or HTTP. Absent texts have bytes == NULL, absent counts are -1. */
struct hb_beat {
    enum hb_beat_kind kind;
    struct hb_text name;
    struct hb_text status_text; /* the status as sent */
    struct hb_text metrics;     /* a compact JSON object of numbers */
    struct hb_text attributes;  /* a compact JSON object */
    int64_t requests;
    int64_t errors;
};

/* What a poll found. Absent counts are -1. */
struct hb_poll_result {
    enum hb_poll_outcome outcome;
    uint16_t code; /* HTTP status; 0: no answer, or a tcp:// target that took the connection */
    uint32_t latency_us;
    int64_t uptime_ms, requests, errors; /* as the body says */
    struct hb_text attributes;           /* already merged with the worker's; absent: nothing new */
};

#define HB_MAINTENANCE_MAX_MS 86400000 /* 24 h: nobody is forgotten in it */

/* POST /workers/<id>/maintenance. */
struct hb_maintenance {
    int64_t ttl_ms;        /* how long; 0: it ends now. A request that says nothing means HB_MAINTENANCE_MAX_MS */
    struct hb_text reason; /* the operator's own words, a name's rules; absent: none */
};

/* One field of the Redis hash `workers`, one value of GET /workers. */
struct hb_row {
    struct hb_text id, name, host;
    uint16_t port; /* 0: none, shown as null */
    enum hb_status status;
    hb_wall_ms last_heartbeat; /* last contact; ms 0: none, shown as null */
    hb_wall_ms since;          /* when status became what it is */
    enum hb_reason reason;
    bool serving;
    enum hb_announced announced;
    bool unverified;
    bool beats; /* silence means something; left out when there is no url, where it is always so */
    bool ready;
    enum hb_health health;
    struct hb_text url;             /* absent: left out */
    struct hb_text attributes;      /* JSON object; absent: shown as {} */
    struct hb_text metrics;         /* JSON object; absent: shown as {} */
    struct hb_text reported_status; /* a beat's own status word; absent: left out */
    int64_t requests, errors;       /* -1: left out */
    int64_t timeout_ms;             /* shown in seconds as heartbeat_timeout */
    int64_t interval_ms;            /* 0: left out; shown in seconds as heartbeat_interval */
    int64_t poll_interval_ms;       /* 0: left out; shown in seconds as poll_interval_sec */
    bool draining;
    bool maintenance;
    hb_wall_ms maintenance_until;      /* left out unless in maintenance; ms 0: not known */
    struct hb_text maintenance_reason; /* absent: left out */
    bool flapping;
    bool id_conflict;
    struct hb_text manager;
    uint64_t epoch, seq;
};

/* One transition as published on server:* and appended to workers:events. */
struct hb_event {
    struct hb_text id, name, host, url;
    uint16_t port;
    enum hb_status status, previous;
    bool serving, ready;
    enum hb_health health;
    enum hb_reason reason;
    enum hb_edge edge; /* not in the JSON: the channel says it */
    struct hb_text manager;
    uint64_t epoch, seq;
    hb_wall_ms at;
};

#endif
