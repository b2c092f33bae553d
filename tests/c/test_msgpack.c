/* test_msgpack.c - MessagePack both ways: each form of each type, every truncation, what is malformed, limits. */
#include "kvtest.h"
#include "token_walk.h"

#define MSGPACK KVAULT_FORMAT_MSGPACK

static const struct vector_row vectors[] = {
    { "c0", "null", NULL },
    { "c2", "false", NULL },
    { "c3", "true", NULL },
    { "00", "0", NULL },
    { "7f", "127", NULL },
    { "ff", "-1", NULL },
    { "e0", "-32", NULL },
    { "cc80", "128", NULL },
    { "ccff", "255", NULL },
    { "cd0100", "256", NULL },
    { "cdffff", "65535", NULL },
    { "ce00010000", "65536", NULL },
    { "ceffffffff", "4294967295", NULL },
    { "cf0000000100000000", "4294967296", NULL },
    { "cf7fffffffffffffff", "9223372036854775807", NULL },
    { "cf8000000000000000", "9223372036854775808", NULL },
    { "cfffffffffffffffff", "18446744073709551615", NULL },
    { "d0df", "-33", NULL },
    { "d080", "-128", NULL },
    { "d1ff7f", "-129", NULL },
    { "d18000", "-32768", NULL },
    { "d2ffff7fff", "-32769", NULL },
    { "d280000000", "-2147483648", NULL },
    { "d3ffffffff7fffffff", "-2147483649", NULL },
    { "d38000000000000000", "-9223372036854775808", NULL },
    /* numbers in more bytes than they need */
    { "cc01", "1", "01" },
    { "cd0001", "1", "01" },
    { "ce00000001", "1", "01" },
    { "cf0000000000000001", "1", "01" },
    { "d07f", "127", "7f" },
    { "d0ff", "-1", "ff" },
    { "d17fff", "32767", "cd7fff" },
    { "d2ffffffff", "-1", "ff" },
    { "d37fffffffffffffff", "9223372036854775807", "cf7fffffffffffffff" },
    { "cb0000000000000000", "0f", NULL },
    { "cb8000000000000000", "-0f", NULL },
    { "cb3ff8000000000000", "1.5f", NULL },
    { "cb7ff0000000000000", "inff", NULL },
    { "cb7ff8000000000000", "nanf", NULL },
    { "ca3fc00000", "1.5f", "cb3ff8000000000000" },
    { "caff800000", "-inff", "cbfff0000000000000" },
    { "a0", "\"\"", NULL },
    { "a161", "\"a\"", NULL },
    { "bf78787878787878787878787878787878787878787878787878787878787878", "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"", NULL },
    { "d9207878787878787878787878787878787878787878787878787878787878787878", "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"",
      NULL },
    { "d90161", "\"a\"", "a161" },
    { "da000161", "\"a\"", "a161" },
    { "db0000000161", "\"a\"", "a161" },
    { "a4f09f9880", "\"\xf0\x9f\x98\x80\"", NULL },
    { "c400", "''", NULL },
    { "c40200ff", "'00ff'", NULL },
    { "c5000200ff", "'00ff'", "c40200ff" },
    { "c60000000200ff", "'00ff'", "c40200ff" },
    { "90", "[]", NULL },
    { "93010203", "[1, 2, 3]", NULL },
    { "dc000101", "[1]", "9101" },
    { "dd00000000", "[]", "90" },
    { "dc00100102030405060708090a0b0c0d0e0f10", "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]", NULL },
    { "80", "{}", NULL },
    { "82a16101a162920203", "{\"a\": 1, \"b\": [2, 3]}", NULL },
    { "de00010102", "{1: 2}", "810102" },
    { "df000000010102", "{1: 2}", "810102" },
    { "9281a1610190", "[{\"a\": 1}, []]", NULL },
    { "d40510", "X5'10'", NULL },
    { "d5051020", "X5'1020'", NULL },
    { "d60510203040", "X5'10203040'", NULL },
    { "d7801020304050607080", "X-128'1020304050607080'", NULL },
    { "d87f000102030405060708090a0b0c0d0e0f", "X127'000102030405060708090a0b0c0d0e0f'", NULL },
    { "c70005", "X5''", NULL },
    { "c703050a0b0c", "X5'0a0b0c'", NULL },
    { "c80003050a0b0c", "X5'0a0b0c'", "c703050a0b0c" },
    { "c900000003050a0b0c", "X5'0a0b0c'", "c703050a0b0c" },
    { "c7010510", "X5'10'", "d40510" },
    { "d6ff00000000", "T(0,0)", NULL },
    { "d6ffffffffff", "T(4294967295,0)", NULL },
    { "d7ff0000000100000000", "T(4294967296,0)", NULL },
    { "d7ff0000000400000001", "T(1,1)", "d7ff0000000400000001" },
    { "d7ffee6b27fc00000000", "T(0,999999999)", "d7ffee6b27fc00000000" },
    { "d7ff0000000000000001", "T(1,0)", "d6ff00000001" },
    { "c70cff00000000ffffffffffffffff", "T(-1,0)", NULL },
    { "c70cff3b9ac9ff7fffffffffffffff", "T(9223372036854775807,999999999)", NULL },
    { "c70cff000000010000000400000000", "T(17179869184,1)", NULL },
    /* a timestamp that breaks its rules stays what it is */
    { "d7ffee6b280000000000", "X-1'ee6b280000000000'", NULL },
    { "d4ff00", "X-1'00'", NULL },
};

#define VECTOR_COUNT (sizeof vectors / sizeof vectors[0])

static void every_form_is_read_and_written_back_shortest(void)
{
    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        const struct vector_row *row = &vectors[i];
        kvault_slice bytes = unhex(row->hex), want = unhex(row->shortest ? row->shortest : row->hex);
        kvault_reader reader = kvault_reader_init(bytes, 0);
        kvault_error err = KVAULT_ERROR_INIT;
        kvault_buf buf = KVAULT_BUF_INIT;
        struct shown shown = { "", 0 };

        CHECK_OK(kvault_packer_check(MSGPACK, bytes, &err), &err);
        CHECK_OK(show(MSGPACK, &reader, &shown, &err), &err);
        CHECK(strcmp(shown.text, row->shown) == 0 || (printf("# %s: %s\n", row->hex, shown.text), false));
        CHECK(reader.at == reader.end && reader.owed == 0 && reader.depth == 0);
        CHECK_OK(recode_record(MSGPACK, bytes, MSGPACK, &buf, &err), &err);
        CHECK(buf.size == want.size && memcmp(buf.data, want.data, want.size) == 0);
        kvault_buf_free(&buf);
        free((void *)bytes.data);
        free((void *)want.data);
    }
}

