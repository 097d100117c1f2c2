#include "manager/io/redis_script.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/names.h"

#define HEAD 15 /* EVALSHA sha 3, three keys, and nine arguments before the lists */
#define NUMBERS 7
#define NUMBER_SIZE 21

/*
 * Numbers are Lua's doubles: exact up to 2^53, which an epoch in milliseconds reaches in the year 287396. unpack is fed
 * straight from ARGV, 1024 at a time (the rows of a whole batch), well below what Lua's stack takes.
 */
static const char script[] =
    "local workers, events, meta = KEYS[1], KEYS[2], KEYS[3]\n"
    "local manager, epoch, seq, batch = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])\n"
    "local number, begin = tonumber(ARGV[5]), ARGV[6] == 'begin'\n"
    "local first_event = 10\n"
    "local first_row = first_event + 3 * tonumber(ARGV[7])\n"
    "local first_gone = first_row + 2 * tonumber(ARGV[8])\n"
    "local last = first_gone + tonumber(ARGV[9]) - 1\n"
    "\n"
    "local function text(number) return string.format('%.0f', number) end\n"
    "local function hash(command, from, to)\n"
    "  local fields = 0\n"
    "  for at = from, to, 1024 do\n"
    "    fields = fields + redis.call(command, workers, unpack(ARGV, at, math.min(at + 1023, to)))\n"
    "  end\n"
    "  return fields\n"
    "end\n"
    "\n"
    "local known = redis.call('HMGET', meta, manager .. ':epoch', manager .. ':seq', manager .. ':batch')\n"
    "local known_epoch, known_seq, known_batch = tonumber(known[1] or '') or 0, 0, 0\n"
    "if known_epoch == epoch then\n"
    "  known_seq, known_batch = tonumber(known[2] or '') or 0, tonumber(known[3] or '') or 0\n"
    "end\n"
    "if known_epoch > epoch then return {'FENCED', text(known_epoch)} end\n"
    "if known_batch >= number then return {'STALE', text(known_batch)} end\n"
    "if not begin and (known_epoch < epoch or known_seq < seq or known_batch < batch) then\n"
    "  return {'BEHIND', text(known_seq)}\n"
    "end\n"
    "local done = math.max(known_seq, seq)\n"
    "seq = done\n"
    "\n"
    /* Only PUBLISH can still be refused once the stream was written: ask before (Redis 7 can). */
    "if redis.acl_check_cmd then\n"
    "  for at = first_event, first_row - 1, 3 do\n"
    "    local channel = ARGV[at + 2]\n"
    "    if channel ~= '' and not redis.acl_check_cmd('PUBLISH', channel, '') then\n"
    "      return redis.error_reply('NOPERM may not publish on ' .. channel)\n"
    "    end\n"
    "  end\n"
    "end\n"
    "\n"
    "local fields = redis.call('HLEN', workers)\n"
    "fields = fields - hash('HDEL', first_gone, last)\n"
    "fields = fields + hash('HSET', first_row, first_gone - 1)\n"
    "for at = first_event, first_row - 1, 3 do\n"
    "  if tonumber(ARGV[at]) > done then\n"
    "    redis.call('XADD', events, 'MAXLEN', '~', '" HB_EVENTS_MAXLEN "', '*', 'event', ARGV[at + 1])\n"
    "    seq = tonumber(ARGV[at])\n"
    "  end\n"
    "end\n"
    "for at = first_event, first_row - 1, 3 do\n"
    "  if tonumber(ARGV[at]) > done and ARGV[at + 2] ~= '' then\n"
    "    redis.call('PUBLISH', ARGV[at + 2], ARGV[at + 1])\n"
    "  end\n"
    "end\n"
    "if begin or last >= first_event then\n"
    "  redis.call('HSET', meta, 'schema', '1', manager .. ':epoch', text(epoch), manager .. ':seq', text(seq),\n"
    "    manager .. ':batch', text(number))\n"
    "end\n"
    "return {'OK', text(seq), text(fields)}\n";

struct hb_script_args {
    struct hb_text events[3 * HB_SCRIPT_EVENTS_MAX];
    struct hb_text rows[2 * HB_SCRIPT_ROWS_MAX];
    struct hb_text gone[HB_SCRIPT_GONE_MAX];
    struct hb_text argv[HEAD + 3 * HB_SCRIPT_EVENTS_MAX + 2 * HB_SCRIPT_ROWS_MAX + HB_SCRIPT_GONE_MAX];
    char seqs[HB_SCRIPT_EVENTS_MAX][NUMBER_SIZE];
    char numbers[NUMBERS][NUMBER_SIZE];
    size_t event_count, row_count, gone_count, bytes;
};

struct hb_text hb_script_text(void)
{
    return (struct hb_text){script, sizeof script - 1};
}

