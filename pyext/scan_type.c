/* scan_type.c - Scan: the iterator over keys, values or items.
 *
 * What the core has in memory is handed out with the GIL held, which is a copy of some bytes; only
 * the next page lets go of it. One thread at a time: another one gets RuntimeError. */
#include "store_type.h"

typedef struct scan_object {
    PyObject_HEAD kvpy_store *store; /* outlives the scan */
    kvault_kv_scan *scan;            /* NULL once it has ended */
    char kind;
    bool busy, begun;
} scan_object;

static scan_object *scan_cast(PyObject *op)
{
    return (scan_object *)op;
}

PyObject *kvpy_scan_new(kvpy_store *store, kvault_kv_scan *take_scan, char kind)
{
    PyTypeObject *type = (PyTypeObject *)store->state->ScanType;
    scan_object *self = (scan_object *)type->tp_alloc(type, 0);

    if (!self) {
        kvault_kv_scan_free(take_scan);
        return NULL;
    }
    self->store = (kvpy_store *)Py_NewRef(store);
    self->scan = take_scan;
    self->kind = kind;
    return (PyObject *)self;
}

/* No clear: the store must outlive the scan. */
static int scan_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(scan_cast(op)->store);
    return 0;
}

static void scan_dealloc(PyObject *op)
{
    scan_object *self = scan_cast(op);
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    kvault_kv_scan_free(self->scan);
    Py_DECREF(self->store);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyObject *bytes_of(kvault_slice slice)
{
    return PyBytes_FromStringAndSize(slice.data, (Py_ssize_t)slice.size);
}

static PyObject *make_item(char kind, kvault_slice key, kvault_slice value)
{
    PyObject *pair, *first, *second;

    if (kind == 'k')
        return bytes_of(key);
    if (kind == 'v')
        return bytes_of(value);
    first = bytes_of(key);
    second = bytes_of(value);
    pair = first && second ? PyTuple_Pack(2, first, second) : NULL;
    Py_XDECREF(first);
    Py_XDECREF(second);
    return pair;
}

/* The scan to work with, marked as busy; NULL with an exception. */
static kvault_kv_scan *scan_enter(scan_object *self)
{
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError, "this iterator is being used by another thread");
        return NULL;
    }
    self->busy = true;
    return self->scan;
}

PyDoc_STRVAR(length_doc, "length($self, /)\n--\n\n"
                         "How many there are, if none was taken yet and the first page has all of them; else None.");

static PyObject *scan_length(PyObject *op, PyObject *unused)
{
    scan_object *self = scan_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    uint64_t left = 0;
    kvault_status rc;

    (void)unused;
    if (self->begun)
        Py_RETURN_NONE;
    if (!scan_enter(self))
        return NULL;
    KVPY_LET_GO(rc = kvault_kv_scan_left(self->scan, &left, &err));
    self->busy = false;
    if (!kvpy_succeeded(self->store->state, rc, &err))
        return NULL;
    return rc == KVAULT_OK ? PyLong_FromUnsignedLongLong(left) : Py_NewRef(Py_None);
}

PyDoc_STRVAR(count_doc, "count($self, /)\n--\n\nTake all that is still to come, and return how many there were.");

static PyObject *scan_count(PyObject *op, PyObject *unused)
{
    scan_object *self = scan_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    uint64_t count = 0;
    kvault_status rc;

    (void)unused;
    if (!self->scan)
        return PyLong_FromLong(0);
    if (!scan_enter(self))
        return NULL;
    self->begun = true;
    KVPY_LET_GO(rc = kvault_kv_scan_count(self->scan, &count, &err));
    self->busy = false;
    return kvpy_succeeded(self->store->state, rc, &err) ? PyLong_FromUnsignedLongLong(count) : NULL;
}

static PyMethodDef scan_methods[] = {
    { "length", scan_length, METH_NOARGS, length_doc },
    { "count", scan_count, METH_NOARGS, count_doc },
    { NULL, NULL, 0, NULL },
};

static PyObject *scan_next(PyObject *op)
{
    scan_object *self = scan_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_slice key, value;
    kvault_status rc;

    if (!self->scan)
        return NULL;
    if (!scan_enter(self))
        return NULL;
    self->begun = true;
    if (kvault_kv_scan_is_ready(self->scan))
        rc = kvault_kv_scan_next(self->scan, &key, &value, &err);
    else
        KVPY_LET_GO(rc = kvault_kv_scan_next(self->scan, &key, &value, &err));
    self->busy = false;
    if (!kvpy_succeeded(self->store->state, rc, &err))
        return NULL;
    if (rc == KVAULT_OK)
        return make_item(self->kind, key, value);
    kvault_kv_scan_free(self->scan);
    self->scan = NULL;
    return NULL;
}

PyDoc_STRVAR(scan_doc, "Iterator over the keys, values or items of a range, in bounded memory.");

static PyType_Slot scan_slots[] = {
    { Py_tp_doc, (void *)scan_doc },   { Py_tp_traverse, scan_traverse }, { Py_tp_dealloc, scan_dealloc },
    { Py_tp_iter, PyObject_SelfIter }, { Py_tp_iternext, scan_next },
    { Py_tp_methods, scan_methods },   { 0, NULL },
};

static PyType_Spec scan_spec = {
    .name = "kohakuvault._kvault.Scan",
    .basicsize = sizeof(scan_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = scan_slots,
};

int kvpy_scan_exec(PyObject *module, kvpy_state *state)
{
    state->ScanType = kvpy_add_type(module, &scan_spec);
    return state->ScanType ? 0 : -1;
}
