#include "worker/session.h"

#include "proto/wire/message.h"

void hb_session_init(struct hb_session *session, const struct hb_session_config *config)
{
    *session = (struct hb_session){.config = *config, .state = HB_SESSION_IDLE};
}

static bool reached(hb_mono_ms deadline, hb_mono_ms now)
{
    return hb_mono_between(deadline, now) >= 0;
}

static bool attempting(const struct hb_session *session)
{
    return session->state == HB_SESSION_RESOLVING || session->state == HB_SESSION_REGISTERING ||
           session->state == HB_SESSION_CONNECTING;
}

/* Evenly from 0 to ceiling_ms, both included. */
static int64_t jitter(int64_t ceiling_ms, uint32_t random)
{
    return (int64_t)(((uint64_t)random * (uint64_t)(ceiling_ms + 1)) >> 32);
}

static int64_t backoff_ceiling(const struct hb_session *session)
{
    int64_t ceiling = HB_SESSION_BACKOFF_FIRST_MS;
    for (unsigned i = 0; i < session->failures && ceiling < session->config.reconnect_max_ms; i++)
        ceiling *= 2;
    return ceiling < session->config.reconnect_max_ms ? ceiling : session->config.reconnect_max_ms;
}

/* --- attempts: resolve, register, connect ------------------------------------------------------------------------ */

static unsigned begin_attempt(struct hb_session *session, hb_mono_ms now)
{
    session->state = HB_SESSION_RESOLVING;
    session->attempt_until = hb_mono_add(now, HB_SESSION_ATTEMPT_MS);
    return HB_SESSION_DO_RESOLVE;
}

static unsigned wait_for(struct hb_session *session, int64_t delay_ms, hb_mono_ms now)
{
    session->state = HB_SESSION_WAITING;
    session->retry_at = hb_mono_add(now, delay_ms);
    if (session->failures < UINT8_MAX) /* far beyond where the ceiling is reached */
        session->failures++;
    return 0;
}

static unsigned back_off(struct hb_session *session, uint32_t random, hb_mono_ms now)
{
    return wait_for(session, jitter(backoff_ceiling(session), random), now);
}

/*
 * Each address gets an even share of what is left of the attempt, so that one that swallows packets (an IPv6 route to
 * nowhere, say) cannot eat the time of those behind it.
 */
static unsigned register_at(struct hb_session *session, unsigned address, hb_mono_ms now)
{
    int64_t left_ms = hb_mono_between(now, session->attempt_until);
    session->state = HB_SESSION_REGISTERING;
    session->address = address;
    session->address_until = hb_mono_add(now, left_ms / (int64_t)(session->address_count - address));
    return HB_SESSION_DO_REGISTER;
}

static unsigned address_failed(struct hb_session *session, uint32_t random, hb_mono_ms now)
{
    if (session->address + 1 < session->address_count && !reached(session->attempt_until, now))
        return register_at(session, session->address + 1, now);
    return back_off(session, random, now);
}

static unsigned attempt_tick(struct hb_session *session, uint32_t random, hb_mono_ms now)
{
    if (reached(session->attempt_until, now))
        return HB_SESSION_DO_ABORT | back_off(session, random, now);
    if (session->state == HB_SESSION_REGISTERING && reached(session->address_until, now))
        return HB_SESSION_DO_ABORT | address_failed(session, random, now);
    return 0;
}

/* --- online: beats and losses ------------------------------------------------------------------------------------ */

static unsigned beat(struct hb_session *session)
{
    if (session->config.beats_max > 0 && session->beats_sent >= session->config.beats_max)
        return 0;
    session->beats_sent++;
    return HB_SESSION_DO_SEND_BEAT;
}

static unsigned go_online(struct hb_session *session, hb_mono_ms now)
{
    session->state = HB_SESSION_ONLINE;
    session->online_since = now;
    session->beat_due = hb_mono_add(now, session->config.interval_ms);
    return beat(session);
}

