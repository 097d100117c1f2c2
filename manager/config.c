#include "manager/config.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proto/base/cidr.h"
#include "proto/wire/conf_checks.h"
#include "proto/wire/limits.h"
#include "proto/wire/message.h"

#define AT(field) offsetof(struct hb_manager_config, field)
#define DAY_S 86400

static const char *const metrics_format_words[] = {"json", "prometheus", NULL};

static const struct hb_conf_option options[] = {
    {.name = "REDIS_HOST",
     .type = HB_CONF_TEXT,
     .offset = AT(redis_host),
     .default_value = "localhost",
     .min = 1,
     .max = HB_HOST_MAX,
     .check = hb_check_host,
     .help = "Where Redis is: a name or an address."},
    {.name = "REDIS_PORT",
     .type = HB_CONF_INTEGER,
     .offset = AT(redis_port),
     .default_value = "6379",
     .min = 1,
     .max = 65535,
     .help = "Port of Redis."},
    {.name = "REDIS_DB",
     .type = HB_CONF_INTEGER,
     .offset = AT(redis_db),
     .default_value = "0",
     .min = 0,
     .max = 1000000,
     .help = "Number of the Redis database."},
    {.name = "REDIS_USERNAME",
     .type = HB_CONF_TEXT,
     .offset = AT(redis_username),
     .min = 1,
     .max = 256,
     .help = "ACL user; needs REDIS_PASSWORD."},
    {.name = "REDIS_PASSWORD",
     .type = HB_CONF_TEXT,
     .offset = AT(redis_password),
     .min = 1,
     .max = 4096,
     .flags = HB_CONF_SECRET | HB_CONF_FROM_FILE,
     .help = "Password of that user, or of the server."},
    {.name = "REDIS_FLUSH_INTERVAL",
     .type = HB_CONF_DURATION,
     .offset = AT(redis_flush_interval_ms),
     .default_value = "1",
     .min = 0.05,
     .max = 60,
     .help = "Seconds between writes of beats to Redis and to GET /workers; changes of status are written at once."},
    {.name = "HEARTBEAT_TIMEOUT",
     .type = HB_CONF_DURATION,
     .offset = AT(heartbeat_timeout_ms),
     .default_value = "15",
     .min = 0.1,
     .max = DAY_S,
     .help = "Seconds of silence after which a worker is not_responding; a worker may register its own."},
    {.name = "BIND_HOST",
     .type = HB_CONF_TEXT,
     .offset = AT(bind_host),
     .default_value = "::",
     .min = 1,
     .max = HB_HOST_MAX,
     .check = hb_check_bind_host,
     .help = "Address to listen on; :: is IPv6 and IPv4, or IPv4 alone where there is no IPv6."},
    {.name = "MANAGER_PORT",
     .type = HB_CONF_INTEGER,
     .offset = AT(manager_port),
     .default_value = "8000",
     .min = 1,
     .max = 65535,
     .alias = "--port",
     .help = "Port to listen on, for HTTP and WebSocket."},
    {.name = "MANAGER_ID",
     .type = HB_CONF_TEXT,
     .offset = AT(manager_id),
     .min = 1,
     .max = HB_ID_MAX,
     .check = hb_check_id,
     .help = "Name of this manager in rows and events; no two on one Redis may share it. Default: hostname-port."},
    {.name = "DISCONNECT_GRACE",
     .type = HB_CONF_DURATION,
     .offset = AT(disconnect_grace_ms),
     .default_value = "2",
     .min = 0,
     .max = DAY_S,
     .help = "Seconds that a worker keeps its traffic after its socket broke, to connect again unnoticed."},
    {.name = "RESTART_GRACE",
     .type = HB_CONF_DURATION,
     .offset = AT(restart_grace_ms),
     .min = 0.1,
     .max = DAY_S,
     .help = "Seconds that workers have to come back after a restart of the manager. Default: twice the timeout."},
    {.name = "REAP_AFTER",
     .type = HB_CONF_DURATION,
     .offset = AT(reap_after_ms),
     .default_value = "86400",
     .min = 0,
     .max = 366.0 * DAY_S,
     .help = "Seconds of silence after which a worker is forgotten; 0: never."},
    {.name = "MAX_WORKERS",
     .type = HB_CONF_INTEGER,
     .offset = AT(max_workers),
     .default_value = "100000",
     .min = 1,
     .max = 10000000,
     .help = "Most workers to know; further ones are refused with 503."},
    {.name = "ALLOWED_ORIGINS",
     .type = HB_CONF_TEXT,
     .offset = AT(allowed_origins),
     .max = 4096,
     .help = "Origins, like https://ops.example, whose pages may open WebSockets here; separated by commas."},
    {.name = "POLL_INTERVAL",
     .type = HB_CONF_DURATION,
     .offset = AT(poll_interval_ms),
     .default_value = "10",
     .min = 0.1,
     .max = DAY_S,
     .help = "Seconds between polls of a worker that has a url; it may register its own."},
    {.name = "POLL_TIMEOUT",
     .type = HB_CONF_DURATION,
     .offset = AT(poll_timeout_ms),
     .default_value = "2",
     .min = 0.05,
     .max = 60,
     .help = "Seconds within which a poll must have its whole answer."},
    {.name = "POLL_CONCURRENCY",
     .type = HB_CONF_INTEGER,
     .offset = AT(poll_concurrency),
     .default_value = "5",
     .min = 1,
     .max = 10000,
     .help = "Most polls under way at a time."},
    {.name = "POLL_FALL",
     .type = HB_CONF_INTEGER,
     .offset = AT(poll_fall),
     .default_value = "3",
     .min = 1,
     .max = 100,
     .help = "Polls in a row that must fail before a worker loses its traffic."},
    {.name = "POLL_RISE",
     .type = HB_CONF_INTEGER,
     .offset = AT(poll_rise),
     .default_value = "2",
     .min = 1,
     .max = 100,
     .help = "Polls in a row that must succeed before it gets its traffic back; a new one needs one."},
    {.name = "POLL_FAST_INTERVAL",
     .type = HB_CONF_DURATION,
     .offset = AT(poll_fast_interval_ms),
     .default_value = "1",
     .min = 0.05,
     .max = 3600,
     .help = "Seconds between polls of a worker that begins to differ, until that is decided."},
    {.name = "ERROR_RATE_DEGRADED",
     .type = HB_CONF_NUMBER,
     .offset = AT(error_rate_degraded),
     .default_value = "0.1",
     .min = 0,
     .max = 1,
     .help = "A worker that answers 200 but fails more of its requests than this share is degraded."},
    {.name = "POLL_ALLOW_CIDRS",
     .type = HB_CONF_TEXT,
     .offset = AT(poll_allow_cidrs),
     .max = 4096,
     .help = "Addresses that may be polled, like 10.0.0.0/8, fd00::/8; default: all but those that never may be, as "
             "link-local and metadata ones."},
    {.name = "TARGETS_FILE",
     .type = HB_CONF_TEXT,
     .offset = AT(targets_file),
     .max = 4096,
     .help = "File with services to poll from the start, as {\"server_list\":[{\"id\":1,\"host\":…,\"port\":…}]}."},
    {.name = "HEALTH_STATUS_FILE",
     .type = HB_CONF_TEXT,
     .offset = AT(health_status_file),
     .max = 4096,
     .help = "File to write at each change, as {\"server1\":true,\"server2\":false}: name and whether it serves."},
    {.name = "METRICS_DEFAULT_FORMAT",
     .type = HB_CONF_WORD,
     .offset = AT(metrics_default_format),
     .default_value = "json",
     .words = metrics_format_words,
     .help = "What GET /metrics gives to those who accept anything."},
    {.name = "METRICS_PER_WORKER",
     .type = HB_CONF_BOOL,
     .offset = AT(metrics_per_worker),
     .default_value = "0",
     .help = "1: Prometheus gets series of each worker too."},
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
     .help = "Form of the lines."},
};

