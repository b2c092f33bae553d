/* packer.h - values <-> bytes: MessagePack, CBOR, text and elements of fixed size.
 *
 * A record is a stream of tokens: a number is one token, an array is a token
 * with a count and then its items. A reader takes tokens off bytes, a writer
 * puts them on; neither knows what the tokens become.
 *
 *     kvault_reader reader = kvault_reader_init(record, 0);
 *     kvault_token token;
 *     rc = kvault_msgpack_read(&reader, &token, &err);
 *
 * Nothing read is trusted: lengths and counts are checked against the bytes that
 * remain before the caller sees them, and arrays, maps and tags nest at most
 * KVAULT_DEPTH_MAX deep. Bytes that are wrong or end too soon ("Not enough data")
 * are KVAULT_E_CORRUPT, too deep a nest is KVAULT_E_TOOBIG, each with its position
 * from the start of the bytes.
 *
 * Readers and writers are plain structs on the caller's stack. They allocate
 * nothing (a writer into a kvault_buf grows that buffer) and take no locks; one
 * of them belongs to one thread at a time. What a token points to lies in the
 * bytes that were read, and lives as long as they do.
 *
 * The commonest tokens are read and written by the inline functions below, so
 * that a caller's loop and the format become one. */
#ifndef KOHAKUVAULT_PACKER_H
#define KOHAKUVAULT_PACKER_H

#include <string.h>

#include "kohakuvault/dtype.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KVAULT_DEPTH_MAX 128            /* arrays, maps and tags inside one another */
#define KVAULT_HEAD_MAX 9               /* bytes of the longest head that a store function writes */
#define KVAULT_COUNT_UNKNOWN UINT64_MAX /* the count of a CBOR container that ends with a break */

/* For the two readers: a call costs as much as the token. */
#if defined(__GNUC__)
#define KVAULT__ALWAYS_INLINE static inline __attribute__((always_inline))
#else
#define KVAULT__ALWAYS_INLINE static inline
#endif

typedef enum kvault_format { KVAULT_FORMAT_MSGPACK, KVAULT_FORMAT_CBOR } kvault_format;

typedef enum kvault_token_kind {
    KVAULT_TOKEN_NULL,
    KVAULT_TOKEN_BOOL,      /* u is 0 or 1 */
    KVAULT_TOKEN_INT,       /* i */
    KVAULT_TOKEN_UINT,      /* u, which is above INT64_MAX */
    KVAULT_TOKEN_NINT,      /* -1 - u, where u is above INT64_MAX; CBOR */
    KVAULT_TOKEN_FLOAT,     /* f */
    KVAULT_TOKEN_TEXT,      /* bytes: UTF-8, as yet unchecked */
    KVAULT_TOKEN_BYTES,     /* bytes */
    KVAULT_TOKEN_ARRAY,     /* u items follow, or KVAULT_COUNT_UNKNOWN */
    KVAULT_TOKEN_MAP,       /* u pairs of key and value follow, or KVAULT_COUNT_UNKNOWN */
    KVAULT_TOKEN_TIMESTAMP, /* i seconds since 1970 and extra nanoseconds after them */
    KVAULT_TOKEN_EXT,       /* bytes of the application type `extra`; MessagePack */
    KVAULT_TOKEN_BIGNUM,    /* bytes: n, big-endian; the value is n, or -1 - n if extra is 1; CBOR */
    KVAULT_TOKEN_TAG,       /* u is its number; the item that it marks follows; CBOR */
    KVAULT_TOKEN_SIMPLE     /* u, from 0 to 255; CBOR */
} kvault_token_kind;

/* Only the fields that the kind names are set. */
typedef struct kvault_token {
    kvault_token_kind kind;
    int32_t extra;
    union {
        int64_t i;
        uint64_t u;
        double f;
    };
    kvault_slice bytes;
    bool chunked; /* of TEXT, BYTES and BIGNUM: bytes.size is the sum, and kvault_token_join() copies them */
} kvault_token;

/* The caller may look at `at` and `depth`, and changes nothing. */
typedef struct kvault_reader {
    const uint8_t *at;
    const uint8_t *end;
    const uint8_t *start;
    uint64_t owed; /* items, and so bytes at least, that open containers still promise */
    uint32_t depth;
} kvault_reader;

