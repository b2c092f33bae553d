/* version.c - the version of the file's contents, from the header of the WAL-index.
 *
 * SQLite keeps two copies of a 48-byte header in the memory that all connections share:
 *
 *     0 iVersion u32 | 4 unused | 8 iChange u32 | 12 isInit u8, bigEndCksum u8, szPage u16
 *     16 mxFrame | 20 nPage | 24 aFrameCksum 2 u32 | 32 aSalt 2 u32 | 40 aCksum 2 u32
 *
 * A commit writes the second copy, then the first; a reader takes the first, then the
 * second, and has a whole one if both agree. Every commit of every process changes it,
 * and moves iChange by one. The memory is SQLite's: mapped once, while the connection opens,
 * it stays where it is until the connection closes. */
#include <string.h>

#include "storage/sqlite/sqlite.h"
#include "base/banned.h"

#define HEADER_WORDS (STORAGE_VERSION_BYTES / 4)
#define CHANGE_WORD 2
#define INIT_WORD 3
#define TRIES 8
#define REGION_BYTES 32768

/* Only in WAL mode: elsewhere xShmMap would make a stray file. */
void kvault__sqlite_map_version(storage_conn *conn)
{
    sqlite3_file *file = NULL;
    volatile void *region = NULL;

    if (!conn->wal || conn->immutable ||
        sqlite3_file_control(conn->db, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK || !file ||
        !file->pMethods || file->pMethods->iVersion < 2 || !file->pMethods->xShmMap)
        return;
    if (file->pMethods->xShmMap(file, 0, REGION_BYTES, 0, &region) == SQLITE_OK)
        conn->wal_index = (const uint32_t *)(uintptr_t)region;
}

static void load_header(const uint32_t *from, uint32_t to[HEADER_WORDS])
{
    for (int i = 0; i < HEADER_WORDS; i++)
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED); /* ordered by the fences around */
}

void kvault__sqlite_version(storage_conn *conn, struct storage_version *ret_version)
{
    uint32_t first[HEADER_WORDS], second[HEADER_WORDS];

    *ret_version = (struct storage_version){ .known = false };
    if (conn->memory) {
        uint32_t commits = (uint32_t)atomic_load_explicit(&conn->commits, memory_order_relaxed); /* ours alone */

        ret_version->known = true;
        memcpy(ret_version->bytes + 4 * CHANGE_WORD, &commits, sizeof commits);
        return;
    }
    for (int i = 0; conn->wal_index && i < TRIES; i++) {
        load_header(conn->wal_index, first);
        __atomic_thread_fence(__ATOMIC_ACQUIRE); /* pairs with the barrier between SQLite's two copies */
        load_header(conn->wal_index + HEADER_WORDS, second);
        __atomic_thread_fence(__ATOMIC_ACQUIRE); /* what is read after this is at least as new */
        if (memcmp(first, second, sizeof first) == 0 && first[INIT_WORD]) {
            ret_version->known = true;
            memcpy(ret_version->bytes, first, sizeof first);
            return;
        }
    }
}

/* One copy of the header equals the version. The header never changes in place to what it was. */
static bool equals(const uint64_t *header, const struct storage_version *version)
{
    uint64_t differs = 0, word;

    for (int i = 0; i < STORAGE_VERSION_BYTES / 8; i++) {
        memcpy(&word, version->bytes + 8 * i, sizeof word);
        differs |= word ^ __atomic_load_n(&header[i], __ATOMIC_RELAXED); /* ordered by the fences around */
    }
    return !differs;
}

bool kvault__sqlite_version_is(storage_conn *conn, const struct storage_version *version)
{
    const uint64_t *header = (const uint64_t *)(const void *)conn->wal_index; /* the start of a page */
    struct storage_version now;
    bool same;

    if (!header) {
        kvault__sqlite_version(conn, &now);
        return now.known && memcmp(now.bytes, version->bytes, sizeof now.bytes) == 0;
    }
    same = equals(header, version);
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* pairs with the barrier between SQLite's two copies */
    same = same && equals(header + STORAGE_VERSION_BYTES / 8, version);
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* what is read after this is at least as new */
    return same;
}

bool kvault__sqlite_version_is_next(const struct storage_version *before, const struct storage_version *now)
{
    uint32_t a, b;

    memcpy(&a, before->bytes + 4 * CHANGE_WORD, sizeof a);
    memcpy(&b, now->bytes + 4 * CHANGE_WORD, sizeof b);
    return b == a + 1;
}

uint64_t kvault__sqlite_commits(storage_conn *conn)
{
    return atomic_load_explicit(&conn->commits, memory_order_relaxed); /* of this thread */
}

uint64_t kvault__sqlite_log_bytes(storage_conn *conn)
{
    return conn->log_pages * conn->page_size;
}
