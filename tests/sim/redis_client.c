#include "tests/sim/redis_client.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/io/redis_link.h"
#include "tests/sim/memory.h"
#include "tests/sim/redis_server.h"

#define COMMANDS_MAX 64
#define BREAKS_OF_1000 5 /* connections, under a command */
#define NEVER INT64_MAX

struct hb_redis_link {
    struct hb_redis_link_events events;
    bool open, started, up;
    int64_t attempt_at; /* while down */
    int64_t end_at;     /* the connection breaks then; NEVER: it holds */
    uint32_t connection;
};

struct command {
    bool used;
    uint32_t connection;
    int argc;
    struct hb_text *argv; /* with the bytes behind it */
    hb_redis_reply_fn reply_fn;
    void *self;
    int64_t sent_at, execute_at, answer_at; /* NEVER: not, or done already */
    struct redisReply *reply;
};

static struct {
    struct sim *sim;
    struct hb_redis_link link; /* there is one manager at a time */
    struct command commands[COMMANDS_MAX];
    uint64_t sent, lost_before, lost_after, held_up, cuts, timeouts;
} client;

void client_open(struct sim *sim)
{
    memset(&client, 0, sizeof client);
    client.sim = sim;
}

static void drop(struct command *command)
{
    free(command->argv);
    if (command->reply != NULL)
        server_reply_free(command->reply);
    *command = (struct command){.used = false};
}

void client_close(void)
{
    for (size_t i = 0; i < COMMANDS_MAX; i++) {
        if (client.commands[i].used)
            drop(&client.commands[i]);
    }
}

/* ---- what the store calls ---- */

struct hb_redis_link *hb_redis_link_new(struct uv_loop_s *loop, const struct hb_redis_link_config *config,
                                        struct hb_redis_link_events events)
{
    (void)loop;
    (void)config;
    client.link = (struct hb_redis_link){
        .events = events, .open = true, .attempt_at = NEVER, .end_at = NEVER, .connection = client.link.connection + 1};
    return &client.link;
}

void hb_redis_link_start(struct hb_redis_link *link)
{
    link->attempt_at = client.sim->now + 1;
}

bool hb_redis_link_is_up(const struct hb_redis_link *link)
{
    return link->up;
}

static struct hb_text *copy_argv(int argc, const struct hb_text *argv)
{
    size_t size = (size_t)argc * sizeof *argv;
    struct hb_text *copy;
    char *bytes;

    for (int i = 0; i < argc; i++)
        size += argv[i].len + 1;
    copy = malloc(size);
    if (copy == NULL)
        abort();
    bytes = (char *)(copy + argc);
    for (int i = 0; i < argc; i++) {
        memcpy(bytes, argv[i].bytes, argv[i].len);
        bytes[argv[i].len] = '\0';
        copy[i] = (struct hb_text){bytes, argv[i].len};
        bytes += argv[i].len + 1;
    }
    return copy;
}

enum hb_err hb_redis_link_command(struct hb_redis_link *link, int argc, const struct hb_text *argv,
                                  hb_redis_reply_fn reply_fn, void *self)
{
    struct sim *sim = client.sim;
    struct command *command = client.commands;
    void *memory;
    bool inside;

    if (!link->up || link->end_at != NEVER)
        return HB_ERR_IO;
    memory = malloc(64); /* as the real link does, so that it may fail as there */
    if (memory == NULL)
        return HB_ERR_NO_MEMORY;
    free(memory);
    inside = memory_inside(false);
    while (command < client.commands + COMMANDS_MAX && command->used)
        command++;
    if (command == client.commands + COMMANDS_MAX)
        abort();
    client.sent++;
    *command = (struct command){.used = true,
                                .connection = link->connection,
                                .argc = argc,
                                .argv = copy_argv(argc, argv),
                                .reply_fn = reply_fn,
                                .self = self,
                                .sent_at = sim->now,
                                .execute_at = sim->now + server_draw_delay(sim)};
    command->answer_at = command->execute_at + server_draw_delay(sim);
    if (sim->options.faults && random_chance(&sim->random, BREAKS_OF_1000))
        link->end_at = sim->now + random_between(&sim->random, 0, command->answer_at - sim->now);
    memory_inside(inside);
    return HB_OK;
}

void hb_redis_link_reset(struct hb_redis_link *link, const char *cause)
{
    (void)cause;
    if (link->up && link->end_at == NEVER)
        link->end_at = client.sim->now;
}

/* What is on its way to Redis may still arrive there. */
static void abandon(struct command *command)
{
    struct random *random = &client.sim->random;

    command->reply_fn = NULL;
    command->answer_at = NEVER;
    if (command->execute_at == NEVER) {
        client.lost_after++;
        drop(command);
    } else if (random_chance(random, 500)) {
        client.lost_before++;
        drop(command);
    } else {
        client.held_up++;
        if (random_chance(random, 500))
            command->execute_at += random_spread(random, 1, 20000);
    }
}

