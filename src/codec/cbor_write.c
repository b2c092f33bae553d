/* cbor_write.c - tokens -> bytes of CBOR, in preferred serialization (RFC 8949, 4.1).
 *
 * Numbers, lengths and counts take the fewest bytes, floats the narrowest of 16,
 * 32 and 64 bits that holds the same value, integers beyond 64 bits are bignums
 * without leading zeros, and nothing ends with a break. A date is tag 1 with a
 * number if it has no fraction of a second, else tag 0 with text: a float would
 * round its nanoseconds. Everything is checked, and room made, before the first
 * byte is stored. */
#include "codec/limits.h"
#include "codec/timestamp.h"
#include "codec/token.h"

#include "base/banned.h"

/* ---- Floats ----------------------------------------------------------------- */

/* The half that has the value of these single-precision bits, not of a NaN. */
static bool half_of_single(uint32_t bits, uint16_t *ret_half)
{
    uint32_t sign = bits >> 16 & 0x8000;
    int exponent = (int)(bits >> 23 & 255) - 127;
    uint32_t fraction = bits & 0x7fffff;
    uint32_t drop; /* how many low bits a half has no room for */
    uint32_t half;

    if (exponent == 128) {
        *ret_half = (uint16_t)(sign | 0x7c00); /* infinity */
        return true;
    }
    if (exponent == -127 && fraction == 0) {
        *ret_half = (uint16_t)sign;
        return true;
    }
    if (exponent > 15 || exponent < -24)
        return false;
    if (exponent >= -14) {
        drop = 13;
        half = (uint32_t)(exponent + 15) << 10 | fraction >> drop;
    } else { /* subnormal as a half: the leading 1 becomes a bit of the fraction */
        fraction |= 0x800000;
        drop = (uint32_t)(-1 - exponent);
        half = fraction >> drop;
    }
    if (fraction & ((1u << drop) - 1))
        return false;
    *ret_half = (uint16_t)(sign | half);
    return true;
}

/* A NaN keeps its sign and its payload, so it shrinks only by zeros. */
static uint8_t *store_nan(uint8_t *to, uint64_t bits)
{
    uint32_t sign = bits >> 63 ? 1 : 0;

    if ((bits & 0x3ffffffffff) == 0)
        return kvault__put16(to, 0xf9, (uint16_t)(sign << 15 | 0x7c00 | (bits >> 42 & 0x3ff)));
    if ((bits & 0x1fffffff) == 0)
        return kvault__put32(to, 0xfa, sign << 31 | 0x7f800000 | (uint32_t)(bits >> 29 & 0x7fffff));
    return kvault__put64(to, 0xfb, bits);
}

uint8_t *kvault_cbor_store_short_float(uint8_t *to, double value)
{
    float narrow = (float)value;
    uint32_t narrow_bits;
    uint64_t bits;
    uint16_t half;

    memcpy(&bits, &value, sizeof bits);
    if (value != value)
        return store_nan(to, bits);
    if ((double)narrow != value)
        return kvault__put64(to, 0xfb, bits);
    memcpy(&narrow_bits, &narrow, sizeof narrow_bits);
    if (half_of_single(narrow_bits, &half))
        return kvault__put16(to, 0xf9, half);
    return kvault__put32(to, 0xfa, narrow_bits);
}

/* ---- Tokens ----------------------------------------------------------------- */

static kvault_status write_head(kvault_writer *writer, kvault_cbor_major major, uint64_t value, kvault_error *reterr)
{
    kvault_status rc;

    TRY(kvault_writer_room(writer, KVAULT_HEAD_MAX, reterr));
    writer->at = kvault_cbor_store_head(writer->at, major, value);
out:
    return rc;
}

static kvault_status write_float(kvault_writer *writer, double value, kvault_error *reterr)
{
    kvault_status rc;

    TRY(kvault_writer_room(writer, KVAULT_HEAD_MAX, reterr));
    writer->at = kvault_cbor_store_float(writer->at, value);
out:
    return rc;
}

static kvault_status write_string(kvault_writer *writer, const kvault_token *token, kvault_cbor_major major,
                                  kvault_error *reterr)
{
    kvault_status rc;

    TRY(kvault_writer_room(writer, KVAULT_HEAD_MAX + token->bytes.size, reterr));
    writer->at = kvault_cbor_store_head(writer->at, major, token->bytes.size);
    kvault_token_join(token, writer->at);
    writer->at += token->bytes.size;
out:
    return rc;
}

static kvault_status write_simple(kvault_writer *writer, uint64_t value, kvault_error *reterr)
{
    if (value > UINT8_MAX || (value >= 20 && value <= 22) || (value >= 24 && value < 32))
        return kvault__fail(reterr, KVAULT_E_RANGE, "%llu is no simple value: these are 0 to 19, 23, and 32 to 255",
                            (unsigned long long)value);
    return write_head(writer, KVAULT_CBOR_SIMPLE, value, reterr);
}

static kvault_status write_container(kvault_writer *writer, kvault_cbor_major major, uint64_t count,
                                     kvault_error *reterr)
{
    kvault_status rc;

    if (count == KVAULT_COUNT_UNKNOWN && major != KVAULT_CBOR_TAG)
        return kvault__fail(reterr, KVAULT_E_INVALID, "cannot write an array or a map without its count");
    TRY(kvault_writer_room(writer, KVAULT_HEAD_MAX, reterr));
    TRY(kvault_writer_enter(writer, reterr));
    writer->at = kvault_cbor_store_head(writer->at, major, count);
out:
    return rc;
}

