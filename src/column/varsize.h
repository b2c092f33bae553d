/* varsize.h - the elements of a variable-size column: sealed chunks of packed elements, then tail rows.
 *
 * Elements [0, meta.stored) lie in chunks (packed.h) in the order of the chunk list, which such a column
 * always has; the newest are rows (tail.h) until they would fill a chunk. An edit in the middle rebuilds the
 * chunks it touches; replacing an element by one that fits in its slot overwrites bytes and leaves slack.
 *
 * meta.bytes is the sum over elements in chunks of their slots, or of a large one its size; meta.slack of the slack.
 *
 * A `var` belongs to one operation. Ranges are inside the column. */
#ifndef KVAULT_COLUMN_VARSIZE_H
#define KVAULT_COLUMN_VARSIZE_H

#include "column/chunk_list.h"
#include "column/packed.h"
#include "column/tail.h"

struct var {
    struct chunk_list *list;
    struct tail_state tail;
};

static inline uint64_t kvault__var_length(const struct var *var)
{
    return var->list->meta->stored + var->tail.count;
}

/* ---- varsize.c ---- */
/* Put the elements behind those in `result`. */
kvault_status kvault__var_read(struct var *var, uint64_t start, uint64_t count, kvault_result *result,
                               kvault_error *reterr) KVAULT_MUST_USE;
/* A whole chunk, checked, into *buf. The words of a failure name no column. */
kvault_status kvault__var_load(struct var *var, const struct chunk_place *place, kvault_buf *buf,
                               struct packed *ret_packed, kvault_error *reterr) KVAULT_MUST_USE;
/* Where slot `i` of a chunk lies, without the rest of it; and the slot, into *buf. The words of a failure name no
 * column. */
struct packed_place {
    uint32_t entry;        /* of the table */
    uint32_t offset, size; /* of the slot, in the chunk's data */
};
kvault_status kvault__var_locate(struct var *var, const struct chunk_place *place, uint32_t i, struct packed_place *ret,
                                 kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__var_load_slot(struct var *var, const struct chunk_place *place, const struct packed_place *at,
                                    kvault_buf *buf, struct packed_slot *ret_slot,
                                    kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__var_read_large(struct var *var, const struct packed_slot *slot, kvault_result *result,
                                     kvault_error *reterr) KVAULT_MUST_USE;

/* ---- varsize_edit.c ---- */
kvault_status kvault__var_append(struct var *var, const kvault_elements *elements,
                                 kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__var_set(struct var *var, uint64_t index, kvault_slice element,
                              kvault_error *reterr) KVAULT_MUST_USE;
/* Put the elements in place of those in [start, stop). */
kvault_status kvault__var_splice(struct var *var, uint64_t start, uint64_t stop, const kvault_elements *elements,
                                 kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__var_compact(struct var *var, kvault_error *reterr) KVAULT_MUST_USE;

static inline kvault_slice kvault__element(const kvault_elements *elements, uint64_t i)
{
    uint64_t start = elements->offsets[i];

    if (elements->offsets[i + 1] == start) /* `data` may be NULL where all are empty */
        return (kvault_slice){ NULL, 0 };
    return (kvault_slice){ (const uint8_t *)elements->data + start, (size_t)(elements->offsets[i + 1] - start) };
}

#endif
