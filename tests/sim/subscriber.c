#include "tests/sim/subscriber.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/names.h"
#include "tests/sim/redis_server.h"
#include "tests/sim/stack.h"

#define UNSURE 255 /* of what was heard last of a worker */

static struct {
    uint8_t *heard; /* by worker: enum hb_announced, or UNSURE */
    uint64_t epoch, seq;
    uint64_t missing;
    bool set_back; /* the stream may repeat what Redis has lost */
    uint64_t events, heard_count, resets, told_lost;
} subscriber;

static void be_unsure(const struct sim *sim)
{
    memset(subscriber.heard, UNSURE, sim->options.workers);
}

void subscriber_open(struct sim *sim)
{
    memset(&subscriber, 0, sizeof subscriber);
    subscriber.heard = malloc(sim->options.workers);
    if (subscriber.heard == NULL)
        abort();
    be_unsure(sim);
}

void subscriber_close(void)
{
    free(subscriber.heard);
}

/* ---- reading JSON, as far as it is known how it is written ---- */

static const char *after(struct hb_text json, const char *key)
{
    const char *at = memmem(json.bytes, json.len, key, strlen(key));

    return at == NULL ? NULL : at + strlen(key);
}

static uint64_t number_of(struct hb_text json, const char *key)
{
    const char *at = after(json, key);

    return at == NULL ? 0 : strtoull(at, NULL, 10);
}

static uint32_t worker_of(const struct sim *sim, struct hb_text event)
{
    const char *at = after(event, "{\"server_id\":\"w");
    unsigned long index = at == NULL ? ULONG_MAX : strtoul(at, NULL, 10);

    return index < sim->options.workers ? (uint32_t)index : TIMELINE_NOBODY;
}

uint8_t subscriber_announced(struct hb_text row)
{
    const char *at = row.bytes == NULL ? NULL : after(row, "\"announced\":\"");

    if (at == NULL || strncmp(at, "none", 4) == 0)
        return HB_ANNOUNCED_NONE;
    return strncmp(at, "up", 2) == 0 ? HB_ANNOUNCED_UP : HB_ANNOUNCED_DOWN;
}

/* ---- the stream ---- */

/* A manager that has yet to read its rows can know no more of what was told than they say. */
static void believe_rows(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->options.workers; i++) {
        struct sim_worker *worker = &sim->workers[i];
        const struct hb_worker *known =
            sim->registry == NULL ? NULL
                                  : hb_registry_find(sim->registry, (struct hb_text){worker->id, worker->id_len});

        if (known == NULL || known->announced == HB_ANNOUNCED_NONE)
            worker->listener = subscriber_announced(server_row(i));
    }
}

void subscriber_set_back(struct sim *sim)
{
    subscriber.set_back = true;
    be_unsure(sim);
    if (!stack_is_loaded(sim))
        believe_rows(sim);
}

void subscriber_late_batch(struct sim *sim)
{
    be_unsure(sim);
    believe_rows(sim);
}

static void read_reset(struct sim *sim, struct hb_text event, uint64_t seq)
{
    uint64_t lost = number_of(event, "\"lost\":");

    subscriber.resets++;
    subscriber.told_lost += lost;
    subscriber.missing += seq - subscriber.seq;
    if (subscriber.missing > lost)
        timeline_break(&sim->timeline, TIMELINE_NOBODY, sim->now,
                       "a reset tells of %" PRIu64 " lost events, but %" PRIu64 " are missing up to seq %" PRIu64, lost,
                       subscriber.missing, seq);
    subscriber.missing = 0;
    be_unsure(sim);
}

/* State goes before its event: the row in the hash must not be older. */
static void check_state(struct sim *sim, struct hb_text event, uint64_t epoch, uint64_t seq)
{
    uint32_t index = worker_of(sim, event);
    struct hb_text row;

    if (index == TIMELINE_NOBODY) {
        timeline_break(&sim->timeline, index, sim->now, "an event of nobody: %.*s", (int)event.len, event.bytes);
        return;
    }
    row = server_row(index);
    sim_note(sim, index, "  in the stream: %.*s", (int)event.len, event.bytes);
    if (row.bytes == NULL) /* deleted since */
        return;
    if (number_of(row, "\"epoch\":") < epoch ||
        (number_of(row, "\"epoch\":") == epoch && number_of(row, "\"seq\":") < seq))
        timeline_break(&sim->timeline, index, sim->now,
                       "an event, seq %" PRIu64 ", of a state that is not stored: %.*s", seq, (int)row.len, row.bytes);
}

