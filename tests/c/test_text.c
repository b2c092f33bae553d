/* test_text.c - encodings and elements of fixed size: what converts to what, what is refused, padding and trimming. */
#include "kvtest.h"

#include "codec/text.h"
#include "kohakuvault/packer.h"

static kvault_slice text_of(const char *text)
{
    return (kvault_slice){ text, strlen(text) };
}

struct pair_row {
    const char *utf8;
    size_t utf8_size;
    const char *utf16be;
    size_t utf16_size;
    int latin1, ascii; /* whether it exists there */
};

static const struct pair_row pairs[] = {
    { "", 0, "", 0, 1, 1 },
    { "a", 1, "\0a", 2, 1, 1 },
    { "\0", 1, "\0\0", 2, 1, 1 },
    { "\x7f", 1, "\0\x7f", 2, 1, 1 },
    { "\xc2\x80", 2, "\0\x80", 2, 1, 0 },
    { "\xc3\xa9", 2, "\0\xe9", 2, 1, 0 },
    { "\xc3\xbf", 2, "\0\xff", 2, 1, 0 },
    { "\xc4\x80", 2, "\1\0", 2, 0, 0 },
    { "\xdf\xbf", 2, "\7\xff", 2, 0, 0 },
    { "\xe0\xa0\x80", 3, "\x08\0", 2, 0, 0 },
    { "\xe2\x82\xac", 3, "\x20\xac", 2, 0, 0 },
    { "\xed\x9f\xbf", 3, "\xd7\xff", 2, 0, 0 },
    { "\xee\x80\x80", 3, "\xe0\0", 2, 0, 0 },
    { "\xef\xbf\xbf", 3, "\xff\xff", 2, 0, 0 },
    { "\xf0\x90\x80\x80", 4, "\xd8\0\xdc\0", 4, 0, 0 },
    { "\xf4\x8f\xbf\xbf", 4, "\xdb\xff\xdf\xff", 4, 0, 0 },
    { "0123456789abc\xc3\xa9xyz", 18, "\0000\0001\0002\0003\0004\0005\0006\0007\0008\0009\0a\0b\0c\0\xe9\0x\0y\0z", 34,
      1, 0 },
    { "a sentence in ASCII only", 24, NULL, 48, 1, 1 },
};

#define PAIR_COUNT (sizeof pairs / sizeof pairs[0])

/* One way, and what must come out. */
static void check_conversion(kvault_encoding from, kvault_slice text, kvault_encoding to, kvault_slice want)
{
    kvault_error err = KVAULT_ERROR_INIT;
    uint8_t out[100];
    size_t size = 99;

    CHECK_OK(kvault_text_measure(from, text, to, &size, &err), &err);
    CHECK(size == want.size);
    memset(out, 0xee, sizeof out);
    CHECK_OK(kvault_text_convert(from, text, to, out, want.size, &size, &err), &err);
    CHECK(size == want.size && memcmp(out, want.data, size) == 0 && out[size] == 0xee);
    if (want.size == 0)
        return;
    memset(out, 0xee, sizeof out);
    CHECK_STATUS(kvault_text_convert(from, text, to, out, want.size - 1, &size, &err), KVAULT_E_TOOBIG, &err);
    CHECK_MESSAGE(&err, "Data too long");
    CHECK(out[0] == 0xee);
}

