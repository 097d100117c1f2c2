/*
 * own_text: the texts that a worker owns, set all together or not at all.
 */
#ifndef HB_CORE_OWN_TEXT_H
#define HB_CORE_OWN_TEXT_H

#include "manager/core/worker_state.h"

/* What the texts of all workers may take. */
struct hb_text_budget {
    size_t used_bytes, most_bytes;
};

/* A text on its way in: allocated before anything changes, so that running out of memory changes nothing. */
struct hb_own_text {
    char **slot;
    char *copy; /* NULL: the slot stays as it is */
};

/* An absent text, or the one that is there already, changes nothing. False: out of memory. */
bool hb_own_text_prepare(struct hb_own_text *pending, char **slot, struct hb_text text);
void hb_own_text_commit(const struct hb_own_text *pending);
bool hb_text_is_own(const char *own, struct hb_text text); /* own may be NULL */

struct hb_identity {
    struct hb_text name, host, url, attributes; /* absent: stays as it is */
};

/* All texts of an identity; or HB_ERR_NO_MEMORY, or HB_ERR_FULL beyond the budget, and none. */
enum hb_err hb_worker_set_identity(struct hb_worker *worker, const struct hb_identity *identity,
                                   struct hb_text_budget *budget) HB_MUST_CHECK;
/* Name, metrics, attributes and counts of a beat. When room is short the older ones stay: the beat must count. */
void hb_worker_set_figures(struct hb_worker *worker, const struct hb_beat *beat, struct hb_text_budget *budget);
/* Gives up what the two above have set. */
void hb_worker_free_texts(struct hb_worker *worker, struct hb_text_budget *budget);

#endif
