/* checkpoint.c - keeping the log short, and the work that concerns the whole file.
 *
 * The log is copied into the file when it has grown by 16 MiB, by the thread whose
 * commit made it so, and again for every 8 MiB more while readers keep it from being begun anew.
 * Above 64 MiB the write lock is kept for up to 50 ms, so that readers that hold the log's end leave, and
 * for up to 50 ms more until the next write can begin it anew. A reader that stays costs a commit that
 * much for every 8 MiB, not each commit. */
#include "vault/engine_state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/banned.h"

#define LOG_DUE_BYTES ((uint64_t)16 << 20)
#define LOG_LONG_BYTES ((uint64_t)64 << 20)
#define LOG_STEP_BYTES ((uint64_t)8 << 20)
#define HOLD_MS 50

static kvault_status checkpoint_locked(struct engine *engine, int hold_ms, const struct storage_wait *wait,
                                       kvault_error *reterr)
{
    struct storage_checkpointed done = { 0 };
    bool pinned;
    kvault_status rc;

    TRY(kvault__need_copier(engine, wait, reterr));
    TRY(engine->backend->checkpoint(engine->writer, engine->copier, hold_ms, wait, &done, reterr));
    if (!done.ran)
        goto out;
    atomic_fetch_add_explicit(&engine->checkpoints, 1, memory_order_relaxed); /* a statistic */
    if (done.complete)
        engine->log_tried_bytes = 0; /* the next commit begins it anew, and may be a large one */
    pinned = !done.complete && done.wal_bytes > LOG_LONG_BYTES;
    /* Once an episode: told when it begins, again only after it ended. */
    if (!atomic_exchange_explicit(&engine->wal_pinned, pinned, memory_order_relaxed) && pinned)
        atomic_store_explicit(&engine->tell_pinned, true, memory_order_relaxed);
out:
    return rc;
}

void kvault__checkpoint_if_due(struct engine *engine, const struct storage_wait *wait)
{
    uint64_t log;
    kvault_error ignored;

    if (engine->memory || !engine->options.enable_wal || !engine->writer ||
        engine->backend->in_transaction(engine->writer))
        return;
    log = engine->backend->log_bytes(engine->writer);
    if (log < LOG_DUE_BYTES)
        engine->log_tried_bytes = 0; /* begun anew */
    if (log < LOG_DUE_BYTES || (engine->log_tried_bytes && log < engine->log_tried_bytes + LOG_STEP_BYTES))
        return;
    engine->log_tried_bytes = log;
    /* Best effort: the commit is safe in the log, and a later one tries again. */
    (void)checkpoint_locked(engine, log > LOG_LONG_BYTES ? HOLD_MS : 0, wait, &ignored);
}

void kvault__tell_pinned(kvault *vault)
{
    struct engine *engine = vault->engine;
    char message[512];

    if (!vault->options.warn || !atomic_load_explicit(&engine->tell_pinned, memory_order_relaxed) ||
        !atomic_exchange_explicit(&engine->tell_pinned, false, memory_order_relaxed))
        return;
    (void)snprintf(
        message, sizeof message,
        "the WAL of \"%.300s\" is above 64 MiB and cannot shrink: a snapshot, a long read or a transaction of "
        "some process holds it",
        engine->path);
    vault->options.warn(vault->options.warn_ctx, message);
}

/* The writer connection, with the write lock held and everything flushed. */
static kvault_status lock_flushed(kvault *vault, const char *what, struct storage_wait *wait, kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    kvault_status rc;

    TRY(kvault__check_writable(vault, reterr));
    if (kvault__in_transaction(vault) ||
        atomic_load_explicit(&engine->cache_locker, memory_order_relaxed) == this_thread()) {
        rc = kvault__fail(reterr, KVAULT_E_INVALID, "cannot %s inside a transaction or lock_cache()", what);
        goto out;
    }
    TRY(kvault__flush_engine(vault, NULL, reterr));
    TRY(kvault__lock_writes(engine, what, wait, reterr));
    rc = kvault__need_writer(engine, wait, reterr);
    if (rc < 0)
        kvault__unlock_writes(engine);
out:
    return rc;
}

kvault_status kvault_checkpoint(kvault *vault, kvault_error *reterr)
{
    struct storage_wait wait = kvault__wait(vault);
    kvault_status rc;

    TRY(lock_flushed(vault, "checkpoint", &wait, reterr));
    if (!vault->engine->memory && vault->engine->options.enable_wal)
        rc = checkpoint_locked(vault->engine, HOLD_MS, &wait, reterr);
    kvault__unlock_writes(vault->engine);
    kvault__tell_pinned(vault);
out:
    return rc;
}

kvault_status kvault_optimize(kvault *vault, kvault_error *reterr)
{
    struct storage_wait wait = kvault__wait(vault);
    kvault_status rc;

    TRY(lock_flushed(vault, "optimize", &wait, reterr));
    rc = vault->engine->backend->optimize(vault->engine->writer, &wait, reterr);
    kvault__unlock_writes(vault->engine);
out:
    return rc;
}

/* ---- backup ---- */

static kvault_status join(const char *a, const char *b, char **ret_text, kvault_error *reterr)
{
    size_t size = strlen(a) + strlen(b) + 1;
    char *text = kvault__alloc(size);

    if (!text)
        return kvault__fail_nomem(reterr, size);
    (void)snprintf(text, size, "%s%s", a, b);
    *ret_text = text;
    return KVAULT_OK;
}

/* A name beside `dest` that no other backup, of whatever process, has at the same time. */
static kvault_status name_partial(const char *dest, char **ret_text, kvault_error *reterr)
{
    char end[64];

    (void)snprintf(end, sizeof end, ".%ld-%llx.partial", (long)getpid(), (unsigned long long)kvault__monotonic_ns());
    return join(dest, end, ret_text, reterr);
}

