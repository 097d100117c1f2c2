#include "manager/io/http_document.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <uv.h>

#include "manager/app/list.h"
#include "manager/io/gzip.h"
#include "manager/io/http_accept.h"
#include "manager/io/http_head.h"
#include "manager/io/json_indent.h"
#include "proto/base/map.h"

#define WORTH_GZIP_BYTES 1024
#define AT_ONCE_BYTES 65536 /* takes less than a millisecond */
#define HEADER_BYTES 4096   /* of one field that is looked at */
#define EXTRA_BYTES 1536
#define TAG_SIZE 34  /* two numbers of 64 bits in hexadecimal, a dot between them */
#define ETAG_SIZE 56 /* with quotes and form */
#define JSON_TYPE "application/json; charset=utf-8"
#define VARY "Vary: Accept-Encoding, Accept\r\n"

enum form {
    FORM_PLAIN = 0,
    FORM_INDENTED = 1,
    FORM_GZIP = 2,
    FORM_COUNT = 4
}; /* the two in the middle may be joined */

struct hb_document {
    struct hb_documents *all;
    unsigned users;
    char tag[TAG_SIZE]; /* the entity tag without quotes and form; empty: it has none */
    char *link;         /* NULL none */
    const char *type;   /* of its content; static */
    struct hb_shared_body *forms[FORM_COUNT];
};

/* The one form that is being made on the thread pool. */
struct work {
    uv_work_t request;
    struct hb_document *document; /* kept; NULL: nothing is being made */
    unsigned form;
    struct hb_text plain;
    struct hb_buf out;
    struct hb_link waiting;
};

/* An exchange that waits for it. */
struct waiter {
    struct hb_link link;
    struct hb_exchange *exchange;
};

struct hb_documents {
    uv_loop_t *loop;
    uint64_t seed[2]; /* of hashes */
    uint64_t start;   /* drawn at random */
    size_t bytes;     /* of all forms that somebody holds */
    struct work work;
};

/* ---- all of them ---- */

struct hb_documents *hb_documents_new(struct uv_loop_s *loop)
{
    static const uint64_t plain_seed[2] = {0, 0};
    struct hb_documents *documents = calloc(1, sizeof *documents);

    if (documents == NULL)
        return NULL;
    if (getrandom(&documents->start, sizeof documents->start, 0) != sizeof documents->start) {
        free(documents);
        return NULL;
    }
    documents->loop = loop;
    documents->seed[0] = hb_map_hash(plain_seed, HB_VERSION, sizeof HB_VERSION);
    documents->seed[1] = hb_map_hash(plain_seed, hb_gzip_version(), strlen(hb_gzip_version()));
    hb_link_init(&documents->work.waiting);
    return documents;
}

void hb_documents_free(struct hb_documents *documents)
{
    free(documents);
}

bool hb_documents_full(const struct hb_documents *documents)
{
    return documents->bytes > HB_DOCUMENTS_BYTES_MAX;
}

bool hb_documents_refuse(const struct hb_documents *documents, struct hb_exchange *exchange)
{
    if (!hb_documents_full(documents))
        return false;
    hb_exchange_answer_error(exchange, 503, "Retry-After: 5\r\n", "too many slow readers hold older answers");
    return true;
}

/* ---- one ---- */

/* Without a tag yet; the buffer's bytes are in its plain form. */
static struct hb_document *create(struct hb_documents *documents, struct hb_buf *json, const char *link)
{
    struct hb_document *document = hb_buf_status(json) == HB_OK ? calloc(1, sizeof *document) : NULL;

    if (document == NULL)
        return NULL;
    document->all = documents;
    document->users = 1;
    document->type = JSON_TYPE;
    document->link = link != NULL ? strdup(link) : NULL;
    document->forms[FORM_PLAIN] = hb_shared_body_new(json, &documents->bytes);
    if (document->forms[FORM_PLAIN] != NULL && (link == NULL || document->link != NULL))
        return document;
    hb_document_drop(document);
    return NULL;
}

struct hb_document *hb_document_new(struct hb_documents *documents, struct hb_buf *json, const char *link)
{
    struct hb_document *document = create(documents, json, link);
    uint64_t seed[2];

    if (document == NULL)
        return NULL;
    seed[0] = hb_map_hash(documents->seed, document->forms[FORM_PLAIN]->bytes, document->forms[FORM_PLAIN]->len);
    seed[1] = documents->seed[1];
    snprintf(document->tag, TAG_SIZE, "%016" PRIx64, hb_map_hash(seed, link, link != NULL ? strlen(link) : 0));
    return document;
}

