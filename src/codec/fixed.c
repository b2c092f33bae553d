/* fixed.c - one value <-> one element of fixed size: integers, floats, bool,
 * bytes:N, str:N, and records padded to N bytes.
 *
 * Numbers are little-endian, integers in two's complement; bool is a byte of 0
 * or 1. Strings and records fill the element from its front, zeros the rest.
 * Any thread; nothing is allocated. */
#include "kohakuvault/packer.h"

#include <float.h>
#include <math.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "base/banned.h"

/* The dtype as the user may have written it, for messages. */
struct dtype_name {
    char text[KVAULT_DTYPE_TEXT_MAX + 1];
};

static struct dtype_name name_of(const kvault_dtype *dtype)
{
    struct dtype_name name;

    (void)kvault_dtype_text(dtype, name.text);
    return name;
}

static bool is_signed(kvault_kind kind)
{
    return kind == KVAULT_I8 || kind == KVAULT_I16 || kind == KVAULT_I32 || kind == KVAULT_I64;
}

static kvault_status fail_type(const kvault_dtype *dtype, const char *wants, kvault_error *reterr)
{
    return kvault__fail(reterr, KVAULT_E_TYPE, "an element of %s must be %s", name_of(dtype).text, wants);
}

/* The lowest `size_bytes` bytes of a number. */
static void store_low(void *to, uint64_t value, size_t size_bytes)
{
    uint8_t bytes[8];

    kvault__store_le64(bytes, value);
    memcpy(to, bytes, size_bytes);
}

static kvault_status write_int(const kvault_dtype *dtype, const kvault_token *token, void *to, kvault_error *reterr)
{
    unsigned bits = dtype->size_bytes * 8;
    bool is_negative = token->kind == KVAULT_TOKEN_INT && token->i < 0;
    uint64_t max = UINT64_MAX >> (64 - bits + is_signed(dtype->kind));
    bool fits = is_negative ? is_signed(dtype->kind) && ~token->u <= max : token->u <= max;

    if (token->kind != KVAULT_TOKEN_INT && token->kind != KVAULT_TOKEN_UINT)
        return fail_type(dtype, "an integer", reterr);
    if (!fits && is_negative)
        return kvault__fail(reterr, KVAULT_E_RANGE, "%lld is out of range for %s, %s%llu to %llu", (long long)token->i,
                            name_of(dtype).text, is_signed(dtype->kind) ? "-" : "",
                            is_signed(dtype->kind) ? (unsigned long long)max + 1 : 0ULL, (unsigned long long)max);
    if (!fits)
        return kvault__fail(reterr, KVAULT_E_RANGE, "%llu is out of range for %s, limit %llu",
                            (unsigned long long)token->u, name_of(dtype).text, (unsigned long long)max);
    store_low(to, token->u, dtype->size_bytes);
    return KVAULT_OK;
}

static kvault_status write_float(const kvault_dtype *dtype, const kvault_token *token, void *to, kvault_error *reterr)
{
    double value;
    uint64_t bits;
    uint32_t narrow_bits;
    float narrow;

    if (token->kind == KVAULT_TOKEN_FLOAT)
        value = token->f;
    else if (token->kind == KVAULT_TOKEN_INT)
        value = (double)token->i;
    else if (token->kind == KVAULT_TOKEN_UINT)
        value = (double)token->u;
    else
        return fail_type(dtype, "a number", reterr);
    if (dtype->kind == KVAULT_F64) {
        memcpy(&bits, &value, sizeof bits);
        kvault__store_le64(to, bits);
        return KVAULT_OK;
    }
    narrow = (float)value;
    if (isinf(narrow) && !isinf(value))
        return kvault__fail(reterr, KVAULT_E_RANGE, "%g is out of range for f32, limit %g", value, (double)FLT_MAX);
    memcpy(&narrow_bits, &narrow, sizeof narrow_bits);
    kvault__store_le32(to, narrow_bits);
    return KVAULT_OK;
}

static kvault_status write_bytes(const kvault_dtype *dtype, const kvault_token *token, uint8_t *to,
                                 kvault_error *reterr)
{
    size_t size = token->bytes.size;

    if (token->kind != KVAULT_TOKEN_BYTES)
        return fail_type(dtype, "bytes", reterr);
    if (size > dtype->size_bytes)
        return kvault__fail(reterr, KVAULT_E_TOOBIG, "Data too long: %zu bytes, limit %u for %s", size,
                            (unsigned)dtype->size_bytes, name_of(dtype).text);
    kvault_token_join(token, to);
    memset(to + size, 0, dtype->size_bytes - size);
    return KVAULT_OK;
}

static kvault_status write_text(const kvault_dtype *dtype, const kvault_token *token, uint8_t *to, kvault_error *reterr)
{
    kvault_status rc;
    size_t size;

    if (token->kind != KVAULT_TOKEN_TEXT || token->chunked)
        return fail_type(dtype, "text in one piece", reterr);
    TRY(kvault_text_convert(KVAULT_UTF8, token->bytes, dtype->encoding, to, dtype->size_bytes, &size, reterr));
    memset(to + size, 0, dtype->size_bytes - size);
out:
    return rc;
}

