/*
 * registry, memory: one allocation after the other fails, once each, in a scenario that needs them all.
 *
 * The linker sends malloc and its kin through the wrappers below. Whatever fails must fail cleanly: HB_ERR_NO_MEMORY,
 * no effects, nothing changed; asked again, it must do what it would have done; at the end all is as if nothing had
 * been refused, and every byte is given back. (Only a beat's figures may wait for the next beat: the beat must count.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/buf.h"
#include "tests/unit/script.h"
#include "tests/unit/timeline.h"

/* ---- allocation under control ---- */

static bool inside;             /* a registry's function is running: only its allocations count */
static unsigned long asked;     /* how many were asked for */
static unsigned long refuse_at; /* which of them is refused; 0 none */
static bool refused;
static long live;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t len);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t len);
void __wrap_free(void *memory);

static bool refuse(void)
{
    if (!inside || ++asked != refuse_at)
        return false;
    return refused = true;
}

static void *counted(void *memory)
{
    live += inside && memory != NULL;
    return memory;
}

void *__wrap_malloc(size_t size)
{
    return refuse() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return refuse() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *old, size_t size)
{
    if (refuse())
        return NULL;
    return old == NULL ? counted(__real_realloc(NULL, size)) : __real_realloc(old, size);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
    if (refuse())
        return NULL;
    return old == NULL ? counted(__real_reallocarray(NULL, count, size)) : __real_reallocarray(old, count, size);
}

char *__wrap_strdup(const char *text)
{
    return refuse() ? NULL : counted(__real_strdup(text));
}

char *__wrap_strndup(const char *text, size_t len)
{
    return refuse() ? NULL : counted(__real_strndup(text, len));
}

void __wrap_free(void *memory)
{
    live -= inside && memory != NULL;
    __real_free(memory);
}

/* ---- the scenario ---- */

#define LONG_METRICS "{\"a\":0.123456789,\"b\":0.123456789,\"c\":0.123456789,\"d\":0.123456789,\"e\":0.123456789}"

struct entry {
    double at;
    const char *line; /* NULL: time passes */
};

static const struct entry scenario[] = {
    {0, "register w1 :8001 host=10.0.0.1 name=first url=http://10.0.0.1:8001/ attributes={\"zone\":\"a\"} timeout=20"},
    {0.1, "register w1 :8002 host=10.0.0.2 name=second url=http://10.0.0.2:8002/ attributes={\"zone\":\"b\"}"},
    {0.2, "register w0 :8001"},
    {0.3, "register w0 :8001 from=10.0.0.7"},
    {1, "open w1/s1"},
    {1, "beat w1/s1"},
    {2, "open w1/s2"},
    {2, "open w1/s3"},
    {2, "open w1/s4"},
    {2, "open w1/s5"}, /* refused: a conflict */
    {3, "beat w2 name=lost requests=1 errors=1 status=busy metrics={\"cpu\":1} attributes={\"zone\":\"a\"}"},
    {3.5, "beat w2 metrics=" LONG_METRICS " attributes={\"zone\":\"bigger\"} status=busier"},
    {3.6, "maintain w2 ttl=20 reason=disks"},
    {3.7, "maintain w2 ttl=30 reason=more-disks"},
    {4, "open w3/s6"},
    {4, "beat w3/s6 name=nameless metrics={\"cpu\":1}"},
    {4.5,
     "restore w3 :8005 host=h name=three status=alive serving announced=up attributes={\"a\":1} maintenance until=30 "
     "words=disks"},
    {5, "restore w4 :8001 host=10.0.0.1 name=old status=alive serving announced=up url=http://h/ attributes={\"a\":1} "
        "metrics={\"cpu\":1}"},
    {5, "open w5/s7"},
    {5,
     "restore w5 :8001 host=10.0.0.1 name=old status=disconnected announced=down url=http://h/ attributes={\"a\":1}"},
    {5.5, "restore w7 :8001 host=h status=not_responding announced=down maintenance until=40 words=old"},
    {5.6, "maintain w5 ttl=600"},
    {6, "remove w1"},
    {7, "register w1 :8003 host=10.0.0.3 name=third url=http://10.0.0.3/ attributes={\"zone\":\"c\"}"},
    {8, "open w1/s8"},
    {8, "close w1/s8"},
    {8, "open w6/s9"},
    {8, "close w6/s9"},
    {8, "beat w3/s6 bye"},
    /* Many, so that every table has to grow. */
    {9, "register a00 :1"},
    {9, "register a01 :1"},
    {9, "register a02 :1"},
    {9, "register a03 :1"},
    {9, "register a04 :1"},
    {9, "register a05 :1"},
    {9, "register a06 :1"},
    {9, "register a07 :1"},
    {9, "register a08 :1"},
    {9, "register a09 :1"},
    {9, "register a10 :1"},
    {9, "register a11 :1"},
    {9, "register a12 :1"},
    {9, "register a13 :1"},
    {9, "register a14 :1"},
    {9, "register a15 :1"},
    {9, "open a16/s10"},
    {9, "open a17/s11"},
    {9, "open a18/s12"},
    {9, "open a19/s13"},
    {60, NULL}, /* most of them fall silent */
    {60, "open w1/s14"},
    {61, "beat w1/s14"},
    {61, "maintain w5 off"},
    {62, "restore b00 :1 host=h status=not_responding announced=down"},
    /* Figures that had to wait are told once more. */
    {63, "beat w2 requests=1 errors=1 status=busier metrics=" LONG_METRICS " attributes={\"zone\":\"bigger\"}"},
    {63, "beat w3 metrics={\"cpu\":1}"},
    {63, "beat w4 metrics={\"cpu\":1}"},
};

