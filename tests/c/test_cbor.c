/* test_cbor.c - CBOR both ways: each form of each type, preferred serialization, every truncation, what is
 * malformed, limits. */
#include "kvtest.h"
#include "token_walk.h"

#include <math.h>

#define CBOR KVAULT_FORMAT_CBOR

static const struct vector_row vectors[] = {
    { "00", "0", NULL },
    { "17", "23", NULL },
    { "1818", "24", NULL },
    { "18ff", "255", NULL },
    { "190100", "256", NULL },
    { "19ffff", "65535", NULL },
    { "1a00010000", "65536", NULL },
    { "1affffffff", "4294967295", NULL },
    { "1b0000000100000000", "4294967296", NULL },
    { "1b7fffffffffffffff", "9223372036854775807", NULL },
    { "1b8000000000000000", "9223372036854775808", NULL },
    { "1bffffffffffffffff", "18446744073709551615", NULL },
    { "20", "-1", NULL },
    { "37", "-24", NULL },
    { "3818", "-25", NULL },
    { "38ff", "-256", NULL },
    { "3903e7", "-1000", NULL },
    { "3b7fffffffffffffff", "-9223372036854775808", NULL },
    { "3b8000000000000000", "-1-9223372036854775808", NULL },
    { "3bffffffffffffffff", "-1-18446744073709551615", NULL },
    /* numbers in more bytes than they need */
    { "1800", "0", "00" },
    { "190017", "23", "17" },
    { "1a00000018", "24", "1818" },
    { "1b00000000000000ff", "255", "18ff" },
    { "3b0000000000000000", "-1", "20" },
    { "590001ff", "'ff'", "41ff" },
    { "7b000000000000000161", "\"a\"", "6161" },
    { "9a0000000101", "[1]", "8101" },
    { "b8010102", "{1: 2}", "a10102" },
    { "40", "''", NULL },
    { "4401020304", "'01020304'", NULL },
    { "60", "\"\"", NULL },
    { "6161", "\"a\"", NULL },
    { "62c3bc", "\"\xc3\xbc\"", NULL },
    { "64f0908591", "\"\xf0\x90\x85\x91\"", NULL },
    { "7818787878787878787878787878787878787878787878787878", "\"xxxxxxxxxxxxxxxxxxxxxxxx\"", NULL },
    { "80", "[]", NULL },
    { "83010203", "[1, 2, 3]", NULL },
    { "8301820203820405", "[1, [2, 3], [4, 5]]", NULL },
    { "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
      "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25]", NULL },
    { "a0", "{}", NULL },
    { "a201020304", "{1: 2, 3: 4}", NULL },
    { "a26161016162820203", "{\"a\": 1, \"b\": [2, 3]}", NULL },
    /* items of unknown size */
    { "5f42010243030405ff", "'0102030405'", "450102030405" },
    { "5fff", "''", "40" },
    { "7f657374726561646d696e67ff", "\"streaming\"", "6973747265616d696e67" },
    { "7f60616160ff", "\"a\"", "6161" },
    { "7f7801616162ff", "\"ab\"", "626162" },
    { "9fff", "[_ ]", "80" },
    { "9f018202039f0405ffff", "[_ 1, [2, 3], [_ 4, 5]]", "8301820203820405" },
    { "83018202039f0405ff", "[1, [2, 3], [_ 4, 5]]", "8301820203820405" },
    { "bfff", "{_ }", "a0" },
    { "bf61610161629f0203ffff", "{_ \"a\": 1, \"b\": [_ 2, 3]}", "a26161016162820203" },
    { "826161bf61626163ff", "[\"a\", {_ \"b\": \"c\"}]", "826161a161626163" },
    { "9fc101d9d9f79fffff", "[_ T(1,0), 55799([_ ])]", "82c101d9d9f780" },
    { "f4", "false", NULL },
    { "f5", "true", NULL },
    { "f6", "null", NULL },
    { "f7", "simple(23)", NULL },
    { "e0", "simple(0)", NULL },
    { "f3", "simple(19)", NULL },
    { "f820", "simple(32)", NULL },
    { "f8ff", "simple(255)", NULL },
    /* floats */
    { "f90000", "0f", NULL },
    { "f98000", "-0f", NULL },
    { "f93c00", "1f", NULL },
    { "f93e00", "1.5f", NULL },
    { "f97bff", "65504f", NULL },
    { "f90001", "5.9604644775390625e-08f", NULL },
    { "f903ff", "6.0975551605224609e-05f", NULL },
    { "f90400", "6.103515625e-05f", NULL },
    { "f9c400", "-4f", NULL },
    { "f97c00", "inff", NULL },
    { "f9fc00", "-inff", NULL },
    { "f97e00", "nanf", NULL },
    { "f97c01", "nanf", NULL },
    { "fa47c35000", "100000f", NULL },
    { "fa7f7fffff", "3.4028234663852886e+38f", NULL },
    { "fa00000001", "1.4012984643248171e-45f", NULL },
    { "fa33000000", "2.9802322387695312e-08f", NULL }, /* half of the least half */
    { "fa477fe100", "65505f", NULL },
    { "fa47800000", "65536f", NULL },
    { "fa7f800001", "nanf", NULL },
    { "fb3ff199999999999a", "1.1000000000000001f", NULL },
    { "fb7e37e43c8800759c", "1.0000000000000001e+300f", NULL },
    { "fb0000000000000001", "4.9406564584124654e-324f", NULL },
    { "fb7ff8000000000001", "nanf", NULL },
    { "fb47f0000000000000", "3.4028236692093846e+38f", NULL },
    { "fa3fc00000", "1.5f", "f93e00" },
    { "fb3ff8000000000000", "1.5f", "f93e00" },
    { "fb40f86a0000000000", "100000f", "fa47c35000" },
    { "fb8000000000000000", "-0f", "f98000" },
    { "fa7f800000", "inff", "f97c00" },
    { "fbfff0000000000000", "-inff", "f9fc00" },
    { "fb7ff8000000000000", "nanf", "f97e00" },
    { "fbfff8000000000000", "-nanf", "f9fe00" },
    { "fb7ff0000020000000", "nanf", "fa7f800001" },
    { "fa7fc00000", "nanf", "f97e00" },
    /* integers beyond 64 bits */
    { "c249010000000000000000", "n'010000000000000000'", NULL },
    { "c349010000000000000000", "-1-n'010000000000000000'", NULL },
    { "c240", "n''", "00" },
    { "c340", "-1-n''", "20" },
    { "c24100", "n'00'", "00" },
    { "c248ffffffffffffffff", "n'ffffffffffffffff'", "1bffffffffffffffff" },
    { "c34100", "-1-n'00'", "20" },
    { "c2590009010000000000000000", "n'010000000000000000'", "c249010000000000000000" },
    { "c24a00010000000000000000", "n'00010000000000000000'", "c249010000000000000000" },
    { "c25f4101480000000000000000ff", "n'010000000000000000'", "c249010000000000000000" },
    { "c26161", "2(\"a\")", NULL },
    { "c201", "2(1)", NULL },
    /* dates */
    { "c11a514b67b0", "T(1363896240,0)", NULL },
    { "c120", "T(-1,0)", NULL },
    { "c1fb41d452d9ec200000", "T(1363896240,500000000)", "c076323031332d30332d32315432303a30343a30302e355a" },
    { "c1f9be00", "T(-2,500000000)", "c076313936392d31322d33315432333a35393a35382e355a" },
    { "c1f93c00", "T(1,0)", "c101" },
    { "c1fb3ff199999999999a", "T(1,100000000)", "c076313937302d30312d30315430303a30303a30312e315a" },
    { "c074323031332d30332d32315432303a30343a30305a", "T(1363896240,0)", "c11a514b67b0" },
    /* 2013-03-21T20:04:00.123456789Z, 1999-12-31t23:30:00-01:30 */
    { "c0781e323031332d30332d32315432303a30343a30302e3132333435363738395a", "T(1363896240,123456789)", NULL },
    { "c07819313939392d31322d33317432333a33303a30302d30313a3330", "T(946688400,0)", "c11a386d5190" },
    /* the first and the last second, 0001 and 9999, and one beyond */
    { "c13b0000000e7791f6ff", "T(-62135596800,0)", NULL },
    { "c13b0000000e7791f700", "1(-62135596801)", NULL },
    { "c11b0000003afff4417f", "T(253402300799,0)", NULL },
    { "c11b0000003afff44180", "1(253402300800)", NULL },
    { "c1fb7e37e43c8800759c", "1(1.0000000000000001e+300f)", NULL },
    { "c1f97e00", "1(nanf)", NULL },
    { "c101", "T(1,0)", NULL },
    { "c1f6", "1(null)", NULL },
    { "c1c101", "1(T(1,0))", NULL },
    { "c001", "0(1)", NULL },
    { "c06161", "0(\"a\")", NULL },
    /* 2013-02-29 does not exist, a leap second has no number */
    { "c074323031332d30322d32395432303a30343a30305a", "0(\"2013-02-29T20:04:00Z\")", NULL },
    { "c074323031362d31322d33315432333a35393a36305a", "0(\"2016-12-31T23:59:60Z\")", NULL },
    { "c074323031362d30322d32395430303a30303a30305a", "T(1456704000,0)", "c11a56d38a00" },
    { "c080", "0([])", NULL },
    /* other tags */
    { "d74401020304", "23('01020304')", NULL },
    { "d818456449455446", "24('6449455446')", NULL },
    { "d8206161", "32(\"a\")", NULL },
    { "d9010380", "259([])", NULL },
    { "dbffffffffffffffff00", "18446744073709551615(0)", NULL },
    { "d801c101", "1(T(1,0))", "c1c101" },
    { "c6c7c8f6", "6(7(8(null)))", NULL },
};

