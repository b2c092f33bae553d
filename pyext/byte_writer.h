/* byte_writer.h - a writer that ends as a bytes object.
 *
 * Most records are small: they are written on the stack and copied once. What
 * outgrows the stack goes on in a bytes object that grows by half. */
#ifndef KVPY_BYTE_WRITER_H
#define KVPY_BYTE_WRITER_H

#include "compat.h"
#include "kohakuvault/packer.h"

#define KVPY_STACK_BYTES 1024

/* Lives on the caller's stack and does not move while it is in use. */
typedef struct kvpy_byte_writer {
    kvault_writer writer;
    PyObject *bytes; /* NULL while all is in `stack` */
    uint8_t stack[KVPY_STACK_BYTES];
} kvpy_byte_writer;

/* The GIL is held for each of these, as for the writing itself. */
void kvpy_byte_writer_init(kvpy_byte_writer *self);
/* What was written so far, until the next write. */
kvault_slice kvpy_byte_writer_slice(const kvpy_byte_writer *self);
/* The bytes that were written, as a new object; the writer is empty then, also on failure, which is NULL. */
PyObject *kvpy_byte_writer_finish(kvpy_byte_writer *self);
/* Throw away what was written. */
void kvpy_byte_writer_discard(kvpy_byte_writer *self);

#endif