static void every_encoding_converts_to_every_other(void)
{
    for (size_t i = 0; i < PAIR_COUNT; i++) {
        const struct pair_row *row = &pairs[i];
        char be[100], le[100], latin1[100];
        kvault_slice utf8 = { row->utf8, row->utf8_size };
        kvault_slice utf16be = { be, row->utf16_size }, utf16le = { le, row->utf16_size };
        kvault_slice narrow = { latin1, row->utf16_size / 2 };

        for (size_t at = 0; at < row->utf16_size; at++)
            be[at] = row->utf16be ? row->utf16be[at] : at % 2 ? row->utf8[at / 2] : '\0';
        for (size_t at = 0; at < row->utf16_size; at++) {
            le[at] = be[at ^ 1];
            latin1[at / 2] = be[at];
        }
        check_conversion(KVAULT_UTF8, utf8, KVAULT_UTF8, utf8);
        check_conversion(KVAULT_UTF8, utf8, KVAULT_UTF16BE, utf16be);
        check_conversion(KVAULT_UTF8, utf8, KVAULT_UTF16LE, utf16le);
        check_conversion(KVAULT_UTF16BE, utf16be, KVAULT_UTF8, utf8);
        check_conversion(KVAULT_UTF16LE, utf16le, KVAULT_UTF16BE, utf16be);
        check_conversion(KVAULT_UTF16LE, utf16le, KVAULT_UTF8, utf8);
        if (row->latin1) {
            check_conversion(KVAULT_UTF8, utf8, KVAULT_LATIN1, narrow);
            check_conversion(KVAULT_LATIN1, narrow, KVAULT_UTF8, utf8);
            check_conversion(KVAULT_LATIN1, narrow, KVAULT_UTF16LE, utf16le);
            check_conversion(KVAULT_UTF16BE, utf16be, KVAULT_LATIN1, narrow);
        }
        if (row->ascii) {
            check_conversion(KVAULT_UTF8, utf8, KVAULT_ASCII, narrow);
            check_conversion(KVAULT_ASCII, narrow, KVAULT_UTF16BE, utf16be);
            check_conversion(KVAULT_UTF16LE, utf16le, KVAULT_ASCII, narrow);
        }
    }
}

static void every_character_there_is_comes_back(void)
{
    size_t wrong = 0;

    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        uint8_t be[4], utf8[4], again[4];
        kvault_slice units = { be, c < 0x10000 ? 2 : 4 };
        uint32_t high = c < 0x10000 ? c : 0xd800 + ((c - 0x10000) >> 10);
        size_t size = 0, back = 0;

        be[0] = (uint8_t)(high >> 8);
        be[1] = (uint8_t)high;
        be[2] = (uint8_t)(0xdc | (c >> 8 & 3));
        be[3] = (uint8_t)c;
        if (c >= 0xd800 && c <= 0xdfff) {
            wrong += kvault_text_measure(KVAULT_UTF16BE, units, KVAULT_UTF8, &size, NULL) != KVAULT_E_CORRUPT;
            continue;
        }
        wrong += kvault_text_convert(KVAULT_UTF16BE, units, KVAULT_UTF8, utf8, sizeof utf8, &size, NULL) != KVAULT_OK;
        wrong += kvault__utf8_prefix((kvault_slice){ utf8, size }) != size;
        wrong += size > 1 && kvault__utf8_prefix((kvault_slice){ utf8, size - 1 }) != 0;
        wrong += kvault_text_convert(KVAULT_UTF8, (kvault_slice){ utf8, size }, KVAULT_UTF16BE, again, sizeof again,
                                     &back, NULL) != KVAULT_OK;
        wrong += back != units.size || memcmp(again, be, back) != 0;
    }
    CHECK(wrong == 0);
}

struct bad_row {
    kvault_encoding from;
    const char *bytes;
    size_t size;
    kvault_encoding to;
    kvault_status status;
    int64_t position;
    const char *message;
};

