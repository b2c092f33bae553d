/* skiplist.c - an ordered map for many threads: the changes of a SkipList.
 *
 * The list is the lock-free one of Herlihy and Shavit (The Art of Multiprocessor
 * Programming, chapter 14, after Fraser and Harris), with three departures:
 *   - A key is there as long as its node's `value` is not `gone`. Removal exchanges the value; who
 *     gets the old one has removed the key. So setting a value and removing it cannot both
 *     succeed on the same one. Only then are the links marked, from the top down, and the node unlinked.
 *   - Memory is freed (epoch.h). A node counts its owners, the thread that inserts it and the one
 *     that removes it. Who is done last passes once more down to the key, which unlinks the
 *     node on every level, and retires it. Before that an inserter might still link it somewhere.
 *   - A comparator may fail. Before the node is linked on level 0 that ends the insertion; after it,
 *     the tower stays lower than it was to be, which costs time and breaks nothing.
 *
 * What a reader may see. All loads and exchanges of links and values are seq_cst. epoch.c
 * needs that order for freeing; and an exchange that publishes a node releases what was
 * written into it before, for every load that finds the node. `top` is raised with
 * release before a higher tower is linked, and read with acquire: who can see a node can see its level in use.
 *
 * Why a pass down unlinks a node N for good. find() stands only on nodes that were not marked on
 * that level when their link was read, so they were linked there; when it finds the link of its node
 * marked on the way down it starts again. With both owners done, nobody links N any
 * more. On each level of N, the nodes between the last key below N and N itself are
 * marked or have an equal key, and N precedes an unmarked equal one: that was inserted only once
 * N was off level 0, by a find() that took N off each level or came before N was
 * linked there, and in that case N was linked in front of it.
 *
 * Not promised: an instant common to all entries of a range or a batch; and that memory is
 * freed while a thread stays pinned. */
#include "map/skiplist_node.h"

#include <assert.h>

#include "base/alloc.h"
#include "base/checked.h"

#include "base/banned.h"

enum { ITEM_NODE, ITEM_VALUE };
static_assert(ITEM_VALUE < EPOCH_KINDS, "the domain tells both apart");

/* A value that was replaced. */
struct old_value {
    struct epoch_item item; /* first */
    void *value;
};

/* Around a key, on each level: the last node below it, and the first at or above it. */
struct place {
    struct skip_node *before[SKIP_HEIGHT_MAX], *after[SKIP_HEIGHT_MAX];
};

/* ---- a list's life ---- */

static void release_value(const kvault_skiplist *list, void *value)
{
    if (list->hooks.release_value)
        list->hooks.release_value(list->hooks.context, value);
}

static void release_node(const kvault_skiplist *list, struct skip_node *node, void *value)
{
    bool object = skip_has_objects(list);
    void *key = object ? skip_key_of(node)->object : NULL;

    kvault__free(node);
    if (object && list->hooks.release_key)
        list->hooks.release_key(list->hooks.context, key);
    release_value(list, value);
}

static void free_item(void *context, int kind, struct epoch_item *item)
{
    const kvault_skiplist *list = context;

    if (kind == ITEM_NODE) {
        struct skip_node *node = (struct skip_node *)item;
        release_node(list, node, node->removed);
    } else {
        struct old_value *old = (struct old_value *)item;
        void *value = old->value;
        kvault__free(old);
        release_value(list, value);
    }
}

static struct skip_node *new_node(uint32_t height, size_t more_bytes)
{
    size_t size = sizeof(struct skip_node) + height * sizeof(_Atomic uintptr_t);
    struct skip_node *node = kvault__add(size, more_bytes, &size) ? kvault__alloc(size) : NULL;

    if (!node)
        return NULL;
    node->item.next = NULL;
    node->rank = 0;
    node->removed = NULL;
    node->height = height;
    atomic_init(&node->value, NULL);
    atomic_init(&node->owners, 2);
    for (uint32_t level = 0; level < height; level++)
        atomic_init(&node->next[level], 0);
    return node;
}

