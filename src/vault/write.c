/* write.c - transactions: whose writes they are, what they carry, and how they end.
 *
 * Every visible commit carries all that is pending, so that what a crash leaves is a
 * prefix of the program's writes. The pending set is frozen, written inside the
 * transaction, and forgotten after the commit. One case needs care: a transaction
 * that itself writes a key which is also frozen. Between the commit and the forgetting
 * a reader would find the old pending value although the file has the new one, and
 * perhaps already saw another key of the same transaction. Such a transaction
 * (`overlaps`) commits with the pending lock held, so that both happen at once. So does one that
 * carries tails: elements at the end of what the file has, which would else be seen twice, or not. */
#include "vault/engine_state.h"

#include <string.h>

#include "base/bytes.h"
#include "vault/block.h"
#include "base/banned.h"

#define PENDING_BATCH 256 /* entries handed to a structure at a time between looks at the clock */

bool kvault__in_transaction(kvault *vault)
{
    /* Relaxed: only this thread ever stores its own mark. */
    return !vault->snapshot && atomic_load_explicit(&vault->engine->txn.owner, memory_order_relaxed) == this_thread();
}

static bool has_cache_locked(struct engine *engine)
{
    return atomic_load_explicit(&engine->cache_locker, memory_order_relaxed) == this_thread(); /* as above */
}

static kvault_status fail_lost(kvault_error *reterr)
{
    return kvault__fail(reterr, KVAULT_E_IO,
                        "the transaction was rolled back after an earlier failure in it; begin it again");
}

/* ---- what is pending, into the transaction ---- */

/* Everything pending becomes the frozen set, also what an earlier flush left there. */
static kvault_status freeze(struct engine *engine, kvault_error *reterr)
{
    kvault_status rc = KVAULT_OK;

    kvault__mutex_acquire(&engine->pending_lock);
    if (engine->frozen.entries) {
        rc = kvault__pending_merge(&engine->frozen, true, &engine->active, reterr);
    } else {
        kvault__pending_free(&engine->frozen);
        engine->frozen = engine->active;
        engine->active = (struct pending_set){ 0 };
    }
    for (struct pending_account *account = engine->accounts; rc == KVAULT_OK && account; account = account->next) {
        account->frozen_bytes += account->active_bytes;
        account->active_bytes = 0;
    }
    for (size_t t = 0; rc == KVAULT_OK && t < engine->frozen.table_count; t++)
        rc = kvault__pending_sort(&engine->frozen.tables[t], reterr);
    atomic_store_explicit(&engine->pending_entries, engine->frozen.entries + engine->active.entries,
                          memory_order_relaxed); /* a hint */
    kvault__mutex_release(&engine->pending_lock);
    return rc;
}

static void forget_frozen_locked(struct engine *engine)
{
    kvault__pending_free(&engine->frozen);
    for (struct pending_account *account = engine->accounts; account; account = account->next)
        account->frozen_bytes = 0;
    atomic_store_explicit(&engine->pending_entries, engine->active.entries, memory_order_relaxed); /* a hint */
}

static kvault_status write_frozen(struct writing *write, kvault_error *reterr)
{
    struct engine *engine = write->engine;
    kvault_status rc = KVAULT_OK;

    write->carries = write->carrying = true;
    for (size_t t = 0; t < engine->frozen.table_count; t++) {
        struct pending_table *table = &engine->frozen.tables[t];

        for (size_t i = 0; i < table->count; i += PENDING_BATCH) {
            size_t count = table->count - i < PENDING_BATCH ? table->count - i : PENDING_BATCH;

            TRY(table->structure->write_pending(write, table->space, table->order + i, count, reterr));
            if (write->wait.interrupted && i % (64 * PENDING_BATCH) == 0 &&
                write->wait.interrupted(write->wait.interrupted_ctx)) {
                rc = kvault__fail(reterr, KVAULT_E_INTERRUPTED, "interrupted while flushing; nothing is lost");
                goto out;
            }
        }
    }
    /* Its own keys are what it carries; but what adds to what the file has must not be seen twice. */
    write->overlaps = kvault__pending_has_tails(&engine->frozen);
out:
    write->carrying = false;
    return rc;
}

/* ---- begin and end ---- */

static kvault_status refuse_cache_locked(const char *what, kvault_error *reterr)
{
    return kvault__fail(reterr, KVAULT_E_INVALID, "cannot %s inside lock_cache(): it cannot wait for the flush", what);
}

