/* map_keys.c - Python objects as keys of the ordered maps. */
#include "map_keys.h"

#include "errors.h"

/* ---- reading ---- */

static bool fits_int64(PyObject *key, int64_t *ret)
{
    int overflow = 0;

    if (!PyLong_CheckExact(key))
        return false;
    *ret = PyLong_AsLongLongAndOverflow(key, &overflow);
    return overflow == 0;
}

/* After this succeeded the UTF-8 is kept by the object, so kvpy_key_bytes() finds it. */
static kvpy_fit read_str(PyObject *key, kvault_key *ret)
{
    Py_ssize_t size;

    if (!PyUnicode_CheckExact(key))
        return KVPY_KEY_FOREIGN;
    ret->object = key;
    if (PyUnicode_IS_COMPACT_ASCII(key) || PyUnicode_AsUTF8AndSize(key, &size))
        return KVPY_KEY_FITS;
    if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError))
        return KVPY_KEY_ERROR;
    PyErr_Clear(); /* a lone surrogate: left to the comparison of Python */
    return KVPY_KEY_FOREIGN;
}

static kvpy_fit read_exact(kvpy_key_mode mode, PyObject *key, kvault_key *ret)
{
    int64_t rank;

    switch (mode) {
    case KVPY_KEYS_INT:
        return fits_int64(key, &ret->i64) ? KVPY_KEY_FITS : KVPY_KEY_FOREIGN;
    case KVPY_KEYS_FLOAT:
        if (!PyFloat_CheckExact(key))
            return KVPY_KEY_FOREIGN;
        ret->f64 = PyFloat_AS_DOUBLE(key);
        return KVPY_KEY_FITS;
    case KVPY_KEYS_STR:
        return read_str(key, ret);
    case KVPY_KEYS_BYTES:
        ret->object = key;
        return PyBytes_CheckExact(key) ? KVPY_KEY_FITS : KVPY_KEY_FOREIGN;
    case KVPY_KEYS_TUPLE:
        ret->object = key;
        return PyTuple_CheckExact(key) && PyTuple_GET_SIZE(key) > 0 && fits_int64(PyTuple_GET_ITEM(key, 0), &rank)
                   ? KVPY_KEY_FITS
                   : KVPY_KEY_FOREIGN;
    case KVPY_KEYS_OBJECT:
        ret->object = key;
        return KVPY_KEY_FITS;
    }
    Py_UNREACHABLE();
}

kvpy_fit kvpy_key_read(kvpy_state *state, kvpy_key_mode mode, PyObject *key, kvault_key *ret)
{
    kvpy_fit fit = read_exact(mode, key, ret);
    bool may_be_float = fit == KVPY_KEY_FOREIGN || mode == KVPY_KEYS_FLOAT || mode == KVPY_KEYS_OBJECT;

    if (may_be_float && PyFloat_Check(key) && Py_IS_NAN(PyFloat_AS_DOUBLE(key))) {
        PyErr_SetString(state->InvalidArgument, "NaN cannot be a key: it has no place in an order");
        return KVPY_KEY_ERROR;
    }
    return fit;
}

bool kvpy_key_mode_of(kvpy_state *state, PyObject *key, kvpy_key_mode *ret)
{
    for (kvpy_key_mode mode = KVPY_KEYS_INT;; mode++) {
        kvault_key unused;
        kvpy_fit fit = kvpy_key_read(state, mode, key, &unused);

        if (fit == KVPY_KEY_FITS)
            *ret = mode; /* at the latest KVPY_KEYS_OBJECT */
        if (fit != KVPY_KEY_FOREIGN)
            return fit == KVPY_KEY_FITS;
    }
}

bool kvpy_key_has_order(kvpy_state *state, PyObject *key)
{
    int below = PyObject_RichCompareBool(key, key, Py_LT), equal;
    PyObject *answer;

    if (below < 0)
        return false;
    answer = PyObject_RichCompare(key, key, Py_EQ); /* RichCompareBool would not ask */
    equal = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    if (equal >= 0 && (below || !equal))
        PyErr_Format(state->InvalidArgument, "%R cannot be a key: it is not equal to itself", key);
    return equal > 0 && !below;
}

