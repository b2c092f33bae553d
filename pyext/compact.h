/* compact.h - what lies inside the commonest Python objects, read without a call. */
#ifndef KVPY_COMPACT_H
#define KVPY_COMPACT_H

#include "compat.h"

#include <stdbool.h>
#include <stdint.h>

/* The value of an int whose digits can be read in place; false for a larger one. */
static inline bool kvpy_compact_int(PyObject *number, int64_t *ret)
{
#if PY_VERSION_HEX >= 0x030C0000
    if (!PyUnstable_Long_IsCompact((PyLongObject *)number))
        return false;
    *ret = (int64_t)PyUnstable_Long_CompactValue((PyLongObject *)number);
    return true;
#else
    const digit *digits = ((PyLongObject *)number)->ob_digit;
    Py_ssize_t size = Py_SIZE(number);
    int64_t sign = size < 0 ? -1 : 0; /* no branch: signs are often random, lengths are not */
    int64_t magnitude = 0;

    size = (size ^ sign) - sign;
    if (size == 1)
        magnitude = (int64_t)digits[0];
    else if (size == 2)
        magnitude = (int64_t)((uint64_t)digits[1] << PyLong_SHIFT | digits[0]);
    else if (size)
        return false;
    *ret = (magnitude ^ sign) - sign;
    return true;
#endif
}

/* Copy a short run of bytes; libc is better from some hundred on. */
static inline void kvpy_copy_short(uint8_t *to, const uint8_t *from, size_t size)
{
    uint64_t first, last;
    uint32_t first4, last4;

    if (size > 16) {
        memcpy(to, from, size);
    } else if (size >= 8) {
        memcpy(&first, from, 8);
        memcpy(&last, from + size - 8, 8);
        memcpy(to, &first, 8);
        memcpy(to + size - 8, &last, 8);
    } else if (size >= 4) {
        memcpy(&first4, from, 4);
        memcpy(&last4, from + size - 4, 4);
        memcpy(to, &first4, 4);
        memcpy(to + size - 4, &last4, 4);
    } else if (size) {
        to[0] = from[0];
        to[size / 2] = from[size / 2];
        to[size - 1] = from[size - 1];
    }
}

/* Whether two short runs of bytes are the same; at least one byte. */
static inline bool kvpy_same_short(const uint8_t *a, const uint8_t *b, size_t size)
{
    uint64_t a8, b8, a8_last, b8_last;
    uint32_t a4, b4, a4_last, b4_last;

    if (size > 16)
        return memcmp(a, b, size) == 0;
    if (size >= 8) {
        memcpy(&a8, a, 8);
        memcpy(&b8, b, 8);
        memcpy(&a8_last, a + size - 8, 8);
        memcpy(&b8_last, b + size - 8, 8);
        return ((a8 ^ b8) | (a8_last ^ b8_last)) == 0;
    }
    if (size >= 4) {
        memcpy(&a4, a, 4);
        memcpy(&b4, b, 4);
        memcpy(&a4_last, a + size - 4, 4);
        memcpy(&b4_last, b + size - 4, 4);
        return ((a4 ^ b4) | (a4_last ^ b4_last)) == 0;
    }
    return a[0] == b[0] && a[size / 2] == b[size / 2] && a[size - 1] == b[size - 1];
}

#endif
