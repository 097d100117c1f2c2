/*
 * libcurl tells which sockets and which timeout it waits for, and is told what happened to them; when a transfer is
 * over it says so in a queue (take_ended), which is read after each time it was told something. Requests end there and
 * in on_overtime, outside of libcurl's callbacks, so that handles may be removed and new requests begun.
 */
#include "manager/io/curl_loop.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "manager/app/list.h"
#include "proto/base/heap.h"
#include "proto/base/log.h"
#include "proto/base/time.h"

#define LATE_MS 250       /* a timer that fires later than this was held up by ourselves */
#define POOL_MAX 64       /* handles kept for the next request */
#define BODY_KEPT 8192    /* a body buffer beyond this goes back to the system */
#define RECEIVE_SIZE 4096 /* answers are short, and each request under way has such a buffer */

struct request {
    struct hb_heap_node overtime; /* the first member; when our own timer ends it */
    struct hb_link link;          /* in `running` or `pool` */
    struct hb_curl_loop *loop;
    CURL *easy;
    hb_curl_fn ended;
    void *self;
    struct hb_buf body;
    size_t head_len;
    int socket_error; /* errno of the last socket() that failed; 0 */
    bool blocked;     /* an address of it may not be polled */
    bool connecting;  /* another address of it may, and was tried */
    bool connected;   /* one of them was reached: known when its socket is closed */
    bool body_over;
    bool stalled; /* this process was away, or could not watch its socket: a timeout means nothing */
};

/* A socket of libcurl's under observation. */
struct watch {
    uv_poll_t poll; /* the first member */
    struct hb_curl_loop *loop;
    curl_socket_t fd;
};

struct hb_curl_loop {
    uv_timer_t timer;    /* libcurl's one timeout */
    uv_timer_t overtime; /* ours */
    uv_loop_t *uv;
    CURLM *multi;
    struct curl_slist *headers;
    struct hb_curl_config config;
    char *user_agent;
    struct hb_link running, pool;
    struct hb_heap deadlines;
    hb_mono_ms timer_due, overtime_due; /* HB_MONO_NEVER: not armed */
    uint32_t running_count, pool_count;
    unsigned handles; /* open at libuv: it may be freed when none is */
    bool closed;
};

/* ---- what an end means ---- */

/* libcurl 7.88 knows of a connection (CURLINFO_CONNECT_TIME_T) only after its TLS handshake: so on_close_socket looks.
 */
static enum hb_poll_outcome late_outcome(const struct request *request)
{
    curl_off_t resolved_us = 0;

    curl_easy_getinfo(request->easy, CURLINFO_NAMELOOKUP_TIME_T, &resolved_us);
    if (resolved_us == 0)
        return HB_POLL_UNRESOLVED;
    return request->connected ? HB_POLL_TIMED_OUT : HB_POLL_UNREACHABLE;
}

static enum hb_poll_outcome connect_outcome(const struct request *request)
{
    long error = 0;

    if (request->blocked && !request->connecting)
        return HB_POLL_BLOCKED;
    curl_easy_getinfo(request->easy, CURLINFO_OS_ERRNO, &error);
    return error == ECONNREFUSED ? HB_POLL_REFUSED : HB_POLL_UNREACHABLE;
}

static enum hb_poll_outcome outcome_of(const struct request *request, CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return HB_POLL_ANSWERED;
    case CURLE_WRITE_ERROR: /* we stopped it: the status is known, and the body too long to be read */
        return request->body_over ? HB_POLL_ANSWERED : HB_POLL_BROKEN;
    case CURLE_COULDNT_CONNECT:
        return connect_outcome(request);
    case CURLE_OPERATION_TIMEDOUT:
        return late_outcome(request);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_URL_MALFORMAT:
        return HB_POLL_UNRESOLVED;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_USE_SSL_FAILED:
        return HB_POLL_TLS_FAILED;
    default: /* half an answer too: nobody can tell what the other half would have been */
        return HB_POLL_BROKEN;
    }
}

