/* view.c - one look at a column: a state of the file, and what is pending behind it. */
#include <string.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "column/edit.h"
#include "vault/pending.h"
#include "base/banned.h"

kvault_status kvault__view_open(struct kvault_column *column, struct edit *view, kvault_error *reterr)
{
    kvault_status rc;

    view->column = column;
    view->io = (struct column_io){ .write = NULL };
    view->mark = kvault__pending_mark(column->vault);
    TRY(kvault__read_begin(column->vault, true, &view->io.read, reterr));
    rc = kvault__meta_load(&view->io, column->id, &view->meta, reterr);
    if (rc == KVAULT_OK && !kvault__is_meta_of(&view->meta, column))
        rc = KVAULT_NOT_FOUND;
    if (rc == KVAULT_OK)
        rc = kvault__edit_look(view, reterr);
    if (rc != KVAULT_OK) {
        kvault__io_release(&view->io);
        kvault__read_end(&view->io.read);
    }
out:
    return rc;
}

void kvault__view_close(struct edit *view)
{
    kvault__edit_leave(view);
    kvault__read_end(&view->io.read);
}

kvault_status kvault__view_look(struct edit *view,
                                kvault_status (*on_tails)(void *ctx, const struct pending_tail *frozen,
                                                          const struct pending_tail *active, kvault_error *reterr),
                                void *ctx, kvault_error *reterr)
{
    uint8_t key[8];

    kvault__store_be64(key, view->meta.id);
    return kvault__pending_tails(view->io.read.vault, kvault__space_fixed(view->io.read.engine, STORAGE_COLUMNS),
                                 (kvault_slice){ key, sizeof key }, view->mark, on_tails, ctx, reterr);
}

static kvault_status on_count(void *ctx, const struct pending_tail *frozen, const struct pending_tail *active,
                              kvault_error *reterr)
{
    uint64_t *count = ctx;

    (void)reterr;
    *count = (frozen ? frozen->count : 0) + (active ? active->count : 0);
    return KVAULT_OK;
}

kvault_status kvault__view_pending(struct edit *view, uint64_t *ret_count, kvault_error *reterr)
{
    return kvault__view_look(view, on_count, ret_count, reterr);
}

struct pending_read {
    uint32_t elem_size;
    uint64_t start, count;
    kvault_result *result;
};

/* The part of [start, start + count) that one tail has; start moves into the next. */
static kvault_status copy_tail(struct pending_read *read, const struct pending_tail *tail, kvault_error *reterr)
{
    uint64_t have = tail ? tail->count : 0, part = read->start < have ? have - read->start : 0;
    const uint64_t *offsets;
    kvault_status rc = KVAULT_OK;

    part = part < read->count ? part : read->count;
    if (part && read->elem_size) {
        TRY(kvault__buf_append(&read->result->data, tail->data.data + read->start * read->elem_size,
                               (size_t)part * read->elem_size, reterr));
        read->result->count += part;
    } else if (part) {
        offsets = (const uint64_t *)(const void *)tail->offsets.data + read->start;
        for (uint64_t i = 0; i < part; i++)
            TRY(kvault__result_add(
                read->result, (kvault_slice){ tail->data.data + offsets[i], (size_t)(offsets[i + 1] - offsets[i]) },
                reterr));
    }
    read->start = part ? 0 : read->start - have;
    read->count -= part;
out:
    return rc;
}

static kvault_status on_read(void *ctx, const struct pending_tail *frozen, const struct pending_tail *active,
                             kvault_error *reterr)
{
    kvault_status rc;

    TRY(copy_tail(ctx, frozen, reterr));
    TRY(copy_tail(ctx, active, reterr));
out:
    return rc;
}

kvault_status kvault__view_read_pending(struct edit *view, uint64_t start, uint64_t count, kvault_result *result,
                                        kvault_error *reterr)
{
    struct pending_read read = { view->meta.elem_size, start, count, result };

    return count ? kvault__view_look(view, on_read, &read, reterr) : KVAULT_OK;
}
