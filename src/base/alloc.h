/* alloc.h - the one door to the heap.
 *
 * The library gets base/alloc.c; the C tests link tests/c/alloc_fault.c in its
 * place, which fails on order and counts what is alive. */
#ifndef KVAULT_BASE_ALLOC_H
#define KVAULT_BASE_ALLOC_H

#include <stddef.h>

/* As malloc, calloc, realloc and free; NULL when the heap is exhausted, and for
 * a count * size that overflows. A size of 0 yields a block that may be freed. */
void *kvault__alloc(size_t size);
void *kvault__alloc_zero(size_t count, size_t size);
void *kvault__realloc(void *block, size_t size);
/* `alignment` is a power of two and a multiple of sizeof(void *); free with kvault__free(). */
void *kvault__alloc_aligned(size_t alignment, size_t size);
void kvault__free(void *block);

#endif
