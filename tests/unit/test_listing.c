/*
 * listing: what a query asks for, what breaks its rules, and walks by pages while workers come and go.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/app/ingest.h"
#include "manager/app/listing.h"
#include "proto/base/log.h"

#define WALL_MS 1795203000000
#define IDS 60
#define WALKS 200

struct fixture {
    struct hb_manager *manager;
    struct hb_ingest *ingest;
    struct hb_moment now;
};

static int set_up(void **state)
{
    const struct hb_registry_rules rules = {.timeout_ms = 15000, .max_workers = 1000};
    struct fixture *fixture = calloc(1, sizeof *fixture);

    fixture->now = (struct hb_moment){{1000}, {WALL_MS}};
    fixture->manager = hb_manager_new(HB_TEXT("m1"), &rules, fixture->now);
    fixture->ingest = hb_ingest_new(fixture->manager);
    assert_non_null(fixture->ingest);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    hb_ingest_free(fixture->ingest);
    hb_manager_free(fixture->manager);
    free(fixture);
    return 0;
}

static void registered(struct fixture *fixture, const char *json)
{
    const struct hb_worker *worker;

    assert_int_equal(hb_ingest_register(fixture->ingest, hb_text_of(json), HB_TEXT("10.0.0.1"), fixture->now, &worker),
                     HB_OK);
}

static void beats(struct fixture *fixture, const char *id)
{
    assert_int_equal(
        hb_ingest_beat(fixture->ingest, hb_text_of(id), NULL, HB_TEXT("{}"), HB_TEXT("10.0.0.1"), fixture->now), HB_OK);
}

static void removed(struct fixture *fixture, const char *id)
{
    assert_int_equal(hb_ingest_remove(fixture->ingest, hb_text_of(id), fixture->now), HB_OK);
}

/* ---- queries ---- */

/* Parameters separated by '&', as they come from the library: decoded. */
static enum hb_err add_all(struct hb_listing_query *query, const char *parameters, struct hb_buf *sentence)
{
    enum hb_err err = HB_OK;

    while (err == HB_OK && *parameters != '\0') {
        size_t len = strcspn(parameters, "&");

        err = hb_listing_query_add(query, (struct hb_text){parameters, len}, sentence);
        parameters += len + (parameters[len] == '&');
    }
    return err;
}

static struct hb_listing_query query_of(const char *parameters)
{
    struct hb_listing_query query = {0};
    struct hb_buf sentence;

    hb_buf_init(&sentence, 1024);
    if (add_all(&query, parameters, &sentence) != HB_OK)
        fail_msg("%s: %s", parameters, sentence.bytes);
    assert_int_equal(sentence.len, 0);
    hb_buf_free(&sentence);
    return query;
}

static void test_each_broken_rule_has_its_sentence(void **state)
{
    static const char status_rule[] = " is not a status; it must be one of registered, connected, alive, "
                                      "not_responding, disconnected, or several of them separated by commas";
    static const char limit_rule[] = " is not a number of rows; it must be an integer between 1 and 10000";
    static const char after_rule[] = " is not a worker id; it must be the last id of the page before, 1 to 64 "
                                     "characters of A-Z a-z 0-9 . _ : -";
    static const char name_rule[] = " is not a parameter here; it must be one of status, serving, q, limit, after";
    static const struct {
        const char *parameters, *said, *rule;
    } cases[] = {
        {"status=alvie", "status: \"alvie\"", status_rule},
        {"status=", "status: \"\"", status_rule},
        {"status", "status: \"\"", status_rule},
        {"status=Alive", "status: \"Alive\"", status_rule},
        {"status=alive,", "status: \"\"", status_rule},
        {"status=alive, connected", "status: \" connected\"", status_rule},
        {"status=removed", "status: \"removed\"", status_rule},
        {"status=unknown", "status: \"unknown\"", status_rule},
        {"serving=yes", "serving: \"yes\"", " is neither; it must be true or false"},
        {"serving=", "serving: \"\"", " is neither; it must be true or false"},
        {"limit=0", "limit: \"0\"", limit_rule},
        {"limit=10001", "limit: \"10001\"", limit_rule},
        {"limit=-1", "limit: \"-1\"", limit_rule},
        {"limit=+1", "limit: \"+1\"", limit_rule},
        {"limit=", "limit: \"\"", limit_rule},
        {"limit=1e3", "limit: \"1e3\"", limit_rule},
        {"limit=4294967297", "limit: \"4294967297\"", limit_rule},
        {"limit=18446744073709551617", "limit: \"18446744073709551617\"", limit_rule},
        {"after=", "after: \"\"", after_rule},
        {"after=.", "after: \".\"", after_rule},
        {"after=a b", "after: \"a b\"", after_rule},
        {"statsu=alive", "query: \"statsu\"", name_rule},
        {"=", "query: \"\"", name_rule},
        {"Status=alive", "query: \"Status\"", name_rule},
        {"q=a&q=a", "q: \"a\"", " comes a second time; it must be given at most once"},
        {"limit=5&serving=true&limit=6", "limit: \"6\"", " comes a second time; it must be given at most once"},
        {"status=\x01\xff\"\\", "status: \"??\"\\\"", status_rule},
        {"status=aaaaaaaaaabbbbbbbbbbccccccccccddd", "status: \"aaaaaaaaaabbbbbbbbbbccccccccccdd...\"", status_rule},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hb_listing_query query = {0};
        struct hb_buf sentence;
        char expected[512];

        hb_buf_init(&sentence, 1024);
        snprintf(expected, sizeof expected, "%s%s", cases[i].said, cases[i].rule);
        if (add_all(&query, cases[i].parameters, &sentence) != HB_ERR_INVALID)
            fail_msg("%s was taken", cases[i].parameters);
        assert_string_equal(sentence.bytes, expected);
        hb_buf_free(&sentence);
    }
}

