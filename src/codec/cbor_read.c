/* cbor_read.c - bytes of CBOR (RFC 8949) -> tokens.
 *
 * kvault_cbor_read() in packer.h answers for the commonest tokens; this is the
 * whole format. A head is one byte, three bits of major type and five of `low`:
 * below 24 a number itself, 24 to 27 a number of 1, 2, 4 or 8 bytes behind it,
 * 31 an item that ends with a break.
 *
 * Numbers in more bytes than they need, and containers and strings of unknown
 * size, are read as well as the shortest forms. A string of unknown size is one
 * token: all its chunks are checked before it is handed out.
 *
 * A tag becomes part of the token of its content only if the content, which is
 * looked at ahead, is a number or a definite string; the reader never calls
 * itself for a tag in a tag. Any thread; nothing is allocated. */
#include "codec/limits.h"
#include "codec/timestamp.h"
#include "codec/token.h"

#include <math.h>

#include "base/banned.h"

#define LOW_UNKNOWN 31 /* `low` of an item that ends with a break */
#define BREAK 0xff

struct head {
    kvault_cbor_major major;
    unsigned low;
    size_t size; /* bytes of the head itself */
    uint64_t value;
};

static kvault_status malformed(const kvault_reader *reader, const uint8_t *at, const char *what, kvault_error *reterr)
{
    size_t position = (size_t)(at - reader->start);

    return kvault__fail_at(reterr, KVAULT_E_CORRUPT, (int64_t)position, "%s at byte %zu", what, position);
}

/* The head at `at`, which is not the end. */
static kvault_status read_head(const kvault_reader *reader, const uint8_t *at, struct head *ret_head,
                               kvault_error *reterr)
{
    struct head head = { (kvault_cbor_major)(at[0] & 0xe0), at[0] & 31, 1, at[0] & 31 };

    if (head.low >= 24 && head.low <= 27) {
        size_t wide = (size_t)1 << (head.low - 24);
        if (wide > (size_t)(reader->end - at) - 1)
            return kvault__truncated(reader, (uint64_t)(at - reader->at) + 1 + wide, reterr);
        head.size = 1 + wide;
        head.value = kvault__get_be(at + 1, wide);
    } else if (head.low > 27 && head.low < LOW_UNKNOWN) {
        return malformed(reader, at, "a head of CBOR that has no meaning", reterr);
    }
    *ret_head = head;
    return KVAULT_OK;
}

/* Walk the chunks of a string from behind its head to behind its break. */
static kvault_status read_chunks(kvault_reader *reader, const struct head *string, kvault_token *ret_token,
                                 kvault_token_kind kind, kvault_error *reterr)
{
    const uint8_t *first = reader->at + string->size;
    const uint8_t *at = first;
    struct head chunk = { KVAULT_CBOR_UINT, 0, 0, 0 };
    size_t total = 0; /* cannot overflow: the chunks lie in memory one after the other */
    kvault_status rc;

    for (;;) {
        if (at == reader->end) {
            rc = kvault__truncated(reader, (uint64_t)(at - reader->at) + 1, reterr);
            goto out;
        }
        if (*at == BREAK)
            break;
        TRY(read_head(reader, at, &chunk, reterr));
        if (chunk.major != string->major || chunk.low == LOW_UNKNOWN) {
            rc = malformed(reader, at, "a string of unknown size holds what is not a chunk of it,", reterr);
            goto out;
        }
        if (chunk.value > (size_t)(reader->end - at) - chunk.size) {
            rc = kvault__truncated(reader, chunk.value, reterr);
            goto out;
        }
        at += chunk.size + (size_t)chunk.value;
        total += (size_t)chunk.value;
    }
    ret_token->bytes = (kvault_slice){ first, total };
    ret_token->chunked = true;
    rc = kvault__take(reader, (size_t)(at - reader->at) + 1, ret_token, kind, 0);
out:
    return rc;
}

