/* csbtree_node.c - nodes of a CSBTree: where they come from, how they split, merge and share.
 *
 * Nodes are cut from slabs of up to 64 and, once free, wait on a list for the next
 * split; clearing the tree frees the slabs. Nothing here calls foreign code, and
 * only kvault__csb_reserve() can fail, so a change once begun is completed.
 *
 * A full node that gets an entry at the end of the right edge of the tree stays as
 * it is, and the new entry starts a node of its own: keys that arrive in order fill
 * the leaves. Anywhere else a node is split in the middle. */
#include "map/csbtree_node.h"

#include "base/alloc.h"
#include "base/checked.h"

#include "base/banned.h"

#define SLAB_NODES_MAX 64u

size_t kvault__csb_node_bytes(const kvault_csbtree *tree)
{
    size_t bytes = sizeof(struct csb_node) + (size_t)tree->columns * tree->capacity * sizeof(union csb_word);
    return (bytes + CSB_LINE_BYTES - 1) / CSB_LINE_BYTES * CSB_LINE_BYTES;
}

static kvault_status add_slab(kvault_csbtree *tree, size_t nodes, kvault_error *reterr)
{
    size_t size, each = kvault__csb_node_bytes(tree);
    struct csb_slab *slab;

    if (!kvault__mul(nodes, each, &size) || !kvault__add(size, CSB_LINE_BYTES, &size))
        return kvault__fail(reterr, KVAULT_E_TOOBIG, "%zu nodes of %zu bytes exceed memory", nodes, each);
    slab = kvault__alloc_aligned(CSB_LINE_BYTES, size);
    if (!slab)
        return kvault__fail_nomem(reterr, size);
    slab->next = tree->slabs;
    tree->slabs = slab;
    tree->node_count += nodes;
    tree->free_count += nodes;

    /* The lowest address comes to the head of the list: a load takes its leaves in a row. */
    for (size_t i = nodes; i-- > 0;) {
        struct csb_node *node = (struct csb_node *)((char *)slab + CSB_LINE_BYTES + i * each);
        node->next = tree->free_nodes;
        tree->free_nodes = node;
    }
    return KVAULT_OK;
}

kvault_status kvault__csb_reserve(kvault_csbtree *tree, size_t count, kvault_error *reterr)
{
    size_t missing, usual = tree->node_count / 8;

    if (tree->free_count >= count)
        return KVAULT_OK;
    missing = count - tree->free_count;
    usual = usual < SLAB_NODES_MAX ? usual : SLAB_NODES_MAX;
    return add_slab(tree, missing > usual ? missing : usual, reterr);
}

struct csb_node *kvault__csb_take(kvault_csbtree *tree)
{
    struct csb_node *node = tree->free_nodes;

    assert(node && tree->free_count > 0);
    tree->free_nodes = node->next;
    tree->free_count--;
    node->count = 0;
    node->prev = node->next = NULL;
    return node;
}

static void give_back(kvault_csbtree *tree, struct csb_node *node)
{
    node->next = tree->free_nodes;
    tree->free_nodes = node;
    tree->free_count++;
}

void kvault__csb_give_back_chain(kvault_csbtree *tree, struct csb_node *first)
{
    while (first) {
        struct csb_node *next = first->next;
        give_back(tree, first);
        first = next;
    }
}

void kvault__csb_free_slabs(struct csb_slab *slabs)
{
    while (slabs) {
        struct csb_slab *next = slabs->next;
        kvault__free(slabs);
        slabs = next;
    }
}

/* Move `count` entries, from one place to another or within a node. The counts are the caller's work. */
static void move_entries(const kvault_csbtree *tree, struct csb_node *to, uint32_t to_at, struct csb_node *from,
                         uint32_t from_at, uint32_t count)
{
    assert(to_at + count <= tree->capacity && from_at + count <= tree->capacity);
    for (uint32_t base = 0; base < tree->columns * tree->capacity; base += tree->capacity)
        memmove(to->words + base + to_at, from->words + base + from_at, count * sizeof(union csb_word));
}

