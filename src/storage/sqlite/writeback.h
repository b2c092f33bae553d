/* writeback.h - asks the kernel to begin writing what was just written to a file.
 *
 * Without it the pages of a WAL or of a checkpoint gather in memory until the fdatasync, which then waits for
 * all of them; with it the disk works while SQLite fills. Nothing is promised by it: every
 * sync stays where it is, and where the descriptor cannot be found nothing is lost but speed. */
#ifndef KVAULT_STORAGE_SQLITE_WRITEBACK_H
#define KVAULT_STORAGE_SQLITE_WRITEBACK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct writeback {
    const char *path; /* borrowed; lives as long as SQLite has the file open */
    bool looked;      /* for the descriptor; fd -1: there is none */
    int fd;           /* SQLite's */
    dev_t device;
    ino_t inode;
    int64_t from, to; /* written and not yet asked for */
    int64_t bytes;    /* written since the last time */
};

void kvault__writeback_open(struct writeback *file, const char *path);
/* `size` bytes were appended at `offset`. */
void kvault__writeback_appended(struct writeback *file, int size, int64_t offset);
/* `size` bytes were written somewhere. */
void kvault__writeback_wrote(struct writeback *file, int size, int64_t offset);

#endif
