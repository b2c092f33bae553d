/* handle_type.c - Handle: one handle on a file, and all that concerns the whole file.
 *
 * The Python classes Vault and KVault each hold one. Any thread may use it at any time; close() in
 * one thread and a call in another is safe, since closing only marks the kvault. */
#include "handle_type.h"

#include "convert.h"

#include <string.h>

static kvpy_handle *handle_cast(PyObject *op)
{
    return (kvpy_handle *)op;
}

/* ---- what the core asks and tells ---- */

/* Called without the GIL, perhaps with the write lock held. Only the main thread runs signal handlers,
 * so no other needs the GIL here. What a handler raised stays set; kvpy_succeeded() looks for it. */
static bool is_interrupted(void *ctx)
{
    kvpy_state *state = ctx;
    PyGILState_STATE gil;
    bool raised;

    if (PyThread_get_thread_ident() != state->main_thread)
        return false;
    gil = PyGILState_Ensure();
    raised = PyErr_Occurred() || PyErr_CheckSignals() < 0;
    PyGILState_Release(gil);
    return raised;
}

/* Called without the GIL and with no lock held. */
static void warn(void *ctx, const char *message)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *type, *value, *traceback, *logging, *logger = NULL, *done = NULL;

    (void)ctx;
    PyErr_Fetch(&type, &value, &traceback);
    logging = PyImport_ImportModule("logging");
    if (logging)
        logger = PyObject_CallMethod(logging, "getLogger", "s", "kohakuvault");
    if (logger)
        done = PyObject_CallMethod(logger, "warning", "ss", "%s", message);
    if (!done)
        PyErr_WriteUnraisable(logger);
    Py_XDECREF(done);
    Py_XDECREF(logger);
    Py_XDECREF(logging);
    PyErr_Restore(type, value, traceback);
    PyGILState_Release(gil);
}

/* ---- life ---- */

/* Take ownership of the vault, also on failure. */
static PyObject *handle_wrap(kvpy_state *state, kvault *take_vault, PyObject *parent)
{
    PyTypeObject *type = (PyTypeObject *)state->HandleType;
    kvpy_handle *self = (kvpy_handle *)type->tp_alloc(type, 0);

    if (!self) {
        KVPY_LET_GO(kvault_free(take_vault));
        return NULL;
    }
    self->state = state;
    self->vault = take_vault;
    self->parent = Py_XNewRef(parent);
    return (PyObject *)self;
}

/* An option that may be None, which is "not given". */
static bool read_number(kvpy_state *state, PyObject *value, const char *what, uint32_t bit, uint64_t *number,
                        uint32_t *given)
{
    if (value == Py_None)
        return true;
    *given |= bit;
    return kvpy_unsigned(state, value, what, number);
}

static bool read_durability(kvpy_state *state, PyObject *value, kvault_options *options)
{
    if (value == Py_None)
        return true;
    options->given |= KVAULT_GIVEN_DURABILITY;
    if (PyUnicode_Check(value) && PyUnicode_CompareWithASCIIString(value, "normal") == 0)
        options->durability = KVAULT_DURABILITY_NORMAL;
    else if (PyUnicode_Check(value) && PyUnicode_CompareWithASCIIString(value, "full") == 0)
        options->durability = KVAULT_DURABILITY_FULL;
    else {
        PyErr_Format(state->InvalidArgument, "durability is %R, want \"normal\" or \"full\"", value);
        return false;
    }
    return true;
}

PyDoc_STRVAR(handle_doc, "Handle(path, page_size, mmap_size, cache_bytes, enable_wal, durability, read_only, "
                         "busy_timeout_ms, /)\n--\n\n"
                         "One handle on a file; None leaves an option at its default.");

