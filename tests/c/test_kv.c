/* test_kv.c - keys and values from the outside: one file, its cache, transactions, snapshots, scans, streams. */
#include "kvtest.h"

#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kohakuvault/kohakuvault.h"

static char folder[] = "/tmp/kvtest-XXXXXX";
static kvault_error err;
static int file_number;

struct fixture {
    char path[128];
    kvault *vault;
    kvault_kv *kv;
};

static kvault_slice s(const char *text)
{
    return (kvault_slice){ text, strlen(text) };
}

static void reopen(struct fixture *f)
{
    CHECK_OK(kvault_open(f->path, NULL, &f->vault, &err), &err);
    CHECK_OK(kvault_kv_open(f->vault, NULL, &f->kv, &err), &err);
}

static void shut(struct fixture *f)
{
    kvault_kv_free(f->kv);
    CHECK_OK(kvault_close(f->vault, &err), &err);
    kvault_free(f->vault);
}

static struct fixture start(void)
{
    struct fixture f;

    (void)snprintf(f.path, sizeof f.path, "%s/%d.kv", folder, ++file_number);
    reopen(&f);
    return f;
}

static int problems;

static void on_problem(void *ctx, const char *where, const char *what)
{
    (void)ctx;
    printf("# %s: %s\n", where, what);
    problems++;
}

static int verify(kvault *vault)
{
    problems = 0;
    CHECK_OK(kvault_verify(vault, on_problem, NULL, &err), &err);
    return problems;
}

/* The value is `size` bytes that the seed decides. */
static uint8_t *make_bytes(size_t size, uint32_t seed)
{
    uint8_t *bytes = malloc(size ? size : 1);

    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(seed >> 24);
    }
    return bytes;
}

static bool holds(kvault_kv *kv, const char *key, const void *want, size_t size)
{
    uint8_t *got = malloc(size + 1);
    uint64_t have = 0;
    bool same = kvault_kv_get(kv, s(key), got, size + 1, &have, &err) == KVAULT_OK && have == size &&
                memcmp(got, want, size) == 0;

    free(got);
    return same;
}

static uint64_t count(kvault_kv *kv)
{
    uint64_t n = 0;

    CHECK_OK(kvault_kv_count(kv, &n, &err), &err);
    return n;
}

static void cache_on(kvault *vault, uint64_t capacity, uint64_t threshold)
{
    kvault_cache_setting setting = { true, true, capacity, threshold, 0 };

    CHECK_OK(kvault_cache_set(vault, &setting, NULL, &err), &err);
}

/* ---- one key ---- */

static void a_value_comes_back_and_survives_a_reopen(void)
{
    struct fixture f = start();

    CHECK_OK(kvault_kv_put(f.kv, s("a"), s("one"), &err), &err);
    CHECK_OK(kvault_kv_put(f.kv, s(""), s(""), &err), &err);
    CHECK(holds(f.kv, "a", "one", 3) && holds(f.kv, "", "", 0));
    CHECK_STATUS(kvault_kv_exists(f.kv, s("b"), &err), KVAULT_NOT_FOUND, &err);
    shut(&f);
    reopen(&f);
    CHECK(holds(f.kv, "a", "one", 3) && count(f.kv) == 2 && verify(f.vault) == 0);
    CHECK_OK(kvault_kv_delete(f.kv, s("a"), &err), &err);
    CHECK_STATUS(kvault_kv_delete(f.kv, s("a"), &err), KVAULT_NOT_FOUND, &err);
    CHECK(count(f.kv) == 1);
    shut(&f);
}

static void values_of_every_size_change_into_each_other(void)
{
    static const size_t sizes[] = { 0, 1, 262144, 262145, 261632 * 2, 261632 * 2 + 1, 3000000, 100, 4088, 262145, 5 };
    struct fixture f = start();

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t *bytes = make_bytes(sizes[i], (uint32_t)i);
        uint64_t size = 0;

        CHECK_OK(kvault_kv_put(f.kv, s("k"), (kvault_slice){ bytes, sizes[i] }, &err), &err);
        CHECK(holds(f.kv, "k", bytes, sizes[i]) && count(f.kv) == 1);
        CHECK_OK(kvault_kv_size(f.kv, s("k"), &size, &err), &err);
        CHECK(size == sizes[i] && verify(f.vault) == 0);
        free(bytes);
    }
    shut(&f);
}

static void limits_are_refused_with_the_value_and_the_limit(void)
{
    struct fixture f = start();
    uint8_t *key = make_bytes(65536, 1);

    CHECK_OK(kvault_kv_put(f.kv, (kvault_slice){ key, 65535 }, s("x"), &err), &err);
    CHECK_STATUS(kvault_kv_put(f.kv, (kvault_slice){ key, 65536 }, s("x"), &err), KVAULT_E_TOOBIG, &err);
    CHECK_MESSAGE(&err, "key is 65536 bytes, limit 65535");
    CHECK_STATUS(kvault_kv_put(f.kv, s("k"), (kvault_slice){ key, ((size_t)1 << 40) + 1 }, &err), KVAULT_E_TOOBIG,
                 &err);
    CHECK_MESSAGE(&err, "limit 1099511627776");
    CHECK(count(f.kv) == 1);
    free(key);
    shut(&f);
}

static void a_range_is_read_out_of_a_large_value(void)
{
    struct fixture f = start();
    size_t size = 2000000, got = 0;
    uint8_t *bytes = make_bytes(size, 7), part[5000];

    CHECK_OK(kvault_kv_put(f.kv, s("k"), (kvault_slice){ bytes, size }, &err), &err);
    for (size_t offset = 0; offset < size; offset += 77777) {
        size_t want = size - offset < sizeof part ? size - offset : sizeof part;

        CHECK_OK(kvault_kv_read(f.kv, s("k"), offset, part, sizeof part, &got, &err), &err);
        CHECK(got == want && memcmp(part, bytes + offset, got) == 0);
    }
    CHECK_OK(kvault_kv_read(f.kv, s("k"), size + 5, part, sizeof part, &got, &err), &err);
    CHECK(got == 0);
    free(bytes);
    shut(&f);
}

/* Each range lands between two guards: a whole piece is read to where its data goes, and is longer than that. */
static void check_range(kvault_blob *blob, const uint8_t *bytes, size_t size, size_t offset, size_t want)
{
    enum { GUARD = 64 };
    size_t rest = offset < size ? size - offset : 0, expected = want < rest ? want : rest, got = 0;
    uint8_t *part = malloc(expected + 2 * GUARD);

    memset(part, 0xA5, expected + 2 * GUARD);
    CHECK_OK(kvault_blob_read(blob, offset, part + GUARD, want, &got, &err), &err);
    CHECK(got == expected && memcmp(part + GUARD, bytes + offset, expected) == 0);
    for (size_t i = 0; i < GUARD; i++)
        CHECK(part[i] == 0xA5 && part[GUARD + expected + i] == 0xA5);
    free(part);
}

