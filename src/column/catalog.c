/* catalog.c - the columns of a file by name: made, opened, listed, renamed, deleted. */
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/hash.h"
#include "codec/text.h"
#include "column/edit.h"
#include "column/read_cache.h"
#include "base/banned.h"

#define CHUNK_MIN_DEFAULT 4096u
#define CHUNK_MAX_DEFAULT 65536u
#define LIST_PAGE 256u

void kvault_column_options_init(kvault_column_options *options)
{
    *options = (kvault_column_options){ .chunk_bytes_min = CHUNK_MIN_DEFAULT, .chunk_bytes_max = CHUNK_MAX_DEFAULT };
}

/* ---- checks ---- */

static kvault_status check_name(kvault_slice name, kvault_error *reterr)
{
    const uint8_t *at = name.data;
    size_t characters = 0;

    if (!name.size)
        return kvault__fail(reterr, KVAULT_E_INVALID, "a column name is empty, want 1 to %u characters",
                            KVAULT_COLUMN_NAME_MAX);
    if (memchr(at, 0, name.size) || kvault__utf8_prefix(name) != name.size)
        return kvault__fail(reterr, KVAULT_E_INVALID, "a column name is UTF-8 without NUL");
    for (size_t i = 0; i < name.size; i++)
        characters += (at[i] & 0xC0) != 0x80;
    if (characters > KVAULT_COLUMN_NAME_MAX)
        return kvault__fail(reterr, KVAULT_E_INVALID, "a column name is %zu characters, limit %u", characters,
                            KVAULT_COLUMN_NAME_MAX);
    return KVAULT_OK;
}

static uint32_t whole_blocks(uint32_t bytes)
{
    return (bytes + KVAULT_BLOCK_BYTES - 1) / KVAULT_BLOCK_BYTES * KVAULT_BLOCK_BYTES;
}

static kvault_status check_options(const kvault_column_options *options, kvault_error *reterr)
{
    uint32_t min = options->chunk_bytes_min, max = options->chunk_bytes_max;

    if (!min || !max || min > KVAULT_CHUNK_BYTES_MAX || max > KVAULT_CHUNK_BYTES_MAX || min > max)
        return kvault__fail(reterr, KVAULT_E_INVALID,
                            "min_chunk_bytes is %u, max_chunk_bytes %u, want 1 to %u and no less than the other", min,
                            max, KVAULT_CHUNK_BYTES_MAX);
    if (options->schema.size > KVAULT_SCHEMA_BYTES_MAX)
        return kvault__fail(reterr, KVAULT_E_TOOBIG, "the schema is %zu bytes, limit %u", options->schema.size,
                            KVAULT_SCHEMA_BYTES_MAX);
    return KVAULT_OK;
}

/* Fill in what dtype and options say. */
static kvault_status shape(kvault_slice dtype, const kvault_column_options *options, struct column_meta *meta,
                           kvault_error *reterr)
{
    kvault_dtype parsed = { .size_bytes = 0 };
    kvault_status rc;

    TRY(check_options(options, reterr));
    rc = kvault_dtype_parse(dtype, &parsed, reterr);
    if (!options->unknown_dtype)
        TRY(rc);
    rc = KVAULT_OK;
    if (dtype.size > KVAULT_DTYPE_TEXT_MAX || !dtype.size || memchr(dtype.data, 0, dtype.size))
        return kvault__fail(reterr, KVAULT_E_INVALID, "a dtype is 1 to %u bytes without NUL", KVAULT_DTYPE_TEXT_MAX);
    meta->elem_size = parsed.size_bytes;
    meta->listed = !meta->elem_size;
    meta->next_seq = 1;
    meta->chunk_min = whole_blocks(options->chunk_bytes_min);
    meta->chunk_max = whole_blocks(options->chunk_bytes_max);
    if (kvault__chunk_data_max(meta) < meta->elem_size)
        meta->chunk_max = (meta->elem_size + KVAULT_BLOCK_DATA - 1) / KVAULT_BLOCK_DATA * KVAULT_BLOCK_BYTES;
    meta->schema_size = (uint32_t)options->schema.size;
    meta->dtype_size = (uint16_t)dtype.size;
    memcpy(meta->dtype, dtype.data, dtype.size);
    meta->dtype[dtype.size] = 0;
out:
    return rc;
}

