/* packer_type.c - DataPacker: the class around packer.c. */
#include "convert.h"
#include "packer.h"

static kvpy_packer *packer_cast(PyObject *op)
{
    return (kvpy_packer *)op;
}

/* ---- life ---- */

PyDoc_STRVAR(packer_doc, "DataPacker(dtype)\n--\n\n"
                         "Values <-> bytes of one dtype: \"i64\", \"str:32:utf8\", \"msgpack\", ...\n\n"
                         "Any number of threads may use a packer. Records are MessagePack (\"msgpack\") or CBOR\n"
                         "(\"cbor\"). Reading runs no code of the data, and takes memory in proportion to it.\n\n"
                         "Raises InvalidArgument (\"Unknown dtype\") for a dtype that is none.");

static PyObject *packer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "dtype", NULL };
    kvpy_state *state = kvpy_state_of_type(type);
    kvault_dtype dtype;
    PyObject *text;

    if (!state || !PyArg_ParseTupleAndKeywords(args, kwargs, "O:DataPacker", names, &text) ||
        !kvpy_dtype_of(state, text, &dtype))
        return NULL;
    return (PyObject *)kvpy_packer_new(state, &dtype, NULL);
}

PyDoc_STRVAR(with_json_schema_doc,
             "with_json_schema($type, schema)\n--\n\n"
             "A packer of MessagePack that lets no value pass that breaks a JSON Schema.\n\n"
             "schema is a dict or bool, or the JSON text of one; its own $schema tells the draft, 2020-12 without.\n"
             "The package jsonschema-rs checks it. pack() raises SchemaError (\"Validation errors\").");

static PyObject *with_schema(PyObject *type, kvault_kind kind, PyObject *schema)
{
    kvpy_state *state = kvpy_state_of_type((PyTypeObject *)type);
    kvault_dtype dtype = { kind, KVAULT_UTF8, 0 };

    return state ? (PyObject *)kvpy_packer_new(state, &dtype, schema) : NULL;
}

static PyObject *with_json_schema(PyObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "schema", NULL };
    PyObject *schema;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:with_json_schema", names, &schema))
        return NULL;
    return with_schema(type, KVAULT_MSGPACK, schema);
}

PyDoc_STRVAR(with_cddl_schema_doc, "with_cddl_schema($type, cddl)\n--\n\n"
                                   "A packer of CBOR that lets no value pass that breaks a CDDL schema.\n\n"
                                   "cddl is text, its first rule what a record must be. The package pycddl, of the\n"
                                   "extra `cddl`, checks it. pack() raises SchemaError (\"Validation errors\").");

static PyObject *with_cddl_schema(PyObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "cddl", NULL };
    PyObject *cddl;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:with_cddl_schema", names, &cddl))
        return NULL;
    return with_schema(type, KVAULT_CBOR, cddl);
}

/* No clear: the validator knows nothing of the packer, and without it values would pass unchecked. */
static int packer_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(packer_cast(op)->validator);
    return 0;
}

