/* fixed_splice.c - elements put in place of others, anywhere in a column of fixed size.
 *
 * Inside the chunks: the chunks that hold [start, stop) and what lies before and behind in them give way to
 * chunks of the elements before, the new ones, and those behind. One that would be small takes a neighbour in.
 * At the end nothing is moved: chunks are dropped, and the last one has fewer elements than bytes. */
#include <string.h>

#include "base/alloc.h"
#include "column/fixed.h"
#include "base/banned.h"

/* The new contents of some chunks, from three sources. */
struct pieces {
    const uint8_t *part[3];
    uint64_t count[3];
};

static void copy_out(const struct pieces *pieces, uint64_t start, uint64_t count, uint32_t size, uint8_t *to)
{
    for (int i = 0; i < 3 && count; i++) {
        uint64_t take = start < pieces->count[i] ? pieces->count[i] - start : 0;

        take = take < count ? take : count;
        if (take)
            memcpy(to, pieces->part[i] + start * size, (size_t)take * size);
        to += take * size;
        count -= take;
        start = take || start < pieces->count[i] ? 0 : start - pieces->count[i];
    }
}

/* The chunks from `first` to `last`, and what stays of them. */
struct splice {
    struct chunk_place first, last;
    uint64_t before, behind; /* elements of first that stay, and of last */
    uint8_t *kept;           /* owned: those before, then those behind */
};

static kvault_status read_kept(struct chunk_list *list, struct splice *splice, kvault_error *reterr)
{
    size_t size = list->meta->elem_size;
    kvault_status rc;

    splice->kept = kvault__alloc((size_t)(splice->before + splice->behind) * size);
    if (!splice->kept)
        return kvault__fail_nomem(reterr, (size_t)(splice->before + splice->behind) * size);
    TRY(kvault__fixed_read(list, splice->first.first, splice->before, splice->kept, reterr));
    TRY(kvault__fixed_read(list, splice->last.first + splice->last.count - splice->behind, splice->behind,
                           splice->kept + splice->before * size, reterr));
out:
    return rc;
}

/* Which chunks take part. A result that would fill less than a quarter takes in a neighbour that has room. */
static kvault_status find_chunks(struct chunk_list *list, uint64_t start, uint64_t stop, uint64_t count,
                                 struct splice *splice, kvault_error *reterr)
{
    uint64_t per_chunk = kvault__elements_per_chunk(list->meta), total;
    struct chunk_place neighbour;
    kvault_status rc;

    TRY(kvault__list_find(list, start, &splice->first, reterr));
    TRY(kvault__list_find(list, stop > start ? stop - 1 : start, &splice->last, reterr));
    splice->before = start - splice->first.first;
    splice->behind = splice->last.first + splice->last.count - stop;
    total = splice->before + count + splice->behind;
    if (total >= per_chunk / 4)
        return KVAULT_OK;
    TRY(kvault__list_next(list, &splice->last, &neighbour, reterr));
    if (rc == KVAULT_OK && total + neighbour.count <= per_chunk) {
        splice->last = neighbour;
        splice->behind += neighbour.count;
        return KVAULT_OK;
    }
    TRY(kvault__list_previous(list, &splice->first, &neighbour, reterr));
    if (rc == KVAULT_OK && total + neighbour.count <= per_chunk) {
        splice->first = neighbour;
        splice->before += neighbour.count;
    }
    rc = KVAULT_OK;
out:
    return rc;
}

/* Collect the numbers of the chunks from first to last, `limit` of them to be used again; delete the others. */
static kvault_status reuse_chunks(struct chunk_list *list, const struct splice *splice, uint32_t limit,
                                  struct list_entry *entries, uint32_t *ret_used, kvault_error *reterr)
{
    struct chunk_place place = splice->first;
    uint32_t used = 0;
    kvault_status rc = KVAULT_OK;

    for (;;) {
        if (used < limit)
            entries[used++].seq = place.seq;
        else
            TRY(kvault__chunk_delete(list->io, list->meta->id, place.seq, place.seq + 1, reterr));
        if (place.seq == splice->last.seq)
            break;
        TRY(kvault__list_next(list, &place, &place, reterr));
    }
    *ret_used = used;
out:
    return rc;
}

static kvault_status put_chunks(struct chunk_list *list, const struct pieces *pieces, struct list_entry *entries,
                                uint32_t chunks, uint64_t total, kvault_error *reterr)
{
    uint32_t size = list->meta->elem_size;
    uint64_t at = 0, most = (total + chunks - 1) / chunks;
    uint8_t *data = kvault__alloc((size_t)most * size);
    kvault_status rc = KVAULT_OK;

    if (!data)
        return kvault__fail_nomem(reterr, (size_t)most * size);
    for (uint32_t i = 0; i < chunks; i++) {
        uint64_t left = chunks - i, take = (total - at + left - 1) / left;

        copy_out(pieces, at, take, size, data);
        TRY(kvault__chunk_put(list->io, list->meta->id, entries[i].seq, data, (uint32_t)take * size, reterr));
        entries[i].elements = (uint32_t)take;
        at += take;
    }
out:
    kvault__free(data);
    return rc;
}

