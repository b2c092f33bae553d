/* sqlite.h - the functions behind kvault__sqlite_backend, by file. */
#ifndef KVAULT_STORAGE_SQLITE_SQLITE_H
#define KVAULT_STORAGE_SQLITE_SQLITE_H

#include "storage/sqlite/conn.h"

/* open.c */
kvault_status kvault__sqlite_open(const struct storage_config *config, const struct storage_wait *wait,
                                  storage_conn **ret_conn, kvault_error *reterr);
void kvault__sqlite_close(storage_conn *conn, bool last);
/* KVAULT_E_IO if the connection looks at a file that was taken to be unchangeable, and it changed. */
kvault_status kvault__sqlite_check_immutable(storage_conn *conn, kvault_error *reterr);
/* tables.c */
kvault_status kvault__sqlite_make_schema(storage_conn *conn, kvault_error *reterr);
kvault_status kvault__sqlite_table(storage_conn *conn, const char *name, bool create, const struct storage_wait *wait,
                                   struct storage_space *ret_space, kvault_error *reterr);
kvault_status kvault__sqlite_list_tables(storage_conn *conn, const struct storage_wait *wait,
                                         kvault_status (*row)(void *ctx, const char *name, kvault_error *reterr),
                                         void *ctx, kvault_error *reterr);
kvault_status kvault__sqlite_columns(storage_conn *conn, bool create, const struct storage_wait *wait,
                                     kvault_error *reterr);
/* txn.c */
kvault_status kvault__sqlite_begin(storage_conn *conn, bool write, const struct storage_wait *wait,
                                   kvault_error *reterr);
kvault_status kvault__sqlite_commit(storage_conn *conn, const struct storage_wait *wait,
                                    enum storage_committed *ret_committed, kvault_error *reterr);
void kvault__sqlite_rollback(storage_conn *conn);
/* Before a BEGIN: a transaction whose end cannot be prepared for want of memory would stay open. */
kvault_status kvault__sqlite_prepare_ends(storage_conn *conn, kvault_error *reterr);
kvault_status kvault__sqlite_savepoint(storage_conn *conn, int depth, kvault_error *reterr);
kvault_status kvault__sqlite_release(storage_conn *conn, int depth, kvault_error *reterr);
kvault_status kvault__sqlite_rollback_to(storage_conn *conn, int depth, kvault_error *reterr);
bool kvault__sqlite_in_transaction(storage_conn *conn);
/* run.c */
kvault_status kvault__sqlite_run(storage_conn *conn, struct storage_op *ops, size_t count,
                                 const struct storage_wait *wait, kvault_error *reterr);
/* scan.c */
kvault_status kvault__sqlite_scan(storage_conn *conn, const struct storage_range *range,
                                  const struct storage_wait *wait, storage_row_fn row, void *row_ctx,
                                  kvault_error *reterr);
kvault_status kvault__sqlite_scan_chunks(storage_conn *conn, enum storage_family family, uint64_t owner, uint32_t seq,
                                         const struct storage_wait *wait, storage_chunk_fn row, void *row_ctx,
                                         kvault_error *reterr);
kvault_status kvault__sqlite_count(storage_conn *conn, const struct storage_space *space,
                                   const struct storage_wait *wait, uint64_t *ret_count, kvault_error *reterr);
kvault_status kvault__sqlite_clear(storage_conn *conn, const struct storage_space *space,
                                   const struct storage_wait *wait, kvault_error *reterr);
/* version.c */
void kvault__sqlite_map_version(storage_conn *conn);
void kvault__sqlite_version(storage_conn *conn, struct storage_version *ret_version);
bool kvault__sqlite_version_is(storage_conn *conn, const struct storage_version *version);
bool kvault__sqlite_version_is_next(const struct storage_version *before, const struct storage_version *now);
uint64_t kvault__sqlite_commits(storage_conn *conn);
uint64_t kvault__sqlite_log_bytes(storage_conn *conn);
/* checkpoint.c */
kvault_status kvault__sqlite_checkpoint(storage_conn *writer, storage_conn *copier, int hold_ms,
                                        const struct storage_wait *wait, struct storage_checkpointed *ret_done,
                                        kvault_error *reterr);
kvault_status kvault__sqlite_optimize(storage_conn *writer, const struct storage_wait *wait, kvault_error *reterr);
kvault_status kvault__sqlite_backup(storage_conn *conn, const char *dest, const struct storage_wait *wait,
                                    bool (*progress)(void *ctx, uint64_t done, uint64_t total), void *progress_ctx,
                                    kvault_error *reterr);
kvault_status kvault__sqlite_check(storage_conn *conn, const struct storage_wait *wait,
                                   void (*problem)(void *ctx, const char *where, const char *what), void *problem_ctx,
                                   kvault_error *reterr);
kvault_status kvault__sqlite_sizes(storage_conn *conn, struct storage_sizes *ret_sizes, kvault_error *reterr);

#endif
