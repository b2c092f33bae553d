/* alloc_fault.c - the heap of the C tests: fails on order, counts what is alive. */
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "kvtest.h"

static atomic_long fail_at, asked, live;
static atomic_bool paused;

void kvtest_alloc_fail_at(long nth)
{
    atomic_store(&asked, 0);
    atomic_store(&fail_at, nth);
}

long kvtest_alloc_count(void)
{
    return atomic_load(&asked);
}

long kvtest_alloc_live(void)
{
    return atomic_load(&live);
}

void kvtest_alloc_pause(bool pause)
{
    atomic_store(&paused, pause);
}

static bool fails(void)
{
    if (atomic_load(&paused))
        return false;

    long now = atomic_fetch_add(&asked, 1) + 1, at = atomic_load(&fail_at);
    return at && now >= at;
}

static void *counted(void *block)
{
    if (block)
        atomic_fetch_add(&live, 1);
    return block;
}

void *kvault__alloc(size_t size)
{
    return fails() ? NULL : counted(malloc(size ? size : 1));
}

void *kvault__alloc_zero(size_t count, size_t size)
{
    return fails() ? NULL : counted(calloc(count ? count : 1, size ? size : 1));
}

void *kvault__realloc(void *block, size_t size)
{
    if (fails())
        return NULL;
    return block ? realloc(block, size ? size : 1) : counted(malloc(size ? size : 1));
}

void *kvault__alloc_aligned(size_t alignment, size_t size)
{
    void *block = NULL;

    if (fails() || posix_memalign(&block, alignment, size ? size : 1))
        return NULL;
    return counted(block);
}

void kvault__free(void *block)
{
    if (block)
        atomic_fetch_sub(&live, 1);
    free(block);
}
