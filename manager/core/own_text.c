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

/* ---- the texts of a worker, within the budget of all ---- */

#define IDENTITY_TEXTS 4

static size_t size_of(const char *own)
{
    return own != NULL ? strlen(own) + 1 : 0;
}

/* What a slot takes now, and will take after the commit. */
static void count_bytes(const struct hb_own_text *pending, size_t *before, size_t *after)
{
    if (pending->copy == NULL)
        return;
    *before += size_of(*pending->slot);
    *after += size_of(pending->copy);
}

/* Moves the budget from one to the other. False: beyond it, and nothing has changed. */
static bool spend(struct hb_text_budget *budget, size_t before, size_t after)
{
    if (after > before && after - before > budget->most_bytes - budget->used_bytes)
        return false;
    budget->used_bytes = budget->used_bytes + after - before;
    return true;
}

enum hb_err hb_worker_set_identity(struct hb_worker *worker, const struct hb_identity *identity,
                                   struct hb_text_budget *budget)
{
    struct hb_own_text pending[IDENTITY_TEXTS] = {{0}};
    size_t before = 0;
    size_t after = 0;
    bool copied = hb_own_text_prepare(&pending[0], &worker->name, identity->name) &&
                  hb_own_text_prepare(&pending[1], &worker->host, identity->host) &&
                  hb_own_text_prepare(&pending[2], &worker->url, identity->url) &&
                  hb_own_text_prepare(&pending[3], &worker->attributes, identity->attributes);
    bool fits;

    for (size_t i = 0; i < IDENTITY_TEXTS; i++)
        count_bytes(&pending[i], &before, &after);
    fits = copied && spend(budget, before, after);
    for (size_t i = 0; i < IDENTITY_TEXTS; i++) {
        if (fits)
            hb_own_text_commit(&pending[i]);
        else
            free(pending[i].copy);
    }
    if (!copied)
        return HB_ERR_NO_MEMORY;
    return fits ? HB_OK : HB_ERR_FULL;
}

/* They change with every beat: the room for them stays. */
static void set_metrics(struct hb_worker *worker, struct hb_text text, struct hb_text_budget *budget)
{
    size_t size = text.len + 1;
    char *metrics;

    if (size > worker->metrics_cap) {
        if (!spend(budget, worker->metrics_cap, size))
            return;
        metrics = realloc(worker->metrics, size);
        if (metrics == NULL) {
            budget->used_bytes -= size - worker->metrics_cap;
            return;
        }
        worker->metrics = metrics;
        worker->metrics_cap = (uint32_t)size;
    }
    memcpy(worker->metrics, text.bytes, text.len);
    worker->metrics[text.len] = '\0';
}

static void set_text(char **slot, struct hb_text text, struct hb_text_budget *budget)
{
    struct hb_own_text pending;
    size_t before = 0;
    size_t after = 0;

    if (!hb_own_text_prepare(&pending, slot, text))
        return;
    count_bytes(&pending, &before, &after);
    if (spend(budget, before, after))
        hb_own_text_commit(&pending);
    else
        free(pending.copy);
}

void hb_worker_set_figures(struct hb_worker *worker, const struct hb_beat *beat, struct hb_text_budget *budget)
{
    if (beat->metrics.bytes != NULL)
        set_metrics(worker, beat->metrics, budget);
    set_text(&worker->name, beat->name, budget);
    set_text(&worker->attributes, beat->attributes, budget);
    if (beat->requests >= 0)
        worker->requests = beat->requests;
    if (beat->errors >= 0)
        worker->errors = beat->errors;
}

void hb_worker_free_texts(struct hb_worker *worker, struct hb_text_budget *budget)
{
    budget->used_bytes -= size_of(worker->name) + size_of(worker->host) + size_of(worker->url) +
                          size_of(worker->attributes) + worker->metrics_cap;
    free(worker->name);
    free(worker->host);
    free(worker->url);
    free(worker->attributes);
    free(worker->metrics);
}