static void set_name(struct column_meta *meta, kvault_slice name)
{
    meta->name_size = (uint16_t)name.size;
    memcpy(meta->name, name.data, name.size);
    meta->name[name.size] = 0;
}

/* ---- handles ---- */

static kvault_status load_schema(struct column_io *io, const struct column_meta *meta, kvault_column *column,
                                 kvault_error *reterr)
{
    kvault_status rc = KVAULT_OK;

    if (!meta->schema_size)
        return KVAULT_OK;
    TRY(kvault__buf_reserve(&column->schema, meta->schema_size, reterr));
    TRY(kvault__in_column(
        kvault__chunk_read(io, meta->id, COLUMN_SEQ_SCHEMA, 0, column->schema.data, meta->schema_size, reterr), meta,
        COLUMN_SEQ_SCHEMA, 0, 0, reterr));
    column->schema.size = meta->schema_size;
out:
    return rc;
}

static kvault_status make_handle(kvault *vault, struct column_io *io, const struct column_meta *meta,
                                 kvault_column **ret_column, kvault_error *reterr)
{
    kvault_column *column = kvault__alloc_zero(1, sizeof *column);
    kvault_status rc;

    if (!column)
        return kvault__fail_nomem(reterr, sizeof *column);
    column->vault = vault;
    column->engine = kvault__engine(vault);
    column->id = meta->id;
    column->hash = kvault__column_hash(meta->id, false);
    column->birth = meta->birth;
    column->elem_size = meta->elem_size;
    column->chunk_max = meta->chunk_max;
    column->cache = kvault__cache_new(reterr);
    if (!column->cache) {
        rc = KVAULT_E_NOMEM;
        goto out;
    }
    column->known_dtype =
        kvault_dtype_parse((kvault_slice){ meta->dtype, meta->dtype_size }, &column->dtype, NULL) == KVAULT_OK;
    column->dtype_text = kvault__alloc((size_t)meta->dtype_size + 1);
    if (!column->dtype_text) {
        rc = kvault__fail_nomem(reterr, (size_t)meta->dtype_size + 1);
        goto out;
    }
    memcpy(column->dtype_text, meta->dtype, (size_t)meta->dtype_size + 1);
    TRY(load_schema(io, meta, column, reterr));
    *ret_column = column;
    return KVAULT_OK;
out:
    kvault_column_free(column);
    return rc;
}

void kvault_column_free(kvault_column *column)
{
    if (!column)
        return;
    kvault__cache_free(column);
    kvault__free(column->dtype_text);
    kvault_buf_free(&column->schema);
    kvault__free(column);
}

static kvault_status find(struct column_io *io, kvault_slice name, struct column_meta *ret_meta, kvault_error *reterr)
{
    uint64_t id;
    kvault_status rc;

    TRY(kvault__name_load(io, name, &id, reterr));
    if (rc == KVAULT_NOT_FOUND)
        return rc;
    TRY(kvault__meta_load(io, id, ret_meta, reterr));
    if (rc == KVAULT_NOT_FOUND)
        rc = kvault__fail(reterr, KVAULT_E_CORRUPT,
                          "the column \"%.*s\" has a name (col_names) but no record (col_meta)",
                          (int)(name.size < 255 ? name.size : 255), (const char *)name.data);
out:
    return rc;
}

kvault_status kvault_column_open(kvault *vault, kvault_slice name, kvault_column **ret_column, kvault_error *reterr)
{
    struct column_io io = { .write = NULL };
    struct column_meta meta;
    kvault_status rc;

    TRY(check_name(name, reterr));
    TRY(kvault__read_begin(vault, true, &io.read, reterr));
    rc = find(&io, name, &meta, reterr);
    if (rc == KVAULT_OK)
        rc = make_handle(vault, &io, &meta, ret_column, reterr);
    kvault__io_release(&io);
    kvault__read_end(&io.read);
out:
    return rc;
}

