/*
 * fuzz_ws: frames on the sockets of a few ids, and a core that lets sockets go for its own reasons.
 *
 * The input is a script of lines; N is a socket, 0 to 5:
 *
 *   o N ID            it opens /ws/ID
 *   m N text          a message: one frame, handed over in pieces of SIZE bytes
 *   i N text          a frame that others of its message follow
 *   M N COUNT byte    a message of so many bytes
 *   y N text          a binary message
 *   l N MORE text     a frame of which so many bytes more were announced: they come with the next text on N
 *   z SIZE            how large the pieces are, 1 to 384
 *   w N               the socket takes more
 *   p N CODE          the peer closes; without a code when CODE is 0
 *   x N               it vanishes
 *   d ID | r ID       DELETE /workers/ID; POST /register
 *   h ID text         a beat over HTTP
 *   t MS              time passes
 *   k                 closing is left to the library for a while, K: it is done at once (as at first)
 *   S                 the manager stops: every socket is closed with 1012
 *
 * A small model of one socket says what must follow: which message is a heartbeat (judged by the codec), what is
 * answered, when it is the third bad one in a row, the close code. The core's part is fuzz_core's to judge; here the
 * two must agree at any time on which socket is whose.
 */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/io/ws_endpoint.h"
#include "proto/wire/codec.h"
#include "tests/fuzz/fake_clock.h"
#include "tests/fuzz/fake_lws.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/json_reference.h"
#include "tests/fuzz/world.h"

#define SOCKETS 6
#define MESSAGE_MAX 20000

struct socket {
    struct lws *wsi;               /* NULL: closed */
    struct hb_ws_session *session; /* what the library keeps for us */
    bool closing;                  /* a close frame is on its way: the callback CLOSED comes later */
    size_t owed;                   /* of the frame that is on its way */
    bool binary;                   /* the message is */
    bool frame_final;
    struct hb_buf message; /* so far */
    unsigned bad_in_row;
    bool reply_due;
};

struct fuzz_ws {
    struct fuzz_input input;
    struct world world;
    struct hb_ws_endpoint *endpoint;
    struct socket sockets[SOCKETS];
    size_t piece;
    bool late_closes, stopping;
};

/* ---- closing ---- */

static bool is_ours(int code)
{
    static const int codes[] = {HB_CLOSE_NORMAL,    HB_CLOSE_POLICY,   HB_CLOSE_TOO_BIG, HB_CLOSE_RESTART,
                                HB_CLOSE_TRY_LATER, HB_CLOSE_REPLACED, HB_CLOSE_REMOVED, HB_CLOSE_CONFLICT};

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (codes[i] == code)
            return true;
    }
    return false;
}

/* The manager closes: with a code of PROTOCOL.md's and a reason that a control frame can carry. */
static void check_close(const struct lws *wsi)
{
    FUZZ_CHECK(is_ours(wsi->close_code), "closed with %d", wsi->close_code);
    FUZZ_CHECK(wsi->close_reason_len <= 123, "a reason of %zu bytes", wsi->close_reason_len);
    if (wsi->close_reason_len > 0)
        fuzz_check_sentence((struct hb_text){(const char *)wsi->close_reason, wsi->close_reason_len});
}

/* The callback CLOSED, and the end of the library's memory of it. */
static void closed(struct fuzz_ws *fuzz, struct socket *socket)
{
    fuzz_trace("%td: closed (%d)", socket - fuzz->sockets, socket->wsi->close_code);
    hb_ws_closed(fuzz->endpoint, socket->session);
    free(socket->session);
    fake_lws_free(socket->wsi);
    hb_buf_free(&socket->message);
    *socket = (struct socket){.wsi = NULL};
}

static void close_now_or_later(struct fuzz_ws *fuzz, struct socket *socket)
{
    check_close(socket->wsi);
    socket->closing = true;
    if (!fuzz->late_closes)
        closed(fuzz, socket);
}

/* Sockets that were closed from outside their own callbacks. */
static void collect_killed(struct fuzz_ws *fuzz)
{
    for (size_t i = 0; i < SOCKETS; i++) {
        struct socket *socket = &fuzz->sockets[i];

        if (socket->wsi != NULL && socket->wsi->kill) {
            socket->wsi->kill = false;
            close_now_or_later(fuzz, socket);
        }
    }
}

/* What a callback returned. */
static void returned(struct fuzz_ws *fuzz, struct socket *socket, int result, int code)
{
    FUZZ_CHECK((result != 0) == (code != 0), "the callback %s (%d), should have closed with %d",
               result != 0 ? "closes" : "goes on", socket->wsi->close_code, code);
    if (result != 0) {
        FUZZ_CHECK(socket->wsi->close_code == code, "closed with %d, should be %d", socket->wsi->close_code, code);
        FUZZ_CHECK(!socket->wsi->kill, "closed inside its own callback");
        close_now_or_later(fuzz, socket);
    }
    collect_killed(fuzz);
}

