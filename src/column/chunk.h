/* chunk.h - bytes of a chunk of a column, in checksummed blocks (vault/block.h), read and changed in part. */
#ifndef KVAULT_COLUMN_CHUNK_H
#define KVAULT_COLUMN_CHUNK_H

#include "column/column_state.h"

/* Read data bytes [offset, offset + size); only their blocks are read and checked. A chunk that is missing
 * or too short is KVAULT_E_CORRUPT, as is a wrong sum: the words name block and fault, not the column. */
kvault_status kvault__chunk_read(struct column_io *io, uint64_t id, uint32_t seq, uint32_t offset, void *dest,
                                 uint32_t size, kvault_error *reterr) KVAULT_MUST_USE;
/* Data bytes that the chunk holds. */
kvault_status kvault__chunk_size(struct column_io *io, uint64_t id, uint32_t seq, uint32_t *ret_size,
                                 kvault_error *reterr) KVAULT_MUST_USE;
/* Put the chunk, whatever was there. `size` is not 0. */
kvault_status kvault__chunk_put(struct column_io *io, uint64_t id, uint32_t seq, const void *data, uint32_t size,
                                kvault_error *reterr) KVAULT_MUST_USE;
/* Overwrite data bytes inside the chunk. Blocks that are written in part are read and checked first. */
kvault_status kvault__chunk_patch(struct column_io *io, uint64_t id, uint32_t seq, uint32_t offset, const void *data,
                                  uint32_t size, kvault_error *reterr) KVAULT_MUST_USE;
/* Delete chunks [seq, seq_end). */
kvault_status kvault__chunk_delete(struct column_io *io, uint64_t id, uint32_t seq, uint32_t seq_end,
                                   kvault_error *reterr) KVAULT_MUST_USE;

#endif
