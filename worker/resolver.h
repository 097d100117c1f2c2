/*
 * resolver: the manager's name to its addresses, on libuv's thread pool, so that a silent DNS server blocks nobody.
 *
 * At most one look-up runs. It cannot be stopped once it has started; a forgotten one is not reported, and a look-up
 * asked for meanwhile takes its result.
 */
#ifndef HB_WORKER_RESOLVER_H
#define HB_WORKER_RESOLVER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <uv.h>

#include "proto/base/err.h"

#define HB_RESOLVER_ADDRESSES_MAX 16 /* further ones are left out */
#define HB_ADDRESS_TEXT_SIZE 64      /* numeric, with a scope, and its NUL */

struct hb_address {
    struct sockaddr_storage sockaddr;
    char text[HB_ADDRESS_TEXT_SIZE];
};

/* error is NULL on success, else a static text, and count is 0. The addresses live until the next look-up ends. */
typedef void hb_resolver_done(void *owner, const struct hb_address *addresses, unsigned count, const char *error);

struct hb_resolver {
    uv_loop_t *loop;
    uv_getaddrinfo_t request;
    bool running; /* the thread pool has the request */
    bool wanted;  /* somebody waits for it */
    hb_resolver_done *done;
    void *owner;
    unsigned count;
    struct hb_address addresses[HB_RESOLVER_ADDRESSES_MAX];
};

void hb_resolver_init(struct hb_resolver *resolver, uv_loop_t *loop, hb_resolver_done *done, void *owner);
/* HB_ERR_IO when the look-up could not even start; then done is not called. */
enum hb_err hb_resolver_start(struct hb_resolver *resolver, const char *host, int port) HB_MUST_CHECK;
void hb_resolver_forget(struct hb_resolver *resolver);
/* Before the loop's end. False when a look-up hangs in the thread pool: waiting for it can take as long as DNS does. */
bool hb_resolver_cancel(struct hb_resolver *resolver);

/*
 * The local address that the kernel would use towards that address: the route is looked up by connecting a datagram
 * socket, which sends nothing and cannot block. HB_ERR_IO when there is no route.
 */
enum hb_err hb_address_local(const struct hb_address *towards, char ret_text[HB_ADDRESS_TEXT_SIZE]) HB_MUST_CHECK;

#endif
