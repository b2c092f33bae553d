/* csbtree_find.c - searching a CSBTree: keys to probes, probes to places.
 *
 * A node of ranks is searched by csbtree_rank.c. Ranks of bytes may tie; among the ties the bytes are
 * compared. All lines of a leaf's ranks are asked for at once: what the search needs next is not known
 * early enough, and waiting for one line costs as much as for eight.
 *
 * Objects are compared by foreign code, which may change the tree. So after each
 * call the version is checked before a node is touched again; the tree struct
 * itself is the caller's to keep alive. */
#include "map/csbtree_node.h"

#include "map/rank.h"

#include "base/banned.h"

#define GROUP_KEYS 16u /* enough to cover the wait for memory, few enough for the fill buffers */

/* ---- keys to probes ---- */

int64_t kvault__csb_bytes_rank(const kvault_csbtree *tree, kvault_slice bytes)
{
    assert(bytes.size >= tree->common_size);
    return kvault__bytes_rank(bytes, tree->common_size);
}

static void probe_bytes(const kvault_csbtree *tree, kvault_slice bytes, struct csb_probe *probe)
{
    kvault_slice common = { tree->common, tree->common_size };
    size_t shared = bytes.size < common.size ? bytes.size : common.size;

    probe->bytes = bytes;
    if (shared < common.size || (shared > 0 && memcmp(bytes.data, common.data, shared) != 0))
        probe->edge = kvault__bytes_order(bytes, common) < 0 ? -1 : 1;
    else
        probe->rank = kvault__csb_bytes_rank(tree, bytes);
}

kvault_status kvault__csb_probe(const kvault_csbtree *tree, kvault_key key, struct csb_probe *ret_probe,
                                kvault_error *reterr)
{
    struct csb_probe probe = { .version = tree->version };

    switch (tree->kind) {
    case KVAULT_KEY_I64:
        probe.rank = key.i64;
        break;
    case KVAULT_KEY_F64:
        if (key.f64 != key.f64)
            return kvault__fail(reterr, KVAULT_E_INVALID, "NaN cannot be a key: it has no place in an order");
        probe.rank = kvault__double_rank(key.f64);
        break;
    case KVAULT_KEY_BYTES:
        probe_bytes(tree, key.bytes, &probe);
        break;
    case KVAULT_KEY_OBJECT_BYTES:
        probe.object = key.object;
        probe_bytes(tree, tree->hooks.bytes(tree->hooks.context, key.object), &probe);
        break;
    case KVAULT_KEY_RANKED:
        probe.object = key.object;
        probe.rank = tree->hooks.rank(tree->hooks.context, key.object);
        break;
    case KVAULT_KEY_OBJECT:
        probe.object = key.object;
        break;
    }
    *ret_probe = probe;
    return KVAULT_OK;
}

/* ---- probes to places in a node ---- */

/* Where the entries end that, from `low` on, have this rank. */
static uint32_t end_of_ties(const kvault_csbtree *tree, const struct csb_node *node, uint32_t low, int64_t rank)
{
    if (rank == INT64_MAX)
        return node->count;
    return low + kvault__csb_count_below(tree, node->words + low, node->count - low, rank + 1);
}

