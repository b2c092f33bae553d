/* store_type.c - Store: the C half of KVault, with all that is hot in slots.
 *
 * A method turns its arguments into borrowed bytes, lets go of the GIL for one call of the core, and
 * turns the outcome into objects. Any thread may use a store at any time. */
#include "store_type.h"

#include "convert.h"
#include "handle_type.h"

#include <stdatomic.h>

static const char *const key_and_default[] = { "key", "default" };

#define SCRATCH_BYTES 16384                    /* a value up to here is read on the stack, then copied once */
#define READ_AT_ONCE_BYTES ((uint64_t)1 << 20) /* for a range up to here the size is not asked first */
#define GUESS_BYTES_MAX ((size_t)1 << 20)      /* of a value larger than that the size is asked first */

static kvpy_store *store_cast(PyObject *op)
{
    return (kvpy_store *)op;
}

/* ---- life ---- */

PyDoc_STRVAR(store_doc, "Store(handle, table, /)\n--\n\nThe C half of KVault: a table of the handle's file.");

static PyObject *store_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "", "", NULL };
    kvpy_state *state = kvpy_state_of_type(type);
    kvault_error err = KVAULT_ERROR_INIT;
    const char *table;
    kvault_kv *kv = NULL;
    PyObject *handle;
    kvpy_store *self;
    kvault_status rc;

    if (!state || !PyArg_ParseTupleAndKeywords(args, kwargs, "O!z:Store", names, state->HandleType, &handle, &table))
        return NULL;
    KVPY_LET_GO(rc = kvault_kv_open(((kvpy_handle *)handle)->vault, table, &kv, &err));
    if (!kvpy_succeeded(state, rc, &err)) {
        kvault_kv_free(kv);
        return NULL;
    }
    if (rc == KVAULT_NOT_FOUND)
        return kvpy_raise_no_table(state, table ? table : "kvault");
    self = (kvpy_store *)type->tp_alloc(type, 0);
    if (!self) {
        kvault_kv_free(kv);
        return NULL;
    }
    self->state = state;
    self->handle = Py_NewRef(handle);
    self->kv = kv;
    kvpy_cache_init(&self->cache, ((kvpy_handle *)handle)->vault, kv);
    return (PyObject *)self;
}

/* No clear: the handle must outlive the table. A cycle through a store is one through the
 * dictionary of the Python subclass, which can be cleared. */
static int store_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(store_cast(op)->handle);
    return 0;
}

static void store_dealloc(PyObject *op)
{
    kvpy_store *self = store_cast(op);
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    kvpy_cache_free(&self->cache);
    kvault_kv_free(self->kv);
    Py_DECREF(self->handle);
    type->tp_free(op);
    Py_DECREF(type);
}

/* ---- reading one key ---- */

/* The value in the file or pending, as a new reference; NULL with an exception for a failure, without one for an
 * absent key. */
static PyObject *store_fetch(kvpy_store *self, kvault_slice key)
{
    /* Relaxed: a guess, by whatever thread. */
    size_t room = atomic_load_explicit(&self->last_size, memory_order_relaxed);
    kvault_error err = KVAULT_ERROR_INIT;
    char scratch[SCRATCH_BYTES];

    room = room > GUESS_BYTES_MAX ? GUESS_BYTES_MAX : room;
    for (;;) {
        PyObject *bytes = NULL;
        char *dest = scratch;
        uint64_t size = 0;
        kvault_status rc;

        if (room > SCRATCH_BYTES) {
            bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)room);
            if (!bytes)
                return NULL;
            dest = PyBytes_AS_STRING(bytes);
        } else {
            room = SCRATCH_BYTES;
        }
        KVPY_LET_GO(rc = kvault_kv_get(self->kv, key, dest, room, &size, &err));
        if (!kvpy_succeeded(self->state, rc, &err) || rc == KVAULT_NOT_FOUND) {
            Py_XDECREF(bytes);
            return NULL;
        }
        if (size <= room) {
            atomic_store_explicit(&self->last_size, (size_t)size, memory_order_relaxed);
            if (!bytes)
                return PyBytes_FromStringAndSize(scratch, (Py_ssize_t)size);
            if (size != room)
                (void)_PyBytes_Resize(&bytes, (Py_ssize_t)size);
            return bytes;
        }
        Py_XDECREF(bytes);
        if (size > PY_SSIZE_T_MAX)
            return PyErr_NoMemory();
        room = (size_t)size;
    }
}

