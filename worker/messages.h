/*
 * messages: what a worker says to its manager, as JSON: the registration, the beat, the goodbye.
 *
 * Each appends to an empty buffer whose status tells of failure.
 */
#ifndef HB_WORKER_MESSAGES_H
#define HB_WORKER_MESSAGES_H

#include <stdbool.h>

#include "proto/base/buf.h"
#include "proto/base/time.h"
#include "worker/config.h"
#include "worker/http_service.h"
#include "worker/process_stats.h"

/* host: where others reach this worker. */
void hb_message_registration(struct hb_buf *buf, const struct hb_worker_config *config, const char *host);

struct hb_message_beat {
    bool draining; /* else alive */
    hb_wall_ms at;
    struct hb_process_sample usage;
    struct hb_http_counts counts;
};

void hb_message_beat(struct hb_buf *buf, const struct hb_worker_config *config, const struct hb_message_beat *beat);
void hb_message_bye(struct hb_buf *buf);

#endif
