/* engine.h - one open file, as kv/ and column/ use it.
 *
 * A handle (`kvault`) leads to an engine, the one of its file in this process, or to
 * a snapshot of it. The structures above read and write through four pairs:
 *
 *     kvault__read_begin  ... kvault__read_end     a connection that sees one state
 *     kvault__write_begin ... kvault__write_end    a transaction that carries what is pending
 *     kvault__write_one                            the same for one operation, the fastest way
 *     kvault__pending_put, kvault__pending_look    the write cache
 *
 * The order for a read is: pending first, then the file. Whoever misses in pending
 * and then begins a read sees every write that was acknowledged before: a pending
 * set is forgotten only after its commit.
 *
 * In a transaction of the calling thread (kvault__in_transaction) nothing is pending
 * and reads go through the writer connection; write_begin then makes a savepoint. */
#ifndef KVAULT_VAULT_ENGINE_H
#define KVAULT_VAULT_ENGINE_H

#include "kohakuvault/vault.h"
#include "storage/storage.h"

struct engine;
struct structure;
struct reading;

/* ---- handles ---- */

/* KVAULT_OK if the handle may be used now: else closed, forked. */
kvault_status kvault__check_open(kvault *vault, kvault_error *reterr) KVAULT_MUST_USE;
/* The same, and it may write: else read-only (a snapshot is). */
kvault_status kvault__check_writable(kvault *vault, kvault_error *reterr) KVAULT_MUST_USE;
struct engine *kvault__engine(kvault *vault);
bool kvault__in_transaction(kvault *vault);

/* Find the table of cells `name` (NULL: the default one), made if it is missing and
 * the handle may write. The space lives as long as the engine. A missing table on a read-only
 * handle: KVAULT_NOT_FOUND. */
kvault_status kvault__space_open(kvault *vault, const char *name, const struct storage_space **ret_space,
                                 kvault_error *reterr) KVAULT_MUST_USE;
/* The same through a connection in hand; makes nothing. */
kvault_status kvault__space_lookup(struct reading *read, const char *name, const struct storage_space **ret_space,
                                   kvault_error *reterr) KVAULT_MUST_USE;
/* The fixed space of a kind. */
const struct storage_space *kvault__space_fixed(struct engine *engine, enum storage_kind kind);

/* ---- reads ---- */

struct reading {
    const struct storage_backend *backend;
    struct engine *engine;
    kvault *vault;
    storage_conn *conn;
    struct storage_wait wait;
    int source;       /* where the connection came from and goes back to */
    bool transaction; /* begun by us, ended by kvault__read_end */
};

/* Borrow a connection. With `one_state` everything until read_end is read from one
 * state of the file; without, each run() or scan() sees its own. Inside nothing else of the
 * vault may be called but kvault__read_run and the backend's reads on read->conn. */
kvault_status kvault__read_begin(kvault *vault, bool one_state, struct reading *ret_read,
                                 kvault_error *reterr) KVAULT_MUST_USE;
/* With one_state, for many pages that will not be asked for again: by a reader, whose small page cache stays in the
 * processor's, and not by the writer's connection, whose pages are of use to others. */
kvault_status kvault__read_begin_large(kvault *vault, struct reading *ret_read, kvault_error *reterr) KVAULT_MUST_USE;
void kvault__read_end(struct reading *read);
static inline kvault_status kvault__read_run(struct reading *read, struct storage_op *ops, size_t count,
                                             kvault_error *reterr)
{
    return read->backend->run(read->conn, ops, count, &read->wait, reterr);
}

/* ---- writes ---- */

enum writing_kind {
    WRITING_VISIBLE, /* changes what a reader sees: carries all that is pending */
    WRITING_SILENT,  /* pieces, heartbeats, sweeps: carries nothing */
};

