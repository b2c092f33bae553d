/* packer.h - DataPacker as the rest of the extension uses it: objects <-> bytes of a dtype.
 *
 * A packer is immutable but for what it remembers of the keys it has read, which the GIL guards: hold it
 * during each of these calls. They may run foreign code (the `__index__` of a value, a time zone, a garbage
 * collection), so a caller keeps no lock of the core and no view of its own things across them. */
#ifndef KVPY_PACKER_H
#define KVPY_PACKER_H

#include "byte_writer.h"
#include "errors.h"
#include "key_cache.h"
#include "kohakuvault/packer.h"

typedef struct kvpy_packer {
    PyObject_HEAD kvpy_state *state;
    kvault_dtype dtype;
    PyObject *schema;      /* its text; NULL without one */
    PyObject *validator;   /* of schema.py; NULL without one */
    kvpy_key_cache *cache; /* NULL until a record is read */
} kvpy_packer;

/* A packer for a dtype. `schema` is NULL or what the user gave: JSON Schema if the dtype is msgpack, CDDL if
 * it is cbor. NULL with an exception: InvalidArgument ("Unknown dtype"), or for a schema that is none. */
kvpy_packer *kvpy_packer_new(kvpy_state *state, const kvault_dtype *dtype, PyObject *schema);
/* Parse the dtype that a str names. False with an exception: WrongType, InvalidArgument ("Unknown dtype"). */
bool kvpy_dtype_of(kvpy_state *state, PyObject *text, kvault_dtype *ret_dtype);

/* ---- one value ---- */

/* Write one element: exactly dtype.size_bytes if the dtype has a size. False with an exception, and what was
 * written then is for the caller to throw away: WrongType, OverflowError, InvalidArgument ("Data too long",
 * "non-ASCII", "outside Latin1 range"), SchemaError ("Validation errors"). */
bool kvpy_pack_value(kvpy_packer *self, PyObject *value, kvault_writer *writer);

/* Read the element at `offset` of the data, which stay in place meanwhile: bytes and text without a size go on
 * to the end of the data. *ret_end is the offset behind it. NULL with an exception: `bad_bytes` for bytes that
 * are no such element or end too soon ("Not enough data"). */
PyObject *kvpy_unpack_value(kvpy_packer *self, kvault_slice data, size_t offset, PyObject *bad_bytes, size_t *ret_end);

/* The same for a record of the packer's format that is not padded, whatever the size of its dtype. */
PyObject *kvpy_unpack_record(kvpy_packer *self, kvault_slice data, size_t offset, PyObject *bad_bytes, size_t *ret_end);

/* ---- many ---- */

/* The values of a list or tuple that other code may change at any time. */
typedef struct kvpy_items {
    PyObject *sequence; /* list or tuple; borrowed */
    Py_ssize_t first, count;
} kvpy_items;

/* Write the elements of `items` one behind the other. `ret_starts`, if not NULL, has room for their count: where
 * each begins in the writer. False with an exception, as for one value, or RuntimeError if the sequence got
 * shorter meanwhile. */
bool kvpy_pack_items(kvpy_packer *self, const kvpy_items *items, kvpy_byte_writer *writer, uint64_t *ret_starts);

/* Whether `object` is a buffer whose memory is `dtype` elements as they are stored, one behind the other; *ret
 * is filled then, to be released. A buffer of anything else is one object after the other for kvpy_pack_items(). */
bool kvpy_elements_of(const kvault_dtype *dtype, PyObject *object, Py_buffer *ret);
/* As kvpy_elements_of() found it, write the whole of it. */
bool kvpy_pack_elements(kvpy_packer *self, const Py_buffer *view, kvpy_byte_writer *writer);

/* A list of the `count` elements of a dtype with a size that begin at data.data; the data holds as many. */
PyObject *kvpy_unpack_elements(kvpy_packer *self, kvault_slice data, Py_ssize_t count, PyObject *bad_bytes);

#endif
