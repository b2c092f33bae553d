/* slots.c - see slots.h. */
#include "column/slots.h"

#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/banned.h"

void kvault__slots_release(struct slots *slots)
{
    for (int i = 0; i < SLOTS_CHUNKS; i++)
        kvault_buf_free(&slots->chunks[i]);
    kvault__free(slots->slots);
    kvault__free(slots->large);
}

kvault_status kvault__slots_reserve(struct slots *slots, uint64_t more, kvault_error *reterr)
{
    uint64_t capacity = slots->count + more + 1; /* one more, so that there is always memory to point to */
    struct packed_slot *grown;

    if (capacity <= slots->capacity)
        return KVAULT_OK;
    if (capacity > SIZE_MAX / sizeof *grown)
        return kvault__fail(reterr, KVAULT_E_TOOBIG, "%llu elements exceed memory", (unsigned long long)capacity);
    grown = kvault__realloc(slots->slots, (size_t)capacity * sizeof *grown);
    if (!grown)
        return kvault__fail_nomem(reterr, (size_t)capacity * sizeof *grown);
    slots->slots = grown;
    slots->capacity = capacity;
    return KVAULT_OK;
}

/* ---- the books ---- */

void kvault__slot_count_in(struct column_meta *meta, const struct packed_slot *slot)
{
    meta->bytes += slot->large ? kvault__large_size(slot) : slot->size + slot->slack;
    meta->slack += slot->slack;
}

void kvault__slot_count_out(struct column_meta *meta, const struct packed_slot *slot)
{
    uint64_t bytes = slot->large ? kvault__large_size(slot) : (uint64_t)slot->size + slot->slack;

    /* The sums are only told to users: a file whose sums are too small is not worth a failure. */
    meta->bytes -= bytes < meta->bytes ? bytes : meta->bytes;
    meta->slack -= slot->slack < meta->slack ? slot->slack : meta->slack;
}

/* ---- large elements ---- */

static kvault_status put_large(struct var *var, kvault_slice element, uint8_t ref[PACKED_LARGE_BYTES],
                               kvault_error *reterr)
{
    const uint8_t *at = element.data;
    uint32_t seq, rest = (uint32_t)element.size;
    kvault_status rc;

    TRY(kvault__next_seq(var->list->meta, kvault__large_pieces(rest), &seq, reterr));
    kvault__store_le32(ref, seq);
    kvault__store_le32(ref + 4, rest);
    for (; rest; seq++) {
        uint32_t part = rest < PACKED_PIECE_DATA ? rest : PACKED_PIECE_DATA;

        TRY(kvault__chunk_put(var->list->io, var->list->meta->id, seq, at, part, reterr));
        at += part;
        rest -= part;
    }
out:
    return rc;
}

kvault_status kvault__slot_drop(struct var *var, const struct packed_slot *slot, kvault_error *reterr)
{
    uint32_t seq;

    kvault__slot_count_out(var->list->meta, slot);
    if (!slot->large)
        return KVAULT_OK;
    seq = kvault__large_seq(slot);
    if (seq > COLUMN_SEQ_MAX || kvault__large_pieces(kvault__large_size(slot)) > COLUMN_SEQ_MAX - seq)
        return kvault__fail(reterr, KVAULT_E_CORRUPT, "the pieces of an element have no place");
    return kvault__chunk_delete(var->list->io, var->list->meta->id, seq,
                                seq + kvault__large_pieces(kvault__large_size(slot)), reterr);
}

/* New elements as slots; the large ones are written. */
kvault_status kvault__slots_add(struct var *var, struct slots *slots, const kvault_elements *elements,
                                kvault_error *reterr)
{
    uint32_t most = kvault__packed_element_max(var->list->meta);
    size_t large = 0;
    kvault_status rc;

    TRY(kvault__slots_reserve(slots, elements->count, reterr));
    for (uint64_t i = 0; i < elements->count; i++)
        large += kvault__element(elements, i).size > most;
    if (large) {
        slots->large = kvault__alloc(large * sizeof *slots->large);
        if (!slots->large)
            return kvault__fail_nomem(reterr, large * sizeof *slots->large);
    }
    for (uint64_t i = 0; i < elements->count; i++) {
        kvault_slice element = kvault__element(elements, i);
        struct packed_slot slot = { element.data, (uint32_t)element.size, 0, false };

        if (element.size > most) {
            uint8_t *ref = slots->large[slots->large_count++];

            TRY(put_large(var, element, ref, reterr));
            slot = (struct packed_slot){ ref, PACKED_LARGE_BYTES, 0, true };
        }
        slots->slots[slots->count++] = slot;
    }
out:
    return rc;
}

