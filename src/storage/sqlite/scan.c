/* scan.c - rows in key order, a page at a time; counts. */
#include "base/bytes.h"
#include "base/fail.h"
#include "storage/sqlite/busy.h"
#include "storage/sqlite/layout.h"
#include "storage/sqlite/sqlite.h"
#include "storage/sqlite/stmt.h"
#include "base/banned.h"

static void read_row(sqlite3_stmt *stmt, const struct storage_range *range, uint8_t id[8], kvault_slice *ret_key,
                     struct storage_cell *ret_cell)
{
    bool ours = range->space->kind == STORAGE_TABLE && range->space->layout == STORAGE_LAYOUT_OURS;

    *ret_cell = (struct storage_cell){ 0 };
    if (kvault__space_has_ids(range->space)) {
        kvault__store_be64(id, (uint64_t)sqlite3_column_int64(stmt, 0));
        *ret_key = (kvault_slice){ id, 8 };
    } else {
        *ret_key = (kvault_slice){ sqlite3_column_blob(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0) };
    }
    if (ours && sqlite3_column_type(stmt, 2) != SQLITE_NULL) {
        ret_cell->blob_id = (uint64_t)sqlite3_column_int64(stmt, 2);
        ret_cell->size = (uint64_t)sqlite3_column_int64(stmt, 3);
    } else if (range->with_values) {
        ret_cell->value = (kvault_slice){ sqlite3_column_blob(stmt, 1), (size_t)sqlite3_column_bytes(stmt, 1) };
        ret_cell->size = ret_cell->value.size;
        ret_cell->checksum = ours ? (uint64_t)sqlite3_column_int64(stmt, 4) : 0;
    } else {
        ret_cell->size = (uint64_t)sqlite3_column_int64(stmt, 1);
    }
}

kvault_status kvault__sqlite_scan(storage_conn *conn, const struct storage_range *range,
                                  const struct storage_wait *wait, storage_row_fn row, void *row_ctx,
                                  kvault_error *reterr)
{
    sqlite3_stmt *stmt = NULL;
    struct storage_cell cell;
    kvault_slice key;
    uint8_t id[8];
    kvault_status rc;
    int code = SQLITE_OK;

    kvault__busy_enter(conn, wait);
    TRY(kvault__stmt_space(conn, range->space, kvault__scan_kind(range), &stmt, reterr));
    if (range->start)
        code = kvault__stmt_bind_key(stmt, 1, range->space, *range->start);
    if (code == SQLITE_OK && range->stop)
        code = kvault__stmt_bind_key(stmt, 2, range->space, *range->stop);
    if (code == SQLITE_OK)
        code = sqlite3_bind_int64(stmt, 3, range->limit);
    while (rc == KVAULT_OK && code == SQLITE_OK) {
        code = sqlite3_step(stmt);
        if (code != SQLITE_ROW)
            break;
        code = SQLITE_OK;
        read_row(stmt, range, id, &key, &cell);
        rc = row(row_ctx, key, &cell, reterr);
    }
    if (rc >= 0 && code != SQLITE_OK && code != SQLITE_DONE)
        rc = kvault__busy_fail(conn, wait, code, "read keys", reterr);
out:
    kvault__stmt_return(stmt);
    kvault__busy_leave(conn);
    return rc < 0 ? rc : KVAULT_OK;
}

kvault_status kvault__sqlite_scan_chunks(storage_conn *conn, enum storage_family family, uint64_t owner, uint32_t seq,
                                         const struct storage_wait *wait, storage_chunk_fn row, void *row_ctx,
                                         kvault_error *reterr)
{
    sqlite3_stmt *stmt = NULL;
    kvault_status rc;
    int code;

    kvault__busy_enter(conn, wait);
    TRY(kvault__stmt_chunk(conn, family, CHUNK_SCAN, &stmt, reterr));
    code = sqlite3_bind_int64(stmt, 1, (int64_t)(owner << 32 | seq));
    while (rc == KVAULT_OK && code == SQLITE_OK) {
        code = sqlite3_step(stmt);
        if (code != SQLITE_ROW)
            break;
        code = SQLITE_OK;
        rc = row(row_ctx, (uint64_t)sqlite3_column_int64(stmt, 0) >> 32, (uint32_t)sqlite3_column_int64(stmt, 0),
                 (uint32_t)sqlite3_column_int64(stmt, 1), reterr);
    }
    if (rc >= 0 && code != SQLITE_OK && code != SQLITE_DONE)
        rc = kvault__busy_fail(conn, wait, code, "read chunks", reterr);
out:
    kvault__stmt_return(stmt);
    kvault__busy_leave(conn);
    return rc < 0 ? rc : KVAULT_OK;
}

kvault_status kvault__sqlite_count(storage_conn *conn, const struct storage_space *space,
                                   const struct storage_wait *wait, uint64_t *ret_count, kvault_error *reterr)
{
    sqlite3_stmt *stmt = NULL;
    kvault_status rc;
    int code;

    kvault__busy_enter(conn, wait);
    TRY(kvault__stmt_space(conn, space, STMT_COUNT, &stmt, reterr));
    code = sqlite3_step(stmt);
    if (code == SQLITE_ROW)
        *ret_count = (uint64_t)sqlite3_column_int64(stmt, 0);
    else
        rc = kvault__busy_fail(conn, wait, code, "count the keys", reterr);
out:
    kvault__stmt_return(stmt);
    kvault__busy_leave(conn);
    return rc;
}

kvault_status kvault__sqlite_clear(storage_conn *conn, const struct storage_space *space,
                                   const struct storage_wait *wait, kvault_error *reterr)
{
    sqlite3_stmt *stmt = NULL;
    kvault_status rc;
    int code;

    kvault__busy_enter(conn, wait);
    TRY(kvault__stmt_space(conn, space, STMT_CLEAR, &stmt, reterr));
    code = sqlite3_step(stmt);
    if (code != SQLITE_DONE)
        rc = kvault__busy_fail(conn, wait, code, "clear the table", reterr);
out:
    kvault__stmt_return(stmt);
    kvault__busy_leave(conn);
    return rc;
}
