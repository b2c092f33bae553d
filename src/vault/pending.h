/* pending.h - the write cache's contents: key -> value or tombstone, for each space of cells.
 *
 * A set holds what was written since the last flush. The engine has two: `active`
 * takes writes; `frozen` is being committed, or waits for the next try after a
 * flush that failed. A reader asks active, then frozen, then the file; a frozen set
 * is forgotten after its commit, so a miss in both means that the file has it.
 *
 * A table finds an entry by hash and gives its keys in order on demand: new entries
 * gather unsorted and are merged into the sorted array when order is asked for, so
 * n writes and m scans cost n log n + m n at worst, and a flush sorts once.
 *
 * The engine's pending lock (docs/locking.md) guards everything here; a frozen
 * set's keys and values may be read without it by the thread that commits them. */
#ifndef KVAULT_VAULT_PENDING_H
#define KVAULT_VAULT_PENDING_H

#include "kohakuvault/error.h"
#include "storage/storage.h"

/* The bytes that were written under one cache setting and are in the active set. */
struct pending_account {
    uint64_t active_bytes;
    uint64_t frozen_bytes;        /* in the frozen set: what active_bytes was when it froze */
    struct pending_account *next; /* in the engine's list */
};

enum pending_base { PENDING_UNKNOWN, PENDING_NEW, PENDING_REPLACES }; /* is the key in the file? for count */

/* Elements that wait to be added at the end of something: what a later append brings is joined to them. */
struct pending_tail {
    kvault_buf data;
    kvault_buf offsets; /* uint64_t, count + 1 of them, into data; empty for elements of a fixed size */
    uint64_t count;
};

struct pending_entry {
    uint64_t hash;
    struct pending_account *account;
    struct pending_tail *tail; /* owned; NULL for a key that is put or deleted */
    uint8_t *value;            /* owned; NULL for a tombstone or an empty value */
    size_t value_size;
    uint64_t checksum; /* free for the structure's use: set by kvault__pending_put() */
    uint32_t key_size;
    bool tombstone;
    uint8_t base; /* enum pending_base, as of the engine's counted version */
    uint8_t key[];
};

struct pending_table {
    const struct storage_space *space;
    const struct structure *structure;
    struct pending_entry **slots; /* open addressing, power of two, at most 3/4 full */
    size_t slot_count;
    struct pending_entry **order; /* the first `sorted` by key, then in order of arrival */
    size_t count, sorted, order_capacity;
    size_t unresolved; /* entries whose base is unknown */
    size_t resolve_at; /* a hint: where the last search for those stopped */
    int64_t delta;     /* keys that the resolved entries add to the file, less those they take away */
};

struct pending_set {
    struct pending_table *tables; /* by order of first use */
    size_t table_count;
    uint64_t entries, bytes;
    struct pending_entry *recent; /* whose tail was added to last, and its space: most likely the next one's too */
    const struct storage_space *recent_space;
};

/* Bytes that an entry counts for. */
uint64_t kvault__pending_cost(size_t key_size, size_t value_size);

void kvault__pending_free(struct pending_set *set);
/* Does any of its entries have a tail? */
bool kvault__pending_has_tails(const struct pending_set *set);
/* The table of the space, or NULL. */
struct pending_table *kvault__pending_table(struct pending_set *set, const struct storage_space *space);
/* The entry of the key, or NULL. `set` may be NULL. */
struct pending_entry *kvault__pending_find(struct pending_set *set, const struct storage_space *space,
                                           kvault_slice key);
/* Insert or replace; copies key and value. `checksum` is stored with it. */
kvault_status kvault__pending_insert(struct pending_set *set, const struct storage_space *space,
                                     const struct structure *structure, struct pending_account *account,
                                     kvault_slice key, kvault_slice value, bool tombstone, uint64_t checksum,
                                     kvault_error *reterr) KVAULT_MUST_USE;
/* Add elements to the key's tail; `offsets` may be NULL. A key has a tail or a value, never both. An entry counts
 * once for each element. */
struct pending_append {
    const void *data;
    size_t size;
    const uint64_t *offsets; /* count + 1 of them, into data */
    uint64_t count;
};
kvault_status kvault__pending_add(struct pending_set *set, const struct storage_space *space,
                                  const struct structure *structure, struct pending_account *account, kvault_slice key,
                                  const struct pending_append *append, kvault_error *reterr) KVAULT_MUST_USE;
/* Bring `order` into key order. */
kvault_status kvault__pending_sort(struct pending_table *table, kvault_error *reterr) KVAULT_MUST_USE;
/* First position in the (sorted) order whose key is >= key (or > key with `after`). */
size_t kvault__pending_seek(const struct pending_table *table, kvault_slice key, bool after);
/* Move all of `newer` over `older`; newer entries win, newer tails go behind older ones. A failure changes nothing.
 * What is replaced leaves its account's frozen bytes if `older` is the frozen set, else its active ones. */
kvault_status kvault__pending_merge(struct pending_set *older, bool older_is_frozen, struct pending_set *newer,
                                    kvault_error *reterr) KVAULT_MUST_USE;

/* Note that the entry's key is in the file, or is not, at the engine's counted version. */
void kvault__pending_resolve(struct pending_table *table, struct pending_entry *entry, bool in_file);
/* Forget all that was noted so: the file has changed. */
void kvault__pending_unresolve(struct pending_set *set);

/* memcmp order, the shorter first. */
int kvault__key_compare(kvault_slice a, kvault_slice b);

#endif
