/* decode.c - tokens of a record -> Python objects: the types that records are made of.
 *
 * Each function exists once for a format, as in encode.c. Counts were checked by the reader against the bytes
 * that remain, so that lists may be made whole at once; they are kept from the garbage collector, and so from
 * everybody, until they are full. In a key of a dict an array becomes a tuple.
 *
 * Allocating a list or a dict may run the garbage collector and with it any code, also a packer's, so what is
 * used afterwards is held: the shape of a map, for one. */
#include "decode.h"

#include "token_types.h"
#include "utf8.h"

#define INLINED static inline __attribute__((always_inline))

static PyObject *decode_msgpack(kvpy_decoder *decoder, bool in_key);
static PyObject *decode_cbor(kvpy_decoder *decoder, bool in_key);

INLINED PyObject *decode_next(kvpy_decoder *decoder, bool in_key, kvault_format format)
{
    return format == KVAULT_FORMAT_CBOR ? decode_cbor(decoder, in_key) : decode_msgpack(decoder, in_key);
}

INLINED kvault_status read_token(kvpy_decoder *decoder, kvault_token *ret_token, kvault_format format)
{
    return kvault_token_read(format, &decoder->reader, ret_token, &decoder->err);
}

/* ---- failures ---- */

PyObject *kvpy_decode_failed(kvpy_decoder *decoder, kvault_status status)
{
    const kvault_error *err = &decoder->err;

    if (status != KVAULT_E_CORRUPT)
        return kvpy_raise(decoder->state, status, err);
    PyErr_SetString(decoder->bad_bytes, err->message);
    return NULL;
}

PyObject *kvpy_decode_bad_text(kvpy_decoder *decoder, kvault_slice text)
{
    const uint8_t *from = text.data;
    kvault_error err = KVAULT_ERROR_INIT;
    size_t size;

    if (!PyErr_ExceptionMatches(PyExc_UnicodeDecodeError) ||
        kvault_text_measure(KVAULT_UTF8, text, KVAULT_UTF8, &size, &err) == KVAULT_OK) /* for the position in it */
        return NULL;
    PyErr_Format(decoder->bad_bytes, "text is not UTF-8 at byte %zd",
                 (Py_ssize_t)(from - decoder->reader.start) + (Py_ssize_t)err.position);
    return NULL;
}

/* ---- arrays ---- */

static PyObject *decode_open_array(kvpy_decoder *decoder, bool in_key, kvault_format format)
{
    PyObject *list = PyList_New(0);
    bool more = true;

    while (list) {
        kvault_status rc = kvault_reader_more(&decoder->reader, 1, &more, &decoder->err);
        PyObject *item;

        if (rc < 0) {
            Py_DECREF(list);
            return kvpy_decode_failed(decoder, rc);
        }
        if (!more)
            break;
        item = decode_next(decoder, in_key, format);
        if (!item || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    if (!list)
        return NULL;
    kvault_reader_leave(&decoder->reader);
    if (in_key)
        Py_SETREF(list, PyList_AsTuple(list));
    return list;
}

INLINED PyObject *decode_list(kvpy_decoder *decoder, Py_ssize_t count, kvault_format format)
{
    PyObject *list = PyList_New(count);

    if (!list)
        return NULL;
    PyObject_GC_UnTrack(list);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = decode_next(decoder, false, format);

        if (!item) {
            Py_DECREF(list);
            return NULL;
        }
        PyList_SET_ITEM(list, i, item);
    }
    PyObject_GC_Track(list);
    kvault_reader_leave(&decoder->reader);
    return list;
}

static PyObject *decode_tuple(kvpy_decoder *decoder, Py_ssize_t count, kvault_format format)
{
    PyObject *tuple = PyTuple_New(count);

    if (!tuple || count == 0) { /* the empty tuple is everybody's */
        kvault_reader_leave(&decoder->reader);
        return tuple;
    }
    PyObject_GC_UnTrack(tuple);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = decode_next(decoder, true, format);

        if (!item) {
            Py_DECREF(tuple);
            return NULL;
        }
        PyTuple_SET_ITEM(tuple, i, item);
    }
    PyObject_GC_Track(tuple);
    kvault_reader_leave(&decoder->reader);
    return tuple;
}

INLINED PyObject *decode_array(kvpy_decoder *decoder, uint64_t count, bool in_key, kvault_format format)
{
    if (count == KVAULT_COUNT_UNKNOWN)
        return decode_open_array(decoder, in_key, format);
    if (in_key)
        return decode_tuple(decoder, (Py_ssize_t)count, format);
    return decode_list(decoder, (Py_ssize_t)count, format);
}

/* ---- maps ---- */

