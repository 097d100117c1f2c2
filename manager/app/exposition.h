/*
 * exposition: Prometheus' text format, version 0.0.4, one line at a time.
 *
 *   # HELP name words
 *   # TYPE name counter
 *   name{label="value"} 12
 *
 * All samples of a family stand together behind its head, as the format demands: the caller's order decides that. Names
 * of families and labels are the program's own and are not checked. Pure text; errors stick in the buffer.
 */
#ifndef HB_APP_EXPOSITION_H
#define HB_APP_EXPOSITION_H

#include "manager/app/histogram.h"
#include "proto/base/buf.h"

#define HB_EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* help: without backslash or line end. type: counter, gauge, histogram. */
void hb_exposition_head(struct hb_buf *text, const char *name, const char *type, const char *help);
void hb_exposition_sample(struct hb_buf *text, const char *name, uint64_t value);
void hb_exposition_labelled(struct hb_buf *text, const char *name, const char *label, struct hb_text label_value,
                            uint64_t value);
/* Head and sample of a family that has one. */
void hb_exposition_counter(struct hb_buf *text, const char *name, const char *help, uint64_t value);
void hb_exposition_gauge(struct hb_buf *text, const char *name, const char *help, uint64_t value);
/* Head, buckets, sum and count, in seconds. */
void hb_exposition_histogram(struct hb_buf *text, const char *name, const char *help,
                             const struct hb_histogram *histogram);

/* name="value", the value escaped as the format wants it, whatever is in it. */
void hb_exposition_label(struct hb_buf *text, const char *name, struct hb_text value);
/* value / 10^decimals, without trailing zeros: 1500 with 3 is "1.5". */
void hb_append_decimal(struct hb_buf *text, uint64_t value, unsigned decimals);

#endif
