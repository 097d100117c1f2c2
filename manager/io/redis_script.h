/*
 * redis_script: the one Lua script that changes anything in Redis, its arguments and its answer.
 *
 *   EVALSHA sha 3 workers workers:events workers:meta
 *       manager epoch seq batch  number mode  events rows gone
 *       (seq json channel)*  (id row)*  (id)*
 *
 * workers:meta is a hash: `schema` = 1, and for each manager `<manager>:epoch`, `<manager>:seq`, the last event of that
 * epoch that was stored and announced, and `<manager>:batch`, the number of the last batch that wrote anything.
 *
 * Nothing is done when a later life of this manager has written (FENCED), when a later batch has been here (STALE: this
 * one was held up on a connection that was given up), or when meta is not what we left there (BEHIND: emptied, or an
 * older copy). Else: rows of removed workers away, rows, stream entries, PUBLISH, meta; events up to the stored seq are
 * skipped, which makes sending them twice harmless. The first write of a script is the one that Redis refuses when it
 * is read-only, out of memory or cannot save, so a batch is done whole or not at all; what can still fail after it (a
 * key of a wrong type, a channel that the user may not use) fails before anything was announced.
 *
 * The answer tells how many fields `workers` has then. Fewer than the rows that we know to be stored: somebody deleted
 * some, though meta is what we left there. That costs no command of its own, and what others add and take away never
 * looks like a loss; the price is that a loss of no more rows than there are fields of others is not seen.
 */
#ifndef HB_IO_REDIS_SCRIPT_H
#define HB_IO_REDIS_SCRIPT_H

#include <stdbool.h>

#include "proto/base/buf.h"

#define HB_SCRIPT_EVENTS_MAX 129 /* of one call: a batch of the outbox and a reset */
#define HB_SCRIPT_ROWS_MAX 512
#define HB_SCRIPT_GONE_MAX 640

struct redisReply;
struct hb_script_args;

struct hb_script_head {
    struct hb_text sha, manager;
    uint64_t epoch;
    uint64_t seq, batch; /* what is known to be stored: meta must not be behind them */
    uint64_t number;     /* of this batch; greater than that of any before */
    bool begin;          /* the first of an epoch, or of writing everything again: meta becomes ours */
};

/* What comes with HB_SCRIPT_DONE, and only with that. */
struct hb_script_result {
    uint64_t seq;    /* the last event that is stored */
    uint64_t fields; /* of the hash `workers`, whoever's */
};

enum hb_script_answer {
    HB_SCRIPT_DONE,
    HB_SCRIPT_BEHIND,
    HB_SCRIPT_FENCED,   /* also STALE: of a batch whose answer is awaited it means another one with our epoch */
    HB_SCRIPT_UNLOADED, /* Redis does not have the script: it was restarted or told to forget */
    HB_SCRIPT_REFUSED,  /* any other error */
};

struct hb_text hb_script_text(void);

struct hb_script_args *hb_script_args_new(void); /* NULL when out of memory */
void hb_script_args_free(struct hb_script_args *args);
void hb_script_args_clear(struct hb_script_args *args);

/* The texts are not copied: they must live until the command was sent. More than the maximum is a programming error. */
void hb_script_add_event(struct hb_script_args *args, uint64_t seq, struct hb_text json, struct hb_text channel);
void hb_script_add_row(struct hb_script_args *args, struct hb_text id, struct hb_text row);
void hb_script_add_gone(struct hb_script_args *args, struct hb_text id);

size_t hb_script_event_count(const struct hb_script_args *args);
size_t hb_script_row_count(const struct hb_script_args *args);
size_t hb_script_gone_count(const struct hb_script_args *args);
size_t hb_script_bytes(const struct hb_script_args *args); /* of all that was added */

/* The whole command, valid until args changes; returns argc. */
int hb_script_command(struct hb_script_args *args, const struct hb_script_head *head, const struct hb_text **ret_argv);

enum hb_script_answer hb_script_read(const struct redisReply *reply, struct hb_script_result *ret_result);

#endif