#define VECTOR_COUNT (sizeof vectors / sizeof vectors[0])

static void every_form_is_read_and_written_back_preferred(void)
{
    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        const struct vector_row *row = &vectors[i];
        kvault_slice bytes = unhex(row->hex), want = unhex(row->shortest ? row->shortest : row->hex);
        kvault_reader reader = kvault_reader_init(bytes, 0);
        kvault_error err = KVAULT_ERROR_INIT;
        kvault_buf buf = KVAULT_BUF_INIT;
        struct shown shown = { "", 0 };

        CHECK_OK(kvault_packer_check(CBOR, bytes, &err), &err);
        CHECK_OK(show(CBOR, &reader, &shown, &err), &err);
        CHECK(strcmp(shown.text, row->shown) == 0 || (printf("# %s: %s\n", row->hex, shown.text), false));
        CHECK(reader.at == reader.end && reader.owed == 0 && reader.depth == 0);
        CHECK_OK(recode_record(CBOR, bytes, CBOR, &buf, &err), &err);
        CHECK((buf.size == want.size && memcmp(buf.data, want.data, want.size) == 0) ||
              (printf("# %s: written otherwise\n", row->hex), false));
        kvault_buf_free(&buf);
        free((void *)bytes.data);
        free((void *)want.data);
    }
}

