/* chunk_list_edit.c - the chunk list, changed inside a transaction.
 *
 * One operation does it all: some chunks that follow each other give way to others. The blocks
 * concerned are joined in memory, the entries exchanged, and cut into blocks again; the root is
 * patched where the number of blocks stays, else rewritten. */
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "column/chunk_list.h"
#include "base/banned.h"

#define ROOT_SEQ 0u
#define ROOT_ENTRY_BYTES 16u
#define BLOCK_ENTRY_BYTES 8u
#define SMALL_BLOCK 128u /* entries: below it a block joins the one before, if both fill no more than 3/4 */

/* What is being exchanged: blocks [first, end) of the root become the entries. */
struct exchange {
    uint32_t first, end;
    struct list_entry *entries; /* owned */
    uint32_t count;
    bool at_end; /* nothing lies behind the new entries: fill the blocks */
};

static void append_entries(struct exchange *exchange, const struct list_entry *entries, uint32_t count)
{
    if (count)
        memcpy(exchange->entries + exchange->count, entries, count * sizeof *entries);
    exchange->count += count;
}

/* Gather the entries before `first`, the new ones, and those behind `last`. */
static kvault_status gather(struct chunk_list *list, const struct chunk_place *first, const struct chunk_place *last,
                            const struct list_entry *entries, uint32_t count, struct exchange *exchange,
                            kvault_error *reterr)
{
    uint32_t before = first ? first->entry : 0;
    kvault_status rc;

    exchange->entries = kvault__alloc(((size_t)count + 3 * LIST_BLOCK_ENTRIES) * sizeof *entries);
    if (!exchange->entries)
        return kvault__fail_nomem(reterr, ((size_t)count + 3 * LIST_BLOCK_ENTRIES) * sizeof *entries);
    if (!first) { /* behind all others: the last block takes part if it has room */
        uint32_t blocks = list->meta->list_blocks;
        bool joins = blocks && list->root[blocks - 1].chunks < LIST_BLOCK_ENTRIES;

        exchange->first = blocks - (joins ? 1 : 0);
        exchange->end = blocks;
        before = joins ? list->root[blocks - 1].chunks : 0;
    } else {
        exchange->first = first->block;
        exchange->end = last->block + 1;
    }
    if (before) {
        TRY(kvault__list_load(list, exchange->first, reterr));
        append_entries(exchange, list->entries, before);
    }
    append_entries(exchange, entries, count);
    exchange->at_end = !last || last->first + last->count >= list->meta->stored;
    if (last) {
        TRY(kvault__list_load(list, last->block, reterr));
        append_entries(exchange, list->entries + last->entry + 1, list->root[last->block].chunks - last->entry - 1);
    }
    return KVAULT_OK;
out:
    return rc;
}

/* A small rest joins the block before it. */
static kvault_status join_small(struct chunk_list *list, struct exchange *exchange, kvault_error *reterr)
{
    uint32_t before;
    kvault_status rc = KVAULT_OK;

    if (!exchange->count || exchange->count >= SMALL_BLOCK || !exchange->first ||
        list->root[exchange->first - 1].chunks + exchange->count > LIST_BLOCK_ENTRIES * 3 / 4)
        return KVAULT_OK;
    before = list->root[exchange->first - 1].chunks;
    TRY(kvault__list_load(list, exchange->first - 1, reterr));
    memmove(exchange->entries + before, exchange->entries, exchange->count * sizeof *exchange->entries);
    memcpy(exchange->entries, list->entries, before * sizeof *exchange->entries);
    exchange->count += before;
    exchange->first--;
out:
    return rc;
}

static kvault_status put_block(struct chunk_list *list, uint32_t seq, const struct list_entry *entries, uint32_t count,
                               struct list_root *ret_root, kvault_error *reterr)
{
    uint8_t bytes[LIST_BLOCK_ENTRIES * BLOCK_ENTRY_BYTES];

    *ret_root = (struct list_root){ seq, count, 0 };
    for (uint32_t i = 0; i < count; i++) {
        kvault__store_le32(bytes + i * BLOCK_ENTRY_BYTES, entries[i].seq);
        kvault__store_le32(bytes + i * BLOCK_ENTRY_BYTES + 4, entries[i].elements);
        ret_root->elements += entries[i].elements;
    }
    return kvault__chunk_put(list->io, list->meta->id, seq, bytes, count * BLOCK_ENTRY_BYTES, reterr);
}

/* Cut the entries into blocks, in the chunks of the old ones as far as they go. */
static kvault_status put_blocks(struct chunk_list *list, const struct exchange *exchange, struct list_root *fresh,
                                uint32_t fresh_count, kvault_error *reterr)
{
    uint32_t old = exchange->end - exchange->first, at = 0;
    kvault_status rc = KVAULT_OK;

    for (uint32_t i = 0; i < fresh_count; i++) {
        uint32_t rest = exchange->count - at, left = fresh_count - i, seq;
        uint32_t take = exchange->at_end && left > 1 ? LIST_BLOCK_ENTRIES : (rest + left - 1) / left;

        if (i < old)
            seq = list->root[exchange->first + i].seq;
        else
            TRY(kvault__next_seq(list->meta, 1, &seq, reterr));
        TRY(put_block(list, seq, exchange->entries + at, take, &fresh[i], reterr));
        at += take;
    }
    for (uint32_t i = fresh_count; i < old; i++) {
        uint32_t seq = list->root[exchange->first + i].seq;

        TRY(kvault__chunk_delete(list->io, list->meta->id, seq, seq + 1, reterr));
    }
out:
    return rc;
}

