/* key_cache.c - what a packer remembers of the dicts that it has read. */
#include "key_cache.h"

#include "utf8.h"

#define TEXT_SLOT_BITS 9
#define SHAPE_SLOT_BITS 6

struct text_slot {
    PyObject *text;      /* NULL: empty */
    const uint8_t *utf8; /* inside the text */
    size_t size;
};

struct shape_slot {
    kvpy_shape *shape; /* NULL: empty */
    uint64_t last;     /* the hash of the sequence that was seen here last and is no shape */
};

struct kvpy_key_cache {
    struct text_slot texts[1 << TEXT_SLOT_BITS];
    struct shape_slot shapes[1 << SHAPE_SLOT_BITS];
};

/* Odd numbers with bits all over, for hashing by multiplication. */
#define SPREAD_1 UINT64_C(0x9e3779b97f4a7c15)
#define SPREAD_2 UINT64_C(0xc2b2ae3d27d4eb4f)

kvpy_key_cache *kvpy_key_cache_new(void)
{
    kvpy_key_cache *cache = PyMem_Calloc(1, sizeof *cache);

    if (!cache)
        PyErr_NoMemory();
    return cache;
}

void kvpy_key_cache_free(kvpy_key_cache *cache)
{
    if (!cache)
        return;
    for (size_t i = 0; i < Py_ARRAY_LENGTH(cache->texts); i++)
        Py_XDECREF(cache->texts[i].text);
    for (size_t i = 0; i < Py_ARRAY_LENGTH(cache->shapes); i++)
        if (cache->shapes[i].shape)
            kvpy_shape_release(cache->shapes[i].shape);
    PyMem_Free(cache);
}

/* ---- keys ---- */

/* Of at least two bytes: the first and the last eight, which may overlap. */
static inline uint64_t hash_bytes(const uint8_t *from, size_t size)
{
    uint64_t first = 0, last = 0;
    uint32_t first4, last4;

    if (size >= 8) {
        memcpy(&first, from, 8);
        memcpy(&last, from + size - 8, 8);
    } else if (size >= 4) {
        memcpy(&first4, from, 4);
        memcpy(&last4, from + size - 4, 4);
        first = first4;
        last = last4;
    } else {
        first = (uint64_t)from[0] | (uint64_t)from[size / 2] << 8 | (uint64_t)from[size - 1] << 16;
    }
    return ((first * SPREAD_1) ^ (last + size) * SPREAD_2) * SPREAD_1;
}

static PyObject *remember(struct text_slot *slot, const uint8_t *from, size_t size)
{
    PyObject *text = kvpy_utf8_load(from, size);
    Py_ssize_t length;
    const char *utf8 = text ? PyUnicode_AsUTF8AndSize(text, &length) : NULL;

    if (!utf8) {
        Py_XDECREF(text);
        return NULL;
    }
    slot->utf8 = (const uint8_t *)utf8;
    slot->size = size;
    Py_XSETREF(slot->text, Py_NewRef(text));
    return text;
}

PyObject *kvpy_key_cache_text(kvpy_key_cache *cache, const uint8_t *from, size_t size)
{
    struct text_slot *slot;

    if (size < 2 || size > KVPY_KEY_BYTES_MAX)
        return kvpy_utf8_load(from, size);
    slot = &cache->texts[hash_bytes(from, size) >> (64 - TEXT_SLOT_BITS)];
    if (slot->text && slot->size == size && kvpy_same_short(slot->utf8, from, size))
        return Py_NewRef(slot->text);
    return remember(slot, from, size);
}

/* ---- shapes ---- */

/* Where a map with this count and this first key has its shape. NULL if the key does not begin with a head of
 * one byte, as the texts of up to 23 bytes do in both formats. */
static struct shape_slot *slot_of(kvpy_key_cache *cache, uint64_t count, const uint8_t *at, size_t remain)
{
    size_t size;
    uint64_t hash;

    if (remain < 2)
        return NULL;
    if ((at[0] & 0xe0) == 0xa0)
        size = (size_t)(at[0] & 31) + 1;
    else if (at[0] >= 0x60 && at[0] < 0x78)
        size = (size_t)(at[0] - 0x60) + 1;
    else
        return NULL;
    if (size < 2 || size > remain)
        return NULL;
    hash = hash_bytes(at, size) ^ count * SPREAD_2;
    return &cache->shapes[hash * SPREAD_1 >> (64 - SHAPE_SLOT_BITS)];
}

kvpy_shape *kvpy_shape_find(kvpy_key_cache *cache, uint64_t count, const uint8_t *at, size_t remain)
{
    struct shape_slot *slot = slot_of(cache, count, at, remain);

    if (!slot || !slot->shape || slot->shape->count != count)
        return NULL;
    slot->shape->refs++;
    return slot->shape;
}

void kvpy_shape_release(kvpy_shape *shape)
{
    if (--shape->refs > 0)
        return;
    Py_DECREF(shape->blank);
    PyMem_Free(shape);
}

/* Whether these bytes are the text `key` and nothing else. They were read before, but memory that somebody
 * else may write does not stay what it was. */
