#include "manager/app/listing.h"

#include "manager/app/mirror.h"

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
    size_t place = query->after_len > 0 ? hb_registry_after(registry, (struct hb_text){query->after, query->after_len}) : 0;
    const struct hb_worker *last = NULL;
    struct hb_text more = {NULL, 0};
    uint32_t shown = 0;

    hb_buf_append_char(json, '{');
    for (; place < hb_registry_count(registry); place++) {
        const struct hb_worker *worker = hb_registry_at(registry, place);
        struct hb_text row = hb_mirror_row(worker);

        if (row.bytes == NULL || !hb_listing_query_fits(query, worker))
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
