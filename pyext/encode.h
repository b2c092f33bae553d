/* encode.h - Python objects -> tokens of a record. */
#ifndef KVPY_ENCODE_H
#define KVPY_ENCODE_H

#include "errors.h"
#include "kohakuvault/packer.h"

/* One value on its way into a writer. */
typedef struct kvpy_encoder {
    kvault_writer *writer;
    kvpy_state *state;
    kvault_format format;
    unsigned foreign; /* how often code that is not ours ran, and may have changed what is being walked */
    unsigned in_key;  /* how many keys of dicts we are inside of */
} kvpy_encoder;

/* Write one value. False with an exception: WrongType for an object that the format has no shape for,
 * OverflowError for a number beyond it, InvalidArgument for text with lone surrogates and for too deep
 * a nest, RuntimeError for a dict or list that changes meanwhile. What was written then is for the caller
 * to throw away. */
bool kvpy_encode(kvpy_encoder *encoder, PyObject *object);

/* The same, taking the object for one of exactly `type`, which is a base of its own. */
bool kvpy_encode_as(kvpy_encoder *encoder, PyObject *object, PyTypeObject *type);

/* The rarer half, in encode_other.c: what is of none of the exact types that kvpy_encode() knows (their
 * subclasses, other buffers, datetimes, ExtType, Tag, Simple), and an int beyond 64 bits with its sign. */
bool kvpy_encode_other(kvpy_encoder *encoder, PyObject *object);
bool kvpy_encode_large_int(kvpy_encoder *encoder, PyObject *number);

/* Raise what a writer refused. Always false. */
bool kvpy_encode_failed(kvpy_encoder *encoder, kvault_status status, const kvault_error *err);
/* Write a token that holds no others. */
bool kvpy_encode_token(kvpy_encoder *encoder, const kvault_token *token);

#endif