/* The same, by way of the cache. */
static PyObject *store_load(kvpy_store *self, kvault_slice key)
{
    uint64_t hash = kvault_kv_hash(self->kv, key);
    PyObject *value = NULL;
    kvault_stamp stamp;
    bool keep;

    switch (kvpy_cache_get(&self->cache, hash, key, &value)) {
    case KVPY_VALUE:
        return value;
    case KVPY_ABSENT:
        return NULL;
    case KVPY_PRESENT:
    case KVPY_NOT_CACHED:
        break;
    }
    keep = kvpy_cache_wants(&self->cache, hash, &stamp);
    value = store_fetch(self, key);
    if (keep && (value || !PyErr_Occurred()))
        kvpy_cache_put(&self->cache, hash, key, value ? KVPY_VALUE : KVPY_ABSENT, value, &stamp);
    return value;
}

static PyObject *store_subscript(PyObject *op, PyObject *key_object)
{
    kvpy_store *self = store_cast(op);
    kvpy_bytes key = KVPY_BYTES_INIT;
    PyObject *value;

    if (!kvpy_key(self->state, key_object, &key))
        return NULL;
    value = store_load(self, key.slice);
    kvpy_bytes_release(&key);
    if (!value && !PyErr_Occurred())
        return kvpy_raise_not_found(self->state, key_object);
    return value;
}

PyDoc_STRVAR(get_doc, "get($self, key, default=None)\n--\n\n"
                      "Return the value of key, or default if it is absent.");

static PyObject *store_get(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    kvpy_store *self = store_cast(op);
    kvpy_bytes key = KVPY_BYTES_INIT;
    PyObject *given[2], *value;

    if (!kvpy_arguments("get", key_and_default, 1, 2, args, nargs, names, given) ||
        !kvpy_key(self->state, given[0], &key))
        return NULL;
    value = store_load(self, key.slice);
    kvpy_bytes_release(&key);
    if (!value && !PyErr_Occurred())
        return Py_NewRef(given[1] ? given[1] : Py_None);
    return value;
}

/* 1: it is there; 0: it is not; -1: an exception. */
static int store_holds(kvpy_store *self, kvault_slice key)
{
    uint64_t hash = kvault_kv_hash(self->kv, key);
    kvault_error err = KVAULT_ERROR_INIT;
    PyObject *value = NULL;
    enum kvpy_found found = kvpy_cache_get(&self->cache, hash, key, &value);
    kvault_stamp stamp;
    kvault_status rc;
    bool keep;

    Py_XDECREF(value);
    if (found != KVPY_NOT_CACHED)
        return found != KVPY_ABSENT;
    keep = kvpy_cache_wants(&self->cache, hash, &stamp);
    KVPY_LET_GO(rc = kvault_kv_exists(self->kv, key, &err));
    if (!kvpy_succeeded(self->state, rc, &err))
        return -1;
    if (keep)
        kvpy_cache_put(&self->cache, hash, key, rc == KVAULT_OK ? KVPY_PRESENT : KVPY_ABSENT, NULL, &stamp);
    return rc == KVAULT_OK;
}

/* The same. */
static int store_contains(PyObject *op, PyObject *key_object)
{
    kvpy_store *self = store_cast(op);
    kvpy_bytes key = KVPY_BYTES_INIT;
    int there;

    if (!kvpy_key(self->state, key_object, &key))
        return -1;
    there = store_holds(self, key.slice);
    kvpy_bytes_release(&key);
    return there;
}

PyDoc_STRVAR(exists_doc, "exists($self, key, /)\n--\n\nWhether key is there; the value is not read.");

static PyObject *store_exists(PyObject *op, PyObject *key)
{
    int there = store_contains(op, key);

    return there < 0 ? NULL : PyBool_FromLong(there);
}

