/*
 * targets_file: see the header. The whole file is checked first, then walked once more to register: nothing is kept of
 * it but the ids, for the duplicates among them. O(bytes).
 */
#include "manager/app/targets_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/map.h"
#include "proto/wire/codec.h"
#include "proto/wire/json_strict.h"
#include "proto/wire/json_string.h"
#include "proto/wire/rules.h"

#define LABEL_MAX 120 /* bytes of the path that a sentence shows: its end */

enum { ID, NAME, HOST, PORT, URL, ATTRIBUTES, POLL_INTERVAL, FIELDS };

static const struct hb_text names[FIELDS] = {
    [ID] = HB_FIELD("id"),
    [NAME] = HB_FIELD("name"),
    [HOST] = HB_FIELD("host"),
    [PORT] = HB_FIELD("port"),
    [URL] = HB_FIELD("url"),
    [ATTRIBUTES] = HB_FIELD("attributes"),
    [POLL_INTERVAL] = HB_FIELD("poll_interval_sec"),
};

static const struct hb_number_rule id_number_rule = {
    0, 9007199254740992.0, "an integer from 0 to 2^53, or a string of 1 to 64 characters of [A-Za-z0-9._:-]"};

/* One entry, decoded. Its texts live in the decoder or here, until the next one. */
struct target {
    struct hb_registration registration;
    char id[24], name[sizeof "server" + HB_ID_MAX], url[sizeof "http://[]:65535" + HB_HOST_MAX];
};

/* An id that was seen, for the duplicates. */
struct seen {
    struct seen *next;
    size_t place, line;
    size_t id_len;
    char id[];
};

struct walk {
    const char *label;
    struct hb_buf *sentences;
    size_t faults;
    struct hb_decoder *decoder;
    struct hb_map *ids; /* while checking */
    struct seen *seen;
    struct hb_text json;
    const char *counted; /* up to here lines were counted */
    size_t line;
    size_t place; /* of the entry, from 1 on */
    struct target target;
    /* Called for each good entry. False: no further. */
    bool (*visit)(struct walk *walk);
    struct hb_manager *manager; /* while registering */
    struct hb_moment now;
    enum hb_err err;
};

/* ---- sentences ---- */

static size_t line_of(struct walk *walk, const char *at)
{
    if (at < walk->counted) {
        walk->counted = walk->json.bytes;
        walk->line = 1;
    }
    while (walk->counted < at)
        walk->line += *walk->counted++ == '\n';
    return walk->line;
}

static void blame(struct walk *walk, const char *format, ...) HB_PRINTF(2, 3);

static void blame(struct walk *walk, const char *format, ...)
{
    char sentence[512];
    va_list values;

    walk->err = HB_ERR_INVALID;
    if (walk->faults++ >= HB_TARGETS_FAULTS_MAX)
        return;
    va_start(values, format);
    vsnprintf(sentence, sizeof sentence, format, values);
    va_end(values);
    hb_buf_printf(walk->sentences, "%s: %s\n", walk->label, sentence);
}

static void blame_entry(struct walk *walk, const char *fault)
{
    blame(walk, "line %zu: entry %zu: %s", walk->line, walk->place, fault);
}

static void blame_rest(struct walk *walk)
{
    if (walk->faults > HB_TARGETS_FAULTS_MAX)
        hb_buf_printf(walk->sentences, "%s: %zu more entries are wrong\n", walk->label,
                      walk->faults - HB_TARGETS_FAULTS_MAX);
}

/* ---- one entry ---- */

static bool is_number(struct hb_text id)
{
    for (size_t i = 0; i < id.len; i++) {
        if (id.bytes[i] < '0' || id.bytes[i] > '9')
            return false;
    }
    return true;
}

static struct hb_text take_id(struct hb_decoder *decoder, char number[24])
{
    switch (hb_field_kind(decoder, ID)) {
    case HB_JSON_STRING:
        return hb_take_text(decoder, ID, &hb_rule_id);
    case HB_JSON_ABSENT:
        hb_decoder_refuse(decoder, "id: it is missing; each entry must have one");
        return (struct hb_text){0};
    default:
        snprintf(number, 24, "%lld", (long long)hb_take_integer(decoder, ID, &id_number_rule, 0));
        return hb_text_of(number);
    }
}

