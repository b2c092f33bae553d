/* test_wal_vfs.c - SQLite over the gathering VFS: the same log as without it, beside other programs, failures and
 * kills.
 *
 * Beneath it lies `counting`, the default VFS of this program: it counts the writes to the WAL, and fails or tears
 * the nth, or kills the process in it. "plain" is a connection without the gathering VFS; the `peer` is another
 * process with a plain connection, made before this one opens anything. */
#include "kvtest.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kohakuvault/kohakuvault.h"
#include "storage/sqlite/descriptor.h"
#include "storage/sqlite/wal_buffer.h"
#include "storage/sqlite/wal_vfs.h"
#include "storage/sqlite/writeback.h"

enum { HEADER = 24, PAGE = 4096, FRAME = HEADER + PAGE, HEAD = 32 };

static char folder[] = "/tmp/kvtest-XXXXXX";
static char path[128];

/* ---- the VFS beneath ---- */

static struct {
    int writes, largest, rewrites; /* to the WAL; rewrites: of a page without its header */
    sqlite3_int64 page_due;        /* where the header written last wants its page */
    int fail_at, code;             /* the write of this number, from 1, fails with this code; 0: none */
    int keep;                      /* bytes of it that reach the file */
    bool lasting;                  /* and all behind it */
    bool kill;                     /* the process dies in it */
} log_writes;

struct counted_file {
    sqlite3_file file; /* first */
    sqlite3_file *real;
};

static sqlite3_vfs counting, *unix_vfs;
static int (*real_write)(sqlite3_file *, const void *, int, sqlite3_int64);
static sqlite3_io_methods counted_methods;

static int counted_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 offset)
{
    log_writes.writes++;
    if (size > log_writes.largest)
        log_writes.largest = size;
    log_writes.rewrites += size == PAGE && offset != log_writes.page_due;
    log_writes.page_due = size == HEADER ? offset + HEADER : -1;
    if (log_writes.fail_at &&
        (log_writes.writes == log_writes.fail_at || (log_writes.lasting && log_writes.writes > log_writes.fail_at))) {
        int keep = log_writes.keep < size ? log_writes.keep : size;

        if (keep)
            (void)real_write(file, bytes, keep, offset);
        if (log_writes.kill)
            (void)raise(SIGKILL);
        return log_writes.code;
    }
    return real_write(file, bytes, size, offset);
}

/* The file is the real one; a WAL gets a table of methods of which one is ours. */
static int counting_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    int code = unix_vfs->xOpen(unix_vfs, name, file, flags, ret_flags);

    (void)vfs;
    if (code == SQLITE_OK && (flags & SQLITE_OPEN_WAL)) {
        counted_methods = *file->pMethods;
        real_write = counted_methods.xWrite;
        counted_methods.xWrite = counted_write;
        file->pMethods = &counted_methods;
    }
    return code;
}

static void counting_install(void)
{
    unix_vfs = sqlite3_vfs_find("unix");
    counting = *unix_vfs; /* its methods need only what is in this struct */
    counting.pNext = NULL;
    counting.zName = "counting";
    counting.xOpen = counting_open;
    CHECK(sqlite3_vfs_register(&counting, 1) == SQLITE_OK);
}

static void count_anew(void)
{
    memset(&log_writes, 0, sizeof log_writes);
}

/* ---- connections ---- */

static sqlite3_int64 run_code(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static void run(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        printf("# %s: %s\n", sql, sqlite3_errmsg(db));
        CHECK_NEVER("a statement failed");
    }
}

static sqlite3_int64 ask(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    sqlite3_int64 answer = -1;

    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
        answer = sqlite3_column_int64(stmt, 0);
    else
        printf("# %s: %s\n", sql, sqlite3_errmsg(db));
    (void)sqlite3_finalize(stmt);
    return answer;
}

static bool is_whole(sqlite3 *db)
{
    sqlite3_stmt *stmt = NULL;
    bool whole = sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &stmt, NULL) == SQLITE_OK &&
                 sqlite3_step(stmt) == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") == 0;

    (void)sqlite3_finalize(stmt);
    return whole;
}

/* A small page cache, so that transactions spill; pages of PAGE bytes. */
static sqlite3 *open_with(const char *vfs, const char *file)
{
    sqlite3 *db = NULL;

    if (sqlite3_open_v2(file, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, vfs) != SQLITE_OK)
        printf("# %s: %s\n", file, sqlite3_errmsg(db));
    (void)sqlite3_busy_timeout(db, 20000);
    run(db, "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0;"
            "PRAGMA cache_size=20; CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, who TEXT, data BLOB)");
    return db;
}

