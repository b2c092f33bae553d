/* backend.c - the embedded engine as the seam sees it. */
#include "storage/sqlite/other_copy.h"
#include "storage/sqlite/sqlite.h"

const struct storage_backend kvault__sqlite_backend = {
    .limits = { .key_bytes_max = 65535, .cell_bytes_max = 1u << 30 },
    .open = kvault__sqlite_open,
    .close = kvault__sqlite_close,
    .table = kvault__sqlite_table,
    .list_tables = kvault__sqlite_list_tables,
    .columns = kvault__sqlite_columns,
    .begin = kvault__sqlite_begin,
    .commit = kvault__sqlite_commit,
    .rollback = kvault__sqlite_rollback,
    .savepoint = kvault__sqlite_savepoint,
    .release = kvault__sqlite_release,
    .rollback_to = kvault__sqlite_rollback_to,
    .in_transaction = kvault__sqlite_in_transaction,
    .run = kvault__sqlite_run,
    .scan = kvault__sqlite_scan,
    .scan_chunks = kvault__sqlite_scan_chunks,
    .count = kvault__sqlite_count,
    .clear = kvault__sqlite_clear,
    .version = kvault__sqlite_version,
    .version_is_next = kvault__sqlite_version_is_next,
    .commits = kvault__sqlite_commits,
    .log_bytes = kvault__sqlite_log_bytes,
    .checkpoint = kvault__sqlite_checkpoint,
    .optimize = kvault__sqlite_optimize,
    .backup = kvault__sqlite_backup,
    .check = kvault__sqlite_check,
    .sizes = kvault__sqlite_sizes,
    .find_other_copy = kvault__sqlite_find_other_copy,
};
