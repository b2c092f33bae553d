/* pending.c - the write cache's contents. See pending.h. */
#include "vault/pending.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fail.h"
#include "base/hash.h"
#include "base/banned.h"

/* What an entry takes beside its key and value: the struct, its slot, its place in the order. */
#define ENTRY_OVERHEAD (sizeof(struct pending_entry) + 3 * sizeof(void *))

uint64_t kvault__pending_cost(size_t key_size, size_t value_size)
{
    return (uint64_t)key_size + value_size + ENTRY_OVERHEAD;
}

int kvault__key_compare(kvault_slice a, kvault_slice b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common ? memcmp(a.data, b.data, common) : 0;

    if (order)
        return order;
    return a.size < b.size ? -1 : a.size > b.size;
}

static kvault_slice key_of(const struct pending_entry *entry)
{
    return (kvault_slice){ entry->key, entry->key_size };
}

static uint64_t hash_key(kvault_slice key)
{
    return kvault__hash(key, 0);
}

static void tail_free(struct pending_tail *tail)
{
    if (!tail)
        return;
    kvault_buf_free(&tail->data);
    kvault_buf_free(&tail->offsets);
    kvault__free(tail);
}

static void entry_free(struct pending_entry *entry)
{
    tail_free(entry->tail);
    kvault__free(entry->value);
    kvault__free(entry);
}

static uint64_t entry_cost(const struct pending_entry *entry)
{
    size_t value = entry->tail ? entry->tail->data.size + entry->tail->offsets.size : entry->value_size;

    return kvault__pending_cost(entry->key_size, value);
}

void kvault__pending_free(struct pending_set *set)
{
    for (size_t t = 0; t < set->table_count; t++) {
        struct pending_table *table = &set->tables[t];

        for (size_t i = 0; i < table->count; i++)
            entry_free(table->order[i]);
        kvault__free(table->order);
        kvault__free(table->slots);
    }
    kvault__free(set->tables);
    *set = (struct pending_set){ 0 };
}

/* All entries of a table are of one sort. */
bool kvault__pending_has_tails(const struct pending_set *set)
{
    for (size_t t = 0; t < set->table_count; t++)
        if (set->tables[t].count && set->tables[t].order[0]->tail)
            return true;
    return false;
}

struct pending_table *kvault__pending_table(struct pending_set *set, const struct storage_space *space)
{
    for (size_t t = 0; set && t < set->table_count; t++)
        if (set->tables[t].space == space)
            return &set->tables[t];
    return NULL;
}

/* The slot that holds the key, or the empty one where it would go. */
static struct pending_entry **slot_of(const struct pending_table *table, kvault_slice key, uint64_t hash)
{
    size_t mask = table->slot_count - 1, at = (size_t)hash & mask;

    for (;; at = (at + 1) & mask) {
        struct pending_entry *entry = table->slots[at];

        if (!entry || (entry->hash == hash && kvault__key_compare(key_of(entry), key) == 0))
            return &table->slots[at];
    }
}

struct pending_entry *kvault__pending_find(struct pending_set *set, const struct storage_space *space, kvault_slice key)
{
    struct pending_table *table = kvault__pending_table(set, space);

    return table && table->count ? *slot_of(table, key, hash_key(key)) : NULL;
}

static kvault_status table_open(struct pending_set *set, const struct storage_space *space,
                                const struct structure *structure, struct pending_table **ret_table,
                                kvault_error *reterr)
{
    struct pending_table *tables;

    *ret_table = kvault__pending_table(set, space);
    if (*ret_table)
        return KVAULT_OK;
    tables = kvault__realloc(set->tables, (set->table_count + 1) * sizeof *tables);
    if (!tables)
        return kvault__fail_nomem(reterr, (set->table_count + 1) * sizeof *tables);
    set->tables = tables;
    *ret_table = &tables[set->table_count++];
    **ret_table = (struct pending_table){ .space = space, .structure = structure };
    return KVAULT_OK;
}

