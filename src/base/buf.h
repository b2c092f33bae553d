/* buf.h - growth of a kvault_buf. */
#ifndef KVAULT_BASE_BUF_H
#define KVAULT_BASE_BUF_H

#include "base/fail.h"

/* Make room for `more` bytes behind those there are. Grows by half, so that n
 * appends cost O(n). On failure the buffer is as it was. */
kvault_status kvault__buf_reserve(kvault_buf *buf, size_t more, kvault_error *reterr) KVAULT_MUST_USE;

/* Append a copy of the bytes. */
kvault_status kvault__buf_append(kvault_buf *buf, const void *data, size_t size, kvault_error *reterr) KVAULT_MUST_USE;

#endif
