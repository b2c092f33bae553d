/* packed.h - the data of one chunk of a variable-size column.
 *
 *     0 count u32 | 4 area u32, its bytes | 8 table u32[count] | area
 *
 * table[i] is where slot i begins in the area; it ends where the next begins, or the area does. Two flags:
 *
 *     bit 31  the slot has slack at its end: the last byte says how much, or is 255 and the four
 *             bytes before it say so (the count includes itself)
 *     bit 30  the element is large: the slot holds its first piece u32 and its size u32. Pieces are
 *             chunks of the column that follow each other, each of 261,632 bytes but the last
 *
 * An element above what fits in a chunk by itself is large. */
#ifndef KVAULT_COLUMN_PACKED_H
#define KVAULT_COLUMN_PACKED_H

#include "column/chunk.h"

#define PACKED_HEADER 8u
#define PACKED_ENTRY 4u
#define PACKED_SLACK 0x80000000u
#define PACKED_LARGE 0x40000000u
#define PACKED_OFFSET 0x3fffffffu
#define PACKED_LARGE_BYTES 8u
#define PACKED_PIECE_DATA (64u * KVAULT_BLOCK_DATA)

/* An element as it lies in a chunk, or will lie there. */
struct packed_slot {
    const uint8_t *data; /* of a large one: its 8 bytes */
    uint32_t size;       /* of data */
    uint32_t slack;
    bool large;
};

struct packed {
    const uint8_t *data;
    uint32_t count, area;
};

static inline uint32_t kvault__packed_size(uint32_t count, uint32_t area)
{
    return PACKED_HEADER + count * PACKED_ENTRY + area;
}

/* The largest element that lies in a chunk itself. */
static inline uint32_t kvault__packed_element_max(const struct column_meta *meta)
{
    return kvault__chunk_data_max(meta) - PACKED_HEADER - PACKED_ENTRY;
}

/* Check the header against the bytes there are and the elements there should be. */
kvault_status kvault__packed_open(const uint8_t *data, uint32_t size, uint64_t count, struct packed *ret_packed,
                                  kvault_error *reterr) KVAULT_MUST_USE;
/* Slot `i`; KVAULT_E_CORRUPT when its place makes no sense, with words that name no column. */
kvault_status kvault__packed_slot(const struct packed *packed, uint32_t i, struct packed_slot *ret_slot,
                                  kvault_error *reterr) KVAULT_MUST_USE;
/* Interpret the bytes of a slot, whose table entry is given. */
kvault_status kvault__packed_decode(const uint8_t *bytes, uint32_t size, uint32_t entry, struct packed_slot *ret_slot,
                                    kvault_error *reterr) KVAULT_MUST_USE;
/* Write slots without their slack; `to` holds kvault__packed_size() bytes. */
void kvault__packed_write(const struct packed_slot *slots, uint32_t count, uint32_t area, uint8_t *to);
/* Mark the end of a slot of `room` bytes that holds `size`, room > size. */
void kvault__packed_mark_slack(uint8_t *slot, uint32_t room, uint32_t size);

/* First piece and size of a large element. */
static inline uint32_t kvault__large_seq(const struct packed_slot *slot)
{
    return (uint32_t)slot->data[0] | (uint32_t)slot->data[1] << 8 | (uint32_t)slot->data[2] << 16 |
           (uint32_t)slot->data[3] << 24;
}

static inline uint32_t kvault__large_size(const struct packed_slot *slot)
{
    return (uint32_t)slot->data[4] | (uint32_t)slot->data[5] << 8 | (uint32_t)slot->data[6] << 16 |
           (uint32_t)slot->data[7] << 24;
}

static inline uint32_t kvault__large_pieces(uint32_t size)
{
    return size / PACKED_PIECE_DATA + (size % PACKED_PIECE_DATA != 0);
}

#endif
