/* wal_buffer.h - the frames that a transaction appends to the WAL, gathered into few writes.
 *
 * SQLite appends a frame as two writes, 24 bytes of header and a page. Here they are kept while the
 * connection holds the WAL's write lock, which no other connection can have meanwhile, and written
 * together when the buffer is full or the page of a commit frame arrives. That last write is made before the
 * commit's own xWrite returns, so that its failure is the commit's; from then on everything is written
 * through until the lock is taken again.
 *
 * Invariants:
 *   - used > 0 only while gathering: without the lock nothing is kept that could overwrite another's commit;
 *   - what is kept is whole frames in the order they came, but for a last one that lacks its page;
 *   - nothing in the buffer is changed after it came: whatever does not append empties the buffer first;
 *   - `error` is the failure of a write of kept frames. Every later write of the transaction gets it too, so that
 *     SQLite cannot commit a transaction of which a part is missing.
 *
 * Used by one thread at a time, the one that uses the connection. */
#ifndef KVAULT_STORAGE_SQLITE_WAL_BUFFER_H
#define KVAULT_STORAGE_SQLITE_WAL_BUFFER_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

/* The unix VFS takes 17 bits of a length: no write may reach 128 KiB. */
#define WAL_BUFFER_BYTES (120 * 1024)

struct wal_buffer {
    sqlite3_file *wal; /* the real file; NULL while it is not open */
    uint8_t *bytes;    /* WAL_BUFFER_BYTES of them; NULL until they are needed */
    int used;
    bool gathering;      /* the write lock is ours, and no commit frame has come */
    bool page_due;       /* the last frame kept lacks its page */
    bool ending;         /* the last header was that of a commit frame */
    int error;           /* SQLite's code */
    sqlite3_int64 start; /* where bytes[0] belongs */
    sqlite3_int64 end;   /* of all that was written or kept since the lock was taken; -1: nothing yet */
};

/* The WAL is opened, by the real VFS, or closed; closing frees the memory and discards what was kept. */
void kvault__wal_buffer_open(struct wal_buffer *buffer, sqlite3_file *wal);
void kvault__wal_buffer_close(struct wal_buffer *buffer);
/* The write lock is taken, or let go of. Letting go discards what was kept: it belongs to no commit. */
void kvault__wal_buffer_lock(struct wal_buffer *buffer);
void kvault__wal_buffer_unlock(struct wal_buffer *buffer);

/* As xWrite and xRead of the WAL; flush writes what is kept. All return SQLite's codes. */
int kvault__wal_buffer_write(struct wal_buffer *buffer, const void *bytes, int size, sqlite3_int64 offset);
int kvault__wal_buffer_read(struct wal_buffer *buffer, void *dest, int size, sqlite3_int64 offset);
int kvault__wal_buffer_flush(struct wal_buffer *buffer);

#endif
