/* byte_writer.c - a writer that ends as a bytes object. */
#include "byte_writer.h"

static uint8_t *start_of(const kvpy_byte_writer *self)
{
    return self->bytes ? (uint8_t *)PyBytes_AS_STRING(self->bytes) : (uint8_t *)self->stack;
}

static size_t size_of(const kvpy_byte_writer *self)
{
    return (size_t)(self->writer.at - start_of(self));
}

kvault_slice kvpy_byte_writer_slice(const kvpy_byte_writer *self)
{
    return (kvault_slice){ start_of(self), size_of(self) };
}

/* A bytes object of `capacity` bytes with what is there; false, and all is as it was. */
static bool move_to(kvpy_byte_writer *self, size_t capacity, size_t size)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)capacity);

    if (!bytes) {
        PyErr_Clear(); /* the status says it */
        return false;
    }
    memcpy(PyBytes_AS_STRING(bytes), start_of(self), size);
    Py_XDECREF(self->bytes);
    self->bytes = bytes;
    return true;
}

static kvault_status grow(kvault_writer *writer, size_t more, kvault_error *reterr)
{
    kvpy_byte_writer *self = writer->owner;
    size_t size = size_of(self);
    size_t capacity;

    (void)reterr;
    if (more > (size_t)PY_SSIZE_T_MAX / 2 - size)
        return KVAULT_E_NOMEM;
    capacity = (more > size / 2 ? size + more : size + size / 2) + KVPY_STACK_BYTES;
    if (!move_to(self, capacity, size))
        return KVAULT_E_NOMEM;
    writer->at = start_of(self) + size;
    writer->end = start_of(self) + capacity;
    return KVAULT_OK;
}

void kvpy_byte_writer_init(kvpy_byte_writer *self)
{
    self->bytes = NULL;
    self->writer = (kvault_writer){ self->stack, self->stack + sizeof self->stack, 0, self, grow };
}

PyObject *kvpy_byte_writer_finish(kvpy_byte_writer *self)
{
    size_t size = size_of(self);
    PyObject *bytes = self->bytes;

    if (!bytes)
        return PyBytes_FromStringAndSize((const char *)self->stack, (Py_ssize_t)size);
    self->bytes = NULL;
    (void)_PyBytes_Resize(&bytes, (Py_ssize_t)size); /* sets it to NULL on failure */
    return bytes;
}

void kvpy_byte_writer_discard(kvpy_byte_writer *self)
{
    Py_CLEAR(self->bytes);
    self->writer.at = self->writer.end = self->stack;
}
