/* fixed.c - see fixed.h. */
#include "column/fixed.h"

#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

static kvault_status in_chunk(kvault_status rc, const struct chunk_list *list, const struct chunk_place *place,
                              kvault_error *reterr)
{
    return kvault__in_column(rc, list->meta, place->seq, place->first, place->count, reterr);
}

/* ---- reading and overwriting ---- */

/* Do `each` for the part of every chunk that [start, start + count) covers; what lies in the tail is the caller's. */
static kvault_status for_chunks(struct chunk_list *list, uint64_t start, uint64_t count,
                                kvault_status (*each)(struct chunk_list *list, const struct chunk_place *place,
                                                      uint32_t at, uint32_t part, uint8_t *bytes, kvault_error *reterr),
                                uint8_t *bytes, kvault_error *reterr)
{
    struct chunk_place place;
    kvault_status rc = KVAULT_OK;

    if (!count)
        return KVAULT_OK;
    TRY(kvault__list_find(list, start, &place, reterr));
    for (;;) {
        uint64_t at = start - place.first, rest = place.count - at, part = count < rest ? count : rest;

        TRY(each(list, &place, (uint32_t)at, (uint32_t)part, bytes, reterr));
        bytes += part * list->meta->elem_size;
        start += part;
        count -= part;
        if (!count)
            break;
        TRY(kvault__list_next(list, &place, &place, reterr));
    }
out:
    return rc;
}

static kvault_status read_part(struct chunk_list *list, const struct chunk_place *place, uint32_t at, uint32_t part,
                               uint8_t *bytes, kvault_error *reterr)
{
    uint32_t size = list->meta->elem_size;

    return in_chunk(kvault__chunk_read(list->io, list->meta->id, place->seq, at * size, bytes, part * size, reterr),
                    list, place, reterr);
}

static kvault_status write_part(struct chunk_list *list, const struct chunk_place *place, uint32_t at, uint32_t part,
                                uint8_t *bytes, kvault_error *reterr)
{
    uint32_t size = list->meta->elem_size;

    return in_chunk(kvault__chunk_patch(list->io, list->meta->id, place->seq, at * size, bytes, part * size, reterr),
                    list, place, reterr);
}

/* Elements of [start, start + count) that lie in chunks. */
static uint64_t part_in_chunks(const struct column_meta *meta, uint64_t start, uint64_t count)
{
    uint64_t rest = start < meta->stored ? meta->stored - start : 0;

    return count < rest ? count : rest;
}

kvault_status kvault__fixed_read(struct chunk_list *list, uint64_t start, uint64_t count, void *dest,
                                 kvault_error *reterr)
{
    const struct column_meta *meta = list->meta;
    uint64_t part = part_in_chunks(meta, start, count);
    uint32_t size = meta->elem_size;
    kvault_status rc;

    TRY(for_chunks(list, start, part, read_part, dest, reterr));
    if (count > part)
        memcpy((uint8_t *)dest + part * size, meta->tail + (start + part - meta->stored) * size,
               (size_t)(count - part) * size);
out:
    return rc;
}

kvault_status kvault__fixed_write(struct chunk_list *list, uint64_t start, uint64_t count, const void *data,
                                  kvault_error *reterr)
{
    struct column_meta *meta = list->meta;
    uint64_t part = part_in_chunks(meta, start, count);
    uint32_t size = meta->elem_size;
    kvault_status rc;

    /* write_part only reads the bytes. */
    TRY(for_chunks(list, start, part, write_part, (uint8_t *)(uintptr_t)data, reterr));
    meta->revision += part != 0;
    if (count > part)
        memcpy(meta->tail + (start + part - meta->stored) * size, (const uint8_t *)data + part * size,
               (size_t)(count - part) * size);
out:
    return rc;
}

/* ---- appending ---- */

/* Bytes of data that a chunk is made for, when `need` of them must fit: number `number` of the column. */
static uint32_t room_for(const struct column_meta *meta, uint64_t number, uint32_t have, uint32_t need)
{
    uint32_t most = kvault__elements_per_chunk(meta) * meta->elem_size, room = meta->chunk_min / KVAULT_BLOCK_BYTES;

    if (number)
        return most;
    room = room * KVAULT_BLOCK_DATA;
    if (room < 2 * have)
        room = 2 * have;
    if (room < need)
        room = need;
    return room < most ? room : most;
}

/* Put bytes behind the `used` ones that the chunk has, making it larger where it must be. */
static kvault_status fill_chunk(struct chunk_list *list, uint32_t seq, uint64_t number, uint32_t used,
                                const uint8_t *bytes, uint32_t size, kvault_error *reterr)
{
    struct column_meta *meta = list->meta;
    uint32_t have = 0, room;
    uint8_t *data = NULL;
    kvault_status rc = KVAULT_OK;

    if (used)
        TRY(kvault__chunk_size(list->io, meta->id, seq, &have, reterr));
    if (used && have >= used + size) {
        TRY(kvault__chunk_patch(list->io, meta->id, seq, used, bytes, size, reterr));
        return KVAULT_OK;
    }
    room = room_for(meta, number, have, used + size);
    if (size == room) { /* a whole chunk, from where it lies */
        TRY(kvault__chunk_put(list->io, meta->id, seq, bytes, size, reterr));
        return KVAULT_OK;
    }
    data = kvault__alloc_zero(1, room);
    if (!data) {
        rc = kvault__fail_nomem(reterr, room);
        goto out;
    }
    TRY(kvault__chunk_read(list->io, meta->id, seq, 0, data, used, reterr));
    memcpy(data + used, bytes, size);
    TRY(kvault__chunk_put(list->io, meta->id, seq, data, room, reterr));
out:
    kvault__free(data);
    return rc;
}

