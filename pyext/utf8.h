/* utf8.h - any str as UTF-8, written where the caller wants it.
 *
 * PyUnicode_AsUTF8AndSize() would keep a second copy of every text inside its object for as long as that lives. */
#ifndef KVPY_UTF8_H
#define KVPY_UTF8_H

#include "state.h"

/* How many bytes the text takes. -1 with an exception for a lone surrogate, which UTF-8 does not have. */
Py_ssize_t kvpy_utf8_size(kvpy_state *state, PyObject *text);
/* Write them; `to` has room for as many. */
void kvpy_utf8_store(PyObject *text, uint8_t *to);
/* A str of UTF-8; NULL with a UnicodeDecodeError. ASCII costs one pass and one copy. */
PyObject *kvpy_utf8_load(const uint8_t *from, size_t size);

#endif
