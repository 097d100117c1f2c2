#include "manager/app/exposition.h"

#define DECIMAL_TEXT_MAX 32

void hb_append_decimal(struct hb_buf *text, uint64_t value, unsigned decimals)
{
    char digits[DECIMAL_TEXT_MAX];
    char *end = digits + sizeof digits;
    char *at = end;

    for (; decimals > 0; decimals--, value /= 10) {
        if (at == end && value % 10 == 0)
            continue; /* a trailing zero */
        *--at = (char)('0' + value % 10);
    }
    if (at < end)
        *--at = '.';
    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    hb_buf_append(text, at, (size_t)(end - at));
}

void hb_exposition_label(struct hb_buf *text, const char *name, struct hb_text value)
{
    size_t at = 0;

    hb_buf_append_str(text, name);
    hb_buf_append_str(text, "=\"");
    while (at < value.len) {
        size_t run = at; /* nearly every value is one plain run */

        while (run < value.len && value.bytes[run] != '\\' && value.bytes[run] != '"' && value.bytes[run] != '\n')
            run++;
        hb_buf_append(text, value.bytes + at, run - at);
        at = run;
        if (at < value.len) {
            hb_buf_append_char(text, '\\');
            hb_buf_append_char(text, value.bytes[at] == '\n' ? 'n' : value.bytes[at]);
            at++;
        }
    }
    hb_buf_append_char(text, '"');
}

void hb_exposition_head(struct hb_buf *text, const char *name, const char *type, const char *help)
{
    const char *const words[] = {"# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        hb_buf_append_str(text, words[i]);
}

static void put_value(struct hb_buf *text, uint64_t value, unsigned decimals)
{
    hb_buf_append_char(text, ' ');
    hb_append_decimal(text, value, decimals);
    hb_buf_append_char(text, '\n');
}

void hb_exposition_sample(struct hb_buf *text, const char *name, uint64_t value)
{
    hb_buf_append_str(text, name);
    put_value(text, value, 0);
}

void hb_exposition_labelled(struct hb_buf *text, const char *name, const char *label, struct hb_text label_value,
                            uint64_t value)
{
    hb_buf_append_str(text, name);
    hb_buf_append_char(text, '{');
    hb_exposition_label(text, label, label_value);
    hb_buf_append_char(text, '}');
    put_value(text, value, 0);
}

void hb_exposition_counter(struct hb_buf *text, const char *name, const char *help, uint64_t value)
{
    hb_exposition_head(text, name, "counter", help);
    hb_exposition_sample(text, name, value);
}

void hb_exposition_gauge(struct hb_buf *text, const char *name, const char *help, uint64_t value)
{
    hb_exposition_head(text, name, "gauge", help);
    hb_exposition_sample(text, name, value);
}

static void put_bucket(struct hb_buf *text, const char *name, const struct hb_histogram *histogram, size_t place)
{
    hb_buf_append_str(text, name);
    hb_buf_append_str(text, "_bucket{le=\"");
    if (place < HB_HISTOGRAM_BOUNDS)
        hb_append_decimal(text, (uint64_t)histogram->scale->bounds[place], histogram->scale->decimals);
    else
        hb_buf_append_str(text, "+Inf");
    hb_buf_append_str(text, "\"}");
    put_value(text, hb_histogram_at_most(histogram, place), 0);
}

void hb_exposition_histogram(struct hb_buf *text, const char *name, const char *help,
                             const struct hb_histogram *histogram)
{
    hb_exposition_head(text, name, "histogram", help);
    for (size_t place = 0; place <= HB_HISTOGRAM_BOUNDS; place++)
        put_bucket(text, name, histogram, place);
    hb_buf_append_str(text, name);
    hb_buf_append_str(text, "_sum");
    put_value(text, histogram->sum, histogram->scale->decimals);
    hb_buf_append_str(text, name);
    hb_buf_append_str(text, "_count");
    put_value(text, hb_histogram_at_most(histogram, HB_HISTOGRAM_BOUNDS), 0);
}
