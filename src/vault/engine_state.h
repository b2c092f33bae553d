/* engine_state.h - what an engine and a handle consist of; for src/vault/ alone.
 *
 * Locks, in the order they are taken (docs/locking.md):
 *   1 registry.lock     which engines there are, and how many handles each has
 *   2 the write lock    one writer at a time; held across a transaction() or a locked cache
 *   3 pool_lock         which reader connections are free
 *   4 pending_lock      pending sets, counts, settings, held blobs, the connection that is watched
 * write_lock.mutex is the small mutex inside 2, held for instants and never across another lock. */
#ifndef KVAULT_VAULT_ENGINE_STATE_H
#define KVAULT_VAULT_ENGINE_STATE_H

#include <stdatomic.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/lock.h"
#include "vault/engine.h"
#include "vault/pending.h"
#include "vault/structure.h"

#define READERS_MAX 4
#define CHANGE_SLOTS 4096u
#define TOUCHED_MAX 1024u

typedef uintptr_t thread_mark; /* a live thread; 0 is none */

static inline thread_mark this_thread(void)
{
    return (thread_mark)pthread_self();
}

struct waiter {
    struct waiter *next;
    int64_t since_ns;
    kvault__cond wake;
};

struct write_lock {
    kvault__mutex mutex;
    bool held;
    const char *what; /* the holder's work, in a word */
    int64_t since_ns;
    struct waiter *first, *last;
    _Atomic thread_mark holder;
};

/* By how many keys each space has grown in a transaction, by level of savepoint. */
struct growth {
    int64_t *keys; /* by space index */
    bool *cleared; /* no longer known */
    uint32_t capacity;
};

struct transaction {
    _Atomic thread_mark owner; /* of transaction(); internal writes have the write lock alone */
    int depth;                 /* levels open, internal ones included */
    bool lost;                 /* the backend rolled it back by itself */
    bool made_table;           /* one was created in it: see remake_tables() */
    struct growth *levels;     /* depth of them */
    int level_capacity;
};

/* How often what is in a slot of keys was changed: see stamp.c. */
struct change {
    uint32_t begun, ended;
};

/* The slots of the keys that the open transaction has written. */
struct touched {
    uint32_t slots[TOUCHED_MAX];
    uint32_t count;
    bool all; /* too many to tell, or a whole table */
};

struct counted {
    bool known;
    uint64_t keys;
};

enum engine_state { ENGINE_OPEN, ENGINE_FORKED };

struct engine {
    struct engine *next; /* registry.lock: next, handles, closing, references */
    uint32_t handles;    /* open ones, but for those made from another */
    bool closing;        /* its last handle is gone */
    uint32_t references; /* the registry's, and one for each kvault there is, closed or not */
    char *path;
    bool memory;
    dev_t device;
    ino_t inode;
    const struct storage_backend *backend;
    kvault_options options; /* those of the file */
    _Atomic int state;      /* enum engine_state */

    struct write_lock write;
    storage_conn *writer, *copier; /* used by who holds the write lock */
    struct transaction txn;
    struct touched touched; /* the writer's: by who holds the write lock */
    _Atomic thread_mark cache_locker;
    _Atomic thread_mark last_writer;
    bool writable; /* some handle may write */
    _Atomic bool looked_at; /* a connection that may write was open: the file is ours and sound */

    kvault__mutex pool_lock;
    kvault__cond pool_free;
    storage_conn *idle[READERS_MAX];
    int idle_count, reader_count;
    thread_mark reading[READERS_MAX]; /* who has one of those that are not idle */
    bool ended; /* no connection is opened any more; written under the write lock and pool_lock */

