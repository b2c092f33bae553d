/* record.c - the records of col_meta and col_names.
 *
 *     col_meta, little-endian, the id is the row's:
 *      0 version u8 = 1 | 1 listed u8 | 2 codec u8 = 0 | 3 zero u8
 *      4 element size u32 | 8 stored u64 | 16 revision u64 | 24 bytes u64 | 32 slack u64
 *     40 chunk min u32 | 44 chunk max u32 | 48 next chunk u32 | 52 list blocks u32
 *     56 schema size u32 | 60 tail size u32 | 64 name size u16 | 66 dtype size u16 | 68 birth u32
 *     72 name | dtype | tail | XXH3 u64 of all before, with the id
 *
 *     A column that has a tail has room for all of it always, zeros behind its elements: a record that keeps its size
 *     is overwritten where it lies, and SQLite moves nothing in the page.
 *
 *     col_names, the name is the row's key:
 *      0 id u64 | 8 XXH3 u64 of name and id
 *
 * Whatever is read is checked: sum, version, every size against its limit. */
#include <string.h>

#include "base/bytes.h"
#include "codec/text.h"
#include "column/column_state.h"
#include "base/banned.h"

#define HEADER_BYTES 72u
#define SUM_BYTES 8u
#define RECORD_BYTES_MAX (HEADER_BYTES + COLUMN_NAME_BYTES_MAX + KVAULT_DTYPE_TEXT_MAX + COLUMN_TAIL_BYTES + SUM_BYTES)
#define NAME_RECORD_BYTES 16u

/* ---- col_meta ---- */

static kvault_status damaged(uint64_t id, const char *what, kvault_error *reterr)
{
    return kvault__fail(reterr, KVAULT_E_CORRUPT, "the record of column %llu (col_meta) is damaged: %s",
                        (unsigned long long)id, what);
}

static uint32_t tail_room(const struct column_meta *meta)
{
    return kvault__has_tail(meta) ? COLUMN_TAIL_BYTES : 0;
}

static bool is_plausible(const struct column_meta *meta)
{
    bool whole_tail = meta->elem_size ? meta->tail_size % meta->elem_size == 0 : meta->tail_size == 0;

    return meta->elem_size <= KVAULT_DTYPE_SIZE_MAX && meta->stored <= KVAULT_COLUMN_LENGTH_MAX && meta->chunk_max &&
           meta->chunk_max % KVAULT_BLOCK_BYTES == 0 && meta->chunk_min % KVAULT_BLOCK_BYTES == 0 &&
           meta->chunk_min <= meta->chunk_max && meta->chunk_max <= 2 * KVAULT_CHUNK_BYTES_MAX && meta->next_seq &&
           meta->slack <= meta->bytes && whole_tail && (meta->listed || meta->elem_size) &&
           kvault__chunk_data_max(meta) >= meta->elem_size && meta->schema_size <= KVAULT_SCHEMA_BYTES_MAX;
}

kvault_status kvault__meta_decode(uint64_t id, kvault_slice record, struct column_meta *ret_meta, kvault_error *reterr)
{
    const uint8_t *at = record.data;
    struct column_meta *meta = ret_meta;
    size_t body;

    if (record.size < HEADER_BYTES + SUM_BYTES)
        return damaged(id, "it is too short", reterr);
    body = record.size - SUM_BYTES;
    if (kvault__load_le64(at + body) != kvault__record_checksum(STORAGE_COLUMNS, id, (kvault_slice){ at, body }))
        return damaged(id, "its checksum does not match", reterr);
    if (at[0] != 1 || at[1] > 1 || at[2] || at[3])
        return damaged(id, "it is of an unknown version", reterr);
    meta->id = id;
    meta->listed = at[1];
    meta->elem_size = kvault__load_le32(at + 4);
    meta->stored = kvault__load_le64(at + 8);
    meta->revision = kvault__load_le64(at + 16);
    meta->bytes = kvault__load_le64(at + 24);
    meta->slack = kvault__load_le64(at + 32);
    meta->chunk_min = kvault__load_le32(at + 40);
    meta->chunk_max = kvault__load_le32(at + 44);
    meta->next_seq = kvault__load_le32(at + 48);
    meta->list_blocks = kvault__load_le32(at + 52);
    meta->schema_size = kvault__load_le32(at + 56);
    meta->tail_size = kvault__load_le32(at + 60);
    meta->name_size = kvault__load_le16(at + 64);
    meta->dtype_size = kvault__load_le16(at + 66);
    meta->birth = kvault__load_le32(at + 68);
    if (meta->name_size > COLUMN_NAME_BYTES_MAX || meta->dtype_size > KVAULT_DTYPE_TEXT_MAX ||
        meta->tail_size > COLUMN_TAIL_BYTES ||
        body != (size_t)HEADER_BYTES + meta->name_size + meta->dtype_size + tail_room(meta) ||
        meta->tail_size > tail_room(meta) || !is_plausible(meta))
        return damaged(id, "its sizes make no sense", reterr);
    at += HEADER_BYTES;
    memcpy(meta->name, at, meta->name_size);
    meta->name[meta->name_size] = 0;
    memcpy(meta->dtype, at + meta->name_size, meta->dtype_size);
    meta->dtype[meta->dtype_size] = 0;
    if (meta->tail_size)
        memcpy(meta->tail, at + meta->name_size + meta->dtype_size, meta->tail_size);
    return KVAULT_OK;
}

