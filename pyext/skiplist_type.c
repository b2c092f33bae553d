/* skiplist_type.c - SkipList: an ordered map in memory for many threads at once. */
#include "skiplist_type.h"

#include "errors.h"
#include "map_protocol.h"

static kvpy_skiplist *skiplist_cast(PyObject *op)
{
    return (kvpy_skiplist *)op;
}

/* ---- life ---- */

PyDoc_STRVAR(
    skiplist_doc,
    "SkipList()\n--\n\n"
    "Sorted map in memory for many threads at once: a lock-free skip list.\n\n"
    "Iteration yields (key, value) pairs in the order of the keys. Keys are whatever `<` and `==` order; int\n"
    "in 64 bits, float, str, bytes, and tuples that begin with such an int are fast, as long as all keys of\n"
    "the map are of one of these types. Equal keys are one key, and the one that came first stays. A key that\n"
    "is NaN is ValueError, keys that cannot be compared are TypeError; a comparison that raises leaves the\n"
    "map as it was.\n\n"
    "Any number of threads may use a map without a lock of theirs. Each call on one key takes effect at one\n"
    "instant between its begin and its end; update(), get_many(), clear() and the lists are many such steps,\n"
    "each with an instant of its own, as is every step of an iteration, which gives a key that is there\n"
    "throughout exactly once and in order. len() is exact while nobody changes the map.\n\n"
    "Where Python has a GIL, calls on one key keep it. update(), get_many(), range(), keys(), values() and\n"
    "items() let go of it for the search if keys are int, float, str or bytes and there are ten or more, so\n"
    "that they run beside other threads. Values that were removed are let go of when no call of another thread\n"
    "can still hold them. A child made by a fork goes on with the map as it was.\n\n"
    "Searches and changes cost O(log n), expected; so does a step of a reversed iteration, O(1) others.");

static PyObject *skiplist_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { NULL };
    kvpy_state *state = kvpy_state_of_type(type);
    kvpy_skiplist *self;

    if (!state || !PyArg_ParseTupleAndKeywords(args, kwargs, ":SkipList", names))
        return NULL;
    self = (kvpy_skiplist *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->state = state;
    self->mode = KVPY_KEYS_INT;
    self->core = kvpy_skip_new_core(self, self->mode);
    if (!self->core)
        Py_CLEAR(self);
    return (PyObject *)self;
}

struct visiting {
    visitproc visit;
    void *arg;
    bool keys; /* they are objects */
};

static int visit_entry(void *context, kvault_key key, void *value)
{
    const struct visiting *to = context;
    int answer = to->visit((PyObject *)value, to->arg);

    return answer == 0 && to->keys ? to->visit((PyObject *)key.object, to->arg) : answer;
}

static int skiplist_traverse(PyObject *op, visitproc visit, void *arg)
{
    kvpy_skiplist *self = skiplist_cast(op);
    struct visiting to = { visit, arg, kvpy_keys_are_foreign(self->mode) };

    Py_VISIT(Py_TYPE(op));
    /* A collection looks twice and must see the same. While a batch changes the list without the GIL, it sees no entry
     * at all, so what is in the list counts as held from outside. A batch begins and ends with the GIL. */
    if (!self->core || self->writers > 0)
        return 0;
    return kvault_skiplist_each(self->core, visit_entry, &to);
}

static int skiplist_gc_clear(PyObject *op)
{
    if (skiplist_cast(op)->core && !kvpy_skip_clear(skiplist_cast(op)))
        PyErr_Clear();
    return 0;
}

static void skiplist_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    kvault_skiplist *core = skiplist_cast(op)->core;

    PyObject_GC_UnTrack(op);
    Py_TRASHCAN_BEGIN(op, skiplist_dealloc) /* a map in a map in a map... must not use up the stack */
        skiplist_cast(op)
            ->core = NULL;
    kvault_skiplist_free(core);
    type->tp_free(op);
    Py_DECREF(type);
    Py_TRASHCAN_END
}

/* ---- one key ---- */

static Py_ssize_t skiplist_len(PyObject *op)
{
    return (Py_ssize_t)kvault_skiplist_count(skiplist_cast(op)->core);
}

