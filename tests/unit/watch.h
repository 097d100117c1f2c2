/*
 * watch: a registry under observation. Every call goes through here and is held against what must always be true.
 *
 * What it knows of each id it learnt from the effects alone, as a listener would: which row it saw last, and whether
 * the worker was announced up or down. After each call it asks:
 *
 *   - did every transition take exactly the next seq, and change something that DESIGN calls a transition;
 *   - did anything that a row shows change without an effect saying so;
 *   - do up, down and recovery follow each other as promised;
 *   - did a call that failed change nothing;
 *   - is the view ordered and complete, with one deadline entry per worker, none of them too late.
 *
 * The first broken promise is kept as one sentence; whoever runs the scenario prints it beside the timeline.
 */
#ifndef HB_TESTS_UNIT_WATCH_H
#define HB_TESTS_UNIT_WATCH_H

#include "manager/core/registry.h"

/* Where both clocks stand when a scenario begins: far from zero, and far from each other. */
#define WATCH_MONO_START 5000000
#define WATCH_WALL_START 1790000000000
#define WATCH_ROW_TEXT 4096

struct watch;

struct watch *watch_new(const struct hb_registry_rules *rules); /* NULL when out of memory; watch_free frees it */
void watch_free(struct watch *watch);                           /* accepts NULL */
struct hb_registry *watch_registry(struct watch *watch);

enum hb_err watch_step(struct watch *watch, const struct hb_input *input, struct hb_moment now,
                       struct hb_effects *effects) HB_MUST_CHECK;
bool watch_expire(struct watch *watch, struct hb_moment now, struct hb_effects *effects);
void watch_skew(struct watch *watch, int64_t gap_ms);
int64_t watch_skewed_ms(const struct watch *watch); /* the sum so far: registry time is the monotonic clock less it */

/* To be called when watch_expire has returned false: nothing may be overdue, and serving must be what the rule says. */
void watch_settled(struct watch *watch, struct hb_moment now);

const char *watch_fault(const struct watch *watch); /* NULL while every promise was kept */

/* The worker's row as "key=value" words, a blank before and after each. Wall times count from WATCH_WALL_START. */
void watch_row_text(const struct hb_worker *worker, char out[WATCH_ROW_TEXT]);
/* "w1 alive -> disconnected (connection_closed) server:down", "w1 row"; a socket is shown by `socket_name`. */
void watch_effect_text(const struct hb_effect *effect, const char *socket_name, char *out, size_t size);
/* "refused", "stale", ... */
const char *watch_err_word(enum hb_err err);

#endif
