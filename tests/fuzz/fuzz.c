#include "tests/fuzz/fuzz.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool tracing;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    tracing = getenv("HB_FUZZ_TRACE") != NULL;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_one(data, size);
    return 0;
}

void fuzz_broken(const char *file, int line, const char *promise, const char *format, ...)
{
    va_list values;

    fprintf(stderr, "%s:%d: broken promise: ", file, line);
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fprintf(stderr, " [%s]\n", promise);
    abort();
}

void fuzz_trace(const char *format, ...)
{
    va_list values;

    if (!tracing)
        return;
    fputs("  ", stderr);
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fputc('\n', stderr);
}

void *fuzz_alloc(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    FUZZ_CHECK(memory != NULL, "out of memory");
    return memory;
}

char *fuzz_copy(struct hb_text text)
{
    char *copy = malloc(text.len > 0 ? text.len : 1);

    FUZZ_CHECK(copy != NULL, "out of memory");
    if (text.len > 0)
        memcpy(copy, text.bytes, text.len);
    return copy;
}

/* Written apart from proto/wire/utf8.h, which is among what is tested. */
static size_t character(const unsigned char *at, size_t left, uint32_t *ret_code)
{
    size_t len = at[0] < 0x80 ? 1 : at[0] >> 5 == 6 ? 2 : at[0] >> 4 == 14 ? 3 : at[0] >> 3 == 30 ? 4 : 0;
    uint32_t code = len == 1 ? at[0] : at[0] & (0x7fu >> len);
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

    if (len == 0 || len > left)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if (at[i] >> 6 != 2)
            return 0;
        code = code << 6 | (at[i] & 0x3f);
    }
    if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return 0;
    *ret_code = code;
    return len;
}

void fuzz_check_sentence(struct hb_text sentence)
{
    FUZZ_CHECK(sentence.bytes != NULL && sentence.len > 0, "an error without a sentence");
    for (size_t i = 0; i < sentence.len;) {
        uint32_t code = 0;
        size_t len = character((const unsigned char *)sentence.bytes + i, sentence.len - i, &code);

        FUZZ_CHECK(len > 0, "not UTF-8 at byte %zu of the sentence: %.*s", i, (int)sentence.len, sentence.bytes);
        FUZZ_CHECK(code >= 0x20 && !(code >= 0x7f && code < 0xa0), "control character U+%04X in the sentence: %.*s",
                   (unsigned)code, (int)sentence.len, sentence.bytes);
        i += len;
    }
}

uint8_t fuzz_byte(struct fuzz_input *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

uint8_t fuzz_below(struct fuzz_input *input, uint8_t limit)
{
    return fuzz_byte(input) % limit;
}

uint32_t fuzz_u32(struct fuzz_input *input)
{
    uint32_t number = 0;

    for (int i = 0; i < 4; i++)
        number = number << 8 | fuzz_byte(input);
    return number;
}

bool fuzz_line(struct fuzz_input *input, struct hb_text *ret_line)
{
    size_t left = (size_t)(input->end - input->at);
    const uint8_t *newline = left > 0 ? memchr(input->at, '\n', left) : NULL;

    if (left == 0)
        return false;
    *ret_line = (struct hb_text){(const char *)input->at, newline != NULL ? (size_t)(newline - input->at) : left};
    input->at = newline != NULL ? newline + 1 : input->end;
    return true;
}

struct hb_text fuzz_word(struct hb_text *text)
{
    const char *blank = text->len > 0 ? memchr(text->bytes, ' ', text->len) : NULL;
    struct hb_text word = {text->bytes, blank != NULL ? (size_t)(blank - text->bytes) : text->len};
    size_t taken = word.len + (blank != NULL ? 1 : 0);

    text->bytes += taken;
    text->len -= taken;
    return word;
}

uint32_t fuzz_number(struct hb_text text, uint32_t most)
{
    uint64_t number = 0;

    for (size_t i = 0; i < text.len && text.bytes[i] >= '0' && text.bytes[i] <= '9' && number <= most; i++)
        number = number * 10 + (uint64_t)(text.bytes[i] - '0');
    return number < most ? (uint32_t)number : most;
}
