/* token.h - what the readers and writers of both formats share. See packer.h.
 *
 * A reader carries `owed`: how many items the open containers still promise.
 * Each item takes a byte at least, so a container is believed only if its own
 * items and all those owed before it fit into the bytes that remain. The counts
 * that a caller ever sees therefore add up to no more than the size of the
 * input, however the containers nest, and may be used to allocate.
 *
 * The chunks of a CBOR string of unknown size are checked when its token is
 * read; afterwards they are walked without checks. */
#ifndef KVAULT_CODEC_TOKEN_H
#define KVAULT_CODEC_TOKEN_H

#include "base/fail.h"
#include "kohakuvault/packer.h"

/* The item at the reader would take `need` bytes, and they are not there. */
kvault_status kvault__truncated(const kvault_reader *reader, uint64_t need, kvault_error *reterr);

/* Take the head of a container and enter it: ARRAY, MAP, or TAG, whose count is 1.
 * The count of a MAP is in pairs. */
kvault_status kvault__take_container(kvault_reader *reader, size_t head, kvault_token *ret_token,
                                     kvault_token_kind kind, uint64_t count, kvault_error *reterr) KVAULT_MUST_USE;

/* The big-endian number of 1, 2, 4 or 8 bytes. */
static inline uint64_t kvault__get_be(const uint8_t *from, size_t bytes)
{
    switch (bytes) {
    case 1:
        return from[0];
    case 2:
        return kvault__get_be16(from);
    case 4:
        return kvault__get_be32(from);
    default:
        return kvault__get_be64(from);
    }
}

/* The chunk at *at, which moves behind it; false at the break. */
static inline bool kvault__next_chunk(const uint8_t **at, kvault_slice *ret_chunk)
{
    const uint8_t *head = *at;
    unsigned low = head[0] & 31;
    size_t wide;

    if (head[0] == 0xff)
        return false;
    wide = low < 24 ? 0 : (size_t)1 << (low - 24);
    ret_chunk->data = head + 1 + wide;
    ret_chunk->size = wide ? (size_t)kvault__get_be(head + 1, wide) : low;
    *at = head + 1 + wide + ret_chunk->size;
    return true;
}

#endif
