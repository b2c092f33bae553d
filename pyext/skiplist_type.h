/* skiplist_type.h - SkipList, for the files that share its struct.
 *
 * The core is lock-free; the GIL guards what is around it: the mode, the counters, the list of calls.
 * A call that works in the core is a kvpy_skip_call on its stack. Only batches on typed keys let go of the
 * GIL inside the core; comparisons of objects, and the end of objects that were removed, let others in
 * too. While any call is inside, the core stays where it is: another kind of keys has to wait.
 *
 * References to objects are taken and dropped by threads that have the GIL. A removed value waits in the
 * core until no call can still hold it, and is dropped by a call that leaves. When nobody is inside, nothing waits. */
#ifndef KVPY_SKIPLIST_TYPE_H
#define KVPY_SKIPLIST_TYPE_H

#include "map_keys.h"

typedef struct kvpy_skiplist {
    PyObject_HEAD kvpy_state *state; /* lives as long as the type */
    kvault_skiplist *core;           /* changes only while `inside` is 0, or by the one inside */
    kvpy_key_mode mode;              /* str and bytes are kept as copies of their bytes */
    uint64_t swaps;                  /* how often another core has taken its place */
    bool appends;                    /* the compare hook takes every new key for the highest */
    uint64_t changes;                /* rises before and behind every change of the entries */
    uint32_t inside;                 /* calls */
    uint32_t writers;                /* of those, batches that change the list without the GIL */
    uint32_t waiting;                /* threads that wait to be alone: batches keep the GIL meanwhile */
} kvpy_skiplist;

/* A call that is inside, in the list of its module. */
typedef struct kvpy_skip_call {
    kvault_skiplist_pin pin; /* record is NULL once it has left the core */
    kvpy_skiplist *list;
    unsigned long thread;
    bool writes;             /* counted in `writers` */
    kvault_skiplist *orphan; /* a core that this call has replaced, freed when it leaves */
    struct kvpy_skip_call *prev, *next;
} kvpy_skip_call;

/* ---- skiplist_core.c: a core list under Python keys ---- */

/* Go in. False with an exception. */
bool kvpy_skip_enter(kvpy_skiplist *self, kvpy_skip_call *call);
/* Leave. May run foreign code: what was found must have references by now. */
void kvpy_skip_leave(kvpy_skip_call *call);
/* In a forked child: the calls of threads that are not there are over. */
void kvpy_skip_after_fork(kvpy_state *state);

/* As kvpy_key_read(), for a list, whose str and bytes are bytes. */
kvpy_fit kvpy_skip_read(kvpy_skiplist *self, PyObject *key, kvault_key *ret);
/* The first entry at or above a key that is foreign to the mode, borrowed by `call`. */
kvault_status kvpy_skip_ceiling_of_foreign(kvpy_skip_call *call, PyObject *key, kvault_key *ret_key, void **ret_value,
                                           bool *ret_equal);

/* The last entry at or below such a key. */
kvault_status kvpy_skip_floor_of_foreign(kvpy_skip_call *call, PyObject *key, kvault_key *ret_key, void **ret_value);

/* 1: the key is there, *ret_value is its value, new; 0: it is absent; -1: an exception. */
int kvpy_skip_find(kvpy_skiplist *self, PyObject *key, PyObject **ret_value);
/* Put a key. 0: it was absent; 1: it is there, and *ret_value, new, is the value it had; -1: an exception. */
int kvpy_skip_put(kvpy_skiplist *self, PyObject *key, PyObject *value, bool replace, PyObject **ret_value);
/* Remove a key: 1, 0 or -1 as for kvpy_skip_find(). */
int kvpy_skip_cut(kvpy_skiplist *self, PyObject *key, PyObject **ret_value);

/* ---- skiplist_mode.c ---- */

/* A core list for keys of a mode. NULL with an exception. */
kvault_skiplist *kvpy_skip_new_core(kvpy_skiplist *self, kvpy_key_mode mode);
/* Let an empty list take the mode of its first key, if nobody is inside. False with an exception. */
bool kvpy_skip_begin_with(kvpy_skiplist *self, PyObject *key);
/* Add a key that is foreign to the mode; the list turns to objects. KVAULT_END: it is equal to one that is
 * there, which borrows as long as the call; KVAULT_E_COMPARE: an exception; KVAULT_NOT_FOUND: try again. */
kvault_status kvpy_skip_add_foreign(kvpy_skip_call *call, PyObject *key, PyObject *value, kvault_key *ret_equal);
/* Remove every key: at once if nobody is inside, else one by one. False with an exception. */
bool kvpy_skip_clear(kvpy_skiplist *self);
/* Whether the calls of other threads may be waited for; waits until none is inside. False with an exception. */
bool kvpy_skip_wait_alone(kvpy_skiplist *self);

/* ---- skiplist_batch.c ---- */

PyObject *kvpy_skiplist_keys(PyObject *op, PyObject *unused);
PyObject *kvpy_skiplist_values(PyObject *op, PyObject *unused);
PyObject *kvpy_skiplist_items(PyObject *op, PyObject *unused);
PyObject *kvpy_skiplist_range(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *kvpy_skiplist_get_many(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *names);
PyObject *kvpy_skiplist_update(PyObject *op, PyObject *pairs);

/* ---- skiplist_iter.c ---- */

/* An iterator over pairs; start and end may be NULL. */
PyObject *kvpy_skiplist_iter_new(kvpy_skiplist *self, PyObject *start, PyObject *end, bool reverse);

#endif
