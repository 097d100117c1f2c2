/*
 * health_status: who may get traffic, as the small projects' pollers write it: {"server1":true,"server2":false}.
 *
 * A worker stands there under its name. Names need not be unique, keys must be: a name that is the id of another
 * worker, or that a worker before it in the list has, gives way to the worker's own id. Those of TARGETS_FILE come
 * first, then the others; each of them by id. So nobody takes the name of a listed service away by calling itself the
 * same.
 */
#ifndef HB_APP_HEALTH_STATUS_H
#define HB_APP_HEALTH_STATUS_H

#include "manager/core/registry.h"
#include "proto/base/buf.h"

#define HB_HEALTH_STATUS_BYTES_MAX ((size_t)256 << 20) /* of the file */

/*
 * Appends the object and a newline. The buffer's status tells of its ceiling; HB_ERR_NO_MEMORY also when there was none
 * for the names. O(workers), with two look-ups for each: 0.1 ms for 1,000, 2 ms for 10,000, 80 ms
 * for 100,000.
 */
enum hb_err hb_health_status_write(const struct hb_registry *registry, struct hb_buf *out) HB_MUST_CHECK;

#endif
