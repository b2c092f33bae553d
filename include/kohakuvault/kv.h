/* kv.h - key -> bytes: put, get, delete, batches, ordered scans, streams.
 *
 * Keys are 0 to 65,535 bytes and sort as memcmp does; values are 0 bytes to 1 TiB.
 * A value above 256 KiB is kept in pieces, so a range read, an append or a stream
 * touches only what it needs and memory stays bounded.
 *
 * Threads: as in vault.h; a scan or a blob is used by one thread at a time.
 * Outcomes: KVAULT_NOT_FOUND where there is no such key. */
#ifndef KOHAKUVAULT_KV_H
#define KOHAKUVAULT_KV_H

#include "kohakuvault/vault.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KVAULT_KEY_BYTES_MAX 65535u
#define KVAULT_INLINE_BYTES_MAX (256u * 1024u)
#define KVAULT_VALUE_BYTES_MAX ((uint64_t)1 << 40)

typedef struct kvault_kv kvault_kv;

/* Open (and make, if the handle may write and it is missing) the table `table`; NULL is "kvault".
 * The name is an identifier of letters, digits and `_`, compared without case.
 * `vault` must outlive the kvault_kv; its closing closes this too. */
KVAULT_API kvault_status kvault_kv_open(kvault *vault, const char *table, kvault_kv **ret_kv,
                                        kvault_error *reterr) KVAULT_MUST_USE;
KVAULT_API void kvault_kv_free(kvault_kv *kv);
/* The table's name as the file spells it; lives as long as the kvault_kv. */
KVAULT_API const char *kvault_kv_table(const kvault_kv *kv);

/* Told every table of keys and values in the file, by name, of one instant. `row` must not call the library. */
KVAULT_API kvault_status kvault_kv_list_tables(kvault *vault,
                                               kvault_status (*row)(void *ctx, const char *table, kvault_error *reterr),
                                               void *row_ctx, kvault_error *reterr) KVAULT_MUST_USE;

/* ---- one key ---- */
KVAULT_API kvault_status kvault_kv_put(kvault_kv *kv, kvault_slice key, kvault_slice value,
                                       kvault_error *reterr) KVAULT_MUST_USE;

/* Read the value into `dest`. *ret_size is its size, also when that exceeds
 * `capacity`: then what is in dest means nothing, and the caller comes again with more
 * room (the value may have changed meanwhile). `dest` may be NULL with capacity 0. */
KVAULT_API kvault_status kvault_kv_get(kvault_kv *kv, kvault_slice key, void *dest, size_t capacity,
                                       uint64_t *ret_size, kvault_error *reterr) KVAULT_MUST_USE;

/* Read up to `capacity` bytes from `offset`; *ret_size is how many there were. */
KVAULT_API kvault_status kvault_kv_read(kvault_kv *kv, kvault_slice key, uint64_t offset, void *dest, size_t capacity,
                                        size_t *ret_size, kvault_error *reterr) KVAULT_MUST_USE;

KVAULT_API kvault_status kvault_kv_size(kvault_kv *kv, kvault_slice key, uint64_t *ret_size,
                                        kvault_error *reterr) KVAULT_MUST_USE;
/* KVAULT_OK or KVAULT_NOT_FOUND. */
KVAULT_API kvault_status kvault_kv_exists(kvault_kv *kv, kvault_slice key, kvault_error *reterr) KVAULT_MUST_USE;
KVAULT_API kvault_status kvault_kv_delete(kvault_kv *kv, kvault_slice key, kvault_error *reterr) KVAULT_MUST_USE;

/* Read and delete in one transaction. */
KVAULT_API kvault_status kvault_kv_pop(kvault_kv *kv, kvault_slice key, kvault_buf *ret_value,
                                       kvault_error *reterr) KVAULT_MUST_USE;
/* The same for the last key; KVAULT_NOT_FOUND when the table is empty. */
KVAULT_API kvault_status kvault_kv_pop_last(kvault_kv *kv, kvault_buf *ret_key, kvault_buf *ret_value,
                                            kvault_error *reterr) KVAULT_MUST_USE;
/* Store the value if the key is absent, in one transaction. KVAULT_OK: it was absent.
 * KVAULT_END: it is there, and its value is in *ret_value. */
KVAULT_API kvault_status kvault_kv_add(kvault_kv *kv, kvault_slice key, kvault_slice value, kvault_buf *ret_value,
                                       kvault_error *reterr) KVAULT_MUST_USE;

/* How many keys there are. Exact; counted in memory while no other process writes. */
KVAULT_API kvault_status kvault_kv_count(kvault_kv *kv, uint64_t *ret_count, kvault_error *reterr) KVAULT_MUST_USE;
/* Delete every key, in one transaction. */
KVAULT_API kvault_status kvault_kv_clear(kvault_kv *kv, kvault_error *reterr) KVAULT_MUST_USE;

/* ---- batches: one transaction each ---- */
typedef struct kvault_kv_pair {
    kvault_slice key, value;
} kvault_kv_pair;

KVAULT_API kvault_status kvault_kv_put_many(kvault_kv *kv, const kvault_kv_pair *pairs, size_t count,
                                            kvault_error *reterr) KVAULT_MUST_USE;

/* The values one behind the other in *ret_values; ret_sizes[i] is the size of the
 * i-th, SIZE_MAX where the key is absent. All of one instant. */
KVAULT_API kvault_status kvault_kv_get_many(kvault_kv *kv, const kvault_slice *keys, size_t count,
                                            kvault_buf *ret_values, size_t *ret_sizes,
                                            kvault_error *reterr) KVAULT_MUST_USE;

