/* read.c - a connection for a read: which one, and what it sees.
 *
 *   a snapshot handle        the snapshot's connection, inside its transaction
 *   the thread's transaction the writer connection: it sees its own writes
 *   a vault in memory        the only connection there is, under the write lock
 *   the thread wrote last    the writer connection if it is free: its page cache is warm
 *   otherwise                a reader from the pool */
#include "vault/engine_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/banned.h"

enum source { FROM_SNAPSHOT, FROM_TRANSACTION, FROM_WRITER, FROM_LOCKED_CACHE, FROM_POOL };

static kvault_status take_memory(kvault *vault, struct reading *read, kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    kvault_status rc;

    if (atomic_load_explicit(&engine->cache_locker, memory_order_relaxed) == this_thread()) {
        read->source = FROM_LOCKED_CACHE; /* this thread has the write lock already */
        return KVAULT_OK;
    }
    TRY(kvault__lock_writes(engine, "read", &read->wait, reterr));
    read->source = FROM_WRITER;
out:
    return rc;
}

static bool take_warm_writer(struct engine *engine, struct reading *read)
{
    if (atomic_load_explicit(&engine->last_writer, memory_order_relaxed) != this_thread() ||
        !kvault__try_lock_writes(engine, "read"))
        return false;
    if (!engine->writer) {
        kvault__unlock_writes(engine);
        return false;
    }
    read->source = FROM_WRITER;
    read->conn = engine->writer;
    return true;
}

kvault_status kvault__snapshot_check_reentry(const kvault *vault, const char *what, kvault_error *reterr)
{
    /* Relaxed: only this thread ever stores its own mark. */
    if (atomic_load_explicit(&vault->snapshot->reader, memory_order_relaxed) == this_thread())
        return kvault__fail(reterr, KVAULT_E_REENTERED, "cannot %s from inside another call on the same snapshot", what);
    return KVAULT_OK;
}

/* The snapshot's lock stays taken until read_end, which clang's analysis of one function cannot follow. */
KVAULT_NO_LOCK_CHECK static kvault_status begin(kvault *vault, bool one_state, bool warm, struct reading *ret_read,
                                                kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    kvault_status rc;

    TRY(kvault__check_open(vault, reterr));
    *ret_read = (struct reading){ .backend = engine->backend, .engine = engine, .vault = vault };
    ret_read->wait = kvault__wait(vault);
    if (vault->snapshot) {
        TRY(kvault__snapshot_check_reentry(vault, "read", reterr));
        kvault__mutex_acquire(&vault->snapshot->lock);
        ret_read->source = FROM_SNAPSHOT;
        ret_read->conn = vault->snapshot->conn;
        if (!ret_read->conn) {
            kvault__mutex_release(&vault->snapshot->lock);
            return kvault__fail(reterr, KVAULT_E_CLOSED, "the snapshot of \"%s\" was closed meanwhile",
                                kvault_path(vault));
        }
        atomic_store_explicit(&vault->snapshot->reader, this_thread(), memory_order_relaxed); /* as above */
        return KVAULT_OK;
    }
    if (kvault__in_transaction(vault)) {
        ret_read->source = FROM_TRANSACTION;
        ret_read->conn = engine->writer;
        return KVAULT_OK;
    }
    if (engine->memory) {
        TRY(take_memory(vault, ret_read, reterr));
        rc = kvault__need_writer(engine, &ret_read->wait, reterr);
        ret_read->conn = engine->writer;
    } else if (!warm || !take_warm_writer(engine, ret_read)) {
        ret_read->source = FROM_POOL;
        TRY(kvault__take_reader(engine, &ret_read->wait, &ret_read->conn, reterr));
    }
    if (rc >= 0 && one_state) {
        rc = engine->backend->begin(ret_read->conn, false, &ret_read->wait, reterr);
        ret_read->transaction = rc >= 0;
    }
    if (rc < 0)
        kvault__read_end(ret_read);
out:
    return rc;
}

kvault_status kvault__read_begin(kvault *vault, bool one_state, struct reading *ret_read, kvault_error *reterr)
{
    return begin(vault, one_state, true, ret_read, reterr);
}

kvault_status kvault__read_begin_large(kvault *vault, struct reading *ret_read, kvault_error *reterr)
{
    return begin(vault, true, false, ret_read, reterr);
}

