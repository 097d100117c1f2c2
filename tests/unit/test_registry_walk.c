/*
 * registry, a long random walk: every kind of input in every order, each step under observation (see watch.h).
 *
 * A few ids and many sockets, so that they meet: takeovers, removals, restores, full tables, stalls, expiries that come
 * late or only partly. Walks are seeded and repeat exactly; a failure prints the seed, the step and what led to it.
 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/script.h"
#include "tests/unit/timeline.h"

#define STEPS 100000
#define IDS 10
#define SOCKETS 40
#define POLLS 4 /* at a time */
#define TRACE 60
#define REASONS (HB_REASON_PROBE_REFUSED + 1)

enum line_state {
    LINE_FREE, /* not connected */
    LINE_LIVE, /* accepted, its worker's one socket */
    LINE_TOLD, /* the registry said: close it. What it sends now is stale */
};

struct walk {
    struct watch *watch;
    uint64_t random;
    int64_t now_ms;
    struct {
        enum line_state state;
        unsigned id;
    } lines[SOCKETS];
    struct {
        char id[8];
        uint64_t ticket; /* 0: none is under way in this place */
    } polls[POLLS];
    uint64_t probe;
    int probed;         /* id that was to be probed last; -1 none */
    unsigned favourite; /* id: long chains of events need one that keeps coming back */
    uint64_t digest;    /* of everything that came out */
    unsigned long edges[HB_EDGE_REMOVED + 1], reasons[REASONS], errors[HB_ERR_IO + 1], statuses[HB_STATUS_REMOVED + 1];
    unsigned long step;
    uint64_t seed;
    char trace[TRACE][320];
    unsigned long traced;
};

/* ---- chance: splitmix64 (Steele, Lea and Flood, 2014), whose whole state is one word ---- */

