/* column_type.c - Column: the hot half of Column and VarSizeColumn.
 *
 * Values are packed and unpacked with the GIL held, by the packer or by functions of the user; the core is called
 * without it. Each write is counted, so that iterators of this process know that what they read ahead is stale. */
#include "column_type.h"

#include "convert.h"

#define STACK_BYTES 256
#define NOW_BYTES 8192 /* of an element that is given out of memory with the GIL held */

bool kvpy_column_succeeded(kvpy_column *self, kvault_status rc, const kvault_error *err)
{
    if (!kvpy_succeeded(self->state, rc, err))
        return false;
    if (rc == KVAULT_NOT_FOUND)
        kvpy_raise_no_column(self->state, self->name);
    return rc != KVAULT_NOT_FOUND;
}

/* ---- life ---- */

/* The packer that dtype and schema ask for; NULL with an exception. */
static kvpy_packer *make_packer(kvpy_state *state, kvault_column *column, const kvault_dtype *dtype)
{
    kvault_slice text = kvault_column_schema(column);
    PyObject *schema = text.size ? PyUnicode_DecodeUTF8(text.data, (Py_ssize_t)text.size, NULL) : NULL;
    kvpy_packer *packer = NULL;

    if (!text.size || schema)
        packer = kvpy_packer_new(state, dtype, schema);
    Py_XDECREF(schema);
    return packer;
}

/* How values become elements. False with an exception. */
static bool set_codec(kvpy_column *self, PyObject *pack, PyObject *unpack)
{
    kvault_dtype dtype;

    if (kvault_column_parsed_dtype(self->column, &dtype)) {
        self->packer = make_packer(self->state, self->column, &dtype);
        return self->packer != NULL;
    }
    if (!PyCallable_Check(pack) || !PyCallable_Check(unpack)) {
        PyErr_Format(self->state->InvalidArgument,
                     "Unknown dtype \"%s\": column %R needs its pack and unpack functions",
                     kvault_column_dtype(self->column), self->name);
        return false;
    }
    self->pack = Py_NewRef(pack);
    self->unpack = Py_NewRef(unpack);
    return true;
}

PyDoc_STRVAR(column_doc, "Column(handle, name, pack, unpack, /)\n--\n\n"
                         "The column of this name; pack and unpack are None unless the dtype is the user's own.");

static PyObject *column_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "", "", "", "", NULL };
    kvpy_state *state = kvpy_state_of_type(type);
    PyObject *handle, *name, *pack, *unpack;
    kvault_column *column = NULL;
    kvault_error err = KVAULT_ERROR_INIT;
    kvpy_column *self;
    const char *text;
    Py_ssize_t size;
    kvault_status rc;

    if (!state || !PyArg_ParseTupleAndKeywords(args, kwargs, "O!UOO:Column", names, state->HandleType, &handle, &name,
                                               &pack, &unpack))
        return NULL;
    text = PyUnicode_AsUTF8AndSize(name, &size);
    if (!text)
        return NULL;
    KVPY_LET_GO(
        rc = kvault_column_open(((kvpy_handle *)handle)->vault, (kvault_slice){ text, (size_t)size }, &column, &err));
    if (!kvpy_succeeded(state, rc, &err))
        return NULL;
    if (rc == KVAULT_NOT_FOUND)
        return kvpy_raise_no_column(state, name);
    self = (kvpy_column *)type->tp_alloc(type, 0);
    if (!self) {
        kvault_column_free(column);
        return NULL;
    }
    self->state = state;
    self->handle = (kvpy_handle *)Py_NewRef(handle);
    self->column = column;
    self->name = Py_NewRef(name);
    self->element_bytes = kvault_column_element_bytes(column);
    if (!set_codec(self, pack, unpack))
        Py_CLEAR(self);
    return (PyObject *)self;
}

static int column_traverse(PyObject *op, visitproc visit, void *arg)
{
    kvpy_column *self = kvpy_column_cast(op);

    Py_VISIT(Py_TYPE(op));
    Py_VISIT((PyObject *)self->handle);
    Py_VISIT((PyObject *)self->packer);
    Py_VISIT(self->pack);
    Py_VISIT(self->unpack);
    return 0;
}

