/*
 * Each slot is always in the list of its state, so all slots can be walked without the registry, and a change of state
 * is one move. `stale` says that the worker shows more than its bytes do. A stale slot that is clean otherwise waits in
 * the touched list; `behind` counts the stale ones among the dirty and in flight, so that a refresh walks those lists
 * only when there is something in them to build.
 */
#include "manager/app/mirror.h"

#include <stdlib.h>
#include <string.h>

#include "manager/app/list.h"
#include "proto/wire/codec.h"
#include "proto/wire/limits.h"

#define ROW_ROUND 32 /* rows change their length by a few bytes all the time: counters, reasons */
#define ROW_GROWS                                                                                                      \
    64 /* and by so much from registration to the first beat: without it every row would leave a hole                  \
        */

enum slot_state {
    CLEAN,     /* Redis has these bytes */
    TOUCHED,   /* Redis has these bytes, but the worker shows more by now */
    DIRTY,     /* to be sent */
    IN_FLIGHT, /* sent, no answer yet */
    SLOT_STATES,
};

struct slot {
    struct hb_link link; /* the first member; in lists[state] */
    struct hb_worker *worker;
    uint32_t row_len, row_cap; /* row_len 0: never built */
    uint8_t state;
    bool stale;
    bool owed;   /* stale, and it could not wait: a change that was not built for want of memory */
    bool again;  /* the bytes changed while in flight */
    bool stored; /* Redis has had a row of this worker since it last lost them */
    char bytes[];
};

struct hb_mirror {
    struct hb_link lists[SLOT_STATES];
    size_t dirty;
    size_t behind; /* stale slots that are dirty or in flight */
    size_t stored;
    bool missing; /* a worker found no memory for its slot: look through all of them */
    uint64_t version;
    struct hb_registry *registry;
    struct hb_buf row; /* the row under construction */
    char *manager_id;
    size_t manager_id_len;
};

struct hb_mirror *hb_mirror_new(struct hb_text manager_id, struct hb_registry *registry)
{
    struct hb_mirror *mirror = calloc(1, sizeof *mirror);

    if (mirror == NULL)
        return NULL;
    mirror->manager_id = strndup(manager_id.bytes, manager_id.len);
    if (mirror->manager_id == NULL) {
        free(mirror);
        return NULL;
    }
    mirror->manager_id_len = manager_id.len;
    mirror->registry = registry;
    hb_buf_init(&mirror->row, HB_ROW_BYTES_MAX);
    for (size_t i = 0; i < SLOT_STATES; i++)
        hb_link_init(&mirror->lists[i]);
    return mirror;
}

void hb_mirror_free(struct hb_mirror *mirror)
{
    if (mirror == NULL)
        return;
    for (size_t i = 0; i < SLOT_STATES; i++) {
        while (!hb_link_is_alone(&mirror->lists[i]))
            hb_mirror_drop(mirror, ((struct slot *)mirror->lists[i].next)->worker);
    }
    hb_buf_free(&mirror->row);
    free(mirror->manager_id);
    free(mirror);
}

/* ---- slots ---- */

static struct slot *slot_of(struct hb_mirror *mirror, struct hb_worker *worker)
{
    struct slot *slot = worker->shell;

    if (slot != NULL)
        return slot;
    slot = calloc(1, sizeof *slot);
    if (slot == NULL) {
        mirror->missing = true;
        return NULL;
    }
    slot->worker = worker;
    slot->state = CLEAN;
    hb_link_init(&slot->link);
    hb_link_insert(&mirror->lists[CLEAN], &slot->link);
    worker->shell = slot;
    return slot;
}

static void leave(struct hb_mirror *mirror, struct slot *slot)
{
    hb_link_remove(&slot->link);
    if (slot->state == DIRTY)
        mirror->dirty--;
    if (slot->stale && slot->state != TOUCHED)
        mirror->behind--;
}

/* Before `place`, which is in the list of that state. */
static void enter(struct hb_mirror *mirror, struct slot *slot, enum slot_state state, struct hb_link *place)
{
    slot->state = state;
    hb_link_insert(place, &slot->link);
    if (state == DIRTY)
        mirror->dirty++;
    if (slot->stale && state != TOUCHED)
        mirror->behind++;
}

static void move(struct hb_mirror *mirror, struct slot *slot, enum slot_state state)
{
    leave(mirror, slot);
    enter(mirror, slot, state, &mirror->lists[state]);
}

static void set_stale(struct hb_mirror *mirror, struct slot *slot)
{
    if (slot->stale)
        return;
    slot->stale = true;
    if (slot->state == CLEAN) {
        hb_link_remove(&slot->link);
        enter(mirror, slot, TOUCHED, &mirror->lists[TOUCHED]);
    } else {
        mirror->behind++;
    }
}

/* What is touched stays in its list: the caller moves it on. */
static void clear_stale(struct hb_mirror *mirror, struct slot *slot)
{
    if (slot->stale && slot->state != TOUCHED)
        mirror->behind--;
    slot->stale = false;
    slot->owed = false;
}

