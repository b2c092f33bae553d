/* busy.c - see busy.h.
 *
 * The holder of a lock is found by F_GETLK on a descriptor that SQLite itself has open (descriptor.h). */
#include "storage/sqlite/busy.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fail.h"
#include "storage/sqlite/descriptor.h"
#include "storage/sqlite/fail.h"
#include "base/banned.h"

#define GLANCE_NS 50000000
#define PROGRESS_STEPS 20000 /* of SQLite's machine: about a millisecond */
#define SLEEP_MAX_US 2000
#define WAL_WRITE_LOCK 120   /* byte of the -shm file; SQLite's file format */
#define RESERVED_LOCK 0x40000001 /* byte of the database file */

void kvault__busy_enter(storage_conn *conn, const struct storage_wait *wait)
{
    conn->wait = wait;
    conn->interrupted = false;
    conn->next_glance_ns = wait ? wait->started_ns + GLANCE_NS : 0;
}

void kvault__busy_leave(storage_conn *conn)
{
    conn->wait = NULL;
}

bool kvault__busy_interrupted(storage_conn *conn)
{
    int64_t now;

    if (!conn->wait || !conn->wait->interrupted)
        return false;
    now = kvault__monotonic_ns();
    if (now < conn->next_glance_ns)
        return false;
    conn->next_glance_ns = now + GLANCE_NS;
    conn->interrupted = conn->wait->interrupted(conn->wait->interrupted_ctx);
    return conn->interrupted;
}

static int on_progress(void *ctx)
{
    return kvault__busy_interrupted(ctx);
}

/* SQLite asks whether to try again, for the `tries`-th time. */
static int on_busy(void *ctx, int tries)
{
    storage_conn *conn = ctx;
    int64_t us = tries < 10 ? 50 << tries : SLEEP_MAX_US;

    if (!conn->wait || kvault__monotonic_ns() >= conn->wait->deadline_ns || kvault__busy_interrupted(conn))
        return 0;
    kvault__sleep_us(us < SLEEP_MAX_US ? us : SLEEP_MAX_US);
    return 1;
}

void kvault__busy_install(storage_conn *conn)
{
    (void)sqlite3_busy_handler(conn->db, on_busy, conn);
    sqlite3_progress_handler(conn->db, PROGRESS_STEPS, on_progress, conn);
}

static long holder_of(const char *path, off_t byte)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
    int fd = kvault__find_descriptor(path);

    if (fd < 0 || fcntl(fd, F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK)
        return 0;
    return lock.l_pid;
}

static long find_holder(storage_conn *conn)
{
    char shm[4096 + 8];

    if (!conn->wal)
        return holder_of(conn->path, RESERVED_LOCK);
    (void)snprintf(shm, sizeof shm, "%s-shm", conn->path);
    return holder_of(shm, WAL_WRITE_LOCK);
}

static void name_process(long pid, char *ret_name, size_t size)
{
    char path[64];
    FILE *comm;

    (void)snprintf(ret_name, size, "?");
    (void)snprintf(path, sizeof path, "/proc/%ld/comm", pid);
    comm = fopen(path, "re");
    if (!comm)
        return;
    if (fgets(ret_name, (int)size, comm))
        ret_name[strcspn(ret_name, "\n")] = 0;
    (void)fclose(comm);
}

kvault_status kvault__busy_fail(storage_conn *conn, const struct storage_wait *wait, int code, const char *what,
                                kvault_error *reterr)
{
    double waited = wait ? (double)(kvault__monotonic_ns() - wait->started_ns) / 1e9 : 0;
    char name[64];
    long pid = 0;
    kvault_status rc;

    if (conn->interrupted)
        return kvault__fail(reterr, KVAULT_E_INTERRUPTED, "interrupted while waiting to %s", what);
    if ((code & 0xff) != SQLITE_BUSY)
        return kvault__fail_sqlite(conn, code, what, reterr);
    pid = find_holder(conn);
    if (pid > 0) {
        name_process(pid, name, sizeof name);
        rc = kvault__fail(reterr, KVAULT_E_BUSY,
                          "could not %s in \"%s\": waited %.1f s for process %ld (%s), which is writing to it", what,
                          conn->path, waited, pid, name);
    } else {
        rc = kvault__fail(reterr, KVAULT_E_BUSY, "could not %s in \"%s\": waited %.1f s for %s", what, conn->path, waited,
                          conn->wal ? "another program"
                                    : "another program, or a snapshot of this one: without a WAL it holds off commits");
    }
    if (reterr)
        reterr->sqlite_code = code;
    return rc;
}
