/* csbtree_iter.c - PairIter: the iterator over the pairs of a CSBTree. */
#include "csbtree_type.h"

#include "map_protocol.h"

typedef struct csbtree_iter {
    PyObject_HEAD kvpy_csbtree *map; /* NULL once it has ended */
    kvpy_tree *tree;                 /* what map->tree was; used */
    kvault_csbtree_iter core;
    bool reverse;
} csbtree_iter;

static csbtree_iter *iter_cast(PyObject *op)
{
    return (csbtree_iter *)op;
}

PyObject *kvpy_csbtree_iter_new(kvpy_csbtree *map, PyObject *start, PyObject *end, bool reverse)
{
    PyTypeObject *type = (PyTypeObject *)map->state->CSBTreeIterType;
    csbtree_iter *self = (csbtree_iter *)type->tp_alloc(type, 0);

    if (!self)
        return NULL;
    if (!kvpy_tree_range(map, start, end, &self->core)) {
        Py_DECREF(self);
        return NULL;
    }
    self->map = (kvpy_csbtree *)Py_NewRef((PyObject *)map);
    self->tree = kvpy_tree_use(map->tree);
    self->reverse = reverse;
    return (PyObject *)self;
}

static int iter_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT((PyObject *)iter_cast(op)->map);
    return 0;
}

static int iter_clear(PyObject *op)
{
    csbtree_iter *self = iter_cast(op);
    kvpy_tree *tree = self->tree;

    self->tree = NULL;
    if (tree)
        kvpy_tree_end_use(tree); /* not the last user, or empty: nothing is released here */
    Py_CLEAR(self->map);
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

static PyObject *iter_next(PyObject *op)
{
    csbtree_iter *self = iter_cast(op);
    kvault_status rc = KVAULT_E_REENTERED;
    kvault_key key;
    void *value;

    if (!self->map)
        return NULL;
    if (self->tree == self->map->tree)
        rc = self->reverse ? kvault_csbtree_iter_prev(&self->core, &key, &value, NULL)
                           : kvault_csbtree_iter_next(&self->core, &key, &value, NULL);
    if (rc == KVAULT_OK)
        return kvpy_pair(kvpy_key_object(self->tree->mode, key), Py_NewRef((PyObject *)value));
    if (rc == KVAULT_E_REENTERED)
        PyErr_SetString(PyExc_RuntimeError, "the map gained or lost a key while it was iterated");
    else
        (void)iter_clear(op);
    return NULL;
}

PyDoc_STRVAR(iter_doc, "Iterator over the pairs of a CSBTree.");

static PyType_Slot iter_slots[] = {
    { Py_tp_doc, (void *)iter_doc },
    { Py_tp_traverse, iter_traverse },
    { Py_tp_clear, iter_clear },
    { Py_tp_dealloc, iter_dealloc },
    { Py_tp_iter, PyObject_SelfIter },
    { Py_tp_iternext, iter_next },
    { 0, NULL },
};

static PyType_Spec iter_spec = {
    .name = "kohakuvault._kvault.CSBTreeIter",
    .basicsize = sizeof(csbtree_iter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = iter_slots,
};

int kvpy_csbtree_iter_exec(PyObject *module, kvpy_state *state)
{
    state->CSBTreeIterType = kvpy_add_type(module, &iter_spec);
    return state->CSBTreeIterType ? 0 : -1;
}
