#include "tests/unit/script.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/watch.h"

/* A socket is an address that nothing but this table knows; its contents are its name. */
static char sockets[SCRIPT_SOCKETS][8];

void *script_socket(unsigned number)
{
    snprintf(sockets[number], sizeof sockets[number], "s%u", number);
    return sockets[number];
}

const char *script_socket_name(const void *socket)
{
    for (unsigned i = 0; i < SCRIPT_SOCKETS; i++)
        if (socket == sockets[i])
            return sockets[i];
    return socket == NULL ? "-" : "?";
}

static int64_t milliseconds(const char *seconds)
{
    return llround(strtod(seconds, NULL) * 1000);
}

/* The value of "key=value" when the word has this key. */
static const char *value_of(const char *word, const char *key)
{
    size_t len = strlen(key);
    return strncmp(word, key, len) == 0 && word[len] == '=' ? word + len + 1 : NULL;
}

static bool take_text(const char *word, const char *key, struct hb_text *ret_text)
{
    const char *value = value_of(word, key);
    if (value != NULL)
        *ret_text = hb_text_of(value);
    return value != NULL;
}

static bool take_ms(const char *word, const char *key, int64_t *ret_ms)
{
    const char *value = value_of(word, key);
    if (value != NULL)
        *ret_ms = milliseconds(value);
    return value != NULL;
}

static bool take_wall(const char *word, const char *key, hb_wall_ms *ret_wall)
{
    int64_t ms = 0;
    bool taken = take_ms(word, key, &ms);
    if (taken)
        ret_wall->ms = WATCH_WALL_START + ms;
    return taken;
}

static bool take_count(const char *word, const char *key, int64_t *ret_count)
{
    const char *value = value_of(word, key);
    if (value != NULL)
        *ret_count = strtoll(value, NULL, 10);
    return value != NULL;
}

static bool take_port(const char *word, uint16_t *ret_port)
{
    if (word[0] != ':')
        return false;
    *ret_port = (uint16_t)strtoul(word + 1, NULL, 10);
    return true;
}

static bool register_word(struct script *script, const char *word)
{
    if (strcmp(word, "fixed") == 0)
        return script->input.fixed = true;
    struct hb_registration *registration = &script->registration;
    return take_port(word, &registration->port) || take_text(word, "host", &registration->host) ||
           take_text(word, "name", &registration->name) || take_text(word, "url", &registration->url) ||
           take_text(word, "attributes", &registration->attributes) ||
           take_ms(word, "timeout", &registration->timeout_ms) ||
           take_ms(word, "interval", &registration->interval_ms) ||
           take_ms(word, "poll_interval", &registration->poll_interval_ms) ||
           take_text(word, "from", &script->input.peer_host);
}

static bool beat_status(struct hb_beat *beat, const char *word)
{
    if (strcmp(word, "alive") == 0)
        beat->kind = HB_BEAT_ALIVE;
    else if (strcmp(word, "draining") == 0)
        beat->kind = HB_BEAT_DRAINING;
    else if (strcmp(word, "bye") == 0)
        beat->kind = HB_BEAT_BYE;
    else if (take_text(word, "status", &beat->status_text))
        return true;
    else
        return false;
    beat->status_text = hb_text_of(word);
    return true;
}

static bool beat_word(struct script *script, const char *word)
{
    struct hb_beat *beat = &script->beat;
    return beat_status(beat, word) || take_text(word, "name", &beat->name) ||
           take_text(word, "metrics", &beat->metrics) || take_text(word, "attributes", &beat->attributes) ||
           take_count(word, "requests", &beat->requests) || take_count(word, "errors", &beat->errors) ||
           take_text(word, "from", &script->input.peer_host);
}

static bool close_word(struct script *script, const char *word)
{
    script->input.close_code = (uint16_t)strtoul(word, NULL, 10);
    return script->input.close_code >= 1000;
}

