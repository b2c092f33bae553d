/* column_values.c - Python values <-> the elements of a column. See column_type.h. */
#include "column_type.h"

#include "convert.h"

/* ---- values -> elements ---- */

static void elements_init(kvpy_elements *elements)
{
    kvpy_byte_writer_init(&elements->writer);
    elements->elements = (kvault_elements){ 0 };
    elements->view.obj = NULL;
    elements->offsets = NULL;
}

void kvpy_elements_release(kvpy_elements *elements)
{
    kvpy_byte_writer_discard(&elements->writer);
    if (elements->view.obj)
        PyBuffer_Release(&elements->view);
    PyMem_Free(elements->offsets);
    elements->offsets = NULL;
}

/* What the user's own function makes of a value, behind what was written. */
static bool pack_by_user(kvpy_column *self, PyObject *value, kvault_writer *writer)
{
    PyObject *packed = PyObject_CallOneArg(self->pack, value);
    kvpy_bytes bytes = KVPY_BYTES_INIT;
    kvault_error err = KVAULT_ERROR_INIT;
    bool done = packed && kvpy_value(self->state, packed, &bytes);

    if (done) {
        kvault_status rc = kvault_writer_room(writer, bytes.slice.size, &err);

        done = kvpy_succeeded(self->state, rc, &err);
        if (done && bytes.slice.size) {
            memcpy(writer->at, bytes.slice.data, bytes.slice.size);
            writer->at += bytes.slice.size;
        }
    }
    kvpy_bytes_release(&bytes);
    Py_XDECREF(packed);
    return done;
}

static bool pack_value(kvpy_column *self, PyObject *value, kvault_writer *writer)
{
    return self->packer ? kvpy_pack_value(self->packer, value, writer) : pack_by_user(self, value, writer);
}

/* The commonest value of all, without the packer. */
static bool is_plain_float(const kvpy_column *self, PyObject *value)
{
    return !PY_BIG_ENDIAN && self->packer && self->packer->dtype.kind == KVAULT_F64 && PyFloat_CheckExact(value);
}

bool kvpy_elements_of_value(kvpy_column *self, PyObject *value, kvpy_elements *ret)
{
    kvault_slice bytes;

    elements_init(ret);
    if (is_plain_float(self, value)) {
        double number = PyFloat_AS_DOUBLE(value);

        memcpy(ret->one, &number, sizeof number);
        ret->elements = (kvault_elements){ ret->one, NULL, 1 };
        return true;
    }
    if (!pack_value(self, value, &ret->writer.writer))
        return false;
    bytes = kvpy_byte_writer_slice(&ret->writer);
    ret->one[0] = 0;
    ret->one[1] = bytes.size;
    ret->elements = (kvault_elements){ bytes.data, self->element_bytes ? NULL : ret->one, 1 };
    return true;
}

static bool pack_list(kvpy_column *self, const kvpy_items *items, kvpy_elements *elements)
{
    if (self->packer)
        return kvpy_pack_items(self->packer, items, &elements->writer, elements->offsets);
    for (Py_ssize_t i = 0; i < items->count; i++) {
        PyObject *item;
        bool done;

        if (PySequence_Fast_GET_SIZE(items->sequence) <= i) {
            PyErr_SetString(PyExc_RuntimeError, "a list changed while it was packed");
            return false;
        }
        item = Py_NewRef(PySequence_Fast_GET_ITEM(items->sequence, i));
        elements->offsets[i] = kvpy_byte_writer_slice(&elements->writer).size;
        done = pack_by_user(self, item, &elements->writer.writer);
        Py_DECREF(item);
        if (!done)
            return false;
    }
    return true;
}

static bool elements_of_list(kvpy_column *self, PyObject *list, kvpy_elements *ret)
{
    kvpy_items items = { list, 0, PySequence_Fast_GET_SIZE(list) };
    kvault_slice bytes;

    if (!self->element_bytes) {
        ret->offsets = PyMem_New(uint64_t, (size_t)items.count + 1);
        if (!ret->offsets) {
            PyErr_NoMemory();
            return false;
        }
    }
    if (!pack_list(self, &items, ret))
        return false;
    bytes = kvpy_byte_writer_slice(&ret->writer);
    if (ret->offsets)
        ret->offsets[items.count] = bytes.size;
    ret->elements = (kvault_elements){ bytes.data, ret->offsets, (uint64_t)items.count };
    return true;
}

/* Memory of the column's own type: used where it lies, but for bool, of which any byte may be there. */
static bool elements_of_view(kvpy_column *self, kvpy_elements *ret)
{
    const void *data = ret->view.buf;

    if (self->packer->dtype.kind == KVAULT_BOOL) {
        if (!kvpy_pack_elements(self->packer, &ret->view, &ret->writer))
            return false;
        data = kvpy_byte_writer_slice(&ret->writer).data;
    }
    ret->elements = (kvault_elements){ data, NULL, (uint64_t)ret->view.len / self->element_bytes };
    return true;
}

bool kvpy_elements_of_many(kvpy_column *self, PyObject *values, kvpy_elements *ret)
{
    PyObject *list;
    bool done;

    elements_init(ret);
    if (self->packer && kvpy_elements_of(&self->packer->dtype, values, &ret->view))
        return elements_of_view(self, ret);
    ret->view.obj = NULL;
    list = PySequence_Fast(values, "the values of a column are an iterable");
    if (!list)
        return false;
    done = elements_of_list(self, list, ret);
    Py_DECREF(list);
    return done;
}

/* ---- elements -> values ---- */

PyObject *kvpy_value_of(kvpy_column *self, kvault_slice element)
{
    size_t end;

    if (!PY_BIG_ENDIAN && self->packer && self->packer->dtype.kind == KVAULT_F64) {
        double number;

        memcpy(&number, element.data, sizeof number);
        return PyFloat_FromDouble(number);
    }
    if (!self->packer) {
        PyObject *bytes = PyBytes_FromStringAndSize(element.data, (Py_ssize_t)element.size);
        PyObject *value = bytes ? PyObject_CallOneArg(self->unpack, bytes) : NULL;

        Py_XDECREF(bytes);
        return value;
    }
    return kvpy_unpack_value(self->packer, element, 0, self->state->CorruptData, &end);
}

PyObject *kvpy_values_of(kvpy_column *self, const kvault_result *result)
{
    const uint64_t *offsets = (const uint64_t *)(const void *)result->offsets.data;
    Py_ssize_t count = (Py_ssize_t)result->count;
    PyObject *list;

    if (self->packer && self->element_bytes)
        return kvpy_unpack_elements(self->packer, (kvault_slice){ result->data.data, result->data.size }, count,
                                    self->state->CorruptData);
    list = PyList_New(count);
    if (list)
        PyObject_GC_UnTrack(list); /* the user's function runs: nobody is to find the list before it is full */
    for (Py_ssize_t i = 0; list && i < count; i++) {
        kvault_slice element = { result->data.data + offsets[i], (size_t)(offsets[i + 1] - offsets[i]) };
        PyObject *value = kvpy_value_of(self, element);

        if (value)
            PyList_SET_ITEM(list, i, value);
        else
            Py_CLEAR(list);
    }
    if (list)
        PyObject_GC_Track(list);
    return list;
}
