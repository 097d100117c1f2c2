/*
 * model: what the core must say of a worker, written down a second time and as simply as it can be.
 *
 * One plain record for each worker, no heap, no index, no lazily armed entries: a question is answered by looking at
 * the facts and applying DESIGN's rules from the start. Whoever holds the core against it keeps one record per id,
 * gives it the same inputs at the same moments, and tells it what the registry did by time:
 *
 *      hb_registry_step    ──►  hb_model_step     compare what was told, compare the worker (tests/sim/compare.h)
 *      hb_registry_expire  ──►  hb_model_expire   for the worker that the effects name
 *      nothing due any more ─►  hb_model_swept    then hb_model_due of no worker may lie before that
 *
 * It does not know the polling of urls, nor texts other than the address: those it keeps as hashes. It does not predict
 * HB_ERR_FULL and HB_ERR_NO_MEMORY: after these the model is simply not stepped, since nothing may have changed.
 */
#ifndef HB_SIM_MODEL_H
#define HB_SIM_MODEL_H

#include "manager/core/registry.h"

struct hb_model {
    struct hb_registry_rules rules;
    int64_t skew_ms;
    int64_t swept_ms; /* registry time: everything that was due by then has been handled */
    uint64_t seq;     /* of the last transition of all workers */
    bool restoring;   /* rows of an earlier life may still come */
};

enum hb_model_place {
    HB_MODEL_NOBODY,
    HB_MODEL_NAMELESS, /* a socket that has not said anything: no row */
    HB_MODEL_KNOWN,
    HB_MODEL_REMOVED, /* refused for a while */
};

/*
 * Times are registry time, as in the core: the monotonic clock less the skew. All zero bytes: nobody. What a beat looks
 * at comes first, in one cache line.
 */
struct hb_model_worker {
    _Alignas(64) int64_t contact_ms;
    void *socket;
    int64_t hold_until_ms; /* INT64_MAX: not held */
    int64_t timeout_ms;
    uint8_t place; /* enum hb_model_place */
    uint8_t status, announced, reason;
    bool serving, beats, draining, maintenance, unverified, conflict, said_goodbye, host_from_peer;
    uint16_t port;
    uint16_t last_close; /* how its last socket ended; 0: none has yet */
    int64_t maintenance_until_ms;
    uint64_t seq; /* of its last transition */

    bool gone, gone_told; /* removed while restoring, and listeners had heard of it; outlives being forgotten */
    bool maintenance_said;
    uint64_t host, url; /* hashes; 0: none */
    int64_t conflict_until_ms;
    int64_t takeovers_ms[HB_TAKEOVERS_MAX]; /* the last ones, newest first; INT64_MIN: none */
};

/* What follows, as the effects of the registry must tell it. */
struct hb_model_told {
    bool beat;       /* a beat was counted */
    bool transition; /* and then: */
    enum hb_status previous, status;
    enum hb_edge edge;
    enum hb_reason reason;
    int64_t silence_ms;
    uint16_t socket_code;
    uint64_t seq;
    bool gone;
    void *closed; /* the socket that is to be closed; NULL none */
    uint16_t close_code;
};

void hb_model_init(struct hb_model *model, const struct hb_registry_rules *rules);
void hb_model_skew(struct hb_model *model, int64_t gap_ms);
void hb_model_set_restoring(struct hb_model *model, bool restoring);

/* As hb_registry_step. Anything but HB_OK: nothing changed (a conflict may have begun). */
enum hb_err hb_model_step(struct hb_model *model, struct hb_model_worker *worker, const struct hb_input *input,
                          struct hb_moment now, struct hb_model_told *ret_told) HB_MUST_CHECK;
/* The one thing that is due for this worker, the first in the order of hb_model_due_by. False: nothing is. */
bool hb_model_expire(struct hb_model *model, struct hb_model_worker *worker, struct hb_moment now,
                     struct hb_model_told *ret_told);
/* Nothing that was due at `to` or before, on the monotonic clock, is left: removed ids are forgotten by this. */
void hb_model_swept(struct hb_model *model, hb_mono_ms to);

/*
 * Forgets what has ended by then without a word: a removed id, a hold of one that did not serve any more. To be called
 * before a worker is compared; the functions above do it themselves.
 */
void hb_model_refresh(const struct hb_model *model, struct hb_model_worker *worker);
/* When something must happen to it by time alone, on the monotonic clock; HB_MONO_NEVER: nothing. */
hb_mono_ms hb_model_due(const struct hb_model *model, const struct hb_model_worker *worker);
/* When its silence will be too long; HB_MONO_NEVER: it cannot time out as it is. */
hb_mono_ms hb_model_timeout_at(const struct hb_model *model, const struct hb_model_worker *worker);
bool hb_model_visible(const struct hb_model_worker *worker);

#endif
