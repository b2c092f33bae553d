/* descriptor.c - see descriptor.h. */
#include "storage/sqlite/descriptor.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/banned.h"

int kvault__find_descriptor(const char *path)
{
    struct stat want, at;
    struct dirent *entry;
    int found = -1;
    DIR *folder;

    if (stat(path, &want) != 0)
        return -1;
    folder = opendir("/proc/self/fd");
    if (!folder)
        return -1;
    while (found < 0 && (entry = readdir(folder))) {
        char *end;
        long fd = strtol(entry->d_name, &end, 10);

        if (end != entry->d_name && !*end && fd != dirfd(folder) && fstat((int)fd, &at) == 0 &&
            at.st_dev == want.st_dev && at.st_ino == want.st_ino)
            found = (int)fd;
    }
    (void)closedir(folder);
    return found;
}
