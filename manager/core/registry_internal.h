/*
 * registry_internal: what registry.c (the table, the view, time) and registry_apply.c (the inputs) share.
 */
#ifndef HB_CORE_REGISTRY_INTERNAL_H
#define HB_CORE_REGISTRY_INTERNAL_H

#include "manager/core/gone_ids.h"
#include "manager/core/own_text.h"
#include "manager/core/registry.h"
#include "proto/base/map.h"

struct hb_registry {
    struct hb_registry_rules rules;
    struct hb_map *by_id;
    struct hb_heap deadlines;
    struct hb_worker **ordered; /* the visible ones, by id; room for every entry */
    size_t visible;
    size_t ordered_cap;
    int64_t skew_ms;
    uint64_t epoch, seq;
    bool restoring;
    struct hb_gone_ids gone; /* removed while restoring */
    struct hb_text_budget texts;
    struct hb_timeline_budget timelines;
    struct hb_poll_schedule polls;
};

/* What listeners could see of a worker before something happened to it. */
struct hb_before {
    uint8_t status, health;
    bool serving, ready, draining, maintenance, visible;
    int64_t silence_ms;
};

/* One input or one deadline being handled. */
struct hb_turn {
    struct hb_registry *registry;
    hb_mono_ms now; /* registry time */
    hb_wall_ms wall;
    struct hb_effects *effects;
};

/* ---- the table (registry.c) ---- */
/* A new invisible entry with room everywhere it may go later. HB_ERR_FULL, HB_ERR_NO_MEMORY. */
enum hb_err hb_entry_create(struct hb_turn *turn, struct hb_text id, struct hb_worker **ret_worker) HB_MUST_CHECK;
void hb_entry_reset(struct hb_turn *turn, struct hb_worker *worker);        /* as new, its id and place kept */
void hb_entry_show(struct hb_registry *registry, struct hb_worker *worker); /* into the ordered view */
void hb_entry_destroy(struct hb_registry *registry, struct hb_worker *worker);
struct hb_worker_rare *hb_entry_rare(struct hb_worker *worker); /* NULL when out of memory */
/* Puts its heap entry where it belongs. A beat need not call it: an entry that fires early is armed again. */
void hb_entry_arm(struct hb_registry *registry, struct hb_worker *worker);

/* ---- one transition (registry.c) ---- */
struct hb_before hb_turn_before(const struct hb_turn *turn, const struct hb_worker *worker);
/*
 * Derives serving and, if anything listeners care about differs from `before`, takes a seq and tells it; so each input
 * ends in exactly one call of this for the worker it touched. False: nothing to tell.
 */
bool hb_turn_settle(struct hb_turn *turn, struct hb_worker *worker, const struct hb_before *before,
                    enum hb_reason reason, bool address_changed);
/* The same where the row shows something new in any case, or a deadline may have come nearer. */
void hb_turn_settle_row(struct hb_turn *turn, struct hb_worker *worker, const struct hb_before *before,
                        enum hb_reason reason, bool address_changed);
struct hb_effect *hb_turn_push(struct hb_turn *turn, enum hb_effect_kind kind, struct hb_worker *worker);
void hb_turn_close_socket(struct hb_turn *turn, struct hb_worker *worker, uint16_t close_code);
void hb_turn_row_changed(struct hb_turn *turn, struct hb_worker *worker);
/* DELETE and reaping: closes its socket with 4001, tells, and keeps the entry to refuse its beats for a while. */
void hb_turn_remove(struct hb_turn *turn, struct hb_worker *worker, enum hb_reason reason);

/* ---- polling (registry_poll.c) ---- */
/* Makes it a target before it gets its url, so that running out of memory changes nothing; nothing if it is one. */
enum hb_err hb_poll_admit(struct hb_turn *turn, struct hb_worker *worker) HB_MUST_CHECK;
/* Gives it up as a target if it has no url. */
void hb_poll_settle(struct hb_turn *turn, struct hb_worker *worker);
/* It has another url or interval: it is polled at once; or, if it is being polled, when that has ended. */
void hb_poll_renew(struct hb_turn *turn, struct hb_worker *worker, bool url_changed);
void hb_poll_give_up(struct hb_registry *registry, struct hb_worker *worker);
enum hb_err hb_apply_polled(struct hb_turn *turn, struct hb_worker *worker, const struct hb_input *input) HB_MUST_CHECK;
enum hb_err hb_apply_probed(struct hb_turn *turn, struct hb_worker *worker, const struct hb_input *input) HB_MUST_CHECK;
/* Asks for a probe where its socket has just broken and serving is held. */
void hb_poll_ask_probe(struct hb_turn *turn, struct hb_worker *worker);

/* HB_INPUT_MAINTENANCE, and its parts (registry_maintenance.c). worker is NULL when the id is not in the table. */
enum hb_err hb_apply_maintenance(struct hb_turn *turn, struct hb_worker *worker,
                                 const struct hb_maintenance *maintenance) HB_MUST_CHECK;
enum hb_err hb_maintenance_begin(struct hb_turn *turn, struct hb_worker *worker,
                                 const struct hb_maintenance *maintenance) HB_MUST_CHECK;
void hb_maintenance_end(struct hb_worker *worker); /* nothing when there is none */

/* HB_INPUT_RESTORE (registry_restore.c). worker is NULL when the id is not in the table. */
enum hb_err hb_apply_restore(struct hb_turn *turn, struct hb_worker *worker,
                             const struct hb_input *input) HB_MUST_CHECK;

#endif
