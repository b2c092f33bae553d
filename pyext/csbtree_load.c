/* csbtree_load.c - CSBTree: a tree out of entries that are in order already.
 *
 * The entries are collected first, with references of their own; then the core checks that they
 * rise, which for objects runs their comparisons, and takes all of them or none. */
#include "csbtree_type.h"

#include "errors.h"
#include "map_protocol.h"

struct entries {
    kvault_key *keys;   /* objects, all of them references, until they are made keys of a mode */
    void **values;      /* references */
    size_t count, room; /* how many are filled, how many fit */
};

static bool make_room(struct entries *entries, size_t room)
{
    entries->keys = PyMem_New(kvault_key, room);
    entries->values = PyMem_New(void *, room);
    entries->room = room;
    if (!entries->keys || !entries->values)
        PyErr_NoMemory();
    return entries->keys && entries->values;
}

/* Let go of the entries; `keys` and `values`: also of the references. */
static void free_entries(struct entries *entries, bool keys, bool values)
{
    for (size_t i = 0; i < entries->count; i++) {
        if (keys)
            Py_DECREF((PyObject *)entries->keys[i].object);
        if (values)
            Py_DECREF((PyObject *)entries->values[i]);
    }
    PyMem_Free(entries->keys);
    PyMem_Free(entries->values);
}

/* ---- out of another tree ---- */

/* The entries of a tree with the keys of a tree of `mode`: its own, or objects. Runs no foreign code. */
static bool take_entries(kvpy_tree *tree, kvpy_key_mode mode, struct entries *ret)
{
    size_t count = kvault_csbtree_count(tree->core), filled = 0;
    kvault_csbtree_iter iter;

    if (!make_room(ret, count))
        return false;
    if (kvault_csbtree_iter_init(&iter, tree->core, NULL, NULL, NULL) < 0 ||
        kvault_csbtree_iter_fill(&iter, count, ret->keys, ret->values, &filled, NULL) < 0)
        Py_UNREACHABLE(); /* no bound is compared, and nothing has changed */
    for (; ret->count < filled; ret->count++) {
        if (mode >= KVPY_KEYS_STR) {
            PyObject *object = kvpy_key_object(tree->mode, ret->keys[ret->count]);

            if (!object)
                return false;
            ret->keys[ret->count].object = object;
        }
        Py_INCREF((PyObject *)ret->values[ret->count]);
    }
    return true;
}

static kvpy_tree *rebuild(kvpy_csbtree *self, kvpy_tree *tree, kvpy_key_mode mode)
{
    kvpy_tree *fresh = kvpy_tree_new(self->state, mode, self->order);
    struct entries entries = { 0 };
    bool loaded = false;

    if (fresh && take_entries(tree, mode, &entries)) {
        kvault_status rc = kvault_csbtree_load_sorted(fresh->core, entries.keys, entries.values, entries.count, NULL);

        loaded = rc >= 0;
        if (!loaded)
            kvpy_map_failed(self->state, rc);
    }
    free_entries(&entries, !loaded && mode >= KVPY_KEYS_STR, !loaded);
    if (fresh && !loaded) {
        kvpy_tree_end_use(fresh);
        return NULL;
    }
    return fresh;
}

kvpy_tree *kvpy_tree_as_objects(kvpy_csbtree *self, kvpy_tree *tree)
{
    return rebuild(self, tree, KVPY_KEYS_OBJECT);
}

PyObject *kvpy_csbtree_copy(PyObject *op, PyObject *unused)
{
    kvpy_csbtree *self = (kvpy_csbtree *)op, *copy;
    kvpy_tree *tree = kvpy_tree_use(self->tree), *fresh = rebuild(self, tree, tree->mode);

    (void)unused;
    kvpy_tree_end_use(tree);
    if (!fresh)
        return NULL;
    copy = (kvpy_csbtree *)Py_TYPE(op)->tp_alloc(Py_TYPE(op), 0);
    if (!copy) {
        kvpy_tree_end_use(fresh);
        return NULL;
    }
    copy->state = self->state;
    copy->order = self->order;
    copy->tree = fresh;
    return (PyObject *)copy;
}

/* ---- out of pairs ---- */

/* Take the pairs of a list or tuple apart. */
static bool collect_pairs(PyObject *pairs, struct entries *ret)
{
    if (!make_room(ret, (size_t)PySequence_Fast_GET_SIZE(pairs)))
        return false;
    /* Taking a pair apart may run foreign code, which may change a list. */
    while (ret->count < ret->room && (Py_ssize_t)ret->count < PySequence_Fast_GET_SIZE(pairs)) {
        PyObject *pair = Py_NewRef(PySequence_Fast_GET_ITEM(pairs, (Py_ssize_t)ret->count)), *key, *value;
        bool good = kvpy_unpack_pair(pair, (Py_ssize_t)ret->count, &key, &value);

        Py_DECREF(pair);
        if (!good)
            return false;
        ret->keys[ret->count].object = key;
        ret->values[ret->count++] = value;
    }
    return true;
}

