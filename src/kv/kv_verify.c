/* kv_verify.c - everything about keys and values that can be wrong in a file.
 *
 * Each cell: the checksum of an inline value; for a value in pieces that they are all there,
 * of the right size, every block of them with its sum. Then each piece: that its blob is some
 * key's value or has a record; and each record, that it can be read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/fail.h"
#include "kv/kv_pieces.h"
#include "base/banned.h"

#define PAGE_ROWS 512

struct check {
    struct reading *read;
    void (*problem)(void *ctx, const char *where, const char *what);
    void *problem_ctx;
    const struct storage_space *space;
    kvault_buf last;  /* key: where the next page starts */
    kvault_buf large; /* of this page: key size, key, blob id, size */
    kvault_buf blobs; /* ids that are referred to */
    uint64_t last_orphan;
    size_t rows;
};

static void report(struct check *check, kvault_slice key, const char *what)
{
    char text[KEY_TEXT_BYTES], where[KEY_TEXT_BYTES + 96];

    (void)snprintf(where, sizeof where, "table \"%s\", key %s", check->space->name, kvault__kv_key_text(key, text));
    check->problem(check->problem_ctx, where, what);
}

static kvault_status on_cell(void *ctx, kvault_slice key, const struct storage_cell *cell, kvault_error *reterr)
{
    struct check *check = ctx;
    kvault_error err;
    uint64_t numbers[3] = { key.size, cell->blob_id, cell->size };
    kvault_status rc;

    check->rows++;
    check->last.size = 0;
    TRY(kvault__buf_append(&check->last, key.data, key.size, reterr));
    if (cell->blob_id) {
        TRY(kvault__buf_append(&check->large, numbers, sizeof numbers, reterr));
        TRY(kvault__buf_append(&check->large, key.data, key.size, reterr));
        TRY(kvault__buf_append(&check->blobs, &cell->blob_id, sizeof cell->blob_id, reterr));
    } else if (kvault__kv_check_sum(check->space, key, cell, &err) < 0) {
        report(check, key, "the checksum of the value does not match");
    }
out:
    return rc;
}

/* The whole value, a piece at a time; the first fault of a value is told. */
static kvault_status check_large(struct check *check, kvault_slice key, uint64_t blob_id, uint64_t size,
                                 uint8_t *scratch)
{
    kvault_error err = KVAULT_ERROR_INIT;

    for (uint64_t at = 0; at < size; at += PIECE_DATA) {
        size_t part = size - at < PIECE_DATA ? (size_t)(size - at) : PIECE_DATA;
        kvault_status rc = kvault__pieces_read(check->read, blob_id, at, scratch, part, false, &err);

        if (rc == KVAULT_E_CORRUPT) {
            report(check, key, err.message);
            return KVAULT_OK;
        }
        if (rc < 0)
            return rc;
    }
    return KVAULT_OK;
}

static kvault_status check_page(struct check *check, uint8_t *scratch, kvault_error *reterr)
{
    kvault_status rc = KVAULT_OK;

    for (size_t at = 0; at < check->large.size;) {
        uint64_t numbers[3];
        kvault_slice key;

        memcpy(numbers, check->large.data + at, sizeof numbers);
        key = (kvault_slice){ check->large.data + at + sizeof numbers, (size_t)numbers[0] };
        rc = check_large(check, key, numbers[1], numbers[2], scratch);
        if (rc < 0)
            return kvault__fail(reterr, rc, "could not read a value in pieces of table \"%s\"", check->space->name);
        at += sizeof numbers + key.size;
    }
    check->large.size = 0;
    return rc;
}

static kvault_status check_table(struct check *check, uint8_t *scratch, kvault_error *reterr)
{
    struct reading *read = check->read;
    struct storage_range range = { .space = check->space, .with_values = true, .limit = PAGE_ROWS };
    kvault_slice last;
    kvault_status rc;

    do {
        check->rows = 0;
        last = (kvault_slice){ check->last.data, check->last.size };
        TRY(read->backend->scan(read->conn, &range, &read->wait, on_cell, check, reterr));
        TRY(check_page(check, scratch, reterr));
        last = (kvault_slice){ check->last.data, check->last.size };
        range.start = &last;
        range.start_excluded = true;
    } while (check->rows == PAGE_ROWS);
out:
    return rc;
}

