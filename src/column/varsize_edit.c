/* varsize_edit.c - changing a variable-size column. See varsize.h. */
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "column/slots.h"
#include "base/banned.h"

#define ROWS_AT_ONCE 64u       /* more elements in one call go into a chunk directly */
#define ROWS_BYTES_MAX 65536u  /* of tail rows together */
#define JOIN_BYTES_MAX 262144u /* a larger last chunk is not rewritten to fill it up */
#define SPLICE_AT_ONCE 16u     /* so many replaced one by one, more by rebuilding their chunks */

/* ---- appending ---- */

/* Put the slots behind all chunks; one that is not well filled takes part. */
static kvault_status append_slots(struct var *var, struct slots *slots, kvault_error *reterr)
{
    struct chunk_list *list = var->list;
    struct column_meta *meta = list->meta;
    struct slots_put put = { 0 };
    struct chunk_place last;
    struct slots joined = { 0 };
    uint64_t fresh = slots->count;
    uint32_t size = UINT32_MAX, most = kvault__chunk_data_max(meta);
    kvault_status rc;

    if (meta->stored) {
        TRY(kvault__list_find(list, meta->stored - 1, &last, reterr));
        TRY(kvault__in_column(kvault__chunk_size(list->io, meta->id, last.seq, &size, reterr), meta, last.seq,
                              last.first, last.count, reterr));
    }
    if (size < most / 4 * 3 && size <= JOIN_BYTES_MAX) {
        TRY(kvault__slots_take(var, &last, last.count, 0, &joined, reterr));
        TRY(kvault__slots_reserve(&joined, slots->count, reterr));
        memcpy(joined.slots + joined.count, slots->slots, (size_t)slots->count * sizeof *slots->slots);
        joined.count += slots->count;
        put.reuse = &last.seq;
        put.reuse_count = 1;
        TRY(kvault__slots_put(var, &joined, true, &put, reterr));
        TRY(kvault__list_replace(list, &last, &last, put.entries, put.count, reterr));
    } else {
        TRY(kvault__slots_put(var, slots, true, &put, reterr));
        TRY(kvault__list_replace(list, NULL, NULL, put.entries, put.count, reterr));
    }
    meta->stored += fresh;
out:
    kvault__free(put.entries);
    kvault__slots_release(&joined);
    return rc;
}

/* Move all tail rows into chunks. */
static kvault_status seal(struct var *var, kvault_error *reterr)
{
    kvault_result rows = KVAULT_RESULT_INIT;
    struct slots slots = { 0 };
    kvault_elements elements;
    kvault_status rc = KVAULT_OK;

    if (!var->tail.count)
        return KVAULT_OK;
    TRY(kvault__tail_read(var->list->io, var->list->meta, 0, var->tail.count, &rows, reterr));
    elements = kvault__elements_of(&rows);
    TRY(kvault__slots_add(var, &slots, &elements, reterr));
    TRY(append_slots(var, &slots, reterr));
    TRY(kvault__tail_drop(var->list->io, var->list->meta, 0, var->tail.count, reterr));
    var->tail = (struct tail_state){ 0, 0 };
out:
    kvault_result_free(&rows);
    kvault__slots_release(&slots);
    return rc;
}

/* Bytes that the tail rows may take together. */
static uint32_t rows_room(const struct var *var)
{
    uint32_t room = kvault__chunk_data_max(var->list->meta) - PACKED_HEADER;

    return room < ROWS_BYTES_MAX ? room : ROWS_BYTES_MAX;
}

static bool goes_into_rows(const struct var *var, const kvault_elements *elements)
{
    uint64_t bytes = elements->count * PACKED_ENTRY + elements->offsets[elements->count] - elements->offsets[0];

    return elements->count <= ROWS_AT_ONCE && bytes <= rows_room(var);
}

static kvault_status append_rows(struct var *var, const kvault_elements *elements, kvault_error *reterr)
{
    uint32_t room = rows_room(var);
    kvault_status rc = KVAULT_OK;

    for (uint64_t i = 0; i < elements->count; i++) {
        kvault_slice element = kvault__element(elements, i);

        if (var->tail.bytes + PACKED_ENTRY + element.size > room)
            TRY(seal(var, reterr));
        TRY(kvault__tail_add(var->list->io, var->list->meta, &var->tail, element, reterr));
    }
out:
    return rc;
}

