/* bench_store.c - the store beside raw SQLite: the same work, in slices in alternation, as ratios.
 *
 * "raw" is SQLite used directly in the best way we know: page 8192, WAL, NORMAL, secure_delete
 * off, prepared statements, a checkpoint each 16 MiB. Each row runs both sides in turn, a slice at a
 * time, and prints the median of the pairs' ratios (raw time / our time: above 1 we are faster) with
 * the quartiles. Every value read is compared with what was written.
 *
 *     bench_store FOLDER [PAIRS] */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kohakuvault/kohakuvault.h"

enum { KEYS = 20000, VALUE_MAX = 16384, PAIRS_MAX = 1000 };

struct side {
    const char *name;
    char path[256];
    kvault *vault;
    kvault_kv *kv;
    sqlite3 *db;
    sqlite3_stmt *put, *get, *begin, *commit;
    uint32_t dice;
    uint32_t version; /* of the next value */
};

static uint8_t value[VALUE_MAX], got[VALUE_MAX];
static kvault_error err;

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "bench_store: %s: %s\n", what, err.message);
        exit(1);
    }
}

static double now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static uint32_t roll(struct side *side)
{
    side->dice = side->dice * 1664525u + 1013904223u;
    return (side->dice >> 8) % KEYS;
}

/* ---- raw SQLite ---- */

static void raw_exec(struct side *side, const char *sql)
{
    must(sqlite3_exec(side->db, sql, NULL, NULL, NULL) == SQLITE_OK, sqlite3_errmsg(side->db));
}

static sqlite3_stmt *raw_prepare(struct side *side, const char *sql)
{
    sqlite3_stmt *stmt = NULL;

    must(sqlite3_prepare_v3(side->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) == SQLITE_OK, sql);
    return stmt;
}

static int raw_checkpoint(void *ctx, sqlite3 *db, const char *name, int pages)
{
    (void)ctx;
    return pages >= 2048 ? sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) & SQLITE_NOMEM : SQLITE_OK;
}

static void raw_open(struct side *side)
{
    must(sqlite3_open_v2(side->path, &side->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) ==
             SQLITE_OK, "open");
    raw_exec(side, "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA secure_delete=OFF;"
                   "PRAGMA cache_size=-32768; CREATE TABLE t(key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL)");
    (void)sqlite3_wal_hook(side->db, raw_checkpoint, NULL);
    side->put = raw_prepare(side, "INSERT INTO t VALUES (?1, ?2) ON CONFLICT(key) DO UPDATE SET value = excluded.value");
    side->get = raw_prepare(side, "SELECT value FROM t WHERE key = ?1");
    side->begin = raw_prepare(side, "BEGIN IMMEDIATE");
    side->commit = raw_prepare(side, "COMMIT");
}

static void raw_step(sqlite3_stmt *stmt)
{
    must(sqlite3_step(stmt) == SQLITE_DONE, "step");
    (void)sqlite3_reset(stmt);
}

/* ---- one put, one get, either side ---- */

static kvault_slice key_of(uint32_t number, char text[16])
{
    return (kvault_slice){ text, (size_t)snprintf(text, 16, "key%08u", number) };
}

static void put(struct side *side, uint32_t number, size_t size)
{
    char text[16];
    kvault_slice key = key_of(number, text);

    /* Every byte changes: SQLite skips the pages of an update that has the same bytes. */
    side->version++;
    memset(value, (int)side->version, size);
    memcpy(value, &number, sizeof number);
    if (side->kv) {
        must(kvault_kv_put(side->kv, key, (kvault_slice){ value, size }, &err) == KVAULT_OK, "put");
        return;
    }
    (void)sqlite3_bind_blob(side->put, 1, key.data, (int)key.size, SQLITE_STATIC);
    (void)sqlite3_bind_blob(side->put, 2, value, (int)size, SQLITE_STATIC);
    raw_step(side->put);
}

static void get(struct side *side, uint32_t number, size_t size)
{
    char text[16];
    kvault_slice key = key_of(number, text);
    uint64_t have = 0;

    if (side->kv) {
        must(kvault_kv_get(side->kv, key, got, sizeof got, &have, &err) == KVAULT_OK, "get");
    } else {
        (void)sqlite3_bind_blob(side->get, 1, key.data, (int)key.size, SQLITE_STATIC);
        must(sqlite3_step(side->get) == SQLITE_ROW, "get");
        have = (uint64_t)sqlite3_column_bytes(side->get, 0);
        memcpy(got, sqlite3_column_blob(side->get, 0), (size_t)have);
        (void)sqlite3_reset(side->get);
    }
    must(have == size && memcmp(got, &number, sizeof number) == 0, "a value read is not the one written");
}

/* ---- the work: a slice of each ---- */

static int puts_slice(struct side *side, size_t size)
{
    for (int i = 0; i < 500; i++)
        put(side, roll(side), size);
    return 500;
}

