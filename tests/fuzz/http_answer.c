#include "tests/fuzz/http_answer.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "tests/fuzz/exposition_reference.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/json_reference.h"

#define UNPACKED_MAX (1u << 20)
#define NO_LENGTH SIZE_MAX

struct reading {
    struct http_answer *answer;
    size_t length; /* as announced */
    bool json;
};

static bool starts(struct hb_text line, const char *name, struct hb_text *ret_value)
{
    size_t len = strlen(name);

    if (line.len < len || memcmp(line.bytes, name, len) != 0)
        return false;
    *ret_value = (struct hb_text){line.bytes + len, line.len - len};
    return true;
}

/* A name of token characters, a colon, a blank, a value without control characters. */
static void check_header(struct hb_text line)
{
    static const char token[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-";
    size_t name = 0;

    while (name < line.len && line.bytes[name] != '\0' && strchr(token, line.bytes[name]) != NULL)
        name++;
    FUZZ_CHECK(name > 0 && name + 2 < line.len && line.bytes[name] == ':' && line.bytes[name + 1] == ' ',
               "malformed header '%.*s'", (int)line.len, line.bytes);
    for (size_t i = name; i < line.len; i++)
        FUZZ_CHECK((unsigned char)line.bytes[i] >= 0x20 && (unsigned char)line.bytes[i] < 0x7f,
                   "byte %d in the header '%.*s'", line.bytes[i], (int)line.len, line.bytes);
}

static void read_header(struct reading *reading, struct hb_text line)
{
    struct http_answer *answer = reading->answer;
    struct hb_text value;

    check_header(line);
    if (starts(line, "Content-Length: ", &value)) {
        FUZZ_CHECK(reading->length == NO_LENGTH, "two lengths");
        reading->length = fuzz_number(value, UNPACKED_MAX);
    } else if (starts(line, "Content-Type: ", &value)) {
        reading->json = hb_text_equal(value, HB_TEXT("application/json; charset=utf-8"));
        answer->exposition = hb_text_equal(value, HB_TEXT("text/plain; version=0.0.4; charset=utf-8"));
        FUZZ_CHECK(reading->json || answer->exposition, "type %.*s", (int)value.len, value.bytes);
    } else if (starts(line, "Content-Encoding: ", &value)) {
        FUZZ_CHECK(hb_text_equal(value, HB_TEXT("gzip")), "encoding %.*s", (int)value.len, value.bytes);
        answer->gzip = true;
    } else if (starts(line, "Connection: ", &value)) {
        answer->closes = hb_text_equal(value, HB_TEXT("close"));
    } else if (starts(line, "ETag: ", &value)) {
        answer->etag = value;
    } else if (starts(line, "Allow: ", &value)) {
        answer->has_allow = true;
    } else if (starts(line, "Retry-After: ", &value)) {
        answer->has_retry_after = fuzz_number(value, 3600) > 0;
    } else {
        FUZZ_CHECK(!starts(line, "Transfer-Encoding", &value), "a body without a length");
    }
}

/* Where the head ends, its blank line included. */
static size_t read_head(struct reading *reading, struct hb_text bytes)
{
    struct hb_text rest = bytes, value;
    bool first = true;

    for (;;) {
        const char *end = rest.len > 0 ? memmem(rest.bytes, rest.len, "\r\n", 2) : NULL;
        struct hb_text line;

        FUZZ_CHECK(end != NULL, "the head is cut off: '%.*s'", (int)bytes.len, bytes.bytes);
        line = (struct hb_text){rest.bytes, (size_t)(end - rest.bytes)};
        rest = (struct hb_text){end + 2, rest.len - line.len - 2};
        if (line.len == 0)
            return (size_t)(rest.bytes - bytes.bytes);
        if (first) {
            FUZZ_CHECK(starts(line, "HTTP/1.1 ", &value) && value.len > 4 && value.bytes[3] == ' ', "'%.*s'",
                       (int)line.len, line.bytes);
            reading->answer->status = fuzz_number(value, 999);
            FUZZ_CHECK(memmem(line.bytes, line.len, "Unknown", 7) == NULL, "'%.*s'", (int)line.len, line.bytes);
        } else {
            read_header(reading, line);
        }
        first = false;
    }
}

static void unpack(struct http_answer *answer)
{
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)answer->body.bytes, .avail_in = (uInt)answer->body.len};

    answer->unpacked = malloc(UNPACKED_MAX);
    FUZZ_CHECK(answer->unpacked != NULL && inflateInit2(&stream, 15 + 16) == Z_OK, "zlib");
    stream.next_out = (Bytef *)answer->unpacked;
    stream.avail_out = UNPACKED_MAX;
    FUZZ_CHECK(inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.avail_in == 0, "not one gzip stream");
    answer->body = (struct hb_text){answer->unpacked, stream.total_out};
    inflateEnd(&stream);
}

/* {"status":"error","error":"<one sentence>"}; /readyz says which state instead. */
static void check_error(const struct http_answer *answer)
{
    char *terminated = strndup(answer->body.bytes, answer->body.len);
    struct json_object *root = json_tokener_parse(terminated);
    struct json_object *status = json_object_object_get(root, "status");
    struct json_object *error = json_object_object_get(root, "error");

    FUZZ_CHECK(status != NULL && strcmp(json_object_get_string(status), "error") == 0, "an error that says: %s",
               terminated);
    if (answer->status != 503 || json_object_object_get(root, "redis") == NULL)
        fuzz_check_sentence((struct hb_text){json_object_get_string(error), (size_t)json_object_get_string_len(error)});
    json_object_put(root);
    free(terminated);
}

void http_answer_read(struct http_answer *answer, struct hb_text bytes, bool to_head)
{
    struct reading reading = {.answer = answer, .length = NO_LENGTH};
    size_t head;

    *answer = (struct http_answer){.status = 0};
    head = read_head(&reading, bytes);
    answer->head = (struct hb_text){bytes.bytes, head};
    answer->body = (struct hb_text){bytes.bytes + head, bytes.len - head};
    FUZZ_CHECK((reading.length == NO_LENGTH) == (answer->status == 304), "length and status %u", answer->status);
    if (to_head || answer->status == 304) {
        FUZZ_CHECK(answer->body.len == 0, "a body where none may be");
        return;
    }
    FUZZ_CHECK(answer->body.len == reading.length, "%zu bytes announced, %zu sent", reading.length, answer->body.len);
    FUZZ_CHECK((reading.json || (answer->exposition && answer->status == 200)) && answer->body.len > 0, "no JSON: %.*s",
               (int)bytes.len, bytes.bytes);
    if (answer->gzip)
        unpack(answer);
    if (answer->exposition)
        exposition_reference_check(answer->body);
    else
        FUZZ_CHECK(json_reference_accepts(answer->body), "not JSON: %.*s", (int)answer->body.len, answer->body.bytes);
    if (answer->status >= 400)
        check_error(answer);
    FUZZ_CHECK(answer->status != 405 || answer->has_allow, "405 without Allow");
    FUZZ_CHECK(answer->status != 503 || answer->has_retry_after, "503 without Retry-After");
}

void http_answer_free(struct http_answer *answer)
{
    free(answer->unpacked);
}