static PyObject *skiplist_subscript(PyObject *op, PyObject *key)
{
    PyObject *value;
    int found = kvpy_skip_find(skiplist_cast(op), key, &value);

    if (found > 0)
        return value;
    return found < 0 ? NULL : kvpy_raise_key_error(key);
}

static int skiplist_ass_subscript(PyObject *op, PyObject *key, PyObject *value)
{
    PyObject *old = NULL;
    int there;

    if (value) {
        there = kvpy_skip_put(skiplist_cast(op), key, value, true, &old);
    } else {
        there = kvpy_skip_cut(skiplist_cast(op), key, &old);
        if (there == 0)
            kvpy_raise_key_error(key);
    }
    Py_XDECREF(old);
    return there < 0 || (!value && there == 0) ? -1 : 0;
}

static int skiplist_contains(PyObject *op, PyObject *key)
{
    PyObject *value = NULL;
    int found = kvpy_skip_find(skiplist_cast(op), key, &value);

    Py_XDECREF(value);
    return found;
}

PyDoc_STRVAR(insert_doc, "insert($self, key, value, /)\n--\n\n"
                         "Add key if it is absent and return None; else return the value it has and keeps.");

static PyObject *skiplist_insert(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *value = NULL;
    int there;

    if (!kvpy_args_are("insert", nargs, 2))
        return NULL;
    there = kvpy_skip_put(skiplist_cast(op), args[0], args[1], false, &value);
    if (there < 0)
        return NULL;
    return there ? value : Py_NewRef(Py_None);
}

PyDoc_STRVAR(get_doc, "get($self, key, /, default=None)\n--\n\nReturn the value of key, or default if it is absent.");

static PyObject *skiplist_get(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    PyObject *fallback, *value = NULL;
    int found;

    if (!kvpy_key_and_default("get", args, nargs, names, &fallback))
        return NULL;
    found = kvpy_skip_find(skiplist_cast(op), args[0], &value);
    if (found < 0)
        return NULL;
    return found ? value : Py_NewRef(fallback);
}

PyDoc_STRVAR(setdefault_doc, "setdefault($self, key, /, default=None)\n--\n\n"
                             "Return the value of key, which is set to default first if it is absent; one step.");

static PyObject *skiplist_setdefault(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    PyObject *fallback, *value = NULL;
    int there;

    if (!kvpy_key_and_default("setdefault", args, nargs, names, &fallback))
        return NULL;
    there = kvpy_skip_put(skiplist_cast(op), args[0], fallback, false, &value);
    if (there < 0)
        return NULL;
    return there ? value : Py_NewRef(fallback);
}

PyDoc_STRVAR(remove_doc, "remove($self, key, /)\n--\n\nRemove key and return the value it had, or None.");

static PyObject *skiplist_remove(PyObject *op, PyObject *key)
{
    PyObject *old = NULL;
    int there = kvpy_skip_cut(skiplist_cast(op), key, &old);

    if (there < 0)
        return NULL;
    return there ? old : Py_NewRef(Py_None);
}

/* ---- the ends, and near a key ---- */

/* The pair of what a call has found, or None; then the call leaves. */
static PyObject *pair_and_leave(kvpy_skip_call *call, kvault_status rc, kvault_key key, void *value)
{
    kvpy_skiplist *self = call->list;
    PyObject *pair = NULL;

    if (rc < 0)
        kvpy_map_failed(self->state, rc);
    else if (rc == KVAULT_OK)
        pair = kvpy_pair(kvpy_key_object_of_copy(self->mode, key), Py_NewRef((PyObject *)value));
    else
        pair = Py_NewRef(Py_None);
    kvpy_skip_leave(call);
    return pair;
}

typedef kvault_status end_function(kvault_skiplist_pin *pin, kvault_key *ret_key, void **ret_value,
                                   kvault_error *reterr);

static PyObject *find_end(PyObject *op, end_function *find)
{
    kvault_key key = { 0 };
    void *value = NULL;
    kvpy_skip_call call;
    kvault_status rc;

    if (!kvpy_skip_enter(skiplist_cast(op), &call))
        return NULL;
    rc = find(&call.pin, &key, &value, NULL);
    return pair_and_leave(&call, rc, key, value);
}