    kvault__mutex pending_lock;
    struct pending_set active, frozen;
    struct pending_account *accounts;
    _Atomic uint64_t pending_entries; /* of both sets; read without the lock as a hint */
    bool committing;                  /* between the file's commit and our books */
    uint64_t commit_seq;
    struct storage_version counted_at; /* the version that `counts` holds at */
    struct counted *counts;            /* by space index */
    uint32_t count_capacity;
    struct change *changes; /* CHANGE_SLOTS of them */
    uint64_t epoch;         /* moves when what was read before may no longer be so, for whatever key */
    bool all_changes;       /* a commit that touches all is under way */
    storage_conn *watched; /* asked for the version; NULL while the file is closed */
    struct storage_space **spaces;
    uint32_t space_count;
    struct storage_space fixed[STORAGE_KINDS];
    uint64_t *held, *abandoned; /* blob ids; a held one stands there once a reader */
    size_t held_count, held_capacity, abandoned_count, abandoned_capacity;
    struct undoable *undoables; /* of the open transaction; pending_lock */
    int64_t swept_ns;
    uint32_t snapshots;
    kvault_error background_error; /* of the flusher, for the next call; status 0: none */

    /* flusher.c; pending_lock guards */
    pthread_t flusher;
    kvault__cond flusher_wake;
    bool flusher_runs, flusher_stop, abandoned_by_all;
    int64_t flush_interval_ns, last_write_ns;

    _Atomic uint64_t cached_bytes; /* taken by caches above the library */
    uint64_t log_tried_bytes; /* how long the log was at the last checkpoint of ours, 0 since it began anew; under the write lock */
    _Atomic uint64_t commits, flushes, checkpoints;
    _Atomic bool wal_pinned, tell_pinned;
};

struct snapshot {
    kvault__mutex lock; /* one reading at a time; level 3 */
    _Atomic thread_mark reader; /* who has it */
    storage_conn *conn;
    char *copy_path; /* of a vault in memory: the file that holds the copy; NULL */
};

enum handle_state { HANDLE_OPEN, HANDLE_CLOSED };

struct kvault {
    struct engine *engine;
    struct snapshot *snapshot; /* NULL: live */
    bool owns_snapshot;        /* else it belongs to the handle this one was made from */
    kvault *parent;            /* whose cache setting counts until this one has its own */
    kvault_options options;
    bool left;                    /* it does not count as one of the engine's handles: closed, or made from another */
    _Atomic int state;            /* enum handle_state; written under pending_lock */
    _Atomic int caching;          /* -1: as the parent; 0; 1 */
    kvault_cache_setting setting; /* pending_lock */
    struct pending_account *account; /* pending_lock; the engine's list owns it */
};

/* ---- vault.c ---- */
/* A handle made from `vault`; it counts for the engine, or ends with `vault`. */
kvault_status kvault__handle_new(kvault *vault, bool counts, kvault **ret_vault, kvault_error *reterr) KVAULT_MUST_USE;

/* ---- lock.c: the write lock ---- */
struct storage_wait kvault__wait(kvault *vault);
kvault_status kvault__lock_writes(struct engine *engine, const char *what, const struct storage_wait *wait,
                                  kvault_error *reterr) KVAULT_MUST_USE;
bool kvault__try_lock_writes(struct engine *engine, const char *what);
void kvault__unlock_writes(struct engine *engine);
void kvault__write_lock_init(struct write_lock *lock);