static size_t encode(const struct column_meta *meta, uint8_t to[RECORD_BYTES_MAX])
{
    size_t size = HEADER_BYTES;

    memset(to, 0, HEADER_BYTES);
    to[0] = 1;
    to[1] = meta->listed;
    kvault__store_le32(to + 4, meta->elem_size);
    kvault__store_le64(to + 8, meta->stored);
    kvault__store_le64(to + 16, meta->revision);
    kvault__store_le64(to + 24, meta->bytes);
    kvault__store_le64(to + 32, meta->slack);
    kvault__store_le32(to + 40, meta->chunk_min);
    kvault__store_le32(to + 44, meta->chunk_max);
    kvault__store_le32(to + 48, meta->next_seq);
    kvault__store_le32(to + 52, meta->list_blocks);
    kvault__store_le32(to + 56, meta->schema_size);
    kvault__store_le32(to + 60, meta->tail_size);
    kvault__store_le16(to + 64, meta->name_size);
    kvault__store_le16(to + 66, meta->dtype_size);
    kvault__store_le32(to + 68, meta->birth);
    memcpy(to + size, meta->name, meta->name_size);
    size += meta->name_size;
    memcpy(to + size, meta->dtype, meta->dtype_size);
    size += meta->dtype_size;
    memcpy(to + size, meta->tail, meta->tail_size);
    if (tail_room(meta))
        memset(to + size + meta->tail_size, 0, tail_room(meta) - meta->tail_size);
    size += tail_room(meta);
    kvault__store_le64(to + size, kvault__record_checksum(STORAGE_COLUMNS, meta->id, (kvault_slice){ to, size }));
    return size + SUM_BYTES;
}

static struct storage_op meta_op(const struct column_io *io, enum storage_op_kind kind, uint64_t id, uint8_t key[8])
{
    kvault__store_be64(key, id);
    return (struct storage_op){ .kind = kind,
                                .space = kvault__space_fixed(io->read.engine, STORAGE_COLUMNS),
                                .key = { key, 8 } };
}

kvault_status kvault__meta_load(struct column_io *io, uint64_t id, struct column_meta *ret_meta, kvault_error *reterr)
{
    uint8_t key[8], record[RECORD_BYTES_MAX];
    struct storage_op op = meta_op(io, STORAGE_GET, id, key);
    kvault_status rc;

    op.dest = record;
    op.dest_size = sizeof record;
    TRY(kvault__io_run(io, &op, reterr));
    if (op.outcome == STORAGE_MISSING)
        return KVAULT_NOT_FOUND;
    if (op.outcome != STORAGE_DONE)
        return damaged(id, "it is too long", reterr);
    TRY(kvault__meta_decode(id, op.cell.value, ret_meta, reterr));
out:
    return rc;
}

kvault_status kvault__meta_store(struct column_io *io, const struct column_meta *meta, kvault_error *reterr)
{
    uint8_t key[8], record[RECORD_BYTES_MAX];
    struct storage_op op = meta_op(io, STORAGE_PUT, meta->id, key);

    op.cell.size = encode(meta, record);
    op.cell.value = (kvault_slice){ record, (size_t)op.cell.size };
    return kvault__io_run(io, &op, reterr);
}

kvault_status kvault__meta_delete(struct column_io *io, uint64_t id, kvault_error *reterr)
{
    uint8_t key[8];
    struct storage_op op = meta_op(io, STORAGE_DELETE, id, key);

    return kvault__io_run(io, &op, reterr);
}

/* ---- col_names ---- */

static struct storage_op name_op(const struct column_io *io, enum storage_op_kind kind, kvault_slice name)
{
    return (struct storage_op){ .kind = kind,
                                .space = kvault__space_fixed(io->read.engine, STORAGE_COLUMN_NAMES),
                                .key = name };
}

