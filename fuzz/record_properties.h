/* record_properties.h - what holds for any bytes read as MessagePack or as CBOR. */
#ifndef KVAULT_FUZZ_RECORD_PROPERTIES_H
#define KVAULT_FUZZ_RECORD_PROPERTIES_H

#include "fuzz.h"

#include "../tests/c/token_walk.h"

/* Take the tokens one by one, as a hasty caller would: their counts add up to no
 * more than the bytes there are, and their bytes lie inside. */
static inline void tokens_stay_inside(kvault_format format, kvault_slice data)
{
    kvault_reader reader = kvault_reader_init(data, 0);
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_token token;
    uint64_t promised = 0;

    while (reader.owed && kvault_token_read(format, &reader, &token, &err) == KVAULT_OK) {
        if (is_container(&token) && token.kind != KVAULT_TOKEN_TAG && token.u != KVAULT_COUNT_UNKNOWN)
            promised += token.u;
        HOLDS(promised <= data.size);
        HOLDS(reader.at <= reader.end && reader.depth <= KVAULT_DEPTH_MAX);
        if (token.kind == KVAULT_TOKEN_TEXT || token.kind == KVAULT_TOKEN_BYTES || token.kind == KVAULT_TOKEN_EXT ||
            token.kind == KVAULT_TOKEN_BIGNUM)
            HOLDS((const uint8_t *)token.bytes.data >= reader.start && token.bytes.size <= data.size &&
                  (const uint8_t *)token.bytes.data + token.bytes.size <= reader.end);
    }
}

/* A record that is fine can be written again, and then is its own shortest form. */
static inline void writing_again_settles(kvault_format format, kvault_slice data)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_buf once = KVAULT_BUF_INIT, twice = KVAULT_BUF_INIT;

    HOLDS(recode_record(format, data, format, &once, &err) == KVAULT_OK);
    HOLDS(kvault_packer_check(format, (kvault_slice){ once.data, once.size }, &err) == KVAULT_OK);
    HOLDS(recode_record(format, (kvault_slice){ once.data, once.size }, format, &twice, &err) == KVAULT_OK);
    HOLDS(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
    kvault_buf_free(&once);
    kvault_buf_free(&twice);
}

/* The other format takes it, or says what it lacks. */
static inline void the_other_format_takes_it_or_says_why(kvault_format format, kvault_slice data)
{
    kvault_format other = format == KVAULT_FORMAT_CBOR ? KVAULT_FORMAT_MSGPACK : KVAULT_FORMAT_CBOR;
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_buf buf = KVAULT_BUF_INIT;
    kvault_status rc = recode_record(format, data, other, &buf, &err);

    HOLDS(rc == KVAULT_OK || rc == KVAULT_E_TYPE || rc == KVAULT_E_RANGE);
    if (rc == KVAULT_OK)
        HOLDS(kvault_packer_check(other, (kvault_slice){ buf.data, buf.size }, &err) == KVAULT_OK);
    kvault_buf_free(&buf);
}

static inline void record_properties_hold(kvault_format format, const uint8_t *bytes, size_t size)
{
    kvault_slice data = { bytes, size };
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_status rc = kvault_packer_check(format, data, &err);

    tokens_stay_inside(format, data);
    if (rc == KVAULT_OK) {
        writing_again_settles(format, data);
        the_other_format_takes_it_or_says_why(format, data);
        return;
    }
    HOLDS(rc == KVAULT_E_CORRUPT || rc == KVAULT_E_TOOBIG);
    HOLDS(err.status == rc && err.message[0] && err.position >= 0 && err.position <= (int64_t)size);
}

#endif
