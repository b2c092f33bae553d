/* run.c - the operations of the seam, one statement each. */
#include <limits.h>
#include <string.h>

#include "base/fail.h"
#include "storage/sqlite/busy.h"
#include "storage/sqlite/fail.h"
#include "storage/sqlite/layout.h"
#include "storage/sqlite/sqlite.h"
#include "storage/sqlite/stmt.h"
#include "base/banned.h"

static int64_t chunk_id(uint64_t owner, uint32_t seq)
{
    return (int64_t)(owner << 32 | seq);
}

/* ---- cells ---- */

static kvault_status get_cell(storage_conn *conn, struct storage_op *op, kvault_error *reterr)
{
    bool ours = op->space->kind == STORAGE_TABLE && op->space->layout == STORAGE_LAYOUT_OURS;
    sqlite3_stmt *stmt = NULL;
    kvault_status rc;
    int code;

    op->cell = (struct storage_cell){ 0 };
    TRY(kvault__stmt_space(conn, op->space, op->dest ? STMT_GET : STMT_LOOK, &stmt, reterr));
    code = kvault__stmt_bind_key(stmt, 1, op->space, op->key);
    if (code == SQLITE_OK)
        code = sqlite3_step(stmt);
    if (code == SQLITE_DONE) {
        op->outcome = STORAGE_MISSING;
        goto out;
    }
    if (code != SQLITE_ROW) {
        rc = kvault__busy_fail(conn, conn->wait, code, "read a key", reterr);
        goto out;
    }
    op->outcome = STORAGE_DONE;
    if (ours && sqlite3_column_type(stmt, 1) != SQLITE_NULL) {
        op->cell.blob_id = (uint64_t)sqlite3_column_int64(stmt, 1);
        op->cell.size = (uint64_t)sqlite3_column_int64(stmt, 2);
        goto out;
    }
    if (!op->dest) {
        op->cell.size = (uint64_t)sqlite3_column_int64(stmt, 0);
        goto out;
    }
    op->cell.size = (uint64_t)sqlite3_column_bytes(stmt, 0);
    if (op->cell.size > op->dest_size) {
        op->outcome = STORAGE_SHORT;
        goto out;
    }
    if (op->cell.size) {
        const void *bytes = sqlite3_column_blob(stmt, 0);

        if (!bytes) {
            rc = kvault__fail_nomem(reterr, (size_t)op->cell.size);
            goto out;
        }
        memcpy(op->dest, bytes, (size_t)op->cell.size);
    }
    op->cell.value = (kvault_slice){ op->dest, (size_t)op->cell.size };
    op->cell.checksum = ours ? (uint64_t)sqlite3_column_int64(stmt, 3) : 0;
out:
    kvault__stmt_return(stmt);
    return rc;
}

static int bind_cell(sqlite3_stmt *stmt, const struct storage_op *op)
{
    bool ours = op->space->kind == STORAGE_TABLE && op->space->layout == STORAGE_LAYOUT_OURS;
    int code = kvault__stmt_bind_key(stmt, 1, op->space, op->key);

    if (code == SQLITE_OK)
        code = kvault__stmt_bind_bytes(stmt, 2, op->cell.value);
    if (code != SQLITE_OK || !ours)
        return code;
    if (!op->cell.blob_id)
        return sqlite3_bind_int64(stmt, 5, (int64_t)op->cell.checksum); /* the others stay NULL */
    code = sqlite3_bind_int64(stmt, 3, (int64_t)op->cell.blob_id);
    return code == SQLITE_OK ? sqlite3_bind_int64(stmt, 4, (int64_t)op->cell.size) : code;
}

/* An insert sets the last rowid; an update through the conflict clause does not. */
static kvault_status put_cell(storage_conn *conn, struct storage_op *op, kvault_error *reterr)
{
    int kind = op->kind == STORAGE_ADD ? STMT_ADD : op->keep_blob ? STMT_PUT_KEEPING : STMT_PUT;
    sqlite3_stmt *stmt = NULL;
    kvault_status rc;
    int code;

    TRY(kvault__stmt_space(conn, op->space, kind, &stmt, reterr));
    sqlite3_set_last_insert_rowid(conn->db, 0);
    code = bind_cell(stmt, op);
    if (code == SQLITE_OK)
        code = sqlite3_step(stmt);
    if (code != SQLITE_DONE) {
        rc = kvault__busy_fail(conn, conn->wait, code, "write a key", reterr);
        goto out;
    }
    if (!sqlite3_changes(conn->db))
        op->outcome = op->kind == STORAGE_ADD ? STORAGE_EXISTS : STORAGE_HELD;
    else
        op->outcome = sqlite3_last_insert_rowid(conn->db) ? STORAGE_DONE : STORAGE_EXISTS;
out:
    kvault__stmt_return(stmt);
    return rc;
}

