/* kv_pieces.h - a value above 256 KiB: where its bytes lie, and who sweeps them.
 *
 * The key's cell holds a blob id and the size. The bytes are chunks of the PIECES family,
 * owner = blob id, seq 0, 1, 2...: each 64 blocks, 261,632 bytes of data, but the last.
 * A blob id is never used again, so a piece never changes but by growing at its end.
 *
 * A blob that is not simply some key's value has a record in the BLOBS space:
 *
 *     0 version u8 = 1 | 1 state u8 | 2 zero u8 6 | 8 time u64, ms since 1970
 *     16 size u64 | 24 XXH3 of the 24 bytes before, with the id u64           little-endian
 *
 *   WRITING    a stream writes it, nobody refers to it; time is its last sign of life
 *   APPENDING  some key's value of `size` bytes, an appender adds to it
 *   RETIRED    replaced or deleted at `time`; kept for slow readers
 *
 * Sweeping: retired ones after 60 s, or when more than 16 MiB of them are there (oldest
 * first), never while a reader of this process holds them; the others after an hour of silence. */
#ifndef KVAULT_KV_KV_PIECES_H
#define KVAULT_KV_KV_PIECES_H

#include "kv/kv_state.h"

#define PIECE_BLOCKS 64u
#define PIECE_DATA (PIECE_BLOCKS * KVAULT_BLOCK_DATA)
#define PIECE_IMAGE (PIECE_BLOCKS * KVAULT_BLOCK_BYTES)

enum blob_state { BLOB_WRITING = 1, BLOB_APPENDING = 2, BLOB_RETIRED = 3 };

struct blob_record {
    enum blob_state state;
    int64_t time_ms;
    uint64_t size;
};

/* KVAULT_NOT_FOUND if the blob has none. */
kvault_status kvault__blob_record_get(struct reading *read, uint64_t blob_id, struct blob_record *ret_record,
                                      kvault_error *reterr) KVAULT_MUST_USE;
/* Written with the time of now. */
kvault_status kvault__blob_record_put(struct writing *write, uint64_t blob_id, enum blob_state state, uint64_t size,
                                      kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__blob_record_delete(struct writing *write, uint64_t blob_id, kvault_error *reterr) KVAULT_MUST_USE;

/* Write `data`, which begins at the start of piece `seq`; all but the last piece are whole. */
kvault_status kvault__pieces_write(struct writing *write, uint64_t blob_id, uint32_t seq, kvault_slice data,
                                   kvault_error *reterr) KVAULT_MUST_USE;
/* Read bytes [offset, offset + size) of a blob; the range is inside it. A missing piece is
 * KVAULT_E_CORRUPT, or KVAULT_E_IO where the blob may have been swept (`may_be_gone`). */
kvault_status kvault__pieces_read(struct reading *read, uint64_t blob_id, uint64_t offset, void *dest, size_t size,
                                  bool may_be_gone, kvault_error *reterr) KVAULT_MUST_USE;
/* Cut the blob to `size` bytes: after an append that was not published. */
kvault_status kvault__pieces_truncate(struct writing *write, uint64_t blob_id, uint64_t size,
                                      kvault_error *reterr) KVAULT_MUST_USE;

/* After a commit, outside any transaction: give back what nobody needs. Best effort. */
void kvault__blobs_sweep(kvault *vault);

#endif
