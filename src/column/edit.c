/* edit.c - see edit.h. */
#include "column/edit.h"

#include <string.h>

#include "base/buf.h"
#include "base/banned.h"

/* ---- begin and end ---- */

kvault_status kvault__edit_look(struct edit *edit, kvault_error *reterr)
{
    edit->revision = edit->meta.revision;
    edit->stored = edit->meta.stored;
    edit->var = (struct var){ .list = &edit->list };
    kvault__list_init(&edit->list, &edit->io, &edit->meta);
    return edit->meta.elem_size ? KVAULT_OK : kvault__tail_state(&edit->io, &edit->meta, &edit->var.tail, reterr);
}

kvault_status kvault__edit_enter(struct writing *write, uint64_t id, struct edit *edit, kvault_error *reterr)
{
    kvault_status rc;

    edit->io = kvault__io_of_writing(write);
    TRY(kvault__meta_load(&edit->io, id, &edit->meta, reterr));
    if (rc == KVAULT_OK)
        TRY(kvault__edit_look(edit, reterr));
out:
    if (rc != KVAULT_OK)
        kvault__io_release(&edit->io);
    return rc;
}

kvault_status kvault__edit_store(struct edit *edit, kvault_error *reterr)
{
    if (!edit->meta.elem_size && edit->meta.revision == edit->revision && edit->meta.stored == edit->stored)
        return KVAULT_OK; /* at most tail rows were added, which the record does not know of */
    return kvault__meta_store(&edit->io, &edit->meta, reterr);
}

void kvault__edit_leave(struct edit *edit)
{
    kvault__list_release(&edit->list);
    kvault__io_release(&edit->io);
}

kvault_status kvault__edit_begin(struct kvault_column *column, const char *what, struct edit *edit,
                                 kvault_error *reterr)
{
    kvault_status rc;

    edit->column = column;
    TRY(kvault__write_begin(column->vault, WRITING_VISIBLE, what, &edit->write, reterr));
    rc = kvault__edit_enter(&edit->write, column->id, edit, reterr);
    if (rc == KVAULT_OK && !kvault__is_meta_of(&edit->meta, column)) {
        kvault__edit_leave(edit);
        rc = KVAULT_NOT_FOUND;
    }
    if (rc != KVAULT_OK)
        rc = kvault__write_end(&edit->write, rc, reterr);
out:
    return rc;
}

kvault_status kvault__edit_end(struct edit *edit, kvault_status rc, kvault_error *reterr)
{
    if (rc >= 0) {
        kvault_status stored = kvault__edit_store(edit, reterr);

        rc = stored < 0 ? stored : rc;
    }
    kvault__edit_leave(edit);
    return kvault__write_end(&edit->write, rc, reterr);
}

/* ---- both kinds ---- */

uint64_t kvault__edit_length(const struct edit *edit)
{
    return edit->meta.elem_size ? kvault__fixed_length(&edit->meta) : kvault__var_length(&edit->var);
}

kvault_status kvault__edit_read(struct edit *edit, uint64_t start, uint64_t count, kvault_result *result,
                                kvault_error *reterr)
{
    uint64_t size = edit->meta.elem_size;
    kvault_status rc;

    if (!count)
        return KVAULT_OK;
    if (!size)
        return kvault__var_read(&edit->var, start, count, result, reterr);
    if (count > SIZE_MAX / size)
        return kvault__fail(reterr, KVAULT_E_TOOBIG, "%llu elements of %llu bytes exceed memory",
                            (unsigned long long)count, (unsigned long long)size);
    TRY(kvault__buf_reserve(&result->data, (size_t)(count * size), reterr));
    TRY(kvault__fixed_read(&edit->list, start, count, result->data.data + result->data.size, reterr));
    result->data.size += (size_t)(count * size);
    result->count += count;
out:
    return rc;
}

