/* cache.c - the write cache: settings, pending writes in and out, flush, lock_cache().
 *
 * A handle's setting counts for it and for the handles made from it that have none
 * of their own. What is pending belongs to the engine: every read of every handle
 * sees it, and one flush commits all of it. */
#include "vault/engine_state.h"

#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/banned.h"

#define CAPACITY_DEFAULT ((uint64_t)64 << 20) /* inside lock_cache() of a handle without a cache */

/* ---- settings ---- */

/* The handle whose setting counts for `vault`. */
static kvault *setter_of(kvault *vault)
{
    /* Relaxed: a setting changed by another thread may be seen by the next call. */
    while (vault->parent && atomic_load_explicit(&vault->caching, memory_order_relaxed) < 0)
        vault = vault->parent;
    return vault;
}

static bool holds_cache(struct engine *engine)
{
    return atomic_load_explicit(&engine->cache_locker, memory_order_relaxed) == this_thread();
}

bool kvault__caches(kvault *vault)
{
    if (vault->snapshot || kvault__in_transaction(vault))
        return false;
    return atomic_load_explicit(&setter_of(vault)->caching, memory_order_relaxed) > 0 || holds_cache(vault->engine);
}

static kvault_status account_locked(kvault *setter, kvault_error *reterr)
{
    if (setter->account)
        return KVAULT_OK;
    setter->account = kvault__alloc_zero(1, sizeof *setter->account);
    if (!setter->account)
        return kvault__fail_nomem(reterr, sizeof *setter->account);
    setter->account->next = setter->engine->accounts;
    setter->engine->accounts = setter->account;
    return KVAULT_OK;
}

kvault_status kvault_cache_set(kvault *vault, const kvault_cache_setting *setting, kvault_cache_setting *ret_previous,
                               kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    kvault_status rc;

    TRY(kvault__check_open(vault, reterr));
    if (setting->enabled)
        TRY(kvault__check_writable(vault, reterr));
    if (setting->enabled && !setting->capacity_bytes)
        return kvault__fail(reterr, KVAULT_E_INVALID, "cannot switch the write cache on: its capacity is 0 bytes");
    if (setting->enabled && setting->auto_flush && setting->threshold_bytes > setting->capacity_bytes)
        return kvault__fail(reterr, KVAULT_E_INVALID,
                            "cannot switch the write cache on: its flush threshold is %llu bytes, its capacity %llu",
                            (unsigned long long)setting->threshold_bytes, (unsigned long long)setting->capacity_bytes);
    kvault__mutex_acquire(&engine->pending_lock);
    rc = kvault__check_open(vault, reterr); /* again: see kvault_close() */
    if (rc >= 0 && ret_previous)
        *ret_previous = setter_of(vault)->setting;
    if (rc >= 0 && setting->enabled)
        rc = account_locked(vault, reterr);
    if (rc >= 0) {
        vault->setting = *setting;
        atomic_store_explicit(&vault->caching, setting->enabled ? 1 : 0, memory_order_relaxed); /* see setter_of */
        if (setting->enabled && setting->flush_interval_ms > 0) {
            engine->flush_interval_ns = setting->flush_interval_ms * 1000000;
            kvault__flusher_need_locked(engine);
        }
    }
    kvault__mutex_release(&engine->pending_lock);
out:
    return rc;
}

/* ---- writes that become pending ---- */

/* What is to become pending: puts and deletes, or elements at the end of a key. */
struct pending_job {
    const struct storage_space *space;
    const struct structure *structure;
    const struct pending_write *writes; /* NULL: an append */
    size_t count;
    kvault_slice key; /* of the append, with the hash of its column */
    uint64_t hash;
    const struct pending_append *append;
    uint64_t cost;
};

static kvault_status fill_set(struct pending_set *set, const struct pending_job *job, struct pending_account *account,
                              kvault_error *reterr)
{
    kvault_status rc = KVAULT_OK;

    for (size_t i = 0; i < job->count && rc >= 0; i++)
        rc = kvault__pending_insert(set, job->space, job->structure, account, job->writes[i].key, job->writes[i].value,
                                    job->writes[i].tombstone, job->writes[i].checksum, reterr);
    return rc;
}

/* All or none: a batch is gathered aside, then moved over as a whole. */
static kvault_status insert_batch_locked(struct engine *engine, const struct pending_job *job,
                                         struct pending_account *account, kvault_error *reterr)
{
    struct pending_set batch = { 0 };
    uint64_t before = account->active_bytes;
    kvault_status rc = fill_set(&batch, job, account, reterr);

