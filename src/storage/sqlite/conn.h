/* conn.h - a connection of the embedded engine; for src/storage/sqlite/ alone. */
#ifndef KVAULT_STORAGE_SQLITE_CONN_H
#define KVAULT_STORAGE_SQLITE_CONN_H

#include <sqlite3.h>
#include <stdatomic.h>

#include "storage/storage.h"

/* One statement a space and kind; see layout.h for their texts. */
enum stmt_kind {
    STMT_GET,    /* cell with its value */
    STMT_LOOK,   /* cell without its value */
    STMT_PUT,
    STMT_PUT_KEEPING,
    STMT_ADD,
    STMT_DELETE,
    STMT_DELETE_KEEPING,
    STMT_COUNT,
    STMT_CLEAR,
    STMT_SCAN_FIRST, /* by the bits of scan_bits() */
    STMT_SCAN_LAST = STMT_SCAN_FIRST + 63,
    STMT_KINDS,
};

enum chunk_stmt { CHUNK_PUT, CHUNK_DELETE, CHUNK_WHOLE, CHUNK_LOOK, CHUNK_SCAN, CHUNK_STMTS };

enum txn_stmt { TXN_BEGIN, TXN_BEGIN_WRITE, TXN_PIN, TXN_COMMIT, TXN_ROLLBACK, TXN_STMTS };

struct space_stmts {
    sqlite3_stmt *by_kind[STMT_KINDS];
};

struct storage_conn {
    sqlite3 *db;
    struct wal_vfs *vfs; /* that db was opened with; NULL: SQLite's default */
    sqlite3_stmt *txn[TXN_STMTS];
    struct space_stmts **spaces; /* by space index; NULL where unused */
    uint32_t space_count;
    sqlite3_stmt *chunks[2][CHUNK_STMTS];
    sqlite3_blob *blob; /* that reads the chunks of the batch in progress; NULL between calls */
    enum storage_family blob_family;
    bool wal, memory, read_only, immutable;
    bool had_log; /* there were commits in the WAL when this was opened */
    bool ours;    /* the file had our application id when this was opened */
    uint32_t page_size;
    uint64_t piece_bytes;     /* written to pieces by the transaction in progress */
    uint64_t log_pages;       /* in the log at this connection's last commit */
    _Atomic uint64_t commits; /* that reached the log (or the file, without one) */
    const uint32_t *wal_index; /* the shared header, mapped by SQLite as long as db is open; NULL without a WAL */
    char *path;
    const struct storage_wait *wait; /* of the call in progress; NULL between calls */
    int64_t next_glance_ns;          /* when to ask wait->interrupted again */
    bool interrupted;
    int64_t stamp[3];                /* immutable: size and time of the file when it was opened */
};

#endif
