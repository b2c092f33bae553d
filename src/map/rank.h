/* rank.h - int64 ranks that sort as keys do, for both maps. */
#ifndef KVAULT_MAP_RANK_H
#define KVAULT_MAP_RANK_H

#include <string.h>

#include "base/bytes.h"
#include "kohakuvault/base.h"

/* The bits of a double in an order of integers: those of negative numbers are
 * turned round below the sign. Not for NaN. */
static inline int64_t kvault__double_rank(double number)
{
    int64_t bits;

    number += 0.0; /* -0.0 becomes 0.0 */
    memcpy(&bits, &number, sizeof bits);
    return bits < 0 ? bits ^ INT64_MAX : bits;
}

/* The double whose rank this is. */
static inline double kvault__rank_double(int64_t rank)
{
    int64_t bits = rank < 0 ? rank ^ INT64_MAX : rank;
    double number;

    memcpy(&number, &bits, sizeof number);
    return number;
}

/* The rank of what is behind the first `skip` bytes, which must be there: its first 7 bytes, then its size, where 8
 * stands for all above 7. So a prefix comes first, and only keys that are longer tie. */
static inline int64_t kvault__bytes_rank(kvault_slice bytes, size_t skip)
{
    const uint8_t *data = (const uint8_t *)bytes.data + skip;
    size_t size = bytes.size - skip;
    uint64_t head = 0;

    if (size >= 8) {
        head = (kvault__load_be64(data) & ~(uint64_t)0xff) | 8;
    } else if (size >= 4) {
        /* Two loads that overlap. */
        head = (uint64_t)kvault__load_be32(data) << 32;
        head |= (uint64_t)kvault__load_be32(data + size - 4) << (64 - 8 * size);
        head |= size;
    } else {
        for (size_t i = 0; i < size; i++)
            head |= (uint64_t)data[i] << (56 - 8 * i);
        head |= size;
    }
    return (int64_t)(head ^ ((uint64_t)1 << 63));
}

/* Whether keys of this rank are equal. */
static inline bool kvault__rank_is_whole(int64_t rank)
{
    return (rank & 0xff) < 8;
}

/* Below, at or above 0, as memcmp, a prefix first. */
static inline int kvault__bytes_order(kvault_slice a, kvault_slice b)
{
    size_t shared = a.size < b.size ? a.size : b.size;
    int order = shared > 0 ? memcmp(a.data, b.data, shared) : 0;

    return order ? order : (a.size > b.size) - (a.size < b.size);
}

#endif
