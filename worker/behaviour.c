#include "worker/behaviour.h"

void hb_behaviour_init(struct hb_behaviour *behaviour, enum hb_behaviour_kind kind, hb_mono_ms now)
{
    *behaviour = (struct hb_behaviour){
        .kind = kind,
        .healthy = true,
        .held_until = now,
        .next_failure = hb_mono_add(now, HB_BEHAVIOUR_FAILURE_MS),
    };
}

/* One number gives both: its high half the verdict, its low half how long the verdict is held. */
static void draw(struct hb_behaviour *behaviour, hb_mono_ms now, uint32_t random)
{
    int64_t range_ms = HB_BEHAVIOUR_HOLD_MAX_MS - HB_BEHAVIOUR_HOLD_MIN_MS;
    uint32_t high = random >> 16, low = random & 0xffff;
    behaviour->healthy = high * 100 / 0x10000 >= HB_BEHAVIOUR_UNHEALTHY_PERCENT;
    behaviour->held_until = hb_mono_add(now, HB_BEHAVIOUR_HOLD_MIN_MS + (int64_t)low * range_ms / 0xffff);
}

bool hb_behaviour_healthy(struct hb_behaviour *behaviour, hb_mono_ms now, uint32_t random)
{
    if (behaviour->kind != HB_BEHAVIOUR_RANDOM)
        return true;
    if (hb_mono_between(behaviour->held_until, now) >= 0)
        draw(behaviour, now, random);
    return behaviour->healthy;
}

int64_t hb_behaviour_new_failures(struct hb_behaviour *behaviour, hb_mono_ms now)
{
    if (behaviour->kind != HB_BEHAVIOUR_DEGRADING)
        return 0;
    int64_t late_ms = hb_mono_between(behaviour->next_failure, now);
    if (late_ms < 0)
        return 0;
    int64_t failures = late_ms / HB_BEHAVIOUR_FAILURE_MS + 1;
    behaviour->next_failure = hb_mono_add(behaviour->next_failure, failures * HB_BEHAVIOUR_FAILURE_MS);
    return failures;
}

int64_t hb_behaviour_answer_delay_ms(const struct hb_behaviour *behaviour)
{
    return behaviour->kind == HB_BEHAVIOUR_SLOW ? HB_BEHAVIOUR_SLOW_MS : 0;
}

int64_t hb_behaviour_online_max_ms(enum hb_behaviour_kind kind)
{
    return kind == HB_BEHAVIOUR_FLAPPING ? HB_BEHAVIOUR_FLAP_MS : 0;
}

int64_t hb_behaviour_beats_max(enum hb_behaviour_kind kind)
{
    return kind == HB_BEHAVIOUR_FROZEN ? HB_BEHAVIOUR_FROZEN_BEATS : 0;
}