#define ENTRIES (sizeof scenario / sizeof *scenario)

static struct hb_moment moment_of(double seconds)
{
    int64_t ms = (int64_t)(seconds * 1000 + 0.5);
    return (struct hb_moment){{WATCH_MONO_START + ms}, {WATCH_WALL_START + ms}};
}

static void dump(struct hb_buf *out, const struct hb_registry *registry)
{
    char text[WATCH_ROW_TEXT];
    hb_buf_clear(out);
    hb_buf_printf(out, "%zu entries, seq %llu\n", hb_registry_entries(registry),
                  (unsigned long long)hb_registry_seq(registry));
    for (size_t i = 0; i < hb_registry_count(registry); i++) {
        const struct hb_worker *worker = hb_registry_at(registry, i);
        watch_row_text(worker, text);
        hb_buf_printf(out, "%s socket=%s%s\n", worker->id, script_socket_name(worker->socket), text);
    }
    assert_int_equal(hb_buf_status(out), HB_OK);
}

static void time_passes(struct hb_registry *registry, double until)
{
    struct hb_effects effects;
    for (unsigned calls = 0;; calls++) {
        inside = true;
        bool handled = hb_registry_expire(registry, moment_of(until), &effects);
        inside = false;
        if (!handled)
            break;
        assert_in_range(calls, 0, 1000);
    }
}

/* One input; when memory is refused it must have changed nothing, and is given again. */
static enum hb_err perform(struct hb_registry *registry, const struct entry *entry, struct hb_buf *before,
                           struct hb_buf *after)
{
    struct script script;
    struct hb_effects effects;
    enum hb_err err = HB_ERR_NO_MEMORY;
    assert_null(script_parse(&script, entry->line));
    dump(before, registry);
    for (int attempt = 0; attempt < 2 && err == HB_ERR_NO_MEMORY; attempt++) {
        inside = true;
        err = hb_registry_step(registry, &script.input, moment_of(entry->at), &effects);
        inside = false;
        if (err != HB_ERR_NO_MEMORY)
            break;
        dump(after, registry);
        if (!refused || effects.count != 0 || strcmp(before->bytes, after->bytes) != 0) {
            fprintf(stderr, "allocation %lu refused in: %s\nbefore:\n%s\nafter:\n%s", refuse_at, entry->line,
                    before->bytes, after->bytes);
            fail();
        }
    }
    return err;
}

/* What the registry holds at the end, with one allocation refused (0: none). errs are the steps' outcomes. */
static void run(unsigned long refuse_number, enum hb_err errs[ENTRIES], struct hb_buf *end)
{
    struct hb_buf before, after;
    struct hb_registry_rules rules = timeline_rules("max=100 polling");
    struct hb_registry *registry = NULL;
    hb_buf_init(&before, 1 << 20);
    hb_buf_init(&after, 1 << 20);
    asked = 0;
    live = 0;
    refused = false;
    refuse_at = refuse_number;
    for (int attempt = 0; attempt < 2 && registry == NULL; attempt++) {
        inside = true;
        registry = hb_registry_new(&rules);
        inside = false;
        assert_true(registry != NULL || (refused && live == 0));
    }
    assert_non_null(registry);
    for (size_t i = 0; i < ENTRIES; i++) {
        errs[i] = HB_OK;
        time_passes(registry, scenario[i].at);
        if (scenario[i].line != NULL)
            errs[i] = perform(registry, &scenario[i], &before, &after);
    }
    dump(end, registry);
    inside = true;
    hb_registry_free(registry);
    inside = false;
    hb_buf_free(&before);
    hb_buf_free(&after);
    if (live != 0) {
        fprintf(stderr, "allocation %lu refused: %ld blocks are left over\n", refuse_at, live);
        fail();
    }
}

static void every_allocation_may_fail_once(void **state)
{
    static enum hb_err expected[ENTRIES], errs[ENTRIES];
    struct hb_buf reference, end;
    (void)state;
    hb_buf_init(&reference, 1 << 20);
    hb_buf_init(&end, 1 << 20);
    run(0, expected, &reference);
    unsigned long needed = asked;
    assert_in_range(needed, 50, 100000); /* else the wrappers are not in place */
    for (unsigned long number = 1; number <= needed; number++) {
        run(number, errs, &end);
        assert_true(refused);
        for (size_t i = 0; i < ENTRIES; i++)
            if (errs[i] != expected[i]) {
                fprintf(stderr, "allocation %lu refused: '%s' gave %s instead of %s\n", number, scenario[i].line,
                        watch_err_word(errs[i]), watch_err_word(expected[i]));
                fail();
            }
        if (strcmp(end.bytes, reference.bytes) != 0) {
            fprintf(stderr, "allocation %lu refused, and the end is another:\n%s\ninstead of:\n%s", number, end.bytes,
                    reference.bytes);
            fail();
        }
    }
    hb_buf_free(&reference);
    hb_buf_free(&end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
