/* csbtree.c - an ordered map for one owner: making, changing and asking a CSBTree.
 *
 * A B+tree: values stand in leaves of up to 64 entries, the inner nodes are 64-way,
 * and the leaves are linked. csbtree_node.h draws the nodes and lists the invariants.
 *
 * A change has three steps, and only the first two can fail: search (which may run
 * foreign code), reserve (nodes, and the copy of a key's bytes), change. Hooks that
 * release something run last, when the tree is whole, so they may call it again.
 *
 * Keys that are bytes are ranked by the first bytes behind the prefix that all keys
 * have in common. A key that lacks the prefix shortens it, and every rank is made
 * anew; a prefix has at most 64 bytes, so this happens at most 64 times until the tree is empty. */
#include "map/csbtree_node.h"
#include "map/rank.h"

#include "base/alloc.h"
#include "base/checked.h"

#include "base/banned.h"

/* ---- a tree's life ---- */

static kvault_status check_request(kvault_key_kind kind, unsigned order, const kvault_map_hooks *hooks,
                                   kvault_error *reterr)
{
    if (order < KVAULT_CSBTREE_ORDER_MIN || order > KVAULT_CSBTREE_ORDER_MAX)
        return kvault__fail(reterr, KVAULT_E_INVALID, "order is %u, must be %u to %u", order,
                            KVAULT_CSBTREE_ORDER_MIN, KVAULT_CSBTREE_ORDER_MAX);
    if ((kind == KVAULT_KEY_OBJECT || kind == KVAULT_KEY_RANKED) && (!hooks || !hooks->compare))
        return kvault__fail(reterr, KVAULT_E_INVALID, "keys that are objects need the hook compare");
    if (kind == KVAULT_KEY_RANKED && !hooks->rank)
        return kvault__fail(reterr, KVAULT_E_INVALID, "keys that are objects with ranks need the hook rank");
    if (kind == KVAULT_KEY_OBJECT_BYTES && (!hooks || !hooks->bytes))
        return kvault__fail(reterr, KVAULT_E_INVALID, "keys that are objects with bytes need the hook bytes");
    return KVAULT_OK;
}

kvault_status kvault_csbtree_new(kvault_key_kind kind, unsigned order, const kvault_map_hooks *hooks,
                                 kvault_csbtree **ret_tree, kvault_error *reterr)
{
    kvault_csbtree *tree;
    kvault_status rc = check_request(kind, order, hooks, reterr);

    if (rc < 0)
        return rc;
    tree = kvault__alloc_zero(1, sizeof *tree);
    if (!tree)
        return kvault__fail_nomem(reterr, sizeof *tree);
    tree->kind = kind;
    tree->searches_wide = kvault__csb_can_search_wide();
    tree->capacity = order + 1 < CSB_CAPACITY_MAX ? order + 1 : CSB_CAPACITY_MAX;
    tree->columns = csb_has_bytes(tree) || kind == KVAULT_KEY_RANKED ? 3 : 2;
    tree->values_at = (tree->columns - 1) * tree->capacity;
    tree->owners_at = (tree->columns - 2) * tree->capacity;
    if (hooks)
        tree->hooks = *hooks;
    *ret_tree = tree;
    return KVAULT_OK;
}

static void release_key(const kvault_csbtree *tree, void *owner)
{
    if (tree->kind == KVAULT_KEY_BYTES)
        kvault__free(owner);
    else if (csb_has_objects(tree) && tree->hooks.release_key)
        tree->hooks.release_key(tree->hooks.context, owner);
}

static void release_value(const kvault_csbtree *tree, void *value)
{
    if (tree->hooks.release_value)
        tree->hooks.release_value(tree->hooks.context, value);
}

