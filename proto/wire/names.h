/*
 * names: the Redis keys and the paths, each spelled once.
 */
#ifndef HB_WIRE_NAMES_H
#define HB_WIRE_NAMES_H

#define HB_KEY_WORKERS "workers"
#define HB_KEY_EVENTS "workers:events"
#define HB_KEY_META "workers:meta"
#define HB_EVENTS_MAXLEN "100000"
#define HB_CHANNEL_RESET "server:reset" /* events were lost: read the hash again; the others are in HB_EDGE_MAP */

#define HB_WS_SUBPROTOCOL "heartbeat.v1"
#define HB_WS_PATH_PREFIX "/ws/"

#endif