struct gathered {
    struct wal_vfs *vfs;
    sqlite3 *db;
};

static struct gathered open_gathered(const char *file)
{
    struct gathered conn = { 0 };
    kvault_error err;

    CHECK_OK(kvault__wal_vfs_new(&conn.vfs, &err), &err);
    conn.db = open_with(kvault__wal_vfs_name(conn.vfs), file);
    return conn;
}

static void close_gathered(struct gathered *conn)
{
    CHECK(sqlite3_close(conn->db) == SQLITE_OK);
    kvault__wal_vfs_free(conn->vfs);
}

static void fresh_file(void)
{
    char wal[160], shm[160];

    (void)snprintf(wal, sizeof wal, "%s-wal", path);
    (void)snprintf(shm, sizeof shm, "%s-shm", path);
    (void)unlink(path);
    (void)unlink(wal);
    (void)unlink(shm);
    count_anew();
}

/* ---- the log, read by somebody who knows its format ---- */

struct log {
    uint8_t *bytes;
    size_t size;
    int commits_at; /* frames up to the last commit, in an unbroken chain of checksums */
    uint32_t sum[2];
};

static uint32_t be32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void add_sum(uint32_t sum[2], const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i += 8) {
        uint32_t words[2];

        memcpy(words, bytes + i, sizeof words); /* in the order of the machine that wrote it: this one */
        sum[0] += words[0] + sum[1];
        sum[1] += words[1] + sum[0];
    }
}

/* A WAL has no POSIX locks on it: we may open and close it. */
static struct log log_load(const char *file)
{
    struct log log = { 0 };
    uint32_t sum[2] = { 0, 0 };
    char name[160];
    struct stat at;
    int fd;

    (void)snprintf(name, sizeof name, "%s-wal", file);
    fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &at) != 0)
        return log;
    log.size = (size_t)at.st_size;
    log.bytes = malloc(log.size + 1);
    CHECK(read(fd, log.bytes, log.size) == (ssize_t)log.size);
    (void)close(fd);
    if (log.size < HEAD)
        return log;
    add_sum(sum, log.bytes, HEAD - 8);
    CHECK(sum[0] == be32(log.bytes + 24) && sum[1] == be32(log.bytes + 28));
    for (int i = 0; HEAD + (size_t)(i + 1) * FRAME <= log.size; i++) {
        const uint8_t *frame = log.bytes + HEAD + (size_t)i * FRAME;

        add_sum(sum, frame, 8);
        add_sum(sum, frame + HEADER, PAGE);
        if (memcmp(frame + 8, log.bytes + 16, 8) != 0 || sum[0] != be32(frame + 16) || sum[1] != be32(frame + 20))
            break;
        if (be32(frame + 4)) {
            log.commits_at = i + 1;
            memcpy(log.sum, sum, sizeof sum);
        }
    }
    return log;
}

/* What all connections share, the header of the WAL-index, agrees with the log. */
static void check_log(sqlite3 *db, const char *file)
{
    struct log log = log_load(file);
    sqlite3_file *database = NULL;
    volatile void *region = NULL;
    uint32_t header[12], sum[2] = { 0, 0 };

    CHECK(ask(db, "SELECT count(*) FROM t") >= 0); /* maps it */
    CHECK(sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &database) == SQLITE_OK);
    CHECK(database->pMethods->xShmMap(database, 0, 32768, 0, &region) == SQLITE_OK);
    memcpy(header, (const void *)(uintptr_t)region, sizeof header);
    CHECK(memcmp(header, (const uint8_t *)(uintptr_t)region + sizeof header, sizeof header) == 0);
    add_sum(sum, (const uint8_t *)header, 40);
    CHECK(sum[0] == header[10] && sum[1] == header[11]);
    CHECK(header[4] == (uint32_t)log.commits_at);
    CHECK(!log.commits_at || (header[6] == log.sum[0] && header[7] == log.sum[1])); /* else of a log that is gone */
    free(log.bytes);
}

/* ---- work ---- */

static uint32_t dice;

static uint32_t roll(uint32_t below)
{
    dice = dice * 1664525u + 1013904223u;
    return (dice >> 8) % below;
}

static int put_row(sqlite3 *db, int id, const char *who, int size, int fill)
{
    static uint8_t bytes[60000];
    sqlite3_stmt *stmt = NULL;
    int code = sqlite3_prepare_v2(db, "INSERT OR REPLACE INTO t VALUES (?1, ?2, ?3)", -1, &stmt, NULL);

    memset(bytes, fill, (size_t)size);
    if (code == SQLITE_OK) {
        (void)sqlite3_bind_int(stmt, 1, id);
        (void)sqlite3_bind_text(stmt, 2, who, -1, SQLITE_STATIC);
        (void)sqlite3_bind_blob(stmt, 3, bytes, size, SQLITE_STATIC);
        (void)sqlite3_step(stmt);
        code = sqlite3_finalize(stmt);
    }
    return code;
}

