/* csbtree_core.c - a core tree under Python keys: searches, changes, changes of mode.
 *
 * kvpy_key_read() runs no foreign code, so between it and the call of the core the tree is the same.
 * What a core call returned is borrowed: take a reference before anything else happens. */
#include "csbtree_type.h"

/* ---- life ---- */

static kvault_key_kind kind_of(kvpy_key_mode mode)
{
    switch (mode) {
    case KVPY_KEYS_INT:
        return KVAULT_KEY_I64;
    case KVPY_KEYS_FLOAT:
        return KVAULT_KEY_F64;
    case KVPY_KEYS_STR:
    case KVPY_KEYS_BYTES:
        return KVAULT_KEY_OBJECT_BYTES;
    case KVPY_KEYS_TUPLE:
        return KVAULT_KEY_RANKED;
    case KVPY_KEYS_OBJECT:
        return KVAULT_KEY_OBJECT;
    }
    Py_UNREACHABLE();
}

kvpy_tree *kvpy_tree_new(kvpy_state *state, kvpy_key_mode mode, unsigned order)
{
    kvpy_tree *tree = PyMem_Malloc(sizeof *tree);
    kvault_map_hooks hooks = kvpy_map_hooks();
    kvault_status rc;

    if (!tree) {
        PyErr_NoMemory();
        return NULL;
    }
    rc = kvault_csbtree_new(kind_of(mode), order, &hooks, &tree->core, NULL);
    if (rc < 0) {
        PyMem_Free(tree);
        kvpy_map_failed(state, rc);
        return NULL;
    }
    tree->mode = mode;
    tree->users = 1;
    return tree;
}

void kvpy_tree_end_use(kvpy_tree *tree)
{
    if (--tree->users > 0)
        return;
    kvault_csbtree_free(tree->core);
    PyMem_Free(tree);
}

void kvpy_tree_replace(kvpy_csbtree *self, kvpy_tree *take_tree)
{
    kvpy_tree *old = self->tree;

    self->tree = take_tree;
    kvault_csbtree_clear(old->core);
    kvpy_tree_end_use(old);
}

/* -1 with an exception for a failure, else whether the status is KVAULT_OK. */
static int outcome(kvpy_csbtree *self, kvault_status rc)
{
    if (rc < 0)
        kvpy_map_failed(self->state, rc);
    return rc < 0 ? -1 : rc == KVAULT_OK;
}

/* ---- searches ---- */

/* The first entry at or above a key that is foreign to the mode. */
static kvault_status ceiling_of_foreign(kvpy_tree *tree, PyObject *key, kvault_key *ret_key, void **ret_value,
                                        bool *ret_equal)
{
    kvpy_foreign foreign = { tree->mode, key, kvpy_key_object };

    return kvault_csbtree_ceiling_by(tree->core, kvpy_foreign_order, &foreign, ret_key, ret_value, ret_equal, NULL);
}

int kvpy_tree_find(kvpy_csbtree *self, PyObject *key, void **ret_value)
{
    kvpy_tree *tree = self->tree;
    kvault_key read;
    kvpy_fit fit = kvpy_key_read(self->state, tree->mode, key, &read);
    bool equal = false;
    void *above;
    kvault_status rc;

    if (fit == KVPY_KEY_ERROR)
        return -1;
    if (fit == KVPY_KEY_FITS && !kvpy_keys_are_foreign(tree->mode))
        return outcome(self, kvault_csbtree_get(tree->core, read, ret_value, NULL));
    (void)kvpy_tree_use(tree);
    if (fit == KVPY_KEY_FITS) {
        rc = kvault_csbtree_get(tree->core, read, ret_value, NULL);
    } else {
        rc = ceiling_of_foreign(tree, key, &read, &above, &equal);
        if (rc == KVAULT_OK && equal)
            *ret_value = above;
        else if (rc == KVAULT_OK)
            rc = KVAULT_NOT_FOUND;
    }
    kvpy_tree_end_use(tree);
    return outcome(self, rc);
}

int kvpy_tree_ceiling(kvpy_csbtree *self, PyObject *key, kvault_key *ret_key, void **ret_value, bool *ret_equal)
{
    kvpy_tree *tree = kvpy_tree_use(self->tree);
    kvault_key read;
    kvpy_fit fit = kvpy_key_read(self->state, tree->mode, key, &read);
    kvault_status rc = KVAULT_OK;

    *ret_equal = false;
    if (fit == KVPY_KEY_FITS)
        rc = kvault_csbtree_ceiling(tree->core, read, ret_key, ret_value, NULL);
    else if (fit == KVPY_KEY_FOREIGN)
        rc = ceiling_of_foreign(tree, key, ret_key, ret_value, ret_equal);
    kvpy_tree_end_use(tree);
    return fit == KVPY_KEY_ERROR ? -1 : outcome(self, rc);
}