static kvault_status check_length(const struct edit *edit, uint64_t more, kvault_error *reterr)
{
    uint64_t length = kvault__edit_length(edit);

    if (more <= KVAULT_COLUMN_LENGTH_MAX - length)
        return KVAULT_OK;
    return kvault__fail(reterr, KVAULT_E_TOOBIG, "column \"%.100s\" would have %llu elements, limit %llu",
                        (const char *)edit->meta.name, (unsigned long long)length + more,
                        (unsigned long long)KVAULT_COLUMN_LENGTH_MAX);
}

kvault_status kvault__edit_append(struct edit *edit, const kvault_elements *elements, kvault_error *reterr)
{
    kvault_status rc;

    TRY(check_length(edit, elements->count, reterr));
    return edit->meta.elem_size ? kvault__fixed_append(&edit->list, elements->data, elements->count, reterr)
                                : kvault__var_append(&edit->var, elements, reterr);
out:
    return rc;
}

#define SET_ONE_BY_ONE 16u /* more elements of a variable-size column that follow each other go by a splice */

kvault_status kvault__edit_write(struct edit *edit, uint64_t start, const kvault_elements *elements,
                                 kvault_error *reterr)
{
    kvault_status rc = KVAULT_OK;

    if (edit->meta.elem_size)
        return kvault__fixed_write(&edit->list, start, elements->count, elements->data, reterr);
    if (elements->count > SET_ONE_BY_ONE)
        return kvault__var_splice(&edit->var, start, start + elements->count, elements, reterr);
    for (uint64_t i = 0; i < elements->count && rc >= 0; i++)
        rc = kvault__var_set(&edit->var, start + i, kvault__element(elements, i), reterr);
    return rc;
}

kvault_status kvault__edit_splice(struct edit *edit, uint64_t start, uint64_t stop, const kvault_elements *elements,
                                  kvault_error *reterr)
{
    kvault_status rc;

    if (elements->count > stop - start)
        TRY(check_length(edit, elements->count - (stop - start), reterr));
    return edit->meta.elem_size
               ? kvault__fixed_splice(&edit->list, start, stop, elements->data, elements->count, reterr)
               : kvault__var_splice(&edit->var, start, stop, elements, reterr);
out:
    return rc;
}

kvault_elements kvault__elements_part(const struct column_meta *meta, const kvault_elements *elements, uint64_t start,
                                      uint64_t count)
{
    const uint8_t *data = elements->data;

    if (meta->elem_size)
        return (kvault_elements){ data + start * meta->elem_size, NULL, count };
    return (kvault_elements){ data, elements->offsets + start, count };
}

/* ---- positions ---- */

static uint64_t clamp(int64_t at, uint64_t length, bool backward)
{
    int64_t low = backward ? -1 : 0, high = (int64_t)length + low;

    if (at < 0)
        at = at < -(int64_t)length ? low : at + (int64_t)length;
    return (uint64_t)(at > high ? high : at);
}

kvault_status kvault__span_of(const kvault_range *range, uint64_t length, struct span *ret_span, kvault_error *reterr)
{
    bool backward = range->step < 0;
    int64_t start = (int64_t)clamp(range->start, length, backward),
            stop = (int64_t)clamp(range->stop, length, backward);
    uint64_t step = backward ? 0 - (uint64_t)range->step : (uint64_t)range->step, gap = 0;

    if (!range->step)
        return kvault__fail(reterr, KVAULT_E_INVALID, "slice step cannot be zero");
    if (backward ? start > stop : stop > start)
        gap = (uint64_t)(backward ? start - stop : stop - start);
    *ret_span = (struct span){ (uint64_t)start, gap ? (gap - 1) / step + 1 : 0, range->step };
    return KVAULT_OK;
}

kvault_status kvault__index_of(int64_t index, uint64_t length, uint64_t *ret_index, kvault_error *reterr)
{
    int64_t at = index < 0 ? index + (int64_t)length : index;

    if (at < 0 || (uint64_t)at >= length)
        return kvault__fail(reterr, KVAULT_E_INDEX, "index out of range: %lld, the column has %llu elements",
                            (long long)index, (unsigned long long)length);
    *ret_index = (uint64_t)at;
    return KVAULT_OK;
}
