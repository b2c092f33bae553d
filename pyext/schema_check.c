/* schema_check.c - the schema of a packer.
 *
 * What is checked is the record as it was written, not the object that it was written from: a JSON Schema
 * gets what a reader will get, CDDL the very bytes. */
#include "schema_check.h"

bool kvpy_schema_set(kvpy_packer *self, PyObject *schema)
{
    kvpy_state *state = self->state;
    PyObject *name = self->dtype.kind == KVAULT_CBOR ? state->str_CddlSchema : state->str_JsonSchema;
    PyObject *module;

    if (self->dtype.kind != KVAULT_CBOR && self->dtype.kind != KVAULT_MSGPACK) {
        PyErr_SetString(state->InvalidArgument, "only msgpack and cbor take a schema");
        return false;
    }
    module = PyImport_ImportModule("kohakuvault.schema");
    if (module)
        self->validator = PyObject_CallMethodOneArg(module, name, schema);
    Py_XDECREF(module);
    if (self->validator)
        self->schema = PyObject_GetAttr(self->validator, state->str_text);
    return self->schema != NULL;
}

/* Whether a float is met that JSON has no number for. The record is one that was read to its end. */
static bool has_odd_float(kvault_slice record)
{
    size_t at = 0;

    while (at < record.size) {
        kvault_reader reader = kvault_reader_init(record, at);
        kvault_token token;

        if (kvault_msgpack_read(&reader, &token, NULL) < 0)
            return false;
        if (token.kind == KVAULT_TOKEN_FLOAT && !Py_IS_FINITE(token.f))
            return true;
        at = kvault_reader_offset(&reader);
    }
    return false;
}

static PyObject *check_json(kvpy_packer *self, kvault_slice record)
{
    PyObject *odd = has_odd_float(record) ? Py_True : Py_False;
    PyObject *result = NULL;
    PyObject *value;
    size_t end;

    value = kvpy_unpack_record(self, record, 0, self->state->InvalidArgument, &end);
    if (value)
        result = PyObject_CallMethodObjArgs(self->validator, self->state->str_check, value, odd, NULL);
    Py_XDECREF(value);
    return result;
}

static PyObject *check_cddl(kvpy_packer *self, kvault_slice record)
{
    PyObject *bytes = PyBytes_FromStringAndSize(record.data, (Py_ssize_t)record.size);
    PyObject *result = NULL;

    if (bytes)
        result = PyObject_CallMethodOneArg(self->validator, self->state->str_check, bytes);
    Py_XDECREF(bytes);
    return result;
}

bool kvpy_schema_check(kvpy_packer *self, kvault_slice record)
{
    PyObject *result = self->dtype.kind == KVAULT_CBOR ? check_cddl(self, record) : check_json(self, record);

    Py_XDECREF(result);
    return result != NULL;
}
