/* column.h - lists that live in the file: elements of one size, or of any size.
 *
 * A column has a name, a dtype (dtype.h) and elements that are bytes here: numbers
 * little-endian, text and records as the packer writes them. Elements of a fixed size lie
 * packed; those of any size carry their offsets with them:
 *
 *     kvault_elements   data     the bytes, one element behind the other
 *                       offsets  NULL for a fixed size, else count + 1 of them, never falling: element i is
 *                                data[offsets[i]] to data[offsets[i + 1]], excluded
 *                       count
 *
 * Positions: where a function takes a kvault_range it means what a Python slice means, with
 * the same clamping, resolved against the length in the same transaction (or state) as the
 * work. INT64_MAX stands for "to the end". Where it takes an index, a negative one counts from the
 * end, and one outside is KVAULT_E_INDEX and changes nothing.
 *
 * Every call that writes is one transaction, or part of the thread's own. With the write cache on,
 * kvault_column_append() is pending; everything else commits at once, with all that is pending
 * before it, and fails inside kvault_cache_lock().
 *
 * A column handle keeps the column's id: it follows a rename, and answers KVAULT_NOT_FOUND once the
 * column was deleted, by whatever process, also when there is a new one of the same name.
 *
 * Costs, n elements in the column: length, append, read and write of an element do not grow with n;
 * insert and delete touch one or two chunks and the list of chunks, which grows as log n would.
 *
 * Threads: as in vault.h; a column may be used by many threads at once. */
#ifndef KOHAKUVAULT_COLUMN_H
#define KOHAKUVAULT_COLUMN_H

#include "kohakuvault/dtype.h"
#include "kohakuvault/vault.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KVAULT_COLUMN_NAME_MAX 255u                   /* characters of UTF-8, none of them NUL */
#define KVAULT_COLUMN_LENGTH_MAX ((uint64_t)1 << 40)  /* elements */
#define KVAULT_COLUMN_ELEMENT_MAX ((uint32_t)1 << 28) /* bytes of an element of a variable-size column */
#define KVAULT_CHUNK_BYTES_MAX ((uint32_t)1 << 24)
#define KVAULT_SCHEMA_BYTES_MAX ((uint32_t)1 << 20)

typedef struct kvault_column kvault_column;

typedef struct kvault_elements {
    const void *data;
    const uint64_t *offsets; /* NULL: elements of the column's fixed size */
    uint64_t count;
} kvault_elements;

typedef struct kvault_range {
    int64_t start, stop, step; /* step is not 0 */
} kvault_range;

/* ---- the columns of a file ---- */

typedef struct kvault_column_options {
    uint32_t chunk_bytes_min; /* of a new column's first chunk; 4096. Rounded up to whole blocks of 4096 */
    uint32_t chunk_bytes_max; /* 65536; min <= max <= 16 MiB. A chunk holds at least one element */
    kvault_slice schema;      /* text kept with the column for its users, up to 1 MiB */
    bool unknown_dtype;       /* the dtype is the caller's own: elements of any size, bytes to us */
} kvault_column_options;

/* Fill in the defaults above. */
KVAULT_API void kvault_column_options_init(kvault_column_options *options);

/* Make a column. `options` NULL: the defaults. KVAULT_END: there is one of this name already. */
KVAULT_API kvault_status kvault_column_create(kvault *vault, kvault_slice name, kvault_slice dtype,
                                              const kvault_column_options *options, kvault_column **ret_column,
                                              kvault_error *reterr) KVAULT_MUST_USE;
/* Open the column of this name; KVAULT_NOT_FOUND. `vault` must outlive the handle. */
KVAULT_API kvault_status kvault_column_open(kvault *vault, kvault_slice name, kvault_column **ret_column,
                                            kvault_error *reterr) KVAULT_MUST_USE;
KVAULT_API void kvault_column_free(kvault_column *column);

/* Delete the column and all in it; KVAULT_NOT_FOUND. */
KVAULT_API kvault_status kvault_column_drop(kvault *vault, kvault_slice name, kvault_error *reterr) KVAULT_MUST_USE;
/* KVAULT_NOT_FOUND: there is no `from`. KVAULT_END: there is a `to`. */
KVAULT_API kvault_status kvault_column_rename(kvault *vault, kvault_slice from, kvault_slice to,
                                              kvault_error *reterr) KVAULT_MUST_USE;
/* KVAULT_OK or KVAULT_NOT_FOUND. */
KVAULT_API kvault_status kvault_column_exists(kvault *vault, kvault_slice name, kvault_error *reterr) KVAULT_MUST_USE;
/* Told every column by name, of one instant, with what is pending. `row` must not call the library. */
KVAULT_API kvault_status kvault_column_list(kvault *vault,
                                            kvault_status (*row)(void *ctx, kvault_slice name, kvault_slice dtype,
                                                                 uint64_t length, kvault_error *reterr),
                                            void *row_ctx, kvault_error *reterr) KVAULT_MUST_USE;

/* ---- what a column is; these live as long as the handle ---- */
/* A number that no other column of the file has or had, nor one whose making was rolled back. The
 * low 32 bits are its id in the file. */
KVAULT_API uint64_t kvault_column_id(const kvault_column *column);
KVAULT_API const char *kvault_column_dtype(const kvault_column *column);
/* False: the dtype is the caller's own. */
KVAULT_API bool kvault_column_parsed_dtype(const kvault_column *column, kvault_dtype *ret_dtype);
/* Bytes of an element; 0: any size. */
KVAULT_API uint32_t kvault_column_element_bytes(const kvault_column *column);
KVAULT_API kvault_slice kvault_column_schema(const kvault_column *column);
/* The name as of now. */
KVAULT_API kvault_status kvault_column_name(kvault_column *column, kvault_buf *ret_name,
                                            kvault_error *reterr) KVAULT_MUST_USE;