/* A key that is no text in one piece is read as any value; `raw` tells where the others stood. */
INLINED PyObject *decode_key(kvpy_decoder *decoder, kvpy_raw_key *ret_raw, kvault_format format)
{
    kvault_reader before = decoder->reader;
    kvault_token token;
    PyObject *key;
    kvault_status rc = read_token(decoder, &token, format);

    if (rc < 0)
        return kvpy_decode_failed(decoder, rc);
    if (token.kind != KVAULT_TOKEN_TEXT || token.chunked) {
        decoder->reader = before;
        ret_raw->at = NULL;
        return decode_next(decoder, true, format);
    }
    key = kvpy_key_cache_text(decoder->cache, token.bytes.data, token.bytes.size);
    ret_raw->at = token.bytes.size <= KVPY_KEY_BYTES_MAX ? before.at : NULL;
    ret_raw->size = (size_t)(decoder->reader.at - before.at);
    return key ? key : kvpy_decode_bad_text(decoder, token.bytes);
}

/* One pair more for the dict. */
INLINED bool decode_pair(kvpy_decoder *decoder, PyObject *dict, kvpy_raw_key *ret_raw, kvault_format format)
{
    PyObject *key = decode_key(decoder, ret_raw, format);
    PyObject *value = key ? decode_next(decoder, false, format) : NULL;
    bool done = value && PyDict_SetItem(dict, key, value) == 0;

    Py_XDECREF(value);
    Py_XDECREF(key);
    return done;
}

static PyObject *decode_open_map(kvpy_decoder *decoder, kvault_format format)
{
    PyObject *dict = PyDict_New();
    bool more = true;

    while (dict) {
        kvault_status rc = kvault_reader_more(&decoder->reader, 2, &more, &decoder->err);
        kvpy_raw_key raw;

        if (rc < 0) {
            Py_DECREF(dict);
            return kvpy_decode_failed(decoder, rc);
        }
        if (!more)
            break;
        if (!decode_pair(decoder, dict, &raw, format))
            Py_CLEAR(dict);
    }
    kvault_reader_leave(&decoder->reader);
    return dict;
}

/* The rest of a map whose first `done` keys, told in `raw`, are in `dict` with their values. Steals it. */
static PyObject *decode_rest(kvpy_decoder *decoder, PyObject *dict, kvpy_raw_key *raw, uint32_t done, uint32_t count,
                             kvault_format format)
{
    bool plain = true;

    for (uint32_t i = done; i < count; i++) {
        if (!decode_pair(decoder, dict, &raw[i], format)) {
            Py_DECREF(dict);
            return NULL;
        }
        plain = plain && raw[i].at;
    }
    if (plain)
        kvpy_shape_learn(decoder->cache, format, raw, count, dict);
    kvault_reader_leave(&decoder->reader);
    return dict;
}

static PyObject *decode_small_map(kvpy_decoder *decoder, uint32_t count, kvault_format format)
{
    kvpy_raw_key raw[KVPY_SHAPE_KEYS_MAX];
    PyObject *dict = PyDict_New();

    return dict ? decode_rest(decoder, dict, raw, 0, count, format) : NULL;
}

/* The map went another way than the shape after `done` keys: keep these and read on. Steals the dict. */
static PyObject *leave_shape(kvpy_decoder *decoder, const kvpy_shape *shape, PyObject *guessed, uint32_t done,
                             kvault_format format)
{
    kvpy_raw_key raw[KVPY_SHAPE_KEYS_MAX];
    PyObject *dict = PyDict_New();
    size_t start = 0;

    for (uint32_t i = 0; dict && i < done; i++) {
        PyObject *value = PyDict_GetItemWithError(guessed, shape->keys[i]);

        if (!value || PyDict_SetItem(dict, shape->keys[i], value) < 0)
            Py_CLEAR(dict);
        raw[i] = (kvpy_raw_key){ shape->bytes + start, shape->ends[i] - start };
        start = shape->ends[i];
    }
    Py_DECREF(guessed);
    return dict ? decode_rest(decoder, dict, raw, done, shape->count, format) : NULL;
}

/* Pass the next key if it has these bytes. */
INLINED bool pass_key(kvault_reader *reader, const uint8_t *bytes, size_t size)
{
    if (size > (size_t)(reader->end - reader->at) || !kvpy_same_short(reader->at, bytes, size))
        return false;
    kvault_reader_pass(reader, size);
    return true;
}

