#include "proto/base/cidr.h"

#include <arpa/inet.h>
#include <string.h>

#define V4_BITS 96  /* what all IPv4 addresses share in their IPv6 clothes */
#define TEXT_MAX 49 /* "xxxx:xxxx:xxxx:xxxx:xxxx:xxxx:255.255.255.255/128" */

static const uint8_t v4_prefix[12] = {[10] = 0xff, [11] = 0xff};

bool hb_cidr_is_v4(const uint8_t address[16])
{
    return memcmp(address, v4_prefix, sizeof v4_prefix) == 0;
}

/* Whether the first `bits` bits are the same. */
static bool alike(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

bool hb_cidr_holds(const struct hb_cidr *cidr, const uint8_t address[16])
{
    return (cidr->bits >= V4_BITS || !hb_cidr_is_v4(address)) && alike(cidr->bytes, address, cidr->bits);
}

static bool read_bits(const char *digits, unsigned most, unsigned *ret_bits)
{
    unsigned bits = 0;
    size_t len = strlen(digits);

    if (len < 1 || len > 3 || strspn(digits, "0123456789") != len)
        return false;
    for (; *digits != '\0'; digits++)
        bits = bits * 10 + (unsigned)(*digits - '0');
    if (bits > most)
        return false;
    *ret_bits = bits;
    return true;
}

static bool nothing_behind_prefix(const struct hb_cidr *cidr)
{
    for (unsigned bit = cidr->bits; bit < 128; bit++) {
        if (cidr->bytes[bit / 8] & (0x80u >> bit % 8))
            return false;
    }
    return true;
}

enum hb_err hb_cidr_parse(struct hb_text text, struct hb_cidr *ret_cidr)
{
    struct hb_cidr cidr = {.bits = 128};
    char copy[TEXT_MAX + 1];
    unsigned before = 0, bits;
    char *slash;

    if (text.len == 0 || text.len > TEXT_MAX || memchr(text.bytes, '\0', text.len) != NULL)
        return HB_ERR_INVALID;
    memcpy(copy, text.bytes, text.len);
    copy[text.len] = '\0';
    slash = strchr(copy, '/');
    if (slash != NULL)
        *slash = '\0';
    if (inet_pton(AF_INET, copy, cidr.bytes + sizeof v4_prefix) == 1) {
        memcpy(cidr.bytes, v4_prefix, sizeof v4_prefix);
        before = V4_BITS;
    } else if (inet_pton(AF_INET6, copy, cidr.bytes) != 1) {
        return HB_ERR_INVALID;
    }
    if (slash != NULL) {
        if (!read_bits(slash + 1, 128 - before, &bits))
            return HB_ERR_INVALID;
        cidr.bits = (uint8_t)(before + bits);
    }
    if (!nothing_behind_prefix(&cidr))
        return HB_ERR_INVALID;
    *ret_cidr = cidr;
    return HB_OK;
}

struct hb_text hb_cidr_list_next(const char **at)
{
    struct hb_text entry;

    *at += strspn(*at, ", \t");
    entry = (struct hb_text){*at, strcspn(*at, ",")};
    *at += entry.len;
    while (entry.len > 0 && strchr(" \t", entry.bytes[entry.len - 1]) != NULL)
        entry.len--;
    return entry.len > 0 ? entry : (struct hb_text){NULL, 0};
}