PyDoc_STRVAR(size_doc, "size($self, key, /)\n--\n\n"
                       "Return the size of the value in bytes; it is not read. NotFound if key is absent.");

static PyObject *store_size(PyObject *op, PyObject *key_object)
{
    kvpy_store *self = store_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    kvpy_bytes key = KVPY_BYTES_INIT;
    uint64_t size = 0;
    kvault_status rc;

    if (!kvpy_key(self->state, key_object, &key))
        return NULL;
    KVPY_LET_GO(rc = kvault_kv_size(self->kv, key.slice, &size, &err));
    kvpy_bytes_release(&key);
    if (!kvpy_succeeded(self->state, rc, &err))
        return NULL;
    return rc == KVAULT_OK ? PyLong_FromUnsignedLongLong(size) : kvpy_raise_not_found(self->state, key_object);
}

/* One attempt with room for `room` bytes. NULL with an exception, or without one for an absent key. */
static PyObject *read_part(kvpy_store *self, kvault_slice key, uint64_t offset, uint64_t room)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)room);
    kvault_error err = KVAULT_ERROR_INIT;
    size_t size = 0;
    kvault_status rc;

    if (!bytes)
        return NULL;
    KVPY_LET_GO(rc = kvault_kv_read(self->kv, key, offset, PyBytes_AS_STRING(bytes), (size_t)room, &size, &err));
    if (!kvpy_succeeded(self->state, rc, &err) || rc == KVAULT_NOT_FOUND)
        Py_CLEAR(bytes);
    else if (size != room)
        (void)_PyBytes_Resize(&bytes, (Py_ssize_t)size);
    return bytes;
}

/* The bytes from `offset` on, `length` of them or fewer at the end; as above. The size is asked first, so that no
 * more is allocated than there is; a value that has grown by the time it is read is read again. */
static PyObject *read_to_end(kvpy_store *self, kvault_slice key, uint64_t offset, uint64_t length)
{
    uint64_t whole = 0, room = 0;
    PyObject *bytes = NULL;

    for (;;) {
        kvault_error err = KVAULT_ERROR_INIT;
        kvault_status rc;

        KVPY_LET_GO(rc = kvault_kv_size(self->kv, key, &whole, &err));
        if (!kvpy_succeeded(self->state, rc, &err) || rc == KVAULT_NOT_FOUND) {
            Py_CLEAR(bytes);
            return NULL;
        }
        whole = offset < whole ? whole - offset : 0;
        whole = whole < length ? whole : length;
        if (bytes && (room == length || whole <= room))
            return bytes;
        Py_CLEAR(bytes);
        room = whole;
        bytes = read_part(self, key, offset, room);
        if (!bytes || (uint64_t)PyBytes_GET_SIZE(bytes) < room || room == length)
            return bytes;
    }
}

/* Whatever has __index__. May leave an exception of that. */
static bool is_minus_one(PyObject *object)
{
    PyObject *number = PyIndex_Check(object) ? PyNumber_Index(object) : NULL;
    int overflow = 0;
    bool is = number && PyLong_AsLongAndOverflow(number, &overflow) == -1 && !overflow;

    Py_XDECREF(number);
    return is;
}

PyDoc_STRVAR(read_doc, "read($self, key, offset=0, length=-1)\n--\n\n"
                       "Return up to length bytes of a value from offset; -1: to its end.\n\n"
                       "Only the pieces concerned are read. NotFound if key is absent, InvalidArgument for a\n"
                       "negative number other than the -1.");