kvault_status kvault_column_exists(kvault *vault, kvault_slice name, kvault_error *reterr)
{
    struct column_io io = { .write = NULL };
    uint64_t id;
    kvault_status rc;

    if (check_name(name, NULL) < 0)
        return KVAULT_NOT_FOUND;
    TRY(kvault__read_begin(vault, false, &io.read, reterr));
    rc = kvault__name_load(&io, name, &id, reterr);
    kvault__io_release(&io);
    kvault__read_end(&io.read);
out:
    return rc;
}

/* ---- making ---- */

/* Another number at each call, by whatever process. */
static uint32_t draw_birth(uint64_t id)
{
    uint64_t now[4] = { (uint64_t)kvault__wall_ms(), (uint64_t)kvault__monotonic_ns(), (uint64_t)getpid(), id };

    return (uint32_t)kvault__hash((kvault_slice){ now, sizeof now }, 0);
}

static kvault_status create(struct writing *write, struct column_meta *meta, kvault_slice schema,
                            kvault_column **ret_column, kvault_error *reterr)
{
    struct column_io io = kvault__io_of_writing(write);
    kvault_slice name = { meta->name, meta->name_size };
    uint64_t id;
    kvault_status rc;

    TRY(kvault__io_columns(&io, true, reterr));
    TRY(kvault__name_load(&io, name, &id, reterr));
    if (rc == KVAULT_OK) {
        rc = KVAULT_END;
        goto out;
    }
    TRY(kvault__next_id(write, STATE_COLUMN_ID, &meta->id, reterr));
    if (meta->id > INT32_MAX) {
        rc = kvault__fail(reterr, KVAULT_E_TOOBIG, "the file has used up its 2^31 columns");
        goto out;
    }
    meta->birth = draw_birth(meta->id);
    if (schema.size)
        TRY(kvault__chunk_put(&io, meta->id, COLUMN_SEQ_SCHEMA, schema.data, (uint32_t)schema.size, reterr));
    TRY(kvault__name_store(&io, name, meta->id, reterr));
    TRY(kvault__meta_store(&io, meta, reterr));
    TRY(make_handle(write->vault, &io, meta, ret_column, reterr));
out:
    kvault__io_release(&io);
    return rc;
}

kvault_status kvault_column_create(kvault *vault, kvault_slice name, kvault_slice dtype,
                                   const kvault_column_options *options, kvault_column **ret_column,
                                   kvault_error *reterr)
{
    kvault_column_options defaults;
    struct column_meta meta = { .id = 0 };
    kvault_column *column = NULL;
    struct writing write;
    kvault_status rc;

    kvault_column_options_init(&defaults);
    options = options ? options : &defaults;
    TRY(check_name(name, reterr));
    TRY(shape(dtype, options, &meta, reterr));
    set_name(&meta, name);
    TRY(kvault__write_begin(vault, WRITING_VISIBLE, "create a column", &write, reterr));
    rc = kvault__write_end(&write, create(&write, &meta, options->schema, &column, reterr), reterr);
    if (rc == KVAULT_OK)
        *ret_column = column;
    else
        kvault_column_free(column);
out:
    return rc;
}

/* ---- renaming and deleting ---- */

static kvault_status rename_in(struct column_io *io, kvault_slice from, kvault_slice to, kvault_error *reterr)
{
    struct column_meta meta;
    uint64_t other;
    kvault_status rc;

    TRY(find(io, from, &meta, reterr));
    if (rc != KVAULT_OK)
        return rc;
    TRY(kvault__name_load(io, to, &other, reterr));
    if (rc == KVAULT_OK)
        return other == meta.id ? KVAULT_OK : KVAULT_END;
    TRY(kvault__name_delete(io, from, reterr));
    TRY(kvault__name_store(io, to, meta.id, reterr));
    set_name(&meta, to);
    TRY(kvault__meta_store(io, &meta, reterr));
out:
    return rc;
}

kvault_status kvault_column_rename(kvault *vault, kvault_slice from, kvault_slice to, kvault_error *reterr)
{
    struct column_io io;
    struct writing write;
    kvault_status rc;

    TRY(check_name(to, reterr));
    TRY(kvault__write_begin(vault, WRITING_VISIBLE, "rename a column", &write, reterr));
    io = kvault__io_of_writing(&write);
    rc = rename_in(&io, from, to, reterr);
    kvault__io_release(&io);
    rc = kvault__write_end(&write, rc, reterr);
out:
    return rc;
}