/* Among entries from `low` on whose ranks tie with the probe's, compare the bytes. */
static uint32_t settle_ties(const kvault_csbtree *tree, const struct csb_node *node, const struct csb_probe *probe,
                            uint32_t low, bool *ret_found)
{
    uint32_t high;

    if (kvault__rank_is_whole(probe->rank)) {
        *ret_found = true;
        return low;
    }
    high = end_of_ties(tree, node, low, probe->rank);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = kvault__bytes_order(csb_owner_bytes(tree, csb_owner(tree, node, middle)), probe->bytes);

        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The first entry of a node at or above the probe, for kinds that foreign code does not compare. */
static uint32_t find_by_rank(const kvault_csbtree *tree, const struct csb_node *node, const struct csb_probe *probe,
                             bool *ret_found)
{
    uint32_t at;

    *ret_found = false;
    if (probe->edge)
        return probe->edge < 0 ? 0 : node->count;
    at = kvault__csb_count_below(tree, node->words, node->count, probe->rank);
    if (at == node->count || node->words[at].rank != probe->rank)
        return at;
    if (csb_has_bytes(tree))
        return settle_ties(tree, node, probe, at, ret_found);
    *ret_found = true;
    return at;
}

kvault_status kvault__csb_compare(kvault_csbtree *tree, const struct csb_probe *probe, void *a, void *b,
                                  int *ret_order, kvault_error *reterr)
{
    kvault_status rc = tree->hooks.compare(tree->hooks.context, a, b, ret_order, reterr);

    if (rc < 0)
        return rc;
    if (tree->version != probe->version)
        return kvault__fail(reterr, KVAULT_E_REENTERED, "the tree was changed while its keys were compared");
    return KVAULT_OK;
}

kvault_status kvault__csb_probe_order(kvault_csbtree *tree, const struct csb_probe *a, const struct csb_probe *b,
                                      int *ret_order, kvault_error *reterr)
{
    *ret_order = (a->rank > b->rank) - (a->rank < b->rank); /* 0 for KVAULT_KEY_OBJECT */
    if (csb_has_bytes(tree))
        *ret_order = kvault__bytes_order(a->bytes, b->bytes);
    else if (csb_has_order(tree) && *ret_order == 0)
        return kvault__csb_compare(tree, b, a->object, b->object, ret_order, reterr);
    return KVAULT_OK;
}

/* The first entry of a node at or above the probe, by the comparator. */
static kvault_status find_by_order(kvault_csbtree *tree, const struct csb_node *node, const struct csb_probe *probe,
                                   uint32_t *ret_at, bool *ret_found, kvault_error *reterr)
{
    uint32_t low = 0, high = node->count;

    *ret_found = false;
    if (tree->kind == KVAULT_KEY_RANKED) {
        low = kvault__csb_count_below(tree, node->words, node->count, probe->rank);
        high = end_of_ties(tree, node, low, probe->rank);
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = 0;
        kvault_status rc =
            kvault__csb_compare(tree, probe, csb_owner(tree, node, middle), probe->object, &order, reterr);

        if (rc < 0)
            return rc;
        if (order == 0) {
            *ret_found = true;
            low = middle;
            break;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_at = low;
    return KVAULT_OK;
}

/* Of an inner node, the child that may hold the probe: its keys are the first of each child. */
static uint32_t child_for(uint32_t at, bool found)
{
    return found || at == 0 ? at : at - 1;
}

/* Ask for the header of a node and for all of its ranks. */
static inline void prefetch_node(const kvault_csbtree *tree, const struct csb_node *node)
{
    __builtin_prefetch(node);
    for (uint32_t at = 0; at < tree->capacity; at += CSB_LINE_BYTES / sizeof(union csb_word))
        __builtin_prefetch(node->words + at);
}

bool kvault__csb_find_number(const kvault_csbtree *tree, int64_t rank, const struct csb_node **ret_leaf,
                             uint32_t *ret_at)
{
    const struct csb_node *node = tree->root;

    if (tree->height == 0)
        return false;
    for (uint32_t level = tree->height;; level--) {
        uint32_t at = kvault__csb_count_below(tree, node->words, node->count, rank);
        bool found = at < node->count && node->words[at].rank == rank;

        if (level == 1) {
            *ret_leaf = node;
            *ret_at = at;
            return found;
        }
        node = csb_child(tree, node, child_for(at, found));
        if (level == 2)
            prefetch_node(tree, node); /* a leaf: the nodes above it are few, and in the caches */
    }
}

kvault_status kvault__csb_find(kvault_csbtree *tree, const struct csb_probe *probe, struct csb_path *path,
                               bool *ret_found, kvault_error *reterr)
{
    struct csb_node *node = tree->root;
    uint32_t height = tree->height;
    bool found = false;

    for (uint32_t level = 0; level < height; level++) {
        uint32_t at;

        if (csb_has_order(tree)) {
            kvault_status rc = find_by_order(tree, node, probe, &at, &found, reterr);
            if (rc < 0)
                return rc;
        } else {
            at = find_by_rank(tree, node, probe, &found);
        }
        path->node[level] = node;
        if (level + 1 < height) {
            at = child_for(at, found);
            node = csb_child(tree, node, at);
            if (level + 2 == height)
                prefetch_node(tree, node);
        }
        path->at[level] = at;
    }
    *ret_found = found;
    return KVAULT_OK;
}

/* Make a place normal that may be behind the last entry of its leaf. */
static void set_place(const struct csb_node *leaf, uint32_t at, const struct csb_node **ret_leaf, uint32_t *ret_at)
{
    bool behind = leaf && at == leaf->count;

    *ret_leaf = behind ? leaf->next : leaf;
    *ret_at = behind ? 0 : at;
}

kvault_status kvault__csb_place(kvault_csbtree *tree, const struct csb_probe *probe, const struct csb_node **ret_leaf,
                                uint32_t *ret_at, bool *ret_found, kvault_error *reterr)
{
    struct csb_path path;
    kvault_status rc = kvault__csb_find(tree, probe, &path, ret_found, reterr);

    if (rc < 0)
        return rc;
    if (tree->height > 0)
        set_place(path.node[tree->height - 1], path.at[tree->height - 1], ret_leaf, ret_at);
    else
        set_place(NULL, 0, ret_leaf, ret_at);
    return KVAULT_OK;
}

/* The first entry of a node at or above what `order` knows. */
static kvault_status find_by_caller(kvault_csbtree *tree, const struct csb_node *node, kvault_map_order order_of,
                                    void *context, uint32_t *ret_at, bool *ret_found, kvault_error *reterr)
{
    uint32_t low = 0, high = node->count;
    uint64_t version = tree->version;

    *ret_found = false;
    while (low < high && !*ret_found) {
        uint32_t middle = low + (high - low) / 2;
        int order = 0;
        kvault_status rc = order_of(context, kvault__csb_key(tree, node, middle), &order, reterr);

        if (rc < 0)
            return rc;
        if (tree->version != version)
            return kvault__fail(reterr, KVAULT_E_REENTERED, "the tree was changed while its keys were compared");
        *ret_found = order == 0;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_at = high;
    return KVAULT_OK;
}

kvault_status kvault__csb_place_by(kvault_csbtree *tree, kvault_map_order order, void *context,
                                   const struct csb_node **ret_leaf, uint32_t *ret_at, bool *ret_found,
                                   kvault_error *reterr)
{
    const struct csb_node *node = tree->root;
    uint32_t at = 0;

    *ret_found = false;
    for (uint32_t left = tree->height; left > 0; left--) {
        kvault_status rc = find_by_caller(tree, node, order, context, &at, ret_found, reterr);

        if (rc < 0)
            return rc;
        if (left > 1)
            node = csb_child(tree, node, child_for(at, *ret_found));
    }
    set_place(node, at, ret_leaf, ret_at);
    return KVAULT_OK;
}

/* ---- many keys at once ---- */

/* Walk a group of probes down together, so that their waits for memory overlap. */
static void get_group(const kvault_csbtree *tree, const struct csb_probe *probes, size_t count, void *absent,
                      void **ret_values)
{
    const struct csb_node *node[GROUP_KEYS];
    uint32_t at[GROUP_KEYS];
    bool found[GROUP_KEYS];

    for (size_t i = 0; i < count; i++)
        node[i] = tree->root;
    for (uint32_t level = 0; level < tree->height; level++) {
        bool leaf = level + 1 == tree->height;

        for (size_t i = 0; i < count; i++) {
            at[i] = find_by_rank(tree, node[i], &probes[i], &found[i]);
            if (leaf) {
                __builtin_prefetch(&csb_values(tree, node[i])[at[i]]);
            } else {
                node[i] = csb_child(tree, node[i], child_for(at[i], found[i]));
                prefetch_node(tree, node[i]);
            }
        }
    }
    for (size_t i = 0; i < count; i++)
        ret_values[i] = tree->height > 0 && found[i] ? csb_values(tree, node[i])[at[i]].pointer : absent;
}

static kvault_status get_one_by_one(kvault_csbtree *tree, const kvault_key *keys, size_t count, void *absent,
                                    void **ret_values, kvault_error *reterr)
{
    kvault_status rc = KVAULT_OK;

    for (size_t i = 0; i < count; i++) {
        ret_values[i] = absent;
        TRY(kvault_csbtree_get(tree, keys[i], &ret_values[i], reterr));
    }
    rc = KVAULT_OK;
out:
    return rc;
}

kvault_status kvault_csbtree_get_many(kvault_csbtree *tree, const kvault_key *keys, size_t count, void *absent,
                                      void **ret_values, kvault_error *reterr)
{
    struct csb_probe probes[GROUP_KEYS];
    kvault_status rc = KVAULT_OK;

    if (csb_has_order(tree))
        return get_one_by_one(tree, keys, count, absent, ret_values, reterr);
    for (size_t done = 0; done < count;) {
        size_t group = count - done < GROUP_KEYS ? count - done : GROUP_KEYS;

        for (size_t i = 0; i < group; i++)
            TRY(kvault__csb_probe(tree, keys[done + i], &probes[i], reterr));
        get_group(tree, probes, group, absent, ret_values + done);
        done += group;
    }
out:
    return rc;
}
