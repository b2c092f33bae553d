/* test_wal_buffer.c - which writes reach a WAL, and when: over a file that lives in memory and remembers its writes. */
#include "kvtest.h"

#include "storage/sqlite/wal_buffer.h"

enum { FILE_BYTES = 4 << 20, WRITES_MAX = 4096, HEADER = 24, PAGE = 8192, FRAME = HEADER + PAGE, FIRST = 32 };

struct fake_file {
    sqlite3_file file; /* first */
    uint8_t bytes[FILE_BYTES];
    struct {
        int size;
        sqlite3_int64 offset;
    } writes[WRITES_MAX];
    int count, reads;
    int fail_at; /* the write of this number, from 1, fails; 0: none */
};

static struct fake_file disk;
static struct wal_buffer buffer;
static uint8_t page[65536];

static int fake_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 offset)
{
    (void)file;
    if (disk.count + 1 == disk.fail_at) {
        disk.fail_at = 0;
        return SQLITE_FULL;
    }
    CHECK(size > 0 && size < 128 * 1024);
    memcpy(disk.bytes + offset, bytes, (size_t)size);
    disk.writes[disk.count].size = size;
    disk.writes[disk.count++].offset = offset;
    return SQLITE_OK;
}

static int fake_read(sqlite3_file *file, void *dest, int size, sqlite3_int64 offset)
{
    (void)file;
    memcpy(dest, disk.bytes + offset, (size_t)size);
    disk.reads++;
    return SQLITE_OK;
}

static const sqlite3_io_methods fake_methods = { .iVersion = 1, .xWrite = fake_write, .xRead = fake_read };

static void start(void)
{
    memset(&disk, 0, sizeof disk);
    disk.file.pMethods = &fake_methods;
    kvault__wal_buffer_open(&buffer, &disk.file);
    kvault__wal_buffer_lock(&buffer);
}

static sqlite3_int64 frame_at(int number)
{
    return FIRST + (sqlite3_int64)number * FRAME;
}

static int put_header(sqlite3_int64 offset, bool commit)
{
    uint8_t header[HEADER] = { 0 };

    header[7] = commit; /* the database's size in pages, big-endian */
    header[23] = (uint8_t)(offset / FRAME);
    return kvault__wal_buffer_write(&buffer, header, sizeof header, offset);
}

static int put_page(sqlite3_int64 offset, int size, int fill)
{
    memset(page, fill, (size_t)size);
    return kvault__wal_buffer_write(&buffer, page, size, offset);
}

static int put_frame(int number, bool commit)
{
    int code = put_header(frame_at(number), commit);

    return code ? code : put_page(frame_at(number) + HEADER, PAGE, 1 + number);
}

static bool page_on_disk(int number, int fill)
{
    const uint8_t *at = disk.bytes + frame_at(number) + HEADER;

    return at[0] == fill && at[PAGE - 1] == fill;
}

/* ---- when it is written ---- */

static void nothing_is_written_before_the_commit_frame_is_whole(void)
{
    start();
    for (int i = 0; i < 4; i++)
        CHECK(put_frame(i, false) == SQLITE_OK);
    CHECK(put_header(frame_at(4), true) == SQLITE_OK);
    CHECK(disk.count == 0);
    CHECK(put_page(frame_at(4) + HEADER, PAGE, 5) == SQLITE_OK);
    CHECK(disk.count == 1 && disk.writes[0].offset == FIRST && disk.writes[0].size == 5 * FRAME);
    CHECK(page_on_disk(0, 1) && page_on_disk(4, 5));
    kvault__wal_buffer_close(&buffer);
}

static void after_the_commit_frame_all_is_written_through(void)
{
    start();
    CHECK(put_frame(0, true) == SQLITE_OK);
    CHECK(put_header(frame_at(0), false) == SQLITE_OK); /* a checksum made anew */
    CHECK(put_frame(1, false) == SQLITE_OK);
    CHECK(put_frame(2, true) == SQLITE_OK);
    CHECK(disk.count == 1 + 1 + 2 + 2);
    kvault__wal_buffer_unlock(&buffer);
    kvault__wal_buffer_lock(&buffer);
    CHECK(put_frame(3, false) == SQLITE_OK);
    CHECK(disk.count == 6); /* the next transaction is gathered again */
    kvault__wal_buffer_close(&buffer);
}

static void without_the_lock_all_is_written_through(void)
{
    start();
    kvault__wal_buffer_unlock(&buffer);
    CHECK(put_frame(0, false) == SQLITE_OK);
    CHECK(disk.count == 2);
    kvault__wal_buffer_close(&buffer);
}