/* The caller may store at `at`, up to `end`, and moves `at`. */
typedef struct kvault_writer {
    uint8_t *at;
    uint8_t *end;
    uint32_t depth;
    void *owner; /* for grow */
    /* Make room for `bytes` more at `at`; what is there already may move, and
     * `at` and `end` with it. On failure everything is as it was. */
    kvault_status (*grow)(struct kvault_writer *writer, size_t bytes, kvault_error *reterr);
} kvault_writer;

/* ---- Readers ---------------------------------------------------------------- */

/* Read one item of `data`, from `offset` on; an offset behind the end is the end.
 * The reader borrows the bytes for its whole life. For an item that follows, take another reader. */
static inline kvault_reader kvault_reader_init(kvault_slice data, size_t offset)
{
    kvault_reader reader;

    reader.start = (const uint8_t *)data.data;
    reader.at = data.size ? reader.start + (offset < data.size ? offset : data.size) : reader.start;
    reader.end = data.size ? reader.start + data.size : reader.start;
    reader.owed = 1;
    reader.depth = 0;
    return reader;
}

/* Where the reader stands, from the start of the data. */
static inline size_t kvault_reader_offset(const kvault_reader *reader)
{
    return (size_t)(reader->at - reader->start);
}

/* The last item of an array, map or tag has been read. Reading the token of one
 * enters it, also when it is empty, and each is left once. */
static inline void kvault_reader_leave(kvault_reader *reader)
{
    reader->depth--;
}

/* Step over one token of `size` bytes that holds no others; the caller has compared these bytes, and they are there. */
static inline void kvault_reader_pass(kvault_reader *reader, size_t size)
{
    reader->at += size;
    reader->owed--;
}

/* In a container of KVAULT_COUNT_UNKNOWN, before each item of an array (`width` 1)
 * or pair of a map (2): whether one follows. The break that ends it is consumed. */
KVAULT_API kvault_status kvault_reader_more(kvault_reader *reader, unsigned width, bool *ret_more,
                                            kvault_error *reterr) KVAULT_MUST_USE;

/* Read past one item with all that is in it, and check that every text is UTF-8.
 * On failure the reader stands at the token that is wrong. */
KVAULT_API kvault_status kvault_reader_skip(kvault_format format, kvault_reader *reader,
                                            kvault_error *reterr) KVAULT_MUST_USE;

/* Whether `record` is exactly one item that can be read to its end. */
KVAULT_API kvault_status kvault_packer_check(kvault_format format, kvault_slice record,
                                             kvault_error *reterr) KVAULT_MUST_USE;

/* Copy the bytes of a TEXT, BYTES or BIGNUM token, chunked or not, to `to`, which
 * has room for token->bytes.size. */
KVAULT_API void kvault_token_join(const kvault_token *token, void *to);

/* Read the next token, whichever it is. On failure the reader stands where it stood. */
KVAULT_API kvault_status kvault_msgpack_read_any(kvault_reader *reader, kvault_token *ret_token,
                                                 kvault_error *reterr) KVAULT_MUST_USE;
KVAULT_API kvault_status kvault_cbor_read_any(kvault_reader *reader, kvault_token *ret_token,
                                              kvault_error *reterr) KVAULT_MUST_USE;

static inline uint16_t kvault__get_be16(const uint8_t *from)
{
    return (uint16_t)(from[0] << 8 | from[1]);
}

