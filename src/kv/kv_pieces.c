/* kv_pieces.c - values in pieces, their records, and the sweeping. See kv_pieces.h. */
#include "kv/kv_pieces.h"

#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/banned.h"

#define RECORD_BYTES 32
#define RECORD_VERSION 1
#define RETIRED_KEPT_MS 60000
#define RETIRED_KEPT_BYTES ((uint64_t)16 << 20)
#define SILENT_MS 3600000
#define SWEEP_ROWS 256   /* records looked at in one sweep */
#define SWEEP_PIECES 64u /* pieces deleted in one transaction */

/* ---- records ---- */

struct record_key {
    uint8_t bytes[8];
};

static struct record_key key_of(uint64_t blob_id)
{
    struct record_key key;

    kvault__store_be64(key.bytes, blob_id);
    return key;
}

static kvault_status decode_record(uint64_t blob_id, kvault_slice bytes, struct blob_record *ret_record,
                                   kvault_error *reterr)
{
    const uint8_t *at = bytes.data;

    if (bytes.size != RECORD_BYTES || at[0] != RECORD_VERSION || at[1] < BLOB_WRITING || at[1] > BLOB_RETIRED ||
        kvault__load_le64(at + 24) != kvault__record_checksum(STORAGE_BLOBS, blob_id, (kvault_slice){ at, 24 }))
        return kvault__fail(reterr, KVAULT_E_CORRUPT, "the record of blob %llu (kv_blobs) is damaged",
                            (unsigned long long)blob_id);
    *ret_record =
        (struct blob_record){ (enum blob_state)at[1], (int64_t)kvault__load_le64(at + 8), kvault__load_le64(at + 16) };
    return KVAULT_OK;
}

kvault_status kvault__blob_record_get(struct reading *read, uint64_t blob_id, struct blob_record *ret_record,
                                      kvault_error *reterr)
{
    struct record_key key = key_of(blob_id);
    uint8_t bytes[RECORD_BYTES];
    struct storage_op op = { .kind = STORAGE_GET,
                             .space = kvault__space_fixed(read->engine, STORAGE_BLOBS),
                             .key = { key.bytes, sizeof key.bytes },
                             .dest = bytes,
                             .dest_size = sizeof bytes };
    kvault_status rc;

    TRY(kvault__read_run(read, &op, 1, reterr));
    if (op.outcome == STORAGE_MISSING)
        return KVAULT_NOT_FOUND;
    return decode_record(blob_id, (kvault_slice){ bytes, op.cell.size > RECORD_BYTES ? 0 : (size_t)op.cell.size },
                         ret_record, reterr);
out:
    return rc;
}

kvault_status kvault__blob_record_put(struct writing *write, uint64_t blob_id, enum blob_state state, uint64_t size,
                                      kvault_error *reterr)
{
    struct record_key key = key_of(blob_id);
    uint8_t bytes[RECORD_BYTES] = { RECORD_VERSION, (uint8_t)state };
    struct storage_op op = { .kind = STORAGE_PUT,
                             .space = kvault__space_fixed(write->engine, STORAGE_BLOBS),
                             .key = { key.bytes, sizeof key.bytes },
                             .cell = { .value = { bytes, sizeof bytes }, .size = sizeof bytes } };

    kvault__store_le64(bytes + 8, (uint64_t)kvault__wall_ms());
    kvault__store_le64(bytes + 16, size);
    kvault__store_le64(bytes + 24, kvault__record_checksum(STORAGE_BLOBS, blob_id, (kvault_slice){ bytes, 24 }));
    return kvault__write_run(write, &op, 1, reterr);
}

kvault_status kvault__blob_record_delete(struct writing *write, uint64_t blob_id, kvault_error *reterr)
{
    struct record_key key = key_of(blob_id);
    struct storage_op op = { .kind = STORAGE_DELETE,
                             .space = kvault__space_fixed(write->engine, STORAGE_BLOBS),
                             .key = { key.bytes, sizeof key.bytes } };

    return kvault__write_run(write, &op, 1, reterr);
}

/* ---- pieces ---- */