static void every_truncation_is_refused(void)
{
    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        kvault_slice whole = unhex(vectors[i].hex);

        for (size_t size = 0; size < whole.size; size++) {
            char hex[200] = "";
            kvault_error err = KVAULT_ERROR_INIT;
            kvault_slice part;

            memcpy(hex, vectors[i].hex, 2 * size);
            part = unhex(hex);
            CHECK_STATUS(kvault_packer_check(MSGPACK, part, &err), KVAULT_E_CORRUPT, &err);
            CHECK_MESSAGE(&err, "Not enough data");
            CHECK(err.position >= 0 && err.position <= (int64_t)size);
            free((void *)part.data);
        }
        free((void *)whole.data);
    }
}

static const struct bad_row bad_rows[] = {
    { "", KVAULT_E_CORRUPT, 0, "Not enough data" },
    { "c1", KVAULT_E_CORRUPT, 0, "no MessagePack item starts with 0xc1, as at byte 0" },
    { "9201c1", KVAULT_E_CORRUPT, 2, "as at byte 2" },
    { "0000", KVAULT_E_CORRUPT, 1, "ends at byte 1, 1 bytes follow" },
    { "a1ff", KVAULT_E_CORRUPT, 1, "not UTF-8 at byte 1" },
    { "9161", KVAULT_OK, 0, "" },
    { "91a361c328", KVAULT_E_CORRUPT, 3, "not UTF-8 at byte 3" },
    { "a3eda080", KVAULT_E_CORRUPT, 1, "not UTF-8" }, /* a surrogate */
    { "a2c080", KVAULT_E_CORRUPT, 1, "not UTF-8" },   /* an overlong NUL */
    { "a4f4908080", KVAULT_E_CORRUPT, 1, "not UTF-8" },
    /* counts that the bytes cannot hold */
    { "ddffffffff01", KVAULT_E_CORRUPT, 0, "4294967295 items" },
    { "dfffffffff0101", KVAULT_E_CORRUPT, 0, "4294967295 items" },
    { "8301020304", KVAULT_E_CORRUPT, 0, "Not enough data" },
    { "dbffffffff61", KVAULT_E_CORRUPT, 0, "takes 4294967300 bytes" },
    { "c6ffffffff61", KVAULT_E_CORRUPT, 0, "Not enough data" },
    { "c9ffffffff0561", KVAULT_E_CORRUPT, 0, "Not enough data" },
    /* the inner one would fit alone, but the outer one has 3 more to come */
    { "9494010101010101", KVAULT_E_CORRUPT, 0, "" },
};