static void a_full_buffer_is_written_and_no_write_reaches_128_kib(void)
{
    static const int sizes[] = { 512, 4096, 8192, 32768, 65536 };

    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        sqlite3_int64 offset = FIRST, written = 0;

        start();
        for (int i = 0; i < 40; i++, offset += HEADER + sizes[s]) {
            CHECK(put_header(offset, i == 39) == SQLITE_OK);
            CHECK(put_page(offset + HEADER, sizes[s], i + 1) == SQLITE_OK);
        }
        for (int i = 0; i < disk.count; i++) {
            CHECK(disk.writes[i].size <= WAL_BUFFER_BYTES);
            CHECK(disk.writes[i].offset == FIRST + written); /* in order, without a gap */
            written += disk.writes[i].size;
        }
        CHECK(written == offset - FIRST);
        for (int i = 0; i < 40; i++)
            CHECK(disk.bytes[FIRST + (i + 1) * (HEADER + sizes[s]) - 1] == i + 1);
        CHECK(disk.count <= 1 + 40 * (HEADER + sizes[s]) / (WAL_BUFFER_BYTES - HEADER - sizes[s]));
        kvault__wal_buffer_close(&buffer);
    }
}

static void a_page_larger_than_the_buffer_is_written_through(void)
{
    static uint8_t large[WAL_BUFFER_BYTES + 1];

    start();
    CHECK(put_header(FIRST, true) == SQLITE_OK);
    CHECK(kvault__wal_buffer_write(&buffer, large, sizeof large, FIRST + HEADER) == SQLITE_OK);
    CHECK(disk.count == 2 && disk.writes[0].size == HEADER && disk.writes[1].size == sizeof large);
    kvault__wal_buffer_close(&buffer);
}

static void the_head_of_a_new_log_goes_first(void)
{
    uint8_t head[32] = { 0x37 };

    start();
    CHECK(kvault__wal_buffer_write(&buffer, head, sizeof head, 0) == SQLITE_OK);
    CHECK(disk.count == 1);
    CHECK(put_frame(0, false) == SQLITE_OK);
    CHECK(disk.count == 1);
    kvault__wal_buffer_close(&buffer);
}

/* ---- what does not append ---- */

static void a_page_written_anew_comes_after_its_frame(void)
{
    start();
    CHECK(put_frame(0, false) == SQLITE_OK && put_frame(1, false) == SQLITE_OK);
    CHECK(put_page(frame_at(0) + HEADER, PAGE, 77) == SQLITE_OK);
    CHECK(disk.count == 2 && disk.writes[0].size == 2 * FRAME && disk.writes[1].size == PAGE);
    CHECK(page_on_disk(0, 77) && page_on_disk(1, 2));
    CHECK(put_frame(2, false) == SQLITE_OK); /* which appends again */
    CHECK(disk.count == 2);
    CHECK(put_frame(3, true) == SQLITE_OK);
    CHECK(disk.count == 3 && disk.writes[2].offset == frame_at(2) && disk.writes[2].size == 2 * FRAME);
    kvault__wal_buffer_close(&buffer);
}

static void frames_written_anew_from_an_earlier_one_on_replace_those_there(void)
{
    start();
    for (int i = 0; i < 4; i++)
        CHECK(put_frame(i, false) == SQLITE_OK);
    CHECK(put_header(frame_at(1), false) == SQLITE_OK);
    CHECK(disk.count == 2 && disk.writes[0].size == 4 * FRAME);
    CHECK(put_page(frame_at(1) + HEADER, PAGE, 50) == SQLITE_OK);
    CHECK(disk.count == 3 && page_on_disk(1, 50) && page_on_disk(2, 3));
    CHECK(put_frame(2, true) == SQLITE_OK); /* the commit is one of them: not to be kept back */
    CHECK(disk.count == 5);
    CHECK(put_header(frame_at(0), false) == SQLITE_OK);
    CHECK(disk.count == 6);
    kvault__wal_buffer_close(&buffer);
}

static void a_header_alone_is_never_kept_below_the_end(void)
{
    start();
    CHECK(put_frame(0, false) == SQLITE_OK);
    CHECK(kvault__wal_buffer_flush(&buffer) == SQLITE_OK);
    CHECK(put_header(frame_at(0), false) == SQLITE_OK);
    CHECK(disk.count == 2);
    kvault__wal_buffer_close(&buffer);
}

/* ---- reading ---- */

static void a_read_is_served_from_where_the_bytes_are(void)
{
    uint8_t got[2 * FRAME];

    start();
    CHECK(put_frame(0, false) == SQLITE_OK && kvault__wal_buffer_flush(&buffer) == SQLITE_OK);
    CHECK(put_frame(1, false) == SQLITE_OK && put_frame(2, false) == SQLITE_OK);
    CHECK(kvault__wal_buffer_read(&buffer, got, PAGE, frame_at(2) + HEADER) == SQLITE_OK);
    CHECK(got[0] == 3 && got[PAGE - 1] == 3 && disk.reads == 0 && disk.count == 1);
    CHECK(kvault__wal_buffer_read(&buffer, got, FRAME, frame_at(0)) == SQLITE_OK);
    CHECK(got[HEADER] == 1 && disk.reads == 1 && disk.count == 1); /* up to the buffer's first byte */
    CHECK(kvault__wal_buffer_read(&buffer, got, PAGE, frame_at(3)) == SQLITE_OK);
    CHECK(disk.count == 1); /* behind its last */
    CHECK(kvault__wal_buffer_read(&buffer, got, 2 * FRAME, frame_at(0)) == SQLITE_OK);
    CHECK(disk.count == 2); /* half inside: written first */
    CHECK(got[HEADER] == 1 && got[FRAME + HEADER] == 2);
    kvault__wal_buffer_close(&buffer);
}

