/*
 * json_reference: which texts PROTOCOL.md calls JSON, said as plainly as can be: by recursion, with every name
 * unescaped into memory of its own and compared with all others. Slow, and independent of proto/wire/json_strict.
 */
#ifndef HB_TESTS_FUZZ_JSON_REFERENCE_H
#define HB_TESTS_FUZZ_JSON_REFERENCE_H

#include <stdbool.h>

#include "proto/base/buf.h"

bool json_reference_accepts(struct hb_text json);

#endif
