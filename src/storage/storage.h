/* storage.h - the seam: everything that reaches the disk, as one table of functions.
 *
 * What is stored is a **cell**, (space, key) -> bytes or the id of a blob, or a
 * **chunk**, (family, owner, seq) -> bytes; both under transactions.
 *
 *   space    a table of cells. A *table* space has a name that a user chose and
 *            keys of bytes; the fixed spaces belong to the layers above. Integer
 *            keys are eight bytes, big-endian, so that all keys sort as memcmp does.
 *   chunk    pieces of blobs (owner: blob id) and chunks of columns (owner: column id).
 *            seq counts from 0; owner is below 2^31.
 *
 * Rules:
 *   - A slice given is borrowed until the call returns. A get writes into the
 *     caller's memory when it fits, and says how much it would have been otherwise.
 *   - No statement stays open between calls: a connection outside a transaction
 *     pins nothing.
 *   - A connection is used by one thread at a time; the caller holds its lock.
 *   - commit has three outcomes: committed, rolled back (run it again), unknown.
 *   - No type of the backend crosses this file, and nothing below it calls back
 *     into Python; `wait.interrupted` is the one question it asks.
 *   - Every failure has its words when it leaves here.
 *   - Another backend (a server) must be possible behind it: keys up to 2,600 bytes
 *     and cells up to 256 KiB are what it takes, hence limits(). */
#ifndef KVAULT_STORAGE_STORAGE_H
#define KVAULT_STORAGE_STORAGE_H

#include "kohakuvault/error.h"

/* ---- where things are ---- */

enum storage_kind {
    STORAGE_TABLE,       /* bytes -> value or blob: a user's table */
    STORAGE_STATE,       /* u64 -> record: counters of the file (vault/) */
    STORAGE_BLOBS,       /* u64 blob id -> record: streams in progress, replaced blobs (kv/) */
    STORAGE_COLUMNS,     /* u64 column id -> record (column/) */
    STORAGE_COLUMN_NAMES,/* bytes name and part -> record holding the id (column/) */
    STORAGE_COLUMN_TAILS,/* u64 column << 32 | n -> record (column/) */
};
#define STORAGE_KINDS 6

enum storage_layout {
    STORAGE_LAYOUT_OURS,  /* key, value, blob_id, size, checksum */
    STORAGE_LAYOUT_PLAIN, /* key, value: a table of another program; values inline, unsummed */
};

/* `index` is small, unique in the file's engine, and stays with the table while the
 * engine lives: the fixed spaces are 1 to 5 (their kind), tables count from STORAGE_KINDS. */
struct storage_space {
    enum storage_kind kind;
    enum storage_layout layout;
    uint32_t index;
    char name[64]; /* of a table, as the file spells it */
};

enum storage_family { STORAGE_PIECES, STORAGE_CHUNKS };

/* ---- one cell, one operation ---- */

struct storage_cell {
    kvault_slice value; /* inline bytes; {NULL, 0} where blob_id is not 0 */
    uint64_t blob_id;   /* 0: the value is inline */
    uint64_t size;      /* of the value, inline or not */
    uint64_t checksum;  /* of an inline value, as given (table spaces of our layout; else 0) */
};

enum storage_op_kind {
    STORAGE_GET,          /* cell by key -> cell, value into dest */
    STORAGE_PUT,          /* insert or replace */
    STORAGE_ADD,          /* insert if absent */
    STORAGE_DELETE,
    STORAGE_CHUNK_GET,    /* `size` bytes from `offset` of a chunk into dest; fewer at its end */
    STORAGE_CHUNK_PUT,    /* insert or replace a whole chunk (cell.value) */
    STORAGE_CHUNK_WRITE,  /* overwrite cell.value.size bytes at `offset`, inside the chunk */
    STORAGE_CHUNK_DELETE, /* seq to seq_end, excluded */
};

enum storage_outcome {
    STORAGE_NONE,     /* not run */
    STORAGE_DONE,     /* found, stored, deleted */
    STORAGE_MISSING,  /* get, delete, chunk get, chunk write: there is none */
    STORAGE_EXISTS,   /* put: replaced a cell (STORAGE_DONE: it is new). add: the key is there, nothing changed */
    STORAGE_HELD,     /* put or delete with keep_blob: the cell there holds a blob; nothing changed */
    STORAGE_SHORT,    /* get: the inline value does not fit in dest; nothing written, cell.size says how much */
};

struct storage_op {
    enum storage_op_kind kind;
    bool keep_blob;                    /* put, delete: leave a cell alone whose value is a blob */
    const struct storage_space *space; /* cells */
    kvault_slice key;                  /* cells */
    struct storage_cell cell;          /* put, add: what to store. get: what was found (value points into dest) */
    enum storage_family family;        /* chunks, with the four below */
    uint64_t owner;
    uint32_t seq, seq_end;
    uint32_t offset, size;
    void *dest;                        /* get, chunk get: caller's memory; NULL: only look (cell.size, blob_id) */
    size_t dest_size;
    /* out */
    enum storage_outcome outcome;
    uint32_t got;                      /* chunk get: bytes written to dest */
    uint32_t chunk_size;               /* chunk get: bytes of the whole chunk */
};

