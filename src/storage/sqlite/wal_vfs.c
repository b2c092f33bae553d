/* wal_vfs.c - see wal_vfs.h.
 *
 * A file of ours is a small head with the real file behind it, in the one piece of memory that SQLite hands to
 * xOpen. Most methods pass the call on. Those that do more: the WAL's reads and writes go through its buffer, and
 * what asks for its size, its end or its sync empties the buffer first; the database's xShmLock tells the
 * buffer when the connection takes the write lock and when it lets go. */
#include "storage/sqlite/wal_vfs.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "storage/sqlite/wal_buffer.h"
#include "storage/sqlite/writeback.h"
#include "base/banned.h"

#define WRITE_LOCK 0 /* which of the shared memory's locks; SQLite's file format */

struct wal_vfs {
    sqlite3_vfs vfs; /* first: SQLite hands it back to us */
    sqlite3_vfs *real;
    char name[40];
    const char *database; /* its name, while the main database is open */
    struct wal_buffer buffer;
    struct writeback log, pages;
};

struct shim_file {
    sqlite3_file file; /* first */
    struct wal_vfs *owner;
    sqlite3_file *real; /* behind this struct */
};

static struct wal_vfs *owner_of(sqlite3_file *file)
{
    return ((struct shim_file *)file)->owner;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct shim_file *)file)->real;
}

/* ---- what either file passes on ---- */

static int file_close(sqlite3_file *file)
{
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int file_read(sqlite3_file *file, void *dest, int size, sqlite3_int64 offset)
{
    return real_of(file)->pMethods->xRead(real_of(file), dest, size, offset);
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int file_sync(sqlite3_file *file, int flags)
{
    return real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), ret_size);
}

static int file_lock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int file_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int file_check_lock(sqlite3_file *file, int *ret_locked)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), ret_locked);
}

static int file_control(sqlite3_file *file, int which, void *argument)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), which, argument);
}

static int file_sector_size(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int file_device(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int file_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **ret_memory)
{
    return real_of(file)->pMethods->xShmMap(real_of(file), region, size, extend, ret_memory);
}

static void file_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int file_fetch(sqlite3_file *file, sqlite3_int64 offset, int size, void **ret_page)
{
    return real_of(file)->pMethods->xFetch(real_of(file), offset, size, ret_page);
}

static int file_unfetch(sqlite3_file *file, sqlite3_int64 offset, void *page)
{
    return real_of(file)->pMethods->xUnfetch(real_of(file), offset, page);
}

/* ---- the database ---- */

static int database_close(sqlite3_file *file)
{
    owner_of(file)->database = NULL;
    kvault__wal_buffer_unlock(&owner_of(file)->buffer);
    return file_close(file);
}

static int database_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 offset)
{
    int code = real_of(file)->pMethods->xWrite(real_of(file), bytes, size, offset);

    if (code == SQLITE_OK)
        kvault__writeback_wrote(&owner_of(file)->pages, size, offset);
    return code;
}

static int database_shm_lock(sqlite3_file *file, int first, int count, int flags)
{
    bool locks = flags == (SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE);
    int code;

    /* Before the lock is free: after that nothing of ours may wait to be written. */
    if (first == WRITE_LOCK && (flags & SQLITE_SHM_UNLOCK))
        kvault__wal_buffer_unlock(&owner_of(file)->buffer);
    code = real_of(file)->pMethods->xShmLock(real_of(file), first, count, flags);
    if (first == WRITE_LOCK && locks && code == SQLITE_OK)
        kvault__wal_buffer_lock(&owner_of(file)->buffer);
    return code;
}

static int database_shm_unmap(sqlite3_file *file, int delete_too)
{
    kvault__wal_buffer_unlock(&owner_of(file)->buffer);
    return real_of(file)->pMethods->xShmUnmap(real_of(file), delete_too);
}

/* ---- the WAL ---- */

static int log_close(sqlite3_file *file)
{
    kvault__wal_buffer_close(&owner_of(file)->buffer);
    return file_close(file);
}

