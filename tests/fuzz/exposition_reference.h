/*
 * exposition_reference: Prometheus' text format, version 0.0.4, read line by line and as strictly as its words allow.
 */
#ifndef HB_TESTS_FUZZ_EXPOSITION_REFERENCE_H
#define HB_TESTS_FUZZ_EXPOSITION_REFERENCE_H

#include "proto/base/buf.h"

/*
 * A broken promise is a line that is none, a family with two heads, a sample that stands behind another family's head,
 * or the same series twice.
 */
void exposition_reference_check(struct hb_text text);

#endif