static void what_is_malformed_is_refused_where_it_is(void)
{
    for (size_t i = 0; i < sizeof bad_rows / sizeof bad_rows[0]; i++) {
        const struct bad_row *row = &bad_rows[i];
        kvault_slice bytes = unhex(row->hex);
        kvault_error err = KVAULT_ERROR_INIT;
        kvault_status rc = kvault_packer_check(MSGPACK, bytes, &err);

        CHECK(rc == row->status || (printf("# %s: %d %s\n", row->hex, rc, err.message), false));
        if (rc < 0 && row->message[0]) {
            CHECK(err.position == row->position || (printf("# %s: at %d\n", row->hex, (int)err.position), false));
            CHECK_MESSAGE(&err, row->message);
        }
        free((void *)bytes.data);
    }
}

/* The counts that a reader believes add up to the size of the input at most. */
static void nested_counts_are_bounded_together(void)
{
    uint8_t bytes[200];
    kvault_reader reader = kvault_reader_init((kvault_slice){ bytes, sizeof bytes }, 0);
    kvault_token token;
    uint64_t sum = 0;

    for (size_t i = 0; i + 3 <= sizeof bytes; i += 3) {
        bytes[i] = 0xdc;
        bytes[i + 1] = 0;
        bytes[i + 2] = 60;
    }
    while (kvault_msgpack_read(&reader, &token, NULL) == KVAULT_OK)
        sum += token.u;
    CHECK(sum == 180);
}

static void nesting_stops_at_the_limit(void)
{
    uint8_t bytes[KVAULT_DEPTH_MAX + 2];
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_buf buf = KVAULT_BUF_INIT;
    kvault_writer writer = kvault_writer_init(&buf);
    kvault_token array = { .kind = KVAULT_TOKEN_ARRAY, .u = 1 };

    memset(bytes, 0x91, sizeof bytes);
    bytes[KVAULT_DEPTH_MAX] = 0xc0;
    CHECK_OK(kvault_packer_check(MSGPACK, (kvault_slice){ bytes, KVAULT_DEPTH_MAX + 1 }, &err), &err);
    bytes[KVAULT_DEPTH_MAX] = 0x91;
    bytes[KVAULT_DEPTH_MAX + 1] = 0xc0;
    CHECK_STATUS(kvault_packer_check(MSGPACK, (kvault_slice){ bytes, sizeof bytes }, &err), KVAULT_E_TOOBIG, &err);
    CHECK_MESSAGE(&err, "nest deeper than 128 at byte 128");
    CHECK(err.position == KVAULT_DEPTH_MAX);

    for (int i = 0; i < KVAULT_DEPTH_MAX; i++)
        CHECK_OK(kvault_msgpack_write(&writer, &array, &err), &err);
    CHECK_STATUS(kvault_msgpack_write(&writer, &array, &err), KVAULT_E_TOOBIG, &err);
    CHECK_MESSAGE(&err, "nest deeper than 128");
    kvault_writer_finish(&writer);
    CHECK(buf.size == KVAULT_DEPTH_MAX);
    kvault_buf_free(&buf);
}