/* A savepoint of the thread's transaction. */
static kvault_status begin_nested(struct writing *write, kvault_error *reterr)
{
    struct engine *engine = write->engine;
    kvault_status rc;

    if (engine->txn.lost || !engine->backend->in_transaction(engine->writer)) {
        engine->txn.lost = true;
        return fail_lost(reterr);
    }
    TRY(kvault__growth_push(engine, reterr));
    rc = engine->backend->savepoint(engine->writer, engine->txn.depth - 1, reterr);
    if (rc < 0)
        kvault__growth_pop(engine, false);
    write->nested = true;
out:
    return rc;
}

kvault_status kvault__write_begin_locked(kvault *vault, enum writing_kind kind, struct writing *ret_write,
                                         kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    bool carry;
    kvault_status rc;

    TRY(kvault__need_writer(engine, &ret_write->wait, reterr));
    ret_write->conn = engine->writer;
    carry = kind == WRITING_VISIBLE && atomic_load_explicit(&engine->pending_entries, memory_order_relaxed);
    if (carry)
        TRY(freeze(engine, reterr));
    TRY(kvault__growth_push(engine, reterr));
    rc = engine->backend->begin(engine->writer, true, &ret_write->wait, reterr);
    if (rc < 0) {
        kvault__growth_pop(engine, false);
        goto out;
    }
    if (carry) {
        rc = write_frozen(ret_write, reterr);
        if (rc < 0) {
            engine->backend->rollback(engine->writer);
            kvault__growth_pop(engine, false);
        }
    }
out:
    return rc;
}

kvault_status kvault__write_begin(kvault *vault, enum writing_kind kind, const char *what, struct writing *ret_write,
                                  kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    kvault_status rc;

    TRY(kvault__check_writable(vault, reterr));
    *ret_write = (struct writing){ .backend = engine->backend,
                                   .engine = engine,
                                   .vault = vault,
                                   .conn = engine->writer,
                                   .wait = kvault__wait(vault) };
    if (kvault__in_transaction(vault))
        return begin_nested(ret_write, reterr);
    if (has_cache_locked(engine))
        return refuse_cache_locked(what, reterr);
    TRY(kvault__lock_writes(engine, what, &ret_write->wait, reterr));
    rc = kvault__write_begin_locked(vault, kind, ret_write, reterr);
    if (rc < 0)
        kvault__unlock_writes(engine);
out:
    return rc;
}

/* Does the operation write a key that waits in the frozen set? */
static bool overlaps_frozen(struct engine *engine, const struct storage_op *op)
{
    bool is_write = op->kind == STORAGE_PUT || op->kind == STORAGE_ADD || op->kind == STORAGE_DELETE;
    bool found;

    if (!is_write)
        return false;
    kvault__mutex_acquire(&engine->pending_lock);
    found = kvault__pending_find(&engine->frozen, op->space, op->key) != NULL;
    kvault__mutex_release(&engine->pending_lock);
    return found;
}

static void note_ops(struct writing *write, const struct storage_op *ops, size_t count)
{
    struct engine *engine = write->engine;
    struct growth *growth = &engine->txn.levels[engine->txn.depth - 1];

    for (size_t i = 0; i < count; i++) {
        kvault__growth_note(growth, &ops[i]);
        kvault__touch(engine, &ops[i], write->carrying);
        if (write->carries && !write->overlaps)
            write->overlaps = overlaps_frozen(engine, &ops[i]);
    }
}

kvault_status kvault__write_run(struct writing *write, struct storage_op *ops, size_t count, kvault_error *reterr)
{
    struct engine *engine = write->engine;
    kvault_status rc = KVAULT_OK;

    /* A table opened since the transaction began has no place in the growth yet. */
    TRY(kvault__growth_reserve(engine, &engine->txn.levels[engine->txn.depth - 1], reterr));
    rc = engine->backend->run(write->conn, ops, count, &write->wait, reterr);
    note_ops(write, ops, count);
out:
    return rc;
}

kvault_status kvault__write_clear(struct writing *write, const struct storage_space *space, kvault_error *reterr)
{
    struct engine *engine = write->engine;
    struct growth *growth = &engine->txn.levels[engine->txn.depth - 1];
    kvault_status rc;

    TRY(kvault__growth_reserve(engine, growth, reterr));
    TRY(engine->backend->clear(write->conn, space, &write->wait, reterr));
    if (space->index < growth->capacity)
        growth->cleared[space->index] = true;
    kvault__touch_all(engine);
    write->overlaps = write->carries;
out:
    return rc;
}