/* No clear: handle and codec must outlive the column; a cycle runs through something that can be cleared. */
static void column_dealloc(PyObject *op)
{
    kvpy_column *self = kvpy_column_cast(op);
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    kvault_column_free(self->column);
    Py_XDECREF((PyObject *)self->packer);
    Py_XDECREF(self->pack);
    Py_XDECREF(self->unpack);
    Py_XDECREF(self->name);
    Py_XDECREF((PyObject *)self->handle);
    type->tp_free(op);
    Py_DECREF(type);
}

/* ---- length, elements, slices ---- */

static Py_ssize_t column_length(PyObject *op)
{
    kvpy_column *self = kvpy_column_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    uint64_t length = 0;
    kvault_status rc;

    if (kvault_column_length_now(self->column, &length))
        return (Py_ssize_t)length;
    KVPY_LET_GO(rc = kvault_column_length(self->column, &length, &err));
    return kvpy_column_succeeded(self, rc, &err) ? (Py_ssize_t)length : -1;
}

/* An index, whatever has __index__; one that no column has is out of range. */
static bool index_of(PyObject *key, int64_t *ret)
{
    Py_ssize_t index = PyNumber_AsSsize_t(key, PyExc_OverflowError);

    *ret = index;
    if (index != -1 || !PyErr_Occurred())
        return true;
    if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
        PyErr_Clear();
        PyErr_SetString(PyExc_IndexError, "index out of range: no column has as many elements");
    }
    return false;
}

static PyObject *get_fixed(kvpy_column *self, int64_t index)
{
    uint8_t stack[STACK_BYTES], *bytes = stack;
    kvault_error err = KVAULT_ERROR_INIT;
    PyObject *value = NULL;
    kvault_status rc;

    if (self->element_bytes > sizeof stack && !(bytes = PyMem_Malloc(self->element_bytes)))
        return PyErr_NoMemory();
    KVPY_LET_GO(rc = kvault_column_get(self->column, index, bytes, &err));
    if (kvpy_column_succeeded(self, rc, &err))
        value = kvpy_value_of(self, (kvault_slice){ bytes, self->element_bytes });
    if (bytes != stack)
        PyMem_Free(bytes);
    return value;
}

static PyObject *get_any(kvpy_column *self, int64_t index)
{
    kvault_result result = KVAULT_RESULT_INIT;
    kvault_error err = KVAULT_ERROR_INIT;
    PyObject *value = NULL;
    kvault_status rc;

    KVPY_LET_GO(rc = kvault_column_get_one(self->column, index, &result, &err));
    if (kvpy_column_succeeded(self, rc, &err))
        value = kvpy_value_of(self, (kvault_slice){ result.data.data, result.data.size });
    kvault_result_free(&result);
    return value;
}

static bool range_of(PyObject *slice, kvault_range *ret)
{
    Py_ssize_t start, stop, step;

    if (PySlice_Unpack(slice, &start, &stop, &step) < 0)
        return false;
    *ret = (kvault_range){ start, stop, step };
    return true;
}

static PyObject *get_slice(kvpy_column *self, PyObject *slice)
{
    kvault_result result = KVAULT_RESULT_INIT;
    kvault_error err = KVAULT_ERROR_INIT;
    PyObject *list = NULL;
    kvault_range range;
    kvault_status rc;

    if (!range_of(slice, &range))
        return NULL;
    rc = KVAULT_OK;
    if (!kvault_column_get_range_now(self->column, &range, &result))
        KVPY_LET_GO(rc = kvault_column_get_range(self->column, &range, &result, &err));
    if (kvpy_column_succeeded(self, rc, &err))
        list = kvpy_values_of(self, &result);
    kvault_result_free(&result);
    return list;
}

static PyObject *raise_no_index(const char *type)
{
    return PyErr_Format(PyExc_TypeError, "column indices must be integers or slices, not %.200s", type);
}

