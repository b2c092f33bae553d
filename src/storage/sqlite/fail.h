/* fail.h - a result code of SQLite as a status with words. */
#ifndef KVAULT_STORAGE_SQLITE_FAIL_H
#define KVAULT_STORAGE_SQLITE_FAIL_H

#include "storage/sqlite/conn.h"

/* `what` completes "could not ...": "write key". Says so when SQLite rolled the transaction back. */
kvault_status kvault__fail_sqlite(storage_conn *conn, int code, const char *what, kvault_error *reterr);

#endif