/* The mode that all keys fit. False with an exception. */
static bool common_mode(kvpy_state *state, const struct entries *entries, kvpy_key_mode *ret)
{
    if (!kvpy_key_mode_of(state, entries->keys[0].object, ret))
        return false;
    for (size_t i = 1; i < entries->count; i++) {
        kvault_key unused;
        kvpy_fit fit = kvpy_key_read(state, *ret, entries->keys[i].object, &unused);

        if (fit == KVPY_KEY_ERROR)
            return false;
        if (fit == KVPY_KEY_FOREIGN)
            *ret = KVPY_KEYS_OBJECT;
    }
    /* Two or more are compared with each other. */
    return entries->count > 1 || !kvpy_keys_are_foreign(*ret) || kvpy_key_has_order(state, entries->keys[0].object);
}

static void raise_no_rise(kvpy_state *state, const struct entries *entries, int64_t at)
{
    PyErr_Format(state->InvalidArgument, "keys must rise: key %lld is %R, the one before it is %R", (long long)at,
                 (PyObject *)entries->keys[at].object, (PyObject *)entries->keys[at - 1].object);
}

/* Numbers are read into keys of their own: the objects are still wanted, to be named and let go. */
static kvault_status load(kvpy_state *state, kvpy_tree *tree, const struct entries *entries, kvault_error *err)
{
    kvault_key *keys = entries->keys;
    kvault_status rc = KVAULT_E_NOMEM;

    if (tree->mode < KVPY_KEYS_STR) {
        keys = PyMem_New(kvault_key, entries->count);
        for (size_t i = 0; keys && i < entries->count; i++)
            (void)kvpy_key_read(state, tree->mode, entries->keys[i].object, &keys[i]);
    }
    if (keys)
        rc = kvault_csbtree_load_sorted(tree->core, keys, entries->values, entries->count, err);
    if (keys != entries->keys)
        PyMem_Free(keys);
    return rc;
}

/* Fill an empty map; `entries` lose what the map takes. */
static bool fill(kvpy_csbtree *self, struct entries *entries)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvpy_key_mode mode;
    kvault_status rc;
    kvpy_tree *tree;

    if (!common_mode(self->state, entries, &mode))
        return false;
    tree = kvpy_tree_new(self->state, mode, self->order);
    if (!tree)
        return false;
    rc = load(self->state, tree, entries, &err);
    if (rc < 0) {
        if (rc == KVAULT_E_INVALID && err.position > 0)
            raise_no_rise(self->state, entries, err.position);
        kvpy_map_failed(self->state, rc);
        kvpy_tree_end_use(tree);
        return false;
    }
    free_entries(entries, mode < KVPY_KEYS_STR, false);
    *entries = (struct entries){ 0 };
    kvpy_tree_replace(self, tree);
    return true;
}

/* A map of the type; a subclass might make something else. NULL with an exception. */
static kvpy_csbtree *new_map(kvpy_state *state, PyObject *type)
{
    PyObject *made = PyObject_CallNoArgs(type);

    if (made && !PyObject_TypeCheck(made, (PyTypeObject *)state->CSBTreeType)) {
        PyErr_Format(PyExc_TypeError, "%R() made no CSBTree but %.100s", type, Py_TYPE(made)->tp_name);
        Py_CLEAR(made);
    }
    return (kvpy_csbtree *)made;
}

PyObject *kvpy_csbtree_from_sorted(PyObject *type, PyObject *pairs_or_mapping)
{
    kvpy_state *state = kvpy_state_of_type((PyTypeObject *)type);
    PyObject *given = state ? kvpy_pairs_of(pairs_or_mapping) : NULL;
    PyObject *pairs = given ? PySequence_Fast(given, "from_sorted() takes a mapping or an iterable of pairs") : NULL;
    struct entries entries = { 0 };
    kvpy_csbtree *self = NULL;

    if (pairs && collect_pairs(pairs, &entries))
        self = new_map(state, type);
    if (self && entries.count > 0 && !fill(self, &entries))
        Py_CLEAR(self);
    free_entries(&entries, true, true);
    Py_XDECREF(pairs);
    Py_XDECREF(given);
    return (PyObject *)self;
}
