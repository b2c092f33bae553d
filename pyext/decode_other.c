/* decode_other.c - tokens of a record -> Python objects: what is met less often. */
#include "decode.h"

#include "instant.h"
#include "token_types.h"
#include "utf8.h"

/* The bytes of a token in one piece; new. */
static PyObject *bytes_of(const kvault_token *token)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)token->bytes.size);

    if (bytes)
        kvault_token_join(token, PyBytes_AS_STRING(bytes));
    return bytes;
}

/* A text in chunks, each of which holds whole characters. */
static PyObject *chunked_text(kvpy_decoder *decoder, const kvault_token *token, const uint8_t *at)
{
    kvault_reader again = decoder->reader;
    PyObject *bytes, *text;
    kvault_status rc;

    again.at = at;
    again.owed++;
    rc = kvault_reader_skip(decoder->format, &again, &decoder->err);
    if (rc < 0)
        return kvpy_decode_failed(decoder, rc);
    bytes = bytes_of(token);
    if (!bytes)
        return NULL;
    text = kvpy_utf8_load((const uint8_t *)PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    Py_DECREF(bytes);
    return text;
}

/* -1 - number, stealing it. */
static PyObject *inverted(PyObject *number)
{
    PyObject *result = number ? PyNumber_Invert(number) : NULL;

    Py_XDECREF(number);
    return result;
}

static PyObject *bignum(kvpy_state *state, const kvault_token *token)
{
    PyObject *bytes = bytes_of(token);
    PyObject *number = NULL;

    if (bytes)
        number =
            PyObject_CallMethodObjArgs((PyObject *)&PyLong_Type, state->str_from_bytes, bytes, state->str_big, NULL);
    Py_XDECREF(bytes);
    return token->extra ? inverted(number) : number;
}

/* The bytes of the head of a tag. */
static size_t head_size(const uint8_t *at)
{
    unsigned low = at[0] & 31;

    return low < 24 ? 1 : 1 + ((size_t)1 << (low - 24));
}

/* The text of a date that is too fine for a datetime: tag 0 as it stands. */
static PyObject *fine_date(kvpy_decoder *decoder, const uint8_t *at)
{
    kvault_reader inside = decoder->reader;
    kvault_token text = { .kind = KVAULT_TOKEN_NULL };
    PyObject *value, *tag;
    kvault_status rc;

    inside.at = at + head_size(at);
    inside.owed++;
    rc = kvault_cbor_read_any(&inside, &text, &decoder->err);
    if (rc < 0)
        return kvpy_decode_failed(decoder, rc);
    value = kvpy_utf8_load(text.bytes.data, text.bytes.size);
    tag = value ? kvpy_tag_new(decoder->state, 0, value) : NULL;
    Py_XDECREF(value);
    return tag;
}

/* A datetime counts microseconds. The float of tag 1 is rounded to them, as it is no more than near to
 * anything; what was written with finer digits stays what it was. */
static PyObject *instant(kvpy_decoder *decoder, const kvault_token *token, const uint8_t *at)
{
    int64_t seconds = token->i;
    int32_t nanoseconds = token->extra;

    if (decoder->format == KVAULT_FORMAT_CBOR && at[head_size(at) - 1] % 32 == 1) {
        nanoseconds = (nanoseconds + 500) / 1000 * 1000;
        seconds += nanoseconds / 1000000000;
        nanoseconds %= 1000000000;
    }
    if (kvpy_instant_is_datetime(seconds, nanoseconds))
        return kvpy_datetime_of_instant(decoder->state, seconds, nanoseconds);
    if (decoder->format == KVAULT_FORMAT_MSGPACK)
        return kvpy_ext_new(decoder->state, -1, token->bytes);
    return fine_date(decoder, at);
}

PyObject *kvpy_decode_other(kvpy_decoder *decoder, const kvault_token *token, const uint8_t *at)
{
    switch (token->kind) {
    case KVAULT_TOKEN_UINT:
        return PyLong_FromUnsignedLongLong(token->u);
    case KVAULT_TOKEN_NINT:
        return inverted(PyLong_FromUnsignedLongLong(token->u));
    case KVAULT_TOKEN_BIGNUM:
        return bignum(decoder->state, token);
    case KVAULT_TOKEN_TEXT:
        return chunked_text(decoder, token, at);
    case KVAULT_TOKEN_BYTES:
        return bytes_of(token);
    case KVAULT_TOKEN_TIMESTAMP:
        return instant(decoder, token, at);
    case KVAULT_TOKEN_EXT:
        return kvpy_ext_new(decoder->state, token->extra, token->bytes);
    case KVAULT_TOKEN_SIMPLE:
        return kvpy_simple_new(decoder->state, token->u);
    case KVAULT_TOKEN_NULL:
    case KVAULT_TOKEN_BOOL:
    case KVAULT_TOKEN_INT:
    case KVAULT_TOKEN_FLOAT:
    case KVAULT_TOKEN_ARRAY:
    case KVAULT_TOKEN_MAP:
    case KVAULT_TOKEN_TAG:
        break;
    }
    Py_UNREACHABLE();
}
