/* skiplist_iter.c - going through a SkipList in pages, with no pin in between.
 *
 * The position is the last key that was given, and each page seeks the key behind
 * it. Within a page the iterator follows level 0, also out of nodes that are removed
 * under it: their link was frozen when they were marked, and no key that is still there
 * lay between it and the node. */
#include "map/skiplist_node.h"

#include "base/alloc.h"
#include "base/buf.h"

#include "base/banned.h"

/* A key that the iterator keeps. */
struct kept_key {
    kvault_key key;
    kvault_buf bytes; /* where key.bytes lies, for KVAULT_KEY_BYTES */
    bool is_set;
};

struct kvault_skiplist_iter {
    kvault_skiplist *list;
    bool reverse;
    struct kept_key start, stop, last;
};

static kvault_status keep(const kvault_skiplist *list, struct kept_key *kept, kvault_key key, kvault_error *reterr)
{
    if (list->kind == KVAULT_KEY_BYTES) {
        kvault_buf bytes = KVAULT_BUF_INIT;
        kvault_status rc = kvault__buf_append(&bytes, key.bytes.data, key.bytes.size, reterr);

        if (rc < 0)
            return rc;
        kvault_buf_free(&kept->bytes);
        kept->bytes = bytes;
        key.bytes.data = bytes.data;
    }
    kept->key = key;
    kept->is_set = true;
    return KVAULT_OK;
}

kvault_status kvault_skiplist_iter_new(kvault_skiplist *list, const kvault_key *start, const kvault_key *stop,
                                       bool reverse, kvault_skiplist_iter **ret_iter, kvault_error *reterr)
{
    kvault_skiplist_iter *iter = kvault__alloc_zero(1, sizeof *iter);
    struct skip_probe probe; /* made only to learn whether the bounds are keys */
    kvault_status rc = KVAULT_OK;

    if (!iter)
        return kvault__fail_nomem(reterr, sizeof *iter);
    iter->list = list;
    iter->reverse = reverse;
    if (start) {
        TRY(kvault__skip_probe(list, *start, &probe, reterr));
        TRY(keep(list, &iter->start, *start, reterr));
    }
    if (stop) {
        TRY(kvault__skip_probe(list, *stop, &probe, reterr));
        TRY(keep(list, &iter->stop, *stop, reterr));
    }
    *ret_iter = iter;
    iter = NULL;
out:
    kvault_skiplist_iter_free(iter);
    return rc;
}

kvault_status kvault_skiplist_iter_resume(kvault_skiplist_iter *iter, kvault_key last, kvault_error *reterr)
{
    struct skip_probe probe; /* made only to learn whether it is a key */
    kvault_status rc = kvault__skip_probe(iter->list, last, &probe, reterr);

    return rc < 0 ? rc : keep(iter->list, &iter->last, last, reterr);
}

int kvault_skiplist_each(const kvault_skiplist *list, int (*visit)(void *context, kvault_key key, void *value),
                         void *context)
{
    void *value;
    int answer = 0;

    for (struct skip_node *node = kvault__skip_present(list, skip_target(skip_load(list->head, 0)), &value);
         node && answer == 0; node = kvault__skip_present(list, skip_target(skip_load(node, 0)), &value))
        answer = visit(context, kvault__skip_key(list, node), value);
    return answer;
}

void kvault_skiplist_iter_free(kvault_skiplist_iter *iter)
{
    if (!iter)
        return;
    kvault_buf_free(&iter->start.bytes);
    kvault_buf_free(&iter->stop.bytes);
    kvault_buf_free(&iter->last.bytes);
    kvault__free(iter);
}

