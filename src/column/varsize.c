/* varsize.c - reading a variable-size column. See varsize.h. */
#include "column/varsize.h"

#include <string.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/banned.h"

#define FEW 4u /* so many elements of a chunk are read one by one, more with the whole chunk */

static kvault_status in_chunk(kvault_status rc, const struct var *var, const struct chunk_place *place,
                              kvault_error *reterr)
{
    return kvault__in_column(rc, var->list->meta, place->seq, place->first, place->count, reterr);
}

kvault_status kvault__var_load(struct var *var, const struct chunk_place *place, kvault_buf *buf,
                               struct packed *ret_packed, kvault_error *reterr)
{
    struct column_io *io = var->list->io;
    uint64_t id = var->list->meta->id;
    uint32_t size;
    kvault_status rc;

    TRY(kvault__chunk_size(io, id, place->seq, &size, reterr));
    buf->size = 0;
    TRY(kvault__buf_reserve(buf, size, reterr));
    TRY(kvault__chunk_read(io, id, place->seq, 0, buf->data, size, reterr));
    buf->size = size;
    TRY(kvault__packed_open(buf->data, size, place->count, ret_packed, reterr));
out:
    return rc;
}

kvault_status kvault__var_read_large(struct var *var, const struct packed_slot *slot, kvault_result *result,
                                     kvault_error *reterr)
{
    uint32_t seq = kvault__large_seq(slot), size = kvault__large_size(slot), at = 0;
    kvault_status rc;

    TRY(kvault__result_reserve(result, 1, size, reterr));
    for (; at < size; seq++) {
        uint32_t part = size - at < PACKED_PIECE_DATA ? size - at : PACKED_PIECE_DATA;

        TRY(kvault__chunk_read(var->list->io, var->list->meta->id, seq, 0, result->data.data + result->data.size + at,
                               part, reterr));
        at += part;
    }
    result->data.size += size;
    TRY(kvault__result_end(result, reterr));
out:
    return rc;
}

static kvault_status give(struct var *var, const struct packed_slot *slot, kvault_result *result, kvault_error *reterr)
{
    return slot->large ? kvault__var_read_large(var, slot, result, reterr)
                       : kvault__result_add(result, (kvault_slice){ slot->data, slot->size }, reterr);
}

kvault_status kvault__var_locate(struct var *var, const struct chunk_place *place, uint32_t i, struct packed_place *ret,
                                 kvault_error *reterr)
{
    struct column_io *io = var->list->io;
    uint64_t id = var->list->meta->id;
    uint32_t base = PACKED_HEADER + (uint32_t)place->count * PACKED_ENTRY, start, end;
    bool last = i + 1 == place->count;
    uint8_t bytes[8];
    kvault_status rc;

    if (last)
        TRY(kvault__chunk_read(io, id, place->seq, 4, bytes + 4, 4, reterr)); /* the area's size */
    TRY(kvault__chunk_read(io, id, place->seq, PACKED_HEADER + i * PACKED_ENTRY, bytes, last ? 4 : 8, reterr));
    start = kvault__load_le32(bytes) & PACKED_OFFSET;
    end = last ? kvault__load_le32(bytes + 4) : kvault__load_le32(bytes + 4) & PACKED_OFFSET;
    if (start > end || end > kvault__chunk_data_max(var->list->meta))
        return kvault__fail(reterr, KVAULT_E_CORRUPT, "the place of an element makes no sense");
    *ret = (struct packed_place){ kvault__load_le32(bytes), base + start, end - start };
out:
    return rc;
}

kvault_status kvault__var_load_slot(struct var *var, const struct chunk_place *place, const struct packed_place *at,
                                    kvault_buf *buf, struct packed_slot *ret_slot, kvault_error *reterr)
{
    kvault_status rc;

    buf->size = 0;
    TRY(kvault__buf_reserve(buf, at->size + 1, reterr));
    TRY(kvault__chunk_read(var->list->io, var->list->meta->id, place->seq, at->offset, buf->data, at->size, reterr));
    TRY(kvault__packed_decode(buf->data, at->size, at->entry, ret_slot, reterr));
out:
    return rc;
}

/* Element `i` of a chunk, without the rest of it. */
static kvault_status read_one(struct var *var, const struct chunk_place *place, uint32_t i, kvault_buf *scratch,
                              kvault_result *result, kvault_error *reterr)
{
    struct packed_place at;
    struct packed_slot slot;
    kvault_status rc;

    TRY(kvault__var_locate(var, place, i, &at, reterr));
    TRY(kvault__var_load_slot(var, place, &at, scratch, &slot, reterr));
    TRY(give(var, &slot, result, reterr));
out:
    return rc;
}

static kvault_status read_many(struct var *var, const struct chunk_place *place, uint32_t at, uint32_t count,
                               kvault_buf *scratch, kvault_result *result, kvault_error *reterr)
{
    struct packed packed;
    struct packed_slot slot;
    kvault_status rc;

    TRY(in_chunk(kvault__var_load(var, place, scratch, &packed, reterr), var, place, reterr));
    TRY(kvault__result_reserve(result, count, 0, reterr));
    for (uint32_t i = at; i < at + count; i++) {
        rc = kvault__packed_slot(&packed, i, &slot, reterr);
        if (rc >= 0)
            rc = give(var, &slot, result, reterr);
        TRY(kvault__in_column(rc, var->list->meta, place->seq, place->first + i, 1, reterr));
    }
out:
    return rc;
}

/* The words of a failure name the element that was wanted, or the range. */
static kvault_status read_part(struct var *var, const struct chunk_place *place, uint32_t at, uint32_t count,
                               kvault_buf *scratch, kvault_result *result, kvault_error *reterr)
{
    kvault_status rc = KVAULT_OK;

    if (count > FEW)
        return read_many(var, place, at, count, scratch, result, reterr);
    for (uint32_t i = at; i < at + count && rc >= 0; i++)
        rc = kvault__in_column(read_one(var, place, i, scratch, result, reterr), var->list->meta, place->seq,
                               place->first + i, 1, reterr);
    return rc;
}

kvault_status kvault__var_read(struct var *var, uint64_t start, uint64_t count, kvault_result *result,
                               kvault_error *reterr)
{
    struct column_meta *meta = var->list->meta;
    uint64_t rest = start < meta->stored ? meta->stored - start : 0, inside = count < rest ? count : rest;
    kvault_buf scratch = KVAULT_BUF_INIT;
    struct chunk_place place;
    kvault_status rc = KVAULT_OK;

    if (count > inside && !inside)
        return kvault__tail_read(var->list->io, meta, start - meta->stored, count, result, reterr);
    if (inside)
        TRY(kvault__list_find(var->list, start, &place, reterr));
    for (uint64_t left = inside; left;) {
        uint64_t at = start - place.first, most = place.count - at, part = left < most ? left : most;

        TRY(read_part(var, &place, (uint32_t)at, (uint32_t)part, &scratch, result, reterr));
        start += part;
        left -= part;
        if (left)
            TRY(kvault__list_next(var->list, &place, &place, reterr));
    }
    if (count > inside)
        TRY(kvault__tail_read(var->list->io, meta, 0, count - inside, result, reterr));
out:
    kvault_buf_free(&scratch);
    return rc;
}
