/* handle_type.h - one handle on a file, which stores are made from. */
#ifndef KVPY_HANDLE_TYPE_H
#define KVPY_HANDLE_TYPE_H

#include "errors.h"

typedef struct kvpy_handle {
    PyObject_HEAD kvpy_state *state;
    kvault *vault;    /* freed by dealloc alone; closing leaves it answering KVAULT_E_CLOSED */
    PyObject *parent; /* the handle that this one was made from, which must be freed later; or NULL */
} kvpy_handle;

#endif
