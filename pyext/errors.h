/* errors.h - a status and its words become an exception. */
#ifndef KVPY_ERRORS_H
#define KVPY_ERRORS_H

#include "state.h"

/* Raise what `status` stands for, with the words and the SQLite code of `err`. Always NULL. */
PyObject *kvpy_raise(kvpy_state *state, kvault_status status, const kvault_error *err);
/* Raise NotFound(key). Always NULL. */
PyObject *kvpy_raise_not_found(kvpy_state *state, PyObject *key);
/* Raise NotFound for a table. Always NULL. */
PyObject *kvpy_raise_no_table(kvpy_state *state, const char *table);
/* After a call of the core: true if there is nothing to raise. A signal handler that raised while the
 * call went on is heard here, whether the call ended early or was done by then. */
bool kvpy_succeeded(kvpy_state *state, kvault_status status, const kvault_error *err);

/* NotFound for a column of this name. */
PyObject *kvpy_raise_no_column(kvpy_state *state, PyObject *name);

#endif