static kvault_status check_room(const struct column_meta *meta, uint64_t count, kvault_error *reterr)
{
    uint64_t chunks = (meta->stored + count) / kvault__elements_per_chunk(meta);

    if (chunks < COLUMN_SEQ_MAX - 2)
        return KVAULT_OK;
    return kvault__fail(reterr, KVAULT_E_TOOBIG, "column \"%s\" would need %llu chunks, limit %u", meta->name,
                        (unsigned long long)chunks, COLUMN_SEQ_MAX - 2);
}

/* Fill the last chunk, if it has room. */
static kvault_status fill_last(struct chunk_list *list, const uint8_t *bytes, uint64_t count, uint64_t *ret_taken,
                               kvault_error *reterr)
{
    struct column_meta *meta = list->meta;
    uint32_t per_chunk = kvault__elements_per_chunk(meta), size = meta->elem_size;
    struct list_entry entry;
    struct chunk_place last;
    uint64_t taken;
    kvault_status rc;

    *ret_taken = 0;
    if (!meta->stored)
        return KVAULT_OK;
    TRY(kvault__list_find(list, meta->stored - 1, &last, reterr));
    taken = last.count < per_chunk ? per_chunk - last.count : 0;
    taken = taken < count ? taken : count;
    if (!taken)
        return KVAULT_OK;
    rc = fill_chunk(list, last.seq, last.block + (uint64_t)last.entry, (uint32_t)last.count * size, bytes,
                    (uint32_t)taken * size, reterr);
    TRY(in_chunk(rc, list, &last, reterr));
    entry = (struct list_entry){ last.seq, (uint32_t)(last.count + taken) };
    if (meta->listed)
        TRY(kvault__list_replace(list, &last, &last, &entry, 1, reterr));
    meta->stored += taken;
    *ret_taken = taken;
out:
    return rc;
}

/* Add whole chunks and a last one behind those there are, which are full. */
static kvault_status add_chunks(struct chunk_list *list, const uint8_t *bytes, uint64_t count, kvault_error *reterr)
{
    struct column_meta *meta = list->meta;
    uint32_t per_chunk = kvault__elements_per_chunk(meta), size = meta->elem_size, seq = 0;
    uint64_t chunks = (count + per_chunk - 1) / per_chunk, stored = meta->stored;
    struct list_entry *entries = NULL;
    kvault_status rc = KVAULT_OK;

    if (!count)
        return KVAULT_OK;
    if (meta->listed) {
        entries = kvault__alloc((size_t)chunks * sizeof *entries);
        if (!entries)
            return kvault__fail_nomem(reterr, (size_t)chunks * sizeof *entries);
        TRY(kvault__next_seq(meta, (uint32_t)chunks, &seq, reterr));
    } else {
        seq = (uint32_t)(stored / per_chunk) + 1;
    }
    for (uint64_t i = 0; i < chunks; i++) {
        uint64_t rest = count - i * per_chunk, part = rest < per_chunk ? rest : per_chunk;

        TRY(fill_chunk(list, seq + (uint32_t)i, stored / per_chunk + i, 0, bytes + i * per_chunk * size,
                       (uint32_t)part * size, reterr));
        if (entries)
            entries[i] = (struct list_entry){ seq + (uint32_t)i, (uint32_t)part };
    }
    if (entries)
        TRY(kvault__list_replace(list, NULL, NULL, entries, (uint32_t)chunks, reterr));
    meta->stored += count;
out:
    kvault__free(entries);
    return rc;
}

static kvault_status append_to_chunks(struct chunk_list *list, const uint8_t *bytes, uint64_t count,
                                      kvault_error *reterr)
{
    uint64_t taken;
    kvault_status rc;

    TRY(check_room(list->meta, count, reterr));
    TRY(fill_last(list, bytes, count, &taken, reterr));
    TRY(add_chunks(list, bytes + taken * list->meta->elem_size, count - taken, reterr));
out:
    return rc;
}

kvault_status kvault__fixed_append(struct chunk_list *list, const void *data, uint64_t count, kvault_error *reterr)
{
    struct column_meta *meta = list->meta;
    uint64_t room = (COLUMN_TAIL_BYTES - meta->tail_size) / meta->elem_size;
    uint8_t tail[COLUMN_TAIL_BYTES];
    uint32_t tail_count = kvault__tail_count(meta);
    kvault_status rc = KVAULT_OK;

    if (!count)
        return KVAULT_OK;
    if (kvault__has_tail(meta) && count <= room) {
        memcpy(meta->tail + meta->tail_size, data, (size_t)count * meta->elem_size);
        meta->tail_size += (uint32_t)count * meta->elem_size;
        return KVAULT_OK;
    }
    if (tail_count) {
        memcpy(tail, meta->tail, meta->tail_size);
        meta->tail_size = 0;
        TRY(append_to_chunks(list, tail, tail_count, reterr));
        return kvault__fixed_append(list, data, count, reterr);
    }
    TRY(append_to_chunks(list, data, count, reterr));
out:
    return rc;
}
