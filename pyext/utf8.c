/* utf8.c - any str as UTF-8, and back. */
#include "utf8.h"

#include "compact.h"

/* ---- writing ---- */

static bool is_surrogate(Py_UCS4 c)
{
    return c >= 0xd800 && c <= 0xdfff;
}

static Py_ssize_t size_of_char(Py_UCS4 c)
{
    return 1 + (c >= 0x80) + (c >= 0x800) + (c >= 0x10000);
}

static Py_ssize_t refuse_surrogate(kvpy_state *state, Py_UCS4 c, Py_ssize_t index)
{
    PyErr_Format(state->InvalidArgument, "text holds the lone surrogate U+%04X at index %zd, which no encoding has",
                 (unsigned)c, index);
    return -1;
}

Py_ssize_t kvpy_utf8_size(kvpy_state *state, PyObject *text)
{
    Py_ssize_t length, size;
    const void *chars;
    int kind;

#if PY_VERSION_HEX < 0x030C0000
    if (PyUnicode_READY(text) < 0)
        return -1;
#endif
    size = length = PyUnicode_GET_LENGTH(text);
    if (PyUnicode_IS_ASCII(text))
        return length;
    chars = PyUnicode_DATA(text);
    kind = PyUnicode_KIND(text);
    if (length > PY_SSIZE_T_MAX / 8) {
        PyErr_NoMemory();
        return -1;
    }
    if (kind == PyUnicode_1BYTE_KIND) {
        for (Py_ssize_t i = 0; i < length; i++)
            size += ((const Py_UCS1 *)chars)[i] >> 7;
        return size;
    }
    for (Py_ssize_t i = 0; i < length; i++) {
        Py_UCS4 c = PyUnicode_READ(kind, chars, i);
        if (is_surrogate(c))
            return refuse_surrogate(state, c, i);
        size += size_of_char(c) - 1;
    }
    return size;
}

static uint8_t *store_char(uint8_t *to, Py_UCS4 c)
{
    if (c < 0x80) {
        *to++ = (uint8_t)c;
    } else if (c < 0x800) {
        *to++ = (uint8_t)(0xc0 | c >> 6);
        *to++ = (uint8_t)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *to++ = (uint8_t)(0xe0 | c >> 12);
        *to++ = (uint8_t)(0x80 | (c >> 6 & 63));
        *to++ = (uint8_t)(0x80 | (c & 63));
    } else {
        *to++ = (uint8_t)(0xf0 | c >> 18);
        *to++ = (uint8_t)(0x80 | (c >> 12 & 63));
        *to++ = (uint8_t)(0x80 | (c >> 6 & 63));
        *to++ = (uint8_t)(0x80 | (c & 63));
    }
    return to;
}

void kvpy_utf8_store(PyObject *text, uint8_t *to)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    const void *chars = PyUnicode_DATA(text);
    int kind = PyUnicode_KIND(text);

    if (PyUnicode_IS_ASCII(text)) {
        memcpy(to, chars, (size_t)length);
        return;
    }
    switch (kind) { /* a loop for each width: the compiler does not take the switch out of READ by itself */
    case PyUnicode_1BYTE_KIND:
        for (Py_ssize_t i = 0; i < length; i++)
            to = store_char(to, ((const Py_UCS1 *)chars)[i]);
        break;
    case PyUnicode_2BYTE_KIND:
        for (Py_ssize_t i = 0; i < length; i++)
            to = store_char(to, ((const Py_UCS2 *)chars)[i]);
        break;
    default:
        for (Py_ssize_t i = 0; i < length; i++)
            to = store_char(to, ((const Py_UCS4 *)chars)[i]);
    }
}

/* ---- reading ---- */

static bool is_ascii(const uint8_t *at, size_t size)
{
    const uint64_t high = UINT64_C(0x8080808080808080);
    const uint8_t *end = at + size;
    uint64_t word;

    for (; end - at >= 8; at += 8) {
        memcpy(&word, at, 8);
        if (word & high)
            return false;
    }
    for (; at < end; at++)
        if (*at & 0x80)
            return false;
    return true;
}

PyObject *kvpy_utf8_load(const uint8_t *from, size_t size)
{
    PyObject *text;

    if (size <= 1 || !is_ascii(from, size)) /* CPython keeps the texts of one character and none */
        return PyUnicode_DecodeUTF8((const char *)from, (Py_ssize_t)size, "strict");
    text = PyUnicode_New((Py_ssize_t)size, 127);
    if (text)
        kvpy_copy_short(PyUnicode_1BYTE_DATA(text), from, size);
    return text;
}