static int log_read(sqlite3_file *file, void *dest, int size, sqlite3_int64 offset)
{
    return kvault__wal_buffer_read(&owner_of(file)->buffer, dest, size, offset);
}

static int log_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 offset)
{
    struct wal_vfs *owner = owner_of(file);
    int code = kvault__wal_buffer_write(&owner->buffer, bytes, size, offset);

    /* What is still in the buffer lies behind the part that is asked for. */
    if (code == SQLITE_OK)
        kvault__writeback_appended(&owner->log, size, offset);
    return code;
}

static int log_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    int code = kvault__wal_buffer_flush(&owner_of(file)->buffer);

    return code ? code : file_truncate(file, size);
}

static int log_sync(sqlite3_file *file, int flags)
{
    int code = kvault__wal_buffer_flush(&owner_of(file)->buffer);

    return code ? code : file_sync(file, flags);
}

static int log_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
    int code = kvault__wal_buffer_flush(&owner_of(file)->buffer);

    return code ? code : file_size(file, ret_size);
}

/* ---- the tables ---- */

#define DATABASE_METHODS(version)                                                                                      \
    {                                                                                                                  \
        .iVersion = (version), .xClose = database_close, .xRead = file_read, .xWrite = database_write,                 \
        .xTruncate = file_truncate, .xSync = file_sync, .xFileSize = file_size, .xLock = file_lock,                    \
        .xUnlock = file_unlock, .xCheckReservedLock = file_check_lock, .xFileControl = file_control,                   \
        .xSectorSize = file_sector_size, .xDeviceCharacteristics = file_device, .xShmMap = file_shm_map,               \
        .xShmLock = database_shm_lock, .xShmBarrier = file_shm_barrier, .xShmUnmap = database_shm_unmap,               \
        .xFetch = file_fetch, .xUnfetch = file_unfetch,                                                                \
    }

/* By what the real file has: 2 is with shared memory, 3 with mapped pages too. */
static const sqlite3_io_methods database_methods[] = { DATABASE_METHODS(1), DATABASE_METHODS(2), DATABASE_METHODS(3) };

static const sqlite3_io_methods log_methods = {
    .iVersion = 1,
    .xClose = log_close,
    .xRead = log_read,
    .xWrite = log_write,
    .xTruncate = log_truncate,
    .xSync = log_sync,
    .xFileSize = log_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_lock,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_device,
};

/* ---- opening ---- */

static int real_open(struct wal_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    file->pMethods = NULL;
    return vfs->real->xOpen(vfs->real, name, file, flags, ret_flags);
}

static int open_database(struct wal_vfs *vfs, const char *name, struct shim_file *file, int flags, int *ret_flags)
{
    int code = real_open(vfs, name, file->real, flags, ret_flags);

    if (file->real->pMethods) { /* also after a failure: then SQLite closes it */
        int version = file->real->pMethods->iVersion;

        file->file.pMethods = &database_methods[version < 3 ? version - 1 : 2];
    }
    if (code == SQLITE_OK) {
        vfs->database = name;
        kvault__writeback_open(&vfs->pages, name);
    }
    return code;
}

static int open_log(struct wal_vfs *vfs, const char *name, struct shim_file *file, int flags, int *ret_flags)
{
    int code = real_open(vfs, name, file->real, flags, ret_flags);

    if (file->real->pMethods)
        file->file.pMethods = &log_methods;
    if (code == SQLITE_OK) {
        kvault__wal_buffer_open(&vfs->buffer, file->real);
        kvault__writeback_open(&vfs->log, name);
    }
    return code;
}

