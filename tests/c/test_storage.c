/* test_storage.c - the seam alone: cells, chunks, batches, scans, transactions, versions, files that are refused.
 *
 * What holds here must hold of any backend: nothing of SQLite is named but in the tests of files. */
#include "kvtest.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "fault_vfs.h"
#include "storage/storage.h"

static char folder[] = "/tmp/kvtest-XXXXXX";
static const struct storage_backend *backend = &kvault__sqlite_backend;
static kvault_error err;
static int file_number;

struct fixture {
    char path[128];
    storage_conn *conn;
    struct storage_space table, state;
};

static kvault_slice s(const char *text)
{
    return (kvault_slice){ text, strlen(text) };
}

static bool is(kvault_slice slice, const char *text)
{
    return slice.size == strlen(text) && memcmp(slice.data, text, slice.size) == 0;
}

static const struct storage_wait *wait_ms(int ms)
{
    static struct storage_wait wait;

    wait = (struct storage_wait){ .started_ns = kvault__monotonic_ns() };
    wait.deadline_ns = wait.started_ns + (int64_t)ms * 1000000;
    return &wait;
}

static kvault_status open_conn(const char *path, bool read_only, storage_conn **ret_conn)
{
    struct storage_config config = { .path = path,
                                     .page_size = 4096,
                                     .cache_bytes = 1 << 20,
                                     .wal = true,
                                     .gather_writes = true,
                                     .read_only = read_only };

    return backend->open(&config, wait_ms(2000), ret_conn, &err);
}

static struct fixture start(void)
{
    struct fixture f = { .state = { .kind = STORAGE_STATE, .index = STORAGE_STATE } };

    (void)snprintf(f.path, sizeof f.path, "%s/%d.kv", folder, ++file_number);
    CHECK_OK(open_conn(f.path, false, &f.conn), &err);
    CHECK_OK(backend->table(f.conn, "Things", true, wait_ms(1000), &f.table, &err), &err);
    f.table.index = STORAGE_KINDS;
    return f;
}

static void end(struct fixture *f)
{
    backend->close(f->conn, true);
}

static struct storage_op op_put(const struct storage_space *space, const char *key, const char *value)
{
    return (struct storage_op){ .kind = STORAGE_PUT,
                                .space = space,
                                .key = s(key),
                                .cell = { .value = s(value), .size = strlen(value), .checksum = 7 } };
}

static struct storage_op op_get(const struct storage_space *space, const char *key, void *dest, size_t size)
{
    return (struct storage_op){ .kind = STORAGE_GET, .space = space, .key = s(key), .dest = dest, .dest_size = size };
}

static kvault_status run(struct fixture *f, struct storage_op *ops, size_t count)
{
    return backend->run(f->conn, ops, count, wait_ms(1000), &err);
}

static void put(struct fixture *f, const char *key, const char *value)
{
    struct storage_op op = op_put(&f->table, key, value);

    CHECK_OK(run(f, &op, 1), &err);
}

static bool has(struct fixture *f, const char *key)
{
    struct storage_op op = op_get(&f->table, key, NULL, 0);

    CHECK_OK(run(f, &op, 1), &err);
    return op.outcome == STORAGE_DONE;
}

/* ---- cells ---- */

