/* msgpack_write.c - tokens -> bytes of MessagePack, each in its shortest form.
 *
 * Floats are always written with 64 bits, as all writers of the format do, so
 * that a reader in another language gets the type it expects. Everything is
 * checked, and room made, before the first byte is stored. */
#include "base/bytes.h"
#include "codec/limits.h"
#include "codec/token.h"

#include "base/banned.h"

static kvault_status write_bytes(kvault_writer *writer, const kvault_token *token, kvault_error *reterr)
{
    size_t size = token->bytes.size;
    kvault_status rc;

    if (size > KVAULT__MSGPACK_SIZE_MAX)
        return kvault__fail(reterr, KVAULT_E_TOOBIG, "a string of %zu bytes, MessagePack's limit is %u", size,
                            (unsigned)KVAULT__MSGPACK_SIZE_MAX);
    TRY(kvault_writer_room(writer, KVAULT_HEAD_MAX + size, reterr));
    if (token->kind == KVAULT_TOKEN_TEXT)
        writer->at = kvault_msgpack_store_text_head(writer->at, (uint32_t)size);
    else
        writer->at = kvault_msgpack_store_bytes_head(writer->at, (uint32_t)size);
    kvault_token_join(token, writer->at);
    writer->at += size;
out:
    return rc;
}

static uint8_t *store_ext_head(uint8_t *to, uint32_t size, int8_t type)
{
    switch (size) {
    case 1:
    case 2:
    case 4:
    case 8:
    case 16:
        *to++ = (uint8_t)(0xd4 + __builtin_ctz(size));
        break;
    default:
        if (size <= UINT8_MAX)
            to = kvault__put8(to, 0xc7, (uint8_t)size);
        else if (size <= UINT16_MAX)
            to = kvault__put16(to, 0xc8, (uint16_t)size);
        else
            to = kvault__put32(to, 0xc9, size);
    }
    *to++ = (uint8_t)type;
    return to;
}

static kvault_status write_ext(kvault_writer *writer, const kvault_token *token, kvault_error *reterr)
{
    size_t size = token->bytes.size;
    kvault_status rc;

    if (token->extra < INT8_MIN || token->extra > INT8_MAX)
        return kvault__fail(reterr, KVAULT_E_RANGE, "extension type %d is outside -128 to 127", (int)token->extra);
    if (size > KVAULT__MSGPACK_SIZE_MAX)
        return kvault__fail(reterr, KVAULT_E_TOOBIG, "an extension of %zu bytes, MessagePack's limit is %u", size,
                            (unsigned)KVAULT__MSGPACK_SIZE_MAX);
    TRY(kvault_writer_room(writer, KVAULT_HEAD_MAX + size, reterr));
    writer->at = store_ext_head(writer->at, (uint32_t)size, (int8_t)token->extra);
    if (size)
        memcpy(writer->at, token->bytes.data, size);
    writer->at += size;
out:
    return rc;
}

/* Extension -1, in 4, 8 or 12 bytes. */
static kvault_status write_timestamp(kvault_writer *writer, const kvault_token *token, kvault_error *reterr)
{
    uint32_t nanoseconds = (uint32_t)token->extra;
    uint64_t seconds = token->u;
    kvault_status rc;
    uint8_t *at;

    if (nanoseconds > KVAULT__NANOSECONDS_MAX)
        return kvault__fail(reterr, KVAULT_E_RANGE, "%d nanoseconds are outside 0 to 999999999", (int)token->extra);
    TRY(kvault_writer_room(writer, 15, reterr));
    if (seconds <= UINT32_MAX && !nanoseconds) {
        at = store_ext_head(writer->at, 4, -1);
        kvault__store_be32(at, (uint32_t)seconds);
        writer->at = at + 4;
    } else if (seconds >> 34 == 0) {
        at = store_ext_head(writer->at, 8, -1);
        kvault__store_be64(at, (uint64_t)nanoseconds << 34 | seconds);
        writer->at = at + 8;
    } else {
        at = store_ext_head(writer->at, 12, -1);
        kvault__store_be32(at, nanoseconds);
        kvault__store_be64(at + 4, seconds);
        writer->at = at + 12;
    }
out:
    return rc;
}

