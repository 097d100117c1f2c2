#include "manager/app/listing.h"

#include "manager/app/mirror.h"

/* Workers and their texts lie all over the memory, and waiting for it would be most of the time: ask for it ahead. */
#define AHEAD_WORKER 16
#define AHEAD_TEXTS 8

static void fetch_ahead(const struct hb_registry *registry, size_t place)
{
    const struct hb_worker *worker;

    if (place + AHEAD_WORKER >= hb_registry_count(registry))
        return;
    worker = hb_registry_at(registry, place + AHEAD_WORKER);
    __builtin_prefetch(&worker->shell);
    __builtin_prefetch(&worker->status);
    worker = hb_registry_at(registry, place + AHEAD_TEXTS);
    __builtin_prefetch(worker->shell);
    __builtin_prefetch(worker->name);
    __builtin_prefetch(worker->host);
}

static void put_row(struct hb_buf *json, const struct hb_worker *worker, struct hb_text row, bool first)
{
    hb_buf_append_str(json, first ? "\n\"" : ",\n\"");
    hb_buf_append(json, worker->id, worker->id_len); /* its characters need no escape */
    hb_buf_append_str(json, "\":");
    hb_buf_append_text(json, row);
}

struct hb_text hb_listing_write(struct hb_buf *json, const struct hb_registry *registry,
                                const struct hb_listing_query *query)
{
    size_t place =
        query->after_len > 0 ? hb_registry_after(registry, (struct hb_text){query->after, query->after_len}) : 0;
    const struct hb_worker *last = NULL;
    struct hb_text more = {NULL, 0};
    uint32_t shown = 0;

    hb_buf_append_char(json, '{');
    for (; place < hb_registry_count(registry); place++) {
        const struct hb_worker *worker = hb_registry_at(registry, place);
        struct hb_text row;

        fetch_ahead(registry, place);
        if (!hb_listing_query_fits(query, worker))
            continue;
        row = hb_mirror_row(worker);
        if (row.bytes == NULL)
            continue;
        if (query->limit > 0 && shown == query->limit) {
            more = (struct hb_text){last->id, last->id_len};
            break;
        }
        put_row(json, worker, row, shown == 0);
        last = worker;
        shown++;
    }
    hb_buf_append_str(json, shown == 0 ? "}\n" : "\n}\n");
    return more;
}
