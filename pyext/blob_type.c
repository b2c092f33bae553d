/* blob_type.c - Blob: a value as a raw stream, under the io class of files.py.
 *
 * One thread at a time: another one gets RuntimeError. It belongs to the process that opened it; in a
 * forked child it is refused, and its dealloc leaves the parent's bytes alone. */
#include <unistd.h>

#include "convert.h"
#include "store_type.h"

typedef struct blob_object {
    PyObject_HEAD kvpy_store *store; /* outlives the blob */
    kvault_blob *blob;               /* NULL once it has ended */
    pid_t process;
    bool busy;
} blob_object;

static blob_object *blob_cast(PyObject *op)
{
    return (blob_object *)op;
}

PyObject *kvpy_blob_new(kvpy_store *store, kvault_blob *take_blob)
{
    PyTypeObject *type = (PyTypeObject *)store->state->BlobType;
    blob_object *self = (blob_object *)type->tp_alloc(type, 0);

    if (!self) {
        KVPY_LET_GO(kvault_blob_free(take_blob));
        return NULL;
    }
    self->store = (kvpy_store *)Py_NewRef(store);
    self->blob = take_blob;
    self->process = getpid();
    return (PyObject *)self;
}

/* No clear: the store must outlive the blob. */
static int blob_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(blob_cast(op)->store);
    return 0;
}

static void blob_dealloc(PyObject *op)
{
    blob_object *self = blob_cast(op);
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    if (self->process == getpid())
        KVPY_LET_GO(kvault_blob_free(self->blob));
    Py_DECREF(self->store);
    type->tp_free(op);
    Py_DECREF(type);
}

/* The blob to work with, marked as busy; NULL with an exception. blob_leave() ends it. */
static kvault_blob *blob_enter(blob_object *self)
{
    kvpy_state *state = self->store->state;

    if (!self->blob)
        PyErr_SetString(state->ClosedHandle, "the stream is closed");
    else if (self->process != getpid())
        PyErr_SetString(state->ForkedHandle, "the stream was opened by another process, before a fork");
    else if (self->busy)
        PyErr_SetString(PyExc_RuntimeError, "this stream is being used by another thread");
    else {
        self->busy = true;
        return self->blob;
    }
    return NULL;
}

static void blob_leave(blob_object *self)
{
    self->busy = false;
}

PyDoc_STRVAR(read_doc, "read($self, offset, size, /)\n--\n\nRead up to size bytes from offset.");

static PyObject *blob_read(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    blob_object *self = blob_cast(op);
    kvpy_state *state = self->store->state;
    kvault_error err = KVAULT_ERROR_INIT;
    uint64_t offset, wanted, rest;
    kvault_blob *blob;
    PyObject *bytes = NULL;
    size_t size = 0;
    kvault_status rc;

    if (nargs != 2)
        return PyErr_Format(PyExc_TypeError, "read() takes 2 arguments, got %zd", nargs);
    if (!kvpy_unsigned(state, args[0], "offset", &offset) || !kvpy_unsigned(state, args[1], "size", &wanted))
        return NULL;
    blob = blob_enter(self);
    if (!blob)
        return NULL;
    rest = kvault_blob_size(blob);
    rest = offset < rest ? rest - offset : 0;
    bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(wanted < rest ? wanted : rest));
    if (bytes) {
        KVPY_LET_GO(rc = kvault_blob_read(blob, offset, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes),
                                          &size, &err));
        if (!kvpy_succeeded(state, rc, &err))
            Py_CLEAR(bytes);
        else if (size != (size_t)PyBytes_GET_SIZE(bytes))
            (void)_PyBytes_Resize(&bytes, (Py_ssize_t)size);
    }
    blob_leave(self);
    return bytes;
}

PyDoc_STRVAR(readinto_doc,
             "readinto($self, buffer, offset, /)\n--\n\nFill the buffer from offset; return how many bytes.");

static PyObject *blob_readinto(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    blob_object *self = blob_cast(op);
    kvpy_state *state = self->store->state;
    kvault_error err = KVAULT_ERROR_INIT;
    PyObject *result = NULL;
    kvault_blob *blob;
    uint64_t offset;
    Py_buffer view;
    size_t size = 0;
    kvault_status rc;

    if (nargs != 2)
        return PyErr_Format(PyExc_TypeError, "readinto() takes 2 arguments, got %zd", nargs);
    if (!kvpy_unsigned(state, args[1], "offset", &offset) || PyObject_GetBuffer(args[0], &view, PyBUF_WRITABLE) < 0)
        return NULL;
    blob = blob_enter(self);
    if (blob) {
        KVPY_LET_GO(rc = kvault_blob_read(blob, offset, view.buf, (size_t)view.len, &size, &err));
        if (kvpy_succeeded(state, rc, &err))
            result = PyLong_FromSize_t(size);
        blob_leave(self);
    }
    PyBuffer_Release(&view);
    return result;
}