kvault_status kvault_skiplist_new(kvault_key_kind kind, const kvault_map_hooks *hooks, kvault_skiplist **ret_list,
                                  kvault_error *reterr)
{
    kvault_skiplist *list = NULL;
    kvault_status rc;

    if ((kind == KVAULT_KEY_OBJECT || kind == KVAULT_KEY_RANKED) && (!hooks || !hooks->compare))
        return kvault__fail(reterr, KVAULT_E_INVALID, "keys that are objects need the hook compare");
    if (kind == KVAULT_KEY_RANKED && !hooks->rank)
        return kvault__fail(reterr, KVAULT_E_INVALID, "keys that are objects with ranks need the hook rank");
    if (kind == KVAULT_KEY_OBJECT_BYTES && (!hooks || !hooks->bytes))
        return kvault__fail(reterr, KVAULT_E_INVALID, "keys that are objects with bytes need the hook bytes");
    list = kvault__alloc_aligned(_Alignof(kvault_skiplist), sizeof *list);
    if (!list)
        return kvault__fail_nomem(reterr, sizeof *list);
    memset(list, 0, sizeof *list);
    list->kind = kind;
    if (hooks)
        list->hooks = *hooks;
    atomic_init(&list->top, 1);
    list->head = new_node(SKIP_HEIGHT_MAX, 0);
    rc = list->head ? kvault__epoch_init(&list->epoch, free_item, list, reterr)
                    : kvault__fail_nomem(reterr, sizeof *list->head);
    if (rc < 0) {
        kvault__free(list->head);
        kvault__free(list);
        return rc;
    }
    *ret_list = list;
    return KVAULT_OK;
}

void kvault_skiplist_free(kvault_skiplist *list)
{
    struct skip_node *node;

    if (!list)
        return;
    for (node = skip_target(skip_load(list->head, 0)); node;) {
        struct skip_node *next = skip_target(skip_load(node, 0));
        void *value = skip_value(node);
        release_node(list, node, value == skip_gone(list) ? node->removed : value);
        node = next;
    }
    kvault__epoch_release(&list->epoch);
    kvault__free(list->head);
    kvault__free(list);
}

void kvault_skiplist_after_fork(kvault_skiplist *list)
{
    kvault__epoch_reset(&list->epoch);
}

kvault_status kvault_skiplist_enter(kvault_skiplist *list, kvault_skiplist_pin *ret_pin, kvault_error *reterr)
{
    struct epoch_record *record = NULL;
    kvault_status rc = kvault__epoch_enter(&list->epoch, &record, reterr);

    if (rc < 0)
        return rc;
    ret_pin->list = list;
    ret_pin->record = record;
    return KVAULT_OK;
}

void kvault_skiplist_leave(kvault_skiplist_pin *pin)
{
    struct epoch_record *record = pin->record;

    pin->record = NULL;
    kvault__epoch_leave(&pin->list->epoch, record);
}

void kvault_skiplist_leave_alone(kvault_skiplist_pin *pin)
{
    struct epoch_record *record = pin->record;

    pin->record = NULL;
    kvault__epoch_leave_alone(&pin->list->epoch, record);
}

bool kvault_skiplist_settle(kvault_skiplist *list)
{
    return kvault__epoch_settle(&list->epoch);
}

size_t kvault_skiplist_count(const kvault_skiplist *list)
{
    int64_t count = kvault__epoch_count(&list->epoch);
    return count > 0 ? (size_t)count : 0;
}

/* Relaxed: the record is ours, others only add it up. */
static void add_to_count(kvault_skiplist_pin *pin, int64_t change)
{
    struct epoch_record *record = pin->record;
    int64_t count = atomic_load_explicit(&record->count, memory_order_relaxed);
    atomic_store_explicit(&record->count, count + change, memory_order_relaxed);
}

static void retire(kvault_skiplist_pin *pin, int kind, struct epoch_item *item)
{
    kvault__epoch_retire(&pin->list->epoch, pin->record, kind, item);
}

