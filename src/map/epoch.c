/* epoch.c - pins, epochs, and items that wait for both. See epoch.h.
 *
 * Why it is safe. All accesses to `now` and `state`, and in the structure above all loads,
 * links and unlinks of shared pointers, are seq_cst, so they have one order S. Let item x
 * be unlinked (U), and then retired with g, the epoch read after U. Let pin p (the write of
 * `state`) be that of a thread which loads (L) the pointer to x. L saw x, so L precedes U
 * in S; so p < L < U < the read of g. Until that read, `now` was at most g. x is freed
 * when now >= g + 2, and the step from g + 1 to g + 2 needs a look through all
 * records that began after `now` became g + 1, hence after p in S. That look sees p,
 * whose epoch is at most g, and fails until p is given up. One step, the one to g + 1, may
 * have looked too early and missed p: that is why items wait for two.
 *
 * The free itself happens after the last access through a pin: leaving is a release
 * store, the look at `state` that finds it reads that store or one behind it in its release sequence
 * (only read-modify-writes claim a record), and the look is ordered before the free by the
 * change of `now`, which whoever frees has read.
 *
 * On x86 the seq_cst loads are plain loads, and the seq_cst exchange that claims a record is
 * the one barrier that any such scheme needs.
 *
 * Not promised: that items are freed while a thread stays pinned. */
#include "map/epoch.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"

#include "base/banned.h"

#define ADVANCE_EVERY 64u /* items; a look costs about as much as retiring a few of them */

static struct epoch_block *new_block(void)
{
    struct epoch_block *block = kvault__alloc_aligned(_Alignof(struct epoch_block), sizeof *block);

    if (!block)
        return NULL;
    memset(block, 0, sizeof *block);
    for (uint32_t i = 0; i < EPOCH_RECORDS; i++)
        block->record[i].random = ((uintptr_t)block + i) * 0x9e3779b97f4a7c15u | 1;
    return block;
}

kvault_status kvault__epoch_init(struct epoch *epoch, void (*free_item)(void *, int, struct epoch_item *),
                                 void *context, kvault_error *reterr)
{
    struct epoch_block *block = new_block();

    if (!block)
        return kvault__fail_nomem(reterr, sizeof *block);
    atomic_init(&epoch->now, EPOCH_BUCKETS);
    epoch->first = block;
    epoch->free_item = free_item;
    epoch->context = context;
    return KVAULT_OK;
}

static struct epoch_block *next_block(const struct epoch_block *block)
{
    /* Pairs with the release in add_block(). */
    return atomic_load_explicit(&block->next, memory_order_acquire);
}

/* ---- entering ---- */

/* Threads begin to look at different records, so that they seldom share one's lines. */
static uint32_t first_choice(void)
{
    return (uint32_t)(((uint64_t)(uintptr_t)pthread_self() * 0x9e3779b97f4a7c15u) >> 59);
}
static_assert(EPOCH_RECORDS == 32, "first_choice() keeps 5 bits");

static bool claim(struct epoch *epoch, struct epoch_record *record)
{
    uint64_t nobody = 0;
    uint64_t now = atomic_load_explicit(&epoch->now, memory_order_seq_cst);

    /* Relaxed: only a hint, the exchange decides. Its acquire pairs with the release in
     * give_back(), and makes the fields of the record ours. */
    return atomic_load_explicit(&record->state, memory_order_relaxed) == 0 &&
           atomic_compare_exchange_strong_explicit(&record->state, &nobody, now * 2 + 1, memory_order_seq_cst,
                                                   memory_order_relaxed);
}

static void give_back(struct epoch_record *record)
{
    atomic_store_explicit(&record->state, 0, memory_order_release);
}

