#include "manager/io/http_api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "manager/io/http_head.h"
#include "manager/io/peer.h"
#include "proto/wire/codec.h"

/*
 * Most bytes that all listings together may hold: the one that is current, and older ones that slow readers have not
 * taken yet. One alone may be larger. Beyond that GET /workers is refused until readers have read, or were cut off.
 */
#define LISTINGS_BYTES_MAX ((size_t)256 << 20)

struct hb_http_api {
    struct hb_ingest *ingest;
    struct hb_redis_store *store;
    const char *allowed_origins;
    bool stopping;
    struct hb_exchange_handler handler;
    struct hb_shared_body *listing; /* GET /workers as of listing_version; NULL none */
    uint64_t listing_version;
    size_t listings_bytes; /* of all versions that somebody still reads */
};

struct route {
    const char *pattern; /* "*" stands for one path segment, the worker's id */
    const char *allow;   /* as the Allow header says it */
    void (*answer)(struct hb_http_api *api, struct hb_exchange *exchange, struct hb_text id);
};

static struct hb_registry *registry_of(const struct hb_http_api *api)
{
    return hb_manager_registry(hb_ingest_manager(api->ingest));
}

/* ---- errors ---- */

static void answer_failure(struct hb_http_api *api, struct hb_exchange *exchange, enum hb_err err)
{
    const char *sentence = hb_ingest_error(api->ingest);

    switch (err) {
    case HB_ERR_SYNTAX:
        hb_exchange_answer_error(exchange, 400, NULL, sentence);
        break;
    case HB_ERR_SHAPE:
    case HB_ERR_INVALID:
        hb_exchange_answer_error(exchange, 422, NULL, sentence);
        break;
    case HB_ERR_UNKNOWN:
        hb_exchange_answer_error(exchange, 404, NULL, sentence);
        break;
    case HB_ERR_REFUSED:
    case HB_ERR_CONFLICT:
    case HB_ERR_STALE:
        hb_exchange_answer_error(exchange, 409, NULL, sentence);
        break;
    case HB_ERR_FULL:
    case HB_ERR_NO_MEMORY:
        hb_exchange_answer_error(exchange, 503, "Retry-After: 5\r\n", sentence);
        break;
    default:
        hb_exchange_answer_error(exchange, 500, NULL, sentence);
        break;
    }
}

/* ---- POST /register ---- */

/* A registration whose answer waits for Redis. */
struct pending_answer {
    struct hb_exchange *exchange;
    struct hb_persist_ticket *ticket;
    int64_t timeout_ms;
    size_t id_len;
    char id[HB_ID_MAX];
};

static void answer_registered(struct pending_answer *pending, bool persisted)
{
    struct hb_buf json;

    hb_buf_init(&json, HB_BODY_BYTES_MAX);
    hb_encode_register_answer(&json, (struct hb_text){pending->id, pending->id_len}, pending->timeout_ms, persisted);
    hb_buf_append_char(&json, '\n');
    hb_exchange_answer_buf(pending->exchange, 200, NULL, &json);
    free(pending);
}

static void on_persisted(void *self, bool persisted)
{
    answer_registered(self, persisted);
}

static void on_abandoned(void *self)
{
    struct pending_answer *pending = self;

    hb_persist_ticket_cancel(pending->ticket);
    free(pending);
}

static void answer_register(struct hb_http_api *api, struct hb_exchange *exchange, struct hb_text unused)
{
    char peer[HB_PEER_TEXT_SIZE];
    struct pending_answer *pending = calloc(1, sizeof *pending);
    const struct hb_worker *worker = NULL;
    enum hb_err err;

    (void)unused;
    if (pending == NULL) {
        hb_exchange_answer_error(exchange, 503, "Retry-After: 1\r\n", "out of memory");
        return;
    }
    err = hb_ingest_register(api->ingest, hb_exchange_body(exchange), hb_peer_host(hb_exchange_wsi(exchange), peer),
                             hb_moment_now(), &worker);
    if (err != HB_OK) {
        free(pending);
        answer_failure(api, exchange, err);
        return;
    }
    pending->exchange = exchange;
    pending->timeout_ms = worker->timeout_ms;
    pending->id_len = worker->id_len;
    memcpy(pending->id, worker->id, worker->id_len);
    pending->ticket = hb_redis_store_await(api->store, (struct hb_text){pending->id, pending->id_len},
                                           HB_PERSIST_WAIT_MS, on_persisted, pending);
    if (pending->ticket == NULL)
        answer_registered(pending, false);
    else
        hb_exchange_on_abandon(exchange, on_abandoned, pending);
}