/*
 * The next beat is due one interval after the last was due, not after it was sent, so lateness never adds up. After a
 * pause the missed ones are left out: one beat says all that a burst would.
 */
static unsigned beat_tick(struct hb_session *session, hb_mono_ms now)
{
    if (!reached(session->beat_due, now))
        return 0;
    int64_t missed = hb_mono_between(session->beat_due, now) / session->config.interval_ms;
    session->beat_due = hb_mono_add(session->beat_due, (missed + 1) * session->config.interval_ms);
    return beat(session);
}

/* A connection that lasted proves the manager well; one that is dropped at once, again and again, does not. */
static void settle_failures(struct hb_session *session, hb_mono_ms now)
{
    if (hb_mono_between(session->online_since, now) >= session->config.reconnect_max_ms)
        session->failures = 0;
}

static unsigned lose_socket(struct hb_session *session, int close_code, uint32_t random, hb_mono_ms now)
{
    settle_failures(session, now);
    switch (close_code) {
    case HB_CLOSE_RESTART: /* it said that it comes back: as fast as jitter allows */
        return wait_for(session, jitter(HB_SESSION_BACKOFF_FIRST_MS, random), now);
    case HB_CLOSE_REPLACED: /* somebody else has this id: do not fight for it */
        return wait_for(session, session->config.reconnect_max_ms, now);
    case HB_CLOSE_REMOVED:
        return wait_for(session, HB_SESSION_REMOVED_MS, now);
    case HB_CLOSE_CONFLICT:
        return wait_for(session, HB_SESSION_CONFLICT_MS, now);
    default:
        return back_off(session, random, now);
    }
}

static unsigned online_tick(struct hb_session *session, uint32_t random, hb_mono_ms now)
{
    int64_t online_max_ms = session->config.online_max_ms;
    if (online_max_ms > 0 && reached(hb_mono_add(session->online_since, online_max_ms), now))
        return HB_SESSION_DO_ABORT | lose_socket(session, HB_CLOSE_ABNORMAL, random, now);
    return beat_tick(session, now);
}

/* --- leaving ----------------------------------------------------------------------------------------------------- */

static unsigned stop(struct hb_session *session)
{
    session->state = HB_SESSION_STOPPED;
    return HB_SESSION_DO_STOP;
}

static unsigned leave(struct hb_session *session, hb_mono_ms now)
{
    if (session->state != HB_SESSION_ONLINE)
        return (attempting(session) ? HB_SESSION_DO_ABORT : 0U) | stop(session);
    session->state = HB_SESSION_LEAVING;
    session->leave_until = hb_mono_add(now, HB_SESSION_BYE_MS);
    return HB_SESSION_DO_SEND_BYE;
}

static bool leaving(const struct hb_session *session)
{
    return session->state == HB_SESSION_LEAVING || session->state == HB_SESSION_CLOSING;
}

static unsigned close_politely(struct hb_session *session, hb_mono_ms now)
{
    session->state = HB_SESSION_CLOSING;
    session->leave_until = hb_mono_add(now, HB_SESSION_CLOSE_MS);
    return HB_SESSION_DO_CLOSE;
}

static unsigned stop_requested(struct hb_session *session, hb_mono_ms now)
{
    bool second = session->draining || leaving(session);
    if (second)
        return HB_SESSION_DO_ABORT | stop(session);
    if (session->config.drain_ms == 0 || session->state == HB_SESSION_IDLE)
        return leave(session, now);
    session->draining = true;
    session->drain_until = hb_mono_add(now, session->config.drain_ms);
    return session->state == HB_SESSION_ONLINE ? beat(session) : 0;
}

/* --- the transition function ------------------------------------------------------------------------------------- */

