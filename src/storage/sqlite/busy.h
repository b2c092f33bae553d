/* busy.h - waiting for other programs, and Ctrl-C in long calls. */
#ifndef KVAULT_STORAGE_SQLITE_BUSY_H
#define KVAULT_STORAGE_SQLITE_BUSY_H

#include "storage/sqlite/conn.h"

/* Every call into SQLite stands between these two: `wait` is what the busy and the
 * progress handler go by. */
void kvault__busy_enter(storage_conn *conn, const struct storage_wait *wait);
void kvault__busy_leave(storage_conn *conn);
/* Install both handlers. */
void kvault__busy_install(storage_conn *conn);
/* True when the call should end: asked at most every 0.1 s. */
bool kvault__busy_interrupted(storage_conn *conn);
/* SQLITE_BUSY after the wait: who holds the file, and for how long we waited. */
kvault_status kvault__busy_fail(storage_conn *conn, const struct storage_wait *wait, int code, const char *what,
                                kvault_error *reterr);

#endif
