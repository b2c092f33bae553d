/* tail.c - see tail.h. */
#include "column/tail.h"

#include <string.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/banned.h"

#define ROW_HEADER 4u
#define ROW_SUM 8u
#define PAGE_ROWS 256u

kvault_status kvault__result_reserve(kvault_result *result, uint64_t count, uint64_t bytes, kvault_error *reterr)
{
    static const uint64_t zero = 0;
    kvault_status rc;

    if (count > SIZE_MAX / sizeof zero - 1 || bytes > SIZE_MAX / 2)
        return kvault__fail(reterr, KVAULT_E_TOOBIG, "%llu elements of %llu bytes exceed memory",
                            (unsigned long long)count, (unsigned long long)bytes);
    TRY(kvault__buf_reserve(&result->offsets, (size_t)(count + 1) * sizeof zero, reterr));
    TRY(kvault__buf_reserve(&result->data, (size_t)bytes, reterr));
    if (!result->offsets.size)
        TRY(kvault__buf_append(&result->offsets, &zero, sizeof zero, reterr));
out:
    return rc;
}

kvault_status kvault__result_end(kvault_result *result, kvault_error *reterr)
{
    uint64_t end = result->data.size;

    result->count++;
    return kvault__buf_append(&result->offsets, &end, sizeof end, reterr);
}

kvault_status kvault__result_add(kvault_result *result, kvault_slice element, kvault_error *reterr)
{
    kvault_status rc;

    TRY(kvault__result_reserve(result, 1, element.size, reterr));
    TRY(kvault__buf_append(&result->data, element.data, element.size, reterr));
    TRY(kvault__result_end(result, reterr));
out:
    return rc;
}

static uint64_t row_key(const struct column_meta *meta, uint64_t n, uint8_t key[8])
{
    kvault__store_be64(key, meta->id << 32 | n);
    return meta->id << 32 | n;
}

static kvault_status damaged(const struct column_meta *meta, uint64_t n, const char *what, kvault_error *reterr)
{
    return kvault__fail(reterr, KVAULT_E_CORRUPT, "column \"%.100s\" is damaged, tail, element %llu: %s",
                        (const char *)meta->name, (unsigned long long)(meta->stored + n), what);
}

/* Check a row, and give its element and its bytes so far. */
static kvault_status decode_row(const struct column_meta *meta, uint64_t n, kvault_slice record,
                                kvault_slice *ret_element, uint32_t *ret_bytes, kvault_error *reterr)
{
    const uint8_t *at = record.data;
    size_t body;

    if (record.size < ROW_HEADER + ROW_SUM)
        return damaged(meta, n, "its row is too short", reterr);
    body = record.size - ROW_SUM;
    if (kvault__load_le64(at + body) !=
        kvault__record_checksum(STORAGE_COLUMN_TAILS, meta->id << 32 | n, (kvault_slice){ at, body }))
        return damaged(meta, n, "its checksum does not match", reterr);
    *ret_element = (kvault_slice){ at + ROW_HEADER, body - ROW_HEADER };
    *ret_bytes = kvault__load_le32(at);
    return KVAULT_OK;
}

/* ---- the last row ---- */

struct last_row {
    const struct column_meta *meta;
    struct tail_state state;
};

static kvault_status on_last(void *ctx, kvault_slice key, const struct storage_cell *cell, kvault_error *reterr)
{
    struct last_row *last = ctx;
    uint64_t n = kvault__load_be64(key.data) & UINT32_MAX;
    kvault_slice element;
    kvault_status rc;

    TRY(decode_row(last->meta, n, cell->value, &element, &last->state.bytes, reterr));
    last->state.count = n + 1;
out:
    return rc;
}

static kvault_status scan_rows(struct column_io *io, const struct column_meta *meta, uint64_t first, uint64_t end,
                               bool reverse, uint32_t limit, storage_row_fn row, void *ctx, kvault_error *reterr)
{
    uint8_t low[8], high[8];
    kvault_slice start = { low, 8 }, stop = { high, 8 };
    struct storage_range range = { .space = kvault__space_fixed(io->read.engine, STORAGE_COLUMN_TAILS),
                                   .start = &start,
                                   .stop = &stop,
                                   .reverse = reverse,
                                   .with_values = true,
                                   .limit = limit };

    (void)row_key(meta, first, low);
    kvault__store_be64(high, (meta->id << 32) + end);
    return io->read.backend->scan(io->read.conn, &range, &io->read.wait, row, ctx, reterr);
}

