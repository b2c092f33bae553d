/* skiplist_mode.c - which kind of keys a SkipList has, and how that changes while others use it.
 *
 * A change of mode puts another core list in place of the old one. It is done with the GIL held, by a
 * thread that is alone inside, and runs no foreign code: the place of the new key is found before, and
 * holds as long as `changes` stays; the entries are appended without being compared. Whoever is not alone, or
 * finds that others have changed the list, begins again. */
#include "skiplist_type.h"

#include <assert.h>
#include <time.h>

/* ---- core lists ---- */

static kvault_status compare_hook(void *context, void *a, void *b, int *ret_order, kvault_error *reterr)
{
    const kvpy_skiplist *self = context;

    if (!self->appends)
        return kvpy_map_hooks().compare(NULL, a, b, ret_order, reterr);
    *ret_order = -1;
    return KVAULT_OK;
}

static kvault_key_kind kind_of(kvpy_key_mode mode)
{
    switch (mode) {
    case KVPY_KEYS_INT:
        return KVAULT_KEY_I64;
    case KVPY_KEYS_FLOAT:
        return KVAULT_KEY_F64;
    case KVPY_KEYS_STR:
    case KVPY_KEYS_BYTES:
        return KVAULT_KEY_BYTES;
    case KVPY_KEYS_TUPLE:
        return KVAULT_KEY_RANKED;
    case KVPY_KEYS_OBJECT:
        return KVAULT_KEY_OBJECT;
    }
    Py_UNREACHABLE();
}

kvault_skiplist *kvpy_skip_new_core(kvpy_skiplist *self, kvpy_key_mode mode)
{
    kvault_map_hooks hooks = kvpy_map_hooks();
    kvault_skiplist *core = NULL;
    kvault_status rc;

    hooks.context = self;
    hooks.compare = compare_hook;
    rc = kvault_skiplist_new(kind_of(mode), &hooks, &core, NULL);
    if (rc < 0)
        kvpy_map_failed(self->state, rc);
    return core;
}

/* ---- waiting ---- */

static bool is_inside(const kvpy_skiplist *self)
{
    unsigned long here = PyThread_get_thread_ident();

    for (kvpy_skip_call *call = self->state->skip_calls; call; call = call->next)
        if (call->list == self && call->thread == here)
            return true;
    return false;
}

bool kvpy_skip_wait_alone(kvpy_skiplist *self)
{
    const struct timespec pause = { 0, 100000 };

    if (is_inside(self)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "a key of another kind cannot be added while this thread compares or releases keys of the map");
        return false;
    }
    /* A list takes another kind of keys once or twice in its life, so nobody wakes us: we look again. */
    self->waiting++;
    while (self->inside > 0)
        KVPY_LET_GO((void)nanosleep(&pause, NULL));
    self->waiting -= self->waiting > 0; /* a fork may have cleared it */
    return true;
}

/* Put a core in place of the one that `call` is in, alone. */
static void replace_core(kvpy_skip_call *call, kvault_skiplist *take_core, kvpy_key_mode mode)
{
    kvpy_skiplist *self = call->list;

    assert(self->inside == 1 && !call->orphan);
    call->orphan = self->core;
    self->core = take_core;
    self->mode = mode;
    self->changes++;
    self->swaps++;
}

/* ---- an empty list ---- */

bool kvpy_skip_begin_with(kvpy_skiplist *self, PyObject *key)
{
    kvpy_key_mode mode = self->mode;
    kvault_skiplist *fresh, *old;

    if (!kvpy_key_mode_of(self->state, key, &mode))
        return false;
    if (kvpy_keys_are_foreign(mode) && !kvpy_key_has_order(self->state, key))
        return false;
    if (mode == self->mode || kvault_skiplist_count(self->core) > 0 || self->inside > 0)
        return true;
    fresh = kvpy_skip_new_core(self, mode);
    if (!fresh)
        return false;
    old = self->core;
    self->core = fresh;
    self->mode = mode;
    self->changes++;
    self->swaps++;
    kvault_skiplist_free(old);
    return true;
}

/* ---- to objects ---- */

struct appending {
    kvault_skiplist_pin pin; /* of the new core */
    kvpy_key_mode mode;      /* of the old one */
    bool has_above;          /* false: the new key is the highest */
    kvault_key above;        /* else the key before which it goes */
    PyObject *key, *value;   /* the new entry */
};

