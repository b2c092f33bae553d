/* vault.h - one open file: open, transactions, snapshots, the write cache, backup, verify, close.
 *
 * A file that is opened twice in one process, by whatever handles, is one engine
 * inside: the handles share its connections, its pending writes and its locks.
 *
 * Threads: every function may be called from any thread at any time, with these
 * exceptions: kvault_free() ends a handle that no other thread uses any more, and
 * a transaction or a locked cache belongs to the thread that began it.
 * A call that has to wait for another writer waits until the handle's deadline,
 * then fails with KVAULT_E_BUSY and words that name the holder and the wait.
 *
 * Forks: call kvault_before_fork() before and one of kvault_after_fork_*() after
 * fork() whenever the child may use a vault. See docs/architecture.md. */
#ifndef KOHAKUVAULT_VAULT_H
#define KOHAKUVAULT_VAULT_H

#include "kohakuvault/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kvault kvault;

typedef enum kvault_durability {
    KVAULT_DURABILITY_NORMAL, /* a commit survives the death of the process; a power cut keeps a prefix of the commits */
    KVAULT_DURABILITY_FULL,   /* a commit survives a power cut too */
} kvault_durability;

/* Which of the options that belong to the whole file the caller gave on purpose:
 * one that contradicts a file already open in this process is an error, a default never is. */
enum {
    KVAULT_GIVEN_PAGE_SIZE = 1,
    KVAULT_GIVEN_MMAP_SIZE = 2,
    KVAULT_GIVEN_CACHE_BYTES = 4,
    KVAULT_GIVEN_WAL = 8,
    KVAULT_GIVEN_DURABILITY = 16,
    KVAULT_GIVEN_GATHER_WRITES = 32,
};

typedef struct kvault_options {
    uint32_t given;                 /* KVAULT_GIVEN_* bits */
    uint32_t page_size;             /* of a new file: a power of two, 512 to 65536; 8192 */
    uint64_t mmap_size;             /* bytes; 0 */
    uint64_t cache_bytes;           /* page and read caches of all connections together; 64 MiB */
    bool enable_wal;                /* true; false: rollback journal */
    kvault_durability durability;   /* normal */
    bool read_only;                 /* of this handle; false. Creates nothing */
    int64_t busy_timeout_ms;        /* of this handle: how long a call waits for others; 5000 */
    bool (*interrupted)(void *ctx); /* asked at least every 0.1 s in a long call; true ends it with KVAULT_E_INTERRUPTED.
                                       May be asked while the write lock is held: it must not call the library */
    void *interrupted_ctx;
    void (*warn)(void *ctx, const char *message); /* what the user should know: a WAL that cannot shrink, two SQLites */
    void *warn_ctx;                               /* called with no lock held; NULL: nobody is told */
    bool gather_writes;             /* true: a transaction's writes to the WAL are made in few large pieces; false: by
                                       SQLite's own VFS, page by page. The file is the same either way */
} kvault_options;

/* Fill in the defaults above. */
KVAULT_API void kvault_options_init(kvault_options *options);

/* Open the file, making it (and not its folder) when it is missing and the handle may write.
 * `path` ":memory:" is a new vault in memory. `options` NULL: the defaults.
 * Fails with KVAULT_E_CORRUPT for a file that is damaged or of another kind, left untouched. */
KVAULT_API kvault_status kvault_open(const char *path, const kvault_options *options, kvault **ret_vault,
                                     kvault_error *reterr) KVAULT_MUST_USE;

/* A second handle on the same file (or snapshot), with the same options and with
 * the write cache setting of `vault` until it is given one of its own. It ends with
 * `vault`: it does not keep the file open, and `vault` must not be freed before it. */
KVAULT_API kvault_status kvault_dup(kvault *vault, kvault **ret_vault, kvault_error *reterr) KVAULT_MUST_USE;

/* Flush what is pending, then end the handle: it answers KVAULT_E_CLOSED from then on.
 * The last handle closes the file. A flush that fails leaves the handle open and the
 * pending writes where they are. Closing again does nothing. */
KVAULT_API kvault_status kvault_close(kvault *vault, kvault_error *reterr);

/* Free the handle, NULL allowed. One that was not closed is closed without I/O:
 * what is pending is left to the engine's flusher. */
KVAULT_API void kvault_free(kvault *vault);

/* The absolute path, or ":memory:"; lives as long as the handle. */
KVAULT_API const char *kvault_path(const kvault *vault);
KVAULT_API bool kvault_is_closed(const kvault *vault);
KVAULT_API bool kvault_is_read_only(const kvault *vault);
KVAULT_API bool kvault_is_snapshot(const kvault *vault);
/* Writes are pending in this engine: freeing the last handle now would leave them to the flusher. */
KVAULT_API bool kvault_has_pending(const kvault *vault);

/* ---- transactions ----
 * kvault_begin() takes the write lock, commits what is pending, then begins. Until
 * the matching commit or rollback this thread's reads see its own writes, and
 * other threads' writes wait. Begun again inside, it is a savepoint. */
KVAULT_API kvault_status kvault_begin(kvault *vault, kvault_error *reterr) KVAULT_MUST_USE;
/* The outermost commit returns once the transaction is committed; when it fails the
 * whole transaction has been rolled back. */
KVAULT_API kvault_status kvault_commit(kvault *vault, kvault_error *reterr) KVAULT_MUST_USE;
/* Undo the innermost level. When SQLite cannot undo only that (a transaction that has
 * outgrown its page cache), the whole transaction is rolled back, every outer commit
 * fails, and this returns KVAULT_E_IO with words that say so. */