static void what_the_format_lacks_is_refused_and_nothing_written(void)
{
    static const struct {
        kvault_token token;
        kvault_status status;
        const char *message;
    } rows[] = {
        { { .kind = KVAULT_TOKEN_NINT, .u = UINT64_MAX }, KVAULT_E_RANGE, "outside MessagePack's range" },
        { { .kind = KVAULT_TOKEN_BIGNUM, .bytes = { "\1", 1 } }, KVAULT_E_RANGE, "outside MessagePack's range" },
        { { .kind = KVAULT_TOKEN_TAG, .u = 5 }, KVAULT_E_TYPE, "no tags, as tag 5" },
        { { .kind = KVAULT_TOKEN_SIMPLE, .u = 23 }, KVAULT_E_TYPE, "no simple values, as 23" },
        { { .kind = KVAULT_TOKEN_EXT, .extra = 128 }, KVAULT_E_RANGE, "type 128 is outside" },
        { { .kind = KVAULT_TOKEN_TIMESTAMP, .extra = 1000000000 }, KVAULT_E_RANGE, "1000000000 nanoseconds" },
        { { .kind = KVAULT_TOKEN_TIMESTAMP, .extra = -1 }, KVAULT_E_RANGE, "-1 nanoseconds" },
        { { .kind = KVAULT_TOKEN_ARRAY, .u = KVAULT_COUNT_UNKNOWN }, KVAULT_E_INVALID, "without its count" },
        { { .kind = KVAULT_TOKEN_MAP, .u = UINT64_C(1) << 32 }, KVAULT_E_TOOBIG, "4294967296 items" },
        { { .kind = KVAULT_TOKEN_TEXT, .bytes = { "", SIZE_MAX / 2 } }, KVAULT_E_TOOBIG, "limit is 4294967295" },
        { { .kind = KVAULT_TOKEN_EXT, .bytes = { "", SIZE_MAX / 2 } }, KVAULT_E_TOOBIG, "limit is 4294967295" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        kvault_error err = KVAULT_ERROR_INIT;
        kvault_buf buf = KVAULT_BUF_INIT;
        kvault_writer writer = kvault_writer_init(&buf);

        CHECK_STATUS(kvault_msgpack_write(&writer, &rows[i].token, &err), rows[i].status, &err);
        CHECK_MESSAGE(&err, rows[i].message);
        kvault_writer_finish(&writer);
        CHECK(buf.size == 0 && writer.depth == 0);
        kvault_buf_free(&buf);
    }
}

static void long_strings_and_containers_take_wide_heads(void)
{
    static const struct {
        kvault_token_kind kind;
        size_t count;
        uint8_t head;
        size_t head_size;
    } rows[] = {
        { KVAULT_TOKEN_TEXT, 255, 0xd9, 2 },    { KVAULT_TOKEN_TEXT, 256, 0xda, 3 },
        { KVAULT_TOKEN_TEXT, 65535, 0xda, 3 },  { KVAULT_TOKEN_TEXT, 65536, 0xdb, 5 },
        { KVAULT_TOKEN_BYTES, 255, 0xc4, 2 },   { KVAULT_TOKEN_BYTES, 256, 0xc5, 3 },
        { KVAULT_TOKEN_BYTES, 65536, 0xc6, 5 }, { KVAULT_TOKEN_EXT, 255, 0xc7, 3 },
        { KVAULT_TOKEN_EXT, 256, 0xc8, 4 },     { KVAULT_TOKEN_EXT, 65536, 0xc9, 6 },
        { KVAULT_TOKEN_ARRAY, 15, 0x9f, 1 },    { KVAULT_TOKEN_ARRAY, 65535, 0xdc, 3 },
        { KVAULT_TOKEN_ARRAY, 65536, 0xdd, 5 }, { KVAULT_TOKEN_MAP, 16, 0xde, 3 },
        { KVAULT_TOKEN_MAP, 65536, 0xdf, 5 },
    };
    char *filler = calloc(1, 65536);

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        kvault_token token = { .kind = rows[i].kind, .u = rows[i].count, .bytes = { filler, rows[i].count } };
        size_t more = rows[i].kind == KVAULT_TOKEN_MAP ? 2 * rows[i].count : rows[i].count;
        kvault_error err = KVAULT_ERROR_INIT;
        kvault_buf buf = KVAULT_BUF_INIT;
        kvault_writer writer = kvault_writer_init(&buf);

        CHECK_OK(kvault_msgpack_write(&writer, &token, &err), &err);
        for (size_t at = 0; is_container(&token) && at < more; at++)
            CHECK_OK(kvault_msgpack_write(&writer, &(kvault_token){ .kind = KVAULT_TOKEN_NULL }, &err), &err);
        kvault_writer_finish(&writer);
        CHECK(buf.data[0] == rows[i].head && buf.size == rows[i].head_size + more);
        CHECK_OK(kvault_packer_check(MSGPACK, (kvault_slice){ buf.data, buf.size }, &err), &err);
        kvault_buf_free(&buf);
    }
    free(filler);
}

