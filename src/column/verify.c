/* verify.c - see verify.h.
 *
 * Each name leads to a record, and each record has that name. Each column: its chunk list, every block of every
 * chunk, every element's place, pieces, tail rows, schema, and the sums in its record. Then all rows of
 * col_chunks and col_tail: that a column refers to them. A finding does not end the walk but of what it hides. */
#include "column/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/banned.h"

#define PAGE_ROWS 256u
#define TAIL_ROWS 1024u

struct check {
    struct edit *edit; /* of the column in hand */
    struct reading *read;
    void (*problem)(void *ctx, const char *where, const char *what);
    void *problem_ctx;
    kvault_buf names; /* of this page: size u64, name */
    size_t rows;
    kvault_buf ids;     /* u64: all columns, ascending once sorted */
    kvault_buf varsize; /* u64: those with tail rows */
    kvault_buf seqs;    /* u32: chunks that the column in hand refers to */
    kvault_buf chunk;   /* scratch */
    uint64_t last_orphan;
    uint64_t bytes, slack; /* of the column in hand */
};

static void report_column(struct check *check, const char *what)
{
    char where[COLUMN_NAME_BYTES_MAX + 16];

    (void)snprintf(where, sizeof where, "column \"%s\"", (const char *)check->edit->meta.name);
    check->problem(check->problem_ctx, where, what);
}

/* A damaged place is told, and the walk goes on; any other failure ends it. */
static kvault_status tell(struct check *check, kvault_status rc, const kvault_error *err, kvault_error *reterr)
{
    if (rc == KVAULT_E_CORRUPT) {
        report_column(check, err->message);
        return KVAULT_OK;
    }
    if (rc < 0 && reterr)
        *reterr = *err;
    return rc;
}

static kvault_status note_seq(struct check *check, uint32_t seq, kvault_error *reterr)
{
    return kvault__buf_append(&check->seqs, &seq, sizeof seq, reterr);
}

/* ---- chunks ---- */

static kvault_status read_blocks(struct check *check, uint32_t seq, uint32_t at_least, kvault_error *reterr)
{
    struct edit *edit = check->edit;
    uint32_t size;
    kvault_status rc;

    TRY(kvault__chunk_size(&edit->io, edit->meta.id, seq, &size, reterr));
    if (size < at_least)
        return kvault__fail(reterr, KVAULT_E_CORRUPT, "the chunk has %u bytes, want %u", size, at_least);
    check->chunk.size = 0;
    TRY(kvault__buf_reserve(&check->chunk, size + 1, reterr));
    TRY(kvault__chunk_read(&edit->io, edit->meta.id, seq, 0, check->chunk.data, size, reterr));
    check->chunk.size = size;
out:
    return rc;
}

static kvault_status check_large(struct check *check, const struct packed_slot *slot, kvault_error *reterr)
{
    uint32_t seq = kvault__large_seq(slot), size = kvault__large_size(slot);
    kvault_buf chunk = check->chunk; /* the slot lies in it */
    kvault_status rc = KVAULT_OK;

    check->chunk = (kvault_buf)KVAULT_BUF_INIT;
    for (uint32_t i = 0; i < kvault__large_pieces(size) && rc >= 0; i++) {
        uint32_t rest = size - i * PACKED_PIECE_DATA;

        rc = note_seq(check, seq + i, reterr);
        if (rc >= 0)
            rc = read_blocks(check, seq + i, rest < PACKED_PIECE_DATA ? rest : PACKED_PIECE_DATA, reterr);
    }
    kvault_buf_free(&check->chunk);
    check->chunk = chunk;
    return rc;
}

static kvault_status check_packed(struct check *check, const struct chunk_place *place, kvault_error *reterr)
{
    struct packed packed;
    struct packed_slot slot;
    kvault_status rc;

    TRY(kvault__packed_open(check->chunk.data, (uint32_t)check->chunk.size, place->count, &packed, reterr));
    for (uint32_t i = 0; i < packed.count; i++) {
        TRY(kvault__packed_slot(&packed, i, &slot, reterr));
        check->bytes += slot.large ? kvault__large_size(&slot) : slot.size + slot.slack;
        check->slack += slot.slack;
        if (slot.large)
            TRY(check_large(check, &slot, reterr));
    }
out:
    return rc;
}

