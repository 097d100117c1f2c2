/*
 * ports: what the manager asks of the world, as tables of functions. The adapters in io fill them; tests fill them too.
 */
#ifndef HB_APP_PORTS_H
#define HB_APP_PORTS_H

#include "manager/core/registry.h"

/* Where sockets are. */
struct hb_socket_port {
    void *self;
    void (*close)(void *self, void *socket, uint16_t close_code);
};

/* Where the truth is mirrored. Calls never block and never call back into the manager before they return. */
struct hb_store_port {
    void *self;
    /* Something is to be written: transitions in the outbox or rows in the mirror. Called after each step with effects
     * worth writing at once; the store collects until the loop turns. */
    void (*wake)(void *self);
};

/* Where services are asked over HTTP. */
struct hb_poller_port {
    void *self;
    /*
     * One look at a worker whose socket has just broken; what comes of it is an HB_INPUT_PROBED with its hold_until of
     * now. Later, or never.
     */
    void (*probe)(void *self, const struct hb_worker *worker);
};

#define HB_LISTENERS_MAX 4

/* Whoever wants to hear of every change as it happens. Calls never block and never call back into the manager. */
struct hb_listener_port {
    void *self;
    /*
     * A transition, or another change of a row: effect->kind is HB_EFFECT_TRANSITION or HB_EFFECT_ROW_CHANGED. What is
     * gone (effect->gone) can still be read, until this returns.
     */
    void (*changed)(void *self, const struct hb_effect *effect, struct hb_moment now);
};

#endif