static void every_kind_of_range_is_read_out_of_a_stream(void)
{
    enum { PIECE = 261632, BLOCK = 4088 };
    static const size_t offsets[] = { 0, 1, BLOCK - 1, BLOCK, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE - 5, 3 * PIECE, 7 * PIECE + 9 };
    static const size_t wants[] = { 1,           2,         BLOCK,         PIECE - 1,     PIECE,          PIECE + 1,
                                    2 * PIECE,   1 << 20,   4 * PIECE + 3, 9 * PIECE + 1, 11 * PIECE - 7, 20 * PIECE };
    struct fixture f = start();
    size_t size = 12 * PIECE + 12345;
    uint8_t *bytes = make_bytes(size, 29);
    kvault_blob *blob = NULL;

    CHECK_OK(kvault_kv_put(f.kv, s("k"), (kvault_slice){ bytes, size }, &err), &err);
    CHECK_OK(kvault_blob_open_read(f.kv, s("k"), &blob, &err), &err);
    for (size_t o = 0; o < sizeof offsets / sizeof offsets[0]; o++)
        for (size_t w = 0; w < sizeof wants / sizeof wants[0]; w++)
            check_range(blob, bytes, size, offsets[o], wants[w]);
    check_range(blob, bytes, size, size - 3, 100);
    kvault_blob_free(blob);
    free(bytes);
    shut(&f);
}

static void a_missing_piece_is_an_error_that_names_it(void)
{
    struct fixture f = start();
    size_t size = 2000000;
    uint8_t *bytes = make_bytes(size, 31), *got = malloc(size);
    uint64_t have = 0;
    sqlite3 *db = NULL;
    size_t part = 0;

    CHECK_OK(kvault_kv_put(f.kv, s("k"), (kvault_slice){ bytes, size }, &err), &err);
    CHECK(sqlite3_open(f.path, &db) == SQLITE_OK &&
          sqlite3_exec(db, "DELETE FROM kv_pieces WHERE id & 0xFFFFFFFF = 3", NULL, NULL, NULL) == SQLITE_OK);
    CHECK(sqlite3_close(db) == SQLITE_OK);
    CHECK_STATUS(kvault_kv_get(f.kv, s("k"), got, size, &have, &err), KVAULT_E_CORRUPT, &err);
    CHECK_MESSAGE(&err, "piece 3");
    CHECK_OK(kvault_kv_read(f.kv, s("k"), 0, got, 3 * 261632, &part, &err), &err);
    CHECK(part == 3 * 261632 && memcmp(got, bytes, part) == 0);
    CHECK_OK(kvault_kv_read(f.kv, s("k"), 4 * 261632, got, size, &part, &err), &err);
    CHECK(part == size - 4 * 261632 && memcmp(got, bytes + 4 * 261632, part) == 0);
    free(bytes);
    free(got);
    shut(&f);
}

static void pop_add_and_pop_last_are_one_step(void)
{
    struct fixture f = start();
    kvault_buf key = KVAULT_BUF_INIT, value = KVAULT_BUF_INIT;

    CHECK_OK(kvault_kv_add(f.kv, s("a"), s("1"), &value, &err), &err);
    CHECK_STATUS(kvault_kv_add(f.kv, s("a"), s("2"), &value, &err), KVAULT_END, &err);
    CHECK(value.size == 1 && value.data[0] == '1');
    kvault_buf_free(&value);
    CHECK_OK(kvault_kv_put(f.kv, s("z"), s("last"), &err), &err);
    CHECK_OK(kvault_kv_pop_last(f.kv, &key, &value, &err), &err);
    CHECK(key.size == 1 && key.data[0] == 'z' && value.size == 4);
    kvault_buf_free(&key);
    kvault_buf_free(&value);
    CHECK_OK(kvault_kv_pop(f.kv, s("a"), &value, &err), &err);
    kvault_buf_free(&value);
    CHECK_STATUS(kvault_kv_pop(f.kv, s("a"), &value, &err), KVAULT_NOT_FOUND, &err);
    CHECK_STATUS(kvault_kv_pop_last(f.kv, &key, &value, &err), KVAULT_NOT_FOUND, &err);
    shut(&f);
}

/* ---- batches ---- */

static void a_batch_is_all_or_nothing_and_in_order(void)
{
    struct fixture f = start();
    uint8_t *large = make_bytes(600000, 3);
    kvault_kv_pair pairs[] = {
        { s("a"), s("1") }, { s("b"), { large, 600000 } }, { s("a"), s("2") }, { s("b"), s("3") }
    };
    kvault_slice keys[] = { s("a"), s("nothing"), s("b") };
    kvault_buf values = KVAULT_BUF_INIT;
    size_t sizes[3], deleted = 0;

    CHECK_OK(kvault_kv_put_many(f.kv, pairs, 4, &err), &err);
    CHECK_OK(kvault_kv_get_many(f.kv, keys, 3, &values, sizes, &err), &err);
    CHECK(sizes[0] == 1 && sizes[1] == SIZE_MAX && sizes[2] == 1 && memcmp(values.data, "23", 2) == 0);
    kvault_buf_free(&values);
    CHECK_OK(kvault_kv_delete_many(f.kv, keys, 3, &deleted, &err), &err);
    CHECK(deleted == 2 && count(f.kv) == 0 && verify(f.vault) == 0);
    free(large);
    shut(&f);
}

/* ---- the write cache ---- */

static void pending_writes_are_seen_by_every_read(void)
{
    struct fixture f = start();
    kvault_kv_scan_options all = { .with_values = true, .limit = UINT64_MAX };
    kvault_kv_scan *scan;
    kvault_slice key, value;
    uint64_t flushed = 0;

    CHECK_OK(kvault_kv_put(f.kv, s("a"), s("file"), &err), &err);
    CHECK_OK(kvault_kv_put(f.kv, s("c"), s("file"), &err), &err);
    cache_on(f.vault, 1 << 20, 1 << 19);
    CHECK_OK(kvault_kv_put(f.kv, s("a"), s("new"), &err), &err);
    CHECK_OK(kvault_kv_put(f.kv, s("b"), s("new"), &err), &err);
    CHECK_OK(kvault_kv_delete(f.kv, s("c"), &err), &err);
    CHECK_STATUS(kvault_kv_delete(f.kv, s("c"), &err), KVAULT_NOT_FOUND, &err);
    CHECK(holds(f.kv, "a", "new", 3) && count(f.kv) == 2);
    CHECK_STATUS(kvault_kv_exists(f.kv, s("c"), &err), KVAULT_NOT_FOUND, &err);
    CHECK_OK(kvault_kv_scan_open(f.kv, &all, &scan, &err), &err);
    CHECK_OK(kvault_kv_scan_next(scan, &key, &value, &err), &err);
    CHECK(key.size == 1 && memcmp(key.data, "a", 1) == 0 && value.size == 3);
    CHECK_OK(kvault_kv_scan_next(scan, &key, &value, &err), &err);
    CHECK(memcmp(key.data, "b", 1) == 0);
    CHECK_STATUS(kvault_kv_scan_next(scan, &key, &value, &err), KVAULT_END, &err);
    kvault_kv_scan_free(scan);
    CHECK_OK(kvault_flush(f.vault, &flushed, &err), &err);
    CHECK(flushed == 3 && count(f.kv) == 2 && holds(f.kv, "a", "new", 3));
    shut(&f);
}

static void the_cache_flushes_at_its_threshold_and_never_exceeds_its_capacity(void)
{
    struct fixture f = start();
    uint8_t *bytes = make_bytes(300000, 9);
    kvault_stats stats;

    cache_on(f.vault, 100000, 50000);
    for (int i = 0; i < 3000; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "%d", i);
        CHECK_OK(kvault_kv_put(f.kv, s(key), (kvault_slice){ bytes, 100 }, &err), &err);
        CHECK_OK(kvault_get_stats(f.vault, &stats, &err), &err);
        CHECK(stats.pending_bytes <= 100000);
    }
    CHECK(stats.flushes > 3 && count(f.kv) == 3000);
    CHECK_OK(kvault_kv_put(f.kv, s("big"), (kvault_slice){ bytes, 300000 }, &err), &err);
    CHECK_OK(kvault_get_stats(f.vault, &stats, &err), &err);
    CHECK(stats.pending_entries == 0 && holds(f.kv, "big", bytes, 300000));
    free(bytes);
    shut(&f);
}