static kvault_status write_container(kvault_writer *writer, const kvault_token *token, kvault_error *reterr)
{
    kvault_status rc;

    if (token->u == KVAULT_COUNT_UNKNOWN)
        return kvault__fail(reterr, KVAULT_E_INVALID, "cannot write an array or a map without its count");
    if (token->u > KVAULT__MSGPACK_SIZE_MAX)
        return kvault__fail(reterr, KVAULT_E_TOOBIG, "%llu items, MessagePack's limit is %u",
                            (unsigned long long)token->u, (unsigned)KVAULT__MSGPACK_SIZE_MAX);
    TRY(kvault_writer_room(writer, KVAULT_HEAD_MAX, reterr));
    TRY(kvault_writer_enter(writer, reterr));
    if (token->kind == KVAULT_TOKEN_ARRAY)
        writer->at = kvault_msgpack_store_array_head(writer->at, (uint32_t)token->u);
    else
        writer->at = kvault_msgpack_store_map_head(writer->at, (uint32_t)token->u);
out:
    return rc;
}

static kvault_status write_simple(kvault_writer *writer, const kvault_token *token, kvault_error *reterr)
{
    kvault_status rc;

    TRY(kvault_writer_room(writer, KVAULT_HEAD_MAX, reterr));
    if (token->kind == KVAULT_TOKEN_INT)
        writer->at = kvault_msgpack_store_int(writer->at, token->i);
    else if (token->kind == KVAULT_TOKEN_UINT)
        writer->at = kvault_msgpack_store_uint(writer->at, token->u);
    else if (token->kind == KVAULT_TOKEN_FLOAT)
        writer->at = kvault_msgpack_store_float(writer->at, token->f);
    else if (token->kind == KVAULT_TOKEN_BOOL)
        *writer->at++ = token->u ? 0xc3 : 0xc2;
    else
        *writer->at++ = 0xc0;
out:
    return rc;
}

kvault_status kvault_msgpack_write(kvault_writer *writer, const kvault_token *token, kvault_error *reterr)
{
    switch (token->kind) {
    case KVAULT_TOKEN_NULL:
    case KVAULT_TOKEN_BOOL:
    case KVAULT_TOKEN_INT:
    case KVAULT_TOKEN_UINT:
    case KVAULT_TOKEN_FLOAT:
        return write_simple(writer, token, reterr);
    case KVAULT_TOKEN_TEXT:
    case KVAULT_TOKEN_BYTES:
        return write_bytes(writer, token, reterr);
    case KVAULT_TOKEN_ARRAY:
    case KVAULT_TOKEN_MAP:
        return write_container(writer, token, reterr);
    case KVAULT_TOKEN_TIMESTAMP:
        return write_timestamp(writer, token, reterr);
    case KVAULT_TOKEN_EXT:
        return write_ext(writer, token, reterr);
    case KVAULT_TOKEN_NINT:
    case KVAULT_TOKEN_BIGNUM:
        return kvault__fail(reterr, KVAULT_E_RANGE,
                            "an integer is outside MessagePack's range, -9223372036854775808 to 18446744073709551615");
    case KVAULT_TOKEN_TAG:
        return kvault__fail(reterr, KVAULT_E_TYPE, "MessagePack has no tags, as tag %llu",
                            (unsigned long long)token->u);
    case KVAULT_TOKEN_SIMPLE:
        return kvault__fail(reterr, KVAULT_E_TYPE, "MessagePack has no simple values, as %llu",
                            (unsigned long long)token->u);
    }
    return kvault__fail(reterr, KVAULT_E_INVALID, "no token has the kind %d", (int)token->kind);
}
