/*
 * fuzz_http: requests on a few connections, from heads as libwebsockets hands them over to bytes on the wire.
 *
 * The input is a script of lines:
 *
 *   c N                      the connection that the next lines are about
 *   r METHOD TARGET VERSION  a request; the target still encoded. It waits for its turn as a client would
 *   h Name: value            a header of it; $E stands for the last ETag that was seen
 *   b bytes | B COUNT byte   a piece of its body; Content-Length is added unless a header says it
 *   p                        the request came right behind the one before, in the same packets
 *   w | W                    the socket takes more; W: the library says so without having been asked
 *   t MS                     time passes: timers, expiry, tickets
 *   u COUNT                  so many bytes that the client has sent are not read yet
 *   f                        writing fails from now on
 *   x                        the client goes away
 *   s | n | S STATE          a batch arrives in Redis, or does not; the store's state
 *   q | Q                    the thread pool does its work; it takes none from now on
 *   g                        eight workers with large rows
 *   k                        the manager begins to stop
 *
 * Promises: each request that was whole gets exactly one answer (http_answer.h), with a status that PROTOCOL.md allows
 * for just that request; the connection closes when the answer said so, and only then; the same ETag means the same
 * bytes; the manager stays sound (world.h); nothing leaks.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "manager/io/http_api.h"
#include "proto/wire/codec.h"
#include "tests/fuzz/fake_clock.h"
#include "tests/fuzz/fake_lws.h"
#include "tests/fuzz/fake_pool.h"
#include "tests/fuzz/fake_store.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/http_answer.h"
#include "tests/fuzz/world.h"

#define LINES 3
#define ALLOWED_MAX 16
#define ETAGS_MAX 16
#define ORIGIN "https://ops.example"

enum route {
    NOWHERE,
    ROOT,
    REGISTER,
    LISTING,
    WORKER,
    HEARTBEAT,
    TIMELINE,
    MAINTENANCE,
    METRICS,
    TARGETS,
    LIVE,
    READY
};

struct request {
    bool begun; /* and not yet answered */
    bool to_head, changes, plain_query;
    enum route route;
    char method[8];
    char path[256];
    struct hb_text id;                            /* in path */
    unsigned allowed[ALLOWED_MAX], allowed_count; /* statuses */
    size_t rows;                                  /* of GET /workers and its like, when it was handled */
    bool prometheus_said, json_said;              /* the format of GET /metrics, by its query */
    struct hb_buf body;                           /* what was delivered */
};

struct line {
    struct lws *wsi; /* NULL: not connected */
    struct hb_http_line http;
    struct request request;
    size_t body_left; /* announced and not delivered, be it wanted or not */
};

struct fuzz_http {
    struct fuzz_input input, line_on; /* line_on: the line that is being read, and all behind it */
    struct world world;
    struct hb_redis_store *store;
    struct hb_http_api *api;
    const struct hb_exchange_handler *handler;
    struct line lines[LINES];
    struct line *current;
    bool stopping, large, head_pending, pipelined, length_said;
    struct hb_text target, method, version;
    char etag[64];
    struct {
        char tag[64];
        uint64_t hash;
    } etags[ETAGS_MAX];
    size_t etag_count;
};

/* ---- what PROTOCOL.md allows for a request ---- */

static void allow(struct request *request, unsigned status)
{
    FUZZ_CHECK(request->allowed_count < ALLOWED_MAX, "allowed");
    request->allowed[request->allowed_count++] = status;
}

static bool is_allowed(const struct request *request, unsigned status)
{
    for (unsigned i = 0; i < request->allowed_count; i++) {
        if (request->allowed[i] == status)
            return true;
    }
    return false;
}

static enum route route_of(struct request *request)
{
    static const struct {
        const char *path;
        enum route route;
    } whole[] = {{"/", ROOT},           {"/register", REGISTER},     {"/workers", LISTING},
                 {"/metrics", METRICS}, {"/sd/prometheus", TARGETS}, {"/livez", LIVE},
                 {"/healthz", LIVE},    {"/readyz", READY}};
    static const struct {
        const char *tail;
        enum route route;
    } tails[] = {{"", WORKER}, {"/heartbeat", HEARTBEAT}, {"/timeline", TIMELINE}, {"/maintenance", MAINTENANCE}};
    const char *rest = request->path + sizeof "/workers/" - 1;

    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        if (strcmp(request->path, whole[i].path) == 0)
            return whole[i].route;
    }
    if (strncmp(request->path, "/workers/", sizeof "/workers/" - 1) != 0)
        return NOWHERE;
    request->id = (struct hb_text){rest, strcspn(rest, "/")};
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        if (strcmp(rest + request->id.len, tails[i].tail) == 0)
            return tails[i].route;
    }
    return NOWHERE;
}