static void a_batch_that_cannot_be_pending_is_committed(void)
{
    kvault_kv_pair pairs[2] = { { s("a"), s("1") }, { s("b"), s("2") } };
    kvault_slice keys[4] = { s("b"), s("none"), s("a"), s("b") };
    struct fixture f = start();
    size_t deleted = 0;

    cache_on(f.vault, 8, 8);
    CHECK_OK(kvault_kv_put_many(f.kv, pairs, 2, &err), &err);
    CHECK(!kvault_has_pending(f.vault));
    CHECK_OK(kvault_kv_delete_many(f.kv, keys, 4, &deleted, &err), &err);
    CHECK(deleted == 2);
    CHECK(kvault_kv_exists(f.kv, s("a"), &err) == KVAULT_NOT_FOUND);
    cache_on(f.vault, 1 << 20, 1 << 20);
    CHECK_OK(kvault_kv_put_many(f.kv, pairs, 2, &err), &err);
    CHECK_OK(kvault_kv_delete_many(f.kv, keys, 4, &deleted, &err), &err);
    CHECK(deleted == 2);
    CHECK(kvault_has_pending(f.vault));
    CHECK(kvault_kv_exists(f.kv, s("b"), &err) == KVAULT_NOT_FOUND);
    shut(&f);
}

static void what_was_made_from_a_handle_ends_with_it(void)
{
    struct fixture f = start();
    kvault *child = NULL;
    kvault_kv *kv = NULL;
    uint64_t count;

    CHECK_OK(kvault_dup(f.vault, &child, &err), &err);
    CHECK_OK(kvault_kv_open(child, "other", &kv, &err), &err);
    CHECK_OK(kvault_close(f.vault, &err), &err);
    CHECK(kvault_is_closed(child));
    CHECK(kvault_kv_count(kv, &count, &err) == KVAULT_E_CLOSED);
    CHECK(strcmp(kvault_kv_table(kv), "other") == 0);
    CHECK(strcmp(kvault_path(child), f.path) == 0);
    kvault_kv_free(kv);
    kvault_free(child);
    kvault_kv_free(f.kv);
    kvault_free(f.vault);
}

static kvault_status note_table(void *ctx, const char *table, kvault_error *reterr)
{
    char *seen = ctx;
    size_t length = strlen(seen);

    (void)reterr;
    if (strcmp(table, "stop") == 0)
        return KVAULT_E_INTERRUPTED;
    (void)snprintf(seen + length, 256 - length, "%s ", table);
    return KVAULT_OK;
}

static void the_tables_are_listed_by_name(void)
{
    struct fixture f = start();
    static const char *const names[] = { "zz", "Other", "stop" };
    char seen[256] = "";
    kvault_kv *kv;

    for (int i = 0; i < 3; i++) {
        CHECK_OK(kvault_kv_open(f.vault, names[i], &kv, &err), &err);
        kvault_kv_free(kv);
        if (i == 1) {
            CHECK_OK(kvault_kv_list_tables(f.vault, note_table, seen, &err), &err);
            CHECK(strcmp(seen, "Other kvault zz ") == 0);
        }
    }
    CHECK(kvault_kv_list_tables(f.vault, note_table, seen, &err) == KVAULT_E_INTERRUPTED);
    CHECK_OK(kvault_close(f.vault, &err), &err);
    CHECK(kvault_kv_list_tables(f.vault, note_table, seen, &err) == KVAULT_E_CLOSED);
    kvault_kv_free(f.kv);
    kvault_free(f.vault);
}

static void a_commit_carries_what_is_pending(void)
{
    struct fixture f = start();
    kvault *other;
    kvault_kv *direct;
    kvault_stats stats;

    cache_on(f.vault, 1 << 20, 1 << 19);
    CHECK_OK(kvault_open(f.path, NULL, &other, &err), &err);
    CHECK_OK(kvault_kv_open(other, NULL, &direct, &err), &err);
    CHECK_OK(kvault_kv_put(f.kv, s("first"), s("1"), &err), &err);
    CHECK_OK(kvault_kv_put(direct, s("second"), s("2"), &err), &err);
    CHECK_OK(kvault_get_stats(f.vault, &stats, &err), &err);
    CHECK(stats.pending_entries == 0 && count(direct) == 2);
    /* The same key pending and written directly: the later write wins. */
    CHECK_OK(kvault_kv_put(f.kv, s("k"), s("old"), &err), &err);
    CHECK_OK(kvault_kv_put(direct, s("k"), s("new"), &err), &err);
    CHECK(holds(f.kv, "k", "new", 3) && count(f.kv) == 3);
    kvault_kv_free(direct);
    CHECK_OK(kvault_close(other, &err), &err);
    kvault_free(other);
    shut(&f);
}

static void a_locked_cache_flushes_nothing_until_it_is_left(void)
{
    struct fixture f = start();
    kvault_buf value = KVAULT_BUF_INIT;
    uint64_t flushed = 7;

    CHECK_OK(kvault_cache_lock(f.vault, &err), &err);
    CHECK_OK(kvault_kv_put(f.kv, s("a"), s("1"), &err), &err);
    CHECK_OK(kvault_flush(f.vault, &flushed, &err), &err);
    CHECK(flushed == 0 && holds(f.kv, "a", "1", 1));
    CHECK_STATUS(kvault_kv_pop(f.kv, s("a"), &value, &err), KVAULT_E_INVALID, &err);
    CHECK_MESSAGE(&err, "lock_cache()");
    CHECK_STATUS(kvault_begin(f.vault, &err), KVAULT_E_INVALID, &err);
    CHECK_STATUS(kvault_close(f.vault, &err), KVAULT_E_INVALID, &err);
    CHECK_OK(kvault_cache_unlock(f.vault, &err), &err);
    CHECK(!kvault_has_pending(f.vault) && holds(f.kv, "a", "1", 1));
    shut(&f);
}

/* ---- transactions and snapshots ---- */

static void a_rollback_undoes_and_a_nested_one_only_its_part(void)
{
    struct fixture f = start();
    uint8_t *large = make_bytes(700000, 5);

    CHECK_OK(kvault_kv_put(f.kv, s("a"), s("1"), &err), &err);
    CHECK_OK(kvault_begin(f.vault, &err), &err);
    CHECK_OK(kvault_kv_put(f.kv, s("b"), (kvault_slice){ large, 700000 }, &err), &err);
    CHECK_OK(kvault_begin(f.vault, &err), &err);
    CHECK_OK(kvault_kv_clear(f.kv, &err), &err);
    CHECK(count(f.kv) == 0 && kvault_depth(f.vault) == 2);
    CHECK_OK(kvault_rollback(f.vault, &err), &err);
    CHECK(count(f.kv) == 2 && holds(f.kv, "b", large, 700000));
    CHECK_OK(kvault_commit(f.vault, &err), &err);
    CHECK(count(f.kv) == 2 && kvault_depth(f.vault) == 0);
    CHECK_OK(kvault_begin(f.vault, &err), &err);
    CHECK_OK(kvault_kv_delete(f.kv, s("b"), &err), &err);
    CHECK_OK(kvault_rollback(f.vault, &err), &err);
    CHECK(holds(f.kv, "b", large, 700000) && verify(f.vault) == 0);
    CHECK_STATUS(kvault_commit(f.vault, &err), KVAULT_E_INVALID, &err);
    free(large);
    shut(&f);
}

