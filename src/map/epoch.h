/* epoch.h - when memory that others may still be reading may be freed.
 *
 * A thread enters the domain before it follows shared pointers and leaves behind
 * them. What was made unreachable is retired, and freed once every pin of that time
 * is gone. The scheme is Fraser's (Practical Lock-Freedom, 2004): a global number, the
 * epoch, that rises when every pin has seen it; what is retired in epoch g is free in g + 2.
 *
 * A record belongs to a pin, not to a thread: entering claims a free record with
 * the same atomic write that publishes the epoch, so it costs no more than a record
 * of the thread's own would. A thread that exits leaves nothing to hand over, and what
 * it had retired is freed by whoever finds its record idle. */
#ifndef KVAULT_MAP_EPOCH_H
#define KVAULT_MAP_EPOCH_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/fail.h"

#define EPOCH_KINDS 2     /* kinds of items, told apart for the one who frees them */
#define EPOCH_BUCKETS 3   /* epochs whose items may wait at once */
#define EPOCH_RECORDS 32u /* of a block; more pins than that at once make another block */

/* Stands first in what is to be retired. */
struct epoch_item {
    struct epoch_item *next;
};

/* All but the atomics belong to the pin that holds the record. 128 bytes, as
 * processors fetch lines in pairs. */
struct epoch_record {
    _Alignas(128) _Atomic uint64_t state; /* 0: nobody's; else epoch * 2 + 1 */
    _Atomic int64_t count;                /* the owner's sum of +1 and -1 over all pins of this record */
    _Atomic uint32_t waiting;             /* items that wait here */
    uint32_t retired;                     /* items since the last try to advance */
    uint64_t random;                      /* state of a generator */
    uint64_t bucket_epoch[EPOCH_BUCKETS];
    struct epoch_item *bucket[EPOCH_BUCKETS][EPOCH_KINDS];
};

struct epoch_block {
    struct epoch_record record[EPOCH_RECORDS];
    _Atomic(struct epoch_block *) next;
};

struct epoch {
    _Alignas(128) _Atomic uint64_t now;
    _Atomic bool left_waiting; /* a record may have been given back with items that wait */
    struct epoch_block *first;
    void (*free_item)(void *context, int kind, struct epoch_item *item);
    void *context;
};

kvault_status kvault__epoch_init(struct epoch *epoch, void (*free_item)(void *, int, struct epoch_item *),
                                 void *context, kvault_error *reterr) KVAULT_MUST_USE;
/* Free all that waits, and the records. No pin may be left. */
void kvault__epoch_release(struct epoch *epoch);

/* Claim a record. KVAULT_E_NOMEM: all are taken, and there is no memory for more. */
kvault_status kvault__epoch_enter(struct epoch *epoch, struct epoch_record **ret_record,
                                  kvault_error *reterr) KVAULT_MUST_USE;
/* Give the record back. From time to time this advances the epoch and frees items,
 * after the record is back: free_item may enter again. */
void kvault__epoch_leave(struct epoch *epoch, struct epoch_record *record);
/* The same for the only pin there is: frees all that waits. */
void kvault__epoch_leave_alone(struct epoch *epoch, struct epoch_record *record);
/* Free all that waits, while there is no pin. False: nothing did. */
bool kvault__epoch_settle(struct epoch *epoch);
/* Free `item` once nobody can hold it. It must be out of reach for those who enter now. */
void kvault__epoch_retire(struct epoch *epoch, struct epoch_record *record, int kind, struct epoch_item *item);

/* The sum of `count` over all records. */
int64_t kvault__epoch_count(const struct epoch *epoch);
/* In a forked child: no pin is held by anyone. */
void kvault__epoch_reset(struct epoch *epoch);

#endif
