/* module.c - `_kvault`: its state, its functions for the life of the process, its slots. */
#include "state.h"

#include "errors.h"
#include "skiplist_type.h"

PyObject *kvpy_add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);

    if (type && PyModule_AddType(module, (PyTypeObject *)type) < 0)
        Py_CLEAR(type);
    return type;
}

/* ---- functions ---- */

PyDoc_STRVAR(flush_all_doc, "flush_all($module, /)\n--\n\nFlush every vault that this process has open.");

static PyObject *flush_all(PyObject *module, PyObject *unused)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_status rc;

    (void)unused;
    KVPY_LET_GO(rc = kvault_flush_all(&err));
    return kvpy_succeeded(PyModule_GetState(module), rc, &err) ? Py_NewRef(Py_None) : NULL;
}

PyDoc_STRVAR(before_fork_doc, "before_fork($module, /)\n--\n\nFor os.register_at_fork.");

static PyObject *before_fork(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    KVPY_LET_GO(kvault_before_fork());
    Py_RETURN_NONE;
}

PyDoc_STRVAR(after_fork_parent_doc, "after_fork_parent($module, /)\n--\n\nFor os.register_at_fork.");

static PyObject *after_fork_parent(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    kvault_after_fork_parent();
    Py_RETURN_NONE;
}

PyDoc_STRVAR(after_fork_child_doc, "after_fork_child($module, /)\n--\n\nFor os.register_at_fork.");

static PyObject *after_fork_child(PyObject *module, PyObject *unused)
{
    kvpy_state *state = PyModule_GetState(module);

    (void)unused;
    kvault_after_fork_child();
    kvpy_skip_after_fork(state);
    state->main_thread = PyThread_get_thread_ident();
    Py_RETURN_NONE;
}

static PyMethodDef module_methods[] = {
    { "flush_all", flush_all, METH_NOARGS, flush_all_doc },
    { "before_fork", before_fork, METH_NOARGS, before_fork_doc },
    { "after_fork_parent", after_fork_parent, METH_NOARGS, after_fork_parent_doc },
    { "after_fork_child", after_fork_child, METH_NOARGS, after_fork_child_doc },
    { NULL, NULL, 0, NULL },
};

/* ---- state ---- */

static int import_exceptions(kvpy_state *state)
{
    PyObject *errors = PyImport_ImportModule("kohakuvault.errors");
    struct {
        const char *name;
        PyObject **field;
    } wanted[] = {
        { "KohakuVaultError", &state->KohakuVaultError },
        { "NotFound", &state->NotFound },
        { "DatabaseBusy", &state->DatabaseBusy },
        { "InvalidArgument", &state->InvalidArgument },
        { "WrongType", &state->WrongType },
        { "IoError", &state->IoError },
        { "CorruptData", &state->CorruptData },
        { "ClosedHandle", &state->ClosedHandle },
        { "ReadOnly", &state->ReadOnly },
        { "ForkedHandle", &state->ForkedHandle },
    };
    int rc = errors ? 0 : -1;

    for (size_t i = 0; i < Py_ARRAY_LENGTH(wanted) && rc == 0; i++) {
        *wanted[i].field = PyObject_GetAttrString(errors, wanted[i].name);
        rc = *wanted[i].field ? 0 : -1;
    }
    Py_XDECREF(errors);
    return rc;
}

/* The thread that imports us need not be the main one; but it is when nobody has imported `threading`,
 * which we leave unloaded as it takes a while. */
static int find_main_thread(kvpy_state *state)
{
    PyObject *modules = PyImport_GetModuleDict(); /* borrowed */
    PyObject *threading = PyDict_GetItemString(modules, "threading");
    PyObject *thread, *ident;

    state->main_thread = PyThread_get_thread_ident();
    if (!threading)
        return 0;
    thread = PyObject_CallMethod(threading, "main_thread", NULL);
    ident = thread ? PyObject_GetAttrString(thread, "ident") : NULL;
    if (ident)
        state->main_thread = PyLong_AsUnsignedLong(ident);
    Py_XDECREF(ident);
    Py_XDECREF(thread);
    return PyErr_Occurred() ? -1 : 0;
}

static int module_exec(PyObject *module)
{
    kvpy_state *state = PyModule_GetState(module);

    state->str_sqlite_code = PyUnicode_InternFromString("sqlite_code");
    if (!state->str_sqlite_code || import_exceptions(state) < 0 || find_main_thread(state) < 0)
        return -1;
    if (kvpy_handle_exec(module, state) < 0 || kvpy_store_exec(module, state) < 0 ||
        kvpy_scan_exec(module, state) < 0 || kvpy_blob_exec(module, state) < 0 ||
        kvpy_csbtree_exec(module, state) < 0 || kvpy_csbtree_iter_exec(module, state) < 0 ||
        kvpy_packer_exec(module, state) < 0 || kvpy_column_exec(module, state) < 0 ||
        kvpy_column_iter_exec(module, state) < 0 || kvpy_catalog_exec(module, state) < 0 ||
        kvpy_skiplist_exec(module, state) < 0 || kvpy_skiplist_iter_exec(module, state) < 0)
        return -1;
    return PyModule_AddStringConstant(module, "version", kvault_version());
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    kvpy_state *state = PyModule_GetState(module);

#define KVPY_VISIT(name) Py_VISIT(state->name);
    KVPY_STATE_FIELDS(KVPY_VISIT)
#undef KVPY_VISIT
    return 0;
}

static int module_clear(PyObject *module)
{
    kvpy_state *state = PyModule_GetState(module);

#define KVPY_CLEAR(name) Py_CLEAR(state->name);
    KVPY_STATE_FIELDS(KVPY_CLEAR)
#undef KVPY_CLEAR
    return 0;
}

static void module_free(void *module)
{
    (void)module_clear(module);
}

static PyModuleDef_Slot module_slots[] = {
    { Py_mod_exec, module_exec },
#if PY_VERSION_HEX >= 0x030C0000
    /* PyGILState_Ensure(), which a signal and a warning need, knows the main interpreter alone. */
    { Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED },
#endif
    { 0, NULL },
};

PyDoc_STRVAR(module_doc, "The C half of kohakuvault; use the classes of the package.");

PyModuleDef kvpy_module = {
    PyModuleDef_HEAD_INIT,         .m_name = "_kvault",         .m_doc = module_doc,
    .m_size = sizeof(kvpy_state),  .m_methods = module_methods, .m_slots = module_slots,
    .m_traverse = module_traverse, .m_clear = module_clear,     .m_free = module_free,
};

PyMODINIT_FUNC PyInit__kvault(void); /* CPython calls it by name */

PyMODINIT_FUNC PyInit__kvault(void)
{
    return PyModuleDef_Init(&kvpy_module);
}
