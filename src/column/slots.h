/* slots.h - elements of a variable-size column on their way between chunks.
 *
 * What an edit leaves of the chunks that it touches, with the new elements between, is a list of slots, whose
 * bytes lie in the chunks as they were read and in the caller's memory. It is cut into chunks again. The books
 * (meta.bytes and meta.slack) follow: what is taken leaves them, what is put enters them. */
#ifndef KVAULT_COLUMN_SLOTS_H
#define KVAULT_COLUMN_SLOTS_H

#include "column/varsize.h"

#define SLOTS_CHUNKS 4

struct slots {
    struct packed_slot *slots; /* owned */
    uint64_t count, capacity;
    kvault_buf chunks[SLOTS_CHUNKS]; /* the bytes that slots point to */
    int chunk_count;
    uint8_t (*large)[PACKED_LARGE_BYTES]; /* owned: of the new large elements */
    size_t large_count;
};

void kvault__slots_release(struct slots *slots);
kvault_status kvault__slots_reserve(struct slots *slots, uint64_t more, kvault_error *reterr) KVAULT_MUST_USE;
/* Bytes in a chunk that all of them need. */
uint64_t kvault__slots_bytes(const struct slots *slots);

/* Add new elements, once; the large ones are written. They must stay where they are. */
kvault_status kvault__slots_add(struct var *var, struct slots *slots, const kvault_elements *elements,
                                kvault_error *reterr) KVAULT_MUST_USE;
/* Read a chunk; keep its elements [0, before) and [count - behind, count) as slots, drop the others. All leave
 * the books. At most SLOTS_CHUNKS chunks. */
kvault_status kvault__slots_take(struct var *var, const struct chunk_place *place, uint64_t before, uint64_t behind,
                                 struct slots *slots, kvault_error *reterr) KVAULT_MUST_USE;

/* Chunks that were written: the entries for the list. */
struct slots_put {
    struct list_entry *entries; /* owned */
    uint32_t count, capacity;
    const uint32_t *reuse; /* chunk numbers to use first */
    uint32_t reuse_count;
};

/* Write all slots as chunks: `full` ones, or of equal size. */
kvault_status kvault__slots_put(struct var *var, const struct slots *slots, bool full, struct slots_put *put,
                                kvault_error *reterr) KVAULT_MUST_USE;

void kvault__slot_count_in(struct column_meta *meta, const struct packed_slot *slot);
void kvault__slot_count_out(struct column_meta *meta, const struct packed_slot *slot);
/* Take an element out of the books, and delete its pieces if it is large. */
kvault_status kvault__slot_drop(struct var *var, const struct packed_slot *slot, kvault_error *reterr) KVAULT_MUST_USE;

#endif
