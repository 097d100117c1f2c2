#include "worker/config.h"

#include <stddef.h>
#include <stdlib.h>

#include "proto/wire/conf_checks.h"
#include "proto/wire/limits.h"
#include "worker/attributes.h"
#include "worker/behaviour.h"
#include "worker/identity.h"

static const char *check_attributes(const char *value)
{
    struct hb_buf json;
    hb_buf_init(&json, HB_ATTRIBUTES_JSON_MAX);
    const char *rule = hb_attributes_encode(&json, value);
    hb_buf_free(&json);
    return rule;
}

static const char *const behaviour_words[] = {
#define BEHAVIOUR_WORD(name, text) text,
    HB_BEHAVIOUR_MAP(BEHAVIOUR_WORD)
#undef BEHAVIOUR_WORD
        NULL,
};

#define AT(field) offsetof(struct hb_worker_config, field)

static const struct hb_conf_option options[] = {
    {.name = "WORKER_NAME",
     .type = HB_CONF_TEXT,
     .offset = AT(worker_name),
     .min = 1,
     .max = HB_NAME_MAX,
     .check = hb_check_name,
     .help = "Name for people to read. Default: drawn at random, like brave-otter-42."},
    {.name = "WORKER_PORT",
     .type = HB_CONF_INTEGER,
     .offset = AT(worker_port),
     .default_value = "8001",
     .min = 1,
     .max = 65535,
     .help = "Port that its HTTP service listens on."},
    {.name = "MANAGER_HOST",
     .type = HB_CONF_TEXT,
     .offset = AT(manager_host),
     .default_value = "localhost",
     .min = 1,
     .max = HB_HOST_MAX,
     .check = hb_check_host,
     .help = "Where the manager is: a name or an address."},
    {.name = "MANAGER_PORT",
     .type = HB_CONF_INTEGER,
     .offset = AT(manager_port),
     .default_value = "8000",
     .min = 1,
     .max = 65535,
     .help = "Port of the manager."},
    {.name = "HEARTBEAT_INTERVAL",
     .type = HB_CONF_DURATION,
     .offset = AT(heartbeat_interval_ms),
     .default_value = "5",
     .min = 0.1,
     .max = 86400,
     .help = "Seconds between beats; at most a third of the manager's timeout."},
    {.name = "WORKER_ID",
     .type = HB_CONF_TEXT,
     .offset = AT(worker_id),
     .min = 1,
     .max = HB_ID_MAX,
     .check = hb_check_id,
     .help = "Id that the manager knows it by; no two workers may share one. Default: hostname-port."},
    {.name = "WORKER_HOST",
     .type = HB_CONF_TEXT,
     .offset = AT(worker_host),
     .min = 1,
     .max = HB_HOST_MAX,
     .check = hb_check_host,
     .help = "Where others reach its HTTP service. Default: the local address from which it reached the manager."},
    {.name = "BIND_HOST",
     .type = HB_CONF_TEXT,
     .offset = AT(bind_host),
     .default_value = "::",
     .min = 1,
     .max = HB_HOST_MAX,
     .check = hb_check_bind_host,
     .help = "Address to listen on; :: is IPv6 and IPv4, or IPv4 alone where there is no IPv6."},
    {.name = "WORKER_ATTRIBUTES",
     .type = HB_CONF_TEXT,
     .offset = AT(worker_attributes),
     .max = 12288,
     .check = check_attributes,
     .help = "Pairs shown beside the worker: zone=a,version=3. At most 32."},
    {.name = "WORKER_POLL",
     .type = HB_CONF_BOOL,
     .offset = AT(worker_poll),
     .default_value = "0",
     .help = "1: registers its url too, so that the manager also polls its /health."},
    {.name = "WORKER_BEHAVIOUR",
     .type = HB_CONF_WORD,
     .offset = AT(worker_behaviour),
     .default_value = "healthy",
     .words = behaviour_words,
     .help = "Fault to play, to watch the manager find it."},
    {.name = "RECONNECT_MAX",
     .type = HB_CONF_DURATION,
     .offset = AT(reconnect_max_ms),
     .default_value = "5",
     .min = 0.1,
     .max = 3600,
     .help = "Longest wait, in seconds, before the manager is tried again."},
    {.name = "DRAIN_SECONDS",
     .type = HB_CONF_DURATION,
     .offset = AT(drain_ms),
     .default_value = "0",
     .max = 3600,
     .help = "On SIGTERM: seconds to go on serving after it asked for no more traffic."},
    {.name = "LOG_LEVEL",
     .type = HB_CONF_WORD,
     .offset = AT(log_level),
     .default_value = "info",
     .words = hb_log_level_words,
     .help = "Least important lines to write."},
    {.name = "LOG_FORMAT",
     .type = HB_CONF_WORD,
     .offset = AT(log_format),
     .default_value = "logfmt",
     .words = hb_log_format_words,
     .help = "Form of a log line."},
};

static const struct hb_conf table = {
    .program = "heartbeat-worker",
    .version = HB_VERSION,
    .summary = "A small HTTP service that registers with a heartbeat manager and beats over a WebSocket.",
    .examples = "  heartbeat-worker --manager-host manager.example --worker-port 8001\n"
                "  WORKER_BEHAVIOUR=frozen HEARTBEAT_INTERVAL=1 heartbeat-worker\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
};

static bool fill_in(struct hb_worker_config *config)
{
    if (config->worker_name == NULL)
        config->worker_name = hb_identity_name();
    if (config->worker_id == NULL)
        config->worker_id = hb_identity_id(config->worker_port);
    struct hb_buf json;
    hb_buf_init(&json, HB_ATTRIBUTES_JSON_MAX);
    const char *rule = hb_attributes_encode(&json, config->worker_attributes); /* was checked: only memory is left */
    config->attributes_json = rule == NULL ? hb_buf_take(&json) : NULL;
    hb_buf_free(&json);
    return config->worker_name != NULL && config->worker_id != NULL && config->attributes_json != NULL;
}

enum hb_conf_outcome hb_worker_config_load(struct hb_worker_config *config, int argc, char **argv, FILE *out, FILE *err)
{
    enum hb_conf_outcome outcome = hb_conf_load(&table, argc, argv, config, out, err);
    if (outcome == HB_CONF_RUN && !fill_in(config)) {
        fprintf(err, "heartbeat-worker: out of memory\n");
        return HB_CONF_EXIT_CONFIG;
    }
    return outcome;
}

void hb_worker_config_free(struct hb_worker_config *config)
{
    hb_conf_free(&table, config);
    free(config->attributes_json);
    config->attributes_json = NULL;
}