static void a_cell_is_put_found_and_deleted_and_each_outcome_is_told(void)
{
    struct fixture f = start();
    char dest[16];
    struct storage_op op = op_put(&f.table, "a", "one");

    CHECK_OK(run(&f, &op, 1), &err);
    CHECK(op.outcome == STORAGE_DONE);
    op = op_put(&f.table, "a", "two!");
    CHECK_OK(run(&f, &op, 1), &err);
    CHECK(op.outcome == STORAGE_EXISTS); /* replaced */
    op = op_get(&f.table, "a", dest, sizeof dest);
    CHECK_OK(run(&f, &op, 1), &err);
    CHECK(op.outcome == STORAGE_DONE && is(op.cell.value, "two!") && op.cell.value.data == dest);
    CHECK(op.cell.size == 4 && op.cell.blob_id == 0 && op.cell.checksum == 7);
    op = op_get(&f.table, "a", dest, 3);
    memset(dest, '.', sizeof dest);
    CHECK_OK(run(&f, &op, 1), &err);
    CHECK(op.outcome == STORAGE_SHORT && op.cell.size == 4 && dest[0] == '.');
    op = op_get(&f.table, "a", NULL, 0);
    CHECK_OK(run(&f, &op, 1), &err);
    CHECK(op.outcome == STORAGE_DONE && op.cell.size == 4 && !op.cell.value.data);
    op = op_put(&f.table, "a", "three");
    op.kind = STORAGE_ADD;
    CHECK_OK(run(&f, &op, 1), &err);
    CHECK(op.outcome == STORAGE_EXISTS);
    op = (struct storage_op){ .kind = STORAGE_DELETE, .space = &f.table, .key = s("a") };
    CHECK_OK(run(&f, &op, 1), &err);
    CHECK(op.outcome == STORAGE_DONE);
    CHECK_OK(run(&f, &op, 1), &err);
    CHECK(op.outcome == STORAGE_MISSING && !has(&f, "a"));
    end(&f);
}

static void a_cell_with_a_blob_is_left_alone_where_that_is_asked(void)
{
    struct fixture f = start();
    struct storage_op op = {
        .kind = STORAGE_PUT, .space = &f.table, .key = s("a"), .cell = { .blob_id = 12, .size = 1000000 }
    };

    CHECK_OK(run(&f, &op, 1), &err);
    op = op_put(&f.table, "a", "x");
    op.keep_blob = true;
    CHECK_OK(run(&f, &op, 1), &err);
    CHECK(op.outcome == STORAGE_HELD);
    op = (struct storage_op){ .kind = STORAGE_DELETE, .keep_blob = true, .space = &f.table, .key = s("a") };
    CHECK_OK(run(&f, &op, 1), &err);
    CHECK(op.outcome == STORAGE_HELD);
    op = op_get(&f.table, "a", &op, sizeof op);
    CHECK_OK(run(&f, &op, 1), &err);
    CHECK(op.outcome == STORAGE_DONE && op.cell.blob_id == 12 && op.cell.size == 1000000 && !op.cell.value.size);
    op = op_put(&f.table, "a", "x");
    CHECK_OK(run(&f, &op, 1), &err);
    CHECK(op.outcome == STORAGE_EXISTS);
    end(&f);
}

static void keys_may_be_empty_and_hold_any_byte_and_integer_keys_are_eight(void)
{
    static const char odd[] = { 0, (char)0xff, 0 };
    struct fixture f = start();
    uint8_t id[8];
    struct storage_op ops[3];

    ops[0] = op_put(&f.table, "", "empty");
    ops[1] = op_put(&f.table, "", "odd");
    ops[1].key = (kvault_slice){ odd, sizeof odd };
    kvault__store_be64(id, (uint64_t)1 << 40);
    ops[2] = op_put(&f.state, "", "record");
    ops[2].key = (kvault_slice){ id, 8 };
    CHECK_OK(run(&f, ops, 3), &err);
    for (int i = 0; i < 3; i++) {
        char dest[8];
        struct storage_op get = {
            .kind = STORAGE_GET, .space = ops[i].space, .key = ops[i].key, .dest = dest, .dest_size = sizeof dest
        };

        CHECK_OK(run(&f, &get, 1), &err);
        CHECK(get.outcome == STORAGE_DONE && get.cell.size == ops[i].cell.size &&
              memcmp(dest, ops[i].cell.value.data, get.cell.size) == 0);
    }
    end(&f);
}

/* ---- chunks ---- */

