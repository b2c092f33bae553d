/* elements.c - many values of a dtype <-> bytes.
 *
 * Numbers are taken from the items of a list or tuple in runs: a run is stored without a call into Python, and
 * ends at the first item that is not of the exact type or does not fit. That one goes the long way of a single
 * value, where its own code may run and the list may change, and then the list is looked at afresh.
 *
 * Memory of the right kind is copied as it is: the elements of all numbers are little-endian. */
#include "compact.h"
#include "packer.h"
#include "scalar.h"

#define INLINED static inline __attribute__((always_inline))

/* ---- runs of numbers ---- */

/* How many of the items at the front are ints from `min` to `max`, and are stored now. */
INLINED Py_ssize_t store_ints(PyObject *const *items, Py_ssize_t count, uint8_t *to, size_t size, int64_t min,
                              int64_t max)
{
    Py_ssize_t i;
    int64_t value;
    int overflow = 0;

    for (i = 0; i < count; i++, to += size) {
        if (!PyLong_CheckExact(items[i]))
            break;
        if (!kvpy_compact_int(items[i], &value))
            value = PyLong_AsLongLongAndOverflow(items[i], &overflow);
        if (overflow || value < min || value > max)
            break;
        memcpy(to, &value, size); /* the low bytes come first on the machines that this loop is for */
    }
    return i;
}

INLINED bool float_of(PyObject *item, double *ret)
{
    int64_t value;

    if (PyFloat_CheckExact(item)) {
        *ret = PyFloat_AS_DOUBLE(item);
        return true;
    }
    if (!PyLong_CheckExact(item) || !kvpy_compact_int(item, &value))
        return false;
    *ret = (double)value;
    return true;
}

static Py_ssize_t store_doubles(PyObject *const *items, Py_ssize_t count, uint8_t *to)
{
    Py_ssize_t i;
    double value;

    for (i = 0; i < count && float_of(items[i], &value); i++, to += sizeof value)
        memcpy(to, &value, sizeof value);
    return i;
}

static Py_ssize_t store_singles(PyObject *const *items, Py_ssize_t count, uint8_t *to)
{
    Py_ssize_t i;
    double value;

    for (i = 0; i < count && float_of(items[i], &value); i++, to += sizeof(float)) {
        float narrow = (float)value;
        if (Py_IS_INFINITY(narrow) && !Py_IS_INFINITY(value))
            break;
        memcpy(to, &narrow, sizeof narrow);
    }
    return i;
}

/* How many of the items at the front could be stored so. */
static Py_ssize_t store_run(kvault_kind kind, PyObject *const *items, Py_ssize_t count, uint8_t *to)
{
    if (PY_BIG_ENDIAN)
        return 0;
    switch ((int)kind) {
    case KVAULT_I8:
        return store_ints(items, count, to, 1, INT8_MIN, INT8_MAX);
    case KVAULT_I16:
        return store_ints(items, count, to, 2, INT16_MIN, INT16_MAX);
    case KVAULT_I32:
        return store_ints(items, count, to, 4, INT32_MIN, INT32_MAX);
    case KVAULT_I64:
        return store_ints(items, count, to, 8, INT64_MIN, INT64_MAX);
    case KVAULT_U8:
        return store_ints(items, count, to, 1, 0, UINT8_MAX);
    case KVAULT_U16:
        return store_ints(items, count, to, 2, 0, UINT16_MAX);
    case KVAULT_U32:
        return store_ints(items, count, to, 4, 0, UINT32_MAX);
    case KVAULT_U64:
        return store_ints(items, count, to, 8, 0, INT64_MAX);
    case KVAULT_F32:
        return store_singles(items, count, to);
    case KVAULT_F64:
        return store_doubles(items, count, to);
    default:
        return 0;
    }
}

/* ---- packing ---- */

static bool make_room(kvpy_packer *self, Py_ssize_t count, kvault_writer *writer)
{
    size_t size = self->dtype.size_bytes;
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_status rc;

    if (size && (size_t)count > (size_t)PY_SSIZE_T_MAX / size) {
        PyErr_NoMemory();
        return false;
    }
    rc = kvault_writer_room(writer, (size_t)count * size, &err);
    if (rc < 0)
        kvpy_raise(self->state, rc, &err);
    return rc == KVAULT_OK;
}

static bool pack_item(kvpy_packer *self, const kvpy_items *items, Py_ssize_t index, kvault_writer *writer)
{
    PyObject *item = Py_NewRef(PySequence_Fast_GET_ITEM(items->sequence, items->first + index));
    bool done = kvpy_pack_value(self, item, writer);

    Py_DECREF(item);
    return done;
}

bool kvpy_pack_items(kvpy_packer *self, const kvpy_items *items, kvpy_byte_writer *writer, uint64_t *ret_starts)
{
    Py_ssize_t done = 0;

    if (!make_room(self, items->count, &writer->writer))
        return false;
    while (done < items->count) {
        PyObject **all = PySequence_Fast_ITEMS(items->sequence);
        Py_ssize_t run = 0;

        if (PySequence_Fast_GET_SIZE(items->sequence) < items->first + items->count) {
            PyErr_SetString(PyExc_RuntimeError, "a list changed while it was packed");
            return false;
        }
        if (!ret_starts)
            run = store_run(self->dtype.kind, all + items->first + done, items->count - done, writer->writer.at);
        else
            ret_starts[done] = kvpy_byte_writer_slice(writer).size;
        writer->writer.at += (size_t)run * self->dtype.size_bytes;
        done += run;
        if (done == items->count)
            break;
        if (!pack_item(self, items, done, &writer->writer))
            return false;
        done++;
    }
    return true;
}