struct hb_script_args *hb_script_args_new(void)
{
    return calloc(1, sizeof(struct hb_script_args));
}

void hb_script_args_free(struct hb_script_args *args)
{
    free(args);
}

void hb_script_args_clear(struct hb_script_args *args)
{
    args->event_count = 0;
    args->row_count = 0;
    args->gone_count = 0;
    args->bytes = 0;
}

static struct hb_text number_text(char number[NUMBER_SIZE], uint64_t value)
{
    int len = snprintf(number, NUMBER_SIZE, "%" PRIu64, value);

    return (struct hb_text){number, (size_t)len};
}

void hb_script_add_event(struct hb_script_args *args, uint64_t seq, struct hb_text json, struct hb_text channel)
{
    struct hb_text *event = args->events + 3 * args->event_count;

    assert(args->event_count < HB_SCRIPT_EVENTS_MAX);
    event[0] = number_text(args->seqs[args->event_count], seq);
    event[1] = json;
    event[2] = channel;
    args->event_count++;
    args->bytes += event[0].len + json.len + channel.len;
}

void hb_script_add_row(struct hb_script_args *args, struct hb_text id, struct hb_text row)
{
    struct hb_text *pair = args->rows + 2 * args->row_count;

    assert(args->row_count < HB_SCRIPT_ROWS_MAX);
    pair[0] = id;
    pair[1] = row;
    args->row_count++;
    args->bytes += id.len + row.len;
}

void hb_script_add_gone(struct hb_script_args *args, struct hb_text id)
{
    assert(args->gone_count < HB_SCRIPT_GONE_MAX);
    args->gone[args->gone_count++] = id;
    args->bytes += id.len;
}

size_t hb_script_event_count(const struct hb_script_args *args)
{
    return args->event_count;
}

size_t hb_script_row_count(const struct hb_script_args *args)
{
    return args->row_count;
}

size_t hb_script_gone_count(const struct hb_script_args *args)
{
    return args->gone_count;
}

size_t hb_script_bytes(const struct hb_script_args *args)
{
    return args->bytes;
}

static struct hb_text *append(struct hb_text *at, const struct hb_text *texts, size_t count)
{
    memcpy(at, texts, count * sizeof *texts);
    return at + count;
}

int hb_script_command(struct hb_script_args *args, const struct hb_script_head *head, const struct hb_text **ret_argv)
{
    const struct hb_text first[HEAD] = {
        HB_TEXT("EVALSHA"),
        head->sha,
        HB_TEXT("3"),
        HB_TEXT(HB_KEY_WORKERS),
        HB_TEXT(HB_KEY_EVENTS),
        HB_TEXT(HB_KEY_META),
        head->manager,
        number_text(args->numbers[0], head->epoch),
        number_text(args->numbers[1], head->seq),
        number_text(args->numbers[2], head->batch),
        number_text(args->numbers[3], head->number),
        head->begin ? HB_TEXT("begin") : HB_TEXT("go-on"),
        number_text(args->numbers[4], args->event_count),
        number_text(args->numbers[5], args->row_count),
        number_text(args->numbers[6], args->gone_count),
    };
    struct hb_text *at = append(args->argv, first, HEAD);

    at = append(at, args->events, 3 * args->event_count);
    at = append(at, args->rows, 2 * args->row_count);
    at = append(at, args->gone, args->gone_count);
    *ret_argv = args->argv;
    return (int)(at - args->argv);
}

static bool is_text(const struct redisReply *reply, size_t place)
{
    return place < reply->elements && reply->element[place]->type == REDIS_REPLY_STRING;
}

static bool is_word(const struct redisReply *reply, const char *word)
{
    return reply->type == REDIS_REPLY_STRING && strcmp(reply->str, word) == 0;
}

enum hb_script_answer hb_script_read(const struct redisReply *reply, struct hb_script_result *ret_result)
{
    if (reply->type == REDIS_REPLY_ERROR)
        return strncmp(reply->str, "NOSCRIPT", 8) == 0 ? HB_SCRIPT_UNLOADED : HB_SCRIPT_REFUSED;
    if (reply->type != REDIS_REPLY_ARRAY || !is_text(reply, 0) || !is_text(reply, 1))
        return HB_SCRIPT_REFUSED;
    if (is_word(reply->element[0], "FENCED") || is_word(reply->element[0], "STALE"))
        return HB_SCRIPT_FENCED;
    if (is_word(reply->element[0], "BEHIND"))
        return HB_SCRIPT_BEHIND;
    if (!is_word(reply->element[0], "OK") || !is_text(reply, 2))
        return HB_SCRIPT_REFUSED;
    ret_result->seq = strtoull(reply->element[1]->str, NULL, 10);
    ret_result->fields = strtoull(reply->element[2]->str, NULL, 10);
    return HB_SCRIPT_DONE;
}
