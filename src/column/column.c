/* column.c - a column's elements: what users call to change them.
 *
 * Each call checks its arguments, then is one edit (edit.h). An append is pending instead where the
 * write cache is on. */
#include "kohakuvault/column.h"

#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "column/edit.h"
#include "column/read_cache.h"
#include "vault/pending.h"
#include "base/banned.h"

#define WINDOW_ELEMENTS 4096u /* read and written together where a step leaves elements between */
#define WINDOW_STEP_MAX 64u   /* a larger step goes element by element */

/* ---- checks ---- */

static kvault_status check_elements(const kvault_column *column, const kvault_elements *elements, kvault_error *reterr)
{
    if (elements->count > KVAULT_COLUMN_LENGTH_MAX)
        return kvault__fail(reterr, KVAULT_E_TOOBIG, "%llu elements, limit %llu", (unsigned long long)elements->count,
                            (unsigned long long)KVAULT_COLUMN_LENGTH_MAX);
    if (column->elem_size)
        return elements->offsets ? kvault__fail(reterr, KVAULT_E_INVALID, "elements of a fixed size have no offsets")
                                 : KVAULT_OK;
    if (!elements->offsets && elements->count)
        return kvault__fail(reterr, KVAULT_E_INVALID, "elements of any size need their offsets");
    for (uint64_t i = 0; i < elements->count; i++) {
        uint64_t start = elements->offsets[i], end = elements->offsets[i + 1];

        if (end < start)
            return kvault__fail(reterr, KVAULT_E_INVALID, "offset %llu is below the one before",
                                (unsigned long long)i + 1);
        if (end - start > KVAULT_COLUMN_ELEMENT_MAX)
            return kvault__fail(reterr, KVAULT_E_TOOBIG, "element %llu is %llu bytes, limit %u", (unsigned long long)i,
                                (unsigned long long)(end - start), KVAULT_COLUMN_ELEMENT_MAX);
    }
    return KVAULT_OK;
}

static kvault_status check_one(const kvault_column *column, const kvault_elements *element, kvault_error *reterr)
{
    if (element->count != 1)
        return kvault__fail(reterr, KVAULT_E_INVALID, "length mismatch: 1 element is replaced, got %llu",
                            (unsigned long long)element->count);
    return check_elements(column, element, reterr);
}

/* ---- appending ---- */

static struct pending_append append_of(const kvault_column *column, const kvault_elements *elements)
{
    struct pending_append append = { .data = elements->data, .offsets = elements->offsets, .count = elements->count };

    append.size = column->elem_size ? (size_t)elements->count * column->elem_size
                                    : (size_t)(elements->offsets[elements->count] - elements->offsets[0]);
    if (elements->offsets)
        append.data = (const uint8_t *)elements->data + elements->offsets[0];
    return append;
}

static kvault_status append_pending(kvault_column *column, const kvault_elements *elements, kvault_error *reterr)
{
    struct pending_append append = append_of(column, elements);
    uint8_t key[8];

    kvault__store_be64(key, column->id);
    return kvault__pending_append(column->vault, kvault__space_fixed(column->engine, STORAGE_COLUMNS),
                                  &kvault__column_structure, (kvault_slice){ key, sizeof key }, &append, reterr);
}

/* Only while somebody has seen that the column is there, and short enough. */
bool kvault_column_append_now(kvault_column *column, const kvault_elements *elements)
{
    struct pending_append append;
    kvault_stamp presence;
    uint8_t key[8];

    if (!elements->count || !kvault__cache_presence_now(column, &presence) ||
        check_elements(column, elements, NULL) < 0)
        return false;
    append = append_of(column, elements);
    kvault__store_be64(key, column->id);
    return kvault__pending_append_now(column->vault, kvault__space_fixed(column->engine, STORAGE_COLUMNS),
                                      &kvault__column_structure, (kvault_slice){ key, sizeof key }, column->hash,
                                      &presence, &append);
}

#define LENGTH_NEAR_MAX (KVAULT_COLUMN_LENGTH_MAX - ((uint64_t)1 << 36)) /* more than can be pending at once */

