/* token_types.c - ExtType, Tag and Simple of tokens.py. */
#include "token_types.h"

bool kvpy_token_types(kvpy_state *state)
{
    PyObject *module;

    if (state->Simple)
        return true;
    module = PyImport_ImportModule("kohakuvault.tokens");
    if (module) {
        Py_XSETREF(state->ExtType, PyObject_GetAttrString(module, "ExtType"));
        Py_XSETREF(state->Tag, PyObject_GetAttrString(module, "Tag"));
        if (state->ExtType && state->Tag)
            state->Simple = PyObject_GetAttrString(module, "Simple");
        Py_DECREF(module);
    }
    return state->Simple != NULL;
}

/* A field that holds an int of 64 bits without a sign. */
static bool unsigned_field(PyObject *object, PyObject *name, uint64_t *ret)
{
    PyObject *field = PyObject_GetAttr(object, name);

    if (!field)
        return false;
    *ret = PyLong_AsUnsignedLongLong(field); /* a wrong type and a wrong range have their exceptions */
    Py_DECREF(field);
    return !PyErr_Occurred();
}

bool kvpy_ext_parts(kvpy_state *state, PyObject *ext, int32_t *ret_code, PyObject **ret_data)
{
    PyObject *code = PyObject_GetAttr(ext, state->str_code);
    PyObject *data = code ? PyObject_GetAttr(ext, state->str_data) : NULL;

    if (data) {
        long number = PyLong_AsLong(code);
        *ret_code = number < INT8_MIN || number > INT8_MAX ? INT32_MAX : (int32_t)number; /* for the writer to refuse */
    }
    if (data && !PyErr_Occurred() && !PyBytes_Check(data))
        PyErr_Format(state->WrongType, "the data of an ExtType are bytes, not %.100s", Py_TYPE(data)->tp_name);
    Py_XDECREF(code);
    if (PyErr_Occurred()) {
        Py_XDECREF(data);
        return false;
    }
    *ret_data = data;
    return true;
}

bool kvpy_tag_parts(kvpy_state *state, PyObject *tag, uint64_t *ret_number, PyObject **ret_value)
{
    if (!unsigned_field(tag, state->str_number, ret_number))
        return false;
    *ret_value = PyObject_GetAttr(tag, state->str_value);
    return *ret_value != NULL;
}

bool kvpy_simple_number(kvpy_state *state, PyObject *simple, uint64_t *ret_number)
{
    return unsigned_field(simple, state->str_number, ret_number);
}

PyObject *kvpy_ext_new(kvpy_state *state, int32_t code, kvault_slice data)
{
    if (!kvpy_token_types(state))
        return NULL;
    return PyObject_CallFunction(state->ExtType, "iy#", (int)code, (const char *)data.data, (Py_ssize_t)data.size);
}

PyObject *kvpy_tag_new(kvpy_state *state, uint64_t number, PyObject *value)
{
    return kvpy_token_types(state) ? PyObject_CallFunction(state->Tag, "KO", (unsigned long long)number, value) : NULL;
}

PyObject *kvpy_simple_new(kvpy_state *state, uint64_t number)
{
    return kvpy_token_types(state) ? PyObject_CallFunction(state->Simple, "K", (unsigned long long)number) : NULL;
}
