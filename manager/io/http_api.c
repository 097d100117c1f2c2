#include "manager/io/http_api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "manager/io/http_head.h"
#include "manager/io/http_listing.h"
#include "manager/io/http_register.h"
#include "manager/io/http_worker.h"

struct hb_http_api {
    struct hb_ingest *ingest;
    struct hb_redis_store *store;
    const char *allowed_origins;
    bool stopping;
    struct hb_exchange_handler handler;
    struct hb_documents *documents;
    struct hb_http_listing *listing;
    struct hb_http_metrics *metrics;
};

struct route {
    const char *pattern; /* "*" stands for one path segment, the worker's id */
    const char *allow;   /* as the Allow header says it */
    void (*answer)(struct hb_http_api *api, struct hb_exchange *exchange, struct hb_text id);
};

/* ---- workers ---- */

static void answer_register(struct hb_http_api *api, struct hb_exchange *exchange, struct hb_text unused)
{
    (void)unused;
    hb_http_register_answer(api->ingest, api->store, exchange);
}

static void answer_listing(struct hb_http_api *api, struct hb_exchange *exchange, struct hb_text unused)
{
    (void)unused;
    hb_http_listing_answer(api->listing, exchange);
}

static void answer_worker(struct hb_http_api *api, struct hb_exchange *exchange, struct hb_text id)
{
    hb_http_worker_answer(api->ingest, api->documents, exchange, id);
}

static void answer_heartbeat(struct hb_http_api *api, struct hb_exchange *exchange, struct hb_text id)
{
    hb_http_heartbeat_answer(api->ingest, exchange, id);
}

static void answer_timeline(struct hb_http_api *api, struct hb_exchange *exchange, struct hb_text id)
{
    hb_http_timeline_answer(api->ingest, api->documents, exchange, id);
}

static void answer_maintenance(struct hb_http_api *api, struct hb_exchange *exchange, struct hb_text id)
{
    hb_http_maintenance_answer(api->ingest, exchange, id);
}

/* ---- for Prometheus and the like ---- */

static void answer_metrics(struct hb_http_api *api, struct hb_exchange *exchange, struct hb_text unused)
{
    (void)unused;
    hb_http_metrics_answer(api->metrics, exchange);
}

static void answer_targets(struct hb_http_api *api, struct hb_exchange *exchange, struct hb_text unused)
{
    (void)unused;
    hb_http_targets_answer(api->metrics, exchange);
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
                  hb_registry_count(hb_manager_registry(hb_ingest_manager(api->ingest))));
    hb_exchange_answer_buf(exchange, 200, NULL, &json);
}

/* ---- routing ---- */

static const struct route routes[] = {
    {"/", "GET, HEAD", answer_root},
    {"/register", "POST", answer_register},
    {"/workers", "GET, HEAD", answer_listing},
    {"/workers/*", "GET, HEAD, DELETE", answer_worker},
    {"/workers/*/heartbeat", "GET, POST", answer_heartbeat},
    {"/workers/*/timeline", "GET, HEAD", answer_timeline},
    {"/workers/*/maintenance", "POST, DELETE", answer_maintenance},
    {"/metrics", "GET, HEAD", answer_metrics},
    {"/sd/prometheus", "GET, HEAD", answer_targets},
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

/* Parameters may stand behind it. */
static bool is_json(struct hb_text type)
{
    static const char json[] = "application/json";
    size_t len = sizeof json - 1;

    if (type.bytes == NULL)
        return true;
    if (type.len < len || strncasecmp(type.bytes, json, len) != 0)
        return false;
    len += strspn(type.bytes + len, " \t");
    return len == type.len || type.bytes[len] == ';';
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

/* A heartbeat by GET is one as well. */
static bool changes_something(const struct route *route, enum hb_http_method method)
{
    return method == HB_HTTP_POST || method == HB_HTTP_DELETE || route->answer == answer_heartbeat;
}

/* What changes something must not come from a page of somebody else's that a browser happens to show. */
static void admit_change(const struct hb_http_api *api, struct hb_exchange *exchange)
{
    char type[64];

    if (!hb_head_origin_allowed(hb_exchange_wsi(exchange), api->allowed_origins))
        hb_exchange_answer_error(exchange, 403, NULL, "Origin: must be this host or one of ALLOWED_ORIGINS");
    else if (hb_head_repeated(hb_exchange_wsi(exchange), WSI_TOKEN_HTTP_CONTENT_TYPE) ||
             !is_json(hb_exchange_content_type(exchange, type, sizeof type)))
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
    } else if (changes_something(route, hb_exchange_method(exchange))) {
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

struct hb_http_api *hb_http_api_new(struct uv_loop_s *loop, struct hb_ingest *ingest, struct hb_redis_store *store,
                                    const char *allowed_origins)
{
    struct hb_http_api *api = calloc(1, sizeof *api);

    if (api == NULL)
        return NULL;
    api->ingest = ingest;
    api->store = store;
    api->allowed_origins = allowed_origins;
    api->handler = (struct hb_exchange_handler){.self = api, .admit = admit, .handle = handle};
    api->documents = hb_documents_new(loop);
    api->listing = api->documents != NULL ? hb_http_listing_new(hb_ingest_manager(ingest), api->documents) : NULL;
    api->metrics = api->listing != NULL ? hb_http_metrics_new(hb_ingest_manager(ingest), store, api->documents) : NULL;
    if (api->metrics != NULL)
        return api;
    hb_http_api_free(api);
    return NULL;
}

void hb_http_api_configure_metrics(struct hb_http_api *api, const struct hb_http_metrics_config *config)
{
    hb_http_metrics_configure(api->metrics, config);
}

void hb_http_api_stop(struct hb_http_api *api)
{
    api->stopping = true;
}

void hb_http_api_free(struct hb_http_api *api)
{
    if (api == NULL)
        return;
    hb_http_metrics_free(api->metrics);
    hb_http_listing_free(api->listing);
    hb_documents_free(api->documents);
    free(api);
}

const struct hb_exchange_handler *hb_http_api_handler(struct hb_http_api *api)
{
    return &api->handler;
}
