/* skiplist_verify.c - the invariants of skiplist_node.h, checked while nobody is inside. */
#include "map/skiplist_node.h"

#include "base/banned.h"

static kvault_status broken(const char *what, uint32_t level, int64_t entry, kvault_error *reterr)
{
    return kvault__fail(reterr, KVAULT_E_CORRUPT, "the list is broken: %s (level %u, entry %lld)", what, level,
                        (long long)entry);
}

static kvault_status check_keys(const kvault_skiplist *list, int64_t *ret_count, kvault_error *reterr)
{
    const struct skip_node *last = NULL;
    int64_t count = 0;

    for (const struct skip_node *node = skip_target(skip_load(list->head, 0)); node; count++) {
        uintptr_t link = skip_load(node, 0);
        int order = -1;

        if (skip_is_marked(link) || skip_value(node) == skip_gone(list))
            return broken("a removed node is linked", 0, count, reterr);
        if (node->height < 1 || node->height > atomic_load_explicit(&list->top, memory_order_acquire))
            return broken("a tower is higher than the list", 0, count, reterr);
        if (last) {
            struct skip_probe probe = kvault__skip_probe_of(list, node);
            kvault_status rc = kvault__skip_order(list, last, &probe, &order, reterr);
            if (rc < 0)
                return rc;
        }
        if (order >= 0)
            return broken("a key is not above the one before it", 0, count, reterr);
        last = node;
        node = skip_target(link);
    }
    *ret_count = count;
    return KVAULT_OK;
}

/* Every node of a level is found, in order, on the level below. */
static kvault_status check_level(const kvault_skiplist *list, uint32_t level, kvault_error *reterr)
{
    const struct skip_node *below = list->head;
    int64_t count = 0;

    for (const struct skip_node *node = skip_target(skip_load(list->head, level)); node; count++) {
        uintptr_t link = skip_load(node, level);

        if (skip_is_marked(link))
            return broken("a removed node is linked", level, count, reterr);
        if (level >= node->height)
            return broken("a node is linked above its tower", level, count, reterr);
        while (below && below != node)
            below = skip_target(skip_load(below, level - 1));
        if (!below)
            return broken("a node is not on the level below", level, count, reterr);
        node = skip_target(link);
    }
    return KVAULT_OK;
}

kvault_status kvault_skiplist_verify(kvault_skiplist *list, kvault_error *reterr)
{
    int64_t count = 0;
    kvault_status rc = check_keys(list, &count, reterr);

    if (rc < 0)
        return rc;
    if (count != kvault__epoch_count(&list->epoch))
        return broken("the counts do not add up", 0, count, reterr);
    for (uint32_t level = 1; level < SKIP_HEIGHT_MAX; level++) {
        if (level >= atomic_load_explicit(&list->top, memory_order_acquire) && skip_load(list->head, level))
            return broken("a level above the top is in use", level, 0, reterr);
        rc = check_level(list, level, reterr);
        if (rc < 0)
            return rc;
    }
    return KVAULT_OK;
}
