/* encode_other.c - Python objects -> tokens of a record: what is met less often.
 *
 * Subclasses are packed as the type that they extend; what they add is not kept. Foreign code may run here
 * only where a datetime asks its time zone. */
#include "encode.h"

#include "instant.h"
#include "token_types.h"

/* ---- integers beyond 64 bits with their sign ---- */

/* -1 - number. The slot of int itself, as for all that follows: a subclass may have its own. */
static PyObject *invert(PyObject *number)
{
    return PyLong_Type.tp_as_number->nb_invert(number);
}

/* The digits of a number that is not negative, big-endian; new. */
static PyObject *digits_of(kvpy_state *state, PyObject *number)
{
    PyObject *type = (PyObject *)&PyLong_Type;
    PyObject *bits = PyObject_CallMethodObjArgs(type, state->str_bit_length, number, NULL);
    Py_ssize_t count = bits ? PyLong_AsSsize_t(bits) : -1;
    PyObject *size = count < 0 ? NULL : PyLong_FromSsize_t((count + 7) / 8);
    PyObject *digits = NULL;

    if (size)
        digits = PyObject_CallMethodObjArgs(type, state->str_to_bytes, number, size, state->str_big, NULL);
    Py_XDECREF(size);
    Py_XDECREF(bits);
    return digits;
}

static bool encode_bignum(kvpy_encoder *encoder, PyObject *number, bool negative)
{
    kvault_token token = { .kind = KVAULT_TOKEN_BIGNUM, .extra = negative };
    PyObject *digits;
    bool done;

    if (encoder->format == KVAULT_FORMAT_MSGPACK)
        return kvpy_encode_token(encoder, &token); /* which has the words */
    digits = digits_of(encoder->state, number);
    if (!digits)
        return false;
    token.bytes = (kvault_slice){ PyBytes_AS_STRING(digits), (size_t)PyBytes_GET_SIZE(digits) };
    done = kvpy_encode_token(encoder, &token);
    Py_DECREF(digits);
    return done;
}

bool kvpy_encode_large_int(kvpy_encoder *encoder, PyObject *number)
{
    kvault_token token = { .kind = KVAULT_TOKEN_UINT };
    bool negative, done;
    int overflow;

    (void)PyLong_AsLongLongAndOverflow(number, &overflow);
    negative = overflow < 0;
    number = negative ? invert(number) : Py_NewRef(number);
    if (!number)
        return false;
    token.kind = negative ? KVAULT_TOKEN_NINT : KVAULT_TOKEN_UINT;
    token.u = PyLong_AsUnsignedLongLong(number);
    if (!PyErr_Occurred()) {
        done = kvpy_encode_token(encoder, &token);
    } else {
        PyErr_Clear();
        done = encode_bignum(encoder, number, negative);
    }
    Py_DECREF(number);
    return done;
}

/* ---- objects that are one token ---- */

static bool encode_buffer(kvpy_encoder *encoder, PyObject *object)
{
    kvault_token token = { .kind = KVAULT_TOKEN_BYTES };
    Py_buffer view;
    bool done;

    if (PyObject_GetBuffer(object, &view, PyBUF_SIMPLE) < 0)
        return false;
    token.bytes = (kvault_slice){ view.buf, (size_t)view.len };
    done = kvpy_encode_token(encoder, &token);
    PyBuffer_Release(&view);
    return done;
}

static bool encode_datetime(kvpy_encoder *encoder, PyObject *datetime)
{
    kvault_token token = { .kind = KVAULT_TOKEN_TIMESTAMP };

    encoder->foreign++;
    return kvpy_instant_of_datetime(encoder->state, datetime, &token.i, &token.extra) &&
           kvpy_encode_token(encoder, &token);
}

static bool encode_ext(kvpy_encoder *encoder, PyObject *ext)
{
    kvault_token token = { .kind = KVAULT_TOKEN_EXT };
    PyObject *data = NULL;
    bool done = false;

    encoder->foreign++;
    if (kvpy_ext_parts(encoder->state, ext, &token.extra, &data)) {
        token.bytes = (kvault_slice){ PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data) };
        done = kvpy_encode_token(encoder, &token);
        Py_DECREF(data);
    }
    return done;
}

static bool encode_simple(kvpy_encoder *encoder, PyObject *simple)
{
    kvault_token token = { .kind = KVAULT_TOKEN_SIMPLE };

    encoder->foreign++;
    return kvpy_simple_number(encoder->state, simple, &token.u) && kvpy_encode_token(encoder, &token);
}

/* ---- a tag and what it marks ---- */

static bool encode_tag(kvpy_encoder *encoder, PyObject *tag)
{
    kvault_token token = { .kind = KVAULT_TOKEN_TAG };
    PyObject *value = NULL;
    bool done = false;

    encoder->foreign++;
    if (kvpy_tag_parts(encoder->state, tag, &token.u, &value)) {
        done = kvpy_encode_token(encoder, &token) && kvpy_encode(encoder, value);
        Py_DECREF(value);
        if (done)
            kvault_writer_leave(encoder->writer);
    }
    return done;
}

/* ---- dispatch ---- */

static bool refuse(kvpy_encoder *encoder, PyObject *object)
{
    if (!PyErr_Occurred())
        PyErr_Format(encoder->state->WrongType,
                     "an object of type %.100s cannot be packed as %s: it takes None, bool, int, float, str, bytes, "
                     "list, tuple, dict, aware datetime and %s",
                     Py_TYPE(object)->tp_name, encoder->format == KVAULT_FORMAT_CBOR ? "CBOR" : "MessagePack",
                     encoder->format == KVAULT_FORMAT_CBOR ? "Tag" : "ExtType");
    return false;
}

static bool refuse_key(kvpy_encoder *encoder, PyObject *key)
{
    PyErr_Format(encoder->state->WrongType, "a key of type %.100s would not come back as a key", Py_TYPE(key)->tp_name);
    return false;
}

bool kvpy_encode_other(kvpy_encoder *encoder, PyObject *object)
{
    static PyTypeObject *const bases[] = { &PyUnicode_Type, &PyLong_Type,  &PyFloat_Type, &PyDict_Type,
                                           &PyList_Type,    &PyTuple_Type, &PyBytes_Type };
    kvpy_state *state = encoder->state;

    for (size_t i = 0; i < Py_ARRAY_LENGTH(bases); i++) {
        if (!PyObject_TypeCheck(object, bases[i]))
            continue;
        if (encoder->in_key && (bases[i] == &PyDict_Type || bases[i] == &PyList_Type))
            return refuse_key(encoder, object);
        return kvpy_encode_as(encoder, object, bases[i]);
    }
    if (PyByteArray_Check(object) || PyMemoryView_Check(object))
        return encode_buffer(encoder, object);
    if (kvpy_is_datetime(state, object))
        return encode_datetime(encoder, object);
    if (PyErr_Occurred() || !kvpy_token_types(state))
        return false;
    if (PyObject_TypeCheck(object, (PyTypeObject *)state->ExtType))
        return encode_ext(encoder, object);
    if (PyObject_TypeCheck(object, (PyTypeObject *)state->Tag))
        return encode_tag(encoder, object);
    if (PyObject_TypeCheck(object, (PyTypeObject *)state->Simple))
        return encode_simple(encoder, object);
    return refuse(encoder, object);
}
