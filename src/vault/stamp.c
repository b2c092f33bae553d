/* stamp.c - is what was read a while ago still what a reader would see?
 *
 * A cache above the library keeps a stamp with each value. The keys of all tables share a
 * fixed number of slots, by hash; a write of this process counts in its key's slot when it
 * begins to show and again when it is seen everywhere, so a value read in between is
 * never kept. A commit of another process is told by the file's version (count.c keeps the
 * one that everything known holds at): it moves the epoch, which ends every stamp. Two
 * keys in one slot cost a read more, nothing else.
 *
 * What a transaction writes is noted by who holds the write lock, and counted when it
 * commits; a flush is not counted, since its values were seen while they were pending.
 *
 * A column has two slots: one for all that is in it, where its record and its tail rows count, also
 * in a flush, which moves elements from the pending ones to the file's; one for its being there. */
#include "vault/engine_state.h"

#include <string.h>

#include "base/hash.h"
#include "base/bytes.h"
#include "base/banned.h"

uint64_t kvault__key_hash(const struct storage_space *space, kvault_slice key)
{
    return kvault__hash(key, space->index);
}

static uint32_t slot_of(uint64_t hash)
{
    return (uint32_t)(hash >> 32) % CHANGE_SLOTS;
}

uint64_t kvault__column_hash(uint64_t id, bool presence)
{
    uint8_t key[8];

    kvault__store_be64(key, id);
    return XXH3_64bits_withSeed(key, sizeof key, presence ? STORAGE_COLUMN_NAMES : STORAGE_COLUMNS);
}

/* ---- what changes ---- */

static void touch_hash(struct touched *touched, uint64_t hash)
{
    uint32_t slot = slot_of(hash);

    if (touched->count && touched->slots[touched->count - 1] == slot)
        return; /* a column's record after its tail rows */
    if (touched->count == TOUCHED_MAX)
        touched->all = true;
    else
        touched->slots[touched->count++] = slot;
}

void kvault__touch(struct engine *engine, const struct storage_op *op, bool carried)
{
    bool is_write = op->kind == STORAGE_PUT || op->kind == STORAGE_ADD || op->kind == STORAGE_DELETE;
    struct touched *touched = &engine->touched;

    if (!is_write || touched->all)
        return;
    if (op->space->kind == STORAGE_TABLE && !carried)
        touch_hash(touched, kvault__key_hash(op->space, op->key));
    if (op->space->kind == STORAGE_COLUMNS && op->kind == STORAGE_DELETE)
        touch_hash(touched, kvault__column_hash(kvault__load_be64(op->key.data), true));
    if (op->space->kind == STORAGE_COLUMNS)
        touch_hash(touched, kvault__column_hash(kvault__load_be64(op->key.data), false));
    if (op->space->kind == STORAGE_COLUMN_TAILS)
        touch_hash(touched, kvault__column_hash(kvault__load_be64(op->key.data) >> 32, false));
}

void kvault__touch_all(struct engine *engine)
{
    engine->touched.all = true;
}

void kvault__touched_forget(struct engine *engine)
{
    engine->touched.count = 0;
    engine->touched.all = false;
}

void kvault__touched_begin_locked(struct engine *engine)
{
    KVAULT_ASSERT_HELD(&engine->pending_lock);
    engine->all_changes = engine->touched.all;
    for (uint32_t i = 0; i < engine->touched.count; i++)
        engine->changes[engine->touched.slots[i]].begun++;
}

void kvault__touched_end_locked(struct engine *engine)
{
    KVAULT_ASSERT_HELD(&engine->pending_lock);
    for (uint32_t i = 0; i < engine->touched.count; i++)
        engine->changes[engine->touched.slots[i]].ended++;
    engine->epoch += engine->all_changes;
    engine->all_changes = false;
    kvault__touched_forget(engine);
}

void kvault__touch_pending_locked(struct engine *engine, uint64_t hash)
{
    struct change *change = &engine->changes[slot_of(hash)];

    KVAULT_ASSERT_HELD(&engine->pending_lock);
    change->begun++;
    change->ended++;
}

/* ---- stamps ---- */

/* Snapshots, transactions and closed handles see something else than what stamps are about. */
static bool can_stamp(kvault *vault)
{
    return kvault__check_open(vault, NULL) >= 0 && !vault->snapshot && !kvault__in_transaction(vault);
}

bool kvault__stamp(kvault *vault, uint64_t hash, kvault_stamp *ret_stamp)
{
    struct engine *engine = vault->engine;
    const struct change *change = &engine->changes[slot_of(hash)];
    bool usable = false;

    if (!can_stamp(vault) || !kvault__mutex_try_acquire(&engine->pending_lock))
        return false;
    if (kvault__version_is_settled_locked(engine) && !engine->all_changes && change->begun == change->ended) {
        *ret_stamp = (kvault_stamp){ engine->epoch, slot_of(hash), change->begun };
        usable = true;
    }
    kvault__mutex_release(&engine->pending_lock);
    return usable;
}

bool kvault__stamp_holds_locked(struct engine *engine, const kvault_stamp *stamp)
{
    return stamp->epoch == engine->epoch && stamp->changes == engine->changes[stamp->slot].begun &&
           !engine->all_changes && kvault__version_is_known_locked(engine);
}

bool kvault__stamp_holds(kvault *vault, const kvault_stamp *stamp)
{
    struct engine *engine = vault->engine;
    bool holds;

    if (!can_stamp(vault) || !kvault__mutex_try_acquire(&engine->pending_lock))
        return false;
    holds = kvault__stamp_holds_locked(engine, stamp);
    kvault__mutex_release(&engine->pending_lock);
    return holds;
}

/* ---- the room that caches share ---- */

bool kvault_cache_take(kvault *vault, size_t bytes)
{
    struct engine *engine = vault->engine;
    uint64_t limit = engine->options.cache_bytes / 2;

    /* Relaxed: a sum, and nothing is read on the strength of it. */
    if (atomic_fetch_add_explicit(&engine->cached_bytes, bytes, memory_order_relaxed) + bytes <= limit)
        return true;
    kvault_cache_give(vault, bytes);
    return false;
}

void kvault_cache_give(kvault *vault, size_t bytes)
{
    atomic_fetch_sub_explicit(&vault->engine->cached_bytes, bytes, memory_order_relaxed);
}
