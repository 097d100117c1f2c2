/*
 * utf8: is a run of bytes well-formed UTF-8, and does it hold control characters?
 *
 * Well-formed as in the Unicode standard, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF. A
 * control character is one of C0, DEL or C1 (U+0080 to U+009F, which some terminals still obey).
 */
#ifndef HB_WIRE_UTF8_H
#define HB_WIRE_UTF8_H

#include <stddef.h>

/* Bytes of the sequence that starts at `at`, of which `left` may be read; 0 when it is not well-formed. */
static inline unsigned hb_utf8_length(const unsigned char *at, size_t left)
{
    unsigned char first = left > 0 ? at[0] : 0xff;
    if (first < 0x80)
        return 1;
    unsigned len = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || left < len)
        return 0;
    /* The second byte's range is narrower after four of the first bytes; that is all that keeps the bad forms out. */
    unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high)
        return 0;
    for (unsigned i = 2; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    }
    return len;
}

enum hb_utf8_verdict {
    HB_UTF8_PLAIN,   /* well-formed, no control characters */
    HB_UTF8_CONTROL, /* well-formed, holds a control character */
    HB_UTF8_BROKEN,  /* not well-formed */
};

static inline enum hb_utf8_verdict hb_utf8_check(const char *bytes, size_t len)
{
    const unsigned char *at = (const unsigned char *)bytes;
    enum hb_utf8_verdict verdict = HB_UTF8_PLAIN;
    for (size_t i = 0; i < len;) {
        unsigned step = hb_utf8_length(at + i, len - i);
        if (step == 0)
            return HB_UTF8_BROKEN;
        if (at[i] < 0x20 || at[i] == 0x7f || (step == 2 && at[i] == 0xc2 && at[i + 1] < 0xa0))
            verdict = HB_UTF8_CONTROL;
        i += step;
    }
    return verdict;
}

#endif
