/* bytes.h - loads and stores of a stated byte order, at any alignment. */
#ifndef KVAULT_BASE_BYTES_H
#define KVAULT_BASE_BYTES_H

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define KVAULT__LE(bits, x) (x)
#define KVAULT__BE(bits, x) __builtin_bswap##bits(x)
#else
#define KVAULT__LE(bits, x) __builtin_bswap##bits(x)
#define KVAULT__BE(bits, x) (x)
#endif

#define KVAULT__DEFINE_BYTES(bits)                                                                                     \
    static inline uint##bits##_t kvault__load_le##bits(const void *from)                                               \
    {                                                                                                                  \
        uint##bits##_t x;                                                                                              \
        memcpy(&x, from, sizeof x);                                                                                    \
        return KVAULT__LE(bits, x);                                                                                    \
    }                                                                                                                  \
    static inline uint##bits##_t kvault__load_be##bits(const void *from)                                               \
    {                                                                                                                  \
        uint##bits##_t x;                                                                                              \
        memcpy(&x, from, sizeof x);                                                                                    \
        return KVAULT__BE(bits, x);                                                                                    \
    }                                                                                                                  \
    static inline void kvault__store_le##bits(void *to, uint##bits##_t x)                                              \
    {                                                                                                                  \
        x = KVAULT__LE(bits, x);                                                                                       \
        memcpy(to, &x, sizeof x);                                                                                      \
    }                                                                                                                  \
    static inline void kvault__store_be##bits(void *to, uint##bits##_t x)                                              \
    {                                                                                                                  \
        x = KVAULT__BE(bits, x);                                                                                       \
        memcpy(to, &x, sizeof x);                                                                                      \
    }

KVAULT__DEFINE_BYTES(16)
KVAULT__DEFINE_BYTES(32)
KVAULT__DEFINE_BYTES(64)
#undef KVAULT__DEFINE_BYTES

#endif
