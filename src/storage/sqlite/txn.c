/* txn.c - transactions and savepoints.
 *
 * SQLite 3.40 loses committed rows when a transaction that spilled its page cache rolls
 * back to a savepoint and then commits, and the process dies before a checkpoint.
 * So once a transaction has spilled, a rollback to a savepoint rolls all of it back. */
#include <stdio.h>

#include "base/fail.h"
#include "storage/sqlite/busy.h"
#include "storage/sqlite/fail.h"
#include "storage/sqlite/sqlite.h"
#include "storage/sqlite/stmt.h"
#include "base/banned.h"

#define LARGE_BYTES (4u << 20) /* of pieces in one transaction */

bool kvault__sqlite_in_transaction(storage_conn *conn)
{
    return !sqlite3_get_autocommit(conn->db);
}

static int step_txn(storage_conn *conn, enum txn_stmt kind, kvault_error *reterr, kvault_status *ret_status)
{
    sqlite3_stmt *stmt = NULL;
    int code;

    *ret_status = kvault__stmt_txn(conn, kind, &stmt, reterr);
    if (*ret_status < 0)
        return SQLITE_NOMEM;
    code = sqlite3_step(stmt);
    kvault__stmt_return(stmt);
    return code;
}

static bool has_spilled(storage_conn *conn)
{
    int now = 0, highest = 0;

    return sqlite3_db_status(conn->db, SQLITE_DBSTATUS_CACHE_SPILL, &now, &highest, 0) != SQLITE_OK || now > 0;
}

static void forget_spills(storage_conn *conn)
{
    int now, highest;

    (void)sqlite3_db_status(conn->db, SQLITE_DBSTATUS_CACHE_SPILL, &now, &highest, 1); /* a count that cannot be reset
                                                                    only makes later rollbacks thorough */
}

kvault_status kvault__sqlite_prepare_ends(storage_conn *conn, kvault_error *reterr)
{
    sqlite3_stmt *stmt;
    kvault_status rc;

    TRY(kvault__stmt_txn(conn, TXN_ROLLBACK, &stmt, reterr));
    TRY(kvault__stmt_txn(conn, TXN_COMMIT, &stmt, reterr));
out:
    return rc;
}

kvault_status kvault__sqlite_begin(storage_conn *conn, bool write, const struct storage_wait *wait,
                                   kvault_error *reterr)
{
    kvault_status rc;
    int code = SQLITE_NOMEM;

    kvault__busy_enter(conn, wait);
    rc = kvault__sqlite_prepare_ends(conn, reterr);
    if (rc >= 0)
        code = step_txn(conn, write ? TXN_BEGIN_WRITE : TXN_BEGIN, reterr, &rc);
    if (rc >= 0 && code != SQLITE_DONE)
        rc = kvault__busy_fail(conn, wait, code, write ? "begin a transaction" : "begin to read", reterr);
    if (rc >= 0 && write) {
        forget_spills(conn);
    } else if (rc >= 0) {
        /* BEGIN alone pins nothing: the first read does. */
        code = step_txn(conn, TXN_PIN, reterr, &rc);
        if (rc >= 0 && code != SQLITE_ROW)
            rc = kvault__busy_fail(conn, wait, code, "begin to read", reterr);
        if (rc < 0)
            kvault__sqlite_rollback(conn);
    }
    kvault__busy_leave(conn);
    return rc;
}

kvault_status kvault__sqlite_commit(storage_conn *conn, const struct storage_wait *wait,
                                    enum storage_committed *ret_committed, kvault_error *reterr)
{
    kvault_status rc;
    int code;

    kvault__busy_enter(conn, wait);
    code = step_txn(conn, TXN_COMMIT, reterr, &rc);
    *ret_committed = STORAGE_COMMITTED;
    if (code != SQLITE_DONE) {
        if (rc >= 0)
            rc = kvault__busy_fail(conn, wait, code, "commit", reterr);
        /* An I/O error may have struck after the commit record was written. */
        *ret_committed = (code & 0xff) == SQLITE_IOERR ? STORAGE_UNKNOWN : STORAGE_ROLLED_BACK;
        kvault__sqlite_rollback(conn);
    }
    /* The pages of a large value would stay in the page cache, where nobody reads them again. */
    if (conn->piece_bytes >= LARGE_BYTES)
        (void)sqlite3_db_release_memory(conn->db);
    conn->piece_bytes = 0;
    kvault__busy_leave(conn);
    return rc;
}

void kvault__sqlite_rollback(storage_conn *conn)
{
    kvault_status rc;

    if (kvault__sqlite_in_transaction(conn))
        (void)step_txn(conn, TXN_ROLLBACK, NULL, &rc); /* fails only where SQLite has rolled back already */
}

static kvault_status savepoint(storage_conn *conn, const char *verb, int depth, const char *what, kvault_error *reterr)
{
    char sql[64];

    (void)snprintf(sql, sizeof sql, "%s level_%d", verb, depth);
    return kvault__exec(conn, sql, what, reterr);
}

kvault_status kvault__sqlite_savepoint(storage_conn *conn, int depth, kvault_error *reterr)
{
    return savepoint(conn, "SAVEPOINT", depth, "begin a nested transaction", reterr);
}

kvault_status kvault__sqlite_release(storage_conn *conn, int depth, kvault_error *reterr)
{
    return savepoint(conn, "RELEASE", depth, "end a nested transaction", reterr);
}

kvault_status kvault__sqlite_rollback_to(storage_conn *conn, int depth, kvault_error *reterr)
{
    kvault_status rc;

    if (has_spilled(conn)) {
        kvault__sqlite_rollback(conn);
        return kvault__fail(
            reterr, KVAULT_E_IO,
            "could not undo only the inner block: the transaction has outgrown its page cache, so all of "
            "it was rolled back; keep transactions below 64 MiB where inner blocks may fail");
    }
    TRY(savepoint(conn, "ROLLBACK TO", depth, "undo a nested transaction", reterr));
    TRY(savepoint(conn, "RELEASE", depth, "undo a nested transaction", reterr));
    return KVAULT_OK;
out:
    kvault__sqlite_rollback(conn);
    return rc;
}
