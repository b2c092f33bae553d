/* map_protocol.h - what both maps take and give: pairs, defaults, repr, pickling. */
#ifndef KVPY_MAP_PROTOCOL_H
#define KVPY_MAP_PROTOCOL_H

#include "state.h"

/* A tuple of two; both references are taken, also on failure. Either may be NULL with an exception. */
PyObject *kvpy_pair(PyObject *take_key, PyObject *take_value);
/* The items of a mapping, or the iterable of pairs itself; new. */
PyObject *kvpy_pairs_of(PyObject *pairs_or_mapping);
/* Take a pair apart; `index` is for the words. False with an exception. */
bool kvpy_unpack_pair(PyObject *pair, Py_ssize_t index, PyObject **ret_key, PyObject **ret_value);

/* Whether the arguments are (key, default=None); `name` is for the words. *ret_default borrows. False with an
 * exception. */
bool kvpy_key_and_default(const char *name, PyObject *const *args, Py_ssize_t nargs, PyObject *names,
                          PyObject **ret_default);
/* Whether there are so many arguments. False with an exception. */
bool kvpy_args_are(const char *name, Py_ssize_t nargs, Py_ssize_t wanted);
/* Whether the arguments are (start=None, end=None, *, reverse=False). They borrow; None is NULL. */
bool kvpy_range_args(PyObject *args, PyObject *kwargs, PyObject **ret_start, PyObject **ret_end, int *ret_reverse);

/* KeyError(key), whatever the key is. Always NULL. */
PyObject *kvpy_raise_key_error(PyObject *key);
/* The repr of what `items` (taken) holds, put into `format`, which takes the name of the type and an object. */
PyObject *kvpy_map_repr(PyObject *self, const char *format, PyObject *(*items)(PyObject *self, PyObject *unused));
/* For pickle: the type, the arguments (taken), the attributes of a subclass, then the pairs in order. */
PyObject *kvpy_map_reduce(PyObject *self, PyObject *take_args);

#endif
