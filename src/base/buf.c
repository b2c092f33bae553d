/* buf.c - growth of a kvault_buf. See buf.h. */
#include "base/buf.h"

#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/banned.h"

void kvault_buf_free(kvault_buf *buf)
{
    if (!buf)
        return;
    kvault__free(buf->data);
    *buf = (kvault_buf)KVAULT_BUF_INIT;
}

kvault_status kvault__buf_reserve(kvault_buf *buf, size_t more, kvault_error *reterr)
{
    size_t need, grown;
    uint8_t *data;

    if (more <= buf->capacity - buf->size)
        return KVAULT_OK;
    if (!kvault__add(buf->size, more, &need))
        return kvault__fail(reterr, KVAULT_E_TOOBIG, "%zu and %zu bytes exceed memory", buf->size, more);
    grown = need < 64 ? 64 : need;
    if (buf->capacity < SIZE_MAX / 2 && grown < buf->capacity + buf->capacity / 2)
        grown = buf->capacity + buf->capacity / 2;
    data = kvault__realloc(buf->data, grown);
    if (!data)
        return kvault__fail_nomem(reterr, grown);
    buf->data = data;
    buf->capacity = grown;
    return KVAULT_OK;
}

kvault_status kvault__buf_append(kvault_buf *buf, const void *data, size_t size, kvault_error *reterr)
{
    kvault_status rc = kvault__buf_reserve(buf, size, reterr);

    if (rc < 0)
        return rc;
    if (size)
        memcpy(buf->data + buf->size, data, size);
    buf->size += size;
    return KVAULT_OK;
}
