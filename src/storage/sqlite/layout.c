/* layout.c - every text of SQL that touches a table. See layout.h. */
#include "storage/sqlite/layout.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/fail.h"
#include "base/banned.h"

const char kvault__schema_sql[] =
    "CREATE TABLE IF NOT EXISTS kv_format(id INTEGER PRIMARY KEY CHECK (id = 1), refuse_features INTEGER NOT NULL, "
    "read_only_features INTEGER NOT NULL);"
    "INSERT OR IGNORE INTO kv_format VALUES (1, 0, 0);"
    "CREATE TABLE IF NOT EXISTS kv_state(id INTEGER PRIMARY KEY, record BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS kv_blobs(id INTEGER PRIMARY KEY, record BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS kv_pieces(id INTEGER PRIMARY KEY, data BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS col_meta(id INTEGER PRIMARY KEY, record BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS col_names(key BLOB PRIMARY KEY NOT NULL, record BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS col_tail(id INTEGER PRIMARY KEY, record BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS col_chunks(id INTEGER PRIMARY KEY, data BLOB NOT NULL);";

const char kvault__table_sql[] = "CREATE TABLE IF NOT EXISTS \"%s\"(key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL, "
                                 "blob_id INTEGER, size INTEGER, checksum INTEGER)";

static const char *const own_tables[] = { "kv_format", "kv_state",  "kv_blobs", "kv_pieces",
                                          "col_meta",  "col_names", "col_tail", "col_chunks" };

bool kvault__table_is_own(const char *name)
{
    for (size_t i = 0; i < sizeof own_tables / sizeof own_tables[0]; i++)
        if (strcasecmp(name, own_tables[i]) == 0)
            return true;
    return false;
}

kvault_status kvault__table_name_check(const char *name, kvault_error *reterr)
{
    size_t length = strlen(name);
    bool valid = length > 0 && !isdigit((unsigned char)name[0]);

    for (size_t i = 0; i < length && valid; i++)
        valid = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
                (name[i] >= '0' && name[i] <= '9') || name[i] == '_';
    if (!valid)
        return kvault__fail(reterr, KVAULT_E_INVALID,
                            "table name \"%.80s\" is not an identifier of letters, digits and _", name);
    if (length > 63)
        return kvault__fail(reterr, KVAULT_E_INVALID, "table name \"%.80s\" is %zu characters, limit 63", name, length);
    if (kvault__table_is_own(name) || strncasecmp(name, "sqlite_", 7) == 0)
        return kvault__fail(reterr, KVAULT_E_INVALID, "table name \"%s\" is reserved", name);
    return KVAULT_OK;
}

const char *kvault__table_of_space(const struct storage_space *space)
{
    switch (space->kind) {
    case STORAGE_TABLE:
        return space->name;
    case STORAGE_STATE:
        return "kv_state";
    case STORAGE_BLOBS:
        return "kv_blobs";
    case STORAGE_COLUMNS:
        return "col_meta";
    case STORAGE_COLUMN_NAMES:
        return "col_names";
    case STORAGE_COLUMN_TAILS:
        return "col_tail";
    }
    return "";
}

const char *kvault__table_of_family(enum storage_family family)
{
    return family == STORAGE_PIECES ? "kv_pieces" : "col_chunks";
}

bool kvault__space_has_ids(const struct storage_space *space)
{
    return space->kind != STORAGE_TABLE && space->kind != STORAGE_COLUMN_NAMES;
}

enum { SCAN_START = 1, SCAN_START_OUT = 2, SCAN_STOP = 4, SCAN_STOP_IN = 8, SCAN_REVERSE = 16, SCAN_VALUES = 32 };

int kvault__scan_kind(const struct storage_range *range)
{
    int bits = 0;

    bits |= range->start ? SCAN_START | (range->start_excluded ? SCAN_START_OUT : 0) : 0;
    bits |= range->stop ? SCAN_STOP | (range->stop_included ? SCAN_STOP_IN : 0) : 0;
    bits |= range->reverse ? SCAN_REVERSE : 0;
    bits |= range->with_values ? SCAN_VALUES : 0;
    return STMT_SCAN_FIRST + bits;
}

/* A scan gives (key, value or its length, blob_id, size, checksum), as far as the table has them. */
static int scan_sql(const char *table, const char *key, const char *value, bool ours, int bits, char *sql)
{
    bool values = bits & SCAN_VALUES;

    return snprintf(sql, SQL_BYTES_MAX, "SELECT %s, %s%s%s%s FROM \"%s\" WHERE 1%s%s%s%s%s%s ORDER BY %s%s LIMIT ?3", key,
                    values ? value : "length(", values ? "" : value, values ? "" : ")",
                    ours ? values ? ", blob_id, size, checksum" : ", blob_id, size" : "", table,
                    bits & SCAN_START ? " AND " : "", bits & SCAN_START ? key : "",
                    bits & SCAN_START ? bits & SCAN_START_OUT ? " > ?1" : " >= ?1" : "", bits & SCAN_STOP ? " AND " : "",
                    bits & SCAN_STOP ? key : "", bits & SCAN_STOP ? bits & SCAN_STOP_IN ? " <= ?2" : " < ?2" : "", key,
                    bits & SCAN_REVERSE ? " DESC" : "");
}