static void a_reader_may_start_inside_and_behind(void)
{
    static const uint8_t bytes[] = { 0xc1, 0xa1, 'x', 0x05 };
    kvault_slice data = { bytes, sizeof bytes };
    kvault_reader reader = kvault_reader_init(data, 1);
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_token token;

    CHECK_OK(kvault_msgpack_read(&reader, &token, &err), &err);
    CHECK(token.kind == KVAULT_TOKEN_TEXT && token.bytes.size == 1 && kvault_reader_offset(&reader) == 3);
    reader = kvault_reader_init(data, kvault_reader_offset(&reader));
    CHECK_OK(kvault_reader_skip(MSGPACK, &reader, &err), &err);
    reader = kvault_reader_init(data, 99);
    CHECK_STATUS(kvault_msgpack_read(&reader, &token, &err), KVAULT_E_CORRUPT, &err);
    CHECK(err.position == 4);
}

/* A record of every type, long enough to grow its buffer several times. */
static void a_token_that_is_recognized_is_passed(void)
{
    const uint8_t record[] = { 0x92, 0xa1, 'a', 0xa1, 'b' };
    kvault_reader reader = kvault_reader_init((kvault_slice){ record, sizeof record }, 0);
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_token token;

    CHECK_OK(kvault_msgpack_read(&reader, &token, &err), &err);
    kvault_reader_pass(&reader, 2);
    CHECK(reader.at == record + 3);
    CHECK_OK(kvault_msgpack_read(&reader, &token, &err), &err);
    CHECK(token.kind == KVAULT_TOKEN_TEXT && token.bytes.size == 1);
    CHECK(reader.at == reader.end && reader.owed == 0);
}

static kvault_status write_all_types(void *argument)
{
    kvault_buf buf = KVAULT_BUF_INIT;
    kvault_writer writer = kvault_writer_init(&buf);
    kvault_token array = { .kind = KVAULT_TOKEN_ARRAY, .u = VECTOR_COUNT };
    kvault_status rc;

    (void)argument;
    TRY(kvault_msgpack_write(&writer, &array, NULL));
    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        kvault_slice bytes = unhex(vectors[i].hex);
        kvault_reader reader = kvault_reader_init(bytes, 0);

        rc = recode(MSGPACK, &reader, MSGPACK, &writer, NULL);
        free((void *)bytes.data);
        if (rc < 0)
            goto out;
    }
    kvault_writer_finish(&writer);
    TRY(kvault_packer_check(MSGPACK, (kvault_slice){ buf.data, buf.size }, NULL));
out:
    kvault_writer_finish(&writer);
    kvault_buf_free(&buf);
    return rc;
}

static void a_writer_survives_every_failed_allocation(void)
{
    kvtest_each_alloc_fails(write_all_types, NULL);
}

int main(void)
{
    RUN(every_form_is_read_and_written_back_shortest);
    RUN(every_truncation_is_refused);
    RUN(what_is_malformed_is_refused_where_it_is);
    RUN(nested_counts_are_bounded_together);
    RUN(nesting_stops_at_the_limit);
    RUN(what_the_format_lacks_is_refused_and_nothing_written);
    RUN(long_strings_and_containers_take_wide_heads);
    RUN(a_reader_may_start_inside_and_behind);
    RUN(a_token_that_is_recognized_is_passed);
    RUN(a_writer_survives_every_failed_allocation);
    return kvtest_end();
}