PyDoc_STRVAR(first_doc, "first($self, /)\n--\n\nReturn the pair with the lowest key, or None.");

static PyObject *skiplist_first(PyObject *op, PyObject *unused)
{
    (void)unused;
    return find_end(op, kvault_skiplist_first);
}

PyDoc_STRVAR(last_doc, "last($self, /)\n--\n\nReturn the pair with the highest key, or None.");

static PyObject *skiplist_last(PyObject *op, PyObject *unused)
{
    (void)unused;
    return find_end(op, kvault_skiplist_last);
}

PyDoc_STRVAR(floor_doc, "floor($self, key, /)\n--\n\nReturn the pair with the highest key at or below key, or None.");

static PyObject *skiplist_floor(PyObject *op, PyObject *object)
{
    kvault_status rc = KVAULT_E_INVALID;
    kvault_key read, key = { 0 };
    void *value = NULL;
    kvpy_skip_call call;
    kvpy_fit fit;

    if (!kvpy_skip_enter(skiplist_cast(op), &call))
        return NULL;
    fit = kvpy_skip_read(call.list, object, &read);
    if (fit == KVPY_KEY_FITS)
        rc = kvault_skiplist_floor(&call.pin, read, &key, &value, NULL);
    else if (fit == KVPY_KEY_FOREIGN)
        rc = kvpy_skip_floor_of_foreign(&call, object, &key, &value);
    return pair_and_leave(&call, rc, key, value);
}

PyDoc_STRVAR(ceiling_doc,
             "ceiling($self, key, /)\n--\n\nReturn the pair with the lowest key at or above key, or None.");

static PyObject *skiplist_ceiling(PyObject *op, PyObject *object)
{
    kvault_status rc = KVAULT_E_INVALID;
    kvault_key read, key = { 0 };
    void *value = NULL;
    kvpy_skip_call call;
    kvpy_fit fit;
    bool equal;

    if (!kvpy_skip_enter(skiplist_cast(op), &call))
        return NULL;
    fit = kvpy_skip_read(call.list, object, &read);
    if (fit == KVPY_KEY_FITS)
        rc = kvault_skiplist_ceiling(&call.pin, read, &key, &value, NULL);
    else if (fit == KVPY_KEY_FOREIGN)
        rc = kvpy_skip_ceiling_of_foreign(&call, object, &key, &value, &equal);
    return pair_and_leave(&call, rc, key, value);
}

/* ---- the whole map ---- */

static PyObject *skiplist_iter(PyObject *op)
{
    return kvpy_skiplist_iter_new(skiplist_cast(op), NULL, NULL, false);
}

PyDoc_STRVAR(irange_doc, "irange($self, start=None, end=None, *, reverse=False)\n--\n\n"
                         "Iterate over the pairs from start, included, to end, excluded, one by one.\n\n"
                         "None is no bound. The map may change meanwhile.");

static PyObject *skiplist_irange(PyObject *op, PyObject *args, PyObject *kwargs)
{
    PyObject *start, *end;
    int reverse;

    if (!kvpy_range_args(args, kwargs, &start, &end, &reverse))
        return NULL;
    return kvpy_skiplist_iter_new(skiplist_cast(op), start, end, reverse != 0);
}

PyDoc_STRVAR(clear_doc, "clear($self, /)\n--\n\n"
                        "Remove every key that is there throughout the call; one by one if other threads are inside.");

static PyObject *skiplist_clear(PyObject *op, PyObject *unused)
{
    (void)unused;
    return kvpy_skip_clear(skiplist_cast(op)) ? Py_NewRef(Py_None) : NULL;
}

PyDoc_STRVAR(is_empty_doc, "is_empty($self, /)\n--\n\nWhether there is no key.");

static PyObject *skiplist_is_empty(PyObject *op, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(skiplist_len(op) == 0);
}

static PyObject *skiplist_repr(PyObject *op)
{
    return kvpy_map_repr(op, "<%s %R>", kvpy_skiplist_items);
}