static bool is_ours(const struct request *request, CURLcode code)
{
    if (code == CURLE_OUT_OF_MEMORY || code == CURLE_FAILED_INIT)
        return true;
    if (code == CURLE_COULDNT_CONNECT && !request->connecting && request->socket_error != 0)
        return true;
    return request->stalled && code == CURLE_OPERATION_TIMEDOUT;
}

static struct hb_curl_answer answer_of(const struct request *request, CURLcode code)
{
    struct hb_curl_answer answer = {.outcome = outcome_of(request, code), .ours = is_ours(request, code)};
    curl_off_t total_us = 0;
    long status = 0;

    curl_easy_getinfo(request->easy, CURLINFO_TOTAL_TIME_T, &total_us);
    answer.latency_us = total_us < UINT32_MAX ? (uint32_t)total_us : UINT32_MAX;
    if (answer.outcome != HB_POLL_ANSWERED)
        return answer;
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    answer.code = (uint16_t)status;
    if (!request->body_over)
        answer.body =
            request->body.bytes != NULL ? (struct hb_text){request->body.bytes, request->body.len} : HB_TEXT("");
    return answer;
}

/* ---- requests ---- */

static size_t on_head(char *bytes, size_t size, size_t count, void *data)
{
    struct request *request = data;

    request->head_len += size * count;
    (void)bytes;
    return request->head_len <= HB_CURL_HEAD_MAX ? size * count : 0;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *data)
{
    struct request *request = data;

    hb_buf_append(&request->body, bytes, size * count);
    if (hb_buf_status(&request->body) == HB_OK)
        return size * count;
    request->body_over = true;
    return 0;
}

static curl_socket_t on_open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct request *request = data;
    const struct hb_curl_config *config = &request->loop->config;
    int fd;

    (void)purpose;
    if (!config->may_connect(config->self, &address->addr)) {
        request->blocked = true;
        return CURL_SOCKET_BAD;
    }
    fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol);
    /* A machine without IPv6 is nobody's fault: then the name's other addresses are tried. */
    if (fd < 0 && errno != EAFNOSUPPORT)
        request->socket_error = errno;
    else if (fd >= 0)
        request->connecting = true;
    return fd >= 0 ? fd : CURL_SOCKET_BAD;
}

static int on_close_socket(void *data, curl_socket_t fd)
{
    struct request *request = data;
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;

    if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0)
        request->connected = true;
    return close(fd);
}

/* What holds for every request that this handle will make. */
static bool set_up(struct hb_curl_loop *loop, struct request *request)
{
    CURL *easy = request->easy;
    CURLcode bad = CURLE_OK;

#define SET(option, value) (bad = bad != CURLE_OK ? bad : curl_easy_setopt(easy, option, value))
    SET(CURLOPT_PRIVATE, request);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* else a resolver that hangs is waited for: the whole loop stood for 10 s */
    SET(CURLOPT_FRESH_CONNECT, 1L);
    SET(CURLOPT_FORBID_REUSE, 1L);
    SET(CURLOPT_DNS_CACHE_TIMEOUT, 0L); /* a container that comes back has another address; and looking through a
                                           long cache at each end costs more than resolving an address again */
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_CAPATH,
        NULL); /* the bundle alone is read once and kept (CURLOPT_CA_CACHE_TIMEOUT), folders never are */
    SET(CURLOPT_BUFFERSIZE, (long)RECEIVE_SIZE);
    SET(CURLOPT_USERAGENT, loop->user_agent);
    SET(CURLOPT_HTTPHEADER, loop->headers);
    SET(CURLOPT_HEADERFUNCTION, on_head);
    SET(CURLOPT_HEADERDATA, request);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, request);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    SET(CURLOPT_OPENSOCKETDATA, request);
    SET(CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    SET(CURLOPT_CLOSESOCKETDATA, request);
#undef SET
    return bad == CURLE_OK;
}

static void free_request(struct request *request)
{
    curl_easy_cleanup(request->easy);
    hb_buf_free(&request->body);
    free(request);
}

static struct request *new_request(struct hb_curl_loop *loop)
{
    struct request *request = calloc(1, sizeof *request);