static inline uint32_t kvault__get_be32(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static inline uint64_t kvault__get_be64(const uint8_t *from)
{
    return (uint64_t)kvault__get_be32(from) << 32 | kvault__get_be32(from + 4);
}

static inline double kvault__float_of_bits(uint64_t bits)
{
    double x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The next `head` bytes are a token of this kind and value. */
KVAULT__ALWAYS_INLINE kvault_status kvault__take(kvault_reader *reader, size_t head, kvault_token *ret_token,
                                                 kvault_token_kind kind, uint64_t value)
{
    ret_token->kind = kind;
    ret_token->u = value;
    reader->at += head;
    reader->owed--;
    return KVAULT_OK;
}

/* The same for `size` bytes behind a head of one byte. */
KVAULT__ALWAYS_INLINE kvault_status kvault__take_bytes(kvault_reader *reader, size_t size, kvault_token *ret_token,
                                                       kvault_token_kind kind)
{
    ret_token->kind = kind;
    ret_token->bytes.data = reader->at + 1;
    ret_token->bytes.size = size;
    ret_token->chunked = false;
    reader->at += 1 + size;
    reader->owed--;
    return KVAULT_OK;
}

/* The same for an array or a map behind a head of one byte, which is entered; false where anything speaks against
 * it, for the whole reader to say what. */
KVAULT__ALWAYS_INLINE bool kvault__take_small(kvault_reader *reader, uint64_t count, kvault_token *ret_token,
                                              kvault_token_kind kind)
{
    uint64_t owed = reader->owed - 1 + (count << (kind == KVAULT_TOKEN_MAP));

    if (reader->depth == KVAULT_DEPTH_MAX || owed > (uint64_t)(reader->end - reader->at) - 1)
        return false;
    (void)kvault__take(reader, 1, ret_token, kind, count);
    reader->owed = owed;
    reader->depth++;
    return true;
}

/* Read the next token of a MessagePack record. Timestamps (extension type -1)
 * come as TIMESTAMP; every other extension, and a timestamp that breaks its own
 * rules, as EXT. On failure the reader stands where it stood. */
KVAULT__ALWAYS_INLINE kvault_status kvault_msgpack_read(kvault_reader *reader, kvault_token *ret_token,
                                                        kvault_error *reterr)
{
    size_t remain = (size_t)(reader->end - reader->at);

    if (remain) {
        uint8_t head = reader->at[0];

        if (head < 0x80 || head >= 0xe0)
            return kvault__take(reader, 1, ret_token, KVAULT_TOKEN_INT, (uint64_t)(int64_t)(int8_t)head);
        if ((head & 0xe0) == 0xa0 && (size_t)(head & 31) < remain)
            return kvault__take_bytes(reader, head & 31, ret_token, KVAULT_TOKEN_TEXT);
        if (head == 0xcb && remain >= 9) {
            (void)kvault__take(reader, 9, ret_token, KVAULT_TOKEN_FLOAT, kvault__get_be64(reader->at + 1));
            ret_token->f = kvault__float_of_bits(ret_token->u);
            return KVAULT_OK;
        }
        if (head == 0xcd && remain >= 3)
            return kvault__take(reader, 3, ret_token, KVAULT_TOKEN_INT, kvault__get_be16(reader->at + 1));
        if ((head & 0xfe) == 0xc2)
            return kvault__take(reader, 1, ret_token, KVAULT_TOKEN_BOOL, head & 1);
        if ((head & 0xf0) == 0x80 && kvault__take_small(reader, head & 15, ret_token, KVAULT_TOKEN_MAP))
            return KVAULT_OK;
        if ((head & 0xf0) == 0x90 && kvault__take_small(reader, head & 15, ret_token, KVAULT_TOKEN_ARRAY))
            return KVAULT_OK;
        if (head == 0xc0)
            return kvault__take(reader, 1, ret_token, KVAULT_TOKEN_NULL, 0);
    }
    return kvault_msgpack_read_any(reader, ret_token, reterr);
}

/* Read the next token of a CBOR record. The dates of tag 0 and tag 1 come as
 * TIMESTAMP if they lie in the years 1 to 9999, the integers of tags 2 and 3 as
 * BIGNUM; where the content is not what such a tag promises, and for every other
 * tag, the token is TAG and the content follows. Undefined is SIMPLE 23.
 * On failure the reader stands where it stood. */
KVAULT__ALWAYS_INLINE kvault_status kvault_cbor_read(kvault_reader *reader, kvault_token *ret_token,
                                                     kvault_error *reterr)
{
    size_t remain = (size_t)(reader->end - reader->at);

    if (remain) {
        uint8_t head = reader->at[0];
        unsigned low = head & 31;

        if (head < 0x18)
            return kvault__take(reader, 1, ret_token, KVAULT_TOKEN_INT, head);
        if ((head & 0xe0) == 0x60 && low < 24 && low < remain)
            return kvault__take_bytes(reader, low, ret_token, KVAULT_TOKEN_TEXT);
        if (head == 0xfb && remain >= 9) {
            (void)kvault__take(reader, 9, ret_token, KVAULT_TOKEN_FLOAT, kvault__get_be64(reader->at + 1));
            ret_token->f = kvault__float_of_bits(ret_token->u);
            return KVAULT_OK;
        }
        if (head == 0x19 && remain >= 3)
            return kvault__take(reader, 3, ret_token, KVAULT_TOKEN_INT, kvault__get_be16(reader->at + 1));
        if ((head & 0xfe) == 0xf4)
            return kvault__take(reader, 1, ret_token, KVAULT_TOKEN_BOOL, head & 1);
        if ((head & 0xe0) == 0xa0 && low < 24 && kvault__take_small(reader, low, ret_token, KVAULT_TOKEN_MAP))
            return KVAULT_OK;
        if ((head & 0xe0) == 0x80 && low < 24 && kvault__take_small(reader, low, ret_token, KVAULT_TOKEN_ARRAY))
            return KVAULT_OK;
        if (head == 0xf6)
            return kvault__take(reader, 1, ret_token, KVAULT_TOKEN_NULL, 0);
    }
    return kvault_cbor_read_any(reader, ret_token, reterr);
}

/* Either of the two above. */
static inline kvault_status kvault_token_read(kvault_format format, kvault_reader *reader, kvault_token *ret_token,
                                              kvault_error *reterr)
{
    return format == KVAULT_FORMAT_CBOR ? kvault_cbor_read(reader, ret_token, reterr)
                                        : kvault_msgpack_read(reader, ret_token, reterr);
}

/* ---- Writers ---------------------------------------------------------------- */

/* Write behind what `buf` holds. The buffer stays the caller's, and is not to be
 * touched before kvault_writer_finish(). */
KVAULT_API kvault_writer kvault_writer_init(kvault_buf *buf);

/* What was written is in the buffer now, also after a failure (the caller then
 * cuts or frees it). */
KVAULT_API void kvault_writer_finish(kvault_writer *writer);

/* Make sure that `bytes` can be stored at writer->at. */
static inline kvault_status kvault_writer_room(kvault_writer *writer, size_t bytes, kvault_error *reterr)
{
    return bytes <= (size_t)(writer->end - writer->at) ? KVAULT_OK : writer->grow(writer, bytes, reterr);
}

/* KVAULT_E_TOOBIG, in words. */
KVAULT_API kvault_status kvault_writer_too_deep(kvault_error *reterr);

/* Enter an array, a map or a tag, and leave it. kvault_msgpack_write() and
 * kvault_cbor_write() enter by themselves; who stores a head of a container enters first. */
static inline kvault_status kvault_writer_enter(kvault_writer *writer, kvault_error *reterr)
{
    if (writer->depth == KVAULT_DEPTH_MAX)
        return kvault_writer_too_deep(reterr);
    writer->depth++;
    return KVAULT_OK;
}

static inline void kvault_writer_leave(kvault_writer *writer)
{
    writer->depth--;
}

/* Write any token, in its shortest form. TEXT is not checked to be UTF-8.
 * KVAULT_E_TYPE for a token that the format does not have, KVAULT_E_RANGE for a
 * number beyond it, KVAULT_E_TOOBIG for bytes, counts or nesting beyond it,
 * KVAULT_E_INVALID for a count that is unknown; nothing is written then. The
 * caller writes as many items as the count says, then leaves. */
KVAULT_API kvault_status kvault_msgpack_write(kvault_writer *writer, const kvault_token *token,
                                              kvault_error *reterr) KVAULT_MUST_USE;
KVAULT_API kvault_status kvault_cbor_write(kvault_writer *writer, const kvault_token *token,
                                           kvault_error *reterr) KVAULT_MUST_USE;

static inline kvault_status kvault_token_write(kvault_format format, kvault_writer *writer, const kvault_token *token,
                                               kvault_error *reterr)
{
    return format == KVAULT_FORMAT_CBOR ? kvault_cbor_write(writer, token, reterr)
                                        : kvault_msgpack_write(writer, token, reterr);
}

/* The store functions below write one head to `to`, which has room for
 * KVAULT_HEAD_MAX bytes, and return the place behind it. They check nothing. */

static inline uint8_t *kvault__put8(uint8_t *to, uint8_t head, uint8_t value)
{
    to[0] = head;
    to[1] = value;
    return to + 2;
}

static inline uint8_t *kvault__put16(uint8_t *to, uint8_t head, uint16_t value)
{
    to[0] = head;
    to[1] = (uint8_t)(value >> 8);
    to[2] = (uint8_t)value;
    return to + 3;
}

static inline uint8_t *kvault__put32(uint8_t *to, uint8_t head, uint32_t value)
{
    to[0] = head;
    to[1] = (uint8_t)(value >> 24);
    to[2] = (uint8_t)(value >> 16);
    to[3] = (uint8_t)(value >> 8);
    to[4] = (uint8_t)value;
    return to + 5;
}

static inline uint8_t *kvault__put64(uint8_t *to, uint8_t head, uint64_t value)
{
    to[0] = head;
    to[1] = (uint8_t)(value >> 56);
    to[2] = (uint8_t)(value >> 48);
    to[3] = (uint8_t)(value >> 40);
    to[4] = (uint8_t)(value >> 32);
    to[5] = (uint8_t)(value >> 24);
    to[6] = (uint8_t)(value >> 16);
    to[7] = (uint8_t)(value >> 8);
    to[8] = (uint8_t)value;
    return to + 9;
}

static inline uint8_t *kvault__put_float(uint8_t *to, uint8_t head, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return kvault__put64(to, head, bits);
}

static inline uint8_t *kvault_msgpack_store_uint(uint8_t *to, uint64_t value)
{
    if (value < 0x80) {
        to[0] = (uint8_t)value;
        return to + 1;
    }
    if (value <= UINT8_MAX)
        return kvault__put8(to, 0xcc, (uint8_t)value);
    if (value <= UINT16_MAX)
        return kvault__put16(to, 0xcd, (uint16_t)value);
    if (value <= UINT32_MAX)
        return kvault__put32(to, 0xce, (uint32_t)value);
    return kvault__put64(to, 0xcf, value);
}

static inline uint8_t *kvault_msgpack_store_int(uint8_t *to, int64_t value)
{
    if (value >= 0)
        return kvault_msgpack_store_uint(to, (uint64_t)value);
    if (value >= -32) {
        to[0] = (uint8_t)value;
        return to + 1;
    }
    if (value >= INT8_MIN)
        return kvault__put8(to, 0xd0, (uint8_t)value);
    if (value >= INT16_MIN)
        return kvault__put16(to, 0xd1, (uint16_t)value);
    if (value >= INT32_MIN)
        return kvault__put32(to, 0xd2, (uint32_t)value);
    return kvault__put64(to, 0xd3, (uint64_t)value);
}

static inline uint8_t *kvault_msgpack_store_float(uint8_t *to, double value)
{
    return kvault__put_float(to, 0xcb, value);
}

static inline uint8_t *kvault_msgpack_store_text_head(uint8_t *to, uint32_t size)
{
    if (size < 32) {
        to[0] = (uint8_t)(0xa0 | size);
        return to + 1;
    }
    if (size <= UINT8_MAX)
        return kvault__put8(to, 0xd9, (uint8_t)size);
    if (size <= UINT16_MAX)
        return kvault__put16(to, 0xda, (uint16_t)size);
    return kvault__put32(to, 0xdb, size);
}

static inline uint8_t *kvault_msgpack_store_bytes_head(uint8_t *to, uint32_t size)
{
    if (size <= UINT8_MAX)
        return kvault__put8(to, 0xc4, (uint8_t)size);
    if (size <= UINT16_MAX)
        return kvault__put16(to, 0xc5, (uint16_t)size);
    return kvault__put32(to, 0xc6, size);
}

static inline uint8_t *kvault_msgpack_store_array_head(uint8_t *to, uint32_t count)
{
    if (count < 16) {
        to[0] = (uint8_t)(0x90 | count);
        return to + 1;
    }
    if (count <= UINT16_MAX)
        return kvault__put16(to, 0xdc, (uint16_t)count);
    return kvault__put32(to, 0xdd, count);
}

static inline uint8_t *kvault_msgpack_store_map_head(uint8_t *to, uint32_t count)
{
    if (count < 16) {
        to[0] = (uint8_t)(0x80 | count);
        return to + 1;
    }
    if (count <= UINT16_MAX)
        return kvault__put16(to, 0xde, (uint16_t)count);
    return kvault__put32(to, 0xdf, count);
}

/* The major types of CBOR, as the upper bits of a head. */
typedef enum kvault_cbor_major {
    KVAULT_CBOR_UINT = 0x00,
    KVAULT_CBOR_NINT = 0x20, /* -1 - value */
    KVAULT_CBOR_BYTES = 0x40,
    KVAULT_CBOR_TEXT = 0x60,
    KVAULT_CBOR_ARRAY = 0x80,
    KVAULT_CBOR_MAP = 0xa0,
    KVAULT_CBOR_TAG = 0xc0,
    KVAULT_CBOR_SIMPLE = 0xe0
} kvault_cbor_major;

static inline uint8_t *kvault_cbor_store_head(uint8_t *to, kvault_cbor_major major, uint64_t value)
{
    if (value < 24) {
        to[0] = (uint8_t)((unsigned)major | (unsigned)value);
        return to + 1;
    }
    if (value <= UINT8_MAX)
        return kvault__put8(to, (uint8_t)((unsigned)major | 24), (uint8_t)value);
    if (value <= UINT16_MAX)
        return kvault__put16(to, (uint8_t)((unsigned)major | 25), (uint16_t)value);
    if (value <= UINT32_MAX)
        return kvault__put32(to, (uint8_t)((unsigned)major | 26), (uint32_t)value);
    return kvault__put64(to, (uint8_t)((unsigned)major | 27), value);
}

static inline uint8_t *kvault_cbor_store_int(uint8_t *to, int64_t value)
{
    return value >= 0 ? kvault_cbor_store_head(to, KVAULT_CBOR_UINT, (uint64_t)value)
                      : kvault_cbor_store_head(to, KVAULT_CBOR_NINT, ~(uint64_t)value);
}

/* In two or four bytes where those hold the value exactly, NaNs with their payload too. */
KVAULT_API uint8_t *kvault_cbor_store_short_float(uint8_t *to, double value);

static inline uint8_t *kvault_cbor_store_float(uint8_t *to, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    /* A value of 24 bits or fewer leaves the low 29 empty. */
    return bits & 0x1fffffff ? kvault__put64(to, 0xfb, bits) : kvault_cbor_store_short_float(to, value);
}

/* ---- Elements of fixed size ------------------------------------------------- */

/* Write a token as an element of dtype->size_bytes at `to`, numbers little-endian.
 * An integer dtype takes INT and UINT, a float dtype these and FLOAT, bool takes
 * BOOL, bytes:N, msgpack:N and cbor:N take BYTES, str:N takes TEXT (UTF-8, and
 * checked); what is short is filled with zeros.
 * KVAULT_E_TYPE for another token, KVAULT_E_RANGE for a number that the dtype
 * cannot hold, KVAULT_E_TOOBIG ("Data too long") for too many bytes; text fails
 * as in kvault_text_convert(). On failure `to` is as it was.
 * A dtype without a size is KVAULT_E_INVALID. */
KVAULT_API kvault_status kvault_fixed_write(const kvault_dtype *dtype, const kvault_token *token, void *to,
                                            kvault_error *reterr) KVAULT_MUST_USE;

/* Read the element at the front of `data`. KVAULT_E_CORRUPT ("Not enough data") if
 * it is not all there. Text comes in the encoding of the dtype, without its
 * trailing NULs and as yet unchecked; bytes come with their padding. */
KVAULT_API kvault_status kvault_fixed_read(const kvault_dtype *dtype, kvault_slice data, kvault_token *ret_token,
                                           kvault_error *reterr) KVAULT_MUST_USE;

/* ---- Text ------------------------------------------------------------------- */

/* How many bytes `text` takes in the encoding `to`. KVAULT_E_CORRUPT if it is not
 * whole characters of the encoding `from`; KVAULT_E_INVALID ("non-ASCII",
 * "outside Latin1 range") if one of them does not exist in `to`; both with the
 * position of the character. With `from` for `to`, this validates. */
KVAULT_API kvault_status kvault_text_measure(kvault_encoding from, kvault_slice text, kvault_encoding to,
                                             size_t *ret_size, kvault_error *reterr) KVAULT_MUST_USE;

/* Write `text` in the encoding `to` into `room` bytes. Fails as kvault_text_measure()
 * does, and with KVAULT_E_TOOBIG ("Data too long") if it does not fit: no character
 * is ever cut. On failure the room is as it was. */
KVAULT_API kvault_status kvault_text_convert(kvault_encoding from, kvault_slice text, kvault_encoding to,
                                             void *ret_bytes, size_t room, size_t *ret_size,
                                             kvault_error *reterr) KVAULT_MUST_USE;

/* `text` without the NUL characters at its end; for UTF-16 a NUL is two bytes. */
KVAULT_API kvault_slice kvault_text_trim(kvault_encoding encoding, kvault_slice text);

#ifdef __cplusplus
}
#endif
#endif
