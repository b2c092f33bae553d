/* tables.c - finding and making tables of cells.
 *
 * A table is ours by its five columns, plain by exactly two (another program's, or the
 * older implementation's); anything else under a table's name is refused. So is one whose columns are
 * declared TEXT or INTEGER: SQLite would not find a key of bytes in it. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/fail.h"
#include "storage/sqlite/busy.h"
#include "storage/sqlite/layout.h"
#include "storage/sqlite/sqlite.h"
#include "storage/sqlite/stmt.h"
#include "base/banned.h"

#define DEFAULT_TABLE "kvault"
/* The columns of a table, one behind the other with a comma, each with its type unless that is BLOB or none. */
#define OURS_COLUMNS "key,value,blob_id INTEGER,size INTEGER,checksum INTEGER"
#define PLAIN_COLUMNS "key,value"

kvault_status kvault__sqlite_make_schema(storage_conn *conn, kvault_error *reterr)
{
    return kvault__exec(conn, kvault__schema_sql, "create the tables", reterr);
}

/* The columns of the table or view, as above. Its name is an identifier. A statement that is prepared tells them for a
 * tenth of what the table-valued pragma takes. */
static void list_columns(storage_conn *conn, const char *name, char ret_columns[128])
{
    sqlite3_stmt *stmt = NULL;
    char sql[96];
    size_t at = 0;

    ret_columns[0] = 0;
    (void)snprintf(sql, sizeof sql, "SELECT * FROM \"%s\"", name);
    if (sqlite3_prepare_v2(conn->db, sql, -1, &stmt, NULL) == SQLITE_OK) {
        for (int i = 0; i < sqlite3_column_count(stmt) && at < 127; i++) {
            const char *type = sqlite3_column_decltype(stmt, i);
            bool is_blob = !type || !*type || strcasecmp(type, "BLOB") == 0;

            at += (size_t)snprintf(ret_columns + at, 128 - at, "%s%s%s%s", i ? "," : "", sqlite3_column_name(stmt, i),
                                   is_blob ? "" : " ", is_blob ? "" : type);
        }
    }
    (void)sqlite3_finalize(stmt);
}

static kvault_status describe(storage_conn *conn, const char *name, char ret_type[16], char ret_name[64],
                              char ret_columns[128], kvault_error *reterr)
{
    static const char sql[] = "SELECT type, name FROM sqlite_schema "
                              "WHERE name = ?1 COLLATE NOCASE AND type IN ('table', 'view')";
    sqlite3_stmt *stmt = NULL;
    kvault_status rc = KVAULT_OK;
    int code = sqlite3_prepare_v2(conn->db, sql, -1, &stmt, NULL);

    if (code == SQLITE_OK)
        code = sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    if (code == SQLITE_OK)
        code = sqlite3_step(stmt);
    if (code == SQLITE_ROW) {
        (void)snprintf(ret_type, 16, "%s", (const char *)sqlite3_column_text(stmt, 0));
        (void)snprintf(ret_name, 64, "%s", (const char *)sqlite3_column_text(stmt, 1));
        list_columns(conn, ret_name, ret_columns);
    } else if (code == SQLITE_DONE) {
        rc = KVAULT_NOT_FOUND;
    } else {
        rc = kvault__busy_fail(conn, conn->wait, code, "look for the table", reterr);
    }
    (void)sqlite3_finalize(stmt);
    return rc;
}

static kvault_status find_table(storage_conn *conn, const char *name, struct storage_space *ret_space,
                                kvault_error *reterr)
{
    char type[16], spelled[64], columns[128];
    kvault_status rc = describe(conn, name, type, spelled, columns, reterr);

    if (rc != KVAULT_OK)
        return rc;
    *ret_space = (struct storage_space){ .kind = STORAGE_TABLE };
    (void)snprintf(ret_space->name, sizeof ret_space->name, "%s", spelled);
    if (strcmp(type, "table") == 0 && strcmp(columns, OURS_COLUMNS) == 0)
        ret_space->layout = STORAGE_LAYOUT_OURS;
    else if (strcmp(type, "table") == 0 && strcmp(columns, PLAIN_COLUMNS) == 0)
        ret_space->layout = STORAGE_LAYOUT_PLAIN;
    else
        return kvault__fail(
            reterr, KVAULT_E_INVALID,
            "cannot use the %s \"%s\" of \"%s\": its columns are %s, want a table of key and value, both BLOB", type,
            spelled, conn->path, columns);
    return KVAULT_OK;
}