/* One transaction: some rows, again and again the same ones, so that what was spilled changes once more. */
static void churn_once(sqlite3 *db, int rows, bool savepoints, bool commit)
{
    run(db, "BEGIN IMMEDIATE");
    for (int i = 0; i < rows; i++) {
        bool inner = savepoints && roll(4) == 0;

        if (inner)
            run(db, "SAVEPOINT inner");
        for (int k = inner ? 5 : 1; k > 0; k--)
            CHECK(put_row(db, (int)roll(60), "us", (int)roll(20000), (int)roll(250)) == SQLITE_OK);
        if (inner && roll(2))
            run(db, "ROLLBACK TO inner");
        if (inner)
            run(db, "RELEASE inner");
    }
    run(db, commit ? "COMMIT" : "ROLLBACK");
}

static void churn(sqlite3 *db, bool savepoints)
{
    dice = 12345;
    for (int i = 0; i < 25; i++)
        churn_once(db, i % 5 == 0 ? 1 : 40, savepoints, i % 7 != 6);
}

/* ---- the same log ---- */

static void frames_reach_the_log_in_few_writes(void)
{
    struct gathered conn;
    int pages;

    fresh_file();
    conn = open_gathered(path);
    count_anew();
    run(conn.db, "BEGIN IMMEDIATE");
    for (int i = 0; i < 20; i++)
        CHECK(put_row(conn.db, i, "us", 50000, i) == SQLITE_OK);
    run(conn.db, "COMMIT");
    pages = (int)ask(conn.db, "PRAGMA page_count");
    CHECK(pages > 200);
    CHECK(log_writes.writes <= pages * FRAME / (WAL_BUFFER_BYTES - FRAME) + 2);
    CHECK(log_writes.largest < 128 * 1024);
    count_anew();
    CHECK(put_row(conn.db, 3, "us", 5000, 9) == SQLITE_OK);
    CHECK(log_writes.writes == 1); /* a commit of a few pages */
    check_log(conn.db, path);
    close_gathered(&conn);
}

static void compare_logs(const char *ours, const char *plain)
{
    struct log a = log_load(ours), b = log_load(plain);

    CHECK(a.commits_at > 100 && a.commits_at == b.commits_at);
    for (int i = 0; i < a.commits_at && i < b.commits_at; i++) {
        const uint8_t *x = a.bytes + HEAD + (size_t)i * FRAME, *y = b.bytes + HEAD + (size_t)i * FRAME;

        if (memcmp(x, y, 8) != 0 || memcmp(x + HEADER, y + HEADER, PAGE) != 0) {
            printf("# frame %d\n", i);
            CHECK_NEVER("the logs differ");
            break;
        }
    }
    free(a.bytes);
    free(b.bytes);
}

static void the_log_is_what_plain_sqlite_writes(void)
{
    char other[160];

    (void)snprintf(other, sizeof other, "%s-plain", path);
    for (int savepoints = 0; savepoints < 2; savepoints++) {
        struct gathered conn;
        sqlite3 *plain;

        fresh_file();
        (void)unlink(other);
        conn = open_gathered(path);
        churn(conn.db, savepoints);
        plain = open_with("counting", other);
        count_anew();
        churn(plain, savepoints);
        CHECK(log_writes.rewrites > 20); /* a page that was spilled and changes again is rewritten in its frame */
        check_log(conn.db, path);
        compare_logs(path, other);
        CHECK(is_whole(conn.db));
        CHECK(sqlite3_close(plain) == SQLITE_OK);
        close_gathered(&conn);
    }
    (void)unlink(other);
}

static void what_is_in_the_buffer_is_read_back(void)
{
    struct gathered conn;

    fresh_file();
    conn = open_gathered(path);
    run(conn.db, "BEGIN IMMEDIATE");
    for (int i = 0; i < 50; i++) { /* twenty pages in the cache, the others in the log or on their way */
        CHECK(put_row(conn.db, i, "us", 10000, i) == SQLITE_OK);
        for (int k = 0; k <= i; k += 7) {
            char sql[96];

            (void)snprintf(sql, sizeof sql, "SELECT hex(substr(data, 9999, 1)) = '%02X' FROM t WHERE id = %d", k, k);
            CHECK(ask(conn.db, sql) == 1);
        }
    }
    run(conn.db, "COMMIT");
    CHECK(is_whole(conn.db));
    close_gathered(&conn);
}

