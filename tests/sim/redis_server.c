#include "tests/sim/redis_server.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/names.h"
#include "tests/sim/subscriber.h"

#define TROUBLE_MEAN_MS (90 * 1000)
#define FOREIGN 20
#define NEVER INT64_MAX
#define SHA "0123456789abcdef0123456789abcdef01234567"

/* What a copy on disk holds. */
struct data {
    char **rows; /* by worker; NULL: no such field */
    size_t count;
    bool foreign; /* the fields of others are there: they come and go with the rest */
    uint64_t epoch, seq, batch;
};

static struct {
    struct data data, copy;
    uint32_t workers;
    bool there, scripted, cut;
    const char *refusal; /* NULL: writes succeed */
    int64_t slow_until, refuse_until, absent_until, troubled_at;
    int64_t next_trouble;
    uint64_t overlapping, slowed, refused, emptied, killed, older, partly, unscripted, batches, stale, behind, fenced,
        foreign_touched;
} server;

/* ---- data ---- */

static void *need(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

static char *copy_text(const char *bytes, size_t len)
{
    char *copy = need(malloc(len + 1));

    memcpy(copy, bytes, len);
    copy[len] = '\0';
    return copy;
}

static void data_open(struct data *data)
{
    *data = (struct data){.rows = need(calloc(server.workers, sizeof *data->rows)), .foreign = true};
}

static void data_clear(struct data *data)
{
    char **rows = data->rows;

    for (uint32_t i = 0; i < server.workers; i++) {
        free(rows[i]);
        rows[i] = NULL;
    }
    *data = (struct data){.rows = rows};
}

static void data_copy(struct data *to, const struct data *from)
{
    char **rows = to->rows;

    data_clear(to);
    *to = *from;
    to->rows = rows;
    for (uint32_t i = 0; i < server.workers; i++)
        rows[i] = from->rows[i] == NULL ? NULL : copy_text(from->rows[i], strlen(from->rows[i]));
}

static bool index_of(struct hb_text id, uint32_t *ret_index)
{
    if (id.len < 2 || id.bytes[0] != 'w')
        return false;
    *ret_index = (uint32_t)strtoul(id.bytes + 1, NULL, 10);
    return *ret_index < server.workers;
}

/* How many fields that adds. */
static size_t put(struct data *data, struct hb_text id, const char *row, size_t len)
{
    uint32_t index;
    size_t before = data->count;

    if (!index_of(id, &index)) {
        server.foreign_touched++;
        return 0;
    }
    data->count += (row != NULL ? 1 : 0) - (data->rows[index] != NULL ? 1 : 0);
    free(data->rows[index]);
    data->rows[index] = row == NULL ? NULL : copy_text(row, len);
    return data->count - before;
}

struct hb_text server_row(uint32_t index)
{
    return hb_text_of(server.data.rows[index]);
}

size_t server_fields(void)
{
    return server.data.count + (server.data.foreign ? FOREIGN : 0);
}

bool server_foreign_intact(void)
{
    return server.foreign_touched == 0;
}

/* ---- replies ---- */

static struct redisReply *reply_new(int type, const char *bytes, size_t len)
{
    struct redisReply *reply = need(calloc(1, sizeof *reply));

    reply->type = type;
    if (bytes != NULL) {
        reply->str = copy_text(bytes, len);
        reply->len = len;
    }
    return reply;
}

static struct redisReply *text_reply(int type, const char *text)
{
    return reply_new(type, text, strlen(text));
}

static struct redisReply *array_reply(size_t count)
{
    struct redisReply *reply = reply_new(REDIS_REPLY_ARRAY, NULL, 0);

    reply->element = need(calloc(count + 1, sizeof *reply->element));
    reply->elements = count;
    return reply;
}

static struct redisReply *number_reply(uint64_t number)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, number);
    return text_reply(REDIS_REPLY_STRING, text);
}

void server_reply_free(struct redisReply *reply)
{
    if (reply == NULL)
        return;
    for (size_t i = 0; i < reply->elements; i++)
        server_reply_free(reply->element[i]);
    free(reply->element);
    free(reply->str);
    free(reply);
}

/* ---- HMGET of meta, HSCAN of the hash ---- */

static struct redisReply *meta_number(uint64_t number)
{
    return server.data.epoch == 0 ? reply_new(REDIS_REPLY_NIL, NULL, 0) : number_reply(number);
}

static struct redisReply *read_meta(void)
{
    struct redisReply *reply = array_reply(3);