static struct storage_op op_chunk(enum storage_op_kind kind, uint32_t seq, uint32_t offset, uint32_t size, void *dest)
{
    return (struct storage_op){ .kind = kind,
                                .family = STORAGE_CHUNKS,
                                .owner = 5,
                                .seq = seq,
                                .offset = offset,
                                .size = size,
                                .dest = dest,
                                .dest_size = dest ? size : 0 };
}

static void a_chunk_is_read_in_part_overwritten_in_place_and_deleted_by_range(void)
{
    static uint8_t bytes[70000], got[70000];
    struct fixture f = start();
    struct storage_op op;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    for (uint32_t seq = 0; seq < 4; seq++) {
        op = op_chunk(STORAGE_CHUNK_PUT, seq, 0, 0, NULL);
        op.cell.value = (kvault_slice){ bytes, sizeof bytes };
        CHECK_OK(run(&f, &op, 1), &err);
        CHECK(op.outcome == STORAGE_DONE);
    }
    op = op_chunk(STORAGE_CHUNK_GET, 1, 69990, 100, got);
    CHECK_OK(run(&f, &op, 1), &err);
    CHECK(op.outcome == STORAGE_DONE && op.got == 10 && op.chunk_size == 70000 && memcmp(got, bytes + 69990, 10) == 0);
    op = op_chunk(STORAGE_CHUNK_GET, 1, 0, 70000, got);
    CHECK_OK(run(&f, &op, 1), &err);
    CHECK(op.got == 70000 && memcmp(got, bytes, 70000) == 0);
    op = op_chunk(STORAGE_CHUNK_GET, 9, 0, 10, got);
    CHECK_OK(run(&f, &op, 1), &err);
    CHECK(op.outcome == STORAGE_MISSING);
    op = op_chunk(STORAGE_CHUNK_WRITE, 1, 5000, 0, NULL);
    op.cell.value = s("written");
    CHECK_OK(run(&f, &op, 1), &err);
    op = op_chunk(STORAGE_CHUNK_GET, 1, 5000, 7, got);
    CHECK_OK(run(&f, &op, 1), &err);
    CHECK(op.got == 7 && memcmp(got, "written", 7) == 0);
    op = op_chunk(STORAGE_CHUNK_WRITE, 1, 69999, 0, NULL);
    op.cell.value = s("over the end");
    CHECK_STATUS(run(&f, &op, 1), KVAULT_E_CORRUPT, &err);
    op = op_chunk(STORAGE_CHUNK_DELETE, 1, 0, 0, NULL);
    op.seq_end = 3;
    CHECK_OK(run(&f, &op, 1), &err);
    for (uint32_t seq = 0; seq < 4; seq++) {
        op = op_chunk(STORAGE_CHUNK_GET, seq, 0, 1, got);
        CHECK_OK(run(&f, &op, 1), &err);
        CHECK((op.outcome == STORAGE_DONE) == (seq == 0 || seq == 3));
    }
    end(&f);
}

struct seen_chunks {
    int count;
    uint64_t owner;
    uint32_t seq, size;
};

static kvault_status see_chunk(void *ctx, uint64_t owner, uint32_t seq, uint32_t size, kvault_error *reterr)
{
    struct seen_chunks *seen = ctx;

    (void)reterr;
    CHECK(!seen->count || owner > seen->owner || (owner == seen->owner && seq > seen->seq));
    *seen = (struct seen_chunks){ seen->count + 1, owner, seq, size };
    return KVAULT_OK;
}

static void chunks_come_in_order_from_where_one_asks(void)
{
    struct fixture f = start();
    struct seen_chunks seen = { 0 };

    for (uint32_t i = 0; i < 6; i++) {
        struct storage_op op = op_chunk(STORAGE_CHUNK_PUT, 5 - i, 0, 0, NULL);

        op.owner = i % 2 ? 0x7fffffff : 3;
        op.cell.value = (kvault_slice){ "0123456789", i };
        CHECK_OK(run(&f, &op, 1), &err);
    }
    CHECK_OK(backend->scan_chunks(f.conn, STORAGE_CHUNKS, 3, 2, wait_ms(1000), see_chunk, &seen, &err), &err);
    CHECK(seen.count == 5 && seen.owner == 0x7fffffff && seen.seq == 4 && seen.size == 1);
    seen.count = 0;
    CHECK_OK(backend->scan_chunks(f.conn, STORAGE_PIECES, 0, 0, wait_ms(1000), see_chunk, &seen, &err), &err);
    CHECK(seen.count == 0); /* the families are apart */
    end(&f);
}

