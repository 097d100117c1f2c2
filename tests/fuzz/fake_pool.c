#include "tests/fuzz/fake_pool.h"

#include <stddef.h>
#include <uv.h>

#include "tests/fuzz/fuzz.h"

static struct {
    uv_work_t *request;
    uv_work_cb work;
    uv_after_work_cb done;
} queued;

static bool refusing;

int uv_queue_work(uv_loop_t *loop, uv_work_t *request, uv_work_cb work, uv_after_work_cb done)
{
    (void)loop;
    if (refusing)
        return UV_ENOMEM;
    FUZZ_CHECK(queued.request == NULL, "more than one at a time");
    queued.request = request;
    queued.work = work;
    queued.done = done;
    return 0;
}

void fake_pool_refuse(bool refuse)
{
    refusing = refuse;
}

void fake_pool_run(void)
{
    uv_work_t *request = queued.request;

    if (request == NULL)
        return;
    queued.request = NULL;
    queued.work(request);
    queued.done(request, 0);
}