kvault_status kvault__pieces_write(struct writing *write, uint64_t blob_id, uint32_t seq, kvault_slice data,
                                   kvault_error *reterr)
{
    const uint8_t *from = data.data;
    size_t rest = data.size;
    uint8_t *image = NULL;
    kvault_status rc = KVAULT_OK;

    if (!rest)
        return KVAULT_OK;
    image = kvault__alloc(PIECE_IMAGE);
    if (!image)
        return kvault__fail_nomem(reterr, PIECE_IMAGE);
    for (; rest; seq++) {
        uint32_t part = rest < PIECE_DATA ? (uint32_t)rest : PIECE_DATA;
        struct storage_op op = { .kind = STORAGE_CHUNK_PUT, .family = STORAGE_PIECES, .owner = blob_id, .seq = seq };

        kvault__blocks_encode((struct block_place){ STORAGE_PIECES, blob_id, seq }, 0, from, part, image);
        op.cell.value = (kvault_slice){ image, kvault__blocks_image_size(part) };
        TRY(kvault__write_run(write, &op, 1, reterr));
        from += part;
        rest -= part;
    }
out:
    kvault__free(image);
    return rc;
}

static kvault_status fail_missing(uint64_t blob_id, uint32_t seq, bool may_be_gone, kvault_error *reterr)
{
    if (may_be_gone)
        return kvault__fail(
            reterr, KVAULT_E_IO,
            "the value was replaced or deleted more than a minute ago while it was read; open it again");
    return kvault__fail(reterr, KVAULT_E_CORRUPT, "piece %u of blob %llu is missing or too short", seq,
                        (unsigned long long)blob_id);
}

/* ---- reading ----
 * Pieces are read a few at a time, each block checked before its data is used. A whole piece is read
 * straight to where its data goes, as long as there is room: an image is longer than its data, so each one lies
 * further behind than the last, and the data then moves down block by block. The others go by a spare buffer. */

#define GROUP_PIECES 8
#define SPARES 2 /* a range has a first and a last piece of which it wants a part */

struct piece_group {
    struct storage_op ops[GROUP_PIECES];
    struct piece_part {
        uint32_t skip, size; /* bytes [skip, skip + size) of the piece */
        uint8_t *to;
    } parts[GROUP_PIECES];
    size_t count;
    uint64_t size;
};

static void group_add(struct piece_group *group, uint64_t blob_id, uint64_t offset, uint32_t size, uint8_t *to,
                      void *image)
{
    uint32_t skip = (uint32_t)(offset % PIECE_DATA);
    uint32_t first = skip / KVAULT_BLOCK_DATA, last = (skip + size - 1) / KVAULT_BLOCK_DATA;

    group->parts[group->count] = (struct piece_part){ skip, size, to };
    group->ops[group->count++] = (struct storage_op){ .kind = STORAGE_CHUNK_GET,
                                                      .family = STORAGE_PIECES,
                                                      .owner = blob_id,
                                                      .seq = (uint32_t)(offset / PIECE_DATA),
                                                      .offset = first * KVAULT_BLOCK_BYTES,
                                                      .size = (last - first + 1) * KVAULT_BLOCK_BYTES,
                                                      .dest = image,
                                                      .dest_size = PIECE_IMAGE };
    group->size += size;
}

/* As many pieces of the range as there is room for. */
static void group_plan(struct piece_group *group, uint64_t blob_id, uint64_t offset, uint8_t *to, size_t size,
                       uint8_t *spare)
{
    uint8_t *image = to; /* where the next one may lie: not below where its data goes */
    int spares = 0;

    group->count = 0;
    group->size = 0;
    while (group->size < size && group->count < GROUP_PIECES) {
        uint64_t at = offset + group->size, rest = size - group->size;
        uint32_t whole = PIECE_DATA - (uint32_t)(at % PIECE_DATA), part = rest < whole ? (uint32_t)rest : whole;

        if (part == PIECE_DATA && (size_t)(to + size - image) >= PIECE_IMAGE) {
            group_add(group, blob_id, at, part, to + group->size, image);
            image += PIECE_IMAGE;
        } else if (spares < SPARES) {
            group_add(group, blob_id, at, part, to + group->size, spare + (size_t)spares++ * PIECE_IMAGE);
            image += part;
        } else {
            return;
        }
    }
}