static kvault_status check_chunk(struct check *check, const struct chunk_place *place, kvault_error *reterr)
{
    struct column_meta *meta = &check->edit->meta;
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_status rc = read_blocks(check, place->seq, (uint32_t)place->count * meta->elem_size, &err);

    if (rc >= 0 && !meta->elem_size)
        rc = check_packed(check, place, &err);
    rc = kvault__in_column(rc, meta, place->seq, place->first, place->count, &err);
    return tell(check, rc, &err, reterr);
}

/* The blocks of the list itself, whose numbers no place tells. */
static kvault_status note_list(struct check *check, kvault_error *reterr)
{
    struct chunk_list *list = &check->edit->list;
    kvault_status rc = KVAULT_OK;

    if (!list->meta->list_blocks)
        return KVAULT_OK;
    TRY(kvault__list_load(list, 0, reterr));
    TRY(note_seq(check, 0, reterr));
    for (uint32_t i = 0; i < list->meta->list_blocks && rc >= 0; i++)
        rc = note_seq(check, list->root[i].seq, reterr);
out:
    return rc;
}

/* False in *ret_whole: the list is damaged, and what it refers to is not known. */
static kvault_status check_chunks(struct check *check, bool *ret_whole, kvault_error *reterr)
{
    struct chunk_list *list = &check->edit->list;
    kvault_error err = KVAULT_ERROR_INIT;
    struct chunk_place place;
    kvault_status rc = note_list(check, &err);

    if (rc >= 0 && list->meta->stored) {
        rc = kvault__list_find(list, 0, &place, &err);
        while (rc == KVAULT_OK) {
            rc = note_seq(check, place.seq, &err);
            if (rc >= 0)
                rc = check_chunk(check, &place, &err);
            if (rc >= 0)
                rc = kvault__list_next(list, &place, &place, &err);
        }
    }
    *ret_whole = rc >= 0;
    return tell(check, rc, &err, reterr);
}

