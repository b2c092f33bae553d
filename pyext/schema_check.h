/* schema_check.h - the schema of a packer, which schema.py compiles and checks records against. */
#ifndef KVPY_SCHEMA_CHECK_H
#define KVPY_SCHEMA_CHECK_H

#include "packer.h"

/* Compile what the user gave for a packer whose dtype is set. False with an exception. */
bool kvpy_schema_set(kvpy_packer *self, PyObject *schema);
/* Whether the record that was written for a value keeps the schema. False with SchemaError. */
bool kvpy_schema_check(kvpy_packer *self, kvault_slice record);

#endif
