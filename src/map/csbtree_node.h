/* csbtree_node.h - the inside of a CSBTree: its nodes, and what may be done to them.
 *
 * Every node, leaf or inner, is a row of up to `capacity` entries kept as columns
 * of 8-byte words, each beginning at a cache line when capacity is 64:
 *
 *     | header, 64 bytes | keys[capacity] | owners[capacity] | values[capacity] |
 *
 *   I64, F64      keys are ranks; there is no owners column
 *   BYTES         keys are ranks, owners are the tree's own copies of the bytes
 *   OBJECT_BYTES  keys are ranks, owners are the caller's objects
 *   RANKED        the same, with the ranks that the caller tells
 *   OBJECT        the caller's objects stand in the keys column; no owners column
 *
 * A rank is an int64 that sorts as the key does: the number itself, the bits of a
 * double turned so that they sort, or the first bytes behind the prefix that all keys of the tree have in common
 * (rank.h). Ranks of long bytes and of RANKED may tie; then the bytes decide, or the comparator.
 * In an inner node an entry's value is a child, and its key equals the first key of
 * that child, word for word. So a key that was removed stands nowhere, and leaves
 * and inner nodes are split, merged and searched by the same code.
 *
 * Invariants, checked by kvault_csbtree_verify():
 *   - all leaves are at depth `height`; an empty tree has no node;
 *   - a node has at least capacity / 2 entries, but the root and the nodes of the
 *     right edge: there a leaf has one, an inner node two;
 *   - keys rise through a node, and from leaf to leaf;
 *   - leaves are linked in order from `first` to `last`, and hold `count` entries;
 *   - the first `common_size` bytes of every key are those of `common`;
 *   - nodes in use and nodes on the free list are all that the slabs hold. */
#ifndef KVAULT_MAP_CSBTREE_NODE_H
#define KVAULT_MAP_CSBTREE_NODE_H

#include <assert.h>
#include <string.h>

#include "base/fail.h"
#include "kohakuvault/csbtree.h"

#define CSB_CAPACITY_MAX 64u
#define CSB_HEIGHT_MAX 48u  /* with two entries in every node, more than memory can hold */
#define CSB_COMMON_MAX 64u  /* a longer common prefix costs comparisons, not errors */
#define CSB_LINE_BYTES 64u

union csb_word {
    int64_t rank;
    void *pointer;
};
static_assert(sizeof(union csb_word) == 8, "a column is an array of 8-byte words");

struct csb_node {
    uint32_t count;
    struct csb_node *prev, *next; /* of a leaf; `next` also chains free nodes */
    _Alignas(CSB_LINE_BYTES) union csb_word words[];
};

struct csb_slab {
    struct csb_slab *next;
};

struct kvault_csbtree {
    kvault_key_kind kind;
    uint32_t capacity;
    uint32_t columns;   /* words of an entry: 2 or 3 */
    uint32_t values_at; /* where the last column begins */
    bool searches_wide; /* the processor compares several ranks at once */
    uint32_t owners_at; /* where objects and copies stand; meaningless for numbers */
    uint32_t height;    /* 0: empty; 1: the root is a leaf */
    struct csb_node *root, *first, *last;
    size_t count;
    uint64_t version; /* rises with each entry added or removed */

    struct csb_slab *slabs;
    struct csb_node *free_nodes;
    size_t free_count, node_count;

    uint32_t common_size;
    uint8_t common[CSB_COMMON_MAX];
    kvault_map_hooks hooks;
};

/* A copy of the bytes of a key, which a tree of KVAULT_KEY_BYTES owns. */
struct csb_bytes {
    size_t size;
    uint8_t data[];
};

/* What a search looks for. */
struct csb_probe {
    int64_t rank;
    kvault_slice bytes;
    void *object;
    int edge;         /* the key lacks the common prefix: -1 it is below all keys, 1 above */
    uint64_t version; /* of the tree when the search began */
};

/* The way from the root (level 0) to a leaf: the nodes, and the entry taken in each. */
struct csb_path {
    struct csb_node *node[CSB_HEIGHT_MAX];
    uint32_t at[CSB_HEIGHT_MAX];
};

struct csb_entry {
    union csb_word word[3];
};

static inline union csb_word *csb_values(const kvault_csbtree *tree, const struct csb_node *node)
{
    return (union csb_word *)node->words + tree->values_at;
}

static inline struct csb_node *csb_child(const kvault_csbtree *tree, const struct csb_node *node, uint32_t at)
{
    return csb_values(tree, node)[at].pointer;
}

static inline void *csb_owner(const kvault_csbtree *tree, const struct csb_node *node, uint32_t at)
{
    return node->words[tree->owners_at + at].pointer;
}

static inline bool csb_has_bytes(const kvault_csbtree *tree)
{
    return tree->kind == KVAULT_KEY_BYTES || tree->kind == KVAULT_KEY_OBJECT_BYTES;
}

/* Whether keys are compared by foreign code, always or where ranks tie. */
static inline bool csb_has_order(const kvault_csbtree *tree)
{
    return tree->kind == KVAULT_KEY_OBJECT || tree->kind == KVAULT_KEY_RANKED;
}