static const struct bad_row bad_rows[] = {
    { KVAULT_UTF8, "ab\xff", 3, KVAULT_UTF8, KVAULT_E_CORRUPT, 2, "text is not UTF-8 at byte 2" },
    { KVAULT_UTF8, "\x80", 1, KVAULT_UTF16LE, KVAULT_E_CORRUPT, 0, "not UTF-8" },
    { KVAULT_UTF8, "\xc0\x80", 2, KVAULT_UTF8, KVAULT_E_CORRUPT, 0, "not UTF-8" },
    { KVAULT_UTF8, "\xc1\xbf", 2, KVAULT_UTF8, KVAULT_E_CORRUPT, 0, "not UTF-8" },
    { KVAULT_UTF8, "\xe0\x9f\xbf", 3, KVAULT_UTF8, KVAULT_E_CORRUPT, 0, "not UTF-8" },
    { KVAULT_UTF8, "\xed\xa0\x80", 3, KVAULT_UTF8, KVAULT_E_CORRUPT, 0, "not UTF-8" },
    { KVAULT_UTF8, "\xf0\x8f\xbf\xbf", 4, KVAULT_UTF8, KVAULT_E_CORRUPT, 0, "not UTF-8" },
    { KVAULT_UTF8, "\xf4\x90\x80\x80", 4, KVAULT_UTF8, KVAULT_E_CORRUPT, 0, "not UTF-8" },
    { KVAULT_UTF8, "\xf5\x80\x80\x80", 4, KVAULT_UTF8, KVAULT_E_CORRUPT, 0, "not UTF-8" },
    { KVAULT_UTF8, "12345678\xe2\x82", 10, KVAULT_UTF8, KVAULT_E_CORRUPT, 8, "not UTF-8 at byte 8" },
    { KVAULT_UTF8, "a\xc3\xa9", 3, KVAULT_ASCII, KVAULT_E_INVALID, 1, "non-ASCII character U+00E9 at byte 1" },
    { KVAULT_UTF8, "\xe2\x82\xac", 3, KVAULT_LATIN1, KVAULT_E_INVALID, 0, "U+20AC at byte 0 is outside Latin1 range" },
    { KVAULT_UTF8, "\xf0\x9f\x98\x80", 4, KVAULT_LATIN1, KVAULT_E_INVALID, 0, "U+1F600" },
    { KVAULT_UTF16LE, "a\0b", 3, KVAULT_UTF8, KVAULT_E_CORRUPT, 2, "not UTF-16LE at byte 2" },
    { KVAULT_UTF16BE, "\xdc\0\0a", 4, KVAULT_UTF8, KVAULT_E_CORRUPT, 0, "not UTF-16BE at byte 0" },
    { KVAULT_UTF16BE, "\xd8\0\0a", 4, KVAULT_UTF8, KVAULT_E_CORRUPT, 0, "not UTF-16BE at byte 0" },
    { KVAULT_UTF16BE, "\0a\xd8\0", 4, KVAULT_UTF8, KVAULT_E_CORRUPT, 2, "not UTF-16BE at byte 2" },
    { KVAULT_UTF16BE, "\1\0", 2, KVAULT_LATIN1, KVAULT_E_INVALID, 0, "outside Latin1 range" },
    { KVAULT_ASCII, "a\x80", 2, KVAULT_UTF8, KVAULT_E_CORRUPT, 1, "non-ASCII byte 0x80 at byte 1" },
    { KVAULT_LATIN1, "a\x80", 2, KVAULT_ASCII, KVAULT_E_INVALID, 1, "non-ASCII character U+0080 at byte 1" },
};

static void what_does_not_convert_is_refused_where_it_is(void)
{
    for (size_t i = 0; i < sizeof bad_rows / sizeof bad_rows[0]; i++) {
        const struct bad_row *row = &bad_rows[i];
        kvault_error err = KVAULT_ERROR_INIT;
        uint8_t *exact = malloc(row->size), out[16] = { 0xee };
        size_t size = 99;

        memcpy(exact, row->bytes, row->size);
        CHECK_STATUS(
            kvault_text_convert(row->from, (kvault_slice){ exact, row->size }, row->to, out, sizeof out, &size, &err),
            row->status, &err);
        CHECK_MESSAGE(&err, row->message);
        CHECK(err.position == row->position && size == 99 && out[0] == 0xee);
        if (row->from == KVAULT_UTF8 && row->status == KVAULT_E_CORRUPT)
            CHECK(kvault__utf8_prefix((kvault_slice){ exact, row->size }) == (size_t)row->position);
        free(exact);
    }
}

