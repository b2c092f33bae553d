/* dtype.c - the dtype grammar, both ways. See dtype.h for the grammar itself.
 *
 * The text comes from a user or from a file, so it may hold anything: what is
 * quoted in a message is cut at the limit and made printable first. */
#include "kohakuvault/dtype.h"

#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/banned.h"

struct kind_row {
    const char *name;
    uint32_t size_bytes; /* 0: the text may give one */
};

/* Indexed by kvault_kind. */
static const struct kind_row kinds[] = {
    [KVAULT_I8] = { "i8", 1 },   [KVAULT_I16] = { "i16", 2 },         [KVAULT_I32] = { "i32", 4 },
    [KVAULT_I64] = { "i64", 8 }, [KVAULT_U8] = { "u8", 1 },           [KVAULT_U16] = { "u16", 2 },
    [KVAULT_U32] = { "u32", 4 }, [KVAULT_U64] = { "u64", 8 },         [KVAULT_F32] = { "f32", 4 },
    [KVAULT_F64] = { "f64", 8 }, [KVAULT_BOOL] = { "bool", 1 },       [KVAULT_BYTES] = { "bytes", 0 },
    [KVAULT_STR] = { "str", 0 }, [KVAULT_MSGPACK] = { "msgpack", 0 }, [KVAULT_CBOR] = { "cbor", 0 },
};

/* Indexed by kvault_encoding. */
static const char *const encodings[] = {
    [KVAULT_UTF8] = "utf8",     [KVAULT_UTF16LE] = "utf16le", [KVAULT_UTF16BE] = "utf16be",
    [KVAULT_LATIN1] = "latin1", [KVAULT_ASCII] = "ascii",
};

struct alias_row {
    const char *name;
    kvault_encoding encoding;
};

/* Without case, `-` and `_`. */
static const struct alias_row aliases[] = {
    { "iso88591", KVAULT_LATIN1 },
    { "l1", KVAULT_LATIN1 },
    { "usascii", KVAULT_ASCII },
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static bool same(kvault_slice text, const char *name)
{
    return text.size == strlen(name) && memcmp(text.data, name, text.size) == 0;
}

/* The text up to the next colon; *rest is what stands behind it. False when
 * there is no text left. */
static bool next_part(kvault_slice *rest, kvault_slice *ret_part)
{
    const char *text = rest->data;
    const char *colon;
    size_t size;

    if (!text)
        return false;
    colon = rest->size ? memchr(text, ':', rest->size) : NULL;
    size = colon ? (size_t)(colon - text) : rest->size;
    *ret_part = (kvault_slice){ text, size };
    *rest = colon ? (kvault_slice){ colon + 1, rest->size - size - 1 } : (kvault_slice){ NULL, 0 };
    return true;
}

/* "Unknown dtype", the text as far as it can be shown, and why. */
static kvault_status unknown(kvault_slice text, const char *reason, kvault_error *reterr)
{
    const char *from = text.data;
    char shown[KVAULT_DTYPE_TEXT_MAX + 1];
    size_t size = text.size < KVAULT_DTYPE_TEXT_MAX ? text.size : KVAULT_DTYPE_TEXT_MAX;

    for (size_t i = 0; i < size; i++)
        shown[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
    shown[size] = '\0';
    return kvault__fail(reterr, KVAULT_E_INVALID, "Unknown dtype \"%s\": %s", shown, reason);
}

static bool parse_size(kvault_slice part, uint32_t *ret_size)
{
    const char *digits = part.data;
    uint32_t size = 0;

    for (size_t i = 0; i < part.size; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return false;
        size = size * 10 + (uint32_t)(digits[i] - '0');
        if (size > KVAULT_DTYPE_SIZE_MAX)
            return false;
    }
    if (size == 0)
        return false;
    *ret_size = size;
    return true;
}

static bool parse_encoding(kvault_slice part, kvault_encoding *ret_encoding)
{
    const char *from = part.data;
    char plain[16];
    kvault_slice name = { plain, 0 };

    for (size_t i = 0; i < part.size; i++) {
        if (from[i] == '-' || from[i] == '_')
            continue;
        if (name.size == sizeof plain)
            return false;
        plain[name.size++] = from[i] >= 'A' && from[i] <= 'Z' ? (char)(from[i] - 'A' + 'a') : from[i];
    }
    for (size_t i = 0; i < COUNT_OF(encodings); i++) {
        if (same(name, encodings[i])) {
            *ret_encoding = (kvault_encoding)i;
            return true;
        }
    }
    for (size_t i = 0; i < COUNT_OF(aliases); i++) {
        if (same(name, aliases[i].name)) {
            *ret_encoding = aliases[i].encoding;
            return true;
        }
    }
    return false;
}

static bool parse_kind(kvault_slice part, kvault_kind *ret_kind)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (same(part, kinds[i].name)) {
            *ret_kind = (kvault_kind)i;
            return true;
        }
    }
    return false;
}

