/* fixed.h - the elements of a column of fixed size: chunks of whole elements, and a tail in the record.
 *
 * The newest elements, up to 1 KiB of them, lie in the record itself (those above 256 bytes skip it) and move to
 * the last chunk together. The first chunk doubles from meta.chunk_min on; later ones are made in full
 * size at once, so that filling them rewrites a block or two. Bytes behind a chunk's last element mean nothing.
 *
 * All functions work on a list that belongs to the operation; those that change something need its io to write,
 * and leave storing the record to the caller. Ranges are inside the column. */
#ifndef KVAULT_COLUMN_FIXED_H
#define KVAULT_COLUMN_FIXED_H

#include "column/chunk_list.h"

static inline uint64_t kvault__fixed_length(const struct column_meta *meta)
{
    return meta->stored + kvault__tail_count(meta);
}

kvault_status kvault__fixed_read(struct chunk_list *list, uint64_t start, uint64_t count, void *dest,
                                 kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__fixed_append(struct chunk_list *list, const void *data, uint64_t count,
                                   kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__fixed_write(struct chunk_list *list, uint64_t start, uint64_t count, const void *data,
                                  kvault_error *reterr) KVAULT_MUST_USE;
/* Put `count` elements in place of those in [start, stop). */
kvault_status kvault__fixed_splice(struct chunk_list *list, uint64_t start, uint64_t stop, const void *data,
                                   uint64_t count, kvault_error *reterr) KVAULT_MUST_USE;

#endif