KVAULT_NO_LOCK_CHECK void kvault__read_end(struct reading *read)
{
    if (read->transaction) {
        enum storage_committed outcome;
        kvault_error ignored;

        /* Nothing was written: a failure here loses nothing, and rollback clears what is left. */
        if (read->backend->commit(read->conn, &read->wait, &outcome, &ignored) < 0)
            read->backend->rollback(read->conn);
        read->transaction = false;
    }
    switch ((enum source)read->source) {
    case FROM_SNAPSHOT:
        atomic_store_explicit(&read->vault->snapshot->reader, 0, memory_order_relaxed);
        kvault__mutex_release(&read->vault->snapshot->lock);
        break;
    case FROM_TRANSACTION:
    case FROM_LOCKED_CACHE:
        break;
    case FROM_WRITER:
        kvault__unlock_writes(read->engine);
        break;
    case FROM_POOL:
        kvault__return_reader(read->engine, read->conn);
        break;
    }
    read->conn = NULL;
}

/* ---- snapshots ---- */

/* A vault in memory has one connection, so its snapshot is a copy: in a file that only
 * the open connection still names. */
static kvault_status copy_memory(kvault *vault, struct snapshot *snapshot, kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    struct storage_wait wait = kvault__wait(vault);
    char path[] = "/tmp/kohakuvault-snapshot-XXXXXX";
    struct reading read;
    kvault_status rc;
    int fd = mkstemp(path);

    if (fd < 0)
        return kvault__fail(reterr, KVAULT_E_IO, "could not make a file for the snapshot of a vault in memory");
    (void)close(fd);
    TRY(kvault__read_begin(vault, true, &read, reterr));
    rc = engine->backend->backup(read.conn, path, &wait, NULL, NULL, reterr);
    kvault__read_end(&read);
    if (rc >= 0)
        rc = kvault__open_extra(engine, path, &wait, &snapshot->conn, reterr);
    if (rc >= 0)
        rc = engine->backend->begin(snapshot->conn, false, &wait, reterr);
out:
    (void)unlink(path); /* the connection keeps its descriptor */
    return rc;
}

/* A commit that comes between the two is in the snapshot as well. */
static kvault_status pin_file(kvault *vault, struct snapshot *snapshot, kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    struct storage_wait wait = kvault__wait(vault);
    kvault_status rc;

    TRY(kvault__open_extra(engine, NULL, &wait, &snapshot->conn, reterr));
    TRY(kvault__flush_engine(vault, NULL, reterr));
    TRY(engine->backend->begin(snapshot->conn, false, &wait, reterr));
out:
    return rc;
}

kvault_status kvault_snapshot(kvault *vault, kvault **ret_snapshot, kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    struct snapshot *snapshot = NULL;
    kvault *handle = NULL;
    kvault_status rc;

    TRY(kvault__check_open(vault, reterr));
    if (vault->snapshot || kvault__in_transaction(vault)) {
        rc = kvault__fail(reterr, KVAULT_E_INVALID, "cannot take a snapshot inside a %s",
                          vault->snapshot ? "snapshot" : "transaction: it would not see it");
        goto out;
    }
    if (atomic_load_explicit(&engine->cache_locker, memory_order_relaxed) == this_thread()) {
        rc = kvault__fail(reterr, KVAULT_E_INVALID,
                          "cannot take a snapshot inside lock_cache(): it would have to flush");
        goto out;
    }
    TRY(kvault__handle_new(vault, true, &handle, reterr));
    snapshot = kvault__alloc_zero(1, sizeof *snapshot);
    if (!snapshot) {
        rc = kvault__fail_nomem(reterr, sizeof *snapshot);
        goto out;
    }
    kvault__mutex_init(&snapshot->lock);
    TRY(engine->memory ? kvault__flush_engine(vault, NULL, reterr) : KVAULT_OK);
    TRY(engine->memory ? copy_memory(vault, snapshot, reterr) : pin_file(vault, snapshot, reterr));
    kvault__mutex_acquire(&engine->pending_lock);
    engine->snapshots++;
    kvault__mutex_release(&engine->pending_lock);
    handle->snapshot = snapshot;
    handle->parent = NULL;
    handle->owns_snapshot = true;
    handle->options.read_only = true;
    *ret_snapshot = handle;
    return KVAULT_OK;
out:
    if (snapshot) {
        if (snapshot->conn)
            engine->backend->close(snapshot->conn, false);
        kvault__mutex_destroy(&snapshot->lock);
        kvault__free(snapshot);
    }
    kvault_free(handle);
    return rc;
}

void kvault__snapshot_close(kvault *vault)
{
    struct engine *engine = vault->engine;
    struct snapshot *snapshot = vault->snapshot;

    kvault__mutex_acquire(&snapshot->lock);
    if (snapshot->conn) {
        engine->backend->close(snapshot->conn, false);
        snapshot->conn = NULL;
        kvault__mutex_acquire(&engine->pending_lock);
        engine->snapshots--;
        kvault__mutex_release(&engine->pending_lock);
    }
    kvault__mutex_release(&snapshot->lock);
}