static bool restore_state(struct hb_row *row, const char *word)
{
    const char *value = NULL;
    if ((value = value_of(word, "status")) != NULL) {
        for (int status = HB_STATUS_UNKNOWN; status <= HB_STATUS_REMOVED; status++)
            if (strcmp(value, hb_status_text((enum hb_status)status)) == 0)
                row->status = (enum hb_status)status;
        return row->status != HB_STATUS_UNKNOWN;
    }
    if ((value = value_of(word, "announced")) != NULL) {
        row->announced = strcmp(value, "up") == 0     ? HB_ANNOUNCED_UP
                         : strcmp(value, "down") == 0 ? HB_ANNOUNCED_DOWN
                                                      : HB_ANNOUNCED_NONE;
        return true;
    }
    if ((value = value_of(word, "reason")) != NULL) {
        for (int reason = HB_REASON_NONE; reason <= HB_REASON_PROBE_REFUSED; reason++)
            if (strcmp(value, hb_reason_text((enum hb_reason)reason)) == 0)
                row->reason = (enum hb_reason)reason;
        return row->reason != HB_REASON_NONE;
    }
    return false;
}

static bool restore_flag(struct script *script, const char *word)
{
    struct hb_row *row = &script->row;
    if (strcmp(word, "serving") == 0)
        return row->serving = true;
    if (strcmp(word, "nameless") == 0) {
        row->name = (struct hb_text){NULL, 0};
        return true;
    }
    if (strcmp(word, "draining") == 0)
        return row->draining = true;
    if (strcmp(word, "maintenance") == 0)
        return row->maintenance = true;
    if (strcmp(word, "unverified") == 0)
        return row->unverified = true;
    if (strcmp(word, "beats") == 0)
        return row->beats = true;
    if (strcmp(word, "seed") == 0)
        return script->input.seed_shape = true;
    return false;
}

static bool restore_word(struct script *script, const char *word)
{
    struct hb_row *row = &script->row;
    int64_t number = 0;
    if (take_count(word, "epoch", &number)) {
        row->epoch = (uint64_t)number;
        return true;
    }
    if (take_count(word, "seq", &number)) {
        row->seq = (uint64_t)number;
        return true;
    }
    return restore_flag(script, word) || restore_state(row, word) || take_port(word, &row->port) ||
           take_text(word, "host", &row->host) || take_text(word, "name", &row->name) ||
           take_text(word, "url", &row->url) || take_text(word, "attributes", &row->attributes) ||
           take_text(word, "metrics", &row->metrics) || take_ms(word, "timeout", &row->timeout_ms) ||
           take_ms(word, "interval", &row->interval_ms) || take_wall(word, "since", &row->since) ||
           take_wall(word, "heard", &row->last_heartbeat) || take_wall(word, "until", &row->maintenance_until) ||
           take_text(word, "words", &row->maintenance_reason) || take_count(word, "requests", &row->requests) ||
           take_count(word, "errors", &row->errors);
}

static bool maintain_word(struct script *script, const char *word)
{
    if (strcmp(word, "off") == 0) {
        script->maintenance.ttl_ms = 0;
        return true;
    }
    return take_ms(word, "ttl", &script->maintenance.ttl_ms) || take_text(word, "reason", &script->maintenance.reason);
}

static bool poll_word(struct script *script, const char *word)
{
    struct hb_poll_result *poll = &script->poll;
    int64_t number = 0;
    char *end = NULL;
    long code = strtol(word, &end, 10);
    if (end != word && *end == '\0') {
        poll->outcome = HB_POLL_ANSWERED;
        poll->code = (uint16_t)code;
        return true;
    }
    for (int outcome = HB_POLL_ANSWERED; outcome <= HB_POLL_BROKEN; outcome++)
        if (strcmp(word, hb_poll_outcome_text((enum hb_poll_outcome)outcome)) == 0) {
            poll->outcome = (enum hb_poll_outcome)outcome;
            return true;
        }
    if (take_count(word, "latency", &number)) {
        poll->latency_us = (uint32_t)number;
        return true;
    }
    return take_count(word, "requests", &poll->requests) || take_count(word, "errors", &poll->errors) ||
           take_ms(word, "uptime", &poll->uptime_ms) || take_text(word, "attributes", &poll->attributes);
}

static bool no_word(struct script *script, const char *word)
{
    (void)script;
    (void)word;
    return false;
}

