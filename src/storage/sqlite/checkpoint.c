/* checkpoint.c - the log into the file, and what else concerns the file as a whole.
 *
 * Before 3.51.3 SQLite can corrupt a file when a commit resets the log while a second
 * checkpoint runs; and FULL, RESTART and TRUNCATE silently become PASSIVE when the write lock is
 * busy. So there is one way: the writer takes the write lock, another connection
 * runs a PASSIVE checkpoint, the writer lets go. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fail.h"
#include "storage/sqlite/busy.h"
#include "storage/sqlite/fail.h"
#include "storage/sqlite/sqlite.h"
#include "storage/sqlite/stmt.h"
#include "base/banned.h"

#define GLANCE_US 1000
#define FIRST_MARK_LOCK                                                                                                \
    4 /* of the shared memory's locks: readers' marks in the log; mark 0 stands for "all is in the file" */
#define MARK_LOCKS 4
#define BACKUP_PAGES 512

static bool marks_are_free(storage_conn *copier)
{
    sqlite3_file *file = NULL;

    if (sqlite3_file_control(copier->db, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK ||
        file->pMethods->xShmLock(file, FIRST_MARK_LOCK, MARK_LOCKS, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE) !=
            SQLITE_OK)
        return false;
    (void)file->pMethods->xShmLock(file, FIRST_MARK_LOCK, MARK_LOCKS, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
    return true;
}

/* All is copied. A write begins the log anew only when no reader has a mark in it, and those that began while it was
 * being copied have one. Whoever begins now needs none, as long as the write lock is held. */
static void wait_for_marks(storage_conn *writer, storage_conn *copier, int hold_ms)
{
    int64_t until = kvault__monotonic_ns() + (int64_t)hold_ms * 1000000;
    struct storage_wait at_once = { .deadline_ns = 0 };

    if (kvault__sqlite_begin(writer, true, &at_once, NULL) < 0)
        return; /* best effort: another program writes, and may begin it anew */
    while (!marks_are_free(copier) && kvault__monotonic_ns() < until)
        kvault__sleep_us(GLANCE_US);
    kvault__sqlite_rollback(writer);
}

kvault_status kvault__sqlite_checkpoint(storage_conn *writer, storage_conn *copier, int hold_ms,
                                        const struct storage_wait *wait, struct storage_checkpointed *ret_done,
                                        kvault_error *reterr)
{
    struct storage_wait now = *wait;
    int64_t until = kvault__monotonic_ns() + (int64_t)hold_ms * 1000000;
    int frames = 0, copied = 0, code;
    kvault_error busy = KVAULT_ERROR_INIT;
    kvault_status rc;

    *ret_done = (struct storage_checkpointed){ 0 };
    now.deadline_ns = hold_ms ? until : 0;
    rc = kvault__sqlite_begin(writer, true, &now, &busy);
    if (rc == KVAULT_E_BUSY)
        return KVAULT_OK;
    if (rc < 0) {
        if (reterr)
            *reterr = busy;
        return rc;
    }
    for (;;) {
        code = sqlite3_wal_checkpoint_v2(copier->db, "main", SQLITE_CHECKPOINT_PASSIVE, &frames, &copied);
        if (code != SQLITE_OK || copied >= frames || kvault__monotonic_ns() >= until)
            break;
        kvault__sleep_us(GLANCE_US);
    }
    kvault__sqlite_rollback(writer);
    if (code != SQLITE_OK && (code & 0xff) != SQLITE_BUSY)
        return kvault__fail_sqlite(copier, code, "checkpoint", reterr);
    ret_done->ran = code == SQLITE_OK;
    ret_done->complete = code == SQLITE_OK && copied >= frames;
    ret_done->wal_bytes = frames > 0 ? (uint64_t)frames * writer->page_size : 0;
    if (!ret_done->complete)
        return KVAULT_OK;
    writer->log_pages = 0; /* the next commit says how long the log is then */
    if (hold_ms)
        wait_for_marks(writer, copier, hold_ms);
    return KVAULT_OK;
}

kvault_status kvault__sqlite_optimize(storage_conn *writer, const struct storage_wait *wait, kvault_error *reterr)
{
    kvault_status rc;

    kvault__busy_enter(writer, wait);
    rc = kvault__exec(writer, "PRAGMA optimize", "optimize", reterr);
    kvault__busy_leave(writer);
    return rc;
}

/* ---- backup ---- */

static kvault_status sync_file(const char *path, kvault_error *reterr)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC); /* nobody else has it open, so no lock is lost */
    kvault_status rc = KVAULT_OK;

    if (fd < 0 || fsync(fd) != 0)
        rc = kvault__fail(reterr, KVAULT_E_IO, "could not sync \"%s\": %s", path, strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

static kvault_status copy_pages(storage_conn *conn, sqlite3 *to, bool (*progress)(void *, uint64_t, uint64_t),
                                void *progress_ctx, kvault_error *reterr)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", conn->db, "main");
    kvault_status rc = KVAULT_OK;
    int code = SQLITE_OK;

    if (!backup)
        return kvault__fail_sqlite(conn, sqlite3_errcode(to), "begin the backup", reterr);
    while (code == SQLITE_OK && rc >= 0) {
        code = sqlite3_backup_step(backup, BACKUP_PAGES);
        if (progress &&
            !progress(progress_ctx, (uint64_t)(sqlite3_backup_pagecount(backup) - sqlite3_backup_remaining(backup)),
                      (uint64_t)sqlite3_backup_pagecount(backup)))
            rc = kvault__fail(reterr, KVAULT_E_INTERRUPTED, "the backup was stopped");
        else if (kvault__busy_interrupted(conn))
            rc = kvault__fail(reterr, KVAULT_E_INTERRUPTED, "the backup was interrupted");
    }
    if (rc >= 0 && code != SQLITE_DONE)
        rc = kvault__fail_sqlite(conn, code, "copy to the backup", reterr);
    (void)sqlite3_backup_finish(backup); /* its failure is that of the step */
    return rc;
}

kvault_status kvault__sqlite_backup(storage_conn *conn, const char *dest, const struct storage_wait *wait,
                                    bool (*progress)(void *ctx, uint64_t done, uint64_t total), void *progress_ctx,
                                    kvault_error *reterr)
{
    sqlite3 *to = NULL;
    kvault_status rc;
    int code = sqlite3_open_v2(dest, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

    if (code != SQLITE_OK) {
        rc = kvault__fail(reterr, KVAULT_E_IO, "could not create \"%s\": %s", dest, sqlite3_errstr(code));
        goto out;
    }
    kvault__busy_enter(conn, wait);
    rc = copy_pages(conn, to, progress, progress_ctx, reterr);
    kvault__busy_leave(conn);
    if (rc >= 0)
        rc = sync_file(dest, reterr);
out:
    (void)sqlite3_close(to); /* everything is on the disk already */
    return rc;
}

/* ---- check and sizes ---- */

kvault_status kvault__sqlite_check(storage_conn *conn, const struct storage_wait *wait,
                                   void (*problem)(void *ctx, const char *where, const char *what), void *problem_ctx,
                                   kvault_error *reterr)
{
    sqlite3_stmt *stmt = NULL;
    kvault_status rc = KVAULT_OK;
    int code;

    kvault__busy_enter(conn, wait);
    code = sqlite3_prepare_v2(conn->db, "PRAGMA integrity_check", -1, &stmt, NULL);
    while (code == SQLITE_OK || code == SQLITE_ROW) {
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW) {
            const char *text = (const char *)sqlite3_column_text(stmt, 0);

            if (text && strcmp(text, "ok") != 0)
                problem(problem_ctx, conn->path, text);
        }
    }
    if ((code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB)
        problem(problem_ctx, conn->path, sqlite3_errmsg(conn->db));
    else if (code != SQLITE_DONE)
        rc = kvault__busy_fail(conn, wait, code, "check the file", reterr);
    (void)sqlite3_finalize(stmt);
    kvault__busy_leave(conn);
    return rc;
}

static uint64_t file_bytes(const char *path)
{
    struct stat at;

    return stat(path, &at) == 0 ? (uint64_t)at.st_size : 0;
}

kvault_status kvault__sqlite_sizes(storage_conn *conn, struct storage_sizes *ret_sizes, kvault_error *reterr)
{
    char wal[PATH_MAX + 8];
    int64_t pages = 0, free_pages = 0;
    int used = 0, highest = 0;
    kvault_status rc;

    TRY(kvault__exec_number(conn, "PRAGMA page_count", "count the pages", &pages, reterr));
    TRY(kvault__exec_number(conn, "PRAGMA freelist_count", "count the free pages", &free_pages, reterr));
    (void)sqlite3_db_status(conn->db, SQLITE_DBSTATUS_CACHE_USED, &used, &highest, 0); /* 0 where unknown */
    (void)snprintf(wal, sizeof wal, "%s-wal", conn->path);
    *ret_sizes = (struct storage_sizes){ .page_size = conn->page_size,
                                         .pages = (uint64_t)pages,
                                         .free_pages = (uint64_t)free_pages,
                                         .file_bytes = conn->memory ? 0 : file_bytes(conn->path),
                                         .wal_bytes = conn->memory ? 0 : file_bytes(wal),
                                         .cache_bytes_used = (uint64_t)used };
out:
    return rc;
}
