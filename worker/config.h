/*
 * config: what a worker can be told, and its defaults.
 *
 * The const table in config.c is the one place where an option exists. hb_worker_config_load also fills in what has no
 * fixed default: a readable random name, and an id of the form hostname-port.
 */
#ifndef HB_WORKER_CONFIG_H
#define HB_WORKER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/base/conf.h"

struct hb_worker_config {
    char *worker_name;
    char *worker_id;
    char *worker_host; /* NULL: the local address of whatever reaches the manager */
    char *bind_host;
    char *manager_host;
    char *worker_attributes; /* as given: k=v,... */
    char *attributes_json;   /* the same as a compact JSON object, never NULL */
    int64_t worker_port;
    int64_t manager_port;
    int64_t heartbeat_interval_ms;
    int64_t reconnect_max_ms;
    int64_t drain_ms;
    bool worker_poll;
    int worker_behaviour; /* enum hb_behaviour_kind */
    int log_level;        /* enum hb_log_level */
    int log_format;       /* enum hb_log_format */
};

/* As hb_conf_load. config is zeroed by the caller; hb_worker_config_free gives its texts back, also after a failure. */
enum hb_conf_outcome hb_worker_config_load(struct hb_worker_config *config, int argc, char **argv, FILE *out,
                                           FILE *err);
void hb_worker_config_free(struct hb_worker_config *config);

#endif
