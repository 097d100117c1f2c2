#include "tests/fuzz/exposition_reference.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

#define SERIES_MAX 2048
#define FAMILIES_MAX 64

struct reading {
    struct hb_text families[FAMILIES_MAX];
    size_t family_count;
    bool histogram, typed;             /* the last family; its TYPE has been read */
    struct hb_text series[SERIES_MAX]; /* names with labels, as they stand */
    size_t series_count;
};

/* How many bytes of a name stand there. */
static size_t name_len(struct hb_text text)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:";
    size_t len = 0;

    while (len < text.len && text.bytes[len] != '\0' &&
           (strchr(first, text.bytes[len]) != NULL || (len > 0 && text.bytes[len] >= '0' && text.bytes[len] <= '9')))
        len++;
    return len;
}

static struct hb_text behind(struct hb_text text, size_t len)
{
    return (struct hb_text){text.bytes + len, text.len - len};
}

/* name="value", where a backslash stands before one of \ " n and nowhere else. How many bytes it has; 0: it is none. */
static size_t label_len(struct hb_text text)
{
    size_t at = name_len(text);

    if (at == 0 || memchr(text.bytes, ':', at) != NULL || at + 1 >= text.len || text.bytes[at] != '=' ||
        text.bytes[at + 1] != '"')
        return 0;
    for (at += 2; at < text.len && text.bytes[at] != '"'; at++) {
        if (text.bytes[at] == '\\' && (++at == text.len || memchr("\\\"n", text.bytes[at], 3) == NULL))
            return 0;
    }
    return at < text.len ? at + 1 : 0;
}

/* {label,label}; 0: they are none. */
static size_t labels_len(struct hb_text text)
{
    size_t at = 0;

    do {
        size_t len = label_len(behind(text, ++at));

        if (len == 0)
            return 0;
        at += len;
    } while (at < text.len && text.bytes[at] == ',');
    return at < text.len && text.bytes[at] == '}' ? at + 1 : 0;
}

static bool is_number(struct hb_text text)
{
    char word[40];
    char *end;

    if (text.len == 0 || text.len >= sizeof word || strcspn(text.bytes, " \n") != text.len)
        return false;
    memcpy(word, text.bytes, text.len);
    word[text.len] = '\0';
    (void)strtod(word, &end);
    return *end == '\0' && strspn(word, "0123456789.") == text.len; /* nothing that is counted here is below 0 */
}

static bool is_of_family(const struct reading *reading, struct hb_text name)
{
    struct hb_text family, rest;

    if (reading->family_count == 0)
        return false;
    family = reading->families[reading->family_count - 1];
    if (!reading->histogram || name.len < family.len || memcmp(name.bytes, family.bytes, family.len) != 0)
        return hb_text_equal(name, family);
    rest = behind(name, family.len);
    return hb_text_equal(rest, HB_TEXT("_bucket")) || hb_text_equal(rest, HB_TEXT("_sum")) ||
           hb_text_equal(rest, HB_TEXT("_count"));
}

static void read_sample(struct reading *reading, struct hb_text line)
{
    struct hb_text series = {line.bytes, name_len(line)};
    size_t labels = 0;

    FUZZ_CHECK(reading->typed && is_of_family(reading, series), "behind another's head: %.*s", (int)line.len,
               line.bytes);
    if (series.len < line.len && line.bytes[series.len] == '{') {
        labels = labels_len(behind(line, series.len));
        FUZZ_CHECK(labels > 0, "labels: %.*s", (int)line.len, line.bytes);
    }
    series.len += labels;
    FUZZ_CHECK(series.len < line.len && line.bytes[series.len] == ' ' && is_number(behind(line, series.len + 1)),
               "value: %.*s", (int)line.len, line.bytes);
    for (size_t i = 0; i < reading->series_count; i++)
        FUZZ_CHECK(!hb_text_equal(reading->series[i], series), "twice: %.*s", (int)line.len, line.bytes);
    FUZZ_CHECK(reading->series_count < SERIES_MAX, "more series than %d", SERIES_MAX);
    reading->series[reading->series_count++] = series;
}

/* # HELP name words, and right behind it # TYPE name word */
static void read_head(struct reading *reading, struct hb_text line)
{
    static const char help[] = "# HELP ", type[] = "# TYPE ";
    struct hb_text rest = behind(line, line.len < sizeof help ? line.len : sizeof help - 1);
    struct hb_text name = fuzz_word(&rest);

    FUZZ_CHECK(name.len > 0 && name_len(name) == name.len && rest.len > 0, "head: %.*s", (int)line.len, line.bytes);
    if (memcmp(line.bytes, help, sizeof help - 1) == 0) {
        for (size_t i = 0; i < reading->family_count; i++)
            FUZZ_CHECK(!hb_text_equal(reading->families[i], name), "two heads: %.*s", (int)line.len, line.bytes);
        FUZZ_CHECK(reading->family_count < FAMILIES_MAX, "more families than %d", FAMILIES_MAX);
        reading->families[reading->family_count++] = name;
        reading->typed = reading->histogram = false;
        return;
    }
    FUZZ_CHECK(memcmp(line.bytes, type, sizeof type - 1) == 0 && !reading->typed && is_of_family(reading, name),
               "head: %.*s", (int)line.len, line.bytes);
    reading->typed = true;
    reading->histogram = hb_text_equal(rest, HB_TEXT("histogram"));
    FUZZ_CHECK(reading->histogram || hb_text_equal(rest, HB_TEXT("counter")) || hb_text_equal(rest, HB_TEXT("gauge")),
               "type: %.*s", (int)line.len, line.bytes);
}

void exposition_reference_check(struct hb_text text)
{
    struct reading *reading = fuzz_alloc(1, sizeof *reading);
    struct fuzz_input input = {(const uint8_t *)text.bytes, (const uint8_t *)text.bytes + text.len};
    struct hb_text line;

    FUZZ_CHECK(text.bytes[text.len - 1] == '\n', "the last line is cut off");
    while (fuzz_line(&input, &line)) {
        if (line.len > 0 && line.bytes[0] == '#')
            read_head(reading, line);
        else
            read_sample(reading, line);
    }
    free(reading);
}