/* The column is there, and stays short enough. */
static kvault_status check_append(kvault_column *column, uint64_t count, kvault_error *reterr)
{
    kvault_stamp presence;
    bool stamped = kvault__stamp(column->vault, kvault__column_hash(column->id, true), &presence);
    uint64_t length;
    kvault_status rc;

    TRY(kvault_column_length(column, &length, reterr));
    if (rc == KVAULT_OK && count > KVAULT_COLUMN_LENGTH_MAX - length)
        return kvault__fail(reterr, KVAULT_E_TOOBIG, "the column would have %llu elements, limit %llu",
                            (unsigned long long)(length + count), (unsigned long long)KVAULT_COLUMN_LENGTH_MAX);
    if (rc == KVAULT_OK && stamped && length < LENGTH_NEAR_MAX)
        kvault__cache_set_presence(column, &presence);
out:
    return rc;
}

kvault_status kvault_column_append(kvault_column *column, const kvault_elements *elements, kvault_error *reterr)
{
    struct edit edit;
    kvault_status rc;

    TRY(check_elements(column, elements, reterr));
    TRY(kvault__check_writable(column->vault, reterr));
    if (kvault_column_append_now(column, elements))
        return KVAULT_OK;
    if (!elements->count || kvault__caches(column->vault)) {
        TRY(check_append(column, elements->count, reterr));
        if (rc == KVAULT_OK && elements->count)
            rc = append_pending(column, elements, reterr);
        if (rc != KVAULT_END)
            return rc;
    }
    TRY(kvault__edit_begin(column, "append", &edit, reterr));
    if (rc == KVAULT_OK)
        rc = kvault__edit_end(&edit, kvault__edit_append(&edit, elements, reterr), reterr);
out:
    return rc;
}

/* ---- inserting and replacing ---- */

kvault_status kvault_column_insert(kvault_column *column, int64_t index, const kvault_elements *elements,
                                   kvault_error *reterr)
{
    struct edit edit;
    uint64_t length;
    int64_t at;
    kvault_status rc;

    TRY(check_elements(column, elements, reterr));
    TRY(kvault__edit_begin(column, "insert", &edit, reterr));
    if (rc != KVAULT_OK)
        return rc;
    length = kvault__edit_length(&edit);
    at = index < 0 ? index < -(int64_t)length ? 0 : index + (int64_t)length : index;
    at = at > (int64_t)length ? (int64_t)length : at;
    rc = elements->count ? kvault__edit_splice(&edit, (uint64_t)at, (uint64_t)at, elements, reterr) : KVAULT_OK;
    rc = kvault__edit_end(&edit, rc, reterr);
out:
    return rc;
}

kvault_status kvault_column_set(kvault_column *column, int64_t index, const kvault_elements *element,
                                kvault_error *reterr)
{
    struct edit edit;
    uint64_t at;
    kvault_status rc;

    TRY(check_one(column, element, reterr));
    TRY(kvault__edit_begin(column, "replace an element", &edit, reterr));
    if (rc != KVAULT_OK)
        return rc;
    rc = kvault__index_of(index, kvault__edit_length(&edit), &at, reterr);
    if (rc >= 0)
        rc = kvault__edit_write(&edit, at, element, reterr);
    rc = kvault__edit_end(&edit, rc, reterr);
out:
    return rc;
}

/* ---- ranges with a step ----
 * Windows of the column, from the highest down, so that a deletion does not move what is still to come. */

struct window {
    uint64_t start, stop;  /* elements of the column */
    uint64_t first, count; /* of the span, its elements that lie in it; in ascending order of position */
};

/* The span with its positions ascending; element i of the original is element count - 1 - i if it was backward. */
static struct span ascending(const struct span *span)
{
    if (span->step > 0 || !span->count)
        return *span;
    return (struct span){ kvault__span_at(span, span->count - 1), span->count, -span->step };
}

static struct window last_window(const struct span *span, uint64_t left)
{
    uint64_t step = (uint64_t)span->step, most = step > WINDOW_STEP_MAX ? 1 : WINDOW_ELEMENTS / step;
    struct window window = { .count = left < most ? left : most };

