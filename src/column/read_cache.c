/* read_cache.c - see read_cache.h.
 *
 * `busy` is taken by trying, never by waiting, so it needs no place among the levels of locks, and a child of a
 * fork that finds it taken for ever only reads the file. What is read from the file is read with it free.
 *
 * Chunks stand by their position in the column: seqs[i] is the number, firsts[i] the first element of
 * chunk i. Without a list both are a matter of arithmetic, and the arrays are not there. */
#include "column/read_cache.h"

#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/banned.h"

#define LOOKS_BEFORE 2u                  /* at one revision, before anything is kept */
#define READS_BEFORE 2u                  /* of a chunk, before it is kept */
#define READS_AFTER 8u                   /* of a chunk that had to go, or of a large column's */
#define LARGE_BYTES ((uint64_t)24 << 20) /* near the half of the default cache_kb */
#define ADMIT_AT_ONCE 64u                /* chunks that one read may bring */
#define CHUNKS_MAX (1u << 22)

struct node {
    uint8_t *data; /* owned; NULL: not kept */
    uint32_t size;
    uint8_t reads, wanted; /* how often it was read, and must be */
};

struct column_cache {
    atomic_flag busy;
    bool known; /* the fields below hold as of the stamp */
    kvault_stamp stamp;
    uint64_t length; /* with the pending elements */
    struct column_meta meta;
    uint32_t looks; /* at this revision */
    bool placed;    /* the arrays below are those of meta.stored elements */
    bool present;   /* `presence` is a stamp of the column's being there */
    kvault_stamp presence;
    uint64_t *firsts; /* count + 1 of them */
    uint32_t *seqs;
    struct node *nodes;
    uint32_t count, hand;
    size_t bytes; /* taken from the file's room */
};

struct column_cache *kvault__cache_new(kvault_error *reterr)
{
    struct column_cache *cache = kvault__alloc_zero(1, sizeof *cache);

    if (!cache)
        (void)kvault__fail_nomem(reterr, sizeof *cache);
    else
        atomic_flag_clear_explicit(&cache->busy, memory_order_relaxed); /* nobody else knows it yet */
    return cache;
}

static bool try_lock(struct column_cache *cache)
{
    return !atomic_flag_test_and_set_explicit(&cache->busy, memory_order_acquire); /* pairs with unlock() */
}

static void unlock(struct column_cache *cache)
{
    atomic_flag_clear_explicit(&cache->busy, memory_order_release); /* pairs with try_lock() */
}

static void drop_node(kvault_column *column, struct node *node)
{
    if (!node->data)
        return;
    kvault__free(node->data);
    node->data = NULL;
    column->cache->bytes -= node->size;
    kvault_cache_give(column->vault, node->size);
}

static void empty(kvault_column *column)
{
    struct column_cache *cache = column->cache;

    for (uint32_t i = 0; i < cache->count; i++)
        drop_node(column, &cache->nodes[i]);
    kvault_cache_give(column->vault, cache->bytes);
    kvault__free(cache->nodes);
    kvault__free(cache->firsts);
    kvault__free(cache->seqs);
    cache->nodes = NULL;
    cache->firsts = NULL;
    cache->seqs = NULL;
    cache->count = cache->hand = 0;
    cache->bytes = 0;
    cache->placed = false;
    cache->looks = 0;
}

void kvault__cache_free(kvault_column *column)
{
    if (!column->cache)
        return;
    empty(column);
    kvault__free(column->cache);
    column->cache = NULL;
}

/* ---- answers ---- */

/* The cache, locked and current; NULL if not. */
static struct column_cache *enter(kvault_column *column)
{
    struct column_cache *cache = column->cache;

    if (!try_lock(cache))
        return NULL;
    if (cache->known && kvault__stamp_holds(column->vault, &cache->stamp))
        return cache;
    unlock(cache);
    return NULL;
}

