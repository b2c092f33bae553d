/* csbtree_batch.c - CSBTree: lists of entries, many keys at once. */
#include "csbtree_type.h"

#include "map_protocol.h"

#define PAGE_ENTRIES 64u

static kvpy_csbtree *csbtree_cast(PyObject *op)
{
    return (kvpy_csbtree *)op;
}

/* ---- lists ---- */

typedef enum { LIST_KEYS, LIST_VALUES, LIST_PAIRS } list_kind;

/* A list of so many None, or of pairs yet to be filled. Making it may run a garbage collection, and so foreign code.
 * The pairs are hidden from collections until they are filled: half-made ones would be carried from one to the next. */
static PyObject *new_list(list_kind kind, size_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);

    for (size_t i = 0; list && i < count; i++) {
        PyObject *item = kind == LIST_PAIRS ? PyTuple_New(2) : Py_NewRef(Py_None);

        if (item && kind == LIST_PAIRS)
            PyObject_GC_UnTrack(item);
        if (item)
            PyList_SET_ITEM(list, (Py_ssize_t)i, item);
        else
            Py_CLEAR(list);
    }
    return list;
}

/* Set an element; runs no foreign code. False with an exception. */
static bool set_element(PyObject *list, size_t at, list_kind kind, kvpy_key_mode mode, kvault_key key, void *value)
{
    PyObject *object = kind == LIST_VALUES ? Py_NewRef((PyObject *)value) : kvpy_key_object(mode, key);

    if (!object)
        return false;
    if (kind == LIST_PAIRS) {
        PyObject *pair = PyList_GET_ITEM(list, (Py_ssize_t)at);

        PyTuple_SET_ITEM(pair, 0, object);
        PyTuple_SET_ITEM(pair, 1, Py_NewRef((PyObject *)value));
        if (PyObject_IS_GC(object) || PyObject_IS_GC((PyObject *)value))
            PyObject_GC_Track(pair); /* as a collection decides, too: numbers and texts make no cycle */
    } else {
        Py_DECREF(PyList_GET_ITEM(list, (Py_ssize_t)at)); /* None */
        PyList_SET_ITEM(list, (Py_ssize_t)at, object);
    }
    return true;
}

static bool fill_list(PyObject *list, list_kind kind, kvpy_key_mode mode, kvault_csbtree_iter *iter)
{
    size_t count, done = 0, want = (size_t)PyList_GET_SIZE(list);
    kvault_key keys[PAGE_ENTRIES];
    void *values[PAGE_ENTRIES];

    while (done < want) {
        if (kvault_csbtree_iter_fill(iter, PAGE_ENTRIES, keys, values, &count, NULL) < 0)
            return false;
        for (size_t i = 0; i < count; i++)
            if (!set_element(list, done + i, kind, mode, keys[i], values[i]))
                return false;
        done += count;
    }
    return true;
}

/* The entries of a range. When a garbage collection changes the map meanwhile, it is looked up again. */
static PyObject *list_range(kvpy_csbtree *self, PyObject *start, PyObject *end, list_kind kind)
{
    for (;;) {
        kvault_csbtree_iter iter;
        PyObject *list;
        kvpy_tree *tree;
        size_t count, again;

        if (!kvpy_tree_range(self, start, end, &iter))
            return NULL;
        tree = kvpy_tree_use(self->tree);
        (void)kvault_csbtree_iter_count(&iter, &count, NULL); /* nothing has changed since kvpy_tree_range() */
        list = new_list(kind, count);
        if (list && tree == self->tree && kvault_csbtree_iter_count(&iter, &again, NULL) >= 0) {
            if (!fill_list(list, kind, tree->mode, &iter))
                Py_CLEAR(list);
            kvpy_tree_end_use(tree);
            return list;
        }
        kvpy_tree_end_use(tree);
        if (!list)
            return NULL;
        Py_DECREF(list);
    }
}

PyObject *kvpy_csbtree_keys(PyObject *op, PyObject *unused)
{
    (void)unused;
    return list_range(csbtree_cast(op), NULL, NULL, LIST_KEYS);
}

PyObject *kvpy_csbtree_values(PyObject *op, PyObject *unused)
{
    (void)unused;
    return list_range(csbtree_cast(op), NULL, NULL, LIST_VALUES);
}

PyObject *kvpy_csbtree_items(PyObject *op, PyObject *unused)
{
    (void)unused;
    return list_range(csbtree_cast(op), NULL, NULL, LIST_PAIRS);
}