static void a_rollback_journal_and_mapped_pages_work_as_ever(void)
{
    struct gathered conn;

    fresh_file();
    conn = open_gathered(path);
    run(conn.db, "PRAGMA mmap_size=1000000");
    CHECK(ask(conn.db, "PRAGMA mmap_size") == 1000000);
    churn_once(conn.db, 30, false, true);
    run(conn.db, "PRAGMA wal_checkpoint(TRUNCATE)");
    CHECK(is_whole(conn.db));
    run(conn.db, "PRAGMA journal_mode=DELETE");
    churn_once(conn.db, 30, true, true);
    churn_once(conn.db, 30, true, false);
    CHECK(is_whole(conn.db));
    run(conn.db, "PRAGMA journal_mode=WAL");
    count_anew();
    churn_once(conn.db, 1, false, true);
    CHECK(log_writes.writes == 2); /* the head of the log, and one commit */
    run(conn.db, "VACUUM");        /* which attaches a temporary file */
    CHECK(is_whole(conn.db));
    close_gathered(&conn);
}

/* ---- the peer ---- */

enum order { PEER_RUN, PEER_ASK, PEER_CLOSE };

struct message {
    enum order order;
    char sql[256];
    int64_t number; /* of the answer */
};

static int peer_socket[2];
static pid_t peer_pid;

static void peer_loop(int socket)
{
    struct message message;
    sqlite3 *db = NULL;

    while (read(socket, &message, sizeof message) == (ssize_t)sizeof message) {
        if (!db)
            db = open_with("unix", path);
        if (message.order == PEER_CLOSE) {
            message.number = sqlite3_close(db);
            db = NULL;
        } else {
            message.number = message.order == PEER_ASK ? ask(db, message.sql) : run_code(db, message.sql);
        }
        if (write(socket, &message, sizeof message) != (ssize_t)sizeof message)
            break;
    }
    _exit(0);
}

static void peer_start(void)
{
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, peer_socket) == 0);
    peer_pid = fork();
    if (peer_pid == 0) {
        (void)close(peer_socket[0]);
        peer_loop(peer_socket[1]);
    }
    (void)close(peer_socket[1]);
}

static void peer_end(void)
{
    (void)close(peer_socket[0]);
    CHECK(waitpid(peer_pid, NULL, 0) == peer_pid);
}

static void peer_send(enum order order, const char *sql)
{
    struct message message = { .order = order };

    (void)snprintf(message.sql, sizeof message.sql, "%s", sql);
    CHECK(write(peer_socket[0], &message, sizeof message) == (ssize_t)sizeof message);
}

static int64_t peer_answer(void)
{
    struct message message = { .number = -1 };

    CHECK(read(peer_socket[0], &message, sizeof message) == (ssize_t)sizeof message);
    return message.number;
}

static int64_t peer(enum order order, const char *sql)
{
    peer_send(order, sql);
    return peer_answer();
}

/* ---- beside another program ---- */

static void a_rollback_leaves_nothing_that_hurts_another_programs_commit(void)
{
    struct gathered conn;

    fresh_file();
    conn = open_gathered(path);
    for (int i = 0; i < 30; i++) {
        char sql[96];

        run(conn.db, "BEGIN IMMEDIATE");
        for (int k = 0; k < 7; k++) /* enough to spill: frames wait in the buffer */
            CHECK(put_row(conn.db, 1000 + k, "us", 20000, i) == SQLITE_OK);
        run(conn.db, "ROLLBACK");
        (void)snprintf(sql, sizeof sql, "INSERT INTO t VALUES (%d, 'peer', zeroblob(9000))", i);
        CHECK(peer(PEER_RUN, sql) == SQLITE_OK);
        CHECK(ask(conn.db, "SELECT count(*) FROM t") == i + 1 + i / 3);
        check_log(conn.db, path);
        if (i % 3 == 2)
            CHECK(put_row(conn.db, 500 + i, "us", 3000, i) == SQLITE_OK);
        CHECK(peer(PEER_ASK, "SELECT count(*) FROM t") == i + 1 + (i + 1) / 3);
    }
    CHECK(is_whole(conn.db));
    CHECK(peer(PEER_CLOSE, "") == SQLITE_OK);
    close_gathered(&conn);
}