bool kvault__cache_length_now(kvault_column *column, uint64_t *ret_length)
{
    struct column_cache *cache = enter(column);

    if (!cache)
        return false;
    *ret_length = cache->length;
    unlock(cache);
    return true;
}

/* The chunk of an element below meta.stored, by its position; count if the list is not here. */
static uint32_t position_of(const struct column_cache *cache, uint64_t element)
{
    uint32_t low = 0, high = cache->count;

    if (!cache->placed)
        return cache->count;
    if (!cache->meta.listed)
        return (uint32_t)(element / kvault__elements_per_chunk(&cache->meta));
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (cache->firsts[middle] <= element)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static uint64_t first_of(const struct column_cache *cache, uint32_t position)
{
    uint64_t first;

    if (cache->meta.listed)
        return cache->firsts[position];
    first = (uint64_t)position * kvault__elements_per_chunk(&cache->meta);
    return first < cache->meta.stored ? first : cache->meta.stored;
}

/* Bytes of an element of a fixed size, wherever it is kept; NULL if it is not. */
static const uint8_t *fixed_at(const struct column_cache *cache, uint64_t at, uint64_t *ret_more)
{
    const struct column_meta *meta = &cache->meta;
    uint32_t position;
    uint64_t first;

    if (at >= meta->stored) {
        uint64_t tail = at - meta->stored;

        *ret_more = kvault__tail_count(meta) - tail;
        return tail < kvault__tail_count(meta) ? meta->tail + tail * meta->elem_size : NULL;
    }
    position = position_of(cache, at);
    if (position >= cache->count || !cache->nodes[position].data)
        return NULL;
    first = first_of(cache, position);
    if ((at - first + 1) * meta->elem_size > cache->nodes[position].size)
        return NULL; /* the chunk has grown since it was kept */
    *ret_more = cache->nodes[position].size / meta->elem_size - (at - first);
    return cache->nodes[position].data + (at - first) * meta->elem_size;
}

/* Slot of an element of any size that is kept. */
static bool slot_at(const struct column_cache *cache, uint64_t at, struct packed_slot *ret_slot)
{
    struct packed packed;
    uint32_t position;
    uint64_t first;

    if (at >= cache->meta.stored)
        return false;
    position = position_of(cache, at);
    if (position >= cache->count || !cache->nodes[position].data)
        return false;
    first = first_of(cache, position);
    packed.data = cache->nodes[position].data;
    packed.count = kvault__load_le32(packed.data);
    packed.area = kvault__load_le32(packed.data + 4);
    return at - first < packed.count && /* else the chunk has grown since it was kept */
           kvault__packed_slot(&packed, (uint32_t)(at - first), ret_slot, NULL) >= 0 && !ret_slot->large;
}

bool kvault__cache_get_now(kvault_column *column, int64_t index, void *dest, size_t capacity, size_t *ret_size)
{
    struct column_cache *cache = enter(column);
    const uint8_t *bytes = NULL;
    struct packed_slot slot;
    uint64_t at, more;

    if (!cache)
        return false;
    if (kvault__index_of(index, cache->length, &at, NULL) < 0)
        goto out;
    if (cache->meta.elem_size) {
        bytes = fixed_at(cache, at, &more);
        *ret_size = cache->meta.elem_size;
    } else if (slot_at(cache, at, &slot)) {
        bytes = slot.data;
        *ret_size = slot.size;
    }
    if (bytes && *ret_size > capacity)
        bytes = NULL;
    if (bytes && *ret_size)
        memcpy(dest, bytes, *ret_size);
out:
    unlock(cache);
    return bytes != NULL;
}

static bool fixed_range(const struct column_cache *cache, uint64_t start, uint64_t count, kvault_result *result)
{
    uint32_t size = cache->meta.elem_size;

    while (count) {
        uint64_t more = 0;
        const uint8_t *bytes = fixed_at(cache, start, &more);

        more = more < count ? more : count;
        if (!bytes || kvault__buf_append(&result->data, bytes, (size_t)more * size, NULL) < 0)
            return false;
        result->count += more;
        start += more;
        count -= more;
    }
    return true;
}

static bool any_range(const struct column_cache *cache, uint64_t start, uint64_t count, kvault_result *result)
{
    struct packed_slot slot;

    for (uint64_t i = 0; i < count; i++)
        if (!slot_at(cache, start + i, &slot) ||
            kvault__result_add(result, (kvault_slice){ slot.data, slot.size }, NULL) < 0)
            return false;
    return true;
}

bool kvault__cache_range_now(kvault_column *column, const kvault_range *range, kvault_result *result)
{
    struct column_cache *cache = enter(column);
    struct span span;
    bool done = false;

    if (!cache)
        return false;
    result->data.size = result->offsets.size = 0;
    result->count = 0;
    if (kvault__span_of(range, cache->length, &span, NULL) >= 0 && span.step == 1)
        done = cache->meta.elem_size ? fixed_range(cache, span.start, span.count, result)
                                     : any_range(cache, span.start, span.count, result);
    unlock(cache);
    return done;
}

bool kvault__cache_take_now(kvault_column *column, const int64_t *indices, uint64_t count, kvault_result *result)
{
    struct column_cache *cache = enter(column);
    bool done = cache != NULL;
    uint64_t at;

    if (!cache)
        return false;
    result->data.size = result->offsets.size = 0;
    result->count = 0;
    for (uint64_t i = 0; i < count && done; i++)
        done = kvault__index_of(indices[i], cache->length, &at, NULL) >= 0 &&
               (cache->meta.elem_size ? fixed_range(cache, at, 1, result) : any_range(cache, at, 1, result));
    unlock(cache);
    return done;
}

bool kvault__cache_presence_now(kvault_column *column, kvault_stamp *ret_stamp)
{
    struct column_cache *cache = column->cache;
    bool present;

    if (!try_lock(cache))
        return false;
    present = cache->present;
    *ret_stamp = cache->presence;
    unlock(cache);
    return present;
}

void kvault__cache_set_presence(kvault_column *column, const kvault_stamp *stamp)
{
    struct column_cache *cache = column->cache;

    if (!try_lock(cache))
        return;
    cache->present = true;
    cache->presence = *stamp;
    unlock(cache);
}

/* ---- filling ---- */

bool kvault__cache_stamp(kvault_column *column, kvault_stamp *ret_stamp)
{
    return kvault__stamp(column->vault, column->hash, ret_stamp);
}

static size_t array_bytes(uint32_t count, bool listed)
{
    size_t bytes = count * sizeof(struct node);

    return listed ? bytes + count * sizeof(uint32_t) + ((size_t)count + 1) * sizeof(uint64_t) : bytes;
}

/* Make the arrays as long as the column has chunks now; what is kept of the chunks stays. False leaves all as it was.
 */
static bool make_nodes(kvault_column *column, uint32_t count, bool listed)
{
    struct column_cache *cache = column->cache;
    size_t before = array_bytes(cache->count, cache->seqs != NULL), after = array_bytes(count, listed);
    struct node *nodes;
    uint64_t *firsts;
    uint32_t *seqs;

    if (!count || count > CHUNKS_MAX || count < cache->count || !kvault_cache_take(column->vault, after - before))
        return false;
    nodes = kvault__alloc_zero(count, sizeof *nodes);
    firsts = listed ? kvault__alloc(((size_t)count + 1) * sizeof *firsts) : NULL;
    seqs = listed ? kvault__alloc(count * sizeof *seqs) : NULL;
    if (!nodes || (listed && (!firsts || !seqs))) {
        kvault__free(nodes);
        kvault__free(firsts);
        kvault__free(seqs);
        kvault_cache_give(column->vault, after - before);
        return false;
    }
    if (cache->count)
        memcpy(nodes, cache->nodes, cache->count * sizeof *nodes);
    kvault__free(cache->nodes);
    kvault__free(cache->firsts);
    kvault__free(cache->seqs);
    cache->nodes = nodes;
    cache->firsts = firsts;
    cache->seqs = seqs;
    cache->count = count;
    cache->bytes += after - before;
    return true;
}

/* Read the whole list, into memory that is nobody else's yet. */
static bool gather_list(struct edit *view, kvault_buf *firsts, kvault_buf *seqs)
{
    struct chunk_place place;
    uint64_t end = view->meta.stored;
    kvault_status rc = view->meta.stored ? kvault__list_find(&view->list, 0, &place, NULL) : KVAULT_END;

    while (rc == KVAULT_OK && kvault__buf_append(firsts, &place.first, sizeof place.first, NULL) >= 0 &&
           kvault__buf_append(seqs, &place.seq, sizeof place.seq, NULL) >= 0)
        rc = kvault__list_next(&view->list, &place, &place, NULL);
    return rc == KVAULT_END && kvault__buf_append(firsts, &end, sizeof end, NULL) >= 0;
}

static void keep_list(kvault_column *column, const kvault_buf *firsts, const kvault_buf *seqs)
{
    struct column_cache *cache = column->cache;
    uint32_t count = (uint32_t)(seqs->size / sizeof(uint32_t));

    if (!make_nodes(column, count, true))
        return;
    memcpy(cache->firsts, firsts->data, firsts->size);
    memcpy(cache->seqs, seqs->data, seqs->size);
    cache->placed = true;
}

static void keep_plain(kvault_column *column)
{
    const struct column_meta *meta = &column->cache->meta;
    uint64_t per_chunk = kvault__elements_per_chunk(meta), count = (meta->stored + per_chunk - 1) / per_chunk;

    column->cache->placed =
        count == column->cache->count || (count <= CHUNKS_MAX && make_nodes(column, (uint32_t)count, false));
}

/* Is what the cache holds of the state that the view sees? */
static bool is_of(const struct column_cache *cache, const struct edit *view)
{
    return cache->known && cache->meta.revision == view->meta.revision && cache->meta.stored == view->meta.stored;
}

/* The record is one that was current a moment ago. Returns whether the list is wanted, and is not here. */
static bool keep_record(kvault_column *column, const struct edit *view, uint64_t length, const kvault_stamp *stamp)
{
    struct column_cache *cache = column->cache;
    bool wants_list = false;

    if (!try_lock(cache))
        return false;
    if (!cache->known || cache->meta.revision != view->meta.revision)
        empty(column);
    cache->placed = cache->placed && cache->meta.stored == view->meta.stored;
    cache->meta = view->meta;
    cache->length = length;
    cache->stamp = *stamp;
    cache->known = true;
    cache->looks += cache->looks < UINT32_MAX;
    if (cache->looks >= LOOKS_BEFORE && !cache->placed && cache->meta.stored) {
        if (cache->meta.listed)
            wants_list = true;
        else
            keep_plain(column);
    }
    unlock(cache);
    return wants_list;
}

void kvault__cache_note(kvault_column *column, struct edit *view, uint64_t length, const kvault_stamp *stamp)
{
    kvault_buf firsts = KVAULT_BUF_INIT, seqs = KVAULT_BUF_INIT;
    struct column_cache *cache = column->cache;

    /* What the view sees was current throughout, if the stamp taken before it still is. */
    if (!kvault__stamp_holds(column->vault, stamp) || !keep_record(column, view, length, stamp))
        return;
    if (gather_list(view, &firsts, &seqs) && try_lock(cache)) {
        if (is_of(cache, view) && !cache->placed)
            keep_list(column, &firsts, &seqs);
        unlock(cache);
    }
    kvault_buf_free(&firsts);
    kvault_buf_free(&seqs);
}

/* Let another chunk of this column go. */
static bool evict(kvault_column *column)
{
    struct column_cache *cache = column->cache;

    for (uint32_t i = 0; i < cache->count; i++) {
        struct node *node = &cache->nodes[cache->hand];

        cache->hand = cache->hand + 1 < cache->count ? cache->hand + 1 : 0;
        if (!node->data)
            continue;
        drop_node(column, node);
        node->reads = 0;
        node->wanted = READS_AFTER;
        return true;
    }
    return false;
}

static bool take_room(kvault_column *column, uint32_t size)
{
    while (!kvault_cache_take(column->vault, size))
        if (!evict(column))
            return false;
    column->cache->bytes += size;
    return true;
}

/* Random reads of such a column seldom come back to a chunk before it had to go. */
static bool is_large(const struct column_meta *meta)
{
    return (meta->elem_size ? meta->stored * meta->elem_size : meta->bytes) > LARGE_BYTES;
}

static uint64_t elements_in(const struct column_cache *cache, const struct node *node)
{
    return cache->meta.elem_size ? node->size / cache->meta.elem_size : kvault__load_le32(node->data);
}

/* Count a read of a chunk; true when it is time to keep it. Its number and its elements go to *ret_place. */
static bool wants(kvault_column *column, const struct edit *view, uint64_t element, struct chunk_place *ret_place)
{
    struct column_cache *cache = column->cache;
    bool wanted = false;
    struct node *node;
    uint32_t position;

    if (!try_lock(cache))
        return false;
    if (!is_of(cache, view) || !cache->placed || element >= cache->meta.stored)
        goto out;
    position = position_of(cache, element);
    node = &cache->nodes[position];
    ret_place->entry = position;
    ret_place->first = first_of(cache, position);
    ret_place->count = first_of(cache, position + 1) - ret_place->first;
    ret_place->seq = cache->seqs ? cache->seqs[position] : position + 1;
    if (node->data && elements_in(cache, node) < ret_place->count) {
        drop_node(column, node); /* the chunk has grown since */
        node->reads = READS_AFTER;
    }
    if (!node->wanted)
        node->wanted = is_large(&cache->meta) ? READS_AFTER : READS_BEFORE;
    if (node->reads < UINT8_MAX)
        node->reads++;
    wanted = !node->data && node->reads >= node->wanted;
out:
    unlock(cache);
    return wanted;
}

/* The data of a chunk as it is kept: checked, in memory of its own. */
static bool load_node(struct edit *view, const struct chunk_place *place, kvault_buf *data)
{
    uint64_t size = place->count * view->meta.elem_size;
    struct packed packed;

    if (!view->meta.elem_size)
        return kvault__var_load(&view->var, place, data, &packed, NULL) >= 0;
    if (kvault__buf_reserve(data, (size_t)size, NULL) < 0 ||
        kvault__chunk_read(&view->io, view->meta.id, place->seq, 0, data->data, (uint32_t)size, NULL) < 0)
        return false;
    data->size = (size_t)size;
    return true;
}

static void keep_node(kvault_column *column, const struct edit *view, const struct chunk_place *place, kvault_buf *data)
{
    struct column_cache *cache = column->cache;
    struct node *node;

    if (!try_lock(cache))
        return;
    node = place->entry < cache->count ? &cache->nodes[place->entry] : NULL;
    if (is_of(cache, view) && cache->placed && node && !node->data && take_room(column, (uint32_t)data->size)) {
        node->data = data->data;
        node->size = (uint32_t)data->size;
        *data = (kvault_buf)KVAULT_BUF_INIT;
    }
    unlock(cache);
}

void kvault__cache_admit(kvault_column *column, struct edit *view, uint64_t start, uint64_t count)
{
    uint64_t end = start + count;

    for (uint32_t n = 0; n < ADMIT_AT_ONCE && start < end; n++) {
        struct chunk_place place = { .count = 0 };
        kvault_buf data = KVAULT_BUF_INIT;

        if (wants(column, view, start, &place)) {
            if (load_node(view, &place, &data))
                keep_node(column, view, &place, &data);
            kvault_buf_free(&data);
        }
        if (!place.count)
            return;
        start = place.first + place.count;
    }
}
