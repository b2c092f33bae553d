/* fault_vfs.c - see fault_vfs.h.
 *
 * A file of ours is a header with the real file behind it. Before a call is handed on it
 * is counted, and the plan asked whether it is the one that goes wrong. What does reach the
 * disk is told to power_cut.c, which keeps what a cut of the power could leave.
 * One lock guards the plan, the counts and the recorder, since threads may do I/O at once. */
#include "fault_vfs.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "power_cut.h"

enum { SECTOR = 512, PATH_BYTES = 512 };

struct fault_file {
    sqlite3_file base;
    sqlite3_file *real;    /* behind this struct */
    char path[PATH_BYTES]; /* empty: a temporary file */
    bool syncs_folder;     /* the first sync of a new log or journal makes the folder's entries durable */
};

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP; /* the recorder's listener may do I/O */
static sqlite3_vfs *real_vfs, vfs;
static long counts[FAULT_CALLS], open_files, struck;
static struct {
    bool armed, stays;
    int call, how;
    long nth;
} plan;

/* ---- the plan ---- */

bool fault_vfs_applies(int call, int how)
{
    switch ((enum fault_how)how) {
    case FAULT_FAILS:
        return true;
    case FAULT_FULL:
        return call == FAULT_WRITE || call == FAULT_TRUNCATE;
    case FAULT_BUSY:
        return call == FAULT_LOCK || call == FAULT_SHM_LOCK;
    case FAULT_SHORT:
        return call == FAULT_READ || call == FAULT_WRITE;
    case FAULT_TORN:
        return call == FAULT_WRITE;
    case FAULT_HOWS:
        break;
    }
    return false;
}

const char *fault_vfs_call_text(int call)
{
#define FAULT_CALL_TEXT(name, text) text,
    static const char *const texts[] = { FAULT_CALL_MAP(FAULT_CALL_TEXT) };
#undef FAULT_CALL_TEXT
    return texts[call];
}

const char *fault_vfs_how_text(int how)
{
#define FAULT_HOW_TEXT(name, text) text,
    static const char *const texts[] = { FAULT_HOW_MAP(FAULT_HOW_TEXT) };
#undef FAULT_HOW_TEXT
    return texts[how];
}

void fault_vfs_arm(int call, long nth, int how, bool stays)
{
    pthread_mutex_lock(&lock);
    memset(counts, 0, sizeof counts);
    struck = 0;
    plan.armed = true;
    plan.stays = stays;
    plan.call = call;
    plan.how = how;
    plan.nth = nth;
    pthread_mutex_unlock(&lock);
}

void fault_vfs_disarm(void)
{
    pthread_mutex_lock(&lock);
    plan.armed = false;
    memset(counts, 0, sizeof counts);
    pthread_mutex_unlock(&lock);
}

static long read_number(const long *number)
{
    pthread_mutex_lock(&lock);
    long now = *number;
    pthread_mutex_unlock(&lock);
    return now;
}

long fault_vfs_count(int call)
{
    return read_number(&counts[call]);
}

long fault_vfs_struck(void)
{
    return read_number(&struck);
}

long fault_vfs_open_files(void)
{
    return read_number(&open_files);
}

/* Count a call, and tell what becomes of it: FAULT_HOWS if nothing. */
static int strikes(int call)
{
    long now = ++counts[call];

    if (!plan.armed || plan.call != call || now < plan.nth || (now > plan.nth && !plan.stays))
        return FAULT_HOWS;
    struck++;
    return plan.how;
}

/* The result of a call that goes wrong without doing anything. */
static int code_of(int how, int error)
{
    return how == FAULT_FULL ? SQLITE_FULL : how == FAULT_BUSY ? SQLITE_BUSY : error;
}

/* A call of the kind: `do_it`, unless it is the one that goes wrong with `error`. */
#define COUNTED(call, error, do_it)                                                                                    \
    pthread_mutex_lock(&lock);                                                                                         \
    int how = strikes(call), code;                                                                                     \
    code = how == FAULT_HOWS ? (do_it) : code_of(how, error);                                                          \
    pthread_mutex_unlock(&lock);                                                                                       \
    return code

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct fault_file *)file)->real;
}

/* A read is short where the system says so: from a VFS it would mean that the file ends there, and no disk shortens
 * a file by itself. The system calls of the default VFS are ours for that. */
static _Thread_local bool halve_next_read;
static ssize_t (*real_read)(int, void *, size_t);
static ssize_t (*real_pread)(int, void *, size_t, off64_t);

static size_t halve(size_t size)
{
    bool now = halve_next_read && size > 1;

    halve_next_read = false;
    return now ? size / 2 : size;
}

static ssize_t short_read(int fd, void *data, size_t size)
{
    return real_read(fd, data, halve(size));
}

