/* error.h - how a call ends: a status, and words on the caller's stack.
 *
 * Zero is success. Above zero is an outcome that the caller expects, and costs
 * no words. Below zero is a failure: nothing was changed unless the function's
 * comment says otherwise, and the kvault_error, if one was given, is filled. */
#ifndef KOHAKUVAULT_ERROR_H
#define KOHAKUVAULT_ERROR_H

#include "kohakuvault/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* name, number, text. The enum, the texts and the tests grow from this list. */
#define KVAULT_STATUS_MAP(X)                                                            \
    X(KVAULT_OK, 0, "success")                                                          \
    X(KVAULT_NOT_FOUND, 1, "no such entry")                                             \
    X(KVAULT_END, 2, "no more entries")                                                 \
    X(KVAULT_E_NOMEM, -1, "out of memory")                                              \
    X(KVAULT_E_INVALID, -2, "invalid argument")                                         \
    X(KVAULT_E_TYPE, -3, "wrong type")                                                  \
    X(KVAULT_E_RANGE, -4, "number out of range")                                        \
    X(KVAULT_E_TOOBIG, -5, "too large")                                                 \
    X(KVAULT_E_BUSY, -6, "busy")                                                        \
    X(KVAULT_E_IO, -7, "input or output failed")                                        \
    X(KVAULT_E_CORRUPT, -8, "damaged data")                                             \
    X(KVAULT_E_CLOSED, -9, "closed")                                                    \
    X(KVAULT_E_READONLY, -10, "read-only")                                              \
    X(KVAULT_E_FORKED, -11, "belongs to another process")                               \
    X(KVAULT_E_REENTERED, -12, "changed while in use")                                  \
    X(KVAULT_E_INTERRUPTED, -13, "interrupted")                                         \
    X(KVAULT_E_COMPARE, -14, "keys cannot be compared")                                 \
    X(KVAULT_E_INDEX, -15, "index out of range")

typedef enum kvault_status {
#define KVAULT_STATUS_ENUM(name, number, text) name = number,
    KVAULT_STATUS_MAP(KVAULT_STATUS_ENUM)
#undef KVAULT_STATUS_ENUM
} kvault_status;

typedef struct kvault_error {
    kvault_status status;
    int sqlite_code;   /* extended SQLite result, 0 if SQLite was not asked */
    int os_code;       /* errno of the failing system call, 0 if there is none */
    int64_t position;  /* byte offset in the input, -1 if it has none */
    char message[400]; /* lower case, no full stop, always terminated */
} kvault_error;

#ifdef __cplusplus
#define KVAULT_ERROR_INIT (kvault_error{KVAULT_OK, 0, 0, -1, {0}})
#else
#define KVAULT_ERROR_INIT { KVAULT_OK, 0, 0, -1, { 0 } }
#endif

/* The text of the map above; "unknown status" for another number. */
KVAULT_API const char *kvault_status_text(kvault_status status);

#ifdef __cplusplus
}
#endif
#endif
