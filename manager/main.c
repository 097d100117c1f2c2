/*
 * heartbeat-manager: initialise in order, run, tear down in reverse.
 *
 *   config → log → manager (core, mirror, outbox) → loop → Redis → poller → HTTP and WebSocket → run
 *
 * The shutdown follows what these library versions survive (each step lets go of handles, so that the loop ends by
 * itself): polls cancelled, libcurl gone → write what is left to Redis → timers and signals → Redis link → sockets with
 * 1012 → lws context → the loop runs dry → lws context again → uv_loop_close() must say 0.
 */
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>
#include <uv.h>

#include "manager/app/targets_file.h"
#include "manager/config.h"
#include "manager/io/http_api.h"
#include "manager/io/loop.h"
#include "manager/io/lws_host.h"
#include "manager/io/poller.h"
#include "manager/io/redis_store.h"
#include "manager/io/status_file.h"
#include "proto/base/log.h"
#include "proto/wire/health_probe.h"

/* What a burst needs is allocated in larger blocks than this, and goes back to the system after it. Left to itself
 * glibc raises the threshold with the first such block, and keeps the rest. */
#define LARGE_BLOCK_BYTES (128 * 1024)
#define DRAIN_MS 500 /* a graceful stop waits at most so long for Redis */
#define SENTENCES_BYTES_MAX 16384
#define LOAD_LOOK_MS 10 /* how often the start looks whether the rows are there */
#define AWAY_WAIT_MS 500
#define LOAD_WAIT_MS 10000

struct program {
    struct hb_manager_config config;
    struct hb_manager *manager;
    struct hb_loop *loop;
    struct hb_redis_store *store;
    struct hb_poller *poller;
    struct hb_ingest *ingest;
    struct hb_http_api *api;
    struct hb_ws_endpoint *endpoint;
    struct hb_lws_host *host;
    uv_timer_t polling;                 /* until polling begins */
    uint64_t started_ms;                /* on the loop's clock */
    struct hb_status_file *status_file; /* NULL unless there is a HEALTH_STATUS_FILE */
};

/* ---- stopping ---- */