static bool is_text(kvault_format format, const uint8_t *bytes, size_t size, PyObject *key)
{
    kvault_reader reader = kvault_reader_init((kvault_slice){ bytes, size }, 0);
    kvault_token token;
    Py_ssize_t length;
    const char *utf8 = PyUnicode_AsUTF8AndSize(key, &length);

    return utf8 && kvault_token_read(format, &reader, &token, NULL) == KVAULT_OK && reader.at == reader.end &&
           token.kind == KVAULT_TOKEN_TEXT && !token.chunked && token.bytes.size == (size_t)length &&
           memcmp(token.bytes.data, utf8, (size_t)length) == 0;
}

/* The keys in the order of the dict, which is the order of the map: none came twice. */
static bool fill_shape(kvpy_shape *shape, kvault_format format, const kvpy_raw_key *raw, PyObject *dict)
{
    PyObject *key, *value;
    Py_ssize_t at = 0;
    size_t start = 0;

    for (uint32_t i = 0; i < shape->count; i++) {
        memcpy(shape->bytes + start, raw[i].at, raw[i].size);
        if (!PyDict_Next(dict, &at, &key, &value) || !is_text(format, shape->bytes + start, raw[i].size, key) ||
            PyDict_SetItem(shape->blank, key, Py_None) < 0)
            return false;
        start += raw[i].size;
        shape->ends[i] = (uint16_t)start;
        shape->keys[i] = key;
    }
    return true;
}

/* Bytes of the memory that a dict has beside its own struct; 0 if it does not tell. */
static size_t memory_of(PyObject *dict)
{
    PyObject *name = PyUnicode_InternFromString("__sizeof__");
    PyObject *whole = name ? PyObject_CallMethodNoArgs(dict, name) : NULL;
    Py_ssize_t size = whole ? PyLong_AsSsize_t(whole) : -1;

    Py_XDECREF(whole);
    Py_XDECREF(name);
    return size > PyDict_Type.tp_basicsize ? (size_t)(size - PyDict_Type.tp_basicsize) : 0;
}

/* Whether the key of every entry stands in `words`, `stride` apart from the first, and None behind it. */
static bool stand_at(const kvpy_shape *shape, PyObject *const *words, size_t count, size_t first, size_t stride)
{
    for (uint32_t i = 0; i < shape->count; i++) {
        size_t at = first + i * stride;
        if (at + 1 >= count || words[at] != shape->keys[i] || words[at + 1] != Py_None)
            return false;
    }
    return true;
}

/* An entry is two words, or three where it has the hash as well. */
static void find_slots(kvpy_shape *shape)
{
#ifndef Py_GIL_DISABLED
    PyObject *copy = PyDict_Copy(shape->blank);
    PyObject *const *words = copy ? (PyObject *const *)((PyDictObject *)copy)->ma_keys : NULL;
    size_t count = copy ? memory_of(copy) / sizeof *words : 0;

    for (size_t first = 0; first < count && !shape->slot_stride; first++) {
        for (size_t stride = 2; stride <= 3 && !shape->slot_stride; stride++) {
            if (!stand_at(shape, words, count, first, stride))
                continue;
            shape->slot_first = (uint32_t)((first + 1) * sizeof *words);
            shape->slot_stride = (uint32_t)(stride * sizeof *words);
        }
    }
    PyErr_Clear();
    Py_XDECREF(copy);
#else
    (void)shape;
#endif
}

static kvpy_shape *shape_new(kvault_format format, const kvpy_raw_key *raw, uint32_t count, size_t bytes,
                             PyObject *dict)
{
    kvpy_shape *shape = PyMem_Calloc(1, sizeof *shape + bytes);

    if (!shape)
        return NULL;
    shape->refs = 1;
    shape->count = count;
    shape->blank = PyDict_New();
    if (shape->blank && fill_shape(shape, format, raw, dict)) {
        find_slots(shape);
        return shape;
    }
    PyErr_Clear();
    Py_XDECREF(shape->blank);
    PyMem_Free(shape);
    return NULL;
}

void kvpy_shape_learn(kvpy_key_cache *cache, kvault_format format, const kvpy_raw_key *raw, uint32_t count,
                      PyObject *dict)
{
    struct shape_slot *slot = slot_of(cache, count, raw[0].at, raw[0].size);
    uint64_t hash = count;
    kvpy_shape *shape, *before;
    size_t bytes = 0;

    if (!slot || PyDict_GET_SIZE(dict) != (Py_ssize_t)count)
        return;
    if (slot->shape && slot->shape->merit) {
        slot->shape->merit--;
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        hash = (hash ^ hash_bytes(raw[i].at, raw[i].size)) * SPREAD_2;
        bytes += raw[i].size;
    }
    if (slot->last != hash) {
        slot->last = hash;
        return;
    }
    shape = shape_new(format, raw, count, bytes, dict);
    if (!shape)
        return;
    before = slot->shape;
    slot->shape = shape;
    if (before)
        kvpy_shape_release(before);
}
