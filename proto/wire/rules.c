/*
 * rules: see the header. A rule's fault is a phrase that follows the value in a sentence:
 *     worker_id: "a b" has a character outside [A-Za-z0-9._:-]
 * The texts come out of json_strict and json-c, so they are UTF-8 already.
 */
#include "proto/wire/rules.h"

#include <string.h>
#include <strings.h>

#include "proto/base/time.h"
#include "proto/wire/limits.h"
#include "proto/wire/message.h"
#include "proto/wire/utf8.h"

#define TEXT_OF_NUMBER(number) #number
#define TEXT_OF(limit) TEXT_OF_NUMBER(limit)

static const char *id_fault(struct hb_text id)
{
    if (id.len == 0)
        return "is empty; it must have 1 to " TEXT_OF(HB_ID_MAX) " characters";
    if (id.len > HB_ID_MAX)
        return "is longer than " TEXT_OF(HB_ID_MAX) " bytes";
    if (hb_id_valid(id))
        return NULL;
    if (hb_text_equal(id, HB_TEXT(".")) || hb_text_equal(id, HB_TEXT("..")))
        return "cannot stand in a path";
    return "has a character outside [A-Za-z0-9._:-]";
}

static const char *name_fault(struct hb_text name)
{
    if (name.len == 0)
        return "is empty; it must have 1 to " TEXT_OF(HB_NAME_MAX) " bytes";
    if (name.len > HB_NAME_MAX)
        return "is longer than " TEXT_OF(HB_NAME_MAX) " bytes";
    return hb_name_valid(name) ? NULL : "has a control character";
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Letters, digits, and what else DNS names and IP addresses hold. Underscores occur in names of containers. */
static bool is_host_byte(char c)
{
    return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '.' || c == '-' || c == '_' || c == ':';
}

static bool all_host_bytes(struct hb_text text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!is_host_byte(text.bytes[i]))
            return false;
    }
    return true;
}

static const char *host_fault(struct hb_text host)
{
    if (host.len == 0)
        return "is empty; it must be a DNS name or an IP address";
    if (host.len > HB_HOST_MAX)
        return "is longer than " TEXT_OF(HB_HOST_MAX) " bytes";
    return all_host_bytes(host) ? NULL : "has a character that no DNS name and no IP address has";
}

uint16_t hb_port_of_digits(struct hb_text text)
{
    unsigned port = 0;
    if (text.len < 1 || text.len > 5)
        return 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.bytes[i]))
            return 0;
        port = port * 10 + (unsigned)(text.bytes[i] - '0');
    }
    return port <= UINT16_MAX ? (uint16_t)port : 0;
}

static const char *port_fault(struct hb_text port)
{
    return hb_port_of_digits(port) != 0 ? NULL : "is not a port between 1 and 65535";
}

/* What stands behind "http://", "https://" or "tcp://"; absent when none of them is there. */
static struct hb_text behind_scheme(struct hb_text url)
{
    static const struct hb_text schemes[] = {HB_FIELD("http://"), HB_FIELD("https://"), HB_FIELD("tcp://")};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t len = schemes[i].len;
        if (url.len >= len && strncasecmp(url.bytes, schemes[i].bytes, len) == 0)
            return (struct hb_text){url.bytes + len, url.len - len};
    }
    return (struct hb_text){0};
}

/* host, host:port, [address] or [address]:port. */
static const char *authority_fault(struct hb_text authority)
{
    static const char no_host[] = "has no host; it must look like http://host:port/path";
    struct hb_text host = authority, port = {0};
    bool bracketed = authority.len > 0 && authority.bytes[0] == '[';
    const char *close = bracketed ? memchr(authority.bytes, ']', authority.len) : NULL;
    const char *end = authority.bytes + authority.len;
    if (bracketed) {
        if (close == NULL)
            return no_host;
        host = (struct hb_text){authority.bytes + 1, (size_t)(close - authority.bytes - 1)};
        if (close + 1 < end && close[1] != ':')
            return no_host;
        if (close + 1 < end)
            port = (struct hb_text){close + 2, (size_t)(end - close - 2)};
    } else {
        const char *colon = authority.len > 0 ? memchr(authority.bytes, ':', authority.len) : NULL;
        if (colon != NULL) {
            host.len = (size_t)(colon - authority.bytes);
            port = (struct hb_text){colon + 1, (size_t)(end - colon - 1)};
        }
    }
    if (host.len == 0)
        return no_host;
    if (host.len > HB_HOST_MAX || !all_host_bytes(host))
        return "has a host that is no DNS name and no IP address";
    return port.bytes == NULL || hb_port_of_digits(port) != 0 ? NULL : "has a port outside 1 to 65535";
}

