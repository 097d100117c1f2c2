/*
 * manager: owns the registry and fans its effects out: to the log, the mirror, the outbox, the store and the sockets.
 *
 *      ingest ──► hb_manager_apply ──► registry step ──► effects ──► mirror (rows), outbox (events), sockets, log
 *      loop   ──► hb_manager_expire ─────┘
 */
#ifndef HB_APP_MANAGER_H
#define HB_APP_MANAGER_H

#include "manager/app/metrics.h"
#include "manager/app/mirror.h"
#include "manager/app/outbox.h"
#include "manager/app/ports.h"

struct hb_manager;

struct hb_manager_counters {
    uint64_t beats;
    uint64_t bad_messages;
    uint64_t transitions;
    uint64_t stalls;
};

/* id must outlive the manager. NULL when out of memory. */
struct hb_manager *hb_manager_new(struct hb_text id, const struct hb_registry_rules *rules, struct hb_moment now);
void hb_manager_free(struct hb_manager *manager); /* accepts NULL */

/* Set once at start, before the first input. */
void hb_manager_set_sockets(struct hb_manager *manager, struct hb_socket_port sockets);
void hb_manager_set_store(struct hb_manager *manager, struct hb_store_port store);
void hb_manager_set_poller(struct hb_manager *manager, struct hb_poller_port poller);
/* At most HB_LISTENERS_MAX, which are called in the order in which they came. */
void hb_manager_add_listener(struct hb_manager *manager, struct hb_listener_port listener);

/* One input through the registry, its effects to everyone. Errors as hb_registry_step gives them. */
enum hb_err hb_manager_apply(struct hb_manager *manager, const struct hb_input *input,
                             struct hb_moment now) HB_MUST_CHECK;
/* Expires what is due, at most `most` entries. True: more is due right now. */
bool hb_manager_expire(struct hb_manager *manager, struct hb_moment now, unsigned most);
hb_mono_ms hb_manager_next_deadline(const struct hb_manager *manager);
/* The loop was away for gap_ms: logs event=manager_stall and moves every deadline. */
void hb_manager_stalled(struct hb_manager *manager, int64_t gap_ms);

/*
 * What Redis knew of this manager when its rows were loaded: the epoch becomes max(stored + 1, wall ms at start). When
 * that changes the epoch, events that were waiting under the old one are given up and counted as lost.
 */
void hb_manager_stored_epoch(struct hb_manager *manager, uint64_t stored_epoch);
/* Every row of an earlier life has been restored: no more will come. */
void hb_manager_restored(struct hb_manager *manager);

struct hb_text hb_manager_id(const struct hb_manager *manager);
struct hb_registry *hb_manager_registry(struct hb_manager *manager); /* io reads it; only the manager changes it */
struct hb_mirror *hb_manager_mirror(struct hb_manager *manager);
struct hb_outbox *hb_manager_outbox(struct hb_manager *manager);
struct hb_manager_counters *hb_manager_counters(struct hb_manager *manager);
struct hb_metrics *hb_manager_metrics(struct hb_manager *manager);
/* The registry's time, in which it keeps contacts and polls: what stalls have cost is not in it. */
hb_mono_ms hb_manager_registry_time(const struct hb_manager *manager, hb_mono_ms now);

#endif
