/* scalar.h - one value of a dtype that is no record <-> bytes: numbers, bool, bytes, text. */
#ifndef KVPY_SCALAR_H
#define KVPY_SCALAR_H

#include "errors.h"
#include "kohakuvault/packer.h"

/* As kvpy_pack_value() and kvpy_unpack_value() for such a dtype. */
bool kvpy_scalar_pack(kvpy_state *state, const kvault_dtype *dtype, PyObject *value, kvault_writer *writer);
PyObject *kvpy_scalar_unpack(kvpy_state *state, const kvault_dtype *dtype, kvault_slice data, size_t offset,
                             PyObject *bad_bytes, size_t *ret_end);

/* A number of a fixed dtype as a token. False with an exception: WrongType for an object that is none,
 * OverflowError for an integer beyond 64 bits. */
bool kvpy_number_token(kvpy_state *state, const kvault_dtype *dtype, PyObject *value, kvault_token *ret_token);
static inline bool kvpy_is_integer(kvault_kind kind)
{
    return kind <= KVAULT_U64;
}

#endif