static PyObject *column_subscript(PyObject *op, PyObject *key)
{
    kvpy_column *self = kvpy_column_cast(op);
    uint8_t bytes[NOW_BYTES];
    int64_t index;
    size_t size;

    if (PySlice_Check(key))
        return get_slice(self, key);
    if (!PyIndex_Check(key))
        return raise_no_index(Py_TYPE(key)->tp_name);
    if (!index_of(key, &index))
        return NULL;
    if (kvault_column_get_now(self->column, index, bytes, sizeof bytes, &size))
        return kvpy_value_of(self, (kvault_slice){ bytes, size });
    return self->element_bytes ? get_fixed(self, index) : get_any(self, index);
}

/* ---- writing ---- */

/* Run a call of the core that writes to the column. */
#define WRITE(self, rc, call)                                                                                          \
    do {                                                                                                               \
        KVPY_LET_GO(rc = call);                                                                                        \
        kvpy_column_touch(self);                                                                                       \
    } while (0)

static int set_one(kvpy_column *self, int64_t index, PyObject *value)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvpy_elements element;
    bool done = false;
    kvault_status rc;

    if (kvpy_elements_of_value(self, value, &element)) {
        WRITE(self, rc, kvault_column_set(self->column, index, &element.elements, &err));
        done = kvpy_column_succeeded(self, rc, &err);
    }
    kvpy_elements_release(&element);
    return done ? 0 : -1;
}

static int set_slice(kvpy_column *self, const kvault_range *range, PyObject *values)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvpy_elements elements;
    bool done = false;
    kvault_status rc;

    if (kvpy_elements_of_many(self, values, &elements)) {
        WRITE(self, rc, kvault_column_set_range(self->column, range, &elements.elements, &err));
        done = kvpy_column_succeeded(self, rc, &err);
    }
    kvpy_elements_release(&elements);
    return done ? 0 : -1;
}

static int column_assign(PyObject *op, PyObject *key, PyObject *value)
{
    kvpy_column *self = kvpy_column_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_range range;
    kvault_status rc;
    int64_t index;

    if (PySlice_Check(key)) {
        if (!range_of(key, &range))
            return -1;
        if (value)
            return set_slice(self, &range, value);
        WRITE(self, rc, kvault_column_delete_range(self->column, &range, &err));
        return kvpy_column_succeeded(self, rc, &err) ? 0 : -1;
    }
    if (!PyIndex_Check(key)) {
        raise_no_index(Py_TYPE(key)->tp_name);
        return -1;
    }
    if (!index_of(key, &index))
        return -1;
    if (value)
        return set_one(self, index, value);
    WRITE(self, rc, kvault_column_delete(self->column, index, &err));
    return kvpy_column_succeeded(self, rc, &err) ? 0 : -1;
}

/* None, or NULL with the exception that is set. */
static PyObject *none_if(bool done)
{
    return done ? Py_NewRef(Py_None) : NULL;
}

PyDoc_STRVAR(append_doc, "append($self, value, /)\n--\n\nAdd a value at the end.");

static PyObject *column_append(PyObject *op, PyObject *value)
{
    kvpy_column *self = kvpy_column_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    kvpy_elements element;
    bool done = false;
    kvault_status rc;

    if (kvpy_elements_of_value(self, value, &element)) {
        done = kvault_column_append_now(self->column, &element.elements);
        if (done) {
            kvpy_column_touch(self);
        } else {
            WRITE(self, rc, kvault_column_append(self->column, &element.elements, &err));
            done = kvpy_column_succeeded(self, rc, &err);
        }
    }
    kvpy_elements_release(&element);
    return none_if(done);
}

PyDoc_STRVAR(append_all_doc, "append_all($self, values, /)\n--\n\n"
                             "Add the values of a list, a tuple or a buffer at the end: all or none.");

static PyObject *column_append_all(PyObject *op, PyObject *values)
{
    kvpy_column *self = kvpy_column_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    kvpy_elements elements;
    bool done = false;
    kvault_status rc;

    if (kvpy_elements_of_many(self, values, &elements)) {
        WRITE(self, rc, kvault_column_append(self->column, &elements.elements, &err));
        done = kvpy_column_succeeded(self, rc, &err);
    }
    kvpy_elements_release(&elements);
    return none_if(done);
}

PyDoc_STRVAR(insert_doc,
             "insert($self, index, value, /)\n--\n\nInsert a value before an index, clamped as a list's is.");