/* ---- failures, and the end of a transaction ---- */

static void what_was_not_committed_is_discarded(void)
{
    start();
    CHECK(put_frame(0, false) == SQLITE_OK);
    kvault__wal_buffer_unlock(&buffer);
    memset(disk.bytes, 0xEE, FRAME * 2); /* another program's commit */
    kvault__wal_buffer_lock(&buffer);
    CHECK(kvault__wal_buffer_flush(&buffer) == SQLITE_OK);
    CHECK(disk.count == 0 && disk.bytes[FIRST] == 0xEE);
    CHECK(put_frame(1, true) == SQLITE_OK); /* from where the log ends now */
    CHECK(disk.count == 1 && disk.writes[0].offset == frame_at(1) && disk.bytes[FIRST] == 0xEE);
    CHECK(put_frame(2, false) == SQLITE_OK);
    kvault__wal_buffer_close(&buffer);
    CHECK(disk.count == 3); /* written through: the commit had come */
}

static void closing_discards_too(void)
{
    start();
    CHECK(put_frame(0, false) == SQLITE_OK);
    kvault__wal_buffer_close(&buffer);
    CHECK(disk.count == 0);
}

static void the_commit_gets_the_failure_of_the_write(void)
{
    start();
    CHECK(put_frame(0, false) == SQLITE_OK);
    disk.fail_at = 1;
    CHECK(put_frame(1, true) == SQLITE_FULL);
    kvault__wal_buffer_close(&buffer);
}

static void a_failure_sticks_until_the_lock_is_let_go(void)
{
    uint8_t got[PAGE];
    int code = SQLITE_OK, number = 0;

    start();
    disk.fail_at = 1;
    while (code == SQLITE_OK && number < 100)
        code = put_frame(number++, false);
    CHECK(code == SQLITE_FULL && number == 15); /* the fifteenth page found the buffer full */
    CHECK(put_frame(number, false) == SQLITE_FULL);
    CHECK(put_frame(number, true) == SQLITE_FULL);
    CHECK(put_page(frame_at(0) + HEADER, PAGE, 9) == SQLITE_FULL);
    CHECK(kvault__wal_buffer_flush(&buffer) == SQLITE_FULL);
    CHECK(disk.count == 0);
    CHECK(kvault__wal_buffer_read(&buffer, got, PAGE, frame_at(3) + HEADER) == SQLITE_OK && got[0] == 4);
    CHECK(kvault__wal_buffer_read(&buffer, got, PAGE, frame_at(0) - 8) == SQLITE_FULL);
    kvault__wal_buffer_unlock(&buffer);
    kvault__wal_buffer_lock(&buffer);
    CHECK(put_frame(0, true) == SQLITE_OK && disk.count == 1);
    kvault__wal_buffer_close(&buffer);
}

static void short_of_memory_frames_are_written_one_by_one(void)
{
    memset(&disk, 0, sizeof disk);
    disk.file.pMethods = &fake_methods;
    kvault__wal_buffer_open(&buffer, &disk.file);
    kvtest_alloc_fail_at(1);
    kvault__wal_buffer_lock(&buffer);
    kvtest_alloc_fail_at(0);
    CHECK(put_frame(0, false) == SQLITE_OK && disk.count == 2);
    kvault__wal_buffer_unlock(&buffer);
    kvault__wal_buffer_lock(&buffer);
    CHECK(put_frame(1, false) == SQLITE_OK && disk.count == 2);
    kvault__wal_buffer_close(&buffer);
    CHECK(kvtest_alloc_live() == 0);
}

int main(void)
{
    RUN(nothing_is_written_before_the_commit_frame_is_whole);
    RUN(after_the_commit_frame_all_is_written_through);
    RUN(without_the_lock_all_is_written_through);
    RUN(a_full_buffer_is_written_and_no_write_reaches_128_kib);
    RUN(a_page_larger_than_the_buffer_is_written_through);
    RUN(the_head_of_a_new_log_goes_first);
    RUN(a_page_written_anew_comes_after_its_frame);
    RUN(frames_written_anew_from_an_earlier_one_on_replace_those_there);
    RUN(a_header_alone_is_never_kept_below_the_end);
    RUN(a_read_is_served_from_where_the_bytes_are);
    RUN(what_was_not_committed_is_discarded);
    RUN(closing_discards_too);
    RUN(the_commit_gets_the_failure_of_the_write);
    RUN(a_failure_sticks_until_the_lock_is_let_go);
    RUN(short_of_memory_frames_are_written_one_by_one);
    return kvtest_end();
}