    if (request == NULL)
        return NULL;
    request->loop = loop;
    request->overtime.place = HB_HEAP_OUTSIDE;
    hb_link_init(&request->link);
    hb_buf_init(&request->body, HB_CURL_BODY_MAX);
    request->easy = curl_easy_init();
    if (request->easy == NULL || !set_up(loop, request)) {
        free_request(request);
        return NULL;
    }
    return request;
}

static struct request *request_of(struct hb_link *link)
{
    return (struct request *)(void *)((char *)link - offsetof(struct request, link));
}

static struct request *take_request(struct hb_curl_loop *loop)
{
    struct request *request;

    if (hb_link_is_alone(&loop->pool))
        return new_request(loop);
    request = request_of(loop->pool.prev); /* used last: its memory is warm */
    hb_link_remove(&request->link);
    loop->pool_count--;
    return request;
}

static void give_back(struct hb_curl_loop *loop, struct request *request)
{
    if (loop->pool_count >= POOL_MAX || loop->closed) {
        free_request(request);
        return;
    }
    if (request->body.cap > BODY_KEPT)
        hb_buf_free(&request->body);
    hb_link_insert(&loop->pool, &request->link);
    loop->pool_count++;
}

static bool aim(struct request *request, const char *url, int64_t timeout_ms)
{
    static const char tcp[] = "tcp://", http[] = "http://";
    bool connect_only = strncmp(url, tcp, sizeof tcp - 1) == 0;
    CURLcode bad = CURLE_OK;

    if (connect_only) {
        struct hb_buf as_http;

        hb_buf_init(&as_http, sizeof http + strlen(url));
        hb_buf_append_str(&as_http, http);
        hb_buf_append_str(&as_http, url + sizeof tcp - 1);
        bad = hb_buf_status(&as_http) == HB_OK ? curl_easy_setopt(request->easy, CURLOPT_URL, as_http.bytes)
                                               : CURLE_OUT_OF_MEMORY;
        hb_buf_free(&as_http);
    } else {
        bad = curl_easy_setopt(request->easy, CURLOPT_URL, url);
    }
    curl_easy_setopt(request->easy, CURLOPT_CONNECT_ONLY, connect_only ? 1L : 0L);
    curl_easy_setopt(request->easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(request->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)timeout_ms);
    return bad == CURLE_OK;
}

/* ---- ends ---- */

static void arm_overtime(struct hb_curl_loop *loop);

static void end_request(struct request *request, CURLcode code)
{
    struct hb_curl_loop *loop = request->loop;
    struct hb_curl_answer answer;

    curl_multi_remove_handle(loop->multi, request->easy); /* its socket is closed by now */
    answer = answer_of(request, code);
    hb_heap_remove(&loop->deadlines, &request->overtime);
    hb_link_remove(&request->link);
    loop->running_count--;
    request->ended(request->self, &answer);
    give_back(loop, request);
}

/* What libcurl says is over. The callbacks may begin new requests; those end in another turn. */
static void take_ended(struct hb_curl_loop *loop)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(loop->multi, &left)) != NULL) {
        CURLcode code = message->data.result; /* the message goes with the handle */
        struct request *request = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&request);
        end_request(request, code);
    }
    arm_overtime(loop);
}

/* ---- absence ---- */

/*
 * libcurl ends what is past its timeout before it looks at what has arrived. After a pause of our own that would be
 * said of services that answered in time; so a timer that was due long ago marks everything that is under way.
 */
static void notice_absence(struct hb_curl_loop *loop)
{
    hb_mono_ms due = hb_mono_earlier(loop->timer_due, loop->overtime_due);

    if (due.ms == HB_MONO_NEVER.ms || hb_mono_between(due, hb_mono_now()) <= LATE_MS)
        return;
    for (struct hb_link *link = loop->running.next; link != &loop->running; link = link->next)
        request_of(link)->stalled = true;
}

