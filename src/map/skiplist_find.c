/* skiplist_find.c - looking into a SkipList without changing it: searches, and the questions they answer.
 *
 * A search goes right while keys are below the probe, then down. It steps over a
 * marked node and never stands on one: a node that was not marked on a level when its link was
 * read was in the list at that instant, so what hangs behind it was the list of that instant, or a
 * later one. It never starts again, so it waits for nobody. */
#include "map/skiplist_node.h"

#include "base/banned.h"

kvault_status kvault__skip_probe(const kvault_skiplist *list, kvault_key key, struct skip_probe *ret_probe,
                                 kvault_error *reterr)
{
    struct skip_probe probe = { 0 };

    switch (list->kind) {
    case KVAULT_KEY_I64:
        probe.rank = key.i64;
        break;
    case KVAULT_KEY_F64:
        if (key.f64 != key.f64)
            return kvault__fail(reterr, KVAULT_E_INVALID, "NaN cannot be a key: it has no place in an order");
        probe.rank = kvault__double_rank(key.f64);
        break;
    case KVAULT_KEY_BYTES:
        probe.bytes = key.bytes;
        probe.rank = kvault__bytes_rank(key.bytes, 0);
        break;
    case KVAULT_KEY_OBJECT_BYTES:
        probe.object = key.object;
        probe.bytes = list->hooks.bytes(list->hooks.context, key.object);
        probe.rank = kvault__bytes_rank(probe.bytes, 0);
        break;
    case KVAULT_KEY_RANKED:
        probe.object = key.object;
        probe.rank = list->hooks.rank(list->hooks.context, key.object);
        break;
    case KVAULT_KEY_OBJECT:
        probe.object = key.object;
        break;
    }
    *ret_probe = probe;
    return KVAULT_OK;
}

static bool has_key(const kvault_skiplist *list)
{
    return list->kind != KVAULT_KEY_I64 && list->kind != KVAULT_KEY_F64;
}

struct skip_probe kvault__skip_probe_of(const kvault_skiplist *list, const struct skip_node *node)
{
    struct skip_probe probe = { .rank = node->rank };

    if (has_key(list)) {
        probe.bytes = skip_key_of(node)->bytes;
        probe.object = skip_key_of(node)->object;
    }
    return probe;
}

kvault_key kvault__skip_key(const kvault_skiplist *list, const struct skip_node *node)
{
    kvault_key key = { 0 };

    switch (list->kind) {
    case KVAULT_KEY_I64:
        key.i64 = node->rank;
        break;
    case KVAULT_KEY_F64:
        key.f64 = kvault__rank_double(node->rank);
        break;
    case KVAULT_KEY_BYTES:
        key.bytes = skip_key_of(node)->bytes;
        break;
    case KVAULT_KEY_OBJECT_BYTES:
    case KVAULT_KEY_OBJECT:
    case KVAULT_KEY_RANKED:
        key.object = skip_key_of(node)->object;
        break;
    }
    return key;
}

kvault_status kvault__skip_order(const kvault_skiplist *list, const struct skip_node *node,
                                 const struct skip_probe *probe, int *ret_order, kvault_error *reterr)
{
    if (probe->order)
        return probe->order(probe->context, kvault__skip_key(list, node), ret_order, reterr);
    *ret_order = (node->rank > probe->rank) - (node->rank < probe->rank); /* 0 for KVAULT_KEY_OBJECT */
    if (*ret_order == 0 && has_key(list)) {
        const struct skip_key *key = skip_key_of(node);

        if (!skip_has_bytes(list))
            return list->hooks.compare(list->hooks.context, key->object, probe->object, ret_order, reterr);
        if (!kvault__rank_is_whole(node->rank))
            *ret_order = kvault__bytes_order(key->bytes, probe->bytes);
    }
    return KVAULT_OK;
}

struct skip_node *kvault__skip_present(const kvault_skiplist *list, struct skip_node *node, void **ret_value)
{
    void *value;

    while (node && (value = skip_value(node)) == skip_gone(list))
        node = skip_target(skip_load(node, 0));
    if (node)
        *ret_value = value;
    return node;
}

/* Go right on a level as long as keys are below the probe. *ret_equal tells of the last one looked at. */
static kvault_status go_right(const kvault_skiplist *list, const struct skip_probe *probe, uint32_t level,
                              struct skip_node **before, bool *ret_equal, kvault_error *reterr)
{
    struct skip_node *node = skip_target(skip_load(*before, level));