static PyObject *store_read(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    static const char *const parameters[] = { "key", "offset", "length" };
    kvpy_store *self = store_cast(op);
    kvpy_bytes key = KVPY_BYTES_INIT;
    uint64_t offset = 0, length = PY_SSIZE_T_MAX;
    PyObject *given[3], *bytes;
    bool to_end;

    if (!kvpy_arguments("read", parameters, 1, 3, args, nargs, names, given))
        return NULL;
    to_end = !given[2] || is_minus_one(given[2]);
    if (PyErr_Occurred())
        return NULL;
    if ((given[1] && !kvpy_unsigned(self->state, given[1], "offset", &offset)) ||
        (!to_end && !kvpy_unsigned(self->state, given[2], "length", &length)) || !kvpy_key(self->state, given[0], &key))
        return NULL;
    bytes = length <= READ_AT_ONCE_BYTES ? read_part(self, key.slice, offset, length)
                                         : read_to_end(self, key.slice, offset, length);
    kvpy_bytes_release(&key);
    if (!bytes && !PyErr_Occurred())
        return kvpy_raise_not_found(self->state, given[0]);
    return bytes;
}

/* ---- writing one key ---- */

static bool store_write(kvpy_store *self, PyObject *key_object, PyObject *value_object)
{
    kvpy_bytes key = KVPY_BYTES_INIT, value = KVPY_BYTES_INIT;
    kvault_error err = KVAULT_ERROR_INIT;
    bool written = false;
    kvault_status rc;

    if (kvpy_key(self->state, key_object, &key) && kvpy_steady_value(self->state, value_object, &value)) {
        KVPY_LET_GO(rc = kvault_kv_put(self->kv, key.slice, value.slice, &err));
        written = kvpy_succeeded(self->state, rc, &err);
    }
    kvpy_bytes_release(&value);
    kvpy_bytes_release(&key);
    return written;
}

/* 1: it was there; 0: it was not; -1: an exception. */
static int store_remove(kvpy_store *self, PyObject *key_object)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvpy_bytes key = KVPY_BYTES_INIT;
    kvault_status rc;

    if (!kvpy_key(self->state, key_object, &key))
        return -1;
    KVPY_LET_GO(rc = kvault_kv_delete(self->kv, key.slice, &err));
    kvpy_bytes_release(&key);
    return kvpy_succeeded(self->state, rc, &err) ? rc == KVAULT_OK : -1;
}

static int store_ass_subscript(PyObject *op, PyObject *key, PyObject *value)
{
    kvpy_store *self = store_cast(op);
    int removed;

    if (value)
        return store_write(self, key, value) ? 0 : -1;
    removed = store_remove(self, key);
    if (removed == 0)
        kvpy_raise_not_found(self->state, key);
    return removed == 1 ? 0 : -1;
}

PyDoc_STRVAR(put_doc, "put($self, key, value)\n--\n\nStore value under key; the same as self[key] = value.");

static PyObject *store_put(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    static const char *const key_and_value[] = { "key", "value" };
    PyObject *given[2];

    if (!kvpy_arguments("put", key_and_value, 2, 2, args, nargs, names, given))
        return NULL;
    return store_write(store_cast(op), given[0], given[1]) ? Py_NewRef(Py_None) : NULL;
}

PyDoc_STRVAR(delete_doc, "delete($self, key, /)\n--\n\nDelete key; return whether it was there.");

static PyObject *store_delete(PyObject *op, PyObject *key)
{
    int removed = store_remove(store_cast(op), key);

    return removed < 0 ? NULL : PyBool_FromLong(removed);
}

PyDoc_STRVAR(pop_doc, "pop($self, key, default=<unrepresentable>)\n--\n\n"
                      "Delete key and return its value, in one transaction; default, or NotFound, if it is absent.");

static PyObject *store_pop(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    kvpy_store *self = store_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_buf value = KVAULT_BUF_INIT;
    kvpy_bytes key = KVPY_BYTES_INIT;
    PyObject *given[2], *result = NULL;
    kvault_status rc;

    if (!kvpy_arguments("pop", key_and_default, 1, 2, args, nargs, names, given) ||
        !kvpy_key(self->state, given[0], &key))
        return NULL;
    KVPY_LET_GO(rc = kvault_kv_pop(self->kv, key.slice, &value, &err));
    kvpy_bytes_release(&key);
    if (kvpy_succeeded(self->state, rc, &err)) {
        if (rc == KVAULT_OK)
            result = kvpy_bytes_of_buf(&value);
        else
            result = given[1] ? Py_NewRef(given[1]) : kvpy_raise_not_found(self->state, given[0]);
    }
    kvault_buf_free(&value);
    return result;
}