static kvault_status read_string(kvault_reader *reader, const struct head *head, kvault_token *ret_token,
                                 kvault_token_kind kind, kvault_error *reterr)
{
    if (head->low == LOW_UNKNOWN)
        return read_chunks(reader, head, ret_token, kind, reterr);
    if (head->value > (size_t)(reader->end - reader->at) - head->size)
        return kvault__truncated(reader, head->value, reterr);
    ret_token->bytes = (kvault_slice){ reader->at + head->size, (size_t)head->value };
    ret_token->chunked = false;
    return kvault__take(reader, head->size + (size_t)head->value, ret_token, kind, 0);
}

static kvault_status read_container(kvault_reader *reader, const struct head *head, kvault_token *ret_token,
                                    kvault_token_kind kind, kvault_error *reterr)
{
    if (head->low == LOW_UNKNOWN)
        return kvault__take_container(reader, head->size, ret_token, kind, KVAULT_COUNT_UNKNOWN, reterr);
    if (head->value == KVAULT_COUNT_UNKNOWN) /* a count that means what it says */
        return kvault__truncated(reader, head->value, reterr);
    return kvault__take_container(reader, head->size, ret_token, kind, head->value, reterr);
}

static double float_of_half(unsigned half)
{
    uint64_t sign = (uint64_t)(half & 0x8000) << 48;
    unsigned exponent = half >> 10 & 31;
    uint64_t fraction = half & 0x3ff;

    if (exponent == 0) {
        double tiny = (double)fraction * 0x1p-24;
        return sign ? -tiny : tiny;
    }
    if (exponent == 31)
        return kvault__float_of_bits(sign | UINT64_C(0x7ff) << 52 | fraction << 42);
    return kvault__float_of_bits(sign | (uint64_t)(exponent + 1023 - 15) << 52 | fraction << 42);
}

static double float_of_single(uint32_t bits)
{
    float x;

    if ((bits & 0x7f800000) == 0x7f800000) /* moved by hand: the processor would change a NaN */
        return kvault__float_of_bits((uint64_t)(bits & 0x80000000) << 32 | UINT64_C(0x7ff) << 52 |
                                     (uint64_t)(bits & 0x7fffff) << 29);
    memcpy(&x, &bits, sizeof x);
    return (double)x;
}

static kvault_status read_simple(kvault_reader *reader, const struct head *head, kvault_token *ret_token,
                                 kvault_error *reterr)
{
    switch (head->low) {
    case 20:
    case 21:
        return kvault__take(reader, 1, ret_token, KVAULT_TOKEN_BOOL, head->low & 1);
    case 22:
        return kvault__take(reader, 1, ret_token, KVAULT_TOKEN_NULL, 0);
    case 24:
        if (head->value < 32)
            return malformed(reader, reader->at, "a simple value below 32 in two bytes", reterr);
        return kvault__take(reader, 2, ret_token, KVAULT_TOKEN_SIMPLE, head->value);
    case 25:
    case 26:
    case 27:
        (void)kvault__take(reader, head->size, ret_token, KVAULT_TOKEN_FLOAT, head->value);
        if (head->low == 25)
            ret_token->f = float_of_half((unsigned)head->value);
        else if (head->low == 26)
            ret_token->f = float_of_single((uint32_t)head->value);
        else
            ret_token->f = kvault__float_of_bits(head->value);
        return KVAULT_OK;
    case LOW_UNKNOWN:
        return malformed(reader, reader->at, "a break that ends nothing", reterr);
    default:
        return kvault__take(reader, 1, ret_token, KVAULT_TOKEN_SIMPLE, head->value);
    }
}

/* Seconds as a float, to the nearest nanosecond. */
static bool date_of_float(double x, kvault_token *ret_token)
{
    double whole = floor(x);
    double nanoseconds = floor((x - whole) * 1e9 + 0.5);

    if (!(whole >= (double)KVAULT__DATE_MIN_S && whole <= (double)KVAULT__DATE_MAX_S))
        return false;
    ret_token->i = (int64_t)whole;
    if (nanoseconds >= 1e9) {
        nanoseconds = 0;
        ret_token->i++;
    }
    ret_token->extra = (int32_t)nanoseconds;
    return ret_token->i <= KVAULT__DATE_MAX_S;
}

