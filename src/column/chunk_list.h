/* chunk_list.h - which chunk holds an element, and the order of the chunks.
 *
 * A column of fixed size that was never edited in the middle needs no list: chunk n has number n + 1
 * and is full, but for the last. Any other has one, in two levels, so that an edit rewrites one block of it:
 *
 *     chunk 0, the root:    | block : u32 | chunks : u32 | elements : u64 |  for each block, in order
 *     chunk `block`:        | chunk : u32 | elements : u32 |                 for each chunk, in order
 *
 * Invariants, checked when read: no entry is empty; a block has the chunks and the elements that the
 * root says; all elements together are meta.stored.
 *
 * A list in memory holds the root and one block. It belongs to one operation and its transaction. */
#ifndef KVAULT_COLUMN_CHUNK_LIST_H
#define KVAULT_COLUMN_CHUNK_LIST_H

#include "column/chunk.h"

#define LIST_BLOCK_ENTRIES 511u

struct list_entry {
    uint32_t seq, elements;
};

struct list_root {
    uint32_t seq, chunks;
    uint64_t elements;
};

struct chunk_list {
    struct column_io *io;
    struct column_meta *meta;
    struct list_root *root; /* meta->list_blocks of them, once loaded */
    uint32_t block;         /* whose entries are here; UINT32_MAX: none */
    struct list_entry entries[LIST_BLOCK_ENTRIES];
};

/* A chunk, and where it stands. Without a list: entry is the number of the chunk, block 0. */
struct chunk_place {
    uint32_t block, entry;
    uint32_t seq;
    uint64_t first, count; /* elements */
};

void kvault__list_init(struct chunk_list *list, struct column_io *io, struct column_meta *meta);
void kvault__list_release(struct chunk_list *list);

/* The chunk of an element below meta->stored. */
kvault_status kvault__list_find(struct chunk_list *list, uint64_t element, struct chunk_place *ret_place,
                                kvault_error *reterr) KVAULT_MUST_USE;
/* The chunk behind, or before. KVAULT_END: there is none. */
kvault_status kvault__list_next(struct chunk_list *list, const struct chunk_place *place, struct chunk_place *ret_place,
                                kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__list_previous(struct chunk_list *list, const struct chunk_place *place,
                                    struct chunk_place *ret_place, kvault_error *reterr) KVAULT_MUST_USE;

/* ---- inside a transaction ---- */

/* Give a column its list, if it has none. Places found before mean nothing after. */
kvault_status kvault__list_make(struct chunk_list *list, kvault_error *reterr) KVAULT_MUST_USE;
/* Put `entries` in place of the chunks from `first` to `last`, both included; both NULL: behind all others.
 * Keeps the root; meta->stored is the caller's. Places found before mean nothing after. */
kvault_status kvault__list_replace(struct chunk_list *list, const struct chunk_place *first,
                                   const struct chunk_place *last, const struct list_entry *entries, uint32_t count,
                                   kvault_error *reterr) KVAULT_MUST_USE;

/* For verify: load block number `block` and give its root entry. */
kvault_status kvault__list_load(struct chunk_list *list, uint32_t block, kvault_error *reterr) KVAULT_MUST_USE;

#endif
