/*
 * libcurl tells which sockets and which timeout it waits for, and is told what happened to them; when a transfer is
 * over it says so in a queue (take_ended), which is read after each time it was told something. Requests end there and
 * in on_overtime, outside of libcurl's callbacks, so that handles may be removed and new requests begun.
 */
#include "manager/io/curl_loop.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "manager/io/curl_request.h"
#include "proto/base/log.h"
#include "proto/base/time.h"

#define LATE_MS 250    /* a timer that fires later than this was held up by ourselves */
#define POOL_MAX 64    /* handles kept for the next request */
#define BODY_KEPT 8192 /* a body buffer beyond this goes back to the system */

/* Descriptors that looking up a name may take: of libcurl's pair, and of files and sockets of the C library. */
#define LOOKUP_DESCRIPTORS 4
#define SPARE_MOST 64 /* so many free ones are enough, however many names are looked up */

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

/* ---- handles, kept from one request to the next ---- */

static struct hb_curl_request *request_of(struct hb_link *link)
{
    return (struct hb_curl_request *)(void *)((char *)link - offsetof(struct hb_curl_request, link));
}

static struct hb_curl_request *take_request(struct hb_curl_loop *loop)
{
    struct hb_curl_request *request;

    if (hb_link_is_alone(&loop->pool))
        return hb_curl_request_new(&loop->config, loop->headers);
    request = request_of(loop->pool.prev); /* used last: its memory is warm */
    hb_link_remove(&request->link);
    loop->pool_count--;
    return request;
}

static void give_back(struct hb_curl_loop *loop, struct hb_curl_request *request)
{
    if (loop->pool_count >= POOL_MAX || loop->closed) {
        hb_curl_request_free(request);
        return;
    }
    if (request->body.cap > BODY_KEPT)
        hb_buf_free(&request->body);
    hb_link_insert(&loop->pool, &request->link);
    loop->pool_count++;
}

/* ---- ends ---- */

static void arm_overtime(struct hb_curl_loop *loop);

static void end_request(struct hb_curl_request *request, CURLcode code)
{
    struct hb_curl_loop *loop = request->loop;
    struct hb_curl_answer answer;

    curl_multi_remove_handle(loop->multi, request->easy); /* its socket is closed by now */
    answer = hb_curl_request_answer(request, code);
    hb_heap_remove(&loop->deadlines, &request->overtime);
    hb_link_remove(&request->link);
    loop->running_count--;
    request->ended(request->self, &answer);
    give_back(loop, request);
}

/* ---- scarcity ---- */

static bool are_free(uint32_t wanted)
{
    int taken[SPARE_MOST];
    uint32_t count = 0;

    while (count < wanted && (taken[count] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)) >= 0)
        count++;
    for (uint32_t i = 0; i < count; i++)
        close(taken[i]);
    return count == wanted;
}

/*
 * A name that cannot be looked up for want of descriptors comes back as one that nobody knows. By then the look-up has
 * given back its own; so it is not enough that one is free, and all that are under way are marked together.
 */
static void notice_scarcity(struct hb_curl_loop *loop)
{
    uint32_t most = SPARE_MOST / LOOKUP_DESCRIPTORS;
    uint32_t lookups = loop->running_count < most ? loop->running_count : most;

    if (are_free(lookups * LOOKUP_DESCRIPTORS))
        return;
    for (struct hb_link *link = loop->running.next; link != &loop->running; link = link->next)
        request_of(link)->starved = true;
}

/* What libcurl says is over. The callbacks may begin new requests; those end in another turn. */
static void take_ended(struct hb_curl_loop *loop)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(loop->multi, &left)) != NULL) {
        CURLcode code = message->data.result; /* the message goes with the handle */
        struct hb_curl_request *request = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&request);
        if (code == CURLE_COULDNT_RESOLVE_HOST && !request->starved)
            notice_scarcity(loop);
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
        struct hb_curl_request *request =
            (struct hb_curl_request *)hb_heap_min(&loop->deadlines); /* its first member */

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
    struct hb_curl_request *request;
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
    loop->config.user_agent = loop->user_agent;
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
    struct hb_curl_request *request;

    if (loop->closed || hb_heap_reserve(&loop->deadlines, loop->deadlines.count + 1) != HB_OK)
        return HB_ERR_NO_MEMORY;
    request = take_request(loop);
    if (request == NULL)
        return HB_ERR_NO_MEMORY;
    request->loop = loop;
    request->ended = ended;
    request->self = self;
    if (!hb_curl_request_aim(request, url, timeout_ms) ||
        curl_multi_add_handle(loop->multi, request->easy) != CURLM_OK) {
        hb_curl_request_free(request);
        return HB_ERR_NO_MEMORY;
    }
    hb_link_insert(&loop->running, &request->link);
    loop->running_count++;
    hb_heap_set(&loop->deadlines, &request->overtime, hb_mono_add(hb_mono_now(), timeout_ms + HB_CURL_OVERTIME_MS).ms);
    arm_overtime(loop);
    return HB_OK;
}

static void free_all(struct hb_curl_loop *loop, struct hb_link *requests)
{
    while (!hb_link_is_alone(requests)) {
        struct hb_curl_request *request = request_of(requests->next);

        hb_link_remove(&request->link);
        if (requests == &loop->running)
            curl_multi_remove_handle(loop->multi, request->easy);
        hb_curl_request_free(request);
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