static PyObject *column_insert(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    kvpy_column *self = kvpy_column_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    kvpy_elements element;
    Py_ssize_t index;
    bool done = false;
    kvault_status rc;

    if (nargs != 2)
        return PyErr_Format(PyExc_TypeError, "insert() takes an index and a value, got %zd arguments", nargs);
    index = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
    if (index == -1 && PyErr_Occurred())
        return NULL;
    if (kvpy_elements_of_value(self, args[1], &element)) {
        WRITE(self, rc, kvault_column_insert(self->column, index, &element.elements, &err));
        done = kvpy_column_succeeded(self, rc, &err);
    }
    kvpy_elements_release(&element);
    return none_if(done);
}

PyDoc_STRVAR(pop_doc, "pop($self, index=-1, /)\n--\n\nRemove an element and return it, in one transaction.");

static PyObject *column_pop(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    kvpy_column *self = kvpy_column_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_buf data = KVAULT_BUF_INIT;
    PyObject *value = NULL;
    int64_t index = -1;
    kvault_status rc;

    if (nargs > 1)
        return PyErr_Format(PyExc_TypeError, "pop() takes at most 1 argument, got %zd", nargs);
    if (nargs && !PyIndex_Check(args[0]))
        return raise_no_index(Py_TYPE(args[0])->tp_name);
    if (nargs && !index_of(args[0], &index))
        return NULL;
    WRITE(self, rc, kvault_column_pop(self->column, index, &data, &err));
    if (kvpy_column_succeeded(self, rc, &err))
        value = kvpy_value_of(self, (kvault_slice){ data.data, data.size });
    kvault_buf_free(&data);
    return value;
}

PyDoc_STRVAR(clear_doc, "clear($self, /)\n--\n\nRemove every element.");

static PyObject *column_clear(PyObject *op, PyObject *unused)
{
    kvpy_column *self = kvpy_column_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_status rc;

    (void)unused;
    WRITE(self, rc, kvault_column_clear(self->column, &err));
    return none_if(kvpy_column_succeeded(self, rc, &err));
}

PyDoc_STRVAR(compact_doc, "compact($self, /)\n--\n\n"
                          "Rewrite the elements without the bytes that edits left unused, in one transaction;\n"
                          "return how many there were.");

static PyObject *column_compact(PyObject *op, PyObject *unused)
{
    kvpy_column *self = kvpy_column_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    uint64_t bytes = 0;
    kvault_status rc;

    (void)unused;
    WRITE(self, rc, kvault_column_compact(self->column, &bytes, &err));
    return kvpy_column_succeeded(self, rc, &err) ? PyLong_FromUnsignedLongLong(bytes) : NULL;
}

/* ---- reading many ---- */

/* Memory to read into: bytes, or elements of the column's own type. */
static bool open_target(kvpy_column *self, PyObject *object, Py_buffer *view)
{
    Py_buffer own;
    bool fits = false;

    if (!self->element_bytes || !self->packer) {
        PyErr_Format(self->state->WrongType, "column %R has elements of any size: they are read into no buffer",
                     self->name);
        return false;
    }
    if (PyObject_GetBuffer(object, view, PyBUF_WRITABLE | PyBUF_ND | PyBUF_FORMAT) < 0)
        return false;
    if (view->itemsize == 1) {
        fits = view->len % self->element_bytes == 0;
    } else if (kvpy_elements_of(&self->packer->dtype, object, &own)) {
        fits = true;
        PyBuffer_Release(&own);
    }
    if (!fits) {
        PyErr_Format(self->state->WrongType, "the buffer is not of %s, nor of bytes for whole elements",
                     kvault_column_dtype(self->column));
        PyBuffer_Release(view);
    }
    return fits;
}

PyDoc_STRVAR(read_into_doc, "read_into($self, buffer, start=0, /)\n--\n\n"
                            "Read elements from start on into a writable buffer, of the column's type or of bytes.\n\n"
                            "Returns how many were read: as many as fit, fewer at the end of the column.");

