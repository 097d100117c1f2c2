/*
 * metrics: what this manager has counted and measured since it started, beyond what others count for themselves.
 *
 * The manager owns one and feeds it from its own steps; the loop adds its lag, the Redis session its round trips. All
 * of it is plain numbers: who shows them reads the struct.
 */
#ifndef HB_APP_METRICS_H
#define HB_APP_METRICS_H

#include "manager/app/histogram.h"
#include "manager/core/registry.h"

/* How many words each vocabulary has. */
#define HB_ONE_WORD(name, text) 0,
enum {
    HB_STATUSES = sizeof((char[]){HB_STATUS_MAP(HB_ONE_WORD)}),
    HB_HEALTHS = sizeof((char[]){HB_HEALTH_MAP(HB_ONE_WORD)}),
    HB_EDGES = sizeof((char[]){HB_EDGE_MAP(HB_ONE_WORD)}),
    HB_REASONS = sizeof((char[]){HB_REASON_MAP(HB_ONE_WORD)}),
    HB_POLL_OUTCOMES = sizeof((char[]){HB_POLL_OUTCOME_MAP(HB_ONE_WORD)}),
};
#undef HB_ONE_WORD

struct hb_metrics {
    uint64_t transitions[HB_REASONS];
    uint64_t announcements[HB_EDGES];
    uint64_t polls[HB_POLL_OUTCOMES];
    uint64_t probes[HB_POLL_OUTCOMES];
    uint64_t takeovers;
    uint64_t id_conflicts;
    struct hb_histogram beat_interval;    /* ms between two heartbeats of one worker */
    struct hb_histogram detection_delay;  /* ms from the moment a worker's timeout was over to the verdict */
    struct hb_histogram poll_duration;    /* us */
    struct hb_histogram loop_lag;         /* ms that the loop's timer came late */
    struct hb_histogram redis_round_trip; /* us from a command to its answer */
};

void hb_metrics_init(struct hb_metrics *metrics);

/* A heartbeat was counted: the time since the one before it, if there was one on this connection. */
void hb_metrics_beat(struct hb_metrics *metrics, const struct hb_effects *effects);
/* A poll has ended, or a probe. */
void hb_metrics_polled(struct hb_metrics *metrics, const struct hb_poll_result *result);
void hb_metrics_probed(struct hb_metrics *metrics, const struct hb_poll_result *result);
void hb_metrics_effects(struct hb_metrics *metrics, const struct hb_effects *effects);
/* Besides, when they are a deadline's: how late a verdict of silence was. */
void hb_metrics_expired(struct hb_metrics *metrics, const struct hb_effects *effects,
                        const struct hb_registry_rules *rules);

#endif