static int vfs_open(sqlite3_vfs *self, const char *name, sqlite3_file *given, int flags, int *ret_flags)
{
    struct wal_vfs *vfs = (struct wal_vfs *)self;
    struct shim_file *file = (struct shim_file *)given;

    /* The main database is the first that is opened. */
    if ((flags & SQLITE_OPEN_MAIN_DB) && name && !vfs->database) {
        *file = (struct shim_file){ .owner = vfs, .real = (sqlite3_file *)(file + 1) };
        return open_database(vfs, name, file, flags, ret_flags);
    }
    if ((flags & SQLITE_OPEN_WAL) && vfs->database && !vfs->buffer.wal &&
        sqlite3_filename_database(name) == vfs->database) {
        *file = (struct shim_file){ .owner = vfs, .real = (sqlite3_file *)(file + 1) };
        return open_log(vfs, name, file, flags, ret_flags);
    }
    return real_open(vfs, name, given, flags, ret_flags);
}

/* ---- what the VFS passes on: the real one must see itself, not us ---- */

static sqlite3_vfs *real_vfs(sqlite3_vfs *self)
{
    return ((struct wal_vfs *)self)->real;
}

static int vfs_delete(sqlite3_vfs *self, const char *name, int sync_folder)
{
    return real_vfs(self)->xDelete(real_vfs(self), name, sync_folder);
}

static int vfs_access(sqlite3_vfs *self, const char *name, int flags, int *ret_answer)
{
    return real_vfs(self)->xAccess(real_vfs(self), name, flags, ret_answer);
}

static int vfs_full_path(sqlite3_vfs *self, const char *name, int size, char *ret_path)
{
    return real_vfs(self)->xFullPathname(real_vfs(self), name, size, ret_path);
}

static int vfs_randomness(sqlite3_vfs *self, int size, char *ret_bytes)
{
    return real_vfs(self)->xRandomness(real_vfs(self), size, ret_bytes);
}

static int vfs_sleep(sqlite3_vfs *self, int us)
{
    return real_vfs(self)->xSleep(real_vfs(self), us);
}

static int vfs_time(sqlite3_vfs *self, double *ret_days)
{
    return real_vfs(self)->xCurrentTime(real_vfs(self), ret_days);
}

static int vfs_time_ms(sqlite3_vfs *self, sqlite3_int64 *ret_ms)
{
    return real_vfs(self)->xCurrentTimeInt64(real_vfs(self), ret_ms);
}

static int vfs_last_error(sqlite3_vfs *self, int size, char *ret_words)
{
    return real_vfs(self)->xGetLastError(real_vfs(self), size, ret_words);
}

/* ---- life ---- */

kvault_status kvault__wal_vfs_new(struct wal_vfs **ret_vfs, kvault_error *reterr)
{
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);
    struct wal_vfs *vfs = kvault__alloc_zero(1, sizeof *vfs);
    int code;

    if (!vfs)
        return kvault__fail_nomem(reterr, sizeof *vfs);
    if (!real) {
        kvault__free(vfs);
        return kvault__fail(reterr, KVAULT_E_IO, "SQLite could not be initialized: it has no VFS");
    }
    (void)snprintf(vfs->name, sizeof vfs->name, "kvault-%p", (void *)vfs);
    vfs->real = real;
    vfs->vfs = (sqlite3_vfs){
        .iVersion = real->iVersion > 1 ? 2 : 1,
        .szOsFile = (int)sizeof(struct shim_file) + real->szOsFile,
        .mxPathname = real->mxPathname,
        .zName = vfs->name,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_path,
        .xRandomness = vfs_randomness,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_time,
        .xGetLastError = vfs_last_error,
        .xCurrentTimeInt64 = vfs_time_ms,
    };
    code = sqlite3_vfs_register(&vfs->vfs, 0);
    if (code != SQLITE_OK) {
        kvault__free(vfs);
        return kvault__fail(reterr, KVAULT_E_IO, "could not register the VFS: %s", sqlite3_errstr(code));
    }
    *ret_vfs = vfs;
    return KVAULT_OK;
}

const char *kvault__wal_vfs_name(const struct wal_vfs *vfs)
{
    return vfs->name;
}

void kvault__wal_vfs_free(struct wal_vfs *vfs)
{
    if (!vfs)
        return;
    (void)sqlite3_vfs_unregister(&vfs->vfs); /* fails only where SQLite could not be initialized */
    kvault__free(vfs);
}
