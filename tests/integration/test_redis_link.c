/*
 * The link to a real redis-server: addresses, passwords, databases.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netdb.h>
#include <stdio.h>

#include "tests/integration/store_rig.h"

/* ---- a name that has three addresses, of which nobody listens on the first ---- */

static unsigned lookups, addresses;
static bool three_addresses;

int __real_uv_getaddrinfo(uv_loop_t *loop, uv_getaddrinfo_t *request, uv_getaddrinfo_cb done, const char *node,
                          const char *service, const struct addrinfo *hints);
int __wrap_uv_getaddrinfo(uv_loop_t *loop, uv_getaddrinfo_t *request, uv_getaddrinfo_cb done, const char *node,
                          const char *service, const struct addrinfo *hints);
int __real_getnameinfo(const struct sockaddr *address, socklen_t len, char *host, socklen_t host_size, char *service,
                       socklen_t service_size, int flags);
int __wrap_getnameinfo(const struct sockaddr *address, socklen_t len, char *host, socklen_t host_size, char *service,
                       socklen_t service_size, int flags);

/* Without a socket type in the hints each address comes once for each type. */
int __wrap_uv_getaddrinfo(uv_loop_t *loop, uv_getaddrinfo_t *request, uv_getaddrinfo_cb done, const char *node,
                          const char *service, const struct addrinfo *hints)
{
    const struct addrinfo every_type = {.ai_family = hints->ai_family};

    lookups++;
    return __real_uv_getaddrinfo(loop, request, done, node, service, three_addresses ? &every_type : hints);
}

int __wrap_getnameinfo(const struct sockaddr *address, socklen_t len, char *host, socklen_t host_size, char *service,
                       socklen_t service_size, int flags)
{
    if (three_addresses && addresses++ == 0) {
        snprintf(host, host_size, "127.0.0.2");
        return 0;
    }
    return __real_getnameinfo(address, len, host, host_size, service, service_size, flags);
}

static void test_a_name_with_several_addresses(void **state)
{
    struct rig *rig = *state;

    three_addresses = true;
    lookups = 0;
    addresses = 0;
    rig_start_with_workers(rig, 1);
    three_addresses = false;
    assert_int_equal(lookups, 1);
    assert_int_equal(addresses, 2);
    rig_assert_mirrored(rig, 0);
}

/* ---- who may come in ---- */

static void test_password_and_database(void **state)
{
    struct rig *rig = *state;

    real_redis_ask(&rig->redis, "ACL SETUSER beat on >secret ~* &* +@all");
    rig->config.link.username = "beat";
    rig->config.link.password = "secret";
    rig->config.link.db = 3;
    rig_start_with_workers(rig, 2);
    assert_int_equal(real_redis_ask(&rig->redis, "DBSIZE")->integer, 0);
    real_redis_ask(&rig->redis, "SELECT 3");
    rig_assert_mirrored(rig, 0);
}

static int turns_left;

static bool turned_enough(struct rig *rig)
{
    (void)rig;
    return --turns_left < 0;
}

static void test_a_wrong_password(void **state)
{
    struct rig *rig = *state;

    rig->config.link.password = "wrong";
    real_redis_ask(&rig->redis, "CONFIG SET requirepass right");
    rig_start_manager(rig);
    rig_register(rig, "w1");
    turns_left = 300;
    rig_until(rig, turned_enough);
    assert_true(rig_is_away(rig));
    real_redis_ask(&rig->redis, "CONFIG SET requirepass wrong");
    rig_until(rig, rig_in_step);
}

static void test_no_password_where_one_is_needed(void **state)
{
    struct rig *rig = *state;

    real_redis_ask(&rig->redis, "CONFIG SET requirepass secret");
    rig_start_manager(rig);
    rig_until(rig, rig_is_refusing);
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_set_up, rig_tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(test_a_name_with_several_addresses),
        WITH_RIG(test_password_and_database),
        WITH_RIG(test_a_wrong_password),
        WITH_RIG(test_no_password_where_one_is_needed),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
