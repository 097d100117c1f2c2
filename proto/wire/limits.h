/*
 * limits: every ceiling that a client can run into, as PROTOCOL.md states them.
 */
#ifndef HB_WIRE_LIMITS_H
#define HB_WIRE_LIMITS_H

#define HB_ID_MAX 64          /* bytes, [A-Za-z0-9._:-] */
#define HB_NAME_MAX 128       /* bytes, no control characters */
#define HB_HOST_MAX 255       /* bytes: a DNS name or an address */
#define HB_URL_MAX 2048       /* bytes */
#define HB_STATUS_TEXT_MAX 64 /* bytes of a beat's own status word */
#define HB_ATTRIBUTES_MAX 32  /* pairs */
#define HB_ATTRIBUTE_KEY_MAX 64
#define HB_ATTRIBUTE_VALUE_MAX 256
#define HB_METRICS_MAX 16       /* pairs */
#define HB_BEAT_BYTES_MAX 4096  /* one WebSocket message */
#define HB_BODY_BYTES_MAX 16384 /* one HTTP request body */
#define HB_JSON_DEPTH_MAX 8
#define HB_JSON_MEMBERS_MAX 256 /* of one object */
#define HB_ROW_BYTES_MAX 32768  /* one serialised row */

#define HB_TEXTS_BYTES_MAX ((size_t)256 << 20)    /* names, hosts, urls, attributes, metrics of all workers */
#define HB_TIMELINES_BYTES_MAX ((size_t)64 << 20) /* timelines of all workers */
#define HB_OUTBOX_BYTES_MAX ((size_t)128 << 20)   /* transitions that wait for Redis */

#define HB_TIMEOUT_MIN_MS 100
#define HB_TIMEOUT_MAX_MS 86400000

#endif
