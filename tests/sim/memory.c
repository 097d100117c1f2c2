#include "tests/sim/memory.h"

#include <stddef.h>

#include "tests/sim/random.h"

static struct {
    struct random random;
    uint32_t one_in;
    uint64_t left; /* until the next failure */
    uint64_t failures;
    bool inside;
} memory;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t len);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t len);

static void draw(void)
{
    memory.left = (uint64_t)random_between(&memory.random, 1, 2 * (int64_t)memory.one_in);
}

void memory_open(uint64_t seed, uint32_t one_in)
{
    memory.random.state = seed;
    memory.one_in = one_in;
    memory.failures = 0;
    memory.inside = false;
    draw();
}

bool memory_inside(bool inside)
{
    bool before = memory.inside;

    memory.inside = inside;
    return before;
}

uint64_t memory_failures(void)
{
    return memory.failures;
}

static bool refuse(void)
{
    if (!memory.inside || memory.one_in == 0 || --memory.left > 0)
        return false;
    memory.failures++;
    draw();
    return true;
}

void *__wrap_malloc(size_t size)
{
    return refuse() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return refuse() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return refuse() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return refuse() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t len)
{
    return refuse() ? NULL : __real_strndup(text, len);
}