/* ---- finding a place, and unlinking what is marked on the way ---- */

static bool exchange_link(struct skip_node *node, uint32_t level, struct skip_node *from, struct skip_node *to)
{
    uintptr_t expected = (uintptr_t)from;
    return atomic_compare_exchange_strong_explicit(&node->next[level], &expected, (uintptr_t)to, memory_order_seq_cst,
                                                   memory_order_seq_cst);
}

/* Go right on a level from *before, unlinking marked nodes. KVAULT_END: start again from the head. */
static kvault_status pass_level(const kvault_skiplist *list, const struct skip_probe *probe, uint32_t level,
                                struct skip_node **before, struct skip_node **ret_after, bool *ret_equal,
                                kvault_error *reterr)
{
    uintptr_t link = skip_load(*before, level);
    struct skip_node *node = skip_target(link);

    *ret_equal = false;
    if (skip_is_marked(link))
        return KVAULT_END;
    while (node) {
        int order = 0;
        kvault_status rc;

        link = skip_load(node, level);
        if (skip_is_marked(link)) {
            if (!exchange_link(*before, level, node, skip_target(link)))
                return KVAULT_END;
            node = skip_target(link);
            continue;
        }
        rc = kvault__skip_order(list, node, probe, &order, reterr);
        if (rc < 0)
            return rc;
        if (order >= 0) {
            *ret_equal = order == 0;
            break;
        }
        *before = node;
        node = skip_target(link);
    }
    *ret_after = node;
    return KVAULT_OK;
}

/* Fill `place` on all levels in use; *ret_found: after[0] has the very key. */
static kvault_status find(const kvault_skiplist *list, const struct skip_probe *probe, struct place *place,
                          bool *ret_found, kvault_error *reterr)
{
    uint32_t top, level;
    struct skip_node *before;

again:
    before = list->head;
    top = atomic_load_explicit(&list->top, memory_order_acquire);
    for (level = top; level-- > 0;) {
        kvault_status rc = pass_level(list, probe, level, &before, &place->after[level], ret_found, reterr);
        if (rc == KVAULT_END)
            goto again;
        if (rc < 0)
            return rc;
        place->before[level] = before;
    }
    return KVAULT_OK;
}

/* Unlink every marked node, without comparing keys: O(n), for when a comparator failed. */
static void sweep(const kvault_skiplist *list)
{
    for (uint32_t level = atomic_load_explicit(&list->top, memory_order_acquire); level-- > 0;) {
        struct skip_node *before = list->head;

        while (before) {
            uintptr_t here = skip_load(before, level);
            struct skip_node *node = skip_target(here);
            uintptr_t link = node ? skip_load(node, level) : 0;

            if (!skip_is_marked(here) && !skip_is_marked(link))
                before = node;
            else if (skip_is_marked(here) || !exchange_link(before, level, node, skip_target(link)))
                before = list->head; /* `before` was marked, or another thread was here */
        }
    }
}

/* One of the owners of a node is done; the last one retires it. */
static void disown(kvault_skiplist_pin *pin, struct skip_node *node, const struct skip_probe *probe)
{
    struct place place;
    bool found;

    /* Release what we wrote to whoever is last; acquire what the other wrote if that is us. */
    if (atomic_fetch_sub_explicit(&node->owners, 1, memory_order_acq_rel) > 1)
        return;
    if (find(pin->list, probe, &place, &found, NULL) < 0)
        sweep(pin->list);
    retire(pin, ITEM_NODE, &node->item);
}

/* ---- insertion ---- */

/* 1 with probability 1/2, 2 with 1/4, ... (xorshift, Marsaglia 2003). */
static uint32_t random_height(struct epoch_record *record)
{
    uint64_t x = record->random;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    record->random = x;
    return 1 + (uint32_t)__builtin_ctzll((x >> 32) | (uint64_t)1 << (SKIP_HEIGHT_MAX - 1));
}