PyDoc_STRVAR(popitem_doc, "popitem($self, /)\n--\n\n"
                          "Delete the last key and return (key, value), in one transaction; KeyError when empty.");

static PyObject *store_popitem(PyObject *op, PyObject *unused)
{
    kvpy_store *self = store_cast(op);
    kvault_buf key = KVAULT_BUF_INIT, value = KVAULT_BUF_INIT;
    kvault_error err = KVAULT_ERROR_INIT;
    PyObject *result = NULL;
    kvault_status rc;

    (void)unused;
    KVPY_LET_GO(rc = kvault_kv_pop_last(self->kv, &key, &value, &err));
    if (kvpy_succeeded(self->state, rc, &err)) {
        if (rc == KVAULT_OK)
            result = Py_BuildValue("NN", kvpy_bytes_of_buf(&key), kvpy_bytes_of_buf(&value));
        else
            PyErr_SetString(PyExc_KeyError, "popitem(): the vault is empty");
    }
    kvault_buf_free(&key);
    kvault_buf_free(&value);
    return result;
}

PyDoc_STRVAR(setdefault_doc, "setdefault($self, key, default)\n--\n\n"
                             "Return the value of key; store default first if it is absent. One transaction.");

static PyObject *store_setdefault(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    kvpy_store *self = store_cast(op);
    kvpy_bytes key = KVPY_BYTES_INIT, value = KVPY_BYTES_INIT;
    kvault_buf present = KVAULT_BUF_INIT;
    kvault_error err = KVAULT_ERROR_INIT;
    PyObject *given[2], *result = NULL;
    kvault_status rc;

    if (!kvpy_arguments("setdefault", key_and_default, 2, 2, args, nargs, names, given))
        return NULL;
    if (kvpy_key(self->state, given[0], &key) && kvpy_steady_value(self->state, given[1], &value)) {
        KVPY_LET_GO(rc = kvault_kv_add(self->kv, key.slice, value.slice, &present, &err));
        if (kvpy_succeeded(self->state, rc, &err))
            result = rc == KVAULT_END ? kvpy_bytes_of_buf(&present)
                                      : PyBytes_FromStringAndSize(value.slice.data, (Py_ssize_t)value.slice.size);
    }
    kvpy_bytes_release(&value);
    kvpy_bytes_release(&key);
    kvault_buf_free(&present);
    return result;
}

/* ---- the whole table ---- */

static Py_ssize_t store_length(PyObject *op)
{
    kvpy_store *self = store_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    uint64_t count = 0;
    kvault_status rc;

    KVPY_LET_GO(rc = kvault_kv_count(self->kv, &count, &err));
    return kvpy_succeeded(self->state, rc, &err) ? (Py_ssize_t)count : -1;
}

PyDoc_STRVAR(clear_doc, "clear($self, /)\n--\n\nDelete every key, in one transaction.");

static PyObject *store_clear(PyObject *op, PyObject *unused)
{
    kvpy_store *self = store_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_status rc;

    (void)unused;
    KVPY_LET_GO(rc = kvault_kv_clear(self->kv, &err));
    return kvpy_succeeded(self->state, rc, &err) ? Py_NewRef(Py_None) : NULL;
}

/* ---- batches: everything is collected before the one call of the core ---- */

/* The bytes of many objects, with the objects kept alive. */
typedef struct batch {
    PyObject *objects; /* a tuple of our own: the caller's list may change meanwhile */
    kvpy_bytes *bytes;
    Py_ssize_t count;
} batch;

static void batch_release(batch *self)
{
    for (Py_ssize_t i = 0; i < self->count; i++)
        kvpy_bytes_release(&self->bytes[i]);
    PyMem_Free(self->bytes);
    Py_CLEAR(self->objects);
}