/* Room for so many more entries in both arrays. */
static kvault_status table_reserve(struct pending_table *table, size_t more, kvault_error *reterr)
{
    size_t need = table->count + more, capacity = table->order_capacity ? table->order_capacity : 64;
    size_t slot_count = table->slot_count ? table->slot_count : 128;

    while (capacity < need)
        capacity *= 2;
    while (need * 4 > slot_count * 3)
        slot_count *= 2;
    if (capacity != table->order_capacity) {
        struct pending_entry **order = kvault__realloc(table->order, capacity * sizeof *order);

        if (!order)
            return kvault__fail_nomem(reterr, capacity * sizeof *order);
        table->order = order;
        table->order_capacity = capacity;
    }
    if (slot_count != table->slot_count) {
        struct pending_table grown = *table;

        grown.slot_count = slot_count;
        grown.slots = kvault__alloc_zero(slot_count, sizeof *grown.slots);
        if (!grown.slots)
            return kvault__fail_nomem(reterr, slot_count * sizeof *grown.slots);
        for (size_t i = 0; i < table->count; i++)
            *slot_of(&grown, key_of(table->order[i]), table->order[i]->hash) = table->order[i];
        kvault__free(table->slots);
        *table = grown;
    }
    return KVAULT_OK;
}

static kvault_status copy_value(kvault_slice value, uint8_t **ret_copy, kvault_error *reterr)
{
    *ret_copy = NULL;
    if (!value.size)
        return KVAULT_OK;
    *ret_copy = kvault__alloc(value.size);
    if (!*ret_copy)
        return kvault__fail_nomem(reterr, value.size);
    memcpy(*ret_copy, value.data, value.size);
    return KVAULT_OK;
}

/* Take the entry's bytes out of every sum, before it changes or goes. */
static void uncount(struct pending_set *set, const struct pending_entry *entry)
{
    set->bytes -= entry_cost(entry);
    if (entry->account)
        entry->account->active_bytes -= entry_cost(entry);
}

static void count_in(struct pending_set *set, const struct pending_entry *entry)
{
    set->bytes += entry_cost(entry);
    if (entry->account)
        entry->account->active_bytes += entry_cost(entry);
}

kvault_status kvault__pending_insert(struct pending_set *set, const struct storage_space *space,
                                     const struct structure *structure, struct pending_account *account,
                                     kvault_slice key, kvault_slice value, bool tombstone, uint64_t checksum,
                                     kvault_error *reterr)
{
    struct pending_table *table;
    struct pending_entry *entry = NULL, **slot;
    uint8_t *copy = NULL;
    uint64_t hash = hash_key(key);
    kvault_status rc;

    TRY(table_open(set, space, structure, &table, reterr));
    TRY(table_reserve(table, 1, reterr));
    TRY(copy_value(value, &copy, reterr));
    slot = slot_of(table, key, hash);
    if (*slot) {
        uncount(set, *slot);
        kvault__free((*slot)->value);
        if ((*slot)->tombstone != tombstone && (*slot)->base != PENDING_UNKNOWN)
            table->delta += tombstone ? -1 : 1;
    } else {
        entry = kvault__alloc(sizeof *entry + key.size);
        if (!entry) {
            rc = kvault__fail_nomem(reterr, sizeof *entry + key.size);
            goto out;
        }
        *entry = (struct pending_entry){ .hash = hash, .key_size = (uint32_t)key.size, .base = PENDING_UNKNOWN };
        if (key.size)
            memcpy(entry->key, key.data, key.size);
        *slot = table->order[table->count++] = entry;
        table->unresolved++;
        set->entries++;
    }
    (*slot)->value = copy;
    (*slot)->value_size = value.size;
    (*slot)->tombstone = tombstone;
    (*slot)->checksum = checksum;
    (*slot)->account = account;
    count_in(set, *slot);
    copy = NULL;
out:
    kvault__free(copy);
    return rc;
}

/* ---- tails ---- */

static kvault_status tail_reserve(struct pending_tail *tail, const struct pending_append *append, kvault_error *reterr)
{
    kvault_status rc;

    TRY(kvault__buf_reserve(&tail->data, append->size, reterr));
    if (append->offsets)
        TRY(kvault__buf_reserve(&tail->offsets, (size_t)(append->count + 1) * sizeof(uint64_t), reterr));
out:
    return rc;
}

