/*
 * names: the Redis keys and channels, the WebSocket close codes and the paths, each spelled once.
 */
#ifndef HB_WIRE_NAMES_H
#define HB_WIRE_NAMES_H

#define HB_KEY_WORKERS "workers"
#define HB_KEY_EVENTS "workers:events"
#define HB_KEY_META "workers:meta"
#define HB_EVENTS_MAXLEN "100000"

#define HB_WS_SUBPROTOCOL "heartbeat.v1"
#define HB_WS_PATH_PREFIX "/ws/"

enum hb_close_code {
    HB_CLOSE_NORMAL = 1000,
    HB_CLOSE_GOING_AWAY = 1001,
    HB_CLOSE_ABNORMAL = 1006, /* never sent: what a vanished peer counts as */
    HB_CLOSE_BAD_UTF8 = 1007,
    HB_CLOSE_POLICY = 1008,
    HB_CLOSE_TOO_BIG = 1009,
    HB_CLOSE_RESTART = 1012,
    HB_CLOSE_REPLACED = 4000,
    HB_CLOSE_REMOVED = 4001,
    HB_CLOSE_CONFLICT = 4009,
};

#endif