static PyObject *handle_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "", "", "", "", "", "", "", "", NULL };
    kvpy_state *state = kvpy_state_of_type(type);
    PyObject *path = NULL, *page_size, *mmap_size, *cache_bytes, *enable_wal, *durability, *result = NULL;
    uint64_t page_bytes = 0;
    long long timeout_ms;
    int read_only;
    kvault_options options;
    kvault_error err = KVAULT_ERROR_INIT;
    kvault *vault = NULL;
    kvault_status rc;

    kvault_options_init(&options);
    if (!state ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "O&OOOOOpL:Handle", names, PyUnicode_FSConverter, &path, &page_size,
                                     &mmap_size, &cache_bytes, &enable_wal, &durability, &read_only, &timeout_ms))
        goto done;
    page_bytes = options.page_size;
    if (!read_number(state, page_size, "page_size", KVAULT_GIVEN_PAGE_SIZE, &page_bytes, &options.given) ||
        !read_number(state, mmap_size, "mmap_size", KVAULT_GIVEN_MMAP_SIZE, &options.mmap_size, &options.given) ||
        !read_number(state, cache_bytes, "the cache in bytes", KVAULT_GIVEN_CACHE_BYTES, &options.cache_bytes,
                     &options.given) ||
        !read_durability(state, durability, &options))
        goto done;
    options.page_size = page_bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)page_bytes; /* refused by the core, not cut */
    if (enable_wal != Py_None) {
        options.given |= KVAULT_GIVEN_WAL;
        options.enable_wal = PyObject_IsTrue(enable_wal) == 1;
    }
    options.read_only = read_only;
    options.busy_timeout_ms = timeout_ms;
    options.interrupted = is_interrupted;
    options.interrupted_ctx = state;
    options.warn = warn;
    KVPY_LET_GO(rc = kvault_open(PyBytes_AS_STRING(path), &options, &vault, &err));
    if (kvpy_succeeded(state, rc, &err))
        result = handle_wrap(state, vault, NULL);
    else if (rc >= 0)
        KVPY_LET_GO(kvault_free(vault));
done:
    Py_XDECREF(path);
    return result;
}

/* No clear: a parent must outlive its children, and a handle is in a cycle only by something that can be cleared. */
static int handle_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(handle_cast(op)->parent);
    return 0;
}

static void handle_finalize(PyObject *op)
{
    kvpy_handle *self = handle_cast(op);
    PyObject *type, *value, *traceback;

    if (self->parent || !kvault_has_pending(self->vault))
        return;
    PyErr_Fetch(&type, &value, &traceback);
    if (PyErr_ResourceWarning(op, 1,
                              "the vault \"%s\" was not closed: its pending writes are flushed in the background",
                              kvault_path(self->vault)) < 0)
        PyErr_WriteUnraisable(op);
    PyErr_Restore(type, value, traceback);
}

static void handle_dealloc(PyObject *op)
{
    kvpy_handle *self = handle_cast(op);
    PyTypeObject *type = Py_TYPE(op);

    if (PyObject_CallFinalizerFromDealloc(op) < 0)
        return;
    PyObject_GC_UnTrack(op);
    KVPY_LET_GO(kvault_free(self->vault));
    Py_XDECREF(self->parent);
    type->tp_free(op);
    Py_DECREF(type);
}

PyDoc_STRVAR(dup_doc, "dup($self, /)\n--\n\nMake another handle on the same file, which ends with this one.");

static PyObject *handle_dup(PyObject *op, PyObject *unused)
{
    kvpy_handle *self = handle_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    kvault *vault = NULL;
    kvault_status rc;

    (void)unused;
    KVPY_LET_GO(rc = kvault_dup(self->vault, &vault, &err));
    return kvpy_succeeded(self->state, rc, &err) ? handle_wrap(self->state, vault, op) : NULL;
}

PyDoc_STRVAR(snapshot_doc, "snapshot($self, /)\n--\n\nMake a read-only handle on the file as it is now.");

static PyObject *handle_snapshot(PyObject *op, PyObject *unused)
{
    kvpy_handle *self = handle_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    kvault *vault = NULL;
    kvault_status rc;

    (void)unused;
    KVPY_LET_GO(rc = kvault_snapshot(self->vault, &vault, &err));
    return kvpy_succeeded(self->state, rc, &err) ? handle_wrap(self->state, vault, op) : NULL;
}

/* ---- calls that take nothing and give nothing ---- */

static PyObject *call_plain(PyObject *op, kvault_status (*call)(kvault *, kvault_error *))
{
    kvpy_handle *self = handle_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_status rc;

    KVPY_LET_GO(rc = call(self->vault, &err));
    return kvpy_succeeded(self->state, rc, &err) ? Py_NewRef(Py_None) : NULL;
}

