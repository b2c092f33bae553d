/* column_type.h - Column: the C half of Column and VarSizeColumn, and what its files share. */
#ifndef KVPY_COLUMN_TYPE_H
#define KVPY_COLUMN_TYPE_H

#include "handle_type.h"
#include "packer.h"

typedef struct kvpy_column {
    PyObject_HEAD kvpy_state *state;
    kvpy_handle *handle;   /* outlives the column */
    kvault_column *column; /* freed by dealloc alone */
    PyObject *name;        /* as it was when the column was opened: for messages */
    kvpy_packer *packer;   /* NULL: the dtype is the user's, and the two functions below are there */
    PyObject *pack, *unpack;
    uint32_t element_bytes; /* 0: any size */
} kvpy_column;

static inline kvpy_column *kvpy_column_cast(PyObject *op)
{
    return (kvpy_column *)op;
}

/* True if the call succeeded; else an exception is set. KVAULT_NOT_FOUND: the column was deleted. */
bool kvpy_column_succeeded(kvpy_column *self, kvault_status rc, const kvault_error *err);

/* ---- column_values.c: Python values <-> elements ---- */

/* Elements on their way into a column. Lives on the stack and does not move; release it whatever happened. */
typedef struct kvpy_elements {
    kvault_elements elements;
    kvpy_byte_writer writer; /* where they were packed */
    Py_buffer view;          /* or whose memory they are, if view.obj is set */
    uint64_t *offsets;       /* of more than one element of any size */
    uint64_t one[2];         /* of one */
} kvpy_elements;

/* One value. False with an exception. */
bool kvpy_elements_of_value(kvpy_column *self, PyObject *value, kvpy_elements *ret);
/* A list, a tuple, or a buffer of the column's own type, whose memory is used as it is; anything else that
 * can be iterated is made a list first. */
bool kvpy_elements_of_many(kvpy_column *self, PyObject *values, kvpy_elements *ret);
void kvpy_elements_release(kvpy_elements *elements);

/* The value of an element, and a list of those in a result. NULL with an exception. */
PyObject *kvpy_value_of(kvpy_column *self, kvault_slice element);
PyObject *kvpy_values_of(kvpy_column *self, const kvault_result *result);

/* ---- column_iter.c ---- */

/* An iterator over the elements by index: forward from `start` on, or backward from the last one. */
PyObject *kvpy_column_iter_new(kvpy_column *self, int64_t start, bool reverse);

/* Something wrote to the column through this module: read-ahead of it is stale. GIL held. */
static inline void kvpy_column_touch(kvpy_column *self)
{
    self->state->column_changes[kvault_column_id(self->column) % KVPY_COLUMN_SLOTS]++;
}

/* A number that is another one after each change by this process that touches the column. */
static inline uint64_t kvpy_column_changes(const kvpy_column *self)
{
    return self->state->column_changes[kvault_column_id(self->column) % KVPY_COLUMN_SLOTS] + self->state->rollbacks;
}

#endif
