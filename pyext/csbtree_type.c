/* csbtree_type.c - CSBTree: an ordered map in memory for one owner at a time. */
#include "csbtree_type.h"

#include "errors.h"
#include "map_protocol.h"

static kvpy_csbtree *csbtree_cast(PyObject *op)
{
    return (kvpy_csbtree *)op;
}

/* ---- life ---- */

PyDoc_STRVAR(csbtree_doc,
             "CSBTree(order=63)\n--\n\n"
             "Sorted map in memory: a B+tree with nodes cut for cache lines.\n\n"
             "Iteration yields (key, value) pairs in the order of the keys. Keys are whatever `<` and `==` order; int\n"
             "in 64 bits, float, str, bytes, and tuples that begin with such an int are fast, as long as all keys of\n"
             "the map are of one of these types. Equal keys are one key, so 1, 1.0 and True find each other, and the\n"
             "key that came first stays. Searches and changes cost O(log n), steps of an iteration O(1).\n\n"
             "A key that is NaN is ValueError, keys that cannot be compared are TypeError. A comparison that raises\n"
             "leaves the map as it was; one that changes the map ends the call with RuntimeError, and so does an\n"
             "iteration of a map that has gained or lost a key. Threads may share a map only under a lock of theirs;\n"
             "without one they may see RuntimeError, but break nothing.\n\n"
             "order, 3 to 4096, is the most keys by which a node divides what is below it; nodes use at most 63.");

static PyObject *csbtree_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "order", NULL };
    kvpy_state *state = kvpy_state_of_type(type);
    PyObject *given = NULL;
    Py_ssize_t order = 63;
    kvpy_csbtree *self;

    if (!state || !PyArg_ParseTupleAndKeywords(args, kwargs, "|O:CSBTree", names, &given))
        return NULL;
    if (given)
        order = PyNumber_AsSsize_t(given, NULL); /* one that does not fit is clipped, and refused */
    if (PyErr_Occurred())
        return NULL;
    if (order < (Py_ssize_t)KVAULT_CSBTREE_ORDER_MIN || order > (Py_ssize_t)KVAULT_CSBTREE_ORDER_MAX) {
        PyErr_Format(state->InvalidArgument, "order is %S, want %u to %u", given, KVAULT_CSBTREE_ORDER_MIN,
                     KVAULT_CSBTREE_ORDER_MAX);
        return NULL;
    }
    self = (kvpy_csbtree *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->state = state;
    self->order = (unsigned)order;
    self->tree = kvpy_tree_new(state, KVPY_KEYS_INT, self->order);
    if (!self->tree)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static int csbtree_traverse(PyObject *op, visitproc visit, void *arg)
{
    kvpy_tree *tree = csbtree_cast(op)->tree;
    kvault_csbtree_iter iter;
    kvault_key keys[64];
    void *values[64];
    size_t count;

    Py_VISIT(Py_TYPE(op));
    if (!tree || kvault_csbtree_iter_init(&iter, tree->core, NULL, NULL, NULL) < 0)
        return 0;
    while (kvault_csbtree_iter_fill(&iter, 64, keys, values, &count, NULL) >= 0 && count > 0) {
        for (size_t i = 0; i < count; i++) {
            Py_VISIT((PyObject *)values[i]);
            if (kvpy_keys_are_foreign(tree->mode)) /* str and bytes refer to nothing */
                Py_VISIT((PyObject *)keys[i].object);
        }
    }
    return 0;
}

static int csbtree_gc_clear(PyObject *op)
{
    if (csbtree_cast(op)->tree)
        kvault_csbtree_clear(csbtree_cast(op)->tree->core);
    return 0;
}

static void csbtree_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    kvpy_tree *tree = csbtree_cast(op)->tree;

    PyObject_GC_UnTrack(op);
    Py_TRASHCAN_BEGIN(op, csbtree_dealloc) /* a map in a map in a map... must not use up the stack */
        csbtree_cast(op)
            ->tree = NULL;
    if (tree)
        kvpy_tree_end_use(tree);
    type->tp_free(op);
    Py_DECREF(type);
    Py_TRASHCAN_END
}

/* ---- one key ---- */

static Py_ssize_t csbtree_len(PyObject *op)
{
    return (Py_ssize_t)kvault_csbtree_count(csbtree_cast(op)->tree->core);
}

