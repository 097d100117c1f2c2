/*
 * http_accept: weights, wildcards, lists and quotes, as clients really send them and as they should not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "manager/io/http_accept.h"

static void test_gzip(void **state)
{
    static const struct {
        const char *value;
        enum hb_gzip_wish wish;
    } cases[] = {
        {NULL, HB_GZIP_NO},
        {"", HB_GZIP_NO},
        {"gzip", HB_GZIP_YES},
        {"GZip", HB_GZIP_YES},
        {"x-gzip", HB_GZIP_YES},
        {"gzip, deflate, br", HB_GZIP_YES},
        {"deflate, br", HB_GZIP_NO},
        {"deflate,gzip;q=0.5", HB_GZIP_YES},
        {" br ;q=1 ,\tgzip ; q=0.001 ", HB_GZIP_YES},
        {"gzip;q=0", HB_GZIP_NO},
        {"gzip;q=0.000", HB_GZIP_NO},
        {"*", HB_GZIP_YES},
        {"*;q=0.1", HB_GZIP_YES},
        {"*;q=0", HB_GZIP_NO},
        {"gzip;q=0, *", HB_GZIP_NO},
        {"*, gzip;q=0", HB_GZIP_NO},
        {"gzip, *;q=0", HB_GZIP_ALWAYS},
        {"identity", HB_GZIP_NO},
        {"identity, gzip", HB_GZIP_YES},
        {"identity, gzip;q=0.9", HB_GZIP_NO},
        {"identity;q=0.5, gzip;q=0.5", HB_GZIP_YES},
        {"gzip, identity;q=0", HB_GZIP_ALWAYS},
        {"identity;q=0, *;q=0.5", HB_GZIP_ALWAYS},
        {"identity;q=0", HB_GZIP_NO},
        {"identity;q=0.1, *;q=0, gzip", HB_GZIP_YES},
        {"gzip;q=0, x-gzip", HB_GZIP_YES},
        {"gzipped", HB_GZIP_NO},
        {"zip", HB_GZIP_NO},
        {"gzip;q=1.001", HB_GZIP_NO},
        {"gzip;q=2", HB_GZIP_NO},
        {"gzip;q=-1", HB_GZIP_NO},
        {"gzip;q=", HB_GZIP_NO},
        {"gzip;q=0.1234", HB_GZIP_NO},
        {"gzip;q=1.000", HB_GZIP_YES},
        {"gzip;Q=0", HB_GZIP_NO},
        {"gzip;q=a", HB_GZIP_NO},
        {",,gzip,,", HB_GZIP_YES},
        {"\"gzip\"", HB_GZIP_NO},
        {"\"a, gzip", HB_GZIP_NO},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum hb_gzip_wish wish = hb_accept_gzip(hb_text_of(cases[i].value));

        if (wish != cases[i].wish)
            fail_msg("Accept-Encoding: %s gave %d", cases[i].value, (int)wish);
    }
}

static void test_html(void **state)
{
    static const struct {
        const char *value;
        bool html;
    } cases[] = {
        {NULL, false},
        {"", false},
        {"*/*", false},
        {"application/json", false},
        {"text/html", true},
        {"TEXT/HTML", true},
        /* Firefox, Chromium, Safari */
        {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", true},
        {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
         "application/signed-exchange;v=b3;q=0.7",
         true},
        {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true},
        {"application/json, text/plain, */*", false}, /* axios */
        {"text/html, application/json", false},
        {"text/html;q=0.9, application/json", false},
        {"text/html, application/json;q=0.9", true},
        {"text/*", true},
        {"text/*, application/*", false},
        {"text/*;q=0.5, */*;q=0.4", true},
        {"text/html;q=0, */*", false},
        {"application/json;q=0", false},
        {"application/json;q=0, */*", true},
        {"text/html;level=1;q=0.3, */*;q=0.2", true},
        {"text/html;a=\",application/json\", */*;q=0.5", true},
        {"text/htmlx", false},
        {"text/htm", false},
        {"text/html;q=x", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (hb_accept_prefers_html(hb_text_of(cases[i].value)) != cases[i].html)
            fail_msg("Accept: %s should%s prefer HTML", cases[i].value, cases[i].html ? "" : " not");
    }
}

static void test_weights(void **state)
{
    static const struct {
        const char *value;
        int weight, named;
    } cases[] = {
        {NULL, 0, 0},
        {"", 0, 0},
        {"text/plain", 1000, 1000},
        {"Text/PLAIN;version=0.0.4;q=0.5", 500, 500},
        {"text/*;q=0.4", 400, 0},
        {"*/*;q=0.1", 100, 0},
        {"text/*;q=0.4, */*", 400, 0},
        {"*/*, text/*;q=0.4", 400, 0},
        {"text/plain;q=0, text/*", 0, 0},
        {"text/plain;q=0.2, text/plain;q=0.7, */*", 700, 700},
        {"text/plain;q=0.001;ext=1", 1, 1},
        {"text/plain;q=2, */*;q=0.3", 300, 0},
        {"text/plainer, plain/text, text", 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hb_text accept = hb_text_of(cases[i].value);

        if (hb_accept_weight(accept, "text/plain") != cases[i].weight)
            fail_msg("Accept: %s should give text/plain %d", cases[i].value, cases[i].weight);
        if (hb_accept_named_weight(accept, "text/plain") != cases[i].named)
            fail_msg("Accept: %s should give text/plain %d by name", cases[i].value, cases[i].named);
    }
}

static void test_entity_tags(void **state)
{
    const struct hb_text etag = HB_TEXT("\"0a1b-gzip\"");
    static const struct {
        const char *value;
        bool listed;
    } cases[] = {
        {NULL, false},
        {"", false},
        {"*", true},
        {" * ", true},
        {"\"0a1b-gzip\"", true},
        {"W/\"0a1b-gzip\"", true},
        {"w/\"0a1b-gzip\"", false}, /* the prefix is case-sensitive */
        {"\"0a1b\"", false},
        {"\"0A1B-gzip\"", false},
        {"0a1b-gzip", false},
        {"\"x\", \"0a1b-gzip\"", true},
        {"W/\"x\",W/\"0a1b-gzip\" , \"y\"", true},
        {"\"x, \"0a1b-gzip\"", false}, /* a quote that never closes before it */
        {"\"x\", \"*\"", false},
        {"\"a,b\",\"0a1b-gzip\"", true},
        {",,\"0a1b-gzip\"", true},
        {"\"0a1b-gzip", false},
        {"W/", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (hb_etag_listed(hb_text_of(cases[i].value), etag) != cases[i].listed)
            fail_msg("If-None-Match: %s should%s match", cases[i].value, cases[i].listed ? "" : " not");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_html),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_entity_tags),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