    if (rc >= 0)
        rc = kvault__pending_merge(&engine->active, false, &batch, reterr);
    if (rc < 0) {
        kvault__pending_free(&batch);
        account->active_bytes = before;
    }
    return rc;
}

static kvault_status insert_locked(struct engine *engine, const struct pending_job *job,
                                   struct pending_account *account, kvault_error *reterr)
{
    kvault_status rc;

    for (size_t i = 0; i < job->count && job->space->kind == STORAGE_TABLE; i++)
        kvault__touch_pending_locked(engine, kvault__key_hash(job->space, job->writes[i].key));
    if (!job->writes)
        kvault__touch_pending_locked(engine, job->hash);
    if (!job->writes)
        rc = kvault__pending_add(&engine->active, job->space, job->structure, account, job->key, job->append, reterr);
    else if (job->count == 1)
        rc = fill_set(&engine->active, job, account, reterr);
    else
        rc = insert_batch_locked(engine, job, account, reterr);
    atomic_store_explicit(&engine->pending_entries, engine->active.entries + engine->frozen.entries,
                          memory_order_relaxed); /* a hint: whoever needs to know holds a lock */
    if (engine->flush_interval_ns) {
        engine->last_write_ns = kvault__monotonic_ns();
        if (engine->flusher_runs)
            kvault__cond_signal(&engine->flusher_wake);
    }
    return rc;
}

static bool foreign_transaction(struct engine *engine)
{
    thread_mark owner = atomic_load_explicit(&engine->txn.owner, memory_order_relaxed); /* under pending_lock */

    return owner && owner != this_thread();
}

struct pending_limits {
    uint64_t capacity, threshold; /* threshold UINT64_MAX: none */
};

static struct pending_limits limits_locked(kvault *setter, bool locked_cache)
{
    struct pending_limits limits = { CAPACITY_DEFAULT, UINT64_MAX };

    if (setter->setting.enabled) {
        limits.capacity = setter->setting.capacity_bytes;
        if (setter->setting.auto_flush && setter->setting.threshold_bytes && !locked_cache)
            limits.threshold = setter->setting.threshold_bytes;
    }
    return limits;
}

static uint64_t cost_of(const struct pending_write *writes, size_t count)
{
    uint64_t cost = 0;

    for (size_t i = 0; i < count; i++)
        cost += kvault__pending_cost(writes[i].key.size, writes[i].value.size);
    return cost;
}

/* One attempt under the pending lock. KVAULT_END: the capacity is reached, flush first.
 * KVAULT_NOT_FOUND: another thread's transaction is open, wait for it. */
static kvault_status try_put_locked(kvault *vault, const struct pending_job *job, bool *ret_flush, kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    kvault *setter = setter_of(vault);
    bool locked_cache = holds_cache(engine);
    struct pending_limits limits = limits_locked(setter, locked_cache);
    kvault_status rc;

    TRY(kvault__check_open(vault, reterr)); /* here it cannot be closed meanwhile: see kvault_close() */
    if (foreign_transaction(engine))
        return KVAULT_NOT_FOUND;
    TRY(account_locked(setter, reterr));
    if (job->cost > limits.capacity) {
        if (!locked_cache)
            return KVAULT_E_TOOBIG;
        return kvault__fail(reterr, KVAULT_E_TOOBIG,
                            "cannot write %llu bytes inside lock_cache(): the capacity of the cache is %llu",
                            (unsigned long long)job->cost, (unsigned long long)limits.capacity);
    }
    if (setter->account->active_bytes + setter->account->frozen_bytes + job->cost > limits.capacity) {
        if (!locked_cache)
            return KVAULT_END;
        return kvault__fail(
            reterr, KVAULT_E_INVALID,
            "cannot write %llu bytes more inside lock_cache(): %llu of the capacity of %llu are pending",
            (unsigned long long)job->cost,
            (unsigned long long)(setter->account->active_bytes + setter->account->frozen_bytes),
            (unsigned long long)limits.capacity);
    }
    TRY(insert_locked(engine, job, setter->account, reterr));
    *ret_flush = setter->account->active_bytes >= limits.threshold;
out:
    return rc;
}