static PyObject *csbtree_subscript(PyObject *op, PyObject *key)
{
    void *value;
    int found = kvpy_tree_find(csbtree_cast(op), key, &value);

    if (found > 0)
        return Py_NewRef((PyObject *)value);
    return found < 0 ? NULL : kvpy_raise_key_error(key);
}

static int csbtree_ass_subscript(PyObject *op, PyObject *key, PyObject *value)
{
    PyObject *old = NULL;
    int there;

    if (value) {
        there = kvpy_tree_put(csbtree_cast(op), key, value, true, &old);
    } else {
        there = kvpy_tree_cut(csbtree_cast(op), key, &old);
        if (there == 0)
            kvpy_raise_key_error(key);
    }
    Py_XDECREF(old);
    return there < 0 || (!value && there == 0) ? -1 : 0;
}

static int csbtree_contains(PyObject *op, PyObject *key)
{
    void *value;

    return kvpy_tree_find(csbtree_cast(op), key, &value);
}

PyDoc_STRVAR(insert_doc, "insert($self, key, value, /)\n--\n\n"
                         "Set the value of key and return the one it had, or None.");

static PyObject *csbtree_insert(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *old = NULL;
    int there;

    if (!kvpy_args_are("insert", nargs, 2))
        return NULL;
    there = kvpy_tree_put(csbtree_cast(op), args[0], args[1], true, &old);
    if (there < 0)
        return NULL;
    return there ? old : Py_NewRef(Py_None);
}

static PyObject *get_or(PyObject *op, PyObject *key, PyObject *fallback)
{
    void *value = fallback;

    return kvpy_tree_find(csbtree_cast(op), key, &value) < 0 ? NULL : Py_NewRef((PyObject *)value);
}

PyDoc_STRVAR(get_doc, "get($self, key, /, default=None)\n--\n\nReturn the value of key, or default if it is absent.");

static PyObject *csbtree_get(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    PyObject *fallback;

    return kvpy_key_and_default("get", args, nargs, names, &fallback) ? get_or(op, args[0], fallback) : NULL;
}

PyDoc_STRVAR(get_default_doc, "get_default($self, key, default, /)\n--\n\n"
                              "Return the value of key, or default if it is absent.");

static PyObject *csbtree_get_default(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    return kvpy_args_are("get_default", nargs, 2) ? get_or(op, args[0], args[1]) : NULL;
}

PyDoc_STRVAR(setdefault_doc, "setdefault($self, key, /, default=None)\n--\n\n"
                             "Return the value of key, which is set to default first if it is absent.");

static PyObject *csbtree_setdefault(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    PyObject *fallback, *value = NULL;
    int there;

    if (!kvpy_key_and_default("setdefault", args, nargs, names, &fallback))
        return NULL;
    there = kvpy_tree_put(csbtree_cast(op), args[0], fallback, false, &value);
    if (there < 0)
        return NULL;
    return there ? value : Py_NewRef(fallback);
}

PyDoc_STRVAR(remove_doc, "remove($self, key, /)\n--\n\nRemove key and return the value it had, or None.");

static PyObject *csbtree_remove(PyObject *op, PyObject *key)
{
    PyObject *old = NULL;
    int there = kvpy_tree_cut(csbtree_cast(op), key, &old);

    if (there < 0)
        return NULL;
    return there ? old : Py_NewRef(Py_None);
}

/* ---- the ends, and near a key ---- */

/* The pair of an entry found (1), None (0), or NULL (-1). */
static PyObject *pair_or_none(PyObject *op, int found, kvault_key key, void *value)
{
    kvpy_key_mode mode = csbtree_cast(op)->tree->mode;

    if (found <= 0)
        return found < 0 ? NULL : Py_NewRef(Py_None);
    return kvpy_pair(kvpy_key_object(mode, key), Py_NewRef((PyObject *)value));
}

PyDoc_STRVAR(first_doc, "first($self, /)\n--\n\nReturn the pair with the lowest key, or None.");

static PyObject *csbtree_first(PyObject *op, PyObject *unused)
{
    kvault_key key = { 0 };
    void *value = NULL;
    bool found = kvault_csbtree_first(csbtree_cast(op)->tree->core, &key, &value) == KVAULT_OK;

    (void)unused;
    return pair_or_none(op, found, key, value);
}

PyDoc_STRVAR(last_doc, "last($self, /)\n--\n\nReturn the pair with the highest key, or None.");

