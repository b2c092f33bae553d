/* column_iter.c - ColumnIter: the elements by index, like a list's iterator, read some ahead.
 *
 * What was read ahead is given out only while this process has written nothing to the column; after a write
 * the next element is read afresh, so a loop that changes what it iterates sees what it would of a list. */
#include "column_type.h"

/* Elements of any size begin with one: it may be large. */
#define AHEAD_MAX 4096u
#define AHEAD_BYTES (1u << 20)

typedef struct column_iter {
    PyObject_HEAD kvpy_column *column; /* NULL once it has ended */
    int64_t next;                      /* index of the next element; backward, -1 is the end */
    bool reverse, busy;
    PyObject *ahead;  /* list, in the order they are given out; or NULL */
    Py_ssize_t given; /* of these */
    uint64_t changes; /* kvpy_column_changes() when it was read */
    uint64_t count;   /* elements to read next time */
} column_iter;

static column_iter *iter_cast(PyObject *op)
{
    return (column_iter *)op;
}

PyObject *kvpy_column_iter_new(kvpy_column *column, int64_t start, bool reverse)
{
    PyTypeObject *type = (PyTypeObject *)column->state->ColumnIterType;
    kvault_error err = KVAULT_ERROR_INIT;
    uint64_t length = 0;
    column_iter *self;

    if (reverse) {
        kvault_status rc;

        KVPY_LET_GO(rc = kvault_column_length(column->column, &length, &err));
        if (!kvpy_column_succeeded(column, rc, &err))
            return NULL;
    }
    self = (column_iter *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->column = (kvpy_column *)Py_NewRef((PyObject *)column);
    self->next = reverse ? (int64_t)length - 1 : start;
    self->reverse = reverse;
    self->count = 1;
    if (column->element_bytes)
        self->count = column->element_bytes < AHEAD_BYTES / 16 ? 16 : 1;
    return (PyObject *)self;
}

static int iter_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT((PyObject *)iter_cast(op)->column);
    Py_VISIT(iter_cast(op)->ahead);
    return 0;
}

static int iter_clear(PyObject *op)
{
    Py_CLEAR(iter_cast(op)->column);
    Py_CLEAR(iter_cast(op)->ahead);
    return 0;
}

static void iter_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    (void)iter_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

/* Twice as many next time, as long as they are few bytes. */
static void grow(column_iter *self, const kvault_result *result)
{
    if (result->count == self->count && self->count < AHEAD_MAX && result->data.size < AHEAD_BYTES / 2)
        self->count *= 2;
    else if (result->data.size > AHEAD_BYTES && self->count > 1)
        self->count /= 2;
}

/* The range to read next: forward in both directions. */
static kvault_range next_range(const column_iter *self)
{
    int64_t count = (int64_t)self->count;

    if (!self->reverse)
        return (kvault_range){ self->next, self->next + count, 1 };
    return (kvault_range){ self->next + 1 > count ? self->next + 1 - count : 0, self->next + 1, 1 };
}

static PyObject *list_ahead(column_iter *self, kvpy_column *column, const kvault_range *range,
                            const kvault_result *result)
{
    PyObject *list;

    if (self->reverse && (int64_t)result->count < range->stop - range->start)
        return PyList_New(0); /* the column has become so short that the next element is not there: the end */
    list = kvpy_values_of(column, result);
    if (list && self->reverse && PyList_Reverse(list) < 0)
        Py_CLEAR(list);
    return list;
}

/* Read the next elements. False with an exception; an empty list at the end. */
static bool read_ahead(column_iter *self)
{
    kvpy_column *column = (kvpy_column *)Py_NewRef((PyObject *)self->column);
    kvault_range range = next_range(self);
    kvault_result result = KVAULT_RESULT_INIT;
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_status rc;

    self->busy = true; /* from here on, since what is let go of may have a finalizer */
    Py_CLEAR(self->ahead);
    self->given = 0;
    self->changes = kvpy_column_changes(column);
    KVPY_LET_GO(rc = kvault_column_get_range(column->column, &range, &result, &err));
    if (kvpy_column_succeeded(column, rc, &err)) {
        grow(self, &result);
        self->ahead = list_ahead(self, column, &range, &result);
    }
    self->busy = false;
    kvault_result_free(&result);
    Py_DECREF(column);
    return self->ahead != NULL;
}

static PyObject *iter_next(PyObject *op)
{
    column_iter *self = iter_cast(op);
    PyObject *value;

    if (!self->column)
        return NULL;
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError, "this iterator is being used by another thread");
        return NULL;
    }
    if (!self->ahead || self->given == PyList_GET_SIZE(self->ahead) ||
        self->changes != kvpy_column_changes(self->column)) {
        if (self->next < 0) {
            (void)iter_clear(op);
            return NULL;
        }
        if (!read_ahead(self))
            return NULL;
        if (!PyList_GET_SIZE(self->ahead)) {
            (void)iter_clear(op);
            return NULL;
        }
    }
    /* Nobody else knows the list: the reference moves out, None moves in. */
    value = PyList_GET_ITEM(self->ahead, self->given);
    PyList_SET_ITEM(self->ahead, self->given, Py_NewRef(Py_None));
    self->given++;
    self->next += self->reverse ? -1 : 1;
    return value;
}

static PyType_Slot iter_slots[] = {
    { Py_tp_doc, (void *)"Iterator over the elements of a column." },
    { Py_tp_traverse, iter_traverse },
    { Py_tp_clear, iter_clear },
    { Py_tp_dealloc, iter_dealloc },
    { Py_tp_iter, PyObject_SelfIter },
    { Py_tp_iternext, iter_next },
    { 0, NULL },
};

static PyType_Spec iter_spec = {
    .name = "kohakuvault._kvault.ColumnIter",
    .basicsize = sizeof(column_iter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = iter_slots,
};

int kvpy_column_iter_exec(PyObject *module, kvpy_state *state)
{
    state->ColumnIterType = kvpy_add_type(module, &iter_spec);
    return state->ColumnIterType ? 0 : -1;
}
