/*
 * buf: a growing run of bytes with a ceiling.
 *
 * Errors stick: after the first failed append every later one does nothing, so a serialiser appends freely and asks
 * once, at the end, with hb_buf_status. Growth doubles, so an append is amortised O(bytes). The bytes are always
 * followed by a NUL that len does not count.
 */
#ifndef HB_BASE_BUF_H
#define HB_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

/* Bytes that belong to somebody else, with no NUL promised. bytes == NULL means absent; len 0 with bytes means empty.
 */
struct hb_text {
    const char *bytes;
    size_t len;
};

#define HB_TEXT(literal) ((struct hb_text){(literal), sizeof(literal) - 1})
struct hb_text hb_text_of(const char *nul_terminated); /* NULL gives absent */
int hb_text_equal(struct hb_text a, struct hb_text b); /* absent equals only absent */

struct hb_buf {
    char *bytes; /* NULL until the first append */
    size_t len;
    size_t cap;
    size_t ceiling; /* most bytes it may hold; beyond it HB_ERR_FULL */
    enum hb_err err;
};

void hb_buf_init(struct hb_buf *buf, size_t ceiling);
void hb_buf_free(struct hb_buf *buf);  /* gives the memory back; the buffer is as after init */
void hb_buf_clear(struct hb_buf *buf); /* len and error to zero, memory kept */
enum hb_err hb_buf_status(const struct hb_buf *buf) HB_MUST_CHECK;
char *hb_buf_take(struct hb_buf *buf); /* the caller frees it; NULL after an error; the buffer is as after init */

void hb_buf_append(struct hb_buf *buf, const void *bytes, size_t len);
void hb_buf_append_text(struct hb_buf *buf, struct hb_text text);
void hb_buf_append_str(struct hb_buf *buf, const char *nul_terminated);
void hb_buf_append_char(struct hb_buf *buf, char c);
void hb_buf_append_i64(struct hb_buf *buf, int64_t value);
void hb_buf_append_seconds(struct hb_buf *buf, int64_t ms); /* 1500 gives "1.5", 2000 gives "2" */
void hb_buf_printf(struct hb_buf *buf, const char *format, ...) HB_PRINTF(2, 3);

/* Appends a JSON string, quotes included. Control characters, quote and backslash are escaped; UTF-8 passes as it is.
 */
void hb_buf_append_json(struct hb_buf *buf, struct hb_text text);

#endif