/* ---- workers ---- */

static void write_listing(const struct hb_http_api *api, struct hb_buf *buf)
{
    const struct hb_registry *registry = registry_of(api);
    bool first = true;

    hb_buf_append_char(buf, '{');
    for (size_t i = 0; i < hb_registry_count(registry); i++) {
        const struct hb_worker *worker = hb_registry_at(registry, i);
        struct hb_text row = hb_mirror_row(worker);

        if (row.bytes == NULL)
            continue;
        hb_buf_append_str(buf, first ? "\n\"" : ",\n\"");
        hb_buf_append(buf, worker->id, worker->id_len); /* its characters need no escape */
        hb_buf_append_str(buf, "\":");
        hb_buf_append_text(buf, row);
        first = false;
    }
    hb_buf_append_str(buf, first ? "}\n" : "\n}\n");
}

static void answer_listing(struct hb_http_api *api, struct hb_exchange *exchange, struct hb_text unused)
{
    uint64_t version = hb_mirror_version(hb_manager_mirror(hb_ingest_manager(api->ingest)));
    struct hb_buf buf;

    (void)unused;
    if (api->listing == NULL || api->listing_version != version) {
        hb_shared_body_drop(api->listing);
        api->listing = NULL;
        if (api->listings_bytes > LISTINGS_BYTES_MAX) {
            hb_exchange_answer_error(exchange, 503, "Retry-After: 5\r\n", "too many slow readers hold older listings");
            return;
        }
        hb_buf_init(&buf, SIZE_MAX / 2);
        write_listing(api, &buf);
        api->listing = hb_buf_status(&buf) == HB_OK ? hb_shared_body_new(&buf, &api->listings_bytes) : NULL;
        api->listing_version = version;
        hb_buf_free(&buf);
    }
    if (api->listing == NULL) {
        hb_exchange_answer_error(exchange, 503, "Retry-After: 1\r\n", "out of memory");
        return;
    }
    hb_exchange_answer(exchange, 200, "application/json; charset=utf-8", NULL, hb_shared_body_keep(api->listing));
}

static void answer_not_known(struct hb_exchange *exchange, struct hb_text id)
{
    char sentence[128];

    snprintf(sentence, sizeof sentence, "worker %.*s is not known", (int)id.len, id.bytes);
    hb_exchange_answer_error(exchange, 404, NULL, sentence);
}

static void answer_row(struct hb_http_api *api, struct hb_exchange *exchange, struct hb_text id)
{
    const struct hb_worker *worker = hb_registry_find(registry_of(api), id);
    struct hb_buf json;

    if (worker == NULL) {
        answer_not_known(exchange, id);
        return;
    }
    hb_buf_init(&json, HB_ROW_BYTES_MAX + 1);
    hb_buf_append_text(&json, hb_mirror_row(worker));
    hb_buf_append_char(&json, '\n');
    hb_exchange_answer_buf(exchange, 200, NULL, &json);
}

static void answer_done(struct hb_exchange *exchange, struct hb_text id)
{
    struct hb_buf json;

    hb_buf_init(&json, HB_BODY_BYTES_MAX);
    hb_buf_append_str(&json, "{\"status\":\"success\",\"worker_id\":");
    hb_buf_append_json(&json, id);
    hb_buf_append_str(&json, "}\n");
    hb_exchange_answer_buf(exchange, 200, NULL, &json);
}

static void answer_worker(struct hb_http_api *api, struct hb_exchange *exchange, struct hb_text id)
{
    enum hb_err err;

    if (hb_exchange_method(exchange) != HB_HTTP_DELETE) {
        answer_row(api, exchange, id);
        return;
    }
    err = hb_ingest_remove(api->ingest, id, hb_moment_now());
    if (err == HB_ERR_UNKNOWN)
        answer_not_known(exchange, id);
    else if (err != HB_OK)
        answer_failure(api, exchange, err);
    else
        answer_done(exchange, id);
}

