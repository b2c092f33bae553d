/* test_base.c - buffers, errors, checked sizes, byte order. */
#include "kvtest.h"

#include "base/buf.h"
#include "base/bytes.h"
#include "base/checked.h"

static void a_buffer_grows_and_keeps_its_bytes(void)
{
    kvault_buf buf = KVAULT_BUF_INIT;
    kvault_error err = KVAULT_ERROR_INIT;

    for (int i = 0; i < 10000; i++) {
        uint8_t byte = (uint8_t)i;
        CHECK_OK(kvault__buf_append(&buf, &byte, 1, &err), &err);
    }
    CHECK(buf.size == 10000 && buf.capacity >= 10000 && buf.capacity <= 15000);
    for (size_t i = 0; i < buf.size; i++)
        if (buf.data[i] != (uint8_t)i)
            CHECK_NEVER("a byte changed");
    kvault_buf_free(&buf);
    CHECK(buf.data == NULL && buf.size == 0);
    kvault_buf_free(NULL);
}

static void a_size_beyond_memory_is_refused(void)
{
    kvault_buf buf = KVAULT_BUF_INIT;
    kvault_error err = KVAULT_ERROR_INIT;

    CHECK_OK(kvault__buf_append(&buf, "x", 1, &err), &err);
    CHECK_STATUS(kvault__buf_reserve(&buf, SIZE_MAX, &err), KVAULT_E_TOOBIG, &err);
    CHECK_MESSAGE(&err, "exceed memory");
    CHECK(buf.size == 1 && buf.data[0] == 'x');
    kvault_buf_free(&buf);
}

static void checked_sums_leave_the_result_on_overflow(void)
{
    size_t result = 7;

    CHECK(!kvault__add(SIZE_MAX, 1, &result) && result == 7);
    CHECK(!kvault__mul(SIZE_MAX / 2, 3, &result) && result == 7);
    CHECK(kvault__add(2, 3, &result) && result == 5);
    CHECK(kvault__mul(4, 5, &result) && result == 20);
}

static void bytes_have_the_stated_order(void)
{
    uint8_t bytes[8];

    kvault__store_le32(bytes, 0x01020304);
    CHECK(bytes[0] == 4 && bytes[3] == 1 && kvault__load_le32(bytes) == 0x01020304);
    kvault__store_be64(bytes, 0x0102030405060708);
    CHECK(bytes[0] == 1 && bytes[7] == 8 && kvault__load_be64(bytes) == 0x0102030405060708);
}

static void an_error_is_cut_not_overrun(void)
{
    kvault_error err = KVAULT_ERROR_INIT;
    char text[1000];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    CHECK_STATUS(kvault__fail_at(&err, KVAULT_E_CORRUPT, 12, "%s", text), KVAULT_E_CORRUPT, NULL);
    CHECK(err.position == 12 && strlen(err.message) == sizeof err.message - 1);
    CHECK(strcmp(kvault_status_text((kvault_status)99), "unknown status") == 0);
    CHECK_STATUS(kvault__fail(NULL, KVAULT_E_IO, "nobody listens"), KVAULT_E_IO, NULL);
}

static kvault_status append_much(void *argument)
{
    kvault_buf buf = KVAULT_BUF_INIT;
    kvault_status rc = KVAULT_OK;

    (void)argument;
    for (int i = 0; i < 1000 && rc == KVAULT_OK; i++)
        rc = kvault__buf_append(&buf, "0123456789", 10, NULL);
    kvault_buf_free(&buf);
    return rc;
}

static void every_allocation_may_fail(void)
{
    kvtest_each_alloc_fails(append_much, NULL);
}

int main(void)
{
    RUN(a_buffer_grows_and_keeps_its_bytes);
    RUN(a_size_beyond_memory_is_refused);
    RUN(checked_sums_leave_the_result_on_overflow);
    RUN(bytes_have_the_stated_order);
    RUN(an_error_is_cut_not_overrun);
    RUN(every_allocation_may_fail);
    return kvtest_end();
}