static bool takes(enum route route, const char *method)
{
    static const char *const methods[] = {
        [ROOT] = "GET HEAD ",           [REGISTER] = "POST ",      [LISTING] = "GET HEAD ",
        [WORKER] = "GET HEAD DELETE ",  [HEARTBEAT] = "GET POST ", [TIMELINE] = "GET HEAD ",
        [MAINTENANCE] = "POST DELETE ", [METRICS] = "GET HEAD ",   [TARGETS] = "GET HEAD ",
        [LIVE] = "GET HEAD ",           [READY] = "GET HEAD ",
    };
    char word[16];

    snprintf(word, sizeof word, "%s ", method);
    return strstr(methods[route], word) != NULL;
}

/* The header's value, or NULL; *ret_count tells how often it was sent. */
static const char *header(const struct lws *wsi, enum lws_token_indexes token, size_t *ret_count)
{
    const char *value = NULL;

    *ret_count = 0;
    for (size_t i = 0; i < wsi->header_count; i++) {
        if (wsi->headers[i].token != token)
            continue;
        value = wsi->headers[i].value;
        ++*ret_count;
    }
    return value;
}

static void allow_head_faults(struct request *request, const struct lws *wsi)
{
    size_t hosts, lengths, encodings, versions;
    const char *version = header(wsi, WSI_TOKEN_HTTP, &versions);
    const char *length = header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, &lengths);

    (void)header(wsi, WSI_TOKEN_HOST, &hosts);
    (void)header(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING, &encodings);
    if (version == NULL || (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0))
        allow(request, 505);
    if (hosts != 1 || lengths > 1 || (encodings > 0 && lengths > 0) ||
        (length != NULL && strspn(length, "0123456789") != strlen(length)))
        allow(request, 400);
    if (encodings > 0)
        allow(request, 411);
}

/* application/json, once, and behind it at most parameters. */
static bool type_is_json(const char *type, size_t count)
{
    static const char json[] = "application/json";
    const char *behind = type + sizeof json - 1;

    if (count > 1 || strlen(type) > 63 || strncasecmp(type, json, sizeof json - 1) != 0)
        return false;
    behind += strspn(behind, " \t");
    return *behind == '\0' || *behind == ';';
}

static void allow_change_faults(struct request *request, const struct lws *wsi)
{
    size_t origins, types, hosts, sites;
    const char *origin = header(wsi, WSI_TOKEN_ORIGIN, &origins);
    const char *type = header(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE, &types);
    const char *host = header(wsi, WSI_TOKEN_HOST, &hosts);
    const char *site = header(wsi, FAKE_TOKEN_SEC_FETCH_SITE, &sites);
    const char *authority = origin != NULL ? strstr(origin, "://") : NULL;

    if (origins > 1 || (origin != NULL && strcasecmp(origin, ORIGIN) != 0 &&
                        (authority == NULL || strcasecmp(authority + 3, host) != 0)))
        allow(request, 403);
    if (origin == NULL && site != NULL && (strcasecmp(site, "cross-site") == 0 || strcasecmp(site, "same-site") == 0))
        allow(request, 403);
    if (type != NULL && !type_is_json(type, types))
        allow(request, 415);
}

/* Before the body. Nothing allowed: it is let in. */
static void allow_refusals(struct fuzz_http *fuzz, struct request *request, const struct lws *wsi, int64_t length)
{
    allow_head_faults(request, wsi);
    if (request->allowed_count > 0)
        return;
    if (fuzz->stopping && request->route != LIVE)
        allow(request, 503);
    else if (request->route == NOWHERE)
        allow(request, 404);
    else if (!takes(request->route, request->method))
        allow(request, 405);
    else if (request->changes)
        allow_change_faults(request, wsi);
    if (request->allowed_count == 0 && length > HB_BODY_BYTES_MAX)
        allow(request, 413);
}

static void allow_decoded(struct request *request, enum hb_err err)
{
    if (err == HB_OK)
        allow(request, 200);
    else
        allow(request, err == HB_ERR_SYNTAX ? 400 : 422);
}

