/* fault_vfs.h - a VFS that counts the calls to the disk and makes one of them go wrong.
 *
 * It takes the place of the default VFS, under its name, and hands every call on to
 * it. So it lies under whatever the engine puts on top, provided that this asks for the
 * default VFS, or for it by name, after fault_vfs_install(): install it before the first
 * open of the process, and remove it after the last close.
 *
 * The functions take and return plain numbers, so that Python can call them through ctypes. */
#ifndef FAULT_VFS_H
#define FAULT_VFS_H

#include <stdbool.h>

/* The calls that are counted. */
#define FAULT_CALL_MAP(X)                                                                                              \
    X(FAULT_OPEN, "open")                                                                                              \
    X(FAULT_ACCESS, "access")                                                                                          \
    X(FAULT_DELETE, "delete")                                                                                          \
    X(FAULT_READ, "read")                                                                                              \
    X(FAULT_WRITE, "write")                                                                                            \
    X(FAULT_TRUNCATE, "truncate")                                                                                      \
    X(FAULT_SYNC, "sync")                                                                                              \
    X(FAULT_FILE_SIZE, "file size")                                                                                    \
    X(FAULT_LOCK, "lock")                                                                                              \
    X(FAULT_SHM_MAP, "shm map")                                                                                        \
    X(FAULT_SHM_LOCK, "shm lock")

enum fault_call {
#define FAULT_CALL_ENUM(name, text) name,
    FAULT_CALL_MAP(FAULT_CALL_ENUM)
#undef FAULT_CALL_ENUM
        FAULT_CALLS
};

/* What becomes of the call. */
#define FAULT_HOW_MAP(X)                                                                                               \
    X(FAULT_FAILS, "fails")        /* the I/O error of its kind, nothing done */                                       \
    X(FAULT_FULL, "finds no room") /* write, truncate: SQLITE_FULL, nothing done */                                    \
    X(FAULT_BUSY, "is busy")       /* lock, shm lock: SQLITE_BUSY */                                                   \
    X(FAULT_SHORT, "is short")     /* read: the system gives half. write: half, then no room */                        \
    X(FAULT_TORN, "is torn")       /* write: every second sector of 512 bytes, then an I/O error */

enum fault_how {
#define FAULT_HOW_ENUM(name, text) name,
    FAULT_HOW_MAP(FAULT_HOW_ENUM)
#undef FAULT_HOW_ENUM
        FAULT_HOWS
};

/* Put it in the place of the default VFS, and back again. Doing either twice does nothing. */
void fault_vfs_install(void);
void fault_vfs_remove(void);

/* This can become of such a call. */
bool fault_vfs_applies(int call, int how);
const char *fault_vfs_call_text(int call);
const char *fault_vfs_how_text(int how);

/* The nth call of a kind from now on (1: the next) goes wrong; with `stays` every later one of the kind too,
 * as on a disk that died. Counting begins anew. */
void fault_vfs_arm(int call, long nth, int how, bool stays);
/* Nothing goes wrong any more; counting begins anew. */
void fault_vfs_disarm(void);
/* Calls of a kind since the counting began. */
long fault_vfs_count(int call);
/* How many went wrong since fault_vfs_arm(). */
long fault_vfs_struck(void);
/* Files open through the VFS. */
long fault_vfs_open_files(void);

#endif