/* ---- batches and transactions ---- */

static void a_batch_is_one_write_and_stops_at_its_first_failure(void)
{
    struct fixture f = start();
    uint64_t before = backend->commits(f.conn);
    char dest[8];
    struct storage_op ops[4];

    ops[0] = op_put(&f.table, "a", "1");
    ops[1] = op_get(&f.table, "a", dest, sizeof dest); /* sees what stands before it */
    ops[2] = op_put(&f.table, "b", "2");
    CHECK_OK(run(&f, ops, 3), &err);
    CHECK(ops[1].outcome == STORAGE_DONE && is(ops[1].cell.value, "1"));
    CHECK(backend->commits(f.conn) == before + 1);
    ops[0] = op_put(&f.table, "c", "3");
    ops[1] = op_chunk(STORAGE_CHUNK_PUT, 0, 0, 0, NULL);
    ops[1].cell.value = s("tiny");
    ops[2] = op_chunk(STORAGE_CHUNK_WRITE, 0, 0, 0, NULL);
    ops[2].cell.value = s("larger than the chunk");
    ops[3] = op_put(&f.table, "d", "4");
    CHECK(run(&f, ops, 4) < 0);
    CHECK(ops[0].outcome == STORAGE_DONE && ops[3].outcome == STORAGE_NONE);
    CHECK(!has(&f, "c") && !has(&f, "d")); /* all or nothing */
    end(&f);
}

static void savepoints_undo_their_part_alone(void)
{
    struct fixture f = start();
    enum storage_committed committed;

    CHECK(!backend->in_transaction(f.conn));
    CHECK_OK(backend->begin(f.conn, true, wait_ms(1000), &err), &err);
    CHECK(backend->in_transaction(f.conn));
    put(&f, "a", "1");
    CHECK_OK(backend->savepoint(f.conn, 1, &err), &err);
    put(&f, "b", "1");
    CHECK_OK(backend->savepoint(f.conn, 2, &err), &err);
    put(&f, "c", "1");
    CHECK_OK(backend->rollback_to(f.conn, 2, &err), &err);
    CHECK(has(&f, "b") && !has(&f, "c"));
    CHECK_OK(backend->release(f.conn, 1, &err), &err);
    CHECK_OK(backend->savepoint(f.conn, 1, &err), &err);
    put(&f, "d", "1");
    CHECK_OK(backend->rollback_to(f.conn, 1, &err), &err);
    CHECK_OK(backend->commit(f.conn, wait_ms(1000), &committed, &err), &err);
    CHECK(committed == STORAGE_COMMITTED && !backend->in_transaction(f.conn));
    CHECK(has(&f, "a") && has(&f, "b") && !has(&f, "c") && !has(&f, "d"));
    CHECK_OK(backend->begin(f.conn, true, wait_ms(1000), &err), &err);
    put(&f, "e", "1");
    backend->rollback(f.conn);
    CHECK(!backend->in_transaction(f.conn) && !has(&f, "e"));
    end(&f);
}

/* Commit one row with a call to the disk going wrong. */
static enum storage_committed commit_with(struct fixture *f, enum fault_call call, enum fault_how how,
                                          kvault_status *ret_rc)
{
    enum storage_committed committed = STORAGE_COMMITTED;

    CHECK_OK(backend->begin(f->conn, true, wait_ms(1000), &err), &err);
    put(f, "committed?", "1");
    fault_vfs_arm((int)call, 1, (int)how, false);
    *ret_rc = backend->commit(f->conn, wait_ms(1000), &committed, &err);
    fault_vfs_disarm();
    CHECK(!backend->in_transaction(f->conn));
    return committed;
}

