/* bench_store.c - the store beside raw SQLite: the same work, in slices in alternation, as ratios.
 *
 * Three sides: "ours"; "pagewise", ours with gather_writes off; "raw", SQLite used directly in the best way we
 * know: page 8192, WAL, NORMAL, secure_delete off, prepared statements, a checkpoint each 16 MiB. Each row runs
 * the sides in turn, a slice at a time, and prints the median of the rounds' ratios (their time / our time: above 1 we
 * are faster) with the quartiles. Every value read is compared with what was written. Time in which other programs kept
 * us from the processor is taken off all sides.
 *
 *     bench_store FOLDER [ROUNDS [STREAM_MIB]] */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kohakuvault/kohakuvault.h"

enum { KEYS = 20000, VALUE_MAX = 16384, ROUNDS_MAX = 1000, SIDES = 3 };
enum { PIECE = 1 << 20, SLICE_PIECES = 32, BATCH_PIECES = 16 }; /* of a stream */

struct side {
    const char *name;
    char path[256];
    kvault *vault;
    kvault_kv *kv;
    sqlite3 *db;
    sqlite3_stmt *put, *get, *begin, *commit, *put_piece;
    kvault_blob *stream;
    sqlite3_blob *pieces;
    int64_t piece; /* next of the stream */
    uint32_t dice;
    uint32_t next_key; /* that nobody has put yet */
    uint32_t version;  /* of the next value */
};

static uint8_t value[VALUE_MAX], got[VALUE_MAX], piece[PIECE];
static kvault_error err;

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "bench_store: %s: %s\n", what, err.message);
        exit(1);
    }
}

/* Time, less that in which this thread was ready to run and other programs had the processors: the kernel counts
 * it. Waiting for the disk remains. */
static double now_us(void)
{
    unsigned long long ran, waited = 0;
    struct timespec now;
    FILE *file = fopen("/proc/thread-self/schedstat", "re");

    must(file && fscanf(file, "%llu %llu", &ran, &waited) == 2, "read /proc/thread-self/schedstat");
    (void)fclose(file);
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3 - (double)waited / 1e3;
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
    return pages >= 2048 ? sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) & SQLITE_NOMEM
                         : SQLITE_OK;
}