INLINED PyObject *decode_shaped_map(kvpy_decoder *decoder, kvpy_shape *shape, kvault_format format)
{
    PyObject *dict = PyDict_Copy(shape->blank);
    unsigned long flags = 0; /* of the types of all values */
    size_t start = 0;

    if (!dict)
        return NULL;
    for (uint32_t i = 0; i < shape->count; i++) {
        PyObject *value;

        if (!pass_key(&decoder->reader, shape->bytes + start, shape->ends[i] - start))
            return leave_shape(decoder, shape, dict, i, format);
        start = shape->ends[i];
        value = decode_next(decoder, false, format);
        flags |= value ? Py_TYPE(value)->tp_flags : 0;
        if (!value || !kvpy_shape_put(shape, dict, i, value)) {
            Py_DECREF(dict);
            return NULL;
        }
    }
    if (flags & Py_TPFLAGS_HAVE_GC && !PyObject_GC_IsTracked(dict))
        PyObject_GC_Track(dict);
    kvpy_shape_praise(shape);
    kvault_reader_leave(&decoder->reader);
    return dict;
}

static PyObject *decode_large_map(kvpy_decoder *decoder, uint64_t count, kvault_format format)
{
    PyObject *dict = PyDict_New();
    kvpy_raw_key raw;

    for (uint64_t i = 0; dict && i < count; i++)
        if (!decode_pair(decoder, dict, &raw, format))
            Py_CLEAR(dict);
    kvault_reader_leave(&decoder->reader);
    return dict;
}

INLINED PyObject *decode_map(kvpy_decoder *decoder, uint64_t count, bool in_key, kvault_format format)
{
    kvault_reader *reader = &decoder->reader;
    kvpy_shape *shape;
    PyObject *dict;

    if (in_key) {
        PyErr_Format(decoder->bad_bytes, "a map before byte %zu is a key of another, which no dict can have",
                     kvault_reader_offset(reader));
        return NULL;
    }
    if (count == KVAULT_COUNT_UNKNOWN)
        return decode_open_map(decoder, format);
    if (count > KVPY_SHAPE_KEYS_MAX || count == 0)
        return decode_large_map(decoder, count, format);
    shape = kvpy_shape_find(decoder->cache, count, reader->at, (size_t)(reader->end - reader->at));
    if (!shape)
        return decode_small_map(decoder, (uint32_t)count, format);
    dict = decode_shaped_map(decoder, shape, format);
    kvpy_shape_release(shape);
    return dict;
}

/* ---- dispatch ---- */

static PyObject *decode_tag(kvpy_decoder *decoder, uint64_t number, bool in_key, kvault_format format);

INLINED PyObject *decode(kvpy_decoder *decoder, bool in_key, kvault_format format)
{
    const uint8_t *at = decoder->reader.at;
    kvault_token token;
    PyObject *text;
    kvault_status rc = read_token(decoder, &token, format);

    if (__builtin_expect(rc < 0, 0))
        return kvpy_decode_failed(decoder, rc);
    switch ((int)token.kind) {
    case KVAULT_TOKEN_NULL:
        return Py_NewRef(Py_None);
    case KVAULT_TOKEN_BOOL:
        return Py_NewRef(token.u ? Py_True : Py_False);
    case KVAULT_TOKEN_INT:
        return PyLong_FromLongLong(token.i);
    case KVAULT_TOKEN_FLOAT:
        return PyFloat_FromDouble(token.f);
    case KVAULT_TOKEN_TEXT:
        if (token.chunked)
            break;
        text = kvpy_utf8_load(token.bytes.data, token.bytes.size);
        return text ? text : kvpy_decode_bad_text(decoder, token.bytes);
    case KVAULT_TOKEN_ARRAY:
        return decode_array(decoder, token.u, in_key, format);
    case KVAULT_TOKEN_MAP:
        return decode_map(decoder, token.u, in_key, format);
    case KVAULT_TOKEN_TAG:
        return decode_tag(decoder, token.u, in_key, format);
    }
    return kvpy_decode_other(decoder, &token, at);
}

static PyObject *decode_msgpack(kvpy_decoder *decoder, bool in_key)
{
    return decode(decoder, in_key, KVAULT_FORMAT_MSGPACK);
}

static PyObject *decode_cbor(kvpy_decoder *decoder, bool in_key)
{
    return decode(decoder, in_key, KVAULT_FORMAT_CBOR);
}

static PyObject *decode_tag(kvpy_decoder *decoder, uint64_t number, bool in_key, kvault_format format)
{
    PyObject *value = decode_next(decoder, in_key, format);
    PyObject *tag = value ? kvpy_tag_new(decoder->state, number, value) : NULL;

    Py_XDECREF(value);
    kvault_reader_leave(&decoder->reader);
    return tag;
}

PyObject *kvpy_decode(kvpy_decoder *decoder)
{
    return decode_next(decoder, false, decoder->format);
}
