/* convert.h - Python objects as bytes for the core, and back. */
#ifndef KVPY_CONVERT_H
#define KVPY_CONVERT_H

#include "errors.h"

/* Bytes of a Python object, which stay in place until the release, also without the GIL. */
typedef struct kvpy_bytes {
    kvault_slice slice;
    PyObject *owner; /* of bytes and str */
    Py_buffer view;  /* of everything else: view.obj is set */
} kvpy_bytes;

#define KVPY_BYTES_INIT                                                                                                \
    {                                                                                                                  \
        .owner = NULL, .view = {.obj = NULL }                                                                          \
    }

/* Fill `ret` from a key: str (as UTF-8) or any C-contiguous buffer, which is copied. False with an exception. */
bool kvpy_key(kvpy_state *state, PyObject *object, kvpy_bytes *ret);
/* The same for a value, which str is not. */
bool kvpy_value(kvpy_state *state, PyObject *object, kvpy_bytes *ret);
/* The same for a value that is stored whole: a copy of it, unless nobody can change it or it is stored in pieces. */
bool kvpy_steady_value(kvpy_state *state, PyObject *object, kvpy_bytes *ret);
/* The same for data to be read, whatever holds them. */
bool kvpy_data(kvpy_state *state, PyObject *object, kvpy_bytes *ret);
/* Let go of the object; nothing happens to one that was never filled. */
void kvpy_bytes_release(kvpy_bytes *bytes);

PyObject *kvpy_bytes_of_buf(const kvault_buf *buf);

/* The arguments of a METH_FASTCALL | METH_KEYWORDS method by place and name into ret[0..total), NULL where one
 * is not given; the first `required` must be. False with an exception. */
bool kvpy_arguments(const char *function, const char *const *names, Py_ssize_t required, Py_ssize_t total,
                    PyObject *const *args, Py_ssize_t nargs, PyObject *keywords, PyObject **ret);

/* An offset or a size, 0 to PY_SSIZE_T_MAX; `what` names it in the error. False with an exception. */
bool kvpy_unsigned(kvpy_state *state, PyObject *object, const char *what, uint64_t *ret);

#endif