/* Room for `per` kvpy_bytes for each object of an iterable; false with an exception. batch_release() in any case. */
static bool batch_begin(batch *self, PyObject *iterable, Py_ssize_t per)
{
    self->objects = PySequence_Tuple(iterable);
    if (!self->objects)
        return false;
    self->bytes = PyMem_Calloc((size_t)(PyTuple_GET_SIZE(self->objects) * per) + 1, sizeof *self->bytes);
    if (!self->bytes) {
        PyErr_NoMemory();
        return false;
    }
    return true;
}

static bool batch_add_keys(kvpy_state *state, batch *self, kvault_slice **ret_keys)
{
    Py_ssize_t count = PyTuple_GET_SIZE(self->objects);

    *ret_keys = PyMem_New(kvault_slice, (size_t)count + 1);
    if (!*ret_keys) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!kvpy_key(state, PyTuple_GET_ITEM(self->objects, i), &self->bytes[i]))
            return false;
        self->count = i + 1;
        (*ret_keys)[i] = self->bytes[i].slice;
    }
    return true;
}

static bool batch_add_pair(kvpy_state *state, batch *self, PyObject *object, kvault_kv_pair *ret_pair)
{
    PyObject *pair = PySequence_Tuple(object);
    kvpy_bytes *key = &self->bytes[self->count], *value = key + 1;
    bool added = false;

    if (!pair)
        return false;
    if (PyTuple_GET_SIZE(pair) != 2)
        PyErr_Format(state->InvalidArgument, "pair %zd has %zd parts, want key and value", self->count / 2,
                     PyTuple_GET_SIZE(pair));
    else
        added = kvpy_key(state, PyTuple_GET_ITEM(pair, 0), key) && kvpy_steady_value(state, PyTuple_GET_ITEM(pair, 1), value);
    self->count += 2; /* what was not filled is released without effect */
    *ret_pair = (kvault_kv_pair){ key->slice, value->slice };
    Py_DECREF(pair);
    return added;
}

PyDoc_STRVAR(put_many_doc, "put_many($self, pairs, /)\n--\n\n"
                           "Store every (key, value), in one transaction: all or none.");

static PyObject *store_put_many(PyObject *op, PyObject *iterable)
{
    kvpy_store *self = store_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_kv_pair *pairs = NULL;
    PyObject *result = NULL;
    batch all = { 0 };
    size_t count;
    kvault_status rc;

    if (!batch_begin(&all, iterable, 2))
        goto done;
    count = (size_t)PyTuple_GET_SIZE(all.objects);
    pairs = PyMem_New(kvault_kv_pair, count + 1);
    if (!pairs) {
        PyErr_NoMemory();
        goto done;
    }
    for (size_t i = 0; i < count; i++) {
        if (!batch_add_pair(self->state, &all, PyTuple_GET_ITEM(all.objects, (Py_ssize_t)i), &pairs[i]))
            goto done;
    }
    KVPY_LET_GO(rc = kvault_kv_put_many(self->kv, pairs, count, &err));
    if (kvpy_succeeded(self->state, rc, &err))
        result = Py_NewRef(Py_None);
done:
    PyMem_Free(pairs);
    batch_release(&all);
    return result;
}

/* The values one behind the other as a list, `absent` where a size is SIZE_MAX. */
static PyObject *list_of_values(const kvault_buf *values, const size_t *sizes, size_t count, PyObject *absent)
{
    PyObject *list = PyList_New((Py_ssize_t)count);
    const char *at = (const char *)values->data;

    for (size_t i = 0; list && i < count; i++) {
        PyObject *value;

        if (sizes[i] == SIZE_MAX) {
            value = Py_NewRef(absent);
        } else {
            value = PyBytes_FromStringAndSize(at, (Py_ssize_t)sizes[i]);
            at += sizes[i];
        }
        if (value)
            PyList_SET_ITEM(list, (Py_ssize_t)i, value);
        else
            Py_CLEAR(list);
    }
    return list;
}

PyDoc_STRVAR(get_many_doc, "get_many($self, keys, default=None)\n--\n\n"
                           "Return the values of keys as a list, all of one instant, default for those absent.");