static void every_truncation_is_refused(void)
{
    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        for (size_t size = 0; size < strlen(vectors[i].hex) / 2; size++) {
            char hex[200] = "";
            kvault_error err = KVAULT_ERROR_INIT;
            kvault_slice part;

            memcpy(hex, vectors[i].hex, 2 * size);
            part = unhex(hex);
            CHECK_STATUS(kvault_packer_check(CBOR, part, &err), KVAULT_E_CORRUPT, &err);
            CHECK_MESSAGE(&err, "Not enough data");
            CHECK(err.position >= 0 && err.position <= (int64_t)size);
            free((void *)part.data);
        }
    }
}

static const struct bad_row bad_rows[] = {
    { "", KVAULT_E_CORRUPT, 0, "Not enough data" },
    { "0000", KVAULT_E_CORRUPT, 1, "ends at byte 1, 1 bytes follow" },
    { "1c", KVAULT_E_CORRUPT, 0, "has no meaning at byte 0" },
    { "811d", KVAULT_E_CORRUPT, 1, "has no meaning at byte 1" },
    { "fe", KVAULT_E_CORRUPT, 0, "has no meaning" },
    { "1f", KVAULT_E_CORRUPT, 0, "number of unknown size" },
    { "3f", KVAULT_E_CORRUPT, 0, "number of unknown size" },
    { "df00", KVAULT_E_CORRUPT, 0, "tag without a number" },
    { "ff", KVAULT_E_CORRUPT, 0, "break that ends nothing" },
    { "81ff", KVAULT_E_CORRUPT, 1, "break that ends nothing" },
    { "a1ff", KVAULT_E_CORRUPT, 0, "Not enough data" },
    { "a100ff", KVAULT_E_CORRUPT, 2, "break that ends nothing" },
    { "bf00ff", KVAULT_E_CORRUPT, 2, "break that ends nothing" },
    { "c1ff", KVAULT_E_CORRUPT, 1, "break that ends nothing" },
    { "f800", KVAULT_E_CORRUPT, 0, "simple value below 32" },
    { "f81f", KVAULT_E_CORRUPT, 0, "simple value below 32" },
    { "5f6161ff", KVAULT_E_CORRUPT, 1, "not a chunk of it" },
    { "7f4161ff", KVAULT_E_CORRUPT, 1, "not a chunk of it" },
    { "5f5f4100ffff", KVAULT_E_CORRUPT, 1, "not a chunk of it" },
    { "5f00ff", KVAULT_E_CORRUPT, 1, "not a chunk of it" },
    { "5f1cff", KVAULT_E_CORRUPT, 1, "has no meaning" },
    { "7f61c361bcff", KVAULT_E_CORRUPT, 2, "not UTF-8 at byte 2" }, /* a character cut by a chunk */
    { "61ff", KVAULT_E_CORRUPT, 1, "not UTF-8 at byte 1" },
    { "63eda080", KVAULT_E_CORRUPT, 1, "not UTF-8" },
    /* counts and sizes that the bytes cannot hold */
    { "9bffffffffffffffff00", KVAULT_E_CORRUPT, 0, "takes 18446744073709551615 bytes" },
    { "9bfffffffffffffffe00", KVAULT_E_CORRUPT, 0, "18446744073709551614 items" },
    { "bb8000000000000000", KVAULT_E_CORRUPT, 0, "9223372036854775808 items" },
    { "5bffffffffffffffff00", KVAULT_E_CORRUPT, 0, "Not enough data" },
    { "7bfffffffffffffff700", KVAULT_E_CORRUPT, 0, "Not enough data" },
    { "5f5bffffffffffffffff00ff", KVAULT_E_CORRUPT, 0, "Not enough data" },
    { "c25bffffffffffffffff", KVAULT_E_CORRUPT, 1, "Not enough data" },
};