/* There is room. Returns the bytes that it takes. */
static uint64_t tail_join(struct pending_tail *tail, const struct pending_append *append)
{
    uint64_t base = tail->data.size, *offsets = (uint64_t *)(void *)tail->offsets.data;
    size_t before = tail->offsets.size;

    if (append->size)
        memcpy(tail->data.data + base, append->data, append->size);
    tail->data.size += append->size;
    if (append->offsets) {
        offsets[0] = 0;
        for (uint64_t i = 1; i <= append->count; i++)
            offsets[tail->count + i] = base + append->offsets[i] - append->offsets[0];
        tail->offsets.size = (size_t)(tail->count + append->count + 1) * sizeof(uint64_t);
    }
    tail->count += append->count;
    return append->size + tail->offsets.size - before;
}

static kvault_status tail_entry(kvault_slice key, uint64_t hash, struct pending_account *account,
                                struct pending_entry **ret_entry, kvault_error *reterr)
{
    struct pending_entry *entry = kvault__alloc(sizeof *entry + key.size);
    struct pending_tail *tail = kvault__alloc_zero(1, sizeof *tail);

    if (!entry || !tail) {
        kvault__free(entry);
        kvault__free(tail);
        return kvault__fail_nomem(reterr, sizeof *entry + key.size);
    }
    *entry = (struct pending_entry){ .hash = hash, .account = account, .tail = tail, .key_size = (uint32_t)key.size };
    memcpy(entry->key, key.data, key.size);
    *ret_entry = entry;
    return KVAULT_OK;
}

/* The entry of the key, made if there is none, with room for what is added. *ret_taken: bytes that it takes itself. */
static kvault_status tail_open(struct pending_set *set, const struct storage_space *space,
                               const struct structure *structure, struct pending_account *account, kvault_slice key,
                               const struct pending_append *append, struct pending_entry **ret_entry,
                               uint64_t *ret_taken, kvault_error *reterr)
{
    struct pending_table *table;
    struct pending_entry *entry = NULL, **slot;
    uint64_t hash = hash_key(key);
    kvault_status rc;

    TRY(table_open(set, space, structure, &table, reterr));
    TRY(table_reserve(table, 1, reterr));
    slot = slot_of(table, key, hash);
    if (*slot) {
        *ret_entry = *slot;
        return tail_reserve((*slot)->tail, append, reterr);
    }
    TRY(tail_entry(key, hash, account, &entry, reterr));
    rc = tail_reserve(entry->tail, append, reterr);
    if (rc < 0) {
        entry_free(entry);
        goto out;
    }
    *ret_taken = entry_cost(entry);
    *ret_entry = *slot = table->order[table->count++] = entry;
    table->unresolved++;
out:
    return rc;
}

kvault_status kvault__pending_add(struct pending_set *set, const struct storage_space *space,
                                  const struct structure *structure, struct pending_account *account, kvault_slice key,
                                  const struct pending_append *append, kvault_error *reterr)
{
    struct pending_entry *entry = set->recent;
    uint64_t taken = 0;
    kvault_status rc;

    if (entry && set->recent_space == space && kvault__key_compare(key_of(entry), key) == 0)
        TRY(tail_reserve(entry->tail, append, reterr));
    else
        TRY(tail_open(set, space, structure, account, key, append, &entry, &taken, reterr));
    set->recent = entry;
    set->recent_space = space;
    taken += tail_join(entry->tail, append);
    set->entries += append->count;
    set->bytes += taken;
    account->active_bytes += taken;
out:
    return rc;
}

static int compare_entries(const void *a, const void *b)
{
    return kvault__key_compare(key_of(*(struct pending_entry *const *)a), key_of(*(struct pending_entry *const *)b));
}

kvault_status kvault__pending_sort(struct pending_table *table, kvault_error *reterr)
{
    size_t fresh = table->count - table->sorted, at = 0, old = 0, new = table->sorted;
    struct pending_entry **merged;

    if (!fresh)
        return KVAULT_OK;
    qsort(table->order + table->sorted, fresh, sizeof *table->order, compare_entries);
    if (table->sorted) {
        merged = kvault__alloc(table->order_capacity * sizeof *merged);
        if (!merged) /* the fresh ones lie in order behind the sorted ones: still a valid table */
            return kvault__fail_nomem(reterr, table->order_capacity * sizeof *merged);
        while (old < table->sorted || new < table->count) {
            bool take_old = new == table->count ||
                            (old < table->sorted && compare_entries(&table->order[old], &table->order[new]) < 0);

            merged[at++] = take_old ? table->order[old++] : table->order[new ++];
        }
        kvault__free(table->order);
        table->order = merged;
    }
    table->sorted = table->count;
    return KVAULT_OK;
}

