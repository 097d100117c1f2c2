/*
 * redis_server: as much of a Redis as the store talks to, in memory: the hash of rows, meta, and the one script.
 *
 * The script is redis_script.c's, told again in C. Its stream and its channels are not kept: what would be appended and
 * published goes to the subscriber (tests/sim/subscriber.h), which holds it against what may be said. Fields of others
 * lie in the hash too, and nobody may touch them.
 */
#ifndef HB_SIM_REDIS_SERVER_H
#define HB_SIM_REDIS_SERVER_H

#include "tests/sim/sim.h"

struct redisReply;

void server_open(struct sim *sim);
void server_close(void);

/* The reply is given back with server_reply_free. */
struct redisReply *server_execute(struct sim *sim, int argc, const struct hb_text *argv);
void server_reply_free(struct redisReply *reply);

bool server_is_there(void);
/* When something was last not as a client wants it; the store may need a moment to get over it. */
int64_t server_troubled_at(const struct sim *sim);
/* How long a command takes now, there and back. */
int64_t server_draw_delay(struct sim *sim);

/* The next trouble: its time, and what it does. Connections that must break are the client's: it asks `cut`. */
int64_t server_next_trouble(void);
void server_trouble(struct sim *sim);
bool server_take_cut(void);

/* The row of a worker, or absent. */
struct hb_text server_row(uint32_t index);
size_t server_fields(void);
bool server_foreign_intact(void);

void server_report(void);

#endif