/* ---- from chunks to slots, and back ---- */

/* Read a chunk; keep its elements [0, before) and [count - behind, count) as slots, drop the others. All of them leave
 * the books: those kept are counted again when they are written. */
kvault_status kvault__slots_take(struct var *var, const struct chunk_place *place, uint64_t before, uint64_t behind,
                                 struct slots *slots, kvault_error *reterr)
{
    kvault_buf *buf = &slots->chunks[slots->chunk_count++];
    struct packed packed;
    struct packed_slot slot;
    kvault_status rc;

    TRY(kvault__in_column(kvault__var_load(var, place, buf, &packed, reterr), var->list->meta, place->seq, place->first,
                          place->count, reterr));
    TRY(kvault__slots_reserve(slots, before + behind, reterr));
    for (uint32_t i = 0; i < packed.count; i++) {
        bool kept = i < before || i >= packed.count - behind;

        rc = kvault__packed_slot(&packed, i, &slot, reterr);
        if (rc >= 0 && kept)
            kvault__slot_count_out(var->list->meta, &slot);
        else if (rc >= 0)
            rc = kvault__slot_drop(var, &slot, reterr);
        TRY(kvault__in_column(rc, var->list->meta, place->seq, place->first + i, 1, reterr));
        slot.slack = 0;
        if (kept)
            slots->slots[slots->count++] = slot;
    }
out:
    return rc;
}

uint64_t kvault__slots_bytes(const struct slots *slots)
{
    uint64_t bytes = 0;

    for (uint64_t i = 0; i < slots->count; i++)
        bytes += PACKED_ENTRY + slots->slots[i].size;
    return bytes;
}

/* How many of the slots from `at` go into the next chunk: up to `target` bytes, never more than fit. */
static uint32_t cut(const struct slots *slots, uint64_t at, uint32_t most, uint64_t target, uint32_t *ret_area)
{
    uint64_t bytes = PACKED_HEADER;
    uint32_t count = 0, area = 0;

    while (at + count < slots->count) {
        uint32_t size = slots->slots[at + count].size;

        if (count && (bytes + PACKED_ENTRY + size > most || bytes >= target))
            break;
        bytes += PACKED_ENTRY + size;
        area += size;
        count++;
    }
    *ret_area = area;
    return count;
}

static kvault_status put_one(struct var *var, const struct packed_slot *slots, uint32_t count, uint32_t area,
                             uint8_t *data, struct slots_put *put, kvault_error *reterr)
{
    struct column_meta *meta = var->list->meta;
    uint32_t seq;
    kvault_status rc = KVAULT_OK;

    if (put->count == put->capacity) {
        uint32_t capacity = put->capacity ? put->capacity * 2 : 16;
        struct list_entry *entries = kvault__realloc(put->entries, capacity * sizeof *entries);

        if (!entries)
            return kvault__fail_nomem(reterr, capacity * sizeof *entries);
        put->entries = entries;
        put->capacity = capacity;
    }
    if (put->count < put->reuse_count)
        seq = put->reuse[put->count];
    else
        TRY(kvault__next_seq(meta, 1, &seq, reterr));
    kvault__packed_write(slots, count, area, data);
    for (uint32_t i = 0; i < count; i++)
        kvault__slot_count_in(meta, &slots[i]);
    TRY(kvault__chunk_put(var->list->io, meta->id, seq, data, kvault__packed_size(count, area), reterr));
    put->entries[put->count++] = (struct list_entry){ seq, count };
out:
    return rc;
}

/* Write all slots as chunks: full ones, or of equal size. */
kvault_status kvault__slots_put(struct var *var, const struct slots *slots, bool full, struct slots_put *put,
                                kvault_error *reterr)
{
    uint32_t most = kvault__chunk_data_max(var->list->meta), area;
    uint64_t bytes = kvault__slots_bytes(slots), room = most - PACKED_HEADER, target = most;
    uint8_t *data = kvault__alloc(most);
    kvault_status rc = KVAULT_OK;

    if (!data)
        return kvault__fail_nomem(reterr, most);
    if (!full && bytes > room)
        target = bytes / ((bytes + room - 1) / room) + PACKED_HEADER;
    for (uint64_t at = 0; at < slots->count;) {
        uint32_t count = cut(slots, at, most, target, &area);

        TRY(put_one(var, slots->slots + at, count, area, data, put, reterr));
        at += count;
    }
out:
    kvault__free(data);
    return rc;
}