/* Room for a row of len bytes; the slot may move. */
static enum hb_err reserve(struct slot **slot, size_t len)
{
    size_t room = (*slot)->row_cap == 0 ? len + ROW_GROWS : len;
    size_t cap = (room + ROW_ROUND - 1) / ROW_ROUND * ROW_ROUND;
    struct slot *grown;

    if (len <= (*slot)->row_cap)
        return HB_OK;
    grown = realloc(*slot, sizeof *grown + cap);
    if (grown == NULL)
        return HB_ERR_NO_MEMORY;
    grown->row_cap = (uint32_t)cap;
    hb_link_moved(&grown->link);
    grown->worker->shell = grown;
    *slot = grown;
    return HB_OK;
}

/* Brings the bytes up to date; on failure the previous ones stay. */
static enum hb_err build(struct hb_mirror *mirror, struct slot **slot)
{
    struct hb_row row = hb_worker_row((*slot)->worker);
    struct hb_buf *buf = &mirror->row;
    enum hb_err err;

    row.manager = (struct hb_text){mirror->manager_id, mirror->manager_id_len};
    hb_buf_clear(buf);
    hb_encode_row(buf, &row);
    err = hb_buf_status(buf);
    if (err == HB_OK)
        err = reserve(slot, buf->len);
    if (err != HB_OK)
        return err;
    clear_stale(mirror, *slot);
    if ((*slot)->row_len == buf->len && memcmp((*slot)->bytes, buf->bytes, buf->len) == 0)
        return HB_OK;
    memcpy((*slot)->bytes, buf->bytes, buf->len);
    (*slot)->row_len = (uint32_t)buf->len;
    mirror->version++;
    return HB_OK;
}

/* Builds what cannot wait; what fails is owed and tried again with the next refresh. */
static enum hb_err build_or_owe(struct hb_mirror *mirror, struct slot **slot)
{
    enum hb_err err = build(mirror, slot);

    if (err != HB_OK) {
        set_stale(mirror, *slot);
        (*slot)->owed = true;
    }
    return err;
}

static void set_stored(struct hb_mirror *mirror, struct slot *slot, bool stored)
{
    if (slot->stored != stored)
        mirror->stored += stored ? 1 : (size_t)-1;
    slot->stored = stored;
}

static void make_dirty(struct hb_mirror *mirror, struct slot *slot)
{
    if (slot->state == IN_FLIGHT)
        slot->again = true;
    else if (slot->state != DIRTY)
        move(mirror, slot, DIRTY);
}

/* ---- what happens to workers ---- */

enum hb_err hb_mirror_touch(struct hb_mirror *mirror, struct hb_worker *worker)
{
    struct slot *slot = slot_of(mirror, worker);

    if (slot == NULL)
        return HB_ERR_NO_MEMORY;
    set_stale(mirror, slot);
    return HB_OK;
}

enum hb_err hb_mirror_change(struct hb_mirror *mirror, struct hb_worker *worker)
{
    struct slot *slot = slot_of(mirror, worker);
    enum hb_err err;

    if (slot == NULL)
        return HB_ERR_NO_MEMORY;
    err = build_or_owe(mirror, &slot);
    if (err == HB_OK)
        make_dirty(mirror, slot);
    return err;
}

enum hb_err hb_mirror_adopt(struct hb_mirror *mirror, struct hb_worker *worker)
{
    struct slot *slot = slot_of(mirror, worker);
    enum hb_err err;

    if (slot == NULL)
        return HB_ERR_NO_MEMORY;
    err = build_or_owe(mirror, &slot);
    if (err == HB_OK && slot->state != IN_FLIGHT)
        move(mirror, slot, CLEAN);
    if (err == HB_OK)
        set_stored(mirror, slot, true);
    return err;
}

void hb_mirror_drop(struct hb_mirror *mirror, struct hb_worker *worker)
{
    struct slot *slot = worker->shell;

    if (slot == NULL)
        return;
    if (slot->row_len > 0)
        mirror->version++;
    set_stored(mirror, slot, false);
    leave(mirror, slot);
    free(slot);
    worker->shell = NULL;
}

/* Of a list whose slots keep their state. */
static void rebuild_stale(struct hb_mirror *mirror, enum slot_state state)
{
    struct hb_link *end = &mirror->lists[state];

    for (struct hb_link *link = end->next; link != end; link = link->next) {
        struct slot *slot = (struct slot *)link;

        if (slot->stale && build(mirror, &slot) == HB_OK && state == IN_FLIGHT)
            slot->again = true;
        link = &slot->link; /* it may have moved */
    }
}