size_t kvault__pending_seek(const struct pending_table *table, kvault_slice key, bool after)
{
    size_t low = 0, high = table->sorted;

    assert(table->sorted == table->count);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = kvault__key_compare(key_of(table->order[middle]), key);

        if (order < 0 || (after && order == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void kvault__pending_resolve(struct pending_table *table, struct pending_entry *entry, bool in_file)
{
    if (entry->base != PENDING_UNKNOWN)
        return;
    entry->base = in_file ? PENDING_REPLACES : PENDING_NEW;
    table->unresolved--;
    table->delta += (entry->tombstone ? 0 : 1) - (in_file ? 1 : 0);
}

void kvault__pending_unresolve(struct pending_set *set)
{
    for (size_t t = 0; t < set->table_count; t++) {
        struct pending_table *table = &set->tables[t];

        if (table->unresolved == table->count)
            continue;
        for (size_t i = 0; i < table->count; i++)
            table->order[i]->base = PENDING_UNKNOWN;
        table->unresolved = table->count;
        table->delta = 0;
    }
}

static struct pending_append append_of(const struct pending_tail *tail)
{
    return (struct pending_append){ tail->data.data, tail->data.size,
                                    tail->offsets.size ? (const uint64_t *)(const void *)tail->offsets.data : NULL,
                                    tail->count };
}

/* Put `entry`, counted under its account's active bytes, in place of what `table` has for its key, or beside it. */
static void adopt(struct pending_set *set, bool frozen, struct pending_table *table, struct pending_entry *entry)
{
    struct pending_entry **slot = slot_of(table, key_of(entry), entry->hash), *old = *slot;

    if (!old) {
        *slot = table->order[table->count++] = entry;
        set->entries += entry->tail ? entry->tail->count : 1;
        set->bytes += entry_cost(entry);
        entry->base = PENDING_UNKNOWN;
        table->unresolved++;
        return;
    }
    if (old->tail) { /* merge_reserve() made the room */
        struct pending_append append = append_of(entry->tail);

        set->entries += append.count;
        set->bytes += tail_join(old->tail, &append);
        entry_free(entry);
        return;
    }
    set->bytes += entry_cost(entry) - entry_cost(old);
    if (old->account)
        *(frozen ? &old->account->frozen_bytes : &old->account->active_bytes) -= entry_cost(old);
    kvault__free(old->value);
    if (old->tombstone != entry->tombstone && old->base != PENDING_UNKNOWN)
        table->delta += entry->tombstone ? -1 : 1;
    old->value = entry->value;
    old->value_size = entry->value_size;
    old->tombstone = entry->tombstone;
    old->checksum = entry->checksum;
    old->account = entry->account;
    kvault__free(entry);
}

/* Room in `to` for all of `from`. */
static kvault_status merge_reserve(struct pending_table *to, const struct pending_table *from, kvault_error *reterr)
{
    kvault_status rc;

    TRY(table_reserve(to, from->count, reterr));
    for (size_t i = 0; i < from->count; i++) {
        struct pending_entry *entry = from->order[i], *old = *slot_of(to, key_of(entry), entry->hash);
        struct pending_append append;

        if (!old || !old->tail)
            continue;
        append = append_of(entry->tail);
        TRY(tail_reserve(old->tail, &append, reterr));
    }
out:
    return rc;
}

kvault_status kvault__pending_merge(struct pending_set *older, bool older_is_frozen, struct pending_set *newer,
                                    kvault_error *reterr)
{
    kvault_status rc;

    /* All the room first, so that the moving cannot fail half-way. */
    for (size_t t = 0; t < newer->table_count; t++) {
        struct pending_table *from = &newer->tables[t], *to;

        TRY(table_open(older, from->space, from->structure, &to, reterr));
        TRY(merge_reserve(to, from, reterr));
    }
    for (size_t t = 0; t < newer->table_count; t++) {
        struct pending_table *from = &newer->tables[t], *to = kvault__pending_table(older, from->space);

        for (size_t i = 0; i < from->count; i++)
            adopt(older, older_is_frozen, to, from->order[i]);
        from->count = 0;
    }
    kvault__pending_free(newer);
    return KVAULT_OK;
out:
    return rc;
}
