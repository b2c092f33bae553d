/* skiplist_batch.c - SkipList: many entries in one call, on typed keys without the GIL.
 *
 * Keys are read and references taken with the GIL, then the core works without it, then the results get
 * references while the call is still inside. With fewer keys than BATCH_KEYS, or while another
 * thread waits to be alone, the GIL is kept. */
#include "skiplist_type.h"

#include "map_protocol.h"

#define BATCH_KEYS 10u     /* letting go of the GIL costs about as much as so many searches */
#define FIRST_ENTRIES 128u /* of a list, which cost as much */
#define PAGE_PAIRS 4096u   /* an update of any length takes bounded memory */

static kvpy_skiplist *skiplist_cast(PyObject *op)
{
    return (kvpy_skiplist *)op;
}

static bool lets_go(const kvpy_skiplist *self, size_t count)
{
    return count >= BATCH_KEYS && self->waiting == 0 && !kvpy_keys_are_foreign(self->mode);
}

/* ---- lists ---- */

typedef enum { LIST_KEYS, LIST_VALUES, LIST_PAIRS } list_kind;

/* Entries that a call has found and borrows. */
struct found {
    kvault_key *keys;
    void **values;
    size_t count, room;
};

static bool make_room(struct found *found, size_t room)
{
    kvault_key *keys = PyMem_RawRealloc(found->keys, room * sizeof *keys);
    void **values;

    if (keys)
        found->keys = keys;
    values = keys ? PyMem_RawRealloc(found->values, room * sizeof *values) : NULL;
    if (values) {
        found->values = values;
        found->room = room;
    }
    return values != NULL;
}

/* Make room for `room` entries and fill it. */
static kvault_status find_more(kvault_skiplist_iter *iter, kvault_skiplist_pin *pin, struct found *found, size_t room)
{
    size_t count = 0;
    kvault_status rc;

    if (!make_room(found, room))
        return KVAULT_E_NOMEM;
    rc = kvault_skiplist_iter_fill(iter, pin, room - found->count, found->keys + found->count,
                                   found->values + found->count, &count, NULL);
    found->count += count;
    return rc;
}

/* Take what is left of an iterator. Needs no GIL if the keys are typed. */
static kvault_status find_rest(kvault_skiplist_iter *iter, kvault_skiplist_pin *pin, struct found *found)
{
    kvault_status rc = KVAULT_OK;

    while (rc >= 0 && found->count == found->room)
        rc = find_more(iter, pin, found, 2 * found->room);
    return rc;
}

static PyObject *make_list(const kvpy_skiplist *self, list_kind kind, const struct found *found)
{
    PyObject *list = PyList_New((Py_ssize_t)found->count);

    for (size_t i = 0; list && i < found->count; i++) {
        PyObject *key = kind != LIST_VALUES ? kvpy_key_object_of_copy(self->mode, found->keys[i]) : NULL;
        PyObject *value = kind != LIST_KEYS ? Py_NewRef((PyObject *)found->values[i]) : NULL;
        PyObject *item = kind == LIST_PAIRS ? kvpy_pair(key, value) : kind == LIST_KEYS ? key : value;

        if (item)
            PyList_SET_ITEM(list, (Py_ssize_t)i, item);
        else
            Py_CLEAR(list);
    }
    return list;
}

/* The entries between two keys of the mode; NULL is no bound. */
static PyObject *list_between(kvpy_skiplist *self, const kvault_key *start, const kvault_key *stop, list_kind kind)
{
    kvault_skiplist_iter *iter = NULL;
    struct found found = { 0 };
    PyObject *list = NULL;
    kvpy_skip_call call;
    kvault_status rc;

    if (!kvpy_skip_enter(self, &call))
        return NULL;
    rc = kvault_skiplist_iter_new(self->core, start, stop, false, &iter, NULL);
    if (rc >= 0)
        rc = find_more(iter, &call.pin, &found, FIRST_ENTRIES);
    if (rc >= 0 && found.count == found.room && lets_go(self, found.count))
        KVPY_LET_GO(rc = find_rest(iter, &call.pin, &found));
    else if (rc >= 0)
        rc = find_rest(iter, &call.pin, &found);
    kvault_skiplist_iter_free(iter);
    if (rc >= 0)
        list = make_list(self, kind, &found);
    else
        kvpy_map_failed(self->state, rc);
    PyMem_RawFree(found.keys);
    PyMem_RawFree(found.values);
    kvpy_skip_leave(&call);
    return list;
}

