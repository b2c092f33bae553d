/* state.h - what the module owns, and how a method calls the core.
 *
 * The fields are listed once: the struct, the traversal and the clearing are made from the list.
 * An instance keeps a pointer to the state: the state lives as long as its types, and a type
 * as long as its instances. */
#ifndef KVPY_STATE_H
#define KVPY_STATE_H

#include "compat.h"
#include "kohakuvault/kohakuvault.h"

/* clang-format off */
/* A line for each file that has some of its own. */
#define KVPY_STATE_FIELDS(X) \
    X(HandleType) X(StoreType) X(ScanType) X(BlobType) \
    X(CSBTreeType) X(CSBTreeIterType) X(SkipListType) X(SkipListIterType) \
    X(ColumnType) X(ColumnIterType) \
    X(PackerType) X(ExtType) X(Tag) X(Simple) X(str_code) X(str_data) X(str_number) X(str_value) X(str_check) \
    X(str_utcoffset) X(str_bit_length) X(str_to_bytes) X(str_from_bytes) X(str_big) \
    X(str_text) X(str_JsonSchema) X(str_CddlSchema) X(str_with_json_schema) X(str_with_cddl_schema) \
    X(str_sqlite_code) X(KohakuVaultError) X(NotFound) X(DatabaseBusy) X(InvalidArgument) X(WrongType) \
    X(IoError) X(CorruptData) X(ClosedHandle) X(ReadOnly) X(ForkedHandle)
/* clang-format on */

#define KVPY_COLUMN_SLOTS 64

typedef struct kvpy_state {
#define KVPY_DECLARE(name) PyObject *name;
    KVPY_STATE_FIELDS(KVPY_DECLARE)
#undef KVPY_DECLARE
    uint64_t column_changes[KVPY_COLUMN_SLOTS]; /* by column id: writes of this process */
    uint64_t rollbacks;                         /* which undo such writes */
    const void *datetime_api;                   /* of instant.c; NULL until a datetime is met */
    struct kvpy_skip_call *skip_calls;          /* the calls that are inside SkipLists */
    unsigned long main_thread; /* the one that runs signal handlers; written at import and after a fork */
} kvpy_state;

extern PyModuleDef kvpy_module;

/* The state for a tp_new, whose type may be a subclass. NULL with an exception. */
static inline kvpy_state *kvpy_state_of_type(PyTypeObject *type)
{
    PyObject *module = PyType_GetModuleByDef(type, &kvpy_module);

    return module ? PyModule_GetState(module) : NULL;
}

/* Run a call of the core without the GIL. Every call that takes a lock goes through this, also those
 * that never wait for long: a fork holds all locks of the core while it waits for the GIL. */
#define KVPY_LET_GO(call)                                                                                              \
    do {                                                                                                               \
        Py_BEGIN_ALLOW_THREADS call;                                                                                   \
        Py_END_ALLOW_THREADS                                                                                           \
    } while (0)

/* Make the type of `spec` and put it into the module. NULL with an exception; else owned. */
PyObject *kvpy_add_type(PyObject *module, PyType_Spec *spec);

int kvpy_handle_exec(PyObject *module, kvpy_state *state);
int kvpy_store_exec(PyObject *module, kvpy_state *state);
int kvpy_scan_exec(PyObject *module, kvpy_state *state);
int kvpy_blob_exec(PyObject *module, kvpy_state *state);
int kvpy_csbtree_exec(PyObject *module, kvpy_state *state);
int kvpy_csbtree_iter_exec(PyObject *module, kvpy_state *state);
int kvpy_packer_exec(PyObject *module, kvpy_state *state);
int kvpy_column_exec(PyObject *module, kvpy_state *state);
int kvpy_column_iter_exec(PyObject *module, kvpy_state *state);
int kvpy_catalog_exec(PyObject *module, kvpy_state *state);
int kvpy_skiplist_exec(PyObject *module, kvpy_state *state);
int kvpy_skiplist_iter_exec(PyObject *module, kvpy_state *state);

#endif