static bool starts_with_digit(kvault_slice part)
{
    const char *text = part.data;
    return part.size && text[0] >= '0' && text[0] <= '9';
}

kvault_status kvault_dtype_parse(kvault_slice text, kvault_dtype *ret_dtype, kvault_error *reterr)
{
    kvault_slice rest = text, part = { NULL, 0 };
    kvault_dtype dtype = { KVAULT_I8, KVAULT_UTF8, 0 };
    bool more;

    if (text.size > KVAULT_DTYPE_TEXT_MAX)
        return kvault__fail(reterr, KVAULT_E_INVALID, "Unknown dtype: its text is %zu bytes, limit %d", text.size,
                            KVAULT_DTYPE_TEXT_MAX);
    if (!next_part(&rest, &part) || !parse_kind(part, &dtype.kind))
        return unknown(text, "no such type", reterr);
    dtype.size_bytes = kinds[dtype.kind].size_bytes;
    more = next_part(&rest, &part);
    if (more && dtype.size_bytes)
        return unknown(text, "this type takes no size", reterr);
    if (more && (dtype.kind != KVAULT_STR || starts_with_digit(part))) {
        if (!parse_size(part, &dtype.size_bytes))
            return unknown(text, "a size is a number from 1 to 16777216", reterr);
        more = next_part(&rest, &part);
    }
    if (more && dtype.kind == KVAULT_STR) {
        if (!parse_encoding(part, &dtype.encoding))
            return unknown(text, "no such encoding; utf8, utf16le, utf16be, latin1 and ascii are known", reterr);
        more = next_part(&rest, &part);
    }
    if (more)
        return unknown(text, "something follows a complete type", reterr);
    if ((dtype.encoding == KVAULT_UTF16LE || dtype.encoding == KVAULT_UTF16BE) && dtype.size_bytes % 2)
        return unknown(text, "UTF-16 takes an even number of bytes", reterr);
    *ret_dtype = dtype;
    return KVAULT_OK;
}

size_t kvault_dtype_text(const kvault_dtype *dtype, char ret_text[KVAULT_DTYPE_TEXT_MAX + 1])
{
    const struct kind_row *row = &kinds[dtype->kind];
    const size_t room = KVAULT_DTYPE_TEXT_MAX + 1;
    size_t size = (size_t)snprintf(ret_text, room, "%s", row->name);

    if (!row->size_bytes && dtype->size_bytes)
        size += (size_t)snprintf(ret_text + size, room - size, ":%u", (unsigned)dtype->size_bytes);
    if (dtype->encoding != KVAULT_UTF8)
        size += (size_t)snprintf(ret_text + size, room - size, ":%s", encodings[dtype->encoding]);
    return size;
}

const char *kvault_encoding_name(kvault_encoding encoding)
{
    return encodings[encoding];
}