PyObject *kvpy_skiplist_keys(PyObject *op, PyObject *unused)
{
    (void)unused;
    return list_between(skiplist_cast(op), NULL, NULL, LIST_KEYS);
}

PyObject *kvpy_skiplist_values(PyObject *op, PyObject *unused)
{
    (void)unused;
    return list_between(skiplist_cast(op), NULL, NULL, LIST_VALUES);
}

PyObject *kvpy_skiplist_items(PyObject *op, PyObject *unused)
{
    (void)unused;
    return list_between(skiplist_cast(op), NULL, NULL, LIST_PAIRS);
}

PyObject *kvpy_skiplist_range(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    kvpy_skiplist *self = skiplist_cast(op);
    PyObject *bounds[2] = { NULL, NULL }, *iter, *list;
    kvpy_fit fits[2] = { KVPY_KEY_FITS, KVPY_KEY_FITS };
    kvault_key keys[2];

    if (!kvpy_args_are("range", nargs, 2))
        return NULL;
    for (int i = 0; i < 2; i++) {
        bounds[i] = args[i] == Py_None ? NULL : args[i];
        if (bounds[i])
            fits[i] = kvpy_skip_read(self, bounds[i], &keys[i]);
        if (fits[i] == KVPY_KEY_ERROR)
            return NULL;
    }
    if (fits[0] == KVPY_KEY_FITS && fits[1] == KVPY_KEY_FITS)
        return list_between(self, bounds[0] ? &keys[0] : NULL, bounds[1] ? &keys[1] : NULL, LIST_PAIRS);
    iter = kvpy_skiplist_iter_new(self, bounds[0], bounds[1], false);
    list = iter ? PySequence_List(iter) : NULL;
    Py_XDECREF(iter);
    return list;
}

/* ---- many keys ---- */

/* Whether all of these objects fit the mode; then ret_keys are their keys. -1: an exception. */
static int read_keys(kvpy_skiplist *self, PyObject *const *objects, size_t count, kvault_key *ret_keys)
{
    for (size_t i = 0; i < count; i++) {
        kvpy_fit fit = kvpy_skip_read(self, objects[i], &ret_keys[i]);

        if (fit != KVPY_KEY_FITS)
            return fit == KVPY_KEY_ERROR ? -1 : 0;
    }
    return 1;
}

/* Look typed keys up without the GIL. The keys' objects are kept by the caller. */
static bool find_batch(kvpy_skiplist *self, const kvault_key *keys, void **values, PyObject *fallback, PyObject *list)
{
    size_t count = (size_t)PyList_GET_SIZE(list);
    kvpy_skip_call call;
    kvault_status rc;

    if (!kvpy_skip_enter(self, &call))
        return false;
    KVPY_LET_GO(rc = kvault_skiplist_get_many(&call.pin, keys, count, fallback, values, NULL));
    for (size_t i = 0; rc >= 0 && i < count; i++)
        PyList_SET_ITEM(list, (Py_ssize_t)i, Py_NewRef((PyObject *)values[i]));
    if (rc < 0)
        kvpy_map_failed(self->state, rc);
    kvpy_skip_leave(&call);
    return rc >= 0;
}

static bool find_one_by_one(kvpy_skiplist *self, PyObject *keys, PyObject *fallback, PyObject *list)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        PyObject *value;
        int found = kvpy_skip_find(self, PyTuple_GET_ITEM(keys, i), &value);

        if (found < 0)
            return false;
        PyList_SET_ITEM(list, i, found ? value : Py_NewRef(fallback));
    }
    return true;
}

PyObject *kvpy_skiplist_get_many(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    kvpy_skiplist *self = skiplist_cast(op);
    PyObject *fallback, *objects, *list = NULL;
    kvault_key *keys = NULL;
    void **values = NULL;
    bool good = false;
    int typed = 0;

    if (!kvpy_key_and_default("get_many", args, nargs, names, &fallback))
        return NULL;
    objects = PySequence_Tuple(args[0]); /* ours: nobody changes it while we have let go of the GIL */
    if (objects)
        list = PyList_New(PyTuple_GET_SIZE(objects));
    if (list && lets_go(self, (size_t)PyTuple_GET_SIZE(objects))) {
        keys = PyMem_New(kvault_key, (size_t)PyTuple_GET_SIZE(objects));
        values = PyMem_New(void *, (size_t)PyTuple_GET_SIZE(objects));
        if (keys && values)
            typed = read_keys(self, PySequence_Fast_ITEMS(objects), (size_t)PyTuple_GET_SIZE(objects), keys);
        else
            PyErr_NoMemory();
    }
    if (list && !PyErr_Occurred())
        good = typed ? find_batch(self, keys, values, fallback, list) : find_one_by_one(self, objects, fallback, list);
    PyMem_Free(values);
    PyMem_Free(keys);
    Py_XDECREF(objects);
    if (!good)
        Py_CLEAR(list);
    return list;
}

