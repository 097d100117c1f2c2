/*
 * timeline: a scenario of the pure core, written as what happens when.
 *
 *      at(0, "register w1 :8001");
 *      expect("w1 unknown -> registered (registered)");
 *      at(1, "open w1/s1");
 *      expect("w1 registered -> connected (socket_opened)");
 *      later(16.001, "w1 connected -> not_responding (never_beat)");
 *
 * Times are seconds since the scenario began; between two lines simulated time runs from deadline to deadline, as the
 * loop's timer would let it. Whatever the registry does must be expected: a transition, a closed socket or an error
 * that no line explains fails the scenario, at the latest at its end. (Changed rows and counted beats need no line;
 * watch.h checks them.) A failure prints the whole timeline.
 *
 * What at() understands; words in brackets may be left out:
 *
 *      register ID [:PORT] [host=] [name=] [url=] [timeout=] [interval=] [attributes=] [from=PEER]
 *      open ID/SOCKET
 *      beat ID[/SOCKET] [alive|draining|bye] [name=] [requests=] [errors=] [metrics=] [attributes=] [from=PEER]
 *      close ID/SOCKET [CODE]                    without a code: abnormally
 *      remove ID
 *      maintain ID ttl=SECONDS [reason=] | off
 *      restore ID [:PORT] status= [serving] [announced=] [draining] [seed] [beats] [host=] [name=] [url=] [timeout=]
 *              [epoch=] [seq=] [reason=] [since=] [heard=SECONDS] [maintenance] [until=SECONDS] [words=]
 *                                                                      heard at 0 unless it says so
 *
 *      polled ID CODE | answered | refused | ... [requests=] [errors=] [uptime=] [attributes=]
 *                                                the end of the poll that was begun last
 *      probed ID CODE | refused | ...
 *
 * Sockets are named s0 to s99; a beat without one came over HTTP. What comes back:
 *
 *      w1 alive -> disconnected (connection_closed) [server:down]      a transition; without arrow: status as before
 *      close s1 4000                                                    the shell is told to close it
 *      poll w1                                                          its poll begins (rules with "polling")
 *      probe w1                                                         its address is to be asked at once
 *      ! stale                                                          the call failed (refused, full, unknown)
 *
 * In an expected line * stands for anything. Lines of one moment may be expected in any order.
 */
#ifndef HB_TESTS_UNIT_TIMELINE_H
#define HB_TESTS_UNIT_TIMELINE_H

#include "tests/unit/watch.h"

/* One test: its scenario starts with the rules below and ends with nothing left unexplained. */
#define SCENARIO(name) cmocka_unit_test_setup_teardown(name, timeline_begin, timeline_end)
#define TIMELINE_RULES "timeout=15 grace=2 restart=30 reap=0 max=1000 poll=10 fast=1 concurrency=5 fall=3 rise=2"

int timeline_begin(void **state);
int timeline_end(void **state);

#define given(rules) timeline_given(__FILE__, __LINE__, rules) /* other rules, before anything else */
#define at(seconds, what) timeline_at(__FILE__, __LINE__, seconds, what)
#define expect(what) timeline_expect(__FILE__, __LINE__, what)
#define later(seconds, what) timeline_between(__FILE__, __LINE__, seconds, seconds, what)
/* For what DESIGN gives no exact millisecond. */
#define between(from, to, what) timeline_between(__FILE__, __LINE__, from, to, what)
/* The usual beginning, all at one moment: registers at :8001, opens its socket, beats: server:up. subject: "w1/s1" */
#define comes_up(seconds, subject) timeline_comes_up(__FILE__, __LINE__, seconds, subject)
#define nothing_until(seconds) timeline_nothing_until(__FILE__, __LINE__, seconds)
#define silent_for(seconds) timeline_silent_for(__FILE__, __LINE__, seconds) /* evidence of the last transition */
/* Words of watch_row_text, all of which the row must have. */
#define row(id, words) timeline_row(__FILE__, __LINE__, id, words)
#define no_row(id) timeline_no_row(__FILE__, __LINE__, id)
/* The clocks: the manager was away (nothing expired meanwhile, deadlines moved); the wall clock jumped. */
#define stall(seconds) timeline_stall(__FILE__, __LINE__, seconds)
#define wall_step(seconds) timeline_wall_step(seconds)

/* What listeners heard of an id so far: "up down recovery". */
#define heard(id, edges) timeline_heard(__FILE__, __LINE__, id, edges)

void timeline_given(const char *file, int line, const char *rules);
void timeline_at(const char *file, int line, double seconds, const char *what);
void timeline_expect(const char *file, int line, const char *what);
void timeline_between(const char *file, int line, double from, double to, const char *what);
void timeline_comes_up(const char *file, int line, double seconds, const char *subject);
void timeline_nothing_until(const char *file, int line, double seconds);
void timeline_silent_for(const char *file, int line, double seconds);
void timeline_row(const char *file, int line, const char *id, const char *words);
void timeline_no_row(const char *file, int line, const char *id);
void timeline_stall(const char *file, int line, double seconds);
void timeline_wall_step(double seconds);
void timeline_heard(const char *file, int line, const char *id, const char *edges);

/* For what the notation cannot say. */
struct watch *timeline_watch(void);
struct hb_registry *timeline_registry(void);
struct hb_moment timeline_moment(double seconds);
const struct hb_worker *timeline_worker(const char *id); /* NULL when not visible */
struct hb_registry_rules timeline_rules(const char *words);

#endif
