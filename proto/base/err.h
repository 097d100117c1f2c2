/*
 * err: the one list of error codes, with their texts beside them.
 *
 * A function that can fail returns enum hb_err; what it produces comes through a last parameter named ret_*, which is
 * left untouched on failure.
 */
#ifndef HB_BASE_ERR_H
#define HB_BASE_ERR_H

#define HB_ERR_MAP(X)                                                                                                  \
    X(HB_OK, "ok")                                                                                                     \
    X(HB_ERR_NO_MEMORY, "out of memory")                                                                               \
    X(HB_ERR_FULL, "full")                                                                                             \
    X(HB_ERR_INVALID, "not valid")                                                                                     \
    X(HB_ERR_SYNTAX, "not JSON")                                                                                       \
    X(HB_ERR_SHAPE, "wrong shape")                                                                                     \
    X(HB_ERR_UNKNOWN, "unknown")                                                                                       \
    X(HB_ERR_STALE, "overtaken by something newer")                                                                    \
    X(HB_ERR_REFUSED, "refused")                                                                                       \
    X(HB_ERR_CONFLICT, "claimed by several")                                                                           \
    X(HB_ERR_IO, "input or output failed")

enum hb_err {
#define HB_ERR_ENUM(code, text) code,
    HB_ERR_MAP(HB_ERR_ENUM)
#undef HB_ERR_ENUM
};

#define HB_MUST_CHECK __attribute__((warn_unused_result))
#define HB_PRINTF(format_at, first_at) __attribute__((format(printf, format_at, first_at)))

/* A static text, never NULL, also for a code that is not in the list. */
const char *hb_err_text(enum hb_err err);

#endif