/* GET /metrics takes two parameters, each at most once, with two values each. */
static bool read_metrics_query(struct request *request, const struct lws *wsi)
{
    size_t formats = 0, per_worker = 0;

    for (size_t i = 0; i < wsi->header_count; i++) {
        const char *said = wsi->headers[i].value;

        if (wsi->headers[i].token != WSI_TOKEN_HTTP_URI_ARGS || said[0] == '\0' || strcmp(said, "/") == 0)
            continue; /* nothing between two separators, as the library tells it */
        request->json_said |= strcmp(said, "format=json") == 0;
        request->prometheus_said |= strcmp(said, "format=prometheus") == 0;
        if (strcmp(said, "format=json") == 0 || strcmp(said, "format=prometheus") == 0)
            formats++;
        else if (strcmp(said, "per_worker=0") == 0 || strcmp(said, "per_worker=1") == 0)
            per_worker++;
        else
            return false;
    }
    return formats <= 1 && per_worker <= 1;
}

/* How many workers Prometheus can be sent to. */
static size_t count_targets(const struct hb_registry *registry)
{
    size_t count = 0;

    for (size_t i = 0; i < hb_registry_count(registry); i++) {
        const struct hb_worker *worker = hb_registry_at(registry, i);

        count += (worker->host != NULL && worker->port != 0) ||
                 (worker->url != NULL &&
                  (strncasecmp(worker->url, "http://", 7) == 0 || strncasecmp(worker->url, "https://", 8) == 0));
    }
    return count;
}

/* The answer to a whole request that nothing was wrong with so far; to be called before it is handled. */
static void allow_answers(struct fuzz_http *fuzz, struct request *request, const struct lws *wsi)
{
    struct hb_text body = {request->body.len > 0 ? request->body.bytes : "", request->body.len};
    bool known = hb_registry_find(fuzz->world.registry, request->id) != NULL;
    struct hb_decoder *decoder = fuzz->world.decoder;
    struct hb_registration registration;
    struct hb_maintenance maintenance;
    struct hb_beat beat;

    if (fuzz->stopping && request->route != LIVE) {
        allow(request, 503);
        return;
    }
    if (request->route >= WORKER && request->route <= MAINTENANCE && !hb_id_valid(request->id)) {
        allow(request, 422);
        return;
    }
    switch (request->route) {
    case REGISTER:
        allow_decoded(request, hb_decode_registration(decoder, body, &registration));
        if (is_allowed(request, 200))
            allow(request, 503);
        break;
    case HEARTBEAT:
        if (body.len > HB_BEAT_BYTES_MAX) {
            allow(request, 413);
            break;
        }
        allow_decoded(request, body.len == 0 ? HB_OK : hb_decode_beat(decoder, body, &beat));
        if (is_allowed(request, 200)) {
            allow(request, 409);
            allow(request, 503);
            if (!known)
                allow(request, 404); /* bye */
        }
        break;
    case MAINTENANCE:
        if (strcmp(request->method, "POST") == 0 && body.len > 0)
            allow_decoded(request, hb_decode_maintenance(decoder, body, &maintenance));
        else
            allow(request, 200);
        if (!known && is_allowed(request, 200))
            request->allowed_count = 0;
        if (!known)
            allow(request, 404);
        else if (is_allowed(request, 200))
            allow(request, 503);
        break;
    case WORKER:
    case TIMELINE:
        allow(request, known ? 200 : 404);
        if (known && !request->changes)
            allow(request, 304);
        break;
    case LISTING:
        request->rows = hb_registry_count(fuzz->world.registry);
        allow(request, 200);
        allow(request, 304);
        if (!request->plain_query)
            allow(request, 422);
        break;
    case METRICS:
        request->rows = hb_registry_count(fuzz->world.registry);
        allow(request, read_metrics_query(request, wsi) ? 200 : 422);
        break;
    case TARGETS:
        request->rows = count_targets(fuzz->world.registry);
        allow(request, 200);
        break;
    case READY:
        allow(request, hb_redis_store_state(fuzz->store) == HB_REDIS_IN_STEP ? 200 : 503);
        break;
    default:
        allow(request, 200);
        break;
    }
}

/* ---- one answer ---- */

static uint64_t hash_of(struct hb_text text)
{
    uint64_t hash = 14695981039346656037u;

    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.bytes[i]) * 1099511628211u;
    return hash;
}