/* ---- memory that holds elements ---- */

static bool is_format(const kvault_dtype *dtype, const char *format)
{
    static const char *const letters[] = {
        [KVAULT_I8] = "bhilqn", [KVAULT_I16] = "bhilqn", [KVAULT_I32] = "bhilqn", [KVAULT_I64] = "bhilqn",
        [KVAULT_U8] = "BHILQN", [KVAULT_U16] = "BHILQN", [KVAULT_U32] = "BHILQN", [KVAULT_U64] = "BHILQN",
        [KVAULT_F32] = "f",     [KVAULT_F64] = "d",      [KVAULT_BOOL] = "?",
    };

    if (*format == '@' || *format == '=' || *format == '<')
        format++;
    if (dtype->kind == KVAULT_BYTES) { /* "16s" */
        while (*format >= '0' && *format <= '9')
            format++;
        return strcmp(format, "s") == 0;
    }
    return dtype->kind <= KVAULT_BOOL && format[0] && !format[1] && strchr(letters[dtype->kind], format[0]);
}

bool kvpy_elements_of(const kvault_dtype *dtype, PyObject *object, Py_buffer *ret)
{
    if (PY_BIG_ENDIAN || !dtype->size_bytes || !PyObject_CheckBuffer(object))
        return false;
    if (PyObject_GetBuffer(object, ret, PyBUF_ND | PyBUF_FORMAT) < 0) {
        PyErr_Clear(); /* not in one piece: it has its items all the same */
        return false;
    }
    if (ret->ndim == 1 && ret->itemsize == (Py_ssize_t)dtype->size_bytes &&
        is_format(dtype, ret->format ? ret->format : "B"))
        return true;
    PyBuffer_Release(ret);
    return false;
}

bool kvpy_pack_elements(kvpy_packer *self, const Py_buffer *view, kvpy_byte_writer *writer)
{
    Py_ssize_t count = view->len / view->itemsize;
    uint8_t *to;

    if (!make_room(self, count, &writer->writer))
        return false;
    to = writer->writer.at;
    if (view->len)
        memcpy(to, view->buf, (size_t)view->len);
    for (Py_ssize_t i = 0; self->dtype.kind == KVAULT_BOOL && i < count; i++)
        to[i] = to[i] != 0; /* memory that was cast to bool may hold any byte */
    writer->writer.at += view->len;
    return true;
}

/* ---- unpacking ---- */

#define FILL(type, make)                                                                                               \
    for (Py_ssize_t i = 0; i < count; i++) {                                                                           \
        type value;                                                                                                    \
        PyObject *item;                                                                                                \
        memcpy(&value, from + (size_t)i * sizeof value, sizeof value);                                                 \
        item = make;                                                                                                   \
        if (!item)                                                                                                     \
            return false;                                                                                              \
        PyList_SET_ITEM(list, i, item);                                                                                \
    }                                                                                                                  \
    return true

/* The numbers of machines whose memory is little-endian. */
static bool fill_numbers(kvault_kind kind, const uint8_t *from, Py_ssize_t count, PyObject *list)
{
    switch ((int)kind) {
    case KVAULT_I8:
        FILL(int8_t, PyLong_FromLong(value));
    case KVAULT_I16:
        FILL(int16_t, PyLong_FromLong(value));
    case KVAULT_I32:
        FILL(int32_t, PyLong_FromLong(value));
    case KVAULT_I64:
        FILL(int64_t, PyLong_FromLongLong(value));
    case KVAULT_U8:
        FILL(uint8_t, PyLong_FromLong(value));
    case KVAULT_U16:
        FILL(uint16_t, PyLong_FromLong(value));
    case KVAULT_U32:
        FILL(uint32_t, PyLong_FromUnsignedLong(value));
    case KVAULT_U64:
        FILL(uint64_t, PyLong_FromUnsignedLongLong(value));
    case KVAULT_F32:
        FILL(float, PyFloat_FromDouble((double)value));
    default:
        FILL(double, PyFloat_FromDouble(value));
    }
}

static bool fill_values(kvpy_packer *self, kvault_slice data, Py_ssize_t count, PyObject *bad_bytes, PyObject *list)
{
    size_t at = 0;

    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = kvpy_unpack_value(self, data, at, bad_bytes, &at);

        if (!item)
            return false;
        PyList_SET_ITEM(list, i, item);
    }
    return true;
}

PyObject *kvpy_unpack_elements(kvpy_packer *self, kvault_slice data, Py_ssize_t count, PyObject *bad_bytes)
{
    PyObject *list = PyList_New(count);
    bool done;

    if (!list)
        return NULL;
    PyObject_GC_UnTrack(list); /* nobody is to find it before it is full */
    if (self->dtype.kind < KVAULT_BOOL && PY_LITTLE_ENDIAN)
        done = fill_numbers(self->dtype.kind, data.data, count, list);
    else
        done = fill_values(self, data, count, bad_bytes, list);
    if (!done) {
        Py_DECREF(list);
        return NULL;
    }
    PyObject_GC_Track(list);
    return list;
}