static void trimming_cuts_whole_characters(void)
{
    CHECK(kvault_text_trim(KVAULT_UTF8, (kvault_slice){ "a\0b\0\0", 5 }).size == 3);
    CHECK(kvault_text_trim(KVAULT_UTF8, (kvault_slice){ "\0\0", 2 }).size == 0);
    CHECK(kvault_text_trim(KVAULT_LATIN1, (kvault_slice){ NULL, 0 }).size == 0);
    CHECK(kvault_text_trim(KVAULT_UTF16LE, (kvault_slice){ "a\0\0\0\0\0", 6 }).size == 2);
    CHECK(kvault_text_trim(KVAULT_UTF16BE, (kvault_slice){ "\1\0\0\0", 4 }).size == 2); /* U+0100 */
    CHECK(kvault_text_trim(KVAULT_UTF16LE, (kvault_slice){ "\0\1\0\0", 4 }).size == 2);
}

/* ---- Elements of fixed size ------------------------------------------------- */

static kvault_dtype dtype_of(const char *text)
{
    kvault_dtype dtype = { KVAULT_I8, KVAULT_UTF8, 0 };

    CHECK_OK(kvault_dtype_parse(text_of(text), &dtype, NULL), NULL);
    return dtype;
}

struct fixed_row {
    const char *dtype;
    kvault_token token;
    const char *bytes;
};

#define INT(x)                                                                                                         \
    {                                                                                                                  \
        .kind = KVAULT_TOKEN_INT, .i = (x)                                                                             \
    }
#define UINT(x)                                                                                                        \
    {                                                                                                                  \
        .kind = KVAULT_TOKEN_UINT, .u = (x)                                                                            \
    }
#define FLOAT(x)                                                                                                       \
    {                                                                                                                  \
        .kind = KVAULT_TOKEN_FLOAT, .f = (x)                                                                           \
    }
#define BOOL(x)                                                                                                        \
    {                                                                                                                  \
        .kind = KVAULT_TOKEN_BOOL, .u = (x)                                                                            \
    }
#define BYTES(x)                                                                                                       \
    {                                                                                                                  \
        .kind = KVAULT_TOKEN_BYTES, .bytes = { x, sizeof(x) - 1 }                                                      \
    }
#define TEXT(x)                                                                                                        \
    {                                                                                                                  \
        .kind = KVAULT_TOKEN_TEXT, .bytes = { x, sizeof(x) - 1 }                                                       \
    }

static const struct fixed_row fixed_rows[] = {
    { "i8", INT(-128), "\x80" },
    { "i8", INT(127), "\x7f" },
    { "u8", INT(255), "\xff" },
    { "i16", INT(-2), "\xfe\xff" },
    { "i16", INT(INT16_MIN), "\0\x80" },
    { "u16", INT(65535), "\xff\xff" },
    { "i32", INT(INT32_MIN), "\0\0\0\x80" },
    { "u32", INT(UINT32_MAX), "\xff\xff\xff\xff" },
    { "i64", INT(INT64_MIN), "\0\0\0\0\0\0\0\x80" },
    { "i64", INT(INT64_MAX), "\xff\xff\xff\xff\xff\xff\xff\x7f" },
    { "u64", INT(1), "\1\0\0\0\0\0\0\0" },
    { "u64", UINT(UINT64_MAX), "\xff\xff\xff\xff\xff\xff\xff\xff" },
    { "f64", FLOAT(1.5), "\0\0\0\0\0\0\xf8\x3f" },
    { "f32", FLOAT(-1.5), "\0\0\xc0\xbf" },
    { "bool", BOOL(1), "\1" },
    { "bool", BOOL(0), "\0" },
    { "bytes:3", BYTES("a\0b"), "a\0b" },
    { "msgpack:2", BYTES("\x91\1"), "\x91\1" },
    { "str:4", TEXT("caf"), "caf\0" },
    { "str:5", TEXT("caf\xc3\xa9"), "caf\xc3\xa9" },
};