/* One tag, one text. */
static void check_etag(struct fuzz_http *fuzz, const struct http_answer *answer, bool to_head)
{
    char tag[sizeof fuzz->etag];

    if (answer->etag.bytes == NULL)
        return;
    FUZZ_CHECK(answer->etag.len < sizeof tag, "an ETag of %zu bytes", answer->etag.len);
    snprintf(tag, sizeof tag, "%.*s", (int)answer->etag.len, answer->etag.bytes);
    memcpy(fuzz->etag, tag, sizeof tag);
    if (answer->status != 200 || to_head)
        return;
    for (size_t i = 0; i < fuzz->etag_count; i++) {
        FUZZ_CHECK(strcmp(fuzz->etags[i].tag, tag) != 0 || fuzz->etags[i].hash == hash_of(answer->body),
                   "two texts with the tag %s", tag);
    }
    if (fuzz->etag_count == ETAGS_MAX)
        return;
    memcpy(fuzz->etags[fuzz->etag_count].tag, tag, sizeof tag);
    fuzz->etags[fuzz->etag_count++].hash = hash_of(answer->body);
}

/*
 * Each row has one such piece: none of them can stand within a string, nor in the attributes, which are flat. What is
 * indented for a browser is not counted.
 */
static void check_rows(const struct request *request, struct hb_text body)
{
    static const char *const pieces[] = {
        [LISTING] = "{\"worker_id\":\"", [METRICS] = "},\"last_checked_age\":", [TARGETS] = "{\"targets\":["};
    const char *piece = pieces[request->route];
    size_t rows = 0;
    struct hb_text rest = body;
    const char *row;

    if ((request->route == LISTING && !request->plain_query) || memmem(body.bytes, body.len, "\n  ", 3) != NULL)
        return;
    while ((row = memmem(rest.bytes, rest.len, piece, strlen(piece))) != NULL) {
        rows++;
        rest = (struct hb_text){row + 1, rest.len - (size_t)(row + 1 - rest.bytes)};
    }
    FUZZ_CHECK(rows == request->rows, "%zu workers, %zu rows: %.*s", request->rows, rows, (int)body.len, body.bytes);
}

/* A whole answer to GET /metrics, GET /sd/prometheus or their HEAD. */
static void check_report(const struct request *request, const struct lws *wsi, const struct http_answer *answer)
{
    size_t accepts;

    (void)header(wsi, WSI_TOKEN_HTTP_ACCEPT, &accepts);
    FUZZ_CHECK(answer->etag.bytes == NULL, "an entity tag of what is never the same");
    FUZZ_CHECK(answer->exposition || !request->prometheus_said, "asked for Prometheus' text");
    FUZZ_CHECK(!answer->exposition || (request->route == METRICS && !request->json_said), "asked for JSON");
    FUZZ_CHECK(!answer->exposition || request->prometheus_said || accepts > 0, "JSON is the default");
}

static void check_answer(struct fuzz_http *fuzz, struct line *line, bool closed)
{
    struct request *request = &line->request;
    struct http_answer answer;
    size_t count;

    http_answer_read(&answer, (struct hb_text){line->wsi->out.bytes, line->wsi->out.len}, request->to_head);
    fuzz_trace("<- %u%s %.*s", answer.status, answer.closes ? ", closes" : "", (int)answer.body.len, answer.body.bytes);
    FUZZ_CHECK(is_allowed(request, answer.status), "%s %s is answered with %u, and may be with %u: %.*s",
               request->method, request->path, answer.status, request->allowed[0], (int)answer.body.len,
               answer.body.bytes);
    FUZZ_CHECK(!answer.closes || closed, "said to close, and does not");
    FUZZ_CHECK(answer.closes || !closed || !line->wsi->keeps, "closes, and did not say so");
    FUZZ_CHECK(answer.status != 304 || header(line->wsi, WSI_TOKEN_HTTP_IF_NONE_MATCH, &count) != NULL,
               "304 to one who has nothing");
    FUZZ_CHECK(!answer.gzip || header(line->wsi, WSI_TOKEN_HTTP_ACCEPT_ENCODING, &count) != NULL, "gzip, unasked");
    check_etag(fuzz, &answer, request->to_head);
    FUZZ_CHECK(!answer.exposition || request->route == METRICS, "Prometheus' text at %s", request->path);
    if (answer.status == 200 && (request->route == METRICS || request->route == TARGETS))
        check_report(request, line->wsi, &answer);
    if (answer.status == 200 && !request->to_head && !answer.exposition &&
        (request->route == LISTING || request->route == METRICS || request->route == TARGETS))
        check_rows(request, answer.body);
    http_answer_free(&answer);
}

/* ---- a connection ---- */

static void forget_request(struct line *line)
{
    hb_buf_free(&line->request.body);
    line->request = (struct request){.begun = false};
    hb_buf_init(&line->request.body, 1u << 20);
}