kvault_status kvault_fixed_write(const kvault_dtype *dtype, const kvault_token *token, void *to, kvault_error *reterr)
{
    if (dtype->size_bytes == 0)
        return kvault__fail(reterr, KVAULT_E_INVALID, "%s has elements of any size", name_of(dtype).text);
    switch (dtype->kind) {
    case KVAULT_I8:
    case KVAULT_I16:
    case KVAULT_I32:
    case KVAULT_I64:
    case KVAULT_U8:
    case KVAULT_U16:
    case KVAULT_U32:
    case KVAULT_U64:
        return write_int(dtype, token, to, reterr);
    case KVAULT_F32:
    case KVAULT_F64:
        return write_float(dtype, token, to, reterr);
    case KVAULT_BOOL:
        if (token->kind != KVAULT_TOKEN_BOOL)
            return fail_type(dtype, "true or false", reterr);
        *(uint8_t *)to = token->u != 0;
        return KVAULT_OK;
    case KVAULT_BYTES:
    case KVAULT_MSGPACK:
    case KVAULT_CBOR:
        return write_bytes(dtype, token, to, reterr);
    case KVAULT_STR:
        return write_text(dtype, token, to, reterr);
    }
    return kvault__fail(reterr, KVAULT_E_INVALID, "no dtype has the kind %d", (int)dtype->kind);
}

static void read_int(const kvault_dtype *dtype, const uint8_t *from, kvault_token *ret_token)
{
    unsigned spare = 64 - dtype->size_bytes * 8;
    uint8_t bytes[8] = { 0 };
    uint64_t value;

    memcpy(bytes, from, dtype->size_bytes);
    value = kvault__load_le64(bytes);
    if (is_signed(dtype->kind))
        value = (uint64_t)((int64_t)(value << spare) >> spare);
    ret_token->kind = value > INT64_MAX && !is_signed(dtype->kind) ? KVAULT_TOKEN_UINT : KVAULT_TOKEN_INT;
    ret_token->u = value;
}

static void read_float(const kvault_dtype *dtype, const uint8_t *from, kvault_token *ret_token)
{
    uint32_t narrow_bits;
    float narrow;

    ret_token->kind = KVAULT_TOKEN_FLOAT;
    if (dtype->kind == KVAULT_F64) {
        ret_token->f = kvault__float_of_bits(kvault__load_le64(from));
        return;
    }
    narrow_bits = kvault__load_le32(from);
    memcpy(&narrow, &narrow_bits, sizeof narrow);
    ret_token->f = (double)narrow;
}

static void read_bytes(kvault_token_kind kind, kvault_slice bytes, kvault_token *ret_token)
{
    ret_token->kind = kind;
    ret_token->bytes = bytes;
    ret_token->chunked = false;
}

kvault_status kvault_fixed_read(const kvault_dtype *dtype, kvault_slice data, kvault_token *ret_token,
                                kvault_error *reterr)
{
    const uint8_t *from = data.data;
    kvault_slice element = { from, dtype->size_bytes };

    if (dtype->size_bytes == 0)
        return kvault__fail(reterr, KVAULT_E_INVALID, "%s has elements of any size", name_of(dtype).text);
    if (data.size < dtype->size_bytes)
        return kvault__fail_at(reterr, KVAULT_E_CORRUPT, (int64_t)data.size,
                               "Not enough data: an element of %s takes %u bytes, got %zu", name_of(dtype).text,
                               (unsigned)dtype->size_bytes, data.size);
    switch (dtype->kind) {
    case KVAULT_I8:
    case KVAULT_I16:
    case KVAULT_I32:
    case KVAULT_I64:
    case KVAULT_U8:
    case KVAULT_U16:
    case KVAULT_U32:
    case KVAULT_U64:
        read_int(dtype, from, ret_token);
        return KVAULT_OK;
    case KVAULT_F32:
    case KVAULT_F64:
        read_float(dtype, from, ret_token);
        return KVAULT_OK;
    case KVAULT_BOOL:
        if (from[0] > 1)
            return kvault__fail_at(reterr, KVAULT_E_CORRUPT, 0, "byte 0x%02x is not a bool, 0 or 1", from[0]);
        ret_token->kind = KVAULT_TOKEN_BOOL;
        ret_token->u = from[0];
        return KVAULT_OK;
    case KVAULT_BYTES:
    case KVAULT_MSGPACK:
    case KVAULT_CBOR:
        read_bytes(KVAULT_TOKEN_BYTES, element, ret_token);
        return KVAULT_OK;
    case KVAULT_STR:
        read_bytes(KVAULT_TOKEN_TEXT, kvault_text_trim(dtype->encoding, element), ret_token);
        return KVAULT_OK;
    }
    return kvault__fail(reterr, KVAULT_E_INVALID, "no dtype has the kind %d", (int)dtype->kind);
}