kvault_status kvault__var_append(struct var *var, const kvault_elements *elements, kvault_error *reterr)
{
    struct slots slots = { 0 };
    kvault_status rc;

    if (!elements->count)
        return KVAULT_OK;
    if (goes_into_rows(var, elements))
        return append_rows(var, elements, reterr);
    TRY(seal(var, reterr));
    TRY(kvault__slots_add(var, &slots, elements, reterr));
    TRY(append_slots(var, &slots, reterr));
out:
    kvault__slots_release(&slots);
    return rc;
}

/* ---- in the middle ---- */

/* The chunks from `first` to `last` give way to others. */
struct change {
    struct chunk_place first, last;
    struct slots slots;
    uint32_t *numbers; /* owned: of the chunks, to be used again */
    uint32_t number_count;
};

static void change_release(struct change *change)
{
    kvault__slots_release(&change->slots);
    kvault__free(change->numbers);
}

/* Note the numbers of the chunks; drop the elements of those between first and last. */
static kvault_status take_between(struct var *var, struct change *change, kvault_error *reterr)
{
    struct chunk_place place = change->first;
    struct slots none = { 0 };
    uint32_t capacity = 0;
    kvault_status rc = KVAULT_OK;

    for (;;) {
        if (change->number_count == capacity) {
            uint32_t *numbers;

            capacity = capacity ? 2 * capacity : 8;
            numbers = kvault__realloc(change->numbers, capacity * sizeof *numbers);
            if (!numbers)
                return kvault__fail_nomem(reterr, capacity * sizeof *numbers);
            change->numbers = numbers;
        }
        change->numbers[change->number_count++] = place.seq;
        if (place.seq == change->last.seq)
            break;
        TRY(kvault__list_next(var->list, &place, &place, reterr));
        if (place.seq == change->last.seq)
            continue;
        rc = kvault__slots_take(var, &place, 0, 0, &none, reterr);
        kvault__slots_release(&none);
        none = (struct slots){ 0 };
        TRY(rc);
    }
out:
    return rc;
}

static kvault_status take_kept(struct var *var, struct change *change, uint64_t start, uint64_t stop,
                               const kvault_elements *elements, kvault_error *reterr)
{
    uint64_t before = start - change->first.first, behind = change->last.first + change->last.count - stop;
    bool one = change->first.seq == change->last.seq;
    struct slots *slots = &change->slots;
    struct slots tail = { 0 };
    kvault_status rc;

    TRY(kvault__slots_take(var, &change->first, before, one ? behind : 0, slots, reterr));
    TRY(kvault__slots_reserve(slots, elements->count + behind, reterr));
    if (one) { /* the new ones go between those before and behind */
        TRY(kvault__slots_add(var, slots, elements, reterr));
        tail.slots = kvault__alloc((size_t)(behind ? behind : 1) * sizeof *tail.slots);
        if (!tail.slots) {
            rc = kvault__fail_nomem(reterr, (size_t)behind * sizeof *tail.slots);
            goto out;
        }
        memcpy(tail.slots, slots->slots + before, (size_t)behind * sizeof *tail.slots);
        memmove(slots->slots + before, slots->slots + before + behind, (size_t)elements->count * sizeof *tail.slots);
        memcpy(slots->slots + before + elements->count, tail.slots, (size_t)behind * sizeof *tail.slots);
    } else {
        TRY(kvault__slots_add(var, slots, elements, reterr));
        TRY(take_between(var, change, reterr));
        TRY(kvault__slots_take(var, &change->last, 0, behind, slots, reterr));
    }
out:
    kvault__free(tail.slots);
    return rc;
}

/* A result that would fill less than a quarter of a chunk takes in a neighbour that leaves it room. */
static kvault_status take_neighbour(struct var *var, struct change *change, kvault_error *reterr)
{
    struct chunk_list *list = var->list;
    uint64_t most = kvault__chunk_data_max(list->meta), bytes = kvault__slots_bytes(&change->slots);
    struct chunk_place neighbour;
    struct slots *slots = &change->slots;
    uint64_t mine = slots->count;
    uint32_t size;
    kvault_status rc;

    if (bytes >= most / 4)
        return KVAULT_OK;
    TRY(kvault__list_previous(list, &change->first, &neighbour, reterr));
    if (rc == KVAULT_END)
        return KVAULT_OK;
    TRY(kvault__in_column(kvault__chunk_size(list->io, list->meta->id, neighbour.seq, &size, reterr), list->meta,
                          neighbour.seq, neighbour.first, neighbour.count, reterr));
    if (size + bytes > most / 4 * 3)
        return KVAULT_OK;
    TRY(kvault__slots_reserve(slots, mine + neighbour.count, reterr));
    TRY(kvault__slots_take(var, &neighbour, neighbour.count, 0, slots, reterr));
    /* The neighbour's stand behind now: mine are copied behind them, then all move to the front. */
    TRY(kvault__slots_reserve(slots, mine, reterr));
    memcpy(slots->slots + slots->count, slots->slots, (size_t)mine * sizeof *slots->slots);
    memmove(slots->slots, slots->slots + mine, (size_t)slots->count * sizeof *slots->slots);
    change->first = neighbour;
out:
    return rc < 0 ? rc : KVAULT_OK;
}