static const struct verb {
    const char *name;
    enum hb_input_kind kind;
    bool (*word)(struct script *script, const char *word);
} verbs[] = {
    {"register", HB_INPUT_REGISTER, register_word},
    {"open", HB_INPUT_SOCKET_OPENED, no_word},
    {"beat", HB_INPUT_BEAT, beat_word},
    {"close", HB_INPUT_SOCKET_CLOSED, close_word},
    {"remove", HB_INPUT_REMOVE, no_word},
    {"restore", HB_INPUT_RESTORE, restore_word},
    {"maintain", HB_INPUT_MAINTENANCE, maintain_word},
    {"polled", HB_INPUT_POLLED, poll_word},
    {"probed", HB_INPUT_PROBED, poll_word},
};

/* As they are when a message says nothing. */
static void script_clear(struct script *script)
{
    memset(script, 0, sizeof *script);
    script->beat = (struct hb_beat){.kind = HB_BEAT_PLAIN, .requests = -1, .errors = -1};
    script->row =
        (struct hb_row){.requests = -1, .errors = -1, .reason = HB_REASON_BEAT, .last_heartbeat = {WATCH_WALL_START}};
    script->input.registration = &script->registration;
    script->input.beat = &script->beat;
    script->input.row = &script->row;
    script->input.maintenance = &script->maintenance;
    script->poll = (struct hb_poll_result){.requests = -1, .errors = -1, .uptime_ms = -1};
    script->input.poll = &script->poll;
    script->input.peer_host = HB_TEXT(SCRIPT_PEER);
    script->input.close_code = HB_CLOSE_ABNORMAL;
}

/* "w1" or "w1/s1" */
static const char *script_subject(struct script *script, char *word)
{
    if (word == NULL)
        return "who?";
    char *slash = strchr(word, '/');
    if (slash != NULL) {
        *slash = '\0';
        unsigned long number = slash[1] == 's' ? strtoul(slash + 2, NULL, 10) : SCRIPT_SOCKETS;
        if (number >= SCRIPT_SOCKETS)
            return "no such socket";
        script->input.socket = script_socket((unsigned)number);
    }
    script->input.id = hb_text_of(word);
    script->row.id = script->registration.id = script->input.id;
    script->row.name = script->input.id;
    return NULL;
}

const char *script_parse(struct script *script, const char *line)
{
    script_clear(script);
    snprintf(script->line, sizeof script->line, "%s", line);
    char *rest = NULL;
    const char *name = strtok_r(script->line, " ", &rest);
    const struct verb *verb = NULL;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (name != NULL && strcmp(name, verbs[i].name) == 0)
            verb = &verbs[i];
    if (verb == NULL)
        return "no such verb";
    script->input.kind = verb->kind;
    const char *wrong = script_subject(script, strtok_r(NULL, " ", &rest));
    for (char *word = NULL; wrong == NULL && (word = strtok_r(NULL, " ", &rest)) != NULL;)
        if (!verb->word(script, word))
            wrong = "a word that this verb does not know";
    return wrong;
}

const char *script_rules(struct hb_registry_rules *rules, const char *words)
{
    char line[256];
    char *rest = NULL;
    snprintf(line, sizeof line, "%s", words);
    for (char *word = strtok_r(line, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        int64_t most = 0;
        if (take_count(word, "max", &most))
            rules->max_workers = (uint32_t)most;
        else if (strcmp(word, "polling") == 0)
            rules->polling = true;
        else if (take_count(word, "texts", &most))
            rules->text_bytes_max = (size_t)most;
        else if (take_count(word, "timelines", &most))
            rules->timeline_bytes_max = (size_t)most;
        else if (take_count(word, "concurrency", &most))
            rules->poll_concurrency = (uint32_t)most;
        else if (take_count(word, "fall", &most))
            rules->poll_fall = (uint8_t)most;
        else if (take_count(word, "rise", &most))
            rules->poll_rise = (uint8_t)most;
        else if (take_ms(word, "poll", &rules->poll_interval_ms) || take_ms(word, "fast", &rules->poll_fast_ms))
            continue;
        else if (!take_ms(word, "timeout", &rules->timeout_ms) &&
                 !take_ms(word, "grace", &rules->disconnect_grace_ms) &&
                 !take_ms(word, "restart", &rules->restart_grace_ms) && !take_ms(word, "reap", &rules->reap_after_ms))
            return "no such rule";
    }
    return NULL;
}
