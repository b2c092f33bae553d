/* map_keys.h - Python objects as keys of the ordered maps.
 *
 * A map has a mode, the kind of its keys. All but the last are for exact builtin types, whose order
 * the core knows; there no foreign code runs, except that tuples which begin with the same int are
 * compared. A key that is of another kind is foreign to the mode: it may still be looked up, by
 * comparing it with the keys there are, and adding it turns the map to objects. */
#ifndef KVPY_MAP_KEYS_H
#define KVPY_MAP_KEYS_H

#include "state.h"

typedef enum kvpy_key_mode {
    KVPY_KEYS_INT, /* int in 64 bits: no object is kept */
    KVPY_KEYS_FLOAT,
    KVPY_KEYS_STR, /* without lone surrogates: UTF-8 sorts as code points do */
    KVPY_KEYS_BYTES,
    KVPY_KEYS_TUPLE, /* its first element is such an int, its rank */
    KVPY_KEYS_OBJECT /* whatever `<` orders */
} kvpy_key_mode;

typedef enum kvpy_fit { KVPY_KEY_ERROR = -1, KVPY_KEY_FOREIGN, KVPY_KEY_FITS } kvpy_fit;

/* Whether comparing keys of this mode may run foreign code. */
static inline bool kvpy_keys_are_foreign(kvpy_key_mode mode)
{
    return mode >= KVPY_KEYS_TUPLE;
}

/* The key for a map of this mode whose keys are Python objects: str, bytes, tuples and objects are
 * `ret->object`, borrowed. Runs no foreign code. KVPY_KEY_ERROR with an exception: NaN, no memory. */
kvpy_fit kvpy_key_read(kvpy_state *state, kvpy_key_mode mode, PyObject *key, kvault_key *ret);
/* The mode that a map takes which begins with this key. False with an exception. */
bool kvpy_key_mode_of(kvpy_state *state, PyObject *key, kvpy_key_mode *ret);
/* Whether a first key has a place in an order: it is compared with itself. False with an exception. */
bool kvpy_key_has_order(kvpy_state *state, PyObject *key);

/* The UTF-8 of a str that fits KVPY_KEYS_STR, or the content of bytes. Cannot fail. */
kvault_slice kvpy_key_bytes(PyObject *key);
/* The object of such a key; new. For KVAULT_KEY_BYTES, str and bytes are made of the bytes. */
PyObject *kvpy_key_object(kvpy_key_mode mode, kvault_key key);
PyObject *kvpy_key_object_of_copy(kvpy_key_mode mode, kvault_key key);

/* Set *ret_order below, at or above 0. Both must be kept alive by the caller. False with an exception, also for two
 * keys of which neither is below the other and which are not equal. */
bool kvpy_key_compare(PyObject *a, PyObject *b, int *ret_order);

/* Fill the hooks of a map whose keys and values are owned references. */
kvault_map_hooks kvpy_map_hooks(void);

/* A kvault_map_order for a key that is foreign to the mode; the context is a kvpy_foreign. */
typedef struct kvpy_foreign {
    kvpy_key_mode mode;
    PyObject *key;
    PyObject *(*object)(kvpy_key_mode mode, kvault_key key); /* one of the two above */
} kvpy_foreign;
kvault_status kvpy_foreign_order(void *context, kvault_key key, int *ret_order, kvault_error *reterr);

/* Raise what a call of a map without words stands for, unless a comparison has raised. */
void kvpy_map_failed(kvpy_state *state, kvault_status status);

#endif