struct hb_document *hb_document_new_version(struct hb_documents *documents, struct hb_buf *json, uint64_t version)
{
    struct hb_document *document = create(documents, json, NULL);

    if (document != NULL)
        snprintf(document->tag, TAG_SIZE, "%016" PRIx64 ".%" PRIx64, documents->start, version);
    return document;
}

static struct hb_document *keep(struct hb_document *document)
{
    document->users++;
    return document;
}

void hb_document_drop(struct hb_document *document)
{
    if (document == NULL || --document->users > 0)
        return;
    for (unsigned form = 0; form < FORM_COUNT; form++)
        hb_shared_body_drop(document->forms[form]);
    free(document->link);
    free(document);
}

void hb_document_recycle(struct hb_document *document, struct hb_buf *json)
{
    if (document != NULL && document->users == 1) {
        hb_shared_body_recycle(document->forms[FORM_PLAIN], json);
        document->forms[FORM_PLAIN] = NULL;
    }
    hb_document_drop(document);
}

/* ---- making a form: any thread ---- */

/* Appends the form to out, whose status tells of failure. */
static void make(struct hb_text plain, unsigned form, struct hb_buf *out)
{
    struct hb_buf indented;

    if ((form & FORM_GZIP) == 0) {
        hb_json_indent(out, plain);
        return;
    }
    hb_buf_init(&indented, SIZE_MAX / 2);
    if ((form & FORM_INDENTED) != 0) {
        hb_json_indent(&indented, plain);
        plain = (struct hb_text){indented.bytes, indented.len};
    }
    if (hb_buf_status(&indented) != HB_OK || hb_gzip(out, plain) != HB_OK)
        out->err = HB_ERR_NO_MEMORY;
    hb_buf_free(&indented);
}

/* Keeps what was made. On failure the form stays missing, and the bytes are sent as they are. */
static void keep_form(struct hb_document *document, unsigned form, struct hb_buf *out)
{
    if (hb_buf_status(out) == HB_OK)
        document->forms[form] = hb_shared_body_new(out, &document->all->bytes);
    hb_buf_free(out);
}

/* ---- answering ---- */

static void write_etag(const struct hb_document *document, unsigned form, char out[ETAG_SIZE])
{
    snprintf(out, ETAG_SIZE, "\"%s%s%s\"", document->tag, (form & FORM_INDENTED) != 0 ? "-indented" : "",
             (form & FORM_GZIP) != 0 ? "-gzip" : "");
}

static void write_extra(const struct hb_document *document, unsigned form, bool with_body, char out[EXTRA_BYTES])
{
    bool tagged = document->tag[0] != '\0';
    char etag[ETAG_SIZE];

    write_etag(document, form, etag);
    snprintf(out, EXTRA_BYTES, "%s%s%s" VARY "%s%s%s%s", tagged ? "ETag: " : "", tagged ? etag : "",
             tagged ? "\r\n" : "", with_body && (form & FORM_GZIP) != 0 ? "Content-Encoding: gzip\r\n" : "",
             document->link != NULL ? "Link: <" : "", document->link != NULL ? document->link : "",
             document->link != NULL ? ">; rel=\"next\"\r\n" : "");
}

/* The form if it is there, else the bytes as they are. */
static void answer_with(struct hb_document *document, unsigned form, struct hb_exchange *exchange)
{
    char extra[EXTRA_BYTES];

    if (document->forms[form] == NULL)
        form = FORM_PLAIN;
    write_extra(document, form, true, extra);
    hb_exchange_answer(exchange, 200, document->type, extra, hb_shared_body_keep(document->forms[form]));
}

static bool answer_unchanged(const struct hb_document *document, unsigned form, struct hb_text if_none_match,
                             struct hb_exchange *exchange)
{
    char etag[ETAG_SIZE];
    char extra[EXTRA_BYTES];

    if (document->tag[0] == '\0')
        return false;
    write_etag(document, form, etag);
    if (!hb_etag_listed(if_none_match, hb_text_of(etag)))
        return false;
    write_extra(document, form, false, extra);
    hb_exchange_answer(exchange, 304, NULL, extra, NULL);
    return true;
}

/* ---- waiting ---- */

static void on_abandoned(void *self)
{
    struct waiter *waiter = self;

    hb_link_remove(&waiter->link);
    free(waiter);
}

static bool wait_for_work(struct work *work, struct hb_exchange *exchange)
{
    struct waiter *waiter = calloc(1, sizeof *waiter);

    if (waiter == NULL)
        return false;
    waiter->exchange = exchange;
    hb_link_init(&waiter->link);
    hb_link_insert(&work->waiting, &waiter->link);
    hb_exchange_on_abandon(exchange, on_abandoned, waiter);
    return true;
}