static void raise_top(kvault_skiplist *list, uint32_t height)
{
    uint32_t top = atomic_load_explicit(&list->top, memory_order_acquire);

    while (top < height && !atomic_compare_exchange_weak_explicit(&list->top, &top, height, memory_order_acq_rel,
                                                                  memory_order_acquire))
        ;
}

static kvault_status make_node(kvault_skiplist_pin *pin, const struct skip_probe *probe, void *value, uint32_t height,
                               struct skip_node **ret_node, kvault_error *reterr)
{
    const kvault_skiplist *list = pin->list;
    size_t bytes = list->kind == KVAULT_KEY_BYTES ? probe->bytes.size : 0, more = 0;
    struct skip_node *node = NULL;

    if (list->kind != KVAULT_KEY_I64 && list->kind != KVAULT_KEY_F64)
        more = sizeof(struct skip_key);
    if (kvault__add(more, bytes, &more))
        node = new_node(height, more);
    if (!node)
        return kvault__fail_nomem(reterr, more);
    node->rank = probe->rank;
    atomic_init(&node->value, value);
    if (more > 0) {
        struct skip_key *key = skip_key_of(node);
        key->object = probe->object;
        key->bytes = probe->bytes;
        if (list->kind == KVAULT_KEY_BYTES) {
            if (bytes > 0)
                memcpy(key + 1, probe->bytes.data, bytes);
            key->bytes.data = key + 1;
        }
    }
    *ret_node = node;
    return KVAULT_OK;
}

/* Mark every link of a node whose value is gone; the last one is that of level 0. */
static void mark(struct skip_node *node)
{
    for (uint32_t level = node->height; level-- > 0;)
        (void)atomic_fetch_or_explicit(&node->next[level], 1, memory_order_seq_cst);
}

/* Link a node on one level above 0. False: no more levels, it is being removed or cannot be compared. */
static bool link_level(kvault_skiplist_pin *pin, struct skip_node *node, const struct skip_probe *probe,
                       uint32_t level, struct place *place)
{
    for (;;) {
        uintptr_t link = skip_load(node, level);
        struct skip_node *after = place->after[level];
        bool found;

        if (skip_is_marked(link))
            return false;
        if (skip_target(link) != after && !exchange_link(node, level, skip_target(link), after))
            return false; /* only a mark can come between */
        if (exchange_link(place->before[level], level, after, node))
            return true;
        if (find(pin->list, probe, place, &found, NULL) < 0 || place->after[0] != node)
            return false;
    }
}

static void link_tower(kvault_skiplist_pin *pin, struct skip_node *node, const struct skip_probe *probe,
                       struct place *place)
{
    for (uint32_t level = 1; level < node->height; level++)
        if (!link_level(pin, node, probe, level, place))
            break;
    add_to_count(pin, 1);
    disown(pin, node, probe);
}

/* Replace the value of a node that has the key. KVAULT_NOT_FOUND: the key was removed meanwhile. */
static kvault_status replace_value(kvault_skiplist_pin *pin, struct skip_node *node, void *value, void **ret_old,
                                   kvault_error *reterr)
{
    struct old_value *old = kvault__alloc(sizeof *old);
    void *now = skip_value(node);

    if (!old)
        return kvault__fail_nomem(reterr, sizeof *old);
    do {
        if (now == skip_gone(pin->list)) {
            kvault__free(old);
            return KVAULT_NOT_FOUND;
        }
    } while (!atomic_compare_exchange_weak_explicit(&node->value, &now, value, memory_order_seq_cst,
                                                    memory_order_seq_cst));
    old->value = now;
    retire(pin, ITEM_VALUE, &old->item);
    if (ret_old)
        *ret_old = now;
    return KVAULT_END;
}