/* ---- what must hold between callbacks ---- */

static void check_owners(struct fuzz_ws *fuzz)
{
    size_t open = 0;

    for (size_t i = 0; i < SOCKETS; i++) {
        const struct socket *socket = &fuzz->sockets[i];
        const struct hb_worker *worker;

        if (socket->wsi == NULL)
            continue;
        open++;
        if (socket->session->forgotten)
            continue;
        worker = hb_registry_find(fuzz->world.registry, hb_text_of(socket->session->id));
        FUZZ_CHECK(worker == NULL || worker->socket == socket->session, "%zu is not the socket of %s", i,
                   socket->session->id);
    }
    FUZZ_CHECK(hb_ws_endpoint_count(fuzz->endpoint) == open, "%zu sessions, %zu sockets",
               hb_ws_endpoint_count(fuzz->endpoint), open);
    for (size_t i = 0; i < hb_registry_count(fuzz->world.registry); i++) {
        const struct hb_worker *worker = hb_registry_at(fuzz->world.registry, i);
        bool found = worker->socket == NULL || fuzz->stopping; /* then the core is not told any more */

        for (size_t s = 0; s < SOCKETS && !found; s++)
            found = fuzz->sockets[s].wsi != NULL && fuzz->sockets[s].session == worker->socket &&
                    !fuzz->sockets[s].session->forgotten;
        FUZZ_CHECK(found, "the socket of %s is none that is open", worker->id);
    }
}

/* ---- opening ---- */

static void open_socket(struct fuzz_ws *fuzz, struct socket *socket, struct hb_text id)
{
    char copy[128];
    int result;

    if (socket->wsi != NULL || id.len >= sizeof copy)
        return;
    memcpy(copy, id.bytes, id.len);
    socket->wsi = fake_lws_new((unsigned)(socket - fuzz->sockets));
    socket->session = fuzz_alloc(1, sizeof *socket->session);
    hb_buf_init(&socket->message, 2 * MESSAGE_MAX);
    fuzz_trace("%td: opens /ws/%.*s", socket - fuzz->sockets, (int)id.len, id.bytes);
    result = hb_ws_established(fuzz->endpoint, socket->session, socket->wsi, (struct hb_text){copy, id.len});
    if (!hb_id_valid(id) && !fuzz->stopping)
        FUZZ_CHECK(result != 0 && socket->wsi->close_code == HB_CLOSE_POLICY, "a bad id was let in");
    FUZZ_CHECK(result == 0 || socket->wsi->close_code != HB_CLOSE_NORMAL, "refused with 1000");
    FUZZ_CHECK(!fuzz->stopping || socket->wsi->close_code == HB_CLOSE_RESTART || !hb_id_valid(id),
               "let in while the manager stops");
    returned(fuzz, socket, result, result != 0 ? socket->wsi->close_code : 0);
}

/* ---- messages ---- */

/* An answer is one object with one sentence. */
static void check_reply(struct socket *socket)
{
    struct hb_text reply = {socket->wsi->out.bytes, socket->wsi->out.len};
    char *terminated = strndup(reply.bytes, reply.len);
    struct json_object *root, *error;

    FUZZ_CHECK(json_reference_accepts(reply), "not JSON: %s", terminated);
    root = json_tokener_parse(terminated);
    error = json_object_object_get(root, "error");
    FUZZ_CHECK(error != NULL, "no error: %s", terminated);
    fuzz_check_sentence((struct hb_text){json_object_get_string(error), (size_t)json_object_get_string_len(error)});
    json_object_put(root);
    free(terminated);
    hb_buf_clear(&socket->wsi->out);
}

static void writable(struct fuzz_ws *fuzz, struct socket *socket)
{
    if (socket->wsi == NULL || socket->closing)
        return;
    socket->wsi->wants_write = false;
    socket->wsi->writes = 0;
    socket->reply_due &= !socket->session->forgotten; /* nothing is said behind a close */
    FUZZ_CHECK(hb_ws_writable(fuzz->endpoint, socket->session) == 0, "the writable callback closes");
    FUZZ_CHECK(socket->wsi->writes == (socket->reply_due ? 1 : 0), "%u writes, a reply is%s due", socket->wsi->writes,
               socket->reply_due ? "" : " not");
    if (socket->reply_due)
        check_reply(socket);
    socket->reply_due = false;
}