struct writing {
    const struct storage_backend *backend;
    struct engine *engine;
    kvault *vault;
    storage_conn *conn;
    struct storage_wait wait;
    bool nested;      /* inside the calling thread's transaction: a savepoint of it */
    bool carries;     /* what was pending is in this transaction */
    bool carrying;    /* that is being written now */
    bool overlaps;    /* it writes a key that is pending: see engine.c */
};

/* Take the write lock, begin a transaction (a savepoint inside the thread's own), and
 * write what is pending into it. `what` names the work for those who wait: "put",
 * "clear". Fails in the thread's locked cache for WRITING_VISIBLE (`what` cannot be pending). */
kvault_status kvault__write_begin(kvault *vault, enum writing_kind kind, const char *what, struct writing *ret_write,
                                  kvault_error *reterr) KVAULT_MUST_USE;
/* Run operations in it. Keeps the engine's counts. */
kvault_status kvault__write_run(struct writing *write, struct storage_op *ops, size_t count,
                                kvault_error *reterr) KVAULT_MUST_USE;
/* Delete all cells of a table space in it. */
kvault_status kvault__write_clear(struct writing *write, const struct storage_space *space,
                                  kvault_error *reterr) KVAULT_MUST_USE;
/* Commit if `rc` >= 0, else undo; returns rc, or how the commit failed. After it the lock
 * is free. Must be called after a successful write_begin. */
kvault_status kvault__write_end(struct writing *write, kvault_status rc, kvault_error *reterr);
/* One visible operation as its own transaction, or inside the thread's. Look at its outcome:
 * STORAGE_HELD needs the long way. */
kvault_status kvault__write_one(kvault *vault, const char *what, struct storage_op *op,
                                kvault_error *reterr) KVAULT_MUST_USE;

/* ---- the write cache ---- */

/* This handle's write would be pending now: its cache is on (or this thread has the
 * cache locked), and the thread is not in a transaction. */
bool kvault__caches(kvault *vault);
/* Make puts and deletes (tombstone) pending, all or none. `checksum` may be 0 for each. Flushes by the
 * handle's setting: before, when the capacity would be exceeded; after, at the threshold.
 * KVAULT_END: they exceed the capacity by themselves, and nothing was done: commit them with
 * kvault__write_begin. Inside the locked cache that is a failure with words. */
struct pending_write {
    kvault_slice key, value;
    uint64_t checksum;
    bool tombstone;
};
kvault_status kvault__pending_put(kvault *vault, const struct storage_space *space, const struct structure *structure,
                                  const struct pending_write *writes, size_t count,
                                  kvault_error *reterr) KVAULT_MUST_USE;

/* Make elements pending at the end of a key (a column's id); see kvault__pending_put() for the outcomes. */
struct pending_append;
struct pending_tail;
kvault_status kvault__pending_append(kvault *vault, const struct storage_space *space, const struct structure *structure,
                                     kvault_slice key, const struct pending_append *append,
                                     kvault_error *reterr) KVAULT_MUST_USE;
/* The same at once, without waiting and without a flush; false: go the way above. `hash` is
 * kvault__column_hash() of all that is in the column, `presence` the stamp of its being there. */
bool kvault__pending_append_now(kvault *vault, const struct storage_space *space, const struct structure *structure,
                                kvault_slice key, uint64_t hash, const kvault_stamp *presence,
                                const struct pending_append *append);
/* What is pending at the end of a key belongs behind what the file has, so the two must be of one moment: take a mark,
 * read the file, then look; KVAULT_END says that a commit came between, and all begins again. */
#define PENDING_NO_MARK UINT64_MAX /* nothing was pending */
uint64_t kvault__pending_mark(kvault *vault);
/* `look` is told the key's tails (either may be NULL), under the pending lock: copy and return. */
kvault_status kvault__pending_tails(kvault *vault, const struct storage_space *space, kvault_slice key, uint64_t mark,
                                    kvault_status (*look)(void *ctx, const struct pending_tail *frozen,
                                                          const struct pending_tail *active, kvault_error *reterr),
                                    void *look_ctx, kvault_error *reterr) KVAULT_MUST_USE;