void subscriber_read(struct sim *sim, struct hb_text event)
{
    uint64_t epoch = number_of(event, "\"epoch\":");
    uint64_t seq = number_of(event, "\"seq\":");
    bool reset = after(event, "{\"event\":\"reset\"") != NULL;

    subscriber.events++;
    if (subscriber.set_back && (epoch != subscriber.epoch || seq <= subscriber.seq)) {
        subscriber.epoch = epoch;
        subscriber.seq = seq - 1;
        subscriber.missing = 0;
    } else if (epoch > subscriber.epoch) {
        subscriber.seq = 0; /* a new life; what the last one still had is gone with it */
        subscriber.missing = 0;
    }
    subscriber.set_back = false;
    if (epoch < subscriber.epoch || seq <= subscriber.seq)
        timeline_break(&sim->timeline, worker_of(sim, event), sim->now,
                       "the stream had epoch %" PRIu64 " seq %" PRIu64 " and now has %" PRIu64 " seq %" PRIu64,
                       subscriber.epoch, subscriber.seq, epoch, seq);
    if (reset)
        read_reset(sim, event, seq);
    else
        subscriber.missing += seq - subscriber.seq - 1;
    subscriber.epoch = epoch;
    subscriber.seq = seq;
    if (!reset)
        check_state(sim, event, epoch, seq);
}

/* ---- the channels ---- */

void subscriber_hear(struct sim *sim, struct hb_text channel, struct hb_text event)
{
    uint32_t index = worker_of(sim, event);
    uint8_t heard;

    subscriber.heard_count++;
    if (strcmp(channel.bytes, HB_CHANNEL_RESET) == 0)
        return;
    if (index == TIMELINE_NOBODY) {
        timeline_break(&sim->timeline, index, sim->now, "%s of nobody", channel.bytes);
        return;
    }
    heard = subscriber.heard[index];
    sim_note(sim, index, "  heard: %s", channel.bytes);
    if (number_of(event, "\"epoch\":") != subscriber.epoch || number_of(event, "\"seq\":") > subscriber.seq)
        timeline_break(&sim->timeline, index, sim->now, "%s is not in the stream", channel.bytes);
    if (strcmp(channel.bytes, hb_edge_channel(HB_EDGE_UP)) == 0) {
        subscriber.heard[index] = HB_ANNOUNCED_UP;
    } else if (strcmp(channel.bytes, hb_edge_channel(HB_EDGE_RECOVERY)) == 0) {
        if (heard != UNSURE && heard != HB_ANNOUNCED_DOWN)
            timeline_break(&sim->timeline, index, sim->now, "a recovery was published that follows no down");
        subscriber.heard[index] = HB_ANNOUNCED_UP;
    } else {
        bool down = strcmp(channel.bytes, hb_edge_channel(HB_EDGE_DOWN)) == 0;

        if (heard != UNSURE && heard != HB_ANNOUNCED_UP)
            timeline_break(&sim->timeline, index, sim->now, "%s was published of one that was not up", channel.bytes);
        subscriber.heard[index] = down ? HB_ANNOUNCED_DOWN : HB_ANNOUNCED_NONE;
    }
}

void subscriber_new_life(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->options.workers; i++) {
        uint8_t announced = subscriber_announced(server_row(i));

        sim->workers[i].listener = announced;
        if (subscriber.heard[i] == UNSURE || server_row(i).bytes == NULL || subscriber.missing != 0)
            continue;
        if (subscriber.heard[i] == HB_ANNOUNCED_DOWN && announced == HB_ANNOUNCED_NONE)
            continue; /* deleted while down, of which no channel tells, and back since */
        if (subscriber.heard[i] != announced)
            timeline_break(&sim->timeline, i, sim->now, "the row says announced %s, but %s was heard",
                           hb_announced_text((enum hb_announced)announced),
                           hb_announced_text((enum hb_announced)subscriber.heard[i]));
    }
}

uint64_t subscriber_missing(void)
{
    return subscriber.missing;
}

void subscriber_report(void)
{
    printf("  %" PRIu64 " events in the stream, %" PRIu64 " heard, %" PRIu64 " resets for %" PRIu64 " lost\n",
           subscriber.events, subscriber.heard_count, subscriber.resets, subscriber.told_lost);
}
