/* packer.c - one value of a dtype <-> bytes.
 *
 * A value of a fixed type is a token on its way: the core checks it and stores it. A record is walked by
 * encode.c and decode.c. A record that must fit into N bytes, or keep a schema, is written aside first. */
#include "packer.h"

#include "byte_writer.h"
#include "convert.h"
#include "decode.h"
#include "encode.h"
#include "scalar.h"
#include "schema_check.h"

static bool is_record(const kvault_dtype *dtype)
{
    return dtype->kind == KVAULT_MSGPACK || dtype->kind == KVAULT_CBOR;
}

static kvault_format format_of(const kvault_dtype *dtype)
{
    return dtype->kind == KVAULT_CBOR ? KVAULT_FORMAT_CBOR : KVAULT_FORMAT_MSGPACK;
}

/* ---- packing ---- */

static bool failed(kvpy_packer *self, kvault_status status, const kvault_error *err)
{
    if (status < 0)
        kvpy_raise(self->state, status, err);
    return status >= 0;
}

static bool pack_record(kvpy_packer *self, PyObject *value, kvault_writer *writer)
{
    kvpy_encoder encoder = { writer, self->state, format_of(&self->dtype), 0, 0 };
    uint32_t depth = writer->depth;
    bool done = kvpy_encode(&encoder, value);

    writer->depth = depth;
    return done;
}

/* Write the record to where it belongs, padded if the dtype has a size. */
static bool place_record(kvpy_packer *self, kvault_slice record, kvault_writer *writer)
{
    kvault_token token = { .kind = KVAULT_TOKEN_BYTES, .bytes = record };
    size_t size = self->dtype.size_bytes ? self->dtype.size_bytes : record.size;
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_status rc = kvault_writer_room(writer, size, &err);

    if (rc == KVAULT_OK && self->dtype.size_bytes)
        rc = kvault_fixed_write(&self->dtype, &token, writer->at, &err);
    else if (rc == KVAULT_OK)
        memcpy(writer->at, record.data, record.size);
    if (rc == KVAULT_OK)
        writer->at += size;
    return failed(self, rc, &err);
}

static bool pack_aside(kvpy_packer *self, PyObject *value, kvault_writer *writer)
{
    kvpy_byte_writer aside;
    bool done;

    kvpy_byte_writer_init(&aside);
    done = pack_record(self, value, &aside.writer);
    if (done) {
        kvault_slice record = kvpy_byte_writer_slice(&aside);
        done = (!self->validator || kvpy_schema_check(self, record)) && place_record(self, record, writer);
    }
    kvpy_byte_writer_discard(&aside);
    return done;
}

bool kvpy_pack_value(kvpy_packer *self, PyObject *value, kvault_writer *writer)
{
    if (!is_record(&self->dtype))
        return kvpy_scalar_pack(self->state, &self->dtype, value, writer);
    if (self->dtype.size_bytes || self->validator)
        return pack_aside(self, value, writer);
    return pack_record(self, value, writer);
}

/* ---- unpacking ---- */

PyObject *kvpy_unpack_record(kvpy_packer *self, kvault_slice data, size_t offset, PyObject *bad_bytes, size_t *ret_end)
{
    kvpy_decoder decoder;
    PyObject *value;

    if (!self->cache)
        self->cache = kvpy_key_cache_new();
    if (!self->cache)
        return NULL;
    decoder.reader = kvault_reader_init(data, offset);
    decoder.state = self->state;
    decoder.cache = self->cache;
    decoder.bad_bytes = bad_bytes;
    decoder.format = format_of(&self->dtype);
    value = kvpy_decode(&decoder);
    *ret_end = kvault_reader_offset(&decoder.reader);
    return value;
}

/* The record at the front of its N bytes, and nothing but zeros behind it. */
static PyObject *unpack_padded(kvpy_packer *self, kvault_slice data, size_t offset, PyObject *bad_bytes,
                               size_t *ret_end)
{
    size_t end = offset + self->dtype.size_bytes;
    const uint8_t *bytes = data.data;
    PyObject *value;
    size_t at;

    if (data.size < offset || data.size - offset < self->dtype.size_bytes) {
        PyErr_Format(bad_bytes, "Not enough data: the element at byte %zu takes %u bytes, %zu remain", offset,
                     (unsigned)self->dtype.size_bytes, offset < data.size ? data.size - offset : 0);
        return NULL;
    }
    value = kvpy_unpack_record(self, (kvault_slice){ data.data, end }, offset, bad_bytes, &at);
    for (; value && at < end; at++) {
        if (bytes[at]) {
            PyErr_Format(bad_bytes, "byte 0x%02x follows the record at byte %zu, where only padding may", bytes[at],
                         at);
            Py_CLEAR(value);
        }
    }
    *ret_end = end;
    return value;
}

PyObject *kvpy_unpack_value(kvpy_packer *self, kvault_slice data, size_t offset, PyObject *bad_bytes, size_t *ret_end)
{
    if (!is_record(&self->dtype))
        return kvpy_scalar_unpack(self->state, &self->dtype, data, offset, bad_bytes, ret_end);
    if (self->dtype.size_bytes)
        return unpack_padded(self, data, offset, bad_bytes, ret_end);
    return kvpy_unpack_record(self, data, offset, bad_bytes, ret_end);
}

/* ---- making ---- */

bool kvpy_dtype_of(kvpy_state *state, PyObject *text, kvault_dtype *ret_dtype)
{
    kvault_error err = KVAULT_ERROR_INIT;
    Py_ssize_t size;
    const char *utf8;
    kvault_status rc;

    if (!PyUnicode_Check(text)) {
        PyErr_Format(state->WrongType, "a dtype is str, not %.100s", Py_TYPE(text)->tp_name);
        return false;
    }
    utf8 = PyUnicode_AsUTF8AndSize(text, &size);
    if (!utf8)
        return false;
    rc = kvault_dtype_parse((kvault_slice){ utf8, (size_t)size }, ret_dtype, &err);
    if (rc < 0)
        kvpy_raise(state, rc, &err);
    return rc == KVAULT_OK;
}

kvpy_packer *kvpy_packer_new(kvpy_state *state, const kvault_dtype *dtype, PyObject *schema)
{
    PyTypeObject *type = (PyTypeObject *)state->PackerType;
    kvpy_packer *self = (kvpy_packer *)type->tp_alloc(type, 0);

    if (!self)
        return NULL;
    self->state = state;
    self->dtype = *dtype;
    if (schema && !kvpy_schema_set(self, schema)) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}
