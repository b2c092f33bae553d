/* encode.c - Python objects -> tokens of a record: the types that records are made of.
 *
 * Each function exists once for a format, which the compiler then knows: `format` is a constant where these
 * are inlined into encode_msgpack() and encode_cbor(). An object is recognized by its exact type; everything
 * else goes to encode_other.c.
 *
 * Walking a dict or a list lends its items. Nothing here runs foreign code but what kvpy_encode_other() may
 * (the utcoffset() of a time zone); it counts that in `foreign`, and whoever walks looks at the container
 * again when the count has moved. */
#include "encode.h"

#include "compact.h"
#include "utf8.h"

#define INLINED static inline __attribute__((always_inline))

static bool encode_msgpack(kvpy_encoder *encoder, PyObject *object);
static bool encode_cbor(kvpy_encoder *encoder, PyObject *object);

bool kvpy_encode_failed(kvpy_encoder *encoder, kvault_status status, const kvault_error *err)
{
    kvpy_raise(encoder->state, status, err);
    return false;
}

static __attribute__((noinline)) bool make_room(kvpy_encoder *encoder, size_t bytes)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_status rc = encoder->writer->grow(encoder->writer, bytes, &err);

    return rc == KVAULT_OK || kvpy_encode_failed(encoder, rc, &err);
}

/* Room for `more` bytes and a head before them. */
INLINED bool has_room(kvpy_encoder *encoder, size_t more)
{
    size_t bytes = more + KVAULT_HEAD_MAX;

    return __builtin_expect(bytes <= (size_t)(encoder->writer->end - encoder->writer->at), 1) ||
           make_room(encoder, bytes);
}

bool kvpy_encode_token(kvpy_encoder *encoder, const kvault_token *token)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_status rc = kvault_token_write(encoder->format, encoder->writer, token, &err);

    return rc == KVAULT_OK || kvpy_encode_failed(encoder, rc, &err);
}

/* ---- values that hold no others ---- */

INLINED bool encode_constant(kvpy_encoder *encoder, uint8_t msgpack, uint8_t cbor, kvault_format format)
{
    if (!has_room(encoder, 0))
        return false;
    *encoder->writer->at++ = format == KVAULT_FORMAT_CBOR ? cbor : msgpack;
    return true;
}

INLINED bool store_int(kvpy_encoder *encoder, int64_t value, kvault_format format)
{
    kvault_writer *writer = encoder->writer;

    if (!has_room(encoder, 0))
        return false;
    writer->at = format == KVAULT_FORMAT_CBOR ? kvault_cbor_store_int(writer->at, value)
                                              : kvault_msgpack_store_int(writer->at, value);
    return true;
}

INLINED bool encode_int(kvpy_encoder *encoder, PyObject *number, kvault_format format)
{
    int64_t value;
    int overflow;

    if (!kvpy_compact_int(number, &value)) {
        value = PyLong_AsLongLongAndOverflow(number, &overflow);
        if (overflow)
            return kvpy_encode_large_int(encoder, number);
    }
    return store_int(encoder, value, format);
}

INLINED bool encode_float(kvpy_encoder *encoder, PyObject *number, kvault_format format)
{
    kvault_writer *writer = encoder->writer;
    double value = PyFloat_AS_DOUBLE(number);

    if (!has_room(encoder, 0))
        return false;
    writer->at = format == KVAULT_FORMAT_CBOR ? kvault_cbor_store_float(writer->at, value)
                                              : kvault_msgpack_store_float(writer->at, value);
    return true;
}

/* The head of `size` bytes, text or not, for which there is room too. */
INLINED bool start_bytes(kvpy_encoder *encoder, size_t size, bool text, kvault_format format)
{
    kvault_writer *writer = encoder->writer;

    if (format == KVAULT_FORMAT_MSGPACK && size > UINT32_MAX) {
        PyErr_Format(encoder->state->InvalidArgument, "%zu bytes in one string, MessagePack's limit is %u", size,
                     (unsigned)UINT32_MAX);
        return false;
    }
    if (!has_room(encoder, size))
        return false;
    if (format == KVAULT_FORMAT_CBOR)
        writer->at = kvault_cbor_store_head(writer->at, text ? KVAULT_CBOR_TEXT : KVAULT_CBOR_BYTES, size);
    else if (text)
        writer->at = kvault_msgpack_store_text_head(writer->at, (uint32_t)size);
    else
        writer->at = kvault_msgpack_store_bytes_head(writer->at, (uint32_t)size);
    return true;
}

