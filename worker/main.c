/*
 * heartbeat-worker: initialise in order, run, tear down in reverse.
 *
 * The order at the end is the one that libwebsockets 4.1.6 survives: our handles, the context, the loop runs dry by
 * itself, the context once more, the loop.
 */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "proto/base/log.h"
#include "proto/wire/health_probe.h"
#include "worker/agent.h"
#include "worker/behaviour.h"
#include "worker/config.h"
#include "worker/http_service.h"
#include "worker/lws_host.h"

struct program {
    struct hb_worker_config config;
    uv_loop_t loop;
    uv_signal_t signals[2];
    struct hb_behaviour behaviour;
    struct hb_lws_host host;
    struct hb_http_service *service;
    struct hb_agent *agent;
};

static void on_signal(uv_signal_t *handle, int number)
{
    struct program *program = handle->data;
    (void)number;
    hb_agent_request_stop(program->agent);
}

static void watch_signals(struct program *program)
{
    static const int numbers[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        uv_signal_init(&program->loop, &program->signals[i]);
        program->signals[i].data = program;
        uv_signal_start(&program->signals[i], on_signal, numbers[i]);
    }
    signal(SIGPIPE, SIG_IGN);
}

/* The session is over. A look-up that hangs would hold the loop, and later exit() itself, for as long as DNS does. */
static void on_stopped(void *owner)
{
    struct program *program = owner;
    bool clean = hb_agent_close(program->agent);
    hb_log(HB_LOG_INFO, "stopped", HB_LS("worker", program->config.worker_id));
    if (!clean) {
        hb_log_close();
        _exit(EXIT_SUCCESS);
    }
    uv_close((uv_handle_t *)&program->signals[0], NULL);
    uv_close((uv_handle_t *)&program->signals[1], NULL);
    hb_lws_host_close(&program->host);
}

static int open_service(struct program *program)
{
    const struct hb_worker_config *config = &program->config;
    const char *reason = "out of memory";
    struct hb_http_service_config service_config = {
        .bind_host = config->bind_host,
        .port = (int)config->worker_port,
        .worker_id = config->worker_id,
        .worker_name = config->worker_name,
        .attributes_json = config->attributes_json,
    };
    hb_behaviour_init(&program->behaviour, (enum hb_behaviour_kind)config->worker_behaviour, hb_mono_now());
    enum hb_err err =
        hb_http_service_open(&program->host, &service_config, &program->behaviour, &program->service, &reason);
    if (err == HB_OK)
        return EXIT_SUCCESS;
    hb_log(HB_LOG_ERROR, "cannot_listen", HB_LS("bind_host", config->bind_host), HB_LI("port", config->worker_port),
           HB_LS("error", reason));
    return err == HB_ERR_IO ? HB_EXIT_UNAVAILABLE : HB_EXIT_INTERNAL;
}

static int open_all(struct program *program)
{
    if (hb_lws_host_open(&program->host, &program->loop) != HB_OK) {
        hb_log(HB_LOG_ERROR, "lws_failed", HB_LS("hint", "is the package libwebsockets-evlib-uv installed?"));
        return HB_EXIT_INTERNAL;
    }
    int code = open_service(program);
    if (code != EXIT_SUCCESS)
        return code;
    program->agent = hb_agent_new(&program->loop, &program->config, &program->host, program->service);
    return program->agent != NULL ? EXIT_SUCCESS : HB_EXIT_INTERNAL;
}

static int run(struct program *program)
{
    if (uv_loop_init(&program->loop) != 0)
        return HB_EXIT_INTERNAL;
    int code = open_all(program);
    if (code == EXIT_SUCCESS) {
        watch_signals(program);
        hb_log(HB_LOG_INFO, "worker_started", HB_LS("worker", program->config.worker_id),
               HB_LS("name", program->config.worker_name), HB_LI("port", program->config.worker_port),
               HB_LS("version", HB_VERSION));
        hb_agent_start(program->agent, on_stopped, program);
    } else if (program->host.context != NULL) {
        hb_lws_host_close(&program->host);
    }
    uv_run(&program->loop, UV_RUN_DEFAULT);
    hb_lws_host_free(&program->host);
    hb_agent_free(program->agent);
    hb_http_service_free(program->service);
    if (uv_loop_close(&program->loop) != 0 && code == EXIT_SUCCESS)
        code = HB_EXIT_INTERNAL;
    return code;
}

static bool is_well(const struct hb_worker_config *config)
{
    return hb_health_probe(config->bind_host, config->worker_port, "/health");
}

int main(int argc, char **argv)
{
    struct program program = {0};
    int code = EXIT_SUCCESS;
    switch (hb_worker_config_load(&program.config, argc, argv, stdout, stderr)) {
    case HB_CONF_RUN:
        hb_log_open("worker", (enum hb_log_level)program.config.log_level,
                    (enum hb_log_format)program.config.log_format);
        code = run(&program);
        hb_log_close();
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
        code = is_well(&program.config) ? EXIT_SUCCESS : EXIT_FAILURE;
        break;
    }
    hb_worker_config_free(&program.config);
    return code;
}