static void a_commit_is_made_undone_or_unknown(void)
{
    struct fixture f;
    kvault_status rc;

    fault_vfs_install();
    f = start();
    put(&f, "first", "1");
    CHECK(commit_with(&f, FAULT_WRITE, FAULT_FULL, &rc) == STORAGE_ROLLED_BACK && rc == KVAULT_E_IO);
    CHECK_MESSAGE(&err, "the disk is full");
    CHECK(!has(&f, "committed?"));
    CHECK(commit_with(&f, FAULT_WRITE, FAULT_FAILS, &rc) == STORAGE_UNKNOWN && rc == KVAULT_E_IO);
    CHECK(strlen(err.message) > 10 && err.sqlite_code == SQLITE_IOERR_WRITE);
    CHECK(commit_with(&f, FAULT_DELETE, FAULT_FAILS, &rc) == STORAGE_COMMITTED && rc == KVAULT_OK); /* is not called */
    CHECK(has(&f, "committed?"));
    end(&f);
    fault_vfs_remove();
}

static void a_read_transaction_sees_one_instant(void)
{
    struct fixture f = start(), other = f;
    enum storage_committed committed;

    put(&f, "a", "1");
    CHECK_OK(open_conn(f.path, false, &other.conn), &err);
    CHECK_OK(backend->begin(other.conn, false, wait_ms(1000), &err), &err);
    put(&f, "b", "1"); /* it was pinned before begin returned */
    CHECK(has(&other, "a") && !has(&other, "b"));
    CHECK_OK(backend->commit(other.conn, wait_ms(1000), &committed, &err), &err);
    CHECK(has(&other, "b"));
    backend->close(other.conn, false);
    end(&f);
}

static void a_second_writer_waits_until_its_deadline_and_names_the_first(void)
{
    struct fixture f = start(), other = f;

    CHECK_OK(open_conn(f.path, false, &other.conn), &err);
    CHECK_OK(backend->begin(f.conn, true, wait_ms(1000), &err), &err);
    CHECK_STATUS(backend->begin(other.conn, true, wait_ms(50), &err), KVAULT_E_BUSY, &err);
    CHECK_MESSAGE(&err, "waited 0.");
    backend->rollback(f.conn);
    CHECK_OK(backend->begin(other.conn, true, wait_ms(50), &err), &err);
    backend->rollback(other.conn);
    backend->close(other.conn, false);
    end(&f);
}

/* ---- scans ---- */

struct seen_keys {
    char text[128];
    int limit;
};

static kvault_status see_key(void *ctx, kvault_slice key, const struct storage_cell *cell, kvault_error *reterr)
{
    struct seen_keys *seen = ctx;

    (void)reterr;
    strncat(seen->text, key.data, key.size);
    if (cell->value.data)
        strncat(seen->text, cell->value.data, cell->value.size);
    return --seen->limit ? KVAULT_OK : KVAULT_END;
}

