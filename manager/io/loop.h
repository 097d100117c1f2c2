/*
 * loop: the one libuv loop, its signals and its single deadline timer.
 *
 * The timer is armed for the manager's next deadline, but never further than HB_LOOP_NAP_MS away, so that the loop
 * notices its own absence: a timer that fires more than HB_LOOP_LATE_MS late means that this process was stopped or
 * blocked, and that what it knows about everyone else is stale. Then it suspects itself first. Every deadline moves by
 * the gap, and since libuv 1.44 runs timers before it polls sockets, all sockets are read before the next expiry.
 *
 * While beats come faster than HB_LOOP_GATHER_RATE the loop looks at its sockets at most once per HB_LOOP_GATHER_MS.
 * Waking up costs as much as a beat does; gathered, many beats share one. It costs everyone else up to that much
 * latency, and only under such load. (Interrupt coalescing in network cards is the same trade.)
 */
#ifndef HB_IO_LOOP_H
#define HB_IO_LOOP_H

#include "manager/app/manager.h"
#include "manager/app/work_port.h"

#define HB_LOOP_NAP_MS 1000
#define HB_LOOP_LATE_MS 250
#define HB_LOOP_GATHER_MS 2
#define HB_LOOP_GATHER_RATE 1000 /* beats per second */
#define HB_LOOP_EXPIRE_MOST 512  /* expiries in one turn; the rest waits for the sockets to be read */

struct uv_loop_s;
struct hb_loop;

struct hb_loop *hb_loop_new(struct hb_manager *manager); /* NULL: out of memory or descriptors */
struct uv_loop_s *hb_loop_uv(struct hb_loop *loop);
/* Sockets are read between two pieces of work. */
struct hb_work_port hb_loop_work_port(struct hb_loop *loop);

/* Called at the first SIGTERM or SIGINT, and with `again` at the second. */
void hb_loop_on_stop(struct hb_loop *loop, void (*stop)(void *self, bool again), void *self);
void hb_loop_start(struct hb_loop *loop);
void hb_loop_run(struct hb_loop *loop);         /* until nothing is left to wait for */
void hb_loop_stop_timers(struct hb_loop *loop); /* signals and timers closed: the loop may end by itself */
/* 0, or the UV_EBUSY of handles somebody forgot. Frees the loop. */
int hb_loop_close(struct hb_loop *loop);

#endif
