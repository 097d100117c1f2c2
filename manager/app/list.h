/*
 * list: a doubly linked ring whose links live inside their owners, around a sentinel that belongs to nobody.
 *
 * No allocation, so nothing can fail, and every operation is O(1). A link is always in exactly one ring (alone, it is
 * its own ring), so removing needs no question first. An owner that realloc has moved says so with hb_link_moved.
 */
#ifndef HB_APP_LIST_H
#define HB_APP_LIST_H

#include <stdbool.h>

struct hb_link {
    struct hb_link *prev, *next;
};

static inline void hb_link_init(struct hb_link *link)
{
    link->prev = link;
    link->next = link;
}

static inline bool hb_link_is_alone(const struct hb_link *link)
{
    return link->next == link;
}

static inline void hb_link_remove(struct hb_link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    hb_link_init(link);
}

/* Before `place`: with a sentinel, at the end of its list. The link must be alone. */
static inline void hb_link_insert(struct hb_link *place, struct hb_link *link)
{
    link->prev = place->prev;
    link->next = place;
    place->prev->next = link;
    place->prev = link;
}

/* Its owner moved in memory while the link was in a list with others or a sentinel. */
static inline void hb_link_moved(struct hb_link *link)
{
    link->prev->next = link;
    link->next->prev = link;
}

#endif