static void a_scan_keeps_its_bounds_in_both_directions(void)
{
    static const struct {
        const char *start, *stop;
        bool start_out, stop_in;
        const char *want;
    } cases[] = {
        { NULL, NULL, false, false, "abcde" }, { "b", NULL, false, false, "bcde" }, { "b", NULL, true, false, "cde" },
        { NULL, "d", false, false, "abc" },    { NULL, "d", false, true, "abcd" },  { "b", "d", false, false, "bc" },
        { "b", "d", true, true, "cd" },        { "bb", "dd", false, false, "cd" },  { "d", "b", false, false, "" },
        { "b", "b", false, false, "" },        { "b", "b", false, true, "b" },      { "", "f", false, false, "abcde" },
    };
    struct fixture f = start();

    for (const char *key = "dbaec"; *key; key++)
        put(&f, (char[]){ *key, 0 }, "");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        kvault_slice from = s(cases[i].start ? cases[i].start : ""), to = s(cases[i].stop ? cases[i].stop : "");
        struct storage_range range = { .space = &f.table,
                                       .start = cases[i].start ? &from : NULL,
                                       .stop = cases[i].stop ? &to : NULL,
                                       .start_excluded = cases[i].start_out,
                                       .stop_included = cases[i].stop_in,
                                       .limit = 100 };
        struct seen_keys forward = { .limit = 100 }, backward = { .limit = 100 };
        size_t length;

        CHECK_OK(backend->scan(f.conn, &range, wait_ms(1000), see_key, &forward, &err), &err);
        CHECK(strcmp(forward.text, cases[i].want) == 0 || (printf("# case %zu: %s\n", i, forward.text), false));
        range.reverse = true;
        CHECK_OK(backend->scan(f.conn, &range, wait_ms(1000), see_key, &backward, &err), &err);
        length = strlen(backward.text);
        CHECK(length == strlen(forward.text));
        for (size_t at = 0; at < length; at++)
            CHECK(backward.text[at] == forward.text[length - 1 - at]);
    }
    end(&f);
}

static kvault_status refuse(void *ctx, kvault_slice key, const struct storage_cell *cell, kvault_error *reterr)
{
    (void)ctx;
    (void)key;
    (void)cell;
    reterr->status = KVAULT_E_RANGE;
    return KVAULT_E_RANGE;
}

static void a_scan_ends_at_its_limit_at_the_callers_word_or_at_its_failure(void)
{
    struct fixture f = start();
    struct storage_range range = { .space = &f.table, .with_values = true, .limit = 2 };
    struct seen_keys seen = { .limit = 100 };
    uint64_t count = 0;

    put(&f, "a", "1");
    put(&f, "b", "2");
    put(&f, "c", "3");
    CHECK_OK(backend->scan(f.conn, &range, wait_ms(1000), see_key, &seen, &err), &err);
    CHECK(strcmp(seen.text, "a1b2") == 0);
    range.limit = 100;
    seen = (struct seen_keys){ .limit = 1 };
    CHECK_OK(backend->scan(f.conn, &range, wait_ms(1000), see_key, &seen, &err), &err);
    CHECK(strcmp(seen.text, "a1") == 0);
    CHECK_STATUS(backend->scan(f.conn, &range, wait_ms(1000), refuse, NULL, &err), KVAULT_E_RANGE, &err);
    CHECK_OK(backend->count(f.conn, &f.table, wait_ms(1000), &count, &err), &err);
    CHECK(count == 3);
    CHECK_OK(backend->begin(f.conn, true, wait_ms(1000), &err), &err);
    CHECK_OK(backend->clear(f.conn, &f.table, wait_ms(1000), &err), &err);
    CHECK_OK(backend->count(f.conn, &f.table, wait_ms(1000), &count, &err), &err);
    CHECK(count == 0);
    backend->rollback(f.conn);
    CHECK(has(&f, "a"));
    end(&f);
}

/* ---- versions, checkpoints ---- */

