/* open.c - a connection: what is checked before anything is touched, and how it is set up.
 *
 * A file is looked at with reads alone first: one that is damaged, newer, or another
 * program's by its application id is refused, and stays as it was. SQLite opens
 * it, never we: closing a descriptor of ours would drop the process's locks on it. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fail.h"
#include "storage/sqlite/busy.h"
#include "storage/sqlite/fail.h"
#include "storage/sqlite/layout.h"
#include "storage/sqlite/sqlite.h"
#include "storage/sqlite/stmt.h"
#include "storage/sqlite/wal_vfs.h"
#include "base/banned.h"

#define SPILL_BYTES (64 << 20)
#define LOG_KEPT_BYTES (64 << 20) /* journal_size_limit */
#define RETRY_US 1000

/* Told each commit that reached the log. */
static int on_wal_commit(void *ctx, sqlite3 *db, const char *name, int pages)
{
    storage_conn *conn = ctx;

    (void)db;
    (void)name;
    conn->log_pages = (uint64_t)pages;
    atomic_fetch_add_explicit(&conn->commits, 1, memory_order_relaxed); /* see commits() */
    return SQLITE_OK;
}

/* Without a log: told before each commit. One that then fails counts too, which only costs a recount. */
static int on_commit(void *ctx)
{
    storage_conn *conn = ctx;

    atomic_fetch_add_explicit(&conn->commits, 1, memory_order_relaxed); /* see commits() */
    return 0;
}

/* ---- opening ---- */

static int open_plain(storage_conn *conn, const struct storage_config *config)
{
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                (config->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);

    return sqlite3_open_v2(config->path, &conn->db, flags, conn->vfs ? kvault__wal_vfs_name(conn->vfs) : NULL);
}

static bool has_wal(const char *path)
{
    char wal[PATH_MAX + 8];
    struct stat at;

    (void)snprintf(wal, sizeof wal, "%s-wal", path);
    return stat(wal, &at) == 0 && at.st_size > 0;
}

kvault_status kvault__sqlite_check_immutable(storage_conn *conn, kvault_error *reterr)
{
    struct stat now;

    if (!conn->immutable)
        return KVAULT_OK;
    if (stat(conn->path, &now) == 0 && now.st_size == conn->stamp[0] && now.st_mtim.tv_sec == conn->stamp[1] &&
        now.st_mtim.tv_nsec == conn->stamp[2] && !has_wal(conn->path))
        return KVAULT_OK;
    return kvault__fail(reterr, KVAULT_E_IO,
                        "cannot read \"%s\" any more: it was opened in a folder that we cannot write to, where changes "
                        "cannot be followed, and it has changed since; open it again",
                        conn->path);
}

/* A file in a folder that cannot be written: nobody can change it while we look, unless they can write
 * the folder after all, so its size and time are compared on every call. */