static uint64_t draw(struct walk *walk)
{
    uint64_t z = (walk->random += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static unsigned below(struct walk *walk, unsigned bound)
{
    return (unsigned)(draw(walk) % bound);
}

static bool chance(struct walk *walk, unsigned percent)
{
    return below(walk, 100) < percent;
}

/* ---- telling ---- */

static void trace(struct walk *walk, const char *text)
{
    snprintf(walk->trace[walk->traced++ % TRACE], sizeof walk->trace[0], "%10.3f  %s", (double)walk->now_ms / 1000,
             text);
    for (; *text != '\0'; text++)
        walk->digest = (walk->digest ^ (unsigned char)*text) * 0x100000001b3; /* FNV-1a */
}

static void stop(struct walk *walk, const char *problem)
{
    fprintf(stderr, "\n--- seed %llu, step %lu ---\n", (unsigned long long)walk->seed, walk->step);
    for (unsigned long i = walk->traced > TRACE ? walk->traced - TRACE : 0; i < walk->traced; i++)
        fprintf(stderr, "%s\n", walk->trace[i % TRACE]);
    fprintf(stderr, "### %s\n", problem);
    fail();
}

static void check(struct walk *walk, bool kept, const char *promise)
{
    if (!kept)
        stop(walk, promise);
}

static struct hb_moment now_of(const struct walk *walk)
{
    return (struct hb_moment){{WATCH_MONO_START + walk->now_ms}, {WATCH_WALL_START + walk->now_ms}};
}

static unsigned line_of(struct walk *walk, const void *socket)
{
    for (unsigned i = 0; i < SOCKETS; i++)
        if (script_socket(i) == socket)
            return i;
    stop(walk, "a socket that nobody opened is to be closed");
    return 0;
}

static void take_effects(struct walk *walk, const struct hb_effects *effects)
{
    for (size_t i = 0; i < effects->count; i++) {
        const struct hb_effect *effect = &effects->items[i];
        char text[256], told[300];
        watch_effect_text(effect, script_socket_name(effect->socket), text, sizeof text);
        snprintf(told, sizeof told, "    => %s", text);
        trace(walk, told);
        if (effect->kind == HB_EFFECT_TRANSITION) {
            walk->edges[effect->edge]++;
            walk->reasons[effect->reason]++;
            walk->statuses[effect->worker->status]++;
        } else if (effect->kind == HB_EFFECT_PROBE) {
            walk->probed = atoi(effect->worker->id + 1);
            walk->probe = (uint64_t)effect->worker->hold_until.ms;
        } else if (effect->kind == HB_EFFECT_CLOSE_SOCKET) {
            unsigned line = line_of(walk, effect->socket);
            check(walk, walk->lines[line].state == LINE_LIVE, "a socket is to be closed that was not live");
            walk->lines[line].state = LINE_TOLD;
        }
    }
    if (watch_fault(walk->watch) != NULL)
        stop(walk, watch_fault(walk->watch));
}

static enum hb_err step_with(struct walk *walk, const char *line, uint64_t ticket)
{
    struct script script;
    struct hb_effects effects;
    char outcome[64];
    trace(walk, line);
    check(walk, script_parse(&script, line) == NULL, "cannot read this line");
    script.input.ticket = ticket;
    enum hb_err err = watch_step(walk->watch, &script.input, now_of(walk), &effects);
    walk->errors[err]++;
    take_effects(walk, &effects);
    if (err != HB_OK) {
        snprintf(outcome, sizeof outcome, "    => ! %s", watch_err_word(err));
        trace(walk, outcome);
    }
    return err;
}

static enum hb_err step(struct walk *walk, const char *line)
{
    return step_with(walk, line, 0);
}

/* ---- time ---- */

/* Up to `most` calls; true when nothing was left. */
static bool expire(struct walk *walk, unsigned most)
{
    struct hb_effects effects;
    for (unsigned i = 0; i < most; i++) {
        bool handled = watch_expire(walk->watch, now_of(walk), &effects);
        take_effects(walk, &effects);
        if (!handled) {
            watch_settled(walk->watch, now_of(walk));
            if (watch_fault(walk->watch) != NULL)
                stop(walk, watch_fault(walk->watch));
            return true;
        }
    }
    return false;
}

static void expire_all(struct walk *walk)
{
    check(walk, expire(walk, 10 * IDS), "expire does not come to an end");
}

/* As the loop's timer has it: from deadline to deadline. */
static void pass(struct walk *walk, int64_t until_ms)
{
    for (;;) {
        int64_t next_ms = hb_registry_next_deadline(watch_registry(walk->watch)).ms - WATCH_MONO_START;
        if (next_ms > until_ms)
            break;
        if (next_ms > walk->now_ms)
            walk->now_ms = next_ms;
        expire_all(walk);
    }
    walk->now_ms = until_ms;
    expire_all(walk);
}

static void let_time_pass(struct walk *walk)
{
    static const unsigned spans_ms[] = {1, 20, 50, 200, 1000, 3000, 8000, 80000};
    unsigned kind = below(walk, 1000);
    unsigned span = spans_ms[kind < 300   ? 0
                             : kind < 600 ? 1
                             : kind < 750 ? 2
                             : kind < 880 ? 3
                             : kind < 950 ? 4
                             : kind < 985 ? 5
                             : kind < 998 ? 6
                                          : 7];
    int64_t ms = below(walk, span + 1);
    switch (below(walk, 20)) {
    case 0: /* late: everything at once */
        walk->now_ms += ms;
        expire_all(walk);
        break;
    case 1: /* a turn that was used up: the rest stays overdue while inputs come */
        walk->now_ms += ms;
        expire(walk, 1);
        break;
    case 2: /* the manager was away */
        if (chance(walk, 10)) {
            trace(walk, "(away)");
            walk->now_ms += ms;
            watch_skew(walk->watch, ms);
        }
        break;
    default:
        pass(walk, walk->now_ms + ms);
    }
}

/* ---- inputs ---- */

static void do_register(struct walk *walk, unsigned id)
{
    static const char *const shapes[] = {
        "",
        ":8001",
        ":8001",
        ":8002 name=other",
        ":8001 host=10.0.0.1",
        ":8001 timeout=1 from=10.0.0.7",
        ":8001 timeout=9",
        "url=http://10.0.0.5:9000/",
        "url=http://10.0.0.5:9001/ poll_interval=1",
        ":8003 url=http://10.0.0.6:9000/ attributes={\"zone\":\"a\"}",
    };
    char line[160];
    snprintf(line, sizeof line, "register w%u %s", id, shapes[below(walk, sizeof shapes / sizeof *shapes)]);
    enum hb_err err = step(walk, line);
    check(walk, err == HB_OK || err == HB_ERR_FULL, "a registration can only fail when all is full");
}

static void do_open(struct walk *walk, unsigned id)
{
    unsigned line = below(walk, SOCKETS);
    char text[64];
    if (walk->lines[line].state != LINE_FREE)
        return;
    const struct hb_worker *worker = NULL;
    snprintf(text, sizeof text, "w%u", id);
    worker = hb_registry_find(watch_registry(walk->watch), hb_text_of(text));
    bool owned = worker != NULL && worker->socket != NULL;
    snprintf(text, sizeof text, "open w%u/s%u", id, line);
    enum hb_err err = step(walk, text);
    if (err == HB_OK) {
        for (unsigned i = 0; i < SOCKETS; i++)
            check(walk, walk->lines[i].state != LINE_LIVE || walk->lines[i].id != id, "two live sockets of one id");
        walk->lines[line].state = LINE_LIVE;
        walk->lines[line].id = id;
    } else if (err == HB_ERR_CONFLICT) {
        check(walk, worker == NULL || (worker->id_conflict && owned), "a conflict without two claims");
    }
}

static const char *some_beat(struct walk *walk)
{
    static const char *const beats[] = {
        "draining", "alive", "alive", "bye", "status=busy requests=3 errors=1", "metrics={\"cpu\":0.5}"};
    return chance(walk, 75) ? "" : beats[below(walk, sizeof beats / sizeof *beats)];
}

static void do_beat(struct walk *walk)
{
    unsigned line = below(walk, SOCKETS);
    char text[128];
    if (walk->lines[line].state == LINE_FREE)
        return;
    bool live = walk->lines[line].state == LINE_LIVE;
    snprintf(text, sizeof text, "beat w%u/s%u %s", walk->lines[line].id, line, some_beat(walk));
    enum hb_err err = step(walk, text);
    check(walk, live == (err == HB_OK), live ? "a good beat was refused" : "a stale socket was heard");
}

static void do_http_beat(struct walk *walk, unsigned id)
{
    char text[128];
    snprintf(text, sizeof text, "beat w%u %s", id, some_beat(walk));
    (void)!step(walk, text);
}

static void do_close(struct walk *walk)
{
    static const char *const codes[] = {"", "", "", "1000", "1001", "1011"};
    unsigned line = below(walk, SOCKETS);
    char text[64];
    if (walk->lines[line].state == LINE_FREE)
        return;
    bool live = walk->lines[line].state == LINE_LIVE;
    snprintf(text, sizeof text, "close w%u/s%u %s", walk->lines[line].id, line,
             codes[below(walk, sizeof codes / sizeof *codes)]);
    walk->lines[line].state = LINE_FREE;
    check(walk, step(walk, text) == (live ? HB_OK : HB_ERR_STALE), "a close went wrong");
}

static void do_remove(struct walk *walk, unsigned id)
{
    char text[64];
    snprintf(text, sizeof text, "w%u", id);
    bool there = hb_registry_find(watch_registry(walk->watch), hb_text_of(text)) != NULL;
    snprintf(text, sizeof text, "remove w%u", id);
    check(walk, step(walk, text) == (there ? HB_OK : HB_ERR_UNKNOWN), "a removal went wrong");
}

static void do_restore(struct walk *walk, unsigned id)
{
    static const char *const shapes[] = {
        "status=alive serving announced=up",      "status=disconnected serving announced=up",
        "status=connected serving announced=up",  "status=alive draining announced=down",
        "status=not_responding announced=down",   "status=disconnected announced=down reason=goodbye",
        "status=registered announced=none",       "status=alive serving announced=up seed timeout=20",
        "status=alive announced=down maintenance"};
    char text[160];
    snprintf(text, sizeof text, "restore w%u :8001 host=10.0.0.1 heard=%.3f %s", id, (double)walk->now_ms / 1000 - 1,
             shapes[below(walk, sizeof shapes / sizeof *shapes)]);
    (void)!step(walk, text);
}

static void do_maintain(struct walk *walk, unsigned id)
{
    static const char *const shapes[] = {"off", "ttl=1", "ttl=4 reason=disks", "ttl=30"};
    char text[64];
    snprintf(text, sizeof text, "w%u", id);
    bool there = hb_registry_find(watch_registry(walk->watch), hb_text_of(text)) != NULL;
    snprintf(text, sizeof text, "maintain w%u %s", id, shapes[below(walk, sizeof shapes / sizeof *shapes)]);
    check(walk, step(walk, text) == (there ? HB_OK : HB_ERR_UNKNOWN), "maintenance went wrong");
}

static void begin_polls(struct walk *walk)
{
    const struct hb_worker *worker = NULL;
    uint64_t ticket = 0;
    while (hb_registry_take_poll(watch_registry(walk->watch), now_of(walk), &worker, &ticket)) {
        unsigned place = 0;
        char text[32];
        for (unsigned i = 0; i < POLLS; i++)
            check(walk,
                  walk->polls[i].ticket == 0 || strcmp(walk->polls[i].id, worker->id) != 0 ||
                      worker->poll->ticket != walk->polls[i].ticket,
                  "two polls of one target");
        while (place < POLLS && walk->polls[place].ticket != 0)
            place++;
        check(walk, place < POLLS, "more polls than may be under way");
        snprintf(walk->polls[place].id, sizeof walk->polls[place].id, "%s", worker->id);
        walk->polls[place].ticket = ticket;
        snprintf(text, sizeof text, "    => poll %s", worker->id);
        trace(walk, text);
    }
}

static void end_poll(struct walk *walk)
{
    static const char *const results[] = {"200", "200", "200 requests=9 errors=5", "503", "refused", "timed_out"};
    unsigned place = below(walk, POLLS);
    char text[64];
    if (walk->polls[place].ticket == 0)
        return;
    snprintf(text, sizeof text, "polled %s %s", walk->polls[place].id,
             results[below(walk, sizeof results / sizeof *results)]);
    enum hb_err err = step_with(walk, text, walk->polls[place].ticket);
    walk->polls[place].ticket = 0;
    check(walk, err == HB_OK || err == HB_ERR_STALE, "a poll went wrong");
}

static void end_probe(struct walk *walk)
{
    char text[64];
    if (walk->probed < 0 || !chance(walk, 50))
        return;
    snprintf(text, sizeof text, "probed w%d %s", walk->probed, chance(walk, 50) ? "refused" : "200");
    (void)!step_with(walk, text, walk->probe);
    if (chance(walk, 80)) /* else once more: the second answer means nothing */
        walk->probed = -1;
}

static void do_something(struct walk *walk)
{
    if (chance(walk, 2))
        walk->favourite = below(walk, IDS);
    unsigned id = chance(walk, 70) ? walk->favourite : below(walk, IDS);
    unsigned kind = below(walk, 1000);
    if (kind < 550)
        do_beat(walk);
    else if (kind < 700)
        do_open(walk, id);
    else if (kind < 800)
        do_close(walk);
    else if (kind < 880)
        do_register(walk, id);
    else if (kind < 950)
        do_http_beat(walk, id);
    else if (kind < 970)
        do_restore(walk, id);
    else if (kind < 982)
        do_maintain(walk, id);
    else
        do_remove(walk, id);
}

/* ---- the walks ---- */

#define RULES "timeout=5 grace=2 restart=12 reap=60 max=8"

static uint64_t walk_for(struct walk *walk, const char *words, uint64_t seed, uint64_t hash_seed, unsigned long steps)
{
    struct hb_registry_rules rules = timeline_rules(words);
    rules.hash_seed[0] ^= hash_seed;
    memset(walk, 0, sizeof *walk);
    walk->random = walk->seed = seed;
    walk->probed = -1;
    walk->watch = watch_new(&rules);
    assert_non_null(walk->watch);
    hb_registry_set_epoch(watch_registry(walk->watch), 77);
    for (walk->step = 0; walk->step < steps; walk->step++) {
        let_time_pass(walk);
        do_something(walk);
        if (rules.polling) {
            begin_polls(walk);
            end_poll(walk);
            end_probe(walk);
        }
    }
    watch_free(walk->watch);
    return walk->digest;
}

static void a_hundred_thousand_steps(void **state)
{
    static const uint64_t seeds[] = {1, 20261120, 0xfeedface};
    static struct walk walk;
    uint64_t steps = getenv("HB_FULL") != NULL ? 10 * STEPS : STEPS; /* tests/run.sh --full */
    (void)state;
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        walk_for(&walk, RULES, seeds[i], 0, steps);
        /* A walk that never came by a place proves nothing of it. */
        for (int edge = HB_EDGE_NONE; edge <= HB_EDGE_REMOVED; edge++)
            assert_in_range(walk.edges[edge], 100, ULONG_MAX);
        for (int status = HB_STATUS_REGISTERED; status <= HB_STATUS_REMOVED; status++)
            assert_in_range(walk.statuses[status], 100, ULONG_MAX);
        for (int reason = HB_REASON_REGISTERED; reason <= HB_REASON_MAINTENANCE; reason++)
            assert_in_range(walk.reasons[reason], 5, ULONG_MAX);
        assert_in_range(walk.errors[HB_ERR_STALE], 100, ULONG_MAX);
        assert_in_range(walk.errors[HB_ERR_REFUSED], 100, ULONG_MAX);
        assert_in_range(walk.errors[HB_ERR_CONFLICT], 100, ULONG_MAX);
        assert_in_range(walk.errors[HB_ERR_FULL], 100, ULONG_MAX);
        assert_in_range(walk.errors[HB_ERR_UNKNOWN], 100, ULONG_MAX);
    }
}

/* The same with polls: those that are only polled, those that beat too, answers that nobody waits for any more. */
static void a_hundred_thousand_steps_with_polls(void **state)
{
    static struct walk walk;
    uint64_t steps = getenv("HB_FULL") != NULL ? 10 * STEPS : STEPS;
    (void)state;
    for (uint64_t seed = 11; seed <= 12; seed++) {
        walk_for(&walk, RULES " polling poll=2 fast=0.3 concurrency=4 fall=2 rise=2", seed, 0, steps);
        for (int edge = HB_EDGE_NONE; edge <= HB_EDGE_REMOVED; edge++)
            assert_in_range(walk.edges[edge], 100, ULONG_MAX);
        assert_in_range(walk.reasons[HB_REASON_POLL], 100, ULONG_MAX);
        assert_in_range(walk.reasons[HB_REASON_PROBE_REFUSED], 20, ULONG_MAX);
    }
}

/* The same inputs at the same moments give the same effects, whatever the table's hash. */
static void the_same_walk_twice(void **state)
{
    static struct walk walk;
    (void)state;
    uint64_t first = walk_for(&walk, RULES, 5, 0, STEPS / 10);
    assert_true(walk_for(&walk, RULES, 5, 0xabcdef, STEPS / 10) == first);
    assert_true(walk_for(&walk, RULES, 6, 0, STEPS / 10) != first); /* the digest does see a difference */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hundred_thousand_steps),
        cmocka_unit_test(a_hundred_thousand_steps_with_polls),
        cmocka_unit_test(the_same_walk_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