static void packer_dealloc(PyObject *op)
{
    kvpy_packer *self = packer_cast(op);
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    Py_XDECREF(self->validator);
    Py_XDECREF(self->schema);
    kvpy_key_cache_free(self->cache);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyObject *dtype_text(const kvault_dtype *dtype)
{
    char text[KVAULT_DTYPE_TEXT_MAX + 1];
    size_t size = kvault_dtype_text(dtype, text);

    return PyUnicode_FromStringAndSize(text, (Py_ssize_t)size);
}

static PyObject *maker_of(const kvpy_packer *self)
{
    return self->dtype.kind == KVAULT_CBOR ? self->state->str_with_cddl_schema : self->state->str_with_json_schema;
}

static PyObject *packer_repr(PyObject *op)
{
    kvpy_packer *self = packer_cast(op);
    PyObject *dtype, *repr;

    if (self->schema)
        return PyUnicode_FromFormat("DataPacker.%U(%R)", maker_of(self), self->schema);
    dtype = dtype_text(&self->dtype);
    repr = dtype ? PyUnicode_FromFormat("DataPacker(%R)", dtype) : NULL;
    Py_XDECREF(dtype);
    return repr;
}

PyDoc_STRVAR(reduce_doc, "__reduce__($self, /)\n--\n\nThe dtype, or the schema's text, make it anew.");

static PyObject *packer_reduce(PyObject *op, PyObject *unused)
{
    kvpy_packer *self = packer_cast(op);
    PyObject *maker;

    (void)unused;
    if (!self->schema)
        return Py_BuildValue("O(N)", Py_TYPE(op), dtype_text(&self->dtype));
    maker = PyObject_GetAttr((PyObject *)Py_TYPE(op), maker_of(self));
    return maker ? Py_BuildValue("N(O)", maker, self->schema) : NULL;
}

/* ---- one value ---- */

PyDoc_STRVAR(pack_doc, "pack($self, value, /)\n--\n\n"
                       "Return the bytes of one value.\n\n"
                       "Raises WrongType (a TypeError) for a value of another type, OverflowError for a number out\n"
                       "of range, InvalidArgument (a ValueError: \"Data too long\", \"non-ASCII\", \"outside Latin1\n"
                       "range\"), SchemaError (\"Validation errors\"), RuntimeError for a dict or list that changes\n"
                       "meanwhile.");

static PyObject *packer_pack(PyObject *op, PyObject *value)
{
    kvpy_byte_writer writer;

    kvpy_byte_writer_init(&writer);
    if (kvpy_pack_value(packer_cast(op), value, &writer.writer))
        return kvpy_byte_writer_finish(&writer);
    kvpy_byte_writer_discard(&writer);
    return NULL;
}

/* The value of a keyword-or-positional argument, borrowed; NULL if it was not given. */
static PyObject *argument(PyObject *const *args, Py_ssize_t nargs, PyObject *names, Py_ssize_t position,
                          const char *name, Py_ssize_t *used)
{
    if (position < nargs) {
        ++*used;
        return args[position];
    }
    for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); i++) {
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, i), name) == 0) {
            ++*used;
            return args[nargs + i];
        }
    }
    return NULL;
}

/* Whether the caller gave what argument() found and nothing else. */
static bool took_all(const char *function, Py_ssize_t nargs, PyObject *names, Py_ssize_t used)
{
    Py_ssize_t given = nargs + (names ? PyTuple_GET_SIZE(names) : 0);

    if (given == used)
        return true;
    PyErr_Format(PyExc_TypeError, "%s() got %zd arguments, of which it knows %zd", function, given, used);
    return false;
}

PyDoc_STRVAR(unpack_doc, "unpack($self, data, offset=0)\n--\n\n"
                         "Return the value whose bytes begin at offset in data, which is any buffer and not copied.\n\n"
                         "bytes and text without a size go on to the end of data; what follows any other value is\n"
                         "not looked at. Raises InvalidArgument (a ValueError) for bytes that are no such value or\n"
                         "end too soon (\"Not enough data\").");

static PyObject *packer_unpack(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    kvpy_packer *self = packer_cast(op);
    Py_ssize_t used = 0;
    PyObject *data_object = argument(args, nargs, names, 0, "data", &used);
    PyObject *offset_object = argument(args, nargs, names, 1, "offset", &used);
    kvpy_bytes data = KVPY_BYTES_INIT;
    PyObject *value = NULL;
    uint64_t offset = 0;
    size_t end;

    if (!took_all("unpack", nargs, names, used))
        return NULL;
    if (!data_object)
        return PyErr_Format(PyExc_TypeError, "unpack() takes data and an offset");
    if (offset_object && !kvpy_unsigned(self->state, offset_object, "offset", &offset))
        return NULL;
    if (kvpy_data(self->state, data_object, &data))
        value = kvpy_unpack_value(self, data.slice, (size_t)offset, self->state->InvalidArgument, &end);
    kvpy_bytes_release(&data);
    return value;
}

/* ---- many values ---- */

PyDoc_STRVAR(pack_many_doc, "pack_many($self, values, /)\n--\n\n"
                            "Return the bytes of all values, one behind the other.\n\n"
                            "A buffer of the same element type, such as a NumPy array, is copied as it is. Raises\n"
                            "what pack() raises.");