void kvault_csbtree_clear(kvault_csbtree *tree)
{
    /* What the hooks find is an empty tree: the entries are only `old`'s now. */
    kvault_csbtree old = *tree;

    tree->root = tree->first = tree->last = NULL;
    tree->height = tree->common_size = 0;
    tree->count = tree->free_count = tree->node_count = 0;
    tree->slabs = NULL;
    tree->free_nodes = NULL;
    tree->version += old.count > 0;

    for (struct csb_node *leaf = old.first; leaf; leaf = leaf->next) {
        for (uint32_t at = 0; at < leaf->count; at++) {
            void *value = csb_values(&old, leaf)[at].pointer;

            release_key(&old, csb_owner(&old, leaf, at));
            release_value(&old, value);
        }
    }
    kvault__csb_free_slabs(old.slabs);
}

void kvault_csbtree_free(kvault_csbtree *tree)
{
    if (!tree)
        return;
    kvault_csbtree_clear(tree);
    /* A hook may have put something in again. */
    if (tree->count > 0)
        kvault_csbtree_clear(tree);
    kvault__csb_free_slabs(tree->slabs);
    kvault__free(tree);
}

size_t kvault_csbtree_count(const kvault_csbtree *tree)
{
    return tree->count;
}

size_t kvault_csbtree_size_bytes(const kvault_csbtree *tree)
{
    return sizeof *tree + tree->node_count * kvault__csb_node_bytes(tree);
}

/* ---- changing ---- */

static kvault_status copy_bytes(kvault_slice bytes, struct csb_bytes **ret_copy, kvault_error *reterr)
{
    struct csb_bytes *copy;
    size_t size;

    if (!kvault__add(sizeof *copy, bytes.size, &size))
        return kvault__fail(reterr, KVAULT_E_TOOBIG, "a key of %zu bytes exceeds memory", bytes.size);
    copy = kvault__alloc(size);
    if (!copy)
        return kvault__fail_nomem(reterr, size);
    copy->size = bytes.size;
    if (bytes.size > 0)
        memcpy(copy->data, bytes.data, bytes.size);
    *ret_copy = copy;
    return KVAULT_OK;
}

kvault_status kvault__csb_entry(const kvault_csbtree *tree, const struct csb_probe *probe, void *value,
                                struct csb_entry *ret_entry, kvault_error *reterr)
{
    struct csb_entry entry = { 0 };

    entry.word[0].rank = probe->rank;
    if (tree->kind == KVAULT_KEY_BYTES) {
        struct csb_bytes *copy = NULL;
        kvault_status rc = copy_bytes(probe->bytes, &copy, reterr);
        if (rc < 0)
            return rc;
        entry.word[1].pointer = copy;
    } else if (tree->kind == KVAULT_KEY_OBJECT_BYTES || tree->kind == KVAULT_KEY_RANKED) {
        entry.word[1].pointer = probe->object;
    } else if (tree->kind == KVAULT_KEY_OBJECT) {
        entry.word[0].pointer = probe->object;
    }
    entry.word[tree->columns - 1].pointer = value;
    *ret_entry = entry;
    return KVAULT_OK;
}

static void rank_anew(const kvault_csbtree *tree, struct csb_node *node, uint32_t level)
{
    for (uint32_t at = 0; at < node->count; at++) {
        node->words[at].rank = kvault__csb_bytes_rank(tree, csb_owner_bytes(tree, csb_owner(tree, node, at)));
        if (level + 1 < tree->height)
            rank_anew(tree, csb_child(tree, node, at), level + 1);
    }
}

/* Make the common prefix one that `bytes` has as well. */
static void share_prefix(kvault_csbtree *tree, kvault_slice bytes)
{
    const uint8_t *data = bytes.data;
    uint32_t size = 0, limit = tree->count > 0 ? tree->common_size : CSB_COMMON_MAX;

    if (limit > bytes.size)
        limit = (uint32_t)bytes.size;
    if (tree->count == 0) {
        if (limit > 0)
            memcpy(tree->common, data, limit);
        tree->common_size = limit;
        return;
    }
    while (size < limit && tree->common[size] == data[size])
        size++;
    if (size < tree->common_size) {
        tree->common_size = size;
        rank_anew(tree, tree->root, 0);
    }
}

