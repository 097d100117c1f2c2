#include "tests/sim/compare.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static bool differ(char text[HB_COMPARE_TEXT], const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool differ(char text[HB_COMPARE_TEXT], const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, HB_COMPARE_TEXT, format, arguments);
    va_end(arguments);
    return false;
}

static bool same_flags(const struct hb_model_worker *model, const struct hb_worker *worker, char text[HB_COMPARE_TEXT])
{
    const struct {
        const char *name;
        bool is, should;
    } flags[] = {
        {"serving", worker->serving, model->serving},          {"beats", worker->beats, model->beats},
        {"draining", worker->draining, model->draining},       {"maintenance", worker->maintenance, model->maintenance},
        {"unverified", worker->unverified, model->unverified}, {"id_conflict", worker->id_conflict, model->conflict},
    };

    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (flags[i].is != flags[i].should)
            return differ(text, "%s is %d and should be %d", flags[i].name, flags[i].is, flags[i].should);
    }
    return true;
}

bool hb_compare_worker(const struct hb_model_worker *model, const struct hb_worker *worker, char text[HB_COMPARE_TEXT])
{
    if ((worker != NULL) != hb_model_visible(model))
        return differ(text, "it is %svisible and should%s be", worker != NULL ? "" : "not ",
                      worker != NULL ? " not" : "");
    if (worker == NULL)
        return true;
    if (worker->status != model->status)
        return differ(text, "its status is %s and should be %s", hb_status_text((enum hb_status)worker->status),
                      hb_status_text((enum hb_status)model->status));
    if (worker->announced != model->announced)
        return differ(text, "announced is %s and should be %s", hb_announced_text((enum hb_announced)worker->announced),
                      hb_announced_text((enum hb_announced)model->announced));
    if (worker->reason != model->reason)
        return differ(text, "its reason is %s and should be %s", hb_reason_text((enum hb_reason)worker->reason),
                      hb_reason_text((enum hb_reason)model->reason));
    if (worker->socket != model->socket)
        return differ(text, "its socket is %p and should be %p", worker->socket, model->socket);
    if (worker->seq != model->seq)
        return differ(text, "its seq is %" PRIu64 " and should be %" PRIu64, worker->seq, model->seq);
    if (worker->last_contact.ms != model->contact_ms)
        return differ(text, "its last contact was %" PRId64 " ms and should be %" PRId64 " ms", worker->last_contact.ms,
                      model->contact_ms);
    if (worker->timeout_ms != model->timeout_ms)
        return differ(text, "its timeout is %" PRIu32 " ms and should be %" PRId64 " ms", worker->timeout_ms,
                      model->timeout_ms);
    if (worker->hold_until.ms != model->hold_until_ms)
        return differ(text, "it is held until %" PRId64 " ms and should be until %" PRId64 " ms", worker->hold_until.ms,
                      model->hold_until_ms);
    return same_flags(model, worker, text);
}

static bool same_transition(const struct hb_model_told *told, const struct hb_effect *effect,
                            char text[HB_COMPARE_TEXT])
{
    enum hb_status status = (enum hb_status)effect->worker->status;

    if (!told->transition)
        return differ(text, "a transition %s to %s, reason %s, should not be told", hb_status_text(effect->previous),
                      hb_status_text(status), hb_reason_text(effect->reason));
    if (effect->seq != told->seq)
        return differ(text, "the transition has seq %" PRIu64 " and should have %" PRIu64, effect->seq, told->seq);
    if (effect->previous != told->previous || status != told->status)
        return differ(text, "told %s to %s, should be %s to %s", hb_status_text(effect->previous),
                      hb_status_text(status), hb_status_text(told->previous), hb_status_text(told->status));
    if (effect->edge != told->edge)
        return differ(text, "announced \"%s\", should be \"%s\"", hb_edge_channel(effect->edge),
                      hb_edge_channel(told->edge));
    if (effect->reason != told->reason)
        return differ(text, "told the reason %s, should be %s", hb_reason_text(effect->reason),
                      hb_reason_text(told->reason));
    if (effect->silence_ms != told->silence_ms)
        return differ(text, "told a silence of %" PRId64 " ms, should be %" PRId64 " ms", effect->silence_ms,
                      told->silence_ms);
    if (effect->socket_code != told->socket_code)
        return differ(text, "told close code %u, should be %u", (unsigned)effect->socket_code,
                      (unsigned)told->socket_code);
    if (effect->gone != told->gone)
        return differ(text, "gone is %d and should be %d", effect->gone, told->gone);
    return true;
}

bool hb_compare_effects(const struct hb_model_told *told, const struct hb_effects *effects, char text[HB_COMPARE_TEXT])
{
    size_t transitions = 0;
    size_t closes = 0;

    if ((effects->worker != NULL) != told->beat)
        return differ(text, "a beat was %scounted", told->beat ? "not " : "");
    for (size_t i = 0; i < effects->count; i++) {
        const struct hb_effect *effect = &effects->items[i];

        if (effect->kind == HB_EFFECT_TRANSITION) {
            transitions++;
            if (!same_transition(told, effect, text))
                return false;
        } else if (effect->kind == HB_EFFECT_CLOSE_SOCKET) {
            closes++;
            if (effect->socket != told->closed || effect->close_code != told->close_code)
                return differ(text, "socket %p is closed with %u, should be %p with %u", effect->socket,
                              (unsigned)effect->close_code, told->closed, (unsigned)told->close_code);
        }
    }
    if (transitions != (told->transition ? 1 : 0))
        return differ(text, "%zu transitions were told, should be %d: %s to %s", transitions, told->transition,
                      hb_status_text(told->previous), hb_status_text(told->status));
    if (closes != (told->closed != NULL ? 1 : 0))
        return differ(text, "%zu sockets are closed, should be %d", closes, told->closed != NULL);
    return true;
}