static void raw_open(struct side *side)
{
    must(sqlite3_open_v2(side->path, &side->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                         NULL) == SQLITE_OK,
         "open");
    raw_exec(side,
             "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA secure_delete=OFF;"
             "PRAGMA cache_size=-32768; CREATE TABLE t(key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL);"
             "CREATE TABLE pieces(id INTEGER PRIMARY KEY, data BLOB NOT NULL)");
    (void)sqlite3_wal_hook(side->db, raw_checkpoint, NULL);
    side->put =
        raw_prepare(side, "INSERT INTO t VALUES (?1, ?2) ON CONFLICT(key) DO UPDATE SET value = excluded.value");
    side->get = raw_prepare(side, "SELECT value FROM t WHERE key = ?1");
    side->put_piece = raw_prepare(side, "INSERT INTO pieces VALUES (?1, ?2)");
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

/* So many puts that each slice has its share of checkpoints: one comes with every 16 MiB of log. */
static int puts_in_slice(size_t size)
{
    return size > 1000 ? 1000 : 4000;
}

static int puts_slice(struct side *side, size_t size)
{
    int count = puts_in_slice(size);

    for (int i = 0; i < count; i++)
        put(side, roll(side), size);
    return count;
}

static int gets_slice(struct side *side, size_t size)
{
    for (int i = 0; i < 4000; i++)
        get(side, roll(side), size);
    return 4000;
}

static void batch_begin(struct side *side)
{
    kvault_cache_setting on = { true, false, (uint64_t)64 << 20, 0, 0 };

    if (side->kv)
        must(kvault_cache_set(side->vault, &on, NULL, &err) == KVAULT_OK, "cache");
    else
        raw_step(side->begin);
}

static void batch_end(struct side *side)
{
    kvault_cache_setting off = { 0 };

    if (side->kv)
        must(kvault_flush(side->vault, NULL, &err) == KVAULT_OK &&
                 kvault_cache_set(side->vault, &off, NULL, &err) == KVAULT_OK,
             "flush");
    else
        raw_step(side->commit);
}

/* Ours through the cache and one flush; raw in one transaction, its checkpoint when it is due. */
static int batch(struct side *side, size_t size, bool new_keys)
{
    int count = size > 1000 ? 1000 : 10000;

    batch_begin(side);
    for (int i = 0; i < count; i++)
        put(side, new_keys ? side->next_key++ : roll(side), size);
    batch_end(side);
    return count;
}

static int batch_slice(struct side *side, size_t size)
{
    return batch(side, size, false);
}

/* And a checkpoint in every slice. */
static int bulk_slice(struct side *side, size_t size)
{
    int count = batch(side, size, true);

    if (side->kv)
        must(kvault_checkpoint(side->vault, &err) == KVAULT_OK, "checkpoint");
    else
        must(sqlite3_wal_checkpoint_v2(side->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) == SQLITE_OK,
             "checkpoint");
    return count;
}

static int new_puts_slice(struct side *side, size_t size)
{
    int count = puts_in_slice(size);

    for (int i = 0; i < count; i++)
        put(side, side->next_key++, size);
    return count;
}

/* Our put_many(); raw in one transaction. */
static void put_a_thousand(struct side *side, size_t size)
{
    enum { COUNT = 1000 };
    static kvault_kv_pair pairs[COUNT];
    static char names[COUNT][16];
    static uint8_t values[COUNT][100];

    if (!side->kv)
        raw_step(side->begin);
    side->version++;
    for (int i = 0; i < COUNT; i++) {
        uint32_t number = roll(side);

        if (!side->kv) {
            put(side, number, size);
            continue;
        }
        memset(values[i], (int)side->version, size);
        memcpy(values[i], &number, sizeof number);
        pairs[i] = (kvault_kv_pair){ key_of(number, names[i]), { values[i], size } };
    }
    if (side->kv)
        must(kvault_kv_put_many(side->kv, pairs, COUNT, &err) == KVAULT_OK, "put_many");
    else
        raw_step(side->commit);
}

static int many_slice(struct side *side, size_t size)
{
    for (int i = 0; i < 10; i++)
        put_a_thousand(side, size);
    return 10000;
}

/* ---- streams: raw keeps a row of 1 MiB for each piece ---- */

static void fill_piece(int64_t number)
{
    memset(piece, (int)number, sizeof piece);
    memcpy(piece, &number, sizeof number);
    memcpy(piece + sizeof piece - sizeof number, &number, sizeof number);
}

static int stream_in_slice(struct side *side, size_t size)
{
    (void)size;
    for (int i = 0; i < SLICE_PIECES; i++, side->piece++) {
        fill_piece(side->piece);
        if (side->stream) {
            must(kvault_blob_write(side->stream, (kvault_slice){ piece, sizeof piece }, &err) == KVAULT_OK, "stream");
            continue;
        }
        if (i % BATCH_PIECES == 0)
            raw_step(side->begin);
        (void)sqlite3_bind_int64(side->put_piece, 1, side->piece);
        (void)sqlite3_bind_blob(side->put_piece, 2, piece, sizeof piece, SQLITE_STATIC);
        raw_step(side->put_piece);
        if (i % BATCH_PIECES == BATCH_PIECES - 1)
            raw_step(side->commit);
    }
    return SLICE_PIECES;
}

static int stream_out_slice(struct side *side, size_t size)
{
    (void)size;
    for (int i = 0; i < SLICE_PIECES; i++, side->piece++) {
        size_t have = 0;
        int64_t last;

        if (side->stream)
            must(kvault_blob_read(side->stream, (uint64_t)side->piece * PIECE, piece, sizeof piece, &have, &err) ==
                         KVAULT_OK &&
                     have == sizeof piece,
                 "read the stream");
        else
            must((side->pieces ? sqlite3_blob_reopen(side->pieces, side->piece)
                               : sqlite3_blob_open(side->db, "main", "pieces", "data", side->piece, 0,
                                                   &side->pieces)) == SQLITE_OK &&
                     sqlite3_blob_read(side->pieces, piece, sizeof piece, 0) == SQLITE_OK,
                 "read the stream");
        memcpy(&last, piece + sizeof piece - sizeof last, sizeof last);
        must(last == side->piece && memcmp(piece, &last, sizeof last) == 0, "a piece read is not the one written");
    }
    return SLICE_PIECES;
}

/* ---- rounds and their ratios ---- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* Median and quartiles of their time / our time. */
static void print_ratio(const double ours[ROUNDS_MAX], const double theirs[ROUNDS_MAX], int rounds)
{
    static double ratios[ROUNDS_MAX];

    for (int i = 0; i < rounds; i++)
        ratios[i] = theirs[i] / ours[i];
    qsort(ratios, (size_t)rounds, sizeof *ratios, compare);
    printf(" %5.2f (%.2f to %.2f) |", ratios[rounds / 2], ratios[rounds / 4], ratios[rounds * 3 / 4]);
}

static double median(const double times[ROUNDS_MAX], int rounds)
{
    static double sorted[ROUNDS_MAX];

    memcpy(sorted, times, (size_t)rounds * sizeof *sorted);
    qsort(sorted, (size_t)rounds, sizeof *sorted, compare);
    return sorted[rounds / 2];
}

static void row(const char *name, int (*slice)(struct side *, size_t), struct side sides[SIDES], size_t size,
                int rounds)
{
    static double us[SIDES][ROUNDS_MAX];

    for (int i = 0; i < rounds; i++) {
        for (int turn = 0; turn < SIDES; turn++) {
            int which = (i + turn) % SIDES; /* who goes first changes from round to round */
            double start = now_us();
            int count = slice(&sides[which], size);

            us[which][i] = (now_us() - start) / count;
        }
    }
    printf("| %-46s |", name);
    for (int which = 0; which < SIDES; which++)
        printf(" %8.2f |", median(us[which], rounds));
    for (int which = 1; which < SIDES; which++)
        print_ratio(us[0], us[which], rounds);
    printf("\n");
    fflush(stdout);
}

/* ---- the files ---- */

static void sides_open(struct side sides[SIDES], const char *folder)
{
    static const char *const names[SIDES] = { "ours", "pagewise", "raw" };
    kvault_options options;

    kvault_options_init(&options);
    for (int i = 0; i < SIDES; i++) {
        sides[i] = (struct side){ .name = names[i], .dice = 1 };
        (void)snprintf(sides[i].path, sizeof sides[i].path, "%s/bench-%s.db", folder, names[i]);
        if (i == SIDES - 1) {
            raw_open(&sides[i]);
            continue;
        }
        options.gather_writes = i == 0;
        must(kvault_open(sides[i].path, &options, &sides[i].vault, &err) == KVAULT_OK &&
                 kvault_kv_open(sides[i].vault, NULL, &sides[i].kv, &err) == KVAULT_OK,
             "open");
    }
}

static void sides_close(struct side sides[SIDES])
{
    for (int i = 0; i < SIDES; i++) {
        struct side *side = &sides[i];

        if (side->kv) {
            kvault_kv_free(side->kv);
            must(kvault_close(side->vault, &err) == KVAULT_OK, "close");
            kvault_free(side->vault);
        } else {
            sqlite3_stmt *all[] = { side->put, side->get, side->begin, side->commit, side->put_piece };

            for (size_t s = 0; s < sizeof all / sizeof all[0]; s++)
                (void)sqlite3_finalize(all[s]);
            (void)sqlite3_close(side->db);
        }
        (void)unlink(side->path);
    }
}

static void keys_row(const char *work, int (*slice)(struct side *, size_t), struct side sides[SIDES], size_t size,
                     int rounds)
{
    char name[80];

    (void)snprintf(name, sizeof name, "%s, %zu B", work, size);
    row(name, slice, sides, size, rounds);
}

static void keys_work(const char *folder, size_t size, int rounds)
{
    struct side sides[SIDES];

    sides_open(sides, folder);
    for (int i = 0; i < SIDES; i++) {
        for (uint32_t key = 0; key < KEYS; key++, sides[i].next_key++) {
            if (key % 1000 == 0)
                batch_begin(&sides[i]);
            put(&sides[i], key, size);
            if (key % 1000 == 999)
                batch_end(&sides[i]);
        }
    }
    keys_row("get, hot", gets_slice, sides, size, rounds);
    keys_row("replace one by one", puts_slice, sides, size, rounds);
    keys_row("replace in batches: cache and flush", batch_slice, sides, size, rounds);
    if (size <= 1000)
        keys_row("replace in batches: put_many of 1,000", many_slice, sides, size, rounds);
    keys_row("new keys one by one", new_puts_slice, sides, size, rounds);
    keys_row("new keys: cache, flush, checkpoint", bulk_slice, sides, size, rounds);
    sides_close(sides);
}

static void streams_open(struct side sides[SIDES], bool write)
{
    kvault_slice key = { "stream", 6 };

    for (int i = 0; i < SIDES; i++) {
        sides[i].piece = 0;
        if (sides[i].kv)
            must((write ? kvault_blob_open_write(sides[i].kv, key, &sides[i].stream, &err)
                        : kvault_blob_open_read(sides[i].kv, key, &sides[i].stream, &err)) == KVAULT_OK,
                 "open the stream");
    }
}

static void streams_work(const char *folder, int rounds)
{
    struct side sides[SIDES];

    sides_open(sides, folder);
    streams_open(sides, true);
    row("stream in, us a MiB", stream_in_slice, sides, 0, rounds);
    for (int i = 0; i < SIDES; i++) {
        if (sides[i].stream)
            must(kvault_blob_publish(sides[i].stream, &err) == KVAULT_OK, "publish");
        kvault_blob_free(sides[i].stream);
        sides[i].stream = NULL;
    }
    streams_open(sides, false);
    row("stream out, us a MiB", stream_out_slice, sides, 0, rounds);
    for (int i = 0; i < SIDES; i++) {
        kvault_blob_free(sides[i].stream);
        (void)sqlite3_blob_close(sides[i].pieces);
    }
    sides_close(sides);
}

int main(int argc, char **argv)
{
    long rounds = argc > 2 ? strtol(argv[2], NULL, 10) : 20, mib = argc > 3 ? strtol(argv[3], NULL, 10) : 640;

    if (argc < 2 || rounds < 1 || rounds > ROUNDS_MAX || mib < SLICE_PIECES || mib > (long)ROUNDS_MAX * SLICE_PIECES) {
        fprintf(stderr, "usage: bench_store FOLDER [ROUNDS, 1 to %d [MiB of a stream, %d to %d]]\n", ROUNDS_MAX,
                SLICE_PIECES, ROUNDS_MAX * SLICE_PIECES);
        return 2;
    }
    printf("| work | ours us | pagewise us | raw us | pagewise / ours (quartiles) | raw / ours (quartiles) "
           "|\n|---|---|---|---|---|---|\n");
    keys_work(argv[1], 100, (int)rounds);
    keys_work(argv[1], 16384, (int)rounds);
    streams_work(argv[1], (int)(mib / SLICE_PIECES));
    return 0;
}
