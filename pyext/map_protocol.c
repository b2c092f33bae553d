/* map_protocol.c - what both maps take and give: pairs, defaults, repr, pickling. */
#include "map_protocol.h"

/* ---- pairs ---- */

PyObject *kvpy_pair(PyObject *take_key, PyObject *take_value)
{
    PyObject *pair = take_key && take_value ? PyTuple_New(2) : NULL;

    if (!pair) {
        Py_XDECREF(take_key);
        Py_XDECREF(take_value);
        return NULL;
    }
    PyTuple_SET_ITEM(pair, 0, take_key);
    PyTuple_SET_ITEM(pair, 1, take_value);
    return pair;
}

PyObject *kvpy_pairs_of(PyObject *pairs_or_mapping)
{
    if (PyDict_CheckExact(pairs_or_mapping))
        return PyDict_Items(pairs_or_mapping);
    if (PyList_CheckExact(pairs_or_mapping) || !PyObject_HasAttrString(pairs_or_mapping, "items"))
        return Py_NewRef(pairs_or_mapping);
    return PyMapping_Items(pairs_or_mapping);
}

bool kvpy_unpack_pair(PyObject *pair, Py_ssize_t index, PyObject **ret_key, PyObject **ret_value)
{
    PyObject *fast = PySequence_Fast(pair, "");

    if (!fast) {
        if (PyErr_ExceptionMatches(PyExc_TypeError))
            PyErr_Format(PyExc_TypeError, "element %zd is %.100s, want a pair of key and value", index,
                         Py_TYPE(pair)->tp_name);
        return false;
    }
    if (PySequence_Fast_GET_SIZE(fast) != 2) {
        PyErr_Format(PyExc_ValueError, "element %zd has length %zd, want a pair of key and value", index,
                     PySequence_Fast_GET_SIZE(fast));
        Py_DECREF(fast);
        return false;
    }
    *ret_key = Py_NewRef(PySequence_Fast_GET_ITEM(fast, 0));
    *ret_value = Py_NewRef(PySequence_Fast_GET_ITEM(fast, 1));
    Py_DECREF(fast);
    return true;
}

/* ---- arguments ---- */

bool kvpy_key_and_default(const char *name, PyObject *const *args, Py_ssize_t nargs, PyObject *names,
                          PyObject **ret_default)
{
    Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;

    if (nargs < 1 || nargs + named > 2) {
        PyErr_Format(PyExc_TypeError, "%s() takes a key and a default, got %zd arguments", name, nargs + named);
        return false;
    }
    if (named && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "default") != 0) {
        PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument %R", name, PyTuple_GET_ITEM(names, 0));
        return false;
    }
    *ret_default = nargs + named > 1 ? args[1] : Py_None;
    return true;
}

bool kvpy_args_are(const char *name, Py_ssize_t nargs, Py_ssize_t wanted)
{
    if (nargs != wanted)
        PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, got %zd", name, wanted, nargs);
    return nargs == wanted;
}

bool kvpy_range_args(PyObject *args, PyObject *kwargs, PyObject **ret_start, PyObject **ret_end, int *ret_reverse)
{
    static char *names[] = { "start", "end", "reverse", NULL };

    *ret_start = *ret_end = NULL;
    *ret_reverse = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO$p:irange", names, ret_start, ret_end, ret_reverse))
        return false;
    if (*ret_start == Py_None)
        *ret_start = NULL;
    if (*ret_end == Py_None)
        *ret_end = NULL;
    return true;
}

/* ---- results ---- */

PyObject *kvpy_raise_key_error(PyObject *key)
{
    PyObject *args = PyTuple_Pack(1, key); /* or a key that is a tuple would be taken for the arguments */

    if (args) {
        PyErr_SetObject(PyExc_KeyError, args);
        Py_DECREF(args);
    }
    return NULL;
}

PyObject *kvpy_map_repr(PyObject *self, const char *format, PyObject *(*items)(PyObject *self, PyObject *unused))
{
    const char *dot = strrchr(Py_TYPE(self)->tp_name, '.'), *name = dot ? dot + 1 : Py_TYPE(self)->tp_name;
    int entered = Py_ReprEnter(self);
    PyObject *pairs, *repr;

    if (entered != 0)
        return entered > 0 ? PyUnicode_FromFormat("%s(...)", name) : NULL;
    pairs = items(self, NULL);
    repr = pairs ? PyUnicode_FromFormat(format, name, pairs) : NULL;
    Py_XDECREF(pairs);
    Py_ReprLeave(self);
    return repr;
}

PyObject *kvpy_map_reduce(PyObject *self, PyObject *take_args)
{
    PyObject *pairs = take_args ? PyObject_GetIter(self) : NULL, *state = NULL, *reduced = NULL;

    if (pairs) {
        state = PyObject_GetAttrString(self, "__dict__");
        if (!state && PyErr_ExceptionMatches(PyExc_AttributeError)) {
            PyErr_Clear();
            state = Py_NewRef(Py_None);
        }
    }
    if (state)
        reduced = PyTuple_Pack(5, Py_TYPE(self), take_args, state, Py_None, pairs);
    Py_XDECREF(state);
    Py_XDECREF(pairs);
    Py_XDECREF(take_args);
    return reduced;
}
