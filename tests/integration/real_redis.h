/*
 * real_redis: a private redis-server for a test: its own port, directory and process, gone when the test is.
 */
#ifndef HB_TESTS_INTEGRATION_REAL_REDIS_H
#define HB_TESTS_INTEGRATION_REAL_REDIS_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct real_redis {
    pid_t pid;
    uint16_t port;
    redisContext *client;   /* what the test asks and changes through */
    redisContext *listener; /* subscribed to server:*; NULL until real_redis_listen */
    bool ping_sent;         /* on the listener; its pong comes after the messages before it */
};

/* Each fails the test when it cannot do what it says. */
void real_redis_start(struct real_redis *redis); /* on a free port, or, when it has one, on that again */
void real_redis_kill(struct real_redis *redis);  /* SIGKILL: everything in it is lost */
void real_redis_freeze(struct real_redis *redis);
void real_redis_thaw(struct real_redis *redis);

/* Arguments as redisCommand takes them. The reply is valid until the next call; an error reply fails the test. */
const redisReply *real_redis_ask(struct real_redis *redis, const char *format, ...);

void real_redis_listen(struct real_redis *redis);
/* The next message: channel and event in element[2] and [3]; free it. NULL when all that was published was heard. */
redisReply *real_redis_heard(struct real_redis *redis);

#endif