/* Commit what the writer connection has open, and keep the books. The pending lock is held across the
 * commit or not, which clang's analysis cannot follow. */
KVAULT_NO_LOCK_CHECK static kvault_status commit(struct engine *engine, const struct storage_wait *wait, bool carries,
                                                 bool overlaps, kvault_error *reterr)
{
    enum storage_committed outcome = STORAGE_UNKNOWN;
    uint64_t commits = engine->backend->commits(engine->writer);
    kvault_status rc;

    kvault__mutex_acquire(&engine->pending_lock);
    engine->committing = true;
    engine->commit_seq++;
    kvault__touched_begin_locked(engine);
    if (!overlaps)
        kvault__mutex_release(&engine->pending_lock);
    rc = engine->backend->commit(engine->writer, wait, &outcome, reterr);
    if (!overlaps)
        kvault__mutex_acquire(&engine->pending_lock);
    engine->committing = false;
    engine->commit_seq++;
    kvault__count_commit_locked(engine,
                                outcome == STORAGE_UNKNOWN || engine->backend->commits(engine->writer) != commits,
                                rc < 0 ? NULL : &engine->txn.levels[0]);
    kvault__touched_end_locked(engine);
    if (rc >= 0 && carries)
        forget_frozen_locked(engine);
    kvault__mutex_release(&engine->pending_lock);
    if (rc >= 0) {
        atomic_fetch_add_explicit(&engine->commits, 1, memory_order_relaxed);             /* a statistic */
        atomic_store_explicit(&engine->last_writer, this_thread(), memory_order_relaxed); /* a hint */
    }
    return rc;
}

/* Opening a table is no write of the program's: one that was created inside what has been undone is created
 * again, so that the handles on it go on. */
static kvault_status remake_tables(struct engine *engine, const struct storage_wait *wait, kvault_error *reterr)
{
    const struct storage_space *space;
    struct storage_space ignored;
    kvault_status rc = KVAULT_OK;

    for (uint32_t i = 0; engine->txn.made_table && rc >= 0; i++) {
        kvault__mutex_acquire(&engine->pending_lock);
        space = i < engine->space_count ? engine->spaces[i] : NULL;
        kvault__mutex_release(&engine->pending_lock);
        if (!space)
            break;
        rc = engine->backend->table(engine->writer, space->name, true, wait, &ignored, reterr);
    }
    return rc;
}

static kvault_status end_nested(struct writing *write, kvault_status rc, kvault_error *reterr)
{
    struct engine *engine = write->engine;
    int depth = engine->txn.depth - 1;
    kvault_status ended;

    if (rc >= 0) {
        ended = engine->backend->release(engine->writer, depth, reterr);
    } else if (!engine->backend->in_transaction(engine->writer)) {
        engine->txn.lost = true;
        ended = rc;
    } else {
        kvault_error ignored; /* the first failure has the words, unless the rollback makes it worse */

        ended = engine->backend->rollback_to(engine->writer, depth, &ignored);
        if (ended >= 0)
            ended = remake_tables(engine, &write->wait, &ignored);
        if (ended < 0) {
            engine->txn.lost = true;
            if (reterr)
                *reterr = ignored;
        }
    }
    kvault__growth_pop(engine, rc >= 0 && ended >= 0);
    kvault__undo_level_ended(engine, rc >= 0 && ended >= 0);
    return ended < 0 ? ended : rc;
}

kvault_status kvault__write_end_locked(struct writing *write, kvault_status rc, kvault_error *reterr)
{
    struct engine *engine = write->engine;

    if (rc >= 0) {
        kvault_status ended = commit(engine, &write->wait, write->carries, write->overlaps, reterr);

        if (ended < 0)
            rc = ended;
    } else {
        engine->backend->rollback(engine->writer);
        kvault__touched_forget(engine);
        (void)remake_tables(engine, &write->wait, NULL); /* if it fails, the next call on it says so */
    }
    engine->txn.made_table = false;
    kvault__growth_pop(engine, false);
    kvault__undo_level_ended(engine, rc >= 0);
    kvault__checkpoint_if_due(engine, &write->wait);
    kvault__unlock_writes(engine);
    kvault__tell_pinned(write->vault);
    return rc;
}