static void a_table_opened_in_a_transaction_stays_when_it_is_undone(void)
{
    struct fixture f = start();
    kvault_kv *inner = NULL, *nested = NULL;
    uint64_t count = 1;

    CHECK_OK(kvault_begin(f.vault, &err), &err);
    CHECK_OK(kvault_kv_open(f.vault, "inner", &inner, &err), &err);
    CHECK_OK(kvault_kv_put(inner, s("k"), s("undone"), &err), &err);
    CHECK_OK(kvault_begin(f.vault, &err), &err);
    CHECK_OK(kvault_kv_open(f.vault, "nested", &nested, &err), &err);
    CHECK_OK(kvault_rollback(f.vault, &err), &err);
    CHECK_OK(kvault_kv_put(nested, s("k"), s("undone"), &err), &err);
    CHECK_OK(kvault_rollback(f.vault, &err), &err);
    CHECK_OK(kvault_kv_count(inner, &count, &err), &err);
    CHECK(count == 0);
    CHECK_OK(kvault_kv_put(inner, s("k"), s("v"), &err), &err);
    CHECK_OK(kvault_kv_put(nested, s("k"), s("v"), &err), &err);
    CHECK(verify(f.vault) == 0);
    kvault_kv_free(nested);
    kvault_kv_free(inner);
    shut(&f);
}

static void a_snapshot_stays_and_refuses_writes(void)
{
    struct fixture f = start();
    kvault *snapshot;
    kvault_kv *past;

    cache_on(f.vault, 1 << 20, 1 << 19);
    CHECK_OK(kvault_kv_put(f.kv, s("a"), s("then"), &err), &err);
    CHECK_OK(kvault_snapshot(f.vault, &snapshot, &err), &err);
    CHECK_OK(kvault_kv_open(snapshot, NULL, &past, &err), &err);
    CHECK_OK(kvault_kv_put(f.kv, s("a"), s("now"), &err), &err);
    CHECK_OK(kvault_kv_put(f.kv, s("b"), s("now"), &err), &err);
    CHECK(holds(past, "a", "then", 4) && count(past) == 1 && count(f.kv) == 2);
    CHECK_STATUS(kvault_kv_put(past, s("c"), s("x"), &err), KVAULT_E_READONLY, &err);
    CHECK_OK(kvault_flush(f.vault, NULL, &err), &err);
    CHECK(holds(past, "a", "then", 4));
    kvault_kv_free(past);
    CHECK_OK(kvault_close(snapshot, &err), &err);
    kvault_free(snapshot);
    shut(&f);
}

static void a_backup_is_a_whole_file(void)
{
    struct fixture f = start(), copy;
    uint8_t *large = make_bytes(900000, 6);

    CHECK_OK(kvault_kv_put(f.kv, s("big"), (kvault_slice){ large, 900000 }, &err), &err);
    (void)snprintf(copy.path, sizeof copy.path, "%.100s.backup", f.path);
    CHECK_STATUS(kvault_backup(f.vault, f.path, NULL, NULL, &err), KVAULT_E_INVALID, &err);
    CHECK_OK(kvault_backup(f.vault, copy.path, NULL, NULL, &err), &err);
    reopen(&copy);
    CHECK(holds(copy.kv, "big", large, 900000) && verify(copy.vault) == 0);
    shut(&copy);
    free(large);
    shut(&f);
}

static void a_vault_in_memory_does_the_same(void)
{
    struct fixture f = { .path = ":memory:" };
    kvault *snapshot;
    kvault_kv *past;

    reopen(&f);
    CHECK_OK(kvault_kv_put(f.kv, s("a"), s("1"), &err), &err);
    CHECK_OK(kvault_snapshot(f.vault, &snapshot, &err), &err);
    CHECK_OK(kvault_kv_open(snapshot, NULL, &past, &err), &err);
    CHECK_OK(kvault_kv_put(f.kv, s("a"), s("22"), &err), &err);
    CHECK(holds(past, "a", "1", 1) && holds(f.kv, "a", "22", 2) && count(f.kv) == 1 && verify(f.vault) == 0);
    kvault_kv_free(past);
    CHECK_OK(kvault_close(snapshot, &err), &err);
    kvault_free(snapshot);
    shut(&f);
}

/* ---- scans ---- */

static int scan_count(kvault_kv *kv, const char *prefix, size_t prefix_size, bool reverse)
{
    kvault_kv_scan_options options = { .prefix = { prefix, prefix_size }, .reverse = reverse, .limit = UINT64_MAX };
    kvault_kv_scan *scan;
    kvault_slice key;
    int n = 0;

    CHECK_OK(kvault_kv_scan_open(kv, &options, &scan, &err), &err);
    while (kvault_kv_scan_next(scan, &key, NULL, &err) == KVAULT_OK)
        n++;
    kvault_kv_scan_free(scan);
    return n;
}

static void a_prefix_may_end_in_ff(void)
{
    struct fixture f = start();
    static const kvault_slice keys[] = { { "a\xff", 2 }, { "a\xff\x00", 3 }, { "a\xff\xff", 3 }, { "b", 1 },
                                         { "\xff", 1 },  { "\xff\xff", 2 },  { "a", 1 } };

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        CHECK_OK(kvault_kv_put(f.kv, keys[i], s("v"), &err), &err);
    for (int reverse = 0; reverse < 2; reverse++) {
        CHECK(scan_count(f.kv, "a\xff", 2, reverse) == 3);
        CHECK(scan_count(f.kv, "\xff", 1, reverse) == 2);
        CHECK(scan_count(f.kv, "\xff\xff", 2, reverse) == 1);
        CHECK(scan_count(f.kv, "", 0, reverse) == 7);
        CHECK(scan_count(f.kv, "c", 1, reverse) == 0);
    }
    shut(&f);
}

/* Keys 0, 2, 4... stay; odd ones come and go while the scan runs, with the cache on or off. */
static void scan_while_writing(bool cached, bool reverse)
{
    enum { STABLE = 2000 };
    struct fixture f = start();
    kvault_kv_scan_options options = { .with_values = true, .reverse = reverse, .limit = UINT64_MAX };
    kvault_kv_scan *scan;
    kvault_slice key, value;
    int seen[STABLE] = { 0 }, steps = 0, last = reverse ? 1 << 30 : -1;
    uint32_t seed = 12345;
    char text[16];

    for (int i = 0; i < STABLE; i++) {
        (void)snprintf(text, sizeof text, "%06d", 2 * i);
        CHECK_OK(kvault_kv_put(f.kv, s(text), s(text), &err), &err);
        if (i == STABLE / 2 && cached)
            cache_on(f.vault, 1 << 20, 1 << 14);
    }
    CHECK_OK(kvault_kv_scan_open(f.kv, &options, &scan, &err), &err);
    while (kvault_kv_scan_next(scan, &key, &value, &err) == KVAULT_OK) {
        int number;

        (void)snprintf(text, sizeof text, "%.6s", (const char *)key.data);
        number = atoi(text);
        CHECK(key.size == 6 && value.size == 6 && memcmp(key.data, value.data, 6) == 0);
        CHECK(reverse ? number < last : number > last);
        last = number;
        if (number % 2 == 0)
            seen[number / 2]++;
        for (int i = 0; i < 3; i++, steps++) {
            seed = seed * 1664525u + 1013904223u;
            (void)snprintf(text, sizeof text, "%06d", (int)(seed >> 8) % STABLE * 2 + 1);
            if (seed >> 31)
                CHECK(kvault_kv_put(f.kv, s(text), s(text), &err) == KVAULT_OK);
            else
                CHECK(kvault_kv_delete(f.kv, s(text), &err) >= 0);
        }
    }
    for (int i = 0; i < STABLE; i++)
        if (seen[i] != 1)
            CHECK_NEVER("a key that was there throughout did not come exactly once");
    kvault_kv_scan_free(scan);
    CHECK(verify(f.vault) == 0);
    shut(&f);
}