static kvault_status make_pending(kvault *vault, const struct pending_job *job, kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    struct storage_wait wait = kvault__wait(vault);
    bool flush = false, have_lock = false;
    kvault_status rc;

    TRY(kvault__check_writable(vault, reterr));
    TRY(kvault__take_background_error(engine, reterr));
    for (;;) {
        kvault__mutex_acquire(&engine->pending_lock);
        rc = try_put_locked(vault, job, &flush, reterr);
        kvault__mutex_release(&engine->pending_lock);
        if (have_lock)
            kvault__unlock_writes(engine);
        have_lock = false;
        if (rc == KVAULT_NOT_FOUND) {
            /* With the write lock held no transaction is open. */
            TRY(kvault__lock_writes(engine, "write to the cache", &wait, reterr));
            have_lock = true;
        } else if (rc == KVAULT_END) {
            TRY(kvault__flush_engine(vault, NULL, reterr));
        } else {
            break;
        }
    }
    if (rc == KVAULT_E_TOOBIG && !holds_cache(engine))
        return KVAULT_END;
    if (rc >= 0 && flush)
        rc = kvault__flush_engine(vault, NULL, reterr);
out:
    return rc;
}

kvault_status kvault__pending_put(kvault *vault, const struct storage_space *space, const struct structure *structure,
                                  const struct pending_write *writes, size_t count, kvault_error *reterr)
{
    struct pending_job job = {
        .space = space, .structure = structure, .writes = writes, .count = count, .cost = cost_of(writes, count)
    };

    return make_pending(vault, &job, reterr);
}

static struct pending_job append_job(const struct storage_space *space, const struct structure *structure,
                                     kvault_slice key, uint64_t hash, const struct pending_append *append)
{
    return (struct pending_job){ .space = space,
                                 .structure = structure,
                                 .key = key,
                                 .hash = hash,
                                 .append = append,
                                 .cost = append->size + (append->offsets ? append->count * sizeof(uint64_t) : 0) };
}

kvault_status kvault__pending_append(kvault *vault, const struct storage_space *space,
                                     const struct structure *structure, kvault_slice key,
                                     const struct pending_append *append, kvault_error *reterr)
{
    uint64_t hash = kvault__column_hash(kvault__load_be64(key.data), false);
    struct pending_job job = append_job(space, structure, key, hash, append);

    return make_pending(vault, &job, reterr);
}

/* Everything that could need more than the pending lock is left to the long way. */
static bool append_now_locked(kvault *vault, const struct pending_job *job, const kvault_stamp *presence)
{
    struct engine *engine = vault->engine;
    kvault *setter = setter_of(vault);
    struct pending_limits limits = limits_locked(setter, holds_cache(engine));

    if (kvault__check_open(vault, NULL) < 0 /* again: see kvault_close() */ || engine->background_error.status < 0 ||
        foreign_transaction(engine) || !setter->account || !kvault__stamp_holds_locked(engine, presence))
        return false;
    if (setter->account->active_bytes + setter->account->frozen_bytes + job->cost > limits.capacity ||
        setter->account->active_bytes + job->cost >= limits.threshold)
        return false;
    return insert_locked(engine, job, setter->account, NULL) >= 0;
}

bool kvault__pending_append_now(kvault *vault, const struct storage_space *space, const struct structure *structure,
                                kvault_slice key, uint64_t hash, const kvault_stamp *presence,
                                const struct pending_append *append)
{
    struct engine *engine = vault->engine;
    struct pending_job job;
    bool done;

    if (kvault__check_writable(vault, NULL) < 0 || !kvault__caches(vault) ||
        !kvault__mutex_try_acquire(&engine->pending_lock))
        return false;
    job = append_job(space, structure, key, hash, append);
    done = append_now_locked(vault, &job, presence);
    kvault__mutex_release(&engine->pending_lock);
    return done;
}

/* ---- reads of what is pending ---- */

static bool sees_pending(kvault *vault)
{
    return !vault->snapshot && !kvault__in_transaction(vault) &&
           /* Relaxed: a write by this thread is seen by it; one by another thread that was told to us
            * came over some lock of theirs and ours, which carries this store along. */
           atomic_load_explicit(&vault->engine->pending_entries, memory_order_relaxed);
}

