/* registry.c - which files this process has open, and what a fork does to them.
 *
 * The registry is the one writable object at file scope: two engines on one file would
 * break each other's POSIX locks, since closing any descriptor of a file drops all of
 * the process's locks on it. A file is known by its path and by (device, inode), so
 * that a second name or a link leads to the same engine. We never open the file
 * ourselves, for the same reason.
 *
 * A child inherits SQLite's table of open files, and a connection that it opens to one
 * of them would take no lock. So before a fork every engine finishes its call and closes
 * its connections, with all locks held across the fork. An engine with a transaction
 * or a snapshot open cannot close; its child side is marked as forked and touches
 * nothing of it again. */
#include "vault/engine_state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/banned.h"

static struct {
    kvault__mutex lock; /* level 1 */
    struct engine *first;
    bool forking;
    struct storage_other_copy other_copy;
    bool told_other_copy;
    bool watches_threads;
    pthread_key_t thread_ends;
} registry = { .lock = { .mutex = PTHREAD_MUTEX_INITIALIZER } };

/* ---- another SQLite ---- */

/* Found, and not told before. */
static bool find_other_copy(char ret_path[256])
{
    bool found;

    kvault__mutex_acquire(&registry.lock);
    found = !registry.told_other_copy && kvault__sqlite_backend.find_other_copy(&registry.other_copy);
    registry.told_other_copy |= found;
    if (found)
        (void)snprintf(ret_path, 256, "%s", registry.other_copy.path);
    kvault__mutex_release(&registry.lock);
    return found;
}

void kvault__tell_other_copy(const kvault_options *options)
{
    char message[512], path[256];

    if (!options->warn || !find_other_copy(path))
        return;
    (void)snprintf(message, sizeof message,
                   "a second copy of SQLite is in this process, in \"%.200s\": a file that both open can lose its locks and be "
                   "damaged; open it with one of them alone",
                   path);
    options->warn(options->warn_ctx, message);
}

/* ---- paths ---- */

/* The absolute path with links resolved; of a file that is not there yet, its folder's. */
static kvault_status resolve_path(const char *path, char **ret_path, kvault_error *reterr)
{
    char whole[PATH_MAX], folder[PATH_MAX];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    kvault_buf text = KVAULT_BUF_INIT;
    kvault_status rc;

    if (!realpath(path, whole)) {
        size_t length = slash ? (size_t)(slash - path) : 0;

        if (errno != ENOENT || !*name || strlen(path) >= PATH_MAX)
            return kvault__fail(reterr, KVAULT_E_IO, "could not find \"%s\": %s", path, strerror(errno));
        (void)snprintf(folder, sizeof folder, "%.*s", (int)(slash ? (length ? length : 1) : 1), slash ? path : ".");
        if (!realpath(folder, whole))
            return kvault__fail(reterr, KVAULT_E_IO, "could not find the folder \"%s\": %s", folder, strerror(errno));
        TRY(kvault__buf_append(&text, whole, strlen(whole), reterr));
        if (strcmp(whole, "/") != 0)
            TRY(kvault__buf_append(&text, "/", 1, reterr));
        TRY(kvault__buf_append(&text, name, strlen(name) + 1, reterr));
    } else {
        TRY(kvault__buf_append(&text, whole, strlen(whole) + 1, reterr));
    }
    *ret_path = (char *)text.data;
    return KVAULT_OK;
out:
    kvault_buf_free(&text);
    return rc;
}

