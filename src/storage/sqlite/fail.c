/* fail.c - see fail.h. */
#include "storage/sqlite/fail.h"

#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "base/banned.h"

static kvault_status status_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return KVAULT_E_NOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return KVAULT_E_BUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
        return KVAULT_E_CORRUPT;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return KVAULT_E_READONLY;
    case SQLITE_INTERRUPT:
        return KVAULT_E_INTERRUPTED;
    case SQLITE_TOOBIG:
        return KVAULT_E_TOOBIG;
    default:
        return KVAULT_E_IO;
    }
}

kvault_status kvault__fail_sqlite(storage_conn *conn, int code, const char *what, kvault_error *reterr)
{
    int extended = conn->db ? sqlite3_extended_errcode(conn->db) : code;
    int os = conn->db ? sqlite3_system_errno(conn->db) : 0;
    kvault_status status = status_of(code);
    const char *why = sqlite3_errstr(code);

    if ((extended & 0xff) != (code & 0xff))
        extended = code;
    if ((code & 0xff) == SQLITE_FULL) {
        os = ENOSPC;
        why = "the disk is full";
    } else if (status == KVAULT_E_CORRUPT) {
        why = (code & 0xff) == SQLITE_NOTADB ? "the file is not a database" : "the file is damaged";
    } else if (status == KVAULT_E_INTERRUPTED) {
        why = "interrupted";
    }
    status = kvault__fail(reterr, status, "could not %s in \"%s\": %s%s%s", what, conn->path, why, os ? ": " : "",
                          os && (code & 0xff) != SQLITE_FULL ? strerror(os) : os ? strerror(ENOSPC) : "");
    if (reterr) {
        reterr->sqlite_code = extended;
        reterr->os_code = os;
    }
    return status;
}
