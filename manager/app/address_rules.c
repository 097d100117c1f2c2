#include "manager/app/address_rules.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cidr.h"

/* An address in 16 bytes, IPv4 as ::ffff:a.b.c.d, and a port in host order. */
struct endpoint {
    uint8_t address[16];
    uint16_t port;
};

struct hb_address_rules {
    struct endpoint forbidden[HB_FORBIDDEN_MAX];
    size_t forbidden_count, allowed_count;
    struct hb_cidr allowed[];
};

#define V4(a, b, c, d, prefix)                                                                                         \
    {                                                                                                                  \
        {[10] = 0xff, [11] = 0xff, [12] = (a), (b), (c), (d)}, 96 + (prefix)                                           \
    }

static const struct hb_cidr never[] = {
    V4(0, 0, 0, 0, 8),                                         /* this host: a connection to 0.0.0.0 is one to it */
    V4(169, 254, 0, 0, 16),                                    /* link-local; most metadata services */
    V4(224, 0, 0, 0, 4),                                       /* multicast */
    V4(255, 255, 255, 255, 32),                                /* broadcast */
    V4(100, 100, 100, 200, 32),                                /* metadata: Alibaba */
    V4(192, 0, 0, 192, 32),                                    /* metadata: Oracle */
    V4(168, 63, 129, 16, 32),                                  /* the host's agent: Azure */
    {{0}, 128},                                                /* :: */
    {{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48},                /* local NAT64, RFC 8215: its IPv4 may lie anywhere */
    {{0xfe, 0x80}, 10},                                        /* link-local */
    {{0xff}, 8},                                               /* multicast */
    {{0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54}, 128}, /* metadata: Amazon, fd00:ec2::254 */
    {{0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54}, 128}, /* metadata: Google, fd20:ce::254 */
    {{0xfd, 0x00, 0x00, 0x42, [15] = 0x42}, 128},              /* metadata: Scaleway, fd00:42::42 */
};

static const struct hb_cidr loopback_v4 = V4(127, 0, 0, 0, 8);
static const struct hb_cidr loopback_v6 = {{[15] = 1}, 128};

/* Where IPv6 addresses hold an IPv4 one: bits to share, and the byte at which it begins. */
static const struct {
    struct hb_cidr range;
    uint8_t at;
    uint8_t flip; /* Teredo writes it inverted */
} embeddings[] = {
    {{{0}, 96}, 12, 0},                      /* ::a.b.c.d, IPv4-compatible: RFC 4291 */
    {{{[8] = 0xff, [9] = 0xff}, 96}, 12, 0}, /* ::ffff:0:a.b.c.d, translated: RFC 2765 */
    {{{0x00, 0x64, 0xff, 0x9b}, 96}, 12, 0}, /* 64:ff9b::a.b.c.d, NAT64: RFC 6052 */
    {{{0x20, 0x02}, 16}, 2, 0},              /* 2002:aabb:ccdd::, 6to4: RFC 3056 */
    {{{0x20, 0x01}, 32}, 12, 0xff},          /* 2001:0::/32, Teredo: RFC 4380 */
};

static void set_v4(uint8_t address[16], const uint8_t v4[4], uint8_t flip)
{
    memset(address, 0, 10);
    address[10] = address[11] = 0xff;
    for (size_t i = 0; i < 4; i++)
        address[12 + i] = v4[i] ^ flip;
}

static bool read_endpoint(const struct sockaddr *from, struct endpoint *ret_endpoint)
{
    if (from->sa_family == AF_INET) {
        struct sockaddr_in v4;

        memcpy(&v4, from, sizeof v4);
        set_v4(ret_endpoint->address, (const uint8_t *)&v4.sin_addr, 0);
        ret_endpoint->port = ntohs(v4.sin_port);
        return true;
    }
    if (from->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;

        memcpy(&v6, from, sizeof v6);
        memcpy(ret_endpoint->address, &v6.sin6_addr, sizeof ret_endpoint->address);
        ret_endpoint->port = ntohs(v6.sin6_port);
        return true;
    }
    return false;
}

/* ---- rules ---- */

struct hb_address_rules *hb_address_rules_new(const char *allow)
{
    const char *at = allow != NULL ? allow : "";
    size_t entries = 1;
    struct hb_address_rules *rules;

    for (const char *c = at; *c != '\0'; c++)
        entries += *c == ',';
    rules = calloc(1, sizeof *rules + entries * sizeof rules->allowed[0]);
    if (rules == NULL)
        return NULL;
    for (struct hb_text entry = hb_cidr_list_next(&at); entry.bytes != NULL; entry = hb_cidr_list_next(&at)) {
        if (hb_cidr_parse(entry, &rules->allowed[rules->allowed_count++]) != HB_OK) {
            free(rules);
            return NULL;
        }
    }
    if (rules->allowed_count == 0 && allow != NULL && *allow != '\0') {
        free(rules); /* commas alone do not mean everything */
        return NULL;
    }
    return rules;
}

void hb_address_rules_free(struct hb_address_rules *rules)
{
    free(rules);
}

void hb_address_rules_forget(struct hb_address_rules *rules)
{
    rules->forbidden_count = 0;
}

void hb_address_rules_forbid(struct hb_address_rules *rules, const struct sockaddr *endpoint)
{
    if (rules->forbidden_count < HB_FORBIDDEN_MAX && read_endpoint(endpoint, &rules->forbidden[rules->forbidden_count]))
        rules->forbidden_count++;
}

/* ---- judging ---- */

static bool is_loopback(const uint8_t address[16])
{
    return hb_cidr_holds(&loopback_v4, address) || hb_cidr_holds(&loopback_v6, address);
}

static bool is_forbidden(const struct hb_address_rules *rules, const struct endpoint *endpoint)
{
    for (size_t i = 0; i < rules->forbidden_count; i++) {
        const struct endpoint *forbidden = &rules->forbidden[i];

        if (forbidden->port != endpoint->port)
            continue;
        if (memcmp(forbidden->address, endpoint->address, sizeof endpoint->address) == 0 ||
            (is_loopback(forbidden->address) && is_loopback(endpoint->address)))
            return true;
    }
    return false;
}

static bool is_never(const struct hb_address_rules *rules, const struct endpoint *endpoint)
{
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        if (hb_cidr_holds(&never[i], endpoint->address))
            return true;
    }
    return is_forbidden(rules, endpoint);
}