static ssize_t short_pread(int fd, void *data, size_t size, off64_t offset)
{
    return real_pread(fd, data, halve(size), offset);
}

/* SQLite reads by one of the two, as it was built. */
static const char *pread_name(void)
{
    return real_vfs->xGetSystemCall(real_vfs, "pread64") ? "pread64" : "pread";
}

static void take_reads(void)
{
    real_read = (ssize_t(*)(int, void *, size_t))real_vfs->xGetSystemCall(real_vfs, "read");
    real_pread = (ssize_t(*)(int, void *, size_t, off64_t))real_vfs->xGetSystemCall(real_vfs, pread_name());
    (void)real_vfs->xSetSystemCall(real_vfs, "read", (sqlite3_syscall_ptr)short_read);
    if (real_pread)
        (void)real_vfs->xSetSystemCall(real_vfs, pread_name(), (sqlite3_syscall_ptr)short_pread);
}

static void give_reads_back(void)
{
    (void)real_vfs->xSetSystemCall(real_vfs, "read", NULL);
    if (real_pread)
        (void)real_vfs->xSetSystemCall(real_vfs, pread_name(), NULL);
}

/* ---- the file ---- */

static int file_close(sqlite3_file *file)
{
    int code = real_of(file)->pMethods->xClose(real_of(file));

    pthread_mutex_lock(&lock);
    open_files--;
    pthread_mutex_unlock(&lock);
    return code;
}

static int file_read(sqlite3_file *file, void *data, int size, sqlite3_int64 offset)
{
    int code, how;

    pthread_mutex_lock(&lock);
    how = strikes(FAULT_READ);
    pthread_mutex_unlock(&lock); /* reads run side by side */
    if (how == FAULT_FAILS)
        return SQLITE_IOERR_READ;
    halve_next_read = how == FAULT_SHORT;
    code = real_of(file)->pMethods->xRead(real_of(file), data, size, offset);
    halve_next_read = false;
    return code;
}

/* What reached the disk is what is recorded. */
static int write_part(sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
    int code = real_of(file)->pMethods->xWrite(real_of(file), data, size, offset);

    if (code == SQLITE_OK)
        power_wrote(((struct fault_file *)file)->path, data, (size_t)size, (uint64_t)offset);
    return code;
}

/* Every second sector of the disk, as far as the write covers it. */
static void write_torn(sqlite3_file *file, const char *data, int size, sqlite3_int64 offset)
{
    for (int at = 0, part; at < size; at += part) {
        part = SECTOR - (int)((offset + at) % SECTOR);
        part = part < size - at ? part : size - at;
        if ((offset + at) / SECTOR % 2 == 0)
            (void)write_part(file, data + at, part, offset + at);
    }
}

static int file_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
    int code, how;

    pthread_mutex_lock(&lock);
    how = strikes(FAULT_WRITE);
    code = how == FAULT_HOWS    ? write_part(file, data, size, offset)
           : how == FAULT_SHORT ? SQLITE_FULL
                                : code_of(how, SQLITE_IOERR_WRITE);
    if (how == FAULT_SHORT)
        (void)write_part(file, data, size / 2, offset);
    if (how == FAULT_TORN)
        write_torn(file, data, size, offset);
    pthread_mutex_unlock(&lock);
    return code;
}

static int do_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    int code;

    power_moment(((struct fault_file *)file)->path, "truncate");
    code = real_of(file)->pMethods->xTruncate(real_of(file), size);
    if (code == SQLITE_OK)
        power_truncated(((struct fault_file *)file)->path, (uint64_t)size);
    return code;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    COUNTED(FAULT_TRUNCATE, SQLITE_IOERR_TRUNCATE, do_truncate(file, size));
}

static int do_sync(sqlite3_file *file, int flags)
{
    struct fault_file *self = (struct fault_file *)file;
    int code;

    power_moment(self->path, "sync");
    code = self->real->pMethods->xSync(self->real, flags);
    if (code == SQLITE_OK) {
        power_synced(self->path, self->syncs_folder);
        self->syncs_folder = false;
    }
    return code;
}

static int file_sync(sqlite3_file *file, int flags)
{
    COUNTED(FAULT_SYNC, SQLITE_IOERR_FSYNC, do_sync(file, flags));
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
    COUNTED(FAULT_FILE_SIZE, SQLITE_IOERR_FSTAT, real_of(file)->pMethods->xFileSize(real_of(file), ret_size));
}

static int file_lock(sqlite3_file *file, int level)
{
    COUNTED(FAULT_LOCK, SQLITE_IOERR_LOCK, real_of(file)->pMethods->xLock(real_of(file), level));
}

static int file_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level); /* SQLite does not look at what it says */
}

static int file_check_reserved(sqlite3_file *file, int *ret_reserved)
{
    COUNTED(FAULT_LOCK, SQLITE_IOERR_CHECKRESERVEDLOCK,
            real_of(file)->pMethods->xCheckReservedLock(real_of(file), ret_reserved));
}

