#include "tests/unit/timeline.h"

#include <fnmatch.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/script.h"

#define LINES_MAX 4096
#define POLLED_MAX 32
#define ROUNDS_MAX 20000 /* calls of expire at one moment: more, and it would never end */

struct line {
    int64_t at_ms;
    enum { LINE_INPUT, LINE_OUTCOME, LINE_NOTE } kind;
    bool explained;
    int64_t silence_ms;
    char text[256];
};

struct ticket {
    char id[65];
    uint64_t number; /* of the poll that was begun last */
    uint64_t probe;  /* of the probe that was asked for last */
};

struct timeline {
    struct watch *watch;
    struct ticket tickets[POLLED_MAX];
    struct hb_registry_rules rules;
    int64_t now_ms;       /* since the scenario began, on the monotonic clock */
    int64_t wall_step_ms; /* how far the wall clock was moved */
    struct line *lines;
    size_t count;
    size_t explained; /* all lines before it are */
    int64_t last_silence_ms;
    bool failed;
};

static struct timeline *timeline; /* the running scenario's: what keeps its notation free of a first argument */

/* ---- what is printed when it goes wrong ---- */

static void timeline_print(const char *problem)
{
    static const char *const marks[] = {"", "    => ", "       "};
    fprintf(stderr, "\n--- timeline ---\n");
    for (size_t i = 0; i < timeline->count; i++) {
        const struct line *line = &timeline->lines[i];
        const char *hint = line->kind == LINE_OUTCOME && !line->explained ? "   <== not expected" : "";
        fprintf(stderr, "%10.3f  %s%s%s\n", (double)line->at_ms / 1000, marks[line->kind], line->text, hint);
    }
    fprintf(stderr, "%10.3f  ### %s\n----------------\n", (double)timeline->now_ms / 1000, problem);
}

static void fail_scenario(const char *file, int line, const char *format, ...) HB_PRINTF(3, 4);
static void fail_scenario(const char *file, int line, const char *format, ...)
{
    char problem[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem, sizeof problem, format, arguments);
    va_end(arguments);
    timeline->failed = true;
    timeline_print(problem);
    _fail(file, line);
}

static void note(int kind, const char *text)
{
    if (timeline->count == LINES_MAX)
        abort();
    struct line *line = &timeline->lines[timeline->count++];
    line->at_ms = timeline->now_ms;
    line->kind = kind;
    line->explained = kind != LINE_OUTCOME;
    snprintf(line->text, sizeof line->text, "%s", text);
}

static struct ticket *ticket_of(const char *id)
{
    struct ticket *ticket = timeline->tickets;
    while (ticket < timeline->tickets + POLLED_MAX && ticket->id[0] != '\0' && strcmp(ticket->id, id) != 0)
        ticket++;
    if (ticket == timeline->tickets + POLLED_MAX)
        abort();
    snprintf(ticket->id, sizeof ticket->id, "%s", id);
    return ticket;
}

static void note_effects(const struct hb_effects *effects)
{
    for (size_t i = 0; i < effects->count; i++) {
        const struct hb_effect *effect = &effects->items[i];
        char text[256];
        watch_effect_text(effect, script_socket_name(effect->socket), text, sizeof text);
        if (effect->kind == HB_EFFECT_PROBE)
            ticket_of(effect->worker->id)->probe = (uint64_t)effect->worker->hold_until.ms;
        note(effect->kind == HB_EFFECT_ROW_CHANGED ? LINE_NOTE : LINE_OUTCOME, text);
        timeline->lines[timeline->count - 1].silence_ms = effect->silence_ms;
    }
}

/* ---- time ---- */

struct hb_moment timeline_moment(double seconds)
{
    int64_t ms = llround(seconds * 1000);
    return (struct hb_moment){{WATCH_MONO_START + ms}, {WATCH_WALL_START + ms + timeline->wall_step_ms}};
}

static struct hb_moment moment_now(void)
{
    return timeline_moment((double)timeline->now_ms / 1000);
}

static struct line *first_unexplained(void)
{
    while (timeline->explained < timeline->count && timeline->lines[timeline->explained].explained)
        timeline->explained++;
    return timeline->explained < timeline->count ? &timeline->lines[timeline->explained] : NULL;
}

static void check_watch(const char *file, int line)
{
    if (watch_fault(timeline->watch) != NULL)
        fail_scenario(file, line, "%s", watch_fault(timeline->watch));
}

/* ---- polls ---- */

static void begin_polls(void)
{
    const struct hb_worker *worker = NULL;
    uint64_t number = 0;
    while (hb_registry_take_poll(watch_registry(timeline->watch), moment_now(), &worker, &number)) {
        char text[128];
        snprintf(text, sizeof text, "poll %s", worker->id);
        note(LINE_OUTCOME, text);
        ticket_of(worker->id)->number = number;
    }
}

