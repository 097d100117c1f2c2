#include "manager/core/gone_ids.h"

#include <stdlib.h>
#include <string.h>

struct hb_gone_id {
    bool told;
    uint8_t len;
    char id[64];
};

static struct hb_gone_id *find(const struct hb_gone_ids *gone, struct hb_text id)
{
    for (size_t i = 0; i < gone->count; i++) {
        if (gone->ring[i].len == id.len && memcmp(gone->ring[i].id, id.bytes, id.len) == 0)
            return &gone->ring[i];
    }
    return NULL;
}

void hb_gone_ids_add(struct hb_gone_ids *gone, const char *id, bool told)
{
    struct hb_text text = hb_text_of(id);
    struct hb_gone_id *one = find(gone, text);

    if (one != NULL) {
        one->told |= told;
        return;
    }
    if (gone->ring == NULL)
        gone->ring = malloc(HB_GONE_IDS_MAX * sizeof *gone->ring);
    if (gone->ring == NULL)
        return;
    one = &gone->ring[gone->next];
    one->told = told;
    one->len = (uint8_t)text.len;
    memcpy(one->id, text.bytes, text.len);
    gone->next = (gone->next + 1) % HB_GONE_IDS_MAX;
    if (gone->count < HB_GONE_IDS_MAX)
        gone->count++;
}

void hb_gone_ids_free(struct hb_gone_ids *gone)
{
    free(gone->ring);
    *gone = (struct hb_gone_ids){0};
}

bool hb_gone_ids_ask(const struct hb_gone_ids *gone, struct hb_text id, bool *ret_told)
{
    const struct hb_gone_id *one = find(gone, id);

    if (one == NULL)
        return false;
    *ret_told = one->told;
    return true;
}