PyDoc_STRVAR(reduce_doc, "__reduce__($self, /)\n--\n\nPickle as pairs in order.");

static PyObject *skiplist_reduce(PyObject *op, PyObject *unused)
{
    (void)unused;
    return kvpy_map_reduce(op, PyTuple_New(0));
}

PyDoc_STRVAR(verify_doc, "_verify($self, /)\n--\n\n"
                         "Check every invariant, for tests, while no other call runs. CorruptData names a broken one.");

static PyObject *skiplist_verify(PyObject *op, PyObject *unused)
{
    kvpy_skiplist *self = skiplist_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_status rc;

    (void)unused;
    if (self->inside > 0 || kvault_skiplist_settle(self->core)) {
        PyErr_Format(PyExc_RuntimeError, "%u calls are inside, want 0 and nothing that waits", self->inside);
        return NULL;
    }
    rc = kvault_skiplist_verify(self->core, &err);
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
                           "Return the list of the values of keys, with default for those that are absent.");
PyDoc_STRVAR(update_doc, "update($self, pairs, /)\n--\n\n"
                         "Set the values of the keys of a mapping or of an iterable of pairs.\n\n"
                         "In pages of 4096: those before one in which something is no pair stay.");
PyDoc_STRVAR(class_getitem_doc, "SkipList[K, V] for annotations.");

static PyMethodDef skiplist_methods[] = {
    { "insert", FAST(skiplist_insert), METH_FASTCALL, insert_doc },
    { "get", FAST(skiplist_get), METH_FASTCALL | METH_KEYWORDS, get_doc },
    { "setdefault", FAST(skiplist_setdefault), METH_FASTCALL | METH_KEYWORDS, setdefault_doc },
    { "remove", skiplist_remove, METH_O, remove_doc },
    { "first", skiplist_first, METH_NOARGS, first_doc },
    { "last", skiplist_last, METH_NOARGS, last_doc },
    { "floor", skiplist_floor, METH_O, floor_doc },
    { "ceiling", skiplist_ceiling, METH_O, ceiling_doc },
    { "keys", kvpy_skiplist_keys, METH_NOARGS, keys_doc },
    { "values", kvpy_skiplist_values, METH_NOARGS, values_doc },
    { "items", kvpy_skiplist_items, METH_NOARGS, items_doc },
    { "range", FAST(kvpy_skiplist_range), METH_FASTCALL, range_doc },
    { "irange", FAST(skiplist_irange), METH_VARARGS | METH_KEYWORDS, irange_doc },
    { "get_many", FAST(kvpy_skiplist_get_many), METH_FASTCALL | METH_KEYWORDS, get_many_doc },
    { "update", kvpy_skiplist_update, METH_O, update_doc },
    { "clear", skiplist_clear, METH_NOARGS, clear_doc },
    { "is_empty", skiplist_is_empty, METH_NOARGS, is_empty_doc },
    { "_verify", skiplist_verify, METH_NOARGS, verify_doc },
    { "__reduce__", skiplist_reduce, METH_NOARGS, reduce_doc },
    { "__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, class_getitem_doc },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot skiplist_slots[] = {
    { Py_tp_doc, (void *)skiplist_doc },
    { Py_tp_new, skiplist_new },
    { Py_tp_traverse, skiplist_traverse },
    { Py_tp_clear, skiplist_gc_clear },
    { Py_tp_dealloc, skiplist_dealloc },
    { Py_tp_repr, skiplist_repr },
    { Py_tp_iter, skiplist_iter },
    { Py_tp_methods, skiplist_methods },
    { Py_mp_length, skiplist_len },
    { Py_mp_subscript, skiplist_subscript },
    { Py_mp_ass_subscript, skiplist_ass_subscript },
    { Py_sq_contains, skiplist_contains },
    { 0, NULL },
};

static PyType_Spec skiplist_spec = {
    .name = "kohakuvault.SkipList",
    .basicsize = sizeof(kvpy_skiplist),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = skiplist_slots,
};

int kvpy_skiplist_exec(PyObject *module, kvpy_state *state)
{
    state->SkipListType = kvpy_add_type(module, &skiplist_spec);
    return state->SkipListType ? 0 : -1;
}