static void every_fixed_dtype_comes_back(void)
{
    for (size_t i = 0; i < sizeof fixed_rows / sizeof fixed_rows[0]; i++) {
        const struct fixed_row *row = &fixed_rows[i];
        kvault_dtype dtype = dtype_of(row->dtype);
        kvault_error err = KVAULT_ERROR_INIT;
        kvault_token token;
        uint8_t *element = malloc(dtype.size_bytes);

        CHECK_OK(kvault_fixed_write(&dtype, &row->token, element, &err), &err);
        CHECK(memcmp(element, row->bytes, dtype.size_bytes) == 0 || (printf("# %s\n", row->dtype), false));
        CHECK_OK(kvault_fixed_read(&dtype, (kvault_slice){ element, dtype.size_bytes }, &token, &err), &err);
        CHECK(token.kind == row->token.kind);
        if (row->token.kind == KVAULT_TOKEN_TEXT || row->token.kind == KVAULT_TOKEN_BYTES)
            CHECK(token.bytes.size == row->token.bytes.size &&
                  memcmp(token.bytes.data, row->token.bytes.data, token.bytes.size) == 0);
        else
            CHECK(token.u == row->token.u);
        CHECK_STATUS(kvault_fixed_read(&dtype, (kvault_slice){ element, dtype.size_bytes - 1 }, &token, &err),
                     KVAULT_E_CORRUPT, &err);
        CHECK_MESSAGE(&err, "Not enough data");
        free(element);
    }
}

struct refused_row {
    const char *dtype;
    kvault_token token;
    kvault_status status;
    const char *message;
};

static const struct refused_row refused_rows[] = {
    { "i8", INT(128), KVAULT_E_RANGE, "128 is out of range for i8, limit 127" },
    { "i8", INT(-129), KVAULT_E_RANGE, "-129 is out of range for i8, -128 to 127" },
    { "u8", INT(256), KVAULT_E_RANGE, "limit 255" },
    { "u8", INT(-1), KVAULT_E_RANGE, "-1 is out of range for u8, 0 to 255" },
    { "i16", INT(32768), KVAULT_E_RANGE, "i16" },
    { "i16", INT(-32769), KVAULT_E_RANGE, "i16" },
    { "u16", INT(65536), KVAULT_E_RANGE, "u16" },
    { "i32", INT(INT64_C(1) << 31), KVAULT_E_RANGE, "i32" },
    { "u32", INT(INT64_C(1) << 32), KVAULT_E_RANGE, "u32" },
    { "i64", UINT(UINT64_C(1) << 63), KVAULT_E_RANGE, "9223372036854775808 is out of range for i64" },
    { "u64", INT(-1), KVAULT_E_RANGE, "0 to 18446744073709551615" },
    { "i64", FLOAT(1), KVAULT_E_TYPE, "an element of i64 must be an integer" },
    { "i64", BOOL(1), KVAULT_E_TYPE, "an integer" },
    { "f32", FLOAT(1e39), KVAULT_E_RANGE, "1e+39 is out of range for f32" },
    { "f64", TEXT("1"), KVAULT_E_TYPE, "an element of f64 must be a number" },
    { "bool", INT(1), KVAULT_E_TYPE, "true or false" },
    { "bytes:3", BYTES("abcd"), KVAULT_E_TOOBIG, "Data too long: 4 bytes, limit 3 for bytes:3" },
    { "bytes:3", TEXT("abc"), KVAULT_E_TYPE, "must be bytes" },
    { "str:3", BYTES("abc"), KVAULT_E_TYPE, "must be text" },
    { "str:4", TEXT("caf\xc3\xa9"), KVAULT_E_TOOBIG, "Data too long: the text takes 5 bytes as UTF-8, limit 4" },
    { "str:2:utf16le", TEXT("\xf0\x9f\x98\x80"), KVAULT_E_TOOBIG, "takes 4 bytes as UTF-16LE, limit 2" },
    { "str:4:ascii", TEXT("\xc3\xa9"), KVAULT_E_INVALID, "non-ASCII" },
    { "str:4:latin1", TEXT("\xe2\x82\xac"), KVAULT_E_INVALID, "outside Latin1 range" },
    { "str:4", TEXT("\xff"), KVAULT_E_CORRUPT, "not UTF-8" },
    { "bytes", BYTES(""), KVAULT_E_INVALID, "bytes has elements of any size" },
    { "str:utf16le", TEXT(""), KVAULT_E_INVALID, "str:utf16le has elements of any size" },
};