static int gets_slice(struct side *side, size_t size)
{
    for (int i = 0; i < 4000; i++)
        get(side, roll(side), size);
    return 4000;
}

/* Ours through the cache and one flush; raw in one transaction. */
static int bulk_slice(struct side *side, size_t size)
{
    kvault_cache_setting on = { true, false, (uint64_t)64 << 20, 0, 0 }, off = { 0 };
    int count = size > 1000 ? 1000 : 10000;

    if (side->kv)
        must(kvault_cache_set(side->vault, &on, NULL, &err) == KVAULT_OK, "cache");
    else
        raw_step(side->begin);
    for (int i = 0; i < count; i++)
        put(side, roll(side), size);
    if (side->kv)
        must(kvault_flush(side->vault, NULL, &err) == KVAULT_OK && kvault_cache_set(side->vault, &off, NULL, &err) == KVAULT_OK,
             "flush");
    else
        raw_step(side->commit);
    return count;
}

/* ---- pairs and their ratios ---- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void row(const char *name, int (*slice)(struct side *, size_t), struct side sides[2], size_t size, int pairs)
{
    static double ratios[PAIRS_MAX], ours[PAIRS_MAX], raws[PAIRS_MAX];

    for (int i = 0; i < pairs; i++) {
        double us[2] = { 0, 0 };

        for (int turn = 0; turn < 2; turn++) {
            int which = (i + turn) % 2; /* who goes first changes from pair to pair */
            double start = now_us();
            int count = slice(&sides[which], size);

            us[which] = (now_us() - start) / count;
        }
        ours[i] = us[0];
        raws[i] = us[1];
        ratios[i] = us[1] / us[0];
    }
    qsort(ratios, (size_t)pairs, sizeof *ratios, compare);
    qsort(ours, (size_t)pairs, sizeof *ours, compare);
    qsort(raws, (size_t)pairs, sizeof *raws, compare);
    printf("| %-28s | %8.2f | %8.2f | %5.2f | %5.2f to %5.2f |\n", name, ours[pairs / 2], raws[pairs / 2], ratios[pairs / 2],
           ratios[pairs / 4], ratios[pairs * 3 / 4]);
    fflush(stdout);
}

static void work(const char *folder, size_t size, int pairs)
{
    struct side sides[2] = { { .name = "ours", .dice = 1 }, { .name = "raw", .dice = 1 } };
    char name[64];

    for (int i = 0; i < 2; i++)
        (void)snprintf(sides[i].path, sizeof sides[i].path, "%s/bench-%s-%zu.db", folder, sides[i].name, size);
    must(kvault_open(sides[0].path, NULL, &sides[0].vault, &err) == KVAULT_OK, "open");
    must(kvault_kv_open(sides[0].vault, NULL, &sides[0].kv, &err) == KVAULT_OK, "open");
    raw_open(&sides[1]);
    for (int i = 0; i < 2; i++) {
        kvault_cache_setting on = { true, true, (uint64_t)64 << 20, (uint64_t)16 << 20, 0 }, off = { 0 };

        if (i == 0)
            must(kvault_cache_set(sides[0].vault, &on, NULL, &err) == KVAULT_OK, "cache");
        else
            raw_step(sides[1].begin);
        for (uint32_t key = 0; key < KEYS; key++)
            put(&sides[i], key, size);
        if (i == 0)
            must(kvault_flush(sides[0].vault, NULL, &err) == KVAULT_OK &&
                     kvault_cache_set(sides[0].vault, &off, NULL, &err) == KVAULT_OK, "flush");
        else
            raw_step(sides[1].commit);
    }
    (void)snprintf(name, sizeof name, "get, hot, %zu B", size);
    row(name, gets_slice, sides, size, pairs);
    (void)snprintf(name, sizeof name, "put one by one, %zu B", size);
    row(name, puts_slice, sides, size, pairs);
    (void)snprintf(name, sizeof name, "bulk, %zu B", size);
    row(name, bulk_slice, sides, size, pairs);
    kvault_kv_free(sides[0].kv);
    must(kvault_close(sides[0].vault, &err) == KVAULT_OK, "close");
    kvault_free(sides[0].vault);
    (void)sqlite3_finalize(sides[1].put);
    (void)sqlite3_finalize(sides[1].get);
    (void)sqlite3_finalize(sides[1].begin);
    (void)sqlite3_finalize(sides[1].commit);
    (void)sqlite3_close(sides[1].db);
    for (int i = 0; i < 2; i++)
        (void)unlink(sides[i].path);
}

int main(int argc, char **argv)
{
    int pairs = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 20;

    if (argc < 2 || pairs < 1 || pairs > PAIRS_MAX) {
        fprintf(stderr, "usage: bench_store FOLDER [PAIRS, 1 to %d]\n", PAIRS_MAX);
        return 2;
    }
    printf("| work                         |  ours us |   raw us | ratio | quartiles      |\n|---|---|---|---|---|\n");
    work(argv[1], 100, pairs);
    work(argv[1], 16384, pairs);
    return 0;
}