enum pending_answer kvault__pending_look(kvault *vault, const struct storage_space *space, kvault_slice key,
                                         uint64_t offset, void *dest, size_t capacity, uint64_t *ret_size)
{
    struct engine *engine = vault->engine;
    enum pending_answer answer = PENDING_NOTHING;
    struct pending_entry *entry;

    if (!sees_pending(vault))
        return PENDING_NOTHING;
    kvault__mutex_acquire(&engine->pending_lock);
    entry = kvault__pending_find(&engine->active, space, key);
    if (!entry)
        entry = kvault__pending_find(&engine->frozen, space, key);
    if (entry) {
        answer = entry->tombstone ? PENDING_DELETED : PENDING_VALUE;
        if (ret_size)
            *ret_size = entry->value_size;
        if (dest && offset < entry->value_size) {
            size_t rest = entry->value_size - (size_t)offset;

            memcpy(dest, entry->value + offset, rest < capacity ? rest : capacity);
        }
    }
    kvault__mutex_release(&engine->pending_lock);
    return answer;
}

uint64_t kvault__pending_mark(kvault *vault)
{
    struct engine *engine = vault->engine;
    uint64_t mark;

    if (!sees_pending(vault))
        return PENDING_NO_MARK;
    kvault__mutex_acquire(&engine->pending_lock);
    mark = engine->commit_seq;
    kvault__mutex_release(&engine->pending_lock);
    return mark;
}

/* A commit that carries tails happens under the pending lock, so it is in the file and gone from here at once. */
kvault_status kvault__pending_tails(kvault *vault, const struct storage_space *space, kvault_slice key, uint64_t mark,
                                    kvault_status (*look)(void *ctx, const struct pending_tail *frozen,
                                                          const struct pending_tail *active, kvault_error *reterr),
                                    void *look_ctx, kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    struct pending_entry *frozen, *active;
    kvault_status rc;

    if (mark == PENDING_NO_MARK && !sees_pending(vault))
        return look(look_ctx, NULL, NULL, reterr);
    kvault__mutex_acquire(&engine->pending_lock);
    frozen = kvault__pending_find(&engine->frozen, space, key);
    active = kvault__pending_find(&engine->active, space, key);
    if (mark != engine->commit_seq)
        rc = KVAULT_END;
    else
        rc = look(look_ctx, frozen ? frozen->tail : NULL, active ? active->tail : NULL, reterr);
    kvault__mutex_release(&engine->pending_lock);
    return rc;
}

/* The part [*low, *high) of the table's order that the range covers. */
static void bounds_of(const struct pending_table *table, const struct storage_range *range, size_t *low, size_t *high)
{
    *low = range->start ? kvault__pending_seek(table, *range->start, range->start_excluded) : 0;
    *high = range->stop ? kvault__pending_seek(table, *range->stop, range->stop_included) : table->count;
    if (*high < *low)
        *high = *low;
}

/* The next entry of the two tables in the range's order; the active one wins a tie. */
struct merge {
    struct pending_table *tables[2]; /* active, frozen; NULL: none */
    size_t low[2], high[2];
    bool reverse;
};

static struct pending_entry *peek(const struct merge *merge, int side)
{
    if (!merge->tables[side] || merge->low[side] == merge->high[side])
        return NULL;
    return merge->tables[side]->order[merge->reverse ? merge->high[side] - 1 : merge->low[side]];
}

static void skip(struct merge *merge, int side)
{
    if (merge->reverse)
        merge->high[side]--;
    else
        merge->low[side]++;
}

static struct pending_entry *merge_next(struct merge *merge)
{
    struct pending_entry *a = peek(merge, 0), *f = peek(merge, 1);
    int order;

    if (!a || !f) {
        if (a || f)
            skip(merge, a ? 0 : 1);
        return a ? a : f;
    }
    order = kvault__key_compare((kvault_slice){ a->key, a->key_size }, (kvault_slice){ f->key, f->key_size });
    if (merge->reverse)
        order = -order;
    if (order >= 0)
        skip(merge, 1);
    if (order <= 0)
        skip(merge, 0);
    return order <= 0 ? a : f;
}

