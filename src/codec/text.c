/* text.c - the five encodings: validate, measure, convert, trim.
 *
 * Every pair of encodings goes through code points, one at a time: a `next`
 * that knows where a character of the source ends, and a `put` that knows how
 * many bytes it takes in the target. Runs of ASCII between encodings of bytes,
 * which is what most text is, are measured and copied eight bytes at a time.
 *
 * Measuring is what validates; converting measures first and then cannot fail,
 * so that it writes all or nothing. Any thread; nothing is allocated. */
#include "codec/text.h"

#include "base/bytes.h"
#include "base/banned.h"

#define HIGH_BITS UINT64_C(0x8080808080808080)

/* Indexed by kvault_encoding, for messages. */
static const char *const titles[] = {
    [KVAULT_UTF8] = "UTF-8",    [KVAULT_UTF16LE] = "UTF-16LE", [KVAULT_UTF16BE] = "UTF-16BE",
    [KVAULT_LATIN1] = "Latin1", [KVAULT_ASCII] = "ASCII",
};

/* The first byte that is not ASCII, or `end`. */
static const uint8_t *skip_ascii(const uint8_t *at, const uint8_t *end)
{
    while (end - at >= 8 && !(kvault__load_le64(at) & HIGH_BITS))
        at += 8;
    if (end - at >= 4 && !(kvault__load_le32(at) & (uint32_t)HIGH_BITS))
        at += 4;
    while (at < end && *at < 0x80)
        at++;
    return at;
}

static bool is_continuation(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* The character at `at`, which is before `end`; returns its bytes, or 0 if there
 * is no whole one. The bounds on the second byte keep out overlong forms,
 * surrogates, and what lies above U+10FFFF. */
static size_t next_utf8(const uint8_t *at, const uint8_t *end, uint32_t *ret_char)
{
    size_t remain = (size_t)(end - at);
    uint8_t lead = at[0];

    if (lead < 0x80) {
        *ret_char = lead;
        return 1;
    }
    if (lead < 0xc2 || lead > 0xf4 || remain < 2 || !is_continuation(at[1]))
        return 0;
    if (lead < 0xe0) {
        *ret_char = (uint32_t)(lead & 0x1f) << 6 | (at[1] & 0x3f);
        return 2;
    }
    if (remain < 3 || !is_continuation(at[2]))
        return 0;
    if (lead < 0xf0) {
        if ((lead == 0xe0 && at[1] < 0xa0) || (lead == 0xed && at[1] > 0x9f))
            return 0;
        *ret_char = (uint32_t)(lead & 0x0f) << 12 | (uint32_t)(at[1] & 0x3f) << 6 | (at[2] & 0x3f);
        return 3;
    }
    if (remain < 4 || !is_continuation(at[3]) || (lead == 0xf0 && at[1] < 0x90) || (lead == 0xf4 && at[1] > 0x8f))
        return 0;
    *ret_char =
        (uint32_t)(lead & 0x07) << 18 | (uint32_t)(at[1] & 0x3f) << 12 | (uint32_t)(at[2] & 0x3f) << 6 | (at[3] & 0x3f);
    return 4;
}

static uint32_t load_unit(const uint8_t *at, bool big)
{
    return big ? kvault__load_be16(at) : kvault__load_le16(at);
}

static size_t next_utf16(const uint8_t *at, const uint8_t *end, bool big, uint32_t *ret_char)
{
    uint32_t first, second;

    if (end - at < 2)
        return 0;
    first = load_unit(at, big);
    if (first < 0xd800 || first > 0xdfff) {
        *ret_char = first;
        return 2;
    }
    if (first > 0xdbff || end - at < 4)
        return 0;
    second = load_unit(at + 2, big);
    if (second < 0xdc00 || second > 0xdfff)
        return 0;
    *ret_char = 0x10000 + ((first & 0x3ff) << 10) + (second & 0x3ff);
    return 4;
}

static size_t next_char(kvault_encoding encoding, const uint8_t *at, const uint8_t *end, uint32_t *ret_char)
{
    switch (encoding) {
    case KVAULT_UTF8:
        return next_utf8(at, end, ret_char);
    case KVAULT_UTF16LE:
        return next_utf16(at, end, false, ret_char);
    case KVAULT_UTF16BE:
        return next_utf16(at, end, true, ret_char);
    case KVAULT_LATIN1:
        *ret_char = *at;
        return 1;
    case KVAULT_ASCII:
        *ret_char = *at;
        return *at < 0x80;
    }
    return 0;
}

/* The bytes of a character in an encoding; 0 if it has none. */
static size_t size_of_char(kvault_encoding encoding, uint32_t c)
{
    switch (encoding) {
    case KVAULT_UTF8:
        return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    case KVAULT_UTF16LE:
    case KVAULT_UTF16BE:
        return c < 0x10000 ? 2 : 4;
    case KVAULT_LATIN1:
        return c <= 0xff;
    case KVAULT_ASCII:
        return c < 0x80;
    }
    return 0;
}

static uint8_t *put_utf8(uint8_t *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (uint8_t)c;
    } else if (c < 0x800) {
        *to++ = (uint8_t)(0xc0 | c >> 6);
        *to++ = (uint8_t)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *to++ = (uint8_t)(0xe0 | c >> 12);
        *to++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        *to++ = (uint8_t)(0x80 | (c & 0x3f));
    } else {
        *to++ = (uint8_t)(0xf0 | c >> 18);
        *to++ = (uint8_t)(0x80 | (c >> 12 & 0x3f));
        *to++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        *to++ = (uint8_t)(0x80 | (c & 0x3f));
    }
    return to;
}