/* The key is in the list, at `node`. KVAULT_NOT_FOUND: no longer. */
static kvault_status meet(kvault_skiplist_pin *pin, struct skip_node *node, void *value, bool replace,
                          void **ret_value, kvault_error *reterr)
{
    void *now = skip_value(node);

    if (now == skip_gone(pin->list))
        return KVAULT_NOT_FOUND;
    if (replace)
        return replace_value(pin, node, value, ret_value, reterr);
    if (ret_value)
        *ret_value = now;
    return KVAULT_END;
}

static kvault_status put(kvault_skiplist_pin *pin, kvault_key key, void *value, bool replace, void **ret_value,
                         kvault_error *reterr)
{
    kvault_skiplist *list = pin->list;
    struct skip_node *node = NULL;
    struct skip_probe probe;
    struct place place;
    uint32_t height = random_height(pin->record);
    bool found;
    kvault_status rc;

    raise_top(list, height);
    TRY(kvault__skip_probe(list, key, &probe, reterr));
    for (;;) {
        TRY(find(list, &probe, &place, &found, reterr));
        if (found) {
            TRY(meet(pin, place.after[0], value, replace, ret_value, reterr));
            if (rc != KVAULT_NOT_FOUND)
                break;
            mark(place.after[0]); /* help, so that the next pass unlinks it */
            continue;
        }
        if (!node)
            TRY(make_node(pin, &probe, value, height, &node, reterr));
        for (uint32_t level = 0; level < height; level++)
            /* Relaxed: nobody sees the node yet. */
            atomic_store_explicit(&node->next[level], (uintptr_t)place.after[level], memory_order_relaxed);
        if (exchange_link(place.before[0], 0, place.after[0], node)) {
            link_tower(pin, node, &probe, &place);
            return KVAULT_OK;
        }
    }
out:
    kvault__free(node);
    return rc;
}

kvault_status kvault_skiplist_insert(kvault_skiplist_pin *pin, kvault_key key, void *value, void **ret_value,
                                     kvault_error *reterr)
{
    return put(pin, key, value, false, ret_value, reterr);
}

kvault_status kvault_skiplist_set(kvault_skiplist_pin *pin, kvault_key key, void *value, void **ret_old,
                                  kvault_error *reterr)
{
    return put(pin, key, value, true, ret_old, reterr);
}

/* ---- removal ---- */

/* Remove a node's key, unless another thread does: KVAULT_NOT_FOUND. `value` is what the node had. */
static kvault_status take_out(kvault_skiplist_pin *pin, struct skip_node *node, const struct skip_probe *probe,
                              void *value, void **ret_value)
{
    void *gone = skip_gone(pin->list);

    while (!atomic_compare_exchange_weak_explicit(&node->value, &value, gone, memory_order_seq_cst,
                                                  memory_order_seq_cst))
        if (value == gone)
            return KVAULT_NOT_FOUND;
    node->removed = value;
    mark(node);
    add_to_count(pin, -1);
    disown(pin, node, probe);
    if (ret_value)
        *ret_value = value;
    return KVAULT_OK;
}

kvault_status kvault_skiplist_remove(kvault_skiplist_pin *pin, kvault_key key, void **ret_value, kvault_error *reterr)
{
    struct skip_node *node;
    struct skip_probe probe;
    bool equal;
    void *value;
    kvault_status rc;

    TRY(kvault__skip_probe(pin->list, key, &probe, reterr));
    TRY(kvault__skip_seek(pin->list, &probe, NULL, &node, &value, &equal, reterr));
    rc = equal ? take_out(pin, node, &probe, value, ret_value) : KVAULT_NOT_FOUND;
out:
    return rc;
}

void kvault_skiplist_clear(kvault_skiplist_pin *pin)
{
    const kvault_skiplist *list = pin->list;
    void *value;

    for (struct skip_node *node = kvault__skip_present(list, skip_target(skip_load(list->head, 0)), &value); node;
         node = kvault__skip_present(list, skip_target(skip_load(node, 0)), &value)) {
        struct skip_probe probe = kvault__skip_probe_of(list, node);
        (void)take_out(pin, node, &probe, value, NULL); /* not found: another thread removed it */
    }
}