/* Write root entries [first, first + count) of list->root, or all of it if their number has changed. */
static kvault_status put_root(struct chunk_list *list, uint32_t first, uint32_t count, bool patch, kvault_error *reterr)
{
    size_t size = (size_t)count * ROOT_ENTRY_BYTES;
    uint8_t *bytes;
    kvault_status rc;

    if (!count)
        return patch ? KVAULT_OK : kvault__chunk_delete(list->io, list->meta->id, ROOT_SEQ, ROOT_SEQ + 1, reterr);
    bytes = kvault__alloc(size);
    if (!bytes)
        return kvault__fail_nomem(reterr, size);
    for (uint32_t i = 0; i < count; i++) {
        kvault__store_le32(bytes + i * ROOT_ENTRY_BYTES, list->root[first + i].seq);
        kvault__store_le32(bytes + i * ROOT_ENTRY_BYTES + 4, list->root[first + i].chunks);
        kvault__store_le64(bytes + i * ROOT_ENTRY_BYTES + 8, list->root[first + i].elements);
    }
    if (patch)
        rc = kvault__chunk_patch(list->io, list->meta->id, ROOT_SEQ, first * ROOT_ENTRY_BYTES, bytes, (uint32_t)size,
                                 reterr);
    else
        rc = kvault__chunk_put(list->io, list->meta->id, ROOT_SEQ, bytes, (uint32_t)size, reterr);
    kvault__free(bytes);
    return kvault__in_column(rc, list->meta, ROOT_SEQ, 0, 0, reterr);
}

/* Put the fresh root entries in place of the old ones, in memory and in the file. */
static kvault_status change_root(struct chunk_list *list, const struct exchange *exchange,
                                 const struct list_root *fresh, uint32_t fresh_count, kvault_error *reterr)
{
    uint32_t blocks = list->meta->list_blocks, old = exchange->end - exchange->first;
    uint32_t count = blocks - old + fresh_count;
    struct list_root *root = kvault__alloc((count ? count : 1) * sizeof *root);

    if (!root)
        return kvault__fail_nomem(reterr, count * sizeof *root);
    if (exchange->first)
        memcpy(root, list->root, exchange->first * sizeof *root);
    if (fresh_count)
        memcpy(root + exchange->first, fresh, fresh_count * sizeof *root);
    if (blocks > exchange->end)
        memcpy(root + exchange->first + fresh_count, list->root + exchange->end,
               (blocks - exchange->end) * sizeof *root);
    kvault__free(list->root);
    list->root = root;
    list->block = UINT32_MAX;
    list->meta->list_blocks = count;
    return fresh_count == old ? put_root(list, exchange->first, fresh_count, true, reterr)
                              : put_root(list, 0, count, false, reterr);
}

kvault_status kvault__list_replace(struct chunk_list *list, const struct chunk_place *first,
                                   const struct chunk_place *last, const struct list_entry *entries, uint32_t count,
                                   kvault_error *reterr)
{
    struct exchange exchange = { 0 };
    struct list_root *fresh = NULL;
    uint32_t fresh_count;
    kvault_status rc;

    if (list->meta->list_blocks)
        TRY(kvault__list_load(list, first ? first->block : 0, reterr)); /* and the root with it */
    TRY(gather(list, first, last, entries, count, &exchange, reterr));
    TRY(join_small(list, &exchange, reterr));
    fresh_count = (exchange.count + LIST_BLOCK_ENTRIES - 1) / LIST_BLOCK_ENTRIES;
    fresh = kvault__alloc((fresh_count ? fresh_count : 1) * sizeof *fresh);
    if (!fresh) {
        rc = kvault__fail_nomem(reterr, fresh_count * sizeof *fresh);
        goto out;
    }
    TRY(put_blocks(list, &exchange, fresh, fresh_count, reterr));
    TRY(change_root(list, &exchange, fresh, fresh_count, reterr));
out:
    kvault__free(exchange.entries);
    kvault__free(fresh);
    return rc;
}

kvault_status kvault__list_make(struct chunk_list *list, kvault_error *reterr)
{
    struct column_meta *meta = list->meta;
    uint64_t per_chunk, chunks;
    struct list_entry *entries;
    kvault_status rc;

    if (meta->listed)
        return KVAULT_OK;
    per_chunk = kvault__elements_per_chunk(meta);
    chunks = (meta->stored + per_chunk - 1) / per_chunk;
    entries = kvault__alloc((size_t)(chunks ? chunks : 1) * sizeof *entries);
    if (!entries)
        return kvault__fail_nomem(reterr, (size_t)chunks * sizeof *entries);
    for (uint64_t i = 0; i < chunks; i++) {
        uint64_t rest = meta->stored - i * per_chunk;

        entries[i] = (struct list_entry){ (uint32_t)i + 1, (uint32_t)(rest < per_chunk ? rest : per_chunk) };
    }
    meta->listed = true;
    meta->list_blocks = 0;
    if (meta->next_seq <= chunks)
        meta->next_seq = (uint32_t)chunks + 1;
    rc = kvault__list_replace(list, NULL, NULL, entries, (uint32_t)chunks, reterr);
    kvault__free(entries);
    return rc;
}