static PyObject *packer_pack_many(PyObject *op, PyObject *values)
{
    kvpy_packer *self = packer_cast(op);
    kvpy_byte_writer writer;
    Py_buffer view;
    PyObject *all;
    bool done = false;

    kvpy_byte_writer_init(&writer);
    if (kvpy_elements_of(&self->dtype, values, &view)) {
        done = kvpy_pack_elements(self, &view, &writer);
        PyBuffer_Release(&view);
    } else {
        all = PySequence_Fast(values, "pack_many() takes an iterable of values");
        if (all) {
            kvpy_items items = { all, 0, PySequence_Fast_GET_SIZE(all) };
            done = kvpy_pack_items(self, &items, &writer, NULL);
            Py_DECREF(all);
        }
    }
    if (done)
        return kvpy_byte_writer_finish(&writer);
    kvpy_byte_writer_discard(&writer);
    return NULL;
}

static PyObject *list_of_numbers(const uint64_t *numbers, Py_ssize_t count)
{
    PyObject *list = PyList_New(count);

    for (Py_ssize_t i = 0; list && i < count; i++) {
        PyObject *number = PyLong_FromUnsignedLongLong(numbers[i]);

        if (!number)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, number);
    }
    return list;
}

PyDoc_STRVAR(pack_many_with_offsets_doc,
             "pack_many_with_offsets($self, values, /)\n--\n\n"
             "Return (bytes, offsets): what pack_many() returns, and a list of where each value begins.");

static PyObject *packer_pack_many_with_offsets(PyObject *op, PyObject *values)
{
    kvpy_packer *self = packer_cast(op);
    PyObject *all = PySequence_Fast(values, "pack_many_with_offsets() takes an iterable of values");
    kvpy_items items = { all, 0, all ? PySequence_Fast_GET_SIZE(all) : 0 };
    uint64_t *starts = all ? PyMem_New(uint64_t, (size_t)items.count) : NULL;
    PyObject *offsets = NULL, *bytes = NULL;
    kvpy_byte_writer writer;

    kvpy_byte_writer_init(&writer);
    if (all && !starts)
        PyErr_NoMemory();
    else if (all && kvpy_pack_items(self, &items, &writer, starts))
        offsets = list_of_numbers(starts, items.count);
    if (offsets)
        bytes = kvpy_byte_writer_finish(&writer);
    kvpy_byte_writer_discard(&writer);
    PyMem_Free(starts);
    Py_XDECREF(all);
    if (bytes)
        return Py_BuildValue("(NN)", bytes, offsets);
    Py_XDECREF(offsets);
    return NULL;
}

/* Where values begin, in memory of the caller's; NULL with an exception. */
static uint64_t *offsets_of(kvpy_state *state, PyObject *object, size_t limit, Py_ssize_t *ret_count)
{
    PyObject *all = PySequence_Fast(object, "offsets are an iterable of integers");
    Py_ssize_t count = all ? PySequence_Fast_GET_SIZE(all) : 0;
    uint64_t *offsets = all ? PyMem_New(uint64_t, (size_t)count) : NULL;
    bool good = offsets != NULL;

    if (all && !offsets)
        PyErr_NoMemory();
    for (Py_ssize_t i = 0; good && i < count; i++) {
        PyObject *item = i < PySequence_Fast_GET_SIZE(all) ? Py_NewRef(PySequence_Fast_GET_ITEM(all, i)) : NULL;

        good = item && kvpy_unsigned(state, item, "an offset", &offsets[i]);
        Py_XDECREF(item);
        if (!item)
            PyErr_SetString(PyExc_RuntimeError, "the list of offsets changed while it was read");
        if (good && offsets[i] > limit) {
            PyErr_Format(state->InvalidArgument, "Not enough data: element %zd at byte %llu, %zu bytes are there", i,
                         (unsigned long long)offsets[i], limit);
            good = false;
        }
    }
    Py_XDECREF(all);
    if (good) {
        *ret_count = count;
        return offsets;
    }
    PyMem_Free(offsets);
    return NULL;
}

/* The data up to where the value with this number ends: a record and a value of fixed size know by themselves. */
static bool end_of(kvpy_packer *self, kvault_slice *data, const uint64_t *offsets, Py_ssize_t count, Py_ssize_t index)
{
    bool open = !self->dtype.size_bytes && (self->dtype.kind == KVAULT_BYTES || self->dtype.kind == KVAULT_STR);

    if (!open || index + 1 == count)
        return true;
    if (offsets[index + 1] < offsets[index]) {
        PyErr_Format(self->state->InvalidArgument, "offset %llu of element %zd follows offset %llu",
                     (unsigned long long)offsets[index + 1], index + 1, (unsigned long long)offsets[index]);
        return false;
    }
    data->size = (size_t)offsets[index + 1];
    return true;
}