static unsigned tick(struct hb_session *session, uint32_t random, hb_mono_ms now)
{
    if (session->draining && !leaving(session) && reached(session->drain_until, now))
        return leave(session, now);
    switch (session->state) {
    case HB_SESSION_RESOLVING:
    case HB_SESSION_REGISTERING:
    case HB_SESSION_CONNECTING:
        return attempt_tick(session, random, now);
    case HB_SESSION_ONLINE:
        return online_tick(session, random, now);
    case HB_SESSION_WAITING:
        return reached(session->retry_at, now) ? begin_attempt(session, now) : 0;
    case HB_SESSION_LEAVING:
        return reached(session->leave_until, now) ? close_politely(session, now) : 0;
    case HB_SESSION_CLOSING:
        return reached(session->leave_until, now) ? HB_SESSION_DO_ABORT | stop(session) : 0;
    case HB_SESSION_IDLE:
    case HB_SESSION_STOPPED:
        break;
    }
    return 0;
}

static unsigned closed(struct hb_session *session, const struct hb_session_input *input, hb_mono_ms now)
{
    if (leaving(session))
        return stop(session);
    return session->state == HB_SESSION_ONLINE ? lose_socket(session, input->close_code, input->random, now) : 0;
}

unsigned hb_session_step(struct hb_session *session, const struct hb_session_input *input, hb_mono_ms now)
{
    enum hb_session_state state = session->state;
    if (state == HB_SESSION_STOPPED)
        return 0;
    switch (input->kind) {
    case HB_SESSION_START:
        return state == HB_SESSION_IDLE ? begin_attempt(session, now) : 0;
    case HB_SESSION_TICK:
        return tick(session, input->random, now);
    case HB_SESSION_RESOLVED:
        if (state != HB_SESSION_RESOLVING || input->address_count == 0)
            return 0;
        session->address_count = input->address_count;
        return register_at(session, 0, now);
    case HB_SESSION_RESOLVE_FAILED:
        return state == HB_SESSION_RESOLVING ? back_off(session, input->random, now) : 0;
    case HB_SESSION_REGISTERED:
        if (state != HB_SESSION_REGISTERING)
            return 0;
        session->state = HB_SESSION_CONNECTING;
        return HB_SESSION_DO_CONNECT;
    case HB_SESSION_REGISTER_FAILED:
        return state == HB_SESSION_REGISTERING ? address_failed(session, input->random, now) : 0;
    case HB_SESSION_REGISTER_REFUSED:
        return state == HB_SESSION_REGISTERING ? back_off(session, input->random, now) : 0;
    case HB_SESSION_CONNECTED:
        return state == HB_SESSION_CONNECTING ? go_online(session, now) : 0;
    case HB_SESSION_CONNECT_FAILED:
        return state == HB_SESSION_CONNECTING ? back_off(session, input->random, now) : 0;
    case HB_SESSION_CLOSED:
        return closed(session, input, now);
    case HB_SESSION_STOP_REQUESTED:
        return stop_requested(session, now);
    }
    return 0;
}

static hb_mono_ms state_deadline(const struct hb_session *session)
{
    switch (session->state) {
    case HB_SESSION_RESOLVING:
    case HB_SESSION_CONNECTING:
        return session->attempt_until;
    case HB_SESSION_REGISTERING:
        return hb_mono_earlier(session->attempt_until, session->address_until);
    case HB_SESSION_ONLINE:
        if (session->config.online_max_ms > 0)
            return hb_mono_earlier(session->beat_due,
                                   hb_mono_add(session->online_since, session->config.online_max_ms));
        return session->beat_due;
    case HB_SESSION_WAITING:
        return session->retry_at;
    case HB_SESSION_LEAVING:
    case HB_SESSION_CLOSING:
        return session->leave_until;
    case HB_SESSION_IDLE:
    case HB_SESSION_STOPPED:
        break;
    }
    return HB_MONO_NEVER;
}

hb_mono_ms hb_session_deadline(const struct hb_session *session)
{
    hb_mono_ms deadline = state_deadline(session);
    bool drains = session->draining && !leaving(session) && session->state != HB_SESSION_STOPPED;
    return drains ? hb_mono_earlier(deadline, session->drain_until) : deadline;
}
