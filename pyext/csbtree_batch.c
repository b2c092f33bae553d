/* csbtree_batch.c - CSBTree: lists of entries, many keys at once. */
#include "csbtree_type.h"

#include "map_protocol.h"

#define PAGE_ENTRIES 64u
#define LONG_LIST 512 /* so long that a garbage collection is likely to look at it while it is made */

static kvpy_csbtree *csbtree_cast(PyObject *op)
{
    return (kvpy_csbtree *)op;
}

/* ---- lists ---- */

typedef enum { LIST_KEYS, LIST_VALUES, LIST_PAIRS } list_kind;

/* Keys and values with references of their own, so that whatever follows may run foreign code. */
struct page {
    PyObject *keys[PAGE_ENTRIES], *values[PAGE_ENTRIES];
    size_t count;
};

/* Take a page of what is left. Runs no foreign code. KVAULT_E_REENTERED: the map has changed. */
static kvault_status take_page(kvault_csbtree_iter *iter, kvpy_key_mode mode, list_kind kind, struct page *page)
{
    kvault_key keys[PAGE_ENTRIES];
    size_t count = 0;
    kvault_status rc = kvault_csbtree_iter_fill(iter, PAGE_ENTRIES, kind == LIST_VALUES ? NULL : keys,
                                                kind == LIST_KEYS ? NULL : (void **)page->values, &count, NULL);

    for (page->count = 0; page->count < count; page->count++) {
        PyObject *key = kind == LIST_VALUES ? NULL : kvpy_key_object(mode, keys[page->count]);

        if (!key && kind != LIST_VALUES)
            return KVAULT_E_NOMEM;
        page->keys[page->count] = key;
        if (kind != LIST_KEYS)
            Py_INCREF(page->values[page->count]);
    }
    return rc;
}

static bool is_collected(PyObject *object)
{
    return PyType_HasFeature(Py_TYPE(object), Py_TPFLAGS_HAVE_GC);
}

/* A pair of the references of a page. In a long list pairs that cannot be part of a cycle are hidden from the garbage
 * collector, as it would do itself once it has looked at them. */
static PyObject *make_pair(PyObject *take_key, PyObject *take_value, bool is_long)
{
    PyObject *pair = kvpy_pair(take_key, take_value);

    if (pair && is_long && !is_collected(take_key) && !is_collected(take_value))
        PyObject_GC_UnTrack(pair);
    return pair;
}

/* Put a page into the list from `at` on; the references are the list's, also on failure. */
static bool put_page(PyObject *list, size_t at, list_kind kind, struct page *page)
{
    bool is_long = PyList_GET_SIZE(list) > LONG_LIST, good = true;

    for (size_t i = 0; i < page->count; i++) {
        PyObject *item = kind == LIST_KEYS     ? page->keys[i]
                         : kind == LIST_VALUES ? page->values[i]
                                               : make_pair(page->keys[i], page->values[i], is_long);

        PyList_SET_ITEM(list, (Py_ssize_t)(at + i), item); /* NULL is allowed while the list is ours alone */
        good = good && item;
    }
    return good;
}

/* Fill a list of the right length. KVAULT_E_REENTERED: a garbage collection, which making pairs may begin, has changed
 * the map. */
static kvault_status fill_list(kvpy_csbtree *self, kvpy_tree *tree, kvault_csbtree_iter *iter, list_kind kind,
                               PyObject *list)
{
    size_t want = (size_t)PyList_GET_SIZE(list);
    struct page page;

    for (size_t done = 0; done < want; done += page.count) {
        kvault_status rc = tree == self->tree ? take_page(iter, tree->mode, kind, &page) : KVAULT_E_REENTERED;

        if (rc < 0 && rc != KVAULT_E_NOMEM)
            return rc;
        if (!put_page(list, done, kind, &page) || rc < 0)
            return KVAULT_E_NOMEM;
    }
    return KVAULT_OK;
}

/* The entries of a range. */
static PyObject *list_range(kvpy_csbtree *self, PyObject *start, PyObject *end, list_kind kind)
{
    kvault_status rc = KVAULT_E_REENTERED;
    PyObject *list = NULL;

    while (rc == KVAULT_E_REENTERED) {
        kvault_csbtree_iter iter;
        kvpy_tree *tree;
        size_t count;

        Py_CLEAR(list);
        if (!kvpy_tree_range(self, start, end, &iter))
            return NULL;
        tree = kvpy_tree_use(self->tree);
        (void)kvault_csbtree_iter_count(&iter, &count, NULL); /* nothing has changed since kvpy_tree_range() */
        list = PyList_New((Py_ssize_t)count);
        rc = list ? fill_list(self, tree, &iter, kind, list) : KVAULT_E_NOMEM;
        kvpy_tree_end_use(tree);
    }
    if (rc < 0) {
        Py_CLEAR(list);
        kvpy_map_failed(self->state, rc);
    }
    return list;
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
