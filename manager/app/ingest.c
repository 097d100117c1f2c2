#include "manager/app/ingest.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/wire/codec.h"

struct hb_ingest {
    struct hb_manager *manager;
    struct hb_decoder *decoder;
    char error[256];
};

struct hb_ingest *hb_ingest_new(struct hb_manager *manager)
{
    struct hb_ingest *ingest = calloc(1, sizeof *ingest);

    if (ingest == NULL)
        return NULL;
    ingest->manager = manager;
    ingest->decoder = hb_decoder_new();
    if (ingest->decoder == NULL) {
        free(ingest);
        return NULL;
    }
    return ingest;
}

void hb_ingest_free(struct hb_ingest *ingest)
{
    if (ingest == NULL)
        return;
    hb_decoder_free(ingest->decoder);
    free(ingest);
}

const char *hb_ingest_error(const struct hb_ingest *ingest)
{
    return ingest->error;
}

struct hb_manager *hb_ingest_manager(struct hb_ingest *ingest)
{
    return ingest->manager;
}

static enum hb_err decode_failed(struct hb_ingest *ingest, enum hb_err err)
{
    snprintf(ingest->error, sizeof ingest->error, "%s", hb_decoder_error(ingest->decoder));
    return err;
}

static enum hb_err bad_id(struct hb_ingest *ingest)
{
    snprintf(ingest->error, sizeof ingest->error, "worker id: must be 1 to %d characters of A-Z a-z 0-9 . _ : -",
             HB_ID_MAX);
    return HB_ERR_INVALID;
}

static void say_full(struct hb_ingest *ingest)
{
    const struct hb_registry *registry = hb_manager_registry(ingest->manager);
    const struct hb_registry_rules *rules = hb_registry_rules(registry);

    if (hb_registry_entries(registry) >= rules->max_workers)
        snprintf(ingest->error, sizeof ingest->error, "the manager is full: MAX_WORKERS is %u", rules->max_workers);
    else
        snprintf(ingest->error, sizeof ingest->error,
                 "the manager is full: names, hosts, urls and attributes of all workers take %zu MiB already",
                 rules->text_bytes_max >> 20);
}

/* The sentence for what the registry refuses. */
static enum hb_err refused(struct hb_ingest *ingest, struct hb_text id, enum hb_err err)
{
    char *error = ingest->error;
    size_t size = sizeof ingest->error;
    int len = (int)id.len;

    switch (err) {
    case HB_ERR_UNKNOWN:
        snprintf(error, size, "worker %.*s is not known: register it first", len, id.bytes);
        break;
    case HB_ERR_CONFLICT:
        snprintf(error, size, "worker %.*s is claimed by several processes: newcomers wait %d s", len, id.bytes,
                 HB_CONFLICT_MS / 1000);
        break;
    case HB_ERR_REFUSED:
        snprintf(error, size, "worker %.*s was removed less than %d s ago: its beats count again when it registers",
                 len, id.bytes, HB_REMOVED_FOR_MS / 1000);
        break;
    case HB_ERR_FULL:
        say_full(ingest);
        break;
    case HB_ERR_STALE:
        snprintf(error, size, "worker %.*s has a newer connection", len, id.bytes);
        break;
    default:
        snprintf(error, size, "worker %.*s: %s", len, id.bytes, hb_err_text(err));
        break;
    }
    return err;
}

enum hb_err hb_ingest_register(struct hb_ingest *ingest, struct hb_text body, struct hb_text peer_host,
                               struct hb_moment now, const struct hb_worker **ret_worker)
{
    struct hb_registration registration;
    struct hb_input input = {.kind = HB_INPUT_REGISTER, .peer_host = peer_host, .registration = &registration};
    enum hb_err err = hb_decode_registration(ingest->decoder, body, &registration);

