#include "manager/app/health_status.h"

#include "proto/base/map.h"

/* The text that it stands under. absent: out of memory. */
static struct hb_text key_of(const struct hb_registry *registry, struct hb_map *names, const struct hb_worker *worker)
{
    struct hb_text id = {worker->id, worker->id_len}, name = hb_text_of(worker->name);
    const struct hb_worker *namesake = hb_registry_find(registry, name);

    if (namesake != NULL && namesake != worker)
        return id;
    switch (hb_map_insert(names, name.bytes, name.len, worker->name)) {
    case HB_OK:
        return name;
    case HB_ERR_INVALID: /* it is there already */
        return id;
    default:
        return (struct hb_text){0};
    }
}

static enum hb_err write_workers(const struct hb_registry *registry, struct hb_map *names, bool fixed, bool *first,
                                 struct hb_buf *out)
{
    size_t count = hb_registry_count(registry);

    for (size_t i = 0; i < count; i++) {
        const struct hb_worker *worker = hb_registry_at(registry, i);
        struct hb_text key;

        if (worker->fixed != fixed)
            continue;
        key = key_of(registry, names, worker);
        if (key.bytes == NULL)
            return HB_ERR_NO_MEMORY;
        if (!*first)
            hb_buf_append_char(out, ',');
        *first = false;
        hb_buf_append_json(out, key);
        hb_buf_append_str(out, worker->serving ? ":true" : ":false");
    }
    return HB_OK;
}

enum hb_err hb_health_status_write(const struct hb_registry *registry, struct hb_buf *out)
{
    struct hb_map *names = hb_map_new(hb_registry_rules(registry)->hash_seed);
    bool first = true;
    enum hb_err err = names != NULL ? HB_OK : HB_ERR_NO_MEMORY;

    hb_buf_append_char(out, '{');
    if (err == HB_OK)
        err = write_workers(registry, names, true, &first, out);
    if (err == HB_OK)
        err = write_workers(registry, names, false, &first, out);
    hb_buf_append_str(out, "}\n");
    hb_map_free(names);
    return err != HB_OK ? err : hb_buf_status(out);
}