typedef struct kvault_column_info {
    uint64_t length;      /* elements, pending ones included */
    uint64_t bytes;       /* of all elements */
    uint64_t slack_bytes; /* in chunks of a variable-size column: bytes that edits left unused */
    uint64_t revision;
} kvault_column_info;

KVAULT_API kvault_status kvault_column_info_get(kvault_column *column, kvault_column_info *ret_info,
                                                kvault_error *reterr) KVAULT_MUST_USE;
KVAULT_API kvault_status kvault_column_length(kvault_column *column, uint64_t *ret_length,
                                              kvault_error *reterr) KVAULT_MUST_USE;

/* ---- writing ---- */

/* Add at the end: all of the elements or none. */
KVAULT_API kvault_status kvault_column_append(kvault_column *column, const kvault_elements *elements,
                                              kvault_error *reterr) KVAULT_MUST_USE;
/* Insert before `index`, which is clamped as list.insert() does. */
KVAULT_API kvault_status kvault_column_insert(kvault_column *column, int64_t index, const kvault_elements *elements,
                                              kvault_error *reterr) KVAULT_MUST_USE;
/* Replace one element. */
KVAULT_API kvault_status kvault_column_set(kvault_column *column, int64_t index, const kvault_elements *element,
                                           kvault_error *reterr) KVAULT_MUST_USE;
/* Replace the elements of a range by as many others; another number of them is KVAULT_E_INVALID with
 * the words "length mismatch". */
KVAULT_API kvault_status kvault_column_set_range(kvault_column *column, const kvault_range *range,
                                                 const kvault_elements *elements, kvault_error *reterr) KVAULT_MUST_USE;
KVAULT_API kvault_status kvault_column_delete(kvault_column *column, int64_t index,
                                              kvault_error *reterr) KVAULT_MUST_USE;
KVAULT_API kvault_status kvault_column_delete_range(kvault_column *column, const kvault_range *range,
                                                    kvault_error *reterr) KVAULT_MUST_USE;
/* Read and delete one element, in one transaction; its bytes are put behind those in *data. */
KVAULT_API kvault_status kvault_column_pop(kvault_column *column, int64_t index, kvault_buf *data,
                                           kvault_error *reterr) KVAULT_MUST_USE;
KVAULT_API kvault_status kvault_column_clear(kvault_column *column, kvault_error *reterr) KVAULT_MUST_USE;
/* Rewrite the chunks without slack, in one transaction. *ret_bytes: slack that there was. */
KVAULT_API kvault_status kvault_column_compact(kvault_column *column, uint64_t *ret_bytes,
                                               kvault_error *reterr) KVAULT_MUST_USE;

/* ---- reading ---- */

/* Read one element. Fixed size: into `dest`, which holds element_bytes. */
KVAULT_API kvault_status kvault_column_get(kvault_column *column, int64_t index, void *dest,
                                           kvault_error *reterr) KVAULT_MUST_USE;

/* What a read gives, the caller's to free with kvault_result_free(); for a fixed size the offsets stay empty.
 * A result may be used again and again: it is emptied first and keeps its memory. */
typedef struct kvault_result {
    kvault_buf data;
    kvault_buf offsets; /* uint64_t, count + 1 of them, as in kvault_elements; none of no elements */
    uint64_t count;
} kvault_result;

#ifdef __cplusplus
#define KVAULT_RESULT_INIT (kvault_result{ KVAULT_BUF_INIT, KVAULT_BUF_INIT, 0 })
#else
#define KVAULT_RESULT_INIT                                                                                             \
    {                                                                                                                  \
        KVAULT_BUF_INIT, KVAULT_BUF_INIT, 0                                                                            \
    }
#endif

KVAULT_API void kvault_result_free(kvault_result *result);

/* Read one element into a result: of any size, or fixed. */
KVAULT_API kvault_status kvault_column_get_one(kvault_column *column, int64_t index, kvault_result *result,
                                               kvault_error *reterr) KVAULT_MUST_USE;
/* Read the elements of a range, of one instant, in the range's order. */
KVAULT_API kvault_status kvault_column_get_range(kvault_column *column, const kvault_range *range,
                                                 kvault_result *result, kvault_error *reterr) KVAULT_MUST_USE;
/* Read the elements at the indices, of one instant; an index out of range fails. */
KVAULT_API kvault_status kvault_column_take(kvault_column *column, const int64_t *indices, uint64_t count,
                                            kvault_result *result, kvault_error *reterr) KVAULT_MUST_USE;
/* Fixed size: read up to `count` elements from `start` on (not negative) straight into `dest`; *ret_count is
 * how many there were. */
KVAULT_API kvault_status kvault_column_read(kvault_column *column, uint64_t start, void *dest, uint64_t count,
                                            uint64_t *ret_count, kvault_error *reterr) KVAULT_MUST_USE;

/* ---- at once ----
 * From memory, in some tens of nanoseconds, without waiting and without I/O: for callers who hold a lock of their
 * own. False: not possible now, call the function above; nothing happened. Any thread. */
KVAULT_API bool kvault_column_length_now(kvault_column *column, uint64_t *ret_length);
/* An element into `dest` if it is not larger than `capacity`; *ret_size is its size. */
KVAULT_API bool kvault_column_get_now(kvault_column *column, int64_t index, void *dest, size_t capacity,
                                      size_t *ret_size);
KVAULT_API bool kvault_column_get_range_now(kvault_column *column, const kvault_range *range, kvault_result *result);
/* The elements are pending then. */
KVAULT_API bool kvault_column_append_now(kvault_column *column, const kvault_elements *elements);

#ifdef __cplusplus
}
#endif
#endif
