/* key_cache.h - what a packer remembers of the dicts that it has read: their keys, and the order of these.
 *
 * Records repeat their keys, so the str of a short key is kept and given out again, its hash in it. They
 * repeat whole sequences of keys too. Such a sequence is a shape: the bytes that the keys had in the record,
 * and a dict with all of them. A map that begins like a shape is read by comparing each key with those bytes,
 * in a copy of that dict, which needs no hashing and no growth.
 *
 * PyDict_SetItem() into such a copy would still be most of the work, to find again what is known: each value has
 * the same place in the memory of every copy. Where that is, is not read from CPython's private headers but found
 * out when a shape is made: in a copy, the keys must stand at equal distances, each with its None behind it. If
 * they do not, PyDict_SetItem() it is. A copy is nobody else's while it is filled, and is shown to the garbage
 * collector afterwards.
 *
 *     blank   {"id": None, "name": None}
 *     bytes   a2 'i' 'd' a4 'n' 'a' 'm' 'e'
 *     ends          3                   8
 *
 * Both tables have a fixed number of slots that a newcomer takes from whoever is there; a shape that is used
 * defends its slot for a while. One cache belongs to one packer, and the GIL guards it. */
#ifndef KVPY_KEY_CACHE_H
#define KVPY_KEY_CACHE_H

#include "compact.h"
#include "kohakuvault/packer.h"

#define KVPY_KEY_BYTES_MAX 64  /* of a key that is remembered */
#define KVPY_SHAPE_KEYS_MAX 96 /* of a shape */
#define KVPY_SHAPE_MERIT_MAX 8

typedef struct kvpy_key_cache kvpy_key_cache;

typedef struct kvpy_shape {
    uint32_t refs;
    uint32_t count;
    uint32_t merit;       /* what it defends its slot with */
    uint32_t slot_stride; /* bytes between the values in the memory of a copy of `blank`; 0 if not known */
    uint32_t slot_first;  /* where the first of them is */
    PyObject *blank;      /* dict: each key -> None, in order; never changed */
    PyObject *keys[KVPY_SHAPE_KEYS_MAX]; /* borrowed from `blank` */
    uint16_t ends[KVPY_SHAPE_KEYS_MAX];  /* where the bytes of each key end */
    uint8_t bytes[];
} kvpy_shape;

/* One key as it stands in a record, head and all. */
typedef struct kvpy_raw_key {
    const uint8_t *at;
    size_t size;
} kvpy_raw_key;

kvpy_key_cache *kvpy_key_cache_new(void); /* NULL with MemoryError */
void kvpy_key_cache_free(kvpy_key_cache *cache);

/* The str of these bytes of UTF-8; new, NULL with UnicodeDecodeError. */
PyObject *kvpy_key_cache_text(kvpy_key_cache *cache, const uint8_t *from, size_t size);

/* The shape that a map of `count` keys may have whose first key begins the `remain` bytes at `at`; held for
 * the caller. NULL, without an exception, if there is none. */
kvpy_shape *kvpy_shape_find(kvpy_key_cache *cache, uint64_t count, const uint8_t *at, size_t remain);
void kvpy_shape_release(kvpy_shape *shape);

/* Put the value of the key with this number into a copy of `blank`, where it has none yet. Steals the value; false
 * with an exception. */
static inline bool kvpy_shape_put(const kvpy_shape *shape, PyObject *copy, uint32_t index, PyObject *value)
{
    bool done;

    if (shape->slot_stride) {
        char *memory = (char *)((PyDictObject *)copy)->ma_keys;
        *(PyObject **)(memory + shape->slot_first + (size_t)index * shape->slot_stride) = value;
        Py_DECREF(Py_None);
        return true;
    }
    done = PyDict_SetItem(copy, shape->keys[index], value) == 0;
    Py_DECREF(value);
    return done;
}

/* A map with these keys was read into `dict`, without the help of a shape. The second time in a row it
 * becomes one. Best effort: a failure leaves no exception. */
void kvpy_shape_learn(kvpy_key_cache *cache, kvault_format format, const kvpy_raw_key *keys, uint32_t count,
                      PyObject *dict);
/* The shape was right to the end of the map. */
static inline void kvpy_shape_praise(kvpy_shape *shape)
{
    shape->merit += shape->merit < KVPY_SHAPE_MERIT_MAX;
}

#endif