static void tell(struct hb_curl_loop *loop, curl_socket_t fd, int events)
{
    int running;

    notice_absence(loop);
    if (fd == CURL_SOCKET_TIMEOUT)
        loop->timer_due = HB_MONO_NEVER;
    curl_multi_socket_action(loop->multi, fd, events, &running);
    take_ended(loop);
}

/* ---- timers ---- */

static hb_mono_ms start_timer(struct hb_curl_loop *loop, uv_timer_t *timer, uv_timer_cb callback, int64_t delay_ms)
{
    uv_update_time(loop->uv); /* libuv counts from the start of the loop's turn, which may be long ago */
    uv_timer_start(timer, callback, (uint64_t)delay_ms, 0);
    return hb_mono_add(hb_mono_now(), delay_ms);
}

static void on_timer(uv_timer_t *timer)
{
    tell(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

/* libcurl asks for it from inside any of its functions: so even a timeout of 0 only comes with the next turn. */
static int on_timeout_asked(CURLM *multi, long timeout_ms, void *data)
{
    struct hb_curl_loop *loop = data;

    (void)multi;
    if (loop->closed)
        return 0;
    if (timeout_ms >= 0) {
        loop->timer_due = start_timer(loop, &loop->timer, on_timer, timeout_ms);
        return 0;
    }
    loop->timer_due = HB_MONO_NEVER;
    uv_timer_stop(&loop->timer);
    return 0;
}

/* libcurl should have ended these itself. */
static void on_overtime(uv_timer_t *timer)
{
    struct hb_curl_loop *loop = timer->data;
    hb_mono_ms now = hb_mono_now();

    notice_absence(loop);
    loop->overtime_due = HB_MONO_NEVER;
    for (;;) {
        struct request *request = (struct request *)hb_heap_min(&loop->deadlines); /* its first member */

        if (request == NULL || request->overtime.key > now.ms)
            break;
        if (!request->stalled)
            hb_log(HB_LOG_WARN, "curl_overtime", HB_LI("under_way", loop->running_count));
        end_request(request, CURLE_OPERATION_TIMEDOUT);
    }
    arm_overtime(loop);
}

static void arm_overtime(struct hb_curl_loop *loop)
{
    const struct hb_heap_node *first = hb_heap_min(&loop->deadlines);
    hb_mono_ms now;

    if (first == NULL) {
        loop->overtime_due = HB_MONO_NEVER;
        uv_timer_stop(&loop->overtime);
        return;
    }
    if (loop->overtime_due.ms <= first->key)
        return; /* fires early enough, and then finds nothing to do */
    now = hb_mono_now();
    loop->overtime_due = start_timer(loop, &loop->overtime, on_overtime, first->key > now.ms ? first->key - now.ms : 0);
}

/* ---- sockets ---- */

static void release(struct hb_curl_loop *loop)
{
    if (!loop->closed || loop->handles > 0)
        return;
    hb_heap_free(&loop->deadlines);
    curl_slist_free_all(loop->headers);
    free(loop->user_agent);
    free(loop);
    curl_global_cleanup();
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *watch = (struct watch *)handle; /* its first member */
    struct hb_curl_loop *loop = watch->loop;

    free(watch);
    loop->handles--;
    release(loop);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = (struct watch *)poll; /* its first member */
    int flags = status < 0 ? CURL_CSELECT_ERR : 0;

    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    tell(watch->loop, watch->fd, flags); /* the watch may be gone after it */
}

static struct watch *new_watch(struct hb_curl_loop *loop, curl_socket_t fd)
{
    struct watch *watch = calloc(1, sizeof *watch);

    if (watch == NULL)
        return NULL;
    if (uv_poll_init(loop->uv, &watch->poll, fd) != 0) {
        free(watch);
        return NULL;
    }
    watch->loop = loop;
    watch->fd = fd;
    loop->handles++;
    curl_multi_assign(loop->multi, fd, watch);
    return watch;
}

static int on_socket_asked(CURL *easy, curl_socket_t fd, int what, void *data, void *socket_data)
{
    struct hb_curl_loop *loop = data;
    struct watch *watch = socket_data;
    struct request *request;
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);

    if (what == CURL_POLL_REMOVE) {
        if (watch != NULL)
            uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
        return 0;
    }
    if (watch == NULL)
        watch = new_watch(loop, fd);
    if (watch != NULL)
        uv_poll_start(&watch->poll, events, on_ready);
    else if (curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&request) == CURLE_OK)
        request->stalled = true; /* nothing will be heard of this socket: it ends in its timeout */
    return 0;
}