static int compare_seqs(const void *a, const void *b)
{
    uint32_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

static kvault_status on_own_chunk(void *ctx, uint64_t owner, uint32_t seq, uint32_t size, kvault_error *reterr)
{
    struct check *check = ctx;
    char what[64];

    (void)size;
    (void)reterr;
    if (owner != check->edit->meta.id)
        return KVAULT_END;
    if (check->seqs.size && bsearch(&seq, check->seqs.data, check->seqs.size / sizeof seq, sizeof seq, compare_seqs))
        return KVAULT_OK;
    (void)snprintf(what, sizeof what, "nothing refers to chunk %u", seq);
    report_column(check, what);
    return KVAULT_OK;
}

/* Each chunk is referred to once, and each row by something. */
static kvault_status check_rows(struct check *check, kvault_error *reterr)
{
    uint32_t count = (uint32_t)(check->seqs.size / sizeof(uint32_t)), a, b;
    char what[64];

    if (count)
        qsort(check->seqs.data, count, sizeof a, compare_seqs);
    for (uint32_t i = 1; i < count; i++) {
        memcpy(&a, check->seqs.data + (i - 1) * sizeof a, sizeof a);
        memcpy(&b, check->seqs.data + i * sizeof b, sizeof b);
        if (a == b) {
            (void)snprintf(what, sizeof what, "chunk %u is referred to twice", a);
            report_column(check, what);
        }
    }
    return check->read->backend->scan_chunks(check->read->conn, STORAGE_CHUNKS, check->edit->meta.id, 0,
                                             &check->read->wait, on_own_chunk, check, reterr);
}

/* ---- a column ---- */

static kvault_status check_tail(struct check *check, kvault_error *reterr)
{
    struct edit *edit = check->edit;
    kvault_result rows = KVAULT_RESULT_INIT;
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_status rc = kvault__tail_state(&edit->io, &edit->meta, &edit->var.tail, &err);

    for (uint64_t at = 0; at < edit->var.tail.count && rc >= 0; at += TAIL_ROWS) {
        uint64_t rest = edit->var.tail.count - at;

        rows.data.size = rows.offsets.size = 0;
        rows.count = 0;
        rc = kvault__tail_read(&edit->io, &edit->meta, at, rest < TAIL_ROWS ? rest : TAIL_ROWS, &rows, &err);
    }
    kvault_result_free(&rows);
    return tell(check, rc, &err, reterr);
}

static void check_sums(struct check *check)
{
    const struct column_meta *meta = &check->edit->meta;
    char what[160];

    if (meta->elem_size || (check->bytes == meta->bytes && check->slack == meta->slack))
        return;
    (void)snprintf(what, sizeof what, "its chunks hold %llu bytes, %llu of them unused; its record says %llu and %llu",
                   (unsigned long long)check->bytes, (unsigned long long)check->slack, (unsigned long long)meta->bytes,
                   (unsigned long long)meta->slack);
    report_column(check, what);
}

static kvault_status check_schema(struct check *check, kvault_error *reterr)
{
    const struct column_meta *meta = &check->edit->meta;
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_status rc;

    if (!meta->schema_size)
        return KVAULT_OK;
    TRY(note_seq(check, COLUMN_SEQ_SCHEMA, reterr));
    rc = read_blocks(check, COLUMN_SEQ_SCHEMA, meta->schema_size, &err);
    rc = tell(check, kvault__in_column(rc, meta, COLUMN_SEQ_SCHEMA, 0, 0, &err), &err, reterr);
out:
    return rc;
}

static kvault_status check_column(struct check *check, kvault_error *reterr)
{
    struct edit *edit = check->edit;
    bool whole;
    kvault_status rc;

    check->seqs.size = 0;
    check->bytes = check->slack = 0;
    kvault__list_init(&edit->list, &edit->io, &edit->meta);
    edit->var = (struct var){ .list = &edit->list };
    TRY(check_chunks(check, &whole, reterr));
    TRY(check_schema(check, reterr));
    if (!edit->meta.elem_size)
        TRY(check_tail(check, reterr));
    if (whole) {
        check_sums(check);
        TRY(check_rows(check, reterr));
    }
out:
    kvault__list_release(&edit->list);
    return rc;
}

/* ---- the catalogue ---- */

static kvault_status on_name(void *ctx, kvault_slice key, const struct storage_cell *cell, kvault_error *reterr)
{
    struct check *check = ctx;
    uint64_t size = key.size;
    kvault_status rc;

    (void)cell;
    check->rows++;
    TRY(kvault__buf_append(&check->names, &size, sizeof size, reterr));
    TRY(kvault__buf_append(&check->names, key.data, key.size, reterr));
out:
    return rc;
}

static kvault_status note_column(struct check *check, uint64_t id, bool varsize, kvault_error *reterr)
{
    kvault_status rc;

    TRY(kvault__buf_append(&check->ids, &id, sizeof id, reterr));
    if (varsize)
        TRY(kvault__buf_append(&check->varsize, &id, sizeof id, reterr));
out:
    return rc;
}

/* A name whose record is damaged: words without the record. */
static void report_name(struct check *check, kvault_slice name, const char *what)
{
    char where[COLUMN_NAME_BYTES_MAX + 16];

    (void)snprintf(where, sizeof where, "column \"%.*s\"", (int)(name.size < 1020 ? name.size : 1020),
                   (const char *)name.data);
    check->problem(check->problem_ctx, where, what);
}

static kvault_status check_name(struct check *check, kvault_slice name, kvault_error *reterr)
{
    struct column_meta *meta = &check->edit->meta;
    kvault_error err = KVAULT_ERROR_INIT;
    uint64_t id = 0;
    kvault_status rc = kvault__name_load(&check->edit->io, name, &id, &err);

    if (rc == KVAULT_OK)
        rc = kvault__meta_load(&check->edit->io, id, meta, &err);
    if (rc == KVAULT_E_CORRUPT || rc == KVAULT_NOT_FOUND) {
        report_name(check, name, rc < 0 ? err.message : "it has a name, and no record in col_meta");
        return id ? note_column(check, id, true, reterr) : KVAULT_OK;
    }
    if (rc < 0) {
        if (reterr)
            *reterr = err;
        return rc;
    }
    if (meta->name_size != name.size || memcmp(meta->name, name.data, name.size) != 0)
        report_name(check, name, "its record has another name");
    TRY(note_column(check, id, !meta->elem_size, reterr));
    TRY(check_column(check, reterr));
out:
    return rc;
}

static kvault_status check_names(struct check *check, kvault_error *reterr)
{
    struct storage_range range = { .space = kvault__space_fixed(check->read->engine, STORAGE_COLUMN_NAMES),
                                   .limit = PAGE_ROWS,
                                   .start_excluded = true };
    kvault_buf last = KVAULT_BUF_INIT;
    kvault_slice start;
    kvault_status rc;

    do {
        check->rows = 0;
        check->names.size = 0;
        TRY(check->read->backend->scan(check->read->conn, &range, &check->read->wait, on_name, check, reterr));
        for (size_t at = 0; at < check->names.size;) {
            uint64_t size;

            memcpy(&size, check->names.data + at, sizeof size);
            start = (kvault_slice){ check->names.data + at + sizeof size, (size_t)size };
            TRY(check_name(check, start, reterr));
            last.size = 0;
            TRY(kvault__buf_append(&last, start.data, start.size, reterr));
            at += sizeof size + (size_t)size;
        }
        start = (kvault_slice){ last.data, last.size };
        range.start = &start;
    } while (check->rows == PAGE_ROWS);
out:
    kvault_buf_free(&last);
    return rc;
}

/* ---- what belongs to no column ---- */

static int compare_ids(const void *a, const void *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

static bool has_id(const kvault_buf *ids, uint64_t id)
{
    return ids->size && bsearch(&id, ids->data, ids->size / sizeof id, sizeof id, compare_ids);
}

static void report_orphan(struct check *check, const kvault_buf *ids, const char *table, uint64_t id)
{
    char where[64];

    if (has_id(ids, id) || id == check->last_orphan)
        return;
    check->last_orphan = id;
    (void)snprintf(where, sizeof where, "%s, column %llu", table, (unsigned long long)id);
    check->problem(check->problem_ctx, where, "no column has this number");
}

static kvault_status on_any_chunk(void *ctx, uint64_t owner, uint32_t seq, uint32_t size, kvault_error *reterr)
{
    struct check *check = ctx;

    (void)seq;
    (void)size;
    (void)reterr;
    report_orphan(check, &check->ids, "col_chunks", owner);
    return KVAULT_OK;
}

static kvault_status on_any_record(void *ctx, kvault_slice key, const struct storage_cell *cell, kvault_error *reterr)
{
    struct check *check = ctx;

    (void)cell;
    (void)reterr;
    report_orphan(check, &check->ids, "col_meta", kvault__load_be64(key.data));
    return KVAULT_OK;
}

static kvault_status on_any_row(void *ctx, kvault_slice key, const struct storage_cell *cell, kvault_error *reterr)
{
    struct check *check = ctx;

    (void)cell;
    (void)reterr;
    report_orphan(check, &check->varsize, "col_tail", kvault__load_be64(key.data) >> 32);
    return KVAULT_OK;
}

static kvault_status check_orphans(struct check *check, kvault_error *reterr)
{
    struct reading *read = check->read;
    struct storage_range range = { .limit = UINT32_MAX };
    kvault_status rc;

    if (check->ids.size)
        qsort(check->ids.data, check->ids.size / sizeof(uint64_t), sizeof(uint64_t), compare_ids);
    if (check->varsize.size)
        qsort(check->varsize.data, check->varsize.size / sizeof(uint64_t), sizeof(uint64_t), compare_ids);
    range.space = kvault__space_fixed(read->engine, STORAGE_COLUMNS);
    TRY(read->backend->scan(read->conn, &range, &read->wait, on_any_record, check, reterr));
    range.space = kvault__space_fixed(read->engine, STORAGE_COLUMN_TAILS);
    check->last_orphan = 0;
    TRY(read->backend->scan(read->conn, &range, &read->wait, on_any_row, check, reterr));
    check->last_orphan = 0;
    TRY(read->backend->scan_chunks(read->conn, STORAGE_CHUNKS, 0, 0, &read->wait, on_any_chunk, check, reterr));
out:
    return rc;
}

kvault_status kvault__columns_verify(struct reading *read,
                                     void (*problem)(void *ctx, const char *where, const char *what), void *problem_ctx,
                                     kvault_error *reterr)
{
    struct check check = { .read = read, .problem = problem, .problem_ctx = problem_ctx };
    kvault_status rc;

    check.edit = kvault__alloc_zero(1, sizeof *check.edit);
    if (!check.edit)
        return kvault__fail_nomem(reterr, sizeof *check.edit);
    check.edit->io.read = *read;
    rc = kvault__io_columns(&check.edit->io, false, NULL);
    if (rc == KVAULT_NOT_FOUND || rc == KVAULT_E_INVALID) {
        rc = KVAULT_OK; /* another program's file: there are no columns of ours */
        goto out;
    }
    TRY(check_names(&check, reterr));
    TRY(check_orphans(&check, reterr));
out:
    kvault__io_release(&check.edit->io);
    kvault__free(check.edit);
    kvault_buf_free(&check.names);
    kvault_buf_free(&check.ids);
    kvault_buf_free(&check.varsize);
    kvault_buf_free(&check.seqs);
    kvault_buf_free(&check.chunk);
    return rc;
}