static bool same(const struct storage_version *a, const struct storage_version *b)
{
    return a->known && b->known && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static void the_version_moves_by_one_with_each_commit_of_whatever_connection(void)
{
    struct fixture f = start(), other = f;
    struct storage_version before, now, seen;

    CHECK_OK(open_conn(f.path, false, &other.conn), &err);
    backend->version(f.conn, &before);
    CHECK(has(&f, "a") == false);
    backend->version(f.conn, &now);
    CHECK(same(&before, &now)); /* a read moves nothing */
    put(&f, "a", "1");
    backend->version(f.conn, &now);
    backend->version(other.conn, &seen);
    CHECK(now.known && !same(&before, &now) && backend->version_is_next(&before, &now) && same(&now, &seen));
    put(&other, "b", "1");
    put(&other, "c", "1");
    backend->version(f.conn, &seen);
    CHECK(!same(&now, &seen) && !backend->version_is_next(&now, &seen));
    CHECK_OK(backend->begin(f.conn, true, wait_ms(1000), &err), &err);
    put(&f, "d", "1");
    backend->rollback(f.conn);
    backend->version(f.conn, &now);
    CHECK(same(&now, &seen)); /* nothing was committed */
    backend->close(other.conn, false);
    end(&f);
}

static void a_checkpoint_copies_the_log_and_stands_back_behind_a_writer(void)
{
    struct fixture f = start(), copier = f;
    struct storage_checkpointed done;

    put(&f, "a", "1");
    CHECK(backend->log_bytes(f.conn) > 0);
    CHECK_OK(open_conn(f.path, false, &copier.conn), &err);
    CHECK_OK(backend->checkpoint(f.conn, copier.conn, 50, wait_ms(1000), &done, &err), &err);
    CHECK(done.ran && done.complete && done.wal_bytes > 0 && backend->log_bytes(f.conn) == 0);
    CHECK_OK(backend->begin(copier.conn, true, wait_ms(1000), &err), &err);
    CHECK_OK(backend->checkpoint(f.conn, copier.conn, 0, wait_ms(1000), &done, &err), &err);
    CHECK(!done.ran); /* no frame moves without the write lock */
    backend->rollback(copier.conn);
    backend->close(copier.conn, false);
    end(&f);
}

/* ---- files ---- */

static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;

    CHECK(sqlite3_open(path, &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK || (printf("# %s\n", sqlite3_errmsg(db)), false));
    CHECK(sqlite3_close(db) == SQLITE_OK);
}

static size_t read_all(const char *path, uint8_t *bytes, size_t size)
{
    FILE *in = fopen(path, "rb");
    size_t got = in ? fread(bytes, 1, size, in) : 0;

    if (in)
        (void)fclose(in);
    return got;
}

static void a_foreign_newer_or_damaged_file_is_refused_untouched(void)
{
    static const struct {
        const char *sql; /* on a file of ours */
        kvault_status want;
        const char *words;
    } cases[] = {
        { "PRAGMA application_id = 7", KVAULT_E_INVALID, "another program" },
        { "PRAGMA user_version = 99", KVAULT_E_INVALID, "format is number 99" },
        { "UPDATE kv_format SET refuse_features = 4", KVAULT_E_INVALID, "mask 0x4" },
        { "UPDATE kv_format SET read_only_features = 8", KVAULT_E_READONLY, "mask 0x8" },
        { "DROP TABLE kv_format", KVAULT_E_CORRUPT, "kv_format is missing" },
    };
    static uint8_t before[1 << 18], after[1 << 18];
    storage_conn *conn = NULL;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f = start();
        size_t size;

        end(&f);
        run_sql(f.path, cases[i].sql);
        size = read_all(f.path, before, sizeof before);
        CHECK_STATUS(open_conn(f.path, false, &conn), cases[i].want, &err);
        CHECK_MESSAGE(&err, cases[i].words);
        CHECK_MESSAGE(&err, f.path);
        CHECK(read_all(f.path, after, sizeof after) == size && memcmp(before, after, size) == 0);
    }
}

static void what_is_no_database_is_refused_untouched(void)
{
    static uint8_t before[8192], after[sizeof before];
    storage_conn *conn = NULL;
    char path[128];
    FILE *out;

    (void)snprintf(path, sizeof path, "%s/text", folder);
    memset(before, 'x', sizeof before);
    out = fopen(path, "wb");
    CHECK(out && fwrite(before, 1, sizeof before, out) == sizeof before && fclose(out) == 0);
    CHECK_STATUS(open_conn(path, false, &conn), KVAULT_E_CORRUPT, &err);
    CHECK_MESSAGE(&err, "not a database");
    CHECK(read_all(path, after, sizeof after) == sizeof before && memcmp(before, after, sizeof before) == 0);
    CHECK(truncate(path, 0) == 0); /* an empty one is a new one */
    CHECK_OK(open_conn(path, false, &conn), &err);
    backend->close(conn, true);
}