/* ---- life ---- */

static bool open_multi(struct hb_curl_loop *loop)
{
    loop->multi = curl_multi_init();
    if (loop->multi == NULL)
        return false;
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, on_socket_asked);
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, on_timeout_asked);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    curl_multi_setopt(loop->multi, CURLMOPT_MAXCONNECTS, (long)loop->config.concurrency);
    return true;
}

struct hb_curl_loop *hb_curl_loop_new(struct uv_loop_s *uv, const struct hb_curl_config *config)
{
    struct hb_curl_loop *loop = calloc(1, sizeof *loop);

    if (loop == NULL)
        return NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(loop);
        return NULL;
    }
    loop->uv = uv;
    loop->config = *config;
    loop->user_agent = strdup(config->user_agent);
    loop->headers = curl_slist_append(NULL, "Connection: close");
    hb_link_init(&loop->running);
    hb_link_init(&loop->pool);
    hb_heap_init(&loop->deadlines);
    loop->timer_due = loop->overtime_due = HB_MONO_NEVER;
    uv_timer_init(uv, &loop->timer);
    uv_timer_init(uv, &loop->overtime);
    loop->timer.data = loop->overtime.data = loop;
    loop->handles = 2;
    if (loop->user_agent == NULL || loop->headers == NULL || !open_multi(loop)) {
        hb_curl_loop_close(loop);
        return NULL;
    }
    return loop;
}

enum hb_err hb_curl_start(struct hb_curl_loop *loop, const char *url, int64_t timeout_ms, hb_curl_fn ended, void *self)
{
    struct request *request;

    if (loop->closed || hb_heap_reserve(&loop->deadlines, loop->deadlines.count + 1) != HB_OK)
        return HB_ERR_NO_MEMORY;
    request = take_request(loop);
    if (request == NULL)
        return HB_ERR_NO_MEMORY;
    request->ended = ended;
    request->self = self;
    hb_buf_clear(&request->body);
    request->head_len = 0;
    request->socket_error = 0;
    request->blocked = request->connecting = request->connected = request->body_over = request->stalled = false;
    if (!aim(request, url, timeout_ms) || curl_multi_add_handle(loop->multi, request->easy) != CURLM_OK) {
        free_request(request);
        return HB_ERR_NO_MEMORY;
    }
    hb_link_insert(&loop->running, &request->link);
    loop->running_count++;
    hb_heap_set(&loop->deadlines, &request->overtime, hb_mono_add(hb_mono_now(), timeout_ms + HB_CURL_OVERTIME_MS).ms);
    arm_overtime(loop);
    return HB_OK;
}

size_t hb_curl_under_way(const struct hb_curl_loop *loop)
{
    return loop->running_count;
}

static void free_all(struct hb_curl_loop *loop, struct hb_link *requests)
{
    while (!hb_link_is_alone(requests)) {
        struct request *request = request_of(requests->next);

        hb_link_remove(&request->link);
        if (requests == &loop->running)
            curl_multi_remove_handle(loop->multi, request->easy);
        free_request(request);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct hb_curl_loop *loop = handle->data;

    loop->handles--;
    release(loop);
}

void hb_curl_loop_close(struct hb_curl_loop *loop)
{
    loop->closed = true;
    free_all(loop, &loop->running);
    free_all(loop, &loop->pool);
    loop->running_count = loop->pool_count = 0;
    curl_multi_cleanup(loop->multi);
    loop->multi = NULL;
    uv_close((uv_handle_t *)&loop->timer, on_timer_closed);
    uv_close((uv_handle_t *)&loop->overtime, on_timer_closed);
}