static void what_is_malformed_is_refused_where_it_is(void)
{
    for (size_t i = 0; i < sizeof bad_rows / sizeof bad_rows[0]; i++) {
        const struct bad_row *row = &bad_rows[i];
        kvault_slice bytes = unhex(row->hex);
        kvault_error err = KVAULT_ERROR_INIT;
        kvault_status rc = kvault_packer_check(CBOR, bytes, &err);

        CHECK(rc == row->status || (printf("# %s: %d %s\n", row->hex, rc, err.message), false));
        CHECK(err.position == row->position || (printf("# %s: at %d\n", row->hex, (int)err.position), false));
        CHECK_MESSAGE(&err, row->message);
        free((void *)bytes.data);
    }
}

static void nesting_stops_at_the_limit(void)
{
    static const uint8_t heads[] = { 0x81, 0x9f, 0xc7 }; /* array, open array, tag */

    for (size_t i = 0; i < sizeof heads; i++) {
        uint8_t bytes[2 * KVAULT_DEPTH_MAX + 3];
        kvault_error err = KVAULT_ERROR_INIT;
        size_t size = KVAULT_DEPTH_MAX + 1;

        memset(bytes, heads[i], sizeof bytes);
        bytes[KVAULT_DEPTH_MAX] = 0xf6;
        if (heads[i] == 0x9f) {
            memset(bytes + size, 0xff, KVAULT_DEPTH_MAX);
            size += KVAULT_DEPTH_MAX;
        }
        CHECK_OK(kvault_packer_check(CBOR, (kvault_slice){ bytes, size }, &err), &err);
        memset(bytes, heads[i], sizeof bytes);
        CHECK_STATUS(kvault_packer_check(CBOR, (kvault_slice){ bytes, sizeof bytes }, &err), KVAULT_E_TOOBIG, &err);
        CHECK_MESSAGE(&err, "nest deeper than 128 at byte 128");
    }
}

