#include "manager/app/persist_tickets.h"

#include <stdlib.h>
#include <string.h>

#include "manager/app/list.h"
#include "manager/app/mirror.h"

#define LOOK_BEYOND 256 /* tickets in a row whose rows have not arrived, before the look ends */

struct hb_persist_ticket {
    struct hb_link link;          /* the first member; in `waiting` or `answerable` */
    struct hb_heap_node deadline; /* in the heap while waiting */
    struct hb_persist_tickets *tickets;
    hb_persisted_fn done;
    void *self;
    bool persisted; /* the answer, once it is known */
    uint8_t id_len;
    char id[];
};

struct hb_persist_tickets {
    const struct hb_registry *registry;
    struct hb_link waiting; /* in the order of asking */
    struct hb_link answerable;
    struct hb_heap deadlines;
    size_t answerable_count;
};

struct hb_persist_tickets *hb_persist_tickets_new(const struct hb_registry *registry)
{
    struct hb_persist_tickets *tickets = calloc(1, sizeof *tickets);

    if (tickets == NULL)
        return NULL;
    tickets->registry = registry;
    hb_link_init(&tickets->waiting);
    hb_link_init(&tickets->answerable);
    hb_heap_init(&tickets->deadlines);
    return tickets;
}

static void destroy(struct hb_persist_ticket *ticket)
{
    hb_link_remove(&ticket->link);
    free(ticket);
}

void hb_persist_tickets_clear(struct hb_persist_tickets *tickets)
{
    hb_persist_tickets_give_up(tickets);
    while (!hb_link_is_alone(&tickets->answerable))
        destroy((struct hb_persist_ticket *)tickets->answerable.next);
    tickets->answerable_count = 0;
}

void hb_persist_tickets_free(struct hb_persist_tickets *tickets)
{
    if (tickets == NULL)
        return;
    hb_persist_tickets_clear(tickets);
    hb_heap_free(&tickets->deadlines);
    free(tickets);
}

static struct hb_persist_ticket *of_deadline(struct hb_heap_node *node)
{
    return (struct hb_persist_ticket *)((char *)node - offsetof(struct hb_persist_ticket, deadline));
}

static bool is_stored(const struct hb_persist_ticket *ticket)
{
    struct hb_text id = {ticket->id, ticket->id_len};
    const struct hb_worker *worker = hb_registry_find(ticket->tickets->registry, id);

    return worker != NULL && hb_mirror_is_clean(worker);
}

static void settle(struct hb_persist_ticket *ticket, bool persisted)
{
    struct hb_persist_tickets *tickets = ticket->tickets;

    ticket->persisted = persisted;
    hb_heap_remove(&tickets->deadlines, &ticket->deadline);
    hb_link_remove(&ticket->link);
    hb_link_insert(&tickets->answerable, &ticket->link);
    tickets->answerable_count++;
}

static struct hb_persist_ticket *ticket_new(struct hb_persist_tickets *tickets, struct hb_text id)
{
    struct hb_persist_ticket *ticket = calloc(1, sizeof *ticket + id.len);

    if (ticket == NULL)
        return NULL;
    ticket->tickets = tickets;
    ticket->deadline.place = HB_HEAP_OUTSIDE;
    ticket->id_len = (uint8_t)id.len;
    memcpy(ticket->id, id.bytes, id.len);
    hb_link_init(&ticket->link);
    hb_link_insert(&tickets->waiting, &ticket->link);
    return ticket;
}

struct hb_persist_ticket *hb_persist_tickets_add(struct hb_persist_tickets *tickets, struct hb_text id,
                                                 hb_mono_ms deadline, bool hopeless, hb_persisted_fn done, void *self)
{
    struct hb_persist_ticket *ticket;
    uint32_t waiting = tickets->deadlines.count;

    if (hb_heap_reserve(&tickets->deadlines, waiting + 1) != HB_OK)
        return NULL;
    ticket = ticket_new(tickets, id);
    if (ticket == NULL)
        return NULL;
    ticket->done = done;
    ticket->self = self;
    if (hopeless || is_stored(ticket) || waiting >= HB_TICKETS_MAX)
        settle(ticket, !hopeless && is_stored(ticket));
    else
        hb_heap_set(&tickets->deadlines, &ticket->deadline, deadline.ms);
    return ticket;
}

void hb_persist_ticket_cancel(struct hb_persist_ticket *ticket)
{
    if (ticket->deadline.place == HB_HEAP_OUTSIDE)
        ticket->tickets->answerable_count--;
    else
        hb_heap_remove(&ticket->tickets->deadlines, &ticket->deadline);
    destroy(ticket);
}

void hb_persist_tickets_stored(struct hb_persist_tickets *tickets)
{
    unsigned misses = 0;
    struct hb_link *next;

    for (struct hb_link *link = tickets->waiting.next; link != &tickets->waiting && misses < LOOK_BEYOND; link = next) {
        struct hb_persist_ticket *ticket = (struct hb_persist_ticket *)link;

        next = link->next;
        if (is_stored(ticket)) {
            settle(ticket, true);
            misses = 0;
        } else {
            misses++;
        }
    }
}

void hb_persist_tickets_expire(struct hb_persist_tickets *tickets, hb_mono_ms now)
{
    struct hb_heap_node *node;

    while ((node = hb_heap_min(&tickets->deadlines)) != NULL && node->key <= now.ms)
        settle(of_deadline(node), is_stored(of_deadline(node)));
}

void hb_persist_tickets_give_up(struct hb_persist_tickets *tickets)
{
    while (!hb_link_is_alone(&tickets->waiting))
        settle((struct hb_persist_ticket *)tickets->waiting.next, false);
}

bool hb_persist_tickets_answerable(const struct hb_persist_tickets *tickets)
{
    return tickets->answerable_count > 0;
}

void hb_persist_tickets_answer(struct hb_persist_tickets *tickets)
{
    size_t most = tickets->answerable_count;

    while (most-- > 0 && tickets->answerable_count > 0) {
        struct hb_persist_ticket *ticket = (struct hb_persist_ticket *)tickets->answerable.next;
        hb_persisted_fn done = ticket->done;
        void *self = ticket->self;
        bool persisted = ticket->persisted;

        tickets->answerable_count--;
        destroy(ticket);
        done(self, persisted);
    }
}

hb_mono_ms hb_persist_tickets_deadline(const struct hb_persist_tickets *tickets)
{
    const struct hb_heap_node *node = hb_heap_min(&tickets->deadlines);

    return node == NULL ? HB_MONO_NEVER : (hb_mono_ms){node->key};
}