/* ---- update ---- */

/* Pairs to be set; all references are owned until they are taken. */
struct page {
    PyObject *keys[PAGE_PAIRS], *values[PAGE_PAIRS];
    kvault_key read[PAGE_PAIRS];
    size_t count;
};

/* Set values without the GIL; how many were taken is in *ret_taken. */
static kvault_status set_all(kvault_skiplist_pin *pin, const struct page *page, size_t *ret_taken)
{
    kvault_status rc = KVAULT_OK;

    *ret_taken = 0;
    while (*ret_taken < page->count && rc >= 0) {
        rc = kvault_skiplist_set(pin, page->read[*ret_taken], page->values[*ret_taken], NULL, NULL);
        *ret_taken += rc >= 0;
    }
    return rc;
}

static bool put_batch(kvpy_skiplist *self, struct page *page)
{
    kvpy_skip_call call;
    kvault_status rc;
    size_t taken;

    if (!kvpy_skip_enter(self, &call))
        return false;
    self->changes++;
    self->writers++;
    call.writes = true;
    KVPY_LET_GO(rc = set_all(&call.pin, page, &taken));
    self->changes++;
    for (size_t i = 0; i < taken; i++)
        page->values[i] = NULL; /* the list's */
    if (rc < 0)
        kvpy_map_failed(self->state, rc);
    kvpy_skip_leave(&call);
    return rc >= 0;
}

static bool put_one_by_one(kvpy_skiplist *self, const struct page *page)
{
    for (size_t i = 0; i < page->count; i++) {
        PyObject *old = NULL;
        int there = kvpy_skip_put(self, page->keys[i], page->values[i], true, &old);

        Py_XDECREF(old);
        if (there < 0)
            return false;
    }
    return true;
}

static bool put_page(kvpy_skiplist *self, struct page *page)
{
    int typed = 0;

    if (page->count > 0 && kvault_skiplist_count(self->core) == 0 && !kvpy_skip_begin_with(self, page->keys[0]))
        return false;
    if (lets_go(self, page->count))
        typed = read_keys(self, page->keys, page->count, page->read);
    if (typed < 0)
        return false;
    return typed ? put_batch(self, page) : put_one_by_one(self, page);
}

static void empty_page(struct page *page)
{
    for (size_t i = 0; i < page->count; i++) {
        Py_CLEAR(page->keys[i]);
        Py_CLEAR(page->values[i]);
    }
    page->count = 0;
}

/* Fill a page; at the end of the pairs it is not full. False with an exception. */
static bool fill_page(struct page *page, PyObject *iter, Py_ssize_t *index)
{
    PyObject *pair;

    while (page->count < PAGE_PAIRS && (pair = PyIter_Next(iter))) {
        bool good = kvpy_unpack_pair(pair, (*index)++, &page->keys[page->count], &page->values[page->count]);

        Py_DECREF(pair);
        if (!good)
            return false;
        page->count++;
    }
    return !PyErr_Occurred();
}

PyObject *kvpy_skiplist_update(PyObject *op, PyObject *pairs_or_mapping)
{
    PyObject *pairs = kvpy_pairs_of(pairs_or_mapping), *iter = pairs ? PyObject_GetIter(pairs) : NULL;
    struct page *page = iter ? PyMem_Malloc(sizeof *page) : NULL;
    bool good = page != NULL, full = true;
    Py_ssize_t index = 0;

    if (page)
        page->count = 0;
    else if (iter)
        PyErr_NoMemory();
    while (good && full) {
        good = fill_page(page, iter, &index) && put_page(skiplist_cast(op), page);
        full = page->count == PAGE_PAIRS;
        empty_page(page);
    }
    PyMem_Free(page);
    Py_XDECREF(iter);
    Py_XDECREF(pairs);
    return good ? Py_NewRef(Py_None) : NULL;
}