static uint8_t *put_unit(uint8_t *to, uint32_t unit, bool big)
{
    if (big)
        kvault__store_be16(to, (uint16_t)unit);
    else
        kvault__store_le16(to, (uint16_t)unit);
    return to + 2;
}

static uint8_t *put_char(kvault_encoding encoding, uint8_t *to, uint32_t c)
{
    bool big = encoding == KVAULT_UTF16BE;

    if (encoding == KVAULT_UTF8)
        return put_utf8(to, c);
    if (encoding == KVAULT_LATIN1 || encoding == KVAULT_ASCII) {
        *to = (uint8_t)c;
        return to + 1;
    }
    if (c < 0x10000)
        return put_unit(to, c, big);
    to = put_unit(to, 0xd800 | (c - 0x10000) >> 10, big);
    return put_unit(to, 0xdc00 | ((c - 0x10000) & 0x3ff), big);
}

/* Whether an ASCII character is one byte of its own value. */
static bool is_of_bytes(kvault_encoding encoding)
{
    return encoding != KVAULT_UTF16LE && encoding != KVAULT_UTF16BE;
}

static kvault_status fail_source(kvault_encoding from, size_t position, uint8_t byte, kvault_error *reterr)
{
    if (from == KVAULT_ASCII)
        return kvault__fail_at(reterr, KVAULT_E_CORRUPT, (int64_t)position, "non-ASCII byte 0x%02x at byte %zu", byte,
                               position);
    return kvault__fail_at(reterr, KVAULT_E_CORRUPT, (int64_t)position, "text is not %s at byte %zu", titles[from],
                           position);
}

static kvault_status fail_target(kvault_encoding to, size_t position, uint32_t c, kvault_error *reterr)
{
    return kvault__fail_at(reterr, KVAULT_E_INVALID, (int64_t)position,
                           to == KVAULT_ASCII ? "non-ASCII character U+%04X at byte %zu"
                                              : "character U+%04X at byte %zu is outside Latin1 range",
                           (unsigned)c, position);
}

kvault_status kvault_text_measure(kvault_encoding from, kvault_slice text, kvault_encoding to, size_t *ret_size,
                                  kvault_error *reterr)
{
    const uint8_t *start = text.data;
    const uint8_t *at = start;
    const uint8_t *end = text.size ? start + text.size : start;
    bool runs = is_of_bytes(from);
    size_t size = 0; /* at most twice the text, which is in memory: no overflow */

    while (at < end) {
        size_t took, puts;
        uint32_t c = 0;

        if (runs && *at < 0x80) {
            const uint8_t *run = at;
            at = skip_ascii(at, end);
            size += (size_t)(at - run) * (is_of_bytes(to) ? 1 : 2);
            continue;
        }
        took = next_char(from, at, end, &c);
        if (!took)
            return fail_source(from, (size_t)(at - start), *at, reterr);
        puts = size_of_char(to, c);
        if (!puts)
            return fail_target(to, (size_t)(at - start), c, reterr);
        at += took;
        size += puts;
    }
    *ret_size = size;
    return KVAULT_OK;
}

/* The text is valid and fits. */
static void convert(kvault_encoding from, kvault_slice text, kvault_encoding to, uint8_t *out)
{
    const uint8_t *at = text.data;
    const uint8_t *end = at + text.size;
    bool runs = is_of_bytes(from) && is_of_bytes(to);

    while (at < end) {
        uint32_t c = 0;

        if (runs && *at < 0x80) {
            size_t run = (size_t)(skip_ascii(at, end) - at);
            memcpy(out, at, run);
            at += run;
            out += run;
            continue;
        }
        at += next_char(from, at, end, &c);
        out = put_char(to, out, c);
    }
}

kvault_status kvault_text_convert(kvault_encoding from, kvault_slice text, kvault_encoding to, void *ret_bytes,
                                  size_t room, size_t *ret_size, kvault_error *reterr)
{
    kvault_status rc;
    size_t size;

    TRY(kvault_text_measure(from, text, to, &size, reterr));
    if (size > room)
        return kvault__fail(reterr, KVAULT_E_TOOBIG, "Data too long: the text takes %zu bytes as %s, limit %zu", size,
                            titles[to], room);
    if (size && from == to)
        memcpy(ret_bytes, text.data, size);
    else if (size)
        convert(from, text, to, ret_bytes);
    *ret_size = size;
out:
    return rc;
}

kvault_slice kvault_text_trim(kvault_encoding encoding, kvault_slice text)
{
    const uint8_t *bytes = text.data;

    if (is_of_bytes(encoding)) {
        while (text.size && bytes[text.size - 1] == 0)
            text.size--;
        return text;
    }
    while (text.size >= 2 && bytes[text.size - 1] == 0 && bytes[text.size - 2] == 0)
        text.size -= 2;
    return text;
}

size_t kvault__utf8_prefix(kvault_slice text)
{
    const uint8_t *start = text.data;
    const uint8_t *at = start;
    const uint8_t *end = text.size ? start + text.size : start;

    while (at < end) {
        uint32_t c;
        size_t took;

        at = skip_ascii(at, end);
        if (at == end)
            break;
        took = next_utf8(at, end, &c);
        if (!took)
            break;
        at += took;
    }
    return (size_t)(at - start);
}
