/* value_cache.h - values read before, as the bytes objects that were given out.
 *
 * One cache for each store; all those of a file share the room that the library gives
 * (kvault_cache_take). Every entry carries a stamp, and is given out only while that is
 * current. Used with the GIL held; no call here lets go of it. */
#ifndef KVPY_VALUE_CACHE_H
#define KVPY_VALUE_CACHE_H

#include "compat.h"
#include "kohakuvault/kohakuvault.h"

struct kvpy_cached;

typedef struct kvpy_cache {
    kvault *vault; /* whose room it takes */
    kvault_kv *kv;
    struct kvpy_cached **table; /* open addressing, a power of two; NULL until the first entry */
    size_t capacity, count, hand;
    uint32_t *seen; /* keys asked for once: a mark of their hash in its place */
} kvpy_cache;

enum kvpy_found {
    KVPY_NOT_CACHED,
    KVPY_VALUE,   /* the value is given as a new reference */
    KVPY_PRESENT, /* the key is there; its value is not cached */
    KVPY_ABSENT,
};

void kvpy_cache_init(kvpy_cache *cache, kvault *vault, kvault_kv *kv);
void kvpy_cache_free(kvpy_cache *cache);

/* What is known of the key. *ret_value is set for KVPY_VALUE alone. */
enum kvpy_found kvpy_cache_get(kvpy_cache *cache, uint64_t hash, kvault_slice key, PyObject **ret_value);
/* Before a read of a key that is not cached: should the outcome be kept, and with which stamp? */
bool kvpy_cache_wants(kvpy_cache *cache, uint64_t hash, kvault_stamp *ret_stamp);
/* Keep an outcome; `value` is bytes for KVPY_VALUE, else NULL. Not kept if there is no room. */
void kvpy_cache_put(kvpy_cache *cache, uint64_t hash, kvault_slice key, enum kvpy_found what, PyObject *value,
                    const kvault_stamp *stamp);

#endif
