#include "manager/io/http_head.h"

#include <string.h>
#include <strings.h>

bool hb_head_has(struct lws *wsi, enum lws_token_indexes token)
{
    char nothing[1];

    /* One that was sent empty has no length either, but it has a fragment. */
    return lws_hdr_total_length(wsi, token) > 0 || lws_hdr_copy_fragment(wsi, nothing, sizeof nothing, token, 0) == 0;
}

struct hb_text hb_head_value(struct lws *wsi, enum lws_token_indexes token, char *out, size_t size)
{
    int len;

    if (!hb_head_has(wsi, token))
        return (struct hb_text){NULL, 0};
    len = lws_hdr_copy(wsi, out, (int)size, token);
    return len > 0 ? (struct hb_text){out, (size_t)len} : (struct hb_text){"", 0};
}

bool hb_head_parameter(struct lws *wsi, int place, char *out, size_t size, struct hb_text *ret_parameter)
{
    int len;

    if (lws_hdr_fragment_length(wsi, WSI_TOKEN_HTTP_URI_ARGS, place) >= (int)size) {
        *ret_parameter = HB_TEXT("?");
        return true;
    }
    len = lws_hdr_copy_fragment(wsi, out, (int)size, WSI_TOKEN_HTTP_URI_ARGS, place);
    if (len < 0)
        return false;
    if (len == 1 && out[0] == '/') /* 4.1.6 puts that where nothing stands behind the last `?` or `&` */
        len = 0;
    *ret_parameter = (struct hb_text){out, (size_t)len};
    return true;
}

bool hb_head_lists(struct hb_text list, const char *token)
{
    size_t len = strlen(token);
    const char *at = list.bytes;
    const char *end = at != NULL ? at + list.len : NULL;

    while (at != NULL && at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma != NULL ? comma : end;

        while (at < stop && (*at == ' ' || *at == '\t'))
            at++;
        while (stop > at && (stop[-1] == ' ' || stop[-1] == '\t'))
            stop--;
        if ((size_t)(stop - at) == len && strncasecmp(at, token, len) == 0)
            return true;
        at = comma != NULL ? comma + 1 : NULL;
    }
    return false;
}

bool hb_head_repeated(struct lws *wsi, enum lws_token_indexes token)
{
    return lws_hdr_fragment_length(wsi, token, 1) > 0;
}

int64_t hb_head_content_length(struct lws *wsi)
{
    char text[64];
    struct hb_text value = hb_head_value(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, text, sizeof text);
    int64_t length = 0;

    if (value.bytes == NULL)
        return HB_LENGTH_NONE;
    if (value.len == 0 || hb_head_repeated(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) ||
        strspn(text, "0123456789") != value.len)
        return HB_LENGTH_BAD;
    if (value.len > 18)
        return INT64_MAX;
    for (size_t i = 0; i < value.len; i++)
        length = length * 10 + (text[i] - '0');
    return length;
}

static bool known_version(struct lws *wsi)
{
    char text[12];
    struct hb_text version = hb_head_value(wsi, WSI_TOKEN_HTTP, text, sizeof text);

    return hb_text_equal(version, HB_TEXT("HTTP/1.1")) || hb_text_equal(version, HB_TEXT("HTTP/1.0"));
}

const char *hb_head_fault(struct lws *wsi, unsigned *ret_status)
{
    bool encoded = hb_head_has(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING);
    int64_t length = hb_head_content_length(wsi);

    *ret_status = 400;
    if (!known_version(wsi)) {
        *ret_status = 505;
        return "HTTP version: must be HTTP/1.1 or HTTP/1.0";
    }
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HOST) <= 0 || hb_head_repeated(wsi, WSI_TOKEN_HOST))
        return "Host: must be sent exactly once";
    if (length == HB_LENGTH_BAD)
        return "Content-Length: must be one decimal number";
    if (encoded && length != HB_LENGTH_NONE)
        return "Transfer-Encoding and Content-Length must not be sent together";
    if (encoded) {
        *ret_status = 411;
        return "Transfer-Encoding: a request body must be announced with Content-Length";
    }
    return NULL;
}

/* What pages of others fetch without an Origin: an image, a link. */
static bool is_cross_site(struct lws *wsi)
{
    static const char name[] = "sec-fetch-site:";
    char site[32];

    return lws_hdr_custom_copy(wsi, site, sizeof site, name, sizeof name - 1) > 0 &&
           (strcasecmp(site, "cross-site") == 0 || strcasecmp(site, "same-site") == 0);
}

bool hb_head_origin_allowed(struct lws *wsi, const char *allowed)
{
    char origin_text[256];
    char host_text[256];
    struct hb_text origin = hb_head_value(wsi, WSI_TOKEN_ORIGIN, origin_text, sizeof origin_text);
    struct hb_text host = hb_head_value(wsi, WSI_TOKEN_HOST, host_text, sizeof host_text);
    const char *authority;

    if (origin.bytes == NULL)
        return !is_cross_site(wsi);
    if (origin.len == 0 || host.len == 0 || hb_head_repeated(wsi, WSI_TOKEN_ORIGIN))
        return false; /* empty, longer than any that is allowed, or two of them */
    if (allowed != NULL && hb_head_lists(hb_text_of(allowed), origin_text))
        return true;
    authority = strstr(origin_text, "://");
    return authority != NULL && strcasecmp(authority + 3, host_text) == 0;
}
