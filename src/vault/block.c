/* block.c - blocks that carry their own checksum. See block.h for the format. */
#include "vault/block.h"

#include <string.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "base/hash.h"
#include "base/banned.h"

#define SUM_BYTES 8u

uint32_t kvault__blocks_image_size(uint32_t data_size)
{
    uint32_t blocks = (data_size + KVAULT_BLOCK_DATA - 1) / KVAULT_BLOCK_DATA;

    return data_size + blocks * SUM_BYTES;
}

uint32_t kvault__blocks_data_size(uint32_t image_size)
{
    uint32_t blocks = image_size / KVAULT_BLOCK_BYTES, rest = image_size % KVAULT_BLOCK_BYTES;

    if (rest && rest <= SUM_BYTES)
        return UINT32_MAX;
    return blocks * KVAULT_BLOCK_DATA + (rest ? rest - SUM_BYTES : 0);
}

/* Two 64-bit mixes: the place must not be mistaken for a neighbour's. */
static uint64_t seed_of(struct block_place place, uint32_t block)
{
    uint64_t seed = place.owner * 0x9E3779B97F4A7C15u;

    seed ^= ((uint64_t)place.seq << 32 | block) + ((uint64_t)place.family << 62);
    return seed * 0xD6E8FEB86659FD93u;
}

void kvault__blocks_encode(struct block_place place, uint32_t first_block, const void *data, uint32_t data_size,
                           void *image)
{
    const uint8_t *from = data;
    uint8_t *to = image;

    for (uint32_t block = first_block; data_size; block++) {
        uint32_t part = data_size < KVAULT_BLOCK_DATA ? data_size : KVAULT_BLOCK_DATA;

        memcpy(to, from, part);
        /* Of the copy: the caller's memory may be changing meanwhile, which must not look like a damaged file. */
        kvault__store_le64(to + part, kvault__hash((kvault_slice){ to, part }, seed_of(place, block)));
        from += part;
        to += part + SUM_BYTES;
        data_size -= part;
    }
}

kvault_status kvault__blocks_decode(struct block_place place, uint32_t first_block, const void *image,
                                    uint32_t image_size, uint32_t skip, void *data, uint32_t size,
                                    kvault_error *reterr)
{
    const uint8_t *from = image;
    uint8_t *to = data;

    for (uint32_t block = first_block; image_size; block++) {
        uint32_t whole = image_size < KVAULT_BLOCK_BYTES ? image_size : KVAULT_BLOCK_BYTES;
        uint32_t part, take;

        if (whole <= SUM_BYTES)
            return kvault__fail_at(reterr, KVAULT_E_CORRUPT, block, "block %u is only %u bytes long", block, whole);
        part = whole - SUM_BYTES;
        if (kvault__load_le64(from + part) != kvault__hash((kvault_slice){ from, part }, seed_of(place, block)))
            return kvault__fail_at(reterr, KVAULT_E_CORRUPT, block, "the checksum of block %u does not match", block);
        if (skip < part && size) {
            take = part - skip < size ? part - skip : size;
            memmove(to, from + skip, take);
            to += take;
            size -= take;
            skip = 0;
        } else if (skip >= part) {
            skip -= part;
        }
        from += whole;
        image_size -= whole;
    }
    if (size)
        return kvault__fail(reterr, KVAULT_E_CORRUPT, "%u bytes are missing at the end", size);
    return KVAULT_OK;
}

/* Names differ in case only by accident of who opened the table first, so the name is not part of
 * the sum; a row moved to another table is caught by its key there. */
uint64_t kvault__value_checksum(const struct storage_space *space, kvault_slice key, kvault_slice value)
{
    return kvault__hash(value, kvault__hash(key, 0x6B76u + (uint64_t)space->kind));
}

uint64_t kvault__record_checksum(enum storage_kind kind, uint64_t key, kvault_slice record)
{
    return kvault__hash(record, (key + 1) * 0x9E3779B97F4A7C15u ^ (uint64_t)kind);
}
