/*
 * work_port: work that would hold the loop for too long, cut into pieces of a few milliseconds.
 */
#ifndef HB_APP_WORK_PORT_H
#define HB_APP_WORK_PORT_H

#include <stdbool.h>

struct hb_work_port {
    void *self;
    /* Calls `work` once in each turn of the loop, until it returns false. Whoever asks again replaces the one before.
     */
    void (*begin)(void *self, bool (*work)(void *work_self), void *work_self);
};

#endif