static void answer_heartbeat(struct hb_http_api *api, struct hb_exchange *exchange, struct hb_text id)
{
    char peer[HB_PEER_TEXT_SIZE];
    struct hb_text body = hb_exchange_body(exchange);
    enum hb_err err;

    if (body.len > HB_BEAT_BYTES_MAX) {
        hb_exchange_answer_error(exchange, 413, NULL, "body: a heartbeat is at most 4096 bytes");
        return;
    }
    err = hb_ingest_beat(api->ingest, id, NULL, body, hb_peer_host(hb_exchange_wsi(exchange), peer), hb_moment_now());
    if (err != HB_OK)
        answer_failure(api, exchange, err);
    else
        answer_done(exchange, id);
}

/* ---- the manager itself ---- */

static void answer_live(struct hb_http_api *api, struct hb_exchange *exchange, struct hb_text unused)
{
    struct hb_buf json;

    (void)api;
    (void)unused;
    hb_buf_init(&json, HB_BODY_BYTES_MAX);
    hb_buf_append_str(&json, "{\"status\":\"ok\"}\n");
    hb_exchange_answer_buf(exchange, 200, NULL, &json);
}

static void answer_ready(struct hb_http_api *api, struct hb_exchange *exchange, struct hb_text unused)
{
    enum hb_redis_state state = hb_redis_store_state(api->store);
    bool ready = state == HB_REDIS_IN_STEP && hb_redis_store_loaded(api->store);
    struct hb_buf json;

    (void)unused;
    hb_buf_init(&json, HB_BODY_BYTES_MAX);
    hb_buf_printf(&json, "{\"status\":\"%s\",\"redis\":\"%s\"}\n", ready ? "ok" : "error",
                  hb_redis_store_state_text(state));
    hb_exchange_answer_buf(exchange, ready ? 200 : 503, ready ? NULL : "Retry-After: 1\r\n", &json);
}

static void answer_root(struct hb_http_api *api, struct hb_exchange *exchange, struct hb_text unused)
{
    struct hb_buf json;

    (void)unused;
    hb_buf_init(&json, HB_BODY_BYTES_MAX);
    hb_buf_printf(&json, "{\"message\":\"Heartbeat Manager\",\"version\":\"%s\",\"workers\":%zu}\n", HB_VERSION,
                  hb_registry_count(registry_of(api)));
    hb_exchange_answer_buf(exchange, 200, NULL, &json);
}

/* ---- routing ---- */

static const struct route routes[] = {
    {"/", "GET, HEAD", answer_root},
    {"/register", "POST", answer_register},
    {"/workers", "GET, HEAD", answer_listing},
    {"/workers/*", "GET, HEAD, DELETE", answer_worker},
    {"/workers/*/heartbeat", "GET, POST", answer_heartbeat},
    {"/livez", "GET, HEAD", answer_live},
    {"/healthz", "GET, HEAD", answer_live},
    {"/readyz", "GET, HEAD", answer_ready},
};

/* Whether the path fits the pattern; the segment at "*" becomes *ret_id. */
static bool fits(const char *pattern, struct hb_text path, struct hb_text *ret_id)
{
    const char *at = path.bytes;
    const char *end = path.bytes + path.len;

    for (; *pattern != '\0'; pattern++) {
        if (*pattern == '*') {
            const char *slash = memchr(at, '/', (size_t)(end - at));
            const char *stop = slash != NULL ? slash : end;

            *ret_id = (struct hb_text){at, (size_t)(stop - at)};
            at = stop;
        } else if (at == end || *at++ != *pattern) {
            return false;
        }
    }
    return at == end;
}

static const struct route *find_route(struct hb_text path, struct hb_text *ret_id)
{
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        *ret_id = (struct hb_text){"", 0};
        if (fits(routes[i].pattern, path, ret_id))
            return &routes[i];
    }
    return NULL;
}