static void disconnect(struct line *line)
{
    if (line->wsi == NULL)
        return;
    hb_exchange_end(&line->http);
    FUZZ_CHECK(line->http.exchange == NULL, "the connection is gone, its exchange is not");
    fake_lws_free(line->wsi);
    line->wsi = NULL;
    line->http = (struct hb_http_line){.exchange = NULL};
    line->body_left = 0;
    forget_request(line);
}

static void connect_line(struct fuzz_http *fuzz, struct line *line)
{
    if (line->wsi == NULL)
        line->wsi = fake_lws_new((unsigned)(line - fuzz->lines));
}

/* The writable callback, and what the library does after it. */
static void writable(struct fuzz_http *fuzz, struct line *line)
{
    struct lws *wsi = line->wsi;
    unsigned completed;
    int result;

    if (wsi == NULL)
        return;
    completed = wsi->completed;
    wsi->wants_write = false;
    wsi->writes = 0;
    result = hb_exchange_writable(&line->http);
    FUZZ_CHECK(wsi->writes <= 1, "%u writes in one callback", wsi->writes);
    FUZZ_CHECK(result != 0 || line->http.exchange == NULL || wsi->wants_write || wsi->writes == 0,
               "the rest will never be written");
    if (line->http.exchange == NULL && line->request.begun && !wsi->write_fails) {
        check_answer(fuzz, line, result != 0);
        FUZZ_CHECK(result != 0 || wsi->completed == completed + 1, "the library was not told that it was all");
        forget_request(line);
        fake_lws_clear_headers(wsi);
        hb_buf_clear(&wsi->out);
    }
    FUZZ_CHECK(result == 0 || line->http.exchange == NULL || wsi->write_fails, "cut off in the middle of an answer");
    if (result != 0)
        disconnect(line);
}

/* Until the client has read all there is for it now. */
static void read_all(struct fuzz_http *fuzz, struct line *line)
{
    for (int i = 0; line->wsi != NULL && line->wsi->wants_write && i < 200; i++)
        writable(fuzz, line);
}

static void timer(struct fuzz_http *fuzz, struct line *line)
{
    bool unwanted = line->http.exchange == NULL || hb_exchange_answered(line->http.exchange);
    unsigned before = line->request.allowed_count;
    int result;

    (void)fuzz;
    line->wsi->timer_at_ms = INT64_MAX;
    if (before == 0 && line->body_left > 0)
        allow(&line->request, 408);
    result = hb_exchange_timer(&line->http);
    if (result == 0)
        return;
    FUZZ_CHECK(unwanted, "closed by the timer, without an answer");
    disconnect(line);
}

/* ---- requests ---- */

/* Decodes %XX as the library does. False: it would refuse the request itself. */
static bool decode(struct hb_text text, char *out, size_t size, struct hb_text *ret_text)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.bytes[i];

        if (c == '%') {
            char digits[3] = {0};
            char *end;

            if (i + 2 >= text.len)
                return false;
            memcpy(digits, text.bytes + i + 1, 2);
            c = (unsigned char)strtoul(digits, &end, 16);
            if (*end != '\0' || digits[0] == '+' || digits[0] == '-' || digits[0] == ' ')
                return false;
            i += 2;
        }
        if (c == '\0' || len + 1 >= size)
            return false;
        out[len++] = (char)c;
    }
    out[len] = '\0';
    *ret_text = (struct hb_text){out, len};
    return true;
}

static bool add_parameters(struct lws *wsi, struct hb_text query)
{
    while (query.bytes != NULL) {
        size_t len = 0;
        char text[1200];
        struct hb_text parameter;

        while (len < query.len && query.bytes[len] != '&' && query.bytes[len] != ';')
            len++;
        if (!decode((struct hb_text){query.bytes, len}, text, sizeof text, &parameter))
            return false;
        fake_lws_add_header(wsi, WSI_TOKEN_HTTP_URI_ARGS, parameter);
        query =
            len < query.len ? (struct hb_text){query.bytes + len + 1, query.len - len - 1} : (struct hb_text){NULL, 0};
    }
    return true;
}