/* ---- scans ---- */

struct storage_range {
    const struct storage_space *space;
    const kvault_slice *start; /* NULL: from the first */
    const kvault_slice *stop;  /* NULL: to the last */
    bool start_excluded;       /* else included */
    bool stop_included;        /* else excluded */
    bool reverse;              /* from stop down to start */
    bool with_values;          /* else the cell has only size and blob_id, and may cost less */
    uint32_t limit;            /* rows at most; > 0 */
};

/* Told each row in order; the slices die on return. Returns KVAULT_OK to go on,
 * KVAULT_END to stop the scan without failure, or a failure, which ends it. */
typedef kvault_status (*storage_row_fn)(void *ctx, kvault_slice key, const struct storage_cell *cell,
                                        kvault_error *reterr);
/* Told each chunk of a family from (owner, seq) on, in order: its size alone. */
typedef kvault_status (*storage_chunk_fn)(void *ctx, uint64_t owner, uint32_t seq, uint32_t size, kvault_error *reterr);

/* ---- connections ---- */

struct storage_config {
    const char *path;      /* absolute; ":memory:" */
    uint32_t page_size;    /* of a new file */
    uint64_t mmap_size;
    uint64_t cache_bytes;  /* of this connection's page cache */
    bool wal;
    bool gather_writes;    /* appends to the log are gathered, the disk is set to work early */
    bool full_sync;        /* durability full */
    bool read_only;        /* creates and changes nothing */
};

/* How long a call may wait for another program, and who may end it sooner. */
struct storage_wait {
    int64_t started_ns, deadline_ns; /* kvault__monotonic_ns() */
    bool (*interrupted)(void *ctx);  /* may be NULL */
    void *interrupted_ctx;
};

enum storage_committed { STORAGE_COMMITTED, STORAGE_ROLLED_BACK, STORAGE_UNKNOWN };

struct storage_checkpointed {
    bool ran;          /* false: another program holds the write lock */
    bool complete;     /* every frame was copied */
    uint64_t wal_bytes;/* in use before the checkpoint */
};

struct storage_sizes {
    uint64_t page_size, pages, free_pages, file_bytes, wal_bytes, cache_bytes_used;
};

/* A version of the file's contents: equal tokens, equal contents. */
#define STORAGE_VERSION_BYTES 48
struct storage_version {
    bool known; /* false: this connection cannot tell; nothing may be assumed */
    uint8_t bytes[STORAGE_VERSION_BYTES];
};

/* What was found of the process's other copies of the backend. */
struct storage_other_copy {
    unsigned long long objects_loaded; /* by the loader when it was last looked for */
    char path[256];                    /* of one; empty if none was found */
};

struct storage_limits {
    size_t key_bytes_max, cell_bytes_max;
};

typedef struct storage_conn storage_conn;

struct storage_backend {
    struct storage_limits limits;

    /* Open a connection. A writable one makes the file, its schema, and what an older
     * format lacks; a damaged, newer or foreign file is KVAULT_E_CORRUPT or
     * KVAULT_E_INVALID with words, and untouched. */
    kvault_status (*open)(const struct storage_config *config, const struct storage_wait *wait, storage_conn **ret_conn,
                          kvault_error *reterr);
    /* Close it; whatever transaction is open is rolled back. `last`: it may fold the WAL into
     * the file if no other program has it open. */
    void (*close)(storage_conn *conn, bool last);

    /* Find the table, make it if `create`; NULL is "kvault", or "kv" where a file has only that. Writes kind, layout and name (not index).
     * KVAULT_NOT_FOUND when it is missing and not made. A table of other columns is KVAULT_E_INVALID. */
    kvault_status (*table)(storage_conn *conn, const char *name, bool create, const struct storage_wait *wait,
                           struct storage_space *ret_space, kvault_error *reterr);
    /* Each table of cells in the file, ours or plain, by name. */
    kvault_status (*list_tables)(storage_conn *conn, const struct storage_wait *wait,
                                 kvault_status (*row)(void *ctx, const char *name, kvault_error *reterr), void *ctx,
                                 kvault_error *reterr);

    /* Are the tables of columns there? Make them if `create` (inside a write transaction); else KVAULT_NOT_FOUND.
     * They are in every file of ours. KVAULT_E_INVALID: another program's tables have their names. */
    kvault_status (*columns)(storage_conn *conn, bool create, const struct storage_wait *wait, kvault_error *reterr);