static uint16_t take_port(struct hb_decoder *decoder)
{
    if (hb_field_kind(decoder, PORT) == HB_JSON_STRING)
        return hb_port_of_digits(hb_take_text(decoder, PORT, &hb_rule_port_digits));
    return (uint16_t)hb_take_integer(decoder, PORT, &hb_rule_port, 0);
}

static struct hb_text default_name(struct target *target, struct hb_text id)
{
    if (!is_number(id))
        return id;
    snprintf(target->name, sizeof target->name, "server%.*s", (int)id.len, id.bytes);
    return hb_text_of(target->name);
}

static struct hb_text default_url(struct target *target, struct hb_text host, uint16_t port)
{
    bool bracketed = memchr(host.bytes, ':', host.len) != NULL;

    snprintf(target->url, sizeof target->url, "http://%s%.*s%s:%u", bracketed ? "[" : "", (int)host.len, host.bytes,
             bracketed ? "]" : "", port);
    return hb_text_of(target->url);
}

/* False: the decoder says why. */
static bool decode(struct hb_decoder *decoder, struct hb_text entry, struct target *target)
{
    struct hb_registration *registration = &target->registration;

    if (hb_fields_open(decoder, entry, names, FIELDS) != HB_OK)
        return false;
    *registration = (struct hb_registration){.id = take_id(decoder, target->id)};
    registration->name = hb_take_text(decoder, NAME, &hb_rule_name);
    registration->host = hb_take_text(decoder, HOST, &hb_rule_host);
    registration->port = take_port(decoder);
    registration->url = hb_take_text(decoder, URL, &hb_rule_url);
    registration->attributes = hb_take_flat(decoder, ATTRIBUTES, &hb_flat_attributes);
    registration->poll_interval_ms = hb_take_ms(decoder, POLL_INTERVAL, &hb_rule_timeout);
    if (registration->url.bytes == NULL && registration->host.bytes == NULL)
        hb_decoder_refuse(decoder, "host: it is missing; an entry must have host and port, or url");
    if (registration->url.bytes == NULL && registration->port == 0)
        hb_decoder_refuse(decoder, "port: it is missing; an entry must have host and port, or url");
    if (hb_decoder_status(decoder) != HB_OK)
        return false;
    if (registration->name.bytes == NULL)
        registration->name = default_name(target, registration->id);
    if (registration->url.bytes == NULL)
        registration->url = default_url(target, registration->host, registration->port);
    return true;
}

static bool enter(struct walk *walk, const char *at, size_t len)
{
    (void)line_of(walk, at);
    walk->place++;
    if (at[0] != '{') {
        blame_entry(walk, "it must be an object like {\"id\":1,\"host\":\"127.0.0.1\",\"port\":5001}");
        return true;
    }
    if (!decode(walk->decoder, (struct hb_text){at, len}, &walk->target)) {
        blame_entry(walk, hb_decoder_error(walk->decoder));
        return true;
    }
    return walk->visit(walk);
}

/* ---- the file ---- */

