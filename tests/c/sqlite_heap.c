/* sqlite_heap.c - see sqlite_heap.h. */
#include "sqlite_heap.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <stddef.h>

static sqlite3_mem_methods real;
static atomic_long asked, fail_at;
static atomic_bool every_later;

static bool fails(void)
{
    long now = atomic_fetch_add(&asked, 1) + 1, at = atomic_load(&fail_at);

    return at && (now == at || (now > at && atomic_load(&every_later)));
}

static void *heap_malloc(int size)
{
    return fails() ? NULL : real.xMalloc(size);
}

static void *heap_realloc(void *block, int size)
{
    return fails() ? NULL : real.xRealloc(block, size);
}

void sqlite_heap_install(void)
{
    sqlite3_mem_methods ours;

    (void)sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real);
    ours = real;
    ours.xMalloc = heap_malloc;
    ours.xRealloc = heap_realloc;
    (void)sqlite3_config(SQLITE_CONFIG_MALLOC, &ours);
}

void sqlite_heap_fail_at(long nth, bool stays)
{
    atomic_store(&asked, 0);
    atomic_store(&every_later, stays);
    atomic_store(&fail_at, nth);
}

long sqlite_heap_count(void)
{
    return atomic_load(&asked);
}
