/* connections.c - an engine's connections: one writer, one that copies the log, a few readers.
 *
 * All are opened at the first use, also the first after a fork. The page caches share
 * cache_bytes: a quarter is the writer's, a sixteenth each reader's; the copier has little. The other
 * half is for the values that caches above the library keep (stamp.c).
 * A reader goes back to the top of the stack, so that a lone thread keeps one warm. */
#include "vault/engine_state.h"

#include "base/banned.h"

#define COPIER_CACHE_BYTES (256u * 1024u)

static struct storage_config config_of(const struct engine *engine, uint64_t cache_bytes)
{
    return (struct storage_config){
        .path = engine->path,
        .page_size = engine->options.page_size,
        .mmap_size = engine->options.mmap_size,
        .cache_bytes = cache_bytes,
        .wal = engine->options.enable_wal && !engine->memory,
        .gather_writes = engine->options.gather_writes,
        .full_sync = engine->options.durability == KVAULT_DURABILITY_FULL,
        .read_only = !engine->writable,
    };
}

/* The path must still lead to the file that the engine has open: a connection to another
 * one under the same name would mix the two. */
static kvault_status check_identity(struct engine *engine, kvault_error *reterr)
{
    struct stat now;

    if (engine->memory || !engine->inode)
        return KVAULT_OK;
    if (stat(engine->path, &now) == 0 && now.st_dev == engine->device && now.st_ino == engine->inode)
        return KVAULT_OK;
    return kvault__fail(
        reterr, KVAULT_E_IO,
        "the file \"%s\" was moved, deleted or replaced while it was open; close every handle on it first",
        engine->path);
}

static kvault_status open_conn(struct engine *engine, uint64_t cache_bytes, const struct storage_wait *wait,
                               storage_conn **ret_conn, kvault_error *reterr)
{
    struct storage_config config = config_of(engine, cache_bytes);
    struct stat now;
    kvault_status rc;

    TRY(check_identity(engine, reterr));
    TRY(engine->backend->open(&config, wait, ret_conn, reterr));
    if (!engine->memory && !engine->inode && stat(engine->path, &now) == 0) {
        engine->device = now.st_dev;
        engine->inode = now.st_ino;
    }
    kvault__mutex_acquire(&engine->pending_lock);
    if (!engine->watched)
        engine->watched = *ret_conn;
    kvault__mutex_release(&engine->pending_lock);
out:
    return rc;
}

static void close_conn(struct engine *engine, storage_conn *conn, bool last)
{
    if (!conn)
        return;
    kvault__mutex_acquire(&engine->pending_lock);
    if (engine->watched == conn)
        engine->watched = NULL;
    kvault__mutex_release(&engine->pending_lock);
    engine->backend->close(conn, last);
}

/* For a call that began before the last handle was closed. */
static kvault_status fail_ended(const struct engine *engine, kvault_error *reterr)
{
    return kvault__fail(reterr, KVAULT_E_CLOSED, "the vault \"%s\" was closed meanwhile", engine->path);
}

kvault_status kvault__need_writer(struct engine *engine, const struct storage_wait *wait, kvault_error *reterr)
{
    kvault_status rc;

    if (engine->ended)
        return fail_ended(engine, reterr);
    if (engine->writer)
        return engine->inode || engine->memory ? check_identity(engine, reterr) : KVAULT_OK;
    rc = open_conn(engine, engine->options.cache_bytes / 4, wait, &engine->writer, reterr);
    return rc;
}

kvault_status kvault__need_copier(struct engine *engine, const struct storage_wait *wait, kvault_error *reterr)
{
    if (engine->copier)
        return KVAULT_OK;
    return open_conn(engine, COPIER_CACHE_BYTES, wait, &engine->copier, reterr);
}

/* In the list of those who have a reader: one `from` becomes `to`; 0 is a free place, and there are enough. */
static void relabel_locked(struct engine *engine, thread_mark from, thread_mark to)
{
    for (int i = 0; i < READERS_MAX; i++) {
        if (engine->reading[i] == from) {
            engine->reading[i] = to;
            return;
        }
    }
}

