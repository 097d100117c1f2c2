/*
 * worker_state: one worker as the core knows it, and the rules that read a single worker.
 *
 * Three layers of truth, none overwriting another: `status` (is it there?), `ready` and `health` (is it well?) and
 * `serving` (may it get traffic?), which is derived and the only source of server:* events.
 *
 * Times are registry time: the monotonic clock less the registry's skew (see registry.h). Only the core writes these
 * fields; adapters read them through a const pointer, except `shell`, which is theirs alone.
 */
#ifndef HB_CORE_WORKER_STATE_H
#define HB_CORE_WORKER_STATE_H

#include "manager/core/poll_schedule.h"
#include "manager/core/timeline.h"
#include "proto/base/heap.h"
#include "proto/base/time.h"
#include "proto/wire/message.h"

#define HB_REMOVED_FOR_MS 10000 /* beats of a removed id are refused that long */
#define HB_TAKEOVERS_MAX 3      /* within the window; one more is a conflict */
#define HB_TAKEOVER_WINDOW_MS 60000
#define HB_CONFLICT_MS 60000 /* newcomers are refused that long */

struct hb_registry_rules {
    int64_t timeout_ms;          /* HEARTBEAT_TIMEOUT, for workers that bring none of their own */
    int64_t disconnect_grace_ms; /* DISCONNECT_GRACE: serving outlives an abnormal close by that much */
    int64_t restart_grace_ms;    /* RESTART_GRACE: least time a restored worker has to come back */
    int64_t reap_after_ms;       /* REAP_AFTER: 0 never */
    uint32_t max_workers;        /* entries of every kind, ids in removal and nameless sockets included */
    size_t text_bytes_max;       /* names, hosts, urls, attributes, metrics of all workers; 0: no limit */
    size_t timeline_bytes_max;   /* timelines of all workers; 0: no limit */
    bool polling;                /* an HTTP poller runs: workers with a url are polled, by the rules below */
    int64_t poll_interval_ms;    /* POLL_INTERVAL, for workers that bring none of their own */
    int64_t poll_fast_ms;        /* POLL_FAST_INTERVAL */
    uint32_t poll_concurrency;   /* POLL_CONCURRENCY */
    uint8_t poll_fall, poll_rise;
    double degraded_error_rate; /* ERROR_RATE_DEGRADED: more of its requests fail than that */
    uint64_t hash_seed[2];      /* random, for the id table */
};

/* What few workers need: allocated when first used. */
struct hb_worker_rare {
    hb_mono_ms takeovers[HB_TAKEOVERS_MAX]; /* the last ones, oldest overwritten */
    uint8_t takeover_next;
    hb_mono_ms conflict_until; /* meaningful while id_conflict */
    char *reported_status;     /* a beat's own status word when it is none of ours; or NULL */
    /* Meaningful while in maintenance: */
    hb_mono_ms maintenance_until;
    hb_wall_ms maintenance_until_wall; /* for people, and for the next start */
    char *maintenance_reason;          /* the operator's own words; or NULL */
};

struct hb_worker {
    struct hb_heap_node deadline; /* one per worker: the earliest thing that may happen to it */
    hb_mono_ms last_contact;      /* a beat, or the accepted socket, or the first registration */
    hb_mono_ms hold_until;        /* serving is held so long after an abnormal close; HB_MONO_NEVER: not held */
    hb_wall_ms last_heartbeat;    /* last_contact for people */
    hb_wall_ms since;             /* when status became what it is */
    uint64_t epoch, seq;          /* of its last transition */
    int64_t requests, errors;     /* as last reported; -1 never */
    void *socket;                 /* the live one, owned by the shell; NULL none */
    void *shell;                  /* whatever the shell remembers about it; the core only keeps it */
    struct hb_worker_rare *rare;  /* NULL until needed */
    struct hb_poll_target *poll;  /* NULL: not polled */
    char *name;                   /* NULL only while UNKNOWN */
    char *host;                   /* NULL none */
    char *url;                    /* NULL none */
    char *attributes;             /* compact JSON object; NULL none */
    char *metrics;                /* compact JSON object; NULL none */
    struct hb_timeline timeline;
    uint32_t metrics_cap;
    uint32_t timeout_ms;                       /* in force */
    uint32_t interval_ms, poll_interval_ms;    /* 0: not said */
    uint16_t port;                             /* 0 none */
    uint16_t last_close;                       /* how its last socket ended; 0: none has yet */
    uint8_t status, announced, health, reason; /* enum hb_status, hb_announced, hb_health, hb_reason */
    bool serving : 1;
    bool beats : 1; /* it has connected or beaten, or registered without url: silence means something */
    bool ready : 1;
    bool poll_up : 1; /* the debounced verdict of polling */
    bool draining : 1;
    bool maintenance : 1;
    bool unverified : 1; /* restored, was up, not heard of since */
    bool id_conflict : 1;
    bool said_goodbye : 1;     /* how its last socket ended */
    bool maintenance_said : 1; /* an operator has spoken of it in this life: what its row says is older */
    bool fixed : 1;            /* named in TARGETS_FILE: never reaped */
    bool host_from_peer : 1;   /* nobody said the host: it is the address it called from */
    uint8_t id_len;
    char id[]; /* NUL-terminated */
};

/* Has a row, is counted and listed. An entry that is not holds a nameless socket or a removed id. */
bool hb_worker_visible(const struct hb_worker *worker);
bool hb_worker_has_address(const struct hb_worker *worker);
bool hb_worker_is_polled(const struct hb_worker *worker, const struct hb_registry_rules *rules);
/* What serving should be now, by DESIGN's rule; held and unverified workers keep what they have. */
bool hb_worker_should_serve(const struct hb_worker *worker, const struct hb_registry_rules *rules);
/* Longest silence it is allowed, in ms: its timeout, or the restart grace while unverified. */
int64_t hb_worker_patience(const struct hb_worker *worker, const struct hb_registry_rules *rules);
/* Whether silence moves its status on from here. */
bool hb_worker_can_time_out(const struct hb_worker *worker);
/* The edge that listeners hear when serving becomes what it now is. */
enum hb_edge hb_worker_edge(const struct hb_worker *worker, bool address_changed);
/* As a row for the wire; the texts point into the worker. manager is absent: the shell adds its name. */
struct hb_row hb_worker_row(const struct hb_worker *worker);

#endif
