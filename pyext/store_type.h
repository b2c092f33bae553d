/* store_type.h - a table of one file, as its iterators and streams see it. */
#ifndef KVPY_STORE_TYPE_H
#define KVPY_STORE_TYPE_H

#include "errors.h"
#include "value_cache.h"

typedef struct kvpy_store {
    PyObject_HEAD kvpy_state *state;
    PyObject *handle; /* outlives kv */
    kvault_kv *kv;
    _Atomic size_t last_size; /* of the value read last: a guess at the next one's */
    kvpy_cache cache;
} kvpy_store;

/* An iterator over keys ('k'), values ('v') or items ('i'); takes ownership of the scan, also on failure. */
PyObject *kvpy_scan_new(kvpy_store *store, kvault_kv_scan *take_scan, char kind);
/* A raw stream; takes ownership of the blob, also on failure. */
PyObject *kvpy_blob_new(kvpy_store *store, kvault_blob *take_blob);

#endif
