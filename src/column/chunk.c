/* chunk.c - see chunk.h. */
#include "column/chunk.h"

#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/banned.h"

static struct storage_op chunk_op(enum storage_op_kind kind, uint64_t id, uint32_t seq)
{
    return (struct storage_op){ .kind = kind, .family = STORAGE_CHUNKS, .owner = id, .seq = seq };
}

static struct block_place place_of(uint64_t id, uint32_t seq)
{
    return (struct block_place){ STORAGE_CHUNKS, id, seq };
}

/* Scratch for an image of so many bytes. */
static kvault_status need_image(struct column_io *io, size_t size, kvault_error *reterr)
{
    io->image.size = 0;
    return kvault__buf_reserve(&io->image, size, reterr);
}

/* The image of blocks [block, end) of the chunk into io->image. */
static kvault_status load_image(struct column_io *io, uint64_t id, uint32_t seq, uint32_t block, uint32_t end,
                                uint32_t *ret_bytes, uint32_t *ret_chunk_bytes, kvault_error *reterr)
{
    struct storage_op op = chunk_op(STORAGE_CHUNK_GET, id, seq);
    kvault_status rc;

    op.offset = block * KVAULT_BLOCK_BYTES;
    op.size = (end - block) * KVAULT_BLOCK_BYTES;
    TRY(need_image(io, op.size, reterr));
    op.dest = io->image.data;
    op.dest_size = op.size;
    TRY(kvault__io_run(io, &op, reterr));
    if (op.outcome != STORAGE_DONE) {
        rc = kvault__fail(reterr, KVAULT_E_CORRUPT, "the chunk is missing");
        goto out;
    }
    *ret_bytes = op.got;
    *ret_chunk_bytes = op.chunk_size;
out:
    return rc;
}

kvault_status kvault__chunk_read(struct column_io *io, uint64_t id, uint32_t seq, uint32_t offset, void *dest,
                                 uint32_t size, kvault_error *reterr)
{
    uint32_t block = offset / KVAULT_BLOCK_DATA, bytes = 0, chunk_bytes = 0;
    uint32_t end = (uint32_t)(((uint64_t)offset + size + KVAULT_BLOCK_DATA - 1) / KVAULT_BLOCK_DATA);
    kvault_status rc = KVAULT_OK;

    if (!size)
        return KVAULT_OK;
    TRY(load_image(io, id, seq, block, end, &bytes, &chunk_bytes, reterr));
    TRY(kvault__blocks_decode(place_of(id, seq), block, io->image.data, bytes, offset - block * KVAULT_BLOCK_DATA, dest,
                              size, reterr));
out:
    return rc;
}

kvault_status kvault__chunk_size(struct column_io *io, uint64_t id, uint32_t seq, uint32_t *ret_size,
                                 kvault_error *reterr)
{
    struct storage_op op = chunk_op(STORAGE_CHUNK_GET, id, seq);
    kvault_status rc;

    TRY(kvault__io_run(io, &op, reterr));
    if (op.outcome != STORAGE_DONE) {
        rc = kvault__fail(reterr, KVAULT_E_CORRUPT, "the chunk is missing");
        goto out;
    }
    *ret_size = kvault__blocks_data_size(op.chunk_size);
    if (*ret_size == UINT32_MAX)
        rc = kvault__fail(reterr, KVAULT_E_CORRUPT, "%u bytes are no whole blocks", op.chunk_size);
out:
    return rc;
}

kvault_status kvault__chunk_put(struct column_io *io, uint64_t id, uint32_t seq, const void *data, uint32_t size,
                                kvault_error *reterr)
{
    struct storage_op op = chunk_op(STORAGE_CHUNK_PUT, id, seq);
    uint32_t bytes = kvault__blocks_image_size(size);
    kvault_status rc;

    TRY(need_image(io, bytes, reterr));
    kvault__blocks_encode(place_of(id, seq), 0, data, size, io->image.data);
    op.cell.value = (kvault_slice){ io->image.data, bytes };
    TRY(kvault__io_run(io, &op, reterr));
out:
    return rc;
}

/* The data of blocks [block, end) as it will be: what is there, with the new bytes over it. */
static kvault_status merge_blocks(struct column_io *io, uint64_t id, uint32_t seq, uint32_t block, uint32_t end,
                                  uint32_t skip, kvault_slice bytes, uint8_t **ret_data, uint32_t *ret_size,
                                  kvault_error *reterr)
{
    uint32_t image_bytes = 0, chunk_bytes = 0, size;
    uint8_t *data = NULL;
    kvault_status rc;

    TRY(load_image(io, id, seq, block, end, &image_bytes, &chunk_bytes, reterr));
    size = kvault__blocks_data_size(image_bytes);
    if (size == UINT32_MAX || size < skip || size - skip < bytes.size) {
        rc = kvault__fail(reterr, KVAULT_E_CORRUPT, "the chunk is only %u bytes long", chunk_bytes);
        goto out;
    }
    data = kvault__alloc(size);
    if (!data) {
        rc = kvault__fail_nomem(reterr, size);
        goto out;
    }
    TRY(kvault__blocks_decode(place_of(id, seq), block, io->image.data, image_bytes, 0, data, size, reterr));
    memcpy(data + skip, bytes.data, bytes.size);
    *ret_data = data;
    *ret_size = size;
    return KVAULT_OK;
out:
    kvault__free(data);
    return rc;
}

kvault_status kvault__chunk_patch(struct column_io *io, uint64_t id, uint32_t seq, uint32_t offset, const void *data,
                                  uint32_t size, kvault_error *reterr)
{
    struct storage_op op = chunk_op(STORAGE_CHUNK_WRITE, id, seq);
    uint32_t block = offset / KVAULT_BLOCK_DATA, merged_size = 0;
    uint32_t end = (uint32_t)(((uint64_t)offset + size + KVAULT_BLOCK_DATA - 1) / KVAULT_BLOCK_DATA);
    uint8_t *merged = NULL;
    kvault_status rc = KVAULT_OK;

    if (!size)
        return KVAULT_OK;
    TRY(merge_blocks(io, id, seq, block, end, offset - block * KVAULT_BLOCK_DATA, (kvault_slice){ data, size }, &merged,
                     &merged_size, reterr));
    TRY(need_image(io, kvault__blocks_image_size(merged_size), reterr));
    kvault__blocks_encode(place_of(id, seq), block, merged, merged_size, io->image.data);
    op.offset = block * KVAULT_BLOCK_BYTES;
    op.cell.value = (kvault_slice){ io->image.data, kvault__blocks_image_size(merged_size) };
    TRY(kvault__io_run(io, &op, reterr));
    if (op.outcome != STORAGE_DONE)
        rc = kvault__fail(reterr, KVAULT_E_CORRUPT, "the chunk is missing");
out:
    kvault__free(merged);
    return rc;
}

kvault_status kvault__chunk_delete(struct column_io *io, uint64_t id, uint32_t seq, uint32_t seq_end,
                                   kvault_error *reterr)
{
    struct storage_op op = chunk_op(STORAGE_CHUNK_DELETE, id, seq);

    op.seq_end = seq_end;
    return seq < seq_end ? kvault__io_run(io, &op, reterr) : KVAULT_OK;
}
