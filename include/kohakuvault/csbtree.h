/* csbtree.h - an ordered map in memory for one owner at a time: a B+tree with nodes cut for cache lines.
 *
 * Keys are of one kind, chosen when the tree is made; values are pointers that
 * mean nothing to the tree. Ways of a call to end, beside those of its comment:
 *   KVAULT_E_NOMEM      the tree is as it was
 *   KVAULT_E_INVALID    the key is NaN
 *   KVAULT_E_REENTERED  the comparator changed the tree that called it; its change
 *                       holds, the interrupted call has done nothing
 *   any failure of the comparator, with its words; the tree is as it was
 * Only KVAULT_KEY_OBJECT and KVAULT_KEY_RANKED have a comparator: for every other kind,
 * calls that only read fail at most for NaN. Costs are per call, with n entries in the tree.
 *
 * Threads: none at the same time, unless all of them only read and the kind has
 * no comparator. */
#ifndef KOHAKUVAULT_CSBTREE_H
#define KOHAKUVAULT_CSBTREE_H

#include "kohakuvault/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- keys and hooks, which skiplist.h shares ---- */

typedef enum kvault_key_kind {
    KVAULT_KEY_I64,
    KVAULT_KEY_F64,          /* -0.0 is 0.0; NaN is refused */
    KVAULT_KEY_BYTES,        /* in the order of memcmp, a prefix first; the map keeps a copy */
    KVAULT_KEY_OBJECT_BYTES, /* objects of the caller, in the order of the bytes that hooks.bytes tells */
    KVAULT_KEY_OBJECT,       /* objects of the caller, in the order that hooks.compare tells */
    KVAULT_KEY_RANKED        /* the same in the order of the numbers that hooks.rank tells, compared where these tie */
} kvault_key_kind;

/* Which member holds follows from the kind: i64, f64, bytes, and `object` for all
 * kinds of objects. The bytes of a key handed out live until its entry is removed. */
typedef union kvault_key {
    int64_t i64;
    double f64;
    kvault_slice bytes;
    void *object;
} kvault_key;

/* All hooks get `context`. Those that do not apply may be NULL. */
typedef struct kvault_map_hooks {
    void *context;
    /* Set *ret_order below, at or above 0 as `a` sorts before, with or behind `b`, or
     * fail. It may call the map again, also to change it, and so must itself keep
     * both keys alive until it returns. Wanted by KVAULT_KEY_OBJECT and KVAULT_KEY_RANKED. */
    kvault_status (*compare)(void *context, void *a, void *b, int *ret_order, kvault_error *reterr);
    /* The bytes of a key, which stay where they are and as they are while the map
     * holds the key. Must not call the map. Wanted by KVAULT_KEY_OBJECT_BYTES. */
    kvault_slice (*bytes)(void *context, void *key);
    /* The number of a key, always the same; keys sort as their numbers do, whatever compare
     * would say. Must not call the map. Wanted by KVAULT_KEY_RANKED. */
    int64_t (*rank)(void *context, void *key);
    /* The map lets go of a key that is an object, or of a value. Called last, when the
     * map is whole again, so it may call the map. */
    void (*release_key)(void *context, void *key);
    void (*release_value)(void *context, void *value);
} kvault_map_hooks;

/* ---- the tree ---- */

typedef struct kvault_csbtree kvault_csbtree;

#define KVAULT_CSBTREE_ORDER_MIN 3u
#define KVAULT_CSBTREE_ORDER_MAX 4096u

/* Make an empty tree. `order` is the most keys by which a node may divide what is
 * below it; nodes use at most 63. KVAULT_E_INVALID for an order out of bounds or a
 * missing hook; `hooks` may be NULL for the first three kinds. End it with kvault_csbtree_free(). */
KVAULT_API kvault_status kvault_csbtree_new(kvault_key_kind kind, unsigned order, const kvault_map_hooks *hooks,
                                            kvault_csbtree **ret_tree, kvault_error *reterr) KVAULT_MUST_USE;
/* Release every entry, then the tree. O(n). NULL is allowed. */
KVAULT_API void kvault_csbtree_free(kvault_csbtree *tree);

/* O(1). */
KVAULT_API size_t kvault_csbtree_count(const kvault_csbtree *tree);
/* Bytes of the nodes, without keys and values that lie elsewhere. O(1). */
KVAULT_API size_t kvault_csbtree_size_bytes(const kvault_csbtree *tree);

/* Set the value of a key. O(log n).
 * KVAULT_OK: the key was absent; the tree now holds it (an object is the tree's
 * until release_key). KVAULT_END: the key was there and stays the one it was, and
 * its old value is in *ret_old, the caller's; it is released when ret_old is NULL.
 * The value belongs to the tree unless the call fails. */
KVAULT_API kvault_status kvault_csbtree_insert(kvault_csbtree *tree, kvault_key key, void *value, void **ret_old,
                                               kvault_error *reterr) KVAULT_MUST_USE;
/* The same for an absent key. KVAULT_END: the key is there, nothing is changed, and
 * *ret_value borrows its value. ret_value may be NULL. */
KVAULT_API kvault_status kvault_csbtree_add(kvault_csbtree *tree, kvault_key key, void *value, void **ret_value,
                                            kvault_error *reterr) KVAULT_MUST_USE;
/* Borrow the value of a key. O(log n). KVAULT_NOT_FOUND: it is absent. */
KVAULT_API kvault_status kvault_csbtree_get(kvault_csbtree *tree, kvault_key key, void **ret_value,
                                            kvault_error *reterr) KVAULT_MUST_USE;
