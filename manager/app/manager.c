#include "manager/app/manager.h"

#include <stdlib.h>

#include "proto/base/log.h"

struct hb_manager {
    struct hb_text id;
    struct hb_registry *registry;
    struct hb_mirror *mirror;
    struct hb_outbox *outbox;
    struct hb_socket_port sockets;
    struct hb_store_port store;
    struct hb_poller_port poller;
    struct hb_listener_port listeners[HB_LISTENERS_MAX];
    size_t listener_count;
    struct hb_manager_counters counters;
    struct hb_metrics metrics;
    int64_t skew_ms; /* the gaps of all stalls */
};

static void no_socket(void *self, void *socket, uint16_t close_code)
{
    (void)self;
    (void)socket;
    (void)close_code;
}

static void no_store(void *self)
{
    (void)self;
}

static void no_probe(void *self, const struct hb_worker *worker)
{
    (void)self;
    (void)worker;
}

struct hb_manager *hb_manager_new(struct hb_text id, const struct hb_registry_rules *rules, struct hb_moment now)
{
    struct hb_manager *manager = calloc(1, sizeof *manager);

    if (manager == NULL)
        return NULL;
    manager->id = id;
    manager->sockets.close = no_socket;
    manager->store.wake = no_store;
    manager->poller.probe = no_probe;
    hb_metrics_init(&manager->metrics);
    manager->registry = hb_registry_new(rules);
    manager->mirror = manager->registry != NULL ? hb_mirror_new(id, manager->registry) : NULL;
    manager->outbox = hb_outbox_new(HB_OUTBOX_MAX);
    if (manager->registry == NULL || manager->mirror == NULL || manager->outbox == NULL) {
        hb_manager_free(manager);
        return NULL;
    }
    hb_registry_set_epoch(manager->registry, (uint64_t)now.wall.ms);
    hb_registry_set_restoring(manager->registry, true);
    return manager;
}

void hb_manager_free(struct hb_manager *manager)
{
    if (manager == NULL)
        return;
    hb_outbox_free(manager->outbox);
    hb_mirror_free(manager->mirror);
    hb_registry_free(manager->registry);
    free(manager);
}

void hb_manager_set_sockets(struct hb_manager *manager, struct hb_socket_port sockets)
{
    manager->sockets = sockets;
}

void hb_manager_set_store(struct hb_manager *manager, struct hb_store_port store)
{
    manager->store = store;
}

void hb_manager_set_poller(struct hb_manager *manager, struct hb_poller_port poller)
{
    manager->poller = poller;
}

void hb_manager_add_listener(struct hb_manager *manager, struct hb_listener_port listener)
{
    if (manager->listener_count < HB_LISTENERS_MAX)
        manager->listeners[manager->listener_count++] = listener;
}

/* ---- effects ---- */

static void log_transition(const struct hb_effect *effect)
{
    const struct hb_worker *worker = effect->worker;
    bool worse = effect->edge == HB_EDGE_DOWN || worker->status == HB_STATUS_NOT_RESPONDING;

    hb_log(
        worse ? HB_LOG_WARN : HB_LOG_INFO, "worker_status", HB_LS("worker", worker->id),
        HB_LS("from", hb_status_text(effect->previous)), HB_LS("to", hb_status_text((enum hb_status)worker->status)),
        HB_LS("reason", hb_reason_text(effect->reason)), HB_LB("serving", worker->serving),
        HB_LS("announced", effect->edge == HB_EDGE_NONE ? NULL : hb_edge_channel(effect->edge)),
        HB_LS("health", worker->poll == NULL ? NULL : hb_health_text((enum hb_health)worker->health)),
        HB_LS("poll", worker->poll == NULL ? NULL : hb_poll_outcome_text((enum hb_poll_outcome)worker->poll->outcome)),
        HB_LD("silence", effect->silence_ms), HB_LD("timeout", worker->timeout_ms), HB_LI("seq", effect->seq));
}

static struct hb_event event_of(const struct hb_manager *manager, const struct hb_effect *effect, hb_wall_ms at)
{
    struct hb_row row = hb_worker_row(effect->worker);

    return (struct hb_event){
        .id = row.id,
        .name = row.name,
        .host = row.host,
        .url = row.url,
        .port = row.port,
        .status = row.status,
        .previous = effect->previous,
        .serving = row.serving,
        .ready = row.ready,
        .health = row.health,
        .reason = effect->reason,
        .edge = effect->edge,
        .manager = manager->id,
        .epoch = row.epoch,
        .seq = effect->seq,
        .at = at,
    };
}

/* A row that could not be built stays as it was, marked for the next refresh. */
static void row_built(const struct hb_worker *worker, enum hb_err err)
{
    if (err != HB_OK)
        hb_log(HB_LOG_ERROR, "row_not_built", HB_LS("worker", worker->id), HB_LS("cause", hb_err_text(err)));
}

static void fan_out_transition(struct hb_manager *manager, const struct hb_effect *effect, hb_wall_ms at)
{
    struct hb_event event = event_of(manager, effect, at);

    manager->counters.transitions++;
    log_transition(effect);
    hb_outbox_push(manager->outbox, &event);
    if (effect->gone)
        hb_mirror_drop(manager->mirror, effect->worker);
    else
        row_built(effect->worker, hb_mirror_change(manager->mirror, effect->worker));
}