static PyObject *csbtree_last(PyObject *op, PyObject *unused)
{
    kvault_key key = { 0 };
    void *value = NULL;
    bool found = kvault_csbtree_last(csbtree_cast(op)->tree->core, &key, &value) == KVAULT_OK;

    (void)unused;
    return pair_or_none(op, found, key, value);
}

PyDoc_STRVAR(floor_doc, "floor($self, key, /)\n--\n\nReturn the pair with the highest key at or below key, or None.");

static PyObject *csbtree_floor(PyObject *op, PyObject *object)
{
    kvault_key key = { 0 };
    void *value = NULL;
    int found = kvpy_tree_floor(csbtree_cast(op), object, &key, &value);

    return pair_or_none(op, found, key, value);
}

PyDoc_STRVAR(ceiling_doc,
             "ceiling($self, key, /)\n--\n\nReturn the pair with the lowest key at or above key, or None.");

static PyObject *csbtree_ceiling(PyObject *op, PyObject *object)
{
    kvault_key key = { 0 };
    void *value = NULL;
    bool equal;
    int found = kvpy_tree_ceiling(csbtree_cast(op), object, &key, &value, &equal);

    return pair_or_none(op, found, key, value);
}

/* ---- the whole map ---- */

static PyObject *csbtree_iter(PyObject *op)
{
    return kvpy_csbtree_iter_new(csbtree_cast(op), NULL, NULL, false);
}

PyDoc_STRVAR(irange_doc, "irange($self, start=None, end=None, *, reverse=False)\n--\n\n"
                         "Iterate over the pairs from start, included, to end, excluded, one by one.\n\n"
                         "None is no bound. RuntimeError once the map has gained or lost a key.");

static PyObject *csbtree_irange(PyObject *op, PyObject *args, PyObject *kwargs)
{
    PyObject *start, *end;
    int reverse;

    if (!kvpy_range_args(args, kwargs, &start, &end, &reverse))
        return NULL;
    return kvpy_csbtree_iter_new(csbtree_cast(op), start, end, reverse != 0);
}

PyDoc_STRVAR(clear_doc, "clear($self, /)\n--\n\nRemove every key.");

