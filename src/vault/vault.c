/* vault.c - handles: open, dup, close; the tables of a file; blobs held by readers. */
#include "vault/engine_state.h"

#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

#define SWEEP_EVERY_NS ((int64_t)60 * 1000000000)

void kvault_options_init(kvault_options *options)
{
    *options = (kvault_options){
        .page_size = 8192,
        .cache_bytes = (uint64_t)64 << 20,
        .enable_wal = true,
        .durability = KVAULT_DURABILITY_NORMAL,
        .busy_timeout_ms = 5000,
        .gather_writes = true,
    };
}

static kvault_status check_given(const kvault_options *options, kvault_error *reterr)
{
    uint32_t size = options->page_size;

    if (size < 512 || size > 65536 || (size & (size - 1)))
        return kvault__fail(reterr, KVAULT_E_INVALID, "page_size is %u, want a power of two from 512 to 65536", size);
    if (options->busy_timeout_ms < 0 || options->busy_timeout_ms > 86400000)
        return kvault__fail(reterr, KVAULT_E_INVALID, "the wait for others is %lld ms, want 0 to 86400000",
                            (long long)options->busy_timeout_ms);
    if (options->cache_bytes < 65536 || options->cache_bytes > (uint64_t)1 << 44)
        return kvault__fail(reterr, KVAULT_E_INVALID, "the cache is %llu bytes, want 65536 to 2^44",
                            (unsigned long long)options->cache_bytes);
    if (options->mmap_size > (uint64_t)1 << 46)
        return kvault__fail(reterr, KVAULT_E_INVALID, "mmap_size is %llu bytes, limit 2^46",
                            (unsigned long long)options->mmap_size);
    return KVAULT_OK;
}

/* A first connection tells whether the file is ours and sound, and makes a new one. */
static kvault_status touch_file(kvault *vault, kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    struct storage_wait wait = kvault__wait(vault);
    kvault_status rc;

    if (vault->options.read_only && !engine->memory) {
        storage_conn *conn;

        TRY(kvault__take_reader(engine, &wait, &conn, reterr));
        kvault__return_reader(engine, conn);
        return KVAULT_OK;
    }
    rc = KVAULT_OK;
    if (!kvault__try_lock_writes(engine, "open")) {
        /* Whoever has the lock, perhaps this thread, works on a file that was looked at before. */
        if (atomic_load_explicit(&engine->looked_at, memory_order_relaxed))
            return KVAULT_OK;
        TRY(kvault__lock_writes(engine, "open", &wait, reterr));
    }
    rc = kvault__need_writer(engine, &wait, reterr);
    if (rc >= 0)
        atomic_store_explicit(&engine->looked_at, true, memory_order_relaxed); /* it tells nothing else */
    /* A thread alone reads through the writer too, so that it needs one connection. */
    atomic_store_explicit(&engine->last_writer, this_thread(), memory_order_relaxed); /* a hint */
    kvault__unlock_writes(engine);
out:
    return rc;
}

kvault_status kvault_open(const char *path, const kvault_options *options, kvault **ret_vault, kvault_error *reterr)
{
    kvault_options defaults;
    kvault *vault = NULL;
    kvault_status rc;

    kvault_options_init(&defaults);
    if (!options)
        options = &defaults;
    if (!*path)
        return kvault__fail(reterr, KVAULT_E_INVALID, "the path is empty");
    TRY(check_given(options, reterr));
    vault = kvault__alloc_zero(1, sizeof *vault);
    if (!vault)
        return kvault__fail_nomem(reterr, sizeof *vault);
    vault->options = *options;
    vault->caching = -1;
    TRY(kvault__engine_enter(path, options, &vault->engine, reterr));
    rc = touch_file(vault, reterr);
    if (rc < 0) {
        kvault__engine_leave(vault->engine, true);
        kvault__engine_release(vault->engine);
        goto out;
    }
    *ret_vault = vault;
    kvault__tell_other_copy(options);
    return KVAULT_OK;
out:
    kvault__free(vault);
    return rc;
}

kvault_status kvault__handle_new(kvault *vault, bool counts, kvault **ret_vault, kvault_error *reterr)
{
    kvault *copy;
    kvault_status rc;

    TRY(kvault__check_open(vault, reterr));
    copy = kvault__alloc_zero(1, sizeof *copy);
    if (!copy)
        return kvault__fail_nomem(reterr, sizeof *copy);
    copy->engine = vault->engine;
    copy->snapshot = vault->snapshot;
    copy->parent = vault;
    copy->options = vault->options;
    copy->caching = -1;
    copy->left = !counts;
    rc = kvault__engine_add(vault->engine, counts, reterr);
    if (rc < 0)
        kvault__free(copy);
    else
        *ret_vault = copy;
out:
    return rc;
}