/* Whether two keys that a core handed out are of the same entry. */
static bool is_same(kvpy_key_mode mode, kvault_key a, kvault_key b)
{
    if (mode == KVPY_KEYS_STR || mode == KVPY_KEYS_BYTES)
        return a.bytes.data == b.bytes.data;
    if (mode == KVPY_KEYS_TUPLE)
        return a.object == b.object;
    return a.i64 == b.i64; /* or the bits of two doubles */
}

static bool append(struct appending *to, PyObject *take_key, PyObject *value)
{
    kvault_status rc = KVAULT_E_NOMEM;

    if (take_key) {
        Py_INCREF(value);
        rc = kvault_skiplist_insert(&to->pin, (kvault_key){ .object = take_key }, value, NULL, NULL);
        if (rc < 0) {
            Py_DECREF(value);
            Py_DECREF(take_key);
        }
    }
    return rc >= 0;
}

/* A kvault_skiplist_each() visitor: 1 is a failure. */
static int append_entry(void *context, kvault_key key, void *value)
{
    struct appending *to = context;

    if (to->has_above && is_same(to->mode, key, to->above) && !append(to, Py_NewRef(to->key), to->value))
        return 1;
    return append(to, kvpy_key_object_of_copy(to->mode, key), value) ? 0 : 1;
}

/* A core of objects with the entries of the one there is, and a new one. Runs no foreign code. NULL with an exception.
 */
static kvault_skiplist *as_objects(kvpy_skiplist *self, struct appending *to)
{
    kvault_skiplist *fresh = kvpy_skip_new_core(self, KVPY_KEYS_OBJECT);
    bool good = fresh && kvault_skiplist_enter(fresh, &to->pin, NULL) >= 0;

    if (good) {
        self->appends = true;
        good = kvault_skiplist_each(self->core, append_entry, to) == 0;
        if (good && !to->has_above)
            good = append(to, Py_NewRef(to->key), to->value);
        self->appends = false;
        kvault_skiplist_leave(&to->pin);
    }
    if (!good) {
        if (!PyErr_Occurred())
            PyErr_NoMemory();
        kvault_skiplist_free(fresh);
        fresh = NULL;
    }
    return fresh;
}

kvault_status kvpy_skip_add_foreign(kvpy_skip_call *call, PyObject *key, PyObject *value, kvault_key *ret_equal)
{
    kvpy_skiplist *self = call->list;
    struct appending to = { .mode = self->mode, .key = key, .value = value };
    uint64_t changes = self->changes;
    kvault_skiplist *fresh;
    bool equal = false;
    void *unused;
    kvault_status rc = kvpy_skip_ceiling_of_foreign(call, key, &to.above, &unused, &equal);

    if (rc < 0)
        return rc;
    if (equal) {
        *ret_equal = to.above;
        return KVAULT_END;
    }
    if (self->inside > 1 || self->changes != changes)
        return KVAULT_NOT_FOUND;
    to.has_above = rc == KVAULT_OK;
    fresh = as_objects(self, &to);
    if (!fresh)
        return KVAULT_E_NOMEM;
    replace_core(call, fresh, KVPY_KEYS_OBJECT);
    return KVAULT_OK;
}

/* ---- to nothing ---- */

/* Remove the keys that are there, while others are inside. False with an exception. */
static bool cut_each(kvpy_skiplist *self)
{
    PyObject *keys = kvpy_skiplist_keys((PyObject *)self, NULL);
    bool good = keys != NULL;

    for (Py_ssize_t i = 0; good && i < PyList_GET_SIZE(keys); i++) {
        PyObject *old = NULL;

        good = kvpy_skip_cut(self, PyList_GET_ITEM(keys, i), &old) >= 0;
        Py_XDECREF(old);
    }
    Py_XDECREF(keys);
    return good;
}

bool kvpy_skip_clear(kvpy_skiplist *self)
{
    kvault_skiplist *fresh = NULL;
    kvpy_skip_call call;

    if (self->inside > 0)
        return cut_each(self);
    if (!kvpy_skip_enter(self, &call))
        return false;
    fresh = kvpy_skip_new_core(self, self->mode);
    if (fresh)
        replace_core(&call, fresh, self->mode);
    kvpy_skip_leave(&call);
    return fresh != NULL;
}
