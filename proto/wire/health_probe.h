/*
 * health_probe: what `--health` does, for containers without curl: asks the program that runs beside it.
 */
#ifndef HB_WIRE_HEALTH_PROBE_H
#define HB_WIRE_HEALTH_PROBE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * GET path on the address that bind_host stands for (the loopback addresses for a wildcard). Blocks at most one
 * second in all, so it is for a process of its own, never for the loop. True when the answer was 200.
 */
bool hb_health_probe(const char *bind_host, int64_t port, const char *path);

#endif