kvault_status kvault__tail_state(struct column_io *io, const struct column_meta *meta, struct tail_state *ret_state,
                                 kvault_error *reterr)
{
    struct last_row last = { meta, { 0, 0 } };
    kvault_status rc;

    TRY(scan_rows(io, meta, 0, (uint64_t)UINT32_MAX + 1, true, 1, on_last, &last, reterr));
    *ret_state = last.state;
out:
    return rc;
}

/* ---- adding and dropping ---- */

kvault_status kvault__tail_add(struct column_io *io, const struct column_meta *meta, struct tail_state *state,
                               kvault_slice element, kvault_error *reterr)
{
    struct storage_op op = { .kind = STORAGE_PUT, .space = kvault__space_fixed(io->read.engine, STORAGE_COLUMN_TAILS) };
    uint32_t bytes = state->bytes + (uint32_t)element.size + ROW_HEADER;
    uint8_t key[8], sum[ROW_SUM], header[ROW_HEADER];
    uint64_t number = row_key(meta, state->count, key);
    kvault_status rc;

    io->image.size = 0;
    kvault__store_le32(header, bytes);
    TRY(kvault__buf_append(&io->image, header, sizeof header, reterr));
    TRY(kvault__buf_append(&io->image, element.data, element.size, reterr));
    kvault__store_le64(
        sum, kvault__record_checksum(STORAGE_COLUMN_TAILS, number, (kvault_slice){ io->image.data, io->image.size }));
    TRY(kvault__buf_append(&io->image, sum, sizeof sum, reterr));
    op.key = (kvault_slice){ key, sizeof key };
    op.cell.value = (kvault_slice){ io->image.data, io->image.size };
    op.cell.size = io->image.size;
    TRY(kvault__io_run(io, &op, reterr));
    state->count++;
    state->bytes = bytes;
out:
    return rc;
}

kvault_status kvault__tail_drop(struct column_io *io, const struct column_meta *meta, uint64_t first, uint64_t count,
                                kvault_error *reterr)
{
    struct storage_op op = { .kind = STORAGE_DELETE,
                             .space = kvault__space_fixed(io->read.engine, STORAGE_COLUMN_TAILS) };
    uint8_t key[8];
    kvault_status rc = KVAULT_OK;

    op.key = (kvault_slice){ key, sizeof key };
    for (uint64_t n = first; n < count; n++) {
        (void)row_key(meta, n, key);
        TRY(kvault__io_run(io, &op, reterr));
    }
out:
    return rc;
}

/* ---- reading ---- */

struct row_reader {
    const struct column_meta *meta;
    kvault_result *result;
    uint64_t next;
};

static kvault_status on_row(void *ctx, kvault_slice key, const struct storage_cell *cell, kvault_error *reterr)
{
    struct row_reader *reader = ctx;
    uint64_t n = kvault__load_be64(key.data) & UINT32_MAX;
    kvault_slice element;
    uint32_t bytes;
    kvault_status rc;

    if (n != reader->next)
        return damaged(reader->meta, reader->next, "its row is missing", reterr);
    TRY(decode_row(reader->meta, n, cell->value, &element, &bytes, reterr));
    TRY(kvault__result_add(reader->result, element, reterr));
    reader->next++;
out:
    return rc;
}

kvault_status kvault__tail_read(struct column_io *io, const struct column_meta *meta, uint64_t first, uint64_t count,
                                kvault_result *result, kvault_error *reterr)
{
    struct row_reader reader = { meta, result, first };
    uint64_t end = first + count;
    kvault_status rc = KVAULT_OK;

    while (reader.next < end) {
        uint64_t before = reader.next;

        TRY(scan_rows(io, meta, reader.next, end, false, PAGE_ROWS, on_row, &reader, reterr));
        if (reader.next == before) {
            rc = damaged(meta, before, "its row is missing", reterr);
            goto out;
        }
    }
out:
    return rc;
}