PyObject *kvpy_csbtree_range(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    if (!kvpy_args_are("range", nargs, 2))
        return NULL;
    return list_range(csbtree_cast(op), args[0] == Py_None ? NULL : args[0], args[1] == Py_None ? NULL : args[1],
                      LIST_PAIRS);
}

/* ---- many keys ---- */

/* How many of the keys from `first` on, at most a page, fit the mode, which runs no foreign code. */
static Py_ssize_t read_page(kvpy_csbtree *self, PyObject *keys, Py_ssize_t first, kvault_key *ret_keys)
{
    Py_ssize_t count = 0;

    while (count < (Py_ssize_t)PAGE_ENTRIES && first + count < PySequence_Fast_GET_SIZE(keys)) {
        PyObject *key = PySequence_Fast_GET_ITEM(keys, first + count);
        kvpy_fit fit = kvpy_key_read(self->state, self->tree->mode, key, &ret_keys[count]);

        if (fit == KVPY_KEY_ERROR)
            return -1;
        if (fit == KVPY_KEY_FOREIGN)
            break;
        count++;
    }
    return count;
}

static bool append_new(PyObject *list, PyObject *take_object)
{
    bool appended = take_object && PyList_Append(list, take_object) == 0;

    Py_XDECREF(take_object);
    return appended;
}

static bool append_page(kvpy_csbtree *self, PyObject *list, const kvault_key *keys, Py_ssize_t count,
                        PyObject *fallback)
{
    void *values[PAGE_ENTRIES];
    bool appended = true;

    /* No foreign code, so the only failure would be NaN, which is refused already. */
    if (kvault_csbtree_get_many(self->tree->core, keys, (size_t)count, fallback, values, NULL) < 0)
        return false;
    for (Py_ssize_t i = 0; i < count; i++)
        Py_INCREF((PyObject *)values[i]); /* before the list grows */
    for (Py_ssize_t i = 0; i < count; i++)
        if (!append_new(list, values[i]))
            appended = false;
    return appended;
}

static bool append_one(kvpy_csbtree *self, PyObject *list, PyObject *take_key, PyObject *fallback)
{
    void *value = fallback;
    int found = kvpy_tree_find(self, take_key, &value);
    bool appended = found >= 0 && append_new(list, Py_NewRef((PyObject *)value));

    Py_DECREF(take_key);
    return appended;
}

PyObject *kvpy_csbtree_get_many(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    kvpy_csbtree *self = csbtree_cast(op);
    PyObject *fallback, *keys, *list;
    kvault_key page[PAGE_ENTRIES];
    bool good = true;

    if (!kvpy_key_and_default("get_many", args, nargs, names, &fallback))
        return NULL;
    keys = PySequence_Fast(args[0], "get_many() takes an iterable of keys");
    list = keys ? PyList_New(0) : NULL;
    good = list != NULL;
    /* The size is looked at each time: a comparison might change a list of keys. */
    for (Py_ssize_t at = 0; good && at < PySequence_Fast_GET_SIZE(keys);) {
        Py_ssize_t count = kvpy_keys_are_foreign(self->tree->mode) ? 0 : read_page(self, keys, at, page);

        if (count < 0)
            good = false;
        else if (count > 0)
            good = append_page(self, list, page, count, fallback);
        else
            good = append_one(self, list, Py_NewRef(PySequence_Fast_GET_ITEM(keys, at)), fallback);
        at += count > 0 ? count : 1;
    }
    Py_XDECREF(keys);
    if (!good)
        Py_CLEAR(list);
    return list;
}

PyObject *kvpy_csbtree_update(PyObject *op, PyObject *pairs_or_mapping)
{
    PyObject *pairs = kvpy_pairs_of(pairs_or_mapping), *iter = pairs ? PyObject_GetIter(pairs) : NULL, *pair;
    Py_ssize_t index = 0;
    bool good = iter != NULL;

    while (good && (pair = PyIter_Next(iter))) {
        PyObject *key = NULL, *value = NULL, *old = NULL;

        good = kvpy_unpack_pair(pair, index++, &key, &value) &&
               kvpy_tree_put(csbtree_cast(op), key, value, true, &old) >= 0;
        Py_DECREF(pair);
        Py_XDECREF(key);
        Py_XDECREF(value);
        Py_XDECREF(old);
    }
    Py_XDECREF(iter);
    Py_XDECREF(pairs);
    return good && !PyErr_Occurred() ? Py_NewRef(Py_None) : NULL;
}