/* ---- connections.c: opening, lending and closing connections ---- */
kvault_status kvault__need_writer(struct engine *engine, const struct storage_wait *wait,
                                  kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__need_copier(struct engine *engine, const struct storage_wait *wait,
                                  kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__take_reader(struct engine *engine, const struct storage_wait *wait, storage_conn **ret_conn,
                                  kvault_error *reterr) KVAULT_MUST_USE;
/* The calling thread has a reader of the pool: it is in a callback of a read. */
bool kvault__reads_here(struct engine *engine);
bool kvault__reads_here_locked(const struct engine *engine);
void kvault__return_reader(struct engine *engine, storage_conn *conn);
void kvault__close_connections(struct engine *engine, bool last);
/* With the write lock held: no reader is lent any more, and those that are out have come back. */
void kvault__end_readers(struct engine *engine);
kvault_status kvault__open_extra(struct engine *engine, const char *path, const struct storage_wait *wait,
                                 storage_conn **ret_conn, kvault_error *reterr) KVAULT_MUST_USE;

/* ---- count.c ---- */
struct storage_version kvault__version_locked(struct engine *engine);
void kvault__count_commit_locked(struct engine *engine, bool changed, const struct growth *growth);
/* The file is at the version that counts and stamps hold at. The second, unless a commit of ours is under
 * way, first makes it so: what another process committed ends all that was known. */
bool kvault__version_is_known_locked(struct engine *engine);
bool kvault__version_is_settled_locked(struct engine *engine);
kvault_status kvault__growth_push(struct engine *engine, kvault_error *reterr) KVAULT_MUST_USE;
void kvault__growth_pop(struct engine *engine, bool keep);
void kvault__growth_note(struct growth *growth, const struct storage_op *op);
void kvault__growth_free(struct growth *growth);
kvault_status kvault__growth_reserve(struct engine *engine, struct growth *growth,
                                     kvault_error *reterr) KVAULT_MUST_USE;

/* ---- stamp.c ---- */
/* With the write lock held: the open transaction writes the key of `op` (`carried`: what was pending); all keys. */
void kvault__touch(struct engine *engine, const struct storage_op *op, bool carried);
void kvault__touch_all(struct engine *engine);
/* Around the commit of what was touched; or it was rolled back. */
void kvault__touched_begin_locked(struct engine *engine);
void kvault__touched_end_locked(struct engine *engine);
void kvault__touched_forget(struct engine *engine);
/* Something of this hash becomes pending. */
void kvault__touch_pending_locked(struct engine *engine, uint64_t hash);
bool kvault__stamp_holds_locked(struct engine *engine, const kvault_stamp *stamp);

/* ---- write.c: with the write lock held ---- */
kvault_status kvault__write_begin_locked(kvault *vault, enum writing_kind kind, struct writing *ret_write,
                                         kvault_error *reterr) KVAULT_MUST_USE;
/* Releases the write lock. */
kvault_status kvault__write_end_locked(struct writing *write, kvault_status rc, kvault_error *reterr);

/* ---- undo.c: with the write lock held, after a level was taken off ---- */
void kvault__undo_level_ended(struct engine *engine, bool kept);

/* ---- flusher.c ---- */
kvault_status kvault__flush_engine(kvault *vault, uint64_t *ret_entries, kvault_error *reterr) KVAULT_MUST_USE;
void kvault__flusher_need_locked(struct engine *engine);
void kvault__flusher_stop(struct engine *engine);
kvault_status kvault__take_background_error(struct engine *engine, kvault_error *reterr);

/* ---- checkpoint.c ---- */
/* With the write lock held and no transaction open: keep the log short. */
void kvault__checkpoint_if_due(struct engine *engine, const struct storage_wait *wait);
void kvault__tell_pinned(kvault *vault);

/* ---- read.c ---- */
/* KVAULT_E_REENTERED: the calling thread is in a read of the snapshot, in a callback of it. */
kvault_status kvault__snapshot_check_reentry(const kvault *vault, const char *what,
                                             kvault_error *reterr) KVAULT_MUST_USE;
void kvault__snapshot_close(kvault *vault);

/* ---- registry.c ---- */
/* Warn, once a process, of another copy of the backend's library in it. */
void kvault__tell_other_copy(const kvault_options *options);
/* The engine of the file, made if this process has none; counts the new handle. */
kvault_status kvault__engine_enter(const char *path, const kvault_options *options, struct engine **ret_engine,
                                   kvault_error *reterr) KVAULT_MUST_USE;
/* One more kvault on the engine; it counts as a handle, or is made from another one. */
kvault_status kvault__engine_add(struct engine *engine, bool counts, kvault_error *reterr) KVAULT_MUST_USE;
/* The calling thread is about to hold the write lock beyond a call: let that end with the thread. */
void kvault__watch_thread(void);
/* Leave the engine; the last one out closes it: here, or (a finalizer, which must not wait) in the flusher.
 * What it consists of in memory stays until the last kvault is freed: a call of another thread may be in it. */
void kvault__engine_leave(struct engine *engine, bool may_wait);
void kvault__engine_release(struct engine *engine);
/* The flusher's part of that: close the engine if nobody came back. True: it is gone. */
bool kvault__engine_close_abandoned(struct engine *engine);
uint32_t kvault__engine_handles(struct engine *engine);
bool kvault__is_open_here(const char *path);
kvault_status kvault__sync_folder_of(const char *path, kvault_error *reterr);

#endif