static bool encode_wide_text(kvpy_encoder *encoder, PyObject *text, kvault_format format)
{
    Py_ssize_t size = kvpy_utf8_size(encoder->state, text);

    if (size < 0 || !start_bytes(encoder, (size_t)size, true, format))
        return false;
    kvpy_utf8_store(text, encoder->writer->at);
    encoder->writer->at += size;
    return true;
}

INLINED bool encode_text(kvpy_encoder *encoder, PyObject *text, kvault_format format)
{
    size_t size;

    if (!PyUnicode_IS_COMPACT_ASCII(text))
        return encode_wide_text(encoder, text, format);
    size = (size_t)PyUnicode_GET_LENGTH(text);
    if (!start_bytes(encoder, size, true, format))
        return false;
    kvpy_copy_short(encoder->writer->at, (const uint8_t *)((PyASCIIObject *)text + 1), size);
    encoder->writer->at += size;
    return true;
}

static bool encode_bytes(kvpy_encoder *encoder, PyObject *bytes, kvault_format format)
{
    size_t size = (size_t)PyBytes_GET_SIZE(bytes);

    if (!start_bytes(encoder, size, false, format))
        return false;
    memcpy(encoder->writer->at, PyBytes_AS_STRING(bytes), size);
    encoder->writer->at += size;
    return true;
}

/* ---- containers ---- */

static bool too_deep(kvpy_encoder *encoder)
{
    kvault_error err = KVAULT_ERROR_INIT;

    return kvpy_encode_failed(encoder, kvault_writer_too_deep(&err), &err);
}

static bool enter(kvpy_encoder *encoder, size_t count, bool map, kvault_format format)
{
    kvault_writer *writer = encoder->writer;

    if (format == KVAULT_FORMAT_MSGPACK && count > UINT32_MAX) {
        PyErr_Format(encoder->state->InvalidArgument, "%zu items, MessagePack's limit is %u", count,
                     (unsigned)UINT32_MAX);
        return false;
    }
    if (!has_room(encoder, 0))
        return false;
    if (kvault_writer_enter(writer, NULL) < 0)
        return too_deep(encoder);
    if (format == KVAULT_FORMAT_CBOR)
        writer->at = kvault_cbor_store_head(writer->at, map ? KVAULT_CBOR_MAP : KVAULT_CBOR_ARRAY, count);
    else if (map)
        writer->at = kvault_msgpack_store_map_head(writer->at, (uint32_t)count);
    else
        writer->at = kvault_msgpack_store_array_head(writer->at, (uint32_t)count);
    return true;
}

INLINED bool encode_next(kvpy_encoder *encoder, PyObject *object, kvault_format format)
{
    return format == KVAULT_FORMAT_CBOR ? encode_cbor(encoder, object) : encode_msgpack(encoder, object);
}

static bool changed(const char *what)
{
    PyErr_Format(PyExc_RuntimeError, "%s changed while it was packed", what);
    return false;
}

/* An object of one of the types that hold no others: 1 and it is written, -1 and it failed, 0 and it is none of
 * these. No code but ours runs, so that nobody needs to hold it. */
INLINED int encode_plain(kvpy_encoder *encoder, PyObject *object, PyTypeObject *type, kvault_format format)
{
    bool done;

    if (type == &PyUnicode_Type)
        done = encode_text(encoder, object, format);
    else if (type == &PyLong_Type)
        done = encode_int(encoder, object, format);
    else if (type == &PyFloat_Type)
        done = encode_float(encoder, object, format);
    else if (object == Py_None)
        done = encode_constant(encoder, 0xc0, 0xf6, format);
    else if (object == Py_True)
        done = encode_constant(encoder, 0xc3, 0xf5, format);
    else if (object == Py_False)
        done = encode_constant(encoder, 0xc2, 0xf4, format);
    else
        return 0;
    return done ? 1 : -1;
}

INLINED bool is_plain(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);

    return type == &PyUnicode_Type || type == &PyLong_Type || type == &PyFloat_Type || object == Py_None ||
           type == &PyBool_Type;
}

/* What was lent by a container that may change meanwhile. */
INLINED bool encode_held(kvpy_encoder *encoder, PyObject *object, kvault_format format)
{
    bool done;

    Py_INCREF(object);
    done = encode_next(encoder, object, format);
    Py_DECREF(object);
    return done;
}

