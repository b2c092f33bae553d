/* map_keys.h - what the targets for both maps share: 256 keys of every kind, and hooks that may fail. */
#ifndef KVAULT_FUZZ_MAP_KEYS_H
#define KVAULT_FUZZ_MAP_KEYS_H

#include "fuzz.h"

#include <string.h>

#include "kohakuvault/csbtree.h"

#define KEYS 256

/* The bytes of an input, read as operations. */
struct script {
    const uint8_t *at, *end;
};

static inline uint8_t next_byte(struct script *script)
{
    return script->at < script->end ? *script->at++ : 0;
}

/* Texts in the order of their numbers: shared prefixes, prefixes of each other, NULs at the end. */
struct text {
    uint8_t number;
    size_t size;
    char data[40];
};

static struct text texts[KEYS];
static long compares_left; /* until a comparison fails; 0: none does */
static long keys_held, values_held;

static inline void make_texts(void)
{
    for (int i = 0; i < KEYS; i++) {
        int size =
            snprintf(texts[i].data, sizeof texts[i].data, "%.*scommon/%02d", i / 128 * 9, "zzzzzzzzz", i % 128 / 3);

        if (i % 128 % 3 > 0)
            texts[i].data[size++] = (char)(i % 128 % 3 - 1);
        texts[i].size = (size_t)size;
        texts[i].number = (uint8_t)i;
    }
}

static inline kvault_status compare_texts(void *context, void *a, void *b, int *ret_order, kvault_error *reterr)
{
    const struct text *x = a, *y = b;

    (void)context;
    (void)reterr;
    if (compares_left > 0 && --compares_left == 0)
        return KVAULT_E_COMPARE;
    *ret_order = (x > y) - (x < y);
    return KVAULT_OK;
}

static inline kvault_slice text_bytes(void *context, void *key)
{
    const struct text *text = key;

    (void)context;
    return (kvault_slice){ text->data, text->size };
}

static inline int64_t text_rank(void *context, void *key)
{
    (void)context;
    return ((const struct text *)key)->number / 7;
}

static inline void release_text(void *context, void *key)
{
    (void)context;
    (void)key;
    keys_held--;
}

static inline void release_number(void *context, void *value)
{
    (void)context;
    (void)value;
    values_held--;
}

static const kvault_map_hooks map_hooks = { NULL, compare_texts, text_bytes, text_rank, release_text, release_number };

static const kvault_key_kind map_kinds[] = { KVAULT_KEY_I64,          KVAULT_KEY_F64,    KVAULT_KEY_BYTES,
                                             KVAULT_KEY_OBJECT_BYTES, KVAULT_KEY_OBJECT, KVAULT_KEY_RANKED };
#define MAP_KINDS (sizeof map_kinds / sizeof map_kinds[0])

static inline kvault_key key_of(kvault_key_kind kind, uint8_t number)
{
    kvault_key key = { .object = &texts[number] };

    if (kind == KVAULT_KEY_I64)
        key.i64 = number == 0 ? INT64_MIN : number == 255 ? INT64_MAX : (number - 100) * (int64_t)72057594037927;
    else if (kind == KVAULT_KEY_F64)
        key.f64 = number == 100 ? -0.0 : (number - 100) * 0.25;
    else if (kind == KVAULT_KEY_BYTES)
        key.bytes = (kvault_slice){ texts[number].data, texts[number].size };
    return key;
}

static inline bool key_is(kvault_key_kind kind, kvault_key key, uint8_t number)
{
    kvault_key want = key_of(kind, number);

    if (kind == KVAULT_KEY_I64)
        return key.i64 == want.i64;
    if (kind == KVAULT_KEY_F64)
        return !(key.f64 < want.f64) && !(key.f64 > want.f64);
    if (kind == KVAULT_KEY_BYTES)
        return key.bytes.size == want.bytes.size && memcmp(key.bytes.data, want.bytes.data, want.bytes.size) == 0;
    return key.object == want.object;
}

static inline bool is_object(kvault_key_kind kind)
{
    return kind >= KVAULT_KEY_OBJECT_BYTES;
}

/* The map as it should be. */
struct model {
    kvault_key_kind kind;
    bool present[KEYS];
    uintptr_t value[KEYS];
    size_t count;
};

static inline void model_set(struct model *model, uint8_t number, uintptr_t value)
{
    model->count += !model->present[number];
    model->present[number] = true;
    model->value[number] = value;
}

static inline void model_remove(struct model *model, uint8_t number)
{
    model->count -= model->present[number];
    model->present[number] = false;
}

/* The highest present number at or below this one, or the lowest at or above; -1 and KEYS for none. */
static inline int model_floor(const struct model *model, int number)
{
    while (number >= 0 && !model->present[number])
        number--;
    return number;
}

static inline int model_ceiling(const struct model *model, int number)
{
    while (number < KEYS && !model->present[number])
        number++;
    return number;
}

static inline void *as_value(uintptr_t number)
{
    return (void *)number; /* never looked through */
}

#endif