/* Workers whose slot found no memory once; those for whom there is still none make it `missing` again. */
static void add_missing(struct hb_mirror *mirror)
{
    mirror->missing = false;
    for (size_t i = 0; i < hb_registry_count(mirror->registry); i++) {
        struct hb_worker *worker = hb_registry_worker_at(mirror->registry, i);

        /* A slot whose row cannot be built owes it, and is in the list of those that a refresh builds. */
        if (worker->shell == NULL && hb_mirror_change(mirror, worker) != HB_OK && worker->shell == NULL)
            return;
    }
}

bool hb_mirror_refresh_some(struct hb_mirror *mirror, size_t most)
{
    struct hb_link *touched = &mirror->lists[TOUCHED];
    bool failed = false;

    for (; most > 0 && !failed && !hb_link_is_alone(touched); most--) {
        struct slot *slot = (struct slot *)touched->next;

        failed = build(mirror, &slot) != HB_OK;
        move(mirror, slot, failed ? TOUCHED : DIRTY); /* behind the others, for the next time */
    }
    if (!failed && !hb_link_is_alone(touched))
        return true;
    if (mirror->behind > 0) {
        rebuild_stale(mirror, DIRTY);
        rebuild_stale(mirror, IN_FLIGHT);
    }
    if (mirror->missing)
        add_missing(mirror);
    return false;
}

void hb_mirror_refresh(struct hb_mirror *mirror)
{
    while (hb_mirror_refresh_some(mirror, SIZE_MAX))
        ;
}

void hb_mirror_dirty_all(struct hb_mirror *mirror)
{
    for (size_t i = 0; i < hb_registry_count(mirror->registry); i++) {
        struct slot *slot = slot_of(mirror, hb_registry_worker_at(mirror->registry, i));

        if (slot == NULL)
            continue;
        set_stored(mirror, slot, false);
        if (slot->row_len > 0 || build_or_owe(mirror, &slot) == HB_OK)
            make_dirty(mirror, slot);
    }
}

/* ---- what others ask ---- */

struct hb_text hb_mirror_row(const struct hb_worker *worker)
{
    const struct slot *slot = worker->shell;

    if (slot == NULL || slot->row_len == 0)
        return (struct hb_text){NULL, 0};
    return (struct hb_text){slot->bytes, slot->row_len};
}

bool hb_mirror_is_clean(const struct hb_worker *worker)
{
    const struct slot *slot = worker->shell;

    return slot != NULL && slot->row_len > 0 && !slot->owed && (slot->state == CLEAN || slot->state == TOUCHED);
}

bool hb_mirror_in_flight(const struct hb_worker *worker)
{
    const struct slot *slot = worker->shell;

    return slot != NULL && slot->state == IN_FLIGHT;
}

uint64_t hb_mirror_version(const struct hb_mirror *mirror)
{
    return mirror->version;
}

size_t hb_mirror_dirty_count(const struct hb_mirror *mirror)
{
    return mirror->dirty;
}

size_t hb_mirror_stored_count(const struct hb_mirror *mirror)
{
    return mirror->stored;
}

/* ---- batches ---- */

bool hb_mirror_take_one(struct hb_mirror *mirror, const struct hb_worker *worker)
{
    /* The view shows workers read-only to everybody, but their shell field is ours. */
    struct slot *slot = slot_of(mirror, (struct hb_worker *)(uintptr_t)worker);

    if (slot == NULL || slot->state == IN_FLIGHT)
        return false;
    if ((slot->stale || slot->row_len == 0) && build(mirror, &slot) != HB_OK && (slot->owed || slot->row_len == 0))
        return false;
    slot->again = false;
    move(mirror, slot, IN_FLIGHT);
    return true;
}

struct hb_worker *hb_mirror_take(struct hb_mirror *mirror)
{
    struct slot *slot = (struct slot *)mirror->lists[DIRTY].next;

    if (hb_link_is_alone(&mirror->lists[DIRTY]))
        return NULL;
    if (slot->stale && build(mirror, &slot) != HB_OK) {
        /* Then it goes as it was built last; still stale, it is touched again once that has arrived. */
    }
    slot->again = false;
    move(mirror, slot, IN_FLIGHT);
    return slot->worker;
}

void hb_mirror_acked(struct hb_mirror *mirror)
{
    struct hb_link *in_flight = &mirror->lists[IN_FLIGHT];

    while (!hb_link_is_alone(in_flight)) {
        struct slot *slot = (struct slot *)in_flight->next;

        move(mirror, slot, slot->again ? DIRTY : slot->stale ? TOUCHED : CLEAN);
        slot->again = false;
        set_stored(mirror, slot, true);
    }
}

void hb_mirror_failed(struct hb_mirror *mirror)
{
    struct hb_link *in_flight = &mirror->lists[IN_FLIGHT];
    struct hb_link *front = mirror->lists[DIRTY].next;

    while (!hb_link_is_alone(in_flight)) {
        struct slot *slot = (struct slot *)in_flight->next;

        leave(mirror, slot);
        enter(mirror, slot, DIRTY, front);
        slot->again = false;
    }
}