kvault_status kvault_dup(kvault *vault, kvault **ret_vault, kvault_error *reterr)
{
    return kvault__handle_new(vault, false, ret_vault, reterr);
}

/* True if it was in the other state before. Under the lock that a pending write takes: one that came before
 * is there to be flushed, one that comes later finds the handle closed. */
static bool set_state(kvault *vault, enum handle_state state)
{
    bool changed;

    kvault__mutex_acquire(&vault->engine->pending_lock);
    /* Release: pairs with the load in kvault_is_closed(). */
    changed = atomic_exchange_explicit(&vault->state, (int)state, memory_order_release) != (int)state;
    kvault__mutex_release(&vault->engine->pending_lock);
    return changed;
}

/* The last handle waits, as long as any call does, for a transaction that another thread has open. */
static kvault_status wait_for_writer(kvault *vault, kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    struct storage_wait wait = kvault__wait(vault);
    kvault_status rc = KVAULT_OK;

    if (vault->left || kvault__engine_handles(engine) > 1)
        return KVAULT_OK;
    TRY(kvault__lock_writes(engine, "close", &wait, reterr));
    kvault__unlock_writes(engine);
out:
    return rc;
}

static kvault_status flush_to_close(kvault *vault, kvault_error *reterr)
{
    kvault_status rc;

    TRY(kvault__take_background_error(vault->engine, reterr));
    TRY(wait_for_writer(vault, reterr));
    rc = kvault__flush_engine(vault, NULL, reterr);
out:
    return rc;
}

kvault_status kvault_close(kvault *vault, kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    bool forked = atomic_load_explicit(&engine->state, memory_order_relaxed) == ENGINE_FORKED;
    kvault_status rc = KVAULT_OK;

    if (kvault_is_closed(vault))
        return KVAULT_OK;
    if (!forked && !vault->snapshot && kvault__in_transaction(vault))
        return kvault__fail(reterr, KVAULT_E_INVALID, "cannot close inside a transaction: commit or roll back first");
    if (!forked && !vault->snapshot &&
        atomic_load_explicit(&engine->cache_locker, memory_order_relaxed) == this_thread())
        return kvault__fail(reterr, KVAULT_E_INVALID, "cannot close inside lock_cache(): leave it first");
    if (!forked && kvault__reads_here(engine))
        return kvault__fail(reterr, KVAULT_E_REENTERED, "cannot close from inside another call on the same file");
    if (!forked && vault->snapshot)
        TRY(kvault__snapshot_check_reentry(vault, "close", reterr));
    if (!set_state(vault, HANDLE_CLOSED))
        return KVAULT_OK; /* another thread is at it */
    if (!forked && !vault->snapshot)
        rc = flush_to_close(vault, reterr);
    if (rc < 0) {
        (void)set_state(vault, HANDLE_OPEN);
        goto out;
    }
    if (vault->owns_snapshot && !forked)
        kvault__snapshot_close(vault);
    if (!vault->left) {
        vault->left = true;
        kvault__engine_leave(engine, true);
    }
out:
    return rc;
}

/* The last handle goes while a transaction or a lock_cache() is open, perhaps another thread's: nobody is left
 * who could end it, so it is taken over and undone. What is pending stays so, for the flusher. */
static void end_what_is_open(kvault *vault)
{
    struct engine *engine = vault->engine;

    if (vault->snapshot || atomic_load_explicit(&engine->state, memory_order_relaxed) == ENGINE_FORKED ||
        kvault__engine_handles(engine) > 1)
        return;
    if (atomic_load_explicit(&engine->cache_locker, memory_order_relaxed)) {
        atomic_store_explicit(&engine->cache_locker, 0, memory_order_relaxed);
        kvault__unlock_writes(engine);
    }
    if (atomic_load_explicit(&engine->txn.owner, memory_order_relaxed)) {
        atomic_store_explicit(&engine->txn.owner, this_thread(), memory_order_relaxed);
        for (int depth = kvault_depth(vault); depth > 0; depth--)
            (void)kvault_rollback(vault, NULL); /* what cannot be undone is lost with the connection */
    }
}