static void a_scan_survives_writes(void)
{
    for (int variant = 0; variant < 4; variant++)
        scan_while_writing(variant & 1, variant & 2);
}

/* ---- streams ---- */

static void write_stream(struct fixture *f, const char *key, const uint8_t *bytes, size_t size, size_t step,
                         bool publish)
{
    kvault_blob *blob;

    CHECK_OK(kvault_blob_open_write(f->kv, s(key), &blob, &err), &err);
    for (size_t at = 0; at < size; at += step)
        CHECK_OK(kvault_blob_write(blob, (kvault_slice){ bytes + at, size - at < step ? size - at : step }, &err),
                 &err);
    CHECK(kvault_blob_size(blob) == size);
    if (publish)
        CHECK_OK(kvault_blob_publish(blob, &err), &err);
    else
        kvault_blob_abort(blob);
    kvault_blob_free(blob);
}

static void a_stream_appears_when_it_is_published(void)
{
    struct fixture f = start();
    size_t size = 20000000, got, at = 0;
    uint8_t *bytes = make_bytes(size, 11), *part = malloc(1 << 20);
    kvault_blob *blob;

    CHECK_OK(kvault_kv_put(f.kv, s("k"), s("old"), &err), &err);
    write_stream(&f, "k", bytes, size, 300001, false);
    CHECK(holds(f.kv, "k", "old", 3) && verify(f.vault) == 0);
    write_stream(&f, "k", bytes, size, 300001, true);
    CHECK(holds(f.kv, "k", bytes, size) && verify(f.vault) == 0);
    CHECK_OK(kvault_blob_open_read(f.kv, s("k"), &blob, &err), &err);
    CHECK_OK(kvault_kv_put(f.kv, s("k"), s("replaced"), &err), &err); /* the reader goes on with what it opened */
    do {
        CHECK_OK(kvault_blob_read(blob, at, part, 1 << 20, &got, &err), &err);
        CHECK(memcmp(part, bytes + at, got) == 0);
        at += got;
    } while (got);
    CHECK(at == size);
    kvault_blob_free(blob);
    write_stream(&f, "small", bytes, 1000, 100, true);
    CHECK(holds(f.kv, "small", bytes, 1000) && holds(f.kv, "k", "replaced", 8) && verify(f.vault) == 0);
    free(part);
    free(bytes);
    shut(&f);
}

static void an_append_publishes_step_by_step_and_alone(void)
{
    static const size_t steps[] = { 10, 200000, 100000, 1, 3000000, 10000000, 261632 };
    struct fixture f = start();
    size_t size = 0;
    uint8_t *bytes = make_bytes(20000000, 13);
    kvault_blob *blob, *second;

    CHECK_OK(kvault_blob_open_append(f.kv, s("log"), &blob, &err), &err);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        CHECK_OK(kvault_blob_write(blob, (kvault_slice){ bytes + size, steps[i] }, &err), &err);
        if (i)
            CHECK(holds(f.kv, "log", bytes, size));
        size += steps[i];
        CHECK_OK(kvault_blob_publish(blob, &err), &err);
        CHECK(holds(f.kv, "log", bytes, size) && verify(f.vault) == 0);
    }
    CHECK_STATUS(kvault_blob_open_append(f.kv, s("log"), &second, &err), KVAULT_E_BUSY, &err);
    CHECK_MESSAGE(&err, "another appender");
    CHECK_OK(kvault_blob_write(blob, (kvault_slice){ bytes, 9000000 }, &err), &err);
    kvault_blob_abort(blob); /* what was not published is cut off again */
    kvault_blob_free(blob);
    CHECK(holds(f.kv, "log", bytes, size) && verify(f.vault) == 0);
    CHECK_OK(kvault_blob_open_append(f.kv, s("log"), &blob, &err), &err);
    CHECK_OK(kvault_blob_write(blob, (kvault_slice){ bytes + size, 12345 }, &err), &err);
    CHECK_OK(kvault_blob_publish(blob, &err), &err);
    kvault_blob_abort(blob);
    kvault_blob_free(blob);
    CHECK(holds(f.kv, "log", bytes, size + 12345));
    free(bytes);
    shut(&f);
}

static void replaced_pieces_are_swept(void)
{
    struct fixture f = start();
    uint8_t *bytes = make_bytes(4000000, 17);
    kvault_stats before, after;

    CHECK_OK(kvault_kv_put(f.kv, s("k"), (kvault_slice){ bytes, 4000000 }, &err), &err);
    for (int i = 0; i < 20; i++)
        CHECK_OK(kvault_kv_put(f.kv, s("k"), (kvault_slice){ bytes, 4000000 }, &err), &err);
    CHECK_OK(kvault_get_stats(f.vault, &before, &err), &err);
    for (int i = 0; i < 20; i++)
        CHECK_OK(kvault_kv_put(f.kv, s("k"), (kvault_slice){ bytes, 4000000 }, &err), &err);
    CHECK_OK(kvault_get_stats(f.vault, &after, &err), &err);
    CHECK(after.pages <= before.pages + 1000 && verify(f.vault) == 0);
    free(bytes);
    shut(&f);
}

/* ---- forks ---- */

/* SQLite loses a child's commits if connections are open across the fork; ours are not. */
static void a_childs_commits_are_there_when_the_parent_has_closed(void)
{
    struct fixture f = start();
    int status = 1;
    pid_t child;

    CHECK_OK(kvault_kv_put(f.kv, s("parent"), s("1"), &err), &err);
    CHECK(holds(f.kv, "parent", "1", 1));
    fflush(stdout);
    kvault_before_fork();
    child = fork();
    if (child == 0) {
        int failed = 0;

        kvault_after_fork_child();
        for (int i = 0; i < 100; i++) {
            char key[16];

            (void)snprintf(key, sizeof key, "child%d", i);
            failed += kvault_kv_put(f.kv, s(key), s("2"), &err) != KVAULT_OK;
        }
        failed += kvault_close(f.vault, &err) != KVAULT_OK;
        _exit(failed != 0);
    }
    kvault_after_fork_parent();
    CHECK_OK(kvault_kv_put(f.kv, s("parent2"), s("1"), &err), &err);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(count(f.kv) == 102);
    shut(&f);
    reopen(&f);
    CHECK(count(f.kv) == 102 && verify(f.vault) == 0);
    shut(&f);
}

static void a_child_of_a_transaction_is_refused(void)
{
    struct fixture f = start();
    int status = 1;
    pid_t child;

    CHECK_OK(kvault_begin(f.vault, &err), &err);
    CHECK_OK(kvault_kv_put(f.kv, s("a"), s("1"), &err), &err);
    fflush(stdout);
    kvault_before_fork();
    child = fork();
    if (child == 0) {
        kvault_after_fork_child();
        _exit(kvault_kv_put(f.kv, s("b"), s("1"), &err) != KVAULT_E_FORKED);
    }
    kvault_after_fork_parent();
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK_OK(kvault_commit(f.vault, &err), &err);
    CHECK(count(f.kv) == 1);
    shut(&f);
}