/* Borrow the values of `count` keys; `absent` stands for those that are not there.
 * Faster than a loop in a tree beyond the caches, as groups of keys wait for memory
 * together. On failure ret_values is filled up to some key. */
KVAULT_API kvault_status kvault_csbtree_get_many(kvault_csbtree *tree, const kvault_key *keys, size_t count,
                                                 void *absent, void **ret_values, kvault_error *reterr) KVAULT_MUST_USE;
/* Remove a key and release it. Its value is the caller's, or released when
 * ret_value is NULL. O(log n). KVAULT_NOT_FOUND: it was absent. */
KVAULT_API kvault_status kvault_csbtree_remove(kvault_csbtree *tree, kvault_key key, void **ret_value,
                                               kvault_error *reterr) KVAULT_MUST_USE;
/* Empty the tree, then release what was in it. O(n). */
KVAULT_API void kvault_csbtree_clear(kvault_csbtree *tree);

/* Fill an empty tree with keys that rise. O(n), and every node but the last of its
 * level is full. KVAULT_E_INVALID: the tree is not empty, or a key is not above the
 * one before it (error.position is its index). All keys and values are the tree's on success. */
KVAULT_API kvault_status kvault_csbtree_load_sorted(kvault_csbtree *tree, const kvault_key *keys,
                                                    void *const *values, size_t count,
                                                    kvault_error *reterr) KVAULT_MUST_USE;

/* The first and the last entry, O(1); the last at or below a key and the first at or
 * above it, O(log n). All borrow. KVAULT_NOT_FOUND: there is none. */
KVAULT_API kvault_status kvault_csbtree_first(kvault_csbtree *tree, kvault_key *ret_key,
                                              void **ret_value) KVAULT_MUST_USE;
KVAULT_API kvault_status kvault_csbtree_last(kvault_csbtree *tree, kvault_key *ret_key,
                                             void **ret_value) KVAULT_MUST_USE;
KVAULT_API kvault_status kvault_csbtree_floor(kvault_csbtree *tree, kvault_key key, kvault_key *ret_key,
                                              void **ret_value, kvault_error *reterr) KVAULT_MUST_USE;
KVAULT_API kvault_status kvault_csbtree_ceiling(kvault_csbtree *tree, kvault_key key, kvault_key *ret_key,
                                                void **ret_value, kvault_error *reterr) KVAULT_MUST_USE;

/* Where something belongs that is no key of this kind: set *ret_order below, at or above 0 as
 * `key` sorts before, with or behind it, or fail. It may call the map again. */
typedef kvault_status (*kvault_map_order)(void *context, kvault_key key, int *ret_order, kvault_error *reterr);

/* The first entry at or above what `order` knows, and whether it sorts with it. All
 * borrow. O(log n) calls. KVAULT_NOT_FOUND: there is none. */
KVAULT_API kvault_status kvault_csbtree_ceiling_by(kvault_csbtree *tree, kvault_map_order order, void *context,
                                                   kvault_key *ret_key, void **ret_value, bool *ret_equal,
                                                   kvault_error *reterr) KVAULT_MUST_USE;

/* ---- iteration ----
 * An iterator stands on a range of entries and takes them from either end. It owns
 * nothing and needs no end; its fields are private. Once an entry was added to or
 * removed from the tree (a new value for a key does not count), it answers
 * KVAULT_E_REENTERED for ever. The tree must outlive it. */
typedef struct kvault_csbtree_iter {
    kvault_csbtree *tree;
    uint64_t version;
    const void *low_leaf, *high_leaf;
    uint32_t low_at, high_at;
} kvault_csbtree_iter;

/* Stand on the entries from *start, included, to *stop, excluded; NULL is no bound. O(log n). */
KVAULT_API kvault_status kvault_csbtree_iter_init(kvault_csbtree_iter *iter, kvault_csbtree *tree,
                                                  const kvault_key *start, const kvault_key *stop,
                                                  kvault_error *reterr) KVAULT_MUST_USE;
/* Take the lowest entry left, or the highest. O(1). KVAULT_END: there is none left. */
KVAULT_API kvault_status kvault_csbtree_iter_next(kvault_csbtree_iter *iter, kvault_key *ret_key, void **ret_value,
                                                  kvault_error *reterr) KVAULT_MUST_USE;
KVAULT_API kvault_status kvault_csbtree_iter_prev(kvault_csbtree_iter *iter, kvault_key *ret_key, void **ret_value,
                                                  kvault_error *reterr) KVAULT_MUST_USE;
/* How many entries are left. One step for each 64 of them. */
KVAULT_API kvault_status kvault_csbtree_iter_count(const kvault_csbtree_iter *iter, size_t *ret_count,
                                                   kvault_error *reterr) KVAULT_MUST_USE;
/* Take up to `capacity` entries from the low end; either array may be NULL.
 * *ret_count is below `capacity` only when none are left. */
KVAULT_API kvault_status kvault_csbtree_iter_fill(kvault_csbtree_iter *iter, size_t capacity, kvault_key *ret_keys,
                                                  void **ret_values, size_t *ret_count,
                                                  kvault_error *reterr) KVAULT_MUST_USE;

/* Check every invariant of the tree. O(n). KVAULT_E_CORRUPT, with words, names the first that is broken. */
KVAULT_API kvault_status kvault_csbtree_verify(kvault_csbtree *tree, kvault_error *reterr) KVAULT_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