/* Handles everything that is due at this moment. */
static void settle(const char *file, int line)
{
    struct hb_effects effects;
    begin_polls();
    for (int round = 0; watch_expire(timeline->watch, moment_now(), &effects); round++) {
        note_effects(&effects);
        check_watch(file, line);
        if (round == ROUNDS_MAX)
            fail_scenario(file, line, "expire does not come to an end");
    }
    watch_settled(timeline->watch, moment_now());
    check_watch(file, line);
}

/* From deadline to deadline up to `until`; stops early at the first outcome that nobody expected yet. */
static void run_until(const char *file, int line, int64_t until_ms)
{
    if (until_ms < timeline->now_ms)
        fail_scenario(file, line, "%.3f is over: it is %.3f", (double)until_ms / 1000, (double)timeline->now_ms / 1000);
    for (;;) {
        struct hb_registry *registry = watch_registry(timeline->watch);
        int64_t next_ms = hb_mono_earlier(hb_registry_next_deadline(registry), hb_registry_next_poll(registry)).ms;
        if (next_ms == INT64_MAX || next_ms - WATCH_MONO_START > until_ms || first_unexplained() != NULL)
            break;
        next_ms -= WATCH_MONO_START;
        timeline->now_ms = next_ms > timeline->now_ms ? next_ms : timeline->now_ms;
        settle(file, line);
    }
    if (first_unexplained() == NULL) {
        timeline->now_ms = until_ms;
        settle(file, line);
    }
}

static void all_explained(const char *file, int line)
{
    const struct line *open = first_unexplained();
    if (open != NULL)
        fail_scenario(file, line, "not expected, at %.3f: %s", (double)open->at_ms / 1000, open->text);
}

/* ---- the notation ---- */

int timeline_begin(void **state)
{
    (void)state;
    timeline = calloc(1, sizeof *timeline);
    if (timeline == NULL)
        return -1;
    timeline->lines = calloc(LINES_MAX, sizeof *timeline->lines);
    timeline->rules = timeline_rules("");
    timeline->watch = watch_new(&timeline->rules);
    return timeline->lines != NULL && timeline->watch != NULL ? 0 : -1;
}

int timeline_end(void **state)
{
    (void)state;
    const struct line *open = timeline->failed ? NULL : first_unexplained();
    if (open != NULL)
        timeline_print("the scenario ended with something unexpected");
    watch_free(timeline->watch);
    free(timeline->lines);
    free(timeline);
    timeline = NULL;
    return open == NULL ? 0 : -1;
}

struct hb_registry_rules timeline_rules(const char *words)
{
    struct hb_registry_rules rules = {.degraded_error_rate = 0.1,
                                      .hash_seed = {0x0123456789abcdef, 0xfedcba9876543210}};
    if (script_rules(&rules, TIMELINE_RULES) != NULL || script_rules(&rules, words) != NULL) {
        fprintf(stderr, "no such rules: %s\n", words);
        abort();
    }
    return rules;
}

void timeline_given(const char *file, int line, const char *rules)
{
    if (timeline->count > 0)
        fail_scenario(file, line, "the rules come first");
    watch_free(timeline->watch);
    timeline->rules = timeline_rules(rules);
    timeline->watch = watch_new(&timeline->rules);
    assert_non_null(timeline->watch);
}

void timeline_at(const char *file, int line, double seconds, const char *what)
{
    struct script script;
    struct hb_effects effects;
    all_explained(file, line);
    run_until(file, line, llround(seconds * 1000));
    all_explained(file, line);
    note(LINE_INPUT, what);
    const char *wrong = script_parse(&script, what);
    if (wrong != NULL)
        fail_scenario(file, line, "cannot read this line: %s", wrong);
    if (script.input.kind == HB_INPUT_POLLED)
        script.input.ticket = ticket_of(script.input.id.bytes)->number;
    if (script.input.kind == HB_INPUT_PROBED)
        script.input.ticket = ticket_of(script.input.id.bytes)->probe;
    enum hb_err err = watch_step(timeline->watch, &script.input, moment_now(), &effects);
    note_effects(&effects);
    if (err != HB_OK) {
        char text[64];
        snprintf(text, sizeof text, "! %s", watch_err_word(err));
        note(LINE_OUTCOME, text);
    }
    check_watch(file, line);
    settle(file, line); /* what the input made due at once */
}

/* Explains the first open line that fits. */
static bool explain(const char *what)
{
    first_unexplained();
    for (size_t i = timeline->explained; i < timeline->count; i++) {
        struct line *line = &timeline->lines[i];
        if (line->kind == LINE_OUTCOME && !line->explained && fnmatch(what, line->text, 0) == 0) {
            line->explained = true;
            timeline->last_silence_ms = line->silence_ms;
            return true;
        }
    }
    return false;
}