static kvault_status on_table(void *ctx, const char *name, kvault_error *reterr)
{
    kvault_buf *names = ctx;

    return kvault__buf_append(names, name, strlen(name) + 1, reterr);
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

static kvault_status on_record(void *ctx, kvault_slice key, const struct storage_cell *cell, kvault_error *reterr)
{
    struct check *check = ctx;
    struct blob_record record;
    uint64_t blob_id = kvault__load_be64(key.data);
    kvault_error err = KVAULT_ERROR_INIT;
    char where[64];

    (void)cell;
    if (kvault__blob_record_get(check->read, blob_id, &record, &err) < 0) {
        (void)snprintf(where, sizeof where, "kv_blobs, id %llu", (unsigned long long)blob_id);
        check->problem(check->problem_ctx, where, err.message);
    }
    return kvault__buf_append(&check->blobs, &blob_id, sizeof blob_id, reterr);
}

static kvault_status on_piece(void *ctx, uint64_t owner, uint32_t seq, uint32_t size, kvault_error *reterr)
{
    struct check *check = ctx;
    char where[64];

    (void)seq;
    (void)size;
    (void)reterr;
    if (owner == check->last_orphan ||
        (check->blobs.size && bsearch(&owner, check->blobs.data, check->blobs.size / sizeof owner, sizeof owner, compare_ids)))
        return KVAULT_OK;
    check->last_orphan = owner;
    (void)snprintf(where, sizeof where, "kv_pieces, blob %llu", (unsigned long long)owner);
    check->problem(check->problem_ctx, where, "nothing refers to these pieces");
    return KVAULT_OK;
}

static kvault_status check_pieces(struct check *check, kvault_error *reterr)
{
    struct reading *read = check->read;
    struct storage_range range = { .limit = UINT32_MAX };
    kvault_status rc;

    range.space = kvault__space_fixed(read->engine, STORAGE_BLOBS);
    TRY(read->backend->scan(read->conn, &range, &read->wait, on_record, check, reterr));
    if (check->blobs.size)
        qsort(check->blobs.data, check->blobs.size / sizeof(uint64_t), sizeof(uint64_t), compare_ids);
    TRY(read->backend->scan_chunks(read->conn, STORAGE_PIECES, 0, 0, &read->wait, on_piece, check, reterr));
out:
    return rc;
}

static kvault_status verify(struct reading *read, void (*problem)(void *ctx, const char *where, const char *what),
                            void *problem_ctx, kvault_error *reterr)
{
    struct check check = { .read = read, .problem = problem, .problem_ctx = problem_ctx };
    kvault_buf names = KVAULT_BUF_INIT;
    const struct storage_space *space;
    bool pieces = false;
    uint8_t *scratch = kvault__alloc(PIECE_DATA);
    kvault_status rc;

    if (!scratch)
        return kvault__fail_nomem(reterr, PIECE_DATA);
    TRY(read->backend->list_tables(read->conn, &read->wait, on_table, &names, reterr));
    for (size_t at = 0; at < names.size; at += strlen((const char *)names.data + at) + 1) {
        TRY(kvault__space_lookup(read, (const char *)names.data + at, &space, reterr));
        if (rc != KVAULT_OK)
            continue;
        check.space = space;
        check.last.size = 0;
        pieces = pieces || kvault__kv_has_pieces(space);
        TRY(check_table(&check, scratch, reterr));
    }
    if (pieces)
        TRY(check_pieces(&check, reterr));
out:
    kvault__free(scratch);
    kvault_buf_free(&names);
    kvault_buf_free(&check.last);
    kvault_buf_free(&check.large);
    kvault_buf_free(&check.blobs);
    return rc;
}

const struct structure kvault__kv_structure = { .write_pending = kvault__kv_write_pending, .verify = verify };