/* A message that is no heartbeat. Returns the close code that must follow; 0: an answer instead. */
static int bad_message(struct socket *socket)
{
    if (++socket->bad_in_row == HB_BAD_MESSAGES_MAX)
        return HB_CLOSE_POLICY;
    socket->reply_due = true;
    return 0;
}

/* What must follow a whole message. before: whether the core refuses beats of that id just now. */
static int judge(struct fuzz_ws *fuzz, struct socket *socket, struct hb_text message)
{
    struct hb_beat beat;

    if (socket->binary)
        return bad_message(socket);
    if (hb_decode_beat(fuzz->world.decoder, message, &beat) != HB_OK)
        return bad_message(socket);
    socket->bad_in_row = 0;
    return beat.kind == HB_BEAT_BYE ? HB_CLOSE_NORMAL : 0;
}

/* One piece of a frame, as the library hands it over; left: what of the frame is still to come. */
static void receive(struct fuzz_ws *fuzz, struct socket *socket, struct hb_text piece, size_t left)
{
    bool dead = socket->closing || socket->session->forgotten;
    bool last = socket->frame_final && left == 0;
    size_t announced = socket->message.len + piece.len + left;
    size_t entries = hb_registry_entries(fuzz->world.registry);
    char *copy = fuzz_copy(piece);
    int code = 0;
    int result;

    hb_buf_append_text(&socket->message, piece);
    if (!dead && announced > HB_BEAT_BYTES_MAX)
        code = HB_CLOSE_TOO_BIG;
    else if (!dead && last)
        code = judge(fuzz, socket,
                     (struct hb_text){socket->message.bytes != NULL ? socket->message.bytes : "", socket->message.len});
    socket->wsi->final = socket->frame_final;
    socket->wsi->binary = socket->binary;
    socket->wsi->frame_left = left;
    result = hb_ws_received(fuzz->endpoint, socket->session, (struct hb_text){copy, piece.len});
    free(copy);
    if (last)
        hb_buf_clear(&socket->message);
    if (!dead && code == 0 && entries >= hb_registry_rules(fuzz->world.registry)->max_workers)
        socket->reply_due = socket->session->reply != NULL; /* full: it is told so */
    if (!dead && code == 0 && !last)
        FUZZ_CHECK((socket->session->reply != NULL) == socket->reply_due, "answered in the middle of a message");
    if (!dead && code == 0)
        FUZZ_CHECK((socket->session->reply != NULL) == socket->reply_due, "a reply %s",
                   socket->reply_due ? "is missing" : "to a good heartbeat");
    returned(fuzz, socket, result, code);
}

static void receive_frame(struct fuzz_ws *fuzz, size_t number, struct hb_text payload, size_t more)
{
    struct socket *socket = &fuzz->sockets[number];
    size_t left = payload.len + more;

    do {
        size_t len = payload.len < fuzz->piece ? payload.len : fuzz->piece;

        left -= len;
        fuzz_trace("%zu: %s%.*s%s, %zu to come", number, socket->binary ? "binary " : "", (int)len, payload.bytes,
                   socket->frame_final ? "" : "...", left);
        receive(fuzz, socket, (struct hb_text){payload.bytes, len}, left);
        payload = (struct hb_text){payload.bytes + len, payload.len - len};
    } while (payload.len > 0 && socket->wsi != NULL);
    if (socket->wsi != NULL)
        socket->owed = more;
}

static void message(struct fuzz_ws *fuzz, size_t number, struct hb_text payload, char verb)
{
    struct socket *socket = &fuzz->sockets[number];
    size_t more = verb == 'l' ? fuzz_number(fuzz_word(&payload), 10000) : 0;

    if (socket->wsi == NULL)
        return;
    if (socket->owed > 0) { /* the rest of a frame */
        if (payload.len > socket->owed)
            payload.len = socket->owed;
        more = socket->owed - payload.len;
    } else {
        socket->frame_final = verb != 'i';
        if (socket->message.len == 0)
            socket->binary = verb == 'y';
    }
    receive_frame(fuzz, number, payload, more);
}

static void long_message(struct fuzz_ws *fuzz, size_t number, struct hb_text words)
{
    size_t len = fuzz_number(fuzz_word(&words), MESSAGE_MAX);
    char *bytes = malloc(len + 1);

    memset(bytes, words.len > 0 ? words.bytes[0] : ' ', len + 1);
    message(fuzz, number, (struct hb_text){bytes, len}, 'm');
    free(bytes);
}

/* ---- the rest ---- */