enum pending_answer { PENDING_NOTHING, PENDING_VALUE, PENDING_DELETED };
/* What is pending for the key. With PENDING_VALUE: *ret_size is the value's size, and up to `capacity`
 * bytes of it from `offset` are copied to dest (which may be NULL). Nothing for a snapshot or in a transaction. */
enum pending_answer kvault__pending_look(kvault *vault, const struct storage_space *space, kvault_slice key,
                                         uint64_t offset, void *dest, size_t capacity, uint64_t *ret_size);
/* Told the pending entries of the space in [start, stop) (either may be NULL; start_excluded, stop_included
 * as in storage_range), in order or in reverse, under the pending lock: copy and return. KVAULT_END stops. */
kvault_status kvault__pending_scan(kvault *vault, const struct storage_range *range,
                                   kvault_status (*row)(void *ctx, kvault_slice key, kvault_slice value,
                                                        bool tombstone, kvault_error *reterr),
                                   void *row_ctx, kvault_error *reterr) KVAULT_MUST_USE;

/* Number of keys in the space as this handle sees it, pending included. O(1) while no
 * other process writes. */
kvault_status kvault__count(kvault *vault, const struct storage_space *space, uint64_t *ret_count,
                            kvault_error *reterr) KVAULT_MUST_USE;

/* ---- stamps: see kv.h ---- */
uint64_t kvault__key_hash(const struct storage_space *space, kvault_slice key);
bool kvault__stamp(kvault *vault, uint64_t hash, kvault_stamp *ret_stamp);
bool kvault__stamp_holds(kvault *vault, const kvault_stamp *stamp);
/* The hash of all that is in a column, pending elements too; with `presence` of its being there alone. */
uint64_t kvault__column_hash(uint64_t id, bool presence);

/* ---- ids that are never used again ---- */

/* The next id of a counter in the STATE space (1, 2, 3...), taken inside `write`. */
enum state_counter { STATE_BLOB_ID = 1, STATE_COLUMN_ID = 2 };
kvault_status kvault__next_id(struct writing *write, enum state_counter counter, uint64_t *ret_id,
                              kvault_error *reterr) KVAULT_MUST_USE;

/* ---- work that a rollback may undo: see undo.c ---- */

struct undoable {
    struct undoable *next;
    int level;   /* of the open transaction that the work belongs to; 0: of none */
    bool undone; /* it was rolled back; under a lock of the engine's, like all of this */
};

/* After a write of the calling thread: if it has a transaction open, `work` belongs to its innermost level. */
void kvault__undo_note(kvault *vault, struct undoable *work);
bool kvault__undo_is_done(struct engine *engine, const struct undoable *work);
/* Before `work` goes away. True if it is there to stay: neither undone nor of a transaction that is open. */
bool kvault__undo_forget(struct engine *engine, struct undoable *work);

/* ---- blobs held by readers of this process ----
 * A reader holds its blob id, so that the sweeper passes it over; an abandoned id is one
 * whose stream ended without I/O, for a later writer to sweep. Neither waits long. */
kvault_status kvault__blob_hold(struct engine *engine, uint64_t blob_id, kvault_error *reterr) KVAULT_MUST_USE;
void kvault__blob_drop(struct engine *engine, uint64_t blob_id);
bool kvault__blob_is_held(struct engine *engine, uint64_t blob_id);
/* Forget quietly if memory is short: the hourly sweep finds it. */
void kvault__blob_abandon(struct engine *engine, uint64_t blob_id);
/* Take one abandoned id; 0 if there is none. */
uint64_t kvault__blob_take_abandoned(struct engine *engine);
/* True once a minute: time for a writer to look for orphans. */
bool kvault__sweep_is_due(struct engine *engine);

#endif