static void run_work(uv_work_t *request)
{
    struct work *work = request->data;

    make(work->plain, work->form, &work->out);
}

static void on_work_done(uv_work_t *request, int status)
{
    struct work *work = request->data;
    struct hb_document *document = work->document;

    (void)status; /* nobody cancels */
    keep_form(document, work->form, &work->out);
    work->document = NULL;
    while (!hb_link_is_alone(&work->waiting)) {
        struct waiter *waiter = (struct waiter *)work->waiting.next;

        hb_link_remove(&waiter->link);
        answer_with(document, work->form, waiter->exchange);
        free(waiter);
    }
    hb_document_drop(document);
}

static bool start_work(struct work *work, struct hb_document *document, unsigned form)
{
    const struct hb_shared_body *plain = document->forms[FORM_PLAIN];

    work->request.data = work;
    work->form = form;
    work->plain = (struct hb_text){plain->bytes, plain->len};
    hb_buf_init(&work->out, SIZE_MAX / 2);
    if (uv_queue_work(document->all->loop, &work->request, run_work, on_work_done) != 0)
        return false;
    work->document = keep(document);
    return true;
}

/* Sees to the form: makes it, or lets the exchange wait for it. False: it waits; the answer comes by itself. */
static bool get_form(struct hb_document *document, unsigned form, struct hb_exchange *exchange)
{
    struct work *work = &document->all->work;
    const struct hb_shared_body *plain = document->forms[FORM_PLAIN];
    struct hb_buf out;

    if (form == FORM_PLAIN || document->forms[form] != NULL || hb_documents_full(document->all))
        return true;
    if (plain->len <= AT_ONCE_BYTES) {
        hb_buf_init(&out, SIZE_MAX / 2);
        make((struct hb_text){plain->bytes, plain->len}, form, &out);
        keep_form(document, form, &out);
        return true;
    }
    if (work->document == NULL && !start_work(work, document, form))
        return true;
    return work->document != document || work->form != form || !wait_for_work(work, exchange);
}

static struct hb_text header_of(const struct hb_exchange *exchange, enum lws_token_indexes token, char *out)
{
    return hb_head_value(hb_exchange_wsi(exchange), token, out, HEADER_BYTES);
}

static unsigned wished_form(const struct hb_document *document, const struct hb_exchange *exchange)
{
    char value[HEADER_BYTES];
    unsigned form = FORM_PLAIN;
    enum hb_gzip_wish gzip;

    if (strcmp(document->type, JSON_TYPE) == 0 &&
        hb_accept_prefers_html(header_of(exchange, WSI_TOKEN_HTTP_ACCEPT, value)))
        form |= FORM_INDENTED;
    gzip = hb_accept_gzip(header_of(exchange, WSI_TOKEN_HTTP_ACCEPT_ENCODING, value));
    if (gzip == HB_GZIP_ALWAYS || (gzip == HB_GZIP_YES && document->forms[FORM_PLAIN]->len >= WORTH_GZIP_BYTES))
        form |= FORM_GZIP;
    return form;
}

void hb_document_answer(struct hb_document *document, struct hb_exchange *exchange)
{
    char value[HEADER_BYTES];
    struct hb_text if_none_match = header_of(exchange, WSI_TOKEN_HTTP_IF_NONE_MATCH, value);
    unsigned form;

    if (document == NULL) {
        hb_exchange_answer_error(exchange, 503, "Retry-After: 1\r\n", "out of memory");
        return;
    }
    form = wished_form(document, exchange);
    /* Who was sent the bytes as they are, because the pool was busy, has them still. */
    if (answer_unchanged(document, form, if_none_match, exchange) ||
        answer_unchanged(document, FORM_PLAIN, if_none_match, exchange))
        return;
    if (get_form(document, form, exchange))
        answer_with(document, form, exchange);
}

void hb_documents_answer_once(struct hb_documents *documents, struct hb_exchange *exchange, struct hb_buf *json,
                              const char *link)
{
    struct hb_document *document = hb_document_new(documents, json, link);

    hb_document_answer(document, exchange);
    hb_document_drop(document);
    hb_buf_free(json);
}

void hb_documents_answer_fresh(struct hb_documents *documents, struct hb_exchange *exchange, struct hb_buf *bytes,
                               const char *type)
{
    struct hb_document *document = create(documents, bytes, NULL);

    if (document != NULL && type != NULL)
        document->type = type;
    hb_document_answer(document, exchange);
    hb_document_drop(document);
    hb_buf_free(bytes);
}
