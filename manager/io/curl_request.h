/*
 * curl_request: one request of curl_loop's: a handle of libcurl's with all its settings, and what its end means.
 * libcurl.
 *
 * A handle serves one request after the other, which spares 1.7 microseconds each.
 */
#ifndef HB_IO_CURL_REQUEST_H
#define HB_IO_CURL_REQUEST_H

#include <curl/curl.h>

#include "manager/app/list.h"
#include "manager/io/curl_loop.h"
#include "proto/base/heap.h"

struct hb_curl_request {
    struct hb_heap_node overtime; /* the first member; when curl_loop's own timer ends it */
    struct hb_link link;          /* among those that run, or in the pool */
    struct hb_curl_loop *loop;
    hb_curl_fn ended;
    void *self;
    CURL *easy;
    const struct hb_curl_config *config;
    struct hb_buf body;
    size_t head_len;
    int socket_error; /* errno of the last socket() that failed; 0 */
    bool blocked;     /* an address of it may not be polled */
    bool connecting;  /* another address of it may, and was tried */
    bool connected;   /* one of them was reached: known when its socket is closed */
    bool body_over;   /* its body was longer than HB_CURL_BODY_MAX */
    bool head_whole;  /* the blank line that ends its head was there */
    bool starved;     /* descriptors were scarce while it was under way: a name that is not found means nothing */
    bool stalled;     /* this process was away, or could not watch its socket: a timeout means nothing */
};

/* config and headers outlive it. NULL when out of memory. */
struct hb_curl_request *hb_curl_request_new(const struct hb_curl_config *config, struct curl_slist *headers);
void hb_curl_request_free(struct hb_curl_request *request);
/* For the next request: everything that the one before has left is forgotten. False: out of memory. */
bool hb_curl_request_aim(struct hb_curl_request *request, const char *url, int64_t timeout_ms);
/* What its end means; its handle was removed from the multi handle before. The body stays until the next aim. */
struct hb_curl_answer hb_curl_request_answer(const struct hb_curl_request *request, CURLcode code);

#endif
