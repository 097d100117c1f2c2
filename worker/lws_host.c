#include "worker/lws_host.h"

#include <string.h>
#include <sys/resource.h>

#include "proto/base/log.h"

/* How long lws gives a peer for what it expects, request headers above all. */
#define PEER_SECONDS 10

/* lws's own lines are for whoever debugs lws; what matters to an operator is logged by the adapters. */
static void on_lws_line(int level, const char *line)
{
    size_t len = strlen(line);
    while (len > 0 && line[len - 1] == '\n')
        len--;
    (void)level;
    hb_log(HB_LOG_DEBUG, "lws", HB_LT("line", ((struct hb_text){line, len})));
}

static unsigned limit_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    limit.rlim_cur = limit.rlim_max < HB_WORKER_FILES_MAX ? limit.rlim_max : HB_WORKER_FILES_MAX;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    return (unsigned)limit.rlim_cur;
}

enum hb_err hb_lws_host_open(struct hb_lws_host *host, uv_loop_t *loop)
{
    /* Zeroed: no pings. A dead manager is noticed by TCP, see ws_client.h. */
    static const lws_retry_bo_t no_pings;
    unsigned files = limit_files();
    void *loops[1] = {loop};
    struct lws_context_creation_info info;

    lws_set_log_level(LLL_ERR | LLL_WARN, on_lws_line);
    memset(&info, 0, sizeof info);
    info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_VALIDATE_UTF8;
    info.foreign_loops = loops;
    info.retry_and_idle_policy = &no_pings;
    info.timeout_secs = PEER_SECONDS;
    struct lws_context *context = lws_create_context(&info);
    if (context == NULL)
        return HB_ERR_IO;
    host->context = context;
    host->connections_max = files > 2 * HB_WORKER_FILES_SPARE ? files - HB_WORKER_FILES_SPARE : files / 2;
    return HB_OK;
}

void hb_lws_host_close(struct hb_lws_host *host)
{
    lws_context_destroy(host->context);
}

void hb_lws_host_free(struct hb_lws_host *host)
{
    if (host->context != NULL)
        lws_context_destroy(host->context);
    host->context = NULL;
}

void hb_lws_kill(struct lws *wsi)
{
    lws_set_timeout(wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
}
