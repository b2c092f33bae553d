/* csbtree_type.h - CSBTree, for the files that share its struct.
 *
 * A comparison of Python objects may do anything, also replace the core tree by one of another kind
 * while a call is inside it. So a core tree counts its users, and one that was replaced is emptied
 * at once, which the call in progress notices. */
#ifndef KVPY_CSBTREE_TYPE_H
#define KVPY_CSBTREE_TYPE_H

#include "map_keys.h"

typedef struct kvpy_tree {
    kvault_csbtree *core;
    kvpy_key_mode mode;
    size_t users; /* the map, the calls that may run foreign code, the iterators */
} kvpy_tree;

typedef struct kvpy_csbtree {
    PyObject_HEAD kvpy_state *state; /* lives as long as the type */
    kvpy_tree *tree;                 /* never NULL once made */
    unsigned order;
} kvpy_csbtree;

/* ---- csbtree_core.c: a core tree under Python keys ---- */

/* An empty tree with one user. NULL with an exception. */
kvpy_tree *kvpy_tree_new(kvpy_state *state, kvpy_key_mode mode, unsigned order);
static inline kvpy_tree *kvpy_tree_use(kvpy_tree *tree)
{
    tree->users++;
    return tree;
}
/* The last user frees it. */
void kvpy_tree_end_use(kvpy_tree *tree);

/* Give the map another tree; releases what was in the old one, so this comes last. */
void kvpy_tree_replace(kvpy_csbtree *self, kvpy_tree *take_tree);

/* Borrow the value of a key: 1. 0: it is absent, and *ret_value stays; -1: an exception. */
int kvpy_tree_find(kvpy_csbtree *self, PyObject *key, void **ret_value);
/* Put a key, which may change the mode. 0: it was absent; 1: it is there, with its value new in *ret_value,
 * which is the old one if `replace`; -1: an exception, and all is as it was. */
int kvpy_tree_put(kvpy_csbtree *self, PyObject *key, PyObject *value, bool replace, PyObject **ret_value);
/* Remove a key. 1: it was there, its value is *ret_value's now; 0: it was absent; -1: an exception. */
int kvpy_tree_cut(kvpy_csbtree *self, PyObject *key, PyObject **ret_value);
/* The entry at or above a key, borrowed; 1, 0 or -1 as above. *ret_equal: it is the key itself. */
int kvpy_tree_ceiling(kvpy_csbtree *self, PyObject *key, kvault_key *ret_key, void **ret_value, bool *ret_equal);
/* The entry at or below a key, the same way. */
int kvpy_tree_floor(kvpy_csbtree *self, PyObject *key, kvault_key *ret_key, void **ret_value);
/* Stand on the entries from start, included, to end, excluded; NULL is no bound. False with an exception. */
bool kvpy_tree_range(kvpy_csbtree *self, PyObject *start, PyObject *end, kvault_csbtree_iter *ret_iter);

/* ---- csbtree_batch.c ---- */

PyObject *kvpy_csbtree_keys(PyObject *op, PyObject *unused);
PyObject *kvpy_csbtree_values(PyObject *op, PyObject *unused);
PyObject *kvpy_csbtree_items(PyObject *op, PyObject *unused);
PyObject *kvpy_csbtree_range(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *kvpy_csbtree_get_many(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *names);
PyObject *kvpy_csbtree_update(PyObject *op, PyObject *pairs);

/* ---- csbtree_load.c ---- */

/* A tree of objects with the entries of another one. NULL with an exception. */
kvpy_tree *kvpy_tree_as_objects(kvpy_csbtree *self, kvpy_tree *tree);
PyObject *kvpy_csbtree_from_sorted(PyObject *type, PyObject *pairs);
PyObject *kvpy_csbtree_copy(PyObject *op, PyObject *unused);

/* ---- csbtree_iter.c ---- */

/* An iterator over pairs; start and end may be NULL. */
PyObject *kvpy_csbtree_iter_new(kvpy_csbtree *self, PyObject *start, PyObject *end, bool reverse);

#endif