    reply->element[0] = meta_number(server.data.epoch);
    reply->element[1] = meta_number(server.data.seq);
    reply->element[2] = meta_number(server.data.batch);
    return reply;
}

static void foreign_field(size_t number, char id[32], char row[128])
{
    static const char *const rows[] = {
        "{\"worker_id\":\"x\",\"no\":\"row\"}",
        "not JSON at all",
        "",
        "{\"worker_id\":\"f%zu\",\"worker_name\":\"f\",\"host\":null,\"port\":null,\"status\":\"gone\"}",
    };

    snprintf(id, 32, "foreign%zu", number);
    snprintf(row, 128, "%s", rows[number % (sizeof rows / sizeof rows[0])]);
}

/* The cursor is the next worker's number plus one; fields of others come with the last page. */
static struct redisReply *scan(uint64_t cursor, uint64_t count)
{
    struct redisReply *reply = array_reply(2);
    struct redisReply *page = array_reply(2 * (size_t)count + 2 * FOREIGN);
    uint64_t at = cursor == 0 ? 0 : cursor - 1;
    size_t fill = 0;
    char id[32], row[128];

    for (; at < server.workers && fill < 2 * count; at++) {
        if (server.data.rows[at] == NULL)
            continue;
        snprintf(id, sizeof id, "w%" PRIu64, at);
        page->element[fill++] = text_reply(REDIS_REPLY_STRING, id);
        page->element[fill++] = text_reply(REDIS_REPLY_STRING, server.data.rows[at]);
    }
    for (size_t i = 0; at == server.workers && server.data.foreign && i < FOREIGN; i++) {
        foreign_field(i, id, row);
        page->element[fill++] = text_reply(REDIS_REPLY_STRING, id);
        page->element[fill++] = text_reply(REDIS_REPLY_STRING, row);
    }
    page->elements = fill;
    reply->element[0] = number_reply(at == server.workers ? 0 : at + 1);
    reply->element[1] = page;
    return reply;
}

/* ---- the script ---- */

/* Its arguments, as redis_script.h has them; lists count from argv. */
struct batch {
    uint64_t epoch, seq, batch, number;
    bool begin;
    int events, rows, gone;                 /* how many */
    int first_event, first_row, first_gone; /* where */
};

static uint64_t number_at(const struct hb_text *argv, int place)
{
    return strtoull(argv[place].bytes, NULL, 10);
}

static struct batch read_batch(const struct hb_text *argv)
{
    struct batch batch = {
        .epoch = number_at(argv, 7),
        .seq = number_at(argv, 8),
        .batch = number_at(argv, 9),
        .number = number_at(argv, 10),
        .begin = strcmp(argv[11].bytes, "begin") == 0,
        .events = (int)number_at(argv, 12),
        .rows = (int)number_at(argv, 13),
        .gone = (int)number_at(argv, 14),
        .first_event = 15,
    };

    batch.first_row = batch.first_event + 3 * batch.events;
    batch.first_gone = batch.first_row + 2 * batch.rows;
    return batch;
}

static struct redisReply *script_reply(const char *word, uint64_t number, bool with_fields)
{
    struct redisReply *reply = array_reply(with_fields ? 3 : 2);

    reply->element[0] = text_reply(REDIS_REPLY_STRING, word);
    reply->element[1] = number_reply(number);
    if (with_fields)
        reply->element[2] = number_reply(server_fields());
    return reply;
}

static void write_batch(struct sim *sim, const struct batch *batch, const struct hb_text *argv, uint64_t done)
{
    struct data *data = &server.data;
    bool writes = batch->begin || batch->events + batch->rows + batch->gone > 0;
    uint64_t seq = done;

    for (int i = 0; i < batch->gone; i++)
        (void)put(data, argv[batch->first_gone + i], NULL, 0);
    for (int i = batch->first_row; i < batch->first_gone; i += 2)
        (void)put(data, argv[i], argv[i + 1].bytes, argv[i + 1].len);
    for (int i = batch->first_event; i < batch->first_row; i += 3) {
        if (number_at(argv, i) > done) {
            seq = number_at(argv, i);
            subscriber_read(sim, argv[i + 1]);
        }
    }
    for (int i = batch->first_event; i < batch->first_row; i += 3) {
        if (number_at(argv, i) > done && argv[i + 2].len > 0)
            subscriber_hear(sim, argv[i + 2], argv[i + 1]);
    }
    data->seq = seq;
    if (!writes)
        return;
    if (sim->registry != NULL && batch->epoch != hb_registry_epoch(sim->registry)) {
        server.overlapping++;
        subscriber_late_batch(sim);
    }
    data->epoch = batch->epoch;
    data->batch = batch->number;
}

