/*
 * address_rules: a table of spellings, as getaddrinfo reads them, which is how they reach a socket.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "manager/app/address_rules.h"
#include "proto/base/cidr.h"

static struct addrinfo *resolve(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;

    if (getaddrinfo(host, port, &hints, &list) != 0)
        fail_msg("%s is no address", host);
    return list;
}

static bool may_poll(const struct hb_address_rules *rules, const char *host, const char *port)
{
    struct addrinfo *list = resolve(host, port);
    bool may = hb_address_rules_may_poll(rules, list->ai_addr);

    freeaddrinfo(list);
    return may;
}

static void forbid(struct hb_address_rules *rules, const char *host, const char *port)
{
    struct addrinfo *list = resolve(host, port);

    hb_address_rules_forbid(rules, list->ai_addr);
    freeaddrinfo(list);
}

static void check_all(const char *allow, const char *const hosts[], bool expected)
{
    struct hb_address_rules *rules = hb_address_rules_new(allow);

    assert_non_null(rules);
    for (size_t i = 0; hosts[i] != NULL; i++) {
        if (may_poll(rules, hosts[i], "80") != expected)
            fail_msg("%s with POLL_ALLOW_CIDRS=%s", hosts[i], allow != NULL ? allow : "");
    }
    hb_address_rules_free(rules);
}

static const char *const never[] = {
    "169.254.169.254", "169.254.0.1", "169.254.255.255", "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.255.255.250",
    "255.255.255.255", "100.100.100.200", "192.0.0.192", "168.63.129.16",
    /* the same in other words */
    "2852039166", "0xa9fea9fe", "0xa9.0xfe.0xa9.0xfe", "0251.0376.0251.0376", "169.254.43518", "0", "0x0",
    /* IPv6 */
    "::", "fe80::1", "febf::1", "ff02::1", "fd00:ec2::254", "fd20:ce::254", "fd00:42::42",
    /* IPv4 in its clothes */
    "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::ffff:0.0.0.0", "::ffff:224.0.0.1", "::169.254.169.254",
    "::ffff:0:169.254.169.254", "64:ff9b::169.254.169.254", "64:ff9b:1::169.254.169.254",
    "64:ff9b:1:ffff::169.254.169.254", "64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1::8.8.8.8",
    "2002:a9fe:a9fe::", "2002:a9fe:a9fe::1", "2002:6464:64c8::1", "2001:0:1234::5601:5601",
    "2001:db8::5efe:169.254.169.254", "2001:db8::200:5efe:a9fe:a9fe", NULL};

static const char *const usual[] = {"127.0.0.1",
                                    "127.1",
                                    "2130706433",
                                    "10.0.0.1",
                                    "172.17.0.2",
                                    "192.168.1.1",
                                    "100.64.0.1",
                                    "100.100.100.201",
                                    "169.253.255.255",
                                    "169.255.0.0",
                                    "1.0.0.0",
                                    "223.255.255.255",
                                    "240.0.0.1",
                                    "8.8.8.8",
                                    "::1",
                                    "fec0::1",
                                    "fe00::1",
                                    "fd00::1",
                                    "fdff::1",
                                    "2001:db8::1",
                                    "::ffff:127.0.0.1",
                                    "::ffff:10.0.0.1",
                                    "64:ff9b::8.8.8.8",
                                    "2002:808:808::1",
                                    "fd00:ec2::253",
                                    "2001:0:1234::f7f7:f7f7",
                                    NULL};

static void test_never(void **state)
{
    (void)state;
    check_all(NULL, never, false);
    check_all("0.0.0.0/0,::/0", never, false);
}

static void test_usual(void **state)
{
    (void)state;
    check_all(NULL, usual, true);
    check_all("0.0.0.0/0 , ::/0", usual, true);
}

static void test_narrowed(void **state)
{
    static const char *const within[] = {"10.1.2.3", "10.255.255.255", "::ffff:10.0.0.1", "192.0.2.7",
                                         "fd12::1",  "2001:db8::ff",   "167837953",       NULL};
    static const char *const outside[] = {"11.0.0.0",      "9.255.255.255",     "127.0.0.1",    "192.0.2.6",  "::1",
                                          "2001:db8::100", "64:ff9b::10.0.0.1", "2002:a00:1::", "::10.0.0.1", NULL};

    (void)state;
    check_all("10.0.0.0/8, 192.0.2.7 ,fd12::/16,2001:db8::/120", within, true);
    check_all("10.0.0.0/8, 192.0.2.7 ,fd12::/16,2001:db8::/120", outside, false);
}

static void test_families_are_apart(void **state)
{
    static const char *const v4[] = {"127.0.0.1", "::ffff:10.0.0.1", NULL};
    static const char *const v6[] = {"::1", "2001:db8::1", NULL};

    (void)state;
    check_all("::/0", v4, false);
    check_all("::/0", v6, true);
    check_all("0.0.0.0/0", v4, true);
    check_all("0.0.0.0/0", v6, false);
    check_all("::ffff:0:0/96", v4, true);
}