static const char *skip_space(const char *at)
{
    while (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')
        at++;
    return at;
}

/* The end of the value at `at`, which stands in an array that json_strict has passed. */
static const char *value_end(const char *at)
{
    size_t depth = 0;

    do {
        switch (*at) {
        case '"':
            at = hb_json_string_close(at);
            break;
        case '{':
        case '[':
            depth++;
            break;
        case '}':
        case ']':
            depth--;
            break;
        default:
            break;
        }
        at++;
    } while (depth > 0 || strchr(",] \n\r\t", *at) == NULL);
    return at;
}

/* The array of the entries; NULL when it is not there, and then that was said. */
static const char *find_list(struct walk *walk)
{
    static const char must[] =
        "must be an object like {\"server_list\":[{\"id\":1,\"host\":\"127.0.0.1\",\"port\":5001}]}";
    struct hb_json_outline outline;
    size_t at = 0;
    const char *fault = hb_json_strict_outline(walk->json, &outline, &at);

    if (fault != NULL) {
        blame(walk, "line %zu: not JSON: %s", line_of(walk, walk->json.bytes + at), fault);
        return NULL;
    }
    for (uint32_t i = 0; i < outline.count; i++) {
        const struct hb_json_member *member = &outline.members[i];
        struct hb_text key = {walk->json.bytes + member->key_at, member->key_len};
        const char *value = walk->json.bytes + member->value_at;

        if (!hb_json_string_equal(key, HB_TEXT("server_list")))
            continue;
        if (*value == '[')
            return value;
        blame(walk, "line %zu: server_list must be an array of objects", line_of(walk, value));
        return NULL;
    }
    blame(walk, "line 1: the file has no server_list; it %s", must);
    return NULL;
}

static void walk_entries(struct walk *walk, const char *list)
{
    const char *at = skip_space(list + 1);

    walk->counted = walk->json.bytes;
    walk->line = 1;
    walk->place = 0;
    while (*at != ']') {
        const char *end = value_end(at);

        if (!enter(walk, at, (size_t)(end - at)))
            return;
        at = skip_space(end);
        if (*at == ',')
            at = skip_space(at + 1);
    }
}

/* ---- checking ---- */

static bool remember(struct walk *walk)
{
    struct hb_text id = walk->target.registration.id;
    const struct seen *before = hb_map_get(walk->ids, id.bytes, id.len);
    struct seen *seen;

    if (before != NULL) {
        blame(walk, "line %zu: entry %zu: id: %.*s is that of entry %zu in line %zu already", walk->line, walk->place,
              (int)id.len, id.bytes, before->place, before->line);
        return true;
    }
    seen = malloc(sizeof *seen + id.len);
    if (seen == NULL) {
        walk->err = HB_ERR_NO_MEMORY;
        return false;
    }
    *seen = (struct seen){.next = walk->seen, .place = walk->place, .line = walk->line, .id_len = id.len};
    memcpy(seen->id, id.bytes, id.len);
    walk->seen = seen;
    walk->err = hb_map_insert(walk->ids, seen->id, id.len, seen) != HB_OK ? HB_ERR_NO_MEMORY : walk->err;
    return walk->err != HB_ERR_NO_MEMORY;
}

static void forget_ids(struct walk *walk)
{
    hb_map_free(walk->ids);
    walk->ids = NULL;
    while (walk->seen != NULL) {
        struct seen *next = walk->seen->next;

        free(walk->seen);
        walk->seen = next;
    }
}

/* The list when all of it is good, else NULL. */
static const char *check(struct walk *walk, size_t most)
{
    static const uint64_t seed[2]; /* the file is the operator's own: nobody aims for collisions */
    const char *list = find_list(walk);

    if (list == NULL)
        return NULL;
    walk->ids = hb_map_new(seed);
    walk->visit = remember;
    if (walk->ids == NULL)
        walk->err = HB_ERR_NO_MEMORY;
    else
        walk_entries(walk, list);
    forget_ids(walk);
    if (walk->err == HB_ERR_NO_MEMORY)
        hb_buf_printf(walk->sentences, "%s: %s\n", walk->label, hb_err_text(walk->err));
    else if (walk->place > most)
        blame(walk, "it has %zu entries; at most %zu may be known (MAX_WORKERS)", walk->place, most);
    blame_rest(walk);
    return walk->err == HB_OK ? list : NULL;
}

/* False: no memory for a decoder. */
static bool begin(struct walk *walk, struct hb_text json, const char *label, struct hb_buf *sentences)
{
    *walk = (struct walk){.label = label, .sentences = sentences, .json = json, .counted = json.bytes, .line = 1};
    walk->decoder = hb_decoder_new();
    if (walk->decoder == NULL) {
        walk->err = HB_ERR_NO_MEMORY;
        hb_buf_printf(sentences, "%s: %s\n", label, hb_err_text(HB_ERR_NO_MEMORY));
    }
    return walk->decoder != NULL;
}

void hb_targets_check(struct hb_text json, const char *label, size_t most, struct hb_buf *sentences)
{
    struct walk walk;

    if (begin(&walk, json, label, sentences))
        (void)check(&walk, most);
    hb_decoder_free(walk.decoder);
}

/* ---- registering ---- */

static bool enrol(struct walk *walk)
{
    const struct hb_registration *registration = &walk->target.registration;
    const struct hb_input input = {
        .kind = HB_INPUT_REGISTER, .id = registration->id, .registration = registration, .fixed = true};

    walk->err = hb_manager_apply(walk->manager, &input, walk->now);
    if (walk->err == HB_OK)
        return true;
    hb_buf_printf(walk->sentences, "%s: line %zu: entry %zu: cannot be registered: %s\n", walk->label, walk->line,
                  walk->place, hb_err_text(walk->err));
    return false;
}

enum hb_err hb_targets_apply(struct hb_text json, const char *label, size_t most, struct hb_manager *manager,
                             struct hb_moment now, struct hb_buf *sentences, size_t *ret_count)
{
    struct walk walk;
    const char *list = begin(&walk, json, label, sentences) ? check(&walk, most) : NULL;

    if (list != NULL) {
        walk.visit = enrol;
        walk.manager = manager;
        walk.now = now;
        walk_entries(&walk, list);
    }
    hb_decoder_free(walk.decoder);
    if (walk.err == HB_OK)
        *ret_count = walk.place;
    return walk.err;
}

/* ---- reading ---- */

/* "TARGETS_FILE=<path>", of a very long path its end. */
static void write_label(char label[LABEL_MAX + 32], const char *path)
{
    size_t len = strlen(path);

    snprintf(label, LABEL_MAX + 32, "TARGETS_FILE=%s%s", len > LABEL_MAX ? "..." : "",
             len > LABEL_MAX ? path + len - LABEL_MAX : path);
}

static bool read_all(int fd, char *bytes, size_t len, size_t *ret_len)
{
    size_t have = 0;

    while (have < len) {
        ssize_t now = read(fd, bytes + have, len - have);

        if (now < 0 && errno == EINTR)
            continue;
        if (now < 0)
            return false;
        if (now == 0)
            break;
        have += (size_t)now;
    }
    *ret_len = have;
    return true;
}

/* The file's content, which the caller frees; NULL: a sentence says why not. */
static char *read_file(const char *path, const char *label, struct hb_buf *sentences, size_t *ret_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a pipe without a writer must not hang us */
    struct stat status;
    char *bytes = NULL;

    if (fd < 0 || fstat(fd, &status) != 0) {
        hb_buf_printf(sentences, "%s: cannot be read: %s\n", label, strerror(errno));
    } else if (!S_ISREG(status.st_mode)) {
        hb_buf_printf(sentences, "%s: must be a file\n", label);
    } else if ((unsigned long long)status.st_size > HB_TARGETS_BYTES_MAX) {
        hb_buf_printf(sentences, "%s: has %lld bytes; must have at most %zu\n", label, (long long)status.st_size,
                      HB_TARGETS_BYTES_MAX);
    } else {
        bytes = malloc((size_t)status.st_size + 1);
        if (bytes == NULL || !read_all(fd, bytes, (size_t)status.st_size, ret_len)) {
            hb_buf_printf(sentences, "%s: cannot be read: %s\n", label, strerror(errno));
            free(bytes);
            bytes = NULL;
        }
    }
    if (fd >= 0)
        close(fd);
    return bytes;
}

void hb_targets_file_check(const char *path, size_t most, struct hb_buf *sentences)
{
    char label[LABEL_MAX + 32];
    size_t len = 0;
    char *bytes;

    write_label(label, path);
    bytes = read_file(path, label, sentences, &len);
    if (bytes != NULL)
        hb_targets_check((struct hb_text){bytes, len}, label, most, sentences);
    free(bytes);
}

enum hb_err hb_targets_file_apply(const char *path, size_t most, struct hb_manager *manager, struct hb_moment now,
                                  struct hb_buf *sentences, size_t *ret_count)
{
    char label[LABEL_MAX + 32];
    enum hb_err err = HB_ERR_INVALID;
    size_t len = 0;
    char *bytes;

    write_label(label, path);
    bytes = read_file(path, label, sentences, &len);
    if (bytes != NULL)
        err = hb_targets_apply((struct hb_text){bytes, len}, label, most, manager, now, sentences, ret_count);
    free(bytes);
    return err;
}
