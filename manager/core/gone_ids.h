/*
 * gone_ids: which ids were removed while rows of an earlier life may still come, so that their rows bring nobody back.
 *
 * A ring of HB_GONE_IDS_MAX: beyond it the oldest is forgotten, and its row would be restored. Looked through only when
 * a row is restored, and only when there is something in it.
 */
#ifndef HB_CORE_GONE_IDS_H
#define HB_CORE_GONE_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/wire/message.h"

#define HB_GONE_IDS_MAX 1024

struct hb_gone_id;

struct hb_gone_ids {
    struct hb_gone_id *ring; /* NULL until needed */
    size_t count, next;
};

/* told: listeners have heard of it in this life, so its end was announced too. Without memory it is not remembered. */
void hb_gone_ids_add(struct hb_gone_ids *gone, const char *id, bool told);
void hb_gone_ids_free(struct hb_gone_ids *gone);
/* Whether it was removed, and whether listeners know: told, in any of its removals. */
bool hb_gone_ids_ask(const struct hb_gone_ids *gone, struct hb_text id, bool *ret_told);

#endif