static void test_the_length_of_a_search(void **state)
{
    struct hb_listing_query query = {0};
    struct hb_buf sentence;
    char text[140] = "q=";

    (void)state;
    hb_buf_init(&sentence, 1024);
    memset(text + 2, 'x', HB_SEARCH_MAX + 1);
    assert_int_equal(hb_listing_query_add(&query, (struct hb_text){text, 2 + HB_SEARCH_MAX}, &sentence), HB_OK);
    query = (struct hb_listing_query){0};
    assert_int_equal(hb_listing_query_add(&query, (struct hb_text){text, 3 + HB_SEARCH_MAX}, &sentence),
                     HB_ERR_INVALID);
    assert_non_null(strstr(sentence.bytes, "at most 128 bytes"));
    hb_buf_free(&sentence);
}

static void test_the_query_of_the_next_page(void **state)
{
    static const struct {
        const char *parameters, *next;
    } cases[] = {
        {"limit=3", "limit=3&after=w9"},
        {"limit=10000&after=a", "limit=10000&after=w9"},
        {"after=a:b&q=A b&limit=1&serving=false&status=disconnected,alive,alive",
         "status=alive,disconnected&serving=false&q=a%20b&limit=1&after=w9"},
        {"limit=1&serving=true&q=W\xc3\xb6%+/?#=;", "serving=true&q=w%C3%B6%25%2B%2F%3F%23%3D%3B&limit=1&after=w9"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hb_listing_query query = query_of(cases[i].parameters);
        struct hb_buf next;

        hb_buf_init(&next, 1024);
        hb_listing_query_next(&query, HB_TEXT("w9"), &next);
        assert_string_equal(next.bytes, cases[i].next);
        hb_buf_free(&next);
    }
}

/* ---- listings ---- */

/* The ids of a listing, separated by blanks, and after a bar the id to go on after. */
static void list(struct fixture *fixture, const struct hb_listing_query *query, char *out, size_t size)
{
    struct hb_buf json;
    struct hb_text more;
    char *line = NULL;
    size_t used = 0;

    hb_buf_init(&json, SIZE_MAX / 2);
    more = hb_listing_write(&json, hb_manager_registry(fixture->manager), query);
    assert_int_equal(hb_buf_status(&json), HB_OK);
    assert_memory_equal(json.bytes + json.len - 2, "}\n", 2);
    out[0] = '\0';
    line = strtok(json.bytes, "\n"); /* the opening brace */
    for (line = strtok(NULL, "\n"); line != NULL && line[0] == '"'; line = strtok(NULL, "\n"))
        used += (size_t)snprintf(out + used, size - used, "%s%.*s", used > 0 ? " " : "", (int)strcspn(line + 1, "\""),
                                 line + 1);
    if (more.bytes != NULL)
        snprintf(out + used, size - used, "|%.*s", (int)more.len, more.bytes);
    hb_buf_free(&json);
}

static void assert_lists(struct fixture *fixture, const char *parameters, const char *expected)
{
    struct hb_listing_query query = query_of(parameters);
    char ids[4096];

    list(fixture, &query, ids, sizeof ids);
    assert_string_equal(ids, expected);
}

static void three_workers(struct fixture *fixture)
{
    registered(fixture, "{\"worker_id\":\"a\",\"worker_name\":\"Billing East\",\"host\":\"10.0.7.1\",\"port\":1}");
    registered(fixture, "{\"worker_id\":\"B\",\"worker_name\":\"W\xc3\xb6rker\",\"host\":\"db.example\"}");
    registered(fixture, "{\"worker_id\":\"c-7\",\"worker_name\":\"idle\"}");
    beats(fixture, "a");
    beats(fixture, "B");
}

static void test_an_empty_listing(void **state)
{
    struct fixture *fixture = *state;
    const struct hb_listing_query all = {0};
    struct hb_buf json;

    hb_buf_init(&json, 100);
    assert_null(hb_listing_write(&json, hb_manager_registry(fixture->manager), &all).bytes);
    assert_string_equal(json.bytes, "{}\n");
    hb_buf_free(&json);
    assert_true(hb_listing_query_is_all(&all));
}

static void test_filters(void **state)
{
    static const struct {
        const char *parameters, *ids;
    } cases[] = {
        {"", "B a c-7"}, /* bytewise: capitals first */
        {"status=alive", "B a"},
        {"status=registered", "c-7"},
        {"status=registered,alive", "B a c-7"},
        {"status=disconnected,not_responding,connected", ""},
        {"serving=true", "a"}, /* without a port it never serves */
        {"serving=false", "B c-7"},
        {"status=alive&serving=false", "B"},
        {"q=", "B a c-7"},
        {"q=billing", "a"},
        {"q=ING eA", "a"},
        {"q=7", "a c-7"}, /* a host, an id */
        {"q=EXAMPLE", "B"},
        {"q=rker", "B"},
        {"q=w\xc3\xb6", "B"},
        {"q=idlee", ""},
        {"q=b", "B a"},
        {"q=7&status=alive", "a"},
        {"after=B", "a c-7"},
        {"after=C", "a c-7"}, /* nobody there: its place counts */
        {"after=zz", ""},
        {"limit=2", "B a|a"},
        {"limit=3", "B a c-7"},
        {"limit=2&after=a", "c-7"},
        {"limit=1&q=7", "a|a"},
        {"limit=1&q=7&after=a", "c-7"},
        {"limit=1&serving=true", "a"}, /* nothing that fits follows */
    };
    struct fixture *fixture = *state;

    three_workers(fixture);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_lists(fixture, cases[i].parameters, cases[i].ids);
}

static void test_what_asks_for_all(void **state)
{
    static const char *const not_all[] = {"status=alive", "serving=false", "q=a", "limit=10000", "after=a"};
    struct hb_listing_query query = query_of("q=");

    (void)state;
    assert_true(hb_listing_query_is_all(&query));
    for (size_t i = 0; i < sizeof not_all / sizeof not_all[0]; i++) {
        query = query_of(not_all[i]);
        assert_false(hb_listing_query_is_all(&query));
    }
}

/* ---- walks ---- */

static unsigned draw(uint32_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 17;
    *random ^= *random << 5;
    return *random;
}

/* Half of the ids stay all the time; the others come and go between the pages. */
static void churn(struct fixture *fixture, uint32_t *random)
{
    for (unsigned i = 0; i < 8; i++) {
        unsigned place = draw(random) % (IDS / 2) * 2 + 1;
        char id[8], json[64];

        snprintf(id, sizeof id, "w%02u", place);
        snprintf(json, sizeof json, "{\"worker_id\":\"%s\"}", id);
        if (hb_registry_find(hb_manager_registry(fixture->manager), hb_text_of(id)) != NULL)
            removed(fixture, id);
        else
            registered(fixture, json);
    }
}

static void count_seen(char *ids, unsigned seen[IDS])
{
    for (char *id = strtok(ids, " "); id != NULL; id = strtok(NULL, " "))
        seen[strtoul(id + 1, NULL, 10)]++;
}

static void walk(struct fixture *fixture, uint32_t *random)
{
    unsigned seen[IDS] = {0};
    char parameters[64];
    char ids[1024];
    unsigned pages = 0;
    char *more;

    snprintf(parameters, sizeof parameters, "limit=%u", draw(random) % 7 + 1);
    do {
        struct hb_listing_query query = query_of(parameters);

        list(fixture, &query, ids, sizeof ids);
        more = strchr(ids, '|');
        if (more != NULL) {
            *more = '\0';
            snprintf(parameters, sizeof parameters, "limit=%u&after=%s", query.limit, more + 1);
        }
        count_seen(ids, seen);
        churn(fixture, random);
        assert_true(pages++ < IDS); /* it comes to an end */
    } while (more != NULL);
    for (unsigned place = 0; place < IDS; place++) {
        if (seen[place] > 1 || (place % 2 == 0 && seen[place] != 1))
            fail_msg("w%02u was shown %u times", place, seen[place]);
    }
}

static void test_walks_while_workers_come_and_go(void **state)
{
    struct fixture *fixture = *state;
    uint32_t random = 2463534242u;

    for (unsigned place = 0; place < IDS; place += 2) {
        char json[64];

        snprintf(json, sizeof json, "{\"worker_id\":\"w%02u\"}", place);
        registered(fixture, json);
    }
    for (unsigned i = 0; i < WALKS; i++)
        walk(fixture, &random);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_broken_rule_has_its_sentence),
        cmocka_unit_test(test_the_length_of_a_search),
        cmocka_unit_test(test_the_query_of_the_next_page),
        cmocka_unit_test(test_what_asks_for_all),
        cmocka_unit_test_setup_teardown(test_an_empty_listing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_filters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_walks_while_workers_come_and_go, set_up, tear_down),
    };

    hb_log_open("test", HB_LOG_ERROR, HB_LOG_LOGFMT); /* the walks make some thousand transitions */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