static kvault_status delete_cell(storage_conn *conn, struct storage_op *op, kvault_error *reterr)
{
    sqlite3_stmt *stmt = NULL;
    kvault_status rc;
    int code;

    TRY(kvault__stmt_space(conn, op->space, op->keep_blob ? STMT_DELETE_KEEPING : STMT_DELETE, &stmt, reterr));
    code = kvault__stmt_bind_key(stmt, 1, op->space, op->key);
    if (code == SQLITE_OK)
        code = sqlite3_step(stmt);
    if (code != SQLITE_DONE) {
        rc = kvault__busy_fail(conn, conn->wait, code, "delete a key", reterr);
        goto out;
    }
    op->outcome = sqlite3_changes(conn->db) ? STORAGE_DONE : STORAGE_MISSING;
    kvault__stmt_return(stmt);
    stmt = NULL;
    if (op->outcome == STORAGE_MISSING && op->keep_blob) {
        struct storage_op look = { .kind = STORAGE_GET, .space = op->space, .key = op->key };

        TRY(get_cell(conn, &look, reterr));
        if (look.outcome == STORAGE_DONE && look.cell.blob_id)
            op->outcome = STORAGE_HELD;
    }
out:
    kvault__stmt_return(stmt);
    return rc;
}

/* ---- chunks ---- */

static kvault_status get_chunk(storage_conn *conn, struct storage_op *op, kvault_error *reterr)
{
    sqlite3_stmt *stmt = NULL;
    const uint8_t *bytes;
    kvault_status rc;
    int code;

    op->got = op->chunk_size = 0;
    TRY(kvault__stmt_chunk(conn, op->family, op->dest ? CHUNK_WHOLE : CHUNK_LOOK, &stmt, reterr));
    code = sqlite3_bind_int64(stmt, 1, chunk_id(op->owner, op->seq));
    if (code == SQLITE_OK)
        code = sqlite3_step(stmt);
    op->outcome = code == SQLITE_ROW ? STORAGE_DONE : STORAGE_MISSING;
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        rc = kvault__busy_fail(conn, conn->wait, code, "read a chunk", reterr);
    if (code != SQLITE_ROW)
        goto out;
    op->chunk_size = (uint32_t)(op->dest ? sqlite3_column_bytes(stmt, 0) : sqlite3_column_int(stmt, 0));
    if (op->dest && op->offset < op->chunk_size) {
        uint32_t rest = op->chunk_size - op->offset, want = op->size < rest ? op->size : rest;

        want = want < op->dest_size ? want : (uint32_t)op->dest_size;
        bytes = sqlite3_column_blob(stmt, 0);
        if (!bytes) {
            rc = kvault__fail_nomem(reterr, op->chunk_size);
            goto out;
        }
        memcpy(op->dest, bytes + op->offset, want);
        op->got = want;
    }
out:
    kvault__stmt_return(stmt);
    return rc;
}

/* ---- parts of chunks, by a blob handle that touches only their pages ----
 * One handle reads all the chunks of a batch: moving it to the next row costs a tenth of opening another.
 * It is closed before we return (left open, it would pin the snapshot), and before anything is written. */

static void blob_let_go(storage_conn *conn)
{
    (void)sqlite3_blob_close(conn->blob); /* it only read */
    conn->blob = NULL;
}

static int blob_at(storage_conn *conn, const struct storage_op *op)
{
    int code;

    if (conn->blob && conn->blob_family == op->family) {
        code = sqlite3_blob_reopen(conn->blob, chunk_id(op->owner, op->seq));
    } else {
        blob_let_go(conn);
        conn->blob_family = op->family;
        code = sqlite3_blob_open(conn->db, "main", kvault__table_of_family(op->family), "data",
                                 chunk_id(op->owner, op->seq), 0, &conn->blob);
    }
    if (code != SQLITE_OK)
        blob_let_go(conn);
    return code;
}

static kvault_status read_part(storage_conn *conn, struct storage_op *op, kvault_error *reterr)
{
    int code = blob_at(conn, op);
    uint32_t want;

    op->got = op->chunk_size = 0;
    op->outcome = code == SQLITE_OK ? STORAGE_DONE : STORAGE_MISSING;
    if (code == SQLITE_ERROR) /* no such row */
        return KVAULT_OK;
    if (code != SQLITE_OK)
        return kvault__busy_fail(conn, conn->wait, code, "read a chunk", reterr);
    op->chunk_size = (uint32_t)sqlite3_blob_bytes(conn->blob);
    if (op->offset > op->chunk_size)
        return KVAULT_OK;
    want = op->size < op->chunk_size - op->offset ? op->size : op->chunk_size - op->offset;
    if (want > op->dest_size)
        want = (uint32_t)op->dest_size;
    code = sqlite3_blob_read(conn->blob, op->dest, (int)want, (int)op->offset);
    if (code != SQLITE_OK)
        return kvault__busy_fail(conn, conn->wait, code, "read a chunk", reterr);
    op->got = want;
    return KVAULT_OK;
}

