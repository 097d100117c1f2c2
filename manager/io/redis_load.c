#include "manager/io/redis_load.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/log.h"
#include "proto/wire/codec.h"
#include "proto/wire/names.h"

#define PAGE "500" /* rows per turn: about 3 ms of decoding */

struct hb_redis_load {
    struct hb_redis_link *link;
    struct hb_manager *manager;
    struct hb_redis_load_events events;
    struct hb_decoder *decoder;
    bool restoring; /* else looking for ghosts */
    bool full;      /* no room for more ghosts */
    bool starved;   /* a field could not be handled for want of memory: the pass is to be made again */
    char cursor[24];
    uint64_t epoch;
    uint64_t taken, foreign, refused;
};

struct hb_redis_load *hb_redis_load_new(struct hb_redis_link *link, struct hb_manager *manager,
                                        struct hb_redis_load_events events)
{
    struct hb_redis_load *load = calloc(1, sizeof *load);

    if (load == NULL)
        return NULL;
    load->link = link;
    load->manager = manager;
    load->events = events;
    load->decoder = hb_decoder_new();
    if (load->decoder == NULL) {
        free(load);
        return NULL;
    }
    return load;
}

void hb_redis_load_free(struct hb_redis_load *load)
{
    if (load == NULL)
        return;
    hb_decoder_free(load->decoder);
    free(load);
}

/* ---- one field ---- */

static void look_for_ghost(struct hb_redis_load *load, const struct hb_row *row)
{
    if (hb_registry_find(hb_manager_registry(load->manager), row->id) != NULL)
        return;
    if (!load->events.ghost(load->events.self, row->id))
        load->full = !load->restoring;
    else if (!load->restoring)
        load->taken++;
}

static void restore(struct hb_redis_load *load, const struct hb_row *row, bool seed_shape, struct hb_moment now)
{
    struct hb_input input = {.kind = HB_INPUT_RESTORE, .id = row->id, .row = row, .seed_shape = seed_shape};
    enum hb_err err = hb_manager_apply(load->manager, &input, now);

    if (err == HB_OK)
        load->taken++;
    else if (err == HB_ERR_NO_MEMORY)
        load->starved = true;
    else if (err == HB_ERR_STALE) /* memory has a newer one; or it was removed meanwhile */
        look_for_ghost(load, row);
    else
        load->refused++;
}

static void take_field(struct hb_redis_load *load, struct hb_text field, struct hb_text value, struct hb_moment now)
{
    bool seed_shape = false;
    bool ours;
    struct hb_row row;
    enum hb_err err = hb_id_valid(field) ? hb_decode_row(load->decoder, value, &row, &seed_shape) : HB_ERR_INVALID;

    load->starved |= err == HB_ERR_NO_MEMORY;
    if (err != HB_OK || !hb_text_equal(row.id, field)) {
        load->foreign++;
        return;
    }
    ours = hb_text_equal(row.manager, hb_manager_id(load->manager));
    if (ours && row.epoch > load->epoch)
        load->epoch = row.epoch;
    if (load->restoring && (ours || seed_shape))
        restore(load, &row, seed_shape, now);
    else if (!load->restoring && ours)
        look_for_ghost(load, &row);
    else
        load->foreign++;
}

/* ---- pages ---- */

static enum hb_err ask_page(struct hb_redis_load *load);

static void finish(struct hb_redis_load *load, const char *error)
{
    if (error == NULL)
        hb_log(HB_LOG_INFO, load->restoring ? "workers_loaded" : "workers_compared",
               HB_LI(load->restoring ? "restored" : "ghosts", load->taken), HB_LI("foreign", load->foreign),
               HB_LI("refused", load->refused));
    load->events.done(load->events.self, error);
}

static bool is_page(const struct redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 && reply->element[0]->type == REDIS_REPLY_STRING &&
           reply->element[1]->type == REDIS_REPLY_ARRAY && reply->element[1]->elements % 2 == 0;
}

static void on_page(void *self, const struct redisReply *reply)
{
    struct hb_redis_load *load = self;
    struct hb_moment now = hb_moment_now();

    if (reply == NULL) /* the link went down, and its owner knows */
        return;
    if (!is_page(reply)) {
        finish(load, reply->type == REDIS_REPLY_ERROR ? reply->str : "HSCAN was not answered with a page");
        return;
    }
    for (size_t i = 0; i < reply->element[1]->elements && !load->full; i += 2) {
        const struct redisReply *field = reply->element[1]->element[i];
        const struct redisReply *value = reply->element[1]->element[i + 1];

        take_field(load, (struct hb_text){field->str, field->len}, (struct hb_text){value->str, value->len}, now);
    }
    if (load->starved) { /* what was restored by now is not restored twice */
        finish(load, hb_err_text(HB_ERR_NO_MEMORY));
        return;
    }
    snprintf(load->cursor, sizeof load->cursor, "%s", reply->element[0]->str);
    if (load->full || hb_text_equal(hb_text_of(load->cursor), HB_TEXT("0")))
        finish(load, NULL);
    else if (ask_page(load) != HB_OK)
        hb_redis_link_reset(load->link, "out of memory");
}

static enum hb_err ask_page(struct hb_redis_load *load)
{
    const struct hb_text argv[] = {HB_TEXT("HSCAN"), HB_TEXT(HB_KEY_WORKERS), hb_text_of(load->cursor),
                                   HB_TEXT("COUNT"), HB_TEXT(PAGE)};

    return hb_redis_link_command(load->link, sizeof argv / sizeof argv[0], argv, on_page, load);
}

static enum hb_err start(struct hb_redis_load *load, bool restoring)
{
    load->restoring = restoring;
    load->full = false;
    load->starved = false;
    load->taken = 0;
    load->foreign = 0;
    load->refused = 0;
    snprintf(load->cursor, sizeof load->cursor, "0");
    return ask_page(load);
}

enum hb_err hb_redis_load_restore(struct hb_redis_load *load)
{
    return start(load, true);
}

enum hb_err hb_redis_load_find_ghosts(struct hb_redis_load *load)
{
    return start(load, false);
}

uint64_t hb_redis_load_epoch(const struct hb_redis_load *load)
{
    return load->epoch;
}