/* Turn the content of a tag, in *token, into what the two mean together. False
 * where the content is not what the tag promises. */
static bool combine(uint64_t tag, kvault_token *token)
{
    uint32_t nanoseconds;

    if (tag == 0 && token->kind == KVAULT_TOKEN_TEXT && !token->chunked) {
        if (!kvault__date_parse(token->bytes, &token->i, &nanoseconds))
            return false;
        token->extra = (int32_t)nanoseconds;
    } else if (tag == 1 && token->kind == KVAULT_TOKEN_INT) {
        if (token->i < KVAULT__DATE_MIN_S || token->i > KVAULT__DATE_MAX_S)
            return false;
        token->extra = 0;
    } else if (tag == 1 && token->kind == KVAULT_TOKEN_FLOAT) {
        if (!date_of_float(token->f, token))
            return false;
    } else if ((tag == 2 || tag == 3) && token->kind == KVAULT_TOKEN_BYTES) {
        token->kind = KVAULT_TOKEN_BIGNUM;
        token->extra = tag == 3;
        return true;
    } else {
        return false;
    }
    token->kind = KVAULT_TOKEN_TIMESTAMP;
    return true;
}

static kvault_status read_tag(kvault_reader *reader, const struct head *head, kvault_token *ret_token,
                              kvault_error *reterr)
{
    const uint8_t *content = reader->at + head->size;
    kvault_status rc;

    if (head->low == LOW_UNKNOWN)
        return malformed(reader, reader->at, "a tag without a number", reterr);
    if (head->value <= 3 && content != reader->end && (content[0] & 0xe0) != KVAULT_CBOR_TAG) {
        kvault_reader ahead = *reader;
        kvault_token token;

        ahead.at = content;
        if (kvault_cbor_read_any(&ahead, &token, NULL) == KVAULT_OK && combine(head->value, &token)) {
            *reader = ahead;
            *ret_token = token;
            return KVAULT_OK;
        }
    }
    TRY(kvault__take_container(reader, head->size, ret_token, KVAULT_TOKEN_TAG, 1, reterr));
    ret_token->u = head->value;
out:
    return rc;
}

kvault_status kvault_cbor_read_any(kvault_reader *reader, kvault_token *ret_token, kvault_error *reterr)
{
    struct head head = { KVAULT_CBOR_UINT, 0, 0, 0 };
    kvault_status rc;

    if (reader->at == reader->end)
        return kvault__truncated(reader, 1, reterr);
    TRY(read_head(reader, reader->at, &head, reterr));
    if (head.low == LOW_UNKNOWN && (head.major == KVAULT_CBOR_UINT || head.major == KVAULT_CBOR_NINT))
        return malformed(reader, reader->at, "a number of unknown size", reterr);
    switch (head.major) {
    case KVAULT_CBOR_UINT:
        return kvault__take(reader, head.size, ret_token, head.value > INT64_MAX ? KVAULT_TOKEN_UINT : KVAULT_TOKEN_INT,
                            head.value);
    case KVAULT_CBOR_NINT:
        if (head.value > INT64_MAX)
            return kvault__take(reader, head.size, ret_token, KVAULT_TOKEN_NINT, head.value);
        return kvault__take(reader, head.size, ret_token, KVAULT_TOKEN_INT, ~head.value);
    case KVAULT_CBOR_BYTES:
        return read_string(reader, &head, ret_token, KVAULT_TOKEN_BYTES, reterr);
    case KVAULT_CBOR_TEXT:
        return read_string(reader, &head, ret_token, KVAULT_TOKEN_TEXT, reterr);
    case KVAULT_CBOR_ARRAY:
        return read_container(reader, &head, ret_token, KVAULT_TOKEN_ARRAY, reterr);
    case KVAULT_CBOR_MAP:
        return read_container(reader, &head, ret_token, KVAULT_TOKEN_MAP, reterr);
    case KVAULT_CBOR_TAG:
        return read_tag(reader, &head, ret_token, reterr);
    case KVAULT_CBOR_SIMPLE:
        return read_simple(reader, &head, ret_token, reterr);
    }
out:
    return rc;
}