static int put_sql(const char *t, const char *key, const char *value, bool ours, int kind, char *sql)
{
    const char *conflict = kind == STMT_ADD ? "NOTHING" : "UPDATE SET ";

    if (ours)
        return snprintf(sql, SQL_BYTES_MAX,
                        "INSERT INTO \"%s\"(key, value, blob_id, size, checksum) VALUES (?1, ?2, ?3, ?4, ?5) "
                        "ON CONFLICT(key) DO %s%s%s",
                        t, conflict,
                        kind == STMT_ADD ? ""
                                         : "value = excluded.value, blob_id = excluded.blob_id, size = excluded.size, "
                                           "checksum = excluded.checksum",
                        kind == STMT_PUT_KEEPING ? " WHERE blob_id IS NULL" : "");
    return snprintf(sql, SQL_BYTES_MAX, "INSERT INTO \"%s\"(%s, %s) VALUES (?1, ?2) ON CONFLICT(%s) DO %s%s%s%s", t, key,
                    value, key, conflict, kind == STMT_ADD ? "" : value, kind == STMT_ADD ? "" : " = excluded.",
                    kind == STMT_ADD ? "" : value);
}

bool kvault__space_sql(const struct storage_space *space, int kind, char ret_sql[SQL_BYTES_MAX])
{
    const char *t = kvault__table_of_space(space), *key = kvault__space_has_ids(space) ? "id" : "key";
    const char *value = space->kind == STORAGE_TABLE ? "value" : "record";
    bool ours = space->kind == STORAGE_TABLE && space->layout == STORAGE_LAYOUT_OURS;
    int length;

    if (kind >= STMT_SCAN_FIRST)
        length = scan_sql(t, key, value, ours, kind - STMT_SCAN_FIRST, ret_sql);
    else if (kind == STMT_GET)
        length = snprintf(ret_sql, SQL_BYTES_MAX, "SELECT %s%s FROM \"%s\" WHERE %s = ?1", value,
                          ours ? ", blob_id, size, checksum" : "", t, key);
    else if (kind == STMT_LOOK)
        length = snprintf(ret_sql, SQL_BYTES_MAX, "SELECT length(%s)%s FROM \"%s\" WHERE %s = ?1", value,
                          ours ? ", blob_id, size" : "", t, key);
    else if (kind == STMT_PUT || kind == STMT_PUT_KEEPING || kind == STMT_ADD)
        length = put_sql(t, key, value, ours, kind, ret_sql);
    else if (kind == STMT_DELETE || kind == STMT_DELETE_KEEPING)
        length = snprintf(ret_sql, SQL_BYTES_MAX, "DELETE FROM \"%s\" WHERE %s = ?1%s", t, key,
                          ours && kind == STMT_DELETE_KEEPING ? " AND blob_id IS NULL" : "");
    else if (kind == STMT_COUNT)
        length = snprintf(ret_sql, SQL_BYTES_MAX, "SELECT count(*) FROM \"%s\"", t);
    else
        length = snprintf(ret_sql, SQL_BYTES_MAX, "DELETE FROM \"%s\"", t);
    return length > 0 && length < SQL_BYTES_MAX;
}

bool kvault__chunk_sql(enum storage_family family, enum chunk_stmt kind, char ret_sql[SQL_BYTES_MAX])
{
    static const char *const texts[CHUNK_STMTS] = {
        [CHUNK_PUT] = "INSERT INTO %s(id, data) VALUES (?1, ?2) ON CONFLICT(id) DO UPDATE SET data = excluded.data",
        [CHUNK_DELETE] = "DELETE FROM %s WHERE id >= ?1 AND id < ?2",
        [CHUNK_WHOLE] = "SELECT data FROM %s WHERE id = ?1",
        [CHUNK_LOOK] = "SELECT length(data) FROM %s WHERE id = ?1",
        [CHUNK_SCAN] = "SELECT id, length(data) FROM %s WHERE id >= ?1 ORDER BY id",
    };
    const char *table = kvault__table_of_family(family), *mark = strstr(texts[kind], "%s");
    int length = snprintf(ret_sql, SQL_BYTES_MAX, "%.*s%s%s", (int)(mark - texts[kind]), texts[kind], table, mark + 2);

    return length > 0 && length < SQL_BYTES_MAX;
}
