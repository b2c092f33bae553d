/* writeback.c - see writeback.h. */
#include "storage/sqlite/writeback.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "storage/sqlite/descriptor.h"
#include "base/banned.h"

#define APPENDED_BYTES (1 << 20)
#define BEHIND_BYTES (256 << 10) /* the end of a log is still being filled */
#define WRITTEN_BYTES (2 << 20)

void kvault__writeback_open(struct writeback *file, const char *path)
{
    *file = (struct writeback){ .path = path, .fd = -1 };
}

/* The descriptor may have gone to another file since it was found. */
static bool still_ours(const struct writeback *file)
{
    struct stat now;

    return file->fd >= 0 && fstat(file->fd, &now) == 0 && now.st_dev == file->device && now.st_ino == file->inode;
}

static bool find(struct writeback *file)
{
    struct stat now;

    if (file->looked && (file->fd < 0 || still_ours(file)))
        return file->fd >= 0;
    file->looked = true;
    file->fd = kvault__find_descriptor(file->path);
    if (file->fd < 0 || fstat(file->fd, &now) != 0) {
        file->fd = -1;
        return false;
    }
    file->device = now.st_dev;
    file->inode = now.st_ino;
    return true;
}

static void begin(struct writeback *file, int64_t from, int64_t to)
{
    /* Should the number have gone to another file after all, this begins to write that one, which does no harm. */
    if (find(file) && sync_file_range(file->fd, from, to - from, SYNC_FILE_RANGE_WRITE) != 0)
        file->fd = -1; /* a file system that cannot; it is not asked again */
}

void kvault__writeback_appended(struct writeback *file, int size, int64_t offset)
{
    int64_t end = offset + size, until = end - BEHIND_BYTES;

    if (offset < file->from) /* the log began anew */
        file->from = offset;
    if (until - file->from < APPENDED_BYTES)
        return;
    begin(file, file->from, until);
    file->from = until;
}

void kvault__writeback_wrote(struct writeback *file, int size, int64_t offset)
{
    if (!file->bytes || offset < file->from)
        file->from = offset;
    if (!file->bytes || offset + size > file->to)
        file->to = offset + size;
    file->bytes += size;
    if (file->bytes < WRITTEN_BYTES)
        return;
    begin(file, file->from, file->to);
    file->bytes = 0;
}