static void tags_deeper_than_the_limit_are_refused_when_written(void)
{
    kvault_token tag = { .kind = KVAULT_TOKEN_TAG, .u = UINT64_MAX };
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_buf buf = KVAULT_BUF_INIT;
    kvault_writer writer = kvault_writer_init(&buf);

    for (int i = 0; i < KVAULT_DEPTH_MAX; i++)
        CHECK_OK(kvault_cbor_write(&writer, &tag, &err), &err);
    CHECK_STATUS(kvault_cbor_write(&writer, &tag, &err), KVAULT_E_TOOBIG, &err);
    kvault_writer_finish(&writer);
    kvault_buf_free(&buf);
}

static void what_the_format_lacks_is_refused_and_nothing_written(void)
{
    static const struct {
        kvault_token token;
        kvault_status status;
        const char *message;
    } rows[] = {
        { { .kind = KVAULT_TOKEN_EXT, .extra = 5 }, KVAULT_E_TYPE, "no extension types, as 5" },
        { { .kind = KVAULT_TOKEN_SIMPLE, .u = 20 }, KVAULT_E_RANGE, "20 is no simple value" },
        { { .kind = KVAULT_TOKEN_SIMPLE, .u = 31 }, KVAULT_E_RANGE, "31 is no simple value" },
        { { .kind = KVAULT_TOKEN_SIMPLE, .u = 256 }, KVAULT_E_RANGE, "256 is no simple value" },
        { { .kind = KVAULT_TOKEN_TIMESTAMP, .extra = 1000000000 }, KVAULT_E_RANGE, "1000000000 nanoseconds" },
        { { .kind = KVAULT_TOKEN_TIMESTAMP, .i = INT64_C(253402300800) }, KVAULT_E_RANGE, "the years 1 to 9999" },
        { { .kind = KVAULT_TOKEN_TIMESTAMP, .i = INT64_MIN }, KVAULT_E_RANGE, "the years 1 to 9999" },
        { { .kind = KVAULT_TOKEN_ARRAY, .u = KVAULT_COUNT_UNKNOWN }, KVAULT_E_INVALID, "without its count" },
        { { .kind = KVAULT_TOKEN_MAP, .u = KVAULT_COUNT_UNKNOWN }, KVAULT_E_INVALID, "without its count" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        kvault_error err = KVAULT_ERROR_INIT;
        kvault_buf buf = KVAULT_BUF_INIT;
        kvault_writer writer = kvault_writer_init(&buf);

        CHECK_STATUS(kvault_cbor_write(&writer, &rows[i].token, &err), rows[i].status, &err);
        CHECK_MESSAGE(&err, rows[i].message);
        kvault_writer_finish(&writer);
        CHECK(buf.size == 0 && writer.depth == 0);
        kvault_buf_free(&buf);
    }
}

/* Every half there is comes back in two bytes, its neighbours in single and in
 * double precision need their own width. */
static void every_half_is_written_as_a_half(void)
{
    uint8_t bytes[9], out[KVAULT_HEAD_MAX];
    size_t wrong = 0;

    for (unsigned half = 0; half <= 0xffff; half++) {
        kvault_token token;
        kvault_reader reader;

        bytes[0] = 0xf9;
        bytes[1] = (uint8_t)(half >> 8);
        bytes[2] = (uint8_t)half;
        reader = kvault_reader_init((kvault_slice){ bytes, 3 }, 0);
        CHECK_OK(kvault_cbor_read(&reader, &token, NULL), NULL);
        wrong += kvault_cbor_store_float(out, token.f) != out + 3 || memcmp(out, bytes, 3) != 0;
        if (isfinite(token.f) && token.f != 0) {
            float above = nextafterf((float)token.f, INFINITY);
            double higher = nextafter(token.f, INFINITY);
            wrong += kvault_cbor_store_float(out, (double)above) != out + 5 || out[0] != 0xfa;
            wrong += kvault_cbor_store_float(out, higher) != out + 9 || out[0] != 0xfb;
        }
    }
    CHECK(wrong == 0);
}

static void every_day_of_ten_thousand_years_comes_back(void)
{
    size_t wrong = 0;

    for (int64_t s = -INT64_C(62135596800); s <= INT64_C(253402300799); s += 86400 - 1) {
        kvault_token token = { .kind = KVAULT_TOKEN_TIMESTAMP, .extra = 1000, .i = s }, again;
        kvault_buf buf = KVAULT_BUF_INIT;
        kvault_writer writer = kvault_writer_init(&buf);
        kvault_reader reader;

        CHECK_OK(kvault_cbor_write(&writer, &token, NULL), NULL);
        kvault_writer_finish(&writer);
        reader = kvault_reader_init((kvault_slice){ buf.data, buf.size }, 0);
        CHECK_OK(kvault_cbor_read(&reader, &again, NULL), NULL);
        wrong += again.kind != KVAULT_TOKEN_TIMESTAMP || again.i != s || again.extra != 1000;
        kvault_buf_free(&buf);
    }
    CHECK(wrong == 0);
}

/* A record of every type, long enough to grow its buffer several times. */
static kvault_status write_all_types(void *argument)
{
    kvault_buf buf = KVAULT_BUF_INIT;
    kvault_writer writer = kvault_writer_init(&buf);
    kvault_token array = { .kind = KVAULT_TOKEN_ARRAY, .u = VECTOR_COUNT };
    kvault_status rc;

    (void)argument;
    TRY(kvault_cbor_write(&writer, &array, NULL));
    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        kvault_slice bytes = unhex(vectors[i].hex);
        kvault_reader reader = kvault_reader_init(bytes, 0);

        rc = recode(CBOR, &reader, CBOR, &writer, NULL);
        free((void *)bytes.data);
        if (rc < 0)
            goto out;
    }
    kvault_writer_finish(&writer);
    TRY(kvault_packer_check(CBOR, (kvault_slice){ buf.data, buf.size }, NULL));
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
    RUN(every_form_is_read_and_written_back_preferred);
    RUN(every_truncation_is_refused);
    RUN(what_is_malformed_is_refused_where_it_is);
    RUN(nesting_stops_at_the_limit);
    RUN(tags_deeper_than_the_limit_are_refused_when_written);
    RUN(what_the_format_lacks_is_refused_and_nothing_written);
    RUN(every_half_is_written_as_a_half);
    RUN(every_day_of_ten_thousand_years_comes_back);
    RUN(a_writer_survives_every_failed_allocation);
    return kvtest_end();
}
