/*
 * Polling: is it well, apart from being there?
 *
 * One poll changes `ready` and `health` at once, as they are. `serving` follows poll_up, which takes POLL_FALL polls in
 * a row that were not ready to go down and POLL_RISE to come back; who has never been up needs one. Of those that are
 * only polled, any HTTP answer is a sign of life, and POLL_FALL polls without one are silence.
 */
#include <stdlib.h>

#include "manager/core/registry_internal.h"

/* ---- targets ---- */

/*
 * Spreads ids over the interval, each at the same place in every life. FNV-1a, and the last step of MurmurHash3 (Austin
 * Appleby): without it worker-1 to worker-20 would have almost the same high bits, and those are what counts here.
 */
static uint32_t phase_of(const struct hb_worker *worker)
{
    uint32_t hash = 2166136261u;

    for (const char *at = worker->id; *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * 16777619u;
    hash = (hash ^ hash >> 16) * 0x85ebca6bu;
    hash = (hash ^ hash >> 13) * 0xc2b2ae35u;
    return hash ^ hash >> 16;
}

enum hb_err hb_poll_admit(struct hb_turn *turn, struct hb_worker *worker)
{
    struct hb_poll_target *target;
    enum hb_err err;

    if (!turn->registry->rules.polling || worker->poll != NULL)
        return HB_OK;
    target = calloc(1, sizeof *target);
    if (target == NULL)
        return HB_ERR_NO_MEMORY;
    target->worker = worker;
    target->phase = phase_of(worker);
    target->uptime_ms = -1;
    err = hb_poll_schedule_add(&turn->registry->polls, target, turn->now);
    if (err != HB_OK) {
        free(target);
        return err;
    }
    worker->poll = target;
    return HB_OK;
}

void hb_poll_give_up(struct hb_registry *registry, struct hb_worker *worker)
{
    if (worker->poll == NULL)
        return;
    hb_poll_schedule_remove(&registry->polls, worker->poll);
    free(worker->poll);
    worker->poll = NULL;
}

void hb_poll_settle(struct hb_turn *turn, struct hb_worker *worker)
{
    if (worker->url == NULL)
        hb_poll_give_up(turn->registry, worker);
}

void hb_poll_renew(struct hb_turn *turn, struct hb_worker *worker, bool url_changed)
{
    struct hb_poll_target *target = worker->poll;

    if (target == NULL)
        return;
    if (target->ticket != 0)
        target->outdated |= url_changed;
    else
        hb_poll_schedule_hasten(&turn->registry->polls, target, turn->now);
}

/* ---- verdicts ---- */

static bool is_ready(const struct hb_poll_result *result)
{
    return result->outcome == HB_POLL_ANSWERED && (result->code == 200 || result->code == 0);
}

static enum hb_health health_of(const struct hb_worker *worker, const struct hb_poll_result *result, double most_errors)
{
    if (result->outcome != HB_POLL_ANSWERED)
        return HB_HEALTH_DEAD;
    if (!is_ready(result))
        return HB_HEALTH_UNHEALTHY;
    if (worker->errors > 0 && worker->requests > 0 && (double)worker->errors > most_errors * (double)worker->requests)
        return HB_HEALTH_DEGRADED;
    return HB_HEALTH_HEALTHY;
}

static uint8_t one_more(uint8_t count)
{
    return count < UINT8_MAX ? (uint8_t)(count + 1) : count;
}

/* What the poll saw, before anything is concluded from it. */
static void note(struct hb_turn *turn, struct hb_worker *worker, const struct hb_poll_result *result)
{
    struct hb_poll_target *target = worker->poll;
    const struct hb_beat figures = {
        .attributes = result->attributes, .requests = result->requests, .errors = result->errors};
    bool ready = is_ready(result);

    target->checked = turn->now;
    target->outcome = (uint8_t)result->outcome;
    target->code = result->code;
    target->latency_us = result->latency_us;
    if (result->uptime_ms >= 0)
        target->uptime_ms = result->uptime_ms;
    target->fails = ready ? 0 : one_more(target->fails);
    target->passes = ready ? one_more(target->passes) : 0;
    target->silent = result->outcome == HB_POLL_ANSWERED ? 0 : one_more(target->silent);
    hb_worker_set_figures(worker, &figures, &turn->registry->texts);
}

static void judge_up(struct hb_worker *worker, const struct hb_registry_rules *rules)
{
    const struct hb_poll_target *target = worker->poll;
    bool newcomer = worker->announced == HB_ANNOUNCED_NONE;

    if (worker->poll_up && target->fails >= rules->poll_fall)
        worker->poll_up = false;
    else if (!worker->poll_up && target->passes >= (newcomer ? 1 : rules->poll_rise))
        worker->poll_up = true;
}

/* Of one that is only polled: whether it is there. */
static void judge_presence(struct hb_turn *turn, struct hb_worker *worker)
{
    const struct hb_poll_target *target = worker->poll;

    worker->unverified = false;
    if (target->silent == 0) {
        worker->status = HB_STATUS_ALIVE;
        worker->last_contact = turn->now;
        worker->last_heartbeat = turn->wall;
    } else if (target->silent >= turn->registry->rules.poll_fall) {
        worker->status = HB_STATUS_NOT_RESPONDING;
    }
}

/* It has begun to differ from what is said of it, and the verdict is still out. */
static bool is_undecided(const struct hb_worker *worker, const struct hb_registry_rules *rules)
{
    const struct hb_poll_target *target = worker->poll;

    if (!worker->beats && target->silent > 0 && target->silent < rules->poll_fall)
        return true;
    return worker->poll_up ? target->fails > 0 : target->passes > 0;
}

enum hb_err hb_apply_polled(struct hb_turn *turn, struct hb_worker *worker, const struct hb_input *input)
{
    const struct hb_registry_rules *rules = &turn->registry->rules;
    struct hb_before before;
    bool was_unverified;

    hb_poll_schedule_ended(&turn->registry->polls);
    if (worker == NULL || worker->poll == NULL || worker->poll->ticket != input->ticket)
        return HB_ERR_STALE;
    if (worker->poll->outdated) {
        worker->poll->outdated = false;
        worker->poll->ticket = 0;
        hb_poll_schedule_hasten(&turn->registry->polls, worker->poll, turn->now);
        return HB_ERR_STALE;
    }
    before = hb_turn_before(turn, worker);
    was_unverified = worker->unverified;
    note(turn, worker, input->poll);
    worker->ready = is_ready(input->poll);
    worker->health = health_of(worker, input->poll, rules->degraded_error_rate);
    judge_up(worker, rules);
    if (!worker->beats)
        judge_presence(turn, worker);
    worker->poll->down = !worker->poll_up && worker->poll->fails >= rules->poll_fall;
    hb_poll_schedule_again(&turn->registry->polls, worker->poll,
                           worker->poll_interval_ms != 0 ? worker->poll_interval_ms : rules->poll_interval_ms,
                           is_undecided(worker, rules) ? rules->poll_fast_ms : 0, turn->now);
    turn->effects->worker = worker;
    if (was_unverified && !worker->unverified)
        hb_turn_settle_row(turn, worker, &before, HB_REASON_POLL, false);
    else
        hb_turn_settle(turn, worker, &before, HB_REASON_POLL, false);
    return HB_OK;
}

/* ---- probes ---- */

void hb_poll_ask_probe(struct hb_turn *turn, struct hb_worker *worker)
{
    if (turn->registry->rules.polling && hb_worker_has_address(worker))
        hb_turn_push(turn, HB_EFFECT_PROBE, worker);
}

enum hb_err hb_apply_probed(struct hb_turn *turn, struct hb_worker *worker, const struct hb_input *input)
{
    bool gone = input->poll->outcome == HB_POLL_REFUSED || input->poll->outcome == HB_POLL_UNREACHABLE;
    struct hb_before before;

    if (worker == NULL || !hb_worker_visible(worker) || worker->socket != NULL ||
        worker->hold_until.ms == HB_MONO_NEVER.ms || worker->hold_until.ms != (int64_t)input->ticket)
        return HB_ERR_STALE; /* it has come back, its grace is over, or is that of another end by now */
    if (!gone)
        return HB_OK; /* whoever answers there may still be it: the grace goes on */
    before = hb_turn_before(turn, worker);
    worker->hold_until = HB_MONO_NEVER;
    hb_turn_settle_row(turn, worker, &before, HB_REASON_PROBE_REFUSED, false);
    return HB_OK;
}
