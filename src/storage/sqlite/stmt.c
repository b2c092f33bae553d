/* stmt.c - see stmt.h. */
#include "storage/sqlite/stmt.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/fail.h"
#include "storage/sqlite/busy.h"
#include "storage/sqlite/fail.h"
#include "storage/sqlite/layout.h"
#include "storage/sqlite/sqlite.h"
#include "base/banned.h"

static kvault_status prepare(storage_conn *conn, const char *sql, sqlite3_stmt **ret_stmt, kvault_error *reterr)
{
    int code = sqlite3_prepare_v3(conn->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_stmt, NULL);

    return code == SQLITE_OK ? KVAULT_OK : kvault__busy_fail(conn, conn->wait, code, "prepare a statement", reterr);
}

static kvault_status space_slot(storage_conn *conn, uint32_t index, struct space_stmts **ret_slot, kvault_error *reterr)
{
    if (index >= conn->space_count) {
        uint32_t count = index + 8;
        struct space_stmts **spaces = kvault__realloc(conn->spaces, count * sizeof(*spaces));

        if (!spaces)
            return kvault__fail_nomem(reterr, count * sizeof(*spaces));
        memset(spaces + conn->space_count, 0, (count - conn->space_count) * sizeof(*spaces));
        conn->spaces = spaces;
        conn->space_count = count;
    }
    if (!conn->spaces[index])
        conn->spaces[index] = kvault__alloc_zero(1, sizeof **conn->spaces);
    if (!conn->spaces[index])
        return kvault__fail_nomem(reterr, sizeof **conn->spaces);
    *ret_slot = conn->spaces[index];
    return KVAULT_OK;
}

kvault_status kvault__stmt_space(storage_conn *conn, const struct storage_space *space, int kind,
                                 sqlite3_stmt **ret_stmt, kvault_error *reterr)
{
    struct space_stmts *slot = NULL;
    char sql[SQL_BYTES_MAX];
    kvault_status rc;

    TRY(kvault__sqlite_check_immutable(conn, reterr));
    TRY(space_slot(conn, space->index, &slot, reterr));
    if (!slot->by_kind[kind]) {
        bool fits = kvault__space_sql(space, kind, sql);

        assert(fits);
        (void)fits;
        TRY(prepare(conn, sql, &slot->by_kind[kind], reterr));
    }
    *ret_stmt = slot->by_kind[kind];
out:
    return rc;
}

kvault_status kvault__stmt_chunk(storage_conn *conn, enum storage_family family, enum chunk_stmt kind,
                                 sqlite3_stmt **ret_stmt, kvault_error *reterr)
{
    sqlite3_stmt **slot = &conn->chunks[family][kind];
    char sql[SQL_BYTES_MAX];
    kvault_status rc;

    TRY(kvault__sqlite_check_immutable(conn, reterr));
    if (!*slot) {
        bool fits = kvault__chunk_sql(family, kind, sql);

        assert(fits);
        (void)fits;
        TRY(prepare(conn, sql, slot, reterr));
    }
    *ret_stmt = *slot;
out:
    return rc;
}

kvault_status kvault__stmt_txn(storage_conn *conn, enum txn_stmt kind, sqlite3_stmt **ret_stmt, kvault_error *reterr)
{
    static const char *const texts[TXN_STMTS] = {
        [TXN_BEGIN] = "BEGIN",
        [TXN_BEGIN_WRITE] = "BEGIN IMMEDIATE",
        [TXN_PIN] = "SELECT count(*) FROM sqlite_schema WHERE rowid = 1",
        [TXN_COMMIT] = "COMMIT",
        [TXN_ROLLBACK] = "ROLLBACK",
    };
    kvault_status rc = KVAULT_OK;

    if (!conn->txn[kind])
        TRY(prepare(conn, texts[kind], &conn->txn[kind], reterr));
    *ret_stmt = conn->txn[kind];
out:
    return rc;
}

void kvault__stmt_return(sqlite3_stmt *stmt)
{
    if (!stmt)
        return;
    (void)sqlite3_reset(stmt); /* repeats the failure of the step, which was seen there */
    (void)sqlite3_clear_bindings(stmt);
}

void kvault__stmt_finalize_all(storage_conn *conn)
{
    for (uint32_t i = 0; i < conn->space_count; i++) {
        for (int kind = 0; conn->spaces[i] && kind < STMT_KINDS; kind++)
            (void)sqlite3_finalize(conn->spaces[i]->by_kind[kind]);
        kvault__free(conn->spaces[i]);
    }
    kvault__free(conn->spaces);
    for (int family = 0; family < 2; family++)
        for (int kind = 0; kind < CHUNK_STMTS; kind++)
            (void)sqlite3_finalize(conn->chunks[family][kind]);
    for (int kind = 0; kind < TXN_STMTS; kind++)
        (void)sqlite3_finalize(conn->txn[kind]);
}

int kvault__stmt_bind_bytes(sqlite3_stmt *stmt, int at, kvault_slice bytes)
{
    return sqlite3_bind_blob64(stmt, at, bytes.size ? bytes.data : "", bytes.size, SQLITE_STATIC);
}

int kvault__stmt_bind_key(sqlite3_stmt *stmt, int at, const struct storage_space *space, kvault_slice key)
{
    if (!kvault__space_has_ids(space))
        return kvault__stmt_bind_bytes(stmt, at, key);
    assert(key.size == 8);
    return sqlite3_bind_int64(stmt, at, (int64_t)kvault__load_be64(key.data));
}

kvault_status kvault__exec(storage_conn *conn, const char *sql, const char *what, kvault_error *reterr)
{
    int code = sqlite3_exec(conn->db, sql, NULL, NULL, NULL);

    return code == SQLITE_OK ? KVAULT_OK : kvault__busy_fail(conn, conn->wait, code, what, reterr);
}

kvault_status kvault__exec_number(storage_conn *conn, const char *sql, const char *what, int64_t *ret_number,
                                  kvault_error *reterr)
{
    sqlite3_stmt *stmt = NULL;
    kvault_status rc = KVAULT_OK;
    int code = sqlite3_prepare_v2(conn->db, sql, -1, &stmt, NULL);

    if (code == SQLITE_OK)
        code = sqlite3_step(stmt);
    if (code == SQLITE_ROW)
        *ret_number = sqlite3_column_int64(stmt, 0);
    else
        rc = kvault__busy_fail(conn, conn->wait, code == SQLITE_DONE ? SQLITE_CORRUPT : code, what, reterr);
    (void)sqlite3_finalize(stmt);
    return rc;
}
