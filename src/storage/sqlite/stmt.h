/* stmt.h - prepared statements: one a connection, space and kind, made at the first use. */
#ifndef KVAULT_STORAGE_SQLITE_STMT_H
#define KVAULT_STORAGE_SQLITE_STMT_H

#include "storage/sqlite/conn.h"

kvault_status kvault__stmt_space(storage_conn *conn, const struct storage_space *space, int kind,
                                 sqlite3_stmt **ret_stmt, kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__stmt_chunk(storage_conn *conn, enum storage_family family, enum chunk_stmt kind,
                                 sqlite3_stmt **ret_stmt, kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__stmt_txn(storage_conn *conn, enum txn_stmt kind, sqlite3_stmt **ret_stmt,
                               kvault_error *reterr) KVAULT_MUST_USE;
/* After use, NULL allowed: nothing may stay open between calls, or it pins the snapshot. */
void kvault__stmt_return(sqlite3_stmt *stmt);
void kvault__stmt_finalize_all(storage_conn *conn);

/* Bind a key in the form that the space has; bytes without copying, "" for the empty ones. */
int kvault__stmt_bind_key(sqlite3_stmt *stmt, int at, const struct storage_space *space, kvault_slice key);
int kvault__stmt_bind_bytes(sqlite3_stmt *stmt, int at, kvault_slice bytes);

/* Run a text that gives no rows, or one number. */
kvault_status kvault__exec(storage_conn *conn, const char *sql, const char *what, kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__exec_number(storage_conn *conn, const char *sql, const char *what, int64_t *ret_number,
                                  kvault_error *reterr) KVAULT_MUST_USE;

#endif
