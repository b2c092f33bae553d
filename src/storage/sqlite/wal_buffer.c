/* wal_buffer.c - see wal_buffer.h.
 *
 * What SQLite does that is not an append, and what becomes of it here:
 *   - a page that was spilled and then changed is written anew into its frame (a page where no header was before
 *     it), and after the commit frame all checksums behind it are rewritten (headers below `end`);
 *   - after a rollback to a savepoint frames are written anew from an earlier offset (a header below `end`).
 * All of these empty the buffer and are written through, so the file gets the bytes in the order that SQLite
 * wrote them. Gathering goes on where a header comes exactly at `end` again. */
#include "storage/sqlite/wal_buffer.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

#define FRAME_HEADER_BYTES 24
#define DATABASE_SIZE_AT 4 /* in the header: the file's size in pages in a commit frame, else 0 */

void kvault__wal_buffer_open(struct wal_buffer *buffer, sqlite3_file *wal)
{
    *buffer = (struct wal_buffer){ .wal = wal, .end = -1 };
}

void kvault__wal_buffer_lock(struct wal_buffer *buffer)
{
    assert(!buffer->used);
    if (buffer->wal && !buffer->bytes)
        buffer->bytes = kvault__alloc(WAL_BUFFER_BYTES);
    buffer->gathering = buffer->bytes != NULL; /* short of memory, frames are written one by one */
}

void kvault__wal_buffer_unlock(struct wal_buffer *buffer)
{
    buffer->used = 0;
    buffer->gathering = buffer->page_due = buffer->ending = false;
    buffer->error = SQLITE_OK;
    buffer->end = -1;
}

void kvault__wal_buffer_close(struct wal_buffer *buffer)
{
    kvault__free(buffer->bytes);
    kvault__wal_buffer_open(buffer, NULL);
}

int kvault__wal_buffer_flush(struct wal_buffer *buffer)
{
    if (buffer->error || !buffer->used)
        return buffer->error;
    buffer->error = buffer->wal->pMethods->xWrite(buffer->wal, buffer->bytes, buffer->used, buffer->start);
    if (!buffer->error)
        buffer->used = 0;
    return buffer->error;
}

static bool is_commit(const uint8_t *header)
{
    static const uint8_t none[4];

    return memcmp(header + DATABASE_SIZE_AT, none, sizeof none) != 0;
}

static int write_through(struct wal_buffer *buffer, const void *bytes, int size, sqlite3_int64 offset)
{
    int code = kvault__wal_buffer_flush(buffer);

    return code ? code : buffer->wal->pMethods->xWrite(buffer->wal, bytes, size, offset);
}

/* Keep bytes that come exactly behind what is there. */
static int append(struct wal_buffer *buffer, const void *bytes, int size, sqlite3_int64 offset)
{
    if (size > WAL_BUFFER_BYTES - buffer->used) {
        int code =
            size > WAL_BUFFER_BYTES ? write_through(buffer, bytes, size, offset) : kvault__wal_buffer_flush(buffer);

        if (code || size > WAL_BUFFER_BYTES)
            return code;
    }
    if (!buffer->used)
        buffer->start = offset;
    memcpy(buffer->bytes + buffer->used, bytes, (size_t)size);
    buffer->used += size;
    return SQLITE_OK;
}

int kvault__wal_buffer_write(struct wal_buffer *buffer, const void *bytes, int size, sqlite3_int64 offset)
{
    bool is_header = size == FRAME_HEADER_BYTES && !buffer->page_due;
    bool appends = (is_header && buffer->end < 0) || (offset == buffer->end && (is_header || buffer->page_due));
    bool last = buffer->ending; /* this follows the header of a commit frame, appended or not */
    int code;

    if (buffer->error)
        return buffer->error;
    if (!buffer->gathering)
        return buffer->wal->pMethods->xWrite(buffer->wal, bytes, size, offset);
    buffer->page_due = appends && is_header;
    buffer->ending = is_header && is_commit(bytes);
    code = appends ? append(buffer, bytes, size, offset) : write_through(buffer, bytes, size, offset);
    if (offset + size > buffer->end)
        buffer->end = offset + size;
    if (last) { /* the commit frame is whole: it and all that follows must not wait */
        if (!code)
            code = kvault__wal_buffer_flush(buffer);
        buffer->gathering = false;
    }
    return code;
}

int kvault__wal_buffer_read(struct wal_buffer *buffer, void *dest, int size, sqlite3_int64 offset)
{
    sqlite3_int64 end = buffer->start + buffer->used;

    if (buffer->used && offset < end && offset + size > buffer->start) {
        int code;

        if (offset >= buffer->start && offset + size <= end) {
            memcpy(dest, buffer->bytes + (offset - buffer->start), (size_t)size);
            return SQLITE_OK;
        }
        code = kvault__wal_buffer_flush(buffer);
        if (code)
            return code;
    }
    return buffer->wal->pMethods->xRead(buffer->wal, dest, size, offset);
}