static void check_cidrs(const char *list, struct hb_buf *sentences)
{
    const char *at = list != NULL ? list : "";
    struct hb_cidr cidr;
    bool empty = *at != '\0';

    for (struct hb_text entry = hb_cidr_list_next(&at); entry.bytes != NULL; entry = hb_cidr_list_next(&at)) {
        empty = false;
        if (hb_cidr_parse(entry, &cidr) != HB_OK)
            hb_buf_printf(sentences,
                          "POLL_ALLOW_CIDRS: \"%.*s\" must be a range of addresses like 10.0.0.0/8, fd00::/8 or "
                          "192.0.2.7, without bits set behind its prefix\n",
                          (int)entry.len, entry.bytes);
    }
    if (empty)
        hb_buf_printf(sentences, "POLL_ALLOW_CIDRS=%s: must name at least one range of addresses, or not be set\n",
                      list);
}

/*
 * A poll holds a descriptor, and a probe may stand beside each; while its name is looked up each takes more, and a
 * look-up that hangs keeps its own beyond the poll's end. Half of all descriptors at most, the rest are for workers.
 */
#define DESCRIPTORS_PER_POLL 4

static void check_concurrency(int64_t concurrency, struct hb_buf *sentences)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max == RLIM_INFINITY)
        return;
    if ((rlim_t)concurrency > limit.rlim_max / 2 / DESCRIPTORS_PER_POLL)
        hb_buf_printf(sentences,
                      "POLL_CONCURRENCY=%lld: must be at most %llu here: a poll may take %d descriptors, and all polls "
                      "together half of the limit (%llu, ulimit -Hn)\n",
                      (long long)concurrency, (unsigned long long)limit.rlim_max / 2 / DESCRIPTORS_PER_POLL,
                      DESCRIPTORS_PER_POLL, (unsigned long long)limit.rlim_max);
}