    /* Begin a transaction: to read (one snapshot from here on, pinned before this returns), or to write
     * (the file's write lock is taken before this returns; KVAULT_E_BUSY names who holds it). */
    kvault_status (*begin)(storage_conn *conn, bool write, const struct storage_wait *wait, kvault_error *reterr);
    /* Ends a read transaction too. On a failing status *ret_committed tells what became of it;
     * in each case no transaction is open afterwards. */
    kvault_status (*commit)(storage_conn *conn, const struct storage_wait *wait, enum storage_committed *ret_committed,
                            kvault_error *reterr);
    void (*rollback)(storage_conn *conn);
    /* Savepoints of a write transaction, by depth from 1. rollback_to undoes to the savepoint and
     * releases it; where the backend cannot undo only that, it rolls the whole transaction back and
     * returns KVAULT_E_IO with words. */
    kvault_status (*savepoint)(storage_conn *conn, int depth, kvault_error *reterr);
    kvault_status (*release)(storage_conn *conn, int depth, kvault_error *reterr);
    kvault_status (*rollback_to)(storage_conn *conn, int depth, kvault_error *reterr);
    /* A transaction is open; false after the backend had to roll one back by itself. */
    bool (*in_transaction)(storage_conn *conn);

    /* Run the operations in order: inside the open transaction; or one write by itself as its own
     * transaction (count 1, waiting for the write lock); or reads as one snapshot. Stops at the first failure; within an open
     * transaction the caller then undoes what ran. Outcomes are in the ops. */
    kvault_status (*run)(storage_conn *conn, struct storage_op *ops, size_t count, const struct storage_wait *wait,
                         kvault_error *reterr);
    kvault_status (*scan)(storage_conn *conn, const struct storage_range *range, const struct storage_wait *wait,
                          storage_row_fn row, void *row_ctx, kvault_error *reterr);
    kvault_status (*scan_chunks)(storage_conn *conn, enum storage_family family, uint64_t owner, uint32_t seq,
                                 const struct storage_wait *wait, storage_chunk_fn row, void *row_ctx,
                                 kvault_error *reterr);
    kvault_status (*count)(storage_conn *conn, const struct storage_space *space, const struct storage_wait *wait,
                           uint64_t *ret_count, kvault_error *reterr);
    /* Delete all cells of a table space (inside a write transaction). */
    kvault_status (*clear)(storage_conn *conn, const struct storage_space *space, const struct storage_wait *wait,
                           kvault_error *reterr);

    /* The version of the contents now; costs nanoseconds where the backend shares memory with the
     * other programs. May be asked of a connection that another thread uses
     * (never waits, never runs a statement: where that would be needed, it is not known). */
    void (*version)(storage_conn *conn, struct storage_version *ret_version);
    /* The version now is this known one: the same question, and its answer, in fewer nanoseconds. */
    bool (*version_is)(storage_conn *conn, const struct storage_version *version);
    /* `now` is `before` and exactly one commit. */
    bool (*version_is_next)(const struct storage_version *before, const struct storage_version *now);

    /* Commits of this connection that changed the contents, since it was opened. */
    uint64_t (*commits)(storage_conn *conn);
    /* Bytes of log since the last complete checkpoint, as this connection's last commit saw it. */
    uint64_t (*log_bytes)(storage_conn *conn);
    /* Copy the log into the file: `writer` holds the write lock meanwhile (outside a transaction;
     * does not wait for it beyond `wait`), `copier` copies. With hold_ms, keep the lock up to that
     * long for readers that hinder the copying, and again for those that hinder the next write from restarting the log. */
    kvault_status (*checkpoint)(storage_conn *writer, storage_conn *copier, int hold_ms,
                                const struct storage_wait *wait, struct storage_checkpointed *ret_done,
                                kvault_error *reterr);
    kvault_status (*optimize)(storage_conn *writer, const struct storage_wait *wait, kvault_error *reterr);
    /* Copy what `conn` sees, inside its open read transaction, to a new database at dest (which the caller
     * removes on failure and renames on success), and sync it. */
    kvault_status (*backup)(storage_conn *conn, const char *dest, const struct storage_wait *wait,
                            bool (*progress)(void *ctx, uint64_t done, uint64_t total), void *progress_ctx,
                            kvault_error *reterr);
    /* The backend's own check of its structures. */
    kvault_status (*check)(storage_conn *conn, const struct storage_wait *wait,
                           void (*problem)(void *ctx, const char *where, const char *what), void *problem_ctx,
                           kvault_error *reterr);
    kvault_status (*sizes)(storage_conn *conn, struct storage_sizes *ret_sizes, kvault_error *reterr);

    /* There is another copy of the backend's library in this process, whose closing of a file drops the locks that ours has
     * on it. Looks when something was loaded since the last time. */
    bool (*find_other_copy)(struct storage_other_copy *seen);
};

/* The embedded engine. */
extern const struct storage_backend kvault__sqlite_backend;

#endif