void kvault_free(kvault *vault)
{
    if (!vault)
        return;
    if (!vault->left) {
        end_what_is_open(vault);
        if (vault->owns_snapshot)
            kvault__snapshot_close(vault);
        kvault__engine_leave(vault->engine, false);
    }
    if (vault->owns_snapshot) {
        kvault__mutex_destroy(&vault->snapshot->lock);
        kvault__free(vault->snapshot);
    }
    kvault__engine_release(vault->engine);
    kvault__free(vault);
}

bool kvault_is_closed(const kvault *vault)
{
    for (; vault; vault = vault->parent) {
        if (atomic_load_explicit(&vault->state, memory_order_acquire) == HANDLE_CLOSED) /* pairs with set_state() */
            return true;
    }
    return false;
}

const char *kvault_path(const kvault *vault)
{
    return vault->engine->path;
}

bool kvault_is_read_only(const kvault *vault)
{
    return vault->options.read_only || vault->snapshot;
}

bool kvault_is_snapshot(const kvault *vault)
{
    return vault->snapshot != NULL;
}

bool kvault_has_pending(const kvault *vault)
{
    return !kvault_is_closed(vault) &&
           atomic_load_explicit(&vault->engine->pending_entries, memory_order_relaxed); /* a hint, as it says */
}

kvault_status kvault__check_open(kvault *vault, kvault_error *reterr)
{
    if (kvault_is_closed(vault))
        return kvault__fail(reterr, KVAULT_E_CLOSED, "the vault \"%s\" is closed", kvault_path(vault));
    if (atomic_load_explicit(&vault->engine->state, memory_order_relaxed) == ENGINE_FORKED)
        return kvault__fail(
            reterr, KVAULT_E_FORKED,
            "the vault \"%s\" had a transaction or a snapshot open when this process was forked; open it "
            "anew in a process of its own",
            kvault_path(vault));
    return KVAULT_OK;
}

kvault_status kvault__check_writable(kvault *vault, kvault_error *reterr)
{
    kvault_status rc = kvault__check_open(vault, reterr);

    if (rc >= 0 && kvault_is_read_only(vault))
        rc = kvault__fail(reterr, KVAULT_E_READONLY, "cannot write to \"%s\": %s", kvault_path(vault),
                          vault->snapshot ? "this is a snapshot" : "it was opened read-only");
    return rc;
}

struct engine *kvault__engine(kvault *vault)
{
    return vault->engine;
}

/* ---- tables ---- */

const struct storage_space *kvault__space_fixed(struct engine *engine, enum storage_kind kind)
{
    return &engine->fixed[kind];
}

/* Find the space with the file's spelling of the name, or add it. */
static kvault_status space_intern_locked(struct engine *engine, const struct storage_space *found,
                                         const struct storage_space **ret_space, kvault_error *reterr)
{
    uint32_t index = STORAGE_KINDS + engine->space_count;
    struct storage_space **spaces, *space;
    struct counted *counts;

    for (uint32_t i = 0; i < engine->space_count; i++) {
        if (strcmp(engine->spaces[i]->name, found->name) == 0) {
            *ret_space = engine->spaces[i];
            return KVAULT_OK;
        }
    }
    spaces = kvault__realloc(engine->spaces, (engine->space_count + 1) * sizeof(*spaces));
    if (!spaces)
        return kvault__fail_nomem(reterr, (engine->space_count + 1) * sizeof(*spaces));
    engine->spaces = spaces;
    counts = kvault__realloc(engine->counts, (index + 1) * sizeof *counts);
    if (!counts)
        return kvault__fail_nomem(reterr, (index + 1) * sizeof *counts);
    engine->counts = counts;
    space = kvault__alloc(sizeof *space);
    if (!space)
        return kvault__fail_nomem(reterr, sizeof *space);
    *space = *found;
    space->index = index;
    counts[index] = (struct counted){ false, 0 };
    engine->count_capacity = index + 1;
    engine->spaces[engine->space_count++] = space;
    *ret_space = space;
    return KVAULT_OK;
}

kvault_status kvault__space_lookup(struct reading *read, const char *name, const struct storage_space **ret_space,
                                   kvault_error *reterr)
{
    struct storage_space found = { 0 };
    kvault_status rc;

    TRY(read->backend->table(read->conn, name, false, &read->wait, &found, reterr));
    if (rc != KVAULT_OK)
        return rc;
    kvault__mutex_acquire(&read->engine->pending_lock);
    rc = space_intern_locked(read->engine, &found, ret_space, reterr);
    kvault__mutex_release(&read->engine->pending_lock);
out:
    return rc;
}

