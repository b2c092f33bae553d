/* token_types.h - ExtType, Tag and Simple of tokens.py: tokens that Python has no type for.
 *
 * The module is imported when the first of them is met. */
#ifndef KVPY_TOKEN_TYPES_H
#define KVPY_TOKEN_TYPES_H

#include "state.h"

/* Make sure that the state has the three types. False with an exception. */
bool kvpy_token_types(kvpy_state *state);

/* What is in one of them. The data are bytes, and new, as the value is. False with an exception. */
bool kvpy_ext_parts(kvpy_state *state, PyObject *ext, int32_t *ret_code, PyObject **ret_data);
bool kvpy_tag_parts(kvpy_state *state, PyObject *tag, uint64_t *ret_number, PyObject **ret_value);
bool kvpy_simple_number(kvpy_state *state, PyObject *simple, uint64_t *ret_number);

/* One of them, new; NULL with an exception. */
PyObject *kvpy_ext_new(kvpy_state *state, int32_t code, kvault_slice data);
PyObject *kvpy_tag_new(kvpy_state *state, uint64_t number, PyObject *value);
PyObject *kvpy_simple_new(kvpy_state *state, uint64_t number);

#endif
