/* block.h - bytes in blocks that carry their own checksum: pieces and chunks.
 *
 *     block:  | up to 4,088 bytes of data | XXH3 : u64 little-endian |
 *
 * Every block but the last of an image is 4,096 bytes long; the last may be shorter,
 * and an image of no data is empty. The sum is seeded with the family, the owner, the
 * sequence number and the number of the block, so that a block in another's place is found. */
#ifndef KVAULT_VAULT_BLOCK_H
#define KVAULT_VAULT_BLOCK_H

#include "kohakuvault/error.h"
#include "storage/storage.h"

#define KVAULT_BLOCK_BYTES 4096u
#define KVAULT_BLOCK_DATA 4088u

/* Image bytes that hold so many bytes of data, and the other way round. An image size that
 * no data has (a last block of 8 bytes or fewer) gives UINT32_MAX. */
uint32_t kvault__blocks_image_size(uint32_t data_size);
uint32_t kvault__blocks_data_size(uint32_t image_size);

struct block_place {
    enum storage_family family;
    uint64_t owner;
    uint32_t seq;
};

/* Write blocks first_block, first_block + 1... of `data` to `image` (image_size bytes
 * are written). data_size fills whole blocks except perhaps the last. */
void kvault__blocks_encode(struct block_place place, uint32_t first_block, const void *data, uint32_t data_size,
                           void *image);
/* Check the blocks of `image`, which begins with block first_block, and copy the data to `data` from
 * byte `skip` of it on, `size` bytes. A wrong sum is KVAULT_E_CORRUPT with the block's number.
 * `data` may lie where the image does, or anywhere before it: block for block, the data moves down. */
kvault_status kvault__blocks_decode(struct block_place place, uint32_t first_block, const void *image,
                                    uint32_t image_size, uint32_t skip, void *data, uint32_t size,
                                    kvault_error *reterr) KVAULT_MUST_USE;

/* The sum of an inline value: covers table, key and value. */
uint64_t kvault__value_checksum(const struct storage_space *space, kvault_slice key, kvault_slice value);
/* The sum of a record of a fixed space: covers kind, key and record. */
uint64_t kvault__record_checksum(enum storage_kind kind, uint64_t key, kvault_slice record);

#endif