static PyObject *unpack_at_offsets(kvpy_packer *self, kvault_slice data, PyObject *offsets_object)
{
    Py_ssize_t count = 0;
    uint64_t *offsets = offsets_of(self->state, offsets_object, data.size, &count);
    PyObject *list = offsets ? PyList_New(0) : NULL;

    for (Py_ssize_t i = 0; list && i < count; i++) {
        kvault_slice part = data;
        PyObject *value = NULL;
        size_t end;

        if (end_of(self, &part, offsets, count, i))
            value = kvpy_unpack_value(self, part, (size_t)offsets[i], self->state->InvalidArgument, &end);
        if (!value || PyList_Append(list, value) < 0)
            Py_CLEAR(list);
        Py_XDECREF(value);
    }
    PyMem_Free(offsets);
    return list;
}

/* As many as the caller wants, or all there are. */
static PyObject *unpack_count(kvpy_packer *self, kvault_slice data, PyObject *count_object)
{
    size_t size = self->dtype.size_bytes;
    uint64_t count;

    if (!size) {
        PyErr_SetString(self->state->InvalidArgument, "elements of any size require offsets");
        return NULL;
    }
    count = data.size / size;
    if (count_object && !kvpy_unsigned(self->state, count_object, "count", &count))
        return NULL;
    if (count > data.size / size) {
        PyErr_Format(self->state->InvalidArgument, "Not enough data: %llu elements of %zu bytes, %zu bytes are there",
                     (unsigned long long)count, size, data.size);
        return NULL;
    }
    if (!count_object && data.size % size) {
        PyErr_Format(self->state->InvalidArgument,
                     "Not enough data: %zu bytes are not a whole number of elements of %zu bytes", data.size, size);
        return NULL;
    }
    return kvpy_unpack_elements(self, data, (Py_ssize_t)count, self->state->InvalidArgument);
}

PyDoc_STRVAR(unpack_many_doc,
             "unpack_many($self, data, count=None, offsets=None)\n--\n\n"
             "Return a list of the values in data, which is any buffer and not copied.\n\n"
             "Elements of fixed size: count of them, or as many as data has. Elements of any size: one at each\n"
             "of the offsets; one of bytes or text ends where the next begins. Raises InvalidArgument (\"Not enough\n"
             "data\", \"require offsets\") and what unpack() raises.");

static PyObject *packer_unpack_many(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    kvpy_packer *self = packer_cast(op);
    Py_ssize_t used = 0;
    PyObject *data_object = argument(args, nargs, names, 0, "data", &used);
    PyObject *count = argument(args, nargs, names, 1, "count", &used);
    PyObject *offsets = argument(args, nargs, names, 2, "offsets", &used);
    kvpy_bytes data = KVPY_BYTES_INIT;
    PyObject *list = NULL;

    if (!took_all("unpack_many", nargs, names, used))
        return NULL;
    count = count == Py_None ? NULL : count;
    offsets = offsets == Py_None ? NULL : offsets;
    if (!data_object)
        return PyErr_Format(PyExc_TypeError, "unpack_many() takes data, and a count or offsets");
    if (count && offsets) {
        PyErr_SetString(self->state->InvalidArgument, "unpack_many() takes a count or offsets, not both");
        return NULL;
    }
    if (kvpy_data(self->state, data_object, &data))
        list = offsets ? unpack_at_offsets(self, data.slice, offsets) : unpack_count(self, data.slice, count);
    kvpy_bytes_release(&data);
    return list;
}

/* ---- what it is ---- */

static PyObject *get_dtype(PyObject *op, void *closure)
{
    (void)closure;
    return dtype_text(&packer_cast(op)->dtype);
}

static PyObject *get_elem_size(PyObject *op, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLong(packer_cast(op)->dtype.size_bytes);
}

static PyObject *get_is_varsize(PyObject *op, void *closure)
{
    (void)closure;
    return PyBool_FromLong(packer_cast(op)->dtype.size_bytes == 0);
}