    *ret_equal = false;
    while (node) {
        uintptr_t link = skip_load(node, level);
        int order = -1;

        if (!skip_is_marked(link)) {
            if (probe) {
                kvault_status rc = kvault__skip_order(list, node, probe, &order, reterr);
                if (rc < 0)
                    return rc;
            }
            if (order >= 0) {
                *ret_equal = order == 0;
                return KVAULT_OK;
            }
            *before = node;
        }
        node = skip_target(link);
    }
    return KVAULT_OK;
}

kvault_status kvault__skip_seek(const kvault_skiplist *list, const struct skip_probe *probe,
                                struct skip_node **ret_before, struct skip_node **ret_at, void **ret_value,
                                bool *ret_equal, kvault_error *reterr)
{
    struct skip_node *before = list->head, *at;
    int order = 1;

    for (uint32_t level = atomic_load_explicit(&list->top, memory_order_acquire); level-- > 0;) {
        bool equal;
        kvault_status rc = go_right(list, probe, level, &before, &equal, reterr);
        if (rc < 0)
            return rc;
    }
    at = kvault__skip_present(list, skip_target(skip_load(before, 0)), ret_value);
    /* Nodes that came between meanwhile may be below the probe. */
    while (at && probe) {
        kvault_status rc = kvault__skip_order(list, at, probe, &order, reterr);
        if (rc < 0)
            return rc;
        if (order >= 0)
            break;
        before = at;
        at = kvault__skip_present(list, skip_target(skip_load(at, 0)), ret_value);
    }
    if (ret_before)
        *ret_before = before;
    *ret_at = at;
    *ret_equal = at && probe && order == 0;
    return KVAULT_OK;
}

kvault_status kvault__skip_below(const kvault_skiplist *list, const struct skip_probe *probe,
                                 struct skip_node **ret_node, void **ret_value, kvault_error *reterr)
{
    struct skip_probe from;
    struct skip_node *before, *at;
    bool equal;

    for (;;) {
        void *unused;
        kvault_status rc = kvault__skip_seek(list, probe, &before, &at, &unused, &equal, reterr);

        if (rc < 0)
            return rc;
        if (before == list->head) {
            *ret_node = NULL;
            return KVAULT_OK;
        }
        *ret_value = skip_value(before);
        if (*ret_value != skip_gone(list)) {
            *ret_node = before;
            return KVAULT_OK;
        }
        /* It is being removed: look below it. Its key stays readable while we are pinned. */
        from = kvault__skip_probe_of(list, before);
        probe = &from;
    }
}

/* ---- asking ---- */

static kvault_status get_by_order(kvault_skiplist_pin *pin, const struct skip_probe *probe, void **ret_value,
                                  kvault_error *reterr)
{
    struct skip_node *node;
    bool equal = false;
    void *value;
    kvault_status rc = kvault__skip_seek(pin->list, probe, NULL, &node, &value, &equal, reterr);

    if (rc < 0)
        return rc;
    if (!equal)
        return KVAULT_NOT_FOUND;
    *ret_value = value;
    return KVAULT_OK;
}

static bool is_compared(const kvault_skiplist *list)
{
    return list->kind == KVAULT_KEY_OBJECT || list->kind == KVAULT_KEY_RANKED;
}

kvault_status kvault_skiplist_get(kvault_skiplist_pin *pin, kvault_key key, void **ret_value, kvault_error *reterr)
{
    struct skip_probe probe;
    void *value;
    kvault_status rc = kvault__skip_probe(pin->list, key, &probe, reterr);

    if (rc < 0)
        return rc;
    if (is_compared(pin->list))
        return get_by_order(pin, &probe, ret_value, reterr);
    if (kvault__skip_look(pin->list, &probe, 1, NULL, &value) == 0)
        return KVAULT_NOT_FOUND;
    *ret_value = value;
    return KVAULT_OK;
}

/* One after the other: foreign code compares them, or nothing is to be waited for. */
static kvault_status get_each(kvault_skiplist_pin *pin, const kvault_key *keys, size_t count, void *absent,
                              void **ret_values, kvault_error *reterr)
{
    for (size_t i = 0; i < count; i++) {
        kvault_status rc;

        ret_values[i] = absent;
        rc = kvault_skiplist_get(pin, keys[i], &ret_values[i], reterr);
        if (rc < 0)
            return rc;
    }
    return KVAULT_OK;
}