static kvault_status decode_part(const struct storage_op *op, const struct piece_part *part, bool may_be_gone,
                                 kvault_error *reterr)
{
    uint32_t first = op->offset / KVAULT_BLOCK_BYTES, skip = part->skip - first * KVAULT_BLOCK_DATA;
    char what[200] = "";
    kvault_status rc;

    if (op->outcome != STORAGE_DONE || kvault__blocks_data_size(op->got) < (uint64_t)skip + part->size)
        return fail_missing(op->owner, op->seq, may_be_gone && op->outcome != STORAGE_DONE, reterr);
    rc = kvault__blocks_decode((struct block_place){ STORAGE_PIECES, op->owner, op->seq }, first, op->dest, op->got,
                               skip, part->to, part->size, reterr);
    if (rc < 0) {
        if (reterr)
            memcpy(what, reterr->message, sizeof what - 1);
        rc = kvault__fail(reterr, KVAULT_E_CORRUPT, "piece %u of blob %llu is damaged: %s", op->seq,
                          (unsigned long long)op->owner, what);
    }
    return rc;
}

kvault_status kvault__pieces_read(struct reading *read, uint64_t blob_id, uint64_t offset, void *dest, size_t size,
                                  bool may_be_gone, kvault_error *reterr)
{
    uint8_t *to = dest, *spare;
    struct piece_group group;
    kvault_status rc = KVAULT_OK;

    if (!size)
        return KVAULT_OK;
    spare = kvault__alloc(SPARES * PIECE_IMAGE);
    if (!spare)
        return kvault__fail_nomem(reterr, SPARES * PIECE_IMAGE);
    while (size) {
        group_plan(&group, blob_id, offset, to, size, spare);
        TRY(kvault__read_run(read, group.ops, group.count, reterr));
        for (size_t i = 0; i < group.count; i++)
            TRY(decode_part(&group.ops[i], &group.parts[i], may_be_gone, reterr));
        to += group.size;
        offset += group.size;
        size -= (size_t)group.size;
    }
out:
    kvault__free(spare);
    return rc;
}

kvault_status kvault__pieces_truncate(struct writing *write, uint64_t blob_id, uint64_t size, kvault_error *reterr)
{
    uint32_t whole = (uint32_t)(size / PIECE_DATA), part = (uint32_t)(size % PIECE_DATA);
    struct reading read = kvault__kv_reading_of(write);
    struct storage_op op = { .kind = STORAGE_CHUNK_DELETE,
                             .family = STORAGE_PIECES,
                             .owner = blob_id,
                             .seq = whole + (part ? 1 : 0),
                             .seq_end = UINT32_MAX };
    uint8_t *data = NULL;
    kvault_status rc;

    TRY(kvault__write_run(write, &op, 1, reterr));
    if (!part)
        goto out;
    data = kvault__alloc(part);
    if (!data) {
        rc = kvault__fail_nomem(reterr, part);
        goto out;
    }
    TRY(kvault__pieces_read(&read, blob_id, (uint64_t)whole * PIECE_DATA, data, part, false, reterr));
    TRY(kvault__pieces_write(write, blob_id, whole, (kvault_slice){ data, part }, reterr));
out:
    kvault__free(data);
    return rc;
}

/* ---- sweeping ---- */

/* Delete a blob's pieces, a few a transaction, its record with the last ones. */
static kvault_status delete_blob(kvault *vault, uint64_t blob_id)
{
    struct storage_op op = { .kind = STORAGE_CHUNK_DELETE, .family = STORAGE_PIECES, .owner = blob_id };
    struct writing write;
    kvault_error err;
    kvault_status rc;

    do {
        rc = kvault__write_begin(vault, WRITING_SILENT, "sweep", &write, &err);
        if (rc < 0)
            return rc;
        op.seq_end = op.seq + SWEEP_PIECES;
        rc = kvault__write_run(&write, &op, 1, &err);
        if (rc >= 0 && op.outcome == STORAGE_MISSING)
            rc = kvault__blob_record_delete(&write, blob_id, &err);
        rc = kvault__write_end(&write, rc, &err);
        op.seq = op.seq_end;
    } while (rc >= 0 && op.outcome != STORAGE_MISSING);
    return rc;
}

/* What a dead appender left behind the published size. */
static kvault_status settle_append(kvault *vault, uint64_t blob_id, uint64_t size)
{
    struct writing write;
    kvault_error err;
    kvault_status rc = kvault__write_begin(vault, WRITING_SILENT, "sweep", &write, &err);

    if (rc < 0)
        return rc;
    rc = kvault__pieces_truncate(&write, blob_id, size, &err);
    if (rc >= 0)
        rc = kvault__blob_record_delete(&write, blob_id, &err);
    return kvault__write_end(&write, rc, &err);
}

