/*
 * persist_tickets: who wants to know when the row of a worker has reached Redis.
 *
 * Rows go out in the order in which they became dirty, and tickets stand in the order in which they were asked for,
 * which is the same; so after each batch only the front of the queue is looked at, and the look ends after a run of
 * tickets whose rows have not arrived. What that overlooks is found at its deadline at the latest. O(answered + a
 * constant) per batch, O(log n) per ticket for its deadline.
 *
 * Beyond HB_TICKETS_MAX a ticket is answered with false as soon as possible.
 */
#ifndef HB_APP_PERSIST_TICKETS_H
#define HB_APP_PERSIST_TICKETS_H

#include "manager/core/registry.h"

#define HB_TICKETS_MAX 20000

struct hb_persist_ticket;
struct hb_persist_tickets;

typedef void (*hb_persisted_fn)(void *self, bool persisted);

struct hb_persist_tickets *hb_persist_tickets_new(const struct hb_registry *registry); /* NULL when out of memory */
void hb_persist_tickets_free(struct hb_persist_tickets *tickets);
void hb_persist_tickets_clear(struct hb_persist_tickets *tickets); /* drops all without a call; also from within one */

/* NULL when out of memory. hopeless: nothing will be stored soon, so the answer is false. */
struct hb_persist_ticket *hb_persist_tickets_add(struct hb_persist_tickets *tickets, struct hb_text id,
                                                 hb_mono_ms deadline, bool hopeless, hb_persisted_fn done, void *self);
void hb_persist_ticket_cancel(struct hb_persist_ticket *ticket);

/* These find out who can be answered; hb_persist_tickets_answer then calls them back. */
void hb_persist_tickets_stored(struct hb_persist_tickets *tickets); /* a batch arrived */
void hb_persist_tickets_expire(struct hb_persist_tickets *tickets, hb_mono_ms now);
void hb_persist_tickets_give_up(struct hb_persist_tickets *tickets); /* Redis went away: all who wait */

bool hb_persist_tickets_answerable(const struct hb_persist_tickets *tickets);
/* The callbacks may add and cancel tickets; what they add is answered by a later call. */
void hb_persist_tickets_answer(struct hb_persist_tickets *tickets);
hb_mono_ms hb_persist_tickets_deadline(const struct hb_persist_tickets *tickets); /* the earliest; HB_MONO_NEVER */

#endif