kvault_status kvault_skiplist_get_many(kvault_skiplist_pin *pin, const kvault_key *keys, size_t count, void *absent,
                                       void **ret_values, kvault_error *reterr)
{
    struct skip_probe probes[SKIP_GROUP];
    kvault_status rc = KVAULT_OK;

    if (is_compared(pin->list) || kvault_skiplist_count(pin->list) < SKIP_CACHED)
        return get_each(pin, keys, count, absent, ret_values, reterr);
    for (size_t done = 0; done < count;) {
        size_t group = count - done < SKIP_GROUP ? count - done : SKIP_GROUP;

        for (size_t i = 0; i < group; i++)
            TRY(kvault__skip_probe(pin->list, keys[done + i], &probes[i], reterr));
        (void)kvault__skip_look(pin->list, probes, group, absent, ret_values + done);
        done += group;
    }
out:
    return rc;
}

static kvault_status entry_out(const kvault_skiplist *list, const struct skip_node *node, void *value,
                               kvault_key *ret_key, void **ret_value)
{
    if (!node)
        return KVAULT_NOT_FOUND;
    *ret_key = kvault__skip_key(list, node);
    *ret_value = value;
    return KVAULT_OK;
}

kvault_status kvault_skiplist_first(kvault_skiplist_pin *pin, kvault_key *ret_key, void **ret_value,
                                    kvault_error *reterr)
{
    void *value = NULL;
    const struct skip_node *node =
        kvault__skip_present(pin->list, skip_target(skip_load(pin->list->head, 0)), &value);

    (void)reterr; /* nothing is compared: the parameter is there to be like its sisters */
    return entry_out(pin->list, node, value, ret_key, ret_value);
}

kvault_status kvault_skiplist_last(kvault_skiplist_pin *pin, kvault_key *ret_key, void **ret_value,
                                   kvault_error *reterr)
{
    struct skip_node *node = NULL;
    void *value = NULL;
    kvault_status rc = kvault__skip_below(pin->list, NULL, &node, &value, reterr);

    return rc < 0 ? rc : entry_out(pin->list, node, value, ret_key, ret_value);
}

kvault_status kvault_skiplist_floor(kvault_skiplist_pin *pin, kvault_key key, kvault_key *ret_key, void **ret_value,
                                    kvault_error *reterr)
{
    struct skip_node *node = NULL;
    struct skip_probe probe;
    void *value = NULL;
    bool equal;
    kvault_status rc;

    TRY(kvault__skip_probe(pin->list, key, &probe, reterr));
    TRY(kvault__skip_seek(pin->list, &probe, NULL, &node, &value, &equal, reterr));
    if (!equal)
        TRY(kvault__skip_below(pin->list, &probe, &node, &value, reterr));
    rc = entry_out(pin->list, node, value, ret_key, ret_value);
out:
    return rc;
}

kvault_status kvault_skiplist_ceiling(kvault_skiplist_pin *pin, kvault_key key, kvault_key *ret_key,
                                      void **ret_value, kvault_error *reterr)
{
    struct skip_node *node = NULL;
    struct skip_probe probe;
    void *value = NULL;
    bool equal;
    kvault_status rc;

    TRY(kvault__skip_probe(pin->list, key, &probe, reterr));
    TRY(kvault__skip_seek(pin->list, &probe, NULL, &node, &value, &equal, reterr));
    rc = entry_out(pin->list, node, value, ret_key, ret_value);
out:
    return rc;
}

kvault_status kvault_skiplist_ceiling_by(kvault_skiplist_pin *pin, kvault_map_order order, void *context,
                                         kvault_key *ret_key, void **ret_value, bool *ret_equal, kvault_error *reterr)
{
    struct skip_probe probe = { .order = order, .context = context };
    struct skip_node *node = NULL;
    void *value = NULL;
    bool equal = false;
    kvault_status rc = kvault__skip_seek(pin->list, &probe, NULL, &node, &value, &equal, reterr);

    if (rc < 0)
        return rc;
    rc = entry_out(pin->list, node, value, ret_key, ret_value);
    if (rc == KVAULT_OK)
        *ret_equal = equal;
    return rc;
}
