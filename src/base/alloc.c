/* alloc.c - the heap of the library is libc's. See alloc.h. */
#include "base/alloc.h"

#include <stdlib.h>

void *kvault__alloc(size_t size)
{
    return malloc(size ? size : 1);
}

void *kvault__alloc_zero(size_t count, size_t size)
{
    return calloc(count ? count : 1, size ? size : 1);
}

void *kvault__realloc(void *block, size_t size)
{
    return realloc(block, size ? size : 1);
}

void *kvault__alloc_aligned(size_t alignment, size_t size)
{
    void *block = NULL;
    return posix_memalign(&block, alignment, size ? size : 1) ? NULL : block;
}

void kvault__free(void *block)
{
    free(block);
}
