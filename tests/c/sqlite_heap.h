/* sqlite_heap.h - SQLite's memory, where the nth allocation fails. */
#ifndef SQLITE_HEAP_H
#define SQLITE_HEAP_H

#include <stdbool.h>

/* Before anything of SQLite is used. */
void sqlite_heap_install(void);
/* The nth allocation from now fails, with `stays` every later one too; 0: none. Counting begins anew. */
void sqlite_heap_fail_at(long nth, bool stays);
/* Allocations asked for since. */
long sqlite_heap_count(void);

#endif
