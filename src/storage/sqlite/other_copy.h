/* other_copy.h - another SQLite in the process: two of them break each other's locks.
 *
 * POSIX drops every lock that a process has on a file when any descriptor of it is closed. SQLite
 * guards against that, but a copy knows only of the descriptors that it opened itself. */
#ifndef KVAULT_STORAGE_SQLITE_OTHER_COPY_H
#define KVAULT_STORAGE_SQLITE_OTHER_COPY_H

#include "storage/storage.h"

/* See storage.h. */
bool kvault__sqlite_find_other_copy(struct storage_other_copy *seen);

#endif