/* ---- large transactions, a log that cannot shrink ---- */

static void put_megabytes(kvault_kv *kv, int megabytes, uint32_t seed)
{
    uint8_t *bytes = make_bytes(200000, seed);
    char key[32];

    for (int i = 0; i < megabytes * 5; i++) {
        (void)snprintf(key, sizeof key, "%u-%06d", seed, i);
        CHECK_OK(kvault_kv_put(kv, s(key), (kvault_slice){ bytes, 200000 }, &err), &err);
    }
    free(bytes);
}

static void each_commit_that_fills_the_log_is_followed_by_a_checkpoint(void)
{
    struct fixture f = start();
    kvault_stats before, after;

    CHECK_OK(kvault_get_stats(f.vault, &before, &err), &err);
    for (uint32_t i = 0; i < 4; i++) {
        CHECK_OK(kvault_begin(f.vault, &err), &err);
        put_megabytes(f.kv, 18, i);
        CHECK_OK(kvault_commit(f.vault, &err), &err);
    }
    CHECK_OK(kvault_get_stats(f.vault, &after, &err), &err);
    CHECK(after.checkpoints == before.checkpoints + 4);
    CHECK(after.wal_bytes < (uint64_t)24 << 20);
    shut(&f);
}

/* SQLite 3.40 would lose committed rows here: a spilled transaction, a savepoint undone, a commit, a kill. */
static void a_transaction_that_outgrew_its_cache_is_undone_as_a_whole(void)
{
    struct fixture f = start();

    CHECK_OK(kvault_kv_put(f.kv, s("before"), s("1"), &err), &err);
    CHECK_OK(kvault_begin(f.vault, &err), &err);
    put_megabytes(f.kv, 120, 1);
    CHECK_OK(kvault_begin(f.vault, &err), &err);
    CHECK_OK(kvault_kv_put(f.kv, s("inner"), s("1"), &err), &err);
    CHECK_STATUS(kvault_rollback(f.vault, &err), KVAULT_E_IO, &err);
    CHECK_MESSAGE(&err, "outgrown its page cache");
    CHECK_STATUS(kvault_kv_put(f.kv, s("after"), s("1"), &err), KVAULT_E_IO, &err);
    CHECK_STATUS(kvault_commit(f.vault, &err), KVAULT_E_IO, &err);
    CHECK(kvault_depth(f.vault) == 0 && count(f.kv) == 1 && holds(f.kv, "before", "1", 1));
    CHECK_OK(kvault_kv_put(f.kv, s("after"), s("1"), &err), &err);
    CHECK(verify(f.vault) == 0);
    shut(&f);
}

static int warnings;

static void on_warning(void *ctx, const char *message)
{
    (void)ctx;
    CHECK(strstr(message, "cannot shrink") != NULL);
    warnings++;
}

static void a_pinned_reader_makes_a_warning_and_no_stall(void)
{
    struct fixture f = { .vault = NULL };
    kvault_options options;
    kvault_stats stats;
    kvault *snapshot;

    warnings = 0;
    kvault_options_init(&options);
    options.warn = on_warning;
    (void)snprintf(f.path, sizeof f.path, "%s/pinned.kv", folder);
    CHECK_OK(kvault_open(f.path, &options, &f.vault, &err), &err);
    CHECK_OK(kvault_kv_open(f.vault, NULL, &f.kv, &err), &err);
    put_megabytes(f.kv, 100, 1);
    CHECK_OK(kvault_get_stats(f.vault, &stats, &err), &err);
    CHECK(warnings == 0 && !stats.wal_pinned && stats.wal_bytes < (64u << 20));
    CHECK_OK(kvault_snapshot(f.vault, &snapshot, &err), &err);
    put_megabytes(f.kv, 100, 2);
    CHECK_OK(kvault_get_stats(f.vault, &stats, &err), &err);
    CHECK(warnings == 1 && stats.wal_pinned && stats.snapshots_open == 1);
    CHECK_OK(kvault_close(snapshot, &err), &err);
    kvault_free(snapshot);
    put_megabytes(f.kv, 40, 3);
    CHECK_OK(kvault_get_stats(f.vault, &stats, &err), &err);
    CHECK(warnings == 1 && !stats.wal_pinned && stats.wal_bytes <= (64u << 20));
    shut(&f);
}

/* ---- other programs ---- */

static void a_busy_file_names_the_process_that_has_it(void)
{
    struct fixture f = start();
    kvault_options options;
    int ready[2], done[2], status = 1;
    char byte, pid_text[32];
    pid_t child;

    shut(&f);
    CHECK(pipe(ready) == 0 && pipe(done) == 0);
    fflush(stdout);
    child = fork();
    if (child == 0) {
        reopen(&f);
        status = kvault_begin(f.vault, &err) != KVAULT_OK || kvault_kv_put(f.kv, s("a"), s("1"), &err) != KVAULT_OK;
        status |= write(ready[1], "r", 1) != 1 || read(done[0], &byte, 1) != 1;
        _exit(status || kvault_commit(f.vault, &err) != KVAULT_OK);
    }
    CHECK(read(ready[0], &byte, 1) == 1);
    kvault_options_init(&options);
    options.busy_timeout_ms = 200;
    CHECK_OK(kvault_open(f.path, &options, &f.vault, &err), &err);
    CHECK_OK(kvault_kv_open(f.vault, NULL, &f.kv, &err), &err);
    CHECK(count(f.kv) == 0); /* a reader is not in its way */
    CHECK_STATUS(kvault_kv_put(f.kv, s("b"), s("2"), &err), KVAULT_E_BUSY, &err);
    (void)snprintf(pid_text, sizeof pid_text, "process %ld", (long)child);
    CHECK_MESSAGE(&err, pid_text);
    CHECK(write(done[1], "d", 1) == 1);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK_OK(kvault_kv_put(f.kv, s("b"), s("2"), &err), &err);
    CHECK(count(f.kv) == 2);
    shut(&f);
}

