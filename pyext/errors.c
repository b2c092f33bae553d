/* errors.c - a status and its words become an exception of errors.py. */
#include "errors.h"

static PyObject *exception_for(kvpy_state *state, kvault_status status)
{
    switch (status) { /* no default: a new status stops the build */
    case KVAULT_OK:
    case KVAULT_END:
        break;
    case KVAULT_NOT_FOUND:
        return state->NotFound;
    case KVAULT_E_NOMEM:
        return PyExc_MemoryError;
    case KVAULT_E_INVALID:
    case KVAULT_E_TOOBIG:
        return state->InvalidArgument;
    case KVAULT_E_TYPE:
        return state->WrongType;
    case KVAULT_E_RANGE:
        return PyExc_OverflowError;
    case KVAULT_E_BUSY:
        return state->DatabaseBusy;
    case KVAULT_E_IO:
        return state->IoError;
    case KVAULT_E_CORRUPT:
        return state->CorruptData;
    case KVAULT_E_CLOSED:
        return state->ClosedHandle;
    case KVAULT_E_READONLY:
        return state->ReadOnly;
    case KVAULT_E_FORKED:
        return state->ForkedHandle;
    case KVAULT_E_REENTERED:
        return PyExc_RuntimeError;
    case KVAULT_E_INTERRUPTED:
        return state->KohakuVaultError;
    case KVAULT_E_COMPARE:
        return PyExc_TypeError;
    case KVAULT_E_INDEX:
        return PyExc_IndexError;
    }
    Py_UNREACHABLE();
}

PyObject *kvpy_raise(kvpy_state *state, kvault_status status, const kvault_error *err)
{
    PyObject *type = exception_for(state, status);
    PyObject *message = PyUnicode_DecodeUTF8(err->message, (Py_ssize_t)strlen(err->message), "replace");
    PyObject *exc = NULL, *code = NULL;

    if (message && type == state->IoError && err->os_code)
        exc = PyObject_CallFunction(type, "iO", err->os_code, message);
    else if (message)
        exc = PyObject_CallOneArg(type, message);
    code = PyLong_FromLong(err->sqlite_code);
    if (exc && code && (!err->sqlite_code || PyObject_SetAttr(exc, state->str_sqlite_code, code) == 0))
        PyErr_SetObject(type, exc);
    Py_XDECREF(code);
    Py_XDECREF(exc);
    Py_XDECREF(message);
    return NULL;
}

static PyObject *raise_and_release(PyObject *exc)
{
    if (exc) {
        PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
        Py_DECREF(exc);
    }
    return NULL;
}

PyObject *kvpy_raise_not_found(kvpy_state *state, PyObject *key)
{
    return raise_and_release(PyObject_CallOneArg(state->NotFound, key));
}

PyObject *kvpy_raise_no_column(kvpy_state *state, PyObject *name)
{
    PyObject *words = PyUnicode_FromFormat("there is no column %R", name);

    return words ? raise_and_release(PyObject_CallFunction(state->NotFound, "ON", name, words)) : NULL;
}

PyObject *kvpy_raise_no_table(kvpy_state *state, const char *table)
{
    PyObject *message = PyUnicode_FromFormat("there is no table \"%s\", and a read-only handle makes none", table);

    return message ? raise_and_release(PyObject_CallFunction(state->NotFound, "sN", table, message)) : NULL;
}

bool kvpy_succeeded(kvpy_state *state, kvault_status status, const kvault_error *err)
{
    if (PyErr_Occurred())
        return false;
    if (status < 0)
        kvpy_raise(state, status, err);
    return status >= 0;
}