kvault_slice kvpy_key_bytes(PyObject *key)
{
    Py_ssize_t size = 0;
    const char *data;

    if (PyBytes_CheckExact(key))
        return (kvault_slice){ PyBytes_AS_STRING(key), (size_t)PyBytes_GET_SIZE(key) };
    if (PyUnicode_IS_COMPACT_ASCII(key))
        return (kvault_slice){ PyUnicode_1BYTE_DATA(key), (size_t)PyUnicode_GET_LENGTH(key) };
    data = PyUnicode_AsUTF8AndSize(key, &size);
    return (kvault_slice){ data, (size_t)size };
}

PyObject *kvpy_key_object(kvpy_key_mode mode, kvault_key key)
{
    if (mode == KVPY_KEYS_INT)
        return PyLong_FromLongLong(key.i64);
    if (mode == KVPY_KEYS_FLOAT)
        return PyFloat_FromDouble(key.f64);
    return Py_NewRef((PyObject *)key.object);
}

PyObject *kvpy_key_object_of_copy(kvpy_key_mode mode, kvault_key key)
{
    if (mode == KVPY_KEYS_STR)
        return PyUnicode_DecodeUTF8(key.bytes.data, (Py_ssize_t)key.bytes.size, NULL);
    if (mode == KVPY_KEYS_BYTES)
        return PyBytes_FromStringAndSize(key.bytes.data, (Py_ssize_t)key.bytes.size);
    return kvpy_key_object(mode, key);
}

/* ---- comparing ---- */

bool kvpy_key_compare(PyObject *a, PyObject *b, int *ret_order)
{
    int answer;

    *ret_order = 0;
    if (a == b)
        return true;
    answer = PyObject_RichCompareBool(a, b, Py_LT);
    if (answer != 0) {
        *ret_order = -1;
        return answer > 0;
    }
    answer = PyObject_RichCompareBool(b, a, Py_LT);
    if (answer != 0) {
        *ret_order = 1;
        return answer > 0;
    }
    answer = PyObject_RichCompareBool(a, b, Py_EQ);
    if (answer == 0)
        PyErr_Format(PyExc_TypeError, "keys %R and %R are not equal, but neither is below the other", a, b);
    return answer > 0;
}

static kvault_status compare_hook(void *context, void *a, void *b, int *ret_order, kvault_error *reterr)
{
    bool compared;

    (void)context;
    (void)reterr;
    if (PyErr_Occurred())
        return KVAULT_E_COMPARE; /* a SkipList may go on after a comparison has raised */
    /* What the comparison calls may let go of either. */
    Py_INCREF(a);
    Py_INCREF(b);
    compared = kvpy_key_compare(a, b, ret_order);
    Py_DECREF(b);
    Py_DECREF(a);
    return compared ? KVAULT_OK : KVAULT_E_COMPARE;
}

kvault_status kvpy_foreign_order(void *context, kvault_key key, int *ret_order, kvault_error *reterr)
{
    kvpy_foreign *foreign = context;
    PyObject *object = foreign->object(foreign->mode, key);
    bool compared;

    (void)reterr;
    if (!object)
        return KVAULT_E_NOMEM;
    compared = kvpy_key_compare(object, foreign->key, ret_order);
    Py_DECREF(object);
    return compared ? KVAULT_OK : KVAULT_E_COMPARE;
}

/* ---- the other hooks ---- */

static kvault_slice bytes_hook(void *context, void *key)
{
    (void)context;
    return kvpy_key_bytes(key);
}

static int64_t rank_hook(void *context, void *key)
{
    int64_t rank = 0;

    (void)context;
    (void)fits_int64(PyTuple_GET_ITEM(key, 0), &rank);
    return rank;
}

static void release_hook(void *context, void *object)
{
    (void)context;
    Py_DECREF((PyObject *)object);
}

kvault_map_hooks kvpy_map_hooks(void)
{
    return (kvault_map_hooks){
        .compare = compare_hook,
        .bytes = bytes_hook,
        .rank = rank_hook,
        .release_key = release_hook,
        .release_value = release_hook,
    };
}

void kvpy_map_failed(kvpy_state *state, kvault_status status)
{
    kvault_error err = KVAULT_ERROR_INIT;

    if (PyErr_Occurred())
        return;
    if (status == KVAULT_E_NOMEM) {
        PyErr_NoMemory();
    } else if (status == KVAULT_E_REENTERED) {
        PyErr_SetString(PyExc_RuntimeError, "the map was changed while its keys were compared");
    } else {
        PyOS_snprintf(err.message, sizeof err.message, "%s", kvault_status_text(status));
        kvpy_raise(state, status, &err);
    }
}