static PyObject *column_read_into(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    kvpy_column *self = kvpy_column_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    uint64_t start = 0, count = 0;
    Py_buffer view;
    bool done;
    kvault_status rc;

    if (nargs < 1 || nargs > 2)
        return PyErr_Format(PyExc_TypeError, "read_into() takes a buffer and a start, got %zd arguments", nargs);
    if ((nargs == 2 && !kvpy_unsigned(self->state, args[1], "start", &start)) || !open_target(self, args[0], &view))
        return NULL;
    KVPY_LET_GO(
        rc = kvault_column_read(self->column, start, view.buf, (uint64_t)view.len / self->element_bytes, &count, &err));
    done = kvpy_column_succeeded(self, rc, &err);
    PyBuffer_Release(&view);
    return done ? PyLong_FromUnsignedLongLong(count) : NULL;
}

/* Indices in memory of the caller's, to be freed; NULL with an exception. */
static int64_t *indices_of(PyObject *object, Py_ssize_t *ret_count)
{
    PyObject *all = PySequence_Fast(object, "indices are an iterable of integers");
    Py_ssize_t count = all ? PySequence_Fast_GET_SIZE(all) : 0;
    int64_t *indices = all ? PyMem_New(int64_t, (size_t)(count ? count : 1)) : NULL;
    bool good = indices != NULL;

    if (all && !indices)
        PyErr_NoMemory();
    for (Py_ssize_t i = 0; good && i < count; i++) {
        PyObject *item = i < PySequence_Fast_GET_SIZE(all) ? Py_NewRef(PySequence_Fast_GET_ITEM(all, i)) : NULL;

        good = item && index_of(item, &indices[i]);
        Py_XDECREF(item);
        if (!item)
            PyErr_SetString(PyExc_RuntimeError, "the list of indices changed while it was read");
    }
    Py_XDECREF(all);
    *ret_count = count;
    if (good)
        return indices;
    PyMem_Free(indices);
    return NULL;
}

PyDoc_STRVAR(take_doc,
             "take($self, indices, /)\n--\n\nReturn a list of the elements at these indices, of one instant.");

static PyObject *column_take(PyObject *op, PyObject *object)
{
    kvpy_column *self = kvpy_column_cast(op);
    kvault_result result = KVAULT_RESULT_INIT;
    kvault_error err = KVAULT_ERROR_INIT;
    Py_ssize_t count;
    int64_t *indices = indices_of(object, &count);
    PyObject *list = NULL;
    kvault_status rc;

    if (!indices)
        return NULL;
    KVPY_LET_GO(rc = kvault_column_take(self->column, indices, (uint64_t)count, &result, &err));
    if (kvpy_column_succeeded(self, rc, &err))
        list = kvpy_values_of(self, &result);
    kvault_result_free(&result);
    PyMem_Free(indices);
    return list;
}

static PyObject *column_iter(PyObject *op)
{
    return kvpy_column_iter_new(kvpy_column_cast(op), 0, false);
}

PyDoc_STRVAR(iterate_doc,
             "iterate($self, start, /)\n--\n\nIterate from the element at start on, which is not negative.");

static PyObject *column_iterate(PyObject *op, PyObject *start_object)
{
    kvpy_column *self = kvpy_column_cast(op);
    uint64_t start;

    return kvpy_unsigned(self->state, start_object, "start", &start) ? kvpy_column_iter_new(self, (int64_t)start, false)
                                                                     : NULL;
}

PyDoc_STRVAR(reversed_doc, "__reversed__($self, /)\n--\n\nIterate from the last element to the first.");

static PyObject *column_reversed(PyObject *op, PyObject *unused)
{
    (void)unused;
    return kvpy_column_iter_new(kvpy_column_cast(op), 0, true);
}

/* ---- attributes ---- */

static PyObject *get_name(PyObject *op, void *closure)
{
    kvpy_column *self = kvpy_column_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_buf name = KVAULT_BUF_INIT;
    PyObject *text = NULL;
    kvault_status rc;

    (void)closure;
    KVPY_LET_GO(rc = kvault_column_name(self->column, &name, &err));
    if (kvpy_column_succeeded(self, rc, &err))
        text = PyUnicode_DecodeUTF8((const char *)name.data, (Py_ssize_t)name.size, NULL);
    kvault_buf_free(&name);
    return text;
}