static void settle(kvault *vault, uint64_t blob_id, const struct blob_record *record)
{
    /* Best effort: what fails now is found again by the next sweep. */
    if (record->state == BLOB_APPENDING)
        (void)settle_append(vault, blob_id, record->size);
    else
        (void)delete_blob(vault, blob_id);
}

struct sweep {
    struct {
        uint64_t blob_id;
        struct blob_record record;
    } rows[SWEEP_ROWS];
    size_t count;
    uint64_t retired_bytes;
};

static kvault_status note_row(void *ctx, kvault_slice key, const struct storage_cell *cell, kvault_error *reterr)
{
    struct sweep *sweep = ctx;
    struct blob_record record;
    uint64_t blob_id = kvault__load_be64(key.data);

    if (decode_record(blob_id, cell->value, &record, reterr) < 0)
        return KVAULT_OK; /* verify() reports it; sweeping must not guess */
    sweep->rows[sweep->count].blob_id = blob_id;
    sweep->rows[sweep->count++].record = record;
    if (record.state == BLOB_RETIRED)
        sweep->retired_bytes += record.size;
    return sweep->count == SWEEP_ROWS ? KVAULT_END : KVAULT_OK;
}

/* Position of the oldest retired row that may go; SWEEP_ROWS if none. */
static size_t pick_retired(const struct sweep *sweep, struct engine *engine, int64_t now)
{
    size_t oldest = SWEEP_ROWS;

    for (size_t i = 0; i < sweep->count; i++) {
        const struct blob_record *record = &sweep->rows[i].record;
        /* A time ahead of ours is a clock that jumped: count it as old. */
        bool aged = now - record->time_ms > RETIRED_KEPT_MS || record->time_ms - now > RETIRED_KEPT_MS;

        if (record->state != BLOB_RETIRED || (!aged && sweep->retired_bytes <= RETIRED_KEPT_BYTES) ||
            kvault__blob_is_held(engine, sweep->rows[i].blob_id))
            continue;
        if (oldest == SWEEP_ROWS || record->time_ms < sweep->rows[oldest].record.time_ms)
            oldest = i;
    }
    return oldest;
}

static kvault_status look_up(kvault *vault, struct sweep *sweep, kvault_error *reterr)
{
    struct storage_range range = { .with_values = true, .limit = SWEEP_ROWS };
    struct reading read;
    kvault_status rc;

    range.space = kvault__space_fixed(kvault__engine(vault), STORAGE_BLOBS);
    TRY(kvault__read_begin(vault, false, &read, reterr));
    rc = read.backend->scan(read.conn, &range, &read.wait, note_row, sweep, reterr);
    kvault__read_end(&read);
out:
    return rc;
}

void kvault__blobs_sweep(kvault *vault)
{
    struct engine *engine = kvault__engine(vault);
    struct sweep *sweep;
    int64_t now = kvault__wall_ms();
    uint64_t abandoned;
    kvault_error ignored;
    size_t at;

    if (kvault__in_transaction(vault))
        return;
    sweep = kvault__alloc_zero(1, sizeof *sweep);
    if (!sweep || look_up(vault, sweep, &ignored) < 0) {
        kvault__free(sweep);
        return;
    }
    while ((at = pick_retired(sweep, engine, now)) < SWEEP_ROWS) {
        settle(vault, sweep->rows[at].blob_id, &sweep->rows[at].record);
        sweep->retired_bytes -= sweep->rows[at].record.size;
        sweep->rows[at].record.state = 0; /* done with */
    }
    for (size_t i = 0; i < sweep->count; i++)
        if (sweep->rows[i].record.state && sweep->rows[i].record.state != BLOB_RETIRED &&
            now - sweep->rows[i].record.time_ms > SILENT_MS)
            settle(vault, sweep->rows[i].blob_id, &sweep->rows[i].record);
    while ((abandoned = kvault__blob_take_abandoned(engine)))
        for (size_t i = 0; i < sweep->count; i++)
            if (sweep->rows[i].blob_id == abandoned && sweep->rows[i].record.state &&
                sweep->rows[i].record.state != BLOB_RETIRED)
                settle(vault, abandoned, &sweep->rows[i].record);
    kvault__free(sweep);
}