static PyObject *store_get_many(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "keys", "default", NULL };
    kvpy_store *self = store_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    PyObject *iterable, *absent = Py_None, *result = NULL;
    kvault_buf values = KVAULT_BUF_INIT;
    kvault_slice *keys = NULL;
    size_t *sizes = NULL, count;
    batch all = { 0 };
    kvault_status rc;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:get_many", names, &iterable, &absent))
        return NULL;
    if (!batch_begin(&all, iterable, 1) || !batch_add_keys(self->state, &all, &keys))
        goto done;
    count = (size_t)all.count;
    sizes = PyMem_New(size_t, count + 1);
    if (!sizes) {
        PyErr_NoMemory();
        goto done;
    }
    KVPY_LET_GO(rc = kvault_kv_get_many(self->kv, keys, count, &values, sizes, &err));
    if (kvpy_succeeded(self->state, rc, &err))
        result = list_of_values(&values, sizes, count, absent);
done:
    kvault_buf_free(&values);
    PyMem_Free(sizes);
    PyMem_Free(keys);
    batch_release(&all);
    return result;
}

PyDoc_STRVAR(delete_many_doc, "delete_many($self, keys, /)\n--\n\n"
                              "Delete keys, in one transaction; return how many were there.");

static PyObject *store_delete_many(PyObject *op, PyObject *iterable)
{
    kvpy_store *self = store_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_slice *keys = NULL;
    PyObject *result = NULL;
    size_t deleted = 0;
    batch all = { 0 };
    kvault_status rc;

    if (batch_begin(&all, iterable, 1) && batch_add_keys(self->state, &all, &keys)) {
        KVPY_LET_GO(rc = kvault_kv_delete_many(self->kv, keys, (size_t)all.count, &deleted, &err));
        if (kvpy_succeeded(self->state, rc, &err))
            result = PyLong_FromSize_t(deleted);
    }
    PyMem_Free(keys);
    batch_release(&all);
    return result;
}

/* ---- iterators and streams ---- */

static PyObject *open_scan(kvpy_store *self, const kvault_kv_scan_options *options, char kind)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_kv_scan *scan = NULL;
    kvault_status rc;

    KVPY_LET_GO(rc = kvault_kv_scan_open(self->kv, options, &scan, &err));
    if (kvpy_succeeded(self->state, rc, &err))
        return kvpy_scan_new(self, scan, kind);
    kvault_kv_scan_free(scan);
    return NULL;
}

static PyObject *store_iter(PyObject *op)
{
    kvault_kv_scan_options options = { .limit = UINT64_MAX };

    return open_scan(store_cast(op), &options, 'k');
}

PyDoc_STRVAR(scan_doc, "scan($self, kind, prefix, start, stop, reverse, limit, /)\n--\n\n"
                       "Iterate over a range; kind is \"k\" for keys, \"v\" for values or \"i\" for items.");

static PyObject *store_scan(PyObject *op, PyObject *args)
{
    kvpy_store *self = store_cast(op);
    kvpy_bytes prefix = KVPY_BYTES_INIT, start = KVPY_BYTES_INIT, stop = KVPY_BYTES_INIT;
    kvault_kv_scan_options options = { .limit = UINT64_MAX };
    PyObject *prefix_object, *start_object, *stop_object, *limit, *result = NULL;
    int kind, reverse;

    if (!PyArg_ParseTuple(args, "COOOpO:scan", &kind, &prefix_object, &start_object, &stop_object, &reverse, &limit))
        return NULL;
    if ((prefix_object == Py_None || kvpy_key(self->state, prefix_object, &prefix)) &&
        (start_object == Py_None || kvpy_key(self->state, start_object, &start)) &&
        (stop_object == Py_None || kvpy_key(self->state, stop_object, &stop)) &&
        (limit == Py_None || kvpy_unsigned(self->state, limit, "limit", &options.limit))) {
        options.prefix = prefix.slice;
        options.start = start_object == Py_None ? NULL : &start.slice;
        options.stop = stop_object == Py_None ? NULL : &stop.slice;
        options.reverse = reverse;
        options.with_values = kind != 'k';
        result = open_scan(self, &options, (char)kind);
    }
    kvpy_bytes_release(&stop);
    kvpy_bytes_release(&start);
    kvpy_bytes_release(&prefix);
    return result;
}

