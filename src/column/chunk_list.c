/* chunk_list.c - see chunk_list.h for the format and what holds. */
#include "column/chunk_list.h"

#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/banned.h"

#define ROOT_SEQ 0u
#define ROOT_ENTRY_BYTES 16u
#define BLOCK_ENTRY_BYTES 8u

void kvault__list_init(struct chunk_list *list, struct column_io *io, struct column_meta *meta)
{
    list->io = io;
    list->meta = meta;
    list->root = NULL;
    list->block = UINT32_MAX;
}

void kvault__list_release(struct chunk_list *list)
{
    kvault__free(list->root);
    list->root = NULL;
}

/* ---- loading ---- */

static kvault_status damaged(const struct chunk_list *list, uint32_t seq, const char *what, kvault_error *reterr)
{
    (void)kvault__fail(reterr, KVAULT_E_CORRUPT, "%s", what);
    return kvault__in_column(KVAULT_E_CORRUPT, list->meta, seq, 0, 0, reterr);
}

static kvault_status read_list_chunk(struct chunk_list *list, uint32_t seq, void *dest, uint32_t size,
                                     kvault_error *reterr)
{
    kvault_status rc = kvault__chunk_read(list->io, list->meta->id, seq, 0, dest, size, reterr);

    return kvault__in_column(rc, list->meta, seq, 0, 0, reterr);
}

static void decode_root(const uint8_t *bytes, struct list_root *root, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++, bytes += ROOT_ENTRY_BYTES)
        root[i] =
            (struct list_root){ kvault__load_le32(bytes), kvault__load_le32(bytes + 4), kvault__load_le64(bytes + 8) };
}

/* The sizes come from the record, whose sum was checked; the chunk itself bounds what is read. */
static kvault_status load_root(struct chunk_list *list, kvault_error *reterr)
{
    uint32_t count = list->meta->list_blocks, size;
    struct list_root *root = NULL;
    uint8_t *bytes = NULL;
    uint64_t elements = 0;
    kvault_status rc = KVAULT_OK;

    if (list->root || !count)
        return KVAULT_OK;
    TRY(kvault__in_column(kvault__chunk_size(list->io, list->meta->id, ROOT_SEQ, &size, reterr), list->meta, ROOT_SEQ,
                          0, 0, reterr));
    if (size != (uint64_t)count * ROOT_ENTRY_BYTES)
        return damaged(list, ROOT_SEQ, "its size does not match the number of its blocks", reterr);
    bytes = kvault__alloc(size);
    root = kvault__alloc(count * sizeof *root);
    if (!bytes || !root) {
        rc = kvault__fail_nomem(reterr, size);
        goto out;
    }
    TRY(read_list_chunk(list, ROOT_SEQ, bytes, size, reterr));
    decode_root(bytes, root, count);
    for (uint32_t i = 0; i < count && rc >= 0; i++) {
        if (!root[i].chunks || root[i].chunks > LIST_BLOCK_ENTRIES || root[i].elements < root[i].chunks ||
            root[i].elements > list->meta->stored - elements)
            rc = damaged(list, ROOT_SEQ, "the counts of a block make no sense", reterr);
        elements += root[i].elements;
    }
    if (rc >= 0 && elements != list->meta->stored)
        rc = damaged(list, ROOT_SEQ, "its elements are not as many as the column has in chunks", reterr);
    if (rc < 0)
        goto out;
    list->root = root;
    root = NULL;
out:
    kvault__free(root);
    kvault__free(bytes);
    return rc;
}

kvault_status kvault__list_load(struct chunk_list *list, uint32_t block, kvault_error *reterr)
{
    uint8_t bytes[LIST_BLOCK_ENTRIES * BLOCK_ENTRY_BYTES];
    const struct list_root *root;
    uint64_t elements = 0;
    kvault_status rc;

    TRY(load_root(list, reterr));
    if (list->block == block)
        return KVAULT_OK;
    root = &list->root[block];
    list->block = UINT32_MAX;
    TRY(read_list_chunk(list, root->seq, bytes, root->chunks * BLOCK_ENTRY_BYTES, reterr));
    for (uint32_t i = 0; i < root->chunks; i++) {
        list->entries[i] = (struct list_entry){ kvault__load_le32(bytes + i * BLOCK_ENTRY_BYTES),
                                                kvault__load_le32(bytes + i * BLOCK_ENTRY_BYTES + 4) };
        elements += list->entries[i].elements;
        if (!list->entries[i].elements || !list->entries[i].seq)
            return damaged(list, root->seq, "an entry is empty", reterr);
    }
    if (elements != root->elements)
        return damaged(list, root->seq, "its elements are not as many as the root says", reterr);
    list->block = block;
out:
    return rc;
}

/* ---- finding ---- */

static struct chunk_place plain_place(const struct column_meta *meta, uint64_t number)
{
    uint64_t per_chunk = kvault__elements_per_chunk(meta), first = number * per_chunk, rest = meta->stored - first;

    return (struct chunk_place){ .entry = (uint32_t)number,
                                 .seq = (uint32_t)number + 1,
                                 .first = first,
                                 .count = rest < per_chunk ? rest : per_chunk };
}

kvault_status kvault__list_find(struct chunk_list *list, uint64_t element, struct chunk_place *ret_place,
                                kvault_error *reterr)
{
    uint32_t block = 0, entry = 0;
    uint64_t first = 0;
    kvault_status rc;

    if (!list->meta->listed) {
        *ret_place = plain_place(list->meta, element / kvault__elements_per_chunk(list->meta));
        return KVAULT_OK;
    }
    TRY(load_root(list, reterr));
    while (element - first >= list->root[block].elements)
        first += list->root[block++].elements;
    TRY(kvault__list_load(list, block, reterr));
    while (element - first >= list->entries[entry].elements)
        first += list->entries[entry++].elements;
    *ret_place = (struct chunk_place){ block, entry, list->entries[entry].seq, first, list->entries[entry].elements };
out:
    return rc;
}

kvault_status kvault__list_next(struct chunk_list *list, const struct chunk_place *place, struct chunk_place *ret_place,
                                kvault_error *reterr)
{
    uint64_t first = place->first + place->count;
    struct chunk_place next = { place->block, place->entry + 1, 0, first, 0 };
    kvault_status rc;

    if (first >= list->meta->stored)
        return KVAULT_END;
    if (!list->meta->listed) {
        *ret_place = plain_place(list->meta, next.entry);
        return KVAULT_OK;
    }
    TRY(load_root(list, reterr));
    if (next.entry == list->root[next.block].chunks) {
        next.block++;
        next.entry = 0;
    }
    TRY(kvault__list_load(list, next.block, reterr));
    next.seq = list->entries[next.entry].seq;
    next.count = list->entries[next.entry].elements;
    *ret_place = next;
out:
    return rc;
}

kvault_status kvault__list_previous(struct chunk_list *list, const struct chunk_place *place,
                                    struct chunk_place *ret_place, kvault_error *reterr)
{
    return place->first ? kvault__list_find(list, place->first - 1, ret_place, reterr) : KVAULT_END;
}
