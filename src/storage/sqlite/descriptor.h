/* descriptor.h - SQLite's own descriptor of a file.
 *
 * We never open a database file, nor its WAL: closing a descriptor of ours would drop every POSIX lock that this
 * process has on it. What SQLite has open is found in /proc/self/fd by device and inode. */
#ifndef KVAULT_STORAGE_SQLITE_DESCRIPTOR_H
#define KVAULT_STORAGE_SQLITE_DESCRIPTOR_H

/* A descriptor that this process has open on the file at `path`, or -1. It is another's: it may be closed, and its
 * number used for another file, at any time. */
int kvault__find_descriptor(const char *path);

#endif