INLINED bool encode_list(kvpy_encoder *encoder, PyObject *list, kvault_format format)
{
    Py_ssize_t count = PyList_GET_SIZE(list);

    if (!enter(encoder, (size_t)count, false, format))
        return false;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyList_GET_ITEM(list, i);
        int plain = encode_plain(encoder, item, Py_TYPE(item), format);

        if (plain < 0 || (!plain && !encode_held(encoder, item, format)))
            return false;
        if (PyList_GET_SIZE(list) != count)
            return changed("a list");
    }
    kvault_writer_leave(encoder->writer);
    return true;
}

INLINED bool encode_tuple(kvpy_encoder *encoder, PyObject *tuple, kvault_format format)
{
    Py_ssize_t count = PyTuple_GET_SIZE(tuple);

    if (!enter(encoder, (size_t)count, false, format))
        return false;
    for (Py_ssize_t i = 0; i < count; i++)
        if (!encode_next(encoder, PyTuple_GET_ITEM(tuple, i), format))
            return false;
    kvault_writer_leave(encoder->writer);
    return true;
}

/* Foreign code ran while the item behind `before` was packed. Every key comes once, as long as that item
 * still stands where it stood: the dict was not compacted, and what was added since comes at the end. */
static bool stands(PyObject *dict, Py_ssize_t before, Py_ssize_t after, PyObject *key)
{
    PyObject *now = NULL, *value = NULL;

    return PyDict_Next(dict, &before, &now, &value) && now == key && before == after;
}

/* A pair of which not both are plain: they are held, and the dict is looked at afterwards. */
static bool encode_pair(kvpy_encoder *encoder, PyObject *dict, Py_ssize_t before, Py_ssize_t after, PyObject *key,
                        PyObject *value)
{
    Py_ssize_t count = PyDict_GET_SIZE(dict);
    unsigned foreign = encoder->foreign;
    bool done;

    Py_INCREF(key);
    Py_INCREF(value);
    encoder->in_key++;
    done = kvpy_encode(encoder, key);
    encoder->in_key--;
    done = done && kvpy_encode(encoder, value);
    if (done && foreign != encoder->foreign && (PyDict_GET_SIZE(dict) != count || !stands(dict, before, after, key)))
        done = changed("a dict");
    Py_DECREF(value);
    Py_DECREF(key);
    return done;
}

INLINED bool encode_dict(kvpy_encoder *encoder, PyObject *dict, kvault_format format)
{
    Py_ssize_t count = PyDict_GET_SIZE(dict), seen = 0, at = 0, before = 0;
    PyObject *key, *value;

    if (!enter(encoder, (size_t)count, true, format))
        return false;
    while (PyDict_Next(dict, &at, &key, &value)) {
        if (seen++ == count)
            return changed("a dict");
        if (PyUnicode_CheckExact(key) && is_plain(value)) {
            if (!encode_text(encoder, key, format) || encode_plain(encoder, value, Py_TYPE(value), format) < 0)
                return false;
        } else if (!encode_pair(encoder, dict, before, at, key, value)) {
            return false;
        }
        before = at;
    }
    if (seen != count)
        return changed("a dict");
    kvault_writer_leave(encoder->writer);
    return true;
}

/* ---- dispatch ---- */

INLINED bool encode_as(kvpy_encoder *encoder, PyObject *object, PyTypeObject *type, kvault_format format)
{
    int plain = encode_plain(encoder, object, type, format);

    if (plain)
        return plain > 0;
    if (type == &PyDict_Type)
        return encode_dict(encoder, object, format);
    if (type == &PyList_Type)
        return encode_list(encoder, object, format);
    if (type == &PyTuple_Type)
        return encode_tuple(encoder, object, format);
    if (type == &PyBytes_Type)
        return encode_bytes(encoder, object, format);
    return kvpy_encode_other(encoder, object);
}

static bool encode_msgpack(kvpy_encoder *encoder, PyObject *object)
{
    return encode_as(encoder, object, Py_TYPE(object), KVAULT_FORMAT_MSGPACK);
}

static bool encode_cbor(kvpy_encoder *encoder, PyObject *object)
{
    return encode_as(encoder, object, Py_TYPE(object), KVAULT_FORMAT_CBOR);
}

bool kvpy_encode(kvpy_encoder *encoder, PyObject *object)
{
    return encode_next(encoder, object, encoder->format);
}

bool kvpy_encode_as(kvpy_encoder *encoder, PyObject *object, PyTypeObject *type)
{
    return encode_as(encoder, object, type, encoder->format);
}
