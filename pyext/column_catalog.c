/* column_catalog.c - the columns of a file by name: functions that take a Handle. */
#include "column_type.h"

#include "convert.h"

/* A name or a dtype as UTF-8, borrowed from the str. */
static bool text_of(kvpy_state *state, PyObject *object, const char *what, kvault_slice *ret)
{
    const char *text = NULL;
    Py_ssize_t size;

    if (PyUnicode_Check(object))
        text = PyUnicode_AsUTF8AndSize(object, &size);
    else
        PyErr_Format(state->WrongType, "%s is str, not %.100s", what, Py_TYPE(object)->tp_name);
    if (!text)
        return false;
    *ret = (kvault_slice){ text, (size_t)size };
    return true;
}

static bool name_of(kvpy_state *state, PyObject *object, kvault_slice *ret)
{
    return text_of(state, object, "a column name", ret);
}

static bool dtype_of(kvpy_state *state, PyObject *object, kvault_slice *ret)
{
    return text_of(state, object, "a dtype", ret);
}

/* The text that is kept of a schema: what a packer made of it. NULL with an exception. */
static PyObject *schema_text(kvpy_state *state, kvault_slice dtype_text, PyObject *schema)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_dtype dtype;
    kvpy_packer *packer;
    PyObject *text;

    if (!kvpy_succeeded(state, kvault_dtype_parse(dtype_text, &dtype, &err), &err))
        return NULL;
    packer = kvpy_packer_new(state, &dtype, schema);
    text = packer ? Py_XNewRef(packer->schema) : NULL;
    Py_XDECREF((PyObject *)packer);
    return text;
}

PyDoc_STRVAR(schema_text_doc, "schema_text($module, dtype, schema, /)\n--\n\nThe text that is kept of a schema.");

static PyObject *get_schema_text(PyObject *module, PyObject *args)
{
    PyObject *dtype_object, *schema;
    kvault_slice dtype;

    if (!PyArg_ParseTuple(args, "OO:schema_text", &dtype_object, &schema) || !dtype_of(PyModule_GetState(module), dtype_object, &dtype))
        return NULL;
    return schema_text(PyModule_GetState(module), dtype, schema);
}

PyDoc_STRVAR(same_dtype_doc, "same_dtype($module, one, other, /)\n--\n\nWhether both texts mean the same elements.");

static PyObject *same_dtype(PyObject *module, PyObject *args)
{
    PyObject *texts[2];
    kvault_slice text[2];
    kvault_dtype dtypes[2];

    if (!PyArg_ParseTuple(args, "OO:same_dtype", &texts[0], &texts[1]) ||
        !dtype_of(PyModule_GetState(module), texts[0], &text[0]) ||
        !dtype_of(PyModule_GetState(module), texts[1], &text[1]))
        return NULL;
    if (kvault_dtype_parse(text[0], &dtypes[0], NULL) == KVAULT_OK &&
        kvault_dtype_parse(text[1], &dtypes[1], NULL) == KVAULT_OK)
        return PyBool_FromLong(kvault_dtype_equal(&dtypes[0], &dtypes[1]));
    return PyBool_FromLong(text[0].size == text[1].size && memcmp(text[0].data, text[1].data, text[0].size) == 0);
}

static bool chunk_bytes_of(kvpy_state *state, PyObject *object, const char *what, uint32_t *ret)
{
    uint64_t bytes;

    if (!kvpy_unsigned(state, object, what, &bytes))
        return false;
    *ret = bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes; /* refused by the core, not cut */
    return true;
}

PyDoc_STRVAR(create_doc, "column_create($module, handle, name, dtype, chunk_min, chunk_max, schema, unknown, /)\n--\n\n"
                         "Make a column; False if there is one of this name. `unknown` lets any dtype pass.");