kvault_status kvault__write_end(struct writing *write, kvault_status rc, kvault_error *reterr)
{
    return write->nested ? end_nested(write, rc, reterr) : kvault__write_end_locked(write, rc, reterr);
}

/* One operation in autocommit: nothing is pending, and the write lock is held. */
static kvault_status run_alone(struct engine *engine, struct storage_op *op, const struct storage_wait *wait,
                               kvault_error *reterr)
{
    uint64_t commits = engine->backend->commits(engine->writer);
    kvault_status rc;

    TRY(kvault__growth_push(engine, reterr));
    kvault__touch(engine, op, false);
    kvault__mutex_acquire(&engine->pending_lock);
    engine->committing = true;
    engine->commit_seq++;
    kvault__touched_begin_locked(engine);
    kvault__mutex_release(&engine->pending_lock);
    rc = engine->backend->run(engine->writer, op, 1, wait, reterr);
    if (rc >= 0)
        kvault__growth_note(&engine->txn.levels[0], op);
    kvault__mutex_acquire(&engine->pending_lock);
    engine->committing = false;
    engine->commit_seq++;
    kvault__count_commit_locked(engine, engine->backend->commits(engine->writer) != commits, &engine->txn.levels[0]);
    kvault__touched_end_locked(engine);
    kvault__mutex_release(&engine->pending_lock);
    kvault__growth_pop(engine, false);
    atomic_fetch_add_explicit(&engine->commits, 1, memory_order_relaxed);             /* a statistic */
    atomic_store_explicit(&engine->last_writer, this_thread(), memory_order_relaxed); /* a hint */
out:
    return rc;
}

kvault_status kvault__write_one(kvault *vault, const char *what, struct storage_op *op, kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    struct writing write;
    kvault_status rc;

    if (kvault__in_transaction(vault) || has_cache_locked(engine) ||
        atomic_load_explicit(&engine->pending_entries, memory_order_relaxed)) {
        rc = kvault__write_begin(vault, WRITING_VISIBLE, what, &write, reterr);
        if (rc < 0)
            return rc;
        return kvault__write_end(&write, kvault__write_run(&write, op, 1, reterr), reterr);
    }
    TRY(kvault__check_writable(vault, reterr));
    write =
        (struct writing){ .backend = engine->backend, .engine = engine, .vault = vault, .wait = kvault__wait(vault) };
    TRY(kvault__lock_writes(engine, what, &write.wait, reterr));
    /* Something may have become pending while we waited; it was written before us. */
    if (atomic_load_explicit(&engine->pending_entries, memory_order_relaxed)) {
        rc = kvault__write_begin_locked(vault, WRITING_VISIBLE, &write, reterr);
        if (rc < 0) {
            kvault__unlock_writes(engine);
            return rc;
        }
        return kvault__write_end_locked(&write, kvault__write_run(&write, op, 1, reterr), reterr);
    }
    rc = kvault__need_writer(engine, &write.wait, reterr);
    if (rc >= 0)
        rc = run_alone(engine, op, &write.wait, reterr);
    kvault__checkpoint_if_due(engine, &write.wait);
    kvault__unlock_writes(engine);
    kvault__tell_pinned(vault);
out:
    return rc;
}

/* ---- transaction() ---- */

static kvault_status begin_outermost(kvault *vault, struct writing *write, kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    kvault_status rc;

    TRY(kvault__lock_writes(engine, "transaction()", &write->wait, reterr));
    /* From here on no other thread's write becomes pending. */
    kvault__mutex_acquire(&engine->pending_lock);
    atomic_store_explicit(&engine->txn.owner, this_thread(), memory_order_relaxed);
    kvault__mutex_release(&engine->pending_lock);
    engine->txn.lost = false;
    rc = KVAULT_OK;
    if (atomic_load_explicit(&engine->pending_entries, memory_order_relaxed)) {
        rc = kvault__write_begin_locked(vault, WRITING_VISIBLE, write, reterr);
        if (rc >= 0) {
            rc = commit(engine, &write->wait, true, write->overlaps, reterr);
            kvault__growth_pop(engine, false);
            kvault__checkpoint_if_due(engine, &write->wait);
        }
    }
    if (rc >= 0)
        rc = kvault__write_begin_locked(vault, WRITING_SILENT, write, reterr);
    if (rc < 0) {
        atomic_store_explicit(&engine->txn.owner, 0, memory_order_relaxed);
        kvault__unlock_writes(engine);
    }
out:
    return rc;
}