static kvault_status make_table(storage_conn *conn, const char *name, kvault_error *reterr)
{
    bool own = !kvault__sqlite_in_transaction(conn);
    char sql[512];
    kvault_status rc = KVAULT_OK;

    (void)snprintf(sql, sizeof sql, kvault__table_sql, name);
    TRY(kvault__sqlite_prepare_ends(conn, reterr));
    if (own)
        TRY(kvault__exec(conn, "BEGIN IMMEDIATE", "create a table", reterr));
    TRY(kvault__sqlite_make_schema(conn, reterr)); /* a file of another program has none of ours yet */
    TRY(kvault__exec(conn, sql, "create a table", reterr));
    if (own)
        TRY(kvault__exec(conn, "COMMIT", "create a table", reterr));
    return KVAULT_OK;
out:
    if (own)
        kvault__sqlite_rollback(conn);
    return rc;
}

/* "kvault", or the "kv" that the older implementation made where there is no other. */
static kvault_status find_default(storage_conn *conn, struct storage_space *ret_space, kvault_error *reterr)
{
    kvault_status rc = find_table(conn, DEFAULT_TABLE, ret_space, reterr);

    if (rc != KVAULT_NOT_FOUND)
        return rc;
    rc = find_table(conn, "kv", ret_space, NULL);
    return rc == KVAULT_OK && ret_space->layout == STORAGE_LAYOUT_PLAIN ? KVAULT_OK : KVAULT_NOT_FOUND;
}

kvault_status kvault__sqlite_table(storage_conn *conn, const char *name, bool create, const struct storage_wait *wait,
                                   struct storage_space *ret_space, kvault_error *reterr)
{
    kvault_status rc;

    TRY(name ? kvault__table_name_check(name, reterr) : KVAULT_OK);
    kvault__busy_enter(conn, wait);
    rc = name ? find_table(conn, name, ret_space, reterr) : find_default(conn, ret_space, reterr);
    name = name ? name : DEFAULT_TABLE;
    if (rc == KVAULT_NOT_FOUND && create) {
        rc = make_table(conn, name, reterr);
        if (rc >= 0)
            rc = find_table(conn, name, ret_space, reterr);
    }
    kvault__busy_leave(conn);
out:
    return rc;
}

/* ---- the tables of columns ---- */

/* In a file of another program, by the table that tells its layout from that of the older implementation. */
static kvault_status find_columns(storage_conn *conn, kvault_error *reterr)
{
    char type[16], spelled[64], columns[128];
    kvault_status rc;

    TRY(describe(conn, "kvault_col_columns", type, spelled, columns, reterr));
    if (rc == KVAULT_NOT_FOUND) {
        TRY(describe(conn, "col_meta", type, spelled, columns, reterr));
        if (rc == KVAULT_NOT_FOUND || strcmp(columns, "id INTEGER,record") == 0)
            goto out;
    }
    rc = kvault__fail(
        reterr, KVAULT_E_INVALID,
        "the columns in \"%s\" have the layout of an older implementation: `kohakuvault migrate` makes a new "
        "file of it",
        conn->path);
out:
    return rc;
}

kvault_status kvault__sqlite_columns(storage_conn *conn, bool create, const struct storage_wait *wait,
                                     kvault_error *reterr)
{
    kvault_status rc;

    if (conn->ours)
        return KVAULT_OK;
    kvault__busy_enter(conn, wait);
    rc = find_columns(conn, reterr);
    if (rc == KVAULT_NOT_FOUND && create)
        rc = kvault__sqlite_make_schema(conn, reterr);
    kvault__busy_leave(conn);
    return rc;
}

/* ---- listing ---- */

kvault_status kvault__sqlite_list_tables(storage_conn *conn, const struct storage_wait *wait,
                                         kvault_status (*row)(void *ctx, const char *name, kvault_error *reterr),
                                         void *ctx, kvault_error *reterr)
{
    static const char sql[] =
        "SELECT s.name FROM sqlite_schema s WHERE s.type = 'table' AND "
        "(SELECT group_concat(c.name || CASE WHEN c.type = '' OR c.type = 'BLOB' COLLATE NOCASE THEN '' "
        "ELSE ' ' || c.type END) FROM pragma_table_info(s.name) c) IN ('" PLAIN_COLUMNS "', '" OURS_COLUMNS "') "
        "ORDER BY s.name";
    sqlite3_stmt *stmt = NULL;
    kvault_status rc = KVAULT_OK;
    int code;

    kvault__busy_enter(conn, wait);
    code = sqlite3_prepare_v2(conn->db, sql, -1, &stmt, NULL);
    while (rc == KVAULT_OK && (code == SQLITE_OK || code == SQLITE_ROW)) {
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW && !kvault__table_is_own((const char *)sqlite3_column_text(stmt, 0)) &&
            kvault__table_name_check((const char *)sqlite3_column_text(stmt, 0), NULL) >= 0)
            rc = row(ctx, (const char *)sqlite3_column_text(stmt, 0), reterr);
    }
    if (rc >= 0 && code != SQLITE_DONE && code != SQLITE_ROW)
        rc = kvault__busy_fail(conn, wait, code, "list the tables", reterr);
    (void)sqlite3_finalize(stmt);
    kvault__busy_leave(conn);
    return rc < 0 ? rc : KVAULT_OK;
}
