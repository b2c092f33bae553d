/* decode.h - tokens of a record -> Python objects. */
#ifndef KVPY_DECODE_H
#define KVPY_DECODE_H

#include "errors.h"
#include "key_cache.h"
#include "kohakuvault/packer.h"

/* One value on its way out of bytes, which stay in place until it is done. */
typedef struct kvpy_decoder {
    kvault_reader reader;
    kvpy_state *state;
    kvpy_key_cache *cache;
    PyObject *bad_bytes; /* the exception for bytes that are wrong; borrowed */
    kvault_format format;
    kvault_error err; /* set by whoever fails, and never cleared: it is large */
} kvpy_decoder;

/* Read one value; new. NULL with an exception: `bad_bytes` for bytes that are no such record or end too
 * soon, InvalidArgument for too deep a nest. */
PyObject *kvpy_decode(kvpy_decoder *decoder);

/* The rarer half, in decode_other.c: the object of any token but NULL, BOOL, INT, FLOAT and TEXT in one
 * piece, and of no container. The reader stands behind it; `at` is where it began. */
PyObject *kvpy_decode_other(kvpy_decoder *decoder, const kvault_token *token, const uint8_t *at);

/* Raise what a reader refused, in decoder->err. Always NULL. */
PyObject *kvpy_decode_failed(kvpy_decoder *decoder, kvault_status status);
/* Raise `bad_bytes` for text that is not UTF-8, in place of the UnicodeDecodeError, which must be set. Any
 * other exception stays. Always NULL. */
PyObject *kvpy_decode_bad_text(kvpy_decoder *decoder, kvault_slice text);

#endif