#define KVPY_PLAIN(name, words)                                                                                        \
    PyDoc_STRVAR(name##_doc, #name "($self, /)\n--\n\n" words);                                                        \
    static PyObject *handle_##name(PyObject *op, PyObject *unused)                                                     \
    {                                                                                                                  \
        (void)unused;                                                                                                  \
        return call_plain(op, kvault_##name);                                                                          \
    }

KVPY_PLAIN(close, "Flush what is pending and end the handle.")
KVPY_PLAIN(begin, "Begin a transaction of this thread, or a savepoint in it.")
KVPY_PLAIN(commit, "Commit the innermost level.")

PyDoc_STRVAR(rollback_doc, "rollback($self, /)\n--\n\nUndo the innermost level.");

static PyObject *handle_rollback(PyObject *op, PyObject *unused)
{
    PyObject *result = call_plain(op, kvault_rollback);

    (void)unused;
    handle_cast(op)->state->rollbacks++;
    return result;
}

KVPY_PLAIN(cache_lock, "Let nothing be flushed until cache_unlock().")
KVPY_PLAIN(cache_unlock, "Flush once, and let others write again.")
KVPY_PLAIN(checkpoint, "Move what was committed from the WAL into the file.")
KVPY_PLAIN(optimize, "Let SQLite refresh its statistics.")

/* ---- write cache ---- */

PyDoc_STRVAR(cache_set_doc, "cache_set($self, enabled, auto_flush, capacity, threshold, interval_ms, /)\n--\n\n"
                            "Set the write cache; return the five settings it had.");

static PyObject *handle_cache_set(PyObject *op, PyObject *args)
{
    kvpy_handle *self = handle_cast(op);
    kvault_cache_setting setting, previous = { 0 };
    kvault_error err = KVAULT_ERROR_INIT;
    PyObject *capacity, *threshold;
    long long interval_ms;
    int enabled, auto_flush;
    kvault_status rc;

    if (!PyArg_ParseTuple(args, "ppOOL:cache_set", &enabled, &auto_flush, &capacity, &threshold, &interval_ms) ||
        !kvpy_unsigned(self->state, capacity, "cap_bytes", &setting.capacity_bytes) ||
        !kvpy_unsigned(self->state, threshold, "flush_threshold", &setting.threshold_bytes))
        return NULL;
    setting.enabled = enabled;
    setting.auto_flush = auto_flush;
    setting.flush_interval_ms = interval_ms;
    KVPY_LET_GO(rc = kvault_cache_set(self->vault, &setting, &previous, &err));
    if (!kvpy_succeeded(self->state, rc, &err))
        return NULL;
    return Py_BuildValue("NNKKL", PyBool_FromLong(previous.enabled), PyBool_FromLong(previous.auto_flush),
                         (unsigned long long)previous.capacity_bytes, (unsigned long long)previous.threshold_bytes,
                         (long long)previous.flush_interval_ms);
}

PyDoc_STRVAR(flush_doc, "flush($self, /)\n--\n\nCommit everything pending in the file; return how many entries.");

static PyObject *handle_flush(PyObject *op, PyObject *unused)
{
    kvpy_handle *self = handle_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    uint64_t entries = 0;
    kvault_status rc;

    (void)unused;
    KVPY_LET_GO(rc = kvault_flush(self->vault, &entries, &err));
    return kvpy_succeeded(self->state, rc, &err) ? PyLong_FromUnsignedLongLong(entries) : NULL;
}

/* ---- backup, verify, tables, stats ---- */

static bool tell_progress(void *ctx, uint64_t done, uint64_t total)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *answer =
        PyErr_Occurred() ? NULL : PyObject_CallFunction(ctx, "KK", (unsigned long long)done, (unsigned long long)total);
    bool go_on = answer != NULL;

    Py_XDECREF(answer);
    PyGILState_Release(gil);
    return go_on;
}

PyDoc_STRVAR(backup_doc, "backup($self, dest, progress, /)\n--\n\n"
                         "Copy one snapshot to dest; progress is None or is told pages done and in total.");

static PyObject *handle_backup(PyObject *op, PyObject *args)
{
    kvpy_handle *self = handle_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    PyObject *dest = NULL, *progress, *result = NULL;
    kvault_status rc;

    if (!PyArg_ParseTuple(args, "O&O:backup", PyUnicode_FSConverter, &dest, &progress))
        return NULL;
    KVPY_LET_GO(rc = kvault_backup(self->vault, PyBytes_AS_STRING(dest), progress == Py_None ? NULL : tell_progress,
                                   progress, &err));
    if (kvpy_succeeded(self->state, rc, &err))
        result = Py_NewRef(Py_None);
    Py_DECREF(dest);
    return result;
}

/* Texts gathered without the GIL, each with its NUL: of verify() `where` and `what` in turn, of tables() names. */
struct gathered {
    char *text;
    size_t size;
    bool short_of_memory;
};

static void gather(struct gathered *all, const char *text)
{
    size_t size = strlen(text) + 1;
    char *grown = all->short_of_memory ? NULL : PyMem_RawRealloc(all->text, all->size + size);

    if (!grown) {
        all->short_of_memory = true;
        return;
    }
    memcpy(grown + all->size, text, size);
    all->text = grown;
    all->size += size;
}

static void add_finding(void *ctx, const char *where, const char *what)
{
    gather(ctx, where);
    gather(ctx, what);
}

static kvault_status add_table(void *ctx, const char *table, kvault_error *reterr)
{
    (void)reterr;
    gather(ctx, table);
    return KVAULT_OK;
}

static PyObject *list_of_findings(const struct gathered *found)
{
    PyObject *list = PyList_New(0);
    const char *at = found->text, *end = at + found->size;

    while (list && at < end) {
        const char *what = at + strlen(at) + 1;
        PyObject *pair = Py_BuildValue("(ss)", at, what);

        if (!pair || PyList_Append(list, pair) < 0)
            Py_CLEAR(list);
        Py_XDECREF(pair);
        at = what + strlen(what) + 1;
    }
    return list;
}

PyDoc_STRVAR(verify_doc, "verify($self, /)\n--\n\nCheck everything; return (where, what) of each finding.");

static PyObject *handle_verify(PyObject *op, PyObject *unused)
{
    kvpy_handle *self = handle_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    struct gathered found = { 0 };
    PyObject *result = NULL;
    kvault_status rc;

    (void)unused;
    KVPY_LET_GO(rc = kvault_verify(self->vault, add_finding, &found, &err));
    if (kvpy_succeeded(self->state, rc, &err))
        result = found.short_of_memory ? PyErr_NoMemory() : list_of_findings(&found);
    PyMem_RawFree(found.text);
    return result;
}

static PyObject *list_of_texts(const struct gathered *found)
{
    PyObject *list = PyList_New(0);

    for (const char *at = found->text, *end = at + found->size; list && at < end; at += strlen(at) + 1) {
        PyObject *text = PyUnicode_FromString(at);

        if (!text || PyList_Append(list, text) < 0)
            Py_CLEAR(list);
        Py_XDECREF(text);
    }
    return list;
}

PyDoc_STRVAR(tables_doc, "tables($self, /)\n--\n\nReturn the names of the tables of keys and values.");

static PyObject *handle_tables(PyObject *op, PyObject *unused)
{
    kvpy_handle *self = handle_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    struct gathered found = { 0 };
    PyObject *result = NULL;
    kvault_status rc;

    (void)unused;
    KVPY_LET_GO(rc = kvault_kv_list_tables(self->vault, add_table, &found, &err));
    if (kvpy_succeeded(self->state, rc, &err))
        result = found.short_of_memory ? PyErr_NoMemory() : list_of_texts(&found);
    PyMem_RawFree(found.text);
    return result;
}

PyDoc_STRVAR(stats_doc, "stats($self, /)\n--\n\nReturn the figures of the file and its engine.");

static PyObject *handle_stats(PyObject *op, PyObject *unused)
{
    kvpy_handle *self = handle_cast(op);
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_stats stats = { 0 };
    kvault_status rc;

    (void)unused;
    KVPY_LET_GO(rc = kvault_get_stats(self->vault, &stats, &err));
    if (!kvpy_succeeded(self->state, rc, &err))
        return NULL;
#define KVPY_STAT(name) #name, (unsigned long long)stats.name
    return Py_BuildValue("{sK sK sK sK sK sK sK sK sK sK sK sK sK sK sK sK sN}", KVPY_STAT(page_size), KVPY_STAT(pages),
                         KVPY_STAT(free_pages), KVPY_STAT(file_bytes), KVPY_STAT(wal_bytes), KVPY_STAT(pending_entries),
                         KVPY_STAT(pending_bytes), KVPY_STAT(commits), KVPY_STAT(flushes), KVPY_STAT(checkpoints),
                         KVPY_STAT(cache_bytes_used), KVPY_STAT(cache_bytes_max), KVPY_STAT(readers_open),
                         KVPY_STAT(readers_busy), KVPY_STAT(snapshots_open), KVPY_STAT(handles_open), "wal_pinned",
                         PyBool_FromLong(stats.wal_pinned));
#undef KVPY_STAT
}

/* ---- attributes ---- */

static PyObject *get_path(PyObject *op, void *closure)
{
    (void)closure;
    return PyUnicode_DecodeFSDefault(kvault_path(handle_cast(op)->vault));
}

static PyObject *get_closed(PyObject *op, void *closure)
{
    (void)closure;
    return PyBool_FromLong(kvault_is_closed(handle_cast(op)->vault));
}

static PyObject *get_read_only(PyObject *op, void *closure)
{
    (void)closure;
    return PyBool_FromLong(kvault_is_read_only(handle_cast(op)->vault));
}

static PyObject *get_is_snapshot(PyObject *op, void *closure)
{
    (void)closure;
    return PyBool_FromLong(kvault_is_snapshot(handle_cast(op)->vault));
}

static PyObject *get_depth(PyObject *op, void *closure)
{
    (void)closure;
    return PyLong_FromLong(kvault_depth(handle_cast(op)->vault));
}

static PyGetSetDef handle_getset[] = {
    { "path", get_path, NULL, PyDoc_STR("The absolute path, or \":memory:\"."), NULL },
    { "closed", get_closed, NULL, PyDoc_STR("Whether close() was called."), NULL },
    { "read_only", get_read_only, NULL, PyDoc_STR("Whether writing is refused."), NULL },
    { "is_snapshot", get_is_snapshot, NULL, PyDoc_STR("Whether it shows one instant."), NULL },
    { "depth", get_depth, NULL, PyDoc_STR("Levels of transaction that this thread has open."), NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyMethodDef handle_methods[] = {
    { "dup", handle_dup, METH_NOARGS, dup_doc },
    { "snapshot", handle_snapshot, METH_NOARGS, snapshot_doc },
    { "close", handle_close, METH_NOARGS, close_doc },
    { "begin", handle_begin, METH_NOARGS, begin_doc },
    { "commit", handle_commit, METH_NOARGS, commit_doc },
    { "rollback", handle_rollback, METH_NOARGS, rollback_doc },
    { "cache_set", handle_cache_set, METH_VARARGS, cache_set_doc },
    { "cache_lock", handle_cache_lock, METH_NOARGS, cache_lock_doc },
    { "cache_unlock", handle_cache_unlock, METH_NOARGS, cache_unlock_doc },
    { "flush", handle_flush, METH_NOARGS, flush_doc },
    { "checkpoint", handle_checkpoint, METH_NOARGS, checkpoint_doc },
    { "optimize", handle_optimize, METH_NOARGS, optimize_doc },
    { "backup", handle_backup, METH_VARARGS, backup_doc },
    { "verify", handle_verify, METH_NOARGS, verify_doc },
    { "tables", handle_tables, METH_NOARGS, tables_doc },
    { "stats", handle_stats, METH_NOARGS, stats_doc },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot handle_slots[] = {
    { Py_tp_doc, (void *)handle_doc },   { Py_tp_new, handle_new },
    { Py_tp_traverse, handle_traverse }, { Py_tp_finalize, handle_finalize },
    { Py_tp_dealloc, handle_dealloc },   { Py_tp_methods, handle_methods },
    { Py_tp_getset, handle_getset },     { 0, NULL },
};

static PyType_Spec handle_spec = {
    .name = "kohakuvault._kvault.Handle",
    .basicsize = sizeof(kvpy_handle),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = handle_slots,
};

int kvpy_handle_exec(PyObject *module, kvpy_state *state)
{
    state->HandleType = kvpy_add_type(module, &handle_spec);
    return state->HandleType ? 0 : -1;
}
