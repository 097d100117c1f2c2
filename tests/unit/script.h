/*
 * script: one line of a scenario, "register w1 :8001 timeout=5", made an input of the registry.
 *
 * The notation is described in timeline.h. Texts point into the script's own copy of the line.
 */
#ifndef HB_TESTS_UNIT_SCRIPT_H
#define HB_TESTS_UNIT_SCRIPT_H

#include "manager/core/registry.h"

#define SCRIPT_SOCKETS 100
#define SCRIPT_PEER "10.0.0.9" /* where requests come from that do not say from= */

struct script {
    char line[1024];
    struct hb_registration registration;
    struct hb_beat beat;
    struct hb_row row;
    struct hb_maintenance maintenance;
    struct hb_poll_result poll;
    struct hb_input input; /* points at the five above; the ticket of a poll is the caller's to fill in */
};

/* NULL, or what is wrong with the line. */
const char *script_parse(struct script *script, const char *line);
/* "timeout=5 reap=100 texts=4096 timelines=480" on top of what rules holds. NULL, or what is wrong. */
const char *script_rules(struct hb_registry_rules *rules, const char *words);

void *script_socket(unsigned number);               /* 0 to SCRIPT_SOCKETS - 1 */
const char *script_socket_name(const void *socket); /* "s7" */

#endif