/* Whether keys are the caller's objects, which release_key is told of. */
static inline bool csb_has_objects(const kvault_csbtree *tree)
{
    return tree->kind == KVAULT_KEY_OBJECT_BYTES || csb_has_order(tree);
}

static inline uint32_t csb_count_min(const kvault_csbtree *tree)
{
    return tree->capacity / 2;
}

/* The bytes of a key of either kind of bytes. */
static inline kvault_slice csb_owner_bytes(const kvault_csbtree *tree, void *owner)
{
    if (tree->kind == KVAULT_KEY_OBJECT_BYTES)
        return tree->hooks.bytes(tree->hooks.context, owner);
    const struct csb_bytes *copy = owner;
    return (kvault_slice){ copy->data, copy->size };
}

/* ---- csbtree_node.c ---- */

/* Make sure that `count` nodes can be taken. The only step that may fail. */
kvault_status kvault__csb_reserve(kvault_csbtree *tree, size_t count, kvault_error *reterr) KVAULT_MUST_USE;
/* An empty node out of those reserved. */
struct csb_node *kvault__csb_take(kvault_csbtree *tree);
/* Put the nodes of a chain back on the free list. */
void kvault__csb_give_back_chain(kvault_csbtree *tree, struct csb_node *first);
/* How many nodes the insertion of an entry at the end of `path` takes. */
size_t kvault__csb_nodes_wanted(const kvault_csbtree *tree, const struct csb_path *path);
/* Put an entry at the end of `path`, into nodes that were reserved. */
void kvault__csb_put(kvault_csbtree *tree, struct csb_path *path, struct csb_entry entry);
/* Take the entry at the end of `path` out. */
struct csb_entry kvault__csb_cut(kvault_csbtree *tree, struct csb_path *path);
/* Free the slabs of a list. */
void kvault__csb_free_slabs(struct csb_slab *slabs);
/* Bytes of a node of this tree, a multiple of a cache line. */
size_t kvault__csb_node_bytes(const kvault_csbtree *tree);

/* ---- csbtree_rank.c ---- */

/* Whether the processor can; the tree keeps the answer. */
bool kvault__csb_can_search_wide(void);
/* How many of these ranks, which rise, are below `rank`. */
uint32_t kvault__csb_count_below(const kvault_csbtree *tree, const union csb_word *ranks, uint32_t count,
                                 int64_t rank);

/* ---- csbtree_find.c ---- */

/* Turn a key into a probe. KVAULT_E_INVALID: NaN. */
kvault_status kvault__csb_probe(const kvault_csbtree *tree, kvault_key key, struct csb_probe *ret_probe,
                                kvault_error *reterr) KVAULT_MUST_USE;
/* The rank of bytes in this tree, whose common prefix they have. */
int64_t kvault__csb_bytes_rank(const kvault_csbtree *tree, kvault_slice bytes);
/* Call the comparator. KVAULT_E_REENTERED: it changed the tree. */
kvault_status kvault__csb_compare(kvault_csbtree *tree, const struct csb_probe *probe, void *a, void *b,
                                  int *ret_order, kvault_error *reterr) KVAULT_MUST_USE;
/* The sign of the order of two probes. */
kvault_status kvault__csb_probe_order(kvault_csbtree *tree, const struct csb_probe *a, const struct csb_probe *b,
                                      int *ret_order, kvault_error *reterr) KVAULT_MUST_USE;
/* Fill `path` down to the first entry at or above the probe (in the last leaf that
 * may be behind its last entry); *ret_found: whether that is the key itself. */
kvault_status kvault__csb_find(kvault_csbtree *tree, const struct csb_probe *probe, struct csb_path *path,
                               bool *ret_found, kvault_error *reterr) KVAULT_MUST_USE;

/* The same as a place: the leaf and the index in it, normal (below the leaf's count);
 * behind the last entry the leaf is NULL and the index 0. */
kvault_status kvault__csb_place(kvault_csbtree *tree, const struct csb_probe *probe, const struct csb_node **ret_leaf,
                                uint32_t *ret_at, bool *ret_found, kvault_error *reterr) KVAULT_MUST_USE;

/* The place of what `order` knows. */
kvault_status kvault__csb_place_by(kvault_csbtree *tree, kvault_map_order order, void *context,
                                   const struct csb_node **ret_leaf, uint32_t *ret_at, bool *ret_found,
                                   kvault_error *reterr) KVAULT_MUST_USE;

/* Find a number: the leaf and the index of its entry. False: it is absent. */
bool kvault__csb_find_number(const kvault_csbtree *tree, int64_t rank, const struct csb_node **ret_leaf,
                             uint32_t *ret_at);

/* ---- csbtree.c ---- */

/* Make an entry of a key and a value; the copy of a key's bytes is the entry's. */
kvault_status kvault__csb_entry(const kvault_csbtree *tree, const struct csb_probe *probe, void *value,
                                struct csb_entry *ret_entry, kvault_error *reterr) KVAULT_MUST_USE;

/* The key of an entry as the caller sees it. */
kvault_key kvault__csb_key(const kvault_csbtree *tree, const struct csb_node *node, uint32_t at);

#endif