/* The last entry below one that is in the tree; or the last of all, if there is no such. */
static kvault_status last_below(kvpy_tree *tree, const kvault_key *above, kvault_key *ret_key, void **ret_value)
{
    kvault_csbtree_iter iter;
    PyObject *owner = above && tree->mode >= KVPY_KEYS_STR ? Py_NewRef((PyObject *)above->object) : NULL;
    kvault_status rc = kvault_csbtree_iter_init(&iter, tree->core, NULL, above, NULL);

    if (rc >= 0)
        rc = kvault_csbtree_iter_prev(&iter, ret_key, ret_value, NULL);
    Py_XDECREF(owner);
    return rc == KVAULT_END ? KVAULT_NOT_FOUND : rc;
}

int kvpy_tree_floor(kvpy_csbtree *self, PyObject *key, kvault_key *ret_key, void **ret_value)
{
    kvpy_tree *tree = kvpy_tree_use(self->tree);
    bool equal = false;
    kvault_key read;
    kvpy_fit fit = kvpy_key_read(self->state, tree->mode, key, &read);
    kvault_status rc = KVAULT_OK;

    if (fit == KVPY_KEY_FITS) {
        rc = kvault_csbtree_floor(tree->core, read, ret_key, ret_value, NULL);
    } else if (fit == KVPY_KEY_FOREIGN) {
        rc = ceiling_of_foreign(tree, key, ret_key, ret_value, &equal);
        if (rc >= 0 && !equal) {
            read = *ret_key;
            rc = last_below(tree, rc == KVAULT_OK ? &read : NULL, ret_key, ret_value);
        }
    }
    kvpy_tree_end_use(tree);
    return fit == KVPY_KEY_ERROR ? -1 : outcome(self, rc);
}

/* ---- ranges ---- */

/* A bound as a key of the tree. `owner` keeps it while the other bound is found. */
struct bound {
    bool is_set;    /* false: no bound, or one behind all keys */
    bool is_behind; /* behind all keys */
    kvault_key key;
    PyObject *owner;
};

static bool find_bound(kvpy_csbtree *self, kvpy_tree *tree, PyObject *object, struct bound *bound)
{
    bool equal;
    void *value;
    kvpy_fit fit;
    int found;

    if (!object)
        return true;
    fit = kvpy_key_read(self->state, tree->mode, object, &bound->key);
    if (fit == KVPY_KEY_ERROR)
        return false;
    bound->is_set = true;
    if (fit == KVPY_KEY_FITS)
        return true;
    found = outcome(self, ceiling_of_foreign(tree, object, &bound->key, &value, &equal));
    bound->is_set = found > 0;
    bound->is_behind = found == 0;
    if (found > 0 && tree->mode >= KVPY_KEYS_STR)
        bound->owner = Py_NewRef((PyObject *)bound->key.object);
    return found >= 0;
}

/* An iterator with nothing left. */
static kvault_status empty_iter(kvpy_tree *tree, kvault_csbtree_iter *ret_iter)
{
    kvault_key key;
    void *value;
    bool has_key = kvault_csbtree_first(tree->core, &key, &value) == KVAULT_OK;

    return kvault_csbtree_iter_init(ret_iter, tree->core, has_key ? &key : NULL, has_key ? &key : NULL, NULL);
}

bool kvpy_tree_range(kvpy_csbtree *self, PyObject *start, PyObject *end, kvault_csbtree_iter *ret_iter)
{
    kvpy_tree *tree = kvpy_tree_use(self->tree);
    struct bound low = { 0 }, high = { 0 };
    kvault_status rc = KVAULT_E_COMPARE;

    if (find_bound(self, tree, start, &low) && find_bound(self, tree, end, &high)) {
        if (low.is_behind)
            rc = empty_iter(tree, ret_iter);
        else
            rc = kvault_csbtree_iter_init(ret_iter, tree->core, low.is_set ? &low.key : NULL,
                                          high.is_set ? &high.key : NULL, NULL);
        if (rc >= 0 && tree != self->tree)
            rc = KVAULT_E_REENTERED; /* the tree we have found places in is gone */
    }
    Py_XDECREF(low.owner);
    Py_XDECREF(high.owner);
    kvpy_tree_end_use(tree);
    return outcome(self, rc) >= 0;
}

/* ---- adding ---- */

/* An empty map takes the mode of its first key. False with an exception. */
static bool begin_with(kvpy_csbtree *self, PyObject *key)
{
    kvpy_tree *tree = kvpy_tree_use(self->tree), *fresh = NULL;
    kvpy_key_mode mode = tree->mode;
    bool begun = kvpy_key_mode_of(self->state, key, &mode);

    if (begun && kvpy_keys_are_foreign(mode))
        begun = kvpy_key_has_order(self->state, key);
    if (begun && (tree != self->tree || kvault_csbtree_count(tree->core) > 0)) {
        kvpy_map_failed(self->state, KVAULT_E_REENTERED);
        begun = false;
    }
    if (begun && mode != tree->mode) {
        fresh = kvpy_tree_new(self->state, mode, self->order);
        begun = fresh != NULL;
    }
    if (fresh)
        kvpy_tree_replace(self, fresh);
    kvpy_tree_end_use(tree);
    return begun;
}