static void peer_closes(struct fuzz_ws *fuzz, struct socket *socket, uint32_t code)
{
    unsigned char payload[2] = {(unsigned char)(code >> 8), (unsigned char)code};

    if (socket->wsi == NULL)
        return;
    fuzz_trace("%td: the peer closes with %" PRIu32, socket - fuzz->sockets, code);
    if (!socket->closing)
        hb_ws_peer_closing(socket->session, payload, code != 0 ? 2 : 0);
    closed(fuzz, socket);
}

static void stop(struct fuzz_ws *fuzz)
{
    fuzz->stopping = true;
    hb_ws_endpoint_stop(fuzz->endpoint);
    collect_killed(fuzz);
}

static void over_http(struct fuzz_ws *fuzz, char verb, struct hb_text words)
{
    struct hb_text id = fuzz_word(&words);
    const struct hb_worker *unused;
    struct hb_buf json;
    enum hb_err err = HB_OK;

    switch (verb) {
    case 'd':
        err = hb_ingest_remove(fuzz->world.ingest, id, fake_now);
        break;
    case 'h':
        err = hb_ingest_beat(fuzz->world.ingest, id, NULL, words, HB_TEXT("10.0.0.9"), fake_now);
        break;
    default:
        hb_buf_init(&json, HB_BODY_BYTES_MAX);
        hb_buf_append_str(&json, "{\"port\":80,\"id\":");
        hb_buf_append_json(&json, id);
        hb_buf_append_char(&json, '}');
        err = hb_ingest_register(fuzz->world.ingest, (struct hb_text){json.bytes, json.len}, HB_TEXT("10.0.0.9"),
                                 fake_now, &unused);
        hb_buf_free(&json);
        break;
    }
    fuzz_trace("%c %.*s: %s", verb, (int)id.len, id.bytes, hb_err_text(err));
    collect_killed(fuzz);
}

static void operate(struct fuzz_ws *fuzz, char verb, struct hb_text words)
{
    size_t number = 0;

    if (fuzz->stopping && strchr("drht", verb) != NULL)
        return; /* HTTP answers 503 then, and the timers are gone */
    if (strchr("omiMylwpx", verb) != NULL)
        number = fuzz_number(fuzz_word(&words), 1000) % SOCKETS;
    switch (verb) {
    case 'o':
        open_socket(fuzz, &fuzz->sockets[number], words);
        break;
    case 'm':
    case 'i':
    case 'y':
    case 'l':
        message(fuzz, number, words, verb);
        break;
    case 'M':
        long_message(fuzz, number, words);
        break;
    case 'z':
        fuzz->piece = 1 + fuzz_number(words, 383);
        break;
    case 'w':
        writable(fuzz, &fuzz->sockets[number]);
        break;
    case 'p':
        peer_closes(fuzz, &fuzz->sockets[number], fuzz_number(words, 65535));
        break;
    case 'x':
        if (fuzz->sockets[number].wsi != NULL)
            closed(fuzz, &fuzz->sockets[number]);
        break;
    case 'd':
    case 'r':
    case 'h':
        over_http(fuzz, verb, words);
        break;
    case 't':
        fuzz_trace("+%" PRIu32 " ms", fuzz_number(words, 100000000));
        world_pass(&fuzz->world, fuzz_number(words, 100000000));
        collect_killed(fuzz);
        break;
    case 'k':
    case 'K':
        fuzz->late_closes = verb == 'k';
        break;
    case 'S':
        stop(fuzz);
        break;
    default:
        break;
    }
}

void fuzz_one(const uint8_t *data, size_t size)
{
    struct fuzz_ws fuzz = {.input = {data, data + size}, .piece = 384};
    struct hb_registry_rules rules = {.timeout_ms = 15000,
                                      .disconnect_grace_ms = 2000,
                                      .restart_grace_ms = 30000,
                                      .reap_after_ms = 60000,
                                      .max_workers = 4,
                                      .hash_seed = {1, 2}};
    struct hb_text words;

    world_init(&fuzz.world, &rules);
    fuzz.endpoint = hb_ws_endpoint_new(fuzz.world.ingest);
    hb_manager_set_sockets(fuzz.world.manager, hb_ws_endpoint_port(fuzz.endpoint));
    while (fuzz_line(&fuzz.input, &words)) {
        struct hb_text verb = fuzz_word(&words);

        if (verb.len != 1)
            continue;
        operate(&fuzz, verb.bytes[0], words);
        check_owners(&fuzz);
        world_check(&fuzz.world);
    }
    for (size_t i = 0; i < SOCKETS; i++) {
        writable(&fuzz, &fuzz.sockets[i]);
        if (fuzz.sockets[i].wsi != NULL)
            closed(&fuzz, &fuzz.sockets[i]);
    }
    check_owners(&fuzz);
    hb_ws_endpoint_free(fuzz.endpoint);
    world_free(&fuzz.world);
}