/* Both write at once; each one's rows add up, and neither sees half of the other's transactions. */
static void plain_sqlite_writes_and_reads_at_the_same_time(void)
{
    enum { TIMES = 150 };
    struct gathered conn;
    int rows = 0;

    fresh_file();
    conn = open_gathered(path);
    dice = 99;
    for (int i = 0; i < TIMES; i++) {
        int kind = (int)roll(4);
        char sql[256];

        (void)snprintf(
            sql, sizeof sql,
            "BEGIN IMMEDIATE; INSERT INTO t VALUES (%d, 'peer', zeroblob(%u)); INSERT INTO t VALUES (%d, 'peer', "
            "zeroblob(%u)); COMMIT",
            100000 + 2 * i, roll(60000), 100001 + 2 * i, roll(60000));
        peer_send(PEER_RUN, sql);
        run(conn.db, "BEGIN IMMEDIATE");
        for (int k = 0; k < 5; k++)
            CHECK(put_row(conn.db, rows + k, "us", (int)roll(kind == 0 ? 60000 : 2000), i) == SQLITE_OK);
        run(conn.db, kind == 1 ? "ROLLBACK" : "COMMIT");
        rows += kind == 1 ? 0 : 5;
        CHECK(ask(conn.db, "SELECT count(*) FROM t WHERE who = 'peer'") % 2 == 0);
        CHECK(peer_answer() == SQLITE_OK);
        CHECK(peer(PEER_ASK, "SELECT count(*) FROM t WHERE who = 'us'") == rows);
        CHECK(ask(conn.db, "SELECT count(*) FROM t WHERE who = 'peer'") == 2 * (i + 1));
        if (i % 20 == 19)
            CHECK((i % 40 == 19 ? peer(PEER_RUN, "PRAGMA wal_checkpoint(RESTART)")
                                : run_code(conn.db, "PRAGMA wal_checkpoint(TRUNCATE)")) == SQLITE_OK);
        check_log(conn.db, path);
    }
    CHECK(is_whole(conn.db));
    CHECK(peer(PEER_ASK, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'") == 1);
    CHECK(peer(PEER_CLOSE, "") == SQLITE_OK);
    close_gathered(&conn);
}

/* ---- its methods, called as SQLite would ---- */

/* A file, as SQLite has it: SQLITE_FCNTL_FILE_POINTER or SQLITE_FCNTL_JOURNAL_POINTER. */
static sqlite3_file *file_of(sqlite3 *db, int which)
{
    sqlite3_file *file = NULL;

    CHECK(sqlite3_file_control(db, "main", which, &file) == SQLITE_OK);
    return file;
}

static void whoever_asks_for_the_logs_size_end_or_sync_gets_what_was_gathered(void)
{
    enum { SIZE, SYNC, TRUNCATE, KINDS };

    for (int kind = 0; kind < KINDS; kind++) {
        struct gathered conn;
        sqlite3_int64 size = 0, end;
        sqlite3_file *log;

        fresh_file();
        conn = open_gathered(path);
        run(conn.db, "BEGIN IMMEDIATE");
        for (int i = 0; i < 8; i++)
            CHECK(put_row(conn.db, i, "us", 12000, 1) == SQLITE_OK);
        log = file_of(conn.db, SQLITE_FCNTL_JOURNAL_POINTER);
        end = (sqlite3_int64)HEAD + 100 * FRAME;
        count_anew();
        log_writes.fail_at = 1;
        log_writes.code = SQLITE_FULL;
        CHECK(kind != SIZE || log->pMethods->xFileSize(log, &size) == SQLITE_FULL);
        CHECK(kind != SYNC || log->pMethods->xSync(log, SQLITE_SYNC_NORMAL) == SQLITE_FULL);
        CHECK(kind != TRUNCATE || log->pMethods->xTruncate(log, end) == SQLITE_FULL);
        CHECK(log_writes.writes == 1);
        run(conn.db, "ROLLBACK");
        CHECK(put_row(conn.db, 1, "us", 100, 1) == SQLITE_OK);
        close_gathered(&conn);
    }
}

static void only_the_write_lock_makes_it_gather(void)
{
    enum { CHECKPOINT_LOCK = 1, EXCLUSIVE = SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE };
    uint8_t header[HEADER] = { 0 };
    struct gathered conn;
    sqlite3_file *database, *log;
    sqlite3_int64 end = HEAD + 500 * FRAME; /* where it harms nothing */

    fresh_file();
    conn = open_gathered(path);
    CHECK(peer(PEER_RUN, "BEGIN IMMEDIATE") == SQLITE_OK);
    database = file_of(conn.db, SQLITE_FCNTL_FILE_POINTER);
    log = file_of(conn.db, SQLITE_FCNTL_JOURNAL_POINTER);
    count_anew();
    CHECK(database->pMethods->xShmLock(database, CHECKPOINT_LOCK, 1, EXCLUSIVE) == SQLITE_OK);
    CHECK(log->pMethods->xWrite(log, header, HEADER, end) == SQLITE_OK && log_writes.writes == 1);
    CHECK(database->pMethods->xShmLock(database, CHECKPOINT_LOCK, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE) ==
          SQLITE_OK);
    CHECK(database->pMethods->xShmLock(database, 0, 1, EXCLUSIVE) == SQLITE_BUSY);
    CHECK(log->pMethods->xWrite(log, header, HEADER, end) == SQLITE_OK && log_writes.writes == 2);
    CHECK(peer(PEER_RUN, "COMMIT") == SQLITE_OK);
    CHECK(database->pMethods->xShmLock(database, 0, 1, EXCLUSIVE) == SQLITE_OK);
    CHECK(log->pMethods->xWrite(log, header, HEADER, end) == SQLITE_OK && log_writes.writes == 2);
    CHECK(database->pMethods->xShmLock(database, 0, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE) == SQLITE_OK);
    CHECK(log->pMethods->xWrite(log, header, HEADER, end) == SQLITE_OK && log_writes.writes == 3);
    CHECK(peer(PEER_CLOSE, "") == SQLITE_OK);
    close_gathered(&conn);
}

/* ---- failures ---- */

/* What the file must hold: every row of the last transaction that was committed, `fill` in each. */
static void check_rows(sqlite3 *db, int fill)
{
    char sql[128];

    (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM t WHERE hex(substr(data, 1, 1)) = '%02X'", fill);
    CHECK(ask(db, sql) == 30);
    CHECK(ask(db, "SELECT count(*) FROM t") == 30);
    CHECK(is_whole(db));
}

static int put_thirty(sqlite3 *db, int fill)
{
    int code = run_code(db, "BEGIN IMMEDIATE") == SQLITE_OK ? SQLITE_OK : SQLITE_BUSY;

    for (int i = 0; i < 30 && code == SQLITE_OK; i++)
        code = put_row(db, i, "us", 12000, fill);
    if (code == SQLITE_OK)
        code = (int)run_code(db, "COMMIT");
    if (code != SQLITE_OK && !sqlite3_get_autocommit(db))
        (void)run_code(db, "ROLLBACK");
    return code;
}

static void each_write_that_fails_once_undoes_its_transaction_alone(void)
{
    static const int codes[] = { SQLITE_FULL, SQLITE_IOERR_WRITE };
    int failures = 0;

    for (int nth = 1;; nth++) {
        struct gathered conn;
        int code;

        fresh_file();
        conn = open_gathered(path);
        CHECK(put_thirty(conn.db, 1) == SQLITE_OK);
        count_anew();
        log_writes.fail_at = nth;
        log_writes.code = codes[nth % 2];
        log_writes.keep = nth % 3 == 0 ? 5000 : 0;
        code = put_thirty(conn.db, 2);
        if (log_writes.writes < nth) {
            CHECK(code == SQLITE_OK);
            check_rows(conn.db, 2);
            close_gathered(&conn);
            break;
        }
        failures++;
        CHECK((code & 0xff) == (codes[nth % 2] & 0xff));
        log_writes.fail_at = 0;
        check_rows(conn.db, 1);
        CHECK(peer(PEER_RUN, "UPDATE t SET data = CAST(x'03' || substr(data, 2) AS BLOB) WHERE id >= 0") == SQLITE_OK);
        check_log(conn.db, path);
        CHECK(peer(PEER_CLOSE, "") == SQLITE_OK);
        CHECK(put_thirty(conn.db, 4) == SQLITE_OK);
        check_rows(conn.db, 4);
        check_log(conn.db, path);
        close_gathered(&conn);
    }
    CHECK(failures >= 4); /* several flushes and the commit */
}

/* A child writes 1, acknowledged, then 2, and dies in the nth write of it, of which `keep` bytes reach the file. */
static bool die_in_write(int nth, int keep)
{
    pid_t pid;
    int status = 0;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        struct gathered conn = open_gathered(path);

        if (put_thirty(conn.db, 1) != SQLITE_OK)
            _exit(2);
        count_anew();
        log_writes.fail_at = nth;
        log_writes.keep = keep;
        log_writes.kill = true;
        _exit(put_thirty(conn.db, 2) == SQLITE_OK && log_writes.writes < nth ? 0 : 3);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
}

static void a_kill_amid_a_torn_write_leaves_what_was_acknowledged(void)
{
    static const int keeps[] = { 0, 1, HEADER, 3 * FRAME, 3 * FRAME + HEADER + 100, WAL_BUFFER_BYTES };
    int kills = 0;
    bool reached = true;

    for (int nth = 1; reached; nth++) {
        for (size_t k = 0; k < sizeof keeps / sizeof keeps[0] && reached; k++) {
            sqlite3 *db;
            bool all;

            fresh_file();
            reached = die_in_write(nth, keeps[k]);
            kills += reached;
            db = open_with("unix", path);
            /* The last write holds the commit frame: kept whole, it is a commit nobody was told of. */
            all = ask(db, "SELECT hex(substr(data, 1, 1)) = '02' FROM t WHERE id = 0") == 1;
            CHECK(!all || !reached || keeps[k] == WAL_BUFFER_BYTES);
            check_rows(db, all ? 2 : 1);
            check_log(db, path);
            CHECK(put_thirty(db, 3) == SQLITE_OK);
            check_rows(db, 3);
            CHECK(sqlite3_close(db) == SQLITE_OK);
        }
    }
    CHECK(kills >= 24);
}

/* ---- the engine over it ---- */

static kvault_status put_number(kvault_kv *kv, int number, kvault_error *err)
{
    static uint8_t value[16384];
    char text[16];
    kvault_slice key = { text, (size_t)snprintf(text, sizeof text, "%08d", number) };

    memset(value, number + 1, sizeof value);
    return kvault_kv_put(kv, key, (kvault_slice){ value, sizeof value }, err);
}

static void count_problem(void *ctx, const char *where, const char *what)
{
    printf("# %s: %s\n", where, what);
    ++*(int *)ctx;
}

static void the_engine_gathers_unless_it_is_told_not_to(void)
{
    int writes[2];

    for (int gather = 0; gather < 2; gather++) {
        kvault_error err = KVAULT_ERROR_INIT;
        kvault_options options;
        kvault *vault = NULL, *other = NULL;
        kvault_kv *kv = NULL;
        int problems = 0;

        fresh_file();
        kvault_options_init(&options);
        CHECK(options.gather_writes);
        options.gather_writes = gather;
        CHECK_OK(kvault_open(path, &options, &vault, &err), &err);
        CHECK_OK(kvault_kv_open(vault, NULL, &kv, &err), &err);
        count_anew();
        CHECK_OK(kvault_begin(vault, &err), &err);
        for (int i = 0; i < 100; i++)
            CHECK_OK(put_number(kv, i, &err), &err);
        CHECK_OK(kvault_commit(vault, &err), &err);
        writes[gather] = log_writes.writes;
        CHECK_OK(kvault_verify(vault, count_problem, &problems, &err), &err);
        CHECK(problems == 0);
        options.given = KVAULT_GIVEN_GATHER_WRITES;
        options.gather_writes = !gather;
        CHECK_STATUS(kvault_open(path, &options, &other, &err), KVAULT_E_INVALID, &err);
        CHECK_MESSAGE(&err, "gather_writes");
        kvault_kv_free(kv);
        CHECK_OK(kvault_close(vault, &err), &err);
        kvault_free(vault);
    }
    CHECK(writes[0] >= 400 && writes[1] <= writes[0] / 20);
}

/* A file system of 3 MiB, in a mount namespace of a child. Says why not, where it may not be made. */
static int on_small_disk(void)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvault *vault = NULL;
    kvault_kv *kv = NULL;
    kvault_status rc = KVAULT_OK;
    uint64_t count = 0;
    int acknowledged = 0, problems = 0;

    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
        return 77;
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 || mount("none", folder, "tmpfs", 0, "size=3m") != 0)
        return 77;
    CHECK_OK(kvault_open(path, NULL, &vault, &err), &err);
    CHECK_OK(kvault_kv_open(vault, NULL, &kv, &err), &err);
    while (acknowledged < 1000 && (rc = put_number(kv, acknowledged, &err)) == KVAULT_OK)
        acknowledged++;
    CHECK_STATUS(rc, KVAULT_E_IO, &err);
    CHECK_MESSAGE(&err, "the disk is full");
    CHECK(acknowledged > 50);
    CHECK_STATUS(put_number(kv, acknowledged, &err), KVAULT_E_IO, &err);
    CHECK_OK(kvault_verify(vault, count_problem, &problems, &err), &err);
    CHECK_OK(kvault_kv_count(kv, &count, &err), &err);
    CHECK(count == (uint64_t)acknowledged && problems == 0);
    kvault_kv_free(kv);
    (void)kvault_close(vault, &err); /* cannot fold the log into the file either */
    kvault_free(vault);
    vault = NULL;
    CHECK_OK(kvault_open(path, NULL, &vault, &err), &err);
    CHECK_OK(kvault_kv_open(vault, NULL, &kv, &err), &err);
    CHECK_OK(kvault_kv_count(kv, &count, &err), &err);
    CHECK(count == (uint64_t)acknowledged);
    kvault_kv_free(kv);
    (void)kvault_close(vault, &err);
    kvault_free(vault);
    return !kvtest_ok;
}

static void a_full_disk_fails_the_commit_and_harms_nothing(void)
{
    int status = -1;
    pid_t pid;

    fresh_file();
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        status = on_small_disk();
        fflush(stdout);
        _exit(status);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        printf("# skipped: no small file system can be mounted here\n");
    else
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- beside it ---- */

static int count_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void the_descriptor_is_sqlites_own(void)
{
    struct gathered conn;
    struct writeback writeback;
    struct stat want, got;
    int before, fd;

    fresh_file();
    CHECK(kvault__find_descriptor(path) == -1);
    conn = open_gathered(path);
    before = count_descriptors();
    fd = kvault__find_descriptor(path);
    CHECK(fd >= 0 && fstat(fd, &got) == 0 && stat(path, &want) == 0 && got.st_ino == want.st_ino);
    kvault__writeback_open(&writeback, path);
    for (int i = 0; i < 100; i++) {
        kvault__writeback_appended(&writeback, 100000, (sqlite3_int64)i % 50 * 100000);
        CHECK(writeback.from % 100000 == 0 || writeback.fd == fd);
    }
    CHECK(writeback.looked && (writeback.fd == fd || writeback.fd == -1));
    CHECK(count_descriptors() == before);
    close_gathered(&conn);
    CHECK(kvault__find_descriptor(path) == -1);
    kvault__writeback_open(&writeback, path);
    for (int i = 0; i < 100; i++)
        kvault__writeback_wrote(&writeback, 100000,
                                (sqlite3_int64)i * 100000); /* nothing to be found: nothing happens */
    CHECK(writeback.fd == -1);
}

static kvault_status make_vfs(void *argument)
{
    struct wal_vfs *vfs = NULL;
    kvault_error err;
    kvault_status rc = kvault__wal_vfs_new(&vfs, &err);

    (void)argument;
    kvault__wal_vfs_free(vfs);
    return rc;
}

static void each_vfs_goes_with_its_connection(void)
{
    struct gathered a, b;
    char name[64];

    fresh_file();
    kvtest_each_alloc_fails(make_vfs, NULL);
    a = open_gathered(path);
    b = open_gathered(path);
    CHECK(strcmp(kvault__wal_vfs_name(a.vfs), kvault__wal_vfs_name(b.vfs)) != 0);
    CHECK(put_row(a.db, 1, "us", 100, 1) == SQLITE_OK && put_row(b.db, 2, "us", 100, 2) == SQLITE_OK);
    CHECK(ask(a.db, "SELECT count(*) FROM t") == 2);
    (void)snprintf(name, sizeof name, "%s", kvault__wal_vfs_name(a.vfs));
    CHECK(sqlite3_vfs_find(name) != NULL && sqlite3_vfs_find(NULL) == &counting);
    close_gathered(&a);
    CHECK(sqlite3_vfs_find(name) == NULL);
    CHECK(put_row(b.db, 3, "us", 100, 3) == SQLITE_OK);
    check_log(b.db, path);
    close_gathered(&b);
}

int main(void)
{
    char command[64];

    if (!mkdtemp(folder))
        return 1;
    (void)snprintf(path, sizeof path, "%s/wal.db", folder);
    kvtest_ok = true;
    peer_start(); /* before SQLite is used: it inherits nothing */
    counting_install();
    RUN(frames_reach_the_log_in_few_writes);
    RUN(the_log_is_what_plain_sqlite_writes);
    RUN(what_is_in_the_buffer_is_read_back);
    RUN(a_rollback_journal_and_mapped_pages_work_as_ever);
    RUN(a_rollback_leaves_nothing_that_hurts_another_programs_commit);
    RUN(plain_sqlite_writes_and_reads_at_the_same_time);
    RUN(whoever_asks_for_the_logs_size_end_or_sync_gets_what_was_gathered);
    RUN(only_the_write_lock_makes_it_gather);
    RUN(each_write_that_fails_once_undoes_its_transaction_alone);
    RUN(a_kill_amid_a_torn_write_leaves_what_was_acknowledged);
    RUN(the_engine_gathers_unless_it_is_told_not_to);
    RUN(a_full_disk_fails_the_commit_and_harms_nothing);
    RUN(the_descriptor_is_sqlites_own);
    RUN(each_vfs_goes_with_its_connection);
    peer_end();
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) || kvtest_end();
}
