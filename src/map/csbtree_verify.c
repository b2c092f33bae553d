/* csbtree_verify.c - the invariants of csbtree_node.h, checked one by one.
 *
 * The walk goes through all nodes from the left to the right. `expected_leaf`
 * follows the chain of leaves beside it, and the order of keys is checked from each
 * entry of a leaf to the one before it, across leaves too. */
#include "map/csbtree_node.h"
#include "map/rank.h"

#include "base/banned.h"

struct walk {
    kvault_csbtree *tree;
    const struct csb_node *expected_leaf, *last_leaf;
    uint32_t last_at; /* of the entry before, in last_leaf */
    size_t entries, nodes;
    struct csb_probe probe; /* only its version is used */
    kvault_error *reterr;
};

static kvault_status broken(const struct walk *walk, const char *what)
{
    return kvault__fail(walk->reterr, KVAULT_E_CORRUPT, "the tree is broken: %s (node %zu, entry %zu)", what,
                        walk->nodes, walk->entries);
}

/* The sign of the order of two entries of leaves. */
static kvault_status order_of(struct walk *walk, const struct csb_node *a, uint32_t a_at, const struct csb_node *b,
                              uint32_t b_at, int *ret_order)
{
    kvault_csbtree *tree = walk->tree;
    int64_t x = a->words[a_at].rank, y = b->words[b_at].rank;

    if (tree->kind == KVAULT_KEY_OBJECT || (tree->kind == KVAULT_KEY_RANKED && x == y))
        return kvault__csb_compare(tree, &walk->probe, csb_owner(tree, a, a_at), csb_owner(tree, b, b_at), ret_order,
                                   walk->reterr);
    if (x == y && csb_has_bytes(tree))
        *ret_order = kvault__bytes_order(csb_owner_bytes(tree, csb_owner(tree, a, a_at)),
                                             csb_owner_bytes(tree, csb_owner(tree, b, b_at)));
    else
        *ret_order = (x > y) - (x < y);
    return KVAULT_OK;
}

static kvault_status check_bytes(const struct walk *walk, const struct csb_node *leaf, uint32_t at)
{
    const kvault_csbtree *tree = walk->tree;
    kvault_slice bytes = csb_owner_bytes(tree, csb_owner(tree, leaf, at));

    if (bytes.size < tree->common_size)
        return broken(walk, "a key is shorter than the common prefix");
    if (tree->common_size > 0 && memcmp(bytes.data, tree->common, tree->common_size) != 0)
        return broken(walk, "a key lacks the common prefix");
    if (leaf->words[at].rank != kvault__csb_bytes_rank(tree, bytes))
        return broken(walk, "a rank is not that of its key");
    return KVAULT_OK;
}

static bool has_its_rank(const kvault_csbtree *tree, const struct csb_node *leaf, uint32_t at)
{
    return tree->kind != KVAULT_KEY_RANKED ||
           leaf->words[at].rank == tree->hooks.rank(tree->hooks.context, csb_owner(tree, leaf, at));
}

static kvault_status check_leaf(struct walk *walk, const struct csb_node *leaf)
{
    if (leaf != walk->expected_leaf)
        return broken(walk, "the chain of leaves leads elsewhere");
    if (leaf->prev != walk->last_leaf)
        return broken(walk, "a leaf does not know the one before it");

    for (uint32_t at = 0; at < leaf->count; at++) {
        kvault_status rc = KVAULT_OK;
        int order = -1;

        if (walk->entries > 0)
            rc = order_of(walk, walk->last_leaf, walk->last_at, leaf, at, &order);
        if (rc >= 0 && order >= 0)
            rc = broken(walk, "a key is not above the one before it");
        if (rc >= 0 && csb_has_bytes(walk->tree))
            rc = check_bytes(walk, leaf, at);
        if (rc >= 0 && !has_its_rank(walk->tree, leaf, at))
            rc = broken(walk, "a rank is not that of its key");
        if (rc < 0)
            return rc;
        walk->last_leaf = leaf;
        walk->last_at = at;
        walk->entries++;
    }
    walk->expected_leaf = leaf->next;
    return KVAULT_OK;
}

static kvault_status check_count(const struct walk *walk, const struct csb_node *node, uint32_t level, bool right_edge)
{
    uint32_t least = csb_count_min(walk->tree);

    if (right_edge)
        least = level + 1 == walk->tree->height ? 1 : 2;
    if (node->count < least)
        return broken(walk, "a node has too few entries");
    if (node->count > walk->tree->capacity)
        return broken(walk, "a node has too many entries");
    return KVAULT_OK;
}

static kvault_status check_node(struct walk *walk, const struct csb_node *node, uint32_t level, bool right_edge)
{
    const kvault_csbtree *tree = walk->tree;
    kvault_status rc = check_count(walk, node, level, right_edge);

    walk->nodes++;
    if (rc < 0)
        return rc;
    if (level + 1 == tree->height)
        return check_leaf(walk, node);
    for (uint32_t at = 0; at < node->count; at++) {
        const struct csb_node *child = csb_child(tree, node, at);

        rc = check_node(walk, child, level + 1, right_edge && at + 1 == node->count);
        if (rc < 0)
            return rc;
        for (uint32_t i = 0; i + 1 < tree->columns; i++)
            if (node->words[i * tree->capacity + at].rank != child->words[i * tree->capacity].rank)
                return broken(walk, "a node does not repeat the first key of its child");
    }
    return KVAULT_OK;
}

static size_t count_free(const kvault_csbtree *tree)
{
    size_t count = 0;

    for (const struct csb_node *node = tree->free_nodes; node; node = node->next)
        count++;
    return count;
}

kvault_status kvault_csbtree_verify(kvault_csbtree *tree, kvault_error *reterr)
{
    struct walk walk = {
        .tree = tree, .expected_leaf = tree->first, .probe = { .version = tree->version }, .reterr = reterr,
    };
    kvault_status rc = KVAULT_OK;

    if ((tree->height == 0) != (tree->root == NULL) || (tree->root == NULL) != (tree->count == 0))
        return broken(&walk, "height, root and count disagree about emptiness");
    if (tree->height > 0)
        TRY(check_node(&walk, tree->root, 0, true));
    if (walk.expected_leaf || walk.last_leaf != tree->last)
        return broken(&walk, "the chain of leaves does not end with the last one");
    if (walk.entries != tree->count)
        return broken(&walk, "the count is not that of the entries");
    if (count_free(tree) != tree->free_count || walk.nodes + tree->free_count != tree->node_count)
        return broken(&walk, "a node was lost");
out:
    return rc;
}
