/* msgpack_read.c - bytes of MessagePack -> tokens.
 *
 * kvault_msgpack_read() in packer.h answers for the commonest tokens; this is
 * the whole format, so that the inline part may give up on anything. A head is
 * one byte, then `wide` bytes with a number, then for an extension its type:
 *
 *     | head : u8 | number : 0, 1, 2, 4 or 8 bytes, big-endian | [type : i8] | [bytes]
 *
 * Any thread; nothing is allocated. */
#include "codec/limits.h"
#include "codec/token.h"

#include "base/banned.h"

/* The bytes of the number behind the heads 0xc0 to 0xdf. */
static const uint8_t wide_of[32] = {
    0, 0, 0, 0, 1, 2, 4, 1, 2, 4, 4, 8, 1, 2, 4, 8, /* 0xc0: nil, -, false, true, bin, ext, float, uint */
    1, 2, 4, 8, 0, 0, 0, 0, 0, 1, 2, 4, 2, 4, 2, 4, /* 0xd0: int, fixext, str, array, map */
};

static kvault_status read_bytes(kvault_reader *reader, size_t head, uint64_t size, kvault_token *ret_token,
                                kvault_token_kind kind, kvault_error *reterr)
{
    if (size > (size_t)(reader->end - reader->at) - head)
        return kvault__truncated(reader, head + size, reterr);
    ret_token->bytes = (kvault_slice){ reader->at + head, (size_t)size };
    ret_token->chunked = false;
    return kvault__take(reader, head + (size_t)size, ret_token, kind, 0);
}

/* The three shapes of the timestamp extension. False for another one. */
static bool read_timestamp(kvault_slice bytes, kvault_token *ret_token)
{
    const uint8_t *from = bytes.data;
    uint64_t nanoseconds = 0;
    int64_t seconds;

    if (bytes.size == 4) {
        seconds = kvault__get_be32(from);
    } else if (bytes.size == 8) {
        uint64_t both = kvault__get_be64(from); /* 30 bits of nanoseconds, 34 of seconds */
        nanoseconds = both >> 34;
        seconds = (int64_t)(both & 0x3ffffffff);
    } else if (bytes.size == 12) {
        nanoseconds = kvault__get_be32(from);
        seconds = (int64_t)kvault__get_be64(from + 4);
    } else {
        return false;
    }
    if (nanoseconds > KVAULT__NANOSECONDS_MAX)
        return false;
    ret_token->kind = KVAULT_TOKEN_TIMESTAMP;
    ret_token->i = seconds;
    ret_token->extra = (int32_t)nanoseconds;
    return true;
}

/* `head` bytes, the last of which is the type of the extension. */
static kvault_status read_ext(kvault_reader *reader, size_t head, uint64_t size, kvault_token *ret_token,
                              kvault_error *reterr)
{
    const uint8_t *at = reader->at;
    kvault_status rc;

    if (head > (size_t)(reader->end - at))
        return kvault__truncated(reader, head + size, reterr);
    TRY(read_bytes(reader, head, size, ret_token, KVAULT_TOKEN_EXT, reterr));
    ret_token->extra = (int8_t)at[head - 1];
    if (ret_token->extra == -1)
        (void)read_timestamp(ret_token->bytes, ret_token);
out:
    return rc;
}

static kvault_status read_float(kvault_reader *reader, size_t head, uint64_t bits, kvault_token *ret_token)
{
    (void)kvault__take(reader, head, ret_token, KVAULT_TOKEN_FLOAT, bits);
    if (head == 5) {
        uint32_t narrow = (uint32_t)bits;
        float x;

        memcpy(&x, &narrow, sizeof x);
        ret_token->f = (double)x;
    } else {
        ret_token->f = kvault__float_of_bits(bits);
    }
    return KVAULT_OK;
}

/* A signed number of `wide` bytes. */
static int64_t widen(uint64_t value, size_t wide)
{
    switch (wide) {
    case 1:
        return (int8_t)value;
    case 2:
        return (int16_t)value;
    case 4:
        return (int32_t)value;
    default:
        return (int64_t)value;
    }
}

/* The heads 0xc0 to 0xdf. */
static kvault_status read_marked(kvault_reader *reader, uint8_t mark, kvault_token *ret_token, kvault_error *reterr)
{
    size_t wide = wide_of[mark - 0xc0];
    size_t head = 1 + wide;
    uint64_t value;

    if (head > (size_t)(reader->end - reader->at))
        return kvault__truncated(reader, head, reterr);
    value = wide ? kvault__get_be(reader->at + 1, wide) : 0;
    switch (mark) {
    case 0xc0:
        return kvault__take(reader, head, ret_token, KVAULT_TOKEN_NULL, 0);
    case 0xc1:
        return kvault__fail_at(reterr, KVAULT_E_CORRUPT, (int64_t)kvault_reader_offset(reader),
                               "no MessagePack item starts with 0xc1, as at byte %zu", kvault_reader_offset(reader));
    case 0xc2:
    case 0xc3:
        return kvault__take(reader, head, ret_token, KVAULT_TOKEN_BOOL, mark & 1);
    case 0xc4:
    case 0xc5:
    case 0xc6:
        return read_bytes(reader, head, value, ret_token, KVAULT_TOKEN_BYTES, reterr);
    case 0xc7:
    case 0xc8:
    case 0xc9:
        return read_ext(reader, head + 1, value, ret_token, reterr);
    case 0xca:
    case 0xcb:
        return read_float(reader, head, value, ret_token);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        return kvault__take(reader, head, ret_token, value > INT64_MAX ? KVAULT_TOKEN_UINT : KVAULT_TOKEN_INT, value);
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return kvault__take(reader, head, ret_token, KVAULT_TOKEN_INT, (uint64_t)widen(value, wide));
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        return read_ext(reader, head + 1, UINT64_C(1) << (mark - 0xd4), ret_token, reterr);
    case 0xd9:
    case 0xda:
    case 0xdb:
        return read_bytes(reader, head, value, ret_token, KVAULT_TOKEN_TEXT, reterr);
    case 0xdc:
    case 0xdd:
        return kvault__take_container(reader, head, ret_token, KVAULT_TOKEN_ARRAY, value, reterr);
    default: /* 0xde, 0xdf */
        return kvault__take_container(reader, head, ret_token, KVAULT_TOKEN_MAP, value, reterr);
    }
}

kvault_status kvault_msgpack_read_any(kvault_reader *reader, kvault_token *ret_token, kvault_error *reterr)
{
    uint8_t head;

    if (reader->at == reader->end)
        return kvault__truncated(reader, 1, reterr);
    head = reader->at[0];
    if (head < 0x80 || head >= 0xe0)
        return kvault__take(reader, 1, ret_token, KVAULT_TOKEN_INT, (uint64_t)(int64_t)(int8_t)head);
    if (head < 0x90)
        return kvault__take_container(reader, 1, ret_token, KVAULT_TOKEN_MAP, head & 15, reterr);
    if (head < 0xa0)
        return kvault__take_container(reader, 1, ret_token, KVAULT_TOKEN_ARRAY, head & 15, reterr);
    if (head < 0xc0)
        return read_bytes(reader, 1, head & 31, ret_token, KVAULT_TOKEN_TEXT, reterr);
    return read_marked(reader, head, ret_token, reterr);
}
