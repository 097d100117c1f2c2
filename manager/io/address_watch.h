/*
 * address_watch: the addresses behind a name, looked up again from time to time. libuv.
 *
 * Looked up on libuv's threads: nothing blocks. When a look-up fails, the addresses that were found before stay.
 */
#ifndef HB_IO_ADDRESS_WATCH_H
#define HB_IO_ADDRESS_WATCH_H

#include <stdint.h>

#define HB_ADDRESS_AGAIN_MS 30000 /* after a look-up that gave something */
#define HB_ADDRESS_RETRY_MS 2000  /* after one that failed */

struct addrinfo;
struct uv_loop_s;
struct hb_address_watch;

/* found is called with each list that was looked up, valid during the call; NULL: this look-up failed. */
struct hb_address_watch *hb_address_watch_new(struct uv_loop_s *loop, const char *host, uint16_t port,
                                              void (*found)(void *self, const struct addrinfo *list),
                                              void *self); /* NULL: no memory. host is copied */
void hb_address_watch_start(struct hb_address_watch *watch);
/* No callbacks from here on; frees itself when libuv has closed its handle. */
void hb_address_watch_close(struct hb_address_watch *watch);

#endif