kvault_status kvault__sync_folder_of(const char *path, kvault_error *reterr)
{
    char *whole = NULL, *slash;
    kvault_status rc = resolve_path(path, &whole, reterr);
    int fd;

    if (rc < 0)
        return rc;
    slash = strrchr(whole, '/');
    slash[slash == whole ? 1 : 0] = 0;
    fd = open(whole, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        rc = kvault__fail(reterr, KVAULT_E_IO, "could not sync the folder \"%s\": %s", whole, strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    kvault__free(whole);
    return rc;
}

static struct engine *find_locked(const char *path)
{
    struct stat at;
    bool there = stat(path, &at) == 0;

    for (struct engine *engine = registry.first; engine; engine = engine->next) {
        if (engine->memory || engine->closing)
            continue;
        /* A path that now leads to another file is another engine; the old one refuses to commit. */
        if (there && engine->inode ? at.st_dev == engine->device && at.st_ino == engine->inode
                                   : strcmp(engine->path, path) == 0)
            return engine;
    }
    return NULL;
}

bool kvault__is_open_here(const char *path)
{
    char *whole = NULL;
    bool found;

    if (resolve_path(path, &whole, NULL) < 0)
        return false;
    kvault__mutex_acquire(&registry.lock);
    found = find_locked(whole) != NULL;
    kvault__mutex_release(&registry.lock);
    kvault__free(whole);
    return found;
}

/* ---- engines ---- */

static void engine_init_locks(struct engine *engine)
{
    kvault__write_lock_init(&engine->write);
    kvault__mutex_init(&engine->pool_lock);
    kvault__cond_init(&engine->pool_free);
    kvault__mutex_init(&engine->pending_lock);
    kvault__cond_init(&engine->flusher_wake);
}

static kvault_status engine_new(const char *path, const kvault_options *options, struct engine **ret_engine,
                                kvault_error *reterr)
{
    struct engine *engine = kvault__alloc_zero(1, sizeof *engine);
    size_t size = strlen(path) + 1;
    kvault_status rc = KVAULT_OK;

    if (!engine)
        return kvault__fail_nomem(reterr, sizeof *engine);
    engine->path = kvault__alloc(size);
    engine->counts = kvault__alloc_zero(STORAGE_KINDS, sizeof *engine->counts);
    engine->changes = kvault__alloc_zero(CHANGE_SLOTS, sizeof *engine->changes);
    if (!engine->path || !engine->counts || !engine->changes) {
        rc = kvault__fail_nomem(reterr, size);
        kvault__free(engine->path);
        kvault__free(engine->counts);
        kvault__free(engine->changes);
        kvault__free(engine);
        return rc;
    }
    memcpy(engine->path, path, size);
    engine->memory = strcmp(path, ":memory:") == 0;
    engine->backend = &kvault__sqlite_backend;
    engine->options = *options;
    engine->writable = !options->read_only;
    engine->count_capacity = STORAGE_KINDS;
    engine->swept_ns = kvault__monotonic_ns();
    for (int kind = 1; kind < STORAGE_KINDS; kind++)
        engine->fixed[kind] = (struct storage_space){ .kind = (enum storage_kind)kind, .index = (uint32_t)kind };
    engine_init_locks(engine);
    *ret_engine = engine;
    return rc;
}

static void engine_free(struct engine *engine)
{
    kvault__pending_free(&engine->active);
    kvault__pending_free(&engine->frozen);
    for (struct pending_account *account = engine->accounts, *next; account; account = next) {
        next = account->next;
        kvault__free(account);
    }
    for (int level = 0; level < engine->txn.level_capacity; level++)
        kvault__growth_free(&engine->txn.levels[level]);
    for (uint32_t i = 0; i < engine->space_count; i++)
        kvault__free(engine->spaces[i]);
    kvault__free(engine->spaces);
    kvault__free(engine->txn.levels);
    kvault__free(engine->counts);
    kvault__free(engine->changes);
    kvault__free(engine->held);
    kvault__free(engine->abandoned);
    kvault__free(engine->path);
    kvault__cond_destroy(&engine->flusher_wake);
    kvault__cond_destroy(&engine->pool_free);
    kvault__mutex_destroy(&engine->pending_lock);
    kvault__mutex_destroy(&engine->pool_lock);
    kvault__mutex_destroy(&engine->write.mutex);
    kvault__free(engine);
}

static kvault_status check_options(const struct engine *engine, const kvault_options *options, kvault_error *reterr)
{
    const kvault_options *have = &engine->options;
    const char *what = NULL;

    if ((options->given & KVAULT_GIVEN_MMAP_SIZE) && options->mmap_size != have->mmap_size)
        what = "mmap_size";
    else if ((options->given & KVAULT_GIVEN_CACHE_BYTES) && options->cache_bytes != have->cache_bytes)
        what = "cache_kb";
    else if ((options->given & KVAULT_GIVEN_WAL) && options->enable_wal != have->enable_wal)
        what = "enable_wal";
    else if ((options->given & KVAULT_GIVEN_DURABILITY) && options->durability != have->durability)
        what = "durability";
    else if ((options->given & KVAULT_GIVEN_GATHER_WRITES) && options->gather_writes != have->gather_writes)
        what = "gather_writes";
    if (what)
        return kvault__fail(reterr, KVAULT_E_INVALID,
                            "cannot open \"%s\" with this %s: the file is open in this process with another one",
                            engine->path, what);
    return KVAULT_OK;
}

kvault_status kvault__engine_enter(const char *path, const kvault_options *options, struct engine **ret_engine,
                                   kvault_error *reterr)
{
    bool memory = strcmp(path, ":memory:") == 0;
    struct engine *engine = NULL;
    char *whole = NULL;
    kvault_status rc = KVAULT_OK;

    if (!memory)
        TRY(resolve_path(path, &whole, reterr));
    kvault__mutex_acquire(&registry.lock);
    engine = memory ? NULL : find_locked(whole);
    if (engine) {
        rc = check_options(engine, options, reterr);
        if (rc >= 0)
            engine->writable = engine->writable || !options->read_only;
    } else {
        rc = engine_new(memory ? path : whole, options, &engine, reterr);
        if (rc >= 0) {
            engine->next = registry.first;
            registry.first = engine;
            engine->references = 1;
        }
    }
    if (rc >= 0) {
        engine->handles++;
        engine->references++;
        *ret_engine = engine;
    }
    kvault__mutex_release(&registry.lock);
out:
    kvault__free(whole);
    return rc;
}

kvault_status kvault__engine_add(struct engine *engine, bool counts, kvault_error *reterr)
{
    kvault_status rc = KVAULT_OK;

    kvault__mutex_acquire(&registry.lock);
    if (counts && engine->closing) {
        rc = kvault__fail(reterr, KVAULT_E_CLOSED, "the vault \"%s\" was closed meanwhile", engine->path);
    } else {
        engine->handles += counts;
        engine->references++;
    }
    kvault__mutex_release(&registry.lock);
    return rc;
}

void kvault__engine_release(struct engine *engine)
{
    bool last;

    kvault__mutex_acquire(&registry.lock);
    last = --engine->references == 0;
    kvault__mutex_release(&registry.lock);
    if (last)
        engine_free(engine);
}

uint32_t kvault__engine_handles(struct engine *engine)
{
    uint32_t handles;

    kvault__mutex_acquire(&registry.lock);
    handles = engine->handles;
    kvault__mutex_release(&registry.lock);
    return handles;
}

static void unlink_locked(struct engine *engine)
{
    for (struct engine **at = &registry.first; *at; at = &(*at)->next) {
        if (*at == engine) {
            *at = engine->next;
            return;
        }
    }
}

/* The last handle is gone (`closing` is set, so nobody finds the engine any more). It stays in the
 * registry until its connections are closed: a fork that comes meanwhile waits for that
 * on the write lock. Closing folds the log into the file and may take its time, so the
 * registry is not held for it. */
static void engine_close(struct engine *engine)
{
    int64_t now = kvault__monotonic_ns();
    struct storage_wait wait = { .started_ns = now, .deadline_ns = INT64_MAX };

    if (atomic_load_explicit(&engine->state, memory_order_relaxed) != ENGINE_FORKED) {
        /* Calls that other threads have begun are let finish; those that come now find no connection. */
        bool locked = kvault__lock_writes(engine, "close", &wait, NULL) >= 0;

        assert(locked);
        kvault__end_readers(engine);
        kvault__close_connections(engine, true);
        if (locked)
            kvault__unlock_writes(engine);
    }
    kvault__mutex_acquire(&registry.lock);
    unlink_locked(engine);
    kvault__mutex_release(&registry.lock);
    kvault__engine_release(engine);
}

void kvault__engine_leave(struct engine *engine, bool may_wait)
{
    bool last;

    kvault__mutex_acquire(&registry.lock);
    last = --engine->handles == 0;
    if (last && (may_wait || atomic_load_explicit(&engine->state, memory_order_relaxed) == ENGINE_FORKED)) {
        engine->closing = true;
        kvault__mutex_release(&registry.lock);
        kvault__flusher_stop(engine);
        engine_close(engine);
        return;
    }
    kvault__mutex_release(&registry.lock);
    if (!last)
        return;
    kvault__mutex_acquire(&engine->pending_lock);
    engine->abandoned_by_all = true;
    kvault__flusher_need_locked(engine);
    kvault__mutex_release(&engine->pending_lock);
}

bool kvault__engine_close_abandoned(struct engine *engine)
{
    kvault__mutex_acquire(&registry.lock);
    if (engine->handles || engine->closing) {
        kvault__mutex_release(&registry.lock);
        return false;
    }
    engine->closing = true;
    kvault__mutex_release(&registry.lock);
    (void)pthread_detach(pthread_self()); /* nobody is left to join it */
    engine_close(engine);
    return true;
}

/* ---- all files ---- */

/* The engine after `engine` (the first for NULL), with a handle on it so that it stays. */
static struct engine *next_engine(struct engine *engine)
{
    struct engine *next;

    kvault__mutex_acquire(&registry.lock);
    next = engine ? engine->next : registry.first;
    while (next && next->closing)
        next = next->next;
    if (next)
        next->handles++;
    kvault__mutex_release(&registry.lock);
    return next;
}

kvault_status kvault_flush_all(kvault_error *reterr)
{
    kvault_status rc = KVAULT_OK;
    struct engine *engine = next_engine(NULL);

    while (engine) {
        kvault self = { .engine = engine, .options = engine->options, .state = HANDLE_OPEN, .caching = 0 };
        kvault_error err = KVAULT_ERROR_INIT;
        struct engine *next;
        kvault_status flushed = KVAULT_OK;

        self.options.read_only = false;
        if (atomic_load_explicit(&engine->cache_locker, memory_order_relaxed) == this_thread())
            flushed = kvault_cache_unlock(&self, &err); /* the process ends inside lock_cache() */
        else if (atomic_load_explicit(&engine->state, memory_order_relaxed) != ENGINE_FORKED)
            flushed = kvault__flush_engine(&self, NULL, &err);
        if (flushed < 0 && rc >= 0) {
            rc = flushed;
            if (reterr)
                *reterr = err;
        }
        next = next_engine(engine);
        kvault__engine_leave(engine, true);
        engine = next;
    }
    return rc;
}

/* ---- threads that end ----
 * What a thread leaves open nobody else could end, and the next thread that has its number would take for its own. */

static void end_of_thread(void *unused)
{
    struct engine *engine = next_engine(NULL);

    (void)unused;
    while (engine) {
        kvault self = { .engine = engine, .options = engine->options, .state = HANDLE_OPEN, .caching = 0 };
        kvault_status ignored = KVAULT_OK;
        struct engine *next;

        self.options.read_only = false;
        self.options.interrupted = NULL; /* the thread is the caller's no longer */
        self.options.warn = NULL;
        if (atomic_load_explicit(&engine->cache_locker, memory_order_relaxed) == this_thread())
            ignored = kvault_cache_unlock(&self, NULL); /* what cannot be flushed stays pending */
        while (kvault_depth(&self) > 0)
            ignored = kvault_rollback(&self, NULL); /* what cannot be undone is lost with the connection */
        (void)ignored;
        next = next_engine(engine);
        kvault__engine_leave(engine, true);
        engine = next;
    }
}

void kvault__watch_thread(void)
{
    bool watches;

    kvault__mutex_acquire(&registry.lock);
    if (!registry.watches_threads)
        registry.watches_threads = pthread_key_create(&registry.thread_ends, end_of_thread) == 0;
    watches = registry.watches_threads;
    kvault__mutex_release(&registry.lock);
    if (watches)
        (void)pthread_setspecific(registry.thread_ends, &registry); /* short of memory: the thread ends unseen */
}

/* The library may be unloaded before its threads end. */
__attribute__((destructor)) static void watch_no_thread(void)
{
    if (registry.watches_threads)
        (void)pthread_key_delete(registry.thread_ends);
}

/* ---- forks ----
 * The locks go from one function to the next, which clang's analysis of one function cannot follow. */

/* The fork happens inside a call that writes or reads, in a callback of it. */
static bool is_in_write_locked(const struct engine *engine)
{
    return engine->write.held && atomic_load_explicit(&engine->write.holder, memory_order_relaxed) == this_thread() &&
           !atomic_load_explicit(&engine->cache_locker, memory_order_relaxed);
}

static bool is_in_call_locked(const struct engine *engine)
{
    return is_in_write_locked(engine) || kvault__reads_here_locked(engine);
}

/* Something of this engine lasts beyond a call, so its connections must stay open. */
static bool cannot_close_locked(struct engine *engine)
{
    return engine->memory || is_in_call_locked(engine) || engine->snapshots || atomic_load_explicit(&engine->txn.owner, memory_order_relaxed);
}

/* Hold every lock of the engine, with no call in progress. */
KVAULT_NO_LOCK_CHECK static void hold_for_fork(struct engine *engine)
{
    struct write_lock *lock = &engine->write;

    for (;;) {
        bool user_holds;

        kvault__mutex_acquire(&lock->mutex);
        user_holds = atomic_load_explicit(&engine->txn.owner, memory_order_relaxed) ||
                     atomic_load_explicit(&engine->cache_locker, memory_order_relaxed) || is_in_write_locked(engine);
        if (!lock->held || user_holds)
            break;
        kvault__mutex_release(&lock->mutex); /* a call is in it: they are short */
        kvault__sleep_us(100);
    }
    for (;;) {
        kvault__mutex_acquire(&engine->pool_lock);
        if (engine->reader_count == engine->idle_count || kvault__reads_here_locked(engine))
            break;
        kvault__mutex_release(&engine->pool_lock);
        kvault__sleep_us(100);
    }
    if (!cannot_close_locked(engine))
        kvault__close_connections(engine, false);
    kvault__mutex_acquire(&engine->pending_lock);
}

KVAULT_NO_LOCK_CHECK void kvault_before_fork(void)
{
    kvault__mutex_acquire(&registry.lock);
    for (struct engine *engine = registry.first; engine; engine = engine->next)
        hold_for_fork(engine);
}

KVAULT_NO_LOCK_CHECK void kvault_after_fork_parent(void)
{
    for (struct engine *engine = registry.first; engine; engine = engine->next) {
        kvault__mutex_release(&engine->pending_lock);
        kvault__mutex_release(&engine->pool_lock);
        kvault__mutex_release(&engine->write.mutex);
    }
    kvault__mutex_release(&registry.lock);
}

/* Threads, waiters and pending writes are the parent's; locks start anew. */
static void child_engine(struct engine *engine)
{
    if (cannot_close_locked(engine) && !engine->memory)
        atomic_store_explicit(&engine->state, ENGINE_FORKED, memory_order_relaxed); /* the child has one thread */
    if (!engine->memory ||
        (!atomic_load_explicit(&engine->txn.owner, memory_order_relaxed) && !is_in_write_locked(engine))) {
        if (!engine->memory) {
            kvault__pending_free(&engine->active);
            kvault__pending_free(&engine->frozen);
            for (struct pending_account *account = engine->accounts; account; account = account->next)
                account->active_bytes = account->frozen_bytes = 0;
            atomic_store_explicit(&engine->pending_entries, 0, memory_order_relaxed);
        }
        atomic_store_explicit(&engine->txn.owner, 0, memory_order_relaxed);
    } else {
        atomic_store_explicit(&engine->state, ENGINE_FORKED, memory_order_relaxed);
    }
    atomic_store_explicit(&engine->cache_locker, 0, memory_order_relaxed);
    atomic_store_explicit(&engine->last_writer, 0, memory_order_relaxed);
    engine->background_error.status = KVAULT_OK;
    engine->epoch++; /* what was pending was seen, and is the parent's */
    engine->undoables = NULL;
    engine->held_count = engine->abandoned_count = 0;
    engine->flusher_runs = engine->abandoned_by_all = false;
    engine_init_locks(engine);
}

void kvault_after_fork_child(void)
{
    for (struct engine *engine = registry.first; engine; engine = engine->next)
        child_engine(engine);
    kvault__mutex_init(&registry.lock);
}
