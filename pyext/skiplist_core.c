/* skiplist_core.c - a core list under Python keys: calls, searches, changes. */
#include "skiplist_type.h"

/* ---- calls ---- */

bool kvpy_skip_enter(kvpy_skiplist *self, kvpy_skip_call *call)
{
    kvpy_state *state = self->state;
    kvault_status rc = kvault_skiplist_enter(self->core, &call->pin, NULL);

    if (rc < 0) {
        kvpy_map_failed(state, rc);
        return false;
    }
    call->list = self;
    call->thread = PyThread_get_thread_ident();
    call->writes = false;
    call->orphan = NULL;
    call->prev = NULL;
    call->next = state->skip_calls;
    if (call->next)
        call->next->prev = call;
    state->skip_calls = call;
    self->inside++;
    return true;
}

static void end_call(kvpy_skip_call *call)
{
    kvpy_skiplist *self = call->list;

    *(call->prev ? &call->prev->next : &self->state->skip_calls) = call->next;
    if (call->next)
        call->next->prev = call->prev;
    self->writers -= call->writes;
    self->inside--;
}

void kvpy_skip_leave(kvpy_skip_call *call)
{
    kvpy_skiplist *self = call->list;
    kvault_skiplist *core = call->pin.list;

    if (self->inside > 1)
        kvault_skiplist_leave(&call->pin);
    else
        kvault_skiplist_leave_alone(&call->pin);
    /* What is released runs foreign code, whose calls leave what they remove to the last one inside. */
    while (self->inside == 1 && (kvault_skiplist_settle(core) || kvault_skiplist_settle(self->core)))
        ;
    end_call(call);
    kvault_skiplist_free(call->orphan);
}

void kvpy_skip_after_fork(kvpy_state *state)
{
    unsigned long here = PyThread_get_thread_ident();
    kvpy_skip_call *next;

    for (kvpy_skip_call *call = state->skip_calls; call; call = next) {
        next = call->next;
        if (call->thread == here)
            continue;
        end_call(call);
        call->list->waiting = 0; /* for calls such as this one, by threads that are gone as well */
        if (call->pin.record)
            kvault_skiplist_leave(&call->pin);
    }
}

/* ---- searches ---- */

kvpy_fit kvpy_skip_read(kvpy_skiplist *self, PyObject *key, kvault_key *ret)
{
    kvpy_fit fit = kvpy_key_read(self->state, self->mode, key, ret);

    if (fit == KVPY_KEY_FITS && (self->mode == KVPY_KEYS_STR || self->mode == KVPY_KEYS_BYTES))
        ret->bytes = kvpy_key_bytes(key);
    return fit;
}

kvault_status kvpy_skip_ceiling_of_foreign(kvpy_skip_call *call, PyObject *key, kvault_key *ret_key, void **ret_value,
                                           bool *ret_equal)
{
    kvpy_foreign foreign = { call->list->mode, key, kvpy_key_object_of_copy };

    return kvault_skiplist_ceiling_by(&call->pin, kvpy_foreign_order, &foreign, ret_key, ret_value, ret_equal, NULL);
}

/* The last entry below a key of the list, or of all. */
static kvault_status last_below(kvpy_skip_call *call, const kvault_key *above, kvault_key *ret_key, void **ret_value)
{
    kvault_skiplist_iter *iter = NULL;
    size_t count = 0;
    kvault_status rc = kvault_skiplist_iter_new(call->pin.list, NULL, above, true, &iter, NULL);

    if (rc >= 0)
        rc = kvault_skiplist_iter_fill(iter, &call->pin, 1, ret_key, ret_value, &count, NULL);
    kvault_skiplist_iter_free(iter);
    return rc >= 0 && count == 0 ? KVAULT_NOT_FOUND : rc;
}

kvault_status kvpy_skip_floor_of_foreign(kvpy_skip_call *call, PyObject *key, kvault_key *ret_key, void **ret_value)
{
    kvpy_foreign foreign = { call->list->mode, key, kvpy_key_object_of_copy };
    kvault_key above;
    kvault_status rc;
    int order = 1;

    /* Keys that others have added after the comparisons may lie between the bound and the one found. */
    while (order > 0) {
        bool equal = false;

        rc = kvpy_skip_ceiling_of_foreign(call, key, &above, ret_value, &equal);
        if (rc == KVAULT_OK && equal)
            *ret_key = above;
        if (rc < 0 || equal)
            return rc;
        rc = last_below(call, rc == KVAULT_OK ? &above : NULL, ret_key, ret_value);
        if (rc == KVAULT_OK)
            rc = kvpy_foreign_order(&foreign, *ret_key, &order, NULL);
        if (rc != KVAULT_OK)
            return rc;
    }
    return KVAULT_OK;
}

/* The key in the list that is equal to `key`. KVAULT_NOT_FOUND: there is none, if the key is foreign to the
 * mode; one that fits is only read. The mode stays, as we are inside. */