PyDoc_STRVAR(write_doc, "write($self, data, /)\n--\n\nWrite behind what was written so far; return how many bytes.");

static PyObject *blob_write(PyObject *op, PyObject *data)
{
    blob_object *self = blob_cast(op);
    kvpy_state *state = self->store->state;
    kvault_error err = KVAULT_ERROR_INIT;
    kvpy_bytes bytes = KVPY_BYTES_INIT;
    PyObject *result = NULL;
    kvault_blob *blob;
    kvault_status rc;

    if (!kvpy_value(state, data, &bytes))
        return NULL;
    blob = blob_enter(self);
    if (blob) {
        KVPY_LET_GO(rc = kvault_blob_write(blob, bytes.slice, &err));
        if (kvpy_succeeded(state, rc, &err))
            result = PyLong_FromSize_t(bytes.slice.size);
        blob_leave(self);
    }
    kvpy_bytes_release(&bytes);
    return result;
}

PyDoc_STRVAR(publish_doc, "publish($self, /)\n--\n\nMake all that was written the key's value, in one commit.");

static PyObject *blob_publish(PyObject *op, PyObject *unused)
{
    blob_object *self = blob_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_blob *blob = blob_enter(self);
    bool published;
    kvault_status rc;

    (void)unused;
    if (!blob)
        return NULL;
    KVPY_LET_GO(rc = kvault_blob_publish(blob, &err));
    published = kvpy_succeeded(self->store->state, rc, &err);
    blob_leave(self);
    return published ? Py_NewRef(Py_None) : NULL;
}

PyDoc_STRVAR(end_doc, "end($self, /)\n--\n\nDiscard what was not published, and end the stream; again does nothing.");

static PyObject *blob_end(PyObject *op, PyObject *unused)
{
    blob_object *self = blob_cast(op);
    kvault_blob *blob;

    (void)unused;
    if (!self->blob || self->process != getpid())
        Py_RETURN_NONE;
    blob = blob_enter(self);
    if (!blob)
        return NULL;
    self->blob = NULL;
    KVPY_LET_GO(kvault_blob_abort(blob); kvault_blob_free(blob));
    blob_leave(self);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static PyObject *get_size(PyObject *op, void *closure)
{
    blob_object *self = blob_cast(op);
    kvault_blob *blob = blob_enter(self);
    uint64_t size;

    (void)closure;
    if (!blob)
        return NULL;
    size = kvault_blob_size(blob);
    blob_leave(self);
    return PyLong_FromUnsignedLongLong(size);
}

static PyGetSetDef blob_getset[] = {
    { "size", get_size, NULL, PyDoc_STR("Size of the value: of the one being read, or as written so far."), NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyMethodDef blob_methods[] = {
    { "read", (PyCFunction)(void (*)(void))blob_read, METH_FASTCALL, read_doc },
    { "readinto", (PyCFunction)(void (*)(void))blob_readinto, METH_FASTCALL, readinto_doc },
    { "write", blob_write, METH_O, write_doc },
    { "publish", blob_publish, METH_NOARGS, publish_doc },
    { "end", blob_end, METH_NOARGS, end_doc },
    { NULL, NULL, 0, NULL },
};

PyDoc_STRVAR(blob_doc, "A value as a raw stream: read at offsets, or written from front to back.");

static PyType_Slot blob_slots[] = {
    { Py_tp_doc, (void *)blob_doc }, { Py_tp_traverse, blob_traverse }, { Py_tp_dealloc, blob_dealloc },
    { Py_tp_methods, blob_methods }, { Py_tp_getset, blob_getset },     { 0, NULL },
};

static PyType_Spec blob_spec = {
    .name = "kohakuvault._kvault.Blob",
    .basicsize = sizeof(blob_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = blob_slots,
};

int kvpy_blob_exec(PyObject *module, kvpy_state *state)
{
    state->BlobType = kvpy_add_type(module, &blob_spec);
    return state->BlobType ? 0 : -1;
}