PyDoc_STRVAR(open_blob_doc, "open_blob($self, key, mode, /)\n--\n\n"
                            "Open a raw stream; mode is \"r\", \"w\" or \"a\".");

static PyObject *store_open_blob(PyObject *op, PyObject *args)
{
    kvpy_store *self = store_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    kvpy_bytes key = KVPY_BYTES_INIT;
    PyObject *key_object, *result = NULL;
    kvault_blob *blob = NULL;
    kvault_status rc;
    int mode;

    if (!PyArg_ParseTuple(args, "OC:open_blob", &key_object, &mode) || !kvpy_key(self->state, key_object, &key))
        return NULL;
    KVPY_LET_GO(rc = mode == 'r'   ? kvault_blob_open_read(self->kv, key.slice, &blob, &err)
                     : mode == 'w' ? kvault_blob_open_write(self->kv, key.slice, &blob, &err)
                                   : kvault_blob_open_append(self->kv, key.slice, &blob, &err));
    kvpy_bytes_release(&key);
    if (!kvpy_succeeded(self->state, rc, &err))
        KVPY_LET_GO(kvault_blob_free(blob));
    else
        result = rc == KVAULT_OK ? kvpy_blob_new(self, blob) : kvpy_raise_not_found(self->state, key_object);
    return result;
}

/* ---- tables ---- */

static PyObject *get_table(PyObject *op, void *closure)
{
    (void)closure;
    return PyUnicode_FromString(kvault_kv_table(store_cast(op)->kv));
}

static PyGetSetDef store_getset[] = {
    { "table", get_table, NULL, PyDoc_STR("The table's name, as the file spells it."), NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyMethodDef store_methods[] = {
    { "get", (PyCFunction)(void (*)(void))store_get, METH_FASTCALL | METH_KEYWORDS, get_doc },
    { "put", (PyCFunction)(void (*)(void))store_put, METH_FASTCALL | METH_KEYWORDS, put_doc },
    { "delete", store_delete, METH_O, delete_doc },
    { "exists", store_exists, METH_O, exists_doc },
    { "size", store_size, METH_O, size_doc },
    { "read", (PyCFunction)(void (*)(void))store_read, METH_FASTCALL | METH_KEYWORDS, read_doc },
    { "pop", (PyCFunction)(void (*)(void))store_pop, METH_FASTCALL | METH_KEYWORDS, pop_doc },
    { "popitem", store_popitem, METH_NOARGS, popitem_doc },
    { "setdefault", (PyCFunction)(void (*)(void))store_setdefault, METH_FASTCALL | METH_KEYWORDS, setdefault_doc },
    { "clear", store_clear, METH_NOARGS, clear_doc },
    { "put_many", store_put_many, METH_O, put_many_doc },
    { "get_many", (PyCFunction)(void (*)(void))store_get_many, METH_VARARGS | METH_KEYWORDS, get_many_doc },
    { "delete_many", store_delete_many, METH_O, delete_many_doc },
    { "scan", store_scan, METH_VARARGS, scan_doc },
    { "open_blob", store_open_blob, METH_VARARGS, open_blob_doc },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot store_slots[] = {
    { Py_tp_doc, (void *)store_doc },     { Py_tp_new, store_new },
    { Py_tp_traverse, store_traverse },   { Py_tp_dealloc, store_dealloc },
    { Py_tp_iter, store_iter },           { Py_tp_methods, store_methods },
    { Py_tp_getset, store_getset },       { Py_mp_length, store_length },
    { Py_mp_subscript, store_subscript }, { Py_mp_ass_subscript, store_ass_subscript },
    { Py_sq_contains, store_contains },   { 0, NULL },
};

static PyType_Spec store_spec = {
    .name = "kohakuvault._kvault.Store",
    .basicsize = sizeof(kvpy_store),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_MAPPING,
    .slots = store_slots,
};

int kvpy_store_exec(PyObject *module, kvpy_state *state)
{
    state->StoreType = kvpy_add_type(module, &store_spec);
    return state->StoreType ? 0 : -1;
}
