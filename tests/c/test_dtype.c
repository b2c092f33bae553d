/* test_dtype.c - the dtype grammar: what parses, to what, and what is refused with which words. */
#include "kvtest.h"

#include "kohakuvault/dtype.h"

static kvault_slice text_of(const char *text)
{
    return (kvault_slice){ text, strlen(text) };
}

struct good_row {
    const char *text;
    kvault_kind kind;
    uint32_t size_bytes;
    kvault_encoding encoding;
    const char *shortest;
};

static const struct good_row good_rows[] = {
    { "i8", KVAULT_I8, 1, KVAULT_UTF8, "i8" },
    { "i16", KVAULT_I16, 2, KVAULT_UTF8, "i16" },
    { "i32", KVAULT_I32, 4, KVAULT_UTF8, "i32" },
    { "i64", KVAULT_I64, 8, KVAULT_UTF8, "i64" },
    { "u8", KVAULT_U8, 1, KVAULT_UTF8, "u8" },
    { "u16", KVAULT_U16, 2, KVAULT_UTF8, "u16" },
    { "u32", KVAULT_U32, 4, KVAULT_UTF8, "u32" },
    { "u64", KVAULT_U64, 8, KVAULT_UTF8, "u64" },
    { "f32", KVAULT_F32, 4, KVAULT_UTF8, "f32" },
    { "f64", KVAULT_F64, 8, KVAULT_UTF8, "f64" },
    { "bool", KVAULT_BOOL, 1, KVAULT_UTF8, "bool" },
    { "bytes", KVAULT_BYTES, 0, KVAULT_UTF8, "bytes" },
    { "bytes:1", KVAULT_BYTES, 1, KVAULT_UTF8, "bytes:1" },
    { "bytes:032", KVAULT_BYTES, 32, KVAULT_UTF8, "bytes:32" },
    { "bytes:16777216", KVAULT_BYTES, 16777216, KVAULT_UTF8, "bytes:16777216" },
    { "str", KVAULT_STR, 0, KVAULT_UTF8, "str" },
    { "str:utf8", KVAULT_STR, 0, KVAULT_UTF8, "str" },
    { "str:UTF-8", KVAULT_STR, 0, KVAULT_UTF8, "str" },
    { "str:utf_16_le", KVAULT_STR, 0, KVAULT_UTF16LE, "str:utf16le" },
    { "str:utf-16be", KVAULT_STR, 0, KVAULT_UTF16BE, "str:utf16be" },
    { "str:iso-8859-1", KVAULT_STR, 0, KVAULT_LATIN1, "str:latin1" },
    { "str:latin-1", KVAULT_STR, 0, KVAULT_LATIN1, "str:latin1" },
    { "str:US-ASCII", KVAULT_STR, 0, KVAULT_ASCII, "str:ascii" },
    { "str:32", KVAULT_STR, 32, KVAULT_UTF8, "str:32" },
    { "str:32:utf8", KVAULT_STR, 32, KVAULT_UTF8, "str:32" },
    { "str:32:utf16le", KVAULT_STR, 32, KVAULT_UTF16LE, "str:32:utf16le" },
    { "str:7:latin1", KVAULT_STR, 7, KVAULT_LATIN1, "str:7:latin1" },
    { "msgpack", KVAULT_MSGPACK, 0, KVAULT_UTF8, "msgpack" },
    { "msgpack:256", KVAULT_MSGPACK, 256, KVAULT_UTF8, "msgpack:256" },
    { "cbor", KVAULT_CBOR, 0, KVAULT_UTF8, "cbor" },
    { "cbor:9", KVAULT_CBOR, 9, KVAULT_UTF8, "cbor:9" },
};

static void every_dtype_parses_and_is_written_back(void)
{
    for (size_t i = 0; i < sizeof good_rows / sizeof good_rows[0]; i++) {
        const struct good_row *row = &good_rows[i];
        kvault_error err = KVAULT_ERROR_INIT;
        kvault_dtype dtype = { KVAULT_CBOR, KVAULT_ASCII, 99 }, again = { KVAULT_CBOR, KVAULT_ASCII, 99 };
        char text[KVAULT_DTYPE_TEXT_MAX + 1];

        CHECK_OK(kvault_dtype_parse(text_of(row->text), &dtype, &err), &err);
        CHECK(dtype.kind == row->kind && dtype.size_bytes == row->size_bytes && dtype.encoding == row->encoding);
        CHECK(kvault_dtype_text(&dtype, text) == strlen(row->shortest));
        CHECK(strcmp(text, row->shortest) == 0);
        CHECK_OK(kvault_dtype_parse(text_of(text), &again, &err), &err);
        CHECK(kvault_dtype_equal(&dtype, &again));
    }
}