/* Put an absent key where `path` ends. */
static kvault_status put_absent(kvault_csbtree *tree, struct csb_path *path, const struct csb_probe *probe,
                                void *value, kvault_error *reterr)
{
    struct csb_entry entry;
    kvault_status rc = kvault__csb_reserve(tree, kvault__csb_nodes_wanted(tree, path), reterr);

    if (rc < 0)
        return rc;
    rc = kvault__csb_entry(tree, probe, value, &entry, reterr);
    if (rc < 0)
        return rc;
    if (csb_has_bytes(tree)) {
        share_prefix(tree, probe->bytes);
        entry.word[0].rank = kvault__csb_bytes_rank(tree, probe->bytes);
    }
    kvault__csb_put(tree, path, entry);
    return KVAULT_OK;
}

/* Find the key; put it where it is absent. KVAULT_END: it is there, and *ret_slot is its value. */
static kvault_status find_or_put(kvault_csbtree *tree, kvault_key key, void *value, union csb_word **ret_slot,
                                 kvault_error *reterr)
{
    struct csb_probe probe;
    struct csb_path path;
    bool found = false;
    kvault_status rc;

    TRY(kvault__csb_probe(tree, key, &probe, reterr));
    TRY(kvault__csb_find(tree, &probe, &path, &found, reterr));
    if (!found)
        return put_absent(tree, &path, &probe, value, reterr);
    *ret_slot = &csb_values(tree, path.node[tree->height - 1])[path.at[tree->height - 1]];
    rc = KVAULT_END;
out:
    return rc;
}

kvault_status kvault_csbtree_insert(kvault_csbtree *tree, kvault_key key, void *value, void **ret_old,
                                    kvault_error *reterr)
{
    union csb_word *slot = NULL;
    kvault_status rc = find_or_put(tree, key, value, &slot, reterr);
    void *old;

    if (rc != KVAULT_END)
        return rc;
    old = slot->pointer;
    slot->pointer = value;
    if (ret_old)
        *ret_old = old;
    else
        release_value(tree, old);
    return rc;
}

kvault_status kvault_csbtree_add(kvault_csbtree *tree, kvault_key key, void *value, void **ret_value,
                                 kvault_error *reterr)
{
    union csb_word *slot = NULL;
    kvault_status rc = find_or_put(tree, key, value, &slot, reterr);

    if (rc == KVAULT_END && ret_value)
        *ret_value = slot->pointer;
    return rc;
}

kvault_status kvault_csbtree_remove(kvault_csbtree *tree, kvault_key key, void **ret_value, kvault_error *reterr)
{
    struct csb_probe probe;
    struct csb_path path;
    struct csb_entry entry;
    bool found = false;
    kvault_status rc;
    void *value;

    TRY(kvault__csb_probe(tree, key, &probe, reterr));
    TRY(kvault__csb_find(tree, &probe, &path, &found, reterr));
    if (!found)
        return KVAULT_NOT_FOUND;
    entry = kvault__csb_cut(tree, &path);
    value = entry.word[tree->columns - 1].pointer;
    if (ret_value)
        *ret_value = value;
    release_key(tree, entry.word[tree->columns - 2].pointer);
    if (!ret_value)
        release_value(tree, value);
    rc = KVAULT_OK;
out:
    return rc;
}

/* ---- asking ---- */

static kvault_status get_number(kvault_csbtree *tree, int64_t rank, void **ret_value)
{
    const struct csb_node *leaf;
    uint32_t at;

    if (!kvault__csb_find_number(tree, rank, &leaf, &at))
        return KVAULT_NOT_FOUND;
    *ret_value = csb_values(tree, leaf)[at].pointer;
    return KVAULT_OK;
}

kvault_status kvault_csbtree_get(kvault_csbtree *tree, kvault_key key, void **ret_value, kvault_error *reterr)
{
    struct csb_probe probe;
    struct csb_path path;
    bool found = false;
    kvault_status rc;

    if (tree->kind == KVAULT_KEY_I64)
        return get_number(tree, key.i64, ret_value);
    if (tree->kind == KVAULT_KEY_F64 && key.f64 == key.f64)
        return get_number(tree, kvault__double_rank(key.f64), ret_value);
    TRY(kvault__csb_probe(tree, key, &probe, reterr));
    TRY(kvault__csb_find(tree, &probe, &path, &found, reterr));
    if (!found)
        return KVAULT_NOT_FOUND;
    *ret_value = csb_values(tree, path.node[tree->height - 1])[path.at[tree->height - 1]].pointer;
    rc = KVAULT_OK;
out:
    return rc;
}