static bool allowed(const struct route *route, enum hb_http_method method)
{
    static const char *const names[] = {
        [HB_HTTP_GET] = "GET", [HB_HTTP_HEAD] = "HEAD", [HB_HTTP_POST] = "POST", [HB_HTTP_DELETE] = "DELETE"};

    return method != HB_HTTP_OTHER && strstr(route->allow, names[method]) != NULL;
}

static bool is_json(struct hb_text type)
{
    static const char json[] = "application/json";

    return type.bytes == NULL || (type.len >= sizeof json - 1 && strncasecmp(type.bytes, json, sizeof json - 1) == 0 &&
                                  (type.len == sizeof json - 1 || strchr("; \t", type.bytes[sizeof json - 1]) != NULL));
}

static void refuse_stopping(struct hb_exchange *exchange)
{
    hb_exchange_close_after(exchange);
    hb_exchange_answer_error(exchange, 503, "Retry-After: 1\r\n", "the manager is stopping");
}

static void refuse_method(struct hb_exchange *exchange, const struct route *route)
{
    char allow[64];
    char sentence[96];

    snprintf(allow, sizeof allow, "Allow: %s\r\n", route->allow);
    snprintf(sentence, sizeof sentence, "method: this path takes %s", route->allow);
    hb_exchange_answer_error(exchange, 405, allow, sentence);
}

/* What changes something must not come from a page of somebody else's that a browser happens to show. */
static void admit_change(const struct hb_http_api *api, struct hb_exchange *exchange)
{
    char type[64];

    if (!hb_head_origin_allowed(hb_exchange_wsi(exchange), api->allowed_origins))
        hb_exchange_answer_error(exchange, 403, NULL, "Origin: must be this host or one of ALLOWED_ORIGINS");
    else if (!is_json(hb_exchange_content_type(exchange, type, sizeof type)))
        hb_exchange_answer_error(exchange, 415, NULL,
                                 "Content-Type: must be application/json (curl -H 'Content-Type: application/json')");
}

/* Everything that can be refused without the body. */
static void admit(void *self, struct hb_exchange *exchange)
{
    const struct hb_http_api *api = self;
    struct hb_text id;
    const struct route *route = find_route(hb_exchange_path(exchange), &id);

    if (api->stopping && (route == NULL || route->answer != answer_live)) {
        refuse_stopping(exchange);
    } else if (route == NULL) {
        hb_exchange_answer_error(exchange, 404, NULL, "path: there is nothing here; GET /workers lists the workers");
    } else if (!allowed(route, hb_exchange_method(exchange))) {
        refuse_method(exchange, route);
    } else if (hb_exchange_method(exchange) == HB_HTTP_POST || hb_exchange_method(exchange) == HB_HTTP_DELETE) {
        admit_change(api, exchange);
    }
}

static void handle(void *self, struct hb_exchange *exchange)
{
    const struct hb_http_api *api = self;
    struct hb_text id;
    const struct route *route = find_route(hb_exchange_path(exchange), &id);

    if (api->stopping && route->answer != answer_live) /* its body came after the signal */
        refuse_stopping(exchange);
    else if (route->pattern[strcspn(route->pattern, "*")] == '*' && !hb_id_valid(id))
        hb_exchange_answer_error(exchange, 422, NULL, "worker id: must be 1 to 64 characters of A-Z a-z 0-9 . _ : -");
    else
        route->answer(self, exchange, id);
}

struct hb_http_api *hb_http_api_new(struct hb_ingest *ingest, struct hb_redis_store *store, const char *allowed_origins)
{
    struct hb_http_api *api = calloc(1, sizeof *api);

    if (api == NULL)
        return NULL;
    api->ingest = ingest;
    api->store = store;
    api->allowed_origins = allowed_origins;
    api->handler = (struct hb_exchange_handler){.self = api, .admit = admit, .handle = handle};
    return api;
}

void hb_http_api_stop(struct hb_http_api *api)
{
    api->stopping = true;
}

void hb_http_api_free(struct hb_http_api *api)
{
    if (api == NULL)
        return;
    hb_shared_body_drop(api->listing);
    free(api);
}

const struct hb_exchange_handler *hb_http_api_handler(struct hb_http_api *api)
{
    return &api->handler;
}
