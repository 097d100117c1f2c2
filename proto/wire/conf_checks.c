#include "proto/wire/conf_checks.h"

#include <arpa/inet.h>
#include <string.h>

#include "proto/wire/message.h"

const char *const hb_log_level_words[] = {"debug", "info", "warn", "error", NULL};
const char *const hb_log_format_words[] = {"logfmt", "json", NULL};

const char *hb_check_id(const char *value)
{
    return hb_id_valid(hb_text_of(value)) ? NULL : "must be 1 to 64 of the characters A-Z a-z 0-9 . _ : -";
}

const char *hb_check_name(const char *value)
{
    return hb_name_valid(hb_text_of(value)) ? NULL : "must be 1 to 128 bytes of UTF-8 without control characters";
}

const char *hb_check_host(const char *value)
{
    return strpbrk(value, " \t\r\n/\"<>[]@") == NULL ? NULL : "must be a name or an address, without port and brackets";
}

const char *hb_check_bind_host(const char *value)
{
    unsigned char address[sizeof(struct in6_addr)];
    int numeric = inet_pton(AF_INET, value, address) == 1 || inet_pton(AF_INET6, value, address) == 1;

    return numeric ? NULL : "must be an IPv4 or IPv6 address";
}