static void forget_polling(struct program *program)
{
    uv_handle_t *handle = (uv_handle_t *)&program->polling;

    if (program->polling.loop != NULL && !uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void on_drained(void *self)
{
    struct program *program = self;

    hb_loop_stop_timers(program->loop);
    hb_redis_store_close(program->store);
    hb_lws_host_stop(program->host);
}

static void on_stop(void *self, bool again)
{
    struct program *program = self;

    if (again) {
        hb_log(HB_LOG_WARN, "stopped", HB_LS("cause", "second signal"));
        hb_log_close();
        _exit(EXIT_SUCCESS);
    }
    hb_log(HB_LOG_INFO, "stopping", HB_LI("workers", hb_registry_count(hb_manager_registry(program->manager))));
    hb_http_api_stop(program->api);
    hb_poller_close(program->poller);
    forget_polling(program);
    hb_status_file_close(program->status_file); /* what becomes of anybody from here on is our doing */
    hb_redis_store_drain(program->store, DRAIN_MS, on_drained, program);
}

/* ---- starting ---- */

static bool open_manager(struct program *program)
{
    const struct hb_manager_config *config = &program->config;
    struct hb_registry_rules rules = {
        .timeout_ms = config->heartbeat_timeout_ms,
        .disconnect_grace_ms = config->disconnect_grace_ms,
        .restart_grace_ms = config->restart_grace_ms,
        .reap_after_ms = config->reap_after_ms,
        .max_workers = (uint32_t)config->max_workers,
        .text_bytes_max = HB_TEXTS_BYTES_MAX,
        .timeline_bytes_max = HB_TIMELINES_BYTES_MAX,
        .polling = true,
        .poll_interval_ms = config->poll_interval_ms,
        .poll_fast_ms = config->poll_fast_interval_ms,
        .poll_concurrency = (uint32_t)config->poll_concurrency,
        .poll_fall = (uint8_t)config->poll_fall,
        .poll_rise = (uint8_t)config->poll_rise,
        .degraded_error_rate = config->error_rate_degraded,
    };

    if (getrandom(rules.hash_seed, sizeof rules.hash_seed, 0) != sizeof rules.hash_seed)
        return false;
    program->manager = hb_manager_new(hb_text_of(config->manager_id), &rules, hb_moment_now());
    program->loop = program->manager != NULL ? hb_loop_new(program->manager) : NULL;
    program->ingest = program->manager != NULL ? hb_ingest_new(program->manager) : NULL;
    return program->loop != NULL && program->ingest != NULL;
}

static bool open_adapters(struct program *program)
{
    const struct hb_manager_config *config = &program->config;
    struct hb_redis_store_config store_config = {
        .link = {.host = config->redis_host,
                 .username = config->redis_username,
                 .password = config->redis_password,
                 .port = (uint16_t)config->redis_port,
                 .db = (int)config->redis_db},
        .flush_interval_ms = config->redis_flush_interval_ms,
    };

    program->store = hb_redis_store_new(hb_loop_uv(program->loop), &store_config, program->manager);
    program->endpoint = hb_ws_endpoint_new(program->ingest);
    if (program->store == NULL || program->endpoint == NULL)
        return false;
    program->api = hb_http_api_new(hb_loop_uv(program->loop), program->ingest, program->store, config->allowed_origins);
    hb_manager_set_sockets(program->manager, hb_ws_endpoint_port(program->endpoint));
    if (program->api == NULL)
        return false;
    hb_http_api_configure_metrics(program->api, &(struct hb_http_metrics_config){
                                                    .default_prometheus = config->metrics_default_format != 0,
                                                    .per_worker = config->metrics_per_worker,
                                                    .redis = hb_redis_store_counters(program->store),
                                                    .work = hb_loop_work_port(program->loop),
                                                });
    return true;
}

static bool open_poller(struct program *program)
{
    const struct hb_manager_config *config = &program->config;
    const struct hb_poller_config poller_config = {
        .version = HB_VERSION,
        .allow_cidrs = config->poll_allow_cidrs,
        .forbidden_host = config->redis_host,
        .forbidden_port = (uint16_t)config->redis_port,
        .timeout_ms = config->poll_timeout_ms,
        .concurrency = (uint32_t)config->poll_concurrency,
    };

    program->poller = hb_poller_new(hb_loop_uv(program->loop), &poller_config, program->manager);
    return program->poller != NULL;
}

static bool open_status_file(struct program *program)
{
    const char *path = program->config.health_status_file;

    if (path == NULL)
        return true;
    program->status_file = hb_status_file_new(hb_loop_uv(program->loop), path, program->manager);
    return program->status_file != NULL;
}

/* The file was looked through before; whoever has changed it since hears of it here. */
static bool enrol_targets(struct program *program)
{
    const struct hb_manager_config *config = &program->config;
    struct hb_buf sentences;
    size_t count = 0;
    enum hb_err err;

    if (config->targets_file == NULL)
        return true;
    hb_buf_init(&sentences, SENTENCES_BYTES_MAX);
    err = hb_targets_file_apply(config->targets_file, (size_t)config->max_workers, program->manager, hb_moment_now(),
                                &sentences, &count);
    if (err == HB_OK)
        hb_log(HB_LOG_INFO, "targets_read", HB_LS("path", config->targets_file), HB_LI("count", count));
    else
        hb_log(HB_LOG_ERROR, "targets_refused", HB_LS("path", config->targets_file), HB_LS("cause", sentences.bytes));
    hb_buf_free(&sentences);
    return err == HB_OK;
}

static bool listen_on(struct program *program)
{
    const struct hb_manager_config *config = &program->config;
    struct hb_lws_host_config host_config = {
        .bind_host = config->bind_host,
        .port = (uint16_t)config->manager_port,
        .descriptors_kept = 4 * (size_t)config->poll_concurrency, /* polls, and probes beside them */
        .allowed_origins = config->allowed_origins,
    };

    program->host =
        hb_lws_host_new(hb_loop_uv(program->loop), &host_config, program->endpoint, hb_http_api_handler(program->api));
    return program->host != NULL && hb_lws_host_listen(program->host) == HB_OK;
}

/*
 * Whoever is known from the start is joined with its row of the earlier life before it is polled: else each start would
 * announce it anew. Without Redis nobody waits for that.
 */
static void on_polling(uv_timer_t *timer)
{
    struct program *program = timer->data;
    uint64_t waited_ms = uv_now(timer->loop) - program->started_ms;
    bool loading = hb_redis_store_state(program->store) == HB_REDIS_LOADING;

    if (!hb_redis_store_loaded(program->store) && waited_ms < (loading ? LOAD_WAIT_MS : AWAY_WAIT_MS))
        return;
    forget_polling(program);
    hb_poller_start(program->poller);
}

static void start_polling(struct program *program)
{
    uv_loop_t *uv = hb_loop_uv(program->loop);

    uv_timer_init(uv, &program->polling);
    program->polling.data = program;
    program->started_ms = uv_now(uv);
    uv_timer_start(&program->polling, on_polling, LOAD_LOOK_MS, LOAD_LOOK_MS);
}

static int serve(struct program *program)
{
    if (!open_manager(program) || !open_adapters(program) || !open_poller(program) || !open_status_file(program)) {
        hb_log(HB_LOG_ERROR, "not_started", HB_LS("cause", hb_err_text(HB_ERR_NO_MEMORY)));
        return HB_EXIT_INTERNAL;
    }
    if (!enrol_targets(program))
        return HB_EXIT_CONFIG;
    if (!listen_on(program))
        return HB_EXIT_UNAVAILABLE;
    hb_loop_on_stop(program->loop, on_stop, program);
    hb_loop_start(program->loop);
    hb_redis_store_start(program->store);
    start_polling(program);
    hb_log(HB_LOG_INFO, "manager_started", HB_LS("version", HB_VERSION), HB_LS("id", program->config.manager_id),
           HB_LS("bind", program->config.bind_host), HB_LI("port", program->config.manager_port),
           HB_LD("timeout", program->config.heartbeat_timeout_ms), HB_LS("redis_host", program->config.redis_host),
           HB_LI("redis_port", program->config.redis_port));
    hb_loop_run(program->loop);
    return EXIT_SUCCESS;
}

static int tear_down(struct program *program, int code)
{
    int busy = 0;

    hb_status_file_close(program->status_file);
    hb_poller_close(program->poller);
    if (code != EXIT_SUCCESS && program->store != NULL)
        hb_redis_store_close(program->store);
    if (code != EXIT_SUCCESS && program->host != NULL)
        hb_lws_host_stop(program->host);
    if (code != EXIT_SUCCESS && program->loop != NULL)
        hb_loop_stop_timers(program->loop);
    if (program->loop != NULL)
        hb_loop_run(program->loop);
    hb_lws_host_free(program->host);
    if (program->loop != NULL)
        busy = hb_loop_close(program->loop);
    hb_poller_free(program->poller);
    hb_http_api_free(program->api);
    hb_ws_endpoint_free(program->endpoint);
    hb_ingest_free(program->ingest);
    hb_status_file_free(program->status_file);
    hb_manager_free(program->manager);
    if (code == EXIT_SUCCESS)
        hb_log(busy == 0 ? HB_LOG_INFO : HB_LOG_ERROR, "stopped", HB_LI("loop_close", busy));
    return busy == 0 || code != EXIT_SUCCESS ? code : HB_EXIT_INTERNAL;
}

static int run(struct program *program)
{
    int code;

    signal(SIGPIPE, SIG_IGN); /* hiredis writes to closed sockets */
    mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES);
    hb_log_open("manager", (enum hb_log_level)program->config.log_level,
                (enum hb_log_format)program->config.log_format);
    code = tear_down(program, serve(program));
    hb_log_close();
    return code;
}

static void check_files(const struct hb_manager_config *config, struct hb_buf *sentences)
{
    if (config->targets_file != NULL)
        hb_targets_file_check(config->targets_file, (size_t)config->max_workers, sentences);
    if (config->health_status_file != NULL)
        hb_status_file_check(config->health_status_file, config->targets_file, sentences);
}

int main(int argc, char **argv)
{
    struct program program = {.config.check_files = check_files};
    int code = EXIT_SUCCESS;

    switch (hb_manager_config_load(&program.config, argc, argv, stdout, stderr)) {
    case HB_CONF_RUN:
        code = run(&program);
        break;
    case HB_CONF_EXIT_OK:
        break;
    case HB_CONF_EXIT_USAGE:
        code = HB_EXIT_USAGE;
        break;
    case HB_CONF_EXIT_CONFIG:
        code = HB_EXIT_CONFIG;
        break;
    case HB_CONF_HEALTH:
        code = hb_health_probe(program.config.bind_host, program.config.manager_port, "/livez") ? EXIT_SUCCESS
                                                                                                : EXIT_FAILURE;
        break;
    }
    hb_manager_config_free(&program.config);
    return code;
}
