/* tail.h - the newest elements of a variable-size column, one row each, until they are sealed into a chunk.
 *
 *     col_tail, row C << 32 | n, n = 0, 1, 2...:
 *      0 bytes u32: of rows 0 to n together, each counting 4 more | 4 the element | XXH3 u64 of all before
 *
 * An append writes one row and nothing else; the last row tells how many there are and how full the tail is.
 * Rows are added at the end, dropped from the end, or sealed all together; none is ever changed. */
#ifndef KVAULT_COLUMN_TAIL_H
#define KVAULT_COLUMN_TAIL_H

#include "column/column_state.h"

struct tail_state {
    uint64_t count; /* rows */
    uint32_t bytes; /* as the last row says */
};

kvault_status kvault__tail_state(struct column_io *io, const struct column_meta *meta, struct tail_state *ret_state,
                                 kvault_error *reterr) KVAULT_MUST_USE;
/* Add a row behind those of `state`, which moves along. */
kvault_status kvault__tail_add(struct column_io *io, const struct column_meta *meta, struct tail_state *state,
                               kvault_slice element, kvault_error *reterr) KVAULT_MUST_USE;
/* Delete rows [first, count). */
kvault_status kvault__tail_drop(struct column_io *io, const struct column_meta *meta, uint64_t first, uint64_t count,
                                kvault_error *reterr) KVAULT_MUST_USE;
/* Put the elements of rows [first, first + count) behind those in `result`. A row that is missing or damaged is
 * KVAULT_E_CORRUPT with words that name column and element. */
kvault_status kvault__tail_read(struct column_io *io, const struct column_meta *meta, uint64_t first, uint64_t count,
                                kvault_result *result, kvault_error *reterr) KVAULT_MUST_USE;

/* Room for so many more elements and bytes. */
kvault_status kvault__result_reserve(kvault_result *result, uint64_t count, uint64_t bytes,
                                     kvault_error *reterr) KVAULT_MUST_USE;
/* The bytes put behind the last element are one more; there is room for it. */
kvault_status kvault__result_end(kvault_result *result, kvault_error *reterr) KVAULT_MUST_USE;
/* Put an element behind those in a result. */
kvault_status kvault__result_add(kvault_result *result, kvault_slice element, kvault_error *reterr) KVAULT_MUST_USE;

/* What a result holds, to be written. */
static inline kvault_elements kvault__elements_of(const kvault_result *result)
{
    return (kvault_elements){ result->data.data, (const uint64_t *)(const void *)result->offsets.data, result->count };
}

#endif
