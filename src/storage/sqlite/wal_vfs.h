/* wal_vfs.h - what stands between SQLite and its VFS for a connection that writes.
 *
 *     SQLite  ->  wal_vfs: frames of the WAL are gathered (wal_buffer.h), the disk is
 *                 set to work early (writeback.h)  ->  the VFS that is the default
 *
 * Each connection has a VFS of its own, of a name that nobody else uses, registered while it lives: what the
 * connection's two files (database and WAL) need to know of each other is its state, and no program
 * of this process gets it by accident. Other files, temporary ones and rollback journals, are opened by the real VFS
 * alone. The bytes in the files are those that SQLite writes: any program may use them at the same time, with or
 * without this. */
#ifndef KVAULT_STORAGE_SQLITE_WAL_VFS_H
#define KVAULT_STORAGE_SQLITE_WAL_VFS_H

#include "kohakuvault/error.h"

struct wal_vfs;

/* Make and register one, over the VFS that is the default now. */
kvault_status kvault__wal_vfs_new(struct wal_vfs **ret_vfs, kvault_error *reterr);
/* For sqlite3_open_v2(). */
const char *kvault__wal_vfs_name(const struct wal_vfs *vfs);
/* After the connection is closed; NULL allowed. */
void kvault__wal_vfs_free(struct wal_vfs *vfs);

#endif