static void test_forbidden_endpoint(void **state)
{
    struct hb_address_rules *rules = hb_address_rules_new("10.0.0.0/8,127.0.0.0/8,::/0");

    (void)state;
    forbid(rules, "10.0.0.5", "6379");
    assert_false(may_poll(rules, "10.0.0.5", "6379"));
    assert_false(may_poll(rules, "::ffff:10.0.0.5", "6379"));
    assert_false(may_poll(rules, "64:ff9b::10.0.0.5", "6379"));
    assert_true(may_poll(rules, "10.0.0.5", "6380"));
    assert_true(may_poll(rules, "10.0.0.6", "6379"));
    assert_true(may_poll(rules, "127.0.0.1", "6379"));
    hb_address_rules_forget(rules);
    assert_true(may_poll(rules, "10.0.0.5", "6379"));
    forbid(rules, "127.0.0.1", "6379"); /* whatever name loopback goes by */
    assert_false(may_poll(rules, "127.0.0.1", "6379"));
    assert_false(may_poll(rules, "127.8.9.10", "6379"));
    assert_false(may_poll(rules, "::1", "6379"));
    assert_false(may_poll(rules, "::ffff:127.0.0.1", "6379"));
    assert_true(may_poll(rules, "127.0.0.1", "6378"));
    hb_address_rules_free(rules);
}

static void forbid_own(struct hb_address_rules *rules, const char *host)
{
    struct addrinfo *list = resolve(host, "1");

    hb_address_rules_forbid_own(rules, list->ai_addr);
    freeaddrinfo(list);
}

static void test_own_addresses(void **state)
{
    struct hb_address_rules *rules = hb_address_rules_new(NULL);

    (void)state;
    forbid(rules, "10.0.0.5", "6379");
    forbid_own(rules, "10.0.0.9"); /* a Redis elsewhere has nothing to do with them */
    assert_true(may_poll(rules, "10.0.0.9", "6379"));
    forbid(rules, "127.0.0.1", "6380");
    forbid(rules, "::1", "6380");
    forbid_own(rules, "10.0.0.9");
    forbid_own(rules, "2001:db8::9");
    hb_address_rules_forbid_own(rules, &(struct sockaddr){.sa_family = AF_PACKET});
    assert_false(may_poll(rules, "10.0.0.9", "6380"));
    assert_false(may_poll(rules, "::ffff:10.0.0.9", "6380"));
    assert_false(may_poll(rules, "2001:db8::9", "6380"));
    assert_true(may_poll(rules, "10.0.0.9", "6379"));
    assert_true(may_poll(rules, "10.0.0.9", "1"));
    assert_true(may_poll(rules, "10.0.0.8", "6380"));
    hb_address_rules_forget(rules);
    assert_true(may_poll(rules, "10.0.0.9", "6380"));
    hb_address_rules_free(rules);
}

static void test_ceiling_of_forbidden(void **state)
{
    struct hb_address_rules *rules = hb_address_rules_new(NULL);
    char host[32];

    (void)state;
    for (int i = 0; i <= HB_FORBIDDEN_MAX; i++) {
        snprintf(host, sizeof host, "10.0.0.%d", i + 1);
        forbid(rules, host, "6379");
        assert_int_equal(may_poll(rules, host, "6379"), i == HB_FORBIDDEN_MAX);
    }
    hb_address_rules_forget(rules);
    for (int i = 0; i < HB_FORBIDDEN_MAX; i++)
        forbid(rules, "127.0.0.1", "6379");
    forbid_own(rules, "10.0.0.9");
    assert_true(may_poll(rules, "10.0.0.9", "6379"));
    hb_address_rules_free(rules);
}

static void test_neither_family(void **state)
{
    struct hb_address_rules *rules = hb_address_rules_new(NULL);

    (void)state;
    assert_false(hb_address_rules_may_poll(rules, &(struct sockaddr){.sa_family = AF_UNIX}));
    hb_address_rules_free(rules);
}

static void test_bad_ranges(void **state)
{
    static const char *const bad[] = {
        "10.0.0.0/33", "10.1.2.3/8",    "10.0.0.0/", "10.0.0.0/-1",  "10.0.0.0/+8", "10.0.0/8",    "/8",
        "::/129",      "fd00::1/8",     "localhost", "10.0.0.0/8/8", "10.0.0.0 /8", "010.0.0.0/8", "0x0a000000/8",
        "fe80::1%lo",  "10.0.0.0/0008", "1",         "\xff",         ",",           " , ,",        " ",
        NULL};
    char long_one[80];
    struct hb_cidr cidr;

    (void)state;
    for (size_t i = 0; bad[i] != NULL; i++) {
        if (hb_cidr_parse(hb_text_of(bad[i]), &cidr) != HB_ERR_INVALID || hb_address_rules_new(bad[i]) != NULL)
            fail_msg("%s was taken", bad[i]);
    }
    memset(long_one, '0', sizeof long_one);
    assert_int_equal(hb_cidr_parse((struct hb_text){long_one, sizeof long_one}, &cidr), HB_ERR_INVALID);
    assert_int_equal(hb_cidr_parse((struct hb_text){"10.0.0.0/8\0", 11}, &cidr), HB_ERR_INVALID);
    assert_int_equal(hb_cidr_parse((struct hb_text){"", 0}, &cidr), HB_ERR_INVALID);
    assert_int_equal(hb_cidr_parse(HB_TEXT("0.0.0.0/0"), &cidr), HB_OK);
    assert_int_equal(cidr.bits, 96);
    assert_int_equal(hb_cidr_parse(HB_TEXT("::/0"), &cidr), HB_OK);
    assert_int_equal(cidr.bits, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never),
        cmocka_unit_test(test_usual),
        cmocka_unit_test(test_narrowed),
        cmocka_unit_test(test_families_are_apart),
        cmocka_unit_test(test_forbidden_endpoint),
        cmocka_unit_test(test_own_addresses),
        cmocka_unit_test(test_ceiling_of_forbidden),
        cmocka_unit_test(test_neither_family),
        cmocka_unit_test(test_bad_ranges),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