static kvault_status find_table(kvault *vault, const char *name, struct storage_space *ret_found, kvault_error *reterr)
{
    struct reading read;
    kvault_status rc;

    TRY(kvault__read_begin(vault, false, &read, reterr));
    rc = read.backend->table(read.conn, name, false, &read.wait, ret_found, reterr);
    kvault__read_end(&read);
out:
    return rc;
}

static kvault_status make_table(kvault *vault, const char *name, struct storage_space *ret_found, kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    struct storage_wait wait = kvault__wait(vault);
    bool own = kvault__in_transaction(vault) ||
               atomic_load_explicit(&engine->cache_locker, memory_order_relaxed) == this_thread();
    kvault_status rc = KVAULT_OK;

    if (!own)
        TRY(kvault__lock_writes(engine, "create a table", &wait, reterr));
    rc = kvault__need_writer(engine, &wait, reterr);
    if (rc >= 0)
        rc = engine->backend->table(engine->writer, name, true, &wait, ret_found, reterr);
    if (kvault__in_transaction(vault))
        engine->txn.made_table = true;
    if (!own)
        kvault__unlock_writes(engine);
out:
    return rc;
}

kvault_status kvault__space_open(kvault *vault, const char *name, const struct storage_space **ret_space,
                                 kvault_error *reterr)
{
    struct storage_space found = { 0 };
    kvault_status rc;

    TRY(find_table(vault, name, &found, reterr));
    if (rc == KVAULT_NOT_FOUND) {
        if (kvault_is_read_only(vault))
            return rc;
        TRY(make_table(vault, name, &found, reterr));
    }
    kvault__mutex_acquire(&vault->engine->pending_lock);
    rc = space_intern_locked(vault->engine, &found, ret_space, reterr);
    kvault__mutex_release(&vault->engine->pending_lock);
out:
    return rc;
}

/* ---- blobs held and abandoned ---- */

static kvault_status list_add_locked(uint64_t **list, size_t *count, size_t *capacity, uint64_t id,
                                     kvault_error *reterr)
{
    if (*count == *capacity) {
        size_t grown = *capacity ? *capacity * 2 : 16;
        uint64_t *moved = kvault__realloc(*list, grown * sizeof *moved);

        if (!moved)
            return kvault__fail_nomem(reterr, grown * sizeof *moved);
        *list = moved;
        *capacity = grown;
    }
    (*list)[(*count)++] = id;
    return KVAULT_OK;
}

kvault_status kvault__blob_hold(struct engine *engine, uint64_t blob_id, kvault_error *reterr)
{
    kvault_status rc;

    kvault__mutex_acquire(&engine->pending_lock);
    rc = list_add_locked(&engine->held, &engine->held_count, &engine->held_capacity, blob_id, reterr);
    kvault__mutex_release(&engine->pending_lock);
    return rc;
}

void kvault__blob_drop(struct engine *engine, uint64_t blob_id)
{
    kvault__mutex_acquire(&engine->pending_lock);
    for (size_t i = 0; i < engine->held_count; i++) {
        if (engine->held[i] == blob_id) {
            engine->held[i] = engine->held[--engine->held_count];
            break;
        }
    }
    kvault__mutex_release(&engine->pending_lock);
}

bool kvault__blob_is_held(struct engine *engine, uint64_t blob_id)
{
    bool held = false;

    kvault__mutex_acquire(&engine->pending_lock);
    for (size_t i = 0; i < engine->held_count && !held; i++)
        held = engine->held[i] == blob_id;
    kvault__mutex_release(&engine->pending_lock);
    return held;
}

void kvault__blob_abandon(struct engine *engine, uint64_t blob_id)
{
    kvault__mutex_acquire(&engine->pending_lock);
    (void)list_add_locked(&engine->abandoned, &engine->abandoned_count, &engine->abandoned_capacity, blob_id,
                          NULL); /* short of memory: the hourly sweep finds it */
    kvault__mutex_release(&engine->pending_lock);
}

uint64_t kvault__blob_take_abandoned(struct engine *engine)
{
    uint64_t id;

    kvault__mutex_acquire(&engine->pending_lock);
    id = engine->abandoned_count ? engine->abandoned[--engine->abandoned_count] : 0;
    kvault__mutex_release(&engine->pending_lock);
    return id;
}

bool kvault__sweep_is_due(struct engine *engine)
{
    int64_t now = kvault__monotonic_ns();
    bool due;

    kvault__mutex_acquire(&engine->pending_lock);
    due = now - engine->swept_ns >= SWEEP_EVERY_NS;
    if (due)
        engine->swept_ns = now;
    kvault__mutex_release(&engine->pending_lock);
    return due;
}
