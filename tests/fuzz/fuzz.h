/*
 * fuzz: what all fuzz targets share: promises that must hold, a trace for replays, copies without slack.
 *
 * A target is one function, fuzz_one. It builds its whole world from the input and takes it down again, so an input
 * means the same in any order and the leak check knows which input leaked. With HB_FUZZ_TRACE in the environment it
 * tells on standard error what it does: that is how a crash is read.
 */
#ifndef HB_TESTS_FUZZ_FUZZ_H
#define HB_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"

void fuzz_one(const uint8_t *data, size_t size);

/* A broken promise: prints where and the sentence, and aborts. */
#define FUZZ_CHECK(promise, ...)                                                                                       \
    do {                                                                                                               \
        if (!(promise))                                                                                                \
            fuzz_broken(__FILE__, __LINE__, #promise, __VA_ARGS__);                                                    \
    } while (0)

_Noreturn void fuzz_broken(const char *file, int line, const char *promise, const char *format, ...) HB_PRINTF(4, 5);

/* One line of what happens; nothing without HB_FUZZ_TRACE. */
void fuzz_trace(const char *format, ...) HB_PRINTF(1, 2);

/* A copy of exactly that size, so that a read beyond its end is seen. The caller frees it. */
char *fuzz_copy(struct hb_text text);
/* calloc that never returns NULL. */
void *fuzz_alloc(size_t count, size_t size);

/* Is it one sentence for people: not empty, UTF-8, one line, no control characters? */
void fuzz_check_sentence(struct hb_text sentence);

/* Reads an input from its front; beyond its end all is zero. */
struct fuzz_input {
    const uint8_t *at, *end;
};

uint8_t fuzz_byte(struct fuzz_input *input);
uint8_t fuzz_below(struct fuzz_input *input, uint8_t limit);
uint32_t fuzz_u32(struct fuzz_input *input);
/* The next line, without its newline; false at the end. Inputs that are scripts are read with it. */
bool fuzz_line(struct fuzz_input *input, struct hb_text *ret_line);
/* Cuts the text before the first blank off and moves behind the blank. */
struct hb_text fuzz_word(struct hb_text *text);
/* Its decimal number, at most `most`; 0 when there is none. */
uint32_t fuzz_number(struct hb_text text, uint32_t most);

#endif
