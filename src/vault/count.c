/* count.c - how many keys a space has, without asking the file each time.
 *
 * The engine keeps the number for each space, and the version of the file that the
 * numbers hold at. Our own commit moves the version by exactly one, and says by how
 * much each space grew; a version that moved otherwise is a commit of another
 * process, and every number is forgotten: the next question counts once.
 *
 * Between the file's commit and these books (`committing`) nobody may compare, or a
 * recount would see our commit twice; commit_seq tells a recount that one began or
 * ended under it. What is pending is added on top: each entry notes whether its key is
 * in the file, so that only new entries are looked up. */
#include "vault/engine_state.h"

#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/banned.h"

#define RECOUNT_TRIES 4
#define COMMIT_GLANCE_US 50
#define LOOKUP_BATCH 128

struct storage_version kvault__version_locked(struct engine *engine)
{
    struct storage_version version = { .known = false };

    KVAULT_ASSERT_HELD(&engine->pending_lock);
    if (engine->watched)
        engine->backend->version(engine->watched, &version);
    return version;
}

static bool same_version(const struct storage_version *a, const struct storage_version *b)
{
    return a->known && b->known && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static void forget_counts_locked(struct engine *engine)
{
    for (uint32_t i = 0; i < engine->count_capacity; i++)
        engine->counts[i].known = false;
    engine->epoch++;
    kvault__pending_unresolve(&engine->active);
    kvault__pending_unresolve(&engine->frozen);
}

bool kvault__version_is_known_locked(struct engine *engine)
{
    KVAULT_ASSERT_HELD(&engine->pending_lock);
    return engine->counted_at.known && engine->watched &&
           engine->backend->version_is(engine->watched, &engine->counted_at);
}

bool kvault__version_is_settled_locked(struct engine *engine)
{
    struct storage_version now;

    if (kvault__version_is_known_locked(engine))
        return true;
    now = kvault__version_locked(engine);
    if (!now.known || engine->committing)
        return false;
    forget_counts_locked(engine);
    engine->counted_at = now;
    return true;
}

/* After a commit of ours (`changed`: it reached the file), with the write lock still held. */
void kvault__count_commit_locked(struct engine *engine, bool changed, const struct growth *growth)
{
    struct storage_version now = kvault__version_locked(engine);

    if (!changed && same_version(&engine->counted_at, &now))
        return;
    kvault__pending_unresolve(&engine->active);
    kvault__pending_unresolve(&engine->frozen);
    if (!changed || !engine->counted_at.known || !now.known ||
        !engine->backend->version_is_next(&engine->counted_at, &now)) {
        forget_counts_locked(engine);
    } else {
        for (uint32_t i = 0; growth && i < growth->capacity && i < engine->count_capacity; i++) {
            engine->counts[i].known = engine->counts[i].known && !growth->cleared[i];
            engine->counts[i].keys += (uint64_t)growth->keys[i];
        }
    }
    engine->counted_at = now;
}

/* ---- growth inside a transaction ---- */

void kvault__growth_free(struct growth *growth)
{
    kvault__free(growth->keys);
    kvault__free(growth->cleared);
    *growth = (struct growth){ 0 };
}

kvault_status kvault__growth_reserve(struct engine *engine, struct growth *growth, kvault_error *reterr)
{
    uint32_t capacity;

    kvault__mutex_acquire(&engine->pending_lock);
    capacity = engine->count_capacity;
    kvault__mutex_release(&engine->pending_lock);
    if (growth->capacity < capacity) {
        int64_t *keys = kvault__alloc_zero(capacity, sizeof *keys);
        bool *cleared = kvault__alloc_zero(capacity, sizeof *cleared);

        if (!keys || !cleared) {
            kvault__free(keys);
            kvault__free(cleared);
            return kvault__fail_nomem(reterr, capacity * sizeof *keys);
        }
        if (growth->capacity) {
            memcpy(keys, growth->keys, growth->capacity * sizeof *keys);
            memcpy(cleared, growth->cleared, growth->capacity * sizeof *cleared);
        }
        kvault__growth_free(growth);
        *growth = (struct growth){ keys, cleared, capacity };
    }
    return KVAULT_OK;
}

kvault_status kvault__growth_push(struct engine *engine, kvault_error *reterr)
{
    struct transaction *txn = &engine->txn;

    if (txn->depth == txn->level_capacity) {
        int capacity = txn->level_capacity ? txn->level_capacity * 2 : 4;
        struct growth *levels = kvault__realloc(txn->levels, (size_t)capacity * sizeof *levels);

        if (!levels)
            return kvault__fail_nomem(reterr, (size_t)capacity * sizeof *levels);
        memset(levels + txn->level_capacity, 0, (size_t)(capacity - txn->level_capacity) * sizeof *levels);
        txn->levels = levels;
        txn->level_capacity = capacity;
    }
    if (kvault__growth_reserve(engine, &txn->levels[txn->depth], reterr) < 0)
        return KVAULT_E_NOMEM;
    txn->depth++;
    return KVAULT_OK;
}

/* Leave a level; what it counted goes to the level below if it is kept. */
void kvault__growth_pop(struct engine *engine, bool keep)
{
    struct transaction *txn = &engine->txn;
    struct growth *top = &txn->levels[--txn->depth];

    if (keep && txn->depth) {
        struct growth *below = top - 1;

        /* A table opened since: the level below has no room for it, so hand over the arrays whole. */
        if (below->capacity < top->capacity) {
            struct growth swapped = *below;

            for (uint32_t i = 0; i < below->capacity; i++) {
                top->keys[i] += below->keys[i];
                top->cleared[i] = top->cleared[i] || below->cleared[i];
            }
            *below = *top;
            *top = swapped;
        } else {
            for (uint32_t i = 0; i < top->capacity; i++) {
                below->keys[i] += top->keys[i];
                below->cleared[i] = below->cleared[i] || top->cleared[i];
            }
        }
    }
    if (top->capacity) {
        memset(top->keys, 0, top->capacity * sizeof *top->keys);
        memset(top->cleared, 0, top->capacity * sizeof *top->cleared);
    }
}

void kvault__growth_note(struct growth *growth, const struct storage_op *op)
{
    if (op->outcome != STORAGE_DONE || !op->space || op->space->index >= growth->capacity)
        return;
    if (op->kind == STORAGE_PUT || op->kind == STORAGE_ADD)
        growth->keys[op->space->index]++;
    else if (op->kind == STORAGE_DELETE)
        growth->keys[op->space->index]--;
}

/* ---- the question ---- */

/* Up to LOOKUP_BATCH entries that are not resolved: the newest, then on downwards from where the last search
 * stopped. So to resolve all is one pass over them, and a single new entry is found at once. */
static size_t find_unresolved(struct pending_table *table, struct pending_entry *found[LOOKUP_BATCH])
{
    size_t wanted = table->unresolved < LOOKUP_BATCH ? table->unresolved : LOOKUP_BATCH;
    size_t end = table->count, count = 0, at;

    while (count < wanted && end > 0 && table->order[end - 1]->base == PENDING_UNKNOWN)
        found[count++] = table->order[--end];
    at = table->resolve_at < end ? table->resolve_at : end;
    for (size_t left = end; count < wanted && left > 0; left--) {
        at = (at ? at : end) - 1;
        if (table->order[at]->base == PENDING_UNKNOWN)
            found[count++] = table->order[at];
    }
    table->resolve_at = at;
    return count;
}

/* Look up, in the file, the keys of up to LOOKUP_BATCH entries that are not resolved. Keys are copied, since the
 * pending lock is let go meanwhile; what was noted is dropped if the file changed. */
static kvault_status resolve_some(kvault *vault, const struct storage_space *space, struct pending_set *set,
                                  kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    struct storage_op ops[LOOKUP_BATCH];
    kvault_buf keys = KVAULT_BUF_INIT;
    size_t offsets[LOOKUP_BATCH + 1] = { 0 }, count;
    struct pending_entry *found[LOOKUP_BATCH];
    struct pending_table *table;
    struct reading read;
    uint64_t seq;
    kvault_status rc = KVAULT_OK;

    kvault__mutex_acquire(&engine->pending_lock);
    seq = engine->commit_seq;
    table = kvault__pending_table(set, space);
    count = table ? find_unresolved(table, found) : 0;
    for (size_t i = 0; i < count && rc == KVAULT_OK; i++) {
        rc = kvault__buf_append(&keys, found[i]->key, found[i]->key_size, reterr);
        offsets[i + 1] = keys.size;
    }
    kvault__mutex_release(&engine->pending_lock);
    if (rc < 0 || !count)
        goto out;
    for (size_t i = 0; i < count; i++)
        ops[i] = (struct storage_op){ .kind = STORAGE_GET,
                                      .space = space,
                                      .key = { keys.data + offsets[i], offsets[i + 1] - offsets[i] } };
    TRY(kvault__read_begin(vault, true, &read, reterr));
    rc = kvault__read_run(&read, ops, count, reterr);
    kvault__read_end(&read);
    if (rc < 0)
        goto out;
    kvault__mutex_acquire(&engine->pending_lock);
    table = kvault__pending_table(set, space);
    for (size_t i = 0; table && seq == engine->commit_seq && !engine->committing && i < count; i++) {
        struct pending_entry *entry = kvault__pending_find(set, space, ops[i].key);

        if (entry)
            kvault__pending_resolve(table, entry, ops[i].outcome == STORAGE_DONE);
    }
    kvault__mutex_release(&engine->pending_lock);
out:
    kvault_buf_free(&keys);
    return rc;
}

/* Keys that the pending sets add. False: some entries of *ret_set must be looked up first. */
static bool pending_growth_locked(struct engine *engine, const struct storage_space *space, int64_t *ret_growth,
                                  struct pending_set **ret_set)
{
    struct pending_table *active = kvault__pending_table(&engine->active, space);
    struct pending_table *frozen = kvault__pending_table(&engine->frozen, space);

    *ret_growth = 0;
    if (active && active->unresolved) {
        *ret_set = &engine->active;
        return false;
    }
    if (frozen && frozen->unresolved) {
        *ret_set = &engine->frozen;
        return false;
    }
    *ret_growth = active ? active->delta : 0;
    /* A frozen entry counts unless a newer one shadows it. */
    for (size_t i = 0; frozen && i < frozen->count; i++) {
        struct pending_entry *entry = frozen->order[i];
        kvault_slice key = { entry->key, entry->key_size };

        if (!active || !active->count || !kvault__pending_find(&engine->active, space, key))
            *ret_growth += (entry->tombstone ? 0 : 1) - (entry->base == PENDING_REPLACES ? 1 : 0);
    }
    return true;
}

/* Count in the file; note it if nothing was committed meanwhile. */
static kvault_status recount(kvault *vault, const struct storage_space *space, uint64_t seq, uint64_t *ret_keys,
                             kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    struct storage_version before, after;
    struct reading read;
    kvault_status rc;

    TRY(kvault__read_begin(vault, false, &read, reterr));
    kvault__mutex_acquire(&engine->pending_lock);
    before = kvault__version_locked(engine);
    kvault__mutex_release(&engine->pending_lock);
    rc = read.backend->count(read.conn, space, &read.wait, ret_keys, reterr);
    kvault__read_end(&read);
    if (rc < 0)
        goto out;
    kvault__mutex_acquire(&engine->pending_lock);
    after = kvault__version_locked(engine);
    if (same_version(&before, &after) && seq == engine->commit_seq && !engine->committing &&
        space->index < engine->count_capacity) {
        if (!same_version(&engine->counted_at, &after)) {
            forget_counts_locked(engine);
            engine->counted_at = after;
        }
        engine->counts[space->index] = (struct counted){ true, *ret_keys };
    }
    kvault__mutex_release(&engine->pending_lock);
out:
    return rc;
}

static kvault_status count_direct(kvault *vault, const struct storage_space *space, uint64_t *ret_count,
                                  kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    struct reading read;
    kvault_status rc;

    if (kvault__in_transaction(vault) && !engine->txn.lost) {
        struct counted base = { false, 0 };
        struct storage_version now;

        kvault__mutex_acquire(&engine->pending_lock);
        now = kvault__version_locked(engine);
        if (space->index < engine->count_capacity && same_version(&engine->counted_at, &now))
            base = engine->counts[space->index];
        kvault__mutex_release(&engine->pending_lock);
        for (int level = 0; level < engine->txn.depth && base.known; level++) {
            const struct growth *growth = &engine->txn.levels[level];

            if (space->index < growth->capacity) {
                base.known = !growth->cleared[space->index];
                base.keys += (uint64_t)growth->keys[space->index];
            }
        }
        if (base.known) {
            *ret_count = base.keys;
            return KVAULT_OK;
        }
    }
    rc = kvault__read_begin(vault, false, &read, reterr);
    if (rc < 0)
        return rc;
    rc = read.backend->count(read.conn, space, &read.wait, ret_count, reterr);
    kvault__read_end(&read);
    return rc;
}

kvault_status kvault__count(kvault *vault, const struct storage_space *space, uint64_t *ret_count, kvault_error *reterr)
{
    struct engine *engine = vault->engine;
    struct storage_wait wait = kvault__wait(vault);
    kvault_status rc;

    TRY(kvault__check_open(vault, reterr));
    if (vault->snapshot || kvault__in_transaction(vault))
        return count_direct(vault, space, ret_count, reterr);
    for (int tries = 0;;) {
        struct pending_set *unresolved = NULL;
        struct storage_version now;
        int64_t growth = 0;
        uint64_t seq, keys = 0;
        bool committing, known;

        kvault__mutex_acquire(&engine->pending_lock);
        seq = engine->commit_seq;
        committing = engine->committing;
        now = kvault__version_locked(engine);
        known = space->index < engine->count_capacity && engine->counts[space->index].known &&
                same_version(&engine->counted_at, &now);
        if (!committing && known && pending_growth_locked(engine, space, &growth, &unresolved)) {
            *ret_count = engine->counts[space->index].keys + (uint64_t)growth;
            kvault__mutex_release(&engine->pending_lock);
            return KVAULT_OK;
        }
        kvault__mutex_release(&engine->pending_lock);
        if (committing) {
            if (kvault__monotonic_ns() >= wait.deadline_ns)
                return kvault__fail(reterr, KVAULT_E_BUSY,
                                    "could not count the keys: a commit takes longer than %.1f s",
                                    (double)(wait.deadline_ns - wait.started_ns) / 1e9);
            kvault__sleep_us(COMMIT_GLANCE_US);
            continue;
        }
        if (known && unresolved) {
            TRY(resolve_some(vault, space, unresolved, reterr));
            continue;
        }
        TRY(recount(vault, space, seq, &keys, reterr));
        /* The file cannot tell its version, or changes faster than it can be counted: resolve what is
         * pending against what there is, and answer with that. */
        if (++tries >= RECOUNT_TRIES || !now.known) {
            kvault__mutex_acquire(&engine->pending_lock);
            known = pending_growth_locked(engine, space, &growth, &unresolved);
            if (known && seq == engine->commit_seq && !engine->committing) {
                *ret_count = keys + (uint64_t)growth;
                kvault__mutex_release(&engine->pending_lock);
                return KVAULT_OK;
            }
            kvault__mutex_release(&engine->pending_lock);
            if (!known)
                TRY(resolve_some(vault, space, unresolved, reterr));
        }
    }
out:
    return rc;
}