kvault_status kvault__pending_scan(kvault *vault, const struct storage_range *range,
                                   kvault_status (*row)(void *ctx, kvault_slice key, kvault_slice value, bool tombstone,
                                                        kvault_error *reterr),
                                   void *row_ctx, kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    struct merge merge = { .reverse = range->reverse };
    kvault_status rc = KVAULT_OK;

    if (!sees_pending(vault))
        return KVAULT_OK;
    kvault__mutex_acquire(&engine->pending_lock);
    merge.tables[0] = kvault__pending_table(&engine->active, range->space);
    merge.tables[1] = kvault__pending_table(&engine->frozen, range->space);
    for (int side = 0; side < 2; side++) {
        if (!merge.tables[side])
            continue;
        TRY(kvault__pending_sort(merge.tables[side], reterr)); /* the frozen one is sorted already */
        bounds_of(merge.tables[side], range, &merge.low[side], &merge.high[side]);
    }
    for (uint32_t told = 0; told < range->limit && rc == KVAULT_OK; told++) {
        struct pending_entry *entry = merge_next(&merge);

        if (!entry)
            break;
        rc = row(row_ctx, (kvault_slice){ entry->key, entry->key_size },
                 (kvault_slice){ entry->value, entry->value_size }, entry->tombstone, reterr);
    }
out:
    kvault__mutex_release(&engine->pending_lock);
    return rc < 0 ? rc : KVAULT_OK;
}

/* ---- flush, lock_cache() ---- */

kvault_status kvault__flush_engine(kvault *vault, uint64_t *ret_entries, kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    struct writing write;
    uint64_t entries;
    kvault_status rc = KVAULT_OK;

    if (ret_entries)
        *ret_entries = 0;
    if (kvault__in_transaction(vault) || holds_cache(engine) ||
        !atomic_load_explicit(&engine->pending_entries, memory_order_relaxed))
        return KVAULT_OK;
    write =
        (struct writing){ .backend = engine->backend, .engine = engine, .vault = vault, .wait = kvault__wait(vault) };
    TRY(kvault__lock_writes(engine, "flush", &write.wait, reterr));
    if (!atomic_load_explicit(&engine->pending_entries, memory_order_relaxed)) {
        kvault__unlock_writes(engine); /* another thread was faster */
        return KVAULT_OK;
    }
    rc = kvault__write_begin_locked(vault, WRITING_VISIBLE, &write, reterr);
    if (rc < 0) {
        kvault__unlock_writes(engine);
        goto out;
    }
    entries = engine->frozen.entries; /* nobody else changes the frozen set: we hold the write lock */
    TRY(kvault__write_end_locked(&write, KVAULT_OK, reterr));
    atomic_fetch_add_explicit(&engine->flushes, 1, memory_order_relaxed); /* a statistic */
    if (ret_entries)
        *ret_entries = entries;
out:
    return rc;
}

kvault_status kvault_flush(kvault *vault, uint64_t *ret_entries, kvault_error *reterr)
{
    kvault_status rc;

    TRY(kvault__check_open(vault, reterr));
    TRY(kvault__take_background_error(vault->engine, reterr));
    return kvault__flush_engine(vault, ret_entries, reterr);
out:
    return rc;
}

kvault_status kvault_cache_lock(kvault *vault, kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    struct storage_wait wait = kvault__wait(vault);
    kvault_status rc;

    TRY(kvault__check_writable(vault, reterr));
    if (kvault__in_transaction(vault) || holds_cache(engine)) {
        rc = kvault__fail(reterr, KVAULT_E_INVALID, "cannot lock the cache inside %s",
                          holds_cache(engine) ? "another lock_cache()" : "a transaction, which bypasses it");
        goto out;
    }
    kvault__watch_thread();
    TRY(kvault__lock_writes(engine, "lock_cache()", &wait, reterr));
    /* Relaxed: only this thread compares it with its own mark. */
    atomic_store_explicit(&engine->cache_locker, this_thread(), memory_order_relaxed);
out:
    return rc;
}

kvault_status kvault_cache_unlock(kvault *vault, kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    struct writing write;
    kvault_status rc;

    if (!holds_cache(engine))
        return kvault__fail(reterr, KVAULT_E_INVALID, "cannot unlock the cache: this thread has not locked it");
    atomic_store_explicit(&engine->cache_locker, 0, memory_order_relaxed);
    if (!atomic_load_explicit(&engine->pending_entries, memory_order_relaxed)) {
        kvault__unlock_writes(engine);
        return KVAULT_OK;
    }
    write =
        (struct writing){ .backend = engine->backend, .engine = engine, .vault = vault, .wait = kvault__wait(vault) };
    rc = kvault__write_begin_locked(vault, WRITING_VISIBLE, &write, reterr);
    if (rc < 0) {
        kvault__unlock_writes(engine);
        return rc;
    }
    return kvault__write_end_locked(&write, KVAULT_OK, reterr);
}
