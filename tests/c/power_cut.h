/* power_cut.h - what the disk may hold after the power was cut: fault_vfs.c records, a test rebuilds.
 *
 * From power_watch() on every file opened in the folder through the fault VFS is followed: its
 * bytes as of its last sync, and each write and truncation since, in order. Entries of the
 * folder (files made, files deleted) are durable once the folder was synced. power_cut() writes a
 * folder as it may be found after a cut at this moment: what was synced is there; of the rest
 * nothing, everything, or a part that the dice choose, writes torn at sectors of 512 bytes. The
 * shared memory of the WAL-index is not among the files: a cut loses it. */
#ifndef POWER_CUT_H
#define POWER_CUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum power_rest {
    POWER_DROPPED, /* nothing unsynced reached the disk */
    POWER_KEPT,    /* all of it did */
    POWER_TORN,    /* each write: all, nothing, or some of its sectors; each entry of the folder as it falls */
};

/* Follow the files of `folder` (an absolute path without a slash at its end), none of which is open. What
 * they hold by then is on the disk. */
void power_watch(const char *folder);
void power_unwatch(void);
/* `moment` is called before each sync, truncation and deletion in the folder, which `what` names: the
 * moments at which a cut leaves something else than at the one before. NULL: nobody is. */
void power_on_moment(void (*moment)(void *ctx, const char *what), void *ctx);
/* Write the files to the folder `dest`, which exists and is empty. */
bool power_cut(const char *dest, enum power_rest rest, uint32_t seed);

/* ---- for fault_vfs.c, which holds its lock ---- */
void power_moment(const char *path, const char *what);
void power_opening(const char *path);
void power_opened(const char *path, bool good);
void power_wrote(const char *path, const void *data, size_t size, uint64_t offset);
void power_truncated(const char *path, uint64_t size);
void power_synced(const char *path, bool folder_too);
void power_deleted(const char *path, bool synced);

#endif
