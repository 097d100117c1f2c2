#include "manager/app/timeline_view.h"

static void append_bool(struct hb_buf *json, const char *member, bool value)
{
    hb_buf_printf(json, ",\"%s\":%s", member, value ? "true" : "false");
}

/* What was measured or received, as far as there is any. */
static void append_evidence(struct hb_buf *json, const struct hb_transition *transition)
{
    hb_buf_append_str(json, ",\"evidence\":{\"silence\":");
    hb_buf_append_seconds(json, transition->silence_ms);
    if (transition->close_code != 0)
        hb_buf_printf(json, ",\"close_code\":%u", transition->close_code);
    if (transition->poll_code != 0)
        hb_buf_printf(json, ",\"poll_code\":%u", transition->poll_code);
    if (transition->outcome != HB_POLL_NONE)
        hb_buf_printf(json, ",\"poll_outcome\":\"%s\"", hb_poll_outcome_text(transition->outcome));
    hb_buf_append_char(json, '}');
}

static void append_transition(struct hb_buf *json, const struct hb_transition *transition, uint64_t epoch, uint64_t seq)
{
    char at[HB_WALL_TEXT_SIZE];

    hb_wall_format(transition->at, at);
    hb_buf_printf(json, "{\"at\":\"%s\",\"status\":\"%s\",\"previous\":\"%s\",\"reason\":\"%s\"", at,
                  hb_status_text(transition->status), hb_status_text(transition->previous),
                  hb_reason_text(transition->reason));
    append_bool(json, "serving", transition->serving);
    if (transition->edge != HB_EDGE_NONE)
        hb_buf_printf(json, ",\"announced\":\"%s\"", hb_edge_channel(transition->edge));
    append_bool(json, "ready", transition->ready);
    hb_buf_printf(json, ",\"health\":\"%s\"", hb_health_text(transition->health));
    if (transition->draining)
        append_bool(json, "draining", true);
    if (transition->maintenance)
        append_bool(json, "maintenance", true);
    append_evidence(json, transition);
    hb_buf_printf(json, ",\"epoch\":%llu,\"seq\":%llu}", (unsigned long long)epoch, (unsigned long long)seq);
}

void hb_timeline_view(struct hb_buf *json, const struct hb_worker *worker, uint64_t epoch)
{
    const struct hb_timeline *timeline = &worker->timeline;

    hb_buf_append_str(json, "{\"worker_id\":");
    hb_buf_append_json(json, (struct hb_text){worker->id, worker->id_len});
    hb_buf_append_str(json, ",\"transitions\":[");
    for (size_t i = 0; i < timeline->count; i++) {
        const struct hb_transition *transition = hb_timeline_at(timeline, i);

        if (i > 0)
            hb_buf_append_char(json, ',');
        append_transition(json, transition, epoch, hb_timeline_seq(transition, worker->seq));
    }
    hb_buf_append_str(json, "]}");
}