/* *ret_deleted: how many of the keys were there (a key given twice counts once). */
KVAULT_API kvault_status kvault_kv_delete_many(kvault_kv *kv, const kvault_slice *keys, size_t count,
                                               size_t *ret_deleted, kvault_error *reterr) KVAULT_MUST_USE;

/* ---- stamps: for caches above the library ----
 * A value may be given out again while its stamp is current: as long as nobody, in this process or
 * another, has written the key since. Neither call waits or does I/O; about 30 ns. Any thread. */
KVAULT_API uint64_t kvault_kv_hash(const kvault_kv *kv, kvault_slice key);
/* Take a stamp, then read the key of that hash. False: what is read now must not be kept. */
KVAULT_API bool kvault_kv_stamp(kvault_kv *kv, uint64_t hash, kvault_stamp *ret_stamp);
/* False also when it cannot be told at once, and always inside a transaction or on a snapshot. */
KVAULT_API bool kvault_kv_is_current(kvault_kv *kv, const kvault_stamp *stamp);

/* ---- ordered scans ----
 * A scan reads a page of keys at a time and holds nothing open in between, so it
 * survives every write made meanwhile: a key that is there throughout comes exactly once. */
typedef struct kvault_kv_scan kvault_kv_scan;

typedef struct kvault_kv_scan_options {
    kvault_slice prefix;         /* only keys that begin so; empty: all */
    const kvault_slice *start;   /* first key, included; NULL: none */
    const kvault_slice *stop;    /* end, excluded; NULL: none */
    bool reverse;                /* from the last key to the first */
    bool with_values;
    uint64_t limit;              /* at most so many keys; UINT64_MAX: all */
} kvault_kv_scan_options;

/* `kv` must outlive the scan; the bounds are copied. */
KVAULT_API kvault_status kvault_kv_scan_open(kvault_kv *kv, const kvault_kv_scan_options *options,
                                             kvault_kv_scan **ret_scan, kvault_error *reterr) KVAULT_MUST_USE;
/* The next key, and its value if asked for; both live until the next call. KVAULT_END behind the last. */
KVAULT_API kvault_status kvault_kv_scan_next(kvault_kv_scan *scan, kvault_slice *ret_key, kvault_slice *ret_value,
                                             kvault_error *reterr) KVAULT_MUST_USE;
/* How many keys are still to come, if the page in hand is the last one; else KVAULT_END. A scan that has not
 * begun reads its first page for it. */
KVAULT_API kvault_status kvault_kv_scan_left(kvault_kv_scan *scan, uint64_t *ret_left,
                                             kvault_error *reterr) KVAULT_MUST_USE;
/* Take all that is still to come, and count it. */
KVAULT_API kvault_status kvault_kv_scan_count(kvault_kv_scan *scan, uint64_t *ret_count,
                                              kvault_error *reterr) KVAULT_MUST_USE;
/* A call of kvault_kv_scan_next() would be answered from memory, without waiting. */
KVAULT_API bool kvault_kv_scan_is_ready(const kvault_kv_scan *scan);
KVAULT_API void kvault_kv_scan_free(kvault_kv_scan *scan);

/* ---- streams ----
 * A reader sees the value as it was when the reader was opened. Replacing or deleting
 * the value meanwhile does not disturb it in this process; one in another process
 * that is slower than a minute gets KVAULT_E_IO, never a mixture. */
typedef struct kvault_blob kvault_blob;

KVAULT_API kvault_status kvault_blob_open_read(kvault_kv *kv, kvault_slice key, kvault_blob **ret_blob,
                                               kvault_error *reterr) KVAULT_MUST_USE;
/* A new value for the key, seen by nobody before kvault_blob_publish(). */
KVAULT_API kvault_status kvault_blob_open_write(kvault_kv *kv, kvault_slice key, kvault_blob **ret_blob,
                                                kvault_error *reterr) KVAULT_MUST_USE;
/* Append to the value, making an empty one if there is none. One appender a value: a
 * second gets KVAULT_E_BUSY. What was appended is seen after kvault_blob_publish(). */
KVAULT_API kvault_status kvault_blob_open_append(kvault_kv *kv, kvault_slice key, kvault_blob **ret_blob,
                                                 kvault_error *reterr) KVAULT_MUST_USE;

/* Size of the value: of the one being read, or as written so far. */
KVAULT_API uint64_t kvault_blob_size(const kvault_blob *blob);
/* Read up to `capacity` bytes from `offset` (reader only). *ret_size 0: at or behind the end. */
KVAULT_API kvault_status kvault_blob_read(kvault_blob *blob, uint64_t offset, void *dest, size_t capacity,
                                          size_t *ret_size, kvault_error *reterr) KVAULT_MUST_USE;
/* Write behind what was written so far (writer and appender). */
KVAULT_API kvault_status kvault_blob_write(kvault_blob *blob, kvault_slice data, kvault_error *reterr) KVAULT_MUST_USE;
/* Make all that was written the key's value, in one commit. A writer is done then; an
 * appender may go on. When it fails the old value stays. */
KVAULT_API kvault_status kvault_blob_publish(kvault_blob *blob, kvault_error *reterr) KVAULT_MUST_USE;
/* Discard what was not published and end the stream. Best effort with the space it took. */
KVAULT_API void kvault_blob_abort(kvault_blob *blob);
/* End the stream without I/O, NULL allowed: what was not published is discarded, and
 * its space is swept by a later writer. */
KVAULT_API void kvault_blob_free(kvault_blob *blob);

#ifdef __cplusplus
}
#endif
#endif
