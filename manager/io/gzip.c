#include "manager/io/gzip.h"

#include <limits.h>
#define ZLIB_CONST /* it does not write to what it reads */
#include <zlib.h>

#define LEVEL 1
#define GZIP_WINDOW (15 + 16) /* the largest window, in gzip's wrapping */
#define MEMORY_LEVEL 8
#define PIECE_BYTES 16384

/* Everything that zlib has to say about the input it was given. */
static int drain(z_stream *stream, struct hb_buf *out, int flush)
{
    Bytef piece[PIECE_BYTES];
    int result;

    do {
        stream->next_out = piece;
        stream->avail_out = sizeof piece;
        result = deflate(stream, flush);
        hb_buf_append(out, piece, sizeof piece - stream->avail_out);
    } while (stream->avail_out == 0 && hb_buf_status(out) == HB_OK);
    return result;
}

enum hb_err hb_gzip(struct hb_buf *out, struct hb_text plain)
{
    z_stream stream = {0};
    size_t left = plain.len;
    int result;

    if (deflateInit2(&stream, LEVEL, Z_DEFLATED, GZIP_WINDOW, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
        return HB_ERR_NO_MEMORY;
    stream.next_in = (const Bytef *)plain.bytes;
    do { /* zlib counts in unsigned int */
        stream.avail_in = left < UINT_MAX ? (uInt)left : UINT_MAX;
        left -= stream.avail_in;
        result = drain(&stream, out, left == 0 ? Z_FINISH : Z_NO_FLUSH);
    } while (left > 0 && hb_buf_status(out) == HB_OK);
    (void)deflateEnd(&stream); /* says whether something was left unwritten; result knows */
    if (hb_buf_status(out) != HB_OK)
        return hb_buf_status(out);
    return result == Z_STREAM_END ? HB_OK : HB_ERR_INVALID;
}

const char *hb_gzip_version(void)
{
    return zlibVersion();
}