static int open_immutable(storage_conn *conn, const struct storage_config *config)
{
    static const char *const digits = "0123456789ABCDEF";
    char uri[3 * PATH_MAX + 32];
    size_t at = (size_t)snprintf(uri, sizeof uri, "file:");
    struct stat now;

    for (const char *from = config->path; *from && at + 32 < sizeof uri; from++) {
        if (strchr("%?#", *from)) {
            uri[at++] = '%';
            uri[at++] = digits[(unsigned char)*from >> 4];
            uri[at++] = digits[(unsigned char)*from & 15];
        } else {
            uri[at++] = *from;
        }
    }
    (void)snprintf(uri + at, sizeof uri - at, "?immutable=1");
    if (stat(config->path, &now) != 0)
        return SQLITE_CANTOPEN;
    conn->immutable = true;
    conn->stamp[0] = now.st_size;
    conn->stamp[1] = now.st_mtim.tv_sec;
    conn->stamp[2] = now.st_mtim.tv_nsec;
    return sqlite3_open_v2(uri, &conn->db,
                           SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
}

static kvault_status read_number(storage_conn *conn, const char *sql, int64_t *ret_number, kvault_error *reterr)
{
    return kvault__exec_number(conn, sql, "open the file", ret_number, reterr);
}

/* The first read: of the header, of the log if there is one. It begins a transaction, in which the questions
 * that follow cost no locks. */
static kvault_status read_first(storage_conn *conn, int64_t *ret_tables, kvault_error *reterr)
{
    kvault_status rc;

    kvault__busy_install(conn);
    TRY(kvault__exec(conn, "BEGIN", "open the file", reterr));
    TRY(read_number(conn, "SELECT count(*) FROM sqlite_schema", ret_tables, reterr));
out:
    return rc;
}

static kvault_status open_and_read(storage_conn *conn, const struct storage_config *config, int64_t *ret_tables,
                                   kvault_error *reterr)
{
    int code = open_plain(conn, config);
    kvault_status rc;

    if (code == SQLITE_OK) {
        rc = read_first(conn, ret_tables, reterr);
        if (rc >= 0 || !config->read_only || conn->memory || rc == KVAULT_E_CORRUPT || rc == KVAULT_E_BUSY)
            return rc;
    } else if (!config->read_only) {
        return kvault__fail_sqlite(conn, code, "open the file", reterr);
    }
    if (has_wal(config->path))
        return kvault__fail(reterr, KVAULT_E_IO,
                            "could not open \"%s\" read-only: it has a WAL that cannot be read here, and without it commits "
                            "would be hidden; make the folder writable, or close the writing program",
                            config->path);
    (void)sqlite3_close(conn->db);
    conn->db = NULL;
    code = open_immutable(conn, config);
    if (code != SQLITE_OK)
        return kvault__fail_sqlite(conn, code, "open the file", reterr);
    return read_first(conn, ret_tables, reterr);
}

/* ---- whose file is it? ---- */

static kvault_status check_owner(storage_conn *conn, int64_t tables, bool *ret_new, kvault_error *reterr)
{
    int64_t application = 0, format = 0, refuse = 0, read_only = 0, has_format = 0;
    kvault_status rc;

    *ret_new = false;
    TRY(read_number(conn, "PRAGMA application_id", &application, reterr));
    TRY(read_number(conn, "PRAGMA user_version", &format, reterr));
    conn->ours = application == APPLICATION_ID;
    if (!application) {
        *ret_new = tables == 0;
        goto out;
    }
    if (application != APPLICATION_ID)
        return kvault__fail(reterr, KVAULT_E_INVALID,
                            "cannot open \"%s\": it belongs to another program (application id 0x%08llX)", conn->path,
                            (unsigned long long)application);
    if (format > FORMAT_NUMBER)
        return kvault__fail(reterr, KVAULT_E_INVALID,
                            "cannot open \"%s\": its format is number %lld, this version reads up to %d; install a newer one",
                            conn->path, (long long)format, FORMAT_NUMBER);
    TRY(read_number(conn, "SELECT count(*) FROM sqlite_schema WHERE name = 'kv_format'", &has_format, reterr));
    if (!has_format)
        return kvault__fail(reterr, KVAULT_E_CORRUPT, "the file \"%s\" is damaged: its table kv_format is missing",
                            conn->path);
    TRY(read_number(conn, "SELECT refuse_features FROM kv_format", &refuse, reterr));
    TRY(read_number(conn, "SELECT read_only_features FROM kv_format", &read_only, reterr));
    if (refuse)
        return kvault__fail(reterr, KVAULT_E_INVALID,
                            "cannot open \"%s\": it uses features (mask 0x%llX) that this version does not know", conn->path,
                            (unsigned long long)refuse);
    if (read_only && !conn->read_only)
        return kvault__fail(reterr, KVAULT_E_READONLY,
                            "cannot write to \"%s\": it uses features (mask 0x%llX) that this version can only read; open it "
                            "with read_only=True",
                            conn->path, (unsigned long long)read_only);
out:
    return rc;
}

/* ---- setting up ---- */

static kvault_status pragma(storage_conn *conn, const char *name, int64_t value, kvault_error *reterr)
{
    char sql[96];

    (void)snprintf(sql, sizeof sql, "PRAGMA %s = %lld", name, (long long)value);
    return kvault__exec(conn, sql, "set up the connection", reterr);
}

/* SQLite does not ask the busy handler when the journal mode changes. */
static kvault_status set_journal(storage_conn *conn, const struct storage_config *config,
                                 const struct storage_wait *wait, kvault_error *reterr)
{
    const char *want = config->wal ? "wal" : "delete";
    char sql[64];

    (void)snprintf(sql, sizeof sql, "PRAGMA journal_mode = %s", want);
    for (;;) {
        sqlite3_stmt *stmt = NULL;
        int code = sqlite3_prepare_v2(conn->db, sql, -1, &stmt, NULL);
        bool done = false;

        if (code == SQLITE_OK)
            code = sqlite3_step(stmt);
        if (code == SQLITE_ROW)
            done = strcmp((const char *)sqlite3_column_text(stmt, 0), want) == 0;
        (void)sqlite3_finalize(stmt);
        if (done)
            return KVAULT_OK;
        if (code == SQLITE_ROW)
            return kvault__fail(reterr, KVAULT_E_IO, "could not set the journal mode of \"%s\" to %s", conn->path, want);
        if ((code & 0xff) != SQLITE_BUSY || kvault__monotonic_ns() >= wait->deadline_ns ||
            kvault__busy_interrupted(conn))
            return kvault__busy_fail(conn, wait, code, "set the journal mode", reterr);
        kvault__sleep_us(RETRY_US);
    }
}

/* The mode that the file is in, whoever chose it. */
static kvault_status read_journal(storage_conn *conn, kvault_error *reterr)
{
    sqlite3_stmt *stmt = NULL;
    kvault_status rc = KVAULT_OK;
    int code = sqlite3_prepare_v2(conn->db, "PRAGMA journal_mode", -1, &stmt, NULL);

    if (code == SQLITE_OK)
        code = sqlite3_step(stmt);
    if (code == SQLITE_ROW)
        conn->wal = strcmp((const char *)sqlite3_column_text(stmt, 0), "wal") == 0;
    else
        rc = kvault__busy_fail(conn, conn->wait, code, "set up the connection", reterr);
    (void)sqlite3_finalize(stmt);
    return rc;
}

static kvault_status make_new(storage_conn *conn, const struct storage_config *config, const struct storage_wait *wait,
                              kvault_error *reterr)
{
    char sql[96];
    kvault_status rc;

    TRY(pragma(conn, "page_size", config->page_size, reterr));
    TRY(conn->memory ? KVAULT_OK : set_journal(conn, config, wait, reterr));
    TRY(kvault__sqlite_prepare_ends(conn, reterr));
    TRY(kvault__exec(conn, "BEGIN IMMEDIATE", "create the file", reterr));
    TRY(kvault__sqlite_make_schema(conn, reterr));
    (void)snprintf(sql, sizeof sql, "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION_ID, FORMAT_NUMBER);
    TRY(kvault__exec(conn, sql, "create the file", reterr));
    TRY(kvault__exec(conn, "COMMIT", "create the file", reterr));
    conn->ours = true;
    return KVAULT_OK;
out:
    kvault__sqlite_rollback(conn);
    return rc;
}

/* NORMAL and FULL with a WAL. Without one NORMAL could leave a damaged file, and with FULL a commit is undone when
 * the deletion of its journal did not reach the disk, which EXTRA waits for. */
static int64_t sync_level(const struct storage_config *config)
{
    return (config->wal ? 1 : 2) + config->full_sync;
}

static kvault_status set_up(storage_conn *conn, const struct storage_config *config, const struct storage_wait *wait,
                            bool is_new, kvault_error *reterr)
{
    int64_t value = 0;
    kvault_status rc;

    TRY(pragma(conn, "secure_delete", 0, reterr));
    TRY(pragma(conn, "cell_size_check", 1, reterr));
    if (is_new && !conn->read_only)
        TRY(make_new(conn, config, wait, reterr));
    else if (!conn->read_only && !conn->memory)
        TRY(set_journal(conn, config, wait, reterr));
    TRY(pragma(conn, "synchronous", sync_level(config), reterr));
    TRY(pragma(conn, "mmap_size", (int64_t)config->mmap_size, reterr));
    TRY(pragma(conn, "journal_size_limit", LOG_KEPT_BYTES, reterr));
    TRY(pragma(conn, "cache_size", -(int64_t)(config->cache_bytes / 1024), reterr));
    TRY(read_number(conn, "PRAGMA page_size", &value, reterr));
    conn->page_size = (uint32_t)value;
    /* Odd on purpose: SQLite takes the low byte of the number as a truth value too, and 8192 would
     * switch spilling off, so that a transaction's memory had no bound. */
    TRY(pragma(conn, "cache_spill", SPILL_BYTES / value | 1, reterr));
    /* These cannot fail on a connection that is open. */
    (void)sqlite3_db_config(conn->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(conn->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_wal_autocheckpoint(conn->db, 0);
    TRY(read_journal(conn, reterr));
    if (conn->wal)
        (void)sqlite3_wal_hook(conn->db, on_wal_commit, conn); /* returns the one before */
    else
        (void)sqlite3_commit_hook(conn->db, on_commit, conn);
    /* A read maps the shared header, which is then there to stay. */
    TRY(read_number(conn, "SELECT count(*) FROM sqlite_schema", &value, reterr));
    kvault__sqlite_map_version(conn);
out:
    return rc;
}

kvault_status kvault__sqlite_open(const struct storage_config *config, const struct storage_wait *wait,
                                  storage_conn **ret_conn, kvault_error *reterr)
{
    storage_conn *conn = kvault__alloc_zero(1, sizeof *conn);
    size_t size = strlen(config->path) + 1;
    int64_t tables = 0;
    bool is_new = false;
    kvault_status rc;

    if (!conn)
        return kvault__fail_nomem(reterr, sizeof *conn);
    conn->path = kvault__alloc(size);
    if (!conn->path) {
        kvault__free(conn);
        return kvault__fail_nomem(reterr, size);
    }
    memcpy(conn->path, config->path, size);
    conn->memory = strcmp(config->path, ":memory:") == 0;
    conn->read_only = config->read_only && !conn->memory;
    kvault__busy_enter(conn, wait);
    if (config->gather_writes && config->wal && !config->read_only)
        TRY(kvault__wal_vfs_new(&conn->vfs, reterr));
    conn->had_log = !conn->memory && has_wal(conn->path);
    TRY(open_and_read(conn, config, &tables, reterr));
    TRY(check_owner(conn, tables, &is_new, reterr));
    TRY(kvault__exec(conn, "COMMIT", "open the file", reterr));
    TRY(set_up(conn, config, wait, is_new, reterr));
    kvault__busy_leave(conn);
    *ret_conn = conn;
    return KVAULT_OK;
out:
    kvault__sqlite_close(conn, false);
    return rc;
}

/* A connection that may only read makes an empty WAL and its index, and cannot remove them. One that may write
 * does so when it closes, unless somebody else has the file open; there is nothing for it to write. Best effort. */
static void remove_empty_log(const char *path)
{
    sqlite3 *db = NULL;

    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK)
        (void)sqlite3_exec(db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
    (void)sqlite3_close(db);
}

void kvault__sqlite_close(storage_conn *conn, bool last)
{
    if (conn->db) {
        kvault__sqlite_rollback(conn);
        kvault__stmt_finalize_all(conn);
        if (!last)
            (void)sqlite3_db_config(conn->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        (void)sqlite3_close(conn->db); /* all statements are finalized: it cannot be busy */
        if (last && conn->read_only && conn->wal && !conn->immutable && !conn->had_log && !has_wal(conn->path))
            remove_empty_log(conn->path);
    }
    kvault__wal_vfs_free(conn->vfs);
    kvault__free(conn->path);
    kvault__free(conn);
}