/* ISATAP: any prefix, then 0000:5efe or 0200:5efe, then the address (RFC 5214). */
static bool is_isatap(const uint8_t address[16])
{
    return (address[8] & 0xfd) == 0 && address[9] == 0 && address[10] == 0x5e && address[11] == 0xfe;
}

/* Whether it holds an IPv4 address that is never polled. */
static bool hides_never(const struct hb_address_rules *rules, const struct endpoint *endpoint)
{
    struct endpoint inner = {.port = endpoint->port};

    if (is_loopback(endpoint->address))
        return false; /* ::1 is not 0.0.0.1 */
    for (size_t i = 0; i < sizeof embeddings / sizeof embeddings[0]; i++) {
        if (!hb_cidr_holds(&embeddings[i].range, endpoint->address))
            continue;
        set_v4(inner.address, endpoint->address + embeddings[i].at, embeddings[i].flip);
        if (is_never(rules, &inner))
            return true;
    }
    if (!is_isatap(endpoint->address))
        return false;
    set_v4(inner.address, endpoint->address + 12, 0);
    return is_never(rules, &inner);
}

static bool is_allowed(const struct hb_address_rules *rules, const struct endpoint *endpoint)
{
    for (size_t i = 0; i < rules->allowed_count; i++) {
        if (hb_cidr_holds(&rules->allowed[i], endpoint->address))
            return true;
    }
    return rules->allowed_count == 0;
}

void hb_address_rules_forbid_own(struct hb_address_rules *rules, const struct sockaddr *address)
{
    struct endpoint own;

    if (!read_endpoint(address, &own))
        return;
    for (size_t i = 0; i < rules->forbidden_count && rules->forbidden_count < HB_FORBIDDEN_MAX; i++) {
        own.port = rules->forbidden[i].port;
        if (is_loopback(rules->forbidden[i].address) && !is_never(rules, &own))
            rules->forbidden[rules->forbidden_count++] = own;
    }
}

bool hb_address_rules_may_poll(const struct hb_address_rules *rules, const struct sockaddr *endpoint)
{
    struct endpoint asked;

    return read_endpoint(endpoint, &asked) && !is_never(rules, &asked) && !hides_never(rules, &asked) &&
           is_allowed(rules, &asked);
}