static PyObject *get_dtype(PyObject *op, void *closure)
{
    (void)closure;
    return PyUnicode_FromString(kvault_column_dtype(kvpy_column_cast(op)->column));
}

static PyObject *get_schema(PyObject *op, void *closure)
{
    kvault_slice text = kvault_column_schema(kvpy_column_cast(op)->column);

    (void)closure;
    return text.size ? PyUnicode_DecodeUTF8(text.data, (Py_ssize_t)text.size, NULL) : Py_NewRef(Py_None);
}

static PyObject *get_element_bytes(PyObject *op, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLong(kvpy_column_cast(op)->element_bytes);
}

static PyObject *get_id(PyObject *op, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLongLong(kvault_column_id(kvpy_column_cast(op)->column));
}

static bool get_info(kvpy_column *self, kvault_column_info *info)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_status rc;

    KVPY_LET_GO(rc = kvault_column_info_get(self->column, info, &err));
    return kvpy_column_succeeded(self, rc, &err);
}

static PyObject *get_nbytes(PyObject *op, void *closure)
{
    kvault_column_info info;

    (void)closure;
    return get_info(kvpy_column_cast(op), &info) ? PyLong_FromUnsignedLongLong(info.bytes) : NULL;
}

static PyObject *get_slack_bytes(PyObject *op, void *closure)
{
    kvault_column_info info;

    (void)closure;
    return get_info(kvpy_column_cast(op), &info) ? PyLong_FromUnsignedLongLong(info.slack_bytes) : NULL;
}

static PyGetSetDef column_getset[] = {
    { "name", get_name, NULL, PyDoc_STR("The name as of now; it follows a rename."), NULL },
    { "dtype", get_dtype, NULL, PyDoc_STR("The dtype, as it was given."), NULL },
    { "schema", get_schema, NULL, PyDoc_STR("The text of the schema that every value is checked by; None without."),
      NULL },
    { "element_bytes", get_element_bytes, NULL, PyDoc_STR("Bytes of an element; 0: any size."), NULL },
    { "id", get_id, NULL, PyDoc_STR("A number that no other column of the file has or had; its low 32 bits are the id."), NULL },
    { "nbytes", get_nbytes, NULL, PyDoc_STR("Bytes of all elements."), NULL },
    { "slack_bytes", get_slack_bytes, NULL, PyDoc_STR("Bytes that edits left unused, until compact()."), NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyMethodDef column_methods[] = {
    { "append", column_append, METH_O, append_doc },
    { "append_all", column_append_all, METH_O, append_all_doc },
    { "insert", (PyCFunction)(void (*)(void))column_insert, METH_FASTCALL, insert_doc },
    { "pop", (PyCFunction)(void (*)(void))column_pop, METH_FASTCALL, pop_doc },
    { "clear", column_clear, METH_NOARGS, clear_doc },
    { "compact", column_compact, METH_NOARGS, compact_doc },
    { "read_into", (PyCFunction)(void (*)(void))column_read_into, METH_FASTCALL, read_into_doc },
    { "take", column_take, METH_O, take_doc },
    { "iterate", column_iterate, METH_O, iterate_doc },
    { "__reversed__", column_reversed, METH_NOARGS, reversed_doc },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot column_slots[] = {
    { Py_tp_doc, (void *)column_doc },     { Py_tp_new, column_new },
    { Py_tp_traverse, column_traverse },   { Py_tp_dealloc, column_dealloc },
    { Py_tp_iter, column_iter },           { Py_mp_length, column_length },
    { Py_mp_subscript, column_subscript }, { Py_mp_ass_subscript, column_assign },
    { Py_sq_length, column_length },       { Py_tp_methods, column_methods },
    { Py_tp_getset, column_getset },       { 0, NULL },
};

static PyType_Spec column_spec = {
    .name = "kohakuvault._kvault.Column",
    .basicsize = sizeof(kvpy_column),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = column_slots,
};

int kvpy_column_exec(PyObject *module, kvpy_state *state)
{
    state->ColumnType = kvpy_add_type(module, &column_spec);
    return state->ColumnType ? 0 : -1;
}