    window.first = left - window.count;
    window.start = kvault__span_at(span, window.first);
    window.stop = kvault__span_at(span, left - 1) + 1;
    return window;
}

static kvault_status add_from(const struct edit *edit, kvault_result *result, const kvault_elements *from, uint64_t i,
                              kvault_error *reterr)
{
    uint32_t size = edit->meta.elem_size;

    if (!size)
        return kvault__result_add(result, kvault__element(from, i), reterr);
    result->count++;
    return kvault__buf_append(&result->data, (const uint8_t *)from->data + i * size, size, reterr);
}

static void result_empty(kvault_result *result)
{
    result->data.size = result->offsets.size = 0;
    result->count = 0;
}

/* The elements of a window as they will be: with the replacements in place, or without those that go. */
static kvault_status change_window(struct edit *edit, const struct span *span, const struct window *window,
                                   const kvault_elements *fresh, bool backward, kvault_result *before,
                                   kvault_result *after, kvault_error *reterr)
{
    kvault_elements old;
    uint64_t next = window->first;
    kvault_status rc;

    result_empty(before);
    result_empty(after);
    TRY(kvault__edit_read(edit, window->start, window->stop - window->start, before, reterr));
    if (!edit->meta.elem_size)
        TRY(kvault__result_reserve(after, 0, 0, reterr));
    old = kvault__elements_of(before);
    for (uint64_t at = window->start; at < window->stop; at++) {
        bool member = next < window->first + window->count && at == kvault__span_at(span, next);

        if (!member)
            TRY(add_from(edit, after, &old, at - window->start, reterr));
        else if (fresh)
            TRY(add_from(edit, after, fresh, backward ? fresh->count - 1 - next : next, reterr));
        next += member;
    }
out:
    return rc;
}

/* Replace the elements of a span by `fresh`, or delete them where that is NULL. */
static kvault_status change_span(struct edit *edit, const struct span *span, const kvault_elements *fresh,
                                 kvault_error *reterr)
{
    struct span up = ascending(span);
    kvault_result before = KVAULT_RESULT_INIT, after = KVAULT_RESULT_INIT;
    kvault_elements elements;
    kvault_status rc = KVAULT_OK;

    for (uint64_t left = up.count; left;) {
        struct window window = last_window(&up, left);

        TRY(change_window(edit, &up, &window, fresh, span->step < 0, &before, &after, reterr));
        elements = kvault__elements_of(&after);
        if (edit->meta.elem_size)
            elements.offsets = NULL;
        TRY(fresh ? kvault__edit_write(edit, window.start, &elements, reterr)
                  : kvault__edit_splice(edit, window.start, window.stop, &elements, reterr));
        left -= window.count;
    }
out:
    kvault_result_free(&before);
    kvault_result_free(&after);
    return rc;
}

static kvault_status set_span(struct edit *edit, const struct span *span, const kvault_elements *elements,
                              kvault_error *reterr)
{
    if (span->count != elements->count)
        return kvault__fail(reterr, KVAULT_E_INVALID, "length mismatch: the slice has %llu elements, got %llu",
                            (unsigned long long)span->count, (unsigned long long)elements->count);
    if (!span->count)
        return KVAULT_OK;
    return span->step == 1 ? kvault__edit_write(edit, span->start, elements, reterr)
                           : change_span(edit, span, elements, reterr);
}

kvault_status kvault_column_set_range(kvault_column *column, const kvault_range *range, const kvault_elements *elements,
                                      kvault_error *reterr)
{
    struct edit edit;
    struct span span;
    kvault_status rc;

    TRY(check_elements(column, elements, reterr));
    TRY(kvault__edit_begin(column, "replace elements", &edit, reterr));
    if (rc != KVAULT_OK)
        return rc;
    rc = kvault__span_of(range, kvault__edit_length(&edit), &span, reterr);
    if (rc >= 0)
        rc = set_span(&edit, &span, elements, reterr);
    rc = kvault__edit_end(&edit, rc, reterr);
out:
    return rc;
}

/* ---- deleting ---- */

