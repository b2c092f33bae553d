/* scalar.c - one value of a dtype that is no record <-> bytes: numbers, bool, bytes, text. */
#include "scalar.h"

#include "compact.h"
#include "convert.h"
#include "utf8.h"

static bool failed(kvpy_state *state, kvault_status status, const kvault_error *err)
{
    kvpy_raise(state, status, err);
    return false;
}

static bool wrong_type(kvpy_state *state, const kvault_dtype *dtype, const char *wanted, PyObject *value)
{
    char text[KVAULT_DTYPE_TEXT_MAX + 1];

    (void)kvault_dtype_text(dtype, text);
    PyErr_Format(state->WrongType, "an element of %s is %s, not %.100s", text, wanted, Py_TYPE(value)->tp_name);
    return false;
}

/* ---- numbers ---- */

static bool beyond_64_bits(const kvault_dtype *dtype)
{
    char text[KVAULT_DTYPE_TEXT_MAX + 1];

    (void)kvault_dtype_text(dtype, text);
    PyErr_Format(PyExc_OverflowError, "an integer of more than 64 bits is out of range for %s", text);
    return false;
}

/* Of an exact int or of what __index__ gave. */
static bool int_token(const kvault_dtype *dtype, PyObject *number, kvault_token *ret_token)
{
    int overflow;

    ret_token->kind = KVAULT_TOKEN_INT;
    ret_token->i = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow == 0)
        return true;
    ret_token->kind = KVAULT_TOKEN_UINT;
    ret_token->u = overflow > 0 ? PyLong_AsUnsignedLongLong(number) : 0;
    if (overflow > 0 && !PyErr_Occurred())
        return true;
    PyErr_Clear();
    return beyond_64_bits(dtype);
}

static bool integer_token(kvpy_state *state, const kvault_dtype *dtype, PyObject *value, kvault_token *ret_token)
{
    PyObject *number;
    bool done;

    if (!PyIndex_Check(value))
        return wrong_type(state, dtype, "an integer", value);
    number = PyNumber_Index(value);
    done = number && int_token(dtype, number, ret_token);
    Py_XDECREF(number);
    return done;
}

static bool float_token(kvpy_state *state, const kvault_dtype *dtype, PyObject *value, kvault_token *ret_token)
{
    ret_token->kind = KVAULT_TOKEN_FLOAT;
    ret_token->f = PyFloat_AsDouble(value);
    if (ret_token->f != -1.0 || !PyErr_Occurred())
        return true;
    if (!PyErr_ExceptionMatches(PyExc_TypeError))
        return false;
    PyErr_Clear();
    return wrong_type(state, dtype, "a number", value);
}

/* The scalar that NumPy calls bool is no bool of Python's. */
static bool is_numpy_bool(PyObject *value)
{
    const char *name = Py_TYPE(value)->tp_name;

    return strcmp(name, "numpy.bool_") == 0 || strcmp(name, "numpy.bool") == 0;
}

static bool bool_token(kvpy_state *state, const kvault_dtype *dtype, PyObject *value, kvault_token *ret_token)
{
    int truth;

    if (!PyBool_Check(value) && !is_numpy_bool(value))
        return wrong_type(state, dtype, "True or False", value);
    truth = PyObject_IsTrue(value);
    ret_token->kind = KVAULT_TOKEN_BOOL;
    ret_token->u = truth > 0;
    return truth >= 0;
}

bool kvpy_number_token(kvpy_state *state, const kvault_dtype *dtype, PyObject *value, kvault_token *ret_token)
{
    if (kvpy_is_integer(dtype->kind))
        return integer_token(state, dtype, value, ret_token);
    if (dtype->kind == KVAULT_BOOL)
        return bool_token(state, dtype, value, ret_token);
    return float_token(state, dtype, value, ret_token);
}

/* ---- packing ---- */