static PyObject *column_create(PyObject *module, PyObject *args)
{
    kvpy_state *state = PyModule_GetState(module);
    PyObject *handle, *name_object, *dtype_object, *chunk_min, *chunk_max, *schema, *text = NULL, *result = NULL;
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_column *column = NULL;
    kvault_column_options options;
    kvault_slice name, dtype;
    int unknown;
    kvault_status rc;

    kvault_column_options_init(&options);
    if (!PyArg_ParseTuple(args, "O!OOOOOp:column_create", state->HandleType, &handle, &name_object, &dtype_object,
                          &chunk_min, &chunk_max, &schema, &unknown) ||
        !name_of(state, name_object, &name) || !dtype_of(state, dtype_object, &dtype) ||
        !chunk_bytes_of(state, chunk_min, "min_chunk_bytes", &options.chunk_bytes_min) ||
        !chunk_bytes_of(state, chunk_max, "max_chunk_bytes", &options.chunk_bytes_max))
        return NULL;
    if (schema != Py_None && !(text = schema_text(state, dtype, schema)))
        return NULL;
    if (text && !text_of(state, text, "a schema", &options.schema))
        goto done;
    options.unknown_dtype = unknown;
    KVPY_LET_GO(rc = kvault_column_create(((kvpy_handle *)handle)->vault, name, dtype, &options, &column, &err));
    if (kvpy_succeeded(state, rc, &err))
        result = PyBool_FromLong(rc == KVAULT_OK);
    kvault_column_free(column);
done:
    Py_XDECREF(text);
    return result;
}

/* A call that is given a name, and answers yes or no. */
static PyObject *ask(PyObject *module, PyObject *args, const char *format,
                     kvault_status (*call)(kvault *, kvault_slice, kvault_error *))
{
    kvpy_state *state = PyModule_GetState(module);
    kvault_error err = KVAULT_ERROR_INIT;
    PyObject *handle, *name_object;
    kvault_slice name;
    kvault_status rc;

    if (!PyArg_ParseTuple(args, format, state->HandleType, &handle, &name_object) || !name_of(state, name_object, &name))
        return NULL;
    KVPY_LET_GO(rc = call(((kvpy_handle *)handle)->vault, name, &err));
    return kvpy_succeeded(state, rc, &err) ? PyBool_FromLong(rc == KVAULT_OK) : NULL;
}

PyDoc_STRVAR(find_doc, "column_find($module, handle, name, /)\n--\n\n"
                       "Return (id, dtype, bytes of an element or 0) of a column; None if there is none.");

static PyObject *column_find(PyObject *module, PyObject *args)
{
    kvpy_state *state = PyModule_GetState(module);
    kvault_error err = KVAULT_ERROR_INIT;
    PyObject *handle, *name_object, *found;
    kvault_column *column = NULL;
    kvault_slice name;
    kvault_status rc;

    if (!PyArg_ParseTuple(args, "O!O:column_find", state->HandleType, &handle, &name_object) ||
        !name_of(state, name_object, &name))
        return NULL;
    KVPY_LET_GO(rc = kvault_column_open(((kvpy_handle *)handle)->vault, name, &column, &err));
    if (!kvpy_succeeded(state, rc, &err))
        return NULL;
    if (rc == KVAULT_NOT_FOUND)
        Py_RETURN_NONE;
    found = Py_BuildValue("KsI", (unsigned long long)kvault_column_id(column), kvault_column_dtype(column),
                          (unsigned int)kvault_column_element_bytes(column));
    kvault_column_free(column);
    return found;
}

PyDoc_STRVAR(exists_doc, "column_exists($module, handle, name, /)\n--\n\nWhether there is a column of this name.");

static PyObject *column_exists(PyObject *module, PyObject *args)
{
    return ask(module, args, "O!O:column_exists", kvault_column_exists);
}

PyDoc_STRVAR(drop_doc, "column_drop($module, handle, name, /)\n--\n\nDelete a column; False if there is none.");

static PyObject *column_drop(PyObject *module, PyObject *args)
{
    return ask(module, args, "O!O:column_drop", kvault_column_drop);
}

PyDoc_STRVAR(rename_doc, "column_rename($module, handle, name, to, /)\n--\n\n"
                         "Give a column another name, which must be free.");