static kvault_status delete_between(struct edit *edit, uint64_t start, uint64_t stop, kvault_error *reterr)
{
    static const uint64_t zero = 0;
    kvault_elements none = { NULL, edit->meta.elem_size ? NULL : &zero, 0 };

    return start < stop ? kvault__edit_splice(edit, start, stop, &none, reterr) : KVAULT_OK;
}

kvault_status kvault_column_delete(kvault_column *column, int64_t index, kvault_error *reterr)
{
    struct edit edit;
    uint64_t at;
    kvault_status rc;

    TRY(kvault__edit_begin(column, "delete an element", &edit, reterr));
    if (rc != KVAULT_OK)
        return rc;
    rc = kvault__index_of(index, kvault__edit_length(&edit), &at, reterr);
    if (rc >= 0)
        rc = delete_between(&edit, at, at + 1, reterr);
    rc = kvault__edit_end(&edit, rc, reterr);
out:
    return rc;
}

kvault_status kvault_column_delete_range(kvault_column *column, const kvault_range *range, kvault_error *reterr)
{
    struct edit edit;
    struct span span;
    kvault_status rc;

    TRY(kvault__edit_begin(column, "delete elements", &edit, reterr));
    if (rc != KVAULT_OK)
        return rc;
    rc = kvault__span_of(range, kvault__edit_length(&edit), &span, reterr);
    if (rc >= 0) {
        struct span up = ascending(&span);

        rc = up.step == 1 ? delete_between(&edit, up.start, up.start + up.count, reterr)
                          : change_span(&edit, &up, NULL, reterr);
    }
    rc = kvault__edit_end(&edit, rc, reterr);
out:
    return rc;
}

kvault_status kvault_column_pop(kvault_column *column, int64_t index, kvault_buf *data, kvault_error *reterr)
{
    kvault_result result = KVAULT_RESULT_INIT;
    size_t before = data->size;
    struct edit edit;
    uint64_t at;
    kvault_status rc;

    TRY(kvault__edit_begin(column, "pop", &edit, reterr));
    if (rc != KVAULT_OK)
        return rc;
    rc = kvault__index_of(index, kvault__edit_length(&edit), &at, reterr);
    if (rc >= 0)
        rc = kvault__edit_read(&edit, at, 1, &result, reterr);
    if (rc >= 0)
        rc = kvault__buf_append(data, result.data.data, result.data.size, reterr);
    if (rc >= 0)
        rc = delete_between(&edit, at, at + 1, reterr);
    rc = kvault__edit_end(&edit, rc, reterr);
    if (rc < 0)
        data->size = before;
out:
    kvault_result_free(&result);
    return rc;
}

static kvault_status clear(struct edit *edit, kvault_error *reterr)
{
    struct column_meta *meta = &edit->meta;
    kvault_status rc;

    TRY(kvault__chunk_delete(&edit->io, meta->id, 0, COLUMN_SEQ_SCHEMA, reterr));
    if (!meta->elem_size)
        TRY(kvault__tail_drop(&edit->io, meta, 0, edit->var.tail.count, reterr));
    meta->stored = meta->bytes = meta->slack = 0;
    meta->list_blocks = meta->tail_size = 0;
    meta->next_seq = 1;
    meta->listed = !meta->elem_size;
    meta->revision++;
out:
    return rc;
}

kvault_status kvault_column_clear(kvault_column *column, kvault_error *reterr)
{
    struct edit edit;
    kvault_status rc;

    TRY(kvault__edit_begin(column, "clear a column", &edit, reterr));
    if (rc == KVAULT_OK)
        rc = kvault__edit_end(&edit, clear(&edit, reterr), reterr);
out:
    return rc;
}

kvault_status kvault_column_compact(kvault_column *column, uint64_t *ret_bytes, kvault_error *reterr)
{
    struct edit edit;
    uint64_t slack;
    kvault_status rc;

    TRY(kvault__edit_begin(column, "compact a column", &edit, reterr));
    if (rc != KVAULT_OK)
        return rc;
    slack = edit.meta.slack;
    if (!edit.meta.elem_size)
        rc = kvault__var_compact(&edit.var, reterr);
    TRY(kvault__edit_end(&edit, rc, reterr));
    *ret_bytes = slack;
out:
    return rc;
}