struct bad_row {
    const char *text;
    const char *reason;
};

static const struct bad_row bad_rows[] = {
    { "", "Unknown dtype \"\": no such type" },
    { "i65", "Unknown dtype \"i65\": no such type" },
    { "I64", "no such type" },
    { " i64", "no such type" },
    { "i64 ", "no such type" },
    { ":", "no such type" },
    { "string", "no such type" },
    { "i64:8", "takes no size" },
    { "bool:", "takes no size" },
    { "bytes:", "from 1 to 16777216" },
    { "bytes:0", "from 1 to 16777216" },
    { "bytes:-1", "from 1 to 16777216" },
    { "bytes:+1", "from 1 to 16777216" },
    { "bytes:1 ", "from 1 to 16777216" },
    { "bytes:0x10", "from 1 to 16777216" },
    { "bytes:16777217", "from 1 to 16777216" },
    { "bytes:99999999999999999999", "from 1 to 16777216" },
    { "bytes:4294967297", "from 1 to 16777216" },
    { "bytes:utf8", "from 1 to 16777216" },
    { "bytes:4:utf8", "follows a complete type" },
    { "msgpack:0", "from 1 to 16777216" },
    { "cbor:1:2", "follows a complete type" },
    { "str:", "no such encoding" },
    { "str:utf16", "no such encoding" },
    { "str:0", "from 1 to 16777216" },
    { "str:4:", "no such encoding" },
    { "str:4:5", "no such encoding" },
    { "str:utf8:4", "follows a complete type" },
    { "str:4:utf8:", "follows a complete type" },
    { "str:a-very-long-name-of-an-encoding", "no such encoding" },
    { "str:3:utf16le", "even number of bytes" },
    { "str:1:utf-16-be", "even number of bytes" },
    { "caf\xc3\xa9\n", "Unknown dtype \"caf???\"" },
};

static void another_text_is_refused_with_the_reason(void)
{
    for (size_t i = 0; i < sizeof bad_rows / sizeof bad_rows[0]; i++) {
        kvault_error err = KVAULT_ERROR_INIT;
        kvault_dtype dtype = { KVAULT_CBOR, KVAULT_ASCII, 99 };

        CHECK_STATUS(kvault_dtype_parse(text_of(bad_rows[i].text), &dtype, &err), KVAULT_E_INVALID, &err);
        CHECK_MESSAGE(&err, "Unknown dtype");
        CHECK_MESSAGE(&err, bad_rows[i].reason);
        CHECK(dtype.kind == KVAULT_CBOR && dtype.encoding == KVAULT_ASCII && dtype.size_bytes == 99);
    }
}

static void a_text_beyond_the_limit_is_refused(void)
{
    char text[KVAULT_DTYPE_TEXT_MAX + 1];
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_dtype dtype = { KVAULT_I8, KVAULT_UTF8, 0 };

    memset(text, '0', sizeof text);
    memcpy(text, "bytes:", 6);
    text[sizeof text - 2] = '7';
    text[sizeof text - 1] = '7';
    CHECK_OK(kvault_dtype_parse((kvault_slice){ text, KVAULT_DTYPE_TEXT_MAX }, &dtype, &err), &err);
    CHECK(dtype.size_bytes == 7);
    CHECK_STATUS(kvault_dtype_parse((kvault_slice){ text, sizeof text }, &dtype, &err), KVAULT_E_INVALID, &err);
    CHECK_MESSAGE(&err, "256 bytes, limit 255");
}

static void a_nul_inside_is_not_an_end(void)
{
    kvault_dtype dtype = { KVAULT_CBOR, KVAULT_UTF8, 0 };

    CHECK_STATUS(kvault_dtype_parse((kvault_slice){ "i64\0", 4 }, &dtype, NULL), KVAULT_E_INVALID, NULL);
    CHECK_STATUS(kvault_dtype_parse((kvault_slice){ NULL, 0 }, &dtype, NULL), KVAULT_E_INVALID, NULL);
}

int main(void)
{
    RUN(every_dtype_parses_and_is_written_back);
    RUN(another_text_is_refused_with_the_reason);
    RUN(a_text_beyond_the_limit_is_refused);
    RUN(a_nul_inside_is_not_an_end);
    return kvtest_end();
}