/* The digits are put where they may stand at most, and moved to where they belong. */
static kvault_status write_bignum(kvault_writer *writer, const kvault_token *token, kvault_error *reterr)
{
    const size_t head_max = 1 + KVAULT_HEAD_MAX;
    size_t size = token->bytes.size;
    kvault_status rc;
    uint8_t *digits;
    uint64_t value = 0;

    TRY(kvault_writer_room(writer, head_max + size, reterr));
    digits = writer->at + head_max;
    kvault_token_join(token, digits);
    for (; size && *digits == 0; size--)
        digits++;
    if (size <= 8) {
        for (size_t i = 0; i < size; i++)
            value = value << 8 | digits[i];
        writer->at = kvault_cbor_store_head(writer->at, token->extra ? KVAULT_CBOR_NINT : KVAULT_CBOR_UINT, value);
    } else {
        writer->at = kvault_cbor_store_head(writer->at, KVAULT_CBOR_TAG, token->extra ? 3 : 2);
        writer->at = kvault_cbor_store_head(writer->at, KVAULT_CBOR_BYTES, size);
        memmove(writer->at, digits, size);
        writer->at += size;
    }
out:
    return rc;
}

static kvault_status write_timestamp(kvault_writer *writer, const kvault_token *token, kvault_error *reterr)
{
    char text[KVAULT__DATE_TEXT_MAX + 1];
    kvault_status rc;
    size_t size;

    if (token->extra < 0 || token->extra > KVAULT__NANOSECONDS_MAX)
        return kvault__fail(reterr, KVAULT_E_RANGE, "%d nanoseconds are outside 0 to 999999999", (int)token->extra);
    if (token->i < KVAULT__DATE_MIN_S || token->i > KVAULT__DATE_MAX_S)
        return kvault__fail(reterr, KVAULT_E_RANGE, "%lld seconds since 1970 are outside the years 1 to 9999",
                            (long long)token->i);
    TRY(kvault_writer_room(writer, 2 * KVAULT_HEAD_MAX + sizeof text, reterr));
    if (token->extra == 0) {
        writer->at = kvault_cbor_store_head(writer->at, KVAULT_CBOR_TAG, 1);
        writer->at = kvault_cbor_store_int(writer->at, token->i);
    } else {
        size = kvault__date_text(token->i, (uint32_t)token->extra, text);
        writer->at = kvault_cbor_store_head(writer->at, KVAULT_CBOR_TAG, 0);
        writer->at = kvault_cbor_store_head(writer->at, KVAULT_CBOR_TEXT, size);
        memcpy(writer->at, text, size);
        writer->at += size;
    }
out:
    return rc;
}

kvault_status kvault_cbor_write(kvault_writer *writer, const kvault_token *token, kvault_error *reterr)
{
    switch (token->kind) {
    case KVAULT_TOKEN_NULL:
        return write_head(writer, KVAULT_CBOR_SIMPLE, 22, reterr);
    case KVAULT_TOKEN_BOOL:
        return write_head(writer, KVAULT_CBOR_SIMPLE, token->u ? 21 : 20, reterr);
    case KVAULT_TOKEN_INT:
        return token->i < 0 ? write_head(writer, KVAULT_CBOR_NINT, ~token->u, reterr)
                            : write_head(writer, KVAULT_CBOR_UINT, token->u, reterr);
    case KVAULT_TOKEN_UINT:
        return write_head(writer, KVAULT_CBOR_UINT, token->u, reterr);
    case KVAULT_TOKEN_NINT:
        return write_head(writer, KVAULT_CBOR_NINT, token->u, reterr);
    case KVAULT_TOKEN_FLOAT:
        return write_float(writer, token->f, reterr);
    case KVAULT_TOKEN_TEXT:
        return write_string(writer, token, KVAULT_CBOR_TEXT, reterr);
    case KVAULT_TOKEN_BYTES:
        return write_string(writer, token, KVAULT_CBOR_BYTES, reterr);
    case KVAULT_TOKEN_ARRAY:
        return write_container(writer, KVAULT_CBOR_ARRAY, token->u, reterr);
    case KVAULT_TOKEN_MAP:
        return write_container(writer, KVAULT_CBOR_MAP, token->u, reterr);
    case KVAULT_TOKEN_TIMESTAMP:
        return write_timestamp(writer, token, reterr);
    case KVAULT_TOKEN_EXT:
        return kvault__fail(reterr, KVAULT_E_TYPE, "CBOR has no extension types, as %d", (int)token->extra);
    case KVAULT_TOKEN_BIGNUM:
        return write_bignum(writer, token, reterr);
    case KVAULT_TOKEN_TAG:
        return write_container(writer, KVAULT_CBOR_TAG, token->u, reterr);
    case KVAULT_TOKEN_SIMPLE:
        return write_simple(writer, token->u, reterr);
    }
    return kvault__fail(reterr, KVAULT_E_INVALID, "no token has the kind %d", (int)token->kind);
}
