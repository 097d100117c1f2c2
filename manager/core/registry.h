/*
 * registry: all workers, and the one function that changes them.
 *
 *      input ──► hb_registry_step ──► effects
 *      time  ──► hb_registry_expire ─┘
 *
 * Pure: no I/O, no clock, no environment. The same inputs at the same moments give the same effects, which is what
 * makes it possible to simulate it, fuzz it and hold it against a naive model.
 *
 * Registry time is the monotonic clock less a skew. When the manager itself was stopped or blocked, the shell calls
 * hb_registry_skew with the gap, and every deadline of every worker moves by it at once, in O(1).
 *
 * Cost: a beat is one look-up and a few stores; a transition adds O(log n) in the deadline heap; a new id O(n) moves of
 * a pointer in the sorted index (about 3 microseconds at 18,000 workers), which buys ordered listing and paging.
 */
#ifndef HB_CORE_REGISTRY_H
#define HB_CORE_REGISTRY_H

#include "manager/core/worker_state.h"

struct hb_registry;

enum hb_input_kind {
    HB_INPUT_REGISTER,      /* registration, peer_host */
    HB_INPUT_SOCKET_OPENED, /* socket */
    HB_INPUT_BEAT,          /* beat, peer_host; socket, or NULL when it came over HTTP */
    HB_INPUT_SOCKET_CLOSED, /* socket, close_code (HB_CLOSE_ABNORMAL when there was none) */
    HB_INPUT_REMOVE,
    /*
     * row, seed_shape: what the hash said of it in an earlier life. An id that is in memory by then keeps what it has
     * said since; it takes over what listeners were told last, unless they were told something in this life, an address
     * if it has none, and maintenance.
     */
    HB_INPUT_RESTORE,
    HB_INPUT_MAINTENANCE, /* maintenance: into it or, with ttl_ms 0, out of it */
    HB_INPUT_POLLED,      /* poll, ticket: exactly one for each hb_registry_take_poll, whatever became of the worker */
    HB_INPUT_PROBED,      /* poll, ticket: what came of HB_EFFECT_PROBE; the worker's hold_until at that moment */
};

struct hb_input {
    enum hb_input_kind kind;
    struct hb_text id; /* a valid one: the shell checks */
    void *socket;
    uint16_t close_code;
    bool fixed;                                 /* a registration out of TARGETS_FILE: never reaped */
    bool seed_shape;                            /* the row was written by the small Python project's manager */
    struct hb_text peer_host;                   /* the address it called from; the host of those who name none */
    const struct hb_registration *registration; /* its id is not read */
    const struct hb_beat *beat;
    const struct hb_row *row; /* its id is not read */
    const struct hb_maintenance *maintenance;
    const struct hb_poll_result *poll;
    uint64_t ticket;
};

enum hb_effect_kind {
    HB_EFFECT_TRANSITION,  /* worker changed in a way that listeners care about; it took `seq` */
    HB_EFFECT_ROW_CHANGED, /* something its row shows changed, nothing that takes a seq */
    HB_EFFECT_PROBE, /* its socket broke and serving is held: find out at once whether its address still answers */
    HB_EFFECT_CLOSE_SOCKET, /* close `socket` with `close_code`; the core has forgotten it already */
};

struct hb_effect {
    enum hb_effect_kind kind;
    struct hb_worker *worker; /* valid until the next call that changes the registry; NULL for a nameless socket */
    void *socket;
    uint16_t close_code;

    /* Of a transition: */
    uint64_t seq;
    enum hb_status previous;
    enum hb_edge edge;
    enum hb_reason reason;
    int64_t silence_ms;   /* evidence: time since the last contact, when it happened */
    uint16_t socket_code; /* evidence: how its socket ended; 0: no socket ended */
    uint16_t poll_code;   /* evidence: the HTTP status of its last poll; 0: none */
    bool gone;            /* removed: the row is to be deleted and worker->shell to be given up */
};

#define HB_EFFECTS_MAX 3 /* of one call */

