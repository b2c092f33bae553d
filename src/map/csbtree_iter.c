/* csbtree_iter.c - walking through a range of a CSBTree from either end.
 *
 * An iterator holds two places, the lowest entry left and the one behind the highest.
 * Both are normal: an index below its leaf's count, or no leaf, behind the last entry.
 * So they are equal exactly when nothing is left. They hold as long as the tree has the version it had. */
#include "map/csbtree_node.h"

#include "base/banned.h"

static kvault_status check_version(const kvault_csbtree_iter *iter, kvault_error *reterr)
{
    if (iter->version != iter->tree->version)
        return kvault__fail(reterr, KVAULT_E_REENTERED, "the tree was changed while it was iterated");
    return KVAULT_OK;
}

static bool is_done(const kvault_csbtree_iter *iter)
{
    return iter->low_leaf == iter->high_leaf && iter->low_at == iter->high_at;
}

kvault_status kvault_csbtree_iter_init(kvault_csbtree_iter *iter, kvault_csbtree *tree, const kvault_key *start,
                                       const kvault_key *stop, kvault_error *reterr)
{
    kvault_csbtree_iter made = { .tree = tree, .version = tree->version, .low_leaf = tree->first };
    struct csb_probe from, to;
    const struct csb_node *leaf = NULL;
    bool found;
    int order = -1;
    kvault_status rc = KVAULT_OK;

    if (start)
        TRY(kvault__csb_probe(tree, *start, &from, reterr));
    if (stop)
        TRY(kvault__csb_probe(tree, *stop, &to, reterr));
    if (start && stop)
        TRY(kvault__csb_probe_order(tree, &from, &to, &order, reterr));
    if (order >= 0) {
        made.low_leaf = NULL;
        goto out;
    }
    if (start) {
        TRY(kvault__csb_place(tree, &from, &leaf, &made.low_at, &found, reterr));
        made.low_leaf = leaf;
    }
    if (stop) {
        TRY(kvault__csb_place(tree, &to, &leaf, &made.high_at, &found, reterr));
        made.high_leaf = leaf;
    }
out:
    if (rc >= 0)
        *iter = made;
    return rc;
}

kvault_status kvault_csbtree_iter_next(kvault_csbtree_iter *iter, kvault_key *ret_key, void **ret_value,
                                       kvault_error *reterr)
{
    const struct csb_node *leaf = iter->low_leaf;
    kvault_status rc = check_version(iter, reterr);

    if (rc < 0)
        return rc;
    if (is_done(iter))
        return KVAULT_END;
    *ret_key = kvault__csb_key(iter->tree, leaf, iter->low_at);
    *ret_value = csb_values(iter->tree, leaf)[iter->low_at].pointer;
    if (++iter->low_at == leaf->count) {
        iter->low_leaf = leaf->next;
        iter->low_at = 0;
    }
    return KVAULT_OK;
}

kvault_status kvault_csbtree_iter_prev(kvault_csbtree_iter *iter, kvault_key *ret_key, void **ret_value,
                                       kvault_error *reterr)
{
    const struct csb_node *leaf = iter->high_leaf;
    kvault_status rc = check_version(iter, reterr);

    if (rc < 0)
        return rc;
    if (is_done(iter))
        return KVAULT_END;
    if (!leaf || iter->high_at == 0) {
        leaf = leaf ? leaf->prev : iter->tree->last;
        iter->high_leaf = leaf;
        iter->high_at = leaf->count;
    }
    iter->high_at--;
    *ret_key = kvault__csb_key(iter->tree, leaf, iter->high_at);
    *ret_value = csb_values(iter->tree, leaf)[iter->high_at].pointer;
    return KVAULT_OK;
}

/* How many entries of the low leaf are left. */
static uint32_t left_in_leaf(const kvault_csbtree_iter *iter)
{
    const struct csb_node *leaf = iter->low_leaf;
    return (iter->low_leaf == iter->high_leaf ? iter->high_at : leaf->count) - iter->low_at;
}

static void skip_in_leaf(kvault_csbtree_iter *iter, uint32_t count)
{
    const struct csb_node *leaf = iter->low_leaf;

    iter->low_at += count;
    if (iter->low_at == leaf->count) {
        iter->low_leaf = leaf->next;
        iter->low_at = 0;
    }
}

kvault_status kvault_csbtree_iter_count(const kvault_csbtree_iter *iter, size_t *ret_count, kvault_error *reterr)
{
    kvault_csbtree_iter walk = *iter;
    size_t total = 0;
    kvault_status rc = check_version(iter, reterr);

    if (rc < 0)
        return rc;
    while (!is_done(&walk)) {
        uint32_t left = left_in_leaf(&walk);
        total += left;
        skip_in_leaf(&walk, left);
    }
    *ret_count = total;
    return KVAULT_OK;
}

kvault_status kvault_csbtree_iter_fill(kvault_csbtree_iter *iter, size_t capacity, kvault_key *ret_keys,
                                       void **ret_values, size_t *ret_count, kvault_error *reterr)
{
    size_t filled = 0;
    kvault_status rc = check_version(iter, reterr);

    if (rc < 0)
        return rc;
    while (filled < capacity && !is_done(iter)) {
        const struct csb_node *leaf = iter->low_leaf;
        uint32_t left = left_in_leaf(iter);
        uint32_t taken = left < capacity - filled ? left : (uint32_t)(capacity - filled);

        if (leaf->next)
            __builtin_prefetch(leaf->next);
        for (uint32_t i = 0; ret_keys && i < taken; i++)
            ret_keys[filled + i] = kvault__csb_key(iter->tree, leaf, iter->low_at + i);
        if (ret_values)
            memcpy(ret_values + filled, csb_values(iter->tree, leaf) + iter->low_at, taken * sizeof *ret_values);
        skip_in_leaf(iter, taken);
        filled += taken;
    }
    *ret_count = filled;
    return KVAULT_OK;
}