static struct redisReply *run_script(struct sim *sim, const struct hb_text *argv)
{
    struct batch batch = read_batch(argv);
    struct data *data = &server.data;
    uint64_t known_seq = data->epoch == batch.epoch ? data->seq : 0;
    uint64_t known_batch = data->epoch == batch.epoch ? data->batch : 0;
    uint64_t kept_seq = data->seq;

    server.batches++;
    if (data->epoch > batch.epoch) {
        server.fenced++;
        return script_reply("FENCED", data->epoch, false);
    }
    if (known_batch >= batch.number) {
        server.stale++;
        return script_reply("STALE", known_batch, false);
    }
    if (!batch.begin && (data->epoch < batch.epoch || known_seq < batch.seq || known_batch < batch.batch)) {
        server.behind++;
        return script_reply("BEHIND", known_seq, false);
    }
    if (server.refusal != NULL && (batch.begin || batch.events + batch.rows + batch.gone > 0)) {
        server.refused++;
        return text_reply(REDIS_REPLY_ERROR, server.refusal);
    }
    write_batch(sim, &batch, argv, known_seq > batch.seq ? known_seq : batch.seq);
    known_seq = data->seq;
    if (!batch.begin && batch.events + batch.rows + batch.gone == 0)
        data->seq = kept_seq; /* nothing was written, meta neither */
    return script_reply("OK", known_seq, true);
}

struct redisReply *server_execute(struct sim *sim, int argc, const struct hb_text *argv)
{
    if (argc == 3 && strcmp(argv[0].bytes, "SCRIPT") == 0) {
        server.scripted = true;
        return text_reply(REDIS_REPLY_STRING, SHA);
    }
    if (strcmp(argv[0].bytes, "HMGET") == 0)
        return read_meta();
    if (strcmp(argv[0].bytes, "HSCAN") == 0)
        return scan(number_at(argv, 2), number_at(argv, 4));
    if (strcmp(argv[0].bytes, "EVALSHA") == 0)
        return server.scripted ? run_script(sim, argv)
                               : text_reply(REDIS_REPLY_ERROR, "NOSCRIPT No matching script. Please use EVAL.");
    return text_reply(REDIS_REPLY_ERROR, "ERR unknown command");
}

/* ---- trouble ---- */

bool server_is_there(void)
{
    return server.there;
}

int64_t server_troubled_at(const struct sim *sim)
{
    return server.there && server.refusal == NULL ? server.troubled_at : sim->now;
}

int64_t server_draw_delay(struct sim *sim)
{
    return sim->now < server.slow_until ? random_spread(&sim->random, 1, 3000) : random_below(&sim->random, 3);
}

int64_t server_next_trouble(void)
{
    return server.next_trouble;
}

bool server_take_cut(void)
{
    bool cut = server.cut;

    server.cut = false;
    return cut;
}

static void empty(struct sim *sim)
{
    server.emptied++;
    data_clear(&server.data);
    subscriber_set_back(sim);
    sim_note(sim, TIMELINE_NOBODY, "Redis is emptied");
}

/* More rows than there are fields of others: fewer would not be noticed. */
static void lose_some(struct sim *sim)
{
    uint32_t from = (uint32_t)random_below(&sim->random, server.workers);

    server.partly++;
    for (uint32_t i = 0; i < server.workers / 4 + 2 * FOREIGN && i < server.workers; i++) {
        uint32_t index = (from + i) % server.workers;

        server.data.count -= server.data.rows[index] != NULL;
        free(server.data.rows[index]);
        server.data.rows[index] = NULL;
    }
    server.data.foreign = false;
    subscriber_set_back(sim);
    sim_note(sim, TIMELINE_NOBODY, "somebody deletes rows from %" PRIu32 " on", from);
}

/*
 * Not to a life that is later than the present one by the wall clock, which was set back meanwhile: then the manager
 * takes that for another one of its name, and stays fenced.
 */
static void go_back(struct sim *sim)
{
    if (sim->registry != NULL && server.copy.epoch > hb_registry_epoch(sim->registry)) {
        empty(sim);
        return;
    }
    server.older++;
    data_copy(&server.data, &server.copy);
    subscriber_set_back(sim);
    sim_note(sim, TIMELINE_NOBODY, "Redis is back with an older copy");
}