static void check(const void *values, struct hb_buf *sentences)
{
    const struct hb_manager_config *config = values;

    if (config->redis_username != NULL && config->redis_password == NULL)
        hb_buf_printf(sentences, "REDIS_USERNAME=%s: needs REDIS_PASSWORD (or REDIS_PASSWORD_FILE) beside it\n",
                      config->redis_username);
    if (config->reap_after_ms != 0 && config->reap_after_ms < config->heartbeat_timeout_ms)
        hb_buf_printf(sentences, "REAP_AFTER=%g: must be 0 or at least HEARTBEAT_TIMEOUT (%g)\n",
                      (double)config->reap_after_ms / 1000, (double)config->heartbeat_timeout_ms / 1000);
    check_cidrs(config->poll_allow_cidrs, sentences);
    check_concurrency(config->poll_concurrency, sentences);
    if (config->check_files != NULL)
        config->check_files(config, sentences);
}

static const struct hb_conf conf = {
    .program = "heartbeat-manager",
    .version = HB_VERSION,
    .summary = "Knows which workers are alive, keeps them in the Redis hash `workers`, and announces every change.",
    .examples = "Examples:\n"
                "  heartbeat-manager\n"
                "  REDIS_HOST=redis HEARTBEAT_TIMEOUT=10 heartbeat-manager\n"
                "  curl localhost:8000/workers\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .check = check,
};

/* hostname-port, as an id: what a hostname may not have in an id becomes a dash. */
static char *default_id(int64_t port)
{
    char host[HB_ID_MAX - 6 + 1];
    struct hb_buf id;

    if (gethostname(host, sizeof host) != 0)
        strcpy(host, "manager");
    host[sizeof host - 1] = '\0';
    for (char *c = host; *c != '\0'; c++) {
        if (!hb_id_valid((struct hb_text){c, 1}))
            *c = '-';
    }
    hb_buf_init(&id, HB_ID_MAX);
    hb_buf_printf(&id, "%s-%d", host, (int)port);
    return hb_buf_take(&id);
}

enum hb_conf_outcome hb_manager_config_load(struct hb_manager_config *config, int argc, char **argv, FILE *out,
                                            FILE *err)
{
    enum hb_conf_outcome outcome = hb_conf_load(&conf, argc, argv, config, out, err);

    if (outcome != HB_CONF_RUN)
        return outcome;
    if (config->restart_grace_ms == 0)
        config->restart_grace_ms = 2 * config->heartbeat_timeout_ms;
    if (config->manager_id == NULL)
        config->manager_id = default_id(config->manager_port);
    return outcome;
}

void hb_manager_config_free(struct hb_manager_config *config)
{
    hb_conf_free(&conf, config);
}
