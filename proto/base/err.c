/*
 * err: texts of the codes, kept beside them in the header's list.
 */
#include "proto/base/err.h"

const char *hb_err_text(enum hb_err err)
{
    switch (err) {
#define HB_ERR_CASE(code, text)                                                                                        \
    case code:                                                                                                         \
        return text;
        HB_ERR_MAP(HB_ERR_CASE)
#undef HB_ERR_CASE
    }
    return "no such error code";
}
