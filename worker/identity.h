/*
 * identity: who a worker is when nobody told it.
 */
#ifndef HB_WORKER_IDENTITY_H
#define HB_WORKER_IDENTITY_H

#include <stdint.h>

/* "hostname-port", cut and cleaned to what an id may hold. The caller frees it; NULL when out of memory. */
char *hb_identity_id(int64_t port);

/* "brave-otter-42". The caller frees it; NULL when out of memory. */
char *hb_identity_name(void);

/* Fresh random bits of the kernel's; they decide jitter, names and played faults, nothing secret. */
uint32_t hb_identity_random(void);

#endif
