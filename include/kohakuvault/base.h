/* base.h - what every header needs: version, visibility, bytes borrowed and bytes owned. */
#ifndef KOHAKUVAULT_BASE_H
#define KOHAKUVAULT_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KVAULT_VERSION "0.1.0"

#if defined(__GNUC__)
#define KVAULT_API __attribute__((visibility("default")))
#define KVAULT_MUST_USE __attribute__((warn_unused_result))
#define KVAULT_PRINTF(fmt_at, first_at) __attribute__((format(printf, fmt_at, first_at)))
#else
#define KVAULT_API
#define KVAULT_MUST_USE
#define KVAULT_PRINTF(fmt_at, first_at)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes that belong to someone else. A slice given to a function is borrowed
 * until that function returns; a slice handed out says in its function's
 * comment how long it lives. `data` may be NULL only when `size` is 0. */
typedef struct kvault_slice {
    const void *data;
    size_t size;
} kvault_slice;

/* Bytes that belong to the holder, who ends them with kvault_buf_free(). */
typedef struct kvault_buf {
    uint8_t *data;
    size_t size;
    size_t capacity;
} kvault_buf;

#ifdef __cplusplus
#define KVAULT_BUF_INIT (kvault_buf{nullptr, 0, 0})
#else
#define KVAULT_BUF_INIT { NULL, 0, 0 }
#endif

/* Free the bytes and leave the empty buffer. NULL and empty are allowed. */
KVAULT_API void kvault_buf_free(kvault_buf *buf);

/* The version of the library at run time, as "major.minor.patch". */
KVAULT_API const char *kvault_version(void);

#ifdef __cplusplus
}
#endif
#endif