/* The first entry of a page, or NULL. */
static kvault_status seek_next(const kvault_skiplist_iter *iter, struct skip_node **ret_node, void **ret_value,
                               kvault_error *reterr)
{
    const kvault_skiplist *list = iter->list;
    const struct kept_key *from = iter->last.is_set ? &iter->last : &iter->start;
    struct skip_probe probe;
    bool equal;
    kvault_status rc;

    if (!from->is_set) {
        *ret_node = kvault__skip_present(list, skip_target(skip_load(list->head, 0)), ret_value);
        return KVAULT_OK;
    }
    TRY(kvault__skip_probe(list, from->key, &probe, reterr));
    TRY(kvault__skip_seek(list, &probe, NULL, ret_node, ret_value, &equal, reterr));
    if (equal && from == &iter->last)
        *ret_node = kvault__skip_present(list, skip_target(skip_load(*ret_node, 0)), ret_value);
out:
    return rc;
}

/* The last entry below the bound or below `above`, a node already given in this page; or NULL. */
static kvault_status seek_prev(const kvault_skiplist_iter *iter, const struct skip_node *above,
                               struct skip_node **ret_node, void **ret_value, kvault_error *reterr)
{
    const kvault_skiplist *list = iter->list;
    const struct kept_key *from = iter->last.is_set ? &iter->last : &iter->stop;
    struct skip_probe probe;
    kvault_status rc;

    if (above)
        probe = kvault__skip_probe_of(list, above);
    else if (from->is_set)
        TRY(kvault__skip_probe(list, from->key, &probe, reterr));
    rc = kvault__skip_below(list, above || from->is_set ? &probe : NULL, ret_node, ret_value, reterr);
out:
    return rc;
}

/* Whether a node is behind the far bound, in the direction of the iterator. */
static kvault_status is_beyond(const kvault_skiplist_iter *iter, const struct skip_node *node, bool *ret_beyond,
                               kvault_error *reterr)
{
    const struct kept_key *bound = iter->reverse ? &iter->start : &iter->stop;
    struct skip_probe probe;
    int order = 0;
    kvault_status rc = KVAULT_OK;

    *ret_beyond = false;
    if (!bound->is_set)
        return KVAULT_OK;
    TRY(kvault__skip_probe(iter->list, bound->key, &probe, reterr));
    TRY(kvault__skip_order(iter->list, node, &probe, &order, reterr));
    *ret_beyond = iter->reverse ? order < 0 : order >= 0;
out:
    return rc;
}

static kvault_status step(const kvault_skiplist_iter *iter, struct skip_node **node, void **value,
                          kvault_error *reterr)
{
    if (iter->reverse)
        return seek_prev(iter, *node, node, value, reterr);
    *node = kvault__skip_present(iter->list, skip_target(skip_load(*node, 0)), value);
    return KVAULT_OK;
}

kvault_status kvault_skiplist_iter_fill(kvault_skiplist_iter *iter, kvault_skiplist_pin *pin, size_t capacity,
                                        kvault_key *ret_keys, void **ret_values, size_t *ret_count,
                                        kvault_error *reterr)
{
    struct skip_node *node = NULL, *given = NULL;
    void *value = NULL;
    size_t filled = 0;
    kvault_status rc;

    if (pin->list != iter->list)
        return kvault__fail(reterr, KVAULT_E_INVALID, "the pin and the iterator belong to different lists");
    if (iter->reverse)
        TRY(seek_prev(iter, NULL, &node, &value, reterr));
    else
        TRY(seek_next(iter, &node, &value, reterr));
    while (node && filled < capacity) {
        bool beyond;

        TRY(is_beyond(iter, node, &beyond, reterr));
        if (beyond)
            break;
        if (ret_keys)
            ret_keys[filled] = kvault__skip_key(iter->list, node);
        if (ret_values)
            ret_values[filled] = value;
        filled++;
        given = node;
        if (filled < capacity)
            TRY(step(iter, &node, &value, reterr));
    }
    if (given)
        TRY(keep(iter->list, &iter->last, kvault__skip_key(iter->list, given), reterr));
    *ret_count = filled;
    rc = KVAULT_OK;
out:
    return rc;
}