static void tell_listeners(struct hb_manager *manager, const struct hb_effect *effect, struct hb_moment now)
{
    for (size_t i = 0; i < manager->listener_count; i++)
        manager->listeners[i].changed(manager->listeners[i].self, effect, now);
}

static void fan_out(struct hb_manager *manager, const struct hb_effects *effects, struct hb_moment now)
{
    bool worth_storing = false;

    for (size_t i = 0; i < effects->count; i++) {
        const struct hb_effect *effect = &effects->items[i];

        switch (effect->kind) {
        case HB_EFFECT_TRANSITION:
            fan_out_transition(manager, effect, now.wall);
            tell_listeners(manager, effect, now);
            worth_storing = true;
            break;
        case HB_EFFECT_ROW_CHANGED:
            row_built(effect->worker, hb_mirror_change(manager->mirror, effect->worker));
            tell_listeners(manager, effect, now);
            worth_storing = true;
            break;
        case HB_EFFECT_PROBE:
            manager->poller.probe(manager->poller.self, effect->worker);
            break;
        case HB_EFFECT_CLOSE_SOCKET:
            manager->sockets.close(manager->sockets.self, effect->socket, effect->close_code);
            break;
        }
    }
    if (worth_storing)
        manager->store.wake(manager->store.self);
}

/* Whatever became of the input. */
static void count(struct hb_manager *manager, const struct hb_input *input, enum hb_err err,
                  const struct hb_effects *effects)
{
    struct hb_metrics *metrics = &manager->metrics;

    if (effects->worker != NULL && input->kind == HB_INPUT_BEAT) {
        manager->counters.beats++;
        hb_metrics_beat(metrics, effects);
    } else if (input->kind == HB_INPUT_POLLED) {
        if (err == HB_OK) /* else its answer came too late to count, or its ticket was only given back */
            hb_metrics_polled(metrics, input->poll);
    } else if (input->kind == HB_INPUT_PROBED) {
        hb_metrics_probed(metrics, input->poll);
    } else if (err == HB_ERR_CONFLICT) {
        metrics->id_conflicts++;
    }
    hb_metrics_effects(metrics, effects);
}

enum hb_err hb_manager_apply(struct hb_manager *manager, const struct hb_input *input, struct hb_moment now)
{
    struct hb_effects effects;
    enum hb_err err = hb_registry_step(manager->registry, input, now, &effects);

    count(manager, input, err, &effects);
    if (effects.worker != NULL && effects.count == 0)
        row_built(effects.worker, hb_mirror_touch(manager->mirror, effects.worker));
    fan_out(manager, &effects, now);
    return err;
}

bool hb_manager_expire(struct hb_manager *manager, struct hb_moment now, unsigned most)
{
    struct hb_effects effects;

    while (most-- > 0) {
        if (!hb_registry_expire(manager->registry, now, &effects))
            return false;
        hb_metrics_effects(&manager->metrics, &effects);
        hb_metrics_expired(&manager->metrics, &effects, hb_registry_rules(manager->registry));
        fan_out(manager, &effects, now);
    }
    return hb_registry_next_deadline(manager->registry).ms <= now.mono.ms;
}

hb_mono_ms hb_manager_next_deadline(const struct hb_manager *manager)
{
    return hb_registry_next_deadline(manager->registry);
}

void hb_manager_stalled(struct hb_manager *manager, int64_t gap_ms)
{
    manager->counters.stalls++;
    manager->skew_ms += gap_ms;
    hb_registry_skew(manager->registry, gap_ms);
    hb_log(HB_LOG_WARN, "manager_stall", HB_LD("gap", gap_ms), HB_LI("workers", hb_registry_count(manager->registry)));
}

void hb_manager_stored_epoch(struct hb_manager *manager, uint64_t stored_epoch)
{
    if (stored_epoch < hb_registry_epoch(manager->registry))
        return;
    hb_registry_set_epoch(manager->registry, stored_epoch + 1);
    hb_log(HB_LOG_WARN, "epoch_raised", HB_LI("stored", stored_epoch),
           HB_LS("cause", "the wall clock is behind that of the last start"));
    hb_outbox_clear(manager->outbox);
    for (size_t i = 0; i < hb_registry_count(manager->registry); i++) {
        struct hb_worker *worker = hb_registry_worker_at(manager->registry, i);

        row_built(worker, hb_mirror_change(manager->mirror, worker));
    }
}

void hb_manager_restored(struct hb_manager *manager)
{
    hb_registry_set_restoring(manager->registry, false);
}

struct hb_text hb_manager_id(const struct hb_manager *manager)
{
    return manager->id;
}

struct hb_registry *hb_manager_registry(struct hb_manager *manager)
{
    return manager->registry;
}

struct hb_mirror *hb_manager_mirror(struct hb_manager *manager)
{
    return manager->mirror;
}

struct hb_outbox *hb_manager_outbox(struct hb_manager *manager)
{
    return manager->outbox;
}

struct hb_manager_counters *hb_manager_counters(struct hb_manager *manager)
{
    return &manager->counters;
}

struct hb_metrics *hb_manager_metrics(struct hb_manager *manager)
{
    return &manager->metrics;
}

hb_mono_ms hb_manager_registry_time(const struct hb_manager *manager, hb_mono_ms now)
{
    return (hb_mono_ms){now.ms - manager->skew_ms};
}
