/*
 * ws_register: announces every worker of a bench with POST /register, as real workers do before they connect, over a
 * handful of keep-alive connections with one request in flight on each.
 */
#ifndef HB_BENCH_WS_REGISTER_H
#define HB_BENCH_WS_REGISTER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Registers <prefix>-0 to <prefix>-<count - 1>. False at the first answer that is not 2xx; refusal says which. */
bool hb_register_all(const struct sockaddr_in *to, const char *id_prefix, uint32_t count, char *refusal,
                     size_t refusal_size);

#endif