kvault_status kvault_begin(kvault *vault, kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    struct writing write = { 0 };
    kvault_status rc;

    TRY(kvault__check_writable(vault, reterr));
    write =
        (struct writing){ .backend = engine->backend, .engine = engine, .vault = vault, .wait = kvault__wait(vault) };
    if (kvault__in_transaction(vault))
        return begin_nested(&write, reterr);
    if (has_cache_locked(engine))
        return refuse_cache_locked("begin a transaction", reterr);
    kvault__watch_thread();
    return begin_outermost(vault, &write, reterr);
out:
    return rc;
}

static kvault_status end_transaction(kvault *vault, kvault_status rc, kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    struct writing write = { .backend = engine->backend, .engine = engine, .vault = vault, .conn = engine->writer };
    bool lost = engine->txn.lost || !engine->backend->in_transaction(engine->writer);

    write.wait = kvault__wait(vault);
    if (engine->txn.depth > 1) {
        if (!lost)
            return end_nested(&write, rc, reterr);
        engine->txn.lost = true;
        kvault__growth_pop(engine, false);
        kvault__undo_level_ended(engine, false);
        return rc < 0 ? rc : fail_lost(reterr);
    }
    atomic_store_explicit(&engine->txn.owner, 0, memory_order_relaxed);
    if (lost && rc >= 0)
        rc = fail_lost(reterr);
    rc = kvault__write_end_locked(&write, rc, reterr);
    return rc;
}

static kvault_status check_in_transaction(kvault *vault, const char *what, kvault_error *reterr)
{
    if (!kvault__in_transaction(vault))
        return kvault__fail(reterr, KVAULT_E_INVALID, "cannot %s: this thread has no transaction open", what);
    return KVAULT_OK;
}

kvault_status kvault_commit(kvault *vault, kvault_error *reterr)
{
    kvault_status rc = check_in_transaction(vault, "commit", reterr);

    return rc < 0 ? rc : end_transaction(vault, KVAULT_OK, reterr);
}

kvault_status kvault_rollback(kvault *vault, kvault_error *reterr)
{
    kvault_error undone = KVAULT_ERROR_INIT;
    kvault_status rc = check_in_transaction(vault, "roll back", reterr);

    if (rc < 0)
        return rc;
    /* KVAULT_E_REENTERED stands for "undo": it comes back unless undoing itself goes wrong. */
    rc = end_transaction(vault, KVAULT_E_REENTERED, &undone);
    if (rc == KVAULT_E_REENTERED)
        return KVAULT_OK;
    if (reterr)
        *reterr = undone;
    return rc;
}

int kvault_depth(const kvault *vault)
{
    return kvault__in_transaction((kvault *)vault) ? vault->engine->txn.depth : 0;
}

/* ---- ids ---- */

kvault_status kvault__next_id(struct writing *write, enum state_counter counter, uint64_t *ret_id, kvault_error *reterr)
{
    uint8_t key[8] = { 0 }, record[16];
    struct storage_op get, put;
    uint64_t id = 1;
    kvault_status rc;

    key[7] = (uint8_t)counter;
    get = (struct storage_op){ .kind = STORAGE_GET,
                               .space = kvault__space_fixed(write->engine, STORAGE_STATE),
                               .key = { key, sizeof key },
                               .dest = record,
                               .dest_size = sizeof record };
    TRY(kvault__write_run(write, &get, 1, reterr));
    if (get.outcome != STORAGE_MISSING) {
        if (get.cell.size != sizeof record ||
            kvault__load_le64(record + 8) !=
                kvault__record_checksum(STORAGE_STATE, counter, (kvault_slice){ record, 8 })) {
            rc = kvault__fail(reterr, KVAULT_E_CORRUPT, "the record of the last used id (kv_state, id %d) is damaged",
                              (int)counter);
            goto out;
        }
        id = kvault__load_le64(record) + 1;
    }
    kvault__store_le64(record, id);
    kvault__store_le64(record + 8, kvault__record_checksum(STORAGE_STATE, counter, (kvault_slice){ record, 8 }));
    put = (struct storage_op){ .kind = STORAGE_PUT,
                               .space = get.space,
                               .key = get.key,
                               .cell = { .value = { record, sizeof record }, .size = sizeof record } };
    TRY(kvault__write_run(write, &put, 1, reterr));
    *ret_id = id;
out:
    return rc;
}