/* Put a key that fits the mode of the tree. */
static kvault_status put_fitting(kvpy_tree *tree, kvault_key key, PyObject *value, bool replace, PyObject **ret_value)
{
    PyObject *owner = tree->mode >= KVPY_KEYS_STR ? Py_NewRef((PyObject *)key.object) : NULL;
    void *there = NULL;
    kvault_status rc;

    Py_INCREF(value);
    rc = replace ? kvault_csbtree_insert(tree->core, key, value, &there, NULL)
                 : kvault_csbtree_add(tree->core, key, value, &there, NULL);
    if (rc == KVAULT_END)
        *ret_value = replace ? there : Py_NewRef((PyObject *)there);
    if (rc != KVAULT_OK)
        Py_XDECREF(owner); /* the tree has not taken it */
    if (rc < 0 || (rc == KVAULT_END && !replace))
        Py_DECREF(value);
    return rc;
}

/* Put a key that is foreign to the mode and not in the tree: the map turns to objects. */
static kvault_status put_foreign(kvpy_csbtree *self, kvpy_tree *tree, PyObject *key, PyObject *value)
{
    kvault_csbtree_iter watch;
    kvault_status rc = kvault_csbtree_iter_init(&watch, tree->core, NULL, NULL, NULL);
    kvpy_tree *fresh = rc >= 0 ? kvpy_tree_as_objects(self, tree) : NULL;
    PyObject *unused;
    size_t count;

    if (!fresh)
        return KVAULT_E_COMPARE;
    rc = put_fitting(fresh, (kvault_key){ .object = key }, value, true, &unused);
    if (rc == KVAULT_END) {
        Py_DECREF(unused);
        PyErr_Format(PyExc_TypeError, "key %R was equal to no other key, and then to one", key);
        rc = KVAULT_E_COMPARE;
    }
    if (rc >= 0)
        rc = kvault_csbtree_iter_count(&watch, &count, NULL);
    if (rc >= 0 && tree != self->tree)
        rc = KVAULT_E_REENTERED;
    if (rc >= 0)
        kvpy_tree_replace(self, fresh);
    else
        kvpy_tree_end_use(fresh);
    return rc;
}

int kvpy_tree_put(kvpy_csbtree *self, PyObject *key, PyObject *value, bool replace, PyObject **ret_value)
{
    kvpy_tree *tree;
    bool equal = false;
    kvault_key read;
    kvault_status rc;
    kvpy_fit fit;
    void *there;

    if (kvault_csbtree_count(self->tree->core) == 0 && !begin_with(self, key))
        return -1;
    tree = self->tree;
    fit = kvpy_key_read(self->state, tree->mode, key, &read);
    if (fit == KVPY_KEY_ERROR)
        return -1;
    (void)kvpy_tree_use(tree);
    rc = KVAULT_OK;
    if (fit == KVPY_KEY_FOREIGN) {
        rc = ceiling_of_foreign(tree, key, &read, &there, &equal);
        if (rc >= 0 && !equal)
            rc = put_foreign(self, tree, key, value);
    }
    if (fit == KVPY_KEY_FITS || (rc >= 0 && equal))
        rc = put_fitting(tree, read, value, replace, ret_value);
    kvpy_tree_end_use(tree);
    return rc < 0 ? outcome(self, rc) : rc == KVAULT_END;
}

/* ---- removing ---- */

int kvpy_tree_cut(kvpy_csbtree *self, PyObject *key, PyObject **ret_value)
{
    kvpy_tree *tree = self->tree;
    PyObject *owner = NULL;
    bool equal = false;
    kvault_key read;
    void *value;
    kvpy_fit fit = kvpy_key_read(self->state, tree->mode, key, &read);
    kvault_status rc = KVAULT_OK;

    if (fit == KVPY_KEY_ERROR)
        return -1;
    (void)kvpy_tree_use(tree);
    if (fit == KVPY_KEY_FOREIGN) {
        rc = ceiling_of_foreign(tree, key, &read, &value, &equal);
        if (rc == KVAULT_OK && !equal)
            rc = KVAULT_NOT_FOUND;
        if (rc == KVAULT_OK && tree->mode >= KVPY_KEYS_STR)
            owner = Py_NewRef((PyObject *)read.object);
    }
    if (rc == KVAULT_OK)
        rc = kvault_csbtree_remove(tree->core, read, &value, NULL);
    Py_XDECREF(owner);
    kvpy_tree_end_use(tree);
    if (rc == KVAULT_OK)
        *ret_value = value;
    return outcome(self, rc);
}
