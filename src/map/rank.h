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

/* The rank of the 8 bytes behind the first `skip`, which must be there. Different keys may tie. */
static inline int64_t kvault__bytes_rank(kvault_slice bytes, size_t skip)
{
    uint8_t head[8] = { 0 };
    size_t size = bytes.size - skip;

    if (size > 0)
        memcpy(head, (const uint8_t *)bytes.data + skip, size < 8 ? size : 8);
    return (int64_t)(kvault__load_be64(head) ^ ((uint64_t)1 << 63));
}

/* Below, at or above 0, as memcmp, a prefix first. */
static inline int kvault__bytes_order(kvault_slice a, kvault_slice b)
{
    size_t shared = a.size < b.size ? a.size : b.size;
    int order = shared > 0 ? memcmp(a.data, b.data, shared) : 0;

    return order ? order : (a.size > b.size) - (a.size < b.size);
}

#endif