void timeline_expect(const char *file, int line, const char *what)
{
    if (!explain(what))
        fail_scenario(file, line, "expected: %s", what);
}

void timeline_between(const char *file, int line, double from, double to, const char *what)
{
    if (!explain(what)) { /* it may have happened at this very moment, beside what was expected before */
        all_explained(file, line);
        run_until(file, line, llround(to * 1000));
        if (!explain(what))
            fail_scenario(file, line, "expected by %.3f: %s", to, what);
    }
    if (timeline->now_ms < llround(from * 1000))
        fail_scenario(file, line, "too early, expected at %.3f: %s", from, what);
}

void timeline_comes_up(const char *file, int line, double seconds, const char *subject)
{
    int id_len = (int)strcspn(subject, "/");
    char text[256];
    snprintf(text, sizeof text, "register %.*s :8001", id_len, subject);
    timeline_at(file, line, seconds, text);
    snprintf(text, sizeof text, "%.*s unknown -> registered (registered)", id_len, subject);
    timeline_expect(file, line, text);
    snprintf(text, sizeof text, "open %s", subject);
    timeline_at(file, line, seconds, text);
    snprintf(text, sizeof text, "%.*s registered -> connected (socket_opened)", id_len, subject);
    timeline_expect(file, line, text);
    snprintf(text, sizeof text, "beat %s", subject);
    timeline_at(file, line, seconds, text);
    snprintf(text, sizeof text, "%.*s connected -> alive (beat) server:up", id_len, subject);
    timeline_expect(file, line, text);
}

void timeline_nothing_until(const char *file, int line, double seconds)
{
    all_explained(file, line);
    run_until(file, line, llround(seconds * 1000));
    const struct line *open = first_unexplained();
    if (open != NULL)
        fail_scenario(file, line, "nothing should happen before %.3f", seconds);
}

void timeline_silent_for(const char *file, int line, double seconds)
{
    if (timeline->last_silence_ms != llround(seconds * 1000))
        fail_scenario(file, line, "silent for %.3f, expected %.3f", (double)timeline->last_silence_ms / 1000, seconds);
}

void timeline_row(const char *file, int line, const char *id, const char *words)
{
    const struct hb_worker *worker = timeline_worker(id);
    if (worker == NULL)
        fail_scenario(file, line, "%s has no row, expected: %s", id, words);
    char text[WATCH_ROW_TEXT], copy[1024], padded[1026];
    char *rest = NULL;
    watch_row_text(worker, text);
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        snprintf(padded, sizeof padded, " %s ", word);
        if (strstr(text, padded) == NULL)
            fail_scenario(file, line, "%s should show %s, shows%s", id, word, text);
    }
}

void timeline_no_row(const char *file, int line, const char *id)
{
    if (timeline_worker(id) != NULL)
        fail_scenario(file, line, "%s should have no row", id);
}

void timeline_stall(const char *file, int line, double seconds)
{
    char text[64];
    all_explained(file, line);
    snprintf(text, sizeof text, "(the manager is away for %.3f s)", seconds);
    note(LINE_INPUT, text);
    timeline->now_ms += llround(seconds * 1000);
    watch_skew(timeline->watch, llround(seconds * 1000));
    check_watch(file, line);
    settle(file, line);
}

void timeline_wall_step(double seconds)
{
    char text[64];
    snprintf(text, sizeof text, "(the wall clock jumps by %.3f s)", seconds);
    note(LINE_INPUT, text);
    timeline->wall_step_ms += llround(seconds * 1000);
}

/* Every edge is the last word of its line: "w1 alive (draining) server:down". */
void timeline_heard(const char *file, int line, const char *id, const char *edges)
{
    char all[256] = "", pattern[80];
    snprintf(pattern, sizeof pattern, "%s *", id);
    for (size_t i = 0; i < timeline->count; i++) {
        const char *text = timeline->lines[i].text;
        const char *edge = strstr(text, " server:");
        if (timeline->lines[i].kind != LINE_OUTCOME || edge == NULL || fnmatch(pattern, text, 0) != 0)
            continue;
        size_t len = strlen(all);
        snprintf(all + len, sizeof all - len, "%s%s", len > 0 ? " " : "", edge + strlen(" server:"));
    }
    if (strcmp(all, edges) != 0)
        fail_scenario(file, line, "of %s listeners heard '%s', expected '%s'", id, all, edges);
}

struct watch *timeline_watch(void)
{
    return timeline->watch;
}

struct hb_registry *timeline_registry(void)
{
    return watch_registry(timeline->watch);
}

const struct hb_worker *timeline_worker(const char *id)
{
    return hb_registry_find(watch_registry(timeline->watch), hb_text_of(id));
}
