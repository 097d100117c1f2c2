/*
 * config: what the manager can be told, and its defaults.
 *
 * The const table in config.c is the one place where an option exists: it drives the environment, the flags, --help,
 * --check-config and the README. hb_manager_config_load also fills in what has no fixed default.
 */
#ifndef HB_MANAGER_CONFIG_H
#define HB_MANAGER_CONFIG_H

#include <stdint.h>
#include <stdio.h>

#include "proto/base/conf.h"

struct hb_manager_config {
    /*
     * Set by the caller before the load: looks into the files that the options name, and appends one sentence per
     * fault, ended by a newline. NULL: nobody looks.
     */
    void (*check_files)(const struct hb_manager_config *config, struct hb_buf *sentences);
    char *redis_host;
    char *redis_username; /* NULL: none */
    char *redis_password; /* NULL: none */
    int64_t redis_port;
    int64_t redis_db;
    int64_t redis_flush_interval_ms;
    char *bind_host;
    int64_t manager_port;
    char *manager_id;
    char *allowed_origins; /* NULL: none */
    int64_t heartbeat_timeout_ms;
    int64_t disconnect_grace_ms;
    int64_t restart_grace_ms;
    int64_t reap_after_ms;
    int64_t max_workers;
    int64_t poll_interval_ms;
    int64_t poll_timeout_ms;
    int64_t poll_concurrency;
    int64_t poll_fall, poll_rise;
    int64_t poll_fast_interval_ms;
    double error_rate_degraded;
    char *poll_allow_cidrs;     /* NULL: all that may be polled at all */
    char *targets_file;         /* NULL: none */
    char *health_status_file;   /* NULL: none */
    int metrics_default_format; /* 0 json, 1 prometheus */
    bool metrics_per_worker;
    int log_level;  /* enum hb_log_level */
    int log_format; /* enum hb_log_format */
};

/* As hb_conf_load. config is zeroed by the caller; hb_manager_config_free gives its texts back, also after a failure.
 */
enum hb_conf_outcome hb_manager_config_load(struct hb_manager_config *config, int argc, char **argv, FILE *out,
                                            FILE *err);
void hb_manager_config_free(struct hb_manager_config *config);

#endif
