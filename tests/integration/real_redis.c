#include "tests/integration/real_redis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_TRIES 500
#define TRY_MS 20

static redisReply *last_reply;

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void become_server(uint16_t port)
{
    char port_text[8];

    snprintf(port_text, sizeof port_text, "%u", (unsigned)port);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execlp("redis-server", "redis-server", "--port", port_text, "--bind", "127.0.0.1", "--save", "", "--appendonly",
           "no", "--logfile", "/dev/null", "--dir", "/tmp", "--enable-debug-command", "local", (char *)NULL);
    _exit(127);
}

static redisContext *connect_to(uint16_t port)
{
    for (int i = 0; i < START_TRIES; i++) {
        redisContext *client = redisConnect("127.0.0.1", port);
        redisReply *pong = client != NULL && client->err == 0 ? redisCommand(client, "PING") : NULL;

        if (pong != NULL && pong->type == REDIS_REPLY_STATUS) {
            freeReplyObject(pong);
            return client;
        }
        if (pong != NULL)
            freeReplyObject(pong);
        redisFree(client);
        poll(NULL, 0, TRY_MS);
    }
    fail_msg("redis-server on port %u does not answer", (unsigned)port);
    return NULL;
}

void real_redis_start(struct real_redis *redis)
{
    if (redis->port == 0)
        redis->port = free_port();
    redis->pid = fork();
    assert_true(redis->pid >= 0);
    if (redis->pid == 0)
        become_server(redis->port);
    redis->client = connect_to(redis->port);
}

void real_redis_kill(struct real_redis *redis)
{
    if (redis->pid <= 0)
        return;
    kill(redis->pid, SIGKILL);
    waitpid(redis->pid, NULL, 0);
    redis->pid = 0;
    redisFree(redis->client);
    redis->client = NULL;
    redisFree(redis->listener);
    redis->listener = NULL;
    redis->ping_sent = false;
    if (last_reply != NULL)
        freeReplyObject(last_reply);
    last_reply = NULL;
}

void real_redis_freeze(struct real_redis *redis)
{
    assert_int_equal(kill(redis->pid, SIGSTOP), 0);
}

void real_redis_thaw(struct real_redis *redis)
{
    assert_int_equal(kill(redis->pid, SIGCONT), 0);
}

const redisReply *real_redis_ask(struct real_redis *redis, const char *format, ...)
{
    va_list args;

    if (last_reply != NULL)
        freeReplyObject(last_reply);
    va_start(args, format);
    last_reply = redisvCommand(redis->client, format, args);
    va_end(args);
    assert_non_null(last_reply);
    if (last_reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", format, last_reply->str);
    return last_reply;
}

void real_redis_listen(struct real_redis *redis)
{
    redisReply *reply;

    redis->listener = connect_to(redis->port);
    reply = redisCommand(redis->listener, "PSUBSCRIBE server:*");
    assert_non_null(reply);
    freeReplyObject(reply);
}

redisReply *real_redis_heard(struct real_redis *redis)
{
    redisReply *reply = NULL;

    if (!redis->ping_sent) {
        assert_int_equal(redisAppendCommand(redis->listener, "PING"), REDIS_OK);
        redis->ping_sent = true;
    }
    assert_int_equal(redisGetReply(redis->listener, (void **)&reply), REDIS_OK);
    if (reply->elements == 4)
        return reply;
    freeReplyObject(reply); /* the pong: whatever was published before the PING was heard before it */
    redis->ping_sent = false;
    return NULL;
}