static kvault_status find_equal(kvpy_skip_call *call, PyObject *key, kvault_key *ret_key)
{
    bool equal = false;
    void *value;
    kvpy_fit fit = kvpy_skip_read(call->list, key, ret_key);
    kvault_status rc;

    if (fit != KVPY_KEY_FOREIGN)
        return fit == KVPY_KEY_FITS ? KVAULT_OK : KVAULT_E_INVALID;
    rc = kvpy_skip_ceiling_of_foreign(call, key, ret_key, &value, &equal);
    return rc == KVAULT_OK && !equal ? KVAULT_NOT_FOUND : rc;
}

/* -1 with an exception for a failure, else whether the status is `found`. A comparison that raised when the
 * change had been made already, and only a tower or a link was left to do, is passed over, but not Ctrl-C. */
static int outcome(kvpy_skiplist *self, kvault_status rc, kvault_status found)
{
    if (rc >= 0 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt))
            PyErr_SetInterrupt();
        PyErr_Clear();
    }
    if (rc < 0)
        kvpy_map_failed(self->state, rc);
    return rc < 0 ? -1 : rc == found;
}

int kvpy_skip_find(kvpy_skiplist *self, PyObject *key, PyObject **ret_value)
{
    kvpy_skip_call call;
    kvault_key read;
    kvault_status rc;
    void *value;
    int found;

    if (!kvpy_skip_enter(self, &call))
        return -1;
    rc = find_equal(&call, key, &read);
    if (rc == KVAULT_OK)
        rc = kvault_skiplist_get(&call.pin, read, &value, NULL);
    found = outcome(self, rc, KVAULT_OK);
    if (found > 0)
        *ret_value = Py_NewRef((PyObject *)value);
    kvpy_skip_leave(&call);
    return found;
}

/* ---- changes ---- */

/* Put a key that fits the mode. */
static kvault_status put_fitting(kvpy_skip_call *call, kvault_key key, PyObject *value, bool replace,
                                 PyObject **ret_value)
{
    kvpy_skiplist *self = call->list;
    PyObject *owner = kvpy_keys_are_foreign(self->mode) ? Py_NewRef((PyObject *)key.object) : NULL;
    void *there = NULL;
    kvault_status rc;

    Py_INCREF(value);
    self->changes++;
    rc = replace ? kvault_skiplist_set(&call->pin, key, value, &there, NULL)
                 : kvault_skiplist_insert(&call->pin, key, value, &there, NULL);
    self->changes++;
    if (rc == KVAULT_END)
        *ret_value = Py_NewRef((PyObject *)there);
    if (rc != KVAULT_OK)
        Py_XDECREF(owner); /* the list has not taken it */
    if (rc < 0 || (rc == KVAULT_END && !replace))
        Py_DECREF(value);
    return rc;
}

/* One try to put a key. KVAULT_NOT_FOUND: something else came between. */
static kvault_status try_put(kvpy_skip_call *call, PyObject *key, PyObject *value, bool replace, PyObject **ret_value)
{
    kvault_key read;
    kvpy_fit fit = kvpy_skip_read(call->list, key, &read);
    kvault_status rc = KVAULT_END;

    if (fit == KVPY_KEY_ERROR)
        return KVAULT_E_INVALID;
    if (fit == KVPY_KEY_FOREIGN)
        rc = kvpy_skip_add_foreign(call, key, value, &read);
    return rc == KVAULT_END ? put_fitting(call, read, value, replace, ret_value) : rc;
}

int kvpy_skip_put(kvpy_skiplist *self, PyObject *key, PyObject *value, bool replace, PyObject **ret_value)
{
    kvault_status rc = KVAULT_NOT_FOUND;
    int there = -1;

    while (rc == KVAULT_NOT_FOUND) {
        kvpy_skip_call call;

        if (kvault_skiplist_count(self->core) == 0 && !kvpy_skip_begin_with(self, key))
            return -1;
        if (!kvpy_skip_enter(self, &call))
            return -1;
        rc = try_put(&call, key, value, replace, ret_value);
        there = outcome(self, rc, KVAULT_END);
        kvpy_skip_leave(&call);
        if (rc == KVAULT_NOT_FOUND && !kvpy_skip_wait_alone(self))
            return -1;
    }
    return there;
}

int kvpy_skip_cut(kvpy_skiplist *self, PyObject *key, PyObject **ret_value)
{
    kvpy_skip_call call;
    kvault_key read;
    kvault_status rc;
    void *value;
    int found;

    if (!kvpy_skip_enter(self, &call))
        return -1;
    rc = find_equal(&call, key, &read);
    if (rc == KVAULT_OK) {
        self->changes++;
        rc = kvault_skiplist_remove(&call.pin, read, &value, NULL);
        self->changes++;
    }
    found = outcome(self, rc, KVAULT_OK);
    if (found > 0)
        *ret_value = Py_NewRef((PyObject *)value);
    kvpy_skip_leave(&call);
    return found;
}