/* Count another process's commit too: the number in memory must not outlive it. */
static void the_count_follows_another_processs_commits(void)
{
    struct fixture f = start();
    int status = 1;
    pid_t child;

    CHECK_OK(kvault_kv_put(f.kv, s("a"), s("1"), &err), &err);
    for (int round = 1; round < 4; round++) {
        CHECK(count(f.kv) == (uint64_t)round);
        fflush(stdout);
        kvault_before_fork();
        child = fork();
        if (child == 0) {
            char key[16];

            kvault_after_fork_child();
            (void)snprintf(key, sizeof key, "other%d", round);
            _exit(kvault_kv_put(f.kv, s(key), s("1"), &err) != KVAULT_OK || kvault_close(f.vault, &err) != KVAULT_OK);
        }
        kvault_after_fork_parent();
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    CHECK(count(f.kv) == 4);
    shut(&f);
}

/* ---- damaged and foreign files ---- */

static uint8_t *read_file(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(1 << 24);

    *ret_size = file ? fread(bytes, 1, 1 << 24, file) : 0;
    if (file)
        fclose(file);
    return bytes;
}

static void write_file(const char *path, const uint8_t *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");

    CHECK(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
}

static void flip(uint8_t *bytes, size_t size, const void *pattern, size_t pattern_size)
{
    for (size_t at = 0; at + pattern_size <= size; at++) {
        if (memcmp(bytes + at, pattern, pattern_size) == 0) {
            bytes[at + pattern_size / 2] ^= 0x40;
            return;
        }
    }
    CHECK_NEVER("the bytes to damage are not in the file");
}

static void a_damaged_value_is_an_error_that_names_it(void)
{
    struct fixture f = start();
    uint8_t *large = make_bytes(1000000, 23), *image;
    char got[64];
    size_t size, part;
    uint64_t have;

    CHECK_OK(kvault_kv_put(f.kv, s("good"), s("still readable"), &err), &err);
    CHECK_OK(kvault_kv_put(f.kv, s("bad"), s("these bytes will be damaged"), &err), &err);
    CHECK_OK(kvault_kv_put(f.kv, s("large"), (kvault_slice){ large, 1000000 }, &err), &err);
    shut(&f);
    image = read_file(f.path, &size);
    flip(image, size, "these bytes will be damaged", 27);
    flip(image, size, large + 700000, 64);
    write_file(f.path, image, size);
    reopen(&f);
    CHECK_STATUS(kvault_kv_get(f.kv, s("bad"), got, sizeof got, &have, &err), KVAULT_E_CORRUPT, &err);
    CHECK_MESSAGE(&err, "\"bad\"");
    CHECK_STATUS(kvault_kv_read(f.kv, s("large"), 699990, got, 60, &part, &err), KVAULT_E_CORRUPT, &err);
    CHECK_MESSAGE(&err, "piece 2");
    CHECK_OK(kvault_kv_read(f.kv, s("large"), 0, got, 60, &part, &err), &err);
    CHECK(memcmp(got, large, 60) == 0 && holds(f.kv, "good", "still readable", 14));
    CHECK(verify(f.vault) == 2);
    shut(&f);
    free(image);
    free(large);
}

static void a_foreign_newer_or_broken_file_is_refused_untouched(void)
{
    static const struct {
        size_t at;
        uint8_t byte;
        kvault_status want;
        const char *words;
    } cases[] = {
        { 68, 0x12, KVAULT_E_INVALID, "belongs to another program" }, /* application_id */
        { 63, 99, KVAULT_E_INVALID, "its format is number 99" },      /* user_version */
        { 0, 'X', KVAULT_E_CORRUPT, "not a database" },
    };
    struct fixture f = start();
    size_t size, after;
    uint8_t *image, *then;

    CHECK_OK(kvault_kv_put(f.kv, s("a"), s("1"), &err), &err);
    shut(&f);
    image = read_file(f.path, &size);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t was = image[cases[i].at];

        image[cases[i].at] = cases[i].byte;
        write_file(f.path, image, size);
        CHECK_STATUS(kvault_open(f.path, NULL, &f.vault, &err), cases[i].want, &err);
        CHECK_MESSAGE(&err, cases[i].words);
        then = read_file(f.path, &after);
        CHECK(after == size && memcmp(then, image, size) == 0);
        free(then);
        image[cases[i].at] = was;
    }
    write_file(f.path, image, size);
    reopen(&f);
    CHECK(holds(f.kv, "a", "1", 1));
    shut(&f);
    free(image);
}

static void a_read_only_handle_creates_nothing_and_writes_nothing(void)
{
    struct fixture f = start(), missing = { .vault = NULL };
    kvault_options options;

    kvault_options_init(&options);
    options.read_only = true;
    (void)snprintf(missing.path, sizeof missing.path, "%s/missing.kv", folder);
    CHECK(kvault_open(missing.path, &options, &missing.vault, &err) < 0);
    CHECK(access(missing.path, F_OK) != 0);
    CHECK_OK(kvault_kv_put(f.kv, s("a"), s("1"), &err), &err);
    shut(&f);
    CHECK_OK(kvault_open(f.path, &options, &f.vault, &err), &err);
    CHECK_OK(kvault_kv_open(f.vault, NULL, &f.kv, &err), &err);
    CHECK(holds(f.kv, "a", "1", 1));
    CHECK_STATUS(kvault_kv_put(f.kv, s("a"), s("2"), &err), KVAULT_E_READONLY, &err);
    shut(&f);
}

static void a_file_that_was_replaced_under_us_takes_no_commit(void)
{
    struct fixture f = start();
    size_t size;
    uint8_t *image;

    CHECK_OK(kvault_kv_put(f.kv, s("a"), s("1"), &err), &err);
    image = read_file(f.path, &size);
    CHECK(unlink(f.path) == 0);
    write_file(f.path, image, size);
    CHECK_STATUS(kvault_kv_put(f.kv, s("a"), s("2"), &err), KVAULT_E_IO, &err);
    CHECK_MESSAGE(&err, "replaced while it was open");
    shut(&f);
    free(image);
}

/* ---- other modes, other programs' tables ---- */

static void a_file_without_wal_does_the_same(void)
{
    struct fixture f = { .vault = NULL };
    kvault_options options;
    kvault *snapshot;
    kvault_kv *past;
    char wal[160];

    kvault_options_init(&options);
    options.enable_wal = false;
    options.durability = KVAULT_DURABILITY_FULL;
    (void)snprintf(f.path, sizeof f.path, "%s/journal.kv", folder);
    (void)snprintf(wal, sizeof wal, "%s-wal", f.path);
    CHECK_OK(kvault_open(f.path, &options, &f.vault, &err), &err);
    CHECK_OK(kvault_kv_open(f.vault, NULL, &f.kv, &err), &err);
    CHECK_OK(kvault_kv_put(f.kv, s("a"), s("1"), &err), &err);
    CHECK(access(wal, F_OK) != 0 && count(f.kv) == 1);
    cache_on(f.vault, 1 << 20, 1 << 19);
    CHECK_OK(kvault_kv_put(f.kv, s("b"), s("2"), &err), &err);
    CHECK_OK(kvault_kv_delete(f.kv, s("a"), &err), &err);
    CHECK(count(f.kv) == 1);
    CHECK_OK(kvault_flush(f.vault, NULL, &err), &err);
    CHECK_OK(kvault_snapshot(f.vault, &snapshot, &err), &err);
    CHECK_OK(kvault_kv_open(snapshot, NULL, &past, &err), &err);
    CHECK(holds(past, "b", "2", 1));
    kvault_kv_free(past);
    CHECK_OK(kvault_close(snapshot, &err), &err);
    kvault_free(snapshot);
    CHECK_OK(kvault_checkpoint(f.vault, &err), &err);
    CHECK(count(f.kv) == 1 && verify(f.vault) == 0);
    shut(&f);
}

static void an_option_that_contradicts_the_open_file_is_refused(void)
{
    struct fixture f = start();
    kvault_options options;
    kvault *other = NULL;

    kvault_options_init(&options);
    options.cache_bytes = 1 << 20; /* not given on purpose: the open file's counts */
    CHECK_OK(kvault_open(f.path, &options, &other, &err), &err);
    CHECK_OK(kvault_close(other, &err), &err);
    kvault_free(other);
    options.given = KVAULT_GIVEN_CACHE_BYTES;
    CHECK_STATUS(kvault_open(f.path, &options, &other, &err), KVAULT_E_INVALID, &err);
    CHECK_MESSAGE(&err, "cache_kb");
    shut(&f);
}

/* A table of key and value in a file without an application id, as the older implementation and others make it. */
static void a_plain_table_of_another_program_is_used_as_it_is(void)
{
    struct fixture f = { .vault = NULL };
    uint8_t *large = make_bytes(700000, 29);
    sqlite3 *db = NULL;
    kvault_blob *blob;

    (void)snprintf(f.path, sizeof f.path, "%s/plain.db", folder);
    CHECK(sqlite3_open(f.path, &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db,
                       "CREATE TABLE kv(key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL);"
                       "INSERT INTO kv VALUES (x'61', x'6f6c64')",
                       NULL, NULL, NULL) == SQLITE_OK);
    CHECK(sqlite3_close(db) == SQLITE_OK);
    reopen(&f);
    CHECK(strcmp(kvault_kv_table(f.kv), "kv") == 0 && holds(f.kv, "a", "old", 3));
    CHECK_OK(kvault_kv_put(f.kv, s("large"), (kvault_slice){ large, 700000 }, &err), &err);
    CHECK_OK(kvault_blob_open_write(f.kv, s("stream"), &blob, &err), &err);
    CHECK_OK(kvault_blob_write(blob, (kvault_slice){ large, 500000 }, &err), &err);
    CHECK_OK(kvault_blob_publish(blob, &err), &err);
    kvault_blob_free(blob);
    CHECK(holds(f.kv, "large", large, 700000) && holds(f.kv, "stream", large, 500000) && count(f.kv) == 3);
    CHECK(verify(f.vault) == 0);
    shut(&f);
    CHECK(sqlite3_open(f.path, &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, "SELECT key, value FROM kv", NULL, NULL, NULL) == SQLITE_OK);
    CHECK(sqlite3_exec(db, "SELECT 1 FROM kv_pieces", NULL, NULL, NULL) != SQLITE_OK); /* nothing of ours was added */
    CHECK(sqlite3_close(db) == SQLITE_OK);
    free(large);
}

/* ---- every allocation fails once ---- */

static kvault_status play(void *argument)
{
    struct fixture *f = argument;
    kvault_buf value = KVAULT_BUF_INIT, key = KVAULT_BUF_INIT;
    kvault_kv_scan_options all = { .with_values = true, .limit = UINT64_MAX };
    kvault_cache_setting on = { true, true, 1 << 20, 1 << 19, 0 }, off = { 0 };
    kvault_kv_scan *scan = NULL;
    kvault_blob *blob = NULL;
    kvault_slice k, v;
    kvault_status rc;
    char bytes[3000];

    memset(bytes, 'x', sizeof bytes);
    rc = kvault_kv_put(f->kv, s("a"), (kvault_slice){ bytes, sizeof bytes }, &err);
    if (rc >= 0)
        rc = kvault_cache_set(f->vault, &on, NULL, &err);
    if (rc >= 0)
        rc = kvault_kv_put(f->kv, s("b"), s("pending"), &err);
    if (rc >= 0)
        rc = kvault_kv_scan_open(f->kv, &all, &scan, &err);
    while (rc == KVAULT_OK)
        rc = kvault_kv_scan_next(scan, &k, &v, &err);
    kvault_kv_scan_free(scan);
    if (rc >= 0)
        rc = kvault_cache_set(f->vault, &off, NULL, &err);
    if (rc >= 0)
        rc = kvault_flush(f->vault, NULL, &err);
    if (rc >= 0)
        rc = kvault_kv_pop(f->kv, s("a"), &value, &err);
    kvault_buf_free(&value);
    if (rc >= 0)
        rc = kvault_blob_open_append(f->kv, s("c"), &blob, &err);
    if (rc >= 0)
        rc = kvault_blob_write(blob, (kvault_slice){ bytes, sizeof bytes }, &err);
    if (rc >= 0)
        rc = kvault_blob_publish(blob, &err);
    kvault_blob_free(blob);
    if (rc >= 0)
        rc = kvault_kv_pop_last(f->kv, &key, &value, &err);
    kvault_buf_free(&key);
    kvault_buf_free(&value);
    return rc;
}

/* A fresh engine each time, so that what it keeps (statements, sets) is made and freed within the run. */
static kvault_status open_play_close(void *argument)
{
    struct fixture f = *(struct fixture *)argument;
    kvault_status rc = kvault_open(f.path, NULL, &f.vault, &err);

    if (rc < 0)
        return rc;
    rc = kvault_kv_open(f.vault, NULL, &f.kv, &err);
    if (rc >= 0) {
        rc = play(&f);
        kvault_kv_free(f.kv);
    }
    kvtest_alloc_pause(true); /* closing must succeed, or what is pending stays with the flusher */
    CHECK(kvault_close(f.vault, &err) == KVAULT_OK);
    kvtest_alloc_pause(false);
    kvault_free(f.vault);
    return rc;
}

static void every_allocation_may_fail(void)
{
    struct fixture f = start();

    shut(&f);
    kvtest_each_alloc_fails(open_play_close, &f);
    reopen(&f);
    CHECK(verify(f.vault) == 0);
    shut(&f);
}

int main(void)
{
    char command[64];

    if (!mkdtemp(folder))
        return 1;
    RUN(a_value_comes_back_and_survives_a_reopen);
    RUN(values_of_every_size_change_into_each_other);
    RUN(limits_are_refused_with_the_value_and_the_limit);
    RUN(a_range_is_read_out_of_a_large_value);
    RUN(every_kind_of_range_is_read_out_of_a_stream);
    RUN(a_missing_piece_is_an_error_that_names_it);
    RUN(pop_add_and_pop_last_are_one_step);
    RUN(a_batch_is_all_or_nothing_and_in_order);
    RUN(pending_writes_are_seen_by_every_read);
    RUN(the_cache_flushes_at_its_threshold_and_never_exceeds_its_capacity);
    RUN(a_batch_that_cannot_be_pending_is_committed);
    RUN(what_was_made_from_a_handle_ends_with_it);
    RUN(the_tables_are_listed_by_name);
    RUN(a_commit_carries_what_is_pending);
    RUN(a_locked_cache_flushes_nothing_until_it_is_left);
    RUN(a_rollback_undoes_and_a_nested_one_only_its_part);
    RUN(a_table_opened_in_a_transaction_stays_when_it_is_undone);
    RUN(a_snapshot_stays_and_refuses_writes);
    RUN(a_backup_is_a_whole_file);
    RUN(a_vault_in_memory_does_the_same);
    RUN(a_prefix_may_end_in_ff);
    RUN(a_scan_survives_writes);
    RUN(a_stream_appears_when_it_is_published);
    RUN(an_append_publishes_step_by_step_and_alone);
    RUN(replaced_pieces_are_swept);
    RUN(a_childs_commits_are_there_when_the_parent_has_closed);
    RUN(a_child_of_a_transaction_is_refused);
    RUN(each_commit_that_fills_the_log_is_followed_by_a_checkpoint);
    RUN(a_transaction_that_outgrew_its_cache_is_undone_as_a_whole);
    RUN(a_pinned_reader_makes_a_warning_and_no_stall);
    RUN(a_busy_file_names_the_process_that_has_it);
    RUN(the_count_follows_another_processs_commits);
    RUN(a_damaged_value_is_an_error_that_names_it);
    RUN(a_foreign_newer_or_broken_file_is_refused_untouched);
    RUN(a_read_only_handle_creates_nothing_and_writes_nothing);
    RUN(a_file_that_was_replaced_under_us_takes_no_commit);
    RUN(a_file_without_wal_does_the_same);
    RUN(an_option_that_contradicts_the_open_file_is_refused);
    RUN(a_plain_table_of_another_program_is_used_as_it_is);
    RUN(every_allocation_may_fail);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) || kvtest_end();
}
