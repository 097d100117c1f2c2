/*
 * behaviour: the faults a worker plays, so that a manager and a balancer can be watched finding them. Pure.
 */
#ifndef HB_WORKER_BEHAVIOUR_H
#define HB_WORKER_BEHAVIOUR_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/time.h"

/* The texts are the words of WORKER_BEHAVIOUR. */
#define HB_BEHAVIOUR_MAP(X)                                                                                            \
    X(HEALTHY, "healthy")     /* none */                                                                               \
    X(RANDOM, "random")       /* each draw is unhealthy with 20 %, and held 10 to 20 s */                              \
    X(DEGRADING, "degrading") /* one failed request more every two seconds, without end */                             \
    X(FLAPPING, "flapping")   /* drops its socket, without a close frame, every few seconds */                         \
    X(SLOW, "slow")           /* answers / and /health late */                                                         \
    X(FROZEN, "frozen")       /* goes silent after three beats, and keeps its socket */

enum hb_behaviour_kind {
#define HB_BEHAVIOUR_ENUM(name, text) HB_BEHAVIOUR_##name,
    HB_BEHAVIOUR_MAP(HB_BEHAVIOUR_ENUM)
#undef HB_BEHAVIOUR_ENUM
};

#define HB_BEHAVIOUR_UNHEALTHY_PERCENT 20
#define HB_BEHAVIOUR_HOLD_MIN_MS 10000
#define HB_BEHAVIOUR_HOLD_MAX_MS 20000
#define HB_BEHAVIOUR_FAILURE_MS 2000
#define HB_BEHAVIOUR_SLOW_MS 3000
#define HB_BEHAVIOUR_FLAP_MS 4000
#define HB_BEHAVIOUR_FROZEN_BEATS 3

struct hb_behaviour {
    enum hb_behaviour_kind kind;
    bool healthy;            /* random: what was drawn last */
    hb_mono_ms held_until;   /* random: when to draw again */
    hb_mono_ms next_failure; /* degrading */
};

void hb_behaviour_init(struct hb_behaviour *behaviour, enum hb_behaviour_kind kind, hb_mono_ms now);

/* What /health says now. random is fresh and evenly drawn; it is used only when the last draw is over. */
bool hb_behaviour_healthy(struct hb_behaviour *behaviour, hb_mono_ms now, uint32_t random);
/* Failed requests to add to the counts since the last call. */
int64_t hb_behaviour_new_failures(struct hb_behaviour *behaviour, hb_mono_ms now);

int64_t hb_behaviour_answer_delay_ms(const struct hb_behaviour *behaviour); /* 0: at once */
int64_t hb_behaviour_online_max_ms(enum hb_behaviour_kind kind);            /* 0: keeps its socket */
int64_t hb_behaviour_beats_max(enum hb_behaviour_kind kind);                /* 0: beats for ever */

#endif