static kvault_status overwrite_part(storage_conn *conn, struct storage_op *op, kvault_error *reterr)
{
    uint32_t want = (uint32_t)op->cell.value.size;
    sqlite3_blob *blob = NULL;
    kvault_status rc = KVAULT_OK;
    int code = sqlite3_blob_open(conn->db, "main", kvault__table_of_family(op->family), "data",
                                 chunk_id(op->owner, op->seq), 1, &blob);

    op->got = op->chunk_size = 0;
    op->outcome = code == SQLITE_OK ? STORAGE_DONE : STORAGE_MISSING;
    if (code == SQLITE_ERROR) /* no such row */
        goto out;
    if (code != SQLITE_OK) {
        rc = kvault__busy_fail(conn, conn->wait, code, "write to a chunk", reterr);
        goto out;
    }
    op->chunk_size = (uint32_t)sqlite3_blob_bytes(blob);
    if (op->offset > op->chunk_size || want > op->chunk_size - op->offset) {
        rc = kvault__fail(reterr, KVAULT_E_CORRUPT, "chunk %u of %llu is %u bytes, cannot overwrite %u at %u", op->seq,
                          (unsigned long long)op->owner, op->chunk_size, want, op->offset);
        goto out;
    }
    code = sqlite3_blob_write(blob, op->cell.value.data, (int)want, (int)op->offset);
    if (code != SQLITE_OK)
        rc = kvault__busy_fail(conn, conn->wait, code, "write to a chunk", reterr);
out:
    code = sqlite3_blob_close(blob);
    if (rc >= 0 && op->outcome == STORAGE_DONE &&
        code != SQLITE_OK) /* the autocommit of a write outside a transaction */
        rc = kvault__busy_fail(conn, conn->wait, code, "write to a chunk", reterr);
    return rc;
}

static kvault_status change_chunks(storage_conn *conn, struct storage_op *op, kvault_error *reterr)
{
    bool put = op->kind == STORAGE_CHUNK_PUT;
    sqlite3_stmt *stmt = NULL;
    kvault_status rc;
    int code;

    TRY(kvault__stmt_chunk(conn, op->family, put ? CHUNK_PUT : CHUNK_DELETE, &stmt, reterr));
    code = sqlite3_bind_int64(stmt, 1, chunk_id(op->owner, op->seq));
    if (code == SQLITE_OK)
        code = put ? kvault__stmt_bind_bytes(stmt, 2, op->cell.value)
                   : sqlite3_bind_int64(stmt, 2, chunk_id(op->owner, 0) + (int64_t)op->seq_end);
    if (code == SQLITE_OK)
        code = sqlite3_step(stmt);
    if (code != SQLITE_DONE)
        rc = kvault__busy_fail(conn, conn->wait, code, put ? "write a chunk" : "delete chunks", reterr);
    op->outcome = put || sqlite3_changes(conn->db) ? STORAGE_DONE : STORAGE_MISSING;
    if (put && op->family == STORAGE_PIECES)
        conn->piece_bytes += op->cell.value.size;
out:
    kvault__stmt_return(stmt);
    return rc;
}

/* From here on a blob handle is cheaper than a row, whose value SQLite gathers first. */
#define BLOB_HANDLE_BYTES 65536

static kvault_status run_one(storage_conn *conn, struct storage_op *op, kvault_error *reterr)
{
    switch (op->kind) {
    case STORAGE_GET:
        return get_cell(conn, op, reterr);
    case STORAGE_PUT:
    case STORAGE_ADD:
        return put_cell(conn, op, reterr);
    case STORAGE_DELETE:
        return delete_cell(conn, op, reterr);
    case STORAGE_CHUNK_GET:
        return op->dest && (op->offset || op->size >= BLOB_HANDLE_BYTES) ? read_part(conn, op, reterr)
                                                                         : get_chunk(conn, op, reterr);
    case STORAGE_CHUNK_WRITE:
        return overwrite_part(conn, op, reterr);
    case STORAGE_CHUNK_PUT:
    case STORAGE_CHUNK_DELETE:
        return change_chunks(conn, op, reterr);
    }
    return KVAULT_E_INVALID;
}

static bool reads_only(const struct storage_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ops[i].kind != STORAGE_GET && ops[i].kind != STORAGE_CHUNK_GET)
            return false;
    return true;
}

kvault_status kvault__sqlite_run(storage_conn *conn, struct storage_op *ops, size_t count,
                                 const struct storage_wait *wait, kvault_error *reterr)
{
    bool own = count > 1 && !kvault__sqlite_in_transaction(conn);
    enum storage_committed outcome;
    kvault_status rc = KVAULT_OK;

    for (size_t i = 0; i < count; i++)
        ops[i].outcome = STORAGE_NONE;
    if (own)
        TRY(kvault__sqlite_begin(conn, !reads_only(ops, count), wait, reterr));
    kvault__busy_enter(conn, wait);
    for (size_t i = 0; i < count && rc >= 0; i++) {
        if (!reads_only(&ops[i], 1))
            blob_let_go(conn);
        rc = run_one(conn, &ops[i], reterr);
        if (rc >= 0 && (i & 63) == 63 && kvault__busy_interrupted(conn))
            rc = kvault__fail(reterr, KVAULT_E_INTERRUPTED, "interrupted");
    }
    blob_let_go(conn);
    kvault__busy_leave(conn);
    if (own && rc >= 0)
        rc = kvault__sqlite_commit(conn, wait, &outcome, reterr);
    else if (own)
        kvault__sqlite_rollback(conn);
out:
    return rc;
}
