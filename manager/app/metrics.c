#include "manager/app/metrics.h"

static const struct hb_histogram_scale beat_interval_ms = {
    3, {50, 100, 250, 500, 1000, 2000, 3000, 4000, 5000, 5100, 5500, 7500, 10000, 15000, 30000, 60000}};
static const struct hb_histogram_scale detection_delay_ms = {
    3, {1, 2, 5, 10, 15, 20, 30, 50, 75, 100, 150, 250, 500, 1000, 2500, 10000}};
static const struct hb_histogram_scale poll_duration_us = {6,
                                                           {250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000,
                                                            250000, 500000, 1000000, 2000000, 5000000, 10000000,
                                                            30000000}};
static const struct hb_histogram_scale loop_lag_ms = {
    3, {1, 2, 3, 5, 10, 15, 20, 30, 50, 75, 100, 250, 500, 1000, 5000, 30000}};
static const struct hb_histogram_scale redis_round_trip_us = {
    6, {50, 100, 200, 350, 500, 750, 1000, 1500, 2500, 5000, 10000, 25000, 50000, 100000, 500000, 2000000}};

void hb_metrics_init(struct hb_metrics *metrics)
{
    *metrics = (struct hb_metrics){
        .beat_interval.scale = &beat_interval_ms,
        .detection_delay.scale = &detection_delay_ms,
        .poll_duration.scale = &poll_duration_us,
        .loop_lag.scale = &loop_lag_ms,
        .redis_round_trip.scale = &redis_round_trip_us,
    };
}

/* Whether the contact before this heartbeat was one too: then it was alive, or silent since. */
static bool follows_a_beat(const struct hb_effects *effects)
{
    for (size_t i = 0; i < effects->count; i++) {
        const struct hb_effect *effect = &effects->items[i];

        if (effect->kind == HB_EFFECT_TRANSITION && effect->previous != HB_STATUS_ALIVE &&
            effect->previous != HB_STATUS_NOT_RESPONDING)
            return false;
    }
    return true;
}

void hb_metrics_beat(struct hb_metrics *metrics, const struct hb_effects *effects)
{
    if (follows_a_beat(effects))
        hb_histogram_add(&metrics->beat_interval, effects->interval_ms);
}

void hb_metrics_polled(struct hb_metrics *metrics, const struct hb_poll_result *result)
{
    metrics->polls[result->outcome]++;
    hb_histogram_add(&metrics->poll_duration, result->latency_us);
}

void hb_metrics_probed(struct hb_metrics *metrics, const struct hb_poll_result *result)
{
    metrics->probes[result->outcome]++;
}

static void count(struct hb_metrics *metrics, const struct hb_effect *effect)
{
    if (effect->kind == HB_EFFECT_TRANSITION) {
        metrics->transitions[effect->reason]++;
        if (effect->edge != HB_EDGE_NONE)
            metrics->announcements[effect->edge]++;
    } else if (effect->kind == HB_EFFECT_CLOSE_SOCKET && effect->close_code == HB_CLOSE_REPLACED) {
        metrics->takeovers++;
    }
}

void hb_metrics_effects(struct hb_metrics *metrics, const struct hb_effects *effects)
{
    for (size_t i = 0; i < effects->count; i++)
        count(metrics, &effects->items[i]);
}

static bool is_time_out(const struct hb_effect *effect)
{
    return effect->kind == HB_EFFECT_TRANSITION && effect->worker->status == HB_STATUS_NOT_RESPONDING &&
           effect->previous != HB_STATUS_NOT_RESPONDING;
}

/* Its own timeout, or the time it was given after a restart. */
static int64_t patience_of(const struct hb_effect *effect, const struct hb_registry_rules *rules)
{
    int64_t timeout_ms = effect->worker->timeout_ms;

    if (effect->reason == HB_REASON_RESTART_GRACE && rules->restart_grace_ms > timeout_ms)
        return rules->restart_grace_ms;
    return timeout_ms;
}

void hb_metrics_expired(struct hb_metrics *metrics, const struct hb_effects *effects,
                        const struct hb_registry_rules *rules)
{
    for (size_t i = 0; i < effects->count; i++) {
        const struct hb_effect *effect = &effects->items[i];

        if (is_time_out(effect))
            hb_histogram_add(&metrics->detection_delay, effect->silence_ms - patience_of(effect, rules));
    }
}