static kvault_status add_block(struct epoch_block *last, kvault_error *reterr)
{
    struct epoch_block *fresh = new_block(), *none = NULL;

    if (!fresh)
        return kvault__fail_nomem(reterr, sizeof *fresh);
    /* Pairs with the acquire in next_block(). If another thread was faster, its block serves. */
    if (!atomic_compare_exchange_strong_explicit(&last->next, &none, fresh, memory_order_release,
                                                 memory_order_relaxed))
        kvault__free(fresh);
    return KVAULT_OK;
}

kvault_status kvault__epoch_enter(struct epoch *epoch, struct epoch_record **ret_record, kvault_error *reterr)
{
    uint32_t first = first_choice();
    struct epoch_block *block = epoch->first;

    for (;;) {
        for (uint32_t i = 0; i < EPOCH_RECORDS; i++) {
            struct epoch_record *record = &block->record[(first + i) % EPOCH_RECORDS];
            if (claim(epoch, record)) {
                *ret_record = record;
                return KVAULT_OK;
            }
        }
        if (!next_block(block)) {
            kvault_status rc = add_block(block, reterr);
            if (rc < 0)
                return rc;
        }
        block = next_block(block);
    }
}

/* ---- retiring and freeing ---- */

static void append(struct epoch_item **to, struct epoch_item *items)
{
    while (items) {
        struct epoch_item *next = items->next;
        items->next = *to;
        *to = items;
        items = next;
    }
}

void kvault__epoch_retire(struct epoch *epoch, struct epoch_record *record, int kind, struct epoch_item *item)
{
    uint64_t now = atomic_load_explicit(&epoch->now, memory_order_seq_cst);
    uint32_t at = (uint32_t)(now % EPOCH_BUCKETS);

    /* What may still wait in the bucket is older by a multiple of three epochs. To wait again is safe. */
    record->bucket_epoch[at] = now;
    item->next = record->bucket[at][kind];
    record->bucket[at][kind] = item;
    record->retired++;
    /* Relaxed: a hint for sweep_idle(). */
    atomic_fetch_add_explicit(&record->waiting, 1, memory_order_relaxed);
}

/* Take out of a record that is ours what nobody can hold in epoch `now`. */
static void collect(struct epoch_record *record, uint64_t now, struct epoch_item *ret_free[EPOCH_KINDS])
{
    bool all = true;

    for (uint32_t at = 0; at < EPOCH_BUCKETS; at++) {
        if (record->bucket_epoch[at] + 2 > now) {
            all = all && !record->bucket[at][0] && !record->bucket[at][1];
            continue;
        }
        for (int kind = 0; kind < EPOCH_KINDS; kind++) {
            append(&ret_free[kind], record->bucket[at][kind]);
            record->bucket[at][kind] = NULL;
        }
    }
    if (all)
        atomic_store_explicit(&record->waiting, 0, memory_order_relaxed);
}

static void free_items(const struct epoch *epoch, struct epoch_item *items[EPOCH_KINDS])
{
    for (int kind = 0; kind < EPOCH_KINDS; kind++) {
        while (items[kind]) {
            struct epoch_item *next = items[kind]->next;
            epoch->free_item(epoch->context, kind, items[kind]);
            items[kind] = next;
        }
    }
}

/* Let the epoch rise by one if every pin has seen it. */
static bool advance(struct epoch *epoch)
{
    uint64_t now = atomic_load_explicit(&epoch->now, memory_order_seq_cst);

    for (struct epoch_block *block = epoch->first; block; block = next_block(block)) {
        for (uint32_t i = 0; i < EPOCH_RECORDS; i++) {
            uint64_t state = atomic_load_explicit(&block->record[i].state, memory_order_seq_cst);
            if (state != 0 && state / 2 != now)
                return false;
        }
    }
    return atomic_compare_exchange_strong_explicit(&epoch->now, &now, now + 1, memory_order_seq_cst,
                                                   memory_order_relaxed);
}