static kvault_status check_destination(kvault *vault, const char *dest, kvault_error *reterr)
{
    char *wal = NULL;
    struct stat at;
    kvault_status rc;

    TRY(join(dest, "-wal", &wal, reterr));
    if (stat(wal, &at) == 0)
        rc = kvault__fail(reterr, KVAULT_E_INVALID, "cannot back up to \"%s\": it has a WAL, so a program has it open",
                          dest);
    else if (stat(dest, &at) == 0 && !S_ISREG(at.st_mode))
        rc = kvault__fail(reterr, KVAULT_E_INVALID, "cannot back up to \"%s\": it is there, and no regular file", dest);
    else if (kvault__is_open_here(dest))
        rc = kvault__fail(reterr, KVAULT_E_INVALID, "cannot back up to \"%s\": this process has it open", dest);
    else if (vault->engine->inode && stat(dest, &at) == 0 && at.st_dev == vault->engine->device &&
             at.st_ino == vault->engine->inode)
        rc = kvault__fail(reterr, KVAULT_E_INVALID, "cannot back up to \"%s\": it is the file itself", dest);
out:
    kvault__free(wal);
    return rc;
}

kvault_status kvault_backup(kvault *vault, const char *dest, bool (*progress)(void *ctx, uint64_t done, uint64_t total),
                            void *progress_ctx, kvault_error *reterr)
{
    struct storage_wait wait = kvault__wait(vault);
    kvault *snapshot = NULL;
    char *partial = NULL;
    struct reading read;
    kvault_status rc;

    TRY(kvault__check_open(vault, reterr));
    TRY(check_destination(vault, dest, reterr));
    TRY(name_partial(dest, &partial, reterr));
    if (!vault->snapshot)
        TRY(kvault_snapshot(vault, &snapshot, reterr));
    TRY(kvault__read_begin(snapshot ? snapshot : vault, true, &read, reterr));
    rc = read.backend->backup(read.conn, partial, &wait, progress, progress_ctx, reterr);
    kvault__read_end(&read);
    if (rc >= 0 && rename(partial, dest) != 0)
        rc = kvault__fail(reterr, KVAULT_E_IO, "could not rename \"%s\" to \"%s\": %s", partial, dest, strerror(errno));
    if (rc >= 0)
        rc = kvault__sync_folder_of(dest, reterr);
    else
        (void)unlink(partial); /* what is left of it helps nobody */
out:
    if (snapshot)
        (void)kvault_close(snapshot, NULL); /* a snapshot has nothing to flush */
    kvault_free(snapshot);
    kvault__free(partial);
    return rc;
}

/* ---- verify, stats ---- */

static const struct structure *const structures[] = { &kvault__kv_structure, &kvault__column_structure };

kvault_status kvault_verify(kvault *vault, void (*problem)(void *ctx, const char *where, const char *what),
                            void *problem_ctx, kvault_error *reterr)
{
    struct reading read;
    kvault_status rc;

    TRY(kvault__check_open(vault, reterr));
    TRY(kvault__flush_engine(vault, NULL, reterr));
    TRY(kvault__read_begin(vault, true, &read, reterr));
    rc = read.backend->check(read.conn, &read.wait, problem, problem_ctx, reterr);
    for (size_t i = 0; i < sizeof structures / sizeof structures[0] && rc >= 0; i++)
        rc = structures[i]->verify(&read, problem, problem_ctx, reterr);
    kvault__read_end(&read);
out:
    return rc;
}

kvault_status kvault_get_stats(kvault *vault, kvault_stats *ret_stats, kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    struct storage_sizes sizes = { 0 };
    kvault_stats stats = { 0 };
    struct reading read;
    kvault_status rc;

    TRY(kvault__read_begin(vault, false, &read, reterr));
    rc = read.backend->sizes(read.conn, &sizes, reterr);
    kvault__read_end(&read);
    if (rc < 0)
        goto out;
    stats.page_size = sizes.page_size;
    stats.pages = sizes.pages;
    stats.free_pages = sizes.free_pages;
    stats.file_bytes = sizes.file_bytes;
    stats.wal_bytes = sizes.wal_bytes;
    stats.cache_bytes_used =
        sizes.cache_bytes_used + atomic_load_explicit(&engine->cached_bytes, memory_order_relaxed); /* a statistic */
    stats.cache_bytes_max = engine->options.cache_bytes;
    /* Relaxed: statistics, each right by itself. */
    stats.commits = atomic_load_explicit(&engine->commits, memory_order_relaxed);
    stats.flushes = atomic_load_explicit(&engine->flushes, memory_order_relaxed);
    stats.checkpoints = atomic_load_explicit(&engine->checkpoints, memory_order_relaxed);
    stats.wal_pinned = atomic_load_explicit(&engine->wal_pinned, memory_order_relaxed);
    kvault__mutex_acquire(&engine->pool_lock);
    stats.readers_open = (uint32_t)engine->reader_count;
    stats.readers_busy = (uint32_t)(engine->reader_count - engine->idle_count);
    kvault__mutex_release(&engine->pool_lock);
    kvault__mutex_acquire(&engine->pending_lock);
    stats.pending_entries = engine->active.entries + engine->frozen.entries;
    stats.pending_bytes = engine->active.bytes + engine->frozen.bytes;
    stats.snapshots_open = engine->snapshots;
    kvault__mutex_release(&engine->pending_lock);
    stats.handles_open = kvault__engine_handles(engine);
    *ret_stats = stats;
out:
    return rc;
}