static kvault_status drop_in(struct column_io *io, kvault_slice name, kvault_error *reterr)
{
    struct column_meta meta;
    struct tail_state tail = { 0, 0 };
    uint64_t id;
    kvault_status rc;

    TRY(kvault__name_load(io, name, &id, reterr));
    if (rc != KVAULT_OK)
        return rc;
    TRY(kvault__meta_load(io, id, &meta, reterr));
    if (rc == KVAULT_OK && !meta.elem_size) {
        TRY(kvault__tail_state(io, &meta, &tail, reterr));
        TRY(kvault__tail_drop(io, &meta, 0, tail.count, reterr));
    }
    TRY(kvault__chunk_delete(io, id, 0, UINT32_MAX, reterr));
    TRY(kvault__meta_delete(io, id, reterr));
    TRY(kvault__name_delete(io, name, reterr));
    rc = KVAULT_OK;
out:
    return rc;
}

kvault_status kvault_column_drop(kvault *vault, kvault_slice name, kvault_error *reterr)
{
    struct column_io io;
    struct writing write;
    kvault_status rc;

    TRY(kvault__write_begin(vault, WRITING_VISIBLE, "delete a column", &write, reterr));
    io = kvault__io_of_writing(&write);
    rc = drop_in(&io, name, reterr);
    kvault__io_release(&io);
    rc = kvault__write_end(&write, rc, reterr);
out:
    return rc;
}

/* ---- what a column is ---- */

uint64_t kvault_column_id(const kvault_column *column)
{
    return (uint64_t)column->birth << 32 | column->id;
}

const char *kvault_column_dtype(const kvault_column *column)
{
    return column->dtype_text;
}

bool kvault_column_parsed_dtype(const kvault_column *column, kvault_dtype *ret_dtype)
{
    if (column->known_dtype)
        *ret_dtype = column->dtype;
    return column->known_dtype;
}

uint32_t kvault_column_element_bytes(const kvault_column *column)
{
    return column->elem_size;
}

kvault_slice kvault_column_schema(const kvault_column *column)
{
    return (kvault_slice){ column->schema.data, column->schema.size };
}

/* ---- listing ---- */

/* One page of names, each a length u64 and its bytes. */
struct name_page {
    kvault_buf names;
    size_t rows;
};

static kvault_status on_name(void *ctx, kvault_slice key, const struct storage_cell *cell, kvault_error *reterr)
{
    struct name_page *page = ctx;
    uint64_t size = key.size;
    kvault_status rc;

    (void)cell;
    TRY(kvault__buf_append(&page->names, &size, sizeof size, reterr));
    TRY(kvault__buf_append(&page->names, key.data, key.size, reterr));
    page->rows++;
out:
    return rc;
}

static kvault_status tell(struct edit *edit, kvault_slice name,
                          kvault_status (*row)(void *ctx, kvault_slice name, kvault_slice dtype, uint64_t length,
                                               kvault_error *reterr),
                          void *row_ctx, kvault_error *reterr)
{
    uint64_t pending = 0;
    kvault_status rc;

    TRY(find(&edit->io, name, &edit->meta, reterr));
    if (rc != KVAULT_OK)
        return KVAULT_OK; /* cannot be: the name is of the same state */
    TRY(kvault__edit_look(edit, reterr));
    TRY(kvault__view_pending(edit, &pending, reterr));
    if (rc == KVAULT_END)
        return rc;
    TRY(row(row_ctx, name, (kvault_slice){ edit->meta.dtype, edit->meta.dtype_size },
            kvault__edit_length(edit) + pending, reterr));
out:
    return rc;
}

/* KVAULT_END: a commit came between; begin again. */
static kvault_status list_page(struct edit *edit, const struct name_page *page, kvault_slice *last,
                               kvault_status (*row)(void *ctx, kvault_slice name, kvault_slice dtype, uint64_t length,
                                                    kvault_error *reterr),
                               void *row_ctx, kvault_error *reterr)
{
    kvault_status rc = KVAULT_OK;

    for (size_t at = 0; at < page->names.size && rc == KVAULT_OK;) {
        uint64_t size;

        memcpy(&size, page->names.data + at, sizeof size);
        *last = (kvault_slice){ page->names.data + at + sizeof size, (size_t)size };
        rc = tell(edit, *last, row, row_ctx, reterr);
        at += sizeof size + (size_t)size;
    }
    return rc;
}

