/* skiplist_look.c - looking up a group of keys in a SkipList, step by step in turns.
 *
 * A search is a chain of loads, each of which waits for memory. Several searches that take turns wait together: each
 * one asks for the node it will look at next, and comes back to it once the others have done the same.
 *
 * A search goes the way of kvault__skip_seek(), with two short cuts that asking alone allows: it ends at a
 * node of its key on any level, if the key is there; and it does not compare again, one level down,
 * with the node that stopped it one level up. */
#include "map/skiplist_node.h"

#include "base/banned.h"

struct walk {
    const struct skip_node *before; /* below the probe */
    const struct skip_node *node;   /* what to look at next, on `level`, asked for already; or NULL */
    const struct skip_node *above;  /* at or above the probe, found one level up */
    uint32_t level;
    bool done;
};

static inline void ask_for(const struct skip_node *node, uint32_t level)
{
    __builtin_prefetch(node);
    __builtin_prefetch(&node->next[level]);
}

static inline void go_to(struct walk *walk, const struct skip_node *node)
{
    walk->node = node;
    if (node)
        ask_for(node, walk->level);
}

static inline void go_down(struct walk *walk)
{
    do {
        if (walk->level == 0) {
            walk->done = true;
            return;
        }
        walk->level--;
        walk->node = skip_target(skip_load(walk->before, walk->level));
    } while (walk->node == walk->above || !walk->node);
    ask_for(walk->node, walk->level);
}

/* The sign of the order of a node and the probe; neither is compared by foreign code. */
static inline int order_of(const kvault_skiplist *list, const struct skip_node *node, const struct skip_probe *probe)
{
    if (node->rank != probe->rank)
        return node->rank < probe->rank ? -1 : 1;
    if (!skip_has_bytes(list) || kvault__rank_is_whole(node->rank))
        return 0;
    return kvault__bytes_order(skip_key_of(node)->bytes, probe->bytes);
}

/* Look at one node. True: *ret_value is the value of the key. */
static inline bool step(const kvault_skiplist *list, const struct skip_probe *probe, struct walk *walk,
                        void **ret_value)
{
    uintptr_t link = skip_load(walk->node, walk->level);
    int order = skip_is_marked(link) ? -1 : order_of(list, walk->node, probe);

    if (order == 0) {
        void *value = skip_value(walk->node);

        if (value != skip_gone(list)) {
            *ret_value = value;
            walk->done = true;
            return true;
        }
        /* It is being removed. The key may be in the list again, behind this node. */
        go_to(walk, skip_target(link));
        if (!walk->node)
            go_down(walk);
        return false;
    }
    if (order > 0) {
        walk->above = walk->node;
        go_down(walk);
        return false;
    }
    if (!skip_is_marked(link))
        walk->before = walk->node;
    go_to(walk, skip_target(link));
    if (!walk->node)
        go_down(walk);
    return false;
}

size_t kvault__skip_look(const kvault_skiplist *list, const struct skip_probe *probes, size_t count, void *absent,
                         void **ret_values)
{
    uint32_t top = atomic_load_explicit(&list->top, memory_order_acquire);
    struct walk walks[SKIP_GROUP];
    size_t left = count, found = 0;

    for (size_t i = 0; i < count; i++) {
        ret_values[i] = absent;
        walks[i] = (struct walk){ .before = list->head, .level = top };
        go_down(&walks[i]);
        left -= walks[i].done;
    }
    while (left > 0) {
        for (size_t i = 0; i < count; i++) {
            if (walks[i].done)
                continue;
            found += step(list, &probes[i], &walks[i], &ret_values[i]);
            left -= walks[i].done;
        }
    }
    return found;
}
