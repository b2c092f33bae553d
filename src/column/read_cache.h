/* read_cache.h - a column's elements as they were read, for as long as they are what a reader would see.
 *
 * One cache a handle; all caches of a file share the room that kvault_cache_take() gives. It holds the record,
 * the chunk list as two arrays, and chunks as their data. The record is current while its stamp is
 * (vault/stamp.c), and says by its revision whether list and chunks still are. So an append, which leaves the
 * revision, costs the next reader one look; an edit empties the cache.
 *
 * Filling it costs: a list is read as a whole, a chunk for one of its elements. So nothing is kept before the
 * second look at the same revision, and no chunk before its second read; a chunk that had to make room for
 * another, or is of a large column, waits for its eighth.
 *
 * The functions that are told "now" never wait and do no I/O: a thread that finds the cache in use, or finds
 * nothing, reads the file. */
#ifndef KVAULT_COLUMN_READ_CACHE_H
#define KVAULT_COLUMN_READ_CACHE_H

#include "column/edit.h"

struct column_cache;

struct column_cache *kvault__cache_new(kvault_error *reterr);
void kvault__cache_free(kvault_column *column);

/* The length, if it is known now. */
bool kvault__cache_length_now(kvault_column *column, uint64_t *ret_length);
/* One element into dest, which has room for `capacity` bytes. False also for one that is larger, or large, or
 * pending, or out of range. */
bool kvault__cache_get_now(kvault_column *column, int64_t index, void *dest, size_t capacity, size_t *ret_size);
/* The elements of a range; the result is emptied first. */
bool kvault__cache_range_now(kvault_column *column, const kvault_range *range, kvault_result *result);
bool kvault__cache_take_now(kvault_column *column, const int64_t *indices, uint64_t count, kvault_result *result);

/* A stamp of the column's being there, for cached appends: the last one that was set. */
bool kvault__cache_presence_now(kvault_column *column, kvault_stamp *ret_stamp);
void kvault__cache_set_presence(kvault_column *column, const kvault_stamp *stamp);

/* Before a look: a stamp for what it will see; false: nothing of it can be kept. */
bool kvault__cache_stamp(kvault_column *column, kvault_stamp *ret_stamp);
/* After the view was opened: keep its record, and the list if it is worth it. `length` counts pending elements. */
void kvault__cache_note(kvault_column *column, struct edit *view, uint64_t length, const kvault_stamp *stamp);
/* Elements of the file in [start, start + count) were read: keep their chunks, where that is worth it. */
void kvault__cache_admit(kvault_column *column, struct edit *view, uint64_t start, uint64_t count);

#endif
