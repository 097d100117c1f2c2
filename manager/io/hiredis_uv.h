/*
 * hiredis_uv: lets libuv watch the socket of an asynchronous hiredis context.
 *
 * The adapter that hiredis brings along ignores errors of the poll handle, so with 0.14 a refused connection is never
 * reported to anybody. This one hands them to hiredis, which then finds out itself what is wrong with its socket.
 */
#ifndef HB_IO_HIREDIS_UV_H
#define HB_IO_HIREDIS_UV_H

#include "proto/base/err.h"

struct uv_loop_s;
struct redisAsyncContext;

/* The context owns what this allocates: freeing the context closes the handle, and the loop then frees the memory. */
enum hb_err hb_hiredis_uv_attach(struct uv_loop_s *loop, struct redisAsyncContext *context) HB_MUST_CHECK;

#endif
