/* value_cache.c - see value_cache.h. Linear probing with backward shifts; eviction by the clock, which
 * spares an entry that was asked for since the hand last came by. A key is kept at the second read, so
 * that a scan through everything leaves the cache alone. */
#include "value_cache.h"

#include <string.h>

#define SEEN_MARKS 4096
#define CAPACITY_FIRST 64
#define VALUE_BYTES_MAX ((size_t)4 << 20)

struct kvpy_cached {
    uint64_t hash;
    kvault_stamp stamp;
    PyObject *value; /* bytes, or NULL */
    uint32_t key_size;
    uint8_t what; /* enum kvpy_found */
    bool used;    /* since the hand came by */
    char key[];
};

void kvpy_cache_init(kvpy_cache *cache, kvault *vault, kvault_kv *kv)
{
    *cache = (kvpy_cache){ .vault = vault, .kv = kv };
}

static size_t cost_of(const struct kvpy_cached *entry)
{
    size_t value = entry->value ? (size_t)PyBytes_GET_SIZE(entry->value) + sizeof(PyBytesObject) : 0;

    return sizeof *entry + entry->key_size + value + 2 * sizeof(struct kvpy_cached *);
}

/* Where the key is, or the free place where it would be. */
static size_t find(const kvpy_cache *cache, uint64_t hash, kvault_slice key)
{
    size_t mask = cache->capacity - 1, at = (size_t)hash & mask;

    for (;; at = (at + 1) & mask) {
        const struct kvpy_cached *entry = cache->table[at];

        if (!entry || (entry->hash == hash && entry->key_size == key.size &&
                       (!key.size || memcmp(entry->key, key.data, key.size) == 0)))
            return at;
    }
}

/* Close the gap: whoever was pushed behind it by an earlier one moves up. */
static void remove_at(kvpy_cache *cache, size_t gap)
{
    size_t mask = cache->capacity - 1;
    struct kvpy_cached *entry = cache->table[gap];

    kvault_cache_give(cache->vault, cost_of(entry));
    Py_XDECREF(entry->value);
    PyMem_Free(entry);
    cache->count--;
    for (size_t at = (gap + 1) & mask; cache->table[at]; at = (at + 1) & mask) {
        size_t home = (size_t)cache->table[at]->hash & mask;

        if (((at - home) & mask) >= ((at - gap) & mask)) {
            cache->table[gap] = cache->table[at];
            gap = at;
        }
    }
    cache->table[gap] = NULL;
}

void kvpy_cache_free(kvpy_cache *cache)
{
    for (size_t i = 0; i < cache->capacity; i++) {
        struct kvpy_cached *entry = cache->table[i];

        if (!entry)
            continue;
        kvault_cache_give(cache->vault, cost_of(entry));
        Py_XDECREF(entry->value);
        PyMem_Free(entry);
    }
    PyMem_Free(cache->table);
    PyMem_Free(cache->seen);
}

enum kvpy_found kvpy_cache_get(kvpy_cache *cache, uint64_t hash, kvault_slice key, PyObject **ret_value)
{
    struct kvpy_cached *entry;

    if (!cache->count)
        return KVPY_NOT_CACHED;
    entry = cache->table[find(cache, hash, key)];
    if (!entry || !kvault_kv_is_current(cache->kv, &entry->stamp))
        return KVPY_NOT_CACHED;
    entry->used = true;
    if (entry->what == KVPY_VALUE)
        *ret_value = Py_NewRef(entry->value);
    return entry->what;
}

bool kvpy_cache_wants(kvpy_cache *cache, uint64_t hash, kvault_stamp *ret_stamp)
{
    uint32_t mark = (uint32_t)(hash >> 32) | 1, *place;

    if (!cache->seen)
        cache->seen = PyMem_Calloc(SEEN_MARKS, sizeof *cache->seen);
    if (!cache->seen)
        return false;
    place = &cache->seen[hash % SEEN_MARKS];
    if (*place == mark)
        return kvault_kv_stamp(cache->kv, hash, ret_stamp);
    *place = mark;
    return false;
}

/* Let the first entry go that was not used since the hand came by; returns the bytes it took, 0 if there is none. */
static size_t evict_one(kvpy_cache *cache)
{
    for (size_t steps = 0; cache->count && steps < 2 * cache->capacity + 1; steps++) {
        size_t at = cache->hand++ & (cache->capacity - 1);
        struct kvpy_cached *entry = cache->table[at];

        if (!entry)
            continue;
        if (!entry->used || !kvault_kv_is_current(cache->kv, &entry->stamp)) {
            size_t cost = cost_of(entry);

            remove_at(cache, at);
            return cost;
        }
        entry->used = false;
    }
    return 0;
}

static bool grow(kvpy_cache *cache)
{
    size_t capacity = cache->capacity ? cache->capacity * 2 : CAPACITY_FIRST, before = cache->capacity;
    struct kvpy_cached **table, **old = cache->table;

    if (cache->count < cache->capacity - cache->capacity / 4 && cache->capacity)
        return true;
    table = PyMem_Calloc(capacity, sizeof(struct kvpy_cached *));
    if (!table)
        return false;
    cache->table = table;
    cache->capacity = capacity;
    for (size_t i = 0; i < before; i++) {
        if (old[i])
            table[find(cache, old[i]->hash, (kvault_slice){ old[i]->key, old[i]->key_size })] = old[i];
    }
    PyMem_Free(old);
    return true;
}

/* Room for `cost` bytes, by letting go of others of this cache; when that is not enough, another one has it all. */
static bool make_room(kvpy_cache *cache, size_t cost)
{
    size_t freed = 0;

    while (!kvault_cache_take(cache->vault, cost)) {
        size_t part = freed < cost ? evict_one(cache) : 0;

        if (!part)
            return false;
        freed += part;
    }
    return true;
}

void kvpy_cache_put(kvpy_cache *cache, uint64_t hash, kvault_slice key, enum kvpy_found what, PyObject *value,
                    const kvault_stamp *stamp)
{
    struct kvpy_cached *entry;
    size_t at;

    if (value && (size_t)PyBytes_GET_SIZE(value) > VALUE_BYTES_MAX)
        return;
    if (cache->count && cache->table[at = find(cache, hash, key)])
        remove_at(cache, at);
    entry = PyMem_Malloc(sizeof *entry + key.size);
    if (!entry)
        return;
    *entry = (struct kvpy_cached){ .hash = hash,
                                   .stamp = *stamp,
                                   .value = Py_XNewRef(value),
                                   .key_size = (uint32_t)key.size,
                                   .what = (uint8_t)what };
    if (key.size)
        memcpy(entry->key, key.data, key.size);
    if (!grow(cache) || !make_room(cache, cost_of(entry))) {
        Py_XDECREF(entry->value);
        PyMem_Free(entry);
        return;
    }
    cache->table[find(cache, hash, key)] = entry;
    cache->count++;
}