kvault_key kvault__csb_key(const kvault_csbtree *tree, const struct csb_node *node, uint32_t at)
{
    kvault_key key = { 0 };

    switch (tree->kind) {
    case KVAULT_KEY_I64:
        key.i64 = node->words[at].rank;
        break;
    case KVAULT_KEY_F64:
        key.f64 = kvault__rank_double(node->words[at].rank);
        break;
    case KVAULT_KEY_BYTES:
        key.bytes = csb_owner_bytes(tree, csb_owner(tree, node, at));
        break;
    case KVAULT_KEY_OBJECT_BYTES:
    case KVAULT_KEY_OBJECT:
    case KVAULT_KEY_RANKED:
        key.object = csb_owner(tree, node, at);
        break;
    }
    return key;
}

static kvault_status entry_out(const kvault_csbtree *tree, const struct csb_node *leaf, uint32_t at,
                               kvault_key *ret_key, void **ret_value)
{
    if (!leaf)
        return KVAULT_NOT_FOUND;
    *ret_key = kvault__csb_key(tree, leaf, at);
    *ret_value = csb_values(tree, leaf)[at].pointer;
    return KVAULT_OK;
}

kvault_status kvault_csbtree_first(kvault_csbtree *tree, kvault_key *ret_key, void **ret_value)
{
    return entry_out(tree, tree->first, 0, ret_key, ret_value);
}

kvault_status kvault_csbtree_last(kvault_csbtree *tree, kvault_key *ret_key, void **ret_value)
{
    return entry_out(tree, tree->last, tree->last ? tree->last->count - 1 : 0, ret_key, ret_value);
}

kvault_status kvault_csbtree_floor(kvault_csbtree *tree, kvault_key key, kvault_key *ret_key, void **ret_value,
                                   kvault_error *reterr)
{
    struct csb_probe probe;
    const struct csb_node *leaf = NULL;
    uint32_t at = 0;
    bool found = false;
    kvault_status rc;

    TRY(kvault__csb_probe(tree, key, &probe, reterr));
    TRY(kvault__csb_place(tree, &probe, &leaf, &at, &found, reterr));
    if (!found) {
        /* The entry before the place. */
        bool within = leaf && at > 0;
        leaf = !leaf ? tree->last : within ? leaf : leaf->prev;
        at = within ? at - 1 : leaf ? leaf->count - 1 : 0;
    }
    rc = entry_out(tree, leaf, at, ret_key, ret_value);
out:
    return rc;
}

kvault_status kvault_csbtree_ceiling(kvault_csbtree *tree, kvault_key key, kvault_key *ret_key, void **ret_value,
                                     kvault_error *reterr)
{
    struct csb_probe probe;
    const struct csb_node *leaf = NULL;
    uint32_t at = 0;
    bool found = false;
    kvault_status rc;

    TRY(kvault__csb_probe(tree, key, &probe, reterr));
    TRY(kvault__csb_place(tree, &probe, &leaf, &at, &found, reterr));
    rc = entry_out(tree, leaf, at, ret_key, ret_value);
out:
    return rc;
}

kvault_status kvault_csbtree_ceiling_by(kvault_csbtree *tree, kvault_map_order order, void *context,
                                        kvault_key *ret_key, void **ret_value, bool *ret_equal, kvault_error *reterr)
{
    const struct csb_node *leaf = NULL;
    uint32_t at = 0;
    bool equal = false;
    kvault_status rc;

    TRY(kvault__csb_place_by(tree, order, context, &leaf, &at, &equal, reterr));
    rc = entry_out(tree, leaf, at, ret_key, ret_value);
    if (rc == KVAULT_OK)
        *ret_equal = equal;
out:
    return rc;
}