static void what_an_element_cannot_hold_is_refused(void)
{
    for (size_t i = 0; i < sizeof refused_rows / sizeof refused_rows[0]; i++) {
        const struct refused_row *row = &refused_rows[i];
        kvault_dtype dtype = dtype_of(row->dtype);
        kvault_error err = KVAULT_ERROR_INIT;
        uint8_t element[8];

        memset(element, 0xee, sizeof element);
        CHECK_STATUS(kvault_fixed_write(&dtype, &row->token, element, &err), row->status, &err);
        CHECK_MESSAGE(&err, row->message);
        for (size_t at = 0; at < sizeof element; at++)
            CHECK(element[at] == 0xee);
    }
}

static void short_values_are_padded_and_padding_is_what_the_type_says(void)
{
    kvault_dtype bytes = dtype_of("bytes:6"), text = dtype_of("str:6:utf16be"), flag = dtype_of("bool");
    kvault_token hello = BYTES("abc"), wide = TEXT("\xc4\x80"), none = TEXT(""), token;
    uint8_t element[6];
    kvault_slice data = { element, sizeof element };
    kvault_error err = KVAULT_ERROR_INIT;

    memset(element, 0xee, sizeof element);
    CHECK_OK(kvault_fixed_write(&bytes, &hello, element, &err), &err);
    CHECK(memcmp(element, "abc\0\0\0", 6) == 0);
    CHECK_OK(kvault_fixed_read(&bytes, data, &token, &err), &err);
    CHECK(token.bytes.size == 6);

    CHECK_OK(kvault_fixed_write(&text, &wide, element, &err), &err);
    CHECK(memcmp(element, "\1\0\0\0\0\0", 6) == 0);
    CHECK_OK(kvault_fixed_read(&text, data, &token, &err), &err);
    CHECK(token.kind == KVAULT_TOKEN_TEXT && token.bytes.size == 2);
    CHECK_OK(kvault_fixed_write(&text, &none, element, &err), &err);
    CHECK_OK(kvault_fixed_read(&text, data, &token, &err), &err);
    CHECK(token.bytes.size == 0);

    element[0] = 2;
    CHECK_STATUS(kvault_fixed_read(&flag, data, &token, &err), KVAULT_E_CORRUPT, &err);
    CHECK_MESSAGE(&err, "0x02 is not a bool");
}

static void floats_take_integers_and_keep_what_is_not_finite(void)
{
    kvault_dtype f32 = dtype_of("f32"), f64 = dtype_of("f64");
    kvault_token whole = INT(-3), large = UINT(UINT64_MAX), infinite = FLOAT(1e308 * 10), token;
    uint8_t element[8];
    kvault_slice data = { element, sizeof element };

    CHECK_OK(kvault_fixed_write(&f32, &whole, element, NULL), NULL);
    CHECK_OK(kvault_fixed_read(&f32, data, &token, NULL), NULL);
    CHECK(token.f == -3.0);
    CHECK_OK(kvault_fixed_write(&f64, &large, element, NULL), NULL);
    CHECK_OK(kvault_fixed_read(&f64, data, &token, NULL), NULL);
    CHECK(token.f == 0x1p64);
    CHECK_OK(kvault_fixed_write(&f32, &infinite, element, NULL), NULL);
    CHECK_OK(kvault_fixed_read(&f32, data, &token, NULL), NULL);
    CHECK(token.f > 1e308 && token.f == infinite.f);
}

int main(void)
{
    RUN(every_encoding_converts_to_every_other);
    RUN(every_character_there_is_comes_back);
    RUN(what_does_not_convert_is_refused_where_it_is);
    RUN(trimming_cuts_whole_characters);
    RUN(every_fixed_dtype_comes_back);
    RUN(what_an_element_cannot_hold_is_refused);
    RUN(short_values_are_padded_and_padding_is_what_the_type_says);
    RUN(floats_take_integers_and_keep_what_is_not_finite);
    return kvtest_end();
}
