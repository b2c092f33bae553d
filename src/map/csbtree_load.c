/* csbtree_load.c - a CSBTree out of keys that already rise.
 *
 * First every key is compared with the one before it, then memory is taken for all
 * nodes and all copies of bytes; after that nothing can fail, and level by level
 * the nodes are filled to the last entry. Only the last node of a level may be
 * short; an inner one that would have a single child gets a second from its neighbour. */
#include "map/csbtree_node.h"

#include "base/alloc.h"
#include "base/checked.h"

#include "base/banned.h"

static kvault_status check_rise(kvault_csbtree *tree, const kvault_key *keys, size_t count, kvault_error *reterr)
{
    struct csb_probe before, probe;

    for (size_t i = 0; i < count; i++, before = probe) {
        int order = -1;
        kvault_status rc = kvault__csb_probe(tree, keys[i], &probe, reterr);

        if (rc >= 0 && i > 0)
            rc = kvault__csb_probe_order(tree, &before, &probe, &order, reterr);
        if (rc < 0)
            return rc;
        if (order >= 0)
            return kvault__fail_at(reterr, KVAULT_E_INVALID, (int64_t)i, "key %zu is not above the key before it", i);
    }
    return KVAULT_OK;
}

static size_t nodes_for(const kvault_csbtree *tree, size_t count)
{
    size_t total = 0;

    do {
        count = count / tree->capacity + (count % tree->capacity != 0);
        total += count;
    } while (count > 1);
    return total;
}

/* The first and the last of sorted keys have in common what all of them have. */
static void set_common(kvault_csbtree *tree, kvault_slice first, kvault_slice last)
{
    const uint8_t *a = first.data, *b = last.data;
    size_t limit = first.size < last.size ? first.size : last.size;
    uint32_t size = 0;

    while (size < limit && size < CSB_COMMON_MAX && a[size] == b[size])
        size++;
    if (size > 0)
        memcpy(tree->common, a, size);
    tree->common_size = size;
}

/* The key's bytes, or none for other kinds. */
static kvault_slice bytes_of(const kvault_csbtree *tree, kvault_key key)
{
    if (tree->kind == KVAULT_KEY_BYTES)
        return key.bytes;
    if (tree->kind == KVAULT_KEY_OBJECT_BYTES)
        return tree->hooks.bytes(tree->hooks.context, key.object);
    return (kvault_slice){ NULL, 0 };
}

static void free_copies(const kvault_csbtree *tree, struct csb_node *first)
{
    for (struct csb_node *leaf = first; leaf && tree->kind == KVAULT_KEY_BYTES; leaf = leaf->next)
        for (uint32_t at = 0; at < leaf->count; at++)
            kvault__free(csb_owner(tree, leaf, at));
}

/* Fill leaves from nodes that were reserved. On failure the chain holds what was made. */
static kvault_status fill_leaves(kvault_csbtree *tree, const kvault_key *keys, void *const *values, size_t count,
                                 struct csb_node **ret_first, struct csb_node **ret_last, kvault_error *reterr)
{
    struct csb_node *leaf = NULL;

    for (size_t i = 0; i < count; i++) {
        struct csb_probe probe;
        struct csb_entry entry;
        kvault_status rc = kvault__csb_probe(tree, keys[i], &probe, reterr);

        if (rc >= 0)
            rc = kvault__csb_entry(tree, &probe, values[i], &entry, reterr);
        if (rc < 0)
            return rc;
        if (!leaf || leaf->count == tree->capacity) {
            struct csb_node *fresh = kvault__csb_take(tree);
            fresh->prev = leaf;
            *(leaf ? &leaf->next : ret_first) = fresh;
            *ret_last = leaf = fresh;
        }
        for (uint32_t column = 0; column < tree->columns; column++)
            leaf->words[column * tree->capacity + leaf->count] = entry.word[column];
        leaf->count++;
    }
    return KVAULT_OK;
}

/* Put a level of inner nodes above a chain of nodes. Returns the new chain; `next`
 * of an inner node is only used until the level above stands. */
static struct csb_node *stack_level(kvault_csbtree *tree, struct csb_node *below)
{
    struct csb_node *first = NULL, *node = NULL;

    while (below) {
        bool pair_last = below->next && !below->next->next;

        if (!node || node->count == tree->capacity || (node->count + 1 == tree->capacity && pair_last)) {
            struct csb_node *fresh = kvault__csb_take(tree);
            *(node ? &node->next : &first) = fresh;
            node = fresh;
        }
        for (uint32_t i = 0; i + 1 < tree->columns; i++)
            node->words[i * tree->capacity + node->count] = below->words[i * tree->capacity];
        csb_values(tree, node)[node->count].pointer = below;
        node->count++;
        below = below->next;
    }
    return first;
}

static void build(kvault_csbtree *tree, struct csb_node *first, struct csb_node *last, size_t count)
{
    struct csb_node *level = first;

    tree->height = 1;
    while (level->next) {
        level = stack_level(tree, level);
        tree->height++;
    }
    tree->root = level;
    tree->first = first;
    tree->last = last;
    tree->count = count;
    tree->version++;
}

kvault_status kvault_csbtree_load_sorted(kvault_csbtree *tree, const kvault_key *keys, void *const *values,
                                         size_t count, kvault_error *reterr)
{
    struct csb_node *first = NULL, *last = NULL;
    kvault_status rc;

    if (tree->count > 0)
        return kvault__fail(reterr, KVAULT_E_INVALID, "the tree holds %zu entries, must be empty", tree->count);
    if (count == 0)
        return KVAULT_OK;
    TRY(check_rise(tree, keys, count, reterr));
    TRY(kvault__csb_reserve(tree, nodes_for(tree, count), reterr));
    if (csb_has_bytes(tree))
        set_common(tree, bytes_of(tree, keys[0]), bytes_of(tree, keys[count - 1]));
    TRY(fill_leaves(tree, keys, values, count, &first, &last, reterr));
    build(tree, first, last, count);
out:
    if (rc < 0 && first) {
        free_copies(tree, first);
        kvault__csb_give_back_chain(tree, first);
    }
    if (rc < 0)
        tree->common_size = 0;
    return rc;
}