KVAULT_API kvault_status kvault_rollback(kvault *vault, kvault_error *reterr);
/* Levels of transaction that this thread has open on this file; 0 outside. */
KVAULT_API int kvault_depth(const kvault *vault);

/* A read-only handle that sees the file as it is now, until it is closed. Flushes
 * what is pending first. It keeps the WAL from shrinking while it is open. */
KVAULT_API kvault_status kvault_snapshot(kvault *vault, kvault **ret_snapshot, kvault_error *reterr) KVAULT_MUST_USE;

/* ---- caches above the library ----
 * Whoever keeps values that were read takes a stamp before the read (kvault_kv_stamp(), kv.h), and
 * asks before it gives the value out again. */
typedef struct kvault_stamp {
    uint64_t epoch;
    uint32_t slot, changes;
} kvault_stamp;

/* Count bytes that such a cache holds: all of them together have half of the engine's cache_bytes.
 * False: there is no room. Any thread, also after a close. */
KVAULT_API bool kvault_cache_take(kvault *vault, size_t bytes);
KVAULT_API void kvault_cache_give(kvault *vault, size_t bytes);

/* ---- the write cache ---- */
typedef struct kvault_cache_setting {
    bool enabled;
    bool auto_flush;            /* false: no threshold; the capacity still holds */
    uint64_t capacity_bytes;    /* keys and values pending under this setting; a write that would exceed it flushes first */
    uint64_t threshold_bytes;   /* a write that reaches it flushes everything */
    int64_t flush_interval_ms;  /* flush in the background after so long without a write; 0: never */
} kvault_cache_setting;

/* Set the handle's write cache, and tell what it was. Pending writes stay pending:
 * flush before switching it off. */
KVAULT_API kvault_status kvault_cache_set(kvault *vault, const kvault_cache_setting *setting,
                                          kvault_cache_setting *ret_previous, kvault_error *reterr) KVAULT_MUST_USE;

/* Commit everything pending in the file, of all its structures, in one transaction.
 * When it fails nothing is lost: the writes stay pending. Inside this thread's
 * locked cache it does nothing, and counts 0. */
KVAULT_API kvault_status kvault_flush(kvault *vault, uint64_t *ret_entries, kvault_error *reterr) KVAULT_MUST_USE;

/* From here to kvault_cache_unlock(), in this thread, every put, delete and append
 * is pending and nothing is flushed; what cannot be pending fails. Other threads'
 * commits wait. Unlocking flushes once; when that fails the lock is released and
 * the writes stay pending. */
KVAULT_API kvault_status kvault_cache_lock(kvault *vault, kvault_error *reterr) KVAULT_MUST_USE;
KVAULT_API kvault_status kvault_cache_unlock(kvault *vault, kvault_error *reterr) KVAULT_MUST_USE;

/* Flush every file that this process has open; the first failure is reported after
 * all were tried. For exit handlers. */
KVAULT_API kvault_status kvault_flush_all(kvault_error *reterr);

/* ---- the whole file ---- */

/* Move what was committed from the WAL into the file; best effort beside readers. */
KVAULT_API kvault_status kvault_checkpoint(kvault *vault, kvault_error *reterr) KVAULT_MUST_USE;
/* Let SQLite refresh its statistics. */
KVAULT_API kvault_status kvault_optimize(kvault *vault, kvault_error *reterr) KVAULT_MUST_USE;

/* Copy one snapshot of the file to `dest`: into a temporary file beside it, synced,
 * then renamed. `progress` (or NULL) is told pages done and in total; false stops
 * with KVAULT_E_INTERRUPTED and leaves `dest` as it was. */
KVAULT_API kvault_status kvault_backup(kvault *vault, const char *dest,
                                       bool (*progress)(void *ctx, uint64_t done, uint64_t total), void *progress_ctx,
                                       kvault_error *reterr) KVAULT_MUST_USE;

/* Check everything: SQLite's integrity check, every checksum, pieces against their
 * owners. `problem` is told each finding; `where` and `what` live until it returns. */
KVAULT_API kvault_status kvault_verify(kvault *vault, void (*problem)(void *ctx, const char *where, const char *what),
                                       void *problem_ctx, kvault_error *reterr) KVAULT_MUST_USE;

typedef struct kvault_stats {
    uint64_t page_size, pages, free_pages; /* of the file */
    uint64_t file_bytes, wal_bytes;
    uint64_t pending_entries, pending_bytes;
    uint64_t commits, flushes, checkpoints; /* by this engine since it opened */
    uint64_t cache_bytes_used, cache_bytes_max;
    uint32_t readers_open, readers_busy, snapshots_open, handles_open;
    bool wal_pinned; /* the last checkpoint was held up by a reader or a transaction */
} kvault_stats;

KVAULT_API kvault_status kvault_get_stats(kvault *vault, kvault_stats *ret_stats, kvault_error *reterr) KVAULT_MUST_USE;

/* ---- forks ----
 * Before: every engine finishes the call it is in and closes its connections.
 * After: both sides reopen at the first use; pending writes stay the parent's. Where
 * a transaction or a snapshot is open, the child's handles answer KVAULT_E_FORKED. */
KVAULT_API void kvault_before_fork(void);
KVAULT_API void kvault_after_fork_parent(void);
KVAULT_API void kvault_after_fork_child(void);

#ifdef __cplusplus
}
#endif
#endif