    if (err != HB_OK)
        return decode_failed(ingest, err);
    input.id = registration.id;
    err = hb_manager_apply(ingest->manager, &input, now);
    if (err != HB_OK)
        return refused(ingest, input.id, err);
    *ret_worker = hb_registry_find(hb_manager_registry(ingest->manager), input.id);
    return HB_OK;
}

enum hb_err hb_ingest_beat(struct hb_ingest *ingest, struct hb_text id, void *socket, struct hb_text body,
                           struct hb_text peer_host, struct hb_moment now)
{
    struct hb_beat beat = {.kind = HB_BEAT_PLAIN, .requests = -1, .errors = -1};
    struct hb_input input = {.kind = HB_INPUT_BEAT, .id = id, .socket = socket, .peer_host = peer_host, .beat = &beat};
    enum hb_err err;

    if (!hb_id_valid(id))
        return bad_id(ingest);
    if (socket != NULL || body.len > 0) {
        err = hb_decode_beat(ingest->decoder, body, &beat);
        if (err != HB_OK) {
            hb_manager_counters(ingest->manager)->bad_messages++;
            return decode_failed(ingest, err);
        }
    }
    err = hb_manager_apply(ingest->manager, &input, now);
    return err == HB_OK ? HB_OK : refused(ingest, id, err);
}

enum hb_err hb_ingest_socket_opened(struct hb_ingest *ingest, struct hb_text id, void *socket, struct hb_moment now)
{
    struct hb_input input = {.kind = HB_INPUT_SOCKET_OPENED, .id = id, .socket = socket};
    enum hb_err err;

    if (!hb_id_valid(id))
        return bad_id(ingest);
    err = hb_manager_apply(ingest->manager, &input, now);
    return err == HB_OK ? HB_OK : refused(ingest, id, err);
}

void hb_ingest_socket_closed(struct hb_ingest *ingest, struct hb_text id, void *socket, uint16_t close_code,
                             struct hb_moment now)
{
    struct hb_input input = {.kind = HB_INPUT_SOCKET_CLOSED, .id = id, .socket = socket, .close_code = close_code};

    /* Stale when a newer socket took over meanwhile: then the end of this one means nothing. */
    if (hb_manager_apply(ingest->manager, &input, now) != HB_OK)
        return;
}

static enum hb_err apply_maintenance(struct hb_ingest *ingest, struct hb_text id,
                                     const struct hb_maintenance *maintenance, struct hb_moment now)
{
    struct hb_input input = {.kind = HB_INPUT_MAINTENANCE, .id = id, .maintenance = maintenance};
    enum hb_err err = hb_manager_apply(ingest->manager, &input, now);

    return err == HB_OK ? HB_OK : refused(ingest, id, err);
}

enum hb_err hb_ingest_maintenance(struct hb_ingest *ingest, struct hb_text id, struct hb_text body,
                                  struct hb_moment now)
{
    struct hb_maintenance maintenance = {.ttl_ms = HB_MAINTENANCE_MAX_MS};
    enum hb_err err;

    if (!hb_id_valid(id))
        return bad_id(ingest);
    if (body.len > 0) {
        err = hb_decode_maintenance(ingest->decoder, body, &maintenance);
        if (err != HB_OK)
            return decode_failed(ingest, err);
    }
    return apply_maintenance(ingest, id, &maintenance, now);
}

enum hb_err hb_ingest_end_maintenance(struct hb_ingest *ingest, struct hb_text id, struct hb_moment now)
{
    if (!hb_id_valid(id))
        return bad_id(ingest);
    return apply_maintenance(ingest, id, &(struct hb_maintenance){.ttl_ms = 0}, now);
}

enum hb_err hb_ingest_remove(struct hb_ingest *ingest, struct hb_text id, struct hb_moment now)
{
    struct hb_input input = {.kind = HB_INPUT_REMOVE, .id = id};
    enum hb_err err;

    if (!hb_id_valid(id))
        return bad_id(ingest);
    err = hb_manager_apply(ingest->manager, &input, now);
    return err == HB_OK ? HB_OK : refused(ingest, id, err);
}