/* Exchange [start, stop), inside the chunks and not empty there or not at their end. */
static kvault_status splice_chunks(struct chunk_list *list, uint64_t start, uint64_t stop, const void *data,
                                   uint64_t count, kvault_error *reterr)
{
    struct column_meta *meta = list->meta;
    uint64_t per_chunk = kvault__elements_per_chunk(meta), total, chunks;
    struct splice splice = { .kept = NULL };
    struct list_entry *entries = NULL;
    struct pieces pieces;
    uint32_t used, seq;
    kvault_status rc;

    TRY(kvault__list_make(list, reterr));
    TRY(find_chunks(list, start, stop, count, &splice, reterr));
    TRY(read_kept(list, &splice, reterr));
    total = splice.before + count + splice.behind;
    chunks = (total + per_chunk - 1) / per_chunk;
    pieces = (struct pieces){ { splice.kept, data, splice.kept + splice.before * meta->elem_size },
                              { splice.before, count, splice.behind } };
    entries = kvault__alloc((size_t)(chunks ? chunks : 1) * sizeof *entries);
    if (!entries) {
        rc = kvault__fail_nomem(reterr, (size_t)chunks * sizeof *entries);
        goto out;
    }
    TRY(reuse_chunks(list, &splice, (uint32_t)chunks, entries, &used, reterr));
    TRY(kvault__next_seq(meta, (uint32_t)chunks - used, &seq, reterr));
    for (uint32_t i = used; i < chunks; i++)
        entries[i].seq = seq + i - used;
    if (chunks)
        TRY(put_chunks(list, &pieces, entries, (uint32_t)chunks, total, reterr));
    TRY(kvault__list_replace(list, &splice.first, &splice.last, entries, (uint32_t)chunks, reterr));
    meta->stored = meta->stored - (stop - start) + count;
    meta->revision++;
out:
    kvault__free(splice.kept);
    kvault__free(entries);
    return rc;
}

/* Drop everything in chunks from element `length` on. */
static kvault_status cut_chunks(struct chunk_list *list, uint64_t length, kvault_error *reterr)
{
    struct column_meta *meta = list->meta;
    uint64_t per_chunk = kvault__elements_per_chunk(meta);
    kvault_status rc;

    if (meta->listed)
        return splice_chunks(list, length, meta->stored, NULL, 0, reterr);
    TRY(kvault__chunk_delete(list->io, meta->id, (uint32_t)((length + per_chunk - 1) / per_chunk) + 1,
                             (uint32_t)((meta->stored + per_chunk - 1) / per_chunk) + 1, reterr));
    meta->stored = length;
    meta->revision++;
out:
    return rc;
}

/* Exchange bytes of the tail; `start` and `stop` count from its begin. */
static kvault_status splice_tail(struct chunk_list *list, uint32_t start, uint32_t stop, const void *data,
                                 uint64_t count, kvault_error *reterr)
{
    struct column_meta *meta = list->meta;
    uint32_t size = meta->elem_size, behind = meta->tail_size - stop * size;
    uint8_t rest[COLUMN_TAIL_BYTES];
    kvault_status rc;

    memcpy(rest, meta->tail + stop * size, behind);
    meta->tail_size = start * size;
    meta->revision++;
    TRY(kvault__fixed_append(list, data, count, reterr));
    TRY(kvault__fixed_append(list, rest, behind / size, reterr));
out:
    return rc;
}

kvault_status kvault__fixed_splice(struct chunk_list *list, uint64_t start, uint64_t stop, const void *data,
                                   uint64_t count, kvault_error *reterr)
{
    struct column_meta *meta = list->meta;
    uint64_t stored = meta->stored;
    kvault_status rc;

    if (start >= stored)
        return splice_tail(list, (uint32_t)(start - stored), (uint32_t)(stop - stored), data, count, reterr);
    if (stop > stored) {
        uint32_t gone = (uint32_t)(stop - stored) * meta->elem_size;

        memmove(meta->tail, meta->tail + gone, meta->tail_size - gone);
        meta->tail_size -= gone;
        stop = stored;
    }
    if (stop == stored && stop > start && !count)
        return cut_chunks(list, start, reterr);
    TRY(splice_chunks(list, start, stop, data, count, reterr));
out:
    return rc;
}
