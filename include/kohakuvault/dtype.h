/* dtype.h - what an element is: "i64", "str:32:utf8" or "msgpack:256", parsed.
 *
 *     dtype    = "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64"
 *              | "f32" | "f64" | "bool"
 *              | ("bytes" | "msgpack" | "cbor") [":" size]
 *              | "str" [":" size] [":" encoding]
 *     encoding = "utf8" | "utf16le" | "utf16be" | "latin1" | "ascii"
 *
 * A size is in bytes, from 1 to KVAULT_DTYPE_SIZE_MAX, and even for UTF-16; a
 * type without one has elements of any size. Encodings are read without case,
 * `-` and `_`, so that "UTF-8" is "utf8"; "iso-8859-1" and "us-ascii" are known too.
 * The functions keep nothing, and any number of threads may call them. */
#ifndef KOHAKUVAULT_DTYPE_H
#define KOHAKUVAULT_DTYPE_H

#include "kohakuvault/error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KVAULT_DTYPE_TEXT_MAX 255                 /* bytes of text */
#define KVAULT_DTYPE_SIZE_MAX ((uint32_t)1 << 24) /* bytes of an element of fixed size: 16 MiB */

typedef enum kvault_kind {
    KVAULT_I8,
    KVAULT_I16,
    KVAULT_I32,
    KVAULT_I64,
    KVAULT_U8,
    KVAULT_U16,
    KVAULT_U32,
    KVAULT_U64,
    KVAULT_F32,
    KVAULT_F64,
    KVAULT_BOOL,
    KVAULT_BYTES,
    KVAULT_STR,
    KVAULT_MSGPACK,
    KVAULT_CBOR
} kvault_kind;

typedef enum kvault_encoding {
    KVAULT_UTF8,
    KVAULT_UTF16LE,
    KVAULT_UTF16BE,
    KVAULT_LATIN1,
    KVAULT_ASCII
} kvault_encoding;

typedef struct kvault_dtype {
    kvault_kind kind;
    kvault_encoding encoding; /* of KVAULT_STR; KVAULT_UTF8 for every other kind */
    uint32_t size_bytes;      /* 0: elements of any size */
} kvault_dtype;

/* Parse a dtype. KVAULT_E_INVALID, with words that begin with "Unknown dtype"
 * and quote the text, when it is none. */
KVAULT_API kvault_status kvault_dtype_parse(kvault_slice text, kvault_dtype *ret_dtype,
                                            kvault_error *reterr) KVAULT_MUST_USE;

/* Write the shortest text that parses to `dtype`, and a NUL behind it. Returns
 * its length. KVAULT_DTYPE_TEXT_MAX + 1 bytes are room enough. */
KVAULT_API size_t kvault_dtype_text(const kvault_dtype *dtype, char ret_text[KVAULT_DTYPE_TEXT_MAX + 1]);

/* The name of an encoding as the shortest text has it: "utf16le". */
KVAULT_API const char *kvault_encoding_name(kvault_encoding encoding);

/* Whether both mean the same bytes. */
static inline bool kvault_dtype_equal(const kvault_dtype *a, const kvault_dtype *b)
{
    return a->kind == b->kind && a->encoding == b->encoding && a->size_bytes == b->size_bytes;
}

#ifdef __cplusplus
}
#endif
#endif
