/* layout.h - the tables of the file.
 *
 *   "kvault", or any name    key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL,
 *                            blob_id INTEGER, size INTEGER, checksum INTEGER
 *                            inline: blob_id and size NULL. In pieces: value empty, checksum NULL
 *   kv_pieces, col_chunks    id INTEGER PRIMARY KEY (owner << 32 | seq), data BLOB NOT NULL
 *   kv_state, kv_blobs,      id INTEGER PRIMARY KEY, record BLOB NOT NULL
 *   col_meta, col_tail
 *   col_names                key BLOB PRIMARY KEY NOT NULL, record BLOB NOT NULL
 *   kv_format                one row: feature bits that refuse the file, or open it read-only
 *
 * An ordinary rowid table for the keys: WITHOUT ROWID makes files several times larger
 * once values pass a quarter page. docs/format.md is the long version. */
#ifndef KVAULT_STORAGE_SQLITE_LAYOUT_H
#define KVAULT_STORAGE_SQLITE_LAYOUT_H

#include "storage/sqlite/conn.h"

#define APPLICATION_ID 0x4B564C54 /* "KVLT" */
#define FORMAT_NUMBER 1

/* KVAULT_E_INVALID with words unless it may name a user's table. */
kvault_status kvault__table_name_check(const char *name, kvault_error *reterr);
/* Is it one of our own tables? */
bool kvault__table_is_own(const char *name);
/* The table of a space, and of a family. */
const char *kvault__table_of_space(const struct storage_space *space);
const char *kvault__table_of_family(enum storage_family family);
bool kvault__space_has_ids(const struct storage_space *space);

/* The text of a statement; false if the buffer is too small, which is a bug of ours. */
#define SQL_BYTES_MAX 1024
bool kvault__space_sql(const struct storage_space *space, int kind, char ret_sql[SQL_BYTES_MAX]);
bool kvault__chunk_sql(enum storage_family family, enum chunk_stmt kind, char ret_sql[SQL_BYTES_MAX]);
int kvault__scan_kind(const struct storage_range *range);

/* What makes the fixed tables, all in one script; and a table of a user's, with one %s. */
extern const char kvault__schema_sql[];
extern const char kvault__table_sql[];

#endif
