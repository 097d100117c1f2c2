#include "manager/io/address_watch.h"

#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct hb_address_watch {
    uv_timer_t timer; /* the first member */
    uv_getaddrinfo_t lookup;
    void (*found)(void *self, const struct addrinfo *list);
    void *self;
    char *host;
    char port[6];
    bool busy, open;
};

static void look_up(uv_timer_t *timer);

static void release(struct hb_address_watch *watch)
{
    if (watch->busy || watch->open)
        return;
    free(watch->host);
    free(watch);
}

static void on_looked_up(uv_getaddrinfo_t *lookup, int status, struct addrinfo *list)
{
    struct hb_address_watch *watch = lookup->data;

    watch->busy = false;
    if (uv_is_closing((uv_handle_t *)&watch->timer)) {
        uv_freeaddrinfo(list);
        release(watch);
        return;
    }
    watch->found(watch->self, status == 0 ? list : NULL);
    uv_freeaddrinfo(list);
    uv_timer_start(&watch->timer, look_up, status == 0 ? HB_ADDRESS_AGAIN_MS : HB_ADDRESS_RETRY_MS, 0);
}

static void look_up(uv_timer_t *timer)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct hb_address_watch *watch = timer->data;

    watch->busy = uv_getaddrinfo(timer->loop, &watch->lookup, on_looked_up, watch->host, watch->port, &hints) == 0;
    if (!watch->busy)
        uv_timer_start(timer, look_up, HB_ADDRESS_RETRY_MS, 0);
}

struct hb_address_watch *hb_address_watch_new(struct uv_loop_s *loop, const char *host, uint16_t port,
                                              void (*found)(void *self, const struct addrinfo *list), void *self)
{
    struct hb_address_watch *watch = calloc(1, sizeof *watch);

    if (watch == NULL)
        return NULL;
    watch->host = strdup(host);
    if (watch->host == NULL) {
        free(watch);
        return NULL;
    }
    snprintf(watch->port, sizeof watch->port, "%u", (unsigned)port);
    watch->found = found;
    watch->self = self;
    uv_timer_init(loop, &watch->timer);
    watch->timer.data = watch->lookup.data = watch;
    watch->open = true;
    return watch;
}

void hb_address_watch_start(struct hb_address_watch *watch)
{
    uv_timer_start(&watch->timer, look_up, 0, 0);
}

static void on_closed(uv_handle_t *handle)
{
    struct hb_address_watch *watch = handle->data;

    watch->open = false;
    release(watch);
}

void hb_address_watch_close(struct hb_address_watch *watch)
{
    if (watch->busy)
        uv_cancel((uv_req_t *)&watch->lookup); /* one that is running already is waited for */
    uv_close((uv_handle_t *)&watch->timer, on_closed);
}