/* Write what the change holds in place of its chunks. */
static kvault_status put_change(struct var *var, struct change *change, bool full, kvault_error *reterr)
{
    struct slots_put put = { .reuse = change->numbers, .reuse_count = change->number_count };
    kvault_status rc;

    TRY(kvault__slots_put(var, &change->slots, full, &put, reterr));
    for (uint32_t i = put.count; i < change->number_count; i++)
        TRY(kvault__chunk_delete(var->list->io, var->list->meta->id, change->numbers[i], change->numbers[i] + 1,
                                 reterr));
    TRY(kvault__list_replace(var->list, &change->first, &change->last, put.entries, put.count, reterr));
out:
    kvault__free(put.entries);
    return rc;
}

static kvault_status splice_chunks(struct var *var, uint64_t start, uint64_t stop, const kvault_elements *elements,
                                   kvault_error *reterr)
{
    struct column_meta *meta = var->list->meta;
    struct change change = { 0 };
    kvault_status rc;

    TRY(kvault__list_find(var->list, start, &change.first, reterr));
    TRY(kvault__list_find(var->list, stop > start ? stop - 1 : start, &change.last, reterr));
    TRY(take_kept(var, &change, start, stop, elements, reterr));
    if (!change.number_count) /* one chunk */
        TRY(take_between(var, &change, reterr));
    TRY(take_neighbour(var, &change, reterr));
    if (change.first.seq != change.numbers[0]) {
        uint32_t *numbers = kvault__realloc(change.numbers, (change.number_count + 1) * sizeof *numbers);

        if (!numbers) {
            rc = kvault__fail_nomem(reterr, (change.number_count + 1) * sizeof *numbers);
            goto out;
        }
        change.numbers = numbers;
        numbers[change.number_count++] = change.first.seq;
    }
    TRY(put_change(var, &change, false, reterr));
    meta->stored = meta->stored - (stop - start) + elements->count;
    meta->revision++;
out:
    change_release(&change);
    return rc;
}

kvault_status kvault__var_splice(struct var *var, uint64_t start, uint64_t stop, const kvault_elements *elements,
                                 kvault_error *reterr)
{
    struct column_meta *meta = var->list->meta;
    kvault_status rc = KVAULT_OK;

    if (stop == kvault__var_length(var) && start >= meta->stored) { /* the newest, from the end */
        TRY(kvault__tail_drop(var->list->io, meta, start - meta->stored, var->tail.count, reterr));
        if (stop > start) {
            meta->revision++;
            TRY(kvault__tail_state(var->list->io, meta, &var->tail, reterr));
        }
        return kvault__var_append(var, elements, reterr);
    }
    if (stop > meta->stored || start >= meta->stored)
        TRY(seal(var, reterr));
    TRY(splice_chunks(var, start, stop, elements, reterr));
out:
    return rc;
}

/* ---- replacing ---- */

/* Write a slot's bytes, and its entry of the table if it changes. */
static kvault_status put_slot(struct var *var, const struct chunk_place *place, uint32_t i,
                              const struct packed_place *at, const uint8_t *bytes, uint32_t entry, kvault_error *reterr)
{
    struct column_io *io = var->list->io;
    uint64_t id = var->list->meta->id;
    uint8_t encoded[PACKED_ENTRY];
    kvault_status rc;

    TRY(kvault__chunk_patch(io, id, place->seq, at->offset, bytes, at->size, reterr));
    if (entry == at->entry)
        return KVAULT_OK;
    kvault__store_le32(encoded, entry);
    TRY(kvault__chunk_patch(io, id, place->seq, PACKED_HEADER + i * PACKED_ENTRY, encoded, sizeof encoded, reterr));
out:
    return rc;
}