bool kvault__reads_here_locked(const struct engine *engine)
{
    for (int i = 0; i < READERS_MAX; i++) {
        if (engine->reading[i] == this_thread())
            return true;
    }
    return false;
}

bool kvault__reads_here(struct engine *engine)
{
    bool reads;

    kvault__mutex_acquire(&engine->pool_lock);
    reads = kvault__reads_here_locked(engine);
    kvault__mutex_release(&engine->pool_lock);
    return reads;
}

kvault_status kvault__take_reader(struct engine *engine, const struct storage_wait *wait, storage_conn **ret_conn,
                                  kvault_error *reterr)
{
    kvault_status rc;

    kvault__mutex_acquire(&engine->pool_lock);
    for (;;) {
        int64_t now;

        if (engine->ended) {
            kvault__mutex_release(&engine->pool_lock);
            return fail_ended(engine, reterr);
        }
        if (engine->idle_count) {
            *ret_conn = engine->idle[--engine->idle_count];
            relabel_locked(engine, 0, this_thread());
            kvault__mutex_release(&engine->pool_lock);
            return KVAULT_OK;
        }
        if (engine->reader_count < READERS_MAX)
            break;
        now = kvault__monotonic_ns();
        if (now >= wait->deadline_ns) {
            kvault__mutex_release(&engine->pool_lock);
            return kvault__fail(reterr, KVAULT_E_BUSY,
                                "could not read: waited %.1f s while %d other threads of this process were reading",
                                (double)(now - wait->started_ns) / 1e9, READERS_MAX);
        }
        kvault__cond_wait_until(&engine->pool_free, &engine->pool_lock, wait->deadline_ns);
    }
    engine->reader_count++;
    relabel_locked(engine, 0, this_thread());
    kvault__mutex_release(&engine->pool_lock);
    rc = open_conn(engine, engine->options.cache_bytes / 16, wait, ret_conn, reterr);
    if (rc < 0) {
        kvault__mutex_acquire(&engine->pool_lock);
        engine->reader_count--;
        relabel_locked(engine, this_thread(), 0);
        kvault__cond_broadcast(&engine->pool_free);
        kvault__mutex_release(&engine->pool_lock);
    }
    return rc;
}

void kvault__return_reader(struct engine *engine, storage_conn *conn)
{
    kvault__mutex_acquire(&engine->pool_lock);
    engine->idle[engine->idle_count++] = conn;
    relabel_locked(engine, this_thread(), 0);
    if (engine->ended)
        kvault__cond_broadcast(&engine->pool_free);
    else
        kvault__cond_signal(&engine->pool_free);
    kvault__mutex_release(&engine->pool_lock);
}

void kvault__end_readers(struct engine *engine)
{
    kvault__mutex_acquire(&engine->pool_lock);
    engine->ended = true;
    kvault__cond_broadcast(&engine->pool_free); /* whoever waits for a reader gets none */
    while (engine->reader_count != engine->idle_count)
        kvault__cond_wait_until(&engine->pool_free, &engine->pool_lock, INT64_MAX);
    kvault__mutex_release(&engine->pool_lock);
}

kvault_status kvault__open_extra(struct engine *engine, const char *path, const struct storage_wait *wait,
                                 storage_conn **ret_conn, kvault_error *reterr)
{
    struct storage_config config = config_of(engine, engine->options.cache_bytes / 16);
    kvault_status rc;

    TRY(check_identity(engine, reterr));
    if (path) {
        config.path = path;
        config.wal = false;
    }
    config.read_only = path || config.read_only;
    TRY(engine->backend->open(&config, wait, ret_conn, reterr));
out:
    return rc;
}

/* Readers first, the writer last: the one that closes last may fold the log into the file. */
void kvault__close_connections(struct engine *engine, bool last)
{
    while (engine->idle_count) {
        storage_conn *conn = engine->idle[--engine->idle_count];

        engine->reader_count--;
        close_conn(engine, conn, last && !engine->writer && !engine->copier && !engine->idle_count);
    }
    close_conn(engine, engine->copier, last && !engine->writer);
    close_conn(engine, engine->writer, last);
    engine->copier = engine->writer = NULL;
}