static struct csb_entry entry_at(const kvault_csbtree *tree, const struct csb_node *node, uint32_t at)
{
    struct csb_entry entry = { 0 };

    assert(at < node->count);
    for (uint32_t i = 0; i < tree->columns; i++)
        entry.word[i] = node->words[i * tree->capacity + at];
    return entry;
}

static void open_gap(const kvault_csbtree *tree, struct csb_node *node, uint32_t at, struct csb_entry entry)
{
    assert(at <= node->count && node->count < tree->capacity);
    move_entries(tree, node, at + 1, node, at, node->count - at);
    for (uint32_t i = 0; i < tree->columns; i++)
        node->words[i * tree->capacity + at] = entry.word[i];
    node->count++;
}

static void close_gap(const kvault_csbtree *tree, struct csb_node *node, uint32_t at)
{
    assert(at < node->count);
    move_entries(tree, node, at, node, at + 1, node->count - at - 1);
    node->count--;
}

/* An entry for the parent: the first key of `node`, and `node`. */
static struct csb_entry entry_of(const kvault_csbtree *tree, struct csb_node *node)
{
    struct csb_entry entry = entry_at(tree, node, 0);
    entry.word[tree->columns - 1].pointer = node;
    return entry;
}

/* Copy the first key of the node at `level` to where the levels above repeat it. */
static void repeat_first_key(const kvault_csbtree *tree, const struct csb_path *path, uint32_t level)
{
    const struct csb_node *node = path->node[level];

    while (level-- > 0) {
        struct csb_node *parent = path->node[level];
        uint32_t at = path->at[level];

        for (uint32_t i = 0; i + 1 < tree->columns; i++)
            parent->words[i * tree->capacity + at] = node->words[i * tree->capacity];
        if (at > 0)
            return;
    }
}

static bool is_right_edge(const struct csb_path *path, uint32_t level)
{
    while (level-- > 0)
        if (path->at[level] + 1 != path->node[level]->count)
            return false;
    return true;
}

size_t kvault__csb_nodes_wanted(const kvault_csbtree *tree, const struct csb_path *path)
{
    uint32_t level = tree->height;

    while (level > 0 && path->node[level - 1]->count == tree->capacity)
        level--;
    /* One for each full node, and a root if all of them are, or if there is none. */
    return tree->height - level + (level == 0);
}

static void link_leaf_behind(kvault_csbtree *tree, struct csb_node *leaf, struct csb_node *fresh)
{
    fresh->prev = leaf;
    fresh->next = leaf->next;
    *(leaf->next ? &leaf->next->prev : &tree->last) = fresh;
    leaf->next = fresh;
}

/* Split the full node at `level` and put `entry` into one of the halves. Returns the right one. */
static struct csb_node *split_and_put(kvault_csbtree *tree, struct csb_path *path, uint32_t level,
                                      struct csb_entry entry)
{
    struct csb_node *left = path->node[level], *right = kvault__csb_take(tree);
    bool leaf = level + 1 == tree->height;
    uint32_t at = path->at[level], moved = left->count / 2;

    if (at == left->count && is_right_edge(path, level))
        moved = leaf ? 0 : 1;
    left->count -= moved;
    right->count = moved;
    move_entries(tree, right, 0, left, left->count, moved);
    if (leaf)
        link_leaf_behind(tree, left, right);

    if (at > left->count || moved == 0)
        open_gap(tree, right, at - left->count, entry);
    else
        open_gap(tree, left, at, entry);
    return right;
}

static void grow_root(kvault_csbtree *tree, struct csb_node *left, struct csb_node *right)
{
    struct csb_node *root = kvault__csb_take(tree);

    assert(tree->height < CSB_HEIGHT_MAX);
    open_gap(tree, root, 0, entry_of(tree, left));
    open_gap(tree, root, 1, entry_of(tree, right));
    tree->root = root;
    tree->height++;
}

static void put_first(kvault_csbtree *tree, struct csb_entry entry)
{
    tree->root = tree->first = tree->last = kvault__csb_take(tree);
    tree->height = 1;
    open_gap(tree, tree->root, 0, entry);
}