kvault_status kvault__name_decode(const struct storage_space *names, kvault_slice name, kvault_slice record,
                                  uint64_t *ret_id, kvault_error *reterr)
{
    const uint8_t *at = record.data;

    if (record.size != NAME_RECORD_BYTES ||
        kvault__load_le64(at + 8) != kvault__value_checksum(names, name, (kvault_slice){ at, 8 }))
        return kvault__fail(reterr, KVAULT_E_CORRUPT,
                            "the name \"%.*s\" (col_names) is damaged: its checksum does not match",
                            (int)(name.size < 255 ? name.size : 255), (const char *)name.data);
    *ret_id = kvault__load_le64(at);
    return KVAULT_OK;
}

kvault_status kvault__name_load(struct column_io *io, kvault_slice name, uint64_t *ret_id, kvault_error *reterr)
{
    uint8_t record[NAME_RECORD_BYTES];
    struct storage_op op = name_op(io, STORAGE_GET, name);
    kvault_status rc;

    TRY(kvault__io_columns(io, false, reterr));
    if (rc == KVAULT_NOT_FOUND)
        return rc;
    op.dest = record;
    op.dest_size = sizeof record;
    TRY(kvault__io_run(io, &op, reterr));
    if (op.outcome == STORAGE_MISSING)
        return KVAULT_NOT_FOUND;
    op.cell.value.size = op.outcome == STORAGE_DONE ? (size_t)op.cell.size : 0;
    TRY(kvault__name_decode(op.space, name, (kvault_slice){ record, op.cell.value.size }, ret_id, reterr));
out:
    return rc;
}

kvault_status kvault__name_store(struct column_io *io, kvault_slice name, uint64_t id, kvault_error *reterr)
{
    uint8_t record[NAME_RECORD_BYTES];
    struct storage_op op = name_op(io, STORAGE_PUT, name);

    kvault__store_le64(record, id);
    kvault__store_le64(record + 8, kvault__value_checksum(op.space, name, (kvault_slice){ record, 8 }));
    op.cell.value = (kvault_slice){ record, sizeof record };
    op.cell.size = sizeof record;
    return kvault__io_run(io, &op, reterr);
}

kvault_status kvault__name_delete(struct column_io *io, kvault_slice name, kvault_error *reterr)
{
    struct storage_op op = name_op(io, STORAGE_DELETE, name);

    return kvault__io_run(io, &op, reterr);
}

/* ---- io and shapes ---- */

struct column_io kvault__io_of_writing(struct writing *write)
{
    return (struct column_io){ .write = write,
                               .read = { .backend = write->backend,
                                         .engine = write->engine,
                                         .vault = write->vault,
                                         .conn = write->conn,
                                         .wait = write->wait } };
}

void kvault__io_release(struct column_io *io)
{
    kvault_buf_free(&io->image);
}

kvault_status kvault__io_columns(struct column_io *io, bool create, kvault_error *reterr)
{
    return io->read.backend->columns(io->read.conn, create, &io->read.wait, reterr);
}

kvault_status kvault__io_run(struct column_io *io, struct storage_op *op, kvault_error *reterr)
{
    bool reads = op->kind == STORAGE_GET || op->kind == STORAGE_CHUNK_GET;

    return reads ? kvault__read_run(&io->read, op, 1, reterr) : kvault__write_run(io->write, op, 1, reterr);
}

uint32_t kvault__chunk_data_max(const struct column_meta *meta)
{
    return meta->chunk_max / KVAULT_BLOCK_BYTES * KVAULT_BLOCK_DATA;
}

kvault_status kvault__next_seq(struct column_meta *meta, uint32_t count, uint32_t *ret_seq, kvault_error *reterr)
{
    if (count > COLUMN_SEQ_MAX - meta->next_seq)
        return kvault__fail(reterr, KVAULT_E_TOOBIG, "column \"%s\" has used up its %u chunk numbers", meta->name,
                            COLUMN_SEQ_MAX);
    *ret_seq = meta->next_seq;
    meta->next_seq += count;
    return KVAULT_OK;
}

kvault_status kvault__in_column(kvault_status rc, const struct column_meta *meta, uint32_t seq, uint64_t first,
                                uint64_t count, kvault_error *reterr)
{
    char what[200] = "";

    if (rc != KVAULT_E_CORRUPT || !reterr)
        return rc;
    memcpy(what, reterr->message, sizeof what - 1);
    if (!count)
        return kvault__fail(reterr, rc, "column \"%.100s\" is damaged, chunk list, chunk %u: %s",
                            (const char *)meta->name, seq, what);
    return kvault__fail(reterr, rc, "column \"%.100s\" is damaged, chunk %u, elements %llu to %llu: %s",
                        (const char *)meta->name, seq, (unsigned long long)first,
                        (unsigned long long)(first + count - 1), what);
}