static bool add_method(struct lws *wsi, struct request *request, struct hb_text path)
{
    static const struct {
        const char *name;
        enum lws_token_indexes token;
    } methods[] = {
        {"GET", WSI_TOKEN_GET_URI},       {"HEAD", WSI_TOKEN_HEAD_URI}, {"POST", WSI_TOKEN_POST_URI},
        {"DELETE", WSI_TOKEN_DELETE_URI}, {"PUT", WSI_TOKEN_PUT_URI},   {"OPTIONS", WSI_TOKEN_OPTIONS_URI},
        {"PATCH", WSI_TOKEN_PATCH_URI},
    };

    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (strcmp(methods[i].name, request->method) != 0)
            continue;
        fake_lws_add_header(wsi, methods[i].token, path);
        if (methods[i].token == WSI_TOKEN_HEAD_URI)
            fake_lws_add_header(wsi, WSI_TOKEN_GET_URI, path);
        return true;
    }
    return false;
}

/* The line `r`: the head begins. False: the library would not have let it through. */
static bool begin_head(struct fuzz_http *fuzz, struct line *line)
{
    struct request *request = &line->request;
    const char *question = fuzz->target.len > 0 ? memchr(fuzz->target.bytes, '?', fuzz->target.len) : NULL;
    struct hb_text path = fuzz->target, decoded, query = {NULL, 0};

    forget_request(line);
    fake_lws_clear_headers(line->wsi);
    hb_buf_clear(&line->wsi->out);
    if (question != NULL) {
        path.len = (size_t)(question - path.bytes);
        query = (struct hb_text){question + 1, fuzz->target.len - path.len - 1};
    }
    snprintf(request->method, sizeof request->method, "%.*s", (int)fuzz->method.len, fuzz->method.bytes);
    if (path.len == 0 || path.bytes[0] != '/' || !decode(path, request->path, sizeof request->path, &decoded) ||
        !add_method(line->wsi, request, decoded) || !add_parameters(line->wsi, query))
        return false;
    request->route = route_of(request);
    request->to_head = strcmp(request->method, "HEAD") == 0;
    request->changes = strcmp(request->method, "POST") == 0 || strcmp(request->method, "DELETE") == 0 ||
                       request->route == HEARTBEAT; /* by GET, too */
    request->plain_query = query.len == 0;
    if (fuzz->version.len > 0)
        fake_lws_add_header(line->wsi, WSI_TOKEN_HTTP, fuzz->version);
    line->wsi->keeps = hb_text_equal(fuzz->version, HB_TEXT("HTTP/1.1"));
    return true;
}

/* How much body follows in the script, for this connection. */
static size_t body_ahead(struct fuzz_input input)
{
    struct hb_text text;
    size_t bytes = 0;

    while (fuzz_line(&input, &text)) {
        struct hb_text verb = fuzz_word(&text);

        if (hb_text_equal(verb, HB_TEXT("b")))
            bytes += text.len;
        else if (hb_text_equal(verb, HB_TEXT("B")))
            bytes += fuzz_number(fuzz_word(&text), 20000);
        else if (hb_text_equal(verb, HB_TEXT("r")) || hb_text_equal(verb, HB_TEXT("c")))
            break;
    }
    return bytes;
}

static void add_length(struct fuzz_http *fuzz, struct lws *wsi)
{
    char text[24];
    size_t ahead = body_ahead(fuzz->line_on);

    if (fuzz->length_said || ahead == 0)
        return;
    snprintf(text, sizeof text, "%zu", ahead);
    fake_lws_add_header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, hb_text_of(text));
}

static void whole(struct fuzz_http *fuzz, struct line *line)
{
    if (line->request.allowed_count == 0)
        allow_answers(fuzz, &line->request, line->wsi);
}

