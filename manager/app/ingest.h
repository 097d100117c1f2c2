/*
 * ingest: from bytes and an address to one input of the manager, or to one sentence that says why not.
 *
 * Everything a client may send comes through here, whatever carried it; the limits are proto/wire/limits.h's.
 */
#ifndef HB_APP_INGEST_H
#define HB_APP_INGEST_H

#include "manager/app/manager.h"
#include "proto/wire/limits.h"

struct hb_ingest;

struct hb_ingest *hb_ingest_new(struct hb_manager *manager); /* NULL when out of memory */
void hb_ingest_free(struct hb_ingest *ingest);               /* accepts NULL */

/* Why the last call failed: one sentence, valid until the next call. */
const char *hb_ingest_error(const struct hb_ingest *ingest);

/*
 * Errors, here and below: HB_ERR_SYNTAX and HB_ERR_SHAPE as the codec gives them, HB_ERR_INVALID a bad id, the others
 * as hb_registry_step gives them. *ret_worker is valid until the next change of the registry.
 */
enum hb_err hb_ingest_register(struct hb_ingest *ingest, struct hb_text body, struct hb_text peer_host,
                               struct hb_moment now, const struct hb_worker **ret_worker) HB_MUST_CHECK;
/* socket is NULL when it came over HTTP; an empty body is then a plain beat. */
enum hb_err hb_ingest_beat(struct hb_ingest *ingest, struct hb_text id, void *socket, struct hb_text body,
                           struct hb_text peer_host, struct hb_moment now) HB_MUST_CHECK;
enum hb_err hb_ingest_socket_opened(struct hb_ingest *ingest, struct hb_text id, void *socket,
                                    struct hb_moment now) HB_MUST_CHECK;
void hb_ingest_socket_closed(struct hb_ingest *ingest, struct hb_text id, void *socket, uint16_t close_code,
                             struct hb_moment now);
enum hb_err hb_ingest_remove(struct hb_ingest *ingest, struct hb_text id, struct hb_moment now) HB_MUST_CHECK;

/* body may be empty: the longest ttl, no reason. Again: the new ttl and reason replace the old ones. */
enum hb_err hb_ingest_maintenance(struct hb_ingest *ingest, struct hb_text id, struct hb_text body,
                                  struct hb_moment now) HB_MUST_CHECK;
/* HB_OK also when it was not in maintenance. */
enum hb_err hb_ingest_end_maintenance(struct hb_ingest *ingest, struct hb_text id, struct hb_moment now) HB_MUST_CHECK;

struct hb_manager *hb_ingest_manager(struct hb_ingest *ingest);

#endif