static int file_control(sqlite3_file *file, int op, void *argument)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), op, argument);
}

static int sector_size(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int device_characteristics(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **ret_at)
{
    COUNTED(FAULT_SHM_MAP, SQLITE_IOERR_SHMMAP,
            real_of(file)->pMethods->xShmMap(real_of(file), region, size, extend, ret_at));
}

static int shm_lock(sqlite3_file *file, int first, int count, int flags)
{
    if (flags & SQLITE_SHM_UNLOCK)
        return real_of(file)->pMethods->xShmLock(real_of(file), first, count, flags);
    COUNTED(FAULT_SHM_LOCK, SQLITE_IOERR_SHMLOCK,
            real_of(file)->pMethods->xShmLock(real_of(file), first, count, flags));
}

static void shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int shm_unmap(sqlite3_file *file, int also_delete)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), also_delete);
}

static int fetch(sqlite3_file *file, sqlite3_int64 offset, int size, void **ret_at)
{
    return real_of(file)->pMethods->xFetch(real_of(file), offset, size, ret_at);
}

static int unfetch(sqlite3_file *file, sqlite3_int64 offset, void *at)
{
    return real_of(file)->pMethods->xUnfetch(real_of(file), offset, at);
}

static const sqlite3_io_methods methods = {
    3,
    file_close,
    file_read,
    file_write,
    file_truncate,
    file_sync,
    file_size,
    file_lock,
    file_unlock,
    file_check_reserved,
    file_control,
    sector_size,
    device_characteristics,
    shm_map,
    shm_lock,
    shm_barrier,
    shm_unmap,
    fetch,
    unfetch,
};

/* ---- the VFS ---- */

static int do_open(const char *name, struct fault_file *file, int flags, int *ret_flags)
{
    bool is_log = flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL);
    int code;

    power_opening(file->path);
    code = real_vfs->xOpen(real_vfs, name, file->real, flags, ret_flags);
    power_opened(file->path, code == SQLITE_OK);
    if (!file->real->pMethods)
        return code;
    file->base.pMethods = &methods; /* so SQLite closes it, also where the opening failed */
    file->syncs_folder = is_log && (flags & SQLITE_OPEN_CREATE);
    open_files++;
    return code;
}

static int vfs_open(sqlite3_vfs *self, const char *name, sqlite3_file *opened, int flags, int *ret_flags)
{
    struct fault_file *file = (struct fault_file *)opened;

    (void)self;
    memset(file, 0, sizeof *file);
    file->real = (sqlite3_file *)(file + 1);
    file->real->pMethods = NULL;
    if (name)
        strncat(file->path, name, sizeof file->path - 1);
    COUNTED(FAULT_OPEN, SQLITE_CANTOPEN, do_open(name, file, flags, ret_flags));
}

static int do_delete(const char *name, int sync_folder)
{
    int code;

    power_moment(name, "delete");
    code = real_vfs->xDelete(real_vfs, name, sync_folder);
    if (code == SQLITE_OK)
        power_deleted(name, sync_folder);
    return code;
}

static int vfs_delete(sqlite3_vfs *self, const char *name, int sync_folder)
{
    (void)self;
    COUNTED(FAULT_DELETE, SQLITE_IOERR_DELETE, do_delete(name, sync_folder));
}

static int vfs_access(sqlite3_vfs *self, const char *name, int flags, int *ret_yes)
{
    (void)self;
    COUNTED(FAULT_ACCESS, SQLITE_IOERR_ACCESS, real_vfs->xAccess(real_vfs, name, flags, ret_yes));
}

static int vfs_full_path(sqlite3_vfs *self, const char *name, int size, char *ret_path)
{
    (void)self;
    return real_vfs->xFullPathname(real_vfs, name, size, ret_path);
}

void fault_vfs_install(void)
{
    if (real_vfs)
        return;
    real_vfs = sqlite3_vfs_find(NULL);
    vfs = *real_vfs; /* what is not ours below needs nothing of the struct */
    vfs.szOsFile = (int)sizeof(struct fault_file) + real_vfs->szOsFile;
    vfs.xOpen = vfs_open;
    vfs.xDelete = vfs_delete;
    vfs.xAccess = vfs_access;
    vfs.xFullPathname = vfs_full_path;
    take_reads();
    /* One name, one VFS at a time. */
    (void)sqlite3_vfs_unregister(real_vfs);
    (void)sqlite3_vfs_register(&vfs, 1);
}

void fault_vfs_remove(void)
{
    if (!real_vfs)
        return;
    (void)sqlite3_vfs_unregister(&vfs);
    (void)sqlite3_vfs_register(real_vfs, 1);
    give_reads_back();
    real_vfs = NULL;
}