static PyObject *column_rename(PyObject *module, PyObject *args)
{
    kvpy_state *state = PyModule_GetState(module);
    kvault_error err = KVAULT_ERROR_INIT;
    PyObject *handle, *from_object, *to_object;
    kvault_slice from, to;
    kvault_status rc;

    if (!PyArg_ParseTuple(args, "O!OO:column_rename", state->HandleType, &handle, &from_object, &to_object) ||
        !name_of(state, from_object, &from) || !name_of(state, to_object, &to))
        return NULL;
    KVPY_LET_GO(rc = kvault_column_rename(((kvpy_handle *)handle)->vault, from, to, &err));
    if (!kvpy_succeeded(state, rc, &err))
        return NULL;
    if (rc == KVAULT_NOT_FOUND)
        return kvpy_raise_no_column(state, from_object);
    if (rc == KVAULT_END)
        return PyErr_Format(state->InvalidArgument, "cannot rename column %R: there is a column %R", from_object,
                            to_object);
    Py_RETURN_NONE;
}

/* ---- listing: gathered without the GIL ---- */

struct gathered {
    char *rows; /* name size, dtype size, length, name, dtype, again and again */
    size_t size;
};

static kvault_status gather_row(void *ctx, kvault_slice name, kvault_slice dtype, uint64_t length, kvault_error *reterr)
{
    struct gathered *all = ctx;
    uint64_t numbers[3] = { name.size, dtype.size, length };
    char *rows = PyMem_RawRealloc(all->rows, all->size + sizeof numbers + name.size + dtype.size);

    (void)reterr;
    if (!rows)
        return KVAULT_E_NOMEM;
    memcpy(rows + all->size, numbers, sizeof numbers);
    memcpy(rows + all->size + sizeof numbers, name.data, name.size);
    memcpy(rows + all->size + sizeof numbers + name.size, dtype.data, dtype.size);
    all->rows = rows;
    all->size += sizeof numbers + name.size + dtype.size;
    return KVAULT_OK;
}

static PyObject *list_of_rows(const struct gathered *all)
{
    PyObject *list = PyList_New(0);

    for (size_t at = 0; list && at < all->size;) {
        const char *text = all->rows + at + 3 * sizeof(uint64_t);
        uint64_t numbers[3];
        PyObject *row;

        memcpy(numbers, all->rows + at, sizeof numbers);
        row = Py_BuildValue("s#s#K", text, (Py_ssize_t)numbers[0], text + numbers[0], (Py_ssize_t)numbers[1],
                            (unsigned long long)numbers[2]);
        if (!row || PyList_Append(list, row) < 0)
            Py_CLEAR(list);
        Py_XDECREF(row);
        at += sizeof numbers + (size_t)(numbers[0] + numbers[1]);
    }
    return list;
}

PyDoc_STRVAR(list_doc, "column_list($module, handle, /)\n--\n\nReturn (name, dtype, length) of each column, by name.");

static PyObject *column_list(PyObject *module, PyObject *handle)
{
    kvpy_state *state = PyModule_GetState(module);
    kvault_error err = KVAULT_ERROR_INIT;
    struct gathered all = { NULL, 0 };
    PyObject *list = NULL;
    kvault_status rc;

    if (!PyObject_TypeCheck(handle, (PyTypeObject *)state->HandleType))
        return PyErr_Format(PyExc_TypeError, "column_list() takes a Handle");
    KVPY_LET_GO(rc = kvault_column_list(((kvpy_handle *)handle)->vault, gather_row, &all, &err));
    if (kvpy_succeeded(state, rc, &err))
        list = list_of_rows(&all);
    PyMem_RawFree(all.rows);
    return list;
}

static PyMethodDef catalog_methods[] = {
    { "column_create", column_create, METH_VARARGS, create_doc },
    { "column_find", column_find, METH_VARARGS, find_doc },
    { "same_dtype", same_dtype, METH_VARARGS, same_dtype_doc },
    { "schema_text", get_schema_text, METH_VARARGS, schema_text_doc },
    { "column_exists", column_exists, METH_VARARGS, exists_doc },
    { "column_drop", column_drop, METH_VARARGS, drop_doc },
    { "column_rename", column_rename, METH_VARARGS, rename_doc },
    { "column_list", column_list, METH_O, list_doc },
    { NULL, NULL, 0, NULL },
};

int kvpy_catalog_exec(PyObject *module, kvpy_state *state)
{
    (void)state;
    return PyModule_AddFunctions(module, catalog_methods);
}