static bool write_fixed(kvpy_state *state, const kvault_dtype *dtype, const kvault_token *token, kvault_writer *writer)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_status rc = kvault_writer_room(writer, dtype->size_bytes, &err);

    if (rc == KVAULT_OK)
        rc = kvault_fixed_write(dtype, token, writer->at, &err);
    if (rc < 0)
        return failed(state, rc, &err);
    writer->at += dtype->size_bytes;
    return true;
}

static bool write_bytes(kvpy_state *state, const kvault_dtype *dtype, kvault_slice bytes, kvault_writer *writer)
{
    kvault_token token = { .kind = KVAULT_TOKEN_BYTES, .bytes = bytes };
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_status rc;

    if (dtype->size_bytes)
        return write_fixed(state, dtype, &token, writer);
    rc = kvault_writer_room(writer, bytes.size, &err);
    if (rc < 0)
        return failed(state, rc, &err);
    if (bytes.size)
        memcpy(writer->at, bytes.data, bytes.size);
    writer->at += bytes.size;
    return true;
}

static bool pack_bytes(kvpy_state *state, const kvault_dtype *dtype, PyObject *value, kvault_writer *writer)
{
    kvpy_bytes bytes = KVPY_BYTES_INIT;
    bool done;

    if (PyBytes_Check(value))
        return write_bytes(state, dtype, (kvault_slice){ PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value) },
                           writer);
    done = kvpy_value(state, value, &bytes) && write_bytes(state, dtype, bytes.slice, writer);
    kvpy_bytes_release(&bytes);
    return done;
}

/* Text of UTF-8 in the encoding of the dtype. */
static bool write_text(kvpy_state *state, const kvault_dtype *dtype, kvault_slice text, kvault_writer *writer)
{
    kvault_token token = { .kind = KVAULT_TOKEN_TEXT, .bytes = text };
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_status rc;
    size_t size;

    if (dtype->size_bytes)
        return write_fixed(state, dtype, &token, writer);
    rc = kvault_text_measure(KVAULT_UTF8, text, dtype->encoding, &size, &err);
    if (rc == KVAULT_OK)
        rc = kvault_writer_room(writer, size, &err);
    if (rc == KVAULT_OK)
        rc = kvault_text_convert(KVAULT_UTF8, text, dtype->encoding, writer->at, size, &size, &err);
    if (rc < 0)
        return failed(state, rc, &err);
    writer->at += size;
    return true;
}

static bool pack_wide_text(kvpy_state *state, const kvault_dtype *dtype, PyObject *text, kvault_writer *writer)
{
    Py_ssize_t size = kvpy_utf8_size(state, text);
    uint8_t stack[512];
    uint8_t *utf8 = stack;
    bool done;

    if (size < 0)
        return false;
    if ((size_t)size > sizeof stack)
        utf8 = PyMem_Malloc((size_t)size);
    if (!utf8) {
        PyErr_NoMemory();
        return false;
    }
    kvpy_utf8_store(text, utf8);
    done = write_text(state, dtype, (kvault_slice){ utf8, (size_t)size }, writer);
    if (utf8 != stack)
        PyMem_Free(utf8);
    return done;
}

static bool pack_text(kvpy_state *state, const kvault_dtype *dtype, PyObject *value, kvault_writer *writer)
{
    Py_ssize_t length;

    if (!PyUnicode_Check(value))
        return wrong_type(state, dtype, "str", value);
    if (!PyUnicode_IS_COMPACT_ASCII(value) && kvpy_utf8_size(state, value) < 0)
        return false;
    length = PyUnicode_GET_LENGTH(value);
    if (dtype->size_bytes && length && PyUnicode_READ_CHAR(value, length - 1) == 0) {
        PyErr_SetString(state->InvalidArgument,
                        "a text that ends with NUL would come back from its padding without it");
        return false;
    }
    if (PyUnicode_IS_COMPACT_ASCII(value))
        return write_text(state, dtype, (kvault_slice){ PyUnicode_1BYTE_DATA(value), (size_t)length }, writer);
    return pack_wide_text(state, dtype, value, writer);
}