static void die(struct sim *sim, int64_t longest_ms)
{
    int64_t gone_ms = random_spread(&sim->random, 100, longest_ms);
    int64_t of_100 = random_below(&sim->random, 100);

    server.killed++;
    server.there = server.scripted = false;
    server.cut = true;
    server.absent_until = sim->now + gone_ms;
    sim_note(sim, TIMELINE_NOBODY, "Redis dies for %" PRId64 " ms", gone_ms);
    if (of_100 < 20)
        empty(sim);
    else if (of_100 < 50)
        go_back(sim);
}

static void refuse(struct sim *sim)
{
    static const char *const refusals[] = {
        "OOM command not allowed when used memory > 'maxmemory'.",
        "READONLY You can't write against a read only replica.",
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    };

    server.refusal = refusals[random_below(&sim->random, sizeof refusals / sizeof refusals[0])];
    server.refuse_until = sim->now + random_spread(&sim->random, 100, 120000);
    sim_note(sim, TIMELINE_NOBODY, "Redis refuses: %s", server.refusal);
}

static void draw_trouble(struct sim *sim)
{
    switch (random_below(&sim->random, 12)) {
    case 0:
    case 1:
        server.cut = true;
        break;
    case 2:
    case 3:
        server.slowed++;
        server.slow_until = sim->now + random_spread(&sim->random, 100, 60000);
        sim_note(sim, TIMELINE_NOBODY, "Redis is slow");
        break;
    case 4:
        refuse(sim);
        break;
    case 5:
        empty(sim);
        break;
    case 6:
        die(sim, 60000);
        break;
    case 7:
        die(sim, random_chance(&sim->random, 100) ? 3600000 : 5000);
        break;
    case 8:
        lose_some(sim);
        break;
    case 9:
        server.unscripted++;
        server.scripted = false;
        break;
    default:
        data_copy(&server.copy, &server.data);
        break;
    }
}

/* What was begun ends first; then comes the next trouble. */
void server_trouble(struct sim *sim)
{
    server.troubled_at = sim->now;
    if (server.absent_until <= sim->now) {
        server.there = true;
        server.absent_until = NEVER;
        sim_note(sim, TIMELINE_NOBODY, "Redis is there");
    } else if (server.refuse_until <= sim->now) {
        server.refusal = NULL;
        server.refuse_until = NEVER;
        sim_note(sim, TIMELINE_NOBODY, "Redis takes writes");
    } else if (server.there && server.refusal == NULL) {
        draw_trouble(sim);
    }
    server.next_trouble = sim->now + random_between(&sim->random, 1, 2 * TROUBLE_MEAN_MS);
    if (random_chance(&sim->random, 200))
        server.next_trouble = sim->now + random_spread(&sim->random, 1, 10000);
    if (server.slow_until > sim->now)
        server.troubled_at = server.slow_until;
    if (server.absent_until < server.next_trouble)
        server.next_trouble = server.absent_until;
    if (server.refuse_until < server.next_trouble)
        server.next_trouble = server.refuse_until;
    if (!sim->options.faults)
        server.next_trouble = NEVER;
}

/* ---- life ---- */

void server_open(struct sim *sim)
{
    memset(&server, 0, sizeof server);
    server.workers = sim->options.workers;
    data_open(&server.data);
    data_open(&server.copy);
    server.there = !sim->options.faults || random_chance(&sim->random, 500);
    server.absent_until = server.there ? NEVER : sim->now + random_spread(&sim->random, 100, 60000);
    server.refuse_until = NEVER;
    server.troubled_at = sim->now;
    server.next_trouble = !sim->options.faults ? NEVER
                          : server.there       ? sim->now + TROUBLE_MEAN_MS
                                               : server.absent_until;
}

void server_close(void)
{
    data_clear(&server.data);
    data_clear(&server.copy);
    free(server.data.rows);
    free(server.copy.rows);
}

void server_report(void)
{
    printf("  Redis: %" PRIu64 " batches (%" PRIu64 " stale, %" PRIu64 " behind, %" PRIu64 " fenced, %" PRIu64
           " refused, %" PRIu64 " of an earlier life), %" PRIu64 " times slow, %" PRIu64 " killed, %" PRIu64
           " emptied, %" PRIu64 " older, %" PRIu64 " partly, %" PRIu64 " without script\n",
           server.batches, server.stale, server.behind, server.fenced, server.refused, server.overlapping,
           server.slowed, server.killed, server.emptied, server.older, server.partly, server.unscripted);
}
