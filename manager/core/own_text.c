#include "manager/core/own_text.h"

#include <stdlib.h>
#include <string.h>

static char *copy_text(struct hb_text text)
{
    char *copy = malloc(text.len + 1);

    if (copy != NULL) {
        memcpy(copy, text.bytes, text.len);
        copy[text.len] = '\0';
    }
    return copy;
}

bool hb_text_is_own(const char *own, struct hb_text text)
{
    return own != NULL && strlen(own) == text.len && memcmp(own, text.bytes, text.len) == 0;
}

bool hb_own_text_prepare(struct hb_own_text *pending, char **slot, struct hb_text text)
{
    pending->slot = slot;
    pending->copy = NULL;
    if (text.bytes == NULL || hb_text_is_own(*slot, text))
        return true;
    pending->copy = copy_text(text);
    return pending->copy != NULL;
}

void hb_own_text_commit(const struct hb_own_text *pending)
{
    if (pending->copy == NULL)
        return;
    free(*pending->slot);
    *pending->slot = pending->copy;
}

#define IDENTITY_TEXTS 4

enum hb_err hb_worker_set_identity(struct hb_worker *worker, const struct hb_identity *identity)
{
    struct hb_own_text pending[IDENTITY_TEXTS] = {{0}};
    bool good = hb_own_text_prepare(&pending[0], &worker->name, identity->name) &&
                hb_own_text_prepare(&pending[1], &worker->host, identity->host) &&
                hb_own_text_prepare(&pending[2], &worker->url, identity->url) &&
                hb_own_text_prepare(&pending[3], &worker->attributes, identity->attributes);

    for (size_t i = 0; i < IDENTITY_TEXTS; i++) {
        if (good)
            hb_own_text_commit(&pending[i]);
        else
            free(pending[i].copy);
    }
    return good ? HB_OK : HB_ERR_NO_MEMORY;
}

void hb_worker_set_figures(struct hb_worker *worker, const struct hb_beat *beat)
{
    struct hb_own_text attributes;

    if (beat->metrics.bytes != NULL) {
        if (beat->metrics.len + 1 > worker->metrics_cap) {
            char *metrics = realloc(worker->metrics, beat->metrics.len + 1);

            if (metrics != NULL) {
                worker->metrics = metrics;
                worker->metrics_cap = (uint32_t)beat->metrics.len + 1;
            }
        }
        if (beat->metrics.len + 1 <= worker->metrics_cap) {
            memcpy(worker->metrics, beat->metrics.bytes, beat->metrics.len);
            worker->metrics[beat->metrics.len] = '\0';
        }
    }
    if (hb_own_text_prepare(&attributes, &worker->attributes, beat->attributes))
        hb_own_text_commit(&attributes);
    if (beat->requests >= 0)
        worker->requests = beat->requests;
    if (beat->errors >= 0)
        worker->errors = beat->errors;
}
