/*
 * lws_sink: the bare peer that the ingest bench compares the manager with.
 *
 * libwebsockets on a libuv loop, configured as the manager configures it (see the comments below), accepting any
 * path and counting text messages. No parsing, no state per socket, no Redis: what it costs is what the kernel,
 * libwebsockets and libuv cost, and nothing that the manager does can be cheaper than that on the same loop.
 *
 *   bench_lws_sink <port>      listens on 127.0.0.1; SIGTERM or SIGINT prints {"messages":N} and exits 0
 */
#include <libwebsockets.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <uv.h>

struct sink {
    struct lws_context *context;
    uv_loop_t loop;
    uv_signal_t on_term, on_int;
    uint64_t messages;
};

static int sink_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    (void)user;
    (void)in;
    (void)len;
    if (reason == LWS_CALLBACK_RECEIVE && lws_is_final_fragment(wsi) && lws_remaining_packet_payload(wsi) == 0) {
        struct sink *sink = lws_context_user(lws_get_context(wsi));
        sink->messages++;
    }
    return 0;
}

/* Index 0 receives the clients that name no subprotocol. A receive buffer of 0 would mean 4 KiB for every socket. */
static const struct lws_protocols sink_protocols[] = {
    {"heartbeat.v1", sink_callback, 0, 512, 0, NULL, 0},
    {NULL, NULL, 0, 0, 0, NULL, 0},
};

/* All zero: the default policy keeps every socket in a sorted list for its ping, which makes connecting O(N). */
static const lws_retry_bo_t sink_no_pings;

/* libwebsockets sizes its table of descriptors from the soft limit at the time the context is made. */
static void sink_raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    limit.rlim_cur = limit.rlim_max < 1048576 ? limit.rlim_max : 1048576;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static struct lws_context *sink_listen(struct sink *sink, int port)
{
    void *loops[1] = {&sink->loop};
    struct lws_context_creation_info info;
    memset(&info, 0, sizeof(info));
    info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_VALIDATE_UTF8 |
                   LWS_SERVER_OPTION_DISABLE_IPV6; /* 4.1.6 mistakes an IPv4 address for "any" while IPv6 is on */
    info.foreign_loops = loops;
    info.port = port;
    info.iface = "127.0.0.1";
    info.protocols = sink_protocols;
    info.retry_and_idle_policy = &sink_no_pings;
    info.fd_limit_per_thread = 0; /* anything below the soft limit makes each look-up by descriptor a linear search */
    info.max_http_header_data2 = 16384;
    info.ka_time = 60;
    info.ka_probes = 3;
    info.ka_interval = 10;
    info.gid = (gid_t)-1;
    info.uid = (uid_t)-1;
    info.user = sink;
    struct lws_context *context = lws_create_context(&info);
    if (context && !lws_create_vhost(context, &info)) {
        lws_context_destroy(context);
        return NULL;
    }
    return context;
}

static void sink_stop(uv_signal_t *handle, int signum)
{
    struct sink *sink = handle->data;
    (void)signum;
    uv_close((uv_handle_t *)&sink->on_term, NULL);
    uv_close((uv_handle_t *)&sink->on_int, NULL);
    lws_context_destroy(sink->context); /* begins the closing; the loop ends by itself when all handles are gone */
}

static void sink_watch_signal(struct sink *sink, uv_signal_t *handle, int signum)
{
    uv_signal_init(&sink->loop, handle);
    handle->data = sink;
    uv_signal_start(handle, sink_stop, signum);
}

int main(int argc, char **argv)
{
    int port = argc == 2 ? atoi(argv[1]) : 0;
    if (port < 1 || port > 65535) {
        fprintf(stderr, "usage: bench_lws_sink <port>\n");
        return 64;
    }
    static struct sink sink;
    lws_set_log_level(LLL_ERR | LLL_WARN, NULL);
    sink_raise_file_limit();
    uv_loop_init(&sink.loop);
    sink.context = sink_listen(&sink, port);
    if (!sink.context) {
        fprintf(stderr, "bench_lws_sink: cannot listen on 127.0.0.1:%d\n", port);
        return 69;
    }
    sink_watch_signal(&sink, &sink.on_term, SIGTERM);
    sink_watch_signal(&sink, &sink.on_int, SIGINT);
    uv_run(&sink.loop, UV_RUN_DEFAULT);
    lws_context_destroy(sink.context); /* the second half, after the loop has let go of every handle */
    printf("{\"messages\":%llu}\n", (unsigned long long)sink.messages);
    return uv_loop_close(&sink.loop) == 0 ? 0 : 70;
}