static PyGetSetDef packer_getset[] = {
    { "dtype", get_dtype, NULL, PyDoc_STR("The dtype in its shortest form."), NULL },
    { "elem_size", get_elem_size, NULL, PyDoc_STR("Bytes of an element; 0 where that varies."), NULL },
    { "is_varsize", get_is_varsize, NULL, PyDoc_STR("Whether elements may be of any size."), NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyMethodDef packer_methods[] = {
    { "with_json_schema", (PyCFunction)(void (*)(void))with_json_schema, METH_VARARGS | METH_KEYWORDS | METH_CLASS,
      with_json_schema_doc },
    { "with_cddl_schema", (PyCFunction)(void (*)(void))with_cddl_schema, METH_VARARGS | METH_KEYWORDS | METH_CLASS,
      with_cddl_schema_doc },
    { "pack", packer_pack, METH_O, pack_doc },
    { "unpack", (PyCFunction)(void (*)(void))packer_unpack, METH_FASTCALL | METH_KEYWORDS, unpack_doc },
    { "pack_many", packer_pack_many, METH_O, pack_many_doc },
    { "pack_many_with_offsets", packer_pack_many_with_offsets, METH_O, pack_many_with_offsets_doc },
    { "unpack_many", (PyCFunction)(void (*)(void))packer_unpack_many, METH_FASTCALL | METH_KEYWORDS, unpack_many_doc },
    { "__reduce__", packer_reduce, METH_NOARGS, reduce_doc },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot packer_slots[] = {
    { Py_tp_doc, (void *)packer_doc },   { Py_tp_new, packer_new },
    { Py_tp_traverse, packer_traverse }, { Py_tp_dealloc, packer_dealloc },
    { Py_tp_repr, packer_repr },         { Py_tp_methods, packer_methods },
    { Py_tp_getset, packer_getset },     { 0, NULL },
};

static PyType_Spec packer_spec = {
    .name = "kohakuvault._kvault.DataPacker",
    .basicsize = sizeof(kvpy_packer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = packer_slots,
};

/* ---- the function beside it ---- */

PyDoc_STRVAR(parse_dtype_doc, "parse_dtype($module, text, /)\n--\n\n"
                              "Return (dtype, element size or 0, is variable-size), the dtype in its shortest form.\n\n"
                              "Raises InvalidArgument (\"Unknown dtype\") for a text that is none.");

static PyObject *parse_dtype(PyObject *module, PyObject *text)
{
    kvpy_state *state = PyModule_GetState(module);
    kvault_dtype dtype;

    if (!kvpy_dtype_of(state, text, &dtype))
        return NULL;
    return Py_BuildValue("(NIN)", dtype_text(&dtype), (unsigned)dtype.size_bytes,
                         PyBool_FromLong(dtype.size_bytes == 0));
}

static PyMethodDef packer_functions[] = {
    { "parse_dtype", parse_dtype, METH_O, parse_dtype_doc },
    { NULL, NULL, 0, NULL },
};

/* Names that are looked up again and again: a fresh str each time would fill the interpreter's cache of methods. */
static int intern_names(kvpy_state *state)
{
    struct {
        const char *name;
        PyObject **field;
    } wanted[] = {
        { "code", &state->str_code },
        { "data", &state->str_data },
        { "number", &state->str_number },
        { "value", &state->str_value },
        { "check", &state->str_check },
        { "utcoffset", &state->str_utcoffset },
        { "bit_length", &state->str_bit_length },
        { "to_bytes", &state->str_to_bytes },
        { "from_bytes", &state->str_from_bytes },
        { "big", &state->str_big },
        { "text", &state->str_text },
        { "JsonSchema", &state->str_JsonSchema },
        { "CddlSchema", &state->str_CddlSchema },
        { "with_json_schema", &state->str_with_json_schema },
        { "with_cddl_schema", &state->str_with_cddl_schema },
    };

    for (size_t i = 0; i < Py_ARRAY_LENGTH(wanted); i++) {
        *wanted[i].field = PyUnicode_InternFromString(wanted[i].name);
        if (!*wanted[i].field)
            return -1;
    }
    return 0;
}

int kvpy_packer_exec(PyObject *module, kvpy_state *state)
{
    state->PackerType = kvpy_add_type(module, &packer_spec);
    if (!state->PackerType || intern_names(state) < 0)
        return -1;
    return PyModule_AddFunctions(module, packer_functions);
}
