/*
 * http_answer: one HTTP answer taken apart, every byte of it held against what HTTP and PROTOCOL.md promise.
 */
#ifndef HB_TESTS_FUZZ_HTTP_ANSWER_H
#define HB_TESTS_FUZZ_HTTP_ANSWER_H

#include <stdbool.h>

#include "proto/base/buf.h"

struct http_answer {
    unsigned status;
    struct hb_text head; /* whole */
    struct hb_text body; /* of the answer's own: gzip is unpacked */
    struct hb_text etag;
    bool closes;     /* Connection: close */
    bool exposition; /* Prometheus' text, and no JSON */
    bool gzip, has_allow, has_retry_after;
    char *unpacked; /* NULL: the body points into the bytes */
};

/*
 * Reads exactly one answer: bytes that are left over, a length that is not true, a malformed head, an error without its
 * sentence are all broken promises. The texts point into the bytes; free it in the end.
 */
void http_answer_read(struct http_answer *answer, struct hb_text bytes, bool to_head);
void http_answer_free(struct http_answer *answer);

#endif