static PyObject *csbtree_clear(PyObject *op, PyObject *unused)
{
    (void)unused;
    kvault_csbtree_clear(csbtree_cast(op)->tree->core);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(is_empty_doc, "is_empty($self, /)\n--\n\nWhether there is no key.");

static PyObject *csbtree_is_empty(PyObject *op, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(csbtree_len(op) == 0);
}

static PyObject *csbtree_repr(PyObject *op)
{
    return kvpy_map_repr(op, "%s.from_sorted(%R)", kvpy_csbtree_items);
}

PyDoc_STRVAR(reduce_doc, "__reduce__($self, /)\n--\n\nPickle as pairs in order.");

static PyObject *csbtree_reduce(PyObject *op, PyObject *unused)
{
    (void)unused;
    return kvpy_map_reduce(op, Py_BuildValue("(I)", csbtree_cast(op)->order));
}

PyDoc_STRVAR(sizeof_doc, "__sizeof__($self, /)\n--\n\nThe bytes of the map without those of keys and values.");

static PyObject *csbtree_sizeof(PyObject *op, PyObject *unused)
{
    (void)unused;
    return PyLong_FromSize_t((size_t)Py_TYPE(op)->tp_basicsize + sizeof(kvpy_tree) +
                             kvault_csbtree_size_bytes(csbtree_cast(op)->tree->core));
}

PyDoc_STRVAR(verify_doc, "_verify($self, /)\n--\n\nCheck every invariant, for tests. CorruptData names a broken one.");

static PyObject *csbtree_verify(PyObject *op, PyObject *unused)
{
    kvpy_csbtree *self = csbtree_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_status rc = kvault_csbtree_verify(self->tree->core, &err);

    (void)unused;
    return kvpy_succeeded(self->state, rc, &err) ? Py_NewRef(Py_None) : NULL;
}

/* ---- the type ---- */

#define FAST(function) (PyCFunction)(void (*)(void)) function

PyDoc_STRVAR(keys_doc, "keys($self, /)\n--\n\nReturn the list of the keys.");
PyDoc_STRVAR(values_doc, "values($self, /)\n--\n\nReturn the list of the values in the order of their keys.");
PyDoc_STRVAR(items_doc, "items($self, /)\n--\n\nReturn the list of the pairs.");
PyDoc_STRVAR(range_doc, "range($self, start, end, /)\n--\n\n"
                        "Return the list of the pairs from start, included, to end, excluded.");
PyDoc_STRVAR(get_many_doc, "get_many($self, keys, /, default=None)\n--\n\n"
                           "Return the list of the values of keys, with default for those that are absent.\n\n"
                           "Faster than one by one, as groups of keys wait for memory together.");
PyDoc_STRVAR(update_doc, "update($self, pairs, /)\n--\n\n"
                         "Set the values of the keys of a mapping or of an iterable of pairs.\n\n"
                         "One after the other: those before a failure stay.");
PyDoc_STRVAR(from_sorted_doc,
             "from_sorted($type, pairs, /)\n--\n\n"
             "Make a map of pairs, or of a mapping, whose keys rise; each node but the last is full.\n\n"
             "O(n). ValueError for a key that is not above the one before it.");
PyDoc_STRVAR(copy_doc, "copy($self, /)\n--\n\nReturn a map of the same type, order and pairs.");
PyDoc_STRVAR(class_getitem_doc, "CSBTree[K, V] for annotations.");

static PyMethodDef csbtree_methods[] = {
    { "insert", FAST(csbtree_insert), METH_FASTCALL, insert_doc },
    { "get", FAST(csbtree_get), METH_FASTCALL | METH_KEYWORDS, get_doc },
    { "get_default", FAST(csbtree_get_default), METH_FASTCALL, get_default_doc },
    { "setdefault", FAST(csbtree_setdefault), METH_FASTCALL | METH_KEYWORDS, setdefault_doc },
    { "remove", csbtree_remove, METH_O, remove_doc },
    { "first", csbtree_first, METH_NOARGS, first_doc },
    { "last", csbtree_last, METH_NOARGS, last_doc },
    { "floor", csbtree_floor, METH_O, floor_doc },
    { "ceiling", csbtree_ceiling, METH_O, ceiling_doc },
    { "keys", kvpy_csbtree_keys, METH_NOARGS, keys_doc },
    { "values", kvpy_csbtree_values, METH_NOARGS, values_doc },
    { "items", kvpy_csbtree_items, METH_NOARGS, items_doc },
    { "range", FAST(kvpy_csbtree_range), METH_FASTCALL, range_doc },
    { "irange", FAST(csbtree_irange), METH_VARARGS | METH_KEYWORDS, irange_doc },
    { "get_many", FAST(kvpy_csbtree_get_many), METH_FASTCALL | METH_KEYWORDS, get_many_doc },
    { "update", kvpy_csbtree_update, METH_O, update_doc },
    { "from_sorted", kvpy_csbtree_from_sorted, METH_O | METH_CLASS, from_sorted_doc },
    { "copy", kvpy_csbtree_copy, METH_NOARGS, copy_doc },
    { "clear", csbtree_clear, METH_NOARGS, clear_doc },
    { "is_empty", csbtree_is_empty, METH_NOARGS, is_empty_doc },
    { "_verify", csbtree_verify, METH_NOARGS, verify_doc },
    { "__reduce__", csbtree_reduce, METH_NOARGS, reduce_doc },
    { "__sizeof__", csbtree_sizeof, METH_NOARGS, sizeof_doc },
    { "__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, class_getitem_doc },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot csbtree_slots[] = {
    { Py_tp_doc, (void *)csbtree_doc },
    { Py_tp_new, csbtree_new },
    { Py_tp_traverse, csbtree_traverse },
    { Py_tp_clear, csbtree_gc_clear },
    { Py_tp_dealloc, csbtree_dealloc },
    { Py_tp_repr, csbtree_repr },
    { Py_tp_iter, csbtree_iter },
    { Py_tp_methods, csbtree_methods },
    { Py_mp_length, csbtree_len },
    { Py_mp_subscript, csbtree_subscript },
    { Py_mp_ass_subscript, csbtree_ass_subscript },
    { Py_sq_contains, csbtree_contains },
    { 0, NULL },
};

static PyType_Spec csbtree_spec = {
    .name = "kohakuvault.CSBTree",
    .basicsize = sizeof(kvpy_csbtree),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = csbtree_slots,
};

int kvpy_csbtree_exec(PyObject *module, kvpy_state *state)
{
    state->CSBTreeType = kvpy_add_type(module, &csbtree_spec);
    return state->CSBTreeType ? 0 : -1;
}