void kvault__csb_put(kvault_csbtree *tree, struct csb_path *path, struct csb_entry entry)
{
    tree->count++;
    tree->version++;
    if (tree->height == 0) {
        put_first(tree, entry);
        return;
    }
    for (uint32_t level = tree->height - 1;; level--) {
        struct csb_node *node = path->node[level], *right = NULL;
        uint32_t at = path->at[level];

        if (node->count < tree->capacity)
            open_gap(tree, node, at, entry);
        else
            right = split_and_put(tree, path, level, entry);
        if (at == 0)
            repeat_first_key(tree, path, level);
        if (!right)
            return;
        if (level == 0) {
            grow_root(tree, node, right);
            return;
        }
        entry = entry_of(tree, right);
        path->at[level - 1]++;
    }
}

static void unlink_leaf(kvault_csbtree *tree, struct csb_node *leaf)
{
    *(leaf->prev ? &leaf->prev->next : &tree->first) = leaf->next;
    *(leaf->next ? &leaf->next->prev : &tree->last) = leaf->prev;
}

/* Divide the entries of two neighbours evenly between them. */
static void share_evenly(const kvault_csbtree *tree, struct csb_node *left, struct csb_node *right)
{
    uint32_t total = left->count + right->count, keep = total / 2;

    if (left->count > keep) {
        uint32_t moved = left->count - keep;
        move_entries(tree, right, moved, right, 0, right->count);
        move_entries(tree, right, 0, left, keep, moved);
    } else {
        uint32_t moved = keep - left->count;
        move_entries(tree, left, left->count, right, 0, moved);
        move_entries(tree, right, 0, right, moved, right->count - moved);
    }
    left->count = keep;
    right->count = total - keep;
}

/* The node at `level` has too few entries: even it out with a neighbour, or join the
 * two. Returns whether they were joined; then path->at of the parent is the entry to take out. */
static bool refill(kvault_csbtree *tree, struct csb_path *path, uint32_t level)
{
    struct csb_node *parent = path->node[level - 1];
    uint32_t left_at = path->at[level - 1] > 0 ? path->at[level - 1] - 1 : 0;
    struct csb_node *left = csb_child(tree, parent, left_at), *right = csb_child(tree, parent, left_at + 1);
    bool joined = left->count + right->count <= tree->capacity;

    if (joined) {
        move_entries(tree, left, left->count, right, 0, right->count);
        left->count += right->count;
        if (level + 1 == tree->height)
            unlink_leaf(tree, right);
        give_back(tree, right);
    } else {
        share_evenly(tree, left, right);
        path->node[level] = right;
        path->at[level - 1] = left_at + 1;
        repeat_first_key(tree, path, level);
    }
    /* The left node may have been empty, and so may have a new first key. */
    path->node[level] = left;
    path->at[level - 1] = left_at;
    repeat_first_key(tree, path, level);
    path->at[level - 1] = left_at + 1;
    return joined;
}

/* The root is empty, or is an inner node with a single child. */
static void shrink_root(kvault_csbtree *tree)
{
    struct csb_node *root = tree->root;

    if (tree->height == 1 && root->count == 0) {
        tree->root = tree->first = tree->last = NULL;
        tree->height = 0;
        tree->common_size = 0;
        give_back(tree, root);
    } else if (tree->height > 1 && root->count == 1) {
        tree->root = csb_child(tree, root, 0);
        tree->height--;
        give_back(tree, root);
    }
}

struct csb_entry kvault__csb_cut(kvault_csbtree *tree, struct csb_path *path)
{
    uint32_t level = tree->height - 1;
    struct csb_entry entry = entry_at(tree, path->node[level], path->at[level]);

    tree->count--;
    tree->version++;
    for (;; level--) {
        struct csb_node *node = path->node[level];

        close_gap(tree, node, path->at[level]);
        if (path->at[level] == 0 && node->count > 0)
            repeat_first_key(tree, path, level);
        if (level == 0) {
            shrink_root(tree);
            break;
        }
        if (node->count >= csb_count_min(tree) || !refill(tree, path, level))
            break;
    }
    return entry;
}