/* The head is complete: the library calls back. */
static void end_head(struct fuzz_http *fuzz)
{
    struct line *line = fuzz->current;
    struct request *request = &line->request;
    struct lws *wsi = line->wsi;
    bool posts = strcmp(request->method, "GET") != 0 && strcmp(request->method, "HEAD") != 0;
    char text[64];
    int64_t length = -1;

    if (!fuzz->head_pending)
        return;
    fuzz->head_pending = false;
    add_length(fuzz, wsi);
    if (lws_hdr_copy(wsi, text, sizeof text, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0)
        length = atoll(text);
    allow_refusals(fuzz, request, wsi, length);
    if (length <= 0)
        whole(fuzz, line);
    request->begun = true;
    line->body_left = length > 0 ? (size_t)length : 0;
    if (!fuzz->pipelined)
        wsi->received += 200;
    fuzz_trace("%u: %s %s, %zu bytes of body", wsi->number, request->method, request->path, line->body_left);
    if (hb_exchange_begin(&line->http, wsi, fuzz->handler, hb_text_of(request->path)) != 0) {
        FUZZ_CHECK(fuzz->pipelined && (posts || length > 0), "closed without an answer");
        disconnect(line);
    } else if (length == 0 && posts) {
        FUZZ_CHECK(hb_exchange_body_end(&line->http) == 0, "closed without an answer"); /* the library says so, too */
    }
}

static void deliver(struct fuzz_http *fuzz, struct line *line, struct hb_text piece)
{
    char *copy;

    if (line->wsi == NULL || line->body_left == 0)
        return;
    if (piece.len > line->body_left)
        piece.len = line->body_left; /* what is behind it is another request */
    line->body_left -= piece.len;
    line->wsi->received += piece.len;
    if (!line->request.begun) /* answered already: the library reads it and drops it */
        return;
    hb_buf_append_text(&line->request.body, piece);
    copy = fuzz_copy(piece);
    FUZZ_CHECK(hb_exchange_piece(line->http.exchange, (struct hb_text){copy, piece.len}) == 0, "closed by a piece");
    free(copy);
    if (line->body_left > 0)
        return;
    whole(fuzz, line);
    FUZZ_CHECK(hb_exchange_body_end(&line->http) == 0, "closed by the end of the body");
}

static void start_request(struct fuzz_http *fuzz, struct hb_text words)
{
    struct line *line = fuzz->current;

    fuzz->method = fuzz_word(&words);
    fuzz->target = fuzz_word(&words);
    fuzz->version = words.len > 0 ? words : HB_TEXT("HTTP/1.1");
    connect_line(fuzz, line);
    read_all(fuzz, line); /* a client that waits for the answer before it asks again */
    connect_line(fuzz, line);
    if (line->request.begun || line->body_left > 0 || line->wsi->input_held)
        return;
    fuzz->length_said = fuzz->pipelined = false;
    fuzz->head_pending = begin_head(fuzz, line);
}

static void add_header(struct fuzz_http *fuzz, struct hb_text text)
{
    const char *colon = text.len > 0 ? memchr(text.bytes, ':', text.len) : NULL;
    struct hb_text name, value;
    int token;

    if (colon == NULL || !fuzz->head_pending)
        return;
    name = (struct hb_text){text.bytes, (size_t)(colon - text.bytes)};
    value = (struct hb_text){colon + 1, text.len - name.len - 1};
    while (value.len > 0 && value.bytes[0] == ' ')
        value = (struct hb_text){value.bytes + 1, value.len - 1};
    token = fake_lws_token(name);
    if (token < 0 || value.len == 0 || memchr(value.bytes, '\0', value.len) != NULL)
        return; /* an empty one counts as not sent */
    if (token == WSI_TOKEN_HTTP_CONTENT_LENGTH)
        fuzz->length_said = true;
    if (hb_text_equal(value, HB_TEXT("$E")) && fuzz->etag[0] != '\0')
        value = hb_text_of(fuzz->etag);
    fake_lws_add_header(fuzz->current->wsi, (enum lws_token_indexes)token, value);
}

/* ---- everything else ---- */

static void deliver_many(struct fuzz_http *fuzz, struct hb_text words)
{
    size_t len = fuzz_number(fuzz_word(&words), 20000);
    char *bytes = malloc(len + 1);

    memset(bytes, words.len > 0 ? words.bytes[0] : 'x', len + 1);
    deliver(fuzz, fuzz->current, (struct hb_text){bytes, len});
    free(bytes);
}

static void pass(struct fuzz_http *fuzz, int64_t ms)
{
    fuzz_trace("+%" PRId64 " ms", ms);
    world_pass(&fuzz->world, ms);
    fake_store_time(fuzz->store);
    for (size_t i = 0; i < LINES; i++) {
        struct line *line = &fuzz->lines[i];

        if (line->wsi != NULL && line->wsi->timer_at_ms <= fake_now.mono.ms)
            timer(fuzz, line);
        if (line->wsi != NULL && line->wsi->timeout_at_ms <= fake_now.mono.ms && line->request.begun)
            disconnect(line); /* a reader that does not read */
    }
}

static void add_large_workers(struct fuzz_http *fuzz)
{
    for (int worker = 0; worker < 8; worker++) {
        const struct hb_worker *unused;
        struct hb_buf json;

        hb_buf_init(&json, HB_BODY_BYTES_MAX);
        hb_buf_printf(&json, "{\"id\":\"large-%d\",\"attributes\":{", worker);
        for (int i = 0; i < 32; i++)
            hb_buf_printf(&json, "%s\"%d\":\"%0250d\"", i > 0 ? "," : "", i, worker * i);
        hb_buf_append_str(&json, "}}");
        if (hb_ingest_register(fuzz->world.ingest, (struct hb_text){json.bytes, json.len}, HB_TEXT("10.0.0.9"),
                               fake_now, &unused) != HB_OK)
            fuzz_trace("full");
        hb_buf_free(&json);
    }
}

static void operate(struct fuzz_http *fuzz, char verb, struct hb_text words)
{
    struct line *line = fuzz->current;

    switch (verb) {
    case 'c':
        fuzz->current = &fuzz->lines[fuzz_number(words, 1000) % LINES];
        break;
    case 'r':
        start_request(fuzz, words);
        break;
    case 'b':
        deliver(fuzz, line, words);
        break;
    case 'B':
        deliver_many(fuzz, words);
        break;
    case 'w':
        if (line->wsi != NULL && line->wsi->wants_write)
            writable(fuzz, line);
        break;
    case 'W':
        writable(fuzz, line);
        break;
    case 't':
        pass(fuzz, fuzz_number(words, 100000000));
        break;
    case 'u':
        if (line->wsi != NULL)
            line->wsi->unread = (int)fuzz_number(words, 100);
        break;
    case 'f':
        if (line->wsi != NULL)
            line->wsi->write_fails = true;
        break;
    case 'x':
        disconnect(line);
        break;
    case 's':
    case 'n':
        fake_store_batch(fuzz->store, verb == 's');
        break;
    case 'S':
        fake_store_set_state(fuzz->store, (enum hb_redis_state)(fuzz_number(words, 1000) % (HB_REDIS_FENCED + 1)));
        break;
    case 'q':
        fake_pool_run();
        break;
    case 'Q':
        fake_pool_refuse(true);
        break;
    case 'g':
        if (!fuzz->large)
            add_large_workers(fuzz);
        fuzz->large = true; /* once: they take long */
        break;
    case 'k':
        hb_http_api_stop(fuzz->api);
        fuzz->stopping = true;
        break;
    default:
        break;
    }
}

static void run(struct fuzz_http *fuzz)
{
    struct hb_text words;

    for (fuzz->line_on = fuzz->input; fuzz_line(&fuzz->input, &words); fuzz->line_on = fuzz->input) {
        struct hb_text verb = fuzz_word(&words);

        if (verb.len != 1)
            continue;
        if (verb.bytes[0] == 'h') {
            add_header(fuzz, words);
        } else if (verb.bytes[0] == 'p') {
            fuzz->pipelined = fuzz->head_pending;
        } else {
            end_head(fuzz);
            operate(fuzz, verb.bytes[0], words);
            world_check(&fuzz->world);
        }
    }
    end_head(fuzz);
}

/* In the end everyone reads, bodies that did not come are late, and nobody may be left without an answer. */
static void settle(struct fuzz_http *fuzz)
{
    fake_pool_run();
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < LINES; i++) {
            if (fuzz->lines[i].wsi != NULL)
                fuzz->lines[i].wsi->unread = 0;
            read_all(fuzz, &fuzz->lines[i]);
        }
        pass(fuzz, HB_BODY_TIME_MS + 2);
    }
    for (size_t i = 0; i < LINES; i++) {
        struct line *line = &fuzz->lines[i];

        FUZZ_CHECK(!line->request.begun, "%s %s was never answered", line->request.method, line->request.path);
        disconnect(line);
        hb_buf_free(&line->request.body);
    }
    world_check(&fuzz->world);
}

void fuzz_one(const uint8_t *data, size_t size)
{
    struct fuzz_http fuzz = {.input = {data, data + size}};
    struct hb_registry_rules rules = {.timeout_ms = 15000,
                                      .disconnect_grace_ms = 2000,
                                      .restart_grace_ms = 30000,
                                      .reap_after_ms = 60000,
                                      .max_workers = 12,
                                      .hash_seed = {1, 2}};

    world_init(&fuzz.world, &rules);
    fake_pool_refuse(false);
    fuzz.store = fake_store_new(fuzz.world.manager);
    fuzz.api = hb_http_api_new(NULL, fuzz.world.ingest, fuzz.store, ORIGIN);
    fuzz.handler = hb_http_api_handler(fuzz.api);
    fuzz.current = fuzz.lines;
    for (size_t i = 0; i < LINES; i++)
        forget_request(&fuzz.lines[i]);
    run(&fuzz);
    settle(&fuzz);
    fake_pool_run();
    hb_http_api_free(fuzz.api);
    fake_store_free(fuzz.store);
    world_free(&fuzz.world);
}
