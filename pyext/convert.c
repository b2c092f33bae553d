/* convert.c - Python objects as bytes for the core, and back. */
#include "convert.h"

#include <string.h>

/* A NumPy scalar offers its memory as a buffer; taking it would store 8 bytes where somebody meant a number. */
static bool is_numpy_scalar(PyObject *object)
{
    const char *name = Py_TYPE(object)->tp_name;

    return strncmp(name, "numpy.", 6) == 0 && strcmp(name, "numpy.ndarray") != 0;
}

/* An array of Python objects has their addresses in its memory, which mean nothing later. */
static bool holds_objects(PyObject *object)
{
    Py_buffer view;
    bool holds;

    if (PyObject_GetBuffer(object, &view, PyBUF_ND | PyBUF_FORMAT) < 0) {
        PyErr_Clear(); /* a type without a format; or what the caller will be told */
        return false;
    }
    holds = view.format && strchr(view.format, 'O');
    PyBuffer_Release(&view);
    return holds;
}

static bool fill_buffer(kvpy_state *state, PyObject *object, const char *wanted, kvpy_bytes *ret)
{
    if (!PyObject_CheckBuffer(object) || is_numpy_scalar(object)) {
        PyErr_Format(state->WrongType, "%s, not %.100s", wanted, Py_TYPE(object)->tp_name);
        return false;
    }
    if (!PyByteArray_Check(object) && !PyBytes_Check(object) && holds_objects(object)) {
        PyErr_Format(state->WrongType, "%s, not %.100s of Python objects", wanted, Py_TYPE(object)->tp_name);
        return false;
    }
    if (PyObject_GetBuffer(object, &ret->view, PyBUF_SIMPLE) < 0) {
        ret->view.obj = NULL;
        return false;
    }
    ret->slice = (kvault_slice){ ret->view.buf, (size_t)ret->view.len };
    return true;
}

static void borrow_bytes(PyObject *object, kvpy_bytes *ret)
{
    ret->owner = Py_NewRef(object);
    ret->slice = (kvault_slice){ PyBytes_AS_STRING(object), (size_t)PyBytes_GET_SIZE(object) };
}

/* Bytes that another thread may change are copied, so that their checksum is that of what is stored. */
static bool make_steady(kvpy_bytes *bytes)
{
    if (!bytes->view.obj)
        return true;
    bytes->owner = PyBytes_FromStringAndSize(bytes->view.buf, bytes->view.len);
    PyBuffer_Release(&bytes->view);
    if (bytes->owner)
        bytes->slice.data = PyBytes_AS_STRING(bytes->owner);
    return bytes->owner != NULL;
}

bool kvpy_key(kvpy_state *state, PyObject *object, kvpy_bytes *ret)
{
    if (PyBytes_Check(object)) {
        borrow_bytes(object, ret);
        return true;
    }
    if (PyUnicode_Check(object)) {
        Py_ssize_t size;
        const char *text = PyUnicode_AsUTF8AndSize(object, &size);

        if (!text)
            return false;
        ret->owner = Py_NewRef(object);
        ret->slice = (kvault_slice){ text, (size_t)size };
        return true;
    }
    if (!fill_buffer(state, object, "a key is str or bytes-like", ret))
        return false;
    return ret->slice.size > KVAULT_KEY_BYTES_MAX || make_steady(ret); /* a longer one is refused */
}

bool kvpy_value(kvpy_state *state, PyObject *object, kvpy_bytes *ret)
{
    if (PyBytes_CheckExact(object)) {
        borrow_bytes(object, ret);
        return true;
    }
    return fill_buffer(state, object, "a value is bytes-like", ret);
}

bool kvpy_steady_value(kvpy_state *state, PyObject *object, kvpy_bytes *ret)
{
    if (!kvpy_value(state, object, ret))
        return false;
    return ret->slice.size > KVAULT_INLINE_BYTES_MAX || make_steady(ret); /* a larger one is copied block by block */
}

bool kvpy_data(kvpy_state *state, PyObject *object, kvpy_bytes *ret)
{
    if (PyBytes_CheckExact(object)) {
        borrow_bytes(object, ret);
        return true;
    }
    return fill_buffer(state, object, "data are bytes-like", ret);
}

void kvpy_bytes_release(kvpy_bytes *bytes)
{
    Py_CLEAR(bytes->owner);
    if (bytes->view.obj)
        PyBuffer_Release(&bytes->view);
}

PyObject *kvpy_bytes_of_buf(const kvault_buf *buf)
{
    return PyBytes_FromStringAndSize((const char *)buf->data, (Py_ssize_t)buf->size);
}

bool kvpy_unsigned(kvpy_state *state, PyObject *object, const char *what, uint64_t *ret)
{
    PyObject *number = PyNumber_Index(object);
    Py_ssize_t value;

    if (!number)
        return false;
    value = PyLong_AsSsize_t(number);
    if (value < 0) {
        PyErr_Clear();
        PyErr_Format(state->InvalidArgument, "%s is %S, want 0 to %zd", what, number, PY_SSIZE_T_MAX);
    }
    Py_DECREF(number);
    *ret = (uint64_t)value;
    return value >= 0;
}

/* Where the keyword belongs; -1 with an exception. */
static Py_ssize_t place_of(const char *function, PyObject *keyword, const char *const *names, Py_ssize_t total)
{
    for (Py_ssize_t i = 0; i < total; i++) {
        if (PyUnicode_CompareWithASCIIString(keyword, names[i]) == 0)
            return i;
    }
    PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument %R", function, keyword);
    return -1;
}

bool kvpy_arguments(const char *function, const char *const *names, Py_ssize_t required, Py_ssize_t total,
                    PyObject *const *args, Py_ssize_t nargs, PyObject *keywords, PyObject **ret)
{
    Py_ssize_t named = keywords ? PyTuple_GET_SIZE(keywords) : 0;

    if (nargs > total) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %zd arguments, got %zd", function, total, nargs + named);
        return false;
    }
    for (Py_ssize_t i = 0; i < total; i++)
        ret[i] = i < nargs ? args[i] : NULL;
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *keyword = PyTuple_GET_ITEM(keywords, i);
        Py_ssize_t place = place_of(function, keyword, names, total);

        if (place < 0)
            return false;
        if (ret[place]) {
            PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument %R", function, keyword);
            return false;
        }
        ret[place] = args[nargs + i];
    }
    for (Py_ssize_t i = 0; i < required; i++) {
        if (!ret[i]) {
            PyErr_Format(PyExc_TypeError, "%s() misses its argument '%s'", function, names[i]);
            return false;
        }
    }
    return true;
}
