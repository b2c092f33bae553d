/* skiplist_node.h - the inside of a SkipList: its nodes, and how one is looked for.
 *
 *     | item | rank | value | removed | owners, height | next[height] | key |
 *
 * The key behind the tower is absent for numbers, whose rank is all; for bytes the slice leads
 * into the node itself, behind the struct; for objects with bytes, to where the object keeps them.
 *
 * Of a link `next`, the lowest bit is the mark of its owner: a marked link never changes again.
 *
 * Invariants, checked by kvault_skiplist_verify() when nobody is inside:
 *   - on level 0, keys rise; every other level is a part of the one below it;
 *   - no linked node is marked or has a value that is removed;
 *   - no tower is higher than `top`;
 *   - the records' counts add up to the number of nodes. */
#ifndef KVAULT_MAP_SKIPLIST_NODE_H
#define KVAULT_MAP_SKIPLIST_NODE_H

#include "kohakuvault/skiplist.h"
#include "map/epoch.h"
#include "map/rank.h"

#define SKIP_GROUP 8u /* searches that take turns: enough to cover the wait for memory */
#define SKIP_CACHED 32768u /* about so many nodes lie in a processor's own cache, where taking turns costs more than it gains */
#define SKIP_HEIGHT_MAX 32u /* with p = 1/2, right for four thousand million entries */

struct skip_key {
    kvault_slice bytes;
    void *object;
};

struct skip_node {
    struct epoch_item item; /* first: what waits in the epoch domain */
    int64_t rank;
    _Atomic(void *) value;  /* the list's `gone` once the key is removed */
    void *removed;          /* the last value; set by the thread that removed the key */
    _Atomic uint32_t owners; /* who is not done with it yet: its inserter, its remover */
    uint32_t height;
    _Atomic uintptr_t next[];
};

struct kvault_skiplist {
    struct epoch epoch;
    kvault_key_kind kind;
    kvault_map_hooks hooks;
    struct skip_node *head; /* before all keys, with every level */
    _Atomic uint32_t top;   /* levels in use; never falls */
    char gone;              /* its address is the value of a removed key */
};

/* What a search looks for. */
struct skip_probe {
    int64_t rank;
    kvault_slice bytes;
    void *object;
    kvault_map_order order; /* where it belongs, if it is no key; else NULL */
    void *context;
};

static inline bool skip_has_bytes(const kvault_skiplist *list)
{
    return list->kind == KVAULT_KEY_BYTES || list->kind == KVAULT_KEY_OBJECT_BYTES;
}

/* Whether keys are the caller's objects, which release_key is told of. */
static inline bool skip_has_objects(const kvault_skiplist *list)
{
    return list->kind == KVAULT_KEY_OBJECT_BYTES || list->kind == KVAULT_KEY_OBJECT ||
           list->kind == KVAULT_KEY_RANKED;
}

static inline struct skip_key *skip_key_of(const struct skip_node *node)
{
    return (struct skip_key *)((char *)node + sizeof *node + node->height * sizeof node->next[0]);
}

static inline bool skip_is_marked(uintptr_t link)
{
    return link & 1;
}

static inline struct skip_node *skip_target(uintptr_t link)
{
    return (struct skip_node *)(link & ~(uintptr_t)1);
}

static inline uintptr_t skip_load(const struct skip_node *node, uint32_t level)
{
    return atomic_load_explicit(&node->next[level], memory_order_seq_cst);
}

static inline void *skip_gone(const kvault_skiplist *list)
{
    return (void *)&list->gone;
}

/* The value of a node, or skip_gone(). */
static inline void *skip_value(const struct skip_node *node)
{
    return atomic_load_explicit(&node->value, memory_order_seq_cst);
}

/* Turn a key into a probe. KVAULT_E_INVALID: NaN. */
kvault_status kvault__skip_probe(const kvault_skiplist *list, kvault_key key, struct skip_probe *ret_probe,
                                 kvault_error *reterr) KVAULT_MUST_USE;
/* The probe of the key of a node. */
struct skip_probe kvault__skip_probe_of(const kvault_skiplist *list, const struct skip_node *node);
/* Set *ret_order below, at or above 0 as the node sorts before, with or behind the probe. */
kvault_status kvault__skip_order(const kvault_skiplist *list, const struct skip_node *node,
                                 const struct skip_probe *probe, int *ret_order, kvault_error *reterr) KVAULT_MUST_USE;
/* The key of a node as the caller sees it. */
kvault_key kvault__skip_key(const kvault_skiplist *list, const struct skip_node *node);

/* Look without changing anything: *ret_before (may be NULL) is the last node below the probe, or
 * the head; *ret_at the first at or above it whose key is there, or NULL; *ret_value
 * the value it had then. The probe NULL is above all keys. */
kvault_status kvault__skip_seek(const kvault_skiplist *list, const struct skip_probe *probe,
                                struct skip_node **ret_before, struct skip_node **ret_at, void **ret_value,
                                bool *ret_equal, kvault_error *reterr) KVAULT_MUST_USE;
/* Look up to SKIP_GROUP keys up together, which foreign code must not compare. Where a key is absent, the value is
 * `absent`. Returns how many are there. */
size_t kvault__skip_look(const kvault_skiplist *list, const struct skip_probe *probes, size_t count, void *absent,
                         void **ret_values);
/* The first node on level 0 from `node` on whose key is there, or NULL; and its value. */
struct skip_node *kvault__skip_present(const kvault_skiplist *list, struct skip_node *node, void **ret_value);
/* The last node below the probe whose key is there, or NULL; and its value. */
kvault_status kvault__skip_below(const kvault_skiplist *list, const struct skip_probe *probe,
                                 struct skip_node **ret_node, void **ret_value, kvault_error *reterr) KVAULT_MUST_USE;

#endif