bool kvpy_scalar_pack(kvpy_state *state, const kvault_dtype *dtype, PyObject *value, kvault_writer *writer)
{
    kvault_token token;

    if (dtype->kind == KVAULT_BYTES)
        return pack_bytes(state, dtype, value, writer);
    if (dtype->kind == KVAULT_STR)
        return pack_text(state, dtype, value, writer);
    return kvpy_number_token(state, dtype, value, &token) && write_fixed(state, dtype, &token, writer);
}

/* ---- unpacking ---- */

static PyObject *decode_text(kvault_encoding encoding, kvault_slice text)
{
    const char *from = text.data;
    Py_ssize_t size = (Py_ssize_t)text.size;
    int order = encoding == KVAULT_UTF16BE ? 1 : -1;

    switch (encoding) {
    case KVAULT_UTF8:
        return kvpy_utf8_load(text.data, text.size);
    case KVAULT_UTF16LE:
    case KVAULT_UTF16BE:
        return PyUnicode_DecodeUTF16(from, size, "strict", &order);
    case KVAULT_LATIN1:
        return PyUnicode_DecodeLatin1(from, size, "strict");
    case KVAULT_ASCII:
        return PyUnicode_DecodeASCII(from, size, "strict");
    }
    Py_UNREACHABLE();
}

static PyObject *unpack_text(const kvault_dtype *dtype, kvault_slice text, PyObject *bad_bytes)
{
    PyObject *value = decode_text(dtype->encoding, text);
    kvault_error err = KVAULT_ERROR_INIT;
    size_t size;

    if (value || !PyErr_ExceptionMatches(PyExc_UnicodeDecodeError) ||
        kvault_text_measure(dtype->encoding, text, dtype->encoding, &size, &err) == KVAULT_OK) /* for the words */
        return value;
    PyErr_SetString(bad_bytes, err.message);
    return NULL;
}

static PyObject *object_of(const kvault_dtype *dtype, const kvault_token *token, PyObject *bad_bytes)
{
    switch ((int)token->kind) {
    case KVAULT_TOKEN_BOOL:
        return Py_NewRef(token->u ? Py_True : Py_False);
    case KVAULT_TOKEN_INT:
        return PyLong_FromLongLong(token->i);
    case KVAULT_TOKEN_UINT:
        return PyLong_FromUnsignedLongLong(token->u);
    case KVAULT_TOKEN_FLOAT:
        return PyFloat_FromDouble(token->f);
    case KVAULT_TOKEN_BYTES:
        return PyBytes_FromStringAndSize(token->bytes.data, (Py_ssize_t)token->bytes.size);
    case KVAULT_TOKEN_TEXT:
        return unpack_text(dtype, token->bytes, bad_bytes);
    }
    Py_UNREACHABLE();
}

PyObject *kvpy_scalar_unpack(kvpy_state *state, const kvault_dtype *dtype, kvault_slice data, size_t offset,
                             PyObject *bad_bytes, size_t *ret_end)
{
    kvault_slice rest = { NULL, 0 };
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_token token;
    kvault_status rc;

    if (offset > data.size) {
        PyErr_Format(bad_bytes, "Not enough data: an element at byte %zu, %zu bytes are there", offset, data.size);
        return NULL;
    }
    if (data.size)
        rest = (kvault_slice){ (const uint8_t *)data.data + offset, data.size - offset };
    *ret_end = data.size;
    if (!dtype->size_bytes && dtype->kind == KVAULT_STR)
        return unpack_text(dtype, rest, bad_bytes);
    if (!dtype->size_bytes)
        return PyBytes_FromStringAndSize(rest.data, (Py_ssize_t)rest.size);
    *ret_end = offset + dtype->size_bytes;
    rc = kvault_fixed_read(dtype, rest, &token, &err);
    if (rc == KVAULT_OK)
        return object_of(dtype, &token, bad_bytes);
    if (rc != KVAULT_E_CORRUPT)
        return kvpy_raise(state, rc, &err);
    PyErr_SetString(bad_bytes, err.message);
    return NULL;
}