struct hb_effects {
    struct hb_worker *worker; /* whose figures are new, by a beat or a poll; NULL after anything else */
    int64_t interval_ms;      /* of a beat: since the contact before it */
    size_t count;
    struct hb_effect items[HB_EFFECTS_MAX];
};

struct hb_registry *hb_registry_new(const struct hb_registry_rules *rules); /* NULL when out of memory */
void hb_registry_free(struct hb_registry *registry); /* accepts NULL; what the shell hung on workers is the shell's */

/*
 * Applies one input. On HB_OK effects tells what follows, possibly nothing. Else nothing changed, but effects may still
 * hold a HB_EFFECT_ROW_CHANGED (a conflict became visible):
 *   HB_ERR_UNKNOWN    REMOVE or MAINTENANCE of an id that is not there
 *   HB_ERR_STALE      a beat or close of a socket that is no longer its worker's; a RESTORE of which memory needs
 *                     nothing; a poll or probe that nobody waits for any more
 *   HB_ERR_REFUSED    a beat or socket of an id removed a moment ago (close 4001)
 *   HB_ERR_CONFLICT   a socket of an id that several processes claim (close 4009)
 *   HB_ERR_FULL       max_workers or text_bytes_max reached
 *   HB_ERR_NO_MEMORY
 */
enum hb_err hb_registry_step(struct hb_registry *registry, const struct hb_input *input, struct hb_moment now,
                             struct hb_effects *effects) HB_MUST_CHECK;

/* Handles the earliest deadline if it is due. False: none is. Call again until false, or until the turn is used up. */
bool hb_registry_expire(struct hb_registry *registry, struct hb_moment now, struct hb_effects *effects);

/* On the monotonic clock; HB_MONO_NEVER when nothing is pending. */
hb_mono_ms hb_registry_next_deadline(const struct hb_registry *registry);

/*
 * The next worker to be polled, if one is due and fewer than poll_concurrency polls are under way: false else. Its poll
 * is under way from here on, until HB_INPUT_POLLED brings the ticket back. The worker is valid until the next change.
 */
bool hb_registry_take_poll(struct hb_registry *registry, struct hb_moment now, const struct hb_worker **ret_worker,
                           uint64_t *ret_ticket);
/* On the monotonic clock: when hb_registry_take_poll may give one; HB_MONO_NEVER: not before a poll has ended. */
hb_mono_ms hb_registry_next_poll(const struct hb_registry *registry);

/*
 * While restoring is true, rows of an earlier life may still come: ids that are removed meanwhile are remembered, so
 * that their rows bring nobody back. False at first.
 */
void hb_registry_set_restoring(struct hb_registry *registry, bool restoring);

/* The manager was away for gap_ms: every deadline moves by it. */
void hb_registry_skew(struct hb_registry *registry, int64_t gap_ms);

/* Transitions are stamped with it from now on, and those of the epoch before are stamped again: O(workers). */
void hb_registry_set_epoch(struct hb_registry *registry, uint64_t epoch);

/* For the registry's owner alone, to keep worker->shell; everyone else uses the view. */
struct hb_worker *hb_registry_worker_at(struct hb_registry *registry, size_t place);

/* ---- the view: for whoever must look ---- */
const struct hb_registry_rules *hb_registry_rules(const struct hb_registry *registry);
uint64_t hb_registry_epoch(const struct hb_registry *registry);
uint64_t hb_registry_seq(const struct hb_registry *registry);   /* of the last transition; 0 none yet */
size_t hb_registry_count(const struct hb_registry *registry);   /* visible workers */
size_t hb_registry_entries(const struct hb_registry *registry); /* what max_workers limits */
const struct hb_worker *hb_registry_find(const struct hb_registry *registry, struct hb_text id); /* visible only */
const struct hb_worker *hb_registry_at(const struct hb_registry *registry, size_t place);        /* ordered by id */
/* The place of the first visible worker whose id is greater than `after`, bytewise; count when there is none. */
size_t hb_registry_after(const struct hb_registry *registry, struct hb_text after);

#endif
