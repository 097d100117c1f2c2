/*
 * sim: one run. A world of workers with their fates sends packets to one manager's shell, which is made from the
 * real registry; a witness stands between shell and registry and holds every call against the model.
 *
 *      world (workers, network, fates) ──packets──► shell (the loop's turn) ──inputs, time──► registry
 *                  ▲                                        ▲                        │ witness: model, invariants
 *                  └──────────── closes ────────────────────┴──────── effects ───────┘
 */
#ifndef HB_SIM_SIM_H
#define HB_SIM_SIM_H

#include "tests/sim/calendar.h"
#include "tests/sim/model.h"
#include "tests/sim/random.h"
#include "tests/sim/timeline.h"

#define SIM_ID_SIZE 12
#define SIM_WORKERS_MAX (1u << 20) /* a socket's number carries its worker in the low 20 bits */

struct sim_options {
    uint64_t seed;
    uint32_t workers;
    double worker_hours;
    bool store;     /* the whole manager over a simulated Redis, not the registry alone */
    bool faults;    /* stalls and restarts of the manager, Redis' troubles, allocation failures */
    uint32_t trace; /* a worker whose timeline is printed, or TIMELINE_NOBODY */
    bool trace_at_once;
};

enum sim_state {
    SIM_ABSENT,  /* its process does not run */
    SIM_RUNNING, /* it beats, or tries to connect */
    SIM_FROZEN,  /* it does nothing, but the kernel keeps its socket */
};

enum sim_profile {
    SIM_STEADY,   /* registers, connects, beats */
    SIM_NAMELESS, /* connects without registering: its first beat introduces it */
    SIM_HTTP,     /* beats over HTTP, without a socket */
    SIM_SILENT,   /* opens sockets and never says anything */
    SIM_SHY,      /* registers and never connects */
};

/* A worker as it really is, which the manager can only guess. What every beat needs comes first, in one cache line. */
struct sim_worker {
    _Alignas(64) int64_t send_at; /* its next beat leaves then */
    int64_t beat_ms;              /* the manager accepted a beat of it that was delivered then */
    int64_t fate_at;              /* its next misfortune */
    uint64_t socket;              /* as it believes; 0: none */
    int32_t interval_ms, jitter_ms;
    uint8_t profile, state;
    bool draining, plain;
    uint8_t id_len;
    char id[SIM_ID_SIZE];

    uint32_t life;    /* counts its processes and connections: what was planned for an earlier one is void */
    uint8_t listener; /* what listeners heard last: enum hb_announced */
    uint8_t tries;
    uint16_t port;
    int64_t opened_ms;       /* the manager accepted a socket, or a first registration, then */
    int64_t restored_ms;     /* its row was read then; INT64_MIN: not in this life of the manager */
    int64_t changed_ms;      /* its last input but beats, in registry time: its deadline may be nearer since */
    int64_t closed_ms;       /* its socket ended without a goodbye; INT64_MIN: it did not */
    int64_t first_beat_at;   /* the beat that follows a new socket, on its way; INT64_MAX: none is */
    uint64_t first_beat_via; /* and the socket */
};

struct sim_counts {
    uint64_t beats, transitions, downs, recoveries, false_downs, timeouts;
    uint64_t crashes, freezes, flaps, half_opens, takeovers, conflicts, byes, drains, deletes, maintenances, moves,
        late_packets, reaped;
    uint64_t stalls, stall_ms, restarts, wall_steps, memory_failures, retries;
    int64_t latest_ms; /* the longest that a deadline was overdue when it was handled */
};

#define SIM_STALLS_KEPT 4096

struct sim {
    struct sim_options options;
    struct random random;
    struct timeline timeline;
    struct sim_counts counts;
    int64_t now, start, end; /* the manager's monotonic clock */
    int64_t wall_offset_ms;

    struct calendar calendar;
    struct sim_worker *workers;
    const char **hints; /* where the registry had them: not to be read, only to be fetched */
    int64_t foreseen;
    uint64_t sockets; /* ever opened */

    struct hb_registry_rules rules;
    struct hb_model model;
    struct hb_model_worker *modelled;

    struct hb_registry *registry; /* NULL: the manager is down */

    /* the loop */
    int64_t armed_for;
    int64_t looked_ms;  /* whatever was due by then has had its sockets read since */
    int64_t last_stall; /* when it was over */
    int64_t next_stall, next_restart, next_wall_step, next_look;
    struct {
        int64_t at, gap_ms;
    } stalls[SIM_STALLS_KEPT];
};

static inline struct hb_moment sim_moment(const struct sim *sim)
{
    return (struct hb_moment){{sim->now}, {sim->now + sim->wall_offset_ms}};
}

static inline uint32_t sim_worker_of_socket(uint64_t socket)
{
    return (uint32_t)(socket & (SIM_WORKERS_MAX - 1));
}

#define sim_note(sim, worker, ...)                                                                                     \
    do {                                                                                                               \
        if (timeline_observes(&(sim)->timeline, (worker)))                                                             \
            timeline_note(&(sim)->timeline, (worker), (sim)->now, __VA_ARGS__);                                        \
    } while (0)

#endif
