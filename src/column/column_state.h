/* column_state.h - a column, and what the files of src/column/ share.
 *
 * A column of id C consists of
 *
 *     col_names   name -> C
 *     col_meta    C -> the record below, with the tail of a fixed-size column
 *     col_tail    C << 32 | n -> the newest elements of a variable-size column (tail.h)
 *     col_chunks  C << 32 | seq -> chunks of elements, pieces of large ones, the chunk list
 *
 * Elements [0, stored) lie in chunks, the others in the tail. Which chunk has which elements
 * tells the chunk list (chunk_list.h). Ids are never used again, but for those that a rollback took back; a handle
 * keeps the number drawn at the column's birth beside the id, so it can never read another column's bytes. */
#ifndef KVAULT_COLUMN_COLUMN_STATE_H
#define KVAULT_COLUMN_COLUMN_STATE_H

#include "base/fail.h"
#include "kohakuvault/column.h"
#include "vault/block.h"
#include "vault/engine.h"
#include "vault/structure.h"

#define COLUMN_NAME_BYTES_MAX 1020u /* 255 characters */
#define COLUMN_TAIL_BYTES 1024u     /* of a fixed-size column, in its record */
#define COLUMN_TAIL_ELEMENT_MAX 256u
#define COLUMN_SEQ_MAX (UINT32_MAX - 2) /* of chunks; above it the schema */
#define COLUMN_SEQ_SCHEMA (UINT32_MAX - 1)

/* The record of col_meta, decoded. */
struct column_meta {
    uint64_t id;
    uint64_t stored;               /* elements in chunks */
    uint64_t revision;             /* changes with every change of chunks, list or order: see view.h */
    uint64_t bytes;                /* variable size: of the elements in chunks, slack included */
    uint64_t slack;                /* of these, bytes that no element needs any more */
    uint32_t elem_size;            /* 0: variable size */
    uint32_t chunk_min, chunk_max; /* bytes of a chunk's image, whole blocks */
    uint32_t next_seq;             /* the next chunk number, never used before */
    uint32_t birth;                /* drawn when the column is made */
    uint32_t list_blocks;          /* blocks of the chunk list; without a list 0 */
    bool listed;                   /* there is a list; else chunk n has number n + 1, and all but the last are full */
    uint32_t schema_size;
    uint16_t name_size, dtype_size;
    uint32_t tail_size;                                                        /* bytes */
    uint8_t name[COLUMN_NAME_BYTES_MAX + 1], dtype[KVAULT_DTYPE_TEXT_MAX + 1]; /* with a NUL behind */
    uint8_t tail[COLUMN_TAIL_BYTES];
};

/* A connection for a read or a transaction, and scratch memory for one operation. */
struct column_io {
    struct reading read;
    struct writing *write; /* NULL: only reads */
    kvault_buf image;      /* of the chunk in hand */
};

struct kvault_column {
    kvault *vault;
    struct engine *engine;
    const struct storage_space *metas, *names, *tails;
    uint64_t id, hash; /* hash: kvault__column_hash() of all that is in it */
    uint32_t birth, elem_size, chunk_max;
    kvault_dtype dtype;
    bool known_dtype;
    char *dtype_text; /* owned */
    kvault_buf schema;
    struct column_cache *cache; /* read_cache.h */
};

/* ---- record.c ---- */
kvault_status kvault__meta_load(struct column_io *io, uint64_t id, struct column_meta *ret_meta,
                                kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__meta_store(struct column_io *io, const struct column_meta *meta,
                                 kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__meta_delete(struct column_io *io, uint64_t id, kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__meta_decode(uint64_t id, kvault_slice record, struct column_meta *ret_meta,
                                  kvault_error *reterr) KVAULT_MUST_USE;
/* The id that a name stands for. KVAULT_NOT_FOUND without words. */
kvault_status kvault__name_load(struct column_io *io, kvault_slice name, uint64_t *ret_id,
                                kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__name_store(struct column_io *io, kvault_slice name, uint64_t id,
                                 kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__name_delete(struct column_io *io, kvault_slice name, kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__name_decode(const struct storage_space *names, kvault_slice name, kvault_slice record,
                                  uint64_t *ret_id, kvault_error *reterr) KVAULT_MUST_USE;

/* ---- column_io ---- */
struct column_io kvault__io_of_writing(struct writing *write);
void kvault__io_release(struct column_io *io);
/* KVAULT_NOT_FOUND, without words: the file, another program's, has no tables of columns; `create` makes them. */
kvault_status kvault__io_columns(struct column_io *io, bool create, kvault_error *reterr) KVAULT_MUST_USE;
/* Run one operation on whatever the io stands for. */
kvault_status kvault__io_run(struct column_io *io, struct storage_op *op, kvault_error *reterr) KVAULT_MUST_USE;

/* Whether the record is that of the handle's column, and not of one that was given its id after a rollback. */
static inline bool kvault__is_meta_of(const struct column_meta *meta, const struct kvault_column *column)
{
    return meta->id == column->id && meta->birth == column->birth;
}

/* ---- shapes ---- */

/* Bytes of data that a chunk of the column can hold, and elements of a fixed size. */
uint32_t kvault__chunk_data_max(const struct column_meta *meta);
static inline uint32_t kvault__elements_per_chunk(const struct column_meta *meta)
{
    return kvault__chunk_data_max(meta) / meta->elem_size;
}

static inline uint32_t kvault__tail_count(const struct column_meta *meta)
{
    return meta->elem_size ? meta->tail_size / meta->elem_size : 0;
}

static inline bool kvault__has_tail(const struct column_meta *meta)
{
    return meta->elem_size && meta->elem_size <= COLUMN_TAIL_ELEMENT_MAX;
}

/* A chunk number that was never used before. */
kvault_status kvault__next_seq(struct column_meta *meta, uint32_t count, uint32_t *ret_seq,
                               kvault_error *reterr) KVAULT_MUST_USE;

/* Words that name the column around those in *reterr, for KVAULT_E_CORRUPT alone; returns rc. */
kvault_status kvault__in_column(kvault_status rc, const struct column_meta *meta, uint32_t seq, uint64_t first,
                                uint64_t count, kvault_error *reterr);

#endif