static const char *url_fault(struct hb_text url)
{
    if (url.len > HB_URL_MAX)
        return "is longer than " TEXT_OF(HB_URL_MAX) " bytes";
    if (hb_utf8_check(url.bytes, url.len) != HB_UTF8_PLAIN || memchr(url.bytes, ' ', url.len) != NULL)
        return "has a space or a control character";
    struct hb_text rest = behind_scheme(url);
    if (rest.bytes == NULL)
        return "has no scheme; it must begin with http://, https:// or tcp://";
    size_t len = 0;
    while (len < rest.len && strchr("/?#", rest.bytes[len]) == NULL)
        len++;
    /* Rows are public, so a password must not get into one. */
    if (len > 0 && memchr(rest.bytes, '@', len) != NULL)
        return "holds credentials, which everyone could read";
    return authority_fault((struct hb_text){rest.bytes, len});
}

static const char *status_fault(struct hb_text status)
{
    if (status.len > HB_STATUS_TEXT_MAX)
        return "is longer than " TEXT_OF(HB_STATUS_TEXT_MAX) " bytes";
    return hb_utf8_check(status.bytes, status.len) == HB_UTF8_PLAIN ? NULL : "has a control character";
}

static const char *time_fault(struct hb_text text)
{
    hb_wall_ms time;
    return hb_wall_parse(text.bytes, text.len, &time) == HB_OK ? NULL : "is not a time like 2026-11-20T19:45:00.123Z";
}

static const char *no_fault(struct hb_text text)
{
    (void)text;
    return NULL;
}

const struct hb_text_rule hb_rule_id = {.must = "a string of 1 to " TEXT_OF(HB_ID_MAX) " characters of [A-Za-z0-9._:-]",
                                        .fault = id_fault};
const struct hb_text_rule hb_rule_name = {.must = "a string of 1 to " TEXT_OF(HB_NAME_MAX) " bytes",
                                          .fault = name_fault};
const struct hb_text_rule hb_rule_host = {.must = "a string with a DNS name or an IP address", .fault = host_fault};
const struct hb_text_rule hb_rule_url = {
    .must = "a string that begins with http://, https:// or tcp://", .fault = url_fault, .hidden_by = '@'};
const struct hb_text_rule hb_rule_status = {.must = "a string of at most " TEXT_OF(HB_STATUS_TEXT_MAX) " bytes",
                                            .fault = status_fault};
const struct hb_text_rule hb_rule_port_digits = {.must = "an integer between 1 and 65535", .fault = port_fault};
const struct hb_text_rule hb_rule_time = {.must = "a string like 2026-11-20T19:45:00.123Z", .fault = time_fault};
const struct hb_text_rule hb_rule_any = {.must = "a string", .fault = no_fault};

/* Beyond 2^53 a JSON number is not exact everywhere. */
const struct hb_number_rule hb_rule_count = {0, 9007199254740992.0, "an integer between 0 and 2^53"};
const struct hb_number_rule hb_rule_port = {1, 65535, "an integer between 1 and 65535"};
const struct hb_number_rule hb_rule_timeout = {HB_TIMEOUT_MIN_MS / 1000.0, HB_TIMEOUT_MAX_MS / 1000.0,
                                               "a number of seconds between 0.1 and 86400"};
const struct hb_number_rule hb_rule_interval = {0, HB_TIMEOUT_MAX_MS / 1000.0,
                                                "a number of seconds above 0 and at most 86400"};