void hb_redis_link_close(struct hb_redis_link *link)
{
    for (size_t i = 0; i < COMMANDS_MAX; i++) {
        if (client.commands[i].used && client.commands[i].reply_fn != NULL)
            abandon(&client.commands[i]);
    }
    link->open = link->up = false;
    link->attempt_at = link->end_at = NEVER;
    link->connection++;
}

/* ---- what happens ---- */

static void answer(struct command *command, struct redisReply *reply)
{
    hb_redis_reply_fn reply_fn = command->reply_fn;
    void *self = command->self;
    bool inside = memory_inside(true);

    reply_fn(self, reply);
    memory_inside(inside);
}

/* The store is answered with nothing for each command, and then told. */
static void go_down(struct hb_redis_link *link)
{
    bool inside;

    client.cuts++;
    link->up = false;
    link->end_at = NEVER;
    link->attempt_at = client.sim->now + HB_REDIS_RETRY_MS;
    link->connection++;
    for (size_t i = 0; i < COMMANDS_MAX; i++) {
        struct command command = client.commands[i];

        if (!command.used || command.reply_fn == NULL)
            continue;
        abandon(&client.commands[i]);
        answer(&command, NULL);
    }
    sim_note(client.sim, TIMELINE_NOBODY, "the connection to Redis is down");
    inside = memory_inside(true);
    link->events.down(link->events.self, "simulated");
    memory_inside(inside);
}

static void try_connect(struct hb_redis_link *link)
{
    bool inside;

    link->attempt_at = client.sim->now + HB_REDIS_RETRY_MS;
    if (!server_is_there())
        return;
    link->attempt_at = NEVER;
    link->up = true;
    sim_note(client.sim, TIMELINE_NOBODY, "the connection to Redis is up");
    inside = memory_inside(true);
    link->events.up(link->events.self);
    memory_inside(inside);
}

static void execute(struct command *command)
{
    command->execute_at = NEVER;
    if (!server_is_there()) {
        command->answer_at = NEVER;
        if (command->reply_fn == NULL)
            drop(command);
        return;
    }
    command->reply = server_execute(client.sim, command->argc, command->argv);
    if (command->reply_fn == NULL)
        drop(command);
}

static void deliver(struct command *command)
{
    struct command done = *command;

    *command = (struct command){.used = false};
    answer(&done, done.reply);
    server_reply_free(done.reply);
    free(done.argv);
}

/* The earliest thing that any command waits for. */
static struct command *next_command(int64_t *ret_at)
{
    struct command *next = NULL;

    *ret_at = NEVER;
    for (size_t i = 0; i < COMMANDS_MAX; i++) {
        struct command *command = &client.commands[i];
        int64_t at = command->execute_at != NEVER ? command->execute_at : command->answer_at;

        if (command->used && at < *ret_at) {
            next = command;
            *ret_at = at;
        }
    }
    return next;
}

/* The oldest command that has waited too long. */
static int64_t timeout_at(void)
{
    int64_t at = NEVER;

    for (size_t i = 0; i < COMMANDS_MAX; i++) {
        const struct command *command = &client.commands[i];

        if (command->used && command->reply_fn != NULL && command->sent_at + HB_REDIS_TIMEOUT_MS < at)
            at = command->sent_at + HB_REDIS_TIMEOUT_MS;
    }
    return at;
}

static int64_t earliest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t client_next(void)
{
    int64_t at;

    (void)next_command(&at);
    at = earliest(at, server_next_trouble());
    at = earliest(at, client.link.end_at);
    at = earliest(at, client.link.attempt_at);
    return earliest(at, timeout_at());
}

void client_run(void)
{
    struct hb_redis_link *link = &client.link;
    int64_t now = client.sim->now;
    int64_t at;

    while (client_next() <= now) {
        struct command *command = next_command(&at);

        if (server_next_trouble() <= earliest(at, now)) {
            server_trouble(client.sim);
            if (server_take_cut() && link->up && link->end_at == NEVER)
                link->end_at = now;
        } else if (command != NULL && at <= now) {
            if (command->execute_at != NEVER)
                execute(command);
            else
                deliver(command);
        } else if (link->end_at <= now) {
            go_down(link);
        } else if (link->attempt_at <= now) {
            try_connect(link);
        } else if (timeout_at() <= now) {
            client.timeouts++;
            go_down(link);
        }
    }
}

bool client_is_idle(void)
{
    for (size_t i = 0; i < COMMANDS_MAX; i++) {
        if (client.commands[i].used && client.commands[i].reply_fn != NULL)
            return false;
    }
    return true;
}

void client_report(void)
{
    printf("  %" PRIu64 " commands; %" PRIu64 " connections broke, %" PRIu64 " of them for silence; %" PRIu64
           " commands were lost, %" PRIu64 " answers, %" PRIu64 " executed later\n",
           client.sent, client.cuts, client.timeouts, client.lost_before, client.lost_after, client.held_up);
}