/* Gathered first, told after: a state that a commit overtook is not told in part. */
struct listing {
    kvault_buf rows;
};

static kvault_status gather_row(void *ctx, kvault_slice name, kvault_slice dtype, uint64_t length, kvault_error *reterr)
{
    struct listing *listing = ctx;
    uint64_t numbers[3] = { name.size, dtype.size, length };
    kvault_status rc;

    TRY(kvault__buf_append(&listing->rows, numbers, sizeof numbers, reterr));
    TRY(kvault__buf_append(&listing->rows, name.data, name.size, reterr));
    TRY(kvault__buf_append(&listing->rows, dtype.data, dtype.size, reterr));
out:
    return rc;
}

static kvault_status gather_all(struct edit *edit, struct listing *listing, kvault_error *reterr)
{
    struct storage_range range = { .space = kvault__space_fixed(edit->io.read.engine, STORAGE_COLUMN_NAMES),
                                   .limit = LIST_PAGE };
    struct name_page page = { .rows = 0 }, before = { .rows = 0 };
    kvault_slice last;
    kvault_status rc;

    TRY(kvault__io_columns(&edit->io, false, reterr));
    if (rc == KVAULT_NOT_FOUND)
        return KVAULT_OK;
    do {
        kvault_buf_free(&before.names);
        before = page; /* holds `last` while the scan begins behind it */
        page = (struct name_page){ .rows = 0 };
        TRY(edit->io.read.backend->scan(edit->io.read.conn, &range, &edit->io.read.wait, on_name, &page, reterr));
        TRY(list_page(edit, &page, &last, gather_row, listing, reterr));
        range.start = &last;
        range.start_excluded = true;
    } while (rc == KVAULT_OK && page.rows == LIST_PAGE);
out:
    kvault_buf_free(&page.names);
    kvault_buf_free(&before.names);
    return rc;
}

static kvault_status tell_all(const struct listing *listing,
                              kvault_status (*row)(void *ctx, kvault_slice name, kvault_slice dtype, uint64_t length,
                                                   kvault_error *reterr),
                              void *row_ctx, kvault_error *reterr)
{
    kvault_status rc = KVAULT_OK;

    for (size_t at = 0; at < listing->rows.size && rc == KVAULT_OK;) {
        const uint8_t *name = listing->rows.data + at + 3 * sizeof(uint64_t);
        uint64_t numbers[3];

        memcpy(numbers, listing->rows.data + at, sizeof numbers);
        rc = row(row_ctx, (kvault_slice){ name, (size_t)numbers[0] },
                 (kvault_slice){ name + numbers[0], (size_t)numbers[1] }, numbers[2], reterr);
        at += sizeof numbers + (size_t)(numbers[0] + numbers[1]);
    }
    return rc < 0 ? rc : KVAULT_OK;
}

kvault_status kvault_column_list(kvault *vault,
                                 kvault_status (*row)(void *ctx, kvault_slice name, kvault_slice dtype, uint64_t length,
                                                      kvault_error *reterr),
                                 void *row_ctx, kvault_error *reterr)
{
    struct listing listing = { KVAULT_BUF_INIT };
    struct edit *edit = kvault__alloc_zero(1, sizeof *edit);
    kvault_status rc;

    if (!edit)
        return kvault__fail_nomem(reterr, sizeof *edit);
    do {
        listing.rows.size = 0;
        edit->mark = kvault__pending_mark(vault);
        TRY(kvault__read_begin(vault, true, &edit->io.read, reterr));
        rc = gather_all(edit, &listing, reterr);
        kvault__edit_leave(edit);
        kvault__read_end(&edit->io.read);
    } while (rc == KVAULT_END);
    if (rc >= 0)
        rc = tell_all(&listing, row, row_ctx, reterr);
out:
    kvault__free(edit);
    kvault_buf_free(&listing.rows);
    return rc;
}