/* Collect from the records that nobody holds, lest items of threads that are gone wait for ever. */
static void sweep_idle(struct epoch *epoch, uint64_t now, struct epoch_item *ret_free[EPOCH_KINDS])
{
    for (struct epoch_block *block = epoch->first; block; block = next_block(block)) {
        for (uint32_t i = 0; i < EPOCH_RECORDS; i++) {
            struct epoch_record *record = &block->record[i];

            if (atomic_load_explicit(&record->waiting, memory_order_relaxed) > 0 && claim(epoch, record)) {
                collect(record, now, ret_free);
                give_back(record);
            }
        }
    }
}

void kvault__epoch_leave(struct epoch *epoch, struct epoch_record *record)
{
    struct epoch_item *items[EPOCH_KINDS] = { NULL };

    /* Relaxed: who leaves alone has synchronized with us by other means, or it would not know. Stored
     * only once, as the line is everybody's. */
    if (atomic_load_explicit(&record->waiting, memory_order_relaxed) > 0 &&
        !atomic_load_explicit(&epoch->left_waiting, memory_order_relaxed))
        atomic_store_explicit(&epoch->left_waiting, true, memory_order_relaxed);
    if (record->retired < ADVANCE_EVERY) {
        give_back(record);
        return;
    }
    record->retired = 0;
    give_back(record);
    /* Unless someone else is inside, these steps free all that waits, our own included. */
    for (int step = 0; step < EPOCH_BUCKETS && advance(epoch); step++)
        sweep_idle(epoch, atomic_load_explicit(&epoch->now, memory_order_seq_cst), items);
    free_items(epoch, items);
}

/* Collect all that waits, while nobody else is inside. */
static void collect_all(struct epoch *epoch, struct epoch_item *ret_free[EPOCH_KINDS])
{
    for (struct epoch_block *block = epoch->first; block; block = next_block(block))
        for (uint32_t i = 0; i < EPOCH_RECORDS; i++)
            collect(&block->record[i], UINT64_MAX, ret_free);
}

void kvault__epoch_leave_alone(struct epoch *epoch, struct epoch_record *record)
{
    struct epoch_item *items[EPOCH_KINDS] = { NULL };

    record->retired = 0;
    if (atomic_load_explicit(&epoch->left_waiting, memory_order_relaxed)) {
        atomic_store_explicit(&epoch->left_waiting, false, memory_order_relaxed);
        collect_all(epoch, items);
    } else if (atomic_load_explicit(&record->waiting, memory_order_relaxed) > 0) {
        collect(record, UINT64_MAX, items);
    }
    give_back(record);
    free_items(epoch, items);
}

bool kvault__epoch_settle(struct epoch *epoch)
{
    struct epoch_item *items[EPOCH_KINDS] = { NULL };

    if (!atomic_load_explicit(&epoch->left_waiting, memory_order_relaxed))
        return false;
    atomic_store_explicit(&epoch->left_waiting, false, memory_order_relaxed);
    collect_all(epoch, items);
    free_items(epoch, items);
    return true;
}

void kvault__epoch_release(struct epoch *epoch)
{
    struct epoch_item *items[EPOCH_KINDS] = { NULL };
    struct epoch_block *block;

    /* A hook may retire more: go on until nothing waits. */
    do {
        collect_all(epoch, items);
        if (!items[0] && !items[1])
            break;
        free_items(epoch, items);
    } while (true);

    for (block = epoch->first; block;) {
        struct epoch_block *next = next_block(block);
        kvault__free(block);
        block = next;
    }
}

/* ---- the whole domain ---- */

int64_t kvault__epoch_count(const struct epoch *epoch)
{
    int64_t sum = 0;

    for (const struct epoch_block *block = epoch->first; block; block = next_block(block))
        for (uint32_t i = 0; i < EPOCH_RECORDS; i++)
            sum += atomic_load_explicit(&block->record[i].count, memory_order_relaxed);
    return sum;
}

void kvault__epoch_reset(struct epoch *epoch)
{
    for (struct epoch_block *block = epoch->first; block; block = next_block(block))
        for (uint32_t i = 0; i < EPOCH_RECORDS; i++)
            give_back(&block->record[i]);
}