static void a_table_of_other_columns_or_a_view_is_refused(void)
{
    struct fixture f = start();
    struct storage_space space;

    end(&f);
    run_sql(f.path,
            "CREATE TABLE odd(a, b); CREATE VIEW seen AS SELECT 1 AS key, 2 AS value; CREATE TABLE plain(key, value)");
    CHECK_OK(open_conn(f.path, false, &f.conn), &err);
    CHECK_STATUS(backend->table(f.conn, "odd", true, wait_ms(1000), &space, &err), KVAULT_E_INVALID, &err);
    CHECK_MESSAGE(&err, "its columns are a,b");
    CHECK_STATUS(backend->table(f.conn, "seen", true, wait_ms(1000), &space, &err), KVAULT_E_INVALID, &err);
    CHECK_MESSAGE(&err, "view");
    CHECK_OK(backend->table(f.conn, "plain", true, wait_ms(1000), &space, &err), &err);
    CHECK(space.kind == STORAGE_TABLE && space.layout == STORAGE_LAYOUT_PLAIN);
    CHECK_OK(backend->table(f.conn, "THINGS", false, wait_ms(1000), &space, &err), &err);
    CHECK(space.layout == STORAGE_LAYOUT_OURS && strcmp(space.name, "Things") == 0); /* as the file spells it */
    CHECK_STATUS(backend->table(f.conn, "absent", false, wait_ms(1000), &space, &err), KVAULT_NOT_FOUND, &err);
    end(&f);
}

static void reading_alone_creates_nothing_and_writes_nothing(void)
{
    struct fixture f = start();
    struct storage_op op;
    storage_conn *conn = NULL;
    char path[128];
    struct stat at;

    (void)snprintf(path, sizeof path, "%s/absent.kv", folder);
    CHECK(open_conn(path, true, &conn) < 0 && stat(path, &at) != 0);
    end(&f);
    CHECK_OK(open_conn(f.path, true, &f.conn), &err);
    op = op_put(&f.table, "a", "1");
    CHECK_STATUS(run(&f, &op, 1), KVAULT_E_READONLY, &err);
    end(&f);
}

int main(void)
{
    char command[64];

    if (!mkdtemp(folder))
        return 1;
    RUN(a_cell_is_put_found_and_deleted_and_each_outcome_is_told);
    RUN(a_cell_with_a_blob_is_left_alone_where_that_is_asked);
    RUN(keys_may_be_empty_and_hold_any_byte_and_integer_keys_are_eight);
    RUN(a_chunk_is_read_in_part_overwritten_in_place_and_deleted_by_range);
    RUN(chunks_come_in_order_from_where_one_asks);
    RUN(a_batch_is_one_write_and_stops_at_its_first_failure);
    RUN(savepoints_undo_their_part_alone);
    RUN(a_commit_is_made_undone_or_unknown);
    RUN(a_read_transaction_sees_one_instant);
    RUN(a_second_writer_waits_until_its_deadline_and_names_the_first);
    RUN(a_scan_keeps_its_bounds_in_both_directions);
    RUN(a_scan_ends_at_its_limit_at_the_callers_word_or_at_its_failure);
    RUN(the_version_moves_by_one_with_each_commit_of_whatever_connection);
    RUN(a_checkpoint_copies_the_log_and_stands_back_behind_a_writer);
    RUN(a_foreign_newer_or_damaged_file_is_refused_untouched);
    RUN(what_is_no_database_is_refused_untouched);
    RUN(a_table_of_other_columns_or_a_view_is_refused);
    RUN(reading_alone_creates_nothing_and_writes_nothing);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) || kvtest_end();
}