/* Overwrite the bytes of a slot that has room for them; true in *ret_done if it had. */
static kvault_status set_in_place(struct var *var, const struct chunk_place *place, uint32_t i, kvault_slice element,
                                  bool *ret_done, kvault_error *reterr)
{
    struct column_meta *meta = var->list->meta;
    kvault_buf slot_bytes = KVAULT_BUF_INIT;
    struct packed_place at;
    struct packed_slot slot, fresh;
    uint32_t entry;
    kvault_status rc;

    *ret_done = false;
    TRY(kvault__var_locate(var, place, i, &at, reterr));
    if ((at.entry & PACKED_LARGE) || element.size > at.size)
        goto out;
    TRY(kvault__var_load_slot(var, place, &at, &slot_bytes, &slot, reterr));
    fresh = (struct packed_slot){ NULL, (uint32_t)element.size, at.size - (uint32_t)element.size, false };
    entry = at.entry & PACKED_OFFSET;
    if (element.size)
        memcpy(slot_bytes.data, element.data, element.size);
    if (fresh.slack) {
        kvault__packed_mark_slack(slot_bytes.data, at.size, fresh.size);
        entry |= PACKED_SLACK;
    }
    kvault__slot_count_out(meta, &slot); /* its bytes are those of `fresh` already, its sizes are not */
    kvault__slot_count_in(meta, &fresh);
    TRY(put_slot(var, place, i, &at, slot_bytes.data, entry, reterr));
    meta->revision++;
    *ret_done = true;
out:
    kvault_buf_free(&slot_bytes);
    return kvault__in_column(rc, meta, place->seq, place->first + i, 1, reterr);
}

kvault_status kvault__var_set(struct var *var, uint64_t index, kvault_slice element, kvault_error *reterr)
{
    uint64_t offsets[2] = { 0, element.size };
    kvault_elements one = { element.data, offsets, 1 };
    struct chunk_place place;
    bool done;
    kvault_status rc = KVAULT_OK;

    if (index + 1 == kvault__var_length(var) && var->tail.count)
        return kvault__var_splice(var, index, index + 1, &one, reterr);
    if (index >= var->list->meta->stored)
        TRY(seal(var, reterr));
    TRY(kvault__list_find(var->list, index, &place, reterr));
    TRY(set_in_place(var, &place, (uint32_t)(index - place.first), element, &done, reterr));
    if (!done)
        TRY(kvault__var_splice(var, index, index + 1, &one, reterr));
out:
    return rc;
}

/* ---- compacting ---- */

/* Rewrite from the front, four chunks at a time; the last one written takes part in the next step. */
kvault_status kvault__var_compact(struct var *var, kvault_error *reterr)
{
    struct column_meta *meta = var->list->meta;
    uint64_t at = 0;
    kvault_status rc;

    TRY(seal(var, reterr));
    while (at < meta->stored) {
        struct change change = { 0 };
        struct chunk_place place;
        uint32_t taken = 0, numbers[SLOTS_CHUNKS];
        struct slots_put put = { .reuse = numbers };
        uint64_t end = 0;

        rc = kvault__list_find(var->list, at, &place, reterr);
        change.first = place;
        while (rc == KVAULT_OK && taken < SLOTS_CHUNKS) {
            numbers[taken++] = place.seq;
            change.last = place;
            end = place.first + place.count;
            rc = kvault__slots_take(var, &place, place.count, 0, &change.slots, reterr);
            if (rc >= 0)
                rc = kvault__list_next(var->list, &place, &place, reterr);
        }
        put.reuse_count = taken;
        if (rc >= 0)
            rc = kvault__slots_put(var, &change.slots, true, &put, reterr);
        for (uint32_t i = put.count; rc >= 0 && i < taken; i++)
            rc = kvault__chunk_delete(var->list->io, meta->id, numbers[i], numbers[i] + 1, reterr);
        if (rc >= 0)
            rc = kvault__list_replace(var->list, &change.first, &change.last, put.entries, put.count, reterr);
        /* A last chunk that is not full goes into the next step, unless nothing comes behind it. */
        if (rc >= 0)
            at = end == meta->stored ? end : end - put.entries[put.count - 1].elements;
        kvault__free(put.entries);
        change_release(&change);
        TRY(rc);
    }
    meta->revision++;
    rc = KVAULT_OK;
out:
    return rc;
}
